"""A Dask cluster that is there: its scheduler and workers are programs of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from segbench.agreement import first_different_table
from segbench.backends import phases, schedulers
from segbench.backends.registry import BASELINE, BackendSpec
from segbench.backends.schedulers import Cluster
from segbench.errors import InputError
from segbench.images import datasets
from segbench.pipeline import PipelineParams
from segbench.results.records import RUN_NAME
from tests.programs import WAIT_SECONDS, address_in, program

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,
    # distributed and its dependencies leave sockets and files to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PARAMS = PipelineParams(diameter=8, block_size=21)
DISTRIBUTED = BackendSpec("skimage", "skimage", "distributed")


def certify(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a certificate, and tell Dask of it by its own configuration, for all who take part."""
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("openssl makes the certificate")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    new = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost")
    made = ("-keyout", str(key), "-out", str(certificate))
    subprocess.run([openssl, *new, *made], check=True, capture_output=True)  # noqa: S603  (found above)
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TLS__CA_FILE", str(certificate))
    for role in ("CLIENT", "SCHEDULER", "WORKER"):
        monkeypatch.setenv(f"DASK_DISTRIBUTED__COMM__TLS__{role}__KEY", str(key))
        monkeypatch.setenv(f"DASK_DISTRIBUTED__COMM__TLS__{role}__CERT", str(certificate))


@pytest.fixture
def protocol() -> str:
    """Of the cluster, unless a test says otherwise."""
    return "tcp"


@pytest.fixture
def cluster(
    tmp_path: Path, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, subprocess.Popen[bytes], Sequence[Any]]]:
    """Address and process of a scheduler, and the processes of two workers."""
    if protocol == "tls":
        certify(tmp_path, monkeypatch)
    told = tmp_path / "scheduler.json"
    here = ("--host", "127.0.0.1", "--scheduler-file", str(told), "--protocol", protocol)
    with program("scheduler", *here, "--port", "0", "--no-dashboard", "--no-show") as scheduler:
        address = address_in(told)
        assert address.startswith(f"{protocol}://127.0.0.1:")
        alone = (
            *("--nthreads", "1", "--no-nanny", "--no-dashboard"),
            *("--host", "127.0.0.1", "--protocol", protocol),
        )
        with program("worker", address, *alone) as one, program("worker", address, *alone) as two:
            wait = f"from distributed import Client; Client('{address}').wait_for_workers(2, 60)"
            subprocess.run([sys.executable, "-c", wait], check=True, timeout=WAIT_SECONDS)  # noqa: S603  (this interpreter)
            yield address, scheduler, (one, two)


