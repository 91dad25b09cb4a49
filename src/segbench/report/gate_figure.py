"""The figure of a gate: CPU time of the head over that of the base, one row a case."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from segbench.measure.settings import PHASES
from segbench.report.cells import images
from segbench.report.drawing import LETTER, Drawing, finish, label, new_figure
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

TITLE = "CPU time of the head as a multiple of that of the base"

# Of a threshold: a slow-down is estimated to be more, or it is no regression.
ESTIMATED = 0.5

EDGE = "#777777"

# Inches: of a row, and of what is above and below all rows.
ROW, AROUND = 0.21, 0.85

# Colour, which is Okabe and Ito's, marker, which tells verdicts apart in gray, and filling.
LOOKS = {
    "regression": ("#D55E00", ">", "#D55E00"),
    "failed": ("#000000", "X", "#000000"),
    "suspected": ("#D55E00", "^", "#ffffff"),
    "undecided": ("#0072B2", "D", "#ffffff"),
    "improvement": ("#009E73", "<", "#009E73"),
    "same": ("#5A5A5A", "o", "#5A5A5A"),
    "not compared": ("#5A5A5A", "_", "#5A5A5A"),
}


def order(comparison: Comparison) -> tuple[int, float]:
    """Sort key: the worst verdict first, and within it the largest ratio."""
    ratio = comparison.cpu.ratio if comparison.cpu else 0.0
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
        The usual one, as a share.
    name : callable
        Says in words which case a comparison is of, and what was found.

    Returns
    -------
    Drawing, optional
        None where there is nothing to draw.
    """
    worst = dict.fromkeys(sorted(comparisons, key=order)[:MOST_ROWS])
    drawn = [case for case in comparisons if case in worst]
    ends = [end for case in drawn for end in _ends(case.cpu)]
    if not ends:
        return None
    others = {
        case: 1 + ESTIMATED * case.threshold
        for case in drawn
        # The usual one was kept as text, with six digits.
        if not math.isclose(case.threshold, threshold, rel_tol=1e-5)
    }
    rows: list[tuple[str, Comparison | None]] = []
    for phase in dict.fromkeys([*PHASES, *(case.phase for case in drawn)]):
        if own := [case for case in drawn if case.phase == phase]:
            rows.append((label(phase), None))
            rows += [(label(f"{case.backend}, {images(case.n_images)}"), case) for case in own]
    labels = [text for text, _ in rows]
    cases = {row: case for row, (_, case) in enumerate(rows) if case}
    figure, (axes,) = new_figure(TITLE, height=AROUND + ROW * len(rows))
    _ratio_axis(axes, [*ends, *others.values()], threshold)
    for verdict, look in LOOKS.items():
        points = [(row, case.cpu) for row, case in cases.items() if case.verdict == verdict]
        _draw(axes, points, look, name=verdict)
    for row, case in cases.items():
        _write(axes, row, case)
        if case in others:
            axes.vlines(others[case], row - 0.45, row + 0.45, color=EDGE, linewidth=1.6, zorder=2)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), labels=labels)
    for row, tick in enumerate(axes.get_yticklabels()):
        tick.set(fontsize=8, fontweight="normal" if row in cases else "bold")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    caption = (
        "Points are means over rounds, bars their 95% intervals. The gray band holds differences "
        f"smaller than the threshold of {threshold * 100:.3g}%. The point of a regression lies beyond "
        "the dashed line, at half of it, and its interval beyond 1, unless something else has grown: "
        "then this stands in the row."
    )
    if others:
        noun = "row has" if len(others) == 1 else "rows have"
        caption += f" {len(others)} {noun} another threshold, and a short line at half of that."
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


def _draw(axes: Axes, estimates: Estimates, look: Look, *, name: str) -> None:
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
    points: dict[str, Any] = {"linestyle": "none", "marker": marker, "markersize": 6}
    points |= {"color": colour, "markerfacecolor": filling, "label": name, "zorder": 4}
    axes.plot(ratios, list(places), **points)


def _write(axes: Axes, row: int, case: Comparison) -> None:
    """What is in words, at the edge that is farther from the point: no marker can be taken for it."""
    words, at, side = case.verdict, 1.0, "right"
    if ends := _ends(case.cpu):
        words = ", ".join(case.grown)
        low, high = axes.get_xlim()
        if ends[0] > math.sqrt(low * high):
            at, side = 0.0, "left"
    weight = "bold" if case.verdict in FAILING else "normal"
    text = axes.text(at, row, words, transform=axes.get_yaxis_transform())
    text.set(ha=side, va="center", fontsize=8, fontweight=weight, color=LOOKS[case.verdict][0])


def _ratio_axis(axes: Axes, ends: Iterable[float], threshold: float) -> None:
    """A logarithmic axis, on which half and twice are equally far from 1, and the band."""
    edge = 1 + threshold
    within = f"a difference of less than {threshold * 100:.3g}%"
    axes.axvspan(1 / edge, edge, color="#e9edf1", zorder=0, linewidth=0, label=within)
    axes.axvline(1 + ESTIMATED * threshold, color=EDGE, linewidth=0.8, linestyle="--", zorder=1)
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
    same = [case.cpu.ratio for case in worst_first if case.verdict == "same" and case.cpu]
    if same:
        noun = "case is" if len(same) == 1 else "cases are"
        told.append(f"{len(same)} {noun} the same, from {min(same):.2f} to {max(same):.2f}")
    return told
