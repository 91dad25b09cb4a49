"""Backends: every combination finds the reference's cells, from files and from pixels."""

from __future__ import annotations

import functools
import importlib.util
import math
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import ndimage

from segbench.agreement import (
    first_difference,
    first_different_image,
    first_different_table,
)
from segbench.backends import phases, registry, schedulers
from segbench.backends.registry import BASELINE, BackendSpec
from segbench.errors import InputError
from segbench.images import datasets
from segbench.images.origin import Origin
from segbench.images.smear import smear_image
from segbench.pipeline import PipelineParams, Segmentation

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from segbench.images.datasets import Dataset

SHAPE = (32, 40)

READERS = ("skimage", "dask-image", "dask-array-pims", "dask-array-skimage", "dask-batched")
WITH_DASK = (
    *("dask-image", "dask-image-one-by-one", "dask-image-stored"),
    *("dask-image-area", "dask-image-blocks"),
    *("dask-blocks", "dask-one-by-one"),
)
WITHOUT = ("skimage", "opencv") if importlib.util.find_spec("cv2") else ("skimage",)
PARAMS = tuple(
    PipelineParams(diameter=8, block_size=21, **other)
    for other in (
        {},
        {"method": "mean"},
        {"foreground": "bright", "offset": 0.1, "min_area": 5},
        {"method": "mean", "foreground": "bright"},
        {"fill_holes": True},
        {"split": True, "fill_holes": True},
        {"own_contrast": True},
    )
)
# Channels and type of the images; Pillow writes no colour PNG of 16 bit.
KINDS = {
    "gray8.png": ((), "uint8"),
    "gray8.tif": ((), "uint8"),
    "gray16.png": ((), "uint16"),
    "gray16.tif": ((), "uint16"),
    "rgb8.jpg": ((3,), "uint8"),
    "rgb8.png": ((3,), "uint8"),
    "rgb8.tif": ((3,), "uint8"),
    "rgb16.tif": ((3,), "uint16"),
    "rgba8.png": ((4,), "uint8"),
    "rgba8.tif": ((4,), "uint8"),
    "rgba16.tif": ((4,), "uint16"),
}


def spec_of(reader: str, processor: str, *, several: bool = False) -> BackendSpec:
    """A backend that runs in this process, in one thread or in several."""
    without = reader == "skimage" and processor in WITHOUT
    one, more = ("serial", "thread-pool") if without else ("synchronous", "threads")
    return BackendSpec(reader, processor, more if several else one)


def segmented(
    spec: BackendSpec, images: Dataset | NDArray[Any], params: PipelineParams, count: int = 3
) -> Segmentation:
    """What a backend finds in files or in pixels."""
    with phases.started(spec, workers=2) as backend:
        if isinstance(images, np.ndarray):
            found = phases.segment_pixels(backend, images, params)
            table = phases.process_images(backend, images, params)
        else:
            pattern = datasets.lay_out(images, count)
            found = phases.segment_files(backend, pattern, params)
            table = phases.run_pipeline(backend, pattern, params)
    # The phases that are timed give the same table, and no labels.
    assert not isinstance(table, Segmentation)
    assert first_different_table(table, found) is None
    return found


@functools.cache
def reference(dataset: Dataset, params: PipelineParams, count: int = 3) -> Segmentation:
    """What the baseline finds in files, some cells among it."""
    found = segmented(BASELINE, dataset, params, count)
    assert found.count > 0
    return found


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Dataset, NDArray[Any]]]:
    """Three images of random blobs of each kind, and the pixels that were written."""
    made = {}
    for kind, (channels, dtype) in KINDS.items():
        folder, stack = tmp_path_factory.mktemp("images"), []
        for index in range(3):
            noise = np.random.default_rng([7, index]).standard_normal((*SHAPE, *channels))
            blobs = ndimage.gaussian_filter(noise, (3, 3, *(0 for _ in channels)))
            share = (blobs - blobs.min()) / np.ptp(blobs)
            stack.append(np.rint(share * np.iinfo(dtype).max).astype(dtype))
            path = folder / f"{index}.{kind.split('.')[1]}"
            if path.suffix == ".tif":
                tifffile.imwrite(path, stack[-1], photometric="rgb" if channels else "minisblack")
            else:
                Image.fromarray(stack[-1]).save(path)
        made[kind] = (datasets.from_images(Origin(images=(str(folder),))), np.stack(stack))
    return made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("count", [1, 3])
