"""The two virtual environments of a gate: built once for what is in them, and then kept.

An environment lies in the cache under a key of its content: segbench's source (git's name of its
files), what else is installed, and the interpreter. It is built beside and renamed into place, so
that one that is there is whole. Only its interpreter is of use: its scripts name the folder that
they were made in.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from segbench.backends import registry
from segbench.errors import InputError
from segbench.files import new_folder
from segbench.gate import installed as here
from segbench.gate.checkout import looked_at
from segbench.gate.decide import BASE, HEAD
from segbench.gate.installing import look_for_venv, make_venv, pip_install, python_of
from segbench.images import datasets
from segbench.results.outcome import Side

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from importlib.metadata import Distribution

    from segbench.gate.checkout import Checkout, Content

# What makes a checkout segbench's, and what the gate talks to.
PACKAGE = "src/segbench/__init__.py"
WORKER = "src/segbench/measure/worker.py"

# An environment takes 0.7 GiB with all extras: those used last are kept. What a killed build left is
# removed when no build can be at it any more.
KEPT = 6
LEFT_SECONDS = 86400.0

_LIST = """
import json, platform
from importlib.metadata import distributions
found = {each.metadata["Name"]: each.version for each in distributions()}
print(json.dumps({**found, "python": platform.python_version()}))
"""

# A URL whose content can't become another: a commit, a hash; or is looked at, where it is here.
_FIXED_URL = re.compile(r"^file:|@[0-9a-f]{40}(?:#|$)|#.*\bsha256=")


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


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Where segbench comes from.

    Attributes
    ----------
    place : str
        What follows its name in a requirement (``==0.1.0``, `` @ git+https://...``), or git's name
        for the files of a checkout.
    commit : str
        Empty where it is not made from one.
    changed : bool
        Whether it differs from the commit.
    export : callable, optional
        Writes the files of a checkout into a folder.
    """

    place: str
    commit: str = ""
    changed: bool = False
    export: Callable[[Path], None] | None = None


def from_commit(
    ref: str, *, packages: Sequence[str], watch: Callable[[str], None]
) -> tuple[Environment, Environment]:
    """Environments of a commit, and of the working tree as it is, with the same libraries.

    To be called in a git checkout of segbench, which is left as it was.

    Parameters
    ----------
    ref : str
        The commit of the base, by any name that git has for it.
    packages : sequence of str
        What has to be installed, as names with extras: ``segbench[opencv]``, and plugins.
    watch : callable
        Is told what is being built; not called for what was built before.

    Returns
    -------
    tuple of Environment
        Base and head.

    Raises
    ------
    InputError
        If this is no checkout of segbench, there is no such commit, either side does not build or
        can't be measured, or pip can't reach what it needs.
    """
    look_for_venv()
    with looked_at(Path.cwd()) as checkout:
        if not _is_segbench(checkout):
            raise InputError(
                f"{checkout.folder} is not segbench's repository; run --base there, or compare "
                "versions of libraries with --base-with"
            )
        then, now = checkout.commit(ref), checkout.now()
        short = then.commit[:7]
        sides = [
            (BASE, short if then.commit.startswith(ref) else f"{ref} ({short})", then),
            (HEAD, _words_for(now), now),
        ]
        # What can't be measured is found before the other side is built.
        sources = [_of_checkout(checkout, content, what) for _, what, content in sides]
        constraints = here.constraints(here.distributions(), packages).values()
        base, head = (
            _environment(
                name,
                what,
                source,
                packages=packages,
                constraints=constraints,
                tell=packages,
                watch=watch,
            )
            for (name, what, _), source in zip(sides, sources, strict=True)
        )
    return base, head


def from_requirements(
    requirements: Sequence[str], *, packages: Sequence[str], watch: Callable[[str], None]
) -> tuple[Environment, Environment]:
    """Environments of the same segbench with other versions of libraries, and with those of here.

    segbench is that of the git checkout in which this is called; else what was installed here.

    Parameters
    ----------
    requirements : sequence of str
        What the base has in place of what is installed here, as pip takes it: ``dask==2026.3.0``,
        ``dask @ git+https://...``. Where one leaves the choice to pip (``dask<2026``), what pip
        chooses now.
    packages, watch
        As for `from_commit`.

    Returns
    -------
    tuple of Environment
        Base and head.

    Raises
    ------
    InputError
        If a requirement can't be understood or met, or is what is installed here; or as for
        `from_commit`.
    """
    look_for_venv()
    wanted = [_requirement(text) for text in requirements]
    installed = here.distributions()
    for each in wanted:
        _refuse_the_same(each, installed)
    named = {canonicalize_name(each.name): each.name for each in wanted}
    own = [
        f"{text} {installed[name].version}" if name in installed else f"no {text}"
        for name, text in named.items()
    ]
    with ExitStack() as stack:
        source = _own_source(stack, installed)
        constraints = here.constraints(installed, packages)
        head = _environment(
            HEAD,
            f"{', '.join(own)}, as installed here",
            source,
            packages=packages,
            constraints=constraints.values(),
            tell=[*packages, *requirements],
            watch=watch,
        )
        settled = _settled(wanted, python=head.python)
        others = [text for name, text in constraints.items() if name not in named]
        base = _environment(
            BASE,
            ", ".join(requirements),
            source,
            packages=[*packages, *settled],
            # pip looks for dask[array] by itself: without the constraint, in every other version.
            constraints=[*others, *map(_without_extras, settled)],
            tell=[*packages, *requirements],
            watch=watch,
        )
    by_version = all(each.url is None for each in wanted)
    if by_version and _versions(base.python) == _versions(head.python):
        raise InputError(
            f"--base-with {base.side.what}: the base gets what is installed here, so that there is "
            "nothing to compare; name another version"
        )
    return base, head


