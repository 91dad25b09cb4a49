"""How far the figures of a run can be trusted: how its cases ended, and what disturbed it."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from segbench.backends.registry import BASELINE
from segbench.measure.settings import PHASES, Limits
from segbench.measure.stopping import MIN_PRECISE_BLOCKS, REASONS, ended
from segbench.report.cells import (
    NOTHING,
    Cell,
    Row,
    Table,
    images,
    known_number,
    sizes_in_words,
)
from segbench.report.costs import PARTS_OFF, parts_off, profiles_by_backend
from segbench.report.summary import grouped, listed_in, within_blocks
from segbench.stats import MIN_BLOCKS, WIDE, drift, relative_spread

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from numpy.typing import ArrayLike

    from segbench.results.sources import Source

# Load for each CPU at the start of a run: more, and somebody else takes a good part of the machine.
BUSY = 0.5

# Change of the baseline's times in a case from its first to its last block, as a share of their
# median. More is noise that a reader should know of.
DRIFT = 0.1

# Share of the cases: in more, the machine was restless, even if only for a part of the run.
RESTLESS_CASES = 0.2

# Of fewer blocks, noise alone makes a slope.
DRIFT_BLOCKS = 10

# Standard errors of the test for a trend: without one, 0.3% of runs are beyond.
TREND = 3.0

# Share of the CPU time of a run.
WITHHELD = 0.02

# Beside the reasons for which a case ends: it did not.
CUT = "interrupted"


@dataclass(frozen=True)
class Ending:
    """How a phase at a size ended.

    Attributes
    ----------
    blocks : int
        Blocks in which every backend has a sample that was measured to the end.
    reason : str
        One of :data:`segbench.measure.stopping.REASONS`; empty where it had not ended.
    """

    blocks: int
    reason: str


def endings(source: Source) -> dict[tuple[str, int], Ending]:
    """How each phase at each size ended, by phase and number of images.

    What was to be measured and has no sample counts as not ended. A backend that failed has a row
    in every phase of the size: one that has all blocks of a phase failed in another, and counts
    there as the engine counted it. A case that was given up since every backend failed is left
    out, and so are all where the source does not know its limits.
    """
    limits = _limits(source)
    if limits is None:
        return {}
    found = {}
    for case, own in _cases(source).items():
        if own is None:
            found[case] = Ending(0, "")
            continue
        times = source.times.get(case, {})
        ok = own[own["status"] == "ok"]
        failed = set(own[own["status"] != "ok"]["backend"])
        every = set(ok["block"])
        live = {name for name in times if name not in failed or every <= set(times[name].index)}
        if not live:
            continue
        baseline = times.get(str(BASELINE))
        ratios = [
            ratio
            for backend in live - {str(BASELINE)}
            if baseline is not None and (ratio := within_blocks(times[backend], baseline))
        ]
        blocks = len(set.intersection(*(set(times[name].index) for name in live)))
        seconds = float((ok["seconds"] * ok["calls"]).sum())
        reason = ended(ratios, blocks=blocks, seconds=seconds, limits=limits)
        if reason or set(own["backend"]) - failed:
            found[case] = Ending(blocks, reason)
    return found


def blocks_table(source: Source) -> Table | None:
    """How many blocks each phase took at each size, and why it ended."""
    found, limits = endings(source), _limits(source)
    if not found or limits is None:
        return None
    sizes = sorted({n_images for _, n_images in found})
    cells = {
        case: Cell(f"{one.blocks} ({one.reason or CUT})", one.blocks) for case, one in found.items()
    }
    anew = (
        " Of few images the second half of the blocks was taken in new processes (round 2)."
        if source.samples["round"].max() > 1
        else ""
    )
    return Table(
        name="blocks",
        title="Blocks taken, and why they ended",
        columns=("Phase", *(images(size) for size in sizes)),
        rows=tuple(
            Row((Cell(phase), *(cells.get((phase, size), NOTHING) for size in sizes)))
            for phase in dict.fromkeys(phase for phase, _ in found)
        ),
        note="Blocks go on until the 95% interval of every ratio is within "
        f"{limits.precision:.0%} of it (looked at after {MIN_PRECISE_BLOCKS} blocks, then at each "
        f"1.4 times as many), or for {limits.blocks} blocks, or, from {MIN_BLOCKS} blocks on, for "
        f"{limits.seconds:g} s inside timed calls. In brackets what ended them: "
        f"{'; '.join(f'{reason}: {meaning}' for reason, meaning in REASONS.items())}.{anew}",
    )


def warnings(source: Source) -> list[str]:
    """What disturbed a run, as far as its source tells, and what that means for its figures."""
    found = [f"{source.name}: {note}." for note in source.notes]
    found.extend(_interruption(source))
    load, cpus = (
        known_number(source.machine.get(name)) for name in ("load_at_start", "cpus_available")
    )
    if load is not None and cpus and load > BUSY * cpus:
        found.append(
            f"The machine was busy when the run started (load {load:g} on {cpus:g} CPUs). If the "
            "other work went on, times in seconds are too long; ratios suffer less, since they are "
            "formed within blocks."
        )
    found.extend(_noise(source))
    found.extend(_trend(source))
    found.extend(_withheld(source))
    profiles = profiles_by_backend(source).items()
    off = [name for name, one in profiles if one.status == "ok" and parts_off(one)]
    if off:
        found.append(
            f"Where the time goes is known in part only for {', '.join(off)}: the parts miss the wall "
            f"time by more than {PARTS_OFF:.0%}. Take their shares as a rough guide."
        )
    cached = source.samples["cached"].max()
    if source.settings.get("cache") == "cold" and cached > 0:
        found.append(
            f"Files were to be cold, but up to {cached:.0%} of their pages were in memory before a "
            "call: open, read and pipeline may be faster here than from a cold disk."
        )
    return found


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
            f"The machine was throttled: a CPU quota or the host of this virtual machine withheld "
            f"{share:.0%} of its CPU time. It hits whichever call is running: "
            "single samples are too long, and backends with several workers more often."
        )


def _interruption(source: Source) -> Iterator[str]:
    missing = [case for case, own in _cases(source).items() if own is None]
    found = endings(source)
    cut = [case for case in found if not found[case].reason and case not in missing]
    parts = []
    if cut:
        parts.append(f"{_named(cut)} had not ended")
    if missing:
        parts.append(f"nothing was measured of {_named(missing)}")
    if parts:
        yield (
            f"The run was interrupted: {', and '.join(parts)}. What was measured until then is as "
            "good as its intervals say."
        )


def _named(cases: list[tuple[str, int]]) -> str:
    """Phases at their sizes, in words; sizes with the same phases together."""
    phases: dict[int, list[str]] = {}
    for phase, n_images in cases:
        phases.setdefault(n_images, []).append(phase)
    sizes: dict[str, list[int]] = {}
    for n_images in sorted(phases):
        sizes.setdefault(", ".join(phases[n_images]), []).append(n_images)
    return "; ".join(f"{own} of {sizes_in_words(counts)}" for own, counts in sizes.items())


def _noise(source: Source) -> Iterator[str]:
    """In how many cases the baseline's times spread, where it is more than a few."""
    spreads = [
        relative_spread(case["seconds"])
        for case in _baseline_cases(source)
        if len(case) >= MIN_BLOCKS
    ]
    wide = [spread for spread in spreads if spread > WIDE]
    if len(wide) > RESTLESS_CASES * len(spreads):
        yield (
            f"The machine was restless in {len(wide)} of {len(spreads)} cases: the middle half of the "
            f"baseline's times spans more than {WIDE:.0%} of their median, typically "
            f"{median(wide):.0%}. Ratios are formed within blocks, and their "
            "intervals show what noise is left; a time in seconds is uncertain by about as much."
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
    for case in _baseline_cases(source):
        # As where a source does not say when its samples were taken.
        if len(case) < DRIFT_BLOCKS or case["at"].nunique(dropna=False) < len(case):
            continue
        moved = drift(case["at"], case["seconds"])
        if math.isnan(moved):
            continue
        drifts.append(moved)
        rises += _rises(case.sort_values("at")["seconds"])
        variance += len(case) * (len(case) - 1) * (2 * len(case) + 5) / 18
    if not drifts or abs(rises) <= TREND * math.sqrt(variance):
        return
    share = median(drifts)
    if abs(share) > DRIFT:
        yield (
            f"The machine drifted: from the first to the last block of a case the baseline's times "
            f"{'grew' if share > 0 else 'shrank'} by {abs(share):.0%}. Ratios are formed within "
            "blocks, and hold; times in seconds of another moment would be others."
        )


def _baseline_cases(source: Source) -> list[pd.DataFrame]:
    """Samples of the baseline that are ok, a table for each phase and size."""
    return [
        own[own["status"] == "ok"]
        for (_, _, backend), own in grouped(source).items()
        if backend == str(BASELINE)
    ]


def _rises(values: ArrayLike) -> float:
    """Pairs of values of which the later is larger, less those of which it is smaller."""
    array = np.asarray(values, dtype=float)
    first, last = np.triu_indices(array.size, k=1)
    return float(np.sign(array[last] - array[first]).sum())


def _limits(source: Source) -> Limits | None:
    """The limits of a case; None where the settings lack one, as those of older runs do."""
    precision, blocks, seconds = (
        known_number(source.settings.get(name)) for name in ("precision", "blocks", "case_seconds")
    )
    if precision is None or blocks is None or seconds is None:
        return None
    if precision <= 0:
        return None
    return Limits(precision=precision, blocks=int(blocks), seconds=seconds)


def _cases(source: Source) -> dict[tuple[str, int], pd.DataFrame | None]:
    """Samples by phase and number of images; None for what, by the settings, was to be measured."""
    asked = itertools.product(listed_in(source, "phases", str), listed_in(source, "sizes", int))
    cases: dict[tuple[str, int], pd.DataFrame | None] = dict.fromkeys(asked)
    for _, own in source.samples.groupby(["phase", "n_images"]):
        cases[str(own["phase"].iloc[0]), int(own["n_images"].iloc[0])] = own
    order = {phase: place for place, phase in enumerate(PHASES)}
    known = (case for case in cases if case[0] in order)
    return {case: cases[case] for case in sorted(known, key=lambda one: (order[one[0]], one[1]))}
