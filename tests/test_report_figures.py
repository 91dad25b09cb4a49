"""Figures: what they show in words, how backends look, and the files they become."""

from __future__ import annotations

import dataclasses
import io
import os
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from segbench.errors import InputError
from segbench.measure import picture
from segbench.measure.cases import BACKENDS, PHASES, SIZES
from segbench.report import costs
from segbench.report.across import history_figure, speedup_figure
from segbench.report.figures import (
    PART_STYLES,
    memory_figure,
    parts_figure,
    ratio_figures,
    time_figures,
)
from segbench.report.page import make_section, styles_of
from segbench.report.sample import found_picture
from segbench.report.styles import styles
from segbench.report.summary import summarize
from segbench.results.records import PARTS
from segbench.results.sources import read_run_folder, read_sources
from tests.made_up import (
    DASK,
    PIMS,
    POOL,
    SERIAL,
    case,
    make_source,
    ordinary,
    profile,
    three_sizes,
)
from tests.test_results import asv_content, asv_row, write_asv

ROOT = Path(__file__).parents[1]

# The scripts are no part of the package, and their names are there for the type checker too.
sys.path.insert(0, str(ROOT / "docs"))
import figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segbench.report.canvas import Drawing
    from segbench.results.sources import Source


def times_of(source: Source) -> list[Drawing]:
    """The figures of the times of a source."""
    summary = summarize(source)
    return time_figures(summary, costs.lines(source, summary), styles_of([source]))


def ratios_of(source: Source) -> list[Drawing]:
    """The figures of the ratios of a source."""
    return ratio_figures(summarize(source), styles_of([source]))


def colours(svg: bytes) -> set[str]:
    """All colours in a picture."""
    return {found.decode().upper() for found in re.findall(rb"#[0-9a-fA-F]{6}", svg)}


# Looks.


def test_usual_backends_look_the_same_on_every_page() -> None:
    """A backend of the default run has its look whatever else is on the page, and in what order."""
    alone = {name: styles([name])[name] for name in map(str, BACKENDS)}
    together = styles(["a/b/c", *reversed(list(alone)), "d/e/f"])
    assert {name: together[name] for name in alone} == alone
    assert list(together) == ["a/b/c", *reversed(list(alone)), "d/e/f"]


def test_other_backends_look_the_same_in_any_order() -> None:
    """Two orders of the same backends give the same looks."""
    assert styles(["x/x/x", "a/a/a"]) == styles(["a/a/a", "x/x/x"])


def test_many_backends_look_different() -> None:
    """Of as many backends as anybody would compare no two look the same."""
    looks = styles(f"a/b/{number}" for number in range(58)).values()
    assert len({(look.colour, look.marker) for look in looks}) == 58


def test_markers_tell_backends_apart_in_gray() -> None:
    """The backends of the default run have markers and lines that need no colour."""
    looks = styles(map(str, BACKENDS)).values()
    assert len({look.marker for look in looks}) == len(BACKENDS)
    assert len({look.symbol for look in looks}) == len(BACKENDS)


def test_a_backend_has_one_colour_in_all_figures() -> None:
    """What a backend looks like does not depend on which others a phase has."""
    source = make_source(
        case(SERIAL, "read", 1, *[1.0] * 5),
        case(DASK, "read", 1, *[0.5] * 5),
        case(DASK, "pipeline", 1, *[0.5] * 5, objects=1, peak_mib=90.0),
    )
    section = make_section(source, "")
    look = styles([DASK])[DASK]
    drawn = [drawing for drawing in section.drawings if DASK in drawing.alt]
    assert {drawing.name for drawing in drawn} == {"read", "read-ratios", "pipeline", "memory"}
    assert all(look.colour in colours(drawing.svg) for drawing in drawn)


def test_every_part_has_a_style_of_its_own() -> None:
    """In the order in which parts are measured, colour and hatch tell all of them apart."""
    assert tuple(PART_STYLES) == PARTS
    assert len(set(PART_STYLES.values())) == len(PARTS)
    assert len({colour for colour, _ in PART_STYLES.values()}) == len(PARTS)


