"""Tables of a report: one row a case for programs, rows and columns of text for people."""

from __future__ import annotations

import math
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import pandas as pd

from segbench.backends.registry import BASELINE
from segbench.backends.schedulers import WITH_DASK
from segbench.measure.settings import PHASES
from segbench.report.cells import (
    format_all_seconds,
    format_finding,
    format_multiple,
    format_seconds,
    images,
)
from segbench.results.records import STATUSES
from segbench.results.sources import by_block
from segbench.stats import MARGIN, MIN_BLOCKS, Ratio, paired_ratio, spread, verdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from segbench.results.sources import Source

T = TypeVar("T")

# In place of a status: a case that has no sample, not even one that failed.
NOT_REACHED = "not tried"

SUMMARY_COLUMNS = [
    "phase",
    "backend",
    "n_images",
    "status",
    "samples",
    "seconds_median",
    "seconds_low",
    "seconds_high",
    "ratio_median",
    "ratio_low",
    "ratio_high",
    "ratio_p",
    "verdict",
    "first_seconds",
    "objects",
    "peak_mib",
    "idle_mib",
    "above_idle_mib",
    "cause",
]


@dataclass(frozen=True)
class Table:
    """A table for people.

    Attributes
    ----------
    name : str
        Of its CSV file.
    title, note : str
        Above and below it.
    columns : tuple of str
        Headings.
    rows : tuple of tuple of str
        The first of each is the row's heading.
    layout : {'figures', 'ratios', 'dense', 'words'}
        What the cells hold, for the page: in `ratios` a cell may end with a verdict, in `dense`
        with a share in brackets.
    cases : tuple of tuple of str
        For each cell of `rows` the `case_id` of the case whose samples it sums up, empty where it
        sums up none; no rows at all where nothing of the table does.
    row_ids : tuple of str
        For each row what `cases` refer to it by; empty where they do not.
    """

    name: str
    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    layout: Literal["figures", "ratios", "dense", "words"] = "figures"
    cases: tuple[tuple[str, ...], ...] = ()
    row_ids: tuple[str, ...] = ()


def summarize(source: Source) -> pd.DataFrame:
    """One row a case: status, times, ratio to the baseline and what it shows, memory.

    A backend whose result was wrong anywhere has the status ``wrong-result`` and no time
    throughout. Ratios are formed within blocks; their ends are those of the 95% interval, and the
    verdicts are corrected for all comparisons of the source. Where the samples of a source are not
    paired, the ratio is that of the medians, without an interval or a verdict.

    Returns
    -------
    DataFrame
        With the columns `SUMMARY_COLUMNS`; times in seconds, memory in MiB.
    """
    samples = source.samples
    wrong_cause = wrong_backends(source)
    cases = samples.groupby(["phase", "n_images", "backend"], sort=False)
    timed = {key: case[case["status"] == "ok"].set_index("block") for key, case in cases}
    # What a case holds that did not end well is neither shown nor compared with.
    whole = {key for key, case in cases if case["status"].eq("ok").all()}
    against = {key: timed[key] for key in whole if str(BASELINE) not in wrong_cause}
    rows: list[dict[str, Any]] = []
    ratios: dict[int, Ratio] = {}  # by row
    for key, case in cases:
        phase, n_images, backend = key
        row: dict[str, Any] = {"phase": phase, "backend": backend, "n_images": n_images}
        failed = case[case["status"] != "ok"]
        times = timed[key]
        if backend in wrong_cause:
            row |= {"status": "wrong-result", "samples": 0, "cause": wrong_cause[backend]}
        elif len(failed):
            last = failed.iloc[-1]
            row |= {"status": last["status"], "samples": len(times), "cause": last["cause"]}
        else:
            row |= {"status": "ok", "samples": len(times), "cause": ""}
            seconds = spread(times["seconds"])
            row |= {
                "seconds_median": seconds.median,
                "seconds_low": seconds.low,
                "seconds_high": seconds.high,
                "first_seconds": times["first_seconds"].median(),
                "objects": times["objects"].iloc[0],
            }
            row |= _memory(times)
            ratio = _ratio(times, against.get((phase, n_images, str(BASELINE))), source)
            if ratio:
                row |= {
                    "ratio_median": ratio.median,
                    "ratio_low": ratio.low,
                    "ratio_high": ratio.high,
                    "ratio_p": ratio.p,
                }
                if source.paired and backend != str(BASELINE):
                    ratios[len(rows)] = ratio
        rows.append(row)
    summary = pd.DataFrame(rows, columns=SUMMARY_COLUMNS)
    summary["verdict"] = ""
    summary.loc[list(ratios), "verdict"] = verdicts(list(ratios.values()))
    return _in_order(summary, source, "backend")


