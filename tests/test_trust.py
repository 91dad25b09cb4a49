"""The script that measures how far segbench can be trusted: its counting, and each command once."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import itertools
import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Self

import numpy as np
import pytest
from click.testing import CliRunner

from segbench.backends import readers, skimage
from segbench.backends.registry import BASELINE, BackendSpec
from segbench.results.records import Sample, sample_of
from segbench.results.sources import Source, tidy

ROOT = Path(__file__).parents[1]

# The script is no part of the package, and its name is there for the type checker too.
sys.path.insert(0, str(ROOT / "docs"))
import trust
import trust_tools

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

# Of asv 0.6.6, without most of its rows.
ASV_TABLE = """
· Running 6 total benchmarks (2 commits * 1 environments * 3 benchmarks)
[75.00%] ··· segmentation.Files.time_read                                     ok
[75.00%] ··· ======================== ========== ==========
                  skimage/skimage/serial     1      1.02±0.1ms

| Change   | Before [aaaaaaaa] <main~1>   | After [bbbbbbbb] <main>   | Ratio   | Benchmark (Parameter)                                       |
|----------|------------------------------|---------------------------|---------|-------------------------------------------------------------|
| +        | 1.00±0ms                     | 1.25±0ms                  | 1.25    | segmentation.Files.time_pipeline('skimage/skimage/serial', 20) |
|          | 1.00±0ms                     | 1.12±0.3ms                | ~1.12   | segmentation.Files.time_open('skimage/skimage/serial', 1)   |
|          | n/a                          | n/a                       | n/a     | segmentation.Files.time_open('skimage/skimage/serial', 200) |
| !        | 1.00±0ms                     | failed                    | n/a     | segmentation.Files.time_open('skimage/skimage/serial', 50)  |
| -        | 9.80±0.3ms                   | 3.94±0.09ms               | 0.40    | segmentation.Pixels.time_process('skimage/skimage/serial', 1) |

SOME BENCHMARKS HAVE CHANGED SIGNIFICANTLY.
"""


def comparison(verdict: str, *, ratio: float = 1.0, arm: str = "twin") -> trust_tools.Comparison:
    """What a tool says of reading one image."""
    return trust_tools.Comparison(arm=arm, phase="read", n_images=1, verdict=verdict, ratio=ratio)


def attempt(tool: str, *verdicts: str, status: int | None = 0) -> trust_tools.Attempt:
    """A run of three seconds."""
    found = tuple(comparison(verdict, ratio=1.2 if verdict else 1.01) for verdict in verdicts)
    return trust_tools.Attempt(tool=tool, run=1, seconds=3.0, status=status, comparisons=found)


def source(seconds: Mapping[str, list[float]]) -> Source:
    """A run that processed one image: seconds of each block by the name of reader and processor."""
    samples = [
        sample_of(
            BackendSpec(arm, arm, "serial"),
            phase="process",
            n_images=1,
            block=block,
            seconds=value,
            status="ok",
            calls=2,
        )
        for arm, values in seconds.items()
        for block, value in enumerate(values, start=1)
    ]
    return source_of(samples)


def source_of(samples: list[Sample]) -> Source:
    """A run with these samples."""
    return Source(
        name="",
        kind="segbench",
        paired=True,
        started="",
        machine={},
        versions={},
        settings={},
        dataset={},
        samples=tidy(samples),
    )


def cells(table: str) -> list[list[str]]:
    """The rows of a table in Markdown, without its headings."""
    lines = [line.strip("| ").split(" | ") for line in table.splitlines()]
    assert len({len(line) for line in lines}) == 1
    return lines[2:]


@pytest.fixture
def arms(tmp_path: Path) -> ModuleType:
    """The module with the arms, as a worker imports it."""
    trust_tools.install_arms(tmp_path)
    spec = importlib.util.spec_from_file_location("trust_arms", tmp_path / "trust_arms.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_twin_is_the_baseline(arms: ModuleType) -> None:
    """The arm entered under another name calls the very functions of the baseline."""
    assert arms.twin_reader == readers.SKIMAGE
    assert arms.twin_processor == skimage.PROCESSOR


@pytest.mark.parametrize(("arm", "share"), [("slower5", 0.05), ("slower10", 0.1)])
def test_every_operation_of_a_slower_arm_is_slower(
    arm: str, share: float, arms: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading and each of the five operations differ from the baseline's, by the share of the arm."""
    reader, processor = getattr(arms, f"{arm}_reader"), getattr(arms, f"{arm}_processor")
    assert reader.load is not readers.SKIMAGE.load
    for name in ("grayscale", "blur", "threshold", "label", "measure"):
        assert getattr(processor, name) is not getattr(skimage.PROCESSOR, name)
    clock = itertools.count()
    monkeypatch.setattr(arms, "clock", lambda: next(clock))

    def work(ticks: int) -> int:
        return [next(clock) for _ in range(ticks)][-1]

    worked = arms.slower(work, share)(10_000)
    # The work began at tick 1, and looking at the clock takes a tick.
    assert worked == 10_000
    assert next(clock) - worked == pytest.approx(10_000 * share, abs=5)
    assert arms.ARMS[arm] == share


