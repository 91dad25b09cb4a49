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
        is not collected inside a timed call, and a call shorter than 5 ms is repeated within its
        sample. The thread pools of native libraries hold one thread unless the settings say
        otherwise.""",
        """Samples of ASV and pytest-benchmark are taken one case after the other; their ratios
        compare two medians and have no spread. ASV compares the cells in a benchmark of its own
        (track_wrong_result), the pytest suite after timing them.""",
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
    presentation, left_out, truth : Table or None
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
    truth: Table | None
    left_out: Table | None
    environment: Table
    drawings: tuple[Drawing, ...]

    def shown_tables(self) -> list[Table]:
        """All tables of the section, in their order on the page."""
        several = (self.presentation, *self.phases, self.truth, self.left_out, self.environment)
        return [table for table in several if table]

    def tables_for_terminal(self) -> list[Table]:
        """What fits a terminal."""
        return [*self.phases, *([self.left_out] if self.left_out else [])]


def build(sources: Sequence[Source], out: Path) -> Path:
    """Write a report.

    Parameters
    ----------
    sources : sequence of Source
        At least one.
    out : Path
        Folder; files of an earlier report in it are replaced, each in one step.

    Returns
    -------
    Path
        Of ``index.html``.
    """
    several = len(sources) > 1
    sections = [
        make_section(source, f"{number}-" if several else "")
        for number, source in enumerate(sources, start=1)
    ]
    for section in sections:
        for table in section.shown_tables():
            frame = pd.DataFrame(table.rows, columns=list(table.columns))
            _write_csv(frame, out / "tables" / f"{section.prefix}{table.name}.csv")
        _write_csv(section.summary, out / "tables" / f"{section.prefix}summary.csv")
        for drawing in section.drawings:
            name = f"{section.prefix}{drawing.name}"
            files.write_bytes(out / "figures" / f"{name}.svg", drawing.svg)
            files.write_bytes(out / "figures" / f"{name}.png", drawing.png)
    files.write_text(out / "report.md", _render("report.md.jinja", sections))
    index = out / "index.html"
    files.write_text(index, _render("index.html.jinja", sections))
    return index


def make_section(source: Source, prefix: str) -> Section:
    """Summarize a source and make its tables and figures."""
    summary = tables.summarize(source)
    return Section(
        source=source,
        prefix=prefix,
        summary=summary,
        findings=tuple(findings(summary)),
        presentation=tables.presentation_table(summary),
        phases=tuple(tables.phase_tables(source, summary)),
        truth=tables.truth_table(source),
        left_out=tables.left_out_table(source, summary),
        environment=tables.environment_table(source),
        drawings=tuple(phase_figures(summary)),
    )


def findings(summary: pd.DataFrame) -> list[str]:
    """For each phase a sentence on its fastest backend at the largest size.

    A backend counts as faster than the baseline only where every single block says so.
    """
    sentences = []
    for phase in ("pipeline", "process", "read"):
        rows = summary[(summary["phase"] == phase) & (summary["status"] == "ok")]
        rows = rows[rows["n_images"] == rows["n_images"].max()]
        ahead = rows[rows["ratio_high"] < 1].sort_values("ratio_median")
        if len(rows) < 2 or rows["ratio_low"].isna().all():
            continue
        where = f"{phase}, {tables.images(rows['n_images'].iloc[0])}"
        if ahead.empty:
            sentences.append(f"{where}: nothing was faster than {BASELINE} in every block.")
            continue
        best = ahead.iloc[0]
        sentence = (
            f"{where}: {best['backend']} took {best['ratio_median']:.2f} times the baseline's time "
            f"({best['ratio_low']:.2f} to {best['ratio_high']:.2f} in the single blocks)"
        )
        near = ahead.iloc[1:]
        near = near[near["ratio_low"] <= best["ratio_high"]]
        if len(near):
            sentence += f"; not told apart from it: {', '.join(near['backend'])}"
        sentences.append(f"{sentence}.")
    return sentences


def _write_csv(frame: pd.DataFrame, path: Path) -> None:
    files.write_text(path, frame.to_csv(index=False, lineterminator="\n"))


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
