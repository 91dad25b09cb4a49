"""Both sides of a gate find what is installed here, behind what they have of their own."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import site
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
import pytest

from segbench.errors import InputError
from segbench.gate import sides
from segbench.gate.sides import Environment, of_commit, of_requirements
from tests import tiny
from tests.repositories import commit, everything, git, grow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Longer than any build of a tiny package takes on a busy machine.
PATIENCE = 120.0

# What an editable install may do to be found before all others: the worst of what there is.
IN_FRONT = "import sys; sys.path.insert(0, {folder!r})\nimport {name}_editable\n"
FINDER = """\
import importlib.machinery, sys
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == {name!r}:
            return importlib.machinery.PathFinder.find_spec(name, [{folder!r}])
sys.meta_path.insert(0, Finder)
"""


@dataclass(frozen=True, kw_only=True)
class Here:
    """What is installed here, as far as a side can tell: folders of a test.

    Attributes
    ----------
    packages : Path
        The first of the folders in which this interpreter seems to find its packages.
    wheels : Path
        The only place where pip finds packages.
    repository : Path
        A tiny segbench in git, installed here editable. It says ``old`` in its first commit.
    """

    packages: Path
    wheels: Path
    repository: Path

    def install(self, name: str, version: str, *, direct: str = "", **project: object) -> None:
        """Install a package as a file that tells its version."""
        files = {f"{name}.py": f"VERSION = {version!r}\n"}
        if direct:
            files[f"{name}-{version}.dist-info/direct_url.json"] = direct
        grow(self.packages, tiny.installed({"name": name, "version": version, **project}, files))

    def install_editable(self, name: str, version: str, folder: Path, **project: object) -> None:
        """Install a package from a folder, in front of all others."""
        told = {"name": name, "version": version, **project}
        words = {"name": name, "folder": str(folder)}
        files = {
            f"{name}_editable.py": FINDER.format(**words),
            f"__editable__{name}.pth": IN_FRONT.format(**words),
        }
        grow(self.packages, tiny.installed(told, files))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    """Work in a checkout of a tiny segbench, which is installed editable over a tinylib 1.5."""
    wheels, repository = tmp_path / "wheels", tmp_path / "repository"
    packages, below = tmp_path / "packages", tmp_path / "below"
    found = Here(packages=packages, wheels=wheels, repository=repository)
    wheels.mkdir()
    for name, version in (
        *(("tinylib", version) for version in ("1.0", "1.5", "2.0")),
        ("tinyextra", "1.0"),
    ):
        publish(wheels, name, version)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)

    tiny.write_project(repository, "segbench", "0.1", more='dependencies = ["tinylib"]')
    files = {
        ".gitignore": "*.ignored\n__pycache__/\n",
        sides.PACKAGE: "WORD = 'old'\n",
        "src/segbench/measure/__init__.py": "",
        sides.WORKER: "",
    }
    commit(repository, files)
    more = 'dependencies = ["tinylib"]\noptional-dependencies.opencv = ["tinyextra"]\n'
    more += 'entry-points."segbench.readers".new = "segbench:WORD"\n'
    tiny.write_project(repository, "segbench", "0.2", more=more)
    commit(repository, {sides.PACKAGE: "WORD = 'new'\n", "src/segbench/added.py": ""})
    monkeypatch.chdir(repository)

    points = {"segbench.readers": {"here": "segbench:WORD"}}
    told = {"dependencies": ["tinylib"], "entry-points": points}
    found.install_editable("segbench", "0.9", repository / "src", **told)
    found.install("tinylib", "1.5")
    grow(packages, {f"{tiny.OUTSIDE}.py": ""})
    # An environment that is made over another, as a side is.
    grow(packages, {"below.pth": f"import site; site.addsitedir({str(below)!r})\n"})
    grow(below, {"far_below.py": ""})
    real = site.getsitepackages()
    monkeypatch.setattr(site, "getsitepackages", lambda: [str(packages), *real])
    return found


@pytest.fixture
def elsewhere(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    """Work in no checkout of segbench, with one that lies in none: that here is that of both sides."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sides, "__file__", str(here.packages / "segbench/gate/sides.py"))
    return here


def publish(
    wheels: Path, name: str, version: str, *, files: dict[str, str] | None = None, **project: object
) -> None:
    """Let pip find a version of a package."""
    content = {f"{name}.py": f"VERSION = {version!r}\n", **(files or {})}
    tiny.write_wheel(wheels, {"name": name, "version": version, **project}, content)


def silent(text: str) -> None:
    """Be told what is built."""


ASK = """
import importlib.util, json, sys
from importlib import import_module as module
from importlib.metadata import entry_points, version
def there(name): return importlib.util.find_spec(name) is not None
print(json.dumps([eval(each) for each in sys.argv[1:]]))
"""


