"""The answer of a source to "should I use Dask, and how?", in sentences made from its data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segbench.backends.registry import BASELINE
from segbench.backends.schedulers import WITH_DASK
from segbench.report import costs
from segbench.report.tables import (
    format_factor,
    format_interval,
    format_seconds,
    images,
    ratio_of,
    sizes_in_words,
    within_blocks,
)
from segbench.stats import MIN_BLOCKS, Ratio, verdicts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from segbench.results import Source

# The first of these that was measured is what is asked about.
QUESTIONS = {
    "pipeline": "from files to a table of cells",
    "process": "from pixels in memory to a table of cells",
    "read": "from files to pixels in memory",
    "open": "from files to a handle on them",
}

PROCESSORS = {
    "skimage": "scikit-image",
    "dask-image": "dask-image's filters",
    "dask-image-area": "dask-image's filters and areas",
    "dask-blocks": "Dask over scikit-image",
    "opencv": "OpenCV",
}
READERS = {
    "skimage": "scikit-image's reader",
    "dask-image": "dask-image's reader",
    "dask-array-pims": "Dask over pims",
    "dask-array-skimage": "Dask over scikit-image's reader",
}
SCHEDULERS = {
    "serial": "one image after the other",
    "thread-pool": "on threads",
    "process-pool": "on processes",
    "synchronous": "one image after the other",
    "threads": "on Dask's threads",
    "processes": "on Dask's processes",
    "distributed": "on a Dask cluster",
}

# A sentence that lists more is not read.
MOST_NAMED = 6

NO_BLOCK_IN_COMMON = Ratio(math.nan, math.nan, math.nan, 0, math.nan)


@dataclass(frozen=True)
class Comparison:
    """A backend beside another at the same size.

    Attributes
    ----------
    backend : str
        The one that is told about.
    ratio : Ratio
        Its time as a multiple of the other's.
    verdict : str
        What that shows.
    """

    backend: str
    ratio: Ratio
    verdict: str


@dataclass(frozen=True)
class Rival:
    """A backend without Dask, and the best one with it beside it.

    Attributes
    ----------
    backend : str
        The one without.
    ratio : Ratio
        Time with Dask as a multiple of that without, at the largest size.
    verdict : str
        What that shows.
    verdicts : dict of int to str
        The same at each size.
    against : Against, optional
        Where along the sizes Dask is faster.
    """

    backend: str
    ratio: Ratio
    verdict: str
    verdicts: dict[int, str]
    against: costs.Against | None


def answer(source: Source, summary: pd.DataFrame) -> tuple[str, ...]:
    """What a source shows: the fastest backend, whether Dask pays, and what the others cost.

    It is about the largest number of images for which ratios have intervals, and about the
    pipeline where that was measured. A backend is called the fastest only where it is so for
    certain; one whose result was wrong, or that failed, is named as such and never compared.

    Returns
    -------
    tuple of str
        A few sentences, one at least: also where nothing can be said, and why.
    """
    measured = summary[summary["status"] == "ok"]
    phase = next((one for one in QUESTIONS if one in set(measured["phase"])), None)
    if phase is None:
        return ("Nothing can be said: no backend was timed to the end.", *_left_out(summary))
    rows = summary[summary["phase"] == phase]
    if not source.paired:
        return (*_unpaired(source, phase, rows), *_left_out(rows))
    shown = _decided(rows)
    if shown.empty:
        return (_why_nothing(rows), *_left_out(rows))
    n_images = int(shown["n_images"].iloc[0])
    return (
        *_fastest(source, phase, shown),
        *_shown_earlier(phase, rows, shown),
        _whether_dask_pays(source, summary, phase),
        *_left_out(rows[rows["n_images"] == n_images]),
    )


def _decided(rows: pd.DataFrame) -> pd.DataFrame:
    """What was timed of the largest size at which some ratio has an interval, the fastest first."""
    known = rows[rows["ratio_low"].notna() & (rows["backend"] != str(BASELINE))]
    largest = rows["n_images"] == known["n_images"].max()
    at_largest: pd.DataFrame = rows[largest & (rows["status"] == "ok")]
    return at_largest.sort_values("ratio_median")


def _fastest(source: Source, phase: str, shown: pd.DataFrame) -> Iterator[str]:
    """Which backend is the fastest, what may be as fast, and what the others cost beside it."""
    ahead = shown[shown["verdict"] == "faster"]
    best = str(ahead["backend"].iloc[0]) if len(ahead) else str(BASELINE)
    row = shown[shown["backend"] == best].iloc[0]
    others = _beside(source, phase, shown, best)
    alike = [one for one in others if one.verdict == "no difference"]
    unknown = [one for one in others if one.verdict == "undecided"]
    if not (alike or unknown):
        words = "the fastest is"
    elif len(ahead):
        words = "among the fastest is"
    else:
        words = "none was shown to be faster than"
    sentence = (
        f"{_asked(source, phase, int(shown['n_images'].iloc[0]))}, {words} {_called(best, phase)}: "
        f"{format_seconds(row['seconds_median'])}"
    )
    if len(ahead):
        sentence += f", {_times_as_long(ratio_of(row))} as {_called(str(BASELINE), phase)}"
    if alike:
        sentence += f"; no difference from it: {_listed(alike)}"
    if unknown:
        sentence += f"; not decided whether faster or slower: {_listed(unknown)}"
    yield f"{sentence}."
    if slower := [one for one in others if one.verdict == "slower"]:
        costs_more = [
            f"{_called(one.backend, phase)} takes {_times_as_long(one.ratio)}"
            for one in slower[:MOST_NAMED]
        ]
        if more := len(slower[MOST_NAMED:]):
            costs_more.append(f"and {more} more take longer than these")
        yield f"Beside it {', '.join(costs_more)}."


def _shown_earlier(phase: str, rows: pd.DataFrame, shown: pd.DataFrame) -> Iterator[str]:
    """Where nothing is faster than the baseline at the largest size, what is so at a smaller one."""
    if (shown["verdict"] == "faster").any():
        return
    faster = rows[(rows["verdict"] == "faster") & (rows["n_images"] < shown["n_images"].iloc[0])]
    if len(faster):
        at_most = faster[faster["n_images"] == faster["n_images"].max()]
        row = at_most.sort_values("ratio_median").iloc[0]
        yield (
            f"With {images(row['n_images'])}, {_called(row['backend'], phase)} takes "
            f"{_times_as_long(ratio_of(row))} as {_called(str(BASELINE), phase)}."
        )


def _beside(source: Source, phase: str, shown: pd.DataFrame, best: str) -> list[Comparison]:
    """Every other backend beside the best one, those that take the least time first."""
    if best == str(BASELINE):
        rows = shown[shown["backend"] != best]
        return [
            # Without a block in common with the baseline there is no verdict.
            Comparison(row["backend"], ratio_of(row), row["verdict"] or "undecided")
            for _, row in rows.iterrows()
        ]
    times = source.times[phase, int(shown["n_images"].iloc[0])]
    ratios = {
        str(backend): within_blocks(times[backend], times[best]) or NO_BLOCK_IN_COMMON
        for backend in shown["backend"]
        if backend != best
    }
    found = []
    for (backend, ratio), said in zip(ratios.items(), verdicts(list(ratios.values())), strict=True):
        verdict = said
        if backend == str(BASELINE):
            verdict = "slower"  # since the best one was shown to be faster
        elif said == "faster":
            # Medians of ratios need not be in the order of the ratio of two backends: the one that
            # comes out ahead of the best shows that neither is known to be.
            verdict = "undecided"
        found.append(Comparison(backend, ratio, verdict))
    return sorted(found, key=lambda one: (math.isnan(one.ratio.median), one.ratio.median))


def _whether_dask_pays(source: Source, summary: pd.DataFrame, phase: str) -> str:
    """Whether, and from how many images on, the best backend with Dask is faster than all without."""
    rows = summary[summary["phase"] == phase]
    if not any(_uses_dask(backend) for backend in rows["backend"]):
        return "Whether Dask pays was not measured: no backend with it was."
    times = costs.times_by_size(source, summary, phase)
    with_dask = {name: own for name, own in times.items() if _uses_dask(name)}
    without = {name: own for name, own in times.items() if not _uses_dask(name)}
    shared = {size for own in with_dask.values() for size in own} & {
        size for own in without.values() for size in own
    }
    most = max(shared, default=0)
    medians = {name: own[most].median() for name, own in with_dask.items() if most in own}
    best = min(medians, key=lambda name: medians[name], default="")
    rivals = _rivals(with_dask[best], without, most) if best else []
    if not rivals:
        return "Whether Dask pays is not known: no backend with it was compared with one without."
    where = f"with {images(most)}"
    if most < rows["n_images"].max():
        where += ", the most that was timed with it"
    by_verdict = {rival.verdict: rival for rival in reversed(rivals)}  # the first of each is left

    def told(rival: Rival) -> str:
        ratio = _times_as_long(rival.ratio)
        return f"{_called(best, phase)} takes {ratio} as {_called(rival.backend, phase)}"

    if rival := by_verdict.get("slower"):
        return f"Dask does not pay {where}: {told(rival)}{_at_other_sizes(rival)}."
    if rival := by_verdict.get("undecided"):
        known = _decided_sizes(rivals)
        return f"Whether Dask pays is not decided {where}: {told(rival)}{known}."
    if rival := by_verdict.get("no difference"):
        return f"Dask makes no difference {where}: {told(rival)}."
    return f"Dask pays {_from_when(rivals)}: {where}, {told(rivals[0])}."


def _rivals(own: costs.Times, without: dict[str, costs.Times], most: int) -> list[Rival]:
    """The backends without Dask at the largest size, the one that is hardest to beat first."""
    ratios = {
        (rival, size): ratio
        for rival, times in without.items()
        for size in sorted(own.keys() & times.keys())
        if (ratio := within_blocks(own[size], times[size])) and ratio.count >= MIN_BLOCKS
    }
    said = dict(zip(ratios, verdicts(list(ratios.values())), strict=True))
    found = []
    for rival, times in without.items():
        if (rival, most) in ratios:
            by_size = {size: verdict for (name, size), verdict in said.items() if name == rival}
            against = costs.against(own, times, by_size)
            found.append(Rival(rival, ratios[rival, most], by_size[most], by_size, against))
    return sorted(found, key=lambda rival: -rival.ratio.median)


def _at_other_sizes(rival: Rival) -> str:
    """What to add where Dask is slower than a rival at the largest size."""
    if {*rival.verdicts.values()} == {"slower"} and len(rival.verdicts) > 1:
        return ", and longer with every smaller number, too"
    if rival.against and rival.against.crossing:
        return f"; it is {rival.against.words}"
    return ""


def _decided_sizes(rivals: Sequence[Rival]) -> str:
    """What to add where it is not decided at the largest size: at which others it is."""
    by_size: dict[int, set[str]] = {}
    for rival in rivals:
        for size, verdict in rival.verdicts.items():
            by_size.setdefault(size, set()).add(verdict)
    slower = [size for size in sorted(by_size) if "slower" in by_size[size]]
    faster = [size for size in sorted(by_size) if by_size[size] == {"faster"}]
    return "".join(
        f"; it is {word} with {sizes_in_words(sizes)}"
        for word, sizes in (("slower", slower), ("faster than all without Dask", faster))
        if sizes
    )


def _from_when(rivals: Sequence[Rival]) -> str:
    """From how many images on Dask is faster than all rivals, as it is at the largest size."""
    always = [{*rival.verdicts.values()} == {"faster"} for rival in rivals]
    smallest = min(size for rival in rivals for size in rival.verdicts)
    if all(always):
        return f"from {images(smallest)} on, the smallest number measured"
    found = [
        rival.against.crossing
        for rival, faster in zip(rivals, always, strict=True)
        if not faster and rival.against and rival.against.faster_beyond and rival.against.crossing
    ]
    if len(found) + sum(always) < len(rivals):
        return "for many images, though from how many on is not decided"
    last = max(found, key=lambda crossing: crossing.images or 0)
    return f"from {costs.crossover(last)} on"


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
    """Why no ratio of a phase has an interval, though some backend has times."""
    ok = rows[rows["status"] == "ok"]
    others = ok[ok["backend"] != str(BASELINE)]
    if others.empty:
        return (
            f"Nothing can be said: only {', '.join(ok['backend'].unique())} was timed to the end."
        )
    if others["ratio_median"].isna().all():
        return f"Nothing can be said: {BASELINE}, which all are compared with, has no time to give."
    return f"Nothing is decided yet: that takes {MIN_BLOCKS} blocks or more, and there are fewer."


def _left_out(rows: pd.DataFrame) -> tuple[str, ...]:
    """A sentence on the backends that are not compared, and why; none where all are."""
    failed = rows[rows["status"] != "ok"].drop_duplicates(["backend", "status"])
    named = [f"{row['backend']} ({row['status']})" for _, row in failed.iterrows()]
    return (f"Not ranked: {', '.join(named)}.",) if named else ()


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


def _called(backend: str, phase: str) -> str:
    """A backend as a reader knows it, with its name."""
    reader, _, rest = backend.partition("/")
    processor, _, scheduler = rest.partition("/")
    kinds = PROCESSORS if phase in ("pipeline", "process") else READERS
    part = kinds.get(processor if kinds is PROCESSORS else reader)
    where = SCHEDULERS.get(scheduler)
    return f"{part} {where} ({backend})" if part and where else backend


def _listed(found: Sequence[Comparison]) -> str:
    names = [one.backend for one in found]
    more = [f"and {len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else []
    return ", ".join([*names[:MOST_NAMED], *more])


def _times_as_long(ratio: Ratio) -> str:
    interval = format_interval(ratio.low, ratio.high, to=" to ")
    return f"{format_factor(ratio.median)} times as long (95% CI {interval})"


def _uses_dask(backend: str) -> bool:
    return backend.rpartition("/")[2] in WITH_DASK
