"""
A Dask array over files with map_blocks
=======================================

Use ``dask.array.map_blocks`` over the file names when you want all images as one array that is read only where you look
at it. All images must have the same shape, and a chunk should hold several of them.

.. include:: /recipes/when/map_blocks.txt
"""

import tempfile
from pathlib import Path

import dask.array as da
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

# %%
# Each chunk of the array of names becomes a chunk of six images, and then a list of areas.


def read(names):
    return np.stack([io.imread(name) for name in names])


def cell_areas(images):
    found = []
    for image in images:
        gray = filters.gaussian(color.rgb2gray(image), sigma=1)
        cells = gray < filters.threshold_local(gray, 101, offset=0.05)
        found.append(np.bincount(measure.label(cells, connectivity=1).ravel())[1:])
    return np.concatenate(found)


names = da.from_array(np.array([str(file) for file in files]), chunks=6)
chunks = (names.chunks[0], *io.imread(files[0]).shape)
images = names.map_blocks(read, new_axis=[1, 2, 3], chunks=chunks, meta=np.empty((0,) * 4, "u1"))
unknown = ((np.nan,) * names.numblocks[0],)  # how many cells a chunk has
areas = images.map_blocks(cell_areas, drop_axis=[1, 2, 3], chunks=unknown, dtype=int)
areas = areas[areas >= 30].compute()  # smaller objects are noise
print(f"{areas.size} cells cover {areas.sum()} pixels")

# %%
# Dask reads only the chunk that is looked at.
figure, axes = plt.subplots(1, 3, figsize=(8, 2.8), layout="constrained")
for place, image in zip(axes, images[6:9].compute(), strict=True):
    place.imshow(image)
    place.set_axis_off()
plt.show()
