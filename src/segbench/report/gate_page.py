"""What a gate found, told: in sentences, in a terminal, in a pull request, as a page."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from typing import TYPE_CHECKING

from segbench.measure.settings import GateSettings
from segbench.report import folder
from segbench.report.cells import (
    NOTHING,
    Cell,
    Row,
    Table,
    counted,
    format_factor,
    format_interval,
    images,
    seconds_cell,
)
from segbench.report.gate_figure import TITLE, order, ratio_figure
from segbench.report.rendering import paragraphs, render
from segbench.results.outcome import FAILING, UNCLEAR, VERDICTS
from segbench.stats import MIN_ROUNDS
from segbench.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from segbench.results.outcome import (
        Calibration,
        CaseSight,
        Comparison,
        Estimate,
        Outcome,
        Sight,
    )

# GitHub takes a comment of 65,536 characters; room is left for what a workflow adds.
LONGEST_COMMENT = 64_000

# Rows of each table of a comment: fewer are tried until it is short enough.
ROWS_OF_A_COMMENT = (1000, 300, 100, 30, 10, 3)

# Verdicts whose cases would take more rows of a terminal than these are counted instead.
ROWS_OF_A_TERMINAL = 20

# Open cases of a backend that are measured together in another gate.
MOST_DECIDED = 4

# Cases that are named in sentences before the rest is counted.
MOST_NAMED = 8

# Those verdicts whose cases are named.
NAMED = (*FAILING, "suspected")

# After so many rounds a case is looked at, where more are to come.
LOOKS = (8, 16)

# A smaller difference in peak memory, as a share, is not told.
MEMORY_TOLD = 0.05

# No larger slow-down is tried when a machine is calibrated, as a share.
MOST_TRIED = 1.0

# Characters of a cause: the end of a traceback can be long.
LONGEST_CAUSE = 200

# What is said of a number of cases; of failing ones, a noun.
WORDS = {
    "regression": "regression",
    "failed": "failure",
    "suspected": "probably slower",
    "same": "the same",
    "improvement": "faster",
    "undecided": "undecided",
    "not compared": "not compared",
}

CASE = ("Verdict", "Phase", "Images", "Backend")
CASE_NAME = "Phase, images, backend"
COLUMNS = (*CASE, "Base CPU", "Head CPU", "CPU ratio", "95% interval", "Wall ratio", "Rounds")


def summary(outcome: Outcome) -> list[str]:
    """What a gate found, in sentences.

    Returns
    -------
    list of str
        The verdict in one sentence; each case that fails or is suspected, the worst first (of many
        the first `MOST_NAMED`); what was compared with what; what this machine can see; notes.
    """
    return [f"{headline(outcome)}.", *_details(outcome), *map(one_line, outcome.notes)]


def headline(outcome: Outcome) -> str:
    """The verdict, in words and numbers of cases."""
    counts = Counter(case.verdict for case in outcome.comparisons)
    compared = counts.total() - counts["not compared"]
    failing = [counted(counts[verdict], WORDS[verdict]) for verdict in FAILING if counts[verdict]]
    is_open = sum(counts[verdict] for verdict in UNCLEAR)
    if failing or not compared:
        found = " and ".join(failing) or "Nothing"
        text = f"{found} in {counted(compared, 'case')}" if compared else "Nothing compared"
    elif 2 * is_open > compared:
        text = f"Inconclusive: {is_open} of {counted(compared, 'case')}"
    else:
        text = f"No regression in {counted(compared, 'case')}"
    others = [f"{counts[one]} {WORDS[one]}" for one in WORDS if counts[one] and one not in FAILING]
    if others:
        text += f": {', '.join(others)}"
    return f"{text}, interrupted before the end" if outcome.interrupted else text


def next_step(outcome: Outcome) -> tuple[str, str] | None:
    """What would decide the cases that are open, and the line for a shell that does it.

    None where none of them can be slower by its threshold. Of many the most suspect are measured: fewer
    cases have more rounds.
    """
    is_open = [case for case in sorted(outcome.comparisons, key=order) if _may_be_slower(case)]
    if not is_open or outcome.interrupted:
        return None
    first = is_open[0]
    like_it = [case for case in is_open if case.backend == first.backend][:MOST_DECIDED]
    seconds = f"{GateSettings.measure_seconds:g}"
    chosen = {
        "--phases": ",".join(dict.fromkeys(case.phase for case in like_it)),
        "--sizes": ",".join(dict.fromkeys(str(case.n_images) for case in like_it)),
        "--backends": first.backend,
        "--rounds": str(2 * outcome.rounds),
        "--measure-seconds": seconds,
    }
    left_out = (*chosen, "--out")  # which holds this one's samples
    words: list[str] = []
    typed = iter(shlex.split(outcome.command))
    for word in typed:
        name, given, _ = word.partition("=")
        if name not in left_out:
            words.append(word)
        elif not given:
            next(typed, None)
    line = shlex.join([*words, *(word for both in chosen.items() for word in both)])
    minutes = math.ceil(GateSettings.measure_seconds / 60)
    several = len(is_open) > 1
    what = (
        f"the most suspect of {len(is_open)} undecided cases" if several else "the undecided case"
    )
    return f"To measure {what} again, with more rounds and for {minutes} minutes at the most:", line


def _may_be_slower(case: Comparison) -> bool:
    """Whether a case is not decided, and its interval holds a slow-down by its threshold."""
    if case.verdict not in UNCLEAR:
        return False
    return not (case.cpu and case.cpu.high < 1 + case.threshold)


def _not_slower(outcome: Outcome) -> Iterator[str]:
    """How many of the undecided cases can only be as fast, or faster."""
    undecided = [case for case in outcome.comparisons if case.verdict == "undecided"]
    known = [case for case in undecided if not _may_be_slower(case)]
    if known:
        yield (
            f"Of the undecided {len(known)} {'is' if len(known) == 1 else 'are'} not slower by the threshold: "
            "whether as fast or faster is open."
        )


def _details(outcome: Outcome) -> list[str]:
    """The sentences under the verdict."""
    named = [case for case in sorted(outcome.comparisons, key=order) if case.verdict in NAMED]
    more = len(named) - MOST_NAMED
    minutes, seconds = divmod(round(outcome.seconds), 60)
    compared = f"Base: {outcome.base.what}. Head: {outcome.head.what}. Threshold "
    compared += f"{_threshold(outcome)}; {_rounds(outcome)}; "
    compared += f"{minutes} min {seconds} s." if minutes else f"{seconds} s."
    changed = [side.name for side in (outcome.base, outcome.head) if side.changed]
    if changed:
        compared += f" The {' and the '.join(changed)} had changes that are in no commit."
    told = [f"{_told(case)}." for case in named[:MOST_NAMED]]
    if more > 0:
        told.append(f"And {more} more, which the table names.")
    return [*told, *_not_slower(outcome), one_line(compared), *sight_sentences(outcome.sight)]


def _told(case: Comparison) -> str:
    """A case, what it is and by how much, as a sentence has it."""
    verdict = "probably slower, not confirmed" if case.verdict == "suspected" else case.verdict
    parts = [f"{case.phase} of {images(case.n_images)} with {case.backend}: {verdict}"]
    parts += _beside(case)
    if case.cpu:
        reach = _interval(case.cpu, to=" to ") or "no interval"
        parts.append(f"CPU time {format_factor(case.cpu.ratio)} times as long ({reach})")
    if case.wall and "wall time" not in case.grown:
        parts.append(f"wall time {format_factor(case.wall.ratio)}")
    if case.cpu:
        parts.append(counted(case.cpu.rounds, "round"))
    text = ", ".join(parts)
    return one_line(f"{text}: {_cause(case)}" if case.cause else text)


def _beside(case: Comparison) -> Iterator[str]:
    """What makes it a regression or differs, beside CPU time, in words."""
    if case.wall and "wall time" in case.grown:
        yield f"wall time {_change(case.wall.ratio)}"
    if case.memory:
        low, high = sorted((1.0, case.memory.ratio))
        differs = high / low >= 1 + MEMORY_TOLD and not case.memory.low <= 1 <= case.memory.high
        if "peak memory" in case.grown or (differs and not math.isnan(case.memory.low)):
            yield f"peak memory {_change(case.memory.ratio)}"
    if case.base and case.head:
        base, head = (side.tasks or 0 for side in (case.base, case.head))
        # The graphs of two processes of one program may differ by a few, as Dask fuses them.
        if "tasks" in case.grown or max(base, head) > (1 + case.threshold) * min(base, head):
            yield f"tasks {head:,} instead of {base:,}"


def _change(ratio: float) -> str:
    """By what share something is more or less."""
    return f"{abs(ratio - 1):.0%} {'more' if ratio > 1 else 'less'}"


def _threshold(outcome: Outcome) -> str:
    """The usual threshold, and those of some cases where they have their own."""
    usual = _percent(outcome.threshold.usual)
    own = [f"{name} {_percent(share)}" for name, share in outcome.threshold.named]
    return f"{usual} ({', '.join(own)})" if own else usual


def _rounds(outcome: Outcome) -> str:
    """How many rounds the cases had."""
    counts = {case.cpu.rounds for case in outcome.comparisons if case.cpu}
    if not counts:
        return "no rounds"
    least, most = min(counts), max(counts)
    return counted(most, "round") if least == most else f"{least} to {most} rounds a case"


def sight_sentences(sight: Sight | None) -> list[str]:
    """What this machine sees, or how to find out."""
    if sight is None:
        how = "`segbench gate --calibrate`, with the same --phases, --sizes and --backends"
        return [
            f"How small a slow-down can be found here has not been measured: {how}, does that for later gates."
        ]
    found = "such a slow-down of one is found 95 times in 100"
    if sight.smallest is None:
        seen, found = (
            f"more than {MOST_TRIED:.0%}",
            "no smaller slow-down of one is found 95 times in 100",
        )
    else:
        seen = f"{math.ceil(sight.smallest * 1000) / 10:g}% and more"
    drawn = f"drawn from {sight.rounds} rounds that were measured on {sight.measured[:10]}"
    return [
        f"This machine sees {seen}: over all cases, {found}.",
        f"Of {sight.gates} gates on the same code, {drawn}, {sight.false_alarms:.1%} fail.",
    ]


def sight_table(calibration: Calibration) -> Table:
    """What a gate on this machine sees of each case; fit for 80 columns."""
    slowed = list(calibration.cases[0].measured) if calibration.cases else []
    rows = []
    for case in calibration.cases:
        smallest = f"> {MOST_TRIED:.0%}" if case.smallest is None else f"{case.smallest:.1%}"
        shares = Cell(smallest, case.smallest), Cell(f"{case.alarms:.1%}", case.alarms)
        arms = [
            Cell(f"{case.found[arm]:.0%}", case.found[arm], note=f"({case.measured[arm]:.2f})")
            for arm in slowed
        ]
        rows.append(Row((Cell(_named(case)), *shares, *arms)))
    return Table(
        name="sight",
        title=(
            "What a gate on this machine sees of each case: the smallest slow-down that 95\n"
            "of 100 gates find; how many of the same code call it a regression; how many\n"
            "find what was slowed, and its measured ratio"
        ),
        columns=(CASE_NAME, "Seen", "Alarms", *slowed),
        rows=tuple(rows),
        layout="words",
    )


def _named(case: Comparison | CaseSight) -> str:
    """A case as tables in a terminal have it: its parts in the order of `CASE_NAME`."""
    return one_line(f"{case.phase} {case.n_images} {case.backend}")


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
            count = [Cell(text) for text in (counted(len(own), "case"), "", "", "")]
            rows.append(Row((*count, Cell("", verdict=verdict))))
    if not rows:
        return None
    return Table(
        name="gate",
        title=f"{TITLE}, with its 95% interval",
        columns=(CASE_NAME, "CPU", "Interval\n(rounds)", "Wall", "Verdict"),
        rows=tuple(rows),
        layout="words",
    )


def _terminal_row(case: Comparison) -> Row:
    """A case in five columns: its times are left to what has more room."""
    verdict, _, _, _, _, _, ratio, interval, wall, rounds = _row(case).cells
    reach = Cell(interval.text, note=f"({rounds.text})") if case.cpu else interval
    return Row((Cell(_named(case)), ratio, reach, Cell(wall.text, wall.value), verdict))


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
        Folder, as :func:`segbench.report.folder.write` has it.

    Returns
    -------
    Path
        Of ``index.html``, which loads nothing: the files of the figure are for other uses.
    """
    usual = outcome.threshold.usual
    figure = ratio_figure(outcome.comparisons, threshold=usual, name=_told)
    page = render("gate.html.jinja", {**_shown(outcome), "figure": figure})
    drawn = figure.files.items() if figure else ()
    contents = {f"figures/{name}": content for name, content in drawn}
    return folder.write(out, {**contents, folder.INDEX: page.encode()})


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
        "next_step": next_step(outcome),
        "method": _method(outcome),
        "threshold": one_line(_threshold(outcome)),
        "verdicts": VERDICTS,
    }


