"""The engine: every arm once a block, in random order, each in a worker process of its own."""

from __future__ import annotations

import random
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from segbench.backends import registry
from segbench.backends.registry import BASELINE, BackendSpec
from segbench.errors import InputError
from segbench.images import datasets
from segbench.measure import machine as machines
from segbench.measure import pagecache, picture, workers
from segbench.measure import settings as asked
from segbench.measure.protocol import Checked, Failed, Made, Refused
from segbench.measure.settings import PHASES
from segbench.measure.stopping import Tally
from segbench.measure.workers import END_SECONDS, Arm, Conversation
from segbench.results import records
from segbench.results.records import Case, Header, Records, Sample, Writer, sample_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segbench.images.datasets import Dataset
    from segbench.images.origin import Origin
    from segbench.measure.machine import Fact
    from segbench.measure.settings import RunSettings
    from segbench.measure.workers import Launch

# Ground truth is compared for so many images at the most: 20 tell as much as 500, in half a second.
TRUTH_IMAGES = 20

# Where the time goes is looked at with so many images, or the smallest size.
PROFILE_IMAGES = 20

# Up to so many images each case is measured in two rounds, the second one in new processes: two
# processes of one program differ for as long as they live, where arrays lie in memory that they
# keep. Larger arrays get new memory in every call, and would take long to be compared again.
ANEW_IMAGES = 50

NOT_TRIED = "not tried: "

# What a machine may not change in the middle of a run.
SAME_MACHINE = ("architecture", "cpu", "cpus_available", "memory_gib")


class Watcher(Protocol):
    """Is told how the run goes on."""

    def plan(self, steps: int) -> None:
        """So many steps are ahead in all."""

    def step(self, text: str, *, steps: int = 1) -> None:
        """So many steps are over (or will not be needed); `text` says what is next."""

    def note(self, text: str) -> None:
        """Something the user should know."""


def start(
    origin: Origin, settings: RunSettings, *, out: Path, watcher: Watcher, command: str
) -> None:
    """Find or make the images that are asked for, and `run`."""
    # Before images are made: a reader would take that load for somebody else's.
    machine = machines.machine()
    watcher.step("preparing the images", steps=0)
    dataset = datasets.find(origin, count=settings.sizes[-1])
    run(dataset, settings, out=out, watcher=watcher, command=command, machine=machine)


def resume(folder: Path, *, watcher: Watcher) -> None:
    """Go on with the run of a folder that was interrupted.

    Raises
    ------
    InputError
        If its file can't be understood, or the machine, the versions or the images have changed:
        figures of two of them don't belong into one run.
    """
    earlier = records.read(folder / records.RUN_NAME)
    header = earlier.header
    settings = asked.read(header.settings)
    machine = machines.machine()
    now, then = (
        {**versions, **{name: facts.get(name) for name in SAME_MACHINE}}
        for versions, facts in ((machines.versions(), machine), (header.versions, header.machine))
    )
    for name in sorted(now.keys() | then.keys()):
        if now.get(name) != then.get(name):
            raise InputError(
                f"{folder}: measured with {name} {then.get(name)}, which is {now.get(name)} now; "
                "start a new run"
            )
    watcher.step("preparing the images", steps=0)
    dataset = datasets.find(datasets.origin_of(header.dataset), count=settings.sizes[-1])
    if dataset.key != header.dataset.get("key"):
        raise InputError(f"{folder}: the images have changed since; start a new run")
    run(
        dataset, settings, out=folder, watcher=watcher, command="", machine=machine, earlier=earlier
    )


