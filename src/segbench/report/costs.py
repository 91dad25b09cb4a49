"""What a call costs and for what: per call and per image, at first, and stage by stage."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import pandas as pd

from segbench.backends.registry import BASELINE
from segbench.measure.settings import PHASES
from segbench.report.cells import (
    NOTHING,
    Cell,
    Table,
    collected,
    format_seconds,
    row,
    seconds_cell,
    sizes_in_words,
    status_cell,
)
from segbench.report.summary import Case, cases_in, wrong_backends
from segbench.report.tables import heads, pivot
from segbench.results.records import PARTS
from segbench.stats import MIN_BLOCKS, cost_model, crossings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from segbench.report.cells import Row
    from segbench.results.records import Profile
    from segbench.results.sources import Source
    from segbench.stats import CostModel, Crossing

# Through two sizes there is a line always: from three on it can be seen whether it fits.
MIN_SIZES = 3

# Share by which a median may be away from a line that is to say where two backends cross.
FITS = 0.2

# Seconds: a cost below has been fitted to be none.
NOT_SEEN = 1e-9

# Share of the wall time that the parts of a call may lack, or have too much.
PARTS_OFF = 0.05

UNEVEN = "time does not grow evenly: see the ratios"

COLD_START = ("Import", "Start of scheduler", "First call", "Together", "Warm call")

# Where a backend has the same verdict at every size, it has no crossover with the baseline.
AT_EVERY_SIZE = {
    "faster": "faster at every size",
    "slower": "slower at every size",
    "no difference": "no difference at any size",
}

# Seconds by block, by number of images.
Times: TypeAlias = "dict[int, pd.Series[float]]"


@dataclass(frozen=True)
class Against:
    """Where along the sizes a backend is faster than the baseline.

    Attributes
    ----------
    words : str
        That, or why it is not known; a dash where too few sizes were measured of both.
    crossing : Crossing, optional
        Where one overtakes the other, with both ends; None where no such number is named.
    """

    words: str
    crossing: Crossing | None = None


@dataclass(frozen=True)
class Line:
    """What a call costs a backend, and each image.

    Attributes
    ----------
    phase, backend : str
        Of which it is.
    sizes : tuple of int
        Numbers of images that the line was put through, ascending.
    model : CostModel
        The line.
    off : float
        Share by which a median is away from it at the most.
    against : Against
        Beside the baseline.
    """

    phase: str
    backend: str
    sizes: tuple[int, ...]
    model: CostModel
    off: float
    against: Against


def lines(source: Source, summary: pd.DataFrame) -> list[Line]:
    """For each phase and backend with sizes enough the line through its median times.

    None where the samples of the source are not paired.
    """
    found = []
    for phase in PHASES if source.paired else ():
        ok = [case for case in cases_in(summary, phase) if case.ok]
        cases = collected((case.backend, case) for case in ok)
        times = {backend: _times(source, own) for backend, own in cases.items()}
        baseline = times.get(str(BASELINE), {})
        for backend, own in times.items():
            if len(own) >= MIN_SIZES:
                beside = Against("the baseline")
                if backend != str(BASELINE):
                    said = {case.n_images: case.verdict for case in cases[backend]}
                    beside = _against(own, baseline, said)
                found.append(Line(phase, backend, tuple(own), *_fitted(own), beside))
    return found


def _times(source: Source, cases: Iterable[Case]) -> Times:
    """The times of a backend's cases that a line may be drawn through, sizes ascending."""
    times = {case.n_images: source.times[case.phase, case.n_images][case.backend] for case in cases}
    return {size: own for size, own in times.items() if len(own) >= MIN_BLOCKS}


def _fitted(times: Times) -> tuple[CostModel, float]:
    """The line through the median times, and by what share one is away from it at the most."""
    medians = {size: float(own.median()) for size, own in times.items()}
    model = cost_model(list(medians), list(medians.values()))
    return model, max(abs(model.seconds(size) / medians[size] - 1) for size in medians)


def cost_table(lines: Sequence[Line]) -> Table | None:
    """Time of a call and time of an image, and from how many images a backend is worth its start."""
    if not lines:
        return None
    return Table(
        name="costs",
        title="What a call costs, and each image",
        columns=("Phase", "Backend", "Each call", "Each image", "Off", "Against the baseline"),
        rows=tuple(
            row(
                *(line.phase, line.backend),
                *(_cost(cost) for cost in (line.model.fixed, line.model.marginal)),
                Cell(f"{line.off:.0%}", line.off),
                line.against.words,
                backend=line.backend,
            )
            for line in lines
        ),
        note="A straight line through the median times of the sizes: what a call takes however few "
        "images it has, and what each image adds. Not seen: the times fit best without that cost. "
        "Off: by how much a median is away from the line at the most. The numbers of images from or "
        "up to which a backend is faster have intervals of about 95% in brackets; none is named "
        f"where a line is off by more than {FITS:.0%}, or a verdict at some size says otherwise. "
        "Never in range: neither overtakes the other between the smallest size and the largest.",
        layout="words",
    )


