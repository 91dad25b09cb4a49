"""A worker process: one backend, asked over its standard input, answering on its standard output."""

from __future__ import annotations

import gc
import math
import os
import random
import sys
import threading
import time
import traceback
import warnings
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec
import numpy as np
import psutil

from segbench import agreement
from segbench.backends import phases, registry
from segbench.errors import InputError
from segbench.images import datasets
from segbench.measure import cputime, memory, protocol
from segbench.measure.protocol import (
    Check,
    Checked,
    Failed,
    Made,
    Pace,
    Reference,
    Refused,
    Time,
    Timed,
)
from segbench.measure.workers import adopt_orphans, kill_family
from segbench.pipeline import Measured, PipelineParams, Segmentation, packed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from segbench.backends.interface import Backend
    from segbench.measure.protocol import Reply, Start

# Warming up ends when a call is no longer faster than the best before it by this share ...
WARM_SHARE = 0.05
# ... or after so many calls or seconds. A first call beyond that is warm enough, since what is paid
# once is little of it, unless it took so many times what the last size makes expect.
WARM_CALLS = 10
WARM_SECONDS = 1.0
WARM_EXCESS = 1.5
# Where it is done again in other processes, by no clock: after the first call so many at the most,
# but calls of so many seconds in any case.
WARM_AGAIN = 2
WARM_AGAIN_SECONDS = 0.05

# A call shorter than this is preceded by one that is not timed: the caches of the CPU, which the
# other arms have filled in between, would be a good part of it.
COLD_SECONDS = 0.02

# Before a sample so many blocks of memory are taken, of so many bytes, at random, and kept until the
# next: a call's own memory then lies elsewhere in each sample. Where it lies makes a fifth of what
# decoding a JPEG file takes, in all the calls of a process, if that does the same again and again.
SHAKEN_BLOCKS = 40
SHAKEN_BYTES = 200_000

# A sample is planned to be so much longer than it has to be: a machine may get faster.
RESERVE = 1.5

# Of what was raised: a run's file holds it in a line, and a report shows it.
MOST_LETTERS = 1000

# How often a worker looks whether the engine is still there.
LOOK_SECONDS = 0.5


