"""Plain scikit-image, one image at a time: the reference."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import skimage.color
import skimage.feature
import skimage.filters
import skimage.measure
import skimage.segmentation
import skimage.util
from scipy import ndimage

from segbench.backends import tiles
from segbench.backends.interface import Processor
from segbench.pipeline import (
    CONVEX,
    CORE,
    FAINTEST,
    FLOOR,
    LARGEST_HOLE,
    MODE,
    ROUNDING,
    SMOOTHING,
    SPACING,
    SPECK,
    TRUNCATE,
)

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


def blur(gray: NDArray[np.float64], params: PipelineParams) -> NDArray[np.float64]:
    """Gaussian blur; scikit-image's own default mode is `nearest`."""
    return np.asarray(
        skimage.filters.gaussian(gray, sigma=params.sigma, mode=MODE, truncate=TRUNCATE)
    )


def threshold(blurred: NDArray[np.float64], params: PipelineParams) -> NDArray[np.float64]:
    """Local threshold, one value a pixel."""
    return np.asarray(
        skimage.filters.threshold_local(
            blurred, params.block_size, method=params.method, offset=params.taken_off, mode=MODE
        )
    )


def adapt(
    blurred: NDArray[np.float64], threshold: NDArray[np.float64], params: PipelineParams
) -> NDArray[np.float64]:
    """Local threshold that follows the contrast of the image, which is that of the parts by Otsu's method.

    What hardly differs from the background is no cell, however dark its neighbourhood is; and what lies
    deep within the other part is of a cell, however uniform that is.

    References
    ----------
    .. [1] Otsu N (1979) A threshold selection method from gray-level histograms. IEEE Transactions
           on Systems, Man, and Cybernetics 9(1):62-66.
    """
    values = sign_of(params) * blurred
    level = skimage.filters.threshold_otsu(values) + ROUNDING
    beyond = values > level
    if not beyond.any():
        return threshold
    background = values[~beyond].mean()
    parts = Parts(level, background, values[beyond].mean() - background)
    return adapt_to(blurred, threshold, params, parts=parts)


def sign_of(params: PipelineParams) -> int:
    """By which values are multiplied for cells to be the higher ones."""
    return -1 if params.foreground == "dark" else 1


@dataclasses.dataclass(frozen=True)
class Parts:
    """The two parts of an image by Otsu's method, of values of which cells are the higher ones.

    Attributes
    ----------
    level : float
        Above which the part of the cells is.
    background, contrast : float
        The mean of the other part, and how much higher that of the cells is.
    """

    level: float
    background: float
    contrast: float


def adapt_to(
    blurred: NDArray[np.float64],
    threshold: NDArray[np.float64],
    params: PipelineParams,
    *,
    parts: Parts,
) -> NDArray[np.float64]:
    """As `adapt`, of an image, or a part of it, whose two parts are known."""
    if parts.contrast < FAINTEST * params.contrast:
        return threshold  # no cells, but noise
    sign = sign_of(params)
    values, local = sign * blurred, sign * threshold
    local = local + params.offset * (parts.contrast - params.contrast)
    local = np.maximum(local, parts.background + FLOOR * parts.contrast)
    beyond = values > parts.level
    deep = beyond.all() or ndimage.distance_transform_edt(beyond) > CORE * params.diameter / 2
    local[deep] = -np.inf
    return np.asarray(sign * local)


def label(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """4-connected objects; scikit-image's own default is 8-connected."""
    return np.asarray(skimage.measure.label(mask, connectivity=1))


def fill(mask: NDArray[np.bool_], params: PipelineParams) -> NDArray[np.bool_]:
    """Fill what is smaller than a cell and convex: a pale middle, also one that the border cuts open."""
    holes = label(~mask)
    filled = np.bincount(holes.ravel()) <= LARGEST_HOLE * params.cell_area
    filled[0] = False  # what is no hole
    for hole in skimage.measure.regionprops(np.where(filled[holes], holes, 0)):
        if hole.area > SPECK * params.cell_area and hole.solidity < CONVEX:
            filled[hole.label] = False
    return mask | filled[holes]


def split(mask: NDArray[np.bool_], params: PipelineParams) -> NDArray[np.int32]:
    """4-connected cells, those that touch parted at their necks.

    A watershed from the maxima of the distance to the background, of which the highest counts where
    several are nearer to each other than the middles of two cells can be.
    """
    distance = ndimage.distance_transform_edt(mask)
    width = SMOOTHING * params.diameter
    distance = skimage.filters.gaussian(distance, sigma=width, mode=MODE, truncate=TRUNCATE)
    peaks = skimage.feature.peak_local_max(
        distance,
        min_distance=max(1, round(SPACING * params.diameter)),
        exclude_border=False,
        labels=label(mask),  # each object has one of its own
    )
    middles = np.zeros(mask.shape, np.int32)
    middles[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return np.asarray(skimage.segmentation.watershed(-distance, middles, mask=mask))


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
    adapt=adapt,
    fill=fill,
    label=label,
    split=split,
    measure=measure,
)

TILES = dataclasses.replace(
    PROCESSOR, words="scikit-image in tiles", reader="tiles", large=tiles.segment
)
