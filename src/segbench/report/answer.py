"""The answer of a source to "should I use Dask, and how?", in sentences made from its data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from segbench.backends.interface import Description
from segbench.backends.registry import BASELINE
from segbench.backends.schedulers import ON_ONE_CPU
from segbench.report import costs
from segbench.report.cells import (
    format_factor,
    format_interval,
    format_seconds,
    images,
    sizes_in_words,
)
from segbench.report.pairs import pairs_of
from segbench.report.summary import scheduler_of, uses_dask
from segbench.stats import MARGIN, MIN_BLOCKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from segbench.report.pairs import Pair, Pairs
    from segbench.results.sources import Source

# The first of these that was measured is what is asked about.
QUESTIONS = {
    "pipeline": "from files to a table of cells",
    "process": "from pixels in memory to a table of cells",
    "read": "from files to pixels in memory",
    "open": "from files to a handle on them",
}

# Whether Dask pays with the most images, by what the best backend with it shows beside those without.
DASK_AT_MOST = {
    "faster": "{dask} pays {where}: {pair}.",
    "slower": "{dask} does not pay {where}: {pair}.",
    "no difference": "{dask} makes no difference {where}: {pair}.",
    "undecided": "Whether {dask} pays {where} is not decided: {pair}.",
}
FOR_PHASE = {"read": "for reading ", "process": "for processing "}

# The same with fewer.
DASK_SINCE = "It pays from {images} on ({low} to {high})."
DASK_LIKEWISE = "The same holds with {sizes}."
DASK_ELSEWHERE = {
    "faster": "With {sizes} it pays.",
    "slower": "With {sizes} it does not pay.",
    "no difference": "With {sizes} it makes no difference.",
    "undecided": "With {sizes} whether it pays is not decided.",
}

DASK_NOT_MEASURED = "Whether Dask pays was not measured: no backend with it was."
DASK_WITHOUT_RIVAL = (
    "Whether Dask pays is not known: no backend with it was compared with one that does the same "
    "work without."
)
OPENING = "Opening alone does not tell whether Dask pays."

FASTEST = "{asked}, the fastest is {backend}: {time}."
AMONG_FASTEST = "{asked}, among the fastest is {backend}: {time}."
NONE_FASTER = "{asked}, none was shown to be faster than {backend}: {time}."

# What the others take beside it.
BESIDE_IT = {
    "no difference": f"As fast, to within {MARGIN:.0%}",
    "undecided": "Not decided whether faster or slower",
    "slower": "Slower",
}

UNPAIRED = (
    "Which backend is the fastest, and whether Dask pays, can't be said from this source: its samples "
    "({kind}) were taken one case after the other, so that no ratio has an interval. `segbench run` "
    "takes them side by side."
)
NOTHING_TIMED = "Nothing can be said: no backend was timed to the end."
ONE_TIMED = "Nothing can be said: only {backend} was timed to the end."
NO_BASELINE = f"Nothing is ranked: {BASELINE}, which all are compared with, was not timed to the end beside them."
TOO_FEW_BLOCKS = (
    f"Nothing is ranked yet: that takes {MIN_BLOCKS} blocks or more beside {BASELINE}, and there are "
    "fewer."
)

RANGES = "The ranges in brackets are intervals of about 95%."
MORE_BLOCKS = (
    f"A difference is claimed where it is more than {MARGIN:.0%}, and more than chance gives among so "
    "many comparisons; an interval on one side of 1 is a hint, no more. More blocks may tell: a run "
    "without --quick, or with a longer --case-seconds."
)

# A sentence that lists more is not read.
MOST_NAMED = 6

# A backend with Dask is as good as its worst verdict on those without, and Dask as its best backend.
# One that is undecided may yet turn out to be faster: it comes before one that makes no difference.
FROM_WORST = ("slower", "undecided", "no difference", "faster")
FROM_BEST = ("faster", "undecided", "no difference", "slower")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a source shows, in sentences; one at least, also where nothing can be said, and why.

    Attributes
    ----------
    on_dask : tuple of str
        Whether Dask pays, and with which backend; a paragraph for each kind of work.
    ranking : tuple of str
        The fastest backend, and what the others cost.
    notes : tuple of str
        What holds for the figures above, and what is left out of them.
    """

    on_dask: tuple[str, ...] = ()
    ranking: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """All, what was asked first."""
        return (*self.on_dask, *self.ranking, *self.notes)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """What was measured of a phase.

    Attributes
    ----------
    name : str
        Of the phase.
    source : Source
        Where the samples are.
    rows : DataFrame
        The phase's rows of the summary.
    pairs : mapping of (str, str, int) to Pair
        What its backends take beside each other.
    """

    name: str
    source: Source
    rows: pd.DataFrame
    pairs: Pairs

    @property
    def sizes(self) -> list[int]:
        """All numbers of images, ascending."""
        return sorted({int(size) for size in self.rows["n_images"]})

    def called(self, backend: str) -> str:
        """A backend in words, with its name; where files are read alone, its name says it best."""
        words = described(self.source, backend).words
        alone = words == backend or self.name in ("open", "read")
        return backend if alone else f"{words} ({backend})"

    def beside(self, backend: str, n_images: int) -> list[Pair]:
        """All others beside a backend, the fastest first; those that share no block with it last."""
        found = [
            pair
            for (_, other, size), pair in self.pairs.items()
            if (other, size) == (backend, n_images)
        ]
        return sorted(found, key=lambda one: (math.isnan(one.ratio.median), one.ratio.median))


