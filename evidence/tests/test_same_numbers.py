"""Two reports of the same results compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from evidence.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

TABLE = (
    "Backend,Images,Time,Ratio\nserial,20,116 ms,1.00×\npool,20,63.0 ms,0.54× (0.49–0.65) faster\n"
)
TURNED = (
    "Backend,Images,Ratio,Time,More\npool,20,0.54× (0.49–0.65) faster,63.0 ms,–\n"
    "serial,20,1.00×,116 ms,–\n"
)


@pytest.mark.parametrize(
    ("after", "status"),
    [
        (TABLE, 0),
        (TURNED, 0),
        (TURNED.replace("0.54", "0.55"), 1),
        (TURNED.replace("faster", "undecided"), 1),
        (TURNED.replace("116 ms", "116 s"), 1),
        (TURNED.replace("pool,20", "pool,50"), 1),
        (None, 1),
    ],
)
def test_a_number_that_is_gone_is_found(tmp_path: Path, after: str | None, status: int) -> None:
    """Rows and columns may change places; a time, ratio, interval or verdict that is gone is told."""
    for name, text in (("before", TABLE), ("after", after)):
        (tmp_path / name / "tables").mkdir(parents=True)
        if text is not None:
            (tmp_path / name / "tables" / "times.csv").write_text(text, encoding="utf-8")
    words = ["same-numbers", str(tmp_path / "before"), str(tmp_path / "after")]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == status, result.output
