"""A report as files: ``index.html``, ``report.md``, ``tables/*.csv``, ``figures/*.svg`` and ``*.png``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from segbench import files
from segbench.backends.registry import BASELINE
from segbench.measure.settings import CACHES, PHASES
from segbench.report import (
    batches,
    costs,
    disturbances,
    explorer,
    figures,
    presentation,
    reading,
    tables,
)
from segbench.report.answer import answer
from segbench.report.cells import collected
from segbench.report.pairs import pairs_of
from segbench.report.rendering import paragraphs, render
from segbench.report.reproduce import METHOD_LINK, commands
from segbench.report.shapes import Part, overview, shape_of
from segbench.report.side_by_side import compare
from segbench.report.styles import styles
from segbench.report.summary import listed_in, samples_frame, summarize
from segbench.stats import ALPHA, FALSE_SHARE, MARGIN, MIN_ROUNDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from segbench.report.answer import Answer
    from segbench.report.cells import Table
    from segbench.report.drawing import Chapter, Drawing
    from segbench.report.pairs import Pairs
    from segbench.report.styles import Styles
    from segbench.results.sources import Source

# With these a spreadsheet begins a formula.
FORMULA = ("=", "+", "-", "@")


@dataclass(frozen=True)
class Section:
    """Everything that is shown of one source.

    Attributes
    ----------
    source : Source
        Where the figures come from.
    prefix : str
        Of the names of its files, where a report has several sources.
    summary : DataFrame
        One row a case.
    pairs : Pairs
        Backends two by two.
    warnings : tuple of str
        What disturbed the run, in sentences.
    answer : Answer
        Sentences made from the data.
    tables : tuple of Table
        All, in their order on the page.
    drawings : tuple of Drawing
        Each is shown under its table; one that has none, by itself.
    commands : tuple of str
        Lines for a shell that measure the same again.
    """

    source: Source
    prefix: str
    summary: pd.DataFrame
    pairs: Pairs
    warnings: tuple[str, ...]
    answer: Answer
    tables: tuple[Table, ...]
    drawings: tuple[Drawing, ...]
    commands: tuple[str, ...]

    @property
    def title(self) -> str:
        """What the source is called, and the shape of its images where a run has several."""
        name = str(self.source.dataset.get("name") or self.source.kind)
        shape = self.source.shape.replace("x", " × ")
        return f"{name}, {shape} pixels" if shape else name

    def tables_for_terminal(self) -> list[Table]:
        """Times, ratios and what is missing: what fits a terminal."""
        return [
            table
            for table in self.tables
            if table.layout == "ratios" or table.name.endswith("-times") or table.name == "left-out"
        ]


def build(sources: Sequence[Source], out: Path) -> Path:
    """Write a report on some sources; see :func:`write`."""
    return write(make_sections(sources), out)


def write(sections: Sequence[Section], out: Path) -> Path:
    """Write a report.

    Parameters
    ----------
    sections : sequence of Section
        At least one.
    out : Path
        Folder; the files of an earlier report in it are replaced, each in one step, and those that
        this one has not are removed.

    Returns
    -------
    Path
        Of ``index.html``.
    """
    sources = [section.source for section in sections]
    runs = [(section.source, section.summary) for section in sections]
    style = styles_of(sources)
    comparisons = compare(sources, [section.summary for section in sections])
    speedup = figures.speedup_figure(runs, style)
    overviews = make_overviews(sections)
    values: dict[str, object] = {
        "sections": sections,
        "overviews": overviews,
        "comparisons": comparisons,
        "speedup": speedup,
        "baseline": str(BASELINE),
        "method": method(sources),
        "method_link": METHOD_LINK,
        "explored": [heading for heading, *_ in explorer.COLUMNS.values()],
        "data": explorer.explorer_data(runs, style),
        "chart_scripts": explorer.chart_scripts(),
    }
    parts: list[Section | Chapter] = [*overviews, *comparisons, *sections]
    tables = {
        f"{part.prefix}{table.name}": pd.DataFrame(table.texts, columns=list(table.columns))
        for part in parts
        for table in part.tables
    }
    for section in sections:
        tables[f"{section.prefix}summary"] = section.summary
        tables[f"{section.prefix}samples"] = samples_frame(section.source)
    contents = {out / "tables" / f"{name}.csv": _csv(frame) for name, frame in tables.items()}
    drawings = [(part.prefix, drawing) for part in parts for drawing in part.drawings]
    for prefix, drawing in [*drawings, *([("", speedup)] if speedup else [])]:
        for name, content in drawing.files.items():
            contents[out / "figures" / f"{prefix}{name}"] = content
    for name in ("report.md", "index.html"):
        contents[out / name] = render(f"{name}.jinja", values).encode()
    for path, content in contents.items():
        files.write_bytes(path, content)
    for pattern in ("tables/*.csv", "figures/*.svg", "figures/*.png"):
        for path in set(out.glob(pattern)) - set(contents):
            path.unlink()
    return out / "index.html"


def styles_of(sources: Iterable[Source]) -> Styles:
    """How the backends of a page are drawn, as the runs list them: alike in all of its sections."""
    named: list[str] = []
    for source in sources:
        timed = list(source.samples["backend"].unique())
        named += [one for one in listed_in(source, "backends", str) if one in timed] + timed
    return styles(named)


def make_sections(sources: Sequence[Source]) -> list[Section]:
    """One section a source; their files have prefixes where there are several."""
    style = styles_of(sources)
    prefixes = [f"{number}-" for number in range(1, len(sources) + 1)] if sources[1:] else [""]
    return [_section(one, prefix, style) for one, prefix in zip(sources, prefixes, strict=True)]


def make_overviews(sections: Sequence[Section]) -> list[Chapter]:
    """One for each run."""
    runs = collected(
        ((section.source.name, section.source.started), section)
        for section in sections
        if section.source.kind == "segbench" and shape_of(section.source)
    )
    found = []
    for own in runs.values():
        parts = [Part(section.source, section.summary, section.pairs) for section in own]
        prefix = f"{own[0].prefix}best-"
        found.append(overview(parts, prefix=prefix))
    return [one for one in found if one]


def _section(source: Source, prefix: str, style: Styles) -> Section:
    """Summarize a source and make its tables and figures."""
    pairs = pairs_of(source)
    summary = summarize(source, pairs)
    lines, batched = costs.lines(source, summary), batches.batches(source, summary)
    drawings = (
        *figures.time_figures(summary, lines, style),
        *figures.ratio_figures(summary, style),
        batches.batch_figure(batched, style),
        figures.parts_figure(costs.profiles_by_backend(source)),
        figures.memory_figure(summary, style),
        figures.found_picture(source),
        figures.history_figure(source, style),
    )
    return Section(
        source=source,
        prefix=prefix,
        summary=summary,
        pairs=pairs,
        warnings=tuple(disturbances.warnings(source)),
        answer=answer(source, summary, pairs),
        tables=make_tables(source, summary, pairs, lines, batched),
        drawings=tuple(drawing for drawing in drawings if drawing),
        commands=commands(source),
    )


def make_tables(
    source: Source,
    summary: pd.DataFrame,
    pairs: Pairs,
    lines: Sequence[costs.Line],
    batched: Sequence[batches.Batch],
) -> tuple[Table, ...]:
    """All tables of a source, in their order on the page.

    `lines` are those of `costs.lines`, and `batched` those of `batches.batches`.
    """
    shown = (
        presentation.read_table(source, summary),
        presentation.claim_table(summary, pairs),
        reading.reading_table(summary, pairs),
        *tables.phase_tables(source, summary),
        costs.cost_table(lines),
        batches.batch_table(batched),
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


def _csv(frame: pd.DataFrame) -> bytes:
    """A table as a file; bytes of file names that are not UTF-8 are written out."""
    shown = frame.copy()
    for name in shown.select_dtypes(exclude="number"):
        # By value: a column of 50,000 samples holds few.
        shown[name] = shown[name].map({text: _csv_cell(text) for text in shown[name].unique()})
    return shown.to_csv(index=False, lineterminator="\n").encode(errors="backslashreplace")


def _csv_cell(value: object) -> object:
    """Text that a spreadsheet does not take for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
