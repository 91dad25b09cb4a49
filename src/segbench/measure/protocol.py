"""What the engine and a worker process say to each other: one JSON object a line.

Plain lines over pipes, rather than pickles, so that a worker may run under another interpreter with
other versions of the libraries.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import get_args

# Grows when a request asks for something else than before: an older worker would do without it.
NUMBER = 2


@dataclass(frozen=True)
class Start:
    """Load a backend, start its scheduler, and run the pipeline once on the image of a path.

    The first call imports what a library imports late, in the worker and in every process of its
    pool. Every later call is made longer by the share `slowdown` of its time: so is found out what
    a comparison sees. Answered by `Started`, `Refused` or `Failed`.
    """

    backend: str
    workers: int
    image: str
    params: dict[str, str | int | float]
    slowdown: float = 0.0


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
    """Make a case ready: run its phase once, compare the result with the reference, warm up.

    `sample_seconds` is how long a sample is to last at the least. Answered by `Checked` or
    `Failed`.
    """

    phase: str
    pattern: str
    n_images: int
    folder: str
    sample_seconds: float


@dataclass(frozen=True)
class Time:
    """Take one sample of a phase that was made ready, of so many calls; answered by `Timed`.

    `warm`: a short call may be preceded by one that is not timed. `cpu`: the number of the CPU that
    it is to run on, if on one.
    """

    phase: str
    calls: int
    warm: bool
    cpu: int | None


@dataclass(frozen=True)
class Profile:
    """Profile a backend in this process, which has done nothing else; answered by `Profiled`.

    `started` is when the process was, on the clock ``time.perf_counter``.
    """

    backend: str
    workers: int
    image: str
    pattern: str
    n_images: int
    params: dict[str, str | int | float]
    started: float


@dataclass(frozen=True)
class Started:
    """The backend is ready; with the native thread pools that its libraries report.

    `protocol` is the `NUMBER` of the worker's version; 0 of one that had none.
    """

    thread_pools: list[str]
    protocol: int = 0


@dataclass(frozen=True)
class Made:
    """The reference is written: objects in each image, and the agreement with the truth if known."""

    objects: list[int]
    truth: dict[str, float] | None


@dataclass(frozen=True)
class Checked:
    """A case is ready.

    `seconds` and the memory at its peak, in MiB, are those of its first call, the idle one that of
    the worker before any;
    `difference` says how its result differs from the reference (empty: it agrees), `calls` how many
    make a sample.
    """

    seconds: float
    difference: str
    idle_mib: float
    peak_mib: float | None
    calls: int


@dataclass(frozen=True)
class Timed:
    """A sample: mean seconds of its calls, and the objects found, if any.

    `untimed_seconds` went into getting ready for it: the call that is not timed, and the collection
    of what the last sample left.
    """

    seconds: float
    objects: int | None
    untimed_seconds: float = 0.0


@dataclass(frozen=True)
class Profiled:
    """What :class:`segbench.results.records.Profile` holds beside the names."""

    import_seconds: float
    start_seconds: float
    first_seconds: float
    seconds: float
    parts: dict[str, float]
    tasks: int
    calls: dict[str, int]


@dataclass(frozen=True)
class Failed:
    """A request failed with a status of the run file, and why."""

    status: str
    cause: str


@dataclass(frozen=True)
class Refused:
    """The backend can't be asked for at all: bad usage."""

    reason: str


Request = Start | Reference | Check | Time | Profile
Reply = Started | Made | Checked | Timed | Profiled | Failed | Refused
_KINDS = {kind.__name__: kind for kind in (*get_args(Request), *get_args(Reply))}
_FIELDS = {kind: {field.name for field in dataclasses.fields(kind)} for kind in _KINDS.values()}


def encode(message: Request | Reply) -> str:
    """One line, with its end."""
    return json.dumps({"kind": type(message).__name__, **dataclasses.asdict(message)}) + "\n"


def decode(line: str) -> Request | Reply:
    """The message in a line; what the other side's version says beyond this one's is left out."""
    values = json.loads(line)
    kind = _KINDS[values.pop("kind")]
    known = {name: value for name, value in values.items() if name in _FIELDS[kind]}
    message: Request | Reply = kind(**known)
    return message
