"""Statistics of a comparison: arrays in, numbers out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Spread:
    """A median and how far the values reach.

    Attributes
    ----------
    median, low, high : float
        Middle, lowest and highest value.
    count : int
        Number of values.
    """

    median: float
    low: float
    high: float
    count: int


def spread(values: ArrayLike) -> Spread:
    """Median, lowest and highest of some values.

    Raises
    ------
    ValueError
        If there are none.
    """
    array = np.asarray(values, dtype=float)
    if array.size == 0:
        raise ValueError("no values to take the median of")
    return Spread(float(np.median(array)), float(array.min()), float(array.max()), array.size)


def paired_ratio(seconds: ArrayLike, baseline: ArrayLike) -> Spread:
    """Spread of the ratios that were formed within a block.

    A shared machine drifts: two samples a second apart see the same machine, two medians a minute
    apart do not. So each sample is divided by the baseline's of the same block, and then summed up.

    Parameters
    ----------
    seconds, baseline : array_like of float, shape (B,)
        Of the same blocks, in the same order.

    Returns
    -------
    Spread
        Of the B ratios.

    Raises
    ------
    ValueError
        If the lengths differ or are 0.
    """
    own, other = np.asarray(seconds, dtype=float), np.asarray(baseline, dtype=float)
    if own.shape != other.shape:
        raise ValueError(f"{own.size} samples can't be paired with {other.size}")
    return spread(own / other)
