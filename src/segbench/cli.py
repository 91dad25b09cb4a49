"""The command line: reads options, calls the modules, prints."""

# Modules that a command alone needs are imported in it: `segbench run` starts its workers at once,
# and `segbench --help` answers at once.
# ruff: noqa: PLC0415

from __future__ import annotations

import shlex
import signal
import sys
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as Grid

from segbench import __version__, datasets, runfile
from segbench.backends.registry import BASELINE
from segbench.errors import InputError
from segbench.measure import cases
from segbench.measure.settings import Settings, available_cpus
from segbench.pipeline import FOREGROUNDS, METHODS, PipelineParams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from segbench.datasets import Dataset
    from segbench.report.tables import Table

LONGEST_LIMIT = 86400.0  # seconds: a day
INTERRUPTED = 130  # what a shell reports of a program that Ctrl-C ended


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
        except (click.Abort, KeyboardInterrupt):
            click.echo("segbench: interrupted", err=True)
            sys.exit(INTERRUPTED)
        sys.exit(status if isinstance(status, int) else 0)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Should I use Dask for my cell images, and how? Measured, on your machine and your images."""


def _pipeline_options(command: Callable[..., Any]) -> Callable[..., Any]:
    default = PipelineParams()
    options = (
        click.option(
            "--block-size",
            type=int,
            default=default.block_size,
            show_default=True,
            help="Width in pixels of the local threshold's neighbourhood; odd.",
        ),
        click.option(
            "--method",
            type=click.Choice(METHODS),
            default=default.method,
            show_default=True,
            help="Of the local threshold.",
        ),
        click.option(
            "--offset",
            type=float,
            default=default.offset,
            show_default=True,
            help="Taken off the local threshold, in units of full scale.",
        ),
        click.option(
            "--foreground",
            type=click.Choice(FOREGROUNDS),
            default=default.foreground,
            show_default=True,
            help="Whether cells are darker or brighter than what surrounds them.",
        ),
        click.option(
            "--min-area",
            type=int,
            default=default.min_area,
            show_default=True,
            help="Leave out objects of fewer pixels.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@main.command()
@click.option(
    "--images", metavar="DIR_OR_GLOB", help="Your images: a folder, or a pattern in quotes."
)
@click.option(
    "--dataset",
    type=click.Choice(datasets.MADE),
    help="Images to make where you give none.  [default: smear]",
)
@click.option("--shape", metavar="HxW", help="Of the images to make.  [default: 192x256]")
@click.option("--sizes", metavar="N,...", help="Numbers of images.  [default: 1,20,50,200,500]")
@click.option(
    "--phases", metavar="PHASE,...", help="Of open,read,process,pipeline.  [default: all]"
)
@click.option(
    "--backends", metavar="SPEC,...", help="See `segbench backends`.  [default: a selection]"
)
@click.option(
    "--quick",
    is_flag=True,
    help="The sizes 1,20,50 and no backend with processes, unless --sizes or --backends say otherwise.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="For run.jsonl and report/.  [default: results/<time>]",
)
@click.option(
    "--blocks",
    type=click.IntRange(1),
    default=Settings().blocks,
    show_default=True,
    help="How often every backend is timed.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(0, min_open=True),
    default=Settings().time_limit,
    show_default=True,
    help="Seconds that one call may take.",
)
@click.option(
    "--workers", type=click.IntRange(1), help="Threads or processes.  [default: one a CPU]"
)
@click.option(
    "--native-threads",
    is_flag=True,
    help="Leave the thread pools of BLAS, OpenMP and OpenCV as they are.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Of the images made and of the order of measuring.",
)
@_pipeline_options
def run(
    *,
    images: str | None,
    dataset: str | None,
    shape: str | None,
    sizes: str | None,
    phases: str | None,
    backends: str | None,
    quick: bool,
    out: Path | None,
    blocks: int,
    time_limit: float,
    workers: int | None,
    native_threads: bool,
    seed: int,
    **pipeline: Any,
) -> int:
    """Measure backends side by side and write a report.

    Ends with status 1 if a backend found other cells than the reference, or nothing could be timed.
    """
    from segbench.measure import engine

    default_sizes = cases.QUICK_SIZES if quick else cases.SIZES
    default_backends = cases.QUICK_BACKENDS if quick else cases.BACKENDS
    asked = Settings(
        sizes=cases.parse_sizes(sizes) if sizes is not None else default_sizes,
        phases=cases.parse_phases(phases) if phases is not None else cases.PHASES,
        backends=cases.parse_backends(backends) if backends is not None else default_backends,
        params=PipelineParams(**pipeline),
        blocks=blocks,
        time_limit=time_limit,
        workers=workers or available_cpus(),
        native_threads=native_threads,
        seed=seed,
    )
    folder = out or Path("results") / datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S-%f")
    runfile.refuse_existing(folder)
    if not time_limit <= LONGEST_LIMIT:  # so that nan, too, is refused
        raise InputError(f"time limit {time_limit:g}: give seconds, up to {LONGEST_LIMIT:g}")
    console = Console(stderr=True)
    interrupted = False
    # Told to end (a time-out, CI), a run ends as it does on Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _progress(console) as watcher:
        watcher.step("preparing the images", steps=0)
        data = _dataset(images, dataset, shape, count=asked.sizes[-1], seed=seed)
        try:
            engine.run(
                data,
                asked,
                out=folder,
                watcher=watcher,
                command=shlex.join(["segbench", *sys.argv[1:]]),
            )
        except KeyboardInterrupt:
            interrupted = True
    return _finish(folder, console, interrupted=interrupted)


def _finish(folder: Path, console: Console, *, interrupted: bool) -> int:
    from segbench import results
    from segbench.report import page

    if interrupted and not (folder / runfile.FILE_NAME).exists():
        raise KeyboardInterrupt
    source = results.read_run_folder(folder)
    (section,) = page.make_sections([source])
    index = page.write([section], folder / "report")
    for table in section.tables_for_terminal():
        _print_table(table)
    for sentence in section.findings:
        click.echo(sentence)
    if interrupted:
        console.print("interrupted: the report shows what was measured until then", style="yellow")
    click.echo(f"Samples: {folder / runfile.FILE_NAME}")
    click.echo(f"Report:  {index}")
    if interrupted:
        return INTERRUPTED
    statuses = set(source.samples["status"])
    return 1 if "wrong-result" in statuses or "ok" not in statuses else 0


def _dataset(
    images: str | None, made: str | None, shape: str | None, *, count: int, seed: int
) -> Dataset:
    if images is not None:
        if made or shape:
            raise InputError("--dataset and --shape are for images to make, --images for yours")
        return datasets.from_images(images, limit=count)
    size = datasets.parse_shape(shape) if shape else datasets.DEFAULT_SHAPE
    make = datasets.tissue if made == "tissue" else datasets.smear
    return make(count, seed=seed, shape=size)


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
    from segbench import results
    from segbench.report import page

    found = [source for path in sources for source in results.read_sources(path)]
    click.echo(f"Report: {page.build(found, out)}")


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
@click.option(
    "--workers", type=click.IntRange(1), help="Threads or processes.  [default: one a CPU]"
)
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

    from segbench import tool

    # pims hands scikit-image a deprecated option; its users can do nothing about that.
    warnings.simplefilter("ignore", FutureWarning)
    count = tool.segment_files(
        images,
        backend=backend,
        params=PipelineParams(**pipeline),
        workers=workers or available_cpus(),
        out=out,
        labels=labels,
    )
    click.echo(f"{count} cells: {out}")


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
    from segbench.measure import environment

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
        grid.add_column(column, justify="right" if column != table.columns[0] else "left")
    for row in table.rows:
        grid.add_row(*row)
    _print_grid(grid)
    click.echo()


def _print_grid(grid: Grid) -> None:
    # Names of files and plugins are not markup, and a pipe is no reason to cut lines at 80 columns.
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = 200
    console.print(grid)
