"""What a gate makes of its samples, as values and as a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segbench.results.records import Case


BASE, HEAD = "base", "head"

# What is said of a case, and what it means, the worst first. The first two make the gate fail.
VERDICTS = {
    "regression": "slower, by more than chance gives in a whole gate; or it needs more memory or tasks",
    "failed": "the head finds other cells than the base's reference, or fails where the base does not",
    "suspected": "probably slower, not confirmed: its interval lies above 1",
    "undecided": "too noisy to say",
    "improvement": "faster, as strictly as for a regression",
    "same": "any difference is smaller than the threshold",
    "not compared": "only one side can do it, neither can, or the gate was interrupted before",
}
FAILING = ("regression", "failed")
UNCLEAR = ("suspected", "undecided")


@dataclass(frozen=True)
class Thresholds:
    """By what share a case may take longer.

    Attributes
    ----------
    usual : float
        Of a case that is not named.
    named : tuple of (str, float)
        By what is named: a phase, ``open``; with a number of images, ``open:20``; or with a backend
        as well, ``open:20:skimage/skimage/serial``. Of several that fit, the last holds.
    """

    usual: float = 0.05
    named: tuple[tuple[str, float], ...] = ()

    def of(self, case: Case) -> float:
        """That of a case."""
        sized = f"{case.phase}:{case.n_images}"
        names = (case.phase, sized, f"{sized}:{case.backend}")
        fitting = [share for name, share in self.named if name in names]
        return [self.usual, *fitting][-1]

    def __str__(self) -> str:
        """As `parse_thresholds` reads it."""
        return ",".join([f"{self.usual:g}", *(f"{name}={share:g}" for name, share in self.named)])


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
    """Something of the head over that of the base: mean ratio of the rounds, and its 95% interval.

    The interval is nan with fewer than 5 rounds.
    """

    ratio: float
    low: float
    high: float
    rounds: int


@dataclass(frozen=True, kw_only=True)
class Level:
    """What a call takes on one side: medians over all that was measured.

    Attributes
    ----------
    seconds, cpu_seconds : float
        Wall time, and CPU time of the worker with its children.
    peak_mib : float, optional
        Largest resident size, in MiB.
    tasks : int, optional
        In Dask's graph of the pipeline.
    """

    seconds: float
    cpu_seconds: float
    peak_mib: float | None = None
    tasks: int | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What is said of one case.

    Attributes
    ----------
    phase, backend : str
        The case.
    n_images : int
        Its size.
    threshold : float
        For a slow-down of it, as a share.
    verdict : str
        One of `VERDICTS`.
    grown : tuple of str
        What makes it a regression beside or instead of CPU time: ``wall time``, ``peak memory``,
        ``tasks``.
    base, head : Level, optional
        What either side takes; None where a side failed.
    cpu, wall, memory : Estimate, optional
        Ratios of CPU time, wall time and peak memory.
    cause : str
        Why it failed or was not compared, which side it was, and with what status.
    """

    phase: str
    backend: str
    n_images: int
    threshold: float
    verdict: str
    grown: tuple[str, ...] = ()
    base: Level | None = None
    head: Level | None = None
    cpu: Estimate | None = None
    wall: Estimate | None = None
    memory: Estimate | None = None
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
    smallest : float, optional
        Smallest slow-down that is found 95 times in 100 in 95 of 100 cases, as a share (0.06: 6%);
        None where none of those that were tried is, up to 1.
    """

    measured: str
    rounds: int
    gates: int
    false_alarms: float
    smallest: float | None


@dataclass(frozen=True, kw_only=True)
class CaseSight:
    """What is seen of one case.

    Attributes
    ----------
    phase, backend : str
        The case.
    n_images : int
        Its size.
    smallest : float, optional
        As of `Sight`, of this case alone.
    alarms : float
        Share of gates in which it is called a regression though nothing changed.
    measured : dict of str to float
        Mean ratio of each arm that was slowed, by its name.
    found : dict of str to float
        Share of gates in which that arm is called a regression.
    """

    phase: str
    backend: str
    n_images: int
    smallest: float | None
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
    threshold : Thresholds
        As shares.
    rounds : int
        Of new processes, at the most.
    shared_layout : bool
        Whether both sides had the same address layout in each round.
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
    threshold: Thresholds
    rounds: int
    shared_layout: bool
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
    """Exit status: 1 for a regression or a failure; if `strict`, also where a case is not clear."""
    failing = (*FAILING, *UNCLEAR) if strict else FAILING
    return int(any(each.verdict in failing for each in outcome.comparisons))
