"""What is carried out when: recorded where it runs, in any thread of any process of a machine.

A span is taken with :func:`time.perf_counter`, whose clock all processes of a machine share (it is
monotonic and system-wide on Linux, macOS and Windows). Spans of other processes go to files in a
folder: a process of a pool has no other way back than its results, and those are part of what is
timed.
"""

from __future__ import annotations

import functools
import json
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from segbench.backends.registry import UnavailableError
from segbench.results.records import STAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

R = TypeVar("R")

# What the names of the operations begin with, which no name of a Dask task does.
OPERATION = "segbench."

# The comparison with the threshold, which lies between two operations.
MASK = "mask"

# The last operation on an image.
LAST = OPERATION + STAGES[-1]

# Keys of what is no task of its own but an argument of one, made as that task is run.
ARGUMENT = "__dask_blockwise__"

# Comes after the name of a layer in that of a task that was fused with others block by block.
FUSED = "_."


@dataclass(frozen=True)
class Span:
    """Something that was carried out.

    Attributes
    ----------
    name : str
        Of an operation, or of a Dask task.
    block : tuple
        Which block of its array a Dask task makes; empty where that is not known.
    inside : tuple of str
        Names of the spans it lies in, the outermost first.
    start, end : float
        Seconds by ``time.perf_counter``.
    own : float
        Seconds of it that lie in no span inside it.
    work : bool
        Whether it is work itself: neither a task that runs those it was fused from, nor a second
        name of a result.
    worker : tuple of int
        Process and thread.
    """

    name: str
    block: tuple[int | str, ...]
    inside: tuple[str, ...]
    start: float
    end: float
    own: float
    work: bool
    worker: tuple[int, int]


@dataclass(frozen=True)
class Spool:
    """Where spans go.

    Attributes
    ----------
    folder : str
        For the files of other processes.
    owner : int
        The process that reads the spans, and keeps its own in memory.
    """

    folder: str
    owner: int


@dataclass(frozen=True)
class Operation:
    """An operation on an image that records when it is carried out; a process may be sent it.

    Attributes
    ----------
    function : callable
        The operation.
    stage : str
        One of the stages of the pipeline.
    spool : Spool
        Where the spans go.
    """

    function: Callable[..., Any]
    stage: str
    spool: Spool

    def __call__(self, *arguments: Any) -> Any:
        """Carry it out."""
        if self.stage == "label":
            _record_mask()
        return _record(self.spool, OPERATION + self.stage, (), self.function, *arguments)


