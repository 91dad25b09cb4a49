"""The cases: which phases, sizes and backends are measured unless the user says otherwise.

``benchmarks/`` repeats these axes as literals, since asv needs them so; a test holds them equal.
"""

from __future__ import annotations

from segbench.backends.registry import BASELINE, BackendSpec, parse_spec
from segbench.errors import InputError

# In their natural order, and what each goes from and to.
PHASES = {
    "open": "a handle on the files, nothing decoded",
    "read": "all pixels in memory",
    "process": "pixels in memory to a table of cells",
    "pipeline": "files to a table of cells",
}
SIZES = (1, 20, 50, 200, 500)
QUICK_SIZES = (1, 20, 50)
QUICK_CASE_SECONDS = 1.0

# Every reader and every processor that ends in reasonable time, without Dask and with its threads.
# Dask's schedulers `synchronous` and `processes` are measured when they are named: with them a
# default run would take a third longer, most of it for large arrays on their way between processes.
BACKENDS = (
    BASELINE,
    BackendSpec("skimage", "skimage", "thread-pool"),
    BackendSpec("skimage", "skimage", "process-pool"),
    BackendSpec("dask-image", "dask-image", "threads"),
    BackendSpec("dask-array-pims", "dask-blocks", "threads"),
    BackendSpec("dask-array-skimage", "dask-blocks", "threads"),
)

# A quick run starts measuring within seconds: no process has to be started but a worker a backend.
QUICK_BACKENDS = tuple(
    backend for backend in BACKENDS if backend.scheduler in ("serial", "thread-pool", "threads")
)


def parse_sizes(text: str) -> tuple[int, ...]:
    """Read numbers of images, ``1,20,50``.

    Returns
    -------
    tuple of int
        Ascending, each once.

    Raises
    ------
    InputError
        If one is not a whole number from 1 up.
    """
    sizes = []
    for word in text.split(","):
        if not (word.strip().isdecimal() and int(word) > 0):
            raise InputError(
                f"size {word.strip()!r}: give whole numbers from 1 up, separated by commas"
            )
        sizes.append(int(word))
    return tuple(sorted(set(sizes)))


def parse_phases(text: str) -> tuple[str, ...]:
    """Read phases, ``read,process``; returned in their natural order, each once.

    Raises
    ------
    InputError
        If one is unknown.
    """
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in PHASES:
            raise InputError(f"unknown phase {word!r}: choose from {', '.join(PHASES)}")
    return tuple(phase for phase in PHASES if phase in words)


def parse_backends(text: str) -> tuple[BackendSpec, ...]:
    """Read backends, ``reader/processor/scheduler,...``.

    Returns
    -------
    tuple of BackendSpec
        Each once, in their order.

    Raises
    ------
    InputError
        If a part of one is unknown.
    """
    return tuple(dict.fromkeys(parse_spec(word) for word in text.split(",")))
