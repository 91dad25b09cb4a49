"""The script that measures how far the gate can be trusted: what it plants, and its counting."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import itertools
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import numpy as np
import psutil
import pytest
import skimage.io
import skimage.measure
import skimage.util
from click.testing import CliRunner

from segbench import agreement, cli
from segbench.backends import phases, registry, schedulers
from segbench.backends.interface import Backend
from segbench.measure.settings import PHASES, QUICK_BACKENDS, available_cpus
from segbench.pipeline import PipelineParams, Segmentation
from segbench.results import outcome as outcomes
from segbench.results.outcome import Comparison, Estimate

ROOT = Path(__file__).parents[1]

# The script is no part of the package, and its name is there for the type checker too.
sys.path.insert(0, str(ROOT / "docs"))
import gate_trials
import trust_tools

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from numpy.typing import NDArray

    Changed = Callable[[gate_trials.Head], ModuleType]

SERIAL = "skimage/skimage/serial"
BLOCKS = "dask-array-skimage/dask-blocks/threads"

HEADS = {
    head.name: head
    for head in (gate_trials.NOTHING, gate_trials.slower_by(0.1), *gate_trials.KINDS.values())
}

# A blob and a speck, and their surroundings.
PARAMS = PipelineParams(block_size=11)


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Changed:
    """Imports the module that a head changes, with its changes."""

    def load(head: gate_trials.Head) -> ModuleType:
        (name,) = {change.file for change in head.changes}
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        shutil.copy2(ROOT / name, path)
        for change in head.changes:
            gate_trials.apply(change, tmp_path)
        spec = importlib.util.spec_from_file_location(f"planted_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # Dataclasses look their module up.
        monkeypatch.setitem(sys.modules, module.__name__, module)
        spec.loader.exec_module(module)
        return module

    return load


def compared(
    verdict: str = "same",
    *,
    phase: str = "process",
    n_images: int = 20,
    backend: str = SERIAL,
    ratio: float = 1.0,
) -> Comparison:
    """A case with a ratio."""
    return Comparison(
        phase=phase,
        backend=backend,
        n_images=n_images,
        verdict=verdict,
        first=Estimate(ratio=ratio, low=ratio, high=ratio, rounds=8),
    )


def trial(
    *cases: Comparison, head: str = "slower", run: int = 1, expected: tuple[int, ...] = ()
) -> gate_trials.Trial:
    """A gate of ten seconds that fails where a case makes it fail; `expected` are places of cases."""
    return gate_trials.Trial(
        head=head,
        run=run,
        options=(),
        status=int(bool(gate_trials.named(cases))),
        seconds=10.0 * run,
        measured=8.0 * run,
        comparisons=cases,
        expected=tuple(gate_trials.in_words(cases[place]) for place in expected),
        notes=(),
    )


def cells(table: str) -> list[list[str]]:
    """The rows of a table in Markdown, without its headings."""
    lines = [[cell.strip() for cell in line[1:-1].split("|")] for line in table.splitlines()]
    assert len({len(line) for line in lines}) == 1
    return lines[2:]


def pixels(count: int = 3) -> NDArray[np.uint8]:
    """Bright images in colour, with dark noise."""
    rng = np.random.default_rng(5)
    return rng.integers(100, 256, (count, 40, 50, 3), dtype=np.uint8)


def backend_of(spec: str, scheduler: schedulers.Scheduler) -> Backend:
    """A backend under a scheduler that has been started."""
    return Backend(*registry.load(registry.parse_spec(spec)), scheduler)


def same_cells(found: Segmentation, expected: Segmentation) -> bool:
    """Whether the two are the same partition."""
    return agreement.first_difference(found, expected) is None


# What is planted.


@pytest.mark.parametrize("name", HEADS)
def test_what_is_planted_applies(name: str, changed: Changed) -> None:
    """Each piece to be replaced is in today's source once, and the changed module can be imported."""
    module = changed(HEADS[name])
    assert module.__file__ is not None
    original = ROOT / HEADS[name].changes[0].file
    assert Path(module.__file__).read_text() != original.read_text()


