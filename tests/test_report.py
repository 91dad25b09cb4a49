"""Tables, figures, HTML and Markdown from made-up samples."""

from __future__ import annotations

import ast
import csv
import dataclasses
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segbench.measure.stopping import REASONS
from segbench.report import cells, costs, tables
from segbench.report import disturbances as trust
from segbench.report.answer import answer
from segbench.report.costs import UNEVEN
from segbench.report.page import build, make_section, make_tables, method
from segbench.report.reproduce import METHOD_LINK
from segbench.results.records import PARTS, STAGES, Profile
from tests.made_up import DASK, IMREAD, NOISE, PIMS, POOL, SERIAL, case, make_source, sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segbench.results.records import Sample
    from segbench.results.sources import Source

SOURCE = Path(__file__).parents[1] / "src" / "segbench"
TEMPLATES = SOURCE / "report" / "templates"

NASTY = (
    "<script>alert(1)</script> | `code` *bold* $x^$ [link](https://example.org) & \"quoted\" 'too'"
)


def ordinary(**other: Any) -> Source:
    """Two backends and two sizes; the machine is three times as slow in every other block."""
    return make_source(
        case(SERIAL, "read", 1, 0.01, 0.03, 0.01, 0.03, 0.01),
        case(POOL, "read", 1, 0.02, 0.06, 0.03, 0.06, 0.02),
        case(SERIAL, "pipeline", 20, 1.0, 3.0, 1.0, 3.0, 1.0, objects=5, peak_mib=100.0),
        case(POOL, "pipeline", 20, 0.5, 1.5, 0.6, 1.5, 0.5, objects=5, peak_mib=120.0),
        **other,
    )


def profile(backend: str, **other: Any) -> Profile:
    """A profile of two images that took a second, with every part, unless told otherwise."""
    reader, processor, scheduler = backend.split("/")
    parts = dict.fromkeys(PARTS, 0.05) | {"blur": 0.3, "threshold": 0.25}
    described: dict[str, Any] = {
        "n_images": 2,
        "import_seconds": 0.5,
        "start_seconds": 0.25,
        "first_seconds": 0.1,
        "seconds": 1.0,
        "parts": parts,
        "tasks": 48,
        "calls": dict.fromkeys(STAGES, 2),
    }
    return Profile(
        reader=reader, processor=processor, scheduler=scheduler, **{**described, **other}
    )


def limits(**other: Any) -> dict[str, Any]:
    """The settings of a run that say when a case ends."""
    return {"precision": 0.03, "blocks": 40, "case_seconds": 15.0, "phases": ["read"], **other}


def three_sizes(**other: Any) -> Source:
    """Fixed and marginal cost: 1 s and 1 s, 4 s and 0.5 s, 0.5 s and 1.1 s, 3 s and 2 s."""
    costs = {SERIAL: (1, 1), POOL: (4, 0.5), DASK: (0.5, 1.1), PIMS: (3, 2)}
    return make_source(
        *(
            case(backend, "read", size, *[fixed + marginal * size] * 5)
            for backend, (fixed, marginal) in costs.items()
            for size in (1, 10, 100)
        ),
        **other,
    )


def row_of(source: Source, backend: str, phase: str, n_images: int) -> dict[str, Any]:
    """The summary of one case."""
    summary = tables.summarize(source)
    found = summary[
        (summary["backend"] == backend)
        & (summary["phase"] == phase)
        & (summary["n_images"] == n_images)
    ]
    assert len(found) == 1
    return {str(name): value for name, value in found.iloc[0].items()}


def tables_of(source: Source) -> tuple[tables.Table, ...]:
    """The tables that the report of a source has."""
    summary = tables.summarize(source)
    return make_tables(source, summary, costs.lines(source, summary))


def table_names(source: Source) -> list[str]:
    """Their names."""
    return [table.name for table in tables_of(source)]


def table_of(source: Source, name: str) -> tables.Table:
    """A table of the report of a source."""
    (found,) = (table for table in tables_of(source) if table.name == name)
    return found


class Page(HTMLParser):
    """What a browser would see of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.style = ""
        self.scripts: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag and its attributes."""
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        """Keep text, that of style sheets and of scripts by itself."""
        if self.cdata_elem == "style":
            self.style += data
        elif self.cdata_elem == "script":
            self.scripts.append(data)
        else:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        """Attributes of all elements of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]


# Summary.


def test_ratios_are_formed_within_blocks() -> None:
    """A slow block does not move a ratio, though it moves the times."""
    row = row_of(ordinary(), POOL, "pipeline", 20)
    assert row["ratio_median"] == pytest.approx(0.5)
    assert (row["ratio_low"], row["ratio_high"]) == (pytest.approx(0.5), pytest.approx(0.6))
    assert row["verdict"] == "faster"
    assert (row["seconds_low"], row["seconds_median"], row["seconds_high"]) == (0.5, 0.6, 1.5)
    assert (row["samples"], row["objects"], row["peak_mib"]) == (5, 5, 120.0)


def test_blocks_are_matched_by_number() -> None:
    """Of blocks that only one of the two has, and of their order in the file, nothing depends."""
    times = case(POOL, "read", 1, 0.2, 0.6, 0.8, 1.0, 1.2, 9.0)
    source = make_source(case(SERIAL, "read", 1, 0.1, 0.3, 0.4, 0.5, 0.6), times[::-1])
    row = row_of(source, POOL, "read", 1)
    for name in ("ratio_low", "ratio_median", "ratio_high"):
        assert row[name] == pytest.approx(2.0)


def test_of_a_block_that_a_file_holds_twice_the_last_counts() -> None:
    """A block taken again, after a crash, does not make the report fail or count twice."""
    again = case(POOL, "read", 1, 9.0)
    source = make_source(
        case(SERIAL, "read", 1, *[0.1] * 5), again, case(POOL, "read", 1, *[0.2] * 5)
    )
    assert row_of(source, POOL, "read", 1)["ratio_high"] == pytest.approx(2.0)


def test_unpaired_samples_have_neither_interval_nor_verdict() -> None:
    """Where samples were not taken side by side, the ratio is that of the medians, and no finding."""
    source = ordinary(paired=False)
    row = row_of(source, POOL, "read", 1)
    assert row["ratio_median"] == pytest.approx(0.03 / 0.01)
    assert row["ratio_low"] != row["ratio_low"]  # NaN
    assert row["verdict"] == ""
    assert table_of(source, "read-ratios").rows == ((SERIAL, "1.00×"), (POOL, "3.00×"))
    assert "no interval" in table_of(source, "read-ratios").note
    assert "costs" not in table_names(three_sizes(paired=False))


@pytest.mark.parametrize("blocks", [1, 4])
def test_few_blocks_decide_nothing(blocks: int) -> None:
    """With fewer than five blocks a ratio has no interval, is undecided, and is no finding."""
    source = make_source(
        case(SERIAL, "read", 1, *[1.0] * blocks), case(POOL, "read", 1, *[0.5] * blocks)
    )
    row = row_of(source, POOL, "read", 1)
    assert (row["ratio_median"], row["verdict"]) == (pytest.approx(0.5), "undecided")
    assert row["ratio_low"] != row["ratio_low"]  # NaN
    assert table_of(source, "read-ratios").rows[1] == (POOL, "0.50× undecided")
    assert "0 comparisons" in table_of(source, "read-ratios").note


def test_the_baseline_is_compared_with_nothing() -> None:
    """The baseline's ratio is 1 without an interval to read, and counts as no comparison."""
    row = row_of(ordinary(), SERIAL, "read", 1)
    assert (row["ratio_median"], row["verdict"]) == (1.0, "")
    assert table_of(ordinary(), "read-ratios").rows[0] == (SERIAL, "1.00×")
    assert "2 comparisons" in table_of(ordinary(), "read-ratios").note


def test_verdicts_are_corrected_for_the_comparisons_of_a_source() -> None:
    """What is faster as the only comparison is undecided as one of 200."""

    def with_others(count: int) -> Source:
        odd = (f"a/b/{number}" for number in range(count))
        return make_source(
            case(SERIAL, "read", 1, *[1.0] * 6),
            case(POOL, "read", 1, *[0.76 * noise for noise in NOISE]),
            *(case(name, "read", 1, *NOISE) for name in odd),
        )

    assert row_of(with_others(0), POOL, "read", 1)["verdict"] == "faster"
    assert row_of(with_others(199), POOL, "read", 1)["verdict"] == "undecided"
    assert "200 comparisons" in table_of(with_others(199), "read-ratios").note


