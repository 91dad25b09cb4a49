"""Files and folders are whole or not there."""

from __future__ import annotations

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, Any, Self

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from segbench.files import new_folder, write_bytes, write_text

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = st.text(st.characters(codec="utf-8"), max_size=100)


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
@given(old=TEXTS, new=TEXTS)
@example(old="zellen µm 細胞\n", new="a\r\nb\udcff")
def test_content_is_replaced(tmp_path_factory: pytest.TempPathFactory, old: str, new: str) -> None:
    """A file holds what was written last, as UTF-8, may be read by others, and is all there is.

    Folders above it are made; names of files that are not UTF-8 keep their bytes.
    """
    path = tmp_path_factory.mktemp("files") / "above" / "file"
    for content in (old, new):
        write_text(path, content)
        assert path.read_bytes() == content.encode(errors="surrogateescape")
    assert list(path.parent.iterdir()) == [path]
    assert os.name == "nt" or path.stat().st_mode & 0o777 == 0o644


def test_broken_write_leaves_the_old_file(tmp_path: Path, breaking: type[BaseException]) -> None:
    """A write that breaks half-way leaves the old content, or no file, and no leftovers."""
    path = tmp_path / "file"
    with pytest.raises(breaking):
        write_bytes(path, b"new content")
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"old")
    with pytest.raises(breaking):
        write_bytes(path, b"new content")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_in_the_way_is_left(tmp_path: Path) -> None:
    """A folder in a file's place is not replaced, nor a file in a folder's, and nothing is left."""
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    (tmp_path / "file").write_text("a file")
    with pytest.raises(OSError):  # noqa: PT011 (its type and text are the system's)
        write_bytes(tmp_path / "folder", b"x")
    with pytest.raises(OSError), new_folder(tmp_path / "file"):  # noqa: PT011 (as above)
        pass
    assert (tmp_path / "file").read_text() == "a file"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder", "inside"]


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
            # It is there under its name after the block only.
            assert not path.exists()
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
