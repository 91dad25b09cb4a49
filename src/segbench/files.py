"""Files that are either whole or not there: written beside, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def is_special(path: Path) -> bool:
    """Whether there is something that is no file (a device, a pipe): it has nothing beside it."""
    return path.exists() and not path.is_file()


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that appears under its name `path` only when it is whole.

    A link stays one; what is no file (a device, a pipe) is written to as it is.

    Yields
    ------
    file
        To write bytes to; at the end of the block it replaces what is there in one step.
    """
    if is_special(path):
        with path.open("wb") as file:
            yield file
        return
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    # A short name of its own: beside a name of the greatest length there is no room for a longer.
    handle, beside = tempfile.mkstemp(prefix=".segbench-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        # mkstemp makes the file readable by its owner alone; reports are meant to be shared.
        Path(beside).chmod(0o644)
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, replacing what is there in one step, as `replacing` does."""
    with replacing(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` as UTF-8 to `path`, replacing what is there in one step.

    Names of files that are not UTF-8 keep their bytes.
    """
    write_bytes(path, content.encode(errors="surrogateescape"))


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Fill a folder that appears under its name `path` only when it is whole.

    Two processes may make the same folder at once: both work beside it, the first to finish
    renames its own into place, and the other's is thrown away.

    Yields
    ------
    Path
        An empty folder beside `path` to write into.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=".segbench-", dir=path.parent))
    try:
        yield beside
        try:
            beside.rename(path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
