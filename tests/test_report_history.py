"""The history of a source over commits: its figure, and the table of its steps."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from segbench.report.history import history_figure, history_of, steps_table
from segbench.report.page import build, styles_of
from segbench.results.sources import read_sources
from tests.made_up import DASK, POOL, SERIAL, called, case, make_source, rows_of, tables_of
from tests.test_sources import asv_content, asv_row, write_asv

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from segbench.report.drawing import Drawing
    from segbench.results.sources import Source


def history_of_source(source: Source) -> Drawing:
    """The figure of its history."""
    past = history_of(source)
    assert past is not None
    return history_figure(past, styles_of([source]))


def asv_history(folder: Path) -> Source:
    """Three commits in one environment, of which the last written is not the newest."""
    for number, commit in enumerate(["aaaaaaaaaa", "cccccccccc", "bbbbbbbbbb"]):
        content = asv_content(time_read=asv_row([0.1 * (number + 1)] * 4))
        content |= {"commit_hash": commit, "requirements": {"dask": "1"}}
        content["date"] += {"a": 0, "b": 1, "c": 2}[commit[0]] * 1000
        os.utime(write_asv(folder, content, commit=commit), (number, number))
    (source,) = read_sources(folder)
    return source


def test_history(tmp_path: Path) -> None:
    """ASV's results of one machine make a history in the order of their commits."""
    source = asv_history(tmp_path)
    assert source.versions["commit"] == "bbbbbbbbbb"
    assert [state.versions["commit"][0] for state in source.history] == ["a", "c"]
    drawing = history_of_source(source)
    assert f"in 3 results, oldest first: read of 20 images with {called(SERIAL)}" in drawing.alt
    assert "from 100 ms to 200 ms" in drawing.alt
    labels = re.findall(rb">([abc]{8})<", drawing.svg)
    assert labels == [b"aaaaaaaa", b"bbbbbbbb", b"cccccccc"]


def test_history_leaves_out_what_it_cannot_read(tmp_path: Path) -> None:
    """A damaged result of an earlier commit does not stop the report of the last: it is named."""
    asv_history(tmp_path)
    damaged = next((tmp_path / "here").glob("aaaa*"))
    damaged.write_text("{", encoding="utf-8")
    os.utime(damaged, (0, 0))
    (source,) = read_sources(tmp_path)
    assert [state.versions["commit"][0] for state in source.history] == ["c"]
    assert damaged.name in source.notes[0]


def test_history_of_a_backend_that_came_later() -> None:
    """Where a result has not timed a backend, its line has no point; without others is no history."""
    early, late = case(SERIAL, "read", 20, 0.5), case(POOL, "read", 20, 0.2)
    sources = [make_source(early), make_source(early, late), make_source(early, late)]
    states = [replace(one, started=f"2024-01-0{day}") for day, one in enumerate(sources, start=1)]
    source = replace(states[2], history=tuple(states[:2]))
    drawing = history_of_source(source)
    assert f"read of 20 images with {called(POOL)} from 200 ms to 200 ms." in drawing.alt
    assert b">2024-01-01<" in drawing.svg
    assert history_of(states[2]) is None


def with_steps(*levels: float, noise: float = 0.01, left_out: int = -1) -> Source:
    """Commits c00, c01 ..., at which the pool's time of 20 images has these levels; the loop's is one.

    The pool has no time at the commit `left_out`.
    """
    drawn = np.random.default_rng(7)
    states = []
    for number, level in enumerate(levels):
        loop, pool = np.exp(drawn.normal(0, noise, 2)) * (1.0, level)
        cases = [case(SERIAL, "read", 20, loop)]
        if number != left_out:
            cases.append(case(POOL, "read", 20, pool))
        versions = {"commit": f"c{number:02}", "dask": "1"}
        started = f"2024-01-{number + 1:02}T00:00:00+00:00"
        states.append(make_source(*cases, kind="asv", versions=versions, started=started))
    return replace(states[-1], paired=False, history=tuple(states[:-1]))


