"""Does a backend find the same cells as the reference, and how close is the reference to the truth?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segbench.pipeline import Segmentation


@dataclass(frozen=True)
class Difference:
    """The first image on which a result differs from the reference.

    Attributes
    ----------
    image : int
        Its number, from 0; -1 where the number of images itself differs.
    what : str
        What differs, in words.
    """

    image: int
    what: str

    def __str__(self) -> str:
        return self.what if self.image < 0 else f"image {self.image}: {self.what}"


def first_difference(result: Segmentation, reference: Segmentation) -> Difference | None:
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
    Difference or None
        The first differing image; None where all agree.
    """
    if result.labels.shape != reference.labels.shape:
        return Difference(
            -1, f"labels of shape {result.labels.shape}, not {reference.labels.shape}"
        )
    if len(result.objects) != len(reference.objects):
        return Difference(
            -1, f"objects of {len(result.objects)} images, not {len(reference.objects)}"
        )
    for image in range(len(reference.objects)):
        what = _difference_of_image(
            result.labels[image],
            result.objects[image],
            reference.labels[image],
            reference.objects[image],
        )
        if what:
            return Difference(image, what)
    return None


def first_different_image(pixels: NDArray[Any], reference: NDArray[Any]) -> Difference | None:
    """Compare the pixels ``(N, H, W[, C])`` that a reader gives with the reference's, exactly."""
    if (pixels.shape, pixels.dtype) != (reference.shape, reference.dtype):
        return Difference(
            -1,
            f"pixels of shape {pixels.shape} {pixels.dtype}, not {reference.shape} {reference.dtype}",
        )
    for image, (own, expected) in enumerate(zip(pixels, reference, strict=True)):
        if not np.array_equal(own, expected):
            different = np.count_nonzero(own != expected)
            return Difference(image, f"{different} of {own.size} values read differ")
    return None


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
    """

    images: int
    rand_error: float
    rand_precision: float
    rand_recall: float
    true_objects: int
    found_objects: int


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
    error, recall, precision = scores.mean(axis=0)
    return TruthAgreement(
        images=len(truth),
        rand_error=float(error),
        rand_precision=float(precision),
        rand_recall=float(recall),
        true_objects=sum(_count(image) for image in truth),
        found_objects=sum(_count(image) for image in labels),
    )


def _count(labels: NDArray[Any]) -> int:
    return int(np.count_nonzero(np.unique(labels)))


def _difference_of_image(
    labels: NDArray[Any],
    objects: NDArray[Any],
    expected_labels: NDArray[Any],
    expected_objects: NDArray[Any],
) -> str:
    if len(objects) != len(expected_objects):
        return f"{len(objects)} objects in the table, not {len(expected_objects)}"
    if not np.array_equal(labels > 0, expected_labels > 0):
        pixels = np.count_nonzero((labels > 0) != (expected_labels > 0))
        return f"{pixels} pixels are foreground in one label image only"
    # Where the partitions are the same, each id of one has one id of the other, and back.
    translated, back = _translation(expected_labels, labels), _translation(labels, expected_labels)
    split = not np.array_equal(translated[expected_labels], labels)
    joined = not np.array_equal(back[labels], expected_labels)
    if split or joined:
        return "an object of the reference is " + ("split" if split else "joined with another")
    own_area = dict(objects.tolist())
    for label, area in expected_objects.tolist():
        own = own_area.get(int(translated[label]))
        if own != area:
            return f"an object of {area} pixels has the area {own} in the table"
    return ""


def _translation(ids: NDArray[Any], others: NDArray[Any]) -> NDArray[Any]:
    """For each id the other id at one of its pixels."""
    table = np.zeros(ids.max(initial=0) + 1, dtype=others.dtype)
    table[ids] = others
    return table
