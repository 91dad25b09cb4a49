"""The command line: reads options, calls the modules, prints."""

# Modules that a command alone needs are imported in it: `segbench run` starts its workers at once,
# and `segbench --help` answers at once.
# ruff: noqa: PLC0415

from __future__ import annotations

import shlex
import signal
import sys
import traceback
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as Grid

from segbench import __version__
from segbench.backends.registry import BASELINE
from segbench.errors import INTERRUPTED, InputError
from segbench.gate.plan import Plan
from segbench.images import datasets
from segbench.measure import cases
from segbench.measure.settings import (
    CACHES,
    Settings,
    available_cpus,
    available_gib,
)
from segbench.measure.stopping import Limits
from segbench.pipeline import FOREGROUNDS, METHODS, PipelineParams
from segbench.results import records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from segbench.backends.registry import BackendSpec
    from segbench.gate.environments import Environment
    from segbench.images.datasets import Dataset, Origin
    from segbench.report.cells import Table
    from segbench.results.outcome import Outcome
    from segbench.results.records import RunFile

LONGEST_LIMIT = 86400.0  # seconds: a day
LARGEST_LIMIT = 1e6  # GiB: more than any machine has


class _Group(click.Group):
    """Ends on bad usage with one line and status 2, whichever command it comes from."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the command line and exit."""
        options["standalone_mode"] = False
        try:
            status = super().main(*args, **options)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(2)
        except (InputError, click.ClickException) as error:
            text = error.format_message() if isinstance(error, click.ClickException) else str(error)
            click.echo(f"segbench: {' '.join(text.split())}", err=True)
            sys.exit(2)
        except OSError as error:
            # A file or folder of the user's: bad input of another module is an InputError.
            where = f"{error.filename}: " if error.filename else ""
            click.echo(f"segbench: {where}{error.strerror or error}", err=True)
            sys.exit(2)
        except click.Abort as error:
            raise KeyboardInterrupt from error
        except Exception:  # noqa: BLE001  # a mistake of segbench's own is not what status 1 tells of
            traceback.print_exc()
            sys.exit(2)
        sys.exit(status if isinstance(status, int) else 0)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Should I use Dask for my cell images, and how? Measured, on your machine and your images."""


def together(*options: Callable[..., Any]) -> Callable[..., Any]:
    """Several options that go together, as one decorator; shown in this order."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


_DEFAULT = PipelineParams()
_pipeline_options = together(
    click.option(
        "--block-size",
        type=int,
        default=_DEFAULT.block_size,
        show_default=True,
        help="Width in pixels of the local threshold's neighbourhood; odd.",
    ),
    click.option(
        "--method",
        type=click.Choice(METHODS),
        default=_DEFAULT.method,
        show_default=True,
        help="Of the local threshold.",
    ),
    click.option(
        "--offset",
        type=float,
        default=_DEFAULT.offset,
        show_default=True,
        help="Taken off the local threshold, in units of full scale.",
    ),
    click.option(
        "--foreground",
        type=click.Choice(FOREGROUNDS),
        default=_DEFAULT.foreground,
        show_default=True,
        help="Whether cells are darker or brighter than what surrounds them.",
    ),
    click.option(
        "--min-area",
        type=int,
        default=_DEFAULT.min_area,
        show_default=True,
        help="Leave out objects of fewer pixels.",
    ),
)

_images_options = together(
    click.option(
        "--images", metavar="DIR_OR_GLOB", help="Your images: a folder, or a pattern in quotes."
    ),
    click.option(
        "--dataset",
        type=click.Choice(datasets.MADE),
        help="Images to make where you give none.  [default: smear]",
    ),
    click.option("--shape", metavar="HxW", help="Of the images to make.  [default: 192x256]"),
)

_phases_option = click.option(
    "--phases", metavar="PHASE,...", help=f"Of {','.join(cases.PHASES)}.  [default: all]"
)

_seed_option = click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Of the images made and of the order of measuring.",
)

_workers_option = click.option(
    "--workers", type=click.IntRange(1), help="Threads or processes.  [default: one a CPU]"
)

