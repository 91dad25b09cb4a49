"""Figures of runs: time, ratio, memory, parts of a call; across runs the speed-up."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter
from PIL import Image

from segbench.backends.registry import BASELINE
from segbench.backends.schedulers import ON_ONE_CPU
from segbench.measure.settings import PHASES
from segbench.report.cells import format_interval, format_seconds, images
from segbench.report.costs import FITS
from segbench.report.drawing import (
    LETTER,
    NARROW,
    Drawing,
    finish,
    label,
    log_axis,
    new_figure,
    sizes_axis,
)
from segbench.report.summary import scheduler_of
from segbench.report.tables import format_ratio
from segbench.stats import MARGIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from segbench.report.costs import Line
    from segbench.report.styles import Style, Styles
    from segbench.results.records import Profile
    from segbench.results.sources import Source

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

# What two runs may not differ in, besides their versions, where their workers are compared.
SAME = {
    "machine": ("cpu", "cpus_available"),
    "dataset": ("name", "key", "shape"),
    "settings": ("params", "cache", "native_threads"),
}

# How a ratio is marked, by its verdict.
FILLED: dict[tuple[str, ...], dict[str, Any]] = {
    ("faster", "slower"): {},
    ("probably faster", "probably slower"): {
        "fillstyle": "bottom",
        "markerfacecoloralt": "#ffffff",
    },
    ("no difference", "undecided", ""): {"markerfacecolor": "#ffffff"},
}

# Of a bar of parts.
BAR: dict[str, Any] = {"height": 0.7, "edgecolor": "#222222", "linewidth": 0.5}

# Share of the distance between two sizes that the backends of one take side by side.
GROUP = 0.7

CAPTION_OF_LINES = (
    " Lines are the cost of a call and of each image, fitted to the medians; where no such line fits, "
    "thin ones join the points."
)
CURVE_POINTS = 50


def time_figures(summary: pd.DataFrame, lines: Sequence[Line], style: Styles) -> Iterator[Drawing]:
    """For each phase the time against the number of images, both axes logarithmic."""
    for phase, rows in by_phase(summary):
        figure, (axes,) = new_figure(f"{phase}: {PHASES[phase]}")
        fitted = {line.backend: line for line in lines if line.phase == phase and line.off <= FITS}
        words = []
        for backend, look, own in by_backend(rows, style):
            median, last = own["seconds_median"], own.iloc[-1]
            told = f"{look.name} {format_seconds(median.iloc[-1])} for {images(last['n_images'])}"
            line = fitted.get(backend)
            reach = _reach(median, own["seconds_low"], own["seconds_high"])
            joined = {
                "linestyle": "none" if line else look.line,
                "linewidth": 0.7,
                "elinewidth": 1.5,
            }
            axes.errorbar(own["n_images"], median, reach, capsize=2, **{**look.drawn, **joined})
            axes.plot([], [], label=label(look.name), **look.drawn)
            if line:
                x = np.geomspace(line.sizes[0], line.sizes[-1], CURVE_POINTS)
                y = [line.model.seconds(size) for size in x]
                axes.plot(x, y, **{**look.drawn, "marker": ""})
            if line and line.against.crossing:
                told += f", {line.against.words}"
            words.append(told)
        sizes_axis(axes, rows["n_images"])
        log_axis(axes, format_seconds, "time of one call")
        caption = "Points are medians, bars reach from the lowest to the highest sample."
        caption += CAPTION_OF_LINES * bool(fitted)
        yield Drawing(
            picture=finish(figure),
            name=phase,
            title=f"{phase}: time against number of images",
            alt=f"Time of {phase} against the number of images: {'; '.join(words)}.",
            caption=caption,
            table=f"{phase}-times",
        )


def ratio_figures(summary: pd.DataFrame, style: Styles, *, loop: str) -> Iterator[Drawing]:
    """For each phase the ratio to the baseline, called `loop`, at each number of images."""
    for phase, rows in by_phase(summary):
        axis = Axis(along="n_images", name="images", tick=str, words=images)
        drawing = ratio_figure(rows, style, phase=phase, loop=loop, axis=axis)
        if drawing:
            yield drawing


@dataclass(frozen=True, kw_only=True)
class Axis:
    """What ratios are drawn against.

    Attributes
    ----------
    along : str
        The column of a summary; each of its values has a place of its own.
    name : str
        Of the axis.
    tick, words : callable
        What a value is on the axis, and in a sentence.
    """

    along: str
    name: str
    tick: Callable[[Any], str]
    words: Callable[[Any], str]


def ratio_figure(
    summary: pd.DataFrame, style: Styles, *, phase: str, loop: str, axis: Axis
) -> Drawing | None:
    """The ratios of a phase to the baseline, called `loop`, with their intervals; None without any."""
    rows = summary[summary["ratio"].notna() & (summary["backend"] != str(BASELINE))]
    if rows.empty:
        return None
    title = f"{phase}: time relative to {loop}"
    figure, (axes,) = new_figure(title, width=NARROW, height=3.0)
    sizes = sorted(rows[axis.along].unique())
    axes.axhspan(1 / (1 + MARGIN), 1 + MARGIN, color="#e6e6e6", linewidth=0)
    axes.axhline(1, color="#000000", linewidth=1)
    groups = list(by_backend(rows, style))
    for number, (_, look, own) in enumerate(groups):
        aside = ((number + 0.5) / len(groups) - 0.5) * GROUP
        x, ratio = own[axis.along].map(sizes.index) + aside, own["ratio"]
        reach = np.nan_to_num(_reach(ratio, own["ratio_low"], own["ratio_high"]))
        axes.errorbar(x, ratio, reach, fmt="none", ecolor=look.colour, capsize=3)
        points = {**look.drawn, "linestyle": "none", "markersize": 6}
        axes.plot([], [], label=label(look.name), **points)
        for verdicts, fill in FILLED.items():
            shown = own["verdict"].isin(verdicts)
            axes.plot(x[shown], ratio[shown], **{**points, **fill})
    axes.set_xticks(range(len(sizes)), labels=[axis.tick(size) for size in sizes])
    axes.set_xlabel(axis.name)
    axes.set_xlim(-0.5, len(sizes) - 0.5)
    axes.grid(visible=False, axis="x")
    log_axis(axes, lambda value: f"{value:g}×", "relative time")
    largest = rows[rows[axis.along] == sizes[-1]]
    intervals = rows["ratio_low"].notna().any()
    bars = "Bars are 95% intervals." if intervals else "The samples allow no intervals."
    words = [f"{style[row['backend']].name} {format_ratio(row)}" for _, row in largest.iterrows()]
    return Drawing(
        picture=finish(figure, columns=1, left=0.7),
        name=f"{phase}-ratios",
        title=title,
        alt=f"Time of {phase} relative to {loop}, for {axis.words(sizes[-1])}: {'; '.join(words)}.",
        caption=f"{bars} Filled: shown to be faster or slower; half: probably; open: neither. The gray "
        f"band is a difference of {MARGIN:.0%}.",
        table=f"{phase}-ratios",
    )


def memory_figure(summary: pd.DataFrame, style: Styles) -> Drawing | None:
    """Peak memory of the pipeline against the number of images."""
    rows = ended_well(summary, "pipeline")
    above = rows["above_idle_mib"].notna().any()
    column = "above_idle_mib" if above else "peak_mib"
    rows = rows[rows[column].notna()]
    if rows.empty:
        return None
    title = "Peak memory of the pipeline"
    figure, (axes,) = new_figure(title)
    words = []
    for _, look, own in by_backend(rows, style):
        axes.plot(own["n_images"], own[column], label=label(look.name), **look.drawn)
        last = own.iloc[-1]
        words.append(f"{look.name} {last[column]:.0f} MiB for {images(last['n_images'])}")
    sizes_axis(axes, rows["n_images"])
    axes.set_ylim(bottom=min(0.0, float(rows[column].min())))
    axes.set_ylabel("MiB above those of an idle worker" if above else "MiB")
    return Drawing(
        picture=finish(figure),
        name="memory",
        title=title,
        alt=f"{title} against the number of images: {'; '.join(words)}.",
        caption="Looked at when a size is called for the first time.",
        table="pipeline-memory",
    )


def parts_figure(profiles: Mapping[str, Profile], style: Styles) -> Drawing | None:
    """Where the wall time of each backend's call goes, as a bar of its parts."""
    shown = {
        style[backend].name: one
        for backend, one in profiles.items()
        if one.status == "ok" and one.parts
    }
    if not shown:
        return None
    title = "Where the time of one call of the pipeline goes"
    figure, (axes,) = new_figure(title, height=0.9 + 0.34 * len(shown))
    labels = [label(name) for name in shown]
    parts = pd.DataFrame({name: one.parts for name, one in shown.items()})
    widths = parts.reindex(list(PART_STYLES)).fillna(0.0).clip(lower=0.0)
    starts = widths.cumsum() - widths
    with mpl.rc_context({"hatch.linewidth": 0.6}):
        for part in widths.index[widths.any(axis="columns")]:
            colour, hatch = PART_STYLES[part]
            look = {"label": part, "color": colour, "hatch": hatch, **BAR}
            axes.barh(labels, widths.loc[part], left=starts.loc[part], **look)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0, labelsize=8.5)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_seconds(value)))
    axes.set_xlabel("wall time of one call")
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    words = [f"{name} {_largest_parts(profile)}" for name, profile in shown.items()]
    return Drawing(
        picture=finish(figure, columns=5, left=0.3 + LETTER * max(map(len, labels))),
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


def speedup_figure(runs: Sequence[tuple[Source, pd.DataFrame]], style: Styles) -> Drawing | None:
    """How many times as fast as the baseline each backend is, against the number of workers.

    Parameters
    ----------
    runs : sequence of (Source, DataFrame)
        Sources with their summaries. Of those that differ in their workers and in nothing else that
        counts, the largest group is shown; of several with as many workers, the last.
    style : dict of str to Style
        Of the backends.

    Returns
    -------
    Drawing, optional
        None without two numbers of workers.
    """
    groups: defaultdict[str, dict[int, pd.DataFrame]] = defaultdict(dict)
    for source, summary in runs:
        workers = source.settings.get("workers")
        if source.paired and isinstance(workers, int):
            rows = ended_well(summary, "pipeline").assign(workers=workers)
            groups[_circumstances(source)][workers] = rows[rows["ratio_low"].notna()]
    largest = max(groups.values(), key=len, default={})
    if len(largest) < 2:
        return None
    shared = set.intersection(*({*rows["n_images"]} for rows in largest.values()))
    if not shared:
        return None
    size, numbers = max(shared), sorted(largest)
    rows = pd.concat([largest[workers] for workers in numbers])
    title = f"pipeline, {images(size)}: speed-up by workers"
    figure, (axes,) = new_figure(title)
    words = []
    for backend, look, own in by_backend(rows[rows["n_images"] == size], style):
        if scheduler_of(backend) in ON_ONE_CPU or len(own) < 2:
            continue
        speed, low, high = (1 / own[name] for name in ("ratio", "ratio_high", "ratio_low"))
        look_of_line = {"label": label(look.name), "capsize": 2, **look.drawn}
        axes.errorbar(own["workers"], speed, _reach(speed, low, high), **look_of_line)
        interval, most = format_interval(low.iloc[-1], high.iloc[-1]), own["workers"].iloc[-1]
        words.append(f"{look.name} {speed.iloc[-1]:.2f}× ({interval}) with {most} workers")
    if not words:
        return None
    ends = [numbers[0], numbers[-1]]
    axes.plot(ends, ends, color="#7F7F7F", linestyle=":", linewidth=1, label="ideal", zorder=1)
    axes.set_xticks(numbers)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("workers")
    axes.set_ylabel("times as fast as a plain loop")
    return Drawing(
        picture=finish(figure),
        name="speedup",
        title=title,
        alt=f"How many times as fast as a plain loop the pipeline is for {images(size)}: "
        f"{'; '.join(words)}.",
        caption="Each point is from a run of its own, relative to that run's plain loop, which has one "
        "worker always; bars are 95% intervals. Ideal: as many times as fast as there are workers.",
    )


def _circumstances(source: Source) -> str:
    """What two runs must share for their workers to be compared, as text."""
    shared = [getattr(source, part).get(name) for part, names in SAME.items() for name in names]
    return json.dumps([source.versions, *shared], sort_keys=True, default=str)


def found_picture(source: Source) -> Drawing | None:
    """Cells that the reference found, outlined; None without a picture that can be read."""
    try:
        with Image.open(io.BytesIO(source.picture), formats=["PNG"]) as picture:
            words = picture.info.get("Description", "")
    except (OSError, SyntaxError, ValueError):  # no picture, or a damaged one
        return None
    truth = source.dataset.get("truth")
    if isinstance(truth, dict) and isinstance(f1 := truth.get("f1"), float):
        words += (
            f" Against the true cells of {truth.get('images')} images F1 is {f1:.2f}. The five steps of the "
            "benchmark neither fill holes nor split cells that touch; `segbench segment` does both."
        )
    return Drawing(
        picture=source.picture,
        name="found",
        title="What is found",
        alt=f"Part of an image, and the same with the outlines of what was found in it. {words}",
        caption=f"Left as it is, right with the outlines of what the reference finds. {words}",
    )


def _reach(middle: pd.Series[float], low: pd.Series[float], high: pd.Series[float]) -> np.ndarray:
    """How far bars reach to both sides, as matplotlib takes it."""
    return np.array([middle - low, high - middle])


def ended_well(rows: pd.DataFrame, phase: str) -> pd.DataFrame:
    """What ended well of a phase, in a summary or among samples."""
    return rows[(rows["phase"] == phase) & (rows["status"] == "ok")]


def by_phase(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """What ended well of each phase that has any."""
    for phase in PHASES:
        if not (own := ended_well(rows, phase)).empty:
            yield phase, own


def by_backend(rows: pd.DataFrame, style: Styles) -> Iterator[tuple[str, Style, pd.DataFrame]]:
    """The look and the rows of each backend that has any, in the order of the styles."""
    for backend, look in style.items():
        if not (own := rows[rows["backend"] == backend]).empty:
            yield backend, look, own
