"""The engine: rounds, failures and going on, with workers that answer from a script."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from segbench.backends.registry import BASELINE, BackendSpec
from segbench.errors import InputError
from segbench.images import datasets
from segbench.measure import engine, machine, stopping
from segbench.measure.protocol import (
    Check,
    Checked,
    Failed,
    Pace,
    Profile,
    Refused,
    Start,
    Time,
    Timed,
)
from segbench.measure.settings import PHASES, RunSettings
from segbench.measure.stopping import ARM_SECONDS, MOST_PAIRS
from segbench.results.records import PROFILES_NAME, RUN_NAME, Case, read, read_profiles
from segbench.results.sources import read_run_folder
from segbench.stats import MIN_ROUNDS
from tests.scripted import OBJECTS, Script, Watcher

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from segbench.images.datasets import Dataset
    from segbench.measure.protocol import Reply, Request
    from segbench.measure.workers import Arm
    from segbench.results.records import Sample

THREADS = BackendSpec("skimage", "skimage", "thread-pool")

# Of short calls.
BLOCKS = 2 * MOST_PAIRS


@pytest.fixture(scope="module")
def images() -> Dataset:
    """Three small images."""
    return datasets.smear(3, shape=(48, 64))


PACE = Pace(1, 1, short=False)


def measure(
    images: Dataset, out: Path, script: Script, *, watcher: Watcher | None = None, **settings: Any
) -> list[Sample]:
    """Run the baseline and a thread pool on 1 and 3 images in 2 rounds; the samples written."""
    usual = {"sizes": (1, 3), "rounds": 2, "workers": 2, "backends": (THREADS,)}
    engine.run(
        [images],
        RunSettings(**{**usual, **settings}),
        out=out,
        watcher=watcher or Watcher(),
        command="a test",
        machine={},
        earlier=read(out / RUN_NAME) if (out / RUN_NAME).exists() else None,
        launch=script.launch,
    )
    return read(out / RUN_NAME).samples


def of(samples: list[Sample], backend: BackendSpec = THREADS) -> list[Sample]:
    """The samples of a backend."""
    return [sample for sample in samples if sample.backend == backend]


def failing(
    status: str, kind: type[Request], *, phase: str = "", n_images: int = 0
) -> Callable[[Arm, Request], Reply | None]:
    """The thread pool fails so at a kind of request, of a phase or size if these are given."""

    def answer(arm: Arm, request: Request) -> Reply | None:
        if arm.backend != THREADS or not isinstance(request, kind):
            return None
        if phase and getattr(request, "phase", "") != phase:
            return None
        if n_images and getattr(request, "n_images", 0) != n_images:
            return None
        return Failed(status, "planted")

    return answer


def restless() -> Callable[[Arm, Time], float]:
    """Times that vary so much that no ratio is ever settled."""
    calls = itertools.count()
    return lambda _arm, _request: 0.01 * (1 + next(calls) * 7919 % 13)


def test_every_case_is_sampled_once_a_block(images: Dataset, tmp_path: Path) -> None:
    """Each phase, backend and size has one ok sample in each block, with what the worker told."""
    script = Script(seconds=lambda *_: 0.01, cpu_seconds=lambda *_: 0.015, calls=4)
    samples = measure(images, tmp_path, script)
    cases = Counter((s.case, s.block) for s in samples)
    assert {*cases.values()} == {1}
    assert len(cases) == len(PHASES) * 2 * 2 * 2 * BLOCKS
    for sample in samples:
        assert (sample.status, sample.seconds, sample.cpu_seconds) == ("ok", 0.01, 0.015)
        assert (sample.calls, sample.round) == (4, 1 + (sample.block - 1) // BLOCKS)
        assert (sample.first_seconds, sample.idle_mib, sample.peak_mib) == (0.02, 100.0, 120.0)
        assert sample.tasks == (48 if sample.phase == "pipeline" else None)
        finds = sample.phase in ("process", "pipeline")
        assert sample.objects == (OBJECTS * sample.n_images if finds else None)
    times = [sample.at for sample in samples if sample.at is not None]
    assert times == sorted(times)


def test_what_is_measured_is_told_before_it_starts(images: Dataset, tmp_path: Path) -> None:
    """How many cases, and about how long."""
    watcher = Watcher()
    measure(images, tmp_path, Script(), watcher=watcher, phases=("read", "pipeline"))
    (told,) = (note for note in watcher.notes if note.startswith("measuring "))
    assert re.fullmatch(r"measuring 8 cases \(.*\): about \d+( to \d+)? min", told)


def test_the_header_says_what_was_asked(images: Dataset, tmp_path: Path) -> None:
    """Settings, what was typed, a command that measures the same, and the workers' thread pools."""
    measure(images, tmp_path, Script(), seed=5, phases=("read",))
    header = read(tmp_path / RUN_NAME).header
    assert header.settings["command"] == "a test"
    assert header.settings["seed"] == 5
    assert header.settings["sizes"] == [1, 3]
    assert header.settings["thread_pools"] == {
        str(BASELINE): ["a pool 1"],
        str(THREADS): ["a pool 1"],
    }
    words = header.settings["again"].split()
    assert words[:2] == ["segbench", "run"]
    assert ("--seed", "5") in itertools.pairwise(words)
    assert header.dataset["objects"] == OBJECTS * 500


