"""Made-up samples, sources and profiles for the tests of reports, and what a report says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from segbench.backends.registry import BackendSpec
from segbench.report import batches, costs
from segbench.report.history import history_of
from segbench.report.page import make_tables
from segbench.report.pairs import pairs_of
from segbench.report.summary import summarize
from segbench.results.records import PARTS, STAGES, Profile, Sample
from segbench.results.sources import Descriptions, Source, tidy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segbench.report.answer import Answer
    from segbench.report.cells import Table

SERIAL = "skimage/skimage/serial"
POOL = "skimage/skimage/thread-pool"
DASK = "dask-image/dask-image/threads"
PIMS = "dask-array-pims/dask-blocks/threads"
IMREAD = "dask-array-skimage/dask-blocks/threads"

# Markup of every kind that a name may hold.
NASTY = (
    "<script>alert(1)</script> | `code` *bold* $x^$ [link](https://example.org) & \"quoted\" 'too'"
)

NOISE = (1.00, 1.13, 0.95, 1.07, 0.90, 1.05)


def called(backend: str) -> str:
    """What people call a backend."""
    return Descriptions({})[backend].words


def sentences_of(said: Answer) -> tuple[str, ...]:
    """All that an answer says, what was asked first."""
    undecided = (one.sentence for one in said.undecided)
    return (said.use, *said.changes, *undecided, *said.left_out, said.measured)


def sample(backend: str, phase: str, n_images: int, block: int = 0, **other: Any) -> Sample:
    """One sample; without seconds in `other` it has to have a status."""
    return Sample(
        **vars(BackendSpec.named(backend)),
        phase=phase,
        n_images=n_images,
        block=block,
        **{"status": "ok", "calls": 1, **other},
    )


def case(backend: str, phase: str, n_images: int, *seconds: float, **other: Any) -> list[Sample]:
    """The samples of a case, one a block, and a block a round unless told otherwise."""
    return [
        sample(backend, phase, n_images, block, **{"seconds": value, "round": block, **other})
        for block, value in enumerate(seconds, start=1)
    ]


def mixtures(*backends: str) -> st.SearchStrategy[list[Sample]]:
    """Samples of some backends in any mixture, with gaps, failures and wrong results."""
    return st.lists(
        st.builds(
            sample,
            st.sampled_from(backends),
            st.sampled_from(["read", "pipeline"]),
            st.sampled_from([1, 20, 50]),
            st.integers(1, 7),
            round=st.integers(1, 7),
            seconds=st.floats(1e-6, 1e4),
            status=st.sampled_from(["ok"] * 30 + ["timeout", "memory", "wrong-result"]),
            cause=st.just("cause"),
            objects=st.none() | st.integers(0, 3),
        ),
        max_size=150,
    )


def make_source(*cases: Sequence[Sample], **other: Any) -> Source:
    """A source with what a run's has, unless told otherwise."""
    described: dict[str, Any] = {
        "name": "a run",
        "kind": "segbench",
        "paired": True,
        "started": "2024-01-02T03:04:05+00:00",
        "machine": {"cpu": "Abacus 3000", "cpus_available": 2},
        "versions": {"dask": "2024.8.0"},
        "settings": {"rounds": 3, "sizes_left_out": []},
        "dataset": {"name": "smear", "images": 50, "shape": [8, 9, 3], "dtype": "uint8"},
    }
    described |= other
    described["backends"] = Descriptions(described.get("backends", {}))
    return Source(**described, samples=tidy([one for many in cases for one in many]))


def ordinary(**other: Any) -> Source:
    """Two backends and two sizes; the machine is three times as slow in every other block."""
    return make_source(
        case(SERIAL, "read", 1, 0.01, 0.03, 0.01, 0.03, 0.01),
        case(POOL, "read", 1, 0.02, 0.06, 0.03, 0.06, 0.02),
        case(SERIAL, "pipeline", 20, 1.0, 3.0, 1.0, 3.0, 1.0, objects=5, peak_mib=100.0),
        case(POOL, "pipeline", 20, 0.5, 1.5, 0.6, 1.5, 0.5, objects=5, peak_mib=120.0),
        **other,
    )


def three_sizes(**other: Any) -> Source:
    """Fixed and marginal cost: 1 s and 1 s, 4 s and 0.5 s, 0.5 s and 1.1 s, 3 s and 2 s."""
    times = {SERIAL: line(1, 1), POOL: line(4, 0.5), DASK: line(0.5, 1.1), PIMS: line(3, 2)}
    return make_source(
        *(
            case(backend, "read", size, *[seconds] * 5)
            for backend, own in times.items()
            for size, seconds in own.items()
        ),
        **other,
    )


def line(fixed: float, marginal: float) -> dict[int, float]:
    """Seconds by number of images, on a straight line."""
    return {size: fixed + marginal * size for size in (1, 10, 100)}


def profile(backend: str, **other: Any) -> Profile:
    """A profile of two images that took a second, with every part, unless told otherwise."""
    described: dict[str, Any] = {
        "n_images": 2,
        "import_seconds": 0.5,
        "start_seconds": 0.25,
        "first_seconds": 0.1,
        "seconds": 1.0,
        "parts": dict.fromkeys(PARTS, 0.05) | {"blur": 0.3, "threshold": 0.25},
        "tasks": 48,
        "calls": dict.fromkeys(STAGES, 2),
    }
    return Profile(**vars(BackendSpec.named(backend)), **{**described, **other})


def limits(**other: Any) -> dict[str, Any]:
    """The settings of a run that say when a case ends."""
    return {"precision": 0.03, "rounds": 10, "case_seconds": 15.0, "phases": ["read"], **other}


def tables_of(source: Source) -> dict[str, Table]:
    """The tables that the report of a source has, by name."""
    pairs = pairs_of(source)
    summary = summarize(source, pairs)
    lines, batched = costs.lines(source, summary), batches.batches(source, summary)
    tables = make_tables(source, summary, pairs, lines, batched, history_of(source))
    return {table.name: table for table in tables}


def rows_of(source: Source, name: str) -> list[tuple[str, ...]]:
    """The texts of one of them, row by row."""
    return tables_of(source)[name].texts
