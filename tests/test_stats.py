"""Statistics of a comparison: known answers, and simulations whose answer is known."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.stats import false_discovery_control, ttest_1samp, ttest_ind
from scipy.stats import t as student

from segbench.stats import (
    ALPHA,
    FALSE_SHARE,
    LEAST_SPREAD,
    MARGIN,
    MIN_ROUNDS,
    T_LEVEL,
    UNKNOWN,
    VERDICTS,
    Crossing,
    Ratio,
    cost_model,
    crossing,
    drift,
    narrow,
    of_rounds,
    ratio_of_ratios,
    relative_spread,
    round_logs,
    verdict,
    verdicts,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Floats = NDArray[np.float64]

# Powers of two, so that products and quotients are exact.
times = st.integers(-20, 20).map(lambda power: 2.0**power)

SIZES = (1, 20, 50, 200, 500)


def log_ratios(shape: str, spread: float, size: tuple[int, int], seed: int) -> Floats:
    """Log ratios ``(simulations, rounds)`` about 0, of this standard deviation."""
    rng = np.random.default_rng(seed)
    if shape == "normal":
        return spread * rng.normal(size=size)
    return spread * rng.standard_t(3, size=size) / math.sqrt(3)


def ratios_of(logs: Floats) -> list[Ratio]:
    """One ratio a row of log ratios ``(simulations, rounds)``."""
    return [of_rounds(row) for row in logs]


def known(low: float, high: float, *, rounds: int = 9) -> Ratio:
    """A ratio with this interval."""
    middle = math.sqrt(low * high)
    error = math.log(high / low) / 2 / float(student.ppf((1 + T_LEVEL) / 2, rounds - 1))
    return Ratio(estimate=middle, error=error, rounds=rounds, freedom=rounds - 1)


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


# Ratios.


def test_a_round_is_the_median_of_its_blocks() -> None:
    """Each round has one value, the median of its blocks' ratios, by number and whatever the order."""
    rounds = [2, 1, 1, 2, 1, 3]
    own, other = [8.0, 1.0, 64.0, 2.0, 3.0, 5.0], [2.0, 1.0, 1.0, 1.0, 1.0, 5.0]
    # 1, 64 and 3; 4 and 2, whose middle is between their logarithms; 1.
    expected = [math.log(3.0), math.log(math.sqrt(8.0)), 0.0]
    assert round_logs(own, other, rounds) == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(blocks=st.lists(st.tuples(times, times, times), min_size=MIN_ROUNDS, max_size=12))
def test_drift_common_to_a_block_does_not_move_the_ratio(
    blocks: list[tuple[float, float, float]],
) -> None:
    """A machine that is slower in one block by any factor leaves every figure of the ratio as it is."""
    own, baseline, level = np.array(blocks).T
    rounds = np.arange(len(blocks)) // 2
    moved = of_rounds(round_logs(own * level, baseline * level, rounds))
    still = of_rounds(round_logs(own, baseline, rounds))
    figures = [
        (one.estimate, one.error, one.low, one.high, one.p(margin=MARGIN)) for one in (moved, still)
    ]
    assert figures[0] == pytest.approx(figures[1], nan_ok=True)


def test_a_ratio_by_hand() -> None:
    """Estimate, interval and test are Student's, of the logarithms."""
    logs = np.array([0.1, 0.3, 0.1, 0.3, 0.2, 0.25])
    ratio = of_rounds(logs)
    error = logs.std(ddof=1) / math.sqrt(6)
    reach = student.ppf((1 + T_LEVEL) / 2, 5) * error
    assert (ratio.rounds, ratio.freedom, ratio.known) == (6, 5, True)
    assert ratio.error == pytest.approx(error)
    assert ratio.reach == pytest.approx(reach)
    ends = (ratio.low, ratio.estimate, ratio.high)
    assert np.log(ends) == pytest.approx(logs.mean() + np.array([-reach, 0, reach]))
    for margin in (0.0, MARGIN):
        expected = ttest_1samp(logs, math.log1p(margin)).pvalue
        assert ratio.p(margin=margin) == pytest.approx(expected)
    # Within the margin there is nothing to doubt.
    assert of_rounds(logs - logs.mean() + 0.01).p(margin=MARGIN) == 1.0


