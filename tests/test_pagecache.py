"""Files are dropped from memory, and where that can't be done or seen the user is told."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segbench.errors import InputError
from segbench.measure import pagecache
from segbench.measure.machine import file_system

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what Linux does is tested")

PAGE = mmap.PAGESIZE
# Where dropping is known to work.
DISKS = {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"}
NOBODY = 65534


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A folder on a disk."""
    kind = file_system(tmp_path)
    if kind not in DISKS:
        pytest.skip(f"temporary files are on {kind or 'an unknown file system'}: no disk")
    return tmp_path


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A file on tmpfs."""
    folder = Path("/dev/shm")  # noqa: S108  (the place is what is tested)
    if file_system(folder) != "tmpfs":
        pytest.skip("no tmpfs")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        path = Path(name) / "image"
        path.write_bytes(b"x" * 3 * PAGE)
        yield path


@pytest.fixture
def of_others() -> Iterator[Path]:
    """A file that this process may read, but neither owns nor may write."""
    if os.geteuid() != 0:
        path = Path("/etc/passwd")
        if path.stat().st_uid == os.geteuid() or os.access(path, os.W_OK):
            pytest.skip("no file of another user")
        path.read_bytes()
        yield path
        return
    # pytest's own folder is closed to others.
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "image"
        path.write_bytes(b"x")
        Path(name).chmod(0o755)
        path.chmod(0o644)
        os.seteuid(NOBODY)
        try:
            yield path
        finally:
            os.seteuid(0)


def write(folder: Path, sizes: Sequence[int]) -> list[Path]:
    """Write files of so many bytes."""
    paths = [folder / f"{index}" for index in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        path.write_bytes(b"x" * size)
    return paths


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sizes=st.lists(
        st.sampled_from([0, 1, PAGE - 1, PAGE, PAGE + 1]) | st.integers(0, 40 * PAGE), max_size=5
    )
)
def test_files_are_dropped(disk: Path, sizes: list[int]) -> None:
    """Files just written are wholly in memory; dropped they are wholly out of it, and unharmed."""
    paths = write(disk, sizes)
    assert pagecache.cached_share(paths) == (1.0 if any(sizes) else 0.0)
    pagecache.drop(paths)
    assert pagecache.cached_share(paths) == 0.0
    assert [path.read_bytes() for path in paths] == [b"x" * size for size in sizes]


def test_only_what_is_dirty_is_synchronized(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is made to empty its buffers for what was just written, not for what it has already."""
    calls: list[int] = []
    synchronize = os.fdatasync

    def count(file: int) -> None:
        calls.append(file)
        synchronize(file)

    monkeypatch.setattr(os, "fdatasync", count)
    paths = write(disk, [PAGE, 3 * PAGE])
    pagecache.drop(paths)
    assert len(calls) == 2
    for path in paths:
        path.read_bytes()
    pagecache.drop(paths)
    assert len(calls) == 2
    assert pagecache.cached_share(paths) == 0.0


def test_share_counts_pages(disk: Path) -> None:
    """Of files of one and of three pages the share is that of their pages, not of the files."""
    small, large = write(disk, [PAGE, 2 * PAGE + 1])
    pagecache.drop([large])
    assert pagecache.cached_share([small]) == 1.0
    assert pagecache.cached_share([small, large]) == 0.25


def test_looking_changes_nothing(disk: Path) -> None:
    """To ask what is in memory brings nothing there."""
    paths = write(disk, [10 * PAGE])
    pagecache.drop(paths)
    assert [pagecache.cached_share(paths) for _ in range(3)] == [0.0, 0.0, 0.0]


def test_cold_files_are_read_from_the_disk(disk: Path) -> None:
    """The kernel's own count of bytes from the disk grows by a dropped file, not by a warm one."""
    (path,) = write(disk, [64 * PAGE])

    def bytes_from_disk() -> int:
        before = psutil.Process().io_counters().read_bytes
        path.read_bytes()
        return psutil.Process().io_counters().read_bytes - before

    pagecache.drop([path])
    assert bytes_from_disk() >= 64 * PAGE
    assert bytes_from_disk() < 64 * PAGE


def test_links_are_followed(disk: Path) -> None:
    """A link stands for the file that it leads to."""
    (path,) = write(disk, [5 * PAGE])
    link = disk / "link"
    link.symlink_to(path)
    assert pagecache.cached_share([link]) == 1.0
    pagecache.drop([link])
    assert pagecache.cached_share([path]) == 0.0
    path.read_bytes()
    pagecache.check(link)


@pytest.mark.parametrize("size", [0, 1, 3 * PAGE, pagecache.CHECKED_BYTES + PAGE])
def test_disk_is_accepted(disk: Path, size: int) -> None:
    """A file on a disk can be made cold, whether it was in memory before or not."""
    (path,) = write(disk, [size])
    pagecache.check(path)
    pagecache.check(path)


