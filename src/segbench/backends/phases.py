"""How a backend is started, and carries out each phase: open, read, process, pipeline."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from segbench.backends import registry, schedulers
from segbench.backends.interface import Backend
from segbench.pipeline import PipelineParams, Segmentation, label_objects, segmentation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import dask.array as da
    from numpy.typing import NDArray

    from segbench.backends.interface import Processor
    from segbench.backends.registry import BackendSpec

# Bytes of pixels in a chunk that holds several images. Their float64 intermediates are eight times
# as large, and several are alive at once in every worker.
BATCH_BYTES = 16 * 2**20


@contextmanager
def started(
    spec: BackendSpec,
    *,
    workers: int,
    image: str | None = None,
    params: PipelineParams = PipelineParams(),  # noqa: B008  (it is frozen)
) -> Iterator[Backend]:
    """Load a backend and start its scheduler.

    Parameters
    ----------
    spec : BackendSpec
        Which one.
    workers : int
        Threads or processes of its scheduler.
    image : str, optional
        Path of an image that the pipeline is run on once, in this process and in those of a pool:
        the libraries import what they import late, and nothing of it is left when the backend is
        first timed.
    params : PipelineParams
        Of that pipeline.

    Yields
    ------
    Backend
        Its scheduler is stopped at the end of the block.

    Raises
    ------
    UnavailableError, InputError
        As :func:`segbench.backends.registry.load` does.
    """
    reader, processor = registry.load(spec)
    prepare = partial(_warm_up, spec, image, params) if image else None
    with schedulers.start(spec.scheduler, workers=workers, prepare=prepare) as scheduler:
        if prepare:
            prepare()
        yield Backend(reader, processor, scheduler)


def _warm_up(spec: BackendSpec, image: str, params: PipelineParams) -> None:
    # Under a scheduler of its own: in the process of a pool there is no other.
    name = "synchronous" if spec.scheduler in schedulers.WITH_DASK else "serial"
    with started(replace(spec, scheduler=name), workers=1) as backend:
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
    return backend.reader.open(pattern)


def read_images(backend: Backend, pattern: str) -> NDArray[Any]:
    """Phase `read`: all pixels in memory, ``(N, H, W[, C])``."""
    handle = open_images(backend, pattern)
    if backend.reader.load is None:
        return np.asarray(handle.compute())
    return np.stack(backend.scheduler.map(backend.reader.load, handle.files))


def process_images(backend: Backend, pixels: NDArray[Any], params: PipelineParams) -> Segmentation:
    """Phase `process`: pixels ``(N, H, W[, C])`` in memory to labels and objects."""
    if backend.processor.uses_dask:
        return _compute(backend, pixels, params)
    each = partial(label_objects, operations=backend.processor, params=params)
    return _collect(backend.scheduler.map(each, pixels), params)


def run_pipeline(backend: Backend, pattern: str, params: PipelineParams) -> Segmentation:
    """Phase `pipeline`: files to labels and objects, with nothing in between kept that need not be."""
    reader, processor = backend.reader, backend.processor
    if reader.uses_dask and processor.uses_dask:
        return _compute(backend, open_images(backend, pattern), params)
    if reader.load is None or processor.uses_dask:
        return process_images(backend, read_images(backend, pattern), params)
    files = open_images(backend, pattern).files
    each = partial(_load_and_label, load=reader.load, processor=processor, params=params)
    return _collect(backend.scheduler.map(each, files), params)


def count_tasks(backend: Backend, pattern: str, params: PipelineParams) -> int:
    """Tasks in the graph of the pipeline after Dask's optimisation; 0 where nothing uses Dask."""
    import dask  # noqa: PLC0415  (a backend without Dask need not import it)

    reads_lazily = backend.reader.uses_dask
    lazy: tuple[da.Array, ...] = ()
    if backend.processor.uses_dask:
        images = (open_images if reads_lazily else read_images)(backend, pattern)
        lazy = _task_graph(backend, images, params)
    elif reads_lazily:
        lazy = (open_images(backend, pattern),)
    return len(set().union(*(dict(part.__dask_graph__()) for part in dask.optimize(*lazy))))


def images_per_chunk(count: int, *, image_bytes: int, workers: int) -> int:
    """How many images a chunk of a batching processor holds.

    Four chunks a worker keep the workers evenly loaded to the end; larger ones save tasks, up to
    `BATCH_BYTES`.
    """
    even = -(-count // (4 * workers))
    return max(1, min(even, BATCH_BYTES // image_bytes))


def _task_graph(
    backend: Backend, images: NDArray[Any] | da.Array, params: PipelineParams
) -> tuple[da.Array, da.Array]:
    import dask.array as da  # noqa: PLC0415  (a backend without Dask need not import it)

    size, workers = 1, backend.scheduler.workers
    if backend.processor.batches:
        size = images_per_chunk(len(images), image_bytes=images[0].nbytes, workers=workers)
    if isinstance(images, da.Array):
        stack = images.rechunk({0: size})
    else:
        # name=False: with a name Dask hashes all pixels first, to recognise equal arrays.
        stack = da.from_array(images, chunks=(size, *images.shape[1:]), name=False)
    return label_objects(stack, backend.processor, params)


def _compute(
    backend: Backend, images: NDArray[Any] | da.Array, params: PipelineParams
) -> Segmentation:
    import dask  # noqa: PLC0415  (as above)

    # Both in one compute: separately, everything up to the labels would run twice.
    labels, objects = dask.compute(*_task_graph(backend, images, params))
    return segmentation(labels, objects, params)


def _collect(found: list[tuple[Any, Any]], params: PipelineParams) -> Segmentation:
    labels, objects = zip(*found, strict=True)
    return segmentation(np.stack(labels), objects, params)


def _load_and_label(
    file: str, *, load: Callable[[str], NDArray[Any]], processor: Processor, params: PipelineParams
) -> tuple[Any, Any]:
    return label_objects(load(file), processor, params)