@dataclass(frozen=True, kw_only=True)
class Contest:
    """The backends of a phase that do the same work, with Dask and without.

    Attributes
    ----------
    dask : str
        What a sentence is about: Dask, or Dask over the functions of another library.
    with_dask, without : list of str
        The backends; none whose result was wrong.
    best : dict of int to Pair
        By number of images the best backend with Dask, beside the one without that it does worst
        against; ascending. Only those where some ratio of the two sides has an interval.
    """

    dask: str
    with_dask: list[str]
    without: list[str]
    best: dict[int, Pair]

    @property
    def at_most(self) -> Pair:
        """The best at the largest number of images."""
        return self.best[max(self.best)]


def described(source: Source, backend: str) -> Description:
    """What a backend says of itself; its bare names where the source does not know it."""
    try:
        return source.backends[backend]
    except KeyError:
        return Description(words=backend, libraries=(), work=backend.split("/")[1])


def answer(source: Source, summary: pd.DataFrame) -> Answer:
    """Whether Dask pays, which backend is the fastest, and what the others cost.

    It is about the largest number of images for which ratios to the baseline have intervals, and
    about the pipeline where that was measured; whether Dask pays is about the largest for which a
    backend with it was compared with one without. A backend is called the fastest only where it is
    so for certain; one whose result was wrong, or that failed, is named as such and never compared.
    """
    measured = set(summary[summary["status"] == "ok"]["phase"])
    name = next((one for one in QUESTIONS if one in measured), None)
    if name is None:
        return Answer(ranking=(NOTHING_TIMED,), notes=_not_ranked(summary))
    rows = summary[summary["phase"] == name]
    if not source.paired:
        return Answer(ranking=(UNPAIRED.format(kind=source.kind),), notes=_not_ranked(rows))
    pairs = pairs_of(source, summary, name)
    if not any(pair.known for pair in pairs.values()):
        return Answer(ranking=(_why_nothing(rows),), notes=_not_ranked(rows))
    phase = Phase(name=name, source=source, rows=rows, pairs=pairs)
    contests = list(_contests(phase))
    told = [contest.at_most for contest in contests]
    best = _best(rows)
    if best is None:
        ranking: tuple[str, ...] = (_why_nothing(rows),)
        failed = _not_ranked(rows)
    else:
        others = phase.beside(best["backend"], best["n_images"])
        told += others
        ranking = (*_fastest(phase, best, others), *_with_more(rows, best["n_images"]))
        at_most = rows["n_images"] == best["n_images"]
        failed = _not_ranked(rows[at_most | (rows["status"] == "wrong-result")])
    notes = [
        *([RANGES] if any(pair.known for pair in told) else []),
        *([MORE_BLOCKS] if any(pair.verdict == "undecided" for pair in told) else []),
    ]
    return Answer(
        on_dask=_on_dask(phase, contests),
        ranking=ranking,
        notes=(*([" ".join(notes)] if notes else []), *failed),
    )


