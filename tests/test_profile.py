"""Profiles: every moment of a call belongs to one part, on whatever workers it was spent."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from dask.callbacks import Callback
from hypothesis import given
from hypothesis import strategies as st

from segbench.agreement import first_different_table
from segbench.backends import phases, registry, schedulers, skimage
from segbench.backends.interface import Backend
from segbench.backends.registry import parse_spec
from segbench.backends.schedulers import Cluster
from segbench.errors import InputError
from segbench.images import datasets
from segbench.measure import profile as profiles
from segbench.measure import protocol
from segbench.measure.profile import BEGIN, END, WORK, Call, Mark, Note, Task, parts
from segbench.measure.settings import BACKENDS
from segbench.pipeline import PipelineParams
from segbench.results.records import PARTS, STAGES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PARAMS = PipelineParams(diameter=8, block_size=21)
COUNT = 9
# Seconds for which the process has been there: they count as those of its imports.
AGE = 1000.0
SHAPE = (64, 96)

HERE = (
    "skimage/dask-image/threads",
    "dask-image/skimage/threads",
    "dask-image/dask-blocks/synchronous",
)
PROCESSES = (
    *("skimage/dask-blocks/processes", "dask-array-skimage/skimage/processes"),
    *("dask-image/dask-image/processes", "dask-image/dask-image/distributed"),
    *("dask-array-skimage/dask-blocks/distributed", "dask-image/skimage/distributed"),
)

# distributed and its dependencies open sockets and files that they leave to the garbage collector.
SLOW = (
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
)
SPECS = [str(spec) for spec in BACKENDS if spec.scheduler != "process-pool"] + [*HERE]
SLOW_SPECS = ["skimage/skimage/process-pool", *PROCESSES]


def pattern(count: int) -> str:
    """Lay smears out as files."""
    return datasets.lay_out(datasets.smear(count, shape=SHAPE), count)


def profile(spec: str, count: int = COUNT) -> protocol.Profiled:
    """Profile a backend on smears."""
    request = protocol.Profile(
        spec,
        workers=2,
        image=pattern(1),
        params=dataclasses.asdict(PARAMS),
        cluster=Cluster(),
        pattern=pattern(count),
        n_images=count,
        started=time.perf_counter() - AGE,
    )
    return profiles.profile(request)


@pytest.mark.parametrize("spec", [*SPECS, *(pytest.param(spec, marks=SLOW) for spec in SLOW_SPECS)])
def test_profile(spec: str) -> None:
    """Parts add up to the wall time, every stage is there, and Dask's parts are where Dask is."""
    if spec.endswith("distributed"):
        pytest.importorskip("distributed")
    result = profile(spec)
    reader, processor, scheduler = spec.split("/")
    assert tuple(result.parts) == PARTS
    assert sum(result.parts.values()) == pytest.approx(result.seconds, rel=0.01)
    assert all(result.parts[stage] > 0 for stage in STAGES)
    assert result.parts["collect"] > 0
    assert result.import_seconds > AGE
    assert min(result.start_seconds, result.first_seconds) > 0
    with_dask = scheduler in schedulers.WITH_DASK
    assert (result.tasks > 0) == with_dask
    assert (result.parts["graph"] > 0) == with_dask
    if scheduler in ("serial", "synchronous"):
        assert result.parts["idle"] == 0
    else:
        assert result.parts["scheduling"] > 0
    # Where dask-image labels a Dask array, later Dasks run what comes before twice.
    again = ("decode", *STAGES[1:4]) if reader != "skimage" else STAGES[1:4]
    often = result.calls["blur"] // COUNT
    assert often in ((1, 2) if processor == "dask-image" else (1,))
    assert result.calls == {stage: COUNT * (often if stage in again else 1) for stage in STAGES}


def test_repeated_work_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image counts as often as the function that segbench maps over the images is called."""
    runs: list[object] = []

    def counted(image: NDArray[Any]) -> NDArray[np.float64]:
        runs.append(image)
        return plain(image)

    plain = skimage.grayscale
    monkeypatch.setattr(skimage, "grayscale", counted)
    result = profile("dask-image/dask-image/threads")
    often = result.calls["grayscale"] / COUNT
    # The first call is of one image, one of the others takes no notes.
    assert len(runs) == often * (1 + COUNT * (1 + profiles.CALLS))


def test_operation_that_computes() -> None:
    """What `dask-image-area` computes while it builds its graph is in its own stages."""
    result = profile("dask-image/dask-image-area/threads", count=1)
    assert sum(result.parts.values()) == pytest.approx(result.seconds, rel=0.01)
    assert result.parts["graph"] > result.parts["measure"] > result.parts["blur"] > 0


@pytest.mark.parametrize("spec", ["skimage/skimage/thread-pool", "dask-image/dask-image/threads"])
def test_notes_change_no_result(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that takes notes finds what it finds without."""
    run, found = phases.run_pipeline, []
    monkeypatch.setattr(phases, "run_pipeline", lambda *given: found.append(run(*given)))
    profile(spec, count=3)
    # The first is of one image.
    plain, *noted = found[1:]
    assert len(noted) == profiles.CALLS
    assert [first_different_table(each, plain) for each in noted] == [None] * profiles.CALLS


