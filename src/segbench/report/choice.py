"""What to use: the choice at each number of images of a shape, by what was shown of its backends."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from segbench.backends.registry import BASELINE
from segbench.report.cells import collected, sizes_in_words
from segbench.report.pairs import pair_of
from segbench.report.reproduce import asked_for
from segbench.report.summary import cases_in, listed_in, scheduler_of, uses_dask
from segbench.results.sources import LOOP

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from segbench.images.origin import Origin
    from segbench.measure.settings import RunSettings
    from segbench.report.pairs import Pair, Pairs
    from segbench.report.summary import Case
    from segbench.results.sources import Source

# What people choose between, the simplest first.
POOL, DASK = "a pool without Dask", "Dask"
KINDS = (LOOP, POOL, DASK)

# The first of these that was measured is what is asked about.
QUESTIONS = {
    "pipeline": "from files to a table of cells",
    "process": "from pixels in memory to a table of cells",
    "read": "from files to pixels in memory",
    "open": "from files to a handle on them",
}

# Pixels: more is a slip, or somebody's joke.
MOST_SIDE = 10**7

# A backend that is faster by less is not worth one that is less simple.
AS_GOOD = 1.1


@dataclass(frozen=True)
class Part:
    """One shape of a run.

    Attributes
    ----------
    source : Source
    summary : DataFrame
        One row a case.
    pairs : Pairs
        Its backends two by two.
    prefix : str
        Of the ids of its cases on the page.
    """

    source: Source
    summary: pd.DataFrame
    pairs: Pairs
    prefix: str = ""

    @cached_property
    def run(self) -> tuple[RunSettings, Origin] | None:
        """What was asked for: to read that takes a tenth of a second."""
        return asked_for(self.source)

    @property
    def shape(self) -> tuple[int, int] | None:
        """Height and width in pixels, where the source says them."""
        return shape_of(self.source)

    @property
    def words(self) -> str:
        """The shape as people write it; empty where it is not known."""
        return "{} × {}".format(*self.shape) if self.shape else ""

    @property
    def pixels(self) -> int:
        """Of an image; 0 where that is not known."""
        height, width = self.shape or (0, 0)
        return height * width

    def called(self, backend: str) -> str:
        """A backend as people call it."""
        return self.source.backends[backend].words


@dataclass(frozen=True)
class Spot:
    """A number of images of a shape, in a phase.

    Attributes
    ----------
    part : Part
        Of the shape.
    phase : str
    n_images : int
    cases : tuple of Case
        All that have a time there, the fastest first. What was wrong anywhere has none.
    """

    part: Part
    phase: str
    n_images: int
    cases: tuple[Case, ...]

    def pair(self, backend: str, other: str) -> Pair | None:
        """A backend beside another; None where they were not compared."""
        pair = self.part.pairs.get((self.phase, self.n_images, backend, other))
        return pair if pair and pair.known else None

    @cached_property
    def simplest(self) -> Case | None:
        """The plain loop; of an image that is too large for it, what the run lists first of what was timed."""
        timed = {case.backend: case for case in self.cases}
        listed = [str(BASELINE)]
        if self.part.source.is_large:
            listed += listed_in(self.part.source, "backends", str)
        return next((timed[one] for one in listed if one in timed), None)

    @cached_property
    def best(self) -> Mapping[str, Case]:
        """The fastest of each of the `KINDS` that was timed."""
        found: dict[str, Case] = {}
        for case in self.cases:
            found.setdefault(kind_of(case.backend), case)
        return found

    @cached_property
    def ahead(self) -> tuple[str, ...]:
        """The kinds than whose best no other kind's was shown to be faster by more than 10%."""
        return tuple(
            kind
            for kind in KINDS
            if kind in self.best and not self._beaten(self.best[kind], self.best.values())
        )

    @cached_property
    def unbeaten(self) -> tuple[Case, ...]:
        """The cases than which none was shown to be faster by more than 10%."""
        return tuple(case for case in self.cases if not self._beaten(case, self.cases))

    def _beaten(self, case: Case, others: Iterable[Case]) -> bool:
        beside = (pair_of(self.part.pairs, case, other) for other in others)
        return any(much_slower(pair) for pair in beside if pair)


@dataclass(frozen=True)
class Choice:
    """What to use at a spot.

    Attributes
    ----------
    spot : Spot
        Where.
    backend : str
        The plain loop where nothing is faster; otherwise, of what is, the simplest than which none was
        shown to be faster by more than 10%.
    gain : Pair, optional
        It beside the simplest, as `Spot` has it; None where it is that.
    rivals : tuple of str
        Those of which it is open whether they are faster than the plain loop, where that is what is
        named, or where they are simpler than what is: the choice is open while there are any.
    dask : Pair, optional
        The best with Dask that does the same work, beside what is named; where that is with Dask, it
        beside the one without Dask that it gains least on. None where these were not compared.
    """

    spot: Spot
    backend: str
    gain: Pair | None
    rivals: tuple[str, ...]
    dask: Pair | None

    @property
    def is_open(self) -> bool:
        """Whether more rounds may name another backend."""
        return bool(self.rivals)