def wrong_backends(source: Source) -> dict[str, str]:
    """The backends whose result was wrong anywhere, and the cause."""
    samples = source.samples
    wrong = samples[samples["status"] == "wrong-result"].drop_duplicates("backend")
    return dict(zip(wrong["backend"], wrong["cause"], strict=True))


def _in_order(frame: pd.DataFrame, source: Source, *columns: str) -> pd.DataFrame:
    """By phase in their natural order, size, and columns; backends are as the run listed them."""
    listed = [*listed_in(source, "backends", str), *frame["backend"]]
    ranks = {
        "phase": {
            phase: rank for rank, phase in enumerate(dict.fromkeys([*PHASES, *frame["phase"]]))
        },
        "backend": {backend: rank for rank, backend in enumerate(dict.fromkeys(listed))},
    }
    return frame.sort_values(
        ["phase", "n_images", *columns],
        kind="stable",
        key=lambda column: column.map(ranks[column.name]) if column.name in ranks else column,
        ignore_index=True,
    )


def listed_in(source: Source, name: str, kind: type[T]) -> list[T]:
    """What a setting lists of a kind; nothing where a file has something else in its place."""
    values = source.settings.get(name)
    return [one for one in values if isinstance(one, kind)] if isinstance(values, list) else []


def _memory(times: pd.DataFrame) -> dict[str, float]:
    """Peak of a case, and how far it is above what the worker holds when it does nothing."""
    highest = times.sort_values("peak_mib", na_position="first").iloc[-1]
    peak, idle = highest["peak_mib"], highest["idle_mib"]
    return {"peak_mib": peak, "idle_mib": idle, "above_idle_mib": peak - idle}


def _ratio(times: pd.DataFrame, baseline: pd.DataFrame | None, source: Source) -> Ratio | None:
    if baseline is None or baseline.empty:
        return None
    if not source.paired:
        ratio = float(times["seconds"].median() / baseline["seconds"].median())
        return Ratio(ratio, math.nan, math.nan, 1, math.nan)
    if times is baseline:
        return Ratio(1.0, 1.0, 1.0, len(times), math.nan)
    return within_blocks(times["seconds"], baseline["seconds"])


def ratio_of(row: pd.Series[Any]) -> Ratio:
    """The ratio to the baseline of a row of the summary that has one."""
    low, high = row["ratio_low"], row["ratio_high"]
    return Ratio(row["ratio_median"], low, high, int(row["samples"]), row["ratio_p"])


def scheduler_of(backend: str) -> str:
    """The last part of a backend's name."""
    return backend.rpartition("/")[2]


def uses_dask(backend: str) -> bool:
    """Whether one of Dask's schedulers runs a backend."""
    return scheduler_of(backend) in WITH_DASK


def within_blocks(seconds: pd.Series[float], other: pd.Series[float]) -> Ratio | None:
    """Ratio in the blocks that both have; None without one. Both are indexed by block."""
    own, others = by_block(seconds), by_block(other)
    _, here, there = np.intersect1d(own.index, others.index, return_indices=True)
    return paired_ratio(own.to_numpy()[here], others.to_numpy()[there]) if len(here) else None


