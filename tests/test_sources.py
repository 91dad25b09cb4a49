"""Every source of results as one table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from segbench.backends.interface import Description
from segbench.errors import InputError
from segbench.results.records import RUN_NAME, Header, Profile, Sample, Writer, write_profile
from segbench.results.sources import COLUMNS, Source, read_sources

ROOT = Path(__file__).parents[1]
SERIAL = "skimage/skimage/serial"
THREADS = "dask-image/dask-image/threads"
NAN = float("nan")

# As asv 0.6 names what stands in a row of its results.
ASV_COLUMNS = [
    *("result", "params", "version", "started_at", "duration"),
    *("stats_ci_99_a", "stats_ci_99_b", "stats_q_25", "stats_q_75"),
    *("stats_number", "stats_repeat", "samples", "profile"),
]


def write_run(folder: Path, *, started: str = "2024-01-02T03:04:05", cause: str = "") -> Path:
    """A run folder with two samples."""
    header = Header(
        started=started,
        machine={"cpu": cause or "abacus"},
        versions={"dask": "1"},
        settings={"sizes": [1]},
        dataset={"name": cause or "smear"},
    )
    reader, processor, scheduler = SERIAL.split("/")
    with Writer.create(folder / RUN_NAME, header) as writer:
        for block in (1, 2):
            sample = Sample(
                phase="read",
                reader=reader,
                processor=processor,
                scheduler=scheduler,
                n_images=1,
                block=block,
                seconds=0.5 * block,
                status="ok",
                calls=3,
                cause=cause,
            )
            writer.append(sample)
    return folder


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ({"made": "mosaic"}, "scikit-image on the whole image"),
        ({"made": "smear"}, "a loop"),
        ("a word", "a loop"),
    ],
)
def test_of_one_large_image_the_plain_loop_is_the_whole(
    tmp_path: Path, origin: object, words: str
) -> None:
    """There is nothing to loop over, whatever the run calls it."""
    loop = Description(words="a loop", libraries=(), work="scikit-image")
    header = Header(
        started="2024-01-02T03:04:05",
        machine={},
        versions={},
        settings={},
        dataset={"origin": origin},
        backends={SERIAL: loop},
    )
    with Writer.create(tmp_path / RUN_NAME, header):
        pass
    (source,) = read_sources(tmp_path)
    assert source.backends[SERIAL].words == words


def pytest_content(**extra: Any) -> dict[str, Any]:
    """What pytest-benchmark 5 writes with ``--benchmark-json``, of one benchmark."""
    info = {"backend": THREADS, "phase": "pipeline", "n_images": 20, "objects": 7, **extra}
    return {
        "machine_info": {
            "node": "here",
            "processor": "x86_64",
            "machine": "x86_64",
            "python_implementation": "CPython",
            "python_version": "3.12.1",
            "release": "6.1",
            "system": "Linux",
            "cpu": {"brand_raw": "Abacus 3000", "count": 2},
        },
        "commit_info": {"id": "0123", "dirty": False, "branch": "main"},
        "benchmarks": [
            {
                "group": None,
                "name": "test_pipeline[20]",
                "fullname": "tests/benchmarks/test_phases.py::test_pipeline[20]",
                "params": {"n_images": 20},
                "param": "20",
                "extra_info": info,
                "options": {"timer": "perf_counter", "min_rounds": 5, "warmup": False},
                "stats": {
                    "min": 0.1,
                    "max": 0.3,
                    "mean": 0.2,
                    "median": 0.25,
                    "rounds": 2,
                    "iterations": 1,
                    "data": [0.1, 0.3],
                },
            }
        ],
        "datetime": "2024-01-02T03:04:05+00:00",
        "version": "5.1.0",
    }


def asv_row(result: list[float | None] | None, samples: list[Any] | None = None) -> list[Any]:
    """A row of two backends and two sizes; asv cuts it after its last value."""
    params = [[f"'{SERIAL}'", f"'{THREADS}'"], ["1", "20"]]
    row: list[Any] = [result, params, "0a1b", 1704164646000, 12.5]
    if samples is not None:
        row += [[0.1] * 4, [0.3] * 4, [0.1] * 4, [0.3] * 4, [1] * 4, [3] * 4, samples]
    return row


def asv_content(**rows: list[Any]) -> dict[str, Any]:
    """What asv 0.6 writes of one commit in one environment."""
    return {
        "commit_hash": "0123456789abcdef0123456789abcdef01234567",
        "env_name": "virtualenv-py3.12",
        "date": 1704164645000,
        "params": {"arch": "x86_64", "cpu": "Abacus 3000", "machine": "here", "num_cpu": "2"},
        "python": "3.12",
        "requirements": {},
        "env_vars": {},
        "result_columns": ASV_COLUMNS,
        "results": {f"segmentation.Files.{name}": row for name, row in rows.items()},
        "durations": {"<build>": 2.5},
        "version": 2,
    }


def write_asv(results: Path, content: Any, *, commit: str = "01234567") -> Path:
    """An asv results folder; the path of the file of the commit."""
    machine = results / "here"
    machine.mkdir(parents=True, exist_ok=True)
    (machine / "machine.json").write_text('{"machine": "here", "version": 1}', encoding="utf-8")
    (results / "benchmarks.json").write_text('{"version": 2}', encoding="utf-8")
    path = machine / f"{commit}-virtualenv-py3.12.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def read_one(path: Path) -> Source:
    """The only source of a path."""
    (source,) = read_sources(path)
    return source


def values(source: Source, *names: str) -> list[tuple[Any, ...]]:
    """Some columns of the samples, as plain rows."""
    return list(source.samples[list(names)].itertuples(index=False, name=None))


def test_run_folder_and_its_file_are_the_same(tmp_path: Path) -> None:
    """A run can be named by its folder or by its file."""
    folder = write_run(tmp_path / "run")
    first, second = read_one(folder), read_one(folder / RUN_NAME)
    pd.testing.assert_frame_equal(first.samples, second.samples)
    assert first.name == second.name == str(folder)
    assert (first.kind, first.paired, first.started) == ("segbench", True, "2024-01-02T03:04:05")
    assert values(first, "backend", "block", "seconds") == [(SERIAL, 1, 0.5), (SERIAL, 2, 1.0)]
    assert first.machine == {"cpu": "abacus"}


def test_profiles_of_a_run_are_read(tmp_path: Path) -> None:
    """What a run says of where its time went comes with its samples; an older one says nothing."""
    folder = write_run(tmp_path)
    assert read_one(folder).profiles == ()
    profile = Profile(
        reader="skimage",
        processor="skimage",
        scheduler="serial",
        n_images=20,
        seconds=1.5,
        parts={"decode": 1.5},
    )
    write_profile(folder, profile)
    assert read_one(folder).profiles == (profile,)


def test_damaged_last_line_is_noted(tmp_path: Path) -> None:
    """A run that was cut off in the midst of a line has its other samples, and a note."""
    folder = write_run(tmp_path)
    assert read_one(folder).notes == ()
    with (folder / RUN_NAME).open("a", encoding="utf-8") as file:
        file.write('{"phase": "re')
    source = read_one(folder)
    assert len(source.samples) == 2
    (note,) = source.notes
    assert "line 4" in note


def test_samples_of_an_older_run(tmp_path: Path) -> None:
    """Samples without the keys that later versions added are read; the columns are numbers."""
    folder = write_run(tmp_path)
    lines = (folder / RUN_NAME).read_text(encoding="utf-8").splitlines()
    added = (
        "first_seconds",
        "idle_mib",
        "at",
        "cached",
        "withheld_seconds",
        "untimed_seconds",
        "cpu_seconds",
        "tasks",
    )
    samples = [json.loads(line) for line in lines[1:]]
    older = [{name: one[name] for name in one if name not in added} for one in samples]
    text = "\n".join([lines[0], *(json.dumps(one) for one in older)])
    (folder / RUN_NAME).write_text(text, encoding="utf-8")
    frame = read_one(folder).samples
    assert list(frame["seconds"]) == [0.5, 1.0]
    for name in (*added, "peak_mib"):
        assert frame[name].dtype == float
        assert frame[name].isna().all()


def rewritten(folder: Path, samples: list[dict[str, Any]]) -> Source:
    """A run folder with other samples."""
    header, *_ = (folder / RUN_NAME).read_text(encoding="utf-8").splitlines()
    lines = [header, *map(json.dumps, samples)]
    (folder / RUN_NAME).write_text("\n".join(lines), encoding="utf-8")
    return read_one(folder)


def samples_in(folder: Path) -> list[dict[str, Any]]:
    """The samples of a run folder, as they are in its file."""
    _, *lines = (folder / RUN_NAME).read_text(encoding="utf-8").splitlines()
    return [*map(json.loads, lines)]


def test_times_carry_their_rounds(tmp_path: Path) -> None:
    """Each time has its block and its round; those of an older run, which knows of none, are of one."""
    one, two = samples_in(write_run(tmp_path))
    without = [{name: of[name] for name in of if name != "round"} for of in (one, two)]
    for samples, rounds in (([one, {**two, "round": 3}], [1, 3]), (without, [1, 1])):
        times = rewritten(tmp_path, samples).times["read", 1][SERIAL]
        assert times.blocks.tolist() == [1, 2]
        assert times.rounds.tolist() == rounds
        assert times.seconds.tolist() == [0.5, 1.0]


def test_of_a_block_that_is_there_twice_the_last_counts(tmp_path: Path) -> None:
    """A file that was written on after a cut may hold a block again, and in any order."""
    one, two = samples_in(write_run(tmp_path))
    times = rewritten(tmp_path, [two, one, {**one, "seconds": 0.7}]).times["read", 1][SERIAL]
    assert times.blocks.tolist() == [1, 2]
    assert times.seconds.tolist() == [0.7, 1.0]


def test_of_several_runs_the_newest_is_read(tmp_path: Path) -> None:
    """A folder of runs stands for the one that was written last, whatever its name."""
    for name, started, modified in (("b", "old", 1000), ("a", "new", 2000), ("c", "older", 500)):
        file = write_run(tmp_path / name, started=started) / RUN_NAME
        os.utime(file, (modified, modified))
    assert read_one(tmp_path).started == "new"


def test_pytest_benchmark(tmp_path: Path) -> None:
    """Each round of pytest-benchmark is a sample of the case that its extra info names."""
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(pytest_content()), encoding="utf-8")
    source = read_one(path)
    assert (source.kind, source.paired) == ("pytest-benchmark", False)
    assert source.machine["cpu"] == "Abacus 3000"
    names = ("backend", "phase", "n_images", "seconds", "status", "objects")
    case = (THREADS, "pipeline", 20)
    assert values(source, *names) == [(*case, 0.1, "ok", 7), (*case, 0.3, "ok", 7)]


def test_pytest_benchmark_repeats_short_calls(tmp_path: Path) -> None:
    """A round of several calls is a sample of as many."""
    content = pytest_content()
    content["benchmarks"][0]["stats"]["iterations"] = 50
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert values(read_one(path), "seconds", "calls") == [(0.1, 50), (0.3, 50)]


@pytest.mark.slow
def test_pytest_suite_repeats_what_is_short(tmp_path: Path) -> None:
    """`open` of one image, a fraction of a millisecond, is timed in rounds of several calls."""
    path = tmp_path / "times.json"
    chosen = "tests/benchmarks/test_cases.py::test_case[skimage/skimage/serial-1-open]"
    command = [sys.executable, "-m", "pytest", chosen, "-p", "no:cacheprovider"]
    command += ["--benchmark-enable", f"--benchmark-json={path}"]
    # Beside other tests it would refuse to measure.
    variables = {name: one for name, one in os.environ.items() if "XDIST" not in name}
    subprocess.run(  # noqa: S603  (this interpreter, on the suite)
        command, cwd=ROOT, env=variables, check=True, capture_output=True, timeout=120
    )
    source = read_one(path)
    assert set(source.samples["phase"]) == {"open"}
    assert len(source.samples) >= 3
    assert (source.samples["calls"] > 1).all()


def test_pytest_benchmark_without_data(tmp_path: Path) -> None:
    """Where the rounds were not saved, the median stands for them."""
    content = pytest_content()
    del content["benchmarks"][0]["stats"]["data"]
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert values(read_one(path), "seconds") == [(0.25,)]


def test_asv(tmp_path: Path) -> None:
    """Values are matched with their parameters; samples are preferred; memory is in MiB."""
    content = asv_content(
        time_read=asv_row([0.2, 0.4, 0.6, 0.8], [[0.1, 0.3], [0.4], None, [0.8]]),
        time_pipeline=asv_row([1.0, 2.0, 3.0, 4.0]),
        peakmem_pipeline=asv_row([2.0**20, 2.0**21, 2.0**22, None]),
        track_objects=asv_row([5, 6, 7, 8]),
        track_wrong_result=asv_row([0, 0, 0, 0]),
    )
    write_asv(tmp_path, content)
    source = read_one(tmp_path)
    assert (source.kind, source.paired) == ("asv", False)
    assert source.started == "2024-01-02T03:04:05+00:00"
    assert source.machine["cpu"] == "Abacus 3000"
    assert source.versions["commit"].startswith("01234567")
    read = source.samples[source.samples["phase"] == "read"]
    assert list(zip(read["backend"], read["n_images"], read["seconds"], strict=True)) == [
        (SERIAL, 1, 0.1),
        (SERIAL, 1, 0.3),
        (SERIAL, 20, 0.4),
        (THREADS, 1, 0.6),
        (THREADS, 20, 0.8),
    ]
    assert read["objects"].isna().all()
    pipeline = source.samples[source.samples["phase"] == "pipeline"]
    assert list(pipeline["objects"]) == [5, 6, 7, 8]
    assert list(pipeline["peak_mib"][:3]) == [1.0, 2.0, 4.0]
    assert pd.isna(pipeline["peak_mib"].iloc[3])
    assert set(source.samples["status"]) == {"ok"}


def test_asv_skipped_and_failed(tmp_path: Path) -> None:
    """What asv skipped (NaN) is left out; what failed (null) is there, with its cause."""
    write_asv(tmp_path, asv_content(time_read=asv_row([0.2, NAN, None, 0.8])))
    rows = values(read_one(tmp_path), "backend", "n_images", "status", "cause")
    assert rows == [
        (SERIAL, 1, "ok", ""),
        (THREADS, 1, "error", "time_read failed; see the output of asv"),
        (THREADS, 20, "ok", ""),
    ]


def test_asv_benchmark_that_failed_throughout(tmp_path: Path) -> None:
    """A benchmark without any value counts as failed for each of its parameters."""
    content = asv_content(time_open=asv_row(None), time_read=asv_row([0.1, 0.2, 0.3, 0.4]))
    write_asv(tmp_path, content)
    samples = read_one(tmp_path).samples
    assert list(samples["status"]) == ["error"] * 4 + ["ok"] * 4


def test_asv_wrong_result(tmp_path: Path) -> None:
    """A backend that asv found to be wrong at one size is wrong at all."""
    times = asv_row([0.1, 0.2, 0.3, 0.4])
    content = asv_content(time_read=times, track_wrong_result=asv_row([0, 0, 0, 1]))
    write_asv(tmp_path, content)
    assert values(read_one(tmp_path), "backend", "status") == [
        *[(SERIAL, "ok")] * 2,
        *[(THREADS, "wrong-result")] * 2,
    ]


@pytest.mark.parametrize("checked", [[0, 0, 0, None], None])
def test_asv_comparison_that_failed(tmp_path: Path, checked: list[float | None] | None) -> None:
    """A backend whose result could not be compared is not ok."""
    times = asv_row([0.1, 0.2, 0.3, 0.4])
    write_asv(tmp_path, asv_content(time_read=times, track_wrong_result=asv_row(checked)))
    samples = read_one(tmp_path).samples
    assert set(samples[samples["backend"] == THREADS]["status"]) == {"error"}


def test_of_several_commits_the_newest_is_read(tmp_path: Path) -> None:
    """An asv folder stands for the result that was written last."""
    for commit, seconds, modified in (("b", 1.0, 1000), ("a", 2.0, 2000), ("c", 3.0, 500)):
        content = asv_content(time_read=asv_row([seconds] * 4))
        os.utime(write_asv(tmp_path, content, commit=commit), (modified, modified))
    assert set(read_one(tmp_path).samples["seconds"]) == {2.0}


@pytest.mark.parametrize("folder", ["", "asv"])
def test_folder_with_runs_and_asv_results(tmp_path: Path, folder: str) -> None:
    """Both kinds may share a folder, ASV's in one of its own or, as at first, beside the runs."""
    write_run(tmp_path / "2024")
    path = write_asv(tmp_path / folder, asv_content(time_read=asv_row([1.0] * 4)))
    assert [source.kind for source in read_sources(tmp_path)] == ["segbench", "asv"]
    for named in (tmp_path / "asv", path) if folder else (path,):
        assert read_one(named).name == read_sources(tmp_path)[1].name


