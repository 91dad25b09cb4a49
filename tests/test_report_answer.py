"""What a report says first, the presentation replicated, and how each number can be traced."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segbench.cli import main
from segbench.report import presentation, reproduce, tables
from segbench.report.answer import MOST_NAMED, answer
from segbench.stats import paired_ratio
from tests.made_up import DASK, IMREAD, NOISE, PIMS, POOL, SERIAL, case, make_source, sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from segbench.results import Source
    from segbench.runfile import Sample

ROOT = Path(__file__).parents[1]

HERE = "of 8 × 9 pixels from files to a table of cells on this machine (2 CPUs, Abacus 3000)"
PLAIN = f"scikit-image one image after the other ({SERIAL})"
THREADS = f"scikit-image on threads ({POOL})"
FILTERS = f"dask-image's filters on Dask's threads ({DASK})"
MAPPED = f"Dask over scikit-image on Dask's threads ({PIMS})"


def answered(*cases: Sequence[Sample], **other: Any) -> tuple[str, ...]:
    """The answer of some cases."""
    source = make_source(*cases, **other)
    return answer(source, tables.summarize(source))


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
            f"For 20 images {HERE}, the fastest is {THREADS}: 500 ms, 0.50 times as long "
            f"(95% CI 0.50 to 0.50) as {PLAIN}."
        ),
        (
            f"Beside it {PLAIN} takes 2.00 times as long (95% CI 2.00 to 2.00), {FILTERS} takes 8.00 "
            "times as long (95% CI 8.00 to 8.00)."
        ),
        (
            f"Dask does not pay with 20 images: {FILTERS} takes 8.00 times as long "
            f"(95% CI 8.00 to 8.00) as {THREADS}."
        ),
    )


def test_the_baseline_may_be_the_fastest() -> None:
    """Where everything else is slower for certain, the baseline is the fastest."""
    first, second, _ = answered(by_size(SERIAL, {20: 1.0}), by_size(DASK, {20: 4.0}))
    assert first.endswith(f"the fastest is {PLAIN}: 1.00 s.")
    assert second == f"Beside it {FILTERS} takes 4.00 times as long (95% CI 4.00 to 4.00)."


def test_what_is_not_decided_is_said() -> None:
    """Where nothing is faster, what may be and what is as fast as the baseline are told apart."""
    first, second, _ = answered(
        case(SERIAL, "read", 1, *[1.0] * 6),
        case(POOL, "read", 1, *[0.96 * noise for noise in NOISE]),
        case(DASK, "read", 1, *[1.0, 1.001] * 3),
        case(PIMS, "read", 1, *[2.0] * 6),
    )
    assert first.endswith(
        f"none was shown to be faster than scikit-image's reader one image after the other "
        f"({SERIAL}): 1.00 s; no difference from it: {DASK}; not decided whether faster or slower: "
        f"{POOL}."
    )
    assert second.startswith(
        f"Beside it Dask over pims on Dask's threads ({PIMS}) takes 2.00 times"
    )


def test_what_may_be_as_fast_is_named() -> None:
    """Others are compared with the best within blocks, not by their ratios to the baseline."""
    swing = (1.0, 0.8, 1.2, 1.1, 0.9, 1.0)
    first, second, _ = answered(
        case(SERIAL, "read", 1, *[1.0] * 6),
        case(POOL, "read", 1, *[0.100 * one for one in swing]),
        case(DASK, "read", 1, *[0.100 * one for one in swing[::-1]]),
        case(PIMS, "read", 1, *[0.110 * one for one in swing]),
        case(IMREAD, "read", 1, *[0.101 * one for one in swing]),
    )
    assert "among the fastest is scikit-image's reader on threads" in first
    assert first.endswith(
        f"; no difference from it: {IMREAD}; not decided whether faster or slower: {DASK}."
    )
    assert f"({PIMS}) takes 1.10 times as long" in second
    assert f"({SERIAL}) takes" in second


def test_none_is_called_faster_than_the_fastest() -> None:
    """Medians may be in another order than the blocks say: then neither is known to be faster."""
    slow, fast = 0.9, 0.5
    first, *_ = answered(
        case(SERIAL, "read", 1, *[1.0] * 40),
        case(POOL, "read", 1, *[fast, slow] * 20),
        case(DASK, "read", 1, *[0.9 * slow, 0.9 * slow, *[0.9 * fast, 0.9 * slow] * 19]),
    )
    assert f"among the fastest is scikit-image's reader on threads ({POOL})" in first
    assert first.endswith(f"not decided whether faster or slower: {DASK}.")


def test_the_baseline_stays_slower_than_what_was_shown_to_be_faster() -> None:
    """What the verdicts of the run decided is not undecided again among the others."""
    # Significant by itself, and not as the most significant one of eight.
    times = next(
        [level * noise for noise in NOISE]
        for level in np.linspace(0.5, 0.9, 400)
        if 0.05 / 8 < paired_ratio([level * noise for noise in NOISE], [1.0] * 6).p < 0.0095
    )
    others = [by_size(f"a/b/{number}", {1: 1.03 * times[0]}) for number in range(7)]
    first, second, _ = answered(
        by_size(SERIAL, {1: 1.0}),
        case(POOL, "pipeline", 1, *times),
        *others,
    )
    assert "among the fastest is" in first
    assert SERIAL not in first.partition("; not decided")[2]
    assert f"{PLAIN} takes" in second


def test_nothing_in_common_with_the_fastest() -> None:
    """Two backends that were never timed in one block are not told apart."""
    first, *_ = answered(
        case(SERIAL, "read", 1, *[1.0] * 10),
        case(POOL, "read", 1, *[0.5] * 5),
        case(DASK, "read", 1, *[0.9] * 10)[5:],
    )
    assert first.endswith(f"not decided whether faster or slower: {DASK}.")


def test_the_answer_is_about_the_largest_size_with_intervals() -> None:
    """A size that has too few blocks for an interval leaves the answer to the next smaller one."""
    first, *_ = answered(
        by_size(SERIAL, {1: 1.0, 20: 1.0}), by_size(POOL, {1: 0.5}), by_size(POOL, {20: 0.5}, 4)
    )
    assert first.startswith("For 1 image of 8 × 9 pixels")


def test_a_backend_without_an_interval_is_not_passed_over() -> None:
    """A backend of which too little is known may be faster than the one that is known best."""
    first, *_ = answered(
        by_size(SERIAL, {1: 1.0}), by_size(POOL, {1: 0.5}), by_size(DASK, {1: 0.1}, blocks=4)
    )
    assert f"among the fastest is {THREADS}" in first
    assert first.endswith(f"not decided whether faster or slower: {DASK}.")
    apart = case(DASK, "pipeline", 1, *[0.1] * 9)[6:]
    first, *_ = answered(by_size(SERIAL, {1: 1.0}), by_size(POOL, {1: 2.0}), apart)
    assert first.endswith(f"1.00 s; not decided whether faster or slower: {DASK}.")


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
    _, second, _ = answered(
        *(by_size(SERIAL, dict.fromkeys(sizes, 1.0)), by_size(POOL, {1: 0.5, 20: 0.6})),
        by_size(DASK, {20: 0.7, 50: 1.0}),
        case(POOL, "pipeline", 50, *[0.97 * noise for noise in NOISE]),
    )
    assert (
        second
        == f"With 20 images, {THREADS} takes 0.60 times as long (95% CI 0.60 to 0.60) as {PLAIN}."
    )
    assert len(answered(by_size(SERIAL, {1: 1.0}), by_size(POOL, {1: 1.0}))) == 2


def test_only_so_many_are_named() -> None:
    """A sentence names six backends at the most, and how many more there are."""
    many = [by_size(f"a/b/{number}", {1: 2.0 + number}) for number in range(MOST_NAMED + 2)]
    _, second, _ = answered(by_size(SERIAL, {1: 1.0}), *many)
    assert second.startswith("Beside it a/b/0 takes 2.00 times as long")
    assert second.endswith("(95% CI 7.00 to 7.00), and 2 more take longer than these.")
    alike = [by_size(f"a/b/{number}", {1: 1.0}) for number in range(MOST_NAMED + 2)]
    first, _ = answered(by_size(SERIAL, {1: 1.0}), *alike)
    assert first.endswith("a/b/5, and 2 more.")


def test_nothing_is_named_that_failed() -> None:
    """A fast backend whose result was wrong, that timed out or crashed is no winner anywhere."""
    for status in ("wrong-result", "timeout", "memory", "crashed", "error", "unavailable"):
        *said, last = answered(
            by_size(SERIAL, {1: 1.0, 20: 1.0}),
            by_size(POOL, {1: 0.5, 20: 0.5}),
            by_size(DASK, {1: 0.001}),
            [sample(DASK, "pipeline", 20, status=status, cause="why")],
        )
        assert last == f"Not ranked: {DASK} ({status})."
        assert "the fastest is scikit-image on threads" in said[0]
        assert not [one for one in said[:-1] if DASK in one]
        if status == "wrong-result":
            assert said[-1].startswith("Whether Dask pays is not known")
        else:
            assert said[-1].startswith("Dask pays from 1 image on")
            assert "with 1 image, the most that was timed with it," in said[-1]


# Whether Dask pays.


def dask(*, with_dask: dict[int, float], **without: dict[int, float]) -> str:
    """The sentence on Dask, of a run with the baseline and a pool of threads."""
    serial = without.get("serial", {1: 1.0, 10: 10.0, 100: 100.0})
    pool = without.get("pool", {1: 1.5, 10: 6.0, 100: 51.0})
    said = answered(by_size(SERIAL, serial), by_size(POOL, pool), by_size(PIMS, with_dask))
    (sentence,) = (one for one in said if "Dask pays" in one or one.startswith("Dask "))
    return sentence


def test_dask_pays_from_some_number_on() -> None:
    """Where Dask overtakes everything else, the latest of the crossings is named."""
    # Overtakes the baseline at 6 images, and the pool of threads (1 + 0.5 n) at 15.
    sentence = dask(with_dask={size: 4.0 + 0.3 * size for size in (1, 10, 100)})
    assert sentence == (
        f"Dask pays from 15 images (15–15) on: with 100 images, {MAPPED} takes 0.67 times as long "
        f"(95% CI 0.67 to 0.67) as {THREADS}."
    )


def test_dask_has_to_beat_every_backend_without() -> None:
    """It does not pay where it overtakes one backend without Dask, and not another."""
    sentence = dask(
        with_dask={size: 2.0 + 0.4 * size for size in (1, 10, 100)},
        serial={1: 0.41, 10: 4.1, 100: 41.0},
        pool={1: 3.5, 10: 8.0, 100: 53.0},
    )
    assert sentence == (
        f"Dask makes no difference with 100 images: {MAPPED} takes 1.02 times as long "
        f"(95% CI 1.02 to 1.02) as {PLAIN}."
    )


def test_dask_pays_from_the_first() -> None:
    """Where Dask is faster at every size, it pays from the smallest number that was measured."""
    sentence = dask(with_dask={1: 0.5, 10: 3.0, 100: 26.0})
    assert sentence.startswith("Dask pays from 1 image on, the smallest number measured: with 100")


def test_dask_does_not_pay() -> None:
    """Where Dask is slower at the largest size, what else is known of the others is added."""
    sentence = dask(with_dask={1: 3.0, 10: 12.0, 100: 102.0})
    assert sentence == (
        f"Dask does not pay with 100 images: {MAPPED} takes 2.00 times as long "
        f"(95% CI 2.00 to 2.00) as {THREADS}, and longer with every smaller number, too."
    )
    sentence = dask(with_dask={1: 0.7, 10: 7.0, 100: 70.0})
    assert sentence.endswith(f"as {THREADS}; it is faster only up to 5.0 images (5.0–5.0).")


def test_whether_dask_pays_is_not_decided() -> None:
    """Where the interval reaches across, or no line fits, nothing is made up."""
    said = answered(
        by_size(SERIAL, {1: 1.0, 10: 1.0}),
        by_size(PIMS, {1: 1.0}),
        case(PIMS, "pipeline", 10, *[0.95 * noise for noise in NOISE]),
    )
    assert said[-1].startswith(f"Whether Dask pays is not decided with 10 images: {MAPPED} takes")
    wild = [3.0 * noise for noise in (0.6, 1.7, 0.9, 1.4, 0.7, 1.1)]
    *_, last = answered(
        by_size(SERIAL, {1: 1.0, 10: 2.0, 20: 2.5, 50: 3.0}),
        by_size(POOL, {1: 3.0, 10: 1.9, 20: 2.5, 50: 3.5}),
        by_size(PIMS, {1: 2.0, 10: 1.0, 20: 2.0}),
        case(PIMS, "pipeline", 50, *wild),
    )
    assert last.endswith(
        "; it is slower with 1 image; it is faster than all without Dask with 10, 20 images."
    )
    for uneven in (
        dask(with_dask={1: 3.0, 10: 20.0, 100: 30.0}),
        # It crosses the line of one backend without Dask; the other has no line.
        dask(with_dask={1: 4.3, 10: 7.0, 100: 34.0}, pool={1: 1.5, 10: 14.0, 100: 51.0}),
    ):
        assert uneven.startswith("Dask pays for many images, though from how many on is not")


def test_dask_needs_blocks_in_common() -> None:
    """A backend with which Dask shares too few blocks is not compared with it."""
    *_, last = answered(
        by_size(SERIAL, {1: 1.0}, blocks=9),
        case(POOL, "pipeline", 1, *[0.2] * 9)[3:],
        by_size(PIMS, {1: 0.5}, blocks=6),
    )
    assert last.startswith("Dask pays from 1 image on")
    assert last.endswith(f"0.50 times as long (95% CI 0.50 to 0.50) as {PLAIN}.")


def test_dask_was_not_measured() -> None:
    """Without a backend with Dask, or without one that can be compared, that is what is said."""
    assert answered(by_size(SERIAL, {1: 1.0}), by_size(POOL, {1: 0.5}))[-1] == (
        "Whether Dask pays was not measured: no backend with it was."
    )
    said = answered(
        by_size(SERIAL, {1: 1.0}), by_size(POOL, {1: 0.5}), by_size(DASK, {1: 1.0}, blocks=4)
    )
    assert said[-1].startswith("Whether Dask pays is not known: no backend with it was compared")


# Where nothing can be said.


def test_nothing_can_be_said() -> None:
    """An answer says why there is none: no times, nothing to compare, or too few blocks."""
    failed = [sample(SERIAL, "read", 1, status="error", cause="x")]
    assert answered(failed) == (
        "Nothing can be said: no backend was timed to the end.",
        f"Not ranked: {SERIAL} (error).",
    )
    assert answered(case(SERIAL, "read", 1, *[1.0] * 6)) == (
        f"Nothing can be said: only {SERIAL} was timed to the end.",
    )
    few = answered(case(SERIAL, "read", 1, *[1.0] * 4), case(POOL, "read", 1, *[0.5] * 4))
    assert few == ("Nothing is decided yet: that takes 5 blocks or more, and there are fewer.",)
    wrong = sample(SERIAL, "read", 2, status="wrong-result", cause="other pixels")
    assert answered(case(POOL, "read", 1, *[0.5] * 6), [wrong]) == (
        f"Nothing can be said: {SERIAL}, which all are compared with, has no time to give.",
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
        st.sampled_from([SERIAL, POOL, DASK, PIMS]),
        st.sampled_from(["read", "pipeline"]),
        st.sampled_from([1, 20, 50]),
        st.integers(1, 7),
        seconds=st.floats(1e-3, 1e2),
        status=st.sampled_from(["ok"] * 30 + ["timeout", "wrong-result"]),
        cause=st.just("cause"),
    ),
    max_size=150,
)


@settings(max_examples=60, deadline=None)
@given(samples=MIXED)
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
        if not sentence.startswith(("Not ranked: ", "Nothing can be said: ")):
            assert not [backend for backend in wrong if backend in sentence]


# The presentation.


def summary_of(*cases: Sequence[Sample]) -> pd.DataFrame:
    """The summary of some cases."""
    return tables.summarize(make_source(*cases))


def test_lazy_against_read_is_explained() -> None:
    """Under the read table stands what this run needed to open and to read, and for one image."""
    table = presentation.read_table(
        summary_of(
            *(case(SERIAL, "open", size, 0.00001 * size) for size in (1, 500)),
            *(case(SERIAL, "read", size, 0.001 * size) for size in (1, 500)),
        )
    )
    assert table
    assert (
        "this run opens 500 images so in 5.00 ms and reads them in 500 ms, 100× as long. The "
        "presentation's 4.897 ms for 500 images would be 9.79 µs for each, which takes 1.00 ms to "
        "decode here." in table.note
    )
    assert (
        "grow 19.2 times, this run's open grows 500 times, its read grows 500 times" in table.note
    )


def test_growth_is_told_of_what_was_measured() -> None:
    """Of one size, or of one phase, nothing is said of how the figures grow."""
    one = presentation.read_table(summary_of(case(SERIAL, "read", 1, 1.0)))
    assert one
    assert [row[-1] for row in one.rows] == ["–"] * 4
    assert "times, its read" not in one.note
    assert presentation.read_table(summary_of(case(SERIAL, "pipeline", 1, 1.0))) is None
    assert presentation.read_table(summary_of(case(SERIAL, "read", 3, 1.0))) is None


def test_the_claim_is_tested_by_size() -> None:
    """Dask beside scikit-image, alone and on threads: about the same, slower, faster, undecided."""
    wild = [0.6, 1.7, 0.9, 1.4, 0.7, 1.1]
    source = make_source(
        *(by_size(SERIAL, {size: 1.0}) for size in (1, 20, 50, 200)),
        *(by_size(POOL, {size: 0.5}) for size in (1, 20, 50)),
        by_size(DASK, {1: 1.1, 20: 2.0, 50: 0.45}),
        case(DASK, "pipeline", 200, *wild),
        by_size(PIMS, {1: 1.0}, blocks=4),
        case(DASK, "read", 1, *[1.0] * 6),
    )
    table = presentation.claim_table(source, tables.summarize(source))
    assert table
    assert table.columns[3:] == ("1 image", "20 images", "50 images", "200 images")
    assert {row[:3]: row[3:] for row in table.rows} == {
        (DASK, "pipeline", SERIAL): (
            "1.10× (1.10–1.10) no difference",
            "2.00× (2.00–2.00) slower",
            "0.45× (0.45–0.45) faster",
            "0.99× (0.63–1.59) undecided",
        ),
        (DASK, "pipeline", POOL): (
            "2.20× (2.20–2.20) slower",
            "4.00× (4.00–4.00) slower",
            "0.90× (0.90–0.90) no difference",
            "–",
        ),
        (PIMS, "pipeline", SERIAL): ("1.00× undecided", "–", "–", "–"),
        (PIMS, "pipeline", POOL): ("2.00× undecided", "–", "–", "–"),
    }
    assert "Of 9 comparisons Dask is slower in 3 and faster in 1" in table.note
    assert "(no difference) in 2, and 3 are undecided" in table.note
    assert table.cases[0][3:] == tuple(
        tables.case_id("pipeline", size, DASK) for size in (1, 20, 50, 200)
    )
    assert table.cases[1][-1] == ""


def test_the_claim_needs_pairs() -> None:
    """Without Dask, without intervals, or where samples are not paired, nothing is tested."""
    cases = (by_size(SERIAL, {1: 1.0}), by_size(DASK, {1: 1.0}))
    for source in (
        make_source(cases[0]),
        make_source(*cases, paired=False),
        make_source(by_size(SERIAL, {1: 1.0}, 4), by_size(DASK, {1: 1.0}, 4)),
    ):
        assert presentation.claim_table(source, tables.summarize(source)) is None


# Samples.


def traced() -> Source:
    """Two sizes and two backends, out of order, of which one failed."""
    return make_source(
        case(POOL, "read", 20, 0.5, 0.75),
        case(SERIAL, "read", 20, 0.0101, 0.0102, 0.0103)[::-1],
        case(SERIAL, "open", 20, 1.0),
        [sample(POOL, "read", 50, status="timeout", cause="too long")],
        [*case(DASK, "read", 1, 0.1, 0.2), sample(DASK, "read", 1, 3, status="crashed", cause="x")],
        settings={"backends": [SERIAL, POOL, DASK]},
    )


def test_every_number_leads_to_its_samples() -> None:
    """A cell of the phases' tables names the row of its samples, and that the lines of the file."""
    source = traced()
    summary = tables.summarize(source)
    listed = tables.cases_table(source)
    assert listed
    found = dict(zip(listed.row_ids, listed.rows, strict=True))
    times, ratios = (
        table for table in tables.phase_tables(source, summary) if table.name.startswith("read")
    )
    assert times.cases == ratios.cases
    assert len(times.cases) == len(times.rows)
    for row, ids in zip(times.rows, times.cases, strict=True):
        assert len(ids) == len(row)
        for cell, case_id, size in zip(row[1:], ids[1:], times.columns[1:], strict=True):
            assert (case_id == "") == (cell == "–")
            if case_id:
                assert found[case_id][:3] == (row[0], "read", size)
    frame = tables.samples_frame(source)
    assert len(frame) == len(source.samples)
    for case_id, row in found.items():
        first, _, last = row[3].partition(" to ")
        lines = frame.iloc[int(first) - 2 : int(last or first) - 1]
        assert set(lines["case"]) == {case_id}
        assert len(lines) == (frame["case"] == case_id).sum()


