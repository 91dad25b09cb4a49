"""``run.jsonl`` and ``gate.jsonl``, which other programs read."""

from __future__ import annotations

import dataclasses
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segbench.errors import InputError
from segbench.results.records import (
    PARTS,
    PROFILES_NAME,
    RUN_NAME,
    STATUSES,
    Header,
    Profile,
    Records,
    Sample,
    Writer,
    read,
    read_profiles,
    write_profile,
)

HEADER = Header(
    started="2024-01-02T03:04:05+00:00",
    machine={"cpus": 2},
    versions={"dask": "2024.8.0"},
    settings={"sizes": [1, 20]},
    dataset={"name": "smear"},
)
SAMPLE = Sample(
    phase="read",
    reader="skimage",
    processor="skimage",
    scheduler="serial",
    n_images=20,
    block=1,
    seconds=0.25,
    status="ok",
    objects=None,
    peak_mib=100.5,
    calls=1,
)

REFERENCE = Path(__file__).parents[1] / "results" / "reference"

# The keys that the design promises to other programs.
HEADER_KEYS = {"schema", "started", "machine", "versions", "settings", "dataset"}
SAMPLE_KEYS = {
    *("phase", "reader", "processor", "scheduler", "n_images", "block"),
    *("seconds", "status", "objects", "peak_mib"),
}

sizes = st.floats(min_value=1e-9, max_value=1e9)
# That can be seen: others are refused.
SEEN = st.characters(min_codepoint=33, max_codepoint=0x24F, exclude_categories=("C", "Z"))
NAMES = st.text(SEEN, max_size=50)
samples = st.builds(
    Sample,
    phase=st.sampled_from(["open", "read", "process", "pipeline"]),
    reader=NAMES,
    processor=NAMES,
    scheduler=NAMES,
    n_images=st.integers(1, 10**6),
    block=st.integers(0, 100),
    seconds=sizes,
    status=st.sampled_from(sorted(STATUSES)),
    objects=st.none() | st.integers(0, 10**9),
    peak_mib=st.none() | sizes,
    calls=st.integers(0, 100),
    cause=st.text(),
    first_seconds=st.none() | sizes,
    idle_mib=st.none() | sizes,
    at=st.none() | sizes,
    cached=st.none() | st.floats(0, 1),
    untimed_seconds=st.none() | sizes,
    round=st.integers(1, 100),
    side=st.sampled_from(["", "base", "head"]),
    look=st.integers(1, 2),
    cpu_seconds=st.none() | st.floats(0, 1e6),
    tasks=st.none() | st.integers(0, 10**9),
)
PROFILE = Profile(
    reader="skimage",
    processor="skimage",
    scheduler="serial",
    n_images=50,
    seconds=0.5,
    parts=dict.fromkeys(PARTS, 0.05),
    calls={"blur": 50},
)


def write(folder: Path, *written: Sample) -> list[str]:
    """Write a run; its lines."""
    with Writer.create(folder / RUN_NAME, HEADER) as writer:
        for sample in written:
            writer.append(sample)
    return (folder / RUN_NAME).read_text(encoding="utf-8").splitlines()


def write_lines(folder: Path, *lines: str) -> Path:
    """Write a file by hand."""
    path = folder / RUN_NAME
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def line(values: Any = SAMPLE, **changed: Any) -> str:
    """A header or sample as JSON, some of its values changed."""
    return json.dumps({**dataclasses.asdict(values), **changed})


def test_lines_have_the_promised_keys(tmp_path: Path) -> None:
    """Line 1 is the header, every other a sample, each a JSON object with the design's keys."""
    first, *others = [json.loads(text) for text in write(tmp_path, SAMPLE, SAMPLE)]
    assert first.keys() >= HEADER_KEYS
    assert first["schema"] == 1
    assert len(others) == 2
    assert all(other.keys() >= SAMPLE_KEYS for other in others)
    assert others[0]["seconds"] == 0.25


def test_statuses_are_the_promised_ones() -> None:
    """Other programs know these statuses."""
    assert set(STATUSES) == {
        *("ok", "timeout", "memory", "crashed", "error", "wrong-result", "unavailable"),
    }


