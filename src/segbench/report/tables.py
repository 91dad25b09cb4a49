"""The tables of a source: its phases, memory, true cells, what is left out, environment, samples."""

from __future__ import annotations

import dataclasses
import itertools
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
    collected,
    finding_cell,
    format_all_seconds,
    images,
    images_cell,
    known_number,
    multiple_cell,
    number_cell,
    row,
    seconds_cell,
    status_cell,
    value_cell,
)
from segbench.report.reproduce import alone, asked_for
from segbench.report.summary import (
    Case,
    case_id,
    cases_in,
    grouped,
    listed_in,
    ratio_of,
)
from segbench.results.records import STATUSES
from segbench.results.sources import CASE
from segbench.stats import MARGIN, MIN_ROUNDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pandas as pd

    from segbench.results.sources import Source

# Of these the CPU time is told.
CPU_PHASES = ("process", "pipeline")

# In place of a status: a case that has no sample, not even one that failed.
NOT_REACHED = "not tried"

TRUTH = {
    "images": "Images",
    "f1": "F1",
    "rand_error": "Adapted Rand error",
    "rand_precision": "Rand precision",
    "rand_recall": "Rand recall",
    "true_objects": "True cells",
    "found_objects": "Objects found",
}


def case_cell(case: Case, show: Callable[[Case], Cell], *, prefix: str = "") -> Cell:
    """What is shown of a case, or its status in its place; either leads to its samples."""
    cell = show(case) if case.ok else status_cell(case.status)
    return dataclasses.replace(cell, case=f"{prefix}{case.id}")


def pivot(cases: Sequence[Case], show: Callable[[Case], Cell]) -> tuple[Row, ...]:
    """A row a backend and a cell a size; a case that is not ok is shown by its status."""
    shown = collected((case.backend, (case.n_images, case_cell(case, show))) for case in cases)
    return tuple(
        row(backend, *(dict(own).get(size, NOTHING) for size in sizes_of(cases)), backend=backend)
        for backend, own in shown.items()
    )


def sizes_of(cases: Iterable[Case]) -> list[int]:
    """Numbers of images, ascending."""
    return sorted({case.n_images for case in cases})


def heads(cases: Iterable[Case]) -> tuple[str, ...]:
    """Headings of the columns of a `pivot` after its first."""
    return tuple(images(size) for size in sizes_of(cases))


def time_cell(case: Case) -> Cell:
    """Median time of a case."""
    return seconds_cell(case.seconds_median)


def ratio_cell(case: Case | pd.Series[Any]) -> Cell:
    """Ratio to the baseline of a case or a row of a summary, its interval, and what that shows."""
    if case.backend == str(BASELINE):
        return multiple_cell(case.ratio)
    return finding_cell(ratio_of(case), case.verdict)


def format_ratio(row: pd.Series[Any]) -> str:
    """The text of a `ratio_cell`."""
    return ratio_cell(row).whole


def phase_tables(source: Source, summary: pd.DataFrame) -> Iterator[Table]:
    """For each phase a table of the times and one of the ratios to the baseline."""
    for phase, meaning in PHASES.items():
        if cases := cases_in(summary, phase):
            columns = ("Backend", *heads(cases))
            yield Table(
                name=f"{phase}-times",
                title=f"{phase}: time",
                columns=columns,
                rows=pivot(cases, time_cell),
                note=f"{phase}: {meaning}. Median of the samples.",
            )
            if phase in CPU_PHASES and any(case.cpu_seconds_median >= 0 for case in cases):
                yield Table(
                    name=f"{phase}-cpu",
                    title=f"{phase}: CPU time",
                    columns=columns,
                    rows=pivot(cases, lambda case: seconds_cell(case.cpu_seconds_median)),
                    note="CPU time of the worker with its children: more than the time of the call "
                    "where several CPUs work at once, less where it waits. Median of the samples.",
                )
            yield Table(
                name=f"{phase}-ratios",
                title=f"{phase}: time relative to {source.loop}",
                columns=columns,
                rows=pivot(cases, ratio_cell),
                note=f"Below 1 is faster. {_ratio_note(source, summary)}",
                layout="ratios",
            )


