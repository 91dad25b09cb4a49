"""Runs side by side: what has changed between them, and what that may be put down to."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segbench.report.side_by_side import OWN, SHARED, compare
from segbench.report.summary import summarize
from segbench.report.tables import cases_table
from segbench.stats import (
    MARGIN,
    RESAMPLES,
    RUNS_MARGIN,
    Ratio,
    _resampled_medians,
    paired_ratio,
    ratio_of_ratios,
    verdicts,
)
from tests.made_up import DASK, PIMS, POOL, SERIAL, case, make_source, sample

if TYPE_CHECKING:
    from segbench.report.side_by_side import Comparison
    from segbench.results.records import Sample
    from segbench.results.sources import Source

SIZES = (1, 20)
PHASES = ("read", "pipeline")

MACHINE = {"cpu": "Abacus 3000", "cpus_available": 2, "load_at_start": 0.1, "python": "CPython 3"}
VERSIONS = {"python": "3.11", "dask": "2024.8", "scikit-image": "0.24", "dask-image": "2024.5"}
VERSIONS |= {"pims": "0.7", "opencv-python": "4.9"}
SETTINGS = {"workers": 2, "cache": "warm", "blocks": 40, "command": "segbench run"}
DATASET = {"name": "smear", "shape": [8, 9, 3], "dtype": "uint8", "key": "smear-1"}


def run_of(times: dict[str, float] | None = None, **other: Any) -> Source:
    """A run of three backends; `times` are those of an image in seconds, where they are others."""
    seconds = {SERIAL: 1.0, POOL: 0.6, DASK: 2.0} | (times or {})
    described: dict[str, Any] = {
        "machine": MACHINE,
        "versions": VERSIONS,
        "settings": SETTINGS,
        "dataset": DATASET,
    }
    return make_source(
        *(
            case(backend, phase, size, *[size * one * swing for swing in (1.0, 1.01) * 5])
            for backend, one in seconds.items()
            for phase in PHASES
            for size in SIZES
        ),
        **{**described, **other},
    )


def compared(*sources: Source) -> tuple[Comparison, ...]:
    """The comparisons of some sources."""
    return compare(sources, [summarize(source) for source in sources])


def told(second: Source, first: Source | None = None) -> tuple[str, ...]:
    """What is said of a run beside another."""
    (comparison,) = compared(first or run_of(), second)
    return comparison.sentences


def put_down(second: Source, first: Source | None = None) -> dict[str, set[str]]:
    """What the tables put the changes of each backend down to."""
    (comparison,) = compared(first or run_of(), second)
    found: dict[str, set[str]] = {}
    for table in comparison.tables:
        if table.name.endswith("-compared"):
            for row in table.texts:
                found.setdefault(row[0], set()).add(row[4])
    return found


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


def test_a_ratio_of_ratios_without_an_interval() -> None:
    """Where one of the two has no interval their ratio has none, and is undecided."""
    few = paired_ratio([1.0] * 4, [2.0] * 4)
    found = ratio_of_ratios(few, paired_ratio([1.0] * 6, [1.0] * 6))
    assert found.median == pytest.approx(0.5)
    assert math.isnan(found.low)
    assert math.isnan(found.p)
    assert verdicts([found]) == ["undecided"]


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


def test_rounding_is_no_correlation() -> None:
    """Ratios that are equal but for two, and for their rounding, have the same interval either way."""
    own = np.exp(np.array([0.4375] * 8 + [1.4375] * 2))
    there, back = paired_ratio(own, np.ones(10)), paired_ratio(np.ones(10), own)
    assert back.low == pytest.approx(1 / there.high)
    assert back.high == pytest.approx(1 / there.low)


@pytest.mark.parametrize("count", [3, 4, 5, 6, 40])
def test_medians_of_draws_are_medians(count: int) -> None:
    """The medians for the interval of a crossing are those of the blocks that were drawn."""
    pair = np.exp(np.random.default_rng(count).normal(size=(2, count)))
    draws = np.random.default_rng(1).integers(count, size=(RESAMPLES, count))
    found = _resampled_medians(pair, np.random.default_rng(1))
    assert np.array_equal(found, np.median(pair[:, draws], axis=-1))


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


# What a change is put down to.


def test_one_source_is_compared_with_nothing() -> None:
    """A report on one source has no comparison."""
    assert compared(run_of()) == ()


def test_another_machine_moves_all_times() -> None:
    """Where the baseline and all others take twice as long, it is the machine, and no ratio moved."""
    slower = {SERIAL: 2.0, POOL: 1.2, DASK: 4.0}
    second = run_of(slower, machine={**MACHINE, "cpu": "Abacus 1000", "load_at_start": 1.9})
    differ, times, ratios = told(second)
    assert differ == (
        "Between 1 and 2 these differ: machine (cpu); the same are versions, settings, images."
    )
    assert times == (
        f"{SERIAL} took 2.00 times as long in 2 as in 1 (middle of 4 cases 2.00; that of the others "
        "2.00); 4 of them show a difference. Put down to the machine."
    )
    assert ratios.startswith("Of 8 ratios to it, which the speed of a machine as a whole leaves")
    assert "0 have changed, 8 are the same, 0 are undecided (the same: within 10%" in ratios
    assert put_down(second) == {SERIAL: {"the machine"}, POOL: {"–"}, DASK: {"–"}}


def test_another_version_moves_the_ratio_of_what_uses_it() -> None:
    """Where a backend's ratio moved, and of what it uses a library alone differs, that is named."""
    versions = {**VERSIONS, "dask": "2026.8", "opencv-python": "5.0"}
    second = run_of({DASK: 3.0}, versions=versions)
    *_, times, ratios, dask = told(second)
    assert "no case shows that it has changed" in times
    assert "4 have changed, 4 are the same" in ratios
    assert dask == (
        f"{DASK}: 1.50 times the ratio to the baseline in 2 (read of 1 image, read of 20 images, "
        "pipeline of 1 image, pipeline of 20 images). Put down to the version of dask."
    )
    assert put_down(second) == {SERIAL: {"–"}, POOL: {"–"}, DASK: {"the version of dask"}}


