"""The command line: what it prints, how it ends, and that bad input writes nothing."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
from click.testing import CliRunner
from PIL import Image
from skimage.io import imread

from segbench import __main__ as program
from segbench import __version__, terminal
from segbench.backends.skimage import measure
from segbench.cli import main
from segbench.images import datasets
from segbench.images.smear import smear_image
from segbench.results.records import RUN_NAME, read
from segbench.segmenting.cells import COLUMNS

if TYPE_CHECKING:
    from click.testing import Result

COMMANDS = ("run", "report", "gate", "segment", "backends", "info")
ODD_NAMES = ("with space.png", "[1].png", "star*.png", "ünï 細胞.png", "a,b.JPG", "UPPER.TIF")


def segbench(*arguments: str | Path) -> Result:
    """Call the command line."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give two images in a folder, in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(2):
        Image.fromarray(smear_image(index, shape=(32, 40)).pixels).save(folder / f"{index}.png")
    return folder


def assert_refused(result: Result) -> None:
    """Bad input ends with status 2 and one line, which says who speaks."""
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("segbench: ")
    assert result.stderr.endswith("\n")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(command: tuple[str, ...], option: str) -> None:
    """Every command explains itself and ends with status 0."""
    result = segbench(*command, option)
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")
    assert result.stderr == ""
    # Each of its own options says what it is for.
    if command:
        assert len(result.stdout.split("\n\n")[1].strip()) > 20


def test_help_answers_at_once() -> None:
    """The help needs neither numpy nor pandas, nor what works on images: they take seconds."""
    heavy = ("numpy", "pandas", "scipy", "skimage", "dask", "matplotlib")
    code = (
        "import sys, segbench.__main__\n"
        "sys.argv[1:] = ['--help']\n"
        "try: segbench.__main__.main()\n"
        f"finally: print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run(  # noqa: S603  (this interpreter, on the code above)
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "Commands:" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_names_the_commands() -> None:
    """The help of segbench lists every command."""
    listed = segbench("--help").stdout.split("Commands:")[1]
    assert set(COMMANDS) <= set(listed.split())


def test_version() -> None:
    """The version is printed."""
    result = segbench("--version")
    assert result.exit_code == 0
    assert __version__ in result.stdout


def test_no_command_shows_the_help() -> None:
    """Without a command the help is shown, with the status of bad usage."""
    result = segbench()
    assert result.exit_code == 2
    assert "Commands:" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backends", "skimage/skimage/seriel"], "unknown scheduler 'seriel'"),
        (
            ["--backends", "skimag/skimage/serial"],
            "unknown reader 'skimag' (did you mean skimage?)",
        ),
        (["--backends", "skimage/skimage/serial,"], "backend ''"),
        (["--backends", "dask-image"], "write reader/processor/scheduler"),
        (["--backends", "dask-image/dask-image/serial"], "builds a Dask graph, which serial can't"),
        (["--phases", "reed"], "unknown phase 'reed': choose from open, read, process, pipeline"),
        (["--phases", ""], "unknown phase ''"),
        (["--sizes", "0"], "size '0': give whole numbers from 1 up"),
        (["--sizes", "-5"], "size '-5'"),
        (["--sizes", "ten"], "size 'ten'"),
        (["--sizes", "1.5"], "size '1.5'"),
        (["--sizes", "1,,2"], "size ''"),
        (["--method", "otsu"], "'otsu' is not one of"),
        (["--foreground", "white"], "'white' is not one of"),
        (["--block-size", "50"], "block size 50: give an odd number"),
        (["--block-size", "big"], "'big' is not a valid integer"),
        (["--offset", "nan"], "offset nan: give a finite number"),
        (["--min-area", "0"], "minimal area 0"),
        (["--rounds", "0"], "0 is not in the range"),
        (["--rounds", "some"], "'some' is not a valid integer"),
        (["--workers", "0"], "0 is not in the range"),
        (["--time-limit", "0"], "time limit 0: give a number above 0, up to 86400"),
        (["--time-limit", "nan"], "time limit nan"),
        (["--time-limit", "1e308"], "time limit 1e+308"),
        (["--case-seconds", "-1"], "case seconds -1: give a number above 0"),
        (["--memory-limit", "0"], "memory limit 0: give a number above 0"),
        (["--memory-limit", "inf"], "memory limit inf"),
        (["--precision", "0"], "precision 0: give a number above 0, up to 1"),
        (["--precision", "nan"], "precision nan"),
        (["--cache", "hot"], "'hot' is not one of 'warm', 'cold'"),
        (["--resume", "images"], "a run goes on as it was asked for; give --resume alone"),
        (["--seed", "-1"], "-1 is not in the range"),
        (["--shape", "10x10"], "shape '10x10'"),
        (["--shape", "100000x100000"], "shape 100000x100000: images of a smear"),
        (["--shape", "1000000x16"], "shape '1000000x16'"),
        (["--large", "512x512", "--dataset", "smear"], "--large takes the sizes"),
        (["--large"], "--large takes the sizes"),
        (["--shape", "wide"], "shape 'wide'"),
        (["--dataset", "cells"], "'cells' is not one of"),
        (["--dataset", "tissue", "--shape", "600x600"], "the tissue photograph is 512x512"),
        (["--images", "nowhere"], "nowhere; give a folder of images"),
        (["--images", "nowhere/*.png"], "nowhere/*.png holds no image"),
        (
            ["--images", "images", "--shape", "32x32"],
            "--dataset and --shape are for images to make",
        ),
        (["--colour"], "No such option"),
        (["images"], "images: to measure your own images, put --images before them"),
    ],
)
def test_run_refuses_bad_usage(folder: Path, arguments: list[str], message: str) -> None:
    """Bad usage of `run` ends with status 2 and one line, before anything is written."""
    result = segbench("run", "--sizes", "1", "--out", "out", *arguments)
    assert_refused(result)
    assert message in result.stderr
    assert list(Path().iterdir()) == [Path(folder.name)]


