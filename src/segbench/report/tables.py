"""Tables of a report: one row a case for programs, rows and columns of text for people."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import pandas as pd

from segbench.backends.registry import BASELINE
from segbench.report import presentation
from segbench.runfile import STATUSES
from segbench.stats import MARGIN, MIN_BLOCKS, Ratio, paired_ratio, spread, verdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from segbench.results import Source

T = TypeVar("T")

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
    layout : {'figures', 'ratios', 'parts', 'words'}
        What the cells hold, for the page: in `ratios` a cell may end with a verdict, in `parts`
        with a share in brackets.
    """

    name: str
    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    layout: Literal["figures", "ratios", "parts", "words"] = "figures"


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
    against = {} if str(BASELINE) in wrong_cause else timed
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
    return _in_order(summary, source)


def wrong_backends(source: Source) -> dict[str, str]:
    """The backends whose result was wrong anywhere, and the cause."""
    samples = source.samples
    wrong = samples[samples["status"] == "wrong-result"].drop_duplicates("backend")
    return dict(zip(wrong["backend"], wrong["cause"], strict=True))


def _in_order(summary: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Phases in their natural order, sizes ascending, backends as the run listed them."""
    listed = [*listed_in(source, "backends", str), *summary["backend"]]
    ranks = {
        "phase": {phase: rank for rank, phase in enumerate(PHASES)},
        "backend": {backend: rank for rank, backend in enumerate(dict.fromkeys(listed))},
    }
    return summary.sort_values(
        ["phase", "n_images", "backend"],
        key=lambda column: column.map(ranks[column.name]) if column.name in ranks else column,
        ignore_index=True,
    )


def listed_in(source: Source, name: str, kind: type[T]) -> list[T]:
    """What a setting lists of a kind; nothing where a file has something else in its place."""
    values = source.settings.get(name)
    return [one for one in values if isinstance(one, kind)] if isinstance(values, list) else []


def _memory(times: pd.DataFrame) -> dict[str, float]:
    """Peak of a case, and how far it is above what the worker held before the call."""
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


def within_blocks(seconds: pd.Series[float], other: pd.Series[float]) -> Ratio | None:
    """Ratio in the blocks that both have; None without one. Both are indexed by block."""
    both = [_by_block(seconds), _by_block(other)]
    pairs = pd.concat(both, axis="columns", join="inner").to_numpy()
    return paired_ratio(pairs[:, 0], pairs[:, 1]) if len(pairs) else None


def times_by_block(source: Source, phase: str, n_images: int) -> dict[str, pd.Series[float]]:
    """Seconds of each backend's samples of a case that are ok, indexed by block."""
    samples = source.samples
    case = samples[
        (samples["phase"] == phase)
        & (samples["n_images"] == n_images)
        & (samples["status"] == "ok")
    ]
    return {
        str(backend): _by_block(own.set_index("block")["seconds"])
        for backend, own in case.groupby("backend", sort=False)
    }


def _by_block(seconds: pd.Series[float]) -> pd.Series[float]:
    """One value a block, ascending: of a block that a file holds twice, the last counts."""
    return seconds.groupby(level=0).last()


def format_seconds(seconds: float) -> str:
    """Three significant digits in the unit that suits them."""
    if seconds == 0:
        return "0 s"
    seconds = float(f"{seconds:.2e}")  # first, since 999.9 ms are 1.00 s
    for unit, scale in (("s", 1), ("ms", 1e3), ("µs", 1e6), ("ns", 1e9)):
        if seconds * scale >= 1 or unit == "ns":
            break
    value = seconds * scale
    decimals = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{decimals}f} {unit}"


def format_ratio(row: pd.Series[Any]) -> str:
    """Ratio to the baseline, its interval, and what that shows."""
    if pd.isna(row["ratio_median"]):
        return "–"
    text = f"{_times(row['ratio_median'])}×"
    if pd.notna(row["ratio_low"]) and row["backend"] != str(BASELINE):
        text += f" ({format_interval(row['ratio_low'], row['ratio_high'])})"
    return f"{text} {row['verdict']}".rstrip()


def format_interval(low: float, high: float) -> str:
    """The ends of an interval of ratios."""
    return f"{_times(low)}–{_times(high)}"


def _times(ratio: float) -> str:
    """A ratio with two decimals, or two digits at least where it is small; 100 and more whole."""
    if ratio < 0.0995:
        return f"{ratio:.2g}"
    return f"{ratio:.{2 if ratio < 10 else 1 if ratio < 100 else 0}f}"


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
        (row["backend"], row["phase"], sizes_in_words(row["n_images"]), row["status"], row["cause"])
        for _, row in by_phases.agg(n_images=("n_images", list)).iterrows()
    ]
    if left_out := listed_in(source, "sizes_left_out", int):
        count = source.dataset.get("images")
        held = images(count) if isinstance(count, int) else "fewer"
        rows.append(
            ("all", "all", sizes_in_words(left_out), "left out", f"the dataset holds {held}")
        )
    if not rows:
        return None
    meanings = "; ".join(
        f"{status}: {STATUSES[status]}" for status in sorted(set(failed["status"]))
    )
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


def sizes_in_words(sizes: Sequence[int]) -> str:
    """Numbers of images, with their noun after the last."""
    *others, last = sizes
    return ", ".join([*(str(size) for size in others), images(last)])


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
        )
    idle = rows.groupby("backend")["idle_mib"].min()
    above = pivot(rows, sizes, lambda row: _mib(row["above_idle_mib"]))
    return Table(
        "pipeline-memory",
        "pipeline: peak memory above that of an idle worker",
        "How far the resident size of the worker and of its child processes rose above what they "
        "held before the call, at the first call of a size. Idle is the smallest that they held "
        "before any of these calls: libraries, pools, and what earlier calls left.",
        ("Backend", "Idle worker", *heads),
        tuple((backend, _mib(idle[backend]), *cells) for backend, *cells in above),
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
                _value(truth.get("images", "–")),
                *(_decimals(truth.get(name, "–")) for name in errors),
                _value(truth.get("true_objects", "–")),
                _value(truth.get("found_objects", "–")),
            ),
        ),
    )


def _decimals(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else _value(value)


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
        layout="words",
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
