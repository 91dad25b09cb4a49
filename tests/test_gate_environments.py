"""Both sides of a gate have an environment of their own, whole or not there."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psutil
import pytest
from packaging.requirements import Requirement

from segbench.errors import InputError
from segbench.gate import environments, installed, installing
from segbench.gate.environments import Environment, from_commit, from_requirements
from tests import tiny
from tests.repositories import commit, everything, git, grow

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PACKAGES = ("segbench",)

# Longer than any build of a tiny package takes on a busy machine.
PATIENCE = 120.0


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with pip alone."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    installing.make_venv(folder, what="a bare environment")
    return folder


@pytest.fixture(autouse=True)
def _copied_environments(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copy the bare environment in place of making one, which takes several seconds each time."""
    monkeypatch.setattr(
        environments,
        "make_venv",
        lambda folder, *, what: shutil.copytree(  # noqa: ARG005  (the interface of make_venv)
            bare, folder, symlinks=True, dirs_exist_ok=True
        ),
    )


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where pip finds packages: a folder of wheels."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name, version in (
        *(("tinylib", version) for version in ("1.0", "1.5", "2.0")),
        ("tinyextra", "1.0"),
    ):
        add_wheel(folder, name, version)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


@pytest.fixture
def repository(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wheels: Path,  # noqa: ARG001  (a fixture can't be marked to use another)
) -> Path:
    """A tiny segbench in git, and the working folder; it says ``old`` in its first commit."""
    folder = tmp_path / "repository"
    tiny.write_project(folder, "segbench", "0.1", dependencies='"tinylib"')
    files = {
        ".gitignore": "*.ignored\n__pycache__/\n",
        environments.PACKAGE: "WORD = 'old'\n",
        "src/segbench/measure/__init__.py": "",
        environments.WORKER: "",
    }
    commit(folder, files)
    commit(folder, {environments.PACKAGE: "WORD = 'new'\n"})
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; without it tests share what they build."""
    monkeypatch.setenv("SEGBENCH_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gate"


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend that a distribution is installed here: a function of its name, version and origin."""
    folder = tmp_path / "pretended"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def add(name: str, version: str, *, direct: str = "", requires: str = "") -> None:
        told = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        told += f"Requires-Dist: {requires}\n" if requires else ""
        grow(folder / f"{name}-{version}.dist-info", {"METADATA": told})
        if direct:
            grow(folder / f"{name}-{version}.dist-info", {"direct_url.json": direct})

    return add


def add_wheel(folder: Path, name: str, version: str) -> None:
    """Publish a version of a package that tells its version."""
    project: dict[str, object] = {"name": name, "version": version}
    tiny.write_wheel(folder, project, {f"{name}.py": f"VERSION = {version!r}\n"})


