"""A large image, of which any window is read without the rest: TIFF in tiles or strips, and Zarr."""

# Libraries that one format alone needs are imported for it.
# ruff: noqa: PLC0415

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from segbench.errors import InputError, UnreadableError, reason_of
from segbench.files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

Window: TypeAlias = tuple[slice, ...]

# A strip with more pixels than that is read anew for every window in it: too long.
MOST_IN_STRIP = 2**24

# As microscopes write it: without loss, and in tiles that a viewer reads alone.
TILE, COMPRESSION, LEVEL = 512, "zlib", 3

# What is looked at to estimate: squares of a side, so many across and down.
SAMPLE_SIDE, SAMPLE_ACROSS = 1024, 4

# Of a Zarr one of these lies in its folder.
METADATA = ("zarr.json", ".zgroup", ".zarray")

OME = "0.5"  # the version of OME-Zarr that is written

WHAT_IS_READ = "large images are gray, RGB or RGBA of 8 or 16 bit: convert it"

COLOURS = (3, 4)
KINDS = ("uint8", "uint16")


@dataclass(frozen=True, kw_only=True)
class Windowed:
    """An image in a file, read like an array: ``image[rows, columns]``.

    Attributes
    ----------
    path : str
        Of a TIFF, or of the folder of a Zarr.
    shape : tuple of int
        ``(H, W)`` or ``(H, W, C)``.
    dtype : dtype
        uint8 or uint16.
    tile : tuple of int
        Height and width of what the file holds in one piece.
    stamp : int
        When the file was changed.
    inside : str
        Of a Zarr, the path of the array in it.
    axes : str
        Of a Zarr, its axes, such as ``CYX``.
    """

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    tile: tuple[int, int]
    stamp: int
    inside: str = ""
    axes: str = ""

    @property
    def ndim(self) -> int:
        """2, or 3 with channels."""
        return len(self.shape)

    def __getitem__(self, window: Window) -> NDArray[Any]:
        """The pixels of some rows and columns.

        Raises
        ------
        InputError
            If a piece of the file is damaged.
        """
        whole = slice(None)
        sides = zip((*window, whole, whole)[: self.ndim], self.shape, strict=True)
        rows, columns, *channels = [slice(*each.indices(side)) for each, side in sides]
        read = _read_zarr if self.axes else _read_tiff
        pixels = read(self, rows, columns)
        return pixels[..., channels[0]] if channels else pixels


def sample_of(image: Windowed) -> Iterator[NDArray[Any]]:
    """Some windows from all over an image, as pixels."""
    places = [
        np.linspace(0, max(0, side - SAMPLE_SIDE), SAMPLE_ACROSS).astype(int)
        for side in image.shape[:2]
    ]
    for top in dict.fromkeys(places[0].tolist()):
        for left in dict.fromkeys(places[1].tolist()):
            yield image[top : top + SAMPLE_SIDE, left : left + SAMPLE_SIDE]


