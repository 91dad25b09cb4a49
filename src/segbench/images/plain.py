"""Images of any file as plain pixels: those that all readers read alike.

A file is plain if every reader gives the same pixels of it: gray, RGB or RGBA, of 8 or 16 bit, one
image, upright. Of any other the images are decoded here, and what a reader opens is a copy.
"""

# Looking at a file's header is not to wait for libraries that other files need.
# ruff: noqa: PLC0415

from __future__ import annotations

import errno
import math
import tempfile
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from segbench.errors import InputError, UnreadableError, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from tifffile import TiffPageSeries

    Decode = Callable[[], NDArray[Any]]

T = TypeVar("T")

JPEG = (".jpg", ".jpeg")
PNG = (".png",)
TIFF = (".tif", ".tiff")
# What a folder is searched for; a file that is named is tried, whatever it is called.
SUFFIXES = (
    *(*JPEG, ".jpe", ".jfif", ".jp2", ".j2k", *PNG, *TIFF, ".lsm", ".stk"),
    *(".bmp", ".dib", ".gif", ".webp", ".pbm", ".pgm", ".ppm", ".pnm", ".tga"),
)

ORIENTATION = 0x0112  # the tag, in TIFF and in EXIF
# How an image is turned upright, by that tag.
UPRIGHT: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}

# TIFF's own numbers.
MINISWHITE, MINISBLACK, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6
ALPHA = {1: "associated", 2: "unassociated"}  # of extra samples
JPEG_IN_TIFF = 7

SAMPLE = 20  # images

# Pages no wider than that are the channels of an image, whose axes were not told.
MOST_CHANNELS = 4

NOT_ALLOWED = "may not be read; change its permissions"

FULL = {"uint8": 255, "uint16": 65535}


class NoSpaceError(InputError):
    """The folder for temporary files is full."""

    def __init__(self) -> None:
        folder = tempfile.gettempdir()
        super().__init__(f"{folder}: no space left; set TMPDIR to a folder with more of it")


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """One image of a file, decoded.

    Attributes
    ----------
    number : int
        From 1, where the file holds several; 0 where it is the only one.
    pixels : ndarray, shape (H, W), (H, W, 3) or (H, W, 4)
        Gray, RGB or RGBA. Colours are uint8 or uint16; gray values of any type, as in the file.
    """

    number: int = 0
    pixels: NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What images must have in common to be one array: a shape ``(H, W[, C])`` and a type."""

    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        """Such as ``192x256x3 uint8``."""
        return f"{'x'.join(map(str, self.shape))} {self.dtype}"


def kind_of(values: NDArray[Any]) -> Kind:
    """The kind of some pixels."""
    return Kind(shape=values.shape, dtype=str(values.dtype))


def pixels_of(file: Path) -> int:
    """Height times width of a picture, from its header; 0 of what Pillow can't open."""
    with suppress(Exception), warnings.catch_warnings(action="ignore"), Image.open(file) as image:
        return image.height * image.width
    return 0


def kind_as_it_is(file: Path, *, channel: int | None = None) -> Kind | None:
    """What a plain file holds, from its header; None where its pixels are not to be had as they are.

    Parameters
    ----------
    file : Path
        Of any format.
    channel : int, optional
        From 1: the only one that is wanted.

    Raises
    ------
    InputError
        If it can't be opened as an image.
    """
    with _told(file):
        kind = _plain_tiff(file) if file.suffix.lower() in TIFF else _plain_picture(file)
    alone = channel is None or (channel == 1 and kind is not None and len(kind.shape) == 2)
    return kind if alone else None


def _plain_picture(file: Path) -> Kind | None:
    """What a plain JPEG or PNG holds."""
    if file.suffix.lower() not in (*JPEG, *PNG):
        return None
    with Image.open(file) as image:
        alike = {"JPEG": JPEG, "PNG": PNG}.get(image.format or "", ())
        channels = {"L": (), "I;16": (), "RGB": (3,), "RGBA": (4,)}.get(image.mode)
        plain = (
            file.suffix.lower() in alike
            and channels is not None
            and "transparency" not in image.info
            and _turned(image) == 1
            and getattr(image, "n_frames", 1) == 1
            # Pillow reads eight of the sixteen bits of a colour.
            and not (image.format == "PNG" and image.mode != "I;16" and _bits_of_png(file) > 8)
        )
        if not plain or channels is None:
            return None
        dtype = "uint16" if image.mode == "I;16" else "uint8"
        return Kind(shape=(image.height, image.width, *channels), dtype=dtype)


