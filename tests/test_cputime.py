"""What processes have worked."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from segbench.measure import worker
from segbench.measure.cputime import Clock
from segbench.measure.protocol import Time
from segbench.pipeline import PipelineParams
from tests.scripted import PLAIN

if TYPE_CHECKING:
    from collections.abc import Iterator

# What a child's half second must count at least: the clocks of two processes are not read at one moment.
MOST_OF_IT = 0.4
# Tells when it has begun, then works for half a second of its own CPU time, says so, and waits.
BUSY = """
import sys, time
print("begun", flush=True)
sys.stdin.readline()
end = time.process_time() + 0.5
while time.process_time() < end:
    pass
print("done", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    """A child process that works when it is told to."""
    with subprocess.Popen(  # noqa: S603  (this interpreter)
        [sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        tell(process, expected="begun")
        yield process
        process.kill()


def tell(process: subprocess.Popen[str], *, line: str = "", expected: str) -> None:
    """Have a child go on, and wait for what it says."""
    assert process.stdin is not None
    assert process.stdout is not None
    if line:
        process.stdin.write(line)
        process.stdin.flush()
    assert process.stdout.readline().strip() == expected


def work(seconds: float) -> None:
    """Keep the CPU busy for so long."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_own_work_counts_and_waiting_does_not() -> None:
    """A busy loop counts with what it took; sleep does not."""
    clock = Clock()
    before = clock.seconds()
    work(0.1)
    worked = clock.seconds() - before
    assert worked >= 0.1
    before = clock.seconds()
    time.sleep(0.5)
    assert clock.seconds() - before < 0.25


def test_the_work_of_a_child_counts(child: subprocess.Popen[str]) -> None:
    """While it lives, and the same when it has ended; a child that waits works not."""
    clock = Clock()
    before = clock.seconds()
    own = time.process_time()
    time.sleep(0.5)
    idle = clock.seconds() - before - (time.process_time() - own)
    # Far less than it waited; what other tests started may end in the meantime.
    assert idle < 0.25
    tell(child, line="go\n", expected="done")
    alive = clock.seconds() - before - (time.process_time() - own)
    assert alive - idle >= MOST_OF_IT
    child.kill()
    child.wait()
    if sys.platform != "win32":
        ended = clock.seconds() - before - (time.process_time() - own)
        assert ended >= alive - 0.05


def test_a_child_that_is_gone_is_no_error(child: subprocess.Popen[str]) -> None:
    """A child that has ended, and one that is started later, are no error."""
    clock = Clock()
    child.kill()
    child.wait()
    assert clock.seconds() >= 0
    assert Clock().seconds() >= 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows counts no ended children")
def test_a_child_that_came_and_went_counts() -> None:
    """What was started after the clock was made counts when it has ended."""
    clock = Clock()
    own, before = time.process_time(), clock.seconds()
    subprocess.run(  # noqa: S603  (this interpreter)
        [sys.executable, "-c", BUSY], input="go\n\n", text=True, check=True, capture_output=True
    )
    assert clock.seconds() - before - (time.process_time() - own) >= MOST_OF_IT


def test_several_calls_make_a_mean() -> None:
    """A sample of some calls tells the wall and the CPU time of one of them, without the call before."""
    served = worker.Server(PLAIN, PipelineParams(), 0.0)
    calls = []

    def call() -> None:
        calls.append(0)
        work(0.05)

    served.ready["open"] = call
    served.short["open"] = True
    reply = served.time(Time("open", 4, warm=True, cpu=None))
    assert len(calls) == 5
    # Not that of four or five calls.
    assert 0.05 <= reply.cpu_seconds < 0.15
    served.ready["open"] = lambda: time.sleep(0.1)
    reply = served.time(Time("open", 3, warm=False, cpu=None))
    assert reply.cpu_seconds < 0.05
    assert reply.seconds >= 0.1
