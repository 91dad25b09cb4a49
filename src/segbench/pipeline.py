"""The segmentation pipeline: its parameters, its operations, and the order of the steps.

A processor supplies the operations; :func:`label_objects` alone composes them, whatever array type
they work on: one image in memory, or a Dask array of many.
"""

# The command line knows the parameters, and is to answer at once: what works on arrays imports its
# libraries where it is called.
# ruff: noqa: PLC0415

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from segbench.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

Method = Literal["gaussian", "mean", "median"]
Foreground = Literal["dark", "bright"]
METHODS: tuple[str, ...] = get_args(Method)
FOREGROUNDS: tuple[str, ...] = get_args(Foreground)

TRUNCATE = 4.0
MODE = "reflect"

WIDEST = 10000  # pixels: a cell wider than that is a slip

# A pixel is foreground where it differs from its threshold by more than this share of full scale.
# In a flat part of a photograph (a saturated background) the blurred value and the threshold are
# equal but for the rounding of their sums, and without a tolerance the whole part would become
# cells or not by the order of additions. One step of a 16-bit camera is 1.5e-5.
ROUNDING = 1e-9


# What follows from the diameter of a typical cell, as shares of it and of its disc; chosen on
# fluorescent nuclei, stained tissue and blood smears together (docs/why/method.md).
SIGMA, BLOCK, FINE = 0.02, 5.0, 1.5
SMOOTHING, SPACING = 0.05, 0.25
SMALLEST, LARGEST_HOLE = 0.15, 0.7

# A hole is the middle of a cell if it is as convex as that (area over that of its convex hull), or
# so small a share of the disc; what cells enclose between them is not.
CONVEX, SPECK = 0.8, 0.1

# Of the contrast of an image: by how much a cell differs from the background at the least. Of the
# radius: how deep within the part beyond Otsu's threshold a pixel belongs to a cell in any case. Of the
# typical contrast: with less an image has no cells, but noise.
FLOOR, CORE, FAINTEST = 0.25, 0.5, 0.1

# So many arrays of a few rows are put into one: they would take several times the memory.
MANY = 256

# What a benchmark leaves out, and who wants to find cells does not.
TO_FIND_CELLS: dict[str, Any] = {"own_contrast": True, "fill_holes": True, "split": True}

SEEN = "estimated from a sample of your images"  # where these are not given

# A field that follows from the diameter unless it is given.
FROM_DIAMETER: Any = None


