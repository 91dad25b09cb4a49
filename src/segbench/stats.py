"""Statistics of a comparison: arrays in, numbers out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

VERDICTS = (
    "faster",
    "probably faster",
    "no difference",
    "undecided",
    "probably slower",
    "slower",
)

# Level of the t interval that is told as one of 95%: a rule that stops where an interval is
# narrow prefers those that are too narrow by chance. How often they cover is told at `Ratio`.
T_LEVEL = 0.96

# Level of each test behind "faster" and "slower" by itself, and the share of all that are said in a
# family that may be false.
ALPHA = 0.01
FALSE_SHARE = 0.05

# A smaller difference is none that anybody need act on, and what is known to be smaller is none.
MARGIN = 0.05

# Of fewer rounds the spread from process to process is a guess.
MIN_ROUNDS = 5

# The logarithms of round medians spread by so much at the least: a few that agree by chance, or by
# the resolution of a clock, are no proof that all will.
LEAST_SPREAD = 0.003


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """The time of one arm relative to another's, from rounds of fresh processes.

    Two processes of one program differ for as long as they live, so a round, with new processes of
    both arms, is what counts, and not a call: `of_rounds` has one value from each. Estimate, interval
    and test are all those of Student's t on these values [1]_, so that a verdict and an interval
    never contradict each other. Not the sign test's order statistics, which enclose the median in
    94% of cases at five rounds only from the lowest to the highest, and say nothing of how far it is
    from 1; nor a bootstrap, which takes five rounds for all that there are.

    How often the interval covers the truth, simulated through the rule that ends a case of a run
    (after 5, 7 or 10 rounds), for values that spread by 1 to 8% from round to round and are normal
    or follow t with 3 degrees of freedom: 94.0 to 97.8% (`python -m evidence coverage`).

    Attributes
    ----------
    estimate : float
        Geometric mean over the rounds. Below 1: the first arm is faster.
    error : float
        Standard error of its logarithm; nan with fewer than `MIN_ROUNDS` rounds.
    rounds : int
        How many.
    freedom : float
        Degrees of freedom of `error`.

    References
    ----------
    .. [1] Student (1908) The probable error of a mean. Biometrika 6:1-25.
    """

    estimate: float
    error: float
    rounds: int
    freedom: float

    @property
    def known(self) -> bool:
        """Whether it has an error, and so an interval."""
        return not math.isnan(self.error)

    @property
    def low(self) -> float:
        """Low end of the 95% interval; nan without an error."""
        return self.estimate * bounded_exp(-self.reach)

    @property
    def high(self) -> float:
        """High end of the 95% interval; nan without an error."""
        return self.estimate * bounded_exp(self.reach)

    @property
    def reach(self) -> float:
        """How far the interval of its logarithm goes to either side; nan without an error."""
        return t_reach(self.freedom) * self.error if self.known else math.nan

    @property
    def inverse(self) -> Ratio:
        """That of the other arm to the first."""
        return replace(self, estimate=1 / self.estimate)

    def p(self, *, margin: float = 0.0) -> float:
        """How likely chance alone gives this difference if the truth lies within a factor 1 + `margin`.

        Two-sided, of this ratio by itself: `verdicts` corrects it for many. Nan without an error.
        """
        if not self.known:
            return math.nan
        excess = abs(math.log(self.estimate)) - math.log1p(margin)
        return min(1.0, 2 * float(t_tail(excess / self.error, self.freedom)))


UNKNOWN = Ratio(estimate=math.nan, error=math.nan, rounds=0, freedom=math.nan)


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


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """Where, along numbers of images, one backend becomes faster than another.

    Attributes
    ----------
    images : float
        Where the ratio is 1, on a line through the estimates, in logarithms.
    after : int
        Largest number of images that was measured at which the other is faster.
    by : int
        Smallest from which on this one is.
    """

    images: float
    after: int
    by: int


# A relative spread of one arm's times beyond this is noise that is told.
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


def round_logs(seconds: ArrayLike, baseline: ArrayLike, rounds: ArrayLike) -> Floats:
    """Logarithm of the ratio of two arms in each round: the median over its blocks.

    A shared machine drifts: two samples a second apart see the same machine, two medians a minute
    apart do not. So each sample is divided by the baseline's of the same block.

    Parameters
    ----------
    seconds, baseline : array_like of float, shape (B,)
        Samples of the two, of the same blocks in the same order.
    rounds : array_like of int, shape (B,)
        Round of each block.

    Returns
    -------
    ndarray of float, shape (R,)
        In the order of the rounds' numbers.

    Raises
    ------
    ValueError
        If the lengths differ or are 0, or a time is not positive.
    """
    own, other, numbers = _times(seconds), _times(baseline), np.asarray(rounds)
    if not own.shape == other.shape == numbers.shape:
        raise ValueError(f"{own.size} samples can't be paired with {other.size}")
    logs = np.log(own) - np.log(other)
    return np.array([np.median(logs[numbers == number]) for number in np.unique(numbers)])


def of_rounds(logs: ArrayLike) -> Ratio:
    """The ratio whose logarithm in each round is given, ``(R,)``; `UNKNOWN` without any."""
    values = np.asarray(logs, dtype=float)
    count = values.size
    if not count:
        return UNKNOWN
    mean, error = mean_and_error(values) if count >= MIN_ROUNDS else (values.mean(), math.nan)
    return Ratio(
        estimate=bounded_exp(float(mean)),
        error=float(error),
        rounds=count,
        freedom=count - 1,
    )


def mean_and_error(logs: Floats) -> tuple[Floats, Floats]:
    """Mean over rounds, and its standard error, of one ratio ``(R,)`` or of many ``(..., R)``."""
    spread = np.maximum(logs.std(axis=-1, ddof=1), LEAST_SPREAD)
    return logs.mean(axis=-1), spread / math.sqrt(logs.shape[-1])


@cache
def t_reach(freedom: float) -> float:
    """How many standard errors the interval reaches to either side."""
    # Takes longer to import than a run has to start.
    from scipy.special import stdtrit  # noqa: PLC0415

    return float(stdtrit(freedom, (1 + T_LEVEL) / 2))


def t_tail(value: ArrayLike, freedom: float) -> Floats:
    """Share of Student's distribution beyond some values."""
    from scipy.special import stdtr  # noqa: PLC0415  (as above)

    return np.asarray(stdtr(freedom, -np.asarray(value)))


