"""From blocks to what is said of a case."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from segbench.gate.rounds import ENDING
from segbench.results.outcome import Comparison, Estimate
from segbench.stats import paired_ratio

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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
    """Cases that are to be looked at a second time: what seems slower, or was lost by one side."""
    failures = _failures(blocks)
    slower = {
        case
        for case, ratios in round_ratios(blocks).items()
        if case not in failures and suspicious(estimate(ratios), threshold=threshold)
    }
    lost = {case for case, failed in failures.items() if _lost(failed)}
    return [case for case in dict.fromkeys(block.case for block in blocks) if case in slower | lost]


def decide(
    cases: Sequence[Case], first: Sequence[Block], again: Sequence[Block], *, threshold: float
) -> tuple[Comparison, ...]:
    """What is said of each case, after the first stage and after the second look."""
    failures, failures_again = _failures(first), _failures(again)
    looks, looks_again = _by_case(first), _by_case(again)
    said = []
    for case in cases:
        failed, failed_again = failures.get(case, {}), failures_again.get(case, {})
        own, own_again = looks.get(case, []), looks_again.get(case, [])
        if set(failed_again) == {BASE} and not failed:
            # The head did its part twice: what it was suspected of is neither confirmed nor refuted.
            cause = f"{_causes(failed_again)}, in a second look"
            said.append(_timed(case, own, [], threshold=threshold, cause=cause))
        elif failed_again or (failed and not (_lost(failed) and own_again)):
            said.append(_failed(case, {**failed_again, **failed}))
        elif failed:
            # The first stage has no ratio of all rounds, and one look makes no regression.
            cause = f"{_causes(failed)}; not so in a second look"
            said.append(_timed(case, own_again, [], threshold=threshold, cause=cause))
        elif own:
            said.append(_timed(case, own, own_again, threshold=threshold))
        else:
            said.append(_comparison(case, "not compared", "not measured: the gate ended before"))
    return tuple(said)


def _by_case(blocks: Iterable[Block]) -> dict[Case, list[Block]]:
    grouped: defaultdict[Case, list[Block]] = defaultdict(list)
    for block in blocks:
        grouped[block.case].append(block)
    return dict(grouped)


def _failures(blocks: Iterable[Block]) -> dict[Case, dict[str, Failed]]:
    """How each arm failed for the first time, by case."""
    failures: defaultdict[Case, dict[str, Failed]] = defaultdict(dict)
    for block in blocks:
        if block.failed:
            failures[block.case].setdefault(block.arm, block.failed)
    return dict(failures)


def _lost(failed: Mapping[str, Failed]) -> bool:
    """Whether one side alone has lost a worker, as on a machine that is short of memory or time."""
    return len(failed) == 1 and all(how.status in ENDING for how in failed.values())


def _failed(case: Case, failed: Mapping[str, Failed]) -> Comparison:
    """A case that has no ratio, from how each arm failed."""
    base, head = (failed[arm].status if arm in failed else "ok" for arm in (BASE, HEAD))
    broken = head == "wrong-result" or (base == "ok" and head != "unavailable")
    return _comparison(case, "failed" if broken else "not compared", _causes(failed))


def _causes(failed: Mapping[str, Failed]) -> str:
    return "; ".join(f"{arm}: {how.status}, {how.cause}" for arm, how in failed.items())


def _timed(
    case: Case,
    first: Sequence[Block],
    again: Sequence[Block],
    *,
    threshold: float,
    cause: str = "",
) -> Comparison:
    """A case that both arms were timed in, from its own blocks; none failed."""
    found = estimate(round_ratios(first)[case])
    second = estimate(round_ratios(again)[case]) if again else None
    base, head = np.median([block.seconds for block in first], axis=0)
    return dataclasses.replace(
        _comparison(case, verdict(found, second, threshold=threshold), cause),
        base_seconds=float(base),
        head_seconds=float(head),
        first=found,
        again=second,
    )


def _comparison(case: Case, word: str, cause: str) -> Comparison:
    return Comparison(
        phase=case.phase,
        backend=str(case.backend),
        n_images=case.n_images,
        verdict=word,
        cause=cause,
    )
