"""How far segbench can be trusted, measured: false alarms, slow-downs found, the engine's own cost.

Run as ``python docs/trust.py COMMAND`` from a clone, where segbench is installed with the extra
``dev``. Prints tables in Markdown; ``--out FILE`` keeps the counts behind them as JSON.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segbench import results
from segbench.backends.registry import BASELINE
from segbench.errors import InputError
from segbench.measure import environment
from segbench.measure.cases import PHASES, QUICK_SIZES, SIZES, parse_phases, parse_sizes
from segbench.report.tables import images, summarize

if TYPE_CHECKING:
    import pandas as pd

    from segbench.results import Source

ROOT = Path(__file__).resolve().parents[1]

MODULE = (sys.executable, "-m")

CLAIMS = ("faster", "slower")

# Arms by the share that their work takes longer than the baseline's.
ARMS = {"twin": 0.0, "slower5": 0.05, "slower10": 0.1}

# The arms as a module of their own, so that a worker imports no more than for any other backend. A
# slower arm works on, for nothing, for a share of the time that each of its operations has just
# worked: so it is slower by that share on any machine and at any size. Time is that of the CPU where
# its clock is fine enough (not on Windows): by the clock on the wall an operation that had to wait
# for the CPU would count as so much more work. The scheduler is serial: the functions need not
# travel to another process.
_ARMS_MODULE = """
import dataclasses
import time

from segbench.backends import readers, skimage

FINE = time.get_clock_info("thread_time").resolution < 1e-6
clock = time.thread_time if FINE else time.perf_counter

OPERATIONS = ("grayscale", "blur", "threshold", "label", "measure")


def slower(function, share):
    def operation(*arguments):
        started = clock()
        result = function(*arguments)
        ended = clock()
        until = ended + share * (ended - started)
        while clock() < until:
            pass
        return result

    return operation


def change(part, names, share):
    if share == 0:
        return dataclasses.replace(part)
    return dataclasses.replace(part, **{name: slower(getattr(part, name), share) for name in names})


for name, share in ARMS.items():
    globals()[name + "_reader"] = change(readers.SKIMAGE, ["load"], share)
    globals()[name + "_processor"] = change(skimage.PROCESSOR, OPERATIONS, share)
