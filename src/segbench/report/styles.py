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

# As matplotlib names them, and letters that look like them.
MARKERS = "os^DvPX*"
SYMBOLS = "●■▲◆▼✚✖★"


@dataclass(frozen=True, kw_only=True)
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
    return {backend: _style(ranked.index(backend)) for backend in named}


def _style(number: int) -> Style:
    # A colour that comes again has another marker: 64 backends look different.
    again, colour = divmod(number, len(COLOURS))
    marker = (number + again) % len(MARKERS)
    return Style(
        colour=COLOURS[colour],
        marker=MARKERS[marker],
        line=LINES[(number + again) % len(LINES)],
        symbol=SYMBOLS[marker],
    )
