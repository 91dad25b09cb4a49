"""The figure of a gate: time of the head over that of the base, one row a case."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from segbench.measure.settings import PHASES
from segbench.report.cells import images
from segbench.report.drawing import Drawing, finish, label, new_figure
from segbench.results.outcome import FAILING, VERDICTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from matplotlib.axes import Axes

    from segbench.results.outcome import Comparison, Estimate

    Look: TypeAlias = tuple[str, str, str]
    # By the height at which each is drawn.
    Estimates: TypeAlias = Sequence[tuple[float, Estimate | None]]

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
    ends = [end for case in drawn for one in (case.first, case.again) for end in _ends(one)]
    if not any(_ends(case.first) for case in drawn):
        return None
    rows: list[tuple[str, Comparison | None]] = []
    for phase in dict.fromkeys([*PHASES, *(case.phase for case in drawn)]):
        if own := [case for case in drawn if case.phase == phase]:
            rows.append((label(phase), None))
            rows += [(label(f"{case.backend}, {images(case.n_images)}"), case) for case in own]
    labels = [text for text, _ in rows]
    cases = {row: case for row, (_, case) in enumerate(rows) if case}
    figure, (axes,) = new_figure(TITLE, height=AROUND + ROW * len(rows))
    _ratio_axis(axes, ends, threshold)
    for verdict, look in LOOKS.items():
        first = [(row, case.first) for row, case in cases.items() if case.verdict == verdict]
        _draw(axes, first, look, size=6, name=verdict)
    again = [(row + 0.3, case.again) for row, case in cases.items()]
    _draw(axes, again, AGAIN, size=4, name="second look")
    for row, case in cases.items():
        if not _ends(case.first):
            # At the edge, in words: no marker there could be taken for a ratio.
            weight = "bold" if case.verdict in FAILING else "normal"
            text = axes.text(1, row, case.verdict, transform=axes.get_yaxis_transform())
            text.set(ha="right", va="center", fontsize=8, fontweight=weight)
            text.set_color(LOOKS[case.verdict][0])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), labels=labels)
    for row, tick in enumerate(axes.get_yticklabels()):
        tick.set(fontsize=8, fontweight="normal" if row in cases else "bold")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    caption = (
        "Points are medians over rounds, bars their 95% intervals. The gray band holds differences "
        "smaller than the threshold; a regression lies wholly beyond its right edge, the dashed line."
    )
    if left_out := len(comparisons) - len(drawn):
        caption += f" {left_out} more cases are in the table alone."
    words = _words(worst, name)
    return Drawing(
        picture=finish(figure, columns=4, left=0.25 + LETTER * max(map(len, labels))),
        name="ratios",
        title=TITLE,
        alt=f"{TITLE}: {'; '.join(words)}.",
        caption=caption,
    )


def _ends(estimate: Estimate | None) -> tuple[float, ...]:
    """What a logarithmic axis shows: a ratio, and both ends of its interval if it has them."""
    if estimate is None or not 0 < estimate.ratio < math.inf:
        return ()
    ends = estimate.low, estimate.high
    return (estimate.ratio, *(ends if all(0 < end < math.inf for end in ends) else ()))


def _draw(axes: Axes, estimates: Estimates, look: Look, *, size: float, name: str) -> None:
    """Draw those estimates that there are, at their heights, with an entry in the legend."""
    places = {height: ends for height, one in estimates if (ends := _ends(one))}
    if not places:
        return
    colour, marker, filling = look
    for height, (_, *interval) in places.items():
        if interval:
            low, high = interval
            axes.hlines(height, low, high, color=colour, linewidth=1.2, zorder=3)
    ratios = [ratio for ratio, *_ in places.values()]
    points: dict[str, Any] = {"linestyle": "none", "marker": marker, "markersize": size}
    points |= {"color": colour, "markerfacecolor": filling, "label": name, "zorder": 4}
    axes.plot(ratios, list(places), **points)


def _ratio_axis(axes: Axes, ends: Iterable[float], threshold: float) -> None:
    """A logarithmic axis, on which half and twice are equally far from 1, and the band."""
    edge = 1 + threshold
    within = f"a difference of less than {threshold * 100:.3g}%"
    axes.axvspan(1 / edge, edge, color="#e9edf1", zorder=0, linewidth=0, label=within)
    axes.axvline(edge, color=EDGE, linewidth=0.8, linestyle="--", zorder=1)
    axes.axvline(1, color=EDGE, linewidth=0.8, zorder=1)
    shown = [edge**-2, edge**2, *ends]
    low, high = math.log(min(shown)), math.log(max(shown))
    room = 0.04 * (high - low)
    axes.set_xscale("log")
    axes.set_xlim(math.exp(low - room), math.exp(high + room))
    few, many = MaxNLocator(8, steps=[1, 2, 5, 10]), LogLocator(subs=(1, 2, 5))
    axes.xaxis.set_major_locator(few if high - low < 1 else many)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("below 1 the head is faster, above 1 it is slower", fontsize=9)


def _words(worst_first: Iterable[Comparison], name: Callable[[Comparison], str]) -> list[str]:
    """Each case that is not the same, and how far those that are reach."""
    told = [name(case) for case in worst_first if case.verdict != "same"]
    same = [case.first.ratio for case in worst_first if case.verdict == "same" and case.first]
    if same:
        noun = "case is" if len(same) == 1 else "cases are"
        told.append(f"{len(same)} {noun} the same, from {min(same):.2f} to {max(same):.2f}")
    return told
