"""What a report says first, the presentation replicated, and how each number can be traced."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from segbench.cli import main
from segbench.report import reproduce
from segbench.report.answer import answer
from segbench.report.pairs import MOST_NAMED, pairs_of
from segbench.report.summary import summarize
from segbench.stats import paired_ratio, verdicts
from tests.made_up import DASK, IMREAD, NOISE, PIMS, POOL, SERIAL, case, make_source, sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segbench.results.records import Sample

ROOT = Path(__file__).parents[1]

HERE = "of 8 × 9 pixels from files to a table of cells on this machine (2 CPUs, Abacus 3000)"
PLAIN = f"scikit-image one image after the other ({SERIAL})"
THREADS = f"scikit-image on threads ({POOL})"
FILTERS = f"dask-image's filters on Dask's threads ({DASK})"
MAPPED = f"Dask over scikit-image on Dask's threads ({PIMS})"


def answered(*cases: Sequence[Sample], **other: Any) -> tuple[str, ...]:
    """The answer of some cases: the ranking, whether Dask pays, and what holds for both."""
    source = make_source(*cases, **other)
    said = answer(source, summarize(source))
    return (*said.ranking, *said.on_dask, *said.notes)


def by_size(backend: str, seconds: dict[int, float], blocks: int = 6) -> list[Sample]:
    """The pipeline's samples of a backend, without noise."""
    return [
        one
        for size, value in seconds.items()
        for one in case(backend, "pipeline", size, *[value] * blocks)
    ]


# The fastest.


def test_the_fastest_is_named_with_what_the_others_cost() -> None:
    """Where the others are slower for certain, one is the fastest, and each other has its price."""
    assert answered(
        by_size(SERIAL, {20: 1.0}), by_size(POOL, {20: 0.5}), by_size(DASK, {20: 4.0})
    ) == (
        (
            f"For 20 images {HERE}, the fastest is {THREADS}: 500 ms, 50% less time (50 to 50%) than "
            f"{PLAIN}."
        ),
        f"Beside it {FILTERS} takes 8.00 times as long (8.00 to 8.00).",
        (
            f"Dask does not pay with 20 images, the only number measured: {FILTERS} takes 8.00 times "
            f"as long (8.00 to 8.00) as {THREADS}."
        ),
        "The ranges in brackets are intervals of about 95%.",
    )


def test_what_was_asked_is_answered_first() -> None:
    """Whether Dask pays stands before the ranking, and what holds for both comes last."""
    source = make_source(by_size(SERIAL, {20: 1.0}), by_size(DASK, {20: 4.0}))
    first, second, *_, last = answer(source, summarize(source)).sentences
    assert first.startswith("Dask does not pay with 20 images")
    assert second.startswith("For 20 images of 8 × 9 pixels")
    assert last == "The ranges in brackets are intervals of about 95%."


def test_the_baseline_may_be_the_fastest() -> None:
    """Where everything else is slower for certain, the baseline is the fastest."""
    first, second, *_ = answered(by_size(SERIAL, {20: 1.0}), by_size(DASK, {20: 4.0}))
    assert first.endswith(f"the fastest is {PLAIN}: 1.00 s.")
    assert second == f"Beside it {FILTERS} takes 4.00 times as long (4.00 to 4.00)."


def test_what_is_not_decided_is_said() -> None:
    """Where nothing is faster, what may be and what is as fast as the baseline are told apart."""
    first, second, *_, last = answered(
        case(SERIAL, "read", 1, *[1.0] * 6),
        case(POOL, "read", 1, *[0.96 * noise for noise in NOISE]),
        case(DASK, "read", 1, *[1.0, 1.001] * 3),
        case(PIMS, "read", 1, *[2.0] * 6),
    )
    assert re.search(
        "none was shown to be faster than scikit-image's reader one image after the other "
        rf"\({SERIAL}\): 1.00 s; no difference from it: {DASK} 1.00 times as long "
        rf"\(1.00 to 1.00\); not decided whether faster or slower: {POOL} 0.98 times as long "
        r"\(0.8\d to 1.0\d\)\.$",
        first,
    )
    assert second.startswith(
        f"Beside it Dask over pims on Dask's threads ({PIMS}) takes 2.00 times"
    )
    assert "More blocks may tell: a run without --quick, or with a longer --case-seconds." in last


def test_what_would_decide_is_said_where_something_is_open() -> None:
    """Where every difference is decided, nothing is said of more blocks."""
    said = answered(by_size(SERIAL, {1: 1.0}), by_size(POOL, {1: 0.5}), by_size(DASK, {1: 1.0}))
    assert not [one for one in said if "more blocks" in one]
    assert said[-1] == "The ranges in brackets are intervals of about 95%."


def test_shares_are_told_where_they_can_be_read() -> None:
    """Time that is saved is a share; where next to nothing is left, a multiple says more."""
    for seconds, words in (
        (0.8, "20% less time (20 to 20%) than"),
        (0.02, "98.0% less time (98.0 to 98.0%) than"),
        (0.002, "0.002 times as long (0.002 to 0.002) as"),
    ):
        first, *_ = answered(by_size(SERIAL, {1: 1.0}), by_size(POOL, {1: seconds}))
        assert first.endswith(f"{words} {PLAIN}.")