def test_machine_and_version_together_are_not_told_apart() -> None:
    """Where both differ neither is named alone."""
    second = run_of(
        {SERIAL: 2.0, POOL: 1.2, DASK: 1.0},
        machine={**MACHINE, "cpus_available": 8},
        versions={**VERSIONS, "dask": "2026.8"},
    )
    *_, times, _, dask = told(second)
    # No library that the baseline uses differs.
    assert times.endswith("Put down to the machine.")
    assert dask.endswith(
        "Put down to the machine or the version of dask, which can't be told apart here."
    )


def test_a_library_that_all_use() -> None:
    """A version of a library that the baseline uses, too, may have moved all times and ratios."""
    second = run_of(
        {SERIAL: 2.0, POOL: 0.6, DASK: 2.0}, versions={**VERSIONS, "scikit-image": "0.26"}
    )
    found = put_down(second)
    assert found.keys() == {SERIAL, POOL, DASK}
    assert found.pop(SERIAL) == {
        "the version of scikit-image or another moment of the same machine"
    }
    assert all(reasons == {"the version of scikit-image"} for reasons in found.values())


def test_a_change_that_nothing_explains() -> None:
    """Between two runs of the same, a ratio that moved is unexplained; times have other moments."""
    second = run_of({SERIAL: 2.0, POOL: 1.2, DASK: 6.0}, started="later")
    differ, times, _, dask = told(second)
    assert differ == "Machine, versions, settings and images of 1 and 2 are the same."
    assert times.endswith("Put down to another moment of the same machine.")
    assert dask.endswith("Put down to nothing that is recorded.")


def test_other_settings_and_images() -> None:
    """Workers, the cache and the pipeline's parameters count, and what was asked for does not."""
    second = run_of(
        {DASK: 1.0},
        settings={**SETTINGS, "workers": 4, "blocks": 10, "command": "other"},
        dataset={**DATASET, "shape": [16, 18, 3]},
    )
    assert told(second)[0] == (
        "Between 1 and 2 these differ: settings (workers), images; the same are machine, versions."
    )
    assert put_down(second)[DASK] == {"the settings (workers) or the images"}


