"""Runs side by side: the facts that differ between them, beside the times and ratios that changed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from segbench.backends.registry import BASELINE
from segbench.measure.settings import PHASES
from segbench.report.answer import described
from segbench.report.cells import (
    Cell,
    Row,
    Table,
    finding_cell,
    format_value,
    images,
    seconds_cell,
    words,
)
from segbench.report.summary import case_id, ratio_of
from segbench.report.tables import ratio_cell
from segbench.stats import MARGIN, RUNS_MARGIN, Ratio, paired_ratio, ratio_of_ratios, verdicts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from segbench.results.sources import Source

    Run: TypeAlias = tuple[Source, pd.DataFrame]
    # A row of a summary.
    Case: TypeAlias = pd.Series[Any]

# What a machine is like for a moment, and what is told among the versions.
PASSING = ("load_at_start", "load_average", "memory_available_gib", "python")

# Settings that a time depends on; the others say what is measured, and for how long.
SETTINGS = ("params", "workers", "native_threads", "cache")

NOT_KNOWN = "not known"

SAME_FACTS = "Machine, versions, settings and images are the same in {first} and {second}."
OTHER_FACTS = "Recorded facts that differ between {first} and {second}: {count}."
NOTHING_SHARED = "No case was timed in both."
NO_VERDICTS = (
    "Whether anything changed is not known: the samples of {first} or of {second} were not taken side "
    "by side."
)
COUNTED = (
    "Of {count} {what}, {changed} changed, {same} stayed the same (to within "
    f"{RUNS_MARGIN:.0%}) and {{undecided}} are undecided."
)


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """A source beside the first.

    Attributes
    ----------
    title : str
        Heading.
    prefix : str
        Of the names of its files.
    sentences : tuple of str
        How many facts differ, and how many times and ratios changed.
    tables : tuple of Table
        The facts that differ, then one table a phase. The ids that its cells name have the prefixes
        of the sections.
    """

    title: str
    prefix: str
    sentences: tuple[str, ...]
    tables: tuple[Table, ...]


@dataclass(frozen=True, kw_only=True)
class Change:
    """A case that was timed in one of two sources at least, and is in the other.

    Attributes
    ----------
    rows : tuple of (Series, Series)
        Its rows in the two summaries.
    seconds, ratio : Ratio, optional
        Time and ratio to the baseline in the second, as multiples of those in the first; None where
        either has none, and for the ratio of the baseline.
    moved, verdict : str
        What the two show, of `segbench.stats.VERDICTS`; empty where they are None, and where the
        samples of either source are not paired.
    """

    rows: tuple[Case, Case]
    seconds: Ratio | None
    ratio: Ratio | None
    moved: str = ""
    verdict: str = ""


def compare(sources: Sequence[Source], summaries: Sequence[pd.DataFrame]) -> tuple[SideBySide, ...]:
    """Each source beside the first.

    A difference in time that all backends share, the baseline among them, leaves their ratios to
    the baseline as they are: both are shown, and the facts that differ beside them. What has made a
    ratio another one is not said: it may be any of these facts, or one that nobody recorded.

    Parameters
    ----------
    sources : sequence of Source
        In their order on the page.
    summaries : sequence of DataFrame
        As :func:`segbench.report.summary.summarize` makes them.

    Returns
    -------
    tuple of SideBySide
        One fewer than sources.
    """
    runs = list(zip(sources, summaries, strict=True))
    return tuple(_beside(runs[0], run, number) for number, run in enumerate(runs[1:], start=2))


def _beside(first: Run, second: Run, number: int) -> SideBySide:
    names = ("1", str(number))
    facts = tuple(_facts_that_differ(first[0], second[0]))
    changes = changes_of(first, second)
    one, two = (f"{source.name} ({source.started})" for source, _ in (first, second))
    facts_table = Table(
        name="environments",
        title="What differs between the two",
        columns=("Part", "What", *names),
        rows=facts,
        note="Facts that both tell, and tell differently. Those that change by the minute, such as "
        "the load, and settings that say what is measured and for how long are left out.",
        layout="words",
    )
    return SideBySide(
        title=f"{number} beside 1: {two} beside {one}",
        prefix=f"{number}-beside-1-",
        sentences=tuple(_counted(len(facts), changes, names)),
        tables=(
            *([facts_table] if facts else []),
            *_phase_tables(changes, names, (first[0], second[0])),
        ),
    )


def _counted(facts: int, changes: Sequence[Change], names: tuple[str, str]) -> Iterator[str]:
    """How many facts differ, and how many times and ratios changed."""
    first, second = names
    template = OTHER_FACTS if facts else SAME_FACTS
    yield template.format(first=first, second=second, count=facts)
    if not any(change.seconds for change in changes):
        yield NOTHING_SHARED
    elif not any(change.moved for change in changes):
        yield NO_VERDICTS.format(first=first, second=second)
    times = [change.moved for change in changes if change.moved]
    ratios = [change.verdict for change in changes if change.verdict]
    for what, said in (("times", times), (f"ratios to {BASELINE}", ratios)):
        if said:
            same, undecided = said.count("no difference"), said.count("undecided")
            yield COUNTED.format(
                count=len(said),
                what=what,
                changed=len(said) - same - undecided,
                same=same,
                undecided=undecided,
            )


def _facts_that_differ(first: Source, second: Source) -> Iterator[Row]:
    """Facts that both sources tell, and tell differently; and of what both tell none at all."""
    parts, others = _facts(first), _facts(second)
    key = first.dataset.get("key")
    if key is not None and key == second.dataset.get("key"):
        del parts["objects"]  # they are known to be of the same images
    for part, facts in parts.items():
        shared = [name for name in facts if name in others[part]]
        if not shared:
            yield Row(words(part, "all", NOT_KNOWN, NOT_KNOWN))
        for name in shared:
            values = facts[name], others[part][name]
            if values[0] != values[1]:
                yield Row(words(part, name.replace("_", " "), *map(format_value, values)))


def _facts(source: Source) -> dict[str, dict[str, Any]]:
    """By part, what may make a time another one.

    The key of a user's own images holds where they lie: on another machine it is another one, and
    equal numbers of objects stand for it.
    """
    samples = source.samples
    own = samples[(samples["backend"] == str(BASELINE)) & samples["objects"].notna()]
    found = dict(zip(own["n_images"], own["objects"].astype(int), strict=True))
    return {
        "machine": {name: one for name, one in source.machine.items() if name not in PASSING},
        "versions": source.versions,
        "settings": {name: one for name, one in source.settings.items() if name in SETTINGS},
        "images": {
            name: source.dataset[name] for name in ("shape", "dtype") if name in source.dataset
        },
        "objects": {f"in {images(size)}": count for size, count in found.items()},
    }


def changes_of(first: Run, second: Run) -> list[Change]:
    """The cases of both runs, as the first has them, a backend's together."""
    key = ["phase", "backend", "n_images"]
    there = {tuple(row[key]): row for _, row in second[1].iterrows()}
    backends = list(first[1]["backend"].unique())
    pairs = [
        (row, there[case]) for _, row in first[1].iterrows() if (case := tuple(row[key])) in there
    ]
    pairs.sort(
        key=lambda rows: backends.index(rows[0]["backend"])
    )  # phases and sizes stay in order
    changes = [
        Change(rows=rows, seconds=_of_times(first[0], second[0], rows), ratio=_of_ratios(rows))
        for rows in pairs
        if any(row["status"] == "ok" for row in rows)
    ]
    if not (first[0].paired and second[0].paired):
        return changes
    # Those of the times and those of the ratios are a family each.
    moved = iter(verdicts([one.seconds for one in changes if one.seconds], margin=RUNS_MARGIN))
    said = iter(verdicts([one.ratio for one in changes if one.ratio], margin=RUNS_MARGIN))
    return [
        replace(
            change,
            moved=next(moved) if change.seconds else "",
            verdict=next(said) if change.ratio else "",
        )
        for change in changes
    ]


