"""What a run or a gate is asked to do: declared once, as fields.

The command line makes its options from these fields, the header of a run holds them as plain
values, and the command that measures the same again is written from them. The option of a field is
its name with hyphens.
"""

from __future__ import annotations

import dataclasses
import math
import os
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil

from segbench import jsonl
from segbench.backends.registry import BASELINE, BackendSpec, parse_spec, takes_batches
from segbench.backends.schedulers import Cluster
from segbench.errors import InputError
from segbench.images.origin import CELLS, DEFAULT_SHAPE, MADE, parse_shape, show_shape
from segbench.measure import machine
from segbench.pipeline import PipelineParams
from segbench.results.outcome import Thresholds
from segbench.results.records import Case

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from segbench.images.origin import Origin

# Phases and their meaning, in their natural order.
PHASES = {
    "open": "a handle on the files, no image decoded but one for its shape",
    "read": "all pixels in memory",
    "process": "pixels in memory to a table of cells",
    "pipeline": "files to a table of cells",
}

CACHES = ("warm", "cold")

# ``benchmarks/`` repeats the next two as literals, since asv needs them so; a test holds them equal.
SIZES = (1, 20, 50, 200, 500)
QUICK_SIZES = (1, 20)

# What people would use without Dask, what Dask's documentation advises (batches of file names, as
# delayed functions or as blocks), and the arms of the presentation. Dask's other schedulers, joblib
# and OpenCV are measured when they are named.
BACKENDS = (
    BASELINE,
    BackendSpec("skimage", "skimage", "thread-pool"),
    BackendSpec("skimage", "skimage", "process-pool"),
    BackendSpec("skimage", "skimage", "threads"),
    BackendSpec("dask-batched", "dask-blocks", "threads"),
    BackendSpec("dask-image", "dask-image", "threads"),
    BackendSpec("dask-array-skimage", "dask-image-blocks", "threads"),
    BackendSpec("dask-array-pims", "dask-blocks", "threads"),
    BackendSpec("dask-array-skimage", "dask-blocks", "threads"),
)

# A quick run starts measuring within seconds: no process has to be started but a worker a backend,
# and one reader of each kind is enough.
QUICK_BACKENDS = tuple(
    backend
    for backend in BACKENDS
    if backend.scheduler != "process-pool"
    and backend.reader not in ("dask-batched", "dask-array-pims")
    and backend.processor != "dask-image-blocks"
)

# The reader of a large image that is written as Zarr for it.
ZARR = "zarr"

# One large image: as a whole; tile by tile in pools and under Dask, from TIFF and from Zarr; and as Dask
# arrays, by overlapping tiles of scikit-image's functions and by dask-image, each also with the mask
# kept before labelling.
LARGE_BACKENDS = (
    BASELINE,
    *(
        BackendSpec("tiles", "tiles", scheduler)
        for scheduler in ("thread-pool", "process-pool", "threads")
    ),
    BackendSpec(ZARR, "tiles", "threads"),
    *(
        BackendSpec("tiles", processor, "threads")
        for processor in (
            "dask-overlap",
            "dask-overlap-stored",
            "dask-image-tiles",
            "dask-image-tiles-stored",
        )
    ),
)

# Of several shapes each is measured with as many images as have so many pixels together: a call on
# 500 images of 2048 x 2048 pixels would take minutes.
MOST_PIXELS = 100e6

# Of the memory that is free when a run starts: the rest is for the engine and for everybody else.
MEMORY_SHARE = 0.8

MOST_IMAGES, MOST_WORKERS = 10**6, 1024

LONGEST_LIMIT = 86400.0  # seconds: a day
LARGEST_LIMIT = 1e6  # GiB: more than any machine has


def available_cpus() -> int:
    """CPUs that this process may use: by its affinity, and by the quota of a container."""
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    return max(1, min(count, math.ceil(machine.cpu_quota() or count)))


def available_gib() -> float:
    """Memory that a worker may hold by default, in GiB."""
    free = psutil.virtual_memory().available / 2**30
    return round(MEMORY_SHARE * min(free, machine.memory_quota_gib() or free), 2)


def parse_sizes(text: str) -> tuple[int, ...]:
    """Read numbers of images, ``1,20,50``: ascending, each once.

    Raises
    ------
    InputError
        If one is not a whole number from 1 up.
    """
    sizes = []
    for word in text.split(","):
        if not (word.strip().isdecimal() and int(word) > 0):
            raise InputError(
                f"size {word.strip()!r}: give whole numbers from 1 up, separated by commas"
            )
        sizes.append(int(word))
    return tuple(sorted(set(sizes)))


