"""Figures of runs: time, ratio, memory, parts of a call; across runs speed-up and history."""

from __future__ import annotations

import io
import json
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
from segbench.report.drawing import Drawing, finish, log_axis, new_figure, sizes_axis, write_title
from segbench.report.rendering import label
from segbench.report.summary import scheduler_of
from segbench.report.tables import format_ratio
from segbench.stats import MARGIN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from segbench.report.costs import Line
    from segbench.report.styles import Style
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

# Settings that two runs may not differ in, where their workers are compared.
SAME_SETTINGS = ("params", "cache", "native_threads")

COMPARED = ["backend", "n_images", "ratio_median", "ratio_low", "ratio_high"]

# Of the number of images from which a backend is faster.
RING: dict[str, Any] = {"marker": "o", "ms": 11, "mfc": "none", "mew": 1.6, "zorder": 4}

# Share of the distance between two sizes that the backends of one take side by side.
GROUP = 0.7

CURVE_POINTS = 50
COMMIT_LETTERS = 8

# Inches: of a letter of a label, and for the names of commits and versions.
LETTER, STEP_LABELS = 0.068, 1.4


def time_figures(
    summary: pd.DataFrame, lines: Sequence[Line], style: Mapping[str, Style]
) -> list[Drawing]:
    """For each phase the time against the number of images, both axes logarithmic."""
    return [_time_figure(phase, rows, lines, style) for phase, rows in _by_phase(summary)]


def _time_figure(
    phase: str, rows: pd.DataFrame, lines: Sequence[Line], style: Mapping[str, Style]
) -> Drawing:
    figure, (axes,) = new_figure()
    fitted = {line.backend: line for line in lines if line.phase == phase and line.off <= FITS}
    caption = "Points are medians, bars reach from the lowest to the highest sample."
    if fitted:
        caption += (
            " Lines are the cost of a call and of each image, fitted to the medians; where no such "
            "line fits, thin ones join the points."
        )
    if any(line.against.crossing for line in fitted.values()):
        caption += (
            " Rings: the number of images at which a backend and the baseline take the same time, "
            "with its interval of about 95%."
        )
    words = []
    for backend, look, own in _by_backend(rows, style):
        line = fitted.get(backend)
        median, last = own["seconds_median"], own.iloc[-1]
        reach = np.array([median - own["seconds_low"], own["seconds_high"] - median])
        joined = {"linestyle": "none" if line else look.line, "linewidth": 0.7, "elinewidth": 1.5}
        axes.errorbar(own["n_images"], median, reach, capsize=2, **{**look.drawn, **joined})
        axes.plot([], [], label=label(backend), **look.drawn)
        told = f"{backend} {format_seconds(median.iloc[-1])} for {images(last['n_images'])}"
        if line:
            x = np.geomspace(line.sizes[0], line.sizes[-1], CURVE_POINTS)
            y = [line.model.seconds(size) for size in x]
            axes.plot(x, y, **{**look.drawn, "marker": ""})
        if line and line.against.crossing:
            told += f", {line.against.words}"
            ends = line.against.crossing
            at, low, high = (float(end or 0) for end in (ends.images, ends.low, ends.high))
            across = [[max(0.0, at - low)], [max(0.0, high - at)]]
            y_at = line.model.seconds(at)
            axes.errorbar([at], [y_at], xerr=across, color=look.colour, capsize=4, **RING)
        words.append(told)
    sizes_axis(axes, rows["n_images"])
    log_axis(axes, format_seconds, "time of one call")
    write_title(axes, f"{phase}: {PHASES[phase]}")
    return finish(
        figure,
        name=phase,
        title=f"{phase}: time against number of images",
        alt=f"Time of {phase} against the number of images",
        words=words,
        caption=caption,
        table=f"{phase}-times",
    )


def ratio_figures(summary: pd.DataFrame, style: Mapping[str, Style]) -> list[Drawing]:
    """For each phase the ratio to the baseline at each size, with its interval."""
    compared = summary[summary["ratio_median"].notna() & (summary["backend"] != str(BASELINE))]
    return [_ratio_figure(phase, rows, style) for phase, rows in _by_phase(compared)]


