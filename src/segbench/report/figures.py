"""Figures of a report, drawn with matplotlib."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from segbench.report.tables import PHASES, format_seconds, images

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from segbench.runfile import Profile

# Okabe and Ito's colours, told apart by the colour-blind; the markers tell them apart in gray.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":")

# Of the parts of a call: stages in Okabe and Ito's colours, what Dask adds mostly in gray; each
# with a hatch of its own, for gray print.
PART_STYLES = {
    "decode": ("#56B4E9", ""),
    "grayscale": ("#F0E442", ".."),
    "blur": ("#009E73", "//"),
    "threshold": ("#0072B2", "\\\\"),
    "label": ("#E69F00", "xx"),
    "measure": ("#D55E00", "--"),
    "graph": ("#CC79A7", "||"),
    "scheduling": ("#7F7F7F", "++"),
    "idle": ("#FFFFFF", ""),
    "collect": ("#BFBFBF", "oo"),
}


@dataclass(frozen=True)
class Style:
    """How a backend is drawn."""

    colour: str
    marker: str
    line: str


@dataclass(frozen=True)
class Drawing:
    """A figure in both formats.

    Attributes
    ----------
    name : str
        Of its files.
    title : str
        Heading.
    alt : str
        What it shows, in words, from the data.
    caption : str
        How to read it.
    table : str
        Name of the table that it is shown under.
    svg, png : bytes
        The picture.
    """

    name: str
    title: str
    alt: str
    caption: str
    table: str
    svg: bytes
    png: bytes


def styles(backends: Sequence[str]) -> dict[str, Style]:
    """Colour, marker and line of each backend: the same in every figure of a report."""
    return {
        backend: Style(
            COLOURS[index % len(COLOURS)],
            MARKERS[index % len(MARKERS)],
            LINES[index // len(COLOURS) % len(LINES)],
        )
        for index, backend in enumerate(backends)
    }


def phase_figures(summary: pd.DataFrame) -> list[Drawing]:
    """For each phase the time against the number of images, both axes logarithmic."""
    style = styles(list(summary["backend"].unique()))
    drawings = []
    for phase, meaning in PHASES.items():
        rows = summary[(summary["phase"] == phase) & (summary["status"] == "ok")]
        if not rows.empty:
            drawings.append(_draw(phase, meaning, rows, style))
    return drawings


def _draw(phase: str, meaning: str, rows: pd.DataFrame, style: dict[str, Style]) -> Drawing:
    figure = Figure(figsize=(8.6, 4.6), layout="constrained")
    axes = figure.subplots()
    words = []
    for backend, line in style.items():
        own = rows[rows["backend"] == backend]
        if own.empty:
            continue
        median = own["seconds_median"]
        reach = [median - own["seconds_low"], own["seconds_high"] - median]
        axes.errorbar(
            own["n_images"],
            median,
            reach,
            label=_label(backend),
            capsize=2,
            linewidth=1.4,
            markersize=5,
            color=line.colour,
            marker=line.marker,
            linestyle=line.line,
        )
        last = own.iloc[-1]
        words.append(
            f"{backend} {format_seconds(last['seconds_median'])} for {images(last['n_images'])}"
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    sizes = sorted(rows["n_images"].unique())
    axes.set_xticks(sizes, labels=[str(size) for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    low, high = axes.get_ylim()
    if high < 4 * low:  # room for two labelled ticks at least
        middle = (low * high) ** 0.5
        axes.set_ylim(middle / 2, middle * 2)
    if high < 100 * low:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_seconds(value)))
    axes.set_xlabel("images")
    axes.set_ylabel("time of one call")
    axes.set_title(f"{phase}: {meaning}", loc="left", fontsize=11)
    axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    # Beside the axes: over them it would hide lines.
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8.5)
    return Drawing(
        name=phase,
        title=f"{phase}: time against number of images",
        alt=f"Time of {phase} against the number of images: {'; '.join(words)}.",
        caption="Points are medians, bars reach from the lowest to the highest sample.",
        table=f"{phase}-ratios",
        svg=_save(figure, "svg"),
        png=_save(figure, "png"),
    )


def parts_figure(profiles: Mapping[str, Profile]) -> Drawing | None:
    """Where the wall time of each backend's call goes, as a bar of its parts."""
    shown = {backend: one for backend, one in profiles.items() if one.status == "ok" and one.parts}
    if not shown:
        return None
    figure = Figure(figsize=(8.6, 1.3 + 0.36 * len(shown)), layout="constrained")
    axes = figure.subplots()
    labels = [_label(backend) for backend in shown]
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
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(visible=True, axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8.5)
    words = (f"{backend} {_largest_parts(profile)}" for backend, profile in shown.items())
    return Drawing(
        name="parts",
        title=title,
        alt=f"Parts of the wall time of one call of the pipeline: {'; '.join(words)}.",
        caption="The parts of a bar follow each other in the order of the legend.",
        table="parts",
        svg=_save(figure, "svg"),
        png=_save(figure, "png"),
    )


def _largest_parts(profile: Profile) -> str:
    """Wall time, and the three parts that take most of it."""
    largest = sorted(profile.parts.items(), key=lambda part: -part[1])[:3]
    shares = ", ".join(f"{part} {seconds / profile.seconds:.0%}" for part, seconds in largest)
    return f"{format_seconds(profile.seconds)} for {images(profile.n_images)} ({shares})"


def _label(backend: str) -> str:
    """A backend's name for the legend, which reads dollars as mathematics and has little room."""
    # A name that is not UTF-8 can't be drawn.
    text = backend.encode(errors="backslashreplace").decode()
    return (text if len(text) <= 60 else f"{text[:59]}…").replace("$", r"\$")


def _save(figure: Figure, kind: str) -> bytes:
    content = io.BytesIO()
    # No date and fixed ids: the same data give the same file.
    with mpl.rc_context({"svg.hashsalt": "segbench", "svg.fonttype": "path"}):
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(content, format=kind, dpi=150, metadata=metadata)
    return content.getvalue()