@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_few_rounds_have_no_interval(count: int) -> None:
    """With fewer than 5 rounds there is an estimate, but no interval, no p, and nothing is decided."""
    ratio = of_rounds([math.log(0.5)] * count)
    assert ratio.rounds == count
    assert ratio.estimate == pytest.approx(0.5 if count else math.nan, nan_ok=True)
    assert not ratio.known
    assert np.isnan([ratio.low, ratio.high, ratio.p(), ratio.reach]).all()
    assert not narrow(ratio, precision=10.0)
    assert verdicts([ratio]) == verdicts([ratio.inverse]) == ["undecided"]
    assert (ratio is UNKNOWN) == (count == 0)


def test_rounds_that_agree_by_chance_are_no_proof() -> None:
    """Five equal values have an interval all the same, as wide as of values that spread a little."""
    ratio = of_rounds([0.0] * 5)
    assert ratio.error == LEAST_SPREAD / math.sqrt(5)
    assert 1.003 < ratio.high < 1.005
    assert verdicts([ratio]) == ["no difference"]


@settings(max_examples=50, deadline=None)
@given(logs=st.lists(st.floats(-2, 2), min_size=5, max_size=12))
def test_ratio_of_swapped_arms_is_its_inverse(logs: list[float]) -> None:
    """The other way round, a ratio and its interval are inverted and its p stays the same."""
    there, back = of_rounds(logs), of_rounds([-one for one in logs])
    for inverse in (back, there.inverse):
        assert (inverse.low, inverse.estimate, inverse.high) == pytest.approx(
            (1 / there.high, 1 / there.estimate, 1 / there.low)
        )
        assert inverse.p() == pytest.approx(there.p())


def test_times_of_any_size_make_numbers() -> None:
    """Whatever a file holds for times, a ratio can be shown and turned round."""
    rounds = range(6)
    longest, shortest = [2.0**63] * 6, [5e-324, 1e300] * 3
    for own, other in ((longest, shortest), (shortest, longest)):
        ratio = of_rounds(round_logs(own, other, rounds))
        assert 0 < ratio.low <= ratio.estimate <= ratio.high
        assert ratio.inverse.estimate > 0
        assert verdicts([ratio])[0] in VERDICTS


@pytest.mark.parametrize("rounds", [5, 7, 10, 20])
@pytest.mark.parametrize("shape", ["normal", "t3"])
def test_interval_covers_the_true_ratio(rounds: int, shape: str) -> None:
    """Without a rule that stops early, the interval covers the truth in 95 to 98% of cases."""
    found = ratios_of(log_ratios(shape, 0.05, (4000, rounds), seed=rounds))
    covered = sum(one.low <= 1 <= one.high for one in found) / len(found)
    assert 0.95 <= covered <= 0.985


def test_narrow_is_half_the_interval() -> None:
    """An interval from 1/1.02 to 1.02 is known to within 3%, not to within 2%, wherever it lies."""
    for middle in (1.0, 0.1):
        ratio = known(middle / 1.02, middle * 1.02)
        assert narrow(ratio, precision=0.03)
        assert not narrow(ratio, precision=0.0199)


# Verdicts.


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.5, 0.7, "faster"),
        (1.4, 1.6, "slower"),
        (1.06, 1.10, "slower"),
        (0.90, 0.94, "faster"),
        # Beyond 1, and not beyond the margin.
        (0.92, 0.97, "probably faster"),
        (1.03, 1.08, "probably slower"),
        # So few rounds, so wide, that chance is not excluded.
        (0.6, 0.94, "probably faster"),
        (1.06, 1.9, "probably slower"),
        (1.015, 1.025, "no difference"),
        (0.96, 1.04, "no difference"),
        (0.98, 1.06, "undecided"),
        (0.94, 1.02, "undecided"),
        (0.5, 2.0, "undecided"),
    ],
)
def test_verdict_on_known_ratios(low: float, high: float, said: str) -> None:
    """An interval beyond the margin and a test make a difference, one on one side a probable one."""
    assert verdicts([known(low, high)]) == [said]
    assert verdict(known(low, high), margin=MARGIN, certain=False) == said.replace(
        "faster" if said == "faster" else "slower" if said == "slower" else "-",
        f"probably {said}",
    )