_limits_options = together(
    click.option(
        "--time-limit",
        type=float,
        default=Settings.time_limit,
        show_default=True,
        help="Seconds that one call may take.",
    ),
    click.option(
        "--memory-limit",
        type=float,
        metavar="GIB",
        help="GiB that a backend may hold.  [default: 80% of what is free, for a gate between those "
        "that work at once]",
    ),
    _workers_option,
    click.option(
        "--native-threads",
        is_flag=True,
        help="Leave the thread pools of BLAS, OpenMP and OpenCV as they are.",
    ),
)


def _origin(images: str | None, dataset: str | None, shape: str | None, seed: int) -> Origin:
    if images is not None and (dataset or shape):
        raise InputError("--dataset and --shape are for images to make, --images for yours")
    return datasets.Origin(
        images=images,
        made=dataset or datasets.MADE[0],
        shape=datasets.parse_shape(shape) if shape else datasets.DEFAULT_SHAPE,
        seed=seed,
    )


def _memory_limit(given: float | None, *, at_once: int = 1) -> float:
    if given is None:
        return available_gib() / at_once
    return _within("memory limit", given, LARGEST_LIMIT)


@main.command()
@_images_options
@click.option("--sizes", metavar="N,...", help="Numbers of images.  [default: 1,20,50,200,500]")
@_phases_option
@click.option(
    "--backends", metavar="SPEC,...", help="See `segbench backends`.  [default: a selection]"
)
@click.option(
    "--quick",
    is_flag=True,
    help="The sizes 1,20,50, no backend with processes, and 1 second a case, unless the options "
    "of these say otherwise.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="For run.jsonl and report/.  [default: results/<time>]",
)
@click.option(
    "--precision",
    type=float,
    default=Limits.precision,
    show_default=True,
    help="A case (phase and size) ends when every ratio is known to plus and minus this share.",
)
@click.option(
    "--blocks",
    type=click.IntRange(1),
    default=Limits.blocks,
    show_default=True,
    help="Or when every backend was timed so often.",
)
@click.option(
    "--case-seconds",
    type=float,
    metavar="SECONDS",
    help="Or after so many seconds of timed calls, but not before 5 blocks.  [default: "
    f"{Limits.seconds:g}]",
)
@_limits_options
@click.option(
    "--cache",
    type=click.Choice(CACHES),
    default=Settings.cache,
    show_default=True,
    help="Whether files are in memory when they are read, or have to come from the disk.",
)
@_seed_option
@click.option(
    "--resume",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Go on with a run that was interrupted, as it was asked for; alone.",
)
@_pipeline_options
@click.pass_context
def run(
    context: click.Context,
    /,
    *,
    images: str | None,
    dataset: str | None,
    shape: str | None,
    sizes: str | None,
    phases: str | None,
    backends: str | None,
    quick: bool,
    out: Path | None,
    precision: float,
    blocks: int,
    case_seconds: float | None,
    time_limit: float,
    memory_limit: float | None,
    workers: int | None,
    native_threads: bool,
    cache: str,
    seed: int,
    resume: Path | None,
    **pipeline: Any,
) -> int:
    """Measure backends side by side and write a report.

    Ends with status 1 if a backend found other cells than the reference, or nothing could be timed.
    """
    if resume is not None:
        return _resume(context, resume)
    default_sizes = cases.QUICK_SIZES if quick else cases.SIZES
    default_backends = cases.QUICK_BACKENDS if quick else cases.BACKENDS
    default_seconds = cases.QUICK_CASE_SECONDS if quick else Limits.seconds
    asked = Settings(
        sizes=cases.parse_sizes(sizes) if sizes is not None else default_sizes,
        phases=cases.parse_phases(phases) if phases is not None else tuple(cases.PHASES),
        backends=_with_baseline(backends) if backends is not None else default_backends,
        params=PipelineParams(**pipeline),
        limits=Limits(
            precision=_within("precision", precision, 1),
            blocks=blocks,
            seconds=_within("case seconds", case_seconds, LONGEST_LIMIT)
            if case_seconds is not None
            else default_seconds,
        ),
        time_limit=_within("time limit", time_limit, LONGEST_LIMIT),
        memory_limit=_memory_limit(memory_limit),
        workers=workers or available_cpus(),
        native_threads=native_threads,
        cache=cache,
        seed=seed,
    )
    origin = _origin(images, dataset, shape, seed)
    folder = out or _new_folder()
    records.refuse_existing(folder)
    return _measure(lambda: (datasets.find(origin, count=asked.sizes[-1]), asked, None), folder)


