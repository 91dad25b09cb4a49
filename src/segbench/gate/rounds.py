"""Rounds: every case of every side, one right after the other, each time in new processes.

Two processes of one program differ for as long as they live, by their address layout above all. So
a side is started anew in every round, and a round is what a comparison counts: what is left of that
difference, where both sides share a layout, is in the spread from round to round.
"""

from __future__ import annotations

import dataclasses
import math
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from segbench.backends.registry import BASELINE
from segbench.backends.schedulers import Cluster
from segbench.errors import InputError
from segbench.gate.decide import ENDING
from segbench.images import datasets
from segbench.measure import engine, layout, protocol
from segbench.measure.protocol import Checked, Failed, Made, Refused, Started
from segbench.measure.stopping import orders, round_over
from segbench.measure.workers import END_SECONDS, Arm, Conversation, cpu_of, end_of_start, stop_all
from segbench.results.records import GATE_NAME, Writer, sample_of
from segbench.stats import MIN_ROUNDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from segbench.backends.registry import BackendSpec
    from segbench.images.datasets import Dataset
    from segbench.images.origin import Origin
    from segbench.measure.engine import Watcher
    from segbench.measure.protocol import Pace
    from segbench.measure.settings import GateSettings
    from segbench.measure.workers import Launch
    from segbench.results.records import Case, Header, Sample


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


@contextmanager
def recorded(out: Path, header: Header) -> Iterator[tuple[list[Sample], Callable[[Sample], None]]]:
    """The samples that are taken in the block, and what takes one: on disk before the next is.

    Yields
    ------
    list of Sample, callable
        The list grows with each that is taken.
    """
    samples: list[Sample] = []
    with Writer.create(out / GATE_NAME, header) as writer:

        def take(sample: Sample) -> None:
            writer.append(sample)
            samples.append(sample)

        yield samples, take


def measure(
    sides: Sequence[Arm],
    cases: Sequence[Case],
    images: Images,
    *,
    settings: GateSettings,
    rounds: Iterable[int],
    end: float = math.inf,
    paces: dict[Case, Pace],
    launch: Launch,
    watcher: Watcher,
    take: Callable[[Sample], None],
) -> None:
    """Time cases in rounds, each side in new processes in each.

    Parameters
    ----------
    sides : sequence of Arm
        What is timed side by side, each with the backend of the case in place of its own, and all
        with the same address layout, another one in each round.
    cases : sequence of Case
        What is first comes first in a round. A case in which a side fails is left out from then on;
        where the worker was lost, the second time.
    images : Images
        With the reference.
    settings : GateSettings
        Limits, and the seed of orders and layouts.
    rounds : iterable of int
        Their numbers, from 1.
    end : float
        By the monotonic clock: then no more is begun, but of the first `MIN_ROUNDS` rounds.
    paces : dict of Case to Pace
        How each case is called. What is missing is found in its first round, and put here: after
        that both sides, and all rounds, do the same calls. How often a process was called is a part
        of what decides where its memory lies.
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
    lost: set[Case] = set()
    shared = layout.can_be_shared()
    for number in rounds:
        for backend, own in left.items():
            if number > MIN_ROUNDS and time.monotonic() > end:
                watcher.step("the time is up")
                continue
            watcher.step(f"round {number}: {backend}")
            pages = layout.of_round(settings.seed, number) if shared else None
            arms = [dataclasses.replace(side, backend=backend, layout=pages) for side in sides]
            pending = list(own)
            # Again where a worker is lost: for what is left of the round.
            while pending:
                with _talks(arms, images.dataset, settings, launch) as talks:
                    for sample in _round(talks, pending, images, number, paces):
                        if sample.status != "ok" and sample.case in own:
                            if sample.status not in ENDING or sample.case in lost:
                                own.remove(sample.case)
                            lost.add(sample.case)
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
    talks: list[Conversation],
    pending: list[Case],
    images: Images,
    number: int,
    paces: dict[Case, Pace],
) -> Iterator[Sample]:
    """Take cases of one backend from those that are pending, until none is or a worker is lost."""
    lacking = _starts(talks)
    live = [talk for talk in talks if talk.arm.side not in lacking]
    while pending:
        case = pending.pop(0)
        sample = partial(sample_of, case, round=number)
        # Also where a side lacks the backend: what another finds is right or wrong by itself.
        checked, failed = _check(live, case, images, paces.get(case))
        failed = {**lacking, **failed}
        # The same for all, since they are to be measured alike.
        found = [reply.pace for reply in checked.values()]
        if not failed:
            paces.setdefault(case, max(found, key=lambda pace: pace.calls))
        calls = max((pace.calls for pace in found), default=1)
        spent, block = 0.0, 0
        seed = f"{talks[0].settings.seed}/{case}"
        for turn, order in orders(live, seed=seed, number=number):
            if failed or (block and round_over(block, spent)):
                break
            block += 1
            cpu = cpu_of(case, turn)
            objects = sum(images.objects[: case.n_images])
            for talk in order:
                side = talk.arm.side
                # All are asked, so that none is blamed because it came first.
                reply = talk.time(case.phase, calls=calls, objects=objects, cpu=cpu)
                if isinstance(reply, Failed):
                    failed[side] = reply
                    continue
                spent += reply.seconds / len(live) * calls
                ready = checked[side]
                yield sample(
                    block=block,
                    side=side,
                    status="ok",
                    calls=calls,
                    peak_mib=ready.peak_mib,
                    tasks=ready.tasks,
                    **msgspec.structs.asdict(reply),
                )
        for side, how in failed.items():
            yield sample(block=block, side=side, status=how.status, cause=how.cause)
        if any(failed[talk.arm.side].status in ENDING for talk in live if talk.arm.side in failed):
            return


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
        elif reply.protocol != protocol.NUMBER or _knows_no_cluster(talk, reply):
            raise InputError(
                f"{side}: its segbench speaks protocol {reply.protocol} with the gate, which speaks "
                f"{protocol.NUMBER}: they can't be measured alike; name another commit"
            )
    return lacking


def _knows_no_cluster(talk: Conversation, started: Started) -> bool:
    """Whether a side is too old for the cluster that is asked for."""
    asked = talk.arm.backend.scheduler == "distributed" and talk.settings.cluster != Cluster()
    return asked and not started.cluster


def _check(
    talks: Sequence[Conversation], case: Case, images: Images, pace: Pace | None
) -> tuple[dict[str, Checked], dict[str, Failed]]:
    """Compare with the reference and warm up, on all sides at once; how each did, and how it failed."""
    # All are heard, also after one has failed: an answer that is left would be taken for the next.
    hear = {talk.arm.side: talk.check(case, images.folder, pace=pace) for talk in talks}
    replies = {side: hear_one() for side, hear_one in hear.items()}
    checked = {side: reply for side, reply in replies.items() if isinstance(reply, Checked)}
    failed = {side: reply for side, reply in replies.items() if isinstance(reply, Failed)}
    return checked, failed
