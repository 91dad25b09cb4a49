"""The presentation of 2022 that segbench grew from: its figures and its claim beside a run's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from segbench.backends.registry import BASELINE
from segbench.report.cells import (
    NOTHING,
    Cell,
    Row,
    Table,
    finding_cell,
    format_multiple,
    format_range,
    format_seconds,
    images,
    multiple_cell,
    words,
)
from segbench.report.summary import case_id, cases_in, uses_dask, within_blocks
from segbench.stats import MARGIN, MIN_BLOCKS, VERDICTS, verdicts

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from segbench.results.sources import Source
    from segbench.stats import Ratio

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

# What "approximately the same" is taken for: as far apart as two medicines may be to be called
# equivalent (80 to 125%).
ABOUT = 0.25

# scikit-image as the presentation's reader has it, and on as many threads as Dask.
WITHOUT_DASK = (str(BASELINE), "skimage/skimage/thread-pool")

# Seconds by number of images.
Times = dict[int, float]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A row of the presentation's table, and what this run measured for it.

    Attributes
    ----------
    name : str
        As the presentation has it.
    presented : dict of int to float
        Its seconds by number of images.
    backend : str
        Whose reader was measured.
    open, read : dict of int to float
        This run's, as far as it has them.
    """

    name: str
    presented: Times
    backend: str
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
        note="The rows and columns of a presentation of 2022, Cell Image Pre-Processing with Dask "
        "Image, that this benchmark replicates. Opening is not reading: open decodes nothing (for "
        "Dask it builds the task graph), read has all pixels in memory. "
        + "".join(f"{sentence} " for sentence in _explained(measured, ends, alike=alike))
        + f"The presentation's machine and library versions{'' if alike else ', and its images,'} "
        f"were other ones: compare how the figures grow along a row{growth}, not the milliseconds.",
        layout="dense",
    )


def _read_rows(one: Reading, ends: tuple[int, int]) -> Iterator[Row]:
    """The presentation's figures, this run's, and how many times as long as opening reading took."""
    for phase, times in (("", one.presented), ("open", one.open), ("read", one.read)):
        cells = [
            Cell(
                _milliseconds(times[size]),
                times[size],
                case=case_id(phase, size, one.backend) if phase else "",
            )
            if size in times
            else NOTHING
            for size in SIZES
        ]
        which = f"this run, {phase}" if phase else "presentation"
        yield Row((*words(one.name, which), *cells, multiple_cell(_growth(times, ends))))
    ratios = {size: one.read[size] / one.open[size] for size in one.read.keys() & one.open}
    over = [multiple_cell(ratios.get(size)) for size in SIZES]
    yield Row((*words(one.name, "this run, read / open"), *over, NOTHING))


def _readings(summary: pd.DataFrame) -> Iterator[Reading]:
    """The rows whose reader was measured, each with the first backend under its usual scheduler."""
    cases = [
        case for case in cases_in(summary, "open", "read") if case.ok and case.n_images in SIZES
    ]
    for name, (reader, milliseconds) in READ_TABLE.items():
        own = [case.backend for case in cases if case.backend.startswith(f"{reader}/")]
        usual = [backend for backend in own if backend.endswith(("/serial", "/threads"))]
        for backend in (usual or own)[:1]:
            times: dict[str, Times] = {"open": {}, "read": {}}
            for case in cases:
                if case.backend == backend:
                    times[case.phase][case.n_images] = case.seconds_median
            presented = {size: ms / 1e3 for size, ms in zip(SIZES, milliseconds, strict=True)}
            yield Reading(name=name, presented=presented, backend=backend, **times)


