"""OpenCV's filters in double precision, one image at a time: C++ without Dask."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import cv2
import numpy as np

from segbench.backends import skimage
from segbench.errors import InputError
from segbench.pipeline import TRUNCATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segbench.pipeline import PipelineParams

# OpenCV's BORDER_REFLECT repeats the edge pixel, as scipy.ndimage's "reflect" does.
BORDER = cv2.BORDER_REFLECT


def _gaussian(image: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    # OpenCV would choose another radius than scipy.ndimage: int(truncate * sigma + 0.5).
    width = 2 * int(TRUNCATE * sigma + 0.5) + 1
    return np.asarray(cv2.GaussianBlur(image, (width, width), sigma, borderType=BORDER), np.float64)


def blur(gray: NDArray[np.float64], params: PipelineParams) -> NDArray[np.float64]:
    """Gaussian blur."""
    return _gaussian(gray, params.sigma)


def threshold(blurred: NDArray[np.float64], params: PipelineParams) -> NDArray[np.float64]:
    """Local threshold, one value a pixel."""
    size = params.block_size
    if params.method == "gaussian":
        summary = _gaussian(blurred, (size - 1) / 6)
    elif params.method == "mean":
        summary = np.asarray(cv2.blur(blurred, (size, size), borderType=BORDER), np.float64)
    else:
        raise InputError("opencv has no median of doubles: use --method gaussian or mean")
    return summary - params.taken_off


def label(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """4-connected objects."""
    _, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    return np.asarray(labels, np.int32)


PROCESSOR = dataclasses.replace(
    skimage.PROCESSOR,
    words="OpenCV",
    libraries=(
        # Of those that bring `cv2` all: more than one may be installed.
        *("opencv-python-headless", "opencv-python"),
        *("opencv-contrib-python-headless", "opencv-contrib-python"),
    ),
    work="OpenCV",
    blur=blur,
    threshold=threshold,
    label=label,
)
