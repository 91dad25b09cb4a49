"""
One large image in tiles with map_overlap
=========================================

Use ``dask.array.map_overlap`` for an image that is larger than memory. Each tile is filtered with a margin from its
neighbours, and labels that meet at a border between tiles are joined afterwards, however large the cells are.

.. include:: /recipes/when/map_overlap.txt

The file should be a tiled TIFF, as slide scanners write it, so that a part of it can be read. The margin is as wide as
both filters reach: four standard deviations of the blur, and four of the threshold's Gaussian weights, whose standard
deviation is a sixth of the block. No two tiles share a label, because each adds a different number to its labels. The
image and its labels are never in memory as a whole, only the sizes of the labels and the rows and columns along the
borders.
"""

import tempfile
from pathlib import Path

import dask.array as da
import matplotlib.pyplot as plt
import numpy as np
import tifffile
from scipy.cluster.hierarchy import DisjointSet
from skimage import color, data, filters, measure, util

TILE, MARGIN = 512, (80, 80, 0)  # pixels; the margin is of rows, columns and colours
path = Path(tempfile.mkdtemp()) / "slide.tif"  # or your image, without the next three lines
cells = data.binary_blobs(1536, blob_size_fraction=0.02, volume_fraction=0.2, rng=0)
stain = filters.gaussian(cells, sigma=2)[..., np.newaxis] * [0.2, 0.5, 0.2]
tifffile.imwrite(path.open("xb"), util.img_as_ubyte(0.9 - stain), tile=(256, 256))


def mask(pixels):
    gray = filters.gaussian(color.rgb2gray(pixels), sigma=1)
    return gray < filters.threshold_local(gray, 101, offset=0.05)


def label(tile, block_info):
    place = np.ravel_multi_index(block_info[0]["chunk-location"], block_info[0]["num-chunks"])
    labels = measure.label(tile, connectivity=1)
    return np.where(labels > 0, labels + place * TILE**2, 0)


pixels = da.from_zarr(tifffile.imread(path, aszarr=True)).rechunk((TILE, TILE, 3))
masks = pixels.map_overlap(mask, depth=MARGIN, boundary="none", drop_axis=2, dtype=bool)
labels = masks.map_blocks(label, dtype=int)
y, x = (np.cumsum(chunks)[:-1] for chunks in labels.chunks)  # where the tiles begin
borders = da.stack([labels[y - 1], labels[y]]), da.stack([labels[:, x - 1], labels[:, x]])
(numbers, sizes), *borders = da.compute(da.unique(labels, return_counts=True), *borders)
joined = DisjointSet(numbers)
for pair in np.hstack([border.reshape(2, -1) for border in borders]).T:
    if pair.all():  # two labels that meet belong to one cell
        joined.merge(*pair)
size = dict(zip(numbers, sizes, strict=True))
areas = np.array([sum(map(size.get, one)) for one in joined.subsets() if 0 not in one])
areas = areas[areas >= 30]  # smaller objects are noise
print(f"{areas.size} cells cover {areas.sum()} pixels")

# %%
# Left: labels where four tiles meet. Right: the same labels after they are joined.
near = labels[400:624, 400:624].compute()
shown = np.hstack([near, np.vectorize(joined.__getitem__)(near)])
plt.matshow(color.label2rgb(shown, bg_color="white"))
plt.show()
