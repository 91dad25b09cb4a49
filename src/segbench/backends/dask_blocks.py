"""Dask used well: scikit-image's functions mapped over chunks of several images.

Every step is elementwise over chunks, so Dask fuses the five into one task a chunk, and a chunk
holds several images because a task has a fixed cost.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from segbench.backends import skimage
from segbench.backends.interface import Processor
from segbench.backends.stacks import map_grayscale, map_images, map_measure

if TYPE_CHECKING:
    import dask.array as da

    from segbench.pipeline import PipelineParams


def grayscale(images: da.Array) -> da.Array:
    """Luminance ``(N, H, W)``."""
    return map_grayscale(images, skimage.grayscale)


def blur(gray: da.Array) -> da.Array:
    """Gaussian blur of each image."""
    return map_images(gray, skimage.blur, dtype=np.float64)


def threshold(blurred: da.Array, params: PipelineParams) -> da.Array:
    """Local threshold of each image."""
    return map_images(blurred, partial(skimage.threshold, params=params), dtype=np.float64)


def label(mask: da.Array) -> da.Array:
    """Labels of each image, starting from 1 in each."""
    return map_images(mask, skimage.label, dtype=np.int32)


def measure(labels: da.Array) -> da.Array:
    """Label and area of the objects of each image."""
    return map_measure(labels, skimage.measure)


PROCESSOR = Processor(
    words="Dask over scikit-image",
    work="scikit-image",
    reader="dask-array-skimage",
    grayscale=grayscale,
    blur=blur,
    threshold=threshold,
    label=label,
    measure=measure,
    uses_dask=True,
    batches=True,
)
