"""Backends: every combination finds the reference's cells, and the registry says what is wrong."""

from __future__ import annotations

import functools
import importlib.util
import threading
from itertools import product
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import ndimage

from segbench.agreement import first_difference, first_different_image
from segbench.backends import phases, registry, schedulers
from segbench.backends.interface import Backend, Processor, Reader
from segbench.backends.registry import BASELINE, BackendSpec, UnavailableError
from segbench.errors import InputError
from segbench.images import datasets
from segbench.images.smear import smear_image
from segbench.pipeline import PipelineParams

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from segbench.images.datasets import Dataset
    from segbench.pipeline import Segmentation

SHAPE = (32, 40)
BLOCK_SIZE = 21

READERS = ("skimage", "dask-image", "dask-array-pims", "dask-array-skimage")
PROCESSORS = ("skimage", "dask-image", "dask-image-area", "dask-blocks", "opencv")
HERE = tuple(name for name in PROCESSORS if name != "opencv" or importlib.util.find_spec("cv2"))
PARAMS = (
    PipelineParams(block_size=BLOCK_SIZE),
    PipelineParams(block_size=BLOCK_SIZE, method="mean"),
    PipelineParams(block_size=BLOCK_SIZE, foreground="bright", offset=-0.01, min_area=5),
    PipelineParams(block_size=BLOCK_SIZE, method="mean", foreground="bright"),
)
# Channels, dtype and suffix of the images; Pillow writes no colour PNG of 16 bit.
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


def combinations() -> list[BackendSpec]:
    """All backends that make sense and run in this process."""
    specs = []
    for reader, processor in product(READERS, HERE):
        without = reader == "skimage" and processor in ("skimage", "opencv")
        names = ("serial", "thread-pool") if without else ("synchronous", "threads")
        specs += [BackendSpec(reader, processor, name) for name in names]
    return specs


def smooth(index: int, channels: tuple[int, ...], dtype: str) -> Any:
    """Draw random blobs, in channels that differ."""
    random = np.random.default_rng([7, index])
    noise = random.standard_normal((*SHAPE, *channels))
    blobs = ndimage.gaussian_filter(noise, (3, 3, *(0 for _ in channels)))
    share = (blobs - blobs.min()) / np.ptp(blobs)
    return np.rint(share * np.iinfo(dtype).max).astype(dtype)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Dataset, NDArray[Any]]]:
    """Give three images of each kind, and their pixels."""
    made = {}
    for kind, (channels, dtype) in KINDS.items():
        folder = tmp_path_factory.mktemp("images")
        stack = np.stack([smooth(index, channels, dtype) for index in range(3)])
        for index, pixels in enumerate(stack):
            path = folder / f"{index}.{kind.split('.')[1]}"
            if path.suffix == ".tif":
                tifffile.imwrite(path, pixels, photometric="rgb" if channels else "minisblack")
            else:
                Image.fromarray(pixels).save(path)
        made[kind] = (datasets.from_images(str(folder)), stack)
    return made


def run(spec: BackendSpec, dataset: Dataset, count: int, params: PipelineParams) -> Segmentation:
    """Segment files as `segbench segment` does."""
    with schedulers.start(spec.scheduler, workers=2) as scheduler:
        backend = Backend(*registry.load(spec), scheduler)
        return phases.run_pipeline(backend, datasets.lay_out(dataset, count), params)


@functools.cache
def reference(dataset: Dataset, count: int, params: PipelineParams) -> Segmentation:
    """Segment files by the baseline, once."""
    found = run(BASELINE, dataset, count, params)
    assert found.count > 0
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("count", [1, 3])
def test_readers_give_the_pixels(
    images: dict[str, tuple[Dataset, NDArray[Any]]], kind: str, reader: str, count: int
) -> None:
    """Every reader gives the pixels that were written, in the order of the files."""
    dataset, written = images[kind]
    spec = BackendSpec(reader, "skimage", "serial" if reader == "skimage" else "synchronous")
    with schedulers.start(spec.scheduler, workers=2) as scheduler:
        backend = Backend(*registry.load(spec), scheduler)
        pixels = phases.read_images(backend, datasets.lay_out(dataset, count))
    if kind.endswith(".jpg"):  # which loses some
        written = datasets.read_labels(dataset.files).astype(np.uint8)
    assert first_different_image(pixels, written[:count]) is None


