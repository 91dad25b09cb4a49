"""The machine and the versions that a run is measured with.

Nothing here raises: what a platform can't tell is left out, so that no run fails of its description.
"""

from __future__ import annotations

import functools
import os
import platform
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, ParamSpec, TypeAlias, TypeVar

import psutil

from segbench.backends import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")

Fact: TypeAlias = str | int | float | list[int] | list[float]

# Where Linux tells of processes and of itself; other platforms have no such files.
PROC, SYS = Path("/proc"), Path("/sys")

PACKAGE = Path(__file__).parents[1]

# A healthy repository answers in milliseconds; one on a network that hangs must not hold up a run.
GIT_SECONDS = 5.0


def _otherwise(unknown: U) -> Callable[[Callable[P, T]], Callable[P, T | U]]:
    """Give `unknown` in place of an error: platforms fail in their own ways."""

    def decorate(ask: Callable[P, T]) -> Callable[P, T | U]:
        @functools.wraps(ask)
        def answer(*args: P.args, **kwargs: P.kwargs) -> T | U:
            try:
                return ask(*args, **kwargs)
            except Exception:  # noqa: BLE001  (as said above)
                return unknown

        return answer

    return decorate


def versions() -> dict[str, str]:
    """Version of Python and of each library that is timed, where it is installed.

    ``commit`` is that of segbench's source, where it runs from a work tree.
    """
    installed = _otherwise("")(version)
    found = {name: installed(name) for name in registry.libraries()}
    found = {"python": platform.python_version(), **found, "commit": commit()}
    return {name: text for name, text in found.items() if text}


def machine() -> dict[str, Fact]:
    """What the run's figures depend on beside the versions.

    Returns
    -------
    dict
        Of plain numbers, strings and lists; a key is absent where the platform can't tell:

        - ``cpus``, ``cpus_available``, ``physical_cores``: of the machine, of those that this
          process may use, and without hyper-threads;
        - ``affinity``: the numbers of the CPUs that this process may use;
        - ``cgroup_cpus``, ``cgroup_memory_gib``: the tightest limit of the control groups that this
          process is in, where there is one; in CPUs and GiB;
        - ``governor``: of the CPUs' frequency; several where CPUs differ;
        - ``virtual_machine``: whether the CPU says that it runs under a hypervisor (x86 does);
        - ``load_at_start``, ``load_average``: over the last minute; over the last 1, 5 and 15.
    """
    flags = _of_cpu("flags").split()
    python = f"{platform.python_implementation()} {platform.python_version()} ({sys.platform})"
    asked: dict[str, Callable[[], Fact | None]] = {
        "system": lambda: f"{platform.system()} {platform.release()}",
        "architecture": platform.machine,
        "cpu": lambda: _of_cpu("model name") or platform.processor() or "unknown",
        "cpus": os.cpu_count,
        "cpus_available": lambda: len(_affinity() or ()) or os.cpu_count(),
        "physical_cores": lambda: psutil.cpu_count(logical=False),
        "affinity": _affinity,
        "cgroup_cpus": cpu_quota,
        "governor": _governor,
        "virtual_machine": lambda: "hypervisor" in flags if flags else None,
        "memory_gib": lambda: _gib(psutil.virtual_memory().total),
        "memory_available_gib": lambda: _gib(psutil.virtual_memory().available),
        "cgroup_memory_gib": memory_quota_gib,
        "load_at_start": lambda: round(psutil.getloadavg()[0], 2),
        "load_average": lambda: [round(load, 2) for load in psutil.getloadavg()],
        "python": lambda: python,
    }
    answers = {key: _otherwise(None)(ask)() for key, ask in asked.items()}
    return {key: answer for key, answer in answers.items() if answer is not None}


@_otherwise(None)
def cpu_quota() -> float | None:
    """CPUs that this process's control groups allow, as a number; None without a limit."""
    limits = []
    for group in _groups("cpu"):
        # Microseconds of CPU time, and of the period that they are for: version 1 has a file each.
        old = _read(group / "cpu.cfs_quota_us") + _read(group / "cpu.cfs_period_us")
        # No limit is "max" or -1.
        if limit := re.match(r"(\d+)\s+(\d+)", _read(group / "cpu.max") or old):
            limits.append(int(limit[1]) / int(limit[2]))
    return round(min(limits), 2) if limits else None


@_otherwise(None)
def memory_quota_gib() -> float | None:
    """GiB that this process's control groups allow; None without a limit."""
    names = ("memory.max", "memory.limit_in_bytes")  # version 2 and version 1
    found = [_read(group / name).strip() for group in _groups("memory") for name in names]
    # No limit is "max" in version 2, and in version 1 a number beyond any memory.
    total = psutil.virtual_memory().total
    limits = [int(limit) for limit in found if limit.isdecimal() and int(limit) < total]
    return _gib(min(limits)) if limits else None


