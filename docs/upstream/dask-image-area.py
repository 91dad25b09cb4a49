# /// script
# dependencies = ["dask-image"]
# ///
"""dask_image.ndmeasure.area: the number of tasks grows with the number of labels."""

import dask.array as da
import numpy as np
from dask_image.ndmeasure import area

tasks = []
for count in (10, 20, 40):
    labels = da.from_array(np.arange(1, count + 1).repeat(4), chunks=count)
    areas = area(labels, labels, index=np.arange(1, count + 1))
    tasks.append(len(areas.__dask_graph__()))
    print(f"{count} labels, {labels.npartitions} chunks, {tasks[-1]} tasks")
print("still there" if tasks[-1] > 2 * tasks[0] else "mended")