OLD_CASE = {
    "phase": "read",
    "reader": "skimage",
    "processor": "skimage",
    "scheduler": "serial",
    "n_images": 1,
}
OLD_GATE = (
    {"schema": 1, "started": "2024-01-02T03:04:05+00:00", "base": "main", "machine": {"cpus": 2}},
    {
        "stage": "first",
        "round": 2,
        "block": 3,
        **OLD_CASE,
        "base_seconds": 0.25,
        "head_seconds": 0.5,
        "status": "ok",
        "side": "",
        "cause": "",
    },
    {
        "stage": "again",
        "round": 1,
        "block": 0,
        **OLD_CASE,
        "base_seconds": None,
        "head_seconds": None,
        "status": "error",
        "side": "head",
        "cause": "why",
    },
)


def test_a_gate_of_an_earlier_version(tmp_path: Path) -> None:
    """A line that held both sides becomes a sample of each; of the side alone that failed."""
    path = tmp_path / "gate.jsonl"
    path.write_text("".join(f"{json.dumps(each)}\n" for each in OLD_GATE), encoding="utf-8")
    found = read(path)
    assert found.header.machine == {"cpus": 2}
    told = [(s.side, s.look, s.round, s.block, s.seconds, s.status) for s in found.samples]
    assert told == [
        ("base", 1, 2, 3, 0.25, "ok"),
        ("head", 1, 2, 3, 0.5, "ok"),
        ("head", 2, 1, 0, None, "error"),
    ]
    assert found.samples[2].cause == "why"


def test_a_gate_that_had_a_second_look(tmp_path: Path) -> None:
    """Of the version that looked twice the look is kept; CPU time and tasks are not known."""
    values = {**dataclasses.asdict(SAMPLE), "side": "head", "look": 2, "round": 3}
    del values["cpu_seconds"], values["tasks"]
    path = write_lines(tmp_path, line(HEADER), json.dumps(values))
    (found,) = read(path).samples
    assert (found.side, found.look, found.round) == ("head", 2, 3)
    assert (found.cpu_seconds, found.tasks) == (None, None)


def test_cpu_time_and_tasks_are_in_the_file(tmp_path: Path) -> None:
    """By these names, as numbers."""
    told = dataclasses.replace(SAMPLE, cpu_seconds=0.5, tasks=48)
    _, written = write(tmp_path, told)
    assert (json.loads(written)["cpu_seconds"], json.loads(written)["tasks"]) == (0.5, 48)


def test_a_damaged_gate_of_an_earlier_version(tmp_path: Path) -> None:
    """A pair that is ok and lacks the time of a side is an input error that names its line."""
    header, pair, failed = OLD_GATE
    path = tmp_path / "gate.jsonl"
    lines = (header, {**pair, "head_seconds": None}, failed)
    path.write_text("".join(f"{json.dumps(each)}\n" for each in lines), encoding="utf-8")
    with pytest.raises(InputError, match=r"line 2: .* needs seconds above 0"):
        read(path)


def test_runs_of_earlier_versions() -> None:
    """The committed runs, written by earlier versions, are read whole."""
    for folder in sorted(REFERENCE.glob("*/run.jsonl")):
        found = read(folder)
        assert found.notes == ()
        assert found.samples
        # A large image is measured a few times, and not looked at for where the time goes.
        if found.header.dataset["name"] != "mosaic":
            assert len(found.samples) > 50
            assert read_profiles(folder.parent)


@settings(max_examples=30, deadline=None)
@given(written=st.lists(samples, max_size=5))
def test_round_trip(written: list[Sample]) -> None:
    """What is read is what was written, whatever the text in it."""
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), *written)
        assert read(Path(name) / RUN_NAME) == Records(HEADER, written, ())


@settings(max_examples=30, deadline=None)
@given(cause=st.text() | st.sampled_from(["a\u2028b", "a\x85b", "a\x1cb"]))
def test_text_may_be_written_as_it_is(cause: str) -> None:
    """A program that doesn't escape text beyond ASCII writes lines that can be read, too."""
    values = {**dataclasses.asdict(SAMPLE), "cause": cause}
    with tempfile.TemporaryDirectory() as name:
        text = json.dumps(values, ensure_ascii=False)
        try:
            write_lines(Path(name), line(HEADER), text)
        except UnicodeEncodeError:
            return  # half a surrogate pair: no text at all
        assert read(Path(name) / RUN_NAME).samples[0].cause == cause


def test_keys_of_later_versions_are_passed_over(tmp_path: Path) -> None:
    """Keys that this version does not know are no error, in the header or in a sample."""
    write_lines(tmp_path, line(HEADER, energy="?"), line(watts=[1, 2]))
    assert read(tmp_path / RUN_NAME) == Records(HEADER, [SAMPLE], ())


