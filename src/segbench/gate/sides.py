"""The two environments of a gate: what is installed here, and over it only what differs.

A side is a virtual environment in a temporary folder. What differs is installed while it sees
nothing else, so that nothing that is installed here takes part in a build. Then a ``.pth`` file
adds the folders in which this interpreter finds its packages, behind the side's own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import platform
import re
import site
import subprocess
import sys
import sysconfig
import tempfile
import venv
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import url2pathname

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from segbench.backends import registry
from segbench.errors import InputError
from segbench.gate import checkout
from segbench.measure.workers import foreign_environment, kill_family
from segbench.results.outcome import BASE, HEAD, Side

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

# What makes a checkout segbench's, and what the gate talks to.
PACKAGE = "src/segbench/__init__.py"
WORKER = "src/segbench/measure/worker.py"

# What a side may have got to install the rest.
PIP = ("pip", "setuptools")

# With these pip would install elsewhere.
_ELSEWHERE = ("PIP_PREFIX", "PIP_ROOT", "PIP_TARGET", "PIP_USER")

# A module of a side, imported by the last of its .pth files. Packages that are installed editable
# have .pth files, too, and those may put folders and import hooks in front of all others.
_BEHIND = """\
import site, sys
paths, finders = sys.path[:], sys.meta_path[:]
for folder in {folders!r}:
    site.addsitedir(folder)
sys.path[:] = sorted(sys.path, key=lambda each: each not in paths)
sys.meta_path[:] = sorted(sys.meta_path, key=lambda each: each not in finders)
"""

# Runs a module as `python -m` does. Its standard input is a pipe that nothing is written into: that
# it ends means that the process which holds the other end is gone, however it was killed.
_TOGETHER = """
import os, runpy, signal, sys, threading
alive = os.dup(0)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
def end():
    os.read(alive, 1)
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
threading.Thread(target=end, daemon=True).start()
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """One side of the gate, ready to be measured.

    Attributes
    ----------
    side : Side
        What it is.
    python : Path
        Its interpreter, to be started with the variables of
        :func:`segbench.measure.workers.foreign_environment`.
    """

    side: Side
    python: Path


@contextmanager
def of_commit(
    ref: str, *, packages: Sequence[str], watch: Callable[[str], None]
) -> Iterator[tuple[Environment, Environment]]:
    """Environments of a commit, and of the working tree as it is, with the same libraries.

    To be called in a git checkout of segbench, which is left as it was.

    Parameters
    ----------
    ref : str
        The commit of the base, by any name that git has for it.
    packages : sequence of str
        What has to be there, as names with extras: ``segbench[opencv]``, and plugins.
    watch : callable
        Is told what is being built.

    Yields
    ------
    tuple of Environment
        Base and head; they are removed when the block ends.

    Raises
    ------
    InputError
        If this is no checkout of segbench, there is no such commit, either side does not build or
        can't be measured, or pip can't reach what it needs.
    """
    repository = checkout.top(Path.cwd())
    if not (repository / PACKAGE).is_file():
        raise InputError(
            f"{repository} is not segbench's repository; run --base there, or compare versions of "
            "libraries with --base-with"
        )
    commit = checkout.commit(repository, ref)
    what = commit[:7] if commit.startswith(ref) else f"{ref} ({commit[:7]})"
    with _folder() as folder:
        checkout.export_commit(repository, commit, folder / "tree")
        # What can't be measured is found before the other side is built.
        _refuse_unmeasurable(folder / "tree", what)
        now = _working_tree(repository, folder / "now")
        then = Side(name=BASE, what=what, commit=commit, versions={})
        base = _build(folder, then, [str(folder / "tree")], packages=packages, watch=watch)
        head = _build(folder, now, [str(folder / "now")], packages=packages, watch=watch)
        yield base, head


@contextmanager
def of_requirements(
    requirements: Sequence[str], *, packages: Sequence[str], watch: Callable[[str], None]
) -> Iterator[tuple[Environment, Environment]]:
    """Environments of the same segbench with other versions of libraries, and with those of here.

    segbench is that of the git checkout in which this is called; else what is installed here.

    Parameters
    ----------
    requirements : sequence of str
        What the base has in place of what is installed here, as pip takes it: ``dask==2026.3.0``,
        ``dask @ git+https://...``. Where one leaves the choice to pip (``dask<2026``), what pip
        chooses now.
    packages, watch
        As for `of_commit`.

    Yields
    ------
    tuple of Environment
        Base and head; they are removed when the block ends.

    Raises
    ------
    InputError
        If a requirement can't be understood or met, or is what is installed here; or as for
        `of_commit`.
    """
    wanted = [_requirement(text) for text in requirements]
    with _folder() as folder:
        own, tree = _own_segbench(folder / "tree")
        then = dataclasses.replace(own, name=BASE, what=", ".join(requirements))
        needed = [*packages, *requirements]
        head = _build(folder, own, tree, packages=packages, tell=requirements, watch=watch)
        base = _build(folder, then, [*tree, *requirements], packages=needed, watch=watch)
        there, ours = (
            {name: each.version for name, each in _found(side.python).items() if name not in PIP}
            for side in (base, head)
        )
        if there == ours and all(each.url is None for each in wanted):
            raise InputError(
                f"--base-with {then.what}: the base gets what is installed here, so that there is "
                "nothing to compare; name another version"
            )
        words = [
            f"{each.name} {ours[_key(each)]}" if _key(each) in ours else f"no {each.name}"
            for each in wanted
        ]
        own = dataclasses.replace(head.side, what=f"{', '.join(words)}, as installed here")
        yield base, dataclasses.replace(head, side=own)


