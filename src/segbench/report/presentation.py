"""The presentation of 2022 that segbench grew from: its figures and its claim beside a run's."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from segbench.backends.registry import BASELINE
from segbench.report.cells import (
    NOTHING,
    Table,
    collected,
    finding_cell,
    format_multiple,
    format_range,
    format_seconds,
    images,
    multiple_cell,
    number_cell,
    row,
)
from segbench.report.summary import case_id, cases_in, uses_dask
from segbench.stats import MARGIN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from segbench.report.cells import Row
    from segbench.report.pairs import Pair, Pairs
    from segbench.results.sources import Source

SIZES = (1, 20, 50, 200, 500)

# Row as the presentation names it -> the reader it used, and milliseconds for each of `SIZES`.
READ_TABLE = {
    "Dask imread": ("dask-image", (32.516, 146.798, 175.199, 139.793, 158.926)),
    "Dask.array.image (imread = pimread)": (
        "dask-array-pims",
        (38.889, 118.978, 122.171, 122.517, 130.457),
    ),
    "Dask.array.image (imread=skimage.imread)": (
        "dask-array-skimage",
        (30.997, 143.175, 124.876, 123.422, 123.790),
    ),
    "Skimage imread": ("skimage", (0.255, 2.546, 1.583, 2.077, 4.897)),
}

# Pixels of its images.
SHAPE = (192, 256)

# The row that opened its files and decoded none.
LAZY = "Skimage imread"

CLAIM = "hence on a single compute source the performance was approximately the same"

# What the widest reading of "approximately the same" would be: as far apart as two medicines may be
# to be called equivalent (80 to 125%).
ABOUT = 1.25

# scikit-image as the presentation's reader has it, and on as many threads as Dask.
WITHOUT_DASK = {str(BASELINE): "the plain loop", "skimage/skimage/thread-pool": "the thread pool"}

# Seconds by number of images.
Times: TypeAlias = dict[int, float]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A row of the presentation's table, and what this run measured for it.

    Attributes
    ----------
    name : str
        As the presentation has it.
    backend : str
        Whose reader was measured.
    presented : dict of int to float
        The presentation's seconds by number of images.
    open, read : dict of int to float
        This run's, as far as it has them.
    """

    name: str
    backend: str
    presented: Times
    open: Times
    read: Times


def read_table(source: Source, summary: pd.DataFrame) -> Table | None:
    """The presentation's read table, with this run's `open` and `read` under its figures."""
    measured = list(_readings(summary))
    if not measured:
        return None
    sizes = {size for one in measured for size in (*one.open, *one.read)}
    # From 20 images on, if to more: what is paid once is much of the time of one.
    several = sizes - {SIZES[0]}
    ends = min(several if len(several) > 1 else sizes), max(sizes)
    growth = f" (growth: from {ends[0]} to {images(ends[1])})" if ends[0] < ends[1] else ""
    shape = source.dataset.get("shape")
    alike = isinstance(shape, list | tuple) and tuple(shape[:2]) == SHAPE
    return Table(
        name="presentation-read",
        title="Performance Comparison of Reading Images",
        columns=("Process", "Source", *(images(size) for size in SIZES), "Growth"),
        rows=tuple(row for one in measured for row in _read_rows(one, ends)),
        note="This benchmark repeats the measurements of a presentation of 2022, Cell Image Pre-Processing "
        "with Dask Image; its figures stand beside those of this run. Opening is not reading: open decodes one image at the most (for "
        "Dask it builds the task graph), read has all pixels in memory. "
        + "".join(f"{sentence} " for sentence in _explained(measured, ends, alike=alike))
        + f"The presentation's machine and library versions{'' if alike else ', and its images,'} "
        f"were other ones: compare how the figures grow along a row{growth}, not the milliseconds.",
        layout="dense",
    )


def _read_rows(one: Reading, ends: tuple[int, int]) -> Iterator[Row]:
    """The presentation's figures, this run's, and how many times as long as opening reading took."""
    for phase, times in (("", one.presented), ("open", one.open), ("read", one.read)):
        which = f"this run, {phase}" if phase else "presentation"
        cells = [number_cell(times.get(size), _milliseconds) for size in SIZES]
        if phase:
            cells = [
                replace(cell, case=case_id(phase, size, one.backend)) if size in times else cell
                for cell, size in zip(cells, SIZES, strict=True)
            ]
        yield row(one.name, which, *cells, multiple_cell(_growth(times, ends)))
    ratios = {size: one.read[size] / one.open[size] for size in one.read.keys() & one.open}
    over = [multiple_cell(ratios.get(size)) for size in SIZES]
    yield row(one.name, "this run, read / open", *over, NOTHING)


def _milliseconds(seconds: float) -> str:
    """As the presentation has them."""
    return f"{seconds * 1e3:.3f} ms"


