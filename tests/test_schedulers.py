"""Schedulers: all workers are there before the first task, and the order of items is kept."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING

import dask
import dask.array as da
import psutil
import pytest

from segbench.backends import schedulers
from segbench.backends.schedulers import ON_ONE_CPU, SCHEDULERS, WITHOUT_DASK, Cluster

if TYPE_CHECKING:
    from pathlib import Path


def note_process(folder: Path) -> None:
    """Leave a file named after the process, after a moment."""
    time.sleep(0.2)
    (folder / str(os.getpid())).touch()


def where(_: int) -> tuple[int, int]:
    """Process and thread of a task, which takes a moment."""
    time.sleep(0.02)
    return os.getpid(), threading.get_ident()


def square(number: int) -> int:
    """A task."""
    return number**2


@pytest.mark.parametrize("name", ["process-pool", "processes", "joblib"])
def test_pool_has_started(name: str, tmp_path: Path) -> None:
    """Every process of a pool has started and prepared before the first task, and works on tasks."""
    with schedulers.start(name, workers=3, prepare=partial(note_process, tmp_path)) as scheduler:
        prepared = {int(file.name) for file in tmp_path.iterdir()}
        assert len(prepared) == 3
        assert {process for process, _ in scheduler.map(where, range(12))} <= prepared


@pytest.mark.parametrize("name", WITHOUT_DASK)
def test_map_keeps_the_order(name: str) -> None:
    """Results come in the order of the items, however many there are and whoever worked on them."""
    with schedulers.start(name, workers=2) as scheduler:
        for count in (1, 2, 7, 100):
            expected = [number**2 for number in range(count)]
            assert scheduler.map(square, range(count)) == expected


@pytest.mark.parametrize("name", [name for name in SCHEDULERS if name != "distributed"])
def test_scheduler_is_where_the_work_runs(name: str) -> None:
    """Work runs in this thread, in others or in other processes, on as many workers as were asked."""
    here = (os.getpid(), threading.get_ident())
    with schedulers.start(name, workers=2) as scheduler:
        assert scheduler.workers == (1 if name in ON_ONE_CPU else 2)
        # Under Dask's schedulers `map` computes there, too.
        found = scheduler.map(where, range(4))
    elsewhere = "process" in name or name == "joblib"
    assert (here[0] not in {process for process, _ in found}) == elsewhere
    assert ({*found} == {here}) == (name in ON_ONE_CPU)
    assert dask.config.get("scheduler", None) is None


# distributed and its dependencies open sockets and files that they leave to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_distributed_prepares_its_workers(tmp_path: Path) -> None:
    """Every worker of a cluster has prepared, and Dask computes on it."""
    pytest.importorskip("distributed")
    with schedulers.start("distributed", workers=2, prepare=partial(note_process, tmp_path)):
        assert len(list(tmp_path.iterdir())) == 2
        assert int(da.ones(10, chunks=5).sum().compute()) == 10


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_cluster_at_rest_is_stopped_and_goes_on() -> None:
    """None of its processes runs, what this one runs of it waits, and all of it works afterwards."""
    pytest.importorskip("distributed")
    with schedulers.start("distributed", workers=2) as started:
        own = [psutil.Process(pid) for pid in started.client.run(os.getpid).values()]
        ticked: list[float] = []
        for _ in range(2):
            with started.at_rest():
                started.client.loop.add_callback(ticked.append, 1.0)
                time.sleep(0.3)
                assert {one.status() for one in own} == {psutil.STATUS_STOPPED}
                assert not ticked
            assert started.map(abs, [-1, -2, -3]) == [1, 2, 3]
            assert ticked.pop() == 1.0
        assert len(started.addresses) == 2


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_cluster_of_others_is_never_stopped() -> None:
    """Somebody else may work on it."""
    distributed = pytest.importorskip("distributed")
    theirs = distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=":0")
    with (
        theirs,
        schedulers.start(
            "distributed", workers=1, cluster=Cluster(address=theirs.scheduler_address)
        ) as started,
    ):
        assert started.at_rest is nullcontext


@pytest.mark.parametrize("name", ["serial", "thread-pool", "process-pool", "threads"])
def test_what_is_idle_by_itself_is_not_stopped(name: str) -> None:
    """A pool without work takes no time, so nothing is done to it."""
    with schedulers.start(name, workers=2) as started:
        assert started.at_rest is nullcontext


def test_a_cluster_starts_beside_another() -> None:
    """The port that Dask usually serves its pages on may be taken: nothing is said of it."""
    pytest.importorskip("distributed")
    with socket.socket() as other:
        with suppress(OSError):  # taken already
            other.bind(("127.0.0.1", 8787))
            other.listen()
        with schedulers.start("distributed", workers=1) as started:
            assert started.uses_dask