def test_asv_environments_have_a_history_each(tmp_path: Path) -> None:
    """Of one commit in several environments each is a source; a release is no commit."""
    measured = [("a", "1"), ("a", "2"), ("b", "1"), ("c", "1"), ("c", "2"), ("c", "0")]
    for number, (commit, dask) in enumerate(measured, start=1):
        content = asv_content(time_read=asv_row([float(number)] * 4))
        content |= {"commit_hash": commit * 40, "date": number, "requirements": {"dask": dask}}
        path = write_asv(tmp_path, content, commit=f"{commit * 8}-{dask}")
        os.utime(path, (number, number))
    found = {
        source.versions["dask"]: "".join(
            state.versions["commit"][0] for state in (*source.history, source)
        )
        for source in read_sources(tmp_path)
    }
    assert found == {"0": "c", "2": "ac", "1": "abc"}
    assert {state.versions["dask"] for state in read_sources(tmp_path)[2].history} == {"1"}


def test_every_source_has_the_same_columns(tmp_path: Path) -> None:
    """The tables of all kinds have the columns of a sample, and the backend's name."""
    write_run(tmp_path / "2024")
    write_asv(tmp_path, asv_content(time_read=asv_row([1.0] * 4)))
    bench = tmp_path / "bench.json"
    bench.write_text(json.dumps(pytest_content()), encoding="utf-8")
    for source in [*read_sources(tmp_path), *read_sources(bench)]:
        assert list(source.samples.columns) == [*COLUMNS, "backend"]
        assert source.samples["seconds"].dtype == float


