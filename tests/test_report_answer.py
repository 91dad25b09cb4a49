"""What a report says first, the presentation replicated, and how each number can be traced."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from segbench.backends.interface import Description
from segbench.report import summary as summary_of
from segbench.report.answer import (
    DASK_NOT_KNOWN,
    MORE_BLOCKS,
    MOST_NAMED,
    NOTHING_RANKED,
    RANGES,
    Answer,
    answer,
)
from segbench.report.pairs import Pairs, pairs_of
from segbench.stats import paired_ratio, verdicts
from tests.made_up import (
    DASK,
    IMREAD,
    NOISE,
    PIMS,
    POOL,
    SERIAL,
    case,
    make_source,
    mixtures,
    sample,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segbench.results.records import Sample

CV = "skimage/opencv/serial"
CV_DASK = "dask-image/opencv/threads"

WORDS = {
    SERIAL: "scikit-image, one image after the other",
    POOL: "scikit-image in a thread pool",
    DASK: "dask-image on Dask's threads",
    PIMS: "Dask over scikit-image",
    IMREAD: "Dask over scikit-image",
    CV: "OpenCV",
    CV_DASK: "Dask over OpenCV",
}
DESCRIBED = {
    backend: Description(
        words=words, libraries=(), work="OpenCV" if "opencv" in backend else "scikit-image"
    )
    for backend, words in WORDS.items()
}

# Six times around 1 that no comparison decides, and the same further apart.
SWING = (1.0, 0.8, 1.2, 1.1, 0.9, 1.0)
WILD = (0.6, 1.7, 0.9, 1.4, 0.7, 1.1)


def named(backend: str) -> str:
    """A backend as sentences have it."""
    return f"{WORDS[backend]} ({backend})"


def answered(*cases: Sequence[Sample], **other: Any) -> Answer:
    """The answer of some cases."""
    source = make_source(*cases, **{"backends": DESCRIBED, **other})
    return answer(source, summary_of.summarize(source))


def by_size(backend: str, seconds: dict[int, float], blocks: int = 6) -> list[Sample]:
    """The pipeline's samples of a backend, without noise."""
    return [
        one
        for size, value in seconds.items()
        for one in case(backend, "pipeline", size, *[value] * blocks)
    ]


def noisy(backend: str, size: int, seconds: float, swing: Sequence[float] = NOISE) -> list[Sample]:
    """The pipeline's samples of a backend at a size, with noise."""
    return case(backend, "pipeline", size, *[seconds * one for one in swing])


def failed(backend: str, size: int, status: str = "memory") -> list[Sample]:
    """A backend's sample of the pipeline that ended so."""
    return [sample(backend, "pipeline", size, status=status, cause="why")]


def level(least: float, most: float) -> list[float]:
    """Times beside a second for which p lies between two values."""
    return next(
        times
        for one in np.linspace(0.5, 0.9, 400)
        if least
        < paired_ratio(times := [float(one) * noise for noise in NOISE], [1.0] * 6).p
        < most
    )


# One snapshot an outcome.


def test_the_answer_as_it_is_read() -> None:
    """Whether Dask pays comes first, then the fastest with what others take, then what holds for both."""
    said = answered(
        by_size(SERIAL, {20: 1.0}), by_size(POOL, {20: 0.5}), by_size(DASK, {20: 4.0}),
        by_size(IMREAD, {20: 0.51}), noisy(PIMS, 20, 0.5),
    )  # fmt: skip
    assert said.sentences == (
        (
            f"Whether Dask pays with 20 images is not decided: {named(PIMS)} takes 1.02 times as long "
            f"(0.92 to 1.11) as {named(POOL)}."
        ),
        (
            "For 20 images of 8 × 9 pixels from files to a table of cells on this machine (2 CPUs, "
            f"Abacus 3000), among the fastest is {named(POOL)}: 500 ms."
        ),
        f"It takes 50% less time (50 to 50%) than {named(SERIAL)}.",
        f"As fast, to within 5%: {IMREAD} takes 1.02 times as long (1.02 to 1.02).",
        (f"Not decided whether faster or slower: {PIMS} takes 1.02 times as long (0.92 to 1.11)."),
        f"Slower: {DASK} takes 8.00 times as long (8.00 to 8.00).",
        f"{RANGES} {MORE_BLOCKS}",
    )


