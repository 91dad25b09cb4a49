"""How often a run of segbench finds a backend that is slower by a known share, and how soon."""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import TYPE_CHECKING

from evidence.arms import ARMS
from evidence.shared import (
    Record,
    Search,
    Steps,
    Workplace,
    compared,
    measurement,
    median,
    run_segbench,
    table,
)
from segbench.backends.registry import BASELINE
from segbench.stats import MIN_BLOCKS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from segbench.results.sources import Source


def searched(source: Source, *, run: int) -> list[Search]:
    """How a slow-down was looked for in each case of a run, at its end and on the way.

    The samples are replayed: as if every case had ended after `MIN_BLOCKS` blocks, one more, and
    so on.
    """
    samples = source.samples
    first: dict[tuple[str, str], int] = {}
    for blocks in range(MIN_BLOCKS, int(samples["block"].max()) + 1):
        early = samples[samples["block"] <= blocks].reset_index(drop=True)
        for each in compared(dataclasses.replace(source, samples=early)):
            if each.verdict == "slower":
                first.setdefault((each.arm, each.case), blocks)
    searches = []
    for each in compared(source):
        case = samples[
            (samples["phase"] == each.phase)
            & (samples["n_images"] == each.n_images)
            & samples["reader"].isin([each.arm, BASELINE.reader])
        ]
        blocks = int(case["block"].max())
        found = first.get((each.arm, each.case))
        searches.append(
            Search(
                run=run,
                comparison=each,
                blocks=blocks,
                seconds=_timed(case, blocks),
                first_blocks=found,
                first_seconds=None if found is None else _timed(case, found),
            )
        )
    return searches


def _timed(samples: pd.DataFrame, blocks: int) -> float:
    """Seconds inside the timed calls of so many blocks."""
    early = samples[samples["block"] <= blocks]
    return float((early["seconds"] * early["calls"]).sum())


NOTE = f"""\
"First seen after" is the first look, after {MIN_BLOCKS} blocks and after each later one, at which
the verdict was "slower": the median over those cases only in which there was such a look. It is no
procedure to use: who looks until it says so finds differences where there are none."""


def arms_table(searches: Sequence[Search], *, by_case: bool = False) -> str:
    """One row an arm, or an arm and case: how often it was found slower, and how soon."""

    def called(word: str) -> Callable[[list[Search]], str]:
        return lambda own: str(sum(each.comparison.verdict == word for each in own))

    return table(
        ("Arm", "Case")[: 1 + by_case],
        searches,
        lambda each: (each.comparison.arm, each.comparison.case)[: 1 + by_case],
        {
            "Ratio measured": lambda own: median([e.comparison.ratio for e in own], "{:.3f}"),
            "Found slower": lambda own: f"{called('slower')(own)} of {len(own)}",
            "Undecided": called("undecided"),
            "No difference": called("no difference"),
            "Faster": called("faster"),
            "Blocks": lambda own: median([each.blocks for each in own], "{:.0f}"),
            "Timed for": lambda own: median([each.seconds for each in own], "{:.1f} s"),
            "First seen after: blocks": lambda own: median(
                [each.first_blocks for each in own], "{:.0f}"
            ),
            "First seen after: timed for": lambda own: median(
                [each.first_seconds for each in own], "{:.1f} s"
            ),
        },
    )


def tables(record: Record) -> list[str]:
    """All that there is to show, with the note that belongs to it."""
    if not record.searches:
        return []
    return [arms_table(record.searches), arms_table(record.searches, by_case=True), NOTE]


@measurement("run", tables=tables, runs=20, phases=("process", "pipeline"))
def slowed(place: Workplace, record: Record, *, runs: range) -> Steps:
    """Measure arms that are 5% and 10% slower: how often are they found, and how soon?"""

    def step(run: int) -> str:
        started = time.perf_counter()
        source = run_segbench(place, seed=run, arms=ARMS)
        seconds = time.perf_counter() - started
        searches = searched(source, run=run)
        record.searches += searches
        found = sum(search.comparison.verdict == "slower" for search in searches)
        return f"{found} of {len(searches)} found slower, {seconds:.0f} s"

    for run in runs:
        yield f"run {run} of {runs[-1]}", functools.partial(step, run)
