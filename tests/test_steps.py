"""Steps in simulated histories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from segbench.steps import steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytest.importorskip("ruptures")

# How noise spreads from commit to commit: 2%.
NOISE = 0.02


def history(drawn: np.random.Generator, *levels: tuple[int, float]) -> NDArray[np.float64]:
    """Times of so many commits at each level."""
    logs = np.concatenate([np.full(count, np.log(level)) for count, level in levels])
    return np.exp(logs + drawn.normal(0, NOISE, logs.size))


@pytest.mark.parametrize("length", [6, 8, 12, 20, 40])
def test_few_false_alarms(length: int) -> None:
    """Of 300 histories without a step at most 5% have one, and 1% one whose p is below 1%."""
    drawn = np.random.default_rng(length)
    found = [steps(history(drawn, (length, 0.3))) for _ in range(300)]
    assert sum(map(bool, found)) <= 15
    # Up to 7 are what chance makes of 3.
    assert sum(any(one.p < 0.01 for one in each) for each in found) <= 7


def test_few_false_alarms_with_outliers() -> None:
    """Nor do single commits that were measured on a busy machine make steps."""
    drawn = np.random.default_rng(1)
    noise = np.exp(drawn.normal(0, NOISE, (300, 20)) + 0.3 * (drawn.random((300, 20)) < 0.05))
    assert sum(bool(steps(seconds)) for seconds in noise) <= 15


@pytest.mark.parametrize(("before", "after"), [(8, 8), (17, 3), (3, 17), (20, 20)])
def test_one_step_is_found(before: int, after: int) -> None:
    """A step of 10% is found in 95% of histories, at the right commit, and its interval holds 1.1."""
    drawn = np.random.default_rng(before)
    histories = [history(drawn, (before, 0.3), (after, 0.33)) for _ in range(200)]
    found = [each for each in map(steps, histories) if [one.at for one in each] == [before]]
    assert len(found) >= 190
    assert all(one.after == before - 1 for (one,) in found)
    assert sum(one.ratio.low < 1.1 < one.ratio.high for (one,) in found) >= 0.92 * len(found)
    assert np.median([one.p for (one,) in found]) < 0.001


def test_two_steps_are_found() -> None:
    """A slow-down that is mended again is two steps, one up and one down."""
    drawn = np.random.default_rng(3)
    found = [steps(history(drawn, (10, 0.3), (8, 0.33), (12, 0.3))) for _ in range(100)]
    right = [each for each in found if [one.at for one in each] == [10, 18]]
    assert len(right) >= 92
    up, down = np.array([[one.ratio.estimate for one in each] for each in right]).mean(axis=0)
    assert (up, down) == pytest.approx((1.1, 1 / 1.1), rel=0.01)


@pytest.mark.parametrize("seconds", [[], [1.0], [1.0] * 2 + [9.0] * 3, [1.0, np.nan] * 5])
def test_short_histories_have_no_steps(seconds: list[float]) -> None:
    """With fewer than six times nothing is a step, however many commits there are."""
    assert steps(seconds) == []


def test_missing_times_keep_their_places() -> None:
    """A step is named by its place among all commits; what has no time lies between the levels."""
    seconds = history(np.random.default_rng(4), (8, 0.3), (9, 0.36))
    seconds[[2, 8, 9]] = np.nan
    (one,) = steps(seconds)
    assert (one.after, one.at) == (7, 10)


def test_equal_times_are_no_proof() -> None:
    """A clock that tells the same time again and again makes no step of a small difference."""
    assert steps([0.3] * 12) == []
    assert steps([0.3] * 6 + [0.3003] * 6) == []
    (one,) = steps([0.3] * 6 + [0.33] * 6)
    assert one.at == 6
    assert one.ratio.low < 1.1 < one.ratio.high


def test_times_of_any_size() -> None:
    """Whatever a file holds for times, there is an answer."""
    for seconds in ([5e-324] * 6 + [1e300] * 6, [0.0] * 12, [-1.0, np.inf] * 6):
        assert all(0 < one.ratio.low <= one.ratio.high for one in steps(seconds))
