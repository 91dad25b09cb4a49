"""The cases of a source in numbers."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segbench.report.summary import case_id, cases_in, samples_frame, summarize
from tests.made_up import (
    DASK,
    NOISE,
    POOL,
    SERIAL,
    case,
    make_source,
    ordinary,
    rows_of,
    sample,
    tables_of,
    three_sizes,
)

if TYPE_CHECKING:
    from segbench.report.summary import Case
    from segbench.results.records import Sample
    from segbench.results.sources import Source


def case_of(source: Source, backend: str, phase: str, n_images: int) -> Case:
    """The summary of one case."""
    cases = cases_in(summarize(source), phase)
    (found,) = (one for one in cases if (one.backend, one.n_images) == (backend, n_images))
    return found


def test_ratios_are_formed_within_blocks() -> None:
    """A slow block does not move a ratio, though it moves the times."""
    found = case_of(ordinary(), POOL, "pipeline", 20)
    # The geometric mean of four rounds of 0.5 and one of 0.6.
    assert found.ratio == pytest.approx(0.5 * 1.2**0.2)
    assert found.ratio_low < 0.5 < found.ratio < found.ratio_high < 0.6
    assert (found.rounds, found.verdict) == (5, "faster")
    assert (found.seconds_low, found.seconds_median, found.seconds_high) == (0.5, 0.6, 1.5)
    assert (found.samples, found.objects, found.peak_mib) == (5, 5, 120.0)


def test_a_round_counts_once() -> None:
    """A ratio is the mean over rounds of the medians of their blocks, however many these have."""
    rounds = [1] * 3 + [2] * 9 + [3, 4, 5]
    own = [2.0, 2.0, 64.0] + [4.0] * 9 + [1.0, 2.0, 2.0]
    sides = (
        [
            sample(backend, "read", 1, block, round=number, seconds=value)
            for block, (number, value) in enumerate(zip(rounds, times, strict=True), start=1)
        ]
        for backend, times in ((SERIAL, [1.0] * 15), (POOL, own))
    )
    found = case_of(make_source(*sides), POOL, "read", 1)
    assert found.ratio == pytest.approx(2.0)
    assert (found.samples, found.rounds) == (15, 5)


@pytest.mark.parametrize(
    "times",
    [
        case(POOL, "read", 1, 0.2, 0.6, 0.8, 1.0, 1.2, 9.0)[::-1],
        [*case(POOL, "read", 1, 9.0), *case(POOL, "read", 1, 0.2, 0.6, 0.8, 1.0, 1.2)],
    ],
    ids=["out of order", "a block twice"],
)
def test_blocks_are_matched_by_number(times: list[Sample]) -> None:
    """Neither blocks of one backend alone nor their order counts; of a block taken again the last does."""
    source = make_source(case(SERIAL, "read", 1, 0.1, 0.3, 0.4, 0.5, 0.6), times)
    found = case_of(source, POOL, "read", 1)
    assert (found.ratio_low, found.ratio, found.ratio_high) == pytest.approx((2, 2, 2), rel=0.01)


def test_unpaired_samples_have_neither_interval_nor_verdict() -> None:
    """Where samples were not taken side by side, the ratio is that of the medians, and no finding."""
    source = ordinary(paired=False)
    found = case_of(source, POOL, "read", 1)
    assert found.ratio == pytest.approx(0.03 / 0.01)
    assert math.isnan(found.ratio_low)
    assert found.verdict == ""
    assert rows_of(source, "read-ratios") == [(SERIAL, "1.00×"), (POOL, "3.00×")]
    assert "no interval" in tables_of(source)["read-ratios"].note
    assert "costs" not in tables_of(three_sizes(paired=False))


@pytest.mark.parametrize("rounds", [1, 2, 4])
def test_few_rounds_decide_nothing(rounds: int) -> None:
    """With fewer than five rounds, as runs of earlier versions have, a ratio is no finding."""
    times = [sample(SERIAL, "read", 1, block, round=1 + block % rounds, seconds=1.0)
             for block in range(40)]  # fmt: skip
    others = [dataclasses.replace(one, scheduler="thread-pool", seconds=0.5) for one in times]
    source = make_source(times, others)
    found = case_of(source, POOL, "read", 1)
    assert found.ratio == pytest.approx(0.5)
    assert (found.rounds, found.verdict) == (rounds, "undecided")
    assert math.isnan(found.ratio_low)
    assert rows_of(source, "read-ratios")[1] == (POOL, "0.50× undecided")
    assert "this run has fewer" in tables_of(source)["read-ratios"].note
    assert "this run has fewer" not in tables_of(ordinary())["read-ratios"].note


def test_the_baseline_is_compared_with_nothing() -> None:
    """The baseline's ratio is 1 without an interval or a verdict."""
    found = case_of(ordinary(), SERIAL, "read", 1)
    assert (found.ratio, found.verdict) == (1.0, "")
    assert math.isnan(found.ratio_low)
    assert rows_of(ordinary(), "read-ratios")[0] == (SERIAL, "1.00×")