class Server:
    """A started backend, and the calls that were made ready."""

    def __init__(
        self, backend: Backend, params: PipelineParams, slowdown: float, *, name: str = ""
    ) -> None:
        self.backend = backend
        self.name = name
        self.params = params
        self.slowdown = slowdown
        # Of one size.
        self.n_images = 0
        self.ready: dict[str, Callable[[], Any]] = {}
        # By phase, seconds of a warm call and of how many images it was, at the last size.
        self.paces: dict[str, tuple[float, int]] = {}
        # By phase, whether its calls are short.
        self.short: dict[str, bool] = {}
        # Before any call that is looked at: what those leave behind is theirs.
        memory.settle()
        self.idle_mib = memory.resident_mib()
        # Made anew with each case: a pool may have started by then.
        self.clock = cputime.Clock()
        self.addresses = backend.scheduler.addresses
        # The same in every process, so that the sides of a gate are treated alike.
        self._random = random.Random(0)  # noqa: S311  (sizes, no secret)
        self._blocks: list[bytes] = []

    def check(self, request: Check) -> Checked:
        """Make a case ready."""
        # What the last size held is given back before this one's memory is looked at.
        if request.n_images != self.n_images:
            self.n_images = request.n_images
            self.ready.clear()
        memory.settle()
        self.clock = cputime.Clock()
        call = self._call(request)
        if request.few:
            # Whatever a process keeps from call to call is of a few images: larger arrays get new
            # memory in every call.
            few = {"pattern": request.few_pattern, "n_images": request.few}
            self._call(msgspec.structs.replace(request, **few))()
            self.ready[request.phase] = call
            self.paces[request.phase] = math.inf, request.n_images
            self.short[request.phase] = False
            _let_go()
            return Checked(None, "", self.idle_mib, None, Pace(1, 1, short=False))
        before = self.backend.scheduler.sent_bytes()
        memory.reset_peak()
        read = memory.bytes_read()
        result, seconds = _timed(call)
        read, peak = memory.bytes_read() - read, memory.peak_mib()
        after = self.backend.scheduler.sent_bytes()
        # A worker that was lost is not asked.
        moved = sum(after[one] - before[one] for one in before.keys() & after.keys())
        difference = None
        if request.phase == "read":
            pixels = _load_pixels(request.folder, request.n_images)
            difference = agreement.first_different_image(result, pixels)
        elif isinstance(result, Measured):
            reference = _load_reference(request.folder, request.n_images)
            difference = agreement.first_different_table(result, reference)
            if isinstance(reference, Segmentation) and not (difference or request.pace):
                # Once, and never timed: label images are not what a phase gives.
                labelled = self._labelled(request)
                difference = agreement.first_difference(labelled, reference)
                del labelled
                self._write_dask_report(call, request)
        if difference:
            return Checked(seconds, difference, self.idle_mib, peak, Pace(0, 0, short=False))
        self.ready[request.phase] = call
        del result
        graph = None
        # Of a large image a call that counts them takes as long as one that is timed.
        again = request.pace and self.backend.processor.large
        if request.phase == "pipeline" and self.backend.scheduler.uses_dask and not again:
            graph = phases.graph_cost(self.backend, request.pattern, self.params)
        pace = request.pace
        if pace:
            # As often as where it was found: several calls were tried, one was not.
            for _ in range(pace.warm + (pace.calls if pace.calls > 1 else 0)):
                call()
        else:
            pace = self._warm_up(call, request, seconds)
        self.short[request.phase] = pace.short
        _let_go()
        return Checked(
            *(seconds, "", self.idle_mib, peak, pace),
            tasks=graph.tasks if graph else None,
            graph_seconds=graph.seconds if graph else None,
            moved_bytes=moved if before else None,
            read_bytes=read or None,
        )

    def _write_dask_report(self, call: Callable[[], Any], request: Check) -> None:
        """Have a cluster tell of one call in its own way, beside the reference: it takes Bokeh."""
        if not self.backend.scheduler.client:
            return
        from distributed import performance_report  # noqa: PLC0415  (for a cluster alone)

        name = f"{self.name.replace('/', '-')}-{request.phase}-{request.n_images}.html"
        report = performance_report(filename=Path(request.folder) / name)  # type: ignore[no-untyped-call]  # distributed has no annotations
        with suppress(Exception), report:
            call()

    def _warm_up(self, call: Callable[[], Any], request: Check, first: float) -> Pace:
        """Call until calls do not get faster, and find how many of them make a sample."""
        best = spent = first
        before, count = self.paces.get(request.phase, (0.0, 1))
        expected = before / count * request.n_images
        # A first call that takes long for its images has paid for something else, too.
        warm = 0
        if first < WARM_SECONDS or first > WARM_EXCESS * expected:
            for _ in range(WARM_CALLS):
                _, seconds = _timed(call)
                warm += 1
                spent += seconds
                settled = seconds > (1 - WARM_SHARE) * best
                best = min(best, seconds)
                if settled or spent > WARM_SECONDS:
                    break
        self.paces[request.phase] = best, request.n_images
        calls = _calls_of_a_sample(call, best, request.sample_seconds)
        again = max(min(warm, WARM_AGAIN), math.floor(WARM_AGAIN_SECONDS / best))
        return Pace(again, calls, short=best < COLD_SECONDS)

    def time(self, request: Time) -> Timed:
        """Take a sample of a case that is ready."""
        asked = time.perf_counter()
        call = self.ready[request.phase]
        self._shake()
        with _on(request.cpu):
            if request.warm and self.short[request.phase]:
                # Since its last sample others have filled the caches of the CPU.
                call()
            with memory.uncollected():
                untimed = time.perf_counter() - asked
                before = self.clock.seconds()
                result, seconds = _timed(call, request.calls)
                worked = self.clock.seconds() - before
                if self.slowdown:
                    seconds += _busy(self.slowdown * worked)
                    worked *= 1 + self.slowdown
        objects = result.count if isinstance(result, Measured) else None
        lost = len(self.addresses - self.backend.scheduler.addresses)
        return Timed(seconds / request.calls, objects, worked / request.calls, untimed, lost)

    def _shake(self) -> None:
        """Have what the next calls allocate lie elsewhere."""
        count = self._random.randrange(SHAKEN_BLOCKS)
        self._blocks = [bytes(self._random.randrange(SHAKEN_BYTES)) for _ in range(count)]

    def _call(self, request: Check) -> Callable[[], Any]:
        """What a phase does, ready to be called."""
        backend, pattern, params = self.backend, request.pattern, self.params
        if request.phase == "open":
            return partial(phases.open_images, backend, pattern)
        if request.phase == "read":
            return partial(phases.read_images, backend, pattern)
        if request.phase == "process":
            pixels = _load_pixels(request.folder, request.n_images)
            return partial(phases.process_images, backend, pixels, params)
        return partial(phases.run_pipeline, backend, pattern, params)

    def _labelled(self, request: Check) -> Segmentation:
        """What `process` or `pipeline` find, with the label images."""
        backend, params = self.backend, self.params
        if request.phase == "process":
            pixels = _load_pixels(request.folder, request.n_images)
            return phases.segment_pixels(backend, pixels, params)
        return phases.segment_files(backend, request.pattern, params)

    def make_reference(self, request: Reference) -> Made:
        """Segment the images that all are compared with."""
        folder = Path(request.folder)
        if request.table_only:
            table = phases.run_pipeline(self.backend, request.pattern, self.params)
            np.savez(folder / "objects.npz", *table.objects)
            return Made(table.counts.tolist(), None)
        pixels = phases.read_images(self.backend, request.pattern)
        np.save(folder / "pixels.npy", pixels)
        found = phases.segment_pixels(self.backend, pixels, self.params)
        np.save(folder / "labels.npy", found.labels)
        np.savez(folder / "objects.npz", *found.objects)
        truth = None
        if request.truth:
            true = datasets.read_labels(request.truth)
            truth = asdict(agreement.truth_agreement(found.labels[: len(true)], true))
        return Made([len(rows) for rows in found.objects], truth)


