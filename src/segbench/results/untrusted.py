"""Files of a run that somebody else may have written: how they are opened, and how much they may hold.

All that is read of a run goes through this module. What is beyond a limit is refused in one line: half
of a run would look like a whole one.
"""

from __future__ import annotations

import io
import os
import stat
import warnings
from typing import IO, TYPE_CHECKING, Any

from PIL import Image, PngImagePlugin

from segbench.errors import InputError
from segbench.text import is_shown, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from segbench.results.records import Header, Profile, Sample

# Bytes of a file, and of a line of it: the first, which may name every image, and another.
MOST_BYTES, MOST_IN_FIRST, MOST_IN_LINE = 128 * 2**20, 16 * 2**20, 64 * 2**10

MOST_LINES = 200_000

# Bytes of a file that is one value, which takes many times as much memory; and entries of a mapping.
MOST_IN_JSON, MOST_ENTRIES = 32 * 2**20, 1000

# Seconds of a call: what is beyond is no time, and has no ratio that a float holds.
SHORTEST, LONGEST = 1e-9, 1e9

# Different ones among the samples.
MOST_BACKENDS, MOST_SIZES, MOST_SHAPES, MOST_CASES = 100, 100, 50, 5000

# Characters of a text that is shown, and of the name of a part of a backend.
MOST_LETTERS, MOST_IN_NAME = 10_000, 200

# How deep values may lie in each other; a header has five levels.
DEEPEST = 12

LARGEST_NUMBER = 2**63

# Of a picture.
MOST_IN_PICTURE, MOST_PIXELS = 8 * 2**20, 2_000_000
BOMBS = (Image.DecompressionBombWarning, Image.DecompressionBombError)


def refuse_links(folder: Path) -> None:
    """Refuse a folder that is to be written in, where something in it leads elsewhere.

    Raises
    ------
    InputError
        If it holds a link, wherever.
    """
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise _a_link(path)


def _a_link(path: Path) -> InputError:
    return InputError(f"{path}: is a link; put there what it leads to")


def open_file(path: Path, *, mode: str = "rb") -> IO[bytes]:
    """Open a regular file; to append to, one that may not be there.

    Raises
    ------
    InputError
        If it is a link, a device or a pipe, or too large to be read.
    OSError
        If it can't be opened.
    """
    if path.is_symlink():
        raise _a_link(path)
    # Without waiting for who would write to a pipe; and a link that is put there now is not followed.
    flags = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    kinds = {"rb": os.O_RDONLY, "r+b": os.O_RDWR, "ab": os.O_WRONLY | os.O_APPEND | os.O_CREAT}
    handle = os.open(path, kinds[mode] | flags, 0o644)
    file = os.fdopen(handle, mode)
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        file.close()
        raise InputError(f"{path}: is no regular file; put the file itself there")
    if found.st_size > MOST_BYTES:
        file.close()
        raise InputError(
            f"{path}: {found.st_size / 2**20:.0f} MiB, more than the {MOST_BYTES / 2**20:.0f} that are read"
        )
    return file


def read_bytes(path: Path, *, most: int | None = None) -> bytes:
    """All of a regular file, of `MOST_BYTES` or so many at the most.

    Raises
    ------
    InputError
        If it can't be read, or as `open_file` does.
    """
    most = most or MOST_BYTES
    try:
        with open_file(path) as file:
            # A file may grow, or be one whose size nobody tells.
            content = file.read(most + 1)
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror or error})") from error
    if len(content) > most:
        raise InputError(f"{path}: more than the {most / 2**20:.0f} MiB that are read")
    return content


def read_lines(path: Path) -> list[bytes]:
    """The lines of a regular file, with their ends.

    Raises
    ------
    InputError
        As `read_bytes` does, and if there are too many lines, or one is too long.
    """
    # By line feeds alone: str.splitlines would also cut at characters that JSON strings may hold.
    lines = io.BytesIO(read_bytes(path)).readlines(MOST_BYTES)
    if len(lines) > MOST_LINES:
        raise InputError(
            f"{path}: {len(lines):,} lines, more than the {MOST_LINES:,} that are read"
        )
    for number, line in enumerate(lines, start=1):
        most = MOST_IN_FIRST if number == 1 else MOST_IN_LINE
        if len(line) > most:
            raise InputError(
                f"{path}, line {number}: {len(line) / 2**10:,.0f} KiB long, more than the "
                f"{most / 2**10:,.0f} that are read"
            )
    return lines


