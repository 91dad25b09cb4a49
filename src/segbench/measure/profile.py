"""Profile of a backend: what its start costs, and where the wall time of its pipeline goes.

The pipeline runs as it is, by :func:`segbench.backends.phases.run_pipeline`, on a backend that
takes notes. A worker notes when it begins and ends a job, and in between when it has the result of
a stage: plain operations note it as they return, and Dask arrays get a step that hands its blocks
on unchanged, which Dask fuses with the work before it. What lies before a note is work of its
stage. Dask's callbacks, or plugins of distributed, say which tasks are with the workers.

All times are those of :func:`time.perf_counter`, whose clock the processes of a machine share.
"""

from __future__ import annotations

import dataclasses
import functools
import gc
import json
import os
import statistics
import tempfile
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from segbench.backends import phases, registry, schedulers
from segbench.backends.interface import Backend, Reader
from segbench.backends.schedulers import Scheduler
from segbench.results.records import PARTS, STAGES, Profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from segbench.backends.registry import BackendSpec
    from segbench.pipeline import PipelineParams

T = TypeVar("T")
R = TypeVar("R")

# Of so many profiled calls the one with the median wall time is reported.
CALLS = 3

# What a worker notes beside the stages, and what the calling thread does while workers work.
BEGIN, END, WORK = "begin", "end", "work"

# What the rest of a job may belong to, in the order of the pipeline.
ORDER = (*STAGES, "collect")


@dataclass(frozen=True)
class Note:
    """What a worker (the thread of this process, or another process) noted.

    Attributes
    ----------
    time : float
        Seconds.
    worker : int
        Number of the thread or process.
    what : str
        `BEGIN` or `END` of a job, or the stage whose result it had.
    images : int
        Of how many images.
    """

    time: float
    worker: int
    what: str
    images: int = 1


@dataclass(frozen=True)
class Task:
    """A task that Dask's scheduler gave to a worker and took back."""

    key: object
    given: float
    taken: float
    worker: int


@dataclass(frozen=True)
class Mark:
    """A moment at which the calling thread begins one of `PARTS`, or `WORK`.

    When the workers have done their work, the calling thread goes on with `after`.
    """

    time: float
    doing: str
    after: str = "collect"