HOSTILE = "__import__('os').system('exit 1') {{ 7 * 7 }} <script> =1+1"


def test_text_stays_text(tmp_path: Path) -> None:
    """Results are data: what looks like code in them is read as the text it is."""
    source = read_one(write_run(tmp_path / "run", cause=HOSTILE))
    assert set(source.samples["cause"]) == {HOSTILE}
    assert source.machine == {"cpu": HOSTILE}
    path = tmp_path / "bench.json"
    content = json.dumps(pytest_content(backend="__import__('os')/eval/exec", phase=HOSTILE))
    path.write_text(content, encoding="utf-8")
    assert values(read_one(path), "reader", "phase") == [("__import__('os')", HOSTILE)] * 2
    row = asv_row([1.0] * 4)
    row[1] = [["'__import__(\"os\")/eval/exec'"], ["1", "2", "3", "4"]]
    write_asv(tmp_path / "asv", asv_content(time_read=row))
    assert set(read_one(tmp_path / "asv").samples["reader"]) == {'__import__("os")'}


def fails(path: Path, *names: str) -> str:
    """The one line that a bad input is refused with; it holds all of `names`."""
    with pytest.raises(InputError) as caught:
        read_sources(path)
    message = str(caught.value)
    assert "\n" not in message
    for name in names:
        assert name in message
    return message


