"""What a calibration makes of rounds that are made up, and how it is kept."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from segbench.backends.registry import BASELINE
from segbench.errors import InputError
from segbench.gate import calibrate as calibration
from segbench.gate import decide
from segbench.images import datasets
from segbench.measure.settings import GateSettings
from segbench.pipeline import PipelineParams
from segbench.results.records import Case, Sample, sample_of
from tests.scripted import Script, Watcher

if TYPE_CHECKING:
    from pathlib import Path

    from segbench.measure.machine import Fact
    from segbench.results.outcome import Calibration, Estimate

CASE = Case(BASELINE, 20, "process")
OTHER = Case(BASELINE, 20, "pipeline")
SETTINGS = GateSettings(backends=(BASELINE,), phases=("process", "pipeline"), sizes=(20,))


def round_of(case: Case, number: int, factors: list[float]) -> list[Sample]:
    """A block of all sides, each so many times as long as it should be."""
    shares = calibration.SIDES.items()
    return [
        sample_of(case, round=number, block=1, side=side, seconds=(1 + share) * factor, status="ok")
        for (side, share), factor in zip(shares, factors, strict=True)
    ]


def calibrated(noise: float, *, rounds: int = 20, gates: int = 200) -> Calibration:
    """Judge rounds of two cases whose ratios vary by so much from round to round."""
    rng = np.random.default_rng(1)
    made = [
        sample
        for case in (CASE, OTHER)
        for number in range(1, rounds + 1)
        for sample in round_of(
            case, number, np.exp(noise * rng.standard_normal(len(calibration.SIDES))).tolist()
        )
    ]
    return calibration.judge(made, settings=SETTINGS, gates=gates)


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

    def slowed() -> Estimate:
        ratios = np.exp(noise * math.sqrt(2) * rng.standard_normal(SETTINGS.rounds))
        return decide.estimate(ratios * (1 + smallest))

    verdicts = [decide.verdict(slowed(), slowed(), threshold=0.05) for _ in range(runs)]
    assert verdicts.count("regression") / runs == pytest.approx(0.95, abs=0.04)


def test_a_case_that_failed_is_not_judged() -> None:
    """A calibration leaves out cases of which a side failed, and rounds that a case lacks."""
    broken = sample_of(CASE, round=2, block=0, side="itself", status="error", cause="why")
    even = [1.0] * len(calibration.SIDES)
    whole = [
        sample
        for case in (CASE, OTHER)
        for number in range(1, 9)
        for sample in round_of(case, number, even)
    ]
    found = calibration.judge([*whole, broken], settings=SETTINGS, gates=10)
    assert [case.phase for case in found.cases] == ["pipeline"]
    with pytest.raises(InputError, match="nothing could be measured"):
        calibration.judge([broken], settings=SETTINGS, gates=10)
    # A gate draws the same rounds for all: those that each case has.
    shorter = [s for s in whole if s.case == OTHER or s.round > 3]
    assert calibration.judge(shorter, settings=SETTINGS, gates=10).sight.rounds == 5


def test_a_calibration_measures_the_code_at_hand_against_itself_slowed() -> None:
    """Each side's calls are made longer by its share, in as many rounds as asked for."""
    script = Script(seconds=lambda arm, _: 0.01 * (1 + arm.slowdown))
    found = calibration.calibrate(
        datasets.smear(2, shape=(48, 64)),
        settings=dataclasses.replace(SETTINGS, sizes=(2,)),
        watcher=Watcher(),
        count=6,
        launch=script.launch,
    )
    assert found.sight.rounds == 6
    for case in found.cases:
        assert case.measured == pytest.approx({"5% slower": 1.05, "10% slower": 1.1})
    sides = {(arm.side, arm.slowdown) for arm, _ in script.timed()}
    assert sides == {*calibration.SIDES.items()}


def test_what_was_found_is_kept(tmp_path: Path) -> None:
    """A sight is read as it was saved; one that is missing or damaged is none."""
    path = tmp_path / "gate" / "sight.json"
    sight = calibrated(0.01).sight
    assert calibration.load(path) is None
    calibration.save(sight, path)
    assert calibration.load(path) == sight
    path.write_text("{}")
    assert calibration.load(path) is None


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
    path = calibration.path_of(SETTINGS, images, machine)
    assert path == calibration.path_of(dataclasses.replace(SETTINGS, seed=5), images, machine)
    assert path != calibration.path_of(dataclasses.replace(SETTINGS, **other), images, machine)
    assert path != calibration.path_of(SETTINGS, images, {**machine, "cpu": "slow"})
    assert path != calibration.path_of(SETTINGS, datasets.smear(2, shape=(48, 80)), machine)