def test_every_case_has_five_rounds_of_new_processes(images: Dataset, tmp_path: Path) -> None:
    """With the default limits, at every size, also where no time is left; each in new workers."""
    script = Script()
    default = RunSettings().rounds
    samples = measure(images, tmp_path, script, rounds=default, case_seconds=0.001)
    rounds = {
        case: {s.round for s in samples if s.case == case} for case in {s.case for s in samples}
    }
    assert {tuple(sorted(own)) for own in rounds.values()} == {(1, 2, 3, 4, 5)}
    # The reference's, one of each backend and round, and those of its profiles.
    own = MIN_ROUNDS + stopping.PROFILES
    assert Counter(w.arm.backend for w in script.workers) == {BASELINE: 1 + own, THREADS: own}
    assert all(worker.stopped for worker in script.workers)


def test_a_slow_case_has_five_rounds(images: Dataset, tmp_path: Path) -> None:
    """Calls that take all the time of a case at once are measured in five rounds, a block each."""
    script = Script(seconds=lambda *_: 30.0, calls=1)
    samples = measure(images, tmp_path, script, sizes=(1,), phases=("process",), rounds=10)
    assert [(s.round, s.block) for s in of(samples)] == [(n, n) for n in range(1, MIN_ROUNDS + 1)]


def test_a_settled_case_stops_and_the_others_go_on(images: Dataset, tmp_path: Path) -> None:
    """A case whose ratios never vary ends after five rounds, one that varies at the limit."""
    varied = restless()
    script = Script(
        seconds=lambda arm, request: varied(arm, request) if request.phase == "read" else 0.01
    )
    samples = measure(images, tmp_path, script, rounds=8, sizes=(1,), phases=("open", "read"))
    rounds = {phase: {s.round for s in samples if s.phase == phase} for phase in ("open", "read")}
    assert rounds == {"open": {*range(1, 6)}, "read": {*range(1, 9)}}


def test_the_limit_of_time_ends_a_case(images: Dataset, tmp_path: Path) -> None:
    """A case that is never settled ends after its seconds of timed calls, if it has five rounds."""
    script = Script(seconds=restless(), calls=1)
    told: dict[str, Any] = {"rounds": 50, "sizes": (1,), "phases": ("read",), "case_seconds": 6.0}
    samples = measure(images, tmp_path, script, **told)
    whole = max(s.round for s in samples)
    assert MIN_ROUNDS < whole < 50
    spent = {n: sum(s.seconds or 0.0 for s in samples if s.round <= n) for n in (whole - 1, whole)}
    assert spent[whole - 1] < 6.0 <= spent[whole]


@pytest.mark.parametrize(("seconds", "blocks"), [(0.01, BLOCKS), (0.06, 2), (1.5, 1)])
def test_both_orders_are_in_a_round(
    images: Dataset, tmp_path: Path, seconds: float, blocks: int
) -> None:
    """Within a round each order comes with its reverse; where a call is long, in the next round."""
    script = Script(seconds=lambda *_: seconds)
    told: dict[str, Any] = {"phases": ("read",), "sizes": (1,), "rounds": 4}
    samples = measure(images, tmp_path, script, **told)
    assert {s.round for s in samples} == {1, 2, 3, 4}
    assert len(samples) == 4 * blocks * 2
    orders = [
        [s.backend for s in samples if s.block == block]
        for block in range(1, max(s.block for s in samples) + 1)
    ]
    for one, other in zip(orders[::2], orders[1::2], strict=True):
        assert other == one[::-1]


