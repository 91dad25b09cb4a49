"""Backends that misbehave, put where worker processes find them as if a package had brought them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

# A processor that is the reference but for one operation, written as a module of its own so that a
# fresh interpreter can import it.
_SOURCE = """
import dataclasses, os, time
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

def printing(labels):
    print("a library that prints")
    return skimage.measure(labels)

for function in (wrong, drifting, raising, sleeping, dying, printing):
    globals()[function.__name__.upper()] = dataclasses.replace(skimage.PROCESSOR, measure=function)
"""

NAMES = ("wrong", "drifting", "raising", "sleeping", "dying", "printing")


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
    (folder / "misbehaving.py").write_text(_SOURCE.format(right_calls=right_calls))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
