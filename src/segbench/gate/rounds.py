"""Rounds: every case of every arm, side by side, each time in new processes.

Two processes of one program differ for as long as they live, by memory layout for one. So an arm
is started anew in every round, and a round is what a comparison counts: that difference is in the
spread from round to round, and so in the interval.
"""

from __future__ import annotations

import dataclasses
import random
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segbench.backends.registry import BASELINE
from segbench.errors import InputError
from segbench.images import datasets
from segbench.measure import asking, engine, protocol
from segbench.measure.engine import END_SECONDS
from segbench.measure.protocol import Checked, Failed, Made, Refused, Started
from segbench.measure.workers import WorkerProcess, stop_all

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    from segbench.backends.registry import BackendSpec
    from segbench.gate.plan import Case, Plan
    from segbench.images.datasets import Dataset
    from segbench.measure.engine import Watcher

# In each round a case is timed in so many pairs of blocks at the most, in one at the least, and as
# many in between as fit these seconds of each arm.
MOST_PAIRS = 3
ARM_SECONDS = 0.3

# An arm that fails so has lost its worker.
ENDING = ("crashed", "timeout", "memory")


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What is compared with another.

    Attributes
    ----------
    name : str
        ``base``, ``head``, ...
    python : Path, optional
        Interpreter in whose environment segbench is; None: this one.
    slowdown : float
        Share by which its calls are made longer.
    """

    name: str
    python: Path | None = None
    slowdown: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Block:
    """A case, timed once in every arm, one right after the other; or how an arm failed.

    Attributes
    ----------
    round, block : int
        From 1.
    case : Case
        What was timed.
    seconds : tuple of float
        Wall time of one call in each arm; empty where one failed.
    arm : str
        Which failed; empty where none did.
    failed : Failed, optional
        How.
    """

    round: int
    block: int
    case: Case
    seconds: tuple[float, ...] = ()
    arm: str = ""
    failed: Failed | None = None


@dataclass(frozen=True, kw_only=True)
class Images:
    """The images of a gate, and what is to be found in them.

    Attributes
    ----------
    dataset : Dataset
        At least as many as the largest size.
    folder : str
        Holds the reference, for the workers.
    objects : tuple of int
        To be found in each image.
    """

    dataset: Dataset
    folder: str
    objects: tuple[int, ...]


def fitted(plan: Plan, dataset: Dataset, watcher: Watcher) -> Plan:
    """A plan without the sizes that the dataset has no images for, which are told of.

    Raises
    ------
    InputError
        If it has images for none.
    """
    return dataclasses.replace(plan, sizes=engine.fitting_sizes(plan.sizes, dataset, watcher)[0])


def make_reference(dataset: Dataset, folder: str, *, plan: Plan, python: Path | None) -> Images:
    """Segment the images with the baseline of one arm, which all are then compared with.

    Raises
    ------
    InputError
        If it fails.
    """
    worker = _launch(Arm(name="reference", python=python), BASELINE, dataset, plan)
    try:
        pattern = datasets.lay_out(dataset, plan.sizes[-1])
        worker.send(protocol.Reference(pattern, folder, []))
        reply = worker.receive(limit=asking.START_SECONDS + plan.time_limit)
        if isinstance(reply, Started):
            reply = worker.receive(limit=None)
    finally:
        worker.stop()
    if isinstance(reply, Made):
        return Images(dataset=dataset, folder=folder, objects=tuple(reply.objects))
    raise InputError(f"the reference {BASELINE} failed: {asking.failure(reply).cause}")


def measure(
    arms: Sequence[Arm],
    cases: Sequence[Case],
    images: Images,
    *,
    plan: Plan,
    seed: str,
    say: Callable[[str], None],
) -> Generator[Block, None, None]:
    """Time cases in rounds, each arm in new processes in each.

    Parameters
    ----------
    arms : sequence of Arm
        What is timed side by side.
    cases : sequence of Case
        A case in which an arm fails is left out from then on.
    images : Images
        With the reference.
    plan : Plan
        Limits, and the number of rounds.
    seed : str
        Of the order of the arms.
    say : callable
        Told what is next, once a round and backend.

    Yields
    ------
    Block
        As soon as it is measured.
    """
    left: defaultdict[BackendSpec, list[Case]] = defaultdict(list)
    for case in cases:
        left[case.backend].append(case)
    for number in range(1, plan.rounds + 1):
        for backend, own in left.items():
            say(f"round {number}: {backend}")
            pending = list(own)
            # Again where a worker is lost: for what is left of the round.
            while pending:
                with _workers(arms, backend, images.dataset, plan) as workers:
                    for block in _round(number, workers, pending, images, plan, seed):
                        if block.failed and block.case in own:
                            own.remove(block.case)
                        yield block


def _launch(arm: Arm, backend: BackendSpec, dataset: Dataset, plan: Plan) -> WorkerProcess:
    worker = WorkerProcess(
        native_threads=plan.native_threads, memory_limit=plan.memory_limit, python=arm.python
    )
    image = datasets.lay_out(dataset, 1)
    worker.send(
        asking.start(
            backend,
            workers=plan.workers,
            image=image,
            params=plan.params,
            slowdown=arm.slowdown,
        )
    )
    return worker


@contextmanager
def _workers(
    arms: Sequence[Arm], backend: BackendSpec, dataset: Dataset, plan: Plan
) -> Iterator[dict[str, WorkerProcess]]:
    """A worker for each arm, by its name; all end with the round, whatever ends it."""
    workers: dict[str, WorkerProcess] = {}
    grace = 0.0
    try:
        for arm in arms:
            workers[arm.name] = _launch(arm, backend, dataset, plan)
        yield workers
        grace = END_SECONDS
    finally:
        stop_all(workers.values(), grace=grace)


def _round(
    number: int,
    workers: dict[str, WorkerProcess],
    pending: list[Case],
    images: Images,
    plan: Plan,
    seed: str,
) -> Iterator[Block]:
    """Take cases of one backend from those that are pending, until none is or a worker is lost."""
    lacking = _hear_starts(workers, plan)
    live = {name: worker for name, worker in workers.items() if name not in lacking}
    while pending:
        case = pending.pop(0)
        # Also where an arm lacks the backend: what another finds is right or wrong by itself.
        calls, failed = _check(live, case, images, plan)
        failed = {**lacking, **failed}
        spent, block = 0.0, 0
        for order in _orders(live, f"{seed}/{number}/{case}"):
            # Only after both blocks of a pair.
            if failed or (block % 2 == 0 and spent > ARM_SECONDS):
                break
            block += 1
            # One CPU for both blocks of a pair, and each has its turn over the rounds.
            cpu = asking.cpu_of(case.backend, case.phase, number + (block - 1) // 2)
            seconds, failed = _time(live, case, calls, images, plan, order, cpu)
            if not failed:
                yield Block(round=number, block=block, case=case, seconds=seconds)
            spent += sum(seconds) / len(live) * max(calls.values())
        for name, how in failed.items():
            yield Block(round=number, block=block, case=case, arm=name, failed=how)
        if any(failed[name].status in ENDING for name in failed if name in live):
            return


def _orders(arms: Iterable[str], seed: str) -> Iterator[list[str]]:
    """Orders of the arms, a block each: a random one, then the same the other way round.

    So each arm comes first as often as last: the same call takes some per cent longer where another
    one's came before it. What gets slower or faster in the meantime cancels, too.
    """
    rng = random.Random(seed)  # noqa: S311  (an order, not a secret)
    names = list(arms)
    for _ in range(MOST_PAIRS):
        order = rng.sample(names, len(names))
        yield order
        yield order[::-1]


def _hear_starts(workers: dict[str, WorkerProcess], plan: Plan) -> dict[str, Failed]:
    """How the arms failed that did not start, by name."""
    lacking = {}
    for name, worker in workers.items():
        reply = worker.receive(limit=asking.START_SECONDS + plan.time_limit)
        if isinstance(reply, Refused):
            # This side's segbench knows no such backend.
            lacking[name] = Failed("unavailable", reply.reason)
        elif not isinstance(reply, Started):
            # A backend that it knows and that can't be loaded is broken; or its worker was lost.
            lacking[name] = asking.failure(reply)
        elif reply.protocol != protocol.NUMBER:
            raise InputError(
                f"{name}: its segbench speaks protocol {reply.protocol} with the gate, which speaks "
                f"{protocol.NUMBER}: they can't be measured alike; name another commit"
            )
    return lacking


def _check(
    workers: dict[str, WorkerProcess], case: Case, images: Images, plan: Plan
) -> tuple[dict[str, int], dict[str, Failed]]:
    """Compare with the reference and warm up, in all arms at once.

    Returns
    -------
    tuple
        The calls of a sample of each arm, and how arms failed.
    """
    request = protocol.Check(
        case.phase,
        datasets.lay_out(images.dataset, case.n_images),
        case.n_images,
        images.folder,
        asking.SAMPLE_SECONDS,
    )
    for worker in workers.values():
        worker.send(request)
    limit = asking.check_limit(plan.time_limit, size=case.n_images, shape=images.dataset.shape)
    end = time.monotonic() + limit
    calls, failed = {}, {}
    # All are heard, also after one has failed: an answer that is left would be taken for the next.
    for name, worker in workers.items():
        reply = asking.checked(
            worker.receive(limit=max(0.0, end - time.monotonic())),
            time_limit=plan.time_limit,
            memory_limit=plan.memory_limit,
        )
        if isinstance(reply, Checked):
            calls[name] = reply.calls
        else:
            failed[name] = reply
    return calls, failed


def _time(
    workers: dict[str, WorkerProcess],
    case: Case,
    calls: dict[str, int],
    images: Images,
    plan: Plan,
    order: Sequence[str],
    cpu: int | None,
) -> tuple[tuple[float, ...], dict[str, Failed]]:
    """Time every arm once, in this order and on this CPU, if on one.

    Returns
    -------
    tuple
        Seconds of a call, in the order of the arms, and how arms failed: all are asked, so that
        none is blamed because it came first.
    """
    seconds, failed = dict.fromkeys(workers, 0.0), {}
    # The same number of calls in each: the two are to be measured alike.
    most = max(calls.values())
    for name in order:
        request = protocol.Time(case.phase, most, warm=True, cpu=cpu)
        reply = asking.timed(
            workers[name].ask(request, limit=asking.SAMPLE_EXTRA_SECONDS + most * plan.time_limit),
            time_limit=plan.time_limit,
            objects=sum(images.objects[: case.n_images]),
        )
        if isinstance(reply, Failed):
            failed[name] = reply
        else:
            seconds[name] = reply.seconds
    return tuple(seconds.values()), failed
