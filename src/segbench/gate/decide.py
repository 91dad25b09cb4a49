"""From blocks to what is said of a case."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from segbench.gatefile import Comparison, Estimate
from segbench.stats import paired_ratio

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from segbench.gate.plan import Case
    from segbench.gate.rounds import Block
    from segbench.measure.protocol import Failed

BASE, HEAD = "base", "head"


def round_ratios(
    blocks: Iterable[Block], *, first: int = 0, second: int = 1
) -> dict[Case, NDArray[np.float64]]:
    """Ratio of one arm's times to another's in each round, ``(R,)`` for each case.

    That of a round is the median over its blocks (of the logarithms).

    Parameters
    ----------
    blocks : iterable of Block
        Those in which an arm failed are left out.
    first, second : int
        Places of the arms; the ratio is that of the second to the first.
    """
    logs: defaultdict[Case, defaultdict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for block in blocks:
        if block.seconds:
            ratio = np.log(block.seconds[second] / block.seconds[first])
            logs[block.case][block.round].append(float(ratio))
    return {
        case: np.exp([np.median(rounds[number]) for number in sorted(rounds)])
        for case, rounds in logs.items()
    }


def estimate(ratios: NDArray[np.float64]) -> Estimate:
    """Median of the ratios ``(R,)`` of all rounds, and its interval."""
    found = paired_ratio(ratios, np.ones_like(ratios))
    return Estimate(ratio=found.median, low=found.low, high=found.high, rounds=found.count)


def verdict(first: Estimate, again: Estimate | None, *, threshold: float) -> str:
    """What the estimates of a case say; `again` is the second look at a seeming regression.

    An interval that is nan, of too few rounds, is no evidence of anything.
    """
    if suspicious(first, threshold=threshold):
        confirmed = again is not None and suspicious(again, threshold=threshold)
        return "regression" if confirmed else "undecided"
    if first.high < 1 / (1 + threshold):
        return "improvement"
    if first.low > 1 / (1 + threshold) and first.high < 1 + threshold:
        return "same"
    return "undecided"


def suspicious(found: Estimate, *, threshold: float) -> bool:
    """Whether the whole interval is beyond the threshold."""
    return found.low > 1 + threshold


def suspects(blocks: Sequence[Block], *, threshold: float) -> list[Case]:
    """Cases that are to be looked at a second time."""
    broken = {block.case for block in blocks if block.failed}
    return [
        case
        for case, ratios in round_ratios(blocks).items()
        if case not in broken and suspicious(estimate(ratios), threshold=threshold)
    ]


def decide(
    cases: Sequence[Case], first: Sequence[Block], again: Sequence[Block], *, threshold: float
) -> tuple[Comparison, ...]:
    """What is said of each case, after the first stage and after the second look."""
    ratios, ratios_again = round_ratios(first), round_ratios(again)
    failures: defaultdict[Case, dict[str, Failed]] = defaultdict(dict)
    times: defaultdict[Case, list[tuple[float, ...]]] = defaultdict(list)
    for block in (*first, *again):
        if block.failed:
            failures[block.case].setdefault(block.arm, block.failed)
    for block in first:
        if block.seconds:
            times[block.case].append(block.seconds)
    said = []
    for case in cases:
        found = second = base = head = None
        if case in failures or case not in ratios:
            word, cause = _without(failures[case])
        else:
            found, cause = estimate(ratios[case]), ""
            second = estimate(ratios_again[case]) if case in ratios_again else None
            word = verdict(found, second, threshold=threshold)
            base, head = (float(seconds) for seconds in np.median(times[case], axis=0))
        said.append(
            Comparison(
                phase=case.phase,
                backend=str(case.backend),
                n_images=case.n_images,
                verdict=word,
                base_seconds=base,
                head_seconds=head,
                first=found,
                again=second,
                cause=cause,
            )
        )
    return tuple(said)


def _without(failures: dict[str, Failed]) -> tuple[str, str]:
    """Verdict and cause of a case that has no ratio, from how each arm failed."""
    causes = [f"{arm}: {failed.status}, {failed.cause}" for arm, failed in failures.items()]
    if not causes:
        return "not compared", "not measured: the gate ended before"
    base, head = (failures[arm].status if arm in failures else "ok" for arm in (BASE, HEAD))
    wrong = head == "wrong-result" and base != "wrong-result"
    broken = base == "ok" and head != "unavailable"
    return "failed" if wrong or broken else "not compared", "; ".join(causes)
