"""CPU time of this process with its children, live and ended."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import time

import psutil

try:
    import resource
except ImportError:  # Windows, which counts no ended children
    resource = None  # type: ignore[assignment]


# The C library of this process.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class Clock:
    """What this process and its children have worked, in seconds; differences count.

    The children are those of the moment it is made, so that a reading takes microseconds; those that
    come and end later count when they have ended. Time that a busy machine gives to others is not
    in it, but what their work costs this one (caches, the other thread of a core) is.
    """

    def __init__(self) -> None:
        self._children = [child.pid for child in psutil.Process().children(recursive=True)]

    def seconds(self) -> float:
        """Of all of them until now."""
        ended = 0.0
        if resource is not None:
            usage = resource.getrusage(resource.RUSAGE_CHILDREN)
            ended = usage.ru_utime + usage.ru_stime
        return time.process_time() + ended + sum(map(_seconds_of, self._children))


def _seconds_of(pid: int) -> float:
    """What another process has worked; 0 where it is gone."""
    with contextlib.suppress(psutil.Error, OSError):
        if _LIBC is None:
            times = psutil.Process(pid).cpu_times()
            return times.user + times.system
        # In nanoseconds, where /proc tells ticks of 10 ms.
        clock = ctypes.c_int()
        if _LIBC.clock_getcpuclockid(pid, ctypes.byref(clock)) == 0:
            return time.clock_gettime(clock.value)
    return 0.0
