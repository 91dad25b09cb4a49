"""The pipeline as a tool, from Python and with files."""

from __future__ import annotations

import doctest
import re
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image
from skimage.io import imread
from skimage.measure import regionprops_table

import segbench
from segbench.errors import InputError
from segbench.estimate import Estimate
from segbench.images import paths, plain
from segbench.images.smear import smear_image
from segbench.pipeline import PipelineParams
from segbench.segmenting import cells as finding
from segbench.segmenting import frames
from segbench.segmenting import outputs as writing

if TYPE_CHECKING:
    from numpy.typing import NDArray

PARAMS = PipelineParams(diameter=14, foreground="dark", contrast=0.4, fill_holes=True, split=True)


def discs(seed: int = 0, shape: tuple[int, int] = (96, 128)) -> NDArray[np.uint8]:
    """Dark discs on a bright ground."""
    rng = np.random.default_rng(seed)
    pixels = np.full(shape, 220, np.uint8)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    for row in (24, 72):
        for column in (20, 60, 100):
            radius = rng.uniform(6, 9)
            pixels[(rows - row) ** 2 + (columns - column) ** 2 < radius**2] = 100
    return pixels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of several kinds: gray, in colours, of another shape, two pages, without cells."""
    folder = tmp_path / "images"
    folder.mkdir()
    Image.fromarray(discs(0)).save(folder / "a.png")
    Image.fromarray(np.dstack([discs(1)] * 3)).save(folder / "b.tif")
    Image.fromarray(discs(2, (100, 128))).save(folder / "c.bmp")
    tifffile.imwrite(folder / "d.tif", np.stack([discs(3), discs(4)]), photometric="minisblack")
    Image.fromarray(np.full((96, 128), 220, np.uint8)).save(folder / "e.png")
    return folder


NAMES = ["a.png", "b.tif", "c.bmp", "d.tif#1", "d.tif#2"]


def files_of(folder: Path, outputs: writing.Outputs, **options: Any) -> writing.Counts:
    """Segment the images of a folder."""
    job = finding.Job(params=PARAMS)
    found = paths.find([str(folder)]).files
    options = {"workers": 2} | options
    begin = None if options.pop("resume", False) else lambda: job
    return writing.segment_files(found, begin, outputs, **options)[1]


def one_image_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each image be a batch, with one worker."""
    monkeypatch.setattr(finding, "BATCH_IMAGES", 1)
    monkeypatch.setattr(finding, "IMAGES_PER_WORKER", 1)


def test_a_table_of_any_images(folder: Path) -> None:
    """One row a cell by the names of regionprops, for images of any shapes and kinds, in order."""
    cells = segbench.segment(folder, params=PARAMS)
    assert list(cells.columns) == ["file", *finding.COLUMNS]
    assert cells["file"].drop_duplicates().tolist() == NAMES
    assert (cells.groupby("file").size() == 6).all()
    first = cells[cells["file"] == "a.png"]
    assert first["label"].tolist() == [1, 2, 3, 4, 5, 6]
    assert first["mean_intensity"].between(90, 130).all()
    assert first["area"].between(100, 280).all()
    np.testing.assert_allclose(
        first["equivalent_diameter_area"], np.sqrt(4 / np.pi * first["area"]), rtol=1e-6
    )
    assert {*first["centroid-0"].round()} == {24, 72}


def test_the_python_function_estimates(folder: Path) -> None:
    """What is not given comes from the images, as on the command line, and is told."""
    for given in ({}, {"diameter": 14}):
        cells = segbench.segment([folder], **given)
        assert (cells.groupby("file").size() == 6).all()
        told = cells.attrs["params"]
        assert told["diameter"] == pytest.approx(14.5, abs=1)
        assert (told["foreground"], told["split"], told["fill_holes"]) == ("dark", True, True)


def test_the_python_function_refuses_what_makes_no_sense(folder: Path) -> None:
    """All parameters and some, or one that does not exist."""
    with pytest.raises(InputError, match="leave out diameter"):
        segbench.segment(folder, params=PARAMS, diameter=3)
    with pytest.raises(InputError, match="radius: no field of PipelineParams"):
        segbench.segment(folder, radius=3)


@pytest.mark.parametrize(
    "backend", ["skimage/skimage/serial", "dask-array-skimage/dask-blocks/threads"]
)
def test_backends_find_the_same(folder: Path, backend: str) -> None:
    """The table does not depend on the backend."""
    expected = segbench.segment(folder, params=PARAMS)
    found = segbench.segment(folder, params=PARAMS, backend=backend)
    pd.testing.assert_frame_equal(found, expected)


