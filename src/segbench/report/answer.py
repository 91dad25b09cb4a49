"""The answer of a run to "should I use Dask, and how?": what fits the first screen of its page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from segbench.backends.registry import BASELINE
from segbench.measure.settings import Limits
from segbench.measure.stopping import PROFILES, expected_seconds
from segbench.report.cells import (
    Cell,
    Table,
    collected,
    counted,
    format_factor,
    format_interval,
    format_range,
    images,
    listed,
    number_cell,
    row,
    sizes_in_words,
)
from segbench.report.choice import (
    AS_GOOD,
    QUESTIONS,
    asked_phase,
    choices,
    decided,
    much_slower,
    sizes_or_more,
)
from segbench.report.costs import costly_steps
from segbench.report.reproduce import alone
from segbench.report.script import code_for
from segbench.report.summary import cases_in, uses_dask
from segbench.report.tables import case_cell, ratio_cell, time_cell
from segbench.stats import MARGIN, MIN_ROUNDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from segbench.report.cells import Row
    from segbench.report.choice import Choice, Part, Spot
    from segbench.report.pairs import Pair
    from segbench.report.summary import Case

# Those whose versions are told first.
LIBRARIES = ("Python", "Dask", "dask-image", "scikit-image")

# Of the first table; the whole is below it.
MOST_ROWS = 8

# What decides an open choice: more rounds of those that it is open between.
MANY_ROUNDS, MANY_SECONDS = 20, 600.0
MOST_RIVALS = 3

# Where less of the time is left, a share of it misleads.
LITTLE = 0.1

UNPAIRED = (
    "This source can't say what to use: its samples ({kind}) were taken one case after the other, so "
    "that a ratio of two has no interval. Use `segbench run`, which measures the backends side by side."
)
NOTHING_COMPARED = (
    "Nothing can be said yet: that takes the plain loop ({baseline}) and another backend, both timed to "
    f"the end in at least {MIN_ROUNDS} rounds."
)
NOTHING_COMPARED_LARGE = (
    "Nothing can be said yet: that takes two backends that were both timed to the end in at least "
    f"{MIN_ROUNDS} rounds."
)
NOTHING_SHOWN = "It is still open what to use."
LOOP_FAILED = "Nothing can be said: the plain loop, which all backends are compared with, was not timed to the end."
NO_DASK = "No backend with Dask was compared that does the same work."
ELSEWHERE = "The answer may differ on another machine, with more CPUs, or for other images"
YOURS = ": `segbench run --images FOLDER` measures yours"
YOUR_LARGE = ": `segbench run --images IMAGE --large` measures yours"


class Open(NamedTuple):
    """What is not decided.

    Attributes
    ----------
    sentence : str
        Of which number of images.
    command : str
        The line for a shell that measures it; empty where the run does not say how it was measured.
    """

    sentence: str
    command: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a run shows, for its first screen.

    Attributes
    ----------
    use : str
        What to use, in one sentence; or why that can't be said.
    changes : tuple of str
        When that changes.
    undecided : tuple of Open
        Where nothing can be said yet.
    table : Table, optional
        The backends at the number of images that `use` speaks of, eight at the most.
    code : str
        What to paste to do as it says; empty where there is none.
    measured : str
        What was measured, in one line.
    not_shown : int
        How many backends more than the table has were timed there.
    cells : str
        For which cells the code is set; empty where there is none.
    left_out : tuple of str
        What has no place in the table since it failed, in sentences.
    """

    use: str
    changes: tuple[str, ...] = ()
    undecided: tuple[Open, ...] = ()
    table: Table | None = None
    code: str = ""
    measured: str
    not_shown: int = 0
    cells: str = ""
    left_out: tuple[str, ...] = ()