def _why_nothing(rows: pd.DataFrame) -> str:
    """Why no ratio to the baseline has an interval, though some backend has times."""
    ok = rows[rows["status"] == "ok"]
    names = {*ok["backend"]}
    if len(names) == 1:
        return ONE_TIMED.format(backend=names.pop())
    others = ok[ok["backend"] != str(BASELINE)]
    return NO_BASELINE if others["ratio_median"].isna().all() else TOO_FEW_BLOCKS


def _not_ranked(rows: pd.DataFrame) -> tuple[str, ...]:
    """A sentence on the backends that are not compared, and why; none where all are."""
    failed = _failed(rows)
    return (f"Not ranked: {', '.join(failed)}.",) if failed else ()


def _failed(rows: pd.DataFrame) -> list[str]:
    """The backends that were not timed to the end, and how they ended."""
    failed = rows[rows["status"] != "ok"].drop_duplicates(["backend", "status"])
    return [f"{row['backend']} ({row['status']})" for _, row in failed.iterrows()]


# Whether Dask pays.


def _on_dask(phase: Phase, contests: Sequence[Contest]) -> tuple[str, ...]:
    """Whether a backend with Dask is faster than all without that do the same work."""
    if not any(uses_dask(backend) for backend in phase.rows["backend"]):
        return (DASK_NOT_MEASURED,)
    if phase.name == "open":
        return (OPENING,)
    if not contests:
        return (DASK_WITHOUT_RIVAL,)
    return tuple(" ".join(_whether_dask_pays(phase, contest)) for contest in contests)


def _contests(phase: Phase) -> Iterator[Contest]:
    """One for each kind of work of which something was compared, that of the baseline first."""
    right = phase.rows[phase.rows["status"] != "wrong-result"]["backend"].unique()
    usual = described(phase.source, str(BASELINE)).work
    # Of those that read, all give the same pixels.
    work = {
        str(backend): usual if phase.name == "read" else described(phase.source, backend).work
        for backend in right
    }
    for kind in dict.fromkeys([usual, *work.values()]) if phase.name != "open" else ():
        own = [backend for backend in work if work[backend] == kind]
        with_dask = [backend for backend in own if uses_dask(backend)]
        without = [backend for backend in own if not uses_dask(backend)]
        best = {size: _best_with_dask(phase, with_dask, without, size) for size in phase.sizes}
        known = {size: pair for size, pair in best.items() if pair}
        if known:
            dask = "Dask" if kind == usual else f"Dask over {kind}"
            yield Contest(dask=dask, with_dask=with_dask, without=without, best=known)


def _best_with_dask(
    phase: Phase, with_dask: Sequence[str], without: Sequence[str], size: int
) -> Pair | None:
    """The best backend with Dask at a size; None where none has an interval beside one without."""
    rivals = [
        [pair for one in without if (pair := phase.pairs.get((backend, one, size)))]
        for backend in with_dask
    ]
    if not any(pair.known for own in rivals for pair in own):
        return None
    hardest = [
        min(own, key=lambda one: (FROM_WORST.index(one.verdict), not one.known, -one.ratio.median))
        for own in rivals
        if own
    ]
    at = phase.rows[phase.rows["n_images"] == size].set_index("backend")["seconds_median"]
    return min(
        hardest, key=lambda one: (FROM_BEST.index(one.verdict), not one.known, at[one.backend])
    )


