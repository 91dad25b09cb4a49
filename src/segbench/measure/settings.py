"""What a run was asked to do."""

from __future__ import annotations

import dataclasses
import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil

from segbench.backends.registry import parse_spec
from segbench.errors import InputError
from segbench.measure import machine as environment
from segbench.measure.cases import BACKENDS, PHASES, SIZES
from segbench.measure.stopping import Limits
from segbench.pipeline import PipelineParams

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segbench.backends.registry import BackendSpec

CACHES = ("warm", "cold")

# Of the memory that is free when a run starts: the rest is for the engine and for everybody else.
MEMORY_SHARE = 0.8


def available_cpus() -> int:
    """CPUs that this process may use: by its affinity, and by the quota of a container."""
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    return max(1, min(count, math.ceil(environment.cpu_quota() or count)))


def available_gib() -> float:
    """Memory that a worker may hold by default, in GiB."""
    free = psutil.virtual_memory().available / 2**30
    return round(MEMORY_SHARE * min(free, environment.memory_quota_gib() or free), 2)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a run.

    Attributes
    ----------
    sizes : tuple of int
        Numbers of images, ascending.
    phases : tuple of str
        In their natural order.
    backends : tuple of BackendSpec
        The baseline among them.
    params : PipelineParams
        Of the pipeline.
    limits : Limits
        How long a case goes on.
    time_limit : float
        Seconds that one call may take.
    memory_limit : float
        GiB that a worker process and its children may hold.
    workers : int
        Threads or processes of the schedulers that have several.
    native_threads : bool
        Leave the thread pools of BLAS, OpenMP and OpenCV as they are; otherwise one thread each.
    cache : {'warm', 'cold'}
        Whether the files are dropped from the operating system's page cache before each sample.
    seed : int
        Of the order of the arms.
    """

    sizes: tuple[int, ...] = SIZES
    phases: tuple[str, ...] = tuple(PHASES)
    backends: tuple[BackendSpec, ...] = BACKENDS
    params: PipelineParams = field(default_factory=PipelineParams)
    limits: Limits = field(default_factory=Limits)
    time_limit: float = 60.0
    memory_limit: float = field(default_factory=available_gib)
    workers: int = field(default_factory=available_cpus)
    native_threads: bool = False
    cache: str = "warm"
    seed: int = 0


def describe(settings: Settings) -> dict[str, Any]:
    """Settings as plain values, for the header of a run."""
    values = dataclasses.asdict(settings)
    limits = values.pop("limits")
    return {
        **values,
        "backends": [str(backend) for backend in settings.backends],
        "precision": limits["precision"],
        "blocks": limits["blocks"],
        "case_seconds": limits["seconds"],
    }


NUMBERS = ("precision", "blocks", "case_seconds", "time_limit", "memory_limit", "workers", "seed")


def settings_of(described: Mapping[str, Any]) -> Settings:
    """The way back from `describe`.

    Raises
    ------
    InputError
        If a value is missing or makes no sense.
    """
    try:
        if not all(isinstance(described[name], int | float) for name in NUMBERS):
            raise TypeError(f"no numbers: {', '.join(NUMBERS)}")  # noqa: TRY301  (as a missing one)
        return Settings(
            sizes=(*described["sizes"], *described["sizes_left_out"]),
            phases=tuple(described["phases"]),
            backends=tuple(parse_spec(text) for text in described["backends"]),
            params=PipelineParams(**described["params"]),
            limits=limits_of(described),
            time_limit=described["time_limit"],
            memory_limit=described["memory_limit"],
            workers=described["workers"],
            native_threads=described["native_threads"],
            cache=described["cache"],
            seed=described["seed"],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"the run's settings can't be understood ({error!r}): run anew") from error


def limits_of(described: Mapping[str, Any]) -> Limits:
    """The limits of a case in a header's settings.

    Raises
    ------
    KeyError
        If one is missing.
    """
    return Limits(
        precision=described["precision"],
        blocks=described["blocks"],
        seconds=described["case_seconds"],
    )
