"""The best of each kind (loop, pool, Dask) of a run, by number and size of images."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.colors import ListedColormap

from segbench.measure.settings import PHASES
from segbench.report.cells import (
    NOTHING,
    Cell,
    Table,
    collected,
    finding_cell,
    images,
    row,
    seconds_cell,
)
from segbench.report.choice import AS_GOOD, DASK, KINDS, POOL, spots
from segbench.report.costs import cost_cell
from segbench.report.drawing import NARROW, Chapter, Drawing, finish, new_figure, sizes_axis
from segbench.report.pairs import pair_of
from segbench.report.summary import cases_in
from segbench.results.sources import LOOP
from segbench.stats import costs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segbench.report.cells import Row
    from segbench.report.choice import Part, Spot
    from segbench.report.summary import Case


class Field(NamedTuple):
    """How a field of the map is named and coloured."""

    words: str
    colour: str


# By which kinds no other was shown to be faster than. The colours are told apart in gray, too.
MAP = {
    (LOOP,): Field(LOOP, "#E69F00"),
    (POOL,): Field(POOL, "#0072B2"),
    (DASK,): Field(DASK, "#D55E00"),
    (POOL, DASK): Field("a pool or Dask", "#CC79A7"),
    (LOOP, POOL): Field("a loop or a pool", "#56B4E9"),
    (LOOP, DASK): Field("a loop or Dask", "#F0E442"),
    KINDS: Field("no difference shown", "#DDDDDD"),
}

# Phases in which something is done; the first that was measured is what is asked about.
WORK = ("pipeline", "process", "read")

# Numbers of pixels are told in millions.
MEGA = 1e6

# With so many measurements a fit of three costs can be seen to fit.
MIN_POINTS = 4


def overview(parts: Sequence[Part], *, prefix: str) -> Chapter | None:
    """What is fastest where, with a map for each kind of work where a run has several shapes.

    None where no two kinds were compared.
    """
    parts = [part for part in parts if part.shape]
    by_phase = {phase: found for phase in WORK if (found := _compared_spots(parts, phase))}
    if not by_phase:
        return None
    several = len({part.shape for part in parts}) > 1
    # One shape alone has its other phases in the tables of the run.
    phases = list(by_phase) if several else list(by_phase)[:1]
    tables = [_best_table(phase, by_phase[phase]) for phase in phases]
    costs_of_all = _cost_table(parts) if several else None
    return Chapter(
        title="By number and size of images" if several else "The best of each kind",
        prefix=prefix,
        tables=(*tables, *([costs_of_all] if costs_of_all else [])),
        drawings=tuple(_map(phase, by_phase[phase]) for phase in phases) if several else (),
    )


def _compared_spots(parts: Sequence[Part], phase: str) -> list[Spot]:
    """Every number and shape at which two kinds or more were compared."""
    return [spot for spot in spots(parts, phase) if spot.ahead and _compared(spot)]


def _compared(spot: Spot) -> bool:
    """Whether the best of two kinds have a ratio with an interval."""
    names = (case.backend for case in spot.best.values())
    return any(spot.pair(*both) for both in combinations(names, 2))


def _best_table(phase: str, spots: Sequence[Spot]) -> Table:
    """The best of each kind beside each other."""
    return Table(
        name=phase,
        title=f"{phase}: the best of each kind",
        columns=(
            *("Pixels", "Images", "Plain loop", "Best pool", "Best with Dask"),
            "Dask relative to the pool",
        ),
        rows=tuple(_best_row(spot) for spot in spots),
        note=f"{phase}: {PHASES[phase]}. The fastest by its median time; times as multiples of the plain "
        "loop's, with 95% intervals.",
        layout="ratios",
    )


def _best_row(spot: Spot) -> Row:
    loop, pool, dask = (spot.best.get(kind) for kind in KINDS)
    return row(
        spot.part.words,
        Cell(str(spot.n_images), spot.n_images),
        seconds_cell(loop.seconds_median if loop else None),
        *(_named(spot, case, loop) for case in (pool, dask)),
        _beside(spot, dask, pool),
    )


def _named(spot: Spot, case: Case | None, other: Case | None) -> Cell:
    """A case beside another, with its name."""
    if not case:
        return NOTHING
    return replace(_beside(spot, case, other), note=spot.part.called(case.backend))


def _beside(spot: Spot, case: Case | None, other: Case | None) -> Cell:
    """A case beside another, as the pairs of the source have it."""
    pair = pair_of(spot.part.pairs, case, other)
    return finding_cell(pair.ratio, pair.verdict) if pair else NOTHING


def _map(phase: str, spots: Sequence[Spot]) -> Drawing:
    """The number of images against their size, coloured by what is fastest there."""
    title = f"{phase}: what is fastest, by number and size of images"
    figure, (axes,) = new_figure(title, height=3.0, width=NARROW)
    sizes = sorted({spot.n_images for spot in spots})
    shapes = sorted({spot.part.shape: spot.part for spot in spots}.values(), key=_by_pixels)
    names = [part.words for part in shapes]
    shown = [ahead for ahead in MAP if any(spot.ahead == ahead for spot in spots)]
    colours = [MAP[ahead].colour for ahead in shown]
    found = np.full((len(shapes), len(sizes)), np.nan)
    for spot in spots:
        place = names.index(spot.part.words), sizes.index(spot.n_images)
        found[place] = shown.index(spot.ahead)
    axes.pcolormesh(
        *(_edges(sizes), np.arange(len(shapes) + 1) - 0.5, np.ma.masked_invalid(found)),
        cmap=ListedColormap(colours),
        vmin=-0.5,
        vmax=len(shown) - 0.5,
        alpha=0.75,
        linewidth=0,
    )
    x, y = zip(*((spot.n_images, names.index(spot.part.words)) for spot in spots), strict=True)
    axes.plot(x, y, "o", color="#000000", markersize=3.5)
    axes.grid(visible=False)
    sizes_axis(axes, sizes)
    axes.set_yticks(range(len(names)), labels=names)
    axes.set_ylabel("pixels of an image")
    for ahead in shown:
        look: dict[str, Any] = {
            "color": MAP[ahead].colour,
            "alpha": 0.75,
            "label": MAP[ahead].words,
        }
        axes.scatter([], [], s=70, marker="s", **look)
    told = (
        f"{images(spot.n_images)} of {spot.part.words}: {MAP[spot.ahead].words}" for spot in spots
    )
    return Drawing(
        picture=finish(figure, columns=1, left=1.35),
        name=f"map-{phase}",
        title=title,
        alt=f"{title}: {'; '.join(told)}.",
        caption="Points are what was measured. A field has the colour of the kind whose best backend no "
        f"other beats by more than {AS_GOOD - 1:.0%}, or of several such kinds.",
        table=phase,
    )


def _by_pixels(part: Part) -> tuple[int, str]:
    return part.pixels, part.words


def _edges(centres: Sequence[float]) -> np.ndarray:
    """Where the fields around some points on a logarithmic axis meet."""
    logs = np.log(np.asarray(centres, dtype=float))
    if len(logs) == 1:
        return np.asarray(np.exp(logs[0] + np.array([-0.5, 0.5])))
    middles = (logs[1:] + logs[:-1]) / 2
    first, last = logs[0] - (middles[0] - logs[0]), logs[-1] + (logs[-1] - middles[-1])
    return np.asarray(np.exp(np.concatenate([[first], middles, [last]])))


def _cost_table(parts: Sequence[Part]) -> Table | None:
    """What a call costs, each image and each million of pixels, through all numbers and shapes."""
    points = collected(
        ((case.phase, case.backend), (case.n_images, case.n_images * part.pixels / MEGA, case))
        for part in parts
        for case in cases_in(part.summary, *WORK)
        if case.ok
    )
    rows = []
    for phase in WORK:
        for (of, backend), own in points.items():
            if of == phase and len(own) >= MIN_POINTS:
                rows.append(_cost_row(phase, backend, own))
    if not rows:
        return None
    return Table(
        name="costs",
        title="What each call costs, and what each image and megapixel adds",
        columns=("Phase", "Backend", "Each call", "Each image", "Each megapixel", "Misfit"),
        rows=tuple(rows),
        note="Fitted to the median times of all numbers and shapes, by their relative errors, none below "
        "0. Misfit: the largest deviation of a median from the fit.",
        layout="words",
    )


def _cost_row(phase: str, backend: str, own: Sequence[tuple[int, float, Case]]) -> Row:
    amounts = np.array([[1.0, count, megapixels] for count, megapixels, _ in own])
    times = np.array([case.seconds_median for *_, case in own])
    found = costs(amounts, times)
    off = float(np.abs(amounts @ found / times - 1).max())
    cells = [cost_cell(one) for one in found]
    return row(phase, backend, *cells, Cell(f"{off:.0%}", off), backend=backend)
