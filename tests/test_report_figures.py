"""Figures: what they show in words, how backends look, and the files they become."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from segbench.measure import picture
from segbench.measure.settings import BACKENDS
from segbench.report import costs
from segbench.report import summary as summary_of
from segbench.report.drawing import finish, new_figure
from segbench.report.figures import (
    PART_STYLES,
    found_picture,
    memory_figure,
    parts_figure,
    ratio_figures,
    speedup_figure,
    time_figures,
)
from segbench.report.page import make_sections, styles_of
from segbench.report.styles import styles
from segbench.results.records import PARTS
from tests.made_up import (
    DASK,
    PIMS,
    POOL,
    SERIAL,
    called,
    case,
    make_source,
    ordinary,
    profile,
    three_sizes,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segbench.report.drawing import Drawing
    from segbench.results.sources import Source


def times_of(source: Source) -> list[Drawing]:
    """The figures of the times of a source."""
    summary = summary_of.summarize(source)
    return [*time_figures(summary, costs.lines(source, summary), styles_of([source]))]


@pytest.mark.parametrize(("letters", "columns"), [(20, 2), (60, 1)])
def test_a_legend_has_as_many_columns_as_its_labels_leave_room_for(
    letters: int, columns: int
) -> None:
    """A browser cuts off what is wider than the figure."""
    figure, (axes,) = new_figure("a title")
    for number in range(4):
        axes.plot([], [], label=f"{number}" * letters)
    legend = finish(figure, columns=2).legends[0]
    figure.draw_without_rendering()
    assert legend.get_window_extent().width < figure.bbox.width
    rows = {round(text.get_window_extent().y0) for text in legend.get_texts()}
    assert len(rows) == 4 / columns


def ratios_of(source: Source) -> list[Drawing]:
    """The figures of the ratios of a source."""
    summary, style = summary_of.summarize(source), styles_of([source])
    return [*ratio_figures(summary, style, loop=source.loop)]


def colours(svg: bytes) -> set[str]:
    """All colours in a picture."""
    return {found.decode().upper() for found in re.findall(rb"#[0-9a-fA-F]{6}", svg)}


# Looks.


USUAL = [str(backend) for backend in BACKENDS]


def test_usual_backends_look_the_same_on_every_page() -> None:
    """A backend of the default run has its look whatever else is on the page, and in what order."""
    together = styles(["a/b/c", *reversed(USUAL), "d/e/f"])
    assert list(together) == ["a/b/c", *reversed(USUAL), "d/e/f"]
    assert all(together[name] == styles([name])[name] for name in USUAL)
    assert styles(["x/x/x", "a/a/a"]) == styles(["a/a/a", "x/x/x"])


def test_backends_look_different() -> None:
    """Of as many as anybody would compare no two look the same, those of a default run in gray."""
    looks = styles(f"a/b/{number}" for number in range(58)).values()
    assert len({(look.colour, look.marker) for look in looks}) == 58
    usual = styles(USUAL).values()
    assert (
        len({look.marker for look in usual}) == len({look.symbol for look in usual}) == len(USUAL)
    )


def test_a_backend_has_one_colour_in_all_figures() -> None:
    """What a backend looks like does not depend on which others a phase has."""
    source = make_source(
        case(SERIAL, "read", 1, *[1.0] * 5),
        case(DASK, "read", 1, *[0.5] * 5),
        case(DASK, "pipeline", 1, *[0.5] * 5, objects=1, peak_mib=90.0),
    )
    (section,) = make_sections([source])
    look = styles([DASK])[DASK]
    drawn = [drawing for drawing in section.drawings if called(DASK) in drawing.alt]
    assert {drawing.name for drawing in drawn} == {"read", "read-ratios", "pipeline", "memory"}
    assert all(look.colour in colours(drawing.svg) for drawing in drawn)


def test_every_part_has_a_style_of_its_own() -> None:
    """In the order in which parts are measured, colour and hatch tell all of them apart."""
    assert tuple(PART_STYLES) == PARTS
    assert len(set(PART_STYLES.values())) == len(PARTS)
    assert len({colour for colour, _ in PART_STYLES.values()}) == len(PARTS)


# What they say.


def test_time_figure_names_crossings() -> None:
    """The text of a figure has each backend's time at the largest size, and where it overtakes."""
    (drawing,) = times_of(three_sizes())
    assert drawing.table == "read-times"
    assert f"{called(SERIAL)} 101 s for 100 images" in drawing.alt
    assert re.search(
        rf"{called(POOL)} 54\.0 s for 100 images, faster from about 6\.3 images on", drawing.alt
    )
    assert "fitted" in drawing.caption


def test_time_figure_without_lines() -> None:
    """Where no line is fitted, nothing is said of one."""
    (read, pipeline) = times_of(ordinary())
    assert f"{called(SERIAL)} 10.0 ms for 1 image; {called(POOL)} 30.0 ms for 1 image" in read.alt
    assert "Time of pipeline" in pipeline.alt
    assert "fitted" not in read.caption


def test_small_range_of_times_has_labels() -> None:
    """However near the times are to each other, the axis has labels, no two of them the same."""
    near = make_source(case(SERIAL, "read", 1, 0.1521), case(POOL, "read", 1, 0.1522))
    labels = re.findall(rb">[\d.]+ m?s<", times_of(near)[0].svg)
    assert len(labels) >= 2
    assert len(set(labels)) == len(labels)


