"""Backends by name: found through entry points, loaded when asked for, combined where it makes sense.

A package adds a reader or processor by declaring an entry point in the group ``segbench.readers``
or ``segbench.processors`` that names a :class:`~segbench.backends.interface.Reader` or
:class:`~segbench.backends.interface.Processor`. An extra in the entry point (``[opencv]``) is what
has to be installed for it.
"""

from __future__ import annotations

import difflib
import importlib.util
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, TypeVar

from segbench.backends import schedulers
from segbench.backends.interface import Processor, Reader
from segbench.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

P = TypeVar("P", Reader, Processor)

GROUPS = {Reader: "segbench.readers", Processor: "segbench.processors"}


class UnavailableError(Exception):
    """A known part of a backend can't be loaded here; says what to install."""


@dataclass(frozen=True, order=True)
class BackendSpec:
    """The three names of a backend, ``reader/processor/scheduler``."""

    reader: str
    processor: str
    scheduler: str

    def __str__(self) -> str:
        return f"{self.reader}/{self.processor}/{self.scheduler}"


BASELINE = BackendSpec("skimage", "skimage", "serial")


@dataclass(frozen=True)
class Part:
    """A line of ``segbench backends``.

    Attributes
    ----------
    kind : str
        ``reader``, ``processor`` or ``scheduler``.
    name : str
        As in a backend's spec.
    source : str
        Distribution that declares it.
    missing : str
        Why it can't be used here and how to install it; empty where it can.
    """

    kind: str
    name: str
    source: str
    missing: str


def parse_spec(text: str) -> BackendSpec:
    """Read ``reader/processor/scheduler``.

    Raises
    ------
    InputError
        If a part is unknown; the message lists the alternatives. Nothing is loaded.
    """
    parts = text.strip().split("/")
    if len(parts) != 3:
        raise InputError(
            f"backend {text!r}: write reader/processor/scheduler, such as {BASELINE}; "
            "see `segbench backends`"
        )
    spec = BackendSpec(*parts)
    known = {_word(kind): tuple(sorted(_entry_points(kind))) for kind in GROUPS}
    for kind, names in {**known, "scheduler": schedulers.SCHEDULERS}.items():
        name = getattr(spec, kind)
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise InputError(f"unknown {kind} {name!r}{hint}: choose from {', '.join(names)}")
    return spec


def load(spec: BackendSpec) -> tuple[Reader, Processor]:
    """Import the reader and the processor of a backend.

    Raises
    ------
    UnavailableError
        If a library it needs is not installed, or a plugin is broken.
    InputError
        If the combination makes no sense.
    """
    reader = _load(Reader, spec.reader)
    processor = _load(Processor, spec.processor)
    if missing := _missing_scheduler(spec.scheduler):
        raise UnavailableError(missing)
    uses_dask = reader.uses_dask or processor.uses_dask
    if uses_dask and spec.scheduler in schedulers.WITHOUT_DASK:
        part = f"reader {spec.reader}" if reader.uses_dask else f"processor {spec.processor}"
        raise InputError(
            f"backend {spec}: the {part} builds a Dask graph, which {spec.scheduler} can't run; "
            f"use one of {', '.join(schedulers.WITH_DASK)}"
        )
    if not uses_dask and spec.scheduler in schedulers.WITH_DASK:
        raise InputError(
            f"backend {spec}: neither part uses Dask, so its scheduler {spec.scheduler} would have "
            f"nothing to run; use one of {', '.join(schedulers.WITHOUT_DASK)}"
        )
    return reader, processor


def packages(spec: BackendSpec) -> dict[str, tuple[str, ...]]:
    """What has to be installed for a backend: names of distributions, with the extras of each.

    Parts that are unknown here need nothing that is known here.
    """
    found: dict[str, set[str]] = {}
    for kind in GROUPS:
        entry = _entry_points(kind).get(getattr(spec, _word(kind)))
        if entry:
            found.setdefault(_package(entry), set()).update(entry.extras)
    if spec.scheduler in schedulers.EXTRAS:
        found.setdefault("segbench", set()).add(schedulers.EXTRAS[spec.scheduler][1])
    return {name: tuple(sorted(extras)) for name, extras in found.items()}


def parts() -> list[Part]:
    """Every reader, processor and scheduler, and what is missing for it here."""
    started = (
        Part("scheduler", name, "segbench", _missing_scheduler(name))
        for name in schedulers.SCHEDULERS
    )
    return [*_parts_of(Reader), *_parts_of(Processor), *started]


def _parts_of(kind: type[P]) -> Iterator[Part]:
    for name, entry in sorted(_entry_points(kind).items()):
        try:
            _load(kind, name)
            missing = ""
        except UnavailableError as error:
            missing = str(error)
        yield Part(_word(kind), name, _package(entry), missing)


def _word(kind: type[Reader | Processor]) -> str:
    return kind.__name__.lower()


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.module


def _entry_points(kind: type[Reader | Processor]) -> dict[str, EntryPoint]:
    return _first_of_each(entry_points(group=GROUPS[kind]))


def _first_of_each(entries: Iterable[EntryPoint]) -> dict[str, EntryPoint]:
    # segbench's own names can't be taken over by another package.
    ordered = sorted(entries, key=lambda entry: not entry.value.startswith("segbench."))
    first: dict[str, EntryPoint] = {}
    for entry in ordered:
        first.setdefault(entry.name, entry)
    return first


def _load(kind: type[P], name: str) -> P:
    entry = _entry_points(kind)[name]
    what, package = f"{_word(kind)} {name}", _package(entry)
    try:
        part = entry.load()
    except ImportError as error:
        install = f'"{package}[{",".join(entry.extras)}]"' if entry.extras else package
        raise UnavailableError(f"{what}: {error}; pip install {install}") from error
    except Exception as error:  # a plugin may raise anything, and must not take the others along
        raise UnavailableError(f"{what} of {package} is broken: {error!r}") from error
    if not isinstance(part, kind):
        raise UnavailableError(
            f"{what} of {package} is broken: {entry.value} is a {type(part).__name__}, "
            f"not a {kind.__name__}"
        )
    return part


def _missing_scheduler(name: str) -> str:
    if name not in schedulers.EXTRAS:
        return ""
    module, extra = schedulers.EXTRAS[name]
    if importlib.util.find_spec(module):
        return ""
    return f'scheduler {name}: No module named {module!r}; pip install "segbench[{extra}]"'