def serve(project: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let git find a repository at an address of the network; it, for pip."""
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{project.as_uri()}.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://host.invalid/it")
    return "git+https://host.invalid/it"


def silent(text: str) -> None:
    """Be told what is built."""


def unexpected(text: str) -> None:
    """Fail if anything is built."""
    pytest.fail(f"nothing was to be built, but: {text}")


def ask(side: Environment, expression: str) -> str:
    """What an expression is in a side's interpreter; modules are imported by their names."""
    code = f"import segbench, importlib.util; print({expression})"
    done = subprocess.run(  # noqa: S603  (an environment's interpreter, on a test's own code)
        [str(side.python), "-I", "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def library(side: Environment) -> str:
    """The version of tinylib that a side imports."""
    return ask(side, "importlib.import_module('tinylib').VERSION")


def gone(process: psutil.Process) -> bool:
    """Whether a process has ended, be it that nobody has asked for its status yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


# A commit and the working tree


def test_commit_against_working_tree(repository: Path) -> None:
    """Base is the commit and head the working tree, each in an interpreter of its own."""
    base, head = from_commit("HEAD~1", packages=PACKAGES, watch=silent)
    assert (ask(base, "segbench.WORD"), ask(head, "segbench.WORD")) == ("old", "new")
    older, newer = git(repository, "rev-parse", "HEAD~1", "HEAD").split()
    assert (base.side.name, base.side.commit) == ("base", older)
    assert (head.side.name, head.side.commit) == ("head", newer)
    assert base.side.what == f"HEAD~1 ({older[:7]})"
    assert head.side.what == f"HEAD ({newer[:7]})"
    assert not base.side.changed
    assert not head.side.changed
    assert base.side.versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert base.side.versions["segbench"] == "0.1"


def test_name_of_the_commit_itself_is_said_once(repository: Path) -> None:
    """A base given by its commit's own name is not named twice."""
    older = git(repository, "rev-parse", "HEAD~1")
    base, _ = from_commit(older, packages=PACKAGES, watch=silent)
    assert base.side.what == older[:7]


def test_dirty_tree_is_measured_as_it_is(repository: Path) -> None:
    """Head has changes and new files but no ignored ones, says so, and the repository is untouched."""
    grow(
        repository,
        {
            environments.PACKAGE: "WORD = 'dirty'\n",
            "src/segbench/untracked.py": "",
            "src/segbench/is.ignored": "",
        },
    )
    before = everything(repository)
    _, head = from_commit("HEAD~1", packages=PACKAGES, watch=silent)
    assert everything(repository) == before
    assert ask(head, "segbench.WORD") == "dirty"
    assert ask(head, "importlib.import_module('segbench.untracked').__name__")
    assert head.side.changed
    short = git(repository, "rev-parse", "HEAD")[:7]
    assert head.side.what == f"the working tree of {short}, with changes"
    assert git(repository, "worktree", "list").count("\n") == 0


@pytest.mark.usefixtures("repository")
def test_sides_can_be_the_same() -> None:
    """A clean tree against its own commit is one environment twice: what a calibration compares."""
    base, head = from_commit("HEAD", packages=PACKAGES, watch=silent)
    assert base.python == head.python
    assert dataclasses.replace(base.side, name="head", what=head.side.what) == head.side


def test_what_was_built_is_kept(
    repository: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time nothing is built and no package is looked for, wherever the content comes from."""
    told: list[str] = []
    first = from_commit("HEAD~1", packages=PACKAGES, watch=told.append)
    assert [text.split(":")[0] for text in told] == ["building base", "building head"]
    for folder in cache.iterdir():
        os.utime(folder, (0, 0))
    monkeypatch.setattr(installing, "_run", lambda *_: pytest.fail("no program was to be run"))
    assert from_commit("HEAD~1", packages=PACKAGES, watch=unexpected) == first
    # The same content, in the working tree.
    git(repository, "checkout", "--quiet", "HEAD~1")
    base, head = from_commit("HEAD", packages=PACKAGES, watch=unexpected)
    assert base.python == head.python == first[0].python
    assert len(list(cache.iterdir())) == 2
    # Both count as used now.
    assert all(folder.stat().st_mtime > 0 for folder in cache.iterdir())


@pytest.mark.usefixtures("repository")
def test_extras_are_installed() -> None:
    """What a backend needs is installed on both sides; without asking for it, it is not."""
    expression = "importlib.util.find_spec('tinyextra') is not None"
    for packages, there in (("segbench[opencv]",), "True"), (PACKAGES, "False"):
        for side in from_commit("HEAD", packages=packages, watch=silent):
            assert ask(side, expression) == there


@pytest.mark.usefixtures("cache")
def test_users_surroundings_do_not_reach_the_environment(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Modules in the shell's path and in the working folder, and another place for pip, are left out."""
    grow(tmp_path / "path", {"segbench/__init__.py": "WORD = 'wrong'\n"})
    grow(repository, {"pip.py": "1 / 0\n"})
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    monkeypatch.setenv("PYTHONHOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "target"))
    _, head = from_commit("HEAD", packages=PACKAGES, watch=silent)
    assert ask(head, "segbench.WORD") == "new"
    assert not (tmp_path / "target").exists()


# Other libraries


def test_requirement_against_what_is_installed(
    repository: Path, pretend: Callable[..., None]
) -> None:
    """Base has what was asked for and head what is installed here, though there are newer ones."""
    pretend("tinylib", "1.5")
    base, head = from_requirements(["tinylib==1.0"], packages=PACKAGES, watch=silent)
    assert (library(base), library(head)) == ("1.0", "1.5")
    assert (base.side.what, head.side.what) == (
        "tinylib==1.0",
        "tinylib 1.5, as installed here",
    )
    assert (base.side.versions["tinylib"], head.side.versions["tinylib"]) == ("1.0", "1.5")
    assert ask(base, "segbench.WORD") == ask(head, "segbench.WORD") == "new"
    assert base.side.commit == head.side.commit == git(repository, "rev-parse", "HEAD")


@pytest.mark.usefixtures("repository")
def test_requirement_that_nobody_has(wheels: Path) -> None:
    """What only the base has is installed there as it is now, and head is said to have none."""
    base, head = from_requirements(["tinyextra"], packages=PACKAGES, watch=silent)
    assert base.side.versions["tinyextra"] == "1.0"
    assert "tinyextra" not in head.side.versions
    assert head.side.what == "no tinyextra, as installed here"
    add_wheel(wheels, "tinyextra", "2.0")
    base, _ = from_requirements(["tinyextra"], packages=PACKAGES, watch=silent)
    assert base.side.versions["tinyextra"] == "2.0"


@pytest.mark.usefixtures("repository")
def test_choice_of_pip_is_made_anew(
    wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A requirement that leaves the choice to pip stands for what pip chooses now, not before."""
    (head, _) = from_commit("HEAD", packages=PACKAGES, watch=silent)

    def settled(*texts: str) -> list[str]:
        return environments._settled([Requirement(text) for text in texts], python=head.python)

    assert settled("tinylib", "tinyextra==1.0") == ["tinyextra==1.0", "tinylib==2.0"]
    assert settled("tinylib[opencv]<2") == ["tinylib[opencv]==1.5"]
    add_wheel(wheels, "tinylib", "3.0")
    assert settled("tinylib==3.*") == ["tinylib==3.0"]

    project = tiny.write_project(tmp_path / "tinylib", "tinylib", "4.0")
    first = commit(project, {"src/tinylib.py": "VERSION = 'first'\n"})
    url = serve(project, monkeypatch)
    assert settled(f"tinylib @ {url}@main") == [f"tinylib @ {url}@{first}"]
    second = commit(project, {"src/tinylib.py": "VERSION = 'second'\n"})
    assert settled(f"tinylib @ {url}") == [f"tinylib @ {url}@{second}"]
    assert settled(f"tinylib @ {url}@{first}") == [f"tinylib @ {url}@{first}"]


@pytest.mark.usefixtures("repository")
def test_requirement_from_a_repository(
    tmp_path: Path,
    pretend: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A branch of a library is compared with its checkout, which is installed here from a folder."""
    project = tiny.write_project(tmp_path / "tinylib", "tinylib", "4.0")
    commit(project, {"src/tinylib.py": "VERSION = 'committed'\n"})
    grow(project, {"src/tinylib.py": "VERSION = 'at work'\n"})
    direct = f'{{"url": "{project.as_uri()}", "dir_info": {{"editable": true}}}}'
    pretend("tinylib", "4.0", direct=direct)
    pretend("segbench", "0.1", requires="tinylib")
    wanted = [f"tinylib @ {serve(project, monkeypatch)}@main"]
    base, head = from_requirements(wanted, packages=PACKAGES, watch=silent)
    assert (library(base), library(head)) == ("committed", "at work")
    # Other content, another environment.
    grow(project, {"src/tinylib.py": "VERSION = 'at work again'\n"})
    again, head = from_requirements(wanted, packages=PACKAGES, watch=silent)
    assert library(head) == "at work again"
    assert again.python == base.python


def test_released_segbench_is_that_of_both_sides(
    tmp_path: Path,
    wheels: Path,
    pretend: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Outside of a checkout of segbench both sides have the version that is installed here."""
    project: dict[str, object] = {"name": "segbench", "version": "9.9", "dependencies": ["tinylib"]}
    tiny.write_wheel(wheels, project, {"segbench.py": "WORD = 'released'\n"})
    pretend("segbench", "9.9", requires="tinylib")
    monkeypatch.chdir(tmp_path)
    base, head = from_requirements(["tinylib==1.0"], packages=PACKAGES, watch=silent)
    assert (library(base), library(head)) == ("1.0", "2.0")
    assert ask(base, "segbench.WORD") == ask(head, "segbench.WORD") == "released"
    assert (base.side.commit, base.side.changed) == ("", False)


def test_source_is_where_segbench_was_installed_from(
    repository: Path,
    tmp_path: Path,
    pretend: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Elsewhere than in its checkout, an installed segbench is made again from there."""
    # Another's repository is no checkout of segbench.
    commit(tmp_path / "pretended", {"file": "of somebody else\n"})
    monkeypatch.chdir(tmp_path / "pretended")

    def source() -> environments._Source:
        with ExitStack() as stack:
            return environments._own_source(stack, installed.distributions())

    pretend("segbench", "0.1", direct=f'{{"url": "{repository.as_uri()}", "dir_info": {{}}}}')
    assert source().place == git(repository, "rev-parse", "HEAD^{tree}")
    assert source().commit == git(repository, "rev-parse", "HEAD")
    name = "0123456789" * 4
    vcs = f'{{"vcs": "git", "commit_id": "{name}"}}'
    pretend("segbench", "0.1", direct=f'{{"url": "https://host/it", "vcs_info": {vcs}}}')
    assert source().place == f" @ git+https://host/it@{name}"
    assert source().commit == name


# What is installed here


def test_constraints_are_the_versions_of_here(pretend: Callable[..., None]) -> None:
    """Every distribution is held at its version, but for segbench and what pip can't read."""
    pretend("segbench", "0.1", requires="from-url")
    pretend("Tiny_Lib", "1.5")
    pretend("unreadable", "1.0-of-some-other-packager")
    lines = installed.constraints(installed.distributions(), PACKAGES)
    assert lines["tiny-lib"] == "tiny-lib==1.5"
    assert lines["pytest"] == f"pytest=={pytest.__version__}"
    assert not {"segbench", "unreadable"} & set(lines)


def test_first_of_two_distributions_counts(pretend: Callable[..., None]) -> None:
    """Where an earlier folder has another version of something, it is the one that is imported."""
    pretend("pytest", "0.0.1")
    assert installed.distributions()["pytest"].version == "0.0.1"


@pytest.mark.parametrize(
    ("direct", "line"),
    [
        (
            '{"url": "https://host/it.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}',
            "tinylib @ git+https://host/it.git@abc",
        ),
        (
            '{"url": "https://host/it", "subdirectory": "a", "vcs_info": {"vcs": "hg", "commit_id": "b"}}',
            "tinylib @ hg+https://host/it@b#subdirectory=a",
        ),
        (
            '{"url": "https://host/it.zip", "archive_info": {"hash": "sha256=abc"}}',
            "tinylib @ https://host/it.zip#sha256=abc",
        ),
        ('{"url": "file:///nowhere/any/more", "dir_info": {}}', "tinylib==1.5"),
    ],
)
def test_url_is_handed_over(pretend: Callable[..., None], direct: str, line: str) -> None:
    """What was installed from a URL comes from there again, unless it was a folder that is gone."""
    pretend("tinylib", "1.5", direct=direct)
    pretend("plugin", "1.0", requires="tinylib>=1")
    found = installed.distributions()
    assert installed.constraints(found, ["segbench", "plugin[all]"])["tinylib"] == line
    # What nothing needs is not fetched.
    assert installed.constraints(found, PACKAGES).get("tinylib", "") in ("", "tinylib==1.5")


# Errors


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    ("requirement", "words"),
    [
        ("", "Expected package name.*give NAME==VERSION, or NAME @ URL"),
        ("tinylib==", "give NAME==VERSION"),
        ("-r requirements.txt", "give NAME==VERSION"),
        ("git+https://host/it.git", "give NAME==VERSION, or NAME @ URL"),
        ("segbench==0.1", "compared by --base REF"),
        (
            "tinylib==1.5",
            "that is installed here, so that there is nothing to compare; name another version",
        ),
        ("TinyLib===1.5", "that is installed here"),
        ("tinylib<2", "the base gets what is installed here"),  # pip chooses 1.5
        ("tinylib==7", "No matching distribution found for tinylib==7; name a version that"),
        ("nowhere", "No matching distribution found for nowhere; name"),
    ],
)
def test_requirement_that_makes_no_sense(
    pretend: Callable[..., None],
    requirement: str,
    words: str,
) -> None:
    """A requirement that can't be understood or met, or changes nothing, is an error of one line."""
    pretend("tinylib", "1.5")
    with pytest.raises(InputError, match=words) as caught:
        from_requirements([requirement], packages=PACKAGES, watch=silent)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("requirement", "direct"),
    [
        ("tinylib==1.5", '{"url": "https://host/it.zip", "archive_info": {}}'),
        ("tinylib[opencv]==1.5", ""),
        ("tinylib @ https://host/it.zip#sha256=abc", ""),
    ],
)
def test_same_version_may_be_another_content(
    pretend: Callable[..., None], requirement: str, direct: str
) -> None:
    """A version installed from elsewhere, with extras or from a URL is not taken for what is here."""
    pretend("tinylib", "1.5", direct=direct)
    environments._refuse_the_same(Requirement(requirement), installed.distributions())


def test_requirements_that_do_not_go_together(
    repository: Path,
    wheels: Path,
    pretend: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where a requirement excludes what is installed here, the error names both and what to do."""
    project: dict[str, object] = {
        "name": "tinyextra",
        "version": "2.0",
        "dependencies": ["tinylib==1.5"],
    }
    tiny.write_wheel(wheels, project, {"tinyextra.py": ""})
    pretend("tinylib", "1.5")
    pretend("tinyextra", "2.0")
    monkeypatch.setattr(installing, "MOST_CAUSES", 9)
    with pytest.raises(InputError, match="do not go together") as caught:
        from_requirements(["tinylib==1.0"], packages=["segbench[opencv]"], watch=silent)
    text = str(caught.value)
    assert "tinyextra 2.0 depends on tinylib==1.5" in text
    # Held at what was asked for with whatever extras, too.
    assert "(constraint) tinylib==1.0" in text
    assert "--base-with" in text
    assert "\n" not in text
    # Naming both, as it says, is the way out.
    wanted = ["tinylib==1.0", "tinyextra==1.0"]
    base, _ = from_requirements(wanted, packages=["segbench[opencv]"], watch=silent)
    assert library(base) == "1.0"
    assert git(repository, "status", "--porcelain") == ""


def refuse(ref: str, words: str) -> None:
    """See that a base is refused, on one line."""
    with pytest.raises(InputError, match=words) as caught:
        from_commit(ref, packages=PACKAGES, watch=silent)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("repository")
def test_unknown_commit(cache: Path) -> None:
    """A base that does not exist is an error before anything is built."""
    refuse("nowhere", "nowhere: no such commit in .*; name one")
    assert not cache.exists()


def test_other_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In another's repository, and in none, the user is told where to be."""
    monkeypatch.chdir(tmp_path)
    refuse("HEAD", "not a git repository")
    commit(tmp_path, {"file": "of somebody else\n"})
    refuse("HEAD", "is not segbench's repository; run --base there, or .* --base-with")


@pytest.mark.parametrize(
    ("left", "words"),
    [
        ("README", f"no package segbench .{environments.PACKAGE}.; name another commit"),
        (environments.PACKAGE, "too old to be measured .* name a later commit"),
    ],
)
def test_commit_without_what_is_measured(
    repository: Path, cache: Path, left: str, words: str
) -> None:
    """A commit from before segbench, or from before its workers, is an error before any build."""
    git(repository, "checkout", "--quiet", "--orphan", "early")
    git(repository, "rm", "-r", "--quiet", "--force", ".")
    commit(repository, {left: ""})
    git(repository, "checkout", "--quiet", "main")
    refuse("early", f"early .*: .*{words}")
    assert not cache.exists()


def test_commit_that_does_not_build(repository: Path, cache: Path) -> None:
    """The error has the line that says why a commit does not build, and leaves nothing behind."""
    commit(repository, {"broken": ""})
    git(repository, "rm", "--quiet", "broken")
    git(repository, "commit", "--quiet", "--message", "mended")
    refuse(
        "HEAD~1",
        "base, HEAD~1 .*: can't be built: ValueError: this project is broken by hand, and the "
        "cause is a line of some length; mend it, or name another",
    )
    assert list(cache.iterdir()) == []


@pytest.mark.usefixtures("repository")
def test_no_network(
    cache: Path,
    wheels: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where pip gets no answer, and nothing was built before, the network is named."""
    for wheel in wheels.iterdir():
        wheel.unlink()
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    refuse("HEAD", "base, .*: pip could not reach the network .*tinylib.*; connect it")
    assert list(cache.iterdir()) == []


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_no_venv(
    monkeypatch: pytest.MonkeyPatch,
    module: str,
) -> None:
    """Where the system's Python lacks a module for environments its package is named."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == module else find(name)
    )
    refuse("HEAD", f"no module {module}.*apt install python3-venv")


@pytest.mark.usefixtures("repository")
def test_damaged_environment(cache: Path) -> None:
    """An environment whose interpreter is gone is an error that names the folder to remove."""
    _, head = from_commit("HEAD", packages=PACKAGES, watch=silent)
    head.python.unlink()
    refuse("HEAD", f"{next(cache.iterdir())}: this environment is damaged; remove the folder")


CONFLICT = """\
ERROR: Cannot install segbench and dask==2026.3.0 because these package versions have conflicting dependencies.

The conflict is caused by:
    The user requested dask==2026.3.0
    distributed 2026.8.0 depends on dask==2026.8.0

To fix this you could try to:
1. loosen the range of package versions you've specified
2. remove package versions to allow pip attempt to solve the dependency conflict

ERROR: ResolutionImpossible: for help visit https://pip.pypa.io/en/latest/topics/dependency-resolution/
"""

NO_BACKEND = """\
  error: subprocess-exited-with-error
  × pip subprocess to install build dependencies did not run successfully.
  │ exit code: 1
  ╰─> [2 lines of output]
      ERROR: Could not find a version that satisfies the requirement hatchling>=1.26 (from versions: none)
      ERROR: No matching distribution found for hatchling>=1.26
      [end of output]

  note: This error originates from a subprocess, and is likely not a problem with pip.
error: subprocess-exited-with-error
"""


@pytest.mark.parametrize(
    ("output", "line"),
    [
        (
            CONFLICT,
            "The user requested dask==2026.3.0; distributed 2026.8.0 depends on dask==2026.8.0",
        ),
        (
            CONFLICT.replace(
                "    distributed", "".join(f"    a {n} needs b (from c)\n" for n in range(1, 6))
            ),
            "The user requested dask==2026.3.0; a 1 needs b; a 2 needs b; a 3 needs b; ...",
        ),
        (NO_BACKEND, "No matching distribution found for hatchling>=1.26"),
        ("ERROR: first\nERROR: second\nWARNING: pip is old\n", "second"),
        ("fatal error of another kind\n", "fatal error of another kind"),
        ("[end of output]\n", "[end of output]"),
        ("", "it did not say why"),
    ],
)
def test_line_that_says_most(output: str, line: str) -> None:
    """Of pip's many lines the cause is found."""
    assert installing.reason(output) == line


@pytest.mark.parametrize(
    "line",
    [
        "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError(...)'",
        "fatal: unable to access 'https://host/it.git/': Could not resolve host: host",
    ],
)
def test_unreachable_network_is_told_from_a_wrong_name(line: str) -> None:
    """Without an answer from the network a missing package is no wrong name."""
    missing = "ERROR: No matching distribution found for tinylib"
    assert "could not reach the network" in installing.failure("base", f"{line}\n{missing}\n")
    assert "could not reach the network" not in installing.failure("base", missing)


# Interruptions


BUILD = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the tests were started by
from segbench.gate.environments import from_commit
from_commit("HEAD~1", packages=("segbench",), watch=print)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGINT])
def test_interrupted_build(
    repository: Path,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: signal.Signals,
) -> None:
    """However a build is ended its programs end, the repository is as before, and a later one works."""
    before = everything(repository)
    waiting = tmp_path / "waiting"
    with subprocess.Popen(  # noqa: S603  (this interpreter, on the code above)
        [sys.executable, "-c", BUILD],
        env={**os.environ, tiny.WAIT: str(waiting)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as gate:
        wait_for(lambda: waiting.exists() and waiting.read_text() != "")
        family = psutil.Process(gate.pid).children(recursive=True)
        assert int(waiting.read_text()) in {member.pid for member in family}
        gate.send_signal(kind)
        gate.wait()
    wait_for(lambda: all(gone(member) for member in family))
    assert everything(repository) == before
    left = [folder.name for folder in cache.iterdir()]
    assert not [name for name in left if not name.startswith(".")]
    if kind == signal.SIGINT:
        assert left == []
        return
    monkeypatch.setattr(environments, "LEFT_SECONDS", 0.0)
    base, head = from_commit("HEAD~1", packages=PACKAGES, watch=silent)
    assert (ask(base, "segbench.WORD"), ask(head, "segbench.WORD")) == ("old", "new")
    # What the killed one left is removed.
    assert not [folder.name for folder in cache.iterdir() if folder.name.startswith(".")]


def test_those_used_last_are_kept(tmp_path: Path) -> None:
    """Environments beyond a number go, the least lately used first; young unfinished ones stay."""
    now = time.time()
    ages = {f"{number:02d}": 100.0 * number for number in range(environments.KEPT + 2)}
    ages |= {".segbench-young": 60.0, ".segbench-old": environments.LEFT_SECONDS + 60.0}
    for name, age in ages.items():
        grow(tmp_path, {f"{name}/file": ""})
        os.utime(tmp_path / name, (now - age, now - age))
    environments._tidy(tmp_path)
    kept = {f"{number:02d}" for number in range(environments.KEPT)}
    assert {folder.name for folder in tmp_path.iterdir()} == {*kept, ".segbench-young"}
