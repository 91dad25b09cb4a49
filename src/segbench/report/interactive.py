"""What the page's controls choose from, and the chart that they steer: text for its scripts."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from jinja2.utils import htmlsafe_json_dumps

from segbench.measure.settings import PHASES
from segbench.report.cells import format_interval, format_multiple, format_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from bokeh.models import ColumnDataSource
    from bokeh.models.renderers import DataRenderer
    from bokeh.plotting import figure as Figure
    from markupsafe import Markup

    from segbench.report.styles import Style
    from segbench.results.sources import Source

# Bokeh's names of matplotlib's markers and lines.
MARKERS = {
    "o": "circle",
    "s": "square",
    "^": "triangle",
    "D": "diamond",
    "v": "inverted_triangle",
    "P": "plus",
    "X": "x",
    "*": "star",
}
LINES = {"-": "solid", "--": "dashed", "-.": "dashdot", ":": "dotted"}

# What is shown beside a point; `x` is the number of images.
TOOLTIPS = [
    ("Backend", "@backend"),
    ("Images", "@images"),
    ("Time", "@time"),
    ("Lowest to highest", "@reach"),
    ("Of the baseline's", "@ratio"),
    ("Interval", "@interval"),
    ("Samples", "@samples"),
]
EDGE = 70  # pixels, for the labels of an axis

TEXTS = ("backend", "images", "time", "reach", "ratio", "interval", "samples")


@dataclass(frozen=True)
class Row:
    """A case as the page's scripts show it.

    Attributes
    ----------
    phase, backend, status, verdict : str
        As in the summary.
    images, samples : int
        Their numbers.
    time, reach, ratio, interval : str
        Median, lowest and highest sample, ratio to the baseline and its interval, for people; empty
        where there is none.
    seconds, multiple : tuple of three floats, or empty
        Median, low and high of the time in seconds, and of the ratio, for the chart.
    """

    phase: str
    backend: str
    images: int
    status: str
    samples: int
    time: str
    reach: str
    ratio: str
    interval: str
    verdict: str
    seconds: tuple[float, ...]
    multiple: tuple[float, ...]


@dataclass(frozen=True)
class Result:
    """A source as the page's scripts show it."""

    name: str
    rows: tuple[Row, ...]


def explorer_data(
    runs: Sequence[tuple[Source, pd.DataFrame]], style: Mapping[str, Style], chart: str
) -> Markup:
    """What the page's scripts read: results, looks of the backends, and the chart.

    Parameters
    ----------
    runs : sequence of (Source, DataFrame)
        Sources with their summaries.
    style : mapping of str to Style
        Of all backends.
    chart : str
        Of `chart_item`.

    Returns
    -------
    Markup
        JSON in which no text can end the script element that holds it.
    """
    results = [Result(_name(source), _rows(summary)) for source, summary in runs]
    looks = [
        {
            "backend": backend,
            "colour": look.colour,
            "symbol": look.symbol,
            "marker": MARKERS[look.marker],
        }
        for backend, look in style.items()
    ]
    content = {
        "results": [dataclasses.asdict(result) for result in results],
        "looks": looks,
        "phases": list(PHASES),
        "chart": json.loads(chart) if chart else None,
    }
    return htmlsafe_json_dumps(content, allow_nan=False)


def _name(source: Source) -> str:
    """Of several sources of one dataset each is to be told from the others."""
    return f"{source.dataset.get('name') or source.kind}, {source.name}, {source.started}"


def _rows(summary: pd.DataFrame) -> tuple[Row, ...]:
    return tuple(_row(row) for _, row in summary.iterrows())


def _row(row: pd.Series[Any]) -> Row:
    """A row of a summary."""
    seconds = [row[f"seconds_{name}"] for name in ("median", "low", "high")]
    multiple = [row[f"ratio_{name}"] for name in ("median", "low", "high")]
    timed, compared, bounded = (
        not math.isnan(value) for value in (seconds[0], multiple[0], multiple[1])
    )
    return Row(
        phase=row["phase"],
        backend=row["backend"],
        images=int(row["n_images"]),
        status=row["status"],
        samples=int(row["samples"]),
        time=format_seconds(seconds[0]) if timed else "",
        reach=" to ".join(format_seconds(end) for end in seconds[1:]) if timed else "",
        ratio=format_multiple(multiple[0]) if compared else "",
        interval=format_interval(*multiple[1:]) if bounded else "",
        verdict=row["verdict"],
        seconds=_numbers(*seconds),
        multiple=_numbers(*multiple),
    )


