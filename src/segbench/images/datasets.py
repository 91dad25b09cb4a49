"""Datasets: ordered lists of image files of one shape, made or found once and then kept.

Everything kept lies in a folder under the user's cache directory whose name is a key of its
content; ``SEGBENCH_CACHE_DIR`` moves it.
"""

from __future__ import annotations

import glob
import hashlib
import io
import json
import os
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import platformdirs
from PIL import Image

from segbench.errors import InputError
from segbench.files import new_folder, write_bytes, write_text
from segbench.images.origin import DEFAULT_SHAPE, Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
TISSUE_VERSION = 1
JPEG_QUALITY = 92


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Image files of one shape, in order.

    Attributes
    ----------
    name : str
        ``smear``, ``tissue``, or the folder or pattern that the user gave.
    files : tuple of Path
        The images.
    shape : tuple of int
        Of one image, ``(H, W)`` or ``(H, W, C)``.
    dtype : str
        ``uint8`` or ``uint16``.
    truth : tuple of Path
        Ground truth label images (16-bit PNG) of the `files`; empty where nobody knows the truth.
    key : str
        Changes with the files and their content.
    origin : Origin
        What was asked for.
    """

    name: str
    files: tuple[Path, ...]
    shape: tuple[int, ...]
    dtype: str
    truth: tuple[Path, ...] = ()
    key: str
    origin: Origin


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
    if origin.images is not None:
        return from_images(origin.images, limit=count)
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
        "origin": asdict(dataset.origin),
    }


def origin_of(described: Mapping[str, Any]) -> Origin:
    """The origin in a header's dataset.

    Raises
    ------
    InputError
        If it is missing or makes no sense.
    """
    try:
        values = described["origin"]
        return Origin(**{**values, "shape": tuple(values["shape"])})
    except (KeyError, TypeError) as error:
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
    # scikit-image splits a pattern at the separator of search paths.
    if glob.has_magic(str(folder)) or os.pathsep in str(folder):
        raise InputError(
            f"cache folder {folder}: readers would take *, ?, [ and {os.pathsep} for patterns; "
            "set SEGBENCH_CACHE_DIR to a path without them"
        )
    return folder


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
    """
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


def from_images(pattern: str, *, limit: int | None = None) -> Dataset:
    """Take the images of a folder, a glob pattern, or a single file.

    Parameters
    ----------
    pattern : str
        A path that exists is taken as it is, whatever characters it holds; otherwise a pattern.
    limit : int, optional
        How many images are wanted at the most: these, the first by name, are decoded once to see
        that they can be.

    Returns
    -------
    Dataset
        Without `truth`, with at most `limit` files.

    Raises
    ------
    InputError
        If there is nothing to read, or a file can't be read or does not fit the others.
    """
    files = _find(pattern)[:limit]
    key = _digest(files=[(str(file), *_size_and_time(file)) for file in files])
    checked = cache_folder() / f"images-{key}" / "checked.json"
    if not checked.exists():
        shape, dtype = _check(files)
        write_text(checked, json.dumps({"shape": shape, "dtype": dtype}))
    found = json.loads(checked.read_text())
    return Dataset(
        name=pattern,
        files=tuple(files),
        shape=tuple(found["shape"]),
        dtype=found["dtype"],
        key=key,
        origin=Origin(images=str(Path(pattern).absolute())),
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
    links = laid_out(dataset, count)
    return str(links[0] if count == 1 else links[0].parent / "*.*")


def laid_out(dataset: Dataset, count: int) -> list[Path]:
    """Files that `lay_out` gives the readers, which may be links."""
    folder = cache_folder() / "layouts" / f"{dataset.key}-{count:06d}"
    if not folder.is_dir():
        with new_folder(folder) as beside:
            for index, file in enumerate(dataset.files[:count]):
                _link(beside / f"{index:06d}{file.suffix.lower()}", file)
    return sorted(folder.iterdir())


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


def _find(pattern: str) -> list[Path]:
    path = Path(pattern)
    if path.is_dir():
        files = [file for file in path.iterdir() if not file.name.startswith(".")]
    elif path.is_file():
        files = [path]
    elif glob.has_magic(pattern):
        files = [Path(file) for file in glob.glob(pattern, recursive=True)]  # noqa: PTH207 (absolute patterns)
    else:
        raise InputError(f"no such folder or file: {pattern}; give a folder of images or a pattern")
    images = sorted(file.absolute() for file in files if file.suffix.lower() in SUFFIXES)
    if not images:
        raise InputError(f"{pattern} holds no image: segbench reads {', '.join(SUFFIXES)}")
    return images


def _size_and_time(file: Path) -> tuple[int, int]:
    try:
        stat = file.stat()
    except OSError as error:  # a link to nowhere, for one
        raise InputError(f"{file}: can't be opened ({error.strerror}); remove it") from error
    if stat.st_size == 0:
        raise InputError(f"{file}: the file is empty; remove or replace it")
    return stat.st_size, stat.st_mtime_ns


def _check(files: Sequence[Path]) -> tuple[tuple[int, ...], str]:
    """Decode every file; all must be of the shape and dtype of the first."""
    first = _decode(files[0])
    for file in files[1:]:
        pixels = _decode(file)
        if (pixels.shape, pixels.dtype) != (first.shape, first.dtype):
            raise InputError(
                f"{file}: {_describe(pixels)}, but {files[0].name} is {_describe(first)}; "
                "images of one run must be alike: sort them into folders or convert them"
            )
    return first.shape, str(first.dtype)


def _describe(pixels: NDArray[Any]) -> str:
    return f"{'x'.join(map(str, pixels.shape))} {pixels.dtype}"


def _decode(file: Path) -> NDArray[Any]:
    from skimage.io import imread  # noqa: PLC0415  (as above)

    try:
        unlike = _unlike_its_pixels(file)
        pixels = np.asarray(imread(file))
    except Exception as error:  # a decoder may raise anything on damaged input
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        message = f"{file}: can't be read as an image ({reason}); remove or replace it"
        raise InputError(message) from error
    plain = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    if unlike or not plain or str(pixels.dtype) not in ("uint8", "uint16"):
        raise InputError(
            f"{file}: {unlike or _describe(pixels)}; segbench reads gray, RGB and RGBA images of "
            "8 or 16 bit, one in a file: convert it"
        )
    return pixels


def _unlike_its_pixels(file: Path) -> str:
    """Why a file is not what its array of pixels looks like; empty where it is."""
    if file.suffix.lower() not in (".tif", ".tiff"):
        with Image.open(file) as image:
            return "CMYK colours" if image.mode == "CMYK" else ""  # would pass for RGBA
    from tifffile import PHOTOMETRIC, TiffFile  # noqa: PLC0415  (scikit-image's own reader of TIFF)

    with TiffFile(file) as tiff:
        page = tiff.pages.first
        if len(tiff.pages) > 1:
            # scikit-image takes three or four gray pages for the channels of one image.
            return f"{len(tiff.pages)} pages"
        if page.planarconfig != 1:
            # scikit-image puts the channels last, pims leaves them first.
            return "channels stored one after the other"
        if page.photometric not in (1, 2, 6):  # gray (0 is black), RGB, YCbCr
            return f"{PHOTOMETRIC(page.photometric).name} colours"
    return ""


def _link(link: Path, file: Path) -> None:
    for make in (os.symlink, os.link, shutil.copyfile):
        # No right to make links (Windows), or another disk: the next way, at last a copy.
        with suppress(OSError):
            make(file, link)
            return
    raise InputError(f"{file}: can't be linked or copied into {link.parent}; check its permissions")
