"""Tables of a report: one row a case for programs, rows and columns of text for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from segbench.backends.registry import BASELINE
from segbench.report import presentation
from segbench.runfile import STATUSES
from segbench.stats import Spread, paired_ratio, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segbench.results import Source

PHASES = {
    "open": "a handle on the files, nothing decoded",
    "read": "all pixels in memory",
    "process": "pixels in memory to a table of cells",
    "pipeline": "files to a table of cells",
}

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
    "objects",
    "peak_mib",
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
    """

    name: str
    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def summarize(source: Source) -> pd.DataFrame:
    """One row a case: status, times, ratio to the baseline.

    A backend whose result was wrong anywhere has the status ``wrong-result`` and no time
    throughout. Ratios are formed within blocks; where the samples of a source are not paired, the
    ratio is that of the medians, without a spread.

    Returns
    -------
    DataFrame
        With the columns `SUMMARY_COLUMNS`.
    """
    samples = source.samples
    wrong = samples[samples["status"] == "wrong-result"].drop_duplicates("backend")
    wrong_cause = dict(zip(wrong["backend"], wrong["cause"], strict=True))
    cases = samples.groupby(["phase", "n_images", "backend"], sort=False)
    timed = {key: case[case["status"] == "ok"].set_index("block") for key, case in cases}
    against = {} if str(BASELINE) in wrong_cause else timed
    rows = []
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
            row |= _columns("seconds", spread(times["seconds"]))
            row |= _columns(
                "ratio", _ratio(times, against.get((phase, n_images, str(BASELINE))), source)
            )
            row["objects"] = times["objects"].iloc[0]
            row["peak_mib"] = times["peak_mib"].max()
        rows.append(row)
    return _in_order(pd.DataFrame(rows, columns=SUMMARY_COLUMNS), source)


