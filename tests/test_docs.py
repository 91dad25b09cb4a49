"""What the README and the documents say can be done."""

from __future__ import annotations

import dataclasses
import re
import shlex
import sys
from pathlib import Path

import pytest

from segbench import stats
from segbench.cli import main
from segbench.measure import asking, engine, worker
from segbench.measure.settings import BACKENDS, MEMORY_SHARE, QUICK_BACKENDS, QUICK_SIZES, Settings
from segbench.measure.stopping import Limits
from segbench.report import presentation
from segbench.results.records import read_run
from segbench.results.sources import read_run_folder

# The scripts are no part of the package, and their names are there for the type checker too.
sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))

import gate_trials
import trust
import trust_tools

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
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
        f"as many as fill {asking.SAMPLE_SECONDS * 1e3:g} ms",
        f"more than {worker.WARM_SHARE:.0%} faster than the best before",
        f"unless it took {worker.WARM_EXCESS:g} times what the last size makes expect",
        f"at a level of {stats.ALPHA:.0%} by itself",
        f"at most {stats.FALSE_SHARE:.0%} are expected not to be (Benjamini and Hochberg)",
        f"narrower than plus and minus {Limits.precision:.0%}",
        f"after {Limits.blocks} blocks (`--blocks`)",
        f"after {Limits.seconds:g} seconds inside timed calls (`--case-seconds`)",
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


def test_the_tables_of_the_method_are_those_of_its_records() -> None:
    """What docs/method.md says of false alarms and slow-downs is what was counted."""
    text = (ROOT / "docs" / "method.md").read_text()
    names = ("false-alarms-segbench", "false-alarms-the-others", "slowed")
    files = [TRUST / f"{name}.json" for name in names]
    alarms, others, slowed = trust_tools.read_records(files, trust.Counts)
    assert trust.false_alarms_table([*alarms.attempts, *others.attempts]) in text
    assert trust.slowed_table(slowed.searches, by_case=False) in text


def test_the_tables_of_the_regressions_are_those_of_their_records() -> None:
    """What docs/regressions.md says of gates is what they said."""
    text = (ROOT / "docs" / "regressions.md").read_text()
    assert gate_trials.runs_table(trials("identical")) in text
    assert gate_trials.kinds_table(trials("planted")) in text
    assert gate_trials.found_table(trials("slower")) in text


def trials(command: str) -> list[gate_trials.Trial]:
    """What was counted by a command of docs/gate_trials.py, in all sessions and with all options."""
    files = sorted(TRUST.glob(f"gate-{command}*.json"))
    records = trust_tools.read_records(files, gate_trials.Trials)
    return [each for record in records for each in record.trials]


def test_the_cost_of_the_method_is_that_of_its_run() -> None:
    """What docs/method.md says a run costs is added up from results/reference/smear."""
    (kept,) = trust_tools.read_records([TRUST / "cost.json"], trust.Counts)
    assert trust.cost_table(kept.costs[0]) in (ROOT / "docs" / "method.md").read_text()
    source = read_run_folder(ROOT / "results" / "reference" / "smear")
    # How fast a process answers is measured, not added up.
    found = dataclasses.replace(trust.cost_of(source.samples), answer=kept.costs[0].answer)
    assert found == kept.costs[0]


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
    header = read_run(ROOT / "results" / "reference" / "smear").header
    versions = header.versions
    python = header.machine["python"].split()[1].rpartition(".")[0]
    dask, skimage = (versions[name].rpartition(".")[0] for name in ("dask", "scikit-image"))
    height, width = header.dataset["shape"][:2]
    words = (
        f"{header.machine['cpu']}, Python {python}, Dask {dask}, scikit-image {skimage}), generated "
        f"smears of {height} × {width} pixels"
    )
    assert words in " ".join(README.split())
