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
    format_factor,
    format_seconds,
    images,
    row,
)
from segbench.report.pairs import pair_of
from segbench.report.summary import cases_in, scheduler_of
from segbench.report.tables import case_cell, heads, sizes_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from segbench.report.pairs import Pairs
    from segbench.report.summary import Case

# What people write to get each reader of segbench's own.
CALLED = {
    "skimage": "skimage.io.imread",
    "dask-image": "dask_image.imread.imread",
    "dask-array-pims": "dask.array.image.imread over pims",
    "dask-array-skimage": "dask.array.image.imread over skimage.io.imread",
    "dask-batched": "dask.array.map_blocks over file names",
    "opencv": "cv2.imread",
}


def reading_table(summary: pd.DataFrame, pairs: Pairs) -> Table | None:
    """A row a reader: at each size the fastest backend with it, beside the fastest of all."""
    readers = _by_reader(summary)
    if len(readers) < 2:
        return None
    cases = [case for own in readers.values() for case in own]
    sizes = sizes_of(cases)
    best = {size: _fastest(cases, size) for size in sizes}
    return Table(
        name="readers",
        title="Which imread? Reading alone",
        columns=("Reader", *heads(cases)),
        rows=tuple(
            row(
                CALLED.get(reader, reader),
                *(_cell(_fastest(own, size), best[size], pairs) for size in sizes),
            )
            for reader, own in readers.items()
        ),
        note="All pixels in memory. Of each reader the fastest backend that was measured, which is named, "
        "as a multiple of the fastest of all.",
        layout="ratios",
    )


def sentence(summary: pd.DataFrame, pairs: Pairs) -> Iterator[str]:
    """Which reader is the fastest with the most images, and what the others take."""
    readers = _by_reader(summary)
    if len(readers) < 2:
        return
    cases = [case for own in readers.values() for case in own]
    size = max(sizes_of(cases))
    best = _fastest(cases, size)
    told = []
    for reader, own in readers.items():
        pair = pair_of(pairs, _fastest(own, size), best)
        if pair and pair.known:
            said = f" ({pair.verdict})" if pair.verdict in ("undecided", "no difference") else ""
            told.append(f"{CALLED.get(reader, reader)} {format_factor(pair.ratio.estimate)}{said}")
    if told and best:
        name = best.backend.partition("/")[0]
        yield (
            f"Which imread? For reading {images(size)} alone the fastest is {CALLED.get(name, name)} "
            f"({scheduler_of(best.backend)}): {format_seconds(best.seconds_median)}. As multiples of that: "
            f"{'; '.join(told)}."
        )


def _by_reader(summary: pd.DataFrame) -> dict[str, list[Case]]:
    cases = (case for case in cases_in(summary, "read") if case.ok)
    return collected((case.backend.partition("/")[0], case) for case in cases)


def _fastest(cases: Sequence[Case], size: int) -> Case | None:
    own = (case for case in cases if case.n_images == size)
    return min(own, key=lambda case: case.seconds_median, default=None)


def _cell(own: Case | None, best: Case | None, pairs: Pairs) -> Cell:
    if own is None:
        return NOTHING
    cell, pair = Cell("1.00×", 1.0), pair_of(pairs, own, best)
    if pair:
        cell = finding_cell(pair.ratio, pair.verdict)
    elif own is not best:
        return NOTHING
    return case_cell(own, lambda case: replace(cell, note=scheduler_of(case.backend)))