def _of_times(first: Source, second: Source, rows: tuple[Case, Case]) -> Ratio | None:
    """How many times as long a case took in the second source."""
    if any(row["status"] != "ok" for row in rows):
        return None
    own, later = (_level(source, row) for source, row in zip((first, second), rows, strict=True))
    return ratio_of_ratios(later, own)


def _level(source: Source, row: Case) -> Ratio:
    """Median time of a case as a ratio to one second, with its interval."""
    if not source.paired:
        return Ratio(row["seconds_median"], math.nan, math.nan, 1, math.nan)
    times = source.times[row["phase"], row["n_images"]][row["backend"]]
    return paired_ratio(times, np.ones(len(times)))


def _of_ratios(rows: tuple[Case, Case]) -> Ratio | None:
    """Ratio to the baseline in the second source, as a multiple of that in the first."""
    if rows[0]["backend"] == str(BASELINE) or any(math.isnan(row["ratio_median"]) for row in rows):
        return None
    return ratio_of_ratios(ratio_of(rows[1]), ratio_of(rows[0]))


def _phase_tables(
    changes: Sequence[Change], names: tuple[str, str], sources: tuple[Source, Source]
) -> Iterator[Table]:
    """For each phase its cases in both sources."""
    for phase, meaning in PHASES.items():
        own = [change for change in changes if change.rows[0]["phase"] == phase]
        if own:
            yield Table(
                name=f"{phase}-compared",
                title=f"{phase} in {names[0]} and in {names[1]}",
                columns=(
                    *("Backend", "Images"),
                    *(f"Time in {name}" for name in names),
                    f"Time, {names[1]} over {names[0]}",
                    *(f"Ratio in {name}" for name in names),
                    f"Ratio, {names[1]} over {names[0]}",
                    "Libraries that differ",
                ),
                rows=tuple(_row(change, names, sources) for change in own),
                note=f"{phase}: {meaning}. Times are those of two machines or moments. A ratio is that "
                f"to {BASELINE} in the same run: it stays the same where all times grow alike. In "
                "brackets 95% intervals; those of a change take both runs to be independent (Zou and "
                "Donner 2008). A change is shown where its interval lies beyond "
                f"{RUNS_MARGIN:.0%}, since either run may be off by {MARGIN:.0%}, and chance does not "
                f"explain it, corrected for the {len(changes)} cases of the two.",
                layout="ratios",
            )


