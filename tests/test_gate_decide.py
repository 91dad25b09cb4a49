"""What the gate says of a case, from samples that are made up."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segbench.backends.registry import BASELINE
from segbench.gate import decide
from segbench.measure.settings import GateSettings, parse_thresholds
from segbench.results.outcome import VERDICTS, Comparison, Thresholds
from segbench.results.records import Case, Sample, sample_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

CASE = Case(BASELINE, 20, "process")
SETTINGS = GateSettings()


def rounds(
    ratios: Iterable[float],
    *,
    noise: float = 0.0,
    wall: float | None = None,
    memory: float = 1.0,
    tasks: tuple[int, int] | None = None,
    case: Case = CASE,
) -> list[Sample]:
    """Three blocks in each of some rounds; the ratio of a round is that of the head's CPU time.

    The ratios of wall time, memory and tasks are those of all rounds, wall time's that of CPU time
    unless it is given.
    """
    rng = np.random.default_rng(0)
    made = []
    for number, ratio in enumerate(ratios, start=1):
        for block in range(1, 4):
            base = float(rng.uniform(0.5, 2))
            scatter = math.exp(noise * float(rng.standard_normal()))
            for side, factor in (("base", 1.0), ("head", ratio)):
                longer = factor if wall is None or side == "base" else wall
                made.append(
                    sample_of(
                        case,
                        round=number,
                        block=block,
                        side=side,
                        status="ok",
                        seconds=base * longer,
                        cpu_seconds=base * factor * (scatter if side == "head" else 1),
                        peak_mib=100.0 * (memory if side == "head" else 1),
                        tasks=tasks and tasks[side == "head"],
                    )
                )
    return made


def lost(side: str, status: str, *, cause: str = "why", number: int = 3) -> Sample:
    """A failure of one side."""
    return sample_of(CASE, round=number, block=1, side=side, status=status, cause=cause)


def decided(*samples: Iterable[Sample], settings: GateSettings = SETTINGS) -> Comparison:
    """What is said of `CASE`."""
    (found,) = decide.decide([CASE], [s for part in samples for s in part], settings=settings)
    return found


def drawn(
    share: float, *, noise: float, most: int, gates: int, seed: int = 0
) -> NDArray[np.float64]:
    """Logarithms of the ratios in the rounds of some gates, slower by a share."""
    rng = np.random.default_rng(seed)
    return math.log1p(share) + noise * rng.standard_normal((gates, most))


# Ratios and verdicts


def test_a_round_counts_once() -> None:
    """The ratio of a round is the median over its blocks, however many it has."""
    taken = rounds([1.2, 1.0], noise=0.01)
    more = [dataclasses.replace(s, block=s.block + 3) for s in taken[:6]]
    logs = decide.round_logs([*taken, *more], "cpu_seconds")[CASE]
    assert np.exp(logs) == pytest.approx([1.2, 1.0], rel=0.03)


def test_a_block_that_only_one_side_has_does_not_count() -> None:
    """A value without the other side's beside it is in no ratio, nor is one of 0."""
    taken = rounds([1.0, 1.5])
    logs = decide.round_logs(taken[:-1], "cpu_seconds")[CASE]
    assert np.exp(logs) == pytest.approx([1.0, 1.5])
    assert decide.round_logs([s for s in taken if s.side == "head"], "cpu_seconds") == {}
    none = [dataclasses.replace(s, cpu_seconds=0.0 if s.side == "base" else 1.0) for s in taken]
    assert decide.round_logs(none, "cpu_seconds") == {}


def test_a_ratio_of_any_two_sides() -> None:
    """The sides and the quantity can be named; the ratio is the one's to the other's."""
    taken = rounds([2.0], wall=3.0)
    cpu = decide.round_logs(taken, "cpu_seconds", base="head", head="base")[CASE]
    wall = decide.round_logs(taken, "seconds")[CASE]
    assert np.exp([cpu[0], wall[0]]) == pytest.approx([0.5, 3.0])


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        (1.1, "regression"),
        (1.05, "regression"),
        (1.02, "same"),
        (1.0, "same"),
        (0.98, "same"),
        (0.95, "improvement"),
    ],
)
def test_what_is_clear(ratio: float, verdict: str) -> None:
    """By more than half of the threshold slower or faster is found, less than that is the same."""
    found = decided(rounds([ratio] * 8, noise=0.003))
    assert found.verdict == verdict
    assert found.cpu is not None
    assert found.cpu.ratio == pytest.approx(ratio, rel=0.01)
    assert found.cpu.low < found.cpu.ratio < found.cpu.high


