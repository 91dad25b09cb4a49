"""A large image in tiles: each is labelled by itself, and objects are joined where tiles meet.

A tile is read with a margin as wide as the filters reach, so that its mask is that of the whole image.
Of its labels only the areas and those along its border travel; which of them are one object is found
from the borders, as connected parts of a graph [1]_. Nothing is read, filtered or labelled twice but the
margins, and an object may be as large as the image.

References
----------
.. [1] Rosenfeld A, Pfaltz JL (1966) Sequential operations in digital picture processing. Journal of
       the ACM 13:471-494.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from segbench.errors import InputError
from segbench.pipeline import Measured, foreground, packed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from segbench.backends.interface import Processor
    from segbench.backends.schedulers import Scheduler
    from segbench.pipeline import Operations, PipelineParams
    from segbench.windows import Window

# Pixels that a tile's side is a multiple of, as the tiles of files are.
STEP = 256
SMALLEST, LARGEST = 512, 2048
READ_SIDE = 2048

# A tile's side is so many margins at the least: at eight, 1.6 times the pixels are filtered.
MARGINS = 8
TILES_PER_WORKER = 4

# Bytes of memory for a pixel of a tile with its margin, of all steps the most at once; and of what may
# be held, in GiB, what the interpreter, its libraries and the table take.
TILE_BYTES = 90
BASE_GIB = 0.5

TOP, BOTTOM, LEFT, RIGHT = range(4)


class Image(Protocol):
    """An array, or what is read like one, window by window."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(H, W)`` or ``(H, W, C)``."""

    @property
    def dtype(self) -> Any:
        """Of its pixels."""

    def __getitem__(self, window: Window) -> Any:
        """The pixels of a window."""


@dataclass(frozen=True)
class Tile:
    """A part of an image, ``image[core]``, and the same with its margin, ``image[outer]``."""

    core: Window
    outer: Window

    @property
    def inner(self) -> Window:
        """Where the core lies within the outer part."""
        return tuple(
            slice(core.start - outer.start, core.stop - outer.start)
            for core, outer in zip(self.core, self.outer, strict=True)
        )


@dataclass(frozen=True)
class Grid:
    """The tiles of an image.

    Attributes
    ----------
    rows, columns : tuple of int
        Where tiles begin, with the end of the image at last.
    margin : int
        Pixels around a tile that are read with it, as far as the image goes.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    margin: int

    @property
    def shape(self) -> tuple[int, int]:
        """How many tiles there are, down and across."""
        return len(self.rows) - 1, len(self.columns) - 1

    def tiles(self) -> Iterator[Tile]:
        """Row by row."""
        for row in range(self.shape[0]):
            for column in range(self.shape[1]):
                core = (
                    slice(self.rows[row], self.rows[row + 1]),
                    slice(self.columns[column], self.columns[column + 1]),
                )
                sides = self.rows[-1], self.columns[-1]
                outer = tuple(
                    slice(max(0, each.start - self.margin), min(side, each.stop + self.margin))
                    for each, side in zip(core, sides, strict=True)
                )
                yield Tile(core, outer)


def grid(shape: Sequence[int], side: int, margin: int) -> Grid:
    """Cut an image ``(H, W, ...)`` into tiles of a side."""
    rows, columns = ((*range(0, length, side), length) for length in shape[:2])
    return Grid(rows, columns, margin)


def side_for(
    shape: Sequence[int], params: PipelineParams, *, workers: int, memory: float = math.inf
) -> int:
    """The side of a tile where none is given, in pixels.

    So small that each worker has four tiles, and so large that the margins are a small part of what is
    filtered, as far as `memory` in GiB is enough for a tile of every worker; a multiple of `STEP`.
    """
    even = math.sqrt(shape[0] * shape[1] / (TILES_PER_WORKER * workers))
    side = max(min(even, LARGEST), MARGINS * params.reach, SMALLEST)
    most = within_memory(memory, workers=workers, margin=params.reach)
    if most < side:
        return max(1, int(most // STEP)) * STEP
    return max(1, round(side / STEP)) * STEP


def within_memory(memory: float, *, workers: int, margin: int) -> float:
    """The side of the tiles of which each worker can hold one, in pixels; below 0 where none fits."""
    each = max(0.0, memory - BASE_GIB) * 2**30 / workers
    return math.sqrt(each / TILE_BYTES) - 2 * margin


# One tile


@dataclass(frozen=True)
class Found:
    """The objects of a tile.

    Attributes
    ----------
    areas : ndarray of int64, shape (K,)
        Pixels of each in the tile; object 1 comes first.
    borders : tuple of ndarray of int32
        The labels along the first row, the last row, the first column and the last column.
    beyond : tuple of ndarray of int32
        The same of the pixels that come next, outside the tile: of which of its objects each is, if it
        is of a cell.
    """

    areas: NDArray[np.int64]
    borders: tuple[NDArray[np.int32], ...]
    beyond: tuple[NDArray[np.int32], ...]


def borders_of(labels: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Copies of the first row, the last row, the first column and the last column.

    A view would keep all labels of the tile.
    """
    return tuple(each.copy() for each in (labels[0], labels[-1], labels[:, 0], labels[:, -1]))


def found_in(labels: NDArray[np.int32]) -> Found:
    """The objects of a tile whose labels go from 1 without a gap.

    A pixel that comes next to one of an object, if it is of a cell, is of the same.
    """
    areas = np.bincount(labels.ravel())[1:].astype(np.int64)
    own = borders_of(labels)
    return Found(areas, own, own)


def label_tile(
    tile: Tile, pixels: NDArray[Any], *, operations: Operations, params: PipelineParams
) -> NDArray[np.int32]:
    """The labels of a tile, from 1, by the steps of the pipeline; `pixels` are those of its outer part."""
    mask = foreground(pixels, operations, params)
    labels: NDArray[np.int32] = operations.label(np.ascontiguousarray(mask[tile.inner]))
    return labels


