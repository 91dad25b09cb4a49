"""What a run shows, in sentences made from its data."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from segbench.backends.registry import BASELINE
from segbench.report import tables
from segbench.stats import Ratio, verdicts

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from segbench.results import Source

PHASES = ("pipeline", "process", "read")

NO_BLOCK_IN_COMMON = Ratio(math.nan, math.nan, math.nan, 0, math.nan)


def findings(source: Source, summary: pd.DataFrame) -> list[str]:
    """For each phase a sentence on its fastest backend at the largest size.

    A backend is named as the fastest only where the verdict says that it is faster than the
    baseline, and with those that may be as fast as it is: their verdicts are corrected for all
    comparisons of this kind.
    """
    shown = {phase: rows for phase in PHASES if len(rows := _with_interval(summary, phase))}
    fastest = {
        phase: str(ahead["backend"].iloc[0])
        for phase, rows in shown.items()
        if len(ahead := rows[rows["verdict"] == "faster"])
    }
    near = _against_the_fastest(source, shown, fastest)
    sentences = []
    for phase, rows in shown.items():
        own = rows.set_index("backend")
        where = f"{phase}, {tables.images(rows['n_images'].iloc[0])}"
        if best := fastest.get(phase):
            ratio = own.loc[best]
            sentence = (
                f"{where}: {best} took {ratio['ratio_median']:.2f} times the baseline's time "
                f"(95% interval {ratio['ratio_low']:.2f} to {ratio['ratio_high']:.2f})"
            )
            told, unknown = near[phase], "may be as fast"
        else:
            sentence = f"{where}: nothing was shown to be faster than {BASELINE}"
            told, unknown = dict(own["verdict"]), "may be faster or slower"
        for verdict, words in (
            ("no difference", "no difference from it"),
            ("undecided", unknown),
        ):
            if named := [backend for backend, other in told.items() if other == verdict]:
                sentence += f"; {words}: {', '.join(named)}"
        sentences.append(f"{sentence}.")
    return sentences


def _with_interval(summary: pd.DataFrame, phase: str) -> pd.DataFrame:
    """Of a phase the largest size at which ratios have intervals, fastest backend first."""
    rows = summary[(summary["phase"] == phase) & summary["ratio_low"].notna()]
    largest = rows[rows["backend"] != str(BASELINE)]["n_images"].max()
    at_largest: pd.DataFrame = rows[rows["n_images"] == largest]
    return at_largest.sort_values("ratio_median")


def _against_the_fastest(
    source: Source, shown: Mapping[str, pd.DataFrame], fastest: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """For each phase with a fastest backend the verdict on each other one, fastest first."""
    ratios: dict[tuple[str, str], Ratio] = {}
    for phase, best in fastest.items():
        rows = shown[phase]
        times = tables.times_by_block(source, phase, rows["n_images"].iloc[0])
        for backend in rows["backend"]:
            # That the baseline is slower has been shown.
            if backend not in (best, str(BASELINE)):
                ratio = tables.within_blocks(times[backend], times[best])
                ratios[phase, backend] = ratio or NO_BLOCK_IN_COMMON
    found: dict[str, dict[str, str]] = {phase: {} for phase in fastest}
    for (phase, backend), verdict in zip(ratios, verdicts(list(ratios.values())), strict=True):
        # Medians of ratios need not be in the order of the ratio of two backends: the one that
        # comes out ahead of the fastest shows that neither is known to be.
        found[phase][backend] = "undecided" if verdict == "faster" else verdict
    return found
