"""What a run or a gate is asked to do: read, described, and written as a command."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from segbench import cli
from segbench.backends.registry import BASELINE, parse_spec
from segbench.errors import InputError
from segbench.images.origin import Origin
from segbench.measure import settings as asked
from segbench.measure.settings import (
    BACKENDS,
    CACHES,
    PHASES,
    QUICK,
    SIZES,
    GateSettings,
    RunSettings,
    parse_backends,
    parse_phases,
    parse_sizes,
    parse_thresholds,
)
from segbench.pipeline import FOREGROUNDS, METHODS, PipelineParams
from segbench.results.outcome import Thresholds
from segbench.results.records import Case

limits = st.floats(0.001, 1000)
settings = st.builds(
    RunSettings,
    sizes=st.sets(st.integers(1, 500), min_size=1).map(lambda found: tuple(sorted(found))),
    phases=st.sets(st.sampled_from(list(PHASES)), min_size=1).map(
        lambda found: tuple(phase for phase in PHASES if phase in found)
    ),
    backends=st.sets(st.sampled_from(BACKENDS)).map(tuple),
    params=st.builds(
        PipelineParams,
        block_size=st.integers(1, 100).map(lambda half: 2 * half + 1),
        method=st.sampled_from(METHODS),
        offset=st.floats(-1, 1),
        foreground=st.sampled_from(FOREGROUNDS),
        min_area=st.integers(1, 100),
    ),
    time_limit=limits,
    memory_limit=limits,
    workers=st.integers(1, 64),
    batch=st.sets(st.integers(1, 20)).map(lambda found: tuple(sorted(found))),
    native_threads=st.booleans(),
    seed=st.integers(0, 2**31),
    precision=st.floats(0.001, 1),
    rounds=st.integers(1, 100),
    case_seconds=limits,
    cache=st.sampled_from(CACHES),
)


@given(settings)
def test_a_header_gives_the_settings_back(given_settings: RunSettings) -> None:
    """Described as plain values, written as JSON and read again, they are the same."""
    described = json.loads(json.dumps(asked.describe(given_settings)))
    assert asked.read(described) == given_settings
    left_out = {**described, "sizes": [], "sizes_left_out": described["sizes"]}
    assert asked.read(left_out) == given_settings


@given(settings)
def test_the_command_measures_the_same(given_settings: RunSettings) -> None:
    """The recorded command, typed in a shell, asks for the same settings and images."""
    origin = Origin(made="tissue", shape=(64, 48), seed=given_settings.seed)
    told: list[Any] = []

    class Enough(Exception):
        """Ends the command before it measures."""

    def start(*arguments: Any, **_: Any) -> None:
        told.extend(arguments)
        raise Enough

    words = shlex.split(asked.command(given_settings, origin))
    assert words[:2] == ["segbench", "run"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segbench.measure.engine.start", start)
        CliRunner().invoke(cli.main, words[1:])
    assert told == [(origin,), given_settings]


@pytest.mark.parametrize(
    "damage",
    [
        {"rounds": "many"},
        {"sizes": None},
        {"params": {"block_size": 50}},
        {"params": {"unheard": 1}, "backends": [3]},
        {"cache": 3},
        {"backends": ["nowhere/skimage/serial"]},
        {"time_limit": -1},
    ],
)
def test_settings_that_can_not_be_understood(damage: dict[str, Any]) -> None:
    """A header that was edited ends with one line."""
    described = {**asked.describe(RunSettings()), **damage}
    with pytest.raises(InputError) as caught:
        asked.read(described)
    assert "\n" not in str(caught.value)


def test_settings_that_lack_a_value() -> None:
    """What an older run does not tell is named."""
    described = asked.describe(RunSettings())
    del described["precision"]
    with pytest.raises(InputError, match="no precision"):
        asked.read(described)


def test_the_baseline_is_in_every_run() -> None:
    """Every ratio needs it, once; a gate compares what is named."""
    thread_pool = parse_spec("skimage/skimage/thread-pool")
    assert RunSettings(backends=(thread_pool, BASELINE)).backends == (BASELINE, thread_pool)
    assert GateSettings(backends=(thread_pool,)).backends == (thread_pool,)


def test_every_case_once() -> None:
    """The cases are every backend, size and phase, each once."""
    cases = RunSettings().cases
    assert len({*cases}) == len(cases) == len(BACKENDS) * len(SIZES) * len(PHASES)


def test_a_quick_run_asks_for_less() -> None:
    """Its sizes and backends are some of the default ones."""
    quick = RunSettings(**QUICK)  # type: ignore[arg-type]  # values of several types
    assert {*quick.sizes} < {*SIZES}
    assert {*quick.backends} < {*BACKENDS}


@pytest.mark.parametrize("name", ["time_limit", "memory_limit", "precision", "case_seconds"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_limits_make_sense(name: str, value: float) -> None:
    """A limit that is not above 0, or endless, is refused by its name."""
    with pytest.raises(InputError, match=name.replace("_", " ")):
        RunSettings(**{name: value})  # type: ignore[arg-type]  # values of one type


def test_lists_are_read() -> None:
    """Sizes ascending, phases in their natural order, backends as given; each once."""
    assert parse_sizes("20, 1,20") == (1, 20)
    assert parse_phases("pipeline,read,read") == ("read", "pipeline")
    spec = "skimage/skimage/thread-pool"
    assert parse_backends(f"{spec},{BASELINE},{spec}") == (parse_spec(spec), BASELINE)


@pytest.mark.parametrize(
    ("read", "text"),
    [(parse_sizes, "1,0"), (parse_sizes, ""), (parse_phases, "reed"), (parse_backends, "skimage")],
)
def test_lists_that_make_no_sense(read: Any, text: str) -> None:
    """What can't be read is an input error."""
    with pytest.raises(InputError):
        read(text)


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("0.1", (0.1, 0.1, 0.1, 0.1)),
        ("open=0.2", (0.2, 0.2, 0.2, 0.05)),
        ("0.1,open=0.2", (0.2, 0.2, 0.2, 0.1)),
        ("open:20=0.2", (0.05, 0.2, 0.2, 0.05)),
        (f"open:20:{BASELINE}=0.2", (0.05, 0.2, 0.05, 0.05)),
        # Of several that fit, the last.
        ("open=0.2,open:20=0.3", (0.2, 0.3, 0.3, 0.05)),
        ("open:20=0.3,open=0.2", (0.2, 0.2, 0.2, 0.05)),
        ("open=0.1,open:20=0.3,open=0.2", (0.2, 0.2, 0.2, 0.05)),
        (" 0.1 , open=0.2 ", (0.2, 0.2, 0.2, 0.1)),
    ],
)
def test_thresholds(text: str, shares: tuple[float, ...]) -> None:
    """Of all cases, of a phase, of a size of it, of a backend at that: the last that fits holds."""
    threads = parse_spec("skimage/skimage/thread-pool")
    cases = [
        (BASELINE, 1, "open"),
        (BASELINE, 20, "open"),
        (threads, 20, "open"),
        (BASELINE, 1, "read"),
    ]
    found = parse_thresholds(text)
    assert tuple(found.of(Case(*case)) for case in cases) == shares
    assert parse_thresholds(str(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        *("0", "-0.1", "1.5", "nan", "inf", "5%", "", "0.05,", "open=", "open"),
        *("opening=0.1", "open:=0.1", "open:0=0.1", "open:020=0.1", "open:many=0.1"),
        *("open:20:=0.1", "open:20:serial=0.1", "open:20:skimage/unknown/serial=0.1"),
        *("=0.1x", "20=0.1", f"{BASELINE}=0.1"),
    ],
)
def test_thresholds_that_make_no_sense(text: str) -> None:
    """One line says what was wrong, also of a name that no case could have."""
    with pytest.raises(InputError) as caught:
        parse_thresholds(text)
    assert "\n" not in str(caught.value)


def test_a_gate_tells_its_thresholds_as_plain_values() -> None:
    """They are in the header of a gate's file."""
    told = asked.describe(GateSettings(threshold=Thresholds(0.1, (("open", 0.2),))))
    assert json.loads(json.dumps(told["threshold"])) == {"usual": 0.1, "named": [["open", 0.2]]}
