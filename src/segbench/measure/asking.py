"""How a worker is asked, and what its answer means: what the engine and the gate have in common."""

from __future__ import annotations

import dataclasses
import math
import os
from typing import TYPE_CHECKING

from segbench.backends import schedulers
from segbench.measure import protocol
from segbench.measure.protocol import Checked, Failed, Refused, Reply, Timed
from segbench.measure.workers import over_memory

if TYPE_CHECKING:
    from segbench.backends.registry import BackendSpec
    from segbench.pipeline import PipelineParams

# On top of the limit of a call: a worker imports its libraries and starts its pool, all workers at
# the same time.
START_SECONDS = 30.0

# On top of it too: loading the reference, comparing with it, and warming up. More for more pixels.
COMPARE_SECONDS = 10.0
COMPARED_PER_SECOND = 10e6

# So much longer than its calls may a sample take: a collection before it, and the answer's way.
SAMPLE_EXTRA_SECONDS = 1.0

# A sample shorter than this is within reach of the clock and of the interpreter's own noise, so it
# is made of as many calls as it takes.
SAMPLE_SECONDS = 0.005


def start(
    backend: BackendSpec,
    *,
    workers: int,
    image: str,
    params: PipelineParams,
    slowdown: float = 0.0,
) -> protocol.Start:
    """The request that starts a backend."""
    return protocol.Start(str(backend), workers, image, dataclasses.asdict(params), slowdown)


def check_limit(time_limit: float, *, size: int, shape: tuple[int, ...]) -> float:
    """Seconds that a `protocol.Check` of so many images of a shape may take."""
    pixels = size * math.prod(shape[:2])
    return time_limit + COMPARE_SECONDS + pixels / COMPARED_PER_SECOND


def checked(reply: Reply, *, time_limit: float, memory_limit: float) -> Checked | Failed:
    """An answer to `protocol.Check`, or how it failed.

    Looks at what only the worker knows, too: the time of the call alone, and its peak.
    """
    if not isinstance(reply, Checked):
        return failure(reply)
    if reply.seconds > time_limit:
        return Failed("timeout", f"took longer than {time_limit:g} s")
    held = (reply.peak_mib or 0.0) / 1024
    if held > memory_limit:
        return Failed("memory", over_memory(held, memory_limit))
    return Failed("wrong-result", reply.difference) if reply.difference else reply


def timed(reply: Reply, *, time_limit: float, objects: int) -> Timed | Failed:
    """An answer to `protocol.Time`, or how it failed; `objects` is how many are there to be found."""
    if not isinstance(reply, Timed):
        return failure(reply)
    if reply.seconds > time_limit:
        return Failed("timeout", f"took longer than {time_limit:g} s")
    if reply.objects not in (None, objects):
        return Failed("wrong-result", f"{reply.objects} objects, other than when compared")
    return reply


def failure(reply: Reply) -> Failed:
    """An answer that is not the one hoped for, as a status and its cause."""
    if isinstance(reply, Failed):
        return reply
    if isinstance(reply, Refused):
        return Failed("error", reply.reason)
    return Failed("error", f"unexpected answer {type(reply).__name__}")


def cpu_of(backend: BackendSpec, phase: str, turn: int) -> int | None:
    """The CPU that whatever works on one CPU has in its turn; each CPU has one.

    None for what works on several, and where a process can't be put on one.
    """
    # To open is to list files and to build a task graph: no scheduler has a part in that.
    on_one = phase == "open" or backend.scheduler in schedulers.ON_ONE_CPU
    if not on_one or not hasattr(os, "sched_getaffinity"):
        return None
    cpus = sorted(os.sched_getaffinity(0))
    return cpus[turn % len(cpus)]