@pytest.mark.parametrize("name", ["synchronous", "threads"])
def test_no_task_is_lost(name: str) -> None:
    """Dask's tasks are counted in a plain call; when notes are taken each has a job."""
    done: list[object] = []
    spec = parse_spec(f"dask-image/dask-blocks/{name}")
    with schedulers.start(name, workers=2) as scheduler:
        backend = Backend(*registry.load(spec), scheduler)
        with Callback(posttask=lambda key, *_: done.append(key)):
            phases.run_pipeline(backend, pattern(COUNT), PARAMS)
        plain, *noted = profiles.record(backend, pattern(COUNT), PARAMS)
    assert len(plain.tasks) == len(done)
    for call in noted:
        jobs = Counter(note.what for note in call.notes)
        assert jobs[BEGIN] == jobs[END] == len(call.tasks) >= len(done)
        assert {note.worker for note in call.notes} == {task.worker for task in call.tasks}


def test_median_call_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the profiled calls the one in the middle is reported, whole, and tasks of the plain one."""
    ends = (3.0, 7.0, 2.0, 5.0)
    calls = [Call(workers=1, marks=[Mark(0, "collect"), Mark(end, "")]) for end in ends]
    calls[0] = dataclasses.replace(calls[0], tasks=[Task("a", 0, 1, 1)])
    monkeypatch.setattr(profiles, "record", lambda *_: calls)
    result = profile("skimage/skimage/serial", count=1)
    assert (result.seconds, result.parts["collect"], result.tasks) == (5, 5, 1)


def test_errors_are_raised() -> None:
    """What a backend raises is the caller's to deal with."""
    with pytest.raises(InputError, match="can't run"):
        profile("dask-image/dask-image/serial")


