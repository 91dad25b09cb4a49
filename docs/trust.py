"""How far segbench can be trusted, measured: false alarms, slow-downs found, the engine's own cost.

Run as ``python docs/trust.py COMMAND`` from a clone, where segbench is installed with the extra
``dev``. Prints tables in Markdown; ``--out FILE`` keeps the counts behind them as JSON, and
``show FILE...`` prints the tables of several together: those of docs/method.md.
"""

from __future__ import annotations

import dataclasses
import itertools
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from trust_tools import (
    ARMS,
    TOOLS,
    Attempt,
    Comparison,
    Record,
    ToolError,
    Workplace,
    cases_options,
    compared,
    install_arms,
    markdown,
    options_for,
    read_records,
    record_files,
    run_segbench,
    say,
    share_at_most,
)

from segbench.backends.registry import BASELINE
from segbench.errors import InputError
from segbench.measure.cases import PHASES, QUICK_SIZES, parse_phases, parse_sizes
from segbench.results import sources
from segbench.stats import MIN_BLOCKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pandas as pd

    from segbench.results.sources import Source


@dataclass(frozen=True, kw_only=True)
class Search:
    """How a slow-down was looked for in one case of one run.

    Attributes
    ----------
    run : int
        From 1.
    comparison : Comparison
        With the verdict at the end.
    blocks : int
        Taken until the case ended.
    seconds : float
        Inside the timed calls of the arm and of the baseline until then.
    first_blocks : int, optional
        With how few of the blocks the verdict would have been ``slower``; None: with none.
    first_seconds : float, optional
        Inside the timed calls until then.
    """

    run: int
    comparison: Comparison
    blocks: int
    seconds: float
    first_blocks: int | None
    first_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a run took, in seconds.

    Attributes
    ----------
    samples : int
        Timed.
    timed : float
        Inside their calls.
    first : float
        Inside the first call of each case, which is kept but not a sample.
    first_between : float
        Of `first`, what lies between the start of the first sample and the end of the last: all
        but the first size's.
    measuring : float
        From the start of the first sample to the end of the last.
    whole : float
        From the start of the run, with that of its workers, to the end of the last sample.
    command : float, optional
        The whole command, with its report; None where it was not started from here.
    untimed : float
        Inside what a worker does to get ready for its samples: the call that is not timed, before
        short ones, and the collection of what the last one left.
    overhead, overhead_high : float
        Between the end of a sample and that of the next of its case, without what the next one's
        worker does: median and 95th percentile, from the second block on. (First calls and warm-ups
        come before the first.)
    answer : float
        What a process on this machine takes to answer another beyond its work, median: no engine
        that keeps arms in processes of their own can take less.
    """

    samples: int
    timed: float
    first: float
    first_between: float
    measuring: float
    whole: float
    untimed: float
    overhead: float
    overhead_high: float
    answer: float = 0.0
    command: float | None = None


@dataclass
class Counts(Record):
    """The raw counts of the commands below."""

    attempts: list[Attempt] = field(default_factory=list)
    searches: list[Search] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)


# From runs to figures.


def searched(source: Source, *, run: int) -> list[Search]:
    """How a slow-down was looked for in each case of a run, at its end and on the way.

    The samples are replayed: as if every case had ended after `MIN_BLOCKS` blocks, one more, and
    so on.
    """
    samples = source.samples
    first: dict[tuple[str, str, int], int] = {}
    for blocks in range(MIN_BLOCKS, int(samples["block"].max()) + 1):
        early = samples[samples["block"] <= blocks].reset_index(drop=True)
        for each in compared(dataclasses.replace(source, samples=early)):
            if each.verdict == "slower":
                first.setdefault((each.arm, each.phase, each.n_images), blocks)
    searches = []
    for each in compared(source):
        case = samples[
            (samples["phase"] == each.phase)
            & (samples["n_images"] == each.n_images)
            & samples["reader"].isin([each.arm, BASELINE.reader])
        ]
        blocks = int(case["block"].max())
        found = first.get((each.arm, each.phase, each.n_images))
        searches.append(
            Search(
                run=run,
                comparison=each,
                blocks=blocks,
                seconds=_timed(case, blocks),
                first_blocks=found,
                first_seconds=None if found is None else _timed(case, found),
            )
        )
    return searches


def _timed(samples: pd.DataFrame, blocks: int) -> float:
    """Seconds inside the timed calls of so many blocks."""
    early = samples[samples["block"] <= blocks]
    return float((early["seconds"] * early["calls"]).sum())


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


def bare_answer(*, processes: int = 5, answers: int = 200) -> float:
    """Median seconds that one of several processes takes to answer, beyond 5 ms of work.

    Both ends sleep until they are woken, as the engine and its workers do.
    """
    code = (
        "import sys, time\n"
        "for line in sys.stdin:\n"
        "    started = time.perf_counter()\n"
        "    while time.perf_counter() - started < 0.005: pass\n"
        "    print(time.perf_counter() - started, flush=True)\n"
    )
    beyond = []
    with ExitStack() as stack:
        asked = [
            stack.enter_context(
                subprocess.Popen(  # noqa: S603  (this interpreter, on the code above)
                    [sys.executable, "-c", code],
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


FALSE_ALARMS_NOTE = """\
"At most" is the upper 95% bound (Clopper-Pearson, one-sided), as if all were independent; the
cases of one run are not quite. segbench and asv claim differences in both directions, and both are
counted; pytest-benchmark's check finds slow-downs alone. The exit status of asv, too, tells of
slow-downs alone, and that of `segbench run` of none."""

SLOWED_NOTE = f"""\
"First seen after" is the first look, after {MIN_BLOCKS} blocks and after each later one, at which
the verdict was "slower": the median over those cases only in which there was such a look. It is no
procedure to use: who looks until it says so finds differences where there are none."""


def false_alarms_table(attempts: Sequence[Attempt]) -> str:
    """One row a tool: how often it claims a difference where there is none."""
    rows = []
    for tool in dict.fromkeys(attempt.tool for attempt in attempts):
        own = [attempt for attempt in attempts if attempt.tool == tool]
        every = [each for attempt in own for each in attempt.comparisons]
        claims = sum(len(attempt.claims) for attempt in own)
        off = max(abs(each.ratio - 1) for each in every)
        statuses = [attempt.status for attempt in own if attempt.status is not None]
        rows.append(
            (
                tool,
                str(len(own)),
                share_at_most(claims, len(every)),
                share_at_most(sum(1 for attempt in own if attempt.claims), len(own)),
                str(sum(1 for status in statuses if status)) if statuses else "–",
                f"{off:.0%}",
                f"{statistics.median(attempt.seconds for attempt in own):.0f} s",
            )
        )
    heads = (
        *("Tool", "Runs", "Differences claimed", "Runs with one or more"),
        *("Runs with exit status 1", "Largest difference seen", "A run takes"),
    )
    return markdown(heads, rows)


def claims_table(attempts: Sequence[Attempt]) -> str:
    """One row a case: in how many runs each tool claims a difference."""
    tools = list(dict.fromkeys(attempt.tool for attempt in attempts))
    every = (each for attempt in attempts for each in attempt.comparisons)
    # asv has an order of its own.
    ordered = sorted(every, key=lambda each: (list(PHASES).index(each.phase), each.n_images))
    cases = dict.fromkeys(each.case for each in ordered)
    rows = [
        (
            case,
            *(
                str(
                    sum(
                        any(claim.case == case for claim in attempt.claims)
                        for attempt in attempts
                        if attempt.tool == tool
                    )
                )
                for tool in tools
            ),
        )
        for case in cases
    ]
    return markdown(("Case", *tools), rows)


def slowed_table(searches: Sequence[Search], *, by_case: bool) -> str:
    """One row an arm, or an arm and case: how often it was found slower, and how soon."""

    def row_of(search: Search) -> tuple[str, ...]:
        each = search.comparison
        return (each.arm, each.case) if by_case else (each.arm,)

    rows = []
    for heading in dict.fromkeys(row_of(search) for search in searches):
        own = [search for search in searches if row_of(search) == heading]
        verdicts = [search.comparison.verdict for search in own]
        sooner = [search for search in own if search.first_blocks is not None]
        rows.append(
            (
                *heading,
                f"{statistics.median(search.comparison.ratio for search in own):.3f}",
                f"{verdicts.count('slower')} of {len(own)}",
                *(str(verdicts.count(word)) for word in ("undecided", "no difference", "faster")),
                _median([search.blocks for search in own], "{:.0f}"),
                _median([search.seconds for search in own], "{:.1f} s"),
                _median([search.first_blocks for search in sooner], "{:.0f}"),
                _median([search.first_seconds for search in sooner], "{:.1f} s"),
            )
        )
    heads = (
        *("Arm", "Case")[: 1 + by_case],
        *("Ratio measured", "Found slower", "Undecided", "No difference", "Faster"),
        *("Blocks", "Timed for", "First seen after: blocks", "First seen after: timed for"),
    )
    return markdown(heads, rows)


def cost_note(cost: Cost) -> str:
    """What the ratios of the table leave out."""
    return (
        "A run does not record when its workers had started. The first size is made ready after "
        "that and before the first sample, which the ratios leave out. The whole run, with the "
        f"workers' start, over timed calls is {cost.whole / cost.timed:.2f}: without their start "
        "it is between that and the first ratio."
    )


def cost_table(cost: Cost) -> str:
    """What a run took, and what of it was measuring."""
    rows = [
        ("Samples", str(cost.samples)),
        ("Inside the timed calls of the samples", f"{cost.timed:.1f} s"),
        ("Inside first calls: one a case and backend, no samples", f"{cost.first:.1f} s"),
        (
            "Inside workers getting ready for samples: calls that are not timed, collections",
            f"{cost.untimed:.1f} s",
        ),
        ("From the start of the first sample to the end of the last", f"{cost.measuring:.1f} s"),
        (
            "From the start of the run, with its workers', to the end of the last sample",
            f"{cost.whole:.1f} s",
        ),
        *([("The command, with its report", f"{cost.command:.1f} s")] if cost.command else []),
        (
            "From the start of the first sample to the end of the last, over timed calls",
            f"{cost.measuring / cost.timed:.2f}",
        ),
        (
            "The same, over timed calls and the first calls between (of all sizes but the first)",
            f"{cost.measuring / (cost.timed + cost.first_between):.2f}",
        ),
        ("The engine's own part of a sample, median", f"{cost.overhead * 1e3:.2f} ms"),
        (
            "The engine's own part of a sample, 95th percentile",
            f"{cost.overhead_high * 1e3:.2f} ms",
        ),
        ("Bare answer of another process, median", f"{cost.answer * 1e3:.2f} ms"),
    ]
    return markdown(("What", "How much"), rows)


def _median(values: Sequence[float | None], text: str) -> str:
    known = [value for value in values if value is not None]
    return text.format(statistics.median(known)) if known else "–"


def tables(counts: Counts) -> list[str]:
    """All that there is to show, with the notes that belong to it."""
    shown = []
    if counts.attempts:
        shown += [
            false_alarms_table(counts.attempts),
            FALSE_ALARMS_NOTE,
            claims_table(counts.attempts),
        ]
    if counts.searches:
        shown += [
            slowed_table(counts.searches, by_case=False),
            slowed_table(counts.searches, by_case=True),
            SLOWED_NOTE,
        ]
    for cost in counts.costs:
        shown += [cost_table(cost), cost_note(cost)]
    return shown


# The command line.


def _sizes_option(command: Callable[..., Any]) -> Callable[..., Any]:
    default = ",".join(str(size) for size in QUICK_SIZES)
    return click.option("--sizes", default=default, show_default=True, help="Numbers of images.")(
        command
    )


def _phases_option(default: Sequence[str]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option("--phases", default=",".join(default), show_default=True)


@contextmanager
def _workplace(
    work: Path | None,
    run_options: str,
    *,
    sizes: str = ",".join(str(size) for size in QUICK_SIZES),
    phases: str = ",".join(PHASES),
) -> Iterator[Workplace]:
    """Set up the folder with the arms; a temporary one is deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="trust-") as temporary:
        folder = (work or Path(temporary)).resolve()
        try:
            place = Workplace(
                folder=folder,
                sizes=parse_sizes(sizes),
                phases=parse_phases(phases),
                run_options=tuple(shlex.split(run_options)),
            )
        except (InputError, ValueError) as error:  # the latter is shlex's
            raise click.UsageError(str(error)) from error
        install_arms(folder / "arms")
        yield place


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure how far segbench can be trusted; prints tables in Markdown."""


@main.command()
@click.option("--runs", type=click.IntRange(1), default=20, show_default=True)
@click.option(
    "--other-runs",
    type=click.IntRange(1),
    help="Runs of the tools that are not segbench, and slow.  [default: as --runs]",
)
@click.option(
    "--tools",
    default=",".join(TOOLS),
    show_default=True,
    help="In this order, one after the other in every run, so that all see the same machine.",
)
@_sizes_option
@_phases_option(tuple(PHASES))
@options_for("run")
def false_alarms(
    *,
    runs: int,
    other_runs: int | None,
    tools: str,
    sizes: str,
    phases: str,
    out: Path | None,
    work: Path | None,
    run_options: str,
) -> None:
    """Compare the same code with itself: how often does a tool claim a difference?"""
    chosen = [name.strip() for name in tools.split(",")]
    if unknown := [name for name in chosen if name not in TOOLS]:
        raise click.BadParameter(f"unknown {unknown[0]!r}: choose from {', '.join(TOOLS)}")
    wanted = {name: runs if name == "segbench" else other_runs or runs for name in chosen}
    record = Counts(out)
    with _workplace(work, run_options, sizes=sizes, phases=phases) as place:
        for run in range(1, max(wanted.values()) + 1):
            for name in (name for name in chosen if run <= wanted[name]):
                progress = f"run {run} of {wanted[name]}"
                try:
                    attempts = TOOLS[name](place, run)
                except ToolError as error:
                    record.fail(f"{progress}, {name}: {error}")
                    continue
                for each in attempts:
                    claims = f"{len(each.claims)} of {len(each.comparisons)} claimed"
                    say(f"{progress}: {each.tool}: {claims}, {each.seconds:.0f} s")
                record.attempts += attempts
                record.write()
    record.finish(*tables(record))


@main.command()
@click.option("--runs", type=click.IntRange(1), default=20, show_default=True)
@_sizes_option
@_phases_option(("process", "pipeline"))
@options_for("run")
def slowed(
    *,
    runs: int,
    sizes: str,
    phases: str,
    out: Path | None,
    work: Path | None,
    run_options: str,
) -> None:
    """Measure arms that are 5% and 10% slower: how often are they found, and how soon?"""
    record = Counts(out)
    with _workplace(work, run_options, sizes=sizes, phases=phases) as place:
        for run in range(1, runs + 1):
            started = time.perf_counter()
            try:
                source = run_segbench(
                    place, seed=run, arms=list(ARMS), options=cases_options(place)
                )
                seconds = time.perf_counter() - started
                searches = searched(source, run=run)
            except ToolError as error:
                record.fail(f"run {run} of {runs}: {error}")
                continue
            found = sum(search.comparison.verdict == "slower" for search in searches)
            say(f"run {run} of {runs}: {found} of {len(searches)} found slower, {seconds:.0f} s")
            record.searches += searches
            record.write()
    record.finish(*tables(record))


@main.command()
@click.argument(
    "run_dir", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@options_for("run")
def cost(*, run_dir: Path | None, out: Path | None, work: Path | None, run_options: str) -> None:
    """Add up what a run took beyond its timed calls; makes a default run where none is given."""
    record = Counts(out)
    command = None
    try:
        if run_dir is not None:
            source = sources.read_run_folder(run_dir)
        else:
            with _workplace(work, run_options) as place:
                say("making a default run: ten minutes")
                started = time.perf_counter()
                source = run_segbench(place, seed=0)
                command = time.perf_counter() - started
        found = cost_of(source.samples)
        record.costs.append(dataclasses.replace(found, answer=bare_answer(), command=command))
    except (ToolError, InputError) as error:
        raise click.ClickException(str(error)) from error
    record.finish(*tables(record))


@main.command()
@record_files
def show(*, kept: tuple[Path, ...]) -> None:
    """Print the tables of what was kept with --out, of all the files together."""
    try:
        records = read_records(kept, Counts)
    except ToolError as error:
        raise click.ClickException(str(error)) from error
    together = Counts(
        None,
        attempts=[each for record in records for each in record.attempts],
        searches=[each for record in records for each in record.searches],
        costs=[each for record in records for each in record.costs],
    )
    click.echo("\n\n".join(tables(together)))


if __name__ == "__main__":
    main()
