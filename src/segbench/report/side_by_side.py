"""Runs side by side: what differs between them, and whether machine or version may be the reason."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from segbench.backends.registry import BASELINE
from segbench.backends.schedulers import WITH_DASK
from segbench.measure.cases import PHASES
from segbench.report.cells import (
    Cell,
    Row,
    Table,
    finding_cell,
    format_factor,
    format_range,
    format_value,
    images,
    seconds_cell,
    words,
)
from segbench.report.summary import case_id, ratio_of
from segbench.report.tables import ratio_cell
from segbench.stats import (
    MARGIN,
    RUNS_MARGIN,
    Ratio,
    paired_ratio,
    ratio_of_ratios,
    verdicts,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import TypeAlias

    import pandas as pd

    from segbench.results.sources import Source

    # A row of a summary.
    Case: TypeAlias = pd.Series[Any]

# What a machine is like for a moment, and what is told among the versions.
PASSING = ("load_at_start", "load_average", "memory_available_gib", "python")

# Settings that a time depends on; the others say what is measured, and for how long.
SETTINGS = ("params", "workers", "native_threads", "cache")

# Libraries that every backend uses, the baseline among them.
SHARED = (
    *("python", "segbench", "commit", "numpy", "scipy", "scikit-image"),
    *("imageio", "pillow", "tifffile", "imagecodecs"),
)

DASK = ("dask", "toolz", "cytoolz")
PIMS = ("pims", "slicerator")
PROCESSES = ("cloudpickle",)
CLUSTER = ("distributed", "msgpack", "tornado", "cloudpickle")
OPENCV = (
    *("opencv-python-headless", "opencv-python"),
    *("opencv-contrib-python-headless", "opencv-contrib-python"),
)

# Those that a part of a backend uses beside them. Dask's own come with its schedulers.
OWN = {
    "reader": {
        "skimage": (),
        "dask-image": ("dask-image", *PIMS),
        "dask-array-pims": PIMS,
        "dask-array-skimage": (),
    },
    "processor": {
        "skimage": (),
        "dask-image": ("dask-image",),
        "dask-image-area": ("dask-image",),
        "dask-blocks": (),
        "opencv": OPENCV,
    },
    "scheduler": {
        "serial": (),
        "thread-pool": (),
        "process-pool": PROCESSES,
        **dict.fromkeys(WITH_DASK, DASK),
        "processes": (*DASK, *PROCESSES),
        "distributed": (*DASK, *CLUSTER),
    },
}

# In place of the name of a fact, where none of its kind is known of both sources.
NONE_KNOWN = "all"

# Facts whose name is not that of a library.
SPOKEN = {"commit": "segbench (its commit)"}

# Verdicts that show that something has moved.
MOVED = ("faster", "slower")

MOST_NAMED = 6

UNEXPLAINED = "nothing that is recorded"


@dataclass(frozen=True)
class Comparison:
    """What is shown of one source beside the first.

    Attributes
    ----------
    title : str
        Heading.
    prefix : str
        Of the names of its files.
    sentences : tuple of str
        What differs, and which differences are the machine's and which a version's.
    tables : tuple of Table
        What differs between the environments, then one table a phase. The ids that their `cases`
        name have the prefixes of the sections.
    """

    title: str
    prefix: str
    sentences: tuple[str, ...]
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class Difference:
    """A fact of the environment that two sources do not share.

    Attributes
    ----------
    part : {'machine', 'versions', 'settings', 'images'}
        What it belongs to.
    name : str
        As the header has it.
    first, second : str
        Its values.
    """

    part: str
    name: str
    first: str
    second: str


@dataclass(frozen=True)
class Run:
    """A source and its summary."""

    source: Source
    summary: pd.DataFrame


@dataclass(frozen=True)
class Change:
    """A case that both sources have.

    Attributes
    ----------
    first, second : Series
        Its rows in the two summaries.
    seconds : Ratio
        Time in the second as a multiple of that in the first.
    moved : str
        What that shows; empty where the samples of one are not paired.
    ratio : Ratio, optional
        Ratio to the baseline in the second as a multiple of that in the first; None for the
        baseline, and where one of the two has none.
    verdict : str
        What that shows; empty without `ratio`, and where the samples of one are not paired.
    """

    first: Case
    second: Case
    seconds: Ratio
    moved: str
    ratio: Ratio | None
    verdict: str

    @property
    def phase(self) -> str:
        """Of the case."""
        return str(self.first["phase"])

    @property
    def backend(self) -> str:
        """Of the case."""
        return str(self.first["backend"])

    @property
    def n_images(self) -> int:
        """Of the case."""
        return int(self.first["n_images"])


def compare(sources: Sequence[Source], summaries: Sequence[pd.DataFrame]) -> tuple[Comparison, ...]:
    """Each source beside the first.

    A difference in time that all backends share, the baseline among them, leaves their ratios to
    the baseline as they are: it is the machine's, or that of a library which all use. Where such a
    ratio itself has moved by more than both intervals allow, the libraries of this backend may be
    the reason, or a machine that suits it better or worse. One is named as the reason only where
    everything else is the same in both sources.

    Parameters
    ----------
    sources : sequence of Source
        In their order on the page.
    summaries : sequence of DataFrame
        As :func:`segbench.report.summary.summarize` makes them.

    Returns
    -------
    tuple of Comparison
        One fewer than sources.
    """
    if len(sources) < 2:
        return ()
    runs = [Run(source, summary) for source, summary in zip(sources, summaries, strict=True)]
    return tuple(_compared(runs[0], run, number) for number, run in enumerate(runs[1:], start=2))


def _compared(run: Run, other: Run, number: int) -> Comparison:
    differences = tuple(_differences(run.source, other.source))
    changes = _changes(run, other)
    names = ("1", str(number))
    environments = _environments_table(differences, names)
    return Comparison(
        title=f"{number} beside 1: {_label(other.source)} beside {_label(run.source)}",
        prefix=f"{number}-beside-1-",
        sentences=(
            _told(differences, names),
            *_lost(run, other, names),
            *_times(changes, differences, names),
            *_ratios(changes, differences, names),
        ),
        tables=(
            *([environments] if differences else []),
            *_phase_tables(changes, differences, names),
        ),
    )


def _label(source: Source) -> str:
    return f"{source.name} ({source.started})"


def _differences(first: Source, second: Source) -> Iterator[Difference]:
    """Facts that both sources tell, and tell differently."""
    for part in ("machine", "versions", "settings"):
        one, two = getattr(first, part), getattr(second, part)
        shared = [name for name in one if name in two and _counts(part, name)]
        if not shared:
            yield Difference(part, NONE_KNOWN, "not known", "not known")
        for name in shared:
            if one[name] != two[name]:
                yield Difference(part, name, format_value(one[name]), format_value(two[name]))
    same = _same_images(first, second)
    if not same:
        name = NONE_KNOWN if same is None else "images"
        yield Difference("images", name, _images(first), _images(second))


def _counts(part: str, name: str) -> bool:
    """Whether a fact may make a time another one."""
    return {"machine": name not in PASSING, "settings": name in SETTINGS}.get(part, True)


def _same_images(first: Source, second: Source) -> bool | None:
    """Whether the images are the same; None where the sources do not tell.

    The key of a user's own images holds where they lie: on another machine it is another one, and
    equal numbers of objects at every size stand for it.
    """
    one, two = first.dataset, second.dataset
    if any(one.get(name) != two.get(name) for name in ("shape", "dtype")):
        return False
    if one.get("key") is not None and one["key"] == two.get("key"):
        return True
    counts, others = _objects(first), _objects(second)
    shared = counts.keys() & others.keys()
    return all(counts[size] == others[size] for size in shared) if shared else None


def _objects(source: Source) -> dict[int, float]:
    """Objects that the baseline found, by number of images."""
    samples = source.samples
    own = samples[(samples["backend"] == str(BASELINE)) & samples["objects"].notna()]
    return dict(zip(own["n_images"], own["objects"].astype(float), strict=True))


def _images(source: Source) -> str:
    known = (source.dataset.get(name) for name in ("name", "shape", "dtype"))
    return " ".join(format_value(value) for value in known if value is not None) or "not known"


def _changes(run: Run, other: Run) -> list[Change]:
    """The cases that both sources have timed, a backend's together."""
    paired = run.source.paired and other.source.paired
    pairs = _shared_cases(run, other)
    seconds = [ratio_of_ratios(_level(other, later), _level(run, row)) for row, later in pairs]
    ratios = [
        ratio_of_ratios(ratio_of(later), ratio_of(row)) if _have_ratios(row, later) else None
        for row, later in pairs
    ]
    moved = verdicts(seconds, margin=RUNS_MARGIN)
    told = iter(verdicts([one for one in ratios if one], margin=RUNS_MARGIN))
    return [
        Change(
            *pair,
            seconds=change,
            moved=verdict if paired else "",
            ratio=ratio,
            verdict=(next(told) if paired else "") if ratio else "",
        )
        for pair, change, verdict, ratio in zip(pairs, seconds, moved, ratios, strict=True)
    ]


