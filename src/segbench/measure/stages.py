"""Profile of a backend: what its start costs, and where the wall time of its pipeline goes.

The pipeline runs as it is, by :func:`segbench.backends.phases.run_pipeline`, on a backend whose
reader, operations and scheduler note what they do.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import re
import statistics
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from segbench.backends import phases, registry, schedulers
from segbench.backends.interface import Backend, Processor, Reader
from segbench.backends.schedulers import Scheduler
from segbench.measure import spans, timeline
from segbench.measure.spans import Operation, Spool
from segbench.measure.timeline import LOOP, POOL, TASKS, Call, HandOut, Mark
from segbench.results.records import STAGES, Profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from segbench.backends.registry import BackendSpec
    from segbench.pipeline import PipelineParams

T = TypeVar("T")
R = TypeVar("R")

# Of so many profiled calls the one with the median wall time is reported.
CALLS = 3

# The name of a copied task: that of the task and its token, and a token of the copy.
COPIED = re.compile(r"(-[0-9a-f]{32})-[0-9a-f]{32}$")

# The steps of a processor, in the words of both `Processor` and `STAGES`.
STEPS = STAGES[1:]


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
        As :func:`segbench.backends.registry.load` does; also where Dask is too old to tell its
        stages apart.
    """
    times = [time.perf_counter()]
    reader, processor = _load(spec)
    times.append(time.perf_counter())
    with schedulers.start(spec.scheduler, workers=workers) as scheduler:
        times.append(time.perf_counter())
        backend = Backend(reader, processor, scheduler)
        phases.run_pipeline(backend, image, params)
        times.append(time.perf_counter())
        calls = _record_calls(backend, pattern, params)
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
        parts=timeline.parts(call),
        tasks=len(call.hand_outs),
        calls=timeline.times_carried_out(call, n_images),
    )


def _load(spec: BackendSpec) -> tuple[Reader, Processor]:
    parts = registry.load(spec)
    # Imported by the scheduler otherwise, and charged to its start.
    if spec.scheduler in schedulers.WITH_DASK:
        import_module("distributed" if spec.scheduler == "distributed" else "dask")
    return parts


def _record_calls(backend: Backend, pattern: str, params: PipelineParams) -> list[Call]:
    # A process of a pool may still hold its file there when the folder goes, which Windows refuses.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        spool = Spool(folder, os.getpid())
        with _recorded_tasks(backend, spool):
            journals = [_journal(backend, pattern, params, spool) for _ in range(1 + CALLS)]
        recorded = spans.collect(spool)
    # The first warms up.
    return [journal.call(backend.scheduler, recorded) for journal in journals[1:]]


def _journal(backend: Backend, pattern: str, params: PipelineParams, spool: Spool) -> _Journal:
    """Call the pipeline once, and write down what happens."""
    journal = _Journal()
    watched = _watched(backend, journal, spool)
    gc.collect()
    # As in a timed call, which a collection would be charged to.
    gc.disable()
    try:
        with _watched_tasks(backend, journal):
            # What opens the files builds a graph, or looks for them so that they can be decoded.
            journal.begin("graph" if backend.reader.uses_dask else "decode")
            phases.run_pipeline(watched, pattern, params)
            journal.begin("")
    finally:
        gc.enable()
    return journal


@dataclass
class _Journal:
    """What the calling thread and Dask's scheduler do during a call, as it happens."""

    marks: list[Mark] = field(default_factory=list)
    hand_outs: list[HandOut] = field(default_factory=list)
    arrays: list[tuple[Any, str]] = field(default_factory=list)  # a Dask array, and its stage
    operation: str = ""
    _given: dict[object, float] = field(default_factory=dict)

    def begin(self, doing: str) -> None:
        self.marks.append(Mark(time.perf_counter(), doing, self.operation))

    def began_tasks(self, *_: object) -> None:
        self.begin(TASKS)

    def ended_tasks(self, *_: object) -> None:
        self.begin(_after_tasks(self.operation))

    def gave(self, key: object, *_: object) -> None:
        self._given[key] = time.perf_counter()

    def took_back(self, key: object, *_: object) -> None:
        start = self._given.pop(key)
        self.hand_outs.append(HandOut(*spans.split_key(key), start, time.perf_counter()))

    def call(self, scheduler: Scheduler, recorded: Sequence[spans.Span]) -> Call:
        """Put together what was written down with the spans that fell into the call."""
        first, last = self.marks[0].time, self.marks[-1].time
        return Call(
            workers=scheduler.workers,
            alone=scheduler.name == "synchronous",
            marks=self.marks if scheduler.name != "distributed" else self._marks_of_cluster(),
            spans=[span for span in recorded if first <= span.start and span.end <= last],
            hand_outs=self.hand_outs,
            layers=_layers(self.arrays),
        )

    def _marks_of_cluster(self) -> list[Mark]:
        """Marks with those at which a cluster began and ended to work, which has no callback."""
        marks = []
        for mark, following in zip(self.marks, [*self.marks[1:], None], strict=True):
            marks.append(mark)
            end = following.time if following else mark.time
            tasks = [task for task in self.hand_outs if mark.time <= task.start < end]
            if tasks:
                finished = max(task.end for task in tasks)
                marks.append(Mark(min(task.start for task in tasks), TASKS, mark.stage))
                marks.append(Mark(finished, _after_tasks(mark.stage), mark.stage))
        return marks


