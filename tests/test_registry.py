"""The registry: parts are found, say what is wrong with them, and describe themselves."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import tomllib
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from segbench.agreement import first_difference
from segbench.backends import phases, registry, schedulers
from segbench.backends.interface import SHARED
from segbench.backends.registry import BASELINE, BackendSpec, UnavailableError
from segbench.errors import InputError
from segbench.images import datasets
from segbench.measure import engine, machine
from segbench.measure.settings import RunSettings
from segbench.pipeline import PipelineParams
from segbench.report import page
from segbench.report.side_by_side import compare
from segbench.report.summary import summarize
from segbench.results.sources import read_run_folder
from tests.made_up import DASK, SERIAL, make_source, sample
from tests.scripted import Script, Watcher

DOCUMENT = Path(__file__).parents[1] / "docs" / "how-to" / "backends.md"
READERS = (
    *("skimage", "dask-image", "dask-array-pims", "dask-array-skimage"),
    *("dask-batched", "opencv", "tiles", "zarr"),
)
PROCESSORS = (
    *("skimage", "dask-image", "dask-image-area", "dask-blocks"),
    *("dask-image-blocks", "dask-image-one-by-one", "dask-image-stored"),
    *("dask-one-by-one", "opencv", "dask-opencv"),
    *("tiles", "dask-overlap", "dask-overlap-stored"),
    *("dask-image-tiles", "dask-image-tiles-stored"),
)
OPTIONAL = ("opencv", "dask-opencv", "zarr", "distributed", "joblib")
NAMED: dict[str, Any] = {"reader": "skimage", "processor": "skimage", "scheduler": "serial"}
NAMES = {"reader": READERS, "processor": PROCESSORS, "scheduler": tuple(schedulers.SCHEDULERS)}


def listed(name: str, kind: str = "processor") -> registry.Part:
    """A part as `segbench backends` lists it."""
    (part,) = (part for part in registry.parts() if (part.kind, part.name) == (kind, name))
    return part


# Specs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("skimage", "backend 'skimage': write reader/processor/scheduler, such as"),
        ("a/b/c/1/e", "backend 'a/b/c/1/e': write reader/processor/scheduler"),
        ("", "backend '': write reader/processor/scheduler"),
        ("skimag/skimage/serial", "unknown reader 'skimag' (did you mean skimage?): choose from"),
        ("skimage/xyz/serial", "unknown processor 'xyz': choose from dask-blocks, dask-image, "),
        ("skimage/skimage/thread", "unknown scheduler 'thread' (did you mean threads?): choose "),
        ("skimage//serial", "unknown processor '': choose from"),
        ("skimage/skimage/threads/none", "backend 'skimage/skimage/threads/none': 'none' images a"),
        ("skimage/skimage/threads/0", "backend 'skimage/skimage/threads/0': '0' images a task; "),
        ("skimage/skimage/threads/1/1", "backend 'skimage/skimage/threads/1/1': write reader/"),
    ],
)
def test_unknown_names_list_the_alternatives(text: str, message: str) -> None:
    """A spec with an unknown part is refused in one line that lists what there is."""
    with pytest.raises(InputError) as caught:
        registry.parse_spec(text)
    assert str(caught.value).startswith(message)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("kind", NAMES)
def test_alternatives_are_all_there(kind: str) -> None:
    """The alternatives are all readers, all processors or all schedulers, each listed once."""
    spec = BackendSpec(**{**NAMED, kind: "?"})
    with pytest.raises(InputError) as caught:
        registry.parse_spec(str(spec))
    assert {*NAMES[kind]} <= {*str(caught.value).split("choose from ")[1].split(", ")}
    # Those of a plugin are gone with its package.
    listed = [(part.name, part.source) for part in registry.parts() if part.kind == kind]
    assert sorted(listed) == sorted((name, "segbench") for name in NAMES[kind])


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("dask-image/skimage/serial", "the reader dask-image builds a Dask graph, which serial"),
        ("skimage/dask-blocks/thread-pool", "the processor dask-blocks builds a Dask graph"),
        ("dask-image/dask-image/process-pool", "the reader dask-image builds a Dask graph"),
    ],
)
def test_impossible_combinations_are_refused(spec: str, reason: str) -> None:
    """A scheduler that can't run its parts is refused with the reason and what could."""
    with pytest.raises(InputError) as caught:
        registry.load(registry.parse_spec(spec))
    assert str(caught.value).startswith(f"backend {spec}: {reason}")
    assert str(caught.value).endswith(f"use one of {', '.join(schedulers.WITH_DASK)}")


