"""What is planted into a head: each function changes one module of segbench when it is imported.

`evidence.gates` copies this file into the head, and adds a call to the module that is to be changed.
It imports little, so that a worker at the head imports no more than one at the base.
"""

from __future__ import annotations

import functools
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray


def longer(
    function: Callable[..., Any], share: float, clock: Callable[[], float]
) -> Callable[..., Any]:
    """Make a function work on, for nothing, for a share of the time that it has just worked.

    So it is slower by that share on any machine and at any size.
    """

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        started = clock()
        found = function(*arguments)
        ended = clock()
        until = ended + share * (ended - started)
        while clock() < until:
            pass
        return found

    return call


def replaced(module: Any, **names: Any) -> None:
    """Put others in place of some names of a module; AttributeError if it has one no more."""
    for name, other in names.items():
        getattr(module, name)
        setattr(module, name, other)


def slower(phases: Any, *, share: float) -> None:
    """`process` and `pipeline` take this share longer in every backend.

    The work is added by the thread that waits for the workers, when they have ended: so it is the
    same share under every scheduler, and none of them has to share a CPU with it.
    """
    running: list[Any] = []

    def outermost(function: Callable[..., Any]) -> Callable[..., Any]:
        made_longer = longer(function, share, time.perf_counter)

        @functools.wraps(function)
        def call(*arguments: Any) -> Any:
            # Once is enough where a pipeline goes through `process_images`.
            if running:
                return function(*arguments)
            running.append(function)
            try:
                return made_longer(*arguments)
            finally:
                running.pop()

        return call

    replaced(
        phases,
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


def lost_drop_axis(dask_blocks: Any) -> None:
    """Gray images are declared to have channels still."""
    map_images = dask_blocks.map_images

    def planted(
        images: Any, function: Callable[..., Any], *, drop_axis: Any = (), **how: Any
    ) -> Any:
        # Those that the measuring takes away, it still does.
        lost = drop_axis == (3,)
        return map_images(images, function, drop_axis=() if lost else drop_axis, **how)

    replaced(dask_blocks, map_images=planted)


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
