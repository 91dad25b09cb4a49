"""Measure how long a report takes: to be built from many samples, and to be opened.

Run as ``python docs/report_speed.py``, with ``--keep DIR`` to look at the report. Opening is measured
where Chromium and its driver are installed.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import random
import tempfile
import time
from pathlib import Path

import browser

from segbench.measure.cases import BACKENDS, PHASES, SIZES
from segbench.report import page
from segbench.results import sources
from segbench.results.records import FILE_NAME, Header, sample_of

SAMPLES = 50_000
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
    header = Header(
        started="2026-01-31T12:00:00+00:00",
        machine={"cpu": "made up", "cpus_available": 2},
        versions={},
        settings={
            "sizes": SIZES,
            "phases": list(PHASES),
            "backends": [str(one) for one in BACKENDS],
        },
        dataset={"name": "made up", "images": SIZES[-1], "shape": [192, 256, 3]},
    )
    lines = [dataclasses.asdict(header)]
    for size, phase in itertools.product(SIZES, PHASES):
        for block, (number, backend) in itertools.product(
            range(1, blocks + 1), enumerate(BACKENDS, start=1)
        ):
            seconds = (0.001 * number + size * 0.002 / number) * rng.lognormvariate(0, 0.05)
            sample = sample_of(
                backend,
                phase=phase,
                n_images=size,
                block=block,
                seconds=seconds,
                status="ok",
                calls=1,
                objects=100 * size,
                peak_mib=100.0 + size,
                idle_mib=90.0,
                at=float(len(lines)),
            )
            lines.append(vars(sample))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE_NAME).write_text("".join(json.dumps(line) + "\n" for line in lines))


def opening(index: Path) -> list[tuple[float, float]]:
    """Seconds until the page was loaded, and until its chart was drawn, each time it was opened."""
    with browser.started() as driver:
        found = []
        for _ in range(OPENED):
            driver.get(index.as_uri())
            loaded, drawn = driver.execute_async_script(TIMES)
            found.append((loaded / 1e3, drawn / 1e3))
    return found


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--keep", type=Path, help="folder for the run and its report")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        write_run(folder, options.samples)
        started = time.perf_counter()
        source = sources.read_run_folder(folder)
        read = time.perf_counter()
        sections = page.make_sections([source])
        made = time.perf_counter()
        index = page.write(sections, folder / "report")
        written = time.perf_counter()
        print(f"{len(source.samples)} samples, {index.stat().st_size / 1e6:.2f} MB")
        print(
            f"built in {written - started:.2f} s: reading {read - started:.2f}, statistics and "
            f"figures {made - read:.2f}, writing {written - made:.2f}"
        )
        if reason := browser.missing():
            print(f"not opened: {reason}")
            return
        for loaded, drawn in opening(index):
            print(f"opened in {loaded:.2f} s, with its chart in {drawn:.2f} s")


if __name__ == "__main__":
    main()
