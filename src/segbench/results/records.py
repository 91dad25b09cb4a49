"""The records of a run and of a gate: a header line, then one line a sample, as it is taken.

``run.jsonl`` is that of a run, with ``profiles.jsonl`` (one line a backend: where its time goes) and
``sample.png`` (what the reference finds on an image) beside it; ``gate.jsonl`` is that of a gate.

Other programs read these files: keys are added, never changed.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar, get_args

import msgspec

from segbench import files, jsonl
from segbench.backends.interface import Description  # noqa: TC001  (msgspec reads the types)
from segbench.backends.registry import BackendSpec
from segbench.errors import InputError
from segbench.results import untrusted

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

T = TypeVar("T")

RUN_NAME = "run.jsonl"
GATE_NAME = "gate.jsonl"
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

Status = Literal["ok", "timeout", "memory", "crashed", "error", "wrong-result", "unavailable"]
STATUSES: dict[str, str] = {
    "ok": "timed, and the result agrees with the reference",
    "timeout": "a call took longer than the time limit",
    "memory": "a call needed more memory than the limit, or than there was",
    "crashed": "the worker process died",
    "error": "the backend raised an exception",
    "wrong-result": "the result differs from the reference; never ranked",
    "unavailable": "something it needs is not installed",
}
assert {*STATUSES} == {*get_args(Status)}  # noqa: S101  (said twice, since a type can't be computed)

# What a column of numbers can hold: 64 bits.
_MOST = 2**63 - 1
Number = Annotated[float, msgspec.Meta(ge=-_MOST, le=_MOST)]
Count = Annotated[int, msgspec.Meta(ge=0, le=_MOST)]
FromOne = Annotated[int, msgspec.Meta(ge=1, le=_MOST)]


@dataclass(frozen=True, order=True)
class Case:
    """What is compared: a backend in a phase, on a number of images."""

    backend: BackendSpec
    n_images: int
    phase: str

    def __str__(self) -> str:
        images = "1 image" if self.n_images == 1 else f"{self.n_images} images"
        return f"{self.phase} of {images} with {self.backend}"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One line: a timed call, or why there is none.

    Attributes
    ----------
    phase, reader, processor, scheduler : str
        What was timed; see the words in the documentation.
    batch : int
        How many images a task reads and segments; 0 where that was left to the scheduler.
    n_images : int
        Size of the input.
    shape : str
        Height and width of the images, as ``192x256``; empty in runs of earlier versions, and where
        images of several shapes were not asked for.
    block : int
        From 1; samples of one block were taken side by side. 0 where nothing was timed. A gate
        counts the blocks of a case anew in each round.
    round : int
        From 1; each has new processes.
    seconds : float, optional
        Wall time of one call.
    cpu_seconds : float, optional
        CPU time of one call: of the worker with its child processes.
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
    tasks : int, optional
        In Dask's graph of the pipeline.
    moved_bytes : int, optional
        What the workers of a cluster sent to each other and back in the first call.
    graph_seconds : float, optional
        What Dask needed to build and optimise that graph.
    read_bytes : int, optional
        What the worker with its child processes read in the first call: from files, each time anew, and
        through pipes.
    lost_workers : int
        Workers of a cluster that were there when the backend started, and no more after the sample.
    side : str
        Of a gate: ``base`` or ``head``. Empty in a run.
    look : int
        Of a gate: 2 for a second look at what seemed to be a regression, in earlier versions.
    """

    phase: str
    reader: str
    processor: str
    scheduler: str
    batch: Count = 0
    n_images: FromOne
    shape: str = ""
    block: Count
    round: FromOne = 1
    seconds: Number | None = None
    cpu_seconds: Number | None = None
    status: Status
    objects: Count | None = None
    peak_mib: Number | None = None
    calls: Count = 0
    cause: str = ""
    first_seconds: Number | None = None
    idle_mib: Number | None = None
    at: Number | None = None
    cached: Number | None = None
    withheld_seconds: Number | None = None
    untimed_seconds: Number | None = None
    tasks: Count | None = None
    moved_bytes: Count | None = None
    graph_seconds: Number | None = None
    read_bytes: Count | None = None
    lost_workers: Count = 0
    side: str = ""
    look: FromOne = 1

    def __post_init__(self) -> None:
        """Refuse a time that is none."""
        if self.status == "ok" and not (self.seconds and 0 < self.seconds < math.inf):
            raise ValueError(f"a sample that is ok needs seconds above 0, not {self.seconds!r}")

    @property
    def backend(self) -> BackendSpec:
        """What was timed."""
        return BackendSpec(self.reader, self.processor, self.scheduler, self.batch)

    @property
    def case(self) -> Case:
        """What it is a sample of."""
        return Case(self.backend, self.n_images, self.phase)


