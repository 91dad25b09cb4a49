"""What gates say of heads whose change is known: false alarms, slow-downs and mistakes found.

Each trial is a gate of what is committed here, as base, and of that with one more commit, as head.
"""

from __future__ import annotations

import functools
import json
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from evidence import pairs, plants
from evidence.shared import (
    GIT,
    MODULE,
    ROOT,
    Case,
    Record,
    Steps,
    ToolError,
    Trial,
    Workplace,
    call,
    choice,
    clone_with_commit,
    ended,
    measurement,
    share,
    share_at_least,
    share_at_most,
    table,
)
from segbench.measure.settings import PHASES, available_cpus
from segbench.results import records
from segbench.results.outcome import FAILING, VERDICTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Says = Callable[[list[Trial]], str]

# What the head has that the base has not.


@dataclass(frozen=True, kw_only=True)
class Head:
    """What is planted into a head."""

    name: str  # in words; its clone and its commit are called so
    module: str  # that it changes, of `segbench.backends`
    plant: Callable[..., None] | None = None  # of `evidence.plants`; None: a comment
    settings: dict[str, float] = field(default_factory=dict)  # of the plant
    # Whether a case runs through what was changed for the worse.
    expects: Callable[[Case], bool] = lambda _: False
    # Of the gate: cases in which it matters, where those of the default are not such.
    options: tuple[str, ...] = ()


def _computes(case: Case) -> bool:
    return case.phase in ("process", "pipeline")


def _processor(case: Case) -> str:
    return case.backend.split("/")[1]


# Another tree, and so an environment of its own, but the same program.
NOTHING = Head(name=pairs.SAME, module="phases")


def slower_by(share: float) -> Head:
    """`read`, `process` and `pipeline` take this share longer in every backend."""
    return Head(
        name=f"slower by {share:.1%}",
        module="phases",
        plant=plants.slower,
        settings={"share": share},
        expects=lambda case: case.phase != "open",
    )


_KINDS = (
    Head(
        name="an extra copy of the stack",
        module="phases",
        plant=plants.extra_copy,
        expects=lambda case: case.phase == "read",
    ),
    Head(
        name="one chunk an image",
        module="phases",
        plant=plants.one_chunk_an_image,
        # With fewer images there was one in a chunk before.
        expects=lambda case: (
            _computes(case)
            and _processor(case) == "dask-blocks"
            and case.n_images > 4 * available_cpus()
        ),
        # A task costs the same whatever is in it: with small images that is a good part of the time.
        options=("--shape", "64x80"),
    ),
    Head(
        name="a lost drop_axis",
        module="stacks",
        plant=plants.lost_drop_axis,
        # dask-image's filters refuse the axes, so that it can't even be started, for no phase: a start
        # runs the pipeline once.
        expects=lambda case: _processor(case) in ("dask-image", "dask-image-area"),
    ),
    Head(
        name="a synchronous scheduler",
        module="schedulers",
        plant=plants.synchronous_scheduler,
        # One image is one task: there is nothing that two threads could share. And `open` computes
        # nothing.
        expects=lambda case: (
            case.backend.endswith("/threads") and case.phase != "open" and case.n_images > 1
        ),
    ),
    Head(
        name="a label step in Python",
        module="skimage",
        plant=plants.label_in_python,
        expects=lambda case: _computes(case) and _processor(case) in ("skimage", "dask-blocks"),
    ),
)
KINDS = {head.name: head for head in _KINDS}


def plant(head: Head, folder: Path) -> None:
    """Change the files of a checkout, to be committed.

    A plant is a module of the head's package, called at the end of the module that it changes: so it
    depends on the public names of that module alone, and not on its text.
    """
    package = folder / "src/segbench"
    added = "\n# Planted: this line.\n"
    if head.plant:
        shutil.copy(plants.__file__, package / "planted.py")
        call_of_it = f"planted.{head.plant.__name__}(sys.modules[__name__], **{head.settings})"
        added = f"\n\nimport sys\n\nfrom segbench import planted\n\n{call_of_it}\n"
    with (package / f"backends/{head.module}.py").open("a", encoding="utf-8") as file:
        file.write(added)


