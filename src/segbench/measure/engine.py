"""The engine: rounds of fresh processes, in which every arm is timed beside the others.

Two processes of one program differ for as long as they live, so a case is measured in several, each
time with new ones of all arms. In a round there are a few blocks, in which each arm is timed once.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from segbench import files
from segbench.backends import registry
from segbench.backends.registry import BASELINE, BackendSpec
from segbench.errors import InputError
from segbench.images import datasets
from segbench.images.origin import show_shape
from segbench.images.paths import NAMED
from segbench.measure import machine as machines
from segbench.measure import pagecache, picture, workers
from segbench.measure import settings as asked
from segbench.measure.protocol import Checked, Failed, Refused
from segbench.measure.settings import PHASES, ZARR, sizes_within
from segbench.measure.stopping import PROFILES, Tally, expected_seconds, orders, round_over
from segbench.measure.workers import END_SECONDS, Arm, Conversation
from segbench.results import records, untrusted
from segbench.results.records import Case, Header, Records, Sample, Writer, sample_of
from segbench.stats import MIN_ROUNDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from segbench.images.datasets import Dataset
    from segbench.images.origin import Origin
    from segbench.measure.machine import Fact
    from segbench.measure.protocol import Pace
    from segbench.measure.settings import RunSettings
    from segbench.measure.workers import Launch

# Ground truth is compared for so many images at the most: 20 tell as much as 500, in half a second.
TRUTH_IMAGES = 20

# Where the time goes is looked at with so many images, or the largest size below.
PROFILE_IMAGES = 20

# ... of which all have so many pixels at the most: it is looked at several times.
PROFILE_PIXELS = 20e6

# Of an image with more pixels there is no array of pixels or labels to compare with, but a table.
TABLE_ONLY_PIXELS = 2e8

# What scikit-image takes of memory for a pixel of an image that it works on as a whole; where there is
# not so much, the reference is made in tiles.
WHOLE_BYTES = 48
IN_TILES = BackendSpec("tiles", "tiles", "serial")

# Where a case was compared in an earlier round and its calls take long, a worker is warmed up with
# so many of its images.
FEW_IMAGES = 20

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
    origins: Sequence[Origin], settings: RunSettings, *, out: Path, watcher: Watcher, command: str
) -> None:
    """Find or make the images that are asked for, of one shape or several, and `run`."""
    # Before images are made: a reader would take that load for somebody else's.
    machine = machines.machine()
    watcher.step("preparing the images", steps=0)
    sets = _find(origins, settings)
    run(sets, settings, out=out, watcher=watcher, command=command, machine=machine)


def _find(origins: Sequence[Origin], settings: RunSettings) -> list[Dataset]:
    if len(origins) == 1:
        return [datasets.find(origins[0], count=settings.sizes[-1])]
    return [
        datasets.find(one, count=sizes_within(one.shape, settings.sizes)[-1]) for one in origins
    ]


def resume(folder: Path, *, watcher: Watcher) -> None:
    """Go on with the run of a folder that was interrupted.

    Raises
    ------
    InputError
        If its file can't be understood, or the machine, the versions or the images have changed:
        figures of two of them don't belong into one run.
    """
    untrusted.refuse_links(folder)
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
    described = [*header.shapes.values()] or [header.dataset]
    sets = _find([datasets.origin_of(each) for each in described], settings)
    if [dataset.key for dataset in sets] != [each.get("key") for each in described]:
        raise InputError(f"{folder}: the images have changed since; start a new run")
    run(sets, settings, out=folder, watcher=watcher, command="", machine=machine, earlier=earlier)


def run(
    sets: Sequence[Dataset],
    settings: RunSettings,
    *,
    out: Path,
    watcher: Watcher,
    command: str,
    machine: Mapping[str, Fact],
    earlier: Records | None = None,
    profiles: int = PROFILES,
    launch: Launch | None = None,
) -> None:
    """Measure all cases and write ``run.jsonl`` and ``profiles.jsonl``.

    Parameters
    ----------
    sets : sequence of Dataset
        One, or one of each shape, which are measured one after the other. Sizes beyond the number of
        images of one are left out.
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
    profiles : int
        How often a fresh process of each backend is looked at for what its start costs, and where its
        time goes.
    launch : callable, optional
        Starts the worker of an arm; by default a process.

    Raises
    ------
    InputError
        If a backend makes no sense, or no size fits a dataset.
    """
    started = datetime.now().astimezone()
    path = out / records.RUN_NAME
    launch = launch or workers.launcher(settings)
    with ExitStack() as stack:
        # Deleted last, after the workers that map its files have ended.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="segbench-")))
        engines = []
        for dataset in sets:
            shape = show_shape(dataset.shape) if len(sets) > 1 else ""
            engine = _Engine(
                dataset=dataset,
                settings=settings,
                folder=folder / f"of-{shape}",
                watcher=watcher,
                launch=launch,
                shape=shape,
                profiles=0 if dataset.is_large else profiles,
            )
            stack.callback(engine.stop)
            engines.append(engine)
        for engine in engines:
            engine.start()
            if engine is not engines[0]:
                engine.stop(grace=END_SECONDS)  # until its turn comes
        first = engines[0]
        if earlier:
            for engine in engines:
                engine.remember(earlier.samples)
            writer = Writer.reopen(path)
        else:
            header = Header(
                started=started.isoformat(timespec="seconds"),
                machine={**machine, "file_system": machines.file_system(sets[0].files[0])},
                versions=machines.versions(),
                settings={
                    **asked.describe(settings),
                    "sizes": first.sizes,
                    "sizes_left_out": first.left_out,
                    "baseline": str(BASELINE),
                    "command": command,
                    "again": asked.command(settings, *(dataset.origin for dataset in sets)),
                    "variables": workers.set_variables(native_threads=settings.native_threads),
                    "thread_pools": {str(lane.backend): lane.pools for lane in first.lanes},
                    "clusters": {
                        str(lane.backend): lane.cluster for lane in first.lanes if lane.cluster
                    },
                },
                dataset=first.describe(),
                backends={str(each): registry.describe(each) for each in settings.backends},
                shapes={each.shape: each.describe() for each in engines if each.shape},
            )
            writer = Writer.create(path, header)
            _announce([engine for engine in engines if engine.live_backends], watcher)
        done, looks = 0, sum(engine.profiles * len(engine.lanes) for engine in engines)
        with writer:
            picture.write(first.folder, out)
            for number, engine in enumerate(engines, start=1):
                left = len(engines) - number
                try:
                    done = engine.measure(writer, done=done, left=left, looks=looks)
                finally:
                    engine.keep_dask_reports(out)
                engine.stop(grace=END_SECONDS)
        for engine in engines:
            engine.profile(out)
        records.seal(out)


def _announce(engines: Sequence[_Engine], watcher: Watcher) -> None:
    """Say what is going to be measured, and how long that takes, about."""
    if not engines:
        return
    settings, cases, ends = engines[0].settings, 0, [0.0, 0.0]
    for engine in engines:
        arms = engine.live_backends
        cases += arms * len(engine.sizes) * len(engine.phases)
        expected = expected_seconds(
            arms=arms,
            sizes=engine.sizes,
            phases=engine.phases,
            each=engine.each,
            looks=engine.profiles,
            limits=settings.limits,
        )
        ends = [sum(both) for both in zip(ends, expected, strict=True)]
    low, high = (max(1, round(seconds / 60)) for seconds in ends)
    minutes = f"{low}" if low == high else f"{low} to {high}"
    what = f"{cases} case{'s' * (cases != 1)} (a phase of a backend with a number of images)"
    watcher.note(f"measuring {what}: about {minutes} min")


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
        others = f" (left out: {'; '.join(dataset.left_out[:NAMED])})" if dataset.left_out else ""
        raise InputError(
            f"{dataset.name} holds {count} images, fewer than the smallest size {min(sizes)}: "
            f"give --sizes up to {count}{others}"
        )
    left_out = tuple(size for size in sizes if size > count)
    if left_out:
        words = ", ".join(str(size) for size in left_out)
        of = show_shape(dataset.shape)
        watcher.note(f"{dataset.name} holds {count} images of {of} pixels: left out {words}")
    return fitting, left_out


@dataclass
class _Lane:
    """A backend, the conversation with its worker, and what is known of it so far."""

    backend: BackendSpec
    talk: Conversation
    pools: list[str] = field(default_factory=list)
    cluster: str = ""
    # Of a backend that failed nothing as large is tried again. 0: it failed when it started.
    failure: Failed | None = None
    failed_at: float = math.inf
    # Of the size at hand, by phase.
    ready: dict[str, Checked] = field(default_factory=dict)


@dataclass
class _Engine:
    """The backends of a run, side by side, on the images of one shape."""

    dataset: Dataset
    settings: RunSettings
    folder: Path
    watcher: Watcher
    launch: Launch
    # Of its images, where there are several.
    shape: str
    profiles: int
    talks: list[Conversation] = field(default_factory=list)
    lanes: list[_Lane] = field(default_factory=list)

    def __post_init__(self) -> None:
        limits, dataset = self.settings.limits, self.dataset
        self.sizes, self.left_out = fitting_sizes(self.settings.sizes, dataset, self.watcher)
        self.phases = self.settings.phases
        if self.table_only:
            self.phases = tuple(one for one in self.phases if one == "pipeline")
            self.watcher.note(
                f"{show_shape(dataset.shape)} pixels are too many to be compared as pixels and labels: only "
                "the pipeline is timed, and its tables are compared"
            )
        for each in dataset.left_out:
            self.watcher.note(f"left out: {each}")
        if self.settings.cache == "cold":
            for file in datasets.opened_files(dataset, self.sizes[-1]):
                pagecache.check(file)
        self.folder.mkdir()
        self.tallies: defaultdict[tuple[int, str], Tally] = defaultdict(lambda: Tally(limits))
        # As often as in the first process of a case it is called in the next ones.
        self.paces: dict[Case, Pace] = {}
        # Rows of failures that are written already.
        self.told: set[Case] = set()
        # What has passed of both since the start of the run is counted from here.
        self.origin = time.perf_counter()
        self.withheld = machines.withheld_seconds() or 0.0

    def start(self) -> None:
        """Start a worker for every backend, all at once, and run each once on one image.

        One more, whose memory is in no figure, makes the reference that all are compared with.
        """
        self._say("starting the workers")
        name = self._reference
        # What the backends may hold is no limit for what they are compared with.
        reference = _Lane(name, self._talk(name, memory=self._free))
        self.lanes = [_Lane(backend, self._talk(backend)) for backend in self.settings.backends]
        self._start([reference, *self.lanes])
        if reference.failure:
            raise InputError(f"the reference {name} failed: {reference.failure.cause}")
        if self.dataset.is_large and any(one.backend.reader == ZARR for one in self._live(1)):
            self._say("writing the image as Zarr")
            datasets.lay_out_zarr(self.dataset)
        self._say("segmenting with the reference")
        folder, count = str(self.folder), self.sizes[-1]
        begun = time.perf_counter()
        made = reference.talk.make_reference(
            folder, count=count, truth=TRUTH_IMAGES, table_only=self.table_only
        )
        self.each = (time.perf_counter() - begun) / count
        reference.talk.worker.stop(grace=END_SECONDS)
        if isinstance(made, Failed):
            raise InputError(f"the reference {name} failed on {self.dataset.name}: {made.cause}")
        self.reference, self.running = made, True

    @property
    def pixels(self) -> int:
        """Of one image."""
        return math.prod(self.dataset.shape[:2])

    @property
    def table_only(self) -> bool:
        """Whether an image is too large to be compared but by its table."""
        return self.pixels > TABLE_ONLY_PIXELS

    @property
    def _reference(self) -> BackendSpec:
        """What all are compared with: the plain loop, or where an image is too large for it, tiles."""
        whole = self.pixels * WHOLE_BYTES / 2**30 < self._free
        return BASELINE if whole else IN_TILES

    @cached_property
    def _free(self) -> float:
        """GiB that the reference may hold."""
        return max(self.settings.memory_limit, asked.available_gib())

    def describe(self) -> dict[str, Any]:
        """The images, and what the reference found in them, for the header."""
        found = {"objects": sum(self.reference.objects), "truth": self.reference.truth}
        of_shape = {"sizes": self.sizes} if self.shape else {}
        return {**datasets.describe(self.dataset), **found, **of_shape}

    def _say(self, text: str, *, steps: int = 0) -> None:
        self.watcher.step(f"{self.shape}: {text}" if self.shape else text, steps=steps)

    def _start_anew(self, sizes: Sequence[int]) -> None:
        """End all workers, and start others for those that have something to do at some sizes."""
        self._say("starting the workers anew")
        self.stop(grace=END_SECONDS)
        # What one that fails now has measured of smaller sizes stays.
        lanes = self._live(sizes[0])
        for lane in lanes:
            lane.talk = self._talk(lane.backend)
        self._start(lanes, size=sizes[0])
        self.running = True

    def _talk(self, backend: BackendSpec, *, memory: float | None = None) -> Conversation:
        arm, asked_for = Arm(backend=backend, memory=memory), self.settings
        talk = Conversation(arm, launch=self.launch, settings=asked_for, dataset=self.dataset)
        self.talks.append(talk)
        return talk

    def _start(self, lanes: Sequence[_Lane], *, size: int = 0) -> None:
        """Start the backends of all at once; one that fails does so at a size."""
        hear = [lane.talk.start() for lane in lanes]
        end = workers.end_of_start(self.settings)
        for lane, hear_lane in zip(lanes, hear, strict=True):
            reply = hear_lane(end)
            if isinstance(reply, Refused):
                if not size:
                    raise InputError(reply.reason)
                # It was right before: a cluster has gone away since.
                reply = Failed("error", reply.reason)
            if isinstance(reply, Failed):
                self._fail(lane, reply, "start: ", size=size)
            else:
                lane.pools, lane.cluster = reply.thread_pools, reply.cluster

    @property
    def live_backends(self) -> int:
        """How many have not failed."""
        return len(self._live(self.sizes[0]))

    def _live(self, size: int) -> list[_Lane]:
        return [lane for lane in self.lanes if size < lane.failed_at]

    def _fail(self, lane: _Lane, failure: Failed, what: str = "", *, size: int) -> None:
        lane.failure, lane.failed_at = Failed(failure.status, what + failure.cause), size
        # What it holds is not to weigh on the others.
        lane.talk.worker.stop()
        self.watcher.note(f"{lane.backend}: {failure.status}, {lane.failure.cause}")

    def stop(self, *, grace: float = 0.0) -> None:
        """End all workers, after so many seconds in which they may do so themselves."""
        workers.stop_all(self.talks, grace=grace)
        self.talks.clear()
        self.running = False

    def remember(self, samples: Sequence[Sample]) -> None:
        """Take the samples of an earlier, interrupted part of this run into account."""
        lanes = {lane.backend: lane for lane in self.lanes}
        for sample in samples:
            if sample.shape != self.shape:
                continue
            if sample.status == "ok":
                self.tallies[sample.n_images, sample.phase].add(sample)
                continue
            self.told.add(sample.case)
            lane = lanes.get(sample.backend)
            if lane and sample.n_images < lane.failed_at:
                lane.failure = Failed(sample.status, sample.cause)
                lane.failed_at = sample.n_images
        self.origin -= max((sample.at or 0.0 for sample in samples), default=0.0)
        self.withheld -= max((sample.withheld_seconds or 0.0 for sample in samples), default=0.0)

    def measure(self, writer: Writer, *, done: int, left: int, looks: int) -> int:
        """Time all cases, round by round, until each has been measured enough.

        Parameters
        ----------
        writer : Writer
            Of the samples.
        done : int
            Steps that are over.
        left : int
            How many shapes are still to come.
        looks : int
            Steps that come after all, to find out where the time goes.

        Returns
        -------
        int
            Steps that are over now.
        """
        self.writer, before = writer, done
        for number in range(1, self.settings.rounds + 1):
            todo = {size: self._todo(size, number) for size in self.sizes}
            todo = {size: phases for size, phases in todo.items() if phases}
            if not todo:
                continue
            # A step is a comparison or a case: of this round, and of those that all take.
            steps = sum(len(self.lanes) + len(phases) for phases in todo.values())
            more = max(0, min(self.settings.rounds, MIN_ROUNDS) - number)
            self.watcher.plan(done + steps * (1 + more) * (1 + left) + looks)
            # At first they are running.
            if done > before or not self.running:
                self._start_anew([*todo])
            for size, phases in todo.items():
                self._measure_size(size, phases, number)
            done += steps
        self.watcher.plan(done + (done - before) * left + looks)
        if done == before:
            self.watcher.note(f"{self.shape} nothing is left to measure".strip())
        return done

    def _todo(self, size: int, number: int) -> list[str]:
        """The phases of a size that are not over, and that a round has not been taken of."""
        live = [lane.backend for lane in self._live(size)]
        tallies = {phase: self.tallies[size, phase] for phase in self.phases}
        return [
            phase
            for phase, tally in tallies.items()
            if live and number not in tally.whole_rounds(live) and not tally.over(live)
        ]

    def _measure_size(self, size: int, phases: Sequence[str], number: int) -> None:
        """Take a round of some phases of a size."""
        for lane in self.lanes:
            what = f"comparing {lane.backend} with the reference"
            self._say(f"round {number}, {size} images: {what}", steps=1)
            if size < lane.failed_at:
                self._check(lane, size, phases)
            if size >= lane.failed_at:
                # One that failed in an earlier part of this run is started for smaller sizes only.
                lane.talk.worker.stop()
                self._record_failure(lane, size)
        for phase in phases:
            self._say(f"round {number}, {size} images: {phase}", steps=1)
            self._take_round(size, phase, number)

    def _check(self, lane: _Lane, size: int, phases: Sequence[str]) -> None:
        """Make the cases of a size ready: run each phase once, compare, warm up."""
        # A warm call is not what is to be timed where the files are to be cold.
        seconds = workers.SAMPLE_SECONDS if self.settings.cache == "warm" else 0.0
        # The pipeline in any case: it gives the cells that are compared. And `process` last: the
        # pixels that it is given would count in the memory of what comes after it.
        timed = (self.tallies[size, phase].seconds for phase in self.phases)
        if not any(lane.backend in seconds for seconds in timed):
            phases = [phase for phase in PHASES if phase in {*phases, "pipeline"}]
        for phase in sorted(phases, key=lambda phase: phase == "process"):
            self._cool(size)
            case = Case(lane.backend, size, phase)
            long = size > FEW_IMAGES and self.tallies[size, phase].takes_long(lane.backend)
            few = FEW_IMAGES if long else 0
            pace = self.paces.get(case)
            reply = lane.talk.check(
                case, str(self.folder), sample_seconds=seconds, few=few, pace=pace
            )()
            if isinstance(reply, Failed):
                self._fail(lane, reply, f"{phase} of {size} images: ", size=size)
                return
            lane.ready[phase] = reply
            self.paces.setdefault(case, reply.pace)

    def _take_round(self, size: int, phase: str, number: int) -> None:
        """Time every backend a few times, in blocks of one sample of each."""
        tally = self.tallies[size, phase]
        # Seeded by the round, so that a run that goes on later takes the orders it would have taken.
        seed, before = f"{self.settings.seed}/{size}/{phase}", tally.spent
        blocks = orders(self.lanes, seed=seed, number=number)
        for count, (turn, order) in enumerate(blocks, start=1):
            self._take_block(size, phase, number, order, turn=turn)
            live = self._live(size)
            if not live or round_over(count, (tally.spent - before) / len(live)):
                return

    def _take_block(
        self, size: int, phase: str, number: int, order: Sequence[_Lane], *, turn: int
    ) -> None:
        """Time every backend once."""
        tally = self.tallies[size, phase]
        block = tally.next_block()
        withheld = machines.withheld_seconds()
        if withheld is not None:
            withheld = round(withheld - self.withheld, 3)
        for lane in order:
            case = Case(lane.backend, size, phase)
            sample = self._sample(lane, case, block, turn) if size < lane.failed_at else None
            if sample:
                sample = replace(sample, round=number, withheld_seconds=withheld)
                self.writer.append(sample)
                tally.add(sample)
            else:
                self._record_failure(lane, size, phase=phase, block=block)

    def _sample(self, lane: _Lane, case: Case, block: int, turn: int) -> Sample | None:
        """Take a sample; None where the backend failed."""
        ready, cached = lane.ready[case.phase], self._cool(case.n_images)
        reply = lane.talk.time(
            case.phase,
            calls=ready.pace.calls,
            objects=sum(self.reference.objects[: case.n_images]),
            cpu=workers.cpu_of(case, turn),
            warm=self.settings.cache == "warm",
        )
        if isinstance(reply, Failed):
            what = f"{case.phase} of {case.n_images} images: "
            self._fail(lane, reply, what, size=case.n_images)
            return None
        told = msgspec.structs.asdict(reply)
        peak = ready.peak_mib
        if case.backend.scheduler == "distributed" and self.settings.scheduler_address:
            # Those of the client are not those of the cluster.
            told["cpu_seconds"] = peak = None
            ready = msgspec.structs.replace(ready, read_bytes=None)
        return sample_of(
            case,
            shape=self.shape,
            block=block,
            status="ok",
            peak_mib=peak,
            calls=ready.pace.calls,
            first_seconds=ready.seconds,
            idle_mib=ready.idle_mib,
            tasks=ready.tasks,
            moved_bytes=ready.moved_bytes,
            graph_seconds=ready.graph_seconds,
            read_bytes=ready.read_bytes,
            at=round(time.perf_counter() - self.origin, 6),
            cached=cached,
            # Its seconds, those that were not timed, and the objects.
            **told,
        )

    def _cool(self, size: int) -> float | None:
        """Drop the files from the page cache, where they are to be cold; the share that stayed."""
        if self.settings.cache == "warm":
            return None
        return pagecache.cool(datasets.opened_files(self.dataset, size))

    def _record_failure(self, lane: _Lane, size: int, *, phase: str = "", block: int = 0) -> None:
        """Write the failure of a backend as a row of every phase: nothing of this size is ranked."""
        assert lane.failure is not None  # noqa: S101  (told to the type checker)
        status, cause = lane.failure.status, lane.failure.cause
        if size > lane.failed_at and status != "unavailable":
            cause = NOT_TRIED + cause.removeprefix(NOT_TRIED)
        for each in self.phases:
            case = Case(lane.backend, size, each)
            if case not in self.told:
                number = block if each == phase else 0
                told = {"shape": self.shape, "block": number, "status": status, "cause": cause}
                self.writer.append(sample_of(case, **told))
                self.told.add(case)

    def keep_dask_reports(self, out: Path) -> None:
        """Take what Dask's clusters told of their work into the folder of the run."""
        for file in self.folder.glob("*.html"):
            name = f"{self.shape}-{file.name}" if self.shape else file.name
            files.write_bytes(out / "dask" / name, file.read_bytes())

    def profile(self, out: Path) -> None:
        """Find out where the time of each backend goes, one at a time, in a fresh process."""
        size = self._profiled_size()
        own = (one for one in records.read_profiles(out) if one.shape == self.shape)
        done = Counter(profile.backend for profile in own)
        # One of each after the other, so that what is slow for a while is so for all.
        for lane in [*self.lanes] * self.profiles:
            backend = lane.backend
            self._say(f"where the time of {backend} goes", steps=1)
            if size >= lane.failed_at or done[backend] >= self.profiles:
                continue
            done[backend] += 1
            talk = self._talk(backend)
            reply = talk.profile(count=size)
            talk.worker.stop(grace=END_SECONDS)
            if isinstance(reply, Failed):
                reply = Failed(reply.status, f"profile: {reply.cause}")
                self.watcher.note(f"{backend}: {reply.status}, {reply.cause}")
            found = msgspec.structs.asdict(reply)
            profile = records.Profile(**vars(backend), n_images=size, shape=self.shape, **found)
            records.write_profile(out, profile)
        self._say("writing the report")

    def _profiled_size(self) -> int:
        height, width, *_ = self.dataset.shape
        most = PROFILE_PIXELS / (height * width)
        # Numbers of images a task are told apart by many images alone.
        if not any(backend.batch for backend in self.settings.backends):
            most = min(most, PROFILE_IMAGES)
        return max((size for size in self.sizes if size <= most), default=max(1, int(most)))
