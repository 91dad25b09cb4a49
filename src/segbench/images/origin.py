"""What images are asked for, said without the libraries that make or read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from segbench.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_SHAPE = (192, 256)  # the presentation's

# What is known of the cells in images that are made: in a smear the median of their diameters, in
# the crops of a photograph what it looks like.
CELLS = {
    "smear": {"diameter": 36.0, "contrast": 0.16},
    "tissue": {"diameter": 24.0, "contrast": 0.3},
}
MADE = tuple(CELLS)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What was asked for: enough to find the same images again.

    Attributes
    ----------
    images : tuple of str
        Absolute paths and patterns of a user's images; without any they are made.
    channel : int, optional
        From 1: of a user's images this channel alone.
    truth : str, optional
        Absolute path of a folder with a label image for each of a user's images.
    made : str
        One of `MADE`.
    shape : tuple of int
        Height and width of the images made.
    seed : int
        Of the images made.
    """

    images: tuple[str, ...] = ()
    channel: int | None = None
    truth: str | None = None
    made: str = MADE[0]
    shape: tuple[int, int] = DEFAULT_SHAPE
    seed: int = 0


def show_shape(shape: Sequence[int]) -> str:
    """Height and width as `parse_shape` reads them."""
    return f"{shape[0]}x{shape[1]}"


def parse_shape(text: str) -> tuple[int, int]:
    """Read ``HxW``, such as ``192x256``.

    Raises
    ------
    InputError
        If it is something else, or not from 16 to 8192 pixels a side.
    """
    words = text.lower().split("x")
    if len(words) != 2 or not all(word.isdecimal() and 16 <= int(word) <= 8192 for word in words):
        raise InputError(
            f"shape {text!r}: give height x width in pixels, from 16 to 8192, such as 192x256"
        )
    return int(words[0]), int(words[1])
