"""The machine is described as far as it can tell, and a run never fails of its description."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segbench.measure import machine as environment
from segbench.measure.settings import available_cpus

if TYPE_CHECKING:
    from collections.abc import Callable

GIB = 2**30

# Control groups as systems show them: what /proc/self/cgroup says, files below /sys/fs/cgroup, and
# the limits in CPUs and GiB that hold there.
UNIFIED = "0::/user.slice/job\n"
SPLIT = "5:memory:/job\n4:cpuset:/\n3:cpu,cpuacct:/batch/job\n1:name=systemd:/init\n0::/init\n"
TREES: dict[str, tuple[str, dict[str, str], float | None, float | None]] = {
    "v2": (
        UNIFIED,
        {
            "cgroup.controllers": "cpu memory\n",
            "user.slice/job/cpu.max": "150000 100000\n",
            "user.slice/job/memory.max": f"{2 * GIB}\n",
        },
        1.5,
        2.0,
    ),
    "v2-of-the-parent": (
        UNIFIED,
        {
            "cgroup.controllers": "cpu memory\n",
            "user.slice/cpu.max": "50000 200000\n",
            "user.slice/memory.max": f"{GIB}\n",
            "user.slice/job/cpu.max": "150000 100000\n",
            "user.slice/job/memory.max": f"{2 * GIB}\n",
        },
        0.25,
        1.0,
    ),
    "v2-unlimited": (
        UNIFIED,
        {
            "cgroup.controllers": "cpu memory\n",
            "user.slice/job/cpu.max": "max 100000\n",
            "user.slice/job/memory.max": "max\n",
        },
        None,
        None,
    ),
    "v2-container": (
        "0::/\n",
        {
            "cgroup.controllers": "cpu memory\n",
            "cpu.max": "200000 100000\n",
            "memory.max": f"{GIB}\n",
        },
        2.0,
        1.0,
    ),
    "v2-out-of-sight": (
        "0::/../other\n",
        {
            "cgroup.controllers": "cpu memory\n",
            "cpu.max": "200000 100000\n",
            "../other/cpu.max": "100000 100000\n",
        },
        2.0,
        None,
    ),
    "v1": (
        SPLIT,
        {
            "cpu/batch/job/cpu.cfs_quota_us": "-1\n",
            "cpu/batch/job/cpu.cfs_period_us": "100000\n",
            "cpu/batch/cpu.cfs_quota_us": "300000\n",
            "cpu/batch/cpu.cfs_period_us": "100000\n",
            "memory/job/memory.limit_in_bytes": f"{3 * GIB}\n",
            "memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
        3.0,
        3.0,
    ),
    "v1-unlimited": (
        SPLIT,
        {
            "cpu/batch/job/cpu.cfs_quota_us": "-1\n",
            "cpu/batch/job/cpu.cfs_period_us": "100000\n",
            "memory/job/memory.limit_in_bytes": "9223372036854771712\n",
        },
        None,
        None,
    ),
    "v1-container": (
        "5:memory:/docker/0123\n3:cpu,cpuacct:/docker/0123\n",
        {
            "cpu/cpu.cfs_quota_us": "50000\n",
            "cpu/cpu.cfs_period_us": "100000\n",
            "memory/memory.limit_in_bytes": f"{GIB}\n",
        },
        0.5,
        1.0,
    ),
    "hybrid": (
        "3:cpu:/job\n0::/job\n",
        {
            "cpu/job/cpu.cfs_quota_us": "100000\n",
            "cpu/job/cpu.cfs_period_us": "100000\n",
            "unified/job/memory.max": f"{GIB}\n",
        },
        1.0,
        1.0,
    ),
    "none": ("", {}, None, None),
}


def grow(root: Path, files: dict[str, str]) -> Path:
    """Write a tree of files; the folder it is in."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize("tree", TREES)
def test_tightest_limit_holds(tmp_path: Path, tree: str) -> None:
    """The limits of the process's own group and of all those around it are found, in each layout."""
    membership, files, cpus, memory = TREES[tree]
    root = grow(tmp_path / "cgroup", files)
    assert environment._cpu_limit(membership, root) == cpus
    assert environment._memory_limit(membership, root, total=64 * GIB) == memory


def test_limit_beyond_the_memory_is_none(tmp_path: Path) -> None:
    """A limit that the machine's memory can't reach limits nothing."""
    root = grow(tmp_path, {"cgroup.controllers": "memory\n", "memory.max": f"{8 * GIB}\n"})
    assert environment._memory_limit("0::/\n", root, total=8 * GIB) is None
    assert environment._memory_limit("0::/\n", root, total=8 * GIB + 1) == 8.0