def test_first_call_and_memory_of_a_case() -> None:
    """The summary has the first call's median and the peak with what was held before that call."""
    shown = [
        sample(SERIAL, "pipeline", 1, 1, seconds=1.0, first_seconds=3.0, peak_mib=90.0),
        sample(SERIAL, "pipeline", 1, 2, seconds=1.0, peak_mib=140.0, idle_mib=100.0),
        sample(SERIAL, "pipeline", 1, 3, seconds=1.0, peak_mib=130.0, idle_mib=80.0),
        sample(SERIAL, "pipeline", 1, 4, seconds=1.0),
    ]
    row = row_of(make_source(shown), SERIAL, "pipeline", 1)
    assert (row["first_seconds"], row["peak_mib"], row["idle_mib"]) == (3.0, 140.0, 100.0)
    assert row["above_idle_mib"] == 40.0


def test_a_baseline_that_failed_is_compared_with_nothing(tmp_path: Path) -> None:
    """A time that is not shown makes no ratio: what it had until it failed is left out."""
    lost = sample(SERIAL, "pipeline", 1, 6, status="timeout", cause="too long")
    source = make_source(
        case(SERIAL, "pipeline", 1, *[1.0] * 5), [lost], case(POOL, "pipeline", 1, *[0.5] * 6)
    )
    row = row_of(source, POOL, "pipeline", 1)
    assert row["status"] == "ok"
    assert math.isnan(row["ratio_median"])
    assert row["verdict"] == ""
    assert build([source], tmp_path).exists()


def wrong_once() -> Source:
    """A backend that is fast, and wrong at the larger size only."""
    return make_source(
        case(SERIAL, "read", 1, *[1.0] * 5),
        case(DASK, "read", 1, *[0.001] * 5),
        case(POOL, "read", 1, *[0.5] * 5),
        case(SERIAL, "pipeline", 1, *[1.0] * 5),
        case(DASK, "pipeline", 1, *[0.001] * 5, first_seconds=0.00212),
        case(SERIAL, "pipeline", 20, *[1.0] * 5, first_seconds=2.0),
        [sample(DASK, "pipeline", 20, status="wrong-result", cause="pipeline: 3 cells too many")],
        profiles=(profile(SERIAL), profile(DASK, seconds=0.00777)),
    )


def test_wrong_anywhere_is_wrong_everywhere(tmp_path: Path) -> None:
    """A backend that was wrong once has no time in any table, figure or finding."""
    source = wrong_once()
    section = make_section(source, "")
    phases = [table for table in section.tables if table.name.endswith(("-times", "-ratios"))]
    own = section.summary[section.summary["backend"] == DASK]
    assert list(own["status"]) == ["wrong-result"] * 3
    assert own[["seconds_median", "ratio_median"]].isna().all(axis=None)
    assert len(phases) == 4
    for table in phases:
        (cells,) = (row[1:] for row in table.rows if row[0] == DASK)
        assert set(cells) == {"wrong-result"}
    (refused,) = (sentence for sentence in section.answer.sentences if DASK in sentence)
    assert refused == f"Not ranked: {DASK} (wrong-result)."
    assert section.drawings
    assert not any(DASK in drawing.alt for drawing in section.drawings)
    for name in ("parts", "cold-start", "pipeline-first-calls"):
        (cells,) = (row[1:] for row in table_of(source, name).rows if row[0] == DASK)
        assert set(cells) == {"wrong-result"}
    presented = table_of(source, "presentation-read").rows
    assert not any(row[0] == "Dask imread" for row in presented)
    build([source], tmp_path)
    assert "3 cells too many" in Page(tmp_path / "index.html").text


def test_nothing_is_compared_with_a_wrong_baseline() -> None:
    """If the baseline itself was wrong somewhere, there are times, but no ratios and no findings."""
    source = make_source(
        *(case(SERIAL, "read", size, *[1.0] * 5) for size in (1, 2, 3)),
        *(case(POOL, "read", size, *[0.5] * 5) for size in (1, 2, 3)),
        [sample(SERIAL, "read", 20, status="wrong-result", cause="other pixels")],
    )
    row = row_of(source, POOL, "read", 1)
    assert (row["status"], row["seconds_median"], row["verdict"]) == ("ok", 0.5, "")
    assert row["ratio_median"] != row["ratio_median"]  # NaN
    (costs,) = table_of(source, "costs").rows
    assert costs[1:] == (POOL, "500 ms", "not seen", "0%", "–")
    assert table_of(source, "read-ratios").rows[1] == (POOL, "–", "–", "–", "–")


def test_case_that_failed_midway_has_no_time() -> None:
    """A case that failed in its second block is shown by its status, not by the first block's time."""
    source = make_source(
        case(SERIAL, "read", 1, 1.0, 1.0),
        [*case(POOL, "read", 1, 0.5), sample(POOL, "read", 1, 2, status="crashed", cause="gone")],
    )
    row = row_of(source, POOL, "read", 1)
    assert (row["status"], row["cause"]) == ("crashed", "gone")
    assert row["seconds_median"] != row["seconds_median"]  # NaN
    assert table_of(source, "read-times").rows[1] == (POOL, "crashed")


def test_order_of_rows() -> None:
    """Phases are in their natural order, sizes ascend, backends are as the settings list them."""
    source = make_source(
        case(POOL, "pipeline", 20, 1.0),
        case(POOL, "read", 20, 1.0),
        case(POOL, "read", 3, 1.0),
        case(SERIAL, "read", 3, 1.0),
        settings={"backends": [SERIAL, POOL]},
    )
    summary = tables.summarize(source)
    assert list(zip(summary["phase"], summary["n_images"], summary["backend"], strict=True)) == [
        ("read", 3, SERIAL),
        ("read", 3, POOL),
        ("read", 20, POOL),
        ("pipeline", 20, POOL),
    ]


# Tables.


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
    table = table_of(source, "left-out")
    assert table.rows == (
        (PIMS, "read", "1 image", "unavailable", "install pims"),
        (DASK, "read, pipeline", "20 and 50 images", "timeout", "read of 20 images: over 60 s"),
        ("all", "all", "200 and 500 images", "left out", "the dataset holds 50 images"),
    )
    assert "timeout: a call took longer" in table.note
    assert "unavailable: something it needs" in table.note
    assert "fails in one phase is out at that size" in table.note


def test_nothing_left_out() -> None:
    """A run without gaps has no table of them."""
    assert "left-out" not in table_names(ordinary())


READERS_OF_ROWS = {"Dask imread": DASK, "Skimage imread": SERIAL}
READERS_OF_ROWS |= {"Dask.array.image (imread = pimread)": PIMS}
READERS_OF_ROWS |= {"Dask.array.image (imread=skimage.imread)": IMREAD}


def test_presentation_table() -> None:
    """The presentation's rows, columns and figures are as they were, this run's open and read under them."""
    source = make_source(
        *(
            case(backend, phase, size, seconds)
            for backend in READERS_OF_ROWS.values()
            for phase, seconds in (("open", 0.0012345), ("read", 0.25))
            for size in (1, 20, 500)
        )
    )
    table = table_of(source, "presentation-read")
    sizes = ("1 image", "20 images", "50 images", "200 images", "500 images")
    assert table.columns[2:] == (*sizes, "Growth")
    shown = {
        "Dask imread": "32.516 146.798 175.199 139.793 158.926",
        "Dask.array.image (imread = pimread)": "38.889 118.978 122.171 122.517 130.457",
        "Dask.array.image (imread=skimage.imread)": "30.997 143.175 124.876 123.422 123.790",
        "Skimage imread": "0.255 2.546 1.583 2.077 4.897",
    }
    growth = ("1.08×", "1.10×", "0.86×", "1.92×")
    rows: list[tuple[str, ...]] = []
    for (name, figures), grown in zip(shown.items(), growth, strict=True):
        opened, read, over = "1.234 ms", "250.000 ms", "203×"
        rows.append((name, "presentation", *(f"{one} ms" for one in figures.split()), grown))
        rows.append((name, "this run, open", opened, opened, "–", "–", opened, "1.00×"))
        rows.append((name, "this run, read", read, read, "–", "–", read, "1.00×"))
        rows.append((name, "this run, read / open", over, over, "–", "–", over, "–"))
    assert table.rows == tuple(rows)
    ids = (*(tables.case_id("read", size, SERIAL) for size in (1, 20)), "", "")
    assert table.cases[-2] == ("", "", *ids, tables.case_id("read", 500, SERIAL), "")
    assert set(table.cases[-1]) | set(table.cases[-4]) == {""}