@given(low=st.floats(0.3, 3.0), width=st.floats(1.0001, 2.0), others=st.integers(0, 40))
def test_a_verdict_and_its_interval_agree(low: float, width: float, others: int) -> None:
    """Whatever else is compared, a verdict is on the side of its interval, and turned with it."""
    # Neither end is so near where verdicts change that rounding counts.
    edges = (1 / (1 + MARGIN), 1.0, 1 + MARGIN)
    assume(all(abs(end / edge - 1) > 1e-9 for end in (low, low * width) for edge in edges))
    ratio = known(low, low * width)
    family = [ratio, *[of_rounds([0.0, 0.1, -0.1, 0.05, -0.05])] * others]
    said, back = verdicts(family)[0], verdicts([one.inverse for one in family])[0]
    if said.endswith("faster"):
        assert ratio.high < 1
        assert back == said.replace("faster", "slower")
    elif said.endswith("slower"):
        assert ratio.low > 1
        assert back == said.replace("slower", "faster")
    else:
        assert back == said
        assert said == "no difference" or ratio.low <= 1 <= ratio.high
    if said in ("faster", "slower"):
        assert not 1 / (1 + MARGIN) <= ratio.low <= 1 + MARGIN
        assert not 1 / (1 + MARGIN) <= ratio.high <= 1 + MARGIN


@given(st.lists(st.floats(0.0, 0.4), max_size=30))
def test_differences_of_a_family_are_benjamini_and_hochbergs(excesses: list[float]) -> None:
    """What is claimed has an adjusted p, as scipy has it, below 5%, and one below 1% by itself.

    Ratios without an interval are undecided, and don't count as one of the family.
    """
    # Beyond the margin by so much, with one error; all intervals lie beyond it from 0.22 on.
    ratios = [
        Ratio(estimate=(1 + MARGIN) * math.exp(one), error=0.05, rounds=6, freedom=5)
        for one in excesses
    ]
    values = [one.p(margin=MARGIN) for one in ratios]
    adjusted = false_discovery_control(values) if values else np.empty(0)
    assume((abs(adjusted - FALSE_SHARE) > 1e-9).all())
    expected = [p < ALPHA and rate < FALSE_SHARE for p, rate in zip(values, adjusted, strict=True)]
    few = [of_rounds([math.log(2.0)] * 4)] * 9
    said = verdicts([*few, *ratios])
    assert said[:9] == ["undecided"] * 9
    assert [one == "slower" for one in said[9:]] == expected
    assert said[9:] == verdicts(ratios)


@pytest.mark.parametrize("shape", ["normal", "t3"])
def test_verdicts_are_hardly_ever_false(shape: str) -> None:
    """At most 1% are called different at a ratio of 1, in families of any size, or equal at 1.08."""
    false = dict.fromkeys((1, 12, 140), 0)
    equal = total = 0
    for rounds in (5, 7, 10):
        for spread in (0.014, 0.042, 0.14):
            logs = log_ratios(shape, spread, (420, rounds), seed=rounds)
            alike = ratios_of(logs)
            for family in false:
                for start in range(0, 420, family):
                    found = verdicts(alike[start : start + family])
                    false[family] += found.count("faster") + found.count("slower")
            equal += verdicts(ratios_of(logs + math.log(1.08))).count("no difference")
            total += 420
    assert max(*false.values(), equal) <= 0.01 * total


@pytest.mark.parametrize("apart", [0.0, 0.1, 0.3])
def test_few_of_the_differences_between_all_pairs_are_false(apart: float) -> None:
    """Of all pairs of eight arms, in two groups of equal ones, at most 1% of the equal are told apart."""
    false = equal = 0
    arms = np.repeat([0.0, apart], 4)
    for run in range(100):
        logs = arms + log_ratios("normal", 0.04, (7, 8), seed=run)
        pairs = [*itertools.combinations(range(8), 2)]
        said = verdicts([of_rounds(logs[:, one] - logs[:, other]) for one, other in pairs])
        for (one, other), word in zip(pairs, said, strict=True):
            if arms[one] == arms[other]:
                equal += 1
                false += word in ("faster", "slower")
    assert false <= 0.01 * equal


