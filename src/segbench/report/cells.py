"""A number with its text, its verdict and its case; rows and tables of such cells."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from segbench.stats import Ratio

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True)
class Cell:
    """What a table holds in one place.

    Attributes
    ----------
    text : str
        As people read it; empty where a status stands in its place.
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
    backend : str
        What the row is of: the page hides it with its backend. Empty for a row that always stays.
    """

    cells: tuple[Cell, ...]
    id: str = ""
    backend: str = ""


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
    layout : {'figures', 'ratios', 'dense', 'words', 'places', 'answer'}
        How wide its cells are.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""
    layout: Literal["figures", "ratios", "dense", "words", "places", "answer"] = "figures"

    @property
    def texts(self) -> list[tuple[str, ...]]:
        """The text of each cell, row by row."""
        return [tuple(cell.whole for cell in row.cells) for row in self.rows]

    @property
    def by_heading(self) -> list[list[Row]]:
        """Its rows, those together that follow each other under one heading."""
        groups = itertools.groupby(self.rows, key=lambda row: row.cells[0].text)
        return [list(rows) for _, rows in groups]


def collected(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """The values of each key, both in their order."""
    found: dict[K, list[V]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def row(*cells: Cell | str, backend: str = "", id: str = "") -> Row:
    """A row of cells; words are cells without a number."""
    made = tuple(Cell(cell) if isinstance(cell, str) else cell for cell in cells)
    return Row(made, id, backend)


def number_cell(number: float | None, show: Callable[[float], str]) -> Cell:
    """A number as a function writes it; nothing where it is not known."""
    return NOTHING if number is None or math.isnan(number) else Cell(show(number), number)


def seconds_cell(seconds: float | None) -> Cell:
    """A time; nothing where it is not known."""
    return number_cell(seconds, format_seconds)


def multiple_cell(ratio: float | None) -> Cell:
    """A ratio by itself; nothing where it is not known."""
    return number_cell(ratio, format_multiple)


def finding_cell(ratio: Ratio | None, verdict: str, *, case: str = "") -> Cell:
    """A ratio, its interval where it has one, and what that shows; nothing where it is not known."""
    if ratio is None or math.isnan(ratio.estimate):
        return NOTHING
    text = format_multiple(ratio.estimate)
    if ratio.known:
        text += f" ({format_interval(ratio.low, ratio.high)})"
    return Cell(text, ratio.estimate, verdict, case=case)


def status_cell(status: str) -> Cell:
    """How something ended, in place of a number."""
    return Cell("", verdict=status)


def images_cell(sizes: Sequence[int]) -> Cell:
    """Numbers of images, sorted by the first."""
    return Cell(sizes_in_words(sizes), sizes[0])


def known_number(value: object) -> float | None:
    """A value of a header as a number; None where it holds something else or nothing."""
    if not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON's whole numbers may be of any length
        return None
    return number if math.isfinite(number) else None


def value_cell(value: object) -> Cell:
    """A value of a header, whatever JSON held."""
    return Cell(format_value(value), known_number(value))


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


def counted(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def images(count: int) -> str:
    """`count` with its noun."""
    return counted(count, "image")


def listed(words: Iterable[str]) -> str:
    """Words with commas and an `and` between them; nothing of none."""
    *others, end = [*words] or [""]
    return f"{', '.join(others)} and {end}" if others else end


def sizes_in_words(sizes: Sequence[int]) -> str:
    """Numbers of images, with their noun after the last."""
    noun = "image" if sizes[-1] == 1 else "images"
    return f"{listed(map(str, sizes))} {noun}"


def format_value(value: Any) -> str:
    """A value of a header, whatever JSON held."""
    if isinstance(value, dict):
        inner = list(value.values())
        # Such as the thread pools of each backend.
        if (
            len(inner) > 1
            and isinstance(inner[0], list | tuple)
            and inner == inner[:1] * len(inner)
        ):
            return f"{format_value(inner[0])} (all {len(inner)})"
        return "; ".join(f"{key}: {format_value(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(format_value(inner) for inner in value)
    return "–" if value is None else str(value)
