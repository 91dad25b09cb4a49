"""Statistics of a comparison: known answers, and simulations whose answer is known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls
from scipy.stats import false_discovery_control, ttest_1samp
from scipy.stats import t as student
from scipy.stats.mstats import trimmed_mean, trimmed_stde

from segbench.stats import (
    ALPHA,
    FALSE_SHARE,
    MARGIN,
    MIN_BLOCKS,
    MIN_SERIAL_BLOCKS,
    RESAMPLES,
    RUNS_MARGIN,
    CostModel,
    Crossing,
    Ratio,
    cost_model,
    crossings,
    drift,
    narrow,
    paired_ratio,
    ratio_of_ratios,
    relative_spread,
    verdicts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Floats = NDArray[np.float64]

# Powers of two, so that products and quotients are exact.
times = st.integers(-20, 20).map(lambda power: 2.0**power)

SHAPES = ("normal", "laplace", "t3", "exponential", "lognormal", "outliers", "serial")
SIZES = (1, 20, 50, 200, 500)


def noise(shape: str, size: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Log ratios ``(simulations, blocks)`` whose true median is 0, of standard deviation 1."""
    normal = rng.normal(size=size)
    match shape:
        case "normal":
            return normal
        case "laplace":
            return rng.laplace(scale=math.sqrt(1 / 2), size=size)
        case "t3":
            return rng.standard_t(3, size=size) / math.sqrt(3)
        case "exponential":
            return rng.exponential(size=size) - math.log(2)
        case "lognormal":
            width = 0.8
            spread_of_it = math.sqrt(math.expm1(width**2) * math.exp(width**2))
            return (np.exp(width * normal) - 1) / spread_of_it
        case "serial":
            for block in range(1, size[1]):
                normal[:, block] = 0.5 * normal[:, block - 1] + math.sqrt(0.75) * normal[:, block]
            return normal
    raise ValueError(shape)


def log_ratios(shape: str, deviation: float, size: tuple[int, int], seed: int) -> Floats:
    """Log ratios with this noise; ``outliers`` are 10% of the blocks in which one arm took 1.5x."""
    rng = np.random.default_rng(seed)
    if shape != "outliers":
        return deviation * noise(shape, size, rng)
    hit = rng.random(size)
    sign = (hit < 0.05).astype(float) - (hit > 0.95)
    return deviation * noise("normal", size, rng) + math.log(1.5) * sign


def ratios_of(logs: Floats) -> list[Ratio]:
    """One ratio a row of log ratios ``(simulations, blocks)``."""
    return [paired_ratio(np.exp(row), np.ones(row.size)) for row in logs]


