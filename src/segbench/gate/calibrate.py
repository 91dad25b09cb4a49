"""What a gate sees on this machine: the code at hand against itself, and against itself slowed."""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from segbench import files, jsonl
from segbench.errors import InputError
from segbench.gate import decide, rounds
from segbench.images import datasets
from segbench.measure import machine as machines
from segbench.measure import protocol
from segbench.measure.workers import Arm, launcher
from segbench.results.outcome import Calibration, CaseSight, Sight, named

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from segbench.images.datasets import Dataset
    from segbench.images.origin import Origin
    from segbench.measure.engine import Watcher
    from segbench.measure.machine import Fact
    from segbench.measure.settings import GateSettings
    from segbench.measure.workers import Launch
    from segbench.results.records import Case, Sample

# Sides by the share that their calls are made longer.
SIDES = {"itself": 0.0, "itself again": 0.0, "5% slower": 0.05, "10% slower": 0.1}

# Rounds that are measured, and gates that are drawn from them.
ROUNDS = 20
GATES = 1000

# A slow-down counts as seen if it is found in this share of gates.
FOUND = 0.95

# Of two gates whose calibration is the same; their cases are, too.
SAME_SETTINGS = ("rounds", "threshold", "workers", "native_threads", "params")


def run(origin: Origin, settings: GateSettings, *, watcher: Watcher) -> Calibration:
    """Find or make the images, `calibrate`, and keep what was found for the gates to come."""
    machine = machines.machine()
    dataset, settings = rounds.find(origin, settings, watcher=watcher)
    found = calibrate(dataset, settings=settings, watcher=watcher)
    save(found.sight, path_of(settings, dataset, machine))
    return found


def calibrate(
    dataset: Dataset,
    *,
    settings: GateSettings,
    watcher: Watcher,
    count: int = ROUNDS,
    launch: Launch | None = None,
) -> Calibration:
    """Measure the code at hand against itself, and draw gates from the rounds.

    Parameters
    ----------
    dataset : Dataset
        At least as many images as the largest size.
    settings : GateSettings
        Of the gates that are to be judged; a gate has `settings.rounds` rounds, and as many again
        for its second look.
    watcher : Watcher
        Is told how it goes on.
    count : int
        How many rounds are measured.
    launch : callable, optional
        Starts a worker; by default a process.

    Raises
    ------
    InputError
        If the reference fails.
    """
    sides = [Arm(side=name, slowdown=share) for name, share in SIDES.items()]
    launch = launch or launcher(settings)
    samples: list[Sample] = []
    watcher.plan(count * len(settings.backends))
    with rounds.referenced(dataset, settings=settings, launch=launch, watcher=watcher) as images:
        rounds.measure(
            sides,
            settings.cases,
            images,
            settings=dataclasses.replace(settings, rounds=count),
            launch=launch,
            watcher=watcher,
            take=samples.append,
        )
    return judge(samples, settings=settings)


def judge(
    samples: Sequence[Sample], *, settings: GateSettings, gates: int = GATES, seed: int = 0
) -> Calibration:
    """Draw gates from measured rounds, and count what they find.

    A gate draws `settings.rounds` rounds with replacement, the same ones in all cases, and as many
    again for its second look. Its intervals are those that a gate computes. Made slower by a share,
    an interval's ends move by that share: so each draw tells the smallest slow-down that it finds.

    Parameters
    ----------
    samples : sequence of Sample
        Of the sides in `SIDES`; cases of which a side failed are left out.
    settings : GateSettings
        Their threshold and rounds.
    gates : int
        How many are drawn.
    seed : int
        Of the draws.

    Raises
    ------
    InputError
        If no case is left.
    """
    broken = {sample.case for sample in samples if sample.status != "ok"}
    rounds_of: dict[Case, set[int]] = {}
    for sample in samples:
        if sample.case not in broken:
            rounds_of.setdefault(sample.case, set()).add(sample.round)
    common = set.intersection(*rounds_of.values()) if rounds_of else set()
    if not common:
        raise InputError("nothing could be measured: see what `segbench run` says of these cases")
    whole = [each for each in samples if each.case in rounds_of and each.round in common]
    plain, *names = SIDES
    ratios = {name: decide.round_ratios(whole, base=plain, head=name) for name in names}
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(common), size=(gates, 2, settings.rounds))
    beyond = 1 + settings.threshold
    said, smallest, alarms = [], [], np.zeros(gates, dtype=bool)
    for case in rounds_of:
        itself, *slowed = (_lows(ratios[name][case], draws) for name in names)
        needed = beyond / itself - 1
        smallest.append(needed)
        alarms |= itself > beyond
        said.append(
            CaseSight(
                **named(case),
                smallest=_quantile(needed),
                alarms=float(np.mean(itself > beyond)),
                measured={name: float(np.median(ratios[name][case])) for name in names[1:]},
                found={
                    name: float(np.mean(lows > beyond))
                    for name, lows in zip(names[1:], slowed, strict=True)
                },
            )
        )
    return Calibration(
        cases=tuple(said),
        sight=Sight(
            measured=datetime.now().astimezone().isoformat(timespec="seconds"),
            rounds=len(common),
            gates=gates,
            false_alarms=float(np.mean(alarms)),
            smallest=_quantile(np.concatenate(smallest)),
        ),
    )


def _lows(ratios: NDArray[np.float64], draws: NDArray[np.int64]) -> NDArray[np.float64]:
    """Low end of the interval of each gate ``(G,)``: the lower one of its two looks."""
    return np.array(
        [min(decide.estimate(ratios[look]).low for look in gate) for gate in draws], dtype=float
    )


def _quantile(needed: NDArray[np.float64]) -> float:
    """Slow-down that is enough in `FOUND` of the draws."""
    return float(np.quantile(needed, FOUND, method="higher"))


def path_of(settings: GateSettings, dataset: Dataset, machine: Mapping[str, Fact]) -> Path:
    """File that keeps what a calibration found: for its machine, method, cases, rounds and images."""
    parts = (
        *(str(machine.get(name)) for name in ("system", "cpu", "cpus_available")),
        *(str(case) for case in settings.cases),
        *(str(getattr(settings, name)) for name in SAME_SETTINGS),
        *(str(part) for part in (dataset.name, dataset.shape)),
        # Another way of measuring sees something else.
        *(str(part) for part in (protocol.NUMBER, rounds.MOST_PAIRS, rounds.ARM_SECONDS)),
    )
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return datasets.cache_folder() / "gate" / f"sight-{key}.json"


def save(sight: Sight, path: Path) -> None:
    """Keep what was found, for the gates to come."""
    files.write_bytes(path, jsonl.encode(sight))


def load(path: Path) -> Sight | None:
    """What was found on this machine for the same cases; None where nothing was, or it is damaged."""
    try:
        return jsonl.decode(path.read_bytes(), Sight)
    except (OSError, ValueError):
        return None
