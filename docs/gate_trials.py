"""How far ``segbench gate`` can be trusted, measured: false alarms, slow-downs and mistakes found.

Run as ``python docs/gate_trials.py COMMAND`` from a clone, where segbench is installed with the
extra ``dev``. Each trial is a gate of what is committed there, as base, and of that with one more
commit, as head. Prints tables in Markdown; ``--out FILE`` keeps what was said of every case as
JSON, and ``show FILE...`` prints the tables of several together: those of docs/regressions.md.
"""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from trust_tools import (
    MODULE,
    ROOT,
    Record,
    ToolError,
    Workplace,
    call,
    clone_with_commit,
    markdown,
    options_for,
    read_records,
    record_files,
    say,
    share_at_most,
    upper_bound,
)

from segbench.backends.registry import BackendSpec
from segbench.cli import together
from segbench.measure.cases import PHASES
from segbench.measure.settings import available_cpus
from segbench.report.cells import images
from segbench.results.outcome import FAILING, VERDICTS, Comparison, Estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


@dataclass(frozen=True, kw_only=True)
class Change:
    """A piece of a file, and what stands in its place at the head.

    Attributes
    ----------
    file : str
        Relative to the top of the repository.
    old, new : str
        The first is to be found in the file exactly once.
    """

    file: str
    old: str
    new: str


@dataclass(frozen=True, kw_only=True)
class Head:
    """What the head has that the base has not.

    Attributes
    ----------
    name : str
        In words; its clone and its commit are called so.
    changes : tuple of Change
        To be committed.
    expects : callable
        Whether a case, as the gate compares it, runs through what was changed for the worse.
    options : tuple of str
        Of the gate: cases in which it matters, where those of the default are not such.
    """

    name: str
    changes: tuple[Change, ...]
    expects: Callable[[Comparison], bool]
    options: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What one gate said.

    Attributes
    ----------
    head : str
        Name of the `Head`, with what ran beside.
    run : int
        From 1.
    options : tuple of str
        Of the gate, after the script's own.
    status : int
        Exit status: 1 where the gate failed.
    seconds : float
        Wall time of the command; the first on a head builds environments.
    measured : float
        What the gate says it measured for, of these.
    comparisons : tuple of Comparison
        One a case.
    expected : tuple of str
        Those of the cases, in words, that run through what was changed for the worse.
    notes : tuple of str
        The gate's own.
    """

    head: str
    run: int
    options: tuple[str, ...]
    status: int
    seconds: float
    measured: float
    comparisons: tuple[Comparison, ...]
    expected: tuple[str, ...]
    notes: tuple[str, ...]

    def split(self) -> tuple[list[Comparison], list[Comparison]]:
        """The cases that were expected to be named, and all others."""
        right = [each for each in self.comparisons if in_words(each) in self.expected]
        return right, [each for each in self.comparisons if in_words(each) not in self.expected]

    @property
    def found(self) -> bool:
        """Whether the gate failed, and for an expected case."""
        return self.status == 1 and bool(named(self.split()[0]))


@dataclass
class Trials(Record):
    """The raw counts of the commands below, and the full name of the base's commit."""

    commit: str = ""
    trials: list[Trial] = field(default_factory=list)


def in_words(case: Comparison) -> str:
    """Phase, size and backend of a case."""
    return f"{case.phase}, {images(case.n_images)}, {case.backend}"


def named(cases: Sequence[Comparison]) -> list[Comparison]:
    """Those for which the gate fails."""
    return [each for each in cases if each.verdict in FAILING]


# What is planted.


def _spec(case: Comparison) -> BackendSpec:
    return BackendSpec(*case.backend.split("/"))


def _computes(case: Comparison) -> bool:
    return case.phase in ("process", "pipeline")


_PHASES = "src/segbench/backends/phases.py"

# Another tree, and so an environment of its own, but the same program.
NOTHING = Head(
    name="nothing but a comment",
    changes=(
        Change(
            file=_PHASES,
            old="# Bytes of pixels in a chunk that holds several images.",
            new="# Planted: this line.\n# Bytes of pixels in a chunk that holds several images.",
        ),
    ),
    expects=lambda _: False,
)

# The work is added by the thread that waits for the workers, when they have ended: so it is the same
# share under every scheduler, and none of them has to share a CPU or an interpreter with it.
_LONGER = """\
def _longer(function: Any) -> Any:
    @functools.wraps(function)
    def longer(*arguments: Any) -> Any:
        started = time.perf_counter()
        found = function(*arguments)
        ended = time.perf_counter()
        until = ended + {share} * (ended - started)
        while time.perf_counter() < until:
            pass
        return found

    return longer


@_longer
def process_images("""