def intervals(logs: Floats) -> tuple[Floats, Floats]:
    """Ends of the intervals of the logarithms, of all rows ``(simulations, blocks)`` at once."""
    blocks = logs.shape[1]
    # Where the interval of 0, 1, 2, ... ends, in an order that has no neighbours alike.
    block = np.arange(blocks)
    zigzag = np.where(block % 2, blocks - 1 - block // 2, block // 2)
    share, rank = math.modf(math.log(paired_ratio(np.exp(zigzag), np.ones(blocks)).low))
    ordered = np.sort(logs, axis=1)
    low, high = (
        (1 - share) * rows[:, int(rank)] + share * rows[:, int(rank) + 1]
        for rows in (ordered, ordered[:, ::-1])
    )
    if blocks < MIN_SERIAL_BLOCKS:
        return low, high
    cut = blocks // 5
    drawn_in = np.clip(logs, ordered[:, [cut]], ordered[:, [-1 - cut]])
    apart = drawn_in - drawn_in.mean(axis=1, keepdims=True)
    alike = np.clip((apart[:, 1:] * apart[:, :-1]).sum(axis=1) / (apart**2).sum(axis=1), 0, 0.8)
    wider, middle = np.sqrt((1 + alike) / (1 - alike)), np.median(logs, axis=1)
    return middle + wider * (low - middle), middle + wider * (high - middle)


def crossing_of(first: Mapping[int, ArrayLike], other: Mapping[int, ArrayLike]) -> Crossing:
    """Where the first backend becomes the faster one."""
    return crossings(first, other)[0]


def samples(
    fixed: float, marginal: float, *, blocks: int, rng: np.random.Generator
) -> dict[int, Floats]:
    """Times of every size with 3% noise."""
    return {
        size: (fixed + marginal * size) * np.exp(rng.normal(scale=0.03, size=blocks))
        for size in SIZES
    }


def test_relative_spread_of_known_values() -> None:
    """The middle half of 1 to 5 reaches from 2 to 4, two thirds of the median."""
    assert relative_spread([5, 1, 4, 2, 3]) == pytest.approx(2 / 3)
    assert relative_spread([7.0]) == 0.0


def test_drift_is_the_change_from_first_to_last() -> None:
    """Times that grow evenly by a fifth drift by 0.2, those that shrink to a half by -0.5."""
    share = np.linspace(0, 1, 12)
    assert drift(100 + 60 * share, 3 * 1.2**share) == pytest.approx(0.2)
    # By when they were taken, not by their place in the array.
    order = np.random.default_rng(0).permutation(12)
    assert drift(order, (0.5**share)[order]) == pytest.approx(-0.5)


def test_drift_is_blind_to_outliers() -> None:
    """A fifth of the samples may be ten times too long, at either end, without a drift."""
    seconds = np.ones(20)
    seconds[[0, 1, 2, 18]] = 10
    assert drift(range(20), seconds) == 0


def test_drift_of_samples_taken_at_the_same_time() -> None:
    """Samples of one instant are compared with the others only; alone they know of no drift."""
    assert drift([0, 0, 1, 1], [1.0, 1.0, 1.1, 1.1]) == pytest.approx(0.1)
    assert math.isnan(drift([3.0, 3.0], [1.0, 2.0]))
    assert math.isnan(drift([3.0], [1.0]))


@settings(max_examples=30, deadline=None)
@given(blocks=st.lists(st.tuples(times, times, times), min_size=MIN_BLOCKS, max_size=12))
def test_drift_common_to_a_block_does_not_move_the_ratio(
    blocks: list[tuple[float, float, float]],
) -> None:
    """A machine that is slower in one block by any factor leaves every figure of the ratio as it is."""
    own, baseline, level = np.array(blocks).T
    assert paired_ratio(own * level, baseline * level) == paired_ratio(own, baseline)


def test_drift_within_blocks_hardly_moves_the_ratio() -> None:
    """While the machine slows down by 20%, arms in random order keep their ratio to within 1%."""
    rng = np.random.default_rng(0)
    blocks = 10
    moved = []
    for _ in range(200):
        start = np.arange(blocks)
        own, baseline = (1.2 ** ((start + rng.random(blocks)) / blocks) for _ in range(2))
        moved.append(abs(paired_ratio(0.6 * own, baseline).median / 0.6 - 1))
    assert max(moved) < 0.01


def test_ratios_by_hand() -> None:
    """The median is of the ratios, and five blocks without noise are certain, at 1 as elsewhere."""
    own, baseline = [1.0, 20.0, 30.0], [2.0, 10.0, 60.0]
    assert paired_ratio(own, baseline).median == pytest.approx(0.5)
    assert np.median(own) / np.median(baseline) == 2.0
    seconds = [0.1, 0.7, 0.3, 0.2, 0.9]
    ratio = paired_ratio(seconds, seconds)
    assert ratio == Ratio(1.0, 1.0, 1.0, 5, 1.0)
    assert verdicts([ratio]) == ["no difference"]
    certain = paired_ratio([1.0] * 5, [2.0] * 5)
    assert (certain.low, certain.high, certain.p) == (certain.median, certain.median, 0.0)
    # With noise the lowest and the highest of five are the ends.
    ratio = paired_ratio([5.0, 1.0, 3.0, 2.0, 4.0], np.ones(5))
    assert (ratio.low, ratio.median, ratio.high) == pytest.approx((1.0, 3.0, 5.0))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_ratio_of_few_blocks_has_no_interval(count: int) -> None:
    """With fewer than 5 blocks there is a median, but no interval, no p, and nothing is decided."""
    ratio = paired_ratio(np.full(count, 0.5), np.ones(count))
    assert ratio.median == pytest.approx(0.5)
    assert ratio.count == count
    assert np.isnan([ratio.low, ratio.high, ratio.p]).all()
    assert not narrow(ratio, precision=10.0)
    assert verdicts([ratio]) == ["undecided"]


def test_p_of_few_undisturbed_blocks_is_that_of_a_t_test() -> None:
    """Up to 9 blocks without an outlier give twice the p of a t test against the margin."""
    logs = np.array([0.1, 0.3, 0.1, 0.3, 0.2])
    for direction in (1, -1):
        expected = ttest_1samp(direction * logs, direction * math.log1p(MARGIN)).pvalue
        assert paired_ratio(np.exp(direction * logs), np.ones(5)).p == pytest.approx(2 * expected)


def test_p_of_a_slow_wave_is_that_of_a_ninth_of_the_blocks() -> None:
    """Blocks that only ever rise widen the standard error threefold, and not beyond."""
    logs = np.linspace(0.1, 0.3, 60)
    found = []
    for share, kept in ((0.1, 48), (0.2, 36)):
        excess = trimmed_mean(logs, (share, share)) - math.log1p(MARGIN)
        error = 3 * trimmed_stde(logs, (share, share))
        found.append(2 * student.sf(excess / error, kept - 1))
    expected = 2 * min(found)
    assert paired_ratio(np.exp(logs), np.ones(60)).p == pytest.approx(expected)


@settings(max_examples=50, deadline=None)
@given(
    logs=st.lists(st.floats(-1, 1).map(lambda log: round(log, 3)), min_size=5, max_size=40),
    effect=st.floats(-1, 1),
)
# Equal but for two, and for their rounding, which is no correlation of neighbours.
@example(logs=[0.4375] * 8 + [1.4375] * 2, effect=0.0)
def test_ratio_of_swapped_arms_is_its_inverse(logs: list[float], effect: float) -> None:
    """The other way round, a ratio and its interval are inverted and its p stays the same."""
    own = np.exp(np.array(logs) + effect)
    there, back = paired_ratio(own, np.ones(own.size)), paired_ratio(np.ones(own.size), own)
    assert there.low <= there.median <= there.high
    assert (back.low, back.median, back.high) == pytest.approx(
        (1 / there.high, 1 / there.median, 1 / there.low)
    )
    assert back.p == pytest.approx(there.p, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("blocks", [5, 6, 7, 8, 10, 12, 15, 20, 30, 50])
def test_interval_covers_the_true_ratio(blocks: int) -> None:
    """Its interval covers the true ratio in 93 to 97% of cases, whatever the shape of the noise."""
    for shape in SHAPES[:-1]:
        logs = log_ratios(shape, 0.05, (10_000, blocks), seed=blocks)
        low, high = intervals(logs)
        assert 0.93 < np.mean((low <= 0) & (high >= 0)) < 0.97, shape
        # The ends used here are those that paired_ratio gives.
        for row, ratio in enumerate(ratios_of(logs[:5])):
            assert np.log([ratio.low, ratio.high]) == pytest.approx([low[row], high[row]])


@pytest.mark.parametrize(("blocks", "least"), [(10, 0.84), (20, 0.88), (50, 0.91)])
def test_interval_of_lasting_noise_covers_less(blocks: int, least: float) -> None:
    """Noise that lasts from block to block costs coverage, but not below what the docstring says."""
    low, high = intervals(log_ratios("serial", 0.05, (10_000, blocks), seed=blocks))
    assert least < np.mean((low <= 0) & (high >= 0)) < 0.95


def test_blocks_that_resemble_their_neighbours_count_for_less() -> None:
    """The same ratios are worth less in an order that shows a slow wave than shuffled."""
    wave = np.exp(0.1 + 0.1 * np.sin(np.linspace(0, 2 * np.pi, 16)))
    shuffled = np.random.default_rng(0).permutation(wave)
    slow, fast = (paired_ratio(own, np.ones(16)) for own in (wave, shuffled))
    assert slow.median == fast.median
    assert math.log(slow.high / slow.low) > 2 * math.log(fast.high / fast.low)
    assert slow.p > 5 * fast.p


@pytest.mark.parametrize("blocks", [6, 12])
def test_an_outlier_does_not_hide_a_difference(blocks: int) -> None:
    """One block in which something else kept the machine busy leaves a finding what it is."""
    logs = math.log(0.7) + log_ratios("normal", 0.01, (1, blocks), seed=0)
    logs[0, 2] = math.log(0.7 * 1.3)
    (ratio,) = ratios_of(logs)
    assert verdicts([ratio] * 140) == ["faster"] * 140


@pytest.mark.parametrize(
    ("true", "noise", "blocks", "verdict"),
    [
        (0.6, 0.042, 5, "faster"),
        (1 / 0.6, 0.042, 5, "slower"),
        (1.0, 0.014, 15, "no difference"),
        (1.009, 0.0001, 30, "no difference"),
    ],
)
def test_what_is_clear_is_said(true: float, noise: float, blocks: int, verdict: str) -> None:
    """A strong effect is found with 5 blocks in a family of 140, and sameness with some more.

    A difference below the margin is none, however well it is known.
    """
    logs = math.log(true) + log_ratios("normal", noise, (140, blocks), seed=0)
    found = verdicts(ratios_of(logs))
    assert found.count(verdict) >= 133
    assert set(found) <= {verdict, "undecided"}


@pytest.mark.parametrize("shape", SHAPES)
def test_verdicts_are_hardly_ever_false(shape: str) -> None:
    """At most 1% are called different at a ratio of 1, in families of any size, or equal at 1.08.

    With noise that lasts from block to block, up to 3% of single comparisons are called different.
    """
    false = dict.fromkeys((1, 12, 140), 0)
    equal, each, cells = 0, 420, 0
    for blocks in (5, 7, 10, 20, 50):
        for deviation in (0.014, 0.042, 0.14):
            logs = log_ratios(shape, deviation, (each, blocks), seed=blocks)
            alike = ratios_of(logs)
            for family in false:
                for start in range(0, each, family):
                    found = verdicts(alike[start : start + family])
                    false[family] += found.count("faster") + found.count("slower")
            equal += verdicts(ratios_of(logs + math.log(1.08))).count("no difference")
            cells += 1
    total = cells * each
    assert false[1] <= (0.03 if shape == "serial" else 0.01) * total
    assert max(false[12], false[140], equal) <= 0.01 * total


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        (Ratio(0.6, 0.5, 0.7, 9, 0.001), "faster"),
        (Ratio(1.5, 1.4, 1.6, 9, 0.001), "slower"),
        (Ratio(1.1, 1.06, 1.14, 9, 0.001), "slower"),
        (Ratio(0.9, 0.86, 0.94, 9, 0.001), "faster"),
        (Ratio(1.02, 1.015, 1.025, 9, 0.2), "no difference"),
        (Ratio(1.0, 0.96, 1.04, 9, 1.0), "no difference"),
        (Ratio(1.0, 0.98, 1.06, 9, 1.0), "undecided"),
        (Ratio(1.0, 0.94, 1.02, 9, 1.0), "undecided"),
        (Ratio(0.6, 0.5, 0.7, 9, 0.06), "undecided"),
        (Ratio(1.5, 1.4, 1.6, 9, 0.06), "undecided"),
        (Ratio(1.5, 1.005, 1.6, 9, 0.001), "undecided"),
        (Ratio(0.6, 0.5, 0.995, 9, 0.001), "undecided"),
    ],
)
def test_verdict_on_known_ratios(ratio: Ratio, verdict: str) -> None:
    """A difference needs p and interval, equality the interval alone, and a difference goes first."""
    assert verdicts([ratio]) == [verdict]


