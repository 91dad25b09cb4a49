"""Do two reports of the same results say the same numbers? To be asked before and after a change."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import click

from segbench.stats import VERDICTS

# A time, a ratio with or without its interval, a share, a plain number; and what is said of them.
TOLD = re.compile(
    r"\d[\d.]*(?:e[+-]?\d+)?(?: ?(?:ns|µs|ms|s|MiB|GiB)\b|×|%)?|"
    + "|".join(map(re.escape, VERDICTS))
)


@click.command("same-numbers")
@click.argument("before", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("after", type=click.Path(path_type=Path, exists=True, file_okay=False))
def same_numbers(*, before: Path, after: Path) -> None:
    """Compare the CSV files of two reports; ends with status 1 where a number or verdict is gone.

    Files may have other columns, in another order: what each row held must be in it still.
    """
    gone = 0
    for path in sorted((before / "tables").glob("*.csv")):
        other = after / "tables" / path.name
        if other.exists() and other.read_bytes() == path.read_bytes():
            continue
        lost = missing(rows_of(path), rows_of(other) if other.exists() else {})
        gone += sum(lost.values())
        click.echo(f"{path.name}: other bytes, {lost.total()} numbers or verdicts are gone")
    click.echo(f"{gone} numbers or verdicts of {before} are not in {after}")
    click.get_current_context().exit(1 if gone else 0)


def rows_of(path: Path) -> dict[tuple[str, ...], Counter[str]]:
    """What is told in each row, by its first two cells."""
    with path.open(encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file)
    told: dict[tuple[str, ...], Counter[str]] = {}
    for row in rows:
        found = TOLD.findall(" ".join(row[2:]))
        told[tuple(row[:2])] = told.get(tuple(row[:2]), Counter[str]()) + Counter(found)
    return told


def missing(
    before: dict[tuple[str, ...], Counter[str]], after: dict[tuple[str, ...], Counter[str]]
) -> Counter[str]:
    """What rows told before and the same rows tell no longer."""
    lost: Counter[str] = Counter()
    for key, told in before.items():
        lost += told - after.get(key, Counter())
    return lost
