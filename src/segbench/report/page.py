"""A report as files: ``index.html``, ``report.md``, ``tables/*.csv``, ``figures/*.svg`` and ``*.png``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from segbench.measure.settings import CACHES, PHASES
from segbench.report import (
    batches,
    costs,
    disturbances,
    explorer,
    figures,
    folder,
    history,
    large,
    presentation,
    reading,
    releases,
    shapes,
    tables,
)
from segbench.report.answer import answer
from segbench.report.cells import collected, listed
from segbench.report.choice import Part, asked_phase
from segbench.report.pairs import pairs_of
from segbench.report.rendering import paragraphs, render
from segbench.report.reproduce import METHOD_LINK, commands
from segbench.report.side_by_side import compare, of_one_run
from segbench.report.styles import styles
from segbench.report.summary import listed_in, samples_frame, summarize
from segbench.stats import ALPHA, FALSE_SHARE, MARGIN, MIN_ROUNDS
from segbench.text import csv_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from segbench.report.answer import Answer
    from segbench.report.cells import Table
    from segbench.report.drawing import Chapter, Drawing
    from segbench.report.pairs import Pairs
    from segbench.report.styles import Styles
    from segbench.results.sources import Source


# What stands below the first screen, each behind a heading that opens: tables by their names, and
# figures that belong to none. What is named nowhere is in the last.
GROUPS = {
    "By number and size of images": (
        *(f"{phase}-{what}" for phase in PHASES for what in ("times", "cpu", "ratios")),
        *("costs", "batches", "clusters", "history", "steps"),
    ),
    "Reading files: which imread?": ("readers",),
    "Where the time goes": ("parts", "cold-start", "pipeline-first-calls"),
    "Memory": ("pipeline-memory",),
    "The presentation of 2022, replicated": ("presentation-read", "presentation-claim"),
    "How sure is this?": (),
}


@dataclass(frozen=True, kw_only=True)
class Section(Part):
    """Everything that is shown of one source; its prefix is that of its files, too.

    Attributes
    ----------
    warnings : tuple of str
        What disturbed the run, in sentences.
    tables : tuple of Table
        All, in their order on the page.
    drawings : tuple of Drawing
        Each is shown under its table; one that has none, by itself.
    commands : tuple of str
        Lines for a shell that measure the same again.
    """

    warnings: tuple[str, ...]
    tables: tuple[Table, ...]
    drawings: tuple[Drawing, ...]
    commands: tuple[str, ...]

    @property
    def title(self) -> str:
        """What the source is called, and the shape of its images where a run has several."""
        name = str(self.source.dataset.get("name") or self.source.kind)
        shape = self.source.shape.replace("x", " × ")
        return f"{name}, {shape} pixels" if shape else name

    def tables_of(self, group: str) -> list[Table]:
        """Those of one of the `GROUPS`."""
        return [table for table in self.tables if _group_of(table.name) == group]

    def alone_in(self, group: str) -> list[Drawing]:
        """The figures of one of the `GROUPS` that belong to no table."""
        alone = (drawing for drawing in self.drawings if not drawing.table)
        return [drawing for drawing in alone if _group_of(drawing.name) == group]


@dataclass(frozen=True)
class Run:
    """A run with all of its shapes, or another source: what the first screen of a page tells of it.

    Attributes
    ----------
    title : str
        What it is called, where a page has several.
    prefix : str
        Of the names of its files.
    answer : Answer
        What to use.
    overview : Chapter, optional
        The best of each kind.
    figure : Drawing, optional
        Of `overview` or of a section; shown on the first screen, and with its table again.
    warnings : tuple of str
        Those of its sections, each once.
    sections : tuple of Section
        One a shape.
    """

    title: str
    prefix: str
    answer: Answer
    overview: Chapter | None
    figure: Drawing | None
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]


def _group_of(name: str) -> str:
    *groups, last = GROUPS
    return next((group for group in groups if name in GROUPS[group]), last)


def build(sources: Sequence[Source], out: Path) -> Path:
    """Write a report on some sources; see :func:`write`."""
    runs = make_runs(make_sections(sources))
    return write(runs, out, released=releases_of(runs))


def write(runs: Sequence[Run], out: Path, *, released: Chapter | None = None) -> Path:
    """Write a report.

    Parameters
    ----------
    runs : sequence of Run
        At least one.
    out : Path
        Folder, as :func:`segbench.report.folder.write` has it.
    released : Chapter, optional
        What `releases_of` tells of them, which then stands in place of their answers.

    Returns
    -------
    Path
        Of ``index.html``.
    """
    sections = [section for run in runs for section in run.sections]
    sources = [section.source for section in sections]
    measured = [(section.source, section.summary) for section in sections]
    style = styles_of(sources)
    # Two by two, the environments of a matrix would be a chapter each that knows less.
    comparisons = (released,) if released else compare(sources, [one.summary for one in sections])
    speedup = figures.speedup_figure(measured, style)
    overviews = [run.overview for run in runs if run.overview]
    values: dict[str, object] = {
        "runs": runs,
        # Of environments that differ in a release what matters is the difference.
        "answered": [] if released else runs,
        "groups": _groups(runs),
        "sections": sections,
        "comparisons": comparisons,
        "speedup": speedup,
        "names": {backend: look.name for backend, look in style.items()},
        "method": method(sources),
        "method_link": METHOD_LINK,
        "explored": [heading for heading, *_ in explorer.COLUMNS.values()],
        "data": explorer.explorer_data(measured, style),
        "chart_scripts": explorer.chart_scripts(),
    }
    parts: list[Section | Chapter] = [*overviews, *comparisons, *sections]
    tables = {
        f"{part.prefix}{table.name}": csv_of(table) for part in parts for table in part.tables
    }
    for section in sections:
        tables[f"{section.prefix}summary"] = _csv(section.summary)
        tables[f"{section.prefix}samples"] = _csv(samples_frame(section.source))
    contents = {f"tables/{name}.csv": content for name, content in tables.items()}
    drawings = [(part.prefix, drawing) for part in parts for drawing in part.drawings]
    for prefix, drawing in [*drawings, *([("", speedup)] if speedup else [])]:
        for name, content in drawing.files.items():
            contents[f"figures/{prefix}{name}"] = content
    for name in ("report.md", folder.INDEX):
        contents[name] = render(f"{name}.jinja", values).encode()
    return folder.write(out, contents)


def releases_of(runs: Sequence[Run]) -> Chapter | None:
    """What releases of the libraries change, where the sources of some runs differ in these alone."""
    sources = [section.source for run in runs for section in run.sections]
    return releases.chapter(sources, styles_of(sources))


def styles_of(sources: Iterable[Source]) -> Styles:
    """How the backends of a page are drawn, as the runs list them: alike in all of its sections."""
    named: dict[str, str] = {}
    # A large image has another name for the plain loop, which many images do not go by.
    for source in sorted(sources, key=lambda one: one.is_large):
        timed = list(source.samples["backend"].unique())
        listed = [one for one in listed_in(source, "backends", str) if one in timed]
        for backend in [*listed, *timed]:
            named.setdefault(backend, source.backends[backend].words)
    return styles(named, named)


def make_sections(sources: Sequence[Source]) -> list[Section]:
    """One section a source; their files have prefixes where there are several."""
    style = styles_of(sources)
    prefixes = [f"{number}-" for number in range(1, len(sources) + 1)] if sources[1:] else [""]
    return [_section(one, prefix, style) for one, prefix in zip(sources, prefixes, strict=True)]


def make_runs(sections: Sequence[Section]) -> list[Run]:
    """The sections of a run together."""
    own: list[list[Section]] = []
    for section in sections:
        if own and of_one_run(own[-1][0].source, section.source):
            own[-1].append(section)
        else:
            own.append([section])
    return [_run(one) for one in own]


def _groups(runs: Sequence[Run]) -> list[str]:
    """Those of the `GROUPS` that hold something, and the last in any case."""
    first, *_, last = GROUPS
    sections = [section for run in runs for section in run.sections]
    return [
        group
        for group in GROUPS
        if group == last
        or (group == first and any(run.overview for run in runs))
        or any(section.tables_of(group) or section.alone_in(group) for section in sections)
    ]


def _warnings(sections: Sequence[Section]) -> Iterator[str]:
    """Each once, with the shape that it is of where not all have it."""
    told = collected(
        (text, one.source.shape.replace("x", " × ")) for one in sections for text in one.warnings
    )
    for text, own in told.items():
        of = f"Of {listed(own)} pixels: " if len(own) < len(sections) else ""
        yield f"{of}{text}"


def _run(sections: Sequence[Section]) -> Run:
    first, chapter = sections[0], None
    if first.source.kind == "segbench":
        prefix = f"{first.prefix}best-"
        if first.source.is_large:
            style = styles_of([section.source for section in sections])
            chapter = large.overview(sections, style, prefix=prefix)
        else:
            chapter = shapes.overview(sections, prefix=prefix)
    found, phase = answer(sections), asked_phase(sections)
    shown = (chapter.drawings if chapter else ()) or first.drawings
    wanted = (f"map-{phase}", f"{phase}-ratios")
    return Run(
        title=f"{first.source.name}, {first.source.started}",
        prefix=first.prefix,
        answer=found,
        overview=chapter,
        figure=next((drawing for drawing in shown if drawing.name in wanted), None),
        warnings=tuple(_warnings(sections)),
        sections=tuple(sections),
    )


def _section(source: Source, prefix: str, style: Styles) -> Section:
    """Summarize a source and make its tables and figures."""
    pairs = pairs_of(source)
    summary = summarize(source, pairs)
    lines, batched = costs.lines(source, summary), batches.batches(source, summary)
    past = history.history_of(source)
    drawings = (
        *figures.time_figures(summary, lines, style),
        *figures.ratio_figures(summary, style, loop=source.loop),
        batches.batch_figure(source, batched, style),
        figures.parts_figure(costs.profiles_by_backend(source), style),
        figures.memory_figure(summary, style),
        figures.found_picture(source),
        history.history_figure(past, style) if past else None,
    )
    return Section(
        source=source,
        prefix=prefix,
        summary=summary,
        pairs=pairs,
        warnings=tuple(disturbances.warnings(source)),
        tables=make_tables(source, summary, pairs, lines, batched, past),
        drawings=tuple(drawing for drawing in drawings if drawing),
        commands=commands(source),
    )


def make_tables(
    source: Source,
    summary: pd.DataFrame,
    pairs: Pairs,
    lines: Sequence[costs.Line],
    batched: Sequence[batches.Batch],
    past: history.History | None,
) -> tuple[Table, ...]:
    """All tables of a source, in their order on the page.

    `lines` are those of `costs.lines`, `batched` those of `batches.batches`, and `past` is that of
    `history.history_of`.
    """
    many = (
        ()
        if source.is_large
        else (presentation.read_table(source, summary), presentation.claim_table(summary, pairs))
    )
    shown = (
        *many,
        reading.reading_table(source, summary, pairs),
        *tables.phase_tables(source, summary),
        costs.cost_table(lines),
        batches.batch_table(source, batched),
        history.steps_table(past) if past else None,
        costs.parts_table(source, summary),
        costs.cold_start_table(source, summary),
        costs.first_calls_table(summary),
        tables.memory_table(summary),
        tables.cluster_table(source),
        tables.truth_table(source),
        disturbances.rounds_table(source),
        tables.left_out_table(source, summary),
        tables.environment_table(source),
        tables.cases_table(source),
    )
    return tuple(table for table in shown if table)


def method(sources: Iterable[Source]) -> list[str]:
    """How these sources were measured, in paragraphs for HTML and Markdown alike."""
    cached: dict[str, list[str]] = {}
    kinds = set()
    for source in sources:
        kinds.add(source.kind)
        if (cache := source.settings.get("cache", "warm")) in CACHES:
            name = " ".join(f"{source.name} ({source.started})".split())
            cached.setdefault(cache, []).append(name)
    values: dict[str, object] = {"phases": PHASES, "cached": cached, "kinds": kinds}
    values |= {"margin": MARGIN, "alpha": ALPHA}
    values |= {"false_share": FALSE_SHARE, "rounds": MIN_ROUNDS}
    return paragraphs("method.txt.jinja", values)


def csv_of(table: Table) -> bytes:
    """A table for people as a file."""
    return _csv(pd.DataFrame(table.texts, columns=list(table.columns)))


def _csv(frame: pd.DataFrame) -> bytes:
    """A table as a file."""
    shown = frame.copy()
    for name in shown.select_dtypes(exclude="number"):
        # By value: a column of 50,000 samples holds few.
        shown[name] = shown[name].map(
            {
                text: csv_text(text) if isinstance(text, str) else text
                for text in shown[name].unique()
            }
        )
    return shown.to_csv(index=False, lineterminator="\n").encode()