def test_keys_that_were_added_may_be_missing(tmp_path: Path) -> None:
    """A sample with no more than the promised keys can be read."""
    values = {key: value for key, value in json.loads(line()).items() if key in SAMPLE_KEYS}
    write_lines(tmp_path, line(HEADER), json.dumps(values))
    (sample,) = read(tmp_path / RUN_NAME).samples
    assert sample == dataclasses.replace(SAMPLE, calls=0)


@pytest.mark.parametrize("number", [math.nan, math.inf, 0.0, -1.0, None])
def test_a_sample_that_is_ok_has_a_time(number: float | None) -> None:
    """A time that is none, or that JSON has no word for, is refused before it is written."""
    with pytest.raises(ValueError, match="needs seconds above 0"):
        dataclasses.replace(SAMPLE, seconds=number)


def test_samples_are_on_disk_before_the_next(tmp_path: Path) -> None:
    """While a run goes on, another program sees every sample that was appended."""
    with Writer.create(tmp_path / RUN_NAME, HEADER) as writer:
        assert read(tmp_path / RUN_NAME) == Records(HEADER, [], ())
        for count in range(1, 4):
            writer.append(SAMPLE)
            assert read(tmp_path / RUN_NAME) == Records(HEADER, [SAMPLE] * count, ())


def test_existing_run_is_refused(tmp_path: Path) -> None:
    """A run never overwrites another, and says what to do."""
    before = write(tmp_path, SAMPLE)
    with pytest.raises(InputError, match="exists: give another --out"):
        Writer.create(tmp_path / RUN_NAME, HEADER)
    assert (tmp_path / RUN_NAME).read_text(encoding="utf-8").splitlines() == before


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        line()[:-9],
        "[]",
        "3",
        "null",
        '"text"',
        "[" * 100_000,
        '{"phase": "read"}',
        line(status="fine"),
        line(status=None),
        line(status="ok", seconds=None),
        line(status="ok", seconds=0),
        line(status="ok", seconds=-1.0),
        line(status="ok", seconds="0.1"),
        line(status="ok", seconds=True),
        line(status="ok", seconds=float("nan")),
        line(status="error", seconds="never"),
        line(n_images="20"),
        line(n_images=0),
        line(n_images=10**400),
        line(block=1.5),
        line(peak_mib=float("inf")),
        line(reader=7),
        line(cause=None),
    ],
)
def test_damaged_line_is_named(tmp_path: Path, damaged: str) -> None:
    """A line that can't be used is an input error of one line that names the file and the line."""
    path = write_lines(tmp_path, line(HEADER), line(), damaged, line())
    with pytest.raises(InputError) as caught:
        read(tmp_path / RUN_NAME)
    message = str(caught.value)
    assert message.startswith(f"{path}, line 3: ")
    assert "\n" not in message


def test_unknown_status_is_said(tmp_path: Path) -> None:
    """The message on an unknown status shows it."""
    write_lines(tmp_path, line(HEADER), line(status="fine"), line())
    with pytest.raises(InputError, match=r"not a sample .*'fine'"):
        read(tmp_path / RUN_NAME)


@pytest.mark.parametrize(
    "header",
    [line(), "{", "[]", line(HEADER, machine=None), line(HEADER, settings=[]), line(HEADER)[:40]],
)
def test_damaged_header_is_named(tmp_path: Path, header: str) -> None:
    """A first line that is no header is an input error that names line 1."""
    path = write_lines(tmp_path, header, line())
    with pytest.raises(InputError) as caught:
        read(tmp_path / RUN_NAME)
    assert str(caught.value).startswith(f"{path}, line 1: ")


def test_other_schema_is_refused(tmp_path: Path) -> None:
    """A file of another schema is refused, and both schemas are said."""
    write_lines(tmp_path, line(HEADER, schema=2), line())
    with pytest.raises(InputError, match="schema 2, but this segbench reads 1"):
        read(tmp_path / RUN_NAME)


def test_missing_and_empty_files(tmp_path: Path) -> None:
    """No file, an empty one, and one that is not text are input errors that name the file."""
    path = tmp_path / RUN_NAME
    with pytest.raises(InputError, match="can't be read"):
        read(tmp_path / RUN_NAME)
    path.touch()
    with pytest.raises(InputError, match="empty"):
        read(tmp_path / RUN_NAME)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="line 1: not a header"):
        read(tmp_path / RUN_NAME)
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match="can't be read"):
        read(tmp_path / RUN_NAME)


