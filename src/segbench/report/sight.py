"""What a gate sees on this machine, told to people."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from segbench.report.cells import Row, Table, images, words

if TYPE_CHECKING:
    from segbench.results.outcome import Calibration, Sight


def table(calibration: Calibration) -> Table:
    """One row a case."""
    slowed = list(calibration.cases[0].measured) if calibration.cases else []
    return Table(
        name="sight",
        title="What a gate sees on this machine",
        note="",
        columns=(
            "case",
            "found 95 times in 100",
            "called a regression though the same",
            *(f"{name}: measured, found" for name in slowed),
        ),
        rows=tuple(
            Row(
                words(
                    f"{case.phase}, {images(case.n_images)}, {case.backend}",
                    f"{case.smallest:.1%}",
                    f"{case.alarms:.1%}",
                    *(f"{case.measured[name] - 1:+.1%}, {case.found[name]:.0%}" for name in slowed),
                )
            )
            for case in calibration.cases
        ),
        layout="words",
    )


def sentences(sight: Sight | None) -> list[str]:
    """What this machine sees, or how to find out."""
    if sight is None:
        unknown = (
            "What this machine sees is not known: `segbench gate --calibrate` with the same options "
            "measures it."
        )
        return [unknown]
    sees = (
        f"This machine sees {math.ceil(sight.smallest * 1000) / 10:g}% and more: over all cases, "
        "such a slow-down of one is found 95 times in 100."
    )
    alarms = (
        f"Of {sight.gates} gates on the same code, drawn from {sight.rounds} rounds that were "
        f"measured on {sight.measured[:10]}, {sight.false_alarms:.1%} fail."
    )
    return [sees, alarms]
