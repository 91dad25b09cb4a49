"""Runs of many machines on one page: what holds on all of them, and what differs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING

from segbench.errors import InputError
from segbench.measure.settings import PHASES
from segbench.report import folder
from segbench.report.answer import answer
from segbench.report.cells import (
    NOTHING,
    Cell,
    Table,
    collected,
    finding_cell,
    format_value,
    listed,
    number_cell,
    row,
    seconds_cell,
    sizes_in_words,
)
from segbench.report.choice import Part, asked_phase, choices, kind_of
from segbench.report.page import csv_of, styles_of
from segbench.report.pairs import pairs_of
from segbench.report.rendering import render
from segbench.report.shapes import overview
from segbench.report.summary import cases_in, summarize
from segbench.report.tables import ratio_cell
from segbench.report.verify import faults
from segbench.results.records import RUN_NAME
from segbench.results.sources import LOOP, WHOLE, read_run_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from segbench.report.cells import Row
    from segbench.report.choice import Choice
    from segbench.report.drawing import Drawing
    from segbench.results.sources import Source

NAME = "machines"

SEND = "https://github.com/segbench/segbench/blob/HEAD/CONTRIBUTING.md"

# What a page filters by; the columns of the table of all cases that these stand in.
FILTERS = ("Machine", "Pixels", "Images", "Phase", "Backend")

# Facts of a machine, as its header has them.
FACTS = {"cpu": "", "cpus_available": "CPUs", "memory_gib": "GiB of memory", "system": ""}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine, and what it measured.

    Attributes
    ----------
    name : str
        Its folder's.
    facts : str
        What it is, in words.
    runs : tuple of tuple of Part
        The shapes of each run, the newest run last.
    """

    name: str
    facts: str
    runs: tuple[tuple[Part, ...], ...]

    @cached_property
    def chosen(self) -> Mapping[Place, Choice]:
        """What to use at each place that it measured; of several runs, by the newest."""
        made = (choice for run in self.runs for choice in choices(run, asked_phase(run)))
        return {_place(choice): choice for choice in made}


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """What a page shows of a run by itself."""

    title: str
    use: str
    measured: str
    map: Drawing | None


@dataclass(frozen=True, order=True)
class Place:
    """Images of one shape, so many of them, in a phase.

    Attributes
    ----------
    pixels : int
        Of an image.
    words : str
        The shape.
    n_images : int
    phase : str
    large : bool
        Whether the image is worked on in tiles.
    """

    pixels: int
    words: str
    n_images: int
    phase: str
    large: bool


def runs_of(path: Path) -> dict[str, list[Path]]:
    """The folders of the runs of each machine, where a folder is one of machines; empty otherwise.

    Such a folder holds one for each machine, with its runs in it (``NAME/RUN/run.jsonl``); if it is called
    ``machines``, a machine's folder may also be a run itself.
    """
    alone = sorted(path.glob(f"*/{RUN_NAME}"))
    within = sorted(path.glob(f"*/*/{RUN_NAME}"))
    if (path / RUN_NAME).exists() or (alone and path.resolve().name != NAME):
        return {}
    found = ((file.parent.relative_to(path).parts[0], file.parent) for file in (*alone, *within))
    return collected(sorted(found))


def read(runs: Mapping[str, Sequence[Path]]) -> tuple[list[Machine], list[str]]:
    """Read the runs of some machines.

    Returns
    -------
    list of Machine
        Those of which a run was read.
    list of str
        A line for each thing that is wrong with a run, which is left out.

    Raises
    ------
    InputError
        If no run could be read.
    """
    wrong, read_ones = [], []
    for name, folders in runs.items():
        own = []
        for each in folders:
            found = [*_links(each, name), *faults(each)]
            wrong += [f"{each}: {line}" for line in found]
            if not found:
                own.append(read_run_folder(each))
        if own:
            own.sort(key=lambda sources: sources[0].started)
            made = tuple(tuple(map(_part, sources)) for sources in own)
            read_ones.append(Machine(name=name, facts=_facts(own[-1][0]), runs=made))
    if not read_ones:
        raise InputError("; ".join(wrong) or "no runs of machines")
    return read_ones, wrong


def _links(run: Path, name: str) -> Iterator[str]:
    """Whether the folder of a run, or of its machine, is a link: it may lead anywhere."""
    for each in (run.parent, run) if run.parent.name == name else (run,):
        if each.is_symlink():
            yield f"{each.name}: is a link; put there what it leads to"


def _part(source: Source) -> Part:
    pairs = pairs_of(source)
    return Part(source=source, summary=summarize(source, pairs), pairs=pairs)


def write(machines: Sequence[Machine], out: Path) -> Path:
    """Write the page of some machines.

    Parameters
    ----------
    machines : sequence of Machine
        At least one.
    out : Path
        Folder, as :func:`segbench.report.folder.write` has it.

    Returns
    -------
    Path
        Of ``index.html``, which loads nothing.
    """
    chosen = [machine.chosen for machine in machines]
    parts = [part for machine in machines for run in machine.runs for part in run]
    together, every = _choices_table(machines, chosen), _cases_table(machines)
    values: dict[str, object] = {
        "machines": [(machine, [*map(_shown, machine.runs)]) for machine in machines],
        "sentences": sentences(machines),
        "together": together,
        "every": every,
        "filters": FILTERS,
        "send": SEND,
        "names": {
            backend: look.name for backend, look in styles_of(part.source for part in parts).items()
        },
    }
    tables = {f"tables/{table.name}.csv": csv_of(table) for table in (together, every)}
    page = render("machines.html.jinja", values)
    return folder.write(out, {**tables, folder.INDEX: page.encode()})


