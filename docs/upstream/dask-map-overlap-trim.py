# /// script
# dependencies = ["dask[array]"]
# ///
"""dask.array.map_overlap: with trim=False it does not see that a function has not trimmed."""

import dask.array as da

image = da.ones((20, 20), chunks=10)
try:
    wide = da.map_overlap(lambda block: block, image, depth=2, boundary="none", trim=False)
    narrow = da.overlap.trim_internal(wide, {0: 2, 1: 2}, boundary="none")
    computed = wide.compute(), narrow.compute()
except ValueError as error:
    print(f"ValueError: {error}")
    print("mended")
else:
    print(f"map_overlap: declared {wide.shape}, computed {computed[0].shape}")
    print(f"trim_internal: declared {narrow.shape}, computed {computed[1].shape}")
    right = wide.shape == computed[0].shape and narrow.shape == computed[1].shape
    print("mended" if right else "still there")