def format_ratio(row: pd.Series[Any]) -> str:
    """Ratio to the baseline, its interval, and what that shows."""
    if pd.isna(row["ratio_median"]):
        return "–"
    if row["backend"] == str(BASELINE):
        return format_multiple(row["ratio_median"])
    return format_finding(ratio_of(row), row["verdict"])


def phase_tables(source: Source, summary: pd.DataFrame) -> list[Table]:
    """For each phase a table of the times and one of the ratios to the baseline."""
    tables = []
    for phase, meaning in PHASES.items():
        rows = summary[summary["phase"] == phase]
        if rows.empty:
            continue
        sizes = sorted(rows["n_images"].unique())
        heads = ("Backend", *(images(size) for size in sizes))
        times = pivot(rows, sizes, lambda row: format_seconds(row["seconds_median"]))
        tables.append(
            Table(
                f"{phase}-times",
                f"{phase}: time",
                f"{phase}: {meaning}. Median of the samples.",
                heads,
                times,
                cases=pivot_cases(rows, sizes),
            )
        )
        tables.append(
            Table(
                f"{phase}-ratios",
                f"{phase}: time as a multiple of {BASELINE}",
                f"Below 1 is faster than the baseline. {_ratio_note(source, summary)}",
                heads,
                pivot(rows, sizes, format_ratio),
                layout="ratios",
                cases=pivot_cases(rows, sizes),
            )
        )
    return tables


def _ratio_note(source: Source, summary: pd.DataFrame) -> str:
    if not source.paired:
        return (
            "Ratio of two medians: the samples were not taken side by side, so it has no interval "
            "and shows no difference for certain."
        )
    return (
        "Median of the ratios formed within a block; in brackets its 95% interval, for which it "
        f"takes {MIN_BLOCKS} blocks. Faster and slower: by more than {MARGIN:.0%} and by more than "
        f"chance explains, corrected for the {comparisons(summary)} comparisons of this source. "
        f"No difference: the interval lies within {MARGIN:.0%} of 1. Undecided: neither was shown."
    )


def comparisons(summary: pd.DataFrame) -> int:
    """How many comparisons with the baseline the verdicts are corrected for."""
    return int(((summary["verdict"] != "") & summary["ratio_p"].notna()).sum())


def left_out_table(source: Source, summary: pd.DataFrame) -> Table | None:
    """What has no figure, and why."""
    failed = summary[summary["status"] != "ok"]
    # A backend that is out is so in every phase and at every larger size: one row says it.
    together = ["backend", "status", "cause"]
    by_size = failed.groupby([*together, "n_images"], sort=False, as_index=False)
    phases = by_size.agg(phase=("phase", ", ".join))
    by_phases = phases.groupby([*together, "phase"], sort=False, as_index=False)
    rows: list[tuple[str, ...]] = [
        (row["backend"], row["phase"], sizes_in_words(row["n_images"]), row["status"], row["cause"])
        for _, row in by_phases.agg(n_images=("n_images", list)).iterrows()
    ]
    rows.extend(_not_reached(source))
    if left_out := listed_in(source, "sizes_left_out", int):
        count = source.dataset.get("images")
        held = images(count) if isinstance(count, int) else "fewer"
        rows.append(
            ("all", "all", sizes_in_words(left_out), "left out", f"the dataset holds {held}")
        )
    if not rows:
        return None
    told = {row[3] for row in rows} & STATUSES.keys()
    meanings = "; ".join(f"{status}: {STATUSES[status]}" for status in sorted(told))
    if meanings:
        meanings += (
            ". A backend that fails in one phase is out at that size: what it had finished there in "
            "other phases is neither shown nor ranked."
        )
    return Table(
        "left-out",
        "Left out, and why",
        meanings,
        ("Backend", "Phase", "Size", "Status", "Cause"),
        tuple(rows),
        layout="words",
    )


