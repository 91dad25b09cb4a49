"""What a report says of several shapes, of images a task, and of readers alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from segbench.report import batches, page
from segbench.report.batches import ADVISED_SECONDS
from segbench.report.choice import DASK as WITH_DASK
from segbench.report.choice import POOL as A_POOL
from segbench.report.choice import Part, kind_of
from segbench.report.pairs import pairs_of
from segbench.report.shapes import MAP, overview
from segbench.report.styles import styles
from segbench.report.summary import summarize
from segbench.results.sources import LOOP
from tests.made_up import (
    DASK,
    NOISE,
    POOL,
    SERIAL,
    case,
    make_source,
    profile,
    rows_of,
    tables_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from segbench.results.sources import Source

THREADS = "skimage/skimage/threads"
ROUNDS = 6


def shaped(shape: tuple[int, int], seconds: Mapping[tuple[str, int], float]) -> Source:
    """A source of one of several shapes: by backend and number of images the time of its pipeline."""
    words = "x".join(map(str, shape))
    return make_source(
        *(
            case(backend, "pipeline", size, *[time] * ROUNDS, shape=words)
            for (backend, size), time in seconds.items()
        ),
        dataset={"name": "smear", "images": 50, "shape": [*shape, 3]},
        shape=words,
    )


def part(source: Source) -> Part:
    """What an overview is made from."""
    pairs = pairs_of(source)
    return Part(source, summarize(source, pairs), pairs)


SMALL = shaped(
    (100, 200),
    {
        (SERIAL, 1): 0.010,
        (POOL, 1): 0.015,
        (THREADS, 1): 0.020,
        (SERIAL, 50): 0.500,
        (POOL, 50): 0.300,
        (THREADS, 50): 0.300,
    },
)
LARGE = shaped(
    (1000, 1000),
    {
        (SERIAL, 1): 0.5,
        (POOL, 1): 0.5,
        (THREADS, 1): 0.5,
        (SERIAL, 20): 10.0,
        (POOL, 20): 8.0,
        (THREADS, 20): 5.0,
    },
)


def test_one_shape_is_no_map() -> None:
    """A run of one shape has the best of each kind, and no map; without a comparison it has nothing."""
    found = overview([part(SMALL)], prefix="")
    assert found is not None
    assert len(found.tables) == 1
    assert not found.drawings
    alone = shaped((16, 16), {(SERIAL, 1): 1.0, (f"{SERIAL}", 2): 2.0})
    assert overview([part(alone)], prefix="") is None


def test_the_map_says_what_is_fastest_where() -> None:
    """Each number and shape that was measured is coloured by the kind that none was faster than."""
    found = overview([part(SMALL), part(LARGE)], prefix="")
    assert found is not None
    (drawing,) = found.drawings
    told = drawing.alt.split(": ", 2)[2].rstrip(".").split("; ")
    assert told == [
        "1 image of 100 × 200: a plain loop",
        f"50 images of 100 × 200: {MAP[A_POOL, WITH_DASK].words}",
        "1 image of 1000 × 1000: no difference shown",
        "20 images of 1000 × 1000: Dask",
    ]
    assert drawing.svg.startswith(b"<?xml")


def test_the_best_of_each_kind_beside_each_other() -> None:
    """A row a number and shape: the loop's time, and the best pool's and Dask's beside it."""
    found = overview([part(SMALL), part(LARGE)], prefix="")
    assert found is not None
    rows = found.tables[0].texts
    assert rows[0][:3] == ("100 × 200", "1", "10.0 ms")
    assert rows[-1][:3] == ("1000 × 1000", "20", "10.0 s")
    assert "scikit-image in a thread pool" in rows[-1][3]
    assert "scikit-image on Dask's threads" in rows[-1][4]
    ratios = rows[-1][3:]
    assert [ratio.split()[0] for ratio in ratios] == ["0.80×", "0.50×", "0.62×"]
    assert all(ratio.endswith(" faster") for ratio in ratios)


def test_shapes_of_as_many_pixels_are_two() -> None:
    """Wide images and tall ones of as many pixels have a row each in the map."""
    tall, wide = (
        shaped(shape, {(SERIAL, 1): 1.0, (POOL, 1): 0.5}) for shape in ((20, 10), (10, 20))
    )
    found = overview([part(tall), part(wide)], prefix="")
    assert found is not None
    picture = found.drawings[0].picture
    assert not isinstance(picture, bytes)
    labels = [label.get_text() for label in picture.axes[0].get_yticklabels()]
    assert labels == ["10 × 20", "20 × 10"]


def test_a_plain_loop_that_took_too_long() -> None:
    """Where it has no time, the others are still compared."""
    source = shaped((16, 16), {(POOL, 1): 1.0, (THREADS, 1): 2.0})
    found = overview([part(source)], prefix="")
    assert found is not None
    assert found.tables[0].texts[0][2:4] == ("–", "– scikit-image in a thread pool")


def test_a_pixel_costs() -> None:
    """Of times that are made of a call, images and pixels, the table has these costs."""
    call, image, mega = 0.5, 0.01, 2.0

    def source(height: int, width: int) -> Source:
        size = height * width / 1e6
        times = {(SERIAL, n): call + n * image + n * size * mega for n in (1, 10, 100)}
        return shaped((height, width), {**times, (POOL, 1): 1.0})

    found = overview([part(source(100, 100)), part(source(1000, 1000))], prefix="")
    assert found is not None
    rows = [row for row in found.tables[-1].texts if row[1] == SERIAL]
    assert rows[0] == ("pipeline", SERIAL, "500 ms", "10.0 ms", "2.00 s", "0%")


