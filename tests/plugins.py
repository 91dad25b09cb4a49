"""Backends that misbehave, put where worker processes find them as if a package had brought them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

# A processor that is the reference but for one operation, written as a module of its own so that a
# fresh interpreter can import it.
_SOURCE = """
import dataclasses, os, signal, subprocess, sys, time
import numpy as np
from segbench.backends import skimage

def wrong(labels):
    return skimage.measure(labels)[1:]

def drifting(labels, calls=[]):
    calls.append(1)
    found = skimage.measure(labels)
    return found if len(calls) <= {right_calls} else found[1:]

def raising(labels):
    raise RuntimeError("no luck")

def sleeping(labels):
    if len(np.unique(labels)) > 1:
        time.sleep(600)
    return skimage.measure(labels)

def dying(labels):
    os._exit(7)

def faulting(labels):
    os.kill(os.getpid(), signal.SIGSEGV)

def killed(labels):
    os.kill(os.getpid(), signal.SIGKILL)

def hoarding(labels):
    kept = np.ones((3, 2**26), np.float64)
    time.sleep(600)

def hoarding_in_a_child(labels):
    code = "import time; kept = b'1' * (3 * 2**29); time.sleep(600)"
    subprocess.run([sys.executable, "-c", code])

def out_of_memory(labels):
    raise MemoryError("no more of it")

def leaving_a_child(labels):
    code = "import time; time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    time.sleep(600)

def large(labels):
    kept = np.ones(25 * 2**20)
    return skimage.measure(labels)

def slow_at_first(labels, calls=[]):
    calls.append(1)
    # After the warm-up of a worker's start.
    if len(calls) == 2:
        time.sleep(1.1)
    return skimage.measure(labels)

def printing(labels):
    print("a library that prints")
    return skimage.measure(labels)

for name in {names}:
    PROCESSOR = dataclasses.replace(skimage.PROCESSOR, measure=globals()[name])
    globals()[name.upper()] = PROCESSOR
"""

NAMES = (
    *("wrong", "drifting", "raising", "sleeping", "dying", "printing", "faulting", "killed"),
    *(
        "hoarding",
        "hoarding_in_a_child",
        "out_of_memory",
        "leaving_a_child",
        "large",
        "slow_at_first",
    ),
)


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, *, right_calls: int = 0) -> None:
    """Make the misbehaving processors known, here and in the processes that are started."""
    information = folder / "misbehaving-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: misbehaving\nVersion: 1.0\n"
    )
    lines = [f"{name} = misbehaving:{name.upper()}" for name in NAMES]
    lines.append("absent = misbehaving_needs_this:PROCESSOR [all]")
    (information / "entry_points.txt").write_text(
        "[segbench.processors]\n" + "\n".join(lines) + "\n"
    )
    (folder / "misbehaving.py").write_text(_SOURCE.format(right_calls=right_calls, names=NAMES))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
