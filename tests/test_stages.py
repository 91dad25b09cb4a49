"""Profiles: every moment of a call belongs to one part, on whatever workers it was spent."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import numpy as np
import pytest
from dask import _task_spec
from dask.callbacks import Callback
from hypothesis import given
from hypothesis import strategies as st

from segbench.agreement import first_difference
from segbench.backends import phases, registry, schedulers
from segbench.backends.interface import Backend
from segbench.backends.registry import BackendSpec, UnavailableError, parse_spec
from segbench.errors import InputError
from segbench.images import datasets
from segbench.measure import spans, stages, timeline
from segbench.measure.settings import BACKENDS
from segbench.measure.spans import OPERATION, Span, Spool
from segbench.measure.timeline import LOOP, POOL, TASKS, Call, HandOut, Mark
from segbench.pipeline import PipelineParams
from segbench.results.records import PARTS, STAGES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from segbench.results.records import Profile

PARAMS = PipelineParams(block_size=21)

# Before anything was recorded.
PLAIN = _task_spec.Task.__call__

COUNT = 9
SHAPE = (192, 256)

MIXED = (
    "skimage/dask-image/threads",
    "dask-image/skimage/threads",
    "dask-array-pims/skimage/synchronous",
    "skimage/dask-blocks/processes",
    "dask-array-skimage/skimage/processes",
)
CLUSTER = ("dask-array-skimage/dask-blocks/distributed", "dask-image/skimage/distributed")

# distributed and its dependencies open sockets and files that they leave to the garbage collector.
leaves_sockets = (
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
)
ALL = [
    *(pytest.param(str(spec), id=str(spec)) for spec in BACKENDS),
    *(pytest.param(spec, id=spec) for spec in MIXED),
    *(pytest.param(spec, id=spec, marks=leaves_sockets) for spec in CLUSTER),
]


def profile(spec: str, count: int = COUNT) -> Profile:
    """Profile a backend on smears."""
    dataset = datasets.smear(count, shape=SHAPE)
    return stages.profile(
        parse_spec(spec),
        workers=2,
        image=datasets.lay_out(dataset, 1),
        pattern=datasets.lay_out(dataset, count),
        n_images=count,
        params=PARAMS,
    )


@pytest.mark.parametrize("spec", ALL)
def test_profile(spec: str) -> None:
    """Parts add up to the wall time, every stage is there, and Dask's parts are where Dask is."""
    if spec.endswith("distributed"):
        pytest.importorskip("distributed")
    result = profile(spec)
    reader, processor, scheduler = spec.split("/")
    assert (result.reader, result.processor, result.scheduler) == (reader, processor, scheduler)
    assert (result.status, result.n_images) == ("ok", COUNT)
    assert tuple(result.parts) == PARTS
    assert sum(result.parts.values()) == pytest.approx(result.seconds, rel=0.05)
    assert all(result.parts[stage] > 0 for stage in STAGES)
    assert result.parts["collect"] > 0
    assert min(result.import_seconds, result.start_seconds, result.first_seconds) > 0
    with_dask = scheduler in schedulers.WITH_DASK
    assert (result.tasks > 0) == with_dask
    assert (result.parts["graph"] > 0) == with_dask
    assert (result.parts["scheduling"] > 0) == (scheduler != "serial")
    if scheduler in ("serial", "synchronous"):
        assert result.parts["idle"] == 0
    # Where all is on one Dask array, dask-image's labels take two runs of what comes before.
    once = dict.fromkeys(STAGES, COUNT)
    if processor == "dask-image":
        assert result.calls["blur"] == result.calls["threshold"] == 2 * COUNT
        assert result.calls["decode"] == (COUNT if reader == "skimage" else 2 * COUNT)
        assert result.calls["measure"] == COUNT
    else:
        assert result.calls == once