def test_the_order_is_random_and_follows_the_seed(images: Dataset, tmp_path: Path) -> None:
    """The same seed gives the same order of the arms, another seed another one."""

    def order(folder: str, seed: int) -> list[str]:
        told: dict[str, Any] = {"phases": ("open",), "sizes": (1,), "seed": seed}
        return [s.scheduler for s in measure(images, tmp_path / folder, Script(), **told)]

    first = order("a", 1)
    assert first == order("b", 1)
    assert first != order("c", 2)
    assert {tuple(first[i : i + 2]) for i in range(0, len(first), 2)} == {
        ("serial", "thread-pool"),
        ("thread-pool", "serial"),
    }


@pytest.fixture(scope="module")
def many() -> Dataset:
    """More images than a long case is warmed up with."""
    return datasets.smear(engine.FEW_IMAGES + 1, shape=(16, 24))


@pytest.mark.parametrize(("seconds", "few"), [(2 * ARM_SECONDS, True), (0.01, False)])
def test_long_calls_are_compared_once(
    many: Dataset, tmp_path: Path, seconds: float, few: bool
) -> None:
    """In later rounds long calls are warmed up with few images only, and short ones compared again."""
    script = Script(seconds=lambda *_: seconds)
    sizes = (engine.FEW_IMAGES, engine.FEW_IMAGES + 1)
    samples = measure(many, tmp_path, script, sizes=sizes, phases=("read", "process"))
    asked = [
        (request.n_images, request.phase, request.few)
        for arm, request in script.asked
        if isinstance(request, Check) and arm.backend == THREADS
    ]
    # In the first round the pipeline, too: it gives the cells that are compared.
    first = [(size, phase, 0) for size in sizes for phase in ("read", "pipeline", "process")]
    assert asked[:6] == first
    many_few = engine.FEW_IMAGES if few else 0
    assert asked[6:] == [
        (size, phase, many_few if size > engine.FEW_IMAGES else 0)
        for size in sizes
        for phase in ("read", "process")
    ]
    assert {s.status for s in samples} == {"ok"}
    # What was not run once has no time of a first call and no peak.
    large = [s for s in of(samples) if s.n_images > engine.FEW_IMAGES and s.round == 2]
    assert {s.first_seconds for s in large} == {None if few else 0.02}
    assert {s.peak_mib for s in large} == {None if few else 120.0}


def test_later_rounds_call_as_often_as_the_first(many: Dataset, tmp_path: Path) -> None:
    """In the first round the clock says how often; in others what was found there is asked for."""
    script = Script(calls=5)
    measure(many, tmp_path, script, sizes=(1,), phases=("read",))
    paces = [
        request.pace
        for arm, request in script.asked
        if isinstance(request, Check) and arm.backend == THREADS and request.phase == "read"
    ]
    assert len(paces) > 1
    assert paces == [None] + [Pace(2, 5, short=False)] * (len(paces) - 1)


@pytest.mark.parametrize("status", ["error", "timeout", "crashed", "memory", "unavailable"])
@pytest.mark.parametrize("kind", [Start, Check, Time])
def test_a_backend_that_fails_is_out_from_there(
    images: Dataset, tmp_path: Path, status: str, kind: type[Request]
) -> None:
    """Every phase of that size has a row that says why, larger sizes were not tried, others go on."""
    watcher = Watcher()
    script = Script(otherwise=failing(status, kind))
    samples = measure(images, tmp_path, script, watcher=watcher)
    failed = [row for row in of(samples) if row.status != "ok"]
    assert Counter((row.n_images, row.phase) for row in failed) == {
        (size, phase): 1 for size in (1, 3) for phase in PHASES
    }
    assert {(row.status, row.seconds) for row in failed} == {(status, None)}
    assert all("planted" in row.cause for row in failed)
    told = {row.cause.startswith("not tried: ") for row in failed if row.n_images == 3}
    # What is not installed was not given up: it is named for each size.
    assert told == {status != "unavailable"}
    assert {row.status for row in of(samples, BASELINE)} == {"ok"}
    assert len(of(samples, BASELINE)) == len(PHASES) * 2 * 2 * BLOCKS
    assert any("planted" in note for note in watcher.notes)
    # Nothing is left for it to do in the second round.
    assert sum(worker.arm.backend == THREADS for worker in script.workers) == 1


