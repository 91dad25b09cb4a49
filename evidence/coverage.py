"""How often an interval covers the truth, simulated through the rule that ends a case of a run."""

from __future__ import annotations

import itertools
import math
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from evidence.shared import Coverage, Record, markdown, new_record, say, write_record
from segbench.measure.settings import RunSettings
from segbench.measure.stopping import LOOKS, settled
from segbench.stats import VERDICTS, of_rounds, verdicts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

# True ratios, and by how much the logarithms of round medians spread about them.
RATIOS = (1.0, 1.03, 1.08, 1.3)
SPREADS = (0.01, 0.02, 0.04, 0.08)
SHAPES = ("normal", "t3")

DRAWS = 10_000


def values_of(shape: str, size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Values of this shape about 0, of standard deviation 1."""
    if shape == "normal":
        return rng.normal(size=size)
    return rng.standard_t(3, size=size) / math.sqrt(3)


def covered(
    ratio: float, spread: float, shape: str, *, draws: int, rng: np.random.Generator
) -> Coverage:
    """Draw cases whose rounds end as those of a run do, and look at each when it has ended."""
    limits = RunSettings().limits
    looks = [look for look in LOOKS if look <= limits.rounds]
    inside, rounds = 0, 0
    said: Counter[str] = Counter()
    for logs in math.log(ratio) + spread * values_of(shape, (draws, looks[-1]), rng):
        for look in looks:
            found = of_rounds(logs[:look])
            if settled(found, precision=limits.precision):
                break
        inside += found.low <= ratio <= found.high
        rounds += found.rounds
        said.update(verdicts([found]))
    return Coverage(
        ratio=ratio,
        spread=spread,
        shape=shape,
        draws=draws,
        covered=inside / draws,
        rounds=rounds / draws,
        said={verdict: said[verdict] / draws for verdict in VERDICTS},
    )


def cells(*, draws: int, rng: np.random.Generator) -> Iterator[Coverage]:
    """Every ratio with every spread and shape."""
    for ratio, spread, shape in itertools.product(RATIOS, SPREADS, SHAPES):
        yield covered(ratio, spread, shape, draws=draws, rng=rng)


def tables(record: Record) -> list[str]:
    """Coverage and verdicts of each cell, and the lowest and highest of all."""
    if not record.coverages:
        return []
    shares = [each.covered for each in record.coverages]
    heads = ("Shape", "Spread", "True ratio", "Covered", "Rounds", *VERDICTS)
    rows = [
        (
            *(each.shape, f"{each.spread:.0%}", f"{each.ratio:g}"),
            *(f"{each.covered:.1%}", f"{each.rounds:.1f}"),
            *(f"{each.said[verdict]:.1%}" for verdict in VERDICTS),
        )
        for each in record.coverages
    ]
    note = (
        f"95% intervals cover the truth in {min(shares):.1%} to {max(shares):.1%} of the cases, in "
        f"{sum(shares) / len(shares):.1%} of all. Verdicts are those of a comparison by itself."
    )
    return [markdown(heads, rows), note]


@click.command()
@click.option("--draws", default=DRAWS, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="JSON for the counts.")
def coverage(*, draws: int, seed: int, out: Path | None) -> None:
    """Simulate intervals through the rule that ends a case, and count those that hold the truth."""
    record = new_record(sys.argv[1:])
    for cell in cells(draws=draws, rng=np.random.default_rng(seed)):
        say(f"{cell.shape} {cell.spread:.0%} {cell.ratio:g}: {cell.covered:.1%}")
        record.coverages.append(cell)
        if out:
            write_record(record, out)
    click.echo("\n\n".join(tables(record)))
