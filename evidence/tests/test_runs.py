"""False alarms, slow-downs found and the cost of a run: how they are counted, and each command once."""

from __future__ import annotations

import configparser
import dataclasses
import io
import itertools
import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pytest
from PIL import Image

from evidence import arms, cost, false_alarms, plants, report_speed, shared, slow_downs
from evidence.shared import Attempt, Comparison, Search, ToolError, Workplace
from evidence.tests.helpers import cells, run
from segbench.backends import readers, skimage
from segbench.backends.registry import BASELINE
from segbench.measure.settings import BACKENDS, PHASES, SIZES
from segbench.results.sources import Source, read_run_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

# Of asv 0.6.6, without most of its rows.
ASV_TABLE = """
[75.00%] ··· segmentation.Files.time_read                                     ok
                  skimage/skimage/serial     1      1.02±0.1ms

| Change   | Before [aaaaaaaa] <main~1>   | After [bbbbbbbb] <main>   | Ratio   | Benchmark (Parameter)    |
|----------|------------------------------|---------------------------|---------|--------------------------|
| +        | 1.00±0ms                     | 1.25±0ms                  | 1.25    | segmentation.Files.time_pipeline('skimage/skimage/serial', 20) |
|          | 1.00±0ms                     | 1.12±0.3ms                | ~1.12   | segmentation.Files.time_open('skimage/skimage/serial', 1)   |
|          | n/a                          | n/a                       | n/a     | segmentation.Files.time_open('skimage/skimage/serial', 200) |
| !        | 1.00±0ms                     | failed                    | n/a     | segmentation.Files.time_open('skimage/skimage/serial', 50)  |
| -        | 9.80±0.3ms                   | 3.94±0.09ms               | 0.40    | segmentation.Pixels.time_process('skimage/skimage/serial', 1) |

SOME BENCHMARKS HAVE CHANGED SIGNIFICANTLY.
"""


def comparison(verdict: str, *, ratio: float = 1.0, arm: str = "twin") -> Comparison:
    """What a tool says of reading one image."""
    return Comparison(arm=arm, phase="read", n_images=1, verdict=verdict, ratio=ratio)


def attempt(tool: str, *verdicts: str, status: int | None = 0) -> Attempt:
    """A run of three seconds."""
    found = tuple(comparison(verdict, ratio=1.2 if verdict else 1.01) for verdict in verdicts)
    return Attempt(tool=tool, run=1, seconds=3.0, status=status, comparisons=found)


def sample(arm: str, **values: Any) -> dict[str, Any]:
    """A line of ``run.jsonl``: a sample of one image."""
    parts = {"reader": arm, "processor": arm, "scheduler": "serial"}
    return {**parts, "phase": "process", "n_images": 1, "status": "ok", **values}


def source_of(folder: Path, samples: list[dict[str, Any]]) -> Source:
    """A run with these samples."""
    names = ("machine", "versions", "settings", "dataset")
    header = {"schema": 1, "started": "", **{name: {} for name in names}}
    text = "".join(json.dumps(line) + "\n" for line in [header, *samples])
    (folder / "run.jsonl").write_text(text)
    (source,) = read_run_folder(folder)
    return source


def timed(folder: Path, seconds: Mapping[str, list[float]]) -> Source:
    """A run of two calls a sample: seconds in each round by the name of the arm."""
    return source_of(
        folder,
        [
            sample(arm, block=block, round=block, seconds=value, calls=2)
            for arm, values in seconds.items()
            for block, value in enumerate(values, start=1)
        ],
    )


# The arms.


