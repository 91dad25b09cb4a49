"""A worker process: one backend, asked over its standard input, answering on its standard output."""

from __future__ import annotations

import gc
import os
import sys
import time
import warnings
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from segbench import agreement, datasets
from segbench.backends import phases, registry
from segbench.backends.start import started
from segbench.errors import InputError
from segbench.measure import memory
from segbench.measure.protocol import (
    Check,
    Checked,
    Failed,
    Made,
    Reference,
    Refused,
    Reply,
    Request,
    Start,
    Started,
    Time,
    Timed,
    decode,
    encode,
)
from segbench.pipeline import PipelineParams, Segmentation

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from segbench.backends.interface import Backend

# A sample shorter than this is within reach of the clock and of the interpreter's own noise, so it
# is made of as many calls as it takes.
SAMPLE_SECONDS = 0.005

# Ground truth is compared for so many images at the most: 50 tell as much as 500, in a second.
TRUTH_IMAGES = 50


class _Worker:
    """A started backend and what it has been told."""

    def __init__(self, backend: Backend, params: PipelineParams) -> None:
        self.backend = backend
        self.params = params

    def call(self, request: Check | Time) -> Callable[[], Any]:
        """What a phase does, ready to be called."""
        backend, pattern, params = self.backend, request.pattern, self.params
        if request.phase == "open":
            return lambda: phases.open_images(backend, pattern)
        if request.phase == "read":
            return lambda: phases.read_images(backend, pattern)
        if request.phase == "process":
            pixels = _load_pixels(request)
            return lambda: phases.process_images(backend, pixels, params)
        return lambda: phases.run_pipeline(backend, pattern, params)

    def check(self, request: Check) -> Checked:
        call = self.call(request)
        started = time.perf_counter()
        result = call()
        seconds = time.perf_counter() - started
        difference = None
        if request.phase == "read":
            difference = agreement.first_different_image(result, _load_pixels(request))
        elif isinstance(result, Segmentation):
            reference = _load_reference(request.folder, request.n_images)
            difference = agreement.first_difference(result, reference)
        return Checked(seconds, str(difference) if difference else "")

    def time(self, request: Time) -> Timed:
        call = self.call(request)
        gc.collect()
        memory.reset_peak()
        calls, seconds = 0, 0.0
        # A collection inside the timed call would be charged to whoever comes last.
        gc.disable()
        try:
            started = time.perf_counter()
            while seconds < SAMPLE_SECONDS:
                result = call()
                calls += 1
                seconds = time.perf_counter() - started
        finally:
            gc.enable()
        objects = result.count if isinstance(result, Segmentation) else None
        return Timed(seconds / calls, calls, objects, memory.peak_mib())

    def make_reference(self, request: Reference) -> Made:
        folder = Path(request.folder)
        pixels = phases.read_images(self.backend, request.pattern)
        np.save(folder / "pixels.npy", pixels)
        found = phases.process_images(self.backend, pixels, self.params)
        np.save(folder / "labels.npy", found.labels)
        np.savez(folder / "objects.npz", *found.objects)
        truth = None
        if request.truth:
            true = datasets.read_labels(request.truth[:TRUTH_IMAGES])
            truth = asdict(agreement.truth_agreement(found.labels[: len(true)], true))
        return Made([len(rows) for rows in found.objects], truth)

    def answer(self, request: Request) -> Reply:
        if isinstance(request, Check):
            return self.check(request)
        if isinstance(request, Time):
            return self.time(request)
        assert isinstance(request, Reference)  # noqa: S101  (Start came first, and only once)
        return self.make_reference(request)


def _load_pixels(request: Check | Time) -> NDArray[Any]:
    # All workers map the same file, so that its pixels are in memory once. As a plain array, not
    # a memmap: Dask treats a memmap as a file.
    pixels = np.asarray(np.load(Path(request.folder) / "pixels.npy", mmap_mode="r"))
    pixels = pixels[: request.n_images]
    pixels.max()  # touches every page: the timed call is not to wait for the mapping
    return pixels


def _load_reference(folder: str, count: int) -> Segmentation:
    labels = np.load(Path(folder) / "labels.npy", mmap_mode="r")
    with np.load(Path(folder) / "objects.npz") as objects:
        return Segmentation(labels[:count], tuple(objects[f"arr_{i}"] for i in range(count)))


def _thread_pools() -> list[str]:
    from threadpoolctl import threadpool_info  # noqa: PLC0415  (looks at what is loaded by now)

    pools = [f"{pool['internal_api']} {pool['num_threads']}" for pool in threadpool_info()]
    if "cv2" in sys.modules:
        pools.append(f"opencv {sys.modules['cv2'].getNumThreads()}")
    return sorted(pools)


def _one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _serve(requests: TextIO, replies: TextIO) -> None:
    def reply(message: Reply) -> None:
        replies.write(encode(message))
        replies.flush()

    start = decode(requests.readline())
    assert isinstance(start, Start)  # noqa: S101  (the engine's first request)
    spec = registry.parse_spec(start.backend)
    params = PipelineParams(**start.params)  # type: ignore[arg-type]  # JSON's values
    with ExitStack() as stack:
        try:
            backend = stack.enter_context(
                started(spec, workers=start.workers, image=start.image, params=params)
            )
        except InputError as error:
            reply(Refused(str(error)))
            return
        except registry.UnavailableError as error:
            reply(Failed("unavailable", str(error)))
            return
        except Exception as error:  # noqa: BLE001  # a backend may raise anything, and the others go on
            reply(Failed("error", _one_line(error)))
            return
        worker = _Worker(backend, params)
        # What the libraries made when they were imported stays: no collection need look at it again.
        gc.collect()
        gc.freeze()
        reply(Started(_thread_pools()))
        for line in requests:
            request = decode(line)
            try:
                reply(worker.answer(request))  # type: ignore[arg-type]  # the engine sends requests
            except MemoryError as error:
                reply(Failed("memory", _one_line(error)))
            except Exception as error:  # noqa: BLE001  # a backend may raise anything, and the others go on
                reply(Failed("error", _one_line(error)))


def main() -> None:
    """Serve until the engine closes the pipe."""
    # What a library prints must not get between the replies.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # Warnings of the libraries are not this worker's to show; what matters is compared.
    warnings.simplefilter("ignore")
    _serve(sys.stdin, replies)


if __name__ == "__main__":
    main()
