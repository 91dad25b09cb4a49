"""What the site shows and nobody types: made before Sphinx reads the pages, by segbench itself.

All of it lies in `_made/`, which git ignores: reports of the reference runs, whose tables and figures the
pages include, the page of all machines, what commands print, and the schema of a run's lines.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import figures

from segbench.report import machines, page
from segbench.results.records import Header, Profile, Sample, json_schema
from segbench.results.sources import read_sources

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS = Path(__file__).parent
RESULTS = DOCS.parent / "results"
MADE = DOCS / "_made"

# Runs whose reports the site has.
REPORTS = ("smear", "shapes", "batches", "mosaic", "releases")

# What pages show with what it prints, run in this order in a folder that has `photographs` and `results`.
COMMANDS = {
    "answer": "segbench report results/reference/smear",
    "segment": "segbench segment photographs --diameter 36 --out cells.csv --overlays look",
    "backends": "segbench backends",
}

BACK = '<p><a href="../index.html">Back to the documentation</a></p>'

SCHEMAS = {"header": Header, "sample": Sample, "profile": Profile}


def make(app: Sphinx, _: object) -> None:
    """Make all of it, when Sphinx begins (``config-inited``)."""
    figures.write_sentences(app)
    with contextlib.chdir(DOCS.parent):  # a report names its sources as they were given
        for name in REPORTS:
            page.build(read_sources(Path("results/reference", name)), MADE / "reports" / name)
        named, _ = machines.read(machines.runs_of(Path("results", machines.NAME)))
        machines.write(named, MADE / "reports" / machines.NAME)
    for name in (*REPORTS, machines.NAME):
        _link_back(MADE / "reports" / name / "index.html")
    work = MADE / "work"
    work.mkdir(parents=True, exist_ok=True)
    if not (work / RESULTS.name).exists():
        (work / RESULTS.name).symlink_to(RESULTS)
    subprocess.run([sys.executable, DOCS / "photographs.py"], cwd=work, check=True)  # noqa: S603  (beside this file)
    for name, command in COMMANDS.items():
        text = f"$ {command}\n{printed(command, work)}"
        (MADE / f"{name}.txt").write_text(text, encoding="utf-8")
    for name, kind in SCHEMAS.items():
        (MADE / f"{name}.schema.json").write_text(json.dumps(json_schema(kind), indent=1))


def _link_back(report: Path) -> None:
    """Let a report, which knows of no site around it, lead back to this one."""
    before, after = report.read_text(encoding="utf-8").split("<header>")
    report.write_text(f"{before}<header>\n{BACK}{after}", encoding="utf-8")


def printed(command: str, folder: Path) -> str:
    """What a command of segbench's prints in a terminal of 80 columns.

    Raises
    ------
    subprocess.CalledProcessError
        If it fails, which ends the build.
    """
    screen, terminal = os.openpty()
    environment = {**os.environ, "COLUMNS": "80", "TERM": "dumb"}
    words = [sys.executable, "-m", *shlex.split(command)]
    with subprocess.Popen(words, cwd=folder, env=environment, stdout=terminal) as process:  # noqa: S603  (this interpreter)
        os.close(terminal)
        text = b"".join(iter(lambda: _read(screen), b"")).decode()
    os.close(screen)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def _read(screen: int) -> bytes:
    """Some of what a terminal shows; nothing once the program has ended (an error on Linux)."""
    try:
        return os.read(screen, 65536)
    except OSError:
        return b""
