"""What is estimated from a sample of images, and how many cells are found with that."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from skimage.io import imread

from segbench.agreement import NO_MATCHES, Matches, matches
from segbench.backends.skimage import PROCESSOR, grayscale
from segbench.errors import InputError
from segbench.estimate import of_images, params_for
from segbench.images import plain
from segbench.images.smear import smear_image
from segbench.pipeline import TO_FIND_CELLS, PipelineParams, label_objects, segmentation

if TYPE_CHECKING:
    from numpy.typing import NDArray


def discs(diameter: float, background: float, inside: float) -> NDArray[np.float64]:
    """Six discs in two rows, softly out of focus, with a little noise."""
    y, x = np.mgrid[:200, :300]
    away = np.min(
        [np.hypot(y - at_y, x - at_x) for at_y in (50, 150) for at_x in (50, 150, 250)], axis=0
    )
    share = np.clip((diameter / 2 - away) / 3 + 0.5, 0, 1)
    noise = 0.003 * np.random.default_rng(0).standard_normal(away.shape)
    return background + (inside - background) * share + noise


def found_in(pixels: NDArray[Any], truth: NDArray[Any], params: PipelineParams) -> Matches:
    """Match what the reference finds in an image with the truth."""
    labels, objects = label_objects(pixels, PROCESSOR, params)
    return matches(segmentation(labels[np.newaxis], [objects], params).labels[0], truth)


@pytest.mark.parametrize("diameter", [10, 25, 60])
@pytest.mark.parametrize(
    ("foreground", "background", "inside"),
    [("dark", 0.8, 0.5), ("bright", 0.05, 0.6), ("bright", 0.01, 0.06)],
)
def test_discs(diameter: float, foreground: str, background: float, inside: float) -> None:
    """Diameter, foreground and contrast of discs are seen, at any brightness (12 bits in 16 as well)."""
    found = of_images([discs(diameter, background, inside)] * 2)
    assert found is not None
    assert found.foreground == foreground
    assert found.diameter == pytest.approx(diameter, rel=0.15)
    assert found.contrast == pytest.approx(abs(background - inside), rel=0.2)


def test_nothing_to_see() -> None:
    """In flat images nothing is seen, and one among others changes nothing."""
    flat, full = np.full((200, 300), 0.5), discs(25, 0.1, 0.7)
    assert of_images([flat, flat]) is None
    assert of_images([full, flat]) == of_images([full])


def test_doubt_is_counted() -> None:
    """Images whose cells seem to be the other part, or take up as much as it, are counted."""
    bright, dark = discs(25, 0.1, 0.7), discs(25, 0.8, 0.3)
    half = np.where(np.arange(300) < 150, 0.2, 0.8) * np.ones((200, 1))
    for images, doubtful in (([bright] * 3, 0), ([bright, bright, dark], 1), ([dark, half], 1)):
        found = of_images(images)
        assert found is not None
        assert (found.images, found.doubtful) == (len(images), doubtful)


def test_what_is_given_counts() -> None:
    """Only what was not given comes from the images; where that is nothing, none is looked at."""
    images = [(255 * discs(30, 0.1, 0.7).clip(0, 1)).astype(np.uint8)]
    assert params_for(images, {})[0].diameter == pytest.approx(30, rel=0.1)
    found, _ = params_for(images, {"diameter": 12, "sigma": 0.5})
    assert (found.diameter, found.sigma, found.foreground) == (12, 0.5, "bright")
    assert found.block_size == PipelineParams(diameter=12).block_size
    everything: dict[str, Any] = {"diameter": 9, "foreground": "dark", "contrast": 0.2}
    unseen = (pytest.fail("looked at") for _ in range(1))
    assert params_for(unseen, everything) == (PipelineParams(**everything), None)
    with pytest.raises(InputError, match="diameter 0"):
        params_for(images, {"diameter": 0})


def test_flat_images_have_the_defaults() -> None:
    """Where no cells are to be seen, the defaults hold."""
    flat = np.full((32, 40), 200, np.uint8)
    assert params_for([flat], {"split": True}) == (PipelineParams(split=True), None)


def test_cells_of_a_smear_are_found() -> None:
    """With the defaults, holes filled and cells split, about half of the cells of smears are found.

    Many lie on each other.
    """
    params = PipelineParams(**TO_FIND_CELLS)
    smears = [smear_image(index) for index in range(6)]
    found = [found_in(each.pixels, each.truth, params) for each in smears]
    together = sum(found, NO_MATCHES)
    assert together.f1 > 0.45
    assert together.found < 1.3 * together.true
    seen = of_images([grayscale(each.pixels) for each in smears])
    assert seen is not None
    assert seen.foreground == "dark"
    assert seen.contrast == pytest.approx(params.contrast, rel=0.3)


@pytest.fixture(scope="session")
def nuclei() -> Path:
    """Folder of images of nuclei with truth, which the repository does not hold."""
    folder = os.environ.get("SEGBENCH_NUCLEI")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SEGBENCH_NUCLEI names no folder of nuclei")
    return Path(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "least"),
    [
        ("fluorescence-520", 0.88),
        ("fluorescence-360", 0.84),
        ("fluorescence-256", 0.73),
        ("histology", 0.57),
    ],
)
@pytest.mark.parametrize("known", [True, False], ids=["diameter", "nothing given"])
def test_nuclei_are_found(nuclei: Path, kind: str, least: float, known: bool) -> None:
    """Of each kind of image so many nuclei are found, whether their diameter is given or not."""
    index = pd.read_csv(nuclei / "index.csv")
    rows = index[index["kind"] == kind]
    given: dict[str, Any] = {**TO_FIND_CELLS}
    if known:
        given["diameter"] = float(rows["median_diameter_px"].median())
    files = [nuclei / "images" / name for name in rows["file"]]
    params, _ = params_for(plain.sample_of(files), given)
    assert params.foreground == rows["foreground"].iloc[0]
    found = [
        found_in(imread(file), imread(nuclei / "labels" / f"{file.stem}.tif"), params)
        for file in files
    ]
    assert sum(found, NO_MATCHES).f1 > least