def test_what_was_measured_before_a_failure_stays(images: Dataset, tmp_path: Path) -> None:
    """A backend that fails at a larger size keeps its samples of smaller ones, and their status."""
    script = Script(otherwise=failing("error", Check, n_images=3))
    samples = of(measure(images, tmp_path, script))
    assert {sample.status for sample in samples if sample.n_images == 1} == {"ok"}
    assert {sample.status for sample in samples if sample.n_images == 3} == {"error"}
    assert not any(sample.cause.startswith("not tried") for sample in samples)
    # It goes on with what it can do.
    assert {sample.round for sample in samples if sample.n_images == 1} == {1, 2}


def later(
    answer: Callable[[Arm, Request], Reply | None], script: Script
) -> Callable[[Arm, Request], Reply | None]:
    """The same, but from the second worker of a backend on; the reference is the baseline's first."""

    def answer_later(arm: Arm, request: Request) -> Reply | None:
        started = sum(worker.arm == arm for worker in script.workers)
        return answer(arm, request) if started > 1 else None

    return answer_later


def test_no_larger_size_is_tried_after_a_failure(images: Dataset, tmp_path: Path) -> None:
    """Where a size fails the larger ones are not asked for, in no round; the smaller ones go on."""
    script = Script(otherwise=failing("error", Check, n_images=2))
    samples = of(measure(images, tmp_path, script, sizes=(1, 2, 3)))
    checks = [
        request.n_images
        for arm, request in script.asked
        if isinstance(request, Check) and arm.backend == THREADS
    ]
    assert Counter(checks) == {1: 2 * len(PHASES), 2: 1}
    assert {s.cause.startswith("not tried") for s in samples if s.n_images == 3} == {True}
    assert Counter(s.status for s in samples if s.n_images == 1) == {"ok": 2 * BLOCKS * len(PHASES)}


@pytest.mark.parametrize("kind", [Check, Time])
def test_a_size_that_fails_in_a_later_round(
    images: Dataset, tmp_path: Path, kind: type[Request]
) -> None:
    """It has failure rows beside its samples, and is not tried again; smaller sizes go on."""
    script = Script()
    kept = failing("error", kind, n_images=3 if kind is Check else 0, phase="process")
    script.otherwise = later(kept, script)
    samples = of(measure(images, tmp_path, script, rounds=3, sizes=(1, 3)))
    failed = [s for s in samples if s.status != "ok"]
    sizes = [3] if kind is Check else [1, 3]
    expected = {(size, phase): 1 for size in sizes for phase in PHASES}
    assert Counter((s.n_images, s.phase) for s in failed) == expected
    rounds = {
        size: {s.round for s in samples if s.n_images == size and s.status == "ok"}
        for size in (1, 3)
    }
    # Phases before the one that is timed first had their turn.
    assert rounds == ({1: {1, 2, 3}, 3: {1}} if kind is Check else {1: {1, 2}, 3: {1}})


def test_a_backend_that_can_not_be_started_any_more(images: Dataset, tmp_path: Path) -> None:
    """In a later round it is out of what that round measures, and the others go on."""
    script = Script()
    script.otherwise = later(failing("crashed", Start), script)
    samples = measure(images, tmp_path, script, rounds=3)
    assert {s.round for s in of(samples) if s.status == "ok"} == {1}
    failed = [s for s in of(samples) if s.status != "ok"]
    assert Counter((s.n_images, s.phase) for s in failed) == {
        (size, phase): 1 for size in (1, 3) for phase in PHASES
    }
    assert all("start: planted" in s.cause for s in failed)
    assert {s.round for s in of(samples, BASELINE)} == {1, 2, 3}


def test_wrong_results_are_never_timed(images: Dataset, tmp_path: Path) -> None:
    """A backend that finds other cells is wrong-result in every phase, with what differs."""

    def wrong(arm: Arm, request: Request) -> Reply | None:
        differs = arm.backend == THREADS and isinstance(request, Check)
        return Checked(0.02, "image 0: two cells joined", 1.0, 1.0, PACE) if differs else None

    script = Script(otherwise=wrong)
    rows = of(measure(images, tmp_path, script))
    assert {row.status for row in rows} == {"wrong-result"}
    assert len(rows) == len(PHASES) * 2
    assert all("two cells joined" in row.cause for row in rows)
    assert THREADS not in {arm.backend for arm, _ in script.timed()}