def narrow(ratio: Ratio, *, precision: float) -> bool:
    """Whether a ratio is known to within a factor 1 + `precision` either way."""
    return ratio.reach < math.log1p(precision)


def ratio_of_ratios(ratio: Ratio, other: Ratio) -> Ratio:
    """How a ratio differs from that of another run: ``ratio`` divided by ``other``.

    Both are taken to be independent; the degrees of freedom are those of Welch [1]_.

    References
    ----------
    .. [1] Welch BL (1947) The generalization of "Student's" problem when several different
           population variances are involved. Biometrika 34:28-35.
    """
    squares = [ratio.error**2, other.error**2]
    shares = [squares[0] ** 2 / max(ratio.freedom, 1), squares[1] ** 2 / max(other.freedom, 1)]
    total = sum(shares)
    return Ratio(
        estimate=ratio.estimate / other.estimate,
        error=math.sqrt(sum(squares)),
        rounds=min(ratio.rounds, other.rounds),
        freedom=sum(squares) ** 2 / total if total > 0 else math.nan,
    )


def verdicts(ratios: Sequence[Ratio], *, margin: float = MARGIN) -> list[str]:
    """What each comparison of one family shows.

    ``faster`` and ``slower``: the interval lies beyond a factor 1 + `margin` on that side of 1, and
    p, that the truth lies within this factor, is below `ALPHA` and, corrected for the number of
    comparisons [1]_, below `FALSE_SHARE`. The correction holds the share of false ones among all
    that are said; where nothing differs, it is as strict as one that holds the chance of any.
    Ratios to one baseline are not independent but rise and fall together, for which it holds as
    well [2]_. All pairs of some arms do so in part only: of these it is tested by simulation.
    ``no difference``: the interval lies within a factor 1 + `margin` of 1.
    ``probably faster`` and ``probably slower``: it lies on that side of 1, and neither of the above
    can be said: among many comparisons some do so by chance, of equal ones one in twenty.
    ``undecided``: the rest, also all of fewer than `MIN_ROUNDS` rounds, which don't count as one of
    the family.

    Parameters
    ----------
    ratios : sequence of Ratio
        All that are looked at together: whoever picks the most striking of 140 looks at 140.
    margin : float
        See above.

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
    p = np.array([ratio.p(margin=margin) for ratio in ratios])
    tested = np.isfinite(p)
    certain = p < ALPHA
    certain[tested] &= corrected(p[tested], count=int(tested.sum())) < FALSE_SHARE
    return [
        verdict(ratio, margin=margin, certain=bool(sure))
        for ratio, sure in zip(ratios, certain, strict=True)
    ]


def corrected(p: Floats, *, count: int) -> Floats:
    """Values of p corrected for the number of comparisons in a family, as Benjamini and Hochberg do.

    Of all whose corrected value lies below a share at most this share is false; where nothing
    differs, this is the chance of any (see `verdicts` for the references).

    Parameters
    ----------
    p : ndarray of float, shape (C, ...)
        One a comparison, along the first axis.
    count : int
        Comparisons in the family; those that are not in `p` count as 1.

    Returns
    -------
    ndarray of float
        Of the same shape.
    """
    order = np.argsort(p, axis=0)
    ranks = np.arange(1, len(p) + 1).reshape(-1, *[1] * (p.ndim - 1))
    rates = np.take_along_axis(p, order, axis=0) * count / ranks
    found = np.empty_like(rates)
    least = np.minimum.accumulate(rates[::-1], axis=0)[::-1]
    np.put_along_axis(found, order, least, axis=0)
    return found


def verdict(ratio: Ratio, *, margin: float, certain: bool) -> str:
    """What a ratio shows, one of `VERDICTS`; see `verdicts`.

    Parameters
    ----------
    ratio : Ratio
        Where it has no interval, every condition is false.
    margin : float
        A difference is one of more than this share.
    certain : bool
        Whether chance is excluded, by a test that the caller has made.
    """
    low, high = ratio.low, ratio.high
    if low > 1 / (1 + margin) and high < 1 + margin:
        return "no difference"
    if high < 1:
        return "faster" if certain and high < 1 / (1 + margin) else "probably faster"
    if low > 1:
        return "slower" if certain and low > 1 + margin else "probably slower"
    return "undecided"


def crossing(estimates: Mapping[int, float], verdicts: Mapping[int, str]) -> Crossing | None:
    """From which number of images on a backend is faster than another.

    It lies between two sizes that were measured: the largest at which the verdict says slower
    (probably or not), and the smallest from which on every verdict says faster. So it never
    contradicts a verdict, and is as sure as those at its two ends.

    Parameters
    ----------
    estimates : mapping of int to float
        Ratio of the backend to the other at each number of images.
    verdicts : mapping of int to str
        What each of them shows, one of `VERDICTS`.

    Returns
    -------
    Crossing or None
        None where there is none, or a size that is undecided beyond it leaves it open.
    """
    sizes = sorted(verdicts)
    slower = [size for size in sizes if verdicts[size].endswith("slower")]
    if not slower:
        return None
    after = slower[-1]
    by = None
    for size in reversed(sizes):
        if size <= after or not verdicts[size].endswith("faster"):
            break
        by = size
    # Before it the other is not slower anywhere, or there would be more than one.
    if by is None or any(verdicts[size].endswith("faster") for size in sizes if size < after):
        return None
    within = [size for size in sizes if after <= size <= by]
    logs = np.log([estimates[size] for size in within])
    first = next(place for place in range(len(logs) - 1, -1, -1) if logs[place] > 0)
    # By the logarithm of the size, in which the sizes of a run are about evenly spaced.
    (left, right), (above, below) = np.log(within[first : first + 2]), logs[first : first + 2]
    images = math.exp(left + (right - left) * above / (above - below))
    return Crossing(images=images, after=after, by=by)


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
    if np.unique(sizes).size < 2:
        raise ValueError("a line needs two sizes or more")
    return CostModel(*costs(np.column_stack([np.ones_like(sizes), sizes]), times))


def costs(amounts: ArrayLike, seconds: ArrayLike) -> list[float]:
    """What a unit of each of some things costs: of a call, an image, a pixel.

    Least squares of the relative errors, none below 0.

    Parameters
    ----------
    amounts : array_like of float, shape (S, K)
        How much of each a call has.
    seconds : array_like of float, shape (S,)
        What that takes.

    Returns
    -------
    list of float
        Seconds a unit, of each of the K; nan where there is no telling, as of times beyond all reason.
    """
    from scipy.optimize import nnls  # noqa: PLC0415  (takes a while to import, for this alone)

    shares = np.asarray(amounts, dtype=float) / _times(seconds)[:, None]
    # Of one scale: a call is one, and pixels are millions.
    scale = shares.max(axis=0)
    if not (np.isfinite(shares).all() and scale.all()):
        return [math.nan] * shares.shape[1]
    try:
        found, _ = nnls(shares / scale, np.ones(len(shares)))
    except RuntimeError:  # it did not converge
        return [math.nan] * shares.shape[1]
    return [float(one) for one in found / scale]


def bounded_exp(log: float) -> float:
    """A ratio from its logarithm, of times however unlikely: neither 0 nor beyond what a float holds."""
    # In this order what is nan stays so.
    return math.exp(max(min(log, 300.0), -300.0))


def _times(seconds: ArrayLike) -> Floats:
    """Seconds as an array, where they can be times."""
    array = np.asarray(seconds, dtype=float)
    if array.size == 0:
        raise ValueError("no values to take the median of")
    if not (array.min() > 0 and array.max() < math.inf):
        raise ValueError("a time must be positive and finite")
    return array
