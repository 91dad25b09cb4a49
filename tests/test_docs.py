"""What the README and the documents say can be done."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path

import pytest

from evidence import cost, false_alarms, gates, slow_downs
from evidence.__main__ import main as evidence_main
from evidence.shared import Record, read_records
from segbench import stats
from segbench.cli import main
from segbench.measure import engine, worker, workers
from segbench.measure.settings import (
    BACKENDS,
    MEMORY_SHARE,
    QUICK_BACKENDS,
    QUICK_SIZES,
    RunSettings,
    Settings,
)
from segbench.report import presentation
from segbench.results.records import RUN_NAME, read
from segbench.results.sources import read_run_folder

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
EVIDENCE = [ROOT / "evidence" / "README.md", ROOT / "results" / "reference" / "README.md"]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(section: str) -> list[str]:
    """The commands under a heading of the README."""
    text = README.split(f"## {section}\n", 1)[1].split("\n## ", 1)[0]
    return [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]


def test_the_quick_start_is_two_commands_of_the_makefile() -> None:
    """`make bench` and `make test`, and the Makefile has both."""
    assert commands("Quick start") == ["make bench", "make test"]
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^bench:.*\n\t.*segbench run \$\(BENCH_ARGS\)", makefile, re.MULTILINE)
    assert "BENCH_ARGS ?= --quick" in makefile
    assert re.search(r"^test:.*\n\t.*pytest", makefile, re.MULTILINE)


def test_the_readmes_figure_is_that_of_a_report() -> None:
    """`make figures` makes the report of the reference run, and copies the figure that is shown."""
    makefile = (ROOT / "Makefile").read_text()
    lines = re.search(
        r"^figures:.*\n.*segbench report results/reference/smear --out (\S+)\n\tcp (\S+) (\S+)$",
        makefile,
        re.MULTILINE,
    )
    assert lines is not None
    folder, source, target = lines.groups()
    assert source == f"{folder}/figures/{Path(target).name}"
    assert f"]({target})" in README


def test_the_readme_names_what_is_quick() -> None:
    """The sizes and the number of backends that the README gives for `make bench` are --quick's."""
    assert len(QUICK_BACKENDS) == 5
    assert {backend.reader for backend in QUICK_BACKENDS} == {
        backend.reader for backend in BACKENDS
    }
    *first, last = QUICK_SIZES
    sizes = f"the sizes {', '.join(map(str, first))} and {last} with five backends"
    assert sizes in " ".join(README.split())