def test_presentation_row_is_measured_with_its_reader() -> None:
    """Each row has the times of the reader that the presentation used for it."""
    seconds = {name: number / 8 for number, name in enumerate(READERS_OF_ROWS, start=1)}
    source = make_source(
        *(case(READERS_OF_ROWS[name], "read", 1, seconds[name]) for name in READERS_OF_ROWS)
    )
    rows = table_of(source, "presentation-read").rows
    found = {row[0]: row[2] for row in rows if row[1] == "this run, read"}
    assert found == {name: f"{seconds[name] * 1e3:.3f} ms" for name in READERS_OF_ROWS}


def test_environment_table() -> None:
    """Everything that is known of machine, versions, settings and dataset is in the report."""
    pools = {SERIAL: ["openblas 1"], POOL: ["openblas 1"]}
    source = ordinary(settings={"time_limit": 60.0, "thread_pools": pools, "params": {"a": 1}})
    rows = table_of(source, "environment").rows
    assert ("machine", "cpu", "Abacus 3000") in rows
    assert ("versions", "dask", "2024.8.0") in rows
    assert ("settings", "time limit", "60.0") in rows
    assert ("settings", "thread pools", "openblas 1 (all 2)") in rows
    assert ("settings", "params", "a: 1") in rows
    assert ("dataset", "shape", "8, 9, 3") in rows


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (2e-8, "20.0 ns"),
        (4.36e-5, "43.6 µs"),
        (9.996e-4, "1.00 ms"),
        (0.001, "1.00 ms"),
        (0.0123, "12.3 ms"),
        (0.1, "100 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.00 s"),
        (1, "1.00 s"),
        (9.996, "10.0 s"),
        (59.94, "59.9 s"),
        (1234.5, "1230 s"),
    ],
)
def test_format_seconds(seconds: float, text: str) -> None:
    """Times are written with three significant digits and the unit that suits them."""
    assert cells.format_seconds(seconds) == text


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
    assert table_of(source, "read-ratios").rows[1] == (POOL, f"{text} undecided")


def test_times_by_case_are_those_that_are_ok() -> None:
    """Of a case only samples that are ok are compared, even if others have a time."""
    slow = sample(POOL, "read", 1, 2, status="timeout", cause="too long", seconds=60.0)
    source = make_source(case(POOL, "read", 1, 1.0), [slow])
    assert dict(source.times["read", 1][POOL]) == {1: 1.0}


@settings(max_examples=100, deadline=None)
@given(exponent=st.floats(-8, 5))
def test_formatted_seconds_can_be_read_back(exponent: float) -> None:
    """What is shown has three digits at least and is within 0.5% of the time."""
    seconds = 10**exponent
    number, unit = cells.format_seconds(seconds).split(" ")
    shown = float(number) * {"s": 1, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}[unit]
    assert shown == pytest.approx(seconds, rel=0.005)
    assert len(re.findall(r"\d", number)) >= 3
    assert re.fullmatch(r"\d+(\.\d+)?", number)


# Costs.


def test_cost_table() -> None:
    """Fixed and marginal cost are found, with the side on which the baseline is overtaken."""
    table = table_of(three_sizes(), "costs")
    rows = {row[1]: row[2:] for row in table.rows}
    assert {row[0] for row in table.rows} == {"read"}
    assert rows[SERIAL] == ("1.00 s", "1.00 s", "0%", "the baseline")
    assert rows[POOL] == ("4.00 s", "500 ms", "0%", "faster from 6.0 images (6.0–6.0)")
    assert rows[DASK] == ("500 ms", "1.10 s", "0%", "faster only up to 5.0 images (5.0–5.0)")
    assert rows[PIMS] == ("3.00 s", "2.00 s", "0%", "never in range: slower at every size")


def test_crossover_beyond_ten_images_is_whole() -> None:
    """A number of images has a decimal only where it is small."""
    source = make_source(
        *(
            case(backend, "read", size, *[fixed + marginal * size] * 5)
            for backend, fixed, marginal in ((SERIAL, 1, 1), (POOL, 13.4, 0.5))
            for size in (1, 10, 100)
        )
    )
    assert table_of(source, "costs").rows[1][-1] == "faster from 25 images (25–25)"


def test_no_crossover_is_made_up() -> None:
    """Where no side changes for certain, the table does not say where."""
    source = make_source(
        *(case(SERIAL, "read", size, *[1.0 * size] * 6) for size in (1, 10, 100)),
        *(case(POOL, "read", size, *[size * noise for noise in NOISE]) for size in (1, 10, 100)),
        *(case(DASK, "read", size, *[size * 1.001] * 6) for size in (1, 10, 100)),
        *(case(PIMS, "read", size, *[size * 0.5] * 6) for size in (1, 10, 100)),
    )
    found = {row[1]: row[-1] for row in table_of(source, "costs").rows}
    assert found[POOL] == "no crossover shown"
    assert found[DASK] == "never in range: no difference at any size"
    assert found[PIMS] == "never in range: faster at every size"


def near_the_start(fixed: float, marginal: float) -> str:
    """What the table says of a backend that is as fast as the baseline with one image, more or less."""
    unsure = (0.8, 0.9, 1.0, 1.0, 1.1, 1.2)
    source = make_source(
        *(case(SERIAL, "read", size, *[1.0 + size] * 6) for size in (1, 10, 100)),
        case(POOL, "read", 1, *[(fixed + marginal) * noise for noise in unsure]),
        *(case(POOL, "read", size, *[fixed + marginal * size] * 6) for size in (10, 100)),
    )
    return table_of(source, "costs").rows[1][-1]


def test_crossover_near_the_smallest_size() -> None:
    """Where a backend may be faster from the smallest size on, only the latest number is named."""
    assert re.fullmatch(r"faster from \d\.\d images at the latest", near_the_start(1.5, 0.5))
    assert re.fullmatch(r"slower from \d\.\d images at the latest", near_the_start(0.5, 1.5))


def test_a_crossing_needs_a_verdict_on_both_sides() -> None:
    """Lines alone name no crossing: where one side is undecided, only what was shown is told."""
    wild = (0.5, 0.7, 1.0, 1.0, 1.4, 1.9)
    source = make_source(
        *(case(SERIAL, "read", size, *[1.0 + size] * 6) for size in (1, 10, 100)),
        case(POOL, "read", 1, *[3.5 * noise for noise in wild]),
        *(case(POOL, "read", size, *[3 + 0.5 * size] * 6) for size in (10, 100)),
    )
    assert row_of(source, POOL, "read", 1)["verdict"] == "undecided"
    said = table_of(source, "costs").rows[1][-1]
    assert re.fullmatch(r"faster from \d+(\.\d)? images at the latest", said)


def test_crossover_near_the_largest_size() -> None:
    """Where a backend may be faster nowhere, only the number that it takes at the least is named."""
    unsure = (0.99, 0.97, 1.0, 1.0, 1.01, 1.03)

    def found(fixed: float, marginal: float) -> str:
        source = make_source(
            *(case(SERIAL, "read", size, *[1.0 + size] * 6) for size in (1, 10, 100)),
            *(case(POOL, "read", size, *[fixed + marginal * size] * 6) for size in (1, 10)),
            case(POOL, "read", 100, *[(fixed + marginal * 100) * noise for noise in unsure]),
        )
        return table_of(source, "costs").rows[1][-1]

    assert re.fullmatch(r"faster, if at all, from more than \d\d images", found(2, 0.99))
    assert re.fullmatch(r"slower, if at all, from more than \d\d images", found(0, 1.01))


SIZES = (1, 20, 50, 200, 500)