def answer(parts: Sequence[Part]) -> Answer:
    """What to use, by the shapes of a run.

    The answer is about the pipeline where that was measured, otherwise about the phase before; and
    about the first shape and the largest number of images at which a choice is decided; of large
    images about the largest. Every backend takes part whose cells are those of the reference.
    """
    source = parts[0].source
    phase = asked_phase(parts)
    measured, left_out = _measured(parts), tuple(_left_out(parts, phase))
    if phase and not source.paired:
        use = UNPAIRED.format(kind=source.kind)
        return Answer(use=use, measured=measured, left_out=left_out)
    found = choices(parts, phase)
    if not found:
        use = NOTHING_COMPARED.format(baseline=BASELINE)
        if source.is_large:
            use = NOTHING_COMPARED_LARGE
        elif all(_loop_failed(part, phase) for part in parts):
            use = LOOP_FAILED
        return Answer(use=use, measured=measured, left_out=left_out)
    speaking = _speaking(found)
    own = [choice for choice in found if choice.spot.part is speaking.spot.part]
    table, source = _table(speaking), speaking.spot.part.source
    # Profiles and scripts are of the pipeline.
    code = ""
    if phase == "pipeline" and not speaking.is_open:
        code = code_for(speaking.spot.part, speaking.backend)
    return Answer(
        use=NOTHING_SHOWN if speaking.is_open else _use(speaking, own),
        changes=(
            *_changes(speaking, own, found),
            *filter(None, [costly_steps(source, speaking.spot.cases)] * (phase == "pipeline")),
            f"{ELSEWHERE}{_yours(speaking.spot.part)}.",
        ),
        undecided=tuple(_open(choice) for choice in found if choice.is_open),
        table=table,
        not_shown=len(speaking.spot.cases) - len(table.rows),
        code=code,
        cells=_cells(speaking.spot.part) if code else "",
        measured=measured,
        left_out=left_out,
    )


def _loop_failed(part: Part, phase: str) -> bool:
    own = [case for case in cases_in(part.summary, phase) if case.backend == str(BASELINE)]
    return bool(own) and not any(case.ok for case in own)


def _speaking(found: Sequence[Choice]) -> Choice:
    """The choice of the first shape with the most images that is decided; if none is, the last.

    Where there is one large image of each shape, that of the largest.
    """
    shapes = list(collected((choice.spot.part.words, choice) for choice in found).values())
    if found[0].spot.part.source.is_large:
        shapes.sort(key=lambda own: -own[0].spot.part.pixels)
    for own in shapes:
        if known := decided(own):
            return known[-1]
    return found[-1]


def _use(choice: Choice, own: Sequence[Choice]) -> str:
    """What to use, and what is gained by it beside the plain loop."""
    alike = [one for one in decided(own) if _alike(one, choice)]
    # Of all these numbers of images, or it is left to the next sentence.
    not_dask = ", not Dask" * all(map(_against_dask, alike))
    what, where = _purpose(choice.spot.phase), _where(alike)
    called = _named(choice, choice.backend)
    if not choice.gain:
        return f"Use {called}{not_dask}{what}: nothing was faster for {where}."
    gains = [one.gain for one in alike if one.gain]
    probably = "probably " * any(gain.verdict.startswith("probably") for gain in gains)
    beside = _named(choice, choice.gain.other)
    return f"Use {called}{not_dask}{what}: {probably}{_saved(gains)} {beside} for {where}."


def _alike(choice: Choice, speaking: Choice) -> bool:
    """Whether the same is to be used at another number of images of the shape."""
    return choice.backend == speaking.backend


def _against_dask(choice: Choice) -> bool:
    """Whether all with Dask are slower than what is named, and some of these do the same work."""
    if uses_dask(choice.backend) or not choice.dask:
        return False
    with_dask = [case.backend for case in choice.spot.cases if uses_dask(case.backend)]
    beside = [choice.spot.pair(one, choice.backend) for one in with_dask]
    return all(pair and much_slower(pair) for pair in beside)


def _saved(gains: Sequence[Pair]) -> str:
    """What a backend takes beside another at one or several numbers of images."""
    ratios = [pair.ratio.estimate for pair in gains]
    if min(ratios) < LITTLE:
        return f"{format_range([round(1 / ratio, 1) for ratio in ratios])} times as fast as"
    least, most = f"{1 - max(ratios):.0%}", f"{1 - min(ratios):.0%}"
    return f"{least if least == most else f'{least} to {most}'} less time than"


def _timed(spot: Spot) -> list[int]:
    """All numbers of images that were tried in its phase and shape, also where something failed."""
    cases = cases_in(spot.part.summary, spot.phase)
    return sorted({case.n_images for case in cases})


def _where(alike: Sequence[Choice]) -> str:
    """Numbers of images, of those of a shape, and the shape."""
    spots = [one.spot for one in alike]
    words = sizes_or_more([spot.n_images for spot in spots], _timed(spots[0]))
    shape = spots[0].part.words
    return f"{words} of {shape} pixels" if shape else words


def _purpose(phase: str) -> str:
    return "" if phase == "pipeline" else f", {QUESTIONS[phase]}"