def parse_phases(text: str) -> tuple[str, ...]:
    """Read phases, ``read,process``: in their natural order, each once.

    Raises
    ------
    InputError
        If one is unknown.
    """
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in PHASES:
            raise InputError(f"unknown phase {word!r}: choose from {', '.join(PHASES)}")
    return tuple(phase for phase in PHASES if phase in words)


def parse_shapes(text: str) -> tuple[tuple[int, int], ...]:
    """Read shapes, ``192x256,512x512``: each once, in their order.

    Raises
    ------
    InputError
        If one is none.
    """
    return tuple(dict.fromkeys(parse_shape(word.strip()) for word in text.split(",")))


def sizes_within(shape: tuple[int, int], sizes: Sequence[int]) -> tuple[int, ...]:
    """The sizes at which images of a shape have at most `MOST_PIXELS`; the smallest in any case."""
    height, width = shape
    return sizes[0], *(size for size in sizes[1:] if size * height * width <= MOST_PIXELS)


def parse_backends(text: str) -> tuple[BackendSpec, ...]:
    """Read backends, ``reader/processor/scheduler,...``: each once, in their order.

    Raises
    ------
    InputError
        If a part of one is unknown.
    """
    return tuple(dict.fromkeys(parse_spec(word) for word in text.split(",")))


def _option(default: Any, words: str, **told: Any) -> Any:
    """A field with the help of its option; its default may be a function that finds it."""
    kind = "default_factory" if callable(default) else "default"
    return field(**{kind: default}, metadata={"help": words, **told})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run and a gate have in common.

    What each field means stands beside it, as the help of its option.

    Raises
    ------
    InputError
        If a limit is not above 0, or beyond what makes sense.
    """

    sizes: tuple[int, ...] = _option(
        SIZES, "Numbers of images to measure.", metavar="N,...", read=parse_sizes
    )
    phases: tuple[str, ...] = _option(
        tuple(PHASES),
        f"Phases to time, from {','.join(PHASES)}.",
        metavar="PHASE,...",
        read=parse_phases,
    )
    backends: tuple[BackendSpec, ...] = _option(
        BACKENDS,
        "Backends to measure; `segbench backends` lists them.",
        metavar="SPEC,...",
        read=parse_backends,
        shown="nine; five in a gate and with --quick",
    )
    params: PipelineParams = field(default_factory=PipelineParams)
    time_limit: float = _option(
        60.0, "Give up on a backend when a single call takes more seconds.", most=LONGEST_LIMIT
    )
    memory_limit: float = _option(
        available_gib,
        "Memory that a backend may use, in GiB.",
        metavar="GIB",
        most=LARGEST_LIMIT,
        shown="80% of the free memory; a gate divides it between its sides",
    )
    workers: int = _option(
        available_cpus,
        "Number of threads or processes.",
        least=1,
        most=MOST_WORKERS,
        shown="one for each CPU",
    )
    batch: tuple[int, ...] = _option(
        (),
        "Images per task; give several numbers to compare them.",
        metavar="N,...",
        read=parse_sizes,
        shown="as many as make four tasks for each worker",
        also=("--batches",),
        later=True,
    )
    scheduler_address: str = _option(
        "",
        "Address of a running Dask scheduler, such as tcp://host:8786, for `distributed`.",
        metavar="ADDRESS",
        shown="a cluster is started on this machine",
        later=True,
    )
    threads_per_worker: int = _option(
        1, "Threads in each process of a cluster that segbench starts.", least=1, later=True
    )
    native_threads: bool = _option(
        False,
        "Let BLAS, OpenMP and OpenCV use as many threads as they like, instead of one.",
    )
    seed: int = _option(0, "Seed of the generated images and of the order of measuring.", least=0)

    def __post_init__(self) -> None:
        """Refuse what makes no sense, whether it was typed or read from a file; nan is a limit that is none."""
        for each in dataclasses.fields(self):
            told, value, name = each.metadata, getattr(self, each.name), each.name.replace("_", " ")
            most, least, choices = (told.get(one) for one in ("most", "least", "choices"))
            if most and not 0 < value <= most:
                raise InputError(f"{name} {value:g}: give a number above 0, up to {most:g}")
            if least is not None and value < least:
                raise InputError(f"{name} {value:g}: give a number from {least} up")
            if choices and value not in choices:
                raise InputError(f"{name} {value!r}: give {' or '.join(choices)}")
        if wrong := [each for each in self.sizes if not 1 <= each <= MOST_IMAGES]:
            raise InputError(f"size {wrong[0]}: give numbers from 1 to {MOST_IMAGES}")
        if wrong_phases := [each for each in self.phases if each not in PHASES]:
            raise InputError(f"unknown phase {wrong_phases[0]!r}: choose from {', '.join(PHASES)}")
        if not (self.sizes and self.phases):
            raise InputError("nothing to measure: give --sizes and --phases")
        if self.batch:
            object.__setattr__(self, "backends", tuple(dict.fromkeys(self._in_batches())))

    def _in_batches(self) -> Iterator[BackendSpec]:
        """The backends, each that takes batches and has none of its own once with every batch."""
        for backend in self.backends:
            if backend.batch or not takes_batches(backend):
                yield backend
            else:
                yield from (dataclasses.replace(backend, batch=batch) for batch in self.batch)

    @property
    def cluster(self) -> Cluster:
        """Where the scheduler `distributed` runs."""
        return Cluster(address=self.scheduler_address, threads=self.threads_per_worker)

    @property
    def cases(self) -> tuple[Case, ...]:
        """All cases, backend by backend."""
        return tuple(
            Case(backend, size, phase)
            for backend in self.backends
            for size in self.sizes
            for phase in self.phases
        )


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long a case goes on.

    Attributes
    ----------
    precision : float
        It ends when every ratio is settled: its 95% interval is narrower than plus and minus this
        share, or says already what there is to say.
    rounds : int
        Or after so many rounds of new processes.
    seconds : float
        Or, once it has as many as an interval needs, after so many seconds inside timed calls.
    """

    precision: float
    rounds: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class RunSettings(Settings):
    """Settings of a run; the baseline is among its backends, since every ratio needs it."""

    precision: float = _option(
        0.03,
        "Stop timing a phase at a number of images when every ratio is known to plus and minus this "
        "share (95% interval), or has a clear verdict.",
        most=1.0,
    )
    rounds: int = _option(
        10,
        "Stop after this many rounds, each in new processes; ratios have intervals from 5 on.",
        least=1,
        # What command lines of earlier versions say.
        also=("--blocks",),
    )
    case_seconds: float = _option(
        10.0,
        "Stop after this many seconds of timed calls, but not before 5 rounds.",
        metavar="SECONDS",
        most=LONGEST_LIMIT,
    )
    cache: str = _option(
        CACHES[0],
        "Read files from memory (warm) or from the disk (cold).",
        choices=CACHES,
    )

    def __post_init__(self) -> None:
        """Add the baseline."""
        super().__post_init__()
        object.__setattr__(self, "backends", tuple(dict.fromkeys([BASELINE, *self.backends])))

    @property
    def limits(self) -> Limits:
        """How long a case goes on."""
        return Limits(precision=self.precision, rounds=self.rounds, seconds=self.case_seconds)


