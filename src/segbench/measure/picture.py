"""A picture of what the reference finds on the first image of a run, for people to look at."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, PngImagePlugin

from segbench import files
from segbench.images import overlay
from segbench.results.records import PICTURE_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# Pixels of the image that are shown, from its middle, and about how wide they are drawn: a report
# holds the picture, and is to stay small.
WINDOW = 256
DRAWN = 512

GAP = 8  # pixels between the two halves
COLOURS = 128


def write(reference: Path, out: Path) -> None:
    """Write ``sample.png`` to a run's folder.

    Parameters
    ----------
    reference : Path
        Folder with the ``pixels.npy`` and ``labels.npy`` that the reference's worker wrote.
    out : Path
        Folder of the run.
    """
    pixels = np.load(reference / "pixels.npy", mmap_mode="r")[0]
    labels = np.load(reference / "labels.npy", mmap_mode="r")[0]
    files.write_bytes(out / PICTURE_NAME, draw(pixels, labels))


def draw(pixels: NDArray[Any], labels: NDArray[Any]) -> bytes:
    """Draw the middle of an image, and beside it the same with the outlines of its objects.

    Parameters
    ----------
    pixels : ndarray of uint8 or uint16, shape (H, W[, C])
        Gray, RGB or RGBA.
    labels : ndarray of int, shape (H, W)
        0 is background.

    Returns
    -------
    bytes
        A PNG file; its text ``Description`` says what it shows.
    """
    starts = (max(0, (size - WINDOW) // 2) for size in labels.shape)
    window = tuple(slice(start, start + WINDOW) for start in starts)
    pixels, found = np.asarray(pixels[window]), np.asarray(labels[window])
    if pixels.shape[-1] == 1 and pixels.ndim == 3:
        pixels = pixels[..., 0]
    scale = max(1, DRAWN // max(found.shape))
    left, enlarged = (
        each.repeat(scale, axis=0).repeat(scale, axis=1) for each in (overlay.shown(pixels), found)
    )
    right = overlay.outlined(left, enlarged)
    gap = np.full((len(left), GAP, 3), 255)
    picture = Image.fromarray(np.concatenate([left, gap, right], axis=1).astype(np.uint8))
    text = PngImagePlugin.PngInfo()
    objects = np.count_nonzero(np.unique(found))
    of = f"{found.shape[0]} × {found.shape[1]} pixels of the first image"
    text.add_itxt("Description", f"{objects} objects in {of}.")
    content = io.BytesIO()
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(content, "PNG", pnginfo=text)
    return content.getvalue()
