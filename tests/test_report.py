"""The report as files: HTML, Markdown and CSV from made-up samples."""

from __future__ import annotations

import ast
import csv
import json
import math
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from segbench.measure.settings import PHASES
from segbench.report.answer import answer
from segbench.report.choice import Part
from segbench.report.disturbances import warnings
from segbench.report.page import GROUPS, build, make_runs, make_sections, method
from segbench.report.pairs import pairs_of
from segbench.report.rendering import markdown_text
from segbench.report.reproduce import METHOD_LINK
from segbench.report.summary import summarize
from segbench.results.sources import read_run_folder
from segbench.stats import ALPHA, FALSE_SHARE, MARGIN
from segbench.text import one_line
from tests.made_up import (
    DASK,
    NASTY,
    POOL,
    SERIAL,
    called,
    case,
    limits,
    make_source,
    ordinary,
    profile,
    sample,
    sentences_of,
    tables_of,
)
from tests.pages import asks_for_nothing, read_page

if TYPE_CHECKING:
    from segbench.results.records import Sample
    from segbench.results.sources import Source

SOURCE = Path(__file__).parents[1] / "src" / "segbench"
TEMPLATES = SOURCE / "report" / "templates"

# Bytes of a file name that are no text, and how they are written out.
NO_TEXT, WRITTEN_OUT = "cell-\udcff-\ud800", r"cell-\udcff-\ud800"
SCRIPT_END = "<\\script></script><!--<script>\u2028&"


def wrong_once() -> Source:
    """A backend that is fast, and wrong at the larger size only."""
    return make_source(
        case(SERIAL, "read", 1, *[1.0] * 5),
        case(DASK, "read", 1, *[0.001] * 5),
        case(POOL, "read", 1, *[0.5] * 5),
        case(SERIAL, "pipeline", 1, *[1.0] * 5),
        case(DASK, "pipeline", 1, *[0.001] * 5, first_seconds=0.00212),
        case(SERIAL, "pipeline", 20, *[1.0] * 5, first_seconds=2.0),
        [sample(DASK, "pipeline", 20, status="wrong-result", cause="pipeline: 3 cells too many")],
        profiles=(profile(SERIAL), profile(DASK, seconds=0.00777)),
    )


def all_kinds() -> Source:
    """Cells with a verdict, a share and a status, a note, and everything a run's report has."""
    return ordinary(
        name="first run",
        notes=("something was left out",),
        profiles=(
            profile(POOL, parts={"decode": 0.25, "blur": 0.74}),
            profile(DASK, status="memory"),
        ),
    )


