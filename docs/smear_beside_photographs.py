"""Draw photographs of blood smears and generated ones beside each other, to see how alike they are.

Run as ``python docs/smear_beside_photographs.py --photographs DIR``.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from segbench.images.smear import smear_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

mpl.use("Agg")

SHAPE = (192, 256)
ROWS, COLUMNS = 3, 2  # of pictures in each half
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)


def photograph(path: Path) -> NDArray[np.uint8]:
    """Read a photograph and scale it to the shape of the generated pictures."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize(SHAPE[::-1], Image.Resampling.LANCZOS))


def draw(photographs: list[NDArray[np.uint8]], generated: list[NDArray[np.uint8]]) -> Figure:
    """Draw both halves, each with a title over it."""
    figure = Figure(figsize=(9.2, 5.6), dpi=100, layout="constrained")
    halves = figure.subfigures(1, 2, squeeze=False, wspace=0.03).flat
    titles = ("Photographs (scaled down)", "Generated")
    for half, title, pictures in zip(halves, titles, (photographs, generated), strict=True):
        half.suptitle(title)
        for axes, picture in zip(half.subplots(ROWS, COLUMNS).flat, pictures, strict=True):
            axes.imshow(picture)
            axes.set_axis_off()
    return figure


def describe(title: str, pictures: list[NDArray[np.uint8]]) -> str:
    """Return mean and standard deviation of each channel, and percentiles of their mean."""
    pixels = np.stack(pictures).astype(np.float64)
    rows = (
        ("mean RGB", pixels.mean(axis=(0, 1, 2))),
        ("std RGB", pixels.std(axis=(0, 1, 2))),
        (f"gray at {PERCENTILES} %", np.percentile(pixels.mean(axis=-1), PERCENTILES)),
    )
    lines = (f"  {name}: " + " ".join(f"{value:.1f}" for value in values) for name, values in rows)
    return "\n".join([f"{title}, {len(pictures)} pictures", *lines])


def main() -> int:
    """Read, generate, compare, draw; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", default=os.environ.get("SEGBENCH_REAL_IMAGES"))
    parser.add_argument("--out", type=Path, default=Path("docs/smear-beside-photographs.png"))
    options = parser.parse_args()
    count = ROWS * COLUMNS
    paths = sorted(Path(options.photographs).glob("*.jpg")) if options.photographs else []
    if len(paths) < count:
        print(
            f"error: found {len(paths)} of the {count} photographs (*.jpg) needed;"
            " name their folder with --photographs or SEGBENCH_REAL_IMAGES",
            file=sys.stderr,
        )
        return 2
    photographs = [photograph(path) for path in paths]
    generated = [smear_image(index).pixels for index in range(len(paths))]
    print(describe("photographs", photographs))
    print(describe("generated", generated))
    # Photographs that follow each other are often of one slide: take them from all over.
    spread = np.linspace(0, len(paths) - 1, count).round().astype(int)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    draw([photographs[number] for number in spread], generated[:count]).savefig(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