# What they say.


def test_time_figure_names_crossings() -> None:
    """The text of a figure has each backend's time at the largest size, and where lines cross."""
    (drawing,) = times_of(three_sizes())
    assert drawing.table == "read-times"
    assert f"{SERIAL} 101 s for 100 images" in drawing.alt
    assert re.search(rf"{POOL} 54\.0 s for 100 images, faster from 6\.0 images", drawing.alt)
    assert "Rings" in drawing.caption
    assert "fitted" in drawing.caption


def test_time_figure_without_lines() -> None:
    """Where no line is fitted, nothing is said of one."""
    (read, pipeline) = times_of(ordinary())
    assert f"{SERIAL} 10.0 ms for 1 image; {POOL} 30.0 ms for 1 image" in read.alt
    assert "Time of pipeline" in pipeline.alt
    assert "Rings" not in read.caption
    assert "fitted" not in read.caption


def test_ratio_figure_says_what_was_shown() -> None:
    """Ratio, interval and verdict of each backend but the baseline are in the text."""
    drawing = ratios_of(ordinary())[1]
    assert (drawing.name, drawing.table) == ("pipeline-ratios", "pipeline-ratios")
    assert f"for 20 images: {POOL} 0.50× (0.50–0.60) faster." in drawing.alt
    assert "95% intervals" in drawing.caption


def test_ratio_figure_without_intervals() -> None:
    """Samples that are not paired have ratios, and the caption says that nothing more is known."""
    drawing = ratios_of(ordinary(paired=False))[0]
    assert f"{POOL} 3.00×." in drawing.alt
    assert "allow no intervals" in drawing.caption


def test_no_ratio_figure_without_ratios() -> None:
    """The baseline alone makes none."""
    assert ratios_of(make_source(case(SERIAL, "read", 1, 1.0, 1.0))) == []


@pytest.mark.parametrize(("idle", "shown"), [(100.0, "20 MiB"), (None, "120 MiB")])
def test_memory_figure(idle: float | None, shown: str) -> None:
    """Memory is that above an idle worker where it is known, the whole otherwise."""
    source = make_source(
        case(SERIAL, "pipeline", 1, 1.0, peak_mib=101.0, idle_mib=idle),
        case(SERIAL, "pipeline", 20, 1.0, peak_mib=120.0, idle_mib=idle),
    )
    drawing = memory_figure(summarize(source), styles_of([source]))
    assert drawing is not None
    assert f"{SERIAL} {shown} for 20 images" in drawing.alt
    assert memory_figure(summarize(three_sizes()), styles([SERIAL])) is None


def test_parts_figure() -> None:
    """The text says how long a call took and which parts took most of it."""
    drawing = parts_figure({SERIAL: profile(SERIAL), POOL: profile(POOL, status="error")})
    assert drawing is not None
    assert f"{SERIAL} 1.00 s for 2 images (blur 30%, threshold 25%" in drawing.alt
    assert POOL not in drawing.alt
    assert parts_figure({POOL: profile(POOL, status="error")}) is None


# Across runs.


def with_workers(workers: int, seconds: float, **other: Any) -> Source:
    """A run in which the pool's pipeline takes so many seconds, the baseline's one."""
    settings = {"workers": workers, "params": {"offset": 0.0}, "command": f"run {workers}"}
    return make_source(
        case(SERIAL, "pipeline", 20, *[1.0] * 6),
        case(POOL, "pipeline", 20, *[seconds] * 6),
        **{"settings": settings, **other},
    )


def speedup_of(sources: Sequence[Source]) -> Drawing | None:
    """The figure of some sources."""
    runs = [(source, summarize(source)) for source in sources]
    return speedup_figure(runs, styles_of(sources))


