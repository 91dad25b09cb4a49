"""The answer of a source to "should I use Dask, and how?", in sentences made from its data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segbench.backends.registry import BASELINE
from segbench.report.cells import format_seconds, images, sizes_in_words
from segbench.report.pairs import (
    MOST_NAMED,
    OPEN,
    amount,
    called,
    in_words,
    listed,
    pairs_of,
    than,
)
from segbench.report.pays import whether_dask_pays
from segbench.stats import MARGIN, MIN_BLOCKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from segbench.report.pairs import Beside, Pairs
    from segbench.results.sources import Source

# The first of these that was measured is what is asked about.
QUESTIONS = {
    "pipeline": "from files to a table of cells",
    "process": "from pixels in memory to a table of cells",
    "read": "from files to pixels in memory",
    "open": "from files to a handle on them",
}

RANGES = "The ranges in brackets are intervals of about 95%."

# What is said of `OPEN`.
MORE_BLOCKS = (
    f"A difference is claimed where it is more than {MARGIN:.0%}, and more than chance gives among so "
    "many comparisons; an interval on one side of 1 is a hint, no more. More blocks may tell: a run "
    "without --quick, or with a longer --case-seconds."
)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a source shows, in sentences; one at least, also where nothing can be said, and why.

    Attributes
    ----------
    on_dask : tuple of str
        Whether Dask pays, and with which backend; one for each kind of work.
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


def answer(source: Source, summary: pd.DataFrame) -> Answer:
    """Whether Dask pays, which backend is the fastest, and what the others cost.

    It is about the largest number of images for which ratios to the baseline have intervals, and
    about the pipeline where that was measured; whether Dask pays is about the largest for which a
    backend with it was compared with one without. A backend is called the fastest only where it is
    so for certain; one whose result was wrong, or that failed, is named as such and never compared.
    """
    measured = summary[summary["status"] == "ok"]
    phase = next((one for one in QUESTIONS if one in set(measured["phase"])), None)
    if phase is None:
        why = "Nothing can be said: no backend was timed to the end."
        return Answer(ranking=(why,), notes=_left_out(summary))
    rows = summary[summary["phase"] == phase]
    if not source.paired:
        return Answer(ranking=tuple(_unpaired(source, phase, rows)), notes=_left_out(rows))
    pairs = pairs_of(source, summary, phase)
    if not pairs.known:
        return Answer(ranking=(_why_nothing(rows),), notes=_left_out(rows))
    on_dask = whether_dask_pays(source, summary, phase, pairs)
    compared = _compared(rows)
    if compared.empty:
        ranking: tuple[str, ...] = (_why_nothing(rows),)
        not_ranked = rows
    else:
        shown = compared[compared["n_images"] == compared["n_images"].max()]
        n_images = int(shown["n_images"].iloc[0])
        ranking = (
            *_fastest(source, phase, shown, pairs),
            *_shown_earlier(phase, compared, shown, pairs),
            *_beyond(rows, n_images),
        )
        not_ranked = rows[(rows["status"] == "wrong-result") | (rows["n_images"] == n_images)]
    notes = (*_note((*on_dask, *ranking)), *_left_out(not_ranked))
    return Answer(on_dask=on_dask, ranking=ranking, notes=notes)


def _compared(rows: pd.DataFrame) -> pd.DataFrame:
    """What was timed of the sizes at which some ratio to the baseline has an interval."""
    ok = rows[rows["status"] == "ok"]
    known = ok[ok["ratio_low"].notna() & (ok["backend"] != str(BASELINE))]
    compared: pd.DataFrame = ok[ok["n_images"].isin(known["n_images"])].sort_values("ratio_median")
    return compared


def _fastest(source: Source, phase: str, shown: pd.DataFrame, pairs: Pairs) -> Iterator[str]:
    """Which backend is the fastest, what may be as fast, and what the others cost beside it."""
    n_images = int(shown["n_images"].iloc[0])
    ahead = shown[shown["verdict"] == "faster"]
    best = str(ahead["backend"].iloc[0]) if len(ahead) else str(BASELINE)
    others = pairs.all_beside(best, n_images)
    alike = [pair for pair in others if pair.verdict == "no difference"]
    unknown = [pair for pair in others if pair.verdict == "undecided"]
    if not (alike or unknown):
        words = "the fastest is"
    elif len(ahead):
        words = "among the fastest is"
    else:
        words = "none was shown to be faster than"
    seconds = shown[shown["backend"] == best]["seconds_median"].iloc[0]
    sentence = (
        f"{_asked(source, phase, n_images)}, {words} {called(best, phase)}: "
        f"{format_seconds(seconds)}"
    )
    if gain := pairs.beside(best, str(BASELINE), n_images):
        sentence += f", {than(gain, phase)}"
    if alike:
        sentence += f"; no difference from it: {listed([_in_short(pair) for pair in alike])}"
    if unknown:
        sentence += (
            f"; {OPEN} whether faster or slower: {listed([_in_short(pair) for pair in unknown])}"
        )
    yield f"{sentence}."
    # What the best gains on the baseline has been said.
    slower = [pair for pair in others if pair.verdict == "slower" and pair.backend != str(BASELINE)]
    if slower:
        costs_more = [
            f"{called(pair.backend, phase)} takes {amount(pair)}" for pair in slower[:MOST_NAMED]
        ]
        if more := len(slower[MOST_NAMED:]):
            costs_more.append(f"and {more} more take longer than these")
        yield f"Beside it {', '.join(costs_more)}."


def _in_short(pair: Beside) -> str:
    """A backend in a list, with what it takes beside the one that the list is about."""
    return f"{pair.backend} {amount(pair) if pair.known else '(too few blocks)'}"


def _shown_earlier(
    phase: str, compared: pd.DataFrame, shown: pd.DataFrame, pairs: Pairs
) -> Iterator[str]:
    """Where nothing is faster than the baseline at the largest size, what is so at a smaller one."""
    faster = compared[compared["verdict"] == "faster"]
    if len(faster) and not (shown["verdict"] == "faster").any():
        n_images = int(faster["n_images"].max())
        best = str(faster[faster["n_images"] == n_images]["backend"].iloc[0])
        if pair := pairs.beside(best, str(BASELINE), n_images):
            yield f"With {images(n_images)}, {in_words(pair, phase)}."


def _beyond(rows: pd.DataFrame, n_images: int) -> Iterator[str]:
    """What was timed to the end, and what was not, of more images than the answer is about."""
    found: dict[tuple[tuple[str, ...], tuple[str, ...]], list[int]] = {}
    right = rows[rows["status"] != "wrong-result"]  # these are named as such
    for size in sorted({int(size) for size in right["n_images"] if size > n_images}):
        at = right[right["n_images"] == size]
        ok = at["status"] == "ok"
        case = tuple(at[ok]["backend"]), tuple(_with_status(at[~ok]))
        found.setdefault(case, []).append(size)
    for (ended, failed), sizes in found.items():
        where = f"With {sizes_in_words(sizes)}"
        if not ended:
            yield f"{where} none was timed to the end: {listed(failed)}."
            continue
        if str(BASELINE) in ended and len(ended) > 1:
            words = f"{where} nothing is ranked: too few blocks are shared with {BASELINE}"
        else:
            were = "was" if len(ended) == 1 else "were"
            words = f"{where} only {listed(ended)} {were} timed to the end"
        yield f"{words}; not so: {listed(failed)}." if failed else f"{words}."


def _note(told: Sequence[str]) -> Iterator[str]:
    """What holds for the figures of all sentences, said once."""
    text = " ".join(told)
    ranges = RANGES if re.search(r"\(\d[^()]* to \d", text) else ""
    if note := f"{ranges} {MORE_BLOCKS if OPEN in text else ''}".strip():
        yield note


def _unpaired(source: Source, phase: str, rows: pd.DataFrame) -> Iterator[str]:
    """What can be said where samples were not taken side by side."""
    ok = rows[rows["status"] == "ok"]
    at_most = ok[ok["n_images"] == ok["n_images"].max()].sort_values("seconds_median")
    yield (
        "Which backend is the fastest, and whether Dask pays, can't be said from this source: its "
        f"samples ({source.kind}) were taken one case after the other, so that no ratio has an "
        "interval. `segbench run` takes them side by side."
    )
    medians = [
        f"{format_seconds(row['seconds_median'])} ({row['backend']})"
        for _, row in at_most.iterrows()
    ]
    ends = medians[0] if len(medians) == 1 else f"from {medians[0]} to {medians[-1]}"
    question = _asked(source, phase, int(at_most["n_images"].iloc[0]))
    yield f"{question}, the medians are {ends}: no ranking."


def _why_nothing(rows: pd.DataFrame) -> str:
    """Why no ratio to the baseline has an interval, though some backend has times."""
    ok = rows[rows["status"] == "ok"]
    others = ok[ok["backend"] != str(BASELINE)]
    if len(names := {*ok["backend"]}) == 1:
        return f"Nothing can be said: only {names.pop()} was timed to the end."
    if others["ratio_median"].isna().all():
        return (
            f"Nothing is ranked: {BASELINE}, which all are compared with, was not timed to the end "
            "beside them."
        )
    return (
        f"Nothing is ranked yet: that takes {MIN_BLOCKS} blocks or more beside {BASELINE}, and there "
        "are fewer."
    )


def _left_out(rows: pd.DataFrame) -> tuple[str, ...]:
    """A sentence on the backends that are not compared, and why; none where all are."""
    failed = rows[rows["status"] != "ok"].drop_duplicates(["backend", "status"])
    return (f"Not ranked: {', '.join(_with_status(failed))}.",) if len(failed) else ()


def _with_status(failed: pd.DataFrame) -> list[str]:
    return [f"{row['backend']} ({row['status']})" for _, row in failed.iterrows()]


def _asked(source: Source, phase: str, n_images: int) -> str:
    """The question, with what is known of images and machine."""
    words = f"For {images(n_images)}"
    shape = source.dataset.get("shape")
    if isinstance(shape, list | tuple) and len(shape) >= 2:
        words += f" of {shape[0]} × {shape[1]} pixels"
    words += f" {QUESTIONS[phase]}"
    cpu, count = (source.machine.get(name) for name in ("cpu", "cpus_available"))
    here = [
        *([f"{count} CPUs"] if isinstance(count, int) else []),
        *([cpu] if isinstance(cpu, str) and cpu else []),
    ]
    return f"{words} on this machine ({', '.join(here)})" if here else words
