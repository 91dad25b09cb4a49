"""Workers as the engine sees them: processes that serve one backend each, and what is said to them.

A run and a gate talk to their workers through :class:`Conversation`: start, check, time, profile.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import itertools
import math
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

import psutil

from segbench.backends import schedulers
from segbench.backends.registry import BASELINE
from segbench.images import datasets
from segbench.measure import layout, protocol
from segbench.measure.memory import resident_mib
from segbench.measure.protocol import Checked, Failed, Made, Profiled, Refused, Started, Timed
from segbench.measure.settings import ZARR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from segbench.backends.registry import BackendSpec
    from segbench.backends.schedulers import Cluster
    from segbench.images.datasets import Dataset
    from segbench.measure.protocol import Pace, Reply, Request
    from segbench.measure.settings import Settings
    from segbench.results.records import Case

# Set to 1 these keep the pools of the native libraries from multiplying with the scheduler's own
# threads; each library reads its own when it is loaded.
NATIVE_POOLS = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"),
)

R = TypeVar("R", bound=protocol.Message)

# Where this interpreter finds modules: another one is to find its own.
OWN_VARIABLES = ("PYTHONPATH", "PYTHONHOME")

# How often a worker that has not answered is looked at from outside: a look takes a millisecond.
LOOK_SECONDS = 0.1

# Which worker a process belongs to, whoever its parent is by now.
MARK = "SEGBENCH_WORKER"

# So often are marks looked for at the most, with a pause before each look but the first: what goes on
# starting others for longer is not caught up with. What may be starting itself is waited for less.
LOOKS_FOR_MARKS, LOOKS_FOR_STARTING, MARK_SECONDS = 20, 5, 0.005

# What a worker has to put its pool away at its end.
END_SECONDS = 5.0

# On top of the limit of a call: a worker imports its libraries and starts its pool, all workers at
# the same time.
START_SECONDS = 30.0

# On top of it too: loading the reference, comparing with it, and warming up. More for more pixels.
COMPARE_SECONDS = 10.0
COMPARED_PER_SECOND = 10e6

# So much longer than its calls may a sample take: a collection before it, and the answer's way.
SAMPLE_EXTRA_SECONDS = 1.0

# A sample shorter than this is within reach of the clock and of the interpreter's own noise, so it
# is made of as many calls as it takes.
SAMPLE_SECONDS = 0.005

# A profile's calls: the first on one image, one to warm up, and those that are recorded.
PROFILE_CALLS = 5


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What is measured side by side with others.

    Attributes
    ----------
    backend : BackendSpec
        Which one; the baseline, unless told otherwise.
    side : str
        Of a gate: ``base``, ``head``, ...; empty in a run.
    python : Path, optional
        Interpreter in whose environment segbench is; None: this one.
    slowdown : float
        Share by which its calls are given more work.
    layout : int, optional
        Which address layout its process has, of those that processes can share; None: one of its
        own, at random.
    memory : float, optional
        GiB that its worker may hold, where that is not what the settings say.
    """

    backend: BackendSpec = BASELINE
    side: str = ""
    python: Path | None = None
    slowdown: float = 0.0
    layout: int | None = None
    memory: float | None = None


class Worker(Protocol):
    """The other end of a conversation: a process, or what stands in for one in a test."""

    def send(self, request: Request) -> None:
        """Ask; `receive` has the answer."""

    def receive(self, *, limit: float | None) -> Reply:
        """Wait for the answer, so many seconds at the most; `Failed` where there is none."""

    def close(self) -> None:
        """Tell it to end when it has answered."""

    def stop(self, *, grace: float = 0.0) -> None:
        """End it, after so many seconds in which it may do so itself."""


Launch: TypeAlias = "Callable[[Arm], Worker]"


def launcher(settings: Settings) -> Launch:
    """How the workers of a run or a gate are started: each as a process."""
    return partial(WorkerProcess, settings)


