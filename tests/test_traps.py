"""The traps of ``docs/why/traps.md``: that each is there, and that segbench does not step into it.

A test that only shows a trap upstream would say when it is gone; the others fail when the guard is
taken out.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array as da
import dask.array.image
import dask_image.imread
import dask_image.ndfilters
import dask_image.ndmeasure
import numpy as np
import pytest
import skimage.filters
import skimage.io
from packaging.requirements import Requirement
from packaging.version import Version
from PIL import Image
from scipy import ndimage

from segbench.agreement import first_difference
from segbench.backends import dask_image as stack_backend
from segbench.backends import phases, registry
from segbench.backends import skimage as image_backend
from segbench.backends.readers import DASK_ARRAY_PIMS, DASK_ARRAY_SKIMAGE
from segbench.backends.registry import BASELINE, parse_spec
from segbench.images import datasets
from segbench.measure.settings import BACKENDS, PHASES, SIZES
from segbench.measure.workers import NATIVE_POOLS, worker_environment
from segbench.pipeline import PipelineParams, packed

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from segbench.backends.interface import Backend, Processor

ROOT = Path(__file__).parents[1]
PARAMS = PipelineParams(diameter=8, block_size=21)
READERS = ("skimage", "dask-image", "dask-array-pims", "dask-array-skimage")
SMALL = (64, 80)


@pytest.fixture(scope="module")
def photographs() -> datasets.Dataset:
    """Four small photographs."""
    return datasets.smear(4, shape=SMALL)


def running(spec: str) -> AbstractContextManager[Backend]:
    """A started backend."""
    return phases.started(parse_spec(spec), workers=2)


def spec_of(reader: str) -> str:
    """The plainest backend with a reader."""
    return str(BASELINE) if reader == "skimage" else f"{reader}/dask-blocks/synchronous"


# Lazy against read


@pytest.mark.parametrize("reader", READERS)
def test_open_decodes_nothing_and_read_decodes_all(
    reader: str, photographs: datasets.Dataset, tmp_path: Path
) -> None:
    """`open` does not see that the last file is cut off; `read` does: they are two phases."""
    files = [tmp_path / f"{i:06d}.jpg" for i in range(3)]
    for source, file in zip(photographs.files, files, strict=False):
        content = source.read_bytes()
        file.write_bytes(content if file != files[-1] else content[: len(content) // 2])
    pattern = str(tmp_path / "*.*")
    with running(spec_of(reader)) as backend:
        phases.open_images(backend, pattern)
        with pytest.raises(Exception, match=r"truncated|handlers"):
            phases.read_images(backend, pattern)
    assert [*PHASES][:2] == ["open", "read"]


# dask_image.imread(nframes=5)


@pytest.mark.filterwarnings("ignore:`nframes` does not nicely divide:RuntimeWarning")
def test_dask_image_drops_files_with_nframes(photographs: datasets.Dataset) -> None:
    """Upstream: with several frames a chunk one file a chunk is read, the others are dropped."""
    images = dask_image.imread.imread(datasets.lay_out(photographs, 4), nframes=2)
    assert images.shape[0] == 4
    assert images.compute(scheduler="synchronous").shape[0] == 2


# That readers read every file in its order is tested in test_backends.py.


# dask.array.image.imread


def test_dask_array_image_shares_keys_between_readers(photographs: datasets.Dataset) -> None:
    """Upstream: the graph keys ignore `imread=`, so two readers computed together are the same."""
    pattern = datasets.lay_out(photographs, 4)
    assert DASK_ARRAY_PIMS.open(pattern).name == DASK_ARRAY_SKIMAGE.open(pattern).name
    plain = dask.array.image.imread(pattern, imread=skimage.io.imread)
    inverted = dask.array.image.imread(pattern, imread=lambda file: 255 - skimage.io.imread(file))
    first, second = dask.compute(plain, inverted, scheduler="synchronous")
    np.testing.assert_array_equal(first, second)
    # The guard, one reader a process, is tested in test_engine.py.


# Defaults differ


def operations_of(processor: str) -> Processor:
    """A processor, loaded."""
    scheduler = "serial" if processor in ("skimage", "opencv") else "threads"
    return registry.load(parse_spec(f"skimage/{processor}/{scheduler}"))[1]


def edge_image() -> NDArray[np.float64]:
    """Random values, so that the border matters."""
    return np.random.default_rng(0).random(SMALL)


@pytest.mark.parametrize("processor", ["skimage", "dask-image", "dask-blocks", "opencv"])
def test_defaults_are_spelt_out(processor: str) -> None:
    """Every processor blurs as scipy.ndimage does with `reflect`, and its objects are 4-connected.

    Neither is scikit-image's default.
    """
    operations = operations_of(processor)

    def run(operation: Callable[[Any], Any], image: NDArray[Any]) -> NDArray[Any]:
        given = da.from_array(image[np.newaxis], chunks=-1) if operations.uses_dask else image
        return np.asarray(operation(given)).reshape(SMALL)

    image = edge_image()
    expected = ndimage.gaussian_filter(image, 1, mode="reflect", truncate=4)
    assert not np.allclose(skimage.filters.gaussian(image, 1), expected)
    blurred = run(lambda given: operations.blur(given, PipelineParams(sigma=1)), image)
    np.testing.assert_allclose(blurred, expected, rtol=1e-12)
    mask = np.zeros(SMALL, dtype=bool)
    mask[3, 3] = mask[4, 4] = True
    assert skimage.measure.label(mask).max() == 1
    assert run(operations.label, mask).max() == 2


def test_stack_filters_work_in_float64() -> None:
    """dask-image keeps uint8, in which a blurred value is cut off; the pipeline turns to float64 first."""
    pixels = da.from_array(np.full((1, *SMALL), 3, np.uint8), chunks=-1)
    assert dask_image.ndfilters.gaussian_filter(pixels, (0, 1, 1)).dtype == np.uint8
    assert stack_backend.blur(stack_backend.PROCESSOR.grayscale(pixels), PARAMS).dtype == np.float64


# Stacks


@pytest.mark.parametrize("processor", ["dask-image", "dask-blocks"])
def test_nothing_leaks_from_one_image_into_the_next(processor: str) -> None:
    """An image's cells are the same alone and between two others, even where cells overlie."""
    images = (np.random.default_rng(1).random((3, *SMALL)) > 0.5).astype(np.uint8) * 200
    with running(f"skimage/{processor}/synchronous") as backend:
        together = phases.segment_pixels(backend, images, PARAMS)
        alone = phases.segment_pixels(backend, images[1:2], PARAMS)
    own = packed(together.objects[1:2]).with_labels(together.labels[1:2])
    assert first_difference(own, alone) is None
    # dask-image numbers its objects through the stack: other ids, the same cells.
    assert np.array_equal(own.labels, alone.labels) == (processor == "dask-blocks")


