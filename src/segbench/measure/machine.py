"""The machine and the versions that a run is measured with.

Nothing here raises: what a platform can't tell is left out, so that no run fails of its description.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, ParamSpec, TypeAlias, TypeVar

import psutil

from segbench.backends.registry import GROUPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from importlib.metadata import EntryPoint

P = ParamSpec("P")
T = TypeVar("T")

Fact: TypeAlias = str | int | float | list[int] | list[float]

# What a timed call spends its time in; of those that come under several names, all of them.
LIBRARIES = (
    "segbench",
    "numpy",
    "scipy",
    "scikit-image",
    "dask",
    "dask-image",
    "distributed",
    "pims",
    "slicerator",  # under pims
    "imageio",
    "pillow",
    "tifffile",
    "imagecodecs",  # of compressed TIFF
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python-headless",
    "opencv-contrib-python",
    "toolz",
    "cytoolz",  # taken for toolz where it is installed
    "cloudpickle",  # every task of a pool of processes, and the next two of a cluster
    "msgpack",
    "tornado",
)

CGROUPS = Path("/sys/fs/cgroup")
GOVERNORS = Path("/sys/devices/system/cpu/cpufreq")

# A healthy repository answers in milliseconds; one on a network that hangs must not hold up a run.
GIT_SECONDS = 5.0


def versions() -> dict[str, str]:
    """Version of Python and of each library that is timed, where it is installed.

    ``commit`` is that of segbench's source, where it runs from a work tree. Beside `LIBRARIES` these are the distributions that bring readers or processors and what these
    require.
    """
    found = {"python": platform.python_version()}
    plugins = {_canonical(name) for group in GROUPS.values() for name in _names_of_plugins(group)}
    for name in (*LIBRARIES, *sorted(plugins - set(LIBRARIES))):
        if installed := _answer(version, name):
            found[name] = installed
    if source := commit():
        found["commit"] = source
    return found


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
    cpuinfo = _read(Path("/proc/cpuinfo"))
    membership = _read(Path("/proc/self/cgroup"))
    asked: dict[str, Callable[[], Fact | None]] = {
        "system": lambda: f"{platform.system()} {platform.release()}",
        "architecture": platform.machine,
        "cpu": lambda: _cpu_model(cpuinfo),
        "cpus": os.cpu_count,
        "cpus_available": lambda: len(_affinity() or ()) or os.cpu_count(),
        "physical_cores": lambda: psutil.cpu_count(logical=False),
        "affinity": _affinity,
        "cgroup_cpus": lambda: _cpu_limit(membership, CGROUPS),
        "governor": lambda: _governor(GOVERNORS),
        "virtual_machine": lambda: _is_virtual(cpuinfo),
        "memory_gib": lambda: _gib(psutil.virtual_memory().total),
        "memory_available_gib": lambda: _gib(psutil.virtual_memory().available),
        "cgroup_memory_gib": lambda: _memory_limit(
            membership, CGROUPS, total=psutil.virtual_memory().total
        ),
        "load_at_start": lambda: round(psutil.getloadavg()[0], 2),
        "load_average": lambda: [round(load, 2) for load in psutil.getloadavg()],
        "python": lambda: (
            f"{platform.python_implementation()} {platform.python_version()} ({sys.platform})"
        ),
    }
    answers = {key: _answer(ask) for key, ask in asked.items()}
    return {key: answer for key, answer in answers.items() if answer is not None}


def cpu_quota() -> float | None:
    """CPUs that this process's control groups allow, as a number; None without a limit."""
    return _answer(lambda: _cpu_limit(_read(Path("/proc/self/cgroup")), CGROUPS))


def memory_quota_gib() -> float | None:
    """GiB that this process's control groups allow; None without a limit."""
    membership, total = _read(Path("/proc/self/cgroup")), psutil.virtual_memory().total
    return _answer(lambda: _memory_limit(membership, CGROUPS, total=total))


def file_system(path: Path) -> str:
    """Type of the file system that holds a path, such as ``ext4``; empty where nobody knows.

    A link's is that of what it leads to.
    """
    return _answer(lambda: _type_of_mount(path.resolve(), _mounts())) or ""


def commit() -> str:
    """Git commit of segbench's source, with ``-dirty`` where files of the package differ from it.

    Empty where the source does not come from a work tree: an installed package may well lie inside
    somebody's repository, which says nothing about it.
    """
    file = Path(__file__).resolve()
    return _answer(_commit_of, file, file.parents[1]) or ""


def throttled_seconds() -> float | None:
    """Seconds so far that a CPU quota has held back the control groups that this process is in.

    Returns
    -------
    float or None
        Only its growth over a stretch of time has a meaning: above 0, some process of the groups
        was held back (on a kernel with cgroups v1 the time counts once for each CPU). None where
        there is no such count.
    """
    return _answer(lambda: _throttled(_read(Path("/proc/self/cgroup")), CGROUPS))


def steal_seconds() -> float | None:
    """Seconds so far, over all CPUs, that the hypervisor gave to others; None outside Linux."""
    return _answer(lambda: float(psutil.cpu_times().steal))


def withheld_seconds() -> float | None:
    """CPU time that a quota or the machine's host has withheld so far; None where neither is known."""
    known = [part for part in (throttled_seconds(), steal_seconds()) if part is not None]
    return sum(known) if known else None


