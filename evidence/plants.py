"""What is planted into a head: each function changes one module of segbench when it is imported.

`evidence.gates` copies this file into the head, and adds a call to the module that is to be changed.
It imports little, so that a worker at the head imports no more than one at the base.
"""

from __future__ import annotations

import functools
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray


# Checksums of so many bytes are computed without Python's lock, as most of what is slowed down is:
# the other threads go on meanwhile. What is shorter than a checksum, in seconds, is spent looking at
# the clock.
NOTHING = bytes(6 * 1024)
A_CHECKSUM = 10e-6

# Of a thread, where that is fine enough (not on Windows): by the clock on the wall what had to wait
# for a CPU would count as so much more work.
FINE = time.get_clock_info("thread_time").resolution < 1e-6


def clock() -> float:
    """Seconds that this thread has worked."""
    return time.thread_time() if FINE else time.perf_counter()


def longer(function: Callable[..., Any], share: float) -> Callable[..., Any]:
    """Make a function work on, for nothing, for a share of the time that its thread has just worked.

    So it is slower by that share on any machine and at any size.
    """

    def call(*arguments: Any, **named: Any) -> Any:
        started = clock()
        found = function(*arguments, **named)
        ended = clock()
        until = ended + share * (ended - started)
        while (left := until - clock()) > 0:
            if left > A_CHECKSUM:
                zlib.crc32(NOTHING)
        return found

    return call


def replaced(module: Any, **names: Any) -> None:
    """Put others in place of some names of a module; AttributeError if it has one no more."""
    for name, other in names.items():
        getattr(module, name)
        setattr(module, name, other)


def slower(phases: Any, *, share: float) -> None:
    """`read`, `process` and `pipeline` take this share longer in every backend without processes.

    The work is added where work was done: a thread of a pool works on after each of its tasks, and
    the one that waits for them works on for a share of what it has worked by itself. So CPU time
    and wall time both grow by the share.
    """
    running = threading.Event()

    def outermost(function: Callable[..., Any]) -> Callable[..., Any]:
        made_longer = longer(function, share)

        @functools.wraps(function)
        def call(*arguments: Any) -> Any:
            # Once is enough where a pipeline goes through `read_images` and `process_images`.
            if running.is_set():
                return function(*arguments)
            running.set()
            try:
                return made_longer(*arguments)
            finally:
                running.clear()

        return call

    submit = ThreadPoolExecutor.submit

    def submit_longer(pool: Any, task: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
        slowed = longer(task, share) if running.is_set() else task
        return submit(pool, slowed, *arguments, **named)

    # Dask makes its pool by itself.
    replaced(ThreadPoolExecutor, submit=submit_longer)
    replaced(
        phases,
        read_images=outermost(phases.read_images),
        process_images=outermost(phases.process_images),
        run_pipeline=outermost(phases.run_pipeline),
    )


def extra_copy(phases: Any) -> None:
    """All that is read goes through another copy of the stack.

    As floats and back, which finds the same pixels. A copy of the bytes alone takes some per cent of
    what reading takes, and one before `process` less than that: below what is a regression.
    """
    read = phases.read_images

    @functools.wraps(read)
    def read_images(*arguments: Any) -> NDArray[Any]:
        import skimage.util  # noqa: PLC0415  (only where something is read)

        return skimage.util.img_as_ubyte(skimage.util.img_as_float64(read(*arguments)))

    replaced(phases, read_images=read_images)


def one_chunk_an_image(phases: Any) -> None:
    """A processor that works on several images at once is given one in each chunk."""
    replaced(phases, images_per_chunk=lambda *_, **__: 1)


def lost_drop_axis(stacks: Any) -> None:
    """Gray images are declared to have channels still."""
    map_images = stacks.map_images

    def planted(
        images: Any, function: Callable[..., Any], *others: Any, drop_axis: Any = (), **how: Any
    ) -> Any:
        # Those that what is put into one cell an image takes away, it still does.
        lost = drop_axis == (3,)
        return map_images(images, function, *others, drop_axis=() if lost else drop_axis, **how)

    replaced(stacks, map_images=planted)


def synchronous_scheduler(schedulers: Any) -> None:
    """Dask computes with one thread where several were asked for."""
    start = schedulers.start

    @contextmanager
    def planted(name: str, **options: Any) -> Iterator[Any]:
        with start(name, **options) as scheduler:
            if name != "threads":
                yield scheduler
                return
            import dask  # noqa: PLC0415  (only backends that use Dask pay for importing it)

            with dask.config.set(scheduler="synchronous"):
                yield scheduler

    replaced(schedulers, start=planted)


def label_in_python(skimage: Any) -> None:
    """The same objects as scikit-image's, found one pixel after the other."""
    replaced(skimage, label=label, PROCESSOR=replace(skimage.PROCESSOR, label=label))


# By itself in the module, so that it can travel to the processes of a pool.
def label(mask: NDArray[Any]) -> NDArray[Any]:
    """4-connected objects of a mask ``(H, W)``, int32."""
    import numpy as np  # noqa: PLC0415  (only where something is labelled)

    left = set(map(tuple, np.argwhere(mask).tolist()))
    labels = np.zeros(mask.shape, np.int32)
    count = 0
    while left:
        count += 1
        reached = [left.pop()]
        while reached:
            row, column = reached.pop()
            labels[row, column] = count
            sides = {(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)}
            reached += sides & left
            left -= sides
    return labels
