"""The answer of a source to "should I use Dask, and how?", in sentences made from its data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segbench.backends.registry import BASELINE
from segbench.report import reading
from segbench.report.cells import (
    collected,
    format_factor,
    format_interval,
    format_seconds,
    images,
    sizes_in_words,
)
from segbench.report.summary import cases_in, uses_dask
from segbench.stats import MARGIN, MIN_ROUNDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd

    from segbench.report.pairs import Pair, Pairs
    from segbench.report.summary import Case
    from segbench.results.sources import Source

# The first of these that was measured is what is asked about.
QUESTIONS = {
    "pipeline": "from files to a table of cells",
    "process": "from pixels in memory to a table of cells",
    "read": "from files to pixels in memory",
    "open": "from files to a handle on them",
}

# Whether Dask pays, by what the best backend with it shows beside those without: with the most
# images, and with fewer.
WITH_MOST = {
    "faster": "{dask} pays {where}: {pair}.",
    "probably faster": "{dask} probably pays {where}: {pair}.",
    "no difference": "{dask} makes no difference {where}: {pair}.",
    "undecided": "Whether {dask} pays {where} is not decided: {pair}.",
    "probably slower": "{dask} probably does not pay {where}: {pair}.",
    "slower": "{dask} does not pay {where}: {pair}.",
}
WITH_FEWER = {
    "faster": "With {sizes} it pays.",
    "probably faster": "With {sizes} it probably pays.",
    "no difference": "With {sizes} it makes no difference.",
    "undecided": "With {sizes} whether it pays is not decided.",
    "probably slower": "With {sizes} it probably does not pay.",
    "slower": "With {sizes} it does not pay.",
}
LIKEWISE = "The same holds with {sizes}."
FOR_PHASE = {"read": "for reading ", "process": "for processing "}

DASK_NOT_KNOWN = (
    "Whether Dask pays is not known: no backend with it was compared with one that does the same "
    "work without (opening files alone is none)."
)

FASTEST = "{asked}, the fastest is {backend}: {time}."
PROBABLY_FASTEST = "{asked}, the fastest is probably {backend}: {time}."
AMONG_FASTEST = "{asked}, among the fastest is {backend}: {time}."
NONE_FASTER = "{asked}, none was shown for certain to be faster than {backend}: {time}."

# What the others take beside it.
BESIDE_IT = {
    "faster": "Faster",
    "probably faster": "Probably faster",
    "no difference": f"As fast, to within {MARGIN:.0%}",
    "undecided": "Not decided whether faster or slower",
    "probably slower": "Probably slower",
    "slower": "Slower",
}

UNPAIRED = (
    "Which backend is the fastest, and whether Dask pays, can't be said from this source: its samples "
    "({kind}) were taken one case after the other, so that no ratio has an interval. `segbench run` "
    "takes them side by side."
)
NOTHING_RANKED = (
    f"Nothing is ranked: that takes {BASELINE}, which all are compared with, and another backend, "
    f"timed to the end side by side in {MIN_ROUNDS} rounds of new processes or more."
)
OLD_RUN = (
    "A run of an earlier version of segbench, or one that was interrupted, has too few rounds of new "
    "processes for intervals: measure again."
)
RANGES = "The ranges in brackets are 95% intervals."
PROBABLY = (
    "Probably: the whole interval lies on that side, but among so many comparisons chance is not "
    f"excluded, or the difference may be of less than {MARGIN:.0%}."
)
MORE_ROUNDS = (
    "More rounds may decide: a run without --quick, with more --rounds or a longer --case-seconds."
)

# A sentence that lists more is not read.
MOST_NAMED = 6

# A backend with Dask is as good as its worst verdict on those without, and Dask as its best backend.
# One that is undecided may yet turn out to be faster: it comes before one that makes no difference.
FROM_WORST = (
    "slower",
    "probably slower",
    "undecided",
    "no difference",
    "probably faster",
    "faster",
)
FROM_BEST = ("faster", "probably faster", "undecided", "no difference", "probably slower", "slower")


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


def answer(source: Source, summary: pd.DataFrame, pairs: Pairs) -> Answer:
    """Whether Dask pays, which backend is the fastest, and what the others cost.

    `pairs` are all of the source. The answer is about the largest number of images for which ratios to the baseline have intervals, and
    about the pipeline where that was measured; whether Dask pays is about the largest for which a
    backend with it was compared with one without. A backend is called the fastest only where it is
    so for certain; one whose result was wrong, or that failed, is named as such and never compared.
    """
    timed = {case.phase for case in cases_in(summary) if case.ok}
    phase = next((one for one in QUESTIONS if one in timed), "")
    cases = cases_in(summary, phase) if phase else cases_in(summary)
    failed = tuple(_failed(cases))
    if phase and not source.paired:
        return Answer(ranking=(UNPAIRED.format(kind=source.kind),), notes=failed)
    reads = reading.sentence(summary, pairs) if phase != "read" else ()
    own = {key: pair for key, pair in pairs.items() if key[0] == phase}
    if not any(pair.known for pair in own.values()):
        old = (OLD_RUN,) if own else ()
        return Answer(ranking=(NOTHING_RANKED,), notes=(*old, *failed))
    ok = [case for case in cases if case.ok]
    names = {case.backend: _called(source, case) for case in ok}
    contests = _contests(source, ok, own)
    best = _best(ok, own)
    others = _beside(best, own) if best else []
    told = [*others, *(found[max(found)] for found in contests.values())]
    said = {
        pair.verdict for pair in (*told, *(one for by in contests.values() for one in by.values()))
    }
    probably = any(one.startswith("probably") for one in said)
    notes = [RANGES, *[PROBABLY] * probably, *[MORE_ROUNDS] * (probably or "undecided" in said)]
    return Answer(
        on_dask=tuple(
            _whether_it_pays(dask, FOR_PHASE.get(phase, ""), found, names)
            for dask, found in contests.items()
        )
        or (DASK_NOT_KNOWN,),
        ranking=(
            *(_ranking(source, ok, best, others, names) if best else (NOTHING_RANKED,)),
            *reads,
        ),
        notes=(" ".join(notes), *failed),
    )


def _failed(cases: Iterable[Case]) -> Iterator[str]:
    """What is not ranked since it was not timed to the end, with the sizes where some were."""
    ended = collected((case.backend, (case.status, case.n_images)) for case in cases)
    named = []
    for backend, statuses in ended.items():
        for status, sizes in collected(statuses).items():
            where = "" if len(sizes) == len(statuses) else f" with {sizes_in_words(sizes)}"
            if status != "ok":
                named.append(f"{backend} ({status}{where})")
    if named:
        yield f"Not ranked: {', '.join(named)}."


def _called(source: Source, case: Case) -> str:
    """A backend in words, with its name; where files are read alone, its name says it best."""
    words = source.backends[case.backend].words
    alone = words == case.backend or case.phase in ("open", "read")
    return case.backend if alone else f"{words} ({case.backend})"


# Whether Dask pays.


def _contests(source: Source, ok: Sequence[Case], pairs: Pairs) -> dict[str, dict[int, Pair]]:
    """For each kind of work the best backend with Dask at each size, beside one without.

    The kind is told by what a sentence is about, Dask or Dask over another library; that of the
    baseline comes first. Only those and only sizes where some ratio of the two sides has an
    interval.
    """
    usual = source.backends[str(BASELINE)].work
    # Of those that read, all give the same pixels; opening is no work.
    kinds = collected(
        (usual if case.phase == "read" else source.backends[case.backend].work, case)
        for case in ok
        if case.phase != "open"
    )
    found: dict[str, dict[int, Pair]] = {}
    for kind in dict.fromkeys([usual, *kinds]):
        by_size = collected((case.n_images, case) for case in kinds.get(kind, ()))
        best = {size: _best_with_dask(own, pairs) for size, own in by_size.items()}
        known = {size: pair for size, pair in best.items() if pair}
        if known:
            found["Dask" if kind == usual else f"Dask over {kind}"] = known
    return found


def _best_with_dask(cases: Sequence[Case], pairs: Pairs) -> Pair | None:
    """The best with Dask of some cases of one size, beside the one that it does worst against.

    None where none has an interval beside one without.
    """
    ordered = sorted(cases, key=lambda case: case.seconds_median)
    size = ordered[0].n_images
    with_dask, without = (
        [case.backend for case in ordered if uses_dask(case.backend) == dask]
        for dask in (True, False)
    )
    phase = ordered[0].phase
    rivals = [[pairs[phase, size, own, other] for other in without] for own in with_dask]
    if not any(pair.known for own in rivals for pair in own):
        return None
    hardest = (
        min(
            own, key=lambda one: (FROM_WORST.index(one.verdict), not one.known, -one.ratio.estimate)
        )
        for own in rivals
    )
    return min(hardest, key=lambda one: (FROM_BEST.index(one.verdict), not one.known))


def _whether_it_pays(
    dask: str, purpose: str, found: Mapping[int, Pair], names: Mapping[str, str]
) -> str:
    """The answer for one kind of work: with the most images, then where the same holds, and others."""
    most = max(found)
    best = found[most]
    first = WITH_MOST[best.verdict].format(
        dask=dask,
        where=f"{purpose}with {images(most)}",
        pair=f"{names[best.backend]} {_takes(best, names[best.other])}",
    )
    fewer = collected((pair.verdict, size) for size, pair in found.items() if size != most)
    likewise = fewer.pop(best.verdict, [])
    templates = [(LIKEWISE, likewise)] if likewise else []
    templates += [(WITH_FEWER[verdict], sizes) for verdict, sizes in fewer.items()]
    told = (template.format(sizes=sizes_in_words(sizes)) for template, sizes in templates)
    return " ".join([first, *told])


# The fastest.


def _best(ok: Iterable[Case], pairs: Pairs) -> Case | None:
    """The fastest at the largest size at which a ratio to the baseline has an interval.

    That is the baseline where none was shown for certain to be faster, or what was shown to be
    faster than it, and than which none was shown to be; None where no ratio has an interval.
    """
    baseline = str(BASELINE)
    ranked = [size for (_, size, _, other), one in pairs.items() if other == baseline and one.known]
    if not ranked:
        return None
    shown = {case.backend: case for case in ok if case.n_images == max(ranked)}
    # In the order of the run, whose first counts where two are alike.
    best, left = baseline, list(shown)
    while True:
        left.remove(best)
        beside = (pairs[shown[best].phase, max(ranked), one, best] for one in left)
        ahead = [pair for pair in beside if pair.verdict == "faster"]
        if not ahead:
            return shown[best]
        best = min(ahead, key=lambda pair: pair.ratio.estimate).backend


def _beside(best: Case, pairs: Pairs) -> list[Pair]:
    """All others beside a backend, the fastest first; those that share no block with it last."""
    found = [
        pair
        for (_, size, _, other), pair in pairs.items()
        if (other, size) == (best.backend, best.n_images)
    ]
    return sorted(found, key=lambda one: (math.isnan(one.ratio.estimate), one.ratio.estimate))


def _ranking(
    source: Source,
    ok: Iterable[Case],
    best: Case,
    others: Sequence[Pair],
    names: Mapping[str, str],
) -> Iterator[str]:
    """Which backend is the fastest, what may be as fast, and what the others cost beside it."""
    if all(pair.verdict == "slower" for pair in others):
        template = FASTEST
    elif all(pair.verdict.endswith("slower") for pair in others):
        template = PROBABLY_FASTEST
    else:
        template = NONE_FASTER if best.backend == str(BASELINE) else AMONG_FASTEST
    yield template.format(
        asked=_asked(source, best),
        backend=names[best.backend],
        time=format_seconds(best.seconds_median),
    )
    # Beside the baseline the other way round: what is gained on it, by itself.
    for pair in (one for one in others if one.backend == str(BASELINE)):
        yield f"It {_takes(pair.turned(), names[pair.backend])}."
    beside = collected(
        (pair.verdict, f"{pair.backend} {_takes(pair)}")
        for pair in others
        if pair.backend != str(BASELINE)
    )
    for verdict, words in BESIDE_IT.items():
        if told := beside.get(verdict):
            more = [f"and {len(told) - MOST_NAMED} more"] if len(told) > MOST_NAMED else []
            yield f"{words}: {', '.join([*told[:MOST_NAMED], *more])}."
    larger = sorted({case.n_images for case in ok if case.n_images > best.n_images})
    if larger:
        yield f"With {sizes_in_words(larger)} nothing is ranked."


def _asked(source: Source, best: Case) -> str:
    """The question, with what is known of images and machine."""
    words = f"For {images(best.n_images)}"
    shape = source.dataset.get("shape")
    if isinstance(shape, list | tuple) and len(shape) >= 2:
        words += f" of {shape[0]} × {shape[1]} pixels"
    cpu, count = (source.machine.get(name) for name in ("cpu", "cpus_available"))
    known = f"{count} CPUs" if isinstance(count, int) else "", cpu if isinstance(cpu, str) else ""
    words += f" {QUESTIONS[best.phase]}"
    here = ", ".join(filter(None, known))
    return f"{words} on this machine ({here})" if here else words


def _takes(pair: Pair, other: str = "") -> str:
    """What a backend takes beside another, with the interval."""
    ratio = pair.ratio
    if not pair.known:
        words, link = "has too few rounds in common", "with"
    # Where little time is left, a share of it misleads.
    elif pair.verdict.endswith("faster") and ratio.low >= 0.1:
        least, middle, most = (
            f"{100 * (1 - one):.0f}" for one in (ratio.high, ratio.estimate, ratio.low)
        )
        words, link = f"takes {middle}% less time ({least} to {most}%)", "than"
    else:
        interval = format_interval(ratio.low, ratio.high, to=" to ")
        words, link = f"takes {format_factor(ratio.estimate)} times as long ({interval})", "as"
    return f"{words} {link} {other}" if other else words
