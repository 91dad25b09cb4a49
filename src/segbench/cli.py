"""The command line: reads options, calls the modules, prints."""

# Modules that a command alone needs are imported in it: `segbench run` starts its workers at once,
# and `segbench --help` answers at once.
# ruff: noqa: PLC0415

from __future__ import annotations

import dataclasses
import shlex
import signal
import sys
import traceback
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import click

from segbench import __version__
from segbench.backends.registry import BASELINE
from segbench.errors import INTERRUPTED, InputError
from segbench.images.origin import DEFAULT_SHAPE, MADE, Origin, parse_shape
from segbench.measure.settings import (
    BACKENDS,
    GATE,
    QUICK,
    GateSettings,
    RunSettings,
    Settings,
    available_cpus,
    available_gib,
)
from segbench.pipeline import PipelineParams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from segbench.results.outcome import Outcome

S = TypeVar("S", bound=Settings)


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


# Options


class _Read(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click alone
    """A type whose text is read by a function."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, _parameter: object, _context: object) -> Any:
        """Read it; what makes no sense is an InputError."""
        return self._read(value)


def _together(*options: Callable[..., Any]) -> Callable[..., Any]:
    """Several options that go together, as one decorator; shown in this order."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def _options_of(kind: type[Any], defaults: Mapping[str, Any]) -> Iterator[Callable[..., Any]]:
    """An option for each field of settings; all are None where they are not given.

    `defaults` are those of a command that has others than the fields.
    """
    hints = get_type_hints(kind)
    for each in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[each.name]):
            yield from _options_of(hints[each.name], defaults)
            continue
        told, default = each.metadata, defaults.get(each.name, each.default)
        flag = hints[each.name] is bool
        value: Any = hints[each.name]
        if "choices" in told:
            value = click.Choice(told["choices"])
        elif "read" in told:
            value = _Read(told["metavar"], told["read"])
        elif "least" in told:
            value = click.IntRange(told["least"])
        shown = told.get("default") or (
            ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
        )
        yield click.option(
            f"--{each.name.replace('_', '-')}",
            type=None if flag else value,
            is_flag=flag,
            default=None,
            metavar=told.get("metavar"),
            help=told["help"] + ("" if flag else f"  [default: {shown}]"),
        )


def _settings(kind: type[S], defaults: Mapping[str, Any], options: Mapping[str, Any]) -> S:
    """Settings from the options that were given, and the defaults of a command."""
    given = {name: value for name, value in options.items() if value is not None}
    names = {field.name for field in dataclasses.fields(PipelineParams)}
    params = {name: given.pop(name) for name in names & given.keys()}
    return kind(**{**defaults, **given, "params": PipelineParams(**params)})


_run_options = _together(*_options_of(RunSettings, {}))
_gate_options = _together(*_options_of(GateSettings, GATE))
_pipeline_options = _together(*_options_of(PipelineParams, {}))

_images_options = _together(
    click.option(
        "--images", metavar="DIR_OR_GLOB", help="Your images: a folder, or a pattern in quotes."
    ),
    click.option(
        "--dataset",
        type=click.Choice(MADE),
        help=f"Images to make where you give none.  [default: {MADE[0]}]",
    ),
    click.option("--shape", metavar="HxW", help="Of the images to make.  [default: 192x256]"),
)


def _out_option(what: str) -> Callable[..., Any]:
    return click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help=f"For {what} and report/.  [default: results/<time>]",
    )


def _file_option(flag: str, name: str, what: str) -> Callable[..., Any]:
    path = click.Path(path_type=Path, dir_okay=False)
    return click.option(flag, name, type=path, metavar="FILE", help=what)


def _origin(images: str | None, dataset: str | None, shape: str | None, seed: int) -> Origin:
    if images is not None and (dataset or shape):
        raise InputError("--dataset and --shape are for images to make, --images for yours")
    size = parse_shape(shape) if shape else DEFAULT_SHAPE
    return Origin(images=images, made=dataset or MADE[0], shape=size, seed=seed)


def _new_folder() -> Path:
    return Path("results") / datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S-%f")


def _typed() -> str:
    return shlex.join(["segbench", *sys.argv[1:]])


# Commands


@main.command()
@_images_options
@click.option(
    "--quick",
    is_flag=True,
    help="The sizes 1,20,50, no backend with processes, and 1 second a case, unless the options "
    "of these say otherwise.",
)
@_out_option("run.jsonl")
@click.option(
    "--resume",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Go on with a run that was interrupted, as it was asked for; alone.",
)
@_run_options
def run(
    *,
    images: str | None,
    dataset: str | None,
    shape: str | None,
    quick: bool,
    out: Path | None,
    resume: Path | None,
    **options: Any,
) -> int:
    """Measure backends side by side and write a report.

    Ends with status 1 if a backend found other cells than the reference, or nothing could be timed.
    """
    from segbench import terminal
    from segbench.measure import engine
    from segbench.results import records

    if resume is not None:
        others = {"images": images, "dataset": dataset, "shape": shape, "quick": quick or None}
        for name, value in {**others, "out": out, **options}.items():
            if value is not None:
                option = f"--{name.replace('_', '-')}"
                raise InputError(
                    f"{option}: a run goes on as it was asked for; give --resume alone"
                )
        folder = resume
    else:
        settings = _settings(RunSettings, QUICK if quick else {}, options)
        origin = _origin(images, dataset, shape, settings.seed)
        folder = out or _new_folder()
        records.refuse_existing(folder / records.RUN_NAME)
    # Told to end (a time-out, CI), a run ends as it does on Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    interrupted = False
    with terminal.progress() as watcher:
        try:
            if resume is not None:
                engine.resume(folder, watcher=watcher)
            else:
                engine.start(origin, settings, out=folder, watcher=watcher, command=_typed())
        except KeyboardInterrupt:
            interrupted = True
    return _tell_run(folder, interrupted=interrupted)