def test_comparisons_are_the_reports_verdicts() -> None:
    """What is counted is the report's verdict on each arm; the baseline is no comparison."""
    level = [1.0, 1.01, 0.99, 1.02, 0.98, 1.0]
    run = source(
        {
            "skimage": level,
            "twin": level,
            "slower10": [
                value * wobble for value, wobble in zip(level, [1.3, 1.31] * 3, strict=True)
            ],
        }
    )
    twin, slower = trust_tools.compared(run)
    assert (twin.arm, twin.case, twin.ratio) == ("twin", "process, 1 image", 1.0)
    assert twin.verdict == "no difference"
    assert (slower.arm, slower.verdict) == ("slower10", "slower")
    assert slower.ratio == pytest.approx(1.305, rel=1e-4)


def test_an_arm_that_fails_is_no_comparison() -> None:
    """A run in which an arm was not timed is refused: it would count as one without a claim."""
    failed = sample_of(
        BackendSpec("twin", "twin", "serial"),
        phase="read",
        n_images=1,
        block=0,
        status="timeout",
        cause="took too long",
    )
    with pytest.raises(trust_tools.ToolError, match="took too long"):
        trust_tools.compared(source_of([failed]))


def test_the_table_of_asv() -> None:
    """Both marks are claims; rows without a ratio are left out."""
    found = [
        (each.case, each.verdict, each.ratio) for each in trust_tools.read_asv_table(ASV_TABLE)
    ]
    assert found == [
        ("pipeline, 20 images", "slower", 1.25),
        ("open, 1 image", "", 1.12),
        ("process, 1 image", "faster", 0.4),
    ]


def printing(monkeypatch: pytest.MonkeyPatch, text: str, *, status: int = 0) -> None:
    """Let every command of the script print a text and end with a status, without being run."""
    done = subprocess.CompletedProcess([], status, stdout=text)
    monkeypatch.setattr(trust_tools, "call", lambda *_, **__: done)


