"""Runs of many machines on one page: what holds on all, and what differs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from segbench.cli import main
from segbench.report import machines
from segbench.results.records import RUN_NAME
from tests import sent
from tests.made_up import DASK, POOL
from tests.pages import read_page
from tests.test_verify import edited

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "<script>alert(1)<"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three machines: on one of them Dask is what is fast; a name is hostile."""
    there = tmp_path / "machines"
    sent.write(there / "abacus" / "first")
    sent.write(there / HOSTILE / "second", factors={POOL: 3.0, DASK: 0.3})
    sent.write(there / "third" / "run", started="2026-03-04T05:06:07+00:00")
    return there


def test_what_holds_on_all_and_what_differs_is_told(folder: Path, tmp_path: Path) -> None:
    """Kinds that all machines name are told once, and where they name others, that."""
    result = CliRunner().invoke(main, ["report", str(folder), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0
    told = " ".join(result.stdout.split())
    assert "What to use differs between machines for 1 and 20 images of 192 × 256 pixels." in told
    only = machines.runs_of(folder)
    del only[HOSTILE]
    named, wrong = machines.read(only)
    assert not wrong
    assert machines.sentences(named) == [
        "On all machines that measured it, use a pool without Dask for 1 and 20 images of 192 × 256 pixels."
    ]


def test_the_page_shows_every_machine_and_runs_nothing(folder: Path, tmp_path: Path) -> None:
    """Names of machines are text; all cases of all machines are in one table, as in its CSV file."""
    named, _ = machines.read(machines.runs_of(folder))
    index = machines.write(named, tmp_path / "out")
    html = index.read_text()
    assert HOSTILE not in html
    assert "&lt;script&gt;alert(1)&lt;" in html
    shown = read_page(index)
    assert "Results of 3 machines" in shown.text
    rows = (tmp_path / "out" / "tables" / "cases.csv").read_text().splitlines()
    assert len(rows) == 1 + 3 * len(sent.BACKENDS) * len(sent.SIZES)


def test_a_run_with_a_fault_is_left_out(folder: Path, tmp_path: Path) -> None:
    """What was edited is named with its fault, the others are shown, and the exit status is 2."""
    edited("Abacus", "Cray")(folder / "third" / "run")
    result = CliRunner().invoke(main, ["report", str(folder), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "third/run: line 1: the digest is that of other contents" in result.stderr
    assert "third" not in (tmp_path / "out" / "tables" / "choices.csv").read_text()


def test_a_link_to_a_run_is_not_followed(folder: Path, tmp_path: Path) -> None:
    """Neither a machine's folder nor a run's may lead elsewhere."""
    elsewhere = sent.write(tmp_path / "private" / "run")
    (folder / "linked").symlink_to(elsewhere.parent)
    (folder / "third" / "other").symlink_to(elsewhere)
    _, wrong = machines.read(machines.runs_of(folder))
    assert len(wrong) == 2
    assert all("is a link; put there what it leads to" in line for line in wrong)


def test_runs_of_one_machine_say_so(tmp_path: Path) -> None:
    """One machine is no reason to speak of all."""
    sent.write(tmp_path / "machines" / "abacus")
    named, _ = machines.read(machines.runs_of(tmp_path / "machines"))
    (told,) = machines.sentences(named)
    assert told == "So far there are results of one machine, abacus. Others may differ."


def test_a_folder_of_runs_is_none_of_machines(tmp_path: Path) -> None:
    """Where the folder itself holds runs, of whatever name, the newest is reported as before."""
    sent.write(tmp_path / "runs" / "one")
    assert machines.runs_of(tmp_path / "runs") == {}
    assert machines.runs_of(tmp_path / "runs" / "one") == {}
    assert [*machines.runs_of(tmp_path)] == ["runs"]
    assert (tmp_path / "runs" / "one" / RUN_NAME).exists()
