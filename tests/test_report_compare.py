"""Runs side by side: the facts that differ, and the times and ratios that changed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segbench.backends.interface import Description
from segbench.report import summary as summary_of
from segbench.report.side_by_side import compare
from segbench.stats import VERDICTS
from tests.made_up import DASK, PIMS, POOL, SERIAL, case, make_source, mixtures, sample

if TYPE_CHECKING:
    from segbench.report.cells import Cell
    from segbench.report.drawing import Chapter
    from segbench.results.records import Sample
    from segbench.results.sources import Source

SIZES = (1, 20)
PHASES = ("read", "pipeline")

DESCRIBED: dict[str, Any] = {
    "machine": {"cpu": "Abacus 3000", "load_at_start": 0.1, "python": "CPython 3"},
    "versions": {"python": "3.11", "dask": "2024.8", "pims": "0.7", "opencv-python": "4.9"},
    "settings": {"workers": 2, "cache": "warm", "blocks": 40, "command": "segbench run"},
    "dataset": {"name": "smear", "shape": [8, 9, 3], "dtype": "uint8", "key": "smear-1"},
    "backends": {DASK: Description(words="Dask", libraries=("dask", "pims"), work="scikit-image")},
}


def run_of(times: dict[str, float] | None = None, **other: Any) -> Source:
    """A run of three backends; `times` are those of an image in seconds, where they are others."""
    seconds = {SERIAL: 1.0, POOL: 0.6, DASK: 2.0} | (times or {})
    return make_source(
        *(
            case(backend, phase, size, *[size * one * swing for swing in (1.0, 1.01) * 5])
            for backend, one in seconds.items()
            for phase in PHASES
            for size in SIZES
        ),
        **{**DESCRIBED, **other},
    )


def compared(*sources: Source) -> tuple[Chapter, ...]:
    """Some sources side by side."""
    return compare(sources, [summary_of.summarize(source) for source in sources])


def beside(second: Source, first: Source | None = None) -> Chapter:
    """A source beside another."""
    (found,) = compared(first or run_of(), second)
    return found


def facts(found: Chapter) -> set[tuple[str, ...]]:
    """The rows of facts that differ."""
    return {
        tuple(cell.text for cell in row.cells)
        for table in found.tables
        if table.name == "environments"
        for row in table.rows
    }


def rows(found: Chapter) -> list[dict[str, Cell]]:
    """The rows of all phases, by the headings of their columns."""
    return [
        dict(zip(table.columns, row.cells, strict=True))
        for table in found.tables
        if table.name.endswith("-compared")
        for row in table.rows
    ]


def verdicts_of(found: Chapter, column: str) -> dict[str, set[str]]:
    """By backend, what the cells of a column show."""
    said: dict[str, set[str]] = {}
    for row in rows(found):
        said.setdefault(row["Backend"].text, set()).add(row[column].verdict)
    return said


TIME, RATIO = "Time, 2 over 1", "Ratio, 2 over 1"


# Changes.


def test_a_machine_that_is_slower_as_a_whole() -> None:
    """Where all times double every time has changed and no ratio has, and the sentences count both."""
    found = beside(run_of({SERIAL: 2.0, POOL: 1.2, DASK: 4.0}))
    assert verdicts_of(found, TIME) == {one: {"slower"} for one in (SERIAL, POOL, DASK)}
    assert verdicts_of(found, RATIO) == {
        SERIAL: {""},
        **{one: {"no difference"} for one in (POOL, DASK)},
    }
    assert found.sentences == (
        "Machine, versions, settings and images are the same in 1 and 2.",
        (
            "Of 12 times, 12 changed, 0 more probably did, 0 stayed the same (to within 5%) and 0 are "
            "undecided."
        ),
        (
            f"Of 8 ratios to {SERIAL}, 0 changed, 0 more probably did, 8 stayed the same (to within "
            "5%) and 0 are undecided."
        ),
    )


def test_a_backend_that_changed() -> None:
    """Its numbers of both runs stand beside the changes, and lead to the samples of each."""
    found = beside(run_of({DASK: 3.0}))
    assert verdicts_of(found, RATIO)[DASK] == {"slower"}
    assert verdicts_of(found, TIME)[SERIAL] == {"no difference"}
    assert [table.name for table in found.tables] == ["read-compared", "pipeline-compared"]
    row = rows(found)[-1]
    assert [cell.text for cell in row.values()][:4] == [DASK, "20", "40.2 s", "60.3 s"]
    numbers = [row[name].value for name in ("Time in 1", "Time in 2", "Ratio in 1", "Ratio in 2")]
    assert numbers == pytest.approx([40.2, 60.3, 2.0, 3.0])
    assert [row[name].value for name in (TIME, RATIO)] == pytest.approx([1.5, 1.5])
    own = summary_of.case_id("pipeline", 20, DASK)
    assert [cell.case for cell in row.values()] == [
        *("", "", f"1-{own}", f"2-{own}", "", f"1-{own}", f"2-{own}", "", "")
    ]
    assert [(one["Backend"].text, one["Images"].value) for one in rows(found)[:6]] == [
        (backend, size) for backend in (SERIAL, POOL, DASK) for size in SIZES
    ]


def test_noise_changes_nothing() -> None:
    """What two runs of the same measure differs by noise, and no change is shown."""
    rng = np.random.default_rng(1)
    for _ in range(5):
        first, second = (
            make_source(
                *(
                    case(backend, "read", size, *np.exp(rng.normal(0, 0.05, 20)))
                    for backend in (SERIAL, POOL, DASK, PIMS)
                    for size in (1, 20, 50, 200, 500)
                )
            )
            for _ in range(2)
        )
        said = [verdicts_of(beside(second, first), column) for column in (TIME, RATIO)]
        assert not {"faster", "slower"} & {one for by in said for own in by.values() for one in own}


def test_unpaired_samples_show_no_change() -> None:
    """Of a source whose samples are not paired factors are told, without interval or verdict."""
    found = beside(run_of({SERIAL: 2.0, DASK: 9.0}, paired=False))
    row = rows(found)[-1]
    assert (row[TIME].whole, row[RATIO].whole) == ("4.50×", "2.25×")
    assert row["Ratio in 1"].verdict == "slower"
    (said,) = found.sentences[1:]
    assert said.startswith("Whether anything changed is not known: ")


def test_what_failed_in_one_has_a_row() -> None:
    """A backend that failed in one of the two keeps its row, with the status and without a change."""
    wrong = [sample(DASK, "read", 20, status="wrong-result", cause="other pixels")]
    other = (case(one, "read", 20, *[20.0] * 6) for one in (SERIAL, POOL))
    second = make_source(*other, wrong, **DESCRIBED)
    for found, name in ((beside(second), "2"), (beside(run_of(), second), "1")):
        (row,) = (one for one in rows(found) if one["Backend"].text == DASK)
        assert (row[f"Time in {name}"].whole, row[f"Ratio in {name}"].whole) == (
            "wrong-result",
        ) * 2
        assert (row[TIME].text, row[RATIO].text) == ("–", "–")
    assert (
        beside(second, second)
        .sentences[1]
        .startswith("Of 2 times, 0 changed, 0 more probably did, 2 ")
    )


def test_nothing_in_common() -> None:
    """Two sources without a case in common are said to have none."""
    found = beside(make_source(case(SERIAL, "open", 3, *[1.0] * 6), **DESCRIBED))
    assert found.sentences[1:] == ("No case was timed in both.",)
    assert not found.tables


def test_each_source_stands_beside_the_first() -> None:
    """One source has nothing beside it; the second and the third stand beside the first."""
    assert compared(run_of()) == ()
    found = compared(run_of(name="a"), run_of(name="b"), run_of({SERIAL: 2.0}, name="c"))
    assert [one.prefix for one in found] == ["2-beside-1-", "3-beside-1-"]
    assert [one.title.split(" (")[0] for one in found] == ["2 beside 1: b", "3 beside 1: c"]
    assert {"Time in 1", "Time in 3", "Time, 3 over 1"} <= rows(found[1])[0].keys()


# Facts.


def test_facts_that_differ() -> None:
    """Each fact that both tell differently has a row; no sentence or column names one as a cause."""
    found = beside(
        run_of(
            {DASK: 3.0},
            machine={**DESCRIBED["machine"], "cpu": "Abacus 1000", "load_at_start": 1.9},
            versions={
                **DESCRIBED["versions"],
                "dask": "2026.8",
                "opencv-python": "5.0",
                "new": "1",
            },
            settings={"workers": 4, "cache": "warm", "blocks": 10, "command": "other"},
            dataset={**DESCRIBED["dataset"], "shape": [16, 18, 3]},
        )
    )
    assert facts(found) == {
        ("machine", "cpu", "Abacus 3000", "Abacus 1000"),
        ("versions", "dask", "2024.8", "2026.8"),
        ("versions", "opencv-python", "4.9", "5.0"),
        ("settings", "workers", "2", "4"),
        ("images", "shape", "8, 9, 3", "16, 18, 3"),
    }
    assert found.sentences[0] == "Recorded facts that differ between 1 and 2: 5."
    # Which of them a backend uses is one more fact, whether it changed or not.
    assert {row["Backend"].text: row["Libraries that differ"].text for row in rows(found)} == {
        SERIAL: "–",
        POOL: "–",
        DASK: "dask",
    }


def test_what_is_not_known_is_not_the_same() -> None:
    """Where a source tells nothing of its machine or versions, they are not said to be the same."""
    found = beside(run_of(machine={}, versions={}, settings={}))
    assert facts(found) == {
        (part, "all", "not known", "not known") for part in ("machine", "versions", "settings")
    }


@pytest.mark.parametrize(
    ("first", "second", "counts", "differ"),
    [
        ({"key": "a"}, {"key": "a"}, (5, 5), set()),
        # Images of a user lie elsewhere on another machine: the same objects say that they are the same.
        ({"key": "a"}, {"key": "b"}, (5, 5), set()),
        ({"key": "a"}, {"key": "b"}, (5, 6), {("objects", "in 20 images", "5", "6")}),
        ({"key": "a"}, {"key": "a"}, (5, 6), set()),
        ({"key": "a"}, {"key": "b"}, (None, None), {("objects", "all", "not known", "not known")}),
    ],
)
def test_same_images(
    first: dict[str, Any],
    second: dict[str, Any],
    counts: tuple[int | None, int | None],
    differ: set[tuple[str, ...]],
) -> None:
    """Images are the same by key, or by what was found in them; without either it is not known."""
    one, two = (
        make_source(
            case(SERIAL, "pipeline", 20, *[1.0] * 5, objects=count),
            **{**DESCRIBED, "dataset": {"shape": [8, 9], **dataset}},
        )
        for dataset, count in zip((first, second), counts, strict=True)
    )
    assert facts(beside(two, one)) == differ


MIXED = mixtures(SERIAL, POOL, DASK)


@settings(max_examples=40, deadline=None)
@given(first=MIXED, second=MIXED, paired=st.booleans())
def test_whatever_was_sampled_can_be_compared(
    first: list[Sample], second: list[Sample], paired: bool
) -> None:
    """No mixture of samples, gaps and failures stops a comparison or shows a number that is none."""
    found = beside(make_source(second, paired=paired, machine={}), make_source(first, settings={}))
    shown = [cell for row in rows(found) for cell in row.values()]
    texts = (*(cell.whole for cell in shown), *found.sentences)
    assert not [text for text in texts if "nan" in text or re.search(r"\binf", text)]
    # A number that a verdict stands beside is one.
    assert all(cell.value is not None for cell in shown if cell.verdict in VERDICTS)
