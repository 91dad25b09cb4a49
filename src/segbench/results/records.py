"""``run.jsonl``: a header line, then one line a sample, written as it is taken.

Beside it ``profiles.jsonl``: one line a backend, on where its time goes; and ``sample.png``: what
the reference finds on an image.

Other programs read this file: keys are added, never changed.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TextIO, TypeVar

from segbench.backends.interface import Description
from segbench.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from segbench.backends.registry import BackendSpec

T = TypeVar("T", "Header", "Sample", "Profile")

FILE_NAME = "run.jsonl"
PROFILES_NAME = "profiles.jsonl"
PICTURE_NAME = "sample.png"
SCHEMA = 1

# Waiting for the disk takes as long as a short call: not after every sample.
SYNC_SECONDS = 1.0

STAGES = ("decode", "grayscale", "blur", "threshold", "label", "measure")

# Where the wall time of a call goes. `graph`: building and optimising Dask's task graph.
# `scheduling`: handing tasks to workers and taking back results. `idle`: workers with nothing to do.
# `collect`: putting the results of the tasks together.
PARTS = (*STAGES, "graph", "scheduling", "idle", "collect")

STATUSES = {
    "ok": "timed, and the result agrees with the reference",
    "timeout": "a call took longer than the time limit",
    "memory": "a call needed more memory than the limit, or than there was",
    "crashed": "the worker process died",
    "error": "the backend raised an exception",
    "wrong-result": "the result differs from the reference; never ranked",
    "unavailable": "something it needs is not installed",
}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One line: a timed call, or why there is none.

    Attributes
    ----------
    phase, reader, processor, scheduler : str
        What was timed; see the words in the documentation.
    n_images : int
        Size of the input.
    block : int
        From 1; samples of one block were taken side by side. 0 where nothing was timed.
    round : int
        From 1; each has new processes.
    seconds : float, optional
        Wall time of one call.
    status : str
        One of `STATUSES`.
    objects : int, optional
        Objects found by the call, for the phases that find any.
    peak_mib : float, optional
        Largest resident size, in MiB, of the worker with its child processes during the call.
    calls : int
        How many calls the sample consists of; `seconds` is their mean.
    cause : str
        Why the status is not ``ok``.
    first_seconds : float, optional
        Wall time of the worker's first call of this case, before its warm-up.
    idle_mib : float, optional
        As `peak_mib`, of the worker when it had started and segmented one image: what it holds when
        it does nothing.
    at : float, optional
        Seconds from the start of the run to the end of the sample.
    cached : float, optional
        Share of the files' pages that were in memory before the call, where they were to be cold.
    withheld_seconds : float, optional
        CPU time that a quota, or the host of a virtual machine, has withheld from this machine's
        processes between the start of the run and the block, or a second before.
    untimed_seconds : float, optional
        What the worker needed to get ready for the sample: a call that is not timed, before short
        ones, and the collection of the last sample's garbage.
    """

    phase: str
    reader: str
    processor: str
    scheduler: str
    n_images: int
    block: int
    round: int = 1
    seconds: float | None = None
    status: str
    objects: int | None = None
    peak_mib: float | None = None
    calls: int = 0
    cause: str = ""
    first_seconds: float | None = None
    idle_mib: float | None = None
    at: float | None = None
    cached: float | None = None
    withheld_seconds: float | None = None
    untimed_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One line of ``profiles.jsonl``: what a fresh process of a backend pays, and for what.

    Attributes
    ----------
    reader, processor, scheduler : str
        The backend.
    n_images : int
        Size of the input of the profiled call of the pipeline.
    status, cause : str
        As in a `Sample`; where the status is not ``ok`` the rest is 0 or empty.
    import_seconds, start_seconds, first_seconds : float
        In a fresh process, alone on the machine: from its birth until the libraries are imported,
        starting the scheduler, and the first call of the pipeline on one image.
    seconds : float
        Wall time of the profiled call.
    parts : dict of str to float
        Seconds of that wall time by `PARTS`. Work that runs on several workers at once is divided
        by their number, so that the parts add up to `seconds`.
    tasks : int
        Tasks that Dask's scheduler ran; 0 without Dask.
    calls : dict of str to int
        How often the work of each stage was carried out, over all images.
    """

    reader: str
    processor: str
    scheduler: str
    n_images: int
    status: str = "ok"
    cause: str = ""
    import_seconds: float = 0.0
    start_seconds: float = 0.0
    first_seconds: float = 0.0
    seconds: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)
    tasks: int = 0
    calls: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Header:
    """The first line.

    Attributes
    ----------
    schema : int
        `SCHEMA` of the program that wrote it.
    started : str
        ISO 8601, with its offset from UTC.
    machine, versions, settings, dataset : dict
        As :mod:`segbench.measure.machine` and the engine describe them: free text for people
        and for programs that compare runs, so their keys are not fixed here.
    backends : dict of str to Description
        What each backend said of itself, by its spec; empty in runs of earlier versions.
    """

    schema: int = SCHEMA
    started: str
    machine: dict[str, Any]
    versions: dict[str, str]
    settings: dict[str, Any]
    dataset: dict[str, Any]
    backends: dict[str, Description] = field(default_factory=dict)


def sample_of(backend: BackendSpec, **values: Any) -> Sample:
    """Make the sample of a backend, given the other fields."""
    return Sample(
        reader=backend.reader, processor=backend.processor, scheduler=backend.scheduler, **values
    )


@dataclass(frozen=True)
class RunFile:
    """A run as it was read.

    Attributes
    ----------
    header : Header
        The first line.
    samples : list of Sample
        The others.
    notes : tuple of str
        What a reader should know, such as that a damaged last line was left out.
    """

    header: Header
    samples: list[Sample]
    notes: tuple[str, ...]


class RunWriter:
    """Appends samples to a ``run.jsonl``.

    Each is with the operating system before the next is taken, so that it outlives this process
    however that ends, and on the disk (where a power cut leaves it) with the first sample that ends
    `SYNC_SECONDS` later, or at the end.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._synced = time.monotonic()

    @classmethod
    def create(cls, folder: Path, header: Header) -> Self:
        """Start a new run in a folder, which is made where it is missing.

        Raises
        ------
        InputError
            If the folder holds a run.
        """
        folder.mkdir(parents=True, exist_ok=True)
        refuse_existing(folder)
        # Of a run that was here and was removed.
        (folder / PROFILES_NAME).unlink(missing_ok=True)
        writer = cls((folder / FILE_NAME).open("x", encoding="utf-8"))
        writer._append(dataclasses.asdict(header))
        return writer

    @classmethod
    def reopen(cls, folder: Path) -> Self:
        """Go on with the run of a folder; a damaged last line is taken away.

        Raises
        ------
        InputError
            As `read_run` does.
        """
        path = folder / FILE_NAME
        _keep_lines(path, 1 + len(read_run(folder).samples))
        return cls(path.open("a", encoding="utf-8"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Unless it was closed on an error.
        if not self._file.closed:
            os.fsync(self._file.fileno())
        self._file.close()

    def append(self, sample: Sample) -> None:
        """Write one sample."""
        self._append(vars(sample))  # all of its values are plain

    def _append(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()
        if time.monotonic() - self._synced > SYNC_SECONDS:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()


def refuse_existing(folder: Path) -> None:
    """Look whether a run may be written to a folder.

    Raises
    ------
    InputError
        If it holds a run already: what was measured is never overwritten.
    """
    if (folder / FILE_NAME).exists():
        raise InputError(f"{folder / FILE_NAME} exists: give another --out, or remove it")


def read_run(folder: Path) -> RunFile:
    """Read a run folder.

    Raises
    ------
    InputError
        If the file is missing, or a line but the last can't be understood; names the line.
    """
    path = folder / FILE_NAME
    lines = _read_lines(path)
    if not lines:
        raise InputError(f"{path}: the file is empty; run again")
    header = _parse(lines[0], Header, f"{path}, line 1")
    if header.schema != SCHEMA:
        raise InputError(f"{path}: schema {header.schema}, but this segbench reads {SCHEMA}")
    for name in ("machine", "versions", "settings", "dataset", "backends"):
        if not isinstance(getattr(header, name), dict):
            raise InputError(f"{path}, line 1: {name} is not an object")
    described: dict[str, Any] = dict(header.backends)  # as JSON has them
    try:
        backends = {
            name: Description(
                words=values["words"], libraries=tuple(values["libraries"]), work=values["work"]
            )
            for name, values in described.items()
        }
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}, line 1: backends are not described ({error!r})") from error
    header = dataclasses.replace(header, backends=backends)
    samples: list[Sample] = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            samples.append(_parse_sample(line, f"{path}, line {number}"))
        except InputError:
            if number < len(lines):
                raise
            # A process that is killed while it writes leaves half a line.
            return RunFile(header, samples, (f"line {number}, the last, is damaged: left out",))
    return RunFile(header, samples, ())


def write_profile(folder: Path, profile: Profile) -> None:
    """Append a line to the folder's ``profiles.jsonl``."""
    path = folder / PROFILES_NAME
    if path.exists():
        _keep_lines(path, len(read_profiles(folder)))
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(dataclasses.asdict(profile), allow_nan=False) + "\n")


def read_profiles(folder: Path) -> list[Profile]:
    """Read ``profiles.jsonl``; empty where a run has none, without a damaged last line.

    Raises
    ------
    InputError
        If a line but the last can't be understood; names the line.
    """
    path = folder / PROFILES_NAME
    if not path.exists():
        return []
    lines = _read_lines(path)
    profiles: list[Profile] = []
    for number, line in enumerate(lines, start=1):
        try:
            profiles.append(_parse_profile(line, f"{path}, line {number}"))
        except InputError:
            if number < len(lines):
                raise
    return profiles


def _keep_lines(path: Path, count: int) -> None:
    """Cut a file after so many lines, so that the next line begins on its own."""
    with path.open("r+b") as file:
        file.truncate(sum(len(line) for line in itertools.islice(file, count)))
        if count:
            file.seek(-1, os.SEEK_END)
            # A line that lacks nothing but its end.
            if file.read(1) != b"\n":
                file.write(b"\n")


def _read_lines(path: Path) -> list[bytes]:
    try:
        # By line feeds alone: str.splitlines would also cut at characters that JSON strings may hold.
        with path.open("rb") as file:
            return list(file)
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error})") from error


