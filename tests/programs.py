"""Dask's own programs, a scheduler and its workers, as tests start them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAIT_SECONDS = 60.0


@contextmanager
def program(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """One of Dask's programs, ended with all that it started."""
    command = [sys.executable, "-m", "dask", *words]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, start_new_session=True, **quiet) as process:  # noqa: S603  (this interpreter)
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def address_in(path: Path) -> str:
    """What a scheduler's file tells, once it is whole: Dask writes it in place."""
    until = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return str(json.loads(path.read_text())["address"])
        except (FileNotFoundError, json.JSONDecodeError):
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
