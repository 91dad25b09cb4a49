"""From the samples of a gate to what is said of each case."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from segbench import stats
from segbench.gate.rounds import ENDING
from segbench.results.outcome import BASE, HEAD, OF_A_RATIO, Comparison, Estimate, named

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from segbench.results.records import Case, Sample


def round_ratios(
    samples: Iterable[Sample], *, base: str = BASE, head: str = HEAD
) -> dict[Case, NDArray[np.float64]]:
    """Ratio of one side's times to another's in each round, ``(R,)`` for each case.

    That of a round is the median over its blocks (of the logarithms).

    Parameters
    ----------
    samples : iterable of Sample
        Blocks in which one of the two has no time are left out.
    base, head : str
        The sides; the ratio is that of `head` to `base`.
    """
    logs: defaultdict[Case, defaultdict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (case, number, _), seconds in _blocks(samples).items():
        if base in seconds and head in seconds:
            logs[case][number].append(float(np.log(seconds[head] / seconds[base])))
    return {
        case: np.exp([np.median(rounds[number]) for number in sorted(rounds)])
        for case, rounds in logs.items()
    }


def _blocks(samples: Iterable[Sample]) -> dict[tuple[Case, int, int], dict[str, float]]:
    """Seconds by side, by case, round and block."""
    blocks: defaultdict[tuple[Case, int, int], dict[str, float]] = defaultdict(dict)
    for sample in samples:
        if sample.seconds is not None:
            blocks[sample.case, sample.round, sample.block][sample.side] = sample.seconds
    return blocks


def estimate(ratios: NDArray[np.float64]) -> Estimate:
    """Median of the ratios ``(R,)`` of all rounds, and its interval."""
    found = stats.paired_ratio(ratios, np.ones_like(ratios))
    return Estimate(ratio=found.median, low=found.low, high=found.high, rounds=found.count)


def verdict(first: Estimate, again: Estimate | None, *, threshold: float) -> str:
    """What the estimates of a case say; `again` is the second look at a seeming regression.

    An interval that is nan, of too few rounds, is no evidence of anything.
    """
    shown = stats.verdict(first.low, first.high, margin=threshold)
    if shown == "slower" and not (again and suspicious(again, threshold=threshold)):
        return "undecided"
    return OF_A_RATIO.get(shown, shown)


def suspicious(found: Estimate, *, threshold: float) -> bool:
    """Whether the whole interval is beyond the threshold."""
    return stats.verdict(found.low, found.high, margin=threshold) == "slower"


def suspects(samples: Sequence[Sample], *, threshold: float) -> list[Case]:
    """Cases that are to be looked at a second time: what seems slower, or was lost by one side."""
    ratios, failures = round_ratios(samples), _failures(samples)
    slower = {
        case
        for case, own in ratios.items()
        if case not in failures and suspicious(estimate(own), threshold=threshold)
    }
    lost = {case for case, failed in failures.items() if _lost(failed)}
    return [case for case in dict.fromkeys(s.case for s in samples) if case in slower | lost]


def decide(
    cases: Sequence[Case], samples: Sequence[Sample], *, threshold: float
) -> tuple[Comparison, ...]:
    """What is said of each case, after the first look and the second."""
    looks: defaultdict[tuple[Case, int], list[Sample]] = defaultdict(list)
    for sample in samples:
        looks[sample.case, sample.look].append(sample)
    return tuple(
        _decide(case, looks[case, 1], looks[case, 2], threshold=threshold) for case in cases
    )


def _decide(
    case: Case, first: Sequence[Sample], again: Sequence[Sample], *, threshold: float
) -> Comparison:
    failed, failed_again = (_failures(own).get(case, {}) for own in (first, again))
    cause = ""
    if set(failed_again) == {BASE} and not failed:
        # The head did its part twice: what it was suspected of is neither confirmed nor refuted.
        cause, again = f"{_causes(failed_again)}, in a second look", []
    # A second look that was interrupted before it had a ratio tells nothing.
    elif failed_again or (failed and not (_lost(failed) and case in round_ratios(again))):
        both = {**failed_again, **failed}
        return Comparison(**named(case), verdict=_of_failures(both), cause=_causes(both))
    elif failed:
        # The first look has no ratio of all rounds, and one look makes no regression.
        cause, first, again = f"{_causes(failed)}; not so in a second look", again, []
    ratios, ratios_again = round_ratios(first), round_ratios(again)
    if case not in ratios:
        cause = "not measured: the gate ended before"
        return Comparison(**named(case), verdict="not compared", cause=cause)
    found = estimate(ratios[case])
    second = estimate(ratios_again[case]) if case in ratios_again else None
    whole = [block for block in _blocks(first).values() if {BASE, HEAD} <= block.keys()]
    return Comparison(
        **named(case),
        verdict=verdict(found, second, threshold=threshold),
        cause=cause,
        base_seconds=float(np.median([block[BASE] for block in whole])),
        head_seconds=float(np.median([block[HEAD] for block in whole])),
        first=found,
        again=second,
    )


def _failures(samples: Iterable[Sample]) -> dict[Case, dict[str, Sample]]:
    """How each side of a case failed for the first time."""
    failures: defaultdict[Case, dict[str, Sample]] = defaultdict(dict)
    for sample in samples:
        if sample.status != "ok":
            failures[sample.case].setdefault(sample.side, sample)
    return dict(failures)


def _lost(failed: Mapping[str, Sample]) -> bool:
    """Whether one side alone has lost a worker, as on a machine that is short of memory or time."""
    return len(failed) == 1 and all(how.status in ENDING for how in failed.values())


def _of_failures(failed: Mapping[str, Sample]) -> str:
    """The verdict on a case that has no ratio."""
    base, head = (failed[side].status if side in failed else "ok" for side in (BASE, HEAD))
    broken = head == "wrong-result" or (base == "ok" and head != "unavailable")
    return "failed" if broken else "not compared"


def _causes(failed: Mapping[str, Sample]) -> str:
    return "; ".join(f"{side}: {how.status}, {how.cause}" for side, how in failed.items())