# What the sides are


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="segbench-", ignore_cleanup_errors=True) as name:
        yield Path(name).resolve()


def _requirement(text: str) -> Requirement:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(
            f"--base-with {text!r}: {reason}; give NAME==VERSION, or NAME @ URL"
        ) from error
    if _key(requirement) == "segbench":
        raise InputError(f"--base-with {text!r}: commits of segbench are compared by --base REF")
    # What pip would find out when both sides are built.
    if requirement.marker and not requirement.marker.evaluate():
        raise InputError(f"--base-with {text!r}: its marker does not hold here; leave that out")
    kind, _, place = (requirement.url or "").rpartition("://")
    if kind.endswith("file") and not Path(url2pathname(place.partition("@")[0])).exists():
        raise InputError(
            f"--base-with {text!r}: there is no {place}; give a folder or file that is there"
        )
    return requirement


def _key(requirement: Requirement) -> str:
    return canonicalize_name(requirement.name)


def _own_segbench(folder: Path) -> tuple[Side, list[str]]:
    """The head where libraries are compared, and what pip installs for its segbench."""
    here = "what is installed here"
    if repository := _checkout_of_segbench():
        return dataclasses.replace(_working_tree(repository, folder), what=here), [str(folder)]
    # Written by pip for what did not come from a package index.
    told = json.loads(metadata.distribution("segbench").read_text("direct_url.json") or "{}")
    commit = told.get("vcs_info", {}).get("commit_id", "")
    return Side(name=HEAD, what=here, commit=commit, versions={}), []


def _checkout_of_segbench() -> Path | None:
    """The one that this is called in, or else that this module lies in."""
    source = Path(__file__).resolve().parents[3]
    for place in (Path.cwd(), *([source] if (source / PACKAGE).is_file() else [])):
        with contextlib.suppress(InputError):  # in no repository, or there is no git
            repository = checkout.top(place)
            if (repository / PACKAGE).is_file():
                return repository
    return None


def _working_tree(repository: Path, folder: Path) -> Side:
    """The head that a working tree is, whose files are copied into a folder."""
    commit, changed = checkout.commit(repository, "HEAD"), checkout.changed(repository)
    short = commit[:7]
    what = f"the working tree of {short}, with changes" if changed else f"HEAD ({short})"
    checkout.export_working_tree(repository, folder)
    _refuse_unmeasurable(folder, what)
    return Side(name=HEAD, what=what, commit=commit, changed=changed, versions={})


def _refuse_unmeasurable(tree: Path, what: str) -> None:
    for file, why in ((PACKAGE, "has no package segbench"), (WORKER, "is too old to be measured")):
        if not (tree / file).is_file():
            raise InputError(f"{what}: it {why} (there is no {file}); name a later commit")


# How they are built


def _build(
    folder: Path,
    side: Side,
    differs: Sequence[str],
    *,
    packages: Sequence[str],
    tell: Sequence[str] = (),
    watch: Callable[[str], None],
) -> Environment:
    """Install what differs, and what some packages lack; add what is here; tell the versions."""
    watch(f"building {side.name}: {side.what}")
    what = f"{side.name}, {side.what}"
    folder /= side.name
    venv.create(folder, symlinks=os.name != "nt")
    paths = sysconfig.get_paths("venv", {"base": str(folder)})
    python = Path(paths["scripts"]) / ("python.exe" if os.name == "nt" else "python")
    if differs:
        _pip_install(python, "--no-deps", *differs, what=what)
    _add_what_is_here(Path(paths["purelib"]))
    found = _found(python)
    needs = list(_needs(packages, found))
    if missing := [_bare(need) for _, need in needs if _key(need) not in found]:
        rest = sorted({_key(need) for _, need in needs} & set(found))
        held = folder / "constraints.txt"
        held.write_text("".join(f"{name}=={found[name].version}\n" for name in rest))
        _pip_install(python, "--constraint", str(held), *missing, what=what)
        found = _found(python)
    conflicts = [
        f"{by} needs {_bare(need)}, and there is {own.version}"
        for by, need in _needs(packages, found)
        if (own := found.get(_key(need)))
        and not need.specifier.contains(own.version, prereleases=True)
    ]
    if conflicts:
        raise InputError(
            f"{what}: versions that do not go together: {'; '.join(dict.fromkeys(conflicts))}; "
            "name those of the others, too (--base-with), or install others here"
        )
    named = sorted(_key(Requirement(each)) for each in (*packages, *tell))
    shown = [each for each in (*registry.libraries(), *named) if each in found]
    versions = {each: found[each].version for each in shown}
    versions = {"python": platform.python_version(), **versions}
    return Environment(side=dataclasses.replace(side, versions=versions), python=python)


