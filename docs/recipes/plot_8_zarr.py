"""
One large image from Zarr
=========================

Convert a large image to Zarr when you read parts of it again and again, or when its file can only be decoded as a
whole. This recipe counts each cell in the tile that contains its centre. That is simpler than joining labels, and right
as long as the margin is at least as wide as the largest cell plus the 71 pixels that the filters reach.

.. include:: /recipes/when/zarr.txt

The measured backend joins the labels, as the previous recipe does, and its TIFF is tiled, so that a part of it can be
read. The TIFF of this recipe is compressed and is read as a whole.
"""

import tempfile
import timeit
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import tifffile
import zarr
from skimage import color, data, filters, measure, util

TILE, MARGIN = 512, 200  # pixels
path = Path(tempfile.mkdtemp()) / "slide.tif"  # or your image, without the next three lines
cells = data.binary_blobs(1536, blob_size_fraction=0.02, volume_fraction=0.2, rng=0)
stain = filters.gaussian(cells, sigma=2)[..., np.newaxis] * [0.2, 0.5, 0.2]
tifffile.imwrite(path.open("xb"), util.img_as_ubyte(0.9 - stain), compression="zlib")

# %%
# Convert the image once, with chunks as large as a tile.
store = path.with_suffix(".zarr")
with tifffile.imread(path, aszarr=True) as source:
    da.from_zarr(source).rechunk((TILE, TILE, 3)).to_zarr(store)
image = zarr.open_array(store, mode="r")


@dask.delayed
def tile_areas(row, column):
    top, left = max(row - MARGIN, 0), max(column - MARGIN, 0)
    pixels = image[top : row + TILE + MARGIN, left : column + TILE + MARGIN]
    gray = filters.gaussian(color.rgb2gray(pixels), sigma=1)
    labels = measure.label(gray < filters.threshold_local(gray, 101, offset=0.05), connectivity=1)
    found = [
        cell.area
        for cell in measure.regionprops(labels, offset=(top, left))
        if row <= cell.centroid[0] < row + TILE and column <= cell.centroid[1] < column + TILE
    ]
    return np.array(found, int)


height, width = image.shape[:2]
tiles = [tile_areas(row, col) for row in range(0, height, TILE) for col in range(0, width, TILE)]
areas = np.concatenate(dask.compute(*tiles, scheduler="threads"))
areas = areas[areas >= 30]  # smaller objects are noise
print(f"{areas.size} cells cover {areas.sum()} pixels")
tiff = timeit.timeit(lambda: tifffile.imread(path)[:TILE, :TILE], number=10) / 10
tile = timeit.timeit(lambda: image[:TILE, :TILE], number=10) / 10
print(f"A tile takes {tile:.4f} s to read from Zarr, and {tiff:.4f} s with the whole TIFF")
