"""Which `imread`: the readers beside each other, for reading alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from segbench.report.cells import (
    NOTHING,
    Cell,
    Table,
    collected,
    finding_cell,
    format_seconds,
    images,
    row,
)
from segbench.report.pairs import pair_of
from segbench.report.summary import cases_in, scheduler_of
from segbench.report.tables import case_cell, heads, sizes_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from segbench.report.pairs import Pairs
    from segbench.report.summary import Case
    from segbench.results.sources import Source


def reading_table(source: Source, summary: pd.DataFrame, pairs: Pairs) -> Table | None:
    """A row a reader: at each size the fastest backend with it, relative to one and the same."""
    readers = _by_reader(source, summary)
    if len(readers) < 2:
        return None
    cases = [case for own in readers.values() for case in own]
    sizes = sizes_of(cases)
    best = _fastest(cases, sizes[-1])
    assert best  # noqa: S101  (there are cases of each size)
    beside = {case.n_images: case for case in cases if case.backend == best.backend}
    return Table(
        name="readers",
        title="Which imread? Reading alone",
        columns=("Reader", *heads(cases)),
        rows=tuple(
            row(reader, *(_cell(_fastest(own, size), beside.get(size), pairs) for size in sizes))
            for reader, own in readers.items()
        ),
        note=f"{_sentence(readers, best)} Each cell has the fastest backend with a reader, and its time "
        "relative to that one with as many images. Readers are timed under the schedulers that the run has "
        "for each, which differ: decoding gains from processes. All pixels are in memory in the end.",
        layout="ratios",
    )


def _sentence(readers: Mapping[str, Sequence[Case]], best: Case) -> str:
    """Which reader is the fastest with the most images."""
    (name,) = (reader for reader, own in readers.items() if best in own)
    return (
        f"To read {images(best.n_images)}, {name} ({scheduler_of(best.backend)}) has the lowest median: "
        f"{format_seconds(best.seconds_median)}."
    )


def _by_reader(source: Source, summary: pd.DataFrame) -> dict[str, list[Case]]:
    """By what people write for it; by its name where the run does not say."""
    cases = (case for case in cases_in(summary, "read") if case.ok)
    return collected(
        (source.backends[case.backend].reader or case.backend.partition("/")[0], case)
        for case in cases
    )


def _fastest(cases: Sequence[Case], size: int) -> Case | None:
    own = (case for case in cases if case.n_images == size)
    return min(own, key=lambda case: case.seconds_median, default=None)


def _cell(own: Case | None, other: Case | None, pairs: Pairs) -> Cell:
    if own is None:
        return NOTHING
    cell, pair = Cell("1.00×", 1.0), pair_of(pairs, own, other)
    if pair:
        cell = finding_cell(pair.ratio, pair.verdict)
    elif own is not other:
        return NOTHING
    return case_cell(own, lambda case: replace(cell, note=scheduler_of(case.backend)))
