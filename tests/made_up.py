"""Made-up samples and sources for the tests of reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segbench.results.records import Sample
from segbench.results.sources import Source, tidy

if TYPE_CHECKING:
    from collections.abc import Sequence

SERIAL = "skimage/skimage/serial"
POOL = "skimage/skimage/thread-pool"
DASK = "dask-image/dask-image/threads"
PIMS = "dask-array-pims/dask-blocks/threads"
IMREAD = "dask-array-skimage/dask-blocks/threads"

NOISE = (1.00, 1.13, 0.95, 1.07, 0.90, 1.05)


def sample(backend: str, phase: str, n_images: int, block: int = 0, **other: Any) -> Sample:
    """One sample; without seconds in `other` it has to have a status."""
    reader, processor, scheduler = backend.split("/")
    return Sample(
        phase=phase,
        reader=reader,
        processor=processor,
        scheduler=scheduler,
        n_images=n_images,
        block=block,
        **{"status": "ok", "calls": 1, **other},
    )


def case(backend: str, phase: str, n_images: int, *seconds: float, **other: Any) -> list[Sample]:
    """The samples of a case, one a block."""
    return [
        sample(backend, phase, n_images, block, seconds=value, **other)
        for block, value in enumerate(seconds, start=1)
    ]


def make_source(*cases: Sequence[Sample], **other: Any) -> Source:
    """A source with what a run's has, unless told otherwise."""
    described: dict[str, Any] = {
        "name": "a run",
        "kind": "segbench",
        "paired": True,
        "started": "2024-01-02T03:04:05+00:00",
        "machine": {"cpu": "Abacus 3000", "cpus_available": 2},
        "versions": {"dask": "2024.8.0"},
        "settings": {"blocks": 3, "sizes_left_out": []},
        "dataset": {"name": "smear", "images": 50, "shape": [8, 9, 3], "dtype": "uint8"},
    }
    return Source(**{**described, **other}, samples=tidy([one for many in cases for one in many]))
