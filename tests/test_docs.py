"""What the README and the documents say can be done."""

from __future__ import annotations

import gzip
import re
import shlex
from pathlib import Path

import pytest

from segbench import stats
from segbench.cli import main
from segbench.measure import engine, stopping, worker, workers
from segbench.measure.settings import (
    MEMORY_SHARE,
    QUICK_BACKENDS,
    QUICK_SIZES,
    RunSettings,
    Settings,
)
from segbench.report import presentation
from segbench.results.records import RUN_NAME, read

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


IN_WORDS = {3: "three", 5: "five"}


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
        if "://" not in target:
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
        f"after {RunSettings.rounds} rounds (`--rounds`)",
        f"up to {IN_WORDS[stopping.MOST_PAIRS]} such pairs of blocks in a round",
        f"no further pair after {stopping.ARM_SECONDS:g} seconds for each backend",
        f"but not before the {IN_WORDS[stats.MIN_ROUNDS]} rounds",
        f"warmed up with the first {engine.FEW_IMAGES} of its images",
        f"after {RunSettings.case_seconds:g} seconds inside timed calls (`--case-seconds`)",
        f"where the interval lies further from 1 than {stats.MARGIN:.0%}",
        f"whole interval lies within {stats.MARGIN:.0%} of 1",
        f"within a factor of {presentation.ABOUT:g}",
        f"A call may take {Settings.time_limit:g} s (`--time-limit`)",
        f"may hold {MEMORY_SHARE:.0%} of the memory that was free",
    ],
)
def test_the_method_states_what_the_code_does(words: str) -> None:
    """The figures of docs/method.md on how is measured are the constants of the code."""
    assert words in " ".join((ROOT / "docs" / "method.md").read_text().split())


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "results" / "reference").rglob("*.json*")),
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_no_path_of_a_machine_is_kept(path: Path) -> None:
    """What was measured says what on, and not where its files lay."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    assert not re.search(r"[\s\"'=](/[\w.-]+){2,}", content.decode())


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
