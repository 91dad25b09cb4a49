"""When a round of a case is over, and when the case is: for runs, for gates and for the report."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from segbench.backends.registry import BASELINE
from segbench.stats import MARGIN, MIN_ROUNDS, narrow, of_rounds, round_logs, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from segbench.backends.registry import BackendSpec
    from segbench.measure.settings import Limits
    from segbench.results.records import Sample
    from segbench.stats import Ratio

T = TypeVar("T")

# In each round a case is timed in so many pairs of blocks at the most, and in as many as fit these
# seconds of each arm; in one block alone where a call takes longer, for which calls on few images are
# enough to warm a process up. What is left of the noise by then is that from process to process: in
# recorded rounds a fourth pair made it smaller nowhere.
MOST_PAIRS = 3
ARM_SECONDS = 0.3

# Rounds after which is asked whether a case is settled. A rule that stops at narrow intervals prefers
# those that are too narrow by chance, the more so the more often it asks.
LOOKS = (5, 7, 10, 14, 20, 28, 40, 56, 80)

# A difference whose p is below this is settled: no more rounds could undo it.
SETTLED = 0.001

# To tell beforehand how long a run takes, about: of the reference's time the share that a call of a
# phase takes, as a mean over the backends of a default run; seconds that an arm takes for a phase in a
# round at the least, and of these inside calls; to start in a round, and to be looked at; and how many
# calls it is compared and warmed up with.
SHARES = {"open": 0.0, "read": 0.18, "process": 0.6, "pipeline": 0.7}
LEAST_SECONDS, LEAST_IN_CALLS, START_SECONDS, LOOK_SECONDS = 0.4, 0.03, 1.5, 2.5
FIRST_CALLS = 1.5

# How often a fresh process is looked at for what its start costs.
PROFILES = 3

REASONS = {
    "settled": "every ratio is clear, or known to the precision that was asked for",
    "rounds": "the limit of rounds",
    "time": "the limit of time",
}


def orders(arms: Sequence[T], *, seed: str, number: int) -> Iterator[tuple[int, list[T]]]:
    """Orders of the arms in a round, a block each: a random one, then the same the other way round.

    So each comes before another as often as after it: the same call takes some per cent longer where
    another one's came before it, and what gets slower or faster in the meantime cancels, too. Every
    other round begins the other way round, for the sake of those that have one block a round. With
    each order comes the turn of a CPU, for what works on one: the same for both orders of a pair.
    """
    for pair in range(MOST_PAIRS):
        rng = random.Random(f"{seed}/{(number + 1) // 2}/{pair}")  # noqa: S311  (an order, not a secret)
        order = rng.sample(arms, len(arms))
        turn = (number + 1) // 2 + pair
        both = [(turn, order), (turn, order[::-1])]
        yield from both if number % 2 else both[::-1]


def expected_seconds(
    *,
    arms: int,
    sizes: Sequence[int],
    phases: Sequence[str],
    each: float,
    looks: int,
    limits: Limits,
) -> tuple[float, float]:
    """What a run will take, about: if every case is settled after `MIN_ROUNDS` rounds, and if none is.

    Parameters
    ----------
    arms : int
        Backends.
    sizes, phases : sequence of int, sequence of str
        What is timed.
    each : float
        Seconds that the reference takes for an image.
    looks : int
        How often a process of each backend is looked at.
    limits : Limits
        Of the run.
    """
    times = [SHARES[phase] * each * size for size in sizes for phase in phases]
    in_rounds = [arms * max(LEAST_SECONDS, time) for time in times]
    least = min(limits.rounds, MIN_ROUNDS)
    in_calls = [arms * max(LEAST_IN_CALLS, time) for time in times]
    most = [min(limits.rounds, max(least, limits.seconds / one)) for one in in_calls]
    once = arms * (looks * LOOK_SECONDS + FIRST_CALLS * sum(times))
    low = least * (arms * START_SECONDS + sum(in_rounds))
    high = max(most) * arms * START_SECONDS + sum(
        rounds * one for rounds, one in zip(most, in_rounds, strict=True)
    )
    return once + low, once + high


def round_over(blocks: int, spent: float) -> bool:
    """Whether a round is over after so many blocks, and so many seconds of each arm in them."""
    return spent > ARM_SECONDS and (blocks == 1 or blocks % 2 == 0)


def ended(ratios: Iterable[Ratio], *, rounds: int, seconds: float, limits: Limits) -> str:
    """Why a case is over.

    How often the intervals cover the truth through this rule is told at
    :class:`segbench.stats.Ratio`.

    Parameters
    ----------
    ratios : iterable of Ratio
        Of every backend that is still measured, to the baseline; looked at only if they decide.
        With none nothing is settled, and a limit ends the case.
    rounds : int
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
    known = (settled(ratio, precision=limits.precision) for ratio in ratios)
    if rounds in LOOKS and next(known, False) and all(known):
        return "settled"
    if rounds >= limits.rounds:
        return "rounds"
    return "time" if rounds >= MIN_ROUNDS and seconds >= limits.seconds else ""


def settled(ratio: Ratio, *, precision: float) -> bool:
    """Whether more rounds of a ratio would tell nothing that need be known."""
    certain = ratio.p(margin=MARGIN) < SETTLED
    said = verdict(ratio, margin=MARGIN, certain=certain)
    return said in ("faster", "slower", "no difference") or narrow(ratio, precision=precision)


@dataclass
class Tally:
    """What the samples of a phase and a size amount to so far."""

    limits: Limits
    # By backend, then by block.
    seconds: dict[BackendSpec, dict[int, float]] = field(default_factory=dict)
    # Of each block.
    rounds: dict[int, int] = field(default_factory=dict)
    spent: float = 0.0

    def add(self, sample: Sample) -> None:
        """Take a sample that is ok into account."""
        assert sample.seconds is not None  # noqa: S101  (told to the type checker)
        self.seconds.setdefault(sample.backend, {})[sample.block] = sample.seconds
        self.rounds[sample.block] = sample.round
        self.spent += sample.seconds * sample.calls

    def next_block(self) -> int:
        """Number of the block that comes after all that have samples."""
        return max(self.rounds, default=0) + 1

    def takes_long(self, backend: BackendSpec) -> bool:
        """Whether calls of a backend are known to take longer than `ARM_SECONDS`."""
        times = [*self.seconds.get(backend, {}).values()]
        return bool(times) and float(np.median(times)) > ARM_SECONDS

    def whole_rounds(self, backends: Sequence[BackendSpec]) -> set[int]:
        """The rounds in which each of some backends has a sample."""
        taken = ({self.rounds[block] for block in self.seconds.get(one, ())} for one in backends)
        return set.intersection(*taken)

    def over(self, backends: Sequence[BackendSpec]) -> str:
        """Why some backends have been measured enough, as `ended` says it; empty if they have not."""
        rounds = len(self.whole_rounds(backends))
        ratios = self._ratios(backends)
        return ended(ratios, rounds=rounds, seconds=self.spent, limits=self.limits)

    def _ratios(self, backends: Sequence[BackendSpec]) -> Iterator[Ratio]:
        """Those of some backends to the baseline, one after the other as they are asked for."""
        baseline = self.seconds.get(BASELINE, {})
        for backend in backends:
            own = self.seconds.get(backend, {})
            blocks = [block for block in own if block in baseline]
            if backend != BASELINE and blocks:
                seconds, usual = ([times[b] for b in blocks] for times in (own, baseline))
                yield of_rounds(round_logs(seconds, usual, [self.rounds[b] for b in blocks]))
