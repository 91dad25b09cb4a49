"""One large image in tiles: the same objects as in the whole, wherever tiles meet."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import skimage.measure
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from segbench import windows
from segbench.agreement import first_difference
from segbench.backends import phases, registry, schedulers, tiles
from segbench.backends import skimage as plain
from segbench.backends.registry import BASELINE, BackendSpec
from segbench.errors import InputError
from segbench.images import datasets
from segbench.images.origin import Origin
from segbench.measure.settings import LARGE_BACKENDS, ZARR
from segbench.pipeline import PipelineParams, Segmentation, segmentation

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# Filters that leave a mask of 0 and 1 as it is.
PASSING = replace(
    plain.TILES,
    grayscale=lambda image: image.astype(np.float64),
    blur=lambda gray, _: gray,
    threshold=lambda blurred, _: np.full(blurred.shape, 0.5),
)
BRIGHT = PipelineParams(diameter=4, foreground="bright", min_area=1, sigma=0, block_size=3)
CELLS = PipelineParams(diameter=12, min_area=20)


def in_tiles(mask: NDArray[Any], side: int) -> Segmentation:
    """The objects of a mask, found tile by tile."""
    labels = np.zeros(mask.shape, np.int32)
    with schedulers.start("serial", workers=1) as scheduler:
        how: dict[str, Any] = {"params": BRIGHT, "scheduler": scheduler, "side": side}
        table = tiles.segment(mask, processor=PASSING, **how)
        labelled = tiles.segment(mask, processor=PASSING, labels=labels, **how)
    assert np.array_equal(np.sort(table.rows[:, 1]), np.sort(labelled.rows[:, 1]))
    return labelled.with_labels(labels[np.newaxis])


def as_a_whole(mask: NDArray[Any]) -> Segmentation:
    """The objects of a mask, by scikit-image."""
    labels = skimage.measure.label(mask, connectivity=1)
    return segmentation(labels[np.newaxis], [plain.measure(labels)], BRIGHT)


def drawn(*, shape: tuple[int, int], parts: list[tuple[slice, slice]]) -> NDArray[np.uint8]:
    """A mask with some rectangles."""
    mask = np.zeros(shape, np.uint8)
    for part in parts:
        mask[part] = 1
    return mask


def snake() -> NDArray[np.uint8]:
    """A line through ten tiles of ten pixels, down and up again, one pixel wide."""
    mask = np.zeros((20, 50), np.uint8)
    for column in range(5, 50, 10):
        mask[2:18, column] = 1
    for number, column in enumerate(range(5, 40, 10)):
        mask[17 if number % 2 == 0 else 2, column : column + 11] = 1
    return mask


ALL = slice(None)
HARD = {
    "on an edge": drawn(shape=(20, 20), parts=[(slice(3, 7), slice(7, 13))]),
    "on a corner of four tiles": drawn(shape=(20, 20), parts=[(slice(7, 13), slice(7, 13))]),
    "two that touch at a corner of tiles": drawn(
        shape=(20, 20), parts=[(slice(7, 10), slice(7, 10)), (slice(10, 13), slice(10, 13))]
    ),
    "a ring around a tile": drawn(shape=(30, 30), parts=[(slice(8, 22), slice(8, 22))])
    - drawn(shape=(30, 30), parts=[(slice(9, 21), slice(9, 21))]),
    "a snake through ten tiles": snake(),
    "everything": np.ones((25, 31), np.uint8),
    "nothing": np.zeros((25, 31), np.uint8),
}


@pytest.mark.parametrize("name", HARD)
def test_objects_are_joined_where_tiles_meet(name: str) -> None:
    """Whatever lies across tiles is one object, with its whole area, and one label."""
    mask = HARD[name]
    expected = as_a_whole(mask)
    assert first_difference(in_tiles(mask, 10), expected) is None
    if name.startswith("a "):
        assert expected.count == 1


@given(
    mask=arrays.arrays(
        np.uint8,
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=24),
        elements=st.integers(0, 1),
    ),
    side=st.integers(1, 25),
)
@example(mask=np.ones((1, 1), np.uint8), side=1)
def test_any_mask_in_any_tiles(mask: NDArray[np.uint8], side: int) -> None:
    """The partition and the areas are those of the whole, whatever the tiles are."""
    assert first_difference(in_tiles(mask, side), as_a_whole(mask)) is None


def agree(spec: BackendSpec, method: Any) -> None:
    """Refuse a backend that finds other cells than the reference, with tiles that don't divide the image."""
    params = replace(CELLS, method=method)
    dataset = datasets.mosaic(shape=(700, 900))
    with phases.started(BASELINE, workers=1) as backend:
        pixels = phases.read_images(backend, datasets.lay_out(dataset, 1))
        expected = phases.segment_pixels(backend, pixels, params)
    assert expected.count > 50
    # By dask-image each tile more is labelled many times: four are enough.
    tile = 0 if spec == BASELINE else 512 if spec.processor == "dask-image-tiles" else 256
    in_zarr = spec.reader == ZARR
    pattern = datasets.lay_out_zarr(dataset) if in_zarr else datasets.lay_out(dataset, 1)
    with phases.started(replace(spec, batch=tile), workers=2) as backend:
        assert np.array_equal(phases.read_images(backend, pattern), pixels)
        for found in (
            phases.segment_files(backend, pattern, params),
            phases.segment_pixels(backend, pixels, params),
        ):
            assert first_difference(found, expected) is None
        for table in (
            phases.run_pipeline(backend, pattern, params),
            phases.process_images(backend, pixels, params),
        ):
            assert np.array_equal(np.sort(table.rows[:, 1]), np.sort(expected.rows[:, 1]))


