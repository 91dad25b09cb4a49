"""How far the figures of a run can be trusted: how its cases ended, and what disturbed it."""

from __future__ import annotations

import itertools
import math
from statistics import median
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from segbench.backends.registry import BASELINE
from segbench.measure.settings import PHASES, Limits
from segbench.measure.stopping import LOOKS, REASONS, ended
from segbench.report.cells import (
    NOTHING,
    Cell,
    Table,
    collected,
    images,
    known_number,
    row,
    sizes_in_words,
)
from segbench.report.costs import PARTS_OFF, parts_off, profiles_by_backend
from segbench.report.pairs import ratio_between
from segbench.report.summary import grouped, listed_in
from segbench.stats import MIN_ROUNDS, WIDE, drift, relative_spread

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pandas as pd

    from segbench.results.sources import Source

# Phase and number of images.
Key: TypeAlias = tuple[str, int]

# Load for each CPU at the start of a run: more, and somebody else takes a good part of the machine.
BUSY = 0.5

# Runs of earlier versions had no more processes of a backend, with many samples each.
MOST_OLD_ROUNDS = 2

# Change of the baseline's times in a case from its first to its last sample, as a share of their
# median. More is noise that a reader should know of.
DRIFT = 0.1

# Share of the cases: in more, times were noisy, even if only for a part of the run.
NOISY_CASES = 0.2

# Of fewer rounds, or samples where there are no rounds, noise alone makes a slope.
DRIFT_POINTS = 10

# Standard errors of the test for a trend: without one, 0.3% of runs are beyond.
TREND = 3.0

# Share of the CPU time of a run.
WITHHELD = 0.02

# Beside the reasons for which a case ends: it did not.
CUT = "interrupted"


def _endings(source: Source) -> dict[Key, tuple[int, str]]:
    """How many rounds each phase has at each size in which all are ok, and the reason for its end.

    The reason is one of :data:`segbench.measure.stopping.REASONS`; empty where it had not ended.
    What was to be measured and has no sample counts as not ended. A backend that failed has a row
    in every phase of the size: one that has all rounds of a phase failed in another, and counts
    there as the engine counted it. A case that was given up since every backend failed is left
    out, and so are all where the source does not know its limits.
    """
    limits = _limits(source)
    found: dict[Key, tuple[int, str]] = {}
    for case, own in _cases(source).items() if limits else ():
        if own is None or limits is None:
            found[case] = 0, ""
            continue
        times = source.times.get(case, {})
        ok = own[own["status"] == "ok"]
        failed = set(own[own["status"] != "ok"]["backend"])
        every = set(ok["round"])
        live = {name for name in times if name not in failed or every <= {*times[name].rounds}}
        if not live:
            continue
        baseline = times.get(str(BASELINE))
        others = live - {str(BASELINE)} if baseline else ()
        ratios = [ratio_between(times[name], baseline) for name in others if baseline]
        rounds = len(set.intersection(*({*times[name].rounds} for name in live)))
        seconds = float((ok["seconds"] * ok["calls"]).sum())
        known = [ratio for ratio in ratios if ratio.rounds]
        reason = ended(known, rounds=rounds, seconds=seconds, limits=limits)
        if reason or set(own["backend"]) - failed:
            found[case] = rounds, reason
    return found


def rounds_table(source: Source) -> Table | None:
    """How many rounds each phase took at each size, and why it ended."""
    found, limits = _endings(source), _limits(source)
    if not found or limits is None:
        return None
    sizes = sorted({n_images for _, n_images in found})
    cells = {
        case: Cell(f"{rounds} ({reason or CUT})", rounds)
        for case, (rounds, reason) in found.items()
    }
    looks = ", ".join(str(look) for look in LOOKS if look < limits.rounds)
    return Table(
        name="rounds",
        title="Rounds taken, and why they ended",
        columns=("Phase", *(images(size) for size in sizes)),
        rows=tuple(
            row(phase, *(cells.get((phase, size), NOTHING) for size in sizes))
            for phase in dict.fromkeys(phase for phase, _ in found)
        ),
        note="Each round starts new processes of all backends. A phase at one number of images ends when "
        f"every ratio is known to within {limits.precision:.0%} (95% interval) or has a clear verdict, "
        f"which is checked after {looks or MIN_ROUNDS} rounds. It also ends after "
        f"{limits.rounds} rounds or, once it has {MIN_ROUNDS}, after {limits.seconds:g} s of timed calls. "
        "In brackets is what ended it: "
        f"{'; '.join(f'{reason}, {meaning}' for reason, meaning in REASONS.items())}.",
    )