@given(st.lists(st.floats(0, 0.02) | st.floats(0, 1), max_size=30))
def test_differences_of_a_family_are_benjamini_and_hochbergs(values: list[float]) -> None:
    """What is claimed has an adjusted p, as scipy has it, below 5%, and one below 1% by itself.

    Ratios without an interval are undecided, and don't count as one of the family.
    """
    adjusted = false_discovery_control(values) if values else np.empty(0)
    assume((abs(adjusted - FALSE_SHARE) > 1e-9).all())
    ratios = [Ratio(0.6, 0.5, 0.7, 9, p) for p in values]
    unknown = [paired_ratio([1.0] * 4, [2.0] * 4)] * 9
    expected = [
        "faster" if p < ALPHA and rate < FALSE_SHARE else "undecided"
        for p, rate in zip(values, adjusted, strict=True)
    ]
    assert verdicts(ratios) == expected
    assert verdicts([*unknown, *ratios]) == ["undecided"] * 9 + expected


@pytest.mark.parametrize("shape", SHAPES)
def test_few_of_the_differences_that_are_claimed_are_false(shape: str) -> None:
    """Among many that differ, equal arms are called different in 1% at the most (3% with lasting noise)."""
    false = total = 0
    for blocks in (5, 10, 20):
        logs = log_ratios(shape, 0.042, (420, blocks), seed=blocks)
        alike, different = ratios_of(logs), ratios_of(logs + math.log(0.5))
        for start in range(0, 420, 42):
            found = verdicts([*alike[start : start + 42], *different[start : start + 42]])[:42]
            false += found.count("faster") + found.count("slower")
            total += 42
    assert false <= (0.03 if shape == "serial" else 0.01) * total


