"""Functions of one image, mapped over the chunks of a Dask array of images."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def _each_image(block: NDArray[Any], *, function: Callable[..., NDArray[Any]]) -> NDArray[Any]:
    # One image a chunk is the common case: np.stack would copy it.
    if len(block) == 1:
        return function(block[0])[np.newaxis]
    return np.stack([function(image) for image in block])


def map_images(
    images: da.Array,
    function: Callable[..., NDArray[Any]],
    *,
    dtype: type,
    drop_axis: int | None = None,
) -> da.Array:
    """Map a function of one image over a Dask array ``(N, H, W[, C])``, chunk by chunk.

    Parameters
    ----------
    images : dask.array.Array
        With chunks of whole images.
    function : callable
        From one image to an array of one image.
    dtype : type
        Of the result.
    drop_axis : int, optional
        The axis of `images` that the function takes away (the channels).

    Returns
    -------
    dask.array.Array
        Lazy, with the chunks of `images` along the first axis.
    """
    # With `meta` given Dask needs no trial call on an empty image.
    meta = np.empty((0,) * (images.ndim - (drop_axis is not None)), dtype)
    return da.map_blocks(
        partial(_each_image, function=function), images, drop_axis=drop_axis, dtype=dtype, meta=meta
    )


def map_grayscale(images: da.Array, function: Callable[..., NDArray[Any]]) -> da.Array:
    """Map a grayscale function, which takes the channels away where there are any."""
    return map_images(images, function, dtype=np.float64, drop_axis=3 if images.ndim == 4 else None)


def _objects(block: NDArray[Any], *, function: Callable[..., NDArray[Any]]) -> NDArray[np.object_]:
    objects = np.empty(len(block), dtype=object)
    for i, labels in enumerate(block):
        objects[i] = function(labels)
    return objects


def map_measure(labels: da.Array, function: Callable[..., NDArray[Any]]) -> da.Array:
    """Map a function from labels to objects ``(K, 2)``: one cell of an object array an image."""
    return da.map_blocks(
        partial(_objects, function=function),
        labels,
        drop_axis=[1, 2],
        dtype=object,
        meta=np.empty(0, dtype=object),
    )