def test_a_result_that_changes_later_is_found(images: Dataset, tmp_path: Path) -> None:
    """The number of objects of each timed call is compared, too; that sample does not count."""

    def other(arm: Arm, request: Request) -> Reply | None:
        differs = arm.backend == THREADS and getattr(request, "phase", "") == "process"
        return Timed(0.01, OBJECTS - 1, 0.01) if differs and isinstance(request, Time) else None

    rows = of(measure(images, tmp_path, Script(otherwise=other), sizes=(1,)))
    wrong = [row for row in rows if row.status == "wrong-result"]
    assert {row.phase for row in wrong} == {*PHASES}
    assert all("6 objects, other than when compared" in row.cause for row in wrong)
    # Only the phase that was timed has a block.
    assert [(row.phase, row.block) for row in wrong if row.block] == [("process", 1)]


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Checked(61.0, "", 1.0, 1.0, PACE), "timeout"),
        (Checked(0.1, "", 1.0, 2049.0, PACE), "memory"),
        (Timed(61.0, None, 61.0), "timeout"),
    ],
)
def test_limits_hold_for_what_the_worker_tells(
    images: Dataset, tmp_path: Path, reply: Reply, status: str
) -> None:
    """A call that was over before it was looked at from outside is judged by its time and peak."""

    def over(arm: Arm, request: Request) -> Reply | None:
        kind = Check if isinstance(reply, Checked) else Time
        return reply if arm.backend == THREADS and isinstance(request, kind) else None

    rows = of(measure(images, tmp_path, Script(otherwise=over), sizes=(1,), memory_limit=2.0))
    assert {row.status for row in rows if row.status != "ok"} == {status}


def test_the_pipeline_is_compared_whatever_is_asked(images: Dataset, tmp_path: Path) -> None:
    """Before `open` alone is timed, the cells of the pipeline are compared; `process` comes last."""
    script = Script()
    measure(images, tmp_path, script, phases=("open",), sizes=(1,))
    assert {r.phase for _, r in script.asked if isinstance(r, Check)} == {"open", "pipeline"}
    script = Script()
    measure(images, tmp_path / "all", script, sizes=(1,))
    own = [r.phase for a, r in script.asked if isinstance(r, Check) and a.backend == THREADS]
    assert own[: len(PHASES)] == ["open", "read", "pipeline", "process"]


def test_a_backend_that_makes_no_sense_is_refused(images: Dataset, tmp_path: Path) -> None:
    """The run ends with the reason before anything is written."""
    refused = Refused("neither part uses Dask")
    script = Script(
        otherwise=lambda arm, request: (
            refused if arm.backend == THREADS and isinstance(request, Start) else None
        )
    )
    with pytest.raises(InputError, match="neither part uses Dask"):
        measure(images, tmp_path / "out", script)
    assert not (tmp_path / "out").exists()
    assert all(worker.stopped for worker in script.workers)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Failed("crashed", "no luck"), "the reference .* failed: start: no luck"),
        (Refused("no luck"), "^no luck"),
    ],
)
def test_the_reference_must_start(
    images: Dataset, tmp_path: Path, reply: Reply, words: str
) -> None:
    """Where the reference itself can't start, the run ends with its cause."""
    script = Script(otherwise=lambda _, request: reply if isinstance(request, Start) else None)
    with pytest.raises(InputError, match=words):
        measure(images, tmp_path / "out", script)
    assert not (tmp_path / "out").exists()


def test_sizes_without_images_are_left_out(images: Dataset, tmp_path: Path) -> None:
    """A size that the dataset has no images for is left out, and the header says so."""
    watcher = Watcher()
    samples = measure(
        images, tmp_path, Script(), sizes=(1, 3, 20), phases=("open",), watcher=watcher
    )
    assert {s.n_images for s in samples} == {1, 3}
    assert read(tmp_path / RUN_NAME).header.settings["sizes_left_out"] == [20]
    assert any("left out 20" in note for note in watcher.notes)
    with pytest.raises(InputError, match="holds 3 images"):
        measure(images, tmp_path / "none", Script(), sizes=(20,))


