"""What is shown in a terminal: progress, and tables."""

from __future__ import annotations

import signal
import time
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
    TimeRemainingColumn,
)
from rich.table import Column
from rich.table import Table as Grid
from rich.text import Text

from segbench.text import one_line, written_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from rich.progress import Task

    from segbench.report.answer import Answer
    from segbench.report.cells import Row, Table
    from segbench.report.page import Run


# Seconds by which the rest of a run is told.
PERIOD = 1e5

# Seconds between two lines where there is no terminal for a bar.
LOG_EVERY = 60.0


class ProgressBar:
    """A :class:`segbench.measure.engine.Watcher` that shows a run as a progress bar."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)
        self._log = _Log(progress)

    def plan(self, steps: int) -> None:
        """So many steps are ahead in all."""
        self._progress.update(self._task, total=steps)

    def step(self, text: str, *, steps: int = 1) -> None:
        """Move the bar, and say what is next."""
        text = one_line(text)
        self._progress.update(self._task, advance=steps, description=text)
        self._log.tell("steps", next_one=text)

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        console = self._progress.console
        console.print(one_line(text), markup=False, highlight=False, soft_wrap=True)


class _Log:
    """Tells of progress in a line a minute, where the standard error is no terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._told = time.monotonic()

    def tell(self, what: str, *, next_one: str = "") -> None:
        """Print how many of the things of a name are done, if the last line is a minute old."""
        now = time.monotonic()
        if self._progress.console.is_terminal or now - self._told < LOG_EVERY:
            return
        self._told = now
        (task,) = self._progress.tasks
        left = task.time_remaining
        line = f"{task.completed:g} of {task.total or 0:g} {what} done"
        line += f", about {max(1, round(left / 60))} min left" if left else ""
        line += f"; next: {next_one}" if next_one else ""
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress() -> Iterator[ProgressBar]:
    """A progress bar on the standard error; a line a minute where that is no terminal, but a log.

    Told to end (a time-out, CI), what it shows ends as it does on Ctrl-C.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(stderr=True)
    # What comes last is cut where a line is too short for all.
    columns = (
        MofNCompleteColumn(),
        BarColumn(bar_width=12),
        TimeRemainingColumn(),
        TextColumn("left"),
        TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis")),
    )
    # Steps differ in length: what was needed for all so far says most of those to come.
    bar = Progress(*columns, console=console, transient=True, speed_estimate_period=PERIOD)
    with bar if console.is_terminal else nullcontext():
        yield ProgressBar(bar)


@contextmanager
def counting(total: int, what: str) -> Iterator[Callable[[float], None]]:
    """A progress bar with rate and time left; a line a minute where there is no terminal.

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
    task, log = bar.add_task("", total=total), _Log(bar)

    def show(done: float) -> None:
        bar.update(task, completed=done)
        log.tell(what)

    with bar if console.is_terminal else nullcontext():
        yield show


class _Rate(ProgressColumn):
    """How many are done in a second."""

    def render(self, task: Task) -> Text:
        """Nothing, before the first is done."""
        return Text(f"{task.speed:.1f} a second," if task.speed else "")


def warn(text: str) -> None:
    """Print a line to the standard error that is not to be overlooked."""
    Console(stderr=True).print(one_line(text), style="yellow", markup=False, soft_wrap=True)


def tell(tables: Iterable[Table], sentences: Iterable[str]) -> None:
    """Print tables of a report, each with an empty line, and then sentences, each on its own."""
    for table in tables:
        _print(_grid(table, name=lambda row: row.cells[0].whole))
        click.echo()
    for sentence in sentences:
        say(sentence)


def _grid(table: Table, *, name: Callable[[Row], str]) -> Grid:
    """A table of a report; `name` gives what a row begins with."""
    grid = Grid(title=table.title, title_justify="left", box=None, pad_edge=False)
    for number, column in enumerate(table.columns):
        grid.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in table.rows:
        grid.add_row(*map(one_line, (name(row), *(cell.whole for cell in row.cells[1:]))))
    return grid


def say(text: str) -> None:
    """Print a sentence, in whatever the terminal can show, between words on several lines."""
    console = _console()
    console.print(one_line(text), soft_wrap=not console.is_terminal)


def show_line(text: str) -> None:
    """Print a line that is to be pasted: as one, however long, with the spaces that it begins with."""
    _console().print(written_out(text), soft_wrap=True)


def tell_runs(runs: Sequence[Run]) -> None:
    """Print the answer of each run, and what disturbed it."""
    for run in runs:
        if len(runs) > 1:
            say(f"{run.title}:")
        _tell_answer(run.answer)
        for sentence in run.warnings:
            say(sentence)


def _tell_answer(found: Answer) -> None:
    """Print what to use, when that changes, and the table that it is taken from."""
    say(found.use)
    if found.changes:
        say(" ".join(found.changes))
    click.echo()
    if found.table:
        _print(_grid(found.table, name=lambda row: row.cells[0].text))
        if found.not_shown:
            say(f"{found.not_shown} more in the report.")
        click.echo()
    for one in found.undecided:
        say(one.sentence)
        if one.command:
            show_line(f"  {one.command}")
    for sentence in (*found.left_out, found.measured):
        say(sentence)


def tell_files(*, samples: Path, report: Path) -> None:
    """Print where the samples and the report are."""
    show_line(f"Samples: {samples}")
    show_line(f"Report:  {report}")


def print_rows(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print rows of words under their headings."""
    grid = Grid(*columns, box=None)
    for row in rows:
        grid.add_row(*map(one_line, row))
    _print(grid)


class _Console(Console):
    """Leaves it to the command line what a closed pipe means."""

    def on_broken_pipe(self) -> None:
        """Rich ends the program with status 1 otherwise."""
        raise BrokenPipeError


def _console() -> Console:
    # Names of files and plugins are not markup, nor is `:100:` the sign of a hundred.
    return _Console(markup=False, highlight=False, emoji=False)


def _print(grid: Grid) -> None:
    console = _console()
    # A pipe is no reason to cut lines at 80 columns.
    if not console.is_terminal:
        console.width = 200
    console.print(grid)
