"""What a report says of large images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from segbench.report import large, page
from tests.made_up import SERIAL, case, make_source

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from segbench.results.sources import Source

POOL, THREADS = "tiles/tiles/thread-pool", "tiles/tiles/threads"
ROUNDS = 6


def of(side: int, seconds: Mapping[str, float | str], **other: Any) -> Source:
    """A source of a large image: by backend the time of its pipeline, or how it ended."""
    words = f"{side}x{side}"
    told = {"shape": words, "peak_mib": 1000.0}
    cases = []
    for backend, time in seconds.items():
        tasks = 8 * (side // 1000) ** 2 if backend == THREADS else None
        if isinstance(time, str):
            cases.append(case(backend, "pipeline", 1, 1.0, status=time, cause="why", **told)[:1])
            continue
        swing = [time * (1 + 0.002 * (number % 3)) for number in range(ROUNDS)]
        cases.append(case(backend, "pipeline", 1, *swing, tasks=tasks, **told))
    dataset = {
        "name": "mosaic",
        "images": 1,
        "shape": [side, side, 3],
        "origin": {"made": "mosaic"},
    }
    return make_source(*cases, dataset=dataset, shape=words, **other)


SMALL = of(1000, {SERIAL: 2.0, POOL: 1.0, THREADS: 1.1})
BIG = of(4000, {SERIAL: "memory", POOL: 16.0, THREADS: 16.0})


def overview_of(*sources: Source) -> Any:
    """The chapter of some sources."""
    sections = page.make_sections(sources)
    return large.overview(sections, page.styles_of(sources), prefix="")


def test_time_by_the_size_of_the_image() -> None:
    """A column a size, with what did not end, and the ratio to the whole image where that ended."""
    times, costs = overview_of(BIG, SMALL).tables
    assert times.columns == ("Backend", "1 Mpx", "16 Mpx")
    rows = {row[0]: row[1:] for row in times.texts}
    assert rows[SERIAL] == ("2.00 s", "memory")
    assert rows[POOL] == ("1.00 s 0.50× (0.50–0.50) faster", "16.0 s")
    assert costs.name == "large-costs"


def test_what_a_large_image_costs() -> None:
    """Of the largest that was timed: a megapixel, how that and memory have grown, tasks, and a pool."""
    _, costs = overview_of(SMALL, BIG).tables
    rows = {row[0]: row[1:] for row in costs.texts}
    assert rows[POOL][:5] == ("16 Mpx", "1.00 s", "1.00×", "1000 MiB", "1.00×")
    assert rows[POOL][5:] == ("–", "–", "–", "–")
    assert rows[THREADS][2] == "0.91×"
    assert rows[THREADS][5] == "128"
    assert rows[THREADS][8].startswith("1.00× ")
    assert rows[SERIAL][0] == "1 Mpx"


def test_bytes_that_are_read_again() -> None:
    """All bytes that were read, and as a multiple of the file; where nobody counted, nothing."""
    told = {"read_bytes": 3_000_000, "graph_seconds": 0.25, "tasks": 8, "shape": "4096x4096"}
    cases = (
        case(SERIAL, "pipeline", 1, 2.0, shape="4096x4096"),
        case(THREADS, "pipeline", 1, 1.0, **told),
    )
    dataset = {**of(4096, {}).dataset, "bytes": 1_200_000}
    source = make_source(*cases, dataset=dataset, shape="4096x4096")
    _, costs = overview_of(source).tables
    rows = {row[0]: dict(zip(costs.columns, row, strict=True)) for row in costs.texts}
    assert rows[THREADS]["Bytes read"] == "3 MB 2.50×"
    assert rows[THREADS]["Building graphs"] == "250 ms"
    assert (rows[SERIAL]["Bytes read"], rows[SERIAL]["Building graphs"]) == ("–", "–")


def test_the_figure_has_what_was_timed() -> None:
    """Time for a megapixel of each backend, in words, too; one size alone has no such figure."""
    ratios, drawing = overview_of(SMALL, BIG).drawings
    assert "1.00 s at 1, 1.00 s at 16" in drawing.alt
    assert drawing.svg.startswith(b"<?xml")
    assert [one.name for one in overview_of(SMALL).drawings] == [ratios.name]


def test_the_first_screen_has_a_figure_by_size() -> None:
    """Ratios to scikit-image on the whole image, of the sizes where that ended."""
    (run,) = page.make_runs(page.make_sections([SMALL, BIG]))
    assert run.figure
    assert run.figure.title == "pipeline: time relative to scikit-image on the whole image"
    assert "for 1 Mpx: " in run.figure.alt


def test_the_largest_image_that_is_decided_speaks() -> None:
    """Of one large image of each size the largest is named first, however they are listed."""
    middle = of(2000, {SERIAL: 8.0, POOL: 4.0, THREADS: 4.4})
    for sources in ([SMALL, middle], [middle, SMALL]):
        (run,) = page.make_runs(page.make_sections(sources))
        assert "for 1 image of 2000 × 2000 pixels" in run.answer.use
        assert run.answer.table
        assert run.answer.table.title == "1 image of 2000 × 2000 pixels"


@pytest.mark.parametrize("sources", [(SMALL, BIG), (SMALL,)], ids=["sizes", "one"])
def test_a_page_of_large_images(sources: tuple[Source, ...], tmp_path: Path) -> None:
    """It is built, with the tables by size, and names what to use."""
    index = page.build(sources, tmp_path)
    text = index.read_text()
    assert "pipeline: time by the size of the image" in text
    assert "pixels" in page.make_runs(page.make_sections(sources))[0].answer.use


def test_an_image_that_is_too_large_for_the_whole() -> None:
    """Where scikit-image ends on the whole image the others are compared with the first that was listed."""
    seconds: dict[str, float | str] = {SERIAL: "memory", POOL: 16.0, THREADS: 8.0}
    source = of(4000, seconds, settings={"backends": [SERIAL, POOL, THREADS]})
    (run,) = page.make_runs(page.make_sections([source]))
    pool, threads = (source.backends[one].words for one in (POOL, THREADS))
    assert run.answer.use.startswith(f"Use {threads}: 50% less time than {pool} for 1 image")
    assert "(memory)" in run.answer.left_out[0]


def test_a_whole_image_is_no_loop() -> None:
    """Where it fits, the sentence and the table name what all are compared with."""
    (run,) = page.make_runs(page.make_sections([SMALL]))
    assert "less time than scikit-image on the whole image" in run.answer.use
    assert "`segbench run --images IMAGE --large` measures yours" in run.answer.changes[-1]
    assert run.answer.table
    assert run.answer.table.columns[2] == "Relative to scikit-image on the whole image"


def test_a_single_round_says_nothing_yet() -> None:
    """Without an interval it is told what is needed, and no loop is missed that can't be."""
    (one, *_), *others = (case(backend, "pipeline", 1, 8.0) for backend in (POOL, THREADS))
    source = make_source([one], *others, dataset=of(4000, {}).dataset, shape="4000x4000")
    (run,) = page.make_runs(page.make_sections([source]))
    assert run.answer.use.startswith("Nothing can be said yet: that takes two backends")
