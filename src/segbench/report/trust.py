"""How far the figures of a run can be trusted: how its cases ended, and what disturbed it."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from segbench.backends.registry import BASELINE
from segbench.measure.stopping import Limits, ended
from segbench.report.tables import (
    PHASES,
    Table,
    images,
    sizes_in_words,
    times_by_block,
    within_blocks,
)
from segbench.stats import MIN_BLOCKS, drift, relative_spread

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from segbench.results import Source

# Load for each CPU at the start of a run: more, and somebody else takes a good part of the machine.
BUSY = 0.5

# Middle half of the baseline's times in a case, and their change from its first to its last block,
# as shares of their median. More is noise that a reader should know of.
WIDE = 0.1
DRIFT = 0.1

# Share of the CPU time of a run.
WITHHELD = 0.02

WORDS = {
    "precision": "precise",
    "blocks": "limit of blocks",
    "time": "limit of time",
    "": "interrupted",
}


@dataclass(frozen=True)
class Ending:
    """How a phase at a size ended.

    Attributes
    ----------
    blocks : int
        Blocks with a sample.
    reason : str
        One of :data:`segbench.measure.stopping.REASONS`; empty where it had not ended.
    """

    blocks: int
    reason: str


def endings(source: Source) -> dict[tuple[str, int], Ending]:
    """How each phase at each size ended, by phase and number of images.

    What was to be measured and has no sample counts as not ended. A case of which every backend
    failed is left out, and so are all where the source does not know its limits.
    """
    limits = _limits(source)
    if limits is None:
        return {}
    found = {}
    for phase, n_images in _cases(source):
        own = _samples_of(source, phase, n_images)
        if own.empty:
            found[phase, n_images] = Ending(0, "")
            continue
        times = times_by_block(source, phase, n_images)
        live = set(times) - set(own[own["status"] != "ok"]["backend"])
        if not live:
            continue
        baseline = times.get(str(BASELINE))
        ratios = [
            ratio
            for backend in live - {str(BASELINE)}
            if baseline is not None and (ratio := within_blocks(times[backend], baseline))
        ]
        ok = own[own["status"] == "ok"]
        blocks, seconds = int(ok["block"].nunique()), float((ok["seconds"] * ok["calls"]).sum())
        found[phase, n_images] = Ending(
            blocks, ended(ratios, blocks=blocks, seconds=seconds, limits=limits)
        )
    return found


def blocks_table(source: Source) -> Table | None:
    """How many blocks each phase took at each size, and why it ended."""
    found, limits = endings(source), _limits(source)
    if not found or limits is None:
        return None
    sizes = sorted({n_images for _, n_images in found})
    rows = []
    for phase in dict.fromkeys(phase for phase, _ in found):
        cells = (found.get((phase, size)) for size in sizes)
        rows.append(
            (phase, *(f"{one.blocks}, {WORDS[one.reason]}" if one else "–" for one in cells))
        )
    return Table(
        "blocks",
        "Blocks taken, and why they ended",
        f"Blocks go on until the 95% interval of every ratio is within {limits.precision:.0%} of it "
        f"(precise), or for {limits.blocks} blocks, or, from {MIN_BLOCKS} blocks on, for "
        f"{limits.seconds:g} s inside timed calls.",
        ("Phase", *(images(size) for size in sizes)),
        tuple(rows),
    )


def warnings(source: Source) -> list[str]:
    """What disturbed a run, as far as its source tells, and what that means for its figures."""
    found = [f"{source.name}: {note}." for note in source.notes]
    found.extend(_interruption(source))
    load, cpus = (_number(source.machine.get(name)) for name in ("load_at_start", "cpus_available"))
    if load is not None and cpus and load > BUSY * cpus:
        found.append(
            f"The machine was busy when the run started (load {load:g} on {cpus:g} CPUs). If the "
            "other work went on, times in seconds are too long; ratios suffer less, since they are "
            "formed within blocks."
        )
    found.extend(_noise(source))
    found.extend(_withheld(source))
    cached = source.samples["cached"].max()
    if source.settings.get("cache") == "cold" and cached > 0:
        found.append(
            f"Files were to be cold, but up to {cached:.0%} of their pages were in memory before a "
            "call: open, read and pipeline may be faster here than from a cold disk."
        )
    return found


def _withheld(source: Source) -> Iterator[str]:
    """CPU time that a quota or the machine's host withheld, where it is more than little."""
    seconds, until = (source.samples[name].max() for name in ("withheld_seconds", "at"))
    cpus = _number(source.machine.get("cpus_available")) or 1
    if seconds > WITHHELD * until * cpus:
        yield (
            f"The machine was throttled: a CPU quota or the host of this virtual machine withheld "
            f"{seconds / (until * cpus):.0%} of its CPU time. It hits whichever call is running: "
            "single samples are too long, and backends with several workers more often."
        )


def _interruption(source: Source) -> Iterator[str]:
    missing = [case for case in _cases(source) if _samples_of(source, *case).empty]
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
    """Spread and drift of the baseline's times, in the middle of the cases that tell."""
    spreads, drifts = [], []
    samples = source.samples
    baseline = samples[(samples["backend"] == str(BASELINE)) & (samples["status"] == "ok")]
    for _, case in baseline.groupby(["phase", "n_images"]):
        if len(case) < MIN_BLOCKS:
            continue
        spreads.append(relative_spread(case["seconds"]))
        moved = abs(drift(case["at"], case["seconds"]))
        if not math.isnan(moved):  # as where a source does not say when its samples were taken
            drifts.append(moved)
    if spreads and (wide := median(spreads)) > WIDE:
        yield (
            f"The machine was restless: the middle half of the baseline's times reaches over "
            f"{wide:.0%} of their median. Ratios are formed within blocks, and their intervals "
            "show what noise is left; a time in seconds is uncertain by about as much."
        )
    if drifts and (share := median(drifts)) > DRIFT:
        yield (
            f"The machine drifted: the baseline's times changed by {share:.0%} from the first to the "
            "last block of a case. Ratios are formed within blocks, and hold; times in seconds of "
            "another moment would be others."
        )


def _limits(source: Source) -> Limits | None:
    """The limits of a case; None where the settings lack one, as those of older runs do."""
    precision, blocks, seconds = (
        _number(source.settings.get(name)) for name in ("precision", "blocks", "case_seconds")
    )
    if precision is None or blocks is None or seconds is None:
        return None
    return Limits(precision=precision, blocks=int(blocks), seconds=seconds)


def _cases(source: Source) -> list[tuple[str, int]]:
    """Phase and number of images of what was measured or, by the settings, was to be."""
    samples = source.samples
    cases = set(zip(samples["phase"], samples["n_images"], strict=True))
    phases, sizes = (source.settings.get(name) for name in ("phases", "sizes"))
    if isinstance(phases, list | tuple) and isinstance(sizes, list | tuple):
        asked = itertools.product(phases, sizes)
        cases.update(
            case for case in asked if isinstance(case[0], str) and isinstance(case[1], int)
        )
    known = (case for case in cases if case[0] in PHASES)
    return sorted(known, key=lambda case: (list(PHASES).index(case[0]), case[1]))


def _samples_of(source: Source, phase: str, n_images: int) -> pd.DataFrame:
    samples = source.samples
    return samples[(samples["phase"] == phase) & (samples["n_images"] == n_images)]


def _number(value: object) -> float | None:
    """A value of a header as a number; None where it holds something else or nothing."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
