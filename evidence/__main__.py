"""The command line: ``python -m evidence COMMAND``."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import click

from evidence import (
    accuracy,
    cost,
    coverage,
    decided,
    drawn,
    false_alarms,
    gates,
    recommended,
    report_speed,
    same_numbers,
    scale,
    segment_speed,
    slow_downs,
    smears,
)
from evidence.shared import ToolError, kept_files, read_records

if TYPE_CHECKING:
    from pathlib import Path


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure segbench itself; prints tables in Markdown."""
    # Told to end, it ends as on Ctrl-C: the command that runs is taken along.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@main.command()
@kept_files
def show(*, kept: tuple[Path, ...]) -> None:
    """Print the tables of what was kept with --out, of all the files together."""
    try:
        record = read_records(kept)
    except ToolError as error:
        raise click.ClickException(str(error)) from error
    modules = (false_alarms, slow_downs, cost, gates, coverage)
    click.echo("\n\n".join(text for module in modules for text in module.tables(record)))


for _command in (
    accuracy.accuracy,
    *(false_alarms.false_alarms, slow_downs.slowed, decided.decided),
    *(cost.cost, coverage.coverage),
    *(gates.identical, gates.slower, gates.planted, drawn.drawn),
    *(report_speed.report_speed, segment_speed.segment_speed),
    *(
        smears.smears,
        same_numbers.same_numbers,
        scale.scale,
        scale.threads,
        scale.trimming,
        scale.idle,
    ),
    recommended.recommended,
):
    main.add_command(_command)

if __name__ == "__main__":
    main(prog_name="python -m evidence")