def _ratio_figure(phase: str, rows: pd.DataFrame, style: Mapping[str, Style]) -> Drawing:
    figure, (axes,) = new_figure()
    sizes = sorted(rows["n_images"].unique())
    place = {size: number for number, size in enumerate(sizes)}
    axes.axhspan(1 / (1 + MARGIN), 1 + MARGIN, color="#e6e6e6", linewidth=0)
    axes.axhline(1, color="#000000", linewidth=1)
    groups = list(_by_backend(rows, style))
    for number, (backend, look, own) in enumerate(groups):
        x = own["n_images"].map(place) + ((number + 0.5) / len(groups) - 0.5) * GROUP
        ratio = own["ratio_median"]
        reach = np.nan_to_num([ratio - own["ratio_low"], own["ratio_high"] - ratio])
        axes.errorbar(x, ratio, reach, fmt="none", ecolor=look.colour, capsize=3)
        points = {**look.drawn, "linestyle": "none", "markersize": 6}
        axes.plot([], [], label=label(backend), **points)
        shown = own["verdict"].isin(["faster", "slower"])
        axes.plot(x[shown], ratio[shown], **points)
        axes.plot(x[~shown], ratio[~shown], markerfacecolor="#ffffff", **points)
    axes.set_xticks(range(len(sizes)), labels=[images(size) for size in sizes])
    axes.set_xlim(-0.5, len(sizes) - 0.5)
    axes.grid(visible=False, axis="x")
    title = f"{phase}: time as a multiple of"
    log_axis(axes, lambda value: f"{value:g}×", "time as a multiple of the baseline's")
    write_title(axes, f"{title} {BASELINE}")
    largest = rows[rows["n_images"] == sizes[-1]]
    intervals = rows["ratio_low"].notna().any()
    bars = "Bars are 95% intervals." if intervals else "The samples allow no intervals."
    return finish(
        figure,
        name=f"{phase}-ratios",
        title=f"{title} the baseline's",
        alt=f"Time of {phase} as a multiple of that of {BASELINE}, for {images(sizes[-1])}",
        words=[f"{row['backend']} {format_ratio(row)}" for _, row in largest.iterrows()],
        caption=f"{bars} Filled: shown to be faster or slower; open: not. The gray band is a "
        f"difference of {MARGIN:.0%}.",
        table=f"{phase}-ratios",
    )


def memory_figure(summary: pd.DataFrame, style: Mapping[str, Style]) -> Drawing | None:
    """Peak memory of the pipeline against the number of images."""
    rows = _ended_well(summary, "pipeline")
    above = rows["above_idle_mib"].notna().any()
    column = "above_idle_mib" if above else "peak_mib"
    rows = rows[rows[column].notna()]
    if rows.empty:
        return None
    figure, (axes,) = new_figure()
    words = []
    for backend, look, own in _by_backend(rows, style):
        axes.plot(own["n_images"], own[column], label=label(backend), **look.drawn)
        last = own.iloc[-1]
        words.append(f"{backend} {last[column]:.0f} MiB for {images(last['n_images'])}")
    sizes_axis(axes, rows["n_images"])
    axes.set_ylim(bottom=min(0.0, float(rows[column].min())))
    axes.set_ylabel("MiB above those of an idle worker" if above else "MiB")
    title = "Peak memory of the pipeline"
    write_title(axes, title)
    return finish(
        figure,
        name="memory",
        title=title,
        alt=f"{title} against the number of images",
        words=words,
        caption="Looked at when a size is called for the first time.",
        table="pipeline-memory",
    )


def parts_figure(profiles: Mapping[str, Profile]) -> Drawing | None:
    """Where the wall time of each backend's call goes, as a bar of its parts."""
    shown = {backend: one for backend, one in profiles.items() if one.status == "ok" and one.parts}
    if not shown:
        return None
    figure, (axes,) = new_figure(height=0.9 + 0.34 * len(shown))
    labels = [label(backend) for backend in shown]
    parts = pd.DataFrame({backend: one.parts for backend, one in shown.items()})
    widths = parts.reindex(list(PART_STYLES)).fillna(0.0).clip(lower=0.0)
    starts = widths.cumsum() - widths
    with mpl.rc_context({"hatch.linewidth": 0.6}):
        for part in widths.index[widths.any(axis="columns")]:
            colour, hatch = PART_STYLES[part]
            axes.barh(
                labels,
                widths.loc[part],
                left=starts.loc[part],
                label=part,
                height=0.7,
                color=colour,
                hatch=hatch,
                edgecolor="#222222",
                linewidth=0.5,
            )
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0, labelsize=8.5)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_seconds(value)))
    axes.set_xlabel("wall time of one call")
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    title = "Where the time of one call of the pipeline goes"
    write_title(axes, title)
    return finish(
        figure,
        name="parts",
        title=title,
        alt="Parts of the wall time of one call of the pipeline",
        words=[f"{backend} {_largest_parts(profile)}" for backend, profile in shown.items()],
        caption="The parts of a bar follow each other in the order of the legend.",
        table="parts",
        columns=5,
        left=0.3 + LETTER * max(map(len, labels)),
    )