def _changes(speaking: Choice, own: Sequence[Choice], found: Sequence[Choice]) -> Iterator[str]:
    """What Dask takes, and where another choice is better."""
    if not speaking.is_open:
        yield from _a_bit_faster(speaking)
    if speaking.dask and not speaking.is_open:
        yield _on_dask(speaking)
    elif not speaking.dask:
        yield NO_DASK
    others = [one for one in decided(own) if not _alike(one, speaking)]
    measured = _timed(speaking.spot)
    for backend, alike in collected((one.backend, one) for one in others).items():
        sizes = sizes_or_more([one.spot.n_images for one in alike], measured)
        yield f"For {sizes} use {_named(alike[0], backend)}."
    shapes = collected(
        (one.spot.part.words, one) for one in found if one.spot.part is not speaking.spot.part
    )
    last = [known[-1] for one in shapes.values() if (known := decided(one))]
    for backend, alike in collected((one.backend, one) for one in last).items():
        where = listed(
            f"{images(one.spot.n_images)} of {one.spot.part.words} pixels" for one in alike
        )
        same = backend == speaking.backend
        use = "the same backend" if same else _named(alike[0], backend)
        yield f"For {where} use {use}."


def _a_bit_faster(choice: Choice) -> Iterator[str]:
    """Why what is fastest in the table is not named, where it is not."""
    first = choice.spot.cases[0]
    pair = choice.spot.pair(first.backend, choice.backend)
    if pair and pair.verdict.endswith("faster"):
        part, count = choice.spot.part, images(choice.spot.n_images)
        yield (
            f"With {count} {part.called(first.backend)} takes {1 - pair.ratio.estimate:.0%} less time than "
            f"that; for less than {AS_GOOD - 1:.0%} what is simpler, or listed first, is recommended."
        )


def _cells(part: Part) -> str:
    """For which cells the code is set."""
    if not part.run:
        return ""
    params = part.run[0].params
    return (
        f"Set as it was measured, for {params.foreground} cells of {params.diameter:g} pixels in diameter. "
        "For other images `segbench recommend FOLDER --script segment.py` writes a script. These are the "
        "five steps of the benchmark: `segbench segment` also fills holes and splits cells that touch."
    )


def _own_images(part: Part) -> bool:
    """Whether a user's own images were measured."""
    return bool(part.run and part.run[1].images)


def _yours(part: Part) -> str:
    """How to measure one's own, where these are not."""
    if _own_images(part):
        return ""
    return YOUR_LARGE if part.source.is_large else YOURS


def _named(choice: Choice, backend: str) -> str:
    part = choice.spot.part
    return part.source.loop if backend == str(BASELINE) else part.called(backend)


def _on_dask(choice: Choice) -> str:
    """What the best with Dask takes beside the best without, in words."""
    pair = choice.dask
    assert pair  # noqa: S101  (asked for)
    part, count = choice.spot.part, images(choice.spot.n_images)
    one, other = part.called(pair.backend), part.called(pair.other)
    interval = format_interval(pair.ratio.low, pair.ratio.high, to=" to ")
    takes = f"takes {format_factor(pair.ratio.estimate)} times ({interval}) as long as {other}"
    if pair.verdict == "no difference":
        return f"Dask is neither faster nor slower, to within {MARGIN:.0%}: with {count} {one} {takes}."
    if pair.verdict == "undecided":
        return f"Whether Dask would be faster is open: with {count} {one} {takes}."
    if uses_dask(choice.backend):
        return f"With {count} it {takes}, the fastest without Dask."
    return f"With {count} {one}, the fastest with Dask, {takes}."


def _open(choice: Choice) -> Open:
    """What is not decided, and the command that would decide it."""
    spot = choice.spot
    where = images(spot.n_images) + (f" of {spot.part.words} pixels" if spot.part.words else "")
    rivals = choice.rivals[:MOST_RIVALS]
    named = _named(choice, choice.backend)
    text = f"For {where} it is open whether anything is faster than {named}; until then use that"
    if choice.gain:
        text = (
            f"For {where} {named} is faster than {_named(choice, choice.gain.other)}, but it is open whether "
            f"{spot.part.called(rivals[0])} is as fast; until then use the former"
        )
        rivals = (choice.backend, *rivals)
    run = spot.part.run
    if not run:
        return Open(f"{text}.", "")
    limits = Limits(
        precision=run[0].precision,
        rounds=max(MANY_ROUNDS, 2 * run[0].rounds),
        seconds=MANY_SECONDS,
    )
    command = alone(
        run,
        phase=spot.phase,
        n_images=spot.n_images,
        backends=rivals,
        rounds=limits.rounds,
        case_seconds=limits.seconds,
    )
    slowest = max(case.seconds_median for case in spot.cases)
    _, most = expected_seconds(
        arms=1 + len(rivals),
        sizes=(spot.n_images,),
        phases=(spot.phase,),
        each=slowest / spot.n_images,
        looks=PROFILES,
        limits=limits,
    )
    minutes = max(1, round(most / 60))
    return Open(f"{text}. This measures the most likely in about {minutes} min:", command)


