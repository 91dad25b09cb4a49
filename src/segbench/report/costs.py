"""What a call costs and for what: per call and per image, at first, and stage by stage."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from segbench.backends.registry import BASELINE
from segbench.measure.settings import PHASES
from segbench.report.cells import (
    NOTHING,
    Cell,
    Table,
    collected,
    format_factor,
    format_seconds,
    images,
    listed,
    row,
    seconds_cell,
    sizes_in_words,
    status_cell,
)
from segbench.report.pairs import OPPOSITE
from segbench.report.summary import Case, cases_in, ratio_of, scheduler_of
from segbench.report.tables import heads, pivot
from segbench.results.records import PARTS
from segbench.stats import VERDICTS, cost_model, crossing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pandas as pd

    from segbench.report.cells import Row
    from segbench.results.records import Profile
    from segbench.results.sources import Source
    from segbench.stats import CostModel, Crossing

# Through two sizes there is a line always: from three on it can be seen whether it fits.
MIN_SIZES = 3

# Share by which a median may be away from a line that is drawn.
FITS = 0.2

# Seconds: a cost below has been fitted to be none.
NOT_SEEN = 1e-9

# Share of the wall time that the parts of a call may lack, or have too much.
PARTS_OFF = 0.05

# Of a backend that takes this multiple of the plain loop's time, or that is slower and carries steps out
# again, it is told which steps cost most, two at the most.
SLOW, MOST_STEPS = 1.5, 2
# From so many times for each image on it is told that a step is carried out again.
AGAIN = 1.5
STEP_WORDS = {
    "graph": "building the task graph",
    "scheduling": "scheduling its tasks",
    "idle": "waiting for tasks",
    "collect": "putting results together",
}

COLD_START = ("Import", "Start of scheduler", "First result", "Together", "Warm call")

# Where a backend has the same verdict at every size, it has no crossover with the baseline.
AT_EVERY_SIZE = {
    "faster": "faster at every size",
    "probably faster": "probably faster at every size",
    "no difference": "no difference at any size",
    "undecided": "undecided at every size",
    "probably slower": "never in range: probably slower at every size",
    "slower": "never in range: slower at every size",
}


@dataclass(frozen=True)
class Against:
    """Where along the sizes a backend is faster than the baseline.

    Attributes
    ----------
    words : str
        That, or what is known of each size; a dash where no ratio has an interval.
    crossing : Crossing, optional
        Where one overtakes the other; None where no such number is named.
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
        for backend, cases in collected((case.backend, case) for case in ok).items():
            if len(cases) >= MIN_SIZES:
                sizes, medians = zip(
                    *((one.n_images, one.seconds_median) for one in cases), strict=True
                )
                model = cost_model(sizes, medians)
                away = (
                    model.seconds(size) / one - 1 for size, one in zip(sizes, medians, strict=True)
                )
                beside = Against("the plain loop") if backend == str(BASELINE) else against(cases)
                found.append(Line(phase, backend, sizes, model, max(map(abs, away)), beside))
    return found


def cost_table(lines: Sequence[Line]) -> Table | None:
    """Time of a call and time of an image, and from how many images a backend is worth its start."""
    if not lines:
        return None
    return Table(
        name="costs",
        title="What each call costs, and what each image adds",
        columns=(
            "Phase",
            "Backend",
            "Each call",
            "Each image",
            "Misfit",
            "Relative to a plain loop",
        ),
        rows=tuple(
            row(
                *(line.phase, line.backend),
                *(cost_cell(cost) for cost in (line.model.fixed, line.model.marginal)),
                Cell(f"{line.off:.0%}", line.off),
                line.against.words,
                backend=line.backend,
            )
            for line in lines
        ),
        note="A straight line through the median times: what a call takes however few images it has, "
        "and what each image adds. Not seen: the times fit best without that cost. Misfit: the largest "
        "deviation of a median from the line. Relative to a plain loop: the verdicts of the tables of "
        "ratios, put together. Where a backend overtakes the plain loop, that happens between the two numbers in "
        "brackets; the number before them is where the ratio would be 1. Never in range: at no number of "
        "images that was measured.",
        layout="words",
    )


