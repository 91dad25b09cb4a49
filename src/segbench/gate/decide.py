"""From the samples of a gate to what is said of each case.

A gate looks at the ratios of all cases after 8 and 16 rounds and at the end, and ends a case as soon
as it is clear. Each look may name regressions, so that the chance of a false one is divided among the
looks, as alpha spending does [1]_, and values of p are corrected for the number of cases [2]_: where
nothing differs, that holds the chance of any, and where something does, the share of false ones among
all. A slow-down of the threshold is to be found: so it is named if it is shown to be more than a tenth
of the threshold, and is estimated to be half of it. What is the same is shown by two one-sided
tests [3]_.

References
----------
.. [1] Lan KKG, DeMets DL (1983) Discrete sequential boundaries for clinical trials. Biometrika
       70:659-663.
.. [2] Benjamini Y, Hochberg Y (1995), see :func:`segbench.stats.verdicts`.
.. [3] Schuirmann DJ (1987) A comparison of the two one-sided tests procedure and the power approach
       for assessing the equivalence of average bioavailability. Journal of Pharmacokinetics and
       Biopharmaceutics 15:657-680.
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
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from segbench.measure.settings import GateSettings
    from segbench.results.records import Case, Sample

    Logs = NDArray[np.float64]

# Rounds after which cases are looked at before the end, and the share of `ALPHA` that each of these
# looks may spend. The end has what they have left.
LOOKS = {8: 0.2, 16: 0.3}

# From the first look on, what is the same is left out after every so many rounds.
PAUSE = 4

# Chance that a gate on the same code names a regression, over all its cases and looks.
ALPHA = 0.01

# Shares of a threshold: what a slow-down has to be shown to exceed, and what it is estimated to be.
SHOWN, ESTIMATED = 0.1, 0.5

# Of each of the two tests that show a difference to be smaller than the threshold, at the end. At a
# pause, of which there are several, half of it, and the estimate must not be that of a slow-down.
EQUAL = 0.05

# Wall time is looked at for lost parallelism, which costs much: other processes disturb it, too.
WALL = 0.25

# Of the peak memory.
MEMORY = 0.1

END = 0  # of a gate, among the rounds after which cases are looked at

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


def pauses(most: int) -> list[int]:
    """After how many rounds of `most` a gate decides which cases go on; looks are among them."""
    return [*range(min(LOOKS), most, PAUSE), most]


def looks(most: int, *, longest: int) -> dict[int, float]:
    """After how many rounds of `most` cases are looked at, and the share of `ALPHA` of each look.

    Parameters
    ----------
    most : int
        Rounds that are planned at the most.
    longest : int
        Rounds of the case that has the most: the end comes after these, and has what is left.
    """
    before = {look: share for look, share in LOOKS.items() if look < min(most, longest + 1)}
    return {**before, END: 1 - sum(before.values())}


def said_of(
    logs: Sequence[Logs],
    *,
    thresholds: Sequence[float],
    cases: int,
    most: int,
    ended: bool = True,
) -> NDArray[np.str_]:
    """What the rounds of each case say, one of the verdicts on a ratio.

    Parameters
    ----------
    logs : sequence of ndarray of float, shape (G, R)
        Of each of C cases the logarithm of the ratio in each round, of each of G gates; cases may
        differ in R.
    thresholds : sequence of float
        Of each case, as a share.
    cases : int
        In a gate: those that are not among the C show nothing.
    most : int
        Rounds that are planned at the most.
    ended : bool
        Whether these are all. While more may come, the looks that are planned alone name anything.

    Returns
    -------
    ndarray of str, shape (C, G)
        ``regression`` or ``improvement`` as soon as a look says so, ``same`` as soon as a pause does;
        otherwise ``suspected`` or ``undecided``.
    """
    taken = [own.shape[1] for own in logs]
    gates = len(logs[0])
    said = np.full((len(logs), gates), "undecided", dtype="<U11")
    shares = looks(most, longest=max(taken))
    steps = [rounds for rounds in pauses(most)[:-1] if rounds <= max(taken)]
    for rounds in [*steps, *[END] * ended]:
        # Of a case without these rounds nothing is known.
        p = np.ones((2, *said.shape))
        same, above = np.zeros((2, *said.shape), dtype=bool)
        for place, (own, threshold) in enumerate(zip(logs, thresholds, strict=True)):
            if taken[place] < (MIN_ROUNDS if rounds == END else rounds):
                continue
            shown, estimated, beyond = (
                math.log1p(threshold * one) for one in (SHOWN, ESTIMATED, 1)
            )
            part = own if rounds == END else own[:, :rounds]
            mean, error = stats.mean_and_error(part)
            freedom = part.shape[1] - 1
            reach = stats.t_reach(freedom) * error
            for side, sign in enumerate((1, -1)):
                tail = stats.t_tail((sign * mean - shown) / error, freedom)
                p[side, place] = np.where(sign * mean > estimated, tail, 1)
            p_same = stats.t_tail((beyond - np.abs(mean)) / error, freedom)
            if rounds == END:
                same[place] = p_same < EQUAL
            else:
                same[place] = (p_same < EQUAL / 2) & (np.abs(mean) < estimated)
            above[place] = (mean - reach > 0) & (mean > estimated)
        is_open = said == "undecided"
        for verdict, own_p in zip(("regression", "improvement"), p, strict=True):
            # What was named before is one of those that are.
            own_p[~is_open] = np.where(said == verdict, 0, 1)[~is_open]
            level = ALPHA * shares.get(rounds, 0.0)
            said[is_open & (stats.corrected(own_p, count=cases) < level)] = verdict
        said[is_open & same & (said == "undecided")] = "same"
        if rounds == END:
            said[above & (said == "undecided")] = "suspected"
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
    """What is said of each case, by all that was measured; see `said_of` for `ended`."""
    own: defaultdict[Case, list[Sample]] = defaultdict(list)
    for sample in samples:
        own[sample.case].append(sample)
    logs = round_logs(samples, "cpu_seconds")
    compared = [case for case in cases if case in logs and not is_out(own[case])]
    said = {}
    if compared:
        found = said_of(
            [logs[case][np.newaxis] for case in compared],
            thresholds=[settings.threshold.of(case) for case in compared],
            cases=len(cases),
            most=settings.rounds,
            ended=ended,
        )
        said = dict(zip(compared, map(str, found[:, 0]), strict=True))
    return tuple(
        _compared(case, own[case], settings, said=said[case], cpu=logs[case], count=len(cases))
        if case in said
        else _not_compared(case, own[case], settings)
        for case in cases
    )


def unclear(cases: Sequence[Case], comparisons: Sequence[Comparison]) -> list[Case]:
    """The cases that more rounds may decide, what may be a regression first."""
    found = [
        (one.cpu.ratio, case)
        for case, one in zip(cases, comparisons, strict=True)
        if one.verdict in UNCLEAR and one.cpu
    ]
    return [case for _, case in sorted(found, key=lambda each: -each[0])]


def _not_compared(case: Case, samples: Sequence[Sample], settings: GateSettings) -> Comparison:
    failed = _failed(samples)
    return Comparison(
        **named(case),
        threshold=settings.threshold.of(case),
        verdict=_of_failures(failed) if is_out(samples) else "not compared",
        cause=_cause(failed) or "not measured: the gate ended before",
    )


def _compared(
    case: Case,
    samples: Sequence[Sample],
    settings: GateSettings,
    *,
    said: str,
    cpu: Logs,
    count: int,
) -> Comparison:
    threshold = settings.threshold.of(case)
    wall, memory = (
        round_logs(samples, name).get(case, np.empty(0)) for name in ("seconds", "peak_mib")
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
    failed = _failed(samples)
    return Comparison(
        **named(case),
        threshold=threshold,
        verdict="regression" if more else said,
        grown=more,
        cause=f"{_cause(failed)}; not so in other rounds" if failed else "",
        base=base,
        head=head,
        cpu=_estimate(cpu),
        wall=_estimate(wall),
        memory=_estimate(memory),
    )


def _failed(samples: Sequence[Sample]) -> dict[str, Sample]:
    """The first failure of each side."""
    return {sample.side: sample for sample in reversed(samples) if sample.status != "ok"}


def _cause(failed: Mapping[str, Sample]) -> str:
    return "; ".join(f"{side}: {how.status}, {how.cause}" for side, how in sorted(failed.items()))


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
