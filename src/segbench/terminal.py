"""What is shown in a terminal: progress, and tables."""

from __future__ import annotations

import signal
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table as Grid
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from rich.progress import Task

    from segbench.report.cells import Table


class ProgressBar:
    """A :class:`segbench.measure.engine.Watcher` that shows a run as a progress bar."""

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
def progress() -> Iterator[ProgressBar]:
    """A progress bar on the standard error, where that is a terminal: a log is no place for one.

    Told to end (a time-out, CI), what it shows ends as it does on Ctrl-C.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    bar = Progress(*columns, console=console, transient=True)
    with bar if console.is_terminal else nullcontext():
        yield ProgressBar(bar)


@contextmanager
def counting(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """A progress bar with rate and time left, where there is a terminal.

    Yields
    ------
    callable
        Called with how many are done.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(stderr=True)
    columns = (
        MofNCompleteColumn(),
        TextColumn(what),
        BarColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task("", total=total)
    with bar if console.is_terminal else nullcontext():
        yield lambda done: bar.update(task, completed=done)


class _Rate(ProgressColumn):
    """How many are done in a second."""

    def render(self, task: Task) -> Text:
        """Nothing, before the first is done."""
        return Text(f"{task.speed:.1f} a second," if task.speed else "")


def warn(text: str) -> None:
    """Print a line to the standard error that is not to be overlooked."""
    Console(stderr=True).print(text, style="yellow", markup=False, soft_wrap=True)


def tell(tables: Iterable[Table], sentences: Iterable[str]) -> None:
    """Print tables of a report, each with an empty line, and then sentences, each on its own."""
    for table in tables:
        grid = Grid(title=table.title, title_justify="left", box=None, pad_edge=False)
        for number, column in enumerate(table.columns):
            grid.add_column(column, justify="right" if number else "left", overflow="fold")
        for row in table.rows:
            grid.add_row(*(cell.whole for cell in row.cells))
        _print(grid)
        click.echo()
    for sentence in sentences:
        click.echo(sentence)


def tell_files(*, samples: Path, report: Path) -> None:
    """Print where the samples and the report are."""
    click.echo(f"Samples: {samples}")
    click.echo(f"Report:  {report}")


def print_rows(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print rows of words under their headings."""
    grid = Grid(*columns, box=None)
    for row in rows:
        grid.add_row(*row)
    _print(grid)


class _Console(Console):
    """Leaves it to the command line what a closed pipe means."""

    def on_broken_pipe(self) -> None:
        """Rich ends the program with status 1 otherwise."""
        raise BrokenPipeError


def _print(grid: Grid) -> None:
    # Names of files and plugins are not markup, and a pipe is no reason to cut lines at 80 columns.
    console = _Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = 200
    console.print(grid)
