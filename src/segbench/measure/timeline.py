"""Where the wall time of a call goes, from what was recorded of it.

The time line of a call is cut where the calling thread begins something else. While its workers
work, each of them has a time line too, of spans and of the gaps between them. Every part is the
sum of pieces between two recorded moments; none is what the others leave over. Where work is
missed between two steps of an image, is counted twice, or is done by more workers than there
should be, the parts no longer add up to the wall time. A task of Dask whose span is lost would pass
for a gap instead: the tests hold the spans against the tasks that the scheduler handed out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from segbench.measure.spans import MASK, OPERATION
from segbench.results.records import PARTS, STAGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from segbench.measure.spans import Span

# What the calling thread does while workers work: it runs Dask's scheduler, waits for a pool, or is
# the only worker itself. Else it does one of `PARTS`.
TASKS, POOL, LOOP = "tasks", "pool", "loop"


@dataclass(frozen=True)
class Mark:
    """A moment at which the calling thread begins something.

    Attributes
    ----------
    time : float
        Seconds by ``time.perf_counter``.
    doing : str
        One of `PARTS`, `TASKS`, `POOL` and `LOOP`; empty at the end of the call.
    stage : str
        The operation it is in, if any: some compute already while they build their graph.
    """

    time: float
    doing: str
    stage: str = ""


@dataclass(frozen=True)
class HandOut:
    """A task from the moment Dask's scheduler gave it to a worker to that of having its result."""

    name: str
    block: tuple[int | str, ...]
    start: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Call:
    """All that was recorded of one call of the pipeline.

    Attributes
    ----------
    workers : int
        Threads or processes that may work at once.
    alone : bool
        Whether the calling thread is the worker of Dask's scheduler, which then can't be idle.
    marks : sequence of Mark
        In order; the first is the beginning of the call and the last its end.
    spans : sequence of Span
        What the workers carried out.
    hand_outs : sequence of HandOut
        What Dask's scheduler handed out.
    layers : mapping of str to str
        Layers of Dask's graphs, and the stage each belongs to.
    """

    workers: int
    alone: bool
    marks: Sequence[Mark]
    spans: Sequence[Span]
    hand_outs: Sequence[HandOut]
    layers: Mapping[str, str]

    def layer(self, span: Span) -> str:
        """Which of the layers a task belongs to; empty where that is none."""
        # What was fused before it became part of a layer is known by what it was fused into.
        names = (span.name, *reversed(span.inside))
        return next(filter(None, (layer_of(name, self.layers) for name in names)), "")

    @property
    def seconds(self) -> float:
        """Wall time."""
        return self.marks[-1].time - self.marks[0].time

    def stage(self, span: Span) -> str:
        """Which of `PARTS` a span belongs to."""
        if span.name.startswith(OPERATION):
            name = span.name.removeprefix(OPERATION)
            return "threshold" if name == MASK else name
        if not span.work:
            # Its own time is Dask's, which runs the tasks that it was fused from.
            return "scheduling"
        if layer := self.layer(span):
            return self.layers[layer]
        for mark, following in pairwise(self.marks):
            if mark.stage and mark.time <= span.start < following.time:
                return mark.stage
        # What Dask adds at the end of every graph puts the blocks of the results together.
        return "collect" if span.name.startswith("finalize") else "scheduling"


def layer_of(name: str, layers: Mapping[str, str]) -> str:
    """Which layer made a task; empty where none of them did.

    Dask's optimisation appends to the name of the layer, such as ``-<token>`` and ``_.2_.1``.
    """
    while name and name not in layers:
        name = name[: max(name.rfind("-"), name.rfind("_"), 0)]
    return name


def parts(call: Call) -> dict[str, float]:
    """Seconds of a call's wall time by `PARTS`; time of workers is divided by their number."""
    seconds = dict.fromkeys(PARTS, 0.0)
    for mark, following in pairwise(call.marks):
        if mark.doing in seconds:
            seconds[mark.doing] += following.time - mark.time
            continue
        for part, worked in _worked(call, mark, following.time):
            seconds[part] += worked / (1 if mark.doing == LOOP else call.workers)
    return seconds


