"""The figures on the recipes' pages: sentences that are made from the reference runs.

`write_sentences` writes one file for each recipe, which its docstring includes, so that no figure is typed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from segbench.report.cells import format_factor, format_interval, images
from segbench.report.pairs import pairs_of
from segbench.report.summary import Case, cases_in, summarize
from segbench.results.sources import read_run_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx

    from segbench.report.pairs import Pairs
    from segbench.results.sources import Source

REFERENCE = Path(__file__).parents[1] / "results" / "reference"
LOOP = "skimage/skimage/serial"
# What follows from a comparison, where its numbers do not say it by themselves.
VERDICTS = {
    "undecided": "; which of the two is faster is open",
    "no difference": "; neither is faster",
    "probably faster": "; it is probably faster",
    "probably slower": "; it is probably slower",
}


@dataclass(frozen=True)
class Comparison:
    """One backend beside others in a reference run.

    Attributes
    ----------
    run : str
        Name of the folder in `results/reference/`.
    n_images : int
    backend : str
        The one that is told about.
    others : tuple of str
        Those that it is compared with, one at least.
    shape : str
        Of the images, where the run has several.
    """

    run: str
    n_images: int
    backend: str
    others: tuple[str, ...] = (LOOP,)
    shape: str = ""


CLUSTER = "skimage/skimage/distributed"
POOL = "skimage/skimage/thread-pool"
THREADS = "skimage/skimage/threads"
SMALL, LARGE = "192x256", "8192x8192"
COMPARISONS = {
    "loop": [Comparison("smear", 1, LOOP, (POOL,))],
    "thread_pool": [Comparison("smear", 500, POOL)],
    "joblib": [Comparison("shapes", 500, "skimage/skimage/joblib", (LOOP, POOL), SMALL)],
    "dask_delayed": [
        Comparison("smear", 500, THREADS, (LOOP, POOL)),
        Comparison("batches", 500, f"{THREADS}/16", (f"{THREADS}/1",)),
    ],
    "map_blocks": [Comparison("smear", 500, "dask-batched/dask-blocks/threads", (LOOP, THREADS))],
    "cluster": [Comparison("shapes", 500, CLUSTER, (LOOP, THREADS), SMALL)],
    "map_overlap": [Comparison("mosaic", 1, "tiles/dask-overlap/threads", shape=LARGE)],
    "zarr": [
        Comparison("mosaic", 1, "zarr/tiles/threads", (LOOP, "tiles/tiles/threads"), LARGE),
    ],
}


def when(name: str) -> str:
    """What the reference runs show of a recipe, as a paragraph of reStructuredText."""
    compared = COMPARISONS[name]
    said = [text for one in compared for text in sentences(one)]
    commands = " and ".join(f"``segbench report results/reference/{one.run}``" for one in compared)
    verb = "makes the whole report" if len(compared) == 1 else "make the whole reports"
    return f"{' '.join(said)} (Ranges are 95% intervals; {commands} {verb}.)\n"


def sentences(one: Comparison) -> Iterator[str]:
    """Time and memory of a backend beside those of the others."""
    source, pairs, cases = _measured(one.run, one.shape)
    height, width = source.dataset["shape"][:2]
    where = (
        f"With {images(one.n_images)} of {height} × {width} pixels on {source.machine['cpus']} CPUs"
    )
    words = source.backends[one.backend].words
    # "..., 16 images a task" is closed by a comma within a sentence.
    subject = f"{where}, {words}," if words.endswith("a task") else f"{where}, {words}"
    for other in one.others:
        pair = pairs["pipeline", one.n_images, one.backend, other]
        interval = format_interval(pair.ratio.low, pair.ratio.high, to=" to ")
        own, others = (f"{cases[one.n_images, spec].peak_mib:.0f}" for spec in (one.backend, other))
        memory = f"as much memory ({own} MiB)"
        if own != others:
            memory = f"{own} MiB of memory instead of {others} MiB"
        yield (
            f"{subject} takes {format_factor(pair.ratio.estimate)} times ({interval}) as long as "
            f"{source.backends[other].words}, and {memory}{VERDICTS.get(pair.verdict, '')}."
        )
        subject = "It"


@cache
def _measured(run: str, shape: str) -> tuple[Source, Pairs, dict[tuple[int, str], Case]]:
    """A reference run's images of one shape: the pairs, and the cases by size and backend."""
    (source,) = (one for one in read_run_folder(REFERENCE / run) if one.shape == shape)
    pairs = pairs_of(source)
    cases = cases_in(summarize(source, pairs), "pipeline")
    return source, pairs, {(case.n_images, case.backend): case for case in cases}


def write_sentences(app: Sphinx) -> None:
    """Write `recipes/when/NAME.txt` for each recipe, when Sphinx begins."""
    folder = Path(app.srcdir) / "recipes" / "when"
    folder.mkdir(exist_ok=True)
    for name in COMPARISONS:
        (folder / f"{name}.txt").write_text(when(name), encoding="utf-8")