@pytest.mark.parametrize("tool", ["asv", "asv-defaults"])
def test_asv_has_to_compare_every_case(
    tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 1 alone may be a failure: the table must hold the cases that were asked for."""
    row = (
        "| - | 2±0ms | 1±0ms | 0.50 | segmentation.Files.time_open('skimage/skimage/serial', {}) |"
    )
    place = trust_tools.Workplace(folder=tmp_path, sizes=(1, 20), phases=("open",))
    printing(monkeypatch, "\n".join([row.format(1), row.format(20)]), status=1)
    (attempt,) = trust_tools.TOOLS[tool](place, 4)
    assert (attempt.run, attempt.status, len(attempt.claims)) == (4, 1, 2)
    printing(monkeypatch, row.format(1), status=1)
    with pytest.raises(trust_tools.ToolError, match=r"asv continuous .* exit status 1"):
        trust_tools.TOOLS[tool](place, 1)


def test_half_a_clone_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the commit that changes nothing can't be made, no later run compares other code."""

    def call(command: list[str], **_: object) -> None:
        if "commit" in command:
            raise trust_tools.ToolError("no luck")
        (tmp_path / "asv").mkdir()

    monkeypatch.setattr(trust_tools, "call", call)
    with pytest.raises(trust_tools.ToolError, match="no luck"):
        trust_tools.TOOLS["asv"](trust_tools.Workplace(folder=tmp_path), 1)
    assert not (tmp_path / "asv").exists()


def test_pytest_has_to_fail_for_the_right_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 1 of the test runner is a comparison's only if it says so."""
    printing(monkeypatch, "1 failed", status=1)
    with pytest.raises(trust_tools.ToolError, match="1 failed"):
        trust_tools.try_pytest(trust_tools.Workplace(folder=tmp_path), 1)


@pytest.mark.parametrize("sizes", [(20,), (1, 20)])
def test_pytest_has_to_compare_every_case(
    sizes: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both thresholds are applied to the files of both runs, which must hold the cases asked for."""

    def call(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        option = "--benchmark-json="
        (path,) = (word.removeprefix(option) for word in command if word.startswith(option))
        case = {"phase": "read", "n_images": 20}
        stats = {"median": 1.07 if path.endswith("second.json") else 1.0}
        benchmark = {"fullname": "case", "stats": stats, "extra_info": case}
        Path(path).write_text(json.dumps({"benchmarks": [benchmark]}))
        return subprocess.CompletedProcess(command, 1, stdout="Performance has regressed")

    monkeypatch.setattr(trust_tools, "call", call)
    place = trust_tools.Workplace(folder=tmp_path, sizes=sizes, phases=("read",))
    if sizes == (20,):
        found = [(each.status, len(each.claims)) for each in trust_tools.try_pytest(place, 1)]
        assert found == [(1, 1), (None, 0)]
    else:
        with pytest.raises(trust_tools.ToolError, match="Performance has regressed"):
            trust_tools.try_pytest(place, 1)


@pytest.mark.parametrize(
    ("after", "percent", "verdict"),
    [(1.04, 5, ""), (1.06, 5, "slower"), (1.06, 10, ""), (0.94, 5, ""), (0.5, 10, "")],
)
def test_the_comparison_of_pytest_benchmark(after: float, percent: int, verdict: str) -> None:
    """Slow-downs beyond the threshold alone are claims, as the tool itself finds no others."""

    def benchmark(median: float) -> dict[str, object]:
        case = {"phase": "read", "n_images": 20}
        return {"fullname": "case", "stats": {"median": median}, "extra_info": case}

    (found,) = trust_tools.compare_pytest([benchmark(1.0)], [benchmark(after)], percent=percent)
    assert (found.case, found.verdict) == ("read, 20 images", verdict)
    assert found.ratio == pytest.approx(after)


def test_a_search_is_replayed() -> None:
    """The first number of blocks that would do is found, and the timed calls until then add up."""
    rng = np.random.default_rng(0)
    baseline = np.exp(rng.normal(0, 0.003, 12))
    late = np.where(np.arange(12) < 7, 1.0, 1.5) * np.exp(rng.normal(0, 0.003, 12))
    run = source({"skimage": list(baseline), "twin": list(baseline), "slower5": list(late)})
    twin, slower = trust.searched(run, run=3)
    assert (twin.run, twin.blocks, twin.first_blocks, twin.first_seconds) == (3, 12, None, None)
    assert twin.seconds == pytest.approx(2 * 2 * baseline.sum())
    assert slower.comparison.verdict == "undecided"
    assert slower.first_blocks is None
    steady = source({"skimage": list(baseline), "slower10": [1.1 * value for value in baseline]})
    (soon,) = trust.searched(steady, run=1)
    assert (soon.comparison.verdict, soon.first_blocks) == ("slower", 5)
    assert soon.first_seconds == pytest.approx(2 * 2.1 * baseline[:5].sum())


def test_the_cost_of_a_run() -> None:
    """Timed calls, first calls, wall time and the overhead between samples are told apart."""
    at, samples = 10.0, []
    for n_images, block, arm in itertools.product((1, 2), (1, 2, 3), (0, 1)):
        # First calls are made before the first block; later a sample costs a millisecond, beyond
        # what its worker does.
        at += 2 * 0.5 + 0.25 + (3.0 if block == 1 else 0.001)
        backend = (BASELINE, BackendSpec("twin", "twin", "serial"))[arm]
        samples.append(
            sample_of(
                backend,
                phase="read",
                n_images=n_images,
                block=block,
                seconds=0.5,
                status="ok",
                calls=2,
                first_seconds=0.75,
                at=at,
                untimed_seconds=0.25,
            )
        )
    late = sample_of(BASELINE, phase="read", n_images=5, block=0, status="timeout", at=at + 60)
    cost = trust.cost_of(tidy([*samples, late]))
    assert cost.samples == 12
    assert cost.timed == pytest.approx(12.0)
    assert cost.first == pytest.approx(4 * 0.75)
    # Those of the first size are made before the first sample.
    assert cost.first_between == pytest.approx(2 * 0.75)
    assert cost.whole == pytest.approx(at)
    assert cost.measuring == pytest.approx(at - 13.25)
    assert cost.untimed == pytest.approx(12 * 0.25)
    assert cost.overhead == pytest.approx(0.001)
    assert cost.overhead_high == pytest.approx(0.001)
    table = dict(cells(trust.cost_table(cost)))
    span = "From the start of the first sample to the end of the last"
    assert table[span] == f"{at - 13.25:.1f} s"
    assert table[f"{span}, over timed calls"] == f"{(at - 13.25) / 12:.2f}"
    (with_first,) = (value for name, value in table.items() if name.startswith("The same"))
    assert with_first == f"{(at - 13.25) / 13.5:.2f}"
    assert f"over timed calls is {at / 12:.2f}:" in trust.cost_note(cost)
    assert table["The engine's own part of a sample, median"] == "1.00 ms"


def test_another_process_answers() -> None:
    """What an answer takes beyond the work is a positive time, below a second."""
    assert 0 < trust.bare_answer(processes=2, answers=4) < 1


def test_starts_are_no_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer of each process, which waits for its start, is left out of the median."""
    # By this clock the two starts take 9 seconds each, an answer 2; each says it worked for 0.5.
    times = itertools.accumulate(itertools.chain([0, 9, 0, 9], itertools.cycle([0, 2])))
    clock = SimpleNamespace(perf_counter=lambda: next(times))
    monkeypatch.setattr(trust, "time", clock)

    class Process:
        """One that answers."""

        def __init__(self, *_: object, **__: object) -> None:
            self.stdin, self.stdout = io.StringIO(), io.StringIO("0.5\n" * 9)

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(trust, "subprocess", SimpleNamespace(Popen=Process, PIPE=-1))
    assert trust.bare_answer(processes=2, answers=1) == pytest.approx(1.5)


def test_the_cost_of_an_old_run() -> None:
    """A run that does not say when its samples were taken is refused, and one without any."""
    for seconds in ([1.0], []):
        with pytest.raises(trust_tools.ToolError, match="measure anew"):
            trust.cost_of(source({"skimage": seconds}).samples)


def test_false_alarms_are_counted() -> None:
    """Claims over comparisons, and the runs with any, for each tool."""
    attempts = [
        attempt("segbench", "", "no difference", "undecided"),
        attempt("segbench", "", "faster", "slower"),
        attempt("other", "slower", "", "", status=1),
        attempt("other", "", "", "", status=None),
        attempt("third", "", status=None),
    ]
    assert cells(trust.false_alarms_table(attempts)) == [
        [
            *("segbench", "2", "2 of 6 (33.3%, at most 72.9%)", "1 of 2 (50.0%, at most 97.5%)"),
            *("0", "20%", "3 s"),
        ],
        [
            *("other", "2", "1 of 6 (16.7%, at most 58.2%)", "1 of 2 (50.0%, at most 97.5%)"),
            *("1", "20%", "3 s"),
        ],
        [
            *("third", "1", "0 of 1 (0.0%, at most 95.0%)", "0 of 1 (0.0%, at most 95.0%)"),
            *("–", "1%", "3 s"),
        ],
    ]
    opened = dataclasses.replace(comparison("slower"), phase="open", n_images=20)
    attempts.append(dataclasses.replace(attempts[0], comparisons=(comparison("slower"), opened)))
    assert cells(trust.claims_table(attempts)) == [
        ["open, 20 images", "1", "0", "0"],
        ["read, 1 image", "2", "1", "0"],
    ]


@pytest.mark.parametrize(("count", "of"), [(0, 20), (1, 20), (7, 240), (19, 20)])
def test_the_upper_bound_of_a_share(count: int, of: int) -> None:
    """At the bound, so few or fewer have a chance of exactly 5%."""
    bound = trust_tools.upper_bound(count, of)
    few = sum(math.comb(of, k) * bound**k * (1 - bound) ** (of - k) for k in range(count + 1))
    assert few == pytest.approx(0.05)


def test_the_upper_bound_of_all() -> None:
    """Where every case is one, so is the bound."""
    assert trust_tools.upper_bound(3, 3) == 1


def test_slow_downs_are_counted() -> None:
    """Found ones over runs for each arm; what was never found has no time."""
    found = trust.Search(
        run=1,
        comparison=comparison("slower", ratio=1.1, arm="slower10"),
        blocks=9,
        seconds=4.0,
        first_blocks=6,
        first_seconds=2.0,
    )
    missed = dataclasses.replace(
        found,
        comparison=comparison("undecided", ratio=1.06, arm="slower10"),
        blocks=11,
        first_blocks=None,
        first_seconds=None,
    )
    twin = dataclasses.replace(missed, comparison=comparison("no difference"))
    table = cells(trust.slowed_table([found, missed, twin], by_case=False))
    assert table == [
        ["slower10", "1.080", "1 of 2", "1", "0", "0", "10", "4.0 s", "6", "2.0 s"],
        ["twin", "1.000", "0 of 1", "0", "1", "0", "11", "4.0 s", "–", "–"],
    ]
    by_case = cells(trust.slowed_table([found, missed, twin], by_case=True))
    assert [row[:2] for row in by_case] == [[arm, "read, 1 image"] for arm in ("slower10", "twin")]


def test_a_command_that_fails_says_how() -> None:
    """The error has the status and the end of what was printed."""
    command = [sys.executable, "-c", "print('what went wrong'); raise SystemExit(3)"]
    with pytest.raises(trust_tools.ToolError, match="exit status 3\nwhat went wrong"):
        trust_tools.call(command, cwd=ROOT, variables={})
    assert trust_tools.call(command, cwd=ROOT, variables={}, allowed=(3,)).returncode == 3


def test_a_failed_run_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other runs are counted, the failure is said and recorded, and the status is 1."""

    def fickle(_: trust_tools.Workplace, run: int) -> list[trust_tools.Attempt]:
        if run == 2:
            raise trust_tools.ToolError("no luck")
        return [attempt("fickle", "faster")]

    monkeypatch.setitem(trust_tools.TOOLS, "fickle", fickle)
    out = tmp_path / "out.json"
    words = ["false-alarms", "--runs", "3", "--tools", "fickle", "--out", str(out)]
    done = CliRunner().invoke(trust.main, words)
    assert done.exit_code == 1
    assert "| fickle | 2 | 2 of 2 (100.0%, at most 100.0%) |" in done.stdout
    assert "run 2 of 3, fickle: no luck" in done.stderr
    content = json.loads(out.read_text())
    assert len(content["attempts"]) == 2
    assert content["failures"] == ["run 2 of 3, fickle: no luck"]
    assert content["machine"]["cpus"] >= 1


def test_what_was_kept_is_shown_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables of two files are those of all their runs; no path of the machine is in a file."""
    words = ["trust.py", "slowed", "--work", "/here", "--runs", "1", "--out=/there"]
    monkeypatch.setattr(sys, "argv", words)
    own, others = attempt("segbench run", "faster"), attempt("asv continuous", "undecided")
    paths = [tmp_path / "own.json", tmp_path / "others.json"]
    for path, each in zip(paths, (own, others), strict=True):
        trust.Counts(path, attempts=[each]).write()
        assert json.loads(path.read_text())["command"] == "python docs/trust.py slowed --runs 1"
    done = CliRunner().invoke(trust.main, ["show", *map(str, paths)])
    assert done.exit_code == 0, done.output
    expected = trust.tables(trust.Counts(None, attempts=[own, others]))
    assert done.stdout == "\n\n".join(expected) + "\n"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"attempts": 5}', '{"machine": {}, "x": NaN'])
def test_no_record_is_refused(text: str, tmp_path: Path) -> None:
    """A file that is damaged or something else is named."""
    path = tmp_path / "kept.json"
    path.write_text(text)
    done = CliRunner().invoke(trust.main, ["show", str(path)])
    assert done.exit_code == 1
    assert done.stderr == f"Error: {path}: no record of this script\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--runs", "3"], "a1 b1 a2 b2 a3 b3"),
        (["--runs", "3", "--other-runs", "1"], "a1 b1 a2 a3"),
        (["--runs", "1", "--other-runs", "2"], "a1 b1 b2"),
    ],
)
def test_the_slow_tools_run_less_often(
    words: list[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runs of segbench and of another tool take turns while both go on."""
    made: list[str] = []

    def tool(letter: str) -> trust_tools.Tool:
        def record(_: trust_tools.Workplace, run: int) -> list[trust_tools.Attempt]:
            made.append(f"{letter}{run}")
            return [attempt(letter, "")]

        return record

    monkeypatch.setitem(trust_tools.TOOLS, "segbench", tool("a"))
    monkeypatch.setitem(trust_tools.TOOLS, "asv", tool("b"))
    words = ["false-alarms", "--tools", "segbench,asv", *words]
    done = CliRunner().invoke(trust.main, words)
    assert done.exit_code == 0, done.output
    assert " ".join(made) == expected
    assert "finds slow-downs alone" in done.stdout


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
    done = CliRunner().invoke(trust.main, ["false-alarms", *words])
    assert done.exit_code == 2
    assert message in done.stderr


def test_the_cost_of_no_run(tmp_path: Path) -> None:
    """A folder without a run is an error of one line."""
    done = CliRunner().invoke(trust.main, ["cost", str(tmp_path)])
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert "run.jsonl" in done.stderr


SMALL = ["--run-options", "--blocks 5 --shape 32x40 --block-size 11"]


def test_false_alarms(tmp_path: Path) -> None:
    """The command, as it is typed: the twin is found among the backends and compared."""
    out = tmp_path / "out.json"
    words = ["--runs", "1", "--tools", "segbench", "--sizes", "1", "--phases", "open,read"]
    done = subprocess.run(  # noqa: S603  (this interpreter, on the script)
        [sys.executable, ROOT / "docs/trust.py", "false-alarms", *words, *SMALL, "--out", out],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "| segbench run | 1 |" in done.stdout
    (found,) = json.loads(out.read_text())["attempts"]
    assert [(each["arm"], each["phase"]) for each in found["comparisons"]] == [
        ("twin", "open"),
        ("twin", "read"),
    ]


def test_slowed(tmp_path: Path) -> None:
    """The command measures each arm in each case, over five blocks."""
    out = tmp_path / "out.json"
    words = ["slowed", "--runs", "1", "--sizes", "1", "--phases", "process", "--out", str(out)]
    done = CliRunner().invoke(trust.main, [*words, *SMALL])
    assert done.exit_code == 0, done.output
    searches = json.loads(out.read_text())["searches"]
    assert [search["comparison"]["arm"] for search in searches] == list(trust_tools.ARMS)
    assert {search["blocks"] for search in searches} == {5}


def test_cost(tmp_path: Path) -> None:
    """The command makes a run and adds it up; of the run's folder it says the same again."""
    out = tmp_path / "out.json"
    options = f"{SMALL[1]} --sizes 1 --phases read --backends {BASELINE}"
    words = ["cost", "--work", str(tmp_path / "work"), "--out", str(out)]
    made = CliRunner().invoke(trust.main, [*words, "--run-options", options])
    assert made.exit_code == 0, made.output
    assert "| The command, with its report |" in made.stdout
    (cost,) = json.loads(out.read_text())["costs"]
    assert cost["samples"] == 5
    assert 0 < cost["timed"] < cost["measuring"] < cost["whole"]
    (folder,) = (tmp_path / "work").glob("run-*")
    again = CliRunner().invoke(trust.main, ["cost", str(folder)])
    assert again.exit_code == 0, again.output
    # Two lines differ: a recorded run has no command, and the answer is measured anew.
    other = ("| The command", "| Bare answer")
    lines = [line for line in made.stdout.splitlines() if not line.startswith(other)]
    assert [line for line in again.stdout.splitlines() if not line.startswith(other)] == lines