@dataclass(frozen=True, kw_only=True)
class Call:
    """All that was noted of one call of the pipeline.

    Attributes
    ----------
    workers : int
        Threads or processes that may work at once.
    marks : sequence of Mark
        In order; the first is the beginning of the call and the last its end.
    notes : sequence of Note
        Of the workers.
    tasks : sequence of Task
        Of Dask's scheduler; empty where the workers are given all items at once.
    dependents : mapping of key to keys
        The tasks that take a task's result.
    """

    workers: int
    marks: Sequence[Mark]
    notes: Sequence[Note] = ()
    tasks: Sequence[Task] = ()
    dependents: Mapping[object, Sequence[object]] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Wall time."""
        return self.marks[-1].time - self.marks[0].time


def profile(
    spec: BackendSpec,
    *,
    workers: int,
    image: str,
    pattern: str,
    n_images: int,
    params: PipelineParams,
) -> Profile:
    """Profile a backend; to be called once, in a fresh interpreter that does nothing else.

    Parameters
    ----------
    spec : BackendSpec
        Which one.
    workers : int
        Threads or processes of its scheduler.
    image : str
        Path of a single image, for the first call.
    pattern : str
        Glob pattern of the images of the profiled calls, or the path of a single one.
    n_images : int
        How many the pattern matches.
    params : PipelineParams
        Of the pipeline.

    Returns
    -------
    Profile
        With status ``ok``.

    Raises
    ------
    UnavailableError, InputError
        As :func:`segbench.backends.registry.load` does.
    """
    times = [time.perf_counter()]
    reader, processor = registry.load(spec)
    # Imported by the scheduler otherwise, and charged to its start.
    if spec.scheduler in schedulers.WITH_DASK:
        import_module("distributed" if spec.scheduler == "distributed" else "dask")
    times.append(time.perf_counter())
    with schedulers.start(spec.scheduler, workers=workers) as scheduler:
        times.append(time.perf_counter())
        backend = Backend(reader, processor, scheduler)
        phases.run_pipeline(backend, image, params)
        times.append(time.perf_counter())
        # The first warms up, and takes no notes: they would be tasks, too.
        plain, *calls = record(backend, pattern, params)
    median = statistics.median_low(call.seconds for call in calls)
    call = next(call for call in calls if call.seconds == median)
    return Profile(
        reader=spec.reader,
        processor=spec.processor,
        scheduler=spec.scheduler,
        n_images=n_images,
        import_seconds=times[1] - times[0],
        start_seconds=times[2] - times[1],
        first_seconds=times[3] - times[2],
        seconds=call.seconds,
        parts=parts(call),
        tasks=len(plain.tasks),
        calls=images_by_stage(call),
    )


# From what was noted to parts


def parts(call: Call) -> dict[str, float]:
    """Seconds of a call's wall time by `PARTS`; time of workers is divided by their number.

    While workers work they are busy with a stage; or they are not busy though they could be, since
    tasks are with them or on their way (scheduling); or fewer tasks are out than there are workers
    (idle). Scheduling and idle are what the stages leave over, so the parts add up, unless more
    work was noted than the workers had time for.
    """
    seconds = dict.fromkeys(PARTS, 0.0)
    jobs = _jobs(call.notes)
    rests = _rests(call, jobs)
    for mark, following in pairwise(call.marks):
        end = following.time
        if mark.doing != WORK:
            seconds[mark.doing] += end - mark.time
            continue
        inside = [i for i, job in enumerate(jobs) if mark.time <= job[0].time < end]
        out = [(task.given, task.taken) for task in call.tasks if mark.time <= task.given < end]
        out = out or [(mark.time, jobs[i][-1].time) for i in inside]
        last = min(end, max((taken for _, taken in out), default=mark.time))
        seconds[mark.after] += end - last
        available = call.workers * (last - mark.time)
        # A single worker that does not work waits for the scheduler.
        assigned = available if call.workers == 1 else _assigned(out, call.workers, last)
        busy = 0.0
        for i in inside:
            for before, note in pairwise(jobs[i]):
                length = min(note.time, end) - min(before.time, end)
                seconds[rests[i] if note.what == END else note.what] += length / call.workers
                busy += length
        seconds["scheduling"] += max(0.0, assigned - busy) / call.workers
        seconds["idle"] += (available - assigned) / call.workers
    return seconds


def images_by_stage(call: Call) -> dict[str, int]:
    """How many images each stage had the result of: those whose work was repeated count again."""
    images: Counter[str] = Counter()
    for note in call.notes:
        images[note.what] += note.images
    return {stage: images[stage] for stage in STAGES if stage in images}


def _jobs(notes: Sequence[Note]) -> list[list[Note]]:
    """The notes of each job, from its beginning to its end; in the order of their ends."""
    jobs: list[list[Note]] = []
    begun: dict[int, list[Note]] = {}
    for note in sorted(notes, key=lambda note: note.time):
        if note.what == BEGIN:
            begun[note.worker] = []
        if note.worker in begun:
            begun[note.worker].append(note)
            if note.what == END:
                jobs.append(begun.pop(note.worker))
    return jobs


def _rests(call: Call, jobs: Sequence[Sequence[Note]]) -> list[str]:
    """What each job did after its last note: the stage that was next to note what came of it."""
    keys = _keys(jobs, call.tasks)
    first = {
        key: next((note.what for note in job if note.what in STAGES), "")
        for job, carried_out in zip(jobs, keys, strict=True)
        for key in carried_out
    }
    rest: dict[object, str] = {}
    for task in sorted(call.tasks, key=lambda task: task.taken, reverse=True):
        found = (first.get(key) or rest.get(key) for key in call.dependents.get(task.key, ()))
        rest[task.key] = _earliest(stage for stage in found if stage)
    return [_earliest(rest[key] for key in carried_out) for carried_out in keys]


def _earliest(stages: Iterator[str]) -> str:
    return min(stages, key=ORDER.index, default="collect")


def _keys(jobs: Sequence[Sequence[Note]], tasks: Sequence[Task]) -> list[list[object]]:
    """The keys of the tasks that each job carried out: several, where Dask gave them at once."""
    left = defaultdict(list)
    for task in sorted(tasks, key=lambda task: task.taken, reverse=True):
        left[task.worker].append(task)
    found: list[list[object]] = []
    for i, job in enumerate(jobs):
        worker = job[0].worker
        ends = (later[-1].time for later in jobs[i + 1 :] if later[0].worker == worker)
        following = next(ends, float("inf"))
        # What a worker has done is taken back in its order, perhaps when it is done with the next.
        found.append([])
        while left[worker] and (not found[-1] or left[worker][-1].taken < following):
            found[-1].append(left[worker].pop().key)
    return found


def _assigned(out: Sequence[tuple[float, float]], workers: int, end: float) -> float:
    """Seconds of workers, added, in which there was a task for them."""
    changes = sorted(
        (min(at, end), step) for task in out for at, step in zip(task, (1, -1), strict=True)
    )
    seconds, tasks = 0.0, 0
    for (at, step), (following, _) in pairwise([*changes, (end, 0)]):
        tasks += step
        seconds += min(tasks, workers) * (following - at)
    return seconds


# Calls that are noted


@dataclass(frozen=True)
class Notes:
    """Where workers put their notes: in memory, or in a file of their process in a folder.

    A process of a pool has no other way back than its results, and those are part of what is timed.
    """

    folder: str
    owner: int

    def add(self, what: str, images: int = 1) -> None:
        """Note something in any process."""
        now, process = time.perf_counter(), os.getpid()
        if process == self.owner:
            _NOTES.append(Note(now, threading.get_ident(), what, images))
            return
        line = json.dumps([now, process, what, images]) + "\n"
        # At once, so that the lines of several threads don't get into each other.
        os.write(_file(self.folder, process), line.encode())

    def take(self) -> list[Note]:
        """Take all notes, in the process that owns them."""
        notes, _NOTES[:] = _NOTES.copy(), []
        for path in Path(self.folder).glob("*.jsonl"):
            notes += [Note(*json.loads(line)) for line in path.read_text("utf-8").splitlines()]
        return notes


_NOTES: list[Note] = []


@functools.cache
def _file(folder: str, process: int) -> int:
    path = Path(folder) / f"{process}.jsonl"
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, mode=0o600)


@dataclass
class Journal:
    """What the calling thread and Dask's scheduler do."""

    notes: Notes
    scheduler: Scheduler
    marks: list[Mark] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    dependents: dict[object, list[object]] = field(default_factory=dict)
    after: str = "collect"
    _given: dict[object, float] = field(default_factory=dict)

    def begin(self, doing: str) -> None:
        """Note what the calling thread begins."""
        self.marks.append(Mark(time.perf_counter(), doing, self.after))

    def start_work(self, _: object, state: Mapping[str, Any]) -> None:
        """Note that Dask's scheduler begins, and with which graph."""
        self.dependents.update({key: list(after) for key, after in state["dependents"].items()})
        self.begin(WORK)

    def give(self, key: object, *_: object) -> None:
        """Note that a task is given to a worker."""
        self._given[key] = time.perf_counter()

    def take_back(self, key: object, worker: int) -> None:
        """Note that a task's result is taken from a worker."""
        self.tasks.append(Task(key, self._given.pop(key), time.perf_counter(), worker))


