"""What a gate measures: the cases, how often, and what counts as slower."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from segbench.measure.cases import PHASES, QUICK_BACKENDS
from segbench.measure.settings import available_cpus, available_gib
from segbench.pipeline import PipelineParams

if TYPE_CHECKING:
    from segbench.backends.registry import BackendSpec


@dataclass(frozen=True, order=True)
class Case:
    """What is compared: a backend in a phase, on a number of images."""

    backend: BackendSpec
    n_images: int
    phase: str

    def __str__(self) -> str:
        images = "1 image" if self.n_images == 1 else f"{self.n_images} images"
        return f"{self.phase} of {images} with {self.backend}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Settings of a gate.

    Attributes
    ----------
    backends : tuple of BackendSpec
        What either side may have.
    phases : tuple of str
        In their natural order.
    sizes : tuple of int
        Numbers of images, ascending.
    threshold : float
        A case that takes longer by more than this share is a regression.
    rounds : int
        How often either side is started anew; a round gives one ratio of each case.
    params : PipelineParams
        Of the pipeline.
    time_limit : float
        Seconds that one call may take.
    memory_limit : float
        GiB that a worker process and its children may hold.
    workers : int
        Threads or processes of the schedulers that have several.
    native_threads : bool
        Leave the thread pools of BLAS, OpenMP and OpenCV as they are.
    seed : int
        Of the order of the sides.
    """

    backends: tuple[BackendSpec, ...] = QUICK_BACKENDS
    phases: tuple[str, ...] = tuple(PHASES)
    sizes: tuple[int, ...] = (1, 20)
    threshold: float = 0.05
    rounds: int = 8
    params: PipelineParams = field(default_factory=PipelineParams)
    time_limit: float = 60.0
    memory_limit: float = field(default_factory=available_gib)
    workers: int = field(default_factory=available_cpus)
    native_threads: bool = False
    seed: int = 0

    @property
    def cases(self) -> tuple[Case, ...]:
        """All cases, backend by backend."""
        return tuple(
            Case(backend, size, phase)
            for backend in self.backends
            for size in self.sizes
            for phase in self.phases
        )
