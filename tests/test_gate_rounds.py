"""Rounds of real workers, and a gate from its first round to its outcome."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from segbench.backends.registry import BASELINE, BackendSpec
from segbench.errors import InputError
from segbench.gate import compare, decide, rounds
from segbench.gate.plan import Case, Plan
from segbench.gate.rounds import Arm, Block, Images
from segbench.gate.sides import Environment
from segbench.images import datasets
from segbench.measure import protocol
from segbench.measure.workers import WorkerProcess
from segbench.results import outcome as outcomes
from segbench.results.outcome import Side
from tests import plugins

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segbench.images.datasets import Dataset

HERE = Path(sys.executable)
PLAN = Plan(backends=(BASELINE,), phases=("read", "process"), sizes=(1,), rounds=2, workers=2)
ARMS = (Arm(name="base"), Arm(name="head"))


class Told:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.planned, self.steps = 0, 0
        self.texts: list[str] = []

    def plan(self, steps: int) -> None:
        """Keep it."""
        self.planned = steps

    def step(self, text: str, *, steps: int = 1) -> None:
        """Keep it."""
        self.steps += steps
        self.texts.append(text)

    def note(self, text: str) -> None:
        """Keep it."""
        self.texts.append(text)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Two small images."""
    return datasets.smear(2, shape=(48, 64))