def _largest_parts(profile: Profile) -> str:
    """Wall time, and the three parts that take most of it."""
    largest = sorted(profile.parts.items(), key=lambda part: -part[1])[:3]
    shares = ", ".join(f"{part} {seconds / profile.seconds:.0%}" for part, seconds in largest)
    return f"{format_seconds(profile.seconds)} for {images(profile.n_images)} ({shares})"


def speedup_figure(
    runs: Sequence[tuple[Source, pd.DataFrame]], style: Mapping[str, Style]
) -> Drawing | None:
    """How many times as fast as the baseline each backend is, against the number of workers.

    Parameters
    ----------
    runs : sequence of (Source, DataFrame)
        Sources with their summaries. Of those that differ in their workers and in nothing else that
        counts, the largest group is shown; of several with as many workers, the last.
    style : mapping of str to Style
        Of the backends.

    Returns
    -------
    Drawing, optional
        None without two numbers of workers.
    """
    rows = _rows_by_workers(runs)
    paired = rows[rows["ratio_low"].notna()]
    with_size = paired.groupby("n_images")["workers"].nunique()
    shared = with_size.index[with_size == rows["workers"].nunique()]
    if shared.empty:
        return None
    size = shared.max()
    figure, (axes,) = new_figure()
    words = []
    for backend, look, own in _by_backend(paired[paired["n_images"] == size], style):
        if scheduler_of(backend) in ON_ONE_CPU or len(own) < 2:
            continue
        speed, low, high = (1 / own[f"ratio_{end}"] for end in ("median", "high", "low"))
        reach = np.array([speed - low, high - speed])
        axes.errorbar(own["workers"], speed, reach, label=label(backend), capsize=2, **look.drawn)
        interval, most = format_interval(low.iloc[-1], high.iloc[-1]), own["workers"].iloc[-1]
        words.append(f"{backend} {speed.iloc[-1]:.2f}× ({interval}) with {most} workers")
    if not words:
        return None
    workers = sorted(rows["workers"].unique())
    ends = [workers[0], workers[-1]]
    axes.plot(ends, ends, color="#7F7F7F", linestyle=":", linewidth=1, label="ideal", zorder=1)
    axes.set_xticks(workers)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("workers")
    axes.set_ylabel("times as fast as the baseline")
    title = f"pipeline, {images(size)}: speed-up by workers"
    write_title(axes, title)
    return finish(
        figure,
        name="speedup",
        title=title,
        alt=f"How many times as fast as {BASELINE} the pipeline is for {images(size)}",
        words=words,
        caption="Each point is from a run of its own, relative to that run's baseline, which has one "
        "worker always; bars are 95% intervals. Ideal: as many times as fast as there are workers.",
    )


def _rows_by_workers(runs: Sequence[tuple[Source, pd.DataFrame]]) -> pd.DataFrame:
    """The pipeline in runs that differ in nothing but ``workers``, a column, ascending."""
    groups: dict[str, dict[int, pd.DataFrame]] = {}
    for source, summary in runs:
        workers = source.settings.get("workers")
        if source.paired and isinstance(workers, int):
            rows = _ended_well(summary, "pipeline")[COMPARED].assign(workers=workers)
            groups.setdefault(_circumstances(source), {})[workers] = rows
    largest = max(groups.values(), key=len, default={})
    none = pd.DataFrame(columns=[*COMPARED, "workers"])
    return pd.concat([largest[workers] for workers in sorted(largest)] or [none])