def test_operation_that_computes() -> None:
    """What `dask-image-area` computes while it builds its graph is in its own stages."""
    result = profile("dask-image/dask-image-area/threads", count=1)
    assert sum(result.parts.values()) == pytest.approx(result.seconds, rel=0.05)
    assert result.parts["graph"] > result.parts["measure"] > result.parts["blur"] > 0


@pytest.mark.parametrize("name", ["synchronous", "threads"])
def test_tasks_are_those_of_the_callbacks(name: str) -> None:
    """A profile has as many tasks as Dask's callbacks see in a plain call."""
    done: list[object] = []
    pattern = datasets.lay_out(datasets.smear(COUNT, shape=SHAPE), COUNT)
    spec = parse_spec(f"dask-image/dask-blocks/{name}")
    with schedulers.start(name, workers=2) as scheduler:
        backend = Backend(*registry.load(spec), scheduler)
        with Callback(posttask=lambda key, *_: done.append(key)):
            phases.run_pipeline(backend, pattern, PARAMS)
    assert profile(str(spec)).tasks == len(done)


@pytest.mark.parametrize("name", ["synchronous", "threads", "processes"])
def test_no_span_is_lost(name: str) -> None:
    """Every task that Dask's scheduler hands out has its span, in a worker, while it is out."""
    pattern = datasets.lay_out(datasets.smear(COUNT, shape=SHAPE), COUNT)
    spec = parse_spec(f"dask-image/dask-image/{name}")
    with schedulers.start(name, workers=2) as scheduler:
        calls = stages._record_calls(Backend(*registry.load(spec), scheduler), pattern, PARAMS)
    for each in calls:
        (out,) = [
            (mark.time, after.time) for mark, after in pairwise(each.marks) if mark.doing == TASKS
        ]
        carried_out = {
            (span.name, span.block): span
            for span in each.spans
            if not span.inside and out[0] <= span.start <= span.end <= out[1]
        }
        handed_out = {(task.name, task.block): task for task in each.hand_outs}
        assert carried_out.keys() == handed_out.keys()
        for task, span in carried_out.items():
            assert handed_out[task].start <= span.start <= span.end <= handed_out[task].end


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tasks_are_those_of_the_task_stream() -> None:
    """Under `distributed` the tasks of the calls are those of its task stream."""
    distributed = pytest.importorskip("distributed")
    pattern = datasets.lay_out(datasets.smear(3, shape=SHAPE), 3)
    spec = parse_spec("dask-image/dask-blocks/distributed")
    with schedulers.start("distributed", workers=2) as scheduler:
        backend = Backend(*registry.load(spec), scheduler)
        with distributed.get_task_stream() as stream:
            calls = stages._record_calls(backend, pattern, PARAMS)
        assert distributed.get_client().cluster.scheduler.plugins.get("segbench") is None
    # One call warmed up.
    tasks = [len(call.hand_outs) for call in calls]
    assert len(stream.data) == sum(tasks) + tasks[0]


@pytest.mark.parametrize("spec", ["skimage/skimage/thread-pool", "dask-image/dask-image/threads"])
def test_watched_backend_finds_the_same(spec: str, tmp_path: Path) -> None:
    """To watch a backend changes nothing of what it finds."""
    pattern = datasets.lay_out(datasets.smear(3, shape=SHAPE), 3)
    parsed = parse_spec(spec)
    with schedulers.start(parsed.scheduler, workers=2) as scheduler:
        backend = Backend(*registry.load(parsed), scheduler)
        plain = phases.run_pipeline(backend, pattern, PARAMS)
        spool = Spool(str(tmp_path), os.getpid())
        watched = stages._watched(backend, stages._Journal(), spool)
        found = phases.run_pipeline(watched, pattern, PARAMS)
    spans.collect(spool)
    assert first_difference(found, plain) is None


