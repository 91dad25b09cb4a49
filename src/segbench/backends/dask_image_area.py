"""The same as `dask-image`, with ``dask_image.ndmeasure.area``: kept because people write it.

``area`` makes a task for every label and chunk, so its graph grows with their product.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import dask_image.ndmeasure
import numpy as np

from segbench.backends import dask_image as stack
from segbench.backends import stacks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segbench.pipeline import PipelineParams


def split(mask: da.Array, params: PipelineParams) -> da.Array:
    """Labels whose ids go on from one image to the next: ``area`` takes the stack as a whole."""
    labels = stacks.split(mask, params)
    counts = labels.max(axis=(1, 2))
    before = (counts.cumsum(axis=0) - counts)[:, np.newaxis, np.newaxis]
    return labels + before * (labels > 0)


def _rows(labels: NDArray[Any], areas: NDArray[Any]) -> NDArray[np.object_]:
    ids = np.unique(labels[labels > 0])
    objects = np.empty(1, dtype=object)
    objects[0] = np.column_stack([ids, areas[ids - 1]])
    return objects


def measure(labels: da.Array) -> da.Array:
    """Label and area of the objects of each image.

    The number of labels has to be known before the graph of the areas can be built, so the labels
    are computed here, once, and kept.
    """
    labels = labels.persist()
    index = np.arange(1, int(labels.max().compute()) + 1)
    # Without a label, area() would fail on its empty index.
    areas = dask_image.ndmeasure.area(labels, labels, index) if index.size else index
    # One image a chunk.
    found = [dask.delayed(_rows)(image, areas) for image in labels.to_delayed().ravel()]
    return da.concatenate([da.from_delayed(rows, shape=(1,), dtype=object) for rows in found])


PROCESSOR = dataclasses.replace(
    stack.ONE_BY_ONE, words="dask-image's filters and areas", split=split, measure=measure
)