@pytest.mark.parametrize(("others", "verdict"), [(0, "faster"), (20, "probably faster")])
def test_verdicts_are_corrected_for_the_comparisons_of_a_source(others: int, verdict: str) -> None:
    """What is faster as the only comparison is probably so as one of 231."""
    source = make_source(
        case(SERIAL, "read", 1, *[1.0] * 6),
        case(POOL, "read", 1, *[0.8 * noise for noise in NOISE]),
        *(case(f"a/b/{number}", "read", 1, *[1.0] * 6) for number in range(others)),
    )
    assert case_of(source, POOL, "read", 1).verdict == verdict


def test_cpu_time_of_a_case() -> None:
    """The summary has the median CPU time, and a table of it where any is known, of what computes."""
    source = make_source(
        case(SERIAL, "pipeline", 1, 1.0, 1.0, cpu_seconds=0.9),
        case(POOL, "pipeline", 1, 0.6, 0.6, cpu_seconds=1.1),
        case(DASK, "pipeline", 1, 0.6, 0.6),
        case(SERIAL, "read", 1, 1.0, cpu_seconds=0.9),
    )
    assert case_of(source, POOL, "pipeline", 1).cpu_seconds_median == 1.1
    assert rows_of(source, "pipeline-cpu") == [(SERIAL, "900 ms"), (POOL, "1.10 s"), (DASK, "–")]
    assert "read-cpu" not in tables_of(source)
    assert "pipeline-cpu" not in tables_of(ordinary())


def test_first_call_and_memory_of_a_case() -> None:
    """The summary has the first call's median and the peak with what was held before that call."""
    shown = [
        sample(SERIAL, "pipeline", 1, 1, seconds=1.0, first_seconds=3.0, peak_mib=90.0),
        sample(SERIAL, "pipeline", 1, 2, seconds=1.0, peak_mib=140.0, idle_mib=100.0),
        sample(SERIAL, "pipeline", 1, 3, seconds=1.0, peak_mib=130.0, idle_mib=80.0),
        sample(SERIAL, "pipeline", 1, 4, seconds=1.0),
    ]
    found = case_of(make_source(shown), SERIAL, "pipeline", 1)
    assert (found.first_seconds, found.peak_mib, found.idle_mib) == (3.0, 140.0, 100.0)
    assert found.above_idle_mib == 40.0


@pytest.mark.parametrize(
    "refused",
    [
        sample(SERIAL, "read", 1, 6, status="timeout", cause="too long"),
        sample(SERIAL, "read", 20, status="wrong-result", cause="other pixels"),
    ],
    ids=["failed", "wrong elsewhere"],
)
def test_nothing_is_compared_with_a_baseline_that_is_not_shown(refused: Sample) -> None:
    """A time that is not shown makes no ratio; the others have times, and no findings."""
    source = make_source(
        *(case(SERIAL, "read", size, *[1.0] * 5) for size in (1, 2, 3)),
        *(case(POOL, "read", size, *[0.5] * 5) for size in (1, 2, 3)),
        [refused],
    )
    found = case_of(source, POOL, "read", 1)
    assert (found.status, found.seconds_median, found.verdict) == ("ok", 0.5, "")
    assert math.isnan(found.ratio)
    assert rows_of(source, "read-ratios")[1][1] == "–"
    if refused.status == "wrong-result":
        assert rows_of(source, "costs") == [("read", POOL, "500 ms", "not seen", "0%", "–")]


def test_case_that_failed_midway_has_no_time() -> None:
    """A case that failed in its second block is shown by its status, not by the first block's time."""
    source = make_source(
        case(SERIAL, "read", 1, 1.0, 1.0),
        [*case(POOL, "read", 1, 0.5), sample(POOL, "read", 1, 2, status="crashed", cause="gone")],
    )
    found = case_of(source, POOL, "read", 1)
    assert (found.status, found.cause) == ("crashed", "gone")
    assert math.isnan(found.seconds_median)
    assert rows_of(source, "read-times")[1] == (POOL, "crashed")


def test_times_are_those_that_are_ok() -> None:
    """Of a case only samples that are ok are compared, even if others have a time."""
    slow = sample(POOL, "read", 1, 2, status="timeout", cause="too long", seconds=60.0)
    source = make_source(case(POOL, "read", 1, 1.0), [slow])
    times = source.times["read", 1][POOL]
    assert [*map(list, (times.blocks, times.rounds, times.seconds))] == [[1], [1], [1.0]]