def _whether_dask_pays(phase: Phase, contest: Contest) -> Iterator[str]:
    """The answer for one kind of work: with the most images, and with fewer."""
    best, most = contest.at_most, max(contest.best)
    own, other = phase.called(best.backend), phase.called(best.other)
    yield DASK_AT_MOST[best.verdict].format(
        dask=contest.dask,
        where=f"{FOR_PHASE.get(phase.name, '')}with {images(most)}",
        pair=f"{own} {_takes(best, other)}"
        if best.known
        else f"{own} and {other} have too few blocks in common",
    )
    since = _since(phase, contest) if best.verdict == "faster" else ""
    yield from [since] if since else _with_fewer(contest)
    if most < max(phase.sizes):
        yield "With more images no backend with Dask was compared with one without."
    missing = [one for one in contest.without if (best.backend, one, most) not in phase.pairs]
    if missing:
        yield f"Not timed to the end with {images(most)}: {_listed(missing)}."
    if best.verdict == "faster":
        yield from _what_else_is_fast(phase, contest)


def _with_fewer(contest: Contest) -> Iterator[str]:
    """Whether Dask pays at each of the other numbers of images: first where the same holds."""
    most, verdict = max(contest.best), contest.at_most.verdict
    sizes: dict[str, list[int]] = {verdict: []}
    for size, pair in contest.best.items():
        if size != most:
            sizes.setdefault(pair.verdict, []).append(size)
    for said, found in sizes.items():
        if found:
            template = DASK_LIKEWISE if said == verdict else DASK_ELSEWHERE[said]
            yield template.format(sizes=sizes_in_words(found))


def _since(phase: Phase, contest: Contest) -> str:
    """From how many images on Dask pays, where it does with the most; empty where no line says so."""
    backend = contest.at_most.backend
    times = costs.times_by_size(phase.source, phase.rows, phase.name)
    ends = []
    for rival in contest.without:
        found = {size: phase.pairs.get((backend, rival, size)) for size in phase.sizes}
        said = {size: pair.verdict for size, pair in found.items() if pair}
        if {*said.values()} <= {"faster"}:
            continue
        against = costs.against(times.get(backend, {}), times.get(rival, {}), said)
        if against is None or against.crossing is None or not against.faster_beyond:
            return ""
        at = against.crossing
        # All three are numbers where a crossing is named.
        ends.append((at.images or 0.0, at.low or 0.0, at.high or 0.0))
    if not ends:
        return ""
    since, low, high = (max(end) for end in zip(*ends, strict=True))  # the last of them counts
    contradicted = any(
        (size > high and pair.verdict != "faster") or (size < low and pair.verdict == "faster")
        for size, pair in contest.best.items()
    )
    if contradicted:
        return ""
    return DASK_SINCE.format(
        images=images(math.ceil(since)), low=math.ceil(low), high=math.ceil(high)
    )


def _what_else_is_fast(phase: Phase, contest: Contest) -> Iterator[str]:
    """Where Dask pays: what is faster still without it, and what it had no rival in."""
    best, most = contest.at_most, max(contest.best)
    faster = [pair for pair in phase.beside(best.backend, most) if pair.verdict == "faster"]
    for pair in [one for one in faster if not uses_dask(one.backend)][:1]:
        yield f"Without Dask {phase.called(pair.backend)} is faster still: it {_takes(pair)}."
    rivals = {one for backend, one, _ in phase.pairs if backend == best.backend}
    workers = {scheduler_of(one) for one in rivals.intersection(contest.without)}
    if scheduler_of(best.backend) not in ON_ONE_CPU and workers <= {*ON_ONE_CPU}:
        yield "No backend without Dask had more than one worker."


# The fastest.


