"""The files that paths and patterns stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from segbench.errors import InputError
from segbench.images.paths import find, names_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with images, and other things."""
    for name in ("b.png", "a.JPG", "c.bmp", ".hidden.png", "notes.txt", "day2/d.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"any")
    return tmp_path


def test_a_folder_has_images_and_other_things(folder: Path) -> None:
    """Images of every suffix are taken by name; what else is there is told, hidden files are not."""
    found = find([str(folder)])
    assert [file.name for file in found.files] == ["a.JPG", "b.png", "c.bmp"]
    assert [path.name for path in found.left_out] == ["day2", "notes.txt"]
    assert names_of(found.left_out) == "day2 (a folder), notes.txt"


def test_several_paths_are_taken_in_their_order(folder: Path) -> None:
    """Each file is taken once; one that is named is taken whatever it is called."""
    paths = [folder / "c.bmp", folder / "*.png", folder / "notes.txt", folder, folder / "day2"]
    found = find([str(path) for path in paths])
    names = [file.relative_to(folder).as_posix() for file in found.files]
    assert names == ["c.bmp", "b.png", "notes.txt", "a.JPG", "day2/d.jpg"]


@pytest.mark.parametrize("path", ["nowhere", "*.tif", "empty"])
def test_what_stands_for_nothing_is_named(folder: Path, path: str) -> None:
    """Also where another path stands for something."""
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match=r"no such folder or file|holds no image") as caught:
        find([str(folder), str(folder / path)])
    assert str(folder / path) in str(caught.value)


def test_of_many_names_the_first_are_told(folder: Path) -> None:
    """And how many more there are."""
    assert names_of([folder / str(number) for number in range(5)]) == "0, 1, 2 and 2 more"
