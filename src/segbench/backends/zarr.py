"""A large image as Zarr: of the same pixels as the TIFF, in chunks that are files of their own."""

from __future__ import annotations

import dataclasses

import zarr  # noqa: F401  (where it is missing, the reader is told to be unavailable)

from segbench.backends.readers import TILES

READER = dataclasses.replace(TILES, words="Zarr, in chunks", libraries=("zarr", "numcodecs"))