def sample_of(case: Case, **values: Any) -> Sample:
    """Make the sample of a case, given the other fields."""
    return Sample(**vars(case.backend), phase=case.phase, n_images=case.n_images, **values)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One line of ``profiles.jsonl``: what a fresh process of a backend pays, and for what.

    Attributes
    ----------
    reader, processor, scheduler, batch : str, int
        The backend.
    n_images, shape : int, str
        Size of the input of the profiled call of the pipeline, and as in a `Sample`.
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
    batch: Count = 0
    n_images: Count
    shape: str = ""
    status: str = "ok"
    cause: str = ""
    import_seconds: Number = 0.0
    start_seconds: Number = 0.0
    first_seconds: Number = 0.0
    seconds: Number = 0.0
    parts: dict[str, Number] = field(default_factory=dict)
    tasks: Count = 0
    calls: dict[str, Count] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a time that is none."""
        if self.status == "ok" and not (self.seconds > 0 and self.n_images > 0):
            raise ValueError("a profile that is ok needs seconds and images above 0")

    @property
    def backend(self) -> BackendSpec:
        """Whose time it is."""
        return BackendSpec(self.reader, self.processor, self.scheduler, self.batch)


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
        As :mod:`segbench.measure.machine` and the engine describe them: free text for people and
        for programs that compare runs, so their keys are not fixed here.
    backends : dict of str to Description
        What each backend says of itself, by its spec; empty in runs of earlier versions.
    shapes : dict of str to dict
        Where images of several shapes were asked for, the dataset of each; `dataset` is the first.
    resumed : int
        How often the run was interrupted and went on.
    digest : str
        Of the folder of a run that has ended, as `digest` gives it; empty until then, and in a gate.
        It is the last key of the line.
    """

    schema: int = SCHEMA
    started: str
    machine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)
    backends: dict[str, Description] = field(default_factory=dict)
    shapes: dict[str, dict[str, Any]] = field(default_factory=dict)
    resumed: Count = 0
    digest: str = ""


@dataclass(frozen=True)
class Records:
    """A file of records as it was read.

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
    notes: tuple[str, ...] = ()


def json_schema(kind: type[Header | Sample | Profile]) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a line: of the header, of a sample, or of a profile."""
    schema = msgspec.json.schema(kind)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


class Writer:
    """Appends samples to a file of records.

    Each is with the operating system before the next is taken, so that it outlives this process
    however that ends, and on the disk (where a power cut leaves it) with the first sample that ends
    `SYNC_SECONDS` later, or at the end.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._synced = time.monotonic()

    @classmethod
    def create(cls, path: Path, header: Header) -> Self:
        """Start a new file, in a folder that is made where it is missing.

        Raises
        ------
        InputError
            If it exists.
        """
        refuse_existing(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name == RUN_NAME:  # of a run that was here and was removed
            path.with_name(PROFILES_NAME).unlink(missing_ok=True)
        writer = cls(path.open("xb"))
        writer.append(header)
        return writer

    @classmethod
    def reopen(cls, path: Path) -> Self:
        """Go on with a file; a damaged last line is taken away, and its header counts that it went on.

        That of a run that had ended, to which nothing may have to be added, stays as it is.

        Raises
        ------
        InputError
            As `read` does.
        """
        _keep_lines(path, 1 + len(read(path).samples))
        header, *lines = untrusted.read_lines(path)
        told = json.loads(header)
        if not told.pop("digest", ""):
            told |= {"resumed": told.get("resumed", 0) + 1, "digest": ""}
            files.write_bytes(path, jsonl.encode(told) + b"".join(lines))
        return cls(untrusted.open_file(path, mode="ab"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Unless it was closed on an error.
        if not self._file.closed:
            os.fsync(self._file.fileno())
        self._file.close()

    def append(self, record: Header | Sample) -> None:
        """Write one line."""
        self._file.write(jsonl.encode(record))
        self._file.flush()
        if time.monotonic() - self._synced > SYNC_SECONDS:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()


def refuse_existing(path: Path) -> None:
    """Look whether a file of records may be written.

    Raises
    ------
    InputError
        If it exists: what was measured is never overwritten.
    """
    if path.exists():
        raise InputError(f"{path} exists: give another --out, or remove it")


def read(path: Path) -> Records:
    """Read the records of a run or of a gate.

    Raises
    ------
    InputError
        If the file is missing, or a line but the last can't be understood; names the line.
    """
    lines = untrusted.read_lines(path)
    if not lines:
        raise InputError(f"{path}: the file is empty; measure again")
    header = _parse(lines[0], Header, f"{path}, line 1")
    untrusted.check_header(header, f"{path}, line 1")
    if header.schema != SCHEMA:
        raise InputError(f"{path}: schema {header.schema}, but this segbench reads {SCHEMA}")
    if b'"base_seconds"' in b"".join(lines[1:2]):
        pairs, damaged = _parse_all(lines[1:], _OldPair, path, first=2)
        samples = [sample for pair in pairs for sample in pair.samples()]
    else:
        samples, damaged = _parse_all(lines[1:], Sample, path, first=2)
    untrusted.check_records(samples, str(path))
    notes = (f"line {len(lines)}, the last, is damaged: left out",) if damaged else ()
    return Records(header, samples, notes)


def write_profile(folder: Path, profile: Profile) -> None:
    """Append a line to the folder's ``profiles.jsonl``."""
    path = folder / PROFILES_NAME
    if path.exists():
        _keep_lines(path, len(read_profiles(folder)))
    with untrusted.open_file(path, mode="ab") as file:
        file.write(jsonl.encode(profile))


