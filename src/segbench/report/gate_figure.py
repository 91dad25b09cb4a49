"""The figure of a gate: time of the head over that of the base, one row a case."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from segbench.measure.cases import PHASES
from segbench.report import canvas
from segbench.report.cells import images
from segbench.report.rendering import label
from segbench.results.outcome import FAILING, VERDICTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes

    from segbench.report.canvas import Drawing
    from segbench.results.outcome import Comparison, Estimate

# With more rows nobody finds one; the table has them all.
MOST_ROWS = 120

TITLE = "Time of the head as a multiple of that of the base"

BAND = "#e9edf1"
EDGE = "#777777"

# Inches: of a row, of what is above and below all rows, and of a letter of their texts.
ROW, AROUND, LETTER = 0.21, 0.85, 0.064


@dataclass(frozen=True)
class Look:
    """How a verdict is drawn: told apart by its shape in gray, else by Okabe and Ito's colours."""

    colour: str
    marker: str
    filled: bool = True


LOOKS = {
    "regression": Look("#D55E00", ">"),
    "failed": Look("#000000", "X"),
    "undecided": Look("#0072B2", "D", filled=False),
    "improvement": Look("#009E73", "<"),
    "same": Look("#5A5A5A", "o"),
    "not compared": Look("#5A5A5A", "_"),
}
AGAIN = Look("#D55E00", ">", filled=False)


def order(comparison: Comparison) -> tuple[int, float]:
    """Sort key: the worst verdict first, and within it the largest ratio."""
    ratio = comparison.first.ratio if comparison.first else 0.0
    return list(VERDICTS).index(comparison.verdict), -ratio


def ratio_figure(
    comparisons: Sequence[Comparison], *, threshold: float, name: Callable[[Comparison], str]
) -> Drawing | None:
    """Ratios with their intervals by phase, and the band of what counts as the same.

    Parameters
    ----------
    comparisons : sequence of Comparison
        In the order of their rows within a phase; of more than `MOST_ROWS` only the worst are
        drawn.
    threshold : float
        As a share.
    name : callable
        Says in words which case a comparison is of, and what was found.

    Returns
    -------
    Drawing, optional
        None where there is nothing to draw.
    """
    worst = sorted(range(len(comparisons)), key=lambda place: order(comparisons[place]))[:MOST_ROWS]
    drawn = [comparisons[place] for place in sorted(worst)]
    if not any(_has_place(case.first) for case in drawn):
        return None
    rows = _rows(drawn)
    texts = [label(text) for text, _ in rows]
    figure, axes = canvas.new_axes(height=AROUND + ROW * len(rows))
    for row, (_, case) in enumerate(rows):
        if case is not None:
            _draw(axes, case, row)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), labels=texts)
    for tick, (_, case) in zip(axes.get_yticklabels(), rows, strict=True):
        tick.set(fontsize=8, fontweight="bold" if case is None else "normal")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    _ratio_axis(axes, drawn, threshold)
    canvas.title(axes, TITLE)
    _name_looks(axes, drawn)
    canvas.arrange(axes, columns=4, left=0.25 + LETTER * max(len(text) for text in texts))
    return canvas.drawing(
        figure,
        name="ratios",
        title=TITLE,
        alt=f"{TITLE}: {_words(drawn, name)}.",
        caption=_caption(len(comparisons) - len(drawn)),
    )


def _rows(cases: Sequence[Comparison]) -> list[tuple[str, Comparison | None]]:
    """Text of each row and its case; above those of a phase there is one without."""
    phases = list(dict.fromkeys([*PHASES, *(case.phase for case in cases)]))
    by_phase = sorted(cases, key=lambda case: phases.index(case.phase))
    rows: list[tuple[str, Comparison | None]] = []
    for phase, own in itertools.groupby(by_phase, key=lambda case: case.phase):
        rows.append((phase, None))
        rows += [(f"{case.backend}, {images(case.n_images)}", case) for case in own]
    return rows


