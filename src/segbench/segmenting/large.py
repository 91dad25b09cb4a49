"""Finding the cells of one large image tile by tile, within a bound of memory.

What is found of a tile is a file of its own, so that an interruption loses no more than the tiles that
were being worked on. A tile is read with a margin, in which filters, holes and touching cells are as in
the whole image: an object whose holes or touching cells reach further than the margin may come out otherwise.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import skimage.filters
from skimage.measure import regionprops_table

from segbench import files, jsonl, windows
from segbench.backends import skimage as plain_skimage
from segbench.backends import tiles
from segbench.errors import InputError
from segbench.pipeline import ROUNDING, foreground

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from segbench.backends.interface import Processor
    from segbench.backends.schedulers import Scheduler
    from segbench.backends.skimage import Parts
    from segbench.backends.tiles import Found, Grid, Tile
    from segbench.pipeline import PipelineParams
    from segbench.windows import Windowed

T = TypeVar("T")
R = TypeVar("R")

# Diameters of a cell that lie in the margin beyond the reach of the filters, where holes are filled and
# cells split: what is cut at the edge of the margin is wrong in up to two of them.
MARGIN = 3

GRID = "grid.json"  # in the folder of the tiles: the side of one

BINS = 256  # of the histogram for Otsu's threshold, as scikit-image has it

# What is kept of an object, summed up over its tiles or by its extremes.
SUMS = ("area", "rows", "columns", "intensity")
LEAST, MOST = ("first", "top", "left"), ("bottom", "right")


@dataclass(frozen=True, kw_only=True)
class Large:
    """A large image, and how it is cut into tiles.

    Attributes
    ----------
    image : Windowed
        What is read.
    grid : Grid
        Its tiles.
    params : PipelineParams
        Of the pipeline.
    folder : Path
        For what is found of each tile.
    side : int
        Of a tile, in pixels.
    at_once : int
        How many tiles fit into memory together.
    """

    image: Windowed
    grid: Grid
    params: PipelineParams
    folder: Path
    side: int
    at_once: int

    def file(self, number: int) -> Path:
        """What was found of a tile."""
        return self.folder / f"{number:06d}.npz"

    @property
    def missing(self) -> list[tuple[int, Tile]]:
        """The tiles that are still to be done, with their numbers."""
        each = enumerate(self.grid.tiles())
        return [(number, tile) for number, tile in each if not self.file(number).exists()]


def is_large(pixels: int, *, memory: float) -> bool:
    """Whether an image of so many pixels is worked on in tiles where so many GiB may be held."""
    return needed(pixels) > memory


def needed(pixels: int) -> float:
    """GiB that an image of so many pixels takes as a whole."""
    return tiles.BASE_GIB + pixels * tiles.TILE_BYTES / 2**30


def cut(
    image: Windowed, params: PipelineParams, *, workers: int, memory: float, folder: Path
) -> Large:
    """Cut an image into tiles that fit into memory, one for each worker.

    Where there are tiles already, as these were cut: what was found of them is of no others.

    Raises
    ------
    InputError
        If there is too little memory for one.
    """
    params = params.within(image.shape)
    beyond = params.own_contrast or params.fill_holes or params.split
    margin = params.reach + (math.ceil(MARGIN * params.diameter) if beyond else 0)
    fits = partial(tiles.within_memory, memory, margin=margin)
    if (path := folder / GRID).exists():
        side = jsonl.decode(path.read_bytes(), int)
    else:
        side = min(int(fits(workers=workers) // windows.TILE) * windows.TILE, tiles.LARGEST)
    if side < windows.TILE:
        least = needed(workers * (windows.TILE + 2 * margin) ** 2)
        raise InputError(
            f"memory {memory:g} GiB: a tile for each of {workers} workers takes {least:.1f}; give more "
            "--memory, or fewer --workers"
        )
    at_once = next((many for many in range(workers, 1, -1) if fits(workers=many) >= side), 1)
    grid = tiles.grid(image.shape, side, margin)
    return Large(image=image, grid=grid, params=params, folder=folder, side=side, at_once=at_once)


def segment(
    large: Large,
    *,
    processor: Processor,
    scheduler: Scheduler,
    limits: tuple[float, float],
    tile_done: Callable[[float], None],
) -> Table:
    """Segment the tiles that are missing, and join all.

    Parameters
    ----------
    large : Large
        What to do.
    processor : Processor
        Whose operations work on a tile.
    scheduler : Scheduler
        Where tiles are worked on, as many at once as it has workers.
    limits : tuple of float
        Values that black and white stand for, for the intensities.
    tile_done : callable
        Called with the share that is done.
    """
    large.folder.mkdir(parents=True, exist_ok=True)
    files.write_bytes(large.folder / GRID, jsonl.encode(large.side))
    if large.params.own_contrast:
        parts = _parts(large, scheduler=scheduler)
        # Without a second part there is nothing to adapt to.
        adapt = (
            partial(plain_skimage.adapt_to, parts=parts) if parts else lambda _, local, __: local
        )
        processor = replace(processor, adapt=adapt)
    count = math.prod(large.grid.shape)
    do = partial(_do_tile, large=large, processor=processor, limits=limits)
    missing = large.missing
    tile_done(1 - len(missing) / count)
    for left, _ in zip(
        reversed(range(len(missing))), _over(missing, do, scheduler, large.at_once), strict=True
    ):
        tile_done(1 - left / count)
    return _joined(large)


def _do_tile(
    numbered: tuple[int, Tile], *, large: Large, processor: Processor, limits: tuple[float, float]
) -> None:
    """Segment a tile, and write down what was found."""
    number, tile = numbered
    pixels, params = large.image[tile.outer], large.params
    mask = foreground(pixels, processor, params)
    if params.split:
        found, labels = _split(tile, processor.split(mask, params))
    else:
        labels = processor.label(np.ascontiguousarray(mask[tile.inner]))
        found = tiles.found_in(labels)
    low, high = limits
    intensity = low + (high - low) * processor.grayscale(pixels[tile.inner])
    arrays: dict[str, Any] = {
        "labels": labels,
        **{f"border{side}": each for side, each in enumerate(found.borders)},
        **{f"beyond{side}": each for side, each in enumerate(found.beyond)},
        **_measured(labels, intensity, tile, large.image.shape[1]),
    }
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    files.write_bytes(large.file(number), content.getvalue())


def _split(tile: Tile, labels: NDArray[np.int32]) -> tuple[Found, NDArray[np.int32]]:
    """The objects of a tile from the labels with its margin, in which touching cells are told apart.

    The cell of a pixel beyond the border is told by its label, not by its being next to one.
    """
    rows, columns = tile.inner
    core = labels[rows, columns]
    ids = np.unique(core[core > 0])
    own = np.zeros(int(labels.max(initial=0)) + 1, np.int32)
    own[ids] = np.arange(1, len(ids) + 1)
    ring = (
        own[labels[max(rows.start - 1, 0), columns]],
        own[labels[min(rows.stop, labels.shape[0] - 1), columns]],
        own[labels[rows, max(columns.start - 1, 0)]],
        own[labels[rows, min(columns.stop, labels.shape[1] - 1)]],
    )
    core = own[core]
    areas = np.bincount(core.ravel(), minlength=len(ids) + 1)[1:].astype(np.int64)
    return tiles.Found(areas, tiles.borders_of(core), ring), core


def _measured(
    labels: NDArray[np.int32], intensity: NDArray[np.float64], tile: Tile, width: int
) -> dict[str, NDArray[Any]]:
    """Of each object of a tile what can be put together with that of the next, in pixels of the image."""
    wanted = ("label", "area", "centroid", "bbox", "intensity_mean")
    found = regionprops_table(labels, intensity, properties=wanted)  # type: ignore[no-untyped-call]  # (not annotated)
    top, left = (each.start for each in tile.core)
    area = found["area"].astype(np.float64)
    places = np.flatnonzero(labels)
    # The first of each in the order of rows; the label is then that of the whole image.
    _, first = np.unique(labels.ravel()[places], return_index=True)
    row, column = np.divmod(places[first], labels.shape[1])
    return {
        "area": area,
        "rows": area * (found["centroid-0"] + top),
        "columns": area * (found["centroid-1"] + left),
        "intensity": area * found["intensity_mean"],
        "first": (row + top) * width + column + left,
        "top": found["bbox-0"] + top,
        "left": found["bbox-1"] + left,
        "bottom": found["bbox-2"] + top,
        "right": found["bbox-3"] + left,
    }


# What all tiles have in common


def _parts(large: Large, *, scheduler: Scheduler) -> Parts | None:
    """The two parts of the image by Otsu's method, as the reference has them of the whole.

    Read in two passes: for the range of the values, and for their histogram with half the width of a
    bin, since the threshold is the middle of one.
    """
    path, params = large.folder / "parts.json", large.params
    if path.exists():
        return jsonl.decode(path.read_bytes(), plain_skimage.Parts)
    each = [*replace(large.grid, margin=params.blur_reach).tiles()]
    values = partial(_values, image=large.image, params=params)
    lows, highs = zip(
        *_over(each, partial(_range, values=values), scheduler, large.at_once), strict=True
    )
    low, high = min(lows), max(highs)
    if low == high:
        return None
    edges = np.linspace(low, high, 2 * BINS + 1)
    binned = _over(each, partial(_histogram, values=values, edges=edges), scheduler, large.at_once)
    counts, sums = (np.sum(one, axis=0) for one in zip(*binned, strict=True))
    whole = counts.reshape(BINS, 2).sum(axis=1), edges[1::2]
    level = float(skimage.filters.threshold_otsu(hist=whole)) + ROUNDING  # type: ignore[no-untyped-call]  # (not annotated)
    above = edges[:-1] >= level - 2 * ROUNDING
    if not counts[above].sum():
        return None
    background = float(sums[~above].sum() / counts[~above].sum())
    contrast = float(sums[above].sum() / counts[above].sum()) - background
    parts = plain_skimage.Parts(level, background, contrast)
    files.write_bytes(path, jsonl.encode(parts))
    return parts


def _over(
    items: Sequence[T], function: Callable[[T], R], scheduler: Scheduler, at_once: int
) -> Iterator[R]:
    """What a function gives of each item, of so many at once."""
    for start in range(0, len(items), at_once):
        yield from scheduler.each(function, items[start : start + at_once])


def _values(tile: Tile, *, image: Windowed, params: PipelineParams) -> NDArray[np.float64]:
    blurred = plain_skimage.blur(plain_skimage.grayscale(image[tile.outer]), params)
    return plain_skimage.sign_of(params) * blurred[tile.inner]


def _range(tile: Tile, *, values: Callable[[Tile], NDArray[np.float64]]) -> tuple[float, float]:
    found = values(tile)
    return float(found.min()), float(found.max())


def _histogram(
    tile: Tile, *, values: Callable[[Tile], NDArray[np.float64]], edges: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """How many values lie in each bin, and their sum."""
    found = values(tile).ravel()
    return np.histogram(found, edges)[0], np.histogram(found, edges, weights=found)[0]


# All tiles


@dataclass(frozen=True, kw_only=True)
class Table:
    """The cells of a large image.

    Attributes
    ----------
    large : Large
        Of which they are.
    rows : ndarray of float64, shape (K, columns)
        A cell each, with the columns :data:`segbench.segmenting.cells.COLUMNS`.
    ids : tuple of ndarray of int32
        For each tile the label, in the whole image, of each of its own; 0 of what is too small.
    """

    large: Large
    rows: NDArray[np.float64]
    ids: tuple[NDArray[np.int32], ...]

    def labels(self, number: int) -> NDArray[np.int32]:
        """The label image of a tile."""
        with np.load(self.large.file(number)) as kept:
            labels: NDArray[np.int32] = self.ids[number][kept["labels"]]
        return labels

    def bands(self) -> Iterator[NDArray[np.int32]]:
        """The label image, a row of tiles after the other."""
        down, across = self.large.grid.shape
        for row in range(down):
            yield np.hstack([self.labels(row * across + column) for column in range(across)])

    def squares(self) -> Iterator[NDArray[np.int32]]:
        """The label image in the squares that a tiled file holds, row by row."""
        for band in self.bands():
            yield from windows.squares(band)


def _joined(large: Large) -> Table:
    found, measured = [], []
    for number in range(math.prod(large.grid.shape)):
        with np.load(large.file(number)) as kept:
            borders, beyond = (
                tuple(kept[f"{name}{side}"] for side in range(4)) for name in ("border", "beyond")
            )
            found.append(tiles.Found(kept["area"].astype(np.int64), borders, beyond))
            measured.append({name: kept[name] for name in (*SUMS, *LEAST, *MOST)})
    joined = tiles.join(found, large.grid.shape)
    objects = np.concatenate([np.zeros(0, np.int32), *(each[1:] for each in joined.ids)]) - 1
    together = {
        name: np.concatenate([np.zeros(0), *(each[name] for each in measured)])
        for name in (*SUMS, *LEAST, *MOST)
    }
    count = len(joined.areas)
    totals = {name: np.bincount(objects, together[name], minlength=count) for name in SUMS}
    for names, at, start in ((LEAST, np.minimum, np.inf), (MOST, np.maximum, -np.inf)):
        for name in names:
            totals[name] = np.full(count, start)
            at.at(totals[name], objects, together[name])
    # As in the whole image: by the first pixel of each, without those that are too small.
    order = np.argsort(totals["first"], kind="stable")
    order = order[totals["area"][order] >= large.params.min_area]
    labels = np.zeros(count + 1, np.int32)
    labels[order + 1] = np.arange(1, len(order) + 1)
    kept = {name: values[order] for name, values in totals.items()}
    area = kept["area"]
    columns: Sequence[NDArray[Any]] = (
        np.arange(1, len(order) + 1),
        area,
        kept["rows"] / area,
        kept["columns"] / area,
        *(kept[name] for name in ("top", "left", "bottom", "right")),
        np.sqrt(4 / math.pi * area),
        kept["intensity"] / area,
    )
    return Table(
        large=large,
        rows=np.column_stack(columns).astype(np.float64),
        ids=tuple(labels[each] for each in joined.ids),
    )