def warnings(source: Source) -> list[str]:
    """What disturbed a run, as far as its source tells, and what that means for its figures."""
    return [
        *(f"{source.name}: {note}." for note in source.notes),
        *_interruption(source),
        *_load(source),
        *_noise(source),
        *_trend(source),
        *_withheld(source),
        *_lost(source),
        *_unknown_parts(source),
        *_warm_files(source),
    ]


def _interruption(source: Source) -> Iterator[str]:
    """What had not ended, and what was not measured at all."""
    missing = [case for case, own in _cases(source).items() if own is None]
    cut = [
        case for case, (_, reason) in _endings(source).items() if not reason and case not in missing
    ]
    parts = [
        *([f"{_named(cut)} had not ended"] if cut else []),
        *([f"nothing was measured of {_named(missing)}"] if missing else []),
    ]
    if parts:
        yield (
            f"The run was interrupted: {', and '.join(parts)}. What was measured until then is valid, "
            "with wider intervals."
        )


def _lost(source: Source) -> Iterator[str]:
    """Workers of a cluster that ended in the middle."""
    most = source.samples.groupby("backend", sort=False)["lost_workers"].max()
    for backend, count in most[most > 0].items():
        yield (
            f"{backend}: the cluster lost {count} of its workers while it was measured. The others took "
            "over, and the cells are right, but the times from then on are those of fewer workers, or of "
            "workers that were just started."
        )


def _named(cases: Iterable[Key]) -> str:
    """Phases at their sizes, in words; sizes with the same phases together."""
    phases = collected((n_images, phase) for phase, n_images in cases)
    sizes = collected((", ".join(phases[n_images]), n_images) for n_images in sorted(phases))
    return "; ".join(f"{own} of {sizes_in_words(counts)}" for own, counts in sizes.items())


def _load(source: Source) -> Iterator[str]:
    """How busy others kept the machine at the start, where it is more than little."""
    load, cpus = (
        known_number(source.machine.get(name)) for name in ("load_at_start", "cpus_available")
    )
    if load is not None and cpus and load > BUSY * cpus:
        yield (
            f"The machine was busy when the run started (load {load:g} on {cpus:g} CPUs). If the "
            "other work went on, times in seconds are too long. Ratios suffer less, since they compare "
            "calls that were made side by side."
        )


def _withheld(source: Source) -> Iterator[str]:
    """CPU time that a quota or the machine's host withheld, where it is more than little."""
    seconds, until = (float(source.samples[name].max()) for name in ("withheld_seconds", "at"))
    # What a host withholds is counted over all CPUs, also those that the run may not use.
    cpus = (known_number(source.machine.get(name)) for name in ("cpus", "cpus_available"))
    given = until * next((count for count in cpus if count and count > 0), 1.0)
    if given > 0 and seconds > WITHHELD * given:
        # The clock of what was withheld ticks in hundredths: of a moment it may seem more than all.
        share = min(seconds / given, 1.0)
        yield (
            "The machine was slowed down: a CPU quota, or the host of this virtual machine, withheld "
            f"{share:.0%} of its CPU time. That makes single samples too long, more often those of "
            "backends with several workers."
        )


def _unknown_parts(source: Source) -> Iterator[str]:
    """Backends the parts of whose time do not add up."""
    profiles = profiles_by_backend(source).items()
    off = [name for name, one in profiles if one.status == "ok" and parts_off(one)]
    if off:
        yield (
            f"Where the time goes is only partly known for {', '.join(off)}: the steps do not add up to "
            f"the wall time, by more than {PARTS_OFF:.0%}. Take their shares as a rough guide."
        )