def against(*ratios: float, sizes: Sequence[int] = SIZES) -> str:
    """What the table of costs says of a backend with these ratios; the baseline takes 1 s an image."""
    source = make_source(
        *(case(SERIAL, "read", size, *[1.0 * size] * 5) for size in sizes),
        *(
            case(POOL, "read", size, *[ratio * size] * 5)
            for size, ratio in zip(sizes, ratios, strict=True)
        ),
    )
    return table_of(source, "costs").rows[1][-1]


def test_no_crossing_is_named_against_the_verdicts() -> None:
    """Where a backend is slower again beyond a crossing of the lines, none is named."""
    assert against(2, 0.8, 1.1, 1.1, 0.9) == UNEVEN
    assert against(2, 0.9, 0.9, 1.1, 0.9) == UNEVEN
    assert against(1.3, 0.98, 0.95, 0.95, 0.95).startswith("faster from ")
    assert against(0.5, 1.2, 0.9, 0.9, 1.1) == UNEVEN
    assert against(0.9, 0.9, 1.1, 0.9, 0.9) == UNEVEN


def test_no_crossing_is_named_where_no_line_fits() -> None:
    """A line that is off by more than a fifth says nothing of where it crosses another."""
    assert against(4, 3, 2, 1.5, 0.3) == UNEVEN
    assert against(2, 0.8, 0.5, 0.8, 0.5) == UNEVEN
    assert against(4, 3, 2, 1.5, 1.2) == "never in range: slower at every size"


def test_lines_that_do_not_cross() -> None:
    """Where no line crosses and some sizes are undecided, the sizes that are not are named."""
    source = make_source(
        *(case(SERIAL, "read", size, *[1.0 * size] * 6) for size in (1, 10, 100)),
        case(POOL, "read", 1, *[1.2 * noise for noise in (0.8, 0.9, 1.0, 1.0, 1.1, 1.2)]),
        *(case(POOL, "read", size, *[1.2 * size] * 6) for size in (10, 100)),
    )
    assert table_of(source, "costs").rows[1][-1] == "never in range: slower at 10 and 100 images"


def test_lines_that_may_cross() -> None:
    """Where lines cross in the range, but not for certain, it is not said that they never do."""
    unsure = (0.7, 0.8, 1.0, 1.0, 1.2, 1.3)
    source = make_source(
        *(case(SERIAL, "read", size, *[1.0 * size] * 6) for size in (1, 10, 100)),
        case(POOL, "read", 1, *unsure),
        case(POOL, "read", 10, *[10.7] * 6),
        case(POOL, "read", 100, *[95 * noise for noise in unsure]),
    )
    assert row_of(source, POOL, "read", 10)["verdict"] == "slower"
    assert table_of(source, "costs").rows[1][-1] == "no crossover shown"


def test_costs_need_three_sizes_with_enough_blocks() -> None:
    """A backend is in the table of costs only with three sizes of five blocks."""
    two = make_source(*(case(SERIAL, "read", size, *[1.0 * size] * 5) for size in (1, 10)))
    assert "costs" not in table_names(two)
    few = make_source(
        *(case(SERIAL, "read", size, *[1.0 * size] * 5) for size in (1, 10, 100)),
        *(
            case(POOL, "read", size, *[1.0 * size] * (5 if size > 1 else 4))
            for size in (1, 10, 100)
        ),
    )
    assert [row[1] for row in table_of(few, "costs").rows] == [SERIAL]


@pytest.mark.parametrize("common", [0, 4])
@pytest.mark.parametrize("more", [0, 5])
def test_crossover_needs_three_sizes_of_the_baseline(common: int, more: int) -> None:
    """Without five blocks in common at three sizes a backend has costs, and no comparison."""
    seconds = [100.0] * (5 + more)
    source = make_source(
        *(case(SERIAL, "read", size, *[1.0 * size] * 5) for size in (1, 10)),
        case(SERIAL, "read", 100, *seconds)[5 - common : 5 + more - common],
        *(case(POOL, "read", size, *[4.0 + size / 2] * 5) for size in (1, 10, 100)),
    )
    found = {row[1]: row[2:] for row in table_of(source, "costs").rows}
    assert found[POOL] == ("4.00 s", "500 ms", "0%", "–")


def test_costs_of_a_backend_that_failed_later() -> None:
    """A size that timed out is no part of a verdict at every size."""
    source = make_source(
        *(case(SERIAL, "read", size, *[1.0 * size] * 5) for size in (1, 10, 100, 1000)),
        *(case(POOL, "read", size, *[2.0 * size] * 5) for size in (1, 10, 100)),
        [sample(POOL, "read", 1000, status="timeout", cause="too long")],
    )
    assert table_of(source, "costs").rows[1][-1] == "never in range: slower at every size"


def test_line_that_does_not_fit_is_seen() -> None:
    """How far a median is away from the line is in the table."""
    times = {1: 1.0, 10: 40.0, 100: 100.0}
    source = make_source(*(case(SERIAL, "read", size, *[times[size]] * 5) for size in times))
    ((_, _, _, _, off, _),) = table_of(source, "costs").rows
    assert int(off.removesuffix("%")) > 20


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
    table = table_of(profiled(), "cold-start")
    assert table.rows == (
        (SERIAL, "500 ms", "250 ms", "100 ms", "850 ms", "20.0 ms"),
        (DASK, "500 ms", "250 ms", "100 ms", "850 ms", "40.0 ms"),
        (POOL, *["crashed"] * 5),
    )
    cold = table_of(ordinary(profiles=(profile(SERIAL),)), "cold-start")
    assert cold.rows[0][-1] == "–"


def test_first_calls_table() -> None:
    """The first call of the pipeline is shown with how much slower than a warm one it was."""
    table = table_of(profiled(), "pipeline-first-calls")
    assert table.rows == ((SERIAL, "50.0 ms (2.5×)", "550 ms (1.1×)"), (DASK, "–", "–"))
    assert "pipeline-first-calls" not in table_names(ordinary())


def test_parts_table() -> None:
    """Each part has its seconds and share, and work that is done again has how often."""
    table = table_of(profiled(), "parts")
    assert table.columns == ("Backend", "Median sample", "Wall time", *PARTS, "Tasks")
    serial, dask, pool = table.rows
    assert serial == (SERIAL, "–", "1.00 s", "250 ms (25%)", "–", "740 ms (74%)", *["–"] * 8)
    assert not [warning for warning in trust.warnings(profiled()) if "in part only" in warning]
    assert dask[:6] == (DASK, "–", "1.00 s", "50.0 ms (5%, 5.5×)", "50.0 ms (5%)", "300 ms (30%)")
    assert dask[7] == "50.0 ms (5%, 0×)"
    assert dask[-1] == "48"
    assert pool == (POOL, *["crashed"] * 13)
    assert "2 images" in table.title
    assert "within 5.0%" in table.note


def test_parts_that_do_not_add_up_are_marked() -> None:
    """Where the parts miss more than 5% of the wall time, the row says so, and a warning."""
    source = ordinary(
        profiles=(
            profile(SERIAL, parts={"decode": 0.949}, n_images=1),
            profile(POOL, parts={"decode": 0.951}, n_images=1),
            profile(DASK, parts={"decode": 1.06}, n_images=1),
        )
    )
    table = table_of(source, "parts")
    assert [row[2] for row in table.rows] == [
        "1.00 s (parts: 95%)",
        "1.00 s",
        "1.00 s (parts: 106%)",
    ]
    assert table.title.endswith("pipeline, 1 image")
    (warning,) = (one for one in trust.warnings(source) if "in part only" in one)
    assert f"for {SERIAL}, {DASK}:" in warning


def test_backends_without_a_profile_are_named() -> None:
    """What was not looked at, since the run was interrupted, is said under both tables."""
    for profiles, told in (((SERIAL,), True), ((SERIAL, POOL), False)):
        source = ordinary(profiles=tuple(profile(backend) for backend in profiles))
        for name in ("parts", "cold-start"):
            note = table_of(source, name).note
            assert note.endswith(f"or the run was interrupted: {POOL}.") == told


