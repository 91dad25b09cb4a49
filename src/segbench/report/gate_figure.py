"""The figure of a gate: time of the head over that of the base, one row a case."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from segbench.measure.settings import PHASES
from segbench.report.cells import images
from segbench.report.drawing import finish, new_figure, write_title
from segbench.report.rendering import label
from segbench.results.outcome import FAILING, VERDICTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from matplotlib.axes import Axes

    from segbench.report.drawing import Drawing
    from segbench.results.outcome import Comparison, Estimate

# With more rows nobody finds one; the table has them all.
MOST_ROWS = 120

TITLE = "Time of the head as a multiple of that of the base"

EDGE = "#777777"

# Inches: of a row, of what is above and below all rows, and of a letter of their texts.
ROW, AROUND, LETTER = 0.21, 0.85, 0.064

# Colour, which is Okabe and Ito's, marker, which tells verdicts apart in gray, and filling.
LOOKS = {
    "regression": ("#D55E00", ">", "#D55E00"),
    "failed": ("#000000", "X", "#000000"),
    "undecided": ("#0072B2", "D", "#ffffff"),
    "improvement": ("#009E73", "<", "#009E73"),
    "same": ("#5A5A5A", "o", "#5A5A5A"),
    "not compared": ("#5A5A5A", "_", "#5A5A5A"),
}
AGAIN = ("#D55E00", ">", "#ffffff")


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
    worst = dict.fromkeys(sorted(comparisons, key=order)[:MOST_ROWS])
    drawn = [case for case in comparisons if case in worst]
    if not any(_ends(case.first) for case in drawn):
        return None
    labels, cases = _rows(drawn)
    figure, (axes,) = new_figure(height=AROUND + ROW * len(labels))
    _ratio_axis(axes, drawn, threshold)
    for verdict, look in LOOKS.items():
        own = [(row, case.first) for row, case in cases.items() if case.verdict == verdict]
        _draw(axes, own, look, size=6, name=verdict)
    again = [(row + 0.3, case.again) for row, case in cases.items()]
    _draw(axes, again, AGAIN, size=4, name="second look")
    for row, case in cases.items():
        if not _ends(case.first):
            # At the edge, in words: no marker there could be taken for a ratio.
            weight = "bold" if case.verdict in FAILING else "normal"
            text = axes.text(1, row, case.verdict, transform=axes.get_yaxis_transform())
            text.set(ha="right", va="center", fontsize=8, fontweight=weight)
            text.set_color(LOOKS[case.verdict][0])
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_yticks(range(len(labels)), labels=labels)
    for row, tick in enumerate(axes.get_yticklabels()):
        tick.set(fontsize=8, fontweight="normal" if row in cases else "bold")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    write_title(axes, TITLE)
    caption = (
        "Points are medians over rounds, bars their 95% intervals. The gray band holds differences "
        "smaller than the threshold; a regression lies wholly beyond its right edge, the dashed line."
    )
    if left_out := len(comparisons) - len(drawn):
        caption += f" {left_out} more cases are in the table alone."
    return finish(
        figure,
        name="ratios",
        title=TITLE,
        alt=TITLE,
        words=_words(worst, name),
        caption=caption,
        columns=4,
        left=0.25 + LETTER * max(map(len, labels)),
    )


def _rows(cases: Sequence[Comparison]) -> tuple[list[str], dict[int, Comparison]]:
    """Label of each row, and the cases by row; above those of a phase there is a row without."""
    phases = list(dict.fromkeys([*PHASES, *(case.phase for case in cases)]))
    by_phase = sorted(cases, key=lambda case: phases.index(case.phase))
    labels: list[str] = []
    rows: dict[int, Comparison] = {}
    for phase, own in itertools.groupby(by_phase, key=lambda case: case.phase):
        labels.append(label(phase))
        for case in own:
            rows[len(labels)] = case
            labels.append(label(f"{case.backend}, {images(case.n_images)}"))
    return labels, rows


def _ends(estimate: Estimate | None) -> list[float]:
    """What a logarithmic axis shows of a ratio and its interval; nothing without the ratio."""
    if estimate is None:
        return []
    shown = [end for end in (estimate.low, estimate.high) if math.isfinite(end) and end > 0]
    return [estimate.ratio, *shown] if math.isfinite(estimate.ratio) and estimate.ratio > 0 else []


def _draw(
    axes: Axes,
    estimates: Iterable[tuple[float, Estimate | None]],
    look: tuple[str, str, str],
    *,
    size: float,
    name: str,
) -> None:
    """Draw those estimates that there are, at their heights, with an entry in the legend."""
    places = {height: ends for height, one in estimates if (ends := _ends(one))}
    if not places:
        return
    colour, marker, filling = look
    for height, (_, *interval) in places.items():
        if len(interval) == 2:
            low, high = interval
            axes.hlines(height, low, high, color=colour, linewidth=1.2, zorder=3)
    points = axes.plot([ends[0] for ends in places.values()], list(places), label=name, zorder=4)
    drawn = {"linestyle": "none", "marker": marker, "markersize": size, "color": colour}
    points[0].set(**drawn, markerfacecolor=filling)


def _ratio_axis(axes: Axes, cases: Iterable[Comparison], threshold: float) -> None:
    """A logarithmic axis, on which half and twice are equally far from 1, and the band."""
    edge = 1 + threshold
    within = f"a difference of less than {threshold * 100:.3g}%"
    axes.axvspan(1 / edge, edge, color="#e9edf1", zorder=0, linewidth=0, label=within)
    axes.axvline(edge, color=EDGE, linewidth=0.8, linestyle="--", zorder=1)
    axes.axvline(1, color=EDGE, linewidth=0.8, zorder=1)
    estimates = [estimate for case in cases for estimate in (case.first, case.again)]
    ends = [edge**-2, edge**2, *(end for estimate in estimates for end in _ends(estimate))]
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


def _words(worst_first: Iterable[Comparison], name: Callable[[Comparison], str]) -> list[str]:
    """Each case that is not the same, and how far those that are reach."""
    told, same = [], []
    for case in worst_first:
        if case.verdict != "same":
            told.append(name(case))
        elif case.first:
            same.append(case.first.ratio)
    if same:
        noun = "case is" if len(same) == 1 else "cases are"
        told.append(f"{len(same)} {noun} the same, from {min(same):.2f} to {max(same):.2f}")
    return told