def _ratio_note(source: Source, summary: pd.DataFrame) -> str:
    if not source.paired:
        return (
            "Ratio of two medians. The samples were not taken side by side, so the ratio has no interval, "
            "and no difference is certain."
        )
    return (
        "The ratio compares calls that were made side by side, in several rounds of new processes. The 95% "
        f"interval in brackets needs at least {MIN_ROUNDS} rounds. Faster and slower: the interval lies "
        f"beyond a difference of {MARGIN:.0%}, and the finding holds when all comparisons in this run are "
        "taken into account. Probably faster and probably slower: the whole interval lies on one side of "
        "1, but one of these two conditions is not met. No difference: the interval lies within "
        f"{MARGIN:.0%} of 1. Undecided: anything else.{_too_few(summary)}"
    )


def _too_few(summary: pd.DataFrame) -> str:
    """A sentence where no ratio of a source has an interval; empty where one has."""
    compared = summary[summary["verdict"] != ""]
    if compared.empty or compared["ratio_error"].notna().any():
        return ""
    return f" An interval takes {MIN_ROUNDS} rounds, and this run has fewer."


def cluster_table(source: Source) -> Table | None:
    """What was done on a Dask cluster, beside the results."""
    clusters = source.settings.get("clusters")
    moved = source.samples[source.samples["moved_bytes"].notna()]
    if not isinstance(clusters, dict) or moved.empty:
        return None
    sent = collected(
        ((backend, phase, size), count)
        for phase, size, backend, count in zip(
            *(moved[name] for name in [*CASE, "moved_bytes"]), strict=True
        )
    )
    return Table(
        name="clusters",
        title="On a Dask cluster",
        columns=("Backend", "Phase", "Images", "Sent by the workers", "Cluster"),
        rows=tuple(
            row(
                *(backend, phase, Cell(str(size), size)),
                Cell(f"{max(counts) / 2**20:.2f} MiB", max(counts)),
                str(clusters.get(backend, "")),
                backend=backend,
            )
            for (backend, phase, size), counts in sent.items()
        ),
        note="What the workers sent to each other and back in one call. Dask's own performance reports "
        "lie in the folder `dask` beside the samples, where Bokeh is installed.",
        layout="words",
    )


def left_out_table(source: Source, summary: pd.DataFrame) -> Table | None:
    """What has no figure, and why; one row for what is so in several phases or at several sizes."""
    phases = collected(
        ((backend, status, cause, size), phase)
        for backend, phase, size, status, cause in _left_out(source, summary)
    )
    sizes = collected(
        ((backend, ", ".join(own), status, cause), size)
        for (backend, status, cause, size), own in phases.items()
    )
    if not sizes:
        return None
    told = sorted({status for _, _, status, _ in sizes} & STATUSES.keys())
    meanings = "; ".join(f"{status}: {STATUSES[status]}" for status in told)
    out = (
        ". A backend that fails in one phase is out at that size: what it had finished there in "
        "other phases is neither shown nor ranked."
    )
    return Table(
        name="left-out",
        title="Left out, and why",
        columns=("Backend", "Phase", "Images", "Status", "Cause"),
        rows=tuple(
            row(
                *(backend, own, images_cell(counts)),
                status_cell(status) if status in STATUSES else status,
                cause,
                backend=backend,
            )
            for (backend, own, status, cause), counts in sizes.items()
        ),
        note=meanings and meanings + out,
        layout="words",
    )


