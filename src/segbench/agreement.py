"""Does a backend find the same cells as the reference, and how close is the reference to the truth?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from segbench.pipeline import Measured, Segmentation

# Of label images so many pixels are compared at once: one of a large image is not to be held twice.
STRIPE_PIXELS = 2**22


def first_difference(result: Segmentation, reference: Segmentation) -> str | None:
    """Compare a segmentation with the reference, image by image.

    Two label images agree when they are the same partition of the pixels: ids differ between the
    libraries by design. The tables agree when every object has the same area in both, its id
    translated from one label image to the other.

    Parameters
    ----------
    result, reference : Segmentation
        Of the same images.

    Returns
    -------
    str or None
        What differs, in the first image that does (its number from 0), or as a whole where the
        number of images itself is another; None where all agree.
    """
    if result.labels.shape != reference.labels.shape:
        return f"labels of shape {result.labels.shape}, not {reference.labels.shape}"
    if len(result.counts) != len(reference.counts):
        return f"objects of {len(result.counts)} images, not {len(reference.counts)}"
    images = zip(result.labels, result.objects, reference.labels, reference.objects, strict=True)
    for number, image in enumerate(images):
        if what := _difference_of_image(*image):
            return f"image {number}: {what}"
    return None


def first_different_table(result: Measured, reference: Measured) -> str | None:
    """Compare tables of cells: each image must have as many cells as the reference, of the same areas.

    What differs is said as by `first_difference`.
    """
    if len(result.counts) != len(reference.counts):
        return f"objects of {len(result.counts)} images, not {len(reference.counts)}"
    for number, (own, right) in enumerate(zip(result.objects, reference.objects, strict=True)):
        if len(own) != len(right):
            return f"image {number}: {len(own)} objects, not {len(right)}"
        if (np.sort(own[:, 1]) != np.sort(right[:, 1])).any():
            return f"image {number}: objects of other areas"
    return None


def first_different_image(pixels: NDArray[Any], reference: NDArray[Any]) -> str | None:
    """Compare the pixels ``(N, H, W[, C])`` that a reader gives with the reference's, exactly.

    What differs is said as by `first_difference`.
    """
    own, expected = (f"{one.shape} {one.dtype}" for one in (pixels, reference))
    if own != expected:
        return f"pixels of shape {own}, not {expected}"
    for number, (image, right) in enumerate(zip(pixels, reference, strict=True)):
        if count := np.count_nonzero(image != right):
            return f"image {number}: {count} of {image.size} values read differ"
    return None


@dataclass(frozen=True, kw_only=True)
class Matches:
    """How many true cells were found, of how many, and in how many objects.

    Attributes
    ----------
    matched : int
        Pairs of a true cell and an object whose overlap is more than half of what they cover
        together (intersection over union above 0.5): no cell and no object is in two of them.
    true, found : int
        Number of true cells and of objects.
    """

    matched: int
    true: int
    found: int

    @property
    def f1(self) -> float:
        """Matches as a share of the mean number of cells and objects; 1 where there are neither."""
        return 2 * self.matched / (self.true + self.found) if self.true + self.found else 1.0

    def __add__(self, other: Matches) -> Matches:
        """Of both together."""
        return Matches(
            matched=self.matched + other.matched,
            true=self.true + other.true,
            found=self.found + other.found,
        )


NO_MATCHES = Matches(matched=0, true=0, found=0)


def matches(labels: NDArray[Any], truth: NDArray[Any]) -> Matches:
    """Match the objects of a label image ``(H, W)`` with the true cells."""
    true, found = (np.bincount(image.ravel()) for image in (truth, labels))
    # Pixels that each pair of a cell and an object shares.
    cells, count = np.unique(
        truth.ravel().astype(np.int64) * len(found) + labels.ravel(), return_counts=True
    )
    cell, objects = np.divmod(cells, len(found))
    good = (cell > 0) & (objects > 0) & (2 * count > true[cell] + found[objects] - count)
    return Matches(
        matched=int(np.count_nonzero(good)),
        true=int(np.count_nonzero(true[1:])),
        found=int(np.count_nonzero(found[1:])),
    )


@dataclass(frozen=True)
class TruthAgreement:
    """How well the reference finds the true cells of a generated dataset.

    Attributes
    ----------
    images : int
        How many images were compared.
    rand_error, rand_precision, rand_recall : float
        Adapted Rand error and its parts, mean over the images: 0 is a perfect error, 1 a perfect
        precision or recall.
    true_objects, found_objects : int
        Number of cells and of objects in all these images.
    f1 : float
        Of all these images together, as `Matches.f1`.
    """

    images: int
    rand_error: float
    rand_precision: float
    rand_recall: float
    true_objects: int
    found_objects: int
    f1: float


def truth_agreement(labels: NDArray[Any], truth: NDArray[Any]) -> TruthAgreement:
    """Compare label images with the ground truth.

    Parameters
    ----------
    labels, truth : ndarray of int, shape (N, H, W)
        0 is background.

    Returns
    -------
    TruthAgreement
        Means and sums over the N images.

    References
    ----------
    .. [1] Arganda-Carreras I, et al. (2015) Crowdsourcing the creation of image segmentation
           algorithms for connectomics. Frontiers in Neuroanatomy 9:142.
    """
    # Only runs over generated images compare with a truth.
    from skimage.metrics import adapted_rand_error  # noqa: PLC0415

    scores = np.array(
        [
            # The score counts pairs of pixels in one true cell: without any it would be 0/0.
            adapted_rand_error(true, found) if np.any(np.bincount(true.flat)[1:] > 1) else (0, 1, 1)
            for true, found in zip(truth, labels, strict=True)
        ]
    )
    # scikit-image returns recall before precision, against its documentation (its issue 6485).
    error, recall, precision = scores.mean(axis=0).tolist()
    together = sum(map(matches, labels, truth), NO_MATCHES)
    return TruthAgreement(
        len(truth),
        error,
        precision,
        recall,
        true_objects=together.true,
        found_objects=together.found,
        f1=together.f1,
    )


def _difference_of_image(
    labels: NDArray[Any],
    objects: NDArray[Any],
    expected_labels: NDArray[Any],
    expected_objects: NDArray[Any],
) -> str:
    if len(objects) != len(expected_objects):
        return f"{len(objects)} objects in the table, not {len(expected_objects)}"
    pairs = [*_stripes(labels, expected_labels)]
    if pixels := sum(np.count_nonzero((own > 0) != (right > 0)) for own, right in pairs):
        return f"{pixels} pixels are foreground in one label image only"
    # Where the partitions are the same, each id of one has one id of the other, and back.
    translated, back = _translation(pairs), _translation([pair[::-1] for pair in pairs])
    split = any((translated[right] != own).any() for own, right in pairs)
    joined = any((back[own] != right).any() for own, right in pairs)
    if split or joined:
        return "an object of the reference is " + ("split" if split else "joined with another")
    own_area = dict(objects.tolist())
    for label, area in expected_objects.tolist():
        own = own_area.get(int(translated[label]))
        if own != area:
            return f"an object of {area} pixels has the area {own} in the table"
    return ""


def _stripes(
    labels: NDArray[Any], others: NDArray[Any]
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Some rows of both after the other, so that no more than that is worked on at once."""
    rows = max(1, STRIPE_PIXELS // labels.shape[1])
    for start in range(0, labels.shape[0], rows):
        yield labels[start : start + rows], others[start : start + rows]


def _translation(pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> NDArray[Any]:
    """For each id of the second of each pair the id of the first at one of its pixels."""
    most = max((int(ids.max(initial=0)) for _, ids in pairs), default=0)
    table = np.zeros(most + 1, dtype=np.int64)
    for others, ids in pairs:
        table[ids] = others
    return table