def test_run_refuses_a_folder_with_a_run(folder: Path) -> None:
    """A folder that holds a run already is refused and left as it is."""
    (folder.parent / "out").mkdir()
    run = folder.parent / "out" / "run.jsonl"
    run.write_text("an earlier run\n")
    result = segbench(
        *("run", "--images", folder, "--sizes", "1", "--out", "out"),
        *("--backends", "skimage/skimage/serial", "--phases", "read"),
    )
    assert_refused(result)
    assert "run.jsonl" in result.stderr
    assert [file.name for file in run.parent.iterdir()] == ["run.jsonl"]
    assert run.read_text() == "an earlier run\n"


def test_run_refuses_a_file_for_a_folder(folder: Path) -> None:
    """An output folder that is a file is refused."""
    Path("out").write_text("a file")
    result = segbench("run", "--images", folder, "--sizes", "1", "--out", "out")
    assert_refused(result)
    assert Path("out").read_text() == "a file"


def test_run_refuses_more_images_than_there_are(folder: Path) -> None:
    """A size of more images than given is refused, and nothing is written."""
    result = segbench("run", "--images", folder, "--sizes", "3", "--out", "out")
    assert_refused(result)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("2.png", b""),
        ("2.png", b"text\nin lines\n"),
        ("2.jpg", b"\xff\xd8\xff\xe0"),
        ("0.jpg", b"\xff\xd8\xff\xe0"),
        ("0.tif", b"II*\0"),
    ],
)
def test_bad_image_is_named(folder: Path, name: str, content: bytes) -> None:
    """An image that can't be read is named by `run`, and left out by `segment`, which ends with 1."""
    (folder / name).write_bytes(content)
    result = segbench("run", "--sizes", "3", "--images", folder, "--out", "out")
    assert_refused(result)
    assert str(folder / name) in result.stderr
    assert list(Path().iterdir()) == [Path(folder.name)]
    result = segbench("segment", folder)
    assert result.exit_code == 1
    assert f"{name}: " in result.stderr
    left = 3 - len([*folder.glob("[01].png")])
    assert f"in {3 - left} images, " in result.stdout
    assert result.stdout.endswith("1 file left out\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument"),
        (["nowhere"], "no such folder or file: nowhere"),
        (["images/*.tif"], "images/*.tif holds no image"),
        (["images", "--backend", "a/b/c"], "unknown reader 'a'"),
        (["images", "--backend", "skimage/skimage/serial/4"], "it has no tasks; leave out"),
        (["images", "--backend", "skimage/dask-image/serial"], "builds a Dask graph"),
        (["images", "--workers", "none"], "'none' is not a valid integer"),
        (["images", "--min-area", "-1"], "minimal area -1"),
        (["images", "--labels", "images/0.png"], "is a file"),
        (["images", "--out", "images"], "is a directory"),
        (["images", "--channel", "4"], "no channel 4; it holds 3 channels"),
        (["images", "--resume"], "nothing was begun"),
        (["images", "--resume", "--diameter", "9"], "leave out --diameter"),
    ],
)
def test_segment_refuses_bad_usage(folder: Path, arguments: list[str], message: str) -> None:
    """Bad usage of `segment` ends with status 2 and one line, and nothing is written."""
    result = segbench("segment", *arguments)
    assert_refused(result)
    assert message in result.stderr
    assert list(Path().iterdir()) == [Path(folder.name)]
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("arguments", [[], ["nowhere"], ["images"], ["images/0.png"]])
def test_report_refuses_what_is_no_result(folder: Path, arguments: list[str]) -> None:
    """A source without results is refused, and no report is written."""
    assert_refused(segbench("report", *arguments))
    assert list(Path().iterdir()) == [Path(folder.name)]