def _with_baseline(backends: str) -> tuple[BackendSpec, ...]:
    """Every ratio needs it."""
    return tuple(dict.fromkeys([BASELINE, *cases.parse_backends(backends)]))


def _new_folder() -> Path:
    return Path("results") / datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S-%f")


def _within(name: str, value: float, most: float) -> float:
    """A number above 0; nan, too, is refused."""
    if not 0 < value <= most:
        raise InputError(f"{name} {value:g}: give a number above 0, up to {most:g}")
    return value


def _resume(context: click.Context, folder: Path) -> int:
    from segbench.measure import resume

    for name in context.params:
        given = context.get_parameter_source(name) is not ParameterSource.DEFAULT
        if given and name != "resume":
            option = f"--{name.replace('_', '-')}"
            raise InputError(f"{option}: a run goes on as it was asked for; give --resume alone")
    return _measure(lambda: resume.load(folder), folder)


def _measure(load: Callable[[], tuple[Dataset, Settings, RunFile | None]], folder: Path) -> int:
    from segbench.measure import engine
    from segbench.measure import machine as environment

    console = Console(stderr=True)
    interrupted = False
    # Before images are made: a reader would take that load for somebody else's.
    machine = environment.machine()
    # Told to end (a time-out, CI), a run ends as it does on Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _progress(console) as watcher:
        watcher.step("preparing the images", steps=0)
        dataset, settings, earlier = load()
        try:
            engine.run(
                dataset,
                settings,
                out=folder,
                watcher=watcher,
                command=shlex.join(["segbench", *sys.argv[1:]]),
                machine=machine,
                earlier=earlier,
            )
        except KeyboardInterrupt:
            interrupted = True
    return _finish(folder, console, interrupted=interrupted)


