"""Datasets: ordered lists of image files of one shape, made or found once and then kept.

Everything kept lies in a folder under the user's cache directory whose name is a key of its
content; ``SEGBENCH_CACHE_DIR`` moves it.
"""

from __future__ import annotations

import glob
import hashlib
import io
import json
import math
import os
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import platformdirs
from PIL import Image

from segbench import jsonl, windows
from segbench.errors import InputError, UnreadableError
from segbench.files import new_folder, write_bytes, write_text
from segbench.images import paths, plain
from segbench.images.origin import DEFAULT_SHAPE, LARGEST_SIDE, Origin, show_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

TISSUE_VERSION = 1
IMAGES_VERSION = 1  # of what is kept about a user's images
# An image with more pixels is looked at in part where that is enough, in a square of a side.
SMALL_PIXELS, SMALL_SIDE = 2**24, 1024
LABEL_SUFFIXES = (".tif", ".tiff", ".png")
JPEG_QUALITY = 92


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Image files of one shape, in order.

    Attributes
    ----------
    name : str
        ``smear``, ``tissue``, or the folder or pattern that the user gave.
    files : tuple of Path
        The images, as every reader reads them alike: the user's own, or copies of them.
    shape : tuple of int
        Of one image, ``(H, W)`` or ``(H, W, C)``.
    dtype : str
        ``uint8`` or ``uint16``.
    truth : tuple of Path
        Ground truth label images of the `files`; empty where nobody knows the truth.
    key : str
        Changes with the files and their content.
    origin : Origin
        What was asked for.
    left_out : tuple of str
        What is not among the files, and why, in words.
    """

    name: str
    files: tuple[Path, ...]
    shape: tuple[int, ...]
    dtype: str
    truth: tuple[Path, ...] = ()
    key: str
    origin: Origin
    left_out: tuple[str, ...] = ()

    @property
    def is_large(self) -> bool:
        """Whether it is one image that is read window by window."""
        return self.origin.large or self.origin.made == "mosaic"


def find(origin: Origin, count: int) -> Dataset:
    """Make or find the images of an origin.

    Parameters
    ----------
    origin : Origin
        What is asked for.
    count : int
        How many are made; of a user's, so many at the most.

    Raises
    ------
    InputError
        As the function for that kind of images does.
    """
    if origin.large:
        return large_image(origin)
    if origin.images:
        return from_images(origin, limit=count)
    if origin.made == "mosaic":
        return mosaic(seed=origin.seed, shape=origin.shape)
    make = tissue if origin.made == "tissue" else smear
    return make(count, seed=origin.seed, shape=origin.shape)


def describe(dataset: Dataset) -> dict[str, Any]:
    """A dataset as plain values, for the header of a run; `origin_of` is the way back."""
    return {
        "name": dataset.name,
        "images": len(dataset.files),
        "shape": dataset.shape,
        "dtype": dataset.dtype,
        "key": dataset.key,
        "bytes": sum(map(_bytes_of, dataset.files)),
        "origin": asdict(dataset.origin),
    }


def _bytes_of(path: Path) -> int:
    """Of a file, or of all in the folder of a Zarr."""
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())


def origin_of(described: Mapping[str, Any]) -> Origin:
    """The origin in a header's dataset.

    Raises
    ------
    InputError
        If it is missing or makes no sense.
    """
    try:
        values = described["origin"]
        images = values.get("images") or ()
        # A single path in runs of earlier versions.
        images = (images,) if isinstance(images, str) else tuple(images)
        if not all(map(os.path.isabs, images)):
            raise InputError("the run names its images by no absolute path: run anew")
        return jsonl.convert({**values, "images": images, "shape": values["shape"]}, Origin)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"the run's images can't be found again ({error!r}): run anew") from error


def cache_folder() -> Path:
    """Folder that everything is kept in.

    Raises
    ------
    InputError
        If its path holds characters that a reader would take for a pattern.
    """
    named = os.environ.get("SEGBENCH_CACHE_DIR") or platformdirs.user_cache_path("segbench")
    folder = Path(named).absolute()
    refuse_pattern(folder, "cache folder", "SEGBENCH_CACHE_DIR")
    return folder


def refuse_pattern(folder: Path, what: str, variable: str) -> None:
    """Refuse a folder for files of the readers that these would take for a pattern.

    Raises
    ------
    InputError
        With the environment variable that names another.
    """
    # scikit-image splits a pattern at the separator of search paths.
    if glob.has_magic(str(folder)) or os.pathsep in str(folder):
        raise InputError(
            f"{what} {folder}: readers would take *, ?, [ and {os.pathsep} for patterns; "
            f"set {variable} to a path without them"
        )


def smear(count: int, *, seed: int = 0, shape: tuple[int, int] = DEFAULT_SHAPE) -> Dataset:
    """Generate blood smear photographs with ground truth, as RGB JPEG (see :mod:`segbench.images.smear`).

    Parameters
    ----------
    count : int
        Number of images.
    seed : int
        The same seed gives the same pixels; image `i` does not depend on `count`.
    shape : tuple of int
        Height and width in pixels.

    Returns
    -------
    Dataset
        With `truth`.

    Raises
    ------
    InputError
        If an image would be larger than is made as a whole.
    """
    if max(shape) > LARGEST_SIDE:
        raise InputError(
            f"shape {show_shape(shape)}: images of a smear have up to {LARGEST_SIDE} pixels a side; "
            "measure one --large image, or --dataset mosaic"
        )
    # Neither scipy nor the generator is needed where a user's images are read.
    from segbench.images import smear as generator  # noqa: PLC0415

    def make(index: int) -> dict[str, NDArray[Any]]:
        made = generator.smear_image(index, seed=seed, shape=shape)
        return {"images/{}.jpg": made.pixels, "truth/{}.png": made.truth}

    return _made(Origin(made="smear", shape=shape, seed=seed), count, generator.VERSION, make)


def tissue(count: int, *, seed: int = 0, shape: tuple[int, int] = DEFAULT_SHAPE) -> Dataset:
    """Cut crops from the immunohistochemistry photograph that scikit-image ships, as RGB PNG.

    Each crop is shifted and flipped at random: real pixels, no network, no ground truth.

    Parameters
    ----------
    count : int
        Number of images.
    seed : int
        The same seed gives the same pixels; image `i` does not depend on `count`.
    shape : tuple of int
        Height and width in pixels, at most those of the photograph (512 x 512).

    Returns
    -------
    Dataset
        Without `truth`.

    Raises
    ------
    InputError
        If the photograph is smaller than `shape`.
    """
    height, width = shape
    if max(shape) > 512:
        raise InputError(
            f"shape {height}x{width}: the tissue photograph is 512x512; ask for less, "
            "or use --dataset smear"
        )

    def make(index: int) -> dict[str, NDArray[Any]]:
        from skimage.data import immunohistochemistry  # noqa: PLC0415  (as above)

        random = np.random.default_rng([seed, index])
        top, left = (random.integers(0, 512 - side + 1) for side in shape)
        down, across = random.choice([-1, 1], size=2)
        crop = immunohistochemistry()[top : top + height, left : left + width]
        return {"images/{}.png": np.ascontiguousarray(crop[::down, ::across])}

    return _made(Origin(made="tissue", shape=shape, seed=seed), count, TISSUE_VERSION, make)


def mosaic(*, seed: int = 0, shape: tuple[int, int]) -> Dataset:
    """Generate one large image of a blood smear, with its truth, tile by tile.

    The pixels are a tiled TIFF, the truth another; neither is ever held as a whole.

    Parameters
    ----------
    seed : int
        The same seed gives the same pixels.
    shape : tuple of int
        Height and width in pixels.

    Returns
    -------
    Dataset
        Of one file, with `truth`.
    """
    from segbench.images import mosaic as maker  # noqa: PLC0415  (as above)

    origin = Origin(made="mosaic", shape=shape, seed=seed)
    key = f"mosaic-{_digest(seed=seed, shape=shape, version=maker.VERSION)}"
    folder = cache_folder() / key
    if not folder.is_dir():
        with new_folder(folder) as beside:
            maker.write(beside / "image.tif", beside / "truth.tif", seed=seed, shape=shape)
    return Dataset(
        name="mosaic",
        files=(folder / "image.tif",),
        shape=(*shape, 3),
        dtype="uint8",
        truth=(folder / "truth.tif",),
        key=key,
        origin=origin,
    )


def large_image(origin: Origin) -> Dataset:
    """Take one large image of a user, which is not read as a whole.

    Raises
    ------
    InputError
        If it is not one, or can't be read by windows.
    """
    if len(origin.images) != 1 or not Path(origin.images[0]).exists():
        raise InputError(
            f"{', '.join(origin.images)}: --large takes one image of yours, a TIFF in tiles or a Zarr"
        )
    (path,) = origin.images
    image = windows.open_image(path)
    return Dataset(
        name=path,
        files=(Path(path),),
        shape=image.shape,
        dtype=str(image.dtype),
        truth=(),
        key=_digest(path=path, stamp=image.stamp),
        origin=origin,
    )


def from_images(origin: Origin, *, limit: int | None = None) -> Dataset:
    """Take the images of a user: of those that have one shape and type, the most.

    What readers do not read alike (:mod:`segbench.images.plain`) is decoded here, and copied.

    Parameters
    ----------
    origin : Origin
        With `images`.
    limit : int, optional
        How many are wanted at the most: these, the first, are decoded to see that they can be.

    Returns
    -------
    Dataset
        With at most `limit` files, and with `truth` if the origin names a folder.

    Raises
    ------
    InputError
        If there is nothing to read, or an image has no truth.
    """
    found = paths.find(origin.images)
    stamps = [(str(file), *_stamp(file)) for file in found.files]
    most = min(limit or len(stamps), len(stamps))
    key = _digest(files=stamps, channel=origin.channel, most=most, version=IMAGES_VERSION)
    folder = cache_folder() / f"images-{key}"
    if not folder.is_dir():
        with new_folder(folder) as beside:
            checked = _check(found.files, beside, channel=origin.channel, limit=limit)
            write_text(beside / "checked.json", json.dumps(asdict(checked)))
    checked = jsonl.decode((folder / "checked.json").read_bytes(), _Checked)
    left_out = list(checked.left_out)
    if found.left_out:
        left_out.append(
            f"{len(found.left_out)} that are no images: {paths.names_of(found.left_out)}"
        )
    return Dataset(
        name=_name_of(origin.images),
        # Copies lie beside what was found out; the path of a file of the user's is absolute.
        files=tuple(folder / file for file in checked.files),
        shape=tuple(checked.shape),
        dtype=checked.dtype,
        truth=tuple(_truth_of(Path(file), Path(origin.truth)) for file in checked.sources)
        if origin.truth
        else (),
        key=key,
        origin=origin,
        left_out=tuple(left_out),
    )


def lay_out(dataset: Dataset, count: int) -> str:
    """Lay the first images of a dataset out under names that every reader sorts alike.

    ``dask.array.image`` sorts names by letters and ``dask_image`` by numbers, and both take a
    pattern, so the names of a user's files are not passed on: a folder holds links ``000000.jpg``,
    ``000001.jpg``, ... to them.

    Parameters
    ----------
    dataset : Dataset
        Holds at least `count` files.
    count : int
        How many of them.

    Returns
    -------
    str
        What a reader opens: a glob pattern, or for one image its path.
    """
    return _opened(laid_out(dataset, count))


def lay_out_small(dataset: Dataset) -> str:
    """Lay an image out that is looked at before anything is timed: of a large one a part of it."""
    if math.prod(dataset.shape[:2]) <= SMALL_PIXELS:
        return lay_out(dataset, 1)
    folder = cache_folder() / "layouts" / f"{dataset.key}-small"
    if not folder.is_dir():
        pixels = windows.open_image(str(dataset.files[0]))[:SMALL_SIDE, :SMALL_SIDE]
        with new_folder(folder) as beside:
            plain.save(beside / "000000.tif", pixels)
    return str(folder / "000000.tif")


def lay_out_zarr(dataset: Dataset) -> str:
    """Lay a large image out as Zarr, into which it is written once, window by window."""
    (file,) = dataset.files
    if windows.is_zarr(file):
        return lay_out(dataset, 1)
    folder = _zarr_of(dataset)
    if not folder.is_dir():
        with new_folder(folder) as beside:
            windows.write_zarr(beside, windows.open_image(str(file)))
    return str(folder)


def _zarr_of(dataset: Dataset) -> Path:
    return cache_folder() / "layouts" / f"{dataset.key}.ome.zarr"


def opened_files(dataset: Dataset, count: int) -> list[Path]:
    """Files that readers open: what `lay_out` gives them, and all of a Zarr that was laid out."""
    opened = [*laid_out(dataset, count), _zarr_of(dataset)]
    files = (each for one in opened for each in (one.rglob("*") if one.is_dir() else [one]))
    return [*filter(Path.is_file, files)]


def laid_out(dataset: Dataset, count: int) -> list[Path]:
    """Files that `lay_out` gives the readers, which may be links."""
    folder = cache_folder() / "layouts" / f"{dataset.key}-{count:06d}"
    if not folder.is_dir():
        with new_folder(folder) as beside:
            link_all(dataset.files[:count], beside)
    return sorted(folder.iterdir())


def link_all(files: Sequence[Path], folder: Path) -> str:
    """Lay files out in an empty folder as `lay_out` does, and give what a reader opens."""
    links = [folder / f"{index:06d}{_suffix(file)}" for index, file in enumerate(files)]
    for link, file in zip(links, files, strict=True):
        _link(link, file)
    return _opened(links)


def _suffix(file: Path) -> str:
    return ".zarr" if file.is_dir() else file.suffix.lower()


def _opened(links: Sequence[Path]) -> str:
    return str(links[0] if len(links) == 1 else links[0].parent / "*.*")


def read_labels(files: Sequence[str | Path]) -> NDArray[np.int32]:
    """Label images ``(N, H, W)`` from files, such as a dataset's `truth`."""
    from skimage.io import imread  # noqa: PLC0415  (a run without truth need not import it)

    return np.stack([imread(file).astype(np.int32) for file in files])


