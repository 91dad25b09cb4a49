"""The engine: every arm once a block, in random order, each in a worker process of its own."""

from __future__ import annotations

import dataclasses
import math
import random
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from segbench.backends.registry import BASELINE, BackendSpec
from segbench.errors import InputError
from segbench.images import datasets
from segbench.measure import asking, pagecache, picture, protocol
from segbench.measure import machine as environment
from segbench.measure.cases import PHASES
from segbench.measure.profile import CALLS as PROFILED_CALLS
from segbench.measure.protocol import (
    Checked,
    Failed,
    Made,
    Profiled,
    Refused,
    Started,
)
from segbench.measure.settings import describe
from segbench.measure.tally import Tally
from segbench.measure.workers import WorkerProcess, set_variables, stop_all
from segbench.results import records
from segbench.results.records import Header, RunFile, RunWriter, Sample, sample_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segbench.images.datasets import Dataset
    from segbench.measure.machine import Fact
    from segbench.measure.settings import Settings

# Ground truth is compared for so many images at the most: 20 tell as much as 500, in half a second.
TRUTH_IMAGES = 20

# What a worker has to put its pool away at the end of a run.
END_SECONDS = 5.0

# Where the time goes is looked at with so many images, or the smallest size.
PROFILE_IMAGES = 20

# Up to so many images each case is measured in two rounds, the second one in new processes: two
# processes of one program differ for as long as they live, where arrays lie in memory that they
# keep. Larger arrays get new memory in every call, and would take long to be compared again.
ANEW_IMAGES = 50

NOT_TRIED = "not tried: "

# How often is looked at the CPU time that was withheld: a look takes half a millisecond.
WITHHELD_SECONDS = 1.0

# How often files are dropped from the page cache where somebody else looks at them, too.
COOL_TRIES = 3


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
    machine: Mapping[str, Fact],
    earlier: RunFile | None = None,
) -> None:
    """Measure all cases and write ``run.jsonl`` and ``profiles.jsonl``.

    Parameters
    ----------
    dataset : Dataset
        Sizes beyond its number of images are left out.
    settings : Settings
        What to measure.
    out : Path
        Folder of the run; made once every backend has been accepted.
    watcher : Watcher
        Is told how the run goes on.
    command : str
        What the user typed, for the header.
    machine : mapping
        What :func:`segbench.measure.machine.machine` told before segbench itself made a load.
    earlier : RunFile, optional
        What `out` holds of this run already: only what it lacks is measured.

    Raises
    ------
    InputError
        If a backend makes no sense, or no size fits the dataset.
    """
    sizes, left_out = fitting_sizes(settings.sizes, dataset, watcher)
    if settings.cache == "cold":
        for file in datasets.laid_out(dataset, sizes[-1]):
            pagecache.check(file)
    started = datetime.now().astimezone()
    with ExitStack() as stack:
        # Deleted last, after the workers that map its files have ended.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="segbench-"))
        engine = _Engine(dataset, settings, folder, watcher)
        stack.callback(engine.stop)
        reference = engine.start(sizes[-1])
        if earlier:
            engine.remember(earlier.samples)
            writer = RunWriter.reopen(out)
        else:
            header = Header(
                started=started.isoformat(timespec="seconds"),
                machine={**machine, "file_system": environment.file_system(dataset.files[0])},
                versions=environment.versions(),
                settings={
                    **describe(settings),
                    "sizes": sizes,
                    "sizes_left_out": left_out,
                    "baseline": str(BASELINE),
                    "command": command,
                    "variables": set_variables(native_threads=settings.native_threads),
                    "thread_pools": {str(arm.backend): arm.thread_pools for arm in engine.arms},
                },
                dataset={**datasets.describe(dataset), **_describe_reference(reference)},
            )
            writer = RunWriter.create(out, header)
        with writer:
            picture.write(Path(folder), out)
            engine.measure(sizes, reference.objects, writer)
        engine.stop(grace=END_SECONDS)
        engine.profile(sizes, out)


