"""When a round of a case is over, and when the case has been measured enough."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from segbench.backends.registry import BASELINE, BackendSpec
from segbench.measure.settings import Limits
from segbench.measure.stopping import (
    ARM_SECONDS,
    LEAST_SECONDS,
    MOST_PAIRS,
    REASONS,
    Tally,
    ended,
    expected_seconds,
    orders,
    round_over,
    settled,
)
from segbench.results.records import Case, sample_of
from segbench.stats import MIN_ROUNDS, Ratio, of_rounds

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = Limits(precision=0.03, rounds=20, seconds=10.0)
THREADS = BackendSpec("skimage", "skimage", "thread-pool")


def ratio(estimate: float, error: float, *, rounds: int = 10) -> Ratio:
    """A ratio with a standard error of its logarithm."""
    return Ratio(estimate=estimate, error=error, rounds=rounds, freedom=rounds - 1)


KNOWN, OPEN = ratio(1.07, 0.005), ratio(1.07, 0.03)


@pytest.mark.parametrize(
    ("found", "is_settled"),
    [
        # To the precision that was asked for, whatever it says.
        (KNOWN, True),
        (ratio(1.05, 0.012), True),
        (ratio(1.05, 0.014), False),
        # No difference, though the interval is wider than that.
        (ratio(1.0, 0.019), True),
        (ratio(1.03, 0.019), False),
        # A difference so large that its size need not be known.
        (ratio(2.0, 0.1), True),
        (ratio(0.5, 0.1), True),
        # Certain at 1%, which more rounds could undo.
        (ratio(1.3, 0.06), False),
        (OPEN, False),
        # Too few rounds for an interval.
        (of_rounds([0.5] * (MIN_ROUNDS - 1)), False),
    ],
)
def test_a_ratio_is_settled(found: Ratio, is_settled: bool) -> None:
    """By its precision, by no difference, or by a difference that is certain."""
    assert settled(found, precision=0.03) == is_settled


@pytest.mark.parametrize(
    ("ratios", "rounds", "seconds", "reason"),
    [
        ([KNOWN, KNOWN], 5, 1.0, "settled"),
        ([KNOWN, KNOWN], 14, 10.0, "settled"),
        # The limit is told only where it is the limit that ends it.
        ([KNOWN, KNOWN], 20, 1.0, "settled"),
        ([KNOWN, KNOWN], 6, 1.0, ""),
        ([KNOWN, OPEN], 14, 1.0, ""),
        ([OPEN, KNOWN], 19, 9.9, ""),
        ([KNOWN, OPEN], 20, 1.0, "rounds"),
        ([KNOWN, OPEN], 5, 10.0, "time"),
        ([KNOWN, KNOWN], 4, 1000.0, ""),
        ([], 14, 1.0, ""),
        ([], 5, 10.0, "time"),
        ([], 20, 1.0, "rounds"),
    ],
)
def test_a_case_ends(ratios: list[Ratio], rounds: int, seconds: float, reason: str) -> None:
    """A case ends when there are ratios and all are settled, or at a limit."""
    assert ended(ratios, rounds=rounds, seconds=seconds, limits=LIMITS) == reason
    assert reason in {"", *REASONS}


def test_fewer_rounds_may_be_asked_for() -> None:
    """A limit of fewer rounds than an interval needs is kept."""
    limits = dataclasses.replace(LIMITS, rounds=2)
    assert ended([], rounds=1, seconds=1000.0, limits=limits) == ""
    assert ended([], rounds=2, seconds=0.0, limits=limits) == "rounds"


def test_ratios_are_computed_only_where_they_decide() -> None:
    """The first ratio that is not settled is the last that is looked at."""

    def ratios() -> Iterator[Ratio]:
        yield OPEN
        raise AssertionError

    assert ended(ratios(), rounds=MIN_ROUNDS, seconds=0.0, limits=LIMITS) == ""


def test_ratios_are_looked_at_seldom() -> None:
    """What is settled ends a case only after 5 rounds and after about 1.4 times as many each time."""
    limits = dataclasses.replace(LIMITS, rounds=1000)
    asked = [n for n in range(100) if ended([KNOWN], rounds=n, seconds=0.0, limits=limits)]
    assert asked == [5, 7, 10, 14, 20, 28, 40, 56, 80]


def test_orders_are_balanced_within_a_round() -> None:
    """Each arm comes before each other as often as after it, on one CPU, in each pair of blocks."""
    for number in range(1, 7):
        blocks = list(orders("abcd", seed="0", number=number))
        assert len(blocks) == 2 * MOST_PAIRS
        for one, other in zip(blocks[::2], blocks[1::2], strict=True):
            assert other == (one[0], one[1][::-1])
            assert sorted(one[1]) == list("abcd")


def test_orders_are_balanced_over_rounds_of_one_block() -> None:
    """Of rounds with one block each, every other one has the order of the round before, reversed.

    Both are on one CPU, which the next two are not.
    """
    first = [next(orders("abcd", seed="0", number=number)) for number in range(1, 9)]
    for one, other in zip(first[::2], first[1::2], strict=True):
        assert other == (one[0], one[1][::-1])
    assert len({tuple(order) for _, order in first}) > 2
    assert [turn for turn, _ in first[::2]] == [1, 2, 3, 4]


def test_orders_follow_the_seed() -> None:
    """The same seed and round give the same orders, another seed or another pair of rounds others."""

    def taken(seed: str, number: int) -> list[list[str]]:
        return [order for _, order in orders("abcd", seed=seed, number=number)]

    assert taken("0", 3) == taken("0", 3)
    assert taken("0", 3) != taken("1", 3)
    assert taken("0", 3) != taken("0", 1)


@pytest.mark.parametrize(
    ("block", "blocks"),
    [
        (ARM_SECONDS / 100, 2 * MOST_PAIRS),
        (ARM_SECONDS * 0.6, 2),
        (ARM_SECONDS * 1.1, 1),
    ],
)
def test_a_round_has_as_many_blocks_as_fit(block: float, blocks: int) -> None:
    """Short calls have all pairs, longer ones a single pair, and very long ones a single block."""
    over = (n for n in itertools.count(1) if n == 2 * MOST_PAIRS or round_over(n, n * block))
    assert next(over) == blocks


def tally_of(times: dict[BackendSpec, list[float]], *, blocks: int = 2, calls: int = 1) -> Tally:
    """The blocks of some backends, so many in each round."""
    tally = Tally(LIMITS)
    for backend, own in times.items():
        case = Case(backend, 1, "read")
        for block, seconds in enumerate(own, start=1):
            number = 1 + (block - 1) // blocks
            told = {"block": block, "round": number, "seconds": seconds, "calls": calls}
            tally.add(sample_of(case, **told, status="ok"))
    return tally


def test_a_round_is_whole_where_all_have_a_sample() -> None:
    """A round in which one of the backends has no sample yet is none of all, but one of the others."""
    tally = tally_of({BASELINE: [0.1] * 6, THREADS: [0.1] * 4})
    assert tally.whole_rounds([BASELINE]) == {1, 2, 3}
    assert tally.whole_rounds([BASELINE, THREADS]) == {1, 2}
    assert tally.next_block() == 7
    assert Tally(LIMITS).whole_rounds([BASELINE]) == set()
    assert Tally(LIMITS).next_block() == 1


def test_a_tally_counts_what_was_spent() -> None:
    """The time of all calls of all backends counts against the limit."""
    times = {BASELINE: [0.1] * 10, THREADS: [0.1, 0.1, 0.2, 0.2, 0.1] * 2}
    assert tally_of(times, calls=5).spent == pytest.approx(12.0)
    assert tally_of(times, calls=5).over([BASELINE, THREADS]) == "time"
    assert tally_of(times, calls=4).over([BASELINE, THREADS]) == ""


def test_a_tally_is_settled_by_the_ratios_to_the_baseline() -> None:
    """What both have of a block is compared, round by round; the baseline alone settles nothing."""
    drifting = [0.01 * 1.3**block for block in range(10)]
    twice = [2 * seconds for seconds in drifting]
    assert tally_of({BASELINE: drifting, THREADS: twice}).over([BASELINE, THREADS]) == "settled"
    restless = [seconds * (1 + block // 2 % 2) for block, seconds in enumerate(drifting)]
    assert tally_of({BASELINE: drifting, THREADS: restless}).over([BASELINE, THREADS]) == ""
    assert tally_of({BASELINE: drifting}).over([BASELINE]) == ""


def test_long_calls_are_told_by_their_median() -> None:
    """One slow sample makes no long call, and a backend without samples has none."""
    long = ARM_SECONDS * 1.5
    tally = tally_of({BASELINE: [0.1, 0.1, 9.0], THREADS: [long, long, 0.1]})
    assert not tally.takes_long(BASELINE)
    assert tally.takes_long(THREADS)
    assert not Tally(LIMITS).takes_long(BASELINE)


def test_the_interval_at_the_end_covers_the_truth() -> None:
    """Through the rule that ends a case the 95% interval covers the truth in 93.5 to 97.5%."""
    rng, trials = np.random.default_rng(0), 3000
    limits = Limits(precision=0.03, rounds=10, seconds=math.inf)
    for spread in (0.02, 0.04, 0.08):
        covered = 0
        for logs in spread * rng.standard_normal((trials, limits.rounds)):
            rounds = MIN_ROUNDS
            while not ended([of_rounds(logs[:rounds])], rounds=rounds, seconds=0.0, limits=limits):
                rounds += 1
            found = of_rounds(logs[:rounds])
            covered += found.low <= 1 <= found.high
        assert 0.935 <= covered / trials <= 0.975


def test_what_a_run_takes_is_told_beforehand() -> None:
    """More backends, images or rounds take longer; short calls still fill a part of each round."""
    limits = Limits(precision=0.03, rounds=10, seconds=10.0)
    usual: dict[str, Any] = {
        "arms": 4,
        "sizes": (1, 20),
        "phases": ("read", "pipeline"),
        "each": 0.01,
        "looks": 3,
    }

    def expected(**other: Any) -> tuple[float, float]:
        return expected_seconds(limits=limits, **{**usual, **other})

    low, high = expected()
    assert 0 < low < high
    # All calls are short: five rounds with two phases of two sizes, and the starts.
    assert low >= MIN_ROUNDS * 4 * 2 * 2 * LEAST_SECONDS
    assert all(one < more for one, more in zip((low, high), expected(arms=8), strict=True))
    assert all(one < more for one, more in zip((low, high), expected(sizes=(1, 500)), strict=True))
    assert expected_seconds(limits=dataclasses.replace(limits, rounds=1), **usual)[1] < low
    # Where a call takes long, the limit of seconds ends a case after five rounds.
    longest = expected(sizes=(5000,), phases=("pipeline",))
    assert longest[0] == longest[1]