@pytest.mark.parametrize(
    ("true", "spread", "rounds", "said"),
    [
        (0.6, 0.042, 5, "faster"),
        (1 / 0.6, 0.042, 5, "slower"),
        (1.0, 0.014, 7, "no difference"),
        (1.009, 0.0001, 10, "no difference"),
    ],
)
def test_what_is_clear_is_said(true: float, spread: float, rounds: int, said: str) -> None:
    """A strong effect is found with 5 rounds in a family of 140, and sameness with some more."""
    logs = math.log(true) + log_ratios("normal", spread, (140, rounds), seed=0)
    assert verdicts(ratios_of(logs)).count(said) >= 133


FIVE = [1.0] * 5
NO_TIMES = (0.0, -1.0, math.nan, math.inf)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        *(
            (lambda bad=bad: round_logs([1.0, bad, 2.0], FIVE[:3], [1, 1, 2]), "finite")
            for bad in NO_TIMES
        ),
        (lambda: round_logs(FIVE, [1.0, 0.0, 1.0, 1.0, 1.0], range(5)), "positive and finite"),
        (lambda: drift(range(2), [1.0, 0.0]), "positive and finite"),
        (lambda: relative_spread([1.0, 0.0]), "positive and finite"),
        (lambda: cost_model(range(2), [1.0, 0.0]), "positive and finite"),
        (lambda: relative_spread([]), "no values"),
        (lambda: round_logs([], [], []), "no values"),
        (lambda: round_logs([1.0, 2.0], [1.0], [1, 2]), "can't be paired"),
        (lambda: round_logs([1.0], [1.0], [1, 2]), "can't be paired"),
        (lambda: drift([1, 2, 3], [1.0, 2.0]), "2 samples can't be paired with 3 times"),
        (lambda: cost_model([1, 20], FIVE), "2 sizes don't go with 5 times"),
        (lambda: cost_model([5], [1.0]), "two sizes"),
        (lambda: cost_model([5, 5], [1.0, 1.1]), "two sizes"),
    ],
)
def test_what_can_not_be_compared_is_refused(call: Callable[[], object], message: str) -> None:
    """Times that are none, and numbers of samples or sizes that don't go together, are refused."""
    with pytest.raises(ValueError, match=message):
        call()


# Costs, and crossings.


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


F, PF, N, U, PS, S = VERDICTS


@pytest.mark.parametrize(
    ("ratios", "said", "expected"),
    [
        # Halfway between the logarithms of the sizes, where those of the ratios are equally far.
        ((2.0, 0.5), (S, F), (10.0, 1, 100)),
        ((2.0, 0.5), (PS, PF), (10.0, 1, 100)),
        ((4.0, 2.0, 0.5, 0.2), (S, S, F, F), (1000.0, 100, 10_000)),
        # An undecided size between leaves open where, and not whether; the line goes through it.
        ((4.0, 0.9, 0.5), (S, U, F), (None, 1, 10_000)),
        ((4.0, 1.1, 0.5), (S, U, F), (None, 1, 10_000)),
        # Nothing beyond or before may say otherwise, or leave it open.
        ((4.0, 0.5, 1.0), (S, F, U), None),
        ((4.0, 0.5, 1.0), (S, F, N), None),
        ((4.0, 0.5, 2.0), (S, F, S), None),
        ((0.5, 4.0, 0.5), (F, S, F), None),
        ((0.5, 2.0), (F, S), None),
        ((0.5, 0.5), (F, F), None),
        ((2.0, 2.0), (S, S), None),
        ((1.0, 0.5), (N, F), None),
        ((), (), None),
    ],
)
def test_crossings_by_hand(
    ratios: tuple[float, ...],
    said: tuple[str, ...],
    expected: tuple[float | None, int, int] | None,
) -> None:
    """A crossing lies between the last size at which one is slower and the first from which it is faster."""
    sizes = [100**place for place in range(len(ratios))]
    found = crossing(dict(zip(sizes, ratios, strict=True)), dict(zip(sizes, said, strict=True)))
    if expected is None:
        assert found is None
    else:
        assert found is not None
        images, after, by = expected
        assert (found.after, found.by) == (after, by)
        assert images is None or found.images == pytest.approx(images)


