"""What a run was asked to do."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from segbench.measure.cases import BACKENDS, PHASES, SIZES
from segbench.pipeline import PipelineParams

if TYPE_CHECKING:
    from segbench.backends.registry import BackendSpec


def available_cpus() -> int:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a run.

    Attributes
    ----------
    sizes : tuple of int
        Numbers of images, ascending.
    phases : tuple of str
        In their natural order.
    backends : tuple of BackendSpec
        The baseline among them.
    params : PipelineParams
        Of the pipeline.
    blocks : int
        How often every arm is timed.
    time_limit : float
        Seconds that one call may take.
    workers : int
        Threads or processes of the schedulers that have several.
    native_threads : bool
        Leave the thread pools of BLAS, OpenMP and OpenCV as they are; otherwise one thread each.
    seed : int
        Of the order of the arms.
    """

    sizes: tuple[int, ...] = SIZES
    phases: tuple[str, ...] = PHASES
    backends: tuple[BackendSpec, ...] = BACKENDS
    params: PipelineParams = field(default_factory=PipelineParams)
    blocks: int = 5
    time_limit: float = 60.0
    workers: int = field(default_factory=available_cpus)
    native_threads: bool = False
    seed: int = 0