def test_narrow_is_half_the_interval() -> None:
    """An interval from 1/1.02 to 1.02 is known to within 3%, not to within 2%, wherever it lies."""
    for median in (1.0, 0.1):
        ratio = Ratio(median, median / 1.02, median * 1.02, 9, 1.0)
        assert narrow(ratio, precision=0.03)
        assert not narrow(ratio, precision=0.0199)


FIVE = [1.0] * 5
NO_TIMES = (0.0, -1.0, math.nan, math.inf)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        *((lambda bad=bad: paired_ratio([1.0, bad, 2.0], FIVE[:3]), "finite") for bad in NO_TIMES),
        (lambda: paired_ratio(FIVE, [1.0, 0.0, 1.0, 1.0, 1.0]), "positive and finite"),
        (lambda: drift(range(2), [1.0, 0.0]), "positive and finite"),
        (lambda: relative_spread([1.0, 0.0]), "positive and finite"),
        (lambda: cost_model(range(2), [1.0, 0.0]), "positive and finite"),
        (lambda: crossings({1: FIVE, 2: [0.0] * 5}, {1: FIVE, 2: FIVE}), "positive and finite"),
        (lambda: relative_spread([]), "no values"),
        (lambda: paired_ratio([], []), "no values"),
        (lambda: paired_ratio([1.0, 2.0], [1.0]), "can't be paired"),
        (lambda: paired_ratio([1.0], [1.0, 2.0]), "can't be paired"),
        (lambda: drift([1, 2, 3], [1.0, 2.0]), "2 samples can't be paired with 3 times"),
        (lambda: cost_model([1, 20], FIVE), "2 sizes don't go with 5 times"),
        (lambda: cost_model([5], [1.0]), "two sizes"),
        (lambda: cost_model([5, 5], [1.0, 1.1]), "two sizes"),
        (lambda: crossings({1: FIVE}, {1: FIVE}), "two sizes"),
        (lambda: crossings({1: FIVE, 20: FIVE}, {1: FIVE}), "don't go with sizes"),
        (lambda: crossings({1: FIVE, 20: FIVE}, {1: FIVE, 20: FIVE[1:]}), "can't be paired"),
    ],
)
def test_what_can_not_be_compared_is_refused(call: Callable[[], object], message: str) -> None:
    """Times that are none, and numbers of samples or sizes that don't go together, are refused."""
    with pytest.raises(ValueError, match=message):
        call()


