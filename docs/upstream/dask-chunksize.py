# /// script
# dependencies = ["dask[array]"]
# ///
"""Dask's local schedulers: chunksize=-1 raises ZeroDivisionError."""

import dask
import dask.array as da

with dask.config.set(scheduler="threads", chunksize=-1):
    try:
        print(da.ones(4, chunks=2).sum().compute())
        print("mended")
    except ZeroDivisionError as error:
        print(f"ZeroDivisionError: {error}")
        print("still there")
