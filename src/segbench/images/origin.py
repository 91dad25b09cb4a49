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
    "mosaic": {"diameter": 36.0, "contrast": 0.16},
}
MADE = tuple(CELLS)

# Pixels of a side: of an image that is made as a whole, and of one that is made in tiles.
LARGEST_SIDE, LARGEST_MOSAIC = 8192, 131072


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
    large : bool
        Whether it is one image, to be read window by window.
    """

    images: tuple[str, ...] = ()
    channel: int | None = None
    truth: str | None = None
    made: str = MADE[0]
    shape: tuple[int, int] = DEFAULT_SHAPE
    seed: int = 0
    large: bool = False

    def __post_init__(self) -> None:
        """Refuse what nobody can make, or ask for on a command line."""
        # From a file it may be of any length.
        if len([*self.shape]) != 2 or not all(1 <= side <= LARGEST_MOSAIC for side in self.shape):
            raise InputError(
                f"shape {'x'.join(map(str, self.shape))}: give height x width, up to {LARGEST_MOSAIC}"
            )
        if self.made not in MADE:
            raise InputError(
                f"images {self.made!r}: nobody can make them; choose from {', '.join(MADE)}"
            )
        if self.channel is not None and self.channel < 1:
            raise InputError(f"channel {self.channel}: give a number from 1 up")
        if self.seed < 0:
            raise InputError(f"seed {self.seed}: give a number from 0 up")


def show_shape(shape: Sequence[int]) -> str:
    """Height and width as `parse_shape` reads them."""
    return f"{shape[0]}x{shape[1]}"


def parse_shape(text: str) -> tuple[int, int]:
    """Read ``HxW``, such as ``192x256``.

    Raises
    ------
    InputError
        If it is something else, or not from 16 to 131072 pixels a side.
    """
    words = text.lower().split("x")
    if len(words) != 2 or not all(
        word.isdecimal() and 16 <= int(word) <= LARGEST_MOSAIC for word in words
    ):
        raise InputError(
            f"shape {text!r}: give height x width in pixels, from 16 to {LARGEST_MOSAIC}, such as 192x256"
        )
    return int(words[0]), int(words[1])
