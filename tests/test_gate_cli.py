"""`segbench gate` as a user types it, with both sides in this environment."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from segbench import cli
from segbench.cli import main
from segbench.errors import InputError
from segbench.gate import calibrate as calibration
from segbench.gate import compare, decide, sides
from segbench.gate.sides import Environment
from segbench.images import datasets
from segbench.results import outcome as outcomes
from segbench.results.outcome import Side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from click.testing import Result

    from segbench.gate.plan import Plan

CASE = ("--sizes", "1", "--shape", "48x64", "--backends", "skimage/skimage/serial")
SMALL = (*CASE, "--phases", "process", "--rounds", "5")


@pytest.fixture(autouse=True)
def _sides(monkeypatch: pytest.MonkeyPatch) -> None:
    """No environment is built: both sides are this interpreter."""
    both = tuple(
        Environment(
            side=Side(name=name, what=f"the {name}", versions={"numpy": "2"}),
            python=Path(sys.executable),
        )
        for name in ("base", "head")
    )
    for name in ("of_commit", "of_requirements"):
        monkeypatch.setattr(sides, name, lambda *_, **__: contextlib.nullcontext(both))


def segbench(*words: str | Path) -> Result:
    """Run the command line."""
    return CliRunner().invoke(main, [str(word) for word in words])


def saying(monkeypatch: pytest.MonkeyPatch, verdict: str) -> None:
    """Have every case called so."""
    decided = decide.decide

    def decide_so(*arguments: Sequence[object], **options: float) -> tuple[object, ...]:
        found = decided(*arguments, **options)  # type: ignore[arg-type]  # handed on as they came
        return tuple(dataclasses.replace(each, verdict=verdict) for each in found)

    monkeypatch.setattr(decide, "decide", decide_so)


def test_a_gate_tells_what_it_found(tmp_path: Path) -> None:
    """It prints the cases, and writes the samples, the page, the comment and the JSON."""
    files = tmp_path / "gate.md", tmp_path / "gate.json"
    told = ("--markdown", files[0], "--json", files[1], "--out", tmp_path / "out")
    result = segbench("gate", "--base", "main", *SMALL, *told)
    assert result.exit_code == 0, result.output
    assert "process 1 skimage/skimage/serial" in result.stdout
    assert "segbench gate --calibrate" in result.stdout
    (case,) = json.loads(files[1].read_text())["comparisons"]
    assert case["phase"] == "process"
    assert case["first"]["rounds"] == 5
    assert files[0].read_text().startswith("### segbench gate: ")
    assert (tmp_path / "out" / outcomes.FILE_NAME).exists()
    assert "the head" in (tmp_path / "out" / "report" / "index.html").read_text()


@pytest.mark.parametrize(
    ("verdict", "strict", "status"),
    [
        ("regression", False, 1),
        ("failed", False, 1),
        ("undecided", False, 0),
        ("undecided", True, 1),
        ("improvement", True, 0),
        ("same", True, 0),
    ],
)
def test_the_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verdict: str, *, strict: bool, status: int
) -> None:
    """1 for a regression or a failure, and for what is undecided only if it is asked to be strict."""
    saying(monkeypatch, verdict)
    options = ["--strict"] if strict else []
    result = segbench("gate", "--base-with", "dask==1", *SMALL, "--out", tmp_path, *options)
    assert result.exit_code == status, result.output


def test_an_interrupted_gate_tells_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends it with a status of its own, after it has told what was measured."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(decide, "suspects", interrupted)
    result = segbench("gate", "--base", "main", *SMALL, "--out", tmp_path)
    assert result.exit_code == 130, result.output
    assert "interrupted" in result.stdout
    assert (tmp_path / "report" / "index.html").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give one of --base REF, --base-with REQUIREMENT and --calibrate"),
        (("--base", "main", "--calibrate"), "give one of --base REF"),
        (("--base", "main", "--threshold", "0"), "threshold 0: give a number above 0"),
        (("--base", "main", "--rounds", "4"), "--rounds"),
        (("--base", "main", "--sizes", "none"), "size 'none'"),
        (("--base", "main", "--backends", "skimage/skimage/nothing"), "unknown scheduler"),
    ],
)
def test_bad_usage_is_one_line(words: tuple[str, ...], message: str) -> None:
    """Options that make no sense end with one line and status 2."""
    result = segbench("gate", *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_folder_that_holds_a_gate(tmp_path: Path) -> None:
    """The samples of an earlier gate are not written over."""
    (tmp_path / outcomes.FILE_NAME).write_text("earlier\n")
    result = segbench("gate", "--base", "main", *SMALL, "--out", tmp_path)
    assert result.exit_code == 2
    assert "an earlier gate is there; give another --out" in result.stderr
    assert (tmp_path / outcomes.FILE_NAME).read_text() == "earlier\n"


@pytest.mark.parametrize(("options", "limit"), [([], 4.0), (["--memory-limit", "5"], 5.0)])
def test_base_and_head_share_what_memory_is_free(
    options: list[str], limit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both work at once: unless told otherwise, neither may take what the other needs."""
    plans = []

    def look(plan: Plan, *_: object, **__: object) -> None:
        plans.append(plan)
        raise InputError("enough")

    monkeypatch.setattr(cli, "available_gib", lambda: 8.0)
    monkeypatch.setattr(cli, "_compare", look)
    assert segbench("gate", "--base", "main", *SMALL, *options).exit_code == 2
    assert [plan.memory_limit for plan in plans] == [limit]


