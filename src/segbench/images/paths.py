"""The files that paths and patterns stand for."""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segbench.errors import InputError
from segbench.images.plain import SUFFIXES
from segbench.windows import is_zarr

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMED = 3  # of many things alike so many are named

# Letters of a path that an error names.
NAMED_LETTERS = 200

# File systems of Unix that hold no files, and through which a pattern would look for long.
PSEUDO = frozenset({"proc", "sys", "dev"})


@dataclass(frozen=True, kw_only=True)
class Found:
    """What some paths stand for.

    Attributes
    ----------
    files : tuple of Path
        Absolute, each once: those of a folder or a pattern by name, in the order of the paths.
    left_out : tuple of Path
        What lies in the folders beside images: files of other kinds, and folders.
    """

    files: tuple[Path, ...]
    left_out: tuple[Path, ...]


def find(paths: Sequence[str]) -> Found:
    """Find files by folders, files and patterns.

    Parameters
    ----------
    paths : sequence of str
        A path that exists is taken as it is, whatever characters it holds; otherwise a pattern. Of
        a folder and a pattern files with a suffix of `SUFFIXES` are taken; a file that is named is
        taken whatever it is called. Hidden files are passed over.

    Returns
    -------
    Found
        At least one file.

    Raises
    ------
    InputError
        If one of the paths stands for nothing.
    """
    files: dict[Path, None] = {}
    left_out: dict[Path, None] = {}
    for path in paths:
        try:
            named = _absolute(path)
            if named.is_file() or is_zarr(named):
                files[named] = None
                continue
            entries = [each for each in _entries(path) if not each.name.startswith(".")]
        except OSError as error:  # such as a name that is too long
            raise InputError(
                f"{path[:NAMED_LETTERS]}: {error.strerror}; give another path"
            ) from error
        images = [each for each in entries if each.suffix.lower() in SUFFIXES and not each.is_dir()]
        if not images:
            raise InputError(f"{path} holds no image: segbench reads {', '.join(SUFFIXES)}")
        files.update(dict.fromkeys(images))
        taken = {*images}
        left_out.update(dict.fromkeys(each for each in entries if each not in taken))
    return Found(files=tuple(files), left_out=tuple(left_out))


def _absolute(path: str) -> Path:
    """Without `..`, so that a file has one path, and lies in the folder that this names."""
    return Path(os.path.abspath(path))  # noqa: PTH100  (Path.absolute leaves `..`)


def _entries(path: str) -> list[Path]:
    if PSEUDO.intersection(_absolute(path).parts[1:2]):
        raise InputError(f"{path}: holds what the system tells of itself, and no images")
    if Path(path).is_dir():
        return sorted(_absolute(path).iterdir())
    if glob.has_magic(path):
        found = (_absolute(each) for each in glob.glob(path, recursive=True))  # noqa: PTH207 (absolute patterns)
        return sorted(each for each in found if each.is_file() or each.is_symlink())
    raise InputError(f"no such folder or file: {path}; give a folder of images or a pattern")


def names_of(left_out: Sequence[Path]) -> str:
    """The names of what is left out, of many the first ones: for a sentence."""
    names = [f"{path.name} (a folder)" if path.is_dir() else path.name for path in left_out]
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