def _not_reached(source: Source) -> Iterable[tuple[str, ...]]:
    """Rows on what the settings ask for and no sample is of, though none says why."""
    samples = source.samples
    there = set(zip(samples["backend"], samples["phase"], samples["n_images"], strict=True))
    asked = (listed_in(source, "phases", str), listed_in(source, "sizes", int))
    for backend in listed_in(source, "backends", str):
        phases: dict[tuple[int, ...], list[str]] = {}
        for phase in asked[0]:
            sizes = tuple(size for size in asked[1] if (backend, phase, size) not in there)
            if sizes:
                phases.setdefault(sizes, []).append(phase)
        for sizes, own in phases.items():
            words = ", ".join(own), sizes_in_words(sizes)
            yield (backend, *words, NOT_REACHED, "the run ended before")


def sizes_in_words(sizes: Sequence[int]) -> str:
    """Numbers of images, with their noun after the last."""
    *others, last = sizes
    before = f"{', '.join(str(size) for size in others)} and " if others else ""
    return f"{before}{images(last)}"


def memory_table(summary: pd.DataFrame) -> Table | None:
    """Peak memory of the pipeline, above that of an idle worker where it is known."""
    rows = summary[summary["phase"] == "pipeline"]
    if rows["peak_mib"].isna().all():
        return None
    sizes = sorted(rows["n_images"].unique())
    heads = tuple(images(size) for size in sizes)
    if rows["idle_mib"].isna().all():
        return Table(
            "pipeline-memory",
            "pipeline: peak memory",
            "Largest resident size of the worker, with its libraries and, where segbench measured, "
            "the sum of its child processes'.",
            ("Backend", *heads),
            pivot(rows, sizes, lambda row: _mib(row["peak_mib"])),
            cases=pivot_cases(rows, sizes),
        )
    idle = rows.groupby("backend")["idle_mib"].min()
    above = pivot(rows, sizes, lambda row: _mib(row["above_idle_mib"]))
    return Table(
        "pipeline-memory",
        "pipeline: peak memory above that of an idle worker",
        "How far the resident size of the worker and of its child processes rose, at the first call "
        "of a size, above what they held when they had started and segmented one image: libraries "
        "and pools. Of two rounds the higher one counts.",
        ("Backend", "Idle worker", *heads),
        tuple((backend, _mib(idle[backend]), *cells) for backend, *cells in above),
        cases=tuple(("", *cells) for cells in pivot_cases(rows, sizes)),
    )


def _mib(size: float) -> str:
    return "–" if math.isnan(size) else f"{size:.0f} MiB"


def truth_table(source: Source) -> Table | None:
    """How near the reference is to the true cells, where they are known."""
    truth = source.dataset.get("truth")
    if not isinstance(truth, dict) or not truth:
        return None
    errors = ("rand_error", "rand_precision", "rand_recall")
    return Table(
        "truth",
        "The reference against the true cells",
        "Mean over the images. The adapted Rand error is 0 where every cell is found as it is. It "
        "belongs to the pipeline, not to a backend: all that are timed find the same.",
        ("Images", "Adapted Rand error", "Precision", "Recall", "True cells", "Objects found"),
        (
            (
                format_value(truth.get("images", "–")),
                *(_decimals(truth.get(name, "–")) for name in errors),
                format_value(truth.get("true_objects", "–")),
                format_value(truth.get("found_objects", "–")),
            ),
        ),
    )