PLAIN = {1: 1.0, 10: 10.0, 100: 100.0}
POOLED = {1: 1.5, 10: 6.0, 100: 51.0}


@pytest.mark.parametrize(
    ("with_dask", "most", "than", "fewer"),
    [
        ({1: 0.5, 10: 3.0, 100: 26.0}, "Dask pays with 100 images", "49% less time (49 to 49%) than",
         "The same holds with 1 and 10 images."),
        ({1: 3.0, 10: 20.0, 100: 30.0}, "Dask pays with 100 images", "41% less time (41 to 41%) than",
         "With 1 and 10 images it does not pay."),
        ({1: 0.7, 10: 7.0, 100: 70.0}, "Dask does not pay with 100 images",
         "1.37 times as long (1.37 to 1.37) as", "The same holds with 10 images. With 1 image it pays."),
        ({1: 2.0, 10: 5.0, 100: 52.0}, "Dask makes no difference with 100 images",
         "1.02 times as long (1.02 to 1.02) as", "With 1 image it does not pay. With 10 images it pays."),
        # Of those with which both sides were timed the most count.
        ({1: 0.5, 10: 3.0}, "Dask pays with 10 images", "50% less time (50 to 50%) than",
         "The same holds with 1 image."),
    ],
)  # fmt: skip
def test_whether_dask_pays(with_dask: dict[int, float], most: str, than: str, fewer: str) -> None:
    """The verdict with the most images has a sentence, and so has what holds with fewer."""
    said = answered(by_size(SERIAL, PLAIN), by_size(POOL, POOLED), by_size(PIMS, with_dask))
    assert said.on_dask == (f"{most}: {named(PIMS)} takes {than} {named(POOL)}. {fewer}",)


@pytest.mark.parametrize(
    ("ten", "start", "end"),
    [
        (by_size(PIMS, {10: 2.0}), "Dask pays", "With 1 image whether it pays is not decided."),
        (noisy(PIMS, 10, 10.0), "Whether Dask pays with 10 images is not", "holds with 1 image."),
    ],
)
def test_undecided_with_fewer_images(ten: list[Sample], start: str, end: str) -> None:
    """Where one number of images decides and another does not, both are told."""
    (said,) = answered(by_size(SERIAL, {1: 1.0, 10: 10.0}), ten, noisy(PIMS, 1, 1.0)).on_dask
    assert said.startswith(start)
    assert said.endswith(end)


@pytest.mark.parametrize(
    ("cases", "failures"),
    [
        ([failed(SERIAL, 1)], f"Not ranked: {SERIAL} (memory)."),
        ([by_size(SERIAL, {1: 1.0})], ""),
        (
            [by_size(POOL, {1: 1.0}), failed(SERIAL, 2, "wrong-result")],
            f"Not ranked: {SERIAL} (wrong-result).",
        ),
        ([by_size(SERIAL, {1: 1.0}, 4), by_size(POOL, {1: 0.5}, 4)], ""),
    ],
    ids=["no times", "one backend", "no baseline", "few blocks"],
)
def test_nothing_to_compare(cases: list[list[Sample]], failures: str) -> None:
    """Without two backends and blocks enough the answer says what it takes, and what failed."""
    said = answered(*cases)
    assert said.ranking == (NOTHING_RANKED,)
    assert (said.on_dask, said.notes) == ((), (failures,) if failures else ())


def test_dask_may_pay_where_nothing_is_ranked() -> None:
    """Without the baseline there is no ranking, but Dask is compared with others without it."""
    said = answered(
        by_size(SERIAL, {20: 1.0}), failed(SERIAL, 20), by_size(POOL, {20: 1.0}), by_size(PIMS, {20: 0.5})
    )  # fmt: skip
    assert said.sentences == (
        f"Dask pays with 20 images: {named(PIMS)} takes 50% less time (50 to 50%) than {named(POOL)}.",
        NOTHING_RANKED,
        RANGES,
        f"Not ranked: {SERIAL} (memory).",
    )


