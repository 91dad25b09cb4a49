"""Runs that people send: what is wrong with one is told in a line, and what is whole passes."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from segbench.cli import main
from segbench.errors import InputError
from segbench.report import page
from segbench.report.verify import faults
from segbench.results import records
from segbench.results.records import PICTURE_NAME, PROFILES_NAME, RUN_NAME
from segbench.results.sources import read_run_folder
from tests import sent
from tests.made_up import DASK, POOL, SERIAL, sample

if TYPE_CHECKING:
    from collections.abc import Callable

REFERENCE = Path(__file__).parents[1] / "results" / "reference"
MACHINES = REFERENCE.parent / "machines"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that is whole."""
    return sent.write(tmp_path / "run")


def edited(old: str, new: str) -> Callable[[Path], None]:
    """Another text in a run's file, without more ado."""

    def edit(run: Path) -> None:
        path = run / RUN_NAME
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return edit


def sample_with(number: int, **values: Any) -> Callable[[Path], None]:
    """Another sample, with a digest that fits."""
    return lambda run: sent.changed(run, number, **values)


def header_with(**values: Any) -> Callable[[Path], None]:
    """Another header, with a digest that fits."""

    def forge(run: Path) -> None:
        found = records.read(run / RUN_NAME)
        sent.again(
            run, dataclasses.replace(found, header=dataclasses.replace(found.header, **values))
        )

    return forge


def samples_as(
    choose: Callable[[list[records.Sample]], list[records.Sample]],
) -> Callable[[Path], None]:
    """Other samples, with a digest that fits."""

    def forge(run: Path) -> None:
        found = records.read(run / RUN_NAME)
        sent.again(run, dataclasses.replace(found, samples=choose(found.samples)))

    return forge


def cut(run: Path) -> None:
    """Half a line at the end."""
    path = run / RUN_NAME
    path.write_bytes(path.read_bytes()[:-40])


def linked(run: Path) -> None:
    """A link in the place of the profiles."""
    (run / PROFILES_NAME).unlink()
    (run / PROFILES_NAME).symlink_to("/etc/hostname")


def reported(run: Path) -> None:
    """A report whose summary was made prettier."""
    page.build(read_run_folder(run), run / "report")
    path = run / "report" / "tables" / "summary.csv"
    text = path.read_text()
    number = text.splitlines()[1].split(",")[5]
    path.write_text(text.replace(number, "0.001", 1))


def pictured(run: Path) -> None:
    """A picture that is none."""
    (run / PICTURE_NAME).write_text("not a picture")


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "a time edited": (
        edited('"seconds": 0.0101', '"seconds": 0.0091'),
        "line 1: the digest is that of other contents",
    ),
    "a header edited": (edited("Abacus", "Cray"), "line 1: the digest is that of other contents"),
    "a profile edited": (
        lambda run: (run / PROFILES_NAME).write_text(
            (run / PROFILES_NAME).read_text().replace('"tasks": 48', '"tasks": 8')
        ),
        "line 1: the digest is that of other contents",
    ),
    "the end cut off": (cut, "line 31, the last, is damaged: left out"),
    "another schema": (edited('"schema": 1', '"schema": 7'), "schema 7, but this segbench reads 1"),
    "no samples of a backend": (
        samples_as(lambda all_: [one for one in all_ if str(one.backend) != DASK]),
        f"nothing of pipeline of 1 image with {DASK}: the run is not whole",
    ),
    "the slow samples taken out": (
        samples_as(
            lambda all_: [one for one in all_ if not (one.block == 3 and str(one.backend) == POOL)]
        ),
        f"pipeline of 1 image: block 3 lacks {POOL}",
    ),
    "a block taken out": (
        samples_as(lambda all_: [one for one in all_ if one.block != 2]),
        "pipeline of 1 image: block 2 is missing",
    ),
    "a sample twice": (
        samples_as(lambda all_: [*all_, all_[-1]]),
        "pipeline of 20 images: block 5 has two samples of one backend",
    ),
    "a time copied": (
        samples_as(
            lambda all_: [
                *all_[:4],
                dataclasses.replace(all_[4], seconds=all_[1].seconds),
                *all_[5:],
            ]
        ),
        f"pipeline of 1 image with {POOL}, block 2: has the very time of block 1",
    ),
    "other cells": (sample_with(20, objects=113), "block 2: 113 objects, where the header has 114"),
    "other cells of few": (
        sample_with(1, objects=7),
        f"{POOL}, block 1: 7 objects, where others have 8",
    ),
    "a wrong result": (
        sample_with(29, status="wrong-result", cause="image 3"),
        "block 5: other cells than the reference (image 3)",
    ),
    "a time that does not fit": (
        sample_with(16, seconds=3.0),
        "a call of 3 s can't have ended 0.131 s after",
    ),
    "more CPU time than there is": (
        sample_with(0, cpu_seconds=0.05),
        "0.05 s of CPU time in 0.0101 s on 2 CPUs",
    ),
    "a backend that was not asked for": (
        samples_as(
            lambda all_: [*all_, sample("a/b/threads", "pipeline", 20, 1, seconds=0.1, objects=114)]
        ),
        "pipeline of 20 images with a/b/threads: was not asked for",
    ),
    "no version of Dask": (
        header_with(
            versions={"python": "3.12", "segbench": "1", "numpy": "2", "scikit-image": "0.26"}
        ),
        "line 1: versions lack dask",
    ),
    "a version that is none": (
        header_with(versions={**sent.header().versions, "dask": "; rm -rf"}),
        "line 1: '; rm -rf' is no version of dask",
    ),
    "no settings": (header_with(settings={}), "run.jsonl, line 1: not the header of a run"),
    "a link": (linked, "profiles.jsonl: is a link"),
    "a prettier summary": (
        reported,
        f"report/tables/summary.csv: pipeline of 1 with {SERIAL} is 0.001, and 0.0103",
    ),
    "a picture that is none": (pictured, "sample.png: no picture that can be read"),
}


