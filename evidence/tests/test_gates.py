"""What is planted into heads, what gates say of them, and how that is counted."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import numpy as np
import psutil
import pytest
import skimage.io
import skimage.measure
import skimage.util

from evidence import gates, plants, shared
from evidence.shared import Case, Estimate, ToolError, Trial
from evidence.tests.helpers import cells, run
from segbench import cli
from segbench.backends import dask_blocks, phases, readers, schedulers
from segbench.backends import skimage as baseline
from segbench.backends.interface import Backend
from segbench.measure.settings import PHASES, QUICK_BACKENDS, available_cpus
from segbench.pipeline import PipelineParams

if TYPE_CHECKING:
    from collections.abc import Callable

    Planted = Callable[[str], ModuleType]

SERIAL = "skimage/skimage/serial"
BLOCKS = "dask-array-skimage/dask-blocks/threads"
MANY = 1 + 4 * available_cpus()

HEADS = {head.name: head for head in (gates.NOTHING, gates.slower_by(0.1), *gates.KINDS.values())}


def case(
    verdict: str = "same",
    *,
    phase: str = "process",
    n_images: int = 20,
    backend: str = SERIAL,
    ratio: float | None = 1.0,
    cause: str = "",
) -> Case:
    """What a gate says of a case."""
    first = ratio and Estimate(ratio=ratio, low=ratio, high=ratio, rounds=8)
    return Case(
        phase=phase,
        backend=backend,
        n_images=n_images,
        verdict=verdict,
        first=first or None,
        cause=cause,
    )


# What is planted.


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Planted:
    """Imports the module that a kind of head changes once more, and plants into it."""

    def load(kind: str) -> ModuleType:
        head = gates.KINDS[kind]
        path = shared.ROOT / f"src/segbench/backends/{head.module}.py"
        spec = importlib.util.spec_from_file_location(f"planted_{head.module}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # Dataclasses look their module up.
        monkeypatch.setitem(sys.modules, module.__name__, module)
        spec.loader.exec_module(module)
        assert head.plant is not None
        head.plant(module, **head.settings)
        return module

    return load


@pytest.mark.parametrize("density", [0.0, 0.3, 0.6, 1.0])
def test_the_label_step_in_python(density: float, planted: Planted) -> None:
    """It is the processor's, and finds the very objects that scikit-image finds."""
    module = planted("a label step in Python")
    assert module.PROCESSOR.label is module.label is plants.label
    mask = np.random.default_rng(1).random((37, 41)) < density
    found, expected = module.label(mask), skimage.measure.label(mask, connectivity=1)
    assert found.dtype == np.int32
    assert np.array_equal(found > 0, mask)
    pairs = np.unique(np.column_stack([found.ravel(), expected.ravel()]), axis=0)
    assert len(pairs) == len(np.unique(found)) == len(np.unique(expected))


