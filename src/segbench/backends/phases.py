"""How a backend is started, and carries out each phase: open, read, process, pipeline."""

from __future__ import annotations

import math
import os
import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from segbench.backends import registry, schedulers, tiles
from segbench.backends.interface import Backend
from segbench.backends.schedulers import Cluster
from segbench.errors import InputError
from segbench.pipeline import (
    Measured,
    PipelineParams,
    Segmentation,
    joined,
    label_objects,
    measure_objects,
    packed,
    segmentation,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import dask.array as da
    from numpy.typing import NDArray

    from segbench.backends.interface import Processor
    from segbench.backends.registry import BackendSpec
    from segbench.backends.schedulers import Scheduler
    from segbench.backends.tiles import Image

# Bytes of pixels in a chunk that holds several images: as much as a worker is busy with for more than
# the 0.1 s that Dask's documentation advises, and no more, since chunks wait in memory.
BATCH_BYTES = 4 * 2**20


@contextmanager
def started(
    spec: BackendSpec,
    *,
    workers: int,
    cluster: Cluster = Cluster(),  # noqa: B008  (it is frozen)
    image: str | None = None,
    params: PipelineParams = PipelineParams(),  # noqa: B008  (it is frozen)
    memory: float = math.inf,
) -> Iterator[Backend]:
    """Load a backend and start its scheduler.

    Parameters
    ----------
    spec : BackendSpec
        Which one.
    workers : int
        Threads or processes of its scheduler.
    cluster : Cluster
        Where `distributed` runs.
    image : str, optional
        Path of an image that the pipeline is run on once, in this process and in those of a pool:
        the libraries import what they import late, and nothing of it is left when the backend is
        first timed.
    params : PipelineParams
        Of that pipeline.
    memory : float
        What may be held, in GiB: the tiles of a large image are no larger.

    Yields
    ------
    Backend
        Its scheduler is stopped at the end of the block.

    Raises
    ------
    UnavailableError, InputError
        As :func:`segbench.backends.registry.load` does; and if a cluster does not answer, or can't see
        the image.
    """
    reader, processor = registry.load(spec)
    prepare = partial(_warm_up, spec, image, params) if image else None
    # What has a number of images in a task for others is the side of a tile for these.
    tile, batch = (spec.batch, 0) if processor.large else (0, spec.batch)
    with schedulers.start(
        spec.scheduler, workers=workers, batch=batch, cluster=cluster, prepare=prepare
    ) as scheduler:
        if prepare:
            prepare()
        yield Backend(reader, processor, scheduler, tile, memory)


def _warm_up(spec: BackendSpec, image: str, params: PipelineParams) -> None:
    # Elsewhere, that is: on another machine of a cluster.
    if not os.path.exists(image):  # noqa: PTH110  (as a reader is given it)
        raise InputError(
            f"{image}: can't be seen by a worker on {socket.gethostname()}; keep images and "
            "SEGBENCH_CACHE_DIR where all workers can read them, by the same path"
        )
    # Under a scheduler of its own: in the process of a pool there is no other.
    name = "synchronous" if spec.scheduler in schedulers.WITH_DASK else "serial"
    with started(replace(spec, scheduler=name, batch=0), workers=1) as backend:
        run_pipeline(backend, image, params)


def open_images(backend: Backend, pattern: str) -> Any:
    """Phase `open`: a handle, nothing decoded.

    Parameters
    ----------
    backend : Backend
        Gives the reader.
    pattern : str
        Glob pattern of the files, or the path of a single one.

    Returns
    -------
    dask.array.Array or collection
        What the reader opens.
    """
    if backend.reader.batches:
        return backend.reader.open(pattern, partial(images_per_chunk, backend.scheduler))
    return backend.reader.open(pattern)


def read_images(backend: Backend, pattern: str) -> NDArray[Any]:
    """Phase `read`: all pixels in memory, ``(N, H, W[, C])``."""
    reader = backend.reader
    if reader.large:
        images = map(reader.large, reader.files(pattern))
        read = partial(tiles.read, scheduler=backend.scheduler, side=backend.tile)
        return np.stack([*map(read, images)])
    if reader.load is None:
        return np.asarray(open_images(backend, pattern).compute())
    return np.stack(backend.scheduler.map(reader.load, reader.files(pattern)))


def process_images(backend: Backend, pixels: NDArray[Any], params: PipelineParams) -> Measured:
    """Phase `process`: pixels ``(N, H, W[, C])`` in memory to the table of cells; no labels travel."""
    if backend.processor.large:
        return joined(_large(backend, image, params) for image in pixels)
    return joined(_of_pixels(backend, pixels, _Steps(measure_objects, params, _table)))


def run_pipeline(backend: Backend, pattern: str, params: PipelineParams) -> Measured:
    """Phase `pipeline`: files to the table of cells, with nothing in between kept that need not be."""
    if backend.processor.large:
        return joined(_large(backend, image, params) for image in _large_images(backend, pattern))
    return joined(_of_files(backend, pattern, _Steps(measure_objects, params, _table)))


def segment_pixels(backend: Backend, pixels: NDArray[Any], params: PipelineParams) -> Segmentation:
    """As `process_images`, with the label images."""
    if backend.processor.large:
        return _with_large_labels(backend, pixels, params)
    return _with_labels(_of_pixels(backend, pixels, _Steps(label_objects, params, _list)), params)


def segment_files(backend: Backend, pattern: str, params: PipelineParams) -> Segmentation:
    """As `run_pipeline`, with the label images."""
    if backend.processor.large:
        return _with_large_labels(backend, _large_images(backend, pattern), params)
    return _with_labels(_of_files(backend, pattern, _Steps(label_objects, params, _list)), params)


def _large_images(backend: Backend, pattern: str) -> Sequence[Image]:
    """What gives any window of each image: of a file, or of pixels where the reader gives them whole."""
    reader = backend.reader
    return (
        [*map(reader.large, reader.files(pattern))]
        if reader.large
        else [*read_images(backend, pattern)]
    )


def _large(
    backend: Backend,
    image: Image,
    params: PipelineParams,
    labels: NDArray[np.int32] | None = None,
) -> Measured:
    processor, scheduler = backend.processor, backend.scheduler
    assert processor.large  # noqa: S101  (asked for)
    tiles.refuse(params)
    side = backend.tile or tiles.side_for(
        image.shape, params, workers=scheduler.workers, memory=backend.memory
    )
    how = {"processor": processor, "params": params, "scheduler": scheduler, "side": side}
    return processor.large(image, labels=labels, **how)


def _with_large_labels(
    backend: Backend, images: Sequence[Image] | NDArray[Any], params: PipelineParams
) -> Segmentation:
    labels = np.zeros((len(images), *images[0].shape[:2]), np.int32)
    each = zip(images, labels, strict=True)
    found = joined(_large(backend, image, params, own) for image, own in each)
    return segmentation(labels, found.objects, params)


@dataclass(frozen=True)
class _Steps:
    """What is done with images after they are read.

    Attributes
    ----------
    function : callable
        `measure_objects`, or `label_objects`.
    params : PipelineParams
    together : callable
        From what the function gives of each image of a task, to what the task gives.
    """

    function: Callable[..., Any]
    params: PipelineParams
    together: Callable[[Iterable[Any], PipelineParams], Any]

    def of(self, processor: Processor) -> Callable[[Any], Any]:
        """The function for the images of a processor."""
        return partial(self.function, operations=processor, params=self.params)

    def batch(self, images: Iterable[Any], *, each: Callable[[Any], Any]) -> Any:
        """What a task gives."""
        return self.together(map(each, images), self.params)


def _table(objects: Iterable[Any], params: PipelineParams) -> Measured:
    return packed(objects, params.min_area)


def _list(found: Iterable[Any], _: PipelineParams) -> list[Any]:
    return list(found)


def _with_labels(found: Iterable[Sequence[Any]], params: PipelineParams) -> Segmentation:
    labels, objects = zip(*(one for batch in found for one in batch), strict=True)
    return segmentation(np.stack(labels), objects, params)


def _of_pixels(backend: Backend, pixels: NDArray[Any] | da.Array, steps: _Steps) -> list[Any]:
    """What the steps give of each batch of images."""
    if not backend.processor.uses_dask:
        work = partial(steps.batch, each=steps.of(backend.processor))
        return backend.scheduler.map_batches(work, np.asarray(pixels))
    import dask  # noqa: PLC0415  (a backend without Dask need not import it)

    # Labels and objects in one compute: separately, everything up to the labels would run twice.
    (found,) = dask.compute(_task_graph(backend, pixels, steps))
    each = zip(*found, strict=True) if isinstance(found, tuple) else found
    return [steps.together(each, steps.params)]


def _of_files(backend: Backend, pattern: str, steps: _Steps) -> list[Any]:
    """What the steps give of each batch of files."""
    reader, processor = backend.reader, backend.processor
    if reader.uses_dask and processor.uses_dask:
        return _of_pixels(backend, open_images(backend, pattern), steps)
    if reader.load is None or processor.uses_dask:
        return _of_pixels(backend, read_images(backend, pattern), steps)
    each = partial(_loaded, load=reader.load, steps=steps.of(processor))
    return backend.scheduler.map_batches(partial(steps.batch, each=each), reader.files(pattern))


def _loaded(file: str, *, load: Callable[[str], Any], steps: Callable[[Any], Any]) -> Any:
    return steps(load(file))


@dataclass(frozen=True)
class GraphCost:
    """What Dask has to deal with before anything is computed.

    Attributes
    ----------
    tasks : int
        In the graph of the pipeline after Dask's optimisation, or in all graphs of it.
    seconds : float
        That building and optimising took.
    """

    tasks: int
    seconds: float


def graph_cost(backend: Backend, pattern: str, params: PipelineParams) -> GraphCost:
    """Build the task graph of the pipeline; of a large image, whose graphs need results, it is run."""
    if not backend.scheduler.uses_dask:
        return GraphCost(0, 0.0)
    import dask  # noqa: PLC0415  (a backend without Dask need not import it)

    if backend.processor.large:
        return _large_graph_cost(backend, pattern, params)
    begun = time.perf_counter()
    reader, processor, lazy = backend.reader, backend.processor, []
    if not reader.uses_dask:
        lazy += backend.scheduler.delayed(reader.files(pattern))
    elif not processor.uses_dask:
        handle = open_images(backend, pattern)
        lazy += [handle, *backend.scheduler.delayed(range(len(handle)))]
    if processor.uses_dask:
        read = open_images if reader.uses_dask else read_images
        steps = _Steps(measure_objects, params, _table)
        lazy.append(_task_graph(backend, read(backend, pattern), steps))
    keys = set().union(*(dict(part.__dask_graph__()) for part in dask.optimize(*lazy)))
    return GraphCost(len(keys), time.perf_counter() - begun)


def _large_graph_cost(backend: Backend, pattern: str, params: PipelineParams) -> GraphCost:
    """Of all graphs that are computed; nothing on a cluster, which tells of none of them.

    A graph is built between the end of the one before, or the begin of all, and its own start.
    """
    from dask.callbacks import Callback  # noqa: PLC0415  (as above)

    keys: set[Any] = set()
    built: list[float] = []
    idle_since = time.perf_counter()

    def start(_: Any) -> None:
        built.append(time.perf_counter() - idle_since)

    def finish(*_: Any) -> None:
        nonlocal idle_since
        idle_since = time.perf_counter()

    def start_state(_: Any, state: Any) -> None:
        keys.update(state["dependencies"])

    with Callback(start=start, start_state=start_state, finish=finish):
        run_pipeline(backend, pattern, params)
    return GraphCost(len(keys), sum(built))


def images_per_chunk(scheduler: Scheduler, count: int, image_bytes: int) -> int:
    """How many images a chunk of a batching reader or processor holds.

    As many as a task of `Scheduler.map`; where that is left to the scheduler, up to `BATCH_BYTES`.
    """
    most = count if scheduler.fixed_batch else BATCH_BYTES // image_bytes
    return max(1, min(scheduler.batch(count), most))


def _task_graph(
    backend: Backend, images: NDArray[Any] | da.Array, steps: _Steps
) -> da.Array | tuple[da.Array, da.Array]:
    import dask.array as da  # noqa: PLC0415  (a backend without Dask need not import it)

    processor = backend.processor
    size = 1
    if processor.batches:
        size = images_per_chunk(backend.scheduler, len(images), images[0].nbytes)
    if isinstance(images, da.Array):
        stack = images.rechunk({0: size})
    else:
        # name=False: with a name Dask hashes all pixels first, to recognise equal arrays.
        stack = da.from_array(images, chunks=(size, *images.shape[1:]), name=False)
    if not processor.mapped:
        return steps.of(processor)(stack)
    from segbench.backends.stacks import map_to_cells  # noqa: PLC0415  (as above)

    return map_to_cells(stack, steps.of(processor))
