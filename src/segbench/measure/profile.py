"""Profile of a backend: what its start costs, and where the wall time of its pipeline goes.

The pipeline runs as it is, by :func:`segbench.backends.phases.run_pipeline`, on a backend that
takes notes. A worker notes when it begins and ends a job, and in between when it has the result of
a stage: plain operations note it as they return, and Dask arrays get a step that hands its blocks
on unchanged, which Dask fuses with the work before it. What lies before a note is work of its
stage. Dask's callbacks, or plugins of distributed, say which tasks are with the workers.

All times are those of :func:`time.perf_counter`, whose clock the processes of a machine share.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from segbench.backends import phases, registry, schedulers
from segbench.backends.interface import Backend
from segbench.backends.schedulers import Cluster, Scheduler
from segbench.measure import memory
from segbench.measure.protocol import Profiled
from segbench.pipeline import PipelineParams
from segbench.results.records import PARTS, STAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from segbench.measure import protocol

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


def profile(request: protocol.Profile) -> Profiled:
    """Profile a backend; to be called once, in a fresh interpreter that does nothing else.

    Raises
    ------
    UnavailableError, InputError
        As :func:`segbench.backends.registry.load` does.
    """
    spec = registry.parse_spec(request.backend)
    params = PipelineParams(**request.params)  # type: ignore[arg-type]  # JSON's values
    reader, processor = registry.load(spec)
    if spec.scheduler == "distributed" and request.cluster != Cluster():
        raise registry.UnavailableError(
            "only a cluster that is started here, with one thread a process, can be watched"
        )
    # Imported by the scheduler otherwise, and charged to its start.
    if spec.scheduler in schedulers.WITH_DASK:
        import_module("distributed" if spec.scheduler == "distributed" else "dask")
    # From the interpreter's own start on; numpy was among the imports, too.
    times = [request.started, time.perf_counter()]
    with schedulers.start(spec.scheduler, workers=request.workers, batch=spec.batch) as scheduler:
        times.append(time.perf_counter())
        backend = Backend(reader, processor, scheduler)
        phases.run_pipeline(backend, request.image, params)
        times.append(time.perf_counter())
        # The first warms up, and takes no notes: they would be tasks, too.
        plain, *calls = record(backend, request.pattern, params)
    call = sorted(calls, key=lambda call: call.seconds)[(len(calls) - 1) // 2]
    # Images whose work was repeated count again.
    images = Counter(note.what for note in call.notes for _ in range(note.images))
    repeated = {stage: images[stage] for stage in STAGES if stage in images}
    imports, start, first = (later - earlier for earlier, later in pairwise(times))
    tasks = len(plain.tasks)
    return Profiled(imports, start, first, call.seconds, parts(call), tasks, repeated)


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

    def during(self, function: Callable[..., R], *arguments: Any, **options: Any) -> R:
        """Note the beginning and the end of a job: a call of `function`."""
        self.add(BEGIN)
        try:
            return function(*arguments, **options)
        finally:
            self.add(END)

    def step(
        self, function: Callable[..., Any], before: str, after: str, images: Any, *arguments: Any
    ) -> Any:
        """Carry out an operation, or build its part of a graph, between the results of two stages."""
        return self.result(after, function(self.result(before, images), *arguments))

    def result(self, stage: str, value: Any) -> Any:
        """Note that there is the result of a stage, if one is named; it is handed on."""
        if stage and hasattr(value, "map_blocks"):  # a Dask array
            # With `name` and `meta` Dask need not hash this object, nor try it on an empty image.
            name, meta = f"{stage}-{value.name}", np.empty((0,) * value.ndim, value.dtype)
            hand_on = partial(self.block, stage)
            return value.map_blocks(hand_on, name=name, dtype=value.dtype, meta=meta)
        if stage:
            self.add(stage)
        return value

    def block(self, stage: str, images: NDArray[Any]) -> NDArray[Any]:
        """Note a block of a Dask array as the result of a stage; it is handed on."""
        self.add(stage, len(images))
        return images

    def take(self) -> list[Note]:
        """Take all notes, in the process that owns them."""
        notes, _NOTES[:] = _NOTES.copy(), []
        for path in Path(self.folder).glob("*.jsonl"):
            notes += [Note(*json.loads(line)) for line in path.read_text("utf-8").splitlines()]
        return notes


_NOTES: list[Note] = []


@cache
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

    def build(self, step: Callable[..., Any], *arguments: Any) -> Any:
        """Note that an operation builds its part of a graph, also after what it computes."""
        self.after = "graph"
        self.begin("graph")
        result = step(*arguments)
        self.after = "collect"
        self.begin("graph")
        return result

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
                # As in a timed call.
                with memory.uncollected():
                    # What opens the files builds a graph, or looks for them to be decoded.
                    journal.begin("graph" if backend.reader.uses_dask else "decode")
                    phases.run_pipeline(each, pattern, params)
                    journal.begin("")
        return _calls(journal)


def _calls(journal: Journal) -> list[Call]:
    notes, calls = journal.notes.take(), []
    marks = sorted(journal.marks, key=lambda mark: mark.time)
    ends = [i for i, mark in enumerate(marks, start=1) if not mark.doing]
    for begun, end in pairwise([0, *ends]):
        own = marks[begun:end]
        first, last = own[0].time, own[-1].time
        call = Call(
            workers=journal.scheduler.workers,
            marks=own,
            notes=[note for note in notes if first <= note.time <= last],
            tasks=[task for task in journal.tasks if first <= task.given <= last],
            dependents=journal.dependents,
        )
        calls.append(call)
    return calls


# A backend that takes notes


def _noted(backend: Backend, journal: Journal) -> Backend:
    reader, processor, notes = backend.reader, backend.processor, journal.notes
    # Where all is one Dask array, images have been read when they are in the chunks to work on.
    one_array = reader.uses_dask and processor.uses_dask
    # A mask, with its holes filled or not, is what comes of the threshold.
    before = {"grayscale": "decode" if one_array else ""}
    before |= dict.fromkeys(("label", "split"), "threshold")
    # By the names of a processor's fields, which are those of the stages; `split` labels, too.
    steps: dict[str, Any] = {}
    for name in (*STAGES[1:], "split"):
        after = {"threshold": "", "split": "label"}.get(name, name)
        step = partial(notes.step, getattr(processor, name), before.get(name, ""), after)
        builds = processor.uses_dask and not processor.mapped
        steps[name] = partial(journal.build, step) if builds else step
    if reader.load is not None:
        reader = replace(reader, load=partial(notes.step, reader.load, "", "decode"))
    elif not one_array:
        reader = replace(reader, open=partial(notes.step, reader.open, "", "decode"))
    scheduler = NotedScheduler(**vars(backend.scheduler), journal=journal)
    return Backend(reader, replace(processor, **steps), scheduler)


@dataclass(frozen=True)
class NotedScheduler(Scheduler):
    """A scheduler whose jobs are noted: those of its pool, or the loop of a single worker."""

    journal: Journal = field(kw_only=True)

    def map_batches(
        self, function: Callable[[Any], R], items: Sequence[Any] | NDArray[Any]
    ) -> list[R]:
        """Apply `function` to every batch of the items, in their order."""
        during, apply = self.journal.notes.during, super().map_batches
        # Dask's tasks are noted where they are run.
        self.journal.begin("graph" if self.uses_dask else WORK)
        if self.name == "serial":
            results = during(apply, function, items)
        else:
            results = apply(function if self.uses_dask else partial(during, function), items)
        self.journal.begin("collect")
        return results


# Dask's tasks


@contextmanager
def _watched(journal: Journal) -> Iterator[None]:
    """Note when Dask's scheduler gives tasks and takes them back, and when workers carry them out."""
    name = journal.scheduler.name
    if name == "distributed":
        _watch_cluster(journal)
    if name in ("distributed", *schedulers.WITHOUT_DASK):
        yield
        return
    # Only backends that use Dask pay for importing it.
    import dask  # noqa: PLC0415
    from dask.callbacks import Callback  # noqa: PLC0415
    from dask.local import SynchronousExecutor  # noqa: PLC0415

    callback = Callback(  # type: ignore[no-untyped-call]  # dask is annotated in part
        start_state=journal.start_work,
        pretask=journal.give,
        posttask=lambda key, _value, _graph, _state, worker: journal.take_back(key, worker),
    )
    pool: Executor = dask.config.get("pool", None)
    if name == "threads":
        pool = ThreadPoolExecutor(journal.scheduler.workers)
    elif name == "synchronous":
        # What it does is the same with a pool that is no other thread.
        name, pool = "threads", SynchronousExecutor()
    with dask.config.set(scheduler=name, pool=NotedPool(pool, journal.notes)), callback:
        yield


@dataclass(frozen=True)
class NotedPool:
    """A pool for Dask, whose jobs are noted."""

    pool: Executor
    notes: Notes

    def submit(self, function: Callable[..., R], *arguments: Any) -> Future[R]:
        """Have a job done."""
        return self.pool.submit(self.notes.during, function, *arguments)

    def __getattr__(self, name: str) -> Any:
        """Whatever else Dask asks of a pool, such as how many workers it has."""
        return getattr(self.pool, name)


def _watch_cluster(journal: Journal) -> None:
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
