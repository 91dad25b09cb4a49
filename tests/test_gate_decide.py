"""What the gate says of a case, from samples that are made up."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segbench.backends.registry import BASELINE
from segbench.gate import decide
from segbench.results.outcome import VERDICTS, Estimate
from segbench.results.records import Case, Sample, sample_of

CASE = Case(BASELINE, 20, "process")


def pairs(ratios: list[float], *, noise: float = 0.0, look: int = 1) -> list[Sample]:
    """Three blocks in each of some rounds; the ratio of a round is that of the head."""
    rng = np.random.default_rng(0)
    made = []
    for number, ratio in enumerate(ratios, start=1):
        for block in range(1, 4):
            base = float(rng.uniform(0.5, 2))
            head = base * ratio * math.exp(noise * float(rng.standard_normal()))
            for side, seconds in (("base", base), ("head", head)):
                place = {"round": number, "block": block, "look": look, "side": side}
                made.append(sample_of(CASE, **place, seconds=seconds, status="ok"))
    return made


def lost(side: str, status: str, *, cause: str = "why", look: int = 1) -> Sample:
    """A failure of one side."""
    return sample_of(CASE, round=3, block=1, look=look, side=side, status=status, cause=cause)


def said(*samples: list[Sample]) -> str:
    """The verdict on `CASE`."""
    (comparison,) = decide.decide([CASE], [s for part in samples for s in part], threshold=0.05)
    return comparison.verdict


def test_a_round_counts_once() -> None:
    """The ratio of a round is the median over its blocks, however many it has."""
    taken = pairs([1.2, 1.0], noise=0.01)
    ratios = decide.round_ratios([*taken, *taken[:6]])[CASE]
    assert ratios == pytest.approx([1.2, 1.0], rel=0.03)
    assert len(ratios) == 2


def test_what_is_slower_twice_is_a_regression() -> None:
    """Only what is beyond the threshold in the first look and in the second is one."""
    slower, same = [1.1] * 8, [1.0] * 8
    assert said(pairs(slower), pairs(slower, look=2)) == "regression"
    assert said(pairs(slower), pairs(same, look=2)) == "undecided"
    assert said(pairs(slower)) == "undecided"
    assert decide.suspects(pairs(slower, noise=0.01), threshold=0.05) == [CASE]
    assert decide.suspects(pairs(same, noise=0.01), threshold=0.05) == []


def test_a_block_that_only_one_side_has_does_not_count() -> None:
    """A time without the other side's beside it is in no ratio."""
    taken = pairs([1.0, 1.5])
    assert decide.round_ratios(taken[:-1])[CASE] == pytest.approx([1.0, 1.5])
    assert decide.round_ratios([s for s in taken if s.side == "head"]) == {}


def test_the_threshold_is_looked_at_with_the_whole_interval() -> None:
    """A ratio whose interval reaches across a threshold is undecided, on either side."""
    rounds = [1.02, 1.09, 1.03, 1.08, 1.04, 1.1, 1.02, 1.07]
    assert said(pairs(rounds)) == "undecided"
    assert said(pairs([1 / ratio for ratio in rounds])) == "undecided"


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [(0.9, "improvement"), (0.97, "same"), (1.0, "same"), (1.03, "same")],
)
def test_what_is_no_regression(ratio: float, verdict: str) -> None:
    """Faster by more than the threshold is an improvement; within it is the same."""
    assert said(pairs([ratio] * 8, noise=0.005)) == verdict


def test_one_bad_round_is_no_regression() -> None:
    """A pair of processes that differs as long as it lives moves one round, not the verdict."""
    assert said(pairs([1.0, 1.0, 1.4, 1.0, 1.0, 1.0, 1.0, 1.0])) == "same"


def test_too_few_rounds_say_nothing() -> None:
    """With fewer rounds than an interval needs nothing is decided."""
    assert said(pairs([2.0] * 4)) == "undecided"
    assert decide.suspects(pairs([2.0] * 4), threshold=0.05) == []


