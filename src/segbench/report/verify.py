"""Whether a run that somebody sends is whole, agrees with itself, and is as it was measured.

Each check gives a line for each thing that is wrong. They find what was cut, damaged, left out or
edited; what somebody has made up with care, nobody can find.
"""

from __future__ import annotations

import csv
import io
import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from segbench import jsonl
from segbench.errors import InputError
from segbench.report.cells import collected, images
from segbench.report.summary import cases_in, summarize
from segbench.results import records, untrusted
from segbench.results.sources import read_run_folder
from segbench.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from segbench.results.records import Header, Sample

# Versions that every run names; the libraries of its backends come to them.
ALWAYS = ("python", "segbench", "numpy", "scikit-image", "dask")

# Seconds by which two clocks may differ, and the share by which CPU time may exceed what all CPUs have.
SLACK, CPU_SLACK = 1e-3, 0.05

# Of each kind so many lines are told; the rest are counted.
MOST_TOLD = 5

SUMMARY = "report/tables/summary.csv"


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What a run was asked for, by its header: whatever backends are installed here."""

    phases: tuple[str, ...]
    backends: tuple[str, ...]
    sizes: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class _Images:
    """The images of a shape; `sizes` where they are others than those of the run."""

    images: int
    objects: int | None = None
    sizes: tuple[int, ...] | None = None


@dataclass(frozen=True)
class _Run:
    """A run that can be read.

    Attributes
    ----------
    header, samples, notes : Header, list of Sample, tuple of str
        As they were read.
    asked : _Asked
    images : mapping of str to _Images
        By shape; of one shape alone by no name.
    cpus : int
        That the run could use.
    """

    header: Header
    samples: list[Sample]
    notes: tuple[str, ...]
    asked: _Asked
    images: Mapping[str, _Images]
    cpus: int


def faults(folder: Path) -> tuple[str, ...]:
    """All that is wrong with a run, a line each; none where it is as ``segbench run`` left it.

    Parameters
    ----------
    folder : Path
        Of a run: ``run.jsonl``, and beside it ``profiles.jsonl``, ``sample.png`` and ``report/`` where it
        has them.

    Raises
    ------
    InputError
        If there is no run.
    """
    if not os.path.lexists(folder / records.RUN_NAME):
        raise InputError(f"{folder}: no {records.RUN_NAME} in it; give the folder of a run")
    try:
        untrusted.refuse_links(folder)
        run = _read(folder)
        records.read_profiles(folder)
        untrusted.read_picture(folder / records.PICTURE_NAME)
        wrong = [line for check in CHECKS for line in _first(check(run))]
        return (*wrong, *_digest(folder, run.header), *_first(_summary(folder)))
    except InputError as error:
        # It begins with the file, which whoever shows it names.
        return (str(error).removeprefix(f"{folder}{os.sep}"),)


def _read(folder: Path) -> _Run:
    found = records.read(folder / records.RUN_NAME)
    header = found.header
    try:
        return _Run(
            header,
            found.samples,
            found.notes,
            jsonl.convert(header.settings, _Asked),
            jsonl.convert(header.shapes or {"": header.dataset}, dict[str, _Images]),
            jsonl.convert(header.machine.get("cpus_available"), int),
        )
    except ValueError as error:
        raise InputError(
            f"{records.RUN_NAME}, line 1: not the header of a run ({error})"
        ) from error


def _first(lines: Iterable[str]) -> Iterator[str]:
    """The first few lines of a check, and how many more there are."""
    found = list(lines)
    yield from map(one_line, found[:MOST_TOLD])
    if len(found) > MOST_TOLD:
        yield f"... and {len(found) - MOST_TOLD} more like this"


def _damaged(run: _Run) -> Iterator[str]:
    yield from run.notes


def _versions(run: _Run) -> Iterator[str]:
    """Of every library that takes part there is a version."""
    versions = run.header.versions
    for name in ALWAYS:
        if name not in versions:
            yield f"line 1: versions lack {name}"
    for name, version in versions.items():
        if name == "commit":
            continue
        try:
            Version(version)
        except (InvalidVersion, TypeError):
            yield f"line 1: {version!r} is no version of {name}"


def _cases(run: _Run) -> Iterator[str]:
    """Every case that was asked for is there, measured or with the reason why not, and no other is."""
    found = collected(((*_case(one), str(one.backend)), one) for one in run.samples)
    wanted = {
        (shape, size, phase, backend)
        for shape, there in run.images.items()
        for size in (there.sizes or run.asked.sizes)
        for phase in run.asked.phases
        for backend in run.asked.backends
    }
    for case in sorted(wanted - found.keys(), key=str):
        yield f"nothing of {_told(*case)}: the run is not whole"
    for case in sorted(found.keys() - wanted, key=str):
        yield f"{_told(*case)}: was not asked for"


def _blocks(run: _Run) -> Iterator[str]:
    """In each block of a case each backend that did not fail has one sample."""
    cuts = 0
    ends = {(one.shape, one.n_images, one.round): one for one in run.samples}
    failed = {(one.shape, one.backend) for one in run.samples if one.status != "ok"}
    for (shape, size, phase), samples in collected(
        (_case(one), one) for one in _ok(run.samples)
    ).items():
        what, arms = _told(shape, size, phase), {one.backend for one in samples}
        blocks = collected((one.block, one) for one in samples)
        if missing := {*range(1, max(blocks) + 1)} - blocks.keys():
            yield f"{what}: block {min(missing)} is missing"
        for block, own in blocks.items():
            there = {one.backend for one in own}
            if len(there) < len(own):
                yield f"{what}: block {block} has two samples of one backend"
            lacking = {arm for arm in arms - there if (shape, arm) not in failed}
            # What an interruption cuts is the last block of its round, once.
            if lacking and ends[shape, size, own[0].round] is own[-1]:
                cuts += 1
                lacking = set() if cuts <= run.header.resumed else lacking
            if lacking:
                yield f"{what}: block {block} lacks {min(map(str, lacking))}"


def _cells(run: _Run) -> Iterator[str]:
    """All backends find the same cells, and as many as the header says of all images."""
    for sample in run.samples:
        if sample.status == "wrong-result":
            yield f"{_named(sample)}: other cells than the reference ({sample.cause})"
    finding = [one for one in _ok(run.samples) if one.phase in ("process", "pipeline")]
    for (shape, size), own in collected(
        ((one.shape, one.n_images), one) for one in finding
    ).items():
        there = run.images.get(shape)
        of_all = there.objects if there and there.images == size else None
        expected = of_all or own[0].objects
        others = "the header has" if of_all else "others have"
        for sample in own:
            if sample.objects != expected:
                yield f"{_named(sample)}: {sample.objects} objects, where {others} {expected}"


def _times(run: _Run) -> Iterator[str]:
    """Calls follow each other, and take no more CPU time than there is; none is there twice."""
    before = 0.0
    seen: dict[tuple[object, ...], Sample] = {}
    for sample in _ok(run.samples):
        seconds = sample.seconds or 0.0
        if sample.at is not None:
            if sample.at - before < seconds * sample.calls - SLACK:
                calls = "a call" if sample.calls == 1 else f"{sample.calls} calls"
                yield f"{_named(sample)}: {calls} of {seconds:.3g} s can't have ended {sample.at - before:.3g} s after the sample before"
            before = sample.at
        if (sample.cpu_seconds or 0.0) > seconds * run.cpus * (1 + CPU_SLACK) + SLACK:
            yield f"{_named(sample)}: {sample.cpu_seconds:.3g} s of CPU time in {seconds:.3g} s on {run.cpus} CPUs"
        same = seen.setdefault((*_case(sample), sample.backend, sample.seconds), sample)
        if same is not sample:
            yield f"{_named(sample)}: has the very time of block {same.block}, {seconds!r} s"


# One after the other, on a run that can be read.
CHECKS: tuple[Callable[[_Run], Iterator[str]], ...] = (
    _damaged,
    _versions,
    _cases,
    _blocks,
    _cells,
    _times,
)


def _digest(folder: Path, header: Header) -> Iterator[str]:
    if not header.digest:
        yield "line 1: no digest: the run has not ended (`segbench run --resume`), or is of an earlier version"
    elif header.digest != records.digest(folder):
        yield "line 1: the digest is that of other contents: something was changed after the run had ended"


def _summary(folder: Path) -> Iterator[str]:
    """Where a report lies beside the samples, its medians are theirs."""
    path = folder / SUMMARY
    if not path.exists():
        return
    sources = read_run_folder(folder)
    if len(sources) > 1:  # a table each, by other names
        return
    medians = {
        (case.phase, case.backend, str(case.n_images)): case.seconds_median
        for case in cases_in(summarize(sources[0]))
    }
    text = untrusted.read_bytes(path).decode(errors="replace")
    for row in csv.DictReader(io.StringIO(text)):
        phase, backend, size, told = (
            row.get(name) or "" for name in ("phase", "backend", "n_images", "seconds_median")
        )
        median = medians.get((phase, backend, size), math.nan)
        if not _is_same(told, median):
            yield (
                f"{SUMMARY}: {phase} of {size} with {backend} is {told or 'empty'}, and {median:.9g} by "
                "the samples"
            )


def _is_same(told: str, median: float) -> bool:
    """Whether a cell holds a number; nothing where it is not known."""
    try:
        return math.isnan(median) if not told else math.isclose(float(told), median, rel_tol=1e-9)
    except ValueError:
        return False


def _ok(samples: Iterable[Sample]) -> list[Sample]:
    return [one for one in samples if one.status == "ok"]


def _case(sample: Sample) -> tuple[str, int, str]:
    return sample.shape, sample.n_images, sample.phase


def _told(shape: str, size: int, phase: str, backend: str = "") -> str:
    """A case in words."""
    of = f" of {shape}" if shape else ""
    return f"{phase} of {images(size)}{of}" + (f" with {backend}" if backend else "")


def _named(sample: Sample) -> str:
    return f"{_told(*_case(sample), str(sample.backend))}, block {sample.block}"
