"""What a reader, a processor and a backend are, and how they describe themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from segbench.pipeline import Operations

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from segbench.backends.schedulers import Scheduler
    from segbench.pipeline import Measured

# Distributions that every backend uses, the baseline among them.
SHARED = (
    *("segbench", "numpy", "scipy", "scikit-image"),
    *("imageio", "pillow", "tifffile", "imagecodecs"),  # the last for compressed TIFF
)


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a report says of a whole backend.

    Attributes
    ----------
    words : str
        What people call it, as the subject of a sentence.
    libraries : tuple of str
        The distributions whose versions its times depend on, `SHARED` among them; empty where the
        backend is not known here.
    work : str
        Whose functions it runs, such as ``scikit-image``: backends of the same work differ in what
        calls these functions, and may be compared for that.
    reader : str
        What people write to read files as it does, such as ``skimage.io.imread``; empty where the
        backend is not known here.
    """

    words: str
    libraries: tuple[str, ...]
    work: str
    reader: str = ""


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
    names : callable, optional
        Glob pattern to those `files` by themselves, where that takes less than to open them.
    batches : bool
        Whether `open` takes as its second argument a function from the number of images and the bytes
        of one to how many a chunk is to hold.
    large : callable, optional
        Path of a large image to what is read like an array, window by window, by several threads or
        processes at once.
    words : str
        What people call it, such as ``dask.array.image.imread over pims``; without words its name.
    libraries : tuple of str
        Distributions that it uses beside `SHARED` and those of its scheduler.
    """

    open: Callable[..., Any]
    load: Callable[[str], NDArray[Any]] | None = None
    names: Callable[[str], Sequence[str]] | None = None
    batches: bool = False
    large: Callable[[str], Any] | None = None
    words: str = ""
    libraries: tuple[str, ...] = ()

    @property
    def uses_dask(self) -> bool:
        """Whether the handle is a Dask array."""
        return self.load is None and self.large is None

    def files(self, pattern: str) -> Sequence[str]:
        """What `load` is to decode."""
        return self.names(pattern) if self.names else self.open(pattern).files


@dataclass(frozen=True, kw_only=True)
class Processor(Operations):
    """The operations of the pipeline, which are described there, and how they are to be run.

    Attributes
    ----------
    uses_dask : bool
        Whether the operations take a Dask array ``(N, H, W[, C])`` with chunks of whole images and
        build a task graph; otherwise they take one image ``(H, W[, C])`` in memory.
    mapped : bool
        Whether they take one image all the same, and are mapped over the chunks of a Dask array: an
        image then goes through all of them before the next.
    batches : bool
        Whether a chunk should hold several images (otherwise one); for Dask only.
    large : callable, optional
        How one large image is segmented in tiles, as :func:`segbench.backends.tiles.segment` is: images
        are then taken one by one, whatever is said above.
    words : str
        What people call it, such as ``scikit-image over a Dask array``; without words its name.
    libraries : tuple of str
        Distributions that it uses beside `SHARED` and those of its scheduler.
    work : str
        Whose functions it runs; its name where that is empty.
    reader : str
        The reader that goes with it, which the words for a backend leave out.
    """

    uses_dask: bool = False
    mapped: bool = False
    batches: bool = False
    large: Callable[..., Measured] | None = None
    words: str = ""
    libraries: tuple[str, ...] = ()
    work: str = ""
    reader: str = "skimage"


@dataclass(frozen=True)
class Backend:
    """A reader, a processor and the started scheduler they run under.

    `tile` is the side of a tile of a large image, in pixels; 0 where it is chosen, by the `memory` that
    may be held, in GiB.
    """

    reader: Reader
    processor: Processor
    scheduler: Scheduler
    tile: int = 0
    memory: float = math.inf