@pytest.fixture(scope="module")
def images(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Images:
    """The images with their reference."""
    folder = tmp_path_factory.mktemp("reference")
    return rounds.make_reference(dataset, str(folder), plan=PLAN, python=None)


@pytest.fixture(autouse=True)
def _no_process_left() -> Iterator[None]:
    """Whatever ends a gate, its workers end with it."""
    yield
    assert [child for child in psutil.Process().children(recursive=True) if _serves(child)] == []


def _serves(process: psutil.Process) -> bool:
    try:
        return "segbench.measure.worker" in process.cmdline()
    except psutil.Error:
        return False


def measure(images: Images, *arms: Arm, plan: Plan = PLAN, said: Told | None = None) -> list[Block]:
    """All blocks of a stage."""
    say = (said or Told()).step
    return list(rounds.measure(arms, plan.cases, images, plan=plan, seed="0", say=say))


def environment(name: str, python: Path = HERE) -> Environment:
    """A side that is this interpreter."""
    return Environment(side=Side(name=name, what=f"the {name}", versions={}), python=python)


def gate(
    dataset: Dataset, out: Path, *, plan: Plan = PLAN, told: Told | None = None
) -> outcomes.Outcome:
    """Compare this interpreter with itself."""
    return compare.compare(
        environment("base"),
        environment("head"),
        dataset,
        plan=plan,
        out=out,
        watcher=told or Told(),
        command="segbench gate --base main",
        machine={"cpus": 2},
        sight=None,
    )


def test_every_case_is_timed_in_every_round(images: Images) -> None:
    """Each round has blocks of each case, numbered from 1, with one time for each arm."""
    told = Told()
    blocks = measure(images, *ARMS, said=told)
    assert {(block.round, block.case) for block in blocks} == {
        (number, case) for number in (1, 2) for case in PLAN.cases
    }
    for block in blocks:
        assert block.failed is None
        assert len(block.seconds) == 2
        assert min(block.seconds) > 0
    for number in (1, 2):
        own = [
            block.block for block in blocks if block.round == number and block.case == PLAN.cases[0]
        ]
        assert own == list(range(1, len(own) + 1))
        assert len(own) in range(2, 2 * rounds.MOST_PAIRS + 1, 2)
    assert told.steps == 2


def test_no_arm_comes_first_more_often(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second block of a pair has the arms the other way round, on the same CPU.

    Pairs are not all alike, and each CPU has its turn.
    """
    orders = []
    time_one = rounds._time

    def watch(*arguments: Any) -> Any:
        *_, order, cpu = arguments
        orders.append((tuple(order), cpu))
        return time_one(*arguments)

    monkeypatch.setattr(rounds, "_time", watch)
    monkeypatch.setattr(rounds, "ARM_SECONDS", 60.0)
    measure(images, *ARMS, plan=dataclasses.replace(PLAN, phases=("open",), rounds=5))
    assert len(orders) == 5 * 2 * rounds.MOST_PAIRS
    for (first, cpu), (second, other_cpu) in zip(orders[::2], orders[1::2], strict=True):
        assert (second, other_cpu) == (first[::-1], cpu)
    assert {order for order, _ in orders[::2]} == {("base", "head"), ("head", "base")}
    if hasattr(os, "sched_getaffinity"):
        assert {cpu for _, cpu in orders} == os.sched_getaffinity(0)


def test_long_calls_are_timed_in_one_pair(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two blocks take the time that a case may have, there are no more, and no fewer."""
    monkeypatch.setattr(rounds, "ARM_SECONDS", 0.0)
    blocks = measure(images, *ARMS, plan=dataclasses.replace(PLAN, rounds=1))
    assert [block.block for block in blocks] == [1, 2] * len(PLAN.cases)


def test_each_round_has_new_processes(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker is started for each arm and round, and none serves two."""
    started = []

    class Counted(WorkerProcess):
        """One that is counted."""

        def __init__(self, *, native_threads: bool, memory_limit: float, python: Path | None):
            super().__init__(
                native_threads=native_threads, memory_limit=memory_limit, python=python
            )
            started.append(self._process.pid)

    monkeypatch.setattr(rounds, "WorkerProcess", Counted)
    measure(images, *ARMS)
    assert len(set(started)) == len(started) == 4


def test_an_arm_that_is_slowed_takes_longer(images: Images) -> None:
    """An arm whose calls are made twice as long is a regression, and is named."""
    plan = dataclasses.replace(PLAN, phases=("process",), rounds=5)
    blocks = measure(images, ARMS[0], Arm(name="head", slowdown=1.0), plan=plan)
    (comparison,) = decide.decide(plan.cases, blocks, blocks, threshold=0.05)
    assert comparison.verdict == "regression"
    assert comparison.first is not None
    # By far more than any noise: it takes twice as long.
    assert comparison.first.ratio > 1.5


def test_a_backend_that_one_side_lacks(images: Images) -> None:
    """A backend that a side does not know is not available there, in every case."""
    unknown = BackendSpec("skimage", "nowhere", "serial")
    plan = dataclasses.replace(PLAN, backends=(unknown, BASELINE))
    blocks = measure(images, *ARMS, plan=plan)
    broken = [block for block in blocks if block.failed]
    assert {block.case for block in broken} == {Case(unknown, 1, phase) for phase in PLAN.phases}
    assert {block.failed.status for block in broken if block.failed} == {"unavailable"}
    # It is not tried again in the second round.
    assert {block.round for block in broken} == {1}
    assert {block.case.backend for block in blocks if not block.failed} == {BASELINE}


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("wrong", "wrong-result"),
        ("drifting", "wrong-result"),
        ("raising_later", "error"),
        ("dying_later", "crashed"),
        ("killed_when_timed", "crashed"),
    ],
)
def test_a_backend_that_fails(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, status: str
) -> None:
    """A case that fails has its status and cause, and the other cases of the backend go on."""
    plugins.install(tmp_path, monkeypatch)
    plan = dataclasses.replace(PLAN, backends=(BackendSpec("skimage", name, "serial"),))
    blocks = measure(images, *ARMS, plan=plan)
    (broken,) = {(b.case.phase, b.failed.status) for b in blocks if b.failed}
    assert broken == ("process", status)
    assert {block.round for block in blocks if block.case.phase == "read"} == {1, 2}


@pytest.mark.parametrize(("name", "status"), [("dying", "crashed"), ("raising", "error")])
def test_a_backend_that_can_not_be_started(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, status: str
) -> None:
    """A worker that is lost at its start is told from one that refuses: it gets a second look."""
    plugins.install(tmp_path, monkeypatch)
    plan = dataclasses.replace(PLAN, backends=(BackendSpec("skimage", name, "serial"),))
    blocks = measure(images, *ARMS, plan=plan)
    assert {block.failed.status for block in blocks if block.failed} == {status}
    assert {block.case for block in blocks if block.failed} == {*plan.cases}


def test_an_older_protocol_is_refused(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sides that would be measured in two ways are not compared."""
    monkeypatch.setattr(protocol, "NUMBER", 3)
    with pytest.raises(InputError, match="base: its segbench speaks protocol 2 with the gate"):
        measure(images, *ARMS)


def test_a_wrong_head_is_seen_where_the_base_lacks_it(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the head finds is compared with the reference though the base knows no such backend."""
    plan = dataclasses.replace(PLAN, backends=(BackendSpec("skimage", "wrong", "serial"),))
    # Only this interpreter's own path leads to the plugin.
    plugins.install(tmp_path, monkeypatch)
    blocks = measure(images, Arm(name="base", python=HERE), ARMS[1], plan=plan)
    found = {(block.case.phase, block.arm): block.failed.status for block in blocks if block.failed}
    assert found[("process", "base")] == "unavailable"
    assert found[("process", "head")] == "wrong-result"


def test_a_gate_on_the_same_code(dataset: Dataset, tmp_path: Path) -> None:
    """Its outcome names the sides and each case, and every pair is in the file."""
    told = Told()
    outcome = gate(dataset, tmp_path / "gate", told=told)
    assert [each.phase for each in outcome.comparisons] == ["read", "process"]
    assert all(each.first and each.first.rounds == 2 for each in outcome.comparisons)
    # Two rounds are too few for an interval.
    assert {each.verdict for each in outcome.comparisons} == {"undecided"}
    assert (outcomes.status(outcome, strict=False), outcomes.status(outcome, strict=True)) == (0, 1)
    lines = (tmp_path / "gate" / outcomes.FILE_NAME).read_text().splitlines()
    header, *pairs = [json.loads(line) for line in lines]
    assert header["schema"] == outcomes.SCHEMA
    assert {pair["stage"] for pair in pairs} == {"first"}
    assert all(pair["base_seconds"] > 0 and pair["head_seconds"] > 0 for pair in pairs)
    assert told.planned == told.steps == 2


def test_a_seeming_regression_is_looked_at_again(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the suspects are measured a second time, in a stage of their own."""
    suspect = PLAN.cases[1]
    monkeypatch.setattr(decide, "suspects", lambda *_, **__: [suspect])
    outcome = gate(dataset, tmp_path)
    assert [each.again is not None for each in outcome.comparisons] == [False, True]
    lines = (tmp_path / outcomes.FILE_NAME).read_text().splitlines()[1:]
    again = [pair for line in lines if (pair := json.loads(line))["stage"] == "again"]
    assert {pair["phase"] for pair in again} == {"process"}
    assert {pair["round"] for pair in again} == {1, 2}


def test_an_interrupted_gate_keeps_what_it_measured(dataset: Dataset, tmp_path: Path) -> None:
    """Ctrl-C in the second round ends with an outcome of the first."""

    class Interrupting(Told):
        """Interrupts when the second round begins."""

        def step(self, text: str, *, steps: int = 1) -> None:
            """Interrupt."""
            super().step(text, steps=steps)
            if text.startswith("round 2"):
                raise KeyboardInterrupt

    outcome = gate(dataset, tmp_path, told=Interrupting())
    assert outcome.interrupted
    assert all(each.first and each.first.rounds == 1 for each in outcome.comparisons)
    assert len((tmp_path / outcomes.FILE_NAME).read_text().splitlines()) > 2


def test_a_gate_that_can_compare_nothing(dataset: Dataset, tmp_path: Path) -> None:
    """Where no case could be compared there is no verdict but an error that says why."""
    plan = dataclasses.replace(PLAN, backends=(BackendSpec("nowhere", "skimage", "serial"),))
    with pytest.raises(InputError, match="nothing could be compared: base: unavailable"):
        gate(dataset, tmp_path, plan=plan)


def test_a_base_that_can_not_be_run(dataset: Dataset, tmp_path: Path) -> None:
    """An interpreter without segbench gives an error of one line."""
    environment_of_base = environment("base", tmp_path / "python")
    (tmp_path / "python").symlink_to(HERE.resolve())
    with pytest.raises(InputError, match="No module named") as error:
        compare.compare(
            environment_of_base,
            environment("head"),
            dataset,
            plan=PLAN,
            out=tmp_path,
            watcher=Told(),
            command="",
            machine={},
            sight=None,
        )
    assert "\n" not in str(error.value)


def test_the_backends_of_both_sides() -> None:
    """What either side compares by default is compared; one that can't say adds nothing."""
    both = (environment("base"), environment("head"))
    found = compare.backends_of(both)
    assert found == compare.backends_of([environment("base", Path("/bin/true")), both[1]])
    assert BASELINE in found


def test_what_has_to_be_installed() -> None:
    """The extras of the backends are asked for, and segbench in any case."""
    assert compare.packages_of([BASELINE]) == ("segbench",)
    needy = [
        BackendSpec("skimage", "opencv", "serial"),
        BackendSpec("dask-image", "dask-image", "distributed"),
    ]
    assert compare.packages_of(needy) == ("segbench[distributed,opencv]",)
