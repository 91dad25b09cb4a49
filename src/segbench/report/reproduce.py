"""The commands that measure again what a source holds."""

from __future__ import annotations

import dataclasses
import re
import shlex
from typing import TYPE_CHECKING, Any

from segbench.backends import registry
from segbench.backends.registry import BackendSpec
from segbench.errors import InputError
from segbench.images.datasets import origin_of
from segbench.measure import settings as asked
from segbench.text import is_shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from segbench.images.origin import Origin
    from segbench.measure.settings import RunSettings
    from segbench.results.sources import Source

METHOD_LINK = "https://github.com/segbench/segbench/blob/HEAD/docs/why/method.md"

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
    # What can't be seen is not to be pasted.
    if not (measure and is_shown(measure)):
        return ()
    lines = [shlex.join(["git", "checkout", commit.removesuffix("-dirty")])] if commit else []
    if commit.endswith("-dirty"):
        lines.append("# segbench itself had changes that are in no commit")
    pins = [
        f"{name}=={version}"
        for name, version in source.versions.items()
        if _is_known(name, version)
    ]
    if pins:
        lines.append(shlex.join(["pip", "install", ".", *pins]))
    return (*lines, measure)


def asked_for(source: Source) -> tuple[RunSettings, Origin] | None:
    """What a run was asked for: its settings and its images; None where it does not say that."""
    if source.kind != "segbench":
        return None
    try:
        return asked.read(source.settings), origin_of(source.dataset)
    except InputError:
        return None


def alone(
    run: tuple[RunSettings, Origin],
    *,
    phase: str,
    n_images: int,
    backends: Iterable[str],
    **other: Any,
) -> str:
    """The line for a shell that measures some backends of a run in one phase, at one number of images.

    Empty where one has no name that a command line takes, or a path holds what can't be seen.

    Parameters
    ----------
    run : tuple of RunSettings and Origin
        As `asked_for` gives them.
    phase, n_images : str, int
        Of which.
    backends : iterable of str
        Which, beside the plain loop.
    **other : object
        What is to be set in place of the settings of the run.
    """
    settings, origin = run
    try:
        named = tuple(map(BackendSpec.named, backends))
        own = dataclasses.replace(
            settings, phases=(phase,), sizes=(n_images,), backends=named, batch=(), **other
        )
    except (
        TypeError,
        ValueError,
        InputError,
    ):  # what another program measured, or a later segbench
        return ""
    line = asked.short_command(_on_own_cluster(own), origin)
    return line if is_shown(line) else ""


def _is_known(name: object, version: object) -> bool:
    """Whether this is a library that segbench measures, and a version of it, and no option of a command."""
    known = name in registry.declared_libraries() and name not in NO_LIBRARY
    return known and isinstance(version, str) and bool(VERSION.fullmatch(version))


def _measure(source: Source) -> str:
    """The command that measures; empty where it is not known."""
    if source.kind == "pytest-benchmark":
        wanted = ["--benchmark-enable", "--benchmark-json", source.name]
        return shlex.join(["pytest", "tests/benchmarks", *wanted])
    try:
        settings, origin = asked.read(source.settings), origin_of(source.dataset)
    except InputError:
        return _typed(source.settings.get("command"))
    # Made from the settings, which are the same in runs of earlier versions, too.
    return asked.command(_on_own_cluster(settings), origin)


def _on_own_cluster(settings: RunSettings) -> RunSettings:
    """Settings with a word in place of an address: whoever connects to a scheduler runs what that sends."""
    told = "ADDRESS" if settings.scheduler_address else ""
    return dataclasses.replace(settings, scheduler_address=told)


def _typed(command: object) -> str:
    """What was typed, each word quoted; empty unless it is `segbench run` with options that it knows.

    What was a default may have become another, so it is the second choice. Where its results were
    written is left out.
    """
    try:
        words = shlex.split(command) if isinstance(command, str) else []
    except ValueError:  # not a command that a shell takes
        return ""
    known = asked.option_names() | {"--out"}
    kept, option = words[:2], ""
    if kept != ["segbench", "run"]:
        return ""
    for word in words[2:]:
        is_value = not word.startswith("-")
        option = option if is_value else word
        if option not in known:
            return ""
        if option != "--out":
            kept.append(word)
        # A value of the next word would be one too many, but for paths.
        option = "" if is_value and option != "--images" else option
    return shlex.join(kept)
