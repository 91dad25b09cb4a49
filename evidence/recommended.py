"""Whether what `segbench recommend` names is as good as the best, and takes what was predicted."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click

from segbench.backends import registry
from segbench.images import datasets
from segbench.measure import engine
from segbench.measure.machine import machine
from segbench.measure.settings import RunSettings, available_cpus, parse_sizes
from segbench.pipeline import PipelineParams
from segbench.recommend import measuring
from segbench.report.cells import format_seconds
from segbench.results import records

# Small and few, small and many, large, very large.
FOLDERS = ((20, (192, 256)), (500, (192, 256)), (40, (1024, 1024)), (8, (4096, 4096)))


@dataclass(frozen=True)
class _Quiet:
    """A watcher that says nothing."""

    def plan(self, steps: int) -> None: ...
    def step(self, text: str, *, steps: int = 1) -> None: ...
    def note(self, text: str) -> None: ...


@click.command()
@click.option("--folders", type=parse_sizes, default="1,2,3,4", help="Which of the four.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--smaller", type=click.IntRange(1), default=1, hidden=True)
def recommended(*, folders: tuple[int, ...], rounds: int, smaller: int) -> None:
    """Recommend a backend for folders of different kinds, then measure all likely ones in full."""
    click.echo(
        "| Images | Named | Predicted | Took | Within | Over the best | Plain loop over it |"
    )
    click.echo("| --- | --- | --- | ---: | --- | ---: | ---: |")
    for count, (height, width) in (FOLDERS[number - 1] for number in folders):
        shape = (height // smaller, width // smaller)
        dataset = datasets.smear(max(2, count // smaller), shape=shape)
        params, total = PipelineParams().within(shape), len(dataset.files)
        workers = available_cpus()
        found = measuring.recommend(dataset, params, total=total, workers=workers, watcher=_Quiet())
        settings = RunSettings(
            sizes=(total,),
            phases=("pipeline",),
            backends=tuple(one.backend for one in found.predictions),
            params=params,
            workers=workers,
            rounds=rounds,
            time_limit=600.0,
        )
        with tempfile.TemporaryDirectory(prefix="segbench-") as folder:
            told = {"command": "", "machine": machine(), "profiles": 0}
            engine.run([dataset], settings, out=Path(folder) / "run", watcher=_Quiet(), **told)  # type: ignore[arg-type]  # values of several types
            samples = records.read(Path(folder) / "run" / records.RUN_NAME).samples
        took = {
            backend: median(one.seconds or 0.0 for one in samples if one.backend == backend)
            for backend in settings.backends
        }
        named = found.named
        own = took[named.backend]
        within = "yes" if named.low <= own <= named.high else "no"
        predicted = f"{format_seconds(named.seconds)} ({format_seconds(named.low)} to {format_seconds(named.high)})"
        click.echo(
            f"| {total} of {shape[0]} × {shape[1]} | {registry.describe(named.backend).words} | "
            f"{predicted} | {format_seconds(own)} | {within} | {own / min(took.values()):.2f} | "
            f"{took[registry.BASELINE] / own:.2f} |"
        )
