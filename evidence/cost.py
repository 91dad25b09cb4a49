"""What a run takes beyond its timed calls: the engine's own part."""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evidence.shared import (
    Cost,
    Record,
    Steps,
    ToolError,
    Workplace,
    markdown,
    measurement,
    run_segbench,
)
from segbench.results import sources

if TYPE_CHECKING:
    import pandas as pd


def cost_of(samples: pd.DataFrame) -> Cost:
    """What a run took.

    Parameters
    ----------
    samples : DataFrame
        In the order they were taken, as :attr:`segbench.results.Source.samples`.

    Raises
    ------
    ToolError
        If the run did not record when they were taken.
    """
    taken = samples[samples["status"] == "ok"].reset_index(drop=True)
    if taken.empty or taken[["at", "untimed_seconds"]].isna().any(axis=None):
        raise ToolError("the run does not say when its samples were taken: measure anew")
    calls = taken["seconds"] * taken["calls"]
    before = taken.shift()
    next_of_case = (
        (taken["phase"] == before["phase"])
        & (taken["n_images"] == before["n_images"])
        & (before["block"] > 1)
    )
    worked = calls + taken["untimed_seconds"]
    gaps = (taken["at"] - before["at"] - worked)[next_of_case]
    made_ready = taken.drop_duplicates(["phase", "n_images", "backend"])
    firsts = made_ready["first_seconds"].fillna(0.0)
    # A size is made ready just before its first sample.
    between = firsts[made_ready["n_images"] != taken["n_images"].iloc[0]]
    return Cost(
        samples=len(taken),
        timed=float(calls.sum()),
        first=float(firsts.sum()),
        first_between=float(between.sum()),
        measuring=float(taken["at"].iloc[-1] - taken["at"].iloc[0] + calls.iloc[0]),
        whole=float(taken["at"].iloc[-1]),
        untimed=float(taken["untimed_seconds"].sum()),
        overhead=float(gaps.median()),
        overhead_high=float(gaps.quantile(0.95)),
    )


# Works for 5 ms for each line that it is sent, and answers how long that was.
_ANSWERING = """
import sys, time
for line in sys.stdin:
    started = time.perf_counter()
    while time.perf_counter() - started < 0.005: pass
    print(time.perf_counter() - started, flush=True)
"""


def bare_answer(*, processes: int = 5, answers: int = 200) -> float:
    """Median seconds that one of several processes takes to answer, beyond its work.

    Both ends sleep until they are woken, as the engine and its workers do.
    """
    beyond = []
    with ExitStack() as stack:
        asked = [
            stack.enter_context(
                subprocess.Popen(  # noqa: S603  (this interpreter, on the code above)
                    [sys.executable, "-c", _ANSWERING],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(processes)
        ]
        for process in itertools.islice(itertools.cycle(asked), processes + answers):
            assert process.stdin is not None  # noqa: S101  (a pipe was asked for)
            assert process.stdout is not None  # noqa: S101  (as above)
            started = time.perf_counter()
            process.stdin.write("work\n")
            process.stdin.flush()
            worked = float(process.stdout.readline())
            beyond.append(time.perf_counter() - started - worked)
    # The first of each waits for its start.
    return statistics.median(beyond[processes:])


def cost_table(cost: Cost) -> str:
    """What a run took, and what of it was measuring."""
    getting_ready = (
        "Inside workers getting ready for samples: calls that are not timed, collections"
    )
    span = "From the start of the first sample to the end of the last"
    whole = "From the start of the run, with its workers', to the end of the last sample"
    both = "The same, over timed calls and the first calls between (of all sizes but the first)"
    own = "The engine's own part of a sample"
    rows = [
        ("Samples", str(cost.samples)),
        ("Inside the timed calls of the samples", f"{cost.timed:.1f} s"),
        ("Inside first calls: one a case and backend, no samples", f"{cost.first:.1f} s"),
        (getting_ready, f"{cost.untimed:.1f} s"),
        (span, f"{cost.measuring:.1f} s"),
        (whole, f"{cost.whole:.1f} s"),
        *([("The command, with its report", f"{cost.command:.1f} s")] if cost.command else []),
        (f"{span}, over timed calls", f"{cost.measuring / cost.timed:.2f}"),
        (both, f"{cost.measuring / (cost.timed + cost.first_between):.2f}"),
        (f"{own}, median", f"{cost.overhead * 1e3:.2f} ms"),
        (f"{own}, 95th percentile", f"{cost.overhead_high * 1e3:.2f} ms"),
        ("Bare answer of another process, median", f"{cost.answer * 1e3:.2f} ms"),
    ]
    return markdown(("What", "How much"), rows)


def cost_note(cost: Cost) -> str:
    """What the ratios of the table leave out."""
    return (
        "A run does not record when its workers had started. The first size is made ready after "
        "that and before the first sample, which the ratios leave out. The whole run, with the "
        f"workers' start, over timed calls is {cost.whole / cost.timed:.2f}: without their start "
        "it is between that and the first ratio."
    )


def tables(record: Record) -> list[str]:
    """All that there is to show, with the notes that belong to it."""
    return [text for each in record.costs for text in (cost_table(each), cost_note(each))]


@measurement("run", tables=tables)
@click.argument(
    "run_dir", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
def cost(place: Workplace, record: Record, *, run_dir: Path | None) -> Steps:
    """Add up what a run took beyond its timed calls; makes a default run where none is given."""

    def step() -> str:
        started = time.perf_counter()
        source = sources.read_run_folder(run_dir) if run_dir else run_segbench(place, seed=0)
        command = None if run_dir else time.perf_counter() - started
        found = replace(cost_of(source.samples), answer=bare_answer(), command=command)
        record.costs.append(found)
        return f"{found.samples} samples"

    yield "the run" if run_dir else "a default run, of ten minutes", step
