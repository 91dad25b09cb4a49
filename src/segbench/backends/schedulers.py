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
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import psutil

from segbench.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

LOOPBACK = "127.0.0.1"
CONNECT_SECONDS = 10
A_DAY = 24 * 60 * 60

# Dask sets it for the processes of a cluster, so that they give memory back to the system. Every large
# array then gets new pages: where a pool and threads keep theirs, a step that makes such arrays takes
# twice as long (`python -m evidence trimming`).
TRIMMING = "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_"

# A scheduler gives up workers that it has not heard from for some minutes, and one that rests hears from
# none. What hangs is ended by the time limit of a run.
PATIENCE = "distributed.scheduler.worker-ttl"

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
    "joblib": Kind(
        words="in joblib's processes",
        uses_dask=False,
        libraries=(*PROCESSES, "joblib"),
        extra="joblib",
    ),
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


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Where `distributed` runs.

    Attributes
    ----------
    address : str
        Of a cluster's scheduler that is there, such as ``tcp://host:8786``; empty: a cluster is started
        on this machine, which listens on nothing but it.
    threads : int
        Of each process of the cluster that is started.
    """

    address: str = ""
    threads: int = 1


@dataclass(frozen=True)
class Scheduler:
    """A started scheduler.

    Attributes
    ----------
    name : str
        One of `SCHEDULERS`.
    workers : int
        How many threads or processes work at once (1 for `serial` and `synchronous`).
    each : callable
        Applies a function to every one of some batches, and gives their results in order.
    fixed_batch : int
        How many items `map` gives a task; 0: four tasks a worker.
    client : distributed.Client, optional
        Of the cluster, where it is one.
    at_rest : callable
        Gives a context within which nothing of it runs, and nothing may be asked of it.
    """

    name: str
    workers: int
    each: Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]
    fixed_batch: int = 0
    client: Any = None
    at_rest: Callable[[], AbstractContextManager[None]] = nullcontext

    @property
    def addresses(self) -> frozenset[str]:
        """Of the cluster's workers now; none without a cluster."""
        return frozenset(self.client.scheduler_info(n_workers=-1)["workers"] if self.client else ())

    @property
    def place(self) -> str:
        """The cluster in words; empty without one."""
        if not self.client:
            return ""
        threads = self.client.nthreads().values()
        return (
            f"{len(threads)} workers with {sum(threads)} threads, scheduler at "
            f"{self.client.scheduler.address}"
        )

    def sent_bytes(self) -> dict[str, int]:
        """What each of the cluster's workers has sent until now, to others and back; none without one."""
        return self.client.run(_sent_bytes, on_error="ignore") if self.client else {}

    @property
    def uses_dask(self) -> bool:
        """Whether it runs Dask's graphs."""
        return SCHEDULERS[self.name].uses_dask

    def batch(self, count: int) -> int:
        """How many of so many items a task has."""
        return self.fixed_batch or batch_of(count, self.workers)

    def map(self, function: Callable[[T], R], items: Sequence[T] | NDArray[Any]) -> list[R]:
        """Apply `function` to every item, in order of the items, several in a task."""
        results = self.map_batches(partial(_apply, function), items)
        return [result for batch in results for result in batch]

    def map_batches(
        self, function: Callable[[Any], R], items: Sequence[Any] | NDArray[Any]
    ) -> list[R]:
        """Apply `function` to every batch of the items, a task each, in their order."""
        return self.each(function, self._batches(items))

    def delayed(self, items: Sequence[Any]) -> list[Any]:
        """As many tasks of Dask as `map` would compute."""
        return _delayed(len, self._batches(items))

    def _batches(self, items: Sequence[T] | NDArray[Any]) -> list[Any]:
        size = self.batch(len(items))
        return [items[start : start + size] for start in range(0, len(items), size)]


def _sent_bytes(dask_worker: Any) -> int:
    return int(dask_worker.transfer_outgoing_bytes_total)


def batch_of(count: int, workers: int) -> int:
    """How many of so many items a task is to have.

    Four tasks a worker keep the workers evenly loaded to the end; fewer and larger ones save what a
    task costs.
    """
    return max(1, math.ceil(count / (4 * workers)))