def _in_order(summary: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Phases in their natural order, sizes ascending, backends as the run listed them."""
    listed = [*source.settings.get("backends", ()), *summary["backend"]]
    ranks = {
        "phase": {phase: rank for rank, phase in enumerate(PHASES)},
        "backend": {backend: rank for rank, backend in enumerate(dict.fromkeys(listed))},
    }
    return summary.sort_values(
        ["phase", "n_images", "backend"],
        key=lambda column: column.map(ranks[column.name]) if column.name in ranks else column,
        ignore_index=True,
    )


def _columns(name: str, value: Spread | None) -> dict[str, float]:
    if value is None:
        return {}
    return {f"{name}_median": value.median, f"{name}_low": value.low, f"{name}_high": value.high}


def _ratio(times: pd.DataFrame, baseline: pd.DataFrame | None, source: Source) -> Spread | None:
    if baseline is None or baseline.empty:
        return None
    if not source.paired:
        ratio = float(times["seconds"].median() / baseline["seconds"].median())
        return Spread(ratio, float("nan"), float("nan"), 1)
    return _within_blocks(times["seconds"], baseline["seconds"])


def _within_blocks(seconds: pd.Series[float], other: pd.Series[float]) -> Spread | None:
    """Spread of the ratios in the blocks that both have; both are indexed by block."""
    blocks = seconds.index.intersection(other.index)
    return None if blocks.empty else paired_ratio(seconds.loc[blocks], other.loc[blocks])


def format_seconds(seconds: float) -> str:
    """Three significant digits in the unit that suits them."""
    seconds = float(f"{seconds:.2e}")  # first, since 999.9 ms are 1.00 s
    for unit, scale in (("s", 1), ("ms", 1e3), ("µs", 1e6), ("ns", 1e9)):
        if seconds * scale >= 1 or unit == "ns":
            break
    value = seconds * scale
    decimals = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{decimals}f} {unit}"


def format_ratio(row: pd.Series[Any]) -> str:
    """Ratio to the baseline with its lowest and highest."""
    if pd.isna(row["ratio_median"]):
        return "–"
    text = f"{row['ratio_median']:.2f}×"
    if pd.isna(row["ratio_low"]) or row["ratio_low"] == row["ratio_high"] == 1:
        return text
    return f"{text} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f})"


def phase_tables(source: Source, summary: pd.DataFrame) -> list[Table]:
    """For each phase a table of the times and one of the ratios to the baseline."""
    tables = []
    for phase, meaning in PHASES.items():
        rows = summary[summary["phase"] == phase]
        if rows.empty:
            continue
        sizes = sorted(rows["n_images"].unique())
        heads = ("Backend", *(images(size) for size in sizes))
        times = _pivot(rows, sizes, lambda row: format_seconds(row["seconds_median"]))
        tables.append(
            Table(
                f"{phase}-times",
                f"{phase}: time",
                f"{phase}: {meaning}. Median of the samples.",
                heads,
                times,
            )
        )
        spread_note = (
            "Median of the ratios formed within a block, with the lowest and the highest."
            if source.paired
            else "Ratio of two medians: the samples were not taken side by side, so it has no spread."
        )
        ratios = _pivot(rows, sizes, format_ratio)
        tables.append(
            Table(
                f"{phase}-ratios",
                f"{phase}: time as a multiple of {BASELINE}",
                f"Below 1 is faster than the baseline. {spread_note}",
                heads,
                ratios,
            )
        )
    return tables


def images(count: int) -> str:
    """`count` with its noun."""
    return f"{count} image" if count == 1 else f"{count} images"


def presentation_table(summary: pd.DataFrame) -> Table | None:
    """The presentation's read table, with this run's `open` and `read` under its figures."""
    rows: list[tuple[str, ...]] = []
    sizes = presentation.SIZES
    for name, (reader, milliseconds) in presentation.READ_TABLE.items():
        measured = {phase: _reader_times(summary, phase, reader) for phase in ("open", "read")}
        if not any(measured.values()):
            continue
        rows.append((name, "presentation", *(f"{value:.3f} ms" for value in milliseconds)))
        for phase, times in measured.items():
            cells = (f"{times[size] * 1e3:.3f} ms" if size in times else "–" for size in sizes)
            rows.append((name, f"this run, {phase}", *cells))
    if not rows:
        return None
    return Table(
        "presentation-read",
        "Performance Comparison of Reading Images",
        "The rows and columns of a presentation of 2022, Cell Image Pre-Processing with Dask Image, that "
        "this benchmark replicates. Opening is not reading: open decodes nothing (for Dask "
        "it builds the task graph), read has all pixels in memory. The presentation's Skimage row is "
        "that of a lazy collection; 500 images can't be decoded in 4.9 ms. Its machine and library "
        "versions were other ones: compare how the figures grow along a row, not the milliseconds.",
        ("Process", "Source", *(images(size) for size in sizes)),
        tuple(rows),
    )


def _reader_times(summary: pd.DataFrame, phase: str, reader: str) -> dict[int, float]:
    """Median seconds by size, of the first backend with this reader under its usual scheduler."""
    ok = summary[(summary["phase"] == phase) & (summary["status"] == "ok")]
    own = ok[ok["backend"].str.startswith(f"{reader}/")]
    usual = own[own["backend"].str.endswith(("/serial", "/threads"))]
    chosen = usual if len(usual) else own
    first = chosen[chosen["backend"] == chosen["backend"].iloc[0]] if len(chosen) else chosen
    return dict(zip(first["n_images"], first["seconds_median"], strict=True))


def left_out_table(source: Source, summary: pd.DataFrame) -> Table | None:
    """What has no figure, and why."""
    failed = summary[summary["status"] != "ok"]
    # A backend that is out is so in every phase and at every larger size: one row says it.
    together = ["backend", "status", "cause"]
    by_size = failed.groupby([*together, "n_images"], sort=False, as_index=False)
    phases = by_size.agg(phase=("phase", ", ".join))
    by_phases = phases.groupby([*together, "phase"], sort=False, as_index=False)
    rows = [
        (row["backend"], row["phase"], _sizes(row["n_images"]), row["status"], row["cause"])
        for _, row in by_phases.agg(n_images=("n_images", list)).iterrows()
    ]
    if left_out := source.settings.get("sizes_left_out"):
        held = images(source.dataset["images"]) if "images" in source.dataset else "fewer"
        rows.append(("all", "all", _sizes(left_out), "left out", f"the dataset holds {held}"))
    if not rows:
        return None
    meanings = "; ".join(
        f"{status}: {STATUSES[status]}" for status in sorted(set(failed["status"]))
    )
    return Table(
        "left-out",
        "Left out, and why",
        meanings,
        ("Backend", "Phase", "Size", "Status", "Cause"),
        tuple(rows),
    )


def _sizes(sizes: Sequence[int]) -> str:
    *others, last = sizes
    return ", ".join([*(str(size) for size in others), images(last)])


def memory_table(summary: pd.DataFrame) -> Table | None:
    """Peak memory of the pipeline."""
    rows = summary[(summary["phase"] == "pipeline") & summary["peak_mib"].notna()]
    if rows.empty:
        return None
    sizes = sorted(rows["n_images"].unique())
    return Table(
        "pipeline-memory",
        "pipeline: peak memory",
        "Largest resident size of the worker in any sample, with its libraries and, where segbench "
        "measured, the sum of its child processes'.",
        ("Backend", *(images(size) for size in sizes)),
        _pivot(rows, sizes, lambda row: f"{row['peak_mib']:.0f} MiB"),
    )


def ratio_of(source: Source, phase: str, n_images: int, backend: str, other: str) -> Spread | None:
    """Spread of the within-block ratios of one backend's times to another's; None without a pair."""
    samples = source.samples
    case = samples[(samples["phase"] == phase) & (samples["n_images"] == n_images)]
    seconds = case.set_index("block").groupby("backend")["seconds"]
    return _within_blocks(seconds.get_group(backend), seconds.get_group(other))


def truth_table(source: Source) -> Table | None:
    """How near the reference is to the true cells, where they are known."""
    truth = source.dataset.get("truth")
    if not truth:
        return None
    return Table(
        "truth",
        "The reference against the true cells",
        "Mean over the images. The adapted Rand error is 0 where every cell is found as it is. It "
        "belongs to the pipeline, not to a backend: all that are timed find the same.",
        ("Images", "Adapted Rand error", "Precision", "Recall", "True cells", "Objects found"),
        (
            (
                str(truth["images"]),
                f"{truth['rand_error']:.3f}",
                f"{truth['rand_precision']:.3f}",
                f"{truth['rand_recall']:.3f}",
                str(truth["true_objects"]),
                str(truth["found_objects"]),
            ),
        ),
    )


def environment_table(source: Source) -> Table:
    """Machine, versions, settings and dataset, as the source has them."""
    rows = [
        (part, key.replace("_", " "), _value(value))
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
    )


def _value(value: Any) -> str:
    if isinstance(value, dict):
        inner = list(value.values())
        # Such as the thread pools of each backend.
        if (
            len(inner) > 1
            and isinstance(inner[0], list | tuple)
            and inner.count(inner[0]) == len(inner)
        ):
            return f"{_value(inner[0])} (all {len(inner)})"
        return "; ".join(f"{key}: {_value(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_value(inner) for inner in value)
    return str(value)


def _pivot(rows: pd.DataFrame, sizes: list[int], text: Any) -> tuple[tuple[str, ...], ...]:
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