def test_parts_that_no_backend_has_are_no_columns() -> None:
    """Without Dask there are no columns of what Dask adds."""
    source = ordinary(profiles=(profile(SERIAL, parts={"decode": 0.25, "graph": 0.0}),))
    heads = ("Backend", "Median sample", "Wall time", "decode", "Tasks")
    assert table_of(source, "parts").columns == heads


def test_nothing_is_said_of_parts_without_profiles() -> None:
    """A source without profiles has neither their tables nor their figure."""
    assert not {"parts", "cold-start"} & set(table_names(ordinary()))
    assert "parts" not in [drawing.name for drawing in make_section(ordinary(), "").drawings]


def test_memory_above_an_idle_worker() -> None:
    """Where the idle size is known the table has what a size adds to it, and the idle size."""
    source = make_source(
        case(SERIAL, "pipeline", 1, 1.0, peak_mib=130.0, idle_mib=100.0),
        case(SERIAL, "pipeline", 20, 1.0, peak_mib=400.0, idle_mib=110.0),
        case(POOL, "pipeline", 1, 1.0, peak_mib=130.0),
        [sample(POOL, "pipeline", 20, status="memory", cause="too large")],
    )
    table = table_of(source, "pipeline-memory")
    assert table.columns == ("Backend", "Idle worker", "1 image", "20 images")
    assert table.rows == (
        (SERIAL, "100 MiB", "30 MiB", "290 MiB"),
        (POOL, "–", "–", "memory"),
    )


def test_memory_of_a_source_without_idle_sizes() -> None:
    """Where the idle size is not known the table has the peak."""
    table = table_of(ordinary(), "pipeline-memory")
    assert table.rows == ((SERIAL, "100 MiB"), (POOL, "120 MiB"))


# Trust.


def ending(source: Source) -> list[tuple[str, ...]]:
    """The rows of the table on how the cases ended; none where there is no table."""
    table = trust.blocks_table(source)
    return list(table.rows) if table else []


def test_why_cases_ended() -> None:
    """Each case says how many blocks it took and which limit ended it."""
    source = make_source(
        case(SERIAL, "read", 1, *[1.0] * 14),
        case(POOL, "read", 1, *[0.5] * 14),
        case(SERIAL, "read", 2, *[1.0] * 18),
        case(POOL, "read", 2, *NOISE * 3),
        case(SERIAL, "read", 3, *[1.0] * 6),
        case(POOL, "read", 3, *[noise * 10 for noise in NOISE]),
        case(SERIAL, "read", 4, *[0.1] * 6),
        case(POOL, "read", 4, *[0.1 * noise for noise in NOISE]),
        settings=limits(blocks=18, sizes=[1, 2, 3, 4, 5]),
    )
    assert ending(source) == [
        (
            "read",
            *("14 (precision)", "18 (blocks)", "6 (time)"),
            *("6 (interrupted)", "0 (interrupted)"),
        )
    ]
    table = trust.blocks_table(source)
    assert table
    for reason, meaning in REASONS.items():
        assert f"{reason}: {meaning}" in table.note
    (warning,) = trust.warnings(source)
    assert (
        "interrupted: read of 4 images had not ended, and nothing was measured of read" in warning
    )


def test_rounds_are_told() -> None:
    """Where a part of the blocks was taken in new processes, the table of blocks says so."""
    for number, said in ((1, False), (2, True)):
        source = make_source(case(SERIAL, "read", 1, 1.0, round=number), settings=limits())
        table = trust.blocks_table(source)
        assert table
        assert ("in new processes" in table.note) == said


def test_a_failed_backend_does_not_keep_a_case_going() -> None:
    """A backend that failed is not waited for, nor is a case in which all failed."""
    source = make_source(
        case(SERIAL, "read", 1, *[1.0] * 14),
        case(POOL, "read", 1, *[0.5] * 14),
        [*case(DASK, "read", 1, 1.0, 7.0), sample(DASK, "read", 1, 3, status="crashed", cause="x")],
        [sample(name, "read", 20, status="memory", cause="x") for name in (SERIAL, POOL, DASK)],
        settings=limits(case_seconds=99.0, sizes=[1, 20]),
    )
    assert ending(source) == [("read", "14 (precision)")]
    assert trust.warnings(source) == []


@pytest.mark.parametrize("block", [0, 3])
def test_a_backend_that_failed_later_counts_where_it_was_measured(block: int) -> None:
    """A failure is told in all phases of a size: where all blocks are there, the ratio counted."""

    def failed(phase: str) -> Sample:
        return sample(POOL, phase, 1, block, status="crashed", cause="pipeline: gone")

    source = make_source(
        case(SERIAL, "read", 1, *[1.0] * 14),
        [*case(POOL, "read", 1, *NOISE, *NOISE, 2.0, 2.0), failed("read")],
        case(DASK, "read", 1, *[0.5] * 14),
        case(SERIAL, "pipeline", 1, *[1.0] * 14),
        [*case(POOL, "pipeline", 1, *[2.0] * 2), failed("pipeline")],
        case(DASK, "pipeline", 1, *[0.5] * 14),
        settings=limits(case_seconds=20.0, phases=["read", "pipeline"]),
    )
    assert ending(source) == [("read", "14 (time)"), ("pipeline", "14 (precision)")]


def test_a_phase_that_all_backends_finished_has_an_ending() -> None:
    """Where every backend failed in a later phase, the earlier one says why it ended."""
    source = make_source(
        *(
            [*case(backend, "read", 1, *[1.0] * 14), sample(backend, "read", 1, status="memory")]
            for backend in (SERIAL, POOL)
        ),
        *(
            [*case(backend, "process", 1, 1.0, 1.0), sample(backend, "process", 1, status="memory")]
            for backend in (SERIAL, POOL)
        ),
        settings=limits(case_seconds=99.0, phases=["read", "process"]),
    )
    assert ending(source) == [("read", "14 (precision)")]
    assert trust.warnings(source) == []


def test_blocks_that_every_backend_has_are_counted() -> None:
    """A block in whose midst the run was interrupted is not counted."""
    source = make_source(
        case(SERIAL, "read", 1, *[1.0] * 7), case(POOL, "read", 1, *[0.5] * 6), settings=limits()
    )
    assert ending(source) == [("read", "6 (interrupted)")]


def test_calls_of_a_sample_count_for_the_limit_of_time() -> None:
    """A sample of several calls took as many times its mean."""
    backends = {SERIAL: [1.0] * 6, POOL: NOISE}
    source = make_source(
        *(case(backend, "read", 1, *times, calls=2) for backend, times in backends.items()),
        settings=limits(case_seconds=13.0),
    )
    assert ending(source) == [("read", "6 (time)")]


def test_sources_without_limits_say_nothing_of_endings() -> None:
    """Older runs have no table of endings, but what they lack of their sizes is told."""
    settings = {"blocks": 5, "sizes": [1, 20, 50, 200], "phases": ["read", "pipeline"]}
    source = ordinary(settings=settings)
    assert ending(source) == []
    warning, _ = trust.warnings(source)
    missing = "pipeline of 1 image; read of 20 images; read, pipeline of 50 and 200 images."
    assert f"interrupted: nothing was measured of {missing}" in warning


def test_notes_of_a_source_are_warnings() -> None:
    """What was wrong with a file is said first."""
    source = ordinary(notes=("line 7, the last, is damaged: left out",))
    assert trust.warnings(source)[0] == "a run: line 7, the last, is damaged: left out."


def steady(**other: Any) -> Source:
    """A run on a quiet machine, of two cases."""
    times = [1.0, 1.01, 0.99, 1.0, 1.01, 0.99]
    timed = [
        sample(SERIAL, "read", size, block, seconds=size * value, at=10.0 * size + block)
        for size in (1, 20)
        for block, value in enumerate(times, start=1)
    ]
    return make_source(timed, **other)


def test_a_quiet_run_has_no_warnings() -> None:
    """Nothing is said of a machine without load, noise, drift or throttling."""
    machine = {"load_at_start": 1.0, "cpus_available": 2}
    assert trust.warnings(steady(machine=machine)) == []


def test_busy_machine() -> None:
    """A load of more than half a CPU for each CPU is told."""
    (warning,) = trust.warnings(steady(machine={"load_at_start": 1.01, "cpus_available": 2}))
    assert "busy when the run started (load 1.01 on 2 CPUs)" in warning


