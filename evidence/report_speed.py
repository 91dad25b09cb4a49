"""How long a report takes: to be made of many samples, and to be opened in Chromium."""

from __future__ import annotations

import itertools
import json
import os
import random
import tempfile
import time
from pathlib import Path

import click

from evidence.shared import MODULE, call
from segbench.measure.settings import BACKENDS, PHASES, SIZES
from segbench.results import sources

OPENED = 5  # times

# Milliseconds from the start of the navigation: when the page was loaded, and when its chart was
# there to be used.
TIMES = """
const done = arguments[arguments.length - 1];
const [entry] = performance.getEntriesByType("navigation");
(function look() {
  const drawn = !window.Bokeh || document.querySelector("#chart > *");
  if (entry.loadEventEnd && drawn) done([entry.loadEventEnd, performance.now()]);
  else setTimeout(look, 5);
})();
"""


def write_run(folder: Path, count: int, *, seed: int = 0) -> None:
    """Write a made-up run of so many samples at least: all phases, sizes and backends."""
    rng = random.Random(seed)  # noqa: S311  (noise, no secret)
    blocks = -(-count // (len(PHASES) * len(SIZES) * len(BACKENDS)))
    lines: list[dict[str, object]] = [
        {
            "schema": 1,
            "started": "2026-01-31T12:00:00+00:00",
            "machine": {"cpu": "made up", "cpus_available": 2},
            "versions": {},
            "settings": {"sizes": SIZES, "phases": PHASES, "backends": list(map(str, BACKENDS))},
            "dataset": {"name": "made up", "images": SIZES[-1], "shape": [192, 256, 3]},
        }
    ]
    for size, phase, block in itertools.product(SIZES, PHASES, range(1, blocks + 1)):
        for number, backend in enumerate(map(str, BACKENDS), start=1):
            parts = zip(("reader", "processor", "scheduler"), backend.split("/"), strict=True)
            seconds = (0.001 * number + size * 0.002 / number) * rng.lognormvariate(0, 0.05)
            sample = {
                "phase": phase,
                "n_images": size,
                "block": block,
                "seconds": seconds,
                "status": "ok",
                "calls": 1,
                "objects": 100 * size,
                "peak_mib": 100.0 + size,
                "idle_mib": 90.0,
                "at": float(len(lines)),
            }
            lines.append({**dict(parts), **sample})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def opening(index: Path) -> list[tuple[float, float]]:
    """Seconds until the page was loaded, and until its chart was drawn, each time it was opened."""
    from evidence import browser  # noqa: PLC0415  (needs selenium, of the extra `test`)

    with browser.started() as driver:
        times = []
        for _ in range(OPENED):
            driver.get(index.as_uri())
            times.append([each / 1e3 for each in driver.execute_async_script(TIMES)])
    return [(loaded, drawn) for loaded, drawn in times]


@click.command()
@click.option("--samples", type=click.IntRange(1), default=50_000, show_default=True)
@click.option("--keep", type=click.Path(path_type=Path), help="Folder for the run and its report.")
def report_speed(*, samples: int, keep: Path | None) -> None:
    """Measure how long a report takes, to be made and to be opened."""
    from evidence import browser  # noqa: PLC0415  (as above)

    with tempfile.TemporaryDirectory() as temporary:
        folder = (keep or Path(temporary)).resolve()
        write_run(folder, samples)
        started = time.perf_counter()
        count = sum(len(each.samples) for each in sources.read_run_folder(folder))
        read = time.perf_counter()
        command = [*MODULE, "segbench", "report", str(folder), "--out", str(folder / "report")]
        call(command, cwd=folder, variables=dict(os.environ))
        made = time.perf_counter()
        index = folder / "report/index.html"
        click.echo(f"{count} samples, {index.stat().st_size / 1e6:.2f} MB")
        click.echo(f"made in {made - read:.2f} s, of which reading takes {read - started:.2f}")
        if reason := browser.missing():
            click.echo(f"not opened: {reason}")
            return
        for loaded, drawn in opening(index):
            click.echo(f"opened in {loaded:.2f} s, with its chart in {drawn:.2f} s")
