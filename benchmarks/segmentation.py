"""Time, peak memory and tracked values of every backend and size, over commits and versions.

The axes are literals: asv matches the values of a commit with those of another by their position,
so a default that changes in the package must not move them. A test holds them equal to the
package's own. Each benchmark has a version, to be raised when what it measures becomes another
thing: asv's own, a hash of the code, forgets the history at any edit.
"""

from __future__ import annotations

import atexit
import functools
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar

# An import that fails stops the discovery of all benchmarks, and a commit may lack a module. Here,
# rather than in `setup`, so that asv's fork server imports the libraries once.
try:
    # First of all, and as `segbench run` does: the libraries read these when they are loaded.
    from segbench.measure.workers import NATIVE_POOLS

    os.environ.update(dict.fromkeys(NATIVE_POOLS, "1"))

    from segbench.backends import phases, registry
    from segbench.images import datasets
    from segbench.pipeline import PipelineParams

    PARAMS = PipelineParams()
    registry.parts()  # imports the libraries of all of them
except ImportError:
    registry = None  # type: ignore[assignment]  # looked at in `setup`

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from segbench.backends.interface import Backend

F = TypeVar("F", bound="Callable[..., object]")

# By backend and size: objects, whether they differ from the reference's, tasks.
Found = dict[tuple[str, int], tuple[int, bool, int]]

BACKENDS = [
    "skimage/skimage/serial",
    "skimage/skimage/thread-pool",
    "skimage/skimage/process-pool",
    "skimage/skimage/threads",
    "dask-batched/dask-blocks/threads",
    "dask-image/dask-image/threads",
    "dask-array-skimage/dask-image-blocks/threads",
    "dask-array-pims/dask-blocks/threads",
    "dask-array-skimage/dask-blocks/threads",
]
SIZES = [1, 20, 50, 200, 500]
# Where the largest would take as long as the others together, and tell little more.
NOT_THE_LARGEST = SIZES[:-1]
WORKERS = 2

# Up to here asv samples as it does by itself: a tenth of a second to warm up, then five calls in
# each of two processes. With larger sizes, of which a call takes up to 12 s (500 images, dask-image),
# that would be half an hour; two seconds a process, and a call in any case, are four minutes.
LARGEST_AS_ASV_DOES = 50
FEW_SAMPLES = (1, 5, 2.0)  # at least, at most, seconds after which no other is begun


@functools.cache
def _start(name: str) -> Backend:
    """Start a backend, once in a process: asv repeats `setup` before every sample."""
    stack = ExitStack()
    atexit.register(stack.close)
    image = _pattern(1)
    spec = registry.parse_spec(name)
    return stack.enter_context(phases.started(spec, workers=WORKERS, image=image, params=PARAMS))


@functools.cache
def _pixels(pattern: str) -> NDArray[Any]:
    return phases.read_images(_start(BACKENDS[0]), pattern)


def _pattern(n_images: int) -> str:
    return datasets.lay_out(datasets.smear(max(SIZES)), n_images)


def _called(name: str, *, version: str, unit: str = "") -> Callable[[F], F]:
    """What asv reads off the function of a benchmark."""

    def mark(function: F) -> F:
        told = {"pretty_name": name, "version": version, **({"unit": unit} if unit else {})}
        vars(function).update(told)
        return function

    return mark


class _Cases:
    """The axes, and what asv is to do once for each of their combinations."""

    params = (BACKENDS, SIZES)
    param_names = ("backend", "n_images")
    timeout = 300
    # Processes of one program differ for as long as they live.
    rounds = 2

    def setup(self, name: str, n_images: int) -> None:
        """Start the backend and lay out the files."""
        if n_images > LARGEST_AS_ASV_DOES:
            self.repeat = FEW_SAMPLES  # which asv reads after this
        if registry is None:
            raise NotImplementedError("this commit has no such backends")
        self.pattern = _pattern(n_images)
        try:
            self.backend = _start(name)
        except registry.UnavailableError as error:
            raise NotImplementedError(str(error)) from error


class Files(_Cases):
    """What starts from files."""

    @_called("Open: a handle on the files", version="1")
    def time_open(self, *_: object) -> None:
        """Phase open."""
        phases.open_images(self.backend, self.pattern)

    @_called("Read: all pixels in memory", version="1")
    def time_read(self, *_: object) -> None:
        """Phase read."""
        phases.read_images(self.backend, self.pattern)

    @_called("Pipeline: files to a table of cells", version="1")
    def time_pipeline(self, *_: object) -> None:
        """Phase pipeline."""
        phases.run_pipeline(self.backend, self.pattern, PARAMS)


class Memory(_Cases):
    """Peaks, which asv counts from the start of `setup`, so that holds no pixels."""

    params = (BACKENDS, NOT_THE_LARGEST)  # the peak grows along a line

    @_called("Pipeline: peak memory of the process", version="1")
    def peakmem_pipeline(self, *_: object) -> None:
        """Phase pipeline; asv counts the process itself, not those of its pool."""
        phases.run_pipeline(self.backend, self.pattern, PARAMS)


class Pixels(_Cases):
    """What starts from pixels in memory."""

    def setup(self, name: str, n_images: int) -> None:
        """Read the pixels too."""
        super().setup(name, n_images)
        self.pixels = _pixels(self.pattern)

    @_called("Process: pixels to a table of cells", version="1")
    def time_process(self, *_: object) -> None:
        """Phase process."""
        phases.process_images(self.backend, self.pixels, PARAMS)


def _areas(cells: Any) -> list[list[int]]:
    """Of the objects of each image, sorted: what every commit's table has."""
    return [sorted(rows[:, 1].tolist()) for rows in cells.objects]


class Cells(_Cases):
    """What a backend finds, and the size of its task graph: computed once for all."""

    params = (BACKENDS, NOT_THE_LARGEST)

    def setup_cache(self) -> Found:
        """Objects, whether they differ from the reference, and tasks, for each backend and size."""
        found: Found = {}
        for n_images in NOT_THE_LARGEST:
            pattern = _pattern(n_images)
            reference = phases.run_pipeline(_start(BACKENDS[0]), pattern, PARAMS)
            for name in BACKENDS:
                try:
                    backend = _start(name)
                except registry.UnavailableError:
                    continue  # its values are missing, those of the others are there
                cells = phases.run_pipeline(backend, pattern, PARAMS)
                tasks = phases.graph_cost(backend, pattern, PARAMS).tasks
                wrong = _areas(cells) != _areas(reference)
                found[name, n_images] = cells.count, wrong, tasks
        return found

    setup_cache.timeout = 900  # type: ignore[attr-defined]  # asv reads it off the function

    def setup(self, _found: object, name: str, n_images: int) -> None:  # type: ignore[override]  # asv puts the cache first
        """Look nothing up that is not there."""

    @_called("Objects found", version="1", unit="objects")
    def track_objects(self, found: Found, name: str, n_images: int) -> int:
        """Objects found."""
        return found[name, n_images][0]

    @_called("Cells differ from the reference's: 1, otherwise 0", version="1", unit="wrong results")
    def track_wrong_result(self, found: Found, name: str, n_images: int) -> int:
        """1 where the cells differ from the reference's, otherwise 0."""
        return int(found[name, n_images][1])

    @_called("Tasks in the graph of the pipeline", version="1", unit="tasks")
    def track_tasks(self, found: Found, name: str, n_images: int) -> int:
        """Tasks in the graph of the pipeline, as Dask is to run it."""
        return found[name, n_images][2]
