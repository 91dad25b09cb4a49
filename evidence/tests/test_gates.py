"""What is planted into heads, what gates say of them, and how that is counted."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import importlib.util
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import msgspec
import numpy as np
import psutil
import pytest
import skimage.io
import skimage.measure
import skimage.util

from evidence import drawn, gates, pairs, plants, shared
from evidence.shared import Case, Estimate, ToolError, Trial
from evidence.tests.helpers import cells, run
from segbench import cli
from segbench.backends import dask_blocks, phases, readers, schedulers, stacks
from segbench.backends import skimage as baseline
from segbench.backends.interface import Backend
from segbench.backends.registry import BackendSpec
from segbench.gate.calibrate import SIDES
from segbench.measure.settings import PHASES, QUICK_BACKENDS, GateSettings, available_cpus
from segbench.pipeline import PipelineParams
from segbench.results.records import GATE_NAME, Header, Sample, Writer, sample_of
from segbench.results.records import Case as RecordedCase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Planted = Callable[[str], ModuleType]

SERIAL = "skimage/skimage/serial"
DELAYED = "skimage/skimage/threads"
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
    grown: tuple[str, ...] = (),
    cause: str = "",
) -> Case:
    """What a gate says of a case."""
    cpu = ratio and Estimate(ratio=ratio, low=ratio, high=ratio, rounds=8)
    wall = cpu and dataclasses.replace(cpu, ratio=cpu.ratio + 1)
    return Case(
        phase=phase,
        backend=backend,
        n_images=n_images,
        verdict=verdict,
        grown=grown,
        cpu=cpu or None,
        wall=wall or None,
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


def test_one_chunk_an_image(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that works on several images at once gets one in each chunk."""
    chunks = []
    map_to_cells = stacks.map_to_cells

    def noted(images: da.Array, function: Any) -> da.Array:
        chunks.append(images.chunks[0])
        return map_to_cells(images, function)

    monkeypatch.setattr(stacks, "map_to_cells", noted)
    processor = dask_blocks.PROCESSOR
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
@pytest.mark.parametrize("function", ["read_images", "process_images", "run_pipeline"])
def test_slower_by_a_share(function: str, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """All take the share longer, once, also where the pipeline goes through the others."""
    monkeypatch.setattr(ThreadPoolExecutor, "submit", ThreadPoolExecutor.submit)
    clock = itertools.count()
    monkeypatch.setattr(plants, "clock", lambda: next(clock))
    # Looking at the clock takes a tick, and so does each piece of work.
    module = SimpleNamespace()
    module.read_images = lambda: [next(clock) for _ in range(10_000)]
    module.process_images = lambda: [*module.read_images()]
    module.run_pipeline = lambda: [*module.process_images()]
    head = gates.slower_by(share)
    assert head.plant is not None
    head.plant(module, **head.settings)
    assert getattr(module, function)() == list(range(1, 10_001))
    assert next(clock) - 10_000 == pytest.approx(10_000 * share, abs=5)


def test_slower_where_work_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread of a pool works on after its task, and the one that waits for what it did itself."""
    monkeypatch.setattr(ThreadPoolExecutor, "submit", ThreadPoolExecutor.submit)
    clocks: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)

    def tick() -> int:
        return next(clocks[threading.current_thread().name])

    monkeypatch.setattr(plants, "clock", tick)

    def work(ticks: int) -> int:
        return sum(tick() >= 0 for _ in range(ticks))

    with ThreadPoolExecutor(1, thread_name_prefix="pool") as pool:
        module = SimpleNamespace(read_images=list, run_pipeline=list)
        module.process_images = lambda: (work(1000), pool.submit(work, ticks=5000).result())
        head = gates.slower_by(0.1)
        assert head.plant is not None
        head.plant(module, **head.settings)
        # Outside the phases nothing takes longer.
        assert pool.submit(work, 2000).result() == next(clocks["pool_0"]) == 2000
        assert module.process_images() == (1000, 5000)
    assert next(clocks[threading.current_thread().name]) == pytest.approx(1100, abs=5)
    assert next(clocks["pool_0"]) == pytest.approx(2000 + 5500, abs=5)


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
        "from segbench.backends import dask_image, dask_image_area\n"
        "for module in (dask_image, dask_image_area):\n"
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
        ("a lost drop_axis", COMPUTES, ["dask-image/dask-image/threads"]),
        ("a lost drop_axis", ("open", "read"), ["dask-image/dask-image/threads"]),
        (
            "a synchronous scheduler",
            (*COMPUTES, "read"),
            [DELAYED, BLOCKS, "dask-image/dask-image/threads"],
        ),
        (
            "a label step in Python",
            COMPUTES,
            [SERIAL, "skimage/skimage/thread-pool", DELAYED, BLOCKS],
        ),
    ],
)
def test_the_cases_that_run_through_what_is_planted(
    kind: str, phases: tuple[str, ...], backends: list[str]
) -> None:
    """Of the default backends these, with more images than there are chunks to fill."""
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


def rounds(
    ratio: float = 1.0,
    *,
    numbers: range = range(1, 3),
    sides: tuple[str, str] = ("base", "head"),
    phases: tuple[str, ...] = ("read",),
    scatter: float = 0.0,
) -> list[Sample]:
    """Samples of a gate: in each round two blocks of each case, whose ratios scatter."""
    rng = np.random.default_rng(4)
    times = {side: (1.0, 0.5) if side == sides[0] else (ratio, ratio / 2) for side in sides}
    return [
        sample_of(
            RecordedCase(BackendSpec("skimage", "skimage", "serial"), 20, phase),
            side=side,
            round=number,
            block=block,
            seconds=wall,
            cpu_seconds=cpu * rng.lognormal(0, scatter),
            peak_mib=100.0,
            status="ok",
            calls=1,
        )
        for number, phase, block in itertools.product(numbers, phases, (1, 2))
        for side, (wall, cpu) in times.items()
    ]


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
        with Writer.create(
            Path(words[words.index("--out") + 1]) / GATE_NAME, Header(started="")
        ) as to:
            for sample in rounds(ratio=1.5):
                to.append(sample)
        if cases:
            # As the command line writes it; it may have more to say in time.
            plain = msgspec.to_builtins(cases)
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
    summary, phases, _, each_case = done.stdout.strip().split("\n\n")
    (
        (
            *asked,
            fails,
            count,
            regressions,
            suspected,
            undecided,
            improved,
            same,
            left,
            _,
            measures,
        ),
    ) = cells(summary)
    assert asked == ["nothing but a comment", "--rounds 5"]
    assert fails == "1 of 3 (33.3%, at most 86.5%)"
    assert [count, regressions, suspected, undecided, improved, same] == ["6", *"10113"]
    assert left == "1 of 6 (16.7%)"
    assert measures == "200 (200 to 200) s"
    read, process = (row[2:] for row in cells(phases))
    assert read[:2] == ["`read`", "1 of 3 (33.3%, at least 1.7%)"]
    assert read[2:7] == [*"10101"]
    ratios = ["1.040 (1.000 to 1.200)", "2.040 (2.000 to 2.200)", "8 (8 to 8)"]
    assert read[7:] == ["1 of 3 (33.3%)", *ratios]
    assert process[0] == "`process`"
    assert cells(each_case) == [
        [*asked, f"{phase}, 20 images, {SERIAL}", "", ratio, *said, "", ""]
        for phase, ratio, said in (
            ("read", "1.040 (1.000 to 1.200)", ["1", "", "1", "", "1"]),
            ("process", "1.000 (0.900 to 1.000)", ["", "", "", "1", "2"]),
        )
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
    found = pairs.read(tmp_path / "out.pairs.jsonl.gz")
    assert [(each.run, each.round) for each in found] == [
        (run, n) for run in (8, 9, 10) for n in (1, 2)
    ]
    assert {each.head for each in found} == {"nothing but a comment"}
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
    assert "run 1 (to 20): exit status 0" in done.stderr
    assert len(json.loads((tmp_path / "out.json").read_text())["trials"]) == 1


def test_slower(gate: Gate) -> None:
    """Found is a gate that fails for a case that was made slower; other cases are counted apart."""
    gate.said = [
        (1, (case("regression", ratio=1.1), case(phase="pipeline", ratio=1.06))),
        (1, (case("suspected", ratio=1.12), case("regression", phase="read", ratio=1.08))),
        (1, (case("undecided", ratio=1.12), case("regression", phase="open", ratio=1.3))),
    ]
    done = run("slower", "--runs", "3")
    found, phases, *_ = done.stdout.split("\n\n")
    ((head, options, *columns, _, _),) = cells(found)
    assert (head, options) == ("slower by 10.0%", "")
    assert columns == ["2 of 3 (66.7%, at least 13.5%)", "2 of 5 (40.0%, at least 7.6%)", "1 of 1"]
    assert [row[2:4] for row in cells(phases)] == [
        ["`open`", "1 of 1 (100.0%, at least 5.0%)"],
        ["`read`", "1 of 1 (100.0%, at least 5.0%)"],
        ["`process`", "1 of 3 (33.3%, at least 1.7%)"],
        ["`pipeline`", "0 of 1 (0.0%, at least 0.0%)"],
    ]


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
    assert [*row, "", "1", "", "", "", "", "head: no luck"] in cells(each_case)


def test_what_else_has_grown(gate: Gate) -> None:
    """A regression of something else than CPU time says of what."""
    gate.said = [(1, (case("regression", grown=("wall time", "tasks")),))]
    done = run("identical", "--runs", "1")
    (row,) = cells(done.stdout.strip().split("\n\n")[-1])
    assert row[-2:] == ["wall time, tasks", ""]


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
    "table",
    [
        gates.runs_table,
        gates.phases_table,
        gates.found_table,
        gates.kinds_table,
        gates.cases_table,
    ],
)
def test_a_table_of_no_runs(table: Callable[[list[Trial]], str]) -> None:
    """Where every gate failed to measure there is a heading, and no row."""
    assert cells(table([])) == []


# Rounds that are kept, and gates that are drawn from them.


def test_rounds_are_kept_as_they_were(tmp_path: Path) -> None:
    """What is written gate by gate is read again, to five digits; a new measurement begins anew."""
    path = pairs.beside(tmp_path / "slower-0.05.json")
    assert path.name == "slower-0.05.pairs.jsonl.gz"
    old, first, second = (
        pairs.rounds_of(rounds(1 / 3), run=number, head="slower") for number in (7, 1, 2)
    )
    pairs.write(path, old, anew=True)
    pairs.write(path, first, anew=True)
    pairs.write(path, second, anew=False)
    found = pairs.read(path)
    assert [(each.run, each.round) for each in found] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert found == first + second
    assert found[0].blocks == ((1.0, 0.5, 0.33333, 0.16667),) * 2
    assert found[0].peak_mib == (100.0, 100.0)
    again = [sample for each in first for sample in each.samples(number=each.round)]
    assert pairs.rounds_of(again, run=1, head="slower") == first


def test_a_block_of_one_side_is_no_pair() -> None:
    """Where a side failed its block is left out, and a round without any."""
    whole, broken = rounds(numbers=range(1, 2)), rounds(numbers=range(2, 3))
    failed = [
        dataclasses.replace(each, seconds=None, cpu_seconds=None, status="timeout")
        if each.side == "head"
        else each
        for each in broken
    ]
    (found,) = pairs.rounds_of([*whole[:2], failed[1], *failed], run=1, head="")
    assert (found.round, len(found.blocks)) == (1, 1)


def test_the_record_of_a_calibration_is_read(tmp_path: Path) -> None:
    """Its first side is the base of each of the others, of which the second is the same code."""
    plain, *others = SIDES
    path = tmp_path / GATE_NAME
    with Writer.create(path, Header(started="")) as writer:
        for share, side in enumerate(others):
            for sample in rounds(1 + share / 100, sides=(plain, side)):
                # The base is there once.
                if share == 0 or sample.side == side:
                    writer.append(sample)
    found = pairs.read(path)
    assert [each.head for each in found[::2]] == [
        pairs.SAME,
        *(f"each call made {side}" for side in others[1:]),
    ]
    assert [each.blocks[0][2] for each in found[::2]] == [1.0, 1.01, 1.02]


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"{}", mtime=0), gzip.compress(b"[1]", mtime=0)[:-4]],
    ids=["empty", "no gzip", "no round", "cut off"],
)
def test_no_rounds_are_refused(content: bytes, tmp_path: Path) -> None:
    """A file that is damaged, empty or something else is told in a line."""
    path = tmp_path / "some.pairs.jsonl.gz"
    path.write_bytes(content)
    done = run("drawn", path)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"Error: {path}: no rounds of gates")
    assert len(done.stderr.splitlines()) == 1


def test_a_gate_is_no_calibration(tmp_path: Path) -> None:
    """The record of a gate does not say what its head was."""
    with Writer.create(tmp_path / GATE_NAME, Header(started="")) as writer:
        for sample in rounds():
            writer.append(sample)
    assert "not the record of a calibration" in run("drawn", tmp_path / GATE_NAME).stderr


def kept(folder: Path, head: str, *, shift: float = 0.0) -> Path:
    """A file of 20 gates of 8 rounds, whose ratios scatter by 1% about 1 and a shift."""
    path = folder / f"{head}.pairs.jsonl.gz"
    for number in range(1, 21):
        phases = ("read", "process")
        samples = rounds(1 + shift, numbers=range(1, 9), phases=phases, scatter=0.01)
        # One case alone goes on.
        more = rounds(1 + shift, numbers=range(9, 17), phases=("read",), scatter=0.01)
        found = pairs.rounds_of([*samples, *more], run=number, head=head)
        pairs.write(path, found, anew=number == 1)
    return path


def test_gates_are_drawn(tmp_path: Path) -> None:
    """On the same code none fails, shifted rounds are found, and other heads are taken as they are."""
    files = [kept(tmp_path, pairs.SAME), kept(tmp_path, "slower by 20.0%", shift=0.2)]
    done = run("drawn", *files, "--gates", "300")
    assert done.exit_code == 0, done.output
    replayed, alarms, phases, note, each_case = done.stdout.strip().split("\n\n")
    assert cells(replayed) == [
        [pairs.SAME, "20", "0", "40", "0", "0", "0", "0", "40", "0 of 40 (0.0%)"],
        ["slower by 20.0%", "20", "20", "40", "40", "0", "0", "0", "0", "0 of 40 (0.0%)"],
    ]
    assert cells(alarms) == [[pairs.SAME, "160", "160", "2", "0 of 300 (0.0%, at most 1.0%)"]]
    named = {tuple(row[:3]): row[3] for row in cells(phases)}
    assert named[pairs.SAME, "as measured", "`read`"] == "0.0%"
    assert named[pairs.SAME, "every case 10% slower", "`read`"] == "100.0%"
    assert named["slower by 20.0%", "as measured", "`process`"] == "100.0%"
    assert len(named) == 8
    assert "more rounds" in note
    assert len(cells(each_case)) == 8
    assert run("drawn", *files, "--gates", "300").stdout == done.stdout


def test_sides_change_places(tmp_path: Path) -> None:
    """What favours one side in every round is scatter of the same code, and of another head is found."""
    threshold = GateSettings().threshold
    for head, expected in {pairs.SAME: 0.0, "another": 1.0}.items():
        (pool,) = drawn.pools_of([pairs.read(kept(tmp_path, head, shift=0.04))])
        found = drawn.draw(pool, gates=200, rounds=16, threshold=threshold, seed=1)
        named = [each.named.mean() for each in found if each.shift == drawn.MEASURED]
        # All eight rounds of a first look have the same sign once in 128 draws.
        assert named == pytest.approx([expected] * 2, abs=0.05)


def test_wall_time_and_memory_count_as_in_a_gate() -> None:
    """A head that waits longer, or needs more memory, with the same CPU time is named."""
    for what, more in {"seconds": 1.4, "peak_mib": 1.2}.items():
        samples = [
            dataclasses.replace(each, **{what: getattr(each, what) * more})
            if each.side == "head"
            else each
            for each in rounds(numbers=range(1, 9), scatter=0.01)
        ]
        (pool,) = drawn.pools_of([pairs.rounds_of(samples, run=1, head="another")])
        threshold = GateSettings().threshold
        (found,) = drawn.draw(pool, gates=50, rounds=32, threshold=threshold, seed=1)
        assert found.named.all()
        assert not (found.said == "regression").any()


def test_no_round_with_all_cases_is_refused(tmp_path: Path) -> None:
    """Nothing is drawn where no round has all cases."""
    path = tmp_path / "some.pairs.jsonl.gz"
    found = [
        each
        for number, phase in enumerate(("read", "process"), start=1)
        for each in pairs.rounds_of(rounds(phases=(phase,)), run=number, head=pairs.SAME)
    ]
    pairs.write(path, found, anew=True)
    assert "no round has all of its 2 cases" in run("drawn", path).stderr