def _turned(image: Image.Image) -> int:
    """How an image is turned; a PNG is not decoded to see whether that stands behind its pixels."""
    told = image.format != "PNG" or "exif" in image.info
    return int(image.getexif().get(ORIENTATION, 1)) if told else 1


def images_of(file: Path, *, channel: int | None = None) -> Iterator[Decoded]:
    """Decode the images of a file: every page of a stack, in order.

    A palette becomes the colours it stands for, or gray where all of them are; what is white at 0 is
    turned round; an image is turned upright as its orientation tag says; transparency stays as a
    fourth channel, wherever it was told.

    Parameters
    ----------
    file : Path
        Of any format that Pillow or tifffile read.
    channel : int, optional
        From 1: this channel alone, as gray.

    Yields
    ------
    Decoded
        As the file holds them, one after the other.

    Raises
    ------
    InputError
        If it can't be read, holds channels that are no RGB and none was chosen, or lacks that one.
    """
    with _told(file), _open(file, channel) as images:
        for number, decode in enumerate(images, start=int(len(images) > 1)):
            yield Decoded(number=number, pixels=decode())


def count_images(file: Path, *, channel: int | None = None) -> tuple[int, Kind]:
    """How many images a file holds, and the kind of the first one as plain pixels.

    Raises
    ------
    InputError
        As `images_of` does.
    """
    with _told(file), _open(file, channel) as images:
        return len(images), kind_of(as_plain(images[0](), None))