def test_unpaired_samples_name_no_winner() -> None:
    """Of ASV and pytest-benchmark nothing is ranked, and what was wrong is named."""
    cases = by_size(SERIAL, {1: 1.0}), by_size(POOL, {1: 0.5}), failed(DASK, 1, "wrong-result")
    said = answered(*cases, paired=False, kind="asv")
    (sentence,) = said.ranking
    assert re.match(
        r"Which backend is the fastest, and whether Dask pays, can't be said .*\(asv\)", sentence
    )
    assert POOL not in sentence
    assert (said.on_dask, said.notes) == ((), (f"Not ranked: {DASK} (wrong-result).",))


# The fastest.


@pytest.mark.parametrize(
    ("pool", "dask", "words", "best"),
    [
        ([0.5] * 6, [4.0] * 6, "the fastest is", POOL),
        ([2.0] * 6, [4.0] * 6, "the fastest is", SERIAL),
        ([0.5] * 6, [0.5] * 6, "among the fastest is", POOL),
        ([1.0, 1.001] * 3, [4.0] * 6, "none was shown to be faster than", SERIAL),
        (NOISE, [4.0] * 6, "none was shown to be faster than", SERIAL),
        # Too little is known of one that may be faster by far.
        ([0.5] * 6, [0.1] * 4, "among the fastest is", POOL),
        ([2.0] * 6, [0.1] * 3, "none was shown to be faster than", SERIAL),
    ],
)
def test_the_fastest(pool: Sequence[float], dask: Sequence[float], words: str, best: str) -> None:
    """One is called the fastest where all others are slower for certain; otherwise they are named."""
    cases = [case(one, "pipeline", 1, *times) for one, times in ((POOL, pool), (DASK, dask))]
    first, *others = answered(by_size(SERIAL, {1: 1.0}), *cases).ranking
    assert f", {words} {named(best)}: " in first
    told = " ".join(others)
    assert all(one in told or one == best for one in (POOL, DASK))
    assert (f"than {named(SERIAL)}" in told) == (best == POOL)
    assert told.count(SERIAL) == (best == POOL)


def test_others_are_compared_within_blocks() -> None:
    """What may be as fast is told by the ratios within blocks, not by those to the baseline."""
    said = answered(
        by_size(SERIAL, {1: 1.0}),
        noisy(POOL, 1, 0.100, SWING), noisy(DASK, 1, 0.100, SWING[::-1]),
        noisy(PIMS, 1, 0.110, SWING), noisy(IMREAD, 1, 0.101, SWING),
    ).ranking  # fmt: skip
    told = {one.partition(":")[0]: one for one in said[2:]}
    assert f"{IMREAD} takes 1.01 times as long (1.01 to 1.01)" in told["As fast, to within 5%"]
    assert f"{DASK} takes 1.00 times" in told["Not decided whether faster or slower"]
    assert f"{PIMS} takes 1.10 times" in told["Slower"]


def test_none_is_called_faster_than_the_fastest() -> None:
    """Medians may be in another order than the blocks say: then neither is known to be faster."""
    slow, fast = 0.9, 0.5
    first, *_, last = answered(
        case(SERIAL, "pipeline", 1, *[1.0] * 40),
        case(POOL, "pipeline", 1, *[fast, slow] * 20),
        case(DASK, "pipeline", 1, *[0.9 * slow, 0.9 * slow, *[0.9 * fast, 0.9 * slow] * 19]),
    ).ranking
    assert f"among the fastest is {named(POOL)}" in first
    assert last.startswith(f"Not decided whether faster or slower: {DASK} takes 0.90 times")


