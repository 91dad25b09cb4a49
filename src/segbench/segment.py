"""The pipeline as a tool: files to a table of cells and label images."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from segbench import files
from segbench.backends import phases, registry
from segbench.errors import InputError
from segbench.images import datasets

if TYPE_CHECKING:
    from pathlib import Path

    from segbench.pipeline import PipelineParams


def segment_files(
    images: str,
    *,
    backend: str,
    params: PipelineParams,
    workers: int,
    out: Path,
    labels: Path | None,
) -> int:
    """Segment all images of a folder or pattern.

    Parameters
    ----------
    images : str
        Folder, glob pattern or file.
    backend : str
        ``reader/processor/scheduler``.
    params : PipelineParams
        Of the pipeline.
    workers : int
        Threads or processes of the scheduler.
    out : Path
        CSV file: image (file name, below the folder that all share), label, area (pixels).
    labels : Path or None
        Folder for label images, int32 TIFF, named after the images.

    Returns
    -------
    int
        Number of cells.

    Raises
    ------
    InputError
        If the backend can't be used or the images can't be read.
    """
    if out.suffix.lower() in datasets.SUFFIXES:
        raise InputError(f"{out}: the table would take the name of an image; give a .csv")
    spec = registry.parse_spec(backend)
    try:
        with phases.started(spec, workers=workers) as running:
            dataset = datasets.from_images(images)
            pattern = datasets.lay_out(dataset, len(dataset.files))
            found = phases.run_pipeline(running, pattern, params)
    except registry.UnavailableError as error:
        raise InputError(str(error)) from error
    # The name alone where all lie in one folder; `**/*.png` may find the same name in several.
    above = os.path.commonpath([file.parent for file in dataset.files])
    names = np.array([file.relative_to(above).as_posix() for file in dataset.files])
    table = found.table()
    table["image"] = names[table["image"]]
    if labels:
        for name, image in zip(names, found.labels, strict=True):
            datasets.save_label_image(labels / f"{name}.tif", image)
    files.write_text(out, table.to_csv(index=False, lineterminator="\n"))
    return found.count
