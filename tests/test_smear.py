"""The generated blood smears: reproducible, well labelled, in any shape."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segbench.images import smear
from segbench.images.smear import smear_image


def test_seed_and_index_give_the_picture() -> None:
    """A picture is made again from its seed and its index, whatever is made before, and is no other."""
    first, other = smear_image(3, seed=5), smear_image(4, seed=5)
    again = smear_image(3, seed=5)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    np.testing.assert_array_equal(first.truth, again.truth)
    for pixels in (other.pixels, smear_image(3, seed=6).pixels, smear_image(5, seed=3).pixels):
        assert not np.array_equal(first.pixels, pixels)


# SHA-256 of pixels and truth, by index, seed and shape.
GOLDEN = {
    (7, 11, (192, 256)): "365abcc77b5929e2dd839b43838dd6f277a1cc7d0ad2dbda04b0334cf4957343",
    (0, 0, (16, 16)): "b5cd375cb0328f9d1ec32a249b8600f17915d86b6ef97b0b7f9879f90f68473d",
    (2, 2**31, (33, 71)): "8171ed39f697ae26f5b900d972133f71d0a469cc84e5815b129f420ae817b43a",
    (1, 3, (384, 512)): "2e17ba8ec2d5f77d6f81aaa248dad538f40eccf1b2fc3709806f0e940a591e54",
}


@pytest.mark.parametrize("picture", GOLDEN, ids=str)
def test_pixels_are_those_of_this_version(picture: tuple[int, int, tuple[int, int]]) -> None:
    """The pixels and the truth are the same on every platform until VERSION is raised."""
    index, seed, shape = picture
    made = smear_image(index, seed=seed, shape=shape)
    assert smear.VERSION == 1
    found = hashlib.sha256(made.pixels.tobytes() + made.truth.tobytes()).hexdigest()
    assert found == GOLDEN[picture]


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(16, 300),
    width=st.integers(16, 500),
    seed=st.integers(0, 2**32),
)
def test_any_shape_has_pixels_and_consecutive_labels(height: int, width: int, seed: int) -> None:
    """Pixels and truth have the asked shape, and cells are numbered without a gap."""
    made = smear_image(0, seed=seed, shape=(height, width))
    assert made.pixels.shape == (height, width, 3)
    assert made.pixels.dtype == np.uint8
    assert made.pixels.flags.c_contiguous
    assert made.truth.shape == (height, width)
    assert made.truth.dtype == np.uint16
    ids = np.unique(made.truth[made.truth > 0])
    np.testing.assert_array_equal(ids, np.arange(1, len(ids) + 1))


def test_number_of_cells_grows_with_the_area() -> None:
    """Four times the area has two to six times the cells, and all four borders cut some."""
    truths = [smear_image(index).truth for index in range(5)]
    small = sum(int(truth.max()) for truth in truths)
    large = sum(int(smear_image(index, shape=(384, 512)).truth.max()) for index in range(5))
    assert 2 * small < large < 6 * small
    for side in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        assert any(truth[side].any() for truth in truths)


@pytest.mark.parametrize(("left_out", "margin"), [((), 10), (("RED_CELLS", "PLATELETS"), 15)])
def test_cells_are_darker_than_the_background(
    left_out: tuple[str, ...], margin: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells are darker than the background in every picture, and white cells alone are, too."""
    for name in left_out:
        monkeypatch.setattr(smear, name, 0.0)
    cells = 0
    for index in range(10):
        made = smear_image(index)
        grey = made.pixels.mean(axis=-1)
        found = range(1, int(made.truth.max()) + 1)
        # Each by itself where there are only white ones; red ones overlap.
        for cell in [made.truth == label for label in found] if left_out else [made.truth > 0]:
            cells += 1
            assert grey[cell].mean() < grey[made.truth == 0].mean() - margin
    assert cells >= 5


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"shape": (15, 256)}, r"shape .*\(15, 256\)"),
        ({"shape": (-192, 256)}, r"shape .*\(-192, 256\)"),
        ({"index": -3}, "non-negative"),
        ({"seed": -4}, "non-negative"),
        ({"shape": (3000, 3000)}, r"would have \d{6} cells"),
    ],
    ids=str,
)
def test_bad_wishes_are_refused(
    wish: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A side below 16 pixels, a negative number and more cells than uint16 can number are errors."""
    monkeypatch.setattr(smear, "DIAMETER", 4.0)
    with pytest.raises(ValueError, match=message):
        smear_image(**{"index": 0, **wish})


def test_a_mosaic_has_no_seams() -> None:
    """A cell that reaches from one tile into the next goes on there, with its number and its colours."""
    shape = (2 * smear.TILE, 3 * smear.TILE)
    (left, left_truth), (right, right_truth) = (
        smear.mosaic_tile(1, column, seed=3, shape=shape) for column in (0, 1)
    )
    on, beside = left_truth[:, -1], right_truth[:, 0]
    both = (on > 0) & (beside > 0)
    assert np.count_nonzero(both) > 50
    assert np.mean(on[both] == beside[both]) > 0.95
    # Columns on the seam differ by no more than those within a tile.
    steps = np.abs(np.diff(np.hstack([left, right]).astype(float), axis=1)).mean(axis=(0, 2))
    assert steps[smear.TILE - 1] < 1.2 * steps.mean()


def test_a_tile_of_a_mosaic_depends_on_its_place_alone() -> None:
    """It is the same whatever is made before, and its numbers are of no other tile."""
    shape = (4 * smear.TILE, 4 * smear.TILE)
    first, truth = smear.mosaic_tile(2, 1, seed=1, shape=shape)
    far, far_truth = smear.mosaic_tile(0, 3, seed=1, shape=shape)
    again, truth_again = smear.mosaic_tile(2, 1, seed=1, shape=shape)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(truth, truth_again)
    assert not np.array_equal(first, far)
    assert not {*np.unique(truth)[1:]} & {*np.unique(far_truth)[1:]}
    assert 0.2 < (truth > 0).mean() < 0.8