def test_cost_model_of_a_line() -> None:
    """Times on a line give back its two costs, in whatever order the sizes come."""
    model = cost_model([500, 1, 20], [5.5, 0.51, 0.7])
    assert (model.fixed, model.marginal) == pytest.approx((0.5, 0.01))
    assert model.seconds(100) == pytest.approx(1.5)


def test_cost_model_under_noise() -> None:
    """From medians of 10 blocks with 3% noise, both costs are found to within 5%."""
    rng = np.random.default_rng(0)
    for fixed, marginal in ((0.5, 0.01), (0.02, 0.02), (3.0, 0.05)):
        medians = [np.median(of) for of in samples(fixed, marginal, blocks=10, rng=rng).values()]
        model = cost_model(SIZES, medians)
        assert (model.fixed, model.marginal) == pytest.approx((fixed, marginal), rel=0.05)


def test_cost_model_weighs_relative_errors() -> None:
    """An error of 3% at the largest size can't swamp the fixed cost, as it would unweighted."""
    times_ = np.array([0.1 + 0.1 * size for size in SIZES]) * [1, 1, 1, 1, 1.03]
    assert cost_model(SIZES, times_).fixed == pytest.approx(0.1, rel=0.05)
    assert np.polyfit(SIZES, times_, 1)[1] < 0