def test_speedup_by_workers() -> None:
    """Runs that differ in their workers alone show how many times as fast as the baseline each is."""
    drawing = speedup_of([with_workers(4, 0.4), with_workers(1, 1.0), with_workers(2, 0.5)])
    assert drawing is not None
    assert f"20 images: {POOL} 2.50× (2.50–2.50) with 4 workers." in drawing.alt
    assert "Ideal" in drawing.caption


@pytest.mark.parametrize(
    "other",
    [
        {"versions": {"dask": "2020.1.0"}},
        {"machine": {"cpu": "another"}},
        {"dataset": {"name": "tissue"}},
        {"settings": {"workers": 2, "params": {"offset": 0.1}}},
        {"settings": {"params": {"offset": 0.0}}},
        {"paired": False},
    ],
    ids=str,
)
def test_no_speedup_where_more_than_the_workers_differs(other: dict[str, Any]) -> None:
    """A run on another machine, of other images or with other versions is no point of the curve."""
    assert speedup_of([with_workers(1, 1.0), with_workers(2, 0.5, **other)]) is None


def test_no_speedup_with_one_number_of_workers() -> None:
    """Two runs with as many workers make no curve, nor do sizes that no two share."""
    assert speedup_of([with_workers(2, 1.0), with_workers(2, 0.5)]) is None
    other = make_source(case(POOL, "pipeline", 50, *[0.5] * 6), settings={"workers": 1})
    assert speedup_of([with_workers(2, 1.0), other]) is None


def asv_history(folder: Path) -> Source:
    """Three commits in two environments, of which the last written is not the newest."""
    for number, (commit, versions) in enumerate(
        [
            ("aaaaaaaaaa", {"dask": "1"}),
            ("cccccccccc", {"dask": "2"}),
            ("bbbbbbbbbb", {"dask": "1"}),
        ]
    ):
        content = asv_content(time_read=asv_row([0.1 * (number + 1)] * 4))
        content |= {"commit_hash": commit, "requirements": versions}
        content["date"] += {"a": 0, "b": 1, "c": 2}[commit[0]] * 1000
        os.utime(write_asv(folder, content, commit=commit), (number, number))
    (source,) = read_sources(folder)
    return source


def test_history(tmp_path: Path) -> None:
    """ASV's results of one machine make a history in the order of their commits."""
    source = asv_history(tmp_path)
    assert source.versions["commit"] == "bbbbbbbbbb"
    assert [state.versions["commit"][0] for state in source.history] == ["a", "c"]
    drawing = history_figure(source, styles_of([source]))
    assert drawing is not None
    assert f"in 3 results, oldest first: read of 20 images with {SERIAL}" in drawing.alt
    assert "from 100 ms to 200 ms" in drawing.alt
    labels = re.findall(rb">(\w{8} dask \d)<", drawing.svg)
    assert labels == [b"aaaaaaaa dask 1", b"bbbbbbbb dask 1", b"cccccccc dask 2"]


def test_history_leaves_out_what_it_cannot_read(tmp_path: Path) -> None:
    """A damaged result of an earlier commit does not stop the report of the last: it is named."""
    asv_history(tmp_path)
    damaged = next((tmp_path / "here").glob("aaaa*"))
    damaged.write_text("{", encoding="utf-8")
    os.utime(damaged, (0, 0))
    (source,) = read_sources(tmp_path)
    assert [state.versions["commit"][0] for state in source.history] == ["c"]
    assert damaged.name in source.notes[0]


def test_no_history_of_a_single_result() -> None:
    """A source without earlier results has no such figure."""
    assert history_figure(ordinary(), styles([SERIAL])) is None


# The picture of what was found.


def png(**other: Any) -> bytes:
    """A picture as a run writes it."""
    labels = np.zeros((20, 30), dtype=int)
    labels[5:10, 5:10] = 1
    return picture.draw(np.full((20, 30), 200, dtype=np.uint8), labels, **other)


def test_picture_of_what_was_found() -> None:
    """The picture of a run is shown as it is, with the words that it holds."""
    drawing = found_picture(ordinary(picture=png()))
    assert drawing is not None
    assert drawing.png == png()
    assert "1 objects in 20 × 30 pixels of the first image." in drawing.alt