def test_samples_are_listed_by_block() -> None:
    """Times of a case share a unit and stand in the order of the blocks; failures are told."""
    listed = tables.cases_table(traced())
    assert listed
    assert [row[-1] for row in listed.rows] == [
        "1.00 s",
        "100, 200 ms; crashed in block 3",
        "10.1, 10.2, 10.3 ms",
        "500, 750 ms",
        "timeout",
    ]
    frame = tables.samples_frame(traced())
    assert list(frame.columns[:3]) == ["case", "phase", "reader"]
    assert list(frame["block"]) == [1, 1, 2, 3, 1, 2, 3, 1, 2, 0]


def test_no_samples_no_table() -> None:
    """A source without samples has no list of them."""
    assert tables.cases_table(make_source()) is None
    assert tables.samples_frame(make_source()).empty


def test_samples_of_a_wrong_backend_are_not_shown() -> None:
    """The page has no time of a backend whose result was wrong; the file of samples has all."""
    wrong = sample(DASK, "read", 20, status="wrong-result", cause="x")
    source = make_source(case(DASK, "read", 1, 0.001, 0.002), [wrong])
    listed = tables.cases_table(source)
    assert listed
    assert {row[-1] for row in listed.rows} == {"not shown: its result was wrong"}
    assert list(tables.samples_frame(source)["seconds"].dropna()) == [0.001, 0.002]