def slower_by(share: float) -> Head:
    """`process` and `pipeline` take this share longer in every backend."""
    pairs = (
        (
            "from functools import partial\n",
            "import functools\nimport time\nfrom functools import partial\n",
        ),
        ("def process_images(", _LONGER.format(share=share)),
        ("def run_pipeline(", "@_longer\ndef run_pipeline("),
        # Once is enough where a pipeline goes through it.
        ("return process_images(", "return process_images.__wrapped__("),
    )
    return Head(
        name=f"slower by {share:.1%}",
        changes=tuple(Change(file=_PHASES, old=old, new=new) for old, new in pairs),
        expects=_computes,
    )


# The same objects as scikit-image's, found one pixel after the other.
_LABEL_IN_PYTHON = """\
    left = set(map(tuple, np.argwhere(mask).tolist()))
    labels = np.zeros(mask.shape, np.int32)
    count = 0
    while left:
        count += 1
        reached = [left.pop()]
        while reached:
            row, column = reached.pop()
            labels[row, column] = count
            sides = {(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)}
            reached += sides & left
            left -= sides
    return labels
"""


# As floats and back, which finds the same pixels. A copy of the bytes alone takes some per cent of
# what reading takes, and one before `process` less than that: below what is a regression.
_COPIED = '''\
def read_images(backend: Backend, pattern: str) -> NDArray[Any]:
    """Phase `read`, by way of another copy of the stack."""
    import skimage.util

    return skimage.util.img_as_ubyte(skimage.util.img_as_float64(_read_images(backend, pattern)))


def _read_images('''

_KINDS = (
    Head(
        name="an extra copy of the stack",
        changes=(
            Change(
                file=_PHASES,
                old="def read_images(",
                new=_COPIED,
            ),
        ),
        expects=lambda case: case.phase == "read",
    ),
    Head(
        name="one chunk an image",
        changes=(
            Change(
                file=_PHASES,
                old="    return max(1, min(even, BATCH_BYTES // image_bytes))\n",
                new="    return 1\n",
            ),
        ),
        # With fewer images there was one in a chunk before.
        expects=lambda case: (
            _computes(case)
            and _spec(case).processor == "dask-blocks"
            and case.n_images > 4 * available_cpus()
        ),
        # A task costs the same whatever is in it: with small images that is a good part of the time.
        options=("--shape", "64x80"),
    ),
    Head(
        name="a lost drop_axis",
        changes=(
            Change(
                file="src/segbench/backends/stacks.py",
                old="dtype=np.float64, drop_axis=3 if images.ndim == 4 else None)",
                new="dtype=np.float64)",
            ),
        ),
        # dask-image's filters refuse the axes, so that it can't even be started, for no phase: a start
        # runs the pipeline once. Mapped over chunks all goes well until they are put together, and a
        # single one needs none of that.
        expects=lambda case: (
            _spec(case).processor in ("dask-image", "dask-image-area")
            or (_computes(case) and _spec(case).processor == "dask-blocks" and case.n_images > 1)
        ),
    ),
    Head(
        name="a synchronous scheduler",
        changes=(
            Change(
                file="src/segbench/backends/schedulers.py",
                old="with dask.config.set(scheduler=name, num_workers=workers):",
                new='with dask.config.set(scheduler="synchronous", num_workers=workers):',
            ),
        ),
        # One image is one task: there is nothing that two threads could share. And `open` computes
        # nothing.
        expects=lambda case: (
            _spec(case).scheduler == "threads" and case.phase != "open" and case.n_images > 1
        ),
    ),
    Head(
        name="a label step in Python",
        changes=(
            Change(
                file="src/segbench/backends/skimage.py",
                old="    return np.asarray(skimage.measure.label(mask, connectivity=1))\n",
                new=_LABEL_IN_PYTHON,
            ),
        ),
        expects=lambda case: (
            _computes(case) and _spec(case).processor in ("skimage", "dask-blocks")
        ),
    ),
)
KINDS: Mapping[str, Head] = {head.name: head for head in _KINDS}


def apply(change: Change, folder: Path) -> None:
    """Change a file of a checkout.

    Raises
    ------
    ToolError
        If what is to be replaced is not there, or in several places.
    """
    path = folder / change.file
    text = path.read_text(encoding="utf-8")
    if (count := text.count(change.old)) != 1:
        raise ToolError(
            f"{change.file}: {count} places read {change.old!r}, which was to be replaced in one; "
            "mend docs/gate_trials.py"
        )
    path.write_text(text.replace(change.old, change.new), encoding="utf-8")


