"""
Scikit-image in processes with joblib
=====================================

Use joblib when your own steps hold Python's lock, such as loops over pixels or cells, so that threads would wait for
each other. It starts one process for each CPU, and scikit-learn has probably installed it for you already.

.. include:: /recipes/when/joblib.txt
"""

import tempfile
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
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
# Only file names and lists of areas travel between the processes, which costs little. Unlike
# ``ProcessPoolExecutor``, joblib does not need the line ``if __name__ == "__main__":``.
found = Parallel(n_jobs=-1)(delayed(cell_areas)(file) for file in files)
areas = np.concatenate(found)
print(f"{areas.size} cells cover {areas.sum()} pixels")

# %%
# The results come in the order of the files, so one loop prints a table of both.
print("image   cells   mean area (pixels)")
for file, own in zip(files[:8], found, strict=False):
    print(f"{file.name}  {own.size:5}   {own.mean():18.1f}")
