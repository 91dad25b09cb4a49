"""How often a run of segbench finds a backend that is slower by a known share."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

from evidence.arms import SLOWED
from evidence.shared import (
    Record,
    Search,
    Steps,
    Workplace,
    compared,
    measurement,
    median,
    run_segbench,
    share,
    table,
)
from segbench.backends.registry import BASELINE
from segbench.stats import VERDICTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from segbench.results.sources import Source


def searched(source: Source, *, run: int) -> list[Search]:
    """How a slow-down was looked for in each case of a run."""
    samples = source.samples
    searches = []
    for each in compared(source):
        case = samples[
            (samples["phase"] == each.phase)
            & (samples["n_images"] == each.n_images)
            & samples["reader"].isin([each.arm, BASELINE.reader])
        ]
        seconds = float((case["seconds"] * case["calls"]).sum())
        rounds = int(case["round"].nunique())
        searches.append(Search(run=run, comparison=each, rounds=rounds, seconds=seconds))
    return searches


def arms_table(searches: Sequence[Search], *, by_case: bool = False) -> str:
    """One row an arm, or an arm and case: what was said of it, how often."""

    def count(own: Sequence[Search], word: str) -> int:
        return sum(each.comparison.verdict == word for each in own)

    def said(word: str) -> Callable[[list[Search]], str]:
        return lambda own: str(count(own, word))

    return table(
        ("Arm", "Case")[: 1 + by_case],
        searches,
        lambda each: (each.comparison.arm, each.comparison.case)[: 1 + by_case],
        {
            "Ratio measured": lambda own: median([e.comparison.ratio for e in own], "{:.3f}"),
            "Found slower": lambda own: share(count(own, "slower"), len(own)),
            **{word.capitalize(): said(word) for word in VERDICTS[-2::-1]},
            "Rounds": lambda own: median([each.rounds for each in own], "{:.0f}"),
            "Timed for": lambda own: median([each.seconds for each in own], "{:.1f} s"),
        },
    )


def tables(record: Record) -> list[str]:
    """All that there is to show."""
    if not record.searches:
        return []
    return [arms_table(record.searches), arms_table(record.searches, by_case=True)]


@measurement("run", tables=tables, runs=2, phases=("process", "pipeline"))
def slowed(place: Workplace, record: Record, *, runs: range) -> Steps:
    """Measure arms that are 5% and 10% slower: how often are they found?"""

    def step(run: int) -> str:
        started = time.perf_counter()
        source = run_segbench(place, seed=run, arms=SLOWED)
        seconds = time.perf_counter() - started
        searches = searched(source, run=run)
        record.searches += searches
        found = sum(search.comparison.verdict == "slower" for search in searches)
        return f"{found} of {len(searches)} found slower, {seconds:.0f} s"

    for run in runs:
        yield f"run {run} of {runs[-1]}", functools.partial(step, run)