@pytest.mark.parametrize(
    ("spec", "takes"),
    [
        ("skimage/skimage/serial", False),
        ("skimage/skimage/thread-pool", True),
        ("skimage/skimage/synchronous", True),
        ("dask-image/skimage/threads", True),
        ("skimage/dask-blocks/threads", True),
        ("dask-batched/dask-one-by-one/threads", False),
        ("dask-array-skimage/dask-one-by-one/threads", False),
        ("dask-image/dask-image/threads", True),
        ("dask-image/dask-image-one-by-one/threads", False),
    ],
)
def test_which_take_a_batch(spec: str, takes: bool) -> None:
    """Images a task can be given where a task may have several; elsewhere they are refused."""
    assert registry.takes_batches(registry.parse_spec(spec)) == takes
    batched = registry.parse_spec(f"{spec}/7")
    assert (str(batched), batched.batch) == (f"{spec}/7", 7)
    assert BackendSpec.named(str(batched)) == batched
    if takes:
        registry.load(batched)
        assert registry.describe(batched).words.endswith(", 7 images a task")
    else:
        with pytest.raises(
            InputError, match=f"backend {spec}/7: .*; leave out the number of images"
        ):
            registry.load(batched)


def test_scheduler_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler whose library is missing says what to install, and is listed with it."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    spec = BackendSpec("skimage", "dask-blocks", "distributed")
    with pytest.raises(UnavailableError, match=r'pip install "segbench\[distributed\]"'):
        registry.load(spec)
    assert [name for name in schedulers.SCHEDULERS if listed(name, "scheduler").missing] == [
        "distributed"
    ]
    assert registry.packages(spec) == {"segbench": ("distributed",)}


# Parts of other packages


