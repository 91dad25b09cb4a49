"""What a gate sees on this machine: the code at hand against itself, and against itself slowed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from segbench import files
from segbench.errors import InputError
from segbench.gate import decide, rounds
from segbench.images import datasets
from segbench.measure import protocol
from segbench.results.outcome import Calibration, CaseSight, Sight

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from segbench.gate.plan import Case, Plan
    from segbench.gate.rounds import Block
    from segbench.images.datasets import Dataset
    from segbench.measure.engine import Watcher
    from segbench.measure.machine import Fact

# Arms by the share that their calls are made longer.
ARMS = {"itself": 0.0, "itself again": 0.0, "5% slower": 0.05, "10% slower": 0.1}

# Rounds that are measured, and gates that are drawn from them.
ROUNDS = 20
GATES = 1000

# A slow-down counts as seen if it is found in this share of gates.
FOUND = 0.95


def calibrate(dataset: Dataset, *, plan: Plan, watcher: Watcher) -> Calibration:
    """Measure the code at hand against itself, and draw gates from the rounds.

    Parameters
    ----------
    dataset : Dataset
        At least as many images as the largest size.
    plan : Plan
        Of the gates that are to be judged; a gate has `plan.rounds` rounds, and as many again for
        its second look.
    watcher : Watcher
        Is told how it goes on.

    Raises
    ------
    InputError
        If the reference fails.
    """
    arms = [rounds.Arm(name=name, slowdown=share) for name, share in ARMS.items()]
    longer = dataclasses.replace(plan, rounds=ROUNDS)
    watcher.plan(ROUNDS * len(plan.backends))
    with tempfile.TemporaryDirectory(prefix="segbench-") as folder:
        watcher.step("segmenting with the reference", steps=0)
        images = rounds.make_reference(dataset, folder, plan=plan, python=None)
        measured = rounds.measure(
            arms,
            plan.cases,
            images,
            plan=longer,
            seed=f"{plan.seed}/calibrate",
            say=watcher.step,
        )
        with closing(measured):
            blocks = list(measured)
    return judge(blocks, plan=plan)


def judge(blocks: list[Block], *, plan: Plan, gates: int = GATES, seed: int = 0) -> Calibration:
    """Draw gates from measured rounds, and count what they find.

    A gate draws `plan.rounds` rounds with replacement, the same ones in all cases, and as many
    again for its second look. Its intervals are those that a gate computes. Made slower by a share,
    an interval's ends move by that share: so each draw tells the smallest slow-down that it finds.

    Parameters
    ----------
    blocks : list of Block
        Of the arms in `ARMS`; cases of which an arm failed are left out.
    plan : Plan
        Its threshold and rounds.
    gates : int
        How many are drawn.
    seed : int
        Of the draws.

    Raises
    ------
    InputError
        If no case is left.
    """
    rng = np.random.default_rng(seed)
    broken = {block.case for block in blocks if block.failed}
    whole = _common([block for block in blocks if block.case not in broken])
    by_arm = [decide.round_ratios(whole, second=place) for place in range(1, len(ARMS))]
    names = list(ARMS)[1:]
    count = max((len(ratios) for ratios in by_arm[0].values()), default=0)
    if not count:
        raise InputError("nothing could be measured: see what `segbench run` says of these cases")
    draws = rng.integers(count, size=(gates, 2, plan.rounds))
    beyond = 1 + plan.threshold
    said, smallest, alarms = [], [], np.zeros(gates, dtype=bool)
    for case in by_arm[0]:
        lows = {name: _lows(each[case], draws) for name, each in zip(names, by_arm, strict=True)}
        itself = lows.pop(names[0])
        needed = beyond / itself - 1
        smallest.append(needed)
        alarms |= itself > beyond
        said.append(
            CaseSight(
                phase=case.phase,
                backend=str(case.backend),
                n_images=case.n_images,
                smallest=_quantile(needed),
                alarms=float(np.mean(itself > beyond)),
                measured={
                    name: float(np.median(each[case]))
                    for name, each in zip(names[1:], by_arm[1:], strict=True)
                },
                found={name: float(np.mean(low > beyond)) for name, low in lows.items()},
            )
        )
    return Calibration(
        cases=tuple(said),
        sight=Sight(
            measured=datetime.now().astimezone().isoformat(timespec="seconds"),
            rounds=count,
            gates=gates,
            false_alarms=float(np.mean(alarms)),
            smallest=_quantile(np.concatenate(smallest)),
        ),
    )


def _common(blocks: list[Block]) -> list[Block]:
    """Those of the rounds that every case has: a gate draws the same rounds for all."""
    rounds_of: dict[Case, set[int]] = {}
    for block in blocks:
        rounds_of.setdefault(block.case, set()).add(block.round)
    common = set.intersection(*rounds_of.values()) if rounds_of else set()
    return [block for block in blocks if block.round in common]


def _lows(ratios: NDArray[np.float64], draws: NDArray[np.int64]) -> NDArray[np.float64]:
    """Low end of the interval of each gate ``(G,)``: the lower one of its two looks."""
    return np.array(
        [min(decide.estimate(ratios[look]).low for look in gate) for gate in draws], dtype=float
    )


def _quantile(needed: NDArray[np.float64]) -> float:
    """Slow-down that is enough in `FOUND` of the draws."""
    return float(np.quantile(needed, FOUND, method="higher"))


def save(sight: Sight, key: str) -> None:
    """Keep what was found, for the gates to come."""
    text = json.dumps(dataclasses.asdict(sight), indent=1)
    files.write_bytes(_path(key), f"{text}\n".encode())


def load(key: str) -> Sight | None:
    """What was found on this machine for the same cases; None where nothing was, or it is damaged."""
    try:
        return Sight(**json.loads(_path(key).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def key_of(plan: Plan, dataset: Dataset, machine: Mapping[str, Fact]) -> str:
    """Name of what a calibration holds for: machine, method, cases, rounds, threshold, images."""
    parts = (
        *(str(machine.get(name)) for name in ("system", "cpu", "cpus_available")),
        *(str(case) for case in plan.cases),
        *(str(part) for part in (plan.rounds, plan.threshold, plan.workers, plan.native_threads)),
        *(str(part) for part in (plan.params, dataset.name, dataset.shape)),
        # Another way of measuring sees something else.
        *(str(part) for part in (protocol.NUMBER, rounds.MOST_PAIRS, rounds.ARM_SECONDS)),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _path(key: str) -> Path:
    return datasets.cache_folder() / "gate" / f"sight-{key}.json"