def sample_of(found: Sequence[Path], *, channel: int | None = None) -> Iterator[NDArray[Any]]:
    """Some images of files, as those hold them: from all over the files, and over what each holds.

    Files that can't be read are passed over.
    """
    chosen = spread(found, SAMPLE)
    each = -(-SAMPLE // max(1, len(chosen)))
    for file in chosen:
        with suppress(InputError), _told(file), _open(file, channel) as images:
            for decode in spread(images, each):
                yield decode()


def spread(things: Sequence[T], count: int) -> list[T]:
    """Some of many, from all over: `count` at the most."""
    chosen = (
        np.unique(np.linspace(0, len(things) - 1, count).round().astype(int)) if len(things) else ()
    )
    return [things[index] for index in chosen]


@contextmanager
def _open(file: Path, channel: int | None) -> Iterator[Sequence[Decode]]:
    """What decodes each of the images of a file, while that is open."""
    with (_tiff if _is_tiff(file) else _pillow)(file, channel) as images:
        yield images


def decoded(file: Path, load: Callable[[str], NDArray[Any]], kind: Kind) -> NDArray[Any]:
    """The pixels of a plain file, by a reader's function; its header has told their kind.

    Raises
    ------
    InputError
        If it can't be read, or holds something else.
    """
    with _told(file):
        values = np.asarray(load(str(file)))
        if kind_of(values) != kind:
            raise ValueError(f"{kind_of(values)}, not {kind} as its header says")
        return values


def value_range(images: Iterable[NDArray[Any]]) -> tuple[float, float] | None:
    """The values that black and white stand for in gray images that are not plain, from a sample.

    Parameters
    ----------
    images : iterable of ndarray
        Of any types; those of uint8 and uint16 need no range.

    Returns
    -------
    tuple of float, or None
        Of whole numbers that fit into 16 bit, 0 and 65535; otherwise the least and the greatest
        value. None where no image needs one.
    """
    low, high, whole = math.inf, -math.inf, True
    for values in images:
        if str(values.dtype) in FULL or values.dtype == bool:
            continue
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
        whole = whole and values.dtype.kind in "iu"
    if low > high:
        return None
    if whole and low >= 0 and high <= FULL["uint16"]:
        return 0.0, float(FULL["uint16"])
    return low, high if high > low else low + 1


def limits_of(
    values: NDArray[Any], limits: tuple[float, float] | None = None
) -> tuple[float, float]:
    """The values of an image that black and white stand for; `limits` where its type does not tell."""
    if full := FULL.get(str(values.dtype)):
        return 0.0, float(full)
    if values.dtype == bool:
        return 0.0, 1.0
    return limits or value_range([values]) or (0.0, 1.0)


def as_plain(values: NDArray[Any], limits: tuple[float, float] | None) -> NDArray[Any]:
    """Pixels of uint8 or uint16: of other types as shares of a range, as `limits_of` has it."""
    if str(values.dtype) in FULL:
        return values
    if values.dtype == bool:
        return values.astype(np.uint8) * FULL["uint8"]
    low, high = limits_of(values, limits)
    shares = (np.nan_to_num(values.astype(np.float64), nan=low) - low) / (high - low)
    return (shares.clip(0, 1) * FULL["uint16"]).round().astype(np.uint16)


def save(path: Path, values: NDArray[Any]) -> None:
    """Write plain pixels as a TIFF that every reader reads alike."""
    import tifffile

    colour = values.ndim == 3
    extra = ["unassalpha"] if colour and values.shape[2] == 4 else None
    tifffile.imwrite(
        path,
        np.ascontiguousarray(values),
        photometric="rgb" if colour else "minisblack",
        extrasamples=extra,
    )


@contextmanager
def _told(file: Path) -> Iterator[None]:
    """Turn what a decoder raises, which may be anything on damaged input, into one line."""
    try:
        size_and_time(file)
        yield
    except InputError:
        raise
    except UnidentifiedImageError as error:
        why = "can't be read as an image (of no format that is known); convert it to TIFF or PNG"
        raise UnreadableError(file, why) from error
    except PermissionError as error:
        raise UnreadableError(file, NOT_ALLOWED) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise NoSpaceError from error
        why = f"can't be read as an image ({reason_of(error)}); replace it, or convert it to TIFF or PNG"
        raise UnreadableError(file, why) from error


def size_and_time(file: Path) -> tuple[int, int]:
    """Bytes of a file, and when it was changed, in nanoseconds.

    Raises
    ------
    InputError
        If it is not there, or empty.
    """
    try:
        stat = file.stat()
    except PermissionError as error:
        raise UnreadableError(file, NOT_ALLOWED) from error
    except OSError as error:  # a link to nowhere, for one
        raise UnreadableError(file, f"can't be opened ({error.strerror}); remove it") from error
    if stat.st_size == 0:
        raise UnreadableError(file, "the file is empty; remove or replace it")
    return stat.st_size, stat.st_mtime_ns


# Formats that Pillow reads


def _bits_of_png(file: Path) -> int:
    """Of a channel, from its header: Pillow does not tell."""
    with file.open("rb") as content:
        return content.read(25)[24]


@contextmanager
def _pillow(file: Path, channel: int | None) -> Iterator[Sequence[Decode]]:
    with Image.open(file) as image:
        # Of a picture in several parts (MPO) the others are previews.
        several = image.format != "MPO" and getattr(image, "n_frames", 1) > 1
        pages = range(getattr(image, "n_frames", 1)) if several else range(1)

        def decode(page: int) -> NDArray[Any]:
            if several:
                image.seek(page)
            deep = image.format == "PNG" and _bits_of_png(file) > 8
            values = _deep_png(file, image) if deep else _of_mode(file, image)
            return _chosen(file, values, channel)

        yield [partial(decode, page) for page in pages]


def _deep_png(file: Path, image: Image.Image) -> NDArray[Any]:
    """The pixels of a PNG of 16 bit, of which Pillow gives eight where there are colours."""
    from imagecodecs import png_decode

    turn = UPRIGHT.get(image.getexif().get(ORIENTATION, 1), lambda values: values)
    return np.ascontiguousarray(turn(_with_alpha(png_decode(file.read_bytes()))))


def _of_mode(file: Path, image: Image.Image) -> NDArray[Any]:
    image = ImageOps.exif_transpose(image)
    if image.mode in ("CMYK", "LAB", "HSV"):
        how = f"convert it: magick {file.name} -colorspace sRGB {file.stem}.png"
        raise UnreadableError(file, f"{image.mode} colours; {how}")
    if "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBa"):
        image = image.convert("RGBA")
    elif image.mode in ("P", "YCbCr", "RGBX"):
        image = image.convert("RGB")
        # A palette that is a ramp of grays is how some microscopes write gray.
        low, high = zip(*image.getextrema(), strict=True)
        values = np.asarray(image)
        if len({*low}) == len({*high}) == 1 and (values == values[..., :1]).all():
            return values[..., 0]
    values = np.asarray(image)
    # Bytes in the order of this machine.
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _with_alpha(values: NDArray[Any]) -> NDArray[Any]:
    """Gray with transparency as RGBA; all else as it is."""
    if values.ndim == 3 and values.shape[2] == 2:
        return values[..., [0, 0, 0, 1]]
    return values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values


