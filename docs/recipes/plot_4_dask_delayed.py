"""
Dask's delayed functions over batches of files
==============================================

Use ``dask.delayed`` when the same script should run on threads today and on a cluster tomorrow. Give each task several
files, because Dask spends some time on every task.

.. include:: /recipes/when/dask_delayed.txt
"""

import tempfile
import time
from pathlib import Path

import dask
import matplotlib.pyplot as plt
import numpy as np
from skimage import color, data, filters, io, measure, util

# %%
# The script draws 24 images of stained cells to have something to read.
folder = Path(tempfile.mkdtemp())  # put the folder of your images here
for number in range(0 if any(folder.iterdir()) else 24):  # draws into an empty folder alone
    cells = data.binary_blobs(256, blob_size_fraction=0.12, volume_fraction=0.2, rng=number)
    stain = filters.gaussian(cells, sigma=2)[..., np.newaxis] * [0.2, 0.5, 0.2]
    image = util.random_noise(0.9 - stain, var=0.001, rng=number)
    io.imsave(folder / f"{number:02}.png", util.img_as_ubyte(image), check_contrast=False)
files = sorted(folder.glob("*.png"))


def cell_areas(file):
    gray = filters.gaussian(color.rgb2gray(io.imread(file)), sigma=1)
    cells = gray < filters.threshold_local(gray, 101, offset=0.05)
    areas = np.bincount(measure.label(cells, connectivity=1).ravel())[1:]
    return areas[areas >= 30]  # smaller objects are noise


# %%
# A task reads and segments one batch of files. Only the areas leave it, so memory stays small.


@dask.delayed
def batch_areas(batch):
    return np.concatenate([cell_areas(file) for file in batch])


tasks = [batch_areas(files[first : first + 4]) for first in range(0, len(files), 4)]
areas = np.concatenate(dask.compute(*tasks, scheduler="threads"))
print(f"{areas.size} cells cover {areas.sum()} pixels")

# %%
# With more images per task there are fewer tasks to hand out, but a CPU may be idle at the end.
figure, axes = plt.subplots(figsize=(5, 3), layout="constrained")
for size in (1, 4, 8, 24):
    tasks = [batch_areas(files[first : first + size]) for first in range(0, len(files), size)]
    start = time.perf_counter()
    dask.compute(*tasks, scheduler="threads")
    axes.bar(str(size), time.perf_counter() - start, color="tab:blue")
axes.set(xlabel="images per task", ylabel="seconds for all images")
plt.show()
