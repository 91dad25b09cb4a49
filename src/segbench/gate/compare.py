"""A gate from its first round to its outcome."""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
import time
from collections import defaultdict
from datetime import datetime
from statistics import median
from typing import TYPE_CHECKING

from segbench.backends import registry
from segbench.backends.registry import BackendSpec
from segbench.errors import InputError
from segbench.gate import calibrate, decide, rounds, sides
from segbench.images import datasets
from segbench.measure import layout
from segbench.measure import machine as machines
from segbench.measure.settings import describe
from segbench.measure.workers import Arm, foreign_environment, launcher, worker_environment
from segbench.results.outcome import BASE, HEAD, Outcome
from segbench.results.records import Header
from segbench.stats import WIDE, relative_spread

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from segbench.gate.sides import Environment
    from segbench.images.datasets import Dataset
    from segbench.images.origin import Origin
    from segbench.measure.engine import Watcher
    from segbench.measure.machine import Fact
    from segbench.measure.protocol import Pace
    from segbench.measure.settings import GateSettings
    from segbench.measure.workers import Launch
    from segbench.results.outcome import Sight
    from segbench.results.records import Case, Sample

# What asking an interpreter for its segbench's backends may take.
ASK_SECONDS = 60.0

# A side may be older: it had them in another module.
_ASK = """
try:
    from segbench.measure.settings import QUICK_BACKENDS
except ImportError:
    from segbench.measure.cases import QUICK_BACKENDS
print(*QUICK_BACKENDS, sep="\\n")
"""


def backends_of(both: Sequence[Environment]) -> tuple[BackendSpec, ...]:
    """The backends that the segbench of either side compares by default, each once.

    A side that is too old to know, or broken, adds none.

    Raises
    ------
    InputError
        If neither can say.
    """
    told = []
    for side in both:
        with contextlib.suppress(subprocess.TimeoutExpired):
            asked = subprocess.run(  # noqa: S603  (an interpreter, on the code above)
                [str(side.python), "-P", "-c", _ASK],
                env=foreign_environment(worker_environment(native_threads=False)),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=ASK_SECONDS,
            )
            told += asked.stdout.splitlines()
    # What a library prints when it is imported is not one.
    found = dict.fromkeys(BackendSpec.named(line) for line in told if line.count("/") == 2)
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


def run(
    origin: Origin,
    settings: GateSettings,
    *,
    base: str | None,
    base_with: Sequence[str],
    default_backends: bool,
    out: Path,
    watcher: Watcher,
    command: str,
) -> Outcome:
    """Find or make the images and both sides, and `compare` these.

    Parameters
    ----------
    origin : Origin
        What images are asked for.
    settings : GateSettings
        What to measure; sizes beyond the number of images are left out.
    base : str or None
        A commit; None: the requirements of `base_with`.
    base_with : sequence of str
        What the base has in place of what is installed here.
    default_backends : bool
        Compare what either side compares by default.
    out, watcher, command
        As for `compare`.
    """
    machine = machines.machine()
    dataset, settings = rounds.find(origin, settings, watcher=watcher)
    packages = packages_of(settings.backends)
    both = (
        sides.of_commit(base, packages=packages, watch=watcher.note)
        if base is not None
        else sides.of_requirements(base_with, packages=packages, watch=watcher.note)
    )
    with both as (then, now):
        if default_backends:
            settings = dataclasses.replace(settings, backends=backends_of([then, now]))
        return compare(
            then,
            now,
            dataset,
            settings=settings,
            out=out,
            watcher=watcher,
            command=command,
            machine=machine,
            sight=calibrate.load(calibrate.path_of(settings, dataset, machine)),
        )


