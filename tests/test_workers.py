"""Worker processes: what they do, and every way in which they die."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest

from segbench.backends.registry import BASELINE, BackendSpec
from segbench.images import datasets
from segbench.measure import engine, pagecache, worker, workers
from segbench.measure.protocol import Checked, Failed, Pace, Profiled, Refused, Started, Time, Timed
from segbench.measure.settings import PHASES, RunSettings
from segbench.measure.workers import Arm, Conversation, WorkerProcess, end_of_start, launcher
from segbench.pipeline import PipelineParams
from segbench.results.records import RUN_NAME, Case, read, read_profiles
from tests import plugins
from tests.scripted import PLAIN, Watcher

if TYPE_CHECKING:
    from pathlib import Path

    from segbench.images.datasets import Dataset


# Finds several objects in images as small as these.
PARAMS = PipelineParams(diameter=8, min_area=1)


@pytest.fixture(scope="module")
def images() -> Dataset:
    """Three small images."""
    return datasets.smear(3, shape=(48, 64))


@pytest.fixture(scope="module")
def reference(images: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the reference finds on them."""
    folder = tmp_path_factory.mktemp("reference")
    with talking(images, BASELINE) as (talk, _):
        assert not isinstance(talk.make_reference(str(folder), count=3), Failed)
    return folder


class talking:
    """A worker process for a backend that has answered its start, and ends with the block."""

    def __init__(self, images: Dataset, backend: BackendSpec, **settings: Any) -> None:
        usual = {"workers": 2, "memory_limit": 100.0, "params": PARAMS}
        asked = RunSettings(**{**usual, **settings})
        arm = Arm(backend=backend)
        self.talk = Conversation(arm, launch=launcher(asked), settings=asked, dataset=images)

    def __enter__(self) -> tuple[Conversation, Started | Refused | Failed]:
        return self.talk, self.talk.start()(end_of_start(self.talk.settings))

    def __exit__(self, *_: object) -> None:
        self.talk.worker.stop(grace=5.0)


def misbehaving(name: str) -> BackendSpec:
    """A backend with one of the misbehaving processors."""
    return BackendSpec("skimage", name, "serial")


def case(backend: BackendSpec, phase: str = "pipeline", n_images: int = 1) -> Case:
    """A case of a backend."""
    return Case(backend, n_images, phase)


@pytest.fixture
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugins.install(tmp_path / "plugins", monkeypatch)


