"""Agreement: the same cells agree whatever their ids, and every other difference is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segbench.agreement import (
    first_difference,
    first_different_image,
    first_different_table,
    matches,
    truth_agreement,
)
from segbench.backends.skimage import measure
from segbench.pipeline import Segmentation, packed

if TYPE_CHECKING:
    from numpy.typing import NDArray

STACKS = hnp.arrays(np.int32, st.just((3, 4, 5)), elements=st.integers(0, 6))


def measured(labels: NDArray[Any]) -> Segmentation:
    """Put the table that belongs to label images with them."""
    labels = labels.astype(np.int32)
    return packed(tuple(measure(image) for image in labels)).with_labels(labels)


@pytest.fixture
def reference() -> Segmentation:
    """Give three images, each with two objects of two pixels and one of four."""
    image = [[1, 1, 0, 2, 2], [0, 0, 0, 0, 0], [3, 3, 3, 3, 0]]
    return measured(np.array([image] * 3))


@settings(max_examples=50, deadline=None)
@given(labels=STACKS, data=st.data())
def test_permuted_ids_agree(labels: NDArray[np.int32], data: st.DataObject) -> None:
    """The same partition agrees whatever its ids and the order of its table, in both directions."""
    reference = measured(labels)
    renamed = np.zeros_like(labels)
    for image, out in zip(labels, renamed, strict=True):
        ids = data.draw(st.permutations(range(1, 40)))
        out[:] = np.array([0, *ids])[image]
    result = measured(renamed)
    shuffled = packed(tuple(rows[::-1] for rows in result.objects)).with_labels(result.labels)
    assert first_difference(result, reference) is None
    assert first_difference(reference, result) is None
    assert first_difference(shuffled, reference) is None


@settings(max_examples=50, deadline=None)
@given(labels=STACKS, other=STACKS)
def test_agreement_is_sameness_of_partition(
    labels: NDArray[np.int32], other: NDArray[np.int32]
) -> None:
    """Two label images agree just where any two pixels are of one object in both or in neither."""

    def pairs(image: NDArray[np.int32]) -> Any:
        flat = image.ravel()
        return (flat[:, None] == flat) & (flat > 0)

    different = [i for i in range(3) if not np.array_equal(pairs(labels[i]), pairs(other[i]))]
    found = first_difference(measured(labels), measured(other))
    if different:
        assert found is not None
        assert found.startswith(f"image {different[0]}: ")
    else:
        assert found is None


ROW = [1, 1, 0, 2, 2]
CHANGES = {
    "split": ([ROW, [0] * 5, [3, 3, 4, 4, 0]], "an object of the reference is split"),
    "joined": (
        [[1, 1, 0, 1, 1], [0] * 5, [3, 3, 3, 3, 0]],
        "an object of the reference is joined with another",
    ),
    "split and joined": ([[1, 1, 0, 1, 1], [0] * 5, [3, 3, 2, 2, 0]], "the reference is split"),
    "moved": ([ROW, [0] * 5, [0, 3, 3, 3, 3]], "2 pixels are foreground in one label image only"),
}


@pytest.mark.parametrize("image", [0, 1, 2])
@pytest.mark.parametrize("change", CHANGES)
def test_change_of_labels_is_found(reference: Segmentation, image: int, change: str) -> None:
    """Objects split, joined or moved are found, whether or not the table tells of it.

    Of several images that differ the first is named.
    """
    labels, what = CHANGES[change]
    stack = reference.labels.copy()
    stack[image] = labels
    found = first_difference(packed(reference.objects).with_labels(stack), reference)
    assert found is not None
    assert found.startswith(f"image {image}: ")
    assert what in found
    stack[image + 1 :] = 0
    found = first_difference(measured(stack), reference)
    assert found is not None
    assert found.startswith(f"image {image}: ")
    if change in ("split", "joined"):
        assert found.endswith("objects in the table, not 3")


@pytest.mark.parametrize("image", [0, 1, 2])
@pytest.mark.parametrize(
    ("place", "row", "what"),
    [
        (2, [3, 5], "an object of 4 pixels has the area 5 in the table"),
        (2, [8, 4], "an object of 4 pixels has the area None in the table"),
        (np.s_[1:], [[2, 4], [3, 2]], "an object of 2 pixels has the area 4 in the table"),
    ],
    ids=["wrong area", "wrong id", "exchanged areas"],
)
def test_wrong_table_is_found(
    reference: Segmentation, image: int, place: Any, row: Any, what: str
) -> None:
    """An area in the table that is not that of the object with its id is found."""
    objects = [rows.copy() for rows in reference.objects]
    objects[image][place] = row
    found = first_difference(packed(tuple(objects)).with_labels(reference.labels), reference)
    assert found == f"image {image}: {what}"


def test_missing_image_is_found(reference: Segmentation) -> None:
    """Fewer images, in the labels or in the table, differ as a whole."""
    fewer = packed(reference.objects[:2]).with_labels(reference.labels[:2])
    assert first_difference(fewer, reference) == "labels of shape (2, 3, 5), not (3, 3, 5)"
    fewer = packed(reference.objects[:2]).with_labels(reference.labels)
    assert first_difference(fewer, reference) == "objects of 2 images, not 3"
    assert first_different_table(fewer, reference) == "objects of 2 images, not 3"


def test_tables_differ_by_number_or_area(reference: Segmentation) -> None:
    """Without label images a table must have as many cells in each image, of the same areas."""
    first, *others = reference.objects
    turned = packed((np.add(first[::-1], [7, 0]), *others))
    assert first_different_table(turned, reference) is None
    fewer = packed((first[1:], *others))
    assert first_different_table(fewer, reference) == "image 0: 2 objects, not 3"
    larger = packed((np.add(first, [0, 1]), *others))
    assert first_different_table(larger, reference) == "image 0: objects of other areas"


@pytest.mark.parametrize("image", [0, 2])
def test_one_value_read_otherwise_is_found(image: int) -> None:
    """A single value that a reader gets wrong is found, and counted."""
    reference = np.random.default_rng(0).integers(0, 255, (3, 4, 5, 3), np.uint8)
    assert first_different_image(reference.copy(), reference) is None
    pixels = reference.copy()
    pixels[image, 1, 2, 0] += 1
    found = first_different_image(pixels, reference)
    assert found == f"image {image}: 1 of 60 values read differ"


def test_pixels_of_other_shape_or_type_are_found() -> None:
    """Pixels of another shape or another type differ, even where their values are equal."""
    pixels = np.zeros((2, 4, 5), np.uint8)
    for other in (pixels[:1], pixels.astype(np.uint16), pixels[..., np.newaxis]):
        found = first_different_image(other, pixels)
        assert found is not None
        assert found.startswith("pixels of shape")


@settings(max_examples=25, deadline=None)
@given(labels=STACKS)
def test_truth_agrees_with_itself(labels: NDArray[np.int32]) -> None:
    """Labels that are the truth have no error, full precision and full recall."""
    labels[:, 0] = 1  # a metric of nothing has no value
    labels[:, 1] = 2
    found = truth_agreement(labels, labels)
    assert found.rand_error == pytest.approx(0, abs=1e-12)
    assert (found.rand_precision, found.rand_recall) == pytest.approx((1, 1))
    assert found.images == 3
    count = sum(len(np.unique(image[image > 0])) for image in labels)
    assert found.found_objects == found.true_objects == count
    assert found.f1 == 1


def test_truth_tells_split_from_join() -> None:
    """Splitting the true cells costs recall, joining them precision; objects are counted."""
    one = np.repeat([[[1, 1, 1, 1]]], 4, axis=1)
    two = np.repeat([[[1, 1, 2, 2]]], 4, axis=1)
    split, joined = truth_agreement(two, one), truth_agreement(one, two)
    assert (split.rand_precision, joined.rand_recall) == pytest.approx((1, 1))
    assert split.rand_recall < 0.6
    assert joined.rand_precision < 0.6
    assert split.rand_error > 0.2
    assert (split.true_objects, split.found_objects) == (1, 2)
    # Scores are means over the images, each of which counts the same.
    both = truth_agreement(np.concatenate([one, two]), np.concatenate([one, one]))
    assert both.rand_error == pytest.approx(split.rand_error / 2)


@pytest.mark.parametrize("cells", [[], [1], [1, 2]])
def test_truth_without_pairs_of_pixels(cells: list[int]) -> None:
    """An image without a true cell of two pixels, where the score is 0/0, counts as perfect."""
    truth, labels = np.zeros((1, 4, 4), np.int32), np.ones((1, 4, 4), np.int32)
    truth[0, 0, : len(cells)] = cells
    found = truth_agreement(labels, truth)
    assert (found.rand_error, found.rand_precision, found.rand_recall) == (0, 1, 1)
    assert (found.true_objects, found.found_objects) == (len(cells), 1)


@pytest.mark.parametrize(
    ("found", "matched", "f1"),
    [
        ([1, 1, 1, 1, 0, 0, 2, 2], 2, 1),
        ([7, 7, 7, 0, 0, 0, 9, 0], 1, 0.5),  # half is not more than half
        ([1, 1, 2, 2, 0, 0, 3, 3], 1, 0.4),
        ([1, 1, 1, 1, 1, 1, 1, 1], 0, 0),
        ([0, 0, 0, 0, 0, 0, 0, 0], 0, 0),
    ],
)
def test_cells_are_matched_by_more_than_half(found: list[int], matched: int, f1: float) -> None:
    """A cell is found by an object that shares more than half of what both cover; ids don't matter."""
    truth, labels = np.array([[5, 5, 5, 5, 0, 0, 3, 3]]), np.array([found])
    result = matches(labels, truth)
    assert result.matched == matched
    assert result.f1 == pytest.approx(f1)
    assert (result + matches(truth, truth)).matched == matched + 2


def test_nothing_to_find() -> None:
    """Where no cell is and none is found, all is as it should be."""
    nothing = np.zeros((3, 3), int)
    assert matches(nothing, nothing).f1 == 1
