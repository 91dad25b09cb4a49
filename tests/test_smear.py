"""The generated blood smears: reproducible, well labelled, in any shape."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segbench.images import smear
from segbench.images.smear import smear_image

GOLDEN = "cb20277d6ed43626d30882c72378172431ad4d0c84381dc40b38ac09c3a1dfa2"


def test_same_seed_and_index_give_the_same_picture() -> None:
    """A picture can be made again from its seed and its index."""
    first, second = smear_image(3, seed=5), smear_image(3, seed=5)
    np.testing.assert_array_equal(first.pixels, second.pixels)
    np.testing.assert_array_equal(first.truth, second.truth)


@pytest.mark.parametrize(("index", "seed"), [(4, 5), (3, 6), (5, 3)])
def test_another_index_or_seed_gives_another_picture(index: int, seed: int) -> None:
    """No two pictures of the series are the same."""
    assert not np.array_equal(smear_image(3, seed=5).pixels, smear_image(index, seed=seed).pixels)


def test_pictures_made_before_do_not_matter() -> None:
    """Picture 2 is the same whether or not others were made before it."""
    alone = smear_image(2).pixels
    after_others = [smear_image(index).pixels for index in (7, 0, 1, 2)][-1]
    np.testing.assert_array_equal(alone, after_others)


def test_pixels_are_those_of_this_version() -> None:
    """The pixels of one picture are the same on every platform until VERSION is raised."""
    assert smear.VERSION == 1
    assert hashlib.sha256(smear_image(7, seed=11).pixels.tobytes()).hexdigest() == GOLDEN


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(16, 300),
    width=st.integers(16, 500),
    seed=st.integers(0, 2**32),
    cell_diameter=st.floats(8, 60),
)
def test_any_shape_has_pixels_and_consecutive_labels(
    height: int, width: int, seed: int, cell_diameter: float
) -> None:
    """Pixels and truth have the asked shape, and cells are numbered without a gap."""
    made = smear_image(0, seed=seed, shape=(height, width), cell_diameter=cell_diameter)
    assert made.pixels.shape == (height, width, 3)
    assert made.pixels.dtype == np.uint8
    assert made.pixels.flags.c_contiguous
    assert made.truth.shape == (height, width)
    assert made.truth.dtype == np.uint16
    ids = np.unique(made.truth[made.truth > 0])
    np.testing.assert_array_equal(ids, np.arange(1, len(ids) + 1))


def test_number_of_cells_grows_with_the_area() -> None:
    """Four times the area has two to six times the cells, as cells keep their size."""
    small = sum(int(smear_image(index).truth.max()) for index in range(5))
    large = sum(int(smear_image(index, shape=(384, 512)).truth.max()) for index in range(5))
    assert 2 * small < large < 6 * small


def test_cells_cross_every_border() -> None:
    """The four borders of the picture all cut cells."""
    truths = [smear_image(index).truth for index in range(5)]
    for side in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        assert any(truth[side].any() for truth in truths)


def test_cells_are_darker_than_the_background() -> None:
    """What the truth calls cell is darker than what it calls background, in every picture."""
    for index in range(10):
        made = smear_image(index)
        grey = made.pixels.mean(axis=-1)
        assert grey[made.truth > 0].mean() < grey[made.truth == 0].mean() - 10


def test_white_cells_are_darker_than_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each white cell, drawn without other cells, is darker than the background around it."""
    monkeypatch.setattr(smear, "RED_CELLS", 0.0)
    monkeypatch.setattr(smear, "PLATELETS", 0.0)
    white_cells = 0
    for index in range(10):
        made = smear_image(index)
        grey = made.pixels.mean(axis=-1)
        for label in range(1, int(made.truth.max()) + 1):
            white_cells += 1
            assert grey[made.truth == label].mean() < grey[made.truth == 0].mean() - 15
    assert white_cells >= 5


@pytest.mark.parametrize("shape", [(15, 256), (192, 0), (-192, 256)])
def test_a_bad_shape_is_refused(shape: tuple[int, int]) -> None:
    """A side below 16 pixels is an error that shows the shape."""
    with pytest.raises(ValueError, match=rf"shape .*\({shape[0]}, {shape[1]}\)"):
        smear_image(0, shape=shape)


def test_a_negative_index_or_seed_is_refused() -> None:
    """Neither the index nor the seed may be negative, and the error shows which was."""
    with pytest.raises(ValueError, match=r"index .*-3"):
        smear_image(-3)
    with pytest.raises(ValueError, match=r"seed .*-4"):
        smear_image(0, seed=-4)


@pytest.mark.parametrize("diameter", [3.5, float("nan"), float("inf")])
def test_a_bad_cell_diameter_is_refused(diameter: float) -> None:
    """A cell too small to draw, or of no size at all, is an error that shows the diameter."""
    with pytest.raises(ValueError, match=f"cell_diameter .*{diameter}"):
        smear_image(0, cell_diameter=diameter)


def test_more_cells_than_labels_are_refused() -> None:
    """A picture with more cells than uint16 can number is an error that shows how many."""
    with pytest.raises(ValueError, match=r"would have \d{6} cells"):
        smear_image(0, shape=(3000, 3000), cell_diameter=4.0)
