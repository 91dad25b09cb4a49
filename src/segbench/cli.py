"""The command line: reads options, calls the modules, prints."""

# Modules that a command alone needs are imported in it: `segbench run` starts its workers at once,
# and `segbench --help` answers at once.
# ruff: noqa: PLC0415

from __future__ import annotations

import dataclasses
import shlex
import sys
import traceback
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import click

from segbench import __version__, terminal
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

S = TypeVar("S", bound=Settings)

folder_option = partial(
    click.option, type=click.Path(path_type=Path, file_okay=False), metavar="DIR"
)
file_option = partial(click.option, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
flag_option = partial(click.option, is_flag=True)


class _Group(click.Group):
    """Ends on bad usage with one line and status 2, whichever command it comes from."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the command line and exit."""
        try:
            status = super().main(*args, **{**options, "standalone_mode": False})
            sys.exit(status if isinstance(status, int) else 0)
        except click.Abort as error:
            raise KeyboardInterrupt from error
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
        except click.ClickException as error:
            _complain(error.format_message())
        except InputError as error:
            _complain(str(error))
        except OSError as error:
            # A file or folder of the user's: bad input of another module is an InputError.
            where = f"{error.filename}: " if error.filename else ""
            _complain(f"{where}{error.strerror or error}")
        except Exception:  # noqa: BLE001  # a mistake of segbench's own is not what status 1 tells of
            traceback.print_exc()
        sys.exit(2)


def _complain(text: str) -> None:
    click.echo(f"segbench: {' '.join(text.split())}", err=True)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Should I use Dask for my cell images, and how? Measured, on your machine and your images."""


# Options


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
    hints: dict[str, Any] = get_type_hints(kind)
    for each in dataclasses.fields(kind):
        told, value = each.metadata, hints[each.name]
        if value is PipelineParams:
            yield from _options_of(PipelineParams, defaults)
            continue
        default = defaults.get(each.name, each.default)
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
        flag = value is bool
        if "choices" in told:
            value = click.Choice(told["choices"])
        elif "least" in told:
            value = click.IntRange(told["least"])
        yield click.option(
            f"--{each.name.replace('_', '-')}",
            type=None if flag else told.get("read", value),
            is_flag=flag,
            default=None,
            metavar=told.get("metavar"),
            help=told["help"] + ("" if flag else f"  [default: {told.get('shown', shown)}]"),
        )


def _given(kind: type[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options that were given and are fields of some settings."""
    names = [each.name for each in dataclasses.fields(kind)]
    return {name: options[name] for name in names if options.get(name) is not None}


def _settings(kind: type[S], defaults: Mapping[str, Any], options: Mapping[str, Any]) -> S:
    """Settings from the options that were given, and the defaults of a command."""
    params = PipelineParams(**_given(PipelineParams, options))
    return kind(**{**defaults, **_given(kind, options), "params": params})


_images_options = _together(
    click.option(
        "--images", metavar="DIR_OR_GLOB", help="Your images: a folder, or a pattern in quotes."
    ),
    click.option(
        "--dataset",
        type=click.Choice(MADE),
        help=f"Images to make where you give none.  [default: {MADE[0]}]",
    ),
    click.option(
        "--shape",
        type=parse_shape,
        metavar="HxW",
        help="Of the images to make.  [default: 192x256]",
    ),
)


def _origin(options: Mapping[str, Any], settings: Settings) -> Origin:
    images, made, shape = (options[name] for name in ("images", "dataset", "shape"))
    if images is not None and (made or shape):
        raise InputError("--dataset and --shape are for images to make, --images for yours")
    return Origin(
        images=images, made=made or MADE[0], shape=shape or DEFAULT_SHAPE, seed=settings.seed
    )


def _new_folder() -> Path:
    return Path("results") / datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S-%f")


def _typed() -> str:
    return shlex.join(["segbench", *sys.argv[1:]])


# Commands


@main.command()
@_images_options
@flag_option(
    "--quick",
    default=None,
    help="The sizes 1 and 20, no backend with processes, and 1 second a case, unless the options "
    "of these say otherwise.",
)
@folder_option("--out", help="For run.jsonl and report/.  [default: results/<time>]")
@folder_option(
    "--resume", help="Go on with a run that was interrupted, as it was asked for; alone."
)
@_together(*_options_of(RunSettings, {}))
def run(*, resume: Path | None, **options: Any) -> int:
    """Measure backends side by side and write a report.

    Ends with status 1 if a backend found other cells than the reference, or nothing could be timed.
    """
    from segbench.measure import engine
    from segbench.results import records

    folder: Path = resume or options["out"] or _new_folder()
    samples = folder / records.RUN_NAME
    if resume is None:
        settings = _settings(RunSettings, QUICK if options["quick"] else {}, options)
        origin = _origin(options, settings)
        records.refuse_existing(samples)
    elif others := [name for name, value in options.items() if value is not None]:
        raise InputError(
            f"--{others[0].replace('_', '-')}: a run goes on as it was asked for; give --resume "
            "alone"
        )
    interrupted = False
    with terminal.progress() as watcher:
        try:
            if resume is None:
                engine.start(origin, settings, out=folder, watcher=watcher, command=_typed())
            else:
                engine.resume(folder, watcher=watcher)
        except KeyboardInterrupt:
            if not samples.exists():
                raise
            interrupted = True

    # It takes a while to import, which the workers were not to wait for.
    from segbench.report import page
    from segbench.results.sources import read_run_folder

    source = read_run_folder(folder)
    (section,) = page.make_sections([source])
    index = page.write([section], folder / "report")
    sentences = (*section.answer.sentences, *section.warnings)
    terminal.tell(section.tables_for_terminal(), sentences)
    if interrupted:
        terminal.warn(
            "interrupted: the report shows what was measured until then; go on with "
            f"`segbench run --resume {shlex.quote(str(folder))}`"
        )
    terminal.tell_files(samples=samples, report=index)
    statuses = set(source.samples["status"])
    failed = "wrong-result" in statuses or "ok" not in statuses
    return INTERRUPTED if interrupted else int(failed)


@main.command()
@click.argument(
    "sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="SOURCE..."
)
@folder_option("--out", default="reports", show_default=True)
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
@flag_option(
    "--calibrate",
    help="Print what a gate sees on this machine, and have later gates tell it: this code is "
    "measured against itself, and slowed.",
)
@_images_options
@flag_option("--strict", help="Fail also where a case stays suspected or undecided.")
@file_option("--markdown", help="For a comment on a pull request.")
@file_option("--json", "json_file", help="For other programs.")
@folder_option("--out", help="For gate.jsonl and report/.  [default: results/<time>]")
@_together(*_options_of(GateSettings, GATE))
def gate(
    *,
    base: str | None,
    base_with: tuple[str, ...],
    calibrate: bool,
    strict: bool,
    markdown: Path | None,
    json_file: Path | None,
    out: Path | None,
    **options: Any,
) -> int:
    """Compare two versions of the code side by side: has anything become slower?

    Exit status 0: no regression, also where a case is suspected to be one and this is not
    confirmed; 1: a regression (of CPU time, wall time, peak memory or tasks), other cells than the
    base finds, or a failure where the base has none; 2: could not measure; 130: interrupted.
    """
    from segbench import files, jsonl
    from segbench.gate import calibrate as calibration
    from segbench.gate import compare
    from segbench.results import outcome as outcomes
    from segbench.results import records

    if (base is not None) + bool(base_with) + calibrate != 1:
        raise InputError("give one of --base REF, --base-with REQUIREMENT and --calibrate")
    if calibrate and (strict or markdown or json_file):
        raise InputError(
            "--calibrate prints a table, and keeps its samples under --out: leave out --strict, "
            "--markdown and --json"
        )
    at_once = len(calibration.SIDES) if calibrate else 2
    defaults = {**GATE, "memory_limit": available_gib() / at_once}
    settings = _settings(GateSettings, defaults, options)
    origin = _origin(options, settings)
    # It takes a while to import, which bad usage is not to wait for.
    from segbench.report import gate_page

    folder = out or _new_folder()
    samples = folder / records.GATE_NAME
    records.refuse_existing(samples)
    if calibrate:
        with terminal.progress() as watcher:
            seen = calibration.run(origin, settings, out=folder, watcher=watcher)
        sentences = [*gate_page.sight_sentences(seen.sight), f"Samples: {samples}"]
        terminal.tell([gate_page.sight_table(seen)], sentences)
        return 0
    with terminal.progress() as watcher:
        found = compare.run(
            origin,
            settings,
            base=base,
            base_with=base_with,
            default_backends=options["backends"] is None,
            out=folder,
            watcher=watcher,
            command=_typed(),
        )
    # Told first: a file that can't be written must not hide what was found.
    terminal.tell(filter(None, [gate_page.terminal_table(found)]), gate_page.summary(found))
    if json_file:
        files.write_bytes(json_file, jsonl.encode(found))
    if markdown:
        files.write_text(markdown, gate_page.markdown(found))
    index = gate_page.write(found, folder / "report")
    terminal.tell_files(samples=samples, report=index)
    return INTERRUPTED if found.interrupted else outcomes.status(found, strict=strict)


@main.command()
@click.argument("images", metavar="DIR_OR_GLOB")
@click.option("--backend", metavar="SPEC", default=str(BASELINE), show_default=True)
@file_option("--out", default="cells.csv", show_default=True, help="Table: one row a cell.")
@folder_option("--labels", help="Write a label image (TIFF) for each image.")
@click.option(
    "--workers", type=click.IntRange(1), help="Threads or processes.  [default: one a CPU]"
)
@_together(*_options_of(PipelineParams, {}))
def segment(
    *,
    images: str,
    backend: str,
    out: Path,
    labels: Path | None,
    workers: int | None,
    **options: Any,
) -> None:
    """Find the cells of your images and measure their areas."""
    import warnings

    from segbench.segment import segment_files

    # pims hands scikit-image a deprecated option; its users can do nothing about that.
    warnings.simplefilter("ignore", FutureWarning)
    count = segment_files(
        images,
        backend=backend,
        params=PipelineParams(**_given(PipelineParams, options)),
        workers=workers or available_cpus(),
        out=out,
        labels=labels,
    )
    click.echo(f"{count} objects: {out}")


@main.command()
def backends() -> None:
    """List readers, processors and schedulers, and what is missing for them."""
    from segbench.backends import registry

    rows = [(part.kind, part.name, part.source, part.missing or "yes") for part in registry.parts()]
    terminal.print_rows(("kind", "name", "from", "here"), rows)
    click.echo("\nA backend is reader/processor/scheduler. Measured by default:")
    for backend in BACKENDS:
        click.echo(f"  {backend}")


@main.command()
def info() -> None:
    """Print the machine and the versions that a run would record."""
    from segbench.images.datasets import cache_folder
    from segbench.measure import machine

    facts = {**machine.machine(), **machine.versions(), "cache folder": cache_folder()}
    rows = [(what.replace("_", " "), str(value)) for what, value in facts.items()]
    terminal.print_rows(("what", "value"), rows)