def _row(change: Change, names: tuple[str, str], sources: tuple[Source, Source]) -> Row:
    row = change.rows[0]
    backend, n_images = str(row["backend"]), int(row["n_images"])
    case = case_id(row["phase"], n_images, backend)
    times, ratios = zip(
        *(_case_cells(one, f"{name}-{case}") for one, name in zip(change.rows, names, strict=True)),
        strict=True,
    )
    return Row(
        (
            Cell(backend),
            Cell(str(n_images), n_images),
            *times,
            finding_cell(change.seconds, change.moved),
            *ratios,
            finding_cell(change.ratio, change.verdict),
            Cell(", ".join(_other_libraries(backend, sources)) or "–"),
        ),
        backend=backend,
    )


def _case_cells(row: Case, case: str) -> tuple[Cell, Cell]:
    """Time and ratio of a case in one source, or its status in their place."""
    if row["status"] != "ok":
        failed = Cell("", verdict=row["status"], case=case)
        return failed, failed
    time = replace(seconds_cell(row["seconds_median"]), case=case)
    return time, replace(ratio_cell(row), case=case)


def _other_libraries(backend: str, sources: tuple[Source, Source]) -> list[str]:
    """The libraries of a backend whose versions both sources tell, and tell differently."""
    used = dict.fromkeys(
        name for source in sources for name in described(source, backend).libraries
    )
    one, two = (source.versions for source in sources)
    return [name for name in used if name in one and name in two and one[name] != two[name]]