def cost_cell(seconds: float) -> Cell:
    """What something costs, where that can be seen."""
    return Cell("not seen") if seconds < NOT_SEEN else seconds_cell(seconds)


def against(cases: Iterable[Case]) -> Against:
    """Where along the sizes a backend is faster than the baseline, by the verdicts of its cases.

    Nothing is said that is not so by the verdict at each size: from where on it is faster, between
    which two sizes that changes, or else the verdicts.
    """
    known = {case.n_images: case for case in cases if ratio_of(case).known}
    if not known:
        return Against(NOTHING.text)
    verdicts = {size: case.verdict for size, case in known.items()}
    if len(said := set(verdicts.values())) == 1:
        return Against(AT_EVERY_SIZE[said.pop()])
    ratios = {size: case.ratio for size, case in known.items()}
    turned = (
        {size: 1 / ratio for size, ratio in ratios.items()},
        {size: OPPOSITE.get(verdict, verdict) for size, verdict in verdicts.items()},
    )
    sides = ("from about {} images on", (ratios, verdicts)), ("only up to about {} images", turned)
    for words, (estimates, of) in sides:
        if found := crossing(estimates, of):
            sure = "probably " if any(one.startswith("probably") for one in of.values()) else ""
            where = words.format(f"{found.images:.{1 if found.images < 10 else 0}f}")
            between = f"(between {found.after} and {found.by})"
            return Against(f"{sure}faster {where} {between}", found)
    by_verdict = collected((verdict, size) for size, verdict in sorted(verdicts.items()))
    told = (f"{one} at {sizes_in_words(by_verdict[one])}" for one in VERDICTS if one in by_verdict)
    return Against(", ".join(told))


def costly_steps(source: Source, cases: Iterable[Case]) -> str:
    """Which steps cost the slowest of some cases its time, by its profile; empty where that is unknown."""
    compared = (case for case in cases if case.verdict.endswith("slower"))
    slow = max(compared, key=lambda case: case.ratio, default=None)
    profiles = profiles_by_backend(source)
    if not slow:
        return ""
    # Beside what has as many workers, where that was looked at: a step's time is divided by them.
    alike = str(dataclasses.replace(BASELINE, scheduler=scheduler_of(slow.backend)))
    other = alike if alike in profiles else str(BASELINE)
    own, beside = profiles.get(slow.backend), profiles.get(other)
    if not (
        own and beside and own.status == beside.status == "ok" and own.n_images == beside.n_images
    ):
        return ""
    takes = (
        f"The slowest, {source.backends[slow.backend].words}, takes {format_factor(slow.ratio)} times as long "
        f"as a plain loop for {images(slow.n_images)}"
    )
    if again := _again(own):
        return f"{takes}: each image goes through {again}."
    if slow.ratio < SLOW:
        return ""
    longer = own.seconds - beside.seconds
    more = {part: spent - beside.parts.get(part, 0.0) for part, spent in own.parts.items()}
    named: list[str] = []
    for part in sorted(more, key=lambda part: -more[part])[:MOST_STEPS]:
        named.append(part)
        if longer > 0 and sum(more[one] for one in named) >= longer / 2:
            break
    else:
        return ""
    told = " and ".join(
        f"{STEP_WORDS.get(one, one)} ({format_seconds(more[one])} more)" for one in named
    )
    return (
        f"{takes}. For {images(own.n_images)} it takes {format_seconds(own.seconds)}, "
        f"{source.backends[other].words} {format_seconds(beside.seconds)}; most of the difference goes into "
        f"{told}."
    )


def _again(profile: Profile) -> str:
    """The steps that are carried out more than once for each image, and how often; empty where none is."""
    often = {step: calls / profile.n_images for step, calls in profile.calls.items()}
    again = collected((f"{times:.2g}", step) for step, times in often.items() if times >= AGAIN)
    return ", and ".join(
        f"{listed(steps)} {'twice' if times == '2' else f'{times} times'}"
        for times, steps in again.items()
    )