def test_unknown_command_is_refused() -> None:
    """An unknown command is bad usage."""
    result = segbench("ran")
    assert_refused(result)
    assert "ran" in result.stderr


def test_cache_folder_with_a_pattern_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache folder that readers would take for a pattern is bad input, in one line."""
    monkeypatch.setenv("SEGBENCH_CACHE_DIR", str(folder.parent / "[cache]"))
    assert_refused(segbench("run", "--images", folder, "--sizes", "1"))
    assert list(Path().iterdir()) == [Path(folder.name)]
    # `segment` lays its files out elsewhere.
    monkeypatch.setattr(tempfile, "tempdir", str(folder.parent / "[temporary]"))
    result = segbench("segment", folder)
    assert_refused(result)
    assert "set TMPDIR to a path without them" in result.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("backend", ["skimage/skimage/serial", "dask-image/dask-image/threads"])
def test_segment_keeps_the_names(folder: Path, backend: str) -> None:
    """The table and the label images bear the names of the images, however odd."""
    for name in ODD_NAMES:
        Image.fromarray(smear_image(len(name), shape=(32, 40)).pixels).save(folder / name)
    result = segbench(
        *("segment", folder, "--backend", backend, "--labels", "labels", "--block-size", "21")
    )
    assert result.exit_code == 0, result.output
    names = {file.name for file in folder.iterdir()}
    assert len(names) == 8
    assert {file.name for file in Path("labels").iterdir()} == {f"{name}.tif" for name in names}
    with Path("cells.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    assert list(rows[0])[:3] == ["file", "label", "area"]
    assert f"\ncells.csv: {len(rows)} cells in 8 images, " in result.stdout
    for name in names:
        labels = imread(Path("labels") / f"{name}.tif")
        assert labels.shape == (32, 40)
        assert labels.dtype == np.int32
        written = [[int(row["label"]), int(row["area"])] for row in rows if row["file"] == name]
        assert written == measure(labels).tolist()
    assert sum(row["file"] in names for row in rows) == len(rows)


def test_segment_tells_images_of_one_name_apart(folder: Path) -> None:
    """Images of one name in several folders are told apart by their folders, in both outputs."""
    for name, file in (("a", "0.png"), ("b", "1.png")):
        (folder / name).mkdir()
        (folder / name / "0.png").write_bytes((folder / file).read_bytes())
    result = segbench("segment", folder / "*" / "*.png", "--labels", "labels")
    assert result.exit_code == 0, result.output
    with Path("cells.csv").open(newline="") as table:
        assert {row["file"] for row in csv.DictReader(table)} == {"a/0.png", "b/0.png"}
    found = sorted(path.relative_to("labels").as_posix() for path in Path("labels").rglob("*.tif"))
    assert found == ["a/0.png.tif", "b/0.png.tif"]


def test_segment_takes_the_parameters(folder: Path) -> None:
    """Options of the pipeline reach it: fewer cells are as large as asked."""
    counts = []
    for area in ("1", "40"):
        result = segbench("segment", folder, "--out", "out/cells.csv", "--min-area", area)
        assert result.exit_code == 0, result.output
        with Path("out/cells.csv").open(newline="") as file:
            areas = [int(row["area"]) for row in csv.DictReader(file)]
        assert min(areas) >= int(area)
        counts.append(len(areas))
    assert counts[0] > counts[1] > 0


def test_segment_of_images_without_cells(folder: Path) -> None:
    """Images without cells give a table with its header alone."""
    for file in folder.iterdir():
        Image.fromarray(np.full((32, 40), 200, np.uint8)).save(file)
    result = segbench("segment", folder)
    assert result.exit_code == 0, result.output
    assert result.stdout == (
        "0.png: 0 cells\n1.png: 0 cells\n"
        "cells.csv: 0 cells in 2 images, 2 without cells; 0 files left out\n"
    )
    assert Path("cells.csv").read_text() == ",".join(["file", *COLUMNS]) + "\n"


def test_paths_that_a_shell_has_put_in_are_taken(folder: Path) -> None:
    """A pattern without quotes arrives as several paths, of `segment` and of `--images`."""
    files = sorted(folder.iterdir())
    result = segbench("segment", *files)
    assert result.exit_code == 0, result.output
    assert "in 2 images" in result.stdout
    options = ("--sizes", "1,2", "--phases", "open", "--rounds", "2", "--out", "out")
    result = segbench("run", "--images", *files, *options, "--backends", "skimage/skimage/serial")
    assert result.exit_code == 0, result.output
    assert {sample.n_images for sample in read(Path("out") / RUN_NAME).samples} == {1, 2}
    again = read(Path("out") / RUN_NAME).header.settings["again"]
    assert f"--images {files[0]} {files[1]} " in again


def test_what_is_left_out_of_a_run_is_told(folder: Path) -> None:
    """Images of another shape, and files that are none."""
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(folder / "small.png")
    (folder / "notes.txt").write_text("no image")
    options = ("--sizes", "2", "--phases", "open", "--rounds", "1", "--out", "out")
    result = segbench("run", "--images", folder, *options, "--backends", "skimage/skimage/serial")
    assert result.exit_code == 0, result.output
    assert "left out: 1 of 20x20 uint8\n" in result.stderr
    assert "left out: 1 that are no images: notes.txt\n" in result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_a_full_disk_is_told(folder: Path) -> None:
    """In one line with what to do, and without a traceback."""
    result = segbench("segment", folder, "--out", "/dev/full")
    assert result.exit_code == 2
    assert "No space left on device; make room, or write elsewhere" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_cache_that_can_not_be_written_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the variable that names another; `segment` needs none."""
    monkeypatch.setenv("SEGBENCH_CACHE_DIR", str(folder / "0.png" / "cache"))
    result = segbench("run", "--images", folder, "--sizes", "1", "--out", "out")
    assert_refused(result)
    assert "set SEGBENCH_CACHE_DIR to a folder" in result.stderr
    assert segbench("segment", folder).exit_code == 0


