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
from segbench.report import tables
from segbench.report.figures import Drawing, phase_figures
from segbench.runfile import STATUSES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from segbench.report.tables import Table
    from segbench.results import Source

ENOUGH_BLOCKS = 5

# Paragraphs, for HTML and Markdown alike.
METHOD = tuple(
    " ".join(paragraph.split())
    for paragraph in (
        f"""Phases: {"; ".join(f"{phase} ({meaning})" for phase, meaning in tables.PHASES.items())}.
        Opening a lazy collection is not reading it, so the two are timed apart.""",
        """Before a backend is timed on a number of images, it runs each phase once: the pixels it
        reads must equal the reference's, its label images must be the same partition, and its table
        must have the same areas. One that differs is reported as wrong-result and not ranked.""",
        """segbench run takes samples in blocks: a block is one pass over all backends in random
        order, each in a worker process of its own, its pools started and its libraries imported.
        Ratios are formed within a block, so that a drift of the machine does not move them. Garbage
        is not collected by the worker inside a timed call, and a call shorter than 5 ms is repeated
        within its sample. The thread pools of native libraries hold one thread unless the settings say
        otherwise.""",
        """Samples of ASV and pytest-benchmark are taken one case after the other; their ratios
        compare two medians and have no spread. ASV compares the cells in a benchmark of its own
        (track_wrong_result), the pytest suite after timing them; the latter leaves the thread pools
        of native libraries as they are.""",
        """Files were read through the page cache of the operating system: these are not the times
        of a cold disk.""",
    )
)


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
    findings : tuple of str
        Sentences made from the data.
    presentation, memory, left_out, truth : Table or None
        None where there is nothing to say.
    phases : tuple of Table
        Times and ratios.
    environment : Table
        Machine, versions, settings.
    drawings : tuple of Drawing
        One a phase.
    """

    source: Source
    prefix: str
    summary: pd.DataFrame
    findings: tuple[str, ...]
    presentation: Table | None
    phases: tuple[Table, ...]
    memory: Table | None
    truth: Table | None
    left_out: Table | None
    environment: Table
    drawings: tuple[Drawing, ...]

    def shown_tables(self) -> list[Table]:
        """All tables of the section, in their order on the page."""
        end = (self.memory, self.truth, self.left_out, self.environment)
        return [table for table in (self.presentation, *self.phases, *end) if table]

    def tables_for_terminal(self) -> list[Table]:
        """What fits a terminal."""
        return [*self.phases, *([self.left_out] if self.left_out else [])]


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
        for table in section.shown_tables():
            frame = pd.DataFrame(table.rows, columns=list(table.columns))
            contents[out / "tables" / f"{section.prefix}{table.name}.csv"] = _csv(frame)
        contents[out / "tables" / f"{section.prefix}summary.csv"] = _csv(section.summary)
        for drawing in section.drawings:
            name = f"{section.prefix}{drawing.name}"
            contents[out / "figures" / f"{name}.svg"] = drawing.svg
            contents[out / "figures" / f"{name}.png"] = drawing.png
    index = out / "index.html"
    contents[out / "report.md"] = _render("report.md.jinja", sections).encode()
    contents[index] = _render("index.html.jinja", sections).encode()
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
    return Section(
        source=source,
        prefix=prefix,
        summary=summary,
        findings=tuple(findings(source, summary)),
        presentation=tables.presentation_table(summary),
        phases=tuple(tables.phase_tables(source, summary)),
        memory=tables.memory_table(summary),
        truth=tables.truth_table(source),
        left_out=tables.left_out_table(source, summary),
        environment=tables.environment_table(source),
        drawings=tuple(phase_figures(summary)),
    )


def findings(source: Source, summary: pd.DataFrame) -> list[str]:
    """For each phase a sentence on its fastest backend at the largest size.

    A backend counts as faster than another only where each of at least `ENOUGH_BLOCKS` blocks says
    so: by chance that happens once in 32 times.
    """
    sentences = []
    for phase in ("pipeline", "process", "read"):
        rows = summary[(summary["phase"] == phase) & (summary["status"] == "ok")]
        rows = rows[rows["n_images"] == rows["n_images"].max()].sort_values("ratio_median")
        if len(rows) < 2 or rows["ratio_low"].isna().all() or rows["samples"].min() < ENOUGH_BLOCKS:
            continue
        size = rows["n_images"].iloc[0]
        where = f"{phase}, {tables.images(size)}"
        ahead = rows[rows["ratio_high"] < 1]
        if ahead.empty:
            sentences.append(f"{where}: nothing was faster than {BASELINE} in every block.")
            continue
        best = ahead.iloc[0]
        sentence = (
            f"{where}: {best['backend']} took {best['ratio_median']:.2f} times the baseline's time "
            f"({best['ratio_low']:.2f} to {best['ratio_high']:.2f} in the single blocks)"
        )
        near = []
        for backend in rows["backend"].drop(best.name):
            ratio = tables.ratio_of(source, phase, size, backend, best["backend"])
            # Without a common block nothing tells them apart.
            if ratio is None or ratio.low <= 1:
                near.append(backend)
        if near:
            sentence += f"; not told apart from it: {', '.join(near)}"
        sentences.append(f"{sentence}.")
    return sentences


def _csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False, lineterminator="\n").encode()


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
    environment.filters["by_heading"] = _by_heading
    return environment.get_template(template).render(
        sections=sections,
        baseline=str(BASELINE),
        method=METHOD,
        statuses=tuple(STATUSES),
        version=__version__,
    )


def _data_uri(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


def _by_heading(rows: Sequence[tuple[str, ...]]) -> list[list[tuple[str, ...]]]:
    """Rows that follow each other under the same heading, together."""
    return [list(group) for _, group in itertools.groupby(rows, key=operator.itemgetter(0))]


def _markdown_cell(text: str) -> str:
    """Text that a Markdown table shows as it is."""
    text = " ".join(text.replace("&", "&amp;").replace("<", "&lt;").splitlines())
    return "".join(f"\\{letter}" if letter in "\\|`*_[]~" else letter for letter in text)
