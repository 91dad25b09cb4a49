"""How a backend is drawn: the one home of its colour, marker and line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from segbench.measure.settings import BACKENDS

if TYPE_CHECKING:
    from collections.abc import Iterable

# Okabe and Ito's colours, told apart by the colour-blind; the markers tell them apart in gray.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
LINES = ("solid", "dashed", "dashdot", "dotted")

# As matplotlib names them, as Bokeh does, and letters that look like them.
MARKERS = "os^DvPX*"
SHAPES = ("circle", "square", "triangle", "diamond", "inverted_triangle", "plus", "x", "star")
SYMBOLS = "●■▲◆▼✚✖★"


@dataclass(frozen=True, kw_only=True)
class Style:
    """How a backend is drawn.

    Attributes
    ----------
    colour : str
        ``#RRGGBB``.
    line : str
        As matplotlib and Bokeh name it.
    marker, shape, symbol : str
        The marker as matplotlib names it, as Bokeh does, and as a letter.
    """

    colour: str
    line: str
    marker: str
    shape: str
    symbol: str

    @property
    def drawn(self) -> dict[str, Any]:
        """A line through markers, as matplotlib's options."""
        markers = {"color": self.colour, "marker": self.marker, "markersize": 5}
        return {**markers, "linestyle": self.line, "linewidth": 1.4}


# By the name of the backend, in the order of the legend.
Styles: TypeAlias = dict[str, Style]


def styles(backends: Iterable[str]) -> Styles:
    """Style of each backend, in their order.

    Those of the default run look the same in every report; what others look like depends on which
    of them there are, so one call is to name all backends of a page.
    """
    named = dict.fromkeys(backends)
    usual = [str(backend) for backend in BACKENDS]
    ranked = [*usual, *sorted(named.keys() - set(usual))]
    return {backend: _style(ranked.index(backend)) for backend in named}


def _style(number: int) -> Style:
    again, colour = divmod(number, len(COLOURS))
    # A colour that comes again has another marker: 64 backends look different.
    place = number + again
    marker, shape, symbol = (some[place % len(some)] for some in (MARKERS, SHAPES, SYMBOLS))
    line = LINES[place % len(LINES)]
    return Style(colour=COLOURS[colour], line=line, marker=marker, shape=shape, symbol=symbol)