class Conversation:
    """A worker, and all that is said to it.

    Several workers may be asked before the first is heard: `start` and `check` ask, and what they
    return hears the answer.

    Parameters
    ----------
    arm : Arm
        What the worker serves.
    launch : callable
        Starts a worker for it.
    settings : Settings
        Of the run or the gate.
    dataset : Dataset
        Whose images it works on.
    """

    def __init__(self, arm: Arm, *, launch: Launch, settings: Settings, dataset: Dataset) -> None:
        self.arm = arm
        self.settings = settings
        self.dataset = dataset
        # The worker's first moment.
        self.started = time.perf_counter()
        self.worker = launch(arm)

    def start(self) -> Callable[[float], Started | Refused | Failed]:
        """Ask the worker to start its backend; the answer comes by a time of the monotonic clock."""
        self.worker.send(
            protocol.Start(*self._first(), self.arm.slowdown, _memory_of(self.arm, self.settings))
        )

        def hear(end: float) -> Started | Refused | Failed:
            reply = self.worker.receive(limit=max(0.0, end - time.monotonic()))
            return reply if isinstance(reply, Refused) else _expected(reply, Started)

        return hear

    def _first(self) -> tuple[str, int, str, dict[str, bool | str | int | float], Cluster]:
        """What the first request says, whichever it is."""
        settings, image = self.settings, datasets.lay_out_small(self.dataset)
        params = dataclasses.asdict(settings.params)
        return str(self.arm.backend), settings.workers, image, params, settings.cluster

    def _pattern(self, count: int) -> str:
        """The images as the reader of the arm takes them."""
        if self.dataset.is_large and self.arm.backend.reader == ZARR:
            return datasets.lay_out_zarr(self.dataset)
        return datasets.lay_out(self.dataset, count)

    def make_reference(
        self, folder: str, *, count: int, truth: int = 0, table_only: bool = False
    ) -> Made | Failed:
        """Have so many images segmented, which all are compared with.

        Written to `folder`; compared with the ground truth of the first `truth` images. There is no
        limit: without a reference there is nothing to rank. With `table_only` there are no label images
        to be compared, and no pixels for the phases but the pipeline.
        """
        files = [str(file) for file in self.dataset.truth[: min(count, truth)]]
        pattern = self._pattern(count)
        self.worker.send(protocol.Reference(pattern, folder, files, table_only))
        return _expected(self.worker.receive(limit=None), Made)

    def check(
        self,
        case: Case,
        folder: str,
        *,
        sample_seconds: float = SAMPLE_SECONDS,
        few: int = 0,
        pace: Pace | None = None,
    ) -> Callable[[], Checked | Failed]:
        """Ask for a case to be run once, compared with the reference in `folder`, and warmed up.

        With `few`, only warmed up, on so many images: for long calls of a case that was compared in
        an earlier process. With a `pace`, called as often as that says. Of the answer is looked at
        what only the worker knows, too: the time of the call alone, and its peak.
        """
        settings = self.settings
        pixels = case.n_images * math.prod(self.dataset.shape[:2])
        # Where the label images are compared, too, they are made by a call of their own, and a cluster
        # tells of one more.
        calls = 1 if pace else 3
        limit = calls * settings.time_limit + COMPARE_SECONDS + pixels / COMPARED_PER_SECOND
        end = time.monotonic() + limit
        pattern = self._pattern(case.n_images)
        few_pattern = self._pattern(few) if few else ""
        self.worker.send(
            protocol.Check(
                *(case.phase, pattern, case.n_images, folder, sample_seconds),
                *(few, few_pattern, pace),
            )
        )

        def hear() -> Checked | Failed:
            reply = self.worker.receive(limit=max(0.0, end - time.monotonic()))
            checked = _expected(reply, Checked)
            if isinstance(checked, Failed):
                return checked
            if (checked.seconds or 0.0) > settings.time_limit:
                return _too_long(settings.time_limit)
            held = (checked.peak_mib or 0.0) / 1024
            if held > settings.memory_limit:
                return _too_large(held, settings.memory_limit)
            return Failed("wrong-result", checked.difference) if checked.difference else checked

        return hear

    def time(
        self, phase: str, *, calls: int, objects: int, cpu: int | None, warm: bool = True
    ) -> Timed | Failed:
        """Take a sample of a phase that was checked; `objects` is how many are there to be found."""
        limit = self.settings.time_limit
        self.worker.send(protocol.Time(phase, calls, warm, cpu))
        reply = self.worker.receive(limit=SAMPLE_EXTRA_SECONDS + calls * limit)
        timed = _expected(reply, Timed)
        if isinstance(timed, Failed):
            return timed
        if timed.seconds > limit:
            return _too_long(limit)
        if timed.objects not in (None, objects):
            return Failed("wrong-result", f"{timed.objects} objects, other than when compared")
        return timed

    def profile(self, *, count: int) -> Profiled | Failed:
        """Find out where the time goes, in a worker that was asked nothing before."""
        pattern = self._pattern(count)
        self.worker.send(protocol.Profile(*self._first(), pattern, count, self.started))
        limit = START_SECONDS + PROFILE_CALLS * self.settings.time_limit
        return _expected(self.worker.receive(limit=limit), Profiled)


