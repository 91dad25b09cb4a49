"""What the page's "Explore" chooses from, and the chart that it steers: text for its scripts."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from jinja2.utils import htmlsafe_json_dumps

from segbench.measure.settings import PHASES
from segbench.report.cells import (
    NOTHING,
    Cell,
    format_interval,
    format_seconds,
    known_number,
    multiple_cell,
    seconds_cell,
    value_cell,
)
from segbench.report.summary import Case, cases_in
from segbench.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from bokeh.models import ColumnDataSource
    from bokeh.models.renderers import DataRenderer
    from bokeh.plotting import figure as Figure
    from markupsafe import Markup

    from segbench.report.styles import Styles
    from segbench.results.sources import Source

EDGE = 70  # pixels, for the labels of an axis


def _reach(case: Case) -> Cell:
    if not case.ok:
        return NOTHING
    ends = case.seconds_low, case.seconds_high
    return Cell(" to ".join(map(format_seconds, ends)), case.seconds_low)


def _interval(case: Case) -> Cell:
    if math.isnan(case.ratio_low):
        return NOTHING
    return Cell(format_interval(case.ratio_low, case.ratio_high), case.ratio_low)


# By the name of a cell: its heading in the table, what it is called beside a point, what it holds.
COLUMNS: dict[str, tuple[str, str, Callable[[Case], Cell]]] = {
    "backend": ("Backend", "Backend", lambda case: Cell(case.backend)),
    "images": ("Images", "Images", lambda case: Cell(str(case.n_images), case.n_images)),
    "status": ("Status", "", lambda case: Cell(case.status)),
    "time": ("Median", "Time", lambda case: seconds_cell(case.seconds_median)),
    "reach": ("Lowest to highest", "Lowest to highest", _reach),
    "ratio": ("Ratio", "Relative to a plain loop", lambda case: multiple_cell(case.ratio)),
    "interval": ("95% interval", "Interval", _interval),
    "verdict": ("Verdict", "", lambda case: Cell(case.verdict or NOTHING.text)),
    "samples": ("Samples", "Samples", lambda case: value_cell(case.samples or None)),
}


def explorer_data(runs: Sequence[tuple[Source, pd.DataFrame]], style: Styles) -> Markup:
    """What the page's scripts read: results, looks of the backends, and the chart.

    Parameters
    ----------
    runs : sequence of (Source, DataFrame)
        Sources with their summaries.
    style : dict of str to Style
        Of all backends.

    Returns
    -------
    Markup
        JSON in which no text can end the script element that holds it.
    """
    content = {
        "results": [
            {"name": _name(source), "rows": [*map(_row, cases_in(summary))]}
            for source, summary in runs
        ],
        "looks": [{"backend": name, **dataclasses.asdict(look)} for name, look in style.items()],
        "phases": list(PHASES),
        "columns": list(COLUMNS),
        "chart": _chart(style) if has_charts() else None,
    }
    return htmlsafe_json_dumps(content, allow_nan=False)


def _name(source: Source) -> str:
    """Of several sources of one dataset each is to be told from the others."""
    shape = f" {source.shape}" if source.shape else ""
    return one_line(
        f"{source.dataset.get('name') or source.kind}{shape}, {source.name}, {source.started}"
    )


def _row(case: Case) -> dict[str, object]:
    """A case as the page's scripts show it: what it is of, its cells, and numbers for the chart.

    These are the median, low and high of its time in seconds and of its ratio; None where it has
    none.
    """
    cells = {name: cell(case) for name, (_, _, cell) in COLUMNS.items()}
    return {
        "phase": case.phase,
        "backend": case.backend,
        "images": case.n_images,
        "cells": {name: {"text": cell.text, "value": cell.value} for name, cell in cells.items()},
        "seconds": [*map(known_number, (case.seconds_median, case.seconds_low, case.seconds_high))],
        "multiple": [*map(known_number, (case.ratio, case.ratio_low, case.ratio_high))],
    }


def has_charts() -> bool:
    """Whether the library for interactive charts is installed."""
    return find_spec("bokeh") is not None


def chart_scripts() -> tuple[str, ...]:
    """Bokeh's own scripts, as text; none where it is not installed."""
    if not has_charts():
        return ()
    from bokeh.resources import Resources  # noqa: PLC0415  (installed or not)

    inline = Resources(mode="inline", components=["bokeh"], log_level="error")
    # In a string or a comment this would end the element that holds the script.
    return tuple(script.replace("</script", "<\\/script") for script in inline.js_raw)