def test_missing_path(tmp_path: Path) -> None:
    """A path that does not exist is refused by its name."""
    path = tmp_path / "nowhere"
    fails(path, str(path), "no such file or folder")


def test_folder_without_results(tmp_path: Path) -> None:
    """A folder without results is refused, with what to do."""
    fails(tmp_path, str(tmp_path), "measure first")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "machine.json").write_text("{}", encoding="utf-8")
    fails(tmp_path, str(tmp_path), "measure first")


def without(content: dict[str, Any], name: str) -> dict[str, Any]:
    """The content without one of its keys."""
    return {key: value for key, value in content.items() if key != name}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not JSON",
        "[" * 100_000,
        "[]",
        "3",
        "null",
        "{}",
        '{"benchmarks": []}',
        '{"benchmarks": [{"name": "somebody else\'s"}]}',
        json.dumps(without(pytest_content(), "machine_info")),
        json.dumps(without(pytest_content(), "datetime")),
        json.dumps({**pytest_content(), "machine_info": "mine"}),
        json.dumps({**pytest_content(), "machine_info": {"cpu": None}}),
        json.dumps({**pytest_content(), "benchmarks": []}),
        json.dumps(pytest_content(backend="skimage")),
        json.dumps(pytest_content(backend=None)),
        json.dumps(pytest_content(n_images="many")),
        json.dumps(pytest_content(phase=3)),
    ],
)
def test_file_that_is_no_result(tmp_path: Path, text: str) -> None:
    """A file that pytest-benchmark did not write for segbench is refused by its name."""
    path = tmp_path / "bench.json"
    path.write_text(text, encoding="utf-8")
    fails(path, str(path))


