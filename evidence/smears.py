"""Photographs of blood smears and generated ones beside each other, to see how alike they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from evidence.shared import ROOT
from segbench.images.smear import smear_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPE = (192, 256)
ROWS, COLUMNS = 3, 2  # of pictures in each half
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)


def photograph(path: Path) -> NDArray[np.uint8]:
    """Read a photograph and scale it to the shape of the generated pictures."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize(SHAPE[::-1], Image.Resampling.LANCZOS))


def draw(halves: dict[str, list[NDArray[np.uint8]]]) -> Figure:
    """Draw both halves, each with its title, of pictures from all over."""
    figure = Figure(figsize=(9.2, 5.6), dpi=100, layout="constrained")
    places = figure.subfigures(1, 2, squeeze=False, wspace=0.03).flat
    for half, (title, pictures) in zip(places, halves.items(), strict=True):
        half.suptitle(title)
        # Photographs that follow each other are often of one slide.
        chosen = np.linspace(0, len(pictures) - 1, ROWS * COLUMNS).round().astype(int)
        for axes, number in zip(half.subplots(ROWS, COLUMNS).flat, chosen, strict=True):
            axes.imshow(pictures[number])
            axes.set_axis_off()
    return figure


def describe(title: str, pictures: list[NDArray[np.uint8]]) -> str:
    """Mean and standard deviation of each channel, and percentiles of their mean."""
    pixels = np.stack(pictures).astype(np.float64)
    rows = {
        "mean RGB": pixels.mean(axis=(0, 1, 2)),
        "std RGB": pixels.std(axis=(0, 1, 2)),
        f"gray at {PERCENTILES} %": np.percentile(pixels.mean(axis=-1), PERCENTILES),
    }
    lines = [f"  {name}: " + " ".join(f"{value:.1f}" for value in rows[name]) for name in rows]
    return "\n".join([f"{title}, {len(pictures)} pictures", *lines])


@click.command()
@click.option(
    "--photographs",
    required=True,
    envvar="SEGBENCH_REAL_IMAGES",
    show_envvar=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of photographs, *.jpg.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=ROOT / "docs/smear-beside-photographs.png",
    help="The picture.  [default: that of the documents]",
)
def smears(*, photographs: Path, out: Path) -> None:
    """Draw photographs and generated smears beside each other, and compare their pixels."""
    paths = sorted(photographs.glob("*.jpg"))
    if len(paths) < (count := ROWS * COLUMNS):
        raise click.UsageError(f"{photographs}: {len(paths)} of the {count} photographs needed")
    generated = [smear_image(number).pixels for number in range(len(paths))]
    halves = {"Photographs (scaled down)": list(map(photograph, paths)), "Generated": generated}
    for title, pictures in halves.items():
        click.echo(describe(title, pictures))
    out.parent.mkdir(parents=True, exist_ok=True)
    draw(halves).savefig(out)
