"""The cases of a source in numbers: time, ratio to the baseline and what it shows, memory."""

from __future__ import annotations

import dataclasses
import math
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from segbench.backends.registry import BASELINE
from segbench.backends.schedulers import WITH_DASK
from segbench.measure.settings import PHASES
from segbench.report.pairs import pairs_of
from segbench.results.sources import CASE
from segbench.stats import Ratio

if TYPE_CHECKING:
    from segbench.report.pairs import Pairs
    from segbench.results.sources import Source

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A phase of a backend at a number of images, and what its samples sum up to.

    Attributes
    ----------
    phase, backend : str
    n_images : int
    status : str
        ``ok``, or that of the last sample that failed. A backend whose result was wrong anywhere
        has ``wrong-result`` throughout.
    samples : int
        How many were timed; 0 of a wrong backend.
    seconds_median, seconds_low, seconds_high : float
        Middle, lowest and highest sample. These and all numbers below are nan where the status is
        not ok, and where they are not known.
    cpu_seconds_median : float
        CPU time of a call, of the worker with its child processes.
    ratio, ratio_error, ratio_low, ratio_high, rounds : float
        Estimate, error, interval and rounds of the ratio to the baseline, as `segbench.stats.Ratio`
        has them; of the baseline itself it is 1, without an error.
    verdict : str
        That of its pair with the baseline; empty where it is none.
    first_seconds : float
        Median of the first calls.
    objects : float
        Found in the images.
    peak_mib, idle_mib, above_idle_mib : float
        Largest resident size, that of the same worker when it was idle, and what is between them.
    cause : str
        Why the status is not ok.
    """

    phase: str
    backend: str
    n_images: int
    status: str
    samples: int
    seconds_median: float = math.nan
    seconds_low: float = math.nan
    seconds_high: float = math.nan
    cpu_seconds_median: float = math.nan
    ratio: float = math.nan
    ratio_error: float = math.nan
    ratio_low: float = math.nan
    ratio_high: float = math.nan
    rounds: float = 0
    verdict: str = ""
    first_seconds: float = math.nan
    objects: float = math.nan
    peak_mib: float = math.nan
    idle_mib: float = math.nan
    above_idle_mib: float = math.nan
    cause: str = ""

    @property
    def ok(self) -> bool:
        """Whether it has a time."""
        return self.status == "ok"

    @property
    def id(self) -> str:
        """See `case_id`."""
        return case_id(self.phase, self.n_images, self.backend)


SUMMARY_COLUMNS = [field.name for field in dataclasses.fields(Case)]


def summarize(source: Source, pairs: Pairs | None = None) -> pd.DataFrame:
    """One row a case: status, times, ratio to the baseline and what it shows, memory.

    A backend whose result was wrong anywhere has the status ``wrong-result`` and no time
    throughout. Ratios are those of the pairs. Where the samples of a source are not paired, the
    ratio is that of the medians, without an interval or a verdict.

    Parameters
    ----------
    source : Source
        What is summed up.
    pairs : Pairs, optional
        Those of the source, where they have been compared already.

    Returns
    -------
    DataFrame
        With the attributes of a `Case` as columns, `SUMMARY_COLUMNS`; times in seconds, memory in
        MiB. Phases are in their natural order, sizes ascend, backends are as the run listed them.
    """
    pairs = pairs_of(source) if pairs is None else pairs
    cases = [_case(source, key, own) for key, own in grouped(source).items()]
    # What a case holds that did not end well is neither shown nor compared with.
    baselines = {
        (case.phase, case.n_images): case.seconds_median
        for case in cases
        if case.ok and case.backend == str(BASELINE)
    }
    compared = [
        _compared(source, case, pairs, baselines.get((case.phase, case.n_images))) for case in cases
    ]
    return pd.DataFrame([vars(case) for case in compared], columns=SUMMARY_COLUMNS)


def cases_in(summary: pd.DataFrame, *phases: str) -> list[Case]:
    """The cases of a summary, all or those of some phases."""
    rows = summary[summary["phase"].isin(phases)] if phases else summary
    values = rows[SUMMARY_COLUMNS].itertuples(index=False, name=None)
    return [Case(**dict(zip(SUMMARY_COLUMNS, one, strict=True))) for one in values]


def _case(source: Source, key: tuple[str, int, str], samples: pd.DataFrame) -> Case:
    """A case, beside no other."""
    phase, n_images, backend = key
    times = samples[samples["status"] == "ok"]
    failed = samples[samples["status"] != "ok"]
    case = Case(phase=phase, backend=backend, n_images=n_images, status="ok", samples=len(times))
    if backend in source.wrong:
        cause = source.wrong[backend]
        return dataclasses.replace(case, status="wrong-result", samples=0, cause=cause)
    if len(failed):
        last = failed.iloc[-1]
        return dataclasses.replace(case, status=last["status"], cause=last["cause"])
    seconds = times["seconds"]
    # Of several workers the one with the highest peak counts.
    highest = times.sort_values("peak_mib", na_position="first").iloc[-1]
    return dataclasses.replace(
        case,
        seconds_median=seconds.median(),
        seconds_low=seconds.min(),
        seconds_high=seconds.max(),
        cpu_seconds_median=times["cpu_seconds"].dropna().median(),
        first_seconds=times["first_seconds"].dropna().median(),
        objects=times["objects"].iloc[0],
        peak_mib=highest["peak_mib"],
        idle_mib=highest["idle_mib"],
        above_idle_mib=highest["peak_mib"] - highest["idle_mib"],
    )


def _compared(source: Source, case: Case, pairs: Pairs, baseline: float | None) -> Case:
    """A case beside the baseline, whose median time is given where it has one."""
    if not case.ok or baseline is None:
        return case
    if case.backend == str(BASELINE) or not source.paired:
        return dataclasses.replace(case, ratio=case.seconds_median / baseline)
    pair = pairs[case.phase, case.n_images, case.backend, str(BASELINE)]
    ratio = pair.ratio
    return dataclasses.replace(
        case,
        ratio=ratio.estimate,
        ratio_error=ratio.error,
        ratio_low=ratio.low,
        ratio_high=ratio.high,
        rounds=ratio.rounds,
        verdict="" if math.isnan(ratio.estimate) else pair.verdict,
    )


def grouped(source: Source) -> dict[tuple[str, int, str], pd.DataFrame]:
    """Samples by phase, number of images and backend, in the order of `summarize`."""
    groups = _in_order(source).groupby(CASE, sort=False)
    keys = groups[CASE].head(1).itertuples(index=False, name=None)
    return {
        (phase, int(size), name): own
        for (phase, size, name), (_, own) in zip(keys, groups, strict=True)
    }


def _in_order(source: Source, *columns: str) -> pd.DataFrame:
    """All samples by phase, size, backend and columns."""
    samples = source.samples
    first = {"phase": PHASES, "backend": listed_in(source, "backends", str)}

    def ranks(column: pd.Series[Any]) -> pd.Series[Any]:
        if column.name not in first:
            return column
        ordered = dict.fromkeys([*first[column.name], *column.unique()])
        return column.map({one: rank for rank, one in enumerate(ordered)})

    return samples.sort_values([*CASE, *columns], kind="stable", key=ranks, ignore_index=True)


def samples_frame(source: Source) -> pd.DataFrame:
    """All samples as they are in the source, those of a case together and by block.

    Returns
    -------
    DataFrame
        The fields of a :class:`segbench.results.records.Sample`, after the `case_id` as ``case``.
    """
    frame = _in_order(source, "block")
    names = [case_id(*case) for case in zip(*(frame[name] for name in CASE), strict=True)]
    frame = frame.drop(columns="backend")
    frame.insert(0, "case", names)
    return frame


def listed_in(source: Source, name: str, kind: type[T]) -> list[T]:
    """What a setting lists of a kind; nothing where a file has something else in its place."""
    values = source.settings.get(name)
    return [one for one in values if isinstance(one, kind)] if isinstance(values, list) else []


def ratio_of(case: Case | pd.Series[Any]) -> Ratio:
    """The ratio to the baseline of a case that has one, or of its row in a summary."""
    rounds = int(case.rounds)
    return Ratio(estimate=case.ratio, error=case.ratio_error, rounds=rounds, freedom=rounds - 1)


def scheduler_of(backend: str) -> str:
    """The third part of a backend's name, before the batch; other programs' may hold more."""
    return backend.rstrip("/0123456789").rpartition("/")[2]


def uses_dask(backend: str) -> bool:
    """Whether one of Dask's schedulers runs a backend."""
    return scheduler_of(backend) in WITH_DASK


def case_id(phase: str, n_images: int, backend: str) -> str:
    """A name for a case that no other case of a source has, of letters that an address may hold."""
    own = f"{phase}-{n_images}-{backend}"
    plain = re.sub(r"[^A-Za-z0-9_-]", ".", own)
    # Where the dots stand for nothing but the slashes of a backend's name, no other case is like it.
    if phase in PHASES and plain.count(".") == own.count("/") == 2:
        return f"case-{plain}"
    return f"case-{plain}.{zlib.crc32(own.encode(errors='backslashreplace')):08x}"