@pytest.mark.parametrize(("seconds", "told"), [(None, False), (8.0, False), (80.0, True)])
@pytest.mark.parametrize(
    "machine",
    [{"cpus_available": 2}, {"cpus": 2, "cpus_available": 1}, {"cpus": 0, "cpus_available": 2}],
)
def test_throttled_machine(seconds: float | None, told: bool, machine: dict[str, int]) -> None:
    """CPU time that a quota or a host withheld is told from 2% on: here of 2 CPUs for 206 s."""
    source = steady(machine=machine)
    source.samples["withheld_seconds"] = float("nan") if seconds is None else seconds
    warnings = trust.warnings(source)
    assert len(warnings) == told
    assert all("withheld 19% of its CPU time" in warning for warning in warnings)


def test_throttled_in_the_first_moment() -> None:
    """The clocks are not exact: more than all is said to be all, and of no time nothing is said."""

    def told(at: float) -> list[str]:
        one = sample(SERIAL, "read", 1, 1, seconds=1.0, at=at, withheld_seconds=1.0)
        return trust.warnings(make_source([one]))

    (warning,) = told(0.001)
    assert "withheld 100% of" in warning
    assert told(0.0) == []


def test_restless_machine() -> None:
    """A baseline whose times spread by more than a tenth is told, with by how much."""
    restless = [sample(SERIAL, "read", 1, block, seconds=time) for block, time in WILD]
    (warning,) = trust.warnings(make_source(restless))
    assert "restless in 1 of 1 cases" in warning
    assert "typically 20%. Ratios" in warning
    other = [sample(POOL, "read", 1, block, seconds=time) for block, time in WILD]
    assert trust.warnings(make_source(other)) == []
    assert trust.warnings(make_source(restless[1:4])) == []


@pytest.mark.parametrize(("wild", "told"), [(1, False), (2, True)])
def test_restless_for_a_part_of_the_run(wild: int, told: bool) -> None:
    """More than a fifth of the cases is told, though the most of them were quiet."""
    source = make_source(
        *(case(SERIAL, "read", size, *[1.0] * 9) for size in range(1, 6 - wild)),
        *(case(SERIAL, "open", size, *[time for _, time in WILD]) for size in range(1, wild + 1)),
    )
    warnings = trust.warnings(source)
    assert len(warnings) == told
    assert all("restless in 2 of 5 cases" in warning for warning in warnings)


WILD = tuple(enumerate((1.0, 0.9, 1.1, 1.0, 0.9, 1.1, 1.0, 0.9, 1.1), start=1))


def test_drifting_machine() -> None:
    """A baseline that grew slower during its cases is told, though each block is as the one before."""
    growing = [
        sample(SERIAL, "read", size, block, seconds=size * 1.013**block, at=100.0 * size + block)
        for size in (1, 20)
        for block in range(1, 11)
    ]
    (warning,) = trust.warnings(make_source(growing))
    assert "from the first to the last block of a case the baseline's times grew by 12%" in warning
    unknown = [
        sample(SERIAL, "read", 50, block, seconds=50.0, at=at)
        for block, at in enumerate((*range(1, 10), None), start=1)
    ]
    at_once = [sample(SERIAL, "read", 200, block, seconds=200.0, at=9.0) for block in range(1, 11)]
    few = [one for one in growing if one.block < 10]
    assert trust.warnings(make_source(unknown, at_once, growing)) == [warning]
    assert trust.warnings(make_source(unknown, at_once, few)) == []
    shrinking = [dataclasses.replace(one, at=-(one.at or 0)) for one in growing]
    (warning,) = trust.warnings(make_source(shrinking))
    assert "shrank by 11%" in warning


def drifting(rng: np.random.Generator, *, cases: int, blocks: int, share: float) -> Source:
    """A run whose times vary by 12%, and become longer by a share during each case."""
    trend = np.linspace(0, np.log1p(share), blocks)
    return make_source(
        *(
            [
                sample(SERIAL, "read", size, block, seconds=float(seconds), at=100.0 * size + block)
                for block, seconds in enumerate(np.exp(trend + rng.normal(0, 0.12, blocks)), 1)
            ]
            for size in range(1, cases + 1)
        )
    )


@pytest.mark.parametrize(("cases", "blocks"), [(1, 10), (1, 40), (8, 10), (20, 14)])
def test_noise_is_no_drift(cases: int, blocks: int) -> None:
    """Times that vary by 12% without a trend are hardly ever said to drift."""
    rng = np.random.default_rng(1)
    told = sum(
        "drifted" in "".join(trust.warnings(drifting(rng, cases=cases, blocks=blocks, share=0)))
        for _ in range(20)
    )
    assert told == 0


@pytest.mark.parametrize(("cases", "blocks"), [(8, 40), (20, 20)])
def test_drift_is_seen_through_noise(cases: int, blocks: int) -> None:
    """A trend of 20% in each case is told, though single times vary by 12%."""
    rng = np.random.default_rng(1)
    for _ in range(5):
        (drift,) = (
            warning
            for warning in trust.warnings(drifting(rng, cases=cases, blocks=blocks, share=0.2))
            if "drifted" in warning
        )
        assert "grew by" in drift


def test_files_that_were_not_cold() -> None:
    """Pages that stayed in memory in a cold run are told; in a warm run nobody looks."""
    timed = case(SERIAL, "read", 1, 1.0, 1.0, cached=0.0)
    stayed = case(SERIAL, "read", 20, 1.0, 1.0, cached=0.25)
    (warning,) = trust.warnings(make_source(timed, stayed, settings={"cache": "cold"}))
    assert "up to 25% of their pages" in warning
    assert trust.warnings(make_source(timed, settings={"cache": "cold"})) == []
    assert trust.warnings(make_source(timed, stayed, settings={"cache": "warm"})) == []


def test_method_says_how_files_were_read() -> None:
    """The page says warm or cold as the settings do; an older run was warm."""
    cold, warm = (
        make_section(make_source(settings={"cache": cache}), "") for cache in ("cold", "warm")
    )
    old = make_section(make_source(settings={}), "")
    assert "dropped from" in method([cold])[-1]
    assert "through the page cache" in method([warm])[-1]
    assert method([old]) == method([warm])
    assert method([warm, old]) == method([warm])
    other = make_section(make_source(settings={}, name="another", started="later"), "")
    assert method([cold, old, other])[-2:] == [
        f"a run (2024-01-02T03:04:05+00:00): {method([cold])[-1]}",
        f"a run (2024-01-02T03:04:05+00:00), another (later): {method([warm])[-1]}",
    ]


def test_warnings_are_on_the_page(tmp_path: Path) -> None:
    """The answer comes first; warnings are a note below it, in HTML and in Markdown."""
    source = ordinary(notes=("something was left out",))
    page = Page(build([source], tmp_path))
    assert [box["role"] for box in page.all("div") if box.get("class") == "warnings"] == ["note"]
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    for text in (page.text, markdown):
        assert text.index("50% less time") < text.index("something was left out")


def test_verdicts_and_shares_have_lines_of_their_own(tmp_path: Path) -> None:
    """On the page the end of a cell is set apart; no other cell with brackets is cut."""
    text = build([profiled()], tmp_path).read_text(encoding="utf-8")
    assert '2.00× (2.00–2.00)</a> <small class="slower">slower</small></td>' in text
    assert "<td>740 ms <small>(74%)</small></td>" in text
    assert ">50.0 ms (2.5×)</a></td>" in text


SAMPLES = st.lists(
    st.builds(
        sample,
        st.sampled_from([SERIAL, POOL, DASK]),
        st.sampled_from(["read", "pipeline"]),
        st.sampled_from([1, 20, 50]),
        st.integers(0, 6),
        seconds=st.floats(1e-9, 1e5),
        status=st.sampled_from(["ok"] * 12 + ["timeout", "wrong-result"]),
        cause=st.just("cause"),
        calls=st.integers(0, 100),
        first_seconds=st.none() | st.floats(0, 1e5),
        peak_mib=st.none() | st.floats(0, 1e6),
        idle_mib=st.none() | st.floats(0, 1e6),
        at=st.none() | st.floats(0, 1e6),
        cached=st.none() | st.floats(0, 1),
        withheld_seconds=st.none() | st.floats(0, 1e6),
        untimed_seconds=st.none() | st.floats(0, 1e6),
    ),
    max_size=150,
)