def test_what_may_be_as_fast_is_named() -> None:
    """Others are compared with the best within blocks, not by their ratios to the baseline."""
    swing = (1.0, 0.8, 1.2, 1.1, 0.9, 1.0)
    first, second, *_ = answered(
        case(SERIAL, "read", 1, *[1.0] * 6),
        case(POOL, "read", 1, *[0.100 * one for one in swing]),
        case(DASK, "read", 1, *[0.100 * one for one in swing[::-1]]),
        case(PIMS, "read", 1, *[0.110 * one for one in swing]),
        case(IMREAD, "read", 1, *[0.101 * one for one in swing]),
    )
    assert "among the fastest is scikit-image's reader on threads" in first
    assert (
        f"; no difference from it: {IMREAD} 1.01 times as long (1.01 to 1.01); not decided whether "
        f"faster or slower: {DASK} 1.00 times as long (0."
    ) in first
    assert f"({PIMS}) takes 1.10 times as long" in second
    assert SERIAL not in second  # what the fastest gains on it stands in the first


def test_none_is_called_faster_than_the_fastest() -> None:
    """Medians may be in another order than the blocks say: then neither is known to be faster."""
    slow, fast = 0.9, 0.5
    first, *_ = answered(
        case(SERIAL, "read", 1, *[1.0] * 40),
        case(POOL, "read", 1, *[fast, slow] * 20),
        case(DASK, "read", 1, *[0.9 * slow, 0.9 * slow, *[0.9 * fast, 0.9 * slow] * 19]),
    )
    assert f"among the fastest is scikit-image's reader on threads ({POOL})" in first
    assert f"not decided whether faster or slower: {DASK} 0.90 times" in first


def level(least: float, most: float) -> list[float]:
    """Times beside a second for which p lies between two values."""
    return next(
        times
        for one in np.linspace(0.5, 0.9, 400)
        if least
        < paired_ratio(times := [float(one) * noise for noise in NOISE], [1.0] * 6).p
        < most
    )


def test_the_baseline_stays_slower_than_what_was_shown_to_be_faster() -> None:
    """What the verdicts of the run decided is not undecided again among the others."""
    # Significant by itself, and not as the most significant one of eight.
    times = level(0.05 / 8, 0.0095)
    others = [by_size(f"a/b/{number}", {1: 1.03 * times[0]}) for number in range(7)]
    first, *_ = answered(by_size(SERIAL, {1: 1.0}), case(POOL, "pipeline", 1, *times), *others)
    assert "among the fastest is" in first
    assert "less time" in first
    assert SERIAL not in first.partition("; not decided")[2]


def test_a_pair_has_one_verdict() -> None:
    """What the tables leave undecided for all comparisons of the run, Dask's sentence does, too."""
    # Significant by itself, and not among eight comparisons; it is the only one that may pay.
    times = level(0.05 / 8, 0.0095)
    others = [by_size(f"a/dask-blocks/{number}", {1: 1.0}) for number in range(7)]
    named = [
        [dataclasses.replace(one, reader=f"a{number}", scheduler="threads") for one in other]
        for number, other in enumerate(others)
    ]
    first, dask_, *_ = answered(
        by_size(SERIAL, {1: 1.0}), case(PIMS, "pipeline", 1, *times), *named
    )
    assert "none was shown to be faster than" in first
    assert f"not decided whether faster or slower: {PIMS}" in first
    assert dask_.startswith(
        "No gain from Dask was shown: whether it pays is not decided with 1 image"
    )


def test_all_pairs_are_one_family() -> None:
    """Who looks at 153 pairs of backends finds a difference by chance more often than in one."""
    source = make_source(
        by_size(SERIAL, {1: 3.0}),
        case(PIMS, "pipeline", 1, *level(0.05 / 8, 0.0095)),
        # One differs from seventeen that are alike: a ninth of all pairs.
        *(by_size(f"a/b/{number}", {1: 1.0}) for number in range(17)),
    )
    found = pairs_of(source, summarize(source), "pipeline").found
    pair = found[PIMS, "a/b/0", 1]
    assert verdicts([pair.ratio]) == ["faster"]
    assert pair.verdict == "undecided"
    assert found[PIMS, SERIAL, 1].verdict == "faster"


def test_no_pair_says_more_than_the_tables() -> None:
    """What no verdict beside the baseline says of two backends, none of the two together says."""
    wild = np.array([0.6, 1.7, 0.9, 1.4, 0.7, 1.1] * 2)
    source = make_source(
        by_size(SERIAL, {1: 1.0}, blocks=12),
        case(POOL, "pipeline", 1, *(0.5 * wild)),
        case(DASK, "pipeline", 1, *(0.9 * 0.5 * wild[:5])),
        case(PIMS, "pipeline", 1, *(wild / 0.5)),
        case(IMREAD, "pipeline", 1, *(wild[:5] / 0.5 / 0.9)),
    )
    found = pairs_of(source, summarize(source), "pipeline").found
    said = {(one, other): pair.verdict for (one, other, _), pair in found.items()}
    assert [said[one, SERIAL] for one in (POOL, PIMS)] == ["faster", "slower"]
    assert [said[one, SERIAL] for one in (DASK, IMREAD)] == ["undecided"] * 2
    # To be faster than what is faster than the baseline is to be faster than the baseline.
    for one, other in ((DASK, POOL), (PIMS, IMREAD)):
        ratio = found[one, other, 1].ratio
        assert verdicts([ratio]) == ["faster"]
        assert said[one, other] == said[other, one] == "undecided"
    assert said[POOL, PIMS] == "faster"
    assert said[PIMS, POOL] == "slower"


