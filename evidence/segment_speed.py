"""How fast `segbench segment` is with all CPUs, over a plain loop, and what memory many images take."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from evidence.shared import MODULE
from segbench.backends.registry import BASELINE
from segbench.images import datasets
from segbench.images.origin import CELLS, parse_shape
from segbench.stats import MIN_ROUNDS, of_rounds

if TYPE_CHECKING:
    from collections.abc import Sequence

# As many different images are made; more are links to them.
MADE = 50
MIB = 1024  # in the KiB that getrusage tells


def many(folder: Path, count: int, shape: tuple[int, int]) -> Path:
    """A folder with so many smears of a shape, links to the few that are made."""
    made = datasets.smear(MADE, shape=shape).files
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:06d}.jpg").symlink_to(made[number % MADE])
    return folder


def segmented(images: Path, *options: str) -> tuple[float, float]:
    """Segment a folder in a process of its own: its wall time in seconds, and its peak in MiB."""
    given = [word for name, value in CELLS["smear"].items() for word in (f"--{name}", str(value))]
    out = images.parent / "cells.csv"
    command = [*MODULE, "segbench", "segment", str(images), "--out", str(out), *given]
    command += ["--foreground", "dark", *options]
    started = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603  (this interpreter)
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise click.ClickException(f"{' '.join(command)}: exit status {process.returncode}")
    return time.perf_counter() - started, usage.ru_maxrss / MIB


def faster(images: Path, *, rounds: int) -> str:
    """The time of the plain loop over that with all CPUs, with its interval."""
    logs = []
    loop = ("--backend", str(BASELINE), "--workers", "1")
    for number in range(rounds):
        # In turns, so that what is slow for a while is so for both.
        order: Sequence[tuple[str, ...]] = [loop, ()] if number % 2 else [(), loop]
        seconds = {options: segmented(images, *options)[0] for options in order}
        logs.append(np.log(seconds[loop] / seconds[()]))
    ratio = of_rounds(np.array(logs))
    return f"{ratio.estimate:.2f} ({ratio.low:.2f} to {ratio.high:.2f}), {rounds} rounds"


@click.command()
@click.option("--images", type=click.IntRange(1), default=500, show_default=True)
@click.option("--shape", type=parse_shape, default="520x696", show_default=True)
@click.option("--rounds", type=click.IntRange(MIN_ROUNDS), default=MIN_ROUNDS, show_default=True)
@click.option("--few", type=click.IntRange(1), default=100, show_default=True)
@click.option("--many", "most", type=click.IntRange(1), default=10_000, show_default=True)
@click.option("--small", type=parse_shape, default="96x128", show_default=True)
def segment_speed(
    *,
    images: int,
    shape: tuple[int, int],
    rounds: int,
    few: int,
    most: int,
    small: tuple[int, int],
) -> None:
    """Measure `segment`: all CPUs over a plain loop, and the memory of many images over few."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        height, width = shape
        ratio = faster(many(folder / "images", images, shape), rounds=rounds)
        click.echo(
            f"{images} images of {height} x {width}: the plain loop takes {ratio} times as long"
        )
        peaks = [segmented(many(folder / str(count), count, small))[1] for count in (few, most)]
        click.echo(
            f"peak memory: {peaks[0]:.0f} MiB with {few} images, {peaks[1]:.0f} MiB with {most}, "
            f"{peaks[1] / peaks[0]:.3f} times as much"
        )
