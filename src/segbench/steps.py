"""Steps in a history of times: where they are, by how much, and how sure that is."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from segbench.stats import FALSE_SHARE, LEAST_SPREAD, Ratio, bounded_exp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

# Of fewer commits a level is a guess, so that a history needs two such levels.
LEAST_LEVEL = 3
LEAST_COMMITS = 2 * LEAST_LEVEL

# What a step has to explain, in multiples of the noise's variance and of the logarithm of the number
# of commits [1]_ of `steps`.
PENALTY = 3.0

# A commit that is so many times the noise away from the middle of the five around it is set to that
# middle: one busy hour is no level.
OUTLYING = 6.0

# Of normal values, the median of their absolute differences, over their standard deviation.
MEDIAN_DIFFERENCE = 0.6745 * math.sqrt(2)


@dataclass(frozen=True, kw_only=True)
class Step:
    """Where a history goes from one level to another.

    Attributes
    ----------
    after, at : int
        The last commit of the old level and the first of the new one, as places in the history:
        between them lie only commits without a time.
    ratio : Ratio
        The new level as a multiple of the old one; its interval takes the place as given.
    p : float
        How likely chance alone gives such a step anywhere in the history.
    """

    after: int
    at: int
    ratio: Ratio
    p: float


def can_look() -> bool:
    """Whether the library that finds the places is installed."""
    return find_spec("ruptures") is not None


def steps(seconds: ArrayLike) -> list[Step]:
    """Find the steps of a history, where there is more than chance.

    The places are those that explain the logarithms best as levels, at a penalty for each [1]_,
    found exactly [2]_ by ruptures [3]_. Each is then tested: Student's t of the two levels beside it, with
    the spread around all levels, times the number of ways in which its place and its neighbours
    could have been chosen (Bonferroni). The least sure is dropped, and the others are looked at anew,
    until p of each is below `FALSE_SHARE`.

    Of histories of 6 to 50 commits without a step, whose noise is independent from commit to commit, 1
    to 3% have one by this rule where the noise is normal, up to 4% where it follows t with 3 degrees
    of freedom, and 5% where one commit in twenty is slow by a third (simulated). Noise that lasts,
    such as that of a machine which is busy for days, is a step to it.

    Parameters
    ----------
    seconds : array_like of float, shape (C,)
        One time a commit, in their order; nan where there is none.

    Returns
    -------
    list of Step
        In order; none in a history of fewer than `LEAST_COMMITS` times.

    References
    ----------
    .. [1] Zhang NR, Siegmund DO (2007) A modified Bayes information criterion with applications to
           the analysis of comparative genomic hybridization data. Biometrics 63:22-32.
    .. [2] Killick R, Fearnhead P, Eckley IA (2012) Optimal detection of changepoints with a linear
           computational cost. Journal of the American Statistical Association 107:1590-1598.
    .. [3] Truong C, Oudre L, Vayatis N (2020) Selective review of offline change point detection
           methods. Signal Processing 167:107299.
    """
    times = np.asarray(seconds, dtype=float)
    known = np.flatnonzero((times > 0) & np.isfinite(times))
    if known.size < LEAST_COMMITS:
        return []
    logs = np.log(times[known])
    noise = max(float(np.median(np.abs(np.diff(logs)))) / MEDIAN_DIFFERENCE, LEAST_SPREAD)
    logs = _without_outliers(logs, noise)
    places = _places(logs, noise)
    while places:
        tested = _tested(logs, places)
        weakest = max(range(len(places)), key=lambda number: tested[number][1])
        if tested[weakest][1] < FALSE_SHARE:
            return [
                Step(after=int(known[place - 1]), at=int(known[place]), ratio=ratio, p=p)
                for place, (ratio, p) in zip(places, tested, strict=True)
            ]
        del places[weakest]
    return []


def _without_outliers(logs: Floats, noise: float) -> Floats:
    """A history in which a few commits far from those around them are among these (Hampel's filter)."""
    around = np.lib.stride_tricks.sliding_window_view(np.pad(logs, 2, constant_values=np.nan), 5)
    middle = np.nanmedian(around, axis=1)
    return np.where(np.abs(logs - middle) > OUTLYING * noise, middle, logs)


def _places(logs: Floats, noise: float) -> list[int]:
    """Where a level begins, except the first."""
    from ruptures import KernelCPD  # noqa: PLC0415  (installed or not)

    # The linear kernel's cost is that of least squares.
    search = KernelCPD(kernel="linear", min_size=LEAST_LEVEL).fit(logs.reshape(-1, 1))
    *places, _ = search.predict(pen=PENALTY * noise**2 * math.log(logs.size))
    return [int(place) for place in places]


def _tested(logs: Floats, places: Sequence[int]) -> list[tuple[Ratio, float]]:
    """The ratio of the levels beside each place, and p."""
    levels = np.split(logs, places)
    freedom = logs.size - len(levels)
    squares = sum(float(((level - level.mean()) ** 2).sum()) for level in levels)
    spread = max(math.sqrt(squares / freedom), LEAST_SPREAD)
    # Of a place and its two neighbours, where there are so many.
    ways = math.comb(logs.size - 1, min(len(places), 3))
    ratios = [
        Ratio(
            estimate=bounded_exp(float(after.mean() - before.mean())),
            error=spread * math.sqrt(1 / before.size + 1 / after.size),
            rounds=min(before.size, after.size),
            freedom=freedom,
        )
        for before, after in itertools.pairwise(levels)
    ]
    return [(ratio, min(1.0, ways * ratio.p())) for ratio in ratios]
