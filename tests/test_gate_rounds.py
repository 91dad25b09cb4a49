"""Rounds, and a gate from its first round to its outcome, with workers that answer from a script."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from segbench.backends.registry import BASELINE, BackendSpec
from segbench.errors import InputError
from segbench.gate import compare, rounds
from segbench.gate.rounds import Images
from segbench.gate.sides import Environment
from segbench.images import datasets
from segbench.images.origin import Origin
from segbench.images.smear import smear_image
from segbench.measure import layout, protocol
from segbench.measure.protocol import Check, Failed, Reference, Refused, Start, Started, Time
from segbench.measure.settings import GateSettings
from segbench.measure.stopping import MOST_PAIRS
from segbench.measure.workers import Arm
from segbench.results import outcome as outcomes
from segbench.results.outcome import Side
from segbench.results.records import GATE_NAME, Case, Sample, read
from segbench.stats import MIN_ROUNDS
from tests.scripted import Script, Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from segbench.measure.protocol import Reply, Request

SETTINGS = GateSettings(
    backends=(BASELINE,), phases=("read", "process"), sizes=(1,), rounds=5, workers=2
)
SIDES = (Arm(side="base"), Arm(side="head"))


@pytest.fixture(scope="module")
def images() -> Images:
    """Two small images, in each of which as many objects are to be found as a script finds."""
    return Images(dataset=datasets.smear(2, shape=(48, 64)), folder="nowhere", objects=(7, 7))


def measure(
    images: Images,
    script: Script,
    *,
    settings: GateSettings = SETTINGS,
    cases: Sequence[Case] = (),
    watcher: Watcher | None = None,
    **when: Any,
) -> list[Sample]:
    """All samples of five rounds, unless told otherwise."""
    samples: list[Sample] = []
    rounds.measure(
        SIDES,
        cases or settings.cases,
        images,
        settings=settings,
        **{"rounds": range(1, 6), "paces": {}, **when},
        launch=script.launch,
        watcher=watcher or Watcher(),
        take=samples.append,
    )
    return samples


def gate(
    images: Images,
    out: Path,
    script: Script,
    *,
    settings: GateSettings = SETTINGS,
    watcher: Watcher | None = None,
) -> outcomes.Outcome:
    """Compare two sides as the script has them."""
    base, head = (
        Environment(side=Side(name=name, what=f"the {name}", versions={}), python=Path(name))
        for name in ("base", "head")
    )
    return compare.compare(
        base,
        head,
        images.dataset,
        settings=settings,
        out=out,
        watcher=watcher or Watcher(),
        command="segbench gate --base main",
        machine={"cpus": 2},
        sight=None,
        launch=script.launch,
    )


def failing(
    status: str, kind: type[Request], *, side: str = "head", phase: str = ""
) -> Callable[[Arm, Request], Reply | None]:
    """A side fails so at a kind of request."""

    def answer(arm: Arm, request: Request) -> Reply | None:
        fails = arm.side == side and isinstance(request, kind)
        if fails and getattr(request, "phase", phase) in (phase, ""):
            return Failed(status, "planted")
        return None

    return answer


def slower(share: float, *, phase: str = "process") -> Script:
    """The head takes so much longer in a phase."""

    def seconds(arm: Arm, request: Time) -> float:
        return 0.01 * (1 + share * (arm.side == "head" and request.phase == phase))

    return Script(seconds=seconds)


def test_every_case_is_timed_in_every_round(images: Images) -> None:
    """Each round has blocks of each case, numbered from 1, with one time of each side."""
    samples = measure(images, slower(1.0))
    assert {s.status for s in samples} == {"ok"}
    for number in range(1, SETTINGS.rounds + 1):
        for case in SETTINGS.cases:
            own = [s for s in samples if (s.round, s.case) == (number, case)]
            for side in ("base", "head"):
                blocks = [s.block for s in own if s.side == side]
                assert blocks == list(range(1, 2 * MOST_PAIRS + 1))
            times = {s.side: s.seconds for s in own}
            assert times == {"base": 0.01, "head": 0.02 if case.phase == "process" else 0.01}


def test_no_side_comes_first_more_often(images: Images) -> None:
    """The second block of a pair has the sides the other way round, on the same CPU.

    Pairs are not all alike, and each CPU has its turn.
    """
    script = Script()
    settings = dataclasses.replace(SETTINGS, phases=("open",))
    samples = measure(images, script, settings=settings)
    pairs = [samples[start : start + 4] for start in range(0, len(samples), 4)]
    orders = [tuple(s.side for s in pair) for pair in pairs]
    assert {*orders} == {("base", "head", "head", "base"), ("head", "base", "base", "head")}
    cpus = [request.cpu for _, request in script.timed()]
    assert all(len({*cpus[start : start + 4]}) == 1 for start in range(0, len(cpus), 4))
    if hasattr(os, "sched_getaffinity"):
        assert {*cpus} == os.sched_getaffinity(0)


def test_the_order_follows_seed_and_round(images: Images) -> None:
    """The same seed gives the same order; another one, and other rounds, another."""

    def order(seed: int, first: int) -> list[str]:
        settings = dataclasses.replace(SETTINGS, seed=seed)
        told: dict[str, Any] = {"settings": settings, "rounds": range(first, first + 8)}
        return [s.side for s in measure(images, Script(), **told)]

    assert order(1, 1) == order(1, 1)
    assert len({tuple(order(seed, first)) for seed in (1, 2) for first in (1, 9)}) == 4


@pytest.mark.parametrize(("seconds", "blocks"), [(0.01, 6), (0.2, 2), (0.9, 1), (10.0, 1)])
def test_a_round_has_as_many_blocks_as_fit(images: Images, seconds: float, blocks: int) -> None:
    """Where two blocks take the time that a round may have there are no more; of long calls, one.

    Of these every other round has the sides the other way round.
    """
    settings = dataclasses.replace(SETTINGS, phases=("open",))
    script = Script(seconds=lambda *_: seconds, calls=1)
    samples = measure(images, script, settings=settings, rounds=range(1, 7))
    assert {s.block for s in samples} == {*range(1, blocks + 1)}
    sides = [s.side for s in samples]
    pairs = [sides[start : start + 4] for start in range(0, len(sides), 4)]
    assert all(pair[:2] == pair[:1:-1] for pair in pairs)


@pytest.mark.parametrize("shared", [True, False])
def test_the_sides_share_a_layout(
    images: Images, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    """In each round both have the same one, and another than in the round before, where they can."""
    monkeypatch.setattr(layout, "can_be_shared", lambda: shared)
    script = Script()
    measure(images, script)
    numbers = [worker.arm.layout for worker in script.workers]
    assert numbers[::2] == numbers[1::2]
    assert len({*numbers}) == (5 if shared else 1)
    assert (None in numbers) != shared


def test_the_time_ends_after_five_rounds(images: Images) -> None:
    """When the time is over five rounds are taken all the same, and then no more is begun."""
    watcher = Watcher()
    samples = measure(images, Script(), rounds=range(1, 9), end=0.0, watcher=watcher)
    assert {s.round for s in samples} == {*range(1, MIN_ROUNDS + 1)}
    assert {s.round for s in measure(images, Script(), rounds=range(9, 17), end=0.0)} == set()
    # Those that are left out count as done.
    assert watcher.done == 8


def test_what_comes_first_is_measured_first(images: Images) -> None:
    """The backend of the first case, and its cases, in their order, come first in each round."""
    threads = BackendSpec("skimage", "skimage", "thread-pool")
    cases = [Case(threads, 1, "process"), Case(BASELINE, 1, "read"), Case(threads, 1, "open")]
    samples = measure(images, Script(), cases=cases, rounds=[1])
    assert [*dict.fromkeys(s.case for s in samples)] == [cases[0], cases[2], cases[1]]


def test_both_sides_make_a_sample_of_as_many_calls(images: Images) -> None:
    """The two are measured alike, though the warm-up of one asked for fewer calls."""

    def other(arm: Arm, request: Request) -> Reply | None:
        head = arm.side == "head" and isinstance(request, Check)
        return (
            protocol.Checked(0.02, "", 1.0, 1.0, protocol.Pace(2, 9, short=False)) if head else None
        )

    script = Script(otherwise=other)
    measure(images, script)
    assert {request.calls for _, request in script.timed()} == {9}


def test_all_rounds_call_a_case_as_the_first_did(images: Images) -> None:
    """From the second round on both sides, also after a pause, are called as often as in the first."""
    paces: dict[Case, protocol.Pace] = {}
    script = Script()
    measure(images, script, paces=paces, rounds=[1])
    assert {*paces} == {*SETTINGS.cases}
    measure(images, script, paces=paces, rounds=[2, 3])
    asked = [request.pace for _, request in script.asked if isinstance(request, Check)]
    first = 2 * len(SETTINGS.cases)
    assert asked[:first] == [None] * first
    assert None not in asked[first:]
    assert {*asked[first:]} == {*paces.values()}


def test_each_round_has_new_processes(images: Images) -> None:
    """A worker is started for each side and round, none serves two, and all end."""
    script = Script()
    measure(images, script)
    assert [worker.arm.side for worker in script.workers] == ["base", "head"] * SETTINGS.rounds
    assert all(worker.stopped for worker in script.workers)


def test_a_backend_that_one_side_lacks(images: Images) -> None:
    """It is not available there in every case, is tried once, and the other side is compared."""

    def lacking(arm: Arm, request: Request) -> Reply | None:
        unknown = arm.side == "base" and arm.backend.processor == "new"
        return (
            Refused("unknown processor 'new'") if unknown and isinstance(request, Start) else None
        )

    new = BackendSpec("skimage", "new", "serial")
    script = Script(otherwise=lacking)
    samples = measure(
        images, script, settings=dataclasses.replace(SETTINGS, backends=(new, BASELINE))
    )
    broken = [s for s in samples if s.status != "ok"]
    assert {(s.case, s.side, s.status, s.round) for s in broken} == {
        (Case(new, 1, phase), "base", "unavailable", 1) for phase in SETTINGS.phases
    }
    # What the head finds is right or wrong by itself.
    asked = {arm.side for arm, r in script.asked if isinstance(r, Check) and arm.backend == new}
    assert asked == {"head"}
    assert {s.backend for s in samples if s.status == "ok"} == {BASELINE}


LOST = ("crashed", "timeout", "memory")


@pytest.mark.parametrize("kind", [Check, Time])
@pytest.mark.parametrize("status", ["wrong-result", "error", *LOST])
def test_a_backend_that_fails(images: Images, status: str, kind: type[Request]) -> None:
    """A case that fails has its status and cause, and the other cases of the backend go on.

    A side that has lost its worker has another one for them, and the case a second try.
    """
    script = Script(otherwise=failing(status, kind, phase="read"))
    samples = measure(images, script)
    broken = [s for s in samples if s.status != "ok"]
    tries = 1 + (status in LOST)
    assert [(s.case.phase, s.side, s.status, s.cause, s.round) for s in broken] == [
        ("read", "head", status, "planted", number) for number in range(1, tries + 1)
    ]
    assert {s.round for s in samples if s.phase == "process"} == {1, 2, 3, 4, 5}
    assert len(script.workers) == 2 * (SETTINGS.rounds + (tries if status in LOST else 0))


@pytest.mark.parametrize("status", LOST)
def test_a_case_that_loses_its_worker_once_goes_on(images: Images, status: str) -> None:
    """It lacks that round alone, and has all the others."""
    script = Script()

    def once(arm: Arm, request: Request) -> Reply | None:
        first = len(script.workers) <= len(SIDES)
        return failing(status, Check, phase="read")(arm, request) if first else None

    script.otherwise = once
    samples = measure(images, script)
    assert [(s.case.phase, s.round) for s in samples if s.status != "ok"] == [("read", 1)]
    assert {s.round for s in samples if s.phase == "read" and s.status == "ok"} == {2, 3, 4, 5}
    assert {s.round for s in samples if s.phase == "process"} == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("status", ["crashed", "error"])
def test_a_backend_that_can_not_be_started(images: Images, status: str) -> None:
    """All of its cases have the status: a lost worker, which is tried twice, and a broken backend."""
    samples = measure(images, Script(otherwise=failing(status, Start)))
    broken = [(s.round, s.case, s.status) for s in samples if s.status != "ok"]
    tries = (1, 2) if status == "crashed" else (1,)
    assert broken == [(number, case, status) for number in tries for case in SETTINGS.cases]


def test_another_protocol_is_refused(images: Images) -> None:
    """Two sides that would be measured in two ways are not compared."""

    def older(arm: Arm, request: Request) -> Reply | None:
        old = arm.side == "base" and isinstance(request, Start)
        return Started([], protocol.NUMBER - 1) if old else None

    with pytest.raises(InputError, match="base: its segbench speaks protocol"):
        measure(images, Script(otherwise=older))


def test_a_gate_on_the_same_code(images: Images, tmp_path: Path) -> None:
    """Its outcome names the sides and each case, and every sample is in the file, with its side.

    Each side's workers run under its own interpreter, and the base makes the reference.
    """
    watcher, script = Watcher(), Script()
    outcome = gate(images, tmp_path, script, watcher=watcher)
    pythons = {(worker.arm.side, str(worker.arm.python)) for worker in script.workers}
    assert pythons == {("base", "base"), ("head", "head"), ("reference", "base")}
    assert [each.phase for each in outcome.comparisons] == ["read", "process"]
    assert {each.verdict for each in outcome.comparisons} == {"same"}
    assert all(each.cpu and each.cpu.rounds == 5 for each in outcome.comparisons)
    assert (outcome.base.what, outcome.head.what) == ("the base", "the head")
    found = read(tmp_path / GATE_NAME)
    assert found.header.settings["base"] == "the base"
    assert found.header.settings["rounds"] == 5
    assert {s.side for s in found.samples} == {"base", "head"}
    assert {(s.cpu_seconds, s.peak_mib, s.tasks) for s in found.samples} == {(0.01, 120.0, None)}
    assert outcome.shared_layout == found.header.settings["shared_layout"]
    assert len(found.samples) == 5 * 2 * 2 * 2 * MOST_PAIRS
    assert watcher.planned == watcher.done == 5


def test_the_head_is_the_side_that_is_slower(images: Images, tmp_path: Path) -> None:
    """A head that takes longer is a regression, as soon as the first look shows it."""
    watcher = Watcher()
    settings = dataclasses.replace(SETTINGS, rounds=32)
    outcome = gate(images, tmp_path, slower(0.5), settings=settings, watcher=watcher)
    read_case, process = outcome.comparisons
    assert (read_case.verdict, process.verdict) == ("same", "regression")
    assert process.cpu is not None
    assert process.cpu.ratio == pytest.approx(1.5)
    assert process.base is not None
    assert process.head is not None
    assert (process.base.seconds, process.head.seconds) == pytest.approx((0.01, 0.015))
    assert outcomes.status(outcome, strict=False) == 1
    assert max(s.round for s in read(tmp_path / GATE_NAME).samples) == 8
    assert watcher.planned == watcher.done == 8


def test_a_head_that_is_faster_is_an_improvement(images: Images, tmp_path: Path) -> None:
    """It fails nothing, strictly neither."""
    outcome = gate(images, tmp_path, slower(-0.5))
    assert [each.verdict for each in outcome.comparisons] == ["same", "improvement"]
    assert outcomes.status(outcome, strict=True) == 0


def restless(*, share: float = 0.0) -> Script:
    """CPU times of the head that vary from round to round in `process`, slower by so much more."""
    script = Script()

    def worked(arm: Arm, request: Time) -> float:
        number = len(script.workers) // 2
        varied = request.phase == "process" and arm.side == "head"
        return 0.01 * (1 + (share + 0.3 * (number % 2)) * varied)

    script.cpu_seconds = worked
    return script


def test_only_unclear_cases_go_on(images: Images, tmp_path: Path) -> None:
    """After a look what is clear is not measured any more, and what is unclear to the last round."""
    watcher = Watcher()
    settings = dataclasses.replace(SETTINGS, rounds=12)
    outcome = gate(images, tmp_path, restless(share=-0.15), settings=settings, watcher=watcher)
    assert [each.verdict for each in outcome.comparisons] == ["same", "undecided"]
    rounds_of = {
        phase: {s.round for s in read(tmp_path / GATE_NAME).samples if s.phase == phase}
        for phase in ("read", "process")
    }
    assert rounds_of == {"read": {*range(1, 9)}, "process": {*range(1, 13)}}
    assert watcher.planned == watcher.done == 12
    assert outcomes.status(outcome, strict=False) == 0
    assert outcomes.status(outcome, strict=True) == 1


def test_what_is_suspected_fails_a_strict_gate(images: Images, tmp_path: Path) -> None:
    """What is probably slower is no better than what can't be told."""
    settings = dataclasses.replace(SETTINGS, rounds=6)
    outcome = gate(images, tmp_path, restless(share=0.08), settings=settings)
    assert [each.verdict for each in outcome.comparisons] == ["same", "suspected"]
    assert outcomes.status(outcome, strict=False) == 0
    assert outcomes.status(outcome, strict=True) == 1