@settings(max_examples=25, deadline=None)
@given(quotas=st.lists(st.none() | st.integers(1_000, 6_400_000), min_size=1, max_size=6))
def test_limit_is_the_least_of_the_nested(
    tmp_path_factory: pytest.TempPathFactory, quotas: list[int | None]
) -> None:
    """However deep groups are nested and whichever has a quota, the least of them holds."""
    root = tmp_path_factory.mktemp("cgroup")
    files, path = {"cgroup.controllers": "cpu\n"}, ""
    for quota in quotas:
        path += "/group"
        files[f"{path[1:]}/cpu.max"] = f"{quota or 'max'} 100000\n"
    limits = [quota / 100_000 for quota in quotas if quota]
    found = environment._cpu_limit(f"0::{path}\n", grow(root, files))
    assert found == (round(min(limits), 2) if limits else None)


@pytest.mark.parametrize(
    ("membership", "files", "seconds"),
    [
        (
            "0::/a/b\n",
            {
                "cgroup.controllers": "cpu\n",
                "cpu.stat": "usage_usec 9\n",
                "a/cpu.stat": "usage_usec 9\nnr_throttled 3\nthrottled_usec 1500000\n",
                "a/b/cpu.stat": "throttled_usec 250000\nnr_bursts 0\n",
            },
            1.75,
        ),
        ("2:cpu:/a\n", {"cpu/a/cpu.stat": "nr_periods 8\nthrottled_time 2500000000\n"}, 2.5),
        ("0::/\n", {"cgroup.controllers": "", "cpu.stat": "usage_usec 9\n"}, None),
        ("", {}, None),
    ],
    ids=["v2", "v1", "no-controller", "no-groups"],
)
def test_throttled_time(
    tmp_path: Path, membership: str, files: dict[str, str], seconds: float | None
) -> None:
    """What each group's quota held back adds up in seconds; without a count there is no figure."""
    found = environment._throttled(membership, grow(tmp_path, files))
    assert found == (None if seconds is None else pytest.approx(seconds))


def test_counts_only_grow() -> None:
    """Throttled and stolen seconds of this machine are counts, or it has none."""
    for count in (environment.throttled_seconds, environment.steal_seconds):
        first, second = count(), count()
        if first is not None and second is not None:
            assert 0 <= first <= second


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts stolen time")
def test_linux_counts_stolen_time() -> None:
    """On Linux the stolen time is that of the kernel's own table, in seconds over all CPUs."""
    first = environment.steal_seconds()
    jiffies = int(Path("/proc/stat").read_text().split("\n", 1)[0].split()[8])
    assert first is not None
    assert first <= jiffies / os.sysconf("SC_CLK_TCK") <= (environment.steal_seconds() or 0.0)


def test_programs_find_the_keys_they_know() -> None:
    """The keys that were written from the beginning are there with their meaning."""
    machine = environment.machine()
    assert {"system", "architecture", "cpu", "load_at_start", "python"} <= set(machine)
    assert machine["cpus"] == os.cpu_count()
    assert machine["cpus_available"] == available_cpus()
    assert machine["memory_gib"] == round(psutil.virtual_memory().total / GIB, 1)
    assert json.loads(json.dumps(machine)) == machine


def test_machine_is_described_further() -> None:
    """Load, free memory and, where there is one, affinity are those of this moment."""
    machine = environment.machine()
    load = machine["load_average"]
    assert isinstance(load, list)
    assert len(load) == 3
    assert load[0] == machine["load_at_start"]
    assert isinstance(machine["memory_available_gib"], float)
    assert 0 < machine["memory_available_gib"] <= psutil.virtual_memory().total / GIB
    if hasattr(os, "sched_getaffinity"):
        assert machine["affinity"] == sorted(os.sched_getaffinity(0))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this platform")
