"""The picture of what the reference finds on an image of a run."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image

from segbench.report.canvas import Drawing

if TYPE_CHECKING:
    from segbench.results.sources import Source


def found_picture(source: Source) -> Drawing | None:
    """Cells that the reference found, outlined; None without a picture that can be read."""
    try:
        with Image.open(io.BytesIO(source.picture), formats=["PNG"]) as picture:
            described = picture.info.get("Description", "")
    except (OSError, SyntaxError, ValueError):  # no picture, or a damaged one
        return None
    words = described if isinstance(described, str) else ""
    return Drawing(
        name="found",
        title="What is found",
        alt=f"Part of an image, and the same with the outlines of what was found in it. {words}",
        caption=f"Left as it is, right with the outlines of what the reference finds. {words}",
        table="",
        svg=b"",
        png=source.picture,
    )
