"""The engine: blocks, failures and going on, with workers that answer from a script."""

from __future__ import annotations

import itertools
import json
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from segbench.backends.registry import BASELINE, BackendSpec
from segbench.errors import InputError
from segbench.images import datasets
from segbench.measure import engine, machine
from segbench.measure.protocol import Check, Checked, Failed, Profile, Refused, Start, Time, Timed
from segbench.measure.settings import PHASES, RunSettings
from segbench.results.records import RUN_NAME, read, read_profiles
from tests.scripted import OBJECTS, Script, Watcher

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from segbench.images.datasets import Dataset
    from segbench.measure.protocol import Reply, Request
    from segbench.measure.workers import Arm
    from segbench.results.records import Sample

THREADS = BackendSpec("skimage", "skimage", "thread-pool")


@pytest.fixture(scope="module")
def images() -> Dataset:
    """Three small images."""
    return datasets.smear(3, shape=(48, 64))


def measure(
    images: Dataset, out: Path, script: Script, *, watcher: Watcher | None = None, **settings: Any
) -> list[Sample]:
    """Run the baseline and a thread pool on 1 and 3 images in 2 blocks; the samples written."""
    usual = {"sizes": (1, 3), "blocks": 2, "workers": 2, "backends": (THREADS,)}
    engine.run(
        images,
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


def test_every_case_is_sampled_once_a_block(images: Dataset, tmp_path: Path) -> None:
    """Each phase, backend and size has one ok sample in each block, with what the worker told."""
    samples = measure(images, tmp_path, Script(seconds=lambda *_: 0.25, calls=4))
    cases = Counter((s.case, s.block) for s in samples)
    assert {*cases.values()} == {1}
    assert len(cases) == len(PHASES) * 2 * 2 * 2
    for sample in samples:
        assert (sample.status, sample.seconds, sample.calls) == ("ok", 0.25, 4)
        assert (sample.first_seconds, sample.idle_mib, sample.peak_mib) == (0.02, 100.0, 120.0)
        finds = sample.phase in ("process", "pipeline")
        assert sample.objects == (OBJECTS * sample.n_images if finds else None)
    times = [sample.at for sample in samples if sample.at is not None]
    assert times == sorted(times)


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


def test_a_case_ends_where_the_ratios_are_known(images: Dataset, tmp_path: Path) -> None:
    """With ratios that never vary a case ends after the blocks that a narrow interval takes."""
    samples = measure(images, tmp_path, Script(), blocks=40, sizes=(1,), phases=("read",))
    assert max(sample.block for sample in samples) == 14


def test_small_sizes_are_measured_in_two_rounds_of_processes(
    images: Dataset, tmp_path: Path
) -> None:
    """The second half of the blocks comes from workers that were started anew; all end."""
    script = Script()
    samples = measure(images, tmp_path, script, blocks=4, phases=("read",))
    assert {(s.block, s.round) for s in samples} == {(1, 1), (2, 1), (3, 2), (4, 2)}
    # The reference's, two of each backend, and one of each for its profile.
    assert Counter(worker.arm.backend for worker in script.workers) == {BASELINE: 4, THREADS: 3}
    assert all(worker.stopped for worker in script.workers)


def test_the_order_is_random_and_follows_the_seed(images: Dataset, tmp_path: Path) -> None:
    """The same seed gives the same order of the arms; within a run the order changes."""

    def order(folder: str, seed: int) -> list[str]:
        samples = measure(
            images, tmp_path / folder, Script(), phases=("open",), blocks=12, sizes=(1,), seed=seed
        )
        return [s.scheduler for s in samples]

    first = order("a", 1)
    assert first == order("b", 1)
    assert first[::2] != [first[0]] * 12


@pytest.mark.parametrize("status", ["error", "timeout", "crashed", "memory", "unavailable"])
@pytest.mark.parametrize("kind", [Start, Check, Time])
def test_a_backend_that_fails_is_out_from_there(
    images: Dataset, tmp_path: Path, status: str, kind: type[Request]
) -> None:
    """Every phase of that size has a row that says why, larger sizes were not tried, others go on."""
    watcher = Watcher()
    samples = measure(images, tmp_path, Script(otherwise=failing(status, kind)), watcher=watcher)
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
    assert len(of(samples, BASELINE)) == len(PHASES) * 2 * 2
    assert any("planted" in note for note in watcher.notes)


def test_what_was_measured_before_a_failure_stays(images: Dataset, tmp_path: Path) -> None:
    """A backend that fails at a larger size keeps its samples of smaller ones, and their status."""
    script = Script(otherwise=failing("error", Check, n_images=3))
    samples = of(measure(images, tmp_path, script))
    assert {sample.status for sample in samples if sample.n_images == 1} == {"ok"}
    assert {sample.status for sample in samples if sample.n_images == 3} == {"error"}
    assert not any(sample.cause.startswith("not tried") for sample in samples)


def test_wrong_results_are_never_timed(images: Dataset, tmp_path: Path) -> None:
    """A backend that finds other cells is wrong-result in every phase, with what differs."""

    def wrong(arm: Arm, request: Request) -> Reply | None:
        differs = arm.backend == THREADS and isinstance(request, Check)
        return Checked(0.02, "image 0: two cells joined", 1.0, 1.0, 0) if differs else None

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
        return Timed(0.01, OBJECTS - 1) if differs and isinstance(request, Time) else None

    rows = of(measure(images, tmp_path, Script(otherwise=other), sizes=(1,)))
    wrong = [row for row in rows if row.status == "wrong-result"]
    assert {row.phase for row in wrong} == {*PHASES}
    assert all("6 objects, other than when compared" in row.cause for row in wrong)
    # Only the phase that was timed has a block.
    assert [(row.phase, row.block) for row in wrong if row.block] == [("process", 1)]


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Checked(61.0, "", 1.0, 1.0, 1), "timeout"),
        (Checked(0.1, "", 1.0, 2049.0, 1), "memory"),
        (Timed(61.0, None), "timeout"),
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