def _decimals(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else format_value(value)


def environment_table(source: Source) -> Table:
    """Machine, versions, settings and dataset, as the source has them."""
    rows = [
        (part, key.replace("_", " "), format_value(value))
        for part in ("machine", "versions", "settings", "dataset")
        for key, value in getattr(source, part).items()
        if key != "truth"
    ]
    return Table(
        "environment",
        "Environment",
        f"Started {source.started}.",
        ("Part", "What", "Value"),
        tuple(rows),
        layout="words",
    )


def format_value(value: Any) -> str:
    """A value of a header, whatever JSON held."""
    if isinstance(value, dict):
        inner = list(value.values())
        # Such as the thread pools of each backend.
        if (
            len(inner) > 1
            and isinstance(inner[0], list | tuple)
            and inner.count(inner[0]) == len(inner)
        ):
            return f"{format_value(inner[0])} (all {len(inner)})"
        return "; ".join(f"{key}: {format_value(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(format_value(inner) for inner in value)
    return "–" if value is None else str(value)


def pivot(
    rows: pd.DataFrame, sizes: Sequence[int], text: Callable[[pd.Series[Any]], str]
) -> tuple[tuple[str, ...], ...]:
    """A line a backend and a cell a size; a case that is not ok is shown by its status."""
    lines = []
    for backend in rows["backend"].unique():
        own = rows[rows["backend"] == backend].set_index("n_images")
        cells = []
        for size in sizes:
            if size not in own.index:
                cells.append("–")
                continue
            row = own.loc[size]
            cells.append(text(row) if row["status"] == "ok" else row["status"])
        lines.append((backend, *cells))
    return tuple(lines)


def pivot_cases(rows: pd.DataFrame, sizes: Sequence[int]) -> tuple[tuple[str, ...], ...]:
    """For each cell of a `pivot` the case that it is of."""
    lines = []
    for backend in rows["backend"].unique():
        own = rows[rows["backend"] == backend]
        phases = dict(zip(own["n_images"], own["phase"], strict=True))
        cells = (case_id(phases[size], size, backend) if size in phases else "" for size in sizes)
        lines.append(("", *cells))
    return tuple(lines)


def case_id(phase: str, n_images: int, backend: str) -> str:
    """A name for a case that no other case of a source has, of letters that an address may hold."""
    own = f"{phase}-{n_images}-{backend}"
    plain = re.sub(r"[^A-Za-z0-9_-]", ".", own)
    # Where the dots stand for nothing but the slashes of a backend's name, no other case is like it.
    if phase in PHASES and plain.count(".") == own.count("/") == 2:
        return f"case-{plain}"
    return f"case-{plain}.{zlib.crc32(own.encode(errors='backslashreplace')):08x}"


def samples_frame(source: Source) -> pd.DataFrame:
    """All samples as they are in the source, those of a case together and by block.

    Returns
    -------
    DataFrame
        The fields of a :class:`segbench.results.records.Sample`, after the `case_id` as ``case``.
    """
    frame = _in_order(source.samples, source, "backend", "block")
    names = [
        case_id(*case)
        for case in zip(frame["phase"], frame["n_images"], frame["backend"], strict=True)
    ]
    frame = frame.drop(columns="backend")
    frame.insert(0, "case", names)
    return frame


def cases_table(source: Source) -> Table | None:
    """Every sample of every case, in short, and where its other figures are."""
    ordered = _in_order(source.samples, source, "backend", "block")
    if ordered.empty:
        return None
    wrong = wrong_backends(source)
    rows, ids, line = [], [], 2  # the file's first line has the names of the columns
    for _, case in ordered.groupby(["phase", "n_images", "backend"], sort=False):
        phase, n_images, backend = (case[name].iloc[0] for name in ("phase", "n_images", "backend"))
        last = line + len(case) - 1
        lines = f"{line}" if last == line else f"{line} to {last}"
        words = "not shown: its result was wrong" if backend in wrong else _in_words(case)
        rows.append((backend, phase, images(n_images), lines, words))
        ids.append(case_id(phase, n_images, backend))
        line = last + 1
    return Table(
        "cases",
        "The samples behind every number",
        "Times in the order of the blocks. Lines: of samples.csv among the tables, which has all that "
        "is known of each sample.",
        ("Backend", "Phase", "Size", "Lines", "Times of a call"),
        tuple(rows),
        layout="words",
        row_ids=tuple(ids),
    )


def _in_words(case: pd.DataFrame) -> str:
    """Times of the samples that are ok, and how the others ended."""
    ok = case["status"] == "ok"
    times = list(case["seconds"][ok])
    failed = [
        f"{status} in block {block}" if block else str(status)
        for status, block in zip(case["status"][~ok], case["block"][~ok], strict=True)
    ]
    return "; ".join([*([format_all_seconds(times)] if times else []), *failed])
