"""How the cases of a run ended, and what disturbed it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from segbench.measure.stopping import REASONS
from segbench.report.disturbances import rounds_table, warnings
from tests.made_up import (
    DASK,
    NOISE,
    POOL,
    SERIAL,
    case,
    limits,
    make_source,
    ordinary,
    sample,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segbench.results.records import Sample
    from segbench.results.sources import Source

EVEN = [1.0] * 7


def ending(source: Source) -> list[tuple[str, ...]]:
    """The rows of the table on how the cases ended; none where there is no table."""
    table = rounds_table(source)
    return table.texts if table else []


def failed(backend: str, phase: str, n_images: int = 1, block: int = 0) -> Sample:
    """A sample of a backend that crashed."""
    return sample(backend, phase, n_images, block, status="crashed", cause="gone")


def test_why_cases_ended() -> None:
    """Each case says how many rounds it took and which limit ended it."""
    source = make_source(
        *(case(SERIAL, "read", size, *[1.0] * count) for size, count in ((1, 7), (2, 9), (3, 6))),
        case(SERIAL, "read", 4, *[0.1] * 6),
        case(POOL, "read", 1, *[0.5] * 7),
        case(POOL, "read", 2, *NOISE, *NOISE[:3]),
        case(POOL, "read", 3, *[noise * 10 for noise in NOISE]),
        case(POOL, "read", 4, *[0.1 * noise for noise in NOISE]),
        settings=limits(rounds=9, sizes=[1, 2, 3, 4, 5]),
    )
    ended = ("7 (settled)", "9 (rounds)", "6 (time)", "6 (interrupted)", "0 (interrupted)")
    assert ending(source) == [("read", *ended)]
    table = rounds_table(source)
    assert table
    assert [cell.value for cell in table.rows[0].cells[1:]] == [7, 9, 6, 6, 0]
    for reason, meaning in REASONS.items():
        assert f"{reason}, {meaning}" in table.note
    (warning,) = warnings(source)
    assert (
        "interrupted: read of 4 images had not ended, and nothing was measured of read" in warning
    )


@pytest.mark.parametrize(
    ("cases", "described", "ended"),
    [
        # It is not waited for, nor is a size at which all failed.
        (
            [
                case(SERIAL, "read", 1, *EVEN), case(POOL, "read", 1, *EVEN),
                case(DASK, "read", 1, 1.0, 7.0), [failed(DASK, "read", block=3)],
                [failed(name, "read", 20) for name in (SERIAL, POOL, DASK)],
            ],
            {"sizes": [1, 20]},
            {"read": "7 (settled)"},
        ),
        # A failure is told in all phases of a size: where all blocks are there, its ratio counted.
        *(
            (
                [
                    case(SERIAL, "read", 1, *EVEN),
                    case(POOL, "read", 1, *NOISE, 2.0), [failed(POOL, "read", block=block)],
                    case(DASK, "read", 1, *EVEN),
                    case(SERIAL, "pipeline", 1, *EVEN),
                    case(POOL, "pipeline", 1, *[2.0] * 2), [failed(POOL, "pipeline", block=block)],
                    case(DASK, "pipeline", 1, *EVEN),
                ],
                {"case_seconds": 20.0, "phases": ["read", "pipeline"]},
                {"read": "7 (time)", "pipeline": "7 (settled)"},
            )
            for block in (0, 3)
        ),
        # Where all failed in a later phase, the earlier one says why it ended.
        (
            [
                [*case(backend, phase, 1, *[1.0] * count), failed(backend, phase)]
                for backend in (SERIAL, POOL)
                for phase, count in (("read", 7), ("process", 2))
            ],
            {"phases": ["read", "process"]},
            {"read": "7 (settled)"},
        ),
    ],
)  # fmt: skip
def test_a_backend_that_failed_does_not_keep_a_case_going(
    cases: list[list[Sample]], described: dict[str, Any], ended: dict[str, str]
) -> None:
    """A backend that failed counts where it was measured to the end, and nowhere else."""
    source = make_source(*cases, settings=limits(**{"case_seconds": 99.0, **described}))
    assert ending(source) == [*ended.items()]
    assert warnings(source) == []


@pytest.mark.parametrize(
    ("own", "other", "described", "ended"),
    [
        # A round in whose midst the run was interrupted is not counted.
        ([1.0] * 7, [0.5] * 6, {}, "6 (interrupted)"),
        # A sample of two calls took twice its mean.
        ([1.0] * 6, NOISE, {"case_seconds": 24.0}, "6 (time)"),
        ([1.0] * 6, NOISE, {"case_seconds": 25.0}, "6 (interrupted)"),
    ],
)
def test_rounds_and_calls_are_counted(
    own: Sequence[float], other: Sequence[float], described: dict[str, Any], ended: str
) -> None:
    """Only rounds that every backend has are counted, and all calls of a sample for the limit of time."""
    source = make_source(
        *(case(name, "read", 1, *times, calls=2) for name, times in ((SERIAL, own), (POOL, other))),
        settings=limits(**{"case_seconds": 99.0, **described}),
    )
    assert ending(source) == [("read", ended)]


def test_sources_without_limits_say_nothing_of_endings() -> None:
    """Older runs have no table of endings, but what they lack of their sizes is told."""
    settings = limits(sizes=[1, 20, 50, 200], phases=["read", "pipeline"], blocks=40)
    del settings["rounds"]
    source = ordinary(settings=settings)
    assert ending(source) == []
    (warning,) = warnings(source)
    missing = "pipeline of 1 image; read of 20 images; read, pipeline of 50 and 200 images."
    assert f"interrupted: nothing was measured of {missing}" in warning


def test_notes_of_a_source_are_warnings() -> None:
    """What was wrong with a file is said first."""
    source = ordinary(notes=("line 7, the last, is damaged: left out",))
    assert warnings(source)[0] == "a run: line 7, the last, is damaged: left out."


STEADY = (1.0, 1.01, 0.99, 1.0, 1.01, 0.99)
WILD = (1.0, 0.9, 1.1) * 3


def timed(*seconds: float, n_images: int = 1, backend: str = SERIAL) -> list[Sample]:
    """A case whose blocks were taken a second apart."""
    return [
        sample(backend, "read", n_images, block, seconds=value, at=100.0 * n_images + block)
        for block, value in enumerate(seconds, start=1)
    ]


def told(source: Source, words: str) -> bool:
    """Whether a source has a warning with these words; it may have no other."""
    found = warnings(source)
    assert all(words in warning for warning in found)
    return bool(found)


@pytest.mark.parametrize("load", [1.0, 1.01])
def test_busy_machine(load: float) -> None:
    """A load of more than half a CPU for each CPU is told; of a quiet machine nothing is."""
    machine = {"load_at_start": load, "cpus_available": 2}
    source = make_source(timed(*STEADY), timed(*STEADY, n_images=20), machine=machine)
    assert told(source, "busy when the run started (load 1.01 on 2 CPUs)") == (load > 1)


@pytest.mark.parametrize(("seconds", "expected"), [(None, False), (4.0, False), (40.0, True)])
@pytest.mark.parametrize(
    "machine",
    [{"cpus_available": 2}, {"cpus": 2, "cpus_available": 1}, {"cpus": 0, "cpus_available": 2}],
)
def test_throttled_machine(seconds: float | None, expected: bool, machine: dict[str, int]) -> None:
    """CPU time that a quota or a host withheld is told from 2% on: here of 2 CPUs for 106 s."""
    source = make_source(timed(*STEADY), machine=machine)
    source.samples["withheld_seconds"] = float("nan") if seconds is None else seconds
    assert told(source, "withheld 19% of its CPU time") == expected


@pytest.mark.parametrize("at", [0.001, 0.0])
def test_throttled_in_the_first_moment(at: float) -> None:
    """The clocks are not exact: more than all is said to be all, and of no time nothing is said."""
    one = sample(SERIAL, "read", 1, 1, seconds=1.0, at=at, withheld_seconds=1.0)
    assert told(make_source([one]), "withheld 100% of") == (at > 0)


@pytest.mark.parametrize(
    ("backend", "blocks", "wild", "quiet", "words"),
    [
        (SERIAL, 9, 1, 0, "noisy in 1 of the 1 phases"),
        (POOL, 9, 1, 0, ""),
        (SERIAL, 3, 1, 0, ""),
        # More than a fifth of the cases, though the most of them were quiet.
        (SERIAL, 9, 1, 4, ""),
        (SERIAL, 9, 2, 3, "noisy in 2 of the 5 phases"),
    ],
)
def test_noisy_times(backend: str, blocks: int, wild: int, quiet: int, words: str) -> None:
    """A plain loop whose times spread by more than a tenth is told, with by how much."""
    source = make_source(
        *(case(backend, "open", size, *WILD[:blocks], round=1) for size in range(1, wild + 1)),
        *(case(backend, "read", size, *[1.0] * blocks, round=1) for size in range(1, quiet + 1)),
    )
    assert told(source, words) == told(source, "typically 20%. Times") == bool(words)


def test_processes_that_differ_are_no_unrest() -> None:
    """Times that are alike in each round, and differ from one to the next, are what rounds are for."""
    rounds = [
        dataclasses.replace(one, round=1 + number // 3)
        for number, one in enumerate(case(SERIAL, "open", 1, *sorted(WILD)))
    ]
    assert warnings(make_source(rounds)) == []
    assert warnings(make_source(case(SERIAL, "open", 1, *WILD))) == []


def test_a_process_is_no_trend() -> None:
    """Where samples of a round are alike, it counts once: three rounds that rise are no drift."""
    seconds = [1.0] * 5 + [1.3] * 5 + [1.7] * 5
    case_of = [
        dataclasses.replace(one, round=1 + number // 5)
        for number, one in enumerate(timed(*seconds))
    ]
    assert warnings(make_source(case_of)) == []
    told = warnings(make_source([dataclasses.replace(one, round=1) for one in case_of]))
    assert [one for one in told if "speed changed" in one]


def test_drifting_machine() -> None:
    """A plain loop that grew slower during its cases is told, though each block is as the one before."""
    growing = [
        timed(*(size * 1.013**block for block in range(1, 11)), n_images=size) for size in (1, 20)
    ]
    (warning,) = warnings(make_source(*growing))
    assert "from the first to the last round of a case a plain loop's times grew by 12%" in warning
    shrinking = [dataclasses.replace(one, at=-(one.at or 0)) for own in growing for one in own]
    (shrunk,) = warnings(make_source(shrinking))
    assert "shrank by 11%" in shrunk
    # Cases whose samples have no moment, or one in common, and cases of few blocks don't count.
    unknown = timed(*[50.0] * 10, n_images=50)
    unknown[-1] = dataclasses.replace(unknown[-1], at=None)
    at_once = [dataclasses.replace(one, at=9.0) for one in timed(*[200.0] * 10, n_images=200)]
    assert warnings(make_source(unknown, at_once, *growing)) == [warning]
    assert warnings(make_source(unknown, at_once, *(own[:9] for own in growing))) == []


def drifting(rng: np.random.Generator, *, cases: int, blocks: int, share: float) -> Source:
    """A run whose times vary by 12%, and become longer by a share during each case."""
    trend = np.linspace(0, np.log1p(share), blocks)
    return make_source(
        *(
            timed(*np.exp(trend + rng.normal(0, 0.12, blocks)), n_images=size)
            for size in range(1, cases + 1)
        )
    )


@pytest.mark.parametrize(
    ("cases", "blocks", "share"),
    [(1, 10, 0), (1, 40, 0), (8, 10, 0), (20, 14, 0), (8, 40, 0.2), (20, 20, 0.2)],
)
def test_drift_is_told_from_noise(cases: int, blocks: int, share: float) -> None:
    """A trend of 20% in each case is told, though single times vary by 12%; without one nothing is."""
    rng = np.random.default_rng(1)
    for _ in range(5 if share else 20):
        found = warnings(drifting(rng, cases=cases, blocks=blocks, share=share))
        told = [warning for warning in found if "speed changed" in warning]
        assert len(told) == bool(share)
        assert all("grew by" in warning for warning in told)


@pytest.mark.parametrize(("cache", "cached"), [("cold", 0.25), ("cold", 0.0), ("warm", 0.25)])
def test_files_that_were_not_cold(cache: str, cached: float) -> None:
    """Pages that stayed in memory in a cold run are told; in a warm run nobody looks."""
    source = make_source(
        case(SERIAL, "read", 1, 1.0, 1.0, cached=0.0),
        case(SERIAL, "read", 20, 1.0, 1.0, cached=cached),
        settings={"cache": cache},
    )
    expected = (cache, cached) == ("cold", 0.25)
    assert told(source, "Up to 25% of the files' pages") == expected