def test_dask_image_joins_neighbours_by_default() -> None:
    """Upstream: the default structure joins an object with the one above it in the next image."""
    mask = da.from_array(np.ones((2, 4, 4), bool), chunks=(1, 4, 4))
    joined, _ = dask_image.ndmeasure.label(mask)
    apart = stack_backend.label(mask)
    assert joined.max().compute(scheduler="synchronous") == 1
    assert apart.max().compute(scheduler="synchronous") == 2


# threshold_local(method="mean") and ndmeasure.area


def test_the_mean_is_no_generic_filter() -> None:
    """dask-image's generic filter, which calls Python for every pixel, is never in the graph."""
    params = PipelineParams(method="mean", block_size=5)
    blurred = edge_image()
    given = da.from_array(blurred[np.newaxis], chunks=-1)
    slow = dask_image.ndfilters.threshold_local(given, (1, 5, 5), method="mean")
    mean = stack_backend.threshold(given, params)
    assert [any("generic" in name for name in one.dask.layers) for one in (slow, mean)] == [
        True,
        False,
    ]
    np.testing.assert_allclose(np.asarray(mean)[0], image_backend.threshold(blurred, params))


def test_the_graph_does_not_grow_with_the_objects(tmp_path: Path) -> None:
    """`dask-image` makes as many tasks for many objects as for none; `area` makes one for each."""
    flat, speckled = tmp_path / "flat.png", tmp_path / "speckled.png"
    Image.fromarray(np.full(SMALL, 100, np.uint8)).save(flat)
    noise = np.random.default_rng(2).random(SMALL) > 0.5
    Image.fromarray(noise.astype(np.uint8) * 200).save(speckled)

    def tasks(processor: str, file: Path) -> int:
        with running(f"skimage/{processor}/synchronous") as backend:
            return phases.graph_cost(backend, str(file), PARAMS).tasks

    # How many tasks Dask merges into others varies from one call to the next.
    assert abs(tasks("dask-image", speckled) - tasks("dask-image", flat)) <= 10
    assert tasks("dask-image-area", speckled) > 100 + tasks("dask-image-area", flat)
    assert "dask-image-area" not in {backend.processor for backend in BACKENDS}


# Threads inside threads


