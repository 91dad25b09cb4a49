"""The likely backends on a sample of the images, and what each would take for all of them."""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, median, stdev
from typing import TYPE_CHECKING

from segbench import windows
from segbench.backends import phases
from segbench.backends.registry import BASELINE, BackendSpec
from segbench.backends.schedulers import batch_of
from segbench.errors import InputError
from segbench.images import datasets
from segbench.images.origin import Origin
from segbench.measure import engine
from segbench.measure.machine import machine
from segbench.measure.settings import LARGE, RunSettings
from segbench.results import records
from segbench.stats import cost_model, t_reach

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segbench.images.datasets import Dataset
    from segbench.measure.engine import Watcher
    from segbench.measure.workers import Launch
    from segbench.pipeline import PipelineParams
    from segbench.results.records import Sample
    from segbench.windows import Windowed

# The simplest first: where two take as long, it is named. Where a call takes long, the first alone
# are measured.
LIKELY = (
    BASELINE,
    BackendSpec("skimage", "skimage", "thread-pool"),
    BackendSpec("skimage", "skimage", "threads"),
    BackendSpec("skimage", "skimage", "process-pool"),
    BackendSpec("skimage", "skimage", "processes"),
)
FEWEST = 3

# The same for a large image, in tiles of a side; measured on the middle of it.
TILE_SIDE, PART_SIDE = 2048, 4096
LIKELY_LARGE = tuple(
    BackendSpec("tiles", processor, scheduler, TILE_SIDE)
    for processor, scheduler in (
        ("tiles", "thread-pool"),
        ("tiles", "threads"),
        ("tiles", "process-pool"),
        ("dask-overlap", "threads"),
    )
)

# Seconds: what the rounds are to take together, what starting a round's workers does, and of which
# length a plain loop over the sample is enough. So many rounds are to fit, with fewer images and
# backends if need be.
BUDGET, START, ENOUGH = 40.0, 4.0, 0.5
MIN_ROUNDS = 2

# In a round a sample is called about so often by each backend: to compare, to warm up, to time.
CALLS = 4
MOST_ROUNDS = 6

# As good as the fastest is what takes so much more at the most.
# Stricter than the report's, since nothing beside it shows what is gained by the others.
AS_GOOD = 1.03

# Machines are faster and slower by the hour: nobody knows what will be by a smaller share.
DRIFT = 0.1

