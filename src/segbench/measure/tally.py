"""What the samples of a case amount to so far, and whether they are enough."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from segbench.backends.registry import BASELINE
from segbench.measure import stopping
from segbench.stats import paired_ratio

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from segbench.backends.registry import BackendSpec
    from segbench.measure.stopping import Limits
    from segbench.results.records import Sample
    from segbench.stats import Ratio


@dataclass
class Tally:
    """A phase and a size: its samples, and what they took."""

    # By backend, then by block.
    seconds: defaultdict[BackendSpec, dict[int, float]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    # Of each block.
    rounds: dict[int, int] = field(default_factory=dict)
    spent: float = 0.0

    def add(self, backend: BackendSpec, sample: Sample) -> None:
        """Take a sample that is ok into account."""
        assert sample.seconds is not None  # noqa: S101  (told to the type checker)
        self.seconds[backend][sample.block] = sample.seconds
        self.rounds[sample.block] = sample.round
        self.spent += sample.seconds * sample.calls

    def next_block(self) -> int:
        """Number of the block that comes after all that have samples."""
        return max(self.rounds, default=0) + 1

    def over(self, backends: Sequence[BackendSpec], *, limits: Limits) -> bool:
        """Whether some backends have been measured enough."""
        return bool(self._ended(backends, limits, share=1))

    def half_over(self, backends: Sequence[BackendSpec], *, limits: Limits) -> bool:
        """Whether the first of two rounds is over: twice as much would be enough."""
        return 2 in self.rounds.values() or bool(self._ended(backends, limits, share=2))

    def both_over(self, backends: Sequence[BackendSpec], *, limits: Limits) -> bool:
        """Whether both rounds are: the second has as many blocks as the first, but for one."""
        count = Counter(self.rounds.values())
        if self._blocks(backends) >= limits.blocks:
            return True
        return count[2] + 1 >= count[1] and self.over(backends, limits=limits)

    def _ended(self, backends: Sequence[BackendSpec], limits: Limits, *, share: int) -> str:
        return stopping.ended(
            self._ratios(backends),
            blocks=share * self._blocks(backends),
            seconds=share * self.spent,
            limits=limits,
        )

    def _blocks(self, backends: Sequence[BackendSpec]) -> int:
        """How many samples each of some backends has at the least."""
        return min(len(self.seconds[backend]) for backend in backends)

    def _ratios(self, backends: Sequence[BackendSpec]) -> Iterator[Ratio]:
        """Those of some backends to the baseline, one after the other as they are asked for."""
        baseline = self.seconds[BASELINE]
        for backend in backends:
            own = self.seconds[backend]
            blocks = [block for block in own if block in baseline]
            if backend != BASELINE and blocks:
                yield paired_ratio([own[b] for b in blocks], [baseline[b] for b in blocks])
