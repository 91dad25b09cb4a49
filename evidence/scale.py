"""How backends stand a hundred thousand images, and what more workers gain, step by step."""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evidence.shared import ROOT
from segbench.backends import phases, readers, registry, schedulers, skimage
from segbench.backends.registry import BackendSpec
from segbench.images import datasets
from segbench.images.origin import parse_shape, show_shape
from segbench.measure import cputime, memory
from segbench.measure.settings import available_cpus, parse_backends, parse_sizes
from segbench.measure.workers import NATIVE_POOLS
from segbench.pipeline import PipelineParams

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray


BACKENDS = (
    "skimage/skimage/thread-pool,skimage/skimage/threads,dask-batched/dask-blocks/threads,"
    "skimage/skimage/distributed"
)

# Images that all links lead to.
KEPT = 100

# Measured so often, and the median told.
TIMES = 5


@click.command()
@click.option("--images", type=parse_sizes, default="1000,100000", show_default=True)
@click.option("--backends", type=parse_backends, default=BACKENDS, show_default=True)
@click.option("--shape", type=parse_shape, default="64x80", show_default=True)
@click.option("--one", hidden=True, help="A backend to look at in this process.")
def scale(
    *,
    images: tuple[int, ...],
    backends: tuple[BackendSpec, ...],
    shape: tuple[int, int],
    one: str | None,
) -> None:
    """Run the pipeline over folders of links: time, peak memory, tasks, and time to build the graph."""
    if one:
        spec, pattern = one.split(" ", 1)
        click.echo(json.dumps(_look(registry.parse_spec(spec), pattern, shape)))
        return
    files = datasets.smear(KEPT, shape=shape).files
    click.echo("| Backend | Images | Time | Peak memory | Graph built in | Tasks |")
    click.echo("| --- | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory(prefix="segbench-") as folder:
        for count in images:
            links = Path(folder) / str(count)
            links.mkdir()
            for index, file in enumerate(islice(cycle(files), count)):
                (links / f"{index:06d}.jpg").symlink_to(file)
        for each in backends:
            for count in images:
                pattern = f"{folder}/{count}/*.jpg"
                words = ("--shape", show_shape(shape), "--one", f"{each} {pattern}")
                found = json.loads(_again("scale", *words))
                click.echo(
                    f"| {each} | {count} | {found['seconds']:.1f} s | {found['peak_mib']:.0f} MiB | "
                    f"{found['graph_seconds']:.2f} s | {found['tasks']} |"
                )


def _look(spec: BackendSpec, pattern: str, shape: tuple[int, int]) -> dict[str, float]:
    """One call of the pipeline in this process, which has done nothing else."""
    params = PipelineParams(diameter=12).within(shape)
    with phases.started(spec, workers=available_cpus()) as backend:
        memory.reset_peak()
        started = time.perf_counter()
        phases.run_pipeline(backend, pattern, params)
        seconds = time.perf_counter() - started
        peak = memory.peak_mib()
        started = time.perf_counter()
        tasks = phases.graph_cost(backend, pattern, params).tasks
        graph = time.perf_counter() - started
    return {"seconds": seconds, "peak_mib": peak or 0.0, "graph_seconds": graph, "tasks": tasks}


@click.command()
@click.option("--workers", type=parse_sizes, default="2,4", show_default=True)
@click.option("--shape", type=parse_shape, default="192x256", show_default=True)
@click.option("--images", type=click.IntRange(1), default=64, show_default=True)
def threads(*, workers: tuple[int, ...], shape: tuple[int, int], images: int) -> None:
    """What more threads, or processes, gain in each step of scikit-image: 1 in one that holds the GIL."""
    steps = _steps(shape, images)
    heads = [f"{count} {what}" for what in ("threads", "processes") for count in workers]
    click.echo(f"| Step | One | {' | '.join(heads)} |")
    click.echo(f"| --- | ---: |{' ---: |' * len(heads)}")
    for name, (function, inputs) in steps.items():
        alone = _median(lambda function=function, inputs=inputs: [*map(function, inputs)])  # type: ignore[misc]  # bound now
        gains = []
        for what in (_threads, _processes):
            for count in workers:
                with what(count) as pool:
                    size = -(-len(inputs) // (4 * count))
                    work = partial(_map, pool, function, inputs, size)
                    work()
                    gains.append(alone / _median(work))
        cells = " | ".join(f"{gain:.2f}" for gain in gains)
        click.echo(f"| {name} | {1e3 * alone / images:.2f} ms | {cells} |")


# By name: in words, and what the processes are told.
TRIMMED: dict[str, tuple[str, dict[str, str]]] = {
    "threads": ("Dask's threads", {}),
    "as-segbench": ("A cluster as segbench starts it", {}),
    "as-dask": ("A cluster as Dask starts it", {"MALLOC_TRIM_THRESHOLD_": "65536"}),
}


@click.command()
@click.option("--images", type=click.IntRange(1), default=24, show_default=True)
@click.option("--shape", type=parse_shape, default="1024x1024", show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--one", type=click.Choice([*TRIMMED]), hidden=True)
def trimming(*, images: int, shape: tuple[int, int], rounds: int, one: str | None) -> None:
    """What it costs on a Dask cluster that its workers give memory back to the system."""
    if one:
        # Workers inherit it; this process has started without.
        os.environ.update(TRIMMED[one][1])
        scheduler = "threads" if one == "threads" else "distributed"
        pattern = datasets.lay_out(datasets.smear(images, shape=shape), images)
        params = PipelineParams().within(shape)
        spec = BackendSpec("skimage", "skimage", scheduler)
        with phases.started(spec, workers=available_cpus()) as backend:
            memory.warm_allocator()
            work = partial(phases.run_pipeline, backend, pattern, params)
            work()
            click.echo(_median(work))
        return
    words = ["--images", str(images), "--shape", show_shape(shape)]
    times: dict[str, list[float]] = {name: [] for name in TRIMMED}
    for _ in range(rounds):
        for name, own in times.items():
            own.append(float(_again("trimming", *words, "--one", name)))
    click.echo("| Where | Time | Beside Dask's threads |")
    click.echo("| --- | ---: | ---: |")
    for name, own in times.items():
        ratios = [time / other for time, other in zip(own, times["threads"], strict=True)]
        middle, ratio = statistics.median(own), statistics.median(ratios)
        click.echo(f"| {TRIMMED[name][0]} | {middle:.2f} s | {ratio:.2f} |")


@click.command()
@click.option("--seconds", type=click.FloatRange(0.1), default=10.0, show_default=True)
def idle(*, seconds: float) -> None:
    """How much of a CPU a Dask cluster takes that has nothing to do, and one that is stopped."""
    with schedulers.start("distributed", workers=available_cpus()) as started:
        shares = {"idle": _share(seconds)}
        with started.at_rest():
            shares["stopped"] = _share(seconds)
    click.echo("| A cluster that is | Takes of a CPU |")
    click.echo("| --- | ---: |")
    for name, share in shares.items():
        click.echo(f"| {name} | {share:.1%} |")


def _share(seconds: float) -> float:
    """CPU time of this process and its children in so many seconds, over these."""
    clock = cputime.Clock()
    before = clock.seconds()
    time.sleep(seconds)
    return (clock.seconds() - before) / seconds


def _again(*words: str) -> str:
    """The last line that a command prints in a process of its own."""
    done = subprocess.run(  # noqa: S603  (this program)
        [sys.executable, "-m", "evidence", *words],
        cwd=ROOT,
        env={**os.environ, **dict.fromkeys(NATIVE_POOLS, "1")},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout.splitlines()[-1]


def _threads(count: int) -> Any:
    return ThreadPoolExecutor(count)


def _processes(count: int) -> Any:
    return ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"))


def _map(pool: Any, function: Callable[[Any], Any], inputs: list[Any], size: int) -> None:
    batches = [inputs[start : start + size] for start in range(0, len(inputs), size)]
    list(pool.map(partial(_each, function), batches))


def _each(function: Callable[[Any], Any], batch: list[Any]) -> int:
    """Only the work: what it gives stays where it is."""
    return sum(function(one) is not None for one in batch)


def _median(work: Callable[[], object]) -> float:
    times = []
    for _ in range(TIMES):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _steps(
    shape: tuple[int, int], images: int
) -> dict[str, tuple[Callable[[Any], Any], list[Any]]]:
    """Each step of the pipeline, and what it works on."""
    params = PipelineParams().within(shape)
    files = [str(file) for file in datasets.smear(images, shape=shape).files]
    load = readers.SKIMAGE.load
    assert load is not None  # noqa: S101  (told to the type checker)
    pixels = [load(file) for file in files]
    gray = [skimage.grayscale(one) for one in pixels]
    blurred = [skimage.blur(one, params) for one in gray]
    masks: list[NDArray[np.bool_]] = [one < skimage.threshold(one, params) for one in blurred]
    return {
        "read": (load, files),
        "grayscale": (skimage.grayscale, pixels),
        "blur": (partial(skimage.blur, params=params), gray),
        "threshold": (partial(skimage.threshold, params=params), blurred),
        "label": (skimage.label, masks),
        "measure": (skimage.measure, [skimage.label(one) for one in masks]),
    }
