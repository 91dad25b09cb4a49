"""Text of others, as people may be shown it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segbench.text import BYTES, csv_text, one_line, written_out


@given(st.text())
def test_what_is_written_out_can_be_printed(text: str) -> None:
    """Nothing is left that a terminal would obey; what can be printed stays as it is."""
    assert written_out(text).isprintable()
    assert one_line(text).isprintable()
    if text.isprintable():
        assert written_out(text) == text


def test_it_is_written_as_python_writes_it() -> None:
    """Such as an escape, a byte that is no text, and a turn of the direction of writing."""
    assert written_out("a\x1b[31m\udcff\u202eb") == r"a\x1b[31m\udcff\u202eb"
    assert written_out("a\udcff\n", keep=BYTES) == "a\udcff" + r"\n"
    assert one_line("a\n  b\t\x07") == r"a b \x07"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", " =", "\uff1d", "\uff20"])
def test_no_cell_of_a_table_is_a_formula(start: str) -> None:
    """Whatever stands in front of the sign that begins one."""
    assert csv_text(f"{start}cmd|' /C calc'!A0").startswith("'")


@pytest.mark.parametrize("start", ["\t=", "\r=", "\n=", "\x00=", "\u200b=", "\xa0=", "\u3000="])
def test_what_can_not_be_seen_does_not_hide_one(start: str) -> None:
    """It is written out, and what comes behind it begins nothing."""
    assert csv_text(f"{start}1+1")[0] in "\\'"


def test_other_text_stays() -> None:
    """Names of files are as they were."""
    assert csv_text("a=1, b.png") == "a=1, b.png"