def times_carried_out(call: Call, n_images: int) -> dict[str, int]:
    """How often each stage was carried out, over all images.

    An operation on an image counts as it is called. Of tasks, those that make the same block of
    the same layer repeat each other. Where some tasks of a stage are repeated more often than
    others (dask-image's labelling), each kind counts with the share of the stage's time that it
    would have if nothing were repeated.
    """
    times: dict[str, int] = Counter()
    runs: dict[str, dict[str, list[tuple[str, Span]]]] = defaultdict(lambda: defaultdict(list))
    for span in call.spans:
        if span.name.startswith(OPERATION):
            if not span.name.endswith(MASK):
                times[call.stage(span)] += 1
        elif span.work and (layer := call.layer(span)):
            name = layer_of(span.name, call.layers) or span.name
            # Dask puts a token at the end of every name: add-1a2b is of the kind `add`.
            runs[call.layers[layer]][name.partition("-")[0]].append((name, span))
    for stage, kinds in runs.items():
        if stage not in times:
            times[stage] = round(n_images * _repeats(kinds.values()))
    return {stage: times[stage] for stage in STAGES if stage in times}


def _repeats(kinds: Iterable[Sequence[tuple[str, Span]]]) -> float:
    total, once = 0.0, 0.0
    for runs in kinds:
        different = {(name, span.block) for name, span in runs}
        seconds = sum(span.own for _, span in runs)
        total += seconds
        once += seconds * len(different) / len(runs)
    return total / once


def _worked(call: Call, mark: Mark, end: float) -> Iterator[tuple[str, float]]:
    """Parts of the workers' time from a mark to its end, and the seconds of each worker added."""
    spans = [span for span in call.spans if mark.time <= span.start and span.end <= end]
    yield from ((call.stage(span), span.own) for span in spans)
    if mark.doing == LOOP:
        return
    lines = defaultdict(list)
    for span in spans:
        if not span.inside:
            lines[span.worker].append(span)
    for line in lines.values():
        line.sort(key=lambda span: span.start)
    if mark.doing == POOL:
        yield from _pool_gaps(call, list(lines.values()), mark.time, end)
    else:
        yield from _task_gaps(call, list(lines.values()), mark.time, end)


def _pool_gaps(
    call: Call, lines: Sequence[Sequence[Span]], start: float, end: float
) -> Iterator[tuple[str, float]]:
    """Time between the items of a pool: handing over, or nothing left to do."""
    # From here on what is left is to take back results.
    done = max((line[-1].end for line in lines), default=start)
    for line in lines:
        yield "scheduling", line[0].start - start
        for before, after in pairwise(line):
            # A worker that goes back to an earlier stage has the next image. Between the stages
            # of one image nobody hands anything over.
            if STAGES.index(call.stage(after)) <= STAGES.index(call.stage(before)):
                yield "scheduling", max(0.0, after.start - before.end)
        yield "idle", done - line[-1].end
    yield "idle", max(0, call.workers - len(lines)) * (done - start)
    yield "scheduling", max(call.workers, len(lines)) * (end - done)


def _task_gaps(
    call: Call, lines: Sequence[Sequence[Span]], start: float, end: float
) -> Iterator[tuple[str, float]]:
    """Time between the tasks of Dask's workers: handed out or taken back, or nothing to do."""
    handed = {
        (task.name, task.block): task for task in call.hand_outs if start <= task.start <= end
    }
    for line in lines:
        tasks = [handed.get((span.name, span.block)) for span in line]
        for i in range(len(line) + 1):
            begin = line[i - 1].end if i > 0 else start
            finish = line[i].start if i < len(line) else end
            before = tasks[i - 1] if i > 0 else None
            after = tasks[i] if i < len(line) else None
            taken_back = before.end if before else begin
            given = after.start if after else finish
            # The worker waits from when its last result was taken back to when it is given a task.
            idle = 0.0 if call.alone else max(0.0, min(given, finish) - max(taken_back, begin))
            yield "idle", idle
            yield "scheduling", max(0.0, finish - begin) - idle
    # Nothing is taken off where more workers than there should be worked: the sum shows it.
    yield "idle", max(0, call.workers - len(lines)) * (end - start)
