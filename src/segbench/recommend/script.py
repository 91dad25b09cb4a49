"""A script that does what was recommended with scikit-image, and with Dask where that is named.

It does without segbench, and finds the same cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segbench.pipeline import MODE, ROUNDING, TRUNCATE

if TYPE_CHECKING:
    from segbench.backends.registry import BackendSpec
    from segbench.pipeline import PipelineParams

# By the scheduler: what is imported, and how the batches of files are worked on.
POOL = """\
with {pool}(WORKERS) as pool:
    tables = [table for batch in pool.map(segment, batches(files)) for table in batch]"""
DASK = """\
tasks = [dask.delayed(segment)(batch) for batch in batches(files)]
found = dask.compute(*tasks, scheduler="{scheduler}", num_workers=WORKERS)
tables = [table for batch in found for table in batch]"""
RUNS = {
    "serial": ("", "tables = [cells(file) for file in files]"),
    **{
        name: (f"from concurrent.futures import {pool}", POOL.format(pool=pool))
        for name, pool in (
            ("thread-pool", "ThreadPoolExecutor"),
            ("process-pool", "ProcessPoolExecutor"),
        )
    },
    **{name: ("import dask", DASK.format(scheduler=name)) for name in ("threads", "processes")},
}

SCRIPT = '''\
"""Measure the cells of images: {words}.

Usage: python {name} IMAGE... (writes cells.csv)
"""

import sys
{library}
import numpy as np
import pandas as pd
from skimage import {modules}
{constants}

def cells(file):
    image = util.img_as_float64({read})
    gray = {gray}
    blurred = filters.gaussian(gray, sigma={sigma}, mode="{mode}", truncate={truncate:g})
    local = filters.threshold_local(
        blurred, {block_size}, method="{method}", offset={offset!r}, mode="{mode}"
    )
    labels = measure.label(blurred {beyond}, connectivity=1)
    areas = np.bincount(labels.ravel())
    areas[0] = 0  # the background
    found = np.flatnonzero(areas >= {min_area})
    return pd.DataFrame({{"file": file, "label": found, "area": areas[found]}})
{functions}

if __name__ == "__main__":
    files = sys.argv[1:]
{run}
    pd.concat(tables).to_csv("cells.csv", index=False)
'''

FUNCTIONS = """

def segment(files):
    return [cells(file) for file in files]


def batches(files):
    return [files[start : start + BATCH] for start in range(0, len(files), BATCH)]
"""


def script(
    spec: BackendSpec,
    params: PipelineParams,
    *,
    words: str,
    workers: int,
    batch: int,
    channels: int,
    channel: int | None = None,
    name: str = "segment.py",
) -> str:
    """Write it.

    Parameters
    ----------
    spec : BackendSpec
        Its scheduler is one of `RUNS`, and both parts are scikit-image's.
    params : PipelineParams
        Those that the presentation's five steps need.
    words : str
        What the backend is called.
    workers, batch : int
        Threads or processes, and how many images a task of theirs has.
    channels : int
        Of the images: 0 where they are gray.
    channel : int, optional
        From 1: of them this one alone.
    name : str
        What the file will be called.
    """
    library, run = RUNS[spec.scheduler]
    alone = spec.scheduler == "serial"
    read = "io.imread(file)" + (f"[..., {channel - 1}]" if channel else "")
    gray = {0: "image", 4: "color.rgb2gray(color.rgba2rgb(image))"}.get(
        0 if channel else channels, "color.rgb2gray(image)"
    )
    modules = ["filters", "io", "measure", "util"]
    return SCRIPT.format(
        words=words,
        name=name,
        library=f"{library}\n" if library else "",
        modules=", ".join((["color"] if "color." in gray else []) + modules),
        constants="" if alone else f"\nWORKERS = {workers}\nBATCH = {batch}  # images a task\n",
        read=read,
        gray=gray,
        sigma=params.sigma,
        mode=MODE,
        truncate=TRUNCATE,
        block_size=params.block_size,
        method=params.method,
        offset=params.taken_off,
        beyond=f"< local - {ROUNDING}" if params.foreground == "dark" else f"> local + {ROUNDING}",
        min_area=params.min_area,
        functions="" if alone else FUNCTIONS,
        run="\n".join(f"    {line}" for line in run.splitlines()),
    )
