"""``run.jsonl``: a header line, then one line a sample, written as it is taken.

Other programs read this file: keys are added, never changed.
"""

from __future__ import annotations

import dataclasses
import json
import math
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
        try:
            self._file = self.path.open("x", encoding="utf-8")
        except FileExistsError:
            raise InputError(f"{self.path} exists: give another --out, or remove it") from None
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


def read_run(folder: Path) -> tuple[Header, list[Sample]]:
    """Read a run folder.

    Raises
    ------
    InputError
        If the file is missing, or a line can't be understood; names the line.
    """
    path = folder / FILE_NAME
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: can't be read ({error})") from error
    if not lines:
        raise InputError(f"{path}: the file is empty; run again")
    header = _parse(lines[0], Header, f"{path}, line 1")
    if header.schema != SCHEMA:
        raise InputError(f"{path}: schema {header.schema}, but this segbench reads {SCHEMA}")
    samples = []
    for number, line in enumerate(lines[1:], start=2):
        sample = _parse(line, Sample, f"{path}, line {number}")
        if problem := _problem(sample):
            raise InputError(f"{path}, line {number}: {problem}")
        samples.append(sample)
    return header, samples


def _parse(line: str, kind: type[T], where: str) -> T:
    try:
        values = json.loads(line)
        return kind(**{name: values[name] for name in kind.__dataclass_fields__ if name in values})
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: not a {kind.__name__.lower()} of a run ({error})") from error


def _problem(sample: Sample) -> str:
    if sample.status not in STATUSES:
        return f"unknown status {sample.status!r}"
    if sample.status == "ok":
        seconds: object = sample.seconds  # whatever JSON held
        number = isinstance(seconds, int | float) and math.isfinite(seconds) and seconds > 0
        if not number:
            return f"a sample that is ok needs seconds above 0, not {seconds!r}"
    return ""
