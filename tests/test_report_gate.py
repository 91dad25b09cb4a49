"""How a gate tells what it found: sentences, a table, Markdown, a page, JSON."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console
from rich.table import Table as Grid

from segbench import jsonl
from segbench.gate import calibrate, decide
from segbench.report import gate_page as gate
from segbench.report.gate_figure import ESTIMATED, LOOKS, MOST_ROWS, ratio_figure
from segbench.report.rendering import comment_text
from segbench.results.outcome import (
    VERDICTS,
    Calibration,
    CaseSight,
    Comparison,
    Estimate,
    Level,
    Outcome,
    Side,
    Sight,
    Thresholds,
)
from segbench.text import one_line
from tests.pages import Page, asks_for_nothing, read_page

if TYPE_CHECKING:
    from pathlib import Path

    from segbench.report.cells import Table
    from segbench.report.drawing import Drawing

POOL = "skimage/skimage/thread-pool"
DASK = "dask-image/dask-image/threads"
LONGEST = "dask-array-skimage/dask-blocks/threads"

# HTML, Markdown, pings of GitHub, a terminal's escape and what no file can hold.
NASTY = (
    '<script>alert(1)</script> | `code` *bold* $x^2$ [link](https://example.org) & "quoted" '
    "@someone #123 org/name#4 GH-5 :tada: www.example.org ``` </details> \x1b[2J \udcff"
)


def estimate(ratio: float, *, spread: float = 0.03, rounds: int = 8) -> Estimate:
    """An interval of so much to both sides."""
    return Estimate(ratio=ratio, low=ratio / (1 + spread), high=ratio * (1 + spread), rounds=rounds)


def level(ratio: float = 1.0, **other: Any) -> Level:
    """What a call takes, so many times 0.1 s of CPU time in half of that."""
    usual: dict[str, Any] = {"peak_mib": 210.0, "tasks": 60}
    return Level(seconds=0.05 * ratio, cpu_seconds=0.1 * ratio, **{**usual, **other})


def comparison(verdict: str = "same", ratio: float = 1.0, **other: Any) -> Comparison:
    """A case of 20 images; what a verdict goes without is left out."""
    timed = verdict not in ("failed", "not compared")
    described: dict[str, Any] = {
        "phase": "process",
        "backend": DASK,
        "n_images": 20,
        "threshold": 0.05,
        "base": level() if timed else None,
        "head": level(ratio) if timed else None,
        "cpu": estimate(ratio) if timed else None,
        "wall": estimate(ratio * 0.99, spread=0.1) if timed else None,
        "memory": estimate(1.01) if timed else None,
        "cause": "" if timed else "head: wrong-result: 3 cells fewer",
    }
    return Comparison(verdict=verdict, **{**described, **other})


def make_outcome(*comparisons: Comparison, **other: Any) -> Outcome:
    """A gate of a commit against a working tree, unless told otherwise."""
    described: dict[str, Any] = {
        "started": "2026-01-02T03:04:05+00:00",
        "command": "segbench gate --base main",
        "base": Side(
            name="base",
            what="main (1a2b3c4)",
            commit="1a2b3c4" + 33 * "0",
            versions={"python": "3.11.2", "dask": "2026.3.0", "numpy": "2.2.0"},
        ),
        "head": Side(
            name="head",
            what="the working tree of 5d6e7f8, with changes",
            commit="5d6e7f8" + 33 * "0",
            changed=True,
            versions={"python": "3.11.2", "dask": "2026.8.0", "tifffile": "2026.1.1"},
        ),
        "threshold": Thresholds(0.05),
        "rounds": 32,
        "shared_layout": True,
        "seconds": 250.4,
        "machine": {"cpu": "Abacus 3000", "cpus_available": "2"},
        "dataset": "20 smears of 192 × 256 × 3 uint8",
        "sight": Sight(
            measured="2026-01-01T00:00:00+00:00",
            false_alarms=0.0,
            rounds=30,
            gates=1000,
            smallest=0.06,
        ),
    }
    return Outcome(**{**described, **other}, comparisons=comparisons)


def ordinary(**other: Any) -> Outcome:
    """One case of each verdict, and a few more that are the same."""
    return make_outcome(
        comparison("same", 1.01, phase="read", backend=POOL),
        comparison("regression", 1.12),
        comparison("failed", backend=LONGEST, phase="pipeline"),
        comparison("suspected", 1.05, phase="read", cpu=estimate(1.05, rounds=32)),
        comparison("undecided", 1.04, phase="pipeline"),
        comparison("improvement", 0.8, phase="read", n_images=1),
        comparison("same", 0.99, phase="open"),
        comparison("not compared", phase="open", backend=POOL, cause="only head has it"),
        **other,
    )


def nasty() -> Outcome:
    """Every text that a result can hold is hostile."""
    cases = [
        comparison(verdict, 1.2, backend=NASTY, phase=NASTY, cause=NASTY) for verdict in VERDICTS
    ]
    side = Side(name="base", what=NASTY, commit=NASTY, versions={NASTY: NASTY})
    return make_outcome(
        *cases,
        base=side,
        head=dataclasses.replace(side, name="head", changed=True, versions={}),
        command=NASTY,
        dataset=NASTY,
        started=NASTY,
        machine={NASTY: NASTY},
        notes=(NASTY, "1. no list"),
    )


def many(count: int, verdict: str = "same", **other: Any) -> list[Comparison]:
    """Cases that differ in their number of images."""
    return [
        comparison(verdict, 1.0 + 0.0001 * size, n_images=size + 1, **other)
        for size in range(count)
    ]


def ordered(ends: list[float], rounds: int) -> Estimate:
    """An estimate, without an interval where there are too few rounds for one."""
    low, ratio, high = sorted(ends) if rounds >= 5 else (math.nan, ends[0], math.nan)
    return Estimate(ratio=ratio, low=low, high=high, rounds=rounds)


LEVELS = st.none() | st.builds(
    Level,
    seconds=st.sampled_from([1e-9, 0.1, 1e5]),
    cpu_seconds=st.sampled_from([1e-9, 0.1, 1e5]),
    peak_mib=st.sampled_from([None, 0.1, 1e5]),
    tasks=st.sampled_from([None, 0, 60]),
)
SHARES, COUNTS = st.sampled_from([0.0, 0.004, 0.06, 1.0]), st.sampled_from([1, 4, 5, 100])
ENDS = st.lists(st.sampled_from([1e-3, 0.8, 1.0, 1.04, 1.2, 1e3]), min_size=3, max_size=3)
ESTIMATES = st.none() | st.builds(ordered, ENDS, COUNTS)
COMPARISONS = st.builds(
    Comparison,
    phase=st.sampled_from(["open", "read", "process", "pipeline", "another"]),
    backend=st.sampled_from([POOL, DASK, LONGEST, NASTY]),
    n_images=st.sampled_from([1, 20, 10**6]),
    verdict=st.sampled_from(list(VERDICTS)),
    threshold=st.sampled_from([0.001, 0.05, 1.0]),
    grown=st.lists(st.sampled_from(["wall time", "peak memory", "tasks"]), unique=True).map(tuple),
    base=LEVELS,
    head=LEVELS,
    cpu=ESTIMATES,
    wall=ESTIMATES,
    memory=ESTIMATES,
    cause=st.sampled_from(["", "head: crashed", NASTY]),
)
SIGHTS = st.builds(
    Sight,
    measured=st.just("2026-01-01"),
    rounds=COUNTS,
    gates=COUNTS,
    false_alarms=SHARES,
    smallest=st.none() | SHARES,
)
OUTCOMES = st.builds(
    lambda cases, **other: make_outcome(*cases, **other),
    st.lists(COMPARISONS, max_size=8),
    threshold=st.sampled_from([Thresholds(0.001), Thresholds(1, (("read:20:a/b/c", 0.1),))]),
    shared_layout=st.booleans(),
    seconds=st.floats(0, 1e5),
    rounds=COUNTS,
    sight=st.none() | SIGHTS,
    notes=st.lists(st.sampled_from(["the machine was busy", NASTY]), max_size=3).map(tuple),
    interrupted=st.booleans(),
)

# Outcomes are large, and a folder that is written over is as good as a new one.
LENIENT = settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    max_examples=15,
    deadline=None,
)


def page_of(outcome: Outcome, folder: Path) -> Page:
    """The page of an outcome."""
    return read_page(gate.write(outcome, folder))


def shown(markdown: str) -> Page:
    """Markdown as CommonMark with tables makes it HTML."""
    return Page(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))


def terminal(outcome: Outcome) -> Table:
    """The table for a terminal, which is there."""
    table = gate.terminal_table(outcome)
    assert table is not None
    return table


def printed(table: Table, *, width: int = 80) -> list[str]:
    """The lines of a table as the command line prints it."""
    grid = Grid(title=table.title, title_justify="left", box=None, pad_edge=False)
    for number, column in enumerate(table.columns):
        grid.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in table.rows:
        grid.add_row(*(cell.whole for cell in row.cells))
    file = io.StringIO()
    Console(file=file, width=width, markup=False, highlight=False).print(grid)
    return file.getvalue().splitlines()


# Sentences.


def test_summary_of_a_gate_that_fails() -> None:
    """Verdict, failing cases with ratio, interval and cause, sides, effort, sight and notes follow."""
    text = """