@pytest.mark.parametrize(("most", "said"), [(8, "same"), (16, "undecided")])
def test_what_is_the_same_at_the_end(most: int, said: str) -> None:
    """Two tests at 5% show it at the end; where more rounds may come, it takes tests at 2.5%."""
    # Student's t of the distance to the threshold is 2.1: 3.7% of 7 degrees of freedom lie beyond.
    logs = np.array([-1.0, 1.0] * 4)
    logs *= math.log(1.05) / 2.1 / (logs.std(ddof=1) / math.sqrt(8))
    (found,) = decide.said_of(
        [logs[np.newaxis]], thresholds=[0.05], cases=1, most=most, ended=most == 8
    )
    assert found == [said]


def test_what_is_not_clear() -> None:
    """An interval above 1 that chance may have given is suspected; one that reaches across is not."""
    above = [1.02, 1.2, 1.01, 1.15, 1.03, 1.12, 1.0, 1.1]
    assert decided(rounds(above)).verdict == "suspected"
    assert decided(rounds([1 / one for one in above])).verdict == "undecided"
    assert decided(rounds([1.1, 0.9] * 4)).verdict == "undecided"


def test_one_bad_round_is_no_regression() -> None:
    """A pair of processes that differs as long as it lives moves one round, not the verdict."""
    assert decided(rounds([1.0, 1.0, 1.4, 1.0, 1.0, 1.0, 1.0, 1.0])).verdict == "undecided"


def test_too_few_rounds_say_nothing() -> None:
    """With fewer rounds than an interval needs nothing is decided."""
    found = decided(rounds([2.0] * 4))
    assert found.verdict == "undecided"
    assert found.cpu is not None
    assert math.isnan(found.cpu.low)


def said_of_each(
    logs: NDArray[np.float64], *, threshold: float = 0.05, cases: int = 1, most: int = 32
) -> NDArray[np.str_]:
    """What is said of a case in each of some gates, the others of whose cases show nothing."""
    (said,) = decide.said_of([logs], thresholds=[threshold], cases=cases, most=most)
    return said


@given(
    logs=st.lists(st.floats(-1, 1), min_size=1, max_size=40),
    threshold=st.floats(0.01, 0.9),
    most=st.integers(5, 40),
)
def test_any_rounds_have_one_verdict(logs: list[float], threshold: float, most: int) -> None:
    """Any rounds give a verdict that is explained, and none that their mean contradicts."""
    values = np.array([logs[:most]])
    (said,) = said_of_each(values, threshold=threshold, cases=10, most=most)
    assert said in VERDICTS
    (turned,) = said_of_each(-values, threshold=threshold, cases=10, most=most)
    opposite = {"regression": "improvement", "improvement": "regression"}
    assert opposite.get(said, "") == (turned if turned in opposite else "")


# Looks


@pytest.mark.parametrize(
    ("most", "longest", "shares"),
    [
        (32, 8, {8: 0.2, decide.END: 0.8}),
        (32, 15, {8: 0.2, decide.END: 0.8}),
        (32, 16, {8: 0.2, 16: 0.3, decide.END: 0.5}),
        (32, 32, {8: 0.2, 16: 0.3, decide.END: 0.5}),
        (32, 7, {decide.END: 1.0}),
        (12, 12, {8: 0.2, decide.END: 0.8}),
        (8, 8, {decide.END: 1.0}),
        (5, 5, {decide.END: 1.0}),
    ],
)
def test_the_looks_share_the_chance_of_a_false_regression(
    most: int, longest: int, shares: dict[int, float]
) -> None:
    """However a gate ends, the shares sum to 1: the end has what looks that came before have left."""
    assert decide.looks(most, longest=longest) == pytest.approx(shares)


@pytest.mark.parametrize("most", [5, 12, 32])
def test_a_slowdown_of_the_threshold_is_found(most: int) -> None:
    """5% is found in nearly all gates of 40 cases with quiet rounds, and 2% is not named."""
    noise = 0.03 * math.sqrt(most / 32) / (3 if most == 5 else 1)
    said = {
        share: said_of_each(drawn(share, noise=noise, most=most, gates=500), cases=40, most=most)
        for share in (0.05, 0.02, -0.05)
    }
    assert np.mean(said[0.05] == "regression") > 0.9
    assert np.mean(said[-0.05] == "improvement") > 0.9
    assert np.mean(said[0.02] == "regression") < 0.15


GATES, CASES = 4000, 40


def said_of_all(*shares: float, noise: float, most: int) -> NDArray[np.str_]:
    """What many gates say of `CASES` cases, of which some are slower by a share and the others the same."""
    logs = [
        drawn(share, noise=noise, most=most, gates=GATES, seed=number)
        for number, share in enumerate([*shares, *[0.0] * (CASES - len(shares))])
    ]
    return decide.said_of(logs, thresholds=[0.05] * CASES, cases=CASES, most=most)