def _tell_run(folder: Path, *, interrupted: bool) -> int:
    from segbench import terminal
    from segbench.report import page
    from segbench.results.records import RUN_NAME
    from segbench.results.sources import read_run_folder

    samples = folder / RUN_NAME
    if interrupted and not samples.exists():
        raise KeyboardInterrupt
    source = read_run_folder(folder)
    (section,) = page.make_sections([source])
    index = page.write([section], folder / "report")
    for table in section.tables_for_terminal():
        terminal.print_table(table)
    for sentence in (*section.answer.sentences, *section.warnings):
        click.echo(sentence)
    if interrupted:
        terminal.warn(
            "interrupted: the report shows what was measured until then; go on with "
            f"`segbench run --resume {shlex.quote(str(folder))}`"
        )
    click.echo(f"Samples: {samples}")
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
@click.option("--strict", is_flag=True, help="Fail also where a case stays undecided.")
@_file_option("--markdown", "markdown", "For a comment on a pull request.")
@_file_option("--json", "json_file", "For other programs.")
@_out_option("gate.jsonl")
@_gate_options
def gate(
    *,
    base: str | None,
    base_with: tuple[str, ...],
    calibrate: bool,
    images: str | None,
    dataset: str | None,
    shape: str | None,
    strict: bool,
    markdown: Path | None,
    json_file: Path | None,
    out: Path | None,
    **options: Any,
) -> int:
    """Compare two versions of the code side by side: has anything become slower?

    Exit status 0: no regression; 1: a regression, other cells than the base finds, or a failure
    where the base has none; 2: could not measure; 130: interrupted.
    """
    from segbench import terminal
    from segbench.gate import calibrate as calibration
    from segbench.gate import compare
    from segbench.results import records

    if (base is not None) + bool(base_with) + calibrate != 1:
        raise InputError("give one of --base REF, --base-with REQUIREMENT and --calibrate")
    if calibrate and (strict or markdown or json_file or out):
        raise InputError(
            "--calibrate prints what it finds, and keeps it for the gates to come: leave out "
            "--strict, --markdown, --json and --out"
        )
    at_once = len(calibration.SIDES) if calibrate else 2
    defaults = {**GATE, "memory_limit": available_gib() / at_once}
    settings = _settings(GateSettings, defaults, options)
    origin = _origin(images, dataset, shape, settings.seed)
    # Told to end (a time-out, CI), a gate ends as it does on Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if calibrate:
        from segbench.report import gate_page

        with terminal.progress() as watcher:
            found = calibration.run(origin, settings, watcher=watcher)
        terminal.print_table(gate_page.sight_table(found))
        for sentence in gate_page.sight_sentences(found.sight):
            click.echo(sentence)
        return 0
    folder = out or _new_folder()
    records.refuse_existing(folder / records.GATE_NAME)
    with terminal.progress() as watcher:
        outcome = compare.run(
            origin,
            settings,
            base=base,
            base_with=base_with,
            default_backends=options["backends"] is None,
            out=folder,
            watcher=watcher,
            command=_typed(),
        )
    return _tell_gate(outcome, folder, strict=strict, markdown=markdown, json_file=json_file)


def _tell_gate(
    outcome: Outcome, folder: Path, *, strict: bool, markdown: Path | None, json_file: Path | None
) -> int:
    from segbench import files, terminal
    from segbench.report import gate_page
    from segbench.results import outcome as outcomes
    from segbench.results.records import GATE_NAME

    # Told first: a file that can't be written must not hide what was found.
    if table := gate_page.terminal_table(outcome):
        terminal.print_table(table)
    for sentence in gate_page.summary(outcome):
        click.echo(sentence)
    if json_file:
        outcomes.write_outcome(outcome, json_file)
    if markdown:
        files.write_text(markdown, gate_page.markdown(outcome))
    index = gate_page.write(outcome, folder / "report")
    click.echo(f"Samples: {folder / GATE_NAME}")
    click.echo(f"Report:  {index}")
    return INTERRUPTED if outcome.interrupted else outcomes.status(outcome, strict=strict)


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

    from segbench.segment import segment_files

    # pims hands scikit-image a deprecated option; its users can do nothing about that.
    warnings.simplefilter("ignore", FutureWarning)
    given = {name: value for name, value in pipeline.items() if value is not None}
    count = segment_files(
        images,
        backend=backend,
        params=PipelineParams(**given),
        workers=workers or available_cpus(),
        out=out,
        labels=labels,
    )
    click.echo(f"{count} objects: {out}")


@main.command()
def backends() -> None:
    """List readers, processors and schedulers, and what is missing for them."""
    from segbench import terminal
    from segbench.backends import registry

    parts = ((part.kind, part.name, part.source, part.missing) for part in registry.parts())
    rows = ((kind, name, source, missing or "yes") for kind, name, source, missing in parts)
    terminal.print_rows(("kind", "name", "from", "here"), rows)
    click.echo("\nA backend is reader/processor/scheduler. Measured by default:")
    for backend in BACKENDS:
        click.echo(f"  {backend}")


@main.command()
def info() -> None:
    """Print the machine and the versions that a run would record."""
    from segbench import terminal
    from segbench.images.datasets import cache_folder
    from segbench.measure import machine

    facts = {**machine.machine(), **machine.versions()}
    rows = [(what.replace("_", " "), str(value)) for what, value in facts.items()]
    terminal.print_rows(("what", "value"), [*rows, ("cache folder", str(cache_folder()))])