1 regression and 1 failure in 7 cases: 1 probably slower, 2 the same, 1 faster, 1 undecided,
 1 not compared.
process of 20 images with dask-image/dask-image/threads: regression, CPU time 1.12 times as long
 (1.09 to 1.15), wall time 1.11, 8 rounds.
pipeline of 20 images with dask-array-skimage/dask-blocks/threads: failed: head: wrong-result:
 3 cells fewer.
read of 20 images with dask-image/dask-image/threads: probably slower, not confirmed, CPU time 1.05
 times as long (1.02 to 1.08), wall time 1.04, 32 rounds.
Base: main (1a2b3c4). Head: the working tree of 5d6e7f8, with changes. Threshold 5%; 8 to 32 rounds
 a case; 4 min 10 s. The head had changes that are in no commit.
This machine sees 6% and more: over all cases, such a slow-down of one is found 95 times in 100.
Of 1000 gates on the same code, drawn from 30 rounds that were measured on 2026-01-01, 0.0% fail.
The machine was busy.
Ctrl-C\\x1b[2J
"""
    told = gate.summary(ordinary(notes=("The machine was busy.", "Ctrl-C\x1b[2J")))
    assert told == text.strip().replace("\n ", " ").splitlines()


def test_what_is_not_so_is_not_said() -> None:
    """Sides without changes have none, and a machine that was not calibrated is told how to be."""
    clean = dataclasses.replace(ordinary().head, changed=False)
    told = " ".join(gate.summary(ordinary(head=clean, sight=None)))
    assert "in no commit" not in told
    assert "This machine sees" not in told
    assert "segbench gate --calibrate" in told


def test_thresholds_of_their_own_are_said() -> None:
    """Beside the usual threshold stand those that were named."""
    told = " ".join(
        gate.summary(
            make_outcome(
                comparison(), threshold=Thresholds(0.05, (("open", 0.2), ("read:20", 0.1)))
            )
        )
    )
    assert "Threshold 5% (open 20%, read:20 10%); 8 rounds; " in told


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"grown": ("peak memory",), "memory": estimate(1.14)}, "peak memory 14% more"),
        ({"memory": estimate(0.9)}, "peak memory 10% less"),
        ({"grown": ("tasks",), "head": level(tasks=120)}, "tasks 120 instead of 60"),
        ({"head": level(tasks=None)}, "tasks 0 instead of 60"),
        ({"head": level(tasks=62)}, ""),
        ({"grown": ("wall time",), "wall": estimate(1.5)}, "wall time 50% more"),
        ({"memory": estimate(1.06, spread=0.1)}, ""),
        ({"memory": estimate(1.04, spread=0.01)}, ""),
        ({"memory": Estimate(ratio=2, low=math.nan, high=math.nan, rounds=4)}, ""),
    ],
)
def test_what_differs_beside_cpu_time(changes: dict[str, Any], words: str) -> None:
    """Memory that differs by more than its noise, other tasks, and what makes a regression are told.

    They stand under the case in the tables, and in the sentence on one that is named.
    """
    outcome = make_outcome(comparison("regression", **changes))
    assert words in gate.summary(outcome)[1]
    assert f"| {DASK}{'<br>' if words else ''}{words} |" in gate.markdown(outcome)


def test_a_machine_that_sees_little() -> None:
    """Where no slow-down that was tried is found it says so, and how far was tried."""
    sight = ordinary().sight
    assert sight is not None
    told = gate.sight_sentences(dataclasses.replace(sight, smallest=None))
    assert told[0].startswith("This machine sees more than 100%: over all cases, no smaller ")
    assert calibrate.TRIED[-1] == pytest.approx(gate.MOST_TRIED)


def test_the_summary_stays_short() -> None:
    """Of many failing cases the worst are named and the rest counted; a long cause is cut."""
    told = gate.summary(make_outcome(*many(20, "regression")))
    assert "of 20 images" in told[1]
    assert sum(": regression, " in sentence for sentence in told) == gate.MOST_NAMED
    assert f"And {20 - gate.MOST_NAMED} more, which the table names." in told
    cut = gate.summary(make_outcome(comparison("failed", cause=100 * "no memory, ")))[1]
    assert len(cut) < gate.LONGEST_CAUSE + 100
    assert cut.endswith("….")


@pytest.mark.parametrize(
    ("verdicts", "text"),
    [
        (38 * ["same"] + 2 * ["undecided"], "No regression in 40 cases: 38 the same, 2 undecided"),
        (["improvement", "same"], "No regression in 2 cases: 1 the same, 1 faster"),
        (2 * ["undecided"], "Inconclusive: 2 of 2 cases: 2 undecided"),
        (
            ["suspected", "undecided", "same"],
            "Inconclusive: 2 of 3 cases: 1 probably slower, 1 the same, 1 undecided",
        ),
        (["undecided", "same"], "No regression in 2 cases: 1 the same, 1 undecided"),
        (["not compared", "same"], "No regression in 1 case: 1 the same, 1 not compared"),
        (["not compared"], "Nothing compared: 1 not compared"),
        ([], "Nothing compared"),
        (
            ["failed", "regression", "regression", "same"],
            "2 regressions and 1 failure in 4 cases: 1 the same",
        ),
    ],
)
def test_headline(verdicts: list[str], text: str) -> None:
    """The verdict is in words, with the number of cases of each kind."""
    cases = [comparison(verdict) for verdict in verdicts]
    assert gate.headline(make_outcome(*cases)) == text


def test_the_next_gate_decides_what_is_open() -> None:
    """It measures the open cases of the most suspect backend, with more rounds, as it was asked before."""
    cases = [
        comparison("undecided", 1.03, backend=POOL),
        comparison("suspected", 1.06, phase="read", n_images=1),
        comparison("undecided", 1.03),
        comparison(),
    ]
    typed = "segbench gate --base main --out here --sizes=1,20 --phases read,process --rounds 32 --strict"
    found = gate.next_step(make_outcome(*cases, command=typed))
    assert found == (
        (
            "To measure the most suspect of 3 undecided cases again, with more rounds and for 5 minutes at "
            "the most:"
        ),
        (
            "segbench gate --base main --strict --phases read,process --sizes 1,20 --backends "
            f"{DASK} --rounds 64 --measure-seconds 300"
        ),
    )
    assert gate.next_step(make_outcome(comparison())) is None
    # What can only be as fast, or faster, is no reason to measure again, and is told as such.
    faster = make_outcome(comparison("undecided", 0.97))
    assert gate.next_step(faster) is None
    assert any("Of the undecided 1 is not slower" in one for one in gate.summary(faster))
    assert gate.next_step(make_outcome(*cases, interrupted=True)) is None


def test_an_interruption_is_in_the_verdict() -> None:
    """No verdict of a gate that was cut short stands alone."""
    cut_short = gate.headline(make_outcome(comparison(), interrupted=True))
    assert cut_short.endswith(", interrupted before the end")


def test_every_verdict_has_words_and_a_look() -> None:
    """No verdict of a gate is without words or without a shape of its own."""
    assert set(gate.WORDS) == set(VERDICTS)
    assert list(LOOKS) == list(VERDICTS)
    assert len({marker for _, marker, _ in LOOKS.values()}) == len(VERDICTS)


def test_without_an_interval_the_rounds_are_said() -> None:
    """With too few rounds there is no interval, and no nan is shown for it."""
    few = Estimate(ratio=1.3, low=math.nan, high=math.nan, rounds=3)
    outcome = make_outcome(comparison("undecided", cpu=few, wall=few, memory=few))
    text = gate.markdown(outcome)
    assert "| 1.30 | – | 1.30 | 3 |" in text
    assert [cell.whole for cell in terminal(outcome).rows[0].cells[1:3]] == ["1.30", "– (3)"]
    assert "nan" not in text


# The tables of a terminal.


@given(OUTCOMES)
@LENIENT
def test_a_terminal_shows_any_outcome(outcome: Outcome) -> None:
    """Text that it prints and does not obey; in the table the worst verdict and ratio are first."""
    table = gate.terminal_table(outcome)
    assert (table is None) == (not outcome.comparisons)
    rows = [row.cells for row in table.rows] if table else []
    for text in (*gate.summary(outcome), *(cell.whole for row in rows for cell in row)):
        assert text.isprintable()
        assert "nan" not in text
    keys = [(list(VERDICTS).index(row[-1].verdict), -(row[1].value or 0)) for row in rows]
    assert keys == sorted(keys)
    assert {row[-1].verdict for row in rows} == {case.verdict for case in outcome.comparisons}


def test_cases_of_a_verdict_are_rows_or_are_counted() -> None:
    """Where they would fill a terminal, cases of a verdict are one row; failing ones never are."""
    assert len(terminal(make_outcome(*many(12))).rows) == 12
    crowd = [*many(30, "regression"), *many(500), *many(25, "undecided"), comparison("failed")]
    rows = [row.cells for row in terminal(make_outcome(*crowd)).rows]
    verdicts = [row[-1].verdict for row in rows]
    assert verdicts == [*(30 * ["regression"]), "failed", "undecided", "same"]
    assert [row[0].text for row in rows[-2:]] == ["25 cases", "500 cases"]


def test_fits_eighty_columns() -> None:
    """No figure and no verdict is broken at 80 columns; a long name goes to a second line."""
    case = comparison("regression", 1.12, backend=LONGEST, phase="pipeline", n_images=500)
    lines = printed(terminal(make_outcome(case, *ordinary().comparisons)))
    assert max(map(len, lines)) <= 80
    (number,) = (number for number, line in enumerate(lines) if "pipeline 500" in line)
    assert lines[number].split() == [
        *("pipeline", "500", "1.12", "1.09–1.15", "(8)", "1.11", "regression")
    ]
    assert lines[number + 1].split() == [LONGEST]


def test_what_a_machine_sees_of_each_case() -> None:
    """A row a case has what is found, how often nothing is called something, and each slowed arm."""
    sight = ordinary().sight
    assert sight is not None
    described: dict[str, Any] = {"phase": "read", "backend": POOL, "n_images": 1}
    shares: dict[str, Any] = {"smallest": 0.062, "alarms": 0.004}
    case = CaseSight(**described, **shares, measured={"slowed": 1.061}, found={"slowed": 0.95})
    table = gate.sight_table(Calibration(cases=(case,), sight=sight))
    (row,) = table.rows
    texts = [f"read 1 {POOL}", "6.2%", "0.4%", "95% (1.06)"]
    assert [cell.whole for cell in row.cells] == texts
    assert [cell.value for cell in row.cells] == [None, 0.062, 0.004, 0.95]
    assert table.columns[-1] == "slowed"
    unseen = dataclasses.replace(case, smallest=None)
    (row,) = gate.sight_table(Calibration(cases=(unseen,), sight=sight)).rows
    assert row.cells[1].whole == "> 100%"
    assert not gate.sight_table(Calibration(cases=(), sight=sight)).rows


# Markdown.


def test_comment_folds_what_is_the_same() -> None:
    """Above the fold are the verdict and what is not the same, in the first fold what is."""
    above, *folds = gate.markdown(ordinary()).split("<details>")
    assert above.startswith(f"### segbench gate: {gate.headline(ordinary())}\n")
    verdicts = [re.findall(r"^\| (\w[\w ]*) \| ", part, re.MULTILINE) for part in (above, folds[0])]
    assert verdicts[0] == ["Verdict", *(verdict for verdict in VERDICTS if verdict != "same")]
    assert verdicts[1] == ["Verdict", "same", "same"]
    assert "<summary>2 the same</summary>" in folds[0]
    assert "```\nsegbench gate --base main\n```" in folds[1]
    assert "| dask | 2026.3.0 | 2026.8.0 | differs |" in folds[1]
    assert "| python | 3.11.2 | 3.11.2 |  |" in folds[1]
    assert "Abacus 3000" in folds[1]
    html = shown(gate.markdown(ordinary()))
    assert len(html.all("table")) == len(html.all("details")) == 3
    assert len(html.all("th")) == 10 + 10 + 4
    assert len(html.all("td")) == 10 * (6 + 2) + 4 * (1 + 1 + 4)


def test_comment_shows_text_as_it_is() -> None:
    """Markup in names, causes, versions and commands is shown, not obeyed, and pings nobody."""
    html = shown(gate.markdown(nasty()))
    assert not {tag for tag, _ in html.tags} - {
        *("h3", "ul", "li", "p", "table", "thead", "tbody", "tr", "th", "td", "br"),
        *("details", "summary", "pre", "code", "span"),
    }
    assert not html.open
    assert len(html.all("details")) == 3
    text = html.text.replace("\u200b", "")
    once = one_line(NASTY)
    assert text.count(once) >= 20
    assert "1. no list" in text
    assert [line for line in html.texts["code"] if line.strip() == once]
    # Outside of code nothing is left that GitHub makes a mention, a reference or a link of.
    pings = r"@\w|#\d|GH-\d|://|www\.|:\w+:|\$.*\$"
    assert not [text for text in html.texts[""] if re.search(pings, text)]


@pytest.mark.parametrize(
    "text", ["- item", "+ item", "# big", "> quote", "1. one", "12) two", "<div x", "<!-- x"]
)
def test_notes_begin_no_block(text: str) -> None:
    """What makes a list, a heading, a quote or a block of HTML at the start of a line is escaped."""
    html = shown(comment_text(text))
    assert [tag for tag, _ in html.tags] == ["p"]
    assert html.text.replace("\u200b", "").strip() == text


def test_text_that_is_to_be_copied() -> None:
    """What would end a block of code is shown in it; the hours and minutes of a date are whole."""
    text = gate.markdown(make_outcome(command="```"))
    assert "````" in text
    assert "```\n" in shown(text).texts["code"]
    assert comment_text("2026-01-02T03:04:05") == "2026-01-02T03:04:05"


@pytest.mark.parametrize("count", [300, 1200])
def test_a_comment_is_never_too_long(count: int) -> None:
    """Whatever the number of cases, GitHub takes the comment, and it says what was left out."""
    text = gate.markdown(make_outcome(*many(count), *many(count, "undecided", backend=LONGEST)))
    assert len(text.encode()) < 65_536
    assert len(re.findall(r"^\d+ more are left out here", text, flags=re.MULTILINE)) == 2
    assert f"{2 * count} cases" in text.splitlines()[0]


def test_a_comment_of_texts_without_end() -> None:
    """Where not even the names have room, the verdict is all that is said."""
    text = gate.markdown(make_outcome(comparison("regression", backend=50_000 * "$")))
    assert len(text.encode()) < 65_536
    assert text.startswith("### segbench gate: 1 regression in 1 case\n")
    assert "too long for a comment" in text


# The page.


def test_page_shows_what_was_found(tmp_path: Path) -> None:
    """Verdict, sentences, every case with its times, notes and command; made twice, the same."""
    outcome = ordinary(notes=("The machine was busy.",))
    index = gate.write(outcome, tmp_path / "report")
    assert index == tmp_path / "report" / "index.html"
    drawn = index.parent / "figures"
    assert {path.name for path in drawn.iterdir()} == {"ratios.svg", "ratios.png"}
    page = page_of(outcome, tmp_path / "again")
    assert (tmp_path / "again" / "index.html").read_bytes() == index.read_bytes()
    for text in (*gate.summary(outcome)[1:], *gate.headline(outcome).split(": ")):
        assert text in page.text
    for text in ("100 ms", "112 ms", "1.12", "1.09–1.15", "1.01–1.22", "only head has it"):
        assert text in page.text
    assert "segbench gate --base main" in page.texts["code"]
    for verdict, meaning in VERDICTS.items():
        assert verdict in page.texts[""]
        assert meaning in page.texts[""]


def test_versions_that_differ_are_marked(tmp_path: Path) -> None:
    """Both sides stand side by side; a version that differs, or is missing, is marked in words."""
    text = gate.write(ordinary(), tmp_path).read_text(encoding="utf-8")
    rows = dict(re.findall(r'<tr><th scope="row">(\w+)</th>(.*)</tr>', text))
    assert rows["python"] == "<td>3.11.2</td><td>3.11.2</td><td>yes</td>"
    assert rows["dask"] == '<td>2026.3.0</td><td>2026.8.0</td><td class="differs">differs</td>'
    assert rows["numpy"] == '<td>2.2.0</td><td>–</td><td class="differs">differs</td>'
    assert rows["tifffile"] == '<td>–</td><td>2026.1.1</td><td class="differs">differs</td>'


def test_cells_have_what_they_are_sorted_by(tmp_path: Path) -> None:
    """Verdicts, sizes, times and ratios stand in the table as numbers, too."""
    case = comparison("regression", 1.12)
    (row,) = re.findall(
        r"<tr><td class=.*</tr>",
        gate.write(make_outcome(case), tmp_path).read_text(encoding="utf-8"),
    )
    values = [float(value) for value in re.findall(r'data-value="([^"]*)"', row)]
    assert case.base is not None
    assert case.head is not None
    assert case.cpu is not None
    assert case.wall is not None
    assert values == [
        *(0, case.n_images, case.base.cpu_seconds, case.head.cpu_seconds),
        *(case.cpu.ratio, case.wall.ratio, case.cpu.rounds),
    ]


@pytest.mark.parametrize("shared", [True, False])
def test_the_method_says_what_holds(*, shared: bool) -> None:
    """Looks, shares and chances in the text are those of the rule; the layout is what it was."""
    text = " ".join(shown(gate.markdown(make_outcome(shared_layout=shared))).text.split())
    text = text.replace("\u200b", "")
    assert ("both sides have the same address layout, which" in text) == shared
    assert ("does not let both sides have the same address layout" in text) == (not shared)
    assert tuple(decide.LOOKS) == gate.LOOKS
    assert decide.ESTIMATED == ESTIMATED == 0.5
    assert decide.SHOWN == 0.1
    assert f"the chance that a gate on the same code names a case is {decide.ALPHA:.0%}" in text
    assert f"wall time that grows by more than {decide.WALL:.0%} and" in text
    assert f"peak memory that grows by more than {decide.MEMORY:.0%};" in text


@pytest.mark.parametrize(
    ("rounds", "words"),
    [
        (32, "8, 16 and 32 rounds"),
        (20, "8, 16 and 20 rounds"),
        (8, "8 rounds"),
        (5, "5 rounds"),
    ],
)
def test_looks_of_a_short_gate(rounds: int, words: str) -> None:
    """The last look at a case is after as many rounds as there are."""
    assert f"A case is looked at after {words}, and" in gate.markdown(make_outcome(rounds=rounds))


def test_page_obeys_nothing(tmp_path: Path) -> None:
    """Markup in whatever a result holds is shown, in the alternative text, too; nothing is loaded."""
    page = page_of(nasty(), tmp_path)
    once = one_line(NASTY)
    assert "\\x1b[2J \\udcff" in once
    assert page.text.count(once) >= 20
    assert once in page.texts["code"]
    (image,) = page.all("img")
    assert once in image["alt"]
    assert asks_for_nothing(page)
    assert not page.all("script")
    assert [link["href"] for link in page.all("a")] == ["#main"]


def test_page_for_a_screen_reader(tmp_path: Path) -> None:
    """Tables have headings in scope, regions names that exist, and there is one heading above all."""
    page = page_of(ordinary(notes=("busy",)), tmp_path)
    assert all(heading["scope"] in ("col", "row") for heading in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = [attributes for _, attributes in page.tags if "aria-labelledby" in attributes]
    assert len(named) == 3 + 2
    assert {attributes["aria-labelledby"] for attributes in named} <= set(ids)
    assert len(page.all("h1")) == len(page.all("main")) == 1
    assert len(page.all("caption")) == len(page.all("table")) == 3


def test_page_without_a_case(tmp_path: Path) -> None:
    """Where nothing was compared there is neither a figure nor a table of cases."""
    page = page_of(make_outcome(), tmp_path)
    assert "Nothing compared" in page.text
    assert not page.all("img")
    assert len(page.all("table")) == 2


@given(outcome=OUTCOMES)
@settings(LENIENT, max_examples=5)
def test_documents_of_any_outcome(outcome: Outcome, tmp_path: Path) -> None:
    """Whatever was found makes a short comment and a page with a row a case, which are whole."""
    text = gate.markdown(outcome)
    assert len(text.encode()) < 65_536
    for html in (shown(text), page_of(outcome, tmp_path)):
        assert not html.open
        assert not html.all("script")
        assert len(html.all("tr")) > len(outcome.comparisons)


# The figure.


def figure_of(*cases: Comparison) -> Drawing | None:
    """The figure of some cases; it names them by phase and verdict."""
    return ratio_figure(cases, threshold=0.05, name=lambda case: f"{case.phase}:{case.verdict}")


def test_alternative_text_holds_data() -> None:
    """The text of the figure names each case that is not the same, and how far the others reach."""
    figure = figure_of(*ordinary().comparisons)
    assert figure is not None
    assert figure.alt == (
        "CPU time of the head as a multiple of that of the base: process:regression; "
        "pipeline:failed; read:suspected; pipeline:undecided; read:improvement; open:not compared; 2 cases are the same, "
        "from 0.99 to 1.01."
    )
    assert figure.svg.startswith(b"<?xml")


def test_nothing_to_draw() -> None:
    """Where no case has a ratio, or one without end, there is no figure."""
    endless = comparison(cpu=Estimate(ratio=math.inf, low=1.0, high=math.inf, rounds=8))
    for case in (comparison("failed"), endless):
        assert figure_of(case) is None


def test_rows_with_a_threshold_of_their_own() -> None:
    """The caption says how many there are, and that the band is not theirs."""
    figure = figure_of(comparison(), comparison(threshold=0.2, phase="open"))
    assert figure is not None
    assert "smaller than the threshold of 5%" in figure.caption
    assert "1 row has another threshold" in figure.caption
    usual = figure_of(comparison())
    assert usual is not None
    assert "another threshold" not in usual.caption


def test_what_has_grown_stands_in_its_row() -> None:
    """A regression whose CPU time is the same is not left without a reason in the figure."""
    figure = figure_of(comparison("regression", grown=("peak memory", "tasks")))
    assert figure is not None
    assert b"peak memory, tasks" in figure.svg


def test_of_very_many_cases_the_worst_are_drawn() -> None:
    """A figure has rows that can be told apart; the caption says how many are left out."""
    figure = figure_of(*many(MOST_ROWS + 30), comparison("regression", 1.5))
    assert figure is not None
    assert "31 more cases are in the table alone." in figure.caption
    assert f"process:regression; {MOST_ROWS - 1} cases are the same" in figure.alt


@pytest.mark.parametrize(
    ("low", "ratio", "high"),
    [(0.0, 0.0, 1.1), (1.0, math.inf, math.inf), (0.0, 1.1, 1.2), (1.0, 1.1, math.inf)],
)
def test_what_has_no_place_on_the_axis(low: float, ratio: float, high: float) -> None:
    """Times of nothing make no figure impossible."""
    odd = Estimate(ratio=ratio, low=low, high=high, rounds=8)
    assert figure_of(comparison(), comparison("undecided", cpu=odd)) is not None


# JSON.


@given(outcome=OUTCOMES)
@LENIENT
def test_json_of_any_outcome(outcome: Outcome) -> None:
    """An outcome can be read back from strict JSON: as it was, but null for what is not known."""

    def refuse(name: str) -> float:
        raise AssertionError(f"{name} is no JSON")

    known = json.dumps(dataclasses.asdict(outcome))
    assert json.loads(jsonl.encode(outcome), parse_constant=refuse) == json.loads(
        known, parse_constant=lambda _: None
    )


# Imports.


def test_needs_neither_dask_nor_scikit_image() -> None:
    """A gate can be told where neither is installed, and without what measures it."""
    code = (
        "import sys\n"
        "import segbench.report.gate_page\n"
        "print(sorted({'dask', 'skimage', 'segbench.gate'} & set(sys.modules)))"
    )
    done = subprocess.run(  # noqa: S603  (this interpreter, on the code above)
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
