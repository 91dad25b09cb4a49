"""Datasets: made ones are reproducible, found ones are checked, and both are laid out in order."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import skimage.io
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.io import imread

from segbench.errors import InputError
from segbench.images import datasets
from segbench.images import smear as generator
from segbench.images.datasets import Dataset, lay_out
from segbench.images.origin import Origin, parse_shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

REFERENCE = Path(__file__).parents[1] / "results" / "reference"
SHAPE = (32, 40)
TISSUE = "58c7edd221e24f9b1a693c030f3faf80b7538608ec3908ebb10087e96b88d235"
ODD_NAMES = ("with space.jpg", "[1].jpg", "star*.jpg", "what?.jpg", "ünï 細胞.jpg", "a'b\"c;,.jpg")
FLAVOURS = ("smear", "tissue")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty cache folder."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SEGBENCH_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give an empty folder for images."""
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


def noise(shape: tuple[int, ...], dtype: str = "uint8", seed: int = 0) -> NDArray[Any]:
    """Random pixels."""
    random = np.random.default_rng(seed)
    return random.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def save(path: Path, pixels: NDArray[Any] | None = None) -> Path:
    """Write pixels (by default RGB ones) in the format of the suffix."""
    pixels = noise((*SHAPE, 3)) if pixels is None else pixels
    if path.suffix.lower() in (".tif", ".tiff"):
        tifffile.imwrite(path, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack")
    else:
        Image.fromarray(pixels).save(path)
    return path


def make(name: str, count: int, **options: Any) -> Dataset:
    """Make a small dataset by its name."""
    made: Callable[..., Dataset] = getattr(datasets, name)
    return made(count, **{"shape": SHAPE, **options})


def from_images(*images: str, limit: int | None = None, **asked: Any) -> Dataset:
    """Take a user's images, by paths or patterns."""
    origin = Origin(
        images=tuple(os.path.abspath(path) for path in images),  # noqa: PTH100  (a pattern, too)
        **asked,
    )
    return datasets.from_images(origin, limit=limit)


def refusal(pattern: Path | str) -> str:
    """Get the message that an input is refused with, which is one line."""
    with pytest.raises(InputError) as caught:
        from_images(str(pattern))
    message = str(caught.value)
    assert message
    assert len(message.splitlines()) == 1
    return message


# Made datasets


@pytest.mark.parametrize("name", FLAVOURS)
def test_same_wish_same_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataset made again from its seed has the same files; any other wish has another key."""
    made = []
    for cache, seed in (("one", 3), ("two", 3), ("three", 4)):
        monkeypatch.setenv("SEGBENCH_CACHE_DIR", str(tmp_path / cache))
        dataset = make(name, 2, seed=seed)
        made.append([file.read_bytes() for file in (*dataset.files, *dataset.truth)])
    assert made[0] == made[1]
    assert not {*made[0]} & {*made[2]}
    others = [make(name, 3, seed=4), make(name, 2), make(name, 2, seed=4, shape=(40, 32))]
    monkeypatch.setattr(generator, "VERSION", generator.VERSION + 1)
    monkeypatch.setattr(datasets, "TISSUE_VERSION", datasets.TISSUE_VERSION + 1)
    others.append(make(name, 2, seed=4))
    assert len({dataset.key for dataset in [dataset, *others]}) == 5


@pytest.mark.parametrize("name", FLAVOURS)
def test_made_files_are_as_described(name: str, cache: Path) -> None:
    """Files lie in order in the cache, with the shape and type that the dataset says, no two alike."""
    dataset = make(name, 3)
    assert dataset.name == name
    assert [file.stem for file in dataset.files] == ["000000", "000001", "000002"]
    for file in dataset.files:
        assert file.is_relative_to(cache)
        assert (imread(file).shape, str(imread(file).dtype)) == (dataset.shape, dataset.dtype)
    assert dataset.shape == (*SHAPE, 3)
    contents = [file.read_bytes() for file in dataset.files]
    assert len({*contents}) == 3
    # The first are those of a smaller dataset, which has another key.
    small = make(name, 2)
    assert [file.read_bytes() for file in small.files] == contents[:2]
    assert small.key != dataset.key


def test_keys_are_those_of_recorded_runs(cache: Path) -> None:
    """Images that runs have recorded by their key are found under it."""
    assert make("smear", 3, seed=2).key == "smear-ba59cc1437230a27"
    assert make("tissue", 3, seed=2).key == "tissue-ba59cc1437230a27"
    recorded = sorted(REFERENCE.glob("*/run.jsonl"))
    headers = [json.loads(file.read_text().splitlines()[0]) for file in recorded]
    for described in (header["dataset"] for header in headers if header["dataset"]["truth"]):
        # As if all its images were there.
        for part in ("images", "truth"):
            (cache / described["key"] / part).mkdir(parents=True, exist_ok=True)
        found = datasets.find(datasets.origin_of(described), described["images"])
        assert (found.key, list(found.shape)) == (described["key"], described["shape"])
    assert cache.exists()


@pytest.mark.parametrize("name", FLAVOURS)
def test_origin_finds_the_same_images(name: str, folder: Path) -> None:
    """What a header says of its dataset leads back to it; what makes no sense is refused."""
    for file in make(name, 2).files:
        (folder / file.name).write_bytes(file.read_bytes())
    for dataset in (make(name, 2), from_images(str(folder))):
        described = json.loads(json.dumps(datasets.describe(dataset)))
        assert datasets.find(datasets.origin_of(described), 2) == dataset
        for origin in (None, {"nonsense": 1}, {**described["origin"], "shape": 3}):
            with pytest.raises(InputError, match="can't be found again"):
                datasets.origin_of({**described, "origin": origin})


def test_smear_files_are_the_generators() -> None:
    """A smear file holds the generator's pixels as JPEG of quality 92, its label image the labels."""
    dataset = make("smear", 2, seed=5)
    truth = datasets.read_labels(dataset.truth)
    assert truth.dtype == np.int32
    for index, (file, labels) in enumerate(zip(dataset.files, truth, strict=True)):
        made, expected = generator.smear_image(index, seed=5, shape=SHAPE), io.BytesIO()
        Image.fromarray(made.pixels).save(expected, format="JPEG", quality=92)
        assert file.read_bytes() == expected.getvalue()
        np.testing.assert_array_equal(labels, made.truth)
        assert labels.max() > 0


def test_tissue_is_that_of_this_version() -> None:
    """The pixels of some crops are the same everywhere until the version in their key is raised."""
    pixels = b"".join(imread(file).tobytes() for file in make("tissue", 4, seed=2).files)
    assert hashlib.sha256(pixels).hexdigest() == TISSUE


def test_tissue_is_cut_from_the_photograph() -> None:
    """A tissue image is a part of the photograph, perhaps flipped; the whole one fits too."""
    whole = imread(make("tissue", 1, shape=(512, 512)).files[0])
    crop = imread(make("tissue", 1).files[0])
    height, width = SHAPE
    assert any(
        np.array_equal(flipped[top : top + height, left : left + width], crop)
        for flipped in (whole, whole[::-1], whole[:, ::-1], whole[::-1, ::-1])
        for top, left in np.argwhere((flipped == crop[0, 0]).all(axis=2))
    )
    with pytest.raises(InputError, match="513x20: the tissue photograph is 512x512"):
        datasets.tissue(1, shape=(513, 20))


@pytest.mark.parametrize("name", FLAVOURS)
def test_made_once(name: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second call gives the same dataset and writes nothing."""
    first = make(name, 2)
    before = {file: file.stat().st_mtime_ns for file in cache.rglob("*")}
    monkeypatch.setattr(Image, "fromarray", pytest.fail)
    assert make(name, 2) == first
    assert {file: file.stat().st_mtime_ns for file in cache.rglob("*")} == before


def test_broken_making_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt while a dataset is made leaves nothing, and the next call makes it whole."""
    smear_image = generator.smear_image

    def interrupted(index: int, **options: Any) -> generator.Smear:
        if index == 1:
            raise KeyboardInterrupt
        return smear_image(index, **options)

    with monkeypatch.context() as patch:
        patch.setattr(generator, "smear_image", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make("smear", 2)
    assert list(cache.iterdir()) == []
    assert len(make("smear", 2).files) == 2


def test_made_while_another_makes_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two that make a dataset at once both get it whole, and nothing else is left."""
    smear_image = generator.smear_image
    other: list[Dataset] = []

    def overtaken(index: int, **options: Any) -> generator.Smear:
        monkeypatch.undo()
        monkeypatch.setenv("SEGBENCH_CACHE_DIR", str(cache))
        other.append(make("smear", 2))
        return smear_image(index, **options)

    monkeypatch.setattr(generator, "smear_image", overtaken)
    own = make("smear", 2)
    assert [own] == other
    assert [len(own.files), len(own.truth)] == [2, 2]
    assert [folder.name for folder in cache.iterdir()] == [own.key]


def test_two_processes_at_once(cache: Path) -> None:
    """Two processes may make, check and lay out the same images at the same time."""
    code = (
        "from segbench.images import datasets as d\n"
        "from segbench.images.origin import Origin\n"
        f"made = d.smear(3, shape={SHAPE})\n"
        "found = d.from_images(Origin(images=(str(made.files[0].parent),)))\n"
        "print(made.key, d.lay_out(made, 3), found.key, d.lay_out(found, 2))\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)  # noqa: S603
        for _ in range(2)
    ]
    first, second = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert first == second != ""
    assert not [file for file in cache.rglob("*") if file.name.startswith(".")]


# Found datasets


@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        (f"a{suffix}", shape, dtype)
        for suffixes, shapes, dtypes in (
            ((".jpg", ".jpeg", ".JPG", ".Jpeg"), ((), (3,)), ("uint8",)),
            ((".png", ".PNG"), ((), (3,), (4,)), ("uint8",)),
            ((".png",), ((),), ("uint16",)),
            ((".tif", ".tiff", ".TIF"), ((), (3,), (4,)), ("uint8", "uint16")),
        )
        for suffix in suffixes
        for shape in shapes
        for dtype in dtypes
    ],
)
def test_formats(folder: Path, name: str, shape: tuple[int, ...], dtype: str) -> None:
    """JPEG, PNG and TIFF, gray, RGB and RGBA, of 8 and 16 bit, are found, in upper case too."""
    file = save(folder / name, noise((*SHAPE, *shape), dtype))
    dataset = from_images(str(folder))
    assert dataset.files == (file,)
    assert dataset.shape == (*SHAPE, *shape)
    assert dataset.dtype == dtype
    assert dataset.truth == ()
    assert Path(lay_out(dataset, 1)).suffix == file.suffix.lower()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names(tmp_path: Path, name: str) -> None:
    """A name that looks like a pattern, has spaces or is not ASCII is one name, of file or folder."""
    folder = tmp_path / name.removesuffix(".jpg")
    folder.mkdir()
    # Names that it would match, were it taken for a pattern.
    decoy = folder.parent / "star1"
    decoy.mkdir()
    save(decoy / "1.jpg")
    file = save(folder / name)
    save(folder / "1.jpg")
    assert from_images(str(folder)).files == tuple(sorted([file, folder / "1.jpg"]))
    dataset = from_images(str(file))
    assert dataset.files == (file,)
    np.testing.assert_array_equal(imread(lay_out(dataset, 1)), imread(file))


def test_patterns_and_paths(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern takes what it matches by name, in folders too, and a relative one counts from here.

    Hidden files, files of other kinds and folders below are not taken for images of a folder. With
    a limit the first are taken; several paths stay in their order.
    """
    (folder / "in" / "in").mkdir(parents=True)
    names = ("a1.png", "b10.png", "b2.png", "in/a.png", "in/in/a.png")
    files = [save(folder / name) for name in names]
    for name in ("b3.txt", ".hidden.png", "._a.jpg", "Thumbs.db"):
        (folder / name).write_text("no image")
    assert from_images(str(folder / "b*")).files == tuple(files[1:3])
    assert from_images(str(folder / "**" / "[!.]*.png")).files == tuple(files)
    monkeypatch.chdir(folder.parent)
    assert from_images(folder.name).files == tuple(files[:3])
    assert from_images(f"{folder.name}/a*.png").files == tuple(files[:1])
    (folder / "c.png").write_text("no image")
    assert from_images(folder.name, limit=3).files == tuple(files[:3])
    assert from_images(f"{folder.name}/b2.png", f"{folder.name}/a*.png").files == (
        files[2],
        files[0],
    )


def test_images_are_checked_once_a_content(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images that were good are not decoded again, unless they have changed: then nothing is kept."""
    file = save(folder / "a.png")
    first = from_images(str(folder))
    with monkeypatch.context() as patch:
        patch.setattr(skimage.io, "imread", pytest.fail)
        assert from_images(str(folder)) == first
    os.utime(save(file, noise((*SHAPE, 3), seed=1)), ns=(0, 0))
    assert from_images(str(folder)).key != first.key
    save(file, noise((20, 20)))
    assert from_images(str(folder)).shape == (20, 20)
    file.write_text("no image")
    assert "a.png" in refusal(folder)


# Laid out


def test_links_are_in_order(folder: Path) -> None:
    """Links are numbered with zeros in front, so that letters and numbers sort them as the dataset.

    They keep the suffix, in lower case. One image is passed by its path, since dask-image fails on
    a pattern that one file matches.
    """
    suffixes = (".png", ".JPG", ".tif")
    for index in range(12):
        save(folder / f"{index}{suffixes[index % 3]}", np.full(SHAPE, index, np.uint8))
    dataset = from_images(str(folder))
    for count in (12, 2):
        pattern = Path(lay_out(dataset, count))
        links = sorted(pattern.parent.glob(pattern.name))
        assert links == datasets.laid_out(dataset, count)
        for index, (link, file) in enumerate(zip(links, dataset.files, strict=False)):
            assert link.name == f"{index:06d}{file.suffix.lower()}"
            np.testing.assert_array_equal(imread(link), imread(file))
        assert lay_out(dataset, count) == str(pattern)
    assert not list(pattern.parent.parent.glob(".*"))
    assert Path(lay_out(dataset, 1)).read_bytes() == dataset.files[0].read_bytes()


@pytest.mark.parametrize("refused", [["symlink"], ["symlink", "link"]])
def test_without_links(folder: Path, refused: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where links can't be made the files are linked hard, or copied."""

    def no_right(*_: object) -> None:
        raise PermissionError

    dataset = from_images(str(save(folder / "a.png")))
    for name in refused:
        monkeypatch.setattr(os, name, no_right)
    path = Path(lay_out(dataset, 1))
    assert not path.is_symlink()
    np.testing.assert_array_equal(imread(path), imread(dataset.files[0]))


# Bad input


def cut(path: Path, share: float) -> None:
    """Cut the end of a file off."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def bad(path: Path, how: Any) -> None:
    """Write an image that can't be used."""
    match how:
        case float():
            cut(save(path), how)
        case bytes():
            path.write_bytes(how)
        case str():
            Image.fromarray(noise((*SHAPE, 3))).convert(how).save(path)
        case np.ndarray() if path.suffix == ".tif" and how.shape[-1] > 4:
            tifffile.imwrite(path, how, photometric="minisblack")
        case np.ndarray():
            save(path, how)
        case _:
            how(path)


NO_IMAGE = b"a\nb\n" * 99
# By what is wrong: a file, and what is said of it.
BAD: dict[str, tuple[str, Any, str]] = {
    "corrupt JPEG": ("b.jpg", b"\xff\xd8\xff\xe0" * 50, "can't be read as an image"),
    "cut-off JPEG": ("b.jpg", 0.5, "can't be read as an image"),
    "slightly cut JPEG": ("b.jpg", 0.95, "can't be read as an image"),
    "nearly lost JPEG": ("b.jpg", 0.05, "can't be read as an image"),
    "cut-off PNG": ("b.png", 0.5, "can't be read as an image"),
    "cut-off TIFF": ("b.tif", 0.5, "can't be read as an image"),
    "empty JPEG": ("b.jpg", b"", "the file is empty"),
    "empty TIFF": ("b.tif", b"", "the file is empty"),
    "text named JPEG": ("b.jpg", NO_IMAGE, "can't be read as an image"),
    "text named TIFF": ("b.tif", NO_IMAGE, "can't be read as an image"),
    "text named PNG": ("b.png", NO_IMAGE, "can't be read as an image"),
    "CMYK JPEG": ("b.jpg", "CMYK", "CMYK colours"),
    "CMYK TIFF": ("b.tif", "CMYK", "SEPARATED colours"),
    "link to nowhere": ("b.png", lambda path: path.symlink_to("nowhere.png"), "can't be opened"),
}
UNLIKE: dict[str, tuple[str, Any, str]] = {
    "other size": ("b.png", noise((9, 8, 3)), "1 of 9x8x3 uint8"),
    "turned": ("b.png", noise((*SHAPE[::-1], 3)), "1 of 40x32x3 uint8"),
    "gray among RGB": ("b.png", noise(SHAPE), "1 of 32x40 uint8"),
    "RGBA among RGB": ("b.png", noise((*SHAPE, 4)), "1 of 32x40x4 uint8"),
    "16 bit": ("b.tif", noise((*SHAPE, 3), "uint16"), "1 of 32x40x3 uint16"),
}


@pytest.mark.parametrize("what", BAD | UNLIKE)
def test_what_does_not_fit_is_left_out(cache: Path, folder: Path, what: str) -> None:
    """Beside a good image it is left out, in one line that says what; a bad one alone is refused."""
    name, how, reason = (BAD | UNLIKE)[what]
    bad(folder / name, how)
    if what in BAD:
        message = refusal(folder)
        assert reason in message
        assert str(folder / name) in message
        assert not [*cache.glob("*")]
    save(folder / "a.png")
    dataset = from_images(str(folder))
    assert dataset.files == (folder / "a.png",)
    (left_out,) = dataset.left_out
    assert reason in left_out


def test_the_most_of_a_kind_are_taken(folder: Path) -> None:
    """Of images of several shapes those of which there are most, in order, whatever came first."""
    save(folder / "0.png", noise((9, 8, 3)))
    files = [save(folder / f"{index}.png") for index in (1, 2, 3)]
    (folder / "notes.txt").write_text("no image")
    (folder / "day2").mkdir()
    dataset = from_images(str(folder))
    assert dataset.files == tuple(files)
    kind, others = dataset.left_out
    assert kind == "1 of 9x8x3 uint8"
    assert others == "2 that are no images: day2 (a folder), notes.txt"
    assert from_images(str(folder), limit=2).files == tuple(files[:2])


def test_odd_images_are_copied(folder: Path) -> None:
    """What readers do not read alike is a copy that they do: every page of a stack."""
    pages = noise((5, *SHAPE))
    tifffile.imwrite(folder / "a.tif", pages, photometric="minisblack")
    dataset = from_images(str(folder))
    assert len(dataset.files) == 5
    assert dataset.shape == SHAPE
    for file, page in zip(dataset.files, pages, strict=True):
        np.testing.assert_array_equal(imread(file), page)
    assert lay_out(dataset, 5) == lay_out(from_images(str(folder)), 5)


def test_a_channel_is_chosen(folder: Path) -> None:
    """Of images in colours one channel, as gray."""
    pixels = noise((*SHAPE, 3))
    save(folder / "a.png", pixels)
    dataset = from_images(str(folder), channel=2)
    np.testing.assert_array_equal(imread(dataset.files[0]), pixels[..., 1])


def test_truth_is_found_by_name(folder: Path, tmp_path: Path) -> None:
    """A label image bears the name of its image; one that is missing is named."""
    truth = tmp_path / "truth"
    labels = np.arange(np.prod(SHAPE), dtype=np.int32).reshape(SHAPE)
    for name in ("a.png", "b.png"):
        save(folder / name)
    datasets.save_label_image(truth / "a.png.tif", labels)
    with pytest.raises(InputError, match=r"no label image b.tif for b.png"):
        from_images(str(folder), truth=str(truth))
    datasets.save_label_image(truth / "b.tif", labels + 1)
    dataset = from_images(str(folder), truth=str(truth))
    np.testing.assert_array_equal(datasets.read_labels(dataset.truth), [labels, labels + 1])


@pytest.mark.parametrize("end", ["", "*.png", "a.png", "[a-z]/x.png"])
def test_nothing_there(tmp_path: Path, end: str) -> None:
    """A folder, file or pattern with nothing there, or with no image, is refused by its name."""
    assert str(tmp_path / "nowhere" / end) in refusal(tmp_path / "nowhere" / end)
    text = tmp_path / "notes.txt"
    text.write_text("no image")
    assert refusal(tmp_path).startswith(f"{tmp_path} holds no image: segbench reads .jpg")
    # One that is named is tried.
    assert "can't be read as an image" in refusal(text)


@pytest.mark.parametrize(
    ("place", "named"), [(".", "[cache]"), (".", "cache*"), (".", "cache?"), ("[work]", "cache")]
)
def test_cache_folder_is_no_pattern(
    tmp_path: Path, place: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache folder, perhaps relative, that readers would take for a pattern is refused."""
    (tmp_path / place).mkdir(exist_ok=True)
    monkeypatch.setenv("SEGBENCH_CACHE_DIR", named)
    monkeypatch.chdir(tmp_path / place)
    with pytest.raises(InputError, match="set SEGBENCH_CACHE_DIR"):
        datasets.cache_folder()
    monkeypatch.setenv("SEGBENCH_CACHE_DIR", "cache")
    monkeypatch.chdir(tmp_path)
    assert datasets.cache_folder() == tmp_path / "cache"


@pytest.mark.parametrize(
    "text", ["", "10", "192x", "15x256", "192x256x3", "axb", "-16x16", "9e9x9", "16x131073"]
)
def test_bad_shape(text: str) -> None:
    """A shape that is not two whole numbers of pixels in range is refused."""
    with pytest.raises(InputError, match="give height x width in pixels, from 16 to 131072"):
        parse_shape(text)
    assert parse_shape("16x131072") == (16, 131072)
    assert parse_shape("192X256") == (192, 256)


# Label images


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), top=st.sampled_from([1, 255, 65535, 65536, 2**31 - 1]))
def test_label_images_keep_every_id(
    tmp_path_factory: pytest.TempPathFactory, seed: int, top: int
) -> None:
    """A label image is read back as it was, whatever its ids."""
    labels = np.random.default_rng(seed).integers(0, top, SHAPE, np.int32, endpoint=True)
    path = tmp_path_factory.mktemp("labels") / "below" / "a.tif"
    datasets.save_label_image(path, labels)
    np.testing.assert_array_equal(datasets.read_labels([path])[0], labels)