def cold_start_table(source: Source, summary: pd.DataFrame) -> Table | None:
    """What a fresh process pays before its first result."""
    if not source.profiles:
        return None
    warm = {case.backend: case for case in cases_in(summary, "pipeline") if case.n_images == 1}
    starts = _profiles(source)
    shown = {backend: _start_cells(own, warm.get(backend)) for backend, own in starts.items()}
    most = max(map(len, starts.values()))
    how = (
        f"the medians of {most} starts, of all together with the lowest and the highest"
        if most > 1
        else "once"
    )
    return Table(
        name="cold-start",
        title="Cold start: to the first result of one image",
        columns=("Backend", *COLD_START),
        rows=tuple(row(backend, *own, backend=backend) for backend, own in shown.items()),
        note=f"In a fresh interpreter, with no other backend running, {how}: what a script takes that "
        "segments one image and ends. Warm call: the same call of the pipeline in a process that has made "
        f"it before.{_not_profiled(source)}",
    )


def _start_cells(starts: Sequence[Profile], warm: Case | None) -> Iterator[Cell]:
    """What a backend's starts took, part by part and together; their status where they failed."""
    if starts[0].status != "ok":
        yield from [status_cell(starts[0].status)] * len(COLD_START)
        return
    parts = [(one.import_seconds, one.start_seconds, one.first_seconds) for one in starts]
    yield from (seconds_cell(median(own)) for own in zip(*parts, strict=True))
    sums = sorted(map(sum, parts))
    reach = f"({format_seconds(sums[0])} to {format_seconds(sums[-1])})" if len(sums) > 1 else ""
    yield dataclasses.replace(seconds_cell(median(sums)), note=reach)
    yield seconds_cell(warm.seconds_median) if warm else NOTHING


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
        title="pipeline: the first call in a worker that has started",
        columns=("Backend", *heads(cases)),
        rows=pivot(cases, show),
        note="The first call of the pipeline in a process, with so many images, and as a multiple of the "
        "median of the samples, which are taken after it. Median over the processes of all rounds.",
    )


def profiles_by_backend(source: Source) -> dict[str, Profile]:
    """By the backend's name the profile that says where its time goes: the first that has parts."""
    return {
        backend: next((one for one in own if one.parts), own[0])
        for backend, own in _profiles(source).items()
    }


def _profiles(source: Source) -> dict[str, list[Profile]]:
    """The profiles of each backend that are ok, or else how one ended.

    One whose result was wrong has that status and no times.
    """
    found = collected((str(profile.backend), profile) for profile in source.profiles)
    for backend, own in found.items():
        if backend in source.wrong:
            cause = source.wrong[backend]
            found[backend] = [dataclasses.replace(own[0], status="wrong-result", cause=cause)]
        else:
            found[backend] = [one for one in own if one.status == "ok"] or own[:1]
    return found


def _not_profiled(source: Source) -> str:
    """A sentence on the backends that have no profile; empty where all have."""
    profiled = profiles_by_backend(source)
    missing = ", ".join(one for one in source.samples["backend"].unique() if one not in profiled)
    words = " Not profiled, since they had failed or the run was interrupted: "
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
    return Table(
        name="parts",
        title=f"Where the time goes: one call of the pipeline, {sizes}",
        columns=("Backend", "Median sample", "Wall time", *parts, "Tasks"),
        rows=_profile_rows(source, cells, columns=len(parts) + 3),
        note="Profiled in a separate process with no other backend running, so that the wall time differs "
        "from the median sample: use this table for the shares. Time of several workers is divided by "
        "their number, so that the parts add up to the wall time: compare backends with as many workers. "
        "graph: building and optimising Dask's task graph; scheduling: what is left of the time in which "
        "there were tasks and no step ran; idle: workers with nothing to do; collect: putting results "
        f"together. 2× means that a step ran twice for each image.{_not_profiled(source)}",
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
