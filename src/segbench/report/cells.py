"""A number with its text, its verdict and its case; rows and tables of such cells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segbench.stats import Ratio


@dataclass(frozen=True)
class Cell:
    """What a table holds in one place.

    Attributes
    ----------
    text : str
        As people read it.
    value : float, optional
        The number behind the text, by which a column is sorted: seconds, a ratio, MiB, a count.
        None for words.
    verdict : str
        What the number shows (one of `segbench.stats.VERDICTS`), or the status in its place.
    note : str
        Small print under the text: a share.
    case : str
        Id of the case whose samples it sums up; empty where it sums up none.
    """

    text: str
    value: float | None = None
    verdict: str = ""
    note: str = ""
    case: str = ""

    @property
    def whole(self) -> str:
        """All of its text on one line."""
        return " ".join(part for part in (self.text, self.note, self.verdict) if part)


NOTHING = Cell("–")


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes
    ----------
    cells : tuple of Cell
        The first is the row's heading.
    id : str
        What the `case` of other cells refers to it by; empty where none does.
    """

    cells: tuple[Cell, ...]
    id: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table for people.

    Attributes
    ----------
    name : str
        Of its CSV file.
    title, note : str
        Above and below it.
    columns : tuple of str
        Headings.
    rows : tuple of Row
        Rows that follow each other under one heading are shown together.
    layout : {'figures', 'ratios', 'dense', 'words'}
        How wide its cells are.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""
    layout: Literal["figures", "ratios", "dense", "words"] = "figures"


def format_seconds(seconds: float) -> str:
    """Three significant digits in the unit that suits them."""
    if seconds == 0:
        return "0 s"
    seconds = float(f"{seconds:.2e}")  # first, since 999.9 ms are 1.00 s
    unit, scale, decimals = _unit(seconds)
    return f"{seconds * scale:.{decimals}f} {unit}"


def _unit(seconds: float) -> tuple[str, float, int]:
    """Unit, how many there are in a second, and decimals for three significant digits."""
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("µs", 1e6), ("ns", 1e9)):
        if seconds * scale >= 1 or unit == "ns":
            break
    value = seconds * scale
    return unit, scale, 2 if value < 10 else 1 if value < 100 else 0


def format_all_seconds(times: Sequence[float]) -> str:
    """Several times, one at least, in the unit and with the decimals that suit their middle one."""
    unit, scale, decimals = _unit(sorted(times)[len(times) // 2])
    return f"{', '.join(f'{seconds * scale:.{decimals}f}' for seconds in times)} {unit}"


def format_finding(ratio: Ratio, verdict: str) -> str:
    """A ratio, its interval where it has one, and what that shows."""
    text = format_multiple(ratio.median)
    if not math.isnan(ratio.low):
        text += f" ({format_interval(ratio.low, ratio.high)})"
    return f"{text} {verdict}".rstrip()


def format_multiple(ratio: float) -> str:
    """A ratio by itself."""
    return f"{format_factor(ratio)}×"


def format_interval(low: float, high: float, to: str = "–") -> str:
    """The ends of an interval of ratios."""
    return f"{format_factor(low)}{to}{format_factor(high)}"


def format_factor(ratio: float) -> str:
    """The number of a ratio with two decimals, or two digits at least where it is small; 100 and more whole."""
    if ratio < 0.0995:
        return f"{ratio:.2g}"
    return f"{ratio:.{2 if ratio < 10 else 1 if ratio < 100 else 0}f}"


def format_range(ratios: Sequence[float]) -> str:
    """The lowest and the highest of some ratios; one where they are written alike."""
    low, high = format_factor(min(ratios)), format_factor(max(ratios))
    return low if low == high else f"{low} to {high}"


def images(count: int) -> str:
    """`count` with its noun."""
    return f"{count} image" if count == 1 else f"{count} images"