def test_batches_change_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One image a batch gives the same as all in one."""
    expected = segbench.segment(folder, params=PARAMS, workers=1)
    one_image_a_batch(monkeypatch)
    pd.testing.assert_frame_equal(segbench.segment(folder, params=PARAMS, workers=1), expected)


def test_units_are_those_of_the_file(tmp_path: Path) -> None:
    """The mean intensity of float and signed images is in their own units."""
    tifffile.imwrite(tmp_path / "a.tif", (discs() / 1000 - 0.5).astype("f4"))
    cells = segbench.segment(tmp_path / "a.tif", params=PARAMS)
    assert len(cells) == 6
    assert cells["mean_intensity"].between(-0.42, -0.36).all()


def test_a_bad_file_is_a_warning(folder: Path) -> None:
    """The others are segmented; alone it is an error."""
    (folder / "f.png").write_bytes(b"no image")
    with pytest.warns(UserWarning, match=r"f.png: can't be read as an image"):
        cells = segbench.segment(folder, params=PARAMS)
    assert len(cells) == 30
    with pytest.raises(InputError, match=r"f.png: can't be read"):
        segbench.segment(folder / "f.png", params=PARAMS)


def test_a_file_that_breaks_a_batch_is_found(folder: Path) -> None:
    """One whose header is good and whose pixels are not costs no other; mended, it alone is done."""
    content = (folder / "a.png").read_bytes()
    (folder / "aa.png").write_bytes(content[: len(content) // 2])
    labels = folder.parent / "labels"
    outputs = writing.Outputs(out=folder.parent / "cells.csv", labels=labels)
    counts = files_of(folder, outputs)
    assert (counts.images, counts.cells, counts.without) == (6, 30, 1)
    (left_out,) = counts.left_out
    assert left_out.file == "aa.png"
    assert "can't be read" in left_out.why
    (folder / "aa.png").write_bytes(content)
    before = {file: file.stat().st_mtime_ns for file in labels.iterdir()}
    counts = files_of(folder, outputs, resume=True)
    assert (counts.images, counts.cells, counts.left_out) == (7, 36, ())
    after = {file: file.stat().st_mtime_ns for file in labels.iterdir()}
    assert {file for file, _ in after.items() - before.items()} == {labels / "aa.png.tif"}
    assert not writing.partial_of(outputs.out).exists()


def test_a_run_with_files_left_out_can_be_begun_anew(folder: Path) -> None:
    """What is kept beside a table that is whole but for such files is in no one's way."""
    (folder / "f.png").write_bytes(b"no image")
    outputs = writing.Outputs(out=folder.parent / "cells.csv")
    for _ in range(2):
        assert len(files_of(folder, outputs).left_out) == 1


def test_everything_is_written(folder: Path, tmp_path: Path) -> None:
    """Table, summary, label images and pictures belong together."""
    outputs = writing.Outputs(
        out=tmp_path / "cells.csv",
        summary=tmp_path / "images.csv",
        labels=tmp_path / "labels",
        overlays=tmp_path / "look",
    )
    counts = files_of(folder, outputs)
    assert (counts.images, counts.cells, counts.without) == (6, 30, 1)
    cells = pd.read_csv(outputs.out)
    summary = pd.read_csv(tmp_path / "images.csv")
    assert summary["file"].tolist() == [*NAMES, "e.png"]
    assert summary["cells"].tolist() == [6, 6, 6, 6, 6, 0]
    medians = cells.groupby("file")["area"].median()
    assert summary["median_area"].tolist() == [*medians[NAMES], 0]
    for name in NAMES:
        labels = imread(tmp_path / "labels" / f"{name}.tif")
        assert labels.dtype == np.int32
        own = cells[cells["file"] == name]
        table = regionprops_table(labels, properties=("label", "area", "bbox"))
        for column, values in table.items():
            assert own[column].tolist() == values.tolist()
        picture = imread(tmp_path / "look" / f"{name}.png")
        assert picture.shape == (*labels.shape, 3)
        assert (picture[..., 2] > picture[..., 0]).any()  # an outline in blue
    assert not [*tmp_path.glob(".*"), *tmp_path.glob("*.partial")]


def test_parquet_by_its_name(folder: Path, tmp_path: Path) -> None:
    """The same table with another ending."""
    pytest.importorskip("pyarrow")
    for name in ("cells.csv", "cells.parquet"):
        files_of(folder, writing.Outputs(out=tmp_path / name, summary=tmp_path / f"s-{name}"))
    expected = pd.read_csv(tmp_path / "cells.csv")
    found = pd.read_parquet(tmp_path / "cells.parquet")
    pd.testing.assert_frame_equal(found, expected, rtol=1e-4, check_dtype=False)
    summary = pd.read_parquet(tmp_path / "s-cells.parquet")
    expected = pd.read_csv(tmp_path / "s-cells.csv")
    pd.testing.assert_frame_equal(summary, expected, rtol=1e-4, check_dtype=False)