def test_nothing_in_common_with_the_fastest() -> None:
    """Two backends that were never timed in one block are not told apart."""
    *_, last = answered(
        case(SERIAL, "read", 1, *[1.0] * 10),
        case(POOL, "read", 1, *[0.5] * 5),
        case(DASK, "read", 1, *[0.9] * 10)[5:],
    ).ranking
    assert last == f"Not decided whether faster or slower: {DASK} has too few blocks in common."


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.8, "takes 20% less time (20 to 20%) than"),
        (0.02, "takes 0.02 times as long (0.02 to 0.02) as"),
    ],
)
def test_shares_are_told_where_they_can_be_read(seconds: float, words: str) -> None:
    """Time that is saved is a share; where next to nothing is left, a multiple says more."""
    said = answered(by_size(SERIAL, {1: 1.0}), by_size(POOL, {1: seconds}))
    assert said.ranking[1] == f"It {words} {named(SERIAL)}."


def test_more_blocks_are_asked_for_where_something_is_open() -> None:
    """Where every difference is decided, nothing is said of more blocks."""
    cases = by_size(SERIAL, {1: 1.0}), by_size(POOL, {1: 0.5})
    assert answered(*cases, by_size(DASK, {1: 1.0})).notes == (RANGES,)
    assert MORE_BLOCKS in answered(*cases, noisy(DASK, 1, 0.5)).notes[0]


def test_only_so_many_are_named() -> None:
    """A sentence names six backends at the most, and how many more there are."""
    for seconds in (1.0, 2.0):
        many = [by_size(f"a/b/{number}", {1: seconds}) for number in range(MOST_NAMED + 2)]
        told = answered(by_size(SERIAL, {1: 1.0}), *many).ranking[-1]
        assert told.count("a/b/") == MOST_NAMED
        assert told.endswith(", and 2 more.")


@pytest.mark.parametrize(
    ("phases", "question"),
    [
        (["open", "read", "process", "pipeline"], "from files to a table of cells"),
        (["open", "read", "process"], "from pixels in memory to a table of cells"),
        (["open", "read"], "from files to pixels in memory"),
        (["open"], "from files to a handle on them"),
    ],
)
def test_the_answer_is_about_the_pipeline(phases: list[str], question: str) -> None:
    """Where several phases were measured the pipeline counts; without it, process, then read."""
    said = answered(
        *(case(SERIAL, phase, 1, *[1.0] * 6) for phase in phases),
        *(case(PIMS, phase, 1, *[2.0] * 6) for phase in phases),
    )
    assert question in said.ranking[0]
    told = {"process": "for processing ", "read": "for reading ", "pipeline": ""}
    if phases == ["open"]:
        assert said.on_dask == (DASK_NOT_KNOWN,)
    else:
        assert said.on_dask[0].startswith(f"Dask does not pay {told[phases[-1]]}with 1 image: ")
    # Words say what is done with pixels: of what reads them the name does.
    assert (WORDS[SERIAL] in said.ranking[0]) == (phases[-1] in ("process", "pipeline"))


# What failed, and what was measured of more images.


@pytest.mark.parametrize(
    "status", ["wrong-result", "timeout", "memory", "crashed", "error", "unavailable"]
)
def test_nothing_is_named_that_failed(status: str) -> None:
    """A fast backend whose result was wrong, that timed out or crashed is no winner anywhere."""
    said = answered(
        by_size(SERIAL, {1: 1.0, 20: 1.0}), by_size(POOL, {1: 0.5, 20: 0.5}),
        by_size(IMREAD, {1: 2.0, 20: 2.0}), by_size(DASK, {1: 0.001}), failed(DASK, 20, status),
    )  # fmt: skip
    *others, last = said.sentences
    where = "" if status == "wrong-result" else " with 20 images"
    assert last == f"Not ranked: {DASK} ({status}{where})."
    assert f"the fastest is {named(POOL)}" in said.ranking[0]
    assert not [one for one in others if DASK in one]
    assert ("With 1 image it pays." in said.on_dask[0]) == (status != "wrong-result")