def test_ratio_figure_says_what_was_shown() -> None:
    """Ratio, interval and verdict of each backend but the baseline are in the text."""
    drawing = ratios_of(ordinary())[1]
    assert (drawing.name, drawing.table) == ("pipeline-ratios", "pipeline-ratios")
    assert f"for 20 images: {called(POOL)} 0.52× (0.46–0.58) faster." in drawing.alt
    assert "95% intervals" in drawing.caption


def test_ratio_figure_without_intervals() -> None:
    """Samples that are not paired have ratios without intervals; the baseline alone has none."""
    drawing = ratios_of(ordinary(paired=False))[0]
    assert f"{called(POOL)} 3.00×." in drawing.alt
    assert "allow no intervals" in drawing.caption
    assert ratios_of(make_source(case(SERIAL, "read", 1, 1.0, 1.0))) == []


@pytest.mark.parametrize(("idle", "shown"), [(100.0, "20 MiB"), (None, "120 MiB")])
def test_memory_figure(idle: float | None, shown: str) -> None:
    """Memory is that above an idle worker where it is known, the whole otherwise."""
    source = make_source(
        case(SERIAL, "pipeline", 1, 1.0, peak_mib=101.0, idle_mib=idle),
        case(SERIAL, "pipeline", 20, 1.0, peak_mib=120.0, idle_mib=idle),
    )
    drawing = memory_figure(summary_of.summarize(source), styles_of([source]))
    assert drawing is not None
    assert f"{called(SERIAL)} {shown} for 20 images" in drawing.alt
    assert memory_figure(summary_of.summarize(three_sizes()), styles([SERIAL])) is None


def test_parts_figure() -> None:
    """The text says how long a call took and which parts took most of it."""
    looks = styles([SERIAL, POOL])
    drawing = parts_figure({SERIAL: profile(SERIAL), POOL: profile(POOL, status="error")}, looks)
    assert drawing is not None
    assert f"{SERIAL} 1.00 s for 2 images (blur 30%, threshold 25%" in drawing.alt
    assert POOL not in drawing.alt
    assert parts_figure({POOL: profile(POOL, status="error")}, looks) is None


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
    runs = [(source, summary_of.summarize(source)) for source in sources]
    return speedup_figure(runs, styles_of(sources))


def test_speedup_by_workers() -> None:
    """Runs that differ in their workers alone show how many times as fast as the baseline each is."""
    drawing = speedup_of([with_workers(4, 0.4), with_workers(1, 1.0), with_workers(2, 0.5)])
    assert drawing is not None
    assert f"20 images: {called(POOL)} 2.50× (2.49–2.51) with 4 workers." in drawing.alt
    assert "Ideal" in drawing.caption


def test_speedup_at_the_largest_size_of_all() -> None:
    """A size that one of the runs lacks is not shown."""
    both = [with_workers(workers, 1 / workers) for workers in (1, 2)]
    larger = make_source(
        *(case(backend, "pipeline", 50, *[1.0] * 6) for backend in (SERIAL, POOL)),
        settings=both[0].settings,
    )
    samples = pd.concat([both[0].samples, larger.samples], ignore_index=True)
    drawing = speedup_of([replace(both[0], samples=samples), both[1]])
    assert drawing is not None
    assert drawing.title == "pipeline, 20 images: speed-up by workers"


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


# The picture of what was found.


PNG = picture.draw(np.full((20, 30), 200, dtype=np.uint8), np.eye(20, 30, dtype=int))


def test_picture_of_what_was_found() -> None:
    """The picture of a run is shown as it is, with the words that it holds."""
    drawing = found_picture(ordinary(picture=PNG))
    assert drawing is not None
    assert drawing.png == PNG
    assert "1 objects in 20 × 30 pixels of the first image." in drawing.alt


@pytest.mark.parametrize("content", [b"", b"no picture", PNG[:40], b"\x89PNG\r\n\x1a\n"])
def test_damaged_pictures_are_left_out(content: bytes) -> None:
    """What is no PNG file is not shown, and stops no report."""
    assert found_picture(ordinary(picture=content)) is None
    assert make_sections([ordinary(picture=content)])[0].drawings


# Files.


def test_files_of_a_section() -> None:
    """SVGs are whole, with two decimals at most; names are unique, and each table is there."""
    (section,) = make_sections([three_sizes(profiles=(profile(SERIAL),), picture=PNG)])
    for drawing in section.drawings:
        with Image.open(io.BytesIO(drawing.png)) as image:
            assert image.format == "PNG"
        if drawing.name != "found":
            assert ET.fromstring(drawing.svg).tag.endswith("svg")  # noqa: S314  (made here)
            paths = b" ".join(re.findall(rb' d="([^"]*)"', drawing.svg))
            assert not re.search(rb"\.\d{3}", paths)
    names = [drawing.name for drawing in section.drawings]
    assert len(names) == len(set(names)) == 4
    tables_shown = {table.name for table in section.tables}
    assert {drawing.table for drawing in section.drawings} <= {*tables_shown, ""}


def test_names_in_a_figure_are_text() -> None:
    """Markup in a backend's name is drawn, or a comment, in the SVG and never an element of it."""
    odd = "<script>alert(1)<script>|--><b>&amp;|$x^$"
    source = make_source(case(f"{odd}/a/b", "read", 1, 1.0), case(PIMS, "read", 1, 1.0))
    (drawing,) = times_of(source)
    tags = {element.tag.rpartition("}")[2] for element in ET.fromstring(drawing.svg).iter()}  # noqa: S314  (made here)
    assert not tags & {"script", "b"}


def test_source_is_unchanged_by_its_figures() -> None:
    """Drawing changes nothing of what it is given."""
    source = ordinary()
    before = source.samples.copy()
    make_sections([source])
    assert source.samples.equals(before)
