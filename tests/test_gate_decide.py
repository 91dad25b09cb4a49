"""What the gate says of a case, from blocks that are made up."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segbench.backends.registry import BASELINE
from segbench.errors import InputError
from segbench.gate import calibrate as calibration
from segbench.gate import decide
from segbench.gate.plan import Case, Plan
from segbench.gate.rounds import Block
from segbench.images import datasets
from segbench.measure.protocol import Failed
from segbench.pipeline import PipelineParams
from segbench.results.outcome import VERDICTS, Calibration, Estimate

if TYPE_CHECKING:
    from segbench.measure.machine import Fact

CASE = Case(BASELINE, 20, "process")
OTHER = Case(BASELINE, 20, "pipeline")
PLAN = Plan(backends=(BASELINE,), phases=("process", "pipeline"), sizes=(20,))


def blocks(
    ratios: list[float], *, case: Case = CASE, noise: float = 0.0, arms: int = 2, seed: int = 0
) -> list[Block]:
    """Three blocks in each of some rounds; the ratio of a round is that of the last arm."""
    rng = np.random.default_rng(seed)
    made = []
    for number, ratio in enumerate(ratios, start=1):
        for block in range(1, 4):
            base = float(rng.uniform(0.5, 2))
            head = base * ratio * math.exp(noise * float(rng.standard_normal()))
            seconds = (base,) * (arms - 1) + (head,)
            made.append(Block(round=number, block=block, case=case, seconds=seconds))
    return made


def said(first: list[Block], again: list[Block] | None = None) -> str:
    """The verdict on `CASE`."""
    (comparison,) = decide.decide([CASE], first, again or [], threshold=0.05)
    return comparison.verdict


def test_a_round_counts_once() -> None:
    """The ratio of a round is the median over its blocks, however many it has."""
    taken = blocks([1.2, 1.0], noise=0.01)
    ratios = decide.round_ratios([*taken, *taken[:3]])[CASE]
    assert ratios == pytest.approx([1.2, 1.0], rel=0.03)
    assert len(ratios) == 2


def test_what_is_slower_twice_is_a_regression() -> None:
    """Only what is beyond the threshold in the first stage and in the second look is one."""
    slower, same = blocks([1.1] * 8, noise=0.01), blocks([1.0] * 8, noise=0.01)
    assert said(slower, slower) == "regression"
    assert said(slower, same) == "undecided"
    assert said(slower) == "undecided"
    assert decide.suspects(slower, threshold=0.05) == [CASE]
    assert decide.suspects(same, threshold=0.05) == []


def test_the_threshold_is_looked_at_with_the_whole_interval() -> None:
    """A ratio whose interval reaches across a threshold is undecided, on either side."""
    rounds = [1.02, 1.09, 1.03, 1.08, 1.04, 1.1, 1.02, 1.07]
    assert said(blocks(rounds)) == "undecided"
    assert said(blocks([1 / ratio for ratio in rounds])) == "undecided"


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [(0.9, "improvement"), (0.97, "same"), (1.0, "same"), (1.03, "same")],
)
def test_what_is_no_regression(ratio: float, verdict: str) -> None:
    """Faster by more than the threshold is an improvement; within it is the same."""
    assert said(blocks([ratio] * 8, noise=0.005)) == verdict


def test_one_bad_round_is_no_regression() -> None:
    """A pair of processes that differs as long as it lives moves one round, not the verdict."""
    assert said(blocks([1.0, 1.0, 1.4, 1.0, 1.0, 1.0, 1.0, 1.0])) == "same"


def test_too_few_rounds_say_nothing() -> None:
    """With fewer rounds than an interval needs nothing is decided."""
    assert said(blocks([2.0] * 4)) == "undecided"
    assert decide.suspects(blocks([2.0] * 4), threshold=0.05) == []


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
    ("arm", "status", "verdict"),
    [
        ("head", "wrong-result", "failed"),
        ("head", "crashed", "failed"),
        ("head", "unavailable", "not compared"),
        ("base", "error", "not compared"),
    ],
)
def test_failures(arm: str, status: str, verdict: str) -> None:
    """A head that fails where the base does not fails the gate; what one side lacks is listed."""
    broken = Block(round=2, block=0, case=CASE, arm=arm, failed=Failed(status, "why"))
    (comparison,) = decide.decide([CASE], [*blocks([1.0]), broken], [], threshold=0.05)
    assert comparison.verdict == verdict
    assert comparison.cause == f"{arm}: {status}, why"
    assert comparison.first is None


def test_wrong_results_at_the_head_always_fail() -> None:
    """Other cells than the reference's are a failure, also where the base has them or none."""
    lacking = Block(round=1, block=0, case=CASE, arm="base", failed=Failed("unavailable", "why"))
    wrong = Block(round=1, block=0, case=CASE, arm="head", failed=Failed("wrong-result", "cells"))
    (comparison,) = decide.decide([CASE], [lacking, wrong], [], threshold=0.05)
    assert comparison.verdict == "failed"
    also = dataclasses.replace(wrong, arm="base")
    (comparison,) = decide.decide([CASE], [also, wrong], [], threshold=0.05)
    assert comparison.verdict == "failed"


