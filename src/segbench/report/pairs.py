"""Backends two by two: what one takes beside another, with one verdict for each pair of a source."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from segbench.stats import UNKNOWN, of_rounds, round_logs, verdicts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segbench.report.summary import Case
    from segbench.results.sources import Source, Times
    from segbench.stats import Ratio

OPPOSITE = {
    "faster": "slower",
    "probably faster": "probably slower",
    "probably slower": "probably faster",
    "slower": "faster",
}


@dataclass(frozen=True)
class Pair:
    """A backend beside another, in a phase, at one number of images.

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
        return self.ratio.known

    def turned(self) -> Pair:
        """The other beside this one: the same finding, seen from there."""
        verdict = OPPOSITE.get(self.verdict, self.verdict)
        return Pair(self.other, self.backend, self.ratio.inverse, verdict)


# By phase, number of images, backend and other backend; each pair both ways round.
Pairs: TypeAlias = "Mapping[tuple[str, int, str, str], Pair]"


def pairs_of(source: Source) -> Pairs:
    """Compare every backend with every other, in each phase, at each size; none if not paired.

    Only those that were timed to the end in a case, and whose result was wrong nowhere, are compared
    in it. All pairs are one family, so that each has one verdict, whichever part of a report tells
    of it: tables, answer and crossings pick from the same. That the family is large costs little
    where many of its differences are clear.
    """
    found: dict[tuple[str, int, str, str], Ratio] = {}
    failed = source.samples[source.samples["status"] != "ok"]
    ended = {*zip(failed["phase"], failed["n_images"], failed["backend"], strict=True)}
    for (phase, n_images), times in source.times.items() if source.paired else ():
        own = {
            backend: one
            for backend, one in times.items()
            if backend not in source.wrong and (phase, n_images, backend) not in ended
        }
        for one, other in combinations(own, 2):
            found[phase, n_images, one, other] = ratio_between(own[one], own[other])
    said = verdicts(list(found.values()))
    pairs = {
        key: Pair(*key[2:], ratio, verdict)
        for (key, ratio), verdict in zip(found.items(), said, strict=True)
    }
    turned = {(*key[:2], pair.other, pair.backend): pair.turned() for key, pair in pairs.items()}
    return pairs | turned


def pair_of(pairs: Pairs, case: Case | None, other: Case | None) -> Pair | None:
    """A case beside another of its phase and size; None where one is missing or they are not compared."""
    if case is None or other is None:
        return None
    return pairs.get((case.phase, case.n_images, case.backend, other.backend))


def ratio_between(own: Times, other: Times) -> Ratio:
    """Ratio in the blocks that both have; `UNKNOWN` without one."""
    _, here, there = np.intersect1d(
        own.blocks, other.blocks, assume_unique=True, return_indices=True
    )
    if not here.size:
        return UNKNOWN
    return of_rounds(round_logs(own.seconds[here], other.seconds[there], own.rounds[here]))