def _best(rows: pd.DataFrame) -> pd.Series[Any] | None:
    """The row of the fastest at the largest size at which a ratio to the baseline has an interval.

    That of the baseline where none was shown to be faster; None where no ratio has an interval.
    """
    ok = rows[rows["status"] == "ok"].sort_values("ratio_median")
    known = ok[ok["ratio_low"].notna() & (ok["backend"] != str(BASELINE))]
    if known.empty:
        return None
    shown = ok[ok["n_images"] == known["n_images"].max()]
    ahead = shown[shown["verdict"] == "faster"]
    best: pd.Series[Any] = (ahead if len(ahead) else shown[shown["backend"] == str(BASELINE)]).iloc[
        0
    ]
    return best


def _fastest(phase: Phase, best: pd.Series[Any], others: Sequence[Pair]) -> Iterator[str]:
    """Which backend is the fastest, what may be as fast, and what the others cost beside it."""
    backend, n_images = best["backend"], best["n_images"]
    if all(pair.verdict == "slower" for pair in others):
        template = FASTEST
    else:
        template = NONE_FASTER if backend == str(BASELINE) else AMONG_FASTEST
    yield template.format(
        asked=_asked(phase, n_images),
        backend=phase.called(backend),
        time=format_seconds(best["seconds_median"]),
    )
    if gain := phase.pairs.get((backend, str(BASELINE), n_images)):
        yield f"It {_takes(gain, phase.called(gain.other))}."
    for verdict, words in BESIDE_IT.items():
        told = [
            f"{pair.backend} {_takes(pair)}" if pair.known else f"{pair.backend} (too few blocks)"
            for pair in others
            # What it gains on the baseline has been said.
            if pair.verdict == verdict and pair.backend != str(BASELINE)
        ]
        if told:
            yield f"{words}: {_listed(told)}."


def _with_more(rows: pd.DataFrame, n_images: int) -> Iterator[str]:
    """What was timed to the end, and what was not, with more images than the ranking is about."""
    found: dict[str, list[int]] = {}
    right = rows[rows["status"] != "wrong-result"]  # these are named as such
    for size in sorted({int(size) for size in right["n_images"] if size > n_images}):
        at = right[right["n_images"] == size]
        ended = list(at[at["status"] == "ok"]["backend"])
        words = f"timed to the end: {_listed(ended) or 'none'}"
        if failed := _failed(at):
            words += f"; not so: {_listed(failed)}"
        found.setdefault(words, []).append(size)
    for words, sizes in found.items():
        yield f"With {sizes_in_words(sizes)} nothing is ranked; {words}."


def _asked(phase: Phase, n_images: int) -> str:
    """The question, with what is known of images and machine."""
    words = f"For {images(n_images)}"
    shape = phase.source.dataset.get("shape")
    if isinstance(shape, list | tuple) and len(shape) >= 2:
        words += f" of {shape[0]} × {shape[1]} pixels"
    words += f" {QUESTIONS[phase.name]}"
    cpu, count = (phase.source.machine.get(name) for name in ("cpu", "cpus_available"))
    here = [
        *([f"{count} CPUs"] if isinstance(count, int) else []),
        *([cpu] if isinstance(cpu, str) and cpu else []),
    ]
    return f"{words} on this machine ({', '.join(here)})" if here else words


def _takes(pair: Pair, other: str = "") -> str:
    """What a backend takes beside another, with the interval: of a pair that has one."""
    ratio = pair.ratio
    # Where hardly any time is left, a share of it misleads.
    if pair.verdict == "faster" and ratio.low >= 0.01:
        decimals = 0 if ratio.low >= 0.1 else 1
        least, middle, most = (
            f"{100 * (1 - one):.{decimals}f}" for one in (ratio.high, ratio.median, ratio.low)
        )
        words, link = f"takes {middle}% less time ({least} to {most}%)", "than"
    else:
        interval = format_interval(ratio.low, ratio.high, to=" to ")
        words, link = f"takes {format_factor(ratio.median)} times as long ({interval})", "as"
    return f"{words} {link} {other}" if other else words


def _listed(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = [f"and {len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else []
    return ", ".join([*names[:MOST_NAMED], *more])
