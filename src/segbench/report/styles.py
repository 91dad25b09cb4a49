"""How a backend is drawn: the one home of its colour, marker and line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from segbench.measure.settings import BACKENDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Okabe and Ito's colours and one of Tol's, told apart by the colour-blind; the markers tell them apart in gray.
COLOURS = (
    *("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F"),
    "#882255",
)
LINES = ("solid", "dashed", "dashdot", "dotted")

# As matplotlib names them, as Bokeh does, and letters that look like them.
MARKERS = "os^DvPX*h"
SHAPES = (
    "circle",
    "square",
    "triangle",
    "diamond",
    "inverted_triangle",
    "plus",
    "x",
    "star",
    "hex",
)
SYMBOLS = "●■▲◆▼✚✖★⬢"


@dataclass(frozen=True, kw_only=True)
class Style:
    """How a backend is drawn.

    Attributes
    ----------
    name : str
        What people call it.
    colour : str
        ``#RRGGBB``.
    line : str
        As matplotlib and Bokeh name it.
    marker, shape, symbol : str
        The marker as matplotlib names it, as Bokeh does, and as a letter.
    """

    name: str
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


def styles(backends: Iterable[str], words: Mapping[str, str] | None = None) -> Styles:
    """Style of each backend, in their order, with what people call it.

    Those of the default run look the same in every report; what others look like depends on which
    of them there are, so one call is to name all backends of a page.
    """
    named, words = dict.fromkeys(backends), words or {}
    usual = [str(backend) for backend in BACKENDS]
    ranked = [*usual, *sorted(named.keys() - set(usual))]
    return {one: _style(ranked.index(one), words.get(one, one)) for one in named}


def _style(number: int, name: str) -> Style:
    again, colour = divmod(number, len(COLOURS))
    # A colour that comes again has another marker: 81 backends look different.
    place = number + again
    marker, shape, symbol = (some[place % len(some)] for some in (MARKERS, SHAPES, SYMBOLS))
    line = LINES[place % len(LINES)]
    return Style(
        name=name, colour=COLOURS[colour], line=line, marker=marker, shape=shape, symbol=symbol
    )