@settings(max_examples=40, deadline=None)
@given(
    samples=SAMPLES, paired=st.booleans(), described=st.sampled_from([{}, limits(sizes=[1, 20])])
)
def test_whatever_was_sampled_makes_tables(
    samples: list[Sample], paired: bool, described: dict[str, Any]
) -> None:
    """No mixture of samples, gaps and failures stops a report or shows a number that is none."""
    source = make_source(samples, paired=paired, settings=described)
    summary = tables.summarize(source)
    cells = [cell for table in tables_of(source) for row in table.rows for cell in row]
    sentences = [*answer(source, summary).sentences, *trust.warnings(source)]
    assert not [text for text in (*cells, *sentences) if "nan" in text or "inf" in text]
    assert (summary["verdict"].isin(["faster", "slower"]) <= summary["ratio_low"].notna()).all()


# Files.


def test_files_of_a_report(tmp_path: Path) -> None:
    """A report is a page, its Markdown twin, tables as CSV and figures in two formats."""
    index = build([ordinary()], tmp_path)
    assert index == tmp_path / "index.html"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("figures", "index.html", "report.md", "tables"),
    ]
    drawn = ("read", "pipeline", "read-ratios", "pipeline-ratios", "memory")
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        f"{name}.{kind}" for name in drawn for kind in ("svg", "png")
    }
    assert {path.stem for path in (tmp_path / "tables").iterdir()} == {
        *table_names(ordinary()),
        *("samples", "summary"),
    }
    assert {"read-times", "pipeline-ratios", "environment", "cases"} <= set(table_names(ordinary()))
    assert (tmp_path / "figures" / "read.png").read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "tables" / "summary.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["seconds_median"]) for row in rows] == [0.01, 0.03, 1.0, 0.6]
    assert [row["verdict"] for row in rows] == ["", "slower", "", "faster"]
    page = Page(index)
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    for text in ("0.50× (0.50–0.60)", "faster", "600 ms", "Abacus 3000", "50% less time"):
        assert text in page.text
        assert text in markdown


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_same_input_gives_the_same_files(tmp_path: Path) -> None:
    """A report made twice of the same results has the same bytes."""
    for name in ("first", "second"):
        build([ordinary(), wrong_once()], tmp_path / name)
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_page_makes_no_request(tmp_path: Path) -> None:
    """A browser that shows the page loads nothing: scripts, styles and pictures are in the page."""
    page = Page(build([ordinary(), wrong_once()], tmp_path))
    assert page.all("img")
    assert not {tag for tag, _ in page.tags} & {"link", "iframe", "object", "base"}
    assert not [script for script in page.all("script") if "src" in script]
    anchors = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    for _, attributes in page.tags:
        assert attributes.get("src", "data:").startswith("data:")
        target = attributes.get("href", "#method")
        if target != METHOD_LINK:
            assert target[0] == "#"
            assert target[1:] in anchors
        assert not {"srcset", "action", "poster", "background", "style"} & attributes.keys()
        assert not [name for name in attributes if name.startswith("on")]
    assert not re.search(r"url\(|@import", page.style)
    (policy,) = (meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none';")


def test_ids_are_unique(tmp_path: Path) -> None:
    """No two elements of a page with several sources share an id."""
    page = Page(build([ordinary(), ordinary()], tmp_path))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def nasty() -> Source:
    """A source with markup wherever it has text."""
    odd = NASTY.replace("/", "-")
    return make_source(
        case(SERIAL, "read", 1, 1.0, 1.0),
        case(f"{odd}/{odd}/{odd}", "read", 1, 0.5, 0.5),
        [sample(DASK, "read", 1, status="error", cause=f"{NASTY}\n\n# not a heading")],
        name=NASTY,
        kind=NASTY,
        started=NASTY,
        machine={"cpu": NASTY, NASTY: NASTY},
        notes=(NASTY,),
        profiles=(
            profile(SERIAL),
            profile(f"{odd}/{odd}/{odd}"),
            profile(DASK, status=NASTY, cause=NASTY),
        ),
        dataset={"name": NASTY, "shape": [NASTY], "dtype": NASTY},
    )


def test_page_shows_names_as_text(tmp_path: Path) -> None:
    """Markup in names, causes and values is shown, not obeyed."""
    index = build([nasty()], tmp_path)
    page = Page(index)
    assert NASTY not in "".join(page.scripts)
    assert page.text.count(NASTY) >= 6
    assert NASTY.replace("/", "-") in page.all("img")[0]["alt"]
    assert "<script>alert" not in index.read_text(encoding="utf-8")


def test_data_for_scripts_end_no_element(tmp_path: Path) -> None:
    """What the page's scripts read is JSON with every name in it, and holds nothing of HTML."""
    odd = "<\\script><!--<script>\u2028&"
    source = make_source(case(f"{odd}/a/b", "read", 1, 1.0, 1.0), name=f"</script>{odd}")
    page = Page(build([source], tmp_path))
    (script,) = (script for script in page.scripts if script.lstrip().startswith("{"))
    assert not re.search(r"[<>&\u2028]", script)
    (result,) = json.loads(script)["results"]
    assert odd in result["name"]
    assert [row["backend"] for row in result["rows"]] == [f"{odd}/a/b"]


def test_scripts_build_no_html() -> None:
    """The page's own scripts make text of what they show, never HTML, and evaluate nothing."""
    for script in TEMPLATES.glob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|Function\(|\.on\w+ =",
            script.read_text(encoding="utf-8"),
        )


READERS = [
    *(SOURCE / "report").glob("*.py"),
    *(SOURCE / name for name in ("results.py", "records.py", "outcomes.py")),
]


@pytest.mark.parametrize("path", READERS, ids=lambda path: path.name)
def test_results_are_data(path: Path) -> None:
    """No module that reads or shows results unpickles, evaluates or runs anything."""
    forbidden = {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle", "subprocess"}
    calls = {"eval", "exec", "compile", "__import__", "read_pickle", "allow_pickle", "system"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module if isinstance(node, ast.ImportFrom) else ""
            names = {alias.name.partition(".")[0] for alias in node.names}
            assert not forbidden & {*names, (module or "").partition(".")[0]}
        if isinstance(node, ast.Call):
            called = node.func
            name = called.id if isinstance(called, ast.Name) else ""
            if isinstance(called, ast.Attribute) and ast.unparse(called.value) != "re":
                name = called.attr
            assert name not in calls
            assert not calls & {keyword.arg for keyword in node.keywords}


def test_names_that_are_no_utf_8(tmp_path: Path) -> None:
    """Bytes of file names that are no text are written out in every file of the report."""
    odd = "cell-\udcff-\ud800"
    source = make_source(
        case(SERIAL, "pipeline", 1, *[1.0] * 5),
        case(f"{odd}/a/b", "pipeline", 1, *[0.5] * 5),
        [sample(DASK, "read", 1, status="error", cause=odd)],
        name=odd,
        settings={"command": odd},
        dataset={"name": odd},
        profiles=(profile(SERIAL), profile(f"{odd}/a/b")),
    )
    shown = r"cell-\udcff-\ud800"
    page = Page(build([source], tmp_path))
    assert page.text.count(shown) >= 4
    assert shown in (tmp_path / "tables" / "left-out.csv").read_text(encoding="utf-8")
    assert "cell-" in (tmp_path / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["# big", "- item", "+ item", "> quote", "=1+1 #"])
def test_markdown_of_names_that_begin_a_block(tmp_path: Path, name: str) -> None:
    """What makes a heading, a list or a quote at the start of a line is escaped there."""
    build([make_source(case(SERIAL, "read", 1, 1.0), name=name, notes=("odd",))], tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    starts = re.findall(r"^(?:## |> )(.*)$", text, flags=re.MULTILINE)
    assert not [line for line in starts if re.match(r"[#>+-]", line)]
    assert not [line for line in starts if re.search(r"(?<!\\)#$", line)]


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_csv_holds_no_formulas(tmp_path: Path, start: str) -> None:
    """Text that a spreadsheet would compute has an apostrophe before it; numbers have none."""
    cause = f"{start}SUM(A1:A9)"
    rows = [sample(SERIAL, "read", 1, status="error", cause=cause)]
    tables_of = tmp_path / "tables"
    build([make_source(rows, case(POOL, "read", 1, 1.0, peak_mib=-1.0))], tmp_path)
    for name in ("left-out", "summary"):
        text = (tables_of / f"{name}.csv").read_text(encoding="utf-8")
        assert f",'{cause}\n" in text
    assert ",-1.0," in (tables_of / "summary.csv").read_text(encoding="utf-8")


def test_truth_lacks_a_figure() -> None:
    """What a file does not say of the true cells is a dash."""
    truth = {"images": 3, "rand_error": 0.1234, "found_objects": 9}
    source = ordinary(dataset={"truth": truth})
    assert table_of(source, "truth").rows == (("3", "0.123", "–", "–", "–", "9"),)


def test_markdown_shows_names_as_text(tmp_path: Path) -> None:
    """Markup in names, causes and values does not break the tables or become HTML."""
    build([nasty()], tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "<script>" not in text
    assert "\n# not a heading" not in text
    assert text.count("\n# ") == 0
    assert text.count("\n> ") == 1
    shown = text.replace(f"`{SERIAL}`", "")
    assert not re.search(
        r"(?<!\\)[`*\[](?!Time of|Parts of|how segbench)",
        shown.replace("![", "[").replace("](", "("),
    )
    bars = re.compile(r"(?<!\\)\|")
    shown_tables = [one for one in make_section(nasty(), "").tables if one.name != "cases"]
    for table in shown_tables:
        lines = text.partition(f"### {table.title}\n")[2].strip().partition("\n\n")[0].splitlines()
        assert len(lines) == 2 + len(table.rows)
        assert {len(bars.findall(line)) for line in lines} == {len(table.columns) + 1}


def test_markdown_tables_are_tables(tmp_path: Path) -> None:
    """A Markdown table has its heading, the line under it and its rows without a gap."""
    build([ordinary()], tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert f"| Backend | 1 image |\n| --- | --- |\n| {SERIAL} | 10.0 ms |\n| {POOL} |" in text
    assert "](figures/read.svg)" in text


def test_alternative_texts_hold_data(tmp_path: Path) -> None:
    """The text of a figure says what it shows: phase, backends, times and sizes."""
    page = Page(build([ordinary()], tmp_path))
    read, ratios, pipeline = (image["alt"] for image in page.all("img")[:3])
    assert f"{SERIAL} 10.0 ms for 1 image; {POOL} 30.0 ms for 1 image" in read
    assert f"for 1 image: {POOL} 2.00× (2.00–3.00) slower" in ratios
    assert f"{SERIAL} 1.00 s for 20 images; {POOL} 600 ms for 20 images" in pipeline
    assert "Time of pipeline" in pipeline


def test_rows_of_one_heading_share_its_cell(tmp_path: Path) -> None:
    """The presentation's name spans its own figures and this run's."""
    page = Page(build([ordinary()], tmp_path))
    spans = [cell["rowspan"] for cell in page.all("th") if "rowspan" in cell]
    assert spans[0] == "4"


def test_several_sources_have_files_of_their_own(tmp_path: Path) -> None:
    """With several sources every file of one has its number, and the page shows both."""
    build([ordinary(name="first run"), wrong_once()], tmp_path)
    names = {
        path.name for folder in ("tables", "figures") for path in (tmp_path / folder).iterdir()
    }
    assert {"1-summary.csv", "2-summary.csv", "1-read.svg", "2-read.png"} <= names
    assert all(name.startswith(("1-", "2-")) for name in names)
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "](figures/1-read.svg)" in markdown
    assert "](figures/2-read.svg)" in markdown
    text = Page(tmp_path / "index.html").text
    assert "first run" in text
    assert "a run" in text


UNFINISHED = {
    "before the first sample": make_source(),
    "in the first block": make_source(case(SERIAL, "open", 1, 1.0), case(POOL, "open", 1, 1.0)),
    "before the baseline": make_source(case(POOL, "read", 1, 1.0)),
    "between the blocks": make_source(
        case(SERIAL, "read", 1, 1.0), case(POOL, "read", 1, 1.0, 2.0), case(DASK, "open", 20, 0.1)
    ),
    "nothing but failures": make_source(
        [sample(SERIAL, "read", 1, status="error", cause="no such codec")],
        [sample(POOL, "read", 1, status="memory", cause="too large")],
    ),
    "baseline failed": make_source(
        [*case(SERIAL, "read", 1, 1.0), sample(SERIAL, "read", 1, 2, status="crashed", cause="x")],
        case(POOL, "read", 1, 1.0, 1.0),
    ),
    "no blocks in common": make_source(
        case(SERIAL, "read", 1, 1.0), case(POOL, "read", 1, 1.0, 2.0)[1:]
    ),
    "nothing described": ordinary(machine={}, versions={}, settings={}, dataset={}),
    "dataset of unknown size": ordinary(settings={"sizes_left_out": [50]}, dataset={}),
    "unpaired": ordinary(paired=False),
    "a single size": make_source(case(SERIAL, "read", 1, 0.1521), case(POOL, "read", 1, 0.1522)),
    "a phase of later versions": make_source(
        case(SERIAL, "write", 1, 1.0), case(SERIAL, "read", 1, 1.0)
    ),
    "nothing but failed profiles": ordinary(profiles=(profile(POOL, status="crashed"),)),
    "an empty profile": ordinary(profiles=(profile(POOL, parts={}, calls={}),)),
    "settings of another kind": ordinary(
        machine={"load_at_start": "high", "cpus_available": []},
        settings={"precision": "0.03", "blocks": 5, "case_seconds": 15, "phases": [1, "read"]},
    ),
    "settings in part": ordinary(
        machine={"load_at_start": 1e9},
        settings={"precision": 0.03, "blocks": [], "sizes": 20, "phases": ["read"]},
    ),
    "sizes of another kind": ordinary(settings=limits(sizes=["1", [2], 20], phases=[[], "read"])),
    "backends of no kind": ordinary(
        settings={"backends": None, "sizes_left_out": 5, "cache": []},
        dataset={"shape": 7, "images": None, "truth": [1]},
    ),
    "backends of another kind": ordinary(
        settings={"backends": [[SERIAL], {}], "sizes_left_out": [[5], 50]},
        dataset={"images": "many", "truth": {"images": [1], "rand_error": "small"}},
    ),
    "numbers of any length": make_source(
        case(SERIAL, "read", 1, *[1.0] * 14),
        case(POOL, "read", 1, *[1.0] * 14),
        machine={"load_at_start": 10**400, "cpus": 10**400, "cpus_available": 2},
        settings=limits(precision=-1.0),
    ),
    "nothing but moments": make_source(
        [sample(SERIAL, "read", 1, 1, seconds=1.0, at=0.0, withheld_seconds=1.0)]
    ),
    "stopped before the second size": ordinary(settings=limits(sizes=[1, 20])),
}


@pytest.mark.parametrize("name", UNFINISHED)
def test_report_of_an_unfinished_run(tmp_path: Path, name: str) -> None:
    """Whatever there is makes a report: a run that stopped early, failed, or says little of itself."""
    source = UNFINISHED[name]
    text = Page(build([source], tmp_path)).text
    for cause in source.samples["cause"]:
        assert cause in text
    assert "nan" not in text.lower()
    assert "None" not in text


def test_small_range_of_times_has_labels() -> None:
    """However near the times are to each other, the axis has labels, no two of them the same."""
    drawing = make_section(UNFINISHED["a single size"], "").drawings[0]
    labels = re.findall(rb">[\d.]+ m?s<", drawing.svg)
    assert len(labels) >= 2
    assert len(set(labels)) == len(labels)


def test_a_report_removes_what_an_earlier_one_left(tmp_path: Path) -> None:
    """Tables and figures of an earlier report that this one has not are gone; other files stay."""
    build([ordinary(), ordinary()], tmp_path)
    (tmp_path / "tables" / "notes.txt").write_text("mine")
    build([ordinary()], tmp_path)
    left = {path.name for path in (tmp_path / "tables").iterdir()}
    assert "notes.txt" in left
    assert not [name for name in left if name.startswith(("1-", "2-"))]
