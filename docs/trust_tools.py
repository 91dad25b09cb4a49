"""The tools that ``docs/trust.py`` runs, and what each of them says.

With what ``docs/gate_trials.py`` needs as well: clones, commands, records and tables.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import cattrs
import click

from segbench import files
from segbench.backends.registry import BASELINE
from segbench.cli import together
from segbench.measure import machine as environment
from segbench.measure.cases import PHASES, QUICK_SIZES, SIZES
from segbench.report.cells import images
from segbench.report.summary import summarize
from segbench.results import sources

if TYPE_CHECKING:
    from segbench.results.sources import Source

ROOT = Path(__file__).resolve().parents[1]

MODULE = (sys.executable, "-m")

# Commits of these scripts need no author of flesh and blood, and no key.
GIT = (
    "git",
    *("-c", "user.name=trust", "-c", "user.email=trust@localhost"),
    *("-c", "commit.gpgSign=false"),
)

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
class Workplace:
    """Where the commands of this script put what they make.

    Attributes
    ----------
    folder : Path
        Holds everything.
    sizes, phases : tuple
        Of the cases.
    run_options : tuple of str
        Handed to every ``segbench run`` or ``segbench gate``, after the script's own.
    """

    folder: Path
    sizes: tuple[int, ...] = QUICK_SIZES
    phases: tuple[str, ...] = tuple(PHASES)
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


class ToolError(Exception):
    """A tool did not do what it was asked for; says how it ended."""


@dataclass
class Record:
    """The raw counts, written anew after every run: a long measurement may be broken off."""

    path: Path | None
    machine: dict[str, Any] = field(default_factory=environment.machine)
    failures: list[str] = field(default_factory=list)

    def write(self) -> None:
        """Write what there is, if a file was asked for."""
        if self.path is None:
            return
        script = Path(sys.argv[0]).name
        content = {
            "command": shlex.join(["python", f"docs/{script}", *_without_paths(sys.argv[1:])]),
            "versions": environment.versions(),
            **dataclasses.asdict(self),
        }
        del content["path"]
        files.write_text(self.path, json.dumps(content, indent=1) + "\n")

    def fail(self, text: str) -> None:
        """Keep, and say, that a run failed: it is left out of the tables."""
        say(f"FAILED: {text}")
        self.failures.append(text)

    def finish(self, *tables: str) -> None:
        """Write the file, print the tables, and end with status 1 if a run failed."""
        self.write()
        click.echo("\n\n".join(tables))
        if self.failures:
            say(f"{len(self.failures)} runs failed and are left out")
            sys.exit(1)


def _without_paths(words: Sequence[str]) -> list[str]:
    """A command line without the options that say where its files are on this machine."""
    kept = []
    rest = iter(words)
    for word in rest:
        if word in ("--out", "--work"):
            next(rest, None)
        elif not word.startswith(("--out=", "--work=")):
            kept.append(word)
    return kept


R = TypeVar("R", bound=Record)


def read_records(paths: Sequence[Path], kind: type[R]) -> list[R]:
    """Read what was kept with ``--out``.

    Raises
    ------
    ToolError
        If a file holds no such record.
    """
    converter = cattrs.Converter(forbid_extra_keys=True)
    records = []
    for path in paths:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            # Those that `Record.write` adds.
            content = {**content, "path": None}
            del content["command"], content["versions"]
            records.append(converter.structure(content, kind))
        except (ValueError, TypeError, KeyError, cattrs.BaseValidationError) as error:
            raise ToolError(f"{path}: no record of this script") from error
    return records


def record_files(function: Callable[..., Any]) -> Callable[..., Any]:
    """The argument of a command that shows records."""
    return click.argument(
        "kept",
        nargs=-1,
        required=True,
        metavar="FILE...",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
    )(function)


Tool = Callable[[Workplace, int], list[Attempt]]


def say(text: str) -> None:
    """Tell on standard error how it goes on."""
    click.echo(text, err=True)


def options_for(command: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options of every measurement; `command` is that of segbench which it runs."""
    return together(
        click.option(
            "--out",
            type=click.Path(path_type=Path, dir_okay=False),
            help="JSON file for the raw counts.",
        ),
        click.option(
            "--work",
            type=click.Path(path_type=Path, file_okay=False),
            help="Folder for runs, images and environments, kept and used again."
            "  [default: a temporary one]",
        ),
        click.option(
            f"--{command}-options",
            default="",
            help=f"More options for every `segbench {command}`, in quotes.",
        ),
    )


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def upper_bound(count: int, of: int) -> float:
    """The largest share that `count` of `of` does not rule out: one-sided 95% bound, 0 to 1.

    After Clopper and Pearson (1934). It takes the cases as independent of each other; those of one
    run share its minutes.
    """
    # The other commands do without.
    from scipy.stats import binomtest  # noqa: PLC0415

    interval = binomtest(count, of, alternative="less").proportion_ci(0.95, method="exact")
    return float(interval.high)


def share_at_most(count: int, of: int) -> str:
    """A share in words, with its upper bound."""
    return f"{count} of {of} ({count / of:.1%}, at most {upper_bound(count, of):.1%})"


def clone_with_commit(
    folder: Path,
    *,
    message: str,
    variables: dict[str, str],
    change: Callable[[Path], None] | None = None,
) -> None:
    """Clone what is committed of this repository, and commit on top of it.

    Parameters
    ----------
    folder : Path
        To be made.
    message : str
        Of the commit.
    variables : dict of str to str
        Environment variables of git.
    change : callable, optional
        Changes the files in `folder`; without one the commit changes nothing.

    Raises
    ------
    ToolError
        If git fails.
    """
    call([*GIT, "clone", "--quiet", str(ROOT), str(folder)], cwd=folder.parent, variables=variables)
    if change:
        change(folder)
    commit = [*GIT, "commit", "--quiet", "--all", "--allow-empty", "--message", message]
    call(commit, cwd=folder, variables=variables)


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
    return sources.read_run_folder(folder)


def cases_options(place: Workplace) -> list[str]:
    """The options of ``segbench run`` that choose the cases."""
    sizes = ",".join(str(size) for size in place.sizes)
    return ["--sizes", sizes, "--phases", ",".join(place.phases)]


def try_segbench(place: Workplace, run: int) -> list[Attempt]:
    """One run with the baseline entered a second time, as `twin`."""
    started = time.perf_counter()
    source = run_segbench(place, seed=run, arms=["twin"], options=cases_options(place))
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
    commands = (
        ("asv", "machine", "--yes"),
        # Builds the environment, and times nothing.
        ("asv", "run", "--bench", "just-discover", "HEAD^..HEAD"),
    )
    try:
        clone_with_commit(clone, message="The same code", variables=place.variables)
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
    """What ``--benchmark-compare-fail=median:N%`` says of two runs: it finds slow-downs alone."""
    # Belongs to the extra `test`, which the other commands do without.
    from pytest_benchmark.utils import parse_compare_fail  # noqa: PLC0415

    check = parse_compare_fail(f"median:{percent}%")  # type: ignore[no-untyped-call]  # it publishes no annotations
    older = {benchmark["fullname"]: benchmark["stats"] for benchmark in first}
    for benchmark in second:
        before, after = older[benchmark["fullname"]], benchmark["stats"]
        yield Comparison(
            arm="same code",
            phase=benchmark["extra_info"]["phase"],
            n_images=benchmark["extra_info"]["n_images"],
            verdict="slower" if check.fails(after, before) else "",
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
