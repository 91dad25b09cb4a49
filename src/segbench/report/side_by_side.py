"""Runs side by side: the facts that differ between them, beside the times and ratios that changed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from segbench.backends.registry import BASELINE
from segbench.measure.settings import PHASES
from segbench.report.cells import (
    NOTHING,
    Cell,
    Table,
    collected,
    finding_cell,
    format_value,
    images,
    row,
)
from segbench.report.drawing import Chapter
from segbench.report.summary import cases_in, ratio_of
from segbench.report.tables import case_cell, ratio_cell, time_cell
from segbench.stats import MARGIN, UNKNOWN, of_rounds, ratio_of_ratios, round_logs, verdicts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from segbench.report.cells import Row
    from segbench.report.summary import Case
    from segbench.results.sources import Source
    from segbench.stats import Ratio

    Run: TypeAlias = tuple[Source, pd.DataFrame]
    # A case in the first and in the second; its time and its ratio to the baseline in the second as
    # multiples of those in the first, nothing where either has none.
    Change: TypeAlias = tuple[tuple[Case, Case], Cell, Cell]

# What a machine is like for a moment, and what is told among the versions.
PASSING = ("load_at_start", "load_average", "memory_available_gib", "python")

# Settings that a time depends on; the others say what is measured, and for how long.
SETTINGS = ("params", "workers", "native_threads", "cache")

IMAGES = ("shape", "dtype")

NOT_KNOWN = "not known"

SAME_FACTS = "Machine, versions, settings and images are the same in {first} and {second}."
OTHER_FACTS = "Recorded facts that differ between {first} and {second}: {count}."
NOTHING_SHARED = "No case was timed in both."
NO_VERDICTS = (
    "Whether anything changed is not known: the samples of {first} or of {second} were not taken side "
    "by side."
)
COUNTED = (
    "Of {count} {what}, {changed} changed, {probably} more probably did, {same} stayed the same (to "
    f"within {MARGIN:.0%}) and {{undecided}} are undecided."
)


def compare(sources: Sequence[Source], summaries: Sequence[pd.DataFrame]) -> tuple[Chapter, ...]:
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
    tuple of Chapter
        How many facts differ, and how many times and ratios changed, with the facts and a table a
        phase. One for each source that is not of the first one's run, beside the first of its shape.
    """
    runs = list(zip(sources, summaries, strict=True))
    found = []
    for number, run in enumerate(runs[1:], start=1):
        shape = _shape(run[0])
        alike = (other for other in range(number) if shape and _shape(runs[other][0]) == shape)
        first = next(alike, 0)
        if not of_one_run(runs[first][0], run[0]):
            found.append(_beside(runs[first], run, (first + 1, number + 1)))
    return tuple(found)


def _shape(source: Source) -> object:
    return source.dataset.get("shape")


def of_one_run(one: Source, other: Source) -> bool:
    """Whether two sources are the shapes of a run that has several."""
    return bool(one.shape) and (one.name, one.started) == (other.name, other.started)


def _beside(first: Run, second: Run, numbers: tuple[int, int]) -> Chapter:
    names, sources = (str(numbers[0]), str(numbers[1])), (first[0], second[0])
    facts = tuple(_facts_that_differ(*sources))
    changes = _changes(first, second)
    one, two = (f"{source.name} ({source.started})" for source in sources)
    facts_table = Table(
        name="environments",
        title="What differs between the two",
        columns=("Part", "What", *names),
        rows=facts,
        note="Facts that both tell, and tell differently. Those that change by the minute, such as "
        "the load, and settings that say what is measured and for how long are left out.",
        layout="words",
    )
    by_phase = collected((change[0][0].phase, change) for change in changes)
    phases = (
        _phase_table(phase, by_phase[phase], names, sources, of=len(changes))
        for phase in PHASES
        if phase in by_phase
    )
    return Chapter(
        title=f"{numbers[1]} beside {numbers[0]}: {two} beside {one}",
        prefix=f"{numbers[1]}-beside-{numbers[0]}-",
        sentences=tuple(_counted(len(facts), changes, names)),
        tables=(*([facts_table] if facts else []), *phases),
    )