def _explained(rows: list[Reading], ends: tuple[int, int], *, alike: bool) -> Iterator[str]:
    """What explains that the presentation's figures are so small: nothing was decoded.

    `alike`: this run's images are as large as the presentation's.
    """
    for row in rows:
        if row.name == LAZY and (both := row.open.keys() & row.read):
            size = max(both)
            yield (
                f"The presentation's {LAZY} can only have been a lazy collection: this run opens "
                f"{images(size)} so in {format_seconds(row.open[size])} and reads them in "
                f"{format_seconds(row.read[size])}, {format_multiple(row.read[size] / row.open[size])} as "
                "long."
            )
            if alike:
                yield (
                    f"The presentation's {_milliseconds(row.presented[size])} for {images(size)} "
                    f"would be {format_seconds(row.presented[size] / size)} for each, which takes "
                    f"{format_seconds(row.read[size] / size)} to decode here."
                )
    grown = {
        "the presentation's figures grow": [_growth(row.presented, ends) for row in rows],
        "this run's open grows": [_growth(row.open, ends) for row in rows],
        "its read grows": [_growth(row.read, ends) for row in rows],
    }
    known = {what: [one for one in values if one] for what, values in grown.items()}
    if ends[0] < ends[1] and all(known.values()):
        words = [f"{what} {format_range(values)} times" for what, values in known.items()]
        times = f"{ends[1] / ends[0]:g} times as many"
        yield f"From {ends[0]} to {images(ends[1])}, {times}, {', '.join(words)}."


def _growth(times: Times, ends: tuple[int, int]) -> float | None:
    """Time at the last size over that at the first; None where one is missing or both are one."""
    first, last = ends
    return times[last] / times[first] if first < last and {*ends} <= times.keys() else None


def _milliseconds(seconds: float) -> str:
    """With as many decimals as the presentation has."""
    return f"{seconds * 1e3:.3f} ms"


def claim_table(source: Source, summary: pd.DataFrame) -> Table | None:
    """The presentation's claim that Dask takes about as long as scikit-image, tested by size."""
    if not source.paired:
        return None
    ratios = _ratios(source, summary)
    if not any(ratio.count >= MIN_BLOCKS for ratio in ratios.values()):
        return None
    shown = dict(zip(ratios, verdicts(list(ratios.values()), margin=ABOUT), strict=True))
    sizes = sorted({size for *_, size in ratios})

    def cell(backend: str, phase: str, other: str, size: int) -> Cell:
        key = (backend, phase, other, size)
        if key not in ratios:
            return NOTHING
        return finding_cell(ratios[key], shown[key], case=case_id(phase, size, backend))

    rows = tuple(
        Row((*words(*names), *(cell(*names, size) for size in sizes)), backend=names[0])
        for names in dict.fromkeys(key[:3] for key in ratios)
    )
    counts = {verdict: list(shown.values()).count(verdict) for verdict in VERDICTS}
    return Table(
        name="presentation-claim",
        title="Does Dask take about as long as scikit-image on one machine?",
        columns=("With Dask", "Phase", "Without", *(images(size) for size in sizes)),
        rows=rows,
        note=f"The presentation's “{CLAIM}”, tested: the time with Dask as a multiple of that of "
        "plain scikit-image in the same block, one image after the other (serial) and on as many "
        f"threads (thread-pool). Of {len(shown)} comparisons Dask is slower in {counts['slower']} "
        f"and faster in {counts['faster']}; about the same (no difference) in "
        f"{counts['no difference']}, and {counts['undecided']} are undecided. About the same: the "
        f"whole 95% interval lies within a factor of {1 + ABOUT:g}. Slower and faster: the whole "
        "interval lies beyond it, and chance does not explain a difference beyond "
        f"{MARGIN:.0%}, corrected for all of these comparisons.",
        layout="ratios",
    )


def _ratios(source: Source, summary: pd.DataFrame) -> dict[tuple[str, str, str, int], Ratio]:
    """By backend with Dask, phase, backend without, and size, where both are ok."""
    measured: dict[tuple[str, int], list[str]] = {}
    for case in cases_in(summary, "process", "pipeline"):
        if case.ok:
            measured.setdefault((case.phase, case.n_images), []).append(case.backend)
    found = {
        (backend, phase, other, size): ratio
        for (phase, size), backends in measured.items()
        for backend in filter(uses_dask, backends)
        for other in WITHOUT_DASK
        if other in backends
        and (ratio := within_blocks(*(source.times[phase, size][one] for one in (backend, other))))
    }
    ordered = list(summary["backend"].unique())
    return {key: found[key] for key in sorted(found, key=lambda key: ordered.index(key[0]))}