def test_each_arm_is_profiled_once(images: Dataset, tmp_path: Path) -> None:
    """Each arm that did not fail has one profile, or why not; a run that goes on keeps it."""
    script = Script(otherwise=failing("error", Check))
    measure(images, tmp_path, script)
    (found,) = read_profiles(tmp_path)
    assert (found.backend, found.status, found.parts) == (BASELINE, "ok", {"decode": 1.0})
    measure(images, tmp_path, Script())
    assert [profile.backend for profile in read_profiles(tmp_path)] == [BASELINE]


def test_a_profile_that_fails_says_so(images: Dataset, tmp_path: Path) -> None:
    """It has a line with its status and cause, and the others go on."""
    measure(images, tmp_path, Script(otherwise=failing("error", Profile)))
    found = {profile.backend: profile for profile in read_profiles(tmp_path)}
    assert (found[BASELINE].status, found[THREADS].status) == ("ok", "error")
    assert "planted" in found[THREADS].cause


def test_the_progress_comes_to_its_end(images: Dataset, tmp_path: Path) -> None:
    """As many steps are done as were planned, also where a backend fails and a run goes on."""
    for folder, otherwise in (("ok", lambda *_: None), ("failed", failing("error", Check))):
        for _ in range(2):
            watcher = Watcher()
            measure(images, tmp_path / folder, Script(otherwise=otherwise), watcher=watcher)
            assert watcher.done == watcher.planned > 0


def test_a_run_goes_on_where_it_was_cut(images: Dataset, tmp_path: Path) -> None:
    """Wherever a run is cut, going on measures what is missing, and keeps what there is."""
    measure(images, tmp_path, Script())
    path = tmp_path / RUN_NAME
    whole = path.read_bytes().splitlines(keepends=True)
    for cut in range(1, len(whole)):
        for kept in (b"".join(whole[:cut]), b"".join(whole[:cut]) + whole[cut][:-30]):
            path.write_bytes(kept)
            earlier = read(path).samples
            samples = measure(images, tmp_path, Script())
            assert samples[: len(earlier)] == earlier
            taken = [(s.case, s.block) for s in samples]
            assert len({*taken}) == len(taken)
            # Each arm has its blocks; of the one that was cut some have one more.
            counts = Counter(s.case for s in samples)
            assert len(counts) == len(PHASES) * 2 * 2
            assert {*counts.values()} <= {2, 3}
            assert sum(count == 3 for count in counts.values()) <= 1


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
    """What works in one thread is on the same CPU in a block, on the next in the next.

    Such are some schedulers, and the phase `open` of all.
    """
    script = Script()
    synchronous = BackendSpec("dask-image", "dask-blocks", "synchronous")
    measure(images, tmp_path, script, backends=(synchronous, THREADS), sizes=(1,))
    cpus = sorted(os.sched_getaffinity(0))
    expected = [cpus[block % len(cpus)] for block in (1, 2)]

    def cpus_of(backend: BackendSpec, phase: str) -> list[int | None]:
        return [r.cpu for arm, r in script.timed() if (arm.backend, r.phase) == (backend, phase)]

    for backend in (BASELINE, synchronous):
        assert cpus_of(backend, "process") == expected
        assert cpus_of(backend, "open") == expected
    assert cpus_of(THREADS, "process") == [None, None]
    assert cpus_of(THREADS, "open") == expected