def _parse(line: bytes, kind: type[T], where: str) -> T:
    try:
        values = json.loads(line.decode())
        return kind(**{name: values[name] for name in kind.__dataclass_fields__ if name in values})
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{where}: not a {kind.__name__.lower()} of a run ({error})") from error


def _parse_sample(line: bytes, where: str) -> Sample:
    sample = _parse(line, Sample, where)
    if problem := problem_of(sample):
        raise InputError(f"{where}: {problem}")
    return sample


def _parse_profile(line: bytes, where: str) -> Profile:
    profile = _parse(line, Profile, where)
    values: dict[str, object] = dataclasses.asdict(profile)  # whatever JSON held
    for name in ("reader", "processor", "scheduler", "status", "cause"):
        if not isinstance(values[name], str):
            raise InputError(f"{where}: {name} is not text: {values[name]!r}")
    for name in ("parts", "calls"):
        table = values[name]
        if not isinstance(table, dict) or not all(_is_number(value) for value in table.values()):
            raise InputError(f"{where}: {name} is not a table of numbers: {table!r}")
    for name in (
        "n_images",
        "import_seconds",
        "start_seconds",
        "first_seconds",
        "seconds",
        "tasks",
    ):
        if not _is_number(values[name]):
            raise InputError(f"{where}: {name} is not a number: {values[name]!r}")
    if profile.status == "ok" and not (profile.seconds > 0 and profile.n_images > 0):
        raise InputError(f"{where}: a profile that is ok needs seconds and images above 0")
    return profile


