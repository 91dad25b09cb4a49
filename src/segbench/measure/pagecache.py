"""Cold files without root: the system is asked to forget files, and asked what it still holds.

Cold are the pages of the operating system. A disk, a server or the host of a virtual machine may
keep copies of their own, which nobody can see or drop from here.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import time
from typing import TYPE_CHECKING

import numpy as np

from segbench.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

# Enough to see whether reading leaves pages, and quick with a file of any size.
CHECKED_BYTES = 2**20

# A page that is being read ahead, or that somebody else reads at this moment, stays.
TRIES = 5
PAUSE_SECONDS = 0.01


def drop(paths: Iterable[Path]) -> None:
    """Drop files from memory, so that who reads them next waits for the disk.

    Parameters
    ----------
    paths : iterable of Path
        Links are followed. What was written to a file and is not on the disk yet is written there
        first.

    Raises
    ------
    OSError
        If a file can't be opened or mapped.
    AttributeError, InputError
        If the platform has no such call; `check` says so beforehand.
    """
    for path in paths:
        with path.open("rb", buffering=0) as opened:
            file = opened.fileno()
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            # A page that is not on the disk yet stays. Only then: synchronizing makes the disk
            # empty its own buffers too, also for a file that has nothing to write.
            if _resident_pages(file).any():
                os.fdatasync(file)
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)


def cached_share(paths: Iterable[Path]) -> float:
    """Share of the pages of files that are in memory now; looking at them changes nothing.

    Parameters
    ----------
    paths : iterable of Path
        Links are followed.

    Returns
    -------
    float
        From 0 to 1, of all pages of all files; 0 where the files are empty.

    Raises
    ------
    InputError
        If the platform can't tell, or Linux does not tell this user.
    OSError
        If a file can't be opened or mapped.
    """
    resident = total = 0
    for path in paths:
        with path.open("rb", buffering=0) as file:
            pages = _resident_pages(file.fileno())
            if pages.size and pages.all() and not _is_told(path):
                raise InputError(
                    f"cold files: Linux does not tell who may only read {path} whether it is in "
                    "memory; copy the images to files of your own or measure warm"
                )
        resident += int(np.count_nonzero(pages))
        total += pages.size
    return resident / total if total else 0.0


def cool(paths: Sequence[Path]) -> float:
    """Drop files from memory, several times if need be; the share of their pages that stayed.

    Raises
    ------
    OSError, AttributeError, InputError
        As `drop` and `cached_share` do.
    """
    for _ in range(TRIES):
        drop(paths)
        if not (stayed := cached_share(paths)):
            break
        time.sleep(PAUSE_SECONDS)
    return stayed


def check(path: Path) -> None:
    """Look whether a file can be made cold here, by reading its beginning and dropping it.

    Raises
    ------
    InputError
        If it can't, or if nobody could tell.
    """
    if not hasattr(os, "posix_fadvise"):
        raise InputError(
            f"cold files: {sys.platform} has no call that drops a file from memory; measure warm"
        )
    try:
        with path.open("rb", buffering=0) as file:
            read = file.read(CHECKED_BYTES)
        if read and not cached_share([path]):
            raise InputError(
                f"cold files: reading {path} leaves no pages in memory that could be dropped (ZFS "
                "keeps its own); copy the images to another file system or measure warm"
            )
        if not cool([path]):
            return
    except OSError as error:
        raise InputError(f"cold files: {path}: {error.strerror}; measure warm") from error
    raise InputError(
        f"cold files: {path} stays in memory, as it does on tmpfs or while a program has it "
        "mapped; copy the images to a disk, close that program, or measure warm"
    )


def _resident_pages(file: int) -> NDArray[np.bool_]:
    # Whether each page of an open file is in memory.
    try:
        mincore = ctypes.CDLL(None, use_errno=True).mincore
    except (AttributeError, TypeError, OSError):  # Windows has neither the call nor such a library
        raise InputError(
            f"cold files: {sys.platform} has no call that tells what is in memory; measure warm"
        ) from None
    size = os.fstat(file).st_size
    flags = np.zeros(-(-size // mmap.PAGESIZE), np.uint8)
    if size:  # nothing can't be mapped
        # Mapping a file reads none of it. Private, because some file systems refuse shared ones.
        with mmap.mmap(file, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) as mapped:
            # ctypes itself gives no address of what is read-only.
            start = ctypes.c_void_p(np.frombuffer(mapped, np.uint8).ctypes.data)
            failed = mincore(start, ctypes.c_size_t(size), ctypes.c_void_p(flags.ctypes.data))
        if failed:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return (flags & 1).astype(bool)  # the other bits mean something else on each system


def _is_told(path: Path) -> bool:
    # Since Linux 5.2 mincore says "resident" of every page of somebody else's file, lest it tell
    # what others read (CVE-2019-5489).
    may_write = os.access(path, os.W_OK, effective_ids=True)
    return may_write or os.geteuid() in (0, path.stat().st_uid)