@contextmanager
def _on(cpu: int | None) -> Iterator[None]:
    """Work on one CPU, if one is given: this thread, with those that it starts until it is free."""
    if cpu is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _timed(call: Callable[[], Any], calls: int = 1) -> tuple[Any, float]:
    """What the last of some calls returns, and the seconds of all."""
    started = time.perf_counter()
    for _ in range(calls):
        result = call()
    return result, time.perf_counter() - started


def _busy(seconds: float) -> float:
    """Be busy with nothing for so long, and say how long it was."""
    started = time.perf_counter()
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return time.perf_counter() - started


def _let_go() -> None:
    """Collect, and keep what is there now: no collection before a sample need look at it."""
    gc.collect()
    gc.freeze()


def _calls_of_a_sample(call: Callable[[], Any], seconds: float, least: float) -> int:
    """How many calls last `least` seconds with some reserve; `seconds` is what a single one took."""
    calls = 1
    while seconds < RESERVE * least:
        # In a loop a call is faster than alone, so it has to be tried.
        calls = max(2 * calls, math.ceil(calls * RESERVE * least / max(seconds, 1e-9)))
        _, seconds = _timed(call, calls)
    return calls


def _load_pixels(folder: str, count: int) -> NDArray[Any]:
    # All workers map the same file, so that its pixels are in memory once. As a plain array, not
    # a memmap: Dask treats a memmap as a file.
    pixels = np.asarray(np.load(Path(folder) / "pixels.npy", mmap_mode="r"))[:count]
    pixels.max()  # touches every page: the timed call is not to wait for the mapping
    return pixels


def _load_reference(folder: str, count: int) -> Measured:
    """What the reference found; without label images where these were too large."""
    with np.load(Path(folder) / "objects.npz") as objects:
        found = packed(objects[f"arr_{i}"] for i in range(count))
    if not (Path(folder) / "labels.npy").exists():
        return found
    return found.with_labels(np.load(Path(folder) / "labels.npy", mmap_mode="r")[:count])


