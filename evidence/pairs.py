"""The rounds of gates as they were measured, kept small enough to be committed."""

from __future__ import annotations

import gzip
import itertools
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evidence.shared import ToolError
from segbench import jsonl
from segbench.backends.registry import BackendSpec
from segbench.gate.calibrate import SIDES
from segbench.results import records
from segbench.results.outcome import BASE, HEAD
from segbench.results.records import Case, Sample, sample_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

# A head that is the same code: another tree, and so an environment of its own, but one program.
SAME = "nothing but a comment"

# Digits that are kept: the least that is taken for a spread is 0.3%.
DIGITS = 5


@dataclass(frozen=True, kw_only=True)
class Round:
    """A case in one round of a gate, as a line of the file."""

    run: int
    head: str  # what the head has that the base has not
    phase: str
    backend: str
    n_images: int
    round: int
    # Seconds of a call: of the base its wall time and its CPU time, then of the head.
    blocks: tuple[tuple[float, float, float, float], ...]
    peak_mib: tuple[float | None, float | None]  # of the base and of the head

    @property
    def case(self) -> Case:
        """The case."""
        return Case(BackendSpec.named(self.backend), self.n_images, self.phase)

    def samples(self, *, number: int) -> Iterator[Sample]:
        """The same as samples of a gate, in a round of this number."""
        for block, (*base, head, head_cpu) in enumerate(self.blocks, start=1):
            times = {BASE: base, HEAD: [head, head_cpu]}
            for (side, (wall, cpu)), peak in zip(times.items(), self.peak_mib, strict=True):
                yield sample_of(
                    self.case,
                    round=number,
                    block=block,
                    side=side,
                    seconds=wall,
                    cpu_seconds=cpu,
                    peak_mib=peak,
                    status="ok",
                    calls=1,
                )


def rounds_of(
    samples: Sequence[Sample], *, run: int, head: str, sides: tuple[str, str] = (BASE, HEAD)
) -> list[Round]:
    """The rounds in samples of a gate, without blocks in which a side failed."""
    found: dict[tuple[Case, int], dict[int, dict[str, Sample]]] = {}
    for sample in samples:
        if sample.status == "ok" and sample.side in sides:
            blocks = found.setdefault((sample.case, sample.round), {})
            blocks.setdefault(sample.block, {})[sample.side] = sample
    rounds = []
    for (case, number), blocks in found.items():
        both = [[own[side] for side in sides] for own in blocks.values() if len(own) == len(sides)]
        if both:
            rounds.append(
                Round(
                    run=run,
                    head=head,
                    phase=case.phase,
                    backend=str(case.backend),
                    n_images=case.n_images,
                    round=number,
                    blocks=tuple((*_times(base), *_times(other)) for base, other in both),
                    peak_mib=(both[0][0].peak_mib, both[0][1].peak_mib),
                )
            )
    return rounds


def _times(sample: Sample) -> tuple[float, float]:
    wall, cpu = (
        float(f"{value or 0.0:.{DIGITS}g}") for value in (sample.seconds, sample.cpu_seconds)
    )
    return wall, cpu


def beside(out: Path) -> Path:
    """File of the rounds beside that of a record."""
    return out.with_suffix(".pairs.jsonl.gz")


def write(path: Path, rounds: Sequence[Round], *, anew: bool) -> None:
    """Add the rounds of a gate to a file; `anew`: in place of what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # In one piece, so that a file that is broken off has whole gates.
    text = gzip.compress(b"".join(map(jsonl.encode, rounds)), mtime=0)
    with path.open("wb" if anew else "ab") as file:
        file.write(text)


def read(path: Path) -> list[Round]:
    """Read a file of rounds, or the ``gate.jsonl`` of a calibration.

    Raises
    ------
    ToolError
        If it is neither.
    """
    if path.name == records.GATE_NAME:
        return _of_calibration(path)
    try:
        with gzip.open(path) as file:
            found = [jsonl.decode(line, Round) for line in file]
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ToolError(f"{path}: no rounds of gates ({error})") from error
    if not found:
        raise ToolError(f"{path}: no rounds of gates in it")
    return found


def _of_calibration(path: Path) -> list[Round]:
    """Its first side beside each of the others; the second is the same code."""
    samples = records.read(path).samples
    first, *others = SIDES
    names = {side: SAME if not SIDES[side] else f"each call made {side}" for side in others}
    each = (
        rounds_of(samples, run=1, head=head, sides=(first, side)) for side, head in names.items()
    )
    if found := list(itertools.chain.from_iterable(each)):
        return found
    raise ToolError(f"{path}: not the record of a calibration (segbench gate --calibrate)")
