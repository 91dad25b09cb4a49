"""When a case has been measured enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from segbench.measure.stopping import REASONS, Limits, ended
from segbench.stats import MIN_BLOCKS, Ratio

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = Limits(precision=0.03, blocks=20, seconds=10.0)
NARROW = Ratio(0.5, 0.495, 0.505, 5, 0.0)
WIDE = Ratio(0.5, 0.45, 0.55, 5, 0.0)


@pytest.mark.parametrize(
    ("ratios", "blocks", "seconds", "reason"),
    [
        ([NARROW, NARROW], 5, 1.0, "precision"),
        ([NARROW, WIDE], 5, 1.0, ""),
        ([WIDE, NARROW], 19, 9.9, ""),
        ([NARROW, WIDE], 20, 1.0, "blocks"),
        ([NARROW, WIDE], 5, 10.0, "time"),
        ([NARROW, NARROW], 4, 1.0, ""),
        ([NARROW, NARROW], 4, 1000.0, ""),
        ([], 5, 1.0, "precision"),
    ],
)
def test_a_case_ends(ratios: list[Ratio], blocks: int, seconds: float, reason: str) -> None:
    """A case ends when every ratio is known well enough, or at a limit; not before five blocks."""
    assert ended(ratios, blocks=blocks, seconds=seconds, limits=LIMITS) == reason
    assert reason in {"", *REASONS}


def test_fewer_blocks_may_be_asked_for() -> None:
    """A limit of fewer blocks than an interval needs is kept."""
    limits = Limits(blocks=2)
    assert ended([], blocks=1, seconds=0.0, limits=limits) == ""
    assert ended([], blocks=2, seconds=0.0, limits=limits) == "blocks"


def test_ratios_are_computed_only_where_they_decide() -> None:
    """The first ratio that is not known well enough is the last that is looked at."""

    def ratios() -> Iterator[Ratio]:
        yield WIDE
        raise AssertionError

    assert ended(ratios(), blocks=MIN_BLOCKS, seconds=0.0, limits=LIMITS) == ""
