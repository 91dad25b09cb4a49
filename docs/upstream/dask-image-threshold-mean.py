# /// script
# dependencies = ["dask-image", "numpy"]
# ///
"""dask_image.ndfilters.threshold_local: method="mean" calls Python for each pixel."""

import sys
from collections import Counter

import dask.array as da
import numpy as np
from dask_image.ndfilters import threshold_local, uniform_filter

events = Counter()


def count(_frame, event, _argument):
    """Count what Python's profiler reports."""
    events[event] += 1


def calls_for(mean, side):
    """How many Python functions are called to compute a mean for each pixel of a square image."""
    means = mean(da.ones((side, side), chunks=-1))
    events.clear()
    sys.setprofile(count)
    means.compute(scheduler="synchronous")
    sys.setprofile(None)
    return events["call"]


def slow(image):
    """The mean that threshold_local takes."""
    return threshold_local(image, 5, method="mean")


def fast(image):
    """The same mean by one-dimensional filters, one along each axis."""
    return uniform_filter(image, 5)


image = da.from_array(np.random.default_rng(0).random((20, 20)), chunks=-1)
same = np.allclose(slow(image).compute(), fast(image).compute())
print(f"same values: {same}")
for mean in (slow, fast):
    calls_for(mean, 20)  # the first call imports what it needs
per_pixel = [(calls_for(mean, 40) - calls_for(mean, 20)) / (40**2 - 20**2) for mean in (slow, fast)]
print(f'threshold_local(method="mean"): {per_pixel[0]:.1f} Python calls for each pixel')
print(f"uniform_filter: {per_pixel[1]:.1f} Python calls for each pixel")
print("still there" if per_pixel[0] >= 1 else "mended")