def _add_what_is_here(packages: Path) -> None:
    """Let a side find what this interpreter finds, behind what it has of its own."""
    user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    text = _BEHIND.format(folders=[*user, *site.getsitepackages()])
    (packages / "segbench_behind.py").write_text(text, encoding="utf-8")
    # These files are read in the order of their names.
    (packages / "zzz_segbench_behind.pth").write_text("import segbench_behind\n")


def _found(python: Path) -> dict[str, metadata.Distribution]:
    """What an interpreter finds, by canonical names."""
    try:
        asked = subprocess.run(  # noqa: S603  (a side's interpreter, on the code beside it)
            [str(python), "-I", "-c", "import json, sys; print(json.dumps(sys.path))"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise InputError(
            f"{python}: the side's Python does not run ({error}); mend that"
        ) from error
    found: dict[str, metadata.Distribution] = {}
    for each in metadata.distributions(path=json.loads(asked.stdout)):
        # An installation that was cut short leaves metadata without a name or version, or none.
        with contextlib.suppress(FileNotFoundError):
            if "Name" in each.metadata and "Version" in each.metadata:
                # Of two by one name, the first is the one that is imported.
                found.setdefault(canonicalize_name(each.metadata["Name"]), each)
    return found


def _needs(
    packages: Iterable[str], found: Mapping[str, metadata.Distribution]
) -> Iterator[tuple[str, Requirement]]:
    """Yield what some packages require, at any remove, and who it is that does."""
    ahead = [("this gate", Requirement(each)) for each in packages]
    seen = set()
    while ahead:
        by, need = ahead.pop()
        yield by, need
        name = _key(need)
        for extra in ("", *need.extras):
            if name in found and (name, extra) not in seen:
                seen.add((name, extra))
                ahead += [
                    (f"{name} {found[name].version}", each)
                    for each in _readable(found[name].requires or ())
                    if not each.marker or each.marker.evaluate({"extra": extra})
                ]


def _readable(requirements: Iterable[str]) -> Iterator[Requirement]:
    """Requirements as they can be read today: old metadata may have other forms."""
    for text in requirements:
        with contextlib.suppress(InvalidRequirement):
            yield Requirement(text)


def _bare(need: Requirement) -> str:
    """A requirement without the condition on which it is one."""
    return str(need).removesuffix(f"; {need.marker}").strip()


def _pip_install(python: Path, *arguments: str, what: str) -> None:
    """Run ``pip install`` for the environment of an interpreter, with the pip that is here.

    Raises
    ------
    InputError
        If it fails, in words about `what`.
    """
    runner = sys.executable
    if importlib.util.find_spec("pip") is None:  # such as in an environment made by uv
        runner = str(python)
        status, output = _run(runner, "ensurepip")
        if status != 0:
            raise InputError(f"no pip here, and none can be made: {_cause(output)}; install pip")
    plain = ("--no-input", "--disable-pip-version-check", "--no-warn-script-location")
    command = ("pip", "--python", str(python), "install", *plain, "--progress-bar", "off")
    status, output = _run(runner, *command, *arguments)
    if status != 0:
        raise InputError(
            f"{what}: pip can't install it: {_cause(output)}; mend that, name another, or connect "
            "the network if pip gets no answer from it"
        )


def _run(python: str, module: str, *arguments: str) -> tuple[int, str]:
    """Run a module by an interpreter; it ends with this process, with all that it has started.

    Returns
    -------
    tuple
        Exit status, and what it has printed.
    """
    variables = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    with subprocess.Popen(  # noqa: S603  (an interpreter, on the code above)
        # -P: what lies in the working folder is not to be taken for pip.
        [python, "-P", "-X", "utf8", "-c", _TOGETHER, module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        # Git is not to ask for a password.
        env={**foreign_environment(variables), "GIT_TERMINAL_PROMPT": "0"},
        start_new_session=True,
    ) as process:
        assert process.stdout is not None  # noqa: S101  (a pipe was asked for)
        try:
            # Not communicate(), which closes the pipe that it lives by.
            output = process.stdout.read()
            return process.wait(), output
        finally:
            # Before the files that it works on are removed.
            if process.poll() is None:
                kill_family(process.pid)


def _cause(output: str) -> str:
    """What was raised last in the output of pip or of a build; else pip's last error."""
    raised = re.findall(r"^\W*((?:[\w.]+(?:Error|Exception)|fatal): .+)$", output, re.MULTILINE)
    told = re.findall(r"^\W*ERROR: (?!ResolutionImpossible)(.+)$", output, re.MULTILINE)
    return (raised or told or output.strip().splitlines() or ["it did not say why"])[-1].strip(" .")
