"""The segmentation pipeline: its parameters, the five operations, and the order of the steps.

A processor supplies the operations; :func:`label_objects` alone composes them, whatever array type
they work on: one image in memory, or a Dask array of many.
"""

# The command line knows the parameters, and is to answer at once: what works on arrays imports its
# libraries where it is called.
# ruff: noqa: PLC0415

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from segbench.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

Method = Literal["gaussian", "mean", "median"]
Foreground = Literal["dark", "bright"]
METHODS: tuple[str, ...] = get_args(Method)
FOREGROUNDS: tuple[str, ...] = get_args(Foreground)

SIGMA = 1.0
TRUNCATE = 4.0
MODE = "reflect"

# A pixel is foreground where it differs from its threshold by more than this share of full scale.
# In a flat part of a photograph (a saturated background) the blurred value and the threshold are
# equal but for the rounding of their sums, and without a tolerance the whole part would become
# cells or not by the order of additions. One step of a 16-bit camera is 1.5e-5.
ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class PipelineParams:
    """What a user may choose of the pipeline; everything else is fixed.

    What each field means stands beside it, as the help of its option.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    block_size: int = field(
        default=51,
        metadata={"help": "Width in pixels of the local threshold's neighbourhood; odd."},
    )
    method: Method = field(
        default="gaussian", metadata={"help": "Of the local threshold.", "choices": METHODS}
    )
    offset: float = field(
        default=0.0,
        metadata={"help": "Taken off the local threshold, in units of full scale (0 to 1)."},
    )
    foreground: Foreground = field(
        default="dark",
        metadata={
            "help": "Whether cells are darker or brighter than what surrounds them.",
            "choices": FOREGROUNDS,
        },
    )
    min_area: int = field(default=1, metadata={"help": "Leave out objects of fewer pixels."})

    def __post_init__(self) -> None:
        """Refuse values the filters can't take."""
        if self.block_size < 3 or self.block_size % 2 == 0:
            raise InputError(f"block size {self.block_size}: give an odd number from 3 up")
        if self.method not in METHODS:
            raise InputError(f"method {self.method!r}: give {' or '.join(METHODS)}")
        if self.foreground not in FOREGROUNDS:
            raise InputError(f"foreground {self.foreground!r}: give {' or '.join(FOREGROUNDS)}")
        if not math.isfinite(self.offset):
            raise InputError(f"offset {self.offset}: give a finite number")
        if self.min_area < 1:
            raise InputError(f"minimal area {self.min_area}: give a number of pixels from 1 up")


@dataclass(frozen=True, kw_only=True)
class Operations:
    """The five operations after reading, on one image or on a Dask array of images.

    Every filter is per 2-D image: nothing leaks from one image into the next.

    Attributes
    ----------
    grayscale : callable
        Pixels ``(..., H, W[, C])`` to luminance ``(..., H, W)``, float64 in 0 to 1.
    blur : callable
        Gaussian blur of each image (`SIGMA`, `TRUNCATE`, `MODE`).
    threshold : callable
        One threshold a pixel, from its neighbourhood.
    label : callable
        Foreground mask to labels: 0 for background, one integer for each 4-connected object.
    measure : callable
        Labels to objects, integers ``(K, 2)`` of label and area for each image.
    """

    grayscale: Callable[[Any], Any]
    blur: Callable[[Any], Any]
    threshold: Callable[[Any, PipelineParams], Any]
    label: Callable[[Any], Any]
    measure: Callable[[Any], Any]


def label_objects(images: Any, operations: Operations, params: PipelineParams) -> tuple[Any, Any]:
    """Run the steps after reading, in their order.

    Parameters
    ----------
    images : array
        Pixels, of the array type that `operations` work on.
    operations : Operations
        A processor's five operations.
    params : PipelineParams
        What the user chose.

    Returns
    -------
    labels, objects : array
        As lazy or as eager as the operations make them.
    """
    gray = operations.grayscale(images)
    blurred = operations.blur(gray)
    threshold = operations.threshold(blurred, params)
    if params.foreground == "dark":
        mask = blurred < threshold - ROUNDING
    else:
        mask = blurred > threshold + ROUNDING
    labels = operations.label(mask)
    return labels, operations.measure(labels)


@dataclass(frozen=True)
class Segmentation:
    """What the pipeline finds in a stack of images.

    Attributes
    ----------
    labels : ndarray of int32, shape (N, H, W)
        Label images; 0 is background. The ids differ between backends by design.
    objects : tuple of ndarray of int64, shape (K, 2)
        For each image its objects' label and area in pixels.
    """

    labels: NDArray[np.int32]
    objects: tuple[NDArray[np.int64], ...]

    @property
    def count(self) -> int:
        """Number of objects in all images."""
        return sum(len(found) for found in self.objects)

    def table(self) -> pd.DataFrame:
        """One row an object: ``image`` (from 0), ``label``, ``area`` (pixels)."""
        import numpy as np
        import pandas as pd

        images = np.repeat(np.arange(len(self.objects)), [len(found) for found in self.objects])
        rows = np.concatenate([np.empty((0, 2), np.int64), *self.objects])
        return pd.DataFrame({"image": images, "label": rows[:, 0], "area": rows[:, 1]})


def segmentation(
    labels: NDArray[Any], objects: Sequence[NDArray[Any]], params: PipelineParams
) -> Segmentation:
    """Collect a backend's labels and objects, without those under the minimal area.

    Parameters
    ----------
    labels : ndarray of int, shape (N, H, W)
        Label images.
    objects : sequence of ndarray of int, shape (K, 2)
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
    found = tuple(np.asarray(rows, dtype=np.int64).reshape(-1, 2) for rows in objects)
    if params.min_area > 1:
        found = tuple(rows[rows[:, 1] >= params.min_area] for rows in found)
        kept = [np.isin(image, rows[:, 0]) for image, rows in zip(labels, found, strict=True)]
        labels = np.where(kept, labels, 0)
    return Segmentation(labels, found)