"""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a tool says of one case.

    Attributes
    ----------
    arm : str
        What was compared with the baseline.
    phase : str
        Of the case.
    n_images : int
        Of the case.
    verdict : str
        One of `CLAIMS` where the tool claims a difference, otherwise its own word or nothing.
    ratio : float
        Time of the arm over that of the baseline.
    """

    arm: str
    phase: str
    n_images: int
    verdict: str
    ratio: float

    @property
    def case(self) -> str:
        """The case in words."""
        return f"{self.phase}, {images(self.n_images)}"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One run of a tool.

    Attributes
    ----------
    tool : str
        With its settings.
    run : int
        From 1.
    seconds : float
        Wall time of its commands.
    status : int, optional
        Exit status of the command that compared; None where no command did.
    comparisons : tuple of Comparison
        One a case.
    """

    tool: str
    run: int
    seconds: float
    status: int | None
    comparisons: tuple[Comparison, ...]

    @property
    def claims(self) -> list[Comparison]:
        """The comparisons in which it claims a difference."""
        return [each for each in self.comparisons if each.verdict in CLAIMS]


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
    measuring : float
        From the start of the first sample to the end of the last.
    whole : float
        From the start of the run, with that of its workers, to the end of the last sample.
    command : float, optional
        The whole command, with its report; None where it was not started from here.
    overhead, overhead_high : float
        Between the end of a sample and that of the next of its case, without the calls of the
        next: median and 95th percentile, from the second block on. (First calls and warm-ups come
        before the first.)
    """

    samples: int
    timed: float
    first: float
    measuring: float
    whole: float
    overhead: float
    overhead_high: float
    command: float | None = None


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """Where the commands of this script put what they make.

    Attributes
    ----------
    folder : Path
        Holds everything.
    sizes, phases : tuple
        Of the cases.
    run_options : tuple of str
        Handed to every ``segbench run``, after the script's own.
    """

    folder: Path
    sizes: tuple[int, ...] = QUICK_SIZES
    phases: tuple[str, ...] = PHASES
    run_options: tuple[str, ...] = ()

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables under which segbench keeps its images here."""
        return {**os.environ, "SEGBENCH_CACHE_DIR": str(self.folder / "cache")}

    @property
    def variables_with_arms(self) -> dict[str, str]:
        """The same, and segbench finds the arms."""
        paths = [str(self.folder / "arms"), os.environ.get("PYTHONPATH", "")]
        return {**self.variables, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


@dataclass
class Record:
    """The raw counts, written anew after every run: a long measurement may be broken off."""

    path: Path | None
    machine: dict[str, Any] = field(default_factory=environment.machine)
    attempts: list[Attempt] = field(default_factory=list)
    searches: list[Search] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def write(self) -> None:
        """Write what there is, if a file was asked for."""
        if self.path is None:
            return
        content = {
            "command": shlex.join(["python", "docs/trust.py", *sys.argv[1:]]),
            "machine": self.machine,
            "versions": environment.versions(),
            **{
                name: [dataclasses.asdict(value) for value in values]
                for name, values in (
                    ("attempts", self.attempts),
                    ("searches", self.searches),
                    ("costs", self.costs),
                )
            },
            "failures": self.failures,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


class ToolError(Exception):
    """A tool did not do what it was asked for; says how it ended."""


Tool = Callable[[Workplace, int], list[Attempt]]


# Running the tools.


def say(text: str) -> None:
    """Tell on standard error how it goes on."""
    click.echo(text, err=True)


def install_arms(folder: Path) -> None:
    """Write the arms as if a package had brought them; found where `folder` is on the path."""
    information = folder / "trust_arms-1.0.dist-info"
    information.mkdir(parents=True, exist_ok=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: trust_arms\nVersion: 1.0\n")
    groups = (
        f"[segbench.{kind}s]\n" + "".join(f"{arm} = trust_arms:{arm}_{kind}\n" for arm in ARMS)
        for kind in ("reader", "processor")
    )
    (information / "entry_points.txt").write_text("\n".join(groups))
    (folder / "trust_arms.py").write_text(f"ARMS = {ARMS!r}\n{_ARMS_MODULE}")


def call(
    command: Sequence[str],
    *,
    cwd: Path,
    variables: dict[str, str],
    allowed: tuple[int, ...] = (0,),
) -> subprocess.CompletedProcess[str]:
    """Run a command and keep what it prints.

    Raises
    ------
    ToolError
        If it ends with another status than those allowed; has the end of what it printed.
    """
    done = subprocess.run(  # noqa: S603  (the commands are written below)
        command,
        cwd=cwd,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode not in allowed:
        raise ToolError(_ending(command, done))
    return done


def _ending(command: Sequence[str], done: subprocess.CompletedProcess[str]) -> str:
    last = "\n".join(done.stdout.strip().splitlines()[-15:])
    return f"{shlex.join(command)}: exit status {done.returncode}\n{last}"


def run_segbench(
    place: Workplace, *, seed: int, arms: Sequence[str] = (), options: Sequence[str] = ()
) -> Source:
    """Make one run, against the baseline, and read it.

    Raises
    ------
    ToolError
        If it fails, or finds other cells than the reference.
    """
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=place.folder))
    named = ["--backends", ",".join(f"{arm}/{arm}/serial" for arm in arms)] if arms else []
    command = [*MODULE, "segbench", "run", *named, "--seed", str(seed)]
    command += ["--out", str(folder), *options, *place.run_options]
    call(command, cwd=place.folder, variables=place.variables_with_arms)
    return results.read_run_folder(folder)


def _cases_options(place: Workplace) -> list[str]:
    sizes = ",".join(str(size) for size in place.sizes)
    return ["--sizes", sizes, "--phases", ",".join(place.phases)]


def try_segbench(place: Workplace, run: int) -> list[Attempt]:
    """One run with the baseline entered a second time, as `twin`."""
    started = time.perf_counter()
    source = run_segbench(place, seed=run, arms=["twin"], options=_cases_options(place))
    seconds = time.perf_counter() - started
    found = tuple(compared(source))
    return [Attempt(tool="segbench run", run=run, seconds=seconds, status=0, comparisons=found)]


def compared(source: Source) -> list[Comparison]:
    """What the report says of each case of each arm but the baseline.

    Raises
    ------
    ToolError
        If one could not be timed.
    """
    summary = summarize(source)
    rows = summary[summary["backend"] != str(BASELINE)]
    failed = summary[summary["status"] != "ok"]
    if len(failed):
        raise ToolError(f"{failed['backend'].iloc[0]}: {failed['cause'].iloc[0]}")
    return [
        Comparison(
            arm=row["backend"].split("/")[0],
            phase=row["phase"],
            n_images=int(row["n_images"]),
            verdict=row["verdict"],
            ratio=float(row["ratio_median"]),
        )
        for _, row in rows.iterrows()
    ]


def _asv(name: str, *attributes: str) -> Tool:
    def tool(place: Workplace, run: int) -> list[Attempt]:
        clone = place.folder / "asv"
        if not clone.exists():
            _clone(place, clone)
        sizes = "|".join(str(size) for size in place.sizes)
        chosen = rf"time_({'|'.join(place.phases)})\('{BASELINE}', ({sizes})\)"
        command = [*MODULE, "asv", "continuous", "--no-only-changed", "--bench", chosen]
        command += [*attributes, "HEAD^", "HEAD"]
        started = time.perf_counter()
        done = call(command, cwd=clone, variables=place.variables, allowed=(0, 1))
        seconds = time.perf_counter() - started
        found = tuple(read_asv_table(done.stdout))
        # asv ends with status 1 both where it found something and where it failed.
        if not _whole(place, found):
            raise ToolError(_ending(command, done))
        status = done.returncode
        return [Attempt(tool=name, run=run, seconds=seconds, status=status, comparisons=found)]

    return tool


def _whole(place: Workplace, found: Sequence[Comparison]) -> bool:
    """Whether each case was compared, and no other."""
    asked = itertools.product(place.phases, place.sizes)
    return sorted((each.phase, each.n_images) for each in found) == sorted(asked)


def _clone(place: Workplace, clone: Path) -> None:
    """Clone this repository with one more commit that changes nothing, and have asv build it."""
    say("asv: building its environment")
    git = ["git", "-c", "user.name=trust", "-c", "user.email=trust@localhost"]
    commands = (
        (place.folder, [*git, "clone", "--quiet", str(ROOT), str(clone)]),
        (clone, [*git, "commit", "--quiet", "--allow-empty", "--message", "The same code"]),
        (clone, [*MODULE, "asv", "machine", "--yes"]),
        # Builds the environment, and times nothing.
        (clone, [*MODULE, "asv", "run", "--bench", "just-discover", "HEAD^..HEAD"]),
    )
    try:
        for folder, command in commands:
            call(command, cwd=folder, variables=place.variables)
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
    for line in text.splitlines():
        if match := row.match(line):
            yield Comparison(
                arm="same commit",
                phase=match["phase"],
                n_images=int(match["size"]),
                verdict={"+": "slower", "-": "faster"}.get(match["mark"], match["mark"]),
                ratio=float(match["ratio"]),
            )


def try_pytest(place: Workplace, run: int) -> list[Attempt]:
    """Two runs of ``tests/benchmarks``, the second compared with the first."""
    storage = Path(tempfile.mkdtemp(prefix="pytest-", dir=place.folder))
    # Ids of the tests end in the phase and the size.
    others = [f"-{size}]" for size in SIZES if size not in place.sizes]
    others += [f"-{phase}-" for phase in PHASES if phase not in place.phases]
    chosen = " and not ".join([str(BASELINE), *others])
    command = [*MODULE, "pytest", str(ROOT / "tests/benchmarks"), "-k", chosen]
    command += ["-p", "no:cacheprovider", "--benchmark-enable", f"--benchmark-storage={storage}"]
    first, second = storage / "first.json", storage / "second.json"
    again = ["--benchmark-compare", "--benchmark-compare-fail=median:5%"]
    started = time.perf_counter()
    keep = ["--benchmark-autosave", f"--benchmark-json={first}"]
    call([*command, *keep], cwd=ROOT, variables=place.variables)
    command += [*again, f"--benchmark-json={second}"]
    done = call(command, cwd=ROOT, variables=place.variables, allowed=(0, 1))
    seconds = time.perf_counter() - started
    # Status 1 is that of a failed test, too.
    if done.returncode and "Performance has regressed" not in done.stdout:
        raise ToolError(_ending(command, done))
    pair = [json.loads(path.read_text(encoding="utf-8"))["benchmarks"] for path in (first, second)]
    attempts = []
    for percent in (5, 10):
        found = tuple(compare_pytest(*pair, percent=percent))
        if not _whole(place, found):
            raise ToolError(_ending(command, done))
        tool = f"pytest-benchmark, median:{percent}%"
        # The command compared at 5%.
        status = done.returncode if percent == 5 else None
        attempts.append(
            Attempt(tool=tool, run=run, seconds=seconds, status=status, comparisons=found)
        )
    return attempts


def compare_pytest(
    first: Sequence[dict[str, Any]], second: Sequence[dict[str, Any]], *, percent: int
) -> Iterator[Comparison]:
    """What ``--benchmark-compare-fail=median:N%`` says of two runs, either of them taken as the older.

    The option itself finds slow-downs alone, so the check behind it is asked a second time with the
    runs exchanged.
    """
    # Belongs to the extra `test`, which the other commands do without.
    from pytest_benchmark.utils import parse_compare_fail  # noqa: PLC0415

    check = parse_compare_fail(f"median:{percent}%")  # type: ignore[no-untyped-call]  # it publishes no annotations
    older = {benchmark["fullname"]: benchmark["stats"] for benchmark in first}
    for benchmark in second:
        before, after = older[benchmark["fullname"]], benchmark["stats"]
        slower, faster = check.fails(after, before), check.fails(before, after)
        yield Comparison(
            arm="same code",
            phase=benchmark["extra_info"]["phase"],
            n_images=benchmark["extra_info"]["n_images"],
            verdict="slower" if slower else "faster" if faster else "",
            ratio=after["median"] / before["median"],
        )


# asv's second row has the sampling that asv chooses by itself: the suite's own takes three samples.
TOOLS: dict[str, Tool] = {
    "segbench": try_segbench,
    "asv": _asv("asv continuous"),
    "asv-defaults": _asv(
        "asv continuous, asv's own sampling, interleaved",
        *("--interleave-rounds", "-a", "rounds=2", "-a", "repeat=0"),
        *("-a", "number=0", "-a", "warmup_time=-1"),
    ),
    "pytest": try_pytest,
}


# From runs to figures.


def searched(source: Source, *, run: int) -> list[Search]:
    """How a slow-down was looked for in each case of a run, at its end and on the way.

    The samples are replayed: as if every case had ended after five blocks, six, and so on.
    """
    samples = source.samples
    first: dict[tuple[str, str, int], int] = {}
    for blocks in range(5, int(samples["block"].max()) + 1):
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
    if taken["at"].isna().any() or taken.empty:
        raise ToolError("the run does not say when its samples were taken: measure anew")
    calls = taken["seconds"] * taken["calls"]
    before = taken.shift()
    next_of_case = (
        (taken["phase"] == before["phase"])
        & (taken["n_images"] == before["n_images"])
        & (before["block"] > 1)
    )
    gaps = (taken["at"] - before["at"] - calls)[next_of_case]
    firsts = taken.drop_duplicates(["phase", "n_images", "backend"])["first_seconds"]
    return Cost(
        samples=len(taken),
        timed=float(calls.sum()),
        first=float(firsts.fillna(0.0).sum()),
        measuring=float(taken["at"].iloc[-1] - taken["at"].iloc[0] + calls.iloc[0]),
        whole=float(taken["at"].iloc[-1]),
        overhead=float(gaps.median()),
        overhead_high=float(gaps.quantile(0.95)),
    )


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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
                f"{claims} of {len(every)} ({claims / len(every):.1%})",
                str(sum(1 for attempt in own if attempt.claims)),
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
    ordered = sorted(every, key=lambda each: (PHASES.index(each.phase), each.n_images))
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
        *("Blocks", "Timed for", "Would do: blocks", "Would do: timed for"),
    )
    return markdown(heads, rows)


def cost_table(cost: Cost) -> str:
    """What a run took, and what of it was measuring."""
    rows = [
        ("Samples", str(cost.samples)),
        ("Inside their timed calls", f"{cost.timed:.1f} s"),
        ("Inside first calls, which are kept beside them", f"{cost.first:.1f} s"),
        ("From the first sample to the last", f"{cost.measuring:.1f} s"),
        ("From the start of the run to the last sample", f"{cost.whole:.1f} s"),
        *([("The command, with its report", f"{cost.command:.1f} s")] if cost.command else []),
        ("First sample to last, over timed calls", f"{cost.measuring / cost.timed:.2f}"),
        (
            "The same, with first calls counted as timed",
            f"{cost.measuring / (cost.timed + cost.first):.2f}",
        ),
        ("Between two samples of a case, median", f"{cost.overhead * 1e3:.2f} ms"),
        ("Between two samples of a case, 95th percentile", f"{cost.overhead_high * 1e3:.2f} ms"),
    ]
    return markdown(("What", "How much"), rows)


def _median(values: Sequence[float | None], text: str) -> str:
    known = [value for value in values if value is not None]
    return text.format(statistics.median(known)) if known else "–"


# The command line.


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.option(
            "--out",
            type=click.Path(path_type=Path, dir_okay=False),
            help="JSON file for the raw counts.",
        ),
        click.option(
            "--work",
            type=click.Path(path_type=Path, file_okay=False),
            help="Folder for runs, images and asv's environment, kept and used again."
            "  [default: a temporary one]",
        ),
        click.option(
            "--run-options", default="", help="More options for every `segbench run`, in quotes."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


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


def _finish(record: Record, *tables: str) -> None:
    record.write()
    click.echo("\n\n".join(tables))
    if record.failures:
        say(f"{len(record.failures)} runs failed and are left out")
        sys.exit(1)


def _fail(record: Record, text: str) -> None:
    say(f"FAILED: {text}")
    record.failures.append(text)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure how far segbench can be trusted; prints tables in Markdown."""


