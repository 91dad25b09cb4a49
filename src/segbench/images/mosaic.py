"""One large image of a blood smear in a file: drawn, compressed and written tile by tile."""

from __future__ import annotations

import multiprocessing
import zlib
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from segbench import windows
from segbench.images.smear import TILE, mosaic_tile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

VERSION = 1  # part of the cache key: raised when the pixels of a seed change

# Below so many tiles it takes longer to start processes than to draw.
FEW = 64


def write(image: Path, truth: Path, *, seed: int, shape: tuple[int, int]) -> None:
    """Write the picture and its truth as tiled, compressed TIFF.

    Parameters
    ----------
    image, truth : Path
        Files to write: RGB of 8 bit, and the numbers of cells in uint32.
    seed : int
        Which mosaic.
    shape : tuple of int
        Height and width in pixels.
    """
    # Of the truth little is left when it is compressed: it waits until the picture is written.
    packed: list[bytes] = []

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for pixels, numbers in _tiles(seed, shape):
            packed.append(numbers)
            yield pixels

    windows.save_tiles(image, pictures(), shape=(*shape, 3), dtype=np.uint8)
    unpacked = (
        np.frombuffer(zlib.decompress(each), np.uint32).reshape(TILE, TILE) for each in packed
    )
    windows.save_tiles(truth, unpacked, shape=shape, dtype=np.uint32)


def _tiles(seed: int, shape: tuple[int, int]) -> Iterator[tuple[NDArray[np.uint8], bytes]]:
    """The tiles row by row, with their truth compressed."""
    down, across = (-(-side // TILE) for side in shape)
    draw = partial(_draw, seed=seed, shape=shape)
    if down * across < FEW:
        for row in range(down):
            yield from map(partial(draw, row), range(across))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(mp_context=context) as pool:
        for row in range(down):
            yield from pool.map(partial(draw, row), range(across))


def _draw(
    row: int, column: int, *, seed: int, shape: tuple[int, int]
) -> tuple[NDArray[np.uint8], bytes]:
    pixels, truth = mosaic_tile(row, column, seed=seed, shape=shape)
    return np.ascontiguousarray(pixels), zlib.compress(truth.tobytes(), 1)