def test_parquet_without_pyarrow(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused before the work, with what to install."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"segbench\[parquet\]"):
        files_of(folder, writing.Outputs(out=tmp_path / "cells.parquet"))


def test_an_interruption_loses_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing is done when it goes on, and nothing twice; until then there is no table."""
    outputs = writing.Outputs(out=tmp_path / "cells.csv", labels=tmp_path / "labels")
    files_of(folder, replace(outputs, out=tmp_path / "whole.csv"))
    one_image_a_batch(monkeypatch)

    def interrupt(done: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files_of(folder, outputs, workers=1, file_done=interrupt)
    assert not outputs.out.exists()
    partial = writing.partial_of(outputs.out)
    with pytest.raises(InputError, match="add --resume to go on"):
        files_of(folder, outputs)
    # A line that was not written to its end is no image.
    with partial.open("ab") as journal:
        journal.write(b'{"file": "c.b')
    for name in ("a.png", "b.tif"):
        (tmp_path / "labels" / f"{name}.tif").unlink()
    counts = files_of(folder, replace(outputs, labels=None), resume=True)
    assert (counts.images, counts.cells) == (6, 30)
    assert outputs.out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    # As it was begun, with what somebody has taken away.
    assert len([*(tmp_path / "labels").iterdir()]) == 6
    assert not partial.exists()
    with pytest.raises(InputError, match="nothing was begun"):
        files_of(folder, outputs, resume=True)


def test_a_journal_of_something_else_is_refused(folder: Path, tmp_path: Path) -> None:
    """In one line, with what to do."""
    out = tmp_path / "cells.csv"
    writing.partial_of(out).write_text("no journal\n")
    with pytest.raises(InputError, match="can't be understood; remove it"):
        files_of(folder, writing.Outputs(out=out), resume=True)


def test_what_is_left_out_is_told(folder: Path) -> None:
    """Files of one cause together, and all in the closing line."""
    for name in ("x.png", "y.png"):
        (folder / name).write_bytes(b"")
    (folder / "notes.txt").write_text("")
    out = folder.parent / "cells.csv"
    counts = files_of(folder, writing.Outputs(out=out))
    beside = paths.find([str(folder)]).left_out
    assert writing.closing(out, counts, len(beside)) == (
        f"{out}: 30 cells in 6 images, 1 without cells; 3 files left out"
    )
    job = finding.Job(params=PARAMS)
    others, empty, again, defaults = writing.told(out, job, counts, no_images=beside)
    assert others.startswith("left out: notes.txt; segbench reads .jpg")
    assert empty == "x.png, y.png: the file is empty; remove or replace it"
    assert again.startswith(f"{out}.partial keeps what was found")
    assert defaults.startswith("no cells were seen in a sample of the images; the defaults")


def test_what_looks_like_noise_is_told() -> None:
    """Where most objects are far smaller than a cell of the diameter, and not where few are."""
    job = finding.Job(params=PipelineParams(diameter=20))
    for small, is_told in ((30, True), (4, False)):
        counts = writing.Counts(images=2, cells=40, small=small)
        told = [*writing.told(Path("cells.csv"), job, counts, no_images=())]
        assert any(f"{small} of 40 cells are less than a third" in one for one in told) == is_told


@pytest.mark.parametrize(("share", "all_are"), [(10.0, True), (0.01, False)])
def test_small_objects_are_counted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, share: float, all_are: bool
) -> None:
    """By their areas, as a share of a disc of the diameter."""
    monkeypatch.setattr(writing, "SMALL", share)
    counts = files_of(folder, writing.Outputs(out=folder.parent / "cells.csv"))
    assert counts.small == (counts.cells if all_are else 0)


def test_few_images_have_a_line_each(folder: Path) -> None:
    """With the number of cells and their median area; many images, and one alone, have none."""
    counts = files_of(folder, writing.Outputs(out=folder.parent / "cells.csv"))
    lines = [*writing.of_each(counts)]
    assert len(lines) == counts.images
    assert sum(int(line.partition(": ")[2].split()[0]) for line in lines) == counts.cells
    assert any(line.endswith(": 0 cells") for line in lines)
    for images in (1, writing.TOLD_EACH + 1):
        assert not [*writing.of_each(replace(counts, images=images))]


def test_what_is_in_doubt_is_told() -> None:
    """Options to paste, and whether all images of the sample agree on what is a cell."""
    seen = Estimate(diameter=14.0, foreground="dark", contrast=0.4, images=10, doubtful=3)
    job = finding.Job(params=PARAMS, estimate=seen, limits=(0.0, 2.0))
    options, doubt, values = writing.taken(job)
    assert "--diameter 14 --foreground dark --contrast 0.4" in options
    assert doubt.startswith("in 3 of 10 images of the sample it is not clear that cells are dark")
    assert values == "black is 0 and white 2 (--values)"
    known = replace(job, given=("diameter", "foreground", "contrast"), limits=None)
    assert not [*writing.taken(replace(known, estimate=None))]


def test_names_stay_in_their_folders(folder: Path, tmp_path: Path) -> None:
    """A path that goes up and down again names a file of the folder it leads to, once."""
    found = paths.find([str(folder / ".." / "images" / "a.png"), str(folder / "a.png")])
    assert found.files == (folder / "a.png",)
    outputs = writing.Outputs(out=tmp_path / "cells.csv", labels=tmp_path / "labels")
    job = finding.Job(params=PARAMS)
    several = paths.find([str(tmp_path / "x" / ".." / "images" / "a.png"), str(folder)]).files
    writing.segment_files(several, lambda: job, outputs, workers=1)
    assert (tmp_path / "labels" / "a.png.tif").is_file()


def test_what_was_begun_with_other_images_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two days' images of the same names are not mixed up."""
    outputs = writing.Outputs(out=tmp_path / "cells.csv")
    one_image_a_batch(monkeypatch)

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files_of(folder, outputs, workers=1, file_done=interrupt)
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(discs()).save(other / "a.png")
    with pytest.raises(InputError, match=r"it was begun with .*images; give the same paths"):
        files_of(other, outputs, resume=True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"summary": "cells.csv"}, "one table can't be both"),
        ({"summary": "images/../cells.csv"}, "one table can't be both"),
        ({"summary": "cells.xlsx"}, "a table is a .csv or a .parquet file"),
        ({"labels": "images"}, "holds the images; give another folder"),
        ({"overlays": "linked"}, "holds the images; give another folder"),
        ({"labels": "labels"}, "is one of the images; give another folder"),
        ({"summary": "table.csv"}, "is one of the images; give another name"),
        ({"summary": "images/a.png/b.csv"}, "can't be written"),
    ],
)
def test_what_can_not_be_written_is_refused_before_the_work(
    folder: Path, tmp_path: Path, given: dict[str, str], message: str
) -> None:
    """In one line, and nothing is left of it."""
    (tmp_path / "linked").symlink_to(folder, target_is_directory=True)
    (tmp_path / "table.csv").symlink_to(folder / "a.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.png.tif").symlink_to(folder / "a.png")
    names = {name: tmp_path / path for name, path in given.items()}
    with pytest.raises(InputError, match=message):
        files_of(folder, writing.Outputs(out=tmp_path / "cells.csv", **names))
    assert not writing.partial_of(tmp_path / "cells.csv").exists()


