"""Records of what was counted, commands that are run for it, and how it is shown."""

from __future__ import annotations

import functools
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from segbench import files
from segbench.backends.registry import BASELINE
from segbench.errors import InputError
from segbench.measure import machine
from segbench.measure.settings import PHASES, QUICK_SIZES, parse_phases, parse_sizes
from segbench.report.summary import summarize
from segbench.results import sources

if TYPE_CHECKING:
    from segbench.results.sources import Source

ROOT = Path(__file__).resolve().parents[1]

T = TypeVar("T")

MODULE = (sys.executable, "-m")

# Commits of these scripts need no author of flesh and blood, and no key.
GIT = (
    *("git", "-c", "user.name=evidence", "-c", "user.email=evidence@localhost"),
    *("-c", "commit.gpgSign=false"),
)


class ToolError(Exception):
    """A tool did not do what it was asked for; says how it ended."""


# What is kept.


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a tool says of one case."""

    arm: str  # what was compared with the baseline
    phase: str
    n_images: int
    # "faster" or "slower" where it claims a difference, otherwise its word or nothing.
    verdict: str
    ratio: float  # time of the arm over that of the baseline

    @property
    def case(self) -> str:
        """The case in words."""
        return f"{self.phase}, {images(self.n_images)}"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One run, from 1, of a tool (with its settings) that compares the same code with itself."""

    tool: str
    run: int
    seconds: float  # wall time of its commands
    status: int | None  # of the command that compared; None where no command did
    comparisons: tuple[Comparison, ...]

    @property
    def claims(self) -> list[Comparison]:
        """The comparisons in which it claims a difference."""
        return [each for each in self.comparisons if each.verdict in ("faster", "slower")]

    @property
    def likely(self) -> list[Comparison]:
        """Those that it calls probable, which is no claim."""
        return [each for each in self.comparisons if each.verdict.startswith("probably")]


@dataclass(frozen=True, kw_only=True)
class Search:
    """How a slow-down was looked for in one case of one run, from 1."""

    run: int
    comparison: Comparison  # with the verdict at the end
    rounds: int  # taken until the case ended
    seconds: float  # inside the timed calls of the arm and of the baseline until then


