"""The engine: isolation, blocks, agreement, limits."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from segbench.backends.registry import BASELINE, BackendSpec, parse_spec
from segbench.errors import InputError
from segbench.images import datasets
from segbench.measure import asking, engine, pagecache, protocol, worker
from segbench.measure import workers as process
from segbench.measure.cases import PHASES
from segbench.measure.settings import Settings
from segbench.measure.stopping import Limits
from segbench.pipeline import PipelineParams
from segbench.results.records import FILE_NAME, Sample, read_profiles, read_run
from tests import plugins

if TYPE_CHECKING:
    from pathlib import Path

    from segbench.images.datasets import Dataset

TWO_BLOCKS = Limits(blocks=2)
TWELVE = Limits(blocks=12, precision=1e-9)
THREADS = BackendSpec("skimage", "skimage", "thread-pool")


class Notes:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.planned = 0
        self.done = 0
        self.notes: list[str] = []

    def plan(self, steps: int) -> None:
        """Keep it."""
        self.planned += steps

    def step(self, text: str, *, steps: int = 1) -> None:  # noqa: ARG002  (the interface's)
        """Keep it."""
        self.done += steps

    def note(self, text: str) -> None:
        """Keep it."""
        self.notes.append(text)


@pytest.fixture(scope="module")
def images() -> Dataset:
    """Three small images."""
    return datasets.smear(3, shape=(48, 64))


TOLD: dict[str, Any] = {"watcher": Notes(), "command": "a test", "machine": {}}


def ask(*specs: BackendSpec, **settings: object) -> Settings:
    """Settings of a short run."""
    default = {"sizes": (1, 3), "limits": TWO_BLOCKS, "workers": 2, "backends": (BASELINE, *specs)}
    return Settings(**{**default, **settings})  # type: ignore[arg-type]  # each of its own type


PROFILE = engine._Engine.profile


@pytest.fixture(autouse=True)
def _no_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most tests are not about profiles, which take seconds."""
    monkeypatch.setattr(engine._Engine, "profile", lambda *_: None)


def measure(images: Dataset, out: Path, *specs: BackendSpec, **settings: object) -> list[Sample]:
    """Run the baseline and some backends on 1 and 3 images in 2 blocks; the samples written."""
    asked = ask(*specs, **settings)
    engine.run(images, asked, out=out, **TOLD)
    return read_run(out).samples


def misbehaving(name: str) -> BackendSpec:
    """A backend with one of the misbehaving processors."""
    return parse_spec(f"skimage/{name}/serial")


def of(samples: list[Sample], backend: BackendSpec) -> list[Sample]:
    """The samples of a backend."""
    return [
        s
        for s in samples
        if (s.reader, s.processor, s.scheduler)
        == (backend.reader, backend.processor, backend.scheduler)
    ]


def test_every_case_is_sampled_once_a_block(images: Dataset, tmp_path: Path) -> None:
    """Each phase, backend and size has one ok sample in each block, and the file holds them all."""
    backends = (THREADS, parse_spec("dask-image/dask-blocks/processes"))
    samples = measure(images, tmp_path, *backends)
    assert {s.status for s in samples} == {"ok"}
    cases = {(s.phase, s.n_images, s.block, s.reader, s.scheduler) for s in samples}
    assert len(cases) == len(samples) == len(PHASES) * 3 * 2 * 2
    header = read_run(tmp_path).header
    assert header.dataset["truth"]["images"] == 3


