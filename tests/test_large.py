"""Segmenting one large image within a bound of memory."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from click.testing import CliRunner

from segbench import windows
from segbench.cli import main
from segbench.errors import InputError
from segbench.images import datasets
from segbench.results import records
from segbench.segmenting import cells, large, outputs

if TYPE_CHECKING:
    from pathlib import Path

# GiB: enough for tiles of 512 pixels, and not for the image.
LITTLE = 0.6
SHAPE = (1500, 1800)
GIVEN: dict[str, Any] = {"diameter": 14.0, "foreground": "dark", "contrast": 0.16}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mosaic in its file."""
    path: Path = tmp_path_factory.mktemp("large") / "a.tif"
    path.write_bytes(datasets.mosaic(shape=SHAPE).files[0].read_bytes())
    return path


def segmented(
    image: Path,
    out: Path,
    *,
    memory: float = cells.UNBOUNDED,
    resume: bool = False,
    workers: int = 1,
    **given: Any,
) -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    """The table and the label image of a file."""
    wanted = outputs.Outputs(out=out / "cells.csv", labels=out / "labels", overlays=out / "look")
    begin = None if resume else lambda: cells.job_for([image], GIVEN | given, memory=memory)
    outputs.segment_files([image], begin, wanted, workers=workers)
    return pd.read_csv(out / "cells.csv"), tifffile.imread(out / "labels" / "a.tif.tif")


@pytest.mark.parametrize(
    "steps",
    [
        {"own_contrast": False, "fill_holes": False, "split": False},
        {"own_contrast": True, "fill_holes": False, "split": False},
        {"own_contrast": False, "fill_holes": True, "split": False},
        {"own_contrast": True, "fill_holes": True, "split": True},
    ],
    ids=["five steps", "own contrast", "holes", "all"],
)
def test_a_large_image_has_the_cells_of_the_whole(
    image: Path, steps: dict[str, bool], tmp_path: Path
) -> None:
    """The same rows and the same pixels, with every step, though it is never there as a whole."""
    whole, labels = segmented(image, tmp_path / "whole", **steps)
    table, in_tiles = segmented(image, tmp_path / "tiles", memory=LITTLE, **steps)
    assert len(whole) > 200
    if not steps["split"]:
        pd.testing.assert_frame_equal(table, whole, rtol=1e-4)
        assert np.array_equal(in_tiles, labels)
        return
    # Labels of split cells are numbered otherwise as a whole.
    order = [*whole.columns.drop(["label"])]
    pd.testing.assert_frame_equal(
        table.sort_values(order)[order].reset_index(drop=True),
        whole.sort_values(order)[order].reset_index(drop=True),
        rtol=1e-4,
    )
    assert np.array_equal(in_tiles > 0, labels > 0)


def test_it_goes_on_where_it_was_interrupted(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No tile is done twice, the table is the same, and nothing is left beside it.

    Also with more workers, for each of which there would be no room: tiles stay as they were cut.
    """
    expected, labels = segmented(image, tmp_path / "whole", memory=LITTLE)
    done: list[int] = []
    do = large._do_tile  # noqa: SLF001  (what does a tile is to be counted, and interrupted)

    def interrupted(numbered: tuple[int, Any], **how: Any) -> None:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(numbered[0])
        do(numbered, **how)

    monkeypatch.setattr(large, "_do_tile", interrupted)
    out = tmp_path / "part"
    with pytest.raises(KeyboardInterrupt):
        segmented(image, out, memory=LITTLE)
    assert not (out / "cells.csv").exists()

    def counted(numbered: tuple[int, Any], **how: Any) -> None:
        done.append(numbered[0])
        do(numbered, **how)

    monkeypatch.setattr(large, "_do_tile", counted)
    table, in_tiles = segmented(image, out, resume=True, workers=3)
    assert sorted(done) == [*range(len(done))]
    assert len(done) > 6
    pd.testing.assert_frame_equal(table, expected)
    assert np.array_equal(in_tiles, labels)
    assert sorted(each.name for each in out.iterdir()) == ["cells.csv", "labels", "look"]


def test_too_little_memory_is_told(image: Path, tmp_path: Path) -> None:
    """With what would be enough; no folder is left that was made for what is not there."""
    with pytest.raises(
        InputError, match=r"memory 0\.505 GiB: a tile .* takes 0\.5.*give more --memory"
    ):
        segmented(image, tmp_path, memory=0.505)
    assert not [*tmp_path.iterdir()]


def test_a_damaged_tile_leaves_the_image_out(image: Path, tmp_path: Path) -> None:
    """It is named, and nothing is written of the rest."""
    broken = tmp_path / "a.tif"
    content = bytearray(image.read_bytes())
    with tifffile.TiffFile(image) as tiff:
        place = tiff.pages.first.dataoffsets[5]
    content[place : place + 50] = bytes(50)
    broken.write_bytes(content)
    with pytest.raises(InputError, match="tile 5 is damaged"):
        segmented(broken, tmp_path / "out", memory=LITTLE)
    assert not (tmp_path / "out" / "cells.csv").exists()


@pytest.mark.slow
def test_a_run_of_large_images(tmp_path: Path) -> None:
    """All phases are timed and agree; the page has a table by size, and the tiles' side is swept."""
    words = ["--large", "600x700,900x1000", "--backends", "tiles/tiles/threads"]
    words += ["--batches", "256,512", "--rounds", "1", "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(main, ["run", *words])
    assert done.exit_code == 0, done.output
    run = records.read(tmp_path / "run" / records.RUN_NAME)
    assert {sample.status for sample in run.samples} == {"ok"}
    assert {sample.phase for sample in run.samples} == {"read", "process", "pipeline"}
    assert {sample.backend.batch for sample in run.samples} == {0, 256, 512}
    text = (tmp_path / "run" / "report" / "index.html").read_text()
    for told in ("pipeline: time by the size of the image", "Side of a tile in pixels"):
        assert told in text
    assert "mosaic" in shlex.split(run.header.settings["again"])


@pytest.mark.slow
def test_a_run_of_ones_own_large_image(image: Path, tmp_path: Path) -> None:
    """A file of one's own is measured likewise, and can be found again."""
    words = ["--images", str(image), "--large", "--backends", "tiles/dask-overlap/threads"]
    words += ["--phases", "pipeline", "--rounds", "1", "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(main, ["run", *words])
    assert done.exit_code == 0, done.output
    run = records.read(tmp_path / "run" / records.RUN_NAME)
    assert {sample.status for sample in run.samples} == {"ok"}
    assert {"--large", str(image)} <= {*shlex.split(run.header.settings["again"])}


def test_the_cells_of_a_small_zarr_are_estimated(image: Path, tmp_path: Path) -> None:
    """It is read in windows however small it is, also where a sample is looked at."""
    pytest.importorskip("zarr")
    folder = tmp_path / "a.zarr"
    folder.mkdir()
    windows.write_zarr(folder, windows.open_image(str(image)))
    expected = cells.job_for([image], {}, memory=LITTLE)
    found = cells.job_for([folder], {}, memory=cells.UNBOUNDED)
    assert found.estimate
    assert found.params == expected.params
