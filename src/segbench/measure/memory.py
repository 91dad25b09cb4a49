"""Resident size of a process and its children, now and at its peak, and what they have read."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 2**20

# glibc's DEFAULT_MMAP_THRESHOLD_MAX on 64 bit, less the head of a chunk.
LARGEST_LEARNED = 32 * MIB - 8192


def settle() -> None:
    """Give back what this process holds without using it, so that a peak is not hidden in it."""
    gc.collect()
    if sys.platform == "linux":
        # glibc keeps freed memory for later; other C libraries (musl) may lack the function.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Collect garbage before, not within: a collection would be charged to whoever comes last."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def warm_allocator() -> None:
    """Bring the C library's allocator to where it comes by itself in a process that lives long.

    glibc gives arrays back to the system as long as it has not freed one of their size, and then
    pays for their pages again; whether it does so at the top of its heap depends on accidents of
    the layout that last as long as the process. Once the largest array that it learns from (32 MiB)
    was freed, it keeps smaller ones, in every process alike. Elsewhere this does nothing.
    """
    np.ones(LARGEST_LEARNED, np.uint8)


def reset_peak() -> None:
    """Forget the peak so far, where the platform can (Linux); elsewhere it is that since start."""
    for process in _family():
        # A child may be gone, a platform may have no such file: the peak then starts earlier.
        with contextlib.suppress(OSError):
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")


def peak_mib() -> float | None:
    """Sum of the peaks of this process and its children, in MiB; None where there is no such count.

    The peaks need not have been at the same time, so this is an upper bound.
    """
    peaks = [peak for process in _family() if (peak := _peak_bytes(process)) is not None]
    return round(sum(peaks) / MIB, 1) if peaks else None


def bytes_read() -> int:
    """What this process and its children have read so far, where the platform tells (Linux); else 0.

    What was in the page cache counts, and so does what came through a pipe.
    """
    total = 0
    for process in _family():
        # A child may be gone: its parent has what it read.
        with contextlib.suppress(psutil.Error, AttributeError):
            total += process.io_counters().read_chars
    return total


def resident_mib(pid: int | None = None) -> float:
    """Resident size of a process (this one) and its children now, in MiB; 0 where it is gone.

    Pages that they share count in each.
    """
    total = 0
    with contextlib.suppress(psutil.Error):
        for member in _family(pid):
            with contextlib.suppress(psutil.Error):
                total += member.memory_info().rss
    return round(total / MIB, 1)


def _family(pid: int | None = None) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _peak_bytes(process: psutil.Process) -> int | None:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(psutil.Error):
        memory = process.memory_info()
        # Windows counts a peak itself; elsewhere (macOS) the size now is the best there is.
        return int(getattr(memory, "peak_wset", memory.rss))
    return None
