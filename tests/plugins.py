"""Backends that misbehave, put where worker processes find them as if a package had brought them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

# A processor that is the reference but for one operation, written as a module of its own so that a
# fresh interpreter can import it.
_SOURCE = """
import dataclasses, functools, gc, os, signal, subprocess, sys, time
import numpy as np
from segbench.backends import skimage

def wrong(labels):
    return skimage.measure(labels)[1:]

def drifting(labels):
    found = skimage.measure(labels)
    # No garbage is collected inside a timed call: right until it is timed.
    return found if gc.isenabled() else found[1:]

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
    kept = np.ones(2**27, np.float64)
    time.sleep(600)

def hoarding_for_a_moment(labels):
    np.ones(2**27, np.float64)
    return skimage.measure(labels)

def hoarding_in_a_child(labels):
    code = "import time; kept = b'1' * 2**30; time.sleep(600)"
    subprocess.run([sys.executable, "-c", code])

def out_of_memory(labels):
    raise MemoryError("no more of it")

def leaving_a_child(labels):
    code = "import time; time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    time.sleep(600)

def writing_everywhere(labels):
    for file in range(3, 64):
        try:
            os.write(file, b"junk for whoever reads this\\n")
        except OSError:
            pass
    return skimage.measure(labels)

def detaching(labels):
    if not os.fork():
        os.setsid()
        if not os.fork():
            os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(601)"])
        os._exit(0)
    return skimage.measure(labels)

def wandering(labels):
    os.chdir("/")
    return skimage.measure(labels)

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

def later(function, labels, calls=[]):
    calls.append(1)
    # The first call is that of the worker's start, the second is compared.
    return function(labels) if len(calls) > {right_calls} else skimage.measure(labels)

def when_timed(function, labels):
    return skimage.measure(labels) if gc.isenabled() else function(labels)

for name in {names}:
    function = globals()[name]
    for word, measure in (
        (name, function),
        (name + "_later", functools.partial(later, function)),
        (name + "_when_timed", functools.partial(when_timed, function)),
    ):
        globals()[word.upper()] = dataclasses.replace(skimage.PROCESSOR, measure=measure)
"""

NAMES = (
    "wrong",
    "drifting",
    "raising",
    "sleeping",
    "dying",
    "printing",
    "faulting",
    "killed",
    "hoarding",
    "hoarding_in_a_child",
    "hoarding_for_a_moment",
    "out_of_memory",
    "leaving_a_child",
    "writing_everywhere",
    "detaching",
    "wandering",
    "large",
    "slow_at_first",
)


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, *, right_calls: int = 1) -> None:
    """Make the misbehaving processors known, here and in the processes that are started."""
    information = folder / "misbehaving-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: misbehaving\nVersion: 1.0\n"
    )
    words = [name + end for name in NAMES for end in ("", "_later", "_when_timed")]
    lines = [f"{word} = misbehaving:{word.upper()}" for word in words]
    lines.append("absent = misbehaving_needs_this:PROCESSOR [all]")
    (information / "entry_points.txt").write_text(
        "[segbench.processors]\n" + "\n".join(lines) + "\n"
    )
    (folder / "misbehaving.py").write_text(_SOURCE.format(right_calls=right_calls, names=NAMES))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
