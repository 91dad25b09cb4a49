"""The commands that measure again what a source holds."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from segbench.errors import InputError
from segbench.images.datasets import origin_of
from segbench.measure import settings as asked

if TYPE_CHECKING:
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
    commit = source.versions.get("commit")
    if not (isinstance(commit, str) and COMMIT.fullmatch(commit)):
        commit = ""
    if source.kind == "asv":  # which checks out and installs by itself
        pinned = any(name not in NO_LIBRARY for name in source.versions)
        releases = ["--config", "asv.releases.conf.json"] if pinned else []
        return (shlex.join(["asv", "run", *releases, *([f"{commit}^!"] if commit else [])]),)
    measure = _measure(source)
    if not measure:
        return ()
    lines = [shlex.join(["git", "checkout", commit.removesuffix("-dirty")])] if commit else []
    if commit.endswith("-dirty"):
        lines.append("# segbench itself had changes that are in no commit")
    pins = [
        f"{name}=={version}"
        for name, version in source.versions.items()
        if name not in NO_LIBRARY and all(map(_is_word, (name, version)))
    ]
    if pins:
        lines.append(shlex.join(["pip", "install", ".", *pins]))
    return (*lines, measure)


def _is_word(text: object) -> bool:
    """Whether this is the name of a library, or its version, and no option of a command."""
    return isinstance(text, str) and bool(VERSION.fullmatch(text))


def _measure(source: Source) -> str:
    """The command that measures; empty where it is not known."""
    if source.kind == "pytest-benchmark":
        wanted = ["--benchmark-enable", "--benchmark-json", source.name]
        return shlex.join(["pytest", "tests/benchmarks", *wanted])
    try:
        # Made from the settings, which are the same in runs of earlier versions, too.
        return asked.command(asked.read(source.settings), origin_of(source.dataset))
    except InputError:
        pass
    try:
        # As it was typed: what was a default may have become another.
        return shlex.join(shlex.split(source.settings["command"]))
    except (KeyError, TypeError, AttributeError, ValueError):  # not a command that a shell takes
        return ""
