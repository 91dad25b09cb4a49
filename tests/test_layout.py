"""The address layout that two processes share."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest

from segbench.backends.registry import BASELINE, BackendSpec, parse_spec
from segbench.images import datasets
from segbench.measure import layout, protocol
from segbench.measure.protocol import Checked, Failed, Made, Started, Timed
from segbench.measure.settings import RunSettings
from segbench.measure.workers import Arm, Conversation, WorkerProcess, end_of_start, launcher
from segbench.pipeline import PipelineParams
from segbench.results.records import Case

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from segbench.images.datasets import Dataset

shared = pytest.mark.skipif(not layout.can_be_shared(), reason="layouts can't be shared here")

# What a worker's module is in place of: it tells where the system and the allocator place memory.
PROBE = """
import ctypes, sys
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.mmap.restype = ctypes.c_void_p
environ = ctypes.c_void_p.in_dll(libc, "environ").value
mapped = libc.mmap(None, ctypes.c_size_t(1 << 20), 3, 0x22, -1, ctypes.c_size_t(0))
print(sys.argv[1:], mapped, libc.malloc(ctypes.c_size_t(100)), id(object), environ)
"""


@pytest.fixture
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of the worker's name that tells where its memory is."""
    module = tmp_path / "segbench" / "measure" / "worker.py"
    module.parent.mkdir(parents=True)
    for folder in (module.parent, module.parents[1]):
        (folder / "__init__.py").touch()
    module.write_text(PROBE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return tmp_path


def places(number: int | None) -> str:
    """What the probe tells, started as a worker of a layout is: `WorkerProcess` reads its first line."""
    told: list[bytes] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "decode", told.append)
        worker = WorkerProcess(RunSettings(memory_limit=100.0), Arm(layout=number))
        worker.receive(limit=30.0)
        worker.stop()
    return told[0].decode()


@shared
@pytest.mark.usefixtures("probe")
def test_processes_of_a_layout_are_placed_alike() -> None:
    """Of one number all addresses are the same, of others they are others; the arguments are right."""
    least, most = layout.LEAST_PAGES, layout.MOST_PAGES
    first = places(least)
    assert places(least) == first
    others = [places(number) for number in (least + 1, most, None, None)]
    # What is mapped later, where arrays are.
    assert len({one.split()[1] for one in [first, *others]}) == 5
    # The parent's number is all that is left of the arguments.
    assert {one.split()[0] for one in [first, *others]} == {f"['{os.getpid()}']"}


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has personalities")
def test_this_process_stays_as_it_is() -> None:
    """Whatever starts in the meantime, or fails to: the flag is that of the block alone."""
    personality = ctypes.CDLL(None).personality
    # Another test may have left it.
    personality(personality(layout.ASK) & ~layout.ADDR_NO_RANDOMIZE)
    before = personality(layout.ASK)
    with layout.fixed() as was_set:
        assert bool(personality(layout.ASK) & layout.ADDR_NO_RANDOMIZE) == was_set
    assert personality(layout.ASK) == before
    with pytest.raises(RuntimeError), layout.fixed():
        raise RuntimeError
    assert personality(layout.ASK) == before
    assert layout.can_be_shared() == was_set


class Refusing:
    """A C library whose system refuses the flag, as a container's filter does."""

    asked: list[int]

    def __init__(self, _name: None) -> None:
        Refusing.asked = []

    def personality(self, flags: int) -> int:
        """Tell what there is, and refuse all else."""
        Refusing.asked.append(flags)
        return 0 if flags == layout.ASK else -1


def test_where_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is set, so nothing is set back, and what is started is started as always."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", Refusing)
    assert not layout.can_be_shared()
    assert Refusing.asked == [layout.ASK, layout.ADDR_NO_RANDOMIZE]


def test_other_systems_share_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no such flag, nothing is asked of the C library."""
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", None)
    assert not layout.can_be_shared()


def test_each_round_has_a_layout() -> None:
    """It follows the seed and the round, and each can be mapped."""
    of = layout.of_round
    assert of(1, 1) == of(1, 1)
    assert len({of(seed, number) for seed in (1, 2) for number in range(1, 33)}) > 55
    many = {of(0, number) for number in range(20000)}
    assert (min(many), max(many)) == (layout.LEAST_PAGES, layout.MOST_PAGES)
    assert {len(layout.stack_pad(pages)) % 16 for pages in many} == {0}


@pytest.fixture(scope="module")
def images() -> Dataset:
    """Two small images."""
    return datasets.smear(2, shape=(48, 64))


def talk_to(
    images: Dataset, backend: BackendSpec, number: int = layout.LEAST_PAGES
) -> Conversation:
    """A worker of a layout."""
    # Small cells, so that the block fits into the images.
    asked = RunSettings(workers=2, memory_limit=100.0, params=PipelineParams(diameter=9))
    arm = Arm(backend=backend, layout=number)
    return Conversation(arm, launch=launcher(asked), settings=asked, dataset=images)


def serve(images: Dataset, backend: BackendSpec, folder: Path) -> Iterator[Any]:
    """All that a gate asks of a worker of a layout; the answers, one after the other."""
    talk = talk_to(images, backend)
    try:
        yield talk.start()(end_of_start(talk.settings))
        if backend == BASELINE:
            yield talk.make_reference(str(folder), count=2)
        for phase in ("read", "pipeline"):
            ready = talk.check(Case(backend, 2, phase), str(folder))()
            yield ready
            objects = 0
            if phase == "pipeline":
                with np.load(folder / "objects.npz") as found:
                    objects = sum(len(found[name]) for name in found.files)
            yield talk.time(phase, calls=1, objects=objects, cpu=None)
        family = psutil.Process(talk.worker.pid).children(recursive=True)  # type: ignore[attr-defined]  # a process
    finally:
        talk.worker.stop(grace=5.0)
    assert psutil.wait_procs(family, timeout=10)[1] == []


@pytest.fixture(scope="module")
def reference(images: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the reference finds, made by a worker of a layout."""
    folder = tmp_path_factory.mktemp("reference")
    kinds = [type(reply) for reply in serve(images, BASELINE, folder)]
    assert kinds == [Started, Made, Checked, Timed, Checked, Timed]
    return folder


@pytest.mark.parametrize(
    "backend",
    [
        "skimage/skimage/process-pool",
        pytest.param("dask-image/dask-image/distributed", marks=pytest.mark.slow),
    ],
)
def test_pools_of_processes_work(images: Dataset, reference: Path, backend: str) -> None:
    """A worker of a layout serves what starts processes of its own, and ends with all of them."""
    if backend.endswith("distributed"):
        pytest.importorskip("distributed")
    kinds = [type(reply) for reply in serve(images, parse_spec(backend), reference)]
    assert kinds == [Started, Checked, Timed, Checked, Timed]


def test_a_worker_of_a_layout_can_be_killed(images: Dataset) -> None:
    """What kills it is told, and its pool ends with it."""
    talk = talk_to(images, parse_spec("skimage/skimage/process-pool"))
    assert isinstance(talk.start()(end_of_start(talk.settings)), Started)
    assert isinstance(talk.worker, WorkerProcess)
    running = psutil.Process(talk.worker.pid)
    family = [running, *running.children(recursive=True)]
    assert len(family) > 2
    running.kill()
    reply = talk.check(Case(talk.arm.backend, 1, "open"), "nowhere")()
    assert reply == Failed("crashed", "killed by signal 9")
    assert psutil.wait_procs(family, timeout=10)[1] == []
