"""Statistics of a comparison: arrays in, numbers out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

VERDICTS = ("faster", "slower", "no difference", "undecided")

CONFIDENCE = 0.95

# Level of each test behind "faster" and "slower" by itself, and the share of all that are said in a
# family that may be false. They are t tests of few blocks, so no promise: how often they are wrong
# in simulations is told at `verdicts`.
ALPHA = 0.01
FALSE_SHARE = 0.05

# Two processes of one program differ by up to about so much for as long as they live, as
# evidence/ measured: a smaller difference is no finding, and one that is known to be smaller is
# none.
MARGIN = 0.05

# The same for two runs: each has processes of its own, so that either ratio may be off by `MARGIN`.
RUNS_MARGIN = (1 + MARGIN) ** 2 - 1

# Of fewer, not even the lowest and the highest enclose the true median in 93.75% of cases.
MIN_BLOCKS = 5

# Of fewer, how much a block resembles the one before can't be told for the width of an interval.
MIN_SERIAL_BLOCKS = 10

# Logarithms of ratios that differ by less are equal.
ROUNDING = 1e-12

RESAMPLES = 1000

# The bootstrap of a median of few values reaches too far: in simulations its middle 90% cover a
# crossing in 90 to 98% of cases, its middle 95% in 97 to 100%.
CROSSING_TAIL = 0.05

# In simulations the interval of a crossing covers it in 90% of cases with 3 blocks, 70% with 2.
MIN_CROSSING_BLOCKS = 3


@dataclass(frozen=True)
class Ratio:
    """The time of one arm relative to another's, from samples that are paired within blocks.

    Attributes
    ----------
    median : float
        Below 1: the first arm is faster.
    low, high : float
        Ends of the 95% interval of the true ratio (93.75% with 5 blocks); nan with fewer than
        `MIN_BLOCKS` blocks.
    count : int
        Number of blocks.
    p : float
        How likely chance alone gives such a difference if the true ratio lies within a factor
        1 + `MARGIN` of 1; nan with fewer than `MIN_BLOCKS` blocks. It holds for one comparison:
        `verdicts` corrects it for many.
    """

    median: float
    low: float
    high: float
    count: int
    p: float


@dataclass(frozen=True)
class CostModel:
    """Time as a straight line over the number of images.

    Attributes
    ----------
    fixed : float
        Seconds that every call costs.
    marginal : float
        Seconds that each image adds.
    """

    fixed: float
    marginal: float

    def seconds(self, images: float) -> float:
        """Seconds expected for a number of images."""
        return self.fixed + self.marginal * images


@dataclass(frozen=True)
class Crossing:
    """Number of images from which one backend is faster than another.

    Attributes
    ----------
    images : float or None
        Where the two lines cross. None: not shown to lie in the range of sizes, because the
        backend never becomes the faster one there, is so from the smallest size on, or because
        the samples leave that open. With a number here, `low` and `high` are numbers as well.
    low, high : float or None
        Ends of its interval of about 95%. A low end that is None may lie below the smallest size,
        a high end that is None beyond the largest (or nowhere). One number alone says: if they
        cross, not before `low`; or: by `high` at the latest, perhaps from the smallest size on.
    """

    images: float | None
    low: float | None
    high: float | None


# A relative spread of one arm's times beyond this is a restless machine's.
WIDE = 0.1


def relative_spread(seconds: ArrayLike) -> float:
    """Width of the middle half of some times as a share of their median: (Q3 - Q1) / median.

    Raises
    ------
    ValueError
        If there are none, or a time is not positive.
    """
    low, middle, high = np.quantile(_times(seconds), [0.25, 0.5, 0.75])
    return float((high - low) / middle)


def drift(at: ArrayLike, seconds: ArrayLike) -> float:
    """Share by which the level of one arm's times changes from the first to the last.

    It is the median of the slopes of the logarithms between any two samples [1]_, over the whole
    run: up to 29% of the samples may be outliers. It takes memory for all pairs of samples.

    Parameters
    ----------
    at : array_like of float, shape (B,)
        When each sample was taken, in any unit: seconds, or the number of its block.
    seconds : array_like of float, shape (B,)
        Samples of one arm.

    Returns
    -------
    float
        0.2: slower by 20% at the end; nan if all were taken at one time.

    Raises
    ------
    ValueError
        If the lengths differ or are 0, or a time is not positive.

    References
    ----------
    .. [1] Sen PK (1968) Estimates of the regression coefficient based on Kendall's tau. Journal of
           the American Statistical Association 63:1379-1389.
    """
    when, times = np.asarray(at, dtype=float), _times(seconds)
    if when.shape != times.shape:
        raise ValueError(f"{times.size} samples can't be paired with {when.size} times of day")
    length = float(np.ptp(when))
    if length == 0:
        return math.nan
    first, last = np.triu_indices(times.size, k=1)
    gaps, changes = when[last] - when[first], np.log(times[last] / times[first])
    apart = gaps != 0
    return math.expm1(float(np.median(changes[apart] / gaps[apart])) * length)


def paired_ratio(seconds: ArrayLike, baseline: ArrayLike) -> Ratio:
    """Ratio of two arms, formed within each block, then summed up by its median.

    A shared machine drifts: two samples a second apart see the same machine, two medians a minute
    apart do not. So each sample is divided by the baseline's of the same block.

    The interval is that of the sign test, interpolated between order statistics [1]_: it asks
    nothing of the shape of the noise, and an outlier can't widen it once there are enough blocks
    to leave the outermost ones out (9). It is not the plain bootstrap of the median, because
    that one, in closed form, ends at the second and the sixth of 7 blocks, which enclose the true
    ratio in 87.5% of cases, or, interpolated, covers it in 98.1% of simulations. The sign test
    takes blocks to be independent: where neighbouring blocks resemble each other, an interval of
    `MIN_SERIAL_BLOCKS` or more is widened about the median as the standard error of ``p`` is. That
    makes up for a part of it only: at a correlation of 0.5 such intervals cover the true ratio in
    85% (10 blocks) to 92% (50) of simulations, and unwidened ones of fewer blocks in 78%.

    ``p`` is from two trimmed t tests [2]_ on the logarithms, of which the smaller value counts,
    doubled: one leaves out a tenth of the blocks at each end (none of fewer than 10), the other a
    fifth (at least one). So it has the power of the t test where nothing was disturbed, and keeps
    most of it where single blocks were. Where neighbouring blocks resemble each other, the standard
    error grows as it does for a first-order autoregression.

    Parameters
    ----------
    seconds, baseline : array_like of float, shape (B,)
        Of the same blocks, in the order in which they were measured.

    Returns
    -------
    Ratio
        Of ``seconds`` to ``baseline``.

    Raises
    ------
    ValueError
        If the lengths differ or are 0, or a time is not positive.

    References
    ----------
    .. [1] Hettmansperger TP, Sheather SJ (1986) Confidence intervals based on interpolated order
           statistics. Statistics & Probability Letters 4:75-79.
    .. [2] Tukey JW, McLaughlin DH (1963) Less vulnerable confidence and significance procedures for
           location based on a single sample. Sankhya A 25:331-352.
    """
    own, other = _paired(seconds, baseline)
    logs = np.log(own / other)
    ordered = np.sort(logs)
    count = ordered.size
    middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    median = math.exp(middle)
    if count < MIN_BLOCKS:
        return Ratio(median, math.nan, math.nan, count, math.nan)
    rank, share = _ends(count)
    low = ordered[rank] + share * (ordered[rank + 1] - ordered[rank])
    high = ordered[-1 - rank] + share * (ordered[-2 - rank] - ordered[-1 - rank])
    if count >= MIN_SERIAL_BLOCKS:
        wider = math.sqrt(_dispersion(logs, ordered, cut=count // 5)[1])
        low, high = middle - wider * (middle - low), middle + wider * (high - middle)
    return Ratio(median, math.exp(low), math.exp(high), count, _p_value(logs, ordered))


@cache
def _ends(count: int) -> tuple[int, float]:
    """Where the interval of a median ends: rank from 0, and share of the way to the next value."""
    # By rank: how often the values of this rank from below and from above enclose the true median.
    from scipy.special import bdtr  # noqa: PLC0415  (takes longer to import than a run has to start)

    covered = 1 - 2 * bdtr(np.arange((count + 1) // 2), count, 0.5)
    if covered[0] < CONFIDENCE:
        return 0, 0.0
    rank = int(np.count_nonzero(covered >= CONFIDENCE)) - 1
    excess = (covered[rank] - CONFIDENCE) / (covered[rank] - covered[rank + 1])
    left_out = rank + 1
    share = (count - left_out) * excess / (left_out + (count - 2 * left_out) * excess)
    return rank, float(share)


def _p_value(logs: Floats, ordered: Floats) -> float:
    """Two-sided p of log ratios: as they were measured, and the same in ascending order."""
    least = 1.0
    for cut in (logs.size // 10, max(1, logs.size // 5)):
        kept = ordered[cut : logs.size - cut]
        variance, serial = _dispersion(logs, ordered, cut=cut)
        error = math.sqrt(variance * serial * logs.size) / kept.size
        excess = abs(float(kept.mean())) - math.log1p(MARGIN)
        least = min(least, _t_test(excess, error, freedom=kept.size - 1))
    return min(1.0, 2 * least)


def _t_test(excess: float, error: float, *, freedom: int) -> float:
    """Two-sided p of a difference that exceeds its margin by so much."""
    if excess <= 0:
        return 1.0
    if error == 0:
        return 0.0
    from scipy.special import stdtr  # noqa: PLC0415  (as above)

    return 2 * float(stdtr(freedom, -excess / error))


def _dispersion(logs: Floats, ordered: Floats, *, cut: int) -> tuple[float, float]:
    """Variance of log ratios, and the factor by which resembling neighbours raise that of a mean.

    The outermost ``cut`` values at each end count as the next ones within.
    """
    winsorized = np.minimum(np.maximum(logs, ordered[cut]), ordered[-1 - cut])
    deviations = winsorized - winsorized.mean()
    squares = float(deviations @ deviations)
    # Ratios that are equal but for their rounding must not pass for ones that follow each other.
    if squares <= logs.size * ROUNDING**2:
        return 0.0, 1.0
    # Of few blocks the correlation is a rough estimate: beyond 0.8 it would undo any finding.
    serial = min(max(float(deviations[1:] @ deviations[:-1]) / squares, 0.0), 0.8)
    return squares / (logs.size - 1), (1 + serial) / (1 - serial)


def narrow(ratio: Ratio, *, precision: float) -> bool:
    """Whether a ratio is known to within a factor 1 + `precision` either way.

    Never with fewer than `MIN_BLOCKS` blocks.
    """
    return math.log(ratio.high / ratio.low) / 2 < math.log1p(precision)


def ratio_of_ratios(ratio: Ratio, other: Ratio) -> Ratio:
    """How a ratio differs from that of another run: ``ratio`` divided by ``other``.

    Both are taken to be independent. The ends of the interval are put together from those of the
    two in logarithms [1]_, each end from the distances of the medians to the ends that it depends
    on: an interval that reaches further to one side keeps doing so.

    ``p`` is from a t test whose standard error is taken from the distance to the end that faces 1,
    with as many degrees of freedom as the run with fewer blocks has.

    Simulated with 5 to 40 blocks of independent noise of three shapes (normal, Laplace, t with 3
    degrees of freedom), the interval covers the truth in 97 to 98% of cases; of ratios that lie
    on the margin `verdicts` calls at most 0.4% different, of equal ones none of 18,000.

    Returns
    -------
    Ratio
        With the smaller number of blocks. Its p asks whether it lies within a factor 1 +
        `RUNS_MARGIN` of 1; interval and p are nan where either ratio has no interval.

    References
    ----------
    .. [1] Zou GY, Donner A (2008) Construction of confidence limits about effect measures: a
           general approach. Statistics in Medicine 27:1693-1702.
    """
    median, count = ratio.median / other.median, min(ratio.count, other.count)
    if math.isnan(ratio.low) or math.isnan(other.low):
        return Ratio(median, math.nan, math.nan, count, math.nan)
    middle = math.log(median)
    below = math.hypot(math.log(ratio.median / ratio.low), math.log(other.high / other.median))
    above = math.hypot(math.log(ratio.high / ratio.median), math.log(other.median / other.low))
    from scipy.special import stdtrit  # noqa: PLC0415  (as above)

    reach = below if middle > 0 else above
    error = reach / float(stdtrit(count - 1, (1 + CONFIDENCE) / 2))
    p = _t_test(abs(middle) - math.log1p(RUNS_MARGIN), error, freedom=count - 1)
    return Ratio(median, math.exp(middle - below), math.exp(middle + above), count, p)


def verdicts(ratios: Sequence[Ratio], *, margin: float = MARGIN) -> list[str]:
    """What each comparison of one family shows.

    ``faster`` and ``slower``: p is below `ALPHA` and, corrected for the number of comparisons [1]_,
    below `FALSE_SHARE`, and the interval lies beyond a factor 1 + `MARGIN` on that side of 1. The
    correction holds the share of false ones among all that are said; where nothing differs, it is
    as strict as one that holds the chance of any. Ratios to one baseline are not independent but
    rise and fall together, for which it holds as well [2]_.
    ``no difference``: the interval lies within a factor 1 + `MARGIN` of 1. ``undecided``: the rest.

    Comparisons of fewer than `MIN_BLOCKS` blocks are undecided and don't count as one of the family.

    How often equal arms are called different, simulated with 5 to 50 blocks and ratios that vary by
    1.4 to 14%, each combination by itself: of six shapes of independent noise, at most 0.8% of
    single comparisons, and fewer of those in a family of 12 or 140. With noise that lasts from block
    to block (correlation 0.5) up to 4.8% of single comparisons (1.7% in the mean), and fewer in a
    family. At a true ratio of 1.08, "no difference" is said in at most 0.9%, with lasting noise 1.3%.

    Parameters
    ----------
    ratios : sequence of Ratio
        All that are looked at together: whoever picks the most striking of 140 looks at 140.
    margin : float
        That an interval is held against, in place of `MARGIN`; each p stays what it is.

    Returns
    -------
    list of str
        One of `VERDICTS` for each, in order.

    References
    ----------
    .. [1] Benjamini Y, Hochberg Y (1995) Controlling the false discovery rate: a practical and
           powerful approach to multiple testing. Journal of the Royal Statistical Society B
           57:289-300.
    .. [2] Benjamini Y, Yekutieli D (2001) The control of the false discovery rate in multiple
           testing under dependency. Annals of Statistics 29:1165-1188.
    """
    adjusted = np.array([ratio.p for ratio in ratios])
    tested = np.argsort(adjusted)[: np.isfinite(adjusted).sum()]  # nan sorts last
    rates = adjusted[tested] * tested.size / np.arange(1, tested.size + 1)
    adjusted[tested] = np.minimum.accumulate(rates[::-1])[::-1]
    return [
        verdict(ratio.low, ratio.high, margin=margin, differs=ratio.p < ALPHA and p < FALSE_SHARE)
        for ratio, p in zip(ratios, adjusted, strict=True)
    ]


def verdict(low: float, high: float, *, margin: float, differs: bool = True) -> str:
    """What an interval of a ratio shows; with nan for its ends, every condition is false.

    Parameters
    ----------
    low, high : float
        Its ends.
    margin : float
        A difference is one of more than this share.
    differs : bool
        Whether a difference may be claimed, by a test that the caller has made.

    Returns
    -------
    str
        One of `VERDICTS`.
    """
    if differs and high < 1 / (1 + margin):
        return "faster"
    if differs and low > 1 + margin:
        return "slower"
    if low > 1 / (1 + margin) and high < 1 + margin:
        return "no difference"
    return "undecided"


def cost_model(images: ArrayLike, seconds: ArrayLike) -> CostModel:
    """Fit the fixed cost and the cost of an image to the times of several sizes.

    Least squares of the relative errors, since noise grows with the time; neither cost is below 0.

    Parameters
    ----------
    images : array_like of int, shape (S,)
        Sizes, in any order.
    seconds : array_like of float, shape (S,)
        The median time of each size.

    Raises
    ------
    ValueError
        If the lengths differ, there are fewer than two sizes, or a time is not positive.
    """
    sizes, times = np.asarray(images, dtype=float), _times(seconds)
    if sizes.shape != times.shape:
        raise ValueError(f"{sizes.size} sizes don't go with {times.size} times")
    fixed, marginal = _fit(sizes, times)
    return CostModel(float(fixed), float(marginal))


def _fit(sizes: Floats, times: Floats) -> tuple[Floats, Floats]:
    """Fixed and marginal costs ``(...)`` of many lines ``(..., S)`` at once."""
    if np.unique(sizes).size < 2:
        raise ValueError("a line needs two sizes or more")
    # The relative errors are fixed * one + marginal * many - 1: solve the normal equations.
    one, many = 1 / times, sizes / times
    a, b, c = (one * one).sum(-1), (one * many).sum(-1), (many * many).sum(-1)
    d, e = one.sum(-1), many.sum(-1)
    determinant = a * c - b * b
    fixed, marginal = (c * d - b * e) / determinant, (a * e - b * d) / determinant
    # At most one of the two is below 0. The best line without negative costs then has a 0 there,
    # and for the other cost what fits best alone.
    return (
        np.where(marginal < 0, d / a, np.maximum(fixed, 0)),
        np.where(fixed < 0, e / c, np.maximum(marginal, 0)),
    )


def crossings(
    seconds: Mapping[int, ArrayLike], other: Mapping[int, ArrayLike]
) -> tuple[Crossing, Crossing]:
    """From which number of images on the first backend is faster than the other, and the other way.

    A line (`cost_model`) is put through the medians of either backend. They cross if the one is
    slower at the smallest size and faster at the largest.

    For the interval the blocks of each size are drawn again with replacement, the same ones for
    both backends, and the lines are fitted again, 1000 times. A draw in which the backend is
    still slower at the largest size counts as a crossing beyond all sizes, one in which it is
    faster from the smallest on as a crossing below all. The ends are the 5% and 95% points of all
    draws: simulated, they cover the crossing in 90 to 98% of cases. An end among the draws that do
    not cross is open. A crossing is named only if neither end is: so two backends that never cross
    are hardly ever said to (in less than 1% of simulations of 5 blocks or more, nominally 5%).

    Parameters
    ----------
    seconds, other : mapping of int to array_like of float, shape (B,)
        Samples of each number of images; of the same blocks in the same order for both. B may
        differ between sizes. With fewer than 3 blocks at a size, nothing is shown.

    Returns
    -------
    tuple of Crossing
        Where the first becomes the faster one, and where the other does, from the same draws: the
        same samples give the same ends.

    Raises
    ------
    ValueError
        If the sizes differ or are fewer than two, the number of blocks differs at a size, or a
        time is not positive.
    """
    if seconds.keys() != other.keys():
        raise ValueError(f"sizes {sorted(seconds)} don't go with sizes {sorted(other)}")
    sizes = sorted(seconds)
    pairs = [np.stack(_paired(seconds[size], other[size])) for size in sizes]
    if min(pair.shape[1] for pair in pairs) < MIN_CROSSING_BLOCKS:
        return Crossing(None, None, None), Crossing(None, None, None)
    rng = np.random.default_rng(0)
    medians = []
    for pair in pairs:
        count = pair.shape[1]
        # The blocks as they are, then each draw of them.
        blocks = np.vstack([np.arange(count), rng.integers(count, size=(RESAMPLES, count))])
        medians.append(np.median(pair[:, blocks], axis=-1))
    lines = [_fit(np.array(sizes, dtype=float), own) for own in np.stack(medians, axis=-1)]
    first, second = np.subtract(lines[0], lines[1]), np.subtract(lines[1], lines[0])
    return _crossing(sizes, *first), _crossing(sizes, *second)


def _crossing(sizes: list[int], fixed: Floats, marginal: Floats) -> Crossing:
    """Where lines ``(1 + RESAMPLES,)`` fall below 0: of the medians, and of each draw."""
    slower_first = fixed + marginal * sizes[0] > 0
    faster_last = fixed + marginal * sizes[-1] < 0
    crosses = slower_first & faster_last
    beyond = np.where(faster_last, -np.inf, np.inf)
    images = np.where(crosses, fixed / np.where(crosses, -marginal, 1), beyond)
    # The ends are draws: between a finite one and infinity is nothing.
    tails = [CROSSING_TAIL, 1 - CROSSING_TAIL]
    ends = [images[0], *np.quantile(images[1:], tails, method="inverted_cdf")]
    at, low, high = (float(end) if math.isfinite(end) else None for end in ends)
    return Crossing(at if low is not None and high is not None else None, low, high)


def _times(seconds: ArrayLike) -> Floats:
    """Seconds as an array, where they can be times."""
    array = np.asarray(seconds, dtype=float)
    if array.size == 0:
        raise ValueError("no values to take the median of")
    if not (array.min() > 0 and array.max() < math.inf):
        raise ValueError("a time must be positive and finite")
    return array


def _paired(seconds: ArrayLike, baseline: ArrayLike) -> tuple[Floats, Floats]:
    """Both as arrays of one shape."""
    own, other = _times(seconds), _times(baseline)
    if own.shape != other.shape:
        raise ValueError(f"{own.size} samples can't be paired with {other.size}")
    return own, other
