"""The command line: reads options, calls the modules, prints."""

# Modules that a command alone needs are imported in it: `segbench run` starts its workers at once,
# and `segbench --help` answers at once.
# ruff: noqa: PLC0415

from __future__ import annotations

import dataclasses
import errno
import io
import math
import os
import shlex
import sys
import traceback
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import click

from segbench import __version__, terminal
from segbench.errors import INTERRUPTED, InputError
from segbench.images.origin import CELLS, DEFAULT_SHAPE, MADE, Origin
from segbench.measure.settings import (
    BACKENDS,
    GATE,
    LARGE,
    QUICK,
    GateSettings,
    RunSettings,
    Settings,
    available_cpus,
    available_gib,
    parse_shapes,
)
from segbench.pipeline import TO_FIND_CELLS, PipelineParams
from segbench.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

S = TypeVar("S", bound=Settings)

CHANNEL = "Channel to use in images that have several, counted from 1."

EXAMPLES = """\b
Examples:
  segbench segment photographs --out cells.csv --overlays look
  segbench segment *.tif --diameter 30 --foreground bright --channel 1 --out nuclei.parquet
"""


def read_gib(text: str) -> float:
    """Read an amount of memory, ``2``, ``1.5`` or ``2GiB``."""
    try:
        value = float(text.lower().removesuffix("gib").removesuffix("gb"))
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise InputError(f"memory {text!r}: give GiB, such as 2 or 2GiB")
    return value


