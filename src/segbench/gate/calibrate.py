"""What a gate sees on this machine: the code at hand against itself, and against itself slowed."""

from __future__ import annotations

import hashlib
import math
import time
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from segbench import files, jsonl
from segbench.errors import InputError
from segbench.gate import decide, rounds
from segbench.images import datasets
from segbench.measure import machine as machines
from segbench.measure import protocol
from segbench.measure.settings import describe
from segbench.measure.stopping import ARM_SECONDS, MOST_PAIRS
from segbench.measure.workers import Arm, launcher
from segbench.results.outcome import Calibration, CaseSight, Sight, named
from segbench.results.records import Header
from segbench.stats import MIN_ROUNDS

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
    from segbench.results.records import Sample

# Sides by the share that their calls are made longer.
SIDES = {"itself": 0.0, "itself again": 0.0, "5% slower": 0.05, "10% slower": 0.1}

# Rounds that are measured, and gates that are drawn from them.
ROUNDS = 20
GATES = 1000

# A slow-down counts as seen if it is found in this share of gates.
FOUND = 0.95

# Slow-downs that are tried for the smallest that is found.
TRIED = np.concatenate([np.arange(0.005, 0.3, 0.0025), np.arange(0.3, 1.01, 0.05)])

# Of two gates whose calibration is the same; their cases are, too.
SAME_SETTINGS = ("rounds", "threshold", "measure_seconds", "workers", "native_threads", "params")


def run(origin: Origin, settings: GateSettings, *, out: Path, watcher: Watcher) -> Calibration:
    """Find or make the images, `calibrate`, and keep what was found for the gates to come."""
    machine = machines.machine()
    dataset, settings = rounds.find(origin, settings, watcher=watcher)
    found = calibrate(dataset, settings=settings, out=out, machine=machine, watcher=watcher)
    save(found.sight, path_of(settings, dataset, machine))
    return found


def calibrate(
    dataset: Dataset,
    *,
    settings: GateSettings,
    out: Path,
    machine: Mapping[str, Fact],
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
        Of the gates that are to be judged.
    out : Path
        Folder for ``gate.jsonl``, with the samples of all `SIDES`.
    machine : mapping
        What :func:`segbench.measure.machine.machine` told before.
    watcher : Watcher
        Is told how it goes on.
    count : int
        How many rounds are measured.
    launch : callable, optional
        Starts a worker; by default a process.

    Raises
    ------
    InputError
        If the reference fails, or no case can be measured.
    """
    sides = [Arm(side=name, slowdown=share) for name, share in SIDES.items()]
    launch = launch or launcher(settings)
    watcher.plan(count * len(settings.backends))
    header = Header(
        started=datetime.now().astimezone().isoformat(timespec="seconds"),
        machine=dict(machine),
        settings={**describe(settings), "sides": SIDES},
        dataset=datasets.describe(dataset),
    )
    with (
        rounds.referenced(dataset, settings=settings, launch=launch, watcher=watcher) as images,
        rounds.recorded(out, header) as (samples, take),
    ):
        started = time.monotonic()
        rounds.measure(
            sides,
            settings.cases,
            images,
            settings=settings,
            rounds=range(1, count + 1),
            paces={},
            launch=launch,
            watcher=watcher,
            take=take,
        )
        # A gate has two sides.
        a_round = (time.monotonic() - started) / count * 2 / len(SIDES)
    affordable = max(MIN_ROUNDS, int(settings.measure_seconds / a_round))
    return judge(samples, settings=settings, affordable=affordable)


def judge(
    samples: Sequence[Sample],
    *,
    settings: GateSettings,
    affordable: int,
    gates: int = GATES,
    seed: int = 0,
) -> Calibration:
    """Draw gates from measured rounds, and count what they find, by the rule of a gate.

    A gate draws its rounds with replacement, the same ones in all cases; on the same code the sides
    change places at random. Made slower by a share, every ratio moves by that share: so the draws
    tell the smallest slow-down that is found.

    Parameters
    ----------
    samples : sequence of Sample
        Of the sides in `SIDES`; cases of which a side failed are left out.
    settings : GateSettings
        Thresholds and rounds.
    affordable : int
        Rounds of all cases that fit the time of a gate. As cases end, the others get more: what is
        told is found at least.
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
    whole = [sample for sample in samples if sample.case not in broken]
    plain, twin, *slowed = SIDES
    logs = {
        name: decide.round_logs(whole, "cpu_seconds", base=plain, head=name)
        for name in (twin, *slowed)
    }
    counts = {len(own) for one in logs.values() for own in one.values()}
    if not counts:
        raise InputError("nothing could be measured: see what `segbench run` says of these cases")
    rng = np.random.default_rng(seed)
    size = gates, min(settings.rounds, affordable)
    draws, signs = rng.integers(min(counts), size=size), rng.choice([-1, 1], size=size)
    cases = logs[twin]
    thresholds = [settings.threshold.of(case) for case in cases]

    def named_in(values: Sequence[NDArray[np.float64]]) -> NDArray[np.bool_]:
        verdicts = decide.said_of(
            values, thresholds=thresholds, cases=len(cases), most=settings.rounds
        )
        return np.equal(verdicts, "regression")

    same = [own[draws] * signs for own in cases.values()]
    alarms = named_in(same)
    found = {name: named_in([logs[name][case][draws] for case in cases]) for name in slowed}
    said = []
    for place, case in enumerate(cases):

        def share_found(slower: float, place: int = place) -> float:
            """Of the gates, where this case alone is slower."""
            verdicts = decide.said_of(
                [same[place] + np.log1p(slower)],
                thresholds=thresholds[place : place + 1],
                cases=len(cases),
                most=settings.rounds,
            )
            return float(np.mean(verdicts == "regression"))

        said.append(
            CaseSight(
                **named(case),
                smallest=next((s for s in TRIED if share_found(s) >= FOUND), None),
                alarms=float(alarms[place].mean()),
                measured={name: math.exp(float(logs[name][case].mean())) for name in slowed},
                found={name: float(own[place].mean()) for name, own in found.items()},
            )
        )
    smallest = [math.inf if one.smallest is None else one.smallest for one in said]
    return Calibration(
        cases=tuple(said),
        sight=Sight(
            measured=datetime.now().astimezone().isoformat(timespec="seconds"),
            rounds=min(counts),
            gates=gates,
            false_alarms=float(alarms.any(axis=0).mean()),
            smallest=_if_any(np.quantile(smallest, FOUND, method="higher")),
        ),
    )


def _if_any(share: float) -> float | None:
    """The smallest slow-down that is found, as it is kept: JSON has no word for infinity."""
    return float(share) if math.isfinite(share) else None


def path_of(settings: GateSettings, dataset: Dataset, machine: Mapping[str, Fact]) -> Path:
    """File that keeps what a calibration found: for its machine, method, cases, rounds and images."""
    parts = (
        *(str(machine.get(name)) for name in ("system", "cpu", "cpus_available")),
        *(str(case) for case in settings.cases),
        *(str(getattr(settings, name)) for name in SAME_SETTINGS),
        *(str(part) for part in (dataset.name, dataset.shape)),
        # Another way of measuring sees something else.
        *(str(part) for part in (protocol.NUMBER, MOST_PAIRS, ARM_SECONDS, decide.LOOKS)),
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