def _memory_of(arm: Arm, settings: Settings) -> float:
    return arm.memory or settings.memory_limit


def end_of_start(settings: Settings) -> float:
    """When workers that start now must have started, by the monotonic clock."""
    return time.monotonic() + START_SECONDS + settings.time_limit


def stop_all(conversations: Iterable[Conversation], *, grace: float = 0.0) -> None:
    """End some workers: all are told before the first is waited for.

    Parameters
    ----------
    conversations : iterable of Conversation
        Those whose workers have ended stay so.
    grace : float
        Seconds that each has to end by itself, with its pool put away.
    """
    workers = [one.worker for one in conversations]
    for worker in workers:
        worker.close()
    for worker in workers:
        worker.stop(grace=grace)


def cpu_of(case: Case, turn: int) -> int | None:
    """The CPU that whatever works on one CPU has in its turn; each CPU has one.

    None for what works on several, and where a process can't be put on one.
    """
    # To open is to list files and to build a task graph: no scheduler has a part in that.
    on_one = case.phase == "open" or case.backend.scheduler in schedulers.ON_ONE_CPU
    if not on_one or not hasattr(os, "sched_getaffinity"):
        return None
    cpus = sorted(os.sched_getaffinity(0))
    return cpus[turn % len(cpus)]


def _expected(reply: Reply, kind: type[R]) -> R | Failed:
    """An answer of the kind that was hoped for, or any other as a status and its cause."""
    if isinstance(reply, kind | Failed):
        return reply
    if isinstance(reply, Refused):
        return Failed("error", reply.reason)
    return Failed("error", f"unexpected answer {type(reply).__name__}")


def _too_long(limit: float) -> Failed:
    return Failed("timeout", f"took longer than {limit:g} s")


def _too_large(held: float, limit: float) -> Failed:
    return Failed("memory", f"held {held:.2f} GiB, more than the limit of {limit:g} GiB")


# Processes


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