def parse_thresholds(text: str) -> Thresholds:
    """Read thresholds, ``0.05``, ``open=0.2`` or ``0.05,open=0.2,read:20=0.1``.

    Raises
    ------
    InputError
        If one is not a share above 0, up to 1, or names no phase.
    """
    usual, named = Thresholds.usual, []
    for word in text.split(","):
        name, _, share = word.strip().rpartition("=")
        try:
            value = float(share)
        except ValueError:
            value = math.nan
        if not 0 < value <= 1:
            raise InputError(f"threshold {word.strip()!r}: give a share above 0, up to 1, as 0.05")
        if not name:
            usual = value
            continue
        phase, *others = name.split(":", 2)
        # As a case is named, or none would fit.
        numbers = [size.isdecimal() and not size.startswith("0") for size in others[:1]]
        if phase not in PHASES or not all(numbers):
            raise InputError(
                f"threshold {word.strip()!r}: name a phase ({', '.join(PHASES)}), as open=0.2, or a "
                "phase and a number of images, as open:20=0.2"
            )
        for spec in others[1:]:
            parse_spec(spec)
        named.append((name, value))
    return Thresholds(usual, tuple(named))


@dataclass(frozen=True, kw_only=True)
class GateSettings(Settings):
    """Settings of a gate."""

    threshold: Thresholds = _option(  # noqa: RUF009  (a field, as the others)
        Thresholds,
        "Smallest slow-down to find, as a fraction; a phase or a case may have its own, as in "
        "`0.05,open=0.2`.",
        metavar="SHARE,...",
        read=parse_thresholds,
        shown=str(Thresholds()),
    )
    rounds: int = _option(
        32,
        "Rounds of new processes at the most; a round gives one ratio of each case.",
        least=5,
    )
    measure_seconds: float = _option(
        300.0,
        "Start no further round after this many seconds of measuring, but not before 5 rounds.",
        metavar="SECONDS",
        most=LONGEST_LIMIT,
    )