def test_a_case_that_both_sides_fail_is_not_compared() -> None:
    """The head is not blamed for what the base can't do either."""
    broken = [
        Block(round=1, block=0, case=CASE, arm=arm, failed=Failed("error", "why"))
        for arm in ("head", "base")
    ]
    (comparison,) = decide.decide([CASE], broken, [], threshold=0.05)
    assert comparison.verdict == "not compared"
    assert comparison.cause == "head: error, why; base: error, why"


def test_a_case_that_was_not_reached() -> None:
    """An interrupted gate says so of what it did not get to."""
    (comparison,) = decide.decide([CASE], [], [], threshold=0.05)
    assert comparison.verdict == "not compared"
    assert "ended before" in comparison.cause


@pytest.mark.parametrize("status", ["crashed", "timeout", "memory"])
def test_a_lost_worker_is_looked_at_again(status: str) -> None:
    """A machine that is short of memory or time fails no gate; a head that fails again does."""
    lost = Block(round=3, block=1, case=CASE, arm="head", failed=Failed(status, "why"))
    first = [*blocks([1.0, 1.0]), lost]
    assert decide.suspects(first, threshold=0.05) == [CASE]
    again = blocks([2.0] * 8)
    (once,) = decide.decide([CASE], first, again, threshold=0.05)
    assert once.verdict == "undecided"
    assert once.cause == f"head: {status}, why; not so in a second look"
    assert once.first == decide.estimate(np.array([2.0] * 8))
    assert said(first, [*again, lost]) == "failed"
    # Interrupted before the second look.
    assert said(first) == "failed"


@pytest.mark.parametrize("status", ["crashed", "timeout", "memory"])
def test_a_lost_base_hides_no_regression(status: str) -> None:
    """A case that the base loses in one look is judged by the other, and is no regression by that."""
    lost = Block(round=3, block=1, case=CASE, arm="base", failed=Failed(status, "why"))
    slow = blocks([2.0] * 8)
    first = [*blocks([1.0, 1.0]), lost]
    assert decide.suspects(first, threshold=0.05) == [CASE]
    (once,) = decide.decide([CASE], first, slow, threshold=0.05)
    (later,) = decide.decide([CASE], slow, [*blocks([2.0]), lost], threshold=0.05)
    for comparison in (once, later):
        assert comparison.verdict == "undecided"
        assert comparison.first == decide.estimate(np.array([2.0] * 8))
    assert once.cause == f"base: {status}, why; not so in a second look"
    assert later.cause == f"base: {status}, why, in a second look"
    assert said(first, [*slow, lost]) == said(first) == "not compared"


@pytest.mark.parametrize(
    "failed",
    [[("head", "wrong-result")], [("head", "error")], [("base", "crashed"), ("head", "crashed")]],
)
def test_what_is_no_accident_is_not_looked_at_again(failed: list[tuple[str, str]]) -> None:
    """Other cells, an exception, and what the base loses too are final."""
    broken = [
        Block(round=1, block=1, case=CASE, arm=arm, failed=Failed(status, "why"))
        for arm, status in failed
    ]
    assert decide.suspects(broken, threshold=0.05) == []


def calibrated(noise: float, *, rounds: int = 20, gates: int = 200) -> Calibration:
    """Judge rounds of two cases whose ratios vary by so much from round to round."""
    rng = np.random.default_rng(1)
    made = []
    for case in (CASE, OTHER):
        for number in range(1, rounds + 1):
            factors = np.exp(noise * rng.standard_normal(len(calibration.ARMS)))
            shares = np.array(list(calibration.ARMS.values()))
            seconds = tuple(float(value) for value in (1 + shares) * factors)
            made.append(Block(round=number, block=1, case=case, seconds=seconds))
    return calibration.judge(made, plan=PLAN, gates=gates)