def test_nothing_in_common_with_the_fastest() -> None:
    """Two backends that were never timed in one block are not told apart."""
    first, *_ = answered(
        case(SERIAL, "read", 1, *[1.0] * 10),
        case(POOL, "read", 1, *[0.5] * 5),
        case(DASK, "read", 1, *[0.9] * 10)[5:],
    )
    assert first.endswith(f"not decided whether faster or slower: {DASK} (too few blocks).")


def test_the_answer_is_about_the_largest_size_with_intervals() -> None:
    """A size that has too few blocks for an interval leaves the answer to the next smaller one."""
    first, second, *_ = answered(
        by_size(SERIAL, {1: 1.0, 20: 1.0}), by_size(POOL, {1: 0.5}), by_size(POOL, {20: 0.5}, 4)
    )
    assert first.startswith("For 1 image of 8 × 9 pixels")
    assert second == f"With 20 images nothing is ranked: too few blocks are shared with {SERIAL}."


def test_a_backend_without_an_interval_is_not_passed_over() -> None:
    """A backend of which too little is known may be faster than the one that is known best."""
    first, *_ = answered(
        by_size(SERIAL, {1: 1.0}), by_size(POOL, {1: 0.5}), by_size(DASK, {1: 0.1}, blocks=4)
    )
    assert f"among the fastest is {THREADS}" in first
    assert first.endswith(f"not decided whether faster or slower: {DASK} (too few blocks).")
    apart = case(DASK, "pipeline", 1, *[0.1] * 9)[6:]
    first, *_ = answered(by_size(SERIAL, {1: 1.0}), by_size(POOL, {1: 2.0}), apart)
    assert first.endswith(f"1.00 s; not decided whether faster or slower: {DASK} (too few blocks).")


def test_the_answer_is_about_the_pipeline() -> None:
    """Where several phases were measured the pipeline counts; without it, process, then read."""
    both = (
        *case(SERIAL, "read", 1, *[1.0] * 6),
        *case(POOL, "read", 1, *[0.5] * 6),
        *case(SERIAL, "process", 1, *[1.0] * 6),
        *case(POOL, "process", 1, *[3.0] * 6),
    )
    assert "from pixels in memory to a table of cells" in answered(both)[0]
    first, *_ = answered(both, by_size(SERIAL, {1: 1.0}), by_size(POOL, {1: 0.5}))
    assert "from files to a table of cells" in first


def test_what_is_decided_of_fewer_images_only() -> None:
    """Where nothing is faster at the largest size, the largest is told at which something is."""
    sizes = (1, 20, 50)
    _, second, *_ = answered(
        *(by_size(SERIAL, dict.fromkeys(sizes, 1.0)), by_size(POOL, {1: 0.5, 20: 0.6})),
        by_size(DASK, {20: 0.7, 50: 1.0}),
        case(POOL, "pipeline", 50, *[0.97 * noise for noise in NOISE]),
    )
    assert second == f"With 20 images, {THREADS} takes 40% less time (40 to 40%) than {PLAIN}."
    said = answered(by_size(SERIAL, {1: 1.0}), by_size(POOL, {1: 1.0}))
    assert not [one for one in said if one.startswith("With ")]


def test_only_so_many_are_named() -> None:
    """A sentence names six backends at the most, and how many more there are."""
    many = [by_size(f"a/b/{number}", {1: 2.0 + number}) for number in range(MOST_NAMED + 2)]
    _, second, *_ = answered(by_size(SERIAL, {1: 1.0}), *many)
    assert second.startswith("Beside it a/b/0 takes 2.00 times as long")
    assert second.endswith("(7.00 to 7.00), and 2 more take longer than these.")
    alike = [by_size(f"a/b/{number}", {1: 1.0}) for number in range(MOST_NAMED + 2)]
    first, *_ = answered(by_size(SERIAL, {1: 1.0}), *alike)
    assert first.endswith("a/b/5 1.00 times as long (1.00 to 1.00), and 2 more.")


def test_nothing_is_named_that_failed() -> None:
    """A fast backend whose result was wrong, that timed out or crashed is no winner anywhere."""
    for status in ("wrong-result", "timeout", "memory", "crashed", "error", "unavailable"):
        first, _, on_dask, *said, last = answered(
            by_size(SERIAL, {1: 1.0, 20: 1.0}),
            by_size(POOL, {1: 0.5, 20: 0.5}),
            by_size(IMREAD, {1: 2.0, 20: 2.0}),
            by_size(DASK, {1: 0.001}),
            [sample(DASK, "pipeline", 20, status=status, cause="why")],
        )
        assert last == f"Not ranked: {DASK} ({status})."
        assert "the fastest is scikit-image on threads" in first
        assert not [one for one in (first, on_dask, *said) if DASK in one]
        pays = "; with 1 image it pays." in on_dask
        assert pays == (status != "wrong-result")


# More images than the baseline can do.


def failed(backend: str, size: int, status: str) -> list[Sample]:
    """A backend's sample of the pipeline that ended so."""
    return [sample(backend, "pipeline", size, status=status, cause="why")]


def test_what_ended_with_more_images_is_told() -> None:
    """Where the baseline fails, it is told what did not, and that Dask was timed without a rival."""
    sizes = {1: 1.0, 20: 1.0}
    first, _, beyond, on_dask, *_ = answered(
        *(by_size(SERIAL, sizes), failed(SERIAL, 50, "memory")),
        *(by_size(POOL, sizes), failed(POOL, 50, "timeout")),
        by_size(PIMS, {1: 1.5, 20: 0.9 * 2, 50: 2.0}),
    )
    assert first.startswith("For 20 images of")
    assert beyond == (
        f"With 50 images only {PIMS} was timed to the end; not so: {SERIAL} (memory), {POOL} "
        "(timeout)."
    )
    assert on_dask.startswith(
        "Dask does not pay at any number compared, 1 to 20 images: with 20 images, the most that was "
        f"timed without it, {MAPPED} takes 1.80 times as long (1.80 to 1.80) as"
    )