def test_fresh_interpreter_imports_little() -> None:
    """To profile a backend without Dask nothing of Dask is imported, which would be charged."""
    code = (
        "import sys, segbench.measure.profile; print({'dask', 'skimage', 'scipy'} & {*sys.modules})"
    )
    found = subprocess.run(  # noqa: S603  (this interpreter, and the code above)
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "set()"


# From notes to parts


def job(start: float, *notes: tuple[str, float], end: float, worker: int = 1) -> list[Note]:
    """Notes of a job, from its beginning to its end."""
    inside = [Note(time, worker, what) for what, time in notes]
    return [Note(start, worker, BEGIN), *inside, Note(end, worker, END)]


def shown(*jobs: list[Note], workers: int = 2, end: float = 10, **values: Any) -> dict[str, float]:
    """Parts that are not 0 of a call whose workers work from 0 to its end."""
    marks = [Mark(0, WORK), Mark(end, "")]
    made = Call(
        workers=workers, marks=marks, notes=[note for each in jobs for note in each], **values
    )
    return {part: seconds for part, seconds in parts(made).items() if seconds}


def test_calling_thread() -> None:
    """What the calling thread does alone counts in full, from one mark to the next."""
    marks = [Mark(1, "decode"), Mark(2, "graph"), Mark(5, "collect"), Mark(9, "")]
    made = Call(workers=2, marks=marks)
    found = {part: seconds for part, seconds in parts(made).items() if seconds}
    assert found == {"decode": 1, "graph": 3, "collect": 4}
    assert made.seconds == 8


def test_loop() -> None:
    """What a single worker does before a note is work of that stage; it is never idle."""
    loop = job(0, ("decode", 2), ("blur", 3), ("decode", 7), end=9)
    assert shown(loop, workers=1) == {"decode": 6, "blur": 1, "collect": 2 + 1}


def test_pool() -> None:
    """Who has no item left is idle; who waits for one is not; when all are done, all is collected."""
    first, second = job(1, ("decode", 2), end=2), job(4, ("decode", 5), end=5)
    assert shown(first, second, job(2, ("decode", 9), end=9, worker=2)) == {
        "decode": (1 + 1 + 7) / 2,
        "scheduling": (1 + 2 + 2) / 2,
        "idle": (9 - 5) / 2,
        "collect": 1,
    }
    assert shown(job(0, ("blur", 8), end=8)) == {"blur": 4, "idle": 4, "collect": 2}


def test_tasks() -> None:
    """A worker with a task that it is not at waits for the scheduler; one without a task is idle."""
    tasks = [Task("a", 1, 5, 1), Task("b", 6, 9, 1)]
    jobs = (job(2, ("blur", 4), end=4), job(7, ("blur", 8), end=8))
    assert shown(*jobs, tasks=tasks) == {
        "blur": 1.5,
        "scheduling": (2 + 2) / 2,
        "idle": (1 + 1 + 9) / 2,
        "collect": 1,
    }
    assert shown(*jobs, tasks=tasks, workers=1) == {"blur": 3, "scheduling": 6, "collect": 1}


def test_rest_of_a_task_is_of_the_next_stage() -> None:
    """What is done after a note, or without one, belongs to the stage that notes what comes of it."""
    keys = "abcd"
    tasks = [Task(key, i, i + 1, 1) for i, key in enumerate(keys)]
    jobs = (
        job(0, ("blur", 0.25), end=1),  # a: its rest is for b, which is for c
        job(1, end=2),
        job(2, ("label", 3), end=3),
        job(3, end=4),  # d: nobody takes its result
    )
    dependents = {"a": ["b", "d"], "b": ["c"], "c": ["d"]}
    found = shown(*jobs, tasks=tasks, dependents=dependents, workers=1, end=4)
    assert found == {"blur": 0.25, "label": 0.75 + 1 + 1, "collect": 1}


def test_tasks_are_those_of_the_jobs_in_their_order() -> None:
    """Tasks are taken back late, or several of one job; the order says which job they are of."""
    dependents = {"a": ["z"], "b": ["y"], "c": ["y"]}
    later = [job(5, ("measure", 6), end=6), job(6, ("label", 7), end=7)]
    ends = [Task("z", 5, 6, 1), Task("y", 6, 7, 1)]
    late = [Task("a", 0, 4.5, 1), Task("b", 0, 4.6, 1), *ends]
    found = shown(job(0, end=1), job(1, end=4), *later, tasks=late, dependents=dependents, end=7)
    assert (found["measure"], found["label"]) == ((1 + 1) / 2, (3 + 1) / 2)
    # The job that is done first has two tasks, of which the earlier stage counts.
    batch = [Task("a", 0, 1, 1), Task("b", 0, 1, 1), Task("c", 0, 4, 1), *ends]
    found = shown(job(0, end=1), job(1, end=4), *later, tasks=batch, dependents=dependents, end=7)
    assert (found["measure"], found["label"]) == (1 / 2, (1 + 3 + 1) / 2)


def test_work_beside_the_calling_thread() -> None:
    """An operation that starts work and goes on: what the calling thread does counts."""
    marks = [Mark(0, WORK, "graph"), Mark(4, "graph"), Mark(6, "")]
    made = Call(
        workers=1, marks=marks, notes=job(1, ("blur", 5), end=5), tasks=[Task("a", 0, 5, 1)]
    )
    found = {part: seconds for part, seconds in parts(made).items() if seconds}
    assert found == {"blur": 3, "scheduling": 1, "graph": 2}


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20),
    st.booleans(),
)
def test_parts_add_up(pieces: list[tuple[float, float]], with_tasks: bool) -> None:
    """However long the jobs and the gaps are, the parts add up to the wall time."""
    jobs, tasks, ends = [], [], {1: 0.0, 2: 0.0}
    for i, (gap, length) in enumerate(pieces):
        worker = 1 + i % 2
        start = ends[worker] + gap
        ends[worker] = start + length
        jobs.append(job(start, ("blur", start + length / 2), end=ends[worker], worker=worker))
        tasks.append(Task(i, max(0, start - 0.1), ends[worker], worker))
    end = max(ends.values())
    found = shown(*jobs, end=end, tasks=tasks if with_tasks else ())
    assert sum(found.values()) == pytest.approx(end, abs=1e-9)
    assert min(found.values(), default=0) >= 0


def test_more_work_than_time_shows() -> None:
    """The parts exceed the wall time where more workers than there should be work."""
    jobs = [job(0, ("blur", 10), end=10, worker=worker) for worker in range(3)]
    assert sum(shown(*jobs).values()) == 15
