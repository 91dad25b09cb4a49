"""A worker process as the engine sees it."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

import psutil

from segbench.measure.memory import resident_mib
from segbench.measure.pipes import lines_of
from segbench.measure.protocol import Failed, Reply, Request, decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

# Set to 1 these keep the pools of the native libraries from multiplying with the scheduler's own
# threads; each library reads its own when it is loaded.
NATIVE_POOLS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)

# Where this interpreter finds modules: another one is to find its own.
OWN_VARIABLES = ("PYTHONPATH", "PYTHONHOME")

# How often a worker that has not answered is looked at from outside: a look takes a millisecond.
LOOK_SECONDS = 0.1


def set_variables(*, native_threads: bool) -> dict[str, str]:
    """Environment variables that make workers alike, whatever the user's shell holds."""
    variables = {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "MPLBACKEND": "agg"}
    return variables if native_threads else {**variables, **dict.fromkeys(NATIVE_POOLS, "1")}


def worker_environment(*, native_threads: bool) -> dict[str, str]:
    """Environment variables of a worker process."""
    return {**os.environ, **set_variables(native_threads=native_threads)}


def foreign_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Those of them that another interpreter may have, too: not where this one finds its modules."""
    return {name: value for name, value in variables.items() if name not in OWN_VARIABLES}


def over_memory(held: float, limit: float) -> str:
    """Words for GiB held beyond a limit."""
    return f"held {held:.2f} GiB, more than the limit of {limit:g} GiB"


def kill_family(leader: int) -> None:
    """Kill a worker process and all that it started, whatever they are doing.

    Parameters
    ----------
    leader : int
        Process id; where the platform has groups, it leads one.
    """
    family: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(leader)
        family = [*process.children(recursive=True), process]
    # The leader last, since it may be the one that calls this.
    for member in family[:-1]:
        with contextlib.suppress(psutil.Error):
            member.kill()
    if hasattr(os, "killpg"):
        # Members whose parents are gone are no longer anybody's children.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)
    for member in family[-1:]:
        with contextlib.suppress(psutil.Error):
            member.kill()


def stop_all(workers: Iterable[WorkerProcess], *, grace: float = 0.0) -> None:
    """End some workers: all are told before the first is waited for.

    Parameters
    ----------
    workers : iterable of WorkerProcess
        Those that have ended stay so.
    grace : float
        Seconds that each has to end by itself, with its pool put away.
    """
    ending = list(workers)
    for worker in ending:
        worker.close()
    for worker in ending:
        worker.stop(grace=grace)


class WorkerProcess:
    """A fresh interpreter that serves one backend, and the pipes to it.

    Parameters
    ----------
    native_threads : bool
        Leave the thread pools of native libraries as they are.
    memory_limit : float
        GiB that the worker and its children may hold; beyond it they are killed.
    python : Path, optional
        Another interpreter than this one, in whose environment segbench is installed.
    """

    def __init__(
        self, *, native_threads: bool, memory_limit: float, python: Path | None = None
    ) -> None:
        self._memory_limit = memory_limit
        self._stopped = False
        self.started = time.perf_counter()
        # Open as long as the worker lives; `stop` closes it.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        variables = worker_environment(native_threads=native_threads)
        self._process = subprocess.Popen(  # noqa: S603  (an interpreter, on segbench's own module)
            # -P: what lies in the working folder is not to be taken for a library.
            [
                str(python or sys.executable),
                "-P",
                "-m",
                "segbench.measure.worker",
                str(os.getpid()),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            env=foreign_environment(variables) if python else variables,
            # Ctrl-C is for the engine, which then stops its workers.
            start_new_session=True,
        )
        assert self._process.stdout is not None  # noqa: S101  (a pipe was asked for)
        self._lines = lines_of(self._process.stdout)

    def send(self, request: Request) -> None:
        """Ask the worker; `receive` has its answer."""
        assert self._process.stdin is not None  # noqa: S101  (a pipe was asked for)
        # A worker that died has no answer: `receive` says so.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(encode(request).encode())

    def receive(self, *, limit: float | None) -> Reply:
        """Wait for the answer.

        Parameters
        ----------
        limit : float or None
            Seconds to wait at the most; None waits as long as the worker lives.

        Returns
        -------
        Reply
            `Failed` with status ``timeout``, ``memory`` or ``crashed`` where the worker gave none;
            it is then stopped, with all its children.
        """
        end = math.inf if limit is None else time.monotonic() + limit
        while True:
            left = end - time.monotonic()
            # Most answers come before the first look, which would disturb them.
            line = self._lines.read(max(0.0, min(LOOK_SECONDS, left)))
            if line is not None:
                break
            if self._process.poll() is not None:
                # It is gone, and a child of its own holds the pipe open.
                line = b""
                break
            failure = self._over_a_limit(late=time.monotonic() >= end, limit=limit)
            if failure:
                self.stop()
                return failure
        if line:
            return decode(line.decode())  # type: ignore[return-value]  # a worker sends replies
        self._process.wait()
        cause = self._cause_of_death()
        self.stop()
        return Failed("crashed", cause)

    def _over_a_limit(self, *, late: bool, limit: float | None) -> Failed | None:
        if late:
            return Failed("timeout", f"took longer than {limit:g} s")
        held = self.resident_mib() / 1024
        if held > self._memory_limit:
            return Failed("memory", over_memory(held, self._memory_limit))
        return None

    def resident_mib(self) -> float:
        """Resident size of the worker and its children now, in MiB; 0 where it is gone."""
        try:
            return resident_mib(psutil.Process(self._process.pid))
        except psutil.NoSuchProcess:
            return 0.0

    def ask(self, request: Request, *, limit: float | None) -> Reply:
        """Send a request and wait for the answer, as `receive` does."""
        self.send(request)
        return self.receive(limit=limit)

    def close(self) -> None:
        """Tell the worker to end when it has answered; `stop` waits for it."""
        # What could not be sent to a dead worker is lost with it.
        with contextlib.suppress(OSError, AttributeError):
            self._process.stdin.close()  # type: ignore[union-attr]  # None has no close: suppressed

    def stop(self, *, grace: float = 0.0) -> None:
        """End the worker and all its children, whatever they are doing.

        Parameters
        ----------
        grace : float
            Seconds that it has to end by itself, with its pool put away.
        """
        if self._stopped:
            # Its number may be another process's by now.
            return
        self._stopped = True
        self.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=grace)
        kill_family(self._process.pid)
        self._process.wait()
        self._errors.close()
        with contextlib.suppress(OSError, AttributeError):
            self._process.stdout.close()  # type: ignore[union-attr]  # as above

    def _cause_of_death(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        code = self._process.returncode
        cause = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
        return f"{cause}: {lines[-1]}" if lines else cause