def nasty() -> Source:
    """A source with markup wherever it has text, and names that are no UTF-8."""
    backend = "/".join(3 * [NASTY.replace("/", "-")])
    return make_source(
        case(SERIAL, "read", 1, 1.0, 1.0),
        case(backend, "read", 1, 0.5, 0.5),
        case(f"{NO_TEXT}/a/b", "pipeline", 1, 0.5, 0.5),
        [sample(DASK, "read", 1, status="error", cause=f"{NASTY}\n\n# not a heading{NO_TEXT}")],
        *([sample(SERIAL, start, 1, status="error", cause=f"{start}SUM(A1)")] for start in "=+-@"),
        case(POOL, "read", 1, 1.0, peak_mib=-1.0),
        name=f"{NASTY}{SCRIPT_END}{NO_TEXT}",
        kind=NASTY,
        started=NASTY,
        machine={"cpu": NASTY, NASTY: NASTY},
        notes=(NASTY,),
        settings={"command": NO_TEXT},
        profiles=(
            profile(SERIAL),
            profile(backend),
            profile(DASK, status=NASTY, cause=NASTY),
            profile(f"{NO_TEXT}/a/b"),
        ),
        dataset={"name": f"{NASTY}{NO_TEXT}", "shape": [NASTY], "dtype": NASTY},
    )


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report on one source."""
    return build([all_kinds()], tmp_path_factory.mktemp("one")).parent


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report on two sources."""
    sources = [ordinary(name="first run"), wrong_once()]
    return build(sources, tmp_path_factory.mktemp("two")).parent


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report on a source whose texts are all hostile."""
    return build([nasty()], tmp_path_factory.mktemp("hostile")).parent


def test_wrong_anywhere_is_wrong_everywhere(two: Path) -> None:
    """A backend that was wrong once has no time in any table, figure or finding."""
    (section,) = make_sections([wrong_once()])
    own = section.summary[section.summary["backend"] == DASK]
    assert list(own["status"]) == ["wrong-result"] * 3
    assert own[["seconds_median", "ratio"]].isna().all(axis=None)
    shown = {table.name: table.texts for table in section.tables}
    phases = [f"{phase}-{kind}" for phase in ("read", "pipeline") for kind in ("times", "ratios")]
    for name in (*phases, "parts", "cold-start", "pipeline-first-calls"):
        (cells,) = (row[1:] for row in shown[name] if row[0] == DASK)
        assert set(cells) == {"wrong-result"}
    assert not any(row[0] == "Dask imread" for row in shown["presentation-read"])
    (run,) = make_runs([section])
    assert "(wrong-result)." in run.answer.left_out[0]
    assert section.drawings
    assert not any(DASK in drawing.alt for drawing in section.drawings)
    assert "3 cells too many" in read_page(two / "index.html").text


def test_method_says_how_files_were_read() -> None:
    """The page says warm or cold as the settings do; an older run was warm."""
    cold, warm = (make_source(settings={"cache": cache}) for cache in ("cold", "warm"))
    old = make_source(settings={})
    assert "dropped from" in method([cold])[-1]
    assert "through the page cache" in method([warm])[-1]
    assert method([old]) == method([warm]) == method([warm, old])
    told = " ".join(method([old]))
    for words in (f"level of {ALPHA:.0%}", f"most {FALSE_SHARE:.0%}", f"within {MARGIN:.0%} of 1"):
        assert words in told
    for phase, meaning in PHASES.items():
        assert f"{phase} ({meaning})" in told
    other = make_source(settings={}, name="another", started="later")
    assert method([cold, old, other])[-2:] == [
        f"a run (2024-01-02T03:04:05+00:00): {method([cold])[-1]}",
        f"a run (2024-01-02T03:04:05+00:00), another (later): {method([warm])[-1]}",
    ]


def test_the_page_is_short_before_anything_is_opened(tmp_path: Path) -> None:
    """The reference run has fewer than 2,500 words then, and all of its tables behind headings."""
    source = Path(__file__).parents[1] / "results" / "reference" / "smear"
    page = read_page(build(read_run_folder(source), tmp_path))
    assert len(page.text_before_opening.split()) < 2500
    for words in ("Use scikit-image in a thread pool", *GROUPS):
        assert words in page.text_before_opening
    assert "The samples behind every number" not in page.text_before_opening
    assert "The samples behind every number" in page.text
    # Each of these samples can be measured alone.
    assert page.text.count("segbench run --sizes 500 --phases pipeline --backends") == 9


def test_commands_in_sentences_are_code(one: Path) -> None:
    """A command of segbench's between backticks is code on the page, and in Markdown."""
    html = (one / "index.html").read_text(encoding="utf-8")
    assert "<code>segbench run --images FOLDER</code>" in html
    assert "`segbench run --images FOLDER`" in (one / "report.md").read_text(encoding="utf-8")


def test_warnings_are_on_the_page(one: Path) -> None:
    """The answer comes first; warnings are a note below it, in HTML and in Markdown."""
    page = read_page(one / "index.html")
    assert [box["role"] for box in page.all("div") if box.get("class") == "warnings"] == ["note"]
    for text in (page.text, (one / "report.md").read_text(encoding="utf-8")):
        assert text.index("48% less time") < text.index("something was left out")