def test_readers_give_the_pixels(
    images: dict[str, tuple[Dataset, NDArray[Any]]], kind: str, reader: str, count: int
) -> None:
    """Every reader gives the pixels that were written, in the order of the files.

    Its handle is a Dask array of one image a chunk, or lists the files.
    """
    dataset, written = images[kind]
    pattern = datasets.lay_out(dataset, count)
    with phases.started(spec_of(reader, "skimage"), workers=2) as backend:
        pixels = phases.read_images(backend, pattern)
        handle = phases.open_images(backend, pattern)
        if backend.reader.uses_dask:
            assert (handle.shape, handle.dtype) == (pixels.shape, pixels.dtype)
            assert backend.reader.batches or handle.chunks[0] == (1,) * count
        else:
            assert len(handle.files) == count
    if kind.endswith(".jpg"):  # which loses some
        written = datasets.read_labels(dataset.files).astype(np.uint8)
    assert first_different_image(pixels, written[:count]) is None


# Readers give the same pixels, as the tests above hold: each is here once. dask-image-area sees
# labels alone, and takes long.
PAIRS = (
    *(("skimage", processor) for processor in (*WITHOUT, "dask-image", "dask-blocks")),
    *(("dask-image", processor) for processor in ("dask-image", "dask-image-blocks")),
    ("dask-array-pims", "dask-blocks"),
    ("dask-array-skimage", "skimage"),
    ("dask-batched", "dask-blocks"),
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("reader", "processor"), PAIRS)
def test_same_cells_in_every_kind_of_image(
    images: dict[str, tuple[Dataset, NDArray[Any]]], reader: str, processor: str, kind: str
) -> None:
    """From files of every kind each backend finds the reference's cells."""
    dataset, _ = images[kind]
    found = segmented(spec_of(reader, processor), dataset, PARAMS[0])
    assert first_difference(found, reference(dataset, PARAMS[0])) is None


# One reader with Dask and one without stand for all.
@pytest.mark.parametrize(("count", "params"), [(1, PARAMS[0]), *product([3], PARAMS)], ids=str)
@pytest.mark.parametrize("reader", ["skimage", "dask-array-skimage"])
@pytest.mark.parametrize("processor", [*WITHOUT, *WITH_DASK])
def test_same_cells_with_every_parameter(
    reader: str, processor: str, params: PipelineParams, count: int
) -> None:
    """From smears, one or several, each backend finds the reference's cells by every method."""
    dataset = datasets.smear(3, shape=SHAPE)
    found = segmented(spec_of(reader, processor, several=True), dataset, params, count)
    assert first_difference(found, reference(dataset, params, count)) is None
    assert found.labels.dtype == np.int32
    assert {rows.dtype for rows in found.objects} == {np.dtype(np.int64)}


@pytest.mark.parametrize("params", PARAMS[1:3], ids=str)
@pytest.mark.parametrize("processor", [*WITHOUT, *WITH_DASK])
def test_same_cells_from_pixels(processor: str, params: PipelineParams) -> None:
    """From pixels in memory each processor finds the cells that the reference finds in files."""
    dataset = datasets.tissue(3, shape=SHAPE)
    pixels = datasets.read_labels(dataset.files).astype(np.uint8)
    found = segmented(spec_of("skimage", processor, several=True), pixels, params)
    assert first_difference(found, reference(dataset, params)) is None


@pytest.mark.parametrize("processor", [*WITHOUT, *WITH_DASK])
@pytest.mark.parametrize("empty", [(0,), (1,), (0, 1, 2)], ids=str)
def test_images_without_cells(processor: str, empty: tuple[int, ...]) -> None:
    """An image without a cell has none, and takes none from the images beside it."""
    pixels = np.stack([smear_image(index, shape=SHAPE).pixels for index in range(3)])
    pixels[list(empty)] = 200
    found = segmented(spec_of("skimage", processor), pixels, PARAMS[0])
    for index in range(3):
        assert (len(found.objects[index]) == 0) == (index in empty)
        assert found.labels[index].any() == (index not in empty)
        assert found.objects[index].shape[1] == 2


@pytest.mark.parametrize("params", [PARAMS[0], PARAMS[1], PARAMS[3]], ids=str)
@pytest.mark.parametrize("processor", [*WITHOUT, *WITH_DASK])
def test_saturated_background_has_no_cells(processor: str, params: PipelineParams) -> None:
    """A flat, saturated part of an image holds no cells, however a library rounds its sums."""
    pixels = np.full((1, 48, 120, 3), 255, np.uint8)
    pixels[0, :, :60] = smear_image(1, shape=(48, 60)).pixels
    found = segmented(spec_of("skimage", processor), pixels, params)
    assert found.labels[..., :60].any()
    assert not found.labels[..., 90:].any()


@pytest.mark.parametrize("processor", [*WITHOUT, *WITH_DASK])
def test_median(processor: str) -> None:
    """The median gives the same cells too, but for OpenCV, which has none and says so."""
    dataset, params = (
        datasets.smear(3, shape=SHAPE),
        PipelineParams(diameter=8, block_size=7, method="median"),
    )
    spec = spec_of("skimage", processor)
    if processor == "opencv":
        with pytest.raises(InputError, match="opencv has no median"):
            segmented(spec, dataset, params, 1)
    else:
        found = segmented(spec, dataset, params, 2)
        assert first_difference(found, reference(dataset, params, 2)) is None


