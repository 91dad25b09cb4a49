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
    MANY,
    TO_FIND_CELLS,
    Operations,
    PipelineParams,
    Segmentation,
    joined,
    label_objects,
    packed,
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
        ({"diameter": 1.5}, "diameter 1.5: give pixels from 2 to 10000"),
        ({"diameter": float("nan")}, "diameter nan: give pixels from 2 to 10000"),
        ({"sigma": -1}, "sigma -1: give pixels from 0 to 10000"),
        ({"contrast": 0}, "contrast 0: give a number above 0"),
        ({"contrast": float("inf")}, "contrast inf: give a number above 0"),
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
    found = find(flat, method=method, foreground=foreground, block_size=11)
    assert found.count == 0
    assert not found.labels.any()


@pytest.mark.parametrize(
    ("foreground", "background", "inside"), [("dark", 0.9, 0.2), ("bright", 0.1, 0.8)]
)
def test_foreground(foreground: str, background: float, inside: float) -> None:
    """A disc is one object, to a pixel, where cells are as it is, and background otherwise."""
    image = disc(background, inside)
    found = find(image, foreground=foreground, diameter=12)
    middle = found.labels[0, 32, 40]
    assert middle > 0
    same = found.labels[0] == middle
    assert same[image == inside].all()
    assert not same[disc(0, 1, radius=8) == 0].any()
    other = find(image, foreground="bright" if foreground == "dark" else "dark", diameter=12)
    assert not other.labels[0, 32, 40]


def test_parameters_move_the_threshold() -> None:
    """Gaussian, mean and median are three thresholds, of which block size and offset are part."""
    image = smear_image(0, shape=(64, 80)).pixels
    small: dict[str, Any] = {"diameter": 8, "block_size": 21}
    methods = ("gaussian", "mean", "median")
    found = [find(image, method=method, **small).labels for method in methods]
    found.append(find(image, diameter=8, block_size=31).labels)
    assert len({(labels > 0).tobytes() for labels in found}) == 4
    # A disc that differs by less than the offset, a share of the contrast, is not found.
    for foreground, faint in (("dark", disc(0.6, 0.5)), ("bright", disc(0.5, 0.6))):
        common: dict[str, Any] = {"diameter": 12, "foreground": foreground, "contrast": 0.1}
        assert find(faint, offset=0.5, **common).count == 1
        assert not find(faint, offset=1.1, **common).count


@settings(max_examples=25, deadline=None)
@given(min_area=st.integers(1, 400), index=st.integers(0, 5))
def test_minimal_area_drops_small_objects(min_area: int, index: int) -> None:
    """Objects under the minimal area are in neither labels nor table; all others are as before."""
    image = smear_image(index, shape=(64, 80)).pixels
    small: dict[str, Any] = {"diameter": 8, "min_area": 1}
    whole, large = find(image, **small), find(image, **{**small, "min_area": min_area})
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
    found = packed((np.array([[1, 5], [2, 7]]), none, np.array([[9, 3]])))
    empty = packed((none,))
    for segmented, rows in ((found, [[0, 1, 5], [0, 2, 7], [2, 9, 3]]), (empty, [])):
        table = segmented.table()
        assert list(table.columns) == ["image", "label", "area"]
        assert table.to_numpy().tolist() == rows
        assert {dtype.kind for dtype in table.dtypes} == {"i"}
        assert segmented.count == len(rows)


def test_what_can_be_asked_for_has_its_place() -> None:
    """Thresholds are adapted, then holes filled before labelling, and labels come from splitting."""
    calls: list[str] = []

    def step(name: str, result: Any) -> Any:
        def operation(*_: Any) -> Any:
            calls.append(name)
            return result

        return operation

    values = np.zeros(3)
    first, last = ["grayscale", "blur", "threshold"], ["adapt", "fill", "split", "measure"]
    operations = Operations(**{name: step(name, values) for name in (*first, "label", *last)})
    label_objects(values, operations, PipelineParams(**TO_FIND_CELLS))
    assert calls == [*first, "threshold", *last]


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
        "adapt": "adapted",
        "fill": "filled",
        "label": "labels",
        "split": "labels",
        "measure": "objects",
    }
    operations = Operations(**{name: step(name, result) for name, result in gives.items()})
    params = PipelineParams(foreground=foreground)
    assert label_objects("images", operations, params) == ("labels", "objects")
    assert calls == [
        ("grayscale", ["images"]),
        ("blur", ["gray", params]),
        ("threshold", [[1.0, 2.0, 3.0], params]),
        ("label", [mask]),
        ("measure", ["labels"]),
    ]


@pytest.mark.parametrize("given", [{}, {"sigma": 0}, {"block_size": 7}, {"min_area": 1}], ids=str)
def test_settings_follow_from_the_diameter(given: dict[str, Any]) -> None:
    """Blur, block and smallest area grow with the diameter; what is given stays as it is."""
    small, large = (PipelineParams(diameter=diameter, **given) for diameter in (20, 40))
    for name, times in (("sigma", 2), ("block_size", 2), ("min_area", 4)):
        one, other = getattr(small, name), getattr(large, name)
        if name in given:
            assert one == other == given[name]
        else:
            assert other == pytest.approx(times * one, rel=0.05)
    assert small.block_size % 2 == small.fine.block_size % 2 == 1