@settings(max_examples=100, deadline=None)
@given(seconds=st.lists(st.floats(0.1, 10), min_size=2, max_size=5))
def test_costs_are_the_best_that_are_not_negative(seconds: list[float]) -> None:
    """Even for times that fall or leap, the costs are those of non-negative least squares."""
    sizes, of = np.array(SIZES[: len(seconds)], dtype=float), np.array(seconds)
    expected, _ = nnls(np.stack([1 / of, sizes / of], axis=1), np.ones(of.size))
    model = cost_model(sizes, of)
    assert min(model.fixed, model.marginal) >= 0
    assert (model.fixed, model.marginal) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_crossing_of_known_lines() -> None:
    """0.5 + 0.01 n and 0.1 + 0.02 n cross at 40 images, and without noise the interval is a point.

    The backend that loses its lead there has no crossing, nor has one with itself.
    """
    first = {size: np.full(5, 0.5 + 0.01 * size) for size in SIZES}
    other = {size: np.full(5, 0.1 + 0.02 * size) for size in SIZES}
    found, back = crossings(first, other)
    assert (found.images, found.low, found.high) == pytest.approx((40.0, 40.0, 40.0))
    assert back == Crossing(None, None, None)
    assert crossings(other, first) == (back, found)
    assert crossings(first, first) == (back, back)
    assert cost_model(SIZES, [first[size][0] for size in SIZES]).seconds(40) == pytest.approx(0.9)


@pytest.mark.parametrize("true", [10.0, 90.0, 300.0])
def test_interval_covers_the_crossing(true: float) -> None:
    """The interval covers the true crossing in 90 to 98% of runs with 5 to 15 blocks."""
    rng = np.random.default_rng(7)
    covered = []
    for _ in range(35):
        for blocks in (5, 7, 10, 15):
            level = {size: np.exp(rng.normal(scale=0.05, size=blocks)) for size in SIZES}
            first = samples(1.0, 0.9 / true, blocks=blocks, rng=rng)
            other = samples(0.4, 1.5 / true, blocks=blocks, rng=rng)
            found = crossing_of(
                {size: first[size] * level[size] for size in SIZES},
                {size: other[size] * level[size] for size in SIZES},
            )
            assert found.images is not None
            assert found.low is not None
            assert found.high is not None
            assert found.low <= found.images <= found.high
            covered.append(found.low <= true <= found.high)
    assert 0.90 <= np.mean(covered) <= 0.99


@pytest.mark.parametrize(
    ("first", "other"),
    [
        (CostModel(1.0, 0.02), CostModel(1.0, 0.02)),
        (CostModel(1.0, 0.02), CostModel(0.5, 0.02)),
        (CostModel(0.5, 0.02), CostModel(1.0, 0.02)),
        (CostModel(1.0, 0.03), CostModel(0.5, 0.02)),
        (CostModel(0.5, 0.02), CostModel(1.0, 0.03)),
        (CostModel(1.0, 0.02), CostModel(0.5, 0.0205)),
    ],
    ids=["same arm twice", "parallel", "parallel below", "slower", "faster", "far beyond"],
)
def test_no_crossing_where_there_is_none(first: CostModel, other: CostModel) -> None:
    """Lines that don't cross within the sizes are said to in at most 5% of runs."""
    rng = np.random.default_rng(0)
    named = 0
    for run in range(60):
        blocks = (5, 10, 15)[run % 3]
        own, its = (samples(of.fixed, of.marginal, blocks=blocks, rng=rng) for of in (first, other))
        named += crossing_of(own, its).images is not None
    assert named <= 3