def _cost(seconds: float) -> Cell:
    return Cell("not seen") if seconds < NOT_SEEN else seconds_cell(seconds)


def _against(own: Times, baseline: Times, verdicts: Mapping[int, str]) -> Against:
    """Where along the sizes a backend is faster than the baseline.

    `verdicts` are those of the ratio at each size, also at sizes with too few blocks for a line.
    """
    shared = {
        size: pd.concat([own[size], baseline[size]], axis="columns", join="inner")
        for size in own
        if size in baseline
    }
    shared = {size: blocks for size, blocks in shared.items() if len(blocks) >= MIN_BLOCKS}
    if len(shared) < MIN_SIZES:
        return Against(NOTHING.text)
    said = set(verdicts.values())
    if len(said) == 1 and said <= AT_EVERY_SIZE.keys():
        return Against(f"never in range: {AT_EVERY_SIZE[said.pop()]}")
    first, second = (
        {size: blocks.iloc[:, side] for size, blocks in shared.items()} for side in (0, 1)
    )
    (line, off), (other, others_off) = _fitted(first), _fitted(second)
    sides = [
        *zip(crossings(first, second), ("faster", "slower"), ("slower", "faster"), strict=True)
    ]
    if max(off, others_off) > FITS or any(_contradicted(*side, verdicts) for side in sides):
        return Against(UNEVEN)
    for (found, after, before), since in zip(sides, ("from", "only up to"), strict=True):
        # Verdicts say on both sides of a crossing what its lines do.
        if found.images is not None and {(after, True), (before, False)} <= {
            (verdict, size > found.images) for size, verdict in verdicts.items()
        }:
            number, low, high = map(_count, (found.images, found.low, found.high))
            return Against(f"faster {since} {number} images ({low}–{high})", found)
    # One end alone, where a verdict says the same of some size.
    for found, after, before in sides:
        if found.high is not None and after in said:
            return Against(f"{after} from {_count(found.high)} images at the latest")
        if found.low is not None and before in said:
            return Against(f"{after}, if at all, from more than {_count(found.low)} images")
    decided = collected(
        (verdict, size) for size, verdict in verdicts.items() if verdict in ("faster", "slower")
    )
    # A side that changed from one size to another, though no line did, is nothing a line can tell.
    if len(decided) > 1:
        return Against(UNEVEN)
    above = {line.seconds(size) > other.seconds(size) for size in (min(shared), max(shared))}
    if decided and len(above) == 1:
        ((verdict, sizes),) = decided.items()
        return Against(f"never in range: {verdict} at {sizes_in_words(sizes)}")
    return Against("no crossover shown")


def _contradicted(found: Crossing, after: str, before: str, verdicts: Mapping[int, str]) -> bool:
    """Whether a verdict says the contrary of a crossing, on the far side of one of its ends."""
    return any(
        (found.high is not None and size > found.high and verdict == before)
        or (found.low is not None and size < found.low and verdict == after)
        for size, verdict in verdicts.items()
    )


def _count(images: float | None) -> str:
    """A number of images on a line: with a decimal where it is small."""
    return "open" if images is None else f"{images:.{1 if images < 10 else 0}f}"


def cold_start_table(source: Source, summary: pd.DataFrame) -> Table | None:
    """What a fresh process pays before its first result."""
    if not source.profiles:
        return None
    warm = {case.backend: case for case in cases_in(summary, "pipeline") if case.n_images == 1}

    def cells(backend: str, profile: Profile) -> Iterator[Cell]:
        parts = (profile.import_seconds, profile.start_seconds, profile.first_seconds)
        yield from (seconds_cell(seconds) for seconds in (*parts, sum(parts)))
        yield seconds_cell(warm[backend].seconds_median) if backend in warm else NOTHING

    return Table(
        name="cold-start",
        title="Cold start: to the first result of one image",
        columns=("Backend", *COLD_START),
        rows=_profile_rows(source, cells, columns=len(COLD_START)),
        note="In a fresh interpreter, beside no other backend, once: what a script pays that segments "
        "one image and ends. Beside it the same call of the pipeline in a process that is warm."
        f"{_not_profiled(source)}",
    )


def _profile_rows(
    source: Source, cells: Callable[[str, Profile], Iterable[Cell]], *, columns: int
) -> tuple[Row, ...]:
    """A row a profile; the status of one that is not ok stands in each of its columns."""
    shown = {
        backend: cells(backend, one) if one.status == "ok" else [status_cell(one.status)] * columns
        for backend, one in profiles_by_backend(source).items()
    }
    return tuple(row(backend, *own, backend=backend) for backend, own in shown.items())