def test_sizes_beyond_are_told_together() -> None:
    """Sizes at which the same backends failed share a sentence; so do all that nothing ended with."""
    said = answered(
        *(by_size(backend, {1: seconds}) for backend, seconds in ((SERIAL, 1.0), (PIMS, 2.0))),
        by_size(POOL, {1: 1.0, 20: 9.0, 50: 20.0}),
        *(failed(one, size, "memory") for one in (SERIAL, PIMS) for size in (20, 50, 200)),
        failed(POOL, 200, "timeout"),
    )
    first, second = (one for one in said if one.startswith("With "))
    baseline_and_dask = f"{SERIAL} (memory), {PIMS} (memory)"
    assert first == (
        f"With 20 and 50 images only {POOL} was timed to the end; not so: {baseline_and_dask}."
    )
    assert second == (
        f"With 200 images none was timed to the end: {baseline_and_dask}, {POOL} (timeout)."
    )
    assert not [one for one in said if one.startswith("Not ranked")]


def test_what_was_wrong_is_named_whatever_its_size() -> None:
    """A backend whose result was wrong with more images than the answer is about is named so."""
    said = answered(
        *(by_size(SERIAL, {1: 1.0}), failed(SERIAL, 20, "memory")),
        by_size(POOL, {1: 2.0, 20: 9.0}),
        failed(DASK, 20, "wrong-result"),
    )
    assert said[-1] == f"Not ranked: {DASK} (wrong-result)."
    assert f"With 20 images only {POOL} was timed to the end; not so: {SERIAL} (memory)." in said


def test_why_the_answer_is_not_about_more_images() -> None:
    """It is said which side was not timed with more: Dask, what does without it, or both."""
    backends = (SERIAL, POOL, PIMS)
    for ended, words in (
        ((SERIAL, POOL), "the most that was timed with it"),
        ((PIMS,), "the most that was timed without it"),
        ((), "the most that was compared"),
    ):
        said = answered(
            *(by_size(backend, {1: 1.0}) for backend in backends),
            *(by_size(backend, {20: 1.0}) for backend in ended),
            *(failed(backend, 20, "memory") for backend in backends if backend not in ended),
        )
        assert f"Dask makes no difference with 1 image, {words}: " in " ".join(said)


def test_the_baseline_failed_at_the_only_size() -> None:
    """Without the baseline nothing is ranked, and Dask is held against what else was timed."""
    said = answered(
        *(by_size(SERIAL, {20: 1.0}), failed(SERIAL, 20, "memory")),
        *(by_size(POOL, {20: 1.0}), by_size(PIMS, {20: 0.5})),
    )
    assert said == (
        (
            f"Nothing is ranked: {SERIAL}, which all are compared with, was not timed to the end "
            "beside them."
        ),
        (
            f"Dask pays with 20 images, the only number measured: {MAPPED} takes 50% less time (50 "
            f"to 50%) than {THREADS}; not timed to the end there: {SERIAL}."
        ),
        "The ranges in brackets are intervals of about 95%.",
        f"Not ranked: {SERIAL} (memory).",
    )
    without = answered(
        *(by_size(SERIAL, {20: 1.0}), failed(SERIAL, 20, "memory")),
        *(by_size(POOL, {20: 1.0}), by_size("skimage/skimage/process-pool", {20: 0.5})),
    )
    assert without[1] == "Whether Dask pays was not measured: no backend with it was."
    assert len(without) == 3


def test_the_baseline_failed_where_nothing_was_faster() -> None:
    """Blocks of a baseline that failed later are no ground for a ratio; smaller sizes keep theirs."""
    first, *_ = answered(
        *(by_size(SERIAL, {1: 1.0, 20: 1.0}), failed(SERIAL, 20, "timeout")),
        by_size(POOL, {1: 1.5, 20: 1.5}),
    )
    assert first.startswith("For 1 image of")


# Whether Dask pays.


def dask(*, with_dask: dict[int, float], **without: dict[int, float]) -> str:
    """The sentence on Dask, of a run with the baseline and a pool of threads."""
    serial = without.get("serial", {1: 1.0, 10: 10.0, 100: 100.0})
    pool = without.get("pool", {1: 1.5, 10: 6.0, 100: 51.0})
    said = answered(by_size(SERIAL, serial), by_size(POOL, pool), by_size(PIMS, with_dask))
    return on_dask(said)


def on_dask(said: Sequence[str]) -> str:
    """The one sentence of an answer on whether Dask pays."""
    (sentence,) = (
        one for one in said if one.startswith(("Dask ", "Whether Dask ", "No gain from Dask"))
    )
    return sentence


def test_dask_pays_from_some_number_on() -> None:
    """Where Dask overtakes everything else, the latest of the crossings is named."""
    # Overtakes the baseline at 6 images, and the pool of threads (1 + 0.5 n) at 15.
    sentence = dask(with_dask={size: 4.0 + 0.3 * size for size in (1, 10, 100)})
    assert sentence == (
        f"Dask pays from 15 images on (15 to 15): with 100 images, {MAPPED} takes 33% less time "
        f"(33 to 33%) than {THREADS}."
    )
    # One that it is always faster than is no hindrance.
    sentence = dask(
        with_dask={size: 4.0 + 0.3 * size for size in (1, 10, 100)},
        serial={1: 10.0, 10: 100.0, 100: 1000.0},
    )
    assert sentence.startswith("Dask pays from 15 images on (15 to 15): with 100 images, ")


