"""A script that runs the pipeline with scikit-image, and with Dask or joblib where that is named.

It does without segbench, and finds the same cells.
"""

from __future__ import annotations

import shlex
from dataclasses import fields
from typing import TYPE_CHECKING

from segbench.backends.registry import describe, parse_spec
from segbench.errors import InputError
from segbench.pipeline import MODE, ROUNDING, TRUNCATE

if TYPE_CHECKING:
    from segbench.backends.registry import BackendSpec
    from segbench.pipeline import PipelineParams
    from segbench.report.choice import Part

# By the scheduler: what is imported, and how the batches of files are worked on.
POOL = """\
with {pool}(WORKERS) as pool:
    tables = [table for batch in pool.map(segment, batches(files)) for table in batch]"""
DASK = """\
tasks = [dask.delayed(segment)(batch) for batch in batches(files)]
found = dask.compute(*tasks, scheduler="{scheduler}", num_workers=WORKERS)
tables = [table for batch in found for table in batch]"""
CLUSTER = """\
with Client(n_workers=WORKERS, threads_per_worker=1):
    tasks = [dask.delayed(segment)(batch) for batch in batches(files)]
    tables = [table for batch in dask.compute(*tasks) for table in batch]"""
JOBLIB = """\
found = Parallel(n_jobs=WORKERS)(delayed(segment)(batch) for batch in batches(files))
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
    "distributed": ("import dask\nfrom distributed import Client", CLUSTER),
    "joblib": ("from joblib import Parallel, delayed", JOBLIB),
}

SCRIPT = '''\
"""Measure cell areas with {words}.

Usage: python {name} IMAGE... (writes areas.csv)
"""

{imports}
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
    table = pd.concat(tables)
    table.to_csv("areas.csv", index=False)
    print(f"{{len(table)}} cells in {{len(files)}} images")
'''

FUNCTIONS = """

def segment(files):
    return [cells(file) for file in files]


def batches(files):
    size = {size}
    return [files[start : start + size] for start in range(0, len(files), size)]
"""
FOUR_EACH = "max(1, math.ceil(len(files) / (4 * WORKERS)))  # four tasks for each worker"


def code_for(part: Part, backend: str) -> str:
    """What to paste to run the pipeline of a shape with a backend, as it was measured.

    A script without segbench where that can be, otherwise a command of segbench's; empty where the
    source does not say what it was asked for.
    """
    if not part.run:
        return ""
    settings, origin = part.run
    params, shape = settings.params, part.source.dataset.get("shape")
    try:
        spec = parse_spec(backend)
    except InputError:
        return ""
    plain = (spec.reader, spec.processor) == ("skimage", "skimage") and spec.scheduler in RUNS
    beyond = params.own_contrast or params.fill_holes or params.split
    if not plain or beyond or not isinstance(shape, list | tuple):
        what = "IMAGE" if part.source.is_large else "FOLDER"
        return _command(what, backend, params, channel=origin.channel)
    channels = shape[2] if len(shape) > 2 and isinstance(shape[2], int) else 0
    return script(
        spec,
        params,
        workers=settings.workers,
        channels=channels,
        channel=origin.channel,
    )


def _command(what: str, backend: str, params: PipelineParams, *, channel: int | None) -> str:
    """The line for a shell that finds the same cells as a table."""
    words = ["segbench", "segment", what, "--backend", backend]
    words += ["--channel", str(channel)] if channel else []
    for each in fields(params):
        value, name = getattr(params, each.name), each.name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
        else:
            words += [f"--{name}", f"{value}"]
    return shlex.join(words)


def script(
    spec: BackendSpec,
    params: PipelineParams,
    *,
    workers: int,
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
    workers : int
        Threads or processes.
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
    size = f"{spec.batch}  # images per task" if spec.batch else FOUR_EACH
    return SCRIPT.format(
        # Not as a run has it, which anybody may have written.
        words=describe(spec).words,
        name=name,
        library=f"{library}\n" if library else "",
        modules=", ".join((["color"] if "color." in gray else []) + modules),
        imports="import sys" if alone or spec.batch else "import math\nimport sys",
        constants="" if alone else f"\nWORKERS = {workers}\n",
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
        functions="" if alone else FUNCTIONS.format(size=size),
        run="\n".join(f"    {line}" for line in run.splitlines()),
    )
