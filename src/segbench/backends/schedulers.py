"""Where the work runs: without Dask, or under one of Dask's schedulers.

Pools are started once and kept, with Dask and without, so that a timed call never pays for
starting processes under one name and not under another.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import threading
import time
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What is known of a scheduler before it is started.

    Attributes
    ----------
    words : str
        How a sentence goes on that says where the work runs.
    uses_dask : bool
        Whether it runs Dask's graphs.
    workers : int, optional
        How many it has, whatever is asked for.
    libraries : tuple of str
        Distributions that it uses beside those that every backend does.
    extra : str
        Module that it needs beyond the core dependencies, which segbench's extra of that name brings.
    """

    words: str
    uses_dask: bool = True
    workers: int | None = None
    libraries: tuple[str, ...] = ()
    extra: str = ""


# cytoolz is taken for toolz where it is installed.
DASK = ("dask", "toolz", "cytoolz")
# What sends a task to another process.
PROCESSES = ("cloudpickle",)

SCHEDULERS = {
    "serial": Kind(words="in a plain loop", uses_dask=False, workers=1),
    "thread-pool": Kind(words="in a thread pool", uses_dask=False),
    "process-pool": Kind(words="in a process pool", uses_dask=False, libraries=PROCESSES),
    "synchronous": Kind(words="on Dask's one thread", workers=1, libraries=DASK),
    "threads": Kind(words="on Dask's threads", libraries=DASK),
    "processes": Kind(words="on Dask's processes", libraries=(*DASK, *PROCESSES)),
    "distributed": Kind(
        words="on a Dask cluster",
        libraries=(*DASK, *PROCESSES, "distributed", "msgpack", "tornado"),
        extra="distributed",
    ),
}
WITHOUT_DASK = tuple(name for name, kind in SCHEDULERS.items() if not kind.uses_dask)
WITH_DASK = tuple(name for name, kind in SCHEDULERS.items() if kind.uses_dask)
# What works in the calling thread alone.
ON_ONE_CPU = tuple(name for name, kind in SCHEDULERS.items() if kind.workers == 1)


@dataclass(frozen=True)
class Scheduler:
    """A started scheduler.

    Attributes
    ----------
    name : str
        One of `SCHEDULERS`.
    workers : int
        How many threads or processes work at once (1 for `serial` and `synchronous`).
    pool : Executor, optional
        The pool that `map` spreads over; without one it computes under Dask's scheduler where that
        has several workers, and is a plain loop otherwise.
    """

    name: str
    workers: int
    pool: Executor | None = None

    def map(self, function: Callable[[T], R], items: Sequence[T] | NDArray[Any]) -> list[R]:
        """Apply `function` to every item, in order of the items."""
        if self.workers == 1:
            return [function(item) for item in items]
        # A task of several items: four a worker keeps the workers evenly loaded, and a process is
        # sent the function (with its handle on the files) four times rather than once an image.
        size = max(1, math.ceil(len(items) / (4 * self.workers)))
        if self.pool is not None:
            return list(self.pool.map(function, items, chunksize=size))
        import dask  # noqa: PLC0415  (only backends that use Dask pay for importing it)

        batches = [items[start : start + size] for start in range(0, len(items), size)]
        # pure=False: otherwise Dask hashes every item, pixels too, to name the task.
        each = dask.delayed(_apply, pure=False)
        results = dask.compute(*(each(function, batch) for batch in batches))
        return [result for batch in results for result in batch]


def _apply(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    return [function(item) for item in items]


@contextmanager
def _process_pool(
    workers: int, prepare: Callable[[], object] | None
) -> Iterator[ProcessPoolExecutor]:
    """Start a pool whose processes have all started, and prepared, before its first task."""
    # spawn, not fork: forking a process that has threads can deadlock, and macOS and Windows spawn.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=_begin, initargs=(prepare,)
    ) as pool:
        # A process is started when a task finds all others busy, so tasks are handed out until
        # each process has had one.
        answered: set[int] = set()
        while len(answered) < workers:
            answered.update(pool.map(_busy_for_a_moment, range(workers)))
        yield pool


def _begin(prepare: Callable[[], object] | None) -> None:
    """Prepare a process of a pool, which is to end when its parent does, however that ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if prepare:
        prepare()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _busy_for_a_moment(_: int) -> int:
    time.sleep(0.01)
    return os.getpid()


@contextmanager
def start(
    name: str, *, workers: int, prepare: Callable[[], object] | None = None
) -> Iterator[Scheduler]:
    """Start a scheduler, and stop it at the end of the block.

    Parameters
    ----------
    name : str
        One of `SCHEDULERS`.
    workers : int
        How many threads or processes work at once.
    prepare : callable, optional
        Called once in every process of a pool, before its first task: imports what will be needed.

    Yields
    ------
    Scheduler
        Inside the block Dask computes under it too, where it is one of Dask's.
    """
    workers = SCHEDULERS[name].workers or workers
    pool: Executor | None = None
    with ExitStack() as stack:
        if name == "thread-pool":
            pool = stack.enter_context(ThreadPoolExecutor(workers))
        elif name in ("process-pool", "processes"):
            pool = stack.enter_context(_process_pool(workers, prepare))
        if name == "distributed":
            # Only backends that use Dask pay for importing it.
            from distributed import Client, LocalCluster  # noqa: PLC0415

            cluster = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
            client = stack.enter_context(Client(stack.enter_context(cluster)))
            if prepare:
                client.run(prepare)
        elif name in WITH_DASK:
            import dask  # noqa: PLC0415  (as above)

            # Dask starts a new pool of processes for every compute unless it is given one.
            stack.enter_context(dask.config.set(scheduler=name, num_workers=workers, pool=pool))
        yield Scheduler(name, workers, pool if name in WITHOUT_DASK else None)
