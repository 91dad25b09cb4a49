"""Tables, figures, HTML and Markdown from made-up samples."""

from __future__ import annotations

import csv
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segbench.report import tables
from segbench.report.page import build, findings, make_section
from segbench.results import Source, tidy
from segbench.runfile import Sample

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SERIAL = "skimage/skimage/serial"
POOL = "skimage/skimage/thread-pool"
DASK = "dask-image/dask-image/threads"
PIMS = "dask-array-pims/dask-blocks/threads"
IMREAD = "dask-array-skimage/dask-blocks/threads"

NASTY = (
    "<script>alert(1)</script> | `code` *bold* $x^$ [link](https://example.org) & \"quoted\" 'too'"
)


def sample(backend: str, phase: str, n_images: int, block: int = 0, **other: Any) -> Sample:
    """One sample; without seconds in `other` it has to have a status."""
    reader, processor, scheduler = backend.split("/")
    return Sample(
        phase=phase,
        reader=reader,
        processor=processor,
        scheduler=scheduler,
        n_images=n_images,
        block=block,
        **{"status": "ok", "calls": 1, **other},
    )


def case(backend: str, phase: str, n_images: int, *seconds: float, **other: Any) -> list[Sample]:
    """The samples of a case, one a block."""
    return [
        sample(backend, phase, n_images, block, seconds=value, **other)
        for block, value in enumerate(seconds, start=1)
    ]


def make_source(*cases: Sequence[Sample], **other: Any) -> Source:
    """A source with what a run's has, unless told otherwise."""
    described: dict[str, Any] = {
        "name": "a run",
        "kind": "segbench",
        "paired": True,
        "started": "2024-01-02T03:04:05+00:00",
        "machine": {"cpu": "Abacus 3000", "cpus_available": 2},
        "versions": {"dask": "2024.8.0"},
        "settings": {"blocks": 3, "sizes_left_out": []},
        "dataset": {"name": "smear", "images": 50, "shape": [8, 9, 3], "dtype": "uint8"},
    }
    return Source(**{**described, **other}, samples=tidy([one for many in cases for one in many]))