def test_more_rounds_than_the_last_look(images: Images, tmp_path: Path) -> None:
    """However many rounds are asked for, what is unclear is measured in all of them."""
    settings = dataclasses.replace(SETTINGS, rounds=40, phases=("process",))
    gate(images, tmp_path, restless(share=-0.15), settings=settings)
    assert max(s.round for s in read(tmp_path / GATE_NAME).samples) == 40


def test_a_gate_ends_when_its_time_is_over(images: Images, tmp_path: Path) -> None:
    """With no time left it still has five rounds, and says what they show."""
    watcher = Watcher()
    settings = dataclasses.replace(SETTINGS, rounds=32, measure_seconds=1e-9)
    outcome = gate(images, tmp_path, restless(share=-0.15), settings=settings, watcher=watcher)
    assert [each.verdict for each in outcome.comparisons] == ["same", "undecided"]
    assert {s.round for s in read(tmp_path / GATE_NAME).samples} == {1, 2, 3, 4, 5}
    assert watcher.planned == watcher.done


def test_what_a_worker_tells_is_compared(images: Images, tmp_path: Path) -> None:
    """A head whose graph has more tasks, or which holds more memory, is a regression by that."""
    script = Script(
        tasks=lambda arm: 100 + 50 * (arm.side == "head"),
        peak_mib=lambda arm: 100.0 + 50 * (arm.side == "head"),
    )
    settings = dataclasses.replace(SETTINGS, phases=("process", "pipeline"))
    process, pipeline = gate(images, tmp_path, script, settings=settings).comparisons
    assert process.grown == ("peak memory",)
    assert pipeline.grown == ("peak memory", "tasks")
    assert process.verdict == pipeline.verdict == "regression"


