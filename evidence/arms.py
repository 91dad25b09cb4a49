"""Backends that are the baseline under other names, and slower by a known share.

A worker finds them by the entry points in ``plugin/``. Their scheduler is `serial`: the functions
need not travel to another process.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from evidence.plants import longer
from segbench.backends import readers, skimage

# The very baseline, entered again and again.
TWINS = ("twin", "twin2", "twin3", "twin4", "twin5")

# By the share that their work takes longer than the baseline's.
SLOWED = {"twin": 0.0, "slower5": 0.05, "slower10": 0.1}

OPERATIONS = ("grayscale", "blur", "threshold", "label", "measure")


def slowed(part: Any, names: tuple[str, ...], share: float) -> Any:
    """A reader or processor some of whose operations take a share longer."""
    if not share:
        return replace(part)
    return replace(part, **{name: longer(getattr(part, name), share) for name in names})


def arm(name: str) -> tuple[Any, Any]:
    """Reader and processor of an arm."""
    share = SLOWED[name]
    return slowed(readers.SKIMAGE, ("load",), share), slowed(skimage.PROCESSOR, OPERATIONS, share)


twin_reader, twin_processor = arm("twin")
slower5_reader, slower5_processor = arm("slower5")
slower10_reader, slower10_processor = arm("slower10")