def _thread_pools() -> list[str]:
    from threadpoolctl import threadpool_info  # noqa: PLC0415  (looks at what is loaded by now)

    pools = [f"{pool['internal_api']} {pool['num_threads']}" for pool in threadpool_info()]
    if "cv2" in sys.modules:
        pools.append(f"opencv {sys.modules['cv2'].getNumThreads()}")
    return sorted(pools)


def _failed(error: Exception) -> Refused | Failed:
    """What was raised, as a reply."""
    if isinstance(error, InputError):
        return Refused(str(error))
    if isinstance(error, registry.UnavailableError):
        return Failed("unavailable", str(error))
    lines = [type(error).__name__, *str(error).strip().splitlines()]
    cause = ": ".join(lines[:2])[:MOST_LETTERS] + _place_of(error)
    return Failed("memory" if isinstance(error, MemoryError) else "error", cause)


def _place_of(error: Exception) -> str:
    """The file and line of a plugin in which something was raised; empty where it was elsewhere."""
    plugins, found = registry.plugins(), ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if str(frame.f_globals.get("__name__")).partition(".")[0] in plugins:
            found = f" ({Path(frame.f_code.co_filename).name}, line {line})"
    return found


def _started(request: Start, stack: ExitStack) -> Server:
    """Start a backend, which is stopped with the stack."""
    params = PipelineParams(**request.params)  # type: ignore[arg-type]  # JSON's values
    spec = registry.parse_spec(request.backend)
    backend = stack.enter_context(
        phases.started(
            spec,
            workers=request.workers,
            cluster=request.cluster,
            image=request.image,
            params=params,
            memory=request.memory or math.inf,
        )
    )
    server = Server(backend, params, request.slowdown, name=request.backend)
    memory.warm_allocator()
    # What the libraries made when they were imported stays, too.
    _let_go()
    return server


def _serve(requests: IO[bytes], replies: IO[bytes]) -> None:
    reply: Reply
    answer = b""
    at_rest: Callable[[], AbstractContextManager[None]] = nullcontext
    with ExitStack() as stack:
        while True:
            with at_rest():
                # At rest before it is sent: then others are timed, until this one is asked again.
                replies.write(answer)
                replies.flush()
                line = requests.readline()
            if not line:
                return
            try:
                match protocol.decode(line):
                    case protocol.Start() as request:
                        server = _started(request, stack)
                        at_rest = server.backend.scheduler.at_rest
                        reply = protocol.Started(
                            _thread_pools(), protocol.NUMBER, server.backend.scheduler.place
                        )
                    case Check() as request:
                        reply = server.check(request)
                    case Time() as request:
                        reply = server.time(request)
                    case Reference() as request:
                        reply = server.make_reference(request)
                    case protocol.Profile() as request:
                        from segbench.measure import profile  # noqa: PLC0415  (for this alone)

                        reply = profile.profile(request)
                    case other:
                        raise TypeError(f"{type(other).__name__} is no request")  # noqa: TRY301  (answered below)
                answer = protocol.encode(reply)
            except Exception as error:  # noqa: BLE001  # a backend may raise anything, and the others go on
                answer = protocol.encode(_failed(error))


def has_ended(engine: int) -> bool:
    """Whether the process that started this one is gone."""
    # On Windows a virtual environment's interpreter is started by a launcher, which is the parent.
    if sys.platform == "win32":
        return not psutil.pid_exists(engine)
    return os.getppid() != engine


def _end_with(engine: int) -> None:
    """End with the process that started this one, however that ends, and take all children along."""
    while not has_ended(engine):
        time.sleep(LOOK_SECONDS)
    kill_family(os.getpid())


def main() -> None:
    """Serve until the engine closes the pipe."""
    adopt_orphans()
    threading.Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
    # What a library prints must not get between the replies, nor may what it starts read requests.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests = os.fdopen(os.dup(0), "rb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    # Warnings of the libraries are not this worker's to show; what matters is compared.
    warnings.simplefilter("ignore")
    _serve(requests, replies)


if __name__ == "__main__":
    main()