def fitting_sizes(
    sizes: Sequence[int], dataset: Dataset, watcher: Watcher
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Split sizes into those that the dataset has images for, and the others, which are told of.

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
    left_out = tuple(size for size in sizes if size > count)
    if left_out:
        words = ", ".join(str(size) for size in left_out)
        watcher.note(f"{dataset.name} holds {count} images: left out {words}")
    return fitting, left_out


@dataclass
class _Arm:
    """A backend, its worker process, and what is known of it so far."""

    backend: BackendSpec
    worker: WorkerProcess
    thread_pools: list[str] = field(default_factory=list)
    # An arm that failed once is out: nothing more of it is tried. 0: it failed when it started.
    failure: Failed | None = None
    failed_at: int = 0
    # Of the size at hand, by phase.
    ready: dict[str, Checked] = field(default_factory=dict)


class _Engine:
    """The arms of a run, side by side."""

    def __init__(self, dataset: Dataset, settings: Settings, folder: str, watcher: Watcher) -> None:
        self.dataset = dataset
        self.settings = settings
        self.folder = folder
        self.watcher = watcher
        self.workers: list[WorkerProcess] = []
        self.arms: list[_Arm] = []
        self.cases: defaultdict[tuple[int, str], Tally] = defaultdict(Tally)
        # Rows of failures that are written already.
        self.told: set[tuple[BackendSpec, int, str]] = set()
        # Seconds since the start of the run are counted from here.
        self.origin = time.perf_counter()
        self.withheld_before = environment.withheld_seconds()
        self.withheld = 0.0
        self.looked = -math.inf

    def start(self, count: int) -> Made:
        """Start a worker for every backend, all at once, and run each once on one image.

        Parameters
        ----------
        count : int
            Images that the reference is made of, which all are compared with.

        Returns
        -------
        Made
            By one more worker, whose memory is in no figure.
        """
        self.watcher.step("starting the workers", steps=0)
        reference = self._launch(BASELINE)
        pattern = datasets.lay_out(self.dataset, count)
        truth = [str(file) for file in self.dataset.truth[: min(count, TRUTH_IMAGES)]]
        reference.send(protocol.Reference(pattern, self.folder, truth))
        for backend in self.settings.backends:
            self.arms.append(_Arm(backend, self._launch(backend)))
        end = self._end_of_start()
        reply = reference.receive(limit=end - time.monotonic())
        if not isinstance(reply, Started):
            raise InputError(
                f"the reference {BASELINE} failed: start: {asking.failure(reply).cause}"
            )
        for arm in self.arms:
            self._hear_start(arm, end)
        self.watcher.step("segmenting with the reference", steps=0)
        # No limit: without a reference there is nothing to rank.
        reply = reference.receive(limit=None)
        reference.stop(grace=END_SECONDS)
        if isinstance(reply, Made):
            return reply
        cause = asking.failure(reply).cause
        raise InputError(f"the reference {BASELINE} failed on {self.dataset.name}: {cause}")

    def _start_anew(self) -> None:
        """End the workers of all arms that are left, and start others."""
        self.watcher.step("starting the workers anew", steps=0)
        live = self._live()
        stop_all((arm.worker for arm in live), grace=END_SECONDS)
        for arm in live:
            arm.worker = self._launch(arm.backend)
        end = self._end_of_start()
        for arm in live:
            # What it has measured of small sizes stays.
            self._hear_start(arm, end, size=ANEW_IMAGES + 1)

    def _end_of_start(self) -> float:
        return time.monotonic() + asking.START_SECONDS + self.settings.time_limit

    def _hear_start(self, arm: _Arm, end: float, *, size: int = 0) -> None:
        reply = arm.worker.receive(limit=max(0.0, end - time.monotonic()))
        if isinstance(reply, Refused):
            raise InputError(reply.reason)
        if isinstance(reply, Started):
            arm.thread_pools = reply.thread_pools
        else:
            self._fail(arm, _named(asking.failure(reply), "start"), size=size)

    def _live(self) -> list[_Arm]:
        return [arm for arm in self.arms if arm.failure is None]

    def _worker(self) -> WorkerProcess:
        worker = WorkerProcess(
            native_threads=self.settings.native_threads, memory_limit=self.settings.memory_limit
        )
        self.workers.append(worker)
        return worker

    def _launch(self, backend: BackendSpec) -> WorkerProcess:
        worker = self._worker()
        settings = self.settings
        image = datasets.lay_out(self.dataset, 1)
        worker.send(
            asking.start(backend, workers=settings.workers, image=image, params=settings.params)
        )
        return worker

    def _fail(self, arm: _Arm, failure: Failed, *, size: int = 0) -> None:
        arm.failure, arm.failed_at = failure, size
        # What it holds is not to weigh on the others.
        arm.worker.stop()
        self.watcher.note(f"{arm.backend}: {failure.status}, {failure.cause}")

    def stop(self, *, grace: float = 0.0) -> None:
        """End all workers, after so many seconds in which they may do so themselves."""
        stop_all(self.workers, grace=grace)

    def remember(self, samples: Sequence[Sample]) -> None:
        """Take the samples of an earlier, interrupted part of this run into account."""
        arms = {arm.backend: arm for arm in self.arms}
        withheld = 0.0
        for sample in samples:
            backend = BackendSpec(sample.reader, sample.processor, sample.scheduler)
            if sample.status == "ok":
                self.cases[sample.n_images, sample.phase].add(backend, sample)
            else:
                self.told.add((backend, sample.n_images, sample.phase))
                if backend in arms and arms[backend].failure is None:
                    failure = Failed(sample.status, sample.cause)
                    self._fail(arms[backend], failure, size=sample.n_images)
            if sample.at is not None:
                self.origin = min(self.origin, time.perf_counter() - sample.at)
            withheld = max(withheld, sample.withheld_seconds or 0.0)
        if self.withheld_before is not None:
            self.withheld_before -= withheld

    def measure(self, sizes: Sequence[int], objects: Sequence[int], writer: RunWriter) -> None:
        """Time all cases, size by size, each in blocks; small sizes in two rounds."""
        small = [size for size in sizes if size <= ANEW_IMAGES]
        large = [size for size in sizes if size > ANEW_IMAGES]
        phases = self.settings.phases
        # A step is a comparison, a case, or a profile.
        visits = 2 * len(small) + len(large)
        self.watcher.plan(visits * (len(self.arms) + len(phases)) + len(self.arms))
        if self.cases and not any(self._todo(size, 2) for size in sizes):
            self.watcher.note("nothing is left to measure")
        used = any(self._todo(size, 1) for size in small)
        for size in small:
            self._measure_size(size, 1, sum(objects[:size]), writer)
        if used and any(self._todo(size, 2) for size in small):
            self._start_anew()
        for size in small:
            self._measure_size(size, 2, sum(objects[:size]), writer)
        for size in large:
            self._measure_size(size, 2 if small else 1, sum(objects[:size]), writer)

    def _measure_size(self, size: int, number: int, objects: int, writer: RunWriter) -> None:
        """Take what a size lacks in a round."""
        todo = self._todo(size, number)
        pattern = datasets.lay_out(self.dataset, size)
        for arm in self.arms:
            self.watcher.step(f"{size} images: comparing {arm.backend} with the reference")
            if todo and arm.failure is None:
                self._check(arm, pattern, size)
            # Of a size that was finished earlier, an arm that fails now keeps its samples.
            if arm.failure and todo and size >= arm.failed_at:
                self._record_failure(arm, size, writer)
        for phase in self.settings.phases:
            self.watcher.step(f"{size} images: {phase}")
            while phase in todo and not self._over(size, phase, number):
                block = self.cases[size, phase].next_block()
                self.watcher.step(f"{size} images: {phase}, block {block}", steps=0)
                self._take_block(size, phase, block, number, objects, writer)

    def _todo(self, size: int, number: int) -> list[str]:
        """The phases of a size that a round has something left to measure of."""
        return [phase for phase in self.settings.phases if not self._over(size, phase, number)]

    def _over(self, size: int, phase: str, number: int) -> bool:
        """Whether a round of a case is over."""
        case, limits = self.cases[size, phase], self.settings.limits
        live = [arm.backend for arm in self._live()]
        if not live:
            return True
        if size > ANEW_IMAGES:
            return case.over(live, limits=limits)
        if number == 1:
            return case.half_over(live, limits=limits)
        return case.both_over(live, limits=limits)

    def _check(self, arm: _Arm, pattern: str, size: int) -> None:
        """Make the cases of a size ready: run each phase once, compare, warm up."""
        settings = self.settings
        limit = asking.check_limit(settings.time_limit, size=size, shape=self.dataset.shape)
        arm.ready = {}
        # A warm call is not what is to be timed where the files are to be cold.
        sample_seconds = asking.SAMPLE_SECONDS if settings.cache == "warm" else 0.0
        # The pipeline in any case: it gives the cells that are compared. And `process` last: the
        # pixels that it is given would count in the memory of what comes after it.
        asked = [phase for phase in PHASES if phase in {*settings.phases, "pipeline"}]
        for phase in sorted(asked, key=lambda phase: phase == "process"):
            self._cool(size)
            request = protocol.Check(phase, pattern, size, self.folder, sample_seconds)
            reply = asking.checked(
                arm.worker.ask(request, limit=limit),
                time_limit=settings.time_limit,
                memory_limit=settings.memory_limit,
            )
            if isinstance(reply, Failed):
                self._fail(arm, _named(reply, f"{phase} of {size} images"), size=size)
                return
            arm.ready[phase] = reply

    def _take_block(
        self, size: int, phase: str, block: int, number: int, objects: int, writer: RunWriter
    ) -> None:
        """Time every arm once, in random order."""
        # Seeded by the block, so that a run that goes on later takes the order it would have taken.
        order = random.Random(f"{self.settings.seed}/{size}/{phase}/{block}")  # noqa: S311  (an order, not a secret)
        withheld = self._withheld()
        for arm in order.sample(self.arms, len(self.arms)):
            sample = None
            if arm.failure is None:
                sample = self._sample(arm, size, phase, block, number, objects, withheld)
            if sample:
                writer.append(sample)
                self.cases[size, phase].add(arm.backend, sample)
            # One that failed at a larger size keeps what the first round of this one has.
            elif size >= arm.failed_at:
                self._record_failure(arm, size, writer, phase=phase, block=block)

    def _sample(
        self,
        arm: _Arm,
        size: int,
        phase: str,
        block: int,
        number: int,
        objects: int,
        withheld: float | None,
    ) -> Sample | None:
        """Take a sample; None where the arm failed."""
        ready = arm.ready[phase]
        cached = self._cool(size)
        limit = self.settings.time_limit
        request = protocol.Time(
            phase,
            ready.calls,
            warm=self.settings.cache == "warm",
            cpu=asking.cpu_of(arm.backend, phase, block),
        )
        answer = arm.worker.ask(request, limit=asking.SAMPLE_EXTRA_SECONDS + ready.calls * limit)
        reply = asking.timed(answer, time_limit=limit, objects=objects)
        if isinstance(reply, Failed):
            self._fail(arm, _named(reply, f"{phase} of {size} images"), size=size)
            return None
        return sample_of(
            arm.backend,
            phase=phase,
            n_images=size,
            block=block,
            round=number,
            seconds=reply.seconds,
            status="ok",
            objects=reply.objects,
            peak_mib=ready.peak_mib,
            calls=ready.calls,
            first_seconds=ready.seconds,
            idle_mib=ready.idle_mib,
            at=round(time.perf_counter() - self.origin, 6),
            cached=cached,
            withheld_seconds=withheld,
            untimed_seconds=reply.untimed_seconds,
        )

    def _withheld(self) -> float | None:
        """CPU time that was withheld since the start of the run."""
        if self.withheld_before is None:
            return None
        now = time.monotonic()
        if now - self.looked >= WITHHELD_SECONDS:
            self.looked = now
            self.withheld = round((environment.withheld_seconds() or 0.0) - self.withheld_before, 3)
        return self.withheld

    def _cool(self, size: int) -> float | None:
        """Drop the files from the page cache, where they are to be cold; the share that stayed."""
        if self.settings.cache == "warm":
            return None
        # What the readers open: copies, where links can't be made.
        files = datasets.laid_out(self.dataset, size)
        for _ in range(COOL_TRIES):
            pagecache.drop(files)
            cached = pagecache.cached_share(files)
            if not cached:
                break
        return cached

    def _record_failure(
        self, arm: _Arm, size: int, writer: RunWriter, *, phase: str = "", block: int = 0
    ) -> None:
        """Write the failure of an arm as a row of every phase: nothing of this size is ranked."""
        assert arm.failure is not None  # noqa: S101  (told to the type checker)
        status, cause = arm.failure.status, arm.failure.cause
        if size > arm.failed_at and status != "unavailable":
            cause = NOT_TRIED + cause.removeprefix(NOT_TRIED)
        for each in self.settings.phases:
            if (arm.backend, size, each) in self.told:
                continue
            row = sample_of(
                arm.backend,
                phase=each,
                n_images=size,
                block=block if each == phase else 0,
                status=status,
                cause=cause,
            )
            writer.append(row)
            self.told.add((arm.backend, size, each))

    def profile(self, sizes: Sequence[int], out: Path) -> None:
        """Find out where the time of each arm goes, one at a time, in a fresh process."""
        size = max((size for size in sizes if size <= PROFILE_IMAGES), default=sizes[0])
        image, pattern = datasets.lay_out(self.dataset, 1), datasets.lay_out(self.dataset, size)
        params = dataclasses.asdict(self.settings.params)
        done = {
            BackendSpec(profile.reader, profile.processor, profile.scheduler)
            for profile in records.read_profiles(out)
        }
        for arm in self.arms:
            backend = arm.backend
            self.watcher.step(f"where the time of {backend} goes")
            if arm.failure or backend in done:
                continue
            worker = self._worker()
            workers = self.settings.workers
            reply = worker.ask(
                protocol.Profile(
                    str(backend), workers, image, pattern, size, params, worker.started
                ),
                # The first call on one image, one to warm up, and those that are recorded.
                limit=asking.START_SECONDS + (2 + PROFILED_CALLS) * self.settings.time_limit,
            )
            worker.stop(grace=END_SECONDS)
            found: dict[str, Any]
            if isinstance(reply, Profiled):
                found = dataclasses.asdict(reply)
            else:
                failure = _named(asking.failure(reply), "profile")
                found = {"status": failure.status, "cause": failure.cause}
                self.watcher.note(f"{backend}: {failure.status}, {failure.cause}")
            names = dataclasses.asdict(backend)
            records.write_profile(out, records.Profile(**names, n_images=size, **found))
        self.watcher.step("writing the report", steps=0)


def _named(failed: Failed, what: str) -> Failed:
    """A failure that says in what."""
    return Failed(failed.status, f"{what}: {failed.cause}")


def _describe_reference(reference: Made) -> dict[str, Any]:
    return {"objects": sum(reference.objects), "truth": reference.truth}
