"""Of the comparisons of a run that differ much: how many are decided, by size?"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evidence.shared import ToolError, compared, share, table
from segbench.results import sources

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from evidence.shared import Comparison

DIFFER = 0.3


def decided_table(comparisons: Sequence[Comparison], *, differ: float) -> str:
    """One row a size: the verdicts on comparisons whose estimate differs by this share at least."""
    great = [each for each in comparisons if abs(math.log(each.ratio)) >= math.log1p(differ)]

    def decided(own: list[Comparison]) -> str:
        return share(sum(each.verdict in ("faster", "slower") for each in own), len(own))

    def said(start: str) -> Callable[[list[Comparison]], str]:
        return lambda own: str(sum(each.verdict.startswith(start) for each in own))

    columns = {"Decided": decided, "Probably": said("probably"), "Undecided": said("undecided")}
    return table(("Images",), great, lambda each: (str(each.n_images),), columns)


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--differ", type=click.FloatRange(0), default=DIFFER, show_default=True)
def decided(*, run_dir: Path, differ: float) -> None:
    """Count the comparisons of a run that differ by 30% or more, and those of them that are decided."""
    (source, *others) = sources.read_run_folder(run_dir)
    try:
        if others:
            raise ToolError(f"{run_dir}: a run of several shapes; measure one")  # noqa: TRY301  (shown as the others are)
        click.echo(decided_table(compared(source), differ=differ))
    except ToolError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"\nThe run took {source.samples['at'].max():.0f} s until its last sample.")
