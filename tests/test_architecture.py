"""Imports run one way, and packages hold no logic in their ``__init__``."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "segbench"

# Each may import itself and what comes after it. Modules in one row are on one level: they must
# not import each other.
LEVELS = (
    ("__main__",),
    ("cli",),
    ("terminal",),
    ("recommend",),
    ("segmenting", "report", "gate"),
    ("measure", "steps"),
    ("agreement", "estimate", "results", "stats"),
    ("images", "backends"),
    ("pipeline",),
    ("windows",),
    ("files", "errors", "jsonl", "text"),
)
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}


def modules() -> list[Path]:
    """Every module of the package."""
    return sorted(SOURCE.rglob("*.py"))


def part(path: Path) -> str:
    """The top-level part that a module belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Dotted names that a module imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_run_one_way(path: Path) -> None:
    """A module imports only its own part and what lies below it."""
    own = part(path)
    if own == "__init__":
        return
    for name in imported(path):
        words = name.split(".")
        if words[0] != "segbench" or len(words) < 2 or words[1] == "__version__":
            continue
        other = words[1]
        assert other == own or LEVEL[own] < LEVEL[other], f"{own} imports {other}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_the_package_imports_no_test_tool(path: Path) -> None:
    """Nothing under src/ imports asv, pytest or the benchmarks."""
    assert not {name.split(".")[0] for name in imported(path)} & {
        "asv",
        "asv_runner",
        "pytest",
        "pytest_benchmark",
        "benchmarks",
        "tests",
    }


def test_reports_need_neither_dask_nor_scikit_image() -> None:
    """`report`, `stats` and `results` can be imported where neither is installed."""
    code = (
        "import sys\n"
        "import segbench.report.page, segbench.stats, segbench.results.sources\n"
        "print(sorted({'dask', 'skimage'} & set(sys.modules)))"
    )
    done = subprocess.run(  # noqa: S603  (this interpreter, on the code above)
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "path", sorted(SOURCE.rglob("__init__.py")), ids=lambda path: path.parent.name
)
def test_packages_hold_no_logic(path: Path) -> None:
    """An ``__init__.py`` holds a docstring and at most the version, and where its names are."""
    for node in ast.parse(path.read_text()).body:
        assert isinstance(node, ast.Expr | ast.Assign | ast.Import)