def _layers(arrays: Sequence[tuple[Any, str]]) -> dict[str, str]:
    """Layers of the graphs of Dask arrays; what an array adds to those before it is its stage's."""
    layers: dict[str, str] = {}
    for array, stage in arrays:
        for name, layer in array.dask.layers.items():
            if name in layers:
                continue
            layers[name] = stage
            # Where a Dask array is handed to a delayed function, a copy of its whole graph becomes
            # one layer. A copy's names end in a token that the tasks inside are named without.
            if type(layer).__name__ == "MaterializedLayer":
                for key in layer:
                    copied = spans.split_key(key)[0]
                    if not timeline.layer_of(copied, layers):
                        layers[COPIED.sub(r"\1", copied)] = stage
    return layers


def _after_tasks(operation: str) -> str:
    # An operation that computes goes on to build its graph.
    return "graph" if operation else "collect"


# A backend that notes what it does


def _watched(backend: Backend, journal: _Journal, spool: Spool) -> Backend:
    reader, processor, scheduler = backend.reader, backend.processor, backend.scheduler
    if reader.load is None:
        reader = Reader(open=_Opening(reader.open, journal))
    else:
        reader = Reader(open=reader.open, load=Operation(reader.load, "decode", spool))
    watched: dict[str, Any] = {}  # operations by the names of their fields
    for stage in STEPS:
        step = getattr(processor, stage)
        if processor.uses_dask:
            watched[stage] = _Step(step, stage, journal)
        else:
            watched[stage] = Operation(step, stage, spool)
    return Backend(
        reader,
        dataclasses.replace(processor, **watched),
        _WatchedScheduler(scheduler.name, scheduler.workers, scheduler.pool, journal),
    )


@dataclass(frozen=True)
class _Opening:
    """Opens a Dask array, and notes the layers of its graph."""

    function: Callable[[str], Any]
    journal: _Journal

    def __call__(self, pattern: str) -> Any:
        array = self.function(pattern)
        self.journal.arrays.append((array, "decode"))
        return array


@dataclass(frozen=True)
class _Step:
    """A step on a Dask array that notes which layers it adds to the graph."""

    function: Callable[..., Any]
    stage: str
    journal: _Journal

    def __call__(self, array: Any, *arguments: Any) -> Any:
        # What was added since the last step belongs to that one, as the mask to the threshold.
        self.journal.arrays.append((array, STAGES[STAGES.index(self.stage) - 1]))
        self.journal.operation = self.stage
        self.journal.begin("graph")
        result = self.function(array, *arguments)
        self.journal.operation = ""
        self.journal.begin("graph")
        self.journal.arrays.append((result, self.stage))
        return result


@dataclass(frozen=True)
class _WatchedScheduler(Scheduler):
    """A scheduler that notes when it maps."""

    journal: _Journal = field(default_factory=_Journal)

    def map(self, function: Callable[[T], R], items: Sequence[T] | NDArray[Any]) -> list[R]:
        if self.workers == 1:
            self.journal.begin(LOOP)
        else:
            # Without a pool it builds a graph first.
            self.journal.begin(POOL if self.pool else "graph")
        results = super().map(function, items)
        self.journal.begin("collect")
        return results


# Dask's tasks, where they are run and where they are handed out


@contextmanager
def _recorded_tasks(backend: Backend, spool: Spool) -> Iterator[None]:
    """Record when tasks are run, in every process that runs some."""
    name = backend.scheduler.name
    if name not in schedulers.WITH_DASK:
        yield
        return
    spans.record_tasks(spool)
    try:
        if name == "processes":
            import dask  # noqa: PLC0415  (only backends that use Dask pay for importing it)

            _record_tasks_of_pool(dask.config.get("pool"), backend.scheduler.workers, spool)
        elif name == "distributed":
            from distributed import get_client  # noqa: PLC0415  (as above)

            get_client().run(spans.record_tasks, spool)
        yield
    finally:
        spans.stop_recording_tasks()


def _record_tasks_of_pool(pool: Executor, workers: int, spool: Spool) -> None:
    # Which process takes a task is chance: until each has had one.
    answered: set[int] = set()
    while len(answered) < workers:
        answered.update(pool.map(partial(_record_tasks_here, spool), range(workers)))


def _record_tasks_here(spool: Spool, _: int) -> int:
    spans.record_tasks(spool)
    time.sleep(0.01)
    return os.getpid()


@contextmanager
def _watched_tasks(backend: Backend, journal: _Journal) -> Iterator[None]:
    """Note when Dask's scheduler hands out tasks and takes their results back."""
    name = backend.scheduler.name
    if name == "distributed":
        with _watched_cluster(journal):
            yield
    elif name in schedulers.WITH_DASK:
        from dask.callbacks import Callback  # noqa: PLC0415  (only backends that use Dask pay)

        with Callback(  # type: ignore[no-untyped-call]  # dask is annotated in part
            start_state=journal.began_tasks,
            pretask=journal.gave,
            posttask=journal.took_back,
            finish=journal.ended_tasks,
        ):
            yield
    else:
        yield


@contextmanager
def _watched_cluster(journal: _Journal) -> Iterator[None]:
    from distributed import get_client  # noqa: PLC0415  (as above)
    from distributed.diagnostics.plugin import SchedulerPlugin  # noqa: PLC0415  (as above)

    class Watch(SchedulerPlugin):
        """What distributed's task stream is made of, and the moment a worker was chosen."""

        def transition(
            self, key: object, start: str, finish: str, *_: object, **__: object
        ) -> None:
            if finish == "processing":
                journal.gave(key)
            elif start == "processing":
                journal.took_back(key)

    # The cluster's scheduler runs in this process.
    cluster = get_client().cluster
    assert cluster is not None  # noqa: S101  (the client was started with it)
    scheduler = cluster.scheduler
    scheduler.add_plugin(Watch(), name="segbench")
    try:
        yield
    finally:
        scheduler.remove_plugin("segbench")