def test_affinity_is_what_was_set() -> None:
    """A process that is bound to one CPU says so, and that it has one."""
    last = max(os.sched_getaffinity(0))
    code = (
        f"import os; os.sched_setaffinity(0, [{last}])\n"
        "from segbench.measure import machine as environment; machine = environment.machine()\n"
        "print(machine['affinity'], machine['cpus_available'])"
    )
    done = subprocess.run(  # noqa: S603  (this interpreter, on the code above)
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [f"[{last}]", "1"]


def test_what_fails_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform that refuses to tell something leaves that key out and keeps the others."""

    def refuse(*_: object, **__: object) -> object:
        raise PermissionError

    complete = environment.machine()
    monkeypatch.setattr(psutil, "getloadavg", refuse)
    monkeypatch.setattr(psutil, "virtual_memory", refuse)
    monkeypatch.setattr(psutil, "cpu_times", refuse)
    left = {"load_at_start", "load_average"}
    left |= {"memory_gib", "memory_available_gib", "cgroup_memory_gib"}
    assert set(environment.machine()) == set(complete) - left
    assert environment.steal_seconds() is None


def test_no_affinity_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where CPUs can't be bound, all are available."""
    monkeypatch.delattr(psutil.Process, "cpu_affinity", raising=False)
    machine = environment.machine()
    assert "affinity" not in machine
    assert machine["cpus_available"] == os.cpu_count()


LINES = st.sampled_from(["0::/", "3:cpu:/a", "no colon", "flags\t: fpu", "model name:", "1 0"])


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(max_size=40) | st.lists(LINES, max_size=4).map("\n".join))
def test_no_text_of_the_system_is_an_error(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Whatever the files of the system hold, the description is made, of simple values."""
    with monkeypatch.context() as patch:
        patch.setattr(environment, "_read", lambda _: text)
        machine = environment.machine()
        environment.throttled_seconds()
    assert {"system", "cpus", "memory_gib"} <= set(machine)
    assert all(isinstance(value, str | int | float | list) for value in machine.values())


@pytest.mark.parametrize(
    ("cpuinfo", "virtual"),
    [
        ("processor : 0\nflags\t\t: fpu hypervisor lm\n\nprocessor : 1\n", True),
        ("flags\t\t: fpu lm nohypervisor\nbugs\t\t: hypervisor\n", False),
        ("Features\t: fp asimd\n", None),
        ("", None),
    ],
)
def test_virtual_machine(cpuinfo: str, virtual: bool | None) -> None:
    """The CPU's flags tell of a hypervisor; a CPU without such flags tells nothing."""
    assert environment._is_virtual(cpuinfo) is virtual


def test_cpu_model() -> None:
    """The model is that of the first CPU in the table, and never empty."""
    table = "vendor_id\t: Abacus\nmodel name\t: Abacus 3000\n\nmodel name\t: other\n"
    assert environment._cpu_model(table) == "Abacus 3000"
    assert environment._cpu_model("")


def test_governors(tmp_path: Path) -> None:
    """CPUs of one governor have one name, of different ones all of them, of none none."""
    assert environment._governor(tmp_path) is None
    files = {f"policy{cpu}/scaling_governor": "powersave\n" for cpu in range(4)}
    assert environment._governor(grow(tmp_path, files)) == "powersave"
    grow(tmp_path, {"policy2/scaling_governor": "performance\n"})
    assert environment._governor(tmp_path) == "performance, powersave"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data/images/a.jpg", "xfs"),
        ("/data/images", "xfs"),
        ("/data/imagesque/a.jpg", "nfs4"),
        ("/home/a.jpg", "ext4"),
    ],
)
def test_longest_mount_point_holds_a_path(path: str, kind: str) -> None:
    """A path lies in the innermost mount around it, of several in one place in the last."""
    mounts = [
        ("/data/images", "tmpfs"),
        ("/data/images", "xfs"),
        ("/", "ext4"),
        ("/data", "nfs4"),
    ]
    assert environment._type_of_mount(Path(path), mounts) == kind


def test_file_system_of_a_link(tmp_path: Path) -> None:
    """A link has the file system of what it leads to."""
    if environment.file_system(Path("/proc")) != "proc":
        pytest.skip("no /proc")
    (tmp_path / "link").symlink_to("/proc/self")
    assert environment.file_system(tmp_path / "link" / "status") == "proc"
    assert environment.file_system(tmp_path) not in {"", "proc"}


@pytest.mark.parametrize("path", [Path("loop"), Path("a\0b"), Path("not/there")])
def test_odd_paths_have_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    """A path that leads nowhere has the file system it would lie in, or none."""
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    assert environment.file_system(path) in {"", environment.file_system(tmp_path)}


def test_file_system_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a table of mounts no file system is known."""
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: [])
    assert environment.file_system(tmp_path) == ""


# Commits


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit of a package, and the package's module in `MODULE`."""
    if not shutil.which("git"):
        pytest.skip("no git")
    # Neither the settings of the user nor the variables of a hook that runs these tests.
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    folder = grow(
        tmp_path / "repository",
        {"src/package/inner/module.py": "", "README.md": "", ".gitignore": "venv/\n*.pyc\n"},
    )
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


def commit_of(repository: Path) -> str:
    """The commit of the package of `repository`, as `environment.commit` finds it."""
    package = repository / "src" / "package"
    return environment._commit_of(package / "inner" / "module.py", package)