def test_open_ends_of_a_crossing() -> None:
    """Where the lines part at one end only, the other end is open and no crossing is named."""
    rng = np.random.default_rng(0)
    dear, cheap = CostModel(1.0, 0.02), CostModel(0.7, 0.02)
    own, its = (samples(of.fixed, of.marginal, blocks=7, rng=rng) for of in (dear, cheap))
    late = crossing_of(own, its)
    assert late.images is None
    assert late.high is None
    assert late.low is not None
    assert late.low > 1
    steep, flat = CostModel(0.1, 0.03), CostModel(0.1, 0.02)
    own, its = (samples(of.fixed, of.marginal, blocks=7, rng=rng) for of in (flat, steep))
    early = crossing_of(own, its | {1: own[1] * np.exp(rng.normal(scale=0.03, size=7))})
    assert early.images is None
    assert early.low is None
    assert early.high is not None
    assert early.high < 500


def test_blocks_are_drawn_for_both_backends_at_once() -> None:
    """Noise that both backends share, however strong, doesn't widen the interval of the crossing."""
    rng = np.random.default_rng(0)
    level = {size: np.exp(rng.normal(scale=0.3, size=9)) for size in SIZES}
    first = {size: (1.0 + 0.01 * size) * level[size] for size in SIZES}
    other = {size: (0.1 + 0.02 * size) * level[size] for size in SIZES}
    shuffled = {size: rng.permutation(other[size]) for size in SIZES}

    def width(found: Crossing) -> float:
        return (found.high or math.inf) / (found.low or 1)

    assert width(crossing_of(first, other)) < width(crossing_of(first, shuffled)) / 1.2


def test_crossing_of_too_few_blocks_is_not_named() -> None:
    """Two blocks at any size say nothing of the interval: then nothing is said."""
    first = {1: [0.51] * 5, 500: [5.5] * 2}
    other = {1: [0.12] * 5, 500: [10.1] * 2}
    assert crossing_of(first, other) == Crossing(None, None, None)
    assert crossing_of(first | {500: [5.5] * 3}, other | {500: [10.1] * 3}).images is not None


@pytest.mark.parametrize("count", [3, 4, 5, 40])
def test_ends_of_a_crossing_by_hand(count: int) -> None:
    """They are points of the crossings of lines through the medians of blocks drawn with replacement."""
    rng = np.random.default_rng(count)
    own, its = (
        {size: (fixed + slope * size) * np.exp(rng.normal(0, 0.05, count)) for size in (1, 20)}
        for fixed, slope in ((5.0, 1.0), (1.0, 2.0))
    )
    draws = np.random.default_rng(0)
    medians = []
    for size in (1, 20):
        blocks = draws.integers(count, size=(RESAMPLES, count))
        medians.append([np.median(samples[size][blocks], axis=1) for samples in (own, its)])
    lines = [
        [cost_model((1, 20), (medians[0][one][draw], medians[1][one][draw])) for one in (0, 1)]
        for draw in range(RESAMPLES)
    ]
    crossings = [
        (first.fixed - second.fixed) / (second.marginal - first.marginal) for first, second in lines
    ]
    assert all(1 < one < 20 for one in crossings)
    low, high = np.quantile(crossings, [0.05, 0.95], method="inverted_cdf")
    found = crossing_of(own, its)
    assert (found.low, found.high) == pytest.approx((low, high))


# The ratio of two ratios.


