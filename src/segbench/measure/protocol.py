"""What the engine and a worker process say to each other: one JSON object a line.

Plain lines over pipes, rather than pickles, so that a worker may run under another interpreter with
other versions of the libraries.
"""

from __future__ import annotations

import msgspec

from segbench import jsonl
from segbench.backends.schedulers import Cluster  # noqa: TC001  (read when messages are decoded)

# Grows when a request asks for something else than before: an older worker would do without it.
NUMBER = 3


class Message(msgspec.Struct, frozen=True, tag=True, tag_field="kind"):
    """What either side says; of a field that the other's version does not know it reads nothing."""


class First(Message, frozen=True):
    """What the first request to a worker says: which backend, and what it is tried on.

    `image` is the path of a single image, for the first call; `cluster` where the scheduler
    `distributed` runs.
    """

    backend: str
    workers: int
    image: str
    params: dict[str, bool | str | int | float]
    cluster: Cluster


class Start(First, frozen=True):
    """Load a backend, start its scheduler, and run the pipeline once on the image of a path.

    The first call imports what a library imports late, in the worker and in every process of its
    pool. Every later call is made longer by the share `slowdown` of its time: so is found out what
    a comparison sees. `memory` is what it may hold, in GiB. Answered by `Started`, `Refused` or `Failed`.
    """

    slowdown: float = 0.0
    memory: float | None = None


class Reference(Message, frozen=True):
    """Make the reference results of the images of a pattern; answered by `Made` or `Failed`.

    Written to `folder`: the pixels, the labels and the objects. `truth` names the ground truth
    label images of the first of them. With `table_only` the objects alone are written: of an image
    that is too large for the rest.
    """

    pattern: str
    folder: str
    truth: list[str]
    table_only: bool = False


class Pace(msgspec.Struct, frozen=True):
    """How a case is called: `warm` times after its first call, and `calls` times for each sample.

    `short`: a sample is preceded by a call that is not timed.
    """

    warm: int
    calls: int
    short: bool


class Check(Message, frozen=True):
    """Make a case ready: run its phase once, compare the result with the reference, warm up.

    `sample_seconds` is how long a sample is to last at the least. Where `few` is not 0, the case
    was compared in an earlier process and its calls take long: it is neither run nor compared, but
    warmed up with the first `few` images, those of `few_pattern`. With a `pace` it is called as often
    as that says, by no clock. Answered by `Checked` or `Failed`.
    """

    phase: str
    pattern: str
    n_images: int
    folder: str
    sample_seconds: float
    few: int = 0
    few_pattern: str = ""
    pace: Pace | None = None


class Time(Message, frozen=True):
    """Take one sample of a phase that was made ready, of so many calls; answered by `Timed`.

    `warm`: a short call may be preceded by one that is not timed. `cpu`: the number of the CPU that
    it is to run on, if on one.
    """

    phase: str
    calls: int
    warm: bool
    cpu: int | None


class Profile(First, frozen=True):
    """Profile a backend in this process, which has done nothing else; answered by `Profiled`.

    `pattern` and `n_images` are of the images of the profiled calls; `started` is when the process
    was, on the clock ``time.perf_counter``.
    """

    pattern: str
    n_images: int
    started: float


class Started(Message, frozen=True):
    """The backend is ready; with the native thread pools that its libraries report.

    `protocol` is the `NUMBER` of the worker's version; 0 of one that had none. `cluster` says what
    cluster it works on, if it does.
    """

    thread_pools: list[str]
    protocol: int = 0
    cluster: str = ""


class Made(Message, frozen=True):
    """The reference is written: objects in each image, and the agreement with the truth if known."""

    objects: list[int]
    truth: dict[str, int | float] | None


class Checked(Message, frozen=True):
    """A case is ready.

    `seconds` and the memory at its peak, in MiB, are those of its first call (None where it was
    warmed up with fewer images), the idle one that of the worker before any; `difference` says how
    its result differs from the reference (empty: it agrees), `pace` how it was called.
    `tasks` is the number of tasks in Dask's graph of the `pipeline`, if it has one, and
    `graph_seconds` what building that took; `moved_bytes` is what the workers of a cluster sent in that
    call, `read_bytes` what was read from files in it, where the platform tells.
    """

    seconds: float | None
    difference: str
    idle_mib: float
    peak_mib: float | None
    pace: Pace
    tasks: int | None = None
    moved_bytes: int | None = None
    graph_seconds: float | None = None
    read_bytes: int | None = None


class Timed(Message, frozen=True):
    """A sample: mean seconds of its calls, and the objects found, if any.

    `cpu_seconds` is what the worker and its children worked, as a mean, too.
    `untimed_seconds` went into getting ready for it: the call that is not timed, and the collection
    of what the last sample left. `lost_workers` of a cluster were there at the start, and are no more.
    """

    seconds: float
    objects: int | None
    cpu_seconds: float
    untimed_seconds: float = 0.0
    lost_workers: int = 0


class Profiled(Message, frozen=True):
    """What :class:`segbench.results.records.Profile` holds beside the names."""

    import_seconds: float
    start_seconds: float
    first_seconds: float
    seconds: float
    parts: dict[str, float]
    tasks: int
    calls: dict[str, int]


class Failed(Message, frozen=True):
    """A request failed with a status of the records, and why."""

    status: str
    cause: str


class Refused(Message, frozen=True):
    """The backend can't be asked for at all: bad usage."""

    reason: str


Request = Start | Reference | Check | Time | Profile
Reply = Started | Made | Checked | Timed | Profiled | Failed | Refused


def encode(message: Request | Reply) -> bytes:
    """One line, with its end."""
    return jsonl.encode(message)


def decode(line: bytes | str) -> Request | Reply:
    """The message in a line."""
    message: Request | Reply = jsonl.decode(line, Request | Reply)  # type: ignore[arg-type]  # a union is no type, to mypy
    return message