@_otherwise("")
def file_system(path: Path) -> str:
    """Type of the file system that holds a path, such as ``ext4``; empty where nobody knows.

    A link's is that of what it leads to.
    """
    path = path.resolve()
    # Of those mounted at one place the last is the one that is seen.
    types = {Path(one.mountpoint): one.fstype for one in psutil.disk_partitions(all=True)}
    return next((types[place] for place in (path, *path.parents) if place in types), "")


@_otherwise("")
def commit(package: Path = PACKAGE) -> str:
    """Git commit of segbench's source, with ``-dirty`` where files of the package differ from it.

    Parameters
    ----------
    package : Path
        Folder of a package.

    Returns
    -------
    str
        Empty where the source does not come from a work tree: an installed package may well lie
        inside somebody's repository, which says nothing about it.
    """
    # An error where there is no git, no work tree, or one that does not hold the package.
    _git(package, "ls-files", "--error-unmatch", "--", "__init__.py")
    options = ("--porcelain=v2", "--branch", "--untracked-files=normal")
    status = _git(package, "status", *options, "--", ".")
    head = re.search(r"^# branch\.oid ([0-9a-f]+)$", status, re.MULTILINE)
    if head is None:
        return ""  # nothing was ever committed
    changed = any(not line.startswith("#") for line in status.splitlines())
    return head[1] + ("-dirty" if changed else "")


@_otherwise(None)
def throttled_seconds() -> float | None:
    """Seconds so far that a CPU quota has held back the control groups that this process is in.

    Returns
    -------
    float or None
        Only its growth over a stretch of time has a meaning: above 0, some process of the groups
        was held back (on a kernel with cgroups v1 the time counts once for each CPU). None where
        there is no such count.
    """
    units = {"throttled_usec": 1e-6, "throttled_time": 1e-9}  # version 2 and version 1
    seconds = [
        int(count) * units[name]
        for group in _groups("cpu")
        for name, count in re.findall(r"^(\w+) (\d+)$", _read(group / "cpu.stat"), re.MULTILINE)
        if name in units
    ]
    # Each group counts what its own quota held back.
    return sum(seconds) if seconds else None


@_otherwise(None)
def steal_seconds() -> float:
    """Seconds so far, over all CPUs, that the hypervisor gave to others; None outside Linux."""
    return float(psutil.cpu_times().steal)


def withheld_seconds() -> float | None:
    """CPU time that a quota or the machine's host has withheld so far; None where neither is known."""
    known = [part for part in (throttled_seconds(), steal_seconds()) if part is not None]
    return sum(known) if known else None


def git_variables() -> dict[str, str]:
    """Environment for git: a hook or an editor that runs segbench names its own repository there."""
    own = re.compile("GIT_(?!CONFIG)")
    return {name: value for name, value in os.environ.items() if not own.match(name)}


def _git(folder: Path, *arguments: str) -> str:
    # Only look: write no index, start no file system monitor.
    command = ("git", "--no-optional-locks", "-c", "core.fsmonitor=false", *arguments)
    return subprocess.run(  # noqa: S603  (git, on arguments from above)
        command,
        cwd=folder,
        env=git_variables(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=GIT_SECONDS,
        check=True,
    ).stdout


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""  # another platform, or another version of its files


def _gib(size: int) -> float:
    return round(size / 2**30, 1)


def _of_cpu(key: str) -> str:
    """What the table of CPUs says of the first; empty where it does not."""
    line = re.search(rf"^{key}\s*:(.*)", _read(PROC / "cpuinfo"), re.MULTILINE)
    return line[1].strip() if line else ""


@_otherwise(None)
def _affinity() -> list[int]:
    return sorted(psutil.Process().cpu_affinity())  # which macOS lacks


def _governor() -> str | None:
    files = (SYS / "devices/system/cpu/cpufreq").glob("policy*/scaling_governor")
    return ", ".join(sorted({_read(file).strip() for file in files} - {""})) or None


def _groups(controller: str) -> Iterator[Path]:
    """Folders of the control groups that limit this process: its own, and those that it lies in.

    They are mounted as cgroups(7) has it: version 2 as the whole, or version 1 as a folder for each
    controller (``cpu``, ``memory``) with version 2 beside it.
    """
    root = SYS / "fs/cgroup"
    for line in _read(PROC / "self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            mount = root if (root / "cgroup.controllers").exists() else root / "unified"
        elif controller in controllers.split(","):
            mount = root / controller
        else:
            continue
        group = PurePosixPath(path.lstrip("/"))
        if ".." in group.parts:  # outside of what this process can see
            group = PurePosixPath()
        # Where a container is told its path outside but sees its own group as the root, only the
        # last of these exists.
        yield from (mount / part for part in (group, *group.parents))
