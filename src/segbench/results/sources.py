"""Every source of results (own runs, ASV, pytest-benchmark) as one tidy table of samples."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from segbench import jsonl
from segbench.backends import registry
from segbench.backends.interface import Description
from segbench.backends.registry import BASELINE, BackendSpec
from segbench.errors import InputError
from segbench.results import untrusted
from segbench.results.records import PICTURE_NAME, RUN_NAME, Profile, Sample, read, read_profiles
from segbench.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

# Names in a run may hold bytes that are no text, which pyarrow refuses where it is installed.
pd.set_option("mode.string_storage", "python")

# What a sample is of.
CASE = ["phase", "n_images", "backend"]

# Of a run; what a gate adds (`side`, `look`) no report reads.
COLUMNS = [each.name for each in dataclasses.fields(Sample) if each.name not in ("side", "look")]

# As floats, so that a column of nothing but gaps has a median, too.
_MAYBE = [each.name for each in dataclasses.fields(Sample) if each.default is None]
NUMBERS = [name for name in _MAYBE if name != "objects"]

# For lines of older runs: a sample that is read holds what its line says, no more.
_DEFAULTS = {
    each.name: each.default
    for each in dataclasses.fields(Sample)
    if each.name in COLUMNS and each.default not in (None, dataclasses.MISSING)
}

# Which asv writes beside the results of a machine.
_MACHINE = "machine.json"

# What all are compared with, in words: of many images, and of one large one.
LOOP, WHOLE = "a plain loop", "scikit-image on the whole image"

# What comes of reading what another program did not write as expected.
_UNLIKE = (KeyError, TypeError, ValueError, AttributeError, OverflowError)


class Descriptions(dict[str, Description]):
    """What backends said of themselves in a run, by their specs; of another what is known here.

    Only ``descriptions[spec]`` looks here, and loads the backend's libraries for it.
    """

    def __missing__(self, spec: str) -> Description:
        try:
            self[spec] = registry.describe(BackendSpec.named(spec))
        except (ValueError, TypeError):  # no name that a backend can have
            self[spec] = Description(words=spec, libraries=(), work=spec)
        return self[spec]


@dataclass(frozen=True)
class Times:
    """The samples of a case that are ok, in the order of their blocks.

    Attributes
    ----------
    blocks, rounds : ndarray of int, shape (B,)
        Number of the block of each, ascending, and of its round.
    seconds : ndarray of float, shape (B,)
        Wall time of one call.
    """

    blocks: NDArray[np.int64]
    rounds: NDArray[np.int64]
    seconds: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Samples taken on one machine with one set of versions.

    Attributes
    ----------
    name : str
        Where they come from.
    kind : str
        ``segbench``, ``asv`` or ``pytest-benchmark``.
    paired : bool
        Whether samples of one block were taken side by side, so that ratios may be formed in it.
    started : str
        When, as the source says it.
    machine, versions, settings, dataset : dict
        As the source describes them.
    backends : mapping of str to Description
        What each backend says of itself, by its spec.
    samples : DataFrame
        One row a :class:`segbench.results.records.Sample`, and ``backend``, their joined names.
    profiles : tuple of Profile
        Where the time of each backend goes; empty where the source does not say.
    picture : bytes
        PNG of what was found on an image; empty where there is none.
    shape : str
        Height and width of its images, ``192x256``, where the run has several shapes.
    history : tuple of Source
        Earlier results of the same machine, for ASV; in the order of their commits.
    notes : tuple of str
        What was wrong with the source.
    """

    name: str
    kind: str
    paired: bool
    started: str
    machine: dict[str, Any]
    versions: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)
    backends: Mapping[str, Description] = field(default_factory=Descriptions)
    samples: pd.DataFrame
    profiles: tuple[Profile, ...] = ()
    picture: bytes = b""
    shape: str = ""
    history: tuple[Source, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_large(self) -> bool:
        """Whether it is of one large image, not of many."""
        return _is_large(self.dataset)

    @property
    def loop(self) -> str:
        """What all backends are compared with, in words."""
        return WHOLE if self.is_large else LOOP

    @cached_property
    def times(self) -> dict[tuple[str, int], dict[str, Times]]:
        """By phase and number of images the times of each backend's samples that are ok."""
        ok = self.samples[self.samples["status"] == "ok"]
        # Of a block that a file holds twice, the last counts.
        ok = ok.drop_duplicates([*CASE, "block"], keep="last").sort_values("block", kind="stable")
        times: dict[tuple[str, int], dict[str, Times]] = {}
        for key, own in ok.groupby(CASE, sort=False):
            phase, n_images, backend = cast("tuple[str, int, str]", key)
            columns = (own[name].to_numpy() for name in ("block", "round", "seconds"))
            times.setdefault((phase, n_images), {})[backend] = Times(*columns)
        return times

    @cached_property
    def wrong(self) -> dict[str, str]:
        """The backends whose result was wrong anywhere, and the cause."""
        wrong = self.samples[self.samples["status"] == "wrong-result"].drop_duplicates("backend")
        return dict(zip(wrong["backend"], wrong["cause"], strict=True))


def read_sources(path: Path) -> list[Source]:
    """Read whatever a path holds.

    Parameters
    ----------
    path : Path
        A run folder, a ``run.jsonl``, a pytest-benchmark JSON file, a result file of ASV, its
        results folder, or a folder that holds runs or, in it or below ``asv``, ASV results: of
        several, the newest of each kind; of ASV's those of the newest one's commit, one for each
        environment.

    Returns
    -------
    list of Source
        At least one.

    Raises
    ------
    InputError
        If there are no results, or they can't be understood.
    """
    if not path.exists():
        raise InputError(f"no such file or folder: {path}; give a run folder or a results file")
    if path.is_file():
        if path.name == RUN_NAME:
            return read_run_folder(path.parent)
        return [read_asv(path) if (path.parent / _MACHINE).exists() else read_pytest(path)]
    if (path / RUN_NAME).exists():
        return read_run_folder(path)
    runs = sorted(path.glob(f"*/{RUN_NAME}"), key=_modified)
    # Segbench's own ASV suite had no folder of its own at first.
    machines = [file for there in ("*", "asv/*") for file in path.glob(f"{there}/{_MACHINE}")]
    files = [file for machine in machines for file in machine.parent.glob("*.json")]
    asv = sorted((file for file in files if file.name != _MACHINE), key=_modified)
    found = [source for file in runs[-1:] for source in read_run_folder(file.parent)]
    if asv:
        found += _with_history(asv)
    if not found:
        raise InputError(f"{path}: no {RUN_NAME} and no ASV results in it; measure first")
    return found


def read_run_folder(folder: Path) -> list[Source]:
    """Read what ``segbench run`` wrote: a source for each shape of the images that were measured."""
    run = read(folder / RUN_NAME)
    header, profiles, notes, picture = run.header, read_profiles(folder), run.notes, b""
    try:
        picture = untrusted.read_picture(folder / PICTURE_NAME)
    except InputError as error:
        notes += (f"the picture is left out: {error}",)
    said = {
        spec: dataclasses.replace(one, words=one_line(one.words))
        for spec, one in header.backends.items()
    }
    if (whole := said.get(str(BASELINE))) and _is_large(header.dataset):
        said[str(BASELINE)] = dataclasses.replace(whole, words=WHOLE)
    by_shape: dict[str, list[Sample]] = {shape: [] for shape in header.shapes or [""]}
    for sample in run.samples:
        by_shape.setdefault(sample.shape, []).append(sample)
    sources = [
        Source(
            name=str(folder),
            kind="segbench",
            paired=True,
            started=header.started,
            machine=header.machine,
            versions=header.versions,
            settings=header.settings | _sizes(header.shapes.get(shape, {})),
            dataset=header.shapes.get(shape, header.dataset),
            shape=shape,
            backends=Descriptions(said),
            samples=tidy(samples),
            profiles=_measured(profiles, shape, samples),
            notes=notes,
        )
        for shape, samples in by_shape.items()
    ]
    return [dataclasses.replace(sources[0], picture=picture), *sources[1:]]


def _is_large(dataset: Mapping[str, Any]) -> bool:
    origin = dataset.get("origin")
    return isinstance(origin, dict) and (
        origin.get("made") == "mosaic" or origin.get("large") is True
    )


def _measured(
    profiles: Sequence[Profile], shape: str, samples: Sequence[Sample]
) -> tuple[Profile, ...]:
    """The profiles of a shape's backends: of one that was not measured there is nothing to tell."""
    backends = {sample.backend for sample in samples}
    return tuple(one for one in profiles if one.shape == shape and one.backend in backends)


def _sizes(described: dict[str, Any]) -> dict[str, Any]:
    """The numbers of images that were measured of a shape, as settings."""
    return {"sizes": described["sizes"], "sizes_left_out": []} if "sizes" in described else {}


def read_pytest(path: Path) -> Source:
    """Read a JSON file of pytest-benchmark, written by ``tests/benchmarks``."""
    content = _read_json(path)
    try:
        machine = content["machine_info"]
        told = {name: content[name] for name in ("machine_info", "datetime")}
        untrusted.check_described(told, str(path))
        return Source(
            name=path.name,
            kind="pytest-benchmark",
            paired=False,
            started=str(content["datetime"]),
            machine={
                "system": f"{machine.get('system')} {machine.get('release')}",
                "cpu": machine.get("cpu", {}).get("brand_raw", machine.get("processor")),
                "python": machine.get("python_version"),
            },
            samples=_some(
                _pytest_samples(content["benchmarks"]),
                f"{path}: no benchmark in it; run with --benchmark-enable",
            ),
        )
    except _UNLIKE as error:
        raise InputError(f"{path}: not a pytest-benchmark file of segbench ({error!r})") from error


def read_asv(path: Path) -> Source:
    """Read a result file of ASV, written by ``benchmarks/``: one commit in one environment."""
    content = _read_json(path)
    told = ("date", "params", "requirements", "commit_hash", "python")
    try:
        untrusted.check_described({name: content.get(name) for name in told}, str(path))
        columns = content["result_columns"]
        tables = {
            name.rpartition(".")[2]: dict(_asv_values(dict(zip(columns, row, strict=False))))
            for name, row in content["results"].items()
        }
        pinned = content.get("requirements") or {}
        return Source(
            name=f"{path.parent.parent.name}/{path.parent.name}/{path.name}",
            kind="asv",
            paired=False,
            started=pd.to_datetime(content["date"], unit="ms", utc=True).isoformat(),
            # Among which asv puts what it varies.
            machine={
                name: value
                for name, value in content["params"].items()
                if name != "python" and name not in pinned
            },
            versions={
                "commit": content.get("commit_hash", ""),
                "python": content.get("python", ""),
                **pinned,
            },
            dataset={"name": "smear"},
            samples=_some(_asv_samples(tables), f"{path}: no timed benchmark in it; run `asv run`"),
        )
    except _UNLIKE as error:
        raise InputError(f"{path}: not an ASV result of segbench ({error!r})") from error


def _with_history(paths: Sequence[Path]) -> list[Source]:
    """The last of some ASV files, and those of its commit in other environments.

    Each has as its history the others of its machine and environment: a release of a library is
    no commit.
    """
    *others, last = paths
    read, notes = [], []
    for path in others:
        if path.parent == last.parent:
            try:
                read.append(read_asv(path))
            except InputError as error:
                notes.append(f"left out of the history: {error}")
    read.append(read_asv(last))
    commit = read[-1].versions["commit"]
    newest: list[Source] = []
    for one in reversed(read):
        if one.versions["commit"] == commit and not any(map(_same_versions(one), newest)):
            newest.append(one)
    return [
        dataclasses.replace(one, history=tuple(_history(one, read)), notes=tuple(notes))
        for one in newest
    ]


def _history(last: Source, read: Sequence[Source]) -> list[Source]:
    """The others of its environment, in the order of their commits."""
    others = [one for one in filter(_same_versions(last), read) if one is not last]
    return sorted(others, key=lambda source: source.started)


def _same_versions(one: Source) -> Callable[[Source], bool]:
    """Whether another one was measured with the same versions, of whatever commit."""
    return lambda other: {**other.versions, "commit": ""} == {**one.versions, "commit": ""}


def tidy(samples: Sequence[Sample]) -> pd.DataFrame:
    """Samples as a table, with the column ``backend`` beside their fields."""
    # Their values are plain: nothing has to be copied.
    frame = pd.DataFrame([_DEFAULTS | vars(sample) for sample in samples], columns=COLUMNS)
    frame = frame.astype(dict.fromkeys(NUMBERS, float))
    frame["backend"] = [str(sample.backend) for sample in samples]
    return frame


def _modified(path: Path) -> float:
    return path.stat().st_mtime


def _read_json(path: Path) -> Any:
    try:
        return json.loads(untrusted.read_bytes(path, most=untrusted.MOST_IN_JSON))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: can't be read as JSON ({error})") from error


def _some(samples: Iterable[Sample], otherwise: str) -> pd.DataFrame:
    """Samples as a table, if there are any."""
    if not (found := list(samples)):
        raise InputError(otherwise)
    untrusted.check_records(found, "samples")
    return tidy(found)


def _sample(backend: str, n_images: int, phase: str, **values: Any) -> Sample:
    """A sample of somebody else's file, once it is known to be such as a run writes."""
    case = {**vars(BackendSpec.named(backend)), "n_images": n_images, "phase": phase}
    return jsonl.convert({**case, **values}, Sample)


def _pytest_samples(benchmarks: list[dict[str, Any]]) -> Iterator[Sample]:
    for benchmark in benchmarks:
        case, stats = benchmark["extra_info"], benchmark["stats"]
        named = case["backend"], case["n_images"], case["phase"]
        calls = stats.get("iterations", 1)
        told = {"block": 1, "status": "ok", "calls": calls, "objects": case.get("objects")}
        for seconds in stats.get("data") or [stats["median"]]:
            yield _sample(*named, seconds=seconds, **told)


# A value of ASV's belongs to a backend and a size: the two axes of every benchmark.
_Key = tuple[str, int]


def _asv_values(result: dict[str, Any]) -> Iterator[tuple[_Key, list[float]]]:
    """The samples of each parameter combination; its one value where ASV kept no samples.

    None at all where the call failed; what ASV skipped is left out.
    """
    backends, sizes = result["params"]
    combinations = list(itertools.product(backends, sizes))
    results = result["result"] or [None] * len(combinations)
    samples = result.get("samples") or [None] * len(combinations)
    for (backend, size), value, kept in zip(combinations, results, samples, strict=True):
        values = [number for number in kept or [value] if number is not None]
        if not any(math.isnan(number) for number in values):
            yield (backend.strip("'\""), int(size)), values


def _asv_samples(tables: dict[str, dict[_Key, list[float]]]) -> Iterator[Sample]:
    # Status and cause of a backend whose result is not the reference's, or not known to be.
    refused: dict[str, tuple[str, str]] = {}
    for name, values in tables.items():
        if name.startswith("track_wrong"):
            for (backend, _), counts in values.items():
                if any(counts):
                    refused[backend] = "wrong-result", f"{name} is not 0"
                elif not counts:
                    refused.setdefault(backend, ("error", f"{name} failed: nothing was compared"))
    for name, values in tables.items():
        if not name.startswith("time_"):
            continue
        phase = name.removeprefix("time_")
        finds = tables.get("track_objects", {}) if phase in ("process", "pipeline") else {}
        peaks = tables.get(f"peakmem_{phase}", {})
        for (backend, size), seconds in values.items():
            objects, peak = finds.get((backend, size)), peaks.get((backend, size))
            if not seconds:
                cause = f"{name} failed; see the output of asv"
                yield _sample(backend, size, phase, block=0, status="error", cause=cause)
            status, cause = refused.get(backend, ("ok", ""))
            told = {
                "status": status,
                "cause": cause,
                "objects": int(objects[0]) if objects else None,
                "peak_mib": round(peak[0] / 2**20, 1) if peak else None,
            }
            for value in seconds:
                yield _sample(backend, size, phase, block=1, seconds=value, calls=1, **told)
