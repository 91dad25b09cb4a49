"""A picture of what the reference finds on the first image of a run, for people to look at."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, PngImagePlugin

from segbench import files
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

# Outlines: of an image that is rather bright, and of one that is rather dark.
ON_BRIGHT, ON_DARK = (0, 60, 220), (0, 229, 255)


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
    height, width = labels.shape
    rows, columns = (
        slice(start, start + WINDOW)
        for start in (max(0, (size - WINDOW) // 2) for size in (height, width))
    )
    shown, found = _rgb(np.asarray(pixels[rows, columns])), np.asarray(labels[rows, columns])
    scale = max(1, DRAWN // max(found.shape))
    enlarged = shown.repeat(scale, axis=0).repeat(scale, axis=1)
    outlined = enlarged.copy()
    edges = _outlines(found.repeat(scale, axis=0).repeat(scale, axis=1))
    outlined[edges] = ON_BRIGHT if shown.mean() > 127 else ON_DARK
    gap = np.full((len(enlarged), GAP, 3), 255, dtype=np.uint8)
    picture = Image.fromarray(np.concatenate([enlarged, gap, outlined], axis=1))
    text = PngImagePlugin.PngInfo()
    objects = np.count_nonzero(np.unique(found))
    of = f"{found.shape[0]} × {found.shape[1]} pixels of the first image"
    text.add_itxt("Description", f"{objects} objects in {of}.")
    content = io.BytesIO()
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(content, "PNG", pnginfo=text)
    return content.getvalue()


def _rgb(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Pixels of 8 or 16 bit, gray or in colour, as RGB of 8 bit; transparency over white."""
    if pixels.dtype.itemsize > 1:
        pixels = pixels >> 8
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    if pixels.shape[-1] in (2, 4):
        alpha = pixels[..., -1:] / 255
        pixels = pixels[..., :-1] * alpha + 255 * (1 - alpha)
    if pixels.shape[-1] == 1:
        pixels = np.repeat(pixels, 3, axis=-1)
    return pixels.astype(np.uint8)


def _outlines(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels of objects that are next to something else."""
    edge = np.zeros(labels.shape, dtype=bool)
    down, right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge & (labels > 0)