def test_median_call_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the profiled calls the one in the middle is reported, whole."""
    calls = [call(end=end) for end in (7.0, 2.0, 5.0)]
    monkeypatch.setattr(stages, "_record_calls", lambda *_: calls)
    result = profile("skimage/skimage/serial", count=1)
    assert result.seconds == 5
    assert result.parts["collect"] == 5


def test_errors_are_raised() -> None:
    """What a backend raises is the caller's to deal with, and Dask is left as it was."""
    with pytest.raises(InputError, match="can't run"):
        profile("dask-image/dask-image/serial")
    large = dataclasses.replace(PARAMS, block_size=399)
    dataset = datasets.smear(1, shape=SHAPE)
    pattern = datasets.lay_out(dataset, 1)
    spec = parse_spec("skimage/dask-image/synchronous")
    with schedulers.start("synchronous", workers=1) as scheduler:
        backend = Backend(*registry.load(spec), scheduler)
        with pytest.raises(InputError, match="block size 399"):
            stages._record_calls(backend, pattern, large)
    assert _task_spec.Task.__call__ is PLAIN


def test_fresh_interpreter_imports_little() -> None:
    """To profile a backend without Dask nothing of Dask is imported, which would be charged."""
    code = (
        "import sys, segbench.measure.stages; print({'dask', 'skimage', 'scipy'} & {*sys.modules})"
    )
    found = subprocess.run(  # noqa: S603  (this interpreter, and the code above)
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "set()"


# Spans


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """Give a spool of this process, and forget what it kept."""
    spool = Spool(str(tmp_path), os.getpid())
    spans.collect(spool)
    yield spool
    spans.stop_recording_tasks()
    spans.collect(spool)


def other(spool: Spool) -> Spool:
    """Give the spool of another process."""
    return dataclasses.replace(spool, owner=0)


@pytest.mark.parametrize("here", [True, False])
def test_operations_are_recorded(spool: Spool, here: bool) -> None:
    """An image's operations leave one span each, and one of the mask, here and elsewhere."""
    at = spool if here else other(spool)
    for stage in STAGES:
        assert spans.Operation(np.negative, stage, at)(3) == -3
    found = sorted(spans.collect(spool), key=lambda span: span.start)
    named = [span.name.removeprefix(OPERATION) for span in found]
    assert named == ["decode", "grayscale", "blur", "threshold", "mask", "label", "measure"]
    for before, after in pairwise(found):
        assert before.start <= before.end <= after.start
    assert found[4].start == found[3].end
    assert {span.worker for span in found} == {(os.getpid(), threading.get_ident())}
    assert {(span.inside, span.work) for span in found} == {((), True)}
    assert (spans.collect(spool) == []) == here


def test_mask_comes_after_the_threshold(spool: Spool) -> None:
    """Where labelling follows on anything but the threshold, what lies between is no mask."""
    for stage in ("blur", "label", "measure"):
        spans.Operation(int, stage, spool)()
    names = [span.name.removeprefix(OPERATION) for span in spans.collect(spool)]
    assert names == ["blur", "label", "measure"]


def test_tasks_are_recorded(spool: Spool) -> None:
    """Of tasks that were fused each leaves its own span, and those add up to the whole."""
    with schedulers.start("synchronous", workers=1):
        array = (da.ones((4, 4), chunks=(2, 4)) + 1) * 2
        spans.record_tasks(spool)
        assert array.sum().compute() == 64
    spans.stop_recording_tasks()
    found = spans.collect(spool)
    fused = [span for span in found if span.inside]
    assert {span.name.partition("-")[0] for span in fused} >= {"ones_like", "add", "mul"}
    for outer in (span for span in found if not span.inside):
        within = [s.own for s in found if outer.start <= s.start and s.end <= outer.end]
        assert sum(within) == pytest.approx(outer.end - outer.start)
        assert not (outer.work and len(within) > 1)


def test_names_of_results_are_no_work(spool: Spool) -> None:
    """A task that looks its arguments up under other names is work; to look one up is none."""
    alias = _task_spec.Alias("blur-2", "blur-1")
    task = _task_spec.Task("lt-1", np.negative, alias)
    spans.record_tasks(spool)
    assert alias({"blur-1": 3}) == 3
    assert task({"blur-1": 3}) == -3
    found = spans.collect(spool)
    assert [(span.name, span.work) for span in found] == [("blur-2", False), ("lt-1", True)]


def test_block_is_that_of_the_fused_task(spool: Spool) -> None:
    """A task in a fused one makes the block that the fused one is named after, if it is of it."""
    spans.record_tasks(spool)
    for name in ("lt-1", "sub-2_.0", "label-3"):
        spans._record(spool, "lt-1-f00", (4, 0), _task_spec.Task(name, int))
    found = {span.name: span.block for span in spans.collect(spool)}
    assert found == {"lt-1-f00": (4, 0), "lt-1": (4, 0), "sub-2_.0": (4, 0), "label-3": ()}


def test_after_tasks() -> None:
    """An operation that has computed builds its graph; otherwise the results are collected."""
    journal = stages._Journal()
    journal.ended_tasks()
    journal.operation = "measure"
    journal.ended_tasks()
    assert [(mark.doing, mark.stage) for mark in journal.marks] == [
        ("collect", ""),
        ("graph", "measure"),
    ]


def test_recorded_once(spool: Spool) -> None:
    """To ask twice records once, and afterwards nothing."""
    spans.record_tasks(spool)
    recorded = _task_spec.Task.__call__
    spans.record_tasks(spool)
    assert _task_spec.Task.__call__ is recorded is not PLAIN
    spans.stop_recording_tasks()
    assert _task_spec.Task.__call__ is PLAIN


def test_dask_without_tasks(monkeypatch: pytest.MonkeyPatch, spool: Spool) -> None:
    """A Dask whose tasks are no objects is reported as unavailable, not as something it is not."""
    monkeypatch.delattr(_task_spec, "Alias")
    with pytest.raises(UnavailableError, match="can't be told apart"):
        spans.record_tasks(spool)


def test_failed_operation(spool: Spool) -> None:
    """An operation that raises has ended: the next one lies in none."""
    with pytest.raises(ZeroDivisionError):
        spans.Operation(lambda: 1 / 0, "measure", spool)()
    spans.Operation(int, "measure", spool)()
    assert [span.inside for span in spans.collect(spool)] == [(), ()]


# The time line


def call(
    *,
    doing: str = "collect",
    end: float = 10.0,
    spans: tuple[Span, ...] = (),
    hand_outs: tuple[HandOut, ...] = (),
    alone: bool = False,
    layers: dict[str, str] | None = None,
) -> Call:
    """Make a call that begins at 0 and does one thing, with two workers."""
    return Call(
        workers=1 if alone else 2,
        alone=alone,
        marks=[Mark(0.0, doing), Mark(end, "")],
        spans=spans,
        hand_outs=hand_outs,
        layers=layers or {},
    )


def span(name: str, start: float, end: float, worker: int = 1, **values: Any) -> Span:
    """Make a span without others in it."""
    made = Span(name, (), (), start, end, end - start, True, (1, worker))
    return dataclasses.replace(made, **values)


def shown(made: Call) -> dict[str, float]:
    """Parts of a call that are not 0."""
    return {part: seconds for part, seconds in timeline.parts(made).items() if seconds}


def test_calling_thread() -> None:
    """What the calling thread does alone counts in full, from one mark to the next."""
    made = dataclasses.replace(
        call(), marks=[Mark(1, "decode"), Mark(2, "graph"), Mark(5, "collect"), Mark(9, "")]
    )
    assert shown(made) == {"decode": 1, "graph": 3, "collect": 4}
    assert made.seconds == 8


def test_loop() -> None:
    """In a loop of one worker only operations count: what lies between them is missed."""
    found = (span("segbench.blur", 0, 4), span("segbench.mask", 4, 5), span("segbench.label", 6, 9))
    assert shown(call(doing=LOOP, spans=found)) == {"blur": 4, "threshold": 1, "label": 3}


def test_pool() -> None:
    """Between images a pool hands over; who is done first is idle until all are."""
    found = (
        span("segbench.decode", 1, 2),
        span("segbench.measure", 2.5, 3),  # nobody's: between two stages of one image
        span("segbench.decode", 4, 5),
        span("segbench.decode", 2, 9, worker=2),
    )
    assert shown(call(doing=POOL, spans=found)) == {
        "decode": (1 + 1 + 7) / 2,
        "measure": 0.5 / 2,
        "scheduling": (1 + 1 + 1 + 2 + 1) / 2,  # before, between, and results at the end
        "idle": (9 - 5) / 2,
    }


def test_pool_with_a_worker_that_got_nothing() -> None:
    """A worker of a pool that has no image is idle while the other works."""
    found = (span("segbench.decode", 1, 9),)
    assert shown(call(doing=POOL, spans=found)) == {"decode": 4, "scheduling": 1.5, "idle": 4.5}


def test_tasks() -> None:
    """Between tasks a worker waits for the scheduler, and is idle only while it has no task."""
    layers = {"blur-1": "blur"}
    found = (span("blur-1", 2, 4, block=(0,)), span("blur-1", 7, 8, block=(1,)))
    hand_outs = (HandOut("blur-1", (0,), 1, 5), HandOut("blur-1", (1,), 6, 9))
    made = call(doing=TASKS, spans=found, hand_outs=hand_outs, layers=layers)
    assert shown(made) == {"blur": 1.5, "scheduling": (1 + 1 + 1 + 1) / 2, "idle": (3 + 10) / 2}
    # A batch is taken back when its last task is done: no gap between its tasks is idle.
    batch = tuple(dataclasses.replace(task, start=1, end=9) for task in hand_outs)
    made = call(doing=TASKS, spans=found, hand_outs=batch, layers=layers)
    assert shown(made) == {"blur": 1.5, "scheduling": (1 + 3 + 1) / 2, "idle": (2 + 10) / 2}


def test_scheduler_that_works_itself() -> None:
    """Dask's synchronous scheduler is never idle: it schedules or carries out."""
    made = call(doing=TASKS, alone=True, spans=(span("a", 2, 4),), layers={"a": "label"})
    assert shown(made) == {"label": 2, "scheduling": 8}


def test_fused_task() -> None:
    """The time of a fused task is that of the tasks in it, and Dask's between them."""
    found = (
        span("lt-3", 1, 9, own=2, work=False),
        span("blur-1_.2_.1", 1, 4, inside=("lt-3",)),
        span("sub-2", 5, 8, inside=("lt-3", "lt-3-f00")),
    )
    made = call(doing=TASKS, end=9, spans=found, layers={"blur-1": "blur", "lt-3": "threshold"})
    assert shown(made)["blur"] == 1.5
    assert shown(made)["threshold"] == 1.5


def test_tasks_of_no_layer() -> None:
    """A task that no operation added belongs to the one that computes, or to Dask."""
    found = (span("max-1", 1, 2), span("finalize-1", 11, 13), span("apply-1", 14, 15))
    made = dataclasses.replace(
        call(spans=found),
        marks=[Mark(0, TASKS, "measure"), Mark(10, TASKS), Mark(20, "")],
    )
    assert [made.stage(each) for each in found] == ["measure", "collect", "scheduling"]


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20),
    st.sampled_from([TASKS, POOL]),
)
def test_every_moment_is_counted_once(pieces: list[tuple[float, float]], doing: str) -> None:
    """However long the gaps and the images are, the parts add up to the wall time."""
    found, time = [], {1: 0.0, 2: 0.0}
    for i, (gap, length) in enumerate(pieces):
        worker = 1 + i % 2
        start = time[worker] + gap
        time[worker] = start + length
        found.append(span("segbench.blur", start, time[worker], worker, block=(i,)))
    hand_outs = tuple(
        HandOut(each.name, each.block, max(0, each.start - 0.1), each.end + 0.2) for each in found
    )
    made = call(doing=doing, end=max(time.values()), spans=tuple(found), hand_outs=hand_outs)
    assert sum(timeline.parts(made).values()) == pytest.approx(made.seconds, abs=1e-9)
    assert min(timeline.parts(made).values()) >= 0