@pytest.mark.parametrize("reader", READERS)
def test_handles_are_lazy(images: dict[str, tuple[Dataset, NDArray[Any]]], reader: str) -> None:
    """A handle is a Dask array of one image a chunk, or lists its files."""
    dataset, written = images["rgb8.png"]
    part = registry.load(
        BackendSpec(reader, "skimage", "serial" if reader == "skimage" else "threads")
    )[0]
    handle = part.open(datasets.lay_out(dataset, 3))
    if part.uses_dask:
        assert handle.shape == written.shape
        assert handle.dtype == written.dtype
        assert handle.chunks[0] == (1, 1, 1)
    else:
        assert len(handle.files) == 3


# dask-image-area takes long, and sees labels alone; threads or not is no matter of pixels.
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "spec",
    [
        spec
        for spec in combinations()
        if spec.processor != "dask-image-area" and spec.scheduler in ("serial", "synchronous")
    ],
    ids=str,
)
def test_same_cells_in_every_kind_of_image(
    images: dict[str, tuple[Dataset, NDArray[Any]]], spec: BackendSpec, kind: str
) -> None:
    """From files of every kind each backend finds the reference's cells."""
    dataset, _ = images[kind]
    found = run(spec, dataset, 3, PARAMS[0])
    assert first_difference(found, reference(dataset, 3, PARAMS[0])) is None


@pytest.mark.parametrize(
    ("count", "params"), [(1, PARAMS[0]), *((3, params) for params in PARAMS)], ids=str
)
@pytest.mark.parametrize("spec", combinations(), ids=str)
def test_same_cells_with_every_parameter(
    spec: BackendSpec, params: PipelineParams, count: int
) -> None:
    """From smears, one or several, each backend finds the reference's cells by every method."""
    dataset = datasets.smear(3, shape=SHAPE)
    found = run(spec, dataset, count, params)
    assert first_difference(found, reference(dataset, count, params)) is None
    assert found.labels.dtype == np.int32
    assert {rows.dtype for rows in found.objects} == {np.dtype(np.int64)}


@pytest.mark.parametrize("params", PARAMS, ids=str)
@pytest.mark.parametrize("spec", [s for s in combinations() if s.reader == "skimage"], ids=str)
def test_same_cells_from_pixels(spec: BackendSpec, params: PipelineParams) -> None:
    """From pixels in memory each processor finds the cells that the reference finds in files."""
    dataset = datasets.tissue(3, shape=SHAPE)
    pixels = datasets.read_labels(dataset.files).astype(np.uint8)
    with schedulers.start(spec.scheduler, workers=2) as scheduler:
        backend = Backend(*registry.load(spec), scheduler)
        found = phases.process_images(backend, pixels, params)
    assert first_difference(found, reference(dataset, 3, params)) is None


@pytest.mark.parametrize("spec", [s for s in combinations() if s.reader == "skimage"], ids=str)
@pytest.mark.parametrize("empty", [(0,), (1,), (0, 1, 2)], ids=str)
def test_images_without_cells(spec: BackendSpec, empty: tuple[int, ...]) -> None:
    """An image without a cell has none, and takes none from the images beside it."""
    pixels = np.stack([smear_image(index, shape=SHAPE).pixels for index in range(3)])
    pixels[list(empty)] = 200
    with schedulers.start(spec.scheduler, workers=2) as scheduler:
        backend = Backend(*registry.load(spec), scheduler)
        found = phases.process_images(backend, pixels, PARAMS[0])
    for index in range(3):
        assert (len(found.objects[index]) == 0) == (index in empty)
        assert found.labels[index].any() == (index not in empty)
        assert found.objects[index].shape[1] == 2


@pytest.mark.parametrize("processor", HERE)
def test_saturated_background_has_no_cells(processor: str) -> None:
    """A flat, saturated part of an image holds no cells, however a library rounds its sums."""
    pixels = np.full((1, 64, 300, 3), 255, np.uint8)
    pixels[0, :, :120] = smear_image(1, shape=(64, 120)).pixels
    dask_inside = processor not in ("skimage", "opencv")
    spec = BackendSpec("skimage", processor, "synchronous" if dask_inside else "serial")
    with schedulers.start(spec.scheduler, workers=1) as scheduler:
        backend = Backend(*registry.load(spec), scheduler)
        for params in PARAMS:
            if params.offset:
                continue
            found = phases.process_images(backend, pixels, params)
            assert found.labels[..., :120].any()
            assert not found.labels[..., 150:].any()