def make_clone(place: Workplace, head: Head) -> Path:
    """Clone this repository anew, with the commit of a head; where there was one, in its place.

    Raises
    ------
    ToolError
        If the changes can't be applied, or git fails.
    """
    clone = place.folder / head.name.replace(" ", "-")
    shutil.rmtree(clone, ignore_errors=True)

    def change(folder: Path) -> None:
        for each in head.changes:
            apply(each, folder)

    clone_with_commit(clone, message=head.name, variables=place.variables, change=change)
    return clone


# One gate.


@contextmanager
def busy_core() -> Iterator[int]:
    """Keep one core busy while the block lasts, by a process that ends with this one in any case.

    Yields
    ------
    int
        Its process id.

    Raises
    ------
    ToolError
        If it ended before the block did.
    """
    # Its standard input ends when this end is closed, by the block's end or by that of this process.
    code = (
        "import os, sys, threading\n"
        "threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()\n"
        "while True: pass\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as process:  # noqa: S603  (this interpreter, on the code above)
        yield process.pid
        if process.poll() is not None:
            raise ToolError(f"the busy process ended with status {process.returncode}")


def try_gate(place: Workplace, head: Head, *, clone: Path, run: int, busy: bool = False) -> Trial:
    """Run one gate in a clone.

    Raises
    ------
    ToolError
        If it could not measure, or its exit status is not what its cases say.
    """
    folder = Path(tempfile.mkdtemp(prefix="gate-", dir=place.folder))
    kept = folder / "gate.json"
    command = [*MODULE, "segbench", "gate", "--base", "HEAD~1", "--seed", str(run)]
    options = (*head.options, *place.run_options)
    command += ["--json", str(kept), "--out", str(folder / "gate"), *options]
    with busy_core() if busy else nullcontext():
        started = time.perf_counter()
        done = call(command, cwd=clone, variables=place.variables, allowed=(0, 1))
        seconds = time.perf_counter() - started
    # An interpreter that fails ends with status 1, too.
    if not kept.exists():
        raise ToolError(f"{shlex.join(command)}: exit status {done.returncode}\n{done.stdout}")
    outcome = json.loads(kept.read_text(encoding="utf-8"))
    comparisons = tuple(_comparison(each) for each in outcome["comparisons"])
    if bool(done.returncode) != bool(named(comparisons)):
        raise ToolError(
            f"{shlex.join(command)}: exit status {done.returncode}, and {len(named(comparisons))} "
            "cases for which a gate fails (--strict has no place here)"
        )
    return Trial(
        head=f"{head.name}, beside a busy core" if busy else head.name,
        run=run,
        options=options,
        status=done.returncode,
        seconds=seconds,
        measured=outcome["seconds"],
        comparisons=comparisons,
        expected=tuple(in_words(each) for each in comparisons if head.expects(each)),
        notes=tuple(outcome["notes"]),
    )


def _comparison(found: dict[str, Any]) -> Comparison:
    """A case as `segbench.results.outcome.write_outcome` keeps it."""
    looks = {look: Estimate(**found[look]) if found[look] else None for look in ("first", "again")}
    return Comparison(**{**found, **looks})


# Tables.

RUNS_NOTE = """\
"At most" and "at least" are one-sided 95% bounds (Clopper-Pearson), as if all were independent; the
cases of one run are not quite. Ratios are the head's times over the base's. Ratios and times are
medians, with the lowest and the highest; the first run on a head builds its environment, too."""


def runs_table(trials: Sequence[Trial]) -> str:
    """One row a head and options: how many gates fail, and what they call the cases."""
    words = _verdicts(trials)
    rows = []
    for asked, own in _alike(trials).items():
        every = [each for trial in own for each in trial.comparisons]
        rows.append(
            (
                *asked,
                share_at_most(sum(trial.status for trial in own), len(own)),
                str(len(every)),
                *(str(_count(every, word)) for word in words),
                _ratios(every),
                *_times(own),
            )
        )
    counted = ("Runs that fail", "Cases", *map(_called, words), "Ratio", *_TIMES)
    heads = ("The head has", _OPTIONS, *counted)
    return markdown(heads, rows)


def found_table(trials: Sequence[Trial]) -> str:
    """One row a head and options: how often a slow-down was found, in how many of its cases."""
    rows = []
    for asked, own in _alike(trials).items():
        found = sum(trial.found and _in_process(trial) for trial in own)
        columns = []
        for phase in ("process", "pipeline"):
            cases = [e for trial in own for e in trial.split()[0] if e.phase == phase]
            columns += [_ratios(cases), f"{len(named(cases))} of {len(cases)}"]
        others = [each for trial in own for each in trial.split()[1]]
        rows.append(
            (
                *asked,
                _share_at_least(found, len(own)),
                *columns,
                f"{len(named(others))} of {len(others)}",
                *_times(own),
            )
        )
    phases = (
        f"`{phase}`: {what}" for phase in ("process", "pipeline") for what in ("ratio", "named")
    )
    heads = ("The head is", _OPTIONS, "Runs that find it", *phases, "Other cases named", *_TIMES)
    return markdown(heads, rows)


def kinds_table(trials: Sequence[Trial]) -> str:
    """One row a trial: whether what was planted was found, and whether in the right cases."""
    rows = []
    for trial in trials:
        right, others = trial.split()
        rows.append(
            (
                trial.head,
                shlex.join(trial.options),
                "yes" if trial.found else "no",
                f"{len(named(right))} of {len(right)}",
                _ratios(right),
                f"{len(named(others))} of {len(others)}",
                *_times([trial]),
            )
        )
    heads = (
        *("Planted", _OPTIONS, "Found"),
        *("Cases named that run through it", "Their ratio", "Other cases named", *_TIMES),
    )
    return markdown(heads, rows)


def cases_table(trials: Sequence[Trial]) -> str:
    """One row a head, options and case: what it was called, how often."""
    words = _verdicts(trials)
    rows = []
    for asked, own in _alike(trials).items():
        cases = dict.fromkeys(
            in_words(each)
            for each in sorted(
                (each for trial in own for each in trial.comparisons),
                # The gate goes by backend.
                key=lambda each: (list(PHASES).index(each.phase), each.n_images),
            )
        )
        for case in cases:
            same = [e for trial in own for e in trial.comparisons if in_words(e) == case]
            rows.append(
                (
                    *asked,
                    case,
                    "yes" if case in own[0].expected else "",
                    _ratios(same),
                    *(str(_count(same, word) or "") for word in words),
                    "; ".join(dict.fromkeys(each.cause for each in same if each.cause)),
                )
            )
    heads = ("The head has", _OPTIONS, "Case", "Expected", "Ratio", *map(_called, words), "Cause")
    return markdown(heads, rows)


def tables(trials: Sequence[Trial]) -> list[str]:
    """All that there is to show, with the note that belongs to it."""
    same = [each for each in trials if each.head.startswith(NOTHING.name)]
    planted = [each for each in trials if each.head in KINDS]
    slow = [each for each in trials if each not in same and each not in planted]
    shown = [
        *([runs_table(same)] if same else []),
        *([found_table(slow)] if slow else []),
        *([RUNS_NOTE] if same or slow else []),
        *([kinds_table(planted)] if planted else []),
    ]
    return [*shown, cases_table(trials)]


_OPTIONS = "Options of the gate"
_TIMES = ("A run takes", "and measures for")


def _times(trials: Sequence[Trial]) -> tuple[str, str]:
    takes = _spread([trial.seconds for trial in trials], digits=0)
    measures = _spread([trial.measured for trial in trials], digits=0)
    return f"{takes} s", f"{measures} s"


def _alike(trials: Sequence[Trial]) -> dict[tuple[str, str], list[Trial]]:
    """Those of one head and with the same options, under both."""
    found: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        found.setdefault((trial.head, shlex.join(trial.options)), []).append(trial)
    return found


def _verdicts(trials: Sequence[Trial]) -> list[str]:
    """The verdicts that occur, and those that matter most in any case."""
    seen = {each.verdict for trial in trials for each in trial.comparisons}
    return [word for word in VERDICTS if word in seen | {"regression", "undecided", "same"}]


def _called(word: str) -> str:
    return word[0].upper() + word[1:]


def _count(cases: Sequence[Comparison], verdict: str) -> int:
    return sum(each.verdict == verdict for each in cases)


def _ratios(cases: Sequence[Comparison]) -> str:
    """Those of the first look."""
    ratios = [each.first.ratio for each in cases if each.first]
    return _spread(ratios, digits=3) if ratios else "–"


def _spread(values: Sequence[float], *, digits: int) -> str:
    """Median, with the lowest and the highest where there are several."""
    middle, *ends = (
        f"{value:.{digits}f}" for value in (statistics.median(values), min(values), max(values))
    )
    return f"{middle} ({' to '.join(ends)})" if len(values) > 1 else middle


def _in_process(trial: Trial) -> bool:
    """Whether a case of the phase `process` is among those called a regression."""
    return any(
        each.phase == "process" and each.verdict == "regression" for each in trial.comparisons
    )


def _share_at_least(count: int, of: int) -> str:
    return f"{count} of {of} ({count / of:.1%}, at least {1 - upper_bound(of - count, of):.1%})"


# The command line.


@contextmanager
def _workplace(work: Path | None, gate_options: str) -> Iterator[Workplace]:
    """Set up the folder; a temporary one is deleted at the end."""
    try:
        options = tuple(shlex.split(gate_options))
    except ValueError as error:
        raise click.UsageError(f"--gate-options: {error}") from error
    with tempfile.TemporaryDirectory(prefix="trials-") as temporary:
        folder = (work or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        yield Workplace(folder=folder, run_options=options)


def _try_all(
    heads: Sequence[Head],
    *,
    runs: int,
    first_run: int = 1,
    busy: bool = False,
    out: Path | None,
    work: Path | None,
    gate_options: str,
) -> Trials:
    """Run so many gates of each head; they are numbered."""
    record = Trials(out)
    with _workplace(work, gate_options) as place:
        try:
            named_so = ["git", "rev-parse", "HEAD"]
            record.commit = call(named_so, cwd=ROOT, variables=place.variables).stdout.strip()
            # All of them first: a change that can't be applied is known before hours are spent.
            clones = [make_clone(place, head) for head in heads]
        except ToolError as error:
            raise click.ClickException(str(error)) from error
        for head, clone in zip(heads, clones, strict=True):
            for run in range(first_run, first_run + runs):
                progress = f"{head.name}: run {run} (to {first_run + runs - 1})"
                try:
                    trial = try_gate(place, head, clone=clone, run=run, busy=busy)
                except ToolError as error:
                    record.fail(f"{progress}: {error}")
                    continue
                undecided = _count(trial.comparisons, "undecided")
                say(
                    f"{progress}: exit status {trial.status}, {len(named(trial.comparisons))} of "
                    f"{len(trial.comparisons)} cases named, {undecided} undecided, "
                    f"{trial.seconds:.0f} s"
                )
                record.trials.append(trial)
                record.write()
    return record


def _runs(default: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options that say which runs there are to be."""
    return together(
        click.option("--runs", type=click.IntRange(1), default=default, show_default=True),
        click.option(
            "--first-run",
            type=click.IntRange(1),
            default=1,
            show_default=True,
            help="Number of the first, to go on in another session: the seed of its gate.",
        ),
    )


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure how far `segbench gate` can be trusted; prints tables in Markdown."""
    # Told to end, it ends as on Ctrl-C: the gate that runs is taken along.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@main.command()
@_runs(30)
@click.option("--busy", is_flag=True, help="Keep one core busy beside every gate.")
@options_for("gate")
def identical(*, runs: int, first_run: int, busy: bool, **options: Any) -> None:
    """Compare the code with itself: how often does a gate fail?"""
    record = _try_all([NOTHING], runs=runs, first_run=first_run, busy=busy, **options)
    record.finish(*tables(record.trials))


@main.command()
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.1,
    show_default=True,
    help="By which `process` and `pipeline` take longer at the head: 0.1 is 10%.",
)
@_runs(20)
@options_for("gate")
def slower(*, share: float, runs: int, first_run: int, **options: Any) -> None:
    """Compare the code with itself made slower: how often is that found?"""
    record = _try_all([slower_by(share)], runs=runs, first_run=first_run, **options)
    record.finish(*tables(record.trials))


@main.command()
@click.option(
    "--kinds",
    default=",".join(KINDS),
    show_default=True,
    help="Of what is planted, separated by commas; one gate each.",
)
@options_for("gate")
def planted(*, kinds: str, **options: Any) -> None:
    """Plant mistakes that people make: is each found, in the cases that run through it?"""
    chosen = [name.strip() for name in kinds.split(",")]
    if unknown := [name for name in chosen if name not in KINDS]:
        raise click.BadParameter(f"unknown {unknown[0]!r}: choose from {', '.join(KINDS)}")
    record = _try_all([KINDS[name] for name in chosen], runs=1, **options)
    record.finish(*tables(record.trials))


@main.command()
@record_files
def show(*, kept: tuple[Path, ...]) -> None:
    """Print the tables of what was kept with --out, of all the files together."""
    try:
        records = read_records(kept, Trials)
    except ToolError as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n\n".join(tables([each for record in records for each in record.trials])))


if __name__ == "__main__":
    main()