def _chosen(file: Path, values: NDArray[Any], channel: int | None) -> NDArray[Any]:
    """One of the colours, where one is asked for."""
    if channel is None:
        return values
    return _channel(
        file, [values] if values.ndim == 2 else list(np.moveaxis(values, -1, 0)), channel
    )


def _channel(file: Path, channels: Sequence[NDArray[Any]], channel: int | None) -> NDArray[Any]:
    """The channel that was asked for, or the only one."""
    count = len(channels)
    if channel is None and count > 1:
        how = f"choose a channel (--channel, in Python channel=) from 1 to {count}"
        raise UnreadableError(file, f"{count} channels that are no RGB; {how}")
    if (channel or 1) > count:
        what = "1 channel" if count == 1 else f"{count} channels"
        raise UnreadableError(file, f"no channel {channel}; it holds {what}")
    return channels[(channel or 1) - 1]


# TIFF


def _is_tiff(file: Path) -> bool:
    with file.open("rb") as content:
        return content.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _plain_tiff(file: Path) -> Kind | None:
    if not _is_tiff(file):
        return None
    from tifffile import TiffFile

    with TiffFile(file) as tiff:
        page = tiff.pages.first
        channels = {
            (MINISBLACK, 1): (),
            (RGB, 3): (3,),
            (RGB, 4): (4,) if 2 in page.extrasamples else None,
            (YCBCR, 3): (3,) if page.compression == JPEG_IN_TIFF else None,
        }.get((page.photometric, page.samplesperpixel))
        if (
            len(tiff.pages) > 1
            or page.planarconfig != 1
            or channels is None
            or str(page.dtype) not in FULL
            or _orientation(page) != 1
            or page.shape != (page.imagelength, page.imagewidth, *channels)
        ):
            return None
        return Kind(shape=page.shape, dtype=str(page.dtype))


def _orientation(page: Any) -> int:
    tag = page.tags.get(ORIENTATION)
    return tag.value if tag else 1


@contextmanager
def _tiff(file: Path, channel: int | None) -> Iterator[Sequence[Decode]]:
    from tifffile import TiffFile

    with TiffFile(file) as tiff:
        # Smaller copies of an image are none.
        whole = [each for each in tiff.series if not each.keyframe.is_reduced]
        yield [
            partial(_upright, file, series, planes, channel)
            for series in whole or tiff.series
            for planes in _planes(file, series)
        ]


def _planes(file: Path, series: TiffPageSeries) -> list[Callable[[], NDArray[Any]]]:
    """For each image of a series what gives its pixels, with their axes in the order ``CSYX``."""
    axes, keyframe = series.axes, series.keyframe
    if not {"Y", "X"} <= {*axes}:
        raise UnreadableError(file, f"axes {axes}; segbench reads images of two dimensions")
    inner = [axis for axis in "CSYX" if axis in axes]
    outer = [axis for axis in axes if axis not in inner]
    count = math.prod(series.shape[axes.index(axis)] for axis in outer)
    narrow = min(series.shape[axes.index(axis)] for axis in "YX")
    if count > 1 and narrow <= MOST_CHANNELS:
        how = "if these are channels, write them with axes CYX"
        raise UnreadableError(file, f"{count} images that are {narrow} pixels wide; {how}")
    order = [axes.index(axis) for axis in (*outer, *inner)]
    shape = tuple(series.shape[axes.index(axis)] for axis in outer)

    # Pages are decoded one by one where each lies within an image; what is not compressed is mapped
    # to memory, and anything else laid out in a file of no name.
    over = axes[: len(axes) - keyframe.ndim]
    one_by_one = (
        series.dataoffset is None
        and keyframe.axes == axes[len(over) :]
        and {*keyframe.axes} <= {*inner}
        and len(series.pages) == math.prod(series.shape[: len(over)])
        and None not in series.pages
    )
    if one_by_one:
        pages = np.arange(len(series.pages)).reshape(series.shape[: len(over)])
        pages = pages.transpose([over.index(axis) for axis in (*outer, *inner) if axis in over])

        def decode(index: tuple[int, ...]) -> NDArray[Any]:
            own = pages[index]
            found = [page for number in own.ravel() if (page := series.pages[int(number)])]
            values = np.stack([page.asarray() for page in found])
            values = values.reshape(*own.shape, *keyframe.shape)
            now = [axis for axis in inner if axis in over] + [*keyframe.axes]
            return values.transpose([now.index(axis) for axis in inner])
    else:
        several = math.prod(shape) > 1
        whole: list[NDArray[Any]] = []

        def decode(index: tuple[int, ...]) -> NDArray[Any]:
            if not whole:
                whole.append(series.asarray(out="memmap") if several else series.asarray())
            return np.asarray(whole[0].transpose(order)[index])

    return [partial(decode, index) for index in np.ndindex(*shape)]