def test_missed_or_doubled_time_shows() -> None:
    """The parts don't add up where spans overlap, or where an image's work was not recorded."""
    overlap = call(doing=TASKS, spans=(span("a", 0, 8), span("a", 2, 10)), layers={"a": "blur"})
    more = call(doing=TASKS, spans=tuple(span("a", 0, 10, worker) for worker in range(3)))
    missed = call(doing=LOOP, spans=(span("segbench.blur", 0, 4),))
    assert sum(timeline.parts(overlap).values()) == pytest.approx(13)
    assert sum(timeline.parts(more).values()) == pytest.approx(15)
    assert sum(timeline.parts(missed).values()) == 4


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("add-1a", "add-1a"),
        ("add-1a-2b", "add-1a"),
        ("add-1a_.2_.1_.0", "add-1a"),
        ("add-1b", ""),
        ("add", ""),
        ("", ""),
    ],
)
def test_layer_of(name: str, layer: str) -> None:
    """A task is its layer's, whatever Dask's optimisation appended to the name."""
    assert timeline.layer_of(name, {"add-1a": "blur"}) == layer


def test_times_carried_out() -> None:
    """Work on the same block is repeated work, and its time says how much of the stage it is."""
    blocks = [span("blur-1", 0, 1, block=(i % 2,)) for i in range(6)]
    alias = span("blur-1", 0, 1, block=(0,), work=False)
    layers = {"blur-1": "blur", "add-2": "blur"}
    made = call(spans=(*blocks, alias), layers=layers)
    assert timeline.times_carried_out(made, 10) == {"blur": 30}
    # As long again if nothing were repeated, and not repeated: (3 + 1) / (1 + 1) as often.
    made = call(spans=(*blocks, span("add-2", 0, 2)), layers=layers)
    assert timeline.times_carried_out(made, 10) == {"blur": 20}
    operations = (span("segbench.threshold", 0, 1), span("segbench.mask", 1, 2))
    assert timeline.times_carried_out(call(spans=operations), 10) == {"threshold": 1}