def test_what_is_not_known_may_be_the_reason() -> None:
    """Where a source tells nothing of its machine or versions, they are not said to be the same."""
    second = run_of({DASK: 1.0}, machine={}, versions={})
    assert told(second)[0].startswith(
        "Between 1 and 2 these differ: machine (not known of both), versions (not known of both);"
    )
    assert put_down(second)[DASK] == {"the machine or a version"}
    assert put_down(run_of({DASK: 1.0}, settings={}))[DASK] == {"the settings"}


def test_libraries_of_a_plugin() -> None:
    """A library that no part of segbench uses concerns the backends that are not segbench's."""
    plugin = "skimage/turbo/serial"
    versions = {**VERSIONS, "turbo": "1.0", "commit": "1a2b3c4"}
    first = run_of({plugin: 1.0}, versions=versions)
    second = run_of({plugin: 2.0, POOL: 1.2}, versions={**versions, "turbo": "2.0"})
    found = put_down(second, first)
    assert found[plugin] == {"the version of turbo"}
    assert found[POOL] == {"nothing that is recorded"}
    other = run_of({POOL: 1.2}, versions={**versions, "commit": "5d6e7f8"})
    assert put_down(other, first)[POOL] == {"the version of segbench (its commit)"}


def test_no_library_is_both_shared_and_own() -> None:
    """A library either concerns every backend or those that have the part which uses it."""
    own = {name for kind in OWN.values() for names in kind.values() for name in names}
    assert not own & set(SHARED)


# What is compared.


def objects(count: int, **other: Any) -> Source:
    """A run that found so many objects, of images that lie somewhere else each time."""
    samples = case(SERIAL, "pipeline", 20, *[1.0] * 5, objects=count)
    return make_source(samples, settings=SETTINGS, **other)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ({"key": "a"}, {"key": "a"}, True),
        ({"key": "a"}, {"key": "b"}, True),
        ({"key": "a", "shape": [1, 2]}, {"key": "a", "shape": [2, 1]}, False),
    ],
)
def test_same_images(first: dict[str, Any], second: dict[str, Any], same: bool) -> None:
    """Images are the same by key, or by what was found in them."""
    said = told(objects(5, dataset=second), objects(5, dataset=first))[0]
    assert said.endswith("are the same.") == same


def test_other_objects_are_other_images() -> None:
    """Of images with other keys, in which other numbers of objects were found, it is told."""
    # Other photographs in the same folder.
    one, other = {"key": "a", "origin": "here"}, {"key": "b", "origin": "here"}
    assert "images" in told(objects(6, dataset=other), objects(5, dataset=one))[0]
    unknown = make_source(case(SERIAL, "read", 1, *[1.0] * 5), dataset={})
    assert "images (not known of both)" in told(unknown, unknown)[0]


def test_what_failed_in_one_is_told() -> None:
    """A backend that only one of the two could rank is named, with why the other could not."""
    wrong = sample(DASK, "read", 20, status="wrong-result", cause="other pixels")
    second = make_source(
        *(case(SERIAL, phase, size, *[size] * 6) for phase in PHASES for size in SIZES),
        [wrong],
        machine=MACHINE,
        versions=VERSIONS,
        settings=SETTINGS,
        dataset=DATASET,
    )
    assert f"Not ok in 2, at some size at least: {DASK} (wrong-result)." in told(second)
    assert f"Not ok in 1, at some size at least: {DASK} (wrong-result)." in told(run_of(), second)
    assert DASK not in put_down(second)


def test_nothing_in_common() -> None:
    """Two sources without a case in common are said to have none."""
    second = make_source(case(SERIAL, "open", 3, *[1.0] * 6))
    (comparison,) = compared(run_of(), second)
    assert "They share no case of the baseline: no times are compared." in comparison.sentences
    assert [table.name for table in comparison.tables] == ["environments"]


