"""Start a backend so that nothing is left to import or to spawn when it is first timed."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from segbench.backends import phases, registry, schedulers
from segbench.backends.interface import Backend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segbench.backends.registry import BackendSpec
    from segbench.pipeline import PipelineParams


@contextmanager
def started(
    spec: BackendSpec, *, workers: int, image: str, params: PipelineParams
) -> Iterator[Backend]:
    """Load a backend, start its scheduler, and run its pipeline once on one image everywhere.

    The one image makes the libraries import what they import late, in this process and in those of
    a pool.

    Parameters
    ----------
    spec : BackendSpec
        Which one.
    workers : int
        Threads or processes of its scheduler.
    image : str
        Path of an image.
    params : PipelineParams
        Of the pipeline.

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
    prepare = partial(_warm_up, spec, image, params)
    with schedulers.start(spec.scheduler, workers=workers, prepare=prepare) as scheduler:
        prepare()
        yield Backend(reader, processor, scheduler)


def _warm_up(spec: BackendSpec, image: str, params: PipelineParams) -> None:
    reader, processor = registry.load(spec)
    # Under a scheduler of its own: in the process of a pool there is no other.
    name = "synchronous" if reader.uses_dask or processor.uses_dask else "serial"
    with schedulers.start(name, workers=1) as scheduler:
        phases.run_pipeline(Backend(reader, processor, scheduler), image, params)