def test_repeated_work_is_seen() -> None:
    """Dask copies the graph of an array that it hands to a delayed function: it runs twice."""
    runs = []

    def noted(block: NDArray[Any]) -> NDArray[Any]:
        runs.append(block)
        return block

    images = da.map_blocks(noted, da.ones((4, 2), chunks=(1, 2)), meta=np.empty((0, 0)))
    with schedulers.start("synchronous", workers=1):
        dask.compute(images, dask.delayed(np.sum)(images))
    assert len(runs) == 8


def test_layers_of_copies() -> None:
    """The tasks of a graph that was copied into one layer are those of the arrays before it."""
    first = da.ones((4, 2), chunks=(1, 2)) + 1
    second = da.from_delayed(dask.delayed(np.negative)(first), shape=(4, 2), dtype=float)
    found = stages._layers([(first, "blur"), (second, "label")])
    assert {found[name] for name in first.dask.layers} == {"blur"}
    assert {found[name] for name in second.dask.layers} == {"label"}
    copied = next(name for name in second.dask.layers if name.startswith("finalize"))
    assert timeline.layer_of(f"{next(iter(first.dask.layers))}-{'0' * 32}", found)
    assert found[stages.COPIED.sub(r"\1", copied)] == "label"


def test_spec_of_nothing() -> None:
    """An unknown plugin is not profiled."""
    with pytest.raises(KeyError):
        stages._load(BackendSpec("no", "such", "serial"))