def ordinary(**other: Any) -> Source:
    """Two backends and two sizes; the machine is three times as slow in every other block."""
    return make_source(
        case(SERIAL, "read", 1, 0.01, 0.03, 0.01, 0.03, 0.01),
        case(POOL, "read", 1, 0.02, 0.06, 0.03, 0.06, 0.02),
        case(SERIAL, "pipeline", 20, 1.0, 3.0, 1.0, 3.0, 1.0, objects=5, peak_mib=100.0),
        case(POOL, "pipeline", 20, 0.5, 1.5, 0.6, 1.5, 0.5, objects=5, peak_mib=120.0),
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


def table_of(source: Source, name: str) -> tables.Table:
    """A table of the report of a source."""
    (found,) = (one for one in make_section(source, "").shown_tables() if one.name == name)
    return found


class Page(HTMLParser):
    """What a browser would see of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.style = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag and its attributes."""
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        """Keep text, that of style sheets by itself."""
        if self.tags and self.tags[-1][0] == "style":
            self.style += data
        else:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        """Attributes of all elements of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]


# Summary.


def test_ratios_are_formed_within_blocks() -> None:
    """A slow block does not move a ratio, though it moves the times."""
    row = row_of(ordinary(), POOL, "pipeline", 20)
    assert row["ratio_median"] == 0.5
    assert (row["ratio_low"], row["ratio_high"]) == (0.5, 0.6)
    assert (row["seconds_low"], row["seconds_median"], row["seconds_high"]) == (0.5, 0.6, 1.5)
    assert (row["samples"], row["objects"], row["peak_mib"]) == (5, 5, 120.0)


def test_blocks_are_matched_by_number() -> None:
    """Of blocks that only one of the two has, and of their order in the file, nothing depends."""
    times = case(POOL, "read", 1, 0.2, 0.6, 9.0)
    source = make_source(case(SERIAL, "read", 1, 0.1, 0.3), times[::-1])
    row = row_of(source, POOL, "read", 1)
    assert row["ratio_low"] == row["ratio_high"] == row["ratio_median"] == 2.0


def test_unpaired_samples_have_no_spread_of_ratios() -> None:
    """Where samples were not taken side by side, the ratio is that of the medians, and no finding."""
    source = ordinary(paired=False)
    row = row_of(source, POOL, "read", 1)
    assert row["ratio_median"] == pytest.approx(0.03 / 0.01)
    assert row["ratio_low"] != row["ratio_low"]  # NaN
    assert findings(source, tables.summarize(source)) == []
    assert table_of(source, "read-ratios").rows == ((SERIAL, "1.00×"), (POOL, "3.00×"))
    assert "no spread" in table_of(source, "read-ratios").note


def wrong_once() -> Source:
    """A backend that is fast, and wrong at the larger size only."""
    return make_source(
        case(SERIAL, "read", 1, 1.0, 1.0),
        case(DASK, "read", 1, 0.001, 0.001),
        case(POOL, "read", 1, 0.5, 0.5),
        case(SERIAL, "pipeline", 1, 1.0, 1.0),
        case(DASK, "pipeline", 1, 0.001, 0.001),
        case(SERIAL, "pipeline", 20, 1.0, 1.0),
        [sample(DASK, "pipeline", 20, status="wrong-result", cause="pipeline: 3 cells too many")],
    )


def test_wrong_anywhere_is_wrong_everywhere(tmp_path: Path) -> None:
    """A backend that was wrong once has no time in any table, figure or finding."""
    source = wrong_once()
    section = make_section(source, "")
    own = section.summary[section.summary["backend"] == DASK]
    assert list(own["status"]) == ["wrong-result"] * 3
    assert own[["seconds_median", "ratio_median"]].isna().all(axis=None)
    for table in section.phases:
        (cells,) = (row[1:] for row in table.rows if row[0] == DASK)
        assert set(cells) == {"wrong-result"}
    assert not any(DASK in sentence for sentence in section.findings)
    assert not any(DASK in drawing.alt for drawing in section.drawings)
    assert section.presentation
    assert not any(row[0] == "Dask imread" for row in section.presentation.rows)
    build([source], tmp_path)
    assert "3 cells too many" in Page(tmp_path / "index.html").text


def test_nothing_is_compared_with_a_wrong_baseline() -> None:
    """If the baseline itself was wrong somewhere, there are times, but no ratios and no findings."""
    source = make_source(
        case(SERIAL, "read", 1, 1.0, 1.0),
        case(POOL, "read", 1, 0.5, 0.5),
        [sample(SERIAL, "read", 20, status="wrong-result", cause="other pixels")],
    )
    row = row_of(source, POOL, "read", 1)
    assert (row["status"], row["seconds_median"]) == ("ok", 0.5)
    assert row["ratio_median"] != row["ratio_median"]  # NaN
    assert table_of(source, "read-ratios").rows[1] == (POOL, "–", "–")
    assert findings(source, tables.summarize(source)) == []


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


# Findings.


def test_finding_names_the_fastest() -> None:
    """A backend that was faster in every block is named with its ratio and its reach."""
    source = ordinary()
    sentences = findings(source, tables.summarize(source))
    assert len(sentences) == 2
    assert sentences[0] == (
        f"pipeline, 20 images: {POOL} took 0.50 times the baseline's time "
        "(0.50 to 0.60 in the single blocks)."
    )
    assert sentences[1] == f"read, 1 image: nothing was faster than {SERIAL} in every block."


def test_finding_needs_every_block() -> None:
    """A backend that was slower in one block of many is not called faster."""
    source = make_source(
        case(SERIAL, "read", 1, *[1.0] * 9),
        case(POOL, "read", 1, *[0.1] * 8, 1.01),
    )
    (sentence,) = findings(source, tables.summarize(source))
    assert "nothing was faster" in sentence


def test_finding_names_what_is_as_fast() -> None:
    """A backend that was as fast as the best in some block is not told apart from it."""
    source = make_source(
        case(SERIAL, "read", 1, 1.0, 1.0, 1.0, 1.0, 1.0),
        case(POOL, "read", 1, 0.5, 0.4, 0.6, 0.5, 0.5),
        case(DASK, "read", 1, 0.6, 0.59, 1.1, 0.4, 0.6),
        case(PIMS, "read", 1, 0.55, 0.45, 0.65, 0.55, 0.55),
    )
    (sentence,) = findings(source, tables.summarize(source))
    assert sentence.endswith(f"not told apart from it: {DASK}.")


def test_few_blocks_find_nothing() -> None:
    """Four blocks that all say the same are no finding: chance does that too often."""
    source = make_source(case(SERIAL, "read", 1, *[1.0] * 4), case(POOL, "read", 1, *[0.5] * 4))
    assert findings(source, tables.summarize(source)) == []


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
        (DASK, "read, pipeline", "20, 50 images", "timeout", "read of 20 images: over 60 s"),
        ("all", "all", "200, 500 images", "left out", "the dataset holds 50 images"),
    )
    assert "timeout: a call took longer" in table.note
    assert "unavailable: something it needs" in table.note


def test_nothing_left_out() -> None:
    """A run without gaps has no table of them."""
    assert make_section(ordinary(), "").left_out is None


READERS = {"Dask imread": DASK, "Skimage imread": SERIAL}
READERS |= {"Dask.array.image (imread = pimread)": PIMS}
READERS |= {"Dask.array.image (imread=skimage.imread)": IMREAD}


def test_presentation_table() -> None:
    """The presentation's rows, columns and figures are as they were, this run's open and read under them."""
    source = make_source(
        *(
            case(backend, phase, size, seconds)
            for backend in READERS.values()
            for phase, seconds in (("open", 0.0012345), ("read", 0.25))
            for size in (1, 20, 500)
        )
    )
    table = table_of(source, "presentation-read")
    assert table.columns[2:] == ("1 image", "20 images", "50 images", "200 images", "500 images")
    shown = {
        "Dask imread": "32.516 146.798 175.199 139.793 158.926",
        "Dask.array.image (imread = pimread)": "38.889 118.978 122.171 122.517 130.457",
        "Dask.array.image (imread=skimage.imread)": "30.997 143.175 124.876 123.422 123.790",
        "Skimage imread": "0.255 2.546 1.583 2.077 4.897",
    }
    rows: list[tuple[str, ...]] = []
    for name, figures in shown.items():
        opened, read = "1.234 ms", "250.000 ms"
        rows.append((name, "presentation", *(f"{figure} ms" for figure in figures.split())))
        rows.append((name, "this run, open", opened, opened, "–", "–", opened))
        rows.append((name, "this run, read", read, read, "–", "–", read))
    assert table.rows == tuple(rows)


def test_presentation_row_is_measured_with_its_reader() -> None:
    """Each row has the times of the reader that the presentation used for it."""
    seconds = {name: number / 8 for number, name in enumerate(READERS, start=1)}
    source = make_source(*(case(READERS[name], "read", 1, seconds[name]) for name in READERS))
    rows = table_of(source, "presentation-read").rows
    found = {row[0]: row[2] for row in rows if row[1] == "this run, read"}
    assert found == {name: f"{seconds[name] * 1e3:.3f} ms" for name in READERS}


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
        (0, "0.00 ns"),
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
    assert tables.format_seconds(seconds) == text


@settings(max_examples=100, deadline=None)
@given(exponent=st.floats(-8, 5))
def test_formatted_seconds_can_be_read_back(exponent: float) -> None:
    """What is shown has three digits at least and is within 0.5% of the time."""
    seconds = 10**exponent
    number, unit = tables.format_seconds(seconds).split(" ")
    shown = float(number) * {"s": 1, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}[unit]
    assert shown == pytest.approx(seconds, rel=0.005)
    assert len(re.findall(r"\d", number)) >= 3
    assert re.fullmatch(r"\d+(\.\d+)?", number)


# Files.


def test_files_of_a_report(tmp_path: Path) -> None:
    """A report is a page, its Markdown twin, tables as CSV and figures in two formats."""
    index = build([ordinary()], tmp_path)
    assert index == tmp_path / "index.html"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("figures", "index.html", "report.md", "tables"),
    ]
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        *("read.svg", "read.png", "pipeline.svg", "pipeline.png"),
    }
    assert {path.name for path in (tmp_path / "tables").iterdir()} == {
        *("environment.csv", "presentation-read.csv", "summary.csv"),
        *("read-times.csv", "read-ratios.csv", "pipeline-times.csv", "pipeline-ratios.csv"),
        "pipeline-memory.csv",
    }
    assert (tmp_path / "figures" / "read.png").read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "tables" / "summary.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["seconds_median"]) for row in rows] == [0.01, 0.03, 1.0, 0.6]
    page = Page(index)
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    for text in ("0.50×", "600 ms", "Abacus 3000", "took 0.50 times"):
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
    """A browser that shows the page loads nothing: no script, and every address is in the page."""
    page = Page(build([ordinary(), wrong_once()], tmp_path))
    assert page.all("img")
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "base"}
    anchors = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    for _, attributes in page.tags:
        assert attributes.get("src", "data:").startswith("data:")
        target = attributes.get("href", "#method")
        assert target[0] == "#"
        assert target[1:] in anchors
        assert not {"srcset", "action", "poster", "background", "style"} & attributes.keys()
        assert not [name for name in attributes if name.startswith("on")]
    assert not re.search(r"url\(|@import", page.style)
    plain = re.sub(r'"data:[^"]*"', "", (tmp_path / "index.html").read_text(encoding="utf-8"))
    assert not re.search(r"https?:|//", plain)


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
        dataset={"name": NASTY, "shape": [NASTY], "dtype": NASTY},
    )


def test_page_shows_names_as_text(tmp_path: Path) -> None:
    """Markup in names, causes and values is shown, not obeyed."""
    page = Page(build([nasty()], tmp_path))
    assert not page.all("script")
    assert page.text.count(NASTY) >= 6
    assert NASTY.replace("/", "-") in page.all("img")[0]["alt"]


def test_markdown_shows_names_as_text(tmp_path: Path) -> None:
    """Markup in names, causes and values does not break the tables or become HTML."""
    build([nasty()], tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "<script>" not in text
    assert "\n# not a heading" not in text
    assert text.count("\n# ") == 0
    shown = text.replace(f"`{SERIAL}`", "")
    assert not re.search(r"(?<!\\)[`*\[](?!Time of)", shown.replace("![", "[").replace("](", "("))
    bars = re.compile(r"(?<!\\)\|")
    for table in make_section(nasty(), "").shown_tables():
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
    read, pipeline = (image["alt"] for image in page.all("img"))
    assert f"{SERIAL} 10.0 ms for 1 image; {POOL} 30.0 ms for 1 image" in read
    assert f"{SERIAL} 1.00 s for 20 images; {POOL} 600 ms for 20 images" in pipeline
    assert "Time of pipeline" in pipeline


def test_rows_of_one_heading_share_its_cell(tmp_path: Path) -> None:
    """The presentation's name spans its own figures and this run's."""
    page = Page(build([ordinary()], tmp_path))
    spans = [cell["rowspan"] for cell in page.all("th") if "rowspan" in cell]
    assert spans[0] == "3"


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
}


@pytest.mark.parametrize("name", UNFINISHED)
def test_report_of_an_unfinished_run(tmp_path: Path, name: str) -> None:
    """Whatever there is makes a report: a run that stopped early, failed, or says little of itself."""
    source = UNFINISHED[name]
    text = Page(build([source], tmp_path)).text
    for cause in source.samples["cause"]:
        assert cause in text
    assert "nan" not in text.lower()


def test_small_range_of_times_has_labels() -> None:
    """However near the times are to each other, the axis has labels, no two of them the same."""
    drawing = make_section(UNFINISHED["a single size"], "").drawings[0]
    labels = re.findall(rb"<!-- [\d.]+ m?s -->", drawing.svg)
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
