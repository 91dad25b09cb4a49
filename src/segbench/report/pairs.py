"""Backends two by two: what one takes beside another, with one verdict for each pair."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, TypeAlias

from segbench.backends.registry import BASELINE
from segbench.report.cells import collected
from segbench.report.summary import cases_in, ratio_of, within_blocks
from segbench.stats import verdicts

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from segbench.results.sources import Source
    from segbench.stats import Ratio

OPPOSITE = {"faster": "slower", "slower": "faster"}


@dataclass(frozen=True)
class Pair:
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

    def turned(self) -> Pair:
        """The other beside this one: the same finding, seen from there."""
        own = self.ratio
        ratio = replace(own, median=1 / own.median, low=1 / own.high, high=1 / own.low)
        return Pair(self.other, self.backend, ratio, OPPOSITE.get(self.verdict, self.verdict))


# By backend, other backend and number of images; each pair both ways round.
Pairs: TypeAlias = "Mapping[tuple[str, str, int], Pair]"


def pairs_of(source: Source, summary: pd.DataFrame, phase: str) -> Pairs:
    """Compare every backend that was timed to the end in a phase with every other, at each size.

    A backend and the baseline have the verdict of the summary. All other pairs of the phase, of
    every size, are one family by themselves, since the most striking of them are told of; none of
    their verdicts says more than the summary does of the two.
    """
    baseline = str(BASELINE)
    found: dict[tuple[str, str, int], Pair] = {}
    others: dict[tuple[str, str, int], Ratio] = {}
    sizes = collected((case.n_images, case) for case in cases_in(summary, phase) if case.ok)
    for n_images, cases in sizes.items():
        at = {case.backend: case for case in cases}
        names = [name for name in at if name != baseline]
        for name in names if baseline in at else ():
            # Without a block in common with the baseline there is no verdict.
            verdict = at[name].verdict or "undecided"
            pair = Pair(name, baseline, ratio_of(at[name]), verdict)
            found[name, baseline, n_images] = pair
        times = source.times[phase, n_images]
        for one, other in combinations(names, 2):
            others[one, other, n_images] = within_blocks(times[one], times[other])
    said = verdicts(list(others.values()))
    for (one, other, size), ratio, verdict in zip(others, others.values(), said, strict=True):
        pair = Pair(one, other, ratio, verdict)
        beside_baseline = (found.get((name, baseline, size)) for name in (one, other))
        found[one, other, size] = _held_back(pair, *beside_baseline)
    turned = {(other, one, size): pair.turned() for (one, other, size), pair in found.items()}
    return found | turned


def _held_back(pair: Pair, own: Pair | None, others: Pair | None) -> Pair:
    """A pair, undecided where its verdict says more than those of both beside the baseline do.

    That one is faster says more where the other is faster than the baseline and this one was not
    shown to be, or where this one is slower and the other was not shown to be. Medians may be in
    another order than the blocks of two backends say: then neither is known to be faster.
    """
    if pair.verdict not in OPPOSITE or not (own and others):
        return pair
    ahead, behind = (own, others) if pair.verdict == "faster" else (others, own)
    says_more = (
        (behind.verdict == "faster" and ahead.verdict != "faster")
        or (ahead.verdict == "slower" and behind.verdict != "slower")
        or ahead.ratio.median >= behind.ratio.median
    )
    return replace(pair, verdict="undecided") if says_more else pair