@pytest.mark.parametrize("spec", [s for s in combinations() if s.reader == "skimage"], ids=str)
def test_median(spec: BackendSpec) -> None:
    """The median gives the same cells too, but for OpenCV, which has none and says so."""
    dataset, params = datasets.smear(3, shape=SHAPE), PipelineParams(block_size=7, method="median")
    if spec.processor == "opencv":
        with pytest.raises(InputError, match="opencv has no median"):
            run(spec, dataset, 1, params)
    else:
        found = run(spec, dataset, 2, params)
        assert first_difference(found, reference(dataset, 2, params)) is None


@pytest.mark.parametrize(("method", "largest"), [("gaussian", 47), ("mean", 65), ("median", 65)])
def test_dask_image_needs_room_for_the_block(method: Any, largest: int) -> None:
    """dask-image refuses a block too large for the image in words, and takes one that just fits."""
    pixels = np.zeros((1, 40, 32), np.uint8)
    with schedulers.start("synchronous", workers=1) as scheduler:
        spec = BackendSpec("skimage", "dask-image", "synchronous")
        backend = Backend(*registry.load(spec), scheduler)
        fits, too_large = (
            PipelineParams(block_size=size, method=method) for size in (largest, largest + 2)
        )
        assert phases.process_images(backend, pixels, fits).count == 0
        with pytest.raises(InputError, match=f"40x32 pixels with block size {largest + 2}"):
            phases.process_images(backend, pixels, too_large)


@pytest.mark.parametrize("processor", ["dask-image", "dask-image-area", "dask-blocks"])
def test_images_of_a_stack_are_apart(processor: str) -> None:
    """An object at the same place of the next image is another one, in a batch too."""
    image = np.full((24, 24), 230, np.uint8)
    image[8:14, 8:14] = 20
    with schedulers.start("synchronous", workers=1) as scheduler:
        backend = Backend(
            *registry.load(BackendSpec("skimage", processor, "synchronous")), scheduler
        )
        pixels = np.stack([image] * 5)
        found = phases.process_images(backend, pixels, PipelineParams(block_size=11))
    areas = [sorted(rows[:, 1].tolist()) for rows in found.objects]
    assert areas == [areas[0]] * 5
    assert areas[0][0] >= 36


@pytest.mark.parametrize(
    ("count", "image_bytes", "workers", "expected"),
    [(1, 100, 2, 1), (8, 100, 2, 1), (9, 100, 2, 2), (500, 147_456, 2, 63), (500, 2**23, 2, 2)],
)
def test_images_per_chunk(count: int, image_bytes: int, workers: int, expected: int) -> None:
    """Four chunks a worker, at most 16 MiB of pixels a chunk, at least one image."""
    size = phases.images_per_chunk(count, image_bytes=image_bytes, workers=workers)
    assert size == expected
    assert phases.images_per_chunk(9, image_bytes=2**30, workers=1) == 1


def test_tasks_are_counted() -> None:
    """A backend without Dask has no tasks; a batching one has fewer than one image a chunk."""
    dataset = datasets.smear(12, shape=(16, 20))
    counts = {}
    for spec in (
        BASELINE,
        BackendSpec("dask-array-skimage", "dask-blocks", "synchronous"),
        BackendSpec("dask-array-skimage", "dask-image", "synchronous"),
        BackendSpec("skimage", "dask-blocks", "synchronous"),
        BackendSpec("dask-image", "skimage", "synchronous"),
    ):
        with schedulers.start(spec.scheduler, workers=1) as scheduler:
            backend = Backend(*registry.load(spec), scheduler)
            counts[spec] = phases.count_tasks(backend, datasets.lay_out(dataset, 12), PARAMS[0])
    none, batched, single, pixels, reading = counts.values()
    assert none == 0
    assert 0 < batched < single
    assert pixels > 0
    assert reading >= 12


