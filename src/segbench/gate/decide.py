"""From the samples of a gate to what is said of each case."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from segbench import stats
from segbench.gate.rounds import ENDING
from segbench.results.outcome import BASE, HEAD, OF_A_RATIO, Comparison, Estimate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from segbench.results.records import Case, Sample

# How each side failed for the first time.
Failures: TypeAlias = "dict[str, Sample]"


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
    failures = _failures(samples)
    slower = {
        case
        for case, ratios in round_ratios(samples).items()
        if case not in failures and suspicious(estimate(ratios), threshold=threshold)
    }
    lost = {case for case, failed in failures.items() if _lost(failed)}
    cases = dict.fromkeys(sample.case for sample in samples)
    return [case for case in cases if case in slower | lost]


def decide(
    cases: Sequence[Case], samples: Sequence[Sample], *, threshold: float
) -> tuple[Comparison, ...]:
    """What is said of each case, after the first look and the second."""
    by_case: defaultdict[tuple[Case, int], list[Sample]] = defaultdict(list)
    for sample in samples:
        by_case[sample.case, sample.look].append(sample)
    return tuple(
        _decide(case, by_case[case, 1], by_case[case, 2], threshold=threshold) for case in cases
    )


def _decide(
    case: Case, first: Sequence[Sample], again: Sequence[Sample], *, threshold: float
) -> Comparison:
    failed, failed_again = (_failures(own).get(case, {}) for own in (first, again))
    if set(failed_again) == {BASE} and not failed:
        # The head did its part twice: what it was suspected of is neither confirmed nor refuted.
        cause = f"{_causes(failed_again)}, in a second look"
        return _timed(case, first, [], threshold=threshold, cause=cause)
    if failed_again or (failed and not (_lost(failed) and again)):
        return _failed(case, {**failed_again, **failed})
    if failed:
        # The first look has no ratio of all rounds, and one look makes no regression.
        cause = f"{_causes(failed)}; not so in a second look"
        return _timed(case, again, [], threshold=threshold, cause=cause)
    if first:
        return _timed(case, first, again, threshold=threshold)
    return _comparison(case, "not compared", cause="not measured: the gate ended before")


def _failures(samples: Iterable[Sample]) -> dict[Case, Failures]:
    failures: defaultdict[Case, Failures] = defaultdict(dict)
    for sample in samples:
        if sample.status != "ok":
            failures[sample.case].setdefault(sample.side, sample)
    return dict(failures)


def _lost(failed: Mapping[str, Sample]) -> bool:
    """Whether one side alone has lost a worker, as on a machine that is short of memory or time."""
    return len(failed) == 1 and all(how.status in ENDING for how in failed.values())


def _failed(case: Case, failed: Mapping[str, Sample]) -> Comparison:
    """A case that has no ratio, from how each side failed."""
    base, head = (failed[side].status if side in failed else "ok" for side in (BASE, HEAD))
    broken = head == "wrong-result" or (base == "ok" and head != "unavailable")
    return _comparison(case, "failed" if broken else "not compared", cause=_causes(failed))


def _causes(failed: Mapping[str, Sample]) -> str:
    return "; ".join(f"{side}: {how.status}, {how.cause}" for side, how in failed.items())


def _timed(
    case: Case,
    first: Sequence[Sample],
    again: Sequence[Sample],
    *,
    threshold: float,
    cause: str = "",
) -> Comparison:
    """A case that both sides were timed in, from its own samples; none failed."""
    ratios, ratios_again = round_ratios(first), round_ratios(again)
    if case not in ratios:
        return _comparison(case, "not compared", cause="not measured: the gate ended before")
    found = estimate(ratios[case])
    second = estimate(ratios_again[case]) if case in ratios_again else None
    whole = [block for block in _blocks(first).values() if {BASE, HEAD} <= block.keys()]
    return _comparison(
        case,
        verdict(found, second, threshold=threshold),
        cause=cause,
        base_seconds=float(np.median([block[BASE] for block in whole])),
        head_seconds=float(np.median([block[HEAD] for block in whole])),
        first=found,
        again=second,
    )


def _comparison(
    case: Case,
    word: str,
    *,
    cause: str,
    base_seconds: float | None = None,
    head_seconds: float | None = None,
    first: Estimate | None = None,
    again: Estimate | None = None,
) -> Comparison:
    return Comparison(
        phase=case.phase,
        backend=str(case.backend),
        n_images=case.n_images,
        verdict=word,
        cause=cause,
        base_seconds=base_seconds,
        head_seconds=head_seconds,
        first=first,
        again=again,
    )
