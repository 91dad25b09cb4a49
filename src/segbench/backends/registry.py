"""Backends by name: found through entry points, loaded when asked for, combined where it makes sense.

A package adds a reader or processor by declaring an entry point in the group ``segbench.readers``
or ``segbench.processors`` that names a :class:`~segbench.backends.interface.Reader` or
:class:`~segbench.backends.interface.Processor`. An extra in the entry point (``[opencv]``) is what
has to be installed for it.
"""

from __future__ import annotations

import difflib
import importlib.util
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points, requires
from typing import Self, TypeAlias, TypeVar

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from segbench.backends.interface import SHARED, Description, Processor, Reader
from segbench.backends.schedulers import SCHEDULERS, WITH_DASK
from segbench.errors import InputError

P = TypeVar("P", bound=Reader | Processor)

Kind: TypeAlias = type[Reader | Processor]
KINDS: tuple[Kind, ...] = (Reader, Processor)


class UnavailableError(Exception):
    """A known part of a backend can't be loaded here; says what to install."""


@dataclass(frozen=True, order=True)
class BackendSpec:
    """The three names of a backend, ``reader/processor/scheduler``, and how it is to be run.

    Attributes
    ----------
    reader, processor, scheduler : str
        Names of its parts.
    batch : int
        How many images a task reads and segments, ``reader/processor/scheduler/16``; of a processor
        that works on one large image in tiles the side of a tile in pixels. 0 where that is chosen.
    """

    reader: str
    processor: str
    scheduler: str
    batch: int = 0

    def __str__(self) -> str:
        batch = f"/{self.batch}" if self.batch else ""
        return f"{self.reader}/{self.processor}/{self.scheduler}{batch}"

    @classmethod
    def named(cls, text: str) -> Self:
        """The backend of a name as `str` writes it, whether its parts are known here or not."""
        reader, processor, scheduler, *batch = text.split("/")
        return cls(reader, processor, scheduler, *map(int, batch))


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
    """Read ``reader/processor/scheduler``, or ``reader/processor/scheduler/batch``.

    Raises
    ------
    InputError
        If a part is unknown; the message lists the alternatives. Nothing is loaded.
    """
    parts = text.strip().split("/")
    names, batch = parts[:3], parts[3:]
    if len(names) < 3 or len(batch) > 1:
        raise InputError(
            f"backend {text!r}: write reader/processor/scheduler, such as {BASELINE}; "
            "see `segbench backends`"
        )
    if batch and not (batch[0].isdecimal() and int(batch[0]) > 0):
        raise InputError(f"backend {text!r}: {batch[0]!r} images a task; give a number from 1 up")
    known = {_word(kind): sorted(_entry_points(kind)) for kind in KINDS}
    known["scheduler"] = [*SCHEDULERS]
    for (kind, there), name in zip(known.items(), names, strict=True):
        if name not in there:
            close = difflib.get_close_matches(name, there, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise InputError(f"unknown {kind} {name!r}{hint}: choose from {', '.join(there)}")
    return BackendSpec.named("/".join(parts))


def load(spec: BackendSpec) -> tuple[Reader, Processor]:
    """Import the reader and the processor of a backend.

    Raises
    ------
    UnavailableError
        If a library it needs is not installed, or a plugin is broken.
    InputError
        If the combination makes no sense.
    """
    reader, processor = _load(Reader, spec.reader), _load(Processor, spec.processor)
    if missing := _missing_scheduler(spec.scheduler):
        raise UnavailableError(missing)
    if (reader.uses_dask or processor.uses_dask) and spec.scheduler not in WITH_DASK:
        part = f"reader {spec.reader}" if reader.uses_dask else f"processor {spec.processor}"
        why = f"the {part} builds a Dask graph, which {spec.scheduler} can't run"
        raise InputError(f"backend {spec}: {why}; use one of {', '.join(WITH_DASK)}")
    if spec.batch and not _takes_batches(spec, processor):
        why = "a task of it is an image" if processor.uses_dask else "it has no tasks"
        raise InputError(f"backend {spec}: {why}; leave out the number of images a task")
    return reader, processor


def takes_batches(spec: BackendSpec) -> bool:
    """Whether it can be said how many images a task of a backend reads and segments."""
    try:
        return _takes_batches(spec, _load(Processor, spec.processor))
    except UnavailableError:
        return False


def _takes_batches(spec: BackendSpec, processor: Processor) -> bool:
    if processor.large or processor.uses_dask:
        return processor.batches or bool(processor.large)
    return spec.scheduler != "serial"


def describe(spec: BackendSpec) -> Description:
    """What a report says of a backend, by what its parts say of themselves.

    The parts are loaded for it, and with them their libraries. Of a backend that is unknown here or
    can't be loaded nothing is known but its name.
    """
    try:
        processor = _load(Processor, spec.processor)
        words, reader = _words(Processor, spec.processor), _words(Reader, spec.reader)
        scheduler = SCHEDULERS[spec.scheduler]
    except (KeyError, UnavailableError):
        return Description(words=str(spec), libraries=(), work=spec.processor)
    # A plugin that only keeps the words of segbench's has not said either whose work it does.
    kept = processor.words and words != processor.words
    if spec.reader != processor.reader:
        words += f" (read by {reader})"
    batch = f", {spec.batch} image{'s' * (spec.batch > 1)} a task" if spec.batch else ""
    if spec.batch and processor.large:
        batch = f", tiles of {spec.batch} pixels"
    own = _libraries(Reader, spec.reader) + _libraries(Processor, spec.processor)
    return Description(
        words=f"{words} {scheduler.words}{batch}",
        libraries=tuple(dict.fromkeys([*SHARED, *scheduler.libraries, *own])),
        work=(not kept and processor.work) or spec.processor,
        reader=reader,
    )


def libraries() -> tuple[str, ...]:
    """Distributions whose versions the time of some backend depends on, installed or not."""
    names = [*SHARED, *(name for kind in SCHEDULERS.values() for name in kind.libraries)]
    for kind in KINDS:
        for name in _entry_points(kind):
            names += _libraries(kind, name)
    return tuple(dict.fromkeys(names))


@cache
def declared_libraries() -> frozenset[str]:
    """Distributions that segbench and the packages with backends say they need, and those that these need.

    Nothing is loaded: of the names in somebody else's run these alone may be installed.
    """
    entries = [entry for kind in KINDS for entry in _entry_points(kind).values()]
    names = {*SHARED, *map(_package, entries)}
    for _ in range(2):
        for name in tuple(names):
            with suppress(Exception):  # not installed, or written in no way at all
                names |= {Requirement(each).name for each in requires(name) or ()}
    return frozenset(map(canonicalize_name, names))


def packages(spec: BackendSpec) -> dict[str, tuple[str, ...]]:
    """What has to be installed for a backend: names of distributions, with the extras of each.

    Parts that are unknown here need nothing that is known here.
    """
    found: dict[str, set[str]] = {}
    for kind in KINDS:
        if entry := _entry_points(kind).get(getattr(spec, _word(kind))):
            found.setdefault(_package(entry), set()).update(entry.extras)
    if spec.scheduler in SCHEDULERS and (extra := SCHEDULERS[spec.scheduler].extra):
        found.setdefault("segbench", set()).add(extra)
    return {name: tuple(sorted(extras)) for name, extras in found.items()}


def plugins() -> frozenset[str]:
    """The modules, by the first part of their names, that other packages declare backends in."""
    found = set()
    for kind in KINDS:
        for entry in _entry_points(kind).values():
            with suppress(Exception):  # as above: it may be written in no way at all
                if _is_plugin(entry):
                    found.add(entry.module.partition(".")[0])
    return frozenset(found)


def parts() -> list[Part]:
    """Every reader, processor and scheduler, and what is missing for it here."""
    found = []
    for kind in KINDS:
        for name, entry in sorted(_entry_points(kind).items()):
            missing = ""
            try:
                _load(kind, name)
            except UnavailableError as error:
                missing = str(error)
            found.append(Part(_word(kind), name, _package(entry), missing))
    names = [*SCHEDULERS]
    return found + [Part("scheduler", each, "segbench", _missing_scheduler(each)) for each in names]


def _word(kind: type) -> str:
    return kind.__name__.lower()


def _package(entry: EntryPoint) -> str:
    with suppress(Exception):  # what the metadata of a plugin lacks is told of in many ways
        if entry.dist and entry.dist.name:
            return entry.dist.name
    return entry.module


def _is_plugin(entry: EntryPoint) -> bool:
    return not entry.value.startswith("segbench.")


def _entry_points(kind: type) -> dict[str, EntryPoint]:
    # The first of a name counts; segbench's own can't be taken over by another package.
    ordered = sorted(entry_points(group=f"segbench.{_word(kind)}s"), key=_is_plugin)
    return {entry.name: entry for entry in reversed(ordered)}


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
        why = f"{entry.value} is a {type(part).__name__}, not a {kind.__name__}"
        raise UnavailableError(f"{what} of {package} is broken: {why}")
    return part


def _words(kind: type[P], name: str) -> str:
    """What a part is called; by its name, if a plugin only keeps what segbench's says of itself."""
    words = _load(kind, name).words
    entries = _entry_points(kind)
    if _is_plugin(entries[name]):
        for other, entry in entries.items():
            with suppress(UnavailableError):
                if not _is_plugin(entry) and words == _load(kind, other).words:
                    return name
    return words or name


def _libraries(kind: Kind, name: str) -> list[str]:
    """What a part says that it uses; of a plugin its distribution, too, and what that requires."""
    names: list[str] = []
    with suppress(UnavailableError):
        names += _load(kind, name).libraries
    entry = _entry_points(kind)[name]
    if _is_plugin(entry):
        names.append(_package(entry))
        extras = [{"extra": extra} for extra in ("", *entry.extras)]
        with suppress(Exception):  # as above
            for each in map(Requirement, requires(_package(entry)) or ()):
                if each.marker is None or any(map(each.marker.evaluate, extras)):
                    names.append(each.name)
    return [canonicalize_name(each) for each in names]


def _missing_scheduler(name: str) -> str:
    module = SCHEDULERS[name].extra
    if not module or importlib.util.find_spec(module):
        return ""
    return f'scheduler {name}: No module named {module!r}; pip install "segbench[{module}]"'