# Seconds that nobody need save.
SHORT = 1.0


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a backend would take for all images.

    Attributes
    ----------
    backend : BackendSpec
    seconds, low, high : float
        Wall time of the pipeline, and its 95% interval.
    peak_mib : float
        Largest resident size of the process with its children.
    """

    backend: BackendSpec
    seconds: float
    low: float
    high: float
    peak_mib: float


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """What was found.

    Attributes
    ----------
    total : int
        Number of images that it is about.
    sizes : tuple of int
        Numbers that were measured.
    rounds : int
        How often, in new processes.
    dataset : Dataset
        Whose images were measured.
    workers, batch : int
        Threads or processes, and how many images a task of theirs has.
    predictions : tuple of Prediction
        The fastest first.
    named : Prediction
        The one to use: the simplest that is as good as the fastest.
    loop : Prediction
        The plain loop.
    """

    total: int
    sizes: tuple[int, ...]
    rounds: int
    dataset: Dataset
    workers: int
    batch: int
    predictions: tuple[Prediction, ...]
    named: Prediction
    loop: Prediction

    @property
    def decoded(self) -> bool:
        """Whether what was measured are copies of the images in plain pixels."""
        kept = datasets.cache_folder()
        own = self.dataset.origin.channel is None
        return own and any(file.is_relative_to(kept) for file in self.dataset.files)


def recommend(
    dataset: Dataset,
    params: PipelineParams,
    *,
    total: int,
    workers: int,
    watcher: Watcher,
    launch: Launch | None = None,
) -> Recommendation:
    """Measure the likely backends on a sample of some images.

    Parameters
    ----------
    dataset : Dataset
        At most `total` images.
    params : PipelineParams
        Of the pipeline.
    total : int
        How many images there will be.
    workers : int
        Threads or processes.
    watcher : Watcher
        Is told how it goes on.
    launch : callable, optional
        Starts the worker of a backend; by default a process.

    Raises
    ------
    InputError
        If not even the plain loop could be measured.
    """
    watcher.step("timing an image", steps=0)
    each = _seconds_an_image(dataset, params)
    sizes, backends, rounds = _plan(each, min(total, len(dataset.files)), workers)
    settings = RunSettings(
        sizes=sizes,
        phases=("pipeline",),
        backends=backends,
        params=params,
        workers=workers,
        rounds=rounds,
        case_seconds=BUDGET,
    )
    samples = _samples(dataset, settings, watcher=watcher, launch=launch)
    found = [_predicted(backend, samples, total=total, workers=workers) for backend in backends]
    predictions = sorted((one for one in found if one), key=lambda one: one.seconds)
    loop = next((one for one in predictions if one.backend == BASELINE), None)
    if not loop:
        raise _nothing_measured(samples)
    good = [one for one in predictions if one.seconds <= AS_GOOD * predictions[0].seconds]
    return Recommendation(
        total=total,
        sizes=sizes,
        rounds=rounds,
        dataset=dataset,
        workers=workers,
        batch=batch_of(total, workers),
        predictions=tuple(predictions),
        named=min(good, key=lambda one: LIKELY.index(one.backend)),
        loop=loop,
    )


def recommend_large(
    image: Windowed,
    params: PipelineParams,
    *,
    workers: int,
    watcher: Watcher,
    launch: Launch | None = None,
) -> Recommendation:
    """Measure the likely ways to work on a large image in tiles, on a part of it.

    Parameters and what is raised are those of `recommend`. The plain loop is scikit-image on the whole
    image: its time and its memory are those of the part, times how much larger the image is.
    """
    watcher.step("reading a part of the image", steps=0)
    rounds = 3
    with tempfile.TemporaryDirectory(prefix="segbench-") as folder:
        path = Path(folder) / "part.tif"
        part = image[tuple(_middle(side) for side in image.shape[:2])]
        squares = windows.squares(part)
        windows.save_tiles(path, squares, shape=part.shape, dtype=image.dtype.type)
        dataset = datasets.large_image(Origin(images=(str(path),), large=True))
        settings = RunSettings(
            sizes=(1,),
            phases=("pipeline",),
            backends=LIKELY_LARGE,
            params=params,
            workers=workers,
            rounds=rounds,
            time_limit=LARGE["time_limit"],
        )
        samples = _samples(dataset, settings, watcher=watcher, launch=launch)
    larger = math.prod(image.shape[:2]) / math.prod(part.shape[:2])
    found = []
    for backend in settings.backends:
        if one := _predicted(backend, samples, total=1, workers=workers):
            times = {name: getattr(one, name) * larger for name in ("seconds", "low", "high")}
            # Tiles are as large in the whole image as in the part.
            peak = one.peak_mib * (larger if backend == BASELINE else 1)
            found.append(replace(one, **times, peak_mib=peak))
    loop = next((one for one in found if one.backend == BASELINE), None)
    if not loop or len(found) == 1:
        raise _nothing_measured(samples)
    in_tiles = [one for one in found if one.backend != BASELINE]
    best = min(one.seconds for one in in_tiles)
    good = [one for one in in_tiles if one.seconds <= AS_GOOD * best]
    return Recommendation(
        total=1,
        sizes=(1,),
        rounds=rounds,
        dataset=dataset,
        workers=workers,
        batch=1,
        predictions=tuple(sorted(found, key=lambda one: one.seconds)),
        named=min(good, key=lambda one: LIKELY_LARGE.index(one.backend)),
        loop=loop,
    )


def _samples(
    dataset: Dataset, settings: RunSettings, *, watcher: Watcher, launch: Launch | None
) -> list[Sample]:
    """Those of a run that nobody keeps, without profiles."""
    with tempfile.TemporaryDirectory(prefix="segbench-") as folder:
        out = Path(folder) / "run"
        engine.run(
            [dataset],
            settings,
            out=out,
            watcher=watcher,
            command="",
            machine=machine(),
            profiles=0,
            launch=launch,
        )
        return records.read(out / records.RUN_NAME).samples


def _nothing_measured(samples: Sequence[Sample]) -> InputError:
    causes = "; ".join(dict.fromkeys(sample.cause for sample in samples if sample.cause))
    return InputError(f"nothing could be measured: {causes}")


def _middle(side: int) -> slice:
    length = min(side, PART_SIDE)
    start = (side - length) // 2
    return slice(start, start + length)


def _seconds_an_image(dataset: Dataset, params: PipelineParams) -> float:
    """What the plain loop takes for an image, about."""
    pattern = datasets.lay_out(dataset, 1)
    with phases.started(BASELINE, workers=1, image=pattern, params=params) as backend:
        started = time.perf_counter()
        phases.run_pipeline(backend, pattern, params)
        return time.perf_counter() - started


def _plan(
    each: float, available: int, workers: int
) -> tuple[tuple[int, ...], tuple[BackendSpec, ...], int]:
    """Numbers of images, backends and rounds that fit the `BUDGET`, with so many seconds an image.

    The numbers are whole multiples of the workers, where there are images enough: with fewer a pool
    takes as long as with one.
    """
    fits = max(1, available // workers)
    times = min(fits, max(4, math.ceil(ENOUGH / each / workers)))
    backends: tuple[BackendSpec, ...] = LIKELY
    while True:
        most = min(available, times * workers)
        # The plain loop takes the time of all, the others that of their share.
        once = START + CALLS * each * (most + (len(backends) - 1) * math.ceil(most / workers))
        if MIN_ROUNDS * once <= BUDGET:
            break
        if times > 2:
            times = max(2, times // 2)
        elif len(backends) > FEWEST:
            backends = backends[:-1]
        elif times > 1:
            times = 1
        else:
            break
    few = min(most, max(1, times // 4) * workers)
    rounds = max(1, min(MOST_ROUNDS, int(BUDGET / once)))
    return tuple(sorted({few, most})), backends, rounds


def _predicted(
    backend: BackendSpec, samples: Sequence[Sample], *, total: int, workers: int
) -> Prediction | None:
    """What a backend takes for all images, by the line through each round's times; None if it failed."""
    own = [sample for sample in samples if sample.backend == backend]
    if not own or any(sample.status != "ok" for sample in own):
        return None
    # A loop takes as long as its images, a pool as the images of each worker.
    at_once = 1 if backend == BASELINE else workers
    logs = []
    for number in {sample.round for sample in own}:
        times = _medians([one for one in own if one.round == number], "seconds")
        logs.append(math.log(times[total] if total in times else _beyond(times, total, at_once)))
    middle, rounds = mean(logs), len(logs)
    reach = DRIFT
    if rounds > 1:
        spread = stdev(logs) * math.sqrt(1 + 1 / rounds)
        reach = math.hypot(reach, t_reach(rounds - 1) * spread)
    peaks = _medians(own, "peak_mib")
    (low, below), (high, above) = min(peaks.items()), max(peaks.items())
    slope = max(0.0, (above - below) / (high - low)) if high > low else 0.0
    return Prediction(
        backend=backend,
        seconds=math.exp(middle),
        low=math.exp(middle - reach),
        high=math.exp(middle + reach),
        peak_mib=above + slope * max(0, total - high),
    )


def _beyond(times: dict[int, float], total: int, at_once: int) -> float:
    """Seconds for all, by what some numbers of images take that are worked on so many at once."""
    turns = {math.ceil(size / at_once): seconds for size, seconds in times.items()}
    last = total / at_once if total > at_once else 1.0
    if len(turns) == 1:
        ((own, seconds),) = turns.items()
        return seconds / own * last
    return cost_model([*turns], [*turns.values()]).seconds(last)


def _medians(samples: Sequence[Sample], name: str) -> dict[int, float]:
    """By number of images the middle of an attribute."""
    sizes = sorted({sample.n_images for sample in samples})
    return {
        size: median(getattr(one, name) or 0.0 for one in samples if one.n_images == size)
        for size in sizes
    }
