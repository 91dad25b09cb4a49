"""The best of each kind (loop, pool, Dask) of a run, by number and size of images."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.colors import ListedColormap

from segbench.backends.registry import BASELINE
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
    sizes_in_words,
)
from segbench.report.costs import cost_cell
from segbench.report.drawing import Chapter, Drawing, finish, new_figure, sizes_axis
from segbench.report.pairs import pair_of
from segbench.report.summary import cases_in, scheduler_of, uses_dask
from segbench.stats import costs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd

    from segbench.report.cells import Row
    from segbench.report.pairs import Pairs
    from segbench.report.summary import Case
    from segbench.results.sources import Source

# What people choose between, in words that go on with "is the fastest", and those of several that
# are not told apart.
LOOP, POOL, DASK = "a plain loop", "a pool without Dask", "Dask"
KINDS = (LOOP, POOL, DASK)


class Field(NamedTuple):
    """How a field of the map is named and coloured."""

    words: str
    sentence: str
    colour: str


# By which of them no other was shown to be faster than. The colours are told apart in gray, too.
BOTH = "and no difference between the two was shown"
MAP = {
    (LOOP,): Field(LOOP, "a plain loop is the fastest", "#E69F00"),
    (POOL,): Field(POOL, "a pool without Dask is the fastest", "#0072B2"),
    (DASK,): Field(DASK, "Dask is the fastest", "#D55E00"),
    (POOL, DASK): Field("a pool or Dask", f"a pool and Dask are the fastest, {BOTH}", "#CC79A7"),
    (LOOP, POOL): Field(
        "a loop or a pool", f"a plain loop and a pool are the fastest, {BOTH}", "#56B4E9"
    ),
    (LOOP, DASK): Field(
        "a loop or Dask", f"a plain loop and Dask are the fastest, {BOTH}", "#F0E442"
    ),
    KINDS: Field("no difference shown", "no difference was shown", "#DDDDDD"),
}

# Phases in which something is done; the first that was measured is what is asked about.
WORK = ("pipeline", "process", "read")

# Numbers of pixels are told in millions.
MEGA = 1e6

# Pixels: more is a slip, or somebody's joke.
MOST_SIDE = 10**7

# With so many measurements a fit of three costs can be seen to fit.
MIN_POINTS = 4


@dataclass(frozen=True)
class Part:
    """One shape of a run: its source, summary and pairs."""

    source: Source
    summary: pd.DataFrame
    pairs: Pairs

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        shape = shape_of(self.source)
        assert shape  # noqa: S101  (others are no part)
        return shape

    @property
    def words(self) -> str:
        """The shape as people write it."""
        return "{} × {}".format(*self.shape)

    @property
    def megapixels(self) -> float:
        """Of an image."""
        height, width = self.shape
        return height * width / MEGA


@dataclass(frozen=True)
class Spot:
    """A number of images of a shape, in a phase.

    Attributes
    ----------
    part : Part
        Of the shape.
    n_images : int
    best : mapping of str to Case
        The fastest of each of the `KINDS` that was timed.
    ahead : tuple of str
        The kinds than whose best no other's was shown to be faster.
    """

    part: Part
    n_images: int
    best: Mapping[str, Case]
    ahead: tuple[str, ...]


def overview(parts: Sequence[Part], *, prefix: str) -> Chapter | None:
    """What is fastest where, with a map for each kind of work where a run has several shapes.

    None where no two kinds were compared.
    """
    by_phase = {phase: found for phase in WORK if (found := _spots(parts, phase))}
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
        sentences=tuple(_sentences(by_phase[phases[0]])),
        tables=(*tables, *([costs_of_all] if costs_of_all else [])),
        drawings=tuple(_map(phase, by_phase[phase]) for phase in phases) if several else (),
    )


def shape_of(source: Source) -> tuple[int, int] | None:
    """Height and width of a source's images, where it says them."""
    shape = source.dataset.get("shape")
    if not isinstance(shape, list | tuple) or len(shape) < 2:
        return None
    height, width, *_ = shape
    whole = all(isinstance(side, int) and 0 < side < MOST_SIDE for side in (height, width))
    return (height, width) if whole else None


def kind_of(backend: str) -> str:
    """Which of the `KINDS` a backend is."""
    if uses_dask(backend):
        return DASK
    return LOOP if scheduler_of(backend) == "serial" else POOL


def _spots(parts: Iterable[Part], phase: str) -> list[Spot]:
    """Every number and shape at which two kinds or more of the usual work were compared."""
    found = []
    for part in parts:
        described = part.source.backends
        usual = described[str(BASELINE)].work
        cases = [
            case
            for case in cases_in(part.summary, phase)
            if case.ok and (phase == "read" or described[case.backend].work == usual)
        ]
        for size, own in sorted(collected((case.n_images, case) for case in cases).items()):
            best: dict[str, Case] = {}
            for case in sorted(own, key=lambda case: case.seconds_median):
                best.setdefault(kind_of(case.backend), case)
            ahead = tuple(kind for kind in KINDS if kind in best and not _beaten(kind, best, part))
            if ahead and _compared(best, part):
                found.append(Spot(part, size, best, ahead))
    return found


