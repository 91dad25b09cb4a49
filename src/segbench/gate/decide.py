"""From the samples of a gate to what is said of each case.

A gate looks at the ratios of a case after 8 and 16 rounds and at the end, and ends the case as soon
as it is clear. Each look may name a regression, so that the chance of a false one is divided among them, as
alpha spending does [1]_, and among the cases. A slow-down of the threshold is to be found: so it is
named if it is shown to be more than a tenth of the threshold, and is estimated to be half of it.

References
----------
.. [1] Lan KKG, DeMets DL (1983) Discrete sequential boundaries for clinical trials. Biometrika
       70:659-663.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from segbench import stats
from segbench.results.outcome import BASE, HEAD, UNCLEAR, Comparison, Estimate, Level, named
from segbench.stats import MIN_ROUNDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from segbench.measure.settings import GateSettings
    from segbench.results.records import Case, Sample

    Logs = NDArray[np.float64]

# Rounds after which cases are looked at before the last, and the share of `ALPHA` that each of these
# looks may spend. The last has the rest.
LOOKS = {8: 0.2, 16: 0.3}

# From the first look on, what is the same is left out after every so many rounds.
PAUSE = 4

# Chance that a gate on the same code names a regression, over all its cases.
ALPHA = 0.01

# Shares of a threshold: what a slow-down has to be shown to exceed, and what it is estimated to be.
SHOWN, ESTIMATED = 0.1, 0.5

# Wall time is looked at for lost parallelism, which costs much: other processes disturb it, too.
WALL = 0.25

# Of the peak memory.
MEMORY = 0.1

# A side that fails so has lost its worker.
ENDING = ("crashed", "timeout", "memory")


def round_logs(
    samples: Iterable[Sample], quantity: str, *, base: str = BASE, head: str = HEAD
) -> dict[Case, Logs]:
    """Logarithm of the ratio of one side to another in each round, ``(R,)`` for each case.

    Parameters
    ----------
    samples : iterable of Sample
        Blocks in which one of the two has no such value are left out.
    quantity : str
        ``cpu_seconds``, ``seconds`` or ``peak_mib``.
    base, head : str
        The sides; the ratio is that of `head` to `base`.
    """
    blocks: defaultdict[Case, defaultdict[tuple[int, int], dict[str, float]]]
    blocks = defaultdict(lambda: defaultdict(dict))
    for sample in samples:
        # A call shorter than the clock's step took no time that can be compared.
        if value := getattr(sample, quantity):
            blocks[sample.case][sample.round, sample.block][sample.side] = value
    logs = {}
    for case, own in blocks.items():
        whole = {place: at for place, at in sorted(own.items()) if {base, head} <= at.keys()}
        if whole:
            ours, theirs = ([at[side] for at in whole.values()] for side in (head, base))
            logs[case] = stats.round_logs(ours, theirs, [number for number, _ in whole])
    return logs


def planned_looks(most: int) -> dict[int, float]:
    """After how many rounds of `most` cases are looked at, and the share of `ALPHA` of each look."""
    before = {look: share for look, share in LOOKS.items() if look < most}
    return {**before, most: 1 - sum(before.values())}


def pauses(most: int) -> list[int]:
    """After how many rounds of `most` a gate decides which cases go on; looks are among them."""
    return sorted({*range(min(LOOKS), most, PAUSE), *planned_looks(most)})


def looks(rounds: int, *, most: int) -> Iterator[tuple[int, float]]:
    """After how many of some rounds a case was looked at, and the share of `ALPHA` of each look.

    Where a gate has ended before a look, it is looked at once, with what that look may spend.
    """
    before = 0
    for look, share in planned_looks(most).items():
        if before < rounds:
            yield min(look, rounds), share
        before = look


def said_of(
    logs: Logs, *, threshold: float, cases: int, most: int, ended: bool = True
) -> NDArray[np.str_]:
    """What the rounds of a case say, one of the verdicts on a ratio.

    Parameters
    ----------
    logs : ndarray of float, shape (G, R)
        Logarithm of the ratio in each round, of each of G gates.
    threshold : float
        As a share.
    cases : int
        Among how many the chance of a false regression is divided.
    most : int
        Rounds that are planned at the most.
    ended : bool
        Whether these are all. While more may come, the looks that are planned alone name anything.

    Returns
    -------
    ndarray of str, shape (G,)
        ``regression`` or ``improvement`` as soon as a look says so, ``same`` as soon as a pause does;
        otherwise ``suspected`` or ``undecided``.
    """
    said = np.full(len(logs), "undecided", dtype="<U11")
    is_open = np.ones(len(logs), dtype=bool)
    shown, estimated, beyond = (math.log1p(threshold * one) for one in (SHOWN, ESTIMATED, 1))
    taken = logs.shape[1]
    shares = dict(looks(taken, most=most)) if ended else planned_looks(most)
    pausing = [rounds for rounds in pauses(most) if rounds < taken]
    for rounds in [*pausing, taken] if taken >= MIN_ROUNDS else []:
        mean, error = stats.mean_and_error(logs[:, :rounds])
        level = ALPHA * shares.get(rounds, 0.0) / cases
        slower, faster = (
            (sign * mean > estimated)
            & (stats.t_tail((sign * mean - shown) / error, rounds - 1) < level)
            for sign in (1, -1)
        )
        reach = stats.t_reach(rounds - 1) * error
        same = (np.abs(mean) + reach < beyond) & (np.abs(mean) < estimated)
        for verdict, found in {"regression": slower, "improvement": faster, "same": same}.items():
            said[is_open & found] = verdict
        is_open &= said == "undecided"
    if taken >= MIN_ROUNDS:
        said[is_open & (mean - reach > 0) & (mean > estimated)] = "suspected"
    return said


def grown(logs: Logs, *, share: float, cases: int) -> NDArray[np.bool_]:
    """Whether a ratio is estimated to exceed 1 + `share`, and shown to exceed 1 by a tenth of that.

    Parameters
    ----------
    logs : ndarray of float, shape (G, R)
        Logarithm of the ratio in each round, of each of G gates.
    share : float
        Of wall time `WALL`, or the threshold where that is more; of memory `MEMORY`.
    cases : int
        Among how many the chance of a false regression is divided.

    Returns
    -------
    ndarray of bool, shape (G,)
        Never so of fewer than `MIN_ROUNDS` rounds.
    """
    rounds = logs.shape[1]
    if rounds < MIN_ROUNDS:
        return np.zeros(len(logs), dtype=bool)
    mean, error = stats.mean_and_error(logs)
    p = stats.t_tail((mean - math.log1p(share * SHOWN)) / error, rounds - 1)
    return np.asarray((mean > math.log1p(share)) & (p < ALPHA / cases))


def decide(
    cases: Sequence[Case], samples: Sequence[Sample], *, settings: GateSettings, ended: bool = True
) -> tuple[Comparison, ...]:
    """What is said of each case, by all that was measured of it; see `said_of` for `ended`."""
    own: defaultdict[Case, list[Sample]] = defaultdict(list)
    for sample in samples:
        own[sample.case].append(sample)
    return tuple(
        _decide(case, own[case], settings, count=len(cases), ended=ended) for case in cases
    )


def unclear(cases: Sequence[Case], comparisons: Sequence[Comparison]) -> list[Case]:
    """The cases that more rounds may decide, what may be a regression first."""
    found = [
        (one.cpu.ratio, case)
        for case, one in zip(cases, comparisons, strict=True)
        if one.verdict in UNCLEAR and one.cpu
    ]
    return [case for _, case in sorted(found, key=lambda each: -each[0])]


def _decide(
    case: Case, samples: Sequence[Sample], settings: GateSettings, *, count: int, ended: bool
) -> Comparison:
    told = {**named(case), "threshold": settings.threshold.of(case)}
    failed = {sample.side: sample for sample in reversed(samples) if sample.status != "ok"}
    cause = "; ".join(f"{side}: {how.status}, {how.cause}" for side, how in sorted(failed.items()))
    if is_out(samples):
        return Comparison(**told, verdict=_of_failures(failed), cause=cause)
    cpu, wall, memory = (
        round_logs(samples, name).get(case, np.empty(0))
        for name in ("cpu_seconds", "seconds", "peak_mib")
    )
    if not cpu.size:
        return Comparison(
            **told,
            verdict="not compared",
            cause=cause or "not measured: the gate ended before",
        )
    threshold = told["threshold"]
    (said,) = said_of(
        cpu[np.newaxis], threshold=threshold, cases=count, most=settings.rounds, ended=ended
    )
    base, head = (_level(samples, side) for side in (BASE, HEAD))
    beyond = {
        "wall time": bool(grown(wall[np.newaxis], share=max(WALL, threshold), cases=count)),
        "peak memory": bool(grown(memory[np.newaxis], share=MEMORY, cases=count)),
        # dask-image's graph differs by some tasks from process to process.
        "tasks": min(_tasks(samples, HEAD), default=0)
        > (1 + threshold) * (max(_tasks(samples, BASE), default=0) or math.inf),
    }
    more = tuple(what for what, is_beyond in beyond.items() if is_beyond)
    return Comparison(
        **told,
        verdict="regression" if more else str(said),
        grown=more,
        cause=f"{cause}; not so in other rounds" if cause else "",
        base=base,
        head=head,
        cpu=_estimate(cpu),
        wall=_estimate(wall),
        memory=_estimate(memory),
    )


def is_out(samples: Iterable[Sample]) -> bool:
    """Whether a case is over since it failed; that one worker was lost once may be the machine's fault."""
    failing = [sample for sample in samples if sample.status != "ok"]
    return len(failing) > 1 or any(sample.status not in ENDING for sample in failing)


def _estimate(logs: Logs) -> Estimate | None:
    if not logs.size:
        return None
    ratio = stats.of_rounds(logs)
    return Estimate(ratio=ratio.estimate, low=ratio.low, high=ratio.high, rounds=ratio.rounds)


def _level(samples: Sequence[Sample], side: str) -> Level:
    """Medians of one side."""
    own = [sample for sample in samples if sample.side == side]
    values = {
        name: [value for each in own if (value := getattr(each, name)) is not None]
        for name in ("seconds", "cpu_seconds", "peak_mib", "tasks")
    }
    medians = {name: float(np.median(found)) for name, found in values.items() if found}
    tasks = medians.pop("tasks", None)
    return Level(**medians, tasks=None if tasks is None else int(tasks))


def _tasks(samples: Iterable[Sample], side: str) -> list[int]:
    return [each.tasks for each in samples if each.side == side and each.tasks is not None]


def _of_failures(failed: Mapping[str, Sample]) -> str:
    """The verdict on a case that failed."""
    base, head = (failed[side].status if side in failed else "ok" for side in (BASE, HEAD))
    broken = head == "wrong-result" or (base == "ok" and head != "unavailable")
    return "failed" if broken else "not compared"
