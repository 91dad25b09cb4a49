"""Backends two by two: what one takes beside another, each pair with one verdict, and in words."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

from segbench.backends.registry import BASELINE
from segbench.report.cells import format_factor, format_interval
from segbench.report.summary import ratio_of, within_blocks
from segbench.stats import Ratio, verdicts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from segbench.results.sources import Source

PROCESSORS = {
    "skimage": "scikit-image",
    "dask-image": "dask-image's filters",
    "dask-image-area": "dask-image's filters and areas",
    "dask-blocks": "Dask over scikit-image",
    "opencv": "OpenCV",
}
READERS = {
    "skimage": "scikit-image's reader",
    "dask-image": "dask-image's reader",
    "dask-array-pims": "Dask over pims",
    "dask-array-skimage": "Dask over scikit-image's reader",
}
SCHEDULERS = {
    "serial": "one image after the other",
    "thread-pool": "on threads",
    "process-pool": "on processes",
    "synchronous": "one image after the other",
    "threads": "on Dask's threads",
    "processes": "on Dask's processes",
    "distributed": "on a Dask cluster",
}

# In a sentence that leaves something open.
OPEN = "not decided"

# A sentence that lists more is not read.
MOST_NAMED = 6

OPPOSITE = {"faster": "slower", "slower": "faster"}

NO_BLOCK_IN_COMMON = Ratio(math.nan, math.nan, math.nan, 0, math.nan)


@dataclass(frozen=True)
class Beside:
    """A backend beside another, at one number of images.

    Attributes
    ----------
    backend, other : str
        The one that is told about, and the one that it is compared with.
    ratio : Ratio
        Time of the one as a multiple of the other's; all nan without a block in common.
    verdict : str
        What that shows, one of `segbench.stats.VERDICTS`.
    """

    backend: str
    other: str
    ratio: Ratio
    verdict: str

    @property
    def known(self) -> bool:
        """Whether the ratio has an interval."""
        return not math.isnan(self.ratio.low)

    def turned(self) -> Beside:
        """The other beside this one: the same finding, seen from there."""
        own = self.ratio
        ratio = replace(own, median=1 / own.median, low=1 / own.high, high=1 / own.low)
        return Beside(self.other, self.backend, ratio, OPPOSITE.get(self.verdict, self.verdict))


@dataclass(frozen=True)
class Pairs:
    """All pairs of backends that were timed to the end in a phase, at each number of images.

    Attributes
    ----------
    found : mapping of (str, str, int) to Beside
        By backend, other backend and number of images; each pair both ways round.
    """

    found: Mapping[tuple[str, str, int], Beside]

    @property
    def known(self) -> bool:
        """Whether the ratio of some pair has an interval."""
        return any(pair.known for pair in self.found.values())

    def beside(self, backend: str, other: str, n_images: int) -> Beside | None:
        """One beside another; None where either was not timed to the end with so many images."""
        return self.found.get((backend, other, n_images))

    def all_beside(self, other: str, n_images: int) -> list[Beside]:
        """Every backend beside one, the fastest first; those that share no block with it last."""
        found = [
            pair for (_, one, size), pair in self.found.items() if (one, size) == (other, n_images)
        ]
        return sorted(found, key=lambda one: (math.isnan(one.ratio.median), one.ratio.median))


def pairs_of(source: Source, summary: pd.DataFrame, phase: str) -> Pairs:
    """Compare every backend with every other, so that a pair has one verdict wherever it is told of.

    A backend and the baseline have the verdict of the summary. All other pairs of the phase, of
    every size, are one family by themselves, since the most striking of them are told of; none of
    their verdicts says more than the summary does of the two.
    """
    rows = summary[(summary["phase"] == phase) & (summary["status"] == "ok")]
    by_size: dict[int, dict[str, Beside]] = {}
    ratios: dict[tuple[str, str, int], Ratio] = {}
    for n_images in sorted({int(size) for size in rows["n_images"]}):
        at = rows[rows["n_images"] == n_images]
        names = [str(name) for name in at["backend"]]
        others = [name for name in names if name != str(BASELINE)]
        by_size[n_images] = {
            # Without a block in common with the baseline there is no verdict.
            name: Beside(name, str(BASELINE), ratio_of(row), row["verdict"] or "undecided")
            for name, (_, row) in zip(names, at.iterrows(), strict=True)
            if name in others and str(BASELINE) in names
        }
        times = source.times[phase, n_images]
        for one, other in combinations(others, 2):
            ratio = within_blocks(times[one], times[other])
            ratios[one, other, n_images] = ratio or NO_BLOCK_IN_COMMON
    found = {
        (pair.backend, pair.other, size): pair
        for size, pairs in by_size.items()
        for pair in pairs.values()
    }
    for key, said in zip(ratios, verdicts(list(ratios.values())), strict=True):
        one, other, n_images = key
        found[key] = _held_back(Beside(one, other, ratios[key], said), by_size[n_images])
    turned = {(other, one, size): pair.turned() for (one, other, size), pair in found.items()}
    return Pairs(found | turned)


def _held_back(pair: Beside, by_name: Mapping[str, Beside]) -> Beside:
    """A pair, undecided where its verdict says more than those of both beside the baseline do.

    That one is faster says more where the other is faster than the baseline and this one was not
    shown to be, or where this one is slower and the other was not shown to be. Medians may be in
    another order than the blocks of two backends say: then neither is known to be faster.
    """
    if pair.verdict not in OPPOSITE or not by_name:
        return pair
    ahead, behind = by_name[pair.backend], by_name[pair.other]
    if pair.verdict == "slower":
        ahead, behind = behind, ahead
    says_more = (
        (behind.verdict == "faster" and ahead.verdict != "faster")
        or (ahead.verdict == "slower" and behind.verdict != "slower")
        or ahead.ratio.median >= behind.ratio.median
    )
    return replace(pair, verdict="undecided") if says_more else pair


def called(backend: str, phase: str) -> str:
    """A backend as a reader knows it, with its name."""
    reader, _, rest = backend.partition("/")
    processor, _, scheduler = rest.partition("/")
    kinds = PROCESSORS if phase in ("pipeline", "process") else READERS
    part = kinds.get(processor if kinds is PROCESSORS else reader)
    where = SCHEDULERS.get(scheduler)
    return f"{part} {where} ({backend})" if part and where else backend


def listed(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = [f"and {len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else []
    return ", ".join([*names[:MOST_NAMED], *more])


def amount(pair: Beside) -> str:
    """What a backend takes beside another, with the interval: of a pair that has one."""
    ratio = pair.ratio
    if pair.verdict == "faster" and (share := _less_time(ratio)):
        return share
    interval = format_interval(ratio.low, ratio.high, to=" to ")
    return f"{format_factor(ratio.median)} times as long ({interval})"


def _less_time(ratio: Ratio) -> str:
    """Share of the time that is saved; empty where hardly any time is left, and a share misleads."""
    if ratio.low < 0.01:
        return ""
    decimals = 0 if ratio.low >= 0.1 else 1
    least, middle, most = (
        f"{100 * (1 - one):.{decimals}f}" for one in (ratio.high, ratio.median, ratio.low)
    )
    return f"{middle}% less time ({least} to {most}%)"


def than(pair: Beside, phase: str) -> str:
    """What a backend takes, with the one that it is compared with."""
    words = amount(pair)
    return f"{words} {'than' if 'less' in words else 'as'} {called(pair.other, phase)}"


def in_words(pair: Beside, phase: str) -> str:
    """A pair as a sentence has it."""
    own = called(pair.backend, phase)
    if not pair.known:
        return f"{own} and {called(pair.other, phase)} have too few blocks in common"
    return f"{own} takes {than(pair, phase)}"
