"""Files and folders are whole or not there."""

from __future__ import annotations

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segbench.files import new_folder, write_bytes, write_text

if TYPE_CHECKING:
    from pathlib import Path


class HalfWay:
    """A file that breaks after half of what it is given."""

    def __init__(self, file: IO[bytes], error: BaseException) -> None:
        self.file = file
        self.error = error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, content: bytes) -> None:
        """Write a half, then fail."""
        self.file.write(content[: len(content) // 2])
        self.file.flush()
        raise self.error


@pytest.fixture(params=[OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def breaking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type:
    """Make every write end half-way; the type of error it ends with."""
    fdopen = os.fdopen

    def open_breaking(handle: int, mode: str) -> HalfWay:
        return HalfWay(fdopen(handle, mode), request.param)

    monkeypatch.setattr("segbench.files.os.fdopen", open_breaking)
    return type(request.param)


def test_a_link_stays_one(tmp_path: Path) -> None:
    """What a link leads to is replaced, whether it was there or not."""
    file, link = tmp_path / "elsewhere" / "file", tmp_path / "link"
    link.symlink_to(file)
    for content in (b"old", b"new"):
        write_bytes(link, content)
        assert link.is_symlink()
        assert file.read_bytes() == content


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this platform")
def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    """What is no file, as /dev/stdout, takes the content and is not replaced by it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_bytes)
        write_bytes(pipe, b"content")
        assert read.result(timeout=10) == b"content"
    assert pipe.is_fifo()


@settings(max_examples=20, deadline=None)
@given(old=st.binary(max_size=100), new=st.binary(max_size=100))
def test_content_is_replaced(
    tmp_path_factory: pytest.TempPathFactory, old: bytes, new: bytes
) -> None:
    """A file holds what was written last, and nothing lies beside it."""
    path = tmp_path_factory.mktemp("files") / "file"
    for content in (old, new):
        write_bytes(path, content)
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_text_is_utf8(tmp_path: Path) -> None:
    """Text is written as UTF-8 with its line ends as they are, whatever the locale."""
    write_text(tmp_path / "text", "zellen µm 細胞\n")
    assert (tmp_path / "text").read_bytes() == "zellen µm 細胞\n".encode()


def test_folders_above_are_made(tmp_path: Path) -> None:
    """A file can be written into folders that are not there yet."""
    write_bytes(tmp_path / "a" / "b" / "file", b"x")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"x"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_others_may_read(tmp_path: Path) -> None:
    """A written file is readable by others, though the temporary file it was is not."""
    write_bytes(tmp_path / "file", b"x")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_broken_write_leaves_the_old_file(tmp_path: Path, breaking: type[BaseException]) -> None:
    """A write that breaks half-way leaves the old content and no leftovers."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(breaking):
        write_bytes(path, b"new content")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_broken_write_leaves_nothing_new(tmp_path: Path, breaking: type[BaseException]) -> None:
    """A write that breaks half-way does not make a file that was not there."""
    with pytest.raises(breaking):
        write_bytes(tmp_path / "file", b"new content")
    assert list(tmp_path.iterdir()) == []


def test_folder_in_the_way_is_left(tmp_path: Path) -> None:
    """A folder of the file's name is not replaced, and nothing is left beside it."""
    (tmp_path / "file" / "inside").mkdir(parents=True)
    with pytest.raises(OSError):  # noqa: PT011 (its type and text are the system's)
        write_bytes(tmp_path / "file", b"x")
    assert list(tmp_path.rglob("*")) == [tmp_path / "file", tmp_path / "file" / "inside"]


def test_reader_never_sees_a_part(tmp_path: Path) -> None:
    """Who reads a file while it is rewritten gets one content or the other."""
    path = tmp_path / "file"
    contents = (b"a" * 100_000, b"b" * 50_000)
    write_bytes(path, contents[0])
    done = threading.Event()

    def rewrite() -> None:
        for turn in range(50):
            write_bytes(path, contents[turn % 2])
        done.set()

    seen = set()
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(rewrite)
        while not (done.is_set() or writing.done()):
            seen.add(path.read_bytes())
        writing.result()
    assert seen <= set(contents)


def test_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    """A new folder is there under its name only after the block, with all that was put in."""
    path = tmp_path / "above" / "folder"
    with new_folder(path) as beside:
        (beside / "file").write_text("x")
        assert not path.exists()
    assert [file.name for file in path.iterdir()] == ["file"]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_exception_leaves_no_folder(tmp_path: Path, error: type[BaseException]) -> None:
    """An exception while a folder is filled leaves nothing, half-filled or temporary."""

    def break_off() -> None:
        with new_folder(tmp_path / "folder") as beside:
            (beside / "file").write_text("x")
            raise error

    with pytest.raises(error):
        break_off()
    assert list(tmp_path.iterdir()) == []


def test_first_to_finish_stays(tmp_path: Path) -> None:
    """Of two that make the same folder at once the first to finish wins, and the other is no error."""
    path = tmp_path / "folder"
    with new_folder(path) as slow:
        (slow / "slow").write_text("x")
        with new_folder(path) as quick:
            (quick / "quick").write_text("x")
    assert [file.name for file in path.iterdir()] == ["quick"]
    assert list(tmp_path.iterdir()) == [path]


def test_many_threads_make_one_folder(tmp_path: Path) -> None:
    """However many make a folder at once, it is one maker's work and nothing is left beside it."""
    path, makers = tmp_path / "folder", 8
    start = threading.Barrier(makers)

    def make(maker: int) -> None:
        with new_folder(path) as beside:
            for part in range(3):
                (beside / f"{part}").write_text(str(maker))
            start.wait()

    with ThreadPoolExecutor(makers) as pool:
        list(pool.map(make, range(makers)))
    written: list[Any] = [file.read_text() for file in path.iterdir()]
    assert len(written) == 3
    assert len(set(written)) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    """A file of the folder's name is left as it is, and said to be in the way."""
    path = tmp_path / "folder"
    path.write_text("a file")
    with pytest.raises(OSError), new_folder(path):  # noqa: PT011 (as above)
        pass
    assert path.read_text() == "a file"
    assert list(tmp_path.iterdir()) == [path]