folder_option = partial(
    click.option, type=click.Path(path_type=Path, file_okay=False), metavar="DIR"
)
file_option = partial(click.option, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
flag_option = partial(click.option, is_flag=True)
channel_option = click.option("--channel", type=click.IntRange(1), help=CHANNEL)
workers_option = click.option(
    "--workers",
    type=click.IntRange(1),
    help="Number of threads or processes.  [default: one for each CPU]",
)


class _Group(click.Group):
    """Ends on bad usage with one line and status 2, whichever command it comes from."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; whoever closes the pipe that it writes to has seen enough."""
        try:
            status = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # What is still to be flushed goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        return status

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the command line and exit."""
        for stream in (sys.stdout, sys.stderr):
            # A terminal that can't show a sign is to show the rest.
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
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
            _complain(f"{where}{error.strerror or error}{_remedy(error)}")
        except MemoryError:
            _complain("not enough memory; give fewer --workers, or smaller images")
        except Exception:  # noqa: BLE001  # a mistake of segbench's own is not what status 1 tells of
            traceback.print_exc()
        sys.exit(2)


def _complain(text: str) -> None:
    click.echo(f"segbench: {one_line(text)}", err=True)


def _remedy(error: OSError) -> str:
    """What to do about a file that can't be written."""
    from segbench.images.datasets import cache_folder

    if error.filename:
        kept, file = cache_folder(), Path(error.filename)
        if file.is_relative_to(kept) or kept.is_relative_to(file):
            return "; set SEGBENCH_CACHE_DIR to a folder with room that you may write to"
    return "; make room, or write elsewhere" if error.errno == errno.ENOSPC else ""


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


def _options_of(
    kind: type[Any], defaults: Mapping[str, Any], *, without: Collection[str] = ()
) -> Iterator[Callable[..., Any]]:
    """An option for each field of settings; all are None where they are not given.

    `defaults` are those of a command that has others than the fields, `without` what it does not have.
    """
    hints: dict[str, Any] = get_type_hints(kind)
    for each in dataclasses.fields(kind):
        told, value = each.metadata, hints[each.name]
        if each.name in without:
            continue
        if value is PipelineParams:
            yield from _options_of(PipelineParams, defaults)
            continue
        default = defaults.get(each.name, each.default)
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
        flag = value is bool
        name = f"--{each.name.replace('_', '-')}"
        # What a command does by default can be left.
        off = f"/--no-{name[2:]}" if flag and default else ""
        if "choices" in told:
            value = click.Choice(told["choices"])
        elif "least" in told:
            value = click.IntRange(told["least"])
        told_default = "yes" if off else told.get("shown", shown)
        yield click.option(
            *(name + off, *told.get("also", ()), each.name),
            type=None if flag else told.get("read", value),
            is_flag=flag,
            default=None,
            metavar=told.get("metavar"),
            help=told["help"] + ("" if flag and not off else f"  [default: {told_default}]"),
        )


def _given(kind: type[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options that were given and are fields of some settings."""
    names = [each.name for each in dataclasses.fields(kind)]
    return {name: options[name] for name in names if options.get(name) is not None}


def _settings(
    kind: type[S], defaults: Mapping[str, Any], options: Mapping[str, Any]
) -> tuple[tuple[Origin, ...], S]:
    """Images, of each shape, and settings from the options that were given, and a command's defaults."""
    given = {**defaults, **_given(kind, options)}
    settings = kind(**given)
    origin = _origin(options, settings)
    shapes = options.get("large") or options["shapes"] or (origin.shape,)
    origins = tuple(dataclasses.replace(origin, shape=shape) for shape in shapes)
    # One set of parameters for all: that of the smallest, which the widest block has to fit.
    smallest = min(origins, key=lambda each: min(each.shape))
    params = _params_for(smallest, _given_params(options), limit=settings.sizes[-1])
    return origins, dataclasses.replace(settings, params=params)


def _given_params(options: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of the pipeline that were given; `auto` is none."""
    given = _given(PipelineParams, options)
    return {name: value for name, value in given.items() if value != "auto"}


def _params_for(origin: Origin, given: dict[str, Any], *, limit: int | None) -> PipelineParams:
    """Parameters for the images of an origin; a block that was not given fits into them."""
    if origin.images:
        PipelineParams(**given)  # bad usage is not to wait for the images
        from segbench import estimate, windows
        from segbench.images import datasets, plain

        if origin.large:
            image = windows.open_image(origin.images[0])
            sample, shape = windows.sample_of(image), image.shape
        else:
            dataset = datasets.from_images(origin, limit=limit)
            sample, shape = plain.sample_of(dataset.files), dataset.shape
        params, _ = estimate.params_for(sample, given)
    else:
        params, shape = PipelineParams(**{**CELLS[origin.made], **given}), origin.shape
    return params if "block_size" in given else params.within(shape)


_images_options = _together(
    # What a shell makes of a pattern without quotes: the first name is the option's, the others are
    # these.
    click.argument("more_images", nargs=-1, metavar=""),
    click.option("--images", metavar="PATH...", help="Your images: folders, files and patterns."),
    channel_option,
    folder_option("--truth", help="Folder with a label image for each of your images."),
    click.option(
        "--dataset",
        type=click.Choice(MADE),
        help=f"Images to make where you give none.  [default: {MADE[0]}]",
    ),
    click.option(
        *("--shape", "--shapes", "shapes"),
        type=parse_shapes,
        metavar="HxW,...",
        help="Height and width of generated images, in pixels.  [default: 192x256]",
    ),
)


def _origin(options: Mapping[str, Any], settings: Settings) -> Origin:
    images, more, channel, truth = (
        options[name] for name in ("images", "more_images", "channel", "truth")
    )
    made, large = options["dataset"], options.get("large")
    if large is not None and (made or options["shapes"] or bool(images) == bool(large)):
        raise InputError(
            "--large takes the sizes of images to make (4096x4096,8192x8192), or none with one of yours "
            "(--images SLIDE.tif --large); leave out --dataset and --shape"
        )
    made = made or ("mosaic" if large else None)
    if images is None and (more or channel or truth):
        what = more[0] if more else "--channel" if channel else "--truth"
        raise InputError(f"{what}: to measure your own images, put --images before them")
    if images is not None and (made or options["shapes"]):
        raise InputError("--dataset and --shape are for images to make, --images for yours")
    return Origin(
        images=tuple(os.path.abspath(path) for path in (images, *more)) if images else (),  # noqa: PTH100  (a pattern, too)
        channel=channel,
        truth=str(truth.absolute()) if truth else None,
        made=made or MADE[0],
        shape=DEFAULT_SHAPE,
        seed=settings.seed,
        large=bool(images) and large is not None,
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
    help="Measure 1 and 20 images with five backends, for about a second a case, unless other options "
    "say otherwise.",
)
@click.option(
    "--large",
    is_flag=False,
    flag_value="",
    default=None,
    callback=lambda _, __, value: parse_shapes(value) if value else value,
    metavar="[HxW,...]",
    help="Measure one large image of each of these sizes, in tiles; or without sizes one of yours, a TIFF "
    "or a Zarr, that --images names.",
)
@folder_option("--out", help="Folder for run.jsonl and the report.  [default: results/<time>]")
@folder_option(
    "--resume", help="Continue an interrupted run with its original options. Takes no others."
)
@flag_option("--verbose", help="Print all tables of the report.")
@_together(*_options_of(RunSettings, {}))
def run(*, resume: Path | None, verbose: bool, **options: Any) -> int:
    """Measure backends side by side and write a report.

    Exit status 1: a backend found other cells than the reference, or nothing could be timed.
    """
    from segbench.measure import engine
    from segbench.results import records

    folder: Path = resume or options["out"] or _new_folder()
    samples = folder / records.RUN_NAME
    if resume is None:
        defaults = (QUICK if options["quick"] else {}) | (
            LARGE if options["large"] is not None else {}
        )
        origins, settings = _settings(RunSettings, defaults, options)
        records.refuse_existing(samples)
    elif others := [name for name, value in options.items() if value not in (None, ())]:
        raise InputError(
            f"--{others[0].replace('_', '-')}: a run goes on as it was asked for; give --resume "
            "alone"
        )
    interrupted = False
    with terminal.progress() as watcher:
        try:
            if resume is None:
                engine.start(origins, settings, out=folder, watcher=watcher, command=_typed())
            else:
                engine.resume(folder, watcher=watcher)
        except KeyboardInterrupt:
            if not samples.exists():
                raise
            interrupted = True
        except OSError as error:
            if not samples.exists():
                raise
            again = f"segbench run --resume {shlex.quote(str(folder))}"
            raise InputError(
                f"{samples}: {error.strerror or error}; make room, and go on with `{again}`"
            ) from error

    # It takes a while to import, which the workers were not to wait for.
    from segbench.report import page
    from segbench.results.sources import read_run_folder

    sections = page.make_sections(read_run_folder(folder))
    runs = page.make_runs(sections)
    index = page.write(runs, folder / "report")
    terminal.tell_runs(runs)
    for section in sections if verbose else ():
        terminal.tell(section.tables, ())
    if interrupted:
        terminal.warn(
            "interrupted: the report shows what was measured until then; go on with "
            f"`segbench run --resume {shlex.quote(str(folder))}`"
        )
    terminal.tell_files(samples=samples, report=index)
    if options["images"] is not None:
        params = settings.params
        terminal.warn(
            f"cells of your images: --diameter {params.diameter:g} --foreground "
            f"{params.foreground} --contrast {params.contrast:g} (estimated where they are not "
            "given; set what is wrong)"
        )
    statuses = {status for section in sections for status in section.source.samples["status"]}
    failed = "wrong-result" in statuses or "ok" not in statuses
    return INTERRUPTED if interrupted else int(failed)


@main.command()
@click.argument(
    "sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="SOURCE..."
)
@folder_option("--out", default="reports", show_default=True)
def report(*, sources: tuple[Path, ...], out: Path) -> int:
    """Write a report from run folders, ASV results and pytest-benchmark JSON files.

    A folder of machines, each with its runs (MACHINE/RUN/run.jsonl), gets a page that compares them.
    Exit status 2: one of them was left out, since it can't be read.
    """
    from segbench.report import machines, page
    from segbench.results.sources import read_sources

    if len(sources) == 1 and (runs_of_machines := machines.runs_of(sources[0])):
        named, wrong = machines.read(runs_of_machines)
        index = machines.write(named, out)
        for sentence in machines.sentences(named):
            terminal.say(sentence)
        terminal.show_line(f"Report: {index}")
        for line in wrong:
            _complain(f"left out: {line}")
        return 2 if wrong else 0
    found, refused = [], []
    for path in sources:
        try:
            found += read_sources(path)
        except InputError as error:
            refused.append(error)
    if not found:
        raise refused[0]
    runs = page.make_runs(page.make_sections(found))
    released = page.releases_of(runs)
    index = page.write(runs, out, released=released)
    if released:
        for sentence in released.sentences:
            terminal.say(sentence)
    else:
        terminal.tell_runs(runs)
    terminal.show_line(f"Report: {index}")
    for each in refused:
        _complain(f"left out: {each}")
    return 2 if refused else 0


@main.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
def verify(*, runs: tuple[Path, ...]) -> int:
    """Check runs that somebody sends: whole, the same cells, in agreement with themselves, not edited.

    RUN are folders of runs. Prints a line for each thing that is wrong. Exit status 1: something is.
    """
    from segbench.report.verify import faults

    refused = False
    for folder in runs:
        wrong = faults(folder)
        refused = refused or bool(wrong)
        for line in wrong or ("nothing wrong was found",):
            terminal.show_line(f"{folder}: {line}")
    return int(refused)


@main.command()
@click.option("--base", metavar="REF", help="Commit of segbench to compare the working tree with.")
@click.option(
    "--base-with",
    multiple=True,
    metavar="REQUIREMENT",
    help="Library version to compare the installed one with, such as `dask==2026.3.0`. Can be repeated.",
)
@flag_option(
    "--calibrate",
    help="Measure which slow-downs a gate can find on this machine, for later gates to report: the code "
    "is compared with itself and with slowed copies of itself.",
)
@_images_options
@flag_option("--strict", help="Exit with 1 also where a case is suspected or undecided.")
@file_option("--markdown", help="Write a comment for a pull request.")
@file_option("--json", "json_file", help="Write the result for other programs.")
@folder_option("--out", help="Folder for gate.jsonl and the report.  [default: results/<time>]")
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

    Exit status 0: no regression, although one may be suspected; 1: a regression (of CPU time, wall
    time, peak memory or tasks), other cells than the base finds, or a failure where the base has
    none; 2: could not measure; 130: interrupted.
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
    (origin, *others), settings = _settings(GateSettings, defaults, options)
    if others:
        raise InputError("--shape: a gate compares images of one shape; give one")
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
    if step := gate_page.next_step(found):
        terminal.say(step[0])
        terminal.show_line(f"  {step[1]}")
    if json_file:
        files.write_bytes(json_file, jsonl.encode(found))
    if markdown:
        files.write_text(markdown, gate_page.markdown(found))
    index = gate_page.write(found, folder / "report")
    terminal.tell_files(samples=samples, report=index)
    return INTERRUPTED if found.interrupted else outcomes.status(found, strict=strict)


@main.command(epilog=EXAMPLES)
@click.argument("images", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--backend",
    metavar="SPEC",
    help="Backend to use; all find the same cells.  [default: scikit-image in a thread pool]",
)
@file_option(
    "--out",
    default="cells.csv",
    show_default=True,
    help="Table with a row for each cell: CSV or Parquet.",
)
@file_option("--summary", help="Table with a row for each image: its cells, and their median area.")
@folder_option("--labels", help="Write a label image (TIFF) for each image.")
@folder_option("--overlays", help="Write a picture (PNG) with outlines for each image.")
@channel_option
@click.option(
    "--values",
    nargs=2,
    type=float,
    metavar="LOW HIGH",
    help="Values to take for black and white in images that are not of 8 or 16 bit, such as float.  "
    "[default: from a sample of your images]",
)
@workers_option
@click.option(
    "--memory",
    type=read_gib,
    metavar="GIB",
    help="Memory to hold, such as 2 or 2GiB: a larger image is worked on in tiles.  [default: 80% of what is "
    "free]",
)
@flag_option("--resume", help="Continue what was interrupted with its original options.")
@_together(*_options_of(PipelineParams, TO_FIND_CELLS))
def segment(
    *,
    images: tuple[str, ...],
    backend: str | None,
    out: Path,
    summary: Path | None,
    labels: Path | None,
    overlays: Path | None,
    channel: int | None,
    values: tuple[float, float] | None,
    workers: int | None,
    memory: float | None,
    resume: bool,
    **options: Any,
) -> int:
    """Find the cells of your images and measure them.

    PATH are folders, files and patterns; images of any shapes and kinds may lie together. What you
    leave out about the cells is estimated from a sample of the images and printed at the end: look
    at the --overlays, and set --diameter, --foreground or --contrast if cells are outlined wrongly. Exit status 1: some files
    could not be read, and were left out.
    """
    import warnings

    from segbench.images import paths
    from segbench.segmenting import cells, outputs

    # pims hands scikit-image a deprecated option; its users can do nothing about that.
    warnings.simplefilter("ignore", FutureWarning)
    given = _given_params(options)
    chosen: dict[str, Any] = {
        "backend": backend,
        "channel": channel,
        "values": values,
        "summary": summary,
    }
    chosen |= {"labels": labels, "overlays": overlays, "memory": memory, **given}
    if resume and (others := [name for name, value in chosen.items() if value is not None]):
        named = ", ".join(f"--{name.replace('_', '-')}" for name in others)
        raise InputError(
            f"--resume goes on as it was begun, with the same options: leave out {named}"
        )
    found = paths.find(images)

    def begin() -> cells.Job:
        return cells.job_for(
            found.files,
            given,
            backend=backend or cells.BACKEND,
            channel=channel,
            limits=values,
            memory=memory or available_gib(),
        )

    try:
        with terminal.counting(len(found.files), "files") as file_done:
            job, counts = outputs.segment_files(
                found.files,
                None if resume else begin,
                outputs.Outputs(out=out, summary=summary, labels=labels, overlays=overlays),
                workers=workers or available_cpus(),
                file_done=file_done,
            )
    except KeyboardInterrupt:
        kept = outputs.partial_of(out).exists()
        terminal.warn(f"interrupted: {outputs.AGAIN if kept else 'nothing was finished yet'}")
        return INTERRUPTED
    for line in outputs.of_each(counts):
        terminal.show_line(line)
    for sentence in outputs.told(out, job, counts, no_images=found.left_out):
        terminal.warn(sentence)
    terminal.show_line(outputs.closing(out, counts, len(found.left_out)))
    return int(bool(counts.left_out))


@main.command()
@click.argument("images", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--total",
    type=click.IntRange(1),
    help="Number of images to predict for.  [default: those that are there]",
)
@channel_option
@workers_option
@file_option("--script", help="Write a script that runs the pipeline so, without segbench.")
@_together(*_options_of(PipelineParams, {}, without=TO_FIND_CELLS))
def recommend(
    *,
    images: tuple[str, ...],
    total: int | None,
    channel: int | None,
    workers: int | None,
    script: Path | None,
    **options: Any,
) -> None:
    """Say which backend to use for your images, and how long it will take.

    The likely ones are measured for about a minute on a sample of the images: those of the shape that
    most have. Prints the script that does the same without segbench.
    """
    from segbench import files, windows
    from segbench.images import datasets
    from segbench.recommend import measuring, telling

    origin = Origin(images=tuple(map(os.path.abspath, images)), channel=channel)
    given = _given_params(options)
    if len(images) == 1 and windows.pixels_of(Path(images[0])) > datasets.SMALL_PIXELS:
        _recommend_large(origin, given, workers=workers or available_cpus())
        return
    with terminal.progress() as watcher:
        watcher.step("preparing the images", steps=0)
        dataset = datasets.from_images(origin, limit=total)
        params = _params_for(origin, given, limit=total)
        found = measuring.recommend(
            dataset,
            params,
            total=total or len(dataset.files),
            workers=workers or available_cpus(),
            watcher=watcher,
        )
    terminal.tell([telling.table(found)], telling.sentences(found))
    code = telling.script_of(found, params, name=script.name if script else "segment.py")
    if script:
        files.write_text(script, code)
        terminal.show_line(f"Script: {script}")
    else:
        click.echo(f"\n{code}\nKeep the script with --script FILE.")


def _recommend_large(origin: Origin, given: dict[str, Any], *, workers: int) -> None:
    """Say how to work on one large image."""
    from segbench import windows
    from segbench.recommend import measuring, telling

    image = windows.open_image(origin.images[0])
    params = _params_for(dataclasses.replace(origin, large=True), given, limit=None)
    with terminal.progress() as watcher:
        found = measuring.recommend_large(image, params, workers=workers, watcher=watcher)
    sentences, command = telling.of_large(found, image, params)
    terminal.tell([telling.table(found)], sentences)
    terminal.show_line(f"  {command}")


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