def test_a_whole_run_passes(run: Path) -> None:
    """Nothing is wrong with a run as it was measured, also with its report beside it."""
    assert faults(run) == ()
    page.build(read_run_folder(run), run / "report")
    assert faults(run) == ()


@pytest.mark.parametrize(("damage", "line"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_run_is_told(
    run: Path, damage: Callable[[Path], None], line: str
) -> None:
    """Whatever was cut, left out or edited has a line that says what it is, and none has a traceback."""
    damage(run)
    result = CliRunner().invoke(main, ["verify", str(run)])
    assert result.exit_code == 1
    assert not result.stderr
    told = result.stdout.splitlines()
    assert all(one.startswith(f"{run}: ") for one in told)
    assert any(line in one for one in told), told


def test_many_lines_of_one_kind_are_counted(run: Path) -> None:
    """Of each kind of fault the first five are told, and how many more there are."""
    found = records.read(run / RUN_NAME)
    others = [dataclasses.replace(one, cpu_seconds=9.0) for one in found.samples]
    sent.again(run, dataclasses.replace(found, samples=others))
    assert len(faults(run)) == 6
    assert faults(run)[-1] == "... and 25 more like this"


def test_a_run_that_was_interrupted_passes(run: Path) -> None:
    """An interruption cuts the last block of a round; what follows is of another round."""
    found = records.read(run / RUN_NAME)
    short = [
        one for one in found.samples if (one.n_images, one.block, str(one.backend)) != (1, 3, DASK)
    ]
    sent.again(run, records.Records(dataclasses.replace(found.header, resumed=1), short))
    assert faults(run) == ()


def test_a_backend_that_failed_is_no_fault(run: Path) -> None:
    """What ended by its memory has rows that say so, and lacks blocks."""
    found = records.read(run / RUN_NAME)
    kept = [one for one in found.samples if not (one.n_images == 20 and str(one.backend) == DASK)]
    kept.append(sample(DASK, "pipeline", 20, status="memory", cause="more than 1 GiB"))
    sent.again(run, dataclasses.replace(found, samples=kept))
    assert faults(run) == ()


def test_a_run_without_a_digest_has_not_ended(run: Path) -> None:
    """The digest is written when a run has ended: without it, it was cut short or is of an earlier version."""
    path = run / RUN_NAME
    line, _, rest = path.read_text().partition("\n")
    content = json.loads(line)
    assert [*content][-1] == "digest"
    path.write_text(f"{json.dumps({**content, 'digest': ''})}\n{rest}")
    (told,) = faults(run)
    assert told.startswith("line 1: no digest: the run has not ended")
    del content["digest"]
    path.write_text(f"{json.dumps(content)}\n{rest}")
    records.seal(run)
    assert faults(run) == ()


def test_where_there_is_no_run_there_is_nothing_to_check(tmp_path: Path) -> None:
    """A folder without a run is bad input, with what to give instead."""
    with pytest.raises(InputError, match=r"no run\.jsonl in it; give the folder of a run"):
        faults(tmp_path)
    assert CliRunner().invoke(main, ["verify", str(tmp_path)]).exit_code == 2


@pytest.mark.parametrize(
    "run",
    sorted(path.parent for path in REFERENCE.parent.rglob(RUN_NAME)),
    ids=lambda path: path.name,
)
def test_the_runs_of_the_repository_pass(run: Path) -> None:
    """Nothing is wrong with the reference runs, nor with those that were sent."""
    if REFERENCE in run.parents or MACHINES in run.parents:
        assert faults(run) == ()


@pytest.mark.parametrize(
    ("machine", "runs"),
    [("xeon-2-cpus", {"smear", "mosaic"}), ("epyc-2-cpus", {"shapes"})],
)
def test_the_first_machines_have_the_reference_runs(machine: str, runs: set[str]) -> None:
    """They are the same files, byte for byte."""
    copies = sorted(path for path in (MACHINES / machine).rglob("*") if path.is_file())
    assert {path.parent.name for path in copies} == runs
    for path in copies:
        assert path.read_bytes() == (REFERENCE / path.parent.name / path.name).read_bytes()


def test_a_run_is_sealed_with_all_that_is_in_it(run: Path, tmp_path: Path) -> None:
    """The digest is of the samples, the profiles and the picture, and of no path."""
    shutil.copytree(run, tmp_path / "elsewhere")
    assert records.digest(tmp_path / "elsewhere") == records.digest(run)
    (run / PICTURE_NAME).write_bytes(b"x")
    assert records.digest(tmp_path / "elsewhere") != records.digest(run)
