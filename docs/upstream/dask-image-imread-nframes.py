# /// script
# dependencies = ["dask-image"]
# ///
"""dask_image.imread.imread: with nframes above 1, files of one image each are dropped."""

import tempfile
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from dask_image.imread import imread

with tempfile.TemporaryDirectory() as folder:
    for number in range(20):
        iio.imwrite(Path(folder) / f"{number:02d}.png", np.full((4, 5), number, np.uint8))
    images = imread(f"{folder}/*.png", nframes=5)
    computed = images.compute()
print(f"declared {images.shape}, computed {computed.shape}")
print("mended" if computed.shape == images.shape else "still there")
