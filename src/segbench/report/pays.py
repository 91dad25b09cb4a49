"""Whether Dask pays, and from how many images on: the backends with it against those without."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from segbench.backends.registry import BASELINE
from segbench.backends.schedulers import ON_ONE_CPU
from segbench.report import costs
from segbench.report.cells import images, sizes_in_words
from segbench.report.pairs import OPEN, PROCESSORS, amount, called, in_words, listed
from segbench.report.summary import scheduler_of, uses_dask

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pandas as pd

    from segbench.report.pairs import Beside, Pairs
    from segbench.results.sources import Source

# Processors that are named by what runs scikit-image's functions, or Dask's in their place.
WORK_OF_SCIKIT_IMAGE = ("skimage", "dask-blocks", "dask-image", "dask-image-area")

PHASES_IN_WORDS = {"read": " for reading", "process": " for processing"}

# A backend with Dask is as good as its worst verdict on those without, and Dask as its best backend.
# One that is undecided may yet turn out to be faster: it comes before one that makes no difference.
FROM_WORST = ("slower", "undecided", "no difference", "faster")
FROM_BEST = ("faster", "undecided", "no difference", "slower")


@dataclass(frozen=True)
class Contest:
    """The backends of a phase that do the same work, with Dask and without.

    Attributes
    ----------
    phase : str
        Of which it is.
    over : str
        What the answer is about beyond Dask, as a sentence continues: a phase, other functions.
    with_dask, without : tuple of str
        The backends; none whose result was wrong.
    pairs : Pairs
        What each takes beside each other.
    seconds : dict of str to dict of int to float
        Median time by backend and number of images, of those timed to the end.
    times : dict of str to Times
        The times that lines are put through.
    measured : tuple of int
        All numbers of images of the phase, ascending.
    """

    phase: str
    over: str
    with_dask: tuple[str, ...]
    without: tuple[str, ...]
    pairs: Pairs
    seconds: Mapping[str, Mapping[int, float]]
    times: Mapping[str, costs.Times]
    measured: tuple[int, ...]

    @cached_property
    def best(self) -> dict[int, Beside]:
        """By number of images the best backend with Dask, beside the one without that says most.

        The numbers are those at which some ratio of a backend with Dask and one without has an
        interval; ascending.
        """
        return {size: pair for size in self.measured if (pair := self._best(size))}

    def _best(self, size: int) -> Beside | None:
        pairs = [pair for backend in self.with_dask for pair in self.rivals(backend, size)]
        if not any(pair.known for pair in pairs):
            return None
        hardest = (self._hardest(backend, size) for backend in self.with_dask)
        return min(
            (pair for pair in hardest if pair),
            key=lambda pair: (
                FROM_BEST.index(pair.verdict),
                not pair.known,
                self.seconds[pair.backend][size],
            ),
        )

    def rivals(self, backend: str, size: int) -> list[Beside]:
        """A backend with Dask beside each of those without that was timed to the end at a size."""
        found = (self.pairs.beside(backend, rival, size) for rival in self.without)
        return [pair for pair in found if pair]

    def _hardest(self, backend: str, size: int) -> Beside | None:
        """A backend with Dask beside the one without that it does worst against."""
        return min(
            self.rivals(backend, size),
            key=lambda pair: (
                FROM_WORST.index(pair.verdict),
                not pair.known,
                -pair.ratio.median,
            ),
            default=None,
        )

    def last_timed(self, backends: Iterable[str]) -> int:
        """The largest number of images that any of some backends was timed with; 0 for none."""
        return max((size for name in backends for size in self.seconds.get(name, {})), default=0)


def whether_dask_pays(
    source: Source, summary: pd.DataFrame, phase: str, pairs: Pairs
) -> tuple[str, ...]:
    """Whether, and from how many images on, a backend with Dask is faster than all without.

    Like is compared with like: backends with another processor's functions are told of apart.

    Returns
    -------
    tuple of str
        A sentence for each kind of work that was measured with Dask and without; one at least.
    """
    backends = summary[summary["phase"] == phase]["backend"].unique()
    if not any(uses_dask(backend) for backend in backends):
        return ("Whether Dask pays was not measured: no backend with it was.",)
    if phase == "open":
        return ("Opening alone does not tell whether Dask pays.",)
    contests = [one for one in _contests(source, summary, phase, pairs) if one.best]
    if not contests:
        unknown = "Whether Dask pays is not known: no backend with it was compared with one that"
        return (f"{unknown} does the same work without.",)
    return tuple(_sentence(one) for one in contests)


def _contests(source: Source, summary: pd.DataFrame, phase: str, pairs: Pairs) -> Iterator[Contest]:
    """One for each kind of work, that of the baseline first."""
    rows = summary[summary["phase"] == phase]
    ok = rows[rows["status"] == "ok"]
    seconds: dict[str, dict[int, float]] = {}
    for name, size, median in zip(ok["backend"], ok["n_images"], ok["seconds_median"], strict=True):
        seconds.setdefault(name, {})[int(size)] = median
    right = rows[rows["status"] != "wrong-result"]["backend"].unique()
    times = costs.times_by_size(source, summary, phase)
    usual = _work(str(BASELINE), phase)
    for work in dict.fromkeys([usual, *(_work(backend, phase) for backend in right)]):
        own = [str(backend) for backend in right if _work(backend, phase) == work]
        other = "" if work == usual else f" over {PROCESSORS.get(work, work)}'s functions"
        yield Contest(
            phase=phase,
            over=PHASES_IN_WORDS.get(phase, "") + other,
            with_dask=tuple(backend for backend in own if uses_dask(backend)),
            without=tuple(backend for backend in own if not uses_dask(backend)),
            pairs=pairs,
            seconds=seconds,
            times=times,
            measured=tuple(sorted({int(size) for size in rows["n_images"]})),
        )


def _work(backend: str, phase: str) -> str:
    """Whose functions a phase runs in a backend: of those that read, all give the same pixels."""
    processor = backend.split("/")[1]
    usual = phase == "read" or processor in WORK_OF_SCIKIT_IMAGE
    return "skimage" if usual else processor


def _sentence(contest: Contest) -> str:
    """The answer for one kind of work."""
    most = max(contest.best)
    best = contest.best[most]
    where = f"with {images(most)}{_why_not_more(contest, most)}"
    told = f"{in_words(best, contest.phase)}{_not_there(contest, best, most)}"
    everywhere = _everywhere(contest)
    over, others = contest.over, _other_sizes(contest, most)
    if best.verdict == "slower":
        if everywhere:
            return f"Dask does not pay{over} at any {everywhere}: {where}, {told}."
        return f"Dask does not pay{over} {where}: {told}{others}."
    if best.verdict == "undecided":
        gained = any(pair.verdict == "faster" for pair in contest.best.values())
        asked = f"Whether Dask pays{over}"
        if best.known and not gained:
            asked = f"No gain from Dask{over} was shown: whether it pays"
        return f"{asked} is {OPEN} {where}: {told}{others}."
    if best.verdict == "no difference":
        return f"Dask makes no difference{over} {where}: {told}{others}."
    told += _faster_still(contest, best, most) + _one_worker_only(contest, best)
    if everywhere:
        return f"Dask pays{over} at every {everywhere}: {where}, {told}."
    if len(contest.best) == 1:
        return f"Dask pays{over} {where}: {told}."
    if since := _from_when(contest, best.backend):
        return f"Dask pays{over} {since}: {where}, {told}."
    sizes = [size for size, pair in contest.best.items() if pair.verdict == "faster"]
    known = f"with {sizes_in_words(sizes)}, though from how many on is not known"
    return f"Dask pays{over} {known}: {where}, {told}."


def _why_not_more(contest: Contest, most: int) -> str:
    """After a number of images: why the answer is not about a larger one."""
    if len(contest.measured) == 1:
        return ", the only number measured"
    if most == max(contest.measured):
        return ""
    with_dask, without = (
        contest.last_timed(backends) > most for backends in (contest.with_dask, contest.without)
    )
    if with_dask and not without:
        return ", the most that was timed without it"
    if without and not with_dask:
        return ", the most that was timed with it"
    return ", the most that was compared"


def _not_there(contest: Contest, best: Beside, most: int) -> str:
    """What to add where a backend without Dask is not among those compared."""
    there = {pair.other for pair in contest.rivals(best.backend, most)}
    missing = [backend for backend in contest.without if backend not in there]
    return f"; not timed to the end there: {listed(missing)}" if missing else ""


def _everywhere(contest: Contest) -> str:
    """All numbers of images, where there are several and Dask does as well at each; else empty."""
    sizes = list(contest.best)
    if len(sizes) == 1 or len({pair.verdict for pair in contest.best.values()}) > 1:
        return ""
    which = "measured" if len(sizes) == len(contest.measured) else "compared"
    return f"number {which}, {sizes[0]} to {images(sizes[-1])}"


def _other_sizes(contest: Contest, most: int) -> str:
    """What to add where Dask does not pay at the largest number of images: at which others."""
    by_verdict: dict[str, list[int]] = {}
    for size, pair in contest.best.items():
        by_verdict.setdefault(pair.verdict, []).append(size)
    return "".join(
        f"; with {sizes_in_words(by_verdict[verdict])} it {word}"
        for verdict, word in (("faster", "pays"), ("slower", "does not pay"))
        if verdict in by_verdict and most not in by_verdict[verdict]
    )


def _from_when(contest: Contest, backend: str) -> str:
    """From how many images on Dask pays, where it does with the most; empty where no line says so."""
    crossings = []
    for rival in contest.without:
        beside = {size: contest.pairs.beside(backend, rival, size) for size in contest.measured}
        said = {size: pair.verdict for size, pair in beside.items() if pair}
        if {*said.values()} <= {"faster"}:
            continue
        own, other = (contest.times.get(name, {}) for name in (backend, rival))
        against = costs.against(own, other, said)
        if against is None or against.crossing is None or not against.faster_beyond:
            return ""
        crossings.append(against.crossing)
    if not crossings:
        return ""
    # The last of them counts. All three are numbers where a crossing is named.
    last = max(one.images or 0.0 for one in crossings)
    low, high = max(one.low or 0.0 for one in crossings), max(one.high or 0.0 for one in crossings)
    contradicted = any(
        (size > high and pair.verdict != "faster") or (size < low and pair.verdict == "faster")
        for size, pair in contest.best.items()
    )
    if contradicted:
        return ""
    return f"from {images(math.ceil(last))} on ({math.ceil(low)} to {math.ceil(high)})"


def _faster_still(contest: Contest, best: Beside, most: int) -> str:
    """What to add where a backend without Dask that runs other functions is faster than with Dask."""
    own = {*contest.with_dask, *contest.without}
    for pair in contest.pairs.all_beside(best.backend, most):
        if pair.verdict == "faster" and pair.backend not in own and not uses_dask(pair.backend):
            return (
                f"; {called(pair.backend, contest.phase)} is faster still: it takes {amount(pair)}"
            )
    return ""


def _one_worker_only(contest: Contest, best: Beside) -> str:
    """What to add where Dask had several workers, and nothing without it had."""
    rivals = [pair.other for size in contest.best for pair in contest.rivals(best.backend, size)]
    if scheduler_of(best.backend) in ON_ONE_CPU or {*map(scheduler_of, rivals)} - {*ON_ONE_CPU}:
        return ""
    return "; whether Dask or a plain pool of threads does it was not measured"