def _circumstances(source: Source) -> str:
    """What two runs must share for their workers to be compared, as text."""
    of_machine = [source.machine.get(name) for name in ("cpu", "cpus_available")]
    of_dataset = [source.dataset.get(name) for name in ("name", "key", "shape")]
    settings = [source.settings.get(name) for name in SAME_SETTINGS]
    shared = [of_machine, source.versions, of_dataset, settings]
    return json.dumps(shared, sort_keys=True, default=str)


def history_figure(source: Source, style: Mapping[str, Style]) -> Drawing | None:
    """Time of each backend at the largest size over commits and versions; None without history."""
    largest = {phase: rows["n_images"].max() for phase, rows in _by_phase(source.samples)}
    if not (source.history and largest):
        return None
    states = sorted([*source.history, source], key=lambda state: state.started)
    figure, panels = new_figure(height=2.6 * len(largest) + STEP_LABELS, panels=len(largest))
    words = []
    for (phase, size), axes in zip(largest.items(), panels, strict=True):
        of_states = (_ended_well(state.samples, phase) for state in states)
        # A row a state, a column a backend.
        medians = pd.DataFrame(
            [
                own[own["n_images"] == size].groupby("backend")["seconds"].median()
                for own in of_states
            ]
        ).reset_index(drop=True)
        for backend in (name for name in style if name in medians):
            own = medians[backend].dropna()
            axes.plot(own.index, own, label=label(backend), **style[backend].drawn)
            first, last = (format_seconds(own.iloc[end]) for end in (0, -1))
            words.append(f"{phase} of {images(size)} with {backend} from {first} to {last}")
        log_axis(axes, format_seconds, "time of one call")
        write_title(axes, f"{phase}: {images(size)}")
    panels[-1].set_xticks(range(len(states)), labels=_labels(states), rotation=45, ha="right")
    panels[-1].tick_params(axis="x", labelsize=7.5)
    return finish(
        figure,
        name="history",
        title="History over commits and versions",
        alt=f"Median times in {len(states)} results, oldest first",
        words=words,
        caption="Each step along x is a commit with a set of versions, in the order of their dates. "
        "The samples of two steps were not taken side by side: a machine that was busier looks like "
        "a slower commit.",
        below=STEP_LABELS,
        hspace=0.25,
    )


def _labels(states: Sequence[Source]) -> list[str]:
    """A commit, and those of its versions that are not the same in all states."""
    names = dict.fromkeys(name for state in states for name in state.versions if name != "commit")
    seen = {name: {str(state.versions.get(name)) for state in states} for name in names}
    texts = []
    for state in states:
        commit = str(state.versions.get("commit", ""))[:COMMIT_LETTERS] or state.started[:10]
        varied = (
            f"{name} {state.versions.get(name, '–')}" for name in names if len(seen[name]) > 1
        )
        texts.append(label(" ".join([commit, *varied])))
    return texts


def found_picture(source: Source) -> Drawing | None:
    """Cells that the reference found, outlined; None without a picture that can be read."""
    try:
        with Image.open(io.BytesIO(source.picture), formats=["PNG"]) as picture:
            described = picture.info.get("Description", "")
    except (OSError, SyntaxError, ValueError):  # no picture, or a damaged one
        return None
    words = described if isinstance(described, str) else ""
    return Drawing(
        name="found",
        title="What is found",
        alt=f"Part of an image, and the same with the outlines of what was found in it. {words}",
        caption=f"Left as it is, right with the outlines of what the reference finds. {words}",
        png=source.picture,
    )


def _ended_well(rows: pd.DataFrame, phase: str) -> pd.DataFrame:
    """What ended well of a phase, in a summary or among samples."""
    return rows[(rows["phase"] == phase) & (rows["status"] == "ok")]


def _by_phase(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """What ended well of each phase that has any."""
    for phase in PHASES:
        if not (own := _ended_well(rows, phase)).empty:
            yield phase, own


def _by_backend(
    rows: pd.DataFrame, style: Mapping[str, Style]
) -> Iterator[tuple[str, Style, pd.DataFrame]]:
    """The look and the rows of each backend that has any, in the order of the styles."""
    groups = dict(list(rows.groupby("backend", sort=False)))
    for backend, look in style.items():
        if backend in groups:
            yield backend, look, groups[backend]
