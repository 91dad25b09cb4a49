"""Rounds: every case of every side, one right after the other, each time in new processes.

Two processes of one program differ for as long as they live, by memory layout for one. So a side
is started anew in every round, and a round is what a comparison counts: that difference is in the
spread from round to round, and so in the interval.
"""

from __future__ import annotations

import dataclasses
import random
import tempfile
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from segbench.backends.registry import BASELINE
from segbench.errors import InputError
from segbench.images import datasets
from segbench.measure import engine, protocol
from segbench.measure.protocol import Checked, Failed, Made, Refused, Started
from segbench.measure.workers import END_SECONDS, Arm, Conversation, cpu_of, end_of_start, stop_all
from segbench.results.records import sample_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from segbench.backends.registry import BackendSpec
    from segbench.images.datasets import Dataset
    from segbench.images.origin import Origin
    from segbench.measure.engine import Watcher
    from segbench.measure.settings import GateSettings
    from segbench.measure.workers import Launch
    from segbench.results.records import Case, Sample

# In each round a case is timed in so many pairs of blocks at the most, in one at the least, and as
# many in between as fit these seconds of each side.
MOST_PAIRS = 3
ARM_SECONDS = 0.3

# A side that fails so has lost its worker.
ENDING = ("crashed", "timeout", "memory")


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


def find(
    origin: Origin, settings: GateSettings, *, watcher: Watcher
) -> tuple[Dataset, GateSettings]:
    """Find or make images, and leave out the sizes that there are too few for, which are told of.

    Raises
    ------
    InputError
        If there are too few for any.
    """
    watcher.step("preparing the images", steps=0)
    dataset = datasets.find(origin, count=settings.sizes[-1])
    sizes, _ = engine.fitting_sizes(settings.sizes, dataset, watcher)
    return dataset, dataclasses.replace(settings, sizes=sizes)


@contextmanager
def referenced(
    dataset: Dataset,
    *,
    settings: GateSettings,
    python: Path | None = None,
    launch: Launch,
    watcher: Watcher,
) -> Iterator[Images]:
    """Segment images with the baseline of one side, which all are compared with in the block.

    Raises
    ------
    InputError
        If it fails.
    """
    watcher.step("segmenting with the reference", steps=0)
    arm = Arm(backend=BASELINE, side="reference", python=python)
    with tempfile.TemporaryDirectory(prefix="segbench-") as folder:
        with _talks([arm], dataset, settings, launch) as (talk,):
            reply = talk.start()(end_of_start(settings))
            count = settings.sizes[-1]
            made = talk.make_reference(folder, count=count) if isinstance(reply, Started) else reply
            if not isinstance(made, Made):
                cause = made.reason if isinstance(made, Refused) else made.cause
                raise InputError(f"the reference {BASELINE} failed: {cause}")
        yield Images(dataset=dataset, folder=folder, objects=tuple(made.objects))


def measure(
    sides: Sequence[Arm],
    cases: Sequence[Case],
    images: Images,
    *,
    settings: GateSettings,
    look: int = 1,
    launch: Launch,
    watcher: Watcher,
    take: Callable[[Sample], None],
) -> None:
    """Time cases in rounds, each side in new processes in each.

    Parameters
    ----------
    sides : sequence of Arm
        What is timed side by side, each with the backend of the case in place of its own.
    cases : sequence of Case
        A case in which a side fails is left out from then on.
    images : Images
        With the reference.
    settings : GateSettings
        Limits, the number of rounds, and the seed of the order of the sides.
    look : int
        1, or 2 for a second look, in which the order is another one.
    launch : callable
        Starts a worker.
    watcher : Watcher
        Told what is next, a step a round and backend.
    take : callable
        Takes each sample as soon as it is measured. Those of one round and block were timed one
        right after the other; both count from 1, the blocks anew in each round.
    """
    left: defaultdict[BackendSpec, list[Case]] = defaultdict(list)
    for case in cases:
        left[case.backend].append(case)
    for number in range(1, settings.rounds + 1):
        for backend, own in left.items():
            again = "a second look, " if look > 1 else ""
            watcher.step(f"{again}round {number}: {backend}")
            arms = [dataclasses.replace(side, backend=backend) for side in sides]
            pending = list(own)
            # Again where a worker is lost: for what is left of the round.
            while pending:
                with _talks(arms, images.dataset, settings, launch) as talks:
                    for sample in _round(talks, pending, images, number, look):
                        if sample.status != "ok" and sample.case in own:
                            own.remove(sample.case)
                        take(sample)


