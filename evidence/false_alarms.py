"""How often a tool claims a difference between the same code and itself."""

from __future__ import annotations

import functools
import itertools
import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from evidence.arms import TWINS
from evidence.shared import (
    MODULE,
    ROOT,
    Attempt,
    Comparison,
    Record,
    Steps,
    Workplace,
    call,
    choice,
    clone_with_commit,
    compared,
    ended,
    markdown,
    measurement,
    median,
    run_segbench,
    say,
    share_at_most,
    table,
)
from segbench.backends.registry import BASELINE
from segbench.measure.settings import PHASES, SIZES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

Tool = Callable[[Workplace, int], list[Attempt]]


def try_segbench(place: Workplace, run: int) -> list[Attempt]:
    """One run with the baseline entered again and again."""
    started = time.perf_counter()
    source = run_segbench(place, seed=run, arms=TWINS)
    seconds = time.perf_counter() - started
    found = tuple(compared(source))
    return [Attempt(tool="segbench run", run=run, seconds=seconds, status=0, comparisons=found)]


def try_asv(place: Workplace, run: int) -> list[Attempt]:
    """One comparison of two commits, the second of which changes nothing."""
    clone = place.folder / "asv"
    if not clone.exists():
        _clone_for_asv(place, clone)
    sizes = "|".join(str(size) for size in place.sizes)
    chosen = rf"time_({'|'.join(place.phases)})\('{BASELINE}', ({sizes})\)"
    command = [*MODULE, "asv", "continuous", "--no-only-changed", "--bench", chosen]
    command += ["HEAD^", "HEAD"]
    started = time.perf_counter()
    done = call(command, cwd=clone, variables=place.variables, allowed=(0, 1))
    seconds = time.perf_counter() - started
    found = tuple(read_asv_table(done.stdout))
    # asv ends with status 1 both where it found something and where it failed.
    if not _whole(place, found):
        raise ended(command, done)
    status = done.returncode
    return [
        Attempt(tool="asv continuous", run=run, seconds=seconds, status=status, comparisons=found)
    ]


def _clone_for_asv(place: Workplace, clone: Path) -> None:
    say("asv: building its environment")
    commands = (
        ("asv", "machine", "--yes"),
        # Builds the environment, and times nothing.
        ("asv", "run", "--bench", "just-discover", "HEAD^..HEAD"),
    )
    try:
        clone_with_commit(place, clone, "The same code")
        for command in commands:
            call([*MODULE, *command], cwd=clone, variables=place.variables)
    except BaseException:
        # Without its last commit it would be compared with other code.
        shutil.rmtree(clone, ignore_errors=True)
        raise


def read_asv_table(text: str) -> Iterator[Comparison]:
    """The rows of the table that ``asv continuous`` prints; ``+`` is slower, ``-`` faster.

    Cases that were not chosen, or that failed, have a row too, but no ratio: they are left out.
    """
    row = re.compile(
        r"\|\s*(?P<mark>[-+!*x]?)\s*\|[^|]*\|[^|]*\|\s*~?(?P<ratio>[\d.]+)\s*"
        r"\|\s*\w+\.\w+\.time_(?P<phase>\w+)\('[^']*', (?P<size>\d+)\)"
    )
    for match in filter(None, map(row.match, text.splitlines())):
        yield Comparison(
            arm="same commit",
            phase=match["phase"],
            n_images=int(match["size"]),
            verdict={"+": "slower", "-": "faster"}.get(match["mark"], match["mark"]),
            ratio=float(match["ratio"]),
        )


def try_pytest(place: Workplace, run: int) -> list[Attempt]:
    """Two runs of ``tests/benchmarks``, the second compared with the first."""
    storage = tempfile.mkdtemp(prefix="pytest-", dir=place.folder)
    # Ids of the tests end in the phase and the size.
    others = [f"-{size}]" for size in SIZES if size not in place.sizes]
    others += [f"-{phase}-" for phase in PHASES if phase not in place.phases]
    chosen = " and not ".join([str(BASELINE), *others])
    command = [*MODULE, "pytest", str(ROOT / "tests/benchmarks"), "-k", chosen]
    command += ["-p", "no:cacheprovider", "--benchmark-enable", f"--benchmark-storage={storage}"]
    files = [place.folder / storage / name for name in ("first.json", "second.json")]
    first, second = ([*command, f"--benchmark-json={path}"] for path in files)
    second += ["--benchmark-compare", "--benchmark-compare-fail=median:5%"]
    started = time.perf_counter()
    call([*first, "--benchmark-autosave"], cwd=ROOT, variables=place.variables)
    done = call(second, cwd=ROOT, variables=place.variables, allowed=(0, 1))
    seconds = time.perf_counter() - started
    pair = [json.loads(path.read_text(encoding="utf-8"))["benchmarks"] for path in files]
    # The command compared at 5%.
    attempts = [
        Attempt(
            tool=f"pytest-benchmark, median:{percent}%",
            run=run,
            seconds=seconds,
            status=status,
            comparisons=tuple(compare_pytest(*pair, percent=percent)),
        )
        for percent, status in ((5, done.returncode), (10, None))
    ]
    at_5, _ = attempts
    # Status 1 is that of a failed test, too.
    if not _whole(place, at_5.comparisons) or bool(at_5.claims) != bool(done.returncode):
        raise ended(second, done)
    return attempts


