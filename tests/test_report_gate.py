"""How a gate tells what it found: sentences, a table, Markdown, a page, JSON."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console
from rich.table import Table as Grid

from segbench.report import gate_figure
from segbench.report import gate_page as gate
from segbench.report.gate_figure import LOOKS, ratio_figure
from segbench.report.rendering import comment_text, one_line
from segbench.results.outcome import (
    FAILING,
    VERDICTS,
    Comparison,
    Estimate,
    Outcome,
    Side,
    Sight,
    write_outcome,
)

if TYPE_CHECKING:
    from pathlib import Path

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


def comparison(verdict: str = "same", ratio: float = 1.0, **other: Any) -> Comparison:
    """A case of 20 images; what a verdict goes without is left out."""
    timed = verdict not in ("failed", "not compared")
    described: dict[str, Any] = {
        "phase": "process",
        "backend": DASK,
        "n_images": 20,
        "base_seconds": 0.1 if timed else None,
        "head_seconds": 0.1 * ratio if timed else None,
        "first": estimate(ratio) if timed else None,
        "again": estimate(ratio * 0.99) if verdict == "regression" else None,
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
        "threshold": 0.05,
        "rounds": 8,
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


@st.composite
def comparisons(draw: st.DrawFn) -> Comparison:
    """Any comparison that a gate may hand over."""
    verdict = draw(st.sampled_from(list(VERDICTS)))
    seconds = st.none() | st.floats(1e-9, 1e5)
    timed = verdict not in ("failed", "not compared")
    estimates = st.builds(
        _ordered,
        st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=3),
        st.integers(1, 40),
    )
    return Comparison(
        phase=draw(st.sampled_from(["open", "read", "process", "pipeline", "another"])),
        backend=draw(st.sampled_from([POOL, DASK, LONGEST, NASTY])),
        n_images=draw(st.integers(1, 10**6)),
        verdict=verdict,
        base_seconds=draw(seconds),
        head_seconds=draw(seconds),
        first=draw(estimates if timed else st.none() | estimates),
        again=draw(st.none() | estimates),
        cause=draw(st.sampled_from(["", "head: crashed", NASTY])),
    )


def _ordered(ends: list[float], rounds: int) -> Estimate:
    """An estimate, without an interval where there are too few rounds for one."""
    low, ratio, high = sorted(ends)
    if rounds < 5:
        low = high = math.nan
    return Estimate(ratio=ratio, low=low, high=high, rounds=rounds)


@st.composite
def outcomes(draw: st.DrawFn) -> Outcome:
    """Any outcome that a gate may hand over."""
    share = st.floats(0, 1)
    sight = Sight(
        measured="2026-01-01T00:00:00+00:00",
        false_alarms=draw(share),
        rounds=draw(st.integers(1, 100)),
        gates=1000,
        smallest=draw(share),
    )
    return make_outcome(
        *draw(st.lists(comparisons(), max_size=30)),
        threshold=draw(st.floats(0.001, 1)),
        seconds=draw(st.floats(0, 1e5)),
        rounds=draw(st.integers(1, 100)),
        sight=draw(st.sampled_from([None, sight])),
        notes=tuple(draw(st.lists(st.sampled_from(["the machine was busy", NASTY]), max_size=3))),
        interrupted=draw(st.booleans()),
    )


class Html(HTMLParser):
    """What a browser would see of a page, or of a comment: tags, and text outside of code."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.code: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag and its attributes."""
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in ("br", "img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        if tag not in ("br", "img", "meta"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep text, that of code and style sheets by itself."""
        (self.code if {"code", "style"} & set(self.open) else self.texts).append(data)

    @property
    def text(self) -> str:
        """All text that is not code."""
        return "".join(self.texts)

    def all(self, tag: str) -> list[dict[str, str]]:
        """Attributes of all elements of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(outcome: Outcome, folder: Path) -> Html:
    """The page of an outcome, parsed."""
    return Html(gate.write(outcome, folder).read_text(encoding="utf-8"))


def shown(markdown: str) -> Html:
    """Markdown as CommonMark with tables makes it HTML."""
    return Html(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))


def terminal(outcome: Outcome, *, width: int = 80) -> str:
    """The table as the command line prints it."""
    table = gate.terminal_table(outcome)
    assert table is not None
    grid = Grid(title=table.title, title_justify="left", box=None)
    for number, column in enumerate(table.columns):
        grid.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in table.texts:
        grid.add_row(*row)
    file = io.StringIO()
    Console(file=file, width=width, markup=False, highlight=False).print(grid)
    return file.getvalue()


# Sentences.


def test_a_regression_is_named_with_ratio_and_interval() -> None:
    """The summary has the case, the ratio, its interval and what was seen again."""
    outcome = make_outcome(
        comparison(
            "regression",
            first=Estimate(ratio=1.12, low=1.09, high=1.15, rounds=8),
            again=Estimate(ratio=1.11, low=1.07, high=1.14, rounds=8),
        ),
        comparison(),
    )
    first, second, *_ = gate.summary(outcome)
    assert first == "1 regression in 2 cases: 1 the same."
    assert second == (
        f"process of 20 images with {DASK}: regression, 1.12 times as long (1.09 to 1.15), "
        "again 1.11."
    )


def test_a_failure_is_named_with_its_cause() -> None:
    """The summary has the case that failed and why."""
    told = gate.summary(make_outcome(comparison("failed", cause="head: crashed: no memory.")))
    assert told[0] == "1 failure in 1 case."
    assert told[1] == f"process of 20 images with {DASK}: failed: head: crashed: no memory."


def test_a_long_cause_is_cut() -> None:
    """The end of a traceback does not bury the verdict."""
    told = gate.summary(make_outcome(comparison("failed", cause=100 * "no memory, ")))
    assert len(told[1]) < 300
    assert told[1].endswith("….")


@pytest.mark.parametrize(
    ("verdicts", "text"),
    [
        (38 * ["same"] + 2 * ["undecided"], "No regression in 40 cases: 38 the same, 2 undecided"),
        (["improvement", "same"], "No regression in 2 cases: 1 the same, 1 faster"),
        (2 * ["undecided"], "Nothing decided in 2 cases: 2 undecided"),
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


def test_every_verdict_has_words_and_a_look() -> None:
    """No verdict of a gate is without words or without a shape of its own."""
    assert {*gate.IN_WORDS, *gate.NOUNS} == set(VERDICTS)
    assert set(gate.NOUNS) == set(FAILING)
    assert list(LOOKS) == list(VERDICTS)
    assert len({look.marker for look in LOOKS.values()}) == len(VERDICTS)


def test_sides_are_named_and_changes_said() -> None:
    """What was compared is named; that a working tree had changes is said of the side that had."""
    told = " ".join(gate.summary(ordinary()))
    assert "Base: main (1a2b3c4). Head: the working tree of 5d6e7f8, with changes." in told
    assert "Threshold 5%, 8 rounds, 4 min 10 s." in told
    assert "The head had changes that are in no commit." in told
    clean = dataclasses.replace(ordinary().head, changed=False)
    assert "in no commit" not in " ".join(gate.summary(ordinary(head=clean)))


def test_of_many_failing_cases_the_worst_are_named() -> None:
    """The summary stays short, and says how many it does not name."""
    told = gate.summary(make_outcome(*many(20, "regression")))
    assert "And 12 more, which the table names." in told
    assert "of 20 images" in told[1]
    assert len(told) == 1 + 8 + 1 + 3


def test_what_the_machine_sees() -> None:
    """What a calibration found is among the sentences, and where there was none how to make one."""
    assert "This machine sees 6% and more" in " ".join(gate.summary(ordinary()))
    assert "gate --calibrate" in " ".join(gate.summary(ordinary(sight=None)))


def test_notes_come_last() -> None:
    """What the reader should know beside is at the end of the summary."""
    told = gate.summary(ordinary(notes=("The machine was busy.", "Ctrl-C\x1b[2J")))
    assert told[-2:] == ["The machine was busy.", "Ctrl-C\\x1b[2J"]


def test_an_interruption_is_in_the_verdict() -> None:
    """No verdict of a gate that was cut short stands alone."""
    assert gate.headline(make_outcome(comparison(), interrupted=True)).endswith(
        "(interrupted: not all was measured)"
    )


def test_without_an_interval_the_rounds_are_said() -> None:
    """With too few rounds there is no interval, and no nan is shown for it."""
    few = Estimate(ratio=1.3, low=math.nan, high=math.nan, rounds=3)
    outcome = make_outcome(comparison("regression", first=few, again=few))
    assert "1.30 times as long (no interval with 3 rounds)" in gate.summary(outcome)[1]
    text = gate.markdown(outcome)
    assert "| 1.30 | – (3 rounds) | 1.30 (– (3 rounds)) |" in text
    assert "nan" not in text


@given(outcomes())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_sentences_of_any_outcome(outcome: Outcome) -> None:
    """Whatever was found is told in lines that a terminal prints and does not obey."""
    for sentence in gate.summary(outcome):
        assert sentence.isprintable()
        assert "nan" not in sentence
    table = gate.terminal_table(outcome)
    assert (table is None) == (not outcome.comparisons)
    if table:
        assert {len(row) for row in table.texts} == {len(table.columns)}
        assert all(cell.isprintable() for row in table.texts for cell in row)


# The table of a terminal.


def test_worst_first() -> None:
    """Rows are in the order of the verdicts, and within one the largest ratio is first."""
    outcome = make_outcome(
        comparison("same", 1.0),
        comparison("undecided", 1.02),
        comparison("regression", 1.1),
        comparison("undecided", 1.04),
        comparison("failed"),
        comparison("regression", 1.3),
    )
    table = gate.terminal_table(outcome)
    assert table is not None
    assert [(row[1], row[-1]) for row in table.texts] == [
        ("1.30", "regression"),
        ("1.10", "regression"),
        ("–", "failed"),
        ("1.04", "undecided"),
        ("1.02", "undecided"),
        ("1.00", "same"),
    ]


def test_many_that_are_the_same_are_counted() -> None:
    """Where they would fill a terminal, cases of a verdict are one row; failing ones never are."""
    outcome = make_outcome(
        *many(30, "regression"), *many(500, "same"), *many(25, "undecided"), comparison("failed")
    )
    table = gate.terminal_table(outcome)
    assert table is not None
    assert [row[-1] for row in table.texts] == [
        *(30 * ["regression"]),
        *("failed", "undecided", "same"),
    ]
    assert [row[0] for row in table.texts[-2:]] == ["25 cases", "500 cases"]


def test_few_that_are_the_same_are_rows() -> None:
    """Where there is room, every case has its row."""
    table = gate.terminal_table(make_outcome(*many(12)))
    assert table is not None
    assert len(table.rows) == 12


def test_fits_eighty_columns() -> None:
    """No figure and no verdict is broken at 80 columns; a long name goes to a second line."""
    case = comparison("regression", 1.12, backend=LONGEST, phase="pipeline", n_images=500)
    lines = terminal(make_outcome(case, *ordinary().comparisons)).splitlines()
    assert max(map(len, lines)) <= 80
    (number,) = (number for number, line in enumerate(lines) if "pipeline 500" in line)
    assert lines[number].split() == ["pipeline", "500", "1.12", "1.09–1.15", "1.11", "regression"]
    assert lines[number + 1].split() == [LONGEST]


# Markdown.


def test_comment_begins_with_the_verdict() -> None:
    """The first line of a comment says in words what was found."""
    first = gate.markdown(ordinary()).splitlines()[0]
    assert first == (
        "### segbench gate: 1 regression and 1 failure in 6 cases: "
        "2 the same, 1 undecided, 1 faster, 1 not compared"
    )


def test_comment_folds_what_is_the_same() -> None:
    """The table above the fold has what is not the same, that in the first fold what is."""
    above, *folds = gate.markdown(ordinary()).split("<details>")
    tables = [
        [line for line in part.splitlines() if line.startswith("| ")] for part in (above, *folds)
    ]
    assert [line.split(" | ")[0] for line in tables[0]] == [
        *("| Verdict", "| ---", "| regression", "| failed"),
        *("| undecided", "| improvement", "| not compared"),
    ]
    assert [line.split(" | ")[0] for line in tables[1]] == [
        "| Verdict",
        "| ---",
        "| same",
        "| same",
    ]
    assert "<summary>2 the same</summary>" in folds[0]
    assert "```\nsegbench gate --base main\n```" in folds[1]
    assert "| dask | 2026.3.0 | 2026.8.0 | differs |" in folds[1]
    assert "| python | 3.11.2 | 3.11.2 |  |" in folds[1]
    assert "Abacus 3000" in folds[1]


def test_markdown_tables_are_tables() -> None:
    """Every table of a comment is one for a reader of Markdown, with as many cells in each row."""
    html = shown(gate.markdown(ordinary()))
    assert len(html.all("table")) == 3
    assert len(html.all("th")) == 9 + 9 + 4
    assert len(html.all("td")) == 9 * (5 + 2) + 4 * (1 + 1 + 4)
    assert len(html.all("details")) == 3
    assert not html.open


def test_comment_shows_text_as_it_is() -> None:
    """Markup in names, causes, versions and commands is shown, not obeyed."""
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
    assert [line for line in html.code if line.strip() == once]


def test_comment_pings_nobody() -> None:
    """Outside of code nothing is left that GitHub makes a mention, a reference or a link of."""
    html = shown(gate.markdown(nasty()))
    pings = r"@\w|#\d|GH-\d|://|www\.|:\w+:|\$.*\$"
    assert not [text for text in html.texts if re.search(pings, text)]


@pytest.mark.parametrize(
    "text", ["- item", "+ item", "# big", "> quote", "1. one", "12) two", "<div x", "<!-- x"]
)
def test_notes_begin_no_block(text: str) -> None:
    """What makes a list, a heading, a quote or a block of HTML at the start of a line is escaped."""
    html = shown(comment_text(text))
    assert [tag for tag, _ in html.tags] == ["p"]
    assert html.text.replace("\u200b", "").strip() == text


def test_command_of_a_fence() -> None:
    """What would end a block of code is shown in it."""
    assert "````" in gate.markdown(make_outcome(command="```"))
    assert "```\n" in shown(gate.markdown(make_outcome(command="```"))).code


def test_times_keep_their_digits() -> None:
    """The hours and minutes of a date can be copied from a comment."""
    assert comment_text("2026-01-02T03:04:05") == "2026-01-02T03:04:05"


@pytest.mark.parametrize("count", [300, 5000])
def test_a_comment_is_never_too_long(count: int) -> None:
    """Whatever the number of cases, GitHub takes the comment, and it says what was left out."""
    outcome = make_outcome(*many(count), *many(count, "undecided", backend=LONGEST))
    text = gate.markdown(outcome)
    assert len(text.encode()) < 65_536
    assert len(re.findall(r"^\d+ more are left out here", text, flags=re.MULTILINE)) == 2
    assert f"{2 * count} cases" in text.splitlines()[0]


def test_a_comment_of_texts_without_end() -> None:
    """Where not even the names have room, the verdict is all that is said."""
    text = gate.markdown(make_outcome(comparison("regression", backend=50_000 * "$")))
    assert len(text.encode()) < 65_536
    assert text.startswith("### segbench gate: 1 regression in 1 case\n")
    assert "too long for a comment" in text


@given(outcomes())
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=40, deadline=None)
def test_comment_of_any_outcome(outcome: Outcome) -> None:
    """Whatever was found makes a comment that is short enough and closes what it opens."""
    text = gate.markdown(outcome)
    assert len(text.encode()) < 65_536
    html = shown(text)
    assert not html.open
    assert "script" not in {tag for tag, _ in html.tags}
    rows = len(html.all("tr"))
    assert rows >= len(outcome.comparisons)


# The page.


def test_page_shows_what_was_found(tmp_path: Path) -> None:
    """Verdict, sentences, every case with its times, notes, versions and command are there."""
    outcome = ordinary(notes=("The machine was busy.",))
    index = gate.write(outcome, tmp_path / "report")
    assert index == tmp_path / "report" / "index.html"
    drawn = index.parent / "figures"
    assert {path.name for path in drawn.iterdir()} == {"ratios.svg", "ratios.png"}
    page = Html(index.read_text(encoding="utf-8"))
    assert not page.open
    for text in (*gate.summary(outcome)[1:], *gate.headline(outcome).split(": ")):
        assert text in page.text
    for text in ("100 ms", "112 ms", "1.12", "1.09–1.15", "1.11 (1.08–1.14)", "only head has it"):
        assert text in page.text
    assert "segbench gate --base main" in page.code
    for verdict, meaning in VERDICTS.items():
        assert verdict in page.texts
        assert meaning in page.texts


def test_versions_that_differ_are_marked(tmp_path: Path) -> None:
    """Both sides stand side by side; a version that differs, or is missing, is marked in words."""
    text = gate.write(ordinary(), tmp_path).read_text(encoding="utf-8")
    rows = dict(re.findall(r'<tr><th scope="row">(\w+)</th>(.*)</tr>', text))
    assert rows["python"] == "<td>3.11.2</td><td>3.11.2</td><td>yes</td>"
    assert rows["dask"] == '<td>2026.3.0</td><td>2026.8.0</td><td class="differs">differs</td>'
    assert rows["numpy"] == '<td>2.2.0</td><td>–</td><td class="differs">differs</td>'
    assert rows["tifffile"] == '<td>–</td><td>2026.1.1</td><td class="differs">differs</td>'


def test_page_makes_no_request(tmp_path: Path) -> None:
    """A browser that shows the page loads nothing and runs nothing."""
    page = page_of(nasty(), tmp_path)
    assert "default-src 'none'" in page.all("meta")[2]["content"]
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "base"}
    for _, attributes in page.tags:
        assert attributes.get("src", "data:").startswith("data:")
        assert attributes.get("href", "#main") == "#main"
        assert not {"srcset", "action", "style"} & attributes.keys()
        assert not [name for name in attributes if name.startswith("on")]
    assert not [code for code in page.code if re.search(r"url\(|@import", code)]


def test_page_shows_text_as_it_is(tmp_path: Path) -> None:
    """Markup in whatever a result holds is shown, not obeyed; the alternative text has it, too."""
    page = page_of(nasty(), tmp_path)
    once = one_line(NASTY)
    assert not page.open
    assert page.text.count(once) >= 20
    assert once in page.code
    (image,) = page.all("img")
    assert once in image["alt"]
    assert "\\x1b[2J \\udcff" in once


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


def test_same_outcome_gives_the_same_page(tmp_path: Path) -> None:
    """A page made twice has the same bytes."""
    pages = [gate.write(ordinary(), tmp_path / name).read_bytes() for name in ("a", "b")]
    assert pages[0] == pages[1]


def test_page_without_a_case(tmp_path: Path) -> None:
    """Where nothing was compared there is neither a figure nor a table of cases."""
    page = page_of(make_outcome(), tmp_path)
    assert "Nothing compared" in page.text
    assert not page.all("img")
    assert len(page.all("table")) == 2


@given(outcome=outcomes())
@settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    max_examples=8,
    deadline=None,
)
def test_page_of_any_outcome(outcome: Outcome, tmp_path: Path) -> None:
    """Whatever was found makes a page that closes what it opens and has a row a case."""
    page = page_of(outcome, tmp_path)
    assert not page.open
    table = [
        index
        for index, (_, attributes) in enumerate(page.tags)
        if attributes.get("class") == "cases"
    ]
    assert len(table) == (1 if outcome.comparisons else 0)
    assert sum(
        "scope" in attributes and attributes["scope"] == "row" for attributes in page.all("th")
    ) >= len(outcome.comparisons)


# The figure.


def told(case: Comparison) -> str:
    """A name that a test can look for."""
    return f"{case.phase}:{case.verdict}"


def test_alternative_text_holds_data() -> None:
    """The text of the figure names each case that is not the same, and how far the others reach."""
    figure = ratio_figure(ordinary().comparisons, threshold=0.05, name=told)
    assert figure is not None
    assert figure.alt == (
        "Time of the head as a multiple of that of the base: process:regression; pipeline:failed; "
        "pipeline:undecided; read:improvement; open:not compared; 2 cases are the same, "
        "from 0.99 to 1.01."
    )
    assert figure.svg.startswith(b"<?xml")


def test_nothing_to_draw() -> None:
    """Where no case has a ratio, or one without end, there is no figure."""
    endless = comparison(first=Estimate(ratio=math.inf, low=1.0, high=math.inf, rounds=8))
    for case in (comparison("failed"), endless):
        assert ratio_figure([case], threshold=0.05, name=told) is None


def test_of_very_many_cases_the_worst_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure has rows that can be told apart; the caption says how many are left out."""
    monkeypatch.setattr(gate_figure, "MOST_ROWS", 10)
    cases = [*many(40), comparison("regression", 1.5)]
    figure = ratio_figure(cases, threshold=0.05, name=told)
    assert figure is not None
    assert "31 more cases are in the table alone." in figure.caption
    assert "process:regression" in figure.alt


@pytest.mark.parametrize(
    ("low", "ratio", "high"),
    [(0.0, 0.0, 1.1), (1.0, math.inf, math.inf), (0.0, 1.1, 1.2), (1.0, 1.1, math.inf)],
)
def test_what_has_no_place_on_the_axis(low: float, ratio: float, high: float) -> None:
    """Times of nothing make no figure impossible."""
    odd = Estimate(ratio=ratio, low=low, high=high, rounds=8)
    cases = [comparison(), comparison("undecided", first=odd)]
    assert ratio_figure(cases, threshold=0.05, name=told) is not None


# JSON.


@given(outcome=outcomes())
@settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], deadline=None
)
def test_json_of_any_outcome(outcome: Outcome, tmp_path: Path) -> None:
    """An outcome can be read back from strict JSON: as it was, but null for what is not known."""
    path = tmp_path / "gate.json"
    write_outcome(outcome, path)

    def refuse(name: str) -> float:
        raise AssertionError(f"{name} is no JSON")

    read: dict[str, Any] = json.loads(path.read_bytes(), parse_constant=refuse)
    assert {field.name for field in dataclasses.fields(outcome)} <= read.keys()
    assert read["command"] == outcome.command
    assert read["threshold"] == outcome.threshold
    for line, case in zip(read["comparisons"], outcome.comparisons, strict=True):
        assert _back(line) == _without_nan(dataclasses.asdict(case))


def _back(line: dict[str, Any]) -> dict[str, Any]:
    """A comparison that was read, through the class it is of: no key is unknown, none is missing."""
    for name in ("first", "again"):
        if line[name]:
            line[name] = Estimate(**line[name])
    return dataclasses.asdict(Comparison(**line))


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(each) for name, each in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


# Imports.


def test_needs_neither_dask_nor_scikit_image() -> None:
    """A gate can be told where neither is installed, and without what measures it."""
    code = (
        "import sys\n"
        "import segbench.report.gate\n"
        "print(sorted({'dask', 'skimage', 'segbench.gate', 'segbench.measure'} & set(sys.modules)))"
    )
    done = subprocess.run(  # noqa: S603  (this interpreter, on the code above)
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