@pytest.mark.parametrize("name", ["serial", "thread-pool"])
@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_map_keeps_the_order(name: str, count: int) -> None:
    """Results come in the order of the items, whoever worked on them."""
    with schedulers.start(name, workers=2) as scheduler:
        assert scheduler.map(lambda item: item * 2, range(count)) == [2 * i for i in range(count)]


def test_scheduler_is_where_the_work_runs() -> None:
    """The thread pools of both kinds work in other threads, the others in this one."""
    here = threading.get_ident()

    def in_dask(name: str) -> bool:
        with schedulers.start(name, workers=2):
            return bool(dask.delayed(threading.get_ident)().compute() == here)

    def without(name: str) -> bool:
        with schedulers.start(name, workers=2) as scheduler:
            return set(scheduler.map(lambda _: threading.get_ident(), range(4))) == {here}

    assert [in_dask(name) for name in ("synchronous", "threads")] == [True, False]
    assert [without(name) for name in ("serial", "thread-pool")] == [True, False]
    assert dask.config.get("scheduler", None) is None


# The registry


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("skimage", "backend 'skimage': write reader/processor/scheduler, such as"),
        ("a/b/c/d", "backend 'a/b/c/d': write reader/processor/scheduler"),
        ("", "backend '': write reader/processor/scheduler"),
        ("skimag/skimage/serial", "unknown reader 'skimag' (did you mean skimage?): choose from"),
        ("skimage/xyz/serial", "unknown processor 'xyz': choose from dask-blocks, dask-image, "),
        ("skimage/skimage/thread", "unknown scheduler 'thread' (did you mean threads?): choose "),
        ("skimage//serial", "unknown processor '': choose from"),
    ],
)
def test_unknown_names_list_the_alternatives(text: str, message: str) -> None:
    """A spec with an unknown part is refused in one line that lists what there is."""
    with pytest.raises(InputError) as caught:
        registry.parse_spec(text)
    assert str(caught.value).startswith(message)
    assert len(str(caught.value).splitlines()) == 1


def test_alternatives_are_all_there() -> None:
    """The alternatives listed are all readers, all processors and all schedulers."""
    for spec, names in (
        ("?/skimage/serial", READERS),
        ("skimage/?/serial", PROCESSORS),
        ("skimage/skimage/?", schedulers.SCHEDULERS),
    ):
        with pytest.raises(InputError) as caught:
            registry.parse_spec(spec)
        listed = str(caught.value).split("choose from ")[1].split(", ")
        assert set(names) <= set(listed)


def test_spec_is_read_and_written() -> None:
    """A spec is read back from its own text, and spaces around it do not matter."""
    spec = BackendSpec("dask-image", "dask-blocks", "threads")
    assert registry.parse_spec(f" {spec} ") == spec


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("dask-image/skimage/serial", "the reader dask-image builds a Dask graph, which serial"),
        ("skimage/dask-blocks/thread-pool", "the processor dask-blocks builds a Dask graph"),
        ("dask-image/dask-image/process-pool", "the reader dask-image builds a Dask graph"),
        ("skimage/skimage/threads", "neither part uses Dask, so its scheduler threads would"),
        ("skimage/skimage/synchronous", "neither part uses Dask"),
    ],
)
def test_impossible_combinations_are_refused(spec: str, reason: str) -> None:
    """A scheduler that can't run its parts is refused with the reason and what could."""
    with pytest.raises(InputError) as caught:
        registry.load(registry.parse_spec(spec))
    assert str(caught.value).startswith(f"backend {spec}: {reason}")
    fitting = schedulers.WITHOUT_DASK if "neither" in reason else schedulers.WITH_DASK
    assert str(caught.value).endswith(f"use one of {', '.join(fitting)}")


