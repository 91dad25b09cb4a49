"""The recipes of the site: that they can be pasted, and find what a plain loop finds."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner
from skimage import color, filters, io, measure

from segbench.cli import main

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "docs" / "recipes").glob("plot_*.py"))
MOST_LINES = 40
# What a recipe needs beyond the libraries that segbench itself needs.
NEEDS = {
    "plot_3_joblib": "joblib",
    "plot_6_cluster": "distributed",
    "plot_7_map_overlap": "zarr",
    "plot_8_zarr": "zarr",
}


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    """The module of the site that makes the sentences, which is in no package."""
    spec = importlib.util.spec_from_file_location("figures", ROOT / "docs" / "figures.py")
    assert spec
    assert spec.loader
    with pytest.MonkeyPatch.context() as patch:
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "figures", module)  # dataclasses look there
        spec.loader.exec_module(module)
        return module


def areas_by_a_plain_loop(files: list[Path]) -> NDArray[Any]:
    """The areas of all cells, each image worked on as a whole."""
    found = []
    for file in files:
        gray = filters.gaussian(color.rgb2gray(io.imread(file)), sigma=1)
        cells = gray < filters.threshold_local(gray, 101, offset=0.05)
        found.append(np.bincount(measure.label(cells, connectivity=1).ravel())[1:])
    areas = np.concatenate(found)
    return areas[areas >= 30]


def check(recipe: Path, folder: Path) -> None:
    """Run a recipe, warnings being errors, which leaves its images in a folder; compare its cells."""
    if recipe.stem in NEEDS:
        pytest.importorskip(NEEDS[recipe.stem])
    ran = subprocess.run(  # noqa: S603  (ours)
        [sys.executable, "-W", "error", recipe],
        env=os.environ | {"MPLBACKEND": "agg", "TMPDIR": str(folder), "DISPLAY": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    areas = areas_by_a_plain_loop([*folder.rglob("*.png"), *folder.rglob("*.tif")])
    assert areas.size > 100
    assert f"{areas.size} cells cover {areas.sum()} pixels" in ran.stdout.splitlines()


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param(one, marks=[pytest.mark.slow] if "cluster" in one.stem else [], id=one.stem)
        for one in RECIPES
    ],
)
def test_a_recipe_finds_the_same_cells_as_a_plain_loop(recipe: Path, tmp_path: Path) -> None:
    """A recipe runs as a script without a warning, and finds as many cells of the same total area."""
    check(recipe, tmp_path)


@pytest.mark.parametrize("name", ["plot_7_map_overlap", "plot_8_zarr"])
def test_a_large_image_may_have_any_size(name: str, tmp_path: Path) -> None:
    """The cells are the same where the last tiles are narrower than the margin, which Dask widens."""
    text = (ROOT / "docs" / "recipes" / f"{name}.py").read_text(encoding="utf-8")
    assert "binary_blobs(1536," in text
    other = tmp_path / f"{name}.py"
    other.write_text(text.replace("binary_blobs(1536,", "binary_blobs(1050,"), encoding="utf-8")
    check(other, tmp_path)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_a_recipe_fits_on_one_screen(recipe: Path) -> None:
    """It has 40 lines of code and comments at most, empty lines and its first docstring aside."""
    text = recipe.read_text(encoding="utf-8")
    docstring = ast.parse(text).body[0]
    assert docstring.end_lineno
    lines = [line for line in text.splitlines()[docstring.end_lineno :] if line.strip()]
    assert len(lines) <= MOST_LINES


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_a_recipe_needs_no_segbench(recipe: Path) -> None:
    """It imports nothing of segbench, and no other recipe, so that it runs wherever it is pasted."""
    tree = ast.parse(recipe.read_text(encoding="utf-8"))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    local = {path.stem for path in [*RECIPES, *(ROOT / "docs").glob("*.py")]}
    assert not imported & {"", "segbench", *local}


def test_each_recipe_includes_a_sentence_that_is_made(figures: ModuleType) -> None:
    """Each includes the paragraph that is made for it, and none is made that no recipe includes."""
    included = [
        re.findall(r"^\.\. include:: /recipes/when/(\w+)\.txt$", recipe.read_text(), re.MULTILINE)
        for recipe in RECIPES
    ]
    assert included == [[name] for name in figures.COMPARISONS]


def test_the_figures_of_a_sentence_are_those_of_the_report(
    figures: ModuleType, tmp_path: Path
) -> None:
    """What the page of the thread pool says is what `segbench report` prints of the same run."""
    run = str(ROOT / "results" / "reference" / "smear")
    printed = CliRunner().invoke(main, ["report", run, "--out", str(tmp_path)]).output
    row = re.search(r"scikit-image in a thread pool .* ([\d.]+)× \(([\d.]+)–([\d.]+)\)", printed)
    assert row
    ratio, low, high = row.groups()
    said = figures.when("thread_pool")
    assert f"takes {ratio} times ({low} to {high}) as long as scikit-image in a plain loop" in said
    assert "500 images of 192 × 256 pixels" in said
    assert "``segbench report results/reference/smear``" in said


def test_a_sentence_says_what_is_open(figures: ModuleType) -> None:
    """Where the interval does not decide, the sentence says so, and where it does it adds nothing."""
    assert "which of the two is faster is open" in figures.when("zarr")
    assert "open" not in figures.when("thread_pool")


def test_sphinx_finds_all_sentences(figures: ModuleType, tmp_path: Path) -> None:
    """When Sphinx begins, each recipe's paragraph is written where its docstring includes it from."""
    (tmp_path / "recipes").mkdir()
    figures.write_sentences(SimpleNamespace(srcdir=str(tmp_path)))
    for name in figures.COMPARISONS:
        text = (tmp_path / "recipes" / "when" / f"{name}.txt").read_text(encoding="utf-8")
        assert text == figures.when(name)