def record(backend: Backend, pattern: str, params: PipelineParams) -> list[Call]:
    """Call the pipeline once as it is and `CALLS` times with notes, and write down what happens."""
    # A process of a pool may still hold its file there when the folder goes, which Windows refuses.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        journal = Journal(Notes(folder, os.getpid()), backend.scheduler)
        with _watched(journal):
            noted = _noted(backend, journal)
            for each in (backend, *[noted] * CALLS):
                gc.collect()
                # As in a timed call, which a collection would be charged to.
                gc.disable()
                try:
                    # What opens the files builds a graph, or looks for them to be decoded.
                    journal.begin("graph" if backend.reader.uses_dask else "decode")
                    phases.run_pipeline(each, pattern, params)
                    journal.begin("")
                finally:
                    gc.enable()
        return _calls(journal)


def _calls(journal: Journal) -> list[Call]:
    notes, calls, begun = journal.notes.take(), [], 0
    marks = sorted(journal.marks, key=lambda mark: mark.time)
    for i, mark in enumerate(marks):
        if mark.doing:
            continue
        first = marks[begun].time
        calls.append(
            Call(
                workers=journal.scheduler.workers,
                marks=marks[begun : i + 1],
                notes=[note for note in notes if first <= note.time <= mark.time],
                tasks=[task for task in journal.tasks if first <= task.given <= mark.time],
                dependents=journal.dependents,
            )
        )
        begun = i + 1
    return calls


