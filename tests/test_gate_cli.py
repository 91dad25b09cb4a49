"""`segbench gate` as a user types it."""

from __future__ import annotations

import dataclasses
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from segbench import cli
from segbench.backends.registry import BASELINE, parse_spec
from segbench.cli import main
from segbench.gate import calibrate, compare, sides
from segbench.gate.sides import Environment
from segbench.measure import workers
from segbench.measure.settings import QUICK_BACKENDS, GateSettings
from segbench.results.outcome import (
    Calibration,
    CaseSight,
    Comparison,
    Estimate,
    Level,
    Outcome,
    Side,
    Sight,
    Thresholds,
)
from segbench.results.records import GATE_NAME, read

SIGHT = Sight(measured="2024-01-02T03:04:05", rounds=20, gates=1000, false_alarms=0, smallest=0.06)


def segbench(*words: str | Path) -> Result:
    """Run the command line."""
    return CliRunner().invoke(main, [str(word) for word in words])


def outcome(verdict: str, **other: Any) -> Outcome:
    """The outcome of a gate of one case."""
    found = Estimate(ratio=1.1, low=1.08, high=1.12, rounds=8)
    case = Comparison(
        phase="process",
        backend=str(BASELINE),
        n_images=1,
        threshold=0.05,
        verdict=verdict,
        base=Level(seconds=0.1, cpu_seconds=0.1),
        head=Level(seconds=0.11, cpu_seconds=0.11),
        cpu=found,
        wall=found,
        cause="head: error, no luck" if verdict == "failed" else "",
    )
    sides = {
        name: Side(name=name, what=f"the {name}", versions={"numpy": "2"})
        for name in ("base", "head")
    }
    values: dict[str, Any] = {
        "started": "2024-01-02T03:04:05+00:00",
        "command": "segbench gate",
        **sides,
        "threshold": Thresholds(),
        "rounds": 32,
        "shared_layout": True,
        "seconds": 61.0,
        "machine": {"cpus": "2"},
        "dataset": "smear",
        "comparisons": (case,),
    }
    return Outcome(**{**values, **other})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """No gate is measured: what it was asked for, and the outcome that the test puts first."""
    told: list[Any] = []

    def run(*arguments: Any, **options: Any) -> Outcome:
        told.append((*arguments, options))
        found: Outcome = told[0] if isinstance(told[0], Outcome) else outcome("same")
        return found

    monkeypatch.setattr(compare, "run", run)
    return told


def test_a_gate_tells_what_it_found(tmp_path: Path, asked: list[Any]) -> None:
    """It prints the cases, and writes the page, the comment and the JSON."""
    files = tmp_path / "gate.md", tmp_path / "gate.json"
    told = ("--markdown", files[0], "--json", files[1], "--out", tmp_path / "out")
    result = segbench("gate", "--base", "main", *told)
    assert result.exit_code == 0, result.output
    assert str(BASELINE) in result.stdout
    assert "segbench gate --calibrate" in result.stdout
    (case,) = json.loads(files[1].read_text())["comparisons"]
    assert case["phase"] == "process"
    assert case["cpu"]["rounds"] == 8
    assert files[0].read_text().startswith("### segbench gate: ")
    assert "the head" in (tmp_path / "out" / "report" / "index.html").read_text()
    _, _, options = asked[0]
    assert (options["base"], options["base_with"], options["out"]) == ("main", (), tmp_path / "out")


@pytest.mark.parametrize(
    ("verdict", "strict", "status"),
    [
        ("regression", False, 1),
        ("failed", False, 1),
        ("suspected", False, 0),
        ("suspected", True, 1),
        ("undecided", False, 0),
        ("undecided", True, 1),
        ("improvement", True, 0),
        ("same", True, 0),
        ("not compared", True, 0),
    ],
)
def test_the_exit_status(
    tmp_path: Path, asked: list[Any], verdict: str, *, strict: bool, status: int
) -> None:
    """1 for a regression or a failure, and for what is not clear only if it is asked to be strict."""
    asked.insert(0, outcome(verdict))
    options = ["--strict"] if strict else []
    result = segbench("gate", "--base-with", "dask==1", "--out", tmp_path, *options)
    assert result.exit_code == status, result.output


