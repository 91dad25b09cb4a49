"""Plain scikit-image, one image at a time: the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import skimage.color
import skimage.filters
import skimage.measure
import skimage.util

from segbench.backends.interface import Processor
from segbench.pipeline import MODE, SIGMA, TRUNCATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segbench.pipeline import PipelineParams


def grayscale(image: NDArray[Any]) -> NDArray[np.float64]:
    """Luminance ``(H, W)`` of gray, RGB or RGBA pixels; transparency is laid over white."""
    image = skimage.util.img_as_float64(image)
    if image.ndim == 2:
        return image
    if image.shape[-1] == 4:
        image = skimage.color.rgba2rgb(image)
    return np.asarray(skimage.color.rgb2gray(image))


def blur(gray: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian blur; scikit-image's own default mode is `nearest`."""
    return np.asarray(skimage.filters.gaussian(gray, sigma=SIGMA, mode=MODE, truncate=TRUNCATE))


def threshold(blurred: NDArray[np.float64], params: PipelineParams) -> NDArray[np.float64]:
    """Local threshold, one value a pixel."""
    return np.asarray(
        skimage.filters.threshold_local(
            blurred, params.block_size, method=params.method, offset=params.offset, mode=MODE
        )
    )


def label(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """4-connected objects; scikit-image's own default is 8-connected."""
    return np.asarray(skimage.measure.label(mask, connectivity=1))


def measure(labels: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Label and area ``(K, 2)`` of the objects of one image.

    Areas are counted with ``numpy.bincount`` in every backend but `dask-image-area`: the same
    count by ``skimage.measure.regionprops_table`` takes several times as long, and would be charged
    to one library and not to the other. Ids may start anywhere: those of a stack go on from one
    image to the next.
    """
    foreground = labels[labels > 0]
    if foreground.size == 0:
        return np.empty((0, 2), np.int64)
    first = foreground.min()
    areas = np.bincount(foreground - first)
    ids = np.flatnonzero(areas)
    return np.column_stack([ids + first, areas[ids]])


PROCESSOR = Processor(
    words="scikit-image",
    work="scikit-image",
    grayscale=grayscale,
    blur=blur,
    threshold=threshold,
    label=label,
    measure=measure,
)