def _finish(folder: Path, console: Console, *, interrupted: bool) -> int:
    from segbench.report import page
    from segbench.results.sources import read_run_folder

    if interrupted and not (folder / records.FILE_NAME).exists():
        raise KeyboardInterrupt
    source = read_run_folder(folder)
    (section,) = page.make_sections([source])
    index = page.write([section], folder / "report")
    for table in section.tables_for_terminal():
        _print_table(table)
    for sentence in (*section.answer.sentences, *section.warnings):
        click.echo(sentence)
    if interrupted:
        console.print(
            "interrupted: the report shows what was measured until then; go on with "
            f"`segbench run --resume {shlex.quote(str(folder))}`",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
    click.echo(f"Samples: {folder / records.FILE_NAME}")
    click.echo(f"Report:  {index}")
    if interrupted:
        return INTERRUPTED
    statuses = set(source.samples["status"])
    return 1 if "wrong-result" in statuses or "ok" not in statuses else 0


@main.command()
@click.argument(
    "sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="SOURCE..."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="reports",
    show_default=True,
    metavar="DIR",
)
def report(*, sources: tuple[Path, ...], out: Path) -> None:
    """Write a report from run folders, ASV results and pytest-benchmark JSON files."""
    from segbench.report import page
    from segbench.results.sources import read_sources

    found = [source for path in sources for source in read_sources(path)]
    click.echo(f"Report: {page.build(found, out)}")


@main.command()
@click.option("--base", metavar="REF", help="A commit of segbench: is the working tree slower?")
@click.option(
    "--base-with",
    multiple=True,
    metavar="REQUIREMENT",
    help="Other versions of libraries, as `dask==2026.3.0`: are those installed slower? Repeatable.",
)
@click.option(
    "--calibrate",
    is_flag=True,
    help="Find out what a gate sees on this machine: this code against itself, and slowed.",
)
@_images_options
@click.option("--sizes", metavar="N,...", help="Numbers of images.  [default: 1,20]")
@_phases_option
@click.option(
    "--backends", metavar="SPEC,...", help="See `segbench backends`.  [default: those of --quick]"
)
@click.option(
    "--threshold",
    type=float,
    default=Plan.threshold,
    show_default=True,
    help="A case that takes longer by more than this share is a regression.",
)
@click.option(
    "--rounds",
    type=click.IntRange(5),
    default=Plan.rounds,
    show_default=True,
    help="How often both are started anew.",
)
@click.option("--strict", is_flag=True, help="Fail also where a case stays undecided.")
@click.option(
    "--markdown",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="For a comment on a pull request.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="For other programs.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="For gate.jsonl and report/.  [default: results/<time>]",
)
@_limits_options
@_seed_option
@_pipeline_options
def gate(
    *,
    base: str | None,
    base_with: tuple[str, ...],
    calibrate: bool,
    images: str | None,
    dataset: str | None,
    shape: str | None,
    sizes: str | None,
    phases: str | None,
    backends: str | None,
    threshold: float,
    rounds: int,
    strict: bool,
    markdown: Path | None,
    json_file: Path | None,
    out: Path | None,
    time_limit: float,
    memory_limit: float | None,
    workers: int | None,
    native_threads: bool,
    seed: int,
    **pipeline: Any,
) -> int:
    """Compare two versions of the code side by side: has anything become slower?

    Exit status 0: no regression; 1: a regression, other cells than the base finds, or a failure
    where the base has none; 2: could not measure; 130: interrupted.
    """
    from segbench.gate import calibrate as calibration
    from segbench.results import outcome as outcomes

    if (base is not None) + bool(base_with) + calibrate != 1:
        raise InputError("give one of --base REF, --base-with REQUIREMENT and --calibrate")
    if calibrate and (strict or markdown or json_file or out):
        raise InputError(
            "--calibrate prints what it finds, and keeps it for the gates to come: leave out "
            "--strict, --markdown, --json and --out"
        )
    chosen = {"backends": cases.parse_backends(backends)} if backends is not None else {}
    plan = Plan(
        **chosen,
        phases=cases.parse_phases(phases) if phases is not None else tuple(cases.PHASES),
        sizes=cases.parse_sizes(sizes) if sizes is not None else Plan.sizes,
        threshold=_within("threshold", threshold, 1),
        rounds=rounds,
        params=PipelineParams(**pipeline),
        time_limit=_within("time limit", time_limit, LONGEST_LIMIT),
        # Base and head, if it does not calibrate.
        memory_limit=_memory_limit(memory_limit, at_once=len(calibration.ARMS) if calibrate else 2),
        workers=workers or available_cpus(),
        native_threads=native_threads,
        seed=seed,
    )
    origin = _origin(images, dataset, shape, seed)
    # Told to end (a time-out, CI), a gate ends as it does on Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if calibrate:
        return _calibrate(plan, origin)
    folder = out or _new_folder()
    outcomes.refuse_existing(folder)
    outcome = _compare(
        plan,
        origin,
        base=base,
        base_with=base_with,
        ask_for_backends=backends is None,
        out=folder,
    )
    return _tell(outcome, folder, strict=strict, markdown=markdown, json_file=json_file)


def _calibrate(plan: Plan, origin: Origin) -> int:
    from segbench.gate import calibrate as calibration
    from segbench.gate import rounds
    from segbench.measure import machine as environment
    from segbench.report import sight

    machine = environment.machine()
    with _progress(Console(stderr=True)) as watcher:
        watcher.step("preparing the images", steps=0)
        dataset = datasets.find(origin, count=plan.sizes[-1])
        plan = rounds.fitted(plan, dataset, watcher)
        found = calibration.calibrate(dataset, plan=plan, watcher=watcher)
    calibration.save(found.sight, calibration.key_of(plan, dataset, machine))
    _print_table(sight.table(found))
    for sentence in sight.sentences(found.sight):
        click.echo(sentence)
    return 0


def _compare(
    plan: Plan,
    origin: Origin,
    *,
    base: str | None,
    base_with: tuple[str, ...],
    ask_for_backends: bool,
    out: Path,
) -> Outcome:
    import dataclasses

    from segbench.gate import calibrate as calibration
    from segbench.gate import compare, environments, rounds
    from segbench.measure import machine as environment

    machine = environment.machine()
    with _progress(Console(stderr=True)) as watcher:
        watcher.step("preparing the images", steps=0)
        dataset = datasets.find(origin, count=plan.sizes[-1])
        plan = rounds.fitted(plan, dataset, watcher)
        sides: tuple[Environment, Environment]
        packages = compare.packages_of(plan.backends)
        if base is not None:
            sides = environments.from_commit(base, packages=packages, watch=watcher.note)
        else:
            sides = environments.from_requirements(base_with, packages=packages, watch=watcher.note)
        if ask_for_backends:
            plan = dataclasses.replace(plan, backends=compare.backends_of(sides))
        return compare.compare(
            *sides,
            dataset,
            plan=plan,
            out=out,
            watcher=watcher,
            command=shlex.join(["segbench", *sys.argv[1:]]),
            machine=machine,
            sight=calibration.load(calibration.key_of(plan, dataset, machine)),
        )


def _tell(
    outcome: Outcome, folder: Path, *, strict: bool, markdown: Path | None, json_file: Path | None
) -> int:
    from segbench import files
    from segbench.report import gate_page as told
    from segbench.results import outcome as outcomes

    # Told first: a file that can't be written must not hide what was found.
    if table := told.terminal_table(outcome):
        _print_table(table)
    for sentence in told.summary(outcome):
        click.echo(sentence)
    if json_file:
        outcomes.write_outcome(outcome, json_file)
    if markdown:
        files.write_text(markdown, told.markdown(outcome))
    index = told.write(outcome, folder / "report")
    click.echo(f"Samples: {folder / outcomes.FILE_NAME}")
    click.echo(f"Report:  {index}")
    if outcome.interrupted:
        return INTERRUPTED
    return outcomes.status(outcome, strict=strict)


@main.command()
@click.argument("images", metavar="DIR_OR_GLOB")
@click.option("--backend", metavar="SPEC", default=str(BASELINE), show_default=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default="cells.csv",
    show_default=True,
    help="Table: one row a cell.",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write a label image (TIFF) for each image.",
)
@_workers_option
@_pipeline_options
def segment(
    *,
    images: str,
    backend: str,
    out: Path,
    labels: Path | None,
    workers: int | None,
    **pipeline: Any,
) -> None:
    """Find the cells of your images and measure their areas."""
    import warnings

    from segbench import segment

    # pims hands scikit-image a deprecated option; its users can do nothing about that.
    warnings.simplefilter("ignore", FutureWarning)
    count = segment.segment_files(
        images,
        backend=backend,
        params=PipelineParams(**pipeline),
        workers=workers or available_cpus(),
        out=out,
        labels=labels,
    )
    click.echo(f"{count} objects: {out}")


@main.command()
def backends() -> None:
    """List readers, processors and schedulers, and what is missing for them."""
    from segbench.backends import registry

    grid = Grid("kind", "name", "from", "here", box=None)
    for part in registry.parts():
        grid.add_row(part.kind, part.name, part.source, part.missing or "yes")
    _print_grid(grid)
    click.echo("\nA backend is reader/processor/scheduler. Measured by default:")
    for backend in cases.BACKENDS:
        click.echo(f"  {backend}")


@main.command()
def info() -> None:
    """Print the machine and the versions that a run would record."""
    from segbench.measure import machine as environment

    grid = Grid("what", "value", box=None)
    for what, value in {**environment.machine(), **environment.versions()}.items():
        grid.add_row(what.replace("_", " "), str(value))
    grid.add_row("cache folder", str(datasets.cache_folder()))
    _print_grid(grid)


class _ProgressWatcher:
    """Shows a run as a progress bar."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def plan(self, steps: int) -> None:
        """So many steps are ahead in all."""
        self._progress.update(self._task, total=steps)

    def step(self, text: str, *, steps: int = 1) -> None:
        """Move the bar, and say what is next."""
        self._progress.update(self._task, advance=steps, description=text)

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _progress(console: Console) -> Iterator[_ProgressWatcher]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    shown = console.is_terminal  # a log is no place for a bar
    with Progress(*columns, console=console, transient=True, disable=not shown) as progress:
        yield _ProgressWatcher(progress)


def _print_table(table: Table) -> None:
    grid = Grid(title=table.title, title_justify="left", box=None)
    for column in table.columns:
        first = column == table.columns[0]
        grid.add_column(column, justify="left" if first else "right", overflow="fold")
    for row in table.texts:
        grid.add_row(*row)
    _print_grid(grid)
    click.echo()


def _print_grid(grid: Grid) -> None:
    # Names of files and plugins are not markup, and a pipe is no reason to cut lines at 80 columns.
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = 200
    console.print(grid)