@dataclass(frozen=True, kw_only=True)
class RoundCost:
    """What a round of a run took, in seconds."""

    number: int
    cases: int  # in which a backend was timed: each is made ready by a call or more
    samples: int
    whole: float  # from the end of the round before, or the start of the run, to that of its last sample
    timed: float  # inside the calls of the samples
    first: float  # inside the first call of each case, which is kept but not a sample
    # Inside what a worker does to get ready for its samples: the call that is not timed, before short
    # ones, and the collection of what the last one left.
    untimed: float

    @property
    def rest(self) -> float:
        """Starting workers, warming up, and the engine's own part."""
        return self.whole - self.timed - self.first - self.untimed


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a run took, in seconds."""

    rounds: tuple[RoundCost, ...]
    # Between the end of a sample and that of the next of its case and round, without what the next
    # one's worker does: median and 95th percentile.
    overhead: float
    overhead_high: float
    # What a process on this machine takes to answer another beyond its work, median: no engine that
    # keeps arms in processes of their own can take less.
    answer: float = 0.0
    command: float | None = None  # with its report; None where it was not started from here


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Something of the head over that of the base, with its interval where there are rounds enough."""

    ratio: float
    low: float | None
    high: float | None
    rounds: int


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a gate says of one case, as ``segbench gate --json`` writes it."""

    phase: str
    backend: str
    n_images: int
    verdict: str
    grown: tuple[str, ...] = ()  # what is a regression beside or instead of CPU time
    cpu: Estimate | None = None
    wall: Estimate | None = None
    memory: Estimate | None = None
    cause: str = ""  # why it failed or was not compared

    @property
    def case(self) -> str:
        """Phase, size and backend in words."""
        return f"{self.phase}, {images(self.n_images)}, {self.backend}"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What one gate, from 1, said."""

    head: str  # what the head has that the base has not, and what ran beside
    run: int
    options: tuple[str, ...]  # of the gate, after those that all have
    status: int  # 1 where the gate failed
    seconds: float  # wall time of the command; the first on a head builds environments
    measured: float  # what the gate says it measured for, of these
    comparisons: tuple[Case, ...]
    expected: tuple[str, ...]  # cases, in words, that run through what was changed for the worse
    notes: tuple[str, ...]  # the gate's own


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Of simulated cases the share whose interval covers the truth, and what their verdicts say."""

    ratio: float  # the truth
    spread: float  # standard deviation of the logarithms of round medians
    shape: str
    draws: int
    covered: float  # share of the draws
    rounds: float  # mean, when a case had ended
    said: dict[str, float]  # share of each verdict


@dataclass(kw_only=True)
class Record:
    """What was counted, written anew after every run: a long measurement may be broken off."""

    command: str  # as it was typed, without the folders of this machine
    versions: dict[str, str]
    machine: dict[str, Any]
    failures: list[str]  # how the runs ended that failed, and are left out
    commit: str = ""  # full name of the base's, where gates were run
    attempts: list[Attempt] = field(default_factory=list)
    searches: list[Search] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    coverages: list[Coverage] = field(default_factory=list)


def new_record(words: Sequence[str] = ()) -> Record:
    """Begin a record of a command line, whose options that name files are left out."""
    kept, rest = [], iter(words)
    for word in rest:
        if word in ("--out", "--work"):
            next(rest, None)
        elif not word.startswith(("--out=", "--work=")):
            kept.append(word)
    command = shlex.join(["python", "-m", "evidence", *kept])
    return Record(
        command=command, versions=machine.versions(), machine=machine.machine(), failures=[]
    )


def write_record(record: Record, path: Path) -> None:
    """Write all that there is, in place of what was there."""
    text = msgspec.json.format(msgspec.json.encode(record), indent=1).decode()
    files.write_text(path, text + "\n")


def read_records(paths: Sequence[Path]) -> Record:
    """Read what was kept with ``--out``, of all the files together; ToolError if it is none."""
    together = Record(command="", versions={}, machine={}, failures=[])
    for path in paths:
        try:
            record = msgspec.json.decode(path.read_bytes(), type=Record)
        except (ValueError, msgspec.MsgspecError) as error:
            raise ToolError(f"{path}: no record of these measurements") from error
        for name in ("attempts", "searches", "costs", "trials", "coverages"):
            getattr(together, name).extend(getattr(record, name))
    return together


# How it is shown.


def images(count: int) -> str:
    """`count` with its noun."""
    return f"{count} image" if count == 1 else f"{count} images"


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def table(
    heads: Sequence[str],
    items: Iterable[T],
    key: Callable[[T], tuple[str, ...]],
    columns: Mapping[str, Callable[[list[T]], str]],
) -> str:
    """A table in Markdown of items in groups: their key under `heads`, then what columns say of them."""
    groups: dict[tuple[str, ...], list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    rows = [(*asked, *(cell(own) for cell in columns.values())) for asked, own in groups.items()]
    return markdown((*heads, *columns), rows)


def median(values: Sequence[float | None], text: str) -> str:
    """The median of those that are known, in words."""
    known = [value for value in values if value is not None]
    return text.format(statistics.median(known)) if known else "–"


def upper_bound(count: int, of: int) -> float:
    """The largest share that `count` of `of` does not rule out: one-sided 95% bound, 0 to 1.

    After Clopper and Pearson (1934). It takes the cases as independent of each other; those of one
    run share its minutes.
    """
    # The other commands do without.
    from scipy.stats import binomtest  # noqa: PLC0415

    interval = binomtest(count, of, alternative="less").proportion_ci(0.95, method="exact")
    return float(interval.high)


def share(count: int, of: int) -> str:
    """A share in words; of nothing there is none."""
    return f"{count} of {of} ({count / of:.1%})" if of else "–"


def share_at_most(count: int, of: int) -> str:
    """A share in words, with its upper bound."""
    return f"{count} of {of} ({count / of:.1%}, at most {upper_bound(count, of):.1%})"


def share_at_least(count: int, of: int) -> str:
    """A share in words, with its lower bound: one-sided, 95%; of nothing there is none."""
    if not of:
        return "–"
    return f"{count} of {of} ({count / of:.1%}, at least {1 - upper_bound(of - count, of):.1%})"


def say(text: str) -> None:
    """Tell on standard error how it goes on."""
    click.echo(text, err=True)


# What is run.


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """Where commands put what they make, the cases, and the user's options for them."""

    folder: Path
    out: Path | None = None  # of the record, where there is one
    sizes: tuple[int, ...] = QUICK_SIZES
    phases: tuple[str, ...] = tuple(PHASES)
    options: tuple[str, ...] = ()

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables under which segbench keeps its images here."""
        return {**os.environ, "SEGBENCH_CACHE_DIR": str(self.folder / "cache")}


def call(
    command: Sequence[str], *, cwd: Path, variables: dict[str, str], allowed: Sequence[int] = (0,)
) -> subprocess.CompletedProcess[str]:
    """Run a command and keep what it prints; ToolError if it ends with another status than those."""
    done = subprocess.run(  # noqa: S603  (the commands are written in this package)
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
        raise ended(command, done)
    return done


def ended(command: Sequence[str], done: subprocess.CompletedProcess[str]) -> ToolError:
    """How a command ended that should have ended otherwise, with the end of what it printed."""
    last = "\n".join(done.stdout.strip().splitlines()[-15:])
    return ToolError(f"{shlex.join(command)}: exit status {done.returncode}\n{last}")


def clone_with_commit(
    place: Workplace,
    folder: Path,
    message: str,
    change: Callable[[Path], object] = lambda _: None,
) -> None:
    """Clone what is committed of this repository, `change` the files, and commit that."""
    git = functools.partial(call, variables=place.variables)
    git([*GIT, "clone", "--quiet", str(ROOT), str(folder)], cwd=folder.parent)
    change(folder)
    git([*GIT, "add", "."], cwd=folder)
    git([*GIT, "commit", "--quiet", "--allow-empty", "--message", message], cwd=folder)


def run_segbench(place: Workplace, *, seed: int, arms: Iterable[str] = ()) -> Source:
    """Make one run, of some of `evidence.arms` against the baseline, and read it."""
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=place.folder))
    command = [*MODULE, "segbench", "run", "--seed", str(seed), "--out", str(folder)]
    if arms:
        sizes = ",".join(str(size) for size in place.sizes)
        command += ["--backends", ",".join(f"{arm}/{arm}/serial" for arm in arms)]
        command += ["--sizes", sizes, "--phases", ",".join(place.phases)]
    # Where the arms are, and their entry points.
    paths = [str(ROOT), str(ROOT / "evidence/plugin"), os.environ.get("PYTHONPATH", "")]
    variables = {**place.variables, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    call([*command, *place.options], cwd=place.folder, variables=variables)
    (source,) = sources.read_run_folder(folder)
    return source


def compared(source: Source) -> list[Comparison]:
    """What the report says of each arm's cases; ToolError if one could not be timed."""
    summary = summarize(source)
    failed = summary[summary["status"] != "ok"]
    if len(failed):
        raise ToolError(f"{failed['backend'].iloc[0]}: {failed['cause'].iloc[0]}")
    return [
        Comparison(
            arm=row["backend"].split("/")[0],
            phase=row["phase"],
            n_images=int(row["n_images"]),
            verdict=row["verdict"],
            ratio=float(row["ratio"]),
        )
        for _, row in summary[summary["backend"] != str(BASELINE)].iterrows()
    ]


