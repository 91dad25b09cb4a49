"""The engine: every arm once a block, in random order, each in a worker process of its own."""

from __future__ import annotations

import dataclasses
import itertools
import random
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from segbench import datasets
from segbench.backends.registry import BASELINE, BackendSpec
from segbench.errors import InputError
from segbench.measure import environment
from segbench.measure.cases import PHASES
from segbench.measure.process import WorkerProcess
from segbench.measure.protocol import (
    Check,
    Checked,
    Failed,
    Made,
    Reference,
    Refused,
    Reply,
    Start,
    Started,
    Time,
    Timed,
)
from segbench.runfile import Header, RunWriter, Sample, sample_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from segbench.datasets import Dataset
    from segbench.measure.settings import Settings

# On top of the limit of a call: a worker imports its libraries and starts its pool, all workers at
# the same time.
START_SECONDS = 30.0

# On top of it too: loading the reference and comparing with it.
COMPARE_SECONDS = 10.0

# What a worker has to put its pool away at the end of a run.
END_SECONDS = 5.0


class Watcher(Protocol):
    """Is told how the run goes on."""

    def plan(self, steps: int) -> None:
        """So many steps are ahead in all."""

    def step(self, text: str, *, steps: int = 1) -> None:
        """So many steps are over (or will not be needed); `text` says what is next."""

    def note(self, text: str) -> None:
        """Something the user should know."""


def run(
    dataset: Dataset,
    settings: Settings,
    *,
    out: Path,
    watcher: Watcher,
    command: str,
) -> list[Sample]:
    """Measure all cases and write ``run.jsonl``.

    Parameters
    ----------
    dataset : Dataset
        Sizes beyond its number of images are left out.
    settings : Settings
        What to measure.
    out : Path
        Folder for ``run.jsonl``; made once every backend has been accepted.
    watcher : Watcher
        Is told how the run goes on.
    command : str
        What the user typed, for the header.

    Returns
    -------
    list of Sample
        As written.

    Raises
    ------
    InputError
        If a backend makes no sense, or no size fits the dataset.
    """
    sizes, left_out = fitting_sizes(settings.sizes, dataset)
    if left_out:
        words = ", ".join(str(size) for size in left_out)
        watcher.note(f"{dataset.name} holds {len(dataset.files)} images: left out {words}")
    # Before the workers make the load that a reader would take for somebody else's.
    started, machine = datetime.now().astimezone(), environment.machine()
    with ExitStack() as stack:
        # Deleted last, after the workers that map its files have ended.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="segbench-"))
        engine = _Engine(dataset, settings, folder, watcher)
        stack.callback(engine.stop)
        engine.start()
        reference = engine.make_reference(sizes[-1])
        header = Header(
            started=started.isoformat(timespec="seconds"),
            machine=machine,
            versions=environment.versions(),
            settings=_describe_settings(engine, sizes, left_out, command),
            dataset=_describe_dataset(dataset, reference),
        )
        writer = stack.enter_context(RunWriter(out, header))
        samples = engine.measure(sizes, reference.objects, writer)
        engine.stop(grace=END_SECONDS)
        return samples


