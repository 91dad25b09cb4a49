"""What all figures of a report share: their size, their axes, and how they become files."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from segbench.report.cells import format_seconds
from segbench.report.rendering import picture

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes

# Inches: of a figure without its legend, of its margins, and of a line of the legend.
WIDTH, HEIGHT = 8.6, 4.4
LEFT, RIGHT, ABOVE, BELOW = 1.0, 0.15, 0.35, 0.5
LEGEND_ROW = 0.21

GRID = "#dddddd"

# Coordinates of an SVG, in points: a hundredth of one is more than anybody sees.
_COORDINATES = re.compile(rb' (?:d|x|y)="[^"]*"')
_DECIMALS = re.compile(rb"(\.\d\d)\d+")


@dataclass(frozen=True)
class Drawing:
    """A figure in both formats.

    Attributes
    ----------
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
    svg, png : bytes
        The picture; a photograph has no ``svg``.
    """

    name: str
    title: str
    alt: str
    caption: str
    table: str
    svg: bytes
    png: bytes


def new_axes(*, height: float = HEIGHT) -> tuple[Figure, Axes]:
    """An empty figure of this height in inches, with one pair of axes."""
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.subplots()
    plain(axes)
    return figure, axes


def plain(axes: Axes) -> None:
    """Take away what says nothing."""
    axes.grid(visible=True, which="major", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def title(axes: Axes, text: str) -> None:
    """Write a title over the axes."""
    # At a place of its own: to find one, matplotlib measures all that is around.
    axes.set_title(text, loc="left", fontsize=11, y=1.01)


def arrange(
    axes: Axes, *, columns: int = 2, left: float = LEFT, below: float = BELOW, hspace: float = 0.0
) -> None:
    """Give a figure its margins, and a legend under them; to be called once all is drawn.

    Not by matplotlib's layout engines: they take as long as drawing everything twice.

    Parameters
    ----------
    axes : Axes
        With what the legend lists.
    columns : int
        Of the legend.
    left, below : float
        Inches for the labels of the axes.
    hspace : float
        Between several axes, as a share of their height.
    """
    figure = axes.get_figure(root=True)
    handles, labels = axes.get_legend_handles_labels()
    if figure is None:
        return
    legend = LEGEND_ROW * math.ceil(len(labels) / columns)
    width, height = (float(size) for size in figure.get_size_inches())
    height += legend
    figure.set_size_inches(width, height)
    figure.subplots_adjust(
        left=left / width,
        right=1 - RIGHT / width,
        bottom=(below + legend) / height,
        top=1 - ABOVE / height,
        hspace=hspace,
    )
    figure.legend(
        handles,
        labels,
        loc="lower left",
        bbox_to_anchor=(min(left, LEFT) / width, 0),
        ncols=columns,
        frameon=False,
        fontsize=8.5,
        borderaxespad=0.2,
    )


def sizes_axis(axes: Axes, sizes: Sequence[int]) -> None:
    """Number of images along x, on a logarithmic scale, labelled where something was measured."""
    axes.set_xscale("log")
    axes.set_xticks(sizes, labels=[str(size) for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("images")


def seconds_axis(axes: Axes) -> None:
    """Time along y, on a logarithmic scale; to be called once all is drawn."""
    _log_axis(axes, format_seconds)
    axes.set_ylabel("time of one call")


def ratio_axis(axes: Axes) -> None:
    """A ratio along y, on a logarithmic scale; to be called once all is drawn."""
    _log_axis(axes, lambda value: f"{value:g}×")


def _log_axis(axes: Axes, words: Callable[[float], str]) -> None:
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high < 4 * low:  # room for two labelled ticks at least
        middle = (low * high) ** 0.5
        axes.set_ylim(middle / 2, middle * 2)
    if high < 100 * low:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: words(value)))


def drawing(
    figure: Figure, *, name: str, title: str, alt: str, caption: str, table: str = ""
) -> Drawing:
    """Make the files of a figure."""
    svg, png = _shortened(picture(figure, "svg")), picture(figure, "png")
    return Drawing(name, title, alt, caption, table, svg, png)


def _shortened(svg: bytes) -> bytes:
    """An SVG whose coordinates have two decimals, where matplotlib writes six."""
    return _COORDINATES.sub(lambda found: _DECIMALS.sub(rb"\1", found[0]), svg)