# What `--quick` and a gate set in place of the defaults above, unless an option says otherwise.
QUICK = {"sizes": QUICK_SIZES, "backends": QUICK_BACKENDS, "case_seconds": 1.0}
# One image, which takes long: a time limit of its own, and no phase that decodes nothing.
LARGE: dict[str, Any] = {
    "sizes": (1,),
    "phases": ("read", "process", "pipeline"),
    "backends": LARGE_BACKENDS,
    "time_limit": 600.0,
}
# A gate has a few minutes: what is slower to open or to process is so in these two, too.
GATE = {"phases": ("read", "pipeline"), "sizes": QUICK_SIZES, "backends": QUICK_BACKENDS}


def describe(settings: Settings) -> dict[str, Any]:
    """Settings as plain values, for the header of a run; `read` is the way back."""
    values = dataclasses.asdict(settings)
    return {**values, "backends": [str(backend) for backend in settings.backends]}


def read(described: Mapping[str, Any]) -> RunSettings:
    """The settings of a run from its header.

    Raises
    ------
    InputError
        If a value is missing or makes no sense.
    """
    fields = dataclasses.fields(RunSettings)
    # Runs of earlier versions had the defaults of what they don't name.
    if missing := {each.name for each in fields if "later" not in each.metadata} - described.keys():
        names = ", ".join(sorted(missing))
        raise InputError(f"the run's settings can't be understood (no {names}): run anew")
    try:
        values = {
            **described,
            "sizes": [*described["sizes"], *described.get("sizes_left_out", ())],
            "backends": [vars(parse_spec(text)) for text in described["backends"]],
        }
        return jsonl.convert(values, RunSettings)
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"the run's settings can't be understood ({error}): run anew") from error


def command(settings: RunSettings, *origins: Origin) -> str:
    """The line for a shell that measures the same: every option, also those that are defaults now.

    Several origins differ in their shape alone.
    """
    origin = origins[0]
    shapes = ",".join(show_shape(each.shape) for each in origins)
    words = _images(origin) or ["--dataset", origin.made, "--shape", shapes]
    words += ["--large"] if origin.large else []
    return shlex.join(["segbench", "run", *words, *_words(settings)])


def option_names() -> frozenset[str]:
    """The options of `segbench run` that say what is measured, and none that says where it is written."""
    fields = [*dataclasses.fields(RunSettings), *dataclasses.fields(PipelineParams)]
    names = {f"--{each.name.replace('_', '-')}" for each in fields}
    names |= {also for each in fields for also in each.metadata.get("also", ())}
    images = ("--images", "--channel", "--truth", "--dataset", "--shape", "--shapes", "--large")
    return frozenset({*names, *images, "--quick"} - {"--params", "--scheduler-address"})


def short_command(settings: RunSettings, origin: Origin) -> str:
    """A line for a shell that measures the same, with the options alone that are no defaults."""
    words, params = _images(origin), settings.params
    known: dict[str, Any] = {"diameter": params.diameter, "contrast": params.contrast}
    if words:
        # Otherwise estimated.
        words += [word for name, value in known.items() for word in (f"--{name}", f"{value:g}")]
        words += ["--foreground", params.foreground]
        known["foreground"] = params.foreground
    else:
        words += ["--dataset", origin.made] if origin.made != MADE[0] else []
        words += ["--shape", show_shape(origin.shape)] if origin.shape != DEFAULT_SHAPE else []
        known = CELLS[origin.made]
    usual = RunSettings(params=PipelineParams(**known), memory_limit=settings.memory_limit)
    return shlex.join(["segbench", "run", *words, *_words(settings, usual)])


def _images(origin: Origin) -> list[str]:
    """The options for a user's own images."""
    if not origin.images:
        return []
    words = ["--images", *origin.images]
    words += ["--channel", str(origin.channel)] if origin.channel else []
    return [*words, *(["--truth", origin.truth] if origin.truth else [])]


def _words(settings: Any, usual: Any = None) -> Iterator[str]:
    """The options of all fields, or of those that differ from what is usual."""
    for each in dataclasses.fields(settings):
        value, known = (getattr(one, each.name, None) for one in (settings, usual))
        if usual and value == known:
            continue
        if dataclasses.is_dataclass(value):
            yield from _words(value, known)
        elif value is not False and value not in ((), ""):
            yield f"--{each.name.replace('_', '-')}"
            if isinstance(value, tuple):
                yield ",".join(map(str, value))
            elif value is not True:
                yield str(value)
