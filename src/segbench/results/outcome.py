"""What a gate makes of its samples, as values and as a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segbench.results.records import Case


BASE, HEAD = "base", "head"

# What is said of a case, and what it means. The first two make the gate fail. A regression, an
# improvement and the same are what `segbench.stats.VERDICTS` call slower, faster and no difference.
VERDICTS = {
    "regression": "slower by more than the threshold, and again so in new processes",
    "failed": "the head finds other cells than the base's reference, or fails where the base does not",
    "undecided": "the interval reaches across the threshold",
    "improvement": "faster by more than the threshold",
    "same": "any difference is smaller than the threshold",
    "not compared": "only one side can do it, neither can, or the gate was interrupted before",
}
FAILING = ("regression", "failed")
OF_A_RATIO = {"slower": "regression", "faster": "improvement", "no difference": "same"}


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two that are compared.

    Attributes
    ----------
    name : str
        ``base`` or ``head``.
    what : str
        In words: ``main (1a2b3c4)``, ``the working tree of 1a2b3c4, with changes``.
    commit : str
        Full name; empty where segbench was not built from a commit.
    changed : bool
        Whether files differ from the commit.
    versions : dict of str to str
        Of Python and the libraries.
    """

    name: str
    what: str
    commit: str = ""
    changed: bool = False
    versions: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Time of the head over that of the base: median over rounds, and its 95% interval.

    The interval is nan with fewer than 5 rounds.
    """

    ratio: float
    low: float
    high: float
    rounds: int


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What is said of one case.

    Attributes
    ----------
    phase, backend : str
        The case.
    n_images : int
        Its size.
    verdict : str
        One of `VERDICTS`.
    base_seconds, head_seconds : float, optional
        Medians over all pairs of the first stage.
    first : Estimate, optional
        Of the first stage; None where a side failed.
    again : Estimate, optional
        Of the second look, where there was one.
    cause : str
        Why it failed or was not compared, which side it was, and with what status.
    """

    phase: str
    backend: str
    n_images: int
    verdict: str
    base_seconds: float | None = None
    head_seconds: float | None = None
    first: Estimate | None = None
    again: Estimate | None = None
    cause: str = ""


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What a gate on this machine was found to see: see `segbench gate --calibrate`.

    Attributes
    ----------
    measured : str
        When, ISO 8601.
    rounds : int
        In which the code at hand was compared with itself.
    gates : int
        Simulated, each of rounds drawn from those.
    false_alarms : float
        Share of them that would fail, 0 to 1.
    smallest : float
        Smallest slow-down of a case that is found 95 times in 100, as a share (0.06: 6%).
    """

    measured: str
    rounds: int
    gates: int
    false_alarms: float
    smallest: float


@dataclass(frozen=True, kw_only=True)
class CaseSight:
    """What is seen of one case.

    Attributes
    ----------
    phase, backend : str
        The case.
    n_images : int
        Its size.
    smallest : float
        As of `Sight`, of this case alone.
    alarms : float
        Share of gates in which it is called a regression though nothing changed.
    measured : dict of str to float
        Median ratio of each arm that was slowed, by its name.
    found : dict of str to float
        Share of gates in which that arm is called a regression.
    """

    phase: str
    backend: str
    n_images: int
    smallest: float
    alarms: float
    measured: dict[str, float]
    found: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """All cases, and what is kept for the gates to come."""

    cases: tuple[CaseSight, ...]
    sight: Sight


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A whole gate, ready to be told.

    Attributes
    ----------
    started : str
        ISO 8601, with offset.
    command : str
        What the user typed.
    base, head : Side
        What was compared.
    threshold : float
        As a share: 0.05 is 5%.
    rounds : int
        Planned.
    seconds : float
        Wall time of the measurement, without the building of environments.
    machine : dict of str to str
        What it was measured on.
    dataset : str
        In words.
    comparisons : tuple of Comparison
        One a case.
    sight : Sight, optional
        If this machine was calibrated for these cases.
    notes : tuple of str
        What the reader should know: a dirty working tree, an interruption, a busy machine.
    interrupted : bool
        Whether it was cut short.
    """

    started: str
    command: str
    base: Side
    head: Side
    threshold: float
    rounds: int
    seconds: float
    machine: dict[str, str]
    dataset: str
    comparisons: tuple[Comparison, ...]
    sight: Sight | None = None
    notes: tuple[str, ...] = ()
    interrupted: bool = False


def named(case: Case) -> dict[str, Any]:
    """The fields of a `Comparison` or `CaseSight` that say which case it is of."""
    return {"phase": case.phase, "backend": str(case.backend), "n_images": case.n_images}


def status(outcome: Outcome, *, strict: bool) -> int:
    """Exit status: 1 for a regression or a failure; if `strict`, also where a case is undecided."""
    failing = (*FAILING, "undecided") if strict else FAILING
    return int(any(each.verdict in failing for each in outcome.comparisons))