WAYS_TO_DIE = [
    ("raising", "error", "RuntimeError: no luck (misbehaving.py, line "),
    ("sleeping", "timeout", "longer than"),
    ("dying", "crashed", "exit status 7"),
    ("faulting", "crashed", "killed by signal 11"),
    ("killed", "crashed", "killed by signal 9"),
    ("writing_everywhere", "crashed", "answered with something that is no reply"),
    ("hoarding", "memory", "GiB, more than the limit of 0.5 GiB"),
    ("hoarding_in_a_child", "memory", "GiB, more than the limit of 0.5 GiB"),
    ("out_of_memory", "memory", "MemoryError"),
]


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize(("name", "status", "cause"), WAYS_TO_DIE)
def test_every_way_of_failing_is_told_from_the_others(
    name: str,
    status: str,
    cause: str,
    images: Dataset,
    reference: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A call that fails when it is compared is answered with its status and cause; none is left."""
    limits: dict[str, float] = {"memory_limit": 0.5}
    if name == "sleeping":
        limits = {"time_limit": 3.0}
        monkeypatch.setattr(workers, "COMPARE_SECONDS", 1.0)
    backend = misbehaving(f"{name}_later")
    with talking(images, backend, **limits) as (talk, started):
        assert isinstance(started, Started)
        family = psutil.Process(talk.worker.pid).children(recursive=True)  # type: ignore[attr-defined]  # a process
        reply = talk.check(case(backend), str(reference))()
        assert isinstance(reply, Failed)
        assert reply.status == status
        assert cause in reply.cause
    assert psutil.wait_procs(family, timeout=10)[1] == []


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize(
    ("name", "status", "cause"),
    [
        ("dying", "crashed", "exit status 7"),
        ("raising", "error", "no luck"),
        ("absent", "unavailable", 'pip install "misbehaving[all]"'),
    ],
)
def test_a_backend_that_fails_at_its_start_says_so(
    name: str, status: str, cause: str, images: Dataset
) -> None:
    """Its start is answered with its status and cause."""
    with talking(images, misbehaving(name)) as (_, started):
        assert isinstance(started, Failed)
        assert started.status == status
        assert cause in started.cause


@pytest.mark.usefixtures("_installed")
def test_wrong_cells_are_found(images: Dataset, reference: Path) -> None:
    """What is compared differs: the answer names the first image."""
    with talking(images, misbehaving("wrong")) as (talk, _):
        reply = talk.check(case(talk.arm.backend), str(reference))()
        assert isinstance(reply, Failed)
        assert reply.status == "wrong-result"
        assert "image 0" in reply.cause


@pytest.mark.usefixtures("_installed")
def test_no_garbage_is_collected_inside_a_timed_call(images: Dataset, reference: Path) -> None:
    """A backend that is wrong only while the collector is off is right when it is compared."""
    with talking(images, misbehaving("drifting")) as (talk, _):
        ready = talk.check(case(talk.arm.backend, "process"), str(reference))()
        assert isinstance(ready, Checked)
        with np.load(reference / "objects.npz") as objects:
            count = len(objects["arr_0"])
        reply = talk.time("process", calls=1, objects=count, cpu=None)
        assert isinstance(reply, Failed)
        assert reply.cause.startswith(f"{count - 1} objects")


@pytest.mark.usefixtures("_installed")
def test_what_a_library_prints_does_not_disturb(images: Dataset, reference: Path) -> None:
    """A backend may print: the answers go their own way."""
    with talking(images, misbehaving("printing")) as (talk, _):
        assert isinstance(talk.check(case(talk.arm.backend), str(reference))(), Checked)


@pytest.mark.usefixtures("_installed")
def test_memory_is_that_of_the_call(images: Dataset, reference: Path) -> None:
    """What a call allocates is in its peak, not in what the idle worker holds nor in `open`."""
    with talking(images, misbehaving("large")) as (talk, _):
        for phase, allocated in (("open", 0), ("pipeline", 200)):
            reply = talk.check(case(talk.arm.backend, phase), str(reference))()
            assert isinstance(reply, Checked)
            assert reply.peak_mib is not None
            assert abs(reply.peak_mib - reply.idle_mib - allocated) < 50


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone counts what a process reads")
def test_bytes_read_are_those_of_the_call(tmp_path: Path) -> None:
    """All files are read in a call that reads, and next to nothing in one that has the pixels."""
    images = datasets.smear(2, shape=(192, 256))
    size = sum(file.stat().st_size for file in images.files)
    read = {}
    with talking(images, BASELINE) as (talk, _):
        assert not isinstance(talk.make_reference(str(tmp_path), count=2), Failed)
        for phase in ("read", "process"):
            ready = talk.check(case(BASELINE, phase, 2), str(tmp_path))()
            read[phase] = (ready.read_bytes or 0) if isinstance(ready, Checked) else -1
    # Reading how much was read, and how much memory is held, counts in both, and is not always the same.
    assert abs(read["read"] - read["process"] - size) < size / 4


@pytest.mark.usefixtures("_installed")
def test_the_first_call_is_told_apart(images: Dataset, reference: Path) -> None:
    """A case's first call, here a second longer than the others, is not in its samples."""
    with talking(images, misbehaving("slow_at_first")) as (talk, _):
        ready = talk.check(case(talk.arm.backend), str(reference))()
        assert isinstance(ready, Checked)
        reply = talk.time("pipeline", calls=1, objects=0, cpu=None)
        seconds = reply.seconds if isinstance(reply, Timed) else 0.0
        assert (ready.seconds or 0.0) > 1 > seconds


def test_short_calls_are_repeated_within_a_sample(images: Dataset, reference: Path) -> None:
    """A call far below 5 ms is made many times in one sample; where files are to be cold, once."""
    with talking(images, BASELINE) as (talk, _):
        ready = talk.check(case(BASELINE, "open"), str(reference))()
        assert isinstance(ready, Checked)
        assert ready.pace.calls > 1
        cold = talk.check(case(BASELINE, "open"), str(reference), sample_seconds=0.0)()
        assert isinstance(cold, Checked)
        assert cold.pace.calls == 1


@pytest.mark.parametrize("pace", [Pace(3, 17, short=True), Pace(0, 1, short=False)])
def test_a_case_is_called_as_often_as_a_pace_says(
    images: Dataset, reference: Path, pace: Pace
) -> None:
    """What follows no clock is the same in every process: the answer is the pace that was asked for."""
    with talking(images, BASELINE) as (talk, _):
        ready = talk.check(case(BASELINE, "open"), str(reference), pace=pace)()
        assert isinstance(ready, Checked)
        assert ready.pace == pace


def test_a_whole_run(images: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real backends on all phases: each case sampled, native pools pinned, no process left."""
    # What a user's shell may hold.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
        monkeypatch.setenv(name, "2")
    before = {*psutil.Process().children(recursive=True)}
    opencv = BackendSpec("skimage", "opencv", "serial")
    backends = (
        opencv,
        BackendSpec("skimage", "skimage", "process-pool"),
        BackendSpec("dask-image", "dask-blocks", "threads"),
    )
    settings = RunSettings(sizes=(1, 3), rounds=2, workers=2, backends=backends)
    engine.run([images], settings, out=tmp_path, watcher=Watcher(), command="a test", machine={})
    found = read(tmp_path / RUN_NAME)
    assert {s.status for s in found.samples} == {"ok"}
    assert len({(s.case, s.round) for s in found.samples}) == len(PHASES) * 4 * 2 * 2
    # What the threads and processes of a backend worked is in it.
    assert all(s.cpu_seconds for s in found.samples)
    dask = {s.tasks for s in found.samples if s.reader == "dask-image" and s.phase == "pipeline"}
    assert min(tasks or 0 for tasks in dask) > 0
    objects = {s.objects for s in found.samples if s.n_images == 3 and s.phase == "pipeline"}
    assert objects == {found.header.dataset["objects"]}
    truth = found.header.dataset["truth"]
    assert truth["images"] == 3
    # Counts stay counts on their way.
    assert all(isinstance(truth[name], int) for name in ("images", "true_objects"))
    pools = found.header.settings["thread_pools"][str(opencv)]
    assert any(pool.startswith("opencv") for pool in pools)
    assert {pool.split()[-1] for pool in pools} == {"1"}
    assert {profile.status for profile in read_profiles(tmp_path)} == {"ok"}
    assert {*psutil.Process().children(recursive=True)} <= before


def test_native_pools_are_left_where_that_is_asked(
    images: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `native_threads` OpenCV has as many threads as the user's shell says."""
    monkeypatch.setenv("OPENCV_FOR_THREADS_NUM", "2")
    opencv = BackendSpec("skimage", "opencv", "serial")
    with talking(images, opencv, native_threads=True) as (_, started):
        assert isinstance(started, Started)
        assert "opencv 2" in started.thread_pools


def test_a_profile_of_a_worker(images: Dataset) -> None:
    """A fresh worker is profiled; its start begins when the process did."""
    asked = RunSettings(workers=2, memory_limit=100.0)
    talk = Conversation(Arm(), launch=launcher(asked), settings=asked, dataset=images)
    reply = talk.profile(count=3)
    talk.worker.stop(grace=5.0)
    assert isinstance(reply, Profiled)
    assert reply.import_seconds > 0
    assert reply.seconds > 0


def test_cold_files_are_cold(images: Dataset, tmp_path: Path) -> None:
    """With a cold cache each sample is one call, and none of the files' pages were in memory."""
    try:
        pagecache.check(images.files[0])
    except Exception as error:  # noqa: BLE001  # whatever the file system can't do
        pytest.skip(str(error))
    settings = RunSettings(
        sizes=(3,), phases=("read",), backends=(), cache="cold", rounds=2, workers=1
    )
    engine.run([images], settings, out=tmp_path, watcher=Watcher(), command="", machine={})
    samples = read(tmp_path / RUN_NAME).samples
    assert {s.calls for s in samples} == {1}
    # Somebody else may look at a file at any moment.
    assert min(s.cached for s in samples if s.cached is not None) == 0.0


def sleeps(process: psutil.Process) -> bool:
    """Whether this is the child that a backend leaves behind."""
    try:
        return "sleep(600)" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def start_run(folder: Path, *backends: str) -> subprocess.Popen[bytes]:
    """An engine in a process of its own, which measures some backends."""
    command = [sys.executable, "-m", "segbench", "run", "--sizes", "1", "--phases", "pipeline"]
    return subprocess.Popen(  # noqa: S603  (this interpreter, on this program)
        [*command, "--backends", ",".join(backends), "--out", str(folder), "--shape", "48x64"],
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.usefixtures("_installed")
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_killed_engine_leaves_no_process(tmp_path: Path) -> None:
    """After `kill -9` of the engine its workers end, even one that hangs, with their children."""
    backends = "skimage/leaving_a_child/serial", "skimage/skimage/process-pool"
    with start_run(tmp_path / "out", *backends) as running:
        own = psutil.Process(running.pid)
        family: list[psutil.Process] = []
        # Four workers, a pool of two at least, and the child of the one that hangs.
        while not any(sleeps(process) for process in family) or len(family) < 7:
            assert running.poll() is None
            time.sleep(0.05)
            family = own.children(recursive=True)
        running.kill()
    assert psutil.wait_procs(family, timeout=20)[1] == []


def test_a_killed_worker_leaves_no_process(images: Dataset, reference: Path) -> None:
    """Where a worker is killed from outside, its pool ends too, and the cause is the signal."""
    pool = BackendSpec("skimage", "skimage", "process-pool")
    with talking(images, pool) as (talk, started):
        assert isinstance(started, Started)
        assert isinstance(talk.worker, WorkerProcess)
        running = psutil.Process(talk.worker.pid)
        family = [running, *running.children(recursive=True)]
        assert len(family) > 2
        running.kill()
        reply = talk.check(case(pool, "open"), str(reference))()
        assert reply == Failed("crashed", "killed by signal 9")
    assert psutil.wait_procs(family, timeout=10)[1] == []


@pytest.mark.slow
def test_a_cluster_that_waits_its_turn_is_stopped(images: Dataset, reference: Path) -> None:
    """Whatever is timed meanwhile has the machine for itself; asked, it answers, and stops again."""
    pytest.importorskip("distributed")
    cluster = BackendSpec("skimage", "skimage", "distributed")
    with talking(images, cluster) as (talk, started):
        assert isinstance(started, Started)
        assert isinstance(talk.worker, WorkerProcess)
        for _ in range(2):
            assert len(stopped_soon(talk.worker.pid)) == RunSettings().workers
            assert isinstance(talk.check(case(cluster), str(reference))(), Checked)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_killed_engine_leaves_no_cluster_that_is_stopped(tmp_path: Path) -> None:
    """What can't look after itself, since it is stopped, is ended by its worker."""
    pytest.importorskip("distributed")
    backends = "skimage/skimage/serial", "skimage/skimage/distributed"
    with start_run(tmp_path / "out", *backends) as running:
        stopped = stopped_soon(running.pid)
        assert stopped
        running.kill()
    assert psutil.wait_procs(stopped, timeout=20)[1] == []


def stopped_soon(pid: int) -> list[psutil.Process]:
    """Those that a process has started and that are stopped, once there are some; none after a minute."""
    found: list[psutil.Process] = []
    for _ in range(1200):
        with contextlib.suppress(psutil.Error):
            family = psutil.Process(pid).children(recursive=True)
            found = [one for one in family if one.status() == psutil.STATUS_STOPPED]
        if len(found) > 1:
            break
        time.sleep(0.05)
    return found


def detached() -> list[psutil.Process]:
    """What a plugin has started and let go of, if it still runs; not that of another test beside this."""
    own, found = f"{os.getpid()}-", []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            mark = process.environ().get(workers.MARK, "")
            if mark.startswith(own) and "sleep(601)" in " ".join(process.cmdline()):
                found.append(process)
    return found


@pytest.mark.usefixtures("_installed")
@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone lets a process adopt orphans")
def test_what_a_plugin_detaches_ends_with_the_worker(images: Dataset, reference: Path) -> None:
    """A child of a child that has ended, in a session of its own, is found all the same."""
    # In one test: side by side each would find what the other has detached.
    for how in ("ended", "killed"):
        with talking(images, misbehaving("detaching")) as (talk, started):
            assert isinstance(started, Started)
            assert isinstance(talk.check(case(talk.arm.backend), str(reference))(), Checked)
            assert isinstance(talk.worker, WorkerProcess)
            assert detached()
            if how == "killed":
                psutil.Process(talk.worker.pid).kill()
        # Killed it is, and gone a moment later.
        assert psutil.wait_procs(detached(), timeout=10)[1] == [], how


class Listed(psutil.Process):
    """A process that has no environment yet when it is looked at first."""

    looks = 0

    def environ(self) -> dict[str, str]:
        """Those of its variables that can be seen."""
        self.looks += 1
        return super().environ() if self.looks > 1 else {}


@pytest.mark.parametrize("unseen", [0, 1], ids=["in the list", "in the next list"])
def test_what_starts_while_others_are_killed_is_killed_too(
    monkeypatch: pytest.MonkeyPatch, unseen: int
) -> None:
    """A process that is being started is found a moment later: in no list yet, or without environment."""
    since = time.time()
    late = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(602)"],
        env={**os.environ, workers.MARK: "a worker's"},
    )
    lists: list[list[Listed]] = [[] for _ in range(unseen)]
    own = [Listed(late.pid)]
    monkeypatch.setattr(psutil, "process_iter", lambda: lists.pop() if lists else own)
    workers.kill_left_behind("a worker's", since=since)
    assert late.wait(timeout=10)


@pytest.mark.usefixtures("_installed")
def test_a_plugin_may_change_the_folder(images: Dataset, reference: Path) -> None:
    """Where a worker works is nothing that images or references are found by."""
    with talking(images, misbehaving("wandering")) as (talk, _):
        for phase in ("read", "pipeline"):
            assert isinstance(talk.check(case(talk.arm.backend, phase), str(reference))(), Checked)


@pytest.mark.skipif(os.name == "nt", reason="a shell's script")
def test_half_an_answer_is_none(images: Dataset, tmp_path: Path) -> None:
    """A worker that is killed while it writes has crashed: what it had written is no answer."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nprintf \'{"kind": "Star\'\nkill -9 $$\n')
    python.chmod(0o755)
    asked = RunSettings(workers=1, memory_limit=100.0)
    talk = Conversation(
        Arm(backend=BASELINE, python=python), launch=launcher(asked), settings=asked, dataset=images
    )
    reply = talk.start()(end_of_start(asked))
    talk.worker.stop()
    assert reply == Failed("crashed", "killed by signal 9")


def test_a_launcher_in_between_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows the engine need not be the parent: a worker ends when the engine is gone."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    assert worker.has_ended(ended.pid)
    assert not worker.has_ended(os.getppid())
    monkeypatch.setattr(sys, "platform", "win32")
    assert worker.has_ended(ended.pid)
    assert not worker.has_ended(os.getpid())


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this platform")
def test_a_cpu_is_for_one_sample() -> None:
    """A sample runs on the CPU that it was given; what comes after may run on all again."""
    before = os.sched_getaffinity(0)
    seen = []
    served = worker.Server(PLAIN, PipelineParams(), 0.0)
    served.ready["open"] = lambda: seen.append(os.sched_getaffinity(0))
    served.paces["open"] = 0.0, 1
    for cpu in (min(before), None, max(before)):
        served.time(Time("open", 1, warm=False, cpu=cpu))
        assert os.sched_getaffinity(0) == before
    assert seen == [{min(before)}, before, {max(before)}]


def test_a_long_answer_is_whole(images: Dataset) -> None:
    """A request and an answer longer than a pipe holds come whole; what is unknown is refused."""
    name = "x" * 1_000_000
    with talking(images, misbehaving(name)) as (_, started):
        assert isinstance(started, Refused)
        assert name in started.reason