def test_an_image_of_three_rows(folder: Path) -> None:
    """It has cells, or one line says why not; never a traceback."""
    Image.fromarray(np.zeros((3, 40), np.uint8)).save(folder / "line.png")
    for backend in ("skimage/skimage/serial", "dask-image/dask-image/threads"):
        result = segbench("segment", folder / "line.png", "--backend", backend)
        assert result.exit_code in (0, 2)
        assert "Traceback" not in result.stderr


def test_backends_are_listed() -> None:
    """`backends` lists each part by kind, and what is measured by default."""
    result = segbench("backends")
    assert result.exit_code == 0
    assert result.stderr == ""
    lines = [line.split() for line in result.stdout.splitlines()]
    for kind, name in (
        ("reader", "dask-array-pims"),
        ("processor", "opencv"),
        ("scheduler", "process-pool"),
    ):
        assert [kind, name, "segbench"] in [line[:3] for line in lines]
    assert ["skimage/skimage/serial"] in lines


def test_info_is_printed() -> None:
    """`info` prints the versions and the cache folder."""
    result = segbench("info")
    assert result.exit_code == 0
    assert result.stderr == ""
    for word in ("python", "dask", "numpy"):
        assert word in result.stdout
    assert str(datasets.cache_folder()) in result.stdout