def open_image(path: str) -> Windowed:
    """Look at the header of a large image.

    Raises
    ------
    InputError
        If it is no TIFF and no Zarr, or can't be read by windows.
    """
    try:
        return _open_zarr(path) if Path(path).is_dir() else _open_tiff(path)
    except InputError:
        raise
    except Exception as error:
        raise UnreadableError(
            path, f"can't be read as a large image ({reason_of(error)})"
        ) from error


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr."""
    return path.is_dir() and any((path / name).is_file() for name in METADATA)


def pixels_of(path: Path) -> int:
    """Height times width of what a TIFF or a Zarr holds; 0 of anything else."""
    try:
        if is_zarr(path):
            return math.prod(_open_zarr(str(path)).shape[:2])
        page = _page(str(path), _stamp(str(path)))
    except Exception:  # noqa: BLE001  (damaged input may raise anything: who reads it will tell)
        return 0
    return int(page.imagelength * page.imagewidth)


def _stamp(path: str) -> int:
    return Path(path).stat().st_mtime_ns


# TIFF


@lru_cache(maxsize=8)
def _page(path: str, stamp: int) -> Any:  # noqa: ARG001  (another file by the same name is another page)
    """The first page, which of a pyramid is the largest."""
    from tifffile import TiffFile

    with TiffFile(path) as tiff:
        page = tiff.pages.first
        # Looked up while the file is open.
        _ = page.dataoffsets, page.databytecounts, page.decode, page.jpegtables
        return page


def _open_tiff(path: str) -> Windowed:
    stamp = _stamp(path)
    page = _page(path, stamp)
    channels = (page.samplesperpixel,) if page.samplesperpixel in COLOURS else ()
    shape = (page.imagelength, page.imagewidth, *channels)
    if str(page.dtype) not in KINDS or page.shape != shape or page.planarconfig != 1:
        raise UnreadableError(path, f"{page.dtype} in the shape {page.shape}; {WHAT_IS_READ}")
    height, width = page.tilelength, page.tilewidth
    if not page.is_tiled:
        height, width = min(page.rowsperstrip, page.imagelength), page.imagewidth
    if not page.is_tiled and height * width > MOST_IN_STRIP:
        raise UnreadableError(
            path,
            f"is stored in strips of {height} x {width} pixels, each of which would be read as a whole for "
            "every tile in it; write it in tiles, as `tifffile.imwrite(..., tile=(512, 512))` does",
        )
    return Windowed(
        path=path, shape=shape, dtype=np.dtype(page.dtype), tile=(height, width), stamp=stamp
    )


def _read_tiff(image: Windowed, rows: slice, columns: slice) -> NDArray[Any]:
    page = _page(image.path, image.stamp)
    height, width = image.tile
    across = -(-image.shape[1] // width)
    pixels = np.zeros(
        (rows.stop - rows.start, columns.stop - columns.start, *image.shape[2:]), image.dtype
    )
    with Path(image.path).open("rb") as file:
        for down in range(rows.start // height, -(-rows.stop // height)):
            for right in range(columns.start // width, -(-columns.stop // width)):
                piece = _decode(image, page, file, down * across + right)
                if piece is None:
                    continue  # sparse: nothing was written
                top, left = down * height, right * width
                into, of = zip(
                    _overlap(rows, top, piece.shape[0]),
                    _overlap(columns, left, piece.shape[1]),
                    strict=True,
                )
                pixels[into] = piece[of]
    return pixels


def _overlap(wanted: slice, start: int, length: int) -> tuple[slice, slice]:
    """Where a piece lies in what is wanted, and what of the piece that is."""
    low, high = max(wanted.start, start), min(wanted.stop, start + length)
    return slice(low - wanted.start, high - wanted.start), slice(low - start, high - start)


def _decode(image: Windowed, page: Any, file: Any, index: int) -> NDArray[Any] | None:
    """A tile or a strip ``(h, w[, C])``; None where the file holds nothing of it."""
    offset, count = page.dataoffsets[index], page.databytecounts[index]
    if not count:
        return None
    file.seek(offset)
    try:
        values, *_ = page.decode(file.read(count), index, jpegtables=page.jpegtables)
    except Exception as error:
        raise UnreadableError(
            image.path, f"tile {index} is damaged ({reason_of(error)}); write the file anew"
        ) from error
    piece: NDArray[Any] = np.asarray(values)[0]
    return piece if len(image.shape) > 2 else piece[..., 0]


def squares(pixels: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """An array in the squares of `TILE` pixels that `save_tiles` takes, row by row."""
    for top in range(0, pixels.shape[0], TILE):
        for left in range(0, pixels.shape[1], TILE):
            yield np.ascontiguousarray(pixels[top : top + TILE, left : left + TILE])


def save_tiles(
    path: Path, tiles: Iterator[NDArray[Any]], *, shape: tuple[int, ...], dtype: type[np.generic]
) -> None:
    """Write an image ``(H, W[, 3])`` as TIFF, without holding it, whole or not at all.

    Parameters
    ----------
    path : Path
        To write to.
    tiles : iterator of ndarray
        Squares of `TILE` pixels, row by row; what lies beyond the border of the image is cut off.
    shape : tuple of int
        Of the image.
    dtype : type
        Of its values.
    """
    from tifffile import FileHandle, imwrite

    with replacing(path) as file:
        imwrite(
            # The file that is written beside has no name.
            FileHandle(file, name=path.name),
            tiles,
            shape=shape,
            dtype=dtype,
            tile=(TILE, TILE),
            photometric="rgb" if len(shape) > 2 else "minisblack",
            compression=COMPRESSION,
            compressionargs={"level": LEVEL},
            bigtiff=True,
        )


# Zarr


@lru_cache(maxsize=8)
def _array(path: str, inside: str, stamp: int) -> Any:  # noqa: ARG001  (as above)
    import zarr

    group: Any = zarr.open(path, mode="r")
    return group[inside] if inside else group


def _open_zarr(path: str) -> Windowed:
    try:
        import zarr
    except ImportError as error:
        raise UnreadableError(path, f"{error}; pip install 'segbench[zarr]'") from error
    stamp, inside, axes = _stamp(path), "", ""
    found: Any = zarr.open(path, mode="r")
    if not isinstance(found, zarr.Array):
        told: dict[str, Any] = dict(found.attrs)
        scales = told.get("ome", told).get("multiscales")
        if not scales:
            raise UnreadableError(
                path,
                "a Zarr group without the scales of OME-Zarr (multiscales): name the array in it",
            )
        inside = scales[0]["datasets"][0]["path"]
        named = (axis if isinstance(axis, str) else axis["name"] for axis in scales[0]["axes"])
        axes = "".join(named).upper()
        found = found[inside]
    axes = axes or _usual_axes(found.shape)
    sides = dict(zip(axes, found.shape, strict=True))
    channels = (sides["C"],) if sides.get("C", 1) > 1 else ()
    one = all(side == 1 for axis, side in sides.items() if axis not in "CYX")
    if str(found.dtype) not in KINDS or not one or (channels and channels[0] not in COLOURS):
        raise UnreadableError(
            path, f"{found.dtype} of the axes {axes} {found.shape}; {WHAT_IS_READ}"
        )
    pieces = dict(zip(axes, found.chunks, strict=True))
    return Windowed(
        path=path,
        shape=(sides["Y"], sides["X"], *channels),
        dtype=np.dtype(found.dtype),
        tile=(pieces["Y"], pieces["X"]),
        stamp=stamp,
        inside=inside,
        axes=axes,
    )


def write_zarr(folder: Path, image: Windowed) -> None:
    """Write an image into an empty folder as OME-Zarr, a row of chunks after the other.

    Of one scale, in chunks of `TILE` pixels that hold all colours, compressed as Zarr does by itself.

    References
    ----------
    .. [1] Moore J, et al. (2023) OME-Zarr: a cloud-optimized bioimaging file format with international
           community support. Histochemistry and Cell Biology 160:223-251.
    """
    import zarr

    colours = image.shape[2:]
    array = zarr.open_group(folder, mode="w").create_array(
        "0", shape=(*colours, *image.shape[:2]), chunks=(*colours, TILE, TILE), dtype=image.dtype
    )
    for top in range(0, image.shape[0], TILE):
        band = image[top : top + TILE, :]
        array[..., top : top + TILE, :] = np.moveaxis(band, -1, 0) if colours else band
    names = ("c", "y", "x") if colours else ("y", "x")
    axes = [{"name": name, "type": "channel" if name == "c" else "space"} for name in names]
    scale = {"type": "scale", "scale": [1.0] * len(axes)}
    told: dict[str, Any] = {
        "name": "image",
        "axes": axes,
        "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
    }
    zarr.open_group(folder, mode="a").attrs["ome"] = {"version": OME, "multiscales": [told]}


def _usual_axes(shape: Sequence[int]) -> str:
    """The axes of an array that does not tell them: colours first or last, pixels otherwise."""
    if len(shape) == 3 and shape[-1] in COLOURS:
        return "YXC"
    return "TCZYX"[-len(shape) :] if len(shape) != 3 else "CYX"


def _read_zarr(image: Windowed, rows: slice, columns: slice) -> NDArray[Any]:
    array, chosen = _array(image.path, image.inside, image.stamp), {"Y": rows, "X": columns}
    colours = len(image.shape) > 2
    index = tuple(
        chosen.get(axis, slice(None) if axis == "C" and colours else 0) for axis in image.axes
    )
    try:
        pixels = np.asarray(array[index])
    except Exception as error:
        where = f"rows {rows.start} to {rows.stop}, columns {columns.start} to {columns.stop}"
        raise UnreadableError(
            image.path, f"can't be read at {where} ({reason_of(error)})"
        ) from error
    left = [axis for axis in image.axes if axis in "YX" or (axis == "C" and colours)]
    return np.moveaxis(pixels, left.index("C"), -1) if colours else pixels