def test_order_of_cases() -> None:
    """Phases are in their natural order, sizes ascend, backends are as the settings list them."""
    source = make_source(
        case(POOL, "pipeline", 20, 1.0),
        case(POOL, "read", 20, 1.0),
        case(POOL, "read", 3, 1.0),
        case(SERIAL, "read", 3, 1.0),
        settings={"backends": [SERIAL, POOL]},
    )
    assert [(one.phase, one.n_images, one.backend) for one in cases_in(summarize(source))] == [
        ("read", 3, SERIAL),
        ("read", 3, POOL),
        ("read", 20, POOL),
        ("pipeline", 20, POOL),
    ]


def traced() -> Source:
    """Two sizes and two backends, out of order, of which one failed."""
    return make_source(
        case(POOL, "read", 20, 0.5, 0.75),
        case(SERIAL, "read", 20, 0.0101, 0.0102, 0.0103)[::-1],
        case(SERIAL, "open", 20, 1.0),
        [sample(POOL, "read", 50, status="timeout", cause="too long")],
        [*case(DASK, "read", 1, 0.1, 0.2), sample(DASK, "read", 1, 3, status="crashed", cause="x")],
        settings={"backends": [SERIAL, POOL, DASK]},
    )


def test_every_number_leads_to_its_samples() -> None:
    """A cell of the phases' tables names the row of its samples, and that the lines of the file."""
    source = traced()
    tables = tables_of(source)
    listed = {row.id: row for row in tables["cases"].rows}
    for name in ("read-times", "read-ratios"):
        for row in tables[name].rows:
            for cell, size in zip(row.cells[1:], tables[name].columns[1:], strict=True):
                # A cell that has no case has nothing to show; a case without a ratio has samples.
                assert cell.case or cell.whole == "–"
                if cell.case:
                    told = [one.text for one in listed[cell.case].cells[:3]]
                    assert told == [row.backend, "read", size]
    frame = samples_frame(source)
    assert list(frame.columns[:3]) == ["case", "phase", "reader"]
    assert list(frame["block"]) == [1, 1, 2, 3, 1, 2, 3, 1, 2, 0]
    assert len(frame) == len(source.samples)
    for own, row in listed.items():
        first, _, last = row.cells[3].text.partition(" to ")
        lines = frame.iloc[int(first) - 2 : int(last or first) - 1]
        assert set(lines["case"]) == {own}
        assert len(lines) == (frame["case"] == own).sum()


def test_samples_are_listed_by_block() -> None:
    """Times of a case share a unit and stand in the order of the blocks; failures are told."""
    assert [row[-1] for row in rows_of(traced(), "cases")] == [
        "1.00 s",
        "100, 200 ms; crashed in block 3",
        "10.1, 10.2, 10.3 ms",
        "500, 750 ms",
        "timeout",
    ]


def test_no_samples_no_table() -> None:
    """A source without samples has no list of them."""
    assert "cases" not in tables_of(make_source())
    assert samples_frame(make_source()).empty


def test_samples_of_a_wrong_backend_are_not_shown() -> None:
    """The page has no time of a backend whose result was wrong; the file of samples has all."""
    wrong = sample(DASK, "read", 20, status="wrong-result", cause="x")
    source = make_source(case(DASK, "read", 1, 0.001, 0.002), [wrong])
    assert {row[-1] for row in rows_of(source, "cases")} == {"not shown: its result was wrong"}
    assert list(samples_frame(source)["seconds"].dropna()) == [0.001, 0.002]


NAMES = st.text(st.characters(exclude_characters="/"), max_size=4)


@settings(max_examples=100, deadline=None)
@given(
    cases=st.lists(
        st.tuples(
            st.sampled_from(["read", "read-1", ""]),
            st.integers(1, 12),
            st.builds("{}/{}/{}".format, NAMES, NAMES, NAMES),
        ),
        unique=True,
        min_size=2,
        max_size=5,
    )
)
def test_ids_of_cases(cases: list[tuple[str, int, str]]) -> None:
    """Cases have ids of their own, of letters that need no escaping in a page or an address."""
    ids = {case_id(*case) for case in cases}
    assert len(ids) == len(cases)
    assert all(re.fullmatch(r"case-[A-Za-z0-9._-]+", one) for one in ids)


def test_ids_of_cases_that_look_alike() -> None:
    """Names that differ in letters which no id holds, or in where one ends, have other ids."""
    names = ("a/b/c.d", "a/b/c d", "a.b/c/d", "a/b.c/d", "a/b/c/d")
    assert len({case_id("read", 1, name) for name in names}) == len(names)
    assert case_id("read-1", 2, "a/b/c") != case_id("read", 1, "2-a/b/c")
    # An ordinary backend's id is its name, so that a link can be written by hand.
    assert case_id("pipeline", 20, DASK) == "case-pipeline-20-dask-image.dask-image.threads"
