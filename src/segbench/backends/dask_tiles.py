"""A large image as a Dask array, a tile a chunk: how Dask's documentation would have it done."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import numpy as np

from segbench.backends import dask_image, skimage, tiles
from segbench.errors import InputError
from segbench.pipeline import foreground, packed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from segbench.backends.interface import Processor
    from segbench.backends.schedulers import Scheduler
    from segbench.backends.tiles import Found, Image
    from segbench.pipeline import Measured, PipelineParams
    from segbench.windows import Window


def _chunked(image: Image, side: int) -> da.Array:
    """The image with chunks of tiles; of pixels in memory and of a file alike."""
    # With `meta` Dask need not look at a window without pixels.
    meta = np.empty([0] * len(image.shape), image.dtype)
    # name=False: with a name Dask hashes all pixels first, to recognise equal arrays.
    return da.from_array(image, chunks=(side, side, *image.shape[2:]), name=False, meta=meta)


def overlapping(
    image: Image,
    *,
    processor: Processor,
    params: PipelineParams,
    scheduler: Scheduler,  # noqa: ARG001  (Dask's, which is set)
    side: int,
    labels: NDArray[np.int32] | None = None,
    stored: bool = False,
) -> Measured:
    """All steps up to the mask in one ``dask.array.map_overlap``; labels are joined as elsewhere.

    Parameters are those of :func:`segbench.backends.tiles.segment`; `stored`: the mask is computed and
    kept before anything is labelled.
    """
    pixels = _chunked(image, side)
    mask = da.map_overlap(
        partial(foreground, operations=processor, params=params),
        pixels,
        depth={0: params.reach, 1: params.reach},
        # Nothing beyond the border: each filter reflects there, as in the whole image.
        boundary="none",
        drop_axis=[2] if pixels.ndim > 2 else None,
        dtype=np.bool_,
        meta=np.empty((0, 0), np.bool_),
    )
    if stored:
        mask = mask.persist()
    own = mask.map_blocks(skimage.label, dtype=np.int32, meta=np.empty((0, 0), np.int32))
    if labels is not None:
        own = own.persist()
    found: Sequence[Found] = dask.compute(
        *map(dask.delayed(tiles.found_in), own.to_delayed().ravel())
    )
    joined = tiles.join(found, own.numblocks)
    if labels is not None:
        for (window, block), ids in zip(_blocks(own), joined.ids, strict=True):
            labels[window] = ids[block]
    return tiles.table_of(joined, params)


def _blocks(labels: da.Array) -> Iterator[tuple[Window, NDArray[Any]]]:
    """The chunks of a label image, one after the other, with the windows that they are of."""
    rows, columns = (tuple(np.cumsum([0, *sides]).tolist()) for sides in labels.chunks)
    cut = tiles.Grid(rows, columns, margin=0)
    for tile, block in zip(cut.tiles(), labels.blocks.ravel(), strict=True):
        yield tile.core, block.compute()


def by_dask_image(
    image: Image,
    *,
    processor: Processor,
    params: PipelineParams,
    scheduler: Scheduler,  # noqa: ARG001  (Dask's, which is set)
    side: int,
    labels: NDArray[np.int32] | None = None,
    stored: bool = False,
) -> Measured:
    """dask-image's filters on the chunks, and ``dask_image.ndmeasure.label`` across them.

    Parameters are those of :func:`overlapping`.
    """
    stack = _chunked(image, side)[np.newaxis]
    if min(stack.chunksize[1:3]) < params.reach:
        raise InputError(
            f"dask-image can't filter tiles of {stack.chunksize[1]} pixels with block size "
            f"{params.block_size}: use larger tiles"
        )
    mask = foreground(stack, processor, params)
    if stored:
        mask = mask.persist()
    found = processor.label(mask)
    if labels is not None:
        found = found.persist()
    # Not processor.measure: an object may lie in several chunks.
    counted = dask.compute(*map(dask.delayed(skimage.measure), found.to_delayed().ravel()))
    if labels is not None:
        # Not da.store: in another process it would write to a copy.
        for window, block in _blocks(found[0]):
            labels[window] = block
    ids, places = np.unique(np.concatenate([rows[:, 0] for rows in counted]), return_inverse=True)
    areas = np.zeros(len(ids), np.int64)
    np.add.at(areas, places, np.concatenate([rows[:, 1] for rows in counted]))
    return packed([np.column_stack([ids, areas])], params.min_area)


OVERLAP = dataclasses.replace(
    skimage.TILES,
    words="scikit-image over an overlapping Dask array",
    large=overlapping,
    uses_dask=True,
)
OVERLAP_STORED = dataclasses.replace(
    OVERLAP,
    words="scikit-image over an overlapping Dask array, the mask kept",
    large=partial(overlapping, stored=True),
)
DASK_IMAGE = dataclasses.replace(
    dask_image.PROCESSOR,
    words="dask-image in tiles",
    reader="tiles",
    large=by_dask_image,
)
DASK_IMAGE_STORED = dataclasses.replace(
    DASK_IMAGE,
    words="dask-image in tiles, the mask kept",
    large=partial(by_dask_image, stored=True),
)