def compare_pytest(
    first: Sequence[dict[str, Any]], second: Sequence[dict[str, Any]], *, percent: int
) -> Iterator[Comparison]:
    """What ``--benchmark-compare-fail=median:N%`` says of two runs: it finds slow-downs alone."""
    older = {benchmark["fullname"]: benchmark["stats"] for benchmark in first}
    for benchmark in second:
        ratio = benchmark["stats"]["median"] / older[benchmark["fullname"]]["median"]
        yield Comparison(
            arm="same code",
            phase=benchmark["extra_info"]["phase"],
            n_images=benchmark["extra_info"]["n_images"],
            verdict="slower" if ratio * 100 - 100 > percent else "",
            ratio=ratio,
        )


def _whole(place: Workplace, found: Sequence[Comparison]) -> bool:
    """Whether each case was compared, and no other."""
    asked = itertools.product(place.phases, place.sizes)
    return sorted((each.phase, each.n_images) for each in found) == sorted(asked)


TOOLS: dict[str, Tool] = {"segbench": try_segbench, "asv": try_asv, "pytest": try_pytest}

NOTE = """\
"At most" is the upper 95% bound (Clopper-Pearson, one-sided), as if all were independent; the
cases of one run are not quite: all twins of a run are compared with one baseline. "Probably faster"
and "probably slower", which segbench says without claiming it, are counted by themselves: where
nothing differs, one interval in twenty lies on one side. segbench and asv claim differences in both directions, and both are
counted; pytest-benchmark's check finds slow-downs alone. The exit status of asv, too, tells of
slow-downs alone, and that of `segbench run` of none."""


def tools_table(attempts: Sequence[Attempt]) -> str:
    """One row a tool: how often it claims a difference where there is none."""

    def every(own: list[Attempt]) -> list[Comparison]:
        return [each for attempt in own for each in attempt.comparisons]

    def statuses(own: list[Attempt]) -> str:
        known = [attempt.status for attempt in own if attempt.status is not None]
        return str(sum(map(bool, known))) if known else "–"

    return table(
        ("Tool",),
        attempts,
        lambda attempt: (attempt.tool,),
        {
            "Runs": lambda own: str(len(own)),
            "Differences claimed": lambda own: share_at_most(
                sum(len(attempt.claims) for attempt in own), len(every(own))
            ),
            "Called probable": lambda own: str(sum(len(attempt.likely) for attempt in own)),
            "Runs with one or more": lambda own: share_at_most(
                sum(bool(attempt.claims) for attempt in own), len(own)
            ),
            "Runs with exit status 1": statuses,
            "Largest difference seen": lambda own: (
                f"{max(abs(each.ratio - 1) for each in every(own)):.0%}"
            ),
            "A run takes": lambda own: median([attempt.seconds for attempt in own], "{:.0f} s"),
        },
    )


def claims_table(attempts: Sequence[Attempt]) -> str:
    """One row a case: in how many comparisons each tool claims a difference."""
    tools = list(dict.fromkeys(attempt.tool for attempt in attempts))
    claims = [(attempt.tool, each.case) for attempt in attempts for each in attempt.claims]
    every = (each for attempt in attempts for each in attempt.comparisons)
    # asv has an order of its own.
    ordered = sorted(every, key=lambda each: (list(PHASES).index(each.phase), each.n_images))
    rows = [
        (case, *(str(claims.count((tool, case))) for tool in tools))
        for case in dict.fromkeys(each.case for each in ordered)
    ]
    return markdown(("Case", *tools), rows)


def tables(record: Record) -> list[str]:
    """All that there is to show, with the note that belongs to it."""
    if not record.attempts:
        return []
    return [tools_table(record.attempts), NOTE, claims_table(record.attempts)]


@measurement("run", tables=tables, runs=4, sizes=(1, 20, 200), phases=tuple(PHASES))
@choice("--tools", tuple(TOOLS), "One after the other in every run: all see the same machine.")
@click.option(
    "--other-runs",
    type=click.IntRange(1),
    help="Runs of the tools that are not segbench, and slow.  [default: as --runs]",
)
def false_alarms(
    place: Workplace, record: Record, *, runs: range, tools: list[str], other_runs: int | None
) -> Steps:
    """Compare the same code with itself: how often does a tool claim a difference?"""
    first, own = runs.start, len(runs)
    wanted = {name: own if name == "segbench" else other_runs or own for name in tools}

    def step(name: str, run: int) -> str:
        attempts = TOOLS[name](place, run)
        record.attempts += attempts
        claims = [f"{len(each.claims)} of {len(each.comparisons)}" for each in attempts]
        return f"{' and '.join(claims)} claimed, {attempts[0].seconds:.0f} s"

    for run in range(first, first + max(wanted.values())):
        for name in (name for name in tools if run < first + wanted[name]):
            label = f"run {run} of {first + wanted[name] - 1}, {name}"
            yield label, functools.partial(step, name, run)
