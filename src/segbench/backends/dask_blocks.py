"""Dask used well: an image goes through all of scikit-image's functions in a task of several images.

One image's intermediates fit into the cache, a chunk's do not; and a chunk holds several images
because a task has a fixed cost.
"""

from __future__ import annotations

import dataclasses

from segbench.backends import skimage

PROCESSOR = dataclasses.replace(
    skimage.PROCESSOR,
    words="scikit-image over a Dask array",
    reader="dask-array-skimage",
    uses_dask=True,
    mapped=True,
    batches=True,
)

# As the first example of Dask's documentation has it.
ONE_BY_ONE = dataclasses.replace(
    PROCESSOR, words="scikit-image over a Dask array, one image a task", batches=False
)
