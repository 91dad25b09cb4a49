"""Images of any file as plain pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from imagecodecs import png_encode
from PIL import Image
from skimage.io import imread

from segbench.errors import InputError, UnreadableError
from segbench.images import plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

SHAPE = (32, 40)
GRAY = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)
COLOURS = np.random.default_rng(1).integers(0, 256, (*SHAPE, 3), np.uint8)
RAMP = np.stack([np.arange(256) * 257] * 3).astype(np.uint16)


def decoded(file: Path, **options: Any) -> list[NDArray[Any]]:
    """The images of a file."""
    return [image.pixels for image in plain.images_of(file, **options)]


def pil(mode: str, **options: Any) -> Callable[[Path], object]:
    """What writes the gray image in a mode of Pillow."""
    return lambda path: Image.fromarray(GRAY).convert(mode).save(path, **options)


def tiff(values: NDArray[Any], **options: Any) -> Callable[[Path], object]:
    """What writes values as TIFF."""
    return lambda path: tifffile.imwrite(path, values, **options)


def png_16(values: NDArray[Any]) -> Callable[[Path], object]:
    """What writes a PNG of 16 bit, which Pillow can't."""
    return lambda path: path.write_bytes(png_encode(values))


RGBA = np.dstack([COLOURS, GRAY])
# By a name: the file, what writes it, and the pixels that it stands for.
ODD: dict[str, tuple[str, Callable[[Path], object], NDArray[Any]]] = {
    "1 bit": ("a.png", lambda path: Image.fromarray(GRAY > 99).save(path), GRAY > 99),
    "gray palette PNG": ("a.png", pil("P"), GRAY),
    "gray palette TIFF": ("a.tif", tiff(GRAY, photometric="palette", colormap=RAMP), GRAY),
    "white at 0": ("a.tif", tiff(255 - GRAY, photometric="miniswhite"), GRAY),
    "gray and alpha": (
        "a.png",
        lambda path: Image.fromarray(np.dstack([GRAY, GRAY // 2]), "LA").save(path),
        np.dstack([GRAY, GRAY, GRAY, GRAY // 2]),
    ),
    "gray and alpha TIFF": (
        "a.tif",
        tiff(np.dstack([GRAY, GRAY // 2]), photometric="minisblack", extrasamples=["unassalpha"]),
        np.dstack([GRAY, GRAY, GRAY, GRAY // 2]),
    ),
    "float": ("a.tif", tiff(GRAY.astype("f4")), GRAY.astype("f4")),
    "signed": ("a.tif", tiff(GRAY.astype("i2") - 9), GRAY.astype("i2") - 9),
    "RGB in planes": (
        "a.tif",
        tiff(np.moveaxis(COLOURS, 2, 0), photometric="rgb", planarconfig="separate"),
        COLOURS,
    ),
    "colours of 16 bit": ("a.png", png_16(COLOURS.astype("u2") * 257), COLOURS.astype("u2") * 257),
    "BMP": ("a.bmp", lambda path: Image.fromarray(COLOURS).save(path), COLOURS),
    "GIF named PNG": ("a.png", lambda path: Image.fromarray(GRAY).save(path, "GIF"), GRAY),
    "lying on its side": (
        "a.png",
        lambda path: Image.fromarray(COLOURS).save(path, exif=_turned(6)),
        np.rot90(COLOURS, -1),
    ),
    "lying on its side, TIFF": (
        "a.tif",
        tiff(GRAY, extratags=[(plain.ORIENTATION, 3, 1, 8, True)]),
        np.rot90(GRAY),
    ),
}


def _turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[plain.ORIENTATION] = orientation
    return exif


PLAIN: dict[str, tuple[str, Callable[[Path], object], NDArray[Any]]] = {
    "gray PNG": ("a.png", pil("L"), GRAY),
    "gray PNG of 16 bit": ("a.png", png_16(GRAY.astype("u2") * 257), GRAY.astype("u2") * 257),
    "RGBA PNG": ("a.PNG", lambda path: Image.fromarray(RGBA).save(path, "PNG"), RGBA),
    "LZW": ("a.tif", tiff(GRAY.astype("u2"), compression="lzw"), GRAY.astype("u2")),
    "deflate": ("a.tiff", tiff(COLOURS, photometric="rgb", compression="zlib"), COLOURS),
    "RGBA TIFF": ("a.tif", tiff(RGBA, photometric="rgb", extrasamples=["unassalpha"]), RGBA),
}


@pytest.mark.parametrize("what", ODD)
def test_odd_files_become_plain(tmp_path: Path, what: str) -> None:
    """What readers do not read alike is decoded as it is meant, and a copy is read by them so."""
    name, write, expected = ODD[what]
    write(tmp_path / name)
    assert plain.kind_as_it_is(tmp_path / name) is None
    (values,) = decoded(tmp_path / name)
    np.testing.assert_array_equal(values, expected)
    assert values.dtype == expected.dtype
    copy = plain.as_plain(values, None)
    plain.save(tmp_path / "copy.tif", copy)
    assert plain.kind_as_it_is(tmp_path / "copy.tif") == plain.kind_of(copy)
    np.testing.assert_array_equal(imread(tmp_path / "copy.tif"), copy)


@pytest.mark.parametrize("what", PLAIN)
def test_plain_files_are_told_by_their_header(tmp_path: Path, what: str) -> None:
    """What all readers read alike is read as it is; decoded here it is the same."""
    name, write, expected = PLAIN[what]
    write(tmp_path / name)
    assert plain.kind_as_it_is(tmp_path / name) == plain.kind_of(expected)
    np.testing.assert_array_equal(imread(tmp_path / name), expected)
    (values,) = decoded(tmp_path / name)
    np.testing.assert_array_equal(values, expected)


def test_jpeg_in_tiff_is_plain(tmp_path: Path) -> None:
    """A TIFF compressed as JPEG holds RGB."""
    Image.fromarray(COLOURS).save(tmp_path / "a.tif", compression="jpeg")
    assert plain.kind_as_it_is(tmp_path / "a.tif") == plain.kind_of(COLOURS)
    (values,) = decoded(tmp_path / "a.tif")
    np.testing.assert_array_equal(values, imread(tmp_path / "a.tif"))


@pytest.mark.parametrize("suffix", [".tif", ".gif"])
def test_each_page_of_a_stack_is_an_image(tmp_path: Path, suffix: str) -> None:
    """They are numbered from 1, in order."""
    pages = [GRAY, GRAY // 2, GRAY // 3]
    if suffix == ".tif":
        tifffile.imwrite(tmp_path / "a.tif", np.stack(pages), photometric="minisblack")
    else:
        first, *others = map(Image.fromarray, pages)
        first.save(tmp_path / "a.gif", save_all=True, append_images=others)
    found = [*plain.images_of(tmp_path / f"a{suffix}")]
    assert [image.number for image in found] == [1, 2, 3]
    for image, page in zip(found, pages, strict=True):
        gray = image.pixels if image.pixels.ndim == 2 else image.pixels[..., 0]
        np.testing.assert_array_equal(gray, page)


@pytest.mark.parametrize(
    "options",
    [
        {"values": np.moveaxis(RGBA, 2, 0), "metadata": {"axes": "CYX"}, "ome": True},
        {"values": RGBA, "photometric": "minisblack", "planarconfig": "contig"},
        {"values": RGBA, "photometric": "rgb", "extrasamples": ["unspecified"]},
    ],
    ids=["OME", "four gray samples", "RGB and one more"],
)
def test_channels_that_are_no_rgb_are_never_blended(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    """Without a choice they are refused in one line; with one there is that channel alone."""
    how = {name: value for name, value in options.items() if name != "values"}
    tifffile.imwrite(tmp_path / "a.tif", options["values"], **how)
    with pytest.raises(InputError, match="4 channels that are no RGB; choose a channel"):
        decoded(tmp_path / "a.tif")
    for channel in range(1, 5):
        (found,) = decoded(tmp_path / "a.tif", channel=channel)
        np.testing.assert_array_equal(found, RGBA[..., channel - 1])
    with pytest.raises(InputError, match="no channel 5; it holds 4 channels"):
        decoded(tmp_path / "a.tif", channel=5)


def test_a_channel_of_rgb_can_be_chosen(tmp_path: Path) -> None:
    """Red is the first."""
    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    (found,) = decoded(tmp_path / "a.png", channel=1)
    np.testing.assert_array_equal(found, COLOURS[..., 0])


def test_associated_alpha_is_divided_out(tmp_path: Path) -> None:
    """Colours that were multiplied with their transparency are shown as they were."""
    values = np.full((*SHAPE, 4), (100, 50, 25, 128), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["assocalpha"])
    (found,) = decoded(tmp_path / "a.tif")
    np.testing.assert_array_equal(found[0, 0], [199, 100, 50, 128])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jpg", b"\xff\xd8\xff\xe0" * 9, "can't be read as an image"),
        ("a.png", b"text", "can't be read as an image .of no format that is known.; convert it"),
        ("a.tif", b"II*\0", "can't be read as an image"),
        ("a.png", b"", "the file is empty"),
    ],
)
def test_what_can_not_be_read_is_told(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    """One line with the file, what is wrong, and what to do."""
    (tmp_path / name).write_bytes(content)
    for function in (plain.kind_as_it_is, decoded):
        with pytest.raises(UnreadableError, match=message) as caught:
            function(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


def test_cmyk_tells_how_to_convert(tmp_path: Path) -> None:
    """Colours for printing are refused, with the command that converts them."""
    Image.fromarray(COLOURS).convert("CMYK").save(tmp_path / "a.jpg")
    with pytest.raises(InputError, match=r"CMYK colours; convert it: magick a\.jpg"):
        decoded(tmp_path / "a.jpg")


@given(arrays.arrays(st.sampled_from(["i2", "f4", "f8"]), (4, 5), elements=st.integers(-999, 999)))
def test_values_keep_their_order(values: NDArray[Any]) -> None:
    """As plain pixels what was greater is not less, and the range is filled."""
    limits = plain.value_range([values])
    found = plain.as_plain(values, limits)
    assert found.dtype == np.uint16
    order = np.argsort(values, axis=None)
    assert (np.diff(found.ravel()[order].astype(int)) >= 0).all()


def test_whole_numbers_of_16_bit_stay() -> None:
    """Where no image has a value beyond 16 bit, values are those of the file."""
    values = GRAY.astype("i4") * 16
    assert plain.value_range([values, GRAY]) == (0, 65535)
    np.testing.assert_array_equal(plain.as_plain(values, (0, 65535)), values)
    assert plain.value_range([GRAY]) is None


def test_channels_that_pass_for_pages_are_refused(tmp_path: Path) -> None:
    """An array whose last axis are channels, written without axes, is a stack of slivers."""
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((30, 40, 2), np.uint8), photometric="minisblack")
    with pytest.raises(UnreadableError, match="30 images that are 2 pixels wide; if these"):
        list(plain.images_of(tmp_path / "a.tif"))


def test_bytes_in_another_order(tmp_path: Path) -> None:
    """A stack that another machine wrote has the same values, as a type that is plain."""
    stack = np.arange(2 * 30 * 40, dtype=np.uint16).reshape(2, 30, 40)
    tifffile.imwrite(tmp_path / "a.tif", stack, byteorder=">", photometric="minisblack")
    found = [image.pixels for image in plain.images_of(tmp_path / "a.tif")]
    assert [str(each.dtype) for each in found] == ["uint16"] * 2
    np.testing.assert_array_equal(np.stack(found), stack)