def test_file_that_is_no_text(tmp_path: Path) -> None:
    """A picture is refused by its name."""
    path = tmp_path / "cells.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0")
    fails(path, str(path))


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        None,
        {**asv_content(), "results": []},
        asv_content(),
        asv_content(track_objects=asv_row([1, 2, 3, 4])),
        asv_content(time_read=asv_row([1.0])),
        asv_content(time_read=asv_row([1.0, 2.0, 3.0, -1.0])),
        asv_content(time_read=[[1.0], [], "0a1b"]),
        asv_content(time_read=[[1.0], [["'one'"], ["1"]], "0a1b"]),
        asv_content(time_read=[[1.0], [[f"'{SERIAL}'"], ["'many'"]], "0a1b"]),
        asv_content(time_read=[]),
        {**asv_content(time_read=asv_row([1.0] * 4)), "date": "yesterday"},
        {**asv_content(time_read=asv_row([1.0] * 4)), "date": 10**400},
        asv_content(time_read=asv_row([10**400] * 4)),
        {**asv_content(time_read=asv_row([1.0] * 4)), "params": 3},
        without(asv_content(time_read=asv_row([1.0] * 4)), "result_columns"),
    ],
)
def test_asv_file_that_is_no_result(tmp_path: Path, content: Any) -> None:
    """A file that asv did not write for segbench's suite is refused by its name."""
    fails(tmp_path, str(write_asv(tmp_path, content)))


def test_damaged_run(tmp_path: Path) -> None:
    """A damaged run is refused by the name of its file, however it was given."""
    file = write_run(tmp_path / "run") / RUN_NAME
    file.write_text("{", encoding="utf-8")
    for path in (tmp_path, tmp_path / "run", file):
        fails(path, f"{file}, line 1")