def run(
    dataset: Dataset,
    settings: RunSettings,
    *,
    out: Path,
    watcher: Watcher,
    command: str,
    machine: Mapping[str, Fact],
    earlier: Records | None = None,
    launch: Launch | None = None,
) -> None:
    """Measure all cases and write ``run.jsonl`` and ``profiles.jsonl``.

    Parameters
    ----------
    dataset : Dataset
        Sizes beyond its number of images are left out.
    settings : RunSettings
        What to measure.
    out : Path
        Folder of the run; made once every backend has been accepted.
    watcher : Watcher
        Is told how the run goes on.
    command : str
        What the user typed, for the header.
    machine : mapping
        What :func:`segbench.measure.machine.machine` told before segbench itself made a load.
    earlier : Records, optional
        What `out` holds of this run already: only what it lacks is measured.
    launch : callable, optional
        Starts the worker of an arm; by default a process.

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
    path = out / records.RUN_NAME
    with ExitStack() as stack:
        # Deleted last, after the workers that map its files have ended.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="segbench-"))
        launch = launch or workers.launcher(settings)
        engine = _Engine(dataset, settings, folder, watcher, launch)
        stack.callback(engine.stop)
        reference = engine.start(sizes[-1])
        if earlier:
            engine.remember(earlier.samples)
            writer = Writer.reopen(path)
        else:
            header = Header(
                started=started.isoformat(timespec="seconds"),
                machine={**machine, "file_system": machines.file_system(dataset.files[0])},
                versions=machines.versions(),
                settings={
                    **asked.describe(settings),
                    "sizes": sizes,
                    "sizes_left_out": left_out,
                    "baseline": str(BASELINE),
                    "command": command,
                    "again": asked.command(settings, dataset.origin),
                    "variables": workers.set_variables(native_threads=settings.native_threads),
                    "thread_pools": {str(lane.backend): lane.pools for lane in engine.lanes},
                },
                dataset={
                    **datasets.describe(dataset),
                    "objects": sum(reference.objects),
                    "truth": reference.truth,
                },
                backends={str(each): registry.describe(each) for each in settings.backends},
            )
            writer = Writer.create(path, header)
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
class _Lane:
    """A backend, the conversation with its worker, and what is known of it so far."""

    backend: BackendSpec
    talk: Conversation
    pools: list[str] = field(default_factory=list)
    # A backend that failed once is out: nothing more of it is tried. 0: it failed when it started.
    failure: Failed | None = None
    failed_at: int = 0
    # Of the size at hand, by phase.
    ready: dict[str, Checked] = field(default_factory=dict)


@dataclass
class _Engine:
    """The backends of a run, side by side."""

    dataset: Dataset
    settings: RunSettings
    folder: str
    watcher: Watcher
    launch: Launch
    talks: list[Conversation] = field(default_factory=list)
    lanes: list[_Lane] = field(default_factory=list)

    def __post_init__(self) -> None:
        limits = self.settings.limits
        self.tallies: defaultdict[tuple[int, str], Tally] = defaultdict(lambda: Tally(limits))
        # Rows of failures that are written already.
        self.told: set[Case] = set()
        # What has passed of both since the start of the run is counted from here.
        self.origin = time.perf_counter()
        self.withheld = machines.withheld_seconds() or 0.0

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
        backends = (BASELINE, *self.settings.backends)
        reference, *self.lanes = (_Lane(backend, self._talk(backend)) for backend in backends)
        self._start([reference, *self.lanes])
        if reference.failure:
            raise InputError(f"the reference {BASELINE} failed: {reference.failure.cause}")
        self.watcher.step("segmenting with the reference", steps=0)
        made = reference.talk.make_reference(self.folder, count=count, truth=TRUTH_IMAGES)
        reference.talk.worker.stop(grace=END_SECONDS)
        if isinstance(made, Failed):
            name = self.dataset.name
            raise InputError(f"the reference {BASELINE} failed on {name}: {made.cause}")
        return made

    def _start_anew(self) -> None:
        """End the workers of all that are left, and start others."""
        self.watcher.step("starting the workers anew", steps=0)
        live = self._live()
        workers.stop_all((lane.talk for lane in live), grace=END_SECONDS)
        for lane in live:
            lane.talk = self._talk(lane.backend)
        # What one that fails now has measured of small sizes stays.
        self._start(live, size=ANEW_IMAGES + 1)

    def _talk(self, backend: BackendSpec) -> Conversation:
        arm, asked_for, dataset = Arm(backend=backend), self.settings, self.dataset
        talk = Conversation(arm, launch=self.launch, settings=asked_for, dataset=dataset)
        self.talks.append(talk)
        return talk

    def _start(self, lanes: Sequence[_Lane], *, size: int = 0) -> None:
        """Start the backends of all at once; one that fails does so at a size."""
        hear = [lane.talk.start() for lane in lanes]
        end = workers.end_of_start(self.settings)
        for lane, hear_lane in zip(lanes, hear, strict=True):
            reply = hear_lane(end)
            if isinstance(reply, Refused):
                raise InputError(reply.reason)
            if isinstance(reply, Failed):
                self._fail(lane, reply, "start: ", size=size)
            else:
                lane.pools = reply.thread_pools

    def _live(self) -> list[_Lane]:
        return [lane for lane in self.lanes if lane.failure is None]

    def _fail(self, lane: _Lane, failure: Failed, what: str = "", *, size: int) -> None:
        lane.failure, lane.failed_at = Failed(failure.status, what + failure.cause), size
        # What it holds is not to weigh on the others.
        lane.talk.worker.stop()
        self.watcher.note(f"{lane.backend}: {failure.status}, {lane.failure.cause}")

    def stop(self, *, grace: float = 0.0) -> None:
        """End all workers, after so many seconds in which they may do so themselves."""
        workers.stop_all(self.talks, grace=grace)

    def remember(self, samples: Sequence[Sample]) -> None:
        """Take the samples of an earlier, interrupted part of this run into account."""
        lanes = {lane.backend: lane for lane in self.lanes}
        for sample in samples:
            if sample.status == "ok":
                self.tallies[sample.n_images, sample.phase].add(sample)
                continue
            self.told.add(sample.case)
            lane = lanes.get(sample.backend)
            if lane and lane.failure is None:
                self._fail(lane, Failed(sample.status, sample.cause), size=sample.n_images)
        self.origin -= max((sample.at or 0.0 for sample in samples), default=0.0)
        self.withheld -= max((sample.withheld_seconds or 0.0 for sample in samples), default=0.0)

    def measure(self, sizes: Sequence[int], objects: Sequence[int], writer: Writer) -> None:
        """Time all cases, size by size, each in blocks; small sizes in two rounds."""
        self.objects, self.writer = objects, writer
        small = [size for size in sizes if size <= ANEW_IMAGES]
        # A step is a comparison, a case, or a profile.
        visits, lanes, phases = len(small) + len(sizes), len(self.lanes), len(self.settings.phases)
        self.watcher.plan(visits * (lanes + phases) + lanes)
        if self.tallies and not any(self._todo(size, 2) for size in sizes):
            self.watcher.note("nothing is left to measure")
        used = any(self._todo(size, 1) for size in small)
        for size in small:
            self._measure_size(size, 1)
        if used and any(self._todo(size, 2) for size in small):
            self._start_anew()
        for size in sizes:
            self._measure_size(size, 2 if small else 1)

    def _measure_size(self, size: int, number: int) -> None:
        """Take what a size lacks in a round."""
        todo = self._todo(size, number)
        for lane in self.lanes:
            self.watcher.step(f"{size} images: comparing {lane.backend} with the reference")
            if todo and lane.failure is None:
                self._check(lane, size)
            # Of a size that was finished earlier, a backend that fails now keeps its samples.
            if lane.failure and todo and size >= lane.failed_at:
                self._record_failure(lane, size)
        for phase in self.settings.phases:
            self.watcher.step(f"{size} images: {phase}")
            while phase in todo and not self._over(size, phase, number):
                self._take_block(size, phase, number)

    def _todo(self, size: int, number: int) -> list[str]:
        """The phases of a size that a round has something left to measure of."""
        return [phase for phase in self.settings.phases if not self._over(size, phase, number)]

    def _over(self, size: int, phase: str, number: int) -> bool:
        """Whether a round of a case is over."""
        tally, live = self.tallies[size, phase], [lane.backend for lane in self._live()]
        return not live or tally.over(live, number if size <= ANEW_IMAGES else 0)

    def _check(self, lane: _Lane, size: int) -> None:
        """Make the cases of a size ready: run each phase once, compare, warm up."""
        # A warm call is not what is to be timed where the files are to be cold.
        seconds = workers.SAMPLE_SECONDS if self.settings.cache == "warm" else 0.0
        # The pipeline in any case: it gives the cells that are compared. And `process` last: the
        # pixels that it is given would count in the memory of what comes after it.
        phases = [phase for phase in PHASES if phase in {*self.settings.phases, "pipeline"}]
        for phase in sorted(phases, key=lambda phase: phase == "process"):
            self._cool(size)
            case = Case(lane.backend, size, phase)
            reply = lane.talk.check(case, self.folder, sample_seconds=seconds)()
            if isinstance(reply, Failed):
                self._fail(lane, reply, f"{phase} of {size} images: ", size=size)
                return
            lane.ready[phase] = reply

    def _take_block(self, size: int, phase: str, number: int) -> None:
        """Time every backend once, in random order."""
        tally = self.tallies[size, phase]
        block = tally.next_block()
        self.watcher.step(f"{size} images: {phase}, block {block}", steps=0)
        # Seeded by the block, so that a run that goes on later takes the order it would have taken.
        order = random.Random(f"{self.settings.seed}/{size}/{phase}/{block}")  # noqa: S311  (an order, not a secret)
        withheld = machines.withheld_seconds()
        if withheld is not None:
            withheld = round(withheld - self.withheld, 3)
        for lane in order.sample(self.lanes, len(self.lanes)):
            case = Case(lane.backend, size, phase)
            sample = None if lane.failure else self._sample(lane, case, block)
            if sample:
                sample = replace(sample, round=number, withheld_seconds=withheld)
                self.writer.append(sample)
                tally.add(sample)
            # One that failed at a larger size keeps what the first round of this one has.
            elif size >= lane.failed_at:
                self._record_failure(lane, size, phase=phase, block=block)

    def _sample(self, lane: _Lane, case: Case, block: int) -> Sample | None:
        """Take a sample; None where the backend failed."""
        ready, cached = lane.ready[case.phase], self._cool(case.n_images)
        reply = lane.talk.time(
            case.phase,
            calls=ready.calls,
            objects=sum(self.objects[: case.n_images]),
            cpu=workers.cpu_of(case, block),
            warm=self.settings.cache == "warm",
        )
        if isinstance(reply, Failed):
            what = f"{case.phase} of {case.n_images} images: "
            self._fail(lane, reply, what, size=case.n_images)
            return None
        return sample_of(
            case,
            block=block,
            status="ok",
            peak_mib=ready.peak_mib,
            calls=ready.calls,
            first_seconds=ready.seconds,
            idle_mib=ready.idle_mib,
            at=round(time.perf_counter() - self.origin, 6),
            cached=cached,
            # Its seconds, those that were not timed, and the objects.
            **msgspec.structs.asdict(reply),
        )

    def _cool(self, size: int) -> float | None:
        """Drop the files from the page cache, where they are to be cold; the share that stayed."""
        if self.settings.cache == "warm":
            return None
        # What the readers open: copies, where links can't be made.
        return pagecache.cool(datasets.laid_out(self.dataset, size))

    def _record_failure(self, lane: _Lane, size: int, *, phase: str = "", block: int = 0) -> None:
        """Write the failure of a backend as a row of every phase: nothing of this size is ranked."""
        assert lane.failure is not None  # noqa: S101  (told to the type checker)
        status, cause = lane.failure.status, lane.failure.cause
        if size > lane.failed_at and status != "unavailable":
            cause = NOT_TRIED + cause.removeprefix(NOT_TRIED)
        for each in self.settings.phases:
            case = Case(lane.backend, size, each)
            if case not in self.told:
                number = block if each == phase else 0
                self.writer.append(sample_of(case, block=number, status=status, cause=cause))
                self.told.add(case)

    def profile(self, sizes: Sequence[int], out: Path) -> None:
        """Find out where the time of each backend goes, one at a time, in a fresh process."""
        size = max((size for size in sizes if size <= PROFILE_IMAGES), default=sizes[0])
        done = {profile.backend for profile in records.read_profiles(out)}
        for lane in self.lanes:
            backend = lane.backend
            self.watcher.step(f"where the time of {backend} goes")
            if lane.failure or backend in done:
                continue
            talk = self._talk(backend)
            reply = talk.profile(count=size)
            talk.worker.stop(grace=END_SECONDS)
            if isinstance(reply, Failed):
                reply = Failed(reply.status, f"profile: {reply.cause}")
                self.watcher.note(f"{backend}: {reply.status}, {reply.cause}")
            found = msgspec.structs.asdict(reply)
            profile = records.Profile(**vars(backend), n_images=size, **found)
            records.write_profile(out, profile)
        self.watcher.step("writing the report", steps=0)