def ask(side: Environment, *expressions: str) -> list[object]:
    """What expressions are in a side's interpreter, which is started as a worker is."""
    command = [str(side.python), "-P", "-c", ASK, *expressions]
    done = subprocess.run(  # noqa: S603  (a side's interpreter, on a test's own code)
        command, capture_output=True, text=True, check=True
    )
    found: list[object] = json.loads(done.stdout)
    return found


def version_of(side: Environment) -> object:
    """The version of tinylib that a side imports, which is the one that its metadata has."""
    imported, told = ask(side, "module('tinylib').VERSION", "version('tinylib')")
    assert imported == told == side.side.versions["tinylib"]
    return imported


# A commit and the working tree


def test_a_commit_and_the_working_tree(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each side imports its own segbench and has its metadata, extras and entry points, not those of the one here."""
    grow(
        here.repository,
        {
            sides.PACKAGE: "WORD = 'dirty'\n",
            "src/segbench/untracked.py": "",
            "src/segbench/is.ignored": "",
            "pip.py": "1 / 0\n",
        },
    )
    # Modules in the shell's path, and another place for pip, are left out.
    grow(tmp_path / "path", {"pip.py": "1 / 0\n", "sitecustomize.py": "1 / 0\n"})
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "target"))
    before = everything(here.repository)
    told: list[str] = []
    asked = (
        "module('segbench').WORD",
        "version('segbench')",
        "sorted(each.name for each in entry_points(group='segbench.readers'))",
        "[there(f'segbench.{name}') for name in ('added', 'untracked')]",
        # What only one side's segbench wants is there alone; what is installed here is on both.
        "[there(name) for name in ('tinyextra', 'tinylib', 'far_below', 'pytest')]",
    )
    with of_commit("HEAD~1", packages=["segbench[opencv]"], watch=told.append) as (base, head):
        monkeypatch.delenv("PYTHONPATH")
        there = [True, True, True]
        assert ask(base, *asked) == ["old", "0.1", [], [False, False], [False, *there]]
        assert ask(head, *asked) == ["dirty", "0.2", ["new"], [True, True], [True, *there]]
        folder = base.python.parents[2]
    assert not folder.exists()
    assert not (tmp_path / "target").exists()
    assert everything(here.repository) == before
    older, newer = git(here.repository, "rev-parse", "HEAD~1", "HEAD").split()
    names = [f"HEAD~1 ({older[:7]})", f"the working tree of {newer[:7]}, with changes"]
    assert [base.side.what, head.side.what] == names
    assert told == [f"building base: {names[0]}", f"building head: {names[1]}"]
    assert [(each.side.name, each.side.commit, each.side.changed) for each in (base, head)] == [
        ("base", older, False),
        ("head", newer, True),
    ]
    python = ".".join(map(str, sys.version_info[:3]))
    assert base.side.versions.items() >= {"python": python, "segbench": "0.1"}.items()


@pytest.mark.slow
def test_a_commit_against_itself(here: Here) -> None:
    """A clean tree against its commit is the same twice, and a commit's own name is said once."""
    name = git(here.repository, "rev-parse", "HEAD")
    with of_commit(name, packages=["segbench"], watch=silent) as (base, head):
        assert ask(base, "module('segbench').WORD") == ask(head, "module('segbench').WORD")
    assert (base.side.what, head.side.what) == (name[:7], f"HEAD ({name[:7]})")
    assert base.side.versions == head.side.versions
    assert not head.side.changed


# Other libraries


def test_a_requirement_against_what_is_installed(here: Here, tmp_path: Path) -> None:
    """Base has what was asked for and head what is here, also where that is editable and in front."""
    grow(tmp_path / "at work", {"tinylib.py": "VERSION = '1.7'\n"})
    (here.packages / "tinylib.py").unlink()
    here.install_editable("tinylib", "1.7", tmp_path / "at work")
    (here.packages / "tinylib-1.5.dist-info" / "METADATA").unlink()
    # What a library puts on the path, in a file such as that of an editable install, is its own, too.
    grow(here.packages, {"inner.py": "VERSION = 'here'\n"})
    files = {"tinylib.pth": "tinylib_inner\n", "tinylib_inner/inner.py": "VERSION = 'of 1.1'\n"}
    publish(here.wheels, "tinylib", "1.1", files=files)
    wanted = ["tinylib==1.1"]
    with of_requirements(wanted, packages=["segbench"], watch=silent) as (base, head):
        assert (version_of(base), version_of(head)) == ("1.1", "1.7")
        inner = "module('inner').VERSION"
        assert ask(base, inner) + ask(head, inner) == ["of 1.1", "here"]
        assert ask(base, "module('segbench').WORD") == ask(head, "module('segbench').WORD")
    assert (base.side.what, head.side.what) == ("tinylib==1.1", "tinylib 1.7, as installed here")
    assert base.side.commit == head.side.commit == git(here.repository, "rev-parse", "HEAD")


def test_a_plugin_that_only_the_base_has(elsewhere: Here) -> None:
    """What is not installed here comes into the base alone, with all that it and its extras need."""
    here = elsewhere
    extras = {"optional-dependencies": {"all": ["tinyextra<2"]}}
    project = {"name": "tinyplugin", "version": "2", **extras}
    tiny.write_wheel(here.wheels, project, {"tinyplugin.py": ""})
    publish(here.wheels, "tinyextra", "2.0")
    asked = "[there(name) for name in ('tinyplugin', 'tinyextra')]"
    wanted = ["TinyPlugin[all]>=1"]
    with of_requirements(wanted, packages=["segbench"], watch=silent) as (base, head):
        assert ask(base, asked, "version('tinyextra')") == [[True, True], "1.0"]
        assert ask(head, asked) == [[False, False]]
    assert base.side.versions["tinyplugin"] == "2"
    assert head.side.what == "no TinyPlugin, as installed here"


def test_a_branch_against_a_library_of_the_same_version(
    elsewhere: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes from a repository is taken, also at the version of here; segbench is that of here."""
    project = tiny.write_project(tmp_path / "tinylib", "tinylib", "1.5")
    commit(project, {"src/tinylib.py": "VERSION = 'of the branch'\n"})
    # Its address is one of the network, for pip.
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{project.as_uri()}.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://host.invalid/it")
    # Here segbench is from a repository, too.
    name = "0123456789" * 4
    direct = json.dumps({"url": "", "vcs_info": {"commit_id": name}})
    elsewhere.install("segbench", "0.9", direct=direct)
    monkeypatch.syspath_prepend(str(elsewhere.packages))
    wanted = ["tinylib @ git+https://host.invalid/it@main"]
    with of_requirements(wanted, packages=["segbench"], watch=silent) as (base, head):
        asked = ("module('tinylib').VERSION", "module('segbench').__file__")
        (of_base, first), (of_head, second) = ask(base, *asked), ask(head, *asked)
    assert (of_base, of_head) == ("of the branch", "1.5")
    assert first == second == str(elsewhere.repository / "src/segbench/__init__.py")
    assert (base.side.commit, base.side.changed) == (name, False)


@pytest.mark.slow
def test_segbench_is_that_of_the_checkout_which_runs(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere than in a checkout of segbench, the one in which this module lies is copied and built."""
    commit(tmp_path, {"wheels/file": "of somebody else\n"})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sides, "__file__", str(here.repository / "src/segbench/gate/sides.py"))
    wanted = ["tinylib==1.0"]
    with of_requirements(wanted, packages=["segbench"], watch=silent) as (base, _):
        assert ask(base, "version('segbench')", "module('segbench').WORD") == ["0.2", "new"]
    assert base.side.commit == git(here.repository, "rev-parse", "HEAD")


# Errors


def refuse(
    words: str, *, base: str = "", base_with: str = "", packages: tuple[str, ...] = ("segbench",)
) -> str:
    """See that two sides are refused, on one line, and that nothing is left of them."""
    made = (
        of_requirements([base_with], packages=packages, watch=silent)
        if base_with
        else of_commit(base, packages=packages, watch=silent)
    )
    with pytest.raises(InputError, match=words) as caught, made:
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("requirement", "words"),
    [
        (" ", "Expected package name.*give NAME==VERSION, or NAME @ URL"),
        ("tinylib==", "give NAME==VERSION"),
        ("tinylib; python_version < '3'", "its marker does not hold here"),
        ("tinylib @ file:///nowhere/at/all", "there is no /nowhere/at/all"),
        ("tinylib @ git+file:///nowhere/at/all@main", "there is no /nowhere/at/all"),
        ("-r requirements.txt", "give NAME==VERSION"),
        ("git+https://host/it.git", "give NAME==VERSION, or NAME @ URL"),
        ("SegBench==0.1", "compared by --base REF"),
    ],
)
def test_requirement_that_makes_no_sense(requirement: str, words: str) -> None:
    """A requirement that can't be understood, or is segbench itself, is an error before any build."""
    refuse(words, base_with=requirement)


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("requirement", "words"),
    [
        ("TinyLib==1.5", "the base gets what is installed here.*; name another version"),
        ("tinylib<2", "the base gets what is installed here"),  # pip chooses 1.5
        ("tinylib==7", "No matching distribution found for tinylib==7; .* name another"),
    ],
)
def test_requirement_that_changes_nothing_or_is_not_met(requirement: str, words: str) -> None:
    """A requirement for what is here already, or for what there is not, is an error of one line."""
    refuse(words, base_with=requirement)


