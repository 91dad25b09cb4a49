# /// script
# dependencies = ["pims", "scikit-image"]
# ///
"""pims: it gives scikit-image's imread the deprecated parameter `plugin`."""

import tempfile
import warnings
from pathlib import Path
from unittest.mock import patch

import imageio.v3 as iio
import numpy as np
import pims


def imread(fname, as_gray=False):  # noqa: ARG001
    """What is left of skimage.io.imread once its deprecated parameters are dropped."""
    return iio.imread(fname)


imread.__module__ = "skimage.io"  # which pims looks at before it gives the parameter

with tempfile.TemporaryDirectory() as folder:
    for name in ("0.png", "1.png"):
        iio.imwrite(Path(folder) / name, np.zeros((4, 5), np.uint8))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            pims.open(f"{folder}/*.png")
            problems = [f"{one.category.__name__}: {one.message}" for one in caught]
        except TypeError as error:
            problems = [f"TypeError: {error}"]
    with patch("pims.image_sequence.imread", imread, create=True):
        try:
            pims.open(f"{folder}/*.png")
        except TypeError as error:
            problems.append(f"without the parameter, TypeError: {error}")
problems = [problem for problem in problems if "plugin" in problem]
for problem in problems:
    print(problem.partition(". ")[0])
print("still there" if problems else "mended")