def _method(outcome: Outcome) -> list[str]:
    """How it was measured and decided."""
    before, last = [str(look) for look in LOOKS if look < outcome.rounds], outcome.rounds
    shown = {
        "shared_layout": outcome.shared_layout,
        "least": MIN_ROUNDS,
        "looks": f"{', '.join(before)} and {last} rounds" if before else f"{last} rounds",
        "seconds": f"{GateSettings.measure_seconds:g}",
    }
    return paragraphs("gate_method.txt.jinja", shown)


def _row(case: Comparison) -> Row:
    """A case in `COLUMNS`; what differs beside its times, and why it has none, stand under its backend."""
    ratio = interval = wall = rounds = NOTHING
    if case.cpu:
        ratio = Cell(format_factor(case.cpu.ratio), case.cpu.ratio)
        interval = Cell(_interval(case.cpu) or NOTHING.text)
        rounds = Cell(str(case.cpu.rounds), case.cpu.rounds)
    if case.wall:
        wall = Cell(format_factor(case.wall.ratio), case.wall.ratio, note=_interval(case.wall))
    verdict = Cell("", order(case)[0], verdict=case.verdict)
    size = Cell(str(case.n_images), case.n_images)
    backend = Cell(
        one_line(case.backend), note="; ".join(filter(None, (*_beside(case), _cause(case))))
    )
    times = [seconds_cell(side.cpu_seconds if side else None) for side in (case.base, case.head)]
    named = verdict, Cell(one_line(case.phase)), size, backend
    return Row((*named, *times, ratio, interval, wall, rounds))


def _interval(estimate: Estimate, *, to: str = "–") -> str:
    """The ends of an interval; nothing where there were too few rounds for one."""
    return "" if math.isnan(estimate.low) else format_interval(estimate.low, estimate.high, to)


def _cause(case: Comparison) -> str:
    text = one_line(case.cause).rstrip(".")
    return text if len(text) <= LONGEST_CAUSE else f"{text[:LONGEST_CAUSE]}…"


def _percent(share: float) -> str:
    return f"{share * 100:.3g}%"
