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
    RoundCost,
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
    """What a run took, round by round.

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
    taken["timed"] = taken["seconds"] * taken["calls"]
    case = ["round", "phase", "n_images"]
    same = (taken[case] == taken[case].shift()).all(axis=1)
    gaps = (taken["at"].diff() - taken["timed"] - taken["untimed_seconds"])[same]
    rounds, before = [], 0.0
    for number, own in taken.groupby("round"):
        # Where a call takes long, the first of a later round is of fewer images, and not told.
        firsts = own.drop_duplicates([*case, "backend"])["first_seconds"]
        rounds.append(
            RoundCost(
                number=int(str(number)),
                cases=len(firsts),
                samples=len(own),
                whole=float(own["at"].max()) - before,
                timed=float(own["timed"].sum()),
                first=float(firsts.sum()),
                untimed=float(own["untimed_seconds"].sum()),
            )
        )
        before = float(own["at"].max())
    return Cost(
        rounds=tuple(rounds),
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

    def total(what: str) -> float:
        return sum(getattr(each, what) for each in cost.rounds)

    whole, timed = total("whole"), total("timed")
    getting_ready = (
        "Inside workers getting ready for samples: calls that are not timed, collections"
    )
    own = "The engine's own part of a sample"
    rows = [
        ("Samples", f"{total('samples'):.0f}, in {len(cost.rounds)} rounds"),
        ("Inside the timed calls of the samples", f"{timed:.1f} s"),
        (
            "Inside first calls: one a round, case and backend, no samples",
            f"{total('first'):.1f} s",
        ),
        (getting_ready, f"{total('untimed'):.1f} s"),
        ("Starting workers, warming up and all else", f"{total('rest'):.1f} s"),
        ("From the start of the run to the end of the last sample", f"{whole:.1f} s"),
        *([("The command, with its report", f"{cost.command:.1f} s")] if cost.command else []),
        ("From the start to the end of the last sample, over timed calls", f"{whole / timed:.2f}"),
        (f"{own}, median", f"{cost.overhead * 1e3:.2f} ms"),
        (f"{own}, 95th percentile", f"{cost.overhead_high * 1e3:.2f} ms"),
        ("Bare answer of another process, median", f"{cost.answer * 1e3:.2f} ms"),
    ]
    return markdown(("What", "How much"), rows)


def rounds_table(cost: Cost) -> str:
    """What each round took."""
    heads = (
        "Round",
        "Cases",
        "Samples",
        "Whole",
        "Timed calls",
        "First calls",
        "Not timed",
        "Rest",
    )
    rows = [
        (
            *(str(each.number), str(each.cases), str(each.samples)),
            *(f"{each.whole:.1f} s", f"{each.timed:.1f} s", f"{each.first:.1f} s"),
            *(f"{each.untimed:.1f} s", f"{each.rest:.1f} s"),
        )
        for each in cost.rounds
    ]
    return markdown(heads, rows)


def tables(record: Record) -> list[str]:
    """All that there is to show."""
    return [text for each in record.costs for text in (cost_table(each), rounds_table(each))]


@measurement("run", tables=tables)
@click.argument(
    "run_dir", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
def cost(place: Workplace, record: Record, *, run_dir: Path | None) -> Steps:
    """Add up what a run took beyond its timed calls; makes a default run where none is given."""

    def step() -> str:
        started = time.perf_counter()
        source = (
            run_segbench(place, seed=0) if run_dir is None else sources.read_run_folder(run_dir)[0]
        )
        command = None if run_dir else time.perf_counter() - started
        found = replace(cost_of(source.samples), answer=bare_answer(), command=command)
        record.costs.append(found)
        return f"{sum(each.samples for each in found.rounds)} samples"

    yield "the run" if run_dir else "a default run, of about ten minutes", step