def test_numbers_of_images_are_whole() -> None:
    """Lines that cross between two numbers of images make Dask pay from the second one on."""
    sizes = (1, 10, 100)
    said = answered(
        by_size(SERIAL, {size: 1.0 * size for size in sizes}),
        by_size(PIMS, {size: 0.6 + 0.5 * size for size in sizes}),  # at 1.2
    )
    assert on_dask(said).startswith("Dask pays from 2 images on (2 to 2): with 100 images, ")


def test_dask_has_to_beat_every_backend_without() -> None:
    """It does not pay where it overtakes one backend without Dask, and not another."""
    sentence = dask(
        with_dask={size: 2.0 + 0.4 * size for size in (1, 10, 100)},
        serial={1: 0.41, 10: 4.1, 100: 41.0},
        pool={1: 3.5, 10: 8.0, 100: 53.0},
    )
    assert sentence == (
        f"Dask makes no difference with 100 images: {MAPPED} takes 1.02 times as long "
        f"(1.02 to 1.02) as {PLAIN}; with 1 and 10 images it does not pay."
    )


def test_dask_pays_with_every_number() -> None:
    """Where Dask is faster at every size, that is said; of a single size no more is made."""
    sentence = dask(with_dask={1: 0.5, 10: 3.0, 100: 26.0})
    assert sentence == (
        f"Dask pays at every number measured, 1 to 100 images: with 100 images, {MAPPED} takes 49% "
        f"less time (49 to 49%) than {THREADS}."
    )
    sentence = dask(with_dask={50: 10.0}, serial={50: 50.0}, pool={50: 20.0})
    assert sentence.startswith(
        f"Dask pays with 50 images, the only number measured: {MAPPED} takes 50% less time"
    )
    sentence = dask(with_dask={1: 0.5, 10: 3.0})
    assert sentence.startswith("Dask pays at every number compared, 1 to 10 images: with 10 images")
    sentence = dask(with_dask={1: 0.5})
    assert sentence.startswith("Dask pays with 1 image, the most that was timed with it: ")


def test_dask_does_not_pay() -> None:
    """Where Dask is slower at the largest size, it is said whether it is so at the others."""
    sentence = dask(with_dask={1: 3.0, 10: 12.0, 100: 102.0})
    assert sentence == (
        f"Dask does not pay at any number measured, 1 to 100 images: with 100 images, {MAPPED} takes "
        f"2.00 times as long (2.00 to 2.00) as {THREADS}."
    )
    sentence = dask(with_dask={1: 0.7, 10: 7.0, 100: 70.0})
    assert sentence.startswith("Dask does not pay with 100 images: ")
    assert sentence.endswith(f"as {THREADS}; with 1 image it pays.")


def test_whether_dask_pays_is_not_decided() -> None:
    """Where the interval reaches across, or no line fits, nothing is made up."""
    said = answered(
        by_size(SERIAL, {1: 1.0, 10: 1.0}),
        by_size(PIMS, {1: 1.0}),
        case(PIMS, "pipeline", 10, *[0.95 * noise for noise in NOISE]),
    )
    assert on_dask(said).startswith(
        f"No gain from Dask was shown: whether it pays is not decided with 10 images: {MAPPED} takes"
    )
    wild = [3.0 * noise for noise in (0.6, 1.7, 0.9, 1.4, 0.7, 1.1)]
    said = answered(
        by_size(SERIAL, {1: 1.0, 10: 2.0, 20: 2.5, 50: 3.0}),
        by_size(POOL, {1: 3.0, 10: 1.9, 20: 2.5, 50: 3.5}),
        by_size(PIMS, {1: 2.0, 10: 1.0, 20: 2.0}),
        case(PIMS, "pipeline", 50, *wild),
    )
    assert on_dask(said).endswith("; with 10 and 20 images it pays; with 1 image it does not pay.")
    for uneven in (
        dask(with_dask={1: 3.0, 10: 20.0, 100: 30.0}),
        # It crosses the line of one backend without Dask; the other has no line.
        dask(with_dask={1: 4.3, 10: 7.0, 100: 34.0}, pool={1: 1.5, 10: 14.0, 100: 51.0}),
    ):
        assert re.match(
            r"Dask pays with (10 and )?100 images, though from how many on is not known: with 100 "
            "images, ",
            uneven,
        )


def test_a_line_that_a_verdict_contradicts_names_no_number() -> None:
    """From a number on Dask pays only if it does at each larger size, and at no smaller one."""
    sizes = (1, 10, 25, 100)
    baseline = by_size(SERIAL, {size: 1.0 * size for size in sizes})
    for numbers, run in (
        # They cross at 20; at 25 there is no difference yet.
        ("100", [by_size(PIMS, {size: 2.0 + 0.9 * size for size in sizes})]),
        # They cross at 14; another backend with Dask is faster with one image.
        (
            "1, 25 and 100",
            [
                by_size(PIMS, {size: 10.0 + 0.3 * size for size in sizes}),
                by_size(IMREAD, {1: 0.5, 10: 30.0, 25: 80.0, 100: 300.0}),
            ],
        ),
        # What is faster at each of its sizes crosses nothing; Dask was slower with one image.
        ("10 and 100", [by_size(PIMS, {10: 5.0, 100: 50.0}), by_size(IMREAD, {1: 2.0})]),
        # What was faster than Dask wherever it was timed was not timed with the most.
        (
            "25 and 100",
            [
                by_size(PIMS, {size: 10.0 + 0.3 * size for size in sizes}),
                *(by_size(POOL, {1: 2.0, 10: 6.0}), failed(POOL, 25, "memory")),
            ],
        ),
    ):
        assert on_dask(answered(baseline, *run)).startswith(
            f"Dask pays with {numbers} images, though from how many on is not known: with 100 images"
        )


