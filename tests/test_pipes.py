"""Lines from a pipe."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from segbench.measure import pipes

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

KINDS = [
    pytest.param(
        pipes._Polled, marks=pytest.mark.skipif(sys.platform == "win32", reason="no select there")
    ),
    pipes._Threaded,
]


@pytest.mark.parametrize("kind", KINDS)
def test_lines_come_one_by_one(kind: Callable[[IO[bytes]], pipes.Lines]) -> None:
    """Lines that were written at once, or in parts, are read one by one, and then the end."""
    source, target = os.pipe()
    with os.fdopen(source, "rb", buffering=0) as pipe:
        lines = kind(pipe)
        assert lines.read(0.01) is None
        os.write(target, b"one\ntwo\nthr")
        assert lines.read(5) == b"one\n"
        assert lines.read(5) == b"two\n"
        assert lines.read(0.01) is None
        os.write(target, b"ee\n")
        assert lines.read(5) == b"three\n"
        os.close(target)
        assert lines.read(5) == b""


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_line_is_whole(kind: Callable[[IO[bytes]], pipes.Lines]) -> None:
    """A line longer than a pipe holds comes whole."""
    source, target = os.pipe()
    line = b"x" * 1_000_000 + b"\n"

    def write() -> None:
        with os.fdopen(target, "wb") as end:
            end.write(line)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(source, "rb", buffering=0) as pipe:
        lines = kind(pipe)
        read, until = None, time.monotonic() + 30
        while read is None and time.monotonic() < until:
            read = lines.read(0.1)
        assert read == line
    writer.join()
