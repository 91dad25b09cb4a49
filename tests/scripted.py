"""Workers that answer at once, as a script says: the loops of a run and a gate without a process."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segbench.backends import readers, skimage
from segbench.backends.interface import Backend
from segbench.backends.schedulers import Scheduler
from segbench.measure import protocol
from segbench.measure.protocol import (
    Check,
    Checked,
    Made,
    Pace,
    Profile,
    Profiled,
    Reference,
    Start,
    Started,
    Time,
    Timed,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from segbench.measure.protocol import Reply, Request
    from segbench.measure.workers import Arm

# A backend of which nothing is called.
PLAIN = Backend(readers.SKIMAGE, skimage.PROCESSOR, Scheduler("serial", 1, lambda *_: []))

# Objects in each image.
OBJECTS = 7


@dataclass
class Script:
    """What some workers answer, and what they were asked.

    Attributes
    ----------
    seconds : callable
        What a call takes, from the arm and the request to time it.
    otherwise : callable
        An answer in place of the usual one, from the arm and the request; None for the usual one.
    cpu_seconds : callable, optional
        What it works, likewise; None: as long as it takes.
    calls : int
        That make a sample.
    peak_mib : callable
        What a worker holds at its peak, from the arm.
    tasks : callable
        In the graph of the pipeline, from the arm.
    asked : list of (Arm, Request)
        In order.
    workers : list of ScriptedWorker
        All that were started, in order.
    """

    seconds: Callable[[Arm, Time], float] = lambda _arm, _request: 0.01
    otherwise: Callable[[Arm, Request], Reply | None] = lambda _arm, _request: None
    cpu_seconds: Callable[[Arm, Time], float] | None = None
    calls: int = 3
    peak_mib: Callable[[Arm], float] = lambda _arm: 120.0
    tasks: Callable[[Arm], int] = lambda _arm: 48
    asked: list[tuple[Arm, Request]] = field(default_factory=list)
    workers: list[ScriptedWorker] = field(default_factory=list)

    def launch(self, arm: Arm) -> ScriptedWorker:
        """Start a worker."""
        worker = ScriptedWorker(arm, self)
        self.workers.append(worker)
        return worker

    def timed(self) -> list[tuple[Arm, Time]]:
        """The requests to time, with whom they went to."""
        return [(arm, request) for arm, request in self.asked if isinstance(request, Time)]

    def answer(self, arm: Arm, request: Request) -> Reply:
        """The answer to a request."""
        self.asked.append((arm, request))
        return self.otherwise(arm, request) or self._usual(arm, request)

    def _usual(self, arm: Arm, request: Request) -> Reply:
        if isinstance(request, Start):
            return Started(["a pool 1"], protocol.NUMBER)
        if isinstance(request, Reference):
            folder, count = Path(request.folder), int(request.pattern != "") * 500
            np.save(folder / "pixels.npy", np.zeros((1, 16, 16), np.uint8))
            np.save(folder / "labels.npy", np.zeros((1, 16, 16), np.int32))
            return Made([OBJECTS] * count, None)
        if isinstance(request, Check):
            if request.few:
                return Checked(None, "", 100.0, None, Pace(1, 1, short=False))
            tasks = self.tasks(arm) if request.phase == "pipeline" else None
            pace = request.pace or Pace(2, self.calls, short=False)
            return Checked(0.02, "", 100.0, self.peak_mib(arm), pace, tasks)
        if isinstance(request, Time):
            found = OBJECTS * arm_size(self, arm) if request.phase in FINDING else None
            seconds = self.seconds(arm, request)
            worked = self.cpu_seconds(arm, request) if self.cpu_seconds else seconds
            return Timed(seconds, found, worked, 0.001)
        assert isinstance(request, Profile)
        return Profiled(0.5, 0.1, 0.2, 1.0, {"decode": 1.0}, 0, {"decode": request.n_images})


FINDING = ("process", "pipeline")


def arm_size(script: Script, arm: Arm) -> int:
    """How many images the last check of an arm was about."""
    checks = [request for one, request in script.asked if one == arm and isinstance(request, Check)]
    return checks[-1].n_images


class ScriptedWorker:
    """One that answers from a script."""

    def __init__(self, arm: Arm, script: Script) -> None:
        self.arm = arm
        self.stopped = False
        self._script = script
        self._requests: list[Request] = []

    def send(self, request: Request) -> None:
        """Take a request."""
        self._requests.append(request)

    def receive(self, *, limit: float | None) -> Reply:  # noqa: ARG002  (the interface's)
        """Answer the first request that has no answer yet."""
        assert not self.stopped, "a worker that was stopped is asked"
        return self._script.answer(self.arm, self._requests.pop(0))

    def close(self) -> None:
        """Nothing has to be told."""

    def stop(self, *, grace: float = 0.0) -> None:  # noqa: ARG002  (the interface's)
        """It ends."""
        self.stopped = True


class Watcher:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.planned = 0
        self.done = 0
        self.texts: list[str] = []
        self.notes: list[str] = []

    def plan(self, steps: int) -> None:
        """Keep it."""
        self.planned = steps

    def step(self, text: str, *, steps: int = 1) -> None:
        """Keep it."""
        self.done += steps
        self.texts.append(text)

    def note(self, text: str) -> None:
        """Keep it."""
        self.notes.append(text)
