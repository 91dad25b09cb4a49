"""Tiny packages, and the backend that builds them: pip installs them without any network.

A project made by `write_project` has a copy of this module as its build backend.
"""

from __future__ import annotations

import importlib.util
import os
import time
import tomllib
import zipfile
from pathlib import Path
from typing import Any

PYPROJECT = """\
[build-system]
requires = []
build-backend = "tiny"
backend-path = ["."]

[project]
name = "{name}"
version = "{version}"
{more}
"""

# Names a file into which a build writes its process id, and then waits for longer than any test.
WAIT = "SEGBENCH_TEST_WAIT"

# A module that no build is to find: it is among what is installed here.
OUTSIDE = "only_installed_here"


def write_project(folder: Path, name: str, version: str, *, more: str = "") -> Path:
    """Make a project without source, with further lines of its table; the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    text = PYPROJECT.format(name=name, version=version, more=more)
    (folder / "pyproject.toml").write_text(text)
    (folder / "tiny.py").write_text(Path(__file__).read_text())
    return folder


def installed(project: dict[str, Any], files: dict[str, str]) -> dict[str, str]:
    """Files of an installed distribution, for a project's table in pyproject.toml."""
    told = ["Metadata-Version: 2.1", f"Name: {project['name']}", f"Version: {project['version']}"]
    told += [f"Requires-Dist: {each}" for each in project.get("dependencies", ())]
    for extra, needs in project.get("optional-dependencies", {}).items():
        told.append(f"Provides-Extra: {extra}")
        told += [f'Requires-Dist: {each}; extra == "{extra}"' for each in needs]
    points = []
    for group, names in project.get("entry-points", {}).items():
        points += [f"[{group}]", *(f"{name} = {place}" for name, place in names.items())]
    stem = f"{project['name']}-{project['version']}.dist-info"
    return {
        **files,
        f"{stem}/METADATA": "\n".join(told) + "\n",
        f"{stem}/entry_points.txt": "\n".join(points) + "\n",
    }


def write_wheel(folder: Path, project: dict[str, Any], files: dict[str, str]) -> str:
    """Write a wheel of some files; its name."""
    stem = f"{project['name']}-{project['version']}"
    content = {
        **installed(project, files),
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"{stem}.dist-info/RECORD"
    content[record] = "".join(f"{name},,\n" for name in [*content, record])
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
        for name, text in content.items():
            wheel.writestr(name, text)
    return f"{stem}-py3-none-any.whl"


def build_wheel(
    wheel_directory: str,
    config_settings: object = None,  # noqa: ARG001  (the interface of PEP 517)
    metadata_directory: object = None,  # noqa: ARG001  (as above)
) -> str:
    """Build the project in the current folder, as PEP 517 has it."""
    if place := os.environ.get(WAIT):
        Path(place).write_text(str(os.getpid()))
        time.sleep(300)
    if Path("broken").exists():
        raise ValueError("this project is broken by hand, and the cause is a line of some length")
    if importlib.util.find_spec(OUTSIDE):
        raise ValueError("what is installed here takes part in this build")
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    source = Path("src")
    files = {
        file.relative_to(source).as_posix(): file.read_text()
        for file in sorted(source.rglob("*.py"))
    }
    return write_wheel(Path(wheel_directory), project, files)
