"""Releases of the libraries side by side: what changed, and what the machine's noise hides."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner

from segbench.cli import main
from segbench.report.page import styles_of
from segbench.report.releases import chapter
from segbench.results import sources
from tests.made_up import DASK, IMREAD, POOL, SERIAL, case, make_source

if TYPE_CHECKING:
    from segbench.report.drawing import Chapter
    from segbench.results.sources import Source

REFERENCE = Path(__file__).parents[1] / "results" / "reference" / "releases"
NEWEST = {"numpy": "2.4.6", "dask": "2026.8.0", "dask-image": "2026.5.0"}


def environment(
    factors: dict[str, float] | None = None,
    *,
    samples: int = 10,
    commit: str = "a",
    **versions: str,
) -> Source:
    """All newest but for `versions`; backends in `factors` take so many times as long for `read`."""
    drawn = np.random.default_rng(sum(map(ord, "".join(versions.values()))))
    cases = []
    for phase in ("read", "pipeline"):
        for backend in (SERIAL, POOL, IMREAD, DASK):
            factor = (factors or {}).get(backend, 1.0) if phase == "read" else 1.0
            cases.append(case(backend, phase, 20, *factor * np.exp(drawn.normal(0, 0.02, samples))))
    pinned = NEWEST | {name.replace("_", "-"): one for name, one in versions.items()}
    told: dict[str, Any] = {"commit": commit * 40, "python": "3.11", **pinned}
    return make_source(*cases, kind="asv", paired=False, versions=told)


def matrix(dask: dict[str, float] | None = None, **other: Any) -> list[Source]:
    """Environments with the newest of all, an older Dask (with its factors) and dask-image."""
    return [
        environment(**other),
        environment(dask, dask="2026.3.0", **other),
        environment(dask="2026.6.0", **other),
        environment(dask_image="2025.11.0", **other),
        environment(numpy="2.3.5", **other),
        environment(numpy="1.26", dask="2024.8", dask_image="2024.5", **other),
    ]


def told_of(sources: list[Source]) -> Chapter:
    """Their chapter."""
    found = chapter(sources, styles_of(sources))
    assert found is not None
    return found


def test_what_changed_is_named() -> None:
    """Reading that takes 1.3 times as long with an older Dask is named, with its interval; nothing else."""
    told = told_of(matrix({DASK: 1.3}))
    changes = [one for one in told.sentences if "times as long" in one]
    assert len(changes) == 1
    assert changes[0].startswith("read of 20 images with dask-image's filters and labels")
    assert re.search(
        r"takes 1\.[23]\d \(1\.2\d to 1\.3\d\) times as long with dask 2026\.3\.0 as with 2026\.8\.0\.$",
        changes[0],
    )
    (table,) = told.tables
    marked = [row for row in table.rows if any(cell.verdict for cell in row.cells)]
    assert [cell.verdict for cell in marked[0].cells[4:]] == ["", "slower"]
    assert [cell.note for cell in marked[0].cells[4:]] == ["2026.6.0", "2026.3.0"]
    assert len(marked) == 1


def test_backends_that_do_not_use_a_library_are_no_rows() -> None:
    """The plain loop has no row for Dask: what it differs by is the machine's noise, which is told."""
    told = told_of(matrix())
    rows = {(row.cells[0].text.split()[0], row.cells[2].text) for row in told.tables[0].rows}
    assert ("dask", SERIAL) not in rows
    assert {("numpy", SERIAL), ("dask", IMREAD), ("dask-image", DASK)} <= rows
    assert ("dask-image", IMREAD) not in rows
    assert any(one.startswith("No release changed anything") for one in told.sentences)
    assert any("by up to: read" in one for one in told.sentences)


def test_what_the_machine_does_is_not_named() -> None:
    """Where a plain loop takes 1.4 times as long with an older Dask, 1.3 times with Dask is nothing."""
    told = told_of(matrix({SERIAL: 1.4, DASK: 1.3}))
    assert not [one for one in told.sentences if "times as long" in one]
    assert not any(cell.verdict for row in told.tables[0].rows for cell in row.cells)


def test_without_samples_there_are_no_intervals() -> None:
    """Of medians alone the ratio is told without an interval, and named if the noise is smaller."""
    told = told_of(matrix({DASK: 1.5}, samples=1))
    (change,) = [one for one in told.sentences if "times as long" in one]
    assert "(1" not in change.partition("takes")[2]


def test_without_controls_nothing_is_named() -> None:
    """With NumPy alone varied every backend uses it: the noise is not known, and nothing is named."""
    told = told_of([environment(), environment({DASK: 2.0}, numpy="2.3.5")])
    assert told.sentences == (told.sentences[-1],)
    assert "noise is not known" in told.sentences[0]


@pytest.mark.parametrize(
    "others",
    [
        [],
        [environment(dask="2026.3.0", commit="b")],
        [environment(dask="2026.3.0", numpy="1.26")],
        [environment(dask="no version")],
        [make_source(case(SERIAL, "read", 20, 1.0))],
    ],
    ids=["alone", "other commit", "two apart", "no version", "a run"],
)
def test_no_releases(others: list[Source]) -> None:
    """What differs in more than one library, or in its commit, is no release of a library."""
    sources = [environment(), *others]
    assert chapter(sources, styles_of(sources)) is None


def test_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page and the terminal have the sentences first, in place of the environments one by one."""
    monkeypatch.setattr(sources, "read_sources", lambda _: matrix({DASK: 1.3}))
    result = CliRunner().invoke(main, ["report", "made-up", "--out", str(tmp_path)])
    assert result.exit_code == 0
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    for text in (page, " ".join(result.stdout.split())):
        assert "times as long with dask 2026.3.0" in text
        assert "beside 1:" not in text
        assert "can't say what to use" not in text.replace("&#39;", "'")
    assert '<h1 id="releases-comparison">' in page
    assert (tmp_path / "figures" / "releases-releases.svg").exists()
    assert (tmp_path / "tables" / "releases-releases.csv").exists()
    assert "figures/releases-releases.svg" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_what_was_measured_is_a_matrix() -> None:
    """Results as ASV wrote them: of fourteen environments, twelve differ from the newest in one library."""
    found = sources.read_sources(REFERENCE)
    assert len(found) == 14
    told = told_of(found)
    libraries = {row.cells[0].text.split()[0] for row in told.tables[0].rows}
    assert libraries == {"numpy", "scikit-image", "dask", "dask-image"}
