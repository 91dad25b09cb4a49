"""The commands that measure again what a source holds."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from segbench.errors import InputError
from segbench.images.datasets import origin_of
from segbench.measure import settings as asked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segbench.results.sources import Source

METHOD_LINK = "https://github.com/segbench/segbench/blob/HEAD/docs/method.md"

# Not a library that pip would install.
NO_LIBRARY = ("python", "segbench", "commit")

VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]*")
COMMIT = re.compile(r"[0-9a-f]{7,64}(-dirty)?")


def commands(source: Source) -> tuple[str, ...]:
    """Lines for a shell, in a clone of segbench, each quoted for it.

    First those that bring the same source and versions of the libraries, as far as the source names
    them, then the one that measures. None at all where a run does not say what it was asked for.
    """
    measure = _measure(source)
    return (*_install(source), measure) if measure else ()


def _install(source: Source) -> Iterator[str]:
    """Lines that bring the versions of a source; none for those that it does not name."""
    # asv checks out and installs by itself.
    if source.kind == "asv":
        return
    commit = source.versions.get("commit")
    if isinstance(commit, str) and COMMIT.fullmatch(commit):
        yield shlex.join(["git", "checkout", commit.removesuffix("-dirty")])
        if commit.endswith("-dirty"):
            yield "# segbench itself had changes that are in no commit"
    pins = [
        f"{name}=={version}"
        for name, version in source.versions.items()
        if name not in NO_LIBRARY and _is_version(name) and _is_version(version)
    ]
    if pins:
        yield shlex.join(["pip", "install", ".", *pins])


def _is_version(text: object) -> bool:
    """Whether this is the name of a library, or its version, and no option of a command."""
    return isinstance(text, str) and bool(VERSION.fullmatch(text))


def _measure(source: Source) -> str:
    """The command that measures; empty where it is not known."""
    if source.kind == "asv":
        commit = source.versions.get("commit")
        known = isinstance(commit, str) and COMMIT.fullmatch(commit)
        return shlex.join(["asv", "run", *([f"{commit}^!"] if known else [])])
    if source.kind == "pytest-benchmark":
        wanted = ["--benchmark-enable", "--benchmark-json", source.name]
        return shlex.join(["pytest", "tests/benchmarks", *wanted])
    try:
        # Made from the settings, which are the same in runs of earlier versions, too.
        return asked.command(asked.read(source.settings), origin_of(source.dataset))
    except InputError:
        # As it was typed: what was a default may have become another.
        typed = source.settings.get("command")
        return _quoted(typed) if isinstance(typed, str) else ""


def _quoted(command: str) -> str:
    try:
        return shlex.join(shlex.split(command))
    except ValueError:  # a quotation that does not end, in a file that was edited
        return ""
