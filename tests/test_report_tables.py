"""The tables of a source, the presentation's and those of costs among them, and the text of numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segbench.report.cells import Cell, format_seconds, format_value
from segbench.report.disturbances import warnings
from segbench.report.summary import case_id
from segbench.results.records import PARTS, STAGES
from tests.made_up import (
    DASK,
    IMREAD,
    PIMS,
    POOL,
    SERIAL,
    case,
    make_source,
    ordinary,
    profile,
    rows_of,
    sample,
    tables_of,
    three_sizes,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segbench.results.sources import Source

# Numbers and their text.


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (2e-8, "20.0 ns"),
        (4.36e-5, "43.6 µs"),
        (9.996e-4, "1.00 ms"),
        (0.0123, "12.3 ms"),
        (0.1, "100 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.00 s"),
        (9.996, "10.0 s"),
        (59.94, "59.9 s"),
        (1234.5, "1230 s"),
    ],
)
def test_format_seconds(seconds: float, text: str) -> None:
    """Times are written with three significant digits and the unit that suits them."""
    assert format_seconds(seconds) == text


@settings(max_examples=100, deadline=None)
@given(exponent=st.floats(-8, 5))
def test_formatted_seconds_are_near_the_time(exponent: float) -> None:
    """What is shown has three digits at least and is within 0.5% of the time."""
    number, unit = format_seconds(10**exponent).split(" ")
    shown = float(number) * {"s": 1, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}[unit]
    assert shown == pytest.approx(10**exponent, rel=0.005)
    assert len(re.findall(r"\d", number)) >= 3


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (0.00123, "0.0012×"),
        (0.0994, "0.099×"),
        (0.0996, "0.10×"),
        (0.62, "0.62×"),
        (9.876, "9.88×"),
        (12.34, "12.3×"),
        (123.4, "123×"),
    ],
)
def test_small_and_large_ratios_have_two_digits_at_least(ratio: float, text: str) -> None:
    """A ratio of a thousandth is not shown as 0, nor one of a hundred with decimals."""
    source = make_source(case(SERIAL, "read", 1, 1.0), case(POOL, "read", 1, ratio))
    cell = tables_of(source)["read-ratios"].rows[1].cells[1]
    assert (cell.text, cell.verdict) == (text, "undecided")
    assert cell.value == pytest.approx(ratio)


def test_cells_keep_their_numbers() -> None:
    """Beside its text a cell has its number, what it shows and its case; one that failed, its status."""
    source = make_source(
        case(SERIAL, "pipeline", 1, *[2.0] * 5, peak_mib=130.0, idle_mib=100.0),
        case(POOL, "pipeline", 1, *[0.5] * 5, peak_mib=140.0, idle_mib=100.0),
        [sample(DASK, "pipeline", 1, status="timeout", cause="too long")],
    )
    tables = tables_of(source)
    own = case_id("pipeline", 1, POOL)
    for name, cell in (
        ("pipeline-times", Cell("500 ms", 0.5, case=own)),
        ("pipeline-ratios", Cell("0.25× (0.25–0.25)", 0.25, "faster", case=own)),
        ("pipeline-memory", Cell("40 MiB", 40.0, case=own)),
    ):
        row = tables[name].rows[1]
        assert (row.backend, row.cells[0], row.cells[-1]) == (POOL, Cell(POOL), cell)
        failed = tables[name].rows[2].cells[-1]
        assert failed == Cell("", verdict="timeout", case=case_id("pipeline", 1, DASK))
        assert failed.whole == "timeout"
    assert tables["pipeline-ratios"].texts[1] == (POOL, "0.25× (0.25–0.25) faster")


def test_whatever_a_header_holds_has_a_text() -> None:
    """Nested values of a header are written out, and what all backends share once."""
    assert format_value({"a": [1, None], "b": {"c": 2.5}}) == "a: 1, –; b: c: 2.5"
    assert format_value({"a": [1], "b": [1]}) == "1 (all 2)"
    assert format_value({"a": [1]}) == "a: 1"


# Left out, environment, memory, true cells.


def test_left_out_sizes_and_statuses_are_listed_with_cause() -> None:
    """Whatever has no figure is listed with its status and cause, and the status is explained."""
    late = [
        sample(DASK, phase, size, status="timeout", cause="read of 20 images: over 60 s")
        for size in (20, 50)
        for phase in ("read", "pipeline")
    ]
    source = make_source(
        case(SERIAL, "read", 1, 1.0),
        [sample(PIMS, "read", 1, status="unavailable", cause="install pims")],
        late,
        settings={"sizes_left_out": [200, 500]},
    )
    assert rows_of(source, "left-out") == [
        (PIMS, "read", "1 image", "unavailable", "install pims"),
        (DASK, "read, pipeline", "20 and 50 images", "timeout", "read of 20 images: over 60 s"),
        ("all", "all", "200 and 500 images", "left out", "the dataset holds 50 images"),
    ]
    for told in ("timeout: a call", "unavailable: something", "fails in one phase is out at that"):
        assert told in tables_of(source)["left-out"].note
    assert "left-out" not in tables_of(ordinary())


def test_what_the_run_did_not_reach_is_left_out() -> None:
    """What was asked for and has no sample is listed as not tried, with no cause made up."""
    source = make_source(
        case(SERIAL, "read", 1, 1.0),
        case(POOL, "read", 1, 1.0),
        case(SERIAL, "pipeline", 1, 1.0),
        settings={"backends": [SERIAL, POOL], "phases": ["read", "pipeline"], "sizes": [1, 20]},
    )
    assert rows_of(source, "left-out") == [
        (SERIAL, "read, pipeline", "20 images", "not tried", "the run ended before"),
        (POOL, "pipeline", "1 image", "not tried", "the run ended before"),
        (POOL, "read, pipeline", "20 images", "not tried", "the run ended before"),
    ]
    assert tables_of(source)["left-out"].note == ""


def test_environment_table() -> None:
    """Everything that is known of machine, versions, settings and dataset is in the report."""
    pools = {SERIAL: ["openblas 1"], POOL: ["openblas 1"]}
    source = ordinary(settings={"time_limit": 60.0, "thread_pools": pools, "params": {"a": 1}})
    assert {
        ("machine", "cpu", "Abacus 3000"),
        ("versions", "dask", "2024.8.0"),
        ("settings", "time limit", "60.0"),
        ("settings", "thread pools", "openblas 1 (all 2)"),
        ("settings", "params", "a: 1"),
    } <= {*rows_of(source, "environment")}
    limit = next(
        row for row in tables_of(source)["environment"].rows if "limit" in row.cells[1].text
    )
    assert limit.cells[-1].value == 60.0


def test_memory_above_an_idle_worker() -> None:
    """Where the idle size is known the table has what a size adds to it, and the idle size."""
    source = make_source(
        case(SERIAL, "pipeline", 1, 1.0, peak_mib=130.0, idle_mib=100.0),
        case(SERIAL, "pipeline", 20, 1.0, peak_mib=400.0, idle_mib=110.0),
        case(POOL, "pipeline", 1, 1.0, peak_mib=130.0),
        [sample(POOL, "pipeline", 20, status="memory", cause="too large")],
    )
    assert tables_of(source)["pipeline-memory"].columns == (
        *("Backend", "Idle worker", "1 image", "20 images"),
    )
    assert rows_of(source, "pipeline-memory") == [
        (SERIAL, "100 MiB", "30 MiB", "290 MiB"),
        (POOL, "–", "–", "memory"),
    ]
    # Where the idle size is not known the table has the peak.
    assert rows_of(ordinary(), "pipeline-memory") == [(SERIAL, "100 MiB"), (POOL, "120 MiB")]


def test_truth_lacks_a_figure() -> None:
    """What a file does not say of the true cells is a dash."""
    truth = {"images": 3, "rand_error": 0.1234, "found_objects": 9}
    source = ordinary(dataset={"truth": truth})
    assert rows_of(source, "truth") == [("3", "–", "0.123", "–", "–", "–", "9")]


# The presentation.

PRESENTED = {
    "Dask imread": (DASK, "32.516 146.798 175.199 139.793 158.926", "1.08×"),
    "Dask.array.image (imread = pimread)": (
        *(PIMS, "38.889 118.978 122.171 122.517 130.457", "1.10×"),
    ),
    "Dask.array.image (imread=skimage.imread)": (
        *(IMREAD, "30.997 143.175 124.876 123.422 123.790", "0.86×"),
    ),
    "Skimage imread": (SERIAL, "0.255 2.546 1.583 2.077 4.897", "1.92×"),
}


def test_presentation_table() -> None:
    """The presentation's rows and figures are as they were, the same reader's open and read under them."""
    seconds = {name: number / 8 for number, name in enumerate(PRESENTED, start=1)}
    source = make_source(
        *(
            case(backend, phase, size, time)
            for name, (backend, *_) in PRESENTED.items()
            for phase, time in (("open", 0.0012345), ("read", seconds[name]))
            for size in (1, 20, 500)
        )
    )
    table = tables_of(source)["presentation-read"]
    sizes = ("1 image", "20 images", "50 images", "200 images", "500 images")
    assert table.columns[2:] == (*sizes, "Growth")
    rows: list[tuple[str, ...]] = []
    for name, (_, figures, grown) in PRESENTED.items():
        opened, read = "1.234 ms", f"{seconds[name] * 1e3:.3f} ms"
        over = f"{seconds[name] / 0.0012345:.0f}×"
        rows.append((name, "presentation", *(f"{one} ms" for one in figures.split()), grown))
        rows.append((name, "this run, open", opened, opened, "–", "–", opened, "1.00×"))
        rows.append((name, "this run, read", read, read, "–", "–", read, "1.00×"))
        rows.append((name, "this run, read / open", over, over, "–", "–", over, "–"))
    assert table.texts == rows
    presented, _, read_row, over_row = table.rows[-4:]
    ids = [case_id("read", size, SERIAL) if size else "" for size in (1, 20, 0, 0, 500)]
    assert [cell.case for cell in read_row.cells] == ["", "", *ids, ""]
    assert not any(cell.case for row in (presented, over_row) for cell in row.cells)
    # Its images are not this run's, nor is what decoding one of them takes told of.
    assert "and its images, were other ones" in table.note
    assert "to decode here" not in table.note


def lazy_times(phases: Sequence[str], *sizes: int, **other: Any) -> Source:
    """A run whose reader opens in 10 µs and reads in 1 ms an image."""
    seconds = {"open": 1e-5, "read": 1e-3, "pipeline": 1.0}
    return make_source(
        *(case(SERIAL, phase, size, seconds[phase] * size) for phase in phases for size in sizes),
        **other,
    )


def test_lazy_against_read_is_explained() -> None:
    """Under the read table stands what this run needed to open and to read, and for one image."""
    source = lazy_times(("open", "read"), 1, 20, 500, dataset={"shape": [192, 256, 3]})
    note = tables_of(source)["presentation-read"].note
    assert (
        "this run opens 500 images so in 5.00 ms and reads them in 500 ms, 100× as long. The "
        "presentation's 4.897 ms for 500 images would be 9.79 µs for each, which takes 1.00 ms to "
        "decode here." in note
    )
    assert (
        "From 20 to 500 images, 25 times as many, the presentation's figures grow 1.92 times, this "
        "run's open grows 25.0 times, its read grows 25.0 times." in note
    )


def test_growth_is_told_of_what_was_measured() -> None:
    """Of one size, or of one phase, nothing is said of how the figures grow."""
    one, two = (
        tables_of(lazy_times(["read"], *sizes))["presentation-read"] for sizes in ((1,), (1, 20))
    )
    assert [row[-1] for row in one.texts] == ["–"] * 4
    assert "times, its read" not in one.note
    assert "grow along a row, not the milliseconds" in one.note
    # To 20 images growth is told from one on: from more there is none.
    assert "(growth: from 1 to 20 images)" in two.note
    assert [row[-1] for row in two.texts] == ["9.98×", "–", "20.0×", "–"]
    for phase, size in (("pipeline", 1), ("read", 3)):
        assert "presentation-read" not in tables_of(lazy_times([phase], size))


def test_the_claim_is_tested_by_size() -> None:
    """Dask beside scikit-image, alone and on threads, with the verdicts of the whole report."""
    times: dict[str, dict[int, Sequence[float]]] = {
        SERIAL: dict.fromkeys((1, 20, 50, 200), [1.0] * 6),
        POOL: dict.fromkeys((1, 20, 50), [0.5] * 6),
        DASK: {1: [1.02] * 6, 20: [1.1] * 6, 50: [0.45] * 6, 200: [0.6, 1.7, 0.9, 1.4, 0.7, 1.1]},
        PIMS: {1: [1.0] * 4, 20: [0.93, 0.96, 0.95, 0.93, 0.95, 0.94]},
    }
    source = make_source(
        *(
            case(name, "pipeline", size, *seconds)
            for name, own in times.items()
            for size, seconds in own.items()
        ),
        case(DASK, "read", 1, *[1.0] * 6),
    )
    table = tables_of(source)["presentation-claim"]
    assert table.columns[3:] == ("1 image", "20 images", "50 images", "200 images")
    assert {row[:3]: row[3:] for row in table.texts} == {
        (DASK, "pipeline", SERIAL): (
            "1.02× (1.02–1.02) no difference",
            "1.10× (1.10–1.10) slower",
            "0.45× (0.45–0.45) faster",
            "1.00× (0.64–1.57) undecided",
        ),
        (DASK, "pipeline", POOL): (
            "2.04× (2.03–2.05) slower",
            "2.20× (2.19–2.21) slower",
            "0.90× (0.90–0.90) faster",
            "–",
        ),
        (PIMS, "pipeline", SERIAL): (
            *("1.00× undecided", "0.94× (0.93–0.96) probably faster", "–", "–"),
        ),
        (PIMS, "pipeline", POOL): ("2.00× undecided", "1.89× (1.86–1.91) slower", "–", "–"),
    }
    assert (
        "Of 6 comparisons with the plain loop Dask is slower in 1 (probably in 0 more), faster in 1 (probably "
        "in 1 more), and the same to within 5% (no difference) in 1; 2 are undecided. If “approximately” means "
        "within a factor of 1.25, it holds for 3: "
    ) in table.note
    assert "Of 5 comparisons with the thread pool Dask is slower in 3 " in table.note
    assert "it holds for 1: " in table.note
    first, second, *_ = table.rows
    ids = [case_id("pipeline", size, DASK) for size in (1, 20, 50, 200)]
    assert [cell.case for cell in first.cells[3:]] == ids
    assert second.cells[-1].case == ""


@pytest.mark.parametrize(
    ("blocks", "backends", "paired"),
    [(6, [SERIAL], True), (6, [SERIAL, DASK], False), (4, [SERIAL, DASK], True)],
    ids=["without Dask", "not paired", "no intervals"],
)
def test_the_claim_needs_pairs(blocks: int, backends: list[str], paired: bool) -> None:
    """Without Dask, without intervals, or where samples are not paired, nothing is tested."""
    cases = [case(backend, "pipeline", 1, *[1.0] * blocks) for backend in backends]
    assert "presentation-claim" not in tables_of(make_source(*cases, paired=paired))


# Costs.


def test_cost_table() -> None:
    """Fixed and marginal cost are found, with the side on which the baseline is overtaken."""
    assert rows_of(three_sizes(), "costs") == [
        ("read", SERIAL, "1.00 s", "1.00 s", "0%", "the plain loop"),
        (
            "read",
            POOL,
            "4.00 s",
            "500 ms",
            "0%",
            "faster from about 6.3 images on (between 1 and 10)",
        ),
        (
            *("read", DASK, "500 ms", "1.10 s", "0%"),
            "faster only up to about 6.8 images (between 1 and 100)",
        ),
        ("read", PIMS, "3.00 s", "2.00 s", "0%", "never in range: slower at every size"),
    ]


WILD = (0.5, 1.9, 1.0, 1.0, 1.4, 0.7)
NEARLY = (0.99, 1.01, 1.0, 0.99, 1.01, 1.0)


@pytest.mark.parametrize(
    ("expected", "ratios", "noise"),
    [
        # A number of images has a decimal only where it is small.
        (r"faster from about 6.1 images on \(between 1 and 20\)", (1.4, 0.8, 0.5), {}),
        (r"faster from about 69 images on \(between 20 and 200\)", (2, 1.3, 0.8), {}),
        (r"faster only up to about 69 images \(between 20 and 200\)", (0.5, 1 / 1.3, 1.25), {}),
        # Between a size that is slower and one that is faster nothing need be known.
        (r"faster from about 18 images on \(between 1 and 200\)", (1.4, 1, 0.7), {20: WILD}),
        (r"faster from about 20 images on \(between 1 and 200\)", (1.4, 1, 0.7), {}),
        # It is as sure as the verdicts.
        (r"probably faster from about .*\(between 1 and 20\)", (1.4, 0.945, 0.5), {20: NEARLY}),
        ("faster at every size", (0.5, 0.6, 0.7), {}),
        ("no difference at any size", (1, 1, 1.01), {}),
        ("undecided at every size", (1, 1, 1), dict.fromkeys((1, 20, 200), WILD)),
        ("never in range: slower at every size", (2, 2, 1.5), {}),
        # No crossing that a size beyond it leaves open, or contradicts.
        (
            "faster at 20 images, undecided at 200 images, slower at 1 image",
            (2, 0.5, 1),
            {200: WILD},
        ),
        ("faster at 20 images, slower at 1 and 200 images", (2, 0.5, 1.5), {}),
        ("faster at 1 and 200 images, slower at 20 images", (0.8, 1.5, 0.8), {}),
        ("faster at 200 images, no difference at 1 and 20 images", (1, 1, 0.5), {}),
    ],
)
def test_where_a_backend_overtakes(
    expected: str, ratios: Sequence[float], noise: Mapping[int, Sequence[float]]
) -> None:
    """A crossing is named between sizes whose verdicts show it; else what they are is told."""
    source = make_source(
        *(case(SERIAL, "read", size, *[1.0 * size] * 6) for size in (1, 20, 200)),
        *(
            case(POOL, "read", size, *[size * ratio * one for one in noise.get(size, [1.0] * 6)])
            for size, ratio in zip((1, 20, 200), ratios, strict=True)
        ),
    )
    assert re.fullmatch(expected, rows_of(source, "costs")[1][-1])


def test_costs_need_three_sizes() -> None:
    """A backend is in the table of costs only with three sizes; without intervals it overtakes none."""
    two = make_source(*(case(SERIAL, "read", size, *[1.0 * size] * 5) for size in (1, 10)))
    assert "costs" not in tables_of(two)
    few = make_source(
        *(case(SERIAL, "read", size, *[1.0 * size] * 4) for size in (1, 10, 100)),
        *(case(POOL, "read", size, *[4.0 + size / 2] * 4) for size in (1, 10, 100)),
    )
    assert rows_of(few, "costs")[1] == ("read", POOL, "4.00 s", "500 ms", "0%", "–")


def test_costs_of_a_backend_that_failed_later() -> None:
    """A size that timed out is no part of a verdict at every size."""
    source = make_source(
        *(case(SERIAL, "read", size, *[1.0 * size] * 5) for size in (1, 10, 100, 1000)),
        *(case(POOL, "read", size, *[2.0 * size] * 5) for size in (1, 10, 100)),
        [sample(POOL, "read", 1000, status="timeout", cause="too long")],
    )
    assert rows_of(source, "costs")[1][-1] == "never in range: slower at every size"


def test_line_that_does_not_fit_is_seen() -> None:
    """How far a median is away from the line is in the table."""
    times = {1: 1.0, 10: 40.0, 100: 100.0}
    source = make_source(*(case(SERIAL, "read", size, *[times[size]] * 5) for size in times))
    (row,) = tables_of(source)["costs"].rows
    off = row.cells[4]
    assert off.value
    assert off.value > 0.2
    assert off.text == f"{off.value:.0%}"


def profiled(**other: Any) -> Source:
    """A run of one image with two profiles and one that failed."""
    return make_source(
        case(SERIAL, "pipeline", 1, *[0.02] * 5, first_seconds=0.05),
        case(DASK, "pipeline", 1, *[0.04] * 5),
        case(SERIAL, "pipeline", 20, *[0.5] * 5, first_seconds=0.55),
        profiles=(
            profile(SERIAL, tasks=0, parts={"decode": 0.25, "blur": 0.74}, calls={}),
            profile(DASK, calls=dict.fromkeys(STAGES, 2) | {"decode": 11, "label": 0}),
            profile(POOL, status="crashed", cause="gone", seconds=0.0, parts={}),
        ),
        **other,
    )


def test_cold_start_table() -> None:
    """A cold start is the sum of what is paid once; the warm call stands beside it."""
    assert rows_of(profiled(), "cold-start") == [
        (SERIAL, "500 ms", "250 ms", "100 ms", "850 ms", "20.0 ms"),
        (DASK, "500 ms", "250 ms", "100 ms", "850 ms", "40.0 ms"),
        (POOL, *["crashed"] * 5),
    ]
    assert rows_of(ordinary(profiles=(profile(SERIAL),)), "cold-start")[0][-1] == "–"


def test_cold_start_from_several_starts() -> None:
    """Of several starts the medians are told, and of the sum the lowest and the highest."""
    starts = [
        profile(SERIAL, import_seconds=0.5),
        *(profile(SERIAL, import_seconds=seconds, parts={}) for seconds in (0.9, 0.6)),
    ]
    lost = profile(POOL, status="crashed", cause="gone", seconds=0.0, parts={})
    source = ordinary(profiles=(*starts, lost, profile(POOL), profile(DASK), lost))
    assert rows_of(source, "cold-start") == [
        (SERIAL, "600 ms", "250 ms", "100 ms", "950 ms (850 ms to 1.25 s)", "–"),
        # One that failed does not count, where another did not.
        (POOL, "500 ms", "250 ms", "100 ms", "850 ms", "–"),
        (DASK, "500 ms", "250 ms", "100 ms", "850 ms", "–"),
    ]
    assert "the medians of 3 starts" in tables_of(source)["cold-start"].note
    assert "other backend running, once" in tables_of(profiled())["cold-start"].note
    assert [row[0] for row in rows_of(source, "parts")] == [SERIAL, POOL, DASK]
    assert "crashed" not in str(rows_of(source, "parts"))


def test_first_calls_table() -> None:
    """The first call of the pipeline is shown with how much slower than a warm one it was."""
    assert rows_of(profiled(), "pipeline-first-calls") == [
        (SERIAL, "50.0 ms (2.5×)", "550 ms (1.1×)"),
        (DASK, "–", "–"),
    ]
    assert "pipeline-first-calls" not in tables_of(ordinary())


def test_parts_table() -> None:
    """Each part has its seconds and share, and work that is done again has how often."""
    table = tables_of(profiled())["parts"]
    assert table.columns == ("Backend", "Median sample", "Wall time", *PARTS, "Tasks")
    serial, dask, pool = table.texts
    assert serial == (SERIAL, "–", "1.00 s", "250 ms (25%)", "–", "740 ms (74%)", *["–"] * 8)
    assert dask[:6] == (DASK, "–", "1.00 s", "50.0 ms (5%, 5.5×)", "50.0 ms (5%)", "300 ms (30%)")
    assert (dask[7], dask[-1]) == ("50.0 ms (5%, 0×)", "48")
    assert pool == (POOL, *["crashed"] * 13)
    assert table.rows[0].cells[3] == Cell("250 ms", 0.25, note="(25%)")
    assert "2 images" in table.title
    assert "compare backends with as many workers" in table.note
    assert not [warning for warning in warnings(profiled()) if "in part only" in warning]


def test_parts_that_do_not_add_up_are_marked() -> None:
    """Where the parts miss more than 5% of the wall time, the row says so, and a warning."""
    shares = {SERIAL: 0.949, POOL: 0.951, DASK: 1.06}
    source = ordinary(
        profiles=tuple(
            profile(name, parts={"decode": share}, n_images=1) for name, share in shares.items()
        )
    )
    assert [row[2] for row in rows_of(source, "parts")] == [
        "1.00 s (parts: 95%)",
        "1.00 s",
        "1.00 s (parts: 106%)",
    ]
    assert tables_of(source)["parts"].title.endswith("pipeline, 1 image")
    (warning,) = (one for one in warnings(source) if "only partly known" in one)
    assert f"for {SERIAL}, {DASK}:" in warning


@pytest.mark.parametrize(("profiles", "missing"), [((SERIAL,), True), ((SERIAL, POOL), False)])
def test_backends_without_a_profile_are_named(profiles: tuple[str, ...], missing: bool) -> None:
    """What was not looked at, since the run was interrupted, is said under both tables."""
    tables = tables_of(ordinary(profiles=tuple(profile(backend) for backend in profiles)))
    for name in ("parts", "cold-start"):
        assert tables[name].note.endswith(f"or the run was interrupted: {POOL}.") == missing


def test_parts_that_no_backend_has_are_no_columns() -> None:
    """Without Dask there are no columns of what Dask adds, without profiles no tables of them."""
    source = ordinary(profiles=(profile(SERIAL, parts={"decode": 0.25, "graph": 0.0}),))
    heads = ("Backend", "Median sample", "Wall time", "decode", "Tasks")
    assert tables_of(source)["parts"].columns == heads
    assert not {"parts", "cold-start"} & tables_of(ordinary()).keys()