def test_more_images_than_are_ranked() -> None:
    """Sizes at which nothing is ranked are told, and of each failure with how many images it was."""
    said = answered(
        *(by_size(backend, {1: seconds}) for backend, seconds in ((SERIAL, 1.0), (PIMS, 2.0))),
        by_size(POOL, {1: 1.0, 20: 9.0, 50: 20.0}),
        *(failed(SERIAL, size) for size in (20, 50, 200)), failed(PIMS, 20),
        failed(POOL, 200, "timeout"), failed(DASK, 20, "wrong-result"),
    )  # fmt: skip
    assert "For 1 image of" in said.ranking[0]
    assert said.ranking[-1] == "With 20 and 50 images nothing is ranked."
    named = (
        f"{SERIAL} (memory with 20, 50 and 200 images)",
        f"{POOL} (timeout with 200 images)",
        f"{PIMS} (memory with 20 images)",
        # What was wrong is so at any size.
        f"{DASK} (wrong-result)",
    )
    assert all(one in said.notes[-1] for one in named)


def test_a_size_with_too_few_blocks_is_not_ranked() -> None:
    """A size that has too few blocks for an interval leaves the answer to the next smaller one."""
    few = by_size(POOL, {20: 0.5}, 4)
    said = answered(by_size(SERIAL, {1: 1.0, 20: 1.0}), by_size(POOL, {1: 0.5}), few)
    assert said.ranking[0].startswith("For 1 image of")
    assert said.ranking[-1] == "With 20 images nothing is ranked."


def test_blocks_of_a_baseline_that_failed_later_do_not_count() -> None:
    """Blocks of a baseline that failed are no ground for a ratio; smaller sizes keep theirs."""
    cases = by_size(SERIAL, {1: 1.0, 20: 1.0}), failed(SERIAL, 20), by_size(POOL, {1: 1.5, 20: 1.5})
    assert answered(*cases).ranking[0].startswith("For 1 image of")


# Whether Dask pays.


def test_dask_has_to_beat_every_backend_without() -> None:
    """It does not pay where it overtakes one backend without Dask, and not another."""
    said = answered(
        by_size(SERIAL, {1: 0.41, 10: 4.1, 100: 41.0}), by_size(POOL, {1: 3.5, 10: 8.0, 100: 53.0}),
        by_size(PIMS, {size: 2.0 + 0.4 * size for size in (1, 10, 100)}),
    ).on_dask[0]  # fmt: skip
    assert said.startswith("Dask makes no difference with 100 images: ")
    assert f"as {named(SERIAL)}." in said


@pytest.mark.parametrize(
    ("last", "words"), [(by_size(PIMS, {100: 40.0}), "Dask pays"), (noisy(PIMS, 100, 96.0), "Whether")]
)  # fmt: skip
def test_a_rival_that_failed_later_counts_where_it_was_timed(
    last: list[Sample], words: str
) -> None:
    """What is faster than Dask with fewer images is not forgotten where it fails with the most."""
    rivals = by_size(SERIAL, PLAIN), by_size(POOL, {1: 0.3, 10: 3.0}), failed(POOL, 100)
    said = answered(*rivals, by_size(PIMS, {1: 0.5, 10: 5.0}), last)
    assert said.on_dask[0].startswith(f"{words} ")
    assert said.on_dask[0].endswith(" With 1 and 10 images it does not pay.")
    assert said.notes[-1] == f"Not ranked: {POOL} (memory with 100 images)."


def test_dask_needs_blocks_in_common() -> None:
    """What Dask shares too few blocks with may be faster: then it is not decided."""
    pool = case(POOL, "pipeline", 1, *[0.2] * 9)[3:]
    (said,) = answered(by_size(SERIAL, {1: 1.0}, 9), pool, by_size(PIMS, {1: 0.5}, 6)).on_dask
    assert said.startswith("Whether Dask pays with 1 image is not decided: ")
    assert said.endswith(f"{named(PIMS)} has too few blocks in common with {named(POOL)}.")


def test_any_backend_with_dask_may_pay() -> None:
    """That the one with the lowest median is slower says nothing of one undecided, or faster."""
    cases = by_size(SERIAL, {1: 1.0}), by_size(PIMS, {1: 1.2}), noisy(IMREAD, 1, 1.3, WILD)
    (said,) = answered(*cases).on_dask
    assert said.startswith(
        f"Whether Dask pays with 1 image is not decided: {named(IMREAD)} takes 1.2"
    )
    # The machine is slower in the blocks of the one that is faster.
    (said,) = answered(
        case(SERIAL, "pipeline", 1, *[1.0] * 6, *[10.0] * 6),
        by_size(PIMS, {1: 1.2}),
        case(IMREAD, "pipeline", 1, *[5.0] * 12)[6:],
    ).on_dask
    assert said.startswith(f"Dask pays with 1 image: {named(IMREAD)} takes 50% less time")