def collect(spool: Spool) -> list[Span]:
    """Take all spans that any process has recorded, in the process that owns the spool."""
    _put_away(spool)  # what was left where a call failed
    spans, _KEPT[:] = _KEPT.copy(), []
    for path in sorted(Path(spool.folder).glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            process, thread, values = json.loads(line)
            spans += [_span(value, (process, thread)) for value in values]
    return spans


def split_key(key: object) -> tuple[str, tuple[int | str, ...]]:
    """Take the key of a Dask task, such as ``("add-12ab", 0, 3)``, apart.

    Returns
    -------
    name : str
        Of the task or of the layer of the graph.
    block : tuple of int or str
        The rest.
    """
    if isinstance(key, tuple):
        return str(key[0]), tuple(i if isinstance(i, int) else str(i) for i in key[1:])
    return str(key), ()


def record_tasks(spool: Spool) -> None:
    """Record in this process when Dask's tasks are run, until :func:`stop_recording_tasks`.

    Dask's own callbacks see a task when it is handed out and taken back, and one that was fused
    from several as one. What runs inside is seen by the class of the tasks alone, which is not
    part of Dask's public interface.

    Raises
    ------
    UnavailableError
        If this Dask has no such class.
    """
    try:
        from dask._task_spec import Alias, Task  # noqa: PLC0415  (without Dask nobody pays for it)
    except ImportError as error:
        # Before Dask 2024.12 tasks were tuples. Without what runs inside a task its time could
        # only be given to one stage of the several that were fused into it.
        raise UnavailableError(f"the stages of this Dask can't be told apart: {error}") from error
    if not _ORIGINALS:
        for node, recorded in ((Task, _recorded_task), (Alias, _recorded_alias)):
            _ORIGINALS[node] = node.__call__
            setattr(node, _CALL, recorded(node.__call__, spool))


def stop_recording_tasks() -> None:
    """Put Dask's tasks back as they were, in this process."""
    while _ORIGINALS:
        node, call = _ORIGINALS.popitem()
        setattr(node, _CALL, call)


# Not written as an attribute: to a class with slots mypy lets no method be assigned.
_CALL = "__call__"
_ORIGINALS: dict[type, Callable[..., Any]] = {}


def _recorded_task(call: Callable[..., R], spool: Spool) -> Callable[..., R]:
    def recorded(task: Any, *values: Any) -> R:
        name, block = split_key(task.key)
        if task.key is None or name.startswith(ARGUMENT):
            return call(task, *values)
        # What gives a result a second name.
        work = getattr(task.func, "__name__", "") != "_identity"
        return _record(spool, name, block, call, task, *values, work=work)

    return recorded


def _recorded_alias(call: Callable[..., R], spool: Spool) -> Callable[..., R]:
    def recorded(alias: Any, *values: Any) -> R:
        if _THREAD.open:
            return call(alias, *values)
        # As if it had spans inside: to look a result up is no work.
        return _record(spool, *split_key(alias.key), call, alias, *values, work=False)

    return recorded


@dataclass
class _Open:
    """A span that has not ended, or the thread outside all spans."""

    name: str = ""
    block: tuple[int | str, ...] = ()
    inside: float = 0.0  # seconds of the spans in it
    work: bool = True


@dataclass
class _Thread(threading.local):
    """The spans of a thread, those that have ended as `Span` but for its worker."""

    open: list[_Open] = field(default_factory=list)
    done: list[tuple[Any, ...]] = field(default_factory=list)
    last: str = ""  # the name of the one that ended last ...
    ended: float = 0.0  # ... and when


_THREAD = _Thread()
_KEPT: list[Span] = []


def _record(
    spool: Spool,
    name: str,
    block: tuple[int | str, ...],
    call: Callable[..., R],
    *arguments: Any,
    work: bool = True,
) -> R:
    thread = _THREAD
    around = thread.open[-1] if thread.open else _Open()
    if not block and (FUSED in name or around.name.startswith(name)):
        # Layers that were fused block by block don't name it: it is that of the task around.
        block = around.block
    span = _Open(name, block, work=work)
    thread.open.append(span)
    start = time.perf_counter()
    try:
        return call(*arguments)
    finally:
        end = time.perf_counter()
        thread.open.pop()
        around.inside += end - start
        around.work = False
        own = end - start - span.inside
        thread.done.append((name, block, _names(thread), start, end, own, span.work))
        thread.last, thread.ended = name, end
        # Where steps of an image are not inside a task, the last of them ends it.
        if not thread.open and (name == LAST or not name.startswith(OPERATION)):
            _put_away(spool)


def _record_mask() -> None:
    """Record what lies between the threshold, where it was this thread's last span, and now."""
    thread, end = _THREAD, time.perf_counter()
    if thread.last != OPERATION + "threshold":
        return
    around = thread.open[-1] if thread.open else _Open()
    seconds = end - thread.ended
    around.inside += seconds
    span = (OPERATION + MASK, (), _names(thread), thread.ended, end, seconds, True)
    thread.done.append(span)


def _names(thread: _Thread) -> list[str]:
    return [span.name for span in thread.open]


def _put_away(spool: Spool) -> None:
    done, _THREAD.done = _THREAD.done, []
    process, thread = os.getpid(), threading.get_ident()
    if process == spool.owner:
        _KEPT.extend(_span(values, (process, thread)) for values in done)
        return
    line = json.dumps([process, thread, done]) + "\n"
    # At once, so that the lines of several threads don't get into each other.
    os.write(_descriptor(spool.folder), line.encode())


def _span(values: Sequence[Any], worker: tuple[int, int]) -> Span:
    name, block, inside, start, end, own, work = values
    return Span(name, tuple(block), tuple(inside), start, end, own, work, worker)


@functools.cache
def _descriptor(folder: str) -> int:
    path = Path(folder) / f"{os.getpid()}.jsonl"
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, mode=0o600)