@pytest.mark.parametrize("most", [8, 12, 32])
@pytest.mark.parametrize("noise", [0.02, 0.5])
def test_the_same_code_fails_one_gate_in_a_hundred(most: int, noise: float) -> None:
    """Of gates of 40 cases in which nothing differs, hardly more than 1% name a regression."""
    said = said_of_all(noise=noise, most=most)
    # 1% of 4000 is 40, with a standard deviation of 6.
    assert np.mean((said == "regression").any(axis=0)) < 0.014


def test_few_of_those_that_are_named_are_false() -> None:
    """Where 20 cases are slower, at most 1% of those that are named are others."""
    said = said_of_all(*[0.05] * 20, noise=0.05, most=32) == "regression"
    named = said.sum(axis=0)
    assert (said[20:].sum(axis=0) / np.maximum(named, 1)).mean() < 0.012
    assert said[:20].mean() > 0.9


def test_what_slows_many_cases_is_seen_in_each_of_them() -> None:
    """Of noisy cases more are named where all are slower than where one is."""
    alone = said_of_all(0.05, noise=0.06, most=16)[0] == "regression"
    together = said_of_all(*[0.05] * 30, noise=0.06, most=16)[0] == "regression"
    assert together.mean() > alone.mean() + 0.2


def test_more_cases_are_judged_more_strictly() -> None:
    """Of a case that is slower alone less is found among more of them."""
    logs = drawn(0.05, noise=0.05, most=32, gates=500)
    found = [np.mean(said_of_each(logs, cases=cases) == "regression") for cases in (1, 40, 1000)]
    assert found[0] > found[1] > found[2]


def test_what_a_look_says_stays() -> None:
    """A case that is clear after the first look is not judged by what comes later."""
    logs = np.array([[math.log(1.1)] * 8 + [math.log(0.8)] * 24])
    (said,) = said_of_each(logs)
    assert said == "regression"


def test_while_rounds_are_to_come_planned_looks_alone_name_anything() -> None:
    """What the end would name is open after a pause that is no look."""
    logs = [np.full((1, 12), math.log(1.1)) + 0.02 * np.cos(np.arange(12) * 2.5)]
    told = {"thresholds": [0.05], "cases": 10**6, "most": 32}
    assert decide.said_of(logs, **told) == "regression"  # type: ignore[arg-type]  # its own names
    assert decide.said_of(logs, ended=False, **told) == "undecided"  # type: ignore[arg-type]


# Thresholds, and what else grows


def test_each_case_has_its_threshold() -> None:
    """A case is judged by the threshold that fits it last: a wider one lets the same ratio pass."""
    samples = rounds([1.06] * 8, noise=0.003)
    for text, verdict in {
        "0.05": "regression",
        "0.05,process=0.2": "same",
        "0.05,process=0.2,process:20=0.05": "regression",
        "0.05,process:1=0.2": "regression",
        f"0.05,process:20:{BASELINE}=0.2": "same",
        "0.2,open=0.05": "same",
    }.items():
        found = decided(samples, settings=GateSettings(threshold=parse_thresholds(text)))
        assert found.verdict == verdict, text
        assert found.threshold == parse_thresholds(text).of(CASE)


@pytest.mark.parametrize(
    ("told", "grown"),
    [
        ({"wall": 1.4}, ("wall time",)),
        ({"wall": 1.2}, ()),
        ({"memory": 1.2}, ("peak memory",)),
        ({"memory": 1.08}, ()),
        ({"memory": 0.5, "wall": 0.5}, ()),
        ({"tasks": (100, 106)}, ("tasks",)),
        ({"tasks": (100, 104)}, ()),
        ({"tasks": (0, 50)}, ()),
        ({"wall": 1.4, "memory": 1.2, "tasks": (100, 200)}, ("wall time", "peak memory", "tasks")),
    ],
)
def test_what_else_may_grow(told: dict[str, float], grown: tuple[str, ...]) -> None:
    """Wall time, memory or tasks make a regression of what needs no more CPU time."""
    found = decided(rounds([1.0] * 8, noise=0.003, **told))  # type: ignore[arg-type]  # its own names
    assert found.grown == grown
    assert found.verdict == ("regression" if grown else "same")


def test_the_threshold_of_wall_time_is_never_smaller_than_the_cases_own() -> None:
    """Where a case may take half as long again, so may its wall time."""
    samples = rounds([1.0] * 8, noise=0.003, wall=1.4)
    loose = GateSettings(threshold=Thresholds(0.5))
    assert decided(samples).verdict == "regression"
    assert decided(samples, settings=loose).verdict == "same"