def _apply(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    return [function(item) for item in items]


def _loop(function: Callable[[T], R], batches: Sequence[T]) -> list[R]:
    return [function(batch) for batch in batches]


def _compute(function: Callable[[T], R], batches: Sequence[T]) -> list[R]:
    import dask  # noqa: PLC0415  (only backends that use Dask pay for importing it)

    return list(dask.compute(*_delayed(function, batches)))


def _delayed(function: Callable[[T], R], batches: Sequence[T]) -> list[Any]:
    import dask  # noqa: PLC0415  (as above)

    # pure=False: otherwise Dask hashes every item, pixels too, to name the task. As a part of the
    # function a batch is handed on as it is: Dask looks for lazy values in arguments.
    return [dask.delayed(partial(function, batch), pure=False)() for batch in batches]


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
def _joblib(workers: int, prepare: Callable[[], object] | None) -> Iterator[Any]:
    """Start joblib's processes, and prepare them."""
    from joblib import Parallel, delayed  # noqa: PLC0415  (an extra)

    # Batches are made by `Scheduler.map`, and arrays are sent as they are: joblib would write large
    # ones to files that its processes map. They stay until the end, as those of the other pools do.
    kept: dict[str, Any] = {"batch_size": 1, "max_nbytes": None, "idle_worker_timeout": A_DAY}
    with Parallel(workers, backend="loky", **kept) as parallel:
        answered: set[int] = set()
        while len(answered) < workers:
            answered.update(parallel(delayed(_prepared)(prepare) for _ in range(workers)))
            if os.getpid() in answered:  # with one worker joblib starts no process
                break
        yield lambda function, batches: parallel(delayed(function)(batch) for batch in batches)


@contextmanager
def _cluster(cluster: Cluster, workers: int) -> Iterator[Any]:
    """A client of the cluster that is there, or of one that is started."""
    # Only backends that use Dask pay for importing it.
    import dask  # noqa: PLC0415
    from distributed import Client, LocalCluster  # noqa: PLC0415

    if not cluster.address:
        # As many processes as have so many threads between them, on this machine's own interface.
        processes = max(1, workers // cluster.threads)
        shape = {"n_workers": processes, "threads_per_worker": cluster.threads}
        # Also without a dashboard there is a server, whose usual port may be another cluster's.
        served = {"dashboard_address": f"{LOOPBACK}:0"}
        with (
            dask.config.set({TRIMMING: None, PATIENCE: None}),
            LocalCluster(
                **shape, host=LOOPBACK, dashboard_address=None, scheduler_kwargs=served
            ) as own,
            Client(own) as one,
        ):
            yield one
        return
    try:
        client = Client(cluster.address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, TimeoutError) as error:
        why = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(
            f"no Dask scheduler answers at {cluster.address} ({why}): start one, or leave out "
            "--scheduler-address"
        ) from error
    with client:
        if not client.nthreads():
            raise InputError(f"the cluster at {cluster.address} has no workers: start some")
        yield client


@contextmanager
def _at_rest(client: Any) -> Iterator[None]:
    """Stop a cluster of this machine: its workers, and the loop of its scheduler and client in this process.

    They look after each other many times a second, and would take that from whatever is timed meanwhile.
    """
    over = threading.Event()
    pids = client.run(os.getpid, on_error="ignore").values()
    try:
        _each(pids, psutil.Process.suspend)
        client.loop.add_callback(over.wait)
        yield
    finally:
        _each(pids, psutil.Process.resume)
        over.set()
    # What they look after is overdue now: once they answer, that is done.
    client.run(os.getpid, on_error="ignore")


def _each(pids: Iterable[int], what: Callable[[psutil.Process], None]) -> None:
    """Do something with those of some processes that are there."""
    for pid in pids:
        with suppress(psutil.Error):
            what(psutil.Process(pid))


def _prepare_cluster(client: Any, prepare: Callable[[], object]) -> None:
    """Prepare every process of a cluster."""
    try:
        client.run(prepare)
    except ImportError as error:
        raise InputError(
            f"the cluster's workers can't import what they need ({error}): install the same segbench "
            "there, with its libraries"
        ) from error


def _prepared(prepare: Callable[[], object] | None) -> int:
    if prepare:
        prepare()
    time.sleep(0.01)  # so that the others have one, too
    return os.getpid()


@contextmanager
def start(
    name: str,
    *,
    workers: int,
    batch: int = 0,
    cluster: Cluster = Cluster(),
    prepare: Callable[[], object] | None = None,
) -> Iterator[Scheduler]:
    """Start a scheduler, and stop it at the end of the block.

    Parameters
    ----------
    name : str
        One of `SCHEDULERS`.
    workers : int
        How many threads or processes work at once.
    batch : int
        How many items of a `map` make a task; 0: four tasks a worker.
    cluster : Cluster
        For `distributed`; a cluster that is there has its own number of workers.
    prepare : callable, optional
        Called once in every process of a pool, before its first task: imports what will be needed.

    Yields
    ------
    Scheduler
        Inside the block Dask computes under it too, where it is one of Dask's.
    """
    workers = SCHEDULERS[name].workers or workers
    each = _compute if SCHEDULERS[name].uses_dask else _loop
    pool: Executor | None = None
    with ExitStack() as stack:
        if name == "thread-pool":
            pool = stack.enter_context(ThreadPoolExecutor(workers))
        elif name in ("process-pool", "processes"):
            pool = stack.enter_context(_process_pool(workers, prepare))
        elif name == "joblib":
            each = stack.enter_context(_joblib(workers, prepare))
        client = None
        at_rest: Callable[[], AbstractContextManager[None]] = nullcontext
        if name == "distributed":
            client = stack.enter_context(_cluster(cluster, workers))
            workers = sum(client.nthreads().values())
            # What others have started is not ours to stop.
            at_rest = nullcontext if cluster.address else partial(_at_rest, client)
            if prepare:
                _prepare_cluster(client, prepare)
        elif name in WITH_DASK:
            import dask  # noqa: PLC0415  (as above)

            # Dask starts a new pool of processes for every compute unless it is given one.
            # And gives a process six tasks at once: of eight batches for two, one would have six.
            how = {"scheduler": name, "num_workers": workers, "pool": pool}
            stack.enter_context(
                dask.config.set(how | {"chunksize": 1} if name == "processes" else how)
            )
        elif pool:
            each = partial(_in_pool, pool)
        yield Scheduler(name, workers, each, batch, client, at_rest)


def _in_pool(pool: Executor, function: Callable[[T], R], batches: Sequence[T]) -> list[R]:
    return list(pool.map(function, batches))