@pytest.mark.parametrize("content", [b"", b"no picture", png()[:40], b"\x89PNG\r\n\x1a\n"])
def test_damaged_pictures_are_left_out(content: bytes) -> None:
    """What is no PNG file is not shown, and stops no report."""
    assert found_picture(ordinary(picture=content)) is None
    assert make_section(ordinary(picture=content), "").drawings


# Files.


def test_svg_is_short_and_whole() -> None:
    """Coordinates have two decimals at most, and what is left is an SVG."""
    for drawing in make_section(three_sizes(profiles=(profile(SERIAL),)), "").drawings:
        assert ET.fromstring(drawing.svg).tag.endswith("svg")  # noqa: S314  (made here)
        paths = b" ".join(re.findall(rb' d="([^"]*)"', drawing.svg))
        assert not re.search(rb"\.\d{3}", paths)
        with Image.open(io.BytesIO(drawing.png)) as image:
            assert image.format == "PNG"


def test_names_in_a_figure_are_text() -> None:
    """Markup in a backend's name is drawn, or a comment, in the SVG and never an element of it."""
    odd = "<script>alert(1)<script>|--><b>&amp;|$x^$"
    source = make_source(case(f"{odd}/a/b", "read", 1, 1.0), case(PIMS, "read", 1, 1.0))
    (drawing,) = (one for one in make_section(source, "").drawings if one.name == "read")
    tags = {element.tag.rpartition("}")[2] for element in ET.fromstring(drawing.svg).iter()}  # noqa: S314  (made here)
    assert not tags & {"script", "b"}


def test_drawings_of_a_section_have_names_of_their_own() -> None:
    """No file of a section is written over by another."""
    source = three_sizes(profiles=(profile(SERIAL),), picture=png())
    names = [drawing.name for drawing in make_section(source, "").drawings]
    assert len(names) == len(set(names))
    shown = {table.name for table in make_section(source, "").tables}
    assert {drawing.table for drawing in make_section(source, "").drawings} <= {*shown, ""}


def test_source_is_unchanged_by_its_figures() -> None:
    """Drawing changes nothing of what it is given."""
    source = ordinary()
    before = source.samples.copy()
    make_section(source, "")
    assert source.samples.equals(before)
    assert dataclasses.replace(source).settings == source.settings


# The commands that draw and measure.


def test_figures_of_the_readme(tmp_path: Path) -> None:
    """`make figures` draws what a report on the same run shows, each to its file."""
    made_up_run(tmp_path)
    drawn = figures.draw(tmp_path)
    assert set(drawn) == set(figures.FIGURES.values())
    section = make_section(read_run_folder(tmp_path), "")
    (pipeline,) = (one for one in section.drawings if one.name == "pipeline")
    assert drawn[ROOT / "docs" / "pipeline.svg"] == pipeline.svg


def test_figures_need_a_run(tmp_path: Path) -> None:
    """Without the run that the repository holds, `make figures` says what is missing."""
    with pytest.raises(InputError, match=r"run\.jsonl"):
        figures.draw(tmp_path)


def test_made_up_run_is_as_large_as_asked(tmp_path: Path) -> None:
    """The command that measures how long a report takes makes a run with all cases."""
    made_up_run(tmp_path)
    samples = read_run_folder(tmp_path).samples
    cases = samples.groupby(["phase", "n_images", "backend"]).size()
    assert len(cases) == len(PHASES) * len(SIZES) * len(BACKENDS)
    assert set(cases) == {6}


def made_up_run(folder: Path) -> None:
    """Write a run of six blocks, as ``docs/report_speed.py`` makes them."""
    pytest.importorskip("selenium")
    import report_speed  # noqa: PLC0415  (needs selenium)

    report_speed.write_run(folder, 6 * len(PHASES) * len(SIZES) * len(BACKENDS))