def _table(choice: Choice) -> Table:
    """The fastest backends at a spot, the slowest, the plain loop, what is named, and the best with Dask."""
    spot = choice.spot
    wanted = {choice.backend, str(BASELINE), spot.cases[-1].backend}
    wanted |= {choice.dask.backend, choice.dask.other} if choice.dask else set()
    shown = list(spot.cases)
    while len(shown) > MOST_ROWS:
        others = [case for case in reversed(shown) if case.backend not in wanted]
        # One that differs from a faster one by its reader alone tells least.
        again = (case for case in others if _is_again(case, shown))
        shown.remove(next(again, others[0]))
    shape = f" of {spot.part.words} pixels" if spot.part.words else ""
    return Table(
        name="answer",
        title=f"{images(spot.n_images)}{shape}",
        columns=("Backend", "Time", f"Relative to {spot.part.source.loop}", "Memory"),
        rows=tuple(_row(spot.part, case) for case in shown),
        note=f"Time: median of one call. Relative to {spot.part.source.loop}: below 1 is faster; in brackets the "
        "95% interval. Memory: the peak of all processes of a backend together.",
        layout="answer",
    )


def _is_again(case: Case, cases: Sequence[Case]) -> bool:
    """Whether one before it has all of its name but the reader."""
    own = case.backend.split("/", 1)[-1]
    return any(one.backend.split("/", 1)[-1] == own for one in cases[: cases.index(case)])


def _row(part: Part, case: Case) -> Row:
    called, backend = part.called(case.backend), case.backend
    memory = number_cell(case.peak_mib, "{:.0f} MiB".format)
    time, ratio = (case_cell(case, show, prefix=part.prefix) for show in (time_cell, ratio_cell))
    name = Cell(called, note="" if called == backend else backend)
    return row(name, time, ratio, memory, backend=backend)


def _measured(parts: Sequence[Part]) -> str:
    """What was measured, where and when."""
    source = parts[0].source
    backends = {backend for part in parts for backend in part.source.samples["backend"]}
    numbers = sorted({int(size) for part in parts for size in part.source.samples["n_images"]})
    of = listed(dict.fromkeys(part.words for part in parts if part.words))
    text = f"Measured: {sizes_in_words(numbers) if numbers else 'nothing'}"
    text += f" of {of} pixels" if of else ""
    name, count = source.dataset.get("name"), len(backends)
    text += f" ({name})" if isinstance(name, str) else ""
    text += f", {counted(count, 'backend')}"
    cpu, cpus = (source.machine.get(name) for name in ("cpu", "cpus_available"))
    text += f", on {counted(cpus, 'CPU')}" if isinstance(cpus, int) else ""
    text += f" ({cpu})" if isinstance(cpu, str) else ""
    versions = [
        f"{library} {version}"
        for library in LIBRARIES
        if isinstance(version := source.versions.get(library.lower()), str)
    ]
    text += f", with {listed(versions)}" if versions else ""
    return f"{text}, {source.started[:10]}."


def _left_out(parts: Sequence[Part], phase: str) -> Iterator[str]:
    """What has no time since it failed, with the sizes where some have one."""
    for part in parts:
        cases = cases_in(part.summary, phase) if phase else cases_in(part.summary)
        ended = collected((case.backend, (case.status, case.n_images)) for case in cases)
        named = []
        for backend, statuses in ended.items():
            for status, sizes in collected(statuses).items():
                where = f" with {sizes_in_words(sizes)}" * (len(sizes) < len(statuses))
                if status != "ok":
                    named.append(f"{part.called(backend)} ({status}{where})")
        if named:
            of = f"Of {part.words} pixels left" if part.words and len(parts) > 1 else "Left"
            yield f"{of} out: {', '.join(named)}."