def _compared(best: Mapping[str, Case], part: Part) -> bool:
    """Whether the best of two kinds have a ratio with an interval."""
    pairs = (pair_of(part.pairs, *both) for both in combinations(best.values(), 2))
    return any(pair.known for pair in pairs if pair)


def _beaten(kind: str, best: Mapping[str, Case], part: Part) -> bool:
    """Whether another kind's best is faster than this one's, for certain or probably."""
    beside = (pair_of(part.pairs, other, best[kind]) for other in best.values())
    return any(pair.verdict.endswith("faster") for pair in beside if pair)


def _sentences(spots: Sequence[Spot]) -> Iterator[str]:
    """What is fastest with the most images of each shape, those alike together; and with fewer."""
    most = [own[-1] for own in collected((spot.part.words, spot) for spot in spots).values()]
    for ahead, alike in collected((spot.ahead, spot) for spot in most).items():
        where = _listed(f"{images(spot.n_images)} of {spot.part.words}" for spot in alike)
        took = "; ".join(filter(None, (_took(kind, alike) for kind in (POOL, DASK))))
        yield f"For {where} pixels {MAP[ahead].sentence}{f': {took}' if took else ''}."
    few = [spot for spot in spots if spot.ahead == (LOOP,)]
    for words, own in collected((spot.part.words, spot.n_images) for spot in few).items():
        yield f"With {sizes_in_words(own)} of {words} pixels a plain loop is the fastest."


def _took(kind: str, spots: Sequence[Spot]) -> str:
    """What the best of a kind takes beside the plain loop, at each of some spots."""
    compared = [
        (spot, pair_of(spot.part.pairs, spot.best.get(kind), spot.best.get(LOOP))) for spot in spots
    ]
    known = [(spot, pair) for spot, pair in compared if pair and pair.known]
    names = {spot.part.source.backends[spot.best[kind].backend].words for spot, _ in known}
    shares = [f"{pair.ratio.estimate:.0%}" for _, pair in known]
    if not shares or len(shares) < len(spots):
        return ""
    return f"{kind} ({_listed(sorted(names), 'or')}) takes {_listed(shares)} of a plain loop's time"


def _listed(words: Iterable[str], last: str = "and") -> str:
    *others, end = words
    return f"{', '.join(others)} {last} {end}" if others else end


def _best_table(phase: str, spots: Sequence[Spot]) -> Table:
    """The best of each kind beside each other."""
    return Table(
        name=phase,
        title=f"{phase}: the best of each kind",
        columns=(
            *("Pixels", "Images", "Plain loop", "Best pool", "The pool's time", "Best with Dask"),
            "Dask's time",
            "Dask beside the pool",
        ),
        rows=tuple(_best_row(spot) for spot in spots),
        note=f"{phase}: {PHASES[phase]}. The fastest by its median time; times as multiples of the plain "
        "loop's, with 95% intervals.",
        layout="ratios",
    )


def _best_row(spot: Spot) -> Row:
    loop, pool, dask = (spot.best.get(kind) for kind in KINDS)
    cells: list[Cell | str] = [
        spot.part.words,
        Cell(str(spot.n_images), spot.n_images),
        seconds_cell(loop.seconds_median if loop else None),
    ]
    for case in (pool, dask):
        cells += [_name(spot, case), _beside(spot, case, loop)]
    return row(*cells, _beside(spot, dask, pool))


def _name(spot: Spot, case: Case | None) -> Cell:
    return Cell(spot.part.source.backends[case.backend].words) if case else NOTHING


def _beside(spot: Spot, case: Case | None, other: Case | None) -> Cell:
    """A case beside another, as the pairs of the source have it."""
    pair = pair_of(spot.part.pairs, case, other)
    return finding_cell(pair.ratio, pair.verdict) if pair else NOTHING


def _map(phase: str, spots: Sequence[Spot]) -> Drawing:
    """The number of images against their size, coloured by what is fastest there."""
    title = f"{phase}: what is fastest, by number and size of images"
    figure, (axes,) = new_figure(title, height=3.6)
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
        picture=finish(figure, left=1.15),
        name=f"map-{phase}",
        title=title,
        alt=f"{title}: {'; '.join(told)}.",
        caption="Points are what was measured. A field has the colour of the kind whose best backend no "
        "other was shown to beat, for certain or probably; of several, where they were not told apart.",
        table=phase,
    )


def _by_pixels(part: Part) -> tuple[float, tuple[int, int]]:
    return part.megapixels, part.shape


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
        ((case.phase, case.backend), (case.n_images, case.n_images * part.megapixels, case))
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
        title="What a call costs, each image, and each megapixel",
        columns=("Phase", "Backend", "Each call", "Each image", "Each megapixel", "Off"),
        rows=tuple(rows),
        note="Fitted to the median times of all numbers and shapes, by their relative errors, none below "
        "0. Off: by how much a median is away from the fit at the most.",
        layout="words",
    )


def _cost_row(phase: str, backend: str, own: Sequence[tuple[int, float, Case]]) -> Row:
    amounts = np.array([[1.0, count, megapixels] for count, megapixels, _ in own])
    times = np.array([case.seconds_median for *_, case in own])
    found = costs(amounts, times)
    off = float(np.abs(amounts @ found / times - 1).max())
    cells = [cost_cell(one) for one in found]
    return row(phase, backend, *cells, Cell(f"{off:.0%}", off), backend=backend)
