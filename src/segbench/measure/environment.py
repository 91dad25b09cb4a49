"""The machine and the versions that a run is measured with."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from segbench.measure.settings import available_cpus

LIBRARIES = (
    "segbench",
    "numpy",
    "scipy",
    "scikit-image",
    "dask",
    "dask-image",
    "distributed",
    "pims",
    "imageio",
    "pillow",
    "tifffile",
    "opencv-python-headless",
)


def versions() -> dict[str, str]:
    """Version of Python and of each library that is timed, where it is installed."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """What the run's figures depend on beside the versions."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "cpu": _cpu_model(),
        "cpus": os.cpu_count(),
        "cpus_available": available_cpus(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_at_start": round(psutil.getloadavg()[0], 2),
        "python": f"{platform.python_implementation()} {platform.python_version()} ({sys.platform})",
    }


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or "unknown"
