"""The tables of a source: its phases, memory, true cells, what is left out, environment, samples."""

from __future__ import annotations

import dataclasses
import math
from statistics import median
from typing import TYPE_CHECKING, Any

from segbench.backends.registry import BASELINE
from segbench.measure.settings import PHASES
from segbench.report.cells import (
    NOTHING,
    Cell,
    Row,
    Table,
    finding_cell,
    format_all_seconds,
    images,
    images_cell,
    known_number,
    multiple_cell,
    seconds_cell,
    value_cell,
    words,
)
from segbench.report.summary import (
    Case,
    case_id,
    cases_in,
    grouped,
    listed_in,
    ratio_of,
    wrong_backends,
)
from segbench.results.records import STATUSES
from segbench.stats import MARGIN, MIN_BLOCKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pandas as pd

    from segbench.results.sources import Source

# In place of a status: a case that has no sample, not even one that failed.
NOT_REACHED = "not tried"


def pivot(cases: Sequence[Case], show: Callable[[Case], Cell]) -> tuple[Row, ...]:
    """A row a backend and a cell a size; a case that is not ok is shown by its status."""
    shown = {
        (case.backend, case.n_images): dataclasses.replace(
            show(case) if case.ok else Cell("", verdict=case.status), case=case.id
        )
        for case in cases
    }
    return tuple(
        Row(
            (Cell(backend), *(shown.get((backend, size), NOTHING) for size in sizes_of(cases))),
            backend=backend,
        )
        for backend in dict.fromkeys(case.backend for case in cases)
    )


def sizes_of(cases: Iterable[Case]) -> list[int]:
    """Numbers of images, ascending."""
    return sorted({case.n_images for case in cases})


def heads(cases: Iterable[Case]) -> tuple[str, ...]:
    """Headings of the columns of a `pivot` after its first."""
    return tuple(images(size) for size in sizes_of(cases))


def ratio_cell(case: Case | pd.Series[Any]) -> Cell:
    """Ratio to the baseline of a case or a row of a summary, its interval, and what that shows."""
    if case.backend == str(BASELINE):
        return multiple_cell(case.ratio_median)
    return finding_cell(ratio_of(case), case.verdict)


def format_ratio(row: pd.Series[Any]) -> str:
    """The text of a `ratio_cell`."""
    return ratio_cell(row).whole


def phase_tables(source: Source, summary: pd.DataFrame) -> Iterator[Table]:
    """For each phase a table of the times and one of the ratios to the baseline."""
    for phase, meaning in PHASES.items():
        cases = cases_in(summary, phase)
        if not cases:
            continue
        columns = ("Backend", *heads(cases))
        yield Table(
            name=f"{phase}-times",
            title=f"{phase}: time",
            columns=columns,
            rows=pivot(cases, lambda case: seconds_cell(case.seconds_median)),
            note=f"{phase}: {meaning}. Median of the samples.",
        )
        yield Table(
            name=f"{phase}-ratios",
            title=f"{phase}: time as a multiple of {BASELINE}",
            columns=columns,
            rows=pivot(cases, ratio_cell),
            note=f"Below 1 is faster than the baseline. {_ratio_note(source, summary)}",
            layout="ratios",
        )


def _ratio_note(source: Source, summary: pd.DataFrame) -> str:
    if not source.paired:
        return (
            "Ratio of two medians: the samples were not taken side by side, so it has no interval "
            "and shows no difference for certain."
        )
    return (
        "Median of the ratios formed within a block; in brackets its 95% interval, for which it "
        f"takes {MIN_BLOCKS} blocks. Faster and slower: by more than {MARGIN:.0%} and by more than "
        f"chance explains, corrected for the {comparisons(summary)} comparisons of this source. "
        f"No difference: the interval lies within {MARGIN:.0%} of 1. Undecided: neither was shown."
    )


def comparisons(summary: pd.DataFrame) -> int:
    """How many comparisons with the baseline the verdicts are corrected for."""
    return int(((summary["verdict"] != "") & summary["ratio_p"].notna()).sum())


def left_out_table(source: Source, summary: pd.DataFrame) -> Table | None:
    """What has no figure, and why."""
    # A backend that is out is so in every phase and at every larger size: one row says it.
    phases: dict[tuple[str, str, str, int], list[str]] = {}
    for case in cases_in(summary):
        if not case.ok:
            key = case.backend, case.status, case.cause, case.n_images
            phases.setdefault(key, []).append(case.phase)
    sizes: dict[tuple[str, ...], list[int]] = {}
    for (backend, status, cause, n_images), own in phases.items():
        sizes.setdefault((backend, ", ".join(own), status, cause), []).append(n_images)
    rows = [
        _left_out(backend, own, counts, Cell("", verdict=status), cause)
        for (backend, own, status, cause), counts in sizes.items()
    ]
    rows += _not_reached(source)
    if left_out := listed_in(source, "sizes_left_out", int):
        count = source.dataset.get("images")
        held = images(count) if isinstance(count, int) else "fewer"
        cause = f"the dataset holds {held}"
        rows.append(_left_out("all", "all", left_out, Cell("left out"), cause))
    if not rows:
        return None
    told = sorted({status for _, _, status, _ in sizes} & STATUSES.keys())
    meanings = "; ".join(f"{status}: {STATUSES[status]}" for status in told)
    if meanings:
        meanings += (
            ". A backend that fails in one phase is out at that size: what it had finished there in "
            "other phases is neither shown nor ranked."
        )
    return Table(
        name="left-out",
        title="Left out, and why",
        columns=("Backend", "Phase", "Size", "Status", "Cause"),
        rows=tuple(rows),
        note=meanings,
        layout="words",
    )