def test_kinds() -> None:
    """A plain loop, a pool, and Dask under any of its schedulers, with a batch or without."""
    found = {
        backend: kind_of(backend)
        for backend in (SERIAL, POOL, DASK, THREADS, f"{POOL}/4", "a/b/distributed/16")
    }
    assert [*found.values()] == [LOOP, A_POOL, WITH_DASK, WITH_DASK, A_POOL, WITH_DASK]


def test_shapes_of_a_run_are_not_compared(tmp_path: Path) -> None:
    """The page has each shape's evidence under its name, after the map, and no shape beside another."""
    index = page.build([SMALL, LARGE], tmp_path)
    text = index.read_text()
    assert text.index("By number and size of images") < text.index("smear, 100 × 200 pixels")
    assert "smear, 1000 × 1000 pixels" in text
    assert "beside 1" not in text
    files = {file.name for file in (tmp_path / "figures").iterdir()}
    assert {"1-best-map-pipeline.svg", "2-pipeline.svg"} <= files
    assert (tmp_path / "tables" / "1-best-pipeline.csv").exists()


# Images a task


def batched(**other: Any) -> Source:
    """Two numbers of images a task, of a backend with Dask and of one without."""
    times = {"1": 2.0, "50": 1.0}
    return make_source(
        case(SERIAL, "pipeline", 100, *[3.0] * ROUNDS, cpu_seconds=3.0),
        *(
            case(f"{name}/{batch}", "pipeline", 100, *[time] * ROUNDS, cpu_seconds=4.0)
            for name in (THREADS, POOL)
            for batch, time in times.items()
        ),
        profiles=(
            profile(f"{THREADS}/1", n_images=100),
            profile(f"{THREADS}/50", n_images=100, parts={"graph": 0.002, "scheduling": 0.003}),
        ),
        **other,
    )


def test_the_table_of_batches() -> None:
    """Tasks, how long each works, time, and what Dask takes for an image; nothing without Dask."""
    rows = rows_of(batched(), "batches")
    assert [row[:5] for row in rows] == [
        (THREADS, "1", "100", "40.0 ms", "2.00 s"),
        (THREADS, "50", "2", "2.00 s", "1.00 s"),
        (POOL, "1", "100", "40.0 ms", "2.00 s"),
        (POOL, "50", "2", "2.00 s", "1.00 s"),
    ]
    assert rows[1][5:] == ("0.33× (0.33–0.33) faster", "50.0 µs")
    assert rows[3][6] == "–"


def test_one_batch_is_no_sweep() -> None:
    """A backend with one number of images a task, or none, is in no table of batches."""
    source = make_source(
        case(f"{THREADS}/4", "pipeline", 8, *NOISE), case(POOL, "pipeline", 8, *NOISE)
    )
    assert "batches" not in tables_of(source)
    assert batches.batch_figure(source, batches.batches(source, summarize(source)), {}) is None


def test_the_figure_of_batches_shows_what_dask_advises() -> None:
    """A line lies at the time that its documentation advises a task to last."""
    source = batched()
    style = styles(source.samples["backend"].unique())
    drawing = batches.batch_figure(source, batches.batches(source, summarize(source)), style)
    assert drawing is not None
    assert not isinstance(drawing.picture, bytes)
    _, below = drawing.picture.axes
    assert any(np.allclose(line.get_ydata(), ADVISED_SECONDS) for line in below.lines)


# Readers alone


def test_which_imread() -> None:
    """Of each reader the fastest backend, beside the fastest of all, at each number of images."""
    source = make_source(
        *(
            case(backend, "read", size, *[time * size] * ROUNDS)
            for backend, time in ((SERIAL, 0.02), (POOL, 0.01), (DASK, 0.05))
            for size in (1, 20)
        )
    )
    plain, dask_image = rows_of(source, "readers")
    assert plain == ("skimage.io.imread", "1.00× thread-pool", "1.00× thread-pool")
    assert dask_image[0] == "dask_image.imread.imread"
    assert all(re.fullmatch(r"5.00× \(.*\) threads slower", cell) for cell in dask_image[1:])


def test_one_reader_has_no_rival() -> None:
    """Where one reader was measured, which is the fastest is no question."""
    source = make_source(case(SERIAL, "read", 1, *NOISE), case(POOL, "read", 1, *NOISE))
    assert "readers" not in tables_of(source)


@pytest.mark.parametrize("lost", [0, 2])
def test_lost_workers_are_told(lost: int) -> None:
    """Where a cluster lost workers, a warning says how many and what that means."""
    source = make_source(case(DASK, "read", 1, *NOISE, lost_workers=lost))
    told = [text for text in page.make_sections([source])[0].warnings if "lost" in text]
    assert bool(told) == bool(lost)
    assert all(f"{DASK}: the cluster lost {lost} of its workers" in text for text in told)


def test_what_a_cluster_sent() -> None:
    """A cluster is named beside what its workers sent."""
    cluster = "2 workers with 2 threads, scheduler at tcp://127.0.0.1:8786"
    source = make_source(
        case(DASK, "pipeline", 20, *NOISE, moved_bytes=3 * 2**20),
        case(SERIAL, "pipeline", 20, *NOISE),
        settings={"clusters": {DASK: cluster}},
    )
    assert rows_of(source, "clusters") == [(DASK, "pipeline", "20", "3.00 MiB", cluster)]