def test_a_ratio_of_ratios_by_hand() -> None:
    """Each end is put together from the distances to the ends that it depends on."""
    one, other = Ratio(2.0, 1.6, 3.0, 12, 0.5), Ratio(0.5, 0.4, 0.9, 10, 0.5)
    found = ratio_of_ratios(one, other)
    below = math.hypot(math.log(2.0 / 1.6), math.log(0.9 / 0.5))
    above = math.hypot(math.log(3.0 / 2.0), math.log(0.5 / 0.4))
    assert found.median == pytest.approx(4.0)
    assert found.low == pytest.approx(4.0 * math.exp(-below))
    assert found.high == pytest.approx(4.0 * math.exp(above))
    assert found.count == 10
    back = ratio_of_ratios(other, one)
    assert back.low == pytest.approx(1 / found.high)
    assert back.high == pytest.approx(1 / found.low)
    assert back.p == pytest.approx(found.p)
    # Where one of the two has no interval, their ratio has none.
    few = ratio_of_ratios(paired_ratio([1.0] * 4, [2.0] * 4), one)
    assert few.median == pytest.approx(0.25)
    assert np.isnan([few.low, few.high, few.p]).all()


def test_p_of_a_ratio_of_ratios() -> None:
    """Within the margin nothing is shown, and beyond it the more, the narrower the interval."""
    known = Ratio(1.0, 1.0, 1.0, 10, 1.0)

    def p_of(median: float, reach: float) -> float:
        return ratio_of_ratios(Ratio(median, median / reach, median * reach, 10, 0.0), known).p

    assert p_of(1 + RUNS_MARGIN, 1.001) == 1.0
    assert p_of(1.2, 1.0) == 0.0
    assert p_of(1.2, 1.02) < p_of(1.2, 1.05) < 0.05 < p_of(1.2, 1.2) < 1.0
    assert pytest.approx((1 + MARGIN) ** 2 - 1) == RUNS_MARGIN


def test_p_depends_on_the_end_that_faces_1() -> None:
    """An interval that reaches far away from 1 is no doubt that there is a change."""
    known = Ratio(1.0, 1.0, 1.0, 10, 1.0)
    away = ratio_of_ratios(Ratio(1.3, 1.25, 2.0, 10, 0.0), known)
    towards = ratio_of_ratios(Ratio(1.3, 0.8, 1.35, 10, 0.0), known)
    assert away.p < 0.01
    assert towards.p > 0.1
    assert ratio_of_ratios(known, Ratio(1.3, 1.25, 2.0, 10, 0.0)).p == pytest.approx(away.p)


def simulated(rng: np.random.Generator, *, blocks: int, true: float, noise: float) -> Ratio:
    """The ratio of the ratios of two simulated runs, whose machine drifts in each."""
    found = []
    for ratio in (true, 1.0):
        machine = np.exp(rng.normal(0, 0.3, blocks))
        own, baseline = np.exp(rng.normal(0, noise, (2, blocks)))
        found.append(paired_ratio(ratio * machine * own, machine * baseline))
    return ratio_of_ratios(*found)


@pytest.mark.parametrize("blocks", [5, 9, 20])
@pytest.mark.parametrize("noise", [0.01, 0.1])
def test_intervals_of_ratios_of_ratios_cover_the_truth(blocks: int, noise: float) -> None:
    """The interval holds the true ratio of the ratios in about 95% of simulations."""
    rng = np.random.default_rng(blocks)
    found = [simulated(rng, blocks=blocks, true=1.3, noise=noise) for _ in range(400)]
    covered = sum(one.low <= 1.3 <= one.high for one in found) / len(found)
    assert 0.92 <= covered <= 0.995


@pytest.mark.parametrize("true", [1.0, 1 + RUNS_MARGIN])
@pytest.mark.parametrize("blocks", [5, 14])
def test_no_change_is_hardly_ever_called_one(blocks: int, true: float) -> None:
    """Of ratios that are the same, or within the margin, at most one in a hundred is said to differ."""
    rng = np.random.default_rng(blocks)
    said = [
        verdicts([simulated(rng, blocks=blocks, true=true, noise=0.07)], margin=RUNS_MARGIN)[0]
        for _ in range(400)
    ]
    assert sum(verdict in ("faster", "slower") for verdict in said) <= 4


def test_a_change_is_seen() -> None:
    """Ratios that differ by a quarter are told apart through noise of 3%."""
    rng = np.random.default_rng(1)
    said = [
        verdicts([simulated(rng, blocks=14, true=1.25, noise=0.03)], margin=RUNS_MARGIN)[0]
        for _ in range(50)
    ]
    assert said.count("slower") >= 45