# What the base is to have


def _requirement(text: str) -> Requirement:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(
            f"--base-with {text!r}: {reason}; give NAME==VERSION, or NAME @ URL"
        ) from error
    if canonicalize_name(requirement.name) == "segbench":
        raise InputError(f"--base-with {text!r}: commits of segbench are compared by --base REF")
    return requirement


def _refuse_the_same(wanted: Requirement, installed: Mapping[str, Distribution]) -> None:
    own = installed.get(canonicalize_name(wanted.name))
    if own is None or here.origin(own) or wanted.extras or wanted.url:
        return
    if _names_one_version(wanted) and wanted.specifier.contains(own.version, prereleases=True):
        raise InputError(
            f"--base-with {wanted}: that is installed here, so that there is nothing to compare; "
            "name another version"
        )


def _names_one_version(wanted: Requirement) -> bool:
    if wanted.url:
        return _FIXED_URL.search(wanted.url) is not None
    return any(
        each.operator in ("==", "===") and not each.version.endswith(".*")
        for each in wanted.specifier
    )


def _settled(wanted: Sequence[Requirement], *, python: Path) -> list[str]:
    """Requirements that name one version each: where the choice is pip's, what it chooses now.

    An environment with its choice of last month is not what is asked for.
    """
    settled = [str(each) for each in wanted if _names_one_version(each)]
    unsettled = [str(each) for each in wanted if not _names_one_version(each)]
    if unsettled:
        with tempfile.TemporaryDirectory(prefix="segbench-") as folder:
            report = Path(folder) / "report.json"
            choose = ("--dry-run", "--ignore-installed", "--no-deps", "--report", str(report))
            pip_install(python, *choose, *unsettled, what=f"--base-with {', '.join(unsettled)}")
            chosen = json.loads(report.read_text(encoding="utf-8"))["install"]
        for each in chosen:
            direct = each["download_info"] if each["is_direct"] else None
            place = f" @ {here.url_of(direct)}" if direct else f"=={each['metadata']['version']}"
            extras = each.get("requested_extras", ())
            settled.append(_named(each["metadata"]["name"], extras, place))
    return settled


def _without_extras(requirement: str) -> str:
    bare = Requirement(requirement)
    bare.extras.clear()
    return str(bare)


def _named(name: str, extras: Iterable[str], place: str) -> str:
    chosen = ",".join(sorted(extras))
    return f"{name}[{chosen}]{place}" if chosen else f"{name}{place}"


# segbench's source


def _own_source(stack: ExitStack, installed: Mapping[str, Distribution]) -> _Source:
    """The checkout that this is called in; else what this segbench was installed from."""
    checkout = None
    with contextlib.suppress(InputError):  # in no repository
        checkout = stack.enter_context(looked_at(Path.cwd()))
    if checkout is None or not _is_segbench(checkout):
        own = installed["segbench"]
        url = here.origin(own)
        path = here.path_of(url)
        if path is None or not path.is_dir():
            commit = re.search(r"@([0-9a-f]{40})(?:#|$)", url)
            place = f" @ {url}" if url else f"=={own.version}"
            return _Source(place=place, commit=commit[1] if commit else "")
        checkout = stack.enter_context(looked_at(path))
    now = checkout.now()
    return _of_checkout(checkout, now, _words_for(now))


def _is_segbench(checkout: Checkout) -> bool:
    # A look at a file: another's repository may be large.
    return (checkout.folder / PACKAGE).is_file()


