"""How a backend is drawn: the one home of its colour, marker and line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from segbench.measure.settings import BACKENDS

if TYPE_CHECKING:
    from collections.abc import Iterable

# Okabe and Ito's colours, told apart by the colour-blind; the markers tell them apart in gray.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
LINES = ("-", "--", "-.", ":")

# As matplotlib names a marker, and a letter that looks like it.
MARKERS = (
    ("o", "●"),
    ("s", "■"),
    ("^", "▲"),
    ("D", "◆"),
    ("v", "▼"),
    ("P", "✚"),
    ("X", "✖"),
    ("*", "★"),
)


@dataclass(frozen=True)
class Style:
    """How a backend is drawn.

    Attributes
    ----------
    colour : str
        ``#RRGGBB``.
    marker, line : str
        As matplotlib names them.
    symbol : str
        A letter that looks like the marker.
    """

    colour: str
    marker: str
    line: str
    symbol: str

    @property
    def drawn(self) -> dict[str, Any]:
        """A line through markers, as matplotlib's options."""
        return {
            "color": self.colour,
            "marker": self.marker,
            "markersize": 5,
            "linestyle": self.line,
            "linewidth": 1.4,
        }


def styles(backends: Iterable[str]) -> dict[str, Style]:
    """Style of each backend, in their order.

    Those of the default run look the same in every report; what others look like depends on which
    of them there are, so one call is to name all backends of a page.
    """
    named = dict.fromkeys(backends)
    usual = [str(backend) for backend in BACKENDS]
    ranked = [*usual, *sorted(named.keys() - set(usual))]
    rank = {backend: number for number, backend in enumerate(ranked)}
    return {backend: _style(rank[backend]) for backend in named}


def _style(number: int) -> Style:
    # A colour that comes again has another marker: 64 backends look different.
    again = number // len(COLOURS)
    marker, symbol = MARKERS[(number + again) % len(MARKERS)]
    line = LINES[(number + again) % len(LINES)]
    return Style(COLOURS[number % len(COLOURS)], marker, line, symbol)
