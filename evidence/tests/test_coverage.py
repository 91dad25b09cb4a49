"""Intervals through the rule that ends a case, simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

from evidence.__main__ import main
from evidence.coverage import covered, tables
from evidence.shared import read_records
from segbench.measure.stopping import LOOKS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("ratio", "spread", "said", "rounds"),
    [(1.0, 0.001, "no difference", LOOKS[0]), (1.3, 0.001, "slower", LOOKS[0])],
)
def test_clear_cases_end_soon(ratio: float, spread: float, said: str, rounds: int) -> None:
    """Where next to nothing varies a case ends at the first look, with the verdict that is true."""
    found = covered(ratio, spread, "normal", draws=20, rng=np.random.default_rng(0))
    assert found.said[said] == 1.0
    assert (found.rounds, found.covered) == (rounds, 1.0)


def test_the_command_keeps_and_shows_its_record(tmp_path: Path) -> None:
    """Every ratio, spread and shape has a row, and what was kept shows the same table."""
    out = tmp_path / "coverage.json"
    done = CliRunner().invoke(main, ["coverage", "--draws", "3", "--out", str(out)])
    assert done.exit_code == 0
    record = read_records([out])
    assert len(record.coverages) == 32
    assert all(0.0 <= each.covered <= 1.0 for each in record.coverages)
    shown = "\n\n".join(tables(record))
    assert shown in done.output
    assert shown in CliRunner().invoke(main, ["show", str(out)]).output