# A backend that takes notes


def _noted(backend: Backend, journal: Journal) -> Backend:
    reader, processor, notes = backend.reader, backend.processor, journal.notes
    # Where all is one Dask array, images have been read when they are in the chunks to work on.
    one_array = reader.uses_dask and processor.uses_dask
    # A mask is what comes of the threshold.
    before = {"grayscale": "decode" if one_array else "", "label": "threshold"}
    steps: dict[
        str, Any
    ] = {}  # by the names of a processor's fields, which are those of the stages
    for stage in STAGES[1:]:
        after = "" if stage == "threshold" else stage
        step = Step(getattr(processor, stage), notes, before.get(stage, ""), after)
        steps[stage] = _building(step, journal) if processor.uses_dask else step
    if reader.load is not None:
        reader = Reader(open=reader.open, load=Step(reader.load, notes, after="decode"))
    elif not one_array:
        reader = Reader(open=Step(reader.open, notes, after="decode"))
    scheduler = backend.scheduler
    return Backend(
        reader,
        dataclasses.replace(processor, **steps),
        NotedScheduler(scheduler.name, scheduler.workers, scheduler.pool, journal=journal),
    )


@dataclass(frozen=True)
class Step:
    """An operation that notes when it is given one stage's result, and when it has its own."""

    function: Callable[..., Any]
    notes: Notes
    before: str = ""
    after: str = ""

    def __call__(self, images: Any, *arguments: Any) -> Any:
        """Carry it out, or build its part of a task graph."""
        result = self.function(self._note(images, self.before), *arguments)
        return self._note(result, self.after)

    def _note(self, value: Any, stage: str) -> Any:
        if not stage:
            return value
        if hasattr(value, "map_blocks"):  # a Dask array
            # With `meta` given Dask needs no trial call on an empty image.
            meta = np.empty((0,) * value.ndim, value.dtype)
            return value.map_blocks(Blocks(self.notes, stage), dtype=value.dtype, meta=meta)
        self.notes.add(stage)
        return value


@dataclass(frozen=True)
class Blocks:
    """Hands the blocks of a Dask array on, and notes each as the result of a stage."""

    notes: Notes
    stage: str

    def __call__(self, block: NDArray[Any]) -> NDArray[Any]:
        """Note a block of images."""
        self.notes.add(self.stage, len(block))
        return block

    def __dask_tokenize__(self) -> str:
        """Tell Dask what makes this function another one, which takes it long to find out."""
        return self.stage


def _building(step: Step, journal: Journal) -> Callable[..., Any]:
    def build(images: Any, *arguments: Any) -> Any:
        # An operation that computes goes on to build its graph.
        journal.after = "graph"
        journal.begin("graph")
        result = step(images, *arguments)
        journal.after = "collect"
        journal.begin("graph")
        return result

    return build