def test_a_backend_that_can_not_do_it_says_so(folder: Path, tmp_path: Path) -> None:
    """Where no image can be segmented the words of the step that refuses are the error."""
    pytest.importorskip("cv2")
    job = finding.Job(params=replace(PARAMS, method="median"), backend="skimage/opencv/serial")
    found = paths.find([str(folder)]).files
    with pytest.raises(InputError, match="opencv has no median"):
        writing.segment_files(
            found, lambda: job, writing.Outputs(out=tmp_path / "cells.csv"), workers=1
        )


def test_parquet_without_any_cell(folder: Path, tmp_path: Path) -> None:
    """Its columns have their types, whether or not the first images have cells."""
    pytest.importorskip("pyarrow")
    for name in NAMES:
        (folder / name.split("#")[0]).unlink(missing_ok=True)
    files_of(folder, writing.Outputs(out=tmp_path / "cells.parquet"))
    empty = pd.read_parquet(tmp_path / "cells.parquet")
    assert list(empty.columns) == ["file", *finding.COLUMNS]
    assert empty["area"].dtype == np.int64


def test_values_beyond_the_sample_are_told(tmp_path: Path) -> None:
    """A float image that is brighter than those of the sample is cut off, and counted."""
    for number, gain in enumerate((1, 2, 1)):
        tifffile.imwrite(tmp_path / f"{number}.tif", gain * (discs() / 1000).astype("f4"))
    job = finding.Job(params=PARAMS, limits=(0.1, 0.22))
    found = paths.find([str(tmp_path)]).files
    outputs = writing.Outputs(out=tmp_path / "cells.csv")
    _, counts = writing.segment_files(found, lambda: job, outputs, workers=1)
    assert counts.beyond == 1
    told, *_ = writing.told(outputs.out, job, counts, no_images=())
    assert told.startswith("1 image with values beyond 0.1 to 0.22")


