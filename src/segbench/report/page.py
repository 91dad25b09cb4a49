"""A report as files: ``index.html``, ``report.md``, ``tables/*.csv``, ``figures/*.svg`` and ``*.png``."""

from __future__ import annotations

import base64
import itertools
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jinja2
import pandas as pd

from segbench import __version__, files
from segbench.backends.registry import BASELINE
from segbench.report import costs, tables, trust
from segbench.report.figures import parts_figure, phase_figures
from segbench.report.findings import findings
from segbench.runfile import STATUSES
from segbench.stats import (
    ALPHA,
    FAMILY_ALPHA,
    MARGIN,
    MIN_BLOCKS,
    MIN_SERIAL_BLOCKS,
    VERDICTS,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from segbench.report.figures import Drawing
    from segbench.report.tables import Table
    from segbench.results import Source

# Paragraphs, for HTML and Markdown alike.
METHOD = tuple(
    " ".join(paragraph.split())
    for paragraph in (
        f"""Phases: {"; ".join(f"{phase} ({meaning})" for phase, meaning in tables.PHASES.items())}.
        Opening a lazy collection is not reading it, so the two are timed apart.""",
        """Before a backend is timed on a number of images, it runs each phase once: the pixels it
        reads must equal the reference's, its label images must be the same partition, and its table
        must have the same areas. One that differs is reported as wrong-result and not ranked. This
        first call is not thrown away: its time and its memory are in tables of their own. After it
        each case is called again at least once before samples are taken, until calls are no longer
        5% faster, at most ten times or for one second; a first call of more than a second is not
        followed by another, unless it took longer than the number of its images made expect.""",
        """segbench run takes samples in blocks: a block is one pass over all backends in random
        order, each in a worker process of its own, its pools started and its libraries imported.
        Garbage is not collected by the worker inside a timed call, but may be in the processes of
        its pool. A sample is made of as many calls as fill 5 ms, unless files are to be cold. The thread pools of native libraries hold
        one thread unless the settings say otherwise. While a sample is taken nothing is watched but,
        from outside and a few times a second, whether the worker keeps to its memory limit.""",
        f"""Ratios are formed within a block, so that a drift of the machine does not move them. A
        ratio is the median over the blocks; its 95% interval is that of the sign test, which asks
        nothing of the shape of the noise, is widened where neighbouring blocks resemble each other
        (from {MIN_SERIAL_BLOCKS} blocks on), and needs {MIN_BLOCKS} blocks (with which it is one of
        93.75%). It is the interval of these processes: each backend has one process a run, and what
        differs between two processes of one program, as their layout in memory, is in no interval.
        Faster and slower need an interval beyond a difference of {MARGIN:.0%}, which leaves
        room for that, and trimmed t tests of the ratios' logarithms that say so at a level of
        {ALPHA:.0%}, and of {FAMILY_ALPHA:.0%} for all comparisons of the source together (Holm's
        correction). No difference needs an interval within {MARGIN:.0%} of 1; what is undecided may still be different. The findings compare the fastest backend with the others:
        a second family of comparisons, of a backend that was chosen by the same data, so that the
        interval given with it is a little optimistic.""",
        """Where the time goes is watched in a process of its own, after the timing: in no sample of
        the other tables does anything watch.""",
        """Samples of ASV and pytest-benchmark are taken one case after the other; their ratios
        compare two medians and have neither an interval nor a verdict. ASV compares the cells in a
        benchmark of its own (track_wrong_result), the pytest suite after timing them; the latter
        leaves the thread pools of native libraries as they are.""",
    )
)

CACHES = {
    "cold": "Before each sample the files were dropped from the operating system's page cache: times "
    "of open, read and pipeline are those of a cold disk, as far as its own caches let them be.",
    "warm": "Files were read through the page cache of the operating system: these are not the times "
    "of a cold disk.",
}


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
    findings : tuple of str
        Sentences made from the data.
    tables : tuple of Table
        All, in their order on the page.
    drawings : tuple of Drawing
        One a phase, and one of the parts of a call.
    """

    source: Source
    prefix: str
    summary: pd.DataFrame
    warnings: tuple[str, ...]
    findings: tuple[str, ...]
    tables: tuple[Table, ...]
    drawings: tuple[Drawing, ...]

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
    contents: dict[Path, bytes] = {}
    for section in sections:
        for table in section.tables:
            frame = pd.DataFrame(table.rows, columns=list(table.columns))
            contents[out / "tables" / f"{section.prefix}{table.name}.csv"] = _csv(frame)
        contents[out / "tables" / f"{section.prefix}summary.csv"] = _csv(section.summary)
        for drawing in section.drawings:
            name = f"{section.prefix}{drawing.name}"
            contents[out / "figures" / f"{name}.svg"] = drawing.svg
            contents[out / "figures" / f"{name}.png"] = drawing.png
    index = out / "index.html"
    contents[out / "report.md"] = _utf8(_render("report.md.jinja", sections))
    contents[index] = _utf8(_render("index.html.jinja", sections))
    for path, content in contents.items():
        files.write_bytes(path, content)
    for pattern in ("tables/*.csv", "figures/*.svg", "figures/*.png"):
        for path in set(out.glob(pattern)) - set(contents):
            path.unlink()
    return index


def make_sections(sources: Sequence[Source]) -> list[Section]:
    """One section a source; their files have prefixes where there are several."""
    several = len(sources) > 1
    return [
        make_section(source, f"{number}-" if several else "")
        for number, source in enumerate(sources, start=1)
    ]


def make_section(source: Source, prefix: str) -> Section:
    """Summarize a source and make its tables and figures."""
    summary = tables.summarize(source)
    parts = parts_figure(costs.profiles_by_backend(source))
    return Section(
        source=source,
        prefix=prefix,
        summary=summary,
        warnings=tuple(trust.warnings(source)),
        findings=tuple(findings(source, summary)),
        tables=make_tables(source, summary),
        drawings=(*phase_figures(summary), *([parts] if parts else [])),
    )


def make_tables(source: Source, summary: pd.DataFrame) -> tuple[Table, ...]:
    """All tables of a source, in their order on the page."""
    shown = (
        tables.presentation_table(summary),
        *tables.phase_tables(source, summary),
        costs.cost_table(source, summary),
        costs.parts_table(source),
        costs.cold_start_table(source, summary),
        costs.first_calls_table(summary),
        tables.memory_table(summary),
        tables.truth_table(source),
        trust.blocks_table(source),
        tables.left_out_table(source, summary),
        tables.environment_table(source),
    )
    return tuple(table for table in shown if table)


def method(sections: Sequence[Section]) -> list[str]:
    """How these sources were measured, in paragraphs."""
    named: dict[str, list[str]] = {}
    for section in sections:
        source = section.source
        for cache in CACHES:
            if source.settings.get("cache", "warm") == cache:
                named.setdefault(cache, []).append(f"{source.name} ({source.started})")
    texts = {cache: text for cache, text in CACHES.items() if cache in named}
    if len(texts) > 1:  # which source is which
        texts = {cache: f"{', '.join(named[cache])}: {text}" for cache, text in texts.items()}
    return [*METHOD, *texts.values()]


def _csv(frame: pd.DataFrame) -> bytes:
    shown = frame.copy()
    for name in shown.select_dtypes(exclude="number"):
        shown[name] = shown[name].map(_csv_cell)
    return _utf8(shown.to_csv(index=False, lineterminator="\n"))


def _csv_cell(value: object) -> object:
    """Text that a spreadsheet does not take for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _utf8(text: str) -> bytes:
    """Text as it is saved; bytes of file names that are not UTF-8 are written out."""
    return text.encode(errors="backslashreplace")


def _render(template: str, sections: Sequence[Section]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("segbench.report"),
        autoescape=jinja2.select_autoescape(["html.jinja"], default=False),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["data_uri"] = _data_uri
    environment.filters["markdown_cell"] = _markdown_cell
    environment.filters["by_times"] = _by_times
    environment.filters["by_heading"] = _by_heading
    environment.filters["split_end"] = _split_end
    return environment.get_template(template).render(
        sections=sections,
        baseline=str(BASELINE),
        method=method(sections),
        statuses=tuple(STATUSES),
        version=__version__,
    )


def _data_uri(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


def _by_times(shape: object) -> str:
    """A shape as people write it, whatever a file has in its place."""
    return " × ".join(map(str, shape)) if isinstance(shape, list | tuple) else str(shape)


def _by_heading(rows: Sequence[tuple[str, ...]]) -> list[list[tuple[str, ...]]]:
    """Rows that follow each other under the same heading, together."""
    return [list(group) for _, group in itertools.groupby(rows, key=operator.itemgetter(0))]


def _split_end(cell: str, layout: str) -> tuple[str, str]:
    """A cell, and the verdict or the share that it ends with: it goes on a line of its own."""
    if layout == "parts" and cell.endswith(")"):
        start, _, share = cell.rpartition(" (")
        return start, f"({share}"
    for verdict in VERDICTS if layout == "ratios" else ():
        if cell.endswith(f" {verdict}"):
            return cell.removesuffix(f" {verdict}"), verdict
    return cell, ""


def _markdown_cell(text: str) -> str:
    """Text that a Markdown table shows as it is."""
    text = " ".join(text.replace("&", "&amp;").replace("<", "&lt;").splitlines())
    escaped = "".join(f"\\{letter}" if letter in "\\|`*_[]~#>" else letter for letter in text)
    # At the start of a line these make a list.
    return f"\\{escaped}" if escaped.startswith(("-", "+")) else escaped
