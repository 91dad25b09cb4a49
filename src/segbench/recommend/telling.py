"""What is recommended, for people."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from segbench.backends import registry
from segbench.recommend.measuring import AS_GOOD, DRIFT, SHORT
from segbench.report.cells import (
    Cell,
    Table,
    format_multiple,
    format_seconds,
    images,
    row,
    seconds_cell,
    sizes_in_words,
)
from segbench.report.script import script

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segbench.pipeline import PipelineParams
    from segbench.recommend.measuring import Prediction, Recommendation
    from segbench.windows import Windowed


# Where the ends of an interval are so many times apart, a prediction is a guess.
WIDE = 4


def table(found: Recommendation) -> Table:
    """What each backend would take for all images, the fastest first."""
    return Table(
        name="recommend",
        title=f"Predicted for {images(found.total)}",
        columns=("Backend", "Time", "95% interval", "Relative to a plain loop", "Memory"),
        rows=tuple(
            row(
                _words(one),
                seconds_cell(one.seconds),
                _interval(one),
                Cell(format_multiple(one.seconds / found.loop.seconds)),
                f"{one.peak_mib:.0f} MiB",
            )
            for one in found.predictions
        ),
    )


def sentences(found: Recommendation) -> Iterator[str]:
    """What to use, what it will take, and how that was found."""
    named, loop = found.named, found.loop
    time = f"{format_seconds(named.seconds)} ({_interval(named)}) and {named.peak_mib:.0f} MiB"
    if named.backend == loop.backend:
        yield (
            f"Use a plain loop: {images(found.total)} take about {time}; nothing was "
            f"more than {AS_GOOD - 1:.0%} faster."
        )
    else:
        yield (
            f"Use {_words(named)}, with {found.workers} workers and {images(found.batch)} a task: "
            f"{images(found.total)} take about {time}, {_less(named, loop)} than in a plain loop "
            f"({format_seconds(loop.seconds)})."
        )
        if loop.seconds < SHORT:
            yield f"A plain loop is enough, though: it takes {format_seconds(loop.seconds)}."
    if named.high > WIDE * named.low:
        yield (
            "The times varied so much that this is a rough guess: measure again while the machine does "
            "nothing else."
        )
    shape = found.dataset.shape
    yield (
        f"Measured: {sizes_in_words(found.sizes)} of {shape[0]} × {shape[1]} pixels, "
        f"{found.rounds} times in new processes. The intervals allow for {DRIFT:.0%} that a machine "
        "may be faster or slower another time. Starting Python, the libraries and the processes of a pool "
        "comes on top of it."
    )
    yield (
        "The script has the five steps of the benchmark; `segbench segment` also fills holes and splits cells "
        "that touch, and finds more of them."
    )
    if found.decoded:
        yield (
            "segbench has decoded your images first, since scikit-image alone does not read them as they "
            "are meant: convert them before you use the script."
        )


def of_large(
    found: Recommendation, image: Windowed, params: PipelineParams
) -> tuple[list[str], str]:
    """What to use for a large image, in sentences, and the command that does it."""
    named, loop, shape = found.named, found.loop, image.shape
    part = found.dataset.shape
    whole = f"{format_seconds(loop.seconds)} and {loop.peak_mib / 1024:.1f} GiB"
    told = [
        (
            f"Use {_words(named)}: {shape[0]} × {shape[1]} pixels take about {format_seconds(named.seconds)} "
            f"({_interval(named)}) and {named.peak_mib / 1024:.1f} GiB; scikit-image on the whole image would "
            f"take {whole}."
        ),
        (
            f"Measured: the middle of the image, {part[0]} × {part[1]} pixels, {found.rounds} times in new "
            "processes, with the five steps of the benchmark. docs/how-to/large-images.md has a script for Dask."
        ),
        "This finds the cells, with holes filled and touching cells split:",
    ]
    words = ["segbench", "segment", image.path, "--diameter", f"{params.diameter:g}"]
    words += ["--foreground", params.foreground]
    words += ["--backend", f"skimage/skimage/{named.backend.scheduler}"]
    return told, shlex.join(words)


def script_of(found: Recommendation, params: PipelineParams, *, name: str) -> str:
    """The script that does what is recommended, for a file of a name."""
    shape, channel = found.dataset.shape, found.dataset.origin.channel
    return script(
        found.named.backend,
        params,
        workers=found.workers,
        channels=shape[2] if len(shape) > 2 else 0,
        channel=channel,
        name=name,
    )


def _words(one: Prediction) -> str:
    return registry.describe(one.backend).words


def _interval(one: Prediction) -> str:
    return f"{format_seconds(one.low)} to {format_seconds(one.high)}"


def _less(one: Prediction, loop: Prediction) -> str:
    return f"{1 - one.seconds / loop.seconds:.0%} less"
