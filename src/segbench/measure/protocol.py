"""What the engine and a worker process say to each other: one JSON object a line.

Plain lines over pipes, rather than pickles, so that a worker may run under another interpreter with
other versions of the libraries.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Start:
    """Load a backend, start its scheduler, and run the pipeline once on the image of a path.

    The first call imports what a library imports late, in the worker and in every process of its
    pool. Answered by `Started`, `Refused` or `Failed`.
    """

    backend: str
    workers: int
    image: str
    params: dict[str, str | int | float]


@dataclass(frozen=True)
class Reference:
    """Make the reference results of the images of a pattern; answered by `Made` or `Failed`.

    Written to `folder`: the pixels, the labels and the objects. `truth` names the ground truth
    label images of the first of them.
    """

    pattern: str
    folder: str
    truth: list[str]


@dataclass(frozen=True)
class Check:
    """Run a phase once and compare its result with the reference; answered by `Checked`."""

    phase: str
    pattern: str
    n_images: int
    folder: str


@dataclass(frozen=True)
class Time:
    """Take one sample of a phase; answered by `Timed` or `Failed`."""

    phase: str
    pattern: str
    n_images: int
    folder: str


@dataclass(frozen=True)
class Started:
    """The backend is ready; with the native thread pools that its libraries report."""

    thread_pools: list[str]


@dataclass(frozen=True)
class Made:
    """The reference is written: objects in each image, and the agreement with the truth if known."""

    objects: list[int]
    truth: dict[str, float] | None


@dataclass(frozen=True)
class Checked:
    """Seconds of the call, and how its result differs from the reference (empty: it agrees)."""

    seconds: float
    difference: str


@dataclass(frozen=True)
class Timed:
    """A sample: seconds of one call, number of calls, objects found (if any), peak in MiB."""

    seconds: float
    calls: int
    objects: int | None
    peak_mib: float | None


@dataclass(frozen=True)
class Failed:
    """A request failed with a status of the run file, and why."""

    status: str
    cause: str


@dataclass(frozen=True)
class Refused:
    """The backend can't be asked for at all: bad usage."""

    reason: str


Request = Start | Reference | Check | Time
Reply = Started | Made | Checked | Timed | Failed | Refused
_KINDS = {
    kind.__name__: kind
    for kind in (Start, Reference, Check, Time, Started, Made, Checked, Timed, Failed, Refused)
}


def encode(message: Request | Reply) -> str:
    """One line, with its end."""
    return json.dumps({"kind": type(message).__name__, **dataclasses.asdict(message)}) + "\n"


def decode(line: str) -> Request | Reply:
    """The message in a line."""
    values = json.loads(line)
    return _KINDS[values.pop("kind")](**values)
