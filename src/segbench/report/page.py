"""A report as files: ``index.html``, ``report.md``, ``tables/*.csv``, ``figures/*.svg`` and ``*.png``."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from segbench import __version__, files
from segbench.backends.registry import BASELINE
from segbench.measure.settings import CACHES, PHASES
from segbench.report import costs, disturbances, explorer, presentation, tables
from segbench.report.answer import answer
from segbench.report.figures import (
    found_picture,
    history_figure,
    memory_figure,
    parts_figure,
    ratio_figures,
    speedup_figure,
    time_figures,
)
from segbench.report.rendering import data_uri, fence, markdown_text, render
from segbench.report.reproduce import METHOD_LINK, commands
from segbench.report.side_by_side import compare
from segbench.report.styles import styles
from segbench.report.summary import listed_in, samples_frame, summarize
from segbench.stats import ALPHA, FALSE_SHARE, MARGIN, MIN_BLOCKS, MIN_SERIAL_BLOCKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from segbench.report.answer import Answer
    from segbench.report.cells import Table
    from segbench.report.drawing import Drawing
    from segbench.report.side_by_side import SideBySide
    from segbench.report.styles import Style
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
    warnings: tuple[str, ...]
    answer: Answer
    tables: tuple[Table, ...]
    drawings: tuple[Drawing, ...]
    commands: tuple[str, ...]

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
    comparisons = compare(
        [section.source for section in sections], [section.summary for section in sections]
    )
    style = styles_of(section.source for section in sections)
    speedup = speedup_figure(_runs(sections), style)
    contents: dict[Path, bytes] = {}
    parts: tuple[Section | SideBySide, ...] = (*comparisons, *sections)
    for part in parts:
        for table in part.tables:
            frame = pd.DataFrame(table.texts, columns=list(table.columns))
            contents[out / "tables" / f"{part.prefix}{table.name}.csv"] = _csv(frame)
    for section in sections:
        samples = samples_frame(section.source)
        for name, frame in (("summary", section.summary), ("samples", samples)):
            contents[out / "tables" / f"{section.prefix}{name}.csv"] = _csv(frame)
        contents.update(_pictures(out, section.prefix, section.drawings))
    if speedup:
        contents.update(_pictures(out, "", [speedup]))
    values: dict[str, object] = {
        "sections": sections,
        "comparisons": comparisons,
        "speedup": speedup,
        "baseline": str(BASELINE),
        "method": method(sections),
        "method_link": METHOD_LINK,
        "explored": [heading for heading, _ in explorer.COLUMNS.values()],
        "version": __version__,
    }
    scripts = {
        "data": explorer.explorer_data(_runs(sections), style),
        "chart_scripts": explorer.chart_scripts(),
    }
    index = out / "index.html"
    contents[out / "report.md"] = _filled("report.md.jinja", values)
    contents[index] = _filled("index.html.jinja", {**values, **scripts})
    for path, content in contents.items():
        files.write_bytes(path, content)
    for pattern in ("tables/*.csv", "figures/*.svg", "figures/*.png"):
        for path in set(out.glob(pattern)) - set(contents):
            path.unlink()
    return index


def _pictures(out: Path, prefix: str, drawings: Iterable[Drawing]) -> dict[Path, bytes]:
    """The files of some figures."""
    formats = {
        out / "figures" / f"{prefix}{drawing.name}.{kind}": content
        for drawing in drawings
        for kind, content in (("svg", drawing.svg), ("png", drawing.png))
    }
    return {path: content for path, content in formats.items() if content}


def _runs(sections: Sequence[Section]) -> list[tuple[Source, pd.DataFrame]]:
    return [(section.source, section.summary) for section in sections]


def styles_of(sources: Iterable[Source]) -> dict[str, Style]:
    """How the backends of a page are drawn, as the runs list them: alike in all of its sections."""
    named: list[str] = []
    for source in sources:
        timed = list(source.samples["backend"].unique())
        listed = listed_in(source, "backends", str)
        named += [*(backend for backend in listed if backend in timed), *timed]
    return styles(named)


def make_sections(sources: Sequence[Source]) -> list[Section]:
    """One section a source; their files have prefixes where there are several."""
    several = len(sources) > 1
    style = styles_of(sources)
    return [
        make_section(source, f"{number}-" if several else "", style=style)
        for number, source in enumerate(sources, start=1)
    ]


def make_section(
    source: Source, prefix: str, *, style: Mapping[str, Style] | None = None
) -> Section:
    """Summarize a source and make its tables and figures.

    Parameters
    ----------
    source : Source
        What was measured.
    prefix : str
        Of the names of its files.
    style : mapping of str to Style, optional
        Of the backends, where those of other sources are on the page.
    """
    summary = summarize(source)
    lines = costs.lines(source, summary)
    looks = styles_of([source]) if style is None else style
    drawings = (
        *time_figures(summary, lines, looks),
        *ratio_figures(summary, looks),
        parts_figure(costs.profiles_by_backend(source)),
        memory_figure(summary, looks),
        found_picture(source),
        history_figure(source, looks),
    )
    return Section(
        source=source,
        prefix=prefix,
        summary=summary,
        warnings=tuple(disturbances.warnings(source)),
        answer=answer(source, summary),
        tables=make_tables(source, summary, lines),
        drawings=tuple(drawing for drawing in drawings if drawing),
        commands=commands(source),
    )


def make_tables(
    source: Source, summary: pd.DataFrame, lines: Sequence[costs.Line]
) -> tuple[Table, ...]:
    """All tables of a source, in their order on the page; `lines` are those of `costs.lines`."""
    shown = (
        presentation.read_table(source, summary),
        presentation.claim_table(source, summary),
        *tables.phase_tables(source, summary),
        costs.cost_table(lines),
        costs.parts_table(source, summary),
        costs.cold_start_table(source, summary),
        costs.first_calls_table(summary),
        tables.memory_table(summary),
        tables.truth_table(source),
        disturbances.blocks_table(source),
        tables.left_out_table(source, summary),
        tables.environment_table(source),
        tables.cases_table(source),
    )
    return tuple(table for table in shown if table)


def method(sections: Sequence[Section]) -> list[str]:
    """How these sources were measured, in paragraphs for HTML and Markdown alike."""
    cached: dict[str, list[str]] = {}
    for source in (section.source for section in sections):
        cache = source.settings.get("cache", "warm")
        if cache in CACHES:
            name = " ".join(f"{source.name} ({source.started})".split())
            cached.setdefault(cache, []).append(name)
    values = {"phases": PHASES, "cached": cached, "margin": MARGIN, "alpha": ALPHA}
    values |= {"false_share": FALSE_SHARE, "blocks": MIN_BLOCKS, "serial_blocks": MIN_SERIAL_BLOCKS}
    text = render("method.txt.jinja", filters={"percent": "{:.0%}".format}, values=values)
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]


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


def _filled(template: str, values: Mapping[str, object]) -> bytes:
    """A template with its values, as a file."""
    filters: dict[str, Callable[..., object]] = {
        "picture_uri": _picture_uri,
        "markdown": markdown_text,
        "by_times": _by_times,
        "fence": fence,
    }
    return render(template, filters=filters, values=values).encode()


def _picture_uri(drawing: Drawing) -> str:
    """A figure as an address that holds it."""
    if drawing.svg:
        return data_uri(drawing.svg)
    return f"data:image/png;base64,{base64.b64encode(drawing.png).decode()}"


def _by_times(shape: object) -> str:
    """A shape as people write it, whatever a file has in its place."""
    return " × ".join(map(str, shape)) if isinstance(shape, list | tuple) else str(shape)