def _shared_cases(run: Run, other: Run) -> list[tuple[Case, Case]]:
    """Rows of the two summaries that are of one case and have times."""
    key = ["phase", "backend", "n_images"]
    own, later = (one.summary[one.summary["status"] == "ok"] for one in (run, other))
    there = {tuple(row[name] for name in key): row for _, row in later.iterrows()}
    backends = list(own["backend"].unique())
    phases = list(own["phase"].unique())
    pairs = [
        (row, there[case])
        for _, row in own.iterrows()
        if (case := tuple(row[name] for name in key)) in there
    ]
    return sorted(
        pairs,
        key=lambda pair: (
            phases.index(pair[0]["phase"]),
            backends.index(pair[0]["backend"]),
            pair[0]["n_images"],
        ),
    )


def _level(run: Run, row: Case) -> Ratio:
    """Median time of a case as a ratio to one second, with its interval."""
    if not run.source.paired:
        return Ratio(row["seconds_median"], math.nan, math.nan, 1, math.nan)
    times = run.source.times[row["phase"], row["n_images"]][row["backend"]]
    return paired_ratio(times, np.ones(len(times)))


def _have_ratios(*rows: Case) -> bool:
    """Whether these are of another backend than the baseline, and have a ratio to it."""
    return all(
        row["backend"] != str(BASELINE) and not math.isnan(row["ratio_median"]) for row in rows
    )