def test_requirements_that_do_not_go_together(elsewhere: Here) -> None:
    """Where a requirement excludes what is here and needed, both are named; what nobody needs is not."""
    elsewhere.install("needed", "3", dependencies=["tinylib==1.5", "needed"])
    elsewhere.install("unneeded", "4", dependencies=["tinylib>1"])
    told = refuse(
        "base, tinylib==1.0: versions that do not go together: needed 3 needs tinylib==1.5, and "
        "there is 1.0; name those of the others, too .--base-with.",
        base_with="tinylib==1.0",
        packages=("segbench", "needed"),
    )
    assert "unneeded" not in told


def test_what_is_missing_is_held_at_what_is_here(elsewhere: Here) -> None:
    """What the base needs and pip fetches has to go with what is here, or pip's reason is told."""
    publish(elsewhere.wheels, "tinyplugin", "2", dependencies=["tinyextra"])
    publish(elsewhere.wheels, "tinyextra", "2.0", dependencies=["tinylib>=2"])
    (elsewhere.wheels / "tinyextra-1.0-py3-none-any.whl").unlink()
    refuse("Cannot install tinyextra.*conflicting dependencies; ", base_with="tinyplugin")


def test_commit_that_can_not_be_measured(here: Here) -> None:
    """An unknown commit, and one from before segbench or its workers, is an error before any build."""
    refuse("nowhere: no such commit in .*; name one", base="nowhere")
    git(here.repository, "checkout", "--quiet", "--orphan", "early")
    git(here.repository, "rm", "-r", "--quiet", "--force", ".")
    commit(here.repository, {"README": ""})
    commit(here.repository, {sides.PACKAGE: ""})
    git(here.repository, "checkout", "--quiet", "main")
    refuse(f"early~1 .*: it has no package segbench .*{sides.PACKAGE}", base="early~1")
    refuse("early .*: it is too old to be measured .*; name a later commit", base="early")