def test_a_backend_that_failed_later_counts_where_it_was_timed() -> None:
    """What is faster than Dask with fewer images is not forgotten where it fails with the most."""
    said = answered(
        by_size(SERIAL, {1: 1.0, 10: 10.0, 100: 100.0}),
        *(by_size(POOL, {1: 0.3, 10: 3.0}), failed(POOL, 100, "memory")),
        by_size(PIMS, {1: 0.5, 10: 5.0, 100: 40.0}),
    )
    assert on_dask(said) == (
        "Dask pays with 100 images, though from how many on is not known: with 100 images, "
        f"{MAPPED} takes 60% less time (60 to 60%) than {PLAIN}; not timed to the end there: {POOL}."
    )
    said = answered(
        by_size(SERIAL, {1: 1.0, 10: 10.0, 100: 100.0}),
        *(by_size(POOL, {1: 0.3, 10: 3.0}), failed(POOL, 100, "memory")),
        by_size(PIMS, {1: 0.5, 10: 5.0}),
        case(PIMS, "pipeline", 100, *[96.0 * noise for noise in NOISE]),
    )
    assert on_dask(said).startswith(
        "No gain from Dask was shown: whether it pays is not decided with 100 images"
    )
    assert on_dask(said).endswith(
        f"; not timed to the end there: {POOL}; with 1 and 10 images it does not pay."
    )


def test_dask_needs_blocks_in_common() -> None:
    """What Dask shares too few blocks with may be faster: then it is not decided."""
    said = answered(
        by_size(SERIAL, {1: 1.0}, blocks=9),
        case(POOL, "pipeline", 1, *[0.2] * 9)[3:],
        by_size(PIMS, {1: 0.5}, blocks=6),
    )
    assert on_dask(said) == (
        f"Whether Dask pays is not decided with 1 image, the only number measured: {MAPPED} and "
        f"{THREADS} have too few blocks in common."
    )


def test_any_backend_with_dask_may_pay() -> None:
    """That the one with the lowest median is slower says nothing of one undecided, or faster."""
    said = answered(
        by_size(SERIAL, {1: 1.0}),
        by_size(PIMS, {1: 1.2}),
        case(IMREAD, "pipeline", 1, *[1.3 * one for one in (0.6, 1.7, 0.9, 1.4, 0.7, 1.1)]),
    )
    assert on_dask(said).startswith(
        "No gain from Dask was shown: whether it pays is not decided with 1 image, the only number "
        f"measured: Dask over scikit-image on Dask's threads ({IMREAD}) takes 1.2"
    )
    # The machine is slower in the blocks of the one that is faster.
    said = answered(
        case(SERIAL, "pipeline", 1, *[1.0] * 6, *[10.0] * 6),
        by_size(PIMS, {1: 1.2}),
        case(IMREAD, "pipeline", 1, *[5.0] * 12)[6:],
    )
    assert on_dask(said).startswith("Dask pays with 1 image, the only number measured: ")
    assert f"({IMREAD}) takes 50% less time" in on_dask(said)


CV = "skimage/opencv/serial"


def test_other_functions_are_told_of_apart() -> None:
    """Dask over scikit-image has to beat scikit-image; OpenCV may be faster still, Dask or not."""
    sizes = (1, 10)
    run = [
        by_size(backend, {size: seconds * size for size in sizes})
        for backend, seconds in ((SERIAL, 1.0), (POOL, 0.8), (PIMS, 0.4), (CV, 0.1))
    ]
    assert on_dask(answered(*run)) == (
        f"Dask pays at every number measured, 1 to 10 images: with 10 images, {MAPPED} takes 50% "
        f"less time (50 to 50%) than {THREADS}; OpenCV one image after the other ({CV}) is faster "
        "still: it takes 75% less time (75 to 75%)."
    )
    said = answered(*run, by_size("dask-image/opencv/threads", dict.fromkeys(sizes, 5.0)))
    first, second = (one for one in said if one.startswith("Dask "))
    assert first.startswith("Dask pays at every number")
    assert second.startswith("Dask does not pay over OpenCV's functions at any number measured")
    assert second.endswith(f"as OpenCV one image after the other ({CV}).")
    only = answered(by_size(SERIAL, {1: 1.0}), by_size("dask-image/opencv/threads", {1: 0.1}))
    assert on_dask(only) == (
        "Whether Dask pays is not known: no backend with it was compared with one that does the "
        "same work without."
    )


def test_several_workers_against_one_are_no_proof_of_dask() -> None:
    """Where nothing without Dask had several workers, it is said that a pool was not measured."""
    words = "; whether Dask or a plain pool of threads does it was not measured."
    cases = by_size(SERIAL, {1: 1.0}), by_size(PIMS, {1: 0.5})
    assert on_dask(answered(*cases)).endswith(words)
    assert words not in on_dask(answered(*cases, by_size(POOL, {1: 0.8})))
    alone = by_size("dask-array-pims/dask-blocks/synchronous", {1: 0.5})
    assert words not in on_dask(answered(cases[0], alone))