def test_each_arm_is_profiled_three_times(images: Dataset, tmp_path: Path) -> None:
    """Each arm in turn, three times, each in a process of its own; a run that goes on adds some."""
    measure(images, tmp_path, Script())
    found = read_profiles(tmp_path)
    assert [profile.backend for profile in found] == [BASELINE, THREADS] * 3
    assert {(profile.status, profile.parts["decode"]) for profile in found} == {("ok", 1.0)}
    path = tmp_path / PROFILES_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]))
    script = Script()
    measure(images, tmp_path, script)
    asked = [arm.backend for arm, request in script.asked if isinstance(request, Profile)]
    assert asked == [BASELINE, THREADS, THREADS]
    assert Counter(p.backend for p in read_profiles(tmp_path)) == {BASELINE: 3, THREADS: 3}


@pytest.mark.parametrize(("sizes", "profiled"), [((1, 21), 1), ((2, 20, 21), 20), ((21,), 20)])
def test_few_images_are_profiled(
    many: Dataset, tmp_path: Path, sizes: tuple[int, ...], profiled: int
) -> None:
    """The largest size up to 20 images, and 20 where all sizes are larger."""
    measure(many, tmp_path, Script(), sizes=sizes, phases=("open",), rounds=1)
    assert {profile.n_images for profile in read_profiles(tmp_path)} == {profiled}


def test_what_failed_is_not_profiled(images: Dataset, tmp_path: Path) -> None:
    """An arm that failed at the size that is profiled has no profile, also when a run goes on."""
    measure(images, tmp_path, Script(otherwise=failing("error", Check)))
    assert {profile.backend for profile in read_profiles(tmp_path)} == {BASELINE}
    measure(images, tmp_path, Script())
    assert [profile.backend for profile in read_profiles(tmp_path)] == [BASELINE] * 3


def test_a_profile_that_fails_says_so(images: Dataset, tmp_path: Path) -> None:
    """It has a line with its status and cause, and the others go on."""
    measure(images, tmp_path, Script(otherwise=failing("error", Profile)))
    found = {profile.backend: profile for profile in read_profiles(tmp_path)}
    assert (found[BASELINE].status, found[THREADS].status) == ("ok", "error")
    assert "planted" in found[THREADS].cause


def test_the_progress_comes_to_its_end(images: Dataset, tmp_path: Path) -> None:
    """As many steps are done as were planned, also where a backend fails and a run goes on."""
    whole = lambda *_: None
    cases = {
        "ok": whole,
        "failed": failing("error", Check),
        "large": failing("error", Check, n_images=3),
        "all": lambda _, request: Failed("error", "") if isinstance(request, Check) else None,
    }
    for folder, otherwise in cases.items():
        for _ in range(2):
            watcher = Watcher()
            script = Script(otherwise=otherwise)
            measure(images, tmp_path / folder, script, watcher=watcher, rounds=7)
            assert watcher.done == watcher.planned > 0


def cut(path: Path, lines: list[bytes], count: int, *, half: bool = False) -> list[Sample]:
    """Leave so many lines of a run, and perhaps a part of the next; what can be read of them."""
    path.write_bytes(b"".join(lines[:count]) + (lines[count][:-30] if half else b""))
    return read(path).samples


def test_a_run_goes_on_where_it_was_cut(images: Dataset, tmp_path: Path) -> None:
    """Wherever a run is cut, going on measures what is missing, and keeps what there is."""
    told: dict[str, Any] = {"phases": ("read", "process"), "sizes": (1, 3)}
    # A single block a round, so that there are few places.
    slow: dict[str, Any] = {"seconds": lambda *_: 2.0, "calls": 1}
    measure(images, tmp_path, Script(**slow), **told)
    path = tmp_path / RUN_NAME
    whole = path.read_bytes().splitlines(keepends=True)
    for count in range(1, len(whole)):
        for half in (False, True):
            earlier = cut(path, whole, count, half=half)
            samples = measure(images, tmp_path, Script(**slow), **told)
            assert samples[: len(earlier)] == earlier
            taken = [(s.case, s.block) for s in samples]
            assert len({*taken}) == len(taken)
            # Each arm has its rounds; of the one that was cut some have a block more.
            assert Counter((s.case, s.round) for s in samples).keys() == {
                (Case(backend, size, phase), number)
                for backend in (BASELINE, THREADS)
                for size in told["sizes"]
                for phase in told["phases"]
                for number in (1, 2)
            }
            assert len(samples) <= len(whole)