@pytest.mark.parametrize("text", ["", "old old"])
def test_what_is_not_there_once_is_not_replaced(text: str, tmp_path: Path) -> None:
    """The error names the file and how often; the file stays as it is."""
    (tmp_path / "file.py").write_text(text)
    change = gate_trials.Change(file="file.py", old="old", new="new")
    with pytest.raises(trust_tools.ToolError, match=rf"file\.py: {text.count('old')} places"):
        gate_trials.apply(change, tmp_path)
    assert (tmp_path / "file.py").read_text() == text


@pytest.mark.parametrize("density", [0.0, 0.3, 0.6, 1.0])
def test_the_label_step_in_python(density: float, changed: Changed) -> None:
    """It finds the very objects that scikit-image finds."""
    label = changed(gate_trials.KINDS["a label step in Python"]).label
    mask = np.random.default_rng(1).random((37, 41)) < density
    found, expected = label(mask), skimage.measure.label(mask, connectivity=1)
    assert found.dtype == np.int32
    assert np.array_equal(found > 0, mask)
    pairs = np.unique(np.column_stack([found.ravel(), expected.ravel()]), axis=0)
    assert len(pairs) == len(np.unique(found)) == len(np.unique(expected))


@pytest.mark.parametrize("spec", [SERIAL, "dask-array-skimage/dask-blocks/synchronous"])
def test_an_extra_copy_changes_no_result(
    spec: str, changed: Changed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole stack goes through floats when it is read, and comes back as it was."""
    for number, image in enumerate(pixels()):
        skimage.io.imsave(tmp_path / f"{number}.png", image, check_contrast=False)
    copied = []

    def img_as_float64(stack: NDArray[np.uint8]) -> NDArray[np.float64]:
        copied.append(stack.shape)
        return stack / 255

    monkeypatch.setattr(skimage.util, "img_as_float64", img_as_float64)
    module = changed(gate_trials.KINDS["an extra copy of the stack"])
    with schedulers.start(spec.rsplit("/", maxsplit=1)[-1], workers=1) as scheduler:
        found = module.read_images(backend_of(spec, scheduler), str(tmp_path / "*.png"))
    assert found.dtype == np.uint8
    assert np.array_equal(found, pixels())
    assert copied == [pixels().shape]


def test_one_chunk_an_image(changed: Changed) -> None:
    """A hundred images in as many chunks, where there were eight."""
    module = changed(gate_trials.KINDS["one chunk an image"])
    assert phases.images_per_chunk(100, image_bytes=1, workers=2) == 13
    assert module.images_per_chunk(100, image_bytes=1, workers=2) == 1


def test_a_lost_drop_axis(changed: Changed) -> None:
    """Gray images are declared to have channels still."""
    module = changed(gate_trials.KINDS["a lost drop_axis"])
    gray = module.map_grayscale(
        da.from_array(pixels(), chunks=(1, -1, -1, -1)), lambda image: image
    )
    assert gray.ndim == 4


def test_a_synchronous_scheduler(changed: Changed) -> None:
    """It is Dask's that is wrong; the scheduler's name and workers are those that were asked for."""
    module = changed(gate_trials.KINDS["a synchronous scheduler"])
    with module.start("threads", workers=2) as scheduler:
        assert (scheduler.name, scheduler.workers) == ("threads", 2)
        assert dask.config.get("scheduler") == "synchronous"


@pytest.mark.parametrize("share", [0.05, 0.1])
@pytest.mark.parametrize("function", ["process_images", "run_pipeline"])
def test_slower_by_a_share(
    function: str, share: float, changed: Changed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both take the share longer, once, also where the pipeline goes through `process_images`."""
    module: Any = changed(gate_trials.slower_by(share))
    clock = itertools.count()
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    worked: list[int] = []

    def _compute(*_: object) -> str:
        worked.extend(next(clock) for _ in range(10_000))
        return "found"

    module.read_images = lambda *_: None
    module._task_graph = lambda *_: ()
    module._compute = _compute
    backend = SimpleNamespace(
        reader=SimpleNamespace(uses_dask=False, load=None),
        processor=SimpleNamespace(uses_dask=True),
    )
    assert getattr(module, function)(backend, "pixels or pattern", PARAMS) == "found"
    # The work began at tick 1, and looking at the clock takes a tick.
    assert worked == list(range(1, 10_001))
    assert next(clock) - 10_000 == pytest.approx(10_000 * share, abs=5)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("an extra copy of the stack", {f"read {spec}" for spec in map(str, QUICK_BACKENDS)}),
        ("one chunk an image", {f"process {BLOCKS}", f"pipeline {BLOCKS}"}),
        (
            "a lost drop_axis",
            {
                *(f"{phase} dask-image/dask-image/threads" for phase in PHASES),
                *(f"{phase} {BLOCKS}" for phase in ("process", "pipeline")),
            },
        ),
        (
            "a synchronous scheduler",
            {
                f"{phase} {spec}"
                for phase in ("read", "process", "pipeline")
                for spec in (BLOCKS, "dask-image/dask-image/threads")
            },
        ),
        (
            "a label step in Python",
            {
                f"{phase} {spec}"
                for phase in ("process", "pipeline")
                for spec in (SERIAL, "skimage/skimage/thread-pool", BLOCKS)
            },
        ),
    ],
)
def test_the_cases_that_run_through_what_is_planted(kind: str, expected: set[str]) -> None:
    """Of the default backends these, with more images than there are chunks to fill."""
    found = {
        f"{phase} {spec}"
        for phase, spec in itertools.product(PHASES, map(str, QUICK_BACKENDS))
        if gate_trials.KINDS[kind].expects(
            compared(phase=phase, backend=spec, n_images=1 + 4 * available_cpus())
        )
    }
    pims = BLOCKS.replace("skimage", "pims")
    assert found == expected | {each.replace(BLOCKS, pims) for each in expected}


