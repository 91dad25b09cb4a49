"""What a sample of images tells of the cells in them: their diameter, dark or bright, how contrasty.

Crude, and once for all images: enough to choose settings by, which a user can give instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import skimage.feature
import skimage.filters
from scipy import ndimage

from segbench.backends.skimage import grayscale
from segbench.pipeline import Foreground, PipelineParams

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

PIXELS = 50_000  # of each image, for what all have in common

# What is estimated of `PipelineParams`.
ESTIMATED = ("diameter", "foreground", "contrast")

# Where the smaller part takes up more than that, it may be the other one that is cells.
LARGEST_PART = 0.4

SMOOTHING = 1.0  # pixels: sigma of the blur before Otsu's threshold, and of the distances
SMALLEST = 4.0  # pixels: what is narrower is noise


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a sample of images tells.

    Attributes
    ----------
    diameter : float
        Of a typical cell, in pixels.
    foreground : str
        ``dark`` or ``bright``: whichever takes up less of the images.
    contrast : float
        Between cells and what surrounds them, as a share of full scale.
    images : int
        Of how many images it is.
    doubtful : int
        Images in which cells seem to be the other part, or in which both take up as much.
    """

    diameter: float
    foreground: Foreground
    contrast: float
    images: int
    doubtful: int

    @property
    def params(self) -> dict[str, Any]:
        """What it gives of `PipelineParams`."""
        return {name: getattr(self, name) for name in ESTIMATED}


def of_images(images: Iterable[NDArray[np.float64]]) -> Estimate | None:
    """Estimate from gray images.

    Otsu's threshold parts each image. Cells are the part that is smaller in most images; the
    diameter is twice the distance to the other part at its maxima: of an image their root mean
    square, the wider ones counting more, and of all images the median.

    Parameters
    ----------
    images : iterable of ndarray of float64, shape (H, W)
        Luminance, of any shapes.

    Returns
    -------
    Estimate or None
        Of all of them; None where nothing is wide enough for a cell.

    References
    ----------
    .. [1] Otsu N (1979) A threshold selection method from gray-level histograms. IEEE Transactions
           on Systems, Man, and Cybernetics 9(1):62-66.
    """
    masks, values = [], []
    for image in images:
        smooth = ndimage.gaussian_filter(image, SMOOTHING)
        if smooth.min() == smooth.max():
            continue  # nothing to part
        masks.append(smooth > _otsu(smooth))
        # A copy: a view would keep the image.
        values.append(image.ravel()[:: max(1, image.size // PIXELS)].copy())
    foreground: Foreground = "bright"
    shares = np.array([mask.mean() for mask in masks])
    if masks and np.median(shares) > 0.5:
        foreground, shares = "dark", 1 - shares
    widths = [_widths(mask if foreground == "bright" else ~mask) for mask in masks]
    # Parts of cells and specks are many, and narrow: a width counts by what it is.
    typical = [np.sqrt(np.average(each**2, weights=each)) for each in widths if each.size]
    if not typical:
        return None
    pooled = np.concatenate(values)
    above = pooled > _otsu(pooled)
    contrast = pooled[above].mean() - pooled[~above].mean()
    return Estimate(
        diameter=round(float(np.median(typical)), 1),
        foreground=foreground,
        contrast=float(f"{contrast:.3g}"),
        images=len(masks),
        doubtful=int(np.count_nonzero(shares > LARGEST_PART)),
    )


def _otsu(values: NDArray[np.float64]) -> float:
    return float(skimage.filters.threshold_otsu(values))  # type: ignore[no-untyped-call]  # (not annotated)


def _widths(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Twice the distance to the background at its maxima, in pixels."""
    distance = ndimage.distance_transform_edt(ndimage.binary_fill_holes(mask))
    smooth = ndimage.gaussian_filter(distance, SMOOTHING)
    peaks = skimage.feature.peak_local_max(smooth, min_distance=1, exclude_border=False)  # type: ignore[no-untyped-call]  # (not annotated)
    widths = 2 * np.asarray(distance[tuple(peaks.T)])
    return widths[widths >= SMALLEST]


def params_for(
    images: Iterable[NDArray[Any]], given: Mapping[str, Any]
) -> tuple[PipelineParams, Estimate | None]:
    """Parameters for images: what was not given comes from a sample of them.

    Parameters
    ----------
    images : iterable of ndarray of uint8 or uint16, shape (H, W[, C])
        The sample; not looked at where it would tell nothing that was not given.
    given : mapping
        Fields of `PipelineParams`.

    Returns
    -------
    PipelineParams
        With everything that was given; the defaults for the rest where no cells are to be seen.
    Estimate or None
        What was seen; None where nothing was, or nothing looked at.

    Raises
    ------
    InputError
        If a value that was given makes no sense.
    """
    params = PipelineParams(**given)
    if {*ESTIMATED} <= given.keys():
        return params, None
    found = of_images(grayscale(image) for image in images)
    return (PipelineParams(**{**found.params, **given}) if found else params), found
