"""Lines from a pipe, waited for no longer than so many seconds."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import sys
import threading
from typing import IO, Protocol


class Lines(Protocol):
    """Lines as they come."""

    def read(self, timeout: float) -> bytes | None:
        """The next line; empty at the end of the pipe, None where none came within `timeout` s."""


def lines_of(pipe: IO[bytes]) -> Lines:
    """Lines of the unbuffered reading end of a pipe."""
    # Handing a line from a thread to another takes longer than the line's way through the pipe, but
    # Windows can't wait for a pipe in any other way.
    return _Threaded(pipe) if sys.platform == "win32" else _Polled(pipe)


class _Polled:
    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._begun = b""

    def read(self, timeout: float) -> bytes | None:
        while b"\n" not in self._begun:
            if not select.select([self._pipe], [], [], timeout)[0]:
                return None
            more = os.read(self._pipe.fileno(), 1 << 16)
            if not more:
                return b""
            self._begun += more
        line, _, self._begun = self._begun.partition(b"\n")
        return line + b"\n"


class _Threaded:
    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def read(self, timeout: float) -> bytes | None:
        try:
            return self._lines.get(timeout=timeout)
        except queue.Empty:
            return None

    def _listen(self) -> None:
        # The pipe may be closed while this thread reads it.
        with contextlib.suppress(ValueError, OSError):
            while line := self._pipe.readline():
                self._lines.put(line)
        self._lines.put(b"")
