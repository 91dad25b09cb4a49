"""What a report says first, the presentation replicated, and how each number can be traced."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from segbench.backends.interface import Description
from segbench.report import costs
from segbench.report import summary as summary_of
from segbench.report.answer import (
    BESIDE_IT,
    DASK_NOT_KNOWN,
    MORE_ROUNDS,
    MOST_NAMED,
    NOTHING_RANKED,
    OLD_RUN,
    PROBABLY,
    RANGES,
    Answer,
    answer,
)
from segbench.report.pairs import Pairs, pairs_of
from segbench.stats import MARGIN, of_rounds, verdicts
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
    tables_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    pairs = pairs_of(source)
    return answer(source, summary_of.summarize(source, pairs), pairs)


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
        < of_rounds(np.log(times := [float(one) * noise for noise in NOISE])).p(margin=MARGIN)
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
            f"Whether Dask pays with 20 images is not decided: {named(PIMS)} takes 1.01 times as long "
            f"(0.92 to 1.11) as {named(POOL)}."
        ),
        (
            "For 20 images of 8 × 9 pixels from files to a table of cells on this machine (2 CPUs, "
            f"Abacus 3000), among the fastest is {named(POOL)}: 500 ms."
        ),
        f"It takes 50% less time (50 to 50%) than {named(SERIAL)}.",
        f"As fast, to within 5%: {IMREAD} takes 1.02 times as long (1.02 to 1.02).",
        (f"Not decided whether faster or slower: {PIMS} takes 1.01 times as long (0.92 to 1.11)."),
        f"Slower: {DASK} takes 8.00 times as long (7.97 to 8.03).",
        f"{RANGES} {MORE_ROUNDS}",
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
         "1.37 times as long (1.37 to 1.38) as", "The same holds with 10 images. With 1 image it pays."),
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
        ([by_size(SERIAL, {1: 1.0}, 4), by_size(POOL, {1: 0.5}, 4)], OLD_RUN),
    ],
    ids=["no times", "one backend", "no baseline", "few rounds"],
)
def test_nothing_to_compare(cases: list[list[Sample]], failures: str) -> None:
    """Without two backends and rounds enough the answer says what it takes, and what failed."""
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
        ([1.0, 1.001] * 3, [4.0] * 6, "none was shown for certain to be faster than", SERIAL),
        (NOISE, [4.0] * 6, "none was shown for certain to be faster than", SERIAL),
        # Too little is known of one that may be faster by far.
        ([0.5] * 6, [0.1] * 4, "among the fastest is", POOL),
        ([2.0] * 6, [0.1] * 3, "none was shown for certain to be faster than", SERIAL),
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
    """One that is faster than what is most ahead of the baseline is told of in its place."""
    wild = np.array([0.3, 0.7] * 5)
    # Beside the baseline DASK was timed in slow rounds only.
    first, *others = answered(
        case(SERIAL, "pipeline", 1, *[1.0] * 10),
        case(POOL, "pipeline", 1, *wild),
        [one for one in case(DASK, "pipeline", 1, *(0.9 * wild)) if not one.block % 2],
    ).ranking
    assert f"the fastest is {named(DASK)}" in first
    assert [one for one in others if one.startswith("Slower: ") and POOL in one]


@pytest.mark.parametrize(
    ("times", "first", "other"),
    [
        (
            0.95,
            f"none was shown for certain to be faster than {named(SERIAL)}",
            "Probably faster: ",
        ),
        (1 / 0.95, f"the fastest is probably {named(SERIAL)}", "Probably slower: "),
    ],
)
def test_what_is_probable_is_said_so(times: float, first: str, other: str) -> None:
    """An interval on one side alone is told as probable, in the ranking and of Dask, and explained."""
    noise = (0.99, 1.01, 1.0, 0.99, 1.01, 1.0)
    said = answered(by_size(SERIAL, {1: 1.0}), noisy(PIMS, 1, times, noise))
    assert first in said.ranking[0]
    assert said.ranking[1].startswith(f"{other}{PIMS} takes ")
    pays = "Dask probably pays" if times < 1 else "Dask probably does not pay"
    assert said.on_dask[0].startswith(f"{pays} with 1 image: {named(PIMS)} takes ")
    assert said.notes == (f"{RANGES} {PROBABLY} {MORE_ROUNDS}",)


def test_nothing_in_common_with_the_fastest() -> None:
    """Two backends that were never timed in one block are not told apart."""
    *_, last = answered(
        case(SERIAL, "read", 1, *[1.0] * 10),
        case(POOL, "read", 1, *[0.5] * 5),
        case(DASK, "read", 1, *[0.9] * 10)[5:],
    ).ranking
    assert last == f"Not decided whether faster or slower: {DASK} has too few rounds in common."


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
    assert MORE_ROUNDS in answered(*cases, noisy(DASK, 1, 0.5)).notes[0]


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


def test_dask_needs_rounds_in_common() -> None:
    """What Dask shares too few blocks with may be faster: then it is not decided."""
    pool = case(POOL, "pipeline", 1, *[0.2] * 9)[3:]
    (said,) = answered(by_size(SERIAL, {1: 1.0}, 9), pool, by_size(PIMS, {1: 0.5}, 6)).on_dask
    assert said.startswith("Whether Dask pays with 1 image is not decided: ")
    assert said.endswith(f"{named(PIMS)} has too few rounds in common with {named(POOL)}.")


def test_any_backend_with_dask_may_pay() -> None:
    """That the one with the lowest median is slower says nothing of one undecided, or faster."""
    cases = by_size(SERIAL, {1: 1.0}), by_size(PIMS, {1: 1.2}), noisy(IMREAD, 1, 1.3, WILD)
    (said,) = answered(*cases).on_dask
    assert said.startswith(
        f"Whether Dask pays with 1 image is not decided: {named(IMREAD)} takes 1.30"
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
    return pairs_of(make_source(*cases))


def test_all_pairs_are_one_family() -> None:
    """Who looks at 171 pairs of backends finds a difference by chance more often than in one."""
    found = pairs_between(
        by_size(SERIAL, {1: 1.0}),
        case(PIMS, "pipeline", 1, *level(0.05 / 8, 0.0095)),
        # One differs from eighteen that are alike: a ninth of all pairs.
        *(by_size(f"a/b/{number}", {1: 1.0}) for number in range(17)),
    )
    for other in ("a/b/0", SERIAL):
        pair = found["pipeline", 1, PIMS, other]
        assert verdicts([pair.ratio]) == ["faster"]
        assert pair.verdict == "probably faster"


def test_only_paired_samples_make_pairs() -> None:
    """What failed, was wrong anywhere, or was not taken side by side, is no pair."""
    cases = [by_size(backend, {1: 1.0, 2: 2.0}) for backend in (SERIAL, POOL, DASK, PIMS)]
    ends = [*failed(POOL, 2), *failed(PIMS, 2, "wrong-result")]
    assert {key[1:] for key in pairs_between(*cases, ends) if key[2] == SERIAL} == {
        (1, SERIAL, POOL), (1, SERIAL, DASK), (2, SERIAL, DASK),
    }  # fmt: skip
    assert not pairs_of(make_source(*cases, paired=False))


def word_of(sentence: str) -> str:
    """What the first part of a sentence says of whether Dask pays."""
    words = {
        "probably does not pay": "probably slower", "does not pay": "slower", "not decided": "undecided",
        "no difference": "no difference", "probably pays": "probably faster", "pays": "faster",
    }  # fmt: skip
    return next(verdict for words, verdict in words.items() if words in sentence.partition(":")[0])


RATIOS = st.lists(st.floats(0.8, 1.3), min_size=9, max_size=9)


@settings(max_examples=80, deadline=None)
@given(levels=RATIOS, noise=st.floats(0.0, 0.1), seed=st.integers(0, 1000), gone=st.integers(0, 7))
def test_a_report_says_the_same_of_a_pair_everywhere(
    levels: list[float], noise: float, seed: int, gone: int
) -> None:
    """Answer, claim, tables of ratios and crossings agree on each pair, whatever was measured."""
    rng = np.random.default_rng(seed)
    sizes, backends = (1, 20, 200), (POOL, DASK, PIMS)
    ratios = dict(zip(itertools.product(backends, sizes), levels, strict=True))
    ratios |= {(SERIAL, size): 1.0 for size in sizes}
    source = make_source(
        *(
            # Of some rounds one has no sample.
            case(backend, "pipeline", size, *(size * ratio * np.exp(noise * rng.normal(size=8))))[
                gone * (backend == PIMS) :
            ]
            for (backend, size), ratio in ratios.items()
        ),
        backends=DESCRIBED,
    )
    pairs = pairs_of(source)
    summary = summary_of.summarize(source, pairs)
    assert len(pairs) == 4 * 3 * len(sizes)
    for (phase, size, one, other), pair in pairs.items():
        back = pairs[phase, size, other, one]
        assert pair.turned().verdict == back.verdict
        assert pair.ratio.estimate == pytest.approx(1 / back.ratio.estimate, nan_ok=True)
    told = {(one.backend, one.n_images): one.verdict for one in summary_of.cases_in(summary)}
    beside = {(one, size): pair for (_, size, one, other), pair in pairs.items() if other == SERIAL}
    assert all(told[key] == pair.verdict for key, pair in beside.items() if pair.ratio.rounds)
    # Tables of ratios, and of the claim.
    tables = tables_of(source)
    for row in tables["pipeline-ratios"].rows:
        for size, cell in zip(sizes, row.cells[1:], strict=True):
            assert cell.verdict == told[row.backend, size]
    for row in tables["presentation-claim"].rows if "presentation-claim" in tables else ():
        for size, cell in zip(sizes, row.cells[3:], strict=True):
            pair = pairs["pipeline", size, row.cells[0].text, row.cells[2].text]
            assert cell.verdict == (pair.verdict if pair.ratio.rounds else "")
    # Crossings: each side as its verdicts are.
    for line in costs.lines(source, summary):
        if found := line.against.crossing:
            until = "only up to" in line.against.words
            sides = ("faster", "slower") if until else ("slower", "faster")
            assert f"faster {'only up to' if until else 'from'} about" in line.against.words
            said = {size: told[line.backend, size] for size in sizes}
            assert found.after <= found.images <= found.by
            assert said[found.after].endswith(sides[0])
            assert all(said[size].endswith(sides[1]) for size in sizes if size >= found.by)
            assert not any(said[size].endswith(sides[1]) for size in sizes if size <= found.after)
    # The answer.
    said_by = answer(source, summary, pairs)
    largest = {one: pairs["pipeline", 200, one, SERIAL] for one in backends}
    named_in = re.findall(r"\(([\w-]+/[\w-]+/[\w-]+)\)", " ".join(said_by.on_dask[:1]))
    if len(named_in) >= 2 and "200 images" in said_by.on_dask[0].partition(":")[0]:
        pair = pairs["pipeline", 200, named_in[0], named_in[1]]
        assert word_of(said_by.on_dask[0]) == pair.verdict
    best = next(one for one in (*backends, SERIAL) if f"({one})" in said_by.ranking[0])
    assert best == SERIAL or any(
        pairs["pipeline", 200, best, other].verdict == "faster" for other in told_of(best, largest)
    )
    for sentence in said_by.ranking[1:]:
        for verdict, words in BESIDE_IT.items():
            if sentence.startswith(f"{words}: "):
                assert verdict != "faster"
                for one in re.findall(r"[\w-]+/[\w-]+/[\w-]+", sentence):
                    assert pairs["pipeline", 200, one, best].verdict == verdict


def told_of(best: str, others: Mapping[str, object]) -> set[str]:
    """All that a backend may have been shown to be faster than."""
    return {SERIAL, *others} - {best}


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