def test_cells_on_the_page(one: Path) -> None:
    """A cell gives scripts and styles its number, verdict and backend; what ends it has its own line."""
    text = (one / "index.html").read_text(encoding="utf-8")
    page = read_page(one / "index.html")
    assert "0.52× (0.46–0.58)</a> <small>faster</small></td>" in text
    assert ">740 ms <small>(74%)</small></td>" in text
    assert '<td data-verdict="memory" class="status">memory</td>' in text
    assert re.search(r'<td data-value="0.6"><a href="#case-[^"]+">600 ms</a></td>', text)
    values = [cell["data-value"] for cell in page.all("td") if "data-value" in cell]
    assert all(math.isfinite(float(value)) for value in values)
    assert {"0.5", "0.74", "20"} <= {*values}
    verdicts = {cell.get("data-verdict") for cell in page.all("td")}
    assert verdicts == {None, "faster", "slower", "memory"}
    assert {row.get("data-backend") for row in page.all("tr")} == {None, SERIAL, POOL, DASK}


# What a sample may have besides its time: nothing, nothing of it, little, much.
NUMBERS = st.sampled_from([None, 0.0, 0.5, 1e6])
SAMPLES = st.lists(
    st.builds(
        sample,
        st.sampled_from([SERIAL, POOL, DASK]),
        st.sampled_from(["read", "pipeline"]),
        st.sampled_from([1, 20, 50]),
        st.integers(0, 6),
        seconds=st.sampled_from([1e-9, 0.02, 0.021, 1.0, 1e5]),
        status=st.sampled_from(["ok"] * 12 + ["timeout", "wrong-result"]),
        cause=st.just("cause"),
        calls=st.sampled_from([0, 1, 100]),
        **dict.fromkeys(("first_seconds", "peak_mib", "idle_mib", "at", "cached"), NUMBERS),
        **dict.fromkeys(("withheld_seconds", "untimed_seconds"), NUMBERS),
    ),
    max_size=60,
)


@settings(max_examples=12, deadline=None)
@given(
    samples=SAMPLES, paired=st.booleans(), described=st.sampled_from([{}, limits(sizes=[1, 20])])
)
def test_whatever_was_sampled_makes_tables(
    samples: list[Sample], paired: bool, described: dict[str, Any]
) -> None:
    """No mixture of samples, gaps and failures stops a report or shows a number that is none."""
    source = make_source(samples, paired=paired, settings=described)
    summary = summarize(source)
    rows = [row for table in tables_of(source).values() for row in table.rows]
    cells = [cell for row in rows for cell in row.cells]
    assert all(cell.value is None or math.isfinite(cell.value) for cell in cells)
    said = answer([Part(source, summary, pairs_of(source))])
    sentences = [*sentences_of(said), *warnings(source)]
    texts = [*(cell.whole for cell in cells), *sentences]
    assert not [text for text in texts if "nan" in text or "inf" in text]
    assert (summary["verdict"].isin(["faster", "slower"]) <= summary["ratio_low"].notna()).all()


@settings(deadline=None)
@given(kinds=st.lists(st.sampled_from(["segbench", "asv", "pytest-benchmark"]), min_size=1))
def test_in_what_asvs_times_differ_is_told_with_them(kinds: list[str]) -> None:
    """A page with times of ASV's says in what they differ from the engine's; another does not."""
    told = " ".join(method([make_source(kind=kind, paired=kind == "segbench") for kind in kinds]))
    for words in (
        "single call",
        "caches cold",
        "whatever CPU",
        "no other backend's process beside",
    ):
        assert (words in told) == ("asv" in kinds)
    assert "neither an interval nor a verdict" in told


# Files.


