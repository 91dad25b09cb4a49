"""What a gate found, told: in sentences, in a terminal, in a pull request, as a page."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segbench import __version__, files
from segbench.report import sight
from segbench.report.cells import Row as TableRow
from segbench.report.cells import Table, format_interval, format_seconds, images, words
from segbench.report.gate_figure import TITLE, order, ratio_figure
from segbench.report.rendering import comment_text, data_uri, fence, one_line, render
from segbench.results.outcome import FAILING, VERDICTS
from segbench.stats import MIN_BLOCKS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from segbench.results.outcome import Comparison, Estimate, Outcome, Side

# GitHub takes a comment of 65,536 characters; room is left for what a workflow adds.
LONGEST_COMMENT = 64_000

# Rows of each table of a comment: fewer are tried until it is short enough.
ROWS_OF_A_COMMENT = (1000, 300, 100, 30, 10, 3)

# Verdicts whose cases would take more rows of a terminal than these are counted instead.
ROWS_OF_A_TERMINAL = 20

# Regressions and failures that are named before the rest is counted.
MOST_NAMED = 8

# Characters of a cause: the end of a traceback can be long.
LONGEST_CAUSE = 200

# What is said of a number of cases.
IN_WORDS = {
    "same": "the same",
    "undecided": "undecided",
    "improvement": "faster",
    "not compared": "not compared",
}
NOUNS = {"regression": "regression", "failed": "failure"}

COLUMNS = (
    "Verdict",
    "Phase",
    "Images",
    "Backend",
    "Base",
    "Head",
    "Ratio",
    "95% interval",
    "Second look",
)

METHOD = tuple(
    " ".join(paragraph.split())
    for paragraph in (
        f"""Base and head have an environment each, and in each round new processes. In a block a
        case is timed at the base and at the head, one right after the other, so that a drift of the
        machine moves both. The ratio of a round is the median over its blocks, that of a case the
        median over the rounds, with a 95% interval for which it takes {MIN_BLOCKS} rounds.""",
        """What seems to be a regression is looked at a second time, in new processes. Seen in the
        first look alone, it is undecided.""",
    )
)


@dataclass(frozen=True)
class Row:
    """A case as it is shown: `COLUMNS` as text, and why it has no time."""

    verdict: str
    phase: str
    images: str
    backend: str
    base: str
    head: str
    ratio: str
    interval: str
    again: str
    cause: str


@dataclass(frozen=True)
class Version:
    """What both sides have of a library; ``–`` where one has it not."""

    name: str
    base: str
    head: str

    @property
    def differs(self) -> bool:
        """Whether it could explain a difference."""
        return self.base != self.head


def summary(outcome: Outcome) -> list[str]:
    """What a gate found, in sentences.

    Returns
    -------
    list of str
        The verdict in one sentence; each failing case, the worst first (of many the first
        `MOST_NAMED`); what was compared with what; what this machine can see; notes.
    """
    return [f"{headline(outcome)}.", *_details(outcome), *_notes(outcome)]


def headline(outcome: Outcome) -> str:
    """The verdict, in words and numbers of cases."""
    counts = Counter(case.verdict for case in outcome.comparisons)
    compared = counts.total() - counts["not compared"]
    failing = [_count(counts[verdict], NOUNS[verdict]) for verdict in FAILING if counts[verdict]]
    others = [f"{counts[verdict]} {IN_WORDS[verdict]}" for verdict in IN_WORDS if counts[verdict]]
    decided = counts["undecided"] < compared
    found = " and ".join(failing) or ("No regression" if decided else "Nothing decided")
    text = f"{found} in {_count(compared, 'case')}" if compared else "Nothing compared"
    if others:
        text += f": {', '.join(others)}"
    return f"{text} (interrupted: not all was measured)" if outcome.interrupted else text


def terminal_table(outcome: Outcome) -> Table | None:
    """Worst first and fit for 80 columns: failing cases, and of the rest what there is room for.

    Returns
    -------
    Table, optional
        None where there was nothing to compare. The cases of a verdict are either all there, or
        counted in one row.
    """
    cases = _worst_first(outcome)
    rows: list[tuple[str, ...]] = []
    for verdict in VERDICTS:
        own = [case for case in cases if case.verdict == verdict]
        if verdict in FAILING or len(rows) + len(own) <= ROWS_OF_A_TERMINAL:
            rows += [_terminal_row(case) for case in own]
        elif own:
            rows.append((_count(len(own), "case"), "", "", "", verdict))
    if not rows:
        return None
    return Table(
        name="gate",
        title=f"{TITLE}, with its 95% interval",
        columns=("Phase, images, backend", "Ratio", "Interval", "Again", "Verdict"),
        rows=tuple(TableRow(words(*row)) for row in rows),
        layout="words",
    )


def markdown(outcome: Outcome) -> str:
    """A comment for a pull request: the verdict, what is not the same, and the rest folded.

    Returns
    -------
    str
        GitHub's Markdown, of fewer than `LONGEST_COMMENT` bytes: what does not fit is left out, and
        it says so. Text of the results is shown, not obeyed, and mentions nobody.
    """
    for rows in ROWS_OF_A_COMMENT:
        text = _comment(outcome, rows=rows)
        if len(text.encode()) < LONGEST_COMMENT:
            return f"{text}\n"
    return (
        f"### segbench gate: {headline(outcome)}\n\n"
        "The names and causes of this gate are too long for a comment.\n"
    )


def write(outcome: Outcome, out: Path) -> Path:
    """Write the page of a gate.

    Parameters
    ----------
    outcome : Outcome
        What it found.
    out : Path
        Folder; made if it is not there.

    Returns
    -------
    Path
        Of ``index.html``, which loads nothing: the files of the figure are for other uses.
    """
    figure = ratio_figure(outcome.comparisons, threshold=outcome.threshold, name=_told)
    index = out / "index.html"
    text = render(
        "gate.html.jinja",
        filters={"data_uri": data_uri},
        values={
            **_shown(outcome),
            "failing": any(case.verdict in FAILING for case in outcome.comparisons),
            "figure": figure,
            "rows": [_row(case) for case in _worst_first(outcome)],
            "version": __version__,
        },
    )
    files.write_text(index, text)
    if figure:
        files.write_bytes(out / "figures" / f"{figure.name}.svg", figure.svg)
        files.write_bytes(out / "figures" / f"{figure.name}.png", figure.png)
    return index


def _comment(outcome: Outcome, *, rows: int) -> str:
    """The comment with so many rows of each table."""
    cases = _worst_first(outcome)
    return render(
        "gate.md.jinja",
        filters={"comment": comment_text, "fence": fence},
        values={
            **_shown(outcome),
            "told": [_row(case) for case in cases if case.verdict != "same"],
            "same": [_row(case) for case in cases if case.verdict == "same"],
            "most": rows,
        },
    )


def _shown(outcome: Outcome) -> dict[str, object]:
    """What both the page and the comment show."""
    return {
        "headline": headline(outcome),
        "sentences": _details(outcome),
        "notes": _notes(outcome),
        "columns": COLUMNS,
        "base": one_line(outcome.base.what),
        "head": one_line(outcome.head.what),
        "versions": list(_versions(outcome.base, outcome.head)),
        "facts": _facts(outcome),
        "command": one_line(outcome.command),
        "method": METHOD,
        "threshold": _percent(outcome.threshold),
        "verdicts": VERDICTS,
    }


def _details(outcome: Outcome) -> list[str]:
    """The sentences under the verdict."""
    failing = [case for case in _worst_first(outcome) if case.verdict in FAILING]
    more = len(failing) - MOST_NAMED
    return [
        *(f"{_told(case)}." for case in failing[:MOST_NAMED]),
        *([f"And {more} more, which the table names."] if more > 0 else []),
        _compared(outcome),
        *sight.sentences(outcome.sight),
    ]


def _notes(outcome: Outcome) -> list[str]:
    return [one_line(note) for note in outcome.notes]


def _worst_first(outcome: Outcome) -> list[Comparison]:
    return sorted(outcome.comparisons, key=order)


def _told(case: Comparison) -> str:
    """A case, what it is and by how much, as a sentence has it."""
    text = f"{case.phase} of {images(case.n_images)} with {case.backend}: {case.verdict}"
    if case.first:
        text += f", {_times(case.first.ratio)} times as long ({_reach(case.first)})"
    if case.again:
        text += f", again {_times(case.again.ratio)}"
    return one_line(f"{text}: {_cause(case)}" if case.cause else text)


def _compared(outcome: Outcome) -> str:
    """Sides, threshold and effort."""
    text = (
        f"Base: {outcome.base.what}. Head: {outcome.head.what}. Threshold "
        f"{_percent(outcome.threshold)}, {_count(outcome.rounds, 'round')}, "
        f"{_duration(outcome.seconds)}."
    )
    changed = [side.name for side in (outcome.base, outcome.head) if side.changed]
    if changed:
        text += f" The {' and the '.join(changed)} had changes that are in no commit."
    return one_line(text)


def _row(case: Comparison) -> Row:
    return Row(
        verdict=case.verdict,
        phase=one_line(case.phase),
        images=str(case.n_images),
        backend=one_line(case.backend),
        base=_time(case.base_seconds),
        head=_time(case.head_seconds),
        ratio="–" if case.first is None else _times(case.first.ratio),
        interval="–" if case.first is None else _interval(case.first),
        again="–"
        if case.again is None
        else f"{_times(case.again.ratio)} ({_interval(case.again)})",
        cause=_cause(case),
    )


def _terminal_row(case: Comparison) -> tuple[str, ...]:
    """A case in five columns: its times are left to what has more room."""
    row = _row(case)
    again = "" if case.again is None else _times(case.again.ratio)
    return f"{row.phase} {row.images} {row.backend}", row.ratio, row.interval, again, row.verdict


def _time(seconds: float | None) -> str:
    return "–" if seconds is None else format_seconds(seconds)


def _cause(case: Comparison) -> str:
    text = one_line(case.cause).rstrip(".")
    return text if len(text) <= LONGEST_CAUSE else f"{text[:LONGEST_CAUSE]}…"


def _versions(base: Side, head: Side) -> Iterator[Version]:
    """Commits and libraries, each once, in the order in which the sides name them."""
    sides = [{"commit": side.commit, **side.versions} for side in (base, head)]
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        yield Version(one_line(name), *(one_line(side.get(name) or "–") for side in sides))


def _facts(outcome: Outcome) -> list[tuple[str, str]]:
    """When, on what and on which images it was measured."""
    facts = {"started": outcome.started, "images": outcome.dataset, **outcome.machine}
    return [(one_line(name.replace("_", " ")), one_line(value)) for name, value in facts.items()]


def _times(ratio: float) -> str:
    """A ratio with two decimals, or two digits where it is small."""
    return f"{ratio:.2f}" if ratio >= 0.0995 else f"{ratio:.2g}"


def _interval(estimate: Estimate) -> str:
    """An interval for a cell; how many rounds there were where they were too few for one."""
    if math.isnan(estimate.low):
        return f"– ({_count(estimate.rounds, 'round')})"
    return format_interval(estimate.low, estimate.high)


def _reach(estimate: Estimate) -> str:
    """An interval for a sentence."""
    if math.isnan(estimate.low):
        return f"no interval with {_count(estimate.rounds, 'round')}"
    return f"{_times(estimate.low)} to {_times(estimate.high)}"


def _percent(share: float) -> str:
    return f"{share * 100:.3g}%"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _count(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