# All tiles


@dataclass(frozen=True)
class Joined:
    """The objects of an image.

    Attributes
    ----------
    areas : ndarray of int64, shape (K,)
        Pixels of each.
    ids : tuple of ndarray of int32
        For each tile which object, from 1, each of its labels is; label 0 is 0.
    """

    areas: NDArray[np.int64]
    ids: tuple[NDArray[np.int32], ...]

    @property
    def rows(self) -> NDArray[np.int64]:
        """Label and area ``(K, 2)``."""
        return np.column_stack([np.arange(1, len(self.areas) + 1), self.areas])


def join(found: Sequence[Found], shape: tuple[int, int]) -> Joined:
    """Join the objects of tiles, given row by row, where they meet.

    Parameters
    ----------
    found : sequence of Found
        Of all tiles.
    shape : tuple of int
        How many tiles there are, down and across.
    """
    # What does not work in tiles need not import it.
    from scipy.sparse import coo_array  # noqa: PLC0415
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    counts = [len(one.areas) for one in found]
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    pairs = [np.empty((0, 2), np.int64)]
    for number, one in enumerate(found):
        row, column = divmod(number, shape[1])
        for there, side, other_side in ((1, RIGHT, LEFT), (shape[1], BOTTOM, TOP)):
            if column + 1 == shape[1] if side == RIGHT else row + 1 == shape[0]:
                continue
            mine = one.beyond[side].astype(np.int64)
            theirs = found[number + there].borders[other_side].astype(np.int64)
            both = (mine > 0) & (theirs > 0)
            met = np.column_stack(
                [starts[number] + mine[both], starts[number + there] + theirs[both]]
            )
            pairs.append(np.unique(met - 1, axis=0))
    first, second = np.concatenate(pairs).T
    total = int(starts[-1])
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(total, total))
    count, objects = connected_components(graph, directed=False)
    areas = np.zeros(count, np.int64)
    np.add.at(
        areas, objects, np.concatenate([np.zeros(0, np.int64), *(one.areas for one in found)])
    )
    ids = tuple(
        np.concatenate([[0], objects[start:stop] + 1]).astype(np.int32)
        for start, stop in pairwise(starts)
    )
    return Joined(areas, ids)


def table_of(joined: Joined, params: PipelineParams) -> Measured:
    """The table of one image."""
    return packed([joined.rows], params.min_area)


# How a scheduler goes over the tiles


def refuse(params: PipelineParams) -> None:
    """Refuse what can't be done tile by tile in a benchmark.

    Raises
    ------
    InputError
        If one of the steps beyond the five is asked for.
    """
    steps = ("own_contrast", "fill_holes", "split")
    if asked := [f"--{one.replace('_', '-')}" for one in steps if getattr(params, one)]:
        raise InputError(
            f"{', '.join(asked)}: a large image is measured with the five steps; leave it out "
            "(`segbench segment` has these steps in tiles, too)"
        )


def segment(
    image: Image,
    *,
    processor: Processor,
    params: PipelineParams,
    scheduler: Scheduler,
    side: int,
    labels: NDArray[np.int32] | None = None,
) -> Measured:
    """Segment a large image, a tile a task: in a loop, in a pool, or as delayed functions of Dask.

    Parameters
    ----------
    image : Image
        ``(H, W[, C])``.
    processor : Processor
        Its operations work on one tile in memory.
    params : PipelineParams
        Of the pipeline.
    scheduler : Scheduler
        Where the tiles are worked on.
    side : int
        Of a tile, in pixels.
    labels : ndarray of int32, shape (H, W), optional
        Filled with the label image, where that is wanted.

    Returns
    -------
    Measured
        The table of its objects.
    """
    cut = grid(image.shape, side, params.reach)
    items = [_item(tile, image) for tile in cut.tiles()]
    label = partial(_label, operations=processor, params=params)
    if labels is None:
        found = scheduler.each(partial(_measure, label=label), items)
        return table_of(join(found, cut.shape), params)
    of_tiles = scheduler.each(label, items)
    joined = join([found_in(each) for each in of_tiles], cut.shape)
    for (tile, _), own, ids in zip(items, of_tiles, joined.ids, strict=True):
        labels[tile.core] = ids[own]
    return table_of(joined, params)


# A tile, and where its pixels are: in an image that a worker reads, or here.
Item: TypeAlias = "tuple[Tile, Image | NDArray[Any]]"


def _item(tile: Tile, image: Image) -> Item:
    # Of an array in memory a process gets no more than the part that it is to work on.
    return tile, image[tile.outer] if isinstance(image, np.ndarray) else image


def _label(item: Item, *, operations: Operations, params: PipelineParams) -> NDArray[np.int32]:
    tile, image = item
    pixels = image if isinstance(image, np.ndarray) else image[tile.outer]
    return label_tile(tile, pixels, operations=operations, params=params)


def _measure(item: Item, *, label: Callable[[Item], NDArray[np.int32]]) -> Found:
    return found_in(label(item))


def read(image: Image, *, scheduler: Scheduler, side: int) -> NDArray[Any]:
    """All pixels of a large image, a tile a task; of a side of `READ_SIDE` pixels where it is 0."""
    tiles = [*grid(image.shape, side or READ_SIDE, 0).tiles()]
    parts = scheduler.each(partial(_pixels, image=image), tiles)
    pixels = np.empty(image.shape, parts[0].dtype)
    for tile, part in zip(tiles, parts, strict=True):
        pixels[tile.core] = part
    return pixels


def _pixels(tile: Tile, *, image: Image) -> NDArray[Any]:
    return np.asarray(image[tile.core])
