"""
A plain loop
============

A plain loop over the files is all you need for a handful of images, and every other recipe starts from it. It uses one
CPU, and an error points to the image that caused it.

.. include:: /recipes/when/loop.txt
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from skimage import color, data, filters, io, measure, segmentation, util

# %%
# The script draws 24 images of stained cells to have something to read.
folder = Path(tempfile.mkdtemp())  # put the folder of your images here
for number in range(0 if any(folder.iterdir()) else 24):  # draws into an empty folder alone
    cells = data.binary_blobs(256, blob_size_fraction=0.12, volume_fraction=0.2, rng=number)
    stain = filters.gaussian(cells, sigma=2)[..., np.newaxis] * [0.2, 0.5, 0.2]
    image = util.random_noise(0.9 - stain, var=0.001, rng=number)
    io.imsave(folder / f"{number:02}.png", util.img_as_ubyte(image), check_contrast=False)
files = sorted(folder.glob("*.png"))

# %%
# One function does all the work on an image, so that other recipes can give it to a pool.


def label_cells(file):
    gray = filters.gaussian(color.rgb2gray(io.imread(file)), sigma=1)
    return measure.label(gray < filters.threshold_local(gray, 101, offset=0.05), connectivity=1)


def cell_areas(file):
    areas = np.bincount(label_cells(file).ravel())[1:]
    return areas[areas >= 30]  # smaller objects are noise


areas = np.concatenate([cell_areas(file) for file in files])
print(f"{areas.size} cells cover {areas.sum()} pixels")

# %%
# Look at the outlines before you trust the numbers.
outlined = segmentation.mark_boundaries(io.imread(files[0]), label_cells(files[0]), color=(0, 0, 0))
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.5), layout="constrained")
left.imshow(outlined)
left.set_axis_off()
right.hist(areas, bins=40)
right.set(xlabel="area of a cell (pixels)", ylabel="cells")
plt.show()