@dataclass(frozen=True, kw_only=True)
class PipelineParams:
    """What a user may choose of the pipeline; everything else is fixed.

    What each field means stands beside it, as the help of its option. `sigma`, `block_size` and
    `min_area` follow from the diameter where they are not given.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    diameter: float = field(
        default=36.0,
        metadata={"help": "Diameter of a typical cell, in pixels.", "metavar": "PX", "shown": SEEN},
    )
    foreground: Foreground = field(
        default="dark",
        metadata={
            "help": "Whether cells are darker or brighter than their surroundings.",
            "choices": ("auto", *FOREGROUNDS),
            "shown": SEEN,
        },
    )
    contrast: float = field(
        default=0.16,
        metadata={
            "help": "Difference between cells and their surroundings, as a share of full scale.",
            "shown": SEEN,
        },
    )
    sigma: float = field(
        default=FROM_DIAMETER,
        metadata={"help": "Sigma of the Gaussian blur, in pixels.", "shown": "from the diameter"},
    )
    block_size: int = field(
        default=FROM_DIAMETER,
        metadata={
            "help": "Width of the local threshold's neighbourhood, in pixels; odd.",
            "shown": "from the diameter",
        },
    )
    method: Method = field(
        default="gaussian", metadata={"help": "Method of the local threshold.", "choices": METHODS}
    )
    offset: float = field(
        default=0.05,
        metadata={
            "help": "How much a cell must differ from its local threshold, as a share of the contrast."
        },
    )
    min_area: int = field(
        default=FROM_DIAMETER,
        metadata={
            "help": "Leave out objects with fewer pixels than this.",
            "shown": "from the diameter",
        },
    )
    own_contrast: bool = field(
        default=False,
        metadata={"help": "Take the contrast of each image from its own values, by Otsu's method."},
    )
    fill_holes: bool = field(
        default=False, metadata={"help": "Fill holes that are smaller than a cell."}
    )
    split: bool = field(default=False, metadata={"help": "Split cells that touch each other."})

    def __post_init__(self) -> None:
        """Complete what was not given, and refuse values the filters can't take."""
        if not 2 <= self.diameter <= WIDEST:
            raise InputError(f"diameter {self.diameter:g}: give pixels from 2 to {WIDEST}")
        derived = {
            "sigma": round(SIGMA * self.diameter, 2),
            "block_size": _odd(BLOCK * self.diameter),
            "min_area": max(1, round(SMALLEST * self.cell_area)),
        }
        for name, value in derived.items():
            if getattr(self, name) is FROM_DIAMETER:
                object.__setattr__(self, name, value)
        if not 0 <= self.sigma <= WIDEST:
            raise InputError(f"sigma {self.sigma:g}: give pixels from 0 to {WIDEST}")
        if self.block_size < 3 or self.block_size % 2 == 0:
            raise InputError(f"block size {self.block_size}: give an odd number from 3 up")
        if self.method not in METHODS:
            raise InputError(f"method {self.method!r}: give {' or '.join(METHODS)}")
        if self.foreground not in FOREGROUNDS:
            raise InputError(f"foreground {self.foreground!r}: give {' or '.join(FOREGROUNDS)}")
        if not math.isfinite(self.offset):
            raise InputError(f"offset {self.offset}: give a finite number")
        if not (self.contrast > 0 and math.isfinite(self.contrast)):
            raise InputError(f"contrast {self.contrast}: give a number above 0")
        if self.min_area < 1:
            raise InputError(f"minimal area {self.min_area}: give a number of pixels from 1 up")

    @property
    def cell_area(self) -> float:
        """Pixels of a disc of the diameter."""
        return math.pi / 4 * self.diameter**2

    @property
    def fine(self) -> PipelineParams:
        """The same with a local threshold of a neighbourhood as small as sees touching cells apart."""
        width = FINE / BLOCK * self.block_size
        return replace(self, block_size=_odd(width))

    def within(self, shape: tuple[int, ...]) -> PipelineParams:
        """The same with a block no wider than an image of this shape ``(H, W, ...)``."""
        widest = (min(shape[:2]) - 1) // 2 * 2 + 1
        return replace(self, block_size=max(3, min(self.block_size, widest)))

    @property
    def reach(self) -> int:
        """How many pixels the filters look beyond a pixel, each way."""
        return self.blur_reach + self.threshold_reach

    @property
    def threshold_reach(self) -> int:
        """The same of the local threshold alone."""
        if self.method == "gaussian":
            return int(TRUNCATE * (self.block_size - 1) / 6 + 0.5)
        return self.block_size // 2

    @property
    def blur_reach(self) -> int:
        """The same of the Gaussian blur alone."""
        return int(TRUNCATE * self.sigma + 0.5)

    @property
    def taken_off(self) -> float:
        """What is taken off the local mean or median for a threshold, as a share of full scale."""
        return self.offset * self.contrast * (1 if self.foreground == "dark" else -1)


def _odd(width: float) -> int:
    """The odd number of pixels, from 3 up, that is nearest to a width."""
    return 2 * max(1, round((width - 1) / 2)) + 1


@dataclass(frozen=True, kw_only=True)
class Operations:
    """The operations after reading, on one image or on a Dask array of images.

    Every filter is per 2-D image: nothing leaks from one image into the next.

    Attributes
    ----------
    grayscale : callable
        Pixels ``(..., H, W[, C])`` to luminance ``(..., H, W)``, float64 in 0 to 1.
    blur : callable
        Gaussian blur of each image (`TRUNCATE`, `MODE`).
    threshold : callable
        One threshold a pixel, from its neighbourhood.
    adapt : callable
        Blurred images and their thresholds to thresholds that follow the contrast of each image.
    fill : callable
        Foreground mask to one without the holes that are smaller than a cell.
    label : callable
        Foreground mask to labels: 0 for background, one integer for each 4-connected object.
    split : callable
        As `label`, with one integer for each of the cells that touch each other.
    measure : callable
        Labels to objects, integers ``(K, 2)`` of label and area for each image.
    """

    grayscale: Callable[[Any], Any]
    blur: Callable[[Any, PipelineParams], Any]
    threshold: Callable[[Any, PipelineParams], Any]
    adapt: Callable[[Any, Any, PipelineParams], Any]
    fill: Callable[[Any, PipelineParams], Any]
    label: Callable[[Any], Any]
    split: Callable[[Any, PipelineParams], Any]
    measure: Callable[[Any], Any]


def measure_objects(images: Any, operations: Operations, params: PipelineParams) -> Any:
    """The objects alone, as `label_objects` gives them."""
    return label_objects(images, operations, params)[1]


def label_objects(images: Any, operations: Operations, params: PipelineParams) -> tuple[Any, Any]:
    """Run the steps after reading, in their order.

    Parameters
    ----------
    images : array
        Pixels, of the array type that `operations` work on.
    operations : Operations
        A processor's operations.
    params : PipelineParams
        What the user chose.

    Returns
    -------
    labels, objects : array
        As lazy or as eager as the operations make them.
    """
    mask = foreground(images, operations, params)
    labels = operations.split(mask, params) if params.split else operations.label(mask)
    return labels, operations.measure(labels)


