"""What a reader, a processor and a backend are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from segbench.backends.schedulers import Scheduler
    from segbench.pipeline import PipelineParams


@dataclass(frozen=True, kw_only=True)
class Reader:
    """How files become an array of pixels ``(N, H, W[, C])``.

    Attributes
    ----------
    open : callable
        Glob pattern (or the path of a single file) to a handle with nothing decoded: a Dask array
        with chunks of whole images, or an object whose `files` lists the images.
    load : callable, optional
        One of those `files` to its pixels ``(H, W[, C])``; called from several threads or
        processes at once. A reader without one opens a Dask array.
    """

    open: Callable[[str], Any]
    load: Callable[[str], NDArray[Any]] | None = None

    @property
    def uses_dask(self) -> bool:
        """Whether the handle is a Dask array."""
        return self.load is None


@dataclass(frozen=True, kw_only=True)
class Processor:
    """The five operations of the pipeline (see :class:`segbench.pipeline.Operations`).

    Attributes
    ----------
    uses_dask : bool
        Whether the operations take a Dask array ``(N, H, W[, C])`` with chunks of whole images and
        build a task graph; otherwise they take one image ``(H, W[, C])`` in memory.
    batches : bool
        Whether a chunk should hold several images (otherwise one); for Dask only.
    """

    grayscale: Callable[[Any], Any]
    blur: Callable[[Any], Any]
    threshold: Callable[[Any, PipelineParams], Any]
    label: Callable[[Any], Any]
    measure: Callable[[Any], Any]
    uses_dask: bool = False
    batches: bool = False


@dataclass(frozen=True)
class Backend:
    """A reader, a processor and the started scheduler they run under."""

    reader: Reader
    processor: Processor
    scheduler: Scheduler