def test_like_is_compared_with_like() -> None:
    """Dask over scikit-image has to beat scikit-image, not OpenCV; Dask over OpenCV has to."""
    both = answered(
        *(
            by_size(backend, {size: seconds * size for size in (1, 10)})
            for backend, seconds in ((SERIAL, 1.0), (POOL, 0.8), (PIMS, 0.4), (CV, 0.1))
        ),
        by_size(CV_DASK, {1: 5.0, 10: 5.0}),
    ).on_dask
    assert [one.partition(" with ")[0] for one in both] == [
        "Dask pays", "Dask over OpenCV does not pay",
    ]  # fmt: skip
    assert f"as {named(CV)}." in both[1]
    # What reads gives the same pixels, whatever would process them.
    (said,) = answered(*(case(one, "read", 1, *[2.0] * 6) for one in (SERIAL, CV_DASK))).on_dask
    assert said.startswith("Dask makes no difference for reading with 1 image: ")


def test_backends_that_are_not_described() -> None:
    """A backend of which nothing is known has its names, and does the work of its processor."""
    plugin, threads = "skimage/turbo/serial", "skimage/turbo/threads"
    cases = by_size(SERIAL, {1: 1.0}), by_size(plugin, {1: 0.5}), by_size(threads, {1: 0.1})
    said = answered(*cases)
    assert f"the fastest is {threads}: " in said.ranking[0]
    assert said.on_dask[0].startswith(f"Dask over turbo pays with 1 image: {threads} takes 80%")


@pytest.mark.parametrize(
    "dask", [[], by_size(DASK, {1: 1.0}, blocks=4), by_size(CV_DASK, {1: 0.1})]
)
def test_dask_was_not_compared(dask: list[Sample]) -> None:
    """Without a backend with Dask, blocks enough, or another of the same work that is what is said."""
    said = answered(by_size(SERIAL, {1: 1.0}), by_size(POOL, {1: 0.5}), dask)
    assert said.on_dask == (DASK_NOT_KNOWN,)


# Pairs.


def pairs_between(*cases: Sequence[Sample]) -> Pairs:
    """The pairs of backends of the pipeline in some cases."""
    source = make_source(*cases)
    return pairs_of(source, summary_of.summarize(source), "pipeline")


def test_all_pairs_are_one_family() -> None:
    """Who looks at 153 pairs of backends finds a difference by chance more often than in one."""
    found = pairs_between(
        by_size(SERIAL, {1: 3.0}),
        case(PIMS, "pipeline", 1, *level(0.05 / 8, 0.0095)),
        # One differs from seventeen that are alike: a ninth of all pairs.
        *(by_size(f"a/b/{number}", {1: 1.0}) for number in range(17)),
    )
    pair = found[PIMS, "a/b/0", 1]
    assert verdicts([pair.ratio]) == ["faster"]
    assert pair.verdict == "undecided"
    assert found[PIMS, SERIAL, 1].verdict == "faster"


def test_a_pair_with_the_baseline_has_the_verdict_of_the_tables() -> None:
    """What the tables leave undecided for all comparisons of the run, Dask's sentence does, too."""
    # Significant by itself, and not among eight comparisons; it is the only one that may pay.
    said = answered(
        by_size(SERIAL, {1: 1.0}),
        case(PIMS, "pipeline", 1, *level(0.05 / 8, 0.0095)),
        *(by_size(f"a{number}/dask-blocks/threads", {1: 1.0}) for number in range(7)),
    )
    assert f"none was shown to be faster than {named(SERIAL)}" in said.ranking[0]
    assert said.on_dask[0].startswith("Whether Dask pays with 1 image is not decided")


