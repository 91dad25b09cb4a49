"""What the tests of the package share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.testing import CliRunner, Result

from evidence.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path


def cells(table: str) -> list[list[str]]:
    """The rows of a table in Markdown, without its headings."""
    lines = [[cell.strip() for cell in line[1:-1].split("|")] for line in table.splitlines()]
    assert len({len(line) for line in lines}) == 1
    return lines[2:]


def run(*words: str | Path) -> Result:
    """Run a command of the package in this process."""
    return CliRunner().invoke(main, list(map(str, words)))