def test_a_worker_finds_every_arm() -> None:
    """The entry points name each arm's reader and processor; all twins are the very baseline."""
    plugin = configparser.ConfigParser()
    plugin.read(shared.ROOT / "evidence/plugin/evidence_arms-1.0.dist-info/entry_points.txt")
    for part in ("reader", "processor"):
        expected = {arm: f"evidence.arms:{arm}_{part}" for arm in arms.SLOWED}
        twins = dict.fromkeys(arms.TWINS, f"evidence.arms:twin_{part}")
        assert dict(plugin[f"segbench.{part}s"]) == twins | expected
        assert all(hasattr(arms, f"{arm}_{part}") for arm in arms.SLOWED)
    assert arms.SLOWED["twin"] == 0
    assert arms.twin_reader == readers.SKIMAGE
    assert arms.twin_processor == skimage.PROCESSOR


@pytest.mark.parametrize(("arm", "share"), [("slower5", 0.05), ("slower10", 0.1)])
def test_every_operation_of_a_slower_arm_is_slower(
    arm: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading and each of the five operations differ from the baseline's, by the share of the arm."""
    reader, processor = getattr(arms, f"{arm}_reader"), getattr(arms, f"{arm}_processor")
    assert reader.load is not readers.SKIMAGE.load
    for name in ("grayscale", "blur", "threshold", "label", "measure"):
        assert getattr(processor, name) is not getattr(skimage.PROCESSOR, name)
    clock = itertools.count()
    monkeypatch.setattr(plants, "clock", lambda: next(clock))

    # Looking at the clock takes a tick, and so does each piece of work.
    def load(ticks: Any) -> Any:
        return [next(clock) for _ in range(ticks)][-1]

    part = dataclasses.replace(readers.SKIMAGE, load=load)
    worked = arms.slowed(part, ("load",), arms.SLOWED[arm]).load(10_000)
    assert worked == 10_000
    assert next(clock) - worked == pytest.approx(10_000 * share, abs=5)


# What the tools say.


def test_comparisons_are_the_reports_verdicts(tmp_path: Path) -> None:
    """What is counted is the report's verdict on each arm; the baseline is no comparison."""
    level = [1.0, 1.01, 0.99, 1.02, 0.98, 1.0]
    slow = [value * wobble for value, wobble in zip(level, [1.3, 1.31] * 3, strict=True)]
    source = timed(tmp_path, {"skimage": level, "twin": level, "slower10": slow})
    twin, slower = shared.compared(source)
    assert (twin.arm, twin.case, twin.ratio) == ("twin", "process, 1 image", 1.0)
    assert twin.verdict == "no difference"
    assert (slower.arm, slower.verdict) == ("slower10", "slower")
    assert slower.ratio == pytest.approx(1.305, rel=1e-4)


def test_an_arm_that_fails_is_no_comparison(tmp_path: Path) -> None:
    """A run in which an arm was not timed is refused: it would count as one without a claim."""
    failed = sample("twin", block=0, seconds=None, status="timeout", cause="took too long")
    with pytest.raises(ToolError, match="took too long"):
        shared.compared(source_of(tmp_path, [failed]))


def test_the_table_of_asv() -> None:
    """Both marks are claims; rows without a ratio are left out."""
    found = [(e.case, e.verdict, e.ratio) for e in false_alarms.read_asv_table(ASV_TABLE)]
    assert found == [
        ("pipeline, 20 images", "slower", 1.25),
        ("open, 1 image", "", 1.12),
        ("process, 1 image", "faster", 0.4),
    ]


def test_asv_has_to_compare_every_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit status 1 alone may be a failure: the table must hold the cases that were asked for."""
    row = (
        "| - | 2±0ms | 1±0ms | 0.50 | segmentation.Files.time_open('skimage/skimage/serial', {}) |"
    )
    place = Workplace(folder=tmp_path, sizes=(1, 20), phases=("open",))
    done = SimpleNamespace(returncode=1, stdout=f"{row.format(1)}\n{row.format(20)}")
    for module in (false_alarms, shared):
        monkeypatch.setattr(module, "call", lambda *_, **__: done)
    (attempt,) = false_alarms.TOOLS["asv"](place, 4)
    assert (attempt.run, attempt.status, len(attempt.claims)) == (4, 1, 2)
    done.stdout = row.format(1)
    with pytest.raises(ToolError, match=r"asv continuous .* exit status 1"):
        false_alarms.TOOLS["asv"](place, 1)


def test_half_a_clone_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the commit that changes nothing can't be made, no later run compares other code."""

    def call(command: list[str], **_: object) -> None:
        if "commit" in command:
            raise ToolError("no luck")
        (tmp_path / "asv").mkdir(exist_ok=True)

    monkeypatch.setattr(shared, "call", call)
    with pytest.raises(ToolError, match="no luck"):
        false_alarms.TOOLS["asv"](Workplace(folder=tmp_path), 1)
    assert not (tmp_path / "asv").exists()


@pytest.mark.parametrize(
    ("after", "status", "sizes", "claims"),
    [
        (1.07, 1, (20,), (1, 0)),
        (1.11, 1, (20,), (1, 1)),
        (0.5, 0, (20,), (0, 0)),
        # A case is missing; a test failed; the command overlooked what it was to find.
        (1.07, 1, (1, 20), None),
        (1.0, 1, (20,), None),
        (1.07, 0, (20,), None),
    ],
)
def test_pytest_benchmark(
    after: float,
    status: int,
    sizes: tuple[int, ...],
    claims: tuple[int, int] | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Slow-downs beyond 5% and 10% are claimed, if the cases and the exit status are as they must be."""

    def call(command: list[str], **_: object) -> Any:
        (path,) = (word.partition("=")[2] for word in command if "--benchmark-json=" in word)
        again = path.endswith("second.json")
        benchmark = {
            "fullname": "case",
            "stats": {"median": after if again else 1.0},
            "extra_info": {"phase": "read", "n_images": 20},
        }
        Path(path).write_text(json.dumps({"benchmarks": [benchmark]}))
        return SimpleNamespace(returncode=status if again else 0, stdout="What was printed")

    monkeypatch.setattr(false_alarms, "call", call)
    place = Workplace(folder=tmp_path, sizes=sizes, phases=("read",))
    if claims is None:
        with pytest.raises(ToolError, match=f"exit status {status}\nWhat was printed"):
            false_alarms.try_pytest(place, 1)
        return
    at_5, at_10 = false_alarms.try_pytest(place, 1)
    assert (len(at_5.claims), len(at_10.claims)) == claims
    assert (at_5.status, at_10.status) == (status, None)
    assert at_5.comparisons[0].ratio == after


# How it is counted.


def test_false_alarms_are_counted() -> None:
    """Claims over comparisons, and the runs with any, for each tool; what is probable is no claim."""
    attempts = [
        attempt("segbench", "", "no difference", "undecided"),
        attempt("segbench", "probably slower", "faster", "slower"),
        attempt("other", "slower", "", "", status=1),
        attempt("other", "", "", "", status=None),
        attempt("third", "", status=None),
    ]
    half, none = "1 of 2 (50.0%, at most 97.5%)", "0 of 1 (0.0%, at most 95.0%)"
    assert cells(false_alarms.tools_table(attempts)) == [
        ["segbench", "2", "2 of 6 (33.3%, at most 72.9%)", "1", half, "0", "20%", "3 s"],
        ["other", "2", "1 of 6 (16.7%, at most 58.2%)", "0", half, "1", "20%", "3 s"],
        ["third", "1", none, "0", none, "–", "1%", "3 s"],
    ]
    opened = dataclasses.replace(comparison("slower"), phase="open", n_images=20)
    attempts.append(dataclasses.replace(attempts[0], comparisons=(comparison("slower"), opened)))
    assert cells(false_alarms.claims_table(attempts)) == [
        ["open, 20 images", "1", "0", "0"],
        ["read, 1 image", "3", "1", "0"],
    ]


@pytest.mark.parametrize(("count", "of"), [(0, 20), (1, 20), (7, 240), (19, 20)])
def test_the_upper_bound_of_a_share(count: int, of: int) -> None:
    """At the bound, so few or fewer have a chance of exactly 5%; where all are counted it is 1."""
    bound = shared.upper_bound(count, of)
    few = sum(math.comb(of, k) * bound**k * (1 - bound) ** (of - k) for k in range(count + 1))
    assert few == pytest.approx(0.05)
    assert shared.upper_bound(of, of) == 1


def test_a_search_is_one_case_of_an_arm(tmp_path: Path) -> None:
    """Its rounds, and the timed calls of the arm and the baseline alone, add up."""
    rng = np.random.default_rng(0)
    baseline = np.exp(rng.normal(0, 0.003, 7))
    values = {"skimage": list(baseline), "twin": list(baseline), "slower10": list(1.1 * baseline)}
    twin, slower = slow_downs.searched(timed(tmp_path, values), run=3)
    assert (twin.run, twin.rounds, twin.comparison.verdict) == (3, 7, "no difference")
    assert twin.seconds == pytest.approx(2 * 2 * baseline.sum())
    assert (slower.rounds, slower.comparison.verdict) == (7, "slower")
    assert slower.seconds == pytest.approx(2 * 2.1 * baseline.sum())


def test_slow_downs_are_counted() -> None:
    """How often each verdict was said of each arm."""
    slow = comparison("slower", ratio=1.1, arm="slower10")
    found = Search(run=1, comparison=slow, rounds=9, seconds=4.0)
    probable = comparison("probably slower", ratio=1.06, arm="slower10")
    missed = dataclasses.replace(found, comparison=probable, rounds=11)
    twin = dataclasses.replace(missed, comparison=comparison("no difference"))
    assert cells(slow_downs.arms_table([found, missed, twin])) == [
        ["slower10", "1.080", "1 of 2 (50.0%)", *"10000", "10", "4.0 s"],
        ["twin", "1.000", "0 of 1 (0.0%)", *"00100", "11", "4.0 s"],
    ]
    by_case = cells(slow_downs.arms_table([found, missed, twin], by_case=True))
    assert [row[:2] for row in by_case] == [[arm, "read, 1 image"] for arm in ("slower10", "twin")]


def test_what_is_decided(tmp_path: Path) -> None:
    """Of the comparisons that differ by 30% either way the clear ones are counted, by size."""
    noise = np.exp(np.random.default_rng(0).normal(0, 0.003, 5))
    wild = np.array([1.0, 4.0, 0.5, 3.0, 1.5])
    samples = [
        sample(
            arm, n_images=size, block=block, round=block, seconds=value, calls=1, at=60.0 * block
        )
        for size, arm, values in (
            (1, "skimage", noise),
            (1, "fast", noise / 1.5),
            (1, "alike", noise * 1.2),
            (20, "skimage", noise),
            (20, "fast", noise / 1.31),
            (20, "wild", wild),
        )
        for block, value in enumerate(values, start=1)
    ]
    source_of(tmp_path, samples)
    done = run("decided", tmp_path)
    assert done.exit_code == 0, done.output
    table, words = done.stdout.split("\n\n")
    assert cells(table) == [["1", "1 of 1 (100.0%)", "0", "0"], ["20", "1 of 2 (50.0%)", "0", "1"]]
    assert words == "The run took 300 s until its last sample.\n"
    assert "| 1 | 2 of 2" in run("decided", tmp_path, "--differ", "0.15").stdout


def test_the_cost_of_a_run(tmp_path: Path) -> None:
    """Timed calls, first calls, wall time and the overhead between samples are told apart, by round."""
    at, samples, ends = 0.0, [], []
    block = 0
    for number in (1, 2):
        at += 10  # starting workers
        for n_images, pair in itertools.product((1, 2), (1, 2)):
            # In each round a case is made ready; later a sample costs a millisecond, beyond what its
            # worker does.
            at += (pair == 1) * 2 * 3.0
            block += 1
            for arm in ("skimage", "twin"):
                at += 2 * 0.5 + 0.25 + 0.001
                values = {
                    "first_seconds": 0.75,
                    "untimed_seconds": 0.25,
                    "seconds": 0.5,
                    "calls": 2,
                }
                place = {"n_images": n_images, "block": block, "round": number, "at": at}
                samples.append(sample(arm, **place, **values))
        ends.append(at)
    late = sample("skimage", n_images=5, block=0, seconds=None, status="timeout", at=at + 60)
    found = cost.cost_of(source_of(tmp_path, [*samples, late]).samples)
    expected = {"cases": 4, "samples": 8, "timed": 8.0, "first": 3.0, "untimed": 2.0}
    first, second = found.rounds
    assert vars(first) == pytest.approx({"number": 1, "whole": ends[0], **expected})
    assert vars(second) == pytest.approx({"number": 2, "whole": ends[1] - ends[0], **expected})
    assert second.rest == pytest.approx(ends[1] - ends[0] - 13)
    assert found.overhead == pytest.approx(0.001)
    table = dict(cells(cost.cost_table(found)))
    assert table["Samples"] == "16, in 2 rounds"
    assert table["Starting workers, warming up and all else"] == f"{at - 26:.1f} s"
    over = "From the start to the end of the last sample, over timed calls"
    assert table[over] == f"{at / 16:.2f}"
    assert table["The engine's own part of a sample, median"] == "1.00 ms"
    rows = cells(cost.rounds_table(found))
    assert rows[1] == ["2", "4", "8", f"{ends[0]:.1f} s", "8.0 s", "3.0 s", "2.0 s", rows[0][-1]]


def test_the_cost_of_an_old_run(tmp_path: Path) -> None:
    """A run that does not say when its samples were taken, one without any, and none are refused."""
    for line in (
        sample("skimage", block=1, seconds=1.0),
        sample("skimage", block=0, seconds=None, status="timeout"),
    ):
        source_of(tmp_path, [line])
        assert "measure anew" in run("cost", tmp_path).stderr
    (tmp_path / "run.jsonl").unlink()
    done = run("cost", tmp_path)
    assert done.exit_code == 1
    assert "run.jsonl" in done.stderr


def test_starts_are_no_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer of each process, which waits for its start, is left out of the median."""
    # By this clock the two starts take 9 seconds each, an answer 2; each says it worked for 0.5.
    times = itertools.accumulate(itertools.chain([0, 9, 0, 9], itertools.cycle([0, 2])))
    monkeypatch.setattr(cost, "time", SimpleNamespace(perf_counter=lambda: next(times)))

    class Process:
        """One that answers."""

        def __init__(self, *_: object, **__: object) -> None:
            self.stdin, self.stdout = io.StringIO(), io.StringIO("0.5\n" * 9)

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    with monkeypatch.context() as patch:
        patch.setattr(cost, "subprocess", SimpleNamespace(Popen=Process, PIPE=-1))
        assert cost.bare_answer(processes=2, answers=1) == pytest.approx(1.5)


def test_another_process_answers() -> None:
    """What an answer takes beyond the work is a positive time, below a second."""
    assert 0 < cost.bare_answer(processes=2, answers=4) < 1


# Records and commands.


def test_a_command_that_fails_says_how() -> None:
    """The error has the status and the end of what was printed."""
    command = [sys.executable, "-c", "print('what went wrong'); raise SystemExit(3)"]
    with pytest.raises(ToolError, match="exit status 3\nwhat went wrong"):
        shared.call(command, cwd=shared.ROOT, variables={})
    assert shared.call(command, cwd=shared.ROOT, variables={}, allowed=(3,)).returncode == 3


def test_what_was_kept_is_shown_together(tmp_path: Path) -> None:
    """The tables of two files are those of all their runs; no path of the machine is in a file."""
    words = ["slowed", "--work", "/here", "--runs", "1", "--out=/there"]
    own, other = attempt("segbench run", "faster"), attempt("asv continuous", "undecided")
    paths = [tmp_path / "own.json", tmp_path / "other.json"]
    for path, each in zip(paths, (own, other), strict=True):
        record = shared.new_record(words)
        record.attempts.append(each)
        shared.write_record(record, path)
        kept = json.loads(path.read_text())
        assert kept["command"] == "python -m evidence slowed --runs 1"
        assert kept["machine"]["cpus"] >= 1
    done = run("show", *paths)
    assert done.exit_code == 0, done.output
    record = dataclasses.replace(record, attempts=[own, other])
    assert done.stdout == "\n\n".join(false_alarms.tables(record)) + "\n"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"attempts": 5}', '{"machine": {}, "x": NaN'])
def test_no_record_is_refused(text: str, tmp_path: Path) -> None:
    """A file that is damaged or something else is named."""
    path = tmp_path / "kept.json"
    path.write_text(text)
    done = run("show", path)
    assert done.exit_code == 1
    assert done.stderr == f"Error: {path}: no record of these measurements\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--runs 3", "a1 b1 a2 b2 a3 b3"),
        ("--runs 3 --other-runs 1", "a1 b1 a2 a3"),
        ("--runs 1 --other-runs 2 --first-run 4", "a4 b4 b5"),
    ],
)
def test_the_slow_tools_run_less_often(
    words: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runs of segbench and of another tool take turns while both go on."""
    made: list[str] = []

    def tool(letter: str) -> false_alarms.Tool:
        def record(_: Workplace, run: int) -> list[Attempt]:
            made.append(f"{letter}{run}")
            return [attempt(letter, "")]

        return record

    monkeypatch.setitem(false_alarms.TOOLS, "segbench", tool("a"))
    monkeypatch.setitem(false_alarms.TOOLS, "asv", tool("b"))
    done = run("false-alarms", "--tools", "segbench,asv", *words.split())
    assert done.exit_code == 0, done.output
    assert " ".join(made) == expected
    assert "finds slow-downs alone" in done.stdout


def test_a_failed_run_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other runs are counted, the failure is said and recorded, and the status is 1."""

    def fickle(_: Workplace, run: int) -> list[Attempt]:
        if run == 2:
            raise ToolError("no luck")
        return [attempt("fickle", "faster")]

    monkeypatch.setitem(false_alarms.TOOLS, "pytest", fickle)
    out = tmp_path / "out.json"
    done = run("false-alarms", "--runs", "3", "--tools", "pytest", "--out", out)
    assert done.exit_code == 1
    assert "| fickle | 2 | 2 of 2 (100.0%, at most 100.0%) |" in done.stdout
    assert "run 2 of 3, pytest: FAILED: no luck" in done.stderr
    content = json.loads(out.read_text())
    assert len(content["attempts"]) == 2
    assert content["failures"] == ["run 2 of 3, pytest: no luck"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tools", "segbench,stopwatch"], "unknown 'stopwatch': choose from segbench, asv"),
        (["--sizes", "many"], "size 'many': give whole numbers"),
        (["--run-options", "'"], "No closing quotation"),
    ],
)
def test_bad_usage_is_refused(words: list[str], message: str) -> None:
    """It measures nothing, and says what was wrong."""
    done = run("false-alarms", *words)
    assert done.exit_code == 2
    assert message in done.stderr