def test_files_of_a_report(one: Path) -> None:
    """A report is a page, its Markdown twin, tables as CSV and figures in two formats."""
    assert sorted(path.name for path in one.iterdir()) == [
        *(".segbench-report.json", "figures", "index.html", "report.md", "tables"),
    ]
    drawn = ("read", "pipeline", "read-ratios", "pipeline-ratios", "memory", "parts")
    assert {path.name for path in (one / "figures").iterdir()} == {
        f"{name}.{kind}" for name in drawn for kind in ("svg", "png")
    }
    tables = tables_of(all_kinds())
    written = {path.stem for path in (one / "tables").iterdir()}
    assert written == {*tables, "best-pipeline", "samples", "summary"}
    assert {"read-times", "pipeline-ratios", "environment", "cases"} <= tables.keys()
    assert (one / "figures" / "read.png").read_bytes().startswith(b"\x89PNG")
    with (one / "tables" / "summary.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["seconds_median"]) for row in rows] == [0.01, 0.03, 1.0, 0.6]
    assert [row["verdict"] for row in rows] == ["", "slower", "", "faster"]
    page = read_page(one / "index.html")
    markdown = (one / "report.md").read_text(encoding="utf-8")
    for text in ("0.52× (0.46–0.58)", "faster", "600 ms", "Abacus 3000", "48% less time"):
        assert text in page.text
        assert text in markdown


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_same_input_gives_the_same_files(one: Path, tmp_path: Path) -> None:
    """A report made again of the same results has the same bytes."""
    build([all_kinds()], tmp_path)
    assert contents(tmp_path) == contents(one)


def test_page_makes_no_request(two: Path) -> None:
    """A browser that shows the page loads nothing: scripts, styles and pictures are in the page."""
    page = read_page(two / "index.html")
    assert page.all("img")
    assert asks_for_nothing(page)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {link["href"] for link in page.all("a")} - {METHOD_LINK}
    assert targets <= {f"#{one}" for one in ids}


def test_page_shows_names_as_text(hostile: Path) -> None:
    """Markup in names, causes and values is shown, not obeyed; bytes that are no text are written out."""
    page = read_page(hostile / "index.html")
    assert NASTY not in "".join(page.texts["script"])
    assert page.text.count(NASTY) >= 6
    assert page.text.count(WRITTEN_OUT) >= 4
    assert NASTY.replace("/", "-") in page.all("img")[0]["alt"]
    assert "<script>alert" not in (hostile / "index.html").read_text(encoding="utf-8")


def test_data_for_scripts_end_no_element(hostile: Path) -> None:
    """What the page's scripts read is JSON with every name in it, and holds nothing of HTML."""
    page = read_page(hostile / "index.html")
    (script,) = (script for script in page.texts["script"] if script.lstrip().startswith("{"))
    assert not re.search(r"[<>&\u2028]", script)
    (result,) = json.loads(script)["results"]
    assert one_line(SCRIPT_END) in result["name"]
    backends = {row["backend"] for row in result["rows"]}
    assert {SERIAL, "/".join(3 * [NASTY.replace("/", "-")])} <= backends


def test_scripts_build_no_html() -> None:
    """The page's own scripts make text of what they show, never HTML, and evaluate nothing."""
    for script in TEMPLATES.glob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|Function\(|\.on\w+ =",
            script.read_text(encoding="utf-8"),
        )


READERS = [path for part in ("report", "results") for path in (SOURCE / part).glob("*.py")]


@pytest.mark.parametrize("path", READERS, ids=lambda path: path.name)
def test_results_are_data(path: Path) -> None:
    """No module that reads or shows results unpickles, evaluates or runs anything."""
    forbidden = {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle", "subprocess"}
    calls = {"eval", "exec", "compile", "__import__", "read_pickle", "allow_pickle", "system"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module if isinstance(node, ast.ImportFrom) else ""
            names = {alias.name.partition(".")[0] for alias in node.names}
            assert not forbidden & {*names, (module or "").partition(".")[0]}
        if isinstance(node, ast.Call):
            called = node.func
            name = called.id if isinstance(called, ast.Name) else ""
            if isinstance(called, ast.Attribute) and ast.unparse(called.value) != "re":
                name = called.attr
            assert name not in calls
            assert not calls & {keyword.arg for keyword in node.keywords}


@pytest.mark.parametrize("before", ["", "## ", "> ", "- "])
@pytest.mark.parametrize("name", ["# big", "- item", "+ item", "> quote", "=1+1 #", "**x** `y`"])
def test_names_begin_no_block_of_markdown(before: str, name: str) -> None:
    """What makes a heading, a list, a quote or a style is text, at the start of a line and after."""
    tokens = MarkdownIt("commonmark").parse(before + markdown_text(name))
    kinds = [token.type for token in MarkdownIt("commonmark").parse(f"{before}name")]
    assert [token.type for token in tokens] == kinds
    (inline,) = (token for token in tokens if token.type == "inline")
    assert [(part.type, part.content) for part in inline.children or ()] == [("text", name)]


def test_csv_holds_no_formulas(hostile: Path) -> None:
    """Text that a spreadsheet would compute has an apostrophe before it; numbers have none."""
    for name in ("left-out", "summary"):
        text = (hostile / "tables" / f"{name}.csv").read_text(encoding="utf-8")
        assert all(f",'{start}SUM(A1)\n" in text for start in "=+-@")
        assert WRITTEN_OUT in text
    assert ",-1.0," in text


def test_markdown_shows_names_as_text(hostile: Path) -> None:
    """Markup in names, causes and values does not break the tables or become HTML."""
    text = (hostile / "report.md").read_text(encoding="utf-8")
    assert "cell-" in text
    assert "<script>" not in text
    assert "\n# not a heading" not in text
    assert text.count("\n# ") == 0
    assert text.count("\n> ") == 1
    code = re.compile("^```.*?^```", re.MULTILINE | re.DOTALL)
    shown = code.sub("", text).replace(f"`{SERIAL}`", "")
    assert not re.search(
        r"(?<!\\)[`*\[](?!Time of|Parts of|Peak memory of|how segbench)",
        shown.replace("![", "[").replace("](", "("),
    )
    bars = re.compile(r"(?<!\\)\|")
    for table in tables_of(nasty()).values():
        if table.name == "cases":
            continue
        lines = text.partition(f"### {table.title}\n")[2].strip().partition("\n\n")[0].splitlines()
        assert len(lines) == 2 + len(table.rows)
        assert {len(bars.findall(line)) for line in lines} == {len(table.columns) + 1}


def test_markdown_tables_are_tables(one: Path) -> None:
    """A Markdown table has its heading, the line under it and its rows without a gap."""
    text = (one / "report.md").read_text(encoding="utf-8")
    assert f"| Backend | 1 image |\n| --- | --- |\n| {SERIAL} | 10.0 ms |\n| {POOL} |" in text
    assert "](figures/read.svg)" in text


def test_alternative_texts_hold_data(one: Path) -> None:
    """The text of a figure says what it shows: phase, backends, times and sizes."""
    _, read, ratios, pipeline = (
        image["alt"] for image in read_page(one / "index.html").all("img")[:4]
    )
    loop, pool = called(SERIAL), called(POOL)
    assert f"{loop} 10.0 ms for 1 image; {pool} 30.0 ms for 1 image" in read
    assert f"for 1 image: {pool} 2.17× (1.70–2.77) slower" in ratios
    assert f"{loop} 1.00 s for 20 images; {pool} 600 ms for 20 images" in pipeline
    assert "Time of pipeline" in pipeline


def test_rows_of_one_heading_share_its_cell(one: Path) -> None:
    """The presentation's name spans its own figures and this run's."""
    cells = read_page(one / "index.html").all("th")
    assert next(cell["rowspan"] for cell in cells if "rowspan" in cell) == "4"


def test_several_sources_have_files_of_their_own(two: Path) -> None:
    """With several sources every file of one has its number, and the page shows both."""
    names = {path.name for folder in ("tables", "figures") for path in (two / folder).iterdir()}
    assert {"1-summary.csv", "2-summary.csv", "1-read.svg", "2-read.png"} <= names
    assert all(name.startswith(("1-", "2-")) for name in names)
    markdown = (two / "report.md").read_text(encoding="utf-8")
    text = read_page(two / "index.html").text
    for number, name in ((1, "first run"), (2, "a run")):
        assert f"](figures/{number}-read.svg)" in markdown
        assert name in text


def test_a_report_removes_what_an_earlier_one_left(two: Path, tmp_path: Path) -> None:
    """Tables and figures of an earlier report that this one has not are gone; other files stay."""
    shutil.copytree(two, tmp_path / "report")
    (tmp_path / "report" / "tables" / "notes.txt").write_text("mine")
    build([make_source()], tmp_path / "report")
    left = {path.name for path in (tmp_path / "report" / "tables").iterdir()}
    assert "notes.txt" in left
    assert not [name for name in left if name.startswith(("1-", "2-"))]


UNFINISHED = {
    "before the first sample": make_source(),
    "in the first block": make_source(case(SERIAL, "open", 1, 1.0), case(POOL, "open", 1, 1.0)),
    "before the baseline": make_source(case(POOL, "read", 1, 1.0)),
    "between the blocks": make_source(
        case(SERIAL, "read", 1, 1.0), case(POOL, "read", 1, 1.0, 2.0), case(DASK, "open", 20, 0.1)
    ),
    "nothing but failures": make_source(
        [sample(SERIAL, "read", 1, status="error", cause="no such codec")],
        [sample(POOL, "read", 1, status="memory", cause="too large")],
    ),
    "baseline failed": make_source(
        [*case(SERIAL, "read", 1, 1.0), sample(SERIAL, "read", 1, 2, status="crashed", cause="x")],
        case(POOL, "read", 1, 1.0, 1.0),
    ),
    "no blocks in common": make_source(
        case(SERIAL, "read", 1, 1.0), case(POOL, "read", 1, 1.0, 2.0)[1:]
    ),
    "nothing described": ordinary(machine={}, versions={}, settings={}, dataset={}),
    "dataset of unknown size": ordinary(settings={"sizes_left_out": [50]}, dataset={}),
    "unpaired": ordinary(paired=False),
    "a single size": make_source(case(SERIAL, "read", 1, 0.1521), case(POOL, "read", 1, 0.1522)),
    "a phase of later versions": make_source(
        case(SERIAL, "write", 1, 1.0), case(SERIAL, "read", 1, 1.0)
    ),
    "nothing but failed profiles": ordinary(profiles=(profile(POOL, status="crashed"),)),
    "an empty profile": ordinary(profiles=(profile(POOL, parts={}, calls={}),)),
    "settings of another kind": ordinary(
        machine={"load_at_start": "high", "cpus_available": []},
        settings={"precision": "0.03", "blocks": 5, "case_seconds": 15, "phases": [1, "read"]},
    ),
    "settings in part": ordinary(
        machine={"load_at_start": 1e9},
        settings={"precision": 0.03, "blocks": [], "sizes": 20, "phases": ["read"]},
    ),
    "sizes of another kind": ordinary(settings=limits(sizes=["1", [2], 20], phases=[[], "read"])),
    "backends of no kind": ordinary(
        settings={"backends": None, "sizes_left_out": 5, "cache": []},
        dataset={"shape": 7, "images": None, "truth": [1]},
    ),
    "backends of another kind": ordinary(
        settings={"backends": [[SERIAL], {}], "sizes_left_out": [[5], 50]},
        dataset={"images": "many", "truth": {"images": [1], "rand_error": "small"}},
    ),
    "numbers of any length": make_source(
        case(SERIAL, "read", 1, *[1.0] * 14),
        case(POOL, "read", 1, *[1.0] * 14),
        machine={"load_at_start": 10**400, "cpus": 10**400, "cpus_available": 2},
        settings=limits(precision=-1.0),
    ),
    "nothing but moments": make_source(
        [sample(SERIAL, "read", 1, 1, seconds=1.0, at=0.0, withheld_seconds=1.0)]
    ),
    "stopped before the second size": ordinary(settings=limits(sizes=[1, 20])),
}


@pytest.mark.parametrize("name", UNFINISHED)
def test_tables_of_an_unfinished_run(name: str) -> None:
    """Whatever there is makes tables: a run that stopped early, failed, or says little of itself."""
    source = UNFINISHED[name]
    texts = [text for table in tables_of(source).values() for row in table.texts for text in row]
    said = answer([Part(source, summarize(source), pairs_of(source))])
    texts += [*sentences_of(said), *warnings(source)]
    assert {*source.samples["cause"]} - {""} <= {*texts}
    assert not [text for text in texts if re.search("nan|None", text)]


@pytest.mark.slow
@pytest.mark.parametrize("name", UNFINISHED)
def test_page_of_an_unfinished_run(tmp_path: Path, name: str) -> None:
    """The same is shown on a page, with what figures it can have."""
    text = read_page(build([UNFINISHED[name]], tmp_path)).text
    for cause in UNFINISHED[name].samples["cause"]:
        assert cause in text
    assert "nan" not in text.lower()
    assert "None" not in text
