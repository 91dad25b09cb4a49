"""The machine is described as far as it can tell, and a run never fails of its description."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segbench.measure import machine
from segbench.measure.settings import available_cpus

if TYPE_CHECKING:
    from collections.abc import Callable

GIB = 2**30
TOTAL = 64 * GIB


def grow(root: Path, files: dict[str, str]) -> Path:
    """Write a tree of files; the folder it is in."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of Linux's own, on a machine of 64 GiB: it has ``proc`` and ``sys``."""
    monkeypatch.setattr(machine, "PROC", tmp_path / "proc")
    monkeypatch.setattr(machine, "SYS", tmp_path / "sys")
    memory = SimpleNamespace(total=TOTAL, available=GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    return tmp_path


def in_groups(system: Path, membership: str, files: dict[str, str]) -> None:
    """Put this process in control groups, as /proc/self/cgroup and /sys/fs/cgroup show them."""
    grow(system, {"proc/self/cgroup": membership})
    grow(system / "sys/fs/cgroup", files)


# Control groups as systems show them, and the limits in CPUs and GiB that hold there.
V2 = {"cgroup.controllers": "cpu memory\n"}
V1 = "5:memory:/job\n4:cpuset:/\n3:cpu,cpuacct:/batch/job\n1:name=systemd:/init\n0::/init\n"


def cpu(group: str, limit: str) -> dict[str, str]:
    """Files of a CPU limit, ``quota period``: of version 1 below ``cpu``, otherwise of version 2."""
    if not group.startswith("cpu"):
        return {f"{group}/cpu.max": f"{limit}\n"}
    quota, period = limit.split()
    return {f"{group}/cpu.cfs_quota_us": f"{quota}\n", f"{group}/cpu.cfs_period_us": f"{period}\n"}


def memory(group: str, limit: object) -> dict[str, str]:
    """The file of a memory limit: of version 1 below ``memory``, otherwise of version 2."""
    name = "memory.limit_in_bytes" if group.startswith("memory") else "memory.max"
    return {f"{group}/{name}": f"{limit}\n"}


GROUPS: dict[str, tuple[str, dict[str, str], float | None, float | None]] = {
    "v2": ("0::/a/b\n", V2 | cpu("a/b", "150000 100000") | memory("a/b", 2 * GIB), 1.5, 2.0),
    "v2-of-the-parent": (
        "0::/a/b\n",
        V2
        | cpu("a", "50000 200000")
        | memory("a", GIB)
        | cpu("a/b", "150000 100000")
        | memory("a/b", 2 * GIB),
        0.25,
        1.0,
    ),
    "v2-unlimited": ("0::/a\n", V2 | cpu("a", "max 100000") | memory("a", "max"), None, None),
    "v2-container": ("0::/\n", V2 | cpu(".", "200000 100000") | memory(".", GIB), 2.0, 1.0),
    "v2-out-of-sight": (
        "0::/../other\n",
        V2 | cpu(".", "200000 100000") | cpu("../other", "100000 100000"),
        2.0,
        None,
    ),
    "v1": (
        V1,
        cpu("cpu/batch/job", "-1 100000")
        | cpu("cpu/batch", "300000 100000")
        | memory("memory/job", 3 * GIB)
        | memory("memory", 9223372036854771712),
        3.0,
        3.0,
    ),
    "v1-unlimited": (
        V1,
        cpu("cpu/batch/job", "-1 100000") | memory("memory/job", 9223372036854771712),
        None,
        None,
    ),
    "v1-container": (
        "5:memory:/docker/0123\n3:cpu,cpuacct:/docker/0123\n",
        cpu("cpu", "50000 100000") | memory("memory", GIB),
        0.5,
        1.0,
    ),
    "hybrid": (
        "3:cpu:/job\n0::/job\n",
        cpu("cpu/job", "100000 100000") | memory("unified/job", GIB),
        1.0,
        1.0,
    ),
    "beyond-the-memory": ("0::/\n", V2 | memory(".", TOTAL), None, None),
    "just-within-the-memory": ("0::/\n", V2 | memory(".", TOTAL - 1), None, 64.0),
    "none": ("", {}, None, None),
}


@pytest.mark.parametrize("groups", GROUPS)
def test_tightest_limit_holds(system: Path, groups: str) -> None:
    """The limits of the process's own group and of all those around it are found, in each layout."""
    membership, files, cpus, gib = GROUPS[groups]
    in_groups(system, membership, files)
    assert machine.cpu_quota() == cpus
    assert machine.memory_quota_gib() == gib
    described = machine.machine()
    assert (described.get("cgroup_cpus"), described.get("cgroup_memory_gib")) == (cpus, gib)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(quotas=st.lists(st.none() | st.integers(1_000, 6_400_000), min_size=1, max_size=6))
def test_limit_is_the_least_of_the_nested(system: Path, quotas: list[int | None]) -> None:
    """However deep groups are nested and whichever has a quota, the least of them holds."""
    files, path = dict(V2), ""
    for quota in quotas:
        path += "/group"
        files |= cpu(path[1:], f"{quota or 'max'} 100000")
    in_groups(system, f"0::{path}\n", files)
    limits = [quota / 100_000 for quota in quotas if quota]
    assert machine.cpu_quota() == (round(min(limits), 2) if limits else None)


@pytest.mark.parametrize(
    ("membership", "files", "seconds"),
    [
        (
            "0::/a/b\n",
            {
                "cpu.stat": "usage_usec 9\n",
                "a/cpu.stat": "usage_usec 9\nnr_throttled 3\nthrottled_usec 1500000\n",
                "a/b/cpu.stat": "throttled_usec 250000\nnr_bursts 0\n",
            },
            1.75,
        ),
        ("2:cpu:/a\n", {"cpu/a/cpu.stat": "nr_periods 8\nthrottled_time 2500000000\n"}, 2.5),
        ("0::/\n", {"cpu.stat": "usage_usec 9\n"}, None),
        ("", {}, None),
    ],
    ids=["v2", "v1", "no-controller", "no-groups"],
)
def test_throttled_time(
    system: Path, membership: str, files: dict[str, str], seconds: float | None
) -> None:
    """What each group's quota held back adds up in seconds; without a count there is no figure."""
    in_groups(system, membership, V2 | files)
    assert machine.throttled_seconds() == (None if seconds is None else pytest.approx(seconds))


def test_withheld_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was withheld is what a quota and what the host took, of the two what is known."""
    first, second = machine.withheld_seconds(), machine.withheld_seconds()
    assert first is None or 0 <= first <= (second or 0)
    known = {"throttled_seconds": 1.5, "steal_seconds": 0.25}
    for name, seconds in known.items():
        monkeypatch.setattr(machine, name, lambda seconds=seconds: seconds)
    assert machine.withheld_seconds() == 1.75
    for name in known:
        monkeypatch.setattr(machine, name, lambda: None)
    assert machine.withheld_seconds() is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts stolen time")
def test_linux_counts_stolen_time() -> None:
    """On Linux the stolen time is that of the kernel's own table, in seconds over all CPUs."""
    first = machine.steal_seconds()
    jiffies = int(Path("/proc/stat").read_text().split("\n", 1)[0].split()[8])
    assert first is not None
    assert first <= jiffies / os.sysconf("SC_CLK_TCK") <= (machine.steal_seconds() or 0.0)


def test_machine_is_described() -> None:
    """Each key has its meaning, its value is that of this moment, and all can be written as JSON."""
    found: dict[str, Any] = machine.machine()
    assert {"system", "architecture", "cpu", "python"} <= set(found)
    assert found["cpus"] == os.cpu_count()
    assert found["cpus_available"] == available_cpus()
    assert found["memory_gib"] == round(psutil.virtual_memory().total / GIB, 1)
    assert 0 < found["memory_available_gib"] <= found["memory_gib"]
    assert len(found["load_average"]) == 3
    assert found["load_average"][0] == found["load_at_start"]
    if hasattr(os, "sched_getaffinity"):
        assert found["affinity"] == sorted(os.sched_getaffinity(0))
    assert json.loads(json.dumps(found)) == found


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this platform")
def test_affinity_is_what_was_set() -> None:
    """A process that is bound to one CPU says so, and that it has one."""
    last = max(os.sched_getaffinity(0))
    code = (
        f"import os; os.sched_setaffinity(0, [{last}])\n"
        "from segbench.measure.machine import machine; found = machine()\n"
        "print(found['affinity'], found['cpus_available'])"
    )
    done = subprocess.run(  # noqa: S603  (this interpreter, on the code above)
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [f"[{last}]", "1"]


def test_what_fails_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform that refuses to tell something leaves that key out and keeps the others."""

    def refuse(*_: object, **__: object) -> object:
        raise PermissionError

    complete = machine.machine()
    monkeypatch.setattr(psutil, "getloadavg", refuse)
    monkeypatch.setattr(psutil, "virtual_memory", refuse)
    monkeypatch.setattr(psutil, "cpu_times", refuse)
    left = {"load_at_start", "load_average"}
    left |= {"memory_gib", "memory_available_gib", "cgroup_memory_gib"}
    assert set(machine.machine()) == set(complete) - left
    assert machine.steal_seconds() is None


def test_no_affinity_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where CPUs can't be bound, all are available."""
    monkeypatch.delattr(psutil.Process, "cpu_affinity", raising=False)
    found = machine.machine()
    assert "affinity" not in found
    assert found["cpus_available"] == os.cpu_count()


LINES = st.sampled_from(["0::/", "3:cpu:/a", "no colon", "flags\t: fpu", "model name:", "1 0"])


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(max_size=40) | st.lists(LINES, max_size=4).map("\n".join))
def test_no_text_of_the_system_is_an_error(system: Path, text: str) -> None:
    """Whatever the files of the system hold, the description is made, of simple values."""
    names = ("cpuinfo", "self/cgroup")
    groups = (f"{group}/{name}" for group in (".", "cpu") for name in ("cpu.max", "cpu.stat"))
    for name in (
        *(f"proc/{name}" for name in names),
        *(f"sys/fs/cgroup/{name}" for name in groups),
    ):
        path = system / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, errors="replace")
    found = machine.machine()
    machine.throttled_seconds()
    assert {"system", "cpus", "memory_gib"} <= set(found)
    assert all(isinstance(value, str | int | float | list) for value in found.values())


