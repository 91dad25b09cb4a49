"""Finding the cells of images of any kind, batch by batch: memory does not grow with their number."""

from __future__ import annotations

import math
import os
import tempfile
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from skimage.measure import regionprops_table
from skimage.segmentation import relabel_sequential

from segbench import windows
from segbench.backends import phases, registry
from segbench.backends.skimage import grayscale
from segbench.errors import InputError, UnreadableError, reason_of
from segbench.estimate import Estimate, params_for
from segbench.images import datasets, plain
from segbench.pipeline import TO_FIND_CELLS, PipelineParams
from segbench.segmenting import large

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from segbench.backends.interface import Backend

BACKEND = "skimage/skimage/thread-pool"

UNBOUNDED = 1e6  # GiB: more than any machine has

# What is measured of a cell, by scikit-image's names, and what the columns of a table are called.
PROPERTIES = ("label", "area", "centroid", "bbox", "equivalent_diameter_area", "intensity_mean")
COLUMNS = (
    *("label", "area", "centroid-0", "centroid-1", "bbox-0", "bbox-1", "bbox-2", "bbox-3"),
    *("equivalent_diameter_area", "mean_intensity"),
)

# A batch holds so many bytes of pixels at the least, or so many images, and so many for each worker.
BATCH_BYTES = 32 * 2**20
BATCH_IMAGES = 64
IMAGES_PER_WORKER = 2


@dataclass(frozen=True, kw_only=True)
class Job:
    """How images are segmented.

    Attributes
    ----------
    params : PipelineParams
        Of the pipeline; a block that is wider than an image is made as wide as that.
    backend : str
        ``reader/processor/scheduler``.
    channel : int or None
        From 1: this channel alone.
    limits : tuple of float, or None
        Values that black and white stand for in images that are neither of 8 nor of 16 bit.
    given : tuple of str
        Names of the parameters that were given; the others are estimated, or defaults.
    estimate : Estimate or None
        What a sample of the images told; None where nothing like cells was to be seen.
    memory : float
        GiB that may be held: an image that takes more is worked on in tiles.
    """

    params: PipelineParams
    backend: str = BACKEND
    memory: float = UNBOUNDED
    channel: int | None = None
    limits: tuple[float, float] | None = None
    given: tuple[str, ...] = ()
    estimate: Estimate | None = None


