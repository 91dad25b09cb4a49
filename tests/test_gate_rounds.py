"""Rounds, and a gate from its first round to its outcome, with workers that answer from a script."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from segbench.backends.registry import BASELINE, BackendSpec
from segbench.errors import InputError
from segbench.gate import compare, rounds
from segbench.gate.rounds import MOST_PAIRS, Images
from segbench.gate.sides import Environment
from segbench.images import datasets
from segbench.images.origin import Origin
from segbench.images.smear import smear_image
from segbench.measure import protocol
from segbench.measure.protocol import Check, Failed, Reference, Refused, Start, Started, Time
from segbench.measure.settings import GateSettings
from segbench.measure.workers import Arm
from segbench.results import outcome as outcomes
from segbench.results.outcome import Side
from segbench.results.records import GATE_NAME, Case, Sample, read
from tests.scripted import Script, Watcher

if TYPE_CHECKING:
    from collections.abc import Callable

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
    images: Images, script: Script, *, settings: GateSettings = SETTINGS, look: int = 1
) -> list[Sample]:
    """All samples of a look."""
    samples: list[Sample] = []
    rounds.measure(
        SIDES,
        settings.cases,
        images,
        settings=settings,
        look=look,
        launch=script.launch,
        watcher=Watcher(),
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


def test_the_order_follows_seed_and_look(images: Images) -> None:
    """The same seed gives the same order; another one, and the second look, another."""

    def order(seed: int, look: int) -> list[str]:
        settings = dataclasses.replace(SETTINGS, seed=seed)
        return [s.side for s in measure(images, Script(), settings=settings, look=look)]

    assert order(1, 1) == order(1, 1)
    assert len({tuple(order(seed, look)) for seed in (1, 2) for look in (1, 2)}) == 4


def test_long_calls_are_timed_in_one_pair(images: Images) -> None:
    """Where two blocks take the time that a case may have, there are no more, and no fewer."""
    samples = measure(images, Script(seconds=lambda *_: 10.0))
    assert {s.block for s in samples} == {1, 2}


def test_both_sides_make_a_sample_of_as_many_calls(images: Images) -> None:
    """The two are measured alike, though the warm-up of one asked for fewer calls."""

    def other(arm: Arm, request: Request) -> Reply | None:
        head = arm.side == "head" and isinstance(request, Check)
        return protocol.Checked(0.02, "", 1.0, 1.0, 9) if head else None

    script = Script(otherwise=other)
    measure(images, script)
    assert {request.calls for _, request in script.timed()} == {9}


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


@pytest.mark.parametrize("kind", [Check, Time])
@pytest.mark.parametrize("status", ["wrong-result", "error", "crashed", "timeout", "memory"])
def test_a_backend_that_fails(images: Images, status: str, kind: type[Request]) -> None:
    """A case that fails has its status and cause, and the other cases of the backend go on.

    A side that has lost its worker has another one for them.
    """
    script = Script(otherwise=failing(status, kind, phase="read"))
    samples = measure(images, script)
    broken = [s for s in samples if s.status != "ok"]
    assert [(s.case.phase, s.side, s.status, s.cause) for s in broken] == [
        ("read", "head", status, "planted")
    ]
    assert {s.round for s in samples if s.phase == "process"} == {1, 2, 3, 4, 5}
    lost = status in ("crashed", "timeout", "memory")
    assert len(script.workers) == 2 * (SETTINGS.rounds + lost)


@pytest.mark.parametrize("status", ["crashed", "error"])
def test_a_backend_that_can_not_be_started(images: Images, status: str) -> None:
    """All of its cases have the status: a lost worker is told from a backend that is broken."""
    samples = measure(images, Script(otherwise=failing(status, Start)))
    broken = {(s.case, s.status) for s in samples if s.status != "ok"}
    assert broken == {(case, status) for case in SETTINGS.cases}


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
    assert all(each.first and each.first.rounds == 5 for each in outcome.comparisons)
    assert (outcome.base.what, outcome.head.what) == ("the base", "the head")
    found = read(tmp_path / GATE_NAME)
    assert found.header.settings["base"] == "the base"
    assert found.header.settings["rounds"] == 5
    assert {(s.side, s.look) for s in found.samples} == {("base", 1), ("head", 1)}
    assert len(found.samples) == 5 * 2 * 2 * 2 * MOST_PAIRS
    assert watcher.planned == watcher.done == 5


def test_the_head_is_the_side_that_is_slower(images: Images, tmp_path: Path) -> None:
    """A head that takes longer is a regression, confirmed by a second look at that case alone."""
    watcher = Watcher()
    outcome = gate(images, tmp_path, slower(0.5), watcher=watcher)
    read_case, process = outcome.comparisons
    assert (read_case.verdict, process.verdict) == ("same", "regression")
    assert process.first is not None
    assert process.again is not None
    assert process.first.ratio == pytest.approx(1.5)
    assert (process.base_seconds, process.head_seconds) == pytest.approx((0.01, 0.015))
    assert outcomes.status(outcome, strict=False) == 1
    again = [s for s in read(tmp_path / GATE_NAME).samples if s.look == 2]
    assert {s.phase for s in again} == {"process"}
    assert {s.round for s in again} == {1, 2, 3, 4, 5}
    assert watcher.planned == watcher.done == 10


def test_a_head_that_is_faster_is_an_improvement(images: Images, tmp_path: Path) -> None:
    """It needs no second look, and fails nothing."""
    outcome = gate(images, tmp_path, slower(-0.5))
    assert [each.verdict for each in outcome.comparisons] == ["same", "improvement"]
    assert {s.look for s in read(tmp_path / GATE_NAME).samples} == {1}
    assert outcomes.status(outcome, strict=True) == 0


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
    assert all(each.first and each.first.rounds == 1 for each in outcome.comparisons)
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
    origin = Origin(images=str(tmp_path))
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