def write_distribution(folder: Path, name: str, points: str) -> None:
    """Put a distribution of some entry points into a folder, as an installation would."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: click\n"
    )
    (info / "entry_points.txt").write_text(points)


def found_as_reference(spec: str) -> bool:
    """Whether a backend finds the cells that the reference finds in smears."""
    pattern, params = datasets.lay_out(datasets.smear(2, shape=(32, 40)), 2), PipelineParams()
    found = []
    for each in (registry.parse_spec(spec), BASELINE):
        with phases.started(each, workers=1) as backend:
            found.append(phases.segment_files(backend, pattern, params))
    assert found[0].count > 0
    return first_difference(*found) is None


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A distribution with good and bad parts on the path, not installed; its name."""
    write_distribution(
        tmp_path,
        "cellplug",
        "[segbench.readers]\n"
        "cellplug = cellplug_good:READER\n"
        "cellplug-wrong = cellplug_good:PROCESSOR\n"
        "skimage = cellplug_good:READER\n"
        "[segbench.processors]\n"
        "cellplug = cellplug_good:PROCESSOR\n"
        "cellplug-told = cellplug_good:TOLD\n"
        "cellplug-broken = cellplug_broken:PROCESSOR\n"
        "cellplug-nothing = cellplug_good:NOTHING\n"
        "cellplug-plain = cellplug_plain:PROCESSOR\n"
        "cellplug-extra = cellplug_plain:PROCESSOR [fast]\n",
    )
    (tmp_path / "cellplug_good.py").write_text(
        "import dataclasses\n"
        "from segbench.backends import skimage\n"
        "from segbench.backends.readers import SKIMAGE as READER\n"
        "PROCESSOR = dataclasses.replace(skimage.PROCESSOR, label=lambda mask: skimage.label(mask))\n"
        "TOLD = dataclasses.replace(\n"
        "    PROCESSOR, words='the quick labels', libraries=('jinja2', 'Not_There'), work='labels'\n"
        ")\n"
    )
    (tmp_path / "cellplug_broken.py").write_text("raise RuntimeError('no licence')\n")
    (tmp_path / "cellplug_plain.py").write_text("import no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    return "cellplug"


def test_plugin_works(plugin: str) -> None:
    """A reader and a processor of another package are listed, do the work and describe themselves."""
    assert [listed(plugin, kind) for kind in ("reader", "processor")] == [
        registry.Part(kind, plugin, plugin, "") for kind in ("reader", "processor")
    ]
    assert found_as_reference(f" {plugin}/{plugin}/serial ")
    # It can't take over the name of one of segbench's parts.
    assert listed("skimage", "reader").source == "segbench"
    # Its own words, libraries and work are taken, and what its package requires.
    told = registry.describe(BackendSpec("skimage", "cellplug-told", "serial"))
    assert told.words == "the quick labels in a plain loop"
    assert told.work == "labels"
    assert {*told.libraries} == {*SHARED, "jinja2", "not-there", plugin, "click"}
    # One that is made of segbench's is not called as that, nor taken for its work.
    kept = registry.describe(BackendSpec("skimage", plugin, "serial"))
    assert kept.words == "cellplug in a plain loop"
    assert kept.work == plugin


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("cellplug-broken", "processor", "cellplug is broken: RuntimeError('no licence')"),
        ("cellplug-nothing", "processor", "cellplug is broken: AttributeError"),
        (
            "cellplug-wrong",
            "reader",
            "cellplug is broken: cellplug_good:PROCESSOR is a Processor, not a Reader",
        ),
        ("cellplug-plain", "processor", "No module named 'no_such_module'; pip install cellplug"),
        (
            "cellplug-extra",
            "processor",
            "No module named 'no_such_module'; pip install \"cellplug[fast]\"",
        ),
    ],
)
@pytest.mark.usefixtures("plugin")
def test_broken_plugins_do_not_stop_the_others(name: str, kind: str, reason: str) -> None:
    """A plugin that can't be used says why, and how it is installed where that is why, alone."""
    missing = listed(name, kind).missing
    assert missing.startswith(f"{kind} {name}")
    assert reason in missing
    spec = BackendSpec(**{**NAMED, kind: name})
    with pytest.raises(UnavailableError) as caught:
        registry.load(spec)
    assert str(caught.value) == missing
    assert registry.describe(spec).words == str(spec)
    own = [part for part in registry.parts() if part.source == "segbench"]
    assert not [part for part in own if part.missing and part.name not in (*OPTIONAL,)]


# What they say of themselves


def test_every_backend_has_words_of_its_own() -> None:
    """No two backends of segbench's own parts are called the same, and each says its work."""
    here = [part.name for part in registry.parts() if part.kind == "processor" and not part.missing]
    specs = [BackendSpec(*names, "threads") for names in product(READERS, {*PROCESSORS} & {*here})]
    specs += [BackendSpec("skimage", "skimage", name) for name in NAMES["scheduler"]]
    words, known = set(), {*registry.libraries()}
    for spec in {*specs}:
        described = registry.describe(spec)
        words.add(described.words)
        assert described.words != str(spec)
        assert described.work == ("OpenCV" if "opencv" in spec.processor else "scikit-image")
        assert {*SHARED} <= {*described.libraries} <= known
    assert len(words) == len({*specs})


DASKS = {"dask", "toolz", "cytoolz"}
PIMS = {"pims", "slicerator"}
CLUSTER = {"cloudpickle", "distributed", "msgpack", "tornado"}


@pytest.mark.parametrize(
    ("spec", "words", "own"),
    [
        ("skimage/skimage/serial", "scikit-image in a plain loop", set()),
        ("skimage/skimage/thread-pool", "scikit-image in a thread pool", set()),
        ("skimage/skimage/process-pool", "scikit-image in a process pool", {"cloudpickle"}),
        (
            "dask-image/dask-image/threads",
            "dask-image's filters and labels (read by dask_image.imread.imread) on Dask's threads",
            DASKS | PIMS | {"dask-image"},
        ),
        (
            "dask-array-pims/dask-blocks/distributed",
            "scikit-image over a Dask array (read by dask.array.image.imread over pims) on a Dask cluster",
            DASKS | PIMS | CLUSTER,
        ),
        (
            "dask-array-skimage/dask-blocks/threads",
            "scikit-image over a Dask array on Dask's threads",
            DASKS,
        ),
    ],
)
def test_backends_describe_themselves(spec: str, words: str, own: set[str]) -> None:
    """A backend is called by what does the work and where, and by its reader only if that matters.

    It names the libraries that its parts use beside what all do.
    """
    described = registry.describe(registry.parse_spec(spec))
    assert described.words == words
    assert {*described.libraries} == {*SHARED} | own