def _chart(style: Styles) -> object:
    """An empty chart for these backends, for Bokeh's script.

    It has two figures: time or ratio against the number of images, and at one number of images.
    The page's script fills ``sizes-0``, ``sizes-1`` ... (a backend each) and ``one``.
    """
    from bokeh import models  # noqa: PLC0415  (installed or not)
    from bokeh.embed import json_item  # noqa: PLC0415  (as above)

    sizes = _figure(
        name="sizes",
        height=420,
        y_axis_type="log",
        y_range=models.DataRange1d(only_visible=True),
        x_axis_label="images",
        y_axis_label="time of one call, ms",  # so wide as it will be: the place is not drawn anew
    )
    points: list[DataRenderer] = []
    for number, look in enumerate(style.values()):
        drawn: dict[str, Any] = {"source": _empty(f"sizes-{number}", "y"), "color": look.colour}
        sizes.segment("x", "low", "x", "high", line_width=1.5, **drawn)
        sizes.line("x", "y", line_dash=look.line, line_width=1.5, **drawn)
        points.append(sizes.scatter("x", "y", marker=look.shape, size=9, **drawn))
    sizes.xaxis.ticker = models.FixedTicker(ticks=[], name="sizes-ticks")
    sizes.yaxis.name = "sizes-axis"
    factors = models.FactorRange(name="one-factors")
    one = _figure(name="one-size", height=300, y_range=factors, visible=False)
    drawn = {"source": _empty("one", "place", "colour", "shape"), "color": "colour"}
    one.segment("low", "place", "high", "place", line_width=2, **drawn)
    points.append(one.scatter("x", "place", marker="shape", size=11, **drawn))
    one.xaxis.name = "one-axis"
    for axis in (sizes.xaxis, sizes.yaxis, one.xaxis):
        axis.formatter = models.BasicTickFormatter(use_scientific=False)
    told = [(words, f"@{name}") for name, (_, words, _) in COLUMNS.items() if words]
    for chart, own in ((sizes, points[:-1]), (one, points[-1:])):
        hover = models.HoverTool(renderers=own, tooltips=told, point_policy="snap_to_data")
        chart.add_tools(hover)
    charts: list[Any] = [sizes, one]
    item = json_item(models.Column(children=charts, sizing_mode="stretch_width"))
    # With ids that count from 1: Bokeh goes on counting from one chart to the next.
    numbers: dict[str, str] = {}
    text = re.sub(
        r'"p\d+"',
        lambda found: numbers.setdefault(found[0], f'"p{len(numbers) + 1}"'),
        json.dumps(item, allow_nan=False),
    )
    return json.loads(text)


def _figure(**options: Any) -> Figure:
    from bokeh.models import DataRange1d  # noqa: PLC0415  (installed or not)
    from bokeh.plotting import figure  # noqa: PLC0415  (as above)

    options |= {"x_axis_type": "log", "x_range": DataRange1d(only_visible=True)}
    options |= {"sizing_mode": "stretch_width", "min_border_left": EDGE}
    return figure(tools="", toolbar_location=None, **options)


def _empty(name: str, *more: str) -> ColumnDataSource:
    from bokeh.models import ColumnDataSource  # noqa: PLC0415  (installed or not)

    columns = ("x", "low", "high", *COLUMNS, *more)
    return ColumnDataSource({column: [] for column in columns}, name=name)