def _children(pid: int) -> list[psutil.Process]:
    """All that a process has started and its children have; none where it is gone."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).children(recursive=True)
    return []


def _kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()


def adopt_orphans() -> None:
    """Become the parent of descendants whose own have ended, where the platform has that (Linux).

    What a plugin starts is then found among the children of its worker, however it was started.
    """
    if sys.platform == "linux":
        # PR_SET_CHILD_SUBREAPER; other C libraries have the function, too.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def kill_left_behind(mark: str, *, since: float) -> None:
    """Kill whatever has a worker's mark in its environment, whoever its parent is by now.

    Parameters
    ----------
    mark : str
        Of the worker.
    since : float
        When it was started, in seconds since the epoch.
    """
    for look in range(LOOKS_FOR_MARKS):
        time.sleep(MARK_SECONDS if look else 0)
        marks = [(process, _mark_of(process)) for process in psutil.process_iter()]
        left = [process for process, own in marks if own == mark]
        # For a moment, in which one program takes another's place, a process has no environment.
        starting = any(own is None and _may_start(process, since) for process, own in marks)
        # More than once: what was started during a look was not in its list.
        if not left and look >= (LOOKS_FOR_STARTING if starting else 1):
            return
        _kill(left)


def _mark_of(process: psutil.Process) -> str | None:
    """The mark of a process, empty without one; None where it has no environment."""
    with contextlib.suppress(psutil.Error, OSError):
        variables = process.environ()
        return variables.get(MARK, "") if variables else None
    return ""


def _may_start(process: psutil.Process, since: float) -> bool:
    """Whether it is young and has not ended; when it was started is known to within a second."""
    with contextlib.suppress(psutil.Error):
        return process.create_time() > since - 1 and process.status() != psutil.STATUS_ZOMBIE
    return False


def kill_family(leader: int) -> None:
    """Kill a worker process and all that it started, whatever they are doing.

    Parameters
    ----------
    leader : int
        Process id; where the platform has groups, it leads one.
    """
    _kill(_children(leader))
    # The leader last, since it may be the one that calls this.
    if hasattr(os, "killpg"):
        # Members whose parents are gone are no longer anybody's children.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)
    with contextlib.suppress(psutil.Error):
        psutil.Process(leader).kill()


_NUMBERS = itertools.count(1)


class WorkerProcess:
    """A fresh interpreter that serves one backend, and the pipes to it.

    Parameters
    ----------
    settings : Settings
        Whether the thread pools of native libraries stay as they are, and the GiB that the worker
        and its children may hold; beyond it they are killed.
    arm : Arm
        With the interpreter, where it is another one than this.

    Attributes
    ----------
    pid : int
        Of the process.
    """

    def __init__(self, settings: Settings, arm: Arm) -> None:
        self._memory_limit = _memory_of(arm, settings)
        self._stopped = False
        # Open as long as the worker lives; `stop` closes it.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._mark = f"{os.getpid()}-{next(_NUMBERS)}"
        self._started = time.time()
        variables = worker_environment(native_threads=settings.native_threads)
        variables[MARK] = self._mark
        interpreter = str(arm.python or sys.executable)
        # -P: what lies in the working folder is not to be taken for a library.
        command = [interpreter, "-P", "-m", "segbench.measure.worker", str(os.getpid())]
        placed: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
        if arm.layout is not None:
            command[2:4] = ["-c", layout.START]
            command.append(str(arm.layout))
            variables["SEGBENCH_LAYOUT"] = layout.stack_pad(arm.layout)
            placed = layout.fixed()
        with placed:
            self._process = subprocess.Popen(  # noqa: S603  (an interpreter, on segbench's own module)
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=foreign_environment(variables) if arm.python else variables,
                # Ctrl-C is for the engine, which then stops its workers.
                start_new_session=True,
            )
        self.pid = self._process.pid
        assert self._process.stdin is not None  # noqa: S101  (a pipe was asked for)
        self._requests = self._process.stdin
        # Heard by a thread, since Windows can't wait for a pipe in any other way.
        self._lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None  # noqa: S101  (as above)
        # Closed here: a process that outlives the worker may hold the pipe open.
        with self._process.stdout as replies:
            for line in replies:
                # A worker that is killed while it writes leaves half a line.
                if line.endswith(b"\n"):
                    self._lines.put(line)
        self._lines.put(b"")

    def send(self, request: Request) -> None:
        """Ask the worker; `receive` has its answer."""
        # A worker that died has no answer: `receive` says so.
        with contextlib.suppress(BrokenPipeError):
            self._requests.write(protocol.encode(request))
            self._requests.flush()

    def receive(self, *, limit: float | None) -> Reply:
        """Wait for the answer.

        Parameters
        ----------
        limit : float or None
            Seconds to wait at the most; None waits as long as the worker lives.

        Returns
        -------
        Reply
            `Failed` with status ``timeout``, ``memory`` or ``crashed`` where the worker gave none that
            can be understood;
            it is then stopped, with all its children.
        """
        end = math.inf if limit is None else time.monotonic() + limit
        while True:
            left = end - time.monotonic()
            line = None
            # Most answers come before the first look, which would disturb them.
            with contextlib.suppress(queue.Empty):
                line = self._lines.get(timeout=max(0.0, min(LOOK_SECONDS, left)))
            if line:
                with contextlib.suppress(ValueError, RecursionError):
                    return protocol.decode(line)  # type: ignore[return-value]  # a worker sends replies
                # A plugin has written to whatever was open: what comes next can't be trusted either.
                self.stop()
                return Failed("crashed", "answered with something that is no reply")
            # It is gone; perhaps a child of its own holds the pipe open.
            if line is not None or self._process.poll() is not None:
                self._process.wait()
                failure = Failed("crashed", self._cause_of_death())
            elif limit is not None and time.monotonic() >= end:
                failure = _too_long(limit)
            elif (held := resident_mib(self.pid) / 1024) > self._memory_limit:
                failure = _too_large(held, self._memory_limit)
            else:
                continue
            self.stop()
            return failure

    def close(self) -> None:
        """Tell the worker to end when it has answered; `stop` waits for it."""
        # What could not be sent to a dead worker is lost with it.
        with contextlib.suppress(OSError):
            self._requests.close()

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
        family = _children(self.pid)
        self.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=grace)
        kill_family(self.pid)
        self._process.wait()
        # What was let go of is no longer among the children of anybody here.
        _kill(family)
        kill_left_behind(self._mark, since=self._started)
        self._errors.close()

    def _cause_of_death(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        # What cleans up after the pool of a dead worker is no cause.
        lines = [line for line in lines if "resource_tracker" not in line]
        code = self._process.returncode
        cause = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
        return f"{cause}: {lines[-1]}" if lines else cause
