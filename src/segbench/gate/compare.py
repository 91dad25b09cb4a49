"""A gate from its first round to its outcome."""

from __future__ import annotations

import subprocess
import tempfile
import time
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING

from segbench.backends import registry
from segbench.backends.registry import BackendSpec
from segbench.errors import InputError
from segbench.gate import decide, rounds
from segbench.gate.decide import BASE, HEAD
from segbench.images import datasets
from segbench.measure.workers import foreign_environment, worker_environment
from segbench.results.outcome import GateWriter, Outcome, Pair
from segbench.stats import WIDE, relative_spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from segbench.gate.plan import Case, Plan
    from segbench.gate.rounds import Arm, Block, Images
    from segbench.gate.sides import Environment
    from segbench.images.datasets import Dataset
    from segbench.measure.engine import Watcher
    from segbench.measure.machine import Fact
    from segbench.results.outcome import Sight

# What asking an interpreter for its segbench's backends may take.
ASK_SECONDS = 60.0

_ASK = "from segbench.measure.cases import QUICK_BACKENDS; print(*QUICK_BACKENDS, sep='\\n')"


def backends_of(sides: Sequence[Environment]) -> tuple[BackendSpec, ...]:
    """The backends that the segbench of either side compares by default, each once.

    Raises
    ------
    InputError
        If neither can say.
    """
    found = dict.fromkeys(spec for side in sides for spec in _ask_for_backends(side.python))
    if not found:
        raise InputError("neither side says what it compares by default: name it with --backends")
    return tuple(found)


def packages_of(backends: Sequence[BackendSpec]) -> tuple[str, ...]:
    """What has to be installed for some backends, as requirements: ``segbench[opencv]``."""
    extras: dict[str, set[str]] = {"segbench": set()}
    for spec in backends:
        for name, own in registry.packages(spec).items():
            extras.setdefault(name, set()).update(own)
    return tuple(
        f"{name}[{','.join(sorted(own))}]" if own else name for name, own in extras.items()
    )


def _ask_for_backends(python: Path) -> tuple[BackendSpec, ...]:
    """Empty where the side is too old to know, or broken: the other side's are tried."""
    try:
        asked = subprocess.run(  # noqa: S603  (an interpreter, on the code above)
            [str(python), "-P", "-c", _ASK],
            env=foreign_environment(worker_environment(native_threads=False)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=ASK_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return ()
    # What a library prints when it is imported is not one.
    lines = [line.split("/") for line in asked.stdout.splitlines()]
    return tuple(BackendSpec(*parts) for parts in lines if len(parts) == 3)


def compare(
    base: Environment,
    head: Environment,
    dataset: Dataset,
    *,
    plan: Plan,
    out: Path,
    watcher: Watcher,
    command: str,
    machine: Mapping[str, Fact],
    sight: Sight | None,
) -> Outcome:
    """Compare base and head in rounds, and look again at what seems to be a regression.

    Parameters
    ----------
    base, head : Environment
        What is compared.
    dataset : Dataset
        At least as many images as the largest size.
    plan : Plan
        What to measure.
    out : Path
        Folder for ``gate.jsonl``.
    watcher : Watcher
        Is told how it goes on.
    command : str
        What the user typed.
    machine : mapping
        What :func:`segbench.measure.machine.machine` told before.
    sight : Sight, optional
        What a gate sees on this machine.

    Returns
    -------
    Outcome
        Also where Ctrl-C came in between: of what was measured until then.

    Raises
    ------
    InputError
        If nothing could be compared.
    """
    started = datetime.now().astimezone().isoformat(timespec="seconds")
    clock = time.monotonic()
    arms = [rounds.Arm(name=BASE, python=base.python), rounds.Arm(name=HEAD, python=head.python)]
    first: list[Block] = []
    again: list[Block] = []
    interrupted = False
    watcher.plan(plan.rounds * len(plan.backends))
    with tempfile.TemporaryDirectory(prefix="segbench-") as folder:
        watcher.step("segmenting with the base's reference", steps=0)
        images = rounds.make_reference(dataset, folder, plan=plan, python=base.python)
        header = {
            "started": started,
            "command": command,
            "base": base.side.what,
            "head": head.side.what,
            "machine": dict(machine),
            "dataset": datasets.describe(dataset),
            "rounds": plan.rounds,
            "threshold": plan.threshold,
            "seed": plan.seed,
        }
        with GateWriter(out, header) as writer:
            try:
                _measure("first", arms, plan.cases, images, plan, watcher, writer, first)
                suspects = decide.suspects(first, threshold=plan.threshold)
                if suspects:
                    backends = {case.backend for case in suspects}
                    watcher.plan(plan.rounds * (len(plan.backends) + len(backends)))
                _measure("again", arms, suspects, images, plan, watcher, writer, again)
            except KeyboardInterrupt:
                interrupted = True
    comparisons = decide.decide(plan.cases, first, again, threshold=plan.threshold)
    if not interrupted and all(each.verdict == "not compared" for each in comparisons):
        raise InputError(f"nothing could be compared: {comparisons[0].cause}")
    return Outcome(
        started=started,
        command=command,
        base=base.side,
        head=head.side,
        threshold=plan.threshold,
        rounds=plan.rounds,
        seconds=time.monotonic() - clock,
        machine={name: str(fact) for name, fact in machine.items()},
        dataset=_in_words(dataset),
        comparisons=comparisons,
        sight=sight,
        notes=tuple(_restless(first)),
        interrupted=interrupted,
    )


def _measure(
    stage: str,
    arms: Sequence[Arm],
    cases: Sequence[Case],
    images: Images,
    plan: Plan,
    watcher: Watcher,
    writer: GateWriter,
    taken: list[Block],
) -> None:
    """Take the blocks of one stage, each on disk before the next is taken.

    They are added to `taken`, so that an interruption leaves what there is.
    """
    words = {"first": "", "again": "a second look, "}
    measured = rounds.measure(
        arms,
        cases,
        images,
        plan=plan,
        seed=f"{plan.seed}/{stage}",
        say=lambda text: watcher.step(words[stage] + text),
    )
    # Closed at once, so that an interruption leaves no worker behind.
    with closing(measured):
        for block in measured:
            writer.append(_pair(stage, block))
            taken.append(block)


def _pair(stage: str, block: Block) -> Pair:
    backend = block.case.backend
    seconds = block.seconds or (None, None)
    return Pair(
        stage=stage,
        round=block.round,
        block=block.block,
        phase=block.case.phase,
        reader=backend.reader,
        processor=backend.processor,
        scheduler=backend.scheduler,
        n_images=block.case.n_images,
        base_seconds=seconds[0],
        head_seconds=seconds[1],
        status=block.failed.status if block.failed else "ok",
        side=block.arm,
        cause=block.failed.cause if block.failed else "",
    )


def _in_words(dataset: Dataset) -> str:
    shape = " × ".join(str(length) for length in dataset.shape[:2])
    return f"{dataset.name}, images of {shape} pixels"


def _restless(blocks: Sequence[Block]) -> tuple[str, ...]:
    """A note where the base's own times vary much."""
    times: dict[Case, list[float]] = {}
    for block in blocks:
        if block.seconds:
            times.setdefault(block.case, []).append(block.seconds[0])
    spreads = [relative_spread(each) for each in times.values()]
    restless = sum(each > WIDE for each in spreads)
    if not restless:
        return ()
    text = (
        f"The machine was restless: in {restless} of {len(spreads)} cases the middle half of the "
        f"base's own times spans more than {WIDE:.0%} of their median. Pairs are timed "
        "side by side, so that this widens the intervals and does not move the ratios."
    )
    return (text,)