@given(
    low=st.floats(0.1, 10) | st.just(math.nan),
    width=st.floats(0, 5),
    threshold=st.floats(0.01, 0.9),
)
def test_every_estimate_has_one_verdict(low: float, width: float, threshold: float) -> None:
    """Any interval gives a verdict that is explained, and none is an improvement and suspicious."""
    found = Estimate(ratio=low, low=low, high=low + width, rounds=8)
    verdict = decide.verdict(found, found, threshold=threshold)
    assert verdict in VERDICTS
    assert (verdict == "regression") == (low > 1 + threshold)
    assert decide.verdict(found, None, threshold=threshold) != "regression"


@pytest.mark.parametrize(
    ("failed", "verdict"),
    [
        ({"head": "wrong-result"}, "failed"),
        ({"head": "crashed"}, "failed"),
        ({"head": "unavailable"}, "not compared"),
        ({"base": "error"}, "not compared"),
        # Other cells than the reference's are a failure, also where the base has them or none.
        ({"base": "unavailable", "head": "wrong-result"}, "failed"),
        ({"base": "wrong-result", "head": "wrong-result"}, "failed"),
        # The head is not blamed for what the base can't do either.
        ({"head": "error", "base": "error"}, "not compared"),
        ({"base": "crashed", "head": "crashed"}, "not compared"),
    ],
)
def test_failures(failed: dict[str, str], verdict: str) -> None:
    """A head that fails where the base does not fails the gate; what one side lacks is listed."""
    broken = [lost(side, status) for side, status in failed.items()]
    (comparison,) = decide.decide([CASE], [*pairs([1.0]), *broken], threshold=0.05)
    assert comparison.verdict == verdict
    causes = "; ".join(f"{side}: {status}, why" for side, status in failed.items())
    assert comparison.cause == causes
    assert comparison.first is None


def test_a_case_that_was_not_reached() -> None:
    """An interrupted gate says so of what it did not get to, and of what has no whole block."""
    for samples in ([], pairs([1.0])[:1]):
        (comparison,) = decide.decide([CASE], samples, threshold=0.05)
        assert comparison.verdict == "not compared"
        assert "ended before" in comparison.cause


@pytest.mark.parametrize("status", ["crashed", "timeout", "memory"])
def test_a_lost_worker_is_looked_at_again(status: str) -> None:
    """A machine that is short of memory or time fails no gate; a head that fails again does."""
    first = [*pairs([1.0, 1.0]), lost("head", status)]
    again = pairs([2.0] * 8, look=2)
    assert decide.suspects(first, threshold=0.05) == [CASE]
    (once,) = decide.decide([CASE], [*first, *again], threshold=0.05)
    assert once.verdict == "undecided"
    assert once.cause == f"head: {status}, why; not so in a second look"
    assert once.first == decide.estimate(np.array([2.0] * 8))
    assert said(first, again, [lost("head", status, look=2)]) == "failed"
    # Interrupted before the second look, or in its first block.
    assert said(first) == "failed"
    assert said(first, again[:1]) == "failed"


@pytest.mark.parametrize("status", ["crashed", "timeout", "memory"])
def test_a_lost_base_hides_no_regression(status: str) -> None:
    """A case that the base loses in one look is judged by the other, and is no regression by that."""
    lost_first = [*pairs([1.0, 1.0]), lost("base", status)]
    # Also where the second look went on for long enough to have an interval.
    lost_again = [*pairs([2.0] * 6, look=2), lost("base", status, look=2)]
    assert decide.suspects(lost_first, threshold=0.05) == [CASE]
    slow = [2.0] * 8
    (once,) = decide.decide([CASE], [*lost_first, *pairs(slow, look=2)], threshold=0.05)
    (later,) = decide.decide([CASE], [*pairs(slow), *lost_again], threshold=0.05)
    for comparison in (once, later):
        assert comparison.verdict == "undecided"
        assert comparison.first == decide.estimate(np.array(slow))
    assert once.cause == f"base: {status}, why; not so in a second look"
    assert later.cause == f"base: {status}, why, in a second look"
    assert said(lost_first, lost_again) == said(lost_first) == "not compared"


@pytest.mark.parametrize(
    "failed",
    [[("head", "wrong-result")], [("head", "error")], [("base", "crashed"), ("head", "crashed")]],
)
def test_what_is_no_accident_is_not_looked_at_again(failed: list[tuple[str, str]]) -> None:
    """Other cells, an exception, and what the base loses too are final."""
    broken = [lost(side, status) for side, status in failed]
    assert decide.suspects(broken, threshold=0.05) == []