NAMES = st.text(st.characters(exclude_characters="/"), max_size=4)


@settings(max_examples=200, deadline=None)
@given(
    cases=st.lists(
        st.tuples(
            st.sampled_from(["read", "read-1", ""]),
            st.integers(1, 12),
            st.builds("{}/{}/{}".format, NAMES, NAMES, NAMES),
        ),
        unique=True,
        min_size=2,
        max_size=5,
    )
)
def test_ids_of_cases(cases: list[tuple[str, int, str]]) -> None:
    """Cases have ids of their own, of letters that need no escaping in a page or an address."""
    ids = {tables.case_id(*case) for case in cases}
    assert len(ids) == len(cases)
    assert all(re.fullmatch(r"case-[A-Za-z0-9._-]+", one) for one in ids)


def test_ids_of_cases_that_look_alike() -> None:
    """Names that differ in letters which no id holds, or in where one ends, have other ids."""
    names = ("a/b/c.d", "a/b/c d", "a.b/c/d", "a/b.c/d", "a/b/c/d")
    assert len({tables.case_id("read", 1, name) for name in names}) == len(names)
    assert tables.case_id("read-1", 2, "a/b/c") != tables.case_id("read", 1, "2-a/b/c")


def test_ids_of_ordinary_cases_can_be_read() -> None:
    """An ordinary backend's id is its name, so that a link can be written by hand."""
    assert tables.case_id("pipeline", 20, DASK) == "case-pipeline-20-dask-image.dask-image.threads"


def test_what_the_run_did_not_reach_is_left_out() -> None:
    """What was asked for and has no sample is listed as not tried, with no cause made up."""
    source = make_source(
        case(SERIAL, "read", 1, 1.0),
        case(POOL, "read", 1, 1.0),
        case(SERIAL, "pipeline", 1, 1.0),
        settings={"backends": [SERIAL, POOL], "phases": ["read", "pipeline"], "sizes": [1, 20]},
    )
    table = tables.left_out_table(source, tables.summarize(source))
    assert table
    assert table.rows == (
        (SERIAL, "read, pipeline", "20 images", "not tried", "the run ended before"),
        (POOL, "read", "20 images", "not tried", "the run ended before"),
        (POOL, "pipeline", "1, 20 images", "not tried", "the run ended before"),
    )


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