def test_examples_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package that docs/how-to/backends.md shows works: it finds the reference's cells, in its words."""
    blocks = re.findall(r"```(\w+)\n(.+?)```", DOCUMENT.read_text(), re.DOTALL)
    (tmp_path / "mypackage.py").write_text(
        "\n".join(text for kind, text in blocks if kind == "python")
    )
    (project,) = (text for kind, text in blocks if kind == "toml")
    points = tomllib.loads(project)["project"]["entry-points"]
    declared = "".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in points.items()
    )
    write_distribution(tmp_path, "mypackage", declared)
    monkeypatch.syspath_prepend(tmp_path)
    assert found_as_reference("dask-imread/quick-labels/threads")
    described = registry.describe(registry.parse_spec("dask-imread/quick-labels/threads"))
    assert described.words == (
        "scikit-image with scipy's labels (read by dask.array.image.imread) on Dask's threads"
    )
    assert described.work == "scipy's labels"


@pytest.mark.parametrize("spec", ["no/such/backend", "skimage/skimage/nowhere"])
def test_unknown_backends_are_described_by_their_name(spec: str) -> None:
    """Of a backend that is not known here there is its name, and its processor's for the work."""
    found = registry.describe(BackendSpec.named(spec))
    assert (found.words, found.libraries, found.work) == (spec, (), spec.split("/")[1])


def test_new_backend_is_seen_in_run_and_report(plugin: str, tmp_path: Path) -> None:
    """A processor that is added is in a run, by its words in the report, and in the comparison.

    There its libraries are those that differ between two runs, and are none of another backend's.
    """
    spec = BackendSpec("skimage", "cellplug-told", "serial")
    script = Script(seconds=lambda arm, _: 0.005 if arm.backend == spec else 0.01)
    settings = RunSettings(sizes=(1,), phases=("pipeline",), backends=(spec,), rounds=6)
    engine.run(
        [datasets.smear(1, shape=(32, 40))],
        settings,
        out=tmp_path / "run",
        watcher=Watcher(),
        command="a test",
        machine={},
        launch=script.launch,
    )
    (source,) = read_run_folder(tmp_path / "run")
    assert {*source.samples["backend"]} == {str(spec), str(BASELINE)}
    assert source.versions.items() >= {plugin: "1.0", **machine.versions()}.items()
    assert "jinja2" in source.versions
    assert source.backends[str(spec)] == registry.describe(spec)
    later = dataclasses.replace(source, versions={**source.versions, "jinja2": "0.1"})
    report = page.build([source, later], tmp_path / "report").with_name("report.md").read_text()
    assert "Use the quick labels in a plain loop" in report
    (beside,) = compare([source, later], [summarize(source), summarize(later)])
    told = {row.cells[0].text: row.cells[-1].text for row in beside.tables[-1].rows}
    assert told == {str(BASELINE): "–", str(spec): "jinja2"}


def test_sources_without_descriptions_know_them_from_here() -> None:
    """What a run of an earlier version, ASV or pytest-benchmark does not say is looked up here."""
    source = make_source([sample(SERIAL, "read", 1, seconds=1.0)])
    assert source.backends[DASK] == registry.describe(BackendSpec.named(DASK))


def test_names_are_known_without_arrays() -> None:
    """What the command line needs imports neither numpy nor anything that is slower."""
    code = (
        "import sys\n"
        "import segbench.backends.registry, segbench.images.origin, segbench.measure.machine\n"
        "print(sorted({'numpy', 'pandas', 'scipy', 'dask', 'skimage', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run(  # noqa: S603  (this interpreter, on the code above)
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
