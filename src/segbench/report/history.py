"""Times over commits: the figure of a history, and the steps in it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from segbench.measure.settings import PHASES
from segbench.report.cells import (
    Cell,
    Table,
    counted,
    finding_cell,
    format_seconds,
    images,
    row,
)
from segbench.report.drawing import Drawing, finish, label, log_axis, new_figure
from segbench.report.figures import by_backend, by_phase
from segbench.results.sources import CASE
from segbench.stats import FALSE_SHARE, corrected, verdict
from segbench.steps import LEAST_COMMITS, LEAST_LEVEL, can_look, steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segbench.report.cells import Row
    from segbench.report.styles import Styles
    from segbench.results.sources import Source
    from segbench.steps import Step

COMMIT_LETTERS = 8
STEP_LABELS = 0.9  # inches, for the names of commits
RING = 12  # points, around the first commit of a new level

# Where less is left to chance, no more digits are believed: they rest on the noise being normal.
LEAST_CHANCE = 1e-4

NOT_INSTALLED = (
    ' Where the steps are is told with the extra "report": pip install "segbench[report]".'
)


@dataclass(frozen=True, kw_only=True)
class CaseStep:
    """A step in the history of a case; its p is corrected for all histories that were looked at."""

    phase: str
    n_images: int
    backend: str
    step: Step


@dataclass(frozen=True, kw_only=True)
class History:
    """The results of one environment over commits.

    Attributes
    ----------
    states : tuple of Source
        One a commit, oldest first.
    medians : DataFrame
        The median time of each case that has any, with the columns of `CASE`, ``place`` among
        `states`, and ``seconds``.
    steps : tuple of CaseStep
        Those that chance does not explain, by commit.
    looked : int
        In how many histories they were looked for.
    """

    states: tuple[Source, ...]
    medians: pd.DataFrame
    steps: tuple[CaseStep, ...]
    looked: int


def history_of(source: Source) -> History | None:
    """The history of a source; None where it has none, or no time."""
    if not source.history:
        return None
    states = sorted([*source.history, source], key=lambda state: state.started)
    samples = pd.concat({place: one.samples for place, one in enumerate(states)}, names=["place"])
    samples = samples[(samples["status"] == "ok") & samples["phase"].isin(list(PHASES))]
    if samples.empty:
        return None
    medians = samples.groupby([*CASE, "place"], sort=False)["seconds"].median().reset_index()
    found, looked = [], 0
    for key, own in medians.groupby(CASE, sort=False):
        phase, n_images, backend = cast("tuple[str, int, str]", key)
        if can_look() and len(own) >= LEAST_COMMITS:
            looked += 1
            case: dict[str, Any] = {"phase": phase, "n_images": n_images, "backend": backend}
            found += [CaseStep(**case, step=step) for step in steps(_in_places(own, len(states)))]
    return History(
        states=tuple(states),
        medians=medians,
        steps=tuple(_sure(found, of=looked)),
        looked=looked,
    )


def _in_places(own: pd.DataFrame, length: int) -> np.ndarray:
    """The times of a case, one a commit; nan where it has none."""
    seconds = np.full(length, np.nan)
    seconds[own["place"]] = own["seconds"]
    return seconds


def _sure(found: Sequence[CaseStep], *, of: int) -> list[CaseStep]:
    """The steps that remain when p is corrected for all histories, and all steps that were tested."""
    if not found:
        return []
    chances = corrected(np.array([one.step.p for one in found]), count=max(of, len(found)))
    sure = [
        dataclasses.replace(one, step=dataclasses.replace(one.step, p=float(chance)))
        for one, chance in zip(found, chances, strict=True)
        if chance < FALSE_SHARE
    ]
    order = list(PHASES)
    return sorted(sure, key=lambda one: (one.step.at, order.index(one.phase), one.n_images))


def steps_table(history: History) -> Table | None:
    """Which commit, by how much, and how sure; None where no step was found."""
    if not history.steps:
        return None
    return Table(
        name="steps",
        title="Steps in the history",
        columns=(
            *("First commit of the new level", "Last of the old", "Backend", "Phase", "Images"),
            *("Time relative to the old level", "Chance alone"),
        ),
        rows=tuple(_row(history, one) for one in history.steps),
        note=f"Levels hold for {LEAST_LEVEL} commits at least: a step at the last or last but one is not "
        "seen yet. In brackets 95% intervals, for a step at this commit. Chance alone: how likely "
        "noise that is independent from commit to commit gives such a step anywhere, corrected for "
        f"{counted(history.looked, 'case')} whose history is long enough (Benjamini and Hochberg); what is listed is below {FALSE_SHARE:.0%}. A machine that was busy "
        "for days looks the same. Where all backends take a step at once, the plain loop among them, "
        "look at the machine first.",
        layout="dense",
    )


def _row(history: History, one: CaseStep) -> Row:
    step = one.step
    new, old = (history.states[place] for place in (step.at, step.after))
    chance = f"{step.p:.2g}" if step.p >= LEAST_CHANCE else f"below {LEAST_CHANCE:.4f}"
    return row(
        Cell(_name(new), note=new.started[:10]),
        Cell(_name(old), note=old.started[:10]),
        one.backend,
        one.phase,
        Cell(str(one.n_images), one.n_images),
        finding_cell(step.ratio, verdict(step.ratio, margin=0.0, certain=True)),
        Cell(chance, step.p),
    )


def history_figure(history: History, style: Styles) -> Drawing:
    """Time of each backend at the largest size over commits, with its steps."""
    rows = history.medians.assign(status="ok")
    largest = {phase: int(own["n_images"].max()) for phase, own in by_phase(rows)}
    titles = [f"{phase}: {images(size)}" for phase, size in largest.items()]
    figure, panels = new_figure(*titles, height=2.6 * len(largest) + STEP_LABELS)
    words = []
    ring: dict[str, Any] = {
        "linestyle": "none",
        "marker": "o",
        "markersize": RING,
        "fillstyle": "none",
    }
    for (phase, size), axes in zip(largest.items(), panels, strict=True):
        own = rows[(rows["phase"] == phase) & (rows["n_images"] == size)]
        for backend, look, times in by_backend(own, style):
            seconds = times.set_index("place")["seconds"].sort_index()
            axes.plot(seconds.index, seconds, label=label(look.name), **look.drawn)
            first, last = (format_seconds(seconds.iloc[end]) for end in (0, -1))
            words.append(f"{phase} of {images(size)} with {look.name} from {first} to {last}")
            for one in history.steps:
                if (one.phase, one.n_images, one.backend) == (phase, size, backend):
                    axes.plot(one.step.at, seconds[one.step.at], color=look.colour, **ring)
                    words[-1] += f", a step at {_name(history.states[one.step.at])}"
        log_axis(axes, format_seconds, "time of one call")
    if history.steps:
        panels[0].plot([], [], color="#000000", label="the first commit after a step", **ring)
    names = [label(_name(state)) for state in history.states]
    panels[-1].set_xticks(range(len(names)), labels=names, rotation=45, ha="right")
    panels[-1].tick_params(axis="x", labelsize=7.5)
    return Drawing(
        picture=finish(figure, columns=1, below=STEP_LABELS),
        name="history",
        title="History over commits",
        alt=f"Median times in {len(history.states)} results, oldest first: {'; '.join(words)}.",
        caption="Each place along x is a commit, in the order of their dates, with the same versions of "
        "what was asked for. The samples of two commits were not taken side by side: a machine that was busier looks like "
        f"a slower commit.{_looked(history)}",
        table="steps" if history.steps else "",
    )


def _looked(history: History) -> str:
    """What was looked for in vain."""
    if not can_look():
        return NOT_INSTALLED
    if not history.looked:
        return f" Steps are looked for in histories of {LEAST_COMMITS} commits or more."
    return "" if history.steps else " No step is more than chance explains."


def _name(state: Source) -> str:
    """The first letters of its commit; the day where none is known."""
    return str(state.versions.get("commit", ""))[:COMMIT_LETTERS] or state.started[:10]
