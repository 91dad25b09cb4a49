"""The site's commands work as a reader would type them, and what it says of files is so."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import tifffile

from segbench.results.records import PROFILES_NAME, RUN_NAME, Header, Profile, Sample, json_schema
from tests import sent
from tests.programs import address_in, program

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
REFERENCE = ROOT / "results" / "reference"

# A test is not to measure, but to see that a command works: what makes it short, said after what is typed.
FEW = ["--sizes", "1,2", "--rounds", "1", "--case-seconds", "0.1"]
ONE_CASE = ["--phases", "open", "--sizes", "1", "--backends", "skimage/skimage/serial"]
HERE = ["--environment", f"existing:{sys.executable}", "--set-commit-hash", "HEAD"]
SHORTER = {
    "segbench run --large": ["--large", "512x512,600x600", "--rounds", "1"],
    "segbench run --images slide.tif": ["--rounds", "1"],
    "segbench run": FEW,
    "segbench recommend": ["--total", "20"],
    "segbench gate": [*ONE_CASE, "--measure-seconds", "2"],
    "asv run": ["--quick", "--bench", r"time_open\(.*serial.*, 1\)", *HERE],
}

PAGES = ["start", *(f"how-to/{name}" for name in ("readers", "batches", "segment", "large-images"))]
PAGES += ["how-to/regressions", "how-to/history"]
CLUSTER = "how-to/schedulers"

# Fourteen environments take an hour: `asv check` in .ci/run looks at them.
LONG = "asv run --config asv.releases.conf.json"
ADDRESS = "tcp://10.0.0.5:8786"

A_SHELL = pytest.mark.skipif(
    sys.platform == "win32", reason="the pages' commands are for another shell"
)


def commands(page: str) -> list[str]:
    """What a page says is typed."""
    return re.findall(r"^\$ (.*)$", (DOCS / f"{page}.md").read_text(), re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clone, with the photographs that the site's script draws, and a large image that is not."""
    clone = tmp_path / "segbench"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)  # noqa: S603, S607
    named = ["git", "branch", "--force", "main"]  # which a checkout of one commit lacks
    subprocess.run(named, cwd=clone, check=False, capture_output=True)  # noqa: S603
    subprocess.run([sys.executable, DOCS / "photographs.py"], cwd=clone, check=True)  # noqa: S603
    shutil.copytree(clone / "photographs", clone / "scans")
    image = np.full((512, 512, 3), 230, np.uint8)
    image[100:130, 200:230] = 120
    tifffile.imwrite(clone / "slide.tif", image, tile=(256, 256))
    return clone


def try_page(page: str, folder: Path, *, address: str = ADDRESS) -> None:
    """Type the commands of a page, one after the other: each ends with status 0."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    programs = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    for command in commands(page):
        if command.startswith("pip install"):
            assert {*re.findall(r"\[(\w+)\]", command)} <= {*extras}
            continue
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            environment[name] = value.replace("$PWD", str(folder))
            continue
        if command.startswith(LONG):
            break  # and what reports on it
        shorter = next((more for start, more in SHORTER.items() if command.startswith(start)), [])
        done = subprocess.run(  # noqa: S602  (what the pages of this repository say, by a shell as there)
            f"{command.replace(ADDRESS, address)} {shlex.join(shorter)}",
            shell=True,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        # A gate may find that something is slower: that is for the libraries, not for the page.
        fine = (0, 1) if command.startswith("segbench gate") else (0,)
        assert done.returncode in fine, f"{command}\n{done.stdout}{done.stderr}"


@pytest.mark.slow
@pytest.mark.long
@A_SHELL
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_work(page: str, folder: Path) -> None:
    """What a page says is typed can be typed, with nothing but what the pages before it made."""
    try_page(page, folder)


@pytest.mark.slow
@pytest.mark.long
@A_SHELL
def test_the_commands_for_a_cluster_work(folder: Path, tmp_path: Path) -> None:
    """So can those of the page on clusters, with the address of a scheduler that is there."""
    pytest.importorskip("distributed")
    told = tmp_path / "scheduler.json"
    here = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(told))
    with program("scheduler", *here):
        address = address_in(told)
        with program("worker", address, "--nthreads", "2", "--no-dashboard", "--no-nanny"):
            try_page(CLUSTER, folder, address=address)


def test_every_page_with_commands_is_tried() -> None:
    """No page of "start" and "how to" is forgotten; that of backends has a test of its own."""
    found = {str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.glob("how-to/*.md")}
    assert {one for one in found if commands(one)} | {"start"} == {
        *PAGES,
        CLUSTER,
        "how-to/backends",
    }


@pytest.mark.parametrize(
    "run",
    [path.parent for path in sorted(REFERENCE.glob(f"*/{RUN_NAME}"))],
    ids=lambda path: path.name,
)
def test_what_is_written_fits_the_schema(run: Path) -> None:
    """Every line of the runs in the repository is as the schemas on the site say."""
    header, *samples = (run / RUN_NAME).read_text().splitlines()
    kinds = [(Header, [header]), (Sample, samples[:: max(1, len(samples) // 50)])]
    if (run / PROFILES_NAME).exists():
        kinds.append((Profile, (run / PROFILES_NAME).read_text().splitlines()))
    for kind, lines in kinds:
        validator = jsonschema.Draft202012Validator(json_schema(kind))
        for line in lines:
            validator.validate(json.loads(line))


def test_what_is_written_now_fits_the_schema(tmp_path: Path) -> None:
    """So is a run of this version, and a line that lacks a key or has another status is not."""
    run = sent.write(tmp_path / "run")
    header, line, *_ = (run / RUN_NAME).read_text().splitlines()
    jsonschema.validate(json.loads(header), json_schema(Header))
    sample = json.loads(line)
    jsonschema.validate(sample, json_schema(Sample))
    for wrong in ({**sample, "status": "fine"}, {**sample, "block": -1}, {"phase": "read"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, json_schema(Sample))


def test_the_schemas_name_every_field() -> None:
    """A field that is added to a record is in its schema, and so on the site."""
    for kind in (Header, Sample, Profile):
        schema = json_schema(kind)
        (name,) = re.findall(r"\w+$", schema["$ref"])
        assert {*schema["$defs"][name]["properties"]} == {*kind.__dataclass_fields__}


def test_what_the_site_prints_is_printed_by_segbench(tmp_path: Path) -> None:
    """A command whose output the site shows is run when it is built; where it fails, so does the build."""
    spec = importlib.util.spec_from_file_location("made", DOCS / "made.py")
    assert spec is not None
    assert spec.loader is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS)
        made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
    assert "skimage" in made.printed("segbench backends", tmp_path)
    with pytest.raises(subprocess.CalledProcessError):
        made.printed("segbench report nowhere", tmp_path)
