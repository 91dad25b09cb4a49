"""What all figures share: their size, their axes, their texts, and how they become files."""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from segbench.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from matplotlib.axes import Axes

    from segbench.report.cells import Table

# Inches: of a figure without its legend, of its margins, and of a line of the legend.
WIDTH, HEIGHT = 8.6, 4.4
NARROW = 5.8  # that has a table beside it
LEFT, RIGHT, ABOVE, BELOW = 1.0, 0.15, 0.35, 0.5
LEGEND_ROW = 0.21

# Inches: of a letter of a label, in the fonts of browsers; of the line before a label in the legend.
LETTER, HANDLE = 0.068, 0.55

# Coordinates of an SVG, in points: a hundredth of one is more than anybody sees.
COORDINATES = re.compile(rb' (?:d|x|y)="[^"]*"')
DECIMALS = re.compile(rb"(\.\d\d)\d+")


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure, whose files are made when they are asked for.

    Attributes
    ----------
    picture : Figure or bytes
        What was drawn, with its legend; or a photograph, as the content of a PNG file.
    name : str
        Of its files.
    title : str
        Heading.
    alt : str
        What it shows, in words, from the data.
    caption : str
        How to read it.
    table : str
        Name of the table that it is shown under; empty where it stands by itself.
    """

    picture: Figure | bytes
    name: str
    title: str
    alt: str
    caption: str
    table: str = ""

    @cached_property
    def svg(self) -> bytes:
        """The content of an SVG file; nothing for a photograph."""
        if isinstance(self.picture, bytes):
            return b""
        svg = _saved(self.picture, format="svg", metadata={"Date": None})
        return COORDINATES.sub(lambda found: DECIMALS.sub(rb"\1", found[0]), svg)

    @cached_property
    def png(self) -> bytes:
        """The content of a PNG file."""
        if isinstance(self.picture, bytes):
            return self.picture
        # Packed in a third of the time, half as large again.
        return _saved(self.picture, format="png", dpi=150, pil_kwargs={"compress_level": 1})

    @property
    def files(self) -> dict[str, bytes]:
        """Those that it has, by their names."""
        kinds = {"svg": self.svg, "png": self.png}
        return {f"{self.name}.{kind}": content for kind, content in kinds.items() if content}


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """What a page shows beside its sections, such as one source beside another.

    Attributes
    ----------
    title : str
        Heading.
    prefix : str
        Of the names of its files. The ids that its cells name have the prefixes of the sections.
    sentences : tuple of str
        What was found.
    tables : tuple of Table
    drawings : tuple of Drawing
        Each is shown under its table.
    """

    title: str
    prefix: str
    sentences: tuple[str, ...] = ()
    tables: tuple[Table, ...]
    drawings: tuple[Drawing, ...] = ()


def new_figure(
    *titles: str, height: float = HEIGHT, width: float = WIDTH, columns: int = 1
) -> tuple[Figure, list[Axes]]:
    """An empty figure of this size in inches, with axes under each of the titles, row by row."""
    figure = Figure(figsize=(width, height))
    shared: dict[str, Any] = {"sharex": "col", "sharey": "row" if columns > 1 else "none"}
    grid = figure.subplots(len(titles) // columns, columns, squeeze=False, **shared)
    all_axes = list(grid.ravel())
    for title, axes in zip(titles, all_axes, strict=True):
        # At a place of its own: to find one, matplotlib measures all that is around.
        axes.set_title(title, loc="left", fontsize=11, y=1.01)
        axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, all_axes


def label(text: str) -> str:
    """Text for a figure, which reads dollars as mathematics and has little room."""
    # A name that is not UTF-8 can't be drawn, and XML holds no control characters.
    text = one_line(text)
    return (text if len(text) <= 60 else f"{text[:59]}…").replace("$", r"\$")


def sizes_axis(axes: Axes, sizes: Iterable[int]) -> None:
    """Number of images along x, on a logarithmic scale, labelled where something was measured."""
    ticks = sorted(set(sizes))
    axes.set_xscale("log")
    axes.set_xticks(ticks, labels=[str(size) for size in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("images")


def log_axis(axes: Axes, words: Callable[[float], str], name: str) -> None:
    """What `words` tells along y, on a logarithmic scale; to be called once all is drawn."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high < 4 * low:  # room for two labelled ticks at least
        middle = (low * high) ** 0.5
        axes.set_ylim(middle / 2, middle * 2)
    if high < 100 * low:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: words(value)))
    axes.set_ylabel(name)


def finish(figure: Figure, *, columns: int = 2, left: float = LEFT, below: float = BELOW) -> Figure:
    """Give a figure, on which all is drawn, its margins and a legend under them.

    Not by matplotlib's layout engines: they take as long as drawing everything twice.

    Parameters
    ----------
    figure : Figure
        Its first axes have what the legend lists.
    columns : int
        Of the legend, at the most: as many as the longest of its labels leaves room for.
    left, below : float
        Inches for the labels of the axes.

    Returns
    -------
    Figure
        The same.
    """
    handles, labels = figure.axes[0].get_legend_handles_labels()
    width, height = (float(size) for size in figure.get_size_inches())
    room = (width - min(left, LEFT)) / (HANDLE + LETTER * max(map(len, labels), default=0))
    columns = max(1, min(columns, int(room)))
    legend = LEGEND_ROW * math.ceil(len(labels) / columns)
    height += legend
    figure.set_size_inches(width, height)
    edges = {"left": left / width, "right": 1 - RIGHT / width, "top": 1 - ABOVE / height}
    figure.subplots_adjust(**edges, bottom=(below + legend) / height, hspace=0.25)
    look: dict[str, Any] = {"ncols": columns, "frameon": False, "fontsize": 8.5}
    look |= {"bbox_to_anchor": (min(left, LEFT) / width, 0), "borderaxespad": 0.2}
    figure.legend(handles, labels, loc="lower left", **look)
    return figure


def _saved(figure: Figure, **options: Any) -> bytes:
    """A figure as the content of a file."""
    content = io.BytesIO()
    # Without a date, and with fixed ids: the same data give the same file. Text as text: as paths
    # it makes a file five times as large.
    with mpl.rc_context({"svg.hashsalt": "segbench", "svg.fonttype": "none"}):
        figure.savefig(content, **options)
    return content.getvalue()