@dataclass(frozen=True, kw_only=True)
class Cells:
    """What was found in an image.

    Attributes
    ----------
    file : str
        Its name; of a file that holds several images with ``#`` and a number from 1.
    rows : list of list of float
        A cell each, with the columns `COLUMNS`.
    beyond : bool
        Whether it holds values beyond those that stand for black and white, which were cut off.
    """

    file: str
    rows: list[list[float]]
    beyond: bool = False


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A file, or an image of one, that could not be segmented, and why."""

    file: str
    why: str


def job_for(
    found: Sequence[Path],
    given: Mapping[str, Any],
    *,
    backend: str = BACKEND,
    channel: int | None = None,
    limits: tuple[float, float] | None = None,
    memory: float = UNBOUNDED,
) -> Job:
    """What was given, completed from a sample of the images.

    Parameters
    ----------
    found : sequence of Path
        The files.
    given : mapping
        Fields of `PipelineParams`, beside `TO_FIND_CELLS`.
    backend, channel, limits, memory
        As in `Job`.

    Raises
    ------
    InputError
        If a value makes no sense.
    """
    PipelineParams(**given)  # bad usage is not to wait for the images
    _refuse_limits(limits)
    tiled = {file: _in_tiles(file, memory) for file in plain.spread(found, plain.SAMPLE)}
    whole = [file for file, big in tiled.items() if not (big or _too_large(file, memory))]
    sample = [*plain.sample_of(whole, channel=channel)]
    for file in (file for file, big in tiled.items() if big):
        with suppress(InputError):  # it is told of when its turn comes
            sample += windows.sample_of(windows.open_image(str(file)))
    limits = limits or plain.value_range(sample)
    pixels = (plain.as_plain(image, limits) for image in sample)
    params, estimate = params_for(pixels, {**TO_FIND_CELLS, **given})
    return Job(
        params=params,
        backend=backend,
        channel=channel,
        limits=limits,
        given=tuple(given),
        estimate=estimate,
        memory=memory,
    )


def _refuse_limits(limits: tuple[float, float] | None) -> None:
    """Refuse values for black and white that leave nothing between them.

    Raises
    ------
    InputError
        If they are not finite, or not in this order.
    """
    if limits and not (-math.inf < limits[0] < limits[1] < math.inf):
        low, high = limits
        raise InputError(f"values {low:g} {high:g}: give two numbers, the lower one first")


def find_cells(
    found: Sequence[Path],
    job: Job,
    *,
    workers: int,
    done: Collection[str] = (),
    keep: Callable[[str, NDArray[Any], NDArray[np.int32]], None] = lambda *_: None,
    keep_large: Callable[[str, large.Table], None] = lambda *_: None,
    folder: Path | None = None,
    file_done: Callable[[float], None] = lambda _: None,
) -> Iterator[Cells | LeftOut]:
    """Find the cells of images, in the order of the files.

    Parameters
    ----------
    found : sequence of Path
        The files.
    job : Job
        How.
    workers : int
        Threads or processes.
    done : collection of str
        Names of images that are passed over.
    keep : callable
        Called with the name, the plain pixels and the label image of each, from several threads.
    keep_large : callable
        Called with the name of each large image, and what was found in it.
    folder : Path, optional
        For what is found of the tiles of large images, which is looked for there first; a temporary one
        where nobody will go on with it.
    file_done : callable
        Called with the number of files that are done, and the share of one that is being worked on.

    Yields
    ------
    Cells or LeftOut
        For each image.

    Raises
    ------
    InputError
        If the backend can't be used.
    """
    spec = registry.parse_spec(job.backend)
    datasets.refuse_pattern(Path(tempfile.gettempdir()), "folder", "TMPDIR")
    with ExitStack() as stack:
        try:
            backend = stack.enter_context(phases.started(spec, workers=workers))
        except registry.UnavailableError as error:
            raise InputError(str(error)) from error
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="segbench-")))
        images = _images(found, job, done)
        for batch in _batches(images, least=IMAGES_PER_WORKER * workers):
            if isinstance(batch[0], _Large):
                show = partial(_show_share, file_done, batch[0].number)
                yield _of_large(
                    batch[0], job, backend, folder=folder, keep=keep_large, tile_done=show
                )
                file_done(batch[0].number)
                continue
            readable = [each for each in batch if isinstance(each, _Image)]
            results = dict(_segmented(backend, readable, job.params))
            describe = partial(_described, results=results, keep=keep)
            yield from pool.map(describe, batch)
            file_done(batch[-1].number)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Image:
    """An image that is to be segmented: a file that readers read, or pixels."""

    name: str
    number: int
    kind: plain.Kind
    limits: tuple[float, float]
    file: Path | None = None
    pixels: NDArray[Any] | None = None
    beyond: bool = False


@dataclass(frozen=True, kw_only=True)
class _Large:
    """An image that is to be segmented in tiles."""

    name: str
    number: int
    file: Path


@dataclass(frozen=True, kw_only=True)
class _Unread:
    name: str
    number: int
    why: str


def common_folder(found: Sequence[Path]) -> str:
    """The folder that all files lie in, or below: names in tables are relative to it."""
    return os.path.commonpath([file.parent for file in found])


def names_of_images(found: Sequence[Path]) -> list[str]:
    """The names alone where all lie in one folder; patterns may find the same one in several."""
    above = common_folder(found)
    return [file.relative_to(above).as_posix() for file in found]


def _images(
    found: Sequence[Path], job: Job, done: Collection[str]
) -> Iterator[_Image | _Large | _Unread]:
    """The images of files, those that are done but for."""
    for number, (file, name) in enumerate(zip(found, names_of_images(found), strict=True), start=1):
        if name in done:
            continue
        if _in_tiles(file, job.memory):
            yield _Large(name=name, number=number, file=file)
            continue
        if why := _too_large(file, job.memory):
            yield _Unread(name=name, number=number, why=why)
            continue
        try:
            if kind := plain.kind_as_it_is(file, channel=job.channel):
                limits = 0.0, float(plain.FULL[kind.dtype])
                yield _Image(name=name, number=number, kind=kind, limits=limits, file=file)
                continue
            for image in plain.images_of(file, channel=job.channel):
                own = f"{name}#{image.number}" if image.number else name
                if own in done:
                    continue
                low, high = plain.limits_of(image.pixels, job.limits)
                pixels = plain.as_plain(image.pixels, (low, high))
                yield _Image(
                    name=own,
                    number=number,
                    kind=plain.kind_of(pixels),
                    limits=(low, high),
                    pixels=pixels,
                    beyond=bool((image.pixels < low).any() or (image.pixels > high).any()),
                )
        except UnreadableError as error:
            yield _Unread(name=name, number=number, why=error.why)


def _in_tiles(file: Path, memory: float) -> bool:
    """Whether an image is worked on in tiles: a large TIFF, and any Zarr, which has no other reader."""
    return file.is_dir() or large.is_large(windows.pixels_of(file), memory=memory)


def _too_large(file: Path, memory: float) -> str:
    """Why an image that is not worked on in tiles is not even decoded, if there is a reason."""
    pixels = plain.pixels_of(file)
    if not (pixels and large.is_large(pixels, memory=memory)):
        return ""
    return (
        f"{pixels / 1e6:.0f} million pixels take about {large.needed(pixels):.1f} GiB of memory as a whole, "
        f"and {memory:.1f} may be held: write them as a TIFF in tiles, or give more --memory"
    )


def _batches(
    images: Iterable[_Image | _Large | _Unread], *, least: int
) -> Iterator[list[_Image | _Unread] | list[_Large]]:
    batch: list[_Image | _Unread] = []
    size = 0
    for image in images:
        if isinstance(image, _Large):
            # By itself, when what came before it is done.
            if batch:
                yield batch
            batch, size = [], 0
            yield [image]
            continue
        batch.append(image)
        if isinstance(image, _Image):
            size += math.prod(image.kind.shape) * np.dtype(image.kind.dtype).itemsize
        full = size >= BATCH_BYTES or len(batch) >= BATCH_IMAGES
        if full and len(batch) >= least:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _show_share(file_done: Callable[[float], None], number: int, share: float) -> None:
    file_done(number - 1 + min(share, 1.0))


def _of_large(
    one: _Large,
    job: Job,
    backend: Backend,
    *,
    folder: Path,
    keep: Callable[[str, large.Table], None],
    tile_done: Callable[[float], None],
) -> Cells | LeftOut:
    """The cells of a large image, tile by tile."""
    if backend.processor.uses_dask or job.channel or job.limits:
        why = (
            "is segmented in tiles, for which there is neither --channel nor --values nor a backend over "
            "Dask arrays: leave them out"
        )
        return LeftOut(file=one.name, why=why)
    try:
        image = windows.open_image(str(one.file))
        how = large.cut(
            image,
            job.params,
            workers=backend.scheduler.workers,
            memory=job.memory,
            folder=folder / one.name,
        )
        found = large.segment(
            how,
            processor=backend.processor,
            scheduler=backend.scheduler,
            limits=(0.0, float(plain.FULL[str(image.dtype)])),
            tile_done=tile_done,
        )
    except UnreadableError as error:
        return LeftOut(file=one.name, why=error.why)
    keep(one.name, found)
    return Cells(file=one.name, rows=found.rows.tolist())


_Result = tuple[Any, Any]  # pixels and label image

NO_IMAGES_FAULT = (plain.NoSpaceError, BrokenExecutor)


def _segmented(
    backend: Backend, batch: Sequence[_Image], params: PipelineParams
) -> Iterator[tuple[_Image, _Result | str]]:
    """Pixels and label image of each, or why there are none; those of one kind at once."""
    kinds: dict[plain.Kind, list[_Image]] = {}
    for image in batch:
        kinds.setdefault(image.kind, []).append(image)
    for kind, alike in kinds.items():
        fitting = params.within(kind.shape)
        try:
            yield from zip(alike, _together(backend, alike, fitting), strict=True)
        except NO_IMAGES_FAULT:
            raise
        except Exception:  # noqa: BLE001  (whatever a library raises on one of them: which one is it?)
            for image in alike:
                yield image, _alone(backend, image, fitting)


def _alone(backend: Backend, image: _Image, params: PipelineParams) -> _Result | str:
    """Pixels and label image of a single one, or why there are none."""
    try:
        (result,) = _together(backend, [image], params)
    except NO_IMAGES_FAULT:
        raise
    except MemoryError:
        return "not enough memory; give fewer --workers"
    except InputError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  (as above)
        return f"can't be read as an image, or segmented ({reason_of(error)}); replace it"
    return result


def _together(backend: Backend, images: Sequence[_Image], params: PipelineParams) -> list[_Result]:
    with tempfile.TemporaryDirectory(prefix="segbench-") as folder:
        copies, links = Path(folder) / "copies", Path(folder) / "links"
        copies.mkdir()
        links.mkdir()
        sources = []
        for number, image in enumerate(images):
            source = image.file or copies / f"{number}.tif"
            if image.pixels is not None:
                try:
                    plain.save(source, image.pixels)
                except OSError as error:
                    raise plain.NoSpaceError from error
            sources.append(source)
        pixels = phases.read_images(backend, datasets.link_all(sources, links))
        labels = phases.segment_pixels(backend, pixels, params).labels
    return list(zip(pixels, labels, strict=True))


def _described(
    image: _Image | _Unread,
    *,
    results: Mapping[_Image, _Result | str],
    keep: Callable[[str, NDArray[Any], NDArray[np.int32]], None],
) -> Cells | LeftOut:
    """The cells of an image as rows of a table."""
    if isinstance(image, _Unread):
        return LeftOut(file=image.name, why=image.why)
    result = results[image]
    if isinstance(result, str):
        return LeftOut(file=image.name, why=result)
    pixels, labels = result
    labels = relabel_sequential(labels)[0].astype(np.int32)  # type: ignore[no-untyped-call]  # (not annotated)
    keep(image.name, pixels, labels)
    low, high = image.limits
    intensity = low + (high - low) * grayscale(pixels)
    table = regionprops_table(labels, intensity, properties=PROPERTIES)  # type: ignore[no-untyped-call]  # (as above)
    rows = np.column_stack([*table.values()]).tolist()
    return Cells(file=image.name, rows=rows, beyond=image.beyond)