def foreground(images: Any, operations: Operations, params: PipelineParams) -> Any:
    """The steps up to the mask of what is of a cell, ``(..., H, W)`` of bool: all of the filters."""
    gray = operations.grayscale(images)
    blurred = operations.blur(gray, params)
    threshold = operations.threshold(blurred, params)
    if params.split:
        # Half way to a threshold that follows the gap between two cells.
        threshold = (threshold + operations.threshold(blurred, params.fine)) / 2
    if params.own_contrast:
        threshold = operations.adapt(blurred, threshold, params)
    if params.foreground == "dark":
        mask = blurred < threshold - ROUNDING
    else:
        mask = blurred > threshold + ROUNDING
    return operations.fill(mask, params) if params.fill_holes else mask


@dataclass(frozen=True)
class Measured:
    """The table of what the pipeline finds in a stack of images.

    Attributes
    ----------
    counts : ndarray of int64, shape (N,)
        Objects in each image.
    rows : ndarray of int64, shape (K, 2)
        Label and area in pixels of each, those of an image together: one array, since an array for
        each of 100,000 images would be larger than what it holds.
    """

    counts: NDArray[np.int64]
    rows: NDArray[np.int64]

    @property
    def objects(self) -> tuple[NDArray[np.int64], ...]:
        """For each image its rows ``(K, 2)``."""
        import numpy as np

        return tuple(np.split(self.rows, np.cumsum(self.counts)[:-1])) if len(self.counts) else ()

    @property
    def count(self) -> int:
        """Number of objects in all images."""
        return len(self.rows)

    def with_labels(self, labels: NDArray[np.int32]) -> Segmentation:
        """The same with the label images ``(N, H, W)``."""
        return Segmentation(self.counts, self.rows, labels=labels)

    def table(self) -> pd.DataFrame:
        """One row an object: ``image`` (from 0), ``label``, ``area`` (pixels)."""
        import numpy as np
        import pandas as pd

        images = np.repeat(np.arange(len(self.counts)), self.counts)
        return pd.DataFrame({"image": images, "label": self.rows[:, 0], "area": self.rows[:, 1]})


@dataclass(frozen=True)
class Segmentation(Measured):
    """What the pipeline finds in a stack of images, with the label images.

    Attributes
    ----------
    labels : ndarray of int32, shape (N, H, W)
        0 is background. The ids differ between backends by design.
    """

    labels: NDArray[np.int32] = field(kw_only=True)


def packed(objects: Iterable[NDArray[Any]], min_area: int = 1) -> Measured:
    """The objects of some images in one table, without those under an area.

    Parameters
    ----------
    objects : iterable of ndarray of int, shape (K, 2)
        Label and area of the objects of each image.
    min_area : int
        In pixels.
    """
    import numpy as np

    counts, parts = [], [np.empty((0, 2), np.int64)]
    for found in objects:
        rows = np.asarray(found, dtype=np.int64).reshape(-1, 2)
        rows = rows[rows[:, 1] >= min_area]
        counts.append(len(rows))
        parts.append(rows)
        if len(parts) > MANY:
            parts = [np.concatenate(parts)]
    return Measured(np.array(counts, np.int64), np.concatenate(parts))


def joined(tables: Iterable[Measured]) -> Measured:
    """The tables of several batches of images as one."""
    import numpy as np

    tables = list(tables)
    counts, rows = ([getattr(table, name) for table in tables] for name in ("counts", "rows"))
    return Measured(np.concatenate(counts), np.concatenate(rows))


def segmentation(
    labels: NDArray[Any], objects: Iterable[NDArray[Any]], params: PipelineParams
) -> Segmentation:
    """Collect a backend's labels and objects, without those under the minimal area.

    Parameters
    ----------
    labels : ndarray of int, shape (N, H, W)
        Label images.
    objects : iterable of ndarray of int, shape (K, 2)
        Label and area of the objects of each image.
    params : PipelineParams
        Gives the minimal area.

    Returns
    -------
    Segmentation
        With its labels as int32 and its objects as int64.
    """
    import numpy as np

    labels = np.asarray(labels, dtype=np.int32)
    found = packed(objects, params.min_area)
    if params.min_area > 1:
        kept = zip(labels, found.objects, strict=True)
        labels = np.stack([_kept(image, rows[:, 0]) for image, rows in kept])
    return found.with_labels(labels)


def _kept(labels: NDArray[np.int32], ids: NDArray[np.int64]) -> NDArray[np.int32]:
    """Labels without those that are not among some."""
    import numpy as np

    table = np.zeros(labels.max(initial=0) + 1, np.int32)
    table[ids] = ids
    return table[labels]