def _draw(axes: Axes, case: Comparison, row: int) -> None:
    if not _has_place(case.first):
        # At the edge, in words: no marker there could be taken for a ratio.
        axes.annotate(
            case.verdict,
            (1, row),
            xycoords=axes.get_yaxis_transform(),
            ha="right",
            va="center",
            fontsize=8,
            color=LOOKS[case.verdict].colour,
            fontweight="bold" if case.verdict in FAILING else "normal",
        )
    looks = ((case.first, LOOKS[case.verdict], row, 6.0), (case.again, AGAIN, row + 0.3, 4.0))
    for estimate, look, height, size in looks:
        if estimate is None or not _has_place(estimate):
            continue
        if len(_reach(estimate)) == 3:
            axes.hlines(
                height, estimate.low, estimate.high, color=look.colour, linewidth=1.2, zorder=3
            )
        axes.add_line(_point(look, size, at=(estimate.ratio, height)))


def _point(
    look: Look, size: float, *, at: tuple[float, float] | None = None, text: str = ""
) -> Line2D:
    """A marker on the axes, or, without a place and with a text, in the legend."""
    return Line2D(
        [at[0]] if at else [],
        [at[1]] if at else [],
        label=text,
        linestyle="none",
        marker=look.marker,
        markersize=size,
        color=look.colour,
        markerfacecolor=look.colour if look.filled else "#ffffff",
        zorder=4,
    )


def _has_place(estimate: Estimate | None) -> bool:
    """Whether a logarithmic axis has a place for it."""
    return estimate is not None and math.isfinite(estimate.ratio) and estimate.ratio > 0


def _reach(estimate: Estimate) -> list[float]:
    """What there is of a ratio and its interval on a logarithmic axis."""
    ends = (estimate.ratio, estimate.low, estimate.high)
    return [end for end in ends if math.isfinite(end) and end > 0]


def _ratio_axis(axes: Axes, cases: Sequence[Comparison], threshold: float) -> None:
    """A logarithmic axis, on which half and twice are equally far from 1, and the band."""
    within = f"a difference of less than {threshold * 100:.3g}%"
    axes.axvspan(
        1 / (1 + threshold), 1 + threshold, color=BAND, zorder=0, linewidth=0, label=within
    )
    axes.axvline(1 + threshold, color=EDGE, linewidth=0.8, linestyle="--", zorder=1)
    axes.axvline(1, color=EDGE, linewidth=0.8, zorder=1)
    ends = [1 / (1 + threshold) ** 2, (1 + threshold) ** 2]
    for case in cases:
        for estimate in (case.first, case.again):
            if estimate is not None and _has_place(estimate):
                ends += _reach(estimate)
    low, high = math.log(min(ends)), math.log(max(ends))
    room = 0.04 * (high - low)
    axes.set_xscale("log")
    axes.set_xlim(math.exp(low - room), math.exp(high + room))
    few = high - low < 1
    axes.xaxis.set_major_locator(
        MaxNLocator(8, steps=[1, 2, 5, 10]) if few else LogLocator(subs=(1, 2, 5))
    )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("below 1 the head is faster, above 1 it is slower", fontsize=9)


def _name_looks(axes: Axes, cases: Sequence[Comparison]) -> None:
    """Put the verdicts that occur on the axis, and the second look, into the legend."""
    seen = {case.verdict for case in cases if _has_place(case.first)}
    for verdict, look in LOOKS.items():
        if verdict in seen:
            axes.add_line(_point(look, 6.0, text=verdict))
    if any(_has_place(case.again) for case in cases):
        axes.add_line(_point(AGAIN, 4.0, text="second look"))


def _words(cases: Sequence[Comparison], name: Callable[[Comparison], str]) -> str:
    """Each case that is not the same, and how far those that are reach."""
    told = [name(case) for case in sorted(cases, key=order) if case.verdict != "same"]
    same = [case.first.ratio for case in cases if case.verdict == "same" and case.first]
    if same:
        noun = "case is" if len(same) == 1 else "cases are"
        told.append(f"{len(same)} {noun} the same, from {min(same):.2f} to {max(same):.2f}")
    return "; ".join(told)


def _caption(left_out: int) -> str:
    text = (
        "Points are medians over rounds, bars their 95% intervals. The gray band holds differences "
        "smaller than the threshold; a regression lies wholly beyond its right edge, the dashed line."
    )
    return f"{text} {left_out} more cases are in the table alone." if left_out else text
