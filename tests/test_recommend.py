"""Which backend is recommended for a folder of images, what it will take, and the script for it."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import skimage.io
import tifffile
from click.testing import CliRunner

from segbench import cli, windows
from segbench.backends import phases
from segbench.backends.registry import BASELINE, BackendSpec
from segbench.images import datasets
from segbench.images.origin import Origin
from segbench.measure.protocol import Check
from segbench.pipeline import PipelineParams
from segbench.recommend import measuring, telling
from segbench.report.script import RUNS, script
from tests.scripted import Script, Watcher

if TYPE_CHECKING:
    from pathlib import Path

    from segbench.measure.protocol import Time
    from segbench.measure.workers import Arm
    from segbench.recommend.measuring import Recommendation

DARK = PipelineParams(diameter=10, block_size=31)


def save(folder: Path, *, count: int = 5, channels: int = 3) -> list[Path]:
    """Images of some channels: parts of smears."""
    folder.mkdir()
    for index, file in enumerate(datasets.smear(count, shape=(48, 64)).files):
        pixels = skimage.io.imread(file)
        pixels = {0: pixels[..., 0], 3: pixels, 4: np.dstack([pixels, pixels[..., 0]])}[channels]
        skimage.io.imsave(folder / f"{index}.png", pixels, check_contrast=False)
    return sorted(folder.iterdir())


def cells_by(code: str, files: list[Path], folder: Path) -> pd.DataFrame:
    """What a script finds."""
    (folder / "segment.py").write_text(code)
    done = subprocess.run(  # noqa: S603  (this interpreter, on what was written)
        [sys.executable, "-W", "ignore", "segment.py", *map(str, files)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return pd.read_csv(folder / "areas.csv")


def cells_of(files: list[Path], params: PipelineParams) -> pd.DataFrame:
    """What segbench finds."""
    with phases.started(BASELINE, workers=1) as backend:
        return phases.run_pipeline(backend, f"{files[0].parent}/*.png", params).table()


@pytest.mark.parametrize("scheduler", RUNS)
def test_the_script_finds_the_same_cells(scheduler: str, tmp_path: Path) -> None:
    """Under every scheduler that may be named, without segbench, image by image."""
    files = save(tmp_path / "images")
    spec = BackendSpec("skimage", "skimage", scheduler)
    code = script(spec, DARK, workers=2, channels=3)
    assert "segbench" not in code
    assert len(code.splitlines()) < 60
    found, expected = cells_by(code, files, tmp_path), cells_of(files, DARK)
    assert len(expected) > 5
    assert [*dict.fromkeys(found["file"])] == [
        str(files[image]) for image in dict.fromkeys(expected["image"])
    ]
    assert np.array_equal(found[["label", "area"]], expected[["label", "area"]])


@pytest.mark.parametrize(
    ("channels", "channel", "params"),
    [
        (0, None, DARK),
        (4, None, DARK),
        (3, 2, DARK),
        (3, None, PipelineParams(diameter=10, block_size=31, foreground="bright", method="mean")),
        (3, None, PipelineParams(diameter=10, block_size=31, method="median", min_area=1)),
    ],
)
def test_the_script_reads_as_segbench_does(
    channels: int, channel: int | None, params: PipelineParams, tmp_path: Path
) -> None:
    """Gray images and transparent ones, one channel, bright cells, and each local threshold."""
    files = save(tmp_path / "images", channels=channels)
    code = script(BASELINE, params, workers=1, channels=channels, channel=channel)
    found = cells_by(code, files, tmp_path)
    if channel:
        (tmp_path / "alone").mkdir()
        for file in files:
            pixels = skimage.io.imread(file)[..., channel - 1]
            skimage.io.imsave(tmp_path / "alone" / file.name, pixels, check_contrast=False)
        files = sorted((tmp_path / "alone").iterdir())
    expected = cells_of(files, params)
    assert len(expected) > 3
    assert np.array_equal(found[["label", "area"]], expected[["label", "area"]])


def recommended(
    folder: Path, times: dict[str, tuple[float, float]], *, total: int
) -> Recommendation:
    """What is recommended where schedulers take so long for a call, and for each image."""

    def seconds(arm: Arm, _: Time) -> float:
        checks = [
            one.n_images for who, one in scripted.asked if who == arm and isinstance(one, Check)
        ]
        call, image = times[arm.backend.scheduler]
        # A pool works on two at once, and has nothing to gain from the half of an image.
        turns = checks[-1] if arm.backend == BASELINE else 2 * math.ceil(checks[-1] / 2)
        return call + image * turns

    scripted = Script(seconds=seconds, peak_mib=lambda _: 120.0)
    save(folder, count=12)
    dataset = datasets.from_images(Origin(images=(str(folder),)))
    return measuring.recommend(
        dataset, DARK, total=total, workers=2, watcher=Watcher(), launch=scripted.launch
    )


SLOWER = dict.fromkeys(("process-pool", "processes"), (0.2, 0.02))


def test_the_fastest_for_all_is_named(tmp_path: Path) -> None:
    """Not what is the fastest on the sample, but for as many images as there will be."""
    times = {"serial": (0.0, 0.01), "thread-pool": (0.5, 0.005), "threads": (0.6, 0.007), **SLOWER}
    found = recommended(tmp_path / "a", times, total=1000)
    assert found.named.backend.scheduler == "thread-pool"
    assert found.named.seconds == pytest.approx(5.5)
    assert found.named.low < 5.5 < found.named.high
    assert found.loop.seconds == pytest.approx(10.0)
    assert found.batch == 125
    first, *_ = telling.sentences(found)
    assert first.startswith(
        "Use scikit-image in a thread pool, with 2 workers and 125 images a task: 1000 images take about"
    )
    assert "45% less than in a plain loop (10.0 s)" in first
    found = recommended(tmp_path / "b", times, total=20)
    assert found.named.backend == BASELINE
    first, *_ = telling.sentences(found)
    assert first.startswith("Use a plain loop: 20 images take about 200 ms")


def test_the_simplest_of_what_is_as_good(tmp_path: Path) -> None:
    """Where Dask is as fast as a pool without it, the pool is named."""
    times = {
        "serial": (0.0, 0.01),
        "thread-pool": (0.0, 0.00505),
        "threads": (0.0, 0.005),
        **SLOWER,
    }
    found = recommended(tmp_path / "a", times, total=100)
    assert found.named.backend.scheduler == "thread-pool"
    assert found.predictions[0].backend.scheduler == "threads"


def test_a_plain_loop_that_is_enough(tmp_path: Path) -> None:
    """Where it takes less than a second, that is said, whatever is faster."""
    times = {"serial": (0.0, 0.01), "thread-pool": (0.0, 0.005), "threads": (0.0, 0.006), **SLOWER}
    told = [*telling.sentences(recommended(tmp_path / "a", times, total=20))]
    assert "A plain loop is enough, though: it takes 200 ms." in told


def test_bad_usage() -> None:
    """A folder that is not there is one line, and status 2."""
    done = CliRunner().invoke(cli.main, ["recommend", "nowhere"])
    assert done.exit_code == 2
    assert "nowhere" in done.output


@pytest.mark.slow
def test_recommend(tmp_path: Path) -> None:
    """The command measures, names a backend, and writes a script that finds the cells."""
    files = save(tmp_path / "images", count=10)
    words: list[Any] = ["recommend", str(tmp_path / "images"), "--total", "40", "--diameter", "10"]
    words += ["--script", str(tmp_path / "own.py")]
    done = CliRunner().invoke(cli.main, words)
    assert done.exit_code == 0, done.output
    assert "Predicted for 40 images" in done.output
    code = (tmp_path / "own.py").read_text()
    assert "python own.py IMAGE..." in code
    assert len(cells_by(code, files, tmp_path)) > 5


def test_a_large_image_is_measured_in_part(tmp_path: Path) -> None:
    """What is named works in tiles; time grows with the image, and memory only as a whole."""
    seconds = {"serial": 8.0, "thread-pool": 4.0, "threads": 4.05, "process-pool": 6.0}

    def time_of(arm: Arm, _: Time) -> float:
        return seconds[arm.backend.scheduler]

    path = tmp_path / "a.tif"
    values = np.zeros((2048, 16384), np.uint8)
    tifffile.imwrite(path, values, tile=(512, 512), compression="zlib")
    scripted = Script(seconds=time_of, peak_mib=lambda _: 1024.0)
    image = windows.open_image(str(path))
    found = measuring.recommend_large(
        image, DARK, workers=2, watcher=Watcher(), launch=scripted.launch
    )
    assert found.dataset.shape == (2048, 4096)
    assert str(found.named.backend) == "tiles/tiles/thread-pool/2048"
    assert found.named.seconds == pytest.approx(16)
    assert found.named.peak_mib == 1024
    assert found.loop.seconds == pytest.approx(32)
    assert found.loop.peak_mib == 4096
    (first, *_), command = telling.of_large(found, image, DARK)
    assert first.startswith(
        "Use scikit-image in tiles in a thread pool, tiles of 2048 pixels: 2048 × 16384 "
    )
    assert "scikit-image on the whole image would take 32.0 s and 4.0 GiB" in first
    assert command.startswith(f"segbench segment {path} --diameter ")