def _reasons(differences: Iterable[Difference], backend: str) -> list[str]:
    """What may be the reason that a backend's time or ratio has moved."""
    parts: dict[str, list[str]] = {}
    for one in differences:
        if one.part != "versions" or _concerns(one.name, backend):
            parts.setdefault(one.part, []).append(SPOKEN.get(one.name, one.name))
    words = {"machine": "the machine", "images": "the images"}
    for part, known, unknown in (
        ("versions", "the version of {}", "a version"),
        ("settings", "the settings ({})", "the settings"),
    ):
        names = parts.get(part, [])
        words[part] = unknown if NONE_KNOWN in names else known.format(_some(names))
    reasons = [words[part] for part in parts]
    if backend == str(BASELINE) and "machine" not in parts:
        # Its ratio to itself is 1 always: what has moved is its time, which drifts.
        reasons.append("another moment of the same machine")
    return reasons


def _concerns(library: str, backend: str) -> bool:
    """Whether a backend uses a library."""
    if library in SHARED or library == NONE_KNOWN:
        return True
    uses = [OWN[kind].get(name) for kind, name in zip(OWN, f"{backend}//".split("/"), strict=False)]
    known = {name for kind in OWN.values() for names in kind.values() for name in names}
    # A part that is not segbench's brings libraries of its own.
    return any(library in names if names is not None else library not in known for names in uses)


