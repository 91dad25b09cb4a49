"""OpenCV's filters in double precision, one image at a time: C++ without Dask."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from segbench.backends import readers, skimage
from segbench.errors import InputError
from segbench.pipeline import TRUNCATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segbench.pipeline import PipelineParams

# OpenCV's BORDER_REFLECT repeats the edge pixel, as scipy.ndimage's "reflect" does.
BORDER = cv2.BORDER_REFLECT

# Those of skimage.color.rgb2gray.
WEIGHTS = np.array([[0.2125, 0.7154, 0.0721]])


def _gaussian(image: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    # OpenCV would choose another radius than scipy.ndimage: int(truncate * sigma + 0.5).
    width = 2 * int(TRUNCATE * sigma + 0.5) + 1
    return np.asarray(cv2.GaussianBlur(image, (width, width), sigma, borderType=BORDER), np.float64)


def grayscale(image: NDArray[Any]) -> NDArray[np.float64]:
    """Luminance of colours by scikit-image's weights, within the rounding of their sum."""
    if image.ndim == 2 or image.shape[-1] == 4:
        return skimage.grayscale(image)
    return np.asarray(cv2.transform(_as_float(image), WEIGHTS), np.float64)


def _as_float(image: NDArray[Any]) -> NDArray[np.float64]:
    """Values from 0 to 1."""
    return np.asarray(image * (1 / np.iinfo(image.dtype).max))


def load(path: str) -> NDArray[Any]:
    """Decode a file as it is, its colours in the order of RGB."""
    found = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    if found is None:
        raise ValueError(f"{path}: OpenCV can't decode it")
    if found.ndim == 2:
        return np.asarray(found)
    order = cv2.COLOR_BGRA2RGBA if found.shape[-1] == 4 else cv2.COLOR_BGR2RGB
    return np.asarray(cv2.cvtColor(found, order))


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


LIBRARIES = (
    # Of those that bring `cv2` all: more than one may be installed.
    *("opencv-python-headless", "opencv-python"),
    *("opencv-contrib-python-headless", "opencv-contrib-python"),
)

# OpenCV has no collection of files.
READER = dataclasses.replace(readers.SKIMAGE, words="cv2.imread", libraries=LIBRARIES, load=load)

PROCESSOR = dataclasses.replace(
    skimage.PROCESSOR,
    words="OpenCV",
    libraries=LIBRARIES,
    work="OpenCV",
    reader="opencv",
    grayscale=grayscale,
    blur=blur,
    threshold=threshold,
    label=label,
)

IN_BLOCKS = dataclasses.replace(
    PROCESSOR, words="OpenCV over a Dask array", uses_dask=True, mapped=True, batches=True
)