# The command line.

# What is to be done, in words, and how: it is added to the record, and its outcome told in words.
Steps = Iterator[tuple[str, Callable[[], str]]]


def measurement(
    asks: str,
    *,
    tables: Callable[[Record], list[str]],
    runs: int = 0,
    sizes: Sequence[int] = QUICK_SIZES,
    phases: Sequence[str] = (),
) -> Callable[[Callable[..., Steps]], click.Command]:
    """Make a command of a function of a `Workplace`, a `Record` and options, which yields `Steps`.

    Its steps run the command of segbench that `asks` names, `run` or `gate`. With `runs`, and with
    `phases` and `sizes`, the defaults, it has options for the number of runs, and for the cases;
    `tables` are shown.
    """
    file = click.Path(path_type=Path, dir_okay=False)
    folder = click.Path(path_type=Path, file_okay=False)
    kept = "Folder for runs, images and environments, used again.  [default: a temporary one]"
    more = f"More options for every `segbench {asks}`, in quotes."
    options = [
        click.option("--out", type=file, help="JSON for the raw counts, written after every run."),
        click.option("--work", type=folder, help=kept),
        click.option(f"--{asks}-options", "more", default="", help=more),
    ]
    if phases:
        numbers = ",".join(map(str, sizes))
        options += [
            click.option("--sizes", default=numbers, show_default=True, help="Numbers of images."),
            click.option("--phases", default=",".join(phases), show_default=True),
        ]
    if runs:
        first = "Number of the first, and its seed: to go on in another session."
        number = functools.partial(click.option, type=click.IntRange(1), show_default=True)
        options += [
            number("--runs", default=runs, help="How many."),
            number("--first-run", default=1, help=first),
        ]

    def decorate(function: Callable[..., Steps]) -> click.Command:
        @functools.wraps(function)
        def command(*, out: Path | None, work: Path | None, more: str, **given: Any) -> None:
            record = new_record(sys.argv[1:])
            with tempfile.TemporaryDirectory(prefix="evidence-") as temporary:
                try:
                    place = Workplace(
                        folder=(work or Path(temporary)).resolve(),
                        out=out,
                        sizes=parse_sizes(given.pop("sizes", "1")),
                        phases=parse_phases(given.pop("phases", "read")),
                        options=tuple(shlex.split(more)),
                    )
                except (InputError, ValueError) as error:  # the latter is shlex's
                    raise click.UsageError(str(error)) from error
                place.folder.mkdir(parents=True, exist_ok=True)
                if runs:
                    first = given.pop("first_run")
                    given["runs"] = range(first, first + given["runs"])
                try:
                    for label, step in function(place, record, **given):
                        _take(label, step, record)
                        if out:
                            write_record(record, out)
                except ToolError as error:
                    raise click.ClickException(str(error)) from error
            click.echo("\n\n".join(tables(record)))
            if record.failures:
                say(f"{len(record.failures)} runs failed and are left out")
                sys.exit(1)

        decorated: Callable[..., None] = command
        for option in options:
            decorated = option(decorated)
        return click.command()(decorated)

    return decorate


def _take(label: str, step: Callable[[], str], record: Record) -> None:
    try:
        said = step()
    except (ToolError, InputError) as error:
        record.failures.append(f"{label}: {error}")
        said = f"FAILED: {error}"
    say(f"{label}: {said}")


# What some commands read.
kept_files = click.argument(
    "kept",
    nargs=-1,
    required=True,
    metavar="FILE...",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)


def choice(
    name: str, choices: Sequence[str], help_text: str
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option that names some of `choices`, separated by commas; all of them by default."""

    def parse(_context: click.Context, _option: click.Parameter, text: str) -> list[str]:
        chosen = [word.strip() for word in text.split(",")]
        if unknown := [word for word in chosen if word not in choices]:
            raise click.BadParameter(f"unknown {unknown[0]!r}: choose from {', '.join(choices)}")
        return chosen

    default = ",".join(choices)
    return click.option(name, default=default, show_default=True, callback=parse, help=help_text)
