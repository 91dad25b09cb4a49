"""What holds on real photographs, where there are some (SEGBENCH_REAL_IMAGES)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from segbench.agreement import first_difference, first_different_image
from segbench.backends import phases
from segbench.backends.registry import BASELINE, BackendSpec
from segbench.images import datasets
from segbench.images.origin import Origin
from segbench.measure.settings import BACKENDS
from segbench.pipeline import PipelineParams

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from segbench.pipeline import Segmentation

PARAMS = PipelineParams()
COUNT = 6


@pytest.fixture(scope="module")
def photographs(real_images: Path) -> datasets.Dataset:
    """The first few."""
    return datasets.from_images(Origin(images=(str(real_images),)), limit=COUNT)


@pytest.fixture(scope="module")
def reference(photographs: datasets.Dataset) -> tuple[NDArray[np.uint8], Segmentation]:
    """Pixels and cells by the baseline."""
    count = len(photographs.files)
    image, pattern = datasets.lay_out(photographs, 1), datasets.lay_out(photographs, count)
    with phases.started(BASELINE, workers=1, image=image, params=PARAMS) as backend:
        pixels = phases.read_images(backend, pattern)
        return pixels, phases.segment_pixels(backend, pixels, PARAMS)


@pytest.mark.parametrize("spec", [*BACKENDS, BackendSpec("skimage", "opencv", "serial")], ids=str)
def test_backends_find_the_same_cells(
    spec: BackendSpec,
    photographs: datasets.Dataset,
    reference: tuple[NDArray[np.uint8], Segmentation],
) -> None:
    """Every default backend reads the same pixels and finds the same cells as the reference."""
    pixels, cells = reference
    image = datasets.lay_out(photographs, 1)
    pattern = datasets.lay_out(photographs, len(photographs.files))
    with phases.started(spec, workers=2, image=image, params=PARAMS) as backend:
        assert first_different_image(phases.read_images(backend, pattern), pixels) is None
        assert first_difference(phases.segment_files(backend, pattern, PARAMS), cells) is None


def test_cells_are_found(
    photographs: datasets.Dataset, reference: tuple[NDArray[np.uint8], Segmentation]
) -> None:
    """Each photograph has some cells, and they are darker than the rest."""
    pixels, cells = reference
    assert len(cells.objects) == len(photographs.files)
    for image, labels in zip(pixels, cells.labels, strict=True):
        assert labels.max() > 1
        assert np.mean(image[labels > 0]) < np.mean(image[labels == 0])