def test_the_baseline_stays_slower_than_what_was_shown_to_be_faster() -> None:
    """What the verdicts of the run decided is not undecided again among the others."""
    times = level(0.05 / 8, 0.0095)
    others = [by_size(f"a/b/{number}", {1: 1.03 * times[0]}) for number in range(7)]
    first, second, *rest = answered(
        by_size(SERIAL, {1: 1.0}), case(POOL, "pipeline", 1, *times), *others
    ).ranking
    assert "among the fastest is" in first
    assert "less time" in second
    assert SERIAL not in " ".join(rest)


def test_no_pair_says_more_than_the_tables() -> None:
    """What no verdict beside the baseline says of two backends, none of the two together says."""
    wild = np.array(WILD * 2)
    found = pairs_between(
        by_size(SERIAL, {1: 1.0}, blocks=12),
        case(POOL, "pipeline", 1, *(0.5 * wild)),
        case(DASK, "pipeline", 1, *(0.9 * 0.5 * wild[:5])),
        case(PIMS, "pipeline", 1, *(wild / 0.5)),
        case(IMREAD, "pipeline", 1, *(wild[:5] / 0.5 / 0.9)),
    )
    said = {(one, other): pair.verdict for (one, other, _), pair in found.items()}
    assert [said[one, SERIAL] for one in (POOL, PIMS)] == ["faster", "slower"]
    assert [said[one, SERIAL] for one in (DASK, IMREAD)] == ["undecided"] * 2
    # To be faster than what is faster than the baseline is to be faster than the baseline.
    for one, other in ((DASK, POOL), (PIMS, IMREAD)):
        assert verdicts([found[one, other, 1].ratio]) == ["faster"]
        assert said[one, other] == said[other, one] == "undecided"
    assert (said[POOL, PIMS], said[PIMS, POOL]) == ("faster", "slower")


LEVELS = st.lists(st.floats(0.5, 2.0), min_size=4, max_size=4)


@settings(max_examples=60, deadline=None)
@given(levels=LEVELS, noise=st.floats(0.0, 0.2), seed=st.integers(0, 1000))
def test_verdicts_of_pairs_agree(levels: list[float], noise: float, seed: int) -> None:
    """A pair says the same from both sides, what the tables say of it, and no circle of "faster"."""
    rng = np.random.default_rng(seed)
    source = make_source(
        *(
            case(backend, "pipeline", size, *(one * np.exp(noise * rng.standard_normal(8))))
            for backend, one in zip((SERIAL, POOL, DASK, PIMS), levels, strict=True)
            for size in (1, 20)
        )
    )
    summary = summary_of.summarize(source)
    found = pairs_of(source, summary, "pipeline")
    assert len(found) == 2 * 6 * 2
    told = summary.set_index(["backend", "n_images"])["verdict"]
    ranks = summary.set_index(["backend", "n_images"])["ratio_median"]
    for (one, other, size), pair in found.items():
        assert pair.turned().verdict == found[other, one, size].verdict
        if other == SERIAL:
            assert pair.verdict == told[one, size]
        if pair.verdict == "faster":
            assert ranks[one, size] < ranks[other, size]
            assert not (told[other, size] == "faster" != told[one, size])
            assert not (told[one, size] == "slower" != told[other, size])


# Every case has six blocks; the baseline fails with the most images.
FAILING = [
    *(one for name in (SERIAL, POOL, DASK, PIMS, CV) for one in by_size(name, {1: 1.0, 20: 1.0})),
    *failed(SERIAL, 20),
]


@settings(max_examples=60, deadline=None)
@given(samples=mixtures(SERIAL, POOL, DASK, PIMS, CV))
@example(samples=FAILING)
@example(samples=[*FAILING, *failed(POOL, 1, "wrong-result")])
def test_no_answer_ranks_what_is_wrong(samples: list[Sample]) -> None:
    """Whatever was sampled, a backend that was wrong anywhere is named only among those left out."""
    said = answered(samples).sentences
    assert said
    wrong = {str(one.backend) for one in samples if one.status == "wrong-result"}
    for sentence in said:
        if not sentence.startswith(("Not ranked: ", NOTHING_RANKED)):
            assert not [backend for backend in wrong if backend in sentence]
