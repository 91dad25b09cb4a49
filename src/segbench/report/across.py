"""Figures across several runs: workers against speed-up, and history over commits and versions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from segbench.backends.registry import BASELINE
from segbench.backends.schedulers import ON_ONE_CPU
from segbench.measure.cases import PHASES
from segbench.report import canvas
from segbench.report.cells import format_interval, format_seconds, images
from segbench.report.rendering import label
from segbench.report.summary import scheduler_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from segbench.report.canvas import Drawing
    from segbench.report.styles import Style
    from segbench.results.sources import Source

# Settings that two runs may not differ in, where their workers are compared.
SAME_SETTINGS = ("params", "cache", "native_threads")

COMMIT_LETTERS = 8

STEP_LABELS = 1.4  # inches, for the names of commits and versions

Run = tuple["Source", "pd.DataFrame"]


def speedup_figure(runs: Sequence[Run], style: Mapping[str, Style]) -> Drawing | None:
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
    Drawing or None
        None without two numbers of workers.
    """
    by_workers = _differing_in_workers(runs)
    timed = {
        workers: rows[rows["ratio_low"].notna()]
        for workers, summary in by_workers.items()
        if len(rows := summary[(summary["phase"] == "pipeline") & (summary["status"] == "ok")])
    }
    shared = set.intersection(*(set(rows["n_images"]) for rows in timed.values())) if timed else ()
    if len(timed) < 2 or not shared:
        return None
    size = max(shared)
    figure, axes = canvas.new_axes()
    words = []
    for backend, look in style.items():
        if scheduler_of(backend) in ON_ONE_CPU:
            continue
        found = {
            workers: own.iloc[0]
            for workers, rows in timed.items()
            if len(own := rows[(rows["backend"] == backend) & (rows["n_images"] == size)])
        }
        if len(found) < 2:
            continue
        speed = [1 / row["ratio_median"] for row in found.values()]
        low = [1 / row["ratio_high"] for row in found.values()]
        high = [1 / row["ratio_low"] for row in found.values()]
        axes.errorbar(
            list(found),
            speed,
            [
                [middle - end for middle, end in zip(speed, low, strict=True)],
                [end - middle for middle, end in zip(speed, high, strict=True)],
            ],
            label=label(backend),
            capsize=2,
            **look.drawn,
        )
        words.append(
            f"{backend} {speed[-1]:.2f}× ({format_interval(low[-1], high[-1])}) with "
            f"{_workers(list(found)[-1])}"
        )
    if not words:
        return None
    ends = [min(timed), max(timed)]
    axes.plot(ends, ends, color="#7F7F7F", linestyle=":", linewidth=1, label="ideal", zorder=1)
    axes.set_xticks(sorted(timed))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("workers")
    axes.set_ylabel("times as fast as the baseline")
    title = f"pipeline, {images(size)}: speed-up by workers"
    canvas.title(axes, title)
    canvas.arrange(axes)
    return canvas.drawing(
        figure,
        name="speedup",
        title=title,
        alt=f"How many times as fast as {BASELINE} the pipeline is for {images(size)}: "
        f"{'; '.join(words)}.",
        caption="Each point is from a run of its own, relative to that run's baseline, which has one "
        "worker always; bars are 95% intervals. Ideal: as many times as fast as there are workers.",
    )


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


def _differing_in_workers(runs: Sequence[Run]) -> dict[int, pd.DataFrame]:
    """Of the runs that differ in nothing but workers the summaries, by workers, ascending."""
    groups: dict[str, dict[int, pd.DataFrame]] = {}
    for source, summary in runs:
        workers = source.settings.get("workers")
        if source.paired and isinstance(workers, int):
            groups.setdefault(_circumstances(source), {})[workers] = summary
    largest = max(groups.values(), key=len, default={})
    return dict(sorted(largest.items()))


def _circumstances(source: Source) -> str:
    """What two runs must share for their workers to be compared, as text."""
    return json.dumps(
        [
            [source.machine.get(name) for name in ("cpu", "cpus_available")],
            source.versions,
            [source.dataset.get(name) for name in ("name", "key", "shape")],
            [source.settings.get(name) for name in SAME_SETTINGS],
        ],
        sort_keys=True,
        default=str,
    )


def history_figure(source: Source, style: Mapping[str, Style]) -> Drawing | None:
    """Time of each backend at the largest size over commits and versions; None without history."""
    if not source.history:
        return None
    states = sorted([*source.history, source], key=lambda state: state.started)
    largest = {phase: _largest(source.samples, phase) for phase in PHASES}
    phases = [phase for phase, size in largest.items() if size]
    if not phases:
        return None
    figure = Figure(figsize=(canvas.WIDTH, 2.6 * len(phases) + STEP_LABELS))
    panels = figure.subplots(len(phases), 1, sharex=True, squeeze=False)[:, 0]
    words = []
    for phase, axes in zip(phases, panels, strict=True):
        canvas.plain(axes)
        size = largest[phase]
        for backend, look in style.items():
            medians = [_median(state.samples, phase, size, backend) for state in states]
            places = [place for place, median in enumerate(medians) if median is not None]
            if not places:
                continue
            shown = [median for median in medians if median is not None]
            axes.plot(places, shown, label=label(backend), **look.drawn)
            words.append(
                f"{phase} of {images(size)} with {backend} from {format_seconds(shown[0])} to "
                f"{format_seconds(shown[-1])}"
            )
        canvas.seconds_axis(axes)
        canvas.title(axes, f"{phase}: {images(size)}")
    panels[-1].set_xticks(range(len(states)), labels=_labels(states), rotation=45, ha="right")
    panels[-1].tick_params(axis="x", labelsize=7.5)
    canvas.arrange(panels[0], below=STEP_LABELS, hspace=0.25)
    return canvas.drawing(
        figure,
        name="history",
        title="History over commits and versions",
        alt=f"Median times in {len(states)} results, oldest first: {'; '.join(words)}.",
        caption="Each step along x is a commit with a set of versions, in the order of their dates. "
        "The samples of two steps were not taken side by side: a machine that was busier looks like "
        "a slower commit.",
    )


def _largest(samples: pd.DataFrame, phase: str) -> int:
    """The largest size of a phase that was timed; 0 where none was."""
    sizes = samples[(samples["phase"] == phase) & (samples["status"] == "ok")]["n_images"]
    return int(sizes.max()) if len(sizes) else 0


def _median(samples: pd.DataFrame, phase: str, size: int, backend: str) -> float | None:
    """Median seconds of a case; None where it was not timed."""
    case = samples[
        (samples["phase"] == phase)
        & (samples["n_images"] == size)
        & (samples["backend"] == backend)
        & (samples["status"] == "ok")
    ]
    return float(case["seconds"].median()) if len(case) else None


def _labels(states: Sequence[Source]) -> list[str]:
    """A commit, and those of its versions that are not the same in all states."""
    names = dict.fromkeys(name for state in states for name in state.versions if name != "commit")
    varied = [name for name in names if len(_values(states, name)) > 1]
    return [
        label(
            " ".join(
                [
                    str(state.versions.get("commit", ""))[:COMMIT_LETTERS] or state.started[:10],
                    *(f"{name} {state.versions.get(name, '–')}" for name in varied),
                ]
            )
        )
        for state in states
    ]


def _values(states: Iterable[Source], name: str) -> set[str]:
    return {str(state.versions.get(name)) for state in states}