def test_commit(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source tree that is as committed has the commit's name, wherever segbench is run."""
    monkeypatch.chdir(tmp_path)
    assert commit_of(repository) == git(repository, "rev-parse", "HEAD")


def changed(repository: Path) -> None:
    """Change a module."""
    (repository / "src/package/inner/module.py").write_text("x = 1\n")


def staged(repository: Path) -> None:
    """Change a module and stage the change."""
    changed(repository)
    git(repository, "add", ".")


def added(repository: Path) -> None:
    """Add a module, while the user's settings hide what is new."""
    git(repository, "config", "status.showUntrackedFiles", "no")
    (repository / "src/package/new.py").write_text("")


def deleted(repository: Path) -> None:
    """Delete a module beside."""
    (repository / "src/package/other.py").write_text("")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message", "second")
    (repository / "src/package/other.py").unlink()


@pytest.mark.parametrize("change", [changed, staged, added, deleted])
def test_changes_show(repository: Path, change: Callable[[Path], None]) -> None:
    """Any change of the package since the commit makes its name dirty."""
    change(repository)
    assert commit_of(repository) == git(repository, "rev-parse", "HEAD") + "-dirty"


def test_other_files_do_not_matter(repository: Path) -> None:
    """Files outside of the package, and those that git ignores, are not segbench's source."""
    grow(repository, {"README.md": "new", "results/run.jsonl": "", "src/package/module.pyc": ""})
    assert commit_of(repository) == git(repository, "rev-parse", "HEAD")


@pytest.mark.parametrize("folder", ["venv/lib", "other"])
def test_commit_is_of_no_other_repository(repository: Path, folder: str) -> None:
    """A package installed inside somebody's repository, ignored or not, has no commit."""
    root = grow(repository / folder, {"src/package/inner/module.py": ""})
    assert commit_of(root) == ""


def test_variables_of_git_do_not_lead_away(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run by a hook of another repository, segbench still tells its own commit."""
    other = grow(tmp_path / "other", {"src/package/inner/module.py": "", "b": ""})
    git(other, "init", "--quiet")
    git(other, "add", ".")
    git(other, "commit", "--quiet", "--message", "other")
    own = git(repository, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert commit_of(repository) == own


def test_nothing_committed_is_no_commit(repository: Path) -> None:
    """Before the first commit there is none."""
    shutil.rmtree(repository / ".git")
    git(repository, "init", "--quiet")
    git(repository, "add", ".")
    assert commit_of(repository) == ""


def test_no_repository_no_commit(tmp_path: Path) -> None:
    """Outside of a repository, or where there is no such folder, there is no commit."""
    root = grow(tmp_path, {"src/package/inner/module.py": ""})
    assert commit_of(root) == ""
    assert commit_of(tmp_path / "not" / "there") == ""


def test_without_git_no_commit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where git is not installed there is no commit."""
    monkeypatch.setenv("PATH", str(repository))
    assert commit_of(repository) == ""
    assert environment.commit() == ""


def test_slow_git_is_left(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A git that does not answer is given up."""
    monkeypatch.setattr(environment, "GIT_SECONDS", 0.0)
    assert commit_of(repository) == ""


def test_own_commit() -> None:
    """What is told of the segbench that runs is the commit of the tree that it lies in, or nothing."""
    found = environment.commit()
    folder = Path(environment.__file__).parent
    if found:
        assert found.removesuffix("-dirty") == git(folder, "rev-parse", "HEAD")


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
    versions = environment.versions()
    assert versions["python"].split(".")[0] == "3"
    for name in ("segbench", "numpy", "scikit-image", "dask", "dask-image", "pims", "toolz"):
        assert versions[name] == version(name)


def test_absent_libraries_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not installed has no version."""
    monkeypatch.setattr(environment, "LIBRARIES", ("numpy", "segbench-not-there"))
    assert "segbench-not-there" not in environment.versions()


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
    before = environment.versions()
    monkeypatch.syspath_prepend(str(tmp_path))
    after = environment.versions()
    assert {name: after[name] for name in after.keys() - before.keys()} == dict.fromkeys(
        ("segbench-quick", "quick-blur", "gpu-part"), "1.2.3"
    )
    assert before.items() <= after.items()


def test_broken_plugin_takes_no_other_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin whose metadata is lost has no version; the others keep theirs."""
    before = environment.versions()
    points = "[segbench.readers]\nbroken = broken:READER\n"
    distribution(tmp_path, "segbench-broken", points=points)
    (tmp_path / "segbench_broken-1.2.3.dist-info" / "METADATA").unlink()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert environment.versions() == before