def _counted(facts: int, changes: Sequence[Change], names: tuple[str, str]) -> Iterator[str]:
    """How many facts differ, and how many times and ratios changed."""
    first, second = names
    template = OTHER_FACTS if facts else SAME_FACTS
    yield template.format(first=first, second=second, count=facts)
    times, ratios = [time for _, time, _ in changes], [ratio for *_, ratio in changes]
    if all(cell.value is None for cell in times):
        yield NOTHING_SHARED
    elif not any(cell.verdict for cell in times):
        yield NO_VERDICTS.format(first=first, second=second)
    for what, cells in (("times", times), (f"ratios to {BASELINE}", ratios)):
        said = Counter(cell.verdict for cell in cells if cell.verdict)
        if count := said.total():
            yield COUNTED.format(
                what=what,
                count=count,
                changed=said["faster"] + said["slower"],
                probably=said["probably faster"] + said["probably slower"],
                same=said["no difference"],
                undecided=said["undecided"],
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
            yield row(part, "all", NOT_KNOWN, NOT_KNOWN)
        for name in shared:
            values = facts[name], others[part][name]
            if values[0] != values[1]:
                yield row(part, name.replace("_", " "), *map(format_value, values))


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
        "images": {name: one for name, one in source.dataset.items() if name in IMAGES},
        "objects": {f"in {images(size)}": count for size, count in found.items()},
    }


def _changes(first: Run, second: Run) -> list[Change]:
    """The cases of both runs, as the first has them, a backend's together."""
    there = {case.id: case for case in cases_in(second[1])}
    by_backend = collected((case.backend, case) for case in cases_in(first[1]))
    own = [case for cases in by_backend.values() for case in cases if case.id in there]
    shown = [(one, there[one.id]) for one in own if one.ok or there[one.id].ok]
    times, ratios = [], []
    for one, later in shown:
        times.append(ratio_of_ratios(_level(second[0], later), _level(first[0], one)))
        baseline = one.backend == str(BASELINE)
        ratios.append(UNKNOWN if baseline else ratio_of_ratios(ratio_of(later), ratio_of(one)))
    # Those of the times and those of the ratios are a family each.
    paired = first[0].paired and second[0].paired
    cells = _findings(times, paired=paired), _findings(ratios, paired=paired)
    return list(zip(shown, *cells, strict=True))


def _findings(ratios: Sequence[Ratio], *, paired: bool) -> list[Cell]:
    """Ratios with their verdicts, where their samples are paired."""
    said = verdicts(ratios) if paired else [""] * len(ratios)
    return [finding_cell(ratio, verdict) for ratio, verdict in zip(ratios, said, strict=True)]


def _level(source: Source, case: Case) -> Ratio:
    """Time of a case as a ratio to one second, with its interval."""
    if not (case.ok and source.paired):
        return replace(UNKNOWN, estimate=case.seconds_median)
    times = source.times[case.phase, case.n_images][case.backend]
    return of_rounds(round_logs(times.seconds, np.ones(times.seconds.size), times.rounds))


def _phase_table(
    phase: str,
    changes: Sequence[Change],
    names: tuple[str, str],
    sources: tuple[Source, Source],
    *,
    of: int,
) -> Table:
    """The cases of a phase in both sources."""
    first, second = names
    return Table(
        name=f"{phase}-compared",
        title=f"{phase} in {first} and in {second}",
        columns=(
            *("Backend", "Images"),
            *(f"Time in {first}", f"Time in {second}", f"Time, {second} over {first}"),
            *(f"Ratio in {first}", f"Ratio in {second}", f"Ratio, {second} over {first}"),
            "Libraries that differ",
        ),
        rows=tuple(_row(change, names, sources) for change in changes),
        note=f"{phase}: {PHASES[phase]}. A ratio is that to {BASELINE} in the same run: it stays the "
        "same where all times grow alike. In brackets 95% intervals; those of a change take both "
        "runs to be independent (Welch 1947). A change is shown where its interval lies beyond "
        f"{MARGIN:.0%}, and chance does not explain it, corrected for the {of} cases of the two; it "
        "is probable where its interval lies on one side of 1, and that is all.",
        layout="ratios",
    )


def _row(change: Change, names: tuple[str, str], sources: tuple[Source, Source]) -> Row:
    cases, time, ratio = change
    backend, n_images = cases[0].backend, cases[0].n_images
    times, ratios = (
        [case_cell(one, show, prefix=f"{name}-") for one, name in zip(cases, names, strict=True)]
        for show in (time_cell, ratio_cell)
    )
    libraries = ", ".join(_other_libraries(backend, *sources)) or NOTHING
    shown = Cell(str(n_images), n_images), *times, time, *ratios, ratio, libraries
    return row(backend, *shown, backend=backend)


def _other_libraries(backend: str, first: Source, second: Source) -> list[str]:
    """The libraries of a backend whose versions both sources tell, and tell differently."""
    used = dict.fromkeys(
        name for source in (first, second) for name in source.backends[backend].libraries
    )
    return [
        name
        for name in used
        if name in first.versions
        and first.versions[name] != second.versions.get(name, first.versions[name])
    ]