def test_a_run_that_goes_on_takes_the_same_orders(images: Dataset, tmp_path: Path) -> None:
    """The round that was cut is taken again as it would have been, and so are those after it."""
    told: dict[str, Any] = {"phases": ("read",), "sizes": (1,), "rounds": 4, "seed": 3}
    whole = measure(images, tmp_path, Script(), **told)
    lines = (tmp_path / RUN_NAME).read_bytes().splitlines(keepends=True)
    # The header, two rounds, and the first sample of the third.
    earlier = cut(tmp_path / RUN_NAME, lines, 1 + 2 * 2 * BLOCKS + 1)
    samples = measure(images, tmp_path, Script(), **told)
    again = samples[len(earlier) :]
    assert [(s.backend, s.round) for s in again] == [
        (s.backend, s.round) for s in whole if s.round >= 3
    ]


def test_a_run_goes_on_with_the_smaller_sizes_of_what_failed(
    images: Dataset, tmp_path: Path
) -> None:
    """A backend that failed at a larger size is measured at the smaller ones where a run goes on."""
    told: dict[str, Any] = {"phases": ("read",), "rounds": 3}
    slow: dict[str, Any] = {"seconds": lambda *_: 2.0, "calls": 1}
    slow["otherwise"] = failing("error", Check, n_images=3)
    whole = measure(images, tmp_path, Script(**slow), **told)
    lines = (tmp_path / RUN_NAME).read_bytes().splitlines(keepends=True)
    for count in range(1, len(lines)):
        cut(tmp_path / RUN_NAME, lines, count)
        script = Script(**slow)
        samples = measure(images, tmp_path, script, **told)
        for size in (1, 3):
            expected = {s.round for s in of(whole) if (s.n_images, s.status) == (size, "ok")}
            ok = [s for s in of(samples) if (s.n_images, s.status) == (size, "ok")]
            assert {s.round for s in ok} == expected
        assert [s.status for s in of(samples) if s.n_images == 3] == ["error"]
        assert all(worker.stopped for worker in script.workers)


def test_what_failed_earlier_does_not_weigh_on_the_others(images: Dataset, tmp_path: Path) -> None:
    """Where a run goes on, a backend that failed has ended before the size that it failed at."""
    told: dict[str, Any] = {"phases": ("read",), "rounds": 3, "sizes": (1, 3)}
    measure(images, tmp_path, Script(otherwise=failing("error", Check, n_images=3)), **told)
    path = tmp_path / RUN_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    cut(path, lines, 1 + next(i for i, line in enumerate(lines) if b"planted" in line))
    script = Script()
    living = []

    def look(arm: Arm, request: Request) -> None:
        if arm.backend == BASELINE and isinstance(request, Time):
            living.append([w.arm.backend for w in script.workers if not w.stopped])

    script.otherwise = look
    measure(images, tmp_path, script, **told)
    # The rest of the first round, in which the one that failed has no part.
    assert living[:BLOCKS] == [[BASELINE]] * BLOCKS