def _left_out(source: Source, summary: pd.DataFrame) -> Iterator[tuple[str, str, int, str, str]]:
    """Backend, phase, size, status and cause of what failed, was not reached or was not asked for."""
    there = set()
    for case in cases_in(summary):
        there.add((case.backend, case.phase, case.n_images))
        if not case.ok:
            yield case.backend, case.phase, case.n_images, case.status, case.cause
    for backend, size, phase in itertools.product(
        listed_in(source, "backends", str),
        listed_in(source, "sizes", int),
        listed_in(source, "phases", str),
    ):
        if (backend, phase, size) not in there:
            yield backend, phase, size, NOT_REACHED, "the run ended before"
    count = source.dataset.get("images")
    held = images(count) if isinstance(count, int) else "fewer"
    for size in listed_in(source, "sizes_left_out", int):
        yield "all", "all", size, "left out", f"the dataset holds {held}"


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
    idle = collected((case.backend, case.idle_mib) for case in cases if case.idle_mib >= 0)
    if not idle:
        return table
    rows = pivot(cases, lambda case: _mib(case.above_idle_mib))
    least = [_mib(min(idle.get(row.backend, [math.nan]))) for row in rows]
    return dataclasses.replace(
        table,
        title="pipeline: peak memory above that of an idle worker",
        columns=("Backend", "Idle worker", *heads(cases)),
        rows=tuple(
            dataclasses.replace(above, cells=(above.cells[0], held, *above.cells[1:]))
            for above, held in zip(rows, least, strict=True)
        ),
        note="Idle worker: resident memory of the worker and its child processes once they have started and "
        "segmented one image, with libraries and pools. Other columns: how far it rose above that in the "
        "first call with this many images. The highest of all rounds counts.",
    )


def _mib(size: float) -> Cell:
    return number_cell(size, "{:.0f} MiB".format)


def truth_table(source: Source) -> Table | None:
    """How near the reference is to the true cells, where they are known."""
    truth = source.dataset.get("truth")
    if not isinstance(truth, dict) or not truth:
        return None
    values = [truth.get(name) for name in TRUTH]
    cells = (
        Cell(f"{value:.3f}", known_number(value)) if isinstance(value, float) else value_cell(value)
        for value in values
    )
    return Table(
        name="truth",
        title="The reference against the true cells",
        columns=tuple(TRUTH.values()),
        rows=(row(*cells),),
        note="F1 is 1 where every cell is found, and nothing else: object and cell share more than "
        "half of what they cover together. The adapted Rand error, a mean over the images as its "
        "precision and recall, is 0 where every cell is outlined exactly. These scores describe the "
        "pipeline, not a backend: all that are timed find the same cells as the plain loop.",
    )


def environment_table(source: Source) -> Table:
    """Machine, versions, settings and dataset, as the source has them."""
    return Table(
        name="environment",
        title="Environment",
        columns=("Part", "What", "Value"),
        rows=tuple(
            row(part, key.replace("_", " "), value_cell(value))
            for part in ("machine", "versions", "settings", "dataset")
            for key, value in getattr(source, part).items()
            if key != "truth"
        ),
        note=f"Started {source.started}.",
        layout="words",
    )


def cases_table(source: Source) -> Table | None:
    """Every sample of every case, in short, and where its other figures are."""
    wrong, run = source.wrong, asked_for(source)
    rows, line = [], 2  # the file's first line has the names of the columns
    for (phase, n_images, backend), samples in grouped(source).items():
        last = line + len(samples) - 1
        lines = f"{line}" if last == line else f"{line} to {last}"
        times = "not shown: its result was wrong" if backend in wrong else _times_cell(samples)
        own = [images_cell([n_images]), Cell(lines, line), times]
        if run:
            own.append(alone(run, phase=phase, n_images=n_images, backends=[backend]))
        case = case_id(phase, n_images, backend)
        rows.append(row(backend, phase, *own, backend=backend, id=case))
        line = last + 1
    if not rows:
        return None
    return Table(
        name="cases",
        title="The samples behind every number",
        columns=(
            *("Backend", "Phase", "Images", "Lines", "Times of a call"),
            *(["To measure it alone"] if run else []),
        ),
        rows=tuple(rows),
        note="Times in the order in which they were taken. Lines: of samples.csv among the tables, which has "
        "all that is known of each sample.",
        layout="words",
    )


def _times_cell(samples: pd.DataFrame) -> Cell:
    """Times of a case's samples that are ok, and how the others ended."""
    ordered = samples.sort_values("block", kind="stable")
    times = list(ordered[ordered["status"] == "ok"]["seconds"])
    failed = [
        f"{status} in block {block}" if block else status
        for status, block in zip(ordered["status"], ordered["block"], strict=True)
        if status != "ok"
    ]
    told = [*([format_all_seconds(times)] if times else []), *failed]
    return Cell("; ".join(told), median(times) if times else None)