@dataclass(frozen=True)
class Job:
    """A function that notes when it begins and ends."""

    function: Callable[..., Any]
    notes: Notes

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call it."""
        self.notes.add(BEGIN)
        try:
            return self.function(*arguments, **options)
        finally:
            self.notes.add(END)


@dataclass(frozen=True)
class NotedScheduler(Scheduler):
    """A scheduler whose jobs are noted: those of its pool, or the loop of a single worker."""

    journal: Journal = field(kw_only=True)

    def map(self, function: Callable[[T], R], items: Sequence[T] | NDArray[Any]) -> list[R]:
        """Apply `function` to every item, in order of the items."""
        begin, notes = self.journal.begin, self.journal.notes
        if self.workers == 1:
            begin(WORK)
            results: list[R] = Job(super().map, notes)(function, items)
        elif self.pool:
            begin(WORK)
            results = super().map(Job(function, notes), items)
        else:
            # Dask's tasks are noted where they are run.
            begin("graph")
            results = super().map(function, items)
        begin("collect")
        return results


# Dask's tasks


@contextmanager
def _watched(journal: Journal) -> Iterator[None]:
    """Note when Dask's scheduler gives tasks and takes them back, and when workers carry them out."""
    name, workers = journal.scheduler.name, journal.scheduler.workers
    # Only backends that use Dask pay for importing it.
    if name == "distributed":
        with _watched_cluster(journal):
            yield
    elif name in schedulers.WITH_DASK:
        import dask  # noqa: PLC0415  (as above)
        from dask.callbacks import Callback  # noqa: PLC0415  (as above)

        callback = Callback(  # type: ignore[no-untyped-call]  # dask is annotated in part
            start_state=journal.start_work,
            pretask=journal.give,
            posttask=lambda key, _value, _graph, _state, worker: journal.take_back(key, worker),
        )
        if name == "processes":
            pool = dask.config.get("pool")
        else:
            # What `synchronous` does is the same with a pool that is no other thread.
            pool = (ThreadPoolExecutor if name == "threads" else InThisThread)(workers)
            name = "threads"
        with dask.config.set(scheduler=name, pool=NotedPool(pool, journal.notes)), callback:
            yield
    else:
        yield


@dataclass(frozen=True)
class NotedPool:
    """A pool for Dask, whose jobs are noted."""

    pool: Executor
    notes: Notes

    def submit(self, function: Callable[..., R], *arguments: Any) -> Future[R]:
        """Have a job done."""
        return self.pool.submit(Job(function, self.notes), *arguments)

    def __getattr__(self, name: str) -> Any:
        """Whatever else Dask asks of a pool, such as how many workers it has."""
        return getattr(self.pool, name)


class InThisThread(ThreadPoolExecutor):
    """A pool whose jobs are done by who submits them."""

    def submit(self, function: Callable[..., R], /, *arguments: Any, **options: Any) -> Future[R]:
        """Do a job."""
        done: Future[R] = Future()
        try:
            done.set_result(function(*arguments, **options))
        except BaseException as error:  # noqa: BLE001  (it is the caller's, as that of any pool)
            done.set_exception(error)
        return done


@contextmanager
def _watched_cluster(journal: Journal) -> Iterator[None]:
    from distributed import SchedulerPlugin, Worker, get_client  # noqa: PLC0415  (as above)

    client, notes = get_client(), journal.notes

    def watch_worker(dask_worker: Worker) -> int:
        pools: dict[str, Any] = dask_worker.executors
        pools["default"] = NotedPool(pools["default"], notes)
        return os.getpid()

    processes = client.run(watch_worker)

    class Watch(SchedulerPlugin):
        def update_graph(self, *_: object, **__: object) -> None:
            journal.begin(WORK)

        def transition(self, key: object, start: str, finish: str, *_: Any, **more: Any) -> None:
            if finish == "processing":
                dependents = scheduler.tasks[key].dependents
                journal.dependents[key] = [task.key for task in dependents]
                journal.give(key)
            elif start == "processing":
                journal.take_back(key, processes[more["worker"]])

    # The cluster's scheduler runs in this process, and ends when the profile is taken.
    assert client.cluster is not None  # noqa: S101  (the client was started with it)
    scheduler = client.cluster.scheduler
    scheduler.add_plugin(Watch(), name="segbench")
    yield