def sentences(machines: Sequence[Machine]) -> list[str]:
    """What holds on all machines that measured it, and what differs between them."""
    if len(machines) == 1:
        return [f"So far there are results of one machine, {machines[0].name}. Others may differ."]
    chosen = [machine.chosen for machine in machines]
    shared: dict[str, list[Place]] = {}
    differing, alone = [], []
    for place in sorted({place for own in chosen for place in own}):
        named = [own[place] for own in chosen if place in own]
        kinds = {_kind(one) for one in named if not one.is_open}
        if len(named) == 1:
            alone.append(place)
        elif len(kinds) > 1:
            differing.append(place)
        elif kinds:
            shared.setdefault(kinds.pop(), []).append(place)
    told = [
        f"On all machines that measured it, use {kind} for {_places(where)}."
        for kind, where in shared.items()
    ]
    if differing:
        told.append(f"What to use differs between machines for {_places(differing)}.")
    if alone:
        told.append(f"One machine alone has measured {_places(alone)}.")
    return told


def _places(places: Sequence[Place]) -> str:
    """Numbers of images of some shapes, in words."""
    by_shape = collected(((place.words, place.large), place.n_images) for place in places)
    return listed(
        f"{'one large image' if large else sizes_in_words(sizes)} of {words} pixels"
        for (words, large), sizes in by_shape.items()
    )


def _facts(source: Source) -> str:
    """What a machine is, in words."""
    told = [
        f"{format_value(value)} {unit}".strip()
        for key, unit in FACTS.items()
        if (value := source.machine.get(key)) not in (None, "")
    ]
    return ", ".join(told)


def _shown(run: Sequence[Part]) -> _Shown:
    """What a run by itself says."""
    source, found = run[0].source, answer(run)
    chapter = None if source.is_large else overview(run, prefix="")
    return _Shown(
        title=f"{PurePath(source.name).name}, {source.started[:10]}",
        use=found.use,
        measured=found.measured,
        map=next(iter(chapter.drawings), None) if chapter else None,
    )


def _place(choice: Choice) -> Place:
    spot = choice.spot
    large = spot.part.source.is_large
    return Place(spot.part.pixels, spot.part.words, spot.n_images, spot.phase, large)


def _kind(choice: Choice) -> str:
    """Which kind a choice is of, in words."""
    kind = kind_of(choice.backend)
    return choice.spot.part.source.loop if kind == LOOP else kind


def _choices_table(machines: Sequence[Machine], chosen: Sequence[Mapping[Place, Choice]]) -> Table:
    """What to use at each place, machine by machine."""
    places, several = sorted({place for own in chosen for place in own}), len(machines) > 1
    return Table(
        name="choices",
        title="What to use, on each machine",
        columns=(
            "Pixels",
            "Images",
            *(machine.name for machine in machines),
            *(["On all"] * several),
        ),
        rows=tuple(_choice_row(place, chosen) for place in places),
        note="The simplest backend that no other was shown to beat by more than 10%, with its time "
        f"relative to {LOOP} ({WHOLE}, where there is one large image) and the 95% interval.",
        layout="places",
    )


def _choice_row(place: Place, chosen: Sequence[Mapping[Place, Choice]]) -> Row:
    named = [own.get(place) for own in chosen]
    kinds = {_kind(one) for one in named if one and not one.is_open}
    measured = sum(one is not None for one in named)
    told = (
        "the same" if len(kinds) == 1 and measured > 1 else "differs" if len(kinds) > 1 else NOTHING
    )
    return row(
        Cell(place.words, place.pixels),
        Cell("one, large" if place.large else str(place.n_images), place.n_images),
        *(_choice_cell(one) if one else NOTHING for one in named),
        *([told] if len(named) > 1 else []),
    )


def _choice_cell(choice: Choice) -> Cell:
    gain = choice.gain
    ratio = finding_cell(gain.ratio, "").text if gain else ""
    words = choice.spot.part.called(choice.backend)
    still = "; open" if choice.is_open else ""
    return Cell(
        words, gain.ratio.estimate if gain else 1.0, note=f"{ratio}{still}".removeprefix("; ")
    )


def _cases_table(machines: Sequence[Machine]) -> Table:
    """Every case of every machine."""
    return Table(
        name="cases",
        title="Every backend that was measured",
        columns=(*FILTERS, "Time", "Relative to a plain loop", "Memory"),
        rows=tuple(one for machine in machines for one in _case_rows(machine)),
        note="Medians of the time of a call. Memory: the peak of all processes of a backend together.",
        layout="dense",
    )


def _case_rows(machine: Machine) -> Iterator[Row]:
    for part in (part for run in machine.runs for part in run):
        for case in cases_in(part.summary, *PHASES):
            yield row(
                machine.name,
                Cell(part.words, part.pixels),
                Cell(str(case.n_images), case.n_images),
                case.phase,
                case.backend,
                seconds_cell(case.seconds_median) if case.ok else Cell("", verdict=case.status),
                ratio_cell(case) if case.ok else NOTHING,
                number_cell(case.peak_mib, "{:.0f} MiB".format),
            )