def test_a_calibration_is_shown_by_later_gates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It prints what is seen of each case, and a gate with the same options says it, too."""
    monkeypatch.setattr(calibration, "ROUNDS", 5)
    calibrated = segbench("gate", "--calibrate", *SMALL)
    assert calibrated.exit_code == 0, calibrated.output
    assert "process, 1 image, skimage/skimage/serial" in calibrated.stdout
    assert "This machine " in calibrated.stdout
    result = segbench("gate", "--base", "main", *SMALL, "--out", tmp_path)
    assert result.exit_code in (0, 1), result.output
    assert "This machine sees " in result.stdout
    assert "--calibrate" not in result.stdout


@pytest.mark.parametrize("option", [["--strict"], ["--json", "x"], ["--out", "x"]])
def test_a_calibration_takes_no_option_that_it_has_no_use_for(option: list[str]) -> None:
    """What would be ignored is refused at once."""
    result = segbench("gate", "--calibrate", *SMALL, *option)
    assert result.exit_code == 2
    assert "leave out --strict, --markdown, --json and --out" in result.stderr


def test_a_gate_measures_the_backends_that_are_named(tmp_path: Path) -> None:
    """And no baseline beside them: both sides have the same backend."""
    named = "skimage/skimage/thread-pool"
    result = segbench("gate", "--base", "main", *SMALL, "--backends", named, "--out", tmp_path)
    assert result.exit_code in (0, 1), result.output
    blocks = (tmp_path / outcomes.FILE_NAME).read_text().splitlines()[1:]
    assert {json.loads(block)["scheduler"] for block in blocks} == {"thread-pool"}


def test_sizes_beyond_the_images_are_left_out(tmp_path: Path) -> None:
    """A gate on fewer images than a size asks for leaves that size out and says so."""
    files = datasets.smear(2, shape=(48, 64)).files
    folder = tmp_path / "images"
    folder.mkdir()
    for file in files:
        (folder / file.name).write_bytes(file.read_bytes())
    words = ("--images", folder, "--sizes", "1,20", *SMALL[4:])
    result = segbench("gate", "--base", "main", *words, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "holds 2 images: left out 20" in result.stderr
    assert "process 20" not in result.stdout


def test_a_gate_asks_both_sides_for_their_backends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --backends it compares what either side compares by default."""
    asked: list[str] = []
    both = compare.backends_of

    def ask(sides: Sequence[Environment]) -> object:
        asked.extend(side.side.name for side in sides)
        return both(sides)[:1]

    monkeypatch.setattr(compare, "backends_of", ask)
    words = [word for word in SMALL if word not in ("--backends", SMALL[5])]
    result = segbench("gate", "--base", "main", *words, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert asked == ["base", "head"]