def test_a_made_up_run_is_as_large_as_asked(tmp_path: Path) -> None:
    """The command that measures how long a report takes makes a run with all cases."""
    report_speed.write_run(tmp_path, 6 * len(PHASES) * len(SIZES) * len(BACKENDS))
    (source,) = read_run_folder(tmp_path)
    samples = source.samples
    cases = samples.groupby(["phase", "n_images", "backend"]).size()
    assert len(cases) == len(PHASES) * len(SIZES) * len(BACKENDS)
    assert set(cases) == {6}


# Each command once.

SMALL = "--rounds 5 --shape 32x40 --block-size 11"


@pytest.mark.slow
def test_false_alarms(tmp_path: Path) -> None:
    """The command, as it is typed: the twins are found among the backends and compared."""
    out = tmp_path / "out.json"
    words = ["--runs", "1", "--tools", "segbench", "--sizes", "1", "--phases", "open,read"]
    words += ["--run-options", SMALL, "--out", str(out)]
    done = subprocess.run(  # noqa: S603  (this interpreter, on the package)
        [sys.executable, "-m", "evidence", "false-alarms", *words],
        cwd=shared.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "| segbench run | 1 |" in done.stdout
    (found,) = json.loads(out.read_text())["attempts"]
    cases = [(each["phase"], each["arm"]) for each in found["comparisons"]]
    assert cases == list(itertools.product(("open", "read"), arms.TWINS))


@pytest.mark.slow
def test_slowed(tmp_path: Path) -> None:
    """The command measures each arm in each case, over five rounds."""
    out = tmp_path / "out.json"
    words = ["slowed", "--runs", "1", "--sizes", "1", "--phases", "process"]
    done = run(*words, "--run-options", SMALL, "--out", out)
    assert done.exit_code == 0, done.output
    searches = json.loads(out.read_text())["searches"]
    assert [search["comparison"]["arm"] for search in searches] == list(arms.SLOWED)
    assert {search["rounds"] for search in searches} == {5}


@pytest.mark.slow
def test_cost(tmp_path: Path) -> None:
    """The command makes a run and adds it up; of the run's folder it says the same again."""
    out, work = tmp_path / "out.json", tmp_path / "work"
    options = f"{SMALL} --sizes 1 --phases read --backends {BASELINE}"
    made = run("cost", "--work", work, "--out", out, "--run-options", options)
    assert made.exit_code == 0, made.output
    assert "| The command, with its report |" in made.stdout
    (found,) = json.loads(out.read_text())["costs"]
    assert [each["number"] for each in found["rounds"]] == [1, 2, 3, 4, 5]
    assert all(0 < each["timed"] < each["whole"] for each in found["rounds"])
    (folder,) = work.glob("run-*")
    again = run("cost", folder)
    assert again.exit_code == 0, again.output
    # Two lines differ: a recorded run has no command, and the answer is measured anew.
    other = ("| The command", "| Bare answer")
    lines = [line for line in made.stdout.splitlines() if not line.startswith(other)]
    assert [line for line in again.stdout.splitlines() if not line.startswith(other)] == lines


@pytest.mark.slow
def test_segment_speed() -> None:
    """Both ratios are told, of few small images."""
    sizes = ("--images", "4", "--shape", "32x40", "--few", "2", "--many", "4", "--small", "32x40")
    lines = run("segment-speed", *sizes).stdout.splitlines()
    assert lines[0].startswith("4 images of 32 x 40: the plain loop takes ")
    assert lines[1].startswith("peak memory: ")


@pytest.mark.slow
def test_report_speed() -> None:
    """The command makes a report of a made-up run, and says how long that took."""
    done = run("report-speed", "--samples", "600")
    assert done.exit_code == 0, done.output
    assert int(done.stdout.split(" samples")[0]) >= 600
    assert "made in " in done.stdout


@pytest.mark.slow
def test_smears(tmp_path: Path) -> None:
    """Photographs and generated smears are compared and drawn; with too few there is no picture."""
    out = tmp_path / "picture.png"
    words = ("smears", "--photographs", tmp_path, "--out", out)
    for number in range(6):
        assert run(*words).exit_code == 2
        Image.new("RGB", (64, 48), (30 * number, 0, 0)).save(tmp_path / f"{number}.jpg")
    assert not out.exists()
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert "Generated, 6 pictures" in done.stdout
    assert out.stat().st_size > 1000