# One gate.


def test_a_core_is_kept_busy_and_let_go() -> None:
    """The process runs inside the block, and is gone after it."""
    with gate_trials.busy_core() as pid:
        process = psutil.Process(pid)
        assert process.is_running()
        while process.cpu_times().user < 0.1:
            pass
    assert not psutil.pid_exists(pid)


def has_ended(process: psutil.Process, *, within: float = 30.0) -> bool:
    """Whether a process ends within some seconds, be it that nobody has asked for its status."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


def kill(process: psutil.Process) -> None:
    """Kill a process, and wait until it has ended."""
    process.kill()
    assert has_ended(process)


def test_a_busy_process_that_died_is_an_error() -> None:
    """A gate that had no load beside it does not count as one that had."""
    with (
        pytest.raises(trust_tools.ToolError, match="the busy process ended"),
        gate_trials.busy_core() as pid,
    ):
        kill(psutil.Process(pid))


def test_the_busy_process_does_not_outlive_its_parent() -> None:
    """Also where the script is killed, and can't let go of anything."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'docs')!r})\n"
        "import gate_trials\n"
        "with gate_trials.busy_core() as pid:\n"
        "    print(pid, flush=True)\n"
        "    input()\n"
    )
    with subprocess.Popen(  # noqa: S603  (this interpreter, on the code above)
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        busy = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    try:
        assert has_ended(busy)
    finally:
        # Where it has not, it is not to be left to the tests to come.
        with contextlib.suppress(psutil.NoSuchProcess):
            busy.kill()


class Gate:
    """A gate that measures nothing, in place of the command; everything else is run.

    Attributes
    ----------
    said : list of tuple
        Exit status and cases of each gate to come.
    asked : list of tuple
        Words of each that came, and the folder it was run in.
    """

    def __init__(self) -> None:
        self.said: list[tuple[int, tuple[Comparison, ...]]] = []
        self.asked: list[tuple[list[str], Path]] = []

    def __call__(
        self, command: list[str], *, cwd: Path, variables: dict[str, str], **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Do as `trust_tools.call` does."""
        if "gate" not in command:
            return trust_tools.call(command, cwd=cwd, variables=variables, **options)
        words = command[command.index("gate") + 1 :]
        self.asked.append((words, cwd))
        status, cases = self.said.pop(0)
        done = subprocess.CompletedProcess(command, status, stdout="Traceback: what went wrong")
        if status > 1:
            raise trust_tools.ToolError("could not measure")
        if cases:
            side = outcomes.Side(name="base", what="", versions={})
            outcome = outcomes.Outcome(
                started="",
                command="",
                base=side,
                head=side,
                threshold=0.05,
                rounds=8,
                seconds=200.0,
                machine={},
                dataset="",
                comparisons=cases,
                notes=("The machine was restless.",),
            )
            outcomes.write_outcome(outcome, Path(words[words.index("--json") + 1]))
        return done


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """A gate that measures nothing, of a repository that holds this one's source alone."""
    repository = tmp_path / "repository"
    shutil.copytree(ROOT / "src", repository / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "Base"]):
        trust_tools.call([*trust_tools.GIT, *words], cwd=repository, variables=VARIABLES)
    gate = Gate()
    monkeypatch.setattr(trust_tools, "ROOT", repository)
    monkeypatch.setattr(gate_trials, "ROOT", repository)
    monkeypatch.setattr(gate_trials, "call", gate)
    return gate


VARIABLES = trust_tools.Workplace(folder=Path()).variables


def changes_at_head(clone: Path) -> list[str]:
    """Names of the files in which the head of a clone differs from the commit before."""
    command = [*trust_tools.GIT, "diff", "--name-only", "HEAD~1", "HEAD"]
    return trust_tools.call(command, cwd=clone, variables=VARIABLES).stdout.split()


def test_identical(gate: Gate, tmp_path: Path) -> None:
    """Gates of a comment against what is committed are counted, with seeds of their own."""
    gate.said = [
        (0, (compared(), compared("undecided", phase="read", ratio=1.04))),
        (1, (compared(), compared("regression", phase="read", ratio=1.2))),
        (0, (compared("improvement", ratio=0.9), compared(phase="read"))),
    ]
    work, out = tmp_path / "work", tmp_path / "out.json"
    words = ["identical", "--runs", "3", "--work", str(work), "--out", str(out)]
    done = CliRunner().invoke(gate_trials.main, [*words, "--gate-options", "--rounds 5"])
    assert done.exit_code == 0, done.output
    summary, _, cases = done.stdout.strip().split("\n\n")
    ((head, options, fails, count, *counts, ratio, takes, measures),) = cells(summary)
    assert (head, options) == ("nothing but a comment", "--rounds 5")
    assert fails == "1 of 3 (33.3%, at most 86.5%)"
    assert (count, counts, ratio) == ("6", ["1", "1", "1", "3"], "1.000 (0.900 to 1.200)")
    assert takes.endswith(" s")
    assert measures == "200 (200 to 200) s"
    rows = cells(cases)
    assert [row[:2] for row in rows] == [[head, options]] * 2
    assert [row[2:] for row in rows] == [
        [f"read, 20 images, {SERIAL}", "", "1.040 (1.000 to 1.200)", "1", "1", "", "1", ""],
        [f"process, 20 images, {SERIAL}", "", "1.000 (0.900 to 1.000)", "", "", "1", "2", ""],
    ]
    for run, (asked, clone) in enumerate(gate.asked, start=1):
        assert asked[:4] == ["--base", "HEAD~1", "--seed", str(run)]
        assert asked[-2:] == ["--rounds", "5"]
        # The command line of today takes them.
        command = cli.main.commands["gate"]
        with command.make_context("gate", list(asked)) as context:
            assert context.params["base"] == "HEAD~1"
        assert changes_at_head(clone) == ["src/segbench/backends/phases.py"]
    kept = json.loads(out.read_text())
    assert len(kept["commit"]) == 40
    shown = CliRunner().invoke(gate_trials.main, ["show", str(out)])
    assert shown.stdout == done.stdout
    assert [each["status"] for each in kept["trials"]] == [0, 1, 0]
    assert kept["trials"][1]["comparisons"][1]["first"]["ratio"] == 1.2
    assert kept["trials"][0]["notes"] == ["The machine was restless."]


def test_a_later_session_goes_on(gate: Gate) -> None:
    """The runs of a later session have the seeds that come after those of the one before."""
    gate.said = [(0, (compared(),)), (0, (compared(),))]
    done = CliRunner().invoke(gate_trials.main, ["identical", "--runs", "2", "--first-run", "8"])
    assert done.exit_code == 0, done.output
    assert [asked[2:4] for asked, _ in gate.asked] == [["--seed", "8"], ["--seed", "9"]]


def test_identical_beside_a_busy_core(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """A core is busy while the gate runs, no longer, and the table says so."""
    seen: list[psutil.Process] = []
    # Other tests of this process may have left a process that serves them all.
    others = psutil.Process().children()

    def call(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        if "gate" in command:
            seen.extend(child for child in psutil.Process().children() if child not in others)
        return gate(command, **options)

    monkeypatch.setattr(gate_trials, "call", call)
    gate.said = [(0, (compared(),))]
    done = CliRunner().invoke(gate_trials.main, ["identical", "--runs", "1", "--busy"])
    assert done.exit_code == 0, done.output
    assert "| nothing but a comment, beside a busy core |" in done.stdout
    assert len(seen) == 1
    assert not seen[0].is_running()


def test_what_was_counted_outlives_an_interruption(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each gate is on disk before the next begins."""

    def call(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        if "gate" in command and not gate.said:
            raise KeyboardInterrupt
        return gate(command, **options)

    monkeypatch.setattr(gate_trials, "call", call)
    gate.said = [(0, (compared(),))]
    out = tmp_path / "out.json"
    done = CliRunner().invoke(gate_trials.main, ["identical", "--out", str(out)])
    assert done.exit_code == 1
    assert "run 1 (to 30): exit status 0" in done.stderr
    assert len(json.loads(out.read_text())["trials"]) == 1


def test_slower(gate: Gate) -> None:
    """Found is a gate that fails for a case of `process`; other cases are counted apart."""
    read = compared("regression", phase="read", ratio=1.3)
    pipeline = compared("regression", phase="pipeline", ratio=1.08)
    gate.said = [
        (1, (compared("regression", ratio=1.1), compared(phase="pipeline", ratio=1.06))),
        (1, (compared("undecided", ratio=1.12), pipeline)),
        (1, (compared("undecided", ratio=1.12), read)),
    ]
    done = CliRunner().invoke(gate_trials.main, ["slower", "--runs", "3", "--share", "0.1"])
    assert done.exit_code == 0, done.output
    ((head, options, found, *columns, _, measures),) = cells(done.stdout.split("\n\n")[0])
    assert (head, options) == ("slower by 10.0%", "")
    assert found == "1 of 3 (33.3%, at least 1.7%)"
    assert columns == [
        "1.120 (1.100 to 1.120)",
        "1 of 3",
        "1.070 (1.060 to 1.080)",
        "1 of 2",
        "1 of 1",
    ]
    assert measures == "200 (200 to 200) s"


def test_planted(gate: Gate) -> None:
    """One gate a kind; what is named rightly and wrongly is told apart."""
    blocks = compared("regression", backend=BLOCKS, ratio=1.5)
    failed = Comparison(
        phase="open", backend=BLOCKS, n_images=20, verdict="failed", cause="head: error, no luck"
    )
    gate.said = [
        (1, (compared(), blocks, compared(phase="read", backend=BLOCKS), failed)),
        (0, (compared(ratio=1.01), compared(backend=BLOCKS, ratio=1.03))),
        (
            1,
            (
                compared("regression", phase="open"),
                compared(backend=BLOCKS, n_images=1 + 4 * available_cpus()),
            ),
        ),
    ]
    kinds = ["a synchronous scheduler", "a label step in Python", "one chunk an image"]
    words = ["planted", "--kinds", ", ".join(kinds), "--gate-options", "--rounds 5"]
    done = CliRunner().invoke(gate_trials.main, words)
    assert done.exit_code == 0, done.output
    summary, cases = done.stdout.strip().split("\n\n")
    # The user's options come last, so that they are the ones that hold.
    small = "--shape 64x80 --rounds 5"
    assert [row[:6] for row in cells(summary)] == [
        [kinds[0], "--rounds 5", "yes", "1 of 2", "1.250 (1.000 to 1.500)", "1 of 2"],
        [kinds[1], "--rounds 5", "no", "0 of 2", "1.020 (1.010 to 1.030)", "0 of 0"],
        [kinds[2], small, "no", "0 of 1", "1.000", "1 of 1"],
    ]
    assert gate.asked[2][0][-4:] == small.split()
    case = [kinds[0], "--rounds 5", f"open, 20 images, {BLOCKS}", "", "–"]
    assert case in [row[:5] for row in cells(cases)]
    assert "head: error, no luck" in cases
    assert [clone.name for _, clone in gate.asked] == [kind.replace(" ", "-") for kind in kinds]


def test_a_head_is_made_anew(gate: Gate, tmp_path: Path) -> None:
    """A clone of an earlier time, of other code, is not measured again."""
    stale = tmp_path / "work" / "nothing-but-a-comment" / "stale.py"
    stale.parent.mkdir(parents=True)
    stale.touch()
    gate.said = [(0, (compared(),))]
    words = ["identical", "--runs", "1", "--work", str(tmp_path / "work")]
    assert CliRunner().invoke(gate_trials.main, words).exit_code == 0
    assert not stale.exists()
    assert changes_at_head(stale.parent)


def test_nothing_is_measured_where_a_change_does_not_apply(gate: Gate) -> None:
    """The error names the file, before the first gate; of all kinds, not of the first alone."""
    path = trust_tools.ROOT / "src/segbench/backends/skimage.py"
    path.write_text(path.read_text().replace("connectivity=1", "connectivity=2"))
    commit = [*trust_tools.GIT, "commit", "--quiet", "--all", "--message", "Other labels"]
    trust_tools.call(commit, cwd=trust_tools.ROOT, variables=VARIABLES)
    done = CliRunner().invoke(gate_trials.main, ["planted"])
    assert done.exit_code == 1
    assert "skimage.py: 0 places" in done.stderr
    assert gate.asked == []


@pytest.mark.parametrize(
    ("status", "cases", "message"),
    [
        (2, (), "could not measure"),
        (1, (), "what went wrong"),
        (1, (compared("undecided"),), "exit status 1, and 0 cases"),
        (0, (compared("failed"),), "exit status 0, and 1 cases"),
    ],
)
def test_a_gate_that_could_not_measure_is_left_out(
    status: int, cases: tuple[Comparison, ...], message: str, gate: Gate, tmp_path: Path
) -> None:
    """It is neither a find nor a false alarm; the other runs count, and the script's status is 1."""
    gate.said = [(status, cases), (0, (compared(),))]
    out = tmp_path / "out.json"
    words = ["identical", "--runs", "2", "--out", str(out)]
    done = CliRunner().invoke(gate_trials.main, words)
    assert done.exit_code == 1
    assert message in done.stderr
    assert "0 of 1 (0.0%, at most 95.0%)" in done.stdout
    kept = json.loads(out.read_text())
    assert len(kept["trials"]) == 1
    assert message in kept["failures"][0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["planted", "--kinds", "sabotage"], "unknown 'sabotage': choose from an extra copy"),
        (["slower", "--share", "0"], "0"),
        (["identical", "--gate-options", "'"], "No closing quotation"),
    ],
)
def test_bad_usage_is_refused(words: list[str], message: str, gate: Gate) -> None:
    """It measures nothing, and says what was wrong."""
    done = CliRunner().invoke(gate_trials.main, words)
    assert done.exit_code == 2
    assert message in done.stderr
    assert gate.asked == []


# Counting.


@pytest.mark.parametrize(
    "table",
    [
        gate_trials.runs_table,
        gate_trials.found_table,
        gate_trials.kinds_table,
        gate_trials.cases_table,
    ],
)
def test_a_table_of_no_runs(table: Callable[[list[gate_trials.Trial]], str]) -> None:
    """Where every gate failed to measure there is a heading, and no row."""
    assert cells(table([])) == []


def test_a_trial_is_found_by_an_expected_case() -> None:
    """A gate that fails for another case has found nothing."""
    cases = (compared("failed"), compared(phase="read"))
    assert trial(*cases, expected=(0,)).found
    assert not trial(*cases, expected=(1,)).found
    assert not trial(compared("undecided"), expected=(0,)).found


def test_times_are_medians() -> None:
    """Of the runs of one head with the same options; others are told apart."""
    trials = [trial(compared(), run=run) for run in (1, 2, 6)] + [trial(compared(), head="other")]
    short = dataclasses.replace(trial(compared()), options=("--phases", "process"), measured=3.0)
    rows = cells(gate_trials.runs_table([*trials, short]))
    assert [(*row[:2], *row[-2:]) for row in rows] == [
        ("slower", "", "20 (10 to 60) s", "16 (8 to 48) s"),
        ("other", "", "10 s", "8 s"),
        ("slower", "--phases process", "10 s", "3 s"),
    ]
