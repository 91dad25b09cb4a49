"""How many cells `segment` finds: F1 against the truth, with the diameter given and with nothing given.

Data are a folder of nuclei (``index.csv`` with ``file``, ``kind`` and ``median_diameter_px``,
``images/``, and ``labels/`` with a label image for each), a folder with boxes around cells
(``boxes.csv`` with ``file``, ``top``, ``left``, ``bottom``, ``right``), or one that holds several
of them. The generated smear is always among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from skimage.io import imread
from skimage.measure import regionprops_table

from segbench.agreement import NO_MATCHES, Matches, matches
from segbench.images import datasets
from segbench.measure.settings import available_cpus
from segbench.segmenting.cells import Job, find_cells, job_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

SMEARS = 50
OVERLAP = 0.5  # intersection over union; a match has more


@dataclass(frozen=True, kw_only=True)
class Images:
    """Images that are segmented as one folder.

    Attributes
    ----------
    name : str
        In the table.
    files : list of Path
        The images.
    diameter : float
        Of a typical true cell, in pixels.
    match : callable
        From the number of an image and its label image to how much of the truth is found.
    """

    name: str
    files: list[Path]
    diameter: float
    match: Callable[[int, NDArray[np.int32]], Matches]


def nuclei(folder: Path) -> Iterator[Images]:
    """Read an index of images with label images, kind by kind."""
    index = pd.read_csv(folder / "index.csv")
    for kind, rows in index.groupby("kind"):
        files = [folder / "images" / name for name in rows["file"]]
        truth = [imread(folder / "labels" / f"{file.stem}.tif") for file in files]
        yield Images(
            name=str(kind),
            files=files,
            diameter=float(rows["median_diameter_px"].median()),
            match=partial(_match_labels, list(truth)),
        )


def boxes(folder: Path) -> Iterator[Images]:
    """Read boxes around cells; the diameter is the root of their median area."""
    table = pd.read_csv(folder / "boxes.csv")
    sides = (table["bottom"] - table["top"]) * (table["right"] - table["left"])
    truth = [
        (folder / str(name), rows[["top", "left", "bottom", "right"]].to_numpy(float))
        for name, rows in table.groupby("file")
    ]
    yield Images(
        name=folder.name,
        files=[file for file, _ in truth],
        diameter=float(np.sqrt(sides.median())),
        match=lambda number, labels: match_boxes(labels, truth[number][1]),
    )


def smears() -> Iterator[Images]:
    """Make smears, with the truth about them."""
    dataset = datasets.smear(SMEARS)
    truth = datasets.read_labels(dataset.truth)
    areas = np.concatenate([np.bincount(image.ravel())[1:] for image in truth])
    yield Images(
        name="smear",
        files=list(dataset.files),
        diameter=float(np.median(np.sqrt(4 / np.pi * areas))),
        match=partial(_match_labels, list(truth)),
    )


def _match_labels(truth: Sequence[NDArray[Any]], number: int, labels: NDArray[np.int32]) -> Matches:
    return matches(labels, truth[number])


def match_boxes(labels: NDArray[np.int32], true: NDArray[np.float64]) -> Matches:
    """Match the boxes around objects with true ones ``(K, 4)``, one to one, as many as can be."""
    table = regionprops_table(labels, properties=("bbox",))
    found = np.column_stack([table[f"bbox-{side}"] for side in range(4)])[:, np.newaxis]
    low, high = np.maximum(found[..., :2], true[:, :2]), np.minimum(found[..., 2:], true[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=-1)
    sizes = [(each[..., 2:] - each[..., :2]).prod(axis=-1) for each in (found, true)]
    good = shared > OVERLAP * (sizes[0] + sizes[1] - shared)
    rows, columns = linear_sum_assignment(~good)
    return Matches(matched=int(good[rows, columns].sum()), true=len(true), found=len(found))


def score(images: Images, given: dict[str, Any]) -> tuple[Job, float, float]:
    """How they were segmented, F1 of all together, and how true and found numbers correlate."""
    job, labels = job_for(images.files, given), {}

    def keep(name: str, _: NDArray[Any], found: NDArray[np.int32]) -> None:
        labels[name] = found

    for _ in find_cells(images.files, job, workers=available_cpus(), keep=keep):
        pass  # the label images are what counts here
    found = [images.match(number, labels[file.name]) for number, file in enumerate(images.files)]
    counts = np.array([(each.true, each.found) for each in found])
    varied = len(found) > 1 and counts.std(axis=0).all()
    correlation = np.corrcoef(counts.T)[0, 1] if varied else np.nan
    return job, sum(found, NO_MATCHES).f1, float(correlation)


def find(data: Path) -> Iterator[Images]:
    """All the images with truth in a folder, or in the folders within it."""
    for folder in (data, *sorted(path for path in data.iterdir() if path.is_dir())):
        if (folder / "index.csv").is_file():
            yield from nuclei(folder)
        if (folder / "boxes.csv").is_file():
            yield from boxes(folder)


@click.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True, file_okay=False))
def accuracy(*, data: Path) -> None:
    """Print F1 (overlap above half, one to one), as `segbench segment` finds the cells.

    DATA is a folder with index.csv or boxes.csv, or a folder of such folders.
    """
    click.echo(
        "| on | images | diameter | F1 with it | counts correlate | estimated | F1 with nothing given "
        "| counts correlate |"
    )
    click.echo("| --- " + "| ---: " * 7 + "|")
    for images in (*find(data), *smears()):
        cells = [f"{images.name}", f"{len(images.files)}"]
        for given in ({"diameter": round(images.diameter, 1)}, {}):
            job, f1, correlation = score(images, given)
            cells += [f"{job.params.diameter:g}", f"{f1:.3f}", f"{correlation:.2f}"]
        click.echo(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    accuracy()
