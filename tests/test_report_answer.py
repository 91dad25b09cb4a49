"""What a page says first, the presentation replicated, and how each number can be traced."""

from __future__ import annotations

import itertools
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from segbench.backends.interface import Description
from segbench.backends.registry import BackendSpec
from segbench.images.origin import Origin
from segbench.measure import settings as asked
from segbench.measure.settings import RunSettings
from segbench.report import costs, figures
from segbench.report import summary as summary_of
from segbench.report.answer import (
    ELSEWHERE,
    LOOP_FAILED,
    MOST_ROWS,
    NO_DASK,
    NOTHING_COMPARED,
    NOTHING_SHOWN,
    YOURS,
    Answer,
    answer,
)
from segbench.report.choice import Part, choices, kind_of, much_slower
from segbench.report.pairs import Pairs, pairs_of
from segbench.report.styles import styles
from segbench.report.summary import uses_dask
from segbench.results.sources import LOOP
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
    profile,
    sample,
    sentences_of,
    tables_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segbench.results.records import Sample

THREADS = "skimage/skimage/threads"
CV = "opencv/opencv/thread-pool"
CV_DASK = "opencv/dask-opencv/threads"

WORDS = {
    SERIAL: "scikit-image in a plain loop",
    POOL: "scikit-image in a thread pool",
    DASK: "dask-image on Dask's threads",
    THREADS: "scikit-image on Dask's threads",
    PIMS: "scikit-image over a Dask array",
    IMREAD: "scikit-image over another Dask array",
    CV: "OpenCV in a thread pool",
    CV_DASK: "OpenCV over a Dask array",
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


def part_of(*cases: Sequence[Sample], **other: Any) -> Part:
    """A shape of a run that has some cases."""
    source = make_source(*cases, **{"backends": DESCRIBED, **other})
    pairs = pairs_of(source)
    return Part(source, summary_of.summarize(source, pairs), pairs)


def answered(*cases: Sequence[Sample], **other: Any) -> Answer:
    """The answer of some cases."""
    return answer([part_of(*cases, **other)])


def by_size(backend: str, seconds: dict[int, float], blocks: int = 6, **other: Any) -> list[Sample]:
    """The pipeline's samples of a backend, without noise."""
    return [
        one
        for size, value in seconds.items()
        for one in case(backend, "pipeline", size, *[value] * blocks, **other)
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


# One snapshot.


def test_the_answer_as_it_is_read() -> None:
    """What to use comes first, then what Dask takes and where that changes, then what was measured."""
    said = answered(
        by_size(SERIAL, {1: 0.1, 20: 2.0, 50: 5.0}, peak_mib=100.0),
        by_size(POOL, {1: 0.1, 20: 1.2, 50: 2.5}),
        by_size(DASK, {1: 0.9, 20: 5.0, 50: 12.0}),
        by_size(PIMS, {1: 0.2, 20: 1.6, 50: 3.0}),
        failed(IMREAD, 50),
        versions={"python": "3.12.1", "dask": "2026.8.0", "scikit-image": "0.26.0"},
    )
    assert sentences_of(said) == (
        (
            "Use scikit-image in a thread pool, not Dask: 40% to 50% less time than a plain loop for 20 "
            "images or more of 8 × 9 pixels."
        ),
        (
            "With 50 images scikit-image over a Dask array, the fastest with Dask, takes 1.20 times "
            "(1.20 to 1.20) as long as scikit-image in a thread pool."
        ),
        "For 1 image use a plain loop.",
        f"{ELSEWHERE}{YOURS}.",
        "Left out: scikit-image over another Dask array (memory).",
        (
            "Measured: 1, 20 and 50 images of 8 × 9 pixels (smear), 5 backends, on 2 CPUs (Abacus 3000), "
            "with Python 3.12.1, Dask 2026.8.0 and scikit-image 0.26.0, 2024-01-02."
        ),
    )
    assert said.table
    assert said.table.texts == [
        (f"{WORDS[POOL]} {POOL}", "2.50 s", "0.50× (0.50–0.50) faster", "–"),
        (f"{WORDS[PIMS]} {PIMS}", "3.00 s", "0.60× (0.60–0.60) faster", "–"),
        (f"{WORDS[SERIAL]} {SERIAL}", "5.00 s", "1.00×", "100 MiB"),
        (f"{WORDS[DASK]} {DASK}", "12.0 s", "2.40× (2.39–2.41) slower", "–"),
    ]


PLAIN = {1: 1.0, 10: 10.0, 100: 100.0}


@pytest.mark.parametrize(
    ("pool", "use", "others"),
    [
        ({1: 0.5, 10: 5.0, 100: 50.0}, "50% less time than a plain loop for 1 to 100 images", ()),
        ({1: 2.0, 10: 8.0, 100: 60.0},
         "20% to 40% less time than a plain loop for 10 images or more",
         ("For 1 image use a plain loop.",)),
        ({1: 0.5, 10: 20.0, 100: 50.0}, "50% less time than a plain loop for 1 and 100 images",
         ("For 10 images use a plain loop.",)),
        ({1: 1.5, 10: 12.0, 100: 90.0}, "10% less time than a plain loop for 100 images",
         ("For 1 and 10 images use a plain loop.",)),
        ({1: 0.01, 10: 0.1, 100: 0.8}, "100 to 125 times as fast as a plain loop for 1 to 100 images", ()),
    ],
)  # fmt: skip
def test_numbers_of_images(pool: dict[int, float], use: str, others: tuple[str, ...]) -> None:
    """The largest number of images speaks, with those for which the same holds; others are named."""
    said = answered(by_size(SERIAL, PLAIN), by_size(POOL, pool))
    assert said.use == f"Use {WORDS[POOL]}: {use} of 8 × 9 pixels."
    assert said.changes == (NO_DASK, *others, f"{ELSEWHERE}{YOURS}.")


@pytest.mark.parametrize(
    ("dask", "use", "on_dask"),
    [
        (by_size(PIMS, {20: 1.0}), "a thread pool, not Dask: ", "the fastest with Dask, takes 2.00 times"),
        (by_size(PIMS, {20: 0.51}), "a thread pool: ", "Dask is neither faster nor slower, to within 5%: "),
        (noisy(PIMS, 20, 0.5), "a thread pool: ", "Whether Dask would be faster is open: with 20 images "),
        (by_size(PIMS, {20: 0.25}), "over a Dask array: 75%", "With 20 images it takes 0.50 times"),
        # Of too few rounds nothing is known.
        (case(PIMS, "pipeline", 20, *[0.5] * 4), "a thread pool: ", "takes 8.00 times"),
    ],
)  # fmt: skip
def test_whether_to_use_dask(dask: list[Sample], use: str, on_dask: str) -> None:
    """Dask is named where nothing without it is as fast, and advised against where it is slower."""
    said = answered(
        by_size(SERIAL, {20: 1.0}), by_size(POOL, {20: 0.5}), by_size(DASK, {20: 4.0}), dask
    )
    assert use in said.use
    assert on_dask in said.changes[0]


def test_what_is_a_bit_faster_is_not_named() -> None:
    """Where a less simple backend gains less than a tenth, that is said, and the simpler one is named."""
    processes = "skimage/skimage/process-pool"
    order = {"backends": [SERIAL, POOL, processes]}
    for seconds, named in ((0.47, POOL), (0.4, processes)):
        said = answered(
            by_size(SERIAL, {50: 1.0}), by_size(POOL, {50: 0.5}), by_size(processes, {50: seconds}),
            settings=order,
        )  # fmt: skip
        called = (
            "scikit-image in a thread pool" if named == POOL else "scikit-image in a process pool"
        )
        assert said.use.startswith(f"Use {called}: ")
        told = "With 50 images scikit-image in a process pool takes 6% less time than that; "
        assert any(one.startswith(told) for one in said.changes) == (named == POOL)


def test_dask_has_to_beat_every_backend_without() -> None:
    """It is not used where it is faster than one backend without, and no faster than another."""
    said = answered(by_size(SERIAL, {1: 1.0}), by_size(POOL, {1: 3.0}), by_size(PIMS, {1: 1.01}))
    assert said.use == "Use a plain loop: nothing was faster for 1 image of 8 × 9 pixels."
    assert f"as long as {WORDS[SERIAL]}." in said.changes[0]


def test_like_is_compared_with_like() -> None:
    """Dask over scikit-image is not held against OpenCV without Dask; Dask over OpenCV is."""
    cases = (
        by_size(SERIAL, {9: 1.0}),
        by_size(POOL, {9: 0.8}),
        by_size(PIMS, {9: 0.4}),
        by_size(CV, {9: 0.1}),
    )
    assert answered(*cases).use.startswith("Use OpenCV in a thread pool: 90% less time")
    said = answered(*cases, by_size(CV_DASK, {9: 0.5}))
    assert said.use.startswith("Use OpenCV in a thread pool, not Dask: 90% less time")


def test_a_plugin_takes_part() -> None:
    """A backend of which nothing is known has its name, and is named where it is the fastest."""
    plugin = "skimage/turbo/thread-pool"
    cases = by_size(SERIAL, {1: 1.0}), by_size(POOL, {1: 0.5}), by_size(plugin, {1: 0.25})
    said = answered(*cases, backends={})
    assert said.use.startswith(f"Use {plugin}: 75% less time than a plain loop")
    assert said.table
    assert said.table.rows[0].backend == plugin


def test_the_steps_that_cost_are_named() -> None:
    """Of the slowest backend, where one or two make half of what it needs more than a plain loop."""
    cases = by_size(SERIAL, {20: 1.0}), by_size(POOL, {20: 0.5}), by_size(DASK, {20: 4.0})
    parts = {"label": 2.5, "blur": 0.5}
    slow = profile(DASK, seconds=4.0, parts=parts, n_images=20, calls={"label": 20})
    loop = profile(SERIAL, seconds=1.0, parts={"label": 0.1, "blur": 0.5}, n_images=20)
    said = answered(*cases, profiles=(loop, slow))
    assert (
        f"The slowest, {WORDS[DASK]}, takes 4.00 times as long as a plain loop for 20 images. For 20 images it "
        f"takes 4.00 s, {WORDS[SERIAL]} 1.00 s; most of the difference goes into label (2.40 s more)."
    ) in said.changes
    alike = profile(THREADS, seconds=0.6, parts={"label": 0.1, "blur": 0.1}, n_images=20)
    told = answered(*cases, profiles=(loop, alike, slow)).changes
    assert any(f"{WORDS[THREADS]} 600 ms; most of" in sentence for sentence in told)
    other = profile(DASK, seconds=4.0, parts={"label": 0.5, "blur": 0.9}, n_images=20)
    for profiles in ((), (slow,), (loop, other)):
        told = answered(*cases, profiles=profiles).changes
        assert not [sentence for sentence in told if "The slowest, " in sentence]


def test_what_is_done_again_is_named() -> None:
    """Of the slowest backend, also where it takes little longer than a plain loop."""
    cases = by_size(SERIAL, {20: 1.0}), by_size(POOL, {20: 0.5}), by_size(DASK, {20: 1.2})
    loop = profile(SERIAL, seconds=1.0, parts={"label": 0.1, "blur": 0.5}, n_images=20)
    for calls, told in (({"decode": 40, "blur": 40, "label": 20}, True), ({"decode": 20}, False)):
        own = profile(DASK, seconds=4.0, parts={"label": 2.5}, n_images=20, calls=calls)
        sentence = (
            f"The slowest, {WORDS[DASK]}, takes 1.20 times as long as a plain loop for 20 images: each image "
            "goes through decode and blur twice."
        )
        assert (sentence in answered(*cases, profiles=(loop, own)).changes) == told


# What is open, or can't be said.


def test_the_largest_decided_number_speaks() -> None:
    """What is open with the most images does not hide what is decided with fewer."""
    own = RunSettings(sizes=(20, 500), backends=(BackendSpec.named(POOL),))
    said = answered(
        by_size(SERIAL, {20: 1.0}), by_size(POOL, {20: 0.5}),
        noisy(SERIAL, 500, 1.0, WILD), noisy(POOL, 500, 0.9, SWING),
        settings=asked.describe(own), dataset={"name": "smear", "origin": asdict(Origin())},
    )  # fmt: skip
    assert said.use.endswith("50% less time than a plain loop for 20 images.")
    assert said.changes == (NO_DASK, f"{ELSEWHERE}{YOURS}.")
    assert said.undecided == (
        (
            (
                "For 500 images it is open whether anything is faster than a plain loop; until then use that. This "
                "measures the most likely in about 2 min:"
            ),
            (
                f"segbench run --sizes 500 --phases pipeline --backends {SERIAL},{POOL} --rounds 20 "
                "--case-seconds 600.0"
            ),
        ),
    )
    assert said.table
    assert said.table.title.startswith("20 images")


def test_nothing_is_decided() -> None:
    """Where no number of images decides, that is said, with the table and without code to paste."""
    said = answered(noisy(SERIAL, 20, 1.0, WILD), noisy(POOL, 20, 0.9, SWING))
    assert said.use == NOTHING_SHOWN
    assert said.undecided[0].sentence.startswith("For 20 images of 8 × 9 pixels it is open ")
    assert said.table
    assert said.code == ""


@pytest.mark.parametrize(
    "cases",
    [
        [by_size(SERIAL, {1: 1.0})],
        [by_size(POOL, {1: 1.0}), by_size(PIMS, {1: 2.0})],
        [by_size(SERIAL, {1: 1.0}, 4), by_size(POOL, {1: 0.5}, 4)],
    ],
    ids=["one backend", "no baseline", "few rounds"],
)
def test_nothing_to_compare(cases: list[list[Sample]]) -> None:
    """Without the plain loop, another backend and rounds enough the answer says what it takes."""
    said = answered(*cases)
    assert said.use == NOTHING_COMPARED.format(baseline=SERIAL)
    assert (said.changes, said.table, said.code) == ((), None, "")


def test_the_plain_loop_failed() -> None:
    """Without a time of what all are compared with, that is what is said."""
    said = answered(failed(SERIAL, 20), by_size(POOL, {20: 1.0}), by_size(PIMS, {20: 2.0}))
    assert said.use == LOOP_FAILED


def test_more_images_failed() -> None:
    """`or more` is not said where the largest number of images was tried and failed."""
    said = answered(
        by_size(SERIAL, {1: 1.0, 20: 1.0, 50: 1.0}), by_size(POOL, {1: 2.0, 20: 0.5, 50: 0.5}),
        failed(SERIAL, 500), by_size(POOL, {500: 9.0}),
    )  # fmt: skip
    assert said.use.endswith("for 20 and 50 images of 8 × 9 pixels.")


def test_dask_is_not_named_before_a_pool_was_shown_to_be_slower() -> None:
    """Where a pool may be as fast as Dask, the choice is open, though Dask is faster than the loop."""
    said = answered(by_size(SERIAL, {1: 1.0}), by_size(PIMS, {1: 0.8}), noisy(POOL, 1, 0.85, WILD))
    assert said.use == NOTHING_SHOWN
    assert said.undecided[0].sentence.startswith(
        f"For 1 image of 8 × 9 pixels {WORDS[PIMS]} is faster than a plain loop, but it is open whether "
        f"{WORDS[POOL]} is as fast; until then use the former"
    )


def test_any_dask_that_is_as_fast_is_not_advised_against() -> None:
    """Also one that does other work than what is named."""
    cases = by_size(SERIAL, {9: 1.0}), by_size(POOL, {9: 0.5}), by_size(DASK, {9: 4.0})
    assert ", not Dask" in answered(*cases).use
    assert ", not Dask" not in answered(*cases, by_size(CV_DASK, {9: 0.52})).use


def test_unpaired_samples_name_no_winner() -> None:
    """Of ASV and pytest-benchmark nothing is ranked, and what was wrong is named."""
    cases = by_size(SERIAL, {1: 1.0}), by_size(POOL, {1: 0.5}), failed(DASK, 1, "wrong-result")
    said = answered(*cases, paired=False, kind="asv")
    assert re.match(r"This source can't say what to use: its samples \(asv\)", said.use)
    assert said.left_out == (f"Left out: {WORDS[DASK]} (wrong-result).",)


@pytest.mark.parametrize(
    "status", ["wrong-result", "timeout", "memory", "crashed", "error", "unavailable"]
)
def test_nothing_is_named_that_failed(status: str) -> None:
    """A fast backend whose result was wrong, that timed out or crashed is no winner anywhere."""
    said = answered(
        by_size(SERIAL, {1: 1.0, 20: 1.0}), by_size(POOL, {1: 0.5, 20: 0.5}),
        by_size(DASK, {1: 0.5}), failed(DASK, 20, status),
    )  # fmt: skip
    where = "" if status == "wrong-result" else " with 20 images"
    assert said.left_out == (f"Left out: {WORDS[DASK]} ({status}{where}).",)
    assert said.use.startswith(f"Use {WORDS[POOL]}: ")
    assert said.table
    assert DASK not in [row.backend for row in said.table.rows]


def test_more_images_than_are_compared() -> None:
    """A number of images at which the plain loop failed leaves the answer to the next smaller one."""
    said = answered(by_size(SERIAL, {1: 1.0}), failed(SERIAL, 20), by_size(POOL, {1: 0.5, 20: 9.0}))
    assert said.use.endswith("for 1 image of 8 × 9 pixels.")
    assert said.left_out == (f"Left out: {WORDS[SERIAL]} (memory with 20 images).",)


def test_what_is_probable_is_said_so() -> None:
    """An interval on one side alone is told as probable."""
    noise = (0.99, 1.01, 1.0, 0.99, 1.01, 1.0)
    said = answered(by_size(SERIAL, {1: 1.0}), noisy(POOL, 1, 0.95, noise))
    assert said.use.startswith(f"Use {WORDS[POOL]}: probably 5% less time than a plain loop")


@pytest.mark.parametrize(
    ("phases", "question"),
    [
        (["open", "read", "process", "pipeline"], ""),
        (["open", "read", "process"], ", from pixels in memory to a table of cells"),
        (["open", "read"], ", from files to pixels in memory"),
        (["open"], ", from files to a handle on them"),
    ],
)
def test_the_answer_is_about_the_pipeline(phases: list[str], question: str) -> None:
    """Where several phases were measured the pipeline counts; without it, process, then read."""
    said = answered(
        *(case(SERIAL, phase, 1, *[2.0] * 6) for phase in phases),
        *(case(POOL, phase, 1, *[1.0] * 6) for phase in phases),
    )
    assert said.use.startswith(f"Use {WORDS[POOL]}{question}: 50% less time")


# Shapes, rows, code.


def shape(height: int, width: int, **other: Any) -> dict[str, Any]:
    """What a source says of images of a shape."""
    return {
        "dataset": {"name": "smear", "shape": [height, width, 3]},
        "shape": f"{height}x{width}",
        **other,
    }


def test_other_shapes_are_named() -> None:
    """The first shape speaks; where the same holds for another is told, and where another is better."""
    small = part_of(by_size(SERIAL, {50: 1.0}), by_size(POOL, {50: 0.5}), **shape(8, 9))
    alike = part_of(by_size(SERIAL, {50: 2.0}), by_size(POOL, {50: 1.5}), **shape(16, 18))
    large = part_of(by_size(SERIAL, {10: 3.0}), by_size(PIMS, {10: 1.0}), **shape(80, 90))
    said = answer([small, alike, large])
    assert said.use.endswith("for 50 images of 8 × 9 pixels.")
    assert said.changes == (
        NO_DASK,
        "For 50 images of 16 × 18 pixels use the same backend.",
        f"For 10 images of 80 × 90 pixels use {WORDS[PIMS]}.",
        f"{ELSEWHERE}{YOURS}.",
    )
    assert "of 8 × 9, 16 × 18 and 80 × 90 pixels" in said.measured


def test_eight_rows_at_the_most() -> None:
    """The table keeps the plain loop, what is named, the best with Dask, and the slowest of all."""
    many = [by_size(f"a/b{number}/thread-pool", {1: 0.1 + number / 100}) for number in range(12)]
    slow = by_size("a/slow/thread-pool", {1: 9.0})
    said = answered(by_size(SERIAL, {1: 1.0}), by_size(DASK, {1: 2.0}), slow, *many)
    assert said.table
    shown = [row.backend for row in said.table.rows]
    assert len(shown) == MOST_ROWS
    assert shown[0] == "a/b0/thread-pool"
    assert {SERIAL, "a/slow/thread-pool"} <= {*shown}
    assert said.not_shown == 7


@pytest.mark.parametrize(
    ("backend", "code"),
    [
        (POOL, "with ThreadPoolExecutor(WORKERS) as pool:"),
        (f"{POOL}/4", "size = 4  # images per task"),
        ("skimage/skimage/threads", 'scheduler="threads"'),
        (PIMS, f"segbench segment FOLDER --backend {PIMS} --diameter 36.0 --foreground dark "),
    ],
)
def test_there_is_code_to_paste(backend: str, code: str) -> None:
    """A script for scikit-image's functions, under any scheduler; for others a command."""
    own = RunSettings(sizes=(20,), backends=(BackendSpec.named(backend),), workers=2)
    said = answered(
        by_size(SERIAL, {20: 1.0}), by_size(backend, {20: 0.5}),
        settings=asked.describe(own), dataset={"shape": [8, 9, 3], "origin": asdict(Origin())},
    )  # fmt: skip
    assert code in said.code
    assert "dark cells of 36 pixels" in said.cells


def test_code_is_of_the_pipeline_and_of_segbenchs_own_words() -> None:
    """None where reading alone was measured; nothing that a run file calls a backend is in a script."""
    own = RunSettings(sizes=(20,), backends=(BackendSpec.named(POOL),), workers=2)
    told = {
        "settings": asked.describe(own),
        "dataset": {"shape": [8, 9, 3], "origin": asdict(Origin())},
    }
    read = case(SERIAL, "read", 20, *[1.0] * 6), case(POOL, "read", 20, *[0.5] * 6)
    assert answered(*read, **told).code == ""
    hostile = Description(words='"""\nimport os\n"""', libraries=(), work="scikit-image")
    said = answered(
        by_size(SERIAL, {20: 1.0}),
        by_size(POOL, {20: 0.5}),
        **told,
        backends={**DESCRIBED, POOL: hostile},
    )
    assert "scikit-image in a thread pool" in said.code
    assert "import os" not in said.code


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
    # The answer, its table, and the best of each kind.
    part = Part(source, summary, pairs)
    answered_so, chosen = answer([part]), choices([part], "pipeline")
    assert [choice.spot.n_images for choice in chosen] == [*sizes]
    for choice in chosen:
        own = {backend: told[backend, choice.spot.n_images] for backend in backends}
        if choice.backend == SERIAL:
            assert not [verdict for verdict in own.values() if verdict.endswith("faster")]
            assert choice.is_open == ("undecided" in own.values())
        else:
            assert own[choice.backend].endswith("faster")
            assert not [
                other
                for other in backends
                if other != choice.backend
                and own[other].endswith("faster")
                and much_slower(pairs["pipeline", choice.spot.n_images, choice.backend, other])
            ]
        if choice.dask and not uses_dask(choice.backend):
            assert not much_slower(choice.dask.turned()) or choice.backend == SERIAL
        if kind_of(choice.backend) not in choice.spot.ahead:  # it is the fastest of no kind
            assert choice.spot.best[kind_of(choice.backend)].backend != choice.backend
    decided = [choice for choice in chosen if not choice.is_open]
    assert (
        answered_so.use == NOTHING_SHOWN
        or f"{decided[-1].spot.n_images} image" in answered_so.use
        or "more" in answered_so.use
    )
    for choice in decided[-1:]:
        name = "a plain loop" if choice.backend == SERIAL else WORDS[choice.backend]
        assert answered_so.use.startswith(f"Use {name}")
        against = [
            all(
                (beside_it := other.spot.pair(one, other.backend)) and much_slower(beside_it)
                for one in (DASK, PIMS)
            )
            for other in decided
            if other.backend == choice.backend
        ]
        said_so = ", not Dask" in answered_so.use
        assert said_so == (all(against) and not uses_dask(choice.backend))
        assert answered_so.table
        rows = {row.backend: row.cells[2] for row in answered_so.table.rows}
        assert all(rows[name].verdict == told[name, choice.spot.n_images] for name in backends)
    assert len(answered_so.undecided) == len(chosen) - len(decided)
    # Figures: what they say in words is what the table of ratios says.
    (drawing,) = figures.ratio_figures(summary, styles(WORDS, WORDS), loop=LOOP)
    ratios_of = {row.backend: row.cells[-1].whole for row in tables["pipeline-ratios"].rows}
    assert all(f"{WORDS[one]} {ratios_of[one]}" in drawing.alt for one in backends)


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
    said = answered(samples)
    wrong = {str(one.backend) for one in samples if one.status == "wrong-result"}
    for sentence in (said.use, *said.changes):
        assert not [backend for backend in wrong - {SERIAL} if WORDS[backend] in sentence]
    assert not said.table or not wrong & {row.backend for row in said.table.rows}
