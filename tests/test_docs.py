"""What the README and the documents say can be done."""

from __future__ import annotations

import gzip
import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from segbench import __version__, stats
from segbench.backends import phases
from segbench.backends.registry import BASELINE
from segbench.cli import main
from segbench.images import datasets
from segbench.images.origin import CELLS
from segbench.measure import engine, stopping, worker, workers
from segbench.measure.settings import (
    MEMORY_SHARE,
    QUICK_BACKENDS,
    QUICK_SIZES,
    RunSettings,
    Settings,
)
from segbench.pipeline import PipelineParams
from segbench.report import presentation
from segbench.results.records import RUN_NAME, read

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [path for path in sorted((ROOT / "docs").rglob("*.md")) if "_made" not in path.parts]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *PAGES]
UPSTREAM = ROOT / "docs" / "upstream"
TRAPS = (ROOT / "docs" / "why" / "traps.md").read_text()


IN_WORDS = {3: "three", 5: "five"}


def commands(section: str) -> list[str]:
    """The commands under a heading of the README."""
    text = README.split(f"## {section}\n", 1)[1].split("\n## ", 1)[0]
    return [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]


def test_the_quick_start_is_two_commands_of_the_makefile() -> None:
    """`make bench` and `make test`, and the Makefile has both."""
    assert commands("Quick start")[:2] == ["make bench", "make test"]
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^bench:.*\n\t.*segbench run \$\(BENCH_ARGS\)", makefile, re.MULTILINE)
    assert "BENCH_ARGS ?= --quick" in makefile
    assert re.search(r"^test:.*\n\t.*pytest", makefile, re.MULTILINE)


@pytest.mark.parametrize(
    ("run", "figure", "shown"),
    [("smear", "pipeline.svg", "pipeline.svg"), ("shapes", "1-best-map-pipeline.svg", "map.svg")],
)
def test_the_readmes_figures_are_those_of_reports(run: str, figure: str, shown: str) -> None:
    """`make figures` makes the reports of the reference runs, and copies the figures that are shown."""
    makefile = (ROOT / "Makefile").read_text()
    folder = re.search(rf"segbench report results/reference/{run} --out (\S+)\n", makefile)
    assert folder is not None
    assert f"cp {folder[1]}/figures/{figure} docs/{shown}\n" in makefile
    assert f'src="docs/{shown}"' in README


def test_the_readme_shows_what_is_printed(tmp_path: Path) -> None:
    """The answer in the README is what `segbench report` prints of the reference run."""
    source = str(ROOT / "results" / "reference" / "smear")
    result = CliRunner().invoke(main, ["report", source, "--out", str(tmp_path)])
    assert result.exit_code == 0
    printed = " ".join(result.output.split())
    quoted = re.findall(r"^> (.+(?:\n> .+)*)", README, re.MULTILINE)
    assert len(quoted) == 2
    for paragraph in quoted:
        assert " ".join(paragraph.replace("\n> ", " ").split()) in printed