def test_scheduler_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler whose library is missing says what to install, and is listed with it."""
    monkeypatch.setitem(schedulers.EXTRAS, "distributed", ("no_such_module", "distributed"))
    with pytest.raises(UnavailableError, match=r'pip install "segbench\[distributed\]"'):
        registry.load(BackendSpec("skimage", "dask-blocks", "distributed"))
    missing = {part.name: part.missing for part in registry.parts() if part.kind == "scheduler"}
    assert [name for name in missing if missing[name]] == ["distributed"]


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a distribution with good and bad parts on the path, without installing it."""
    site = tmp_path / "site"
    info = site / "cellplug-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cellplug\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[segbench.readers]\n"
        "cellplug = cellplug_good:READER\n"
        "cellplug-wrong = cellplug_good:PROCESSOR\n"
        "skimage = cellplug_good:READER\n"
        "[segbench.processors]\n"
        "cellplug = cellplug_good:PROCESSOR\n"
        "cellplug-broken = cellplug_broken:PROCESSOR\n"
        "cellplug-nothing = cellplug_good:NOTHING\n"
        "cellplug-plain = cellplug_plain:PROCESSOR\n"
        "cellplug-extra = cellplug_plain:PROCESSOR [fast]\n"
    )
    (site / "cellplug_good.py").write_text(
        "from segbench.backends.readers import SKIMAGE as READER\n"
        "from segbench.backends.skimage import PROCESSOR\n"
    )
    (site / "cellplug_broken.py").write_text("raise RuntimeError('no licence')\n")
    (site / "cellplug_plain.py").write_text("import no_such_module\n")
    monkeypatch.syspath_prepend(site)
    return site


def missing(name: str, kind: str = "processor") -> str:
    """What a listed part of the plugin lacks."""
    (part,) = (part for part in registry.parts() if (part.kind, part.name) == (kind, name))
    assert part.source == "cellplug"
    return part.missing


@pytest.mark.usefixtures("plugin")
def test_plugin_works() -> None:
    """A reader and a processor of another package are listed, and do the work."""
    assert missing("cellplug", "reader") == missing("cellplug") == ""
    spec = registry.parse_spec("cellplug/cellplug/serial")
    dataset = datasets.smear(2, shape=SHAPE)
    found = run(spec, dataset, 2, PARAMS[0])
    assert first_difference(found, reference(dataset, 2, PARAMS[0])) is None


@pytest.mark.usefixtures("plugin")
def test_broken_plugins_do_not_stop_the_others() -> None:
    """A plugin that raises, lacks its object or is of the wrong type says so, alone."""
    assert "cellplug is broken: RuntimeError('no licence')" in missing("cellplug-broken")
    assert "cellplug is broken: AttributeError" in missing("cellplug-nothing")
    assert missing("cellplug-wrong", "reader") == (
        "reader cellplug-wrong of cellplug is broken: "
        "cellplug_good:PROCESSOR is a Processor, not a Reader"
    )
    own = [part for part in registry.parts() if part.source == "segbench" and part.name in HERE]
    assert own
    assert not any(part.missing for part in own)
    with pytest.raises(UnavailableError, match="no licence"):
        registry.load(BackendSpec("skimage", "cellplug-broken", "serial"))


@pytest.mark.usefixtures("plugin")
def test_missing_library_says_what_to_install() -> None:
    """A part whose import fails says how to install it, with its extra where it has one."""
    text = "No module named 'no_such_module'; pip install "
    assert missing("cellplug-plain") == f"processor cellplug-plain: {text}cellplug"
    assert missing("cellplug-extra") == f'processor cellplug-extra: {text}"cellplug[fast]"'


@pytest.mark.usefixtures("plugin")
def test_own_names_are_kept() -> None:
    """Another package can't take over the name of one of segbench's parts."""
    (part,) = (part for part in registry.parts() if (part.kind, part.name) == ("reader", "skimage"))
    assert part.source == "segbench"


def test_plugin_is_gone_with_its_package() -> None:
    """Parts are looked up each time: without its package a plugin is not listed."""
    assert not [part for part in registry.parts() if part.source == "cellplug"]


def test_parts_are_all_listed() -> None:
    """Every reader, processor and scheduler is listed once, by kind and name."""
    listed = [(part.kind, part.name) for part in registry.parts() if part.source == "segbench"]
    for kind, names in (
        ("reader", READERS),
        ("processor", PROCESSORS),
        ("scheduler", schedulers.SCHEDULERS),
    ):
        assert sorted(name for own, name in listed if own == kind) == sorted(names)


def test_parts_say_whether_they_use_dask() -> None:
    """A reader with `load` and a processor without a word on Dask work without it."""
    operation = str
    assert Reader(open=operation).uses_dask
    assert not Reader(open=operation, load=np.load).uses_dask
    processor = Processor(
        grayscale=operation,
        blur=operation,
        threshold=max,
        label=operation,
        measure=operation,
    )
    assert not processor.uses_dask
    assert not processor.batches