@pytest.mark.parametrize("kept", [0, 1, 40, -2])
def test_damaged_last_line_is_left_out(tmp_path: Path, kept: int) -> None:
    """Half a line at the end, as a killed process leaves it, is left out with a note."""
    path = write_lines(tmp_path, line(HEADER), line())
    half = line()[:kept] if kept else "\0\0\0"
    path.write_text(path.read_text(encoding="utf-8") + half, encoding="utf-8")
    run = read(tmp_path / RUN_NAME)
    assert run.samples == [SAMPLE]
    assert run.notes == ("line 3, the last, is damaged: left out",)


@pytest.mark.parametrize("end", [b"", line().encode()[:30], "é".encode()[:1], b"\0\0\n"])
def test_a_run_is_gone_on_with(tmp_path: Path, end: bytes) -> None:
    """What is appended to a run that was cut short follows its last whole line."""
    write(tmp_path, SAMPLE)
    path = tmp_path / RUN_NAME
    path.write_bytes(path.read_bytes() + end)
    later = dataclasses.replace(SAMPLE, block=2)
    with Writer.reopen(tmp_path / RUN_NAME) as writer:
        writer.append(later)
    assert read(tmp_path / RUN_NAME) == Records(
        dataclasses.replace(HEADER, resumed=1), [SAMPLE, later], ()
    )


def test_a_line_that_lacks_its_end_alone_is_kept(tmp_path: Path) -> None:
    """A last line that is whole but for the line feed is a sample, and the next has its own line."""
    write(tmp_path, SAMPLE)
    path = tmp_path / RUN_NAME
    path.write_bytes(path.read_bytes()[:-1])
    with Writer.reopen(tmp_path / RUN_NAME) as writer:
        writer.append(SAMPLE)
    assert read(tmp_path / RUN_NAME) == Records(
        dataclasses.replace(HEADER, resumed=1), [SAMPLE, SAMPLE], ()
    )


def test_profiles_round_trip(tmp_path: Path) -> None:
    """Profiles are read as they were written; a run without them has none."""
    assert read_profiles(tmp_path) == []
    failed = dataclasses.replace(PROFILE, status="crashed", cause="killed", parts={}, calls={})
    for profile in (PROFILE, failed):
        write_profile(tmp_path, profile)
    assert read_profiles(tmp_path) == [PROFILE, failed]


@pytest.mark.parametrize(
    "damaged",
    [
        "{",
        line(PROFILE, seconds="long"),
        line(PROFILE, parts=[1]),
        line(PROFILE, parts={"blur": "1"}),
        line(PROFILE, calls={"blur": float("nan")}),
        line(PROFILE, reader=None),
        line(PROFILE, tasks=True),
        line(PROFILE, seconds=0),
        line(PROFILE, n_images=0),
    ],
)
def test_damaged_profile_is_named(tmp_path: Path, damaged: str) -> None:
    """A profile that can't be used is an input error that names its line; the last is left out."""
    path = tmp_path / PROFILES_NAME
    path.write_text(f"{line(PROFILE)}\n{damaged}\n", encoding="utf-8")
    assert read_profiles(tmp_path) == [PROFILE]
    path.write_text(f"{damaged}\n{line(PROFILE)}\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 1: "):
        read_profiles(tmp_path)


@pytest.mark.parametrize("end", ["", '{"reader": "sk'])
def test_profiles_follow_the_last_whole_line(tmp_path: Path, end: str) -> None:
    """A profile that is appended after half a line does not become part of it."""
    path = tmp_path / PROFILES_NAME
    write_profile(tmp_path, PROFILE)
    path.write_text(path.read_text(encoding="utf-8") + end, encoding="utf-8")
    for _ in range(2):
        write_profile(tmp_path, PROFILE)
    assert read_profiles(tmp_path) == [PROFILE] * 3


def test_a_gate_leaves_the_profiles_of_a_run(tmp_path: Path) -> None:
    """A gate that is written into the folder of a run takes nothing of it away."""
    write_profile(tmp_path, PROFILE)
    with Writer.create(tmp_path / "gate.jsonl", HEADER):
        pass
    assert read_profiles(tmp_path) == [PROFILE]


def test_a_new_run_has_no_old_profiles(tmp_path: Path) -> None:
    """What a run that was removed has left behind is not taken for the new run's."""
    write_profile(tmp_path, PROFILE)
    write(tmp_path, SAMPLE)
    assert read_profiles(tmp_path) == []