def test_a_gate_says_where_no_layout_is_shared(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its outcome and the file say whether; a note says what it means where it is not."""
    for shared in (True, False):
        monkeypatch.setattr(layout, "can_be_shared", lambda shared=shared: shared)
        out = tmp_path / str(shared)
        outcome = gate(images, out, Script())
        assert outcome.shared_layout == shared
        assert read(out / GATE_NAME).header.settings["shared_layout"] == shared
        assert any("address layout" in note for note in outcome.notes) != shared


def test_an_interrupted_gate_keeps_what_it_measured(images: Images, tmp_path: Path) -> None:
    """Ctrl-C in the second round ends with an outcome of the first, and leaves no worker."""

    class Interrupting(Watcher):
        """Interrupts when the second round begins."""

        def step(self, text: str, *, steps: int = 1) -> None:
            """Interrupt."""
            super().step(text, steps=steps)
            if text.startswith("round 2"):
                raise KeyboardInterrupt

    script = Script()
    outcome = gate(images, tmp_path, script, watcher=Interrupting())
    assert outcome.interrupted
    assert all(each.cpu and each.cpu.rounds == 1 for each in outcome.comparisons)
    assert {s.round for s in read(tmp_path / GATE_NAME).samples} == {1}
    assert all(worker.stopped for worker in script.workers)


def test_a_gate_that_can_compare_nothing(images: Images, tmp_path: Path) -> None:
    """Where no case could be compared there is no verdict but an error that says why."""

    def lacking(arm: Arm, request: Request) -> Reply | None:
        unknown = arm.side in ("base", "head") and isinstance(request, Start)
        return Refused("unknown reader") if unknown else None

    with pytest.raises(InputError, match="nothing could be compared: base: unavailable"):
        gate(images, tmp_path, Script(otherwise=lacking))


@pytest.mark.parametrize("kind", [Start, Reference])
def test_a_reference_that_fails(images: Images, tmp_path: Path, kind: type[Request]) -> None:
    """Without a reference there is nothing to compare with: one line says why."""
    script = Script(otherwise=failing("crashed", kind, side="reference"))
    with pytest.raises(InputError, match=r"the reference .* failed: planted"):
        gate(images, tmp_path, script)
    assert all(worker.stopped for worker in script.workers)


def test_sizes_beyond_the_images_are_left_out(tmp_path: Path) -> None:
    """A gate on fewer images than a size asks for leaves that size out and says so."""
    Image.fromarray(smear_image(0, shape=(48, 64)).pixels).save(tmp_path / "0.png")
    watcher = Watcher()
    origin = Origin(images=(str(tmp_path),))
    asked = dataclasses.replace(SETTINGS, sizes=(1, 20))
    dataset, settings = rounds.find(origin, asked, watcher=watcher)
    assert (len(dataset.files), settings.sizes) == (1, (1,))
    assert "left out 20" in watcher.notes[0]


def test_the_backends_of_both_sides() -> None:
    """What either side compares by default is compared; one that can't say adds nothing."""
    side = Side(name="base", what="", versions={})
    here = Environment(side=side, python=Path(sys.executable))
    silent = Environment(side=side, python=Path("/bin/true"))
    found = compare.backends_of([here, silent])
    assert BASELINE in found
    assert found == compare.backends_of([here])


def test_what_has_to_be_installed() -> None:
    """The extras of the backends are asked for, and segbench in any case."""
    assert compare.packages_of([BASELINE]) == ("segbench",)
    needy = [
        BackendSpec("skimage", "opencv", "serial"),
        BackendSpec("dask-image", "dask-image", "distributed"),
    ]
    assert compare.packages_of(needy) == ("segbench[distributed,opencv]",)
