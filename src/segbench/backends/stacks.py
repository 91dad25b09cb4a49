"""Functions of one image over Dask arrays of images, chunk by chunk."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

from segbench.backends import skimage

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from segbench.pipeline import PipelineParams


def map_images(
    images: da.Array,
    function: Callable[..., NDArray[Any]],
    *others: da.Array,
    dtype: type,
    drop_axis: tuple[int, ...] = (),
) -> da.Array:
    """Map a function of one image over a Dask array ``(N, H, W[, C])``, chunk by chunk.

    Parameters
    ----------
    images : dask.array.Array
        With chunks of whole images.
    function : callable
        From one image, and what belongs to it, to an array of one image.
    *others : dask.array.Array
        What belongs to the images, with chunks like theirs.
    dtype : type
        Of the result.
    drop_axis : tuple of int
        The axes of `images` that the function takes away, such as the channels.

    Returns
    -------
    dask.array.Array
        Lazy, with the chunks of `images` along the first axis.
    """
    # With `meta` given Dask needs no trial call on an empty image.
    meta = np.empty((0,) * (images.ndim - len(drop_axis)), dtype)
    each = partial(_each_image, function=function)
    return da.map_blocks(each, images, *others, drop_axis=drop_axis, dtype=dtype, meta=meta)


def _each_image(*blocks: NDArray[Any], function: Callable[..., NDArray[Any]]) -> NDArray[Any]:
    # One image a chunk is the common case: np.stack would copy it.
    if len(blocks[0]) == 1:
        return function(*(block[0] for block in blocks))[np.newaxis]
    return np.stack([function(*image) for image in zip(*blocks, strict=True)])


def grayscale(images: da.Array) -> da.Array:
    """Luminance ``(N, H, W)``."""
    channels = tuple(range(3, images.ndim))
    return map_images(images, skimage.grayscale, dtype=np.float64, drop_axis=channels)


def blur(gray: da.Array, params: PipelineParams) -> da.Array:
    """Gaussian blur of each image."""
    return map_images(gray, partial(skimage.blur, params=params), dtype=np.float64)


def threshold(blurred: da.Array, params: PipelineParams) -> da.Array:
    """Local threshold of each image."""
    return map_images(blurred, partial(skimage.threshold, params=params), dtype=np.float64)


def adapt(blurred: da.Array, threshold: da.Array, params: PipelineParams) -> da.Array:
    """Thresholds that follow the contrast of each image."""
    function = partial(skimage.adapt, params=params)
    return map_images(blurred, function, threshold, dtype=np.float64)


def fill(mask: da.Array, params: PipelineParams) -> da.Array:
    """Mask of each image without small holes."""
    return map_images(mask, partial(skimage.fill, params=params), dtype=np.bool_)


def label(mask: da.Array) -> da.Array:
    """Labels of each image, starting from 1 in each."""
    return map_images(mask, skimage.label, dtype=np.int32)


def split(mask: da.Array, params: PipelineParams) -> da.Array:
    """Labels of each image, of cells that touch each other, too; starting from 1 in each."""
    return map_images(mask, partial(skimage.split, params=params), dtype=np.int32)


def measure(labels: da.Array) -> da.Array:
    """Label and area of the objects of each image: one cell of an object array an image."""
    return map_to_cells(labels, skimage.measure)


def map_to_cells(images: da.Array, function: Callable[[NDArray[Any]], Any]) -> da.Array:
    """Map a function of one image to anything: a Dask array ``(N,)`` with one object an image."""
    axes = tuple(range(1, images.ndim))
    return map_images(
        images, partial(_in_one_cell, function=function), dtype=object, drop_axis=axes
    )


def _in_one_cell(
    image: NDArray[Any], *, function: Callable[[NDArray[Any]], Any]
) -> NDArray[np.object_]:
    cell = np.empty((), dtype=object)
    cell[()] = function(image)
    return cell
