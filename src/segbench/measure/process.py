"""A worker process as the engine sees it."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading

import psutil

from segbench.measure.protocol import Failed, Reply, Request, decode, encode

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


def worker_environment(*, native_threads: bool) -> dict[str, str]:
    """Environment variables of a worker process."""
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "MPLBACKEND": "agg"}
    if not native_threads:
        environment.update(dict.fromkeys(NATIVE_POOLS, "1"))
    return environment


class WorkerProcess:
    """A fresh interpreter that serves one backend, and the pipes to it."""

    def __init__(self, *, native_threads: bool) -> None:
        # Open as long as the worker lives; `stop` closes it.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "segbench.measure.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            encoding="utf-8",
            env=worker_environment(native_threads=native_threads),
            # Ctrl-C is for the engine, which then stops its workers.
            start_new_session=True,
        )
        self._replies: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, request: Request) -> None:
        """Ask the worker; `receive` has its answer."""
        assert self._process.stdin is not None  # noqa: S101  (a pipe was asked for)
        # A worker that died has no answer: `receive` says so.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(encode(request))
            self._process.stdin.flush()

    def receive(self, *, limit: float | None) -> Reply:
        """Wait for the answer.

        Parameters
        ----------
        limit : float or None
            Seconds to wait at the most; None waits as long as the worker lives.

        Returns
        -------
        Reply
            `Failed` with status ``timeout`` or ``crashed`` where the worker gave none; it is then
            stopped, with all its children.
        """
        try:
            line = self._replies.get(timeout=limit)
        except queue.Empty:
            self.stop()
            return Failed("timeout", f"took longer than {limit:g} s")
        if line:
            return decode(line)  # type: ignore[return-value]  # a worker sends replies
        self._process.wait()
        cause = self._cause_of_death()
        self.stop()
        return Failed("crashed", cause)

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
        self.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=grace)
        self._kill()
        self._process.wait()
        self._errors.close()
        with contextlib.suppress(OSError, AttributeError):
            self._process.stdout.close()  # type: ignore[union-attr]  # as above

    def _kill(self) -> None:
        if hasattr(os, "killpg"):
            # The worker leads a group: its children are in it even where it is gone already.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            worker = psutil.Process(self._process.pid)
            for process in [*worker.children(recursive=True), worker]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()

    def _listen(self) -> None:
        assert self._process.stdout is not None  # noqa: S101  (a pipe was asked for)
        # The pipe may be closed by `stop` while this thread reads it.
        with contextlib.suppress(ValueError, OSError):
            for line in self._process.stdout:
                self._replies.put(line)
        self._replies.put("")

    def _cause_of_death(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        code = self._process.returncode
        cause = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
        return f"{cause}: {lines[-1]}" if lines else cause