def _some(names: Sequence[str]) -> str:
    """Names, or the first of them where there are many."""
    more = [f"{len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else []
    return ", ".join([*names[:MOST_NAMED], *more])


def _put_down(change: Change, differences: Iterable[Difference]) -> str:
    """What a change may be put down to; a dash where none was shown."""
    shown = change.moved if change.backend == str(BASELINE) else change.verdict
    if shown not in MOVED:
        return "–"
    return " or ".join(_reasons(differences, change.backend)) or UNEXPLAINED


def _told(differences: Sequence[Difference], names: tuple[str, str]) -> str:
    """What differs between two sources."""
    if not differences:
        return f"Machine, versions, settings and images of {names[0]} and {names[1]} are the same."
    parts: dict[str, list[str]] = {}
    for one in differences:
        words = "not known of both" if one.name == NONE_KNOWN else one.name
        parts.setdefault(one.part, []).append(words)
    told = [part if own == [part] else f"{part} ({_some(own)})" for part, own in parts.items()]
    same = [part for part in ("machine", "versions", "settings", "images") if part not in parts]
    ends = f"; the same are {', '.join(same)}" if same else ""
    return f"Between {names[0]} and {names[1]} these differ: {', '.join(told)}{ends}."


def _lost(run: Run, other: Run, names: tuple[str, str]) -> Iterator[str]:
    """Backends that one of the two has times of and the other refused, failed or left out."""
    for one, two, name in ((run, other, names[1]), (other, run, names[0])):
        ok = set(one.summary[one.summary["status"] == "ok"]["backend"])
        failed = two.summary[
            two.summary["backend"].isin(ok) & (two.summary["status"] != "ok")
        ].drop_duplicates(["backend", "status"])
        if len(failed):
            words = [f"{row['backend']} ({row['status']})" for _, row in failed.iterrows()]
            yield f"Not ok in {name}, at some size at least: {_some(words)}."


def _times(
    changes: Sequence[Change], differences: Sequence[Difference], names: tuple[str, str]
) -> Iterator[str]:
    """How the baseline's times have moved: what all backends share."""
    own = [change for change in changes if change.backend == str(BASELINE)]
    if not own:
        yield "They share no case of the baseline: no times are compared."
        return
    factors = [change.seconds.median for change in own]
    others = [change.seconds.median for change in changes if change.backend != str(BASELINE)]
    sentence = (
        f"{BASELINE} took {format_range(factors)} times as long in {names[1]} as in {names[0]} "
        f"(middle of {len(own)} cases {format_factor(median(factors))}"
        f"{f'; that of the others {format_factor(median(others))}' if others else ''})"
    )
    moved = [change for change in own if change.moved in MOVED]
    if not any(change.moved for change in own):
        yield f"{sentence}; without samples taken side by side there are no intervals."
    elif not moved:
        yield f"{sentence}: no case shows that it has changed."
    else:
        reasons = _reasons(differences, str(BASELINE))
        yield (
            f"{sentence}; {len(moved)} of them show a difference. Put down to "
            f"{' or '.join(reasons)}{_not_told_apart(reasons)}."
        )


def _ratios(
    changes: Sequence[Change], differences: Sequence[Difference], names: tuple[str, str]
) -> Iterator[str]:
    """How the ratios to the baseline have moved: what a machine that is faster as a whole leaves."""
    own = [change for change in changes if change.verdict]
    if not own:
        return
    counts = {
        words: len([change for change in own if change.verdict in said])
        for words, said in (
            ("have changed", MOVED),
            ("are the same", ("no difference",)),
            ("are undecided", ("undecided",)),
        )
    }
    yield (
        f"Of {len(own)} ratios to it, which the speed of a machine as a whole leaves as they are, "
        f"{', '.join(f'{count} {words}' for words, count in counts.items())} (the same: within "
        f"{RUNS_MARGIN:.0%}, since either run may be off by {MARGIN:.0%})."
    )
    by_backend: dict[str, list[Change]] = {}
    for change in own:
        if change.verdict in MOVED:
            by_backend.setdefault(change.backend, []).append(change)
    for backend, moved in by_backend.items():
        cases = [f"{change.phase} of {images(change.n_images)}" for change in moved]
        factors = [change.ratio.median for change in moved if change.ratio]
        reasons = _reasons(differences, backend)
        yield (
            f"{backend}: {format_range(factors)} times the ratio to the baseline in {names[1]} "
            f"({_some(cases)}). Put down to {' or '.join(reasons) or UNEXPLAINED}"
            f"{_not_told_apart(reasons)}."
        )


def _not_told_apart(reasons: Sequence[str]) -> str:
    return ", which can't be told apart here" if len(reasons) > 1 else ""


def _environments_table(differences: Sequence[Difference], names: tuple[str, str]) -> Table:
    return Table(
        name="environments",
        title="What differs between the two",
        columns=("Part", "What", *names),
        rows=tuple(
            Row(words(one.part, one.name.replace("_", " "), one.first, one.second))
            for one in differences
        ),
        note="Facts that both tell, and tell differently. Those that change by the minute, such as "
        "the load, and settings that say what is measured and for how long are left out.",
        layout="words",
    )


def _phase_tables(
    changes: Sequence[Change], differences: Sequence[Difference], names: tuple[str, str]
) -> Iterator[Table]:
    """For each phase its cases in both sources."""
    for phase, meaning in PHASES.items():
        own = [change for change in changes if change.phase == phase]
        if own:
            yield Table(
                name=f"{phase}-compared",
                title=f"{phase} in {names[0]} and in {names[1]}",
                columns=(
                    *("Backend", "Images", f"{names[1]} over {names[0]}"),
                    *("Change of the ratio", "Put down to"),
                    *(f"Time in {name}" for name in names),
                    *(f"Ratio in {name}" for name in names),
                ),
                rows=tuple(_row(change, differences, names) for change in own),
                note=f"{phase}: {meaning}. Times are those of two machines or moments. A ratio is "
                f"that to {BASELINE} in the same run: where it is the same, whatever made the times "
                "others made them so for both. In brackets 95% intervals; those of a change take "
                "both runs to be independent (Zou and Donner 2008). A change is shown where its "
                f"interval lies beyond {RUNS_MARGIN:.0%} and chance does not explain it, corrected "
                f"for the {len(changes)} cases of the two.",
                layout="ratios",
            )


def _row(change: Change, differences: Sequence[Difference], names: tuple[str, str]) -> Row:
    own = case_id(change.phase, change.n_images, change.backend)
    rows = tuple(zip((change.first, change.second), names, strict=True))
    cells = (
        Cell(change.backend),
        Cell(str(change.n_images), change.n_images),
        finding_cell(change.seconds, change.moved),
        finding_cell(change.ratio, change.verdict),
        Cell(_put_down(change, differences)),
        *(replace(seconds_cell(row["seconds_median"]), case=f"{name}-{own}") for row, name in rows),
        *(replace(ratio_cell(row), case=f"{name}-{own}") for row, name in rows),
    )
    return Row(cells, backend=change.backend)
