"""What a gate found, told: in sentences, in a terminal, in a pull request, as a page."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from segbench import files
from segbench.report.cells import (
    NOTHING,
    Cell,
    Row,
    Table,
    format_factor,
    format_interval,
    images,
    seconds_cell,
)
from segbench.report.gate_figure import TITLE, order, ratio_figure
from segbench.report.rendering import one_line, paragraphs, render
from segbench.results.outcome import FAILING, VERDICTS
from segbench.stats import MIN_BLOCKS

if TYPE_CHECKING:
    from pathlib import Path

    from segbench.results.outcome import Calibration, Comparison, Estimate, Outcome, Sight

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

# What is said of a number of cases; of failing ones, a noun.
WORDS = {
    "regression": "regression",
    "failed": "failure",
    "same": "the same",
    "undecided": "undecided",
    "improvement": "faster",
    "not compared": "not compared",
}

CASE = ("Verdict", "Phase", "Images", "Backend")
COLUMNS = (*CASE, "Base", "Head", "Ratio", "95% interval", "Second look")


def summary(outcome: Outcome) -> list[str]:
    """What a gate found, in sentences.

    Returns
    -------
    list of str
        The verdict in one sentence; each failing case, the worst first (of many the first
        `MOST_NAMED`); what was compared with what; what this machine can see; notes.
    """
    return [f"{headline(outcome)}.", *_details(outcome), *map(one_line, outcome.notes)]


def headline(outcome: Outcome) -> str:
    """The verdict, in words and numbers of cases."""
    counts = Counter(case.verdict for case in outcome.comparisons)
    compared = counts.total() - counts["not compared"]
    failing = [_count(counts[verdict], WORDS[verdict]) for verdict in FAILING if counts[verdict]]
    others = [f"{counts[one]} {WORDS[one]}" for one in WORDS if counts[one] and one not in FAILING]
    decided = counts["undecided"] < compared
    found = " and ".join(failing) or ("No regression" if decided else "Nothing decided")
    text = f"{found} in {_count(compared, 'case')}" if compared else "Nothing compared"
    if others:
        text += f": {', '.join(others)}"
    return f"{text} (interrupted: not all was measured)" if outcome.interrupted else text


def _details(outcome: Outcome) -> list[str]:
    """The sentences under the verdict."""
    failing = [case for case in sorted(outcome.comparisons, key=order) if case.verdict in FAILING]
    more = len(failing) - MOST_NAMED
    minutes, seconds = divmod(round(outcome.seconds), 60)
    compared = f"Base: {outcome.base.what}. Head: {outcome.head.what}. Threshold "
    compared += f"{_percent(outcome.threshold)}, {_count(outcome.rounds, 'round')}, "
    compared += f"{minutes} min {seconds} s." if minutes else f"{seconds} s."
    changed = [side.name for side in (outcome.base, outcome.head) if side.changed]
    if changed:
        compared += f" The {' and the '.join(changed)} had changes that are in no commit."
    told = [f"{_told(case)}." for case in failing[:MOST_NAMED]]
    if more > 0:
        told.append(f"And {more} more, which the table names.")
    return [*told, one_line(compared), *sight_sentences(outcome.sight)]


def _told(case: Comparison) -> str:
    """A case, what it is and by how much, as a sentence has it."""
    text = f"{case.phase} of {images(case.n_images)} with {case.backend}: {case.verdict}"
    if case.first:
        reach = _interval(case.first, to=" to ", too_few="no interval with {}")
        text += f", {format_factor(case.first.ratio)} times as long ({reach})"
    if case.again:
        text += f", again {format_factor(case.again.ratio)}"
    return one_line(f"{text}: {_cause(case)}" if case.cause else text)


def sight_sentences(sight: Sight | None) -> list[str]:
    """What this machine sees, or how to find out."""
    if sight is None:
        command = "`segbench gate --calibrate` with the same options"
        return [f"What this machine sees is not known: {command} measures it."]
    seen = f"{math.ceil(sight.smallest * 1000) / 10:g}% and more"
    drawn = f"drawn from {sight.rounds} rounds that were measured on {sight.measured[:10]}"
    return [
        f"This machine sees {seen}: over all cases, such a slow-down of one is found 95 times in 100.",
        f"Of {sight.gates} gates on the same code, {drawn}, {sight.false_alarms:.1%} fail.",
    ]


def sight_table(calibration: Calibration) -> Table:
    """What a gate on this machine sees of each case."""
    slowed = list(calibration.cases[0].measured) if calibration.cases else []
    heads = ("case", "found 95 times in 100", "called a regression though the same")
    rows = []
    for case in calibration.cases:
        shares = [Cell(f"{share:.1%}", share) for share in (case.smallest, case.alarms)]
        found = [(case.measured[arm], case.found[arm]) for arm in slowed]
        arms = [Cell(f"{ratio - 1:+.1%}, {share:.0%}", ratio) for ratio, share in found]
        name = f"{case.phase}, {images(case.n_images)}, {case.backend}"
        rows.append(Row((Cell(name), *shares, *arms)))
    return Table(
        name="sight",
        title="What a gate sees on this machine",
        columns=(*heads, *(f"{arm}: measured, found" for arm in slowed)),
        rows=tuple(rows),
        layout="words",
    )


def terminal_table(outcome: Outcome) -> Table | None:
    """Worst first and fit for 80 columns: failing cases, and of the rest what there is room for.

    Returns
    -------
    Table, optional
        None where there was nothing to compare. The cases of a verdict are either all there, or
        counted in one row.
    """
    cases = sorted(outcome.comparisons, key=order)
    rows: list[Row] = []
    for verdict in VERDICTS:
        own = [case for case in cases if case.verdict == verdict]
        if verdict in FAILING or len(rows) + len(own) <= ROWS_OF_A_TERMINAL:
            rows += [_terminal_row(case) for case in own]
        elif own:
            counted = [Cell(text) for text in (_count(len(own), "case"), "", "", "")]
            rows.append(Row((*counted, Cell("", verdict=verdict))))
    if not rows:
        return None
    return Table(
        name="gate",
        title=f"{TITLE}, with its 95% interval",
        columns=("Phase, images, backend", "Ratio", "Interval", "Again", "Verdict"),
        rows=tuple(rows),
        layout="words",
    )


def _terminal_row(case: Comparison) -> Row:
    """A case in five columns: its times are left to what has more room."""
    verdict, *named, _, _, ratio, interval, _ = _row(case).cells
    again = Cell(format_factor(case.again.ratio), case.again.ratio) if case.again else Cell("")
    return Row((Cell(" ".join(cell.text for cell in named)), ratio, interval, again, verdict))


def markdown(outcome: Outcome) -> str:
    """A comment for a pull request: the verdict, what is not the same, and the rest folded.

    Returns
    -------
    str
        GitHub's Markdown, of fewer than `LONGEST_COMMENT` bytes: what does not fit is left out, and
        it says so. Text of the results is shown, not obeyed, and mentions nobody.
    """
    values = _shown(outcome)
    for most in ROWS_OF_A_COMMENT:
        text = render("gate.md.jinja", {**values, "most": most})
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
    files.write_text(index, render("gate.html.jinja", {**_shown(outcome), "figure": figure}))
    if figure:
        for name, content in figure.files.items():
            files.write_bytes(out / "figures" / name, content)
    return index


def _shown(outcome: Outcome) -> dict[str, object]:
    """What the page and the comment show."""
    sides = outcome.base, outcome.head
    versions = [{"commit": side.commit, **side.versions} for side in sides]
    rows = [
        (name, *(own.get(name) or "–" for own in versions)) for name in versions[0] | versions[1]
    ]
    facts = {"started": outcome.started, "images": outcome.dataset, **outcome.machine}
    return {
        "headline": headline(outcome),
        "failing": any(case.verdict in FAILING for case in outcome.comparisons),
        "sentences": _details(outcome),
        "notes": list(map(one_line, outcome.notes)),
        "columns": COLUMNS,
        "rows": [_row(case) for case in sorted(outcome.comparisons, key=order)],
        "sides": [one_line(side.what) for side in sides],
        "versions": [list(map(one_line, row)) for row in rows],
        "facts": [(one_line(name.replace("_", " ")), one_line(one)) for name, one in facts.items()],
        "command": one_line(outcome.command),
        "method": paragraphs("gate_method.txt.jinja", {"blocks": MIN_BLOCKS}),
        "threshold": _percent(outcome.threshold),
        "verdicts": VERDICTS,
    }


def _row(case: Comparison) -> Row:
    """A case in `COLUMNS`; why it has no time stands under its backend."""
    ratio = interval = again = NOTHING
    if case.first:
        ratio = Cell(format_factor(case.first.ratio), case.first.ratio)
        interval = Cell(_interval(case.first))
    if case.again:
        text = f"{format_factor(case.again.ratio)} ({_interval(case.again)})"
        again = Cell(text, case.again.ratio)
    verdict = Cell("", order(case)[0], verdict=case.verdict)
    size = Cell(str(case.n_images), case.n_images)
    backend = Cell(one_line(case.backend), note=_cause(case))
    times = seconds_cell(case.base_seconds), seconds_cell(case.head_seconds)
    return Row((verdict, Cell(one_line(case.phase)), size, backend, *times, ratio, interval, again))


def _interval(estimate: Estimate, *, to: str = "–", too_few: str = "– ({})") -> str:
    """The ends of an interval, or how many rounds there were, which were too few for one."""
    if math.isnan(estimate.low):
        return too_few.format(_count(estimate.rounds, "round"))
    return format_interval(estimate.low, estimate.high, to)


def _cause(case: Comparison) -> str:
    text = one_line(case.cause).rstrip(".")
    return text if len(text) <= LONGEST_CAUSE else f"{text[:LONGEST_CAUSE]}…"


def _percent(share: float) -> str:
    return f"{share * 100:.3g}%"


def _count(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