def test_other_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In another's repository, in none, and without git the user is told what to do."""
    monkeypatch.chdir(tmp_path)
    refuse("not a git repository", base="HEAD")
    commit(tmp_path, {"file": "of somebody else\n"})
    refuse("is not segbench's repository; run --base there, or .* --base-with", base="HEAD")
    monkeypatch.setenv("PATH", str(tmp_path))
    refuse("there is no git on this machine's PATH; install it", base="HEAD")


def test_commit_that_does_not_build(here: Here, tmp_path: Path) -> None:
    """The error has the line that says why a commit does not build, and leaves nothing behind."""
    commit(here.repository, {"broken": ""})
    git(here.repository, "rm", "--quiet", "broken")
    git(here.repository, "commit", "--quiet", "--message", "mended")
    (tmp_path / "temporary").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
        refuse(
            "base, HEAD~1 .*: pip can't install it: ValueError: this project is broken by hand, "
            "and the cause is a line of some length; mend that",
            base="HEAD~1",
        )
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.slow
def test_no_network(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pip gets no answer, what it looked for is named, and the network."""
    pyproject = here.repository / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("requires = []", 'requires = ["builder"]'))
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    refuse("head, .* No matching distribution found for builder; .* the network", base="HEAD")


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere")
def test_no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no pip here, as in an environment made by uv, a side gets its own."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "pip" else find(name)
    )
    with of_requirements(["tinylib==1.0"], packages=["segbench"], watch=silent) as (base, _):
        assert version_of(base) == "1.0"


# Interruptions

BUILD = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the tests were started by
from segbench.gate.sides import of_commit
with of_commit("HEAD~1", packages=("segbench",), watch=print):
    pass
"""


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


@pytest.fixture
def waiting(here: Here, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A gate whose build waits, and the folder for its temporary files."""
    told, temporary = tmp_path / "told", tmp_path / "temporary"
    temporary.mkdir()
    with subprocess.Popen(  # noqa: S603  (this interpreter, on the code above)
        [sys.executable, "-c", BUILD],
        cwd=here.repository,
        env={**os.environ, tiny.WAIT: str(told), "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as gate:
        wait_for(lambda: told.exists() and told.read_text() != "")
        yield gate, temporary


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGINT])
def test_interrupted_build(
    here: Here, waiting: tuple[subprocess.Popen[bytes], Path], kind: signal.Signals
) -> None:
    """However a build is ended its programs end, and Ctrl-C leaves no file behind."""
    gate, temporary = waiting
    before = everything(here.repository)
    family = psutil.Process(gate.pid).children(recursive=True)
    assert len(family) > 1
    gate.send_signal(kind)
    gate.wait()
    wait_for(lambda: all(gone(member) for member in family))
    assert everything(here.repository) == before
    if kind == signal.SIGINT:
        assert [each.name for each in temporary.iterdir() if each.name.startswith("segb")] == []
