"""What is written of the cells of many images: tables, label images and pictures.

What was found is written down after each batch, and the tables are made of that at the end: an
interruption loses nothing, and leaves no half of a table. Where files were left out it is kept, so
that these alone are to be done once they are mended.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from concurrent.futures import BrokenExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from statistics import median
from typing import IO, TYPE_CHECKING, Any, TypeVar

import numpy as np
from pandas.api.types import is_numeric_dtype

from segbench import files, jsonl, windows
from segbench.errors import InputError
from segbench.estimate import ESTIMATED
from segbench.images import datasets, overlay, paths, plain
from segbench.segmenting.cells import (
    COLUMNS,
    Cells,
    Job,
    LeftOut,
    common_folder,
    find_cells,
    names_of_images,
)
from segbench.segmenting.frames import cells_frame, images_frame
from segbench.text import BYTES, csv_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from segbench.segmenting.large import Table

T = TypeVar("T")

CHUNK = 1000  # images whose rows are written at once

AGAIN = "what was found is kept; go on with the same paths, --out and --resume"

# Of so many images each is told in a line; of more their sum.
TOLD_EACH = 12

# Pixels of the longer side of the picture of a large image.
PICTURE_SIDE = 2048

# As a share of a disc of the diameter: where most cells are smaller, they look like noise.
SMALL = 1 / 3
FEWEST_CELLS = 10

TABLES = (".csv", ".parquet")

LABELS, OVERLAY = ".tif", ".png"  # added to the name of an image

PARTIAL = ".partial"  # added to the name of the table, for what was found so far


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What became of the images.

    Attributes
    ----------
    images, cells, without : int
        Images, their cells, and the images that have none.
    small : int
        Cells that are less than a third as large as a disc of the diameter.
    first : tuple of (str, int, float)
        Of the first images, as many as are told one by one: name, cells and their median area.
    beyond : int
        Images with values beyond those that stand for black and white.
    left_out : tuple of LeftOut
        The others.
    """

    images: int = 0
    cells: int = 0
    without: int = 0
    small: int = 0
    first: tuple[tuple[str, int, float], ...] = ()
    beyond: int = 0
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What is written.

    Attributes
    ----------
    out : Path
        Table of the cells, a row each; CSV, or Parquet by the ending of its name.
    summary : Path, optional
        Table of the images, likewise: ``file``, ``cells``, ``median_area`` in pixels (0 without cells).
    labels : Path, optional
        Folder for label images, int32 TIFF: 0 for background, the cells from 1.
    overlays : Path, optional
        Folder for pictures with the outlines of the cells, PNG.
    """

    out: Path
    summary: Path | None = None
    labels: Path | None = None
    overlays: Path | None = None

    def absolute(self) -> Outputs:
        """The same wherever it is read."""
        paths = {name: path and path.absolute() for name, path in vars(self).items()}
        return Outputs(**paths)

    def pictures(self, image: str) -> list[Path]:
        """The files that an image of this name has of its own."""
        wanted = ((self.labels, LABELS), (self.overlays, OVERLAY))
        return [folder / f"{image}{suffix}" for folder, suffix in wanted if folder]


def partial_of(out: Path) -> Path:
    """Where is kept what was found so far."""
    return out.with_name(out.name + PARTIAL)


@dataclass(frozen=True, kw_only=True)
class Begun:
    """What is to be done, as it was begun.

    Attributes
    ----------
    job : Job
        How.
    images : str
        The folder that the images lie in, or below.
    outputs : Outputs
        What is written, with absolute paths.
    """

    job: Job
    images: str
    outputs: Outputs


def segment_files(
    found: Sequence[Path],
    begin: Callable[[], Job] | None,
    outputs: Outputs,
    *,
    workers: int,
    file_done: Callable[[float], None] = lambda _: None,
) -> tuple[Job, Counts]:
    """Segment files and write what was asked for.

    Parameters
    ----------
    found : sequence of Path
        The files.
    begin : callable, or None
        Gives the job; None to go on with the one that was begun for these `outputs`, of which `out`
        alone is looked at then.
    outputs : Outputs
        What to write.
    workers : int
        Threads or processes.
    file_done : callable
        Called with the number of files that are done.

    Returns
    -------
    Job, Counts
        How it was done, and what came out of it.

    Raises
    ------
    InputError
        If something can't be written, the backend can't be used, or no file can be read.
    """
    outputs = outputs.absolute()
    made = _check(outputs, found) if begin else []
    with _journal(outputs, found, begin) as journal:
        outputs = journal.begun.outputs
        known = {each.file for each in journal.read()}
        left_out: list[LeftOut] = []
        try:
            for each in find_cells(
                found,
                journal.begun.job,
                workers=workers,
                done={name for name in known if all(map(Path.is_file, outputs.pictures(name)))},
                keep=partial(_keep, outputs=outputs),
                keep_large=partial(_keep_large, outputs=outputs),
                folder=journal.tiles,
                file_done=file_done,
            ):
                if isinstance(each, LeftOut):
                    left_out.append(each)
                elif each.file not in known:
                    journal.append(each)
            counts = _counted(journal.read(), left_out, journal.begun.job)
            if outputs.summary:
                _write(outputs.summary, map(images_frame, _chunks(journal.read())))
            _write(outputs.out, map(cells_frame, _chunks(journal.read())))
        except (InputError, OSError, BrokenExecutor) as error:
            for folder in made:
                with suppress(OSError):  # something was done
                    folder.rmdir()
            raise journal.stopped(error) from error
        journal.keep = bool(left_out)
    return journal.begun.job, counts


def _counted(images: Iterable[Cells], left_out: Sequence[LeftOut], job: Job) -> Counts:
    counts, small, place = Counts(left_out=tuple(left_out)), 0, COLUMNS.index("area")
    first: list[tuple[str, int, float]] = []
    for one in images:
        areas = [row[place] for row in one.rows]
        small += sum(area < SMALL * job.params.cell_area for area in areas)
        if len(first) < TOLD_EACH:
            first.append((one.file, len(areas), median(areas or [0])))
        counts = replace(
            counts,
            images=counts.images + 1,
            cells=counts.cells + len(areas),
            without=counts.without + (not areas),
            beyond=counts.beyond + one.beyond,
        )
    if not counts.images:
        raise InputError("; ".join(f"{left.file}: {left.why}" for left in left_out[:3]))
    return replace(counts, small=small, first=tuple(first))


def _check(outputs: Outputs, found: Sequence[Path]) -> list[Path]:
    """Refuse what could not be written once the work is done; gives the folders that were made for it."""
    tables = [path for path in (outputs.out, outputs.summary) if path]
    if outputs.summary and outputs.summary.resolve() == outputs.out.resolve():
        raise InputError(f"{outputs.out}: one table can't be both; give another --summary")
    for path in tables:
        if path.suffix.lower() not in TABLES and not files.is_special(path):
            raise InputError(f"{path}: a table is a .csv or a .parquet file; give such a name")
        if path.suffix.lower() == ".parquet":
            try:
                import pyarrow as _  # noqa: F401, ICN001, PLC0415  (an extra)
            except ImportError:
                raise InputError(
                    f"{path}: Parquet needs pyarrow: pip install 'segbench[parquet]', or give a .csv"
                ) from None
    inputs = {file.resolve() for file in found}
    for path in tables:
        if path.resolve() in inputs:
            raise InputError(f"{path}: is one of the images; give another name")
    folders = [path for path in (outputs.labels, outputs.overlays) if path]
    for folder in folders:
        if folder.resolve() in {file.parent for file in inputs}:
            raise InputError(f"{folder}: holds the images; give another folder")
    for name in names_of_images(found):
        for path in outputs.pictures(name):
            # To resolve paths takes long for many images, and what is an input is there.
            if path.exists() and path.resolve() in inputs:
                raise InputError(f"{path}: is one of the images; give another folder")
    beside = [path.parent for path in tables if not files.is_special(path)]
    made = [folder for folder in folders if not folder.exists()]
    for folder in (*folders, *beside):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: can't be written ({error.strerror})") from error
        if not os.access(folder, os.W_OK):
            raise InputError(f"{folder}: can't be written; change its permissions")
    return made


def _keep(name: str, pixels: NDArray[Any], labels: NDArray[np.int32], *, outputs: Outputs) -> None:
    """Write what is a file of its own for each image."""
    if outputs.labels:
        datasets.save_label_image(outputs.labels / f"{name}{LABELS}", labels)
    if outputs.overlays:
        picture = overlay.outlined(overlay.shown(pixels), labels)
        files.write_bytes(outputs.overlays / f"{name}{OVERLAY}", overlay.png(picture))


def _keep_large(name: str, found: Table, *, outputs: Outputs) -> None:
    """The same of a large image, which is never there as a whole; its picture is a smaller one."""
    image = found.large.image
    if outputs.labels:
        path = outputs.labels / f"{name}{LABELS}"
        windows.save_tiles(path, found.squares(), shape=image.shape[:2], dtype=np.int32)
    if outputs.overlays:
        step = math.ceil(max(image.shape[:2]) / PICTURE_SIDE)
        pixels, labels, top = [], [], 0
        for band in found.bands():
            first = -top % step
            labels.append(band[first::step, ::step])
            rows = range(top + first, top + band.shape[0], step)
            pixels += [image[row : row + 1, :][:, ::step] for row in rows]
            top += band.shape[0]
        picture = overlay.outlined(overlay.shown(np.concatenate(pixels)), np.concatenate(labels))
        files.write_bytes(outputs.overlays / f"{name}{OVERLAY}", overlay.png(picture))


def _chunks(images: Iterator[Cells]) -> Iterator[list[Cells]]:
    """A first one in any case: a table without rows has its columns."""
    chunk = [*islice(images, CHUNK)]
    yield chunk
    while chunk := [*islice(images, CHUNK)]:
        yield chunk


@dataclass(kw_only=True)
class _Journal:
    """What was found so far: what was begun, then a line for each image that is done."""

    path: Path
    begun: Begun
    file: IO[bytes] = field(repr=False)
    is_passing: bool  # beside no table, and gone with this process
    keep: bool = False

    @property
    def tiles(self) -> Path:
        """A folder for what was found of the tiles of large images."""
        return self.path.with_name(f"{self.path.name}.tiles")

    def append(self, cells: Cells) -> None:
        """Add an image."""
        self.file.write(jsonl.encode(cells))
        self.file.flush()

    def read(self) -> Iterator[Cells]:
        """All images so far."""
        with self.path.open("rb") as lines:
            next(lines)
            for line in lines:
                yield _decode(self.path, line, Cells)

    def is_empty(self) -> bool:
        """Whether there is nothing to go on with."""
        return self.path.stat().st_size == len(jsonl.encode(self.begun)) and not self.tiles.exists()

    def stopped(self, error: Exception) -> InputError:
        """What ended the work, and how to go on."""
        what = str(error)
        if isinstance(error, OSError):
            what = f"{error.filename or self.begun.outputs.out}: {error.strerror or error}"
        if isinstance(error, BrokenExecutor):
            backend = self.begun.job.backend
            what = f"a process of {backend} died, perhaps for lack of memory; give fewer --workers"
        if self.is_passing:
            return InputError(f"{what}; make room, or write elsewhere")
        return InputError(what if self.is_empty() else f"{what}; {AGAIN}")


@contextmanager
def _journal(
    outputs: Outputs, found: Sequence[Path], begin: Callable[[], Job] | None
) -> Iterator[_Journal]:
    """The journal beside a table, which is taken away when nothing is missing in that."""
    out = outputs.out
    special = files.is_special(out)
    images = common_folder(found)
    with ExitStack() as stack:
        if special:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="segbench-")))
            path = folder / f"cells{PARTIAL}"
        else:
            path = partial_of(out)
        if begin is None:
            begun = _begun_in(path)
            if begun.images != images:
                raise InputError(f"--resume: it was begun with {begun.images}; give the same paths")
        else:
            # One that is older than its table is what was kept beside files that were left out.
            if path.exists() and not (out.exists() and _age(path) <= _age(out)):
                raise InputError(
                    f"{path}: holds what an interrupted run has found; add --resume to go on, "
                    "or remove it"
                )
            begun = Begun(job=begin(), images=images, outputs=outputs)
            try:
                path.write_bytes(jsonl.encode(begun))
            except OSError as error:
                raise InputError(
                    f"{out}: can't be written ({error.strerror}); give another --out"
                ) from error
        with path.open("ab") as file:
            journal = _Journal(path=path, begun=begun, file=file, is_passing=special)
            try:
                yield journal
            except BaseException:
                if journal.is_empty():
                    path.unlink()
                raise
        if not journal.keep:
            path.unlink()
            shutil.rmtree(journal.tiles, ignore_errors=True)


def _age(path: Path) -> int:
    return path.stat().st_mtime_ns


def _begun_in(path: Path) -> Begun:
    """What a journal begins with; its last line is taken away if it was not written to its end."""
    if not path.is_file():
        raise InputError(f"{path}: not there, so nothing was begun; leave --resume out")
    with path.open("rb+") as file:
        begun = _decode(path, file.readline(), Begun)
        file.seek(0)
        # Line by line: of a million images it is long.
        file.truncate(sum(len(line) for line in file if line.endswith(b"\n")))
    return begun


def _decode(path: Path, line: bytes, kind: type[T]) -> T:
    try:
        return jsonl.decode(line, kind)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: can't be understood; remove it, and leave --resume out"
        ) from error


def _write(path: Path, frames: Iterator[pd.DataFrame]) -> None:
    """Write a table, piece by piece, whole or not at all; by the ending of its name."""
    try:
        with files.replacing(path) as file:
            (_write_parquet if path.suffix.lower() == ".parquet" else _write_csv)(file, frames)
    except OSError as error:
        # What is raised in writing does not tell to which file.
        raise OSError(error.errno, error.strerror, str(path)) from error


def _write_csv(file: IO[bytes], frames: Iterator[pd.DataFrame]) -> None:
    for number, frame in enumerate(frames):
        # Names of files that are not UTF-8 keep their bytes.
        shown = {name: csv_text(name, keep=BYTES) for name in frame["file"].unique()}
        text = frame.assign(file=frame["file"].map(shown)).to_csv(
            index=False, header=not number, lineterminator="\n", float_format="%.6g"
        )
        file.write(text.encode(errors="surrogateescape"))


def _write_parquet(file: IO[bytes], frames: Iterator[pd.DataFrame]) -> None:
    import pyarrow as pa  # noqa: PLC0415  (an extra)
    from pyarrow import parquet  # noqa: PLC0415

    first = next(frames)
    # Not from the values: of a piece without cells there are none.
    schema = pa.schema(
        [
            (str(name), pa.from_numpy_dtype(kind) if is_numeric_dtype(kind) else pa.string())
            for name, kind in first.dtypes.items()
        ]
    )
    with parquet.ParquetWriter(file, schema) as writer:
        for frame in chain([first], frames):
            # Parquet's text is UTF-8, which names of files need not be.
            names = [name.encode(errors="replace").decode() for name in frame["file"]]
            table = frame.assign(file=np.array(names, dtype=object))
            writer.write_table(pa.Table.from_pandas(table, schema=schema, preserve_index=False))


# Sentences


def of_each(counts: Counts) -> Iterator[str]:
    """A line an image, where there are few."""
    if 1 < counts.images <= TOLD_EACH:
        for name, cells, area in counts.first:
            size = f", median area {area:g} pixels" if cells else ""
            yield f"{name}: {_number(cells, 'cell')}{size}"


def closing(out: Path, counts: Counts, beside: int) -> str:
    """One line: images, cells, images without any, files left out (`beside` are no images)."""
    left = len(counts.left_out) + beside
    return (
        f"{out}: {_number(counts.cells, 'cell')} in {_number(counts.images, 'image')}, "
        f"{counts.without} without cells; {_number(left, 'file')} left out"
    )


def told(out: Path, job: Job, counts: Counts, *, no_images: Sequence[Path]) -> Iterator[str]:
    """What was left out and why, those of one cause together, and what was cut off."""
    if no_images:
        yield f"left out: {paths.names_of(no_images)}; segbench reads {', '.join(plain.SUFFIXES)}"
    causes: dict[str, list[str]] = {}
    for each in counts.left_out:
        causes.setdefault(each.why, []).append(each.file)
    for why, names in causes.items():
        yield f"{', '.join(names)}: {why}"
    if counts.left_out:
        yield (
            f"{partial_of(out)} keeps what was found: once these files can be read, --resume does "
            "them alone"
        )
    if counts.beyond and job.limits:
        low, high = job.limits
        yield (
            f"{_number(counts.beyond, 'image')} with values beyond {low:g} to {high:g}, which are "
            "black and white in a sample: these were cut off; give --values"
        )
    yield from taken(job)
    if counts.cells >= FEWEST_CELLS and 2 * counts.small > counts.cells:
        yield (
            f"this looks like noise: {counts.small} of {_number(counts.cells, 'cell')} are less than a "
            f"third as large as a cell of --diameter {job.params.diameter:g}; look at the --overlays, and "
            "give the diameter of your cells, a larger --contrast or a larger --min-area"
        )


def taken(job: Job) -> Iterator[str]:
    """What images were taken for, as the options that say otherwise, and what is in doubt."""
    unknown = [name for name in ESTIMATED if name not in job.given]
    options = " ".join(f"--{name} {getattr(job.params, name)}" for name in unknown)
    if job.estimate:
        yield f"estimated from a sample of the images: {options} (set what is wrong)"
    elif unknown:
        yield f"no cells were seen in a sample of the images; the defaults were taken: {options}"
    if "foreground" in unknown and job.estimate and job.estimate.doubtful:
        found, other = (
            job.params.foreground,
            "bright" if job.params.foreground == "dark" else "dark",
        )
        yield (
            f"in {job.estimate.doubtful} of {_number(job.estimate.images, 'image')} of the sample "
            f"it is not clear that cells are {found}, not {other}: look at the --overlays, and give "
            "--foreground; segment images of different kinds apart"
        )
    if job.limits:
        low, high = job.limits
        yield f"black is {low:g} and white {high:g} (--values)"


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