def test_workers_pin_native_pools_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker's environment pins every native pool to one thread, or leaves the user's."""
    for name in NATIVE_POOLS:
        monkeypatch.setenv(name, "8")
    pinned = worker_environment(native_threads=False)
    left = worker_environment(native_threads=True)
    assert {pinned[name] for name in NATIVE_POOLS} == {"1"}
    assert {left[name] for name in NATIVE_POOLS} == {"8"}
    assert os.environ["OMP_NUM_THREADS"] == "8"


# asv


def names_in(body: list[ast.stmt]) -> dict[str, ast.expr]:
    """What names are assigned at the top of a module or of a class, as written."""
    return {
        target.id: node.value
        for node in body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def test_asv_suite_is_written_with_care() -> None:
    """The axes are literals, those of `segbench run`, and the peak holds no pixels.

    Every import of segbench stands in a `try` or under TYPE_CHECKING, so that a commit that lacks
    a module does not stop the discovery of all.
    """
    body = ast.parse((ROOT / "benchmarks" / "segmentation.py").read_text()).body
    written = names_in(body)
    assert ast.literal_eval(written["BACKENDS"]) == [str(backend) for backend in BACKENDS]
    assert ast.literal_eval(written["SIZES"]) == list(SIZES)
    imports = [ast.unparse(node) for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert imports
    assert not [each for each in imports if re.search("segbench|numpy|dask|skimage", each)]
    classes = {node.name: node for node in body if isinstance(node, ast.ClassDef)}
    assert "pixels" not in ast.unparse(classes["_Cases"])
    holders = [name for name, node in classes.items() if "peakmem" in ast.unparse(node)]
    assert holders == ["Memory"]
    assert "pixels" not in ast.unparse(classes["Memory"].body[-1])


def test_asv_builds_the_package_alone() -> None:
    """The build command is set: asv's default collects the wheels of the dependencies too."""
    configuration = json.loads((ROOT / "asv.conf.json").read_text())
    assert "--no-deps" in configuration["build_command"][0]
    # Not beside the runs: asv takes every folder there for a machine's.
    assert configuration["results_dir"] == "results/asv"
    assert configuration["html_dir"] == "reports/asv"


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The ASV suite as asv sees it; the environment that it sets is put back."""
    for name in NATIVE_POOLS:
        monkeypatch.setenv(name, "1")
    return importlib.import_module("benchmarks.segmentation")


def test_asv_samples_by_itself_what_is_short(suite: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to 50 images nothing but the number of processes is chosen; beyond, few samples are taken."""
    monkeypatch.setattr(suite, "registry", None)  # as in a commit that lacks it: nothing is started
    chosen = ("number", "repeat", "warmup_time", "sample_time", "min_run_count")
    for n_images in SIZES:
        files = suite.Files()
        with pytest.raises(NotImplementedError, match="no such backends"):
            files.setup(str(BASELINE), n_images)
        assert files.rounds == 2
        said = {name for name in chosen if hasattr(files, name)}
        assert said == (set() if n_images <= 50 else {"repeat"})


def test_asv_benchmarks_say_what_they_are(suite: Any) -> None:
    """Each has a name in words and a version of its own; a tracked value has a unit."""
    made = {
        name: function
        for each in vars(suite).values()
        if isinstance(each, type) and each.__module__ == suite.__name__
        for name, function in vars(each).items()
        if name.startswith(("time_", "peakmem_", "track_"))
    }
    assert {f"time_{phase}" for phase in PHASES} < {*made}
    assert len({function.pretty_name for function in made.values()}) == len(made)
    for name, function in made.items():
        assert function.version
        assert hasattr(function, "unit") == name.startswith("track_")


def test_asv_measures_the_oldest_and_the_last_releases() -> None:
    """The newest releases, three earlier ones of each library by itself, and the lowest bounds."""
    plain, releases = (
        json.loads((ROOT / f"{name}.conf.json").read_text()) for name in ("asv", "asv.releases")
    )
    apart = {*releases} - {*plain} | {name for name in plain if plain[name] != releases[name]}
    assert apart == {"pythons", "matrix", "include", "env_dir", "results_dir", "html_dir"}
    *others, oldest = releases["include"]
    assert {one["python"] for one in releases["include"]} == {*releases["pythons"]}
    newest = {name: Version(version) for name, (version,) in releases["matrix"]["req"].items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounds = {
        wanted.name: Version(bound.version)
        for wanted in map(Requirement, project["dependencies"])
        for bound in wanted.specifier
        if bound.operator == ">="
    }
    # asv installs them one after the other: before these, others would bring a newer numpy.
    assert list(oldest["req"])[:3] == ["numpy", "scipy", "pandas"]
    assert {"dask", "dask-image", "numpy", "scikit-image"} <= {*newest}
    assert {name: Version(one) for name, one in oldest["req"].items()} == {
        name: bounds[name] for name in newest
    }
    assert all(version > bounds[name] for name, version in newest.items())
    varied = []
    for one in others:
        assert list(one["req"]) == list(oldest["req"])
        versions = {name: Version(version) for name, version in one["req"].items()}
        (name,) = [name for name, version in versions.items() if version != newest[name]]
        assert bounds[name] <= versions[name] < newest[name]
        varied.append(name)
    assert Counter(varied) == dict.fromkeys(("numpy", "scikit-image", "dask", "dask-image"), 3)


def test_label_repeats_little_of_what_comes_before() -> None:
    """dask-image's labels make an image twice at the most; with its default structure far oftener."""
    images = 5

    def times_made(structure: NDArray[np.bool_] | None) -> int:
        made: list[int] = []

        def make(block: NDArray[np.bool_]) -> NDArray[np.bool_]:
            made.append(1)
            return block

        ones = da.ones((images, 8, 8), chunks=(1, 8, 8), dtype=bool)
        stack = da.map_blocks(make, ones, meta=np.empty((0, 0, 0), bool))
        labels, _ = dask_image.ndmeasure.label(stack, structure=structure)
        labels.compute(scheduler="synchronous")
        return len(made)

    if times_made(None) == images:
        pytest.skip("this version of Dask repeats nothing, whatever the structure")
    assert times_made(stack_backend.STRUCTURE) <= 2 * images < times_made(None)