def test_unpaired_samples_show_no_change() -> None:
    """Of a source whose samples are not paired the factors are told, without interval or verdict."""
    second = run_of({SERIAL: 2.0, DASK: 9.0}, paired=False)
    _, times = told(second)
    assert times.endswith("without samples taken side by side there are no intervals.")
    assert put_down(second) == {SERIAL: {"–"}, POOL: {"–"}, DASK: {"–"}}
    (comparison,) = compared(run_of(), second)
    (row,) = (row for row in comparison.tables[-1].texts if row[:2] == (DASK, "20"))
    assert (row[2:4], row[7:]) == (
        ("4.50×", "2.25×"),
        ("2.00× (2.00–2.00) slower", "4.50×"),
    )


def test_the_tables() -> None:
    """Each case has its times and ratios in both, how they have changed, and leads to its samples."""
    second = run_of({DASK: 3.0}, versions={**VERSIONS, "dask": "2026.8"})
    sources = (run_of(), second)
    (comparison,) = compared(*sources)
    environments, read, pipeline = comparison.tables
    assert environments.texts == [("versions", "dask", "2024.8", "2026.8")]
    assert (read.name, pipeline.name) == ("read-compared", "pipeline-compared")
    assert [row[:2] for row in read.texts] == [
        (backend, str(size)) for backend in (SERIAL, POOL, DASK) for size in SIZES
    ]
    row = pipeline.texts[-1]
    assert row[5:7] == ("40.2 s", "60.3 s")
    assert row[2].startswith("1.50× (1.4")
    assert row[7].endswith(" slower")
    assert row[3] == "1.50× (1.50–1.50) slower"
    known = [
        f"{number}-{one.id}"
        for number, source in enumerate(sources, start=1)
        if (listed := cases_table(source))
        for one in listed.rows
    ]
    for table in (read, pipeline):
        for shown in table.rows:
            assert len(shown.cells) == len(table.columns)
            assert [cell.case in known for cell in shown.cells] == [False] * 5 + [True] * 4
            assert shown.backend == shown.cells[0].text


def test_more_sources_are_compared_with_the_first() -> None:
    """Of three sources the second and the third each stand beside the first."""
    first, second, third = run_of(name="a"), run_of(name="b"), run_of({SERIAL: 2.0}, name="c")
    found = compared(first, second, third)
    assert [one.prefix for one in found] == ["2-beside-1-", "3-beside-1-"]
    assert [one.title.split(" (")[0] for one in found] == ["2 beside 1: b", "3 beside 1: c"]
    assert "took 2.00 times as long in 3 as in 1" in found[1].sentences[1]
    assert [table.columns[6] for table in found[1].tables] == ["Time in 3"] * 2


def test_noise_changes_nothing() -> None:
    """What two runs of the same measure differs by noise, and no change is shown."""
    rng = np.random.default_rng(1)

    def noisy() -> Source:
        return make_source(
            *(
                case(backend, "read", size, *np.exp(rng.normal(0, 0.05, 20)))
                for backend in (SERIAL, POOL, DASK, PIMS)
                for size in (1, 20, 50, 200, 500)
            )
        )

    for _ in range(5):
        assert all(reasons == {"–"} for reasons in put_down(noisy(), noisy()).values())


MIXED = st.lists(
    st.builds(
        sample,
        st.sampled_from([SERIAL, POOL, DASK]),
        st.sampled_from(["read", "pipeline"]),
        st.sampled_from([1, 20]),
        st.integers(1, 7),
        seconds=st.floats(1e-6, 1e4),
        status=st.sampled_from(["ok"] * 20 + ["timeout", "wrong-result"]),
        cause=st.just("cause"),
        objects=st.none() | st.integers(0, 3),
    ),
    max_size=80,
)


@settings(max_examples=40, deadline=None)
@given(first=MIXED, second=MIXED, paired=st.booleans())
def test_whatever_was_sampled_can_be_compared(
    first: list[Sample], second: list[Sample], paired: bool
) -> None:
    """No mixture of samples, gaps and failures stops a comparison or shows a number that is none."""
    (comparison,) = compared(
        make_source(first, settings={}), make_source(second, paired=paired, machine={})
    )
    cells = [text for table in comparison.tables for row in table.texts for text in row]
    texts = (*cells, *comparison.sentences)
    assert not [text for text in texts if "nan" in text or re.search(r"\binf", text)]