def test_descriptors_are_closed(disk: Path) -> None:
    """However many files are dropped and looked at, none stays open."""
    paths = write(disk, [PAGE, 0, 1])
    before = psutil.Process().num_fds()
    pagecache.check(paths[0])
    pagecache.drop(paths)
    pagecache.cached_share(paths)
    assert psutil.Process().num_fds() == before


def test_tmpfs_is_refused(in_memory: Path) -> None:
    """A file that has no other place than memory can't be cold, and the user is told so."""
    pagecache.drop([in_memory])
    assert pagecache.cached_share([in_memory]) == 1.0
    with pytest.raises(InputError, match=r"stays in memory.*tmpfs.*measure warm$"):
        pagecache.check(in_memory)


def test_mapped_file_is_refused(disk: Path) -> None:
    """A file that a program uses through a mapping stays in memory; unmapped it does not."""
    (path,) = write(disk, [2 * PAGE])
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert mapped[0] == ord("x")
        with pytest.raises(InputError, match="stays in memory"):
            pagecache.check(path)
    pagecache.check(path)


def test_a_moment_is_waited_for(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages that somebody else reads at this moment are no reason to refuse a disk."""
    (path,) = write(disk, [PAGE])
    drop = pagecache.drop
    readers = [True, True]

    def drop_and_read(paths: list[Path]) -> None:
        drop(paths)
        if readers:
            readers.pop()
            path.read_bytes()

    monkeypatch.setattr(pagecache, "drop", drop_and_read)
    pagecache.check(path)
    assert not readers


def test_what_keeps_pages_elsewhere_is_refused(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where reading leaves no pages (ZFS) "none in memory" says nothing, and is not taken for cold."""
    (path,) = write(disk, [PAGE])
    monkeypatch.setattr(pagecache, "cached_share", lambda _: 0.0)
    with pytest.raises(InputError, match=r"leaves no pages.*measure warm$"):
        pagecache.check(path)


def test_files_of_others_are_refused(of_others: Path) -> None:
    """Of a file that may only be read Linux calls every page resident: that is not believed."""
    with pytest.raises(InputError, match=r"does not tell who may only read.*measure warm$"):
        pagecache.cached_share([of_others])
    with pytest.raises(InputError, match="does not tell"):
        pagecache.check(of_others)


@pytest.mark.parametrize(
    ("owner", "mode", "content", "share"),
    [(0, 0o666, b"x", 1.0), (NOBODY, 0o444, b"x", 1.0), (0, 0o444, b"", 0.0)],
    ids=["may-write", "owns", "empty"],
)
def test_who_is_told(of_others: Path, owner: int, mode: int, content: bytes, share: float) -> None:
    """Who may write a file or owns it is told; of an empty file there is nothing to tell."""
    if os.getuid() != 0:
        pytest.skip("needs root, to make files of several users")
    os.seteuid(0)
    of_others.write_bytes(content)
    os.chown(of_others, owner, -1)
    of_others.chmod(mode)
    os.seteuid(NOBODY)
    assert pagecache.cached_share([of_others]) == share


def test_platform_without_advice(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform that can't drop files (macOS, Windows) is refused before anything is read."""
    monkeypatch.delattr(os, "posix_fadvise")
    with pytest.raises(InputError, match=r"has no call that drops.*measure warm$"):
        pagecache.check(disk / "not-there")


class NoFunctions:
    """A C library that has none of the functions."""

    def __init__(self, *_: object, **__: object) -> None:
        pass


def no_library(*_: object, **__: object) -> None:
    """Windows has no library of the program itself."""
    raise TypeError


@pytest.mark.parametrize("library", [NoFunctions, no_library])
def test_platform_without_mincore(
    disk: Path, monkeypatch: pytest.MonkeyPatch, library: object
) -> None:
    """A platform that can't tell what is in memory is refused."""
    (path,) = write(disk, [PAGE])
    monkeypatch.setattr(ctypes, "CDLL", library)
    with pytest.raises(InputError, match=r"has no call that tells.*measure warm$"):
        pagecache.check(path)


@pytest.mark.parametrize("name", ["not-there", "folder", "loop"])
def test_unreadable_files_are_named(tmp_path: Path, name: str) -> None:
    """A path that is no file that can be read is named in one line."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError) as caught:
        pagecache.check(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_failed_call_is_an_error(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mincore that fails is not taken for an answer."""
    (path,) = write(disk, [PAGE])
    failing = SimpleNamespace(mincore=lambda *_: -1)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: failing)
    with pytest.raises(OSError):  # noqa: PT011  (its number is the system's)
        pagecache.cached_share([path])
