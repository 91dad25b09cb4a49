"""``run.jsonl``: a header line, then one line a sample, written as it is taken.

Other programs read this file: keys are added, never changed.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

from segbench.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from segbench.backends.registry import BackendSpec

T = TypeVar("T", "Header", "Sample")

FILE_NAME = "run.jsonl"
SCHEMA = 1

STATUSES = {
    "ok": "timed, and the result agrees with the reference",
    "timeout": "a call took longer than the time limit; larger sizes were not tried",
    "memory": "a call needed more memory than there was",
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
    """

    phase: str
    reader: str
    processor: str
    scheduler: str
    n_images: int
    block: int
    seconds: float | None = None
    status: str
    objects: int | None = None
    peak_mib: float | None = None
    calls: int = 0
    cause: str = ""


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
        As :mod:`segbench.measure.environment` and the engine describe them: free text for people
        and for programs that compare runs, so their keys are not fixed here.
    """

    schema: int = SCHEMA
    started: str
    machine: dict[str, Any]
    versions: dict[str, str]
    settings: dict[str, Any]
    dataset: dict[str, Any]


def sample_of(backend: BackendSpec, **values: Any) -> Sample:
    """Make the sample of a backend, given the other fields."""
    return Sample(
        reader=backend.reader, processor=backend.processor, scheduler=backend.scheduler, **values
    )


class RunWriter:
    """Appends lines to a new ``run.jsonl``; each is on its way to the disk before the next is taken."""

    def __init__(self, folder: Path, header: Header) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE_NAME
        refuse_existing(folder)
        self._file = self.path.open("x", encoding="utf-8")
        self._append(dataclasses.asdict(header))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def append(self, sample: Sample) -> None:
        """Write one sample."""
        self._append(dataclasses.asdict(sample))

    def _append(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()


def refuse_existing(folder: Path) -> None:
    """Look whether a run may be written to a folder.

    Raises
    ------
    InputError
        If it holds a run already: what was measured is never overwritten.
    """
    if (folder / FILE_NAME).exists():
        raise InputError(f"{folder / FILE_NAME} exists: give another --out, or remove it")


def read_run(folder: Path) -> tuple[Header, list[Sample]]:
    """Read a run folder.

    Raises
    ------
    InputError
        If the file is missing, or a line can't be understood; names the line.
    """
    path = folder / FILE_NAME
    try:
        # By line feeds alone: str.splitlines would also cut at characters that JSON strings may hold.
        with path.open(encoding="utf-8") as file:
            lines = list(file)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: can't be read ({error})") from error
    if not lines:
        raise InputError(f"{path}: the file is empty; run again")
    header = _parse(lines[0], Header, f"{path}, line 1")
    if header.schema != SCHEMA:
        raise InputError(f"{path}: schema {header.schema}, but this segbench reads {SCHEMA}")
    for name in ("machine", "versions", "settings", "dataset"):
        if not isinstance(getattr(header, name), dict):
            raise InputError(f"{path}, line 1: {name} is not an object")
    samples = []
    for number, line in enumerate(lines[1:], start=2):
        sample = _parse(line, Sample, f"{path}, line {number}")
        if problem := problem_of(sample):
            raise InputError(f"{path}, line {number}: {problem}")
        samples.append(sample)
    return header, samples


def _parse(line: str, kind: type[T], where: str) -> T:
    try:
        values = json.loads(line)
        return kind(**{name: values[name] for name in kind.__dataclass_fields__ if name in values})
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{where}: not a {kind.__name__.lower()} of a run ({error})") from error


def problem_of(sample: Sample) -> str:
    """Why a sample that was read from a file can't be used; empty where it can."""
    values: dict[str, object] = dataclasses.asdict(sample)  # whatever JSON held
    for name in ("phase", "reader", "processor", "scheduler", "status", "cause"):
        if not isinstance(values[name], str):
            return f"{name} is not text: {values[name]!r}"
    if sample.status not in STATUSES:
        return f"unknown status {sample.status!r}"
    for name, lowest in (("n_images", 1), ("block", 0), ("calls", 0)):
        value = values[name]
        if not _is_number(value) or not isinstance(value, int) or value < lowest:
            return f"{name} is not a whole number from {lowest} up: {value!r}"
    for name in ("seconds", "objects", "peak_mib"):
        if values[name] is not None and not _is_number(values[name]):
            return f"{name} is not a number: {values[name]!r}"
    if sample.status == "ok" and not (sample.seconds and sample.seconds > 0):
        return f"a sample that is ok needs seconds above 0, not {sample.seconds!r}"
    return ""


def _is_number(value: object) -> bool:
    """Whether a column of numbers can hold a value: neither NaN nor beyond 64 bits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -(2**63) < value < 2**63
