"""A run as somebody sends it: whole, sealed, and in agreement with itself."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from segbench.backends.registry import BackendSpec
from segbench.measure import settings as asked
from segbench.measure.settings import RunSettings
from segbench.results import records
from segbench.results.records import RUN_NAME, Header, Writer
from tests.made_up import DASK, POOL, SERIAL, profile, sample

if TYPE_CHECKING:
    from pathlib import Path

BACKENDS = (SERIAL, POOL, DASK)
SIZES = (1, 20)
OBJECTS = {1: 8, 20: 114}
SECONDS = {SERIAL: 0.01, POOL: 0.006, DASK: 0.02}
ROUNDS = 5


def header(**other: Any) -> Header:
    """The first line of the run."""
    settings = RunSettings(
        sizes=SIZES,
        phases=("pipeline",),
        backends=tuple(map(BackendSpec.named, BACKENDS)),
        memory_limit=1.0,
    )
    told: dict[str, Any] = {
        "started": "2026-01-02T03:04:05+00:00",
        "machine": {
            "cpu": "Abacus 3000",
            "cpus_available": 2,
            "memory_gib": 8.0,
            "system": "Linux 6",
        },
        "versions": {
            **dict.fromkeys(("numpy", "scikit-image", "dask", "segbench"), "1.2.3"),
            "python": "3.12.1",
            "commit": "0123456",
        },
        "settings": {**asked.describe(settings), "sizes_left_out": []},
        "dataset": {
            "name": "smear",
            "images": 20,
            "shape": [192, 256, 3],
            "dtype": "uint8",
            "origin": {"images": [], "made": "smear", "shape": [192, 256], "seed": 0},
            "objects": 114,
        },
    }
    return Header(**{**told, **other})


def write(folder: Path, *, factors: dict[str, float] | None = None, **other: Any) -> Path:
    """The folder of such a run; `factors` make backends slower, `other` is another header's."""
    at = 1.0
    with Writer.create(folder / RUN_NAME, header(**other)) as writer:
        for size in SIZES:
            for block in range(1, ROUNDS + 1):
                for backend in BACKENDS:
                    factor = (factors or {}).get(backend, 1.0) * size * (1 + 0.01 * block)
                    seconds = SECONDS[backend] * factor
                    at = round(at + seconds + 0.01, 6)
                    told = {"seconds": seconds, "cpu_seconds": seconds, "round": block, "at": at}
                    told |= {"objects": OBJECTS[size], "peak_mib": 100.0}
                    writer.append(sample(backend, "pipeline", size, block, **told))
    records.write_profile(folder, profile(SERIAL))
    records.seal(folder)
    return folder


def changed(folder: Path, number: int, **values: Any) -> None:
    """Change a sample of a run, counted from 0, and give the run a digest that fits, as a forger would."""
    found = records.read(folder / RUN_NAME)
    found.samples[number] = dataclasses.replace(found.samples[number], **values)
    again(folder, found)


def again(folder: Path, found: records.Records) -> None:
    """Write records in the place of those of a run, with a digest that fits."""
    (folder / RUN_NAME).unlink()
    kept = records.read_profiles(folder)
    with Writer.create(folder / RUN_NAME, found.header) as writer:
        for one in found.samples:
            writer.append(one)
    for each in kept:
        records.write_profile(folder, each)
    records.seal(folder)
