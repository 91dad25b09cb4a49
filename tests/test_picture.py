"""The picture of what the reference finds, which a run writes beside its samples."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from segbench.cli import main
from segbench.images import overlay
from segbench.measure import picture
from segbench.results.records import PICTURE_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def squares(height: int, width: int) -> NDArray[np.int64]:
    """Labels with a square in the middle, and one in a corner."""
    labels = np.zeros((height, width), dtype=np.int64)
    middle = height // 2, width // 2
    labels[middle[0] - 4 : middle[0] + 4, middle[1] - 4 : middle[1] + 4] = 1
    labels[:3, :3] = 2
    return labels


def drawn(pixels: NDArray[Any], labels: NDArray[np.int64]) -> tuple[NDArray[np.uint8], str]:
    """The pixels of a picture, and its words."""
    with Image.open(io.BytesIO(picture.draw(pixels, labels))) as image:
        return np.asarray(image.convert("RGB")), str(image.info["Description"])


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
@pytest.mark.parametrize(("kind", "value"), [(np.uint8, 200), (np.uint16, 200 * 257)])
def test_pixels_are_shown_as_they_are(channels: tuple[int, ...], kind: type, value: int) -> None:
    """Gray or in colour, of 8 or 16 bit: the left half is the image, the right one has outlines."""
    shown, words = drawn(np.full((40, 50, *channels), value, dtype=kind), squares(40, 50))
    half = (shown.shape[1] - picture.GAP) // 2
    assert shown.shape[0] * 50 == half * 40
    left, right = shown[:, :half], shown[:, -half:]
    assert (left == 200).all()
    outlined = (right == overlay.ON_BRIGHT).all(axis=-1)
    assert outlined.any()
    assert ((right == 200).all(axis=-1) ^ outlined).all()
    assert words == "2 objects in 40 × 50 pixels of the first image."


def test_outlines_are_within_the_objects() -> None:
    """An object's edge is drawn on its own pixels; its inside and what is around it stay as they are."""
    labels = squares(40, 50)
    shown, _ = drawn(np.full((40, 50), 100, dtype=np.uint8), labels)
    half = (shown.shape[1] - picture.GAP) // 2
    scale = half // 50
    outlined = (shown[:, -half:] == overlay.ON_DARK).all(axis=-1)
    enlarged = labels.repeat(scale, axis=0).repeat(scale, axis=1)
    assert (enlarged[outlined] > 0).all()
    inside = np.zeros_like(labels)
    inside[17:23, 22:28] = 1
    assert not outlined[inside.repeat(scale, axis=0).repeat(scale, axis=1) > 0].any()


def test_touching_objects_are_told_apart() -> None:
    """Between two objects that touch there is an outline."""
    labels = np.ones((20, 20), dtype=np.int64)
    labels[:, 10:] = 2
    shown, _ = drawn(np.zeros((20, 20), dtype=np.uint8), labels)
    assert (shown == overlay.ON_DARK).all(axis=-1).any()


@pytest.mark.parametrize("channels", [2, 4])
def test_transparency_is_laid_over_white(channels: int) -> None:
    """What is transparent is white, as for the pipeline."""
    pixels = np.zeros((20, 20, channels), dtype=np.uint8)
    shown, words = drawn(pixels, np.zeros((20, 20), dtype=np.int64))
    assert (shown == 255).all()
    assert words.startswith("0 objects")


def test_large_images_are_shown_in_part() -> None:
    """Of a large image the middle is shown, and the file stays small whatever is in it."""
    noise = np.random.default_rng(0).integers(0, 255, (1000, 1500, 3), dtype=np.uint8)
    content = picture.draw(noise, squares(1000, 1500))
    assert len(content) < 1_000_000
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (2 * picture.DRAWN + picture.GAP, picture.DRAWN)
        assert image.info["Description"].startswith("1 objects in 256 × 256 pixels")


def test_a_run_writes_the_picture(tmp_path: Path) -> None:
    """`segbench run` leaves the picture beside its samples, and the report shows it."""
    words = ["run", "--sizes", "1", "--phases", "read", "--rounds", "1", "--shape", "48x64"]
    out = tmp_path / "run"
    done = CliRunner().invoke(
        main, [*words, "--backends", "skimage/skimage/serial", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    with Image.open(out / PICTURE_NAME) as image:
        assert "of the first image" in image.info["Description"]
    assert (out / "report" / "figures" / "found.png").read_bytes() == (
        out / PICTURE_NAME
    ).read_bytes()
    assert "](figures/found.png)" in (out / "report" / "report.md").read_text(encoding="utf-8")