def fitting_sizes(
    sizes: Sequence[int], dataset: Dataset
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Split sizes into those that the dataset has images for, and the others.

    Raises
    ------
    InputError
        If it has images for none.
    """
    count = len(dataset.files)
    fitting = tuple(size for size in sizes if size <= count)
    if not fitting:
        raise InputError(
            f"{dataset.name} holds {count} images, fewer than the smallest size {min(sizes)}: "
            f"give --sizes up to {count}"
        )
    return fitting, tuple(size for size in sizes if size > count)


@dataclass
class _Arm:
    """A backend, its worker process, and what is known of it so far."""

    backend: BackendSpec
    worker: WorkerProcess
    thread_pools: list[str] = field(default_factory=list)
    # An arm that failed once is out: nothing more of it is tried.
    failure: Failed | None = None


class _Engine:
    """The arms of a run, side by side."""

    def __init__(self, dataset: Dataset, settings: Settings, folder: str, watcher: Watcher) -> None:
        self.dataset = dataset
        self.settings = settings
        self.folder = folder
        self.watcher = watcher
        self.workers: list[WorkerProcess] = []
        self.arms: list[_Arm] = []
        self.samples: list[Sample] = []

    def start(self) -> None:
        """Start a worker for every backend, all at once, and run each once on one image."""
        self.watcher.step("starting the workers", steps=0)
        # First of all the reference's: a worker of its own, whose memory is in no figure.
        image = datasets.lay_out(self.dataset, 1)
        self.reference = self._launch(BASELINE, image)
        for backend in self.settings.backends:
            self.arms.append(_Arm(backend, self._launch(backend, image)))
        limit = START_SECONDS + self.settings.time_limit
        reply = self.reference.receive(limit=limit)
        if not isinstance(reply, Started):
            raise InputError(f"the reference {BASELINE} failed: {_failure(reply).cause}")
        for arm in self.arms:
            reply = arm.worker.receive(limit=limit)
            if isinstance(reply, Refused):
                raise InputError(reply.reason)
            if isinstance(reply, Started):
                arm.thread_pools = reply.thread_pools
            else:
                self._fail(arm, _failure(reply))

    def _launch(self, backend: BackendSpec, image: str) -> WorkerProcess:
        worker = WorkerProcess(native_threads=self.settings.native_threads)
        self.workers.append(worker)
        params = dataclasses.asdict(self.settings.params)
        worker.send(Start(str(backend), self.settings.workers, image, params))
        return worker

    def _fail(self, arm: _Arm, failure: Failed) -> None:
        arm.failure = failure
        self.watcher.note(f"{arm.backend}: {failure.status}, {failure.cause}")

    def stop(self, *, grace: float = 0.0) -> None:
        """End all workers, after so many seconds in which they may do so themselves."""
        for worker in self.workers:
            worker.close()
        for worker in self.workers:
            worker.stop(grace=grace)

    def make_reference(self, count: int) -> Made:
        """Have the baseline segment the images that all others are compared on."""
        self.watcher.step("segmenting with the reference", steps=0)
        pattern = datasets.lay_out(self.dataset, count)
        truth = [str(file) for file in self.dataset.truth[:count]]
        # No limit: without a reference there is nothing to rank.
        reply = self.reference.ask(Reference(pattern, self.folder, truth), limit=None)
        self.reference.stop(grace=END_SECONDS)
        if isinstance(reply, Made):
            return reply
        raise InputError(
            f"the reference {BASELINE} failed on {self.dataset.name}: {_failure(reply).cause}"
        )

    def measure(
        self, sizes: Sequence[int], objects: Sequence[int], writer: RunWriter
    ) -> list[Sample]:
        """Time all cases, size by size, each in blocks."""
        phases, blocks = self.settings.phases, range(1, self.settings.blocks + 1)
        self.watcher.plan(len(sizes) * len(self.arms) * (1 + len(phases) * len(blocks)))
        order = random.Random(self.settings.seed)  # noqa: S311  (an order, not a secret)
        for size in sizes:
            pattern = datasets.lay_out(self.dataset, size)
            for arm in self.arms:
                self.watcher.step(f"{size} images: comparing {arm.backend} with the reference")
                self._check(arm, pattern, size, writer)
            for block, phase in itertools.product(blocks, phases):
                for arm in order.sample(self.arms, len(self.arms)):
                    self.watcher.step(f"{size} images: block {block} of {len(blocks)}, {phase}")
                    if arm.failure is None:
                        sample = self._sample(arm, phase, pattern, size, block, sum(objects[:size]))
                        if sample:
                            self._record(sample, writer)
                        else:
                            self._record_failure(arm, size, block, writer)
        return self.samples

    def _check(self, arm: _Arm, pattern: str, size: int, writer: RunWriter) -> None:
        """Run each phase once and compare; an arm that fails, or has failed, gets its rows."""
        if arm.failure:
            not_tried = "" if arm.failure.status == "unavailable" else "not tried: "
            self._record_failure(arm, size, 0, writer, prefix=not_tried)
            return
        limit = self.settings.time_limit
        # The pipeline in any case: it gives the cells that are compared.
        for phase in (phase for phase in PHASES if phase in {*self.settings.phases, "pipeline"}):
            request = Check(phase, pattern, size, self.folder)
            reply = arm.worker.ask(request, limit=limit + COMPARE_SECONDS)
            if isinstance(reply, Checked) and reply.seconds > limit:
                reply = Failed("timeout", f"took longer than {limit:g} s")
            if not isinstance(reply, Checked) or reply.difference:
                self._fail(arm, _failure(reply, f"{phase} of {size} images"))
                self._record_failure(arm, size, 0, writer)
                return

    def _sample(
        self, arm: _Arm, phase: str, pattern: str, size: int, block: int, objects: int
    ) -> Sample | None:
        """Take a sample; None where the arm failed."""
        reply = arm.worker.ask(
            Time(phase, pattern, size, self.folder), limit=self.settings.time_limit
        )
        if isinstance(reply, Timed) and reply.objects in (None, objects):
            return sample_of(
                arm.backend,
                phase=phase,
                n_images=size,
                block=block,
                seconds=reply.seconds,
                status="ok",
                objects=reply.objects,
                peak_mib=reply.peak_mib,
                calls=reply.calls,
            )
        self._fail(arm, _failure(reply, f"{phase} of {size} images"))
        return None

    def _record_failure(
        self, arm: _Arm, size: int, block: int, writer: RunWriter, *, prefix: str = ""
    ) -> None:
        """Write the failure of an arm as a row of every phase: nothing of this size is ranked."""
        assert arm.failure is not None  # noqa: S101  (told to the type checker)
        for phase in self.settings.phases:
            row = sample_of(
                arm.backend,
                phase=phase,
                n_images=size,
                block=block,
                status=arm.failure.status,
                cause=prefix + arm.failure.cause,
            )
            self._record(row, writer)

    def _record(self, sample: Sample, writer: RunWriter) -> None:
        writer.append(sample)
        self.samples.append(sample)


def _failure(reply: Reply, what: str = "start") -> Failed:
    """A reply that is not the one hoped for, as a status and its cause."""
    if isinstance(reply, Failed):
        return Failed(reply.status, f"{what}: {reply.cause}")
    if isinstance(reply, Checked):
        return Failed("wrong-result", f"{what}: {reply.difference}")
    if isinstance(reply, Timed):
        return Failed("wrong-result", f"{what}: {reply.objects} objects, other than when compared")
    return Failed("error", f"{what}: unexpected answer {type(reply).__name__}")


def _describe_settings(
    engine: _Engine, sizes: Sequence[int], left_out: Sequence[int], command: str
) -> dict[str, Any]:
    return {
        **dataclasses.asdict(engine.settings),
        "backends": [str(backend) for backend in engine.settings.backends],
        "sizes": sizes,
        "sizes_left_out": left_out,
        "baseline": str(BASELINE),
        "command": command,
        "thread_pools": {str(arm.backend): arm.thread_pools for arm in engine.arms},
    }


def _describe_dataset(dataset: Dataset, reference: Made) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "images": len(dataset.files),
        "shape": dataset.shape,
        "dtype": dataset.dtype,
        "key": dataset.key,
        "objects": sum(reference.objects),
        "truth": reference.truth,
    }