def _left_out(backend: str, phases: str, sizes: Sequence[int], status: Cell, cause: str) -> Row:
    return Row((*words(backend, phases), images_cell(sizes), status, Cell(cause)), backend=backend)


def _not_reached(source: Source) -> Iterator[Row]:
    """Rows on what the settings ask for and no sample is of, though none says why."""
    there = {(backend, phase, size) for phase, size, backend in grouped(source)}
    for backend in listed_in(source, "backends", str):
        phases: dict[tuple[int, ...], list[str]] = {}
        for phase in listed_in(source, "phases", str):
            asked = listed_in(source, "sizes", int)
            if sizes := tuple(size for size in asked if (backend, phase, size) not in there):
                phases.setdefault(sizes, []).append(phase)
        for sizes, own in phases.items():
            cause = "the run ended before"
            yield _left_out(backend, ", ".join(own), sizes, Cell(NOT_REACHED), cause)


def memory_table(summary: pd.DataFrame) -> Table | None:
    """Peak memory of the pipeline, above that of an idle worker where it is known."""
    cases = cases_in(summary, "pipeline")
    if all(math.isnan(case.peak_mib) for case in cases):
        return None
    table = Table(
        name="pipeline-memory",
        title="pipeline: peak memory",
        columns=("Backend", *heads(cases)),
        rows=pivot(cases, lambda case: _mib(case.peak_mib)),
        note="Largest resident size of the worker, with its libraries and, where segbench measured, "
        "the sum of its child processes'.",
    )
    idle: dict[str, float] = {}
    for case in cases:
        if not math.isnan(case.idle_mib):
            idle[case.backend] = min(case.idle_mib, idle.get(case.backend, case.idle_mib))
    if not idle:
        return table
    return dataclasses.replace(
        table,
        title="pipeline: peak memory above that of an idle worker",
        columns=("Backend", "Idle worker", *heads(cases)),
        rows=tuple(
            dataclasses.replace(row, cells=(name, _mib(idle.get(row.backend, math.nan)), *above))
            for row in pivot(cases, lambda case: _mib(case.above_idle_mib))
            for name, *above in [row.cells]
        ),
        note="How far the resident size of the worker and of its child processes rose, at the first "
        "call of a size, above what they held when they had started and segmented one image: "
        "libraries and pools. Of two rounds the higher one counts.",
    )


def _mib(size: float) -> Cell:
    return NOTHING if math.isnan(size) else Cell(f"{size:.0f} MiB", size)


def truth_table(source: Source) -> Table | None:
    """How near the reference is to the true cells, where they are known."""
    truth = source.dataset.get("truth")
    if not isinstance(truth, dict) or not truth:
        return None
    columns = {
        "images": "Images",
        "rand_error": "Adapted Rand error",
        "rand_precision": "Precision",
        "rand_recall": "Recall",
        "true_objects": "True cells",
        "found_objects": "Objects found",
    }
    values = [truth.get(name) for name in columns]
    cells = (
        Cell(f"{value:.3f}", known_number(value)) if isinstance(value, float) else value_cell(value)
        for value in values
    )
    return Table(
        name="truth",
        title="The reference against the true cells",
        columns=tuple(columns.values()),
        rows=(Row(tuple(cells)),),
        note="Mean over the images. The adapted Rand error is 0 where every cell is found as it is. "
        "It belongs to the pipeline, not to a backend: all that are timed find the same.",
    )


def environment_table(source: Source) -> Table:
    """Machine, versions, settings and dataset, as the source has them."""
    return Table(
        name="environment",
        title="Environment",
        columns=("Part", "What", "Value"),
        rows=tuple(
            Row((*words(part, key.replace("_", " ")), value_cell(value)))
            for part in ("machine", "versions", "settings", "dataset")
            for key, value in getattr(source, part).items()
            if key != "truth"
        ),
        note=f"Started {source.started}.",
        layout="words",
    )


def cases_table(source: Source) -> Table | None:
    """Every sample of every case, in short, and where its other figures are."""
    wrong = wrong_backends(source)
    rows, line = [], 2  # the file's first line has the names of the columns
    for (phase, n_images, backend), samples in grouped(source).items():
        last = line + len(samples) - 1
        lines = f"{line}" if last == line else f"{line} to {last}"
        refused = Cell("not shown: its result was wrong")
        times = refused if backend in wrong else _times_cell(samples)
        cells = (*words(backend, phase), images_cell([n_images]), Cell(lines, line), times)
        rows.append(Row(cells, case_id(phase, n_images, backend), backend))
        line = last + 1
    if not rows:
        return None
    return Table(
        name="cases",
        title="The samples behind every number",
        columns=("Backend", "Phase", "Size", "Lines", "Times of a call"),
        rows=tuple(rows),
        note="Times in the order of the blocks. Lines: of samples.csv among the tables, which has "
        "all that is known of each sample.",
        layout="words",
    )


def _times_cell(samples: pd.DataFrame) -> Cell:
    """Times of a case's samples that are ok, and how the others ended."""
    ordered = samples.sort_values("block", kind="stable")
    ok = ordered["status"] == "ok"
    times = list(ordered["seconds"][ok])
    failed = [
        f"{status} in block {block}" if block else str(status)
        for status, block in zip(ordered["status"][~ok], ordered["block"][~ok], strict=True)
    ]
    told = [*([format_all_seconds(times)] if times else []), *failed]
    return Cell("; ".join(told), median(times) if times else None)
