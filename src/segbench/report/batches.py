"""How many images a task should have: backends that were measured with several numbers of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segbench.report.cells import (
    Cell,
    Table,
    collected,
    format_seconds,
    images,
    number_cell,
    row,
    seconds_cell,
)
from segbench.report.costs import profiles_by_backend
from segbench.report.drawing import Drawing, finish, label, log_axis, new_figure, sizes_axis
from segbench.report.summary import cases_in
from segbench.report.tables import case_cell, ratio_cell, time_cell

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from segbench.report.styles import Styles
    from segbench.report.summary import Case
    from segbench.results.sources import Source

# What a task should last at the least, says Dask's documentation: its scheduler takes about a
# millisecond for each (docs.dask.org, "Best practices").
ADVISED_SECONDS = 0.1


# What is swept, and what a row of the table is about.
TASK, TILE = "Images a task", "Side of a tile in pixels"
TOLD = {
    TASK: "A task reads and segments so many images.",
    TILE: "The image is cut into tiles of this side; tasks are those of Dask's graphs.",
}


@dataclass(frozen=True)
class Batch:
    """A backend with one number of images a task.

    Attributes
    ----------
    backend : str
        Without that number.
    batch : int
    case : Case
        Its pipeline, at the largest number of images.
    tasks : int
        Into which these are divided.
    task_seconds : float
        CPU time of a task.
    own_seconds : float
        What Dask takes for an image, to build its graph and to hand out tasks; nan where it is not
        known, or there is no Dask.
    """

    backend: str
    batch: int
    case: Case
    tasks: int
    task_seconds: float
    own_seconds: float


def _what(source: Source) -> str:
    """What the fourth part of a backend's name is the number of."""
    return TILE if source.is_large else TASK


def batches(source: Source, summary: pd.DataFrame) -> list[Batch]:
    """Those of backends that were measured with two numbers of images a task or more."""
    cases = [case for case in cases_in(summary, "pipeline") if case.ok]
    largest = max((case.n_images for case in cases), default=0)
    of = dict(zip(source.samples["backend"], source.samples["batch"], strict=True))
    own: dict[str, dict[int, Case]] = {}
    for case in cases:
        if case.n_images == largest and (batch := int(of[case.backend])):
            own.setdefault(case.backend.removesuffix(f"/{batch}"), {})[batch] = case
    profiles, large = profiles_by_backend(source), source.is_large
    counted = source.samples.groupby("backend")["tasks"].max().dropna()
    found = []
    for backend, by_batch in own.items():
        for batch, case in sorted(by_batch.items()) if len(by_batch) > 1 else ():
            tasks = math.ceil(largest / batch)
            if large:
                tasks = max(1, int(counted.get(case.backend, 0)))
            profile, spent = profiles.get(case.backend), math.nan
            if profile and profile.tasks and profile.status == "ok":
                parts = (profile.parts.get(part, 0.0) for part in ("graph", "scheduling"))
                spent = sum(parts) / profile.n_images
            work = case.cpu_seconds_median / tasks
            found.append(Batch(backend, batch, case, tasks, work, spent))
    return found


def batch_table(source: Source, found: Sequence[Batch]) -> Table | None:
    """Time, tasks and what Dask takes, by the number of images a task, or the side of a tile."""
    if not found:
        return None
    size, what = found[0].case.n_images, _what(source)
    return Table(
        name="batches",
        title=f"{what}: the pipeline of {images(size)}",
        columns=(
            *("Backend", what, "Tasks", "CPU time of a task", "Time"),
            *("Relative to a plain loop", "Dask's own time an image"),
        ),
        rows=tuple(
            row(
                Cell(one.backend),
                *(Cell(str(number), number) for number in (one.batch, one.tasks)),
                seconds_cell(one.task_seconds),
                case_cell(one.case, time_cell),
                case_cell(one.case, ratio_cell),
                number_cell(one.own_seconds, format_seconds),
                backend=one.case.backend,
            )
            for one in found
        ),
        note=f"{TOLD[what]} Dask's own time: building and optimising its "
        "graph, handing out tasks and taking back results, from the profiles, divided by the number of "
        f"images. Dask's documentation advises tasks of more than {format_seconds(ADVISED_SECONDS)}.",
        layout="ratios",
    )


def batch_figure(source: Source, found: Sequence[Batch], style: Styles) -> Drawing | None:
    """Time against the number of images a task, and how long a task of so many lasts."""
    if not found:
        return None
    size, what = found[0].case.n_images, _what(source).lower()
    title = f"pipeline, {images(size)}: time by {what}"
    figure, (above, below) = new_figure(title, "CPU time of a task", height=6.2)
    words = []
    for own in collected((one.backend, one) for one in found).values():
        of_case = style[own[0].case.backend]
        look, name = of_case.drawn, of_case.name.partition(",")[0]
        x = [one.batch for one in own]
        above.plot(x, [one.case.seconds_median for one in own], label=label(name), **look)
        below.plot(x, [one.task_seconds for one in own], **look)
        told = (f"{format_seconds(one.case.seconds_median)} with {one.batch}" for one in own)
        words.append(f"{name} {', '.join(told)}")
    below.axhline(ADVISED_SECONDS, color="#000000", linewidth=1, linestyle=":")
    below.text(found[0].batch, ADVISED_SECONDS, " advised by Dask", va="bottom", fontsize=8)
    log_axis(above, format_seconds, "time of one call")
    log_axis(below, format_seconds, "CPU time")
    sizes_axis(below, (one.batch for one in found))
    below.set_xlabel(what)
    return Drawing(
        picture=finish(figure),
        name="batches",
        title=title,
        alt=f"Time of the pipeline for {images(size)} by {what}: {'; '.join(words)}.",
        caption="Points are medians. Dotted: the 0.1 s that Dask's documentation advises a task to last.",
        table="batches",
    )