def test_opening_tells_nothing_of_dask() -> None:
    """Of a phase that decodes nothing no verdict on Dask is made; one on reading says that it is."""
    for phase, words in (
        ("open", "Opening alone does not tell whether Dask pays."),
        ("read", "Dask does not pay for reading with 1 image, the only number measured: "),
        ("process", "Dask does not pay for processing with 1 image, the only number measured: "),
        ("pipeline", "Dask does not pay with 1 image, the only number measured: "),
    ):
        said = answered(case(SERIAL, phase, 1, *[1.0] * 6), case(PIMS, phase, 1, *[2.0] * 6))
        assert [one for one in said if one.startswith(words)]
        assert sum("Dask pays" in one or "Dask does not pay" in one for one in said) == 1


def test_dask_was_not_measured() -> None:
    """Without a backend with Dask, or without one that can be compared, that is what is said."""
    said = answered(by_size(SERIAL, {1: 1.0}), by_size(POOL, {1: 0.5}))
    assert on_dask(said) == "Whether Dask pays was not measured: no backend with it was."
    said = answered(
        by_size(SERIAL, {1: 1.0}), by_size(POOL, {1: 0.5}), by_size(DASK, {1: 1.0}, blocks=4)
    )
    assert on_dask(said).startswith("Whether Dask pays is not known: no backend with it was")


# Where nothing can be said.


def test_nothing_can_be_said() -> None:
    """An answer says why there is none: no times, nothing to compare, or too few blocks."""
    error = [sample(SERIAL, "read", 1, status="error", cause="x")]
    assert answered(error) == (
        "Nothing can be said: no backend was timed to the end.",
        f"Not ranked: {SERIAL} (error).",
    )
    assert answered(case(SERIAL, "read", 1, *[1.0] * 6)) == (
        f"Nothing can be said: only {SERIAL} was timed to the end.",
    )
    few = answered(case(SERIAL, "read", 1, *[1.0] * 4), case(POOL, "read", 1, *[0.5] * 4))
    assert few == (
        f"Nothing is ranked yet: that takes 5 blocks or more beside {SERIAL}, and there are fewer.",
    )
    wrong = sample(SERIAL, "read", 2, status="wrong-result", cause="other pixels")
    assert answered(case(POOL, "read", 1, *[0.5] * 6), [wrong]) == (
        f"Nothing can be said: only {POOL} was timed to the end.",
        f"Not ranked: {SERIAL} (wrong-result).",
    )


def test_unpaired_samples_name_no_winner() -> None:
    """Of ASV and pytest-benchmark the medians are told, and that they are no ranking."""
    said = answered(
        by_size(SERIAL, {1: 1.0}),
        by_size(POOL, {1: 0.5}),
        [sample(DASK, "pipeline", 1, status="wrong-result", cause="x")],
        paired=False,
        kind="asv",
        dataset={},
        machine={},
    )
    assert said[0].startswith("Which backend is the fastest, and whether Dask pays, can't be said")
    assert "(asv)" in said[0]
    assert said[1] == (
        "For 1 image from files to a table of cells, the medians are from 500 ms "
        f"({POOL}) to 1.00 s ({SERIAL}): no ranking."
    )
    assert said[2] == f"Not ranked: {DASK} (wrong-result)."


MIXED = st.lists(
    st.builds(
        sample,
        st.sampled_from([SERIAL, POOL, DASK, PIMS, CV]),
        st.sampled_from(["read", "pipeline"]),
        st.sampled_from([1, 20, 50]),
        st.integers(1, 7),
        seconds=st.floats(1e-3, 1e2),
        status=st.sampled_from(["ok"] * 30 + ["timeout", "memory", "wrong-result"]),
        cause=st.just("cause"),
    ),
    max_size=150,
)


# Every case has six blocks; the baseline fails with the most images.
FAILING = [
    *(one for name in (SERIAL, POOL, DASK, PIMS, CV) for one in by_size(name, {1: 1.0, 20: 1.0})),
    sample(SERIAL, "pipeline", 20, status="memory", cause="why"),
]


@settings(max_examples=60, deadline=None)
@given(samples=MIXED)
@example(samples=FAILING)
def test_no_answer_ranks_what_is_wrong(samples: list[Sample]) -> None:
    """Whatever was sampled, a backend that was wrong anywhere is named only among those left out."""
    said = answered(samples)
    assert said
    wrong = {
        f"{one.reader}/{one.processor}/{one.scheduler}"
        for one in samples
        if one.status == "wrong-result"
    }
    for sentence in said:
        if not sentence.startswith(
            ("Not ranked: ", "Nothing is ranked: ", "Nothing can be said: ")
        ):
            assert not [backend for backend in wrong if backend in sentence]


LEVELS = st.lists(st.floats(0.5, 2.0), min_size=4, max_size=4)


@settings(max_examples=60, deadline=None)
@given(levels=LEVELS, noise=st.floats(0.0, 0.2), seed=st.integers(0, 1000))
def test_verdicts_of_pairs_agree(levels: list[float], noise: float, seed: int) -> None:
    """A pair says the same from both sides, what the tables say of it, and no circle of "faster"."""
    rng = np.random.default_rng(seed)
    sizes = (1, 20)
    source = make_source(
        *(
            case(backend, "pipeline", size, *(one * np.exp(noise * rng.standard_normal(8))))
            for backend, one in zip((SERIAL, POOL, DASK, PIMS), levels, strict=True)
            for size in sizes
        )
    )
    summary = summarize(source)
    found = pairs_of(source, summary, "pipeline").found
    assert len(found) == 2 * 6 * 2
    told = {(row["backend"], row["n_images"]): row["verdict"] for _, row in summary.iterrows()}
    ranks = {
        (row["backend"], row["n_images"]): row["ratio_median"] for _, row in summary.iterrows()
    }
    for (one, other, size), pair in found.items():
        assert pair.turned().verdict == found[other, one, size].verdict
        if other == SERIAL:
            assert pair.verdict == told[one, size]
        if pair.verdict == "faster":
            assert ranks[one, size] < ranks[other, size]
            assert not (told[other, size] == "faster" != told[one, size])
            assert not (told[one, size] == "slower" != told[other, size])


