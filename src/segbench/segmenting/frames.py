"""Tables of cells as data frames, and the function that gives one."""

from __future__ import annotations

import os
import warnings
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from segbench.errors import InputError
from segbench.images import paths
from segbench.measure.settings import available_cpus, available_gib
from segbench.pipeline import PipelineParams
from segbench.segmenting.cells import BACKEND, COLUMNS, Cells, LeftOut, find_cells, job_for

if TYPE_CHECKING:
    from collections.abc import Sequence

WHOLE = ("label", "area", "bbox-0", "bbox-1", "bbox-2", "bbox-3")  # numbers without fractions


def segment(
    images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    params: PipelineParams | None = None,
    backend: str = BACKEND,
    workers: int | None = None,
    channel: int | None = None,
    **given: Any,
) -> pd.DataFrame:
    """Find the cells of images and measure them.

    Parameters
    ----------
    images : path, or sequence of paths
        Folders, files and patterns. Images may be of any shapes and kinds; of a file that holds
        several each is one.
    params : PipelineParams, optional
        Of the pipeline, all of them. Without them those in `given` are completed as on the command
        line: the diameter of the cells, whether they are dark or bright, and their contrast are
        estimated from a sample of the images, the contrast of each image is taken from its own
        values, holes are filled and touching cells split.
    backend : str
        ``reader/processor/scheduler``: all find the same cells.
    workers : int, optional
        Threads or processes; by default as many as there are CPUs.
    channel : int, optional
        From 1: of images with channels this one alone.
    **given
        Some of the fields of `PipelineParams`, such as ``diameter=90, foreground="dark"``.

    Returns
    -------
    DataFrame
        One row a cell, by the names of :func:`skimage.measure.regionprops_table`: ``file`` (its name
        below the folder that all share, with ``#`` and a number where a file holds several images),
        ``label`` (from 1 in each image), ``area`` (pixels), ``centroid-0`` and ``-1`` (row and
        column), ``bbox-0`` to ``-3`` (first row, first column, last row + 1, last column + 1),
        ``equivalent_diameter_area`` (pixels), ``mean_intensity`` (luminance, in the units of the
        file: 0 to 255 in an image of 8 bit). What the images were taken for is in ``attrs["params"]``.

    Raises
    ------
    InputError
        If there are no images, none can be read, the backend is not to be had, or a parameter makes
        no sense. A file among others that can't be read is a warning.

    Examples
    --------
    >>> from skimage import data, io
    >>> import segbench
    >>> io.imsave("coins.png", data.coins(), check_contrast=False)
    >>> cells = segbench.segment("coins.png")
    >>> list(cells.columns[:3])
    ['file', 'label', 'area']
    """
    listed = [images] if isinstance(images, str | os.PathLike) else images
    found = paths.find([os.fspath(path) for path in listed]).files
    if params and given:
        raise InputError(f"params are given, all of them: leave out {', '.join(given)}")
    if unknown := given.keys() - {each.name for each in fields(PipelineParams)}:
        raise InputError(f"{', '.join(sorted(unknown))}: no field of PipelineParams")
    job = job_for(
        found,
        asdict(params) if params else given,
        backend=backend,
        channel=channel,
        memory=available_gib(),
    )
    results = [*find_cells(found, job, workers=workers or available_cpus())]
    left_out = [f"{each.file}: {each.why}" for each in results if isinstance(each, LeftOut)]
    if len(left_out) == len(results):
        raise InputError("; ".join(left_out))
    for each in left_out:
        warnings.warn(each, stacklevel=2)
    frame = cells_frame([each for each in results if isinstance(each, Cells)])
    frame.attrs["params"] = asdict(job.params)
    return frame


def cells_frame(images: Sequence[Cells]) -> pd.DataFrame:
    """One row a cell: ``file``, and `COLUMNS`."""
    rows: list[list[Any]] = [[one.file, *row] for one in images for row in one.rows]
    frame = _frame(rows, columns=["file", *COLUMNS])
    numbers = dict.fromkeys(COLUMNS, float) | dict.fromkeys(WHOLE, np.int64)
    return frame.astype({"file": object, **numbers})


def images_frame(images: Sequence[Cells]) -> pd.DataFrame:
    """One row an image: ``file``, ``cells``, ``median_area`` in pixels (0 without cells)."""
    area = COLUMNS.index("area")
    medians = [float(np.median([row[area] for row in one.rows] or [0])) for one in images]
    return _frame(
        {
            "file": [one.file for one in images],
            "cells": [len(one.rows) for one in images],
            "median_area": medians,
        }
    )


def _frame(values: Any, **how: Any) -> pd.DataFrame:
    # Names of files may hold bytes that are no text, which pyarrow refuses where it is installed.
    with pd.option_context("mode.string_storage", "python"):
        return pd.DataFrame(values, **how)