def test_noise_of_wall_time_is_no_regression() -> None:
    """Where a disturbed wall time is not shown to be longer, CPU time decides alone."""
    rng = np.random.default_rng(1)
    samples = [
        dataclasses.replace(s, seconds=s.seconds * factor)
        for s in rounds([1.0] * 8, noise=0.003)
        for factor in [math.exp(rng.normal() * 0.8 + 0.3 * (s.side == "head"))]
        if s.seconds
    ]
    found = decided(samples)
    assert found.wall is not None
    assert found.wall.ratio > 1.25
    assert found.verdict == "same"


def test_both_sides_are_told() -> None:
    """A comparison has the medians of both sides and the ratios of all that is measured."""
    found = decided(rounds([1.1] * 8, wall=1.2, memory=1.05, tasks=(40, 42)))
    assert found.base is not None
    assert found.head is not None
    assert found.head.cpu_seconds == pytest.approx(1.1 * found.base.cpu_seconds)
    assert found.head.seconds == pytest.approx(1.2 * found.base.seconds)
    assert [found.base.peak_mib, found.head.peak_mib] == pytest.approx([100.0, 105.0])
    assert (found.base.tasks, found.head.tasks) == (40, 42)
    ratios = [one and one.ratio for one in (found.cpu, found.wall, found.memory)]
    assert ratios == pytest.approx([1.1, 1.2, 1.05])


# Failures


@pytest.mark.parametrize(
    ("failed", "verdict"),
    [
        ({"head": "wrong-result"}, "failed"),
        ({"head": "error"}, "failed"),
        ({"head": "unavailable"}, "not compared"),
        ({"base": "error"}, "not compared"),
        # Other cells than the reference's are a failure, also where the base has them or none.
        ({"base": "unavailable", "head": "wrong-result"}, "failed"),
        ({"base": "wrong-result", "head": "wrong-result"}, "failed"),
        # The head is not blamed for what the base can't do either.
        ({"head": "error", "base": "error"}, "not compared"),
        ({"base": "crashed", "head": "crashed"}, "not compared"),
    ],
)
def test_failures(failed: dict[str, str], verdict: str) -> None:
    """A head that fails where the base does not fails the gate; what one side lacks is listed."""
    found = decided(rounds([1.0] * 8), [lost(side, status) for side, status in failed.items()])
    assert found.verdict == verdict
    assert found.cause == "; ".join(
        f"{side}: {status}, why" for side, status in sorted(failed.items())
    )
    assert (found.base, found.head, found.cpu) == (None, None, None)


@pytest.mark.parametrize("status", decide.ENDING)
@pytest.mark.parametrize(("side", "verdict"), [("head", "failed"), ("base", "not compared")])
def test_a_worker_that_is_lost_once_is_no_failure(side: str, verdict: str, status: str) -> None:
    """A machine that is short of memory or time fails no gate; a side that is lost twice does."""
    first, again = lost(side, status), lost(side, status, number=6)
    once = decided(rounds([1.2] * 8, noise=0.003), [first])
    assert once.verdict == "regression"
    assert once.cause == f"{side}: {status}, why; not so in other rounds"
    assert decided(rounds([1.2] * 8), [first, again]).verdict == verdict
    # Where it is all there is, that is said.
    assert decided([first]).verdict == "not compared"
    assert decided([first]).cause == f"{side}: {status}, why"


def test_a_case_that_was_not_reached() -> None:
    """An interrupted gate says so of what it did not get to, and of what has no whole block."""
    for samples in ([], rounds([1.0])[:1]):
        found = decided(samples)
        assert found.verdict == "not compared"
        assert "ended before" in found.cause


def test_what_is_unclear_goes_on() -> None:
    """More rounds are for what is suspected and undecided, the largest ratio first."""
    names = ("open", "read", "process", "pipeline")
    cases = [Case(BASELINE, 20, phase) for phase in names]
    noisy = [1.02, 1.2, 1.01, 1.15, 1.03, 1.12, 1.0, 1.1]
    own: list[list[float]] = [[1.0, 1.02, 1.1, 0.9] * 2, [1.2] * 8, noisy, [1.0] * 8]
    samples = [
        s for case, ratios in zip(cases, own, strict=True) for s in rounds(ratios, case=case)
    ]
    found = decide.decide(cases, samples, settings=SETTINGS)
    assert [one.verdict for one in found] == ["undecided", "regression", "suspected", "same"]
    assert decide.unclear(cases, found) == [cases[2], cases[0]]
    # What failed, or could not be compared, is not tried again.
    failed = decide.decide([CASE], [lost("head", "error")], settings=SETTINGS)
    assert decide.unclear([CASE], failed) == []