@pytest.mark.parametrize(
    "spec", [*LARGE_BACKENDS, BackendSpec("tiles", "tiles", "serial")], ids=str
)
@pytest.mark.parametrize("method", ["gaussian", "mean"])
def test_every_backend_finds_the_cells_of_the_whole(spec: BackendSpec, method: Any) -> None:
    """From files and from pixels all find the same cells, and the same pixels of each."""
    agree(spec, method)


@pytest.mark.parametrize("spec", [BASELINE, BackendSpec(ZARR, "tiles", "threads", 256)], ids=str)
def test_the_zarr_of_a_user(spec: BackendSpec, tmp_path: Path) -> None:
    """It is measured as it is, without a copy, in tiles and as a whole."""
    pytest.importorskip("zarr")
    made = datasets.mosaic(shape=(700, 900))
    own = tmp_path / "slide"
    own.mkdir()
    windows.write_zarr(own, windows.open_image(str(made.files[0])))
    dataset = datasets.find(Origin(images=(str(own),), large=True), count=1)
    assert datasets.lay_out_zarr(dataset) == datasets.lay_out(dataset, 1)
    with phases.started(BASELINE, workers=1) as backend:
        expected = phases.run_pipeline(backend, datasets.lay_out(made, 1), CELLS)
    with phases.started(spec, workers=2) as backend:
        found = phases.run_pipeline(backend, datasets.lay_out(dataset, 1), CELLS)
    assert np.array_equal(np.sort(found.rows[:, 1]), np.sort(expected.rows[:, 1]))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Sending large graph")  # pixels in memory are what is sent
@pytest.mark.parametrize(
    ("processor", "scheduler"),
    [
        *(("tiles", scheduler) for scheduler in ("joblib", "processes", "distributed")),
        *(("dask-overlap", scheduler) for scheduler in ("synchronous", "distributed")),
        ("dask-image-tiles-stored", "processes"),
    ],
)
def test_every_scheduler_works_on_tiles(processor: str, scheduler: str) -> None:
    """Also under Dask's other schedulers, on a cluster, and in joblib's processes."""
    agree(BackendSpec("tiles", processor, scheduler), "gaussian")


@pytest.mark.parametrize("processor", ["tiles", "dask-overlap", "dask-overlap-stored"])
def test_tasks_grow_with_the_tiles(processor: str) -> None:
    """Four times as many tiles have about four times as many tasks, and not more."""
    counts = []
    for shape in ((512, 512), (1024, 1024), (2048, 2048)):
        dataset = datasets.mosaic(shape=shape)
        spec = BackendSpec("tiles", processor, "threads", 256)
        with phases.started(spec, workers=2) as backend:
            counts.append(phases.graph_cost(backend, datasets.lay_out(dataset, 1), CELLS).tasks)
    first, second, third = counts
    assert 0 < first < second < third
    # Tiles on the border have fewer neighbours than those inside.
    assert third - second < 4.5 * (second - first)


def test_of_a_tile_only_its_borders_are_kept() -> None:
    """What a task gives holds no view of the tile's labels: these would be the whole image in the end."""
    found = tiles.found_in(np.zeros((64, 64), np.int32))
    assert all(each.base is None for each in (*found.borders, *found.beyond))


def test_steps_beyond_the_five_are_refused() -> None:
    """A benchmark of a large image has the five steps alone, and says so."""
    dataset = datasets.mosaic(shape=(512, 512))
    with (
        phases.started(BackendSpec("tiles", "tiles", "serial"), workers=1) as backend,
        pytest.raises(InputError, match="--split: a large image is measured with the five steps"),
    ):
        phases.run_pipeline(backend, datasets.lay_out(dataset, 1), replace(CELLS, split=True))


def test_the_side_of_a_tile_is_chosen() -> None:
    """Four tiles a worker where the image has room for them, between bounds."""
    params = PipelineParams()
    sides = {
        size: tiles.side_for((size, size), params, workers=2) for size in (512, 4096, 8192, 65536)
    }
    assert sides == {512: 1024, 4096: 1536, 8192: 2048, 65536: 2048}
    assert tiles.grid((8192, 8192), sides[8192], params.reach).shape == (4, 4)


def test_the_side_of_a_tile_fits_into_memory() -> None:
    """Where memory is short, or shared by many workers, tiles are smaller than they would be."""
    side = partial(tiles.side_for, (65536, 65536), PipelineParams())
    sides = [side(workers=2, memory=gib) for gib in (8, 1.0, 0.75)]
    assert sides == sorted(sides, reverse=True)
    assert sides[0] == 2048 > sides[1] > sides[2]
    assert side(workers=64, memory=8) < side(workers=2, memory=8)
    assert side(workers=64, memory=0.1) == tiles.STEP


@pytest.mark.parametrize("processor", ["tiles", "dask-overlap-stored"])
def test_the_cost_of_a_graph(processor: str) -> None:
    """Building the graphs takes time, and far less than what is computed with them."""
    dataset = datasets.mosaic(shape=(1024, 1024))
    spec = BackendSpec("tiles", processor, "threads", 256)
    with phases.started(spec, workers=2) as backend:
        begun = time.perf_counter()
        cost = phases.graph_cost(backend, datasets.lay_out(dataset, 1), CELLS)
        assert 0 < cost.seconds < time.perf_counter() - begun
    assert cost.tasks > 0


def test_a_tile_is_named_in_words() -> None:
    """The fourth part of a name is the side of a tile where an image is worked on in tiles."""
    assert registry.takes_batches(BackendSpec("tiles", "tiles", "serial"))
    words = registry.describe(BackendSpec("tiles", "dask-overlap", "threads", 1024)).words
    assert (
        words
        == "scikit-image over an overlapping Dask array on Dask's threads, tiles of 1024 pixels"
    )