def _numbers(middle: float, low: float, high: float) -> tuple[float, ...]:
    """A value and its reach: none where it has none."""
    if math.isnan(middle):
        return ()
    return middle, *(middle if math.isnan(end) else end for end in (low, high))


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


def chart_item(style: Mapping[str, Style]) -> str:
    """An empty chart for these backends, as JSON for Bokeh's script; empty without Bokeh.

    It has two figures: time or ratio against the number of images, and at one number of images.
    The page's script fills ``sizes-0``, ``sizes-1`` ... (a backend each) and ``one``.
    """
    if not has_charts():
        return ""
    from bokeh.embed import json_item  # noqa: PLC0415  (installed or not)
    from bokeh.models import Column  # noqa: PLC0415

    figures = [_against_sizes(style), _at_one_size()]
    item = json_item(Column(children=figures, sizing_mode="stretch_width"))  # type: ignore[arg-type]  # a list of figures is one of layouts
    return _renumbered(json.dumps(item, allow_nan=False))


def _renumbered(item: str) -> str:
    """The same with ids that count from 1: Bokeh goes on counting from one chart to the next."""
    numbers: dict[str, str] = {}
    return re.sub(
        r'"p\d+"', lambda found: numbers.setdefault(found[0], f'"p{len(numbers) + 1}"'), item
    )


def _empty(name: str, *more: str) -> ColumnDataSource:
    from bokeh.models import ColumnDataSource  # noqa: PLC0415

    return ColumnDataSource(
        {column: [] for column in ("x", "low", "high", *TEXTS, *more)}, name=name
    )


def _against_sizes(style: Mapping[str, Style]) -> Figure:
    from bokeh.models import (  # noqa: PLC0415
        BasicTickFormatter,
        DataRange1d,
        FixedTicker,
        HoverTool,
    )
    from bokeh.plotting import figure  # noqa: PLC0415

    chart = figure(
        name="sizes",
        height=420,
        sizing_mode="stretch_width",
        x_axis_type="log",
        y_axis_type="log",
        x_range=DataRange1d(only_visible=True),
        y_range=DataRange1d(only_visible=True),
        x_axis_label="images",
        y_axis_label="time of one call, ms",  # so wide as it will be: the place is not drawn anew
        min_border_left=EDGE,
        tools="",
        toolbar_location=None,
    )
    points: list[DataRenderer] = []
    for number, look in enumerate(style.values()):
        source = _empty(f"sizes-{number}", "y")
        chart.segment("x", "low", "x", "high", source=source, color=look.colour, line_width=1.5)
        chart.line(
            "x", "y", source=source, color=look.colour, line_dash=LINES[look.line], line_width=1.5
        )
        points.append(
            chart.scatter(
                "x", "y", source=source, color=look.colour, marker=MARKERS[look.marker], size=9
            )
        )
    chart.add_tools(HoverTool(renderers=points, tooltips=TOOLTIPS, point_policy="snap_to_data"))
    chart.xaxis.ticker = FixedTicker(ticks=[], name="sizes-ticks")
    chart.yaxis.name = "sizes-axis"
    for axis in (chart.xaxis, chart.yaxis):
        axis.formatter = BasicTickFormatter(use_scientific=False)
    return chart


def _at_one_size() -> Figure:
    from bokeh.models import (  # noqa: PLC0415
        BasicTickFormatter,
        DataRange1d,
        FactorRange,
        HoverTool,
    )
    from bokeh.plotting import figure  # noqa: PLC0415

    chart = figure(
        name="one-size",
        height=300,
        sizing_mode="stretch_width",
        x_axis_type="log",
        x_range=DataRange1d(),
        y_range=FactorRange(name="one-factors"),
        min_border_left=EDGE,
        tools="",
        toolbar_location=None,
        visible=False,
    )
    source = _empty("one", "place", "colour", "marker")
    chart.segment("low", "place", "high", "place", source=source, color="colour", line_width=2)
    points = chart.scatter("x", "place", source=source, color="colour", marker="marker", size=11)
    chart.add_tools(HoverTool(renderers=[points], tooltips=TOOLTIPS, point_policy="snap_to_data"))
    chart.xaxis.name = "one-axis"
    chart.xaxis.formatter = BasicTickFormatter(use_scientific=False)
    return chart
