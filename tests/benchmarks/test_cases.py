"""The cases as pytest benchmarks: run once each as tests, timed with ``--benchmark-enable``."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from segbench.agreement import first_different_image, first_different_table
from segbench.backends import phases, registry
from segbench.backends.registry import BASELINE, BackendSpec
from segbench.images import datasets
from segbench.measure.settings import BACKENDS, PHASES, SIZES
from segbench.pipeline import Measured, PipelineParams, Segmentation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from pytest_benchmark.fixture import BenchmarkFixture

    from segbench.backends.interface import Backend

PARAMS = PipelineParams()
WORKERS = 2

# As long as a round lasts at least, in seconds: `open` takes a fraction of a millisecond.
ROUND_SECONDS = 0.005


# As tests, larger sizes say nothing that these do not.
LARGEST_QUICK = 20


def slow_from(size: int) -> Any:
    """A size, marked as slow where it is large."""
    return pytest.param(size, marks=[pytest.mark.slow] if size > LARGEST_QUICK else [])


def pattern(n_images: int) -> str:
    """The files of a size; a small one needs no large dataset."""
    count = LARGEST_QUICK if n_images <= LARGEST_QUICK else max(SIZES)
    return datasets.lay_out(datasets.smear(count), n_images)


@pytest.fixture(scope="module", params=BACKENDS, ids=str)
def backend(request: pytest.FixtureRequest) -> Iterator[tuple[BackendSpec, Backend]]:
    """Each backend in turn, started."""
    spec: BackendSpec = request.param
    with ExitStack() as stack:
        try:
            running = stack.enter_context(
                phases.started(spec, workers=WORKERS, image=pattern(1), params=PARAMS)
            )
        except registry.UnavailableError as error:
            pytest.skip(str(error))
        yield spec, running


@pytest.fixture(scope="module", params=[slow_from(size) for size in SIZES])
def reference(request: pytest.FixtureRequest) -> tuple[int, NDArray[Any], Segmentation]:
    """A size, and its pixels and cells by the baseline."""
    size: int = request.param
    with phases.started(BASELINE, workers=1, image=pattern(1), params=PARAMS) as running:
        pixels = phases.read_images(running, pattern(size))
        return size, pixels, phases.segment_pixels(running, pixels, PARAMS)


@pytest.mark.benchmark(min_time=ROUND_SECONDS, min_rounds=3, max_time=0.5)
@pytest.mark.parametrize("phase", PHASES)
def test_case(
    phase: str,
    backend: tuple[BackendSpec, Backend],
    reference: tuple[int, NDArray[Any], Segmentation],
    benchmark: BenchmarkFixture,
) -> None:
    """A case gives the reference's pixels or cells, however it is timed."""
    spec, running = backend
    n_images, pixels, cells = reference
    files = pattern(n_images)
    calls = {
        "open": lambda: phases.open_images(running, files),
        "read": lambda: phases.read_images(running, files),
        "process": lambda: phases.process_images(running, pixels, PARAMS),
        "pipeline": lambda: phases.run_pipeline(running, files, PARAMS),
    }
    benchmark.extra_info.update(backend=str(spec), phase=phase, n_images=n_images)
    benchmark.group = f"{phase}, {n_images} images"
    result = benchmark(calls[phase])
    if phase == "read":
        assert first_different_image(result, pixels) is None
    elif isinstance(result, Measured):
        assert first_different_table(result, cells) is None
        benchmark.extra_info["objects"] = result.count