def test_the_clocks_of_a_run_go_on(
    images: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is counted from the start of a run is counted on where it was cut."""
    monkeypatch.setattr(machine, "withheld_seconds", lambda: 5.0)
    measure(images, tmp_path, Script(), phases=("read",))
    path = tmp_path / RUN_NAME
    header, first, *_ = path.read_bytes().splitlines(keepends=True)
    line = {**json.loads(first), "at": 1000.0, "withheld_seconds": 3.0}
    path.write_bytes(header + json.dumps(line).encode() + b"\n")
    _, *others = measure(images, tmp_path, Script(), phases=("read",))
    assert all(1000 < (sample.at or 0) < 1100 for sample in others)
    assert {sample.withheld_seconds for sample in others} == {3.0}


def test_an_arm_that_failed_stays_out_when_a_run_goes_on(images: Dataset, tmp_path: Path) -> None:
    """Its rows are completed, not repeated, and those of the sizes before keep their status."""
    measure(images, tmp_path, Script(otherwise=failing("error", Time, phase="process")))
    path = tmp_path / RUN_NAME
    before = [(s.case, s.status) for s in of(read(path).samples) if s.status != "ok"]
    lines = path.read_bytes().splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if b"planted" in line)
    path.write_bytes(b"".join(lines[: first + 1]))
    # Asked again it would do well.
    after = [
        (s.case, s.status) for s in of(measure(images, tmp_path, Script())) if s.status != "ok"
    ]
    assert Counter(after) == Counter(before)


def test_a_finished_run_has_nothing_left(images: Dataset, tmp_path: Path) -> None:
    """Going on with it says so and changes nothing."""
    samples = measure(images, tmp_path, Script())
    watcher = Watcher()
    assert measure(images, tmp_path, Script(), watcher=watcher) == samples
    assert "nothing is left to measure" in watcher.notes


def test_an_interruption_leaves_no_worker(images: Dataset, tmp_path: Path) -> None:
    """On Ctrl-C in a timed call all workers are ended, and what was measured is on the disk."""

    def interrupted(_arm: Arm, request: Request) -> Reply | None:
        if isinstance(request, Time) and request.phase == "process":
            raise KeyboardInterrupt
        return None

    script = Script(otherwise=interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure(images, tmp_path, script)
    assert all(worker.stopped for worker in script.workers)
    assert {s.phase for s in read(tmp_path / RUN_NAME).samples} == {"open", "read"}


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this platform")
def test_arms_on_one_cpu_share_it_in_a_block(images: Dataset, tmp_path: Path) -> None:
    """What works in one thread is on the same CPU in both blocks of a pair, on the next in the next.

    Such are some schedulers, and the phase `open` of all.
    """
    script = Script()
    synchronous = BackendSpec("dask-image", "dask-blocks", "synchronous")
    measure(images, tmp_path, script, backends=(synchronous, THREADS), sizes=(1,))
    cpus = sorted(os.sched_getaffinity(0))
    # Rounds 1 and 2 begin with the same one, in opposite orders.
    expected = [cpus[turn % len(cpus)] for turn in (1, 1, 2, 2, 3, 3) * 2]

    def cpus_of(backend: BackendSpec, phase: str) -> list[int | None]:
        return [r.cpu for arm, r in script.timed() if (arm.backend, r.phase) == (backend, phase)]

    for backend in (BASELINE, synchronous):
        assert cpus_of(backend, "process") == expected
        assert cpus_of(backend, "open") == expected
    assert {*cpus_of(THREADS, "process")} == {None}
    assert cpus_of(THREADS, "open") == expected


# Several shapes, and batches


def test_each_shape_has_its_samples(tmp_path: Path) -> None:
    """One file holds the samples and profiles of all shapes, and the header the images of each."""
    sets = [datasets.smear(3, shape=(48, 64)), datasets.smear(1, shape=(64, 80))]
    asked = RunSettings(sizes=(1, 3), rounds=2, workers=2, backends=(THREADS,))
    told: dict[str, Any] = {"out": tmp_path, "command": "", "machine": {}}
    watcher = Watcher()
    engine.run(sets, asked, **told, watcher=watcher, launch=Script().launch)
    run = read(tmp_path / RUN_NAME)
    sizes = {(sample.shape, sample.n_images) for sample in run.samples}
    assert sizes == {("48x64", 1), ("48x64", 3), ("64x80", 1)}
    assert {name: one["images"] for name, one in run.header.shapes.items()} == {
        "48x64": 3,
        "64x80": 1,
    }
    assert run.header.dataset == run.header.shapes["48x64"]
    assert "--shape 48x64,64x80" in run.header.settings["again"]
    assert {one.shape for one in read_profiles(tmp_path)} == {"48x64", "64x80"}
    assert watcher.done == watcher.planned
    # Two sources, each with its own images.
    first, second = read_run_folder(tmp_path)
    assert (first.dataset["shape"][:2], second.dataset["shape"][:2]) == ([48, 64], [64, 80])
    assert {*second.samples["n_images"]} == {1}
    # Nothing is measured twice where it goes on.
    before = len(run.samples)
    script = Script()
    engine.run(sets, asked, **told, watcher=Watcher(), earlier=run, launch=script.launch)
    assert len(read(tmp_path / RUN_NAME).samples) == before
    assert not script.timed()


def test_batches_are_backends(images: Dataset, tmp_path: Path) -> None:
    """Each number of images a task is measured by itself, beside a baseline that has no tasks."""
    samples = measure(images, tmp_path, Script(), phases=("pipeline",), batch=(1, 2))
    assert {str(sample.backend) for sample in samples} == {
        str(BASELINE),
        f"{THREADS}/1",
        f"{THREADS}/2",
    }
    assert {sample.batch for sample in samples} == {0, 1, 2}