def test_an_extra_copy_changes_no_result(
    planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole stack goes through floats when it is read, and comes back as it was."""
    pixels = np.random.default_rng(5).integers(0, 256, (3, 40, 50, 3), dtype=np.uint8)
    for number, image in enumerate(pixels):
        skimage.io.imsave(tmp_path / f"{number}.png", image, check_contrast=False)
    copied = []

    def img_as_float64(stack: Any) -> Any:
        copied.append(stack.shape)
        return stack / 255

    monkeypatch.setattr(skimage.util, "img_as_float64", img_as_float64)
    module = planted("an extra copy of the stack")
    with schedulers.start("serial", workers=1) as scheduler:
        backend = Backend(readers.SKIMAGE, baseline.PROCESSOR, scheduler)
        found = module.read_images(backend, str(tmp_path / "*.png"))
    assert found.dtype == np.uint8
    assert np.array_equal(found, pixels)
    assert copied == [pixels.shape]


def test_one_chunk_an_image(planted: Planted) -> None:
    """A processor that works on several images at once gets one in each chunk."""
    chunks = []

    def grayscale(images: da.Array) -> da.Array:
        chunks.append(images.chunks[0])
        return dask_blocks.grayscale(images)

    processor = dataclasses.replace(dask_blocks.PROCESSOR, grayscale=grayscale)
    pixels = np.zeros((8, 20, 24), np.uint8)
    with schedulers.start("synchronous", workers=1) as scheduler:
        backend = Backend(readers.SKIMAGE, processor, scheduler)
        for module in (phases, planted("one chunk an image")):
            module.process_images(backend, pixels, PipelineParams(block_size=11))
    assert chunks == [(2,) * 4, (1,) * 8]


def test_a_lost_drop_axis(planted: Planted) -> None:
    """Gray images are declared to have channels still."""
    pixels = da.zeros((2, 4, 5, 3), chunks=(1, -1, -1, -1))
    assert planted("a lost drop_axis").grayscale(pixels).ndim == 4


def test_a_synchronous_scheduler(planted: Planted) -> None:
    """It is Dask's that is wrong; the scheduler's name and workers are those that were asked for."""
    with planted("a synchronous scheduler").start("threads", workers=2) as scheduler:
        assert (scheduler.name, scheduler.workers) == ("threads", 2)
        assert dask.config.get("scheduler") == "synchronous"


@pytest.mark.parametrize("share", [0.05, 0.1])
@pytest.mark.parametrize("function", ["process_images", "run_pipeline"])
def test_slower_by_a_share(function: str, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both take the share longer, once, also where the pipeline goes through `process_images`."""
    clock = itertools.count()
    monkeypatch.setattr(plants, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    # Looking at the clock takes a tick, and so does each piece of work.
    module = SimpleNamespace()
    module.process_images = lambda: [next(clock) for _ in range(10_000)]
    module.run_pipeline = lambda: [*module.process_images()]
    head = gates.slower_by(share)
    assert head.plant is not None
    head.plant(module, **head.settings)
    assert getattr(module, function)() == list(range(1, 10_001))
    assert next(clock) - 10_000 == pytest.approx(10_000 * share, abs=5)


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADS)
def test_a_head_is_a_clone_with_one_more_commit(name: str, tmp_path: Path) -> None:
    """What is planted is imported with the module; a clone of an earlier time is not used again."""
    place, head = shared.Workplace(folder=tmp_path), HEADS[name]
    stale = tmp_path / name.replace(" ", "-") / "stale.py"
    stale.parent.mkdir()
    stale.touch()
    clone = gates.make_clone(place, head)
    assert not stale.exists()
    diff = [*shared.GIT, "diff", "--name-only", "HEAD~1"]
    changed = shared.call(diff, cwd=clone, variables=place.variables).stdout.split()
    expected = [f"src/segbench/backends/{head.module}.py"]
    assert changed == expected + ["src/segbench/planted.py"] * bool(head.plant)
    code = f"import segbench.backends.{head.module}, sys; print('segbench.planted' in sys.modules)"
    variables = {**place.variables, "PYTHONPATH": str(clone / "src")}
    done = shared.call([sys.executable, "-c", code], cwd=clone, variables=variables)
    assert done.stdout == f"{bool(head.plant)}\n"


@pytest.mark.parametrize("kind", gates.KINDS)
def test_a_plant_that_does_not_fit_is_an_error(kind: str) -> None:
    """Where a module has not the names any more that are to be replaced, nothing is measured."""
    plant = gates.KINDS[kind].plant
    assert plant is not None
    with pytest.raises(AttributeError):
        plant(ModuleType("empty"))


def test_a_lost_drop_axis_reaches_the_backends(tmp_path: Path) -> None:
    """The processors map by the function that is planted, in a package that was changed on disk."""
    package = tmp_path / "src/segbench"
    shutil.copytree(shared.ROOT / "src/segbench", package)
    gates.plant(gates.KINDS["a lost drop_axis"], tmp_path)
    code = (
        "import dask.array as da\n"
        "from segbench.backends import dask_blocks, dask_image\n"
        "for module in (dask_blocks, dask_image):\n"
        "    print(module.PROCESSOR.grayscale(da.zeros((2, 4, 5, 3), chunks=(1, 4, 5, 3))).ndim)"
    )
    variables = {**os.environ, "PYTHONPATH": str(package.parent)}
    done = shared.call([sys.executable, "-c", code], cwd=tmp_path, variables=variables)
    # An older Dask warns before.
    assert done.stdout.split()[-2:] == ["4", "4"]


COMPUTES = ("process", "pipeline")


@pytest.mark.parametrize(
    ("kind", "phases", "backends"),
    [
        ("an extra copy of the stack", ("read",), [str(spec) for spec in QUICK_BACKENDS]),
        ("one chunk an image", COMPUTES, [BLOCKS]),
        ("a lost drop_axis", COMPUTES, [BLOCKS, "dask-image/dask-image/threads"]),
        ("a lost drop_axis", ("open", "read"), ["dask-image/dask-image/threads"]),
        ("a synchronous scheduler", (*COMPUTES, "read"), [BLOCKS, "dask-image/dask-image/threads"]),
        ("a label step in Python", COMPUTES, [SERIAL, "skimage/skimage/thread-pool", BLOCKS]),
    ],
)
def test_the_cases_that_run_through_what_is_planted(
    kind: str, phases: tuple[str, ...], backends: list[str]
) -> None:
    """Of the default backends these, with more images than there are chunks to fill."""
    backends = [*backends, *(each.replace("array-skimage", "array-pims") for each in backends)]
    expected = set(itertools.product(phases, backends))
    own = phases if kind == "a lost drop_axis" else PHASES
    assert expected == {
        (phase, spec)
        for phase, spec in itertools.product(own, map(str, QUICK_BACKENDS))
        if gates.KINDS[kind].expects(case(phase=phase, backend=spec, n_images=MANY))
    }


# The core that is busy beside a gate.


def has_ended(process: psutil.Process) -> bool:
    """Whether a process ends within half a minute, be it that nobody has asked for its status."""
    until = time.monotonic() + 30
    with contextlib.suppress(psutil.NoSuchProcess):
        while process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
    return True


def test_a_core_is_kept_busy_and_let_go() -> None:
    """The process works inside the block, and is gone after it."""
    with gates.busy_core() as pid:
        process = psutil.Process(pid)
        while process.cpu_times().user < 0.1:
            pass
    assert not psutil.pid_exists(pid)


def test_a_busy_process_that_died_is_an_error() -> None:
    """A gate that had no load beside it does not count as one that had."""
    busy = gates.busy_core()
    process = psutil.Process(busy.__enter__())
    process.kill()
    assert has_ended(process)
    with pytest.raises(ToolError, match="the busy process ended"):
        busy.__exit__(None, None, None)


def test_the_busy_process_does_not_outlive_its_parent() -> None:
    """Also where the command is killed, and can't let go of anything."""
    code = "from evidence.gates import busy_core as busy\nwith busy() as pid: print(pid, flush=True); input()"
    with subprocess.Popen(  # noqa: S603  (this interpreter, on the code above)
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=shared.ROOT,
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


# Gates that measure nothing.


class Gate:
    """In place of the command `segbench gate`: `said` are the status and the cases of those to come.

    `asked` are the words of each that came, and the folder it was run in.
    """

    def __init__(self) -> None:
        self.said: list[tuple[int, tuple[Case, ...]]] = []
        self.asked: list[tuple[list[str], Path]] = []
        self.children: list[int] = []

    def __call__(self, command: list[str], *, cwd: Path, **_: Any) -> Any:
        """Do as `shared.call` does."""
        if "gate" not in command:
            return SimpleNamespace(stdout="f" * 40)
        if not self.said:
            raise KeyboardInterrupt
        words = command[command.index("gate") + 1 :]
        self.asked.append((words, cwd))
        self.children.append(len(psutil.Process().children()))
        status, cases = self.said.pop(0)
        if status > 1:
            raise ToolError("could not measure")
        if cases:
            # As the command line writes it; it may have more to say in time.
            plain = [{**vars(each), "first": each.first and vars(each.first)} for each in cases]
            outcome = {"comparisons": plain, "seconds": 200.0, "notes": ["Restless."], "new": 1}
            Path(words[words.index("--json") + 1]).write_text(json.dumps(outcome))
        return SimpleNamespace(returncode=status, stdout="Traceback: what went wrong")


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Gates of clones that are not made."""
    gate = Gate()
    monkeypatch.setattr(gates, "call", gate)
    monkeypatch.setattr(gates, "make_clone", lambda place, head: place.folder / head.name)
    return gate


def test_identical(gate: Gate, tmp_path: Path) -> None:
    """Gates of the same code are counted, with seeds of their own; `show` says the same again."""
    gate.said = [
        (0, (case(), case("undecided", phase="read", ratio=1.04))),
        (1, (case(), case("regression", phase="read", ratio=1.2))),
        (0, (case("improvement", ratio=0.9), case(phase="read"))),
    ]
    out = tmp_path / "out.json"
    options = ("--gate-options", "--rounds 5", "--out", out)
    done = run("identical", "--runs", "3", "--first-run", "8", *options)
    assert done.exit_code == 0, done.output
    summary, _, each_case = done.stdout.strip().split("\n\n")
    ((*asked, fails, count, regressions, undecided, improved, same, ratio, _, measures),) = cells(
        summary
    )
    assert asked == ["nothing but a comment", "--rounds 5"]
    assert fails == "1 of 3 (33.3%, at most 86.5%)"
    assert [count, regressions, undecided, improved, same] == ["6", "1", "1", "1", "3"]
    assert ratio == "1.000 (0.900 to 1.200)"
    assert measures == "200 (200 to 200) s"
    assert cells(each_case) == [
        [*asked, f"read, 20 images, {SERIAL}", "", "1.040 (1.000 to 1.200)", "1", "1", "", "1", ""],
        [
            *asked,
            f"process, 20 images, {SERIAL}",
            "",
            "1.000 (0.900 to 1.000)",
            "",
            "",
            "1",
            "2",
            "",
        ],
    ]
    for seed, (words, clone) in enumerate(gate.asked, start=8):
        assert clone.name == "nothing but a comment"
        # The user's options come last, so that they are the ones that hold; the command takes them.
        assert words[-2:] == ["--rounds", "5"]
        with cli.main.commands["gate"].make_context("gate", list(words)) as context:
            assert (context.params["base"], context.params["seed"]) == ("HEAD~1", seed)
    kept = json.loads(out.read_text())
    assert kept["commit"] == "f" * 40
    assert [each["status"] for each in kept["trials"]] == [0, 1, 0]
    assert kept["trials"][0]["notes"] == ["Restless."]
    assert run("show", out).stdout == done.stdout


def test_identical_beside_a_busy_core(gate: Gate) -> None:
    """A core is busy while the gate runs, no longer, and the table says so."""
    before = len(psutil.Process().children())
    gate.said = [(0, (case(),))]
    done = run("identical", "--runs", "1", "--busy")
    assert "| nothing but a comment, beside a busy core |" in done.stdout
    assert gate.children == [before + 1]
    assert len(psutil.Process().children()) == before


def test_what_was_counted_outlives_an_interruption(gate: Gate, tmp_path: Path) -> None:
    """Each gate is on disk before the next begins."""
    gate.said = [(0, (case(),))]
    done = run("identical", "--out", tmp_path / "out.json")
    assert done.exit_code == 1
    assert "run 1 (to 30): exit status 0" in done.stderr
    assert len(json.loads((tmp_path / "out.json").read_text())["trials"]) == 1


def test_slower(gate: Gate) -> None:
    """Found is a gate that fails for a case of `process`; other cases are counted apart."""
    gate.said = [
        (1, (case("regression", ratio=1.1), case(phase="pipeline", ratio=1.06))),
        (1, (case("undecided", ratio=1.12), case("regression", phase="pipeline", ratio=1.08))),
        (1, (case("undecided", ratio=1.12), case("regression", phase="read", ratio=1.3))),
    ]
    done = run("slower", "--runs", "3")
    ((head, options, found, *columns, _, _),) = cells(done.stdout.split("\n\n")[0])
    assert (head, options) == ("slower by 10.0%", "")
    assert found == "1 of 3 (33.3%, at least 1.7%)"
    process, pipeline = "1.120 (1.100 to 1.120)", "1.070 (1.060 to 1.080)"
    assert columns == [process, "1 of 3", pipeline, "1 of 2", "1 of 1"]


def test_planted(gate: Gate) -> None:
    """One gate a kind; what is named rightly and wrongly is told apart."""
    blocks = case("regression", backend=BLOCKS, ratio=1.5)
    failed = case("failed", phase="open", backend=BLOCKS, ratio=None, cause="head: no luck")
    gate.said = [
        (1, (case(), blocks, case(phase="read", backend=BLOCKS), failed)),
        (0, (case(ratio=1.01), case(backend=BLOCKS, ratio=1.03))),
        (1, (case("regression", phase="open"), case(backend=BLOCKS, n_images=MANY))),
    ]
    kinds = ["a synchronous scheduler", "a label step in Python", "one chunk an image"]
    done = run("planted", "--kinds", ", ".join(kinds), "--gate-options", "--rounds 5")
    assert done.exit_code == 0, done.output
    summary, each_case = done.stdout.strip().split("\n\n")
    small = "--shape 64x80 --rounds 5"
    assert [row[:6] for row in cells(summary)] == [
        [kinds[0], "--rounds 5", "yes", "1 of 2", "1.250 (1.000 to 1.500)", "1 of 2"],
        [kinds[1], "--rounds 5", "no", "0 of 2", "1.020 (1.010 to 1.030)", "0 of 0"],
        [kinds[2], small, "no", "0 of 1", "1.000", "1 of 1"],
    ]
    assert gate.asked[2][0][-4:] == small.split()
    row = [kinds[0], "--rounds 5", f"open, 20 images, {BLOCKS}", "", "–"]
    assert [*row, "", "1", "", "", "head: no luck"] in cells(each_case)


@pytest.mark.parametrize(
    ("status", "cases", "message"),
    [
        (2, (), "could not measure"),
        (1, (), "what went wrong"),
        (1, (case("undecided"),), "exit status 1, and 0 cases"),
        (0, (case("failed"),), "exit status 0, and 1 cases"),
    ],
)
def test_a_gate_that_could_not_measure_is_left_out(
    status: int, cases: tuple[Case, ...], message: str, gate: Gate, tmp_path: Path
) -> None:
    """It is neither a find nor a false alarm; the other runs count, and the status is 1."""
    gate.said = [(status, cases), (0, (case(),))]
    done = run("identical", "--runs", "2", "--out", tmp_path / "out.json")
    assert done.exit_code == 1
    assert message in done.stderr
    assert "0 of 1 (0.0%, at most 95.0%)" in done.stdout
    kept = json.loads((tmp_path / "out.json").read_text())
    assert len(kept["trials"]) == 1
    assert message in kept["failures"][0]


def test_nothing_is_measured_where_a_plant_does_not_fit(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told before the first gate; of all kinds, not of the first alone."""

    def make_clone(_: shared.Workplace, head: gates.Head) -> Path:
        if head.module == "skimage":
            raise ToolError("no attribute 'PROCESSOR'")
        return Path()

    monkeypatch.setattr(gates, "make_clone", make_clone)
    done = run("planted")
    assert (done.exit_code, done.stderr) == (1, "Error: no attribute 'PROCESSOR'\n")
    assert gate.asked == []


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
    done = run(*words)
    assert done.exit_code == 2
    assert message in done.stderr
    assert gate.asked == []


@pytest.mark.parametrize(
    "table", [gates.runs_table, gates.found_table, gates.kinds_table, gates.cases_table]
)
def test_a_table_of_no_runs(table: Callable[[list[Trial]], str]) -> None:
    """Where every gate failed to measure there is a heading, and no row."""
    assert cells(table([])) == []