def compare(
    base: Environment,
    head: Environment,
    dataset: Dataset,
    *,
    settings: GateSettings,
    out: Path,
    watcher: Watcher,
    command: str,
    machine: Mapping[str, Fact],
    sight: Sight | None,
    launch: Launch | None = None,
) -> Outcome:
    """Compare base and head in rounds, the longer the less clear a case is.

    Parameters
    ----------
    base, head : Environment
        What is compared.
    dataset : Dataset
        At least as many images as the largest size.
    settings : GateSettings
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
    launch : callable, optional
        Starts a worker; by default a process.

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
    launch = launch or launcher(settings)
    arms = [Arm(side=BASE, python=base.python), Arm(side=HEAD, python=head.python)]
    rounds_taken = 0
    interrupted = False
    shared_layout = layout.can_be_shared()
    header = Header(
        started=started,
        machine=dict(machine),
        settings={
            **describe(settings),
            "command": command,
            "base": base.side.what,
            "head": head.side.what,
            "shared_layout": shared_layout,
        },
        dataset=datasets.describe(dataset),
    )
    with (
        rounds.referenced(
            dataset, settings=settings, python=base.python, launch=launch, watcher=watcher
        ) as images,
        rounds.recorded(out, header) as (samples, take),
    ):
        most, count = settings.measure_seconds, len(settings.cases)
        took = f"{most / 60:.0f} min" if most >= 120 else f"{most:.0f} s"
        watcher.note(f"measuring {count} case{'s' * (count != 1)}, {took} at the most")
        end = time.monotonic() + settings.measure_seconds
        cases, before = list(settings.cases), 0
        paces: dict[Case, Pace] = {}
        try:
            for look in decide.pauses(settings.rounds):
                backends = {case.backend for case in cases}
                watcher.plan(rounds_taken + (look - before) * len(backends))
                rounds.measure(
                    arms,
                    cases,
                    images,
                    settings=settings,
                    rounds=range(before + 1, look + 1),
                    end=end,
                    paces=paces,
                    launch=launch,
                    watcher=watcher,
                    take=take,
                )
                rounds_taken += (look - before) * len(backends)
                comparisons = decide.decide(settings.cases, samples, settings=settings, ended=False)
                cases, before = decide.unclear(settings.cases, comparisons), look
        except KeyboardInterrupt:
            interrupted = True
    comparisons = decide.decide(settings.cases, samples, settings=settings)
    if not interrupted and all(each.verdict == "not compared" for each in comparisons):
        raise InputError(f"nothing could be compared: {comparisons[0].cause}")
    height, width = dataset.shape[:2]
    return Outcome(
        started=started,
        command=command,
        base=base.side,
        head=head.side,
        threshold=settings.threshold,
        rounds=settings.rounds,
        shared_layout=shared_layout,
        seconds=time.monotonic() - clock,
        machine={name: str(fact) for name, fact in machine.items()},
        dataset=f"{dataset.name}, images of {height} × {width} pixels",
        comparisons=comparisons,
        sight=sight,
        notes=(*_own_layouts(shared_layout=shared_layout), *_noise(samples)),
        interrupted=interrupted,
    )


def _own_layouts(*, shared_layout: bool) -> Iterator[str]:
    """A note where each process has an address layout of its own."""
    if not shared_layout:
        yield (
            "The two sides could not be given the same address layout here (that takes Linux, and a "
            "container that allows `setarch -R`). Processes of the same program then differ more, so that "
            "a gate needs more rounds and leaves more cases undecided."
        )


def _noise(samples: Sequence[Sample]) -> Iterator[str]:
    """A note where the base's own times vary much within rounds: each has another address layout."""
    times: defaultdict[tuple[Case, int], list[float]] = defaultdict(list)
    for sample in samples:
        if sample.seconds is not None and sample.side == BASE:
            times[sample.case, sample.round].append(sample.seconds)
    within: defaultdict[Case, list[float]] = defaultdict(list)
    for (case, _), own in times.items():
        within[case] += [each / median(own) for each in own]
    spreads = [relative_spread(each) for each in within.values()]
    noisy = sum(each > WIDE for each in spreads)
    if noisy:
        yield (
            f"Times were noisy: in {noisy} of {len(spreads)} cases the interquartile range of the base's "
            f"own times in a round was more than {WIDE:.0%} of their median. This widens the intervals, but "
            "does not move the ratios, since both sides are timed side by side. A quiet machine decides "
            "sooner."
        )