def segbench_run(out: Path, address: str, **options: str) -> subprocess.Popen[str]:
    """Start a run of the pipeline on a cluster."""
    given = {"sizes": "8", "rounds": "1", "phases": "pipeline", "shape": "64x80", **options}
    words = [word for name, value in given.items() for word in (f"--{name}", value)]
    command = [sys.executable, "-m", "segbench", "run", "--out", str(out), *words]
    command += ["--backends", str(DISTRIBUTED), "--scheduler-address", address]
    return subprocess.Popen(  # noqa: S603  (this interpreter)
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def samples_of(out: Path) -> list[dict[str, Any]]:
    """The cluster's lines of a run, as far as they are written."""
    lines = (out / RUN_NAME).read_text().splitlines()[1:] if (out / RUN_NAME).exists() else []
    return [one for one in map(json.loads, lines) if one["scheduler"] == "distributed"]


@pytest.mark.parametrize("protocol", ["tcp", "tls"])
def test_a_run_on_a_cluster(cluster: Any, tmp_path: Path) -> None:
    """The cells are the reference's, and the cluster is there afterwards."""
    address, scheduler, workers = cluster
    with segbench_run(tmp_path / "run", address) as run:
        _, errors = run.communicate(timeout=WAIT_SECONDS)
    assert run.returncode == 0, errors
    assert {(one["status"], one["lost_workers"]) for one in samples_of(tmp_path / "run")} == {
        ("ok", 0)
    }
    assert not [each for each in (scheduler, *workers) if each.poll() is not None]


def test_a_worker_that_is_killed(cluster: Any) -> None:
    """Another one does its work: the cells are right, and it is known to be gone."""
    address, _, (one, _) = cluster
    dataset = datasets.smear(8, shape=(64, 80))
    pattern = datasets.lay_out(dataset, 8)
    with phases.started(BASELINE, workers=1) as plain:
        reference = phases.segment_files(plain, pattern, PARAMS)
    with phases.started(DISTRIBUTED, workers=1, cluster=Cluster(address=address)) as backend:
        before = backend.scheduler.addresses
        assert (len(before), backend.scheduler.workers) == (2, 2)
        one.kill()
        found = phases.run_pipeline(backend, pattern, PARAMS)
        assert first_different_table(found, reference) is None
        assert len(before - backend.scheduler.addresses) == 1


def test_a_scheduler_that_goes_away(cluster: Any, tmp_path: Path) -> None:
    """The backend ends with a line, those without the cluster go on, and the samples stay."""
    address, scheduler, _ = cluster
    out = tmp_path / "run"
    # Of one image a round follows, for which the backend is started anew.
    with segbench_run(out, address, sizes="1,8", rounds="3", **{"time-limit": "5"}) as run:
        until = time.monotonic() + WAIT_SECONDS
        while not samples_of(out) and time.monotonic() < until:
            time.sleep(0.05)
        scheduler.kill()
        _, errors = run.communicate(timeout=2 * WAIT_SECONDS)
    statuses = [one["status"] for one in samples_of(out)]
    assert statuses[0] == "ok"
    assert statuses[-1] != "ok"
    assert "Traceback" not in errors
    assert run.returncode == 0
    assert (out / "report" / "index.html").exists()
    told = [line for line in errors.splitlines() if line.startswith(f"{DISTRIBUTED}: ")]
    assert any(statuses[-1] in line for line in told)


def test_no_scheduler_there(tmp_path: Path) -> None:
    """An address where nobody answers is refused in one line, before anything is written."""
    with segbench_run(tmp_path / "run", "tcp://127.0.0.1:9") as run:
        _, errors = run.communicate(timeout=WAIT_SECONDS)
    assert run.returncode == 2
    assert errors.startswith("segbench: no Dask scheduler answers at tcp://127.0.0.1:9")
    assert len(errors.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_images_that_workers_cant_see(tmp_path: Path) -> None:
    """A worker to which a path is nothing says so, with what to do."""
    with (
        pytest.raises(InputError, match=r"can't be seen by a worker on .*; keep images"),
        phases.started(DISTRIBUTED, workers=1, image=str(tmp_path / "0.jpg")),
    ):
        pass


@pytest.mark.parametrize(("workers", "threads", "processes"), [(2, 1, 2), (2, 2, 1), (1, 4, 1)])
def test_a_cluster_of_ones_own(workers: int, threads: int, processes: int) -> None:
    """It has as many processes as threads fit into, and listens on this machine alone."""
    with schedulers.start(
        "distributed", workers=workers, cluster=Cluster(threads=threads)
    ) as scheduler:
        assert len(scheduler.addresses) == processes
        assert {*scheduler.client.nthreads().values()} == {threads}
        every = [scheduler.client.scheduler.address, *scheduler.addresses]
        assert all(address.startswith("tcp://127.0.0.1:") for address in every)


def trims() -> str | None:
    """What a worker was told of giving memory back."""
    return os.environ.get("MALLOC_TRIM_THRESHOLD_")


def test_workers_keep_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes of a cluster of one's own do not give it back after each array, as Dask's do."""
    # Dask leaves it in the environment of a process that has started a cluster.
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    with schedulers.start("distributed", workers=1) as scheduler:
        assert [*scheduler.client.run(trims).values()] == [None]
