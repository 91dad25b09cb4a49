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
from segbench.measure.settings import GateSettings, parse_thresholds
from segbench.pipeline import PipelineParams
from segbench.results.outcome import Thresholds
from segbench.results.records import GATE_NAME, Case, Sample, read, sample_of
from tests.scripted import Script, Watcher

if TYPE_CHECKING:
    from pathlib import Path

    from segbench.measure.machine import Fact
    from segbench.results.outcome import Calibration

CASE = Case(BASELINE, 20, "process")
OTHER = Case(BASELINE, 20, "pipeline")
SETTINGS = GateSettings(backends=(BASELINE,), phases=("process", "pipeline"), sizes=(20,))


def round_of(case: Case, number: int, factors: list[float]) -> list[Sample]:
    """A block of all sides, each so many times as long as it should be."""
    shares = calibration.SIDES.items()
    return [
        sample_of(
            case,
            round=number,
            block=1,
            side=side,
            status="ok",
            # Wall time is not what is judged.
            seconds=1.0,
            cpu_seconds=(1 + share) * factor,
        )
        for (side, share), factor in zip(shares, factors, strict=True)
    ]


def calibrated(
    noise: float, *, rounds: int = 20, gates: int = 200, affordable: int = 1000, **settings: Any
) -> Calibration:
    """Judge rounds of two cases whose sides vary by so much from round to round."""
    rng = np.random.default_rng(1)
    made = [
        sample
        for case in (CASE, OTHER)
        for number in range(1, rounds + 1)
        for sample in round_of(
            case, number, np.exp(noise * rng.standard_normal(len(calibration.SIDES))).tolist()
        )
    ]
    judged = dataclasses.replace(SETTINGS, **settings)
    return calibration.judge(made, settings=judged, affordable=affordable, gates=gates)


def smallest_of(found: Calibration) -> float:
    """Of a calibration that has one."""
    assert found.sight.smallest is not None
    return found.sight.smallest


def test_a_still_machine_sees_half_of_the_threshold() -> None:
    """Without noise whatever is estimated above half of the threshold is found, and nothing else."""
    found = calibrated(1e-4)
    assert found.sight.false_alarms == 0
    assert found.sight.smallest == pytest.approx(0.025, abs=0.003)
    for case in found.cases:
        assert case.found == {"5% slower": 1.0, "10% slower": 1.0}
        assert case.measured["10% slower"] == pytest.approx(1.1, rel=0.001)


def test_a_restless_machine_sees_less() -> None:
    """The noisier the rounds, the larger a slow-down has to be to be found."""
    calm, noisy = calibrated(0.005), calibrated(0.1)
    assert 0.02 < smallest_of(calm) < 0.05 < smallest_of(noisy)
    assert noisy.sight.false_alarms < 0.05


def test_what_is_beyond_all_that_is_tried_is_kept(tmp_path: Path) -> None:
    """A machine that finds nothing at all has no smallest slow-down, and that is read as written."""
    blind = calibrated(2.0, rounds=8).sight
    assert blind.smallest is None
    calibration.save(blind, tmp_path / "sight.json")
    assert calibration.load(tmp_path / "sight.json") == blind


def test_fewer_rounds_see_less() -> None:
    """A gate whose time is enough for fewer rounds finds less."""
    whole, short = calibrated(0.05), calibrated(0.05, affordable=6)
    assert smallest_of(whole) < smallest_of(short)


def test_the_sides_of_the_same_code_change_places() -> None:
    """That the rounds that were measured are few, and the same side slower in all, alarms nobody."""
    made = [
        sample
        for number in range(1, 21)
        for sample in round_of(
            CASE, number, [1.06 if side != "itself" else 1.0 for side in calibration.SIDES]
        )
    ]
    found = calibration.judge(made, settings=SETTINGS, affordable=1000, gates=200)
    assert found.sight.false_alarms < 0.05


def test_a_wider_threshold_is_kept_for_its_case() -> None:
    """Each case is judged by its own threshold."""
    found = calibrated(0.005, threshold=parse_thresholds("0.05,process=0.4"))
    smallest = {case.phase: case.smallest or 0.0 for case in found.cases}
    assert smallest["pipeline"] < 0.05 < smallest["process"]


def test_a_slowdown_that_is_seen_is_found() -> None:
    """The smallest slow-down that a calibration names is called a regression 95 times in 100."""
    noise, gates = 0.03, 2000
    smallest = smallest_of(calibrated(noise, rounds=200, gates=1000))
    rng = np.random.default_rng(2)
    logs = noise * math.sqrt(2) * rng.standard_normal((gates, SETTINGS.rounds))
    slowed = logs + math.log1p(smallest)
    (said,) = decide.said_of([slowed], thresholds=[0.05], cases=2, most=SETTINGS.rounds)
    assert np.mean(said == "regression") == pytest.approx(0.95, abs=0.04)


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
    told: dict[str, Any] = {"settings": SETTINGS, "affordable": 1000, "gates": 10}
    found = calibration.judge([*whole, broken], **told)
    assert [case.phase for case in found.cases] == ["pipeline"]
    with pytest.raises(InputError, match="nothing could be measured"):
        calibration.judge([broken], **told)
    # A gate draws the same rounds for all: those that each case has.
    shorter = [s for s in whole if s.case == OTHER or s.round > 3]
    assert calibration.judge(shorter, **told).sight.rounds == 5


def test_a_calibration_measures_the_code_at_hand_against_itself_slowed(tmp_path: Path) -> None:
    """Each side's calls are made longer by its share, in as many rounds as asked for; all is kept."""
    script = Script(seconds=lambda arm, _: 0.01 * (1 + arm.slowdown))
    found = calibration.calibrate(
        datasets.smear(2, shape=(48, 64)),
        settings=dataclasses.replace(SETTINGS, sizes=(2,)),
        out=tmp_path,
        machine={"cpu": "fast"},
        watcher=Watcher(),
        count=6,
        launch=script.launch,
    )
    assert found.sight.rounds == 6
    for case in found.cases:
        assert case.measured == pytest.approx({"5% slower": 1.05, "10% slower": 1.1})
    sides = {(arm.side, arm.slowdown) for arm, _ in script.timed()}
    assert sides == {*calibration.SIDES.items()}
    kept = read(tmp_path / GATE_NAME)
    assert {s.side for s in kept.samples} == {*calibration.SIDES}
    assert kept.header.settings["sides"] == calibration.SIDES
    assert kept.header.machine == {"cpu": "fast"}


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
        {"threshold": Thresholds(0.1)},
        {"threshold": Thresholds(0.05, (("open", 0.2),))},
        {"measure_seconds": 60.0},
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