@given(
    cases=st.dictionaries(
        st.integers(1, 1000),
        st.tuples(st.sampled_from(VERDICTS), st.floats(1.01, 4.0)),
        max_size=7,
    )
)
def test_a_crossing_contradicts_no_verdict(cases: dict[int, tuple[str, float]]) -> None:
    """Every size up to it says nothing of faster, every one beyond says faster, and it lies between."""
    said = {size: one for size, (one, _) in cases.items()}
    estimates = {
        size: 1 / ratio if one.endswith("faster") else ratio if one.endswith("slower") else 1.0
        for size, (one, ratio) in cases.items()
    }
    found = crossing(estimates, said)
    slower = [size for size in said if said[size].endswith("slower")]
    faster = [size for size in said if said[size].endswith("faster")]
    if found is None:
        # Somewhere it is open, or there is none.
        ahead = slower and faster and max(slower) < min(faster)
        assert not ahead or any(size > min(faster) for size in said if size not in faster)
        return
    assert isinstance(found, Crossing)
    assert found.after == max(slower) <= found.images <= found.by
    assert all(size > found.after for size in faster)
    assert all(said[size].endswith("faster") for size in said if size >= found.by)


# The ratio of two ratios.


def test_a_ratio_of_ratios_by_hand() -> None:
    """Estimate, error and test are those of Welch's t test of the two runs' logarithms."""
    rng = np.random.default_rng(0)
    one, other = rng.normal(0.3, 0.05, 7), rng.normal(0.1, 0.12, 5)
    found = ratio_of_ratios(of_rounds(one), of_rounds(other))
    expected = ttest_ind(one, other, equal_var=False)
    assert math.log(found.estimate) == pytest.approx(one.mean() - other.mean())
    assert found.freedom == pytest.approx(expected.df)
    assert found.p() == pytest.approx(expected.pvalue)
    assert found.rounds == 5
    back = ratio_of_ratios(of_rounds(other), of_rounds(one))
    assert (back.low, back.high) == pytest.approx((1 / found.high, 1 / found.low))
    # Where one of the two has no interval, their ratio has none.
    for few in (of_rounds(one[:4]), of_rounds(one[:1]), UNKNOWN):
        assert not ratio_of_ratios(few, of_rounds(other)).known
    assert ratio_of_ratios(of_rounds([math.log(4.0)]), of_rounds([0.0])).estimate == 4.0


@pytest.mark.parametrize("rounds", [5, 10])
@pytest.mark.parametrize("spread", [0.01, 0.1])
def test_intervals_of_ratios_of_ratios_cover_the_truth(rounds: int, spread: float) -> None:
    """The interval holds the true ratio of the ratios in 94 to 99% of simulations."""
    one, other = (log_ratios("normal", spread, (1000, rounds), seed) for seed in (1, 2))
    found = [*map(ratio_of_ratios, ratios_of(one + math.log(1.3)), ratios_of(other))]
    covered = sum(ratio.low <= 1.3 <= ratio.high for ratio in found) / len(found)
    assert 0.94 <= covered <= 0.99


def test_no_change_is_hardly_ever_called_one() -> None:
    """Of runs that are the same at most one in a hundred is said to differ; a quarter is seen."""
    one, other = (log_ratios("normal", 0.05, (400, 7), seed) for seed in (1, 2))
    same = [*map(ratio_of_ratios, ratios_of(one), ratios_of(other))]
    said = [verdicts([ratio])[0] for ratio in same]
    assert sum(word in ("faster", "slower") for word in said) <= 4
    changed = [*map(ratio_of_ratios, ratios_of(one + math.log(1.4)), ratios_of(other))]
    assert verdicts(changed).count("slower") >= 360
