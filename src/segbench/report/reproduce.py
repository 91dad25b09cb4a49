"""The commands that measure again what a source holds."""

from __future__ import annotations

import math
import re
import shlex
from typing import TYPE_CHECKING

from segbench.report.summary import listed_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segbench.results.sources import Source

METHOD_LINK = "https://github.com/segbench/segbench/blob/HEAD/docs/method.md"

# Option -> setting. Settings that were the defaults of their time are written out, too: another
# version, or a machine with more CPUs, may have other ones.
LISTS = {"--sizes": "sizes", "--phases": "phases", "--backends": "backends"}
NUMBERS = {
    "--precision": "precision",
    "--blocks": "blocks",
    "--case-seconds": "case_seconds",
    "--time-limit": "time_limit",
    "--memory-limit": "memory_limit",
    "--workers": "workers",
    "--seed": "seed",
}
PIPELINE = ("block_size", "method", "offset", "foreground", "min_area")

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
    return (*_install(source), shlex.join(measure)) if measure else ()


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


def _measure(source: Source) -> list[str]:
    """Words of the command that measures; empty where it is not known."""
    if source.kind == "asv":
        commit = source.versions.get("commit")
        known = isinstance(commit, str) and COMMIT.fullmatch(commit)
        return ["asv", "run", *([f"{commit}^!"] if known else [])]
    if source.kind == "pytest-benchmark":
        wanted = ["--benchmark-enable", "--benchmark-json", source.name]
        return ["pytest", "tests/benchmarks", *wanted]
    images, settings = _images(source), source.settings
    sizes = [*listed_in(source, "sizes", int), *listed_in(source, "sizes_left_out", int)]
    if not (images and sizes):
        # As it was typed: what was a default may have become another.
        typed = settings.get("command")
        return _split(typed) if isinstance(typed, str) else []
    words = ["segbench", "run", *images]
    described = {**settings, "sizes": sizes}
    for option, name in LISTS.items():
        values = described.get(name)
        if isinstance(values, list) and values:
            words.extend([option, ",".join(str(value) for value in values)])
    for option, name in NUMBERS.items():
        value = settings.get(name)
        if isinstance(value, int | float) and math.isfinite(value):
            words.extend([option, f"{value}"])
    if settings.get("native_threads") is True:
        words.append("--native-threads")
    if isinstance(cache := settings.get("cache"), str):
        words.extend(["--cache", cache])
    if isinstance(params := settings.get("params"), dict):
        for name in PIPELINE:
            if isinstance(value := params.get(name), str | int | float):
                words.extend([f"--{name.replace('_', '-')}", f"{value}"])
    return words


def _images(source: Source) -> list[str]:
    """The options that bring the same images; empty where a source does not say which they were."""
    origin = source.dataset.get("origin")
    if not isinstance(origin, dict):
        return []
    if isinstance(origin.get("images"), str):
        return ["--images", origin["images"]]
    made, shape = origin.get("made"), origin.get("shape")
    if not isinstance(made, str) or not isinstance(shape, list | tuple) or len(shape) != 2:
        return []
    return ["--dataset", made, "--shape", f"{shape[0]}x{shape[1]}"]


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # a quotation that does not end, in a file that was edited
        return []