# The command.


def described() -> dict[str, Any]:
    """Settings as a run of today has them."""
    return {
        "sizes": [1, 20],
        "sizes_left_out": [50],
        "phases": ["open", "pipeline"],
        "backends": [SERIAL, DASK],
        "params": {
            "block_size": 51,
            "method": "gaussian",
            "offset": 0.0,
            "foreground": "dark",
            "min_area": 1,
        },
        "precision": 0.03,
        "blocks": 40,
        "case_seconds": 8.0,
        "time_limit": 60.0,
        "memory_limit": 18.45,
        "workers": 2,
        "native_threads": True,
        "cache": "cold",
        "seed": 7,
        "command": "segbench run --quick",
    }


def test_the_command_has_every_setting() -> None:
    """The command names what was asked for and what was a default, so that both are the same again."""
    origin = {"images": None, "made": "tissue", "shape": [64, 96], "seed": 7}
    source = make_source(
        versions={
            "python": "3.11.7",
            "segbench": "0.1.0",
            "dask": "2024.8.0",
            "commit": "1a2b3c4d",
        },
        settings=described(),
        dataset={"origin": origin},
    )
    assert reproduce.commands(source) == (
        "git checkout 1a2b3c4d",
        "pip install . dask==2024.8.0",
        (
            f"segbench run --dataset tissue --shape 64x96 --sizes 1,20,50 --phases open,pipeline "
            f"--backends {SERIAL},{DASK} --precision 0.03 --blocks 40 --case-seconds 8.0 --time-limit "
            "60.0 --memory-limit 18.45 --workers 2 --seed 7 --native-threads --cache cold --block-size "
            "51 --method gaussian --offset 0.0 --foreground dark --min-area 1"
        ),
    )


def test_the_command_line_takes_the_command() -> None:
    """Each option of the command is one of `segbench run`, which takes its value."""
    origin = {"images": "/my images/$(x)*.jpg"}
    source = make_source(settings=described(), dataset={"origin": origin})
    program, name, *words = shlex.split(reproduce.commands(source)[-1])
    assert program == "segbench"
    context = main.make_context("segbench", [name])
    command = main.get_command(context, name)
    assert command
    taken = command.make_context(name, list(words), parent=context).params
    assert taken["images"] == "/my images/$(x)*.jpg"
    assert (taken["sizes"], taken["backends"]) == ("1,20,50", f"{SERIAL},{DASK}")
    assert (taken["workers"], taken["memory_limit"], taken["seed"]) == (2, 18.45, 7)
    assert (taken["native_threads"], taken["cache"], taken["case_seconds"]) == (True, "cold", 8.0)
    options = {parameter.name for parameter in command.params} - {"quick", "out", "resume"}
    named = {word.removeprefix("--").replace("-", "_") for word in words if word.startswith("--")}
    assert options - named == {"dataset", "shape"}


def test_commands_are_quoted() -> None:
    """Names and versions of a file that was tampered with are no words of their own, nor options."""
    source = make_source(
        versions={"dask": "1; rm x", "--index-url": "1.0", "x y": "1", "commit": "HEAD; ls"},
        settings={**described(), "method": ["x"], "params": {"method": "a; b", "offset": [1]}},
        dataset={"origin": {"images": "a'; touch b #\n"}},
    )
    (line,) = reproduce.commands(source)
    words = shlex.split(line)
    assert words[:4] == ["segbench", "run", "--images", "a'; touch b #\n"]
    assert words[-2:] == ["--method", "a; b"]


def test_commands_of_other_sources() -> None:
    """ASV and pytest-benchmark have their own; a run that says too little has what was typed."""
    asv = make_source(kind="asv", versions={"commit": "1a2b3c4d", "python": "3.11"})
    assert reproduce.commands(asv) == ("asv run '1a2b3c4d^!'",)
    quick = make_source(kind="pytest-benchmark", name="my times.json", versions={})
    assert reproduce.commands(quick) == (
        "pytest tests/benchmarks --benchmark-enable --benchmark-json 'my times.json'",
    )
    typed = make_source(versions={}, settings={"command": "segbench run --images '*.jpg'"})
    assert reproduce.commands(typed) == ("segbench run --images '*.jpg'",)
    dirty = make_source(versions={"commit": "1a2b3c4d-dirty"}, settings=typed.settings)
    assert reproduce.commands(dirty)[:2] == (
        "git checkout 1a2b3c4d",
        "# segbench itself had changes that are in no commit",
    )
    for settings_ in ({}, {"command": 7}, {"command": "an 'open quotation"}):
        assert reproduce.commands(make_source(settings=settings_)) == ()


def test_the_method_has_a_link() -> None:
    """The link leads to the document, in the project that asv.conf.json names."""
    project = json.loads((ROOT / "asv.conf.json").read_text())["project_url"]
    address, _, path = reproduce.METHOD_LINK.partition("/blob/HEAD/")
    assert address == project
    assert (ROOT / path).is_file()
