"""The four readers of the presentation, and what Dask advises for many files: a function over their names.

Each handle is opened from a glob pattern, or from the path itself for a single image:
``dask_image.imread`` fails on a pattern that one file matches (pims then takes the pattern for a
file name).
"""

# The libraries are imported where they are called: a worker process pays for its own reader alone.
# ruff: noqa: PLC0415

from __future__ import annotations

import glob
from typing import TYPE_CHECKING, Any

from segbench.backends.interface import Reader

if TYPE_CHECKING:
    from collections.abc import Callable


def list_files(pattern: str) -> list[str]:
    """The files of a pattern, or the one of a path, in the order of their names."""
    return sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]  # noqa: PTH207  (an absolute pattern)


def _open_collection(pattern: str) -> Any:
    from skimage.io import imread_collection

    return imread_collection(pattern)


def _load_file(path: str) -> Any:
    from skimage.io import imread

    if path.endswith(".zarr"):  # which scikit-image does not read
        return _open_large(path)[:, :]
    # Not `collection[index]`: a collection keeps the last image in one slot, which threads would
    # share, and it can't be sent to a process.
    return imread(path)


def _open_dask_image(pattern: str) -> Any:
    from dask_image.imread import imread

    # nframes stays 1: with more, the array declares N images and computes one a chunk.
    return imread(pattern)


def _imread_pims(path: str) -> Any:
    import numpy as np
    import pims

    with pims.open(path) as frames:
        # A pims Frame is an array with metadata that every later operation would carry along.
        return np.asarray(frames[0])


# The graph keys of `dask.array.image.imread` ignore `imread=`: opened in one process, the next two
# readers would share keys, and computed together give the same pixels. A worker has one reader.


def _open_dask_array_pims(pattern: str) -> Any:
    from dask.array.image import imread

    return imread(pattern, imread=_imread_pims)


def _open_dask_array_skimage(pattern: str) -> Any:
    import skimage.io
    from dask.array.image import imread

    return imread(pattern, imread=skimage.io.imread)


def _open_batched(pattern: str, size: Callable[[int, int], int]) -> Any:
    import dask.array as da
    import numpy as np
    from skimage.io import imread

    files = list_files(pattern)
    # One image tells the shape and type of all.
    first = imread(files[0])
    names = da.from_array(np.array(files), chunks=size(len(files), first.nbytes), name=False)
    return names.map_blocks(
        _read_files,
        dtype=first.dtype,
        chunks=(names.chunks[0], *((side,) for side in first.shape)),
        new_axis=[*range(1, first.ndim + 1)],
        meta=np.empty((0,) * (first.ndim + 1), first.dtype),
    )


def _read_files(files: Any) -> Any:
    import numpy as np
    from skimage.io import imread

    return np.stack([imread(file) for file in files])


def _open_large(pattern: str) -> Any:
    from segbench.windows import open_image

    return open_image(pattern)


PIMS = ("pims", "slicerator")

# Of a collection that files are read one by one from, the names are enough.
SKIMAGE = Reader(
    words="skimage.io.imread", open=_open_collection, load=_load_file, names=list_files
)
DASK_IMAGE = Reader(
    words="dask_image.imread.imread", libraries=("dask-image", *PIMS), open=_open_dask_image
)
DASK_ARRAY_PIMS = Reader(
    words="dask.array.image.imread over pims", libraries=PIMS, open=_open_dask_array_pims
)
DASK_ARRAY_SKIMAGE = Reader(
    words="dask.array.image.imread over skimage.io.imread", open=_open_dask_array_skimage
)
DASK_BATCHED = Reader(
    words="dask.array.map_blocks over file names", open=_open_batched, batches=True
)
TILES = Reader(words="tifffile, in tiles", open=_open_large, large=_open_large, names=list_files)