@contextmanager
def _talks(
    arms: Iterable[Arm], dataset: Dataset, settings: GateSettings, launch: Launch
) -> Iterator[list[Conversation]]:
    """A worker for each arm; all end with the round, whatever ends it."""
    talks: list[Conversation] = []
    grace = 0.0
    try:
        for arm in arms:
            # One after the other, so that those that were started end if the next can't be.
            talk = Conversation(arm, launch=launch, settings=settings, dataset=dataset)
            talks.append(talk)
        yield talks
        grace = END_SECONDS
    finally:
        stop_all(talks, grace=grace)


def _round(
    talks: list[Conversation], pending: list[Case], images: Images, number: int, look: int
) -> Iterator[Sample]:
    """Take cases of one backend from those that are pending, until none is or a worker is lost."""
    lacking = _starts(talks)
    live = [talk for talk in talks if talk.arm.side not in lacking]
    while pending:
        case = pending.pop(0)
        sample = partial(sample_of, case, look=look, round=number)
        # Also where a side lacks the backend: what another finds is right or wrong by itself.
        calls, failed = _check(live, case, images)
        failed = {**lacking, **failed}
        spent, block = 0.0, 0
        for order in _orders(live, f"{talks[0].settings.seed}/{look}/{number}/{case}"):
            # Only after both blocks of a pair.
            if failed or (block % 2 == 0 and spent > ARM_SECONDS):
                break
            block += 1
            # One CPU for both blocks of a pair, and each has its turn over the rounds.
            cpu = cpu_of(case, number + (block - 1) // 2)
            objects = sum(images.objects[: case.n_images])
            for talk in order:
                side = talk.arm.side
                # All are asked, so that none is blamed because it came first.
                reply = talk.time(case.phase, calls=calls, objects=objects, cpu=cpu)
                if isinstance(reply, Failed):
                    failed[side] = reply
                    continue
                spent += reply.seconds / len(live) * calls
                told = {"seconds": reply.seconds, "objects": reply.objects, "calls": calls}
                yield sample(block=block, side=side, status="ok", **told)
        for side, how in failed.items():
            yield sample(block=block, side=side, status=how.status, cause=how.cause)
        if any(failed[talk.arm.side].status in ENDING for talk in live if talk.arm.side in failed):
            return


def _orders(talks: list[Conversation], seed: str) -> Iterator[list[Conversation]]:
    """Orders of the sides, a block each: a random one, then the same the other way round.

    So each side comes first as often as last: the same call takes some per cent longer where another
    one's came before it. What gets slower or faster in the meantime cancels, too.
    """
    rng = random.Random(seed)  # noqa: S311  (an order, not a secret)
    for _ in range(MOST_PAIRS):
        order = rng.sample(talks, len(talks))
        yield order
        yield order[::-1]


def _starts(talks: Sequence[Conversation]) -> dict[str, Failed]:
    """Start all, and say how those failed that did not, by side."""
    hear = [talk.start() for talk in talks]
    end = end_of_start(talks[0].settings)
    lacking = {}
    for talk, hear_one in zip(talks, hear, strict=True):
        reply, side = hear_one(end), talk.arm.side
        if isinstance(reply, Refused):
            # This side's segbench knows no such backend.
            lacking[side] = Failed("unavailable", reply.reason)
        elif isinstance(reply, Failed):
            # A backend that it knows and that can't be loaded is broken; or its worker was lost.
            lacking[side] = reply
        elif reply.protocol != protocol.NUMBER:
            raise InputError(
                f"{side}: its segbench speaks protocol {reply.protocol} with the gate, which speaks "
                f"{protocol.NUMBER}: they can't be measured alike; name another commit"
            )
    return lacking


def _check(
    talks: Sequence[Conversation], case: Case, images: Images
) -> tuple[int, dict[str, Failed]]:
    """Compare with the reference and warm up, on all sides at once.

    Returns
    -------
    tuple
        The calls of a sample, the same number for all, since they are to be measured alike; and how
        sides failed.
    """
    # All are heard, also after one has failed: an answer that is left would be taken for the next.
    hear = {talk.arm.side: talk.check(case, images.folder) for talk in talks}
    replies = {side: hear_one() for side, hear_one in hear.items()}
    calls = [reply.calls for reply in replies.values() if isinstance(reply, Checked)]
    failed = {side: reply for side, reply in replies.items() if isinstance(reply, Failed)}
    return max(calls, default=1), failed
