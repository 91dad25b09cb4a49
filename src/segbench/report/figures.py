"""Figures of one source, drawn with matplotlib: time, ratio, memory, and the parts of a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.ticker import FuncFormatter

from segbench.backends.registry import BASELINE
from segbench.measure.cases import PHASES
from segbench.report import canvas
from segbench.report.cells import format_seconds, images
from segbench.report.costs import FITS
from segbench.report.rendering import label
from segbench.report.tables import format_ratio
from segbench.stats import MARGIN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from segbench.report.canvas import Drawing
    from segbench.report.costs import Line
    from segbench.report.styles import Style
    from segbench.results.records import Profile

# Of the parts of a call: stages in Okabe and Ito's colours, what Dask adds mostly in gray; each
# with a hatch of its own, for gray print; of straight lines, since one of dots makes a large SVG.
PART_STYLES = {
    "decode": ("#56B4E9", ""),
    "grayscale": ("#F0E442", "/"),
    "blur": ("#009E73", "//"),
    "threshold": ("#0072B2", "\\\\"),
    "label": ("#E69F00", "xx"),
    "measure": ("#D55E00", "--"),
    "graph": ("#CC79A7", "||"),
    "scheduling": ("#7F7F7F", "++"),
    "idle": ("#FFFFFF", ""),
    "collect": ("#BFBFBF", "x"),
}

# Share of the distance between two sizes that the backends of one take side by side.
GROUP = 0.7

CURVE_POINTS = 50

LETTER = 0.068  # inches, of a label


def time_figures(
    summary: pd.DataFrame, lines: Sequence[Line], style: Mapping[str, Style]
) -> list[Drawing]:
    """For each phase the time against the number of images, both axes logarithmic."""
    drawings = []
    for phase in PHASES:
        rows = summary[(summary["phase"] == phase) & (summary["status"] == "ok")]
        if not rows.empty:
            fitted = {line.backend: line for line in lines if line.phase == phase}
            drawings.append(_time_figure(phase, rows, fitted, style))
    return drawings


def _time_figure(
    phase: str, rows: pd.DataFrame, fitted: Mapping[str, Line], style: Mapping[str, Style]
) -> Drawing:
    figure, axes = canvas.new_axes()
    words, curved, crossed = [], False, False
    for backend, own in _by_backend(rows, style):
        look, line = style[backend], fitted.get(backend)
        median = own["seconds_median"]
        axes.errorbar(
            own["n_images"],
            median,
            [median - own["seconds_low"], own["seconds_high"] - median],
            fmt="none",
            ecolor=look.colour,
            capsize=2,
        )
        drawn: dict[str, Any] = {"color": look.colour, "marker": look.marker, "markersize": 5}
        fits = line is not None and line.off <= FITS
        axes.plot([], [], label=label(backend), linestyle=look.line, **drawn)
        axes.plot(
            own["n_images"],
            median,
            linestyle="none" if fits else look.line,
            linewidth=0.7,
            **drawn,
        )
        last = own.iloc[-1]
        words.append(
            f"{backend} {format_seconds(last['seconds_median'])} for {images(last['n_images'])}"
        )
        if line and fits:
            curved = True
            x = np.geomspace(line.sizes[0], line.sizes[-1], CURVE_POINTS)
            y = [line.model.seconds(size) for size in x]
            axes.plot(x, y, color=look.colour, linestyle=look.line, linewidth=1.4)
        if line and line.against and line.against.crossing:
            crossed = True
            _mark_crossing(axes, line, look)
            words[-1] += f", {line.against.words}"
    canvas.sizes_axis(axes, sorted(rows["n_images"].unique()))
    canvas.seconds_axis(axes)
    canvas.title(axes, f"{phase}: {PHASES[phase]}")
    canvas.arrange(axes)
    caption = "Points are medians, bars reach from the lowest to the highest sample."
    if curved:
        caption += (
            " Lines are the cost of a call and of each image, fitted to the medians; where no such "
            "line fits, thin ones join the points."
        )
    if crossed:
        caption += (
            " Rings: the number of images at which a backend and the baseline take the same time, "
            "with its interval of about 95%."
        )
    return canvas.drawing(
        figure,
        name=phase,
        title=f"{phase}: time against number of images",
        alt=f"Time of {phase} against the number of images: {'; '.join(words)}.",
        caption=caption,
        table=f"{phase}-times",
    )


def _mark_crossing(axes: Axes, line: Line, look: Style) -> None:
    """Draw a ring where a backend and the baseline take the same time, and its interval."""
    crossing = line.against.crossing if line.against else None
    if crossing is None or None in (crossing.images, crossing.low, crossing.high):
        return
    at, low, high = (float(end or 0) for end in (crossing.images, crossing.low, crossing.high))
    axes.errorbar(
        [at],
        [line.model.seconds(at)],
        xerr=[[max(0.0, at - low)], [max(0.0, high - at)]],
        color=look.colour,
        marker="o",
        markersize=11,
        markerfacecolor="none",
        markeredgewidth=1.6,
        capsize=4,
        zorder=4,
    )


def ratio_figures(summary: pd.DataFrame, style: Mapping[str, Style]) -> list[Drawing]:
    """For each phase the ratio to the baseline at each size, with its interval."""
    drawings = []
    for phase in PHASES:
        rows = summary[(summary["phase"] == phase) & (summary["status"] == "ok")]
        rows = rows[rows["ratio_median"].notna() & (rows["backend"] != str(BASELINE))]
        if not rows.empty:
            drawings.append(_ratio_figure(phase, rows, style))
    return drawings


def _ratio_figure(phase: str, rows: pd.DataFrame, style: Mapping[str, Style]) -> Drawing:
    figure, axes = canvas.new_axes()
    sizes = sorted(rows["n_images"].unique())
    place = {size: number for number, size in enumerate(sizes)}
    groups = list(_by_backend(rows, style))
    axes.axhspan(1 / (1 + MARGIN), 1 + MARGIN, color="#e6e6e6", linewidth=0)
    axes.axhline(1, color="#000000", linewidth=1)
    for number, (backend, own) in enumerate(groups):
        look = style[backend]
        aside = ((number + 0.5) / len(groups) - 0.5) * GROUP
        x = own["n_images"].map(place) + aside
        ratio = own["ratio_median"]
        reach = [(ratio - own["ratio_low"]).fillna(0), (own["ratio_high"] - ratio).fillna(0)]
        axes.errorbar(x, ratio, reach, fmt="none", ecolor=look.colour, capsize=3)
        drawn: dict[str, Any] = {
            "color": look.colour,
            "marker": look.marker,
            "linestyle": "none",
            "markersize": 6,
        }
        axes.plot([], [], label=label(backend), **drawn)
        shown = own["verdict"].isin(["faster", "slower"])
        axes.plot(x[shown], ratio[shown], **drawn)
        axes.plot(x[~shown], ratio[~shown], markerfacecolor="#ffffff", **drawn)
    axes.set_xticks(range(len(sizes)), labels=[images(size) for size in sizes])
    axes.set_xlim(-0.5, len(sizes) - 0.5)
    axes.grid(visible=False, axis="x")
    canvas.ratio_axis(axes)
    axes.set_ylabel("time as a multiple of the baseline's")
    canvas.title(axes, f"{phase}: time as a multiple of {BASELINE}")
    canvas.arrange(axes)
    largest = rows[rows["n_images"] == sizes[-1]]
    words = [f"{row['backend']} {format_ratio(row)}" for _, row in largest.iterrows()]
    intervals = rows["ratio_low"].notna().any()
    bars = "Bars are 95% intervals. " if intervals else "The samples allow no intervals. "
    return canvas.drawing(
        figure,
        name=f"{phase}-ratios",
        title=f"{phase}: time as a multiple of the baseline's",
        alt=f"Time of {phase} as a multiple of that of {BASELINE}, for {images(sizes[-1])}: "
        f"{'; '.join(words)}.",
        caption=f"{bars}Filled: shown to be faster or slower; open: not. The gray band is a "
        f"difference of {MARGIN:.0%}.",
        table=f"{phase}-ratios",
    )


def memory_figure(summary: pd.DataFrame, style: Mapping[str, Style]) -> Drawing | None:
    """Peak memory of the pipeline against the number of images."""
    rows = summary[(summary["phase"] == "pipeline") & (summary["status"] == "ok")]
    above = rows["above_idle_mib"].notna().any()
    column = "above_idle_mib" if above else "peak_mib"
    rows = rows[rows[column].notna()]
    if rows.empty:
        return None
    figure, axes = canvas.new_axes()
    words = []
    for backend, own in _by_backend(rows, style):
        look = style[backend]
        axes.plot(own["n_images"], own[column], label=label(backend), **look.drawn)
        last = own.iloc[-1]
        words.append(f"{backend} {last[column]:.0f} MiB for {images(last['n_images'])}")
    canvas.sizes_axis(axes, sorted(rows["n_images"].unique()))
    axes.set_ylim(bottom=min(0.0, float(rows[column].min())))
    axes.set_ylabel("MiB above those of an idle worker" if above else "MiB")
    title = "Peak memory of the pipeline"
    canvas.title(axes, title)
    canvas.arrange(axes)
    return canvas.drawing(
        figure,
        name="memory",
        title=title,
        alt=f"{title} against the number of images: {'; '.join(words)}.",
        caption="Looked at when a size is called for the first time.",
        table="pipeline-memory",
    )


def parts_figure(profiles: Mapping[str, Profile]) -> Drawing | None:
    """Where the wall time of each backend's call goes, as a bar of its parts."""
    shown = {backend: one for backend, one in profiles.items() if one.status == "ok" and one.parts}
    if not shown:
        return None
    figure, axes = canvas.new_axes(height=0.9 + 0.34 * len(shown))
    labels = [label(backend) for backend in shown]
    starts = [0.0] * len(shown)
    with mpl.rc_context({"hatch.linewidth": 0.6}):
        for part, (colour, hatch) in PART_STYLES.items():
            widths = [max(0.0, profile.parts.get(part, 0.0)) for profile in shown.values()]
            if any(widths):
                axes.barh(
                    labels,
                    widths,
                    left=starts,
                    label=part,
                    height=0.7,
                    color=colour,
                    hatch=hatch,
                    edgecolor="#222222",
                    linewidth=0.5,
                )
            starts = [start + width for start, width in zip(starts, widths, strict=True)]
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0, labelsize=8.5)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_seconds(value)))
    axes.set_xlabel("wall time of one call")
    title = "Where the time of one call of the pipeline goes"
    canvas.title(axes, title)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    canvas.arrange(axes, columns=5, left=0.3 + LETTER * max(map(len, labels)))
    words = (f"{backend} {_largest_parts(profile)}" for backend, profile in shown.items())
    return canvas.drawing(
        figure,
        name="parts",
        title=title,
        alt=f"Parts of the wall time of one call of the pipeline: {'; '.join(words)}.",
        caption="The parts of a bar follow each other in the order of the legend.",
        table="parts",
    )


def _largest_parts(profile: Profile) -> str:
    """Wall time, and the three parts that take most of it."""
    largest = sorted(profile.parts.items(), key=lambda part: -part[1])[:3]
    shares = ", ".join(f"{part} {seconds / profile.seconds:.0%}" for part, seconds in largest)
    return f"{format_seconds(profile.seconds)} for {images(profile.n_images)} ({shares})"


def _by_backend(rows: pd.DataFrame, style: Mapping[str, Style]) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each backend that has any, in the order of the styles."""
    groups = dict(list(rows.groupby("backend", sort=False)))
    return [(backend, groups[backend]) for backend in style if backend in groups]