def _of_checkout(checkout: Checkout, content: Content, what: str) -> _Source:
    names = checkout.files(content)
    if PACKAGE not in names:
        raise InputError(f"{what}: it has no package segbench ({PACKAGE}); name another commit")
    if WORKER not in names:
        raise InputError(
            f"{what}: its segbench is too old to be measured (it has no {WORKER}); name a later "
            "commit"
        )
    return _Source(
        place=content.tree,
        commit=content.commit,
        changed=content.changed,
        export=lambda folder: checkout.export(content, folder),
    )


def _words_for(now: Content) -> str:
    short = now.commit[:7]
    return f"the working tree of {short}, with changes" if now.changed else f"HEAD ({short})"


# Environments


def _environment(
    name: str,
    what: str,
    source: _Source,
    *,
    packages: Sequence[str],
    constraints: Iterable[str],
    tell: Iterable[str],
    watch: Callable[[str], None],
) -> Environment:
    """Find or build one side; its versions are told of the libraries, and of some requirements."""
    lines = tuple(constraints)
    folder = datasets.cache_folder() / "gate" / _key(source, packages, lines)
    if not folder.is_dir():
        watch(f"building {name}: {what}")
        with new_folder(folder) as beside:
            _build(beside, source, packages=packages, constraints=lines, what=f"{name}, {what}")
    # Its time is that of its last use.
    os.utime(folder)
    _tidy(folder.parent)
    python = python_of(folder)
    found = _versions(python)
    named = sorted(canonicalize_name(Requirement(each).name) for each in tell)
    libraries = registry.libraries()
    versions = {each: found[each] for each in ("python", *libraries, *named) if each in found}
    return Environment(
        side=Side(
            name=name,
            what=what,
            commit=source.commit,
            changed=source.changed,
            versions=versions,
        ),
        python=python,
    )


def _key(source: _Source, packages: Sequence[str], constraints: Sequence[str]) -> str:
    made_of = {
        "segbench": source.place,
        "packages": [(text, _local_content(text)) for text in packages],
        "constraints": [(text, _local_content(text)) for text in constraints],
        "python": (sys.version, sys.base_prefix, sysconfig.get_platform()),
    }
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]


def _local_content(requirement: str) -> str:
    """A name for what is in the file or folder here that a requirement names; empty without one."""
    url = Requirement(requirement).url
    path = here.path_of(url) if url else None
    if path is None:
        return ""
    if path.is_dir():
        try:
            with looked_at(path) as checkout:
                return checkout.now().tree
        except InputError as error:
            raise InputError(f"{requirement}: {error}") from error
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _build(
    folder: Path,
    source: _Source,
    *,
    packages: Sequence[str],
    constraints: Sequence[str],
    what: str,
) -> None:
    make_venv(folder, what=what)
    with tempfile.TemporaryDirectory(prefix="segbench-") as scratch:
        held = Path(scratch) / "constraints.txt"
        held.write_text("\n".join(constraints), encoding="utf-8")
        place = source.place
        if source.export:
            files = Path(scratch).resolve() / "segbench"
            source.export(files)
            place = f" @ {files.as_uri()}"
        wanted = [Requirement(each) for each in packages]
        own = [each for each in wanted if canonicalize_name(each.name) == "segbench"]
        pip_install(
            python_of(folder),
            *("--no-warn-script-location", "--constraint", str(held)),
            _named("segbench", {extra for each in own for extra in each.extras}, place),
            *(str(each) for each in wanted if each not in own),
            what=what,
        )


def _versions(python: Path) -> dict[str, str]:
    """Versions of Python and of all distributions that an interpreter finds, by canonical names."""
    try:
        asked = subprocess.run(  # noqa: S603  (an environment's interpreter, on the code above)
            [str(python), "-I", "-c", _LIST],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise InputError(
            f"{python.parents[1]}: this environment is damaged; remove the folder, and it is built "
            "anew"
        ) from error
    found: dict[str, str] = json.loads(asked.stdout)
    return {canonicalize_name(name): version for name, version in found.items()}


def _tidy(folder: Path) -> None:
    """Remove all but the environments used last, and what killed builds have left.

    Parameters
    ----------
    folder : Path
        Holds the environments.
    """
    left = [each for each in folder.glob(".segbench-*") if _age(each) > LEFT_SECONDS]
    # Beside them are files of others.
    whole = [each for each in folder.iterdir() if each.is_dir() and not each.name.startswith(".")]
    for each in sorted(whole, key=_age)[KEPT:]:
        # Renamed first: what is half removed must not be taken for whole. Another gate may have
        # done so at the same time.
        with contextlib.suppress(OSError):
            left.append(each.rename(each.with_name(f".segbench-{each.name}")))
    for each in left:
        shutil.rmtree(each, ignore_errors=True)


def _age(folder: Path) -> float:
    """Seconds since the last use; 0 where another process has just removed it."""
    try:
        return time.time() - folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0