def test_a_table_never_replaces_an_image(tmp_path: Path) -> None:
    """`segment --out` with the name of an image is refused."""
    photograph = tmp_path / "a.jpg"
    photograph.write_bytes(b"precious")
    result = CliRunner().invoke(main, ["segment", str(tmp_path), "--out", str(photograph)])
    assert result.exit_code == 2
    assert photograph.read_bytes() == b"precious"


SHORT = ("--shape", "32x40", "--sizes", "1,2", "--phases", "open,pipeline", "--rounds", "2")
SMALL = (*SHORT, "--block-size", "21", "--backends", "skimage/skimage/thread-pool")


@pytest.fixture(scope="module")
def short_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run, which nobody changes."""
    out = tmp_path_factory.mktemp("run") / "out"
    result = segbench("run", *SMALL, "--out", out)
    assert result.exit_code == 0, result.output
    assert "nothing is left to measure" not in result.stderr
    assert (out / "report" / "index.html").exists()
    return out


@pytest.fixture
def finished(short_run: Path, tmp_path: Path) -> Path:
    """A copy of the folder of a short run."""
    return shutil.copytree(short_run, tmp_path / "out")


def test_resume_of_a_run_that_is_over_says_so(finished: Path) -> None:
    """Where no sample is missing none is taken, and the user is told."""
    samples = (finished / "run.jsonl").read_bytes()
    result = segbench("run", "--resume", finished)
    assert result.exit_code == 0, result.output
    assert "nothing is left to measure" in result.stderr
    assert (finished / "run.jsonl").read_bytes() == samples


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "gbk", "cp932"])
def test_a_terminal_that_can_not_show_all_signs_shows_the_rest(
    finished: Path, encoding: str
) -> None:
    """The tables and the answer are printed in whatever the terminal can show."""
    done = subprocess.run(  # noqa: S603  (this interpreter, on this program)
        [sys.executable, "-m", "segbench", "run", "--resume", finished],
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        capture_output=True,
        check=True,
    )
    lines = done.stdout.decode(encoding).splitlines()
    assert any(line.startswith("Measured: ") for line in lines)
    assert lines[-1].startswith("Report:")


def test_lines_to_paste_are_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """No part of a line is taken for markup or for the name of a sign, and none is broken."""
    line = f"segbench gate --threshold read:100:a/b/c=0.1 [bold]{'x' * 200}"
    terminal.show_line(line)
    assert capsys.readouterr().out == f"{line}\n"


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_a_log_has_a_line_a_minute(
    seconds: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where there is no terminal for a bar: what is done, what is next, and not more often."""
    monkeypatch.setattr(terminal, "LOG_EVERY", seconds)
    with terminal.progress() as watcher:
        watcher.plan(3)
        watcher.step("read, 20 images")
    with terminal.counting(7, "files") as show:
        show(2)
    told = capsys.readouterr().err
    expected = ["1 of 3 steps done; next: read, 20 images", "2 of 7 files done"]
    assert [*map(str.strip, told.splitlines())] == (expected if seconds == 0 else [])