def test_a_still_machine_sees_little_more_than_the_threshold() -> None:
    """Without noise the smallest slow-down that is found is the threshold, and nothing is alarmed."""
    found = calibrated(1e-4)
    assert found.sight.false_alarms == 0
    assert found.sight.smallest == pytest.approx(0.05, abs=0.002)
    for case in found.cases:
        assert case.found == {"5% slower": pytest.approx(0.0, abs=0.9), "10% slower": 1.0}
        assert case.measured["10% slower"] == pytest.approx(1.1, rel=0.001)


def test_a_restless_machine_sees_less() -> None:
    """The noisier the rounds, the larger a slow-down has to be; a regression of 10% is not found."""
    calm, noisy = calibrated(0.005).sight, calibrated(0.1).sight
    assert 0.05 < calm.smallest < 0.07 < noisy.smallest
    assert noisy.false_alarms < 0.05


def test_a_slowdown_that_is_seen_is_found() -> None:
    """The smallest slow-down that a calibration names is called a regression 95 times in 100."""
    noise, runs = 0.03, 300
    smallest = calibrated(noise, rounds=200, gates=1000).sight.smallest
    rng = np.random.default_rng(2)

    def stage() -> list[Block]:
        ratios = np.exp(noise * math.sqrt(2) * rng.standard_normal(PLAN.rounds))
        slowed = [float(ratio) * (1 + smallest) for ratio in ratios]
        return blocks(slowed)

    found = sum(said(stage(), stage()) == "regression" for _ in range(runs))
    assert found / runs == pytest.approx(0.95, abs=0.04)


def test_a_case_that_failed_is_not_judged() -> None:
    """A calibration leaves out cases of which an arm failed, and rounds that a case lacks."""
    broken = Block(round=2, block=0, case=CASE, arm="itself", failed=Failed("error", "why"))
    whole = [
        dataclasses.replace(block, seconds=(1.0, 1.0, 1.05, 1.1))
        for case in (CASE, OTHER)
        for block in blocks([1.0] * 8, case=case)
    ]
    found = calibration.judge([*whole, broken], plan=PLAN, gates=10)
    assert [case.phase for case in found.cases] == ["pipeline"]
    with pytest.raises(InputError, match="nothing could be measured"):
        calibration.judge([broken], plan=PLAN, gates=10)
    # A gate draws the same rounds for all: those that each case has.
    shorter = [block for block in whole if block.case == OTHER or block.round > 3]
    assert calibration.judge(shorter, plan=PLAN, gates=10).sight.rounds == 5


def test_what_was_found_is_kept(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sight is read as it was saved; one that is missing or damaged is none."""
    monkeypatch.setenv("SEGBENCH_CACHE_DIR", str(tmp_path))
    sight = calibrated(0.01).sight
    assert calibration.load("key") is None
    calibration.save(sight, "key")
    assert calibration.load("key") == sight
    calibration._path("key").write_text("{}")
    assert calibration.load("key") is None


@pytest.mark.parametrize(
    "other",
    [
        {"rounds": 7},
        {"sizes": (1, 20)},
        {"phases": ("process",)},
        {"threshold": 0.1},
        {"workers": 7},
        {"native_threads": True},
        {"params": PipelineParams(min_area=5)},
    ],
    ids=str,
)
def test_a_calibration_holds_for_its_own_cases(other: dict[str, Any]) -> None:
    """A gate that measures anything else, or on another machine, is not told what this one sees."""
    machine: dict[str, Fact] = {"system": "Linux", "cpu": "fast", "cpus_available": 2}
    images = datasets.smear(2, shape=(48, 64))
    key = calibration.key_of(PLAN, images, machine)
    assert key == calibration.key_of(dataclasses.replace(PLAN, seed=5), images, machine)
    assert key != calibration.key_of(dataclasses.replace(PLAN, **other), images, machine)
    assert key != calibration.key_of(PLAN, images, {**machine, "cpu": "slow"})
    assert key != calibration.key_of(PLAN, datasets.smear(2, shape=(48, 80)), machine)
