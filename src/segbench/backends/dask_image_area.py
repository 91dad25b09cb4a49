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

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _rows(labels: NDArray[Any], areas: NDArray[Any]) -> NDArray[np.object_]:
    objects = np.empty(len(labels), dtype=object)
    for i, image in enumerate(labels):
        ids = np.unique(image[image > 0])
        objects[i] = np.column_stack([ids, areas[ids - 1]])
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
    return da.concatenate(
        [
            da.from_delayed(
                dask.delayed(_rows)(block, areas),
                shape=(size,),
                dtype=object,
                meta=np.empty(0, object),
            )
            for block, size in zip(labels.to_delayed().ravel(), labels.chunks[0], strict=True)
        ]
    )


PROCESSOR = dataclasses.replace(
    stack.PROCESSOR, words="dask-image's filters and areas", measure=measure
)