def test_an_interrupted_gate_tells_what_there_is(tmp_path: Path, asked: list[Any]) -> None:
    """It ends with a status of its own, after it has told what was measured."""
    asked.insert(0, outcome("regression", interrupted=True))
    result = segbench("gate", "--base", "main", "--out", tmp_path)
    assert result.exit_code == 130, result.output
    assert "interrupted" in result.stdout
    assert (tmp_path / "report" / "index.html").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give one of --base REF, --base-with REQUIREMENT and --calibrate"),
        (("--base", "main", "--calibrate"), "give one of --base REF"),
        (("--base", "main", "--threshold", "0"), "threshold '0': give a share above 0"),
        (("--base", "main", "--threshold", "opne=0.2"), "threshold 'opne=0.2': name a phase"),
        (("--base", "main", "--measure-seconds", "0"), "measure seconds 0: give a number above 0"),
        (("--base", "main", "--rounds", "4"), "--rounds"),
        (("--base", "main", "--sizes", "none"), "size 'none'"),
        (("--base", "main", "--backends", "skimage/skimage/nothing"), "unknown scheduler"),
        (("--calibrate", "--strict"), "leave out --strict, --markdown and --json"),
        (("--calibrate", "--json", "x"), "leave out --strict, --markdown and --json"),
    ],
)
@pytest.mark.usefixtures("asked")
def test_bad_usage_is_one_line(words: tuple[str, ...], message: str) -> None:
    """Options that make no sense end with one line and status 2."""
    result = segbench("gate", *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_folder_that_holds_a_gate(tmp_path: Path, asked: list[Any]) -> None:
    """The samples of an earlier gate are not written over."""
    (tmp_path / GATE_NAME).write_text("earlier\n")
    result = segbench("gate", "--base", "main", "--out", tmp_path)
    assert result.exit_code == 2
    assert "exists: give another --out" in result.stderr
    assert (tmp_path / GATE_NAME).read_text() == "earlier\n"
    assert asked == []


def test_what_is_asked_for_reaches_the_gate(
    tmp_path: Path, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options reach it; without any it takes its own defaults, and half of the memory for a side."""
    monkeypatch.setattr(cli, "available_gib", lambda: 8.0)
    assert segbench("gate", "--base", "main", "--out", tmp_path / "a").exit_code == 0
    named = ("--sizes", "3", "--backends", "skimage/skimage/thread-pool", "--memory-limit", "5")
    more = ("--threshold", "0.1,open=0.2", "--rounds", "6", "--measure-seconds", "60")
    others = ("--seed", "3", "--min-area", "9")
    words = ("--base-with", "dask==1", "--base-with", "pims==2", *named, *more, *others)
    assert segbench("gate", *words, "--out", tmp_path / "b").exit_code == 0
    (_, usual, told_first), (origin, settings, told) = asked
    assert isinstance(settings, GateSettings)
    assert (usual.sizes, usual.backends, usual.memory_limit) == ((1, 20), QUICK_BACKENDS, 4.0)
    assert (told_first["default_backends"], told["default_backends"]) == (True, False)
    assert (settings.sizes, settings.memory_limit) == ((3,), 5.0)
    assert settings.backends == (parse_spec("skimage/skimage/thread-pool"),)
    assert (str(settings.threshold), settings.rounds) == ("0.1,open=0.2", 6)
    assert (settings.measure_seconds, settings.params.min_area) == (60.0, 9)
    assert (settings.seed, origin.seed) == (3, 3)
    assert told["base_with"] == ("dask==1", "pims==2")


@pytest.mark.parametrize(
    ("smallest", "share", "words"),
    [(0.06, " 6.0% ", "6% and more"), (None, " > 100% ", "more than 100%")],
)
def test_a_calibration_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    smallest: float | None,
    share: str,
    words: str,
) -> None:
    """It prints what is seen of each case, and where its samples are; four sides share the memory."""
    asked: list[Any] = []
    case = CaseSight(
        phase="process",
        backend=str(BASELINE),
        n_images=1,
        smallest=smallest,
        alarms=0.0,
        measured={"5% slower": 1.05},
        found={"5% slower": 0.5},
    )
    sight = dataclasses.replace(SIGHT, smallest=smallest)

    def run(_origin: object, given: GateSettings, *, out: Path, **_: object) -> Calibration:
        asked.extend([given.memory_limit, out])
        return Calibration(cases=(case,), sight=sight)

    monkeypatch.setattr(calibrate, "run", run)
    monkeypatch.setattr(cli, "available_gib", lambda: 8.0)
    result = segbench("gate", "--calibrate", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    (row,) = [line for line in result.stdout.splitlines() if str(BASELINE) in line]
    assert row.startswith(f"process 1 {BASELINE} ")
    assert share in row
    assert f"This machine sees {words}: " in result.stdout
    assert f"Samples: {tmp_path / GATE_NAME}" in result.stdout
    assert asked == [2.0, tmp_path]


@pytest.mark.parametrize("smallest", [0.06, None])
def test_what_was_seen_is_kept(tmp_path: Path, smallest: float | None) -> None:
    """Also that nothing that was tried was found, for which JSON has no number."""
    sight = dataclasses.replace(SIGHT, smallest=smallest)
    calibrate.save(sight, tmp_path / "sight.json")
    assert calibrate.load(tmp_path / "sight.json") == sight


def test_a_whole_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real processes on both sides, the head's calls made five times as long: it is a regression.

    A calibration for the same cases is told of.
    """
    here = [
        Environment(
            side=Side(name=name, what=f"the {name}", versions={}), python=Path(sys.executable)
        )
        for name in ("base", "head")
    ]
    monkeypatch.setattr(sides, "of_commit", lambda *_, **__: nullcontext(tuple(here)))
    monkeypatch.setattr(calibrate, "load", lambda _: SIGHT)

    def slowed(settings: GateSettings) -> Any:
        launch = workers.launcher(settings)
        return lambda arm: SlowHead(launch(arm), slow=arm.side == "head")

    monkeypatch.setattr(compare, "launcher", slowed)
    words = ("--sizes", "1", "--shape", "48x64", "--backends", str(BASELINE), "--phases", "process")
    result = segbench("gate", "--base", "main", *words, "--rounds", "5", "--out", tmp_path)
    assert result.exit_code == 1, result.output
    assert "regression" in result.stdout
    assert "This machine sees 6%" in result.stdout
    samples = read(tmp_path / GATE_NAME).samples
    assert {(s.side, s.round, s.status) for s in samples} == {
        (side, number, "ok") for side in ("base", "head") for number in range(1, 6)
    }


class SlowHead:
    """A worker that is asked to be slower than it is."""

    def __init__(self, worker: Any, *, slow: bool) -> None:
        self._worker = worker
        self._slow = slow

    def send(self, request: Any) -> None:
        """Ask, with the calls made five times as long: beyond any noise."""
        if self._slow and type(request).__name__ == "Start":
            request = msgspec.structs.replace(request, slowdown=4.0)
        self._worker.send(request)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._worker, name)