def test_what_was_measured_before_a_failure_stays(
    images: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend that fails at a larger size keeps its samples of smaller ones, and their status."""
    check = engine._Engine._check

    def failing(self: engine._Engine, arm: engine._Arm, pattern: str, size: int) -> None:
        if arm.backend == THREADS and size == 3:
            self._fail(arm, protocol.Failed("error", "planted"), size=size)
        else:
            check(self, arm, pattern, size)

    monkeypatch.setattr(engine._Engine, "_check", failing)
    samples = of(measure(images, tmp_path, THREADS, phases=("process",)), THREADS)
    assert {sample.status for sample in samples if sample.n_images == 1} == {"ok"}
    assert {sample.status for sample in samples if sample.n_images == 3} == {"error"}


def test_objects_are_those_of_the_reference(images: Dataset, tmp_path: Path) -> None:
    """Process and pipeline say how many objects they found; open and read find none."""
    samples = measure(images, tmp_path, THREADS)
    header = read_run(tmp_path).header
    found = {s.objects for s in samples if s.n_images == 3 and s.phase in ("process", "pipeline")}
    assert found == {header.dataset["objects"]}
    assert {s.objects for s in samples if s.phase in ("open", "read")} == {None}


def test_the_order_is_random_and_recorded(images: Dataset, tmp_path: Path) -> None:
    """The same seed gives the same order of the arms; within a run the order changes."""

    def order(folder: str, seed: int) -> list[str]:
        samples = measure(
            images,
            tmp_path / folder,
            THREADS,
            phases=("open",),
            limits=Limits(blocks=12),
            sizes=(1,),
            seed=seed,
        )
        return [s.scheduler for s in samples]

    first = order("a", 1)
    assert first == order("b", 1)
    assert first[::2] != [first[0]] * 12
    assert read_run(tmp_path / "a").header.settings["seed"] == 1


def test_each_arm_has_a_process_of_its_own(images: Dataset, tmp_path: Path) -> None:
    """No two backends share an interpreter, so no two readers share graph keys."""
    backends = tuple(
        parse_spec(f"{reader}/dask-blocks/threads")
        for reader in ("dask-array-pims", "dask-array-skimage")
    )
    asked = ask(*backends, sizes=(1,))
    running = engine._Engine(images, asked, str(tmp_path), Notes())
    try:
        running.start(1)
        assert len({arm.worker._process.pid for arm in running.arms}) == 3
    finally:
        running.stop()


def test_no_process_is_left(images: Dataset, tmp_path: Path) -> None:
    """After a run all workers and the processes of their pools have ended."""
    # Other tests may have started what Python keeps, such as its resource tracker.
    before = set(psutil.Process().children(recursive=True))
    measure(images, tmp_path, parse_spec("skimage/skimage/process-pool"), sizes=(1,))
    assert set(psutil.Process().children(recursive=True)) <= before


def test_native_pools_are_pinned_unless_asked(
    images: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BLAS, OpenMP and OpenCV have one thread, the header says so, and --native-threads leaves them."""
    opencv = parse_spec("skimage/opencv/serial")
    # What a user's shell may hold.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
        monkeypatch.setenv(name, "2")
    for native, threads in ((False, "1"), (True, "2")):
        out = tmp_path / threads
        measure(images, out, opencv, sizes=(1,), phases=("open",), native_threads=native)
        pools = read_run(out).header.settings["thread_pools"]["skimage/opencv/serial"]
        assert any(pool.startswith("opencv") for pool in pools)
        assert {pool.split()[-1] for pool in pools} == {threads}


def test_wrong_results_are_never_timed(
    images: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend that finds other cells is wrong-result in every phase, with the first image."""
    plugins.install(tmp_path / "plugins", monkeypatch)
    wrong = misbehaving("wrong")
    rows = of(measure(images, tmp_path / "out", wrong), wrong)
    assert {row.status for row in rows} == {"wrong-result"}
    assert {row.seconds for row in rows} == {None}
    assert len(rows) == len(PHASES) * 2
    assert all("image 0" in row.cause for row in rows)


def test_a_result_that_changes_later_is_found(
    images: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each timed call's number of objects is compared too; no garbage is collected inside it."""
    plugins.install(tmp_path / "plugins", monkeypatch)
    drifting = misbehaving("drifting")
    rows = of(measure(images, tmp_path / "out", drifting, sizes=(1,)), drifting)
    wrong = [row for row in rows if row.status == "wrong-result"]
    assert {row.phase for row in wrong} == set(PHASES)
    assert all("objects, other than when compared" in row.cause for row in wrong)
    # Only the phase that was timed has a block.
    assert [(row.phase, row.block) for row in wrong if row.block] == [("process", 1)]


FAILURES = [
    ("raising", "error", "RuntimeError: no luck"),
    ("sleeping", "timeout", "longer than"),
    ("dying", "crashed", "exit status 7"),
    ("faulting", "crashed", "killed by signal 11"),
    ("killed", "crashed", "killed by signal 9"),
    ("hoarding", "memory", "GiB, more than the limit of 0.5 GiB"),
    ("hoarding_in_a_child", "memory", "GiB, more than the limit of 0.5 GiB"),
    ("out_of_memory", "memory", "MemoryError"),
]


def limits_for(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Limits that let a healthy worker start on a busy machine, and end a failing one soon."""
    if not name.startswith("sleeping"):
        return {"memory_limit": 0.5}
    monkeypatch.setattr(asking, "START_SECONDS", 12.0)
    monkeypatch.setattr(asking, "COMPARE_SECONDS", 1.0)
    return {"time_limit": 3.0}


@pytest.mark.parametrize(
    ("name", "status", "cause"),
    [*FAILURES, ("absent", "unavailable", 'pip install "misbehaving[all]"')],
)
def test_a_backend_that_fails_at_its_start_does_not_stop_the_others(
    name: str,
    status: str,
    cause: str,
    images: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A failure becomes rows with its status and cause, and the other arms go on."""
    plugins.install(tmp_path / "plugins", monkeypatch)
    failing = misbehaving(name)
    limits = limits_for(name, monkeypatch)
    samples = measure(images, tmp_path / "out", failing, phases=("open", "pipeline"), **limits)
    rows = of(samples, failing)
    assert {row.status for row in rows} == {status}
    assert cause in rows[0].cause
    assert {row.n_images for row in rows} == {1, 3}
    assert {row.status for row in of(samples, BASELINE)} == {"ok"}
    assert len(of(samples, BASELINE)) == 2 * 2 * 2


@pytest.mark.parametrize("when", ["later", "when_timed"])
@pytest.mark.parametrize(("name", "status", "cause"), FAILURES)
def test_a_backend_that_fails_later_is_out_from_there(
    name: str,
    when: str,
    status: str,
    cause: str,
    images: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When it is compared, or in a timed call: rows of that size say why, larger ones not tried."""
    plugins.install(tmp_path / "plugins", monkeypatch)
    failing = misbehaving(f"{name}_{when}")
    limits = limits_for(name, monkeypatch)
    samples = measure(images, tmp_path / "out", failing, phases=("open", "pipeline"), **limits)
    failed = [row for row in of(samples, failing) if row.status != "ok"]
    assert {(row.n_images, row.phase) for row in failed} == {
        (size, phase) for size in (1, 3) for phase in ("open", "pipeline")
    }
    assert {row.status for row in failed} == {status}
    assert all(cause in row.cause for row in failed)
    assert all(row.cause.startswith("not tried: ") == (row.n_images == 3) for row in failed)
    assert {row.status for row in of(samples, BASELINE)} == {"ok"}
    assert len(of(samples, BASELINE)) == 2 * 2 * 2


def test_memory_held_for_a_moment_counts(
    images: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that is over before it is looked at from outside is judged by its peak."""
    plugins.install(tmp_path / "plugins", monkeypatch)
    hoarding = misbehaving("hoarding_for_a_moment_later")
    samples = measure(images, tmp_path / "out", hoarding, sizes=(1,), memory_limit=0.5)
    assert {row.status for row in of(samples, hoarding)} == {"memory"}


def test_a_profile_that_fails_says_so(
    images: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend that fails in its profile has a line with its status, and the others go on."""
    monkeypatch.setattr(engine._Engine, "profile", PROFILE)
    # The check of the pipeline, warming up, and the samples of a short run are fewer calls.
    plugins.install(tmp_path / "plugins", monkeypatch)
    asked = ask(misbehaving("raising_when_timed"), sizes=(1,), phases=("open",))
    engine.run(images, asked, out=tmp_path / "out", **TOLD)
    found = {profile.processor: profile for profile in read_profiles(tmp_path / "out")}
    assert found["skimage"].status == "ok"
    assert found["raising_when_timed"].status == "error"
    assert "no luck" in found["raising_when_timed"].cause


def test_larger_sizes_of_a_failed_arm_are_not_tried(
    images: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of larger sizes say that they were not tried."""
    plugins.install(tmp_path / "plugins", monkeypatch)
    wrong = misbehaving("wrong")
    rows = of(measure(images, tmp_path / "out", wrong), wrong)
    assert all(row.cause.startswith("not tried: ") == (row.n_images == 3) for row in rows)


def test_what_a_library_prints_does_not_disturb(
    images: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend may print: the replies go their own way."""
    plugins.install(tmp_path / "plugins", monkeypatch)
    printing = misbehaving("printing")
    rows = of(measure(images, tmp_path / "out", printing, sizes=(1,)), printing)
    assert {row.status for row in rows} == {"ok"}


def test_an_impossible_backend_is_refused_before_anything_is_written(
    images: Dataset, tmp_path: Path
) -> None:
    """A combination that makes no sense ends the run with its reason."""
    with pytest.raises(InputError, match="which serial can't run"):
        measure(images, tmp_path / "out", parse_spec("dask-image/skimage/serial"))
    assert not (tmp_path / "out").exists()


def test_sizes_without_images_are_left_out(images: Dataset, tmp_path: Path) -> None:
    """A size that the dataset has no images for is left out, and the header says so."""
    samples = measure(images, tmp_path, sizes=(1, 3, 20), phases=("open",))
    assert {s.n_images for s in samples} == {1, 3}
    assert read_run(tmp_path).header.settings["sizes_left_out"] == [20]
    with pytest.raises(InputError, match="holds 3 images"):
        measure(images, tmp_path / "none", sizes=(20,))


def test_short_calls_are_repeated_within_a_sample(images: Dataset, tmp_path: Path) -> None:
    """A call far below 5 ms is made many times in one sample."""
    samples = measure(images, tmp_path, sizes=(1,), phases=("open",))
    assert all(s.calls > 1 for s in samples)
    # One that a machine in a hurry made shorter does not make the rule wrong.
    lasted = sorted(s.calls * s.seconds for s in samples if s.seconds)
    assert lasted[len(lasted) // 2] >= asking.SAMPLE_SECONDS


def test_each_arm_is_profiled_once(
    images: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each arm that did not fail has one profile, at the end of the progress bar."""
    monkeypatch.setattr(engine._Engine, "profile", PROFILE)
    plugins.install(tmp_path / "plugins", monkeypatch)
    watcher = Notes()
    asked = ask(THREADS, misbehaving("wrong"), sizes=(1,), phases=("open",))
    engine.run(images, asked, out=tmp_path / "out", **{**TOLD, "watcher": watcher})
    found = read_profiles(tmp_path / "out")
    assert [profile.scheduler for profile in found] == ["serial", "thread-pool"]
    assert {profile.status for profile in found} == {"ok"}
    assert watcher.done == watcher.planned
    # A run that is gone on with does not profile them again.
    earlier = read_run(tmp_path / "out")
    engine.run(images, asked, out=tmp_path / "out", **TOLD, earlier=earlier)
    assert read_profiles(tmp_path / "out") == found


def test_a_run_goes_on_where_it_was_cut(images: Dataset, tmp_path: Path) -> None:
    """Wherever a run is cut, going on measures what is missing, and keeps what there is."""
    asked = ask(THREADS)
    engine.run(images, asked, out=tmp_path, **TOLD)
    path = tmp_path / FILE_NAME
    whole = path.read_bytes().splitlines(keepends=True)
    # In the middle of a block, at the end of a size, in the middle of a line, after the header.
    for kept in (b"".join(whole[:8]), b"".join(whole[:17]), b"".join(whole[:20])[:-30], whole[0]):
        path.write_bytes(kept)
        earlier = read_run(tmp_path)
        engine.run(images, asked, out=tmp_path, **TOLD, earlier=earlier)
        samples = read_run(tmp_path).samples
        assert samples[: len(earlier.samples)] == earlier.samples
        taken = [(s.phase, s.n_images, s.block, s.scheduler) for s in samples]
        assert len(set(taken)) == len(taken)
        # Each arm has its blocks; of the one that was cut some have one more.
        counts = Counter((s.phase, s.n_images, s.scheduler) for s in samples)
        assert len(counts) == len(PHASES) * 2 * 2
        assert set(counts.values()) <= {2, 3}
        assert sum(count == 3 for count in counts.values()) <= 1
        times = [s.at for s in samples if s.at]
        assert times == sorted(times)


def test_an_arm_that_failed_stays_out_when_a_run_goes_on(
    images: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows are completed, not repeated, and those of the sizes before keep their status."""
    plugins.install(tmp_path / "plugins", monkeypatch)
    asked = ask(misbehaving("drifting"))
    out = tmp_path / "out"
    engine.run(images, asked, out=out, **TOLD)
    before = of(read_run(out).samples, misbehaving("drifting"))
    failed = [s for s in before if s.status == "wrong-result"]
    assert len({(s.phase, s.n_images) for s in failed}) == len(failed) >= len(PHASES)
    path = out / FILE_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if b"wrong-result" in line)
    path.write_bytes(b"".join(lines[: first + 1]))
    engine.run(images, asked, out=out, **TOLD, earlier=read_run(out))
    after = of(read_run(out).samples, misbehaving("drifting"))
    assert {(s.phase, s.n_images) for s in after if s.status != "ok"} == {
        (s.phase, s.n_images) for s in failed
    }
    assert len([s for s in after if s.status != "ok"]) == len(failed)


def test_cold_files_are_cold(images: Dataset, tmp_path: Path) -> None:
    """With a cold cache each sample is one call, and none of the files' pages were in memory."""
    try:
        pagecache.check(images.files[0])
    except InputError as error:
        pytest.skip(str(error))
    samples = measure(images, tmp_path, sizes=(3,), phases=("open", "read"), cache="cold")
    assert {s.calls for s in samples} == {1}
    # Somebody else may look at a file at any moment.
    assert min(s.cached for s in samples if s.cached is not None) == 0.0
    assert {s.cached for s in measure(images, tmp_path / "warm", sizes=(1,))} == {None}


def test_memory_is_that_above_an_idle_worker(
    images: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a call allocates is in its peak, and not in what the idle worker holds."""
    plugins.install(tmp_path / "plugins", monkeypatch)
    large = misbehaving("large")
    samples = measure(images, tmp_path / "out", large, sizes=(1,), phases=("open", "pipeline"))
    for sample in samples:
        assert sample.peak_mib is not None
        assert sample.idle_mib is not None
        allocated = 200 if (sample.phase, sample.processor) == ("pipeline", "large") else 0
        assert abs(sample.peak_mib - sample.idle_mib - allocated) < 50


def test_the_first_call_is_kept(
    images: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a case's first call takes is in its samples' `first_seconds`, not in their seconds."""
    plugins.install(tmp_path / "plugins", monkeypatch)
    slow = misbehaving("slow_at_first")
    samples = measure(images, tmp_path / "out", slow, sizes=(1,), phases=("pipeline",))
    for sample in of(samples, slow):
        assert sample.first_seconds is not None
        assert sample.seconds is not None
        # It sleeps for a second in the call that is compared, and never after that.
        assert sample.first_seconds > 1 > sample.seconds


def _sleeps(process: psutil.Process) -> bool:
    try:
        return "sleep(600)" in " ".join(process.cmdline())
    except psutil.Error:
        return False


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_killed_engine_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `kill -9` of the engine its workers end, even one that hangs, with their children."""
    plugins.install(tmp_path / "plugins", monkeypatch)
    command = [sys.executable, "-m", "segbench", "run", "--sizes", "1", "--phases", "pipeline"]
    backends = "skimage/leaving_a_child/serial,skimage/skimage/process-pool"
    with subprocess.Popen(  # noqa: S603  (this interpreter, on this program)
        [*command, "--backends", backends, "--out", str(tmp_path / "out"), "--shape", "48x64"],
        stderr=subprocess.DEVNULL,
    ) as running:
        own = psutil.Process(running.pid)
        family: list[psutil.Process] = []
        # Four workers, a pool of two at least, and the child of the one that hangs.
        while not any(_sleeps(process) for process in family) or len(family) < 7:
            assert running.poll() is None
            time.sleep(0.05)
            family = own.children(recursive=True)
        running.kill()
    assert psutil.wait_procs(family, timeout=20)[1] == []


def test_a_killed_worker_leaves_no_process(images: Dataset) -> None:
    """Where a worker is killed from outside, its pool ends too, and the cause is the signal."""
    worker = process.WorkerProcess(native_threads=False, memory_limit=100)
    image = datasets.lay_out(images, 1)
    worker.send(protocol.Start("skimage/skimage/process-pool", 2, image, {}))
    assert isinstance(worker.receive(limit=60), protocol.Started)
    running = psutil.Process(worker._process.pid)
    family = [running, *running.children(recursive=True)]
    assert len(family) > 2
    running.kill()
    reply = worker.ask(protocol.Check("open", image, 1, "", 0), limit=60)
    assert reply == protocol.Failed("crashed", "killed by signal 9")
    assert psutil.wait_procs(family, timeout=10)[1] == []


def test_the_reference_must_start(
    images: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the reference itself can't start, the run ends with its cause."""
    plugins.install(tmp_path / "plugins", monkeypatch)
    monkeypatch.setattr(engine, "BASELINE", misbehaving("raising"))
    with pytest.raises(InputError, match="no luck"):
        measure(images, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_arms_on_one_cpu_share_it_in_a_block(
    images: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What works in one thread is on the same CPU in a block, on the next in the next.

    Such are some schedulers, and the phase `open` of all.
    """
    asked_for: list[tuple[str, str, int | None]] = []
    ask_worker = process.WorkerProcess.ask

    def watch(
        self: process.WorkerProcess, request: protocol.Request, *, limit: float | None
    ) -> protocol.Reply:
        if isinstance(request, protocol.Time):
            asked_for.append((workers[id(self)], request.phase, request.cpu))
        return ask_worker(self, request, limit=limit)

    workers: dict[int, str] = {}
    asked = ask(parse_spec("dask-image/dask-blocks/synchronous"), THREADS, sizes=(1,))
    asked = dataclasses.replace(asked, phases=("open", "process"))
    monkeypatch.setattr(process.WorkerProcess, "ask", watch)
    launch = engine._Engine._launch

    def remember(self: engine._Engine, backend: BackendSpec) -> process.WorkerProcess:
        worker = launch(self, backend)
        workers[id(worker)] = backend.scheduler
        return worker

    monkeypatch.setattr(engine._Engine, "_launch", remember)
    engine.run(images, asked, out=tmp_path, **TOLD)
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("this platform can't bind a process to a CPU")
    cpus = sorted(os.sched_getaffinity(0))
    expected = [cpus[block % len(cpus)] for block in (1, 2)]

    def cpus_of(scheduler: str, phase: str) -> list[int | None]:
        return [cpu for *case, cpu in asked_for if case == [scheduler, phase]]

    for scheduler in ("serial", "synchronous"):
        assert cpus_of(scheduler, "process") == expected
        assert cpus_of(scheduler, "open") == expected
    assert cpus_of("thread-pool", "process") == [None, None]
    assert cpus_of("thread-pool", "open") == expected


def test_a_launcher_in_between_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows the engine need not be the parent: a worker ends when the engine is gone."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    assert worker._has_ended(ended.pid)
    assert not worker._has_ended(os.getppid())
    monkeypatch.setattr(sys, "platform", "win32")
    assert worker._has_ended(ended.pid)
    assert not worker._has_ended(os.getpid())


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this platform")
def test_a_cpu_is_for_one_sample() -> None:
    """A sample runs on the CPU that it was given; what comes after may run on all again."""
    before = os.sched_getaffinity(0)
    seen = []
    served = worker._Worker(None, PipelineParams(), 0.0)  # type: ignore[arg-type]  # no backend is called
    served.ready["open"] = lambda: seen.append(os.sched_getaffinity(0))
    served.paces["open"] = 0.0, 1
    for cpu in (min(before), None, max(before)):
        served.time(protocol.Time("open", 1, warm=False, cpu=cpu))
        assert os.sched_getaffinity(0) == before
    assert seen == [{min(before)}, before, {max(before)}]
