"""What large images cost, by their size: time, time a megapixel, memory and tasks."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from segbench.measure.settings import PHASES
from segbench.report.cells import (
    NOTHING,
    Cell,
    Table,
    collected,
    finding_cell,
    format_seconds,
    number_cell,
    row,
    seconds_cell,
    status_cell,
)
from segbench.report.drawing import Chapter, Drawing, finish, label, log_axis, new_figure
from segbench.report.figures import Axis, ratio_figure
from segbench.report.pairs import pair_of
from segbench.report.shapes import MEGA, WORK
from segbench.report.summary import cases_in, ratio_of
from segbench.results.sources import WHOLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from segbench.report.cells import Row
    from segbench.report.choice import Part
    from segbench.report.styles import Styles
    from segbench.report.summary import Case


def overview(parts: Sequence[Part], style: Styles, *, prefix: str) -> Chapter | None:
    """Tables and figures by megapixels; None where nothing was timed."""
    parts = sorted((part for part in parts if part.shape), key=lambda part: part.pixels)
    found = {phase: _by_backend(parts, phase) for phase in WORK}
    found = {phase: own for phase, own in found.items() if _any_ok(own)}
    if not found:
        return None
    first = next(iter(found))
    growth = (_figure(first, parts, found[first], style),) if len(parts) > 1 else ()
    return Chapter(
        title="By the size of the image",
        prefix=prefix,
        tables=(
            *(_time_table(phase, parts, own) for phase, own in found.items()),
            _cost_table(first, parts, found[first]),
        ),
        drawings=(*_ratio_figures(parts, found, style), *growth),
    )


# By the name of a backend, its case of each part that it was tried on.
Cases = dict[str, dict[int, "Case"]]


def _by_backend(parts: Sequence[Part], phase: str) -> Cases:
    each = (
        (case.backend, (number, case))
        for number, part in enumerate(parts)
        for case in cases_in(part.summary, phase)
    )
    return {backend: dict(own) for backend, own in collected(each).items()}


def _any_ok(own: Cases) -> bool:
    return any(case.ok for cases in own.values() for case in cases.values())


def _number(megapixels: float) -> str:
    return f"{megapixels:,.0f}" if megapixels >= 1000 else f"{megapixels:.3g}"


def _in_words(megapixels: float) -> str:
    return f"{_number(megapixels)} Mpx"


def _megapixels(part: Part) -> str:
    return _in_words(part.pixels / MEGA)


def _time_table(phase: str, parts: Sequence[Part], own: Cases) -> Table:
    """The time of each backend at each size, beside scikit-image on the whole image."""
    return Table(
        name=f"{phase}-large",
        title=f"{phase}: time by the size of the image",
        columns=("Backend", *map(_megapixels, parts)),
        rows=tuple(
            row(
                backend,
                *(_time(part, cases.get(number)) for number, part in enumerate(parts)),
                backend=backend,
            )
            for backend, cases in own.items()
        ),
        note=f"{phase}: {PHASES[phase]}. The median of one call; in brackets relative to {WHOLE}, with "
        "the 95% interval. Where a backend has no time, the table says why: memory is the "
        "limit that was set, timeout that of a call.",
        layout="ratios",
    )


def _time(part: Part, case: Case | None) -> Cell:
    if not case:
        return NOTHING
    if not case.ok:
        return status_cell(case.status)
    cell, ratio = seconds_cell(case.seconds_median), ratio_of(case)
    if ratio.known:
        beside = finding_cell(ratio, case.verdict)
        cell = replace(cell, note=beside.text, verdict=beside.verdict)
    return replace(cell, case=f"{part.prefix}{case.id}")


def _cost_table(phase: str, parts: Sequence[Part], own: Cases) -> Table:
    """What the largest image cost each backend that it was timed with."""
    return Table(
        name="large-costs",
        title=f"{phase}: what a large image costs",
        columns=(
            *("Backend", "Largest image", "Time for a megapixel", "Growth of that"),
            *("Memory", "Growth of memory", "Tasks", "Building graphs", "Bytes read"),
            "Dask relative to a pool",
        ),
        rows=tuple(
            _cost_row(parts, backend, cases, own)
            for backend, cases in own.items()
            if any(case.ok for case in cases.values())
        ),
        note="Of the largest image that a backend was timed with. Growth: the time for a megapixel, and the "
        "memory, relative to those with the smallest image: 1 where time grows as the image does, and where "
        "memory does not grow. Memory: the peak of all processes. Tasks: of all of "
        "Dask's graphs, and what building and optimising these took. Bytes read: by all processes, from "
        "files and through pipes, and as a multiple of the file: a tile is read with its margin, and with "
        "it whatever pieces of the file that touches.",
        layout="ratios",
    )


def _cost_row(parts: Sequence[Part], backend: str, cases: dict[int, Case], own: Cases) -> Row:
    ok = {number: case for number, case in cases.items() if case.ok}
    first, last = min(ok), max(ok)
    each = {
        number: case.seconds_median / parts[number].pixels * MEGA for number, case in ok.items()
    }
    grown = ok[last].peak_mib / ok[first].peak_mib if first < last else math.nan
    slower = each[last] / each[first] if first < last else math.nan
    tasks = int(np.nan_to_num(_largest(parts[last], backend, "tasks")))
    return row(
        backend,
        Cell(_megapixels(parts[last]), parts[last].pixels),
        seconds_cell(each[last]),
        number_cell(slower, "{:.2f}×".format),
        number_cell(ok[last].peak_mib, "{:.0f} MiB".format),
        number_cell(grown, "{:.2f}×".format),
        Cell(f"{tasks:,}", tasks) if tasks else NOTHING,
        seconds_cell(_largest(parts[last], backend, "graph_seconds")),
        _bytes_read(parts[last], backend),
        _beside_pool(parts[last], backend, last, own),
        backend=backend,
    )


def _largest(part: Part, backend: str, name: str) -> float:
    """The largest value that the samples of the pipeline have of something; nan where they have none."""
    samples = part.source.samples
    found = samples[(samples["backend"] == backend) & (samples["phase"] == "pipeline")]
    return float(found[name].astype(float).max())


def _bytes_read(part: Part, backend: str) -> Cell:
    read, there = (
        _largest(part, backend, "read_bytes"),
        part.source.dataset.get("bytes") or math.nan,
    )
    cell = number_cell(read / MEGA, "{:,.0f} MB".format)
    beside = read / there
    return cell if math.isnan(beside) else replace(cell, note=f"{beside:.2f}×")


def _beside_pool(part: Part, backend: str, number: int, own: Cases) -> Cell:
    """A backend with Dask beside the fastest pool, of the same image."""
    pools = [
        cases[number]
        for name, cases in own.items()
        if name.endswith("-pool") and number in cases and cases[number].ok
    ]
    best = min(pools, key=lambda case: case.seconds_median, default=None)
    pair = pair_of(part.pairs, own[backend][number], best)
    if not pair or backend.endswith(("-pool", "/serial")):
        return NOTHING
    return finding_cell(pair.ratio, pair.verdict)


def _ratio_figures(
    parts: Sequence[Part], phases: Iterable[str], style: Styles
) -> Iterator[Drawing]:
    """For each phase the ratio to scikit-image on the whole image, against megapixels."""
    rows = pd.concat([part.summary.assign(megapixels=part.pixels / MEGA) for part in parts])
    name = "megapixels of the image"
    axis = Axis(along="megapixels", name=name, tick=_number, words=_in_words)
    for phase in phases:
        own = rows[rows["phase"] == phase]
        drawing = ratio_figure(own, style, phase=phase, loop=WHOLE, axis=axis)
        if drawing:
            yield replace(drawing, table=f"{phase}-large")


def _figure(phase: str, parts: Sequence[Part], own: Cases, style: Styles) -> Drawing:
    """Time for a megapixel, and memory, against megapixels."""
    titles = f"{phase}: time for a megapixel", "memory at its peak"
    figure, (above, below) = new_figure(*titles, height=6.2)
    words = []
    for backend, cases in own.items():
        ok = [(parts[number].pixels / MEGA, case) for number, case in cases.items() if case.ok]
        if not ok:
            continue
        x = [size for size, _ in ok]
        look = style[backend].drawn
        each = [case.seconds_median / size for size, case in ok]
        above.plot(x, each, label=label(style[backend].name), **look)
        below.plot(x, [case.peak_mib / 1024 for _, case in ok], **look)
        told = (
            f"{format_seconds(one)} at {_number(size)}" for size, one in zip(x, each, strict=True)
        )
        words.append(f"{style[backend].name} {', '.join(told)}")
    log_axis(above, format_seconds, "time of a megapixel")
    log_axis(below, "{:g} GiB".format, "memory")
    below.set_xscale("log")
    sizes = [part.pixels / MEGA for part in parts]
    below.set_xticks(sizes, labels=[_number(size) for size in sizes])
    below.minorticks_off()
    below.set_xlabel("megapixels of the image")
    return Drawing(
        picture=finish(figure),
        name="large",
        title=titles[0],
        alt=f"Time of the {phase} for a megapixel, by megapixels: {'; '.join(words)}.",
        caption="Points are medians. A level line is time, or memory, that grows no faster than the image.",
        table="large-costs",
    )
