"""Pictures of images with the outlines of their cells, for people to look at."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Outlines: of an image that is rather bright, and of one that is rather dark.
ON_BRIGHT, ON_DARK = (0, 60, 220), (0, 229, 255)


def shown(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Pixels as they are drawn, ``(H, W, 3)``; transparency lies over white.

    Parameters
    ----------
    pixels : ndarray of uint8 or uint16, shape (H, W[, C])
        Gray, RGB or RGBA; the values of 16-bit images are spread from the least to the greatest.
    """
    if pixels.dtype != np.uint8:
        low, high = int(pixels.min()), int(pixels.max())
        if low == high:
            low, high = 0, 65535
        pixels = ((pixels - low) * (255.0 / (high - low))).astype(np.uint8)
    image = Image.fromarray(pixels).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(white, image).convert("RGB"))


def outlined(picture: NDArray[np.uint8], labels: NDArray[Any]) -> NDArray[np.uint8]:
    """A picture ``(H, W, 3)`` with the outlines of the objects of a label image ``(H, W)``."""
    from skimage.segmentation import find_boundaries  # noqa: PLC0415  (takes long to import)

    edges = find_boundaries(labels, mode="inner")
    colour = ON_BRIGHT if picture.mean() > 127 else ON_DARK
    return np.where(edges[..., np.newaxis], colour, picture).astype(np.uint8)


def png(picture: NDArray[np.uint8]) -> bytes:
    """A picture as the content of a file."""
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    return content.getvalue()