def test_a_step_is_told_with_its_commit() -> None:
    """The table names the commit, the backend, by how much, and how likely chance is; the figure rings it."""
    source = with_steps(*[0.5] * 9, *[0.6] * 6)
    ((new, old, backend, phase, size, ratio, chance),) = rows_of(source, "steps")
    assert (new, old) == ("c09 2024-01-10", "c08 2024-01-09")
    assert (backend, phase, size) == (POOL, "read", "20")
    assert re.fullmatch(r"1\.[12]\d× \(1\.1\d–1\.2\d\) slower", ratio)
    assert chance == "below 0.0001"
    drawing = history_of_source(source)
    assert drawing.table == "steps"
    assert "a step at c09" in drawing.alt
    assert b"the first commit after a step" in drawing.svg


def test_a_step_beside_a_commit_without_a_time() -> None:
    """A commit at which a backend was not timed lies between the two that are named."""
    source = with_steps(*[0.5] * 8, *[0.4] * 7, left_out=8)
    ((new, old, *_, ratio, _),) = rows_of(source, "steps")
    assert (new[:3], old[:3]) == ("c09", "c07")
    assert ratio.endswith("faster")


def test_a_history_without_steps() -> None:
    """Where nothing changes there is no table, and the figure says that it was looked for."""
    source = with_steps(*[0.5] * 15)
    assert "steps" not in tables_of(source)
    drawing = history_of_source(source)
    assert drawing.table == ""
    assert "No step is more than chance explains." in drawing.caption


def test_a_short_history_is_not_looked_at() -> None:
    """Below six commits no step can be told from noise, and the figure says so."""
    source = with_steps(*[0.5] * 3, *[5.0] * 2)
    past = history_of(source)
    assert past is not None
    assert (past.looked, steps_table(past)) == (0, None)
    assert "6 commits or more" in history_of_source(source).caption


def test_chance_is_corrected_for_all_cases() -> None:
    """The more cases are looked at, the less sure is a step in one of them."""
    alone = with_steps(*[0.5] * 4, *[0.53] * 4)

    def beside_others(state: Source) -> Source:
        same = [case(DASK, "read", size, 1.0) for size in range(1, 60)]
        samples = make_source(case(POOL, "read", 20, *state.samples["seconds"][1:]), *same).samples
        return replace(state, samples=samples, history=tuple(map(beside_others, state.history)))

    past, crowded = history_of(alone), history_of(beside_others(alone))
    assert past is not None
    assert crowded is not None
    assert (past.looked, crowded.looked) == (2, 60)
    assert [one.backend for one in past.steps] == [POOL]
    assert not crowded.steps


def test_without_the_library_the_page_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without ruptures the history is drawn, and its caption has the command that brings the steps."""
    monkeypatch.setattr("segbench.report.history.can_look", lambda: False)
    source = with_steps(*[0.5] * 9, *[0.6] * 6)
    assert "steps" not in tables_of(source)
    page = build([source], tmp_path).read_text(encoding="utf-8")
    assert "pip install &#34;segbench[report]&#34;" in page


def test_steps_of_asv_results(tmp_path: Path) -> None:
    """ASV's results of one environment are enough: reading became slower for all, at one commit."""
    for number in range(10):
        seconds = 0.1 * (1.3 if number >= 6 else 1) * (1.001 + 0.001 * (-1) ** number)
        content = asv_content(time_read=asv_row([seconds] * 4))
        content |= {"commit_hash": f"{number}" * 10, "date": 1704164645000 + number}
        os.utime(write_asv(tmp_path, content, commit=f"{number}" * 8), (number, number))
    assert json.loads(next((tmp_path / "here").glob("6*")).read_text())["date"]
    (source,) = read_sources(tmp_path)
    rows = rows_of(source, "steps")
    assert {one[0] for one in rows} == {"66666666 2024-01-02"}
    assert len(rows) == 4