def save_label_image(path: Path, labels: NDArray[np.int32]) -> None:
    """Write a label image ``(H, W)`` as TIFF, whole or not at all."""
    content = io.BytesIO()
    Image.fromarray(labels).save(content, format="TIFF")
    write_bytes(path, content.getvalue())


def _digest(**parameters: object) -> str:
    text = json.dumps(parameters, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _made(
    origin: Origin, count: int, version: int, make: Callable[[int], dict[str, NDArray[Any]]]
) -> Dataset:
    """A dataset whose images are made now, if they are not there; `make` says which files to write."""
    digest = _digest(seed=origin.seed, shape=origin.shape, version=version, count=count)
    key = f"{origin.made}-{digest}"
    folder = cache_folder() / key
    if not folder.is_dir():
        with new_folder(folder) as beside:
            for index in range(count):
                for path, pixels in make(index).items():
                    file = beside / path.format(f"{index:06d}")
                    file.parent.mkdir(exist_ok=True)
                    # Of no meaning but for JPEG.
                    Image.fromarray(pixels).save(file, quality=JPEG_QUALITY)
    return Dataset(
        name=origin.made,
        files=tuple(sorted((folder / "images").iterdir())),
        shape=(*origin.shape, 3),
        dtype="uint8",
        truth=tuple(sorted((folder / "truth").glob("*"))),
        key=key,
        origin=origin,
    )


@dataclass(frozen=True, kw_only=True)
class _Checked:
    """What was found out about a user's images, once.

    Attributes
    ----------
    files, sources : tuple of str
        What readers open, and the file that it is, or was copied from.
    shape, dtype
        Of the images.
    left_out : tuple of str
        Of the dataset.
    """

    files: tuple[str, ...]
    sources: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    left_out: tuple[str, ...]


def _name_of(images: Sequence[str]) -> str:
    """The path that was given; of several the first."""
    more = len(images) - 1
    return images[0] + (f" and {more} more" if more else "")


def _stamp(file: Path) -> tuple[int, int]:
    """By which a change of a file is noticed; of one that can't be opened nothing."""
    with suppress(InputError):
        return plain.size_and_time(file)
    return 0, 0


@dataclass(frozen=True, kw_only=True)
class _Counted:
    """A file, how many images it holds, and whether readers read them alike as they are."""

    file: Path
    count: int
    is_plain: bool


def _check(
    files: Sequence[Path], folder: Path, *, channel: int | None, limit: int | None
) -> _Checked:
    """Sort files by the kind of their images, and write copies to a folder where readers need them."""
    kinds: dict[plain.Kind, list[_Counted]] = {}
    unreadable: list[str] = []
    for file in files:
        try:
            kind = plain.kind_as_it_is(file, channel=channel)
            is_plain, count = bool(kind), 1
            if kind is None:
                count, kind = plain.count_images(file, channel=channel)
        except UnreadableError as error:
            unreadable.append(str(error))
        else:
            one = _Counted(file=file, count=count, is_plain=is_plain)
            kinds.setdefault(kind, []).append(one)
    while kinds:
        kind = max(kinds, key=lambda kind: _count(kinds[kind]))
        usable = _usable(kinds.pop(kind), kind, folder, unreadable, channel=channel)
        images = [*islice(usable, limit)]
        if images:
            others = [f"{_count(alike)} of {each}" for each, alike in kinds.items()]
            return _Checked(
                files=tuple(name for name, _ in images),
                sources=tuple(str(source) for _, source in images),
                shape=kind.shape,
                dtype=kind.dtype,
                left_out=(*others, *unreadable),
            )
    raise InputError("; ".join(unreadable[: paths.NAMED]))


def _count(alike: Sequence[_Counted]) -> int:
    return sum(each.count for each in alike)


def _usable(
    alike: Sequence[_Counted],
    kind: plain.Kind,
    folder: Path,
    unreadable: list[str],
    *,
    channel: int | None,
) -> Iterator[tuple[str, Path]]:
    """What readers open, a file or a copy, and the file, of those that can be decoded; others are told."""
    from skimage.io import imread  # noqa: PLC0415  (as above)

    odd = [each.file for each in alike if not each.is_plain]
    limits = plain.value_range(plain.sample_of(odd, channel=channel)) if odd else None
    for place, one in enumerate(alike):
        try:
            if one.is_plain:
                plain.decoded(one.file, imread, kind)
                yield str(one.file), one.file
                continue
            for image in plain.images_of(one.file, channel=channel):
                values = plain.as_plain(image.pixels, limits)
                if plain.kind_of(values) != kind:
                    unreadable.append(f"{one.file}: image {image.number} is not {kind}")
                    continue
                copy = f"{place:06d}-{image.number:06d}.tif"
                plain.save(folder / copy, values)
                yield copy, one.file
        except UnreadableError as error:
            unreadable.append(str(error))


def _truth_of(file: Path, folder: Path) -> Path:
    """The label image of an image: of its name, with any suffix or with one more."""
    for name in (f"{file.name}.tif", *(f"{file.stem}{suffix}" for suffix in LABEL_SUFFIXES)):
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"{folder}: holds no label image {file.stem}.tif for {file.name}; make one")


def _link(link: Path, file: Path) -> None:
    for make in (os.symlink, os.link, shutil.copyfile):
        # No right to make links (Windows), or another disk: the next way, at last a copy.
        with suppress(OSError):
            make(file, link)
            return
    raise InputError(f"{file}: can't be linked or copied into {link.parent}; check its permissions")