@pytest.mark.parametrize(
    ("cpuinfo", "virtual"),
    [
        ("processor : 0\nflags\t\t: fpu hypervisor lm\n\nprocessor : 1\n", True),
        ("flags\t\t: fpu lm nohypervisor\nbugs\t\t: hypervisor\n", False),
        ("Features\t: fp asimd\n", None),
        ("", None),
    ],
)
def test_virtual_machine(system: Path, cpuinfo: str, virtual: bool | None) -> None:
    """The CPU's flags tell of a hypervisor; a CPU without such flags tells nothing."""
    grow(system, {"proc/cpuinfo": cpuinfo})
    assert machine.machine().get("virtual_machine") is virtual


def test_cpu_model(system: Path) -> None:
    """The model is that of the first CPU in the table, and never empty."""
    assert machine.machine()["cpu"]
    table = "vendor_id\t: Abacus\nmodel name\t: Abacus 3000\n\nmodel name\t: other\n"
    grow(system, {"proc/cpuinfo": table})
    assert machine.machine()["cpu"] == "Abacus 3000"


def test_governors(system: Path) -> None:
    """CPUs of one governor have one name, of different ones all of them, of none none."""
    assert "governor" not in machine.machine()
    folder = system / "sys/devices/system/cpu/cpufreq"
    grow(folder, {f"policy{cpu}/scaling_governor": "powersave\n" for cpu in range(4)})
    assert machine.machine()["governor"] == "powersave"
    grow(folder, {"policy2/scaling_governor": "performance\n"})
    assert machine.machine()["governor"] == "performance, powersave"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data/images/a.jpg", "xfs"),
        ("/data/images", "xfs"),
        ("/data/imagesque/a.jpg", "nfs4"),
        ("/home/a.jpg", "ext4"),
    ],
)
def test_innermost_mount_holds_a_path(
    path: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path lies in the innermost mount around it, of several in one place in the last."""
    mounts = {"/data/images": ("tmpfs", "xfs"), "/": ("ext4",), "/data": ("nfs4",)}
    table = [
        SimpleNamespace(mountpoint=place, fstype=kind)
        for place, kinds in mounts.items()
        for kind in kinds
    ]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: table)
    assert machine.file_system(Path(path)) == kind
    table.clear()
    assert machine.file_system(Path(path)) == ""


def test_file_system_of_a_link(tmp_path: Path) -> None:
    """A link has the file system of what it leads to."""
    if machine.file_system(Path("/proc")) != "proc":
        pytest.skip("no /proc")
    (tmp_path / "link").symlink_to("/proc/self")
    assert machine.file_system(tmp_path / "link" / "status") == "proc"
    assert machine.file_system(tmp_path) not in {"", "proc"}


@pytest.mark.parametrize("path", [Path("loop"), Path("a\0b"), Path("not/there")])
def test_odd_paths_have_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    """A path that leads nowhere has the file system it would lie in, or none."""
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    assert machine.file_system(path) in {"", machine.file_system(tmp_path)}


# Commits


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, of a package in ``src/package``."""
    if not shutil.which("git"):
        pytest.skip("no git")
    # Neither the settings of the user nor the variables of a hook that runs these tests.
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return committed(grow(tmp_path / "repository", {**PACKAGE, ".gitignore": "venv/\n*.pyc\n"}))


PACKAGE = {"src/package/__init__.py": "", "src/package/other.py": "", "README.md": ""}


def committed(folder: Path) -> Path:
    """Make a folder a repository, with one commit of all that it holds."""
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    return folder


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder; what it printed."""
    identity = ("-c", "user.name=segbench", "-c", "user.email=nobody@localhost")
    return subprocess.run(  # noqa: S603  (git, on arguments of these tests)
        ["git", *identity, *arguments],  # noqa: S607  (whichever git the user has)
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def head(repository: Path) -> str:
    """Name of the commit that is checked out."""
    return git(repository, "rev-parse", "HEAD")


def commit_of(repository: Path) -> str:
    """The commit of the package in a folder, as `machine.commit` finds it."""
    return machine.commit(repository / "src" / "package")


def test_commit(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source tree that is as committed has the commit's name, wherever segbench is run."""
    monkeypatch.chdir(tmp_path)
    assert commit_of(repository) == head(repository)


CHANGES: dict[str, Callable[[Path], object]] = {
    "changed": lambda folder: grow(folder, {"src/package/__init__.py": "x = 1\n"}),
    "staged": lambda folder: git(grow(folder, {"src/package/other.py": "x = 1\n"}), "add", "."),
    # While the user's settings hide what is new.
    "added": lambda folder: (
        git(folder, "config", "status.showUntrackedFiles", "no"),
        grow(folder, {"src/package/new.py": ""}),
    ),
    "deleted": lambda folder: (folder / "src/package/other.py").unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_show(repository: Path, change: str) -> None:
    """Any change of the package since the commit makes its name dirty."""
    CHANGES[change](repository)
    assert commit_of(repository) == head(repository) + "-dirty"


def test_other_files_do_not_matter(repository: Path) -> None:
    """Files outside of the package, and those that git ignores, are not segbench's source."""
    grow(repository, {"README.md": "new", "results/run.jsonl": "", "src/package/module.pyc": ""})
    assert commit_of(repository) == head(repository)


@pytest.mark.parametrize("folder", ["venv/lib", "other"])
def test_commit_is_of_no_other_repository(repository: Path, folder: str) -> None:
    """A package installed inside somebody's repository, ignored or not, has no commit."""
    assert commit_of(grow(repository / folder, PACKAGE)) == ""


def test_variables_of_git_do_not_lead_away(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run by a hook of another repository, segbench still tells its own commit."""
    other, own = committed(grow(tmp_path / "other", {**PACKAGE, "b": ""})), head(repository)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert commit_of(repository) == own


def test_no_commit(repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There is none before the first, outside of a repository, without git, or with a slow one."""
    assert commit_of(tmp_path / "not" / "there") == ""
    assert commit_of(grow(tmp_path, PACKAGE)) == ""
    with monkeypatch.context() as patch:
        patch.setattr(machine, "GIT_SECONDS", 0.0)
        assert commit_of(repository) == ""
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(repository))
        assert commit_of(repository) == machine.commit() == ""
    assert commit_of(repository) == head(repository)
    shutil.rmtree(repository / ".git")
    git(repository, "init", "--quiet")
    git(repository, "add", ".")
    assert commit_of(repository) == ""


def test_own_commit() -> None:
    """What is told of the segbench that runs is the commit of the tree that it lies in, or nothing."""
    if found := machine.commit():
        assert found.removesuffix("-dirty") == head(machine.PACKAGE)
        assert machine.versions()["commit"] == machine.commit()


# Versions


def distribution(
    folder: Path, name: str, *, requires: tuple[str, ...] = (), points: str = ""
) -> None:
    """Install a distribution of version 1.2.3 that holds no code."""
    lines = [f"Name: {name}", "Version: 1.2.3", *(f"Requires-Dist: {text}" for text in requires)]
    grow(
        folder / f"{name.replace('-', '_')}-1.2.3.dist-info",
        {"METADATA": "\n".join(["Metadata-Version: 2.1", *lines, ""]), "entry_points.txt": points},
    )


def test_libraries_have_versions() -> None:
    """Python and what is always timed are named with the versions that are installed."""
    versions = machine.versions()
    assert versions["python"].split(".")[0] == "3"
    for name in ("segbench", "numpy", "scikit-image", "dask", "dask-image", "pims", "toolz"):
        assert versions[name] == version(name)
    assert all(versions.values())


def test_plugins_have_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin is named with its version, and with those of what it requires and what is installed."""
    requires = (
        "quick_Blur>=1",
        "NumPy",
        'gpu-part; extra == "gpu"',
        "test-part; extra == 'test'",
        "not-there (>2)",
    )
    points = "[segbench.processors]\nquick = quick:PROCESSOR [gpu]\n"
    distribution(tmp_path, "segbench-quick", requires=requires, points=points)
    for name in ("quick-blur", "gpu-part", "test-part"):
        distribution(tmp_path, name)
    before = machine.versions()
    monkeypatch.syspath_prepend(str(tmp_path))
    after = machine.versions()
    assert {name: after[name] for name in after.keys() - before.keys()} == dict.fromkeys(
        ("segbench-quick", "quick-blur", "gpu-part"), "1.2.3"
    )
    assert before.items() <= after.items()


@pytest.mark.parametrize("damage", ["", "Requires-Dist: what is this?\n"])
def test_broken_plugin_takes_no_other_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """A plugin whose metadata is lost or damaged has no version; the others keep theirs."""
    before = machine.versions()
    points = "[segbench.readers]\nbroken = broken:READER\n"
    distribution(tmp_path, "segbench-broken", points=points)
    (tmp_path / "segbench_broken-1.2.3.dist-info" / "METADATA").write_text(damage)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert machine.versions() == before
