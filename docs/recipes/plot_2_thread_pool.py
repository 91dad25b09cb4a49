"""
Scikit-image in a thread pool
=============================

Use a thread pool when you have more than a few images and one machine. It needs no other library and starts at once.
Most functions of scikit-image let other Python threads run while they work.

.. include:: /recipes/when/thread_pool.txt
"""

import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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
# ``pool.map`` returns the results in the order of the files.
with ThreadPoolExecutor(os.cpu_count()) as pool:
    areas = np.concatenate(list(pool.map(cell_areas, files)))
print(f"{areas.size} cells cover {areas.sum()} pixels")

# %%
# More threads than CPUs do not help.
counts, seconds = (1, 2, 4, 8), []
for count in counts:
    start = time.perf_counter()
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(cell_areas, files))
    seconds.append(time.perf_counter() - start)
figure, axes = plt.subplots(figsize=(5, 3), layout="constrained")
axes.bar([str(count) for count in counts], seconds)
axes.set(xlabel=f"threads, on {os.cpu_count()} CPUs", ylabel="seconds for all images")
plt.show()