@pytest.mark.parametrize(
    "command",
    [
        line
        for line in re.findall(r"^\$ (.*)$", README, re.MULTILINE)
        if line.startswith("segbench ")
    ],
)
def test_the_commands_of_the_readme_are_accepted(command: str) -> None:
    """Each segbench command of the README has options that the command line knows."""
    _, name, *words = shlex.split(command)
    context = main.make_context("segbench", [name])
    subcommand = main.get_command(context, name)
    assert subcommand is not None
    subcommand.make_context(name, words, parent=context)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link of a document is a file of the repository."""
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize(
    "words",
    [
        f"as many as fill {workers.SAMPLE_SECONDS * 1e3:g} ms",
        f"more than {worker.WARM_SHARE:.0%} faster than the best before",
        f"unless it took {worker.WARM_EXCESS:g} times what the last size makes expect",
        f"at a level of {stats.ALPHA:.0%} by itself",
        f"at most {stats.FALSE_SHARE:.0%} are expected not to be (Benjamini and Hochberg)",
        f"narrower than plus and minus {RunSettings.precision:.0%}",
        f"after {RunSettings.blocks} blocks (`--blocks`)",
        f"after {RunSettings.case_seconds:g} seconds inside timed calls (`--case-seconds`)",
        f"further from 1 than {stats.MARGIN:.0%}",
        f"whole interval lies within {stats.MARGIN:.0%} of 1",
        f"within a factor of {1 + presentation.ABOUT:g}",
        f"lies further from 1 than {stats.RUNS_MARGIN:.2%} ({stats.MARGIN:.0%} for each run",
        f"sizes of up to {engine.ANEW_IMAGES} images are measured in two rounds",
        f"A call may take {Settings.time_limit:g} s (`--time-limit`)",
        f"may hold {MEMORY_SHARE:.0%} of the memory that was free",
    ],
)
def test_the_method_states_what_the_code_does(words: str) -> None:
    """The figures of docs/method.md on how is measured are the constants of the code."""
    assert words in " ".join((ROOT / "docs" / "method.md").read_text().split())


# What was counted for the documents.
TRUST = ROOT / "results" / "reference" / "trust"


def kept(*patterns: str) -> Record:
    """What was counted for the documents, of all the files together."""
    return read_records([path for each in patterns for path in sorted(TRUST.glob(f"{each}.json"))])


def test_the_tables_of_the_method_are_those_of_its_records() -> None:
    """What docs/method.md says of false alarms and slow-downs is what was counted."""
    text = (ROOT / "docs" / "method.md").read_text()
    alarms = kept("false-alarms-segbench", "false-alarms-the-others")
    assert false_alarms.tools_table(alarms.attempts) in text
    assert slow_downs.arms_table(kept("slowed").searches) in text


def test_the_tables_of_the_regressions_are_those_of_their_records() -> None:
    """What docs/regressions.md says of gates is what they said, in all sessions."""
    text = (ROOT / "docs" / "regressions.md").read_text()
    assert gates.runs_table(kept("gate-identical*").trials) in text
    assert gates.kinds_table(kept("gate-planted*").trials) in text
    assert gates.found_table(kept("gate-slower*").trials) in text


def test_the_cost_of_the_method_is_that_of_its_run() -> None:
    """What docs/method.md says a run costs is added up from results/reference/smear."""
    (told,) = kept("cost").costs
    assert cost.cost_table(told) in (ROOT / "docs" / "method.md").read_text()
    source = read_run_folder(ROOT / "results" / "reference" / "smear")
    # How fast a process answers is measured, not added up.
    assert dataclasses.replace(cost.cost_of(source.samples), answer=told.answer) == told


def test_the_evidence_names_all_its_commands() -> None:
    """Each command has a row in the table of evidence/README.md."""
    rows = re.findall(r"^\| `(\S+)` \|", EVIDENCE[0].read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(evidence_main.commands)


@pytest.mark.parametrize("document", [*DOCUMENTS, *EVIDENCE], ids=lambda path: path.name)
def test_the_commands_of_the_evidence_are_accepted(document: Path) -> None:
    """Each `python -m evidence` of a document has options that its command line knows."""
    text = " ".join(document.read_text().split())
    for line in re.findall(r"python -m evidence ([a-z][^`$#]*)", text):
        name, *words = shlex.split(line)
        context = evidence_main.make_context("evidence", [name])
        command = evidence_main.get_command(context, name)
        assert command is not None, name
        words = [str(file) for word in words for file in (*ROOT.glob(word), word)[:1]]
        command.make_context(name, words, parent=context)


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "results" / "reference").rglob("*.json*")),
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_no_path_of_a_machine_is_kept(path: Path) -> None:
    """What was measured says what on, and not where its files lay."""
    assert not re.search(r"[\s\"'=](/[\w.-]+){2,}", path.read_text())


def test_the_readme_describes_the_run_behind_its_figure() -> None:
    """Machine, versions and images that the README names are those of results/reference/smear."""
    header = read(ROOT / "results" / "reference" / "smear" / RUN_NAME).header
    versions = header.versions
    python = header.machine["python"].split()[1].rpartition(".")[0]
    dask, skimage = (versions[name].rpartition(".")[0] for name in ("dask", "scikit-image"))
    height, width = header.dataset["shape"][:2]
    words = (
        f"{header.machine['cpu']}, Python {python}, Dask {dask}, scikit-image {skimage}), generated "
        f"smears of {height} × {width} pixels"
    )
    assert words in " ".join(README.split())
