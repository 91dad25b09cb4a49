"""Statistics of a comparison."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segbench.stats import Spread, paired_ratio, spread

# Powers of two, so that products and quotients are exact.
times = st.integers(-20, 20).map(lambda power: 2.0**power)


def test_spread_of_known_values() -> None:
    """The median is the middle value, low and high are the outermost, in whatever order they come."""
    assert spread([5.0, 1.0, 2.0]) == Spread(2.0, 1.0, 5.0, 3)


def test_spread_of_an_even_number_of_values() -> None:
    """Between two middle values the median is their mean."""
    assert spread([4.0, 1.0, 2.0, 100.0]) == Spread(3.0, 1.0, 100.0, 4)


@settings(max_examples=30, deadline=None)
@given(values=st.lists(times, min_size=1, max_size=9))
def test_spread_encloses_its_median(values: list[float]) -> None:
    """The median lies between low and high, and both are among the values."""
    found = spread(values)
    assert found.low <= found.median <= found.high
    assert {found.low, found.high} <= set(values)
    assert found.count == len(values)


def test_spread_of_nothing_raises() -> None:
    """There is no median of no values, and the message says so."""
    with pytest.raises(ValueError, match="no values"):
        spread([])


@settings(max_examples=30, deadline=None)
@given(blocks=st.lists(st.tuples(times, times, times), min_size=1, max_size=9))
def test_drift_common_to_a_block_does_not_move_the_ratio(
    blocks: list[tuple[float, float, float]],
) -> None:
    """A machine that is slower in one block by any factor leaves every figure of the ratio as it is."""
    own, baseline, drift = np.array(blocks).T
    assert paired_ratio(own * drift, baseline * drift) == paired_ratio(own, baseline)


def test_ratio_is_formed_before_the_median() -> None:
    """The median of the ratios is given, not the ratio of the medians."""
    own, baseline = [1.0, 20.0, 30.0], [2.0, 10.0, 60.0]
    assert paired_ratio(own, baseline) == Spread(0.5, 0.5, 2.0, 3)
    assert np.median(own) / np.median(baseline) == 2.0


def test_ratio_to_itself_is_one() -> None:
    """An arm compared with itself has a ratio of exactly 1 in every block."""
    seconds = [0.1, 0.7, 0.3]
    assert paired_ratio(seconds, seconds) == Spread(1.0, 1.0, 1.0, 3)


@pytest.mark.parametrize(("own", "baseline"), [([1.0, 2.0], [1.0]), ([1.0], [1.0, 2.0])])
def test_samples_without_a_partner_raise(own: list[float], baseline: list[float]) -> None:
    """Samples of different numbers of blocks are refused, even where numpy would broadcast them."""
    with pytest.raises(ValueError, match="can't be paired"):
        paired_ratio(own, baseline)


def test_ratio_of_nothing_raises() -> None:
    """No blocks, no ratio."""
    with pytest.raises(ValueError, match="no values"):
        paired_ratio([], [])