@pytest.mark.parametrize(("method", "largest"), [("gaussian", 47), ("mean", 65), ("median", 65)])
def test_dask_image_needs_room_for_the_block(method: Any, largest: int) -> None:
    """dask-image refuses a block too large for the image in words, and takes one that just fits."""
    pixels, spec = np.zeros((1, 40, 32), np.uint8), spec_of("skimage", "dask-image")
    fits, too_large = (
        PipelineParams(diameter=8, block_size=size, method=method)
        for size in (largest, largest + 2)
    )
    assert segmented(spec, pixels, fits).count == 0
    with pytest.raises(InputError, match=f"40x32 pixels with block size {largest + 2}"):
        segmented(spec, pixels, too_large)


@pytest.mark.parametrize("processor", WITH_DASK)
def test_objects_end_with_their_image(processor: str) -> None:
    """An object at the same place of the next image is another one, in a batch too."""
    image = np.full((24, 24), 230, np.uint8)
    image[8:14, 8:14] = 20
    params = PipelineParams(diameter=8, block_size=11)
    found = segmented(spec_of("skimage", processor), np.stack([image] * 5), params)
    areas = [sorted(rows[:, 1].tolist()) for rows in found.objects]
    assert areas == [areas[0]] * 5
    assert areas[0][0] >= 36


@pytest.mark.parametrize(
    ("count", "image_bytes", "workers", "expected"),
    [
        (1, 100, 2, 1),
        (8, 100, 2, 1),
        (9, 100, 2, 2),
        (100, 147_456, 2, 13),
        (500, 147_456, 2, 28),
        (500, 2**21, 2, 2),
        (9, 2**30, 1, 1),
    ],
)
def test_images_per_chunk(count: int, image_bytes: int, workers: int, expected: int) -> None:
    """Four chunks a worker, at most 4 MiB of pixels a chunk, at least one image."""
    with schedulers.start("threads", workers=workers) as scheduler:
        assert phases.images_per_chunk(scheduler, count, image_bytes) == expected


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "thread-pool", "serial"])
@pytest.mark.parametrize("batch", [0, 1, 2, 7])
def test_plain_parts_under_any_scheduler(scheduler: str, batch: int) -> None:
    """What does not use Dask runs under its schedulers, too, with any number of images a task."""
    dataset = datasets.smear(5, shape=SHAPE)
    spec = BackendSpec("skimage", "skimage", scheduler, batch if scheduler != "serial" else 0)
    with phases.started(spec, workers=2) as backend:
        found = phases.segment_files(backend, datasets.lay_out(dataset, 5), PARAMS[0])
        tasks = phases.graph_cost(backend, datasets.lay_out(dataset, 5), PARAMS[0]).tasks
    assert first_difference(found, reference(dataset, PARAMS[0], 5)) is None
    # With one worker four batches are of two images, and three of those are all.
    expected = math.ceil(5 / (batch or (2 if scheduler == "synchronous" else 1)))
    assert tasks == (expected if scheduler in schedulers.WITH_DASK else 0)


def test_tasks_are_counted() -> None:
    """A backend without Dask has no tasks; a batching one has fewer than one image a chunk."""
    dataset = datasets.smear(12, shape=(16, 20))

    def tasks(reader: str, processor: str) -> int:
        with phases.started(spec_of(reader, processor), workers=1) as backend:
            return phases.graph_cost(backend, datasets.lay_out(dataset, 12), PARAMS[0]).tasks

    assert tasks("skimage", "skimage") == 0
    batched = tasks("dask-array-skimage", "dask-blocks")
    assert 0 < batched < tasks("dask-array-skimage", "dask-one-by-one")
    assert tasks("dask-image", "dask-image") < tasks("dask-image", "dask-image-one-by-one")
    assert tasks("skimage", "dask-blocks") > 0
    assert tasks("dask-image", "skimage") >= 12


def test_names_of_files_open_nothing(tmp_path: Path) -> None:
    """The plain readers list what matches a pattern, be it that none of it can be opened."""
    files = [tmp_path / f"{index}.jpg" for index in range(3)]
    for file in files:
        file.write_bytes(b"no image")
    for name in WITHOUT:
        reader, _ = registry.load(BackendSpec(name, name, "serial"))
        assert reader.files(f"{tmp_path}/*.jpg") == [str(file) for file in files]
        assert reader.files(str(files[1])) == [str(files[1])]


def test_a_batch_that_is_given_is_kept() -> None:
    """However large its chunks become; what is chosen stays under a bound."""
    with schedulers.start("threads", workers=2, batch=64) as scheduler:
        assert phases.images_per_chunk(scheduler, 500, 2**23) == 64
        assert phases.images_per_chunk(scheduler, 10, 2**23) == 10