def _readings(summary: pd.DataFrame) -> Iterator[Reading]:
    """The rows whose reader was measured, each with the first backend under its usual scheduler."""
    times = collected(
        (case.backend, (case.phase, case.n_images, case.seconds_median))
        for case in cases_in(summary, "open", "read")
        if case.ok and case.n_images in SIZES
    )
    for name, (reader, milliseconds) in READ_TABLE.items():
        own = [backend for backend in times if backend.startswith(f"{reader}/")]
        usual = [backend for backend in own if backend.endswith(("/serial", "/threads"))]
        for backend in (usual or own)[:1]:
            opened, read = (
                {size: seconds for phase, size, seconds in times[backend] if phase == which}
                for which in ("open", "read")
            )
            presented = {size: ms / 1e3 for size, ms in zip(SIZES, milliseconds, strict=True)}
            yield Reading(name=name, backend=backend, presented=presented, open=opened, read=read)


def _explained(rows: list[Reading], ends: tuple[int, int], *, alike: bool) -> Iterator[str]:
    """What explains that the presentation's figures are so small: nothing was decoded.

    `alike`: this run's images are as large as the presentation's.
    """
    for one in rows:
        if one.name == LAZY and (both := one.open.keys() & one.read):
            size = max(both)
            yield (
                f"The presentation's {LAZY} is too short for images that were decoded, and was most likely a lazy collection: this run opens "
                f"{images(size)} so in {format_seconds(one.open[size])} and reads them in "
                f"{format_seconds(one.read[size])}, {format_multiple(one.read[size] / one.open[size])} as "
                "long."
            )
            if alike:
                yield (
                    f"The presentation's {_milliseconds(one.presented[size])} for {images(size)} "
                    f"would be {format_seconds(one.presented[size] / size)} for each, which takes "
                    f"{format_seconds(one.read[size] / size)} to decode here."
                )
    first, last = ends
    grown = {
        "the presentation's figures grow": [_growth(one.presented, ends) for one in rows],
        "this run's open grows": [_growth(one.open, ends) for one in rows],
        "its read grows": [_growth(one.read, ends) for one in rows],
    }
    known = {what: [factor for factor in factors if factor] for what, factors in grown.items()}
    if first < last and all(known.values()):
        told = [f"{what} {format_range(factors)} times" for what, factors in known.items()]
        yield f"From {first} to {images(last)}, {last / first:g} times as many, {', '.join(told)}."


def _growth(times: Times, ends: tuple[int, int]) -> float | None:
    """Time at the last size over that at the first; None where one is missing or both are one."""
    first, last = ends
    return times[last] / times[first] if first < last and {*ends} <= times.keys() else None


def claim_table(summary: pd.DataFrame, pairs: Pairs) -> Table | None:
    """The presentation's claim that Dask takes about as long as scikit-image, by size."""
    shown = _claimed(summary, pairs)
    if not any(pair.known for pair in shown.values()):
        return None
    sizes = sorted({size for *_, size in shown})
    cells = {
        key: finding_cell(pair.ratio, pair.verdict, case=case_id(key[1], key[3], key[0]))
        for key, pair in shown.items()
    }
    rows = tuple(
        row(*names, *(cells.get((*names, size), NOTHING) for size in sizes), backend=names[0])
        for names in dict.fromkeys(key[:3] for key in shown)
    )
    by_other = collected((key[2], pair) for key, pair in shown.items())
    return Table(
        name="presentation-claim",
        title="Does Dask take about as long as scikit-image on one machine?",
        columns=("With Dask", "Phase", "Without", *(images(size) for size in sizes)),
        rows=rows,
        note=f"The presentation's “{CLAIM}”, beside what was measured: the time with Dask as a "
        "multiple of that of plain scikit-image, measured side by side, one image after the other "
        "(serial) and on as many threads (thread-pool). "
        + "".join(_counts(WITHOUT_DASK[other], pairs) for other, pairs in by_other.items())
        + "The verdicts are those of the whole report.",
        layout="ratios",
    )


def _counts(other: str, pairs: Sequence[Pair]) -> str:
    """How often Dask takes longer than one without, and how often the presentation's claim holds."""
    said = Counter(pair.verdict for pair in pairs)
    near = sum(one.ratio.low > 1 / ABOUT and one.ratio.high < ABOUT for one in pairs)
    return (
        f"Of {len(pairs)} comparisons with {other} Dask is slower in {said['slower']} (probably in "
        f"{said['probably slower']} more), faster in {said['faster']} (probably in "
        f"{said['probably faster']} more), and the same to within {MARGIN:.0%} (no difference) in "
        f"{said['no difference']}; {said['undecided']} are undecided. If “approximately” means within a factor "
        f"of {ABOUT:g}, it holds for {near}: there the whole interval lies within it. "
    )


def _claimed(summary: pd.DataFrame, pairs: Pairs) -> dict[tuple[str, str, str, int], Pair]:
    """By backend with Dask, phase, backend without, and size, what was compared."""
    cases = [
        (case.backend, case.phase, case.n_images)
        for case in cases_in(summary, "process", "pipeline")
    ]
    return {
        (backend, phase, other, size): pair
        for backend in filter(uses_dask, summary["backend"].unique())
        for own, phase, size in cases
        for other in WITHOUT_DASK
        if own == backend
        and (pair := pairs.get((phase, size, backend, other)))
        and pair.ratio.rounds
    }