def _answer(ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    try:
        return ask(*args, **kwargs)
    except Exception:  # noqa: BLE001  (a platform fails in its own ways; no run may fail of them)
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""  # another platform, or another version of its files


def _gib(size: int) -> float:
    return round(size / 2**30, 1)


# Versions


def _canonical(name: str) -> str:
    # As in PEP 503: one distribution, one name.
    return re.sub(r"[-_.]+", "-", name).lower()


def _names_of_plugins(group: str) -> Iterator[str]:
    for entry in entry_points(group=group):
        yield from _answer(_names_of_plugin, entry) or ()


def _names_of_plugin(entry: EntryPoint) -> list[str]:
    # What of segbench's own requirements is timed is in the list above.
    if entry.dist is None or _canonical(entry.dist.name) == "segbench":
        return []
    names = [entry.dist.name]
    for requirement in entry.dist.requires or ():
        name = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"""\bextra\s*==\s*["']([^"']+)""", requirement)
        if name and (extra is None or extra[1] in entry.extras):
            names.append(name[0])
    return names


# CPUs


def _cpu_model(cpuinfo: str) -> str:
    if named := re.search(r"^model name\s*:\s*(.+)", cpuinfo, re.MULTILINE):
        return named[1].strip()
    return platform.processor() or "unknown"


def _is_virtual(cpuinfo: str) -> bool | None:
    flags = re.search(r"^flags\s*:(.*)", cpuinfo, re.MULTILINE)
    return "hypervisor" in flags[1].split() if flags else None


def _affinity() -> list[int] | None:
    # macOS has none.
    if hasattr(psutil.Process, "cpu_affinity"):
        return sorted(psutil.Process().cpu_affinity())
    return None


def _governor(folder: Path) -> str | None:
    names = {_read(file).strip() for file in folder.glob("policy*/scaling_governor")}
    return ", ".join(sorted(names - {""})) or None


# Control groups


def _groups(membership: str, controller: str, root: Path) -> Iterator[Path]:
    """Folders of the control groups that limit a process: its own, and those that this lies in.

    Parameters
    ----------
    membership : str
        Of the process, as in ``/proc/self/cgroup``: lines ``number:controllers:path`` (cgroups(7)).
    controller : str
        ``cpu`` or ``memory``.
    root : Path
        Where they are mounted: version 2 as the whole, or version 1 as a folder a controller with
        version 2 beside it.
    """
    for line in membership.splitlines():
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
        for part in dict.fromkeys((group, *group.parents)):
            yield mount / part


def _cpu_limit(membership: str, root: Path) -> float | None:
    limits = []
    for group in _groups(membership, "cpu", root):
        # Microseconds of CPU time, and of the period that they are for: version 1 has a file each.
        old = _read(group / "cpu.cfs_quota_us") + _read(group / "cpu.cfs_period_us")
        # No limit is "max" or -1.
        if limit := re.match(r"(\d+)\s+(\d+)", _read(group / "cpu.max") or old):
            limits.append(int(limit[1]) / int(limit[2]))
    return round(min(limits), 2) if limits else None


def _memory_limit(membership: str, root: Path, *, total: int) -> float | None:
    limits = []
    for group in _groups(membership, "memory", root):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = _read(group / name).strip()
            # No limit is "max" in version 2, and in version 1 a number beyond any memory.
            if limit.isdecimal() and int(limit) < total:
                limits.append(int(limit))
    return _gib(min(limits)) if limits else None


def _throttled(membership: str, root: Path) -> float | None:
    units = {"throttled_usec": 1e-6, "throttled_time": 1e-9}  # version 2 and version 1
    seconds = [
        int(count) * units[name]
        for group in _groups(membership, "cpu", root)
        for name, count in re.findall(r"^(\w+) (\d+)$", _read(group / "cpu.stat"), re.MULTILINE)
        if name in units
    ]
    # Each group counts what its own quota held back.
    return sum(seconds) if seconds else None


# Files


def _mounts() -> list[tuple[str, str]]:
    return [(mount.mountpoint, mount.fstype) for mount in psutil.disk_partitions(all=True)]


def _type_of_mount(path: Path, mounts: list[tuple[str, str]]) -> str:
    # Of those mounted at one place the last is the one that is seen.
    types = {Path(place): kind for place, kind in mounts}
    return next((types[place] for place in (path, *path.parents) if place in types), "")


def _commit_of(file: Path, folder: Path) -> str:
    try:
        _git(file.parent, "ls-files", "--error-unmatch", "--", file.name)
        status = _git(
            folder, "status", "--porcelain=v2", "--branch", "--untracked-files=normal", "--", "."
        )
    except (OSError, subprocess.SubprocessError):
        return ""  # no git, no work tree, or one that does not hold the file
    head = re.search(r"^# branch\.oid ([0-9a-f]+)$", status, re.MULTILINE)
    if head is None:
        return ""  # nothing was ever committed
    changed = any(not line.startswith("#") for line in status.splitlines())
    return head[1] + ("-dirty" if changed else "")


def git_variables() -> dict[str, str]:
    """Environment for git: a hook or an editor that runs segbench names its own repository there."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith("GIT_CONFIG")
    }


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