def _warm_files(source: Source) -> Iterator[str]:
    """How much of the files was in memory where nothing was to be."""
    cached = source.samples["cached"].max()
    if source.settings.get("cache") == "cold" and cached > 0:
        yield (
            f"Up to {cached:.0%} of the files' pages were still in memory before a call, though files "
            "were to be read from the disk: open, read and pipeline may be faster here than from a cold disk."
        )


def _noise(source: Source) -> Iterator[str]:
    """In how many cases the baseline's times spread, where it is more than a few."""
    # That one process differs from the next is no unrest: each round beside its own median.
    cases = [
        case["seconds"] / case.groupby("round")["seconds"].transform("median")
        for case in _baseline_cases(source)
        if len(case) >= max(MIN_ROUNDS, 2 * case["round"].nunique())
    ]
    wide = [one for one in map(relative_spread, cases) if one > WIDE]
    if len(wide) > NOISY_CASES * len(cases):
        yield (
            f"The plain loop's times were noisy in {len(wide)} of the {len(cases)} phases and numbers of "
            "images for which this can be told: within a round their interquartile range was more than "
            f"{WIDE:.0%} of the median, typically {median(wide):.0%}. Times in seconds are uncertain by about "
            "that much. Ratios compare calls that were made side by side, and their intervals include the "
            "noise."
        )


def _trend(source: Source) -> Iterator[str]:
    """How far the baseline's times went one way during the cases, where chance does not explain it.

    A case is a season of the seasonal Kendall test [1]_: pairs of samples of one case that rise are
    counted against those that fall, and summed up over the cases.

    References
    ----------
    .. [1] Hirsch RM, Slack JR (1984) A nonparametric trend test for seasonal data with serial
           dependence. Water Resources Research 20:727-732.
    """
    drifts, rises, variance = [], 0.0, 0.0
    for samples in _baseline_cases(source):
        case = samples[["at", "seconds"]]
        # Samples of one process resemble each other: where there are several, each counts once.
        if samples["round"].nunique() > MOST_OLD_ROUNDS:
            case = case.groupby(samples["round"]).median()
        count = len(case)
        # As where a source does not say when its samples were taken.
        if count < DRIFT_POINTS or case["at"].nunique(dropna=False) < count:
            continue
        moved = drift(case["at"], case["seconds"])
        if not math.isnan(moved):
            ordered = case.sort_values("at")["seconds"].to_numpy()
            first, last = np.triu_indices(count, k=1)
            drifts.append(moved)
            rises += float(np.sign(ordered[last] - ordered[first]).sum())
            variance += count * (count - 1) * (2 * count + 5) / 18
    if not drifts or abs(rises) <= TREND * math.sqrt(variance):
        return
    share = median(drifts)
    if abs(share) > DRIFT:
        yield (
            "The machine's speed changed: from the first to the last round of a case a plain loop's times "
            f"{'grew' if share > 0 else 'shrank'} by {abs(share):.0%}. Ratios hold, since they compare "
            "calls that were made side by side; times in seconds would differ at another moment."
        )


def _baseline_cases(source: Source) -> list[pd.DataFrame]:
    """Samples of the baseline that are ok, a table for each phase and size."""
    return [
        own[own["status"] == "ok"]
        for (_, _, backend), own in grouped(source).items()
        if backend == str(BASELINE)
    ]


def _limits(source: Source) -> Limits | None:
    """The limits of a case; None where the settings lack one, as those of older runs do."""
    precision, rounds, seconds = (
        known_number(source.settings.get(name)) or 0.0
        for name in ("precision", "rounds", "case_seconds")
    )
    if min(precision, rounds, seconds) <= 0:
        return None
    return Limits(precision=precision, rounds=int(rounds), seconds=seconds)


def _cases(source: Source) -> dict[Key, pd.DataFrame | None]:
    """Samples by phase and number of images; None for what, by the settings, was to be measured."""
    asked = itertools.product(listed_in(source, "phases", str), listed_in(source, "sizes", int))
    groups = source.samples.groupby(["phase", "n_images"])
    found = {(str(own["phase"].iloc[0]), int(own["n_images"].iloc[0])): own for _, own in groups}
    order = list(PHASES)
    known = (case for case in {*asked, *found} if case[0] in order)
    return {
        case: found.get(case)
        for case in sorted(known, key=lambda case: (order.index(case[0]), case[1]))
    }