@pytest.mark.parametrize("limits", [(5, 5), (9, 1), (0, float("nan")), (float("-inf"), 1)])
def test_values_that_leave_nothing_between_them(folder: Path, limits: tuple[float, float]) -> None:
    """They are refused before any image is looked at."""
    with pytest.raises(InputError, match="the lower one first"):
        finding.job_for(paths.find([str(folder)]).files, {}, limits=limits)


def test_the_docstrings_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the documentation of `segment` shows is what comes out."""
    monkeypatch.chdir(tmp_path)
    results = doctest.testmod(frames)
    assert (results.attempted, results.failed) == (5, 0)


def test_images_are_worked_on_as_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more than a batch is held at once."""
    one_image_a_batch(monkeypatch)
    seen: list[str] = []
    for number in range(5):
        Image.fromarray(discs(number)).save(tmp_path / f"{number:02d}.png")

    def keep(name: str, *_: NDArray[Any]) -> None:
        seen.append(name)

    job = finding.Job(params=PARAMS)
    found = paths.find([str(tmp_path)]).files
    cells = finding.find_cells(found, job, workers=1, keep=keep)
    next(cells)
    assert seen == ["00.png"]
    assert len([*cells]) == 4


def test_names_that_are_no_text() -> None:
    """The bytes of a file's name that are not UTF-8 stay in both tables, however pandas keeps text."""
    name = "a\udcff.png"
    one = finding.Cells(file=name, rows=[[1.0] * len(finding.COLUMNS)])
    for frame in (frames.cells_frame([one]), frames.images_frame([one])):
        assert frame["file"].tolist() == [name]


def test_smears_have_cells(tmp_path: Path) -> None:
    """Of a generated smear about as many cells are found as there are."""
    smear = smear_image(0)
    Image.fromarray(smear.pixels).save(tmp_path / "a.png")
    true = np.count_nonzero(np.unique(smear.truth))
    assert 0.4 * true < len(segbench.segment(tmp_path)) < 1.6 * true


def test_an_image_that_does_not_fit_is_not_decoded(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its header tells how much memory it would take: it is left out with that, and the others are done."""
    Image.new("L", (3000, 3000)).save(folder / "huge.png")
    decoded = []
    images_of, kind_as_it_is = plain.images_of, plain.kind_as_it_is

    def watch(function: Any) -> Any:
        def watched(file: Path, **options: Any) -> Any:
            decoded.append(file.name)
            return function(file, **options)

        return watched

    monkeypatch.setattr(plain, "images_of", watch(images_of))
    monkeypatch.setattr(plain, "kind_as_it_is", watch(kind_as_it_is))
    found = paths.find([str(folder)]).files
    outputs = writing.Outputs(out=tmp_path / "cells.csv")
    begin = partial(finding.job_for, found, {"diameter": 12.0}, memory=1.0)
    _, counts = writing.segment_files(found, begin, outputs, workers=1)
    (left,) = counts.left_out
    assert left.file == "huge.png"
    assert re.fullmatch(
        r"9 million pixels take about 1.3 GiB of memory as a whole, and 1.0 may be held: .*--memory",
        left.why,
    )
    assert counts.images > 3
    assert "huge.png" not in decoded


def test_names_of_files_are_no_formulas(tmp_path: Path) -> None:
    """In the table of cells and in that of images, whatever a spreadsheet would pass over before the sign."""
    names = ["=cmd.png", " =1.png", "\t=2.png", "\uff1d3.png", "@4.png", "5\x1b[31m.png", "6.png"]
    folder = tmp_path / "images"
    folder.mkdir()
    for name in names:
        Image.fromarray(discs()).save(folder / name)
    outputs = writing.Outputs(out=tmp_path / "cells.csv", summary=tmp_path / "images.csv")
    files_of(folder, outputs)
    for path in (tmp_path / "cells.csv", tmp_path / "images.csv"):
        shown = set(pd.read_csv(path)["file"])
        assert shown == {
            *(
                "'=cmd.png",
                "' =1.png",
                "\\t=2.png",
                "'\uff1d3.png",
                "'@4.png",
                "5\\x1b[31m.png",
                "6.png",
            ),
        }