def test_the_release_is_one() -> None:
    """The version is that of the newest entry of the changelog and of the citation, with one date."""
    changelog, citation = (ROOT / name for name in ("CHANGELOG.md", "CITATION.cff"))
    newest = re.search(r"^## (\S+) \((\S+)\)$", changelog.read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == __version__
    for line in (f"version: {newest[1]}", f"date-released: {newest[2]}"):
        assert line in citation.read_text().splitlines()


def test_the_readme_names_what_is_quick() -> None:
    """The sizes and the number of backends that the README gives for `make bench` are --quick's."""
    assert len(QUICK_BACKENDS) == 5
    *first, last = QUICK_SIZES
    sizes = f"measures {', '.join(map(str, first))} and {last} images with five backends"
    assert sizes in " ".join(README.split())


@pytest.mark.parametrize(
    "command",
    [
        line
        for document in DOCUMENTS
        if document.name != "backends.md"  # whose package is not installed
        for line in re.findall(r"^\$ (.*)$", document.read_text(), re.MULTILINE)
        if line.startswith("segbench ")
    ],
)
def test_the_commands_of_the_documents_are_accepted(command: str) -> None:
    """Each segbench command of the README and docs/ has options that the command line knows."""
    _, name, *words = shlex.split(command)
    context = main.make_context("segbench", [name])
    subcommand = main.get_command(context, name)
    assert subcommand is not None
    subcommand.make_context(name, words, parent=context)


@pytest.mark.parametrize("document", sorted(ROOT.glob("*.md")), ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link beside the site is a file of the repository; `make docs` checks those of the site."""
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize(
    "words",
    [
        f"as many as fill {workers.SAMPLE_SECONDS * 1e3:g} ms",
        f"more than {worker.WARM_SHARE:.0%} faster than the best before",
        f"unless it took {worker.WARM_EXCESS:g} times what the previous size suggests",
        f"at a level of {stats.ALPHA:.0%} by itself",
        f"at most {stats.FALSE_SHARE:.0%} are expected to be false (Benjamini and Hochberg)",
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
    """The figures of docs/why/method.md on how is measured are the constants of the code."""
    assert words in " ".join((ROOT / "docs" / "why" / "method.md").read_text().split())


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
        f"{header.machine['cpu']}, Python {python}, Dask {dask}, scikit-image {skimage}) and "
        f"generated smears of {height} × {width} pixels"
    )
    assert words in " ".join(README.split())


def run_python(code: str, *arguments: str, folder: Path) -> str:
    """What a script prints, in an interpreter of its own."""
    file = folder / "script.py"
    file.write_text(code)
    done = subprocess.run(  # noqa: S603  (this interpreter, on a script of the documents)
        [sys.executable, str(file), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def skip_unless_installed(versions: str) -> None:
    """Skip a test whose output is that of other versions, given as in "dask-image 2026.5"."""
    for library, of in re.findall(
        r"\b(dask-image|Dask|pims|scikit-image|NumPy) ([\d.]*\d)", versions
    ):
        if not f"{version(library.lower())}.".startswith(f"{of}."):
            pytest.skip(f"the output is that of {library} {of}")


@pytest.mark.parametrize("script", sorted(UPSTREAM.glob("[!_]*.py")), ids=lambda path: path.stem)
def test_what_is_wrong_upstream_is_still_so(script: Path, tmp_path: Path) -> None:
    """Each script ends with a verdict, and its page shows what it prints with the page's versions."""
    printed = run_python(script.read_text(), folder=tmp_path)
    assert printed.splitlines()[-1] in {"still there", "mended"}
    page = script.with_suffix(".md").read_text()
    (included,) = re.findall(r"^```\{literalinclude\} (.*)$", page, re.MULTILINE)
    assert included == script.name
    ((versions, shown),) = re.findall(
        r"^With (.*), \[the script\]\(.*\) prints:\n\n```text\n(.*?)```$",
        page,
        re.MULTILINE | re.DOTALL,
    )
    skip_unless_installed(versions)
    assert printed == shown


def test_each_page_upstream_has_its_script() -> None:
    """Pages and scripts are pairs; the overview lists all pages beside it."""
    pages = {path.stem for path in UPSTREAM.glob("*.md")} - {"index"}
    assert pages == {path.stem for path in UPSTREAM.glob("[!_]*.py")}


@pytest.mark.parametrize(
    ("scripts", "status", "lines"),
    [
        (["print('x', 'still there', sep='\\n')"], 0, ["0: still there ()"]),
        (["print('still there')", "print('mended')"], 1, ["0: still there ()", "1: mended ()"]),
        (["raise SystemExit('no file')"], 1, ["0: failed, no file ()"]),
        (["pass"], 1, ["0:  ()"]),
        (['# dependencies = ["no-such-library>=1"]'], 1, []),
        ([], 1, []),
    ],
    ids=["still there", "mended", "failed", "silent", "missing", "none"],
)
def test_one_command_tells_what_is_mended_upstream(
    scripts: list[str], status: int, lines: list[str], tmp_path: Path
) -> None:
    """A line for each script; status 0 only where there are scripts and all faults are still there."""
    for number, code in enumerate(scripts):
        (tmp_path / f"{number}.py").write_text(code)
    done = subprocess.run(  # noqa: S603  (this interpreter, on the folder of the documents)
        [sys.executable, str(UPSTREAM), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.splitlines()) == (status, lines)


def test_the_command_names_the_versions(tmp_path: Path) -> None:
    """The libraries that a script says it needs stand behind its verdict."""
    (tmp_path / "a.py").write_text('# dependencies = ["dask[array]", "pims"]\nprint("mended")\n')
    done = subprocess.run(  # noqa: S603  (as above)
        [sys.executable, str(UPSTREAM), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.stdout == f"a: mended (dask {version('dask')}, pims {version('pims')})\n"


@pytest.mark.parametrize(
    ("code", "printed"),
    [
        pytest.param(*pair, id=title)
        for title, section in re.findall(
            r"^## (.*?)\n(.*?)(?=^## |\Z)", TRAPS, re.MULTILINE | re.DOTALL
        )
        for pair in re.findall(r"```python\n(.*?)```\n+```text\n(.*?)```", section, re.DOTALL)
    ],
)
def test_traps_are_as_they_are_shown(code: str, printed: str, tmp_path: Path) -> None:
    """The lines below each trap print what stands below them, with the versions that the page names."""
    skip_unless_installed(TRAPS.split("The outputs are those of ", 1)[1].split("\n\n", 1)[0])
    assert run_python(code, folder=tmp_path) == printed


def test_each_trap_is_shown() -> None:
    """Each row of the table leads to a section, or to a page upstream, that shows what happens."""
    table = TRAPS.split("\n\n", 3)[2]
    rows = re.findall(r"\]\((\S+)\) \|$", table, re.MULTILINE)
    assert len(rows) == len(table.splitlines()) - 2
    sections = re.findall(r"^## (.*)$", TRAPS, re.MULTILINE)
    anchors = [f"#{title.lower().replace(' ', '-')}" for title in sections]
    pages = [f"../upstream/{path.stem}.md" for path in UPSTREAM.glob("[!_]*.py")]
    assert sorted(rows) == sorted(anchors + pages)
    for section in TRAPS.split("\n## ")[1:]:
        assert section.startswith("asv\n") or "```python\n" in section


def test_a_large_image_by_hand(tmp_path: Path) -> None:
    """The script of the page finds as many cells as segbench does, with tiles that cut many of them."""
    pytest.importorskip("zarr")
    text = (ROOT / "docs" / "how-to" / "large-images.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    shape, params = (900, 1300), PipelineParams(diameter=CELLS["mosaic"]["diameter"])
    dataset = datasets.mosaic(shape=shape)
    for setting in (f"sigma={params.sigma}", f"{params.block_size}, offset={params.taken_off}"):
        assert setting in code
    assert f">= {params.min_area})" in code
    assert params.reach <= 128
    small = code.replace("TILE, MARGIN = 2048, 128", "TILE, MARGIN = 256, 128")
    assert small != code
    found = run_python(small, str(dataset.files[0]), folder=tmp_path)
    with phases.started(BASELINE, workers=1) as backend:
        expected = phases.run_pipeline(backend, datasets.lay_out(dataset, 1), params)
    assert found == f"{expected.count} cells\n"
    assert np.count_nonzero(expected.rows[:, 1]) > 20
