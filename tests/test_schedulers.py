"""Schedulers: all workers are there before the first task, and the order of items is kept."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from segbench.backends import schedulers
from segbench.backends.schedulers import SCHEDULERS, WITHOUT_DASK

if TYPE_CHECKING:
    from pathlib import Path


def note_process(folder: Path) -> None:
    """Leave a file named after the process, after a moment."""
    time.sleep(0.2)
    (folder / str(os.getpid())).touch()


def square(number: int) -> int:
    """A task."""
    return number**2


@pytest.mark.parametrize("name", ["process-pool", "processes"])
def test_pool_has_started(name: str, tmp_path: Path) -> None:
    """Every process of a pool has started and prepared before the first task."""
    with schedulers.start(name, workers=3, prepare=partial(note_process, tmp_path)):
        assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("name", WITHOUT_DASK)
@pytest.mark.parametrize("count", [1, 2, 9])
def test_map_keeps_the_order(name: str, count: int) -> None:
    """Results come in the order of the items, however they are spread."""
    with schedulers.start(name, workers=2) as scheduler:
        assert scheduler.map(square, range(count)) == [number**2 for number in range(count)]


@pytest.mark.parametrize("name", [name for name in SCHEDULERS if name != "distributed"])
def test_workers_are_as_asked(name: str) -> None:
    """A scheduler has the workers asked for, or one where it has only one."""
    with schedulers.start(name, workers=2) as scheduler:
        assert scheduler.workers == (1 if name in ("serial", "synchronous") else 2)


# distributed and its dependencies open sockets and files that they leave to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_distributed_prepares_its_workers(tmp_path: Path) -> None:
    """Every worker of a cluster has prepared, and Dask computes on it."""
    pytest.importorskip("distributed")
    import dask.array as da  # noqa: PLC0415

    with schedulers.start("distributed", workers=2, prepare=partial(note_process, tmp_path)):
        assert len(list(tmp_path.iterdir())) == 2
        assert int(da.ones(10, chunks=5).sum().compute()) == 10