@main.command()
@click.option("--runs", type=click.IntRange(1), default=20, show_default=True)
@click.option(
    "--tools",
    default=",".join(TOOLS),
    show_default=True,
    help="In this order, one after the other in every run, so that all see the same machine.",
)
@_sizes_option
@_phases_option(PHASES)
@_options
def false_alarms(
    *,
    runs: int,
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
    record = Record(out)
    with _workplace(work, run_options, sizes=sizes, phases=phases) as place:
        for run in range(1, runs + 1):
            for name in chosen:
                try:
                    attempts = TOOLS[name](place, run)
                except ToolError as error:
                    _fail(record, f"run {run} of {runs}, {name}: {error}")
                    continue
                for each in attempts:
                    claims = f"{len(each.claims)} of {len(each.comparisons)} claimed"
                    say(f"run {run} of {runs}: {each.tool}: {claims}, {each.seconds:.0f} s")
                record.attempts += attempts
                record.write()
    _finish(record, false_alarms_table(record.attempts), claims_table(record.attempts))


@main.command()
@click.option("--runs", type=click.IntRange(1), default=20, show_default=True)
@_sizes_option
@_phases_option(("process", "pipeline"))
@_options
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
    record = Record(out)
    with _workplace(work, run_options, sizes=sizes, phases=phases) as place:
        for run in range(1, runs + 1):
            started = time.perf_counter()
            try:
                source = run_segbench(
                    place, seed=run, arms=list(ARMS), options=_cases_options(place)
                )
                seconds = time.perf_counter() - started
                searches = searched(source, run=run)
            except ToolError as error:
                _fail(record, f"run {run} of {runs}: {error}")
                continue
            found = sum(search.comparison.verdict == "slower" for search in searches)
            say(f"run {run} of {runs}: {found} of {len(searches)} found slower, {seconds:.0f} s")
            record.searches += searches
            record.write()
    _finish(
        record,
        slowed_table(record.searches, by_case=False),
        slowed_table(record.searches, by_case=True),
    )


@main.command()
@click.argument(
    "run_dir", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@_options
def cost(*, run_dir: Path | None, out: Path | None, work: Path | None, run_options: str) -> None:
    """Add up what a run took beyond its timed calls; makes a default run where none is given."""
    record = Record(out)
    command = None
    try:
        if run_dir is not None:
            source = results.read_run_folder(run_dir)
        else:
            with _workplace(work, run_options) as place:
                say("making a default run: ten minutes")
                started = time.perf_counter()
                source = run_segbench(place, seed=0)
                command = time.perf_counter() - started
        record.costs.append(dataclasses.replace(cost_of(source.samples), command=command))
    except (ToolError, InputError) as error:
        raise click.ClickException(str(error)) from error
    _finish(record, cost_table(record.costs[0]))


if __name__ == "__main__":
    main()