def test_a_reader_that_has_seen_enough_is_no_failure(finished: Path) -> None:
    """Where a pipe is closed before all was printed, the status is 0, and there is no complaint."""
    with subprocess.Popen(  # noqa: S603  (this interpreter, on this program)
        [sys.executable, "-m", "segbench", "run", "--resume", finished],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        complaint = process.stderr.read()
    assert process.returncode == 0
    assert "Broken pipe" not in complaint
    assert "Traceback" not in complaint


def test_resume_refuses_what_is_no_run(tmp_path: Path) -> None:
    """A folder without a run, or with an old one, can't be gone on with."""
    assert_refused(segbench("run", "--resume", tmp_path / "nowhere"))
    header = {"started": "", "machine": {}, "versions": {}, "settings": {}, "dataset": {}}
    (tmp_path / "run.jsonl").write_text(json.dumps(header) + "\n")
    result = segbench("run", "--resume", tmp_path)
    assert_refused(result)
    assert "run anew" in result.stderr


@pytest.mark.parametrize(
    ("part", "name", "message"),
    [
        ("versions", "numpy", "measured with numpy 0.1, which is"),
        ("machine", "cpu", "measured with cpu 0.1, which is"),
        ("dataset", "key", "the images have changed since"),
    ],
)
def test_resume_refuses_what_has_changed(
    finished: Path, part: str, name: str, message: str
) -> None:
    """A run of other versions, another machine or other images can't be gone on with."""
    run = finished / "run.jsonl"
    header, *lines = run.read_text().splitlines()
    values = json.loads(header)
    values[part][name] = "0.1"
    run.write_text("\n".join([json.dumps(values), *lines[:3]]) + "\n")
    before = run.read_bytes()
    result = segbench("run", "--resume", finished)
    assert_refused(result)
    assert message in result.stderr
    assert run.read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize(
    "name",
    ["SIGTERM", *(pytest.param(each, marks=pytest.mark.slow) for each in ("SIGKILL", "SIGINT"))],
)
def test_a_run_that_was_ended_can_go_on(tmp_path: Path, name: str) -> None:
    """However a run is ended, no sample is lost, and `--resume` measures the rest."""
    out = tmp_path / "out"
    run = out / "run.jsonl"
    command = [sys.executable, "-m", "segbench", "run", *SMALL, "--rounds", "6"]
    with subprocess.Popen(  # noqa: S603  (this interpreter, on this program)
        [*command, "--precision", "0.001", "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        while not run.exists() or run.read_bytes().count(b"\n") < 40:
            assert running.poll() is None
            time.sleep(0.02)
        family = psutil.Process(running.pid).children(recursive=True)
        running.send_signal(signal.Signals[name])
        printed, errors = running.communicate(timeout=60)
    assert psutil.wait_procs(family, timeout=20)[1] == []
    assert "Traceback" not in errors
    if name == "SIGKILL":
        assert not (out / "report").exists()
    else:
        # What there is has its report, which says how to go on.
        assert running.returncode == 130
        assert "--resume" in errors
        assert "Report: " in printed
    earlier = read(out / RUN_NAME)
    assert len(earlier.samples) >= 39
    result = segbench("run", "--resume", out)
    assert result.exit_code == 0, result.output
    samples = read(out / RUN_NAME).samples
    assert samples[: len(earlier.samples)] == earlier.samples
    assert {(s.phase, s.n_images) for s in samples} == {
        (phase, size) for phase in ("open", "pipeline") for size in (1, 2)
    }
    assert len(list((out / "report").glob("index.html"))) == 1


def test_what_can_not_be_imported_is_not_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 1 tells of a regression or of wrong cells: a broken installation ends with 2."""
    monkeypatch.setitem(sys.modules, "segbench.cli", None)
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 2
    assert "ModuleNotFoundError" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("delay", [0.1, 0.3, 0.6])
def test_an_early_interrupt_is_one_line(tmp_path: Path, delay: float) -> None:
    """Ctrl-C before anything is measured ends with a line and status 130, and writes nothing."""
    out = tmp_path / "out"
    # The interpreter itself, until it has come to the program, can't be made to end nicely.
    started = f"import sys; sys.argv = ['segbench', 'run', '--out', {str(out)!r}]; "
    code = f"{started} from segbench.__main__ import main; print('here', flush=True); main()"
    with subprocess.Popen(  # noqa: S603  (this interpreter, on this program)
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        running.stdout.readline()
        time.sleep(delay)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert errors.strip() == "segbench: interrupted"
    assert not out.exists()