def make_clone(place: Workplace, head: Head) -> Path:
    """Clone this repository anew, with the commit of a head; ToolError if that can't be imported."""
    clone = place.folder / head.name.replace(" ", "-")
    shutil.rmtree(clone, ignore_errors=True)
    clone_with_commit(place, clone, head.name, functools.partial(plant, head))
    command = [sys.executable, "-B", "-c", f"import segbench.backends.{head.module}"]
    call(command, cwd=clone, variables={**place.variables, "PYTHONPATH": str(clone / "src")})
    return clone


# One gate.


@contextmanager
def busy_core() -> Iterator[int]:
    """Keep one core busy while the block lasts, by a process that ends with this one in any case.

    Yields its id; ToolError if it ended before the block did.
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


def try_gate(
    place: Workplace, head: Head, *, clone: Path, run: int, busy: bool = False
) -> tuple[Trial, list[pairs.Round]]:
    """Run one gate in a clone: what it said, and its rounds.

    Raises
    ------
    ToolError
        If it could not measure, or its status contradicts its cases.
    """
    folder = Path(tempfile.mkdtemp(prefix="gate-", dir=place.folder))
    kept = folder / "gate.json"
    command = [*MODULE, "segbench", "gate", "--base", "HEAD~1", "--seed", str(run)]
    options = (*head.options, *place.options)
    command += ["--json", str(kept), "--out", str(folder / "gate"), *options]
    with busy_core() if busy else nullcontext():
        started = time.perf_counter()
        done = call(command, cwd=clone, variables=place.variables, allowed=(0, 1))
        seconds = time.perf_counter() - started
    # An interpreter that fails ends with status 1, too.
    if not kept.exists():
        raise ended(command, done)
    outcome = json.loads(kept.read_text(encoding="utf-8"))
    cases = msgspec.convert(outcome["comparisons"], tuple[Case, ...])
    if bool(done.returncode) != bool(named(cases)):
        raise ToolError(
            f"exit status {done.returncode}, and {len(named(cases))} cases for which a gate fails "
            "(--strict has no place here)"
        )
    name = f"{head.name}, beside a busy core" if busy else head.name
    samples = records.read(folder / "gate" / records.GATE_NAME).samples
    trial = Trial(
        head=name,
        run=run,
        options=options,
        status=done.returncode,
        seconds=seconds,
        measured=outcome["seconds"],
        comparisons=cases,
        expected=tuple(each.case for each in cases if head.expects(each)),
        notes=tuple(outcome["notes"]),
    )
    return trial, pairs.rounds_of(samples, run=run, head=name)


# Tables.

NOTE = """\
"At most" and "at least" are one-sided 95% bounds (Clopper-Pearson), as if all were independent; the
cases of one run are not quite. Ratios are those of the head to the base. Ratios, rounds and times
are medians, with the lowest and the highest; the time of a run is also that of its environments."""

_OPTIONS = "Options of the gate"


def named(cases: Sequence[Case]) -> list[Case]:
    """Those for which the gate fails."""
    return [each for each in cases if each.verdict in FAILING]


def cases_of(trials: Sequence[Trial], *, expected: bool | None = None) -> list[Case]:
    """The cases of some gates: those that were expected to be named, the others, or all (None)."""
    return [
        each
        for trial in trials
        for each in trial.comparisons
        if expected in (None, each.case in trial.expected)
    ]


def found(trial: Trial) -> bool:
    """Whether the gate failed, and for an expected case."""
    return trial.status == 1 and bool(named(cases_of([trial], expected=True)))


def runs_table(trials: Sequence[Trial]) -> str:
    """One row a head and options: how many gates fail, and what they call the cases."""
    columns: dict[str, Says] = {
        "Runs that fail": lambda own: share_at_most(sum(each.status for each in own), len(own)),
        "Cases": lambda own: str(len(cases_of(own))),
        **_verdicts(trials),
        "Left undecided": lambda own: _share_of(cases_of(own), "undecided"),
    }
    return table(("The head has", _OPTIONS), trials, _asked, columns | _TIMES)


def found_table(trials: Sequence[Trial]) -> str:
    """One row a head and options: how often a slow-down was found, in how many of its cases."""
    columns: dict[str, Says] = {
        "Runs that find it": lambda own: share_at_least(sum(map(found, own)), len(own)),
        "Cases named": lambda own: _least_named(cases_of(own, expected=True)),
        "Other cases named": lambda own: _named_of(cases_of(own, expected=False)),
    }
    return table(("The head is", _OPTIONS), trials, _asked, columns | _TIMES)


def phases_table(trials: Sequence[Trial]) -> str:
    """One row a head, options and phase: what gates call its cases, by which ratios."""
    columns: dict[str, Says] = {
        "Named": lambda own: _least_named(cases_of(own)),
        **_verdicts(trials),
        "Left undecided": lambda own: _share_of(cases_of(own), "undecided"),
        "Ratio of CPU time": lambda own: _ratios(cases_of(own)),
        "Ratio of wall time": lambda own: _ratios(cases_of(own), of="wall"),
        "Rounds": lambda own: _rounds(cases_of(own)),
    }
    return table(
        ("The head", _OPTIONS, "Phase"),
        _by_case(trials),
        lambda trial: (*_asked(trial), f"`{trial.comparisons[0].phase}`"),
        columns,
    )


def kinds_table(trials: Sequence[Trial]) -> str:
    """One row a head and options: whether what was planted was found, in the right cases."""
    columns: dict[str, Says] = {
        "Found": lambda own: "yes" if all(map(found, own)) else "no",
        "Cases named that run through it": lambda own: _named_of(cases_of(own, expected=True)),
        "Their ratio": lambda own: _ratios(cases_of(own, expected=True)),
        "Other cases named": lambda own: _named_of(cases_of(own, expected=False)),
    }
    return table(("Planted", _OPTIONS), trials, _asked, columns | _TIMES)


def cases_table(trials: Sequence[Trial]) -> str:
    """One row a head, options and case: what it was called, how often."""

    def causes(own: list[Trial]) -> str:
        return "; ".join(dict.fromkeys(each.cause for each in cases_of(own) if each.cause))

    def grown(own: list[Trial]) -> str:
        return ", ".join(dict.fromkeys(what for each in cases_of(own) for what in each.grown))

    columns: dict[str, Says] = {
        "Expected": lambda own: "yes" if cases_of(own[:1], expected=True) else "",
        "Ratio of CPU time": lambda own: _ratios(cases_of(own)),
        **_verdicts(trials, zero=""),
        "Also grown": grown,
        "Cause": causes,
    }
    return table(
        ("The head has", _OPTIONS, "Case"),
        _by_case(trials),
        lambda trial: (*_asked(trial), trial.comparisons[0].case),
        columns,
    )


def _by_case(trials: Sequence[Trial]) -> list[Trial]:
    """Each case of each gate as if it were a gate, those of a head and options together, by phase."""
    order = list(dict.fromkeys(map(_asked, trials)))

    # The gate goes by backend.
    def place(trial: Trial) -> tuple[int, int, int]:
        (case,) = trial.comparisons
        return order.index(_asked(trial)), list(PHASES).index(case.phase), case.n_images

    each_case = (
        replace(trial, comparisons=(case,)) for trial in trials for case in trial.comparisons
    )
    return sorted(each_case, key=place)


def tables(record: Record) -> list[str]:
    """All that there is to show, with the note that belongs to it."""
    trials = record.trials
    same = [each for each in trials if each.head.startswith(NOTHING.name)]
    planted = [each for each in trials if each.head in KINDS]
    slow = [each for each in trials if each not in same and each not in planted]
    return [
        *([runs_table(same), phases_table(same)] if same else []),
        *([found_table(slow), phases_table(slow)] if slow else []),
        *([NOTE] if same or slow else []),
        *([kinds_table(planted)] if planted else []),
        *([cases_table(trials)] if trials else []),
    ]


def _asked(trial: Trial) -> tuple[str, str]:
    return trial.head, shlex.join(trial.options)


def _verdicts(trials: Sequence[Trial], zero: str = "0") -> dict[str, Says]:
    """The verdicts that occur, and those that matter most in any case: how often each was said."""

    def count(word: str) -> Says:
        return lambda own: str(_count(cases_of(own), word) or zero)

    usual = {"regression", "suspected", "undecided", "same"}
    seen = {each.verdict for each in cases_of(trials)} | usual
    return {word.capitalize(): count(word) for word in VERDICTS if word in seen}


def _count(cases: Sequence[Case], verdict: str) -> int:
    return sum(each.verdict == verdict for each in cases)


def _share_of(cases: Sequence[Case], verdict: str) -> str:
    return share(_count(cases, verdict), len(cases))


def _named_of(cases: Sequence[Case]) -> str:
    return f"{len(named(cases))} of {len(cases)}"


def _least_named(cases: Sequence[Case]) -> str:
    return share_at_least(len(named(cases)), len(cases))


def _ratios(cases: Sequence[Case], *, of: str = "cpu") -> str:
    """Those of CPU time, or of something else."""
    ratios = [estimate.ratio for each in cases if (estimate := getattr(each, of))]
    return _spread(ratios, digits=3) if ratios else "–"


def _rounds(cases: Sequence[Case]) -> str:
    rounds = [each.cpu.rounds for each in cases if each.cpu]
    return _spread(rounds, digits=0) if rounds else "–"


def _spread(values: Sequence[float], *, digits: int) -> str:
    """Median, with the lowest and the highest where there are several."""
    middle, *ends = (
        f"{value:.{digits}f}" for value in (statistics.median(values), min(values), max(values))
    )
    return f"{middle} ({' to '.join(ends)})" if len(values) > 1 else middle


_TIMES: dict[str, Says] = {
    "A run takes": lambda own: _spread([each.seconds for each in own], digits=0) + " s",
    "and measures for": lambda own: _spread([each.measured for each in own], digits=0) + " s",
}


# The commands.


def trials_of(
    place: Workplace,
    record: Record,
    heads: Sequence[Head],
    *,
    runs: Sequence[int] = (1,),
    busy: bool = False,
) -> Steps:
    """Run so many gates of each head; their numbers are their seeds."""
    commit = call([*GIT, "rev-parse", "HEAD"], cwd=ROOT, variables=place.variables)
    record.commit = commit.stdout.strip()
    # All of them first: a plant that doesn't fit is known before hours are spent.
    clones = [make_clone(place, head) for head in heads]

    def step(head: Head, clone: Path, run: int) -> str:
        trial, rounds = try_gate(place, head, clone=clone, run=run, busy=busy)
        if place.out:
            pairs.write(pairs.beside(place.out), rounds, anew=not record.trials)
        record.trials.append(trial)
        return (
            f"exit status {trial.status}, {_named_of(trial.comparisons)} cases named, "
            f"{_count(trial.comparisons, 'undecided')} undecided, {trial.seconds:.0f} s"
        )

    for head, clone in zip(heads, clones, strict=True):
        for run in runs:
            label = f"{head.name}: run {run} (to {runs[-1]})"
            yield label, functools.partial(step, head, clone, run)


@measurement("gate", tables=tables, runs=20)
@click.option("--busy", is_flag=True, help="Keep one core busy beside every gate.")
def identical(place: Workplace, record: Record, *, runs: range, busy: bool) -> Steps:
    """Compare the code with itself: how often does a gate fail?"""
    return trials_of(place, record, [NOTHING], runs=runs, busy=busy)


@measurement("gate", tables=tables, runs=5)
@click.option(
    "--share",
    "by",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.1,
    show_default=True,
    help="By which `read`, `process` and `pipeline` take longer at the head: 0.1 is 10%.",
)
def slower(place: Workplace, record: Record, *, runs: range, by: float) -> Steps:
    """Compare the code with itself made slower: how often is that found?"""
    return trials_of(place, record, [slower_by(by)], runs=runs)


@measurement("gate", tables=tables)
@choice("--kinds", tuple(KINDS), "Of what is planted; one gate each.")
def planted(place: Workplace, record: Record, *, kinds: list[str]) -> Steps:
    """Plant mistakes that people make: is each found, in the cases that run through it?"""
    return trials_of(place, record, [KINDS[kind] for kind in kinds])
