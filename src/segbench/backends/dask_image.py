"""dask-image's own filters and labelling on the whole stack, several images a chunk.

What the presentation did, with its traps closed: every size and structure spells out that nothing
reaches from one image into the next (a scalar would blur across images).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import dask_image.ndfilters
import dask_image.ndmeasure
import numpy as np

from segbench.backends import stacks
from segbench.backends.interface import Processor
from segbench.errors import InputError
from segbench.pipeline import MODE, TRUNCATE

if TYPE_CHECKING:
    import dask.array as da

    from segbench.pipeline import PipelineParams

# 4-connected within an image, and no neighbours in the images before and after.
STRUCTURE = np.zeros((3, 3, 3), dtype=bool)
STRUCTURE[1] = [[False, True, False], [True, True, True], [False, True, False]]


def blur(gray: da.Array, params: PipelineParams) -> da.Array:
    """Gaussian blur of each image."""
    return dask_image.ndfilters.gaussian_filter(
        gray, sigma=(0, params.sigma, params.sigma), mode=MODE, truncate=TRUNCATE
    )


def threshold(blurred: da.Array, params: PipelineParams) -> da.Array:
    """Local threshold of each image."""
    size = params.block_size
    # As far as dask-image lets a filter reach into neighbouring chunks; Dask refuses to let it reach
    # beyond the next one, though here a chunk has whole images and there is nothing to reach for.
    reach = params.threshold_reach + (params.method == "gaussian")
    if reach > min(blurred.shape[1:]):
        raise InputError(
            f"dask-image can't filter images of {blurred.shape[1]}x{blurred.shape[2]} pixels with "
            f"block size {size}: use a smaller --block-size, or another processor (dask-blocks)"
        )
    if params.method == "mean":
        # Not threshold_local(method="mean"): that is a generic filter, which calls numpy.mean in
        # Python for every pixel. Two passes of a box are the same mean.
        box = np.full(size, 1 / size)
        mean = dask_image.ndfilters.correlate(blurred, box.reshape(1, -1, 1), mode=MODE)
        mean = dask_image.ndfilters.correlate(mean, box.reshape(1, 1, -1), mode=MODE)
        return mean - params.taken_off
    return dask_image.ndfilters.threshold_local(
        blurred, (1, size, size), method=params.method, offset=params.taken_off, mode=MODE
    )


def label(mask: da.Array) -> da.Array:
    """Labels whose ids go on from one image to the next."""
    labels, _ = dask_image.ndmeasure.label(mask, structure=STRUCTURE)
    return labels


# dask-image has no colour conversion, fills no holes and splits nothing, and its areas make a task
# for every object: scikit-image's functions are mapped.
PROCESSOR = Processor(
    words="dask-image's filters and labels",
    libraries=("dask-image",),
    work="scikit-image",
    reader="",  # to be named, since dask-image's own documentation advises against its reader
    grayscale=stacks.grayscale,
    blur=blur,
    threshold=threshold,
    adapt=stacks.adapt,
    fill=stacks.fill,
    label=label,
    split=stacks.split,
    measure=stacks.measure,
    uses_dask=True,
    batches=True,
)

# Everything before label is computed again for it (docs/upstream/dask-image-label.md), unless it is kept.
STORED = dataclasses.replace(
    PROCESSOR,
    words="dask-image's filters and labels, the mask kept",
    label=lambda mask: label(mask.persist()),
)

# As dask_image.imread gives them.
ONE_BY_ONE = dataclasses.replace(
    PROCESSOR, words="dask-image's filters and labels, one image a task", batches=False
)

# dask-image numbers labels on from chunk to chunk, and hands each chunk to dask.delayed by itself, which
# images that have nothing to do with each other do not need: scikit-image labels each by itself.
BLOCKS = dataclasses.replace(
    PROCESSOR, words="dask-image's filters, scikit-image's labels", label=stacks.label
)