def overlapping(radius: int, apart: int) -> NDArray[np.float64]:
    """Two bright discs of 0.8 on 0.1 whose middles are so many pixels apart, a dark hole in one."""
    y, x = np.ogrid[:96, :160]
    left, right = ((y - 48) ** 2 + (x - at) ** 2 for at in (80 - apart // 2, 80 + apart // 2))
    image = np.where((left <= radius**2) | (right <= radius**2), 0.8, 0.1)
    image[left <= 9] = 0.1
    return image


@pytest.mark.parametrize("radius", [12, 20])
def test_touching_cells_are_split_and_holes_filled(radius: int) -> None:
    """Two discs that overlap are one object; two, each of half the pixels, where they are split."""
    image = overlapping(radius, round(1.7 * radius))
    common: dict[str, Any] = {"diameter": 2 * radius, "foreground": "bright", "contrast": 0.7}
    holed = find(image, **common)
    whole = find(image, **common, fill_holes=True)
    apart = find(image, **common, fill_holes=True, split=True)
    assert (holed.count, whole.count, apart.count) == (1, 1, 2)
    hole = 48, 80 - round(1.7 * radius) // 2
    assert [found.labels[0][hole] > 0 for found in (holed, whole, apart)] == [False, True, True]
    areas = apart.objects[0][:, 1]
    assert areas.min() > 0.8 * areas.max()


def test_large_holes_stay() -> None:
    """The ground between cells that stand in a ring is no hole."""
    y, x = np.ogrid[:96, :96]
    away = np.hypot(y - 48, x - 48)
    ring = np.where((away > 25) & (away < 35), 0.8, 0.1)
    found = find(ring, diameter=10, foreground="bright", contrast=0.7, fill_holes=True)
    assert not found.labels[0, 48, 48]


def test_ground_between_touching_cells_stays() -> None:
    """What four discs enclose is smaller than a cell, and no hole: its sides bend inwards."""
    y, x = np.ogrid[:96, :96]
    away = np.min([np.hypot(y - at_y, x - at_x) for at_y in (33, 63) for at_x in (33, 63)], axis=0)
    discs = np.where(away < 15.5, 0.8, 0.1)
    found = find(discs, diameter=30, foreground="bright", contrast=0.7, fill_holes=True, sigma=0.1)
    assert found.count == 1
    assert not found.labels[0, 48, 48]


@pytest.mark.parametrize("foreground", ["dark", "bright"])
def test_a_faint_image_among_others(foreground: Any) -> None:
    """Where its contrast is that of the image, a cell has the same pixels in a faint one."""
    y, x = np.ogrid[:96, :96]
    disc = np.clip(1.5 - np.hypot(y - 48, x - 48) / 10, 0, 1)  # with soft edges
    cells = {}
    for own_contrast in (False, True):
        for share in (0.6, 0.1):
            image = 0.1 + share * disc if foreground == "bright" else 0.9 - share * disc
            params = {"diameter": 20, "foreground": foreground, "contrast": 0.6}
            (cell,) = find(image, **params, own_contrast=own_contrast).objects[0]
            cells[own_contrast, share] = cell[1]
    assert cells[True, 0.1] == cells[True, 0.6]
    assert cells[False, 0.1] < 0.9 * cells[False, 0.6]


def test_a_smudge_beside_cells_is_none() -> None:
    """What differs from the background by a tenth of what cells do is not one of them."""
    y, x = np.ogrid[:96, :160]
    image = np.full((96, 160), 0.1)
    for column, value in ((30, 0.8), (80, 0.8), (130, 0.17)):
        image[np.hypot(y - 48, x - column) < 10] = value
    common: dict[str, Any] = {"diameter": 20, "foreground": "bright", "contrast": 0.7}
    assert [find(image, **common, own_contrast=own).count for own in (False, True)] == [3, 2]


@pytest.mark.parametrize("foreground", ["dark", "bright"])
def test_noise_is_no_cell(foreground: Any) -> None:
    """In an image without cells none is found, whatever its own contrast."""
    noise = 0.3 + 0.01 * np.random.default_rng(0).standard_normal((128, 128))
    common: dict[str, Any] = {"diameter": 12, "foreground": foreground, "contrast": 0.4}
    assert find(noise, **common, **TO_FIND_CELLS).count == 0
    flat = np.full((40, 40), 0.3)
    assert find(flat, **common, **TO_FIND_CELLS).count == 0


def test_a_cell_wider_than_the_block_is_whole() -> None:
    """Its middle, where all pixels are alike, belongs to it as its edge does."""
    y, x = np.ogrid[:200, :200]
    image = np.where(np.hypot(y - 100, x - 100) < 60, 0.7, 0.1)
    common: dict[str, Any] = {"diameter": 20, "foreground": "bright", "contrast": 0.6}
    assert not find(image, **common).labels[0, 100, 100]
    (cell,) = find(image, **common, own_contrast=True).objects[0]
    assert cell[1] == pytest.approx(np.pi * 3600, rel=0.05)


@pytest.mark.parametrize(("shape", "width"), [((64, 80), 63), ((81, 33, 3), 33), ((999, 999), 181)])
def test_a_block_is_no_wider_than_the_image(shape: tuple[int, ...], width: int) -> None:
    """Fitted to a small image, a block is the largest odd one; in a large one it stays."""
    assert PipelineParams(diameter=36).within(shape).block_size == width


def test_a_table_of_many_images() -> None:
    """However many images there are, each keeps its rows, but for those under the minimal area."""
    objects = [np.array([[1, 5], [2, index]]) for index in range(2 * MANY + 3)]
    found = packed(objects, min_area=5)
    assert found.counts.tolist() == [1 + (index >= 5) for index in range(len(objects))]
    assert found.objects[-1].tolist() == [[1, 5], [2, len(objects) - 1]]
    halves = joined([packed(objects[:7], min_area=5), packed(objects[7:], min_area=5)])
    assert np.array_equal(halves.rows, found.rows)
    assert np.array_equal(halves.counts, found.counts)