def first_calls_table(summary: pd.DataFrame) -> Table | None:
    """The first call of the pipeline at each size, and as a multiple of a warm one."""

    def show(case: Case) -> Cell:
        first, times = case.first_seconds, case.first_seconds / case.seconds_median
        if math.isnan(first):
            return NOTHING
        return Cell(f"{format_seconds(first)} ({times:.1f}×)", first)

    cases = cases_in(summary, "pipeline")
    if all(math.isnan(case.first_seconds) for case in cases):
        return None
    return Table(
        name="pipeline-first-calls",
        title="pipeline: the first call",
        columns=("Backend", *heads(cases)),
        rows=pivot(cases, show),
        note="The first call of the pipeline with so many images, in a process that has worked on "
        "fewer, and as a multiple of the median of the samples, before which it is called again "
        "unless it took more than a second. Up to 50 images it is that of two processes, in the "
        "middle.",
    )


def profiles_by_backend(source: Source) -> dict[str, Profile]:
    """Profiles by the backend's name; one whose result was wrong has that status and no times."""
    profiles = {str(profile.backend): profile for profile in source.profiles}
    for backend, cause in wrong_backends(source).items():
        if backend in profiles:
            profiles[backend] = dataclasses.replace(
                profiles[backend], status="wrong-result", cause=cause
            )
    return profiles


def _not_profiled(source: Source) -> str:
    """A sentence on the backends that have no profile; empty where all have."""
    profiled = profiles_by_backend(source)
    missing = ", ".join(one for one in source.samples["backend"].unique() if one not in profiled)
    words = " Not looked at, since they had failed or the run was interrupted: "
    return f"{words}{missing}." if missing else ""


def parts_off(profile: Profile) -> bool:
    """Whether the parts of a call miss its wall time by more than `PARTS_OFF`."""
    # Rounded as it is shown.
    return round(abs(_sum_of_parts(profile) - 1), 3) > PARTS_OFF


def _sum_of_parts(profile: Profile) -> float:
    """As a share of the wall time."""
    return sum(profile.parts.values()) / profile.seconds


def parts_table(source: Source, summary: pd.DataFrame) -> Table | None:
    """Where the wall time of a call of the pipeline goes."""
    ok = [one for one in profiles_by_backend(source).values() if one.status == "ok"]
    parts = [part for part in PARTS if any(profile.parts.get(part) for profile in ok)]
    if not parts:
        return None
    sampled = {(case.backend, case.n_images): case for case in cases_in(summary, "pipeline")}

    def cells(backend: str, profile: Profile) -> Iterator[Cell]:
        case = sampled.get((backend, profile.n_images))
        yield seconds_cell(case.seconds_median) if case else NOTHING
        mark = f"(parts: {_sum_of_parts(profile):.0%})" if parts_off(profile) else ""
        yield dataclasses.replace(seconds_cell(profile.seconds), note=mark)
        yield from (_part(profile, part) for part in parts)
        yield Cell(f"{profile.tasks}", profile.tasks) if profile.tasks else NOTHING

    sizes = sizes_in_words(sorted({profile.n_images for profile in ok}))
    gap = max(abs(_sum_of_parts(profile) - 1) for profile in ok)
    return Table(
        name="parts",
        title=f"Where the time goes: one call of the pipeline, {sizes}",
        columns=("Backend", "Median sample", "Wall time", *parts, "Tasks"),
        rows=_profile_rows(source, cells, columns=len(parts) + 3),
        note="Watched in a process of its own, beside no other backend, whose work would fill the "
        "caches: its wall time is not that of the samples. What several workers do at once is "
        f"divided by their number: the parts add up to the wall time (here to within {gap:.1%}). "
        "graph: building and optimising Dask's task graph; scheduling: handing out tasks and taking "
        "back results; idle: workers with nothing to do; collect: putting results together. After "
        "the share: how often a stage was carried out for each image, where not once. Under a wall "
        f"time: what the parts add up to, where they miss it by more than {PARTS_OFF:.0%}. "
        f"docs/method.md says how it was looked at.{_not_profiled(source)}",
        layout="dense",
    )


def _part(profile: Profile, part: str) -> Cell:
    """Seconds and share of a part, and how often it was done for each image, where not once."""
    seconds = profile.parts.get(part, 0.0)
    if seconds <= 0:
        return NOTHING
    times = profile.calls.get(part, profile.n_images) / profile.n_images
    often = "" if times == 1 else f", {times:.2g}×"
    share = f"({seconds / profile.seconds:.0%}{often})"
    return dataclasses.replace(seconds_cell(seconds), note=share)
