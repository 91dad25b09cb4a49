# /// script
# dependencies = ["dask[array]"]
# ///
"""dask.array.image.imread: the keys depend neither on how files are read nor on their times."""

import os
import tempfile
from pathlib import Path

import dask
import numpy as np
from dask.array.image import imread


def inverted(file):
    """Read an image, and invert it."""
    return 255 - np.load(file)


with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "0.npy"
    np.save(file, np.full((4, 5), 7, np.uint8))
    first = imread(f"{folder}/*.npy", imread=np.load)
    second = imread(f"{folder}/*.npy", imread=inverted)
    pixels = [int(image.max()) for image in dask.compute(first, second)]
    os.utime(file, (0, 0))
    touched = imread(f"{folder}/*.npy", imread=np.load)
same_for_functions = first.name == second.name
same_for_times = first.name == touched.name
print(f"computed together: {pixels[0]} and {pixels[1]}; they should be 7 and 248")
print(f"same keys for another function: {same_for_functions}")
print(f"same keys for another time of the file: {same_for_times}")
print("still there" if same_for_functions or same_for_times else "mended")