# Measures that a platform, a source or an earlier version may not give.
MAY_BE_MISSING = (
    *("seconds", "peak_mib", "first_seconds", "idle_mib", "at", "cached", "withheld_seconds"),
    "untimed_seconds",
)


# What 64 bits can hold.
_LEAST, _MOST = -(2**63), 2**63


def problem_of(sample: Sample) -> str:
    """Why a sample that was read from a file can't be used; empty where it can."""
    values: dict[str, object] = vars(sample)  # whatever JSON held
    for name in ("phase", "reader", "processor", "scheduler", "status", "cause"):
        if not isinstance(values[name], str):
            return f"{name} is not text: {values[name]!r}"
    if sample.status not in STATUSES:
        return f"unknown status {sample.status!r}"
    for name, lowest in (("n_images", 1), ("block", 0), ("round", 1), ("calls", 0)):
        value = values[name]
        if not _is_number(value) or not isinstance(value, int) or value < lowest:
            return f"{name} is not a whole number from {lowest} up: {value!r}"
    for name in ("objects", *MAY_BE_MISSING):
        if values[name] is not None and not _is_number(values[name]):
            return f"{name} is not a number: {values[name]!r}"
    if sample.status == "ok" and not (sample.seconds and sample.seconds > 0):
        return f"a sample that is ok needs seconds above 0, not {sample.seconds!r}"
    return ""


def _is_number(value: object) -> bool:
    """Whether a column of numbers can hold a value: neither NaN nor beyond 64 bits."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return _LEAST < value < _MOST
