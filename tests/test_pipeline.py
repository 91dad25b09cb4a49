"""The pipeline: its parameters, its steps in their order, and what it finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segbench.backends.skimage import PROCESSOR
from segbench.errors import InputError
from segbench.images.smear import smear_image
from segbench.pipeline import (
    Operations,
    PipelineParams,
    Segmentation,
    label_objects,
    segmentation,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


def disc(background: float, inside: float, *, radius: int = 6) -> NDArray[np.float64]:
    """Draw a disc in the middle of an image of 64 x 80 pixels."""
    y, x = np.ogrid[:64, :80]
    return np.where((y - 32) ** 2 + (x - 40) ** 2 <= radius**2, inside, background)


def find(image: NDArray[Any], **params: Any) -> Segmentation:
    """Segment one image with the reference's operations."""
    chosen = PipelineParams(**params)
    labels, objects = label_objects(image, PROCESSOR, chosen)
    return segmentation(labels[np.newaxis], [objects], chosen)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"block_size": 50}, "block size 50: give an odd number from 3 up"),
        ({"block_size": 1}, "block size 1: give an odd number from 3 up"),
        ({"block_size": -3}, "block size -3: give an odd number from 3 up"),
        ({"method": "median "}, "method 'median ': give gaussian or mean or median"),
        ({"foreground": "white"}, "foreground 'white': give dark or bright"),
        ({"offset": float("nan")}, "offset nan: give a finite number"),
        ({"offset": float("inf")}, "offset inf: give a finite number"),
        ({"min_area": 0}, "minimal area 0: give a number of pixels from 1 up"),
    ],
)
def test_bad_parameters_are_refused(bad: dict[str, Any], message: str) -> None:
    """A value that the filters can't take is refused with its name and what to give."""
    with pytest.raises(InputError) as caught:
        PipelineParams(**bad)
    assert str(caught.value) == message


@pytest.mark.parametrize("foreground", ["dark", "bright"])
@pytest.mark.parametrize("method", ["gaussian", "mean", "median"])
@pytest.mark.parametrize("value", [0, 1, 77, 255])
def test_flat_image_has_no_objects(value: int, method: str, foreground: str) -> None:
    """An image of one value has no objects, whatever the value and however sums are rounded."""
    flat = np.full((64, 80), value, np.uint8)
    found = find(flat, method=method, foreground=foreground)
    assert found.count == 0
    assert not found.labels.any()


@pytest.mark.parametrize(
    ("foreground", "background", "inside"), [("dark", 0.9, 0.2), ("bright", 0.1, 0.8)]
)
def test_foreground(foreground: str, background: float, inside: float) -> None:
    """A disc is one object, to a pixel, where cells are as it is, and background otherwise."""
    image = disc(background, inside)
    found = find(image, foreground=foreground)
    middle = found.labels[0, 32, 40]
    assert middle > 0
    same = found.labels[0] == middle
    assert same[image == inside].all()
    assert not same[disc(0, 1, radius=8) == 0].any()
    other = find(image, foreground="bright" if foreground == "dark" else "dark")
    assert not other.labels[0, 32, 40]


def test_parameters_move_the_threshold() -> None:
    """Gaussian, mean and median are three thresholds, of which block size and offset are part."""
    image = smear_image(0, shape=(64, 80)).pixels
    found = [find(image, method=method).labels for method in ("gaussian", "mean", "median")]
    found.append(find(image, block_size=21).labels)
    assert len({(labels > 0).tobytes() for labels in found}) == 4
    # A disc less dark than the offset is not found.
    assert find(disc(0.6, 0.5), offset=0.05).labels[0, 32, 40]
    assert not find(disc(0.6, 0.5), offset=0.2).count


@settings(max_examples=25, deadline=None)
@given(min_area=st.integers(1, 400), index=st.integers(0, 5))
def test_minimal_area_drops_small_objects(min_area: int, index: int) -> None:
    """Objects under the minimal area are in neither labels nor table; all others are as before."""
    image = smear_image(index, shape=(64, 80)).pixels
    whole, large = find(image), find(image, min_area=min_area)
    rows = whole.objects[0]
    expected = rows[rows[:, 1] >= min_area]
    np.testing.assert_array_equal(large.objects[0], expected)
    kept = np.isin(whole.labels, expected[:, 0])
    np.testing.assert_array_equal(large.labels, np.where(kept, whole.labels, 0))
    assert large.labels.dtype == np.int32


def test_minimal_area_is_of_each_image() -> None:
    """An object of exactly the area stays; the same id may stay in one image and go from the next."""
    labels = np.array([[[1, 1, 1, 0, 2]], [[1, 1, 0, 0, 0]]])
    objects = [np.array([[1, 3], [2, 1]], np.uint8), np.array([[1, 2]], np.uint8)]
    found = segmentation(labels, objects, PipelineParams(min_area=3))
    # Whatever a backend hands over.
    assert found.labels.dtype == np.int32
    assert found.objects[0].dtype == np.int64
    assert found.labels.tolist() == [[[1, 1, 1, 0, 0]], [[0, 0, 0, 0, 0]]]
    assert [rows.tolist() for rows in found.objects] == [[[1, 3]], []]


def test_objects_are_4_connected_and_their_areas_counted() -> None:
    """The table holds each object's pixels, and pixels that touch at a corner are two objects."""
    mask = np.array([[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]], bool)
    labels = PROCESSOR.label(mask)
    assert sorted(PROCESSOR.measure(labels)[:, 1]) == [1, 1, 2]


def test_table() -> None:
    """A table has one row an object: image from 0, label, area, all integers; perhaps no row."""
    none = np.empty((0, 2), np.int64)
    found = Segmentation(
        np.zeros((3, 2, 2), np.int32), (np.array([[1, 5], [2, 7]]), none, np.array([[9, 3]]))
    )
    empty = Segmentation(np.zeros((1, 2, 2), np.int32), (none,))
    for segmented, rows in ((found, [[0, 1, 5], [0, 2, 7], [2, 9, 3]]), (empty, [])):
        table = segmented.table()
        assert list(table.columns) == ["image", "label", "area"]
        assert table.to_numpy().tolist() == rows
        assert {dtype.kind for dtype in table.dtypes} == {"i"}
        assert segmented.count == len(rows)


@pytest.mark.parametrize(
    ("foreground", "mask"), [("dark", [True, False, False]), ("bright", [False, False, True])]
)
def test_step_order(foreground: Any, mask: list[bool]) -> None:
    """Each step is called once, in order, with what the step before gave; equal is background."""
    calls: list[tuple[str, Any]] = []

    def step(name: str, result: Any) -> Any:
        def operation(*given: Any) -> Any:
            calls.append(
                (name, [getattr(each, "tolist", lambda each=each: each)() for each in given])
            )
            return result

        return operation

    gives = {
        "grayscale": "gray",
        "blur": np.array([1.0, 2.0, 3.0]),
        "threshold": np.array([2.0, 2.0, 2.0]),
        "label": "labels",
        "measure": "objects",
    }
    operations = Operations(**{name: step(name, result) for name, result in gives.items()})
    params = PipelineParams(foreground=foreground)
    assert label_objects("images", operations, params) == ("labels", "objects")
    assert calls == [
        ("grayscale", ["images"]),
        ("blur", ["gray"]),
        ("threshold", [[1.0, 2.0, 3.0], params]),
        ("label", [mask]),
        ("measure", ["labels"]),
    ]