def check_header(header: Header, where: str) -> None:
    """Refuse a header that holds what nobody can be shown.

    Raises
    ------
    InputError
        If a text or a number is too large, or values lie too deep in each other.
    """
    check_described(
        {name: value for name, value in vars(header).items() if name != "backends"}, where
    )
    for spec, described in header.backends.items():
        _check_text(spec, f"{where}: backends")
        for value in (described.words, described.work, described.reader, *described.libraries):
            _check_text(value, f"{where}: backends")
    if len(header.backends) > MOST_BACKENDS:
        raise _too_many(where, len(header.backends), "backends", MOST_BACKENDS)
    if len(header.shapes) > MOST_SHAPES:
        raise _too_many(where, len(header.shapes), "shapes", MOST_SHAPES)


def check_described(described: Mapping[str, Any], where: str) -> None:
    """Refuse what a file says of a machine, its versions and its settings, as `check_header` does."""
    for name, value in described.items():
        _check_value(value, f"{where}: {name}")


def _check_value(value: Any, where: str, *, depth: int = 0) -> None:
    if depth > DEEPEST:
        raise InputError(f"{where}: values lie deeper than {DEEPEST} in each other")
    if isinstance(value, dict):
        if len(value) > MOST_ENTRIES:
            raise _too_many(where, len(value), "entries", MOST_ENTRIES)
        for name, each in value.items():
            _check_text(name, where)
            _check_value(each, where, depth=depth + 1)
    elif isinstance(value, list):
        for each in value:
            _check_value(each, where, depth=depth + 1)
    elif isinstance(value, str):
        _check_text(value, where)
    elif isinstance(value, int | float) and not -LARGEST_NUMBER < value < LARGEST_NUMBER:
        raise InputError(f"{where}: a number beyond 64 bits")


def _check_text(text: str, where: str, *, most: int = MOST_LETTERS) -> None:
    if len(text) > most:
        raise InputError(f"{where}: a text of {len(text):,} characters, more than {most:,}")


def check_records(records: Iterable[Sample | Profile], where: str) -> None:
    """Refuse records of more cases than a report can show, or with names that nobody can read.

    Raises
    ------
    InputError
        If there are too many of something, or a text is too long; or the name of a part of a backend
        or a phase can't be shown as it is.
    """
    backends, sizes, shapes, cases = set(), set(), set(), set()
    for one in records:
        phase = getattr(one, "phase", "")
        case = (one.backend, one.n_images, one.shape, phase)
        if case not in cases:
            for name in (one.reader, one.processor, one.scheduler, one.shape, phase):
                _check_text(name, where, most=MOST_IN_NAME)
                if not is_shown(name):
                    raise InputError(f"{where}: {one_line(name)!r} is no name")
            cases.add(case)
            backends.add(one.backend)
            sizes.add(one.n_images)
            shapes.add(one.shape)
        _check_text(one.cause, where)
        if one.status == "ok" and not SHORTEST <= (one.seconds or 0.0) <= LONGEST:
            raise InputError(f"{where}: {one.seconds!r} seconds are no time of a call")
    counted: Sequence[tuple[set[Any], str, int]] = (
        (backends, "backends", MOST_BACKENDS),
        (sizes, "numbers of images", MOST_SIZES),
        (shapes, "shapes", MOST_SHAPES),
        (cases, "cases", MOST_CASES),
    )
    for found, what, most in counted:
        if len(found) > most:
            raise _too_many(where, len(found), what, most)


def _too_many(where: str, count: int, what: str, most: int) -> InputError:
    return InputError(f"{where}: {count:,} {what}, more than the {most:,} that are read")


def read_picture(path: Path) -> bytes:
    """The picture of a run, drawn anew with its description and nothing else; empty where there is none.

    Raises
    ------
    InputError
        If there is one that is not read: no PNG, too large, or damaged.
    """
    if not path.is_symlink() and not path.exists():
        return b""
    content = read_bytes(path)
    if len(content) > MOST_IN_PICTURE:
        raise InputError(f"{path}: {len(content) / 2**20:.0f} MiB, too large for a picture")
    try:
        with (
            warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning),
            Image.open(io.BytesIO(content), formats=["PNG"]) as picture,
        ):
            if picture.width * picture.height > MOST_PIXELS:
                raise InputError(
                    f"{path}: {picture.width} x {picture.height} pixels, too many for a picture"
                )
            picture.load()
            words, picture.info = picture.info.get("Description", ""), {}
            text, drawn = PngImagePlugin.PngInfo(), io.BytesIO()
            if isinstance(words, str) and len(words) <= MOST_IN_NAME:
                text.add_itxt("Description", one_line(words))
            picture.save(drawn, "PNG", pnginfo=text)
    except (OSError, SyntaxError, ValueError, *BOMBS) as error:
        raise InputError(f"{path}: no picture that can be read ({one_line(str(error))})") from error
    return drawn.getvalue()
