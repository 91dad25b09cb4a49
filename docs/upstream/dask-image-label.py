# /// script
# dependencies = ["dask-image", "dask[array]"]
# ///
"""dask_image.ndmeasure.label: its input is computed again, and the tasks grow with the square."""

import dask.array as da
import numpy as np
from dask_image.ndmeasure import label

calls = []


def mask(block):
    """Make a mask of a block, and write down that it was made."""
    calls.append(1)
    return block > 0.5


image = da.from_array(np.random.default_rng(0).random((64, 64)), chunks=16)
labels, _ = label(image.map_blocks(mask, dtype=bool, meta=np.empty((0, 0), bool)))
labels.compute(scheduler="synchronous")
print(f"{image.npartitions} chunks of the input, {len(calls)} calls to make them")

tasks = []
for side in (2, 4, 8):
    labels, _ = label(da.zeros((side * 8, side * 8), chunks=8, dtype=bool))
    tasks.append(len(labels.__dask_graph__()))
    # By a few per cent it differs from one interpreter to the next.
    print(f"{side * side} chunks, about {float(f'{tasks[-1]:.1g}'):.0f} tasks")
growth = tasks[2] / tasks[1]
print(f"from 16 to 64, four times as many chunks, about {growth:.0f} times as many tasks")
print("still there" if len(calls) > image.npartitions or growth > 8 else "mended")
