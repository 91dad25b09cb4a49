"""When a case has been measured enough: one rule, for the engine, for resuming and for the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from segbench.stats import MIN_BLOCKS, narrow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from segbench.stats import Ratio

REASONS = {
    "precision": "every ratio's interval is narrow enough",
    "blocks": "the limit of blocks",
    "time": "the limit of time",
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long a case goes on.

    Attributes
    ----------
    precision : float
        It ends when the 95% interval of every ratio is narrower than plus and minus this share.
    blocks : int
        Or after so many blocks.
    seconds : float
        Or, once it has as many as an interval needs, after so many seconds inside timed calls.
    """

    precision: float = 0.03
    blocks: int = 40
    seconds: float = 15.0


def ended(ratios: Iterable[Ratio], *, blocks: int, seconds: float, limits: Limits) -> str:
    """Why a case is over.

    Parameters
    ----------
    ratios : iterable of Ratio
        Of every backend that is still measured, to the baseline; looked at only if they decide.
    blocks : int
        How many have been taken.
    seconds : float
        Inside the timed calls of all backends so far.
    limits : Limits
        Of the run.

    Returns
    -------
    str
        One of `REASONS`; empty while the case is to go on.
    """
    if blocks >= limits.blocks:
        return "blocks"
    if blocks < MIN_BLOCKS:
        return ""
    if all(narrow(ratio, precision=limits.precision) for ratio in ratios):
        return "precision"
    return "time" if seconds >= limits.seconds else ""
