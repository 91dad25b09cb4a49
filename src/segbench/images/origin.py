"""What images are asked for, said without the libraries that make or read them."""

from __future__ import annotations

from dataclasses import dataclass

from segbench.errors import InputError

DEFAULT_SHAPE = (192, 256)  # the presentation's
MADE = ("smear", "tissue")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What was asked for: enough to find the same images again.

    Attributes
    ----------
    images : str, optional
        Absolute path or pattern of a user's images; without one they are made.
    made : str
        One of `MADE`.
    shape : tuple of int
        Height and width of the images made.
    seed : int
        Of the images made.
    """

    images: str | None = None
    made: str = MADE[0]
    shape: tuple[int, int] = DEFAULT_SHAPE
    seed: int = 0


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