def read_profiles(folder: Path) -> list[Profile]:
    """Read ``profiles.jsonl``; empty where a run has none, without a damaged last line.

    Raises
    ------
    InputError
        If a line but the last can't be understood; names the line.
    """
    path = folder / PROFILES_NAME
    if not (path.exists() or path.is_symlink()):
        return []
    profiles, _ = _parse_all(untrusted.read_lines(path), Profile, path, first=1)
    untrusted.check_records(profiles, str(path))
    return profiles


@dataclass(frozen=True, kw_only=True)
class _OldPair(Sample):
    """A line of a ``gate.jsonl`` as it was until version 0.1: both sides in one."""

    stage: Literal["first", "again"]
    status: Status = "ok"
    base_seconds: Number | None = None
    head_seconds: Number | None = None

    def __post_init__(self) -> None:
        """Refuse a time that is none, of either side."""
        self.samples()

    def samples(self) -> list[Sample]:
        """The same as a sample of each side; of the one alone that failed."""
        told = {"round": self.round, "block": self.block, "look": 1 + (self.stage == "again")}
        times = {"base": self.base_seconds, "head": self.head_seconds}
        return [
            sample_of(
                self.case, **told, side=side, seconds=seconds, status=self.status, cause=self.cause
            )
            for side, seconds in times.items()
            if self.side in ("", side)
        ]


def seal(folder: Path) -> None:
    """Write into the header of a run that has ended the digest of what its folder holds."""
    header, *lines = untrusted.read_lines(folder / RUN_NAME)
    sealed = _with_digest(header, digest(folder))
    files.write_bytes(folder / RUN_NAME, sealed + b"".join(lines))


def digest(folder: Path) -> str:
    """SHA-256 of a run: what was measured, whatever it says of itself.

    Of ``run.jsonl``, with an empty ``digest`` at the end of its header, then of ``profiles.jsonl`` and
    of ``sample.png``, where they are there. It tells a file that was cut, damaged or edited by
    accident. Whoever edits one on purpose can make a new digest.

    Raises
    ------
    InputError
        If one of them can't be read.
    """
    header, *lines = untrusted.read_lines(folder / RUN_NAME)
    found = hashlib.sha256(_with_digest(header, ""))
    found.update(b"".join(lines))
    for name in (PROFILES_NAME, PICTURE_NAME):
        if (folder / name).exists():
            found.update(untrusted.read_bytes(folder / name))
    return found.hexdigest()


def _with_digest(header: bytes, value: str) -> bytes:
    """The header's line with another digest; of an earlier version, which had none, with one more key."""
    start = re.sub(rb'(, "digest": "[^"]*")?\}\s*$', b"", header)
    return start + f', "digest": "{value}"}}\n'.encode()


def _keep_lines(path: Path, count: int) -> None:
    """Cut a file after so many lines, so that the next line begins on its own."""
    with untrusted.open_file(path, mode="r+b") as file:
        file.truncate(sum(len(line) for line in itertools.islice(file, count)))
        if count:
            file.seek(-1, os.SEEK_END)
            # A line that lacks nothing but its end.
            if file.read(1) != b"\n":
                file.write(b"\n")


def _parse_all(
    lines: list[bytes], kind: type[T], path: Path, *, first: int
) -> tuple[list[T], bool]:
    """Some lines as records, and whether the last was damaged and left out."""
    found: list[T] = []
    for number, line in enumerate(lines, start=first):
        try:
            found.append(_parse(line, kind, f"{path}, line {number}"))
        except InputError:
            # A process that is killed while it writes leaves half a line.
            if line is lines[-1]:
                return found, True
            raise
    return found, False


def _parse(line: bytes, kind: type[T], where: str) -> T:
    try:
        return jsonl.decode(line, kind)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not a {kind.__name__.strip('_').lower()} ({error})") from error
