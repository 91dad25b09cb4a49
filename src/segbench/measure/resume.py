"""Going on with a run that was interrupted: what it asked for, and whether it still can."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segbench.errors import InputError
from segbench.images import datasets
from segbench.measure import machine as environment
from segbench.measure.settings import settings_of
from segbench.results import records

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from segbench.images.datasets import Dataset
    from segbench.measure.settings import Settings
    from segbench.results.records import RunFile

# What a machine may not change in the middle of a run.
MACHINE = ("architecture", "cpu", "cpus_available", "memory_gib")


def load(folder: Path) -> tuple[Dataset, Settings, RunFile]:
    """Find out how to go on with the run of a folder.

    Parameters
    ----------
    folder : Path
        Holds a ``run.jsonl``.

    Returns
    -------
    dataset : Dataset
        The same images.
    settings : Settings
        The same settings.
    earlier : RunFile
        What was measured.

    Raises
    ------
    InputError
        If the file can't be understood, or the machine, the versions or the images have changed:
        figures of two of them don't belong into one run.
    """
    earlier = records.read_run(folder)
    settings = settings_of(earlier.header.settings)
    _refuse_changes(folder, environment.versions(), earlier.header.versions)
    now, then = environment.machine(), earlier.header.machine
    _refuse_changes(
        folder,
        {name: now.get(name) for name in MACHINE},
        {name: then.get(name) for name in MACHINE},
    )
    dataset = datasets.find(datasets.origin_of(earlier.header.dataset), count=settings.sizes[-1])
    if dataset.key != earlier.header.dataset.get("key"):
        raise InputError(f"{folder}: the images have changed since; start a new run")
    return dataset, settings, earlier


def _refuse_changes(folder: Path, now: Mapping[str, object], then: Mapping[str, object]) -> None:
    for name in sorted(now.keys() | then.keys()):
        if now.get(name) != then.get(name):
            raise InputError(
                f"{folder}: measured with {name} {then.get(name)}, which is {now.get(name)} now; "
                "start a new run"
            )
