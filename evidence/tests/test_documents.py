"""The tables of the documents are those of what was counted, and their commands are accepted."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from evidence import cost, drawn, false_alarms, gates, pairs, slow_downs
from evidence.__main__ import main
from evidence.shared import ROOT, read_records
from segbench.measure.settings import GateSettings
from segbench.results.sources import read_run_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from evidence.shared import Record

METHOD, TRUST = (ROOT / "docs" / "why" / f"{name}.md" for name in ("method", "trust"))
README = ROOT / "evidence" / "README.md"
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs" / "why").glob("*.md"))]
KEPT = ROOT / "results" / "reference" / "trust"


def kept(pattern: str, suffix: str = ".json") -> list[Path]:
    """The files of a kind; the test is skipped where none was recorded."""
    if found := sorted(KEPT.glob(pattern + suffix)):
        return found
    pytest.skip(f"{KEPT.name}/{pattern}{suffix}: nothing was recorded")


@pytest.mark.parametrize(
    ("document", "pattern", "table"),
    [
        (TRUST, "false-alarms*", lambda record: false_alarms.tools_table(record.attempts)),
        (TRUST, "slowed*", lambda record: slow_downs.arms_table(record.searches)),
        (TRUST, "gate-identical*", lambda record: gates.runs_table(record.trials)),
        (TRUST, "gate-identical*", lambda record: gates.phases_table(record.trials)),
        (TRUST, "gate-planted*", lambda record: gates.kinds_table(record.trials)),
        (TRUST, "gate-slower*", lambda record: gates.found_table(record.trials)),
        (TRUST, "gate-slower*", lambda record: gates.phases_table(record.trials)),
    ],
)
def test_the_tables_are_those_of_the_records(
    document: Path, pattern: str, table: Callable[[Record], str]
) -> None:
    """What a document says is what was counted, in all sessions."""
    assert table(read_records(kept(pattern))) in document.read_text()


def test_the_cost_of_the_method_is_that_of_its_run() -> None:
    """What docs/why/trust.md says a run costs is added up from results/reference/smear."""
    (told,) = read_records(kept("cost")).costs
    assert cost.cost_table(told) in TRUST.read_text()
    (source,) = read_run_folder(ROOT / "results" / "reference" / "smear")
    # How fast a process answers is measured, not added up.
    assert dataclasses.replace(cost.cost_of(source.samples), answer=told.answer) == told


@pytest.mark.slow
def test_the_accuracy_is_that_of_the_images() -> None:
    """F1 in docs/why/method.md is what the command finds, where its images are at hand."""
    folder = os.environ.get("SEGBENCH_NUCLEI")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SEGBENCH_NUCLEI names no folder of nuclei")
    done = CliRunner().invoke(main, ["accuracy", folder])
    assert done.exit_code == 0, done.output
    told = {row[0]: row for row in map(_cells, METHOD.read_text().splitlines()) if len(row) == 8}
    for row in map(_cells, done.stdout.splitlines()[2:]):
        for column in (3, 6):
            # The newest libraries may find a cell more.
            assert float(told[row[0]][column]) == pytest.approx(float(row[column]), abs=0.01)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.slow
def test_the_gates_that_are_drawn_are_those_of_the_rounds() -> None:
    """What docs/why/trust.md says of drawn gates comes out of the rounds that are kept."""
    files = [pairs.read(path) for path in kept("gate-identical*", ".pairs.jsonl.gz")]
    threshold = GateSettings().threshold
    replayed, alarms, phases, *_ = drawn.drawn_tables(
        files, gates=drawn.GATES, rounds=drawn.ROUNDS, threshold=threshold, seed=0
    )
    text = TRUST.read_text()
    assert replayed in text
    assert alarms in text
    assert phases in text
    files = [pairs.read(path) for path in kept("gate-slower*", ".pairs.jsonl.gz")]
    assert drawn.replayed_table(files, threshold=threshold) in text


def test_the_evidence_names_all_its_commands() -> None:
    """Each command has a row in the table of evidence/README.md."""
    rows = re.findall(r"^\| `(\S+)` \|", README.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(main.commands)


@pytest.mark.parametrize(
    "document",
    [*DOCUMENTS, README, ROOT / "results" / "reference" / "README.md"],
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_the_commands_of_the_evidence_are_accepted(document: Path) -> None:
    """Each `python -m evidence` of a document has options that its command line knows."""
    text = " ".join(document.read_text().split())
    for line in re.findall(r"python -m evidence ([a-z][^`$#]*)", text):
        name, *words = shlex.split(line)
        context = main.make_context("evidence", [name])
        command = main.get_command(context, name)
        assert command is not None, name
        # Of a pattern a file; any, where none was recorded yet.
        words = [
            str(next(ROOT.glob(word), README)) if "*" in word or (ROOT / word).exists() else word
            for word in words
        ]
        command.make_context(name, words, parent=context)