def _upright(
    file: Path, series: TiffPageSeries, planes: Callable[[], NDArray[Any]], channel: int | None
) -> NDArray[Any]:
    """An image as it is meant: gray, RGB or RGBA."""
    page, axes = series.keyframe, series.axes
    colours = page.photometric == RGB or (
        page.photometric == YCBCR and page.compression == JPEG_IN_TIFF
    )
    if not colours and page.photometric not in (MINISWHITE, MINISBLACK, PALETTE):
        from tifffile import PHOTOMETRIC

        name = PHOTOMETRIC(page.photometric).name
        how = "convert it to RGB with the program that wrote it"
        raise UnreadableError(file, f"{name} colours; {how}")
    values = planes()
    # Bytes in the order of this machine.
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    samples = values.reshape(-1, *values.shape[-2:])
    transparent = channel is None and "C" not in axes and _alpha(page, len(samples), colours)
    channels = [_shown(page, each) for each in samples[: len(samples) - transparent]]
    if channels[0].ndim == 3:  # a palette's
        image = _chosen(file, channels[0], channel)
    elif transparent:
        image = _over(page, np.stack([*channels, samples[-1]], axis=-1))
    elif channel is None and "C" not in axes and colours and len(channels) == 3:
        image = np.stack(channels, axis=-1)
    else:
        image = _channel(file, channels, channel)
    turn = UPRIGHT.get(_orientation(page), lambda values: values)
    return np.ascontiguousarray(turn(image))


def _alpha(page: Any, channels: int, colours: bool) -> bool:
    """Whether the last of the channels is told to be transparency, of gray or of colours."""
    extra = tuple(page.extrasamples)
    return len(extra) == 1 and extra[0] in ALPHA and channels == (4 if colours else 2)


def _over(page: Any, values: NDArray[Any]) -> NDArray[Any]:
    """RGBA of colours or gray with transparency, which may have been multiplied with them."""
    values = _with_alpha(values)
    if ALPHA[page.extrasamples[0]] == "associated" and values.dtype.kind == "u":
        full = np.iinfo(values.dtype).max
        alpha = np.maximum(values[..., 3:], 1).astype(np.float64)
        colours = (values[..., :3].astype(np.float64) * full / alpha).round().clip(0, full)
        values = np.concatenate([colours.astype(values.dtype), values[..., 3:]], axis=-1)
    return values


def _shown(page: Any, values: NDArray[Any]) -> NDArray[Any]:
    """The values of a channel as they are meant: a palette's colours, and white at the greatest."""
    values = np.asarray(values)
    if page.photometric == MINISWHITE:
        if values.dtype == bool:
            return ~values
        return 2**page.bitspersample - 1 - values if values.dtype.kind == "u" else -values
    if page.photometric == PALETTE and page.colormap is not None:
        shades = np.asarray(page.colormap)
        if shades.max() > FULL["uint8"]:  # of 16 bit, as the format has it
            shades = shades >> 8
        shades = shades.astype(np.uint8)
        if (shades == shades[0]).all():
            return shades[0][values]
        return np.moveaxis(shades[:, values], 0, -1)
    return values