def much_slower(pair: Pair) -> bool:
    """Whether a backend was shown to be slower than another, by more than 10%: less is no reason."""
    return pair.verdict.endswith("slower") and pair.ratio.estimate > AS_GOOD


def choices(parts: Iterable[Part], phase: str) -> list[Choice]:
    """The choice at every spot where one can be made, those of a shape by their number of images."""
    return [choice for spot in spots(parts, phase) if (choice := _choice(spot))]


def spots(parts: Iterable[Part], phase: str) -> list[Spot]:
    """Every number and shape at which something was timed, those of a shape by their number of images."""
    found = []
    for part in parts:
        cases = [case for case in cases_in(part.summary, phase) if case.ok]
        for size, own in sorted(collected((case.n_images, case) for case in cases).items()):
            ordered = sorted(own, key=lambda case: case.seconds_median)
            found.append(Spot(part, phase, size, tuple(ordered)))
    return found


def decided(found: Iterable[Choice]) -> list[Choice]:
    """Those that are not open."""
    return [choice for choice in found if not choice.is_open]


def asked_phase(parts: Iterable[Part]) -> str:
    """The phase that the answer is about; empty where nothing was timed."""
    timed = {case.phase for part in parts for case in cases_in(part.summary) if case.ok}
    return next((phase for phase in QUESTIONS if phase in timed), "")


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


def _choice(spot: Spot) -> Choice | None:
    """What to use at a spot; None where nothing is compared with the simplest."""
    simplest = spot.simplest
    beside = {
        case.backend: pair
        for case in spot.cases
        if (pair := pair_of(spot.part.pairs, case, simplest))
    }
    if not simplest or not any(pair.known for pair in beside.values()):
        return None
    loop = simplest.backend
    undecided = [one for one, pair in beside.items() if pair.verdict == "undecided"]
    faster = [one for one, pair in beside.items() if pair.verdict.endswith("faster")]
    named = _simplest(spot, faster) if faster else loop
    # What is simpler than what is named, and may be as fast.
    unbeaten = [case.backend for case in spot.unbeaten]
    simpler = KINDS[: KINDS.index(kind_of(named))]
    rivals = [
        one for one in undecided if named == loop or (one in unbeaten and kind_of(one) in simpler)
    ]
    return Choice(
        spot=spot,
        backend=named,
        gain=beside.get(named),
        rivals=tuple(rivals),
        dask=_dask(spot, named),
    )


def _simplest(spot: Spot, faster: Sequence[str]) -> str:
    """Of those that are faster than the plain loop the simplest than which none was shown to be faster.

    That is a pool before Dask; of several of either the first that the run lists of those whose times
    are as good as the best of them.
    """
    own = [case for case in spot.cases if case.backend in faster]
    # Verdicts of pairs that share few rounds may go round in a circle, in which all are beaten.
    best = [case for case in own if case in spot.unbeaten] or own[:1]
    kind = min((kind_of(case.backend) for case in best), key=KINDS.index)
    alike = [case for case in best if kind_of(case.backend) == kind]
    most = AS_GOOD * alike[0].seconds_median
    good = [case.backend for case in alike if case.seconds_median <= most]
    listed = listed_in(spot.part.source, "backends", str)
    return min(good, key=lambda one: listed.index(one) if one in listed else len(listed))


def _dask(spot: Spot, named: str) -> Pair | None:
    """The best with Dask that does the same work as what is named, beside that.

    Where that is with Dask itself, it stands beside the one without Dask that it gains least on.
    """
    described = spot.part.source.backends
    # Of those that read, all give the same pixels.
    own = [
        case.backend
        for case in spot.cases
        if spot.phase == "read" or described[case.backend].work == described[named].work
    ]
    with_dask, without = ([one for one in own if uses_dask(one) == dask] for dask in (True, False))
    if uses_dask(named):
        beside = [pair for one in without if (pair := spot.pair(named, one))]
    else:
        beside = [pair for one in with_dask if (pair := spot.pair(one, named))]
    if spot.phase == "open" or not beside:
        return None
    # The fastest with Dask, or the one without that what is named gains least on.
    best = max if uses_dask(named) else min
    return best(beside, key=lambda pair: pair.ratio.estimate)


def sizes_or_more(sizes: Sequence[int], measured: Sequence[int]) -> str:
    """Some of the numbers of images that were measured, as ``20 images or more`` where that says it."""
    if len(sizes) > 1 and [*sizes] == [*measured][-len(sizes) :]:
        whole = len(sizes) == len(measured)
        return f"{sizes[0]} to {sizes[-1]} images" if whole else f"{sizes[0]} images or more"
    return sizes_in_words(sizes)
