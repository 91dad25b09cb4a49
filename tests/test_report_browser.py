"""The report in a browser: it works, asks nothing of the network, and can be used by everybody."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from segbench.report import gate_page as gate
from segbench.report import machines
from segbench.report.page import build
from tests import sent
from tests.made_up import DASK, NASTY, POOL, SERIAL, called, case, make_source, profile, sample
from tests.test_report_gate import nasty, ordinary

ROOT = Path(__file__).parents[1]

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

    from segbench.results.outcome import Outcome
    from segbench.results.sources import Source

pytestmark = pytest.mark.slow

# Set where a browser has to be there, as it is in CI: nothing is skipped then.
REQUIRED = os.environ.get("SEGBENCH_BROWSER") == "required"

ODD = f"{NASTY} <img src=x onerror=alert(2)>".replace("/", "-")
ODD_BACKEND = f"{ODD}/{ODD}/{ODD}"
SIZES = (1, 10, 100)

TRIES = 20  # of a third of a second, before a chart is drawn

# Waits for the chart, or for the end of the scripts where there is none.
READY = """
const done = arguments[arguments.length - 1];
const item = JSON.parse(document.getElementById("data").textContent).chart;
(function look() {
  const sizes = item && window.Bokeh?.documents[0]?.get_model_by_name("sizes-0");
  if (!item || sizes?.data.x.length) requestAnimationFrame(() => setTimeout(done, 50));
  else setTimeout(look, 20);
})();
"""

# Where a point of the chart is in the window.
POINT = """
const chart = Bokeh.documents[0];
const data = chart.get_model_by_name(arguments[0]).data;
const name = arguments[1];
const view = (function find(views) {
  for (const view of views) {
    const found = view.model.name === name ? view : find(view.child_views ?? []);
    if (found) return found;
  }
})([...Bokeh.index.roots]);
const frame = view.canvas_view.el.getBoundingClientRect();
const y = arguments[1] === "sizes" ? data.y[arguments[2]] : data.place[arguments[2]];
const at = [view.frame.x_scale.compute(data.x[arguments[2]]), view.frame.y_scale.compute(y)];
return [frame.left + at[0], frame.top + at[1]];
"""

# What axe objects to; or why it could not look. It fetches nothing.
RUN_AXE = """
const done = arguments[arguments.length - 1];
axe.run(document, { preload: false, resultTypes: ["violations"] })
  .then((found) => done(found.violations), (error) => done(String(error)));
"""

# What the tooltips say, which Bokeh draws in trees of their own.
TOOLTIPS = """
const found = [];
(function walk(root) {
  for (const element of root.querySelectorAll("*")) {
    if (element.matches(".bk-tooltip-row-value")) found.push(element.textContent);
    if (element.shadowRoot) walk(element.shadowRoot);
  }
})(document);
return found.join(" ");
"""


def everything(**other: Any) -> Source:
    """A source with all tables, and with names that are markup."""
    costs = {SERIAL: (1, 1), POOL: (4, 0.5), DASK: (0.5, 1.1), ODD_BACKEND: (3, 2)}
    cases = [
        case(
            backend,
            phase,
            size,
            *[(fixed + marginal * size) * noise for noise in (1.0, 1.01, 0.99, 1.02, 0.98)],
            objects=7 if phase == "pipeline" else None,
            peak_mib=100.0 + size,
            idle_mib=90.0,
            first_seconds=2.0 * size,
        )
        for backend, (fixed, marginal) in costs.items()
        for phase in ("read", "pipeline")
        for size in SIZES
    ]
    failed = sample("a/b/threads", "read", 1, status="error", cause=ODD)
    described: dict[str, Any] = {
        "name": ODD,
        "notes": (ODD,),
        "profiles": tuple(profile(backend) for backend in costs),
        "dataset": {"name": ODD, "images": 100, "shape": [192, 256, 3], "dtype": "uint8"},
        "machine": {"cpu": ODD, "cpus_available": 2},
    }
    return make_source(*cases, [failed], **{**described, **other})


def need(module: str) -> None:
    """Skip a test where a library is missing; where nothing may be skipped it will fail."""
    if not REQUIRED:
        pytest.importorskip(module)


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    """A browser that was started once."""
    need("selenium")
    from evidence import browser  # noqa: PLC0415  (needs selenium)

    if reason := browser.missing():
        if REQUIRED:
            pytest.fail(reason)
        pytest.skip(reason)
    with browser.started() as started:
        started.set_script_timeout(120)  # axe looks at every element
        yield started


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on two sources."""
    source = everything(name="first")
    return build([source, everything()], tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on one source."""
    return build([everything()], tmp_path_factory.mktemp("small"))


# What people call a backend stands before its name.
NAMES = {f"{called(one)} {one}": one for one in (SERIAL, POOL, DASK)}

# As somebody does who reads everything.
OPEN_ALL = "for (const one of document.querySelectorAll('details')) one.open = true;"


@pytest.fixture
def page(driver: Chrome, built: Path) -> Chrome:
    """The browser with the report freshly opened."""
    return opened(driver, built)


def opened(driver: Chrome, path: Path) -> Chrome:
    """The browser with a page opened, its chart drawn, and no log of what was before."""
    driver.get("about:blank")
    for kind in ("browser", "performance"):
        driver.get_log(kind)
    driver.get(path.as_uri())
    driver.execute_async_script(READY)
    driver.execute_script(OPEN_ALL)
    return driver


def emulate(driver: Chrome, *, scheme: str = "light", width: int = 0) -> None:
    """Show pages in a colour scheme, and in a window of so many pixels (0: its own)."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width > 0}
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", metrics | {"height": 800 * (width > 0)}
    )


def find(driver: Chrome, selector: str) -> WebElement:
    """The first element of a CSS selector."""
    return driver.find_element("css selector", selector)


def rows(driver: Chrome, heading: str) -> list[list[str]]:
    """The texts of the rows that are shown of the table under a heading, or of ``#explored``."""
    selector = heading if heading.startswith("#") else f'[aria-labelledby="{heading}"] table'
    found: list[list[str]] = driver.execute_script(
        "return [...document.querySelector(arguments[0]).tBodies[0].rows]"
        ".filter((row) => row.checkVisibility())"
        ".map((row) => [...row.cells].map((cell) => cell.textContent.trim()));",
        selector,
    )
    return [[NAMES.get(text, text) for text in row] for row in found]


def choose(driver: Chrome, name: str, value: str) -> None:
    """Choose an option of a control, as a reader does."""
    find(driver, f'select[name="{name}"] option[value="{value}"]').click()


def explored(driver: Chrome) -> list[tuple[str, str]]:
    """Backend and number of images of each row of the table of "Explore"."""
    return [(row[0], row[1]) for row in rows(driver, "#explored")]


def requests(driver: Chrome) -> list[str]:
    """Addresses that the page has asked for since the log was read last."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]


def logged(driver: Chrome) -> list[str]:
    """Errors and warnings since the log was read last."""
    return [one["message"] for one in driver.get_log("browser") if one["level"] != "INFO"]


def violations(driver: Chrome) -> list[str]:
    """What axe calls serious or critical, each with the elements that it is about."""
    from selenium_axe_python.axe import Axe  # noqa: PLC0415  (needs selenium)

    Axe(driver).inject()
    found = driver.execute_async_script(RUN_AXE)
    assert isinstance(found, list), found
    return [
        f"{one['id']}: {[node['html'][:120] for node in one['nodes'][:5]]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


# What it does by itself.


def test_no_error_and_no_request(page: Chrome) -> None:
    """Opening and using the page logs nothing, runs no name, and asks for nothing but the page."""
    choose(page, "size", "10")
    choose(page, "measure", "multiple")
    choose(page, "result", "1")
    assert logged(page) == []
    assert [url for url in requests(page) if not url.startswith(("data:", "about:"))] == [
        page.current_url
    ]


def test_request_would_be_seen(driver: Chrome, tmp_path: Path) -> None:
    """The test above can fail: a page that asks for a picture and logs an error is noticed."""
    path = tmp_path / "page.html"
    script = '<script id="data" type="application/json">{}</script><script>nothing.at.all</script>'
    path.write_text(f'{script}<img src="https://example.org/x.png">', encoding="utf-8")
    opened(driver, path)
    assert "https://example.org/x.png" in requests(driver)
    assert logged(driver)


def test_names_are_shown_and_not_run(page: Chrome) -> None:
    """A backend, dataset or machine that is named as markup is text in every part of the page."""
    text = page.execute_script("return document.body.innerText")
    assert text.count(ODD) >= 8
    assert any(backend == ODD_BACKEND for backend, _ in explored(page))
    assert not page.find_elements("css selector", "img[src=x], td script, th script")


def test_names_in_pictures_are_not_run(driver: Chrome, built: Path) -> None:
    """An SVG file that is opened by itself runs nothing of the names that it shows."""
    for path in sorted((built.parent / "figures").glob("*.svg")):
        driver.get(path.as_uri())
        assert not driver.execute_script("return document.querySelectorAll('script').length")


# What a reader can do.


def test_sorting(page: Chrome) -> None:
    """A click on a heading sorts by its numbers, not by their text; another turns it around."""
    # 1 image: 2 s, 4.5 s, 1.6 s and 5 s.
    head = find(page, '[aria-labelledby="1-pipeline-times"] th:nth-child(2)')
    button = head.find_element("css selector", "button")
    button.click()
    ascending = [row[0] for row in rows(page, "1-pipeline-times")]
    assert ascending == [DASK, SERIAL, POOL, ODD_BACKEND]
    assert head.get_attribute("aria-sort") == "ascending"
    button.click()
    assert [row[0] for row in rows(page, "1-pipeline-times")] == ascending[::-1]
    assert head.get_attribute("aria-sort") == "descending"


def test_sorting_puts_words_last(page: Chrome) -> None:
    """Cells are sorted by the numbers that they give, and a status stands after all in both directions."""
    give = """
    const [table] = document.querySelectorAll('[aria-labelledby="1-read-times"] table');
    [...table.tBodies[0].rows].forEach((row, place) => {
      const [text, value] = arguments[0][place] ?? ["–"];
      row.cells[1].textContent = text;
      if (value === undefined) delete row.cells[1].dataset.value;
      else row.cells[1].dataset.value = value;
    });
    """
    page.execute_script(give, [["1.00 s", 1], ["timeout"], ["999 ms", 0.999], ["2.5 µs", 2.5e-6]])
    button = find(page, '[aria-labelledby="1-read-times"] th:nth-child(2) button')
    for expected in (["2.5 µs", "999 ms", "1.00 s"], ["1.00 s", "999 ms", "2.5 µs"]):
        button.click()
        assert [row[1] for row in rows(page, "1-read-times")][:3] == expected


def test_sorting_what_was_chosen(page: Chrome) -> None:
    """The table of "Explore" is sorted by its numbers, too."""
    choose(page, "size", "1")
    for number, expected in ((2, ["1"] * 4), (4, ["1.60 s", "2.00 s", "4.50 s", "5.00 s"])):
        find(page, f"#explored th:nth-child({number}) button").click()
        assert [row[number - 1] for row in rows(page, "#explored")] == expected


def test_sorting_keeps_headings(page: Chrome) -> None:
    """Rows that shared a heading have it each once they are sorted: no row is without a backend."""
    before = rows(page, "1-costs")
    widest = max(map(len, before))
    assert min(map(len, before)) < widest
    find(page, '[aria-labelledby="1-costs"] th:nth-child(3) button').click()
    after = rows(page, "1-costs")
    assert {len(row) for row in after} == {widest}
    assert {row[0] for row in after} == {"read", "pipeline"}
    assert len(after) == len(before)


def test_filtering(page: Chrome) -> None:
    """A backend that is not chosen is gone from all tables, and comes back."""
    box = find(page, "#explore fieldset label:nth-of-type(2) input")
    box.click()
    for heading in ("1-pipeline-times", "1-costs", "2-read-ratios"):
        assert not [row for row in rows(page, heading) if POOL in row[:2]]
        assert [row for row in rows(page, heading) if DASK in row[:2]]
    assert POOL not in dict(explored(page))
    box.click()
    assert [row for row in rows(page, "1-pipeline-times") if POOL in row]
    assert POOL in dict(explored(page))


def test_choosing(page: Chrome) -> None:
    """Phase, size and result say what is in the table and in the chart."""
    assert len(explored(page)) == 4 * len(SIZES)
    choose(page, "size", "10")
    assert {size for _, size in explored(page)} == {"10"}
    assert rows(page, "#explored")[0] == [
        *(SERIAL, "10", "ok", "11.0 s", "10.8 s to 11.2 s", "1.00×", "–", "–", "5"),
    ]
    choose(page, "phase", "read")
    assert ("a/b/threads", "10") not in explored(page)
    choose(page, "size", "1")
    assert ("a/b/threads", "1") in explored(page)
    choose(page, "result", "1")
    assert len(explored(page)) == 5


def test_chart_follows(page: Chrome) -> None:
    """The chart has the chosen values: milliseconds or ratios, of all sizes or of one."""
    need("bokeh")
    data = "return Bokeh.documents[0].get_model_by_name(arguments[0]).data[arguments[1]]"
    assert page.execute_script(data, "sizes-0", "x") == list(SIZES)
    assert page.execute_script(data, "sizes-0", "y") == pytest.approx([2000, 11000, 101000])
    choose(page, "measure", "multiple")
    assert page.execute_script(data, "sizes-0", "y") == pytest.approx([1, 1, 1])
    choose(page, "size", "100")
    assert page.execute_script(data, "one", "backend")[:2] == [SERIAL, POOL]
    assert page.execute_script(data, "one", "x")[:2] == pytest.approx([1, 54 / 101])


@pytest.mark.parametrize(
    ("size", "source", "figure"), [("", "sizes-1", "sizes"), ("10", "one", "one-size")]
)
def test_hover(page: Chrome, size: str, source: str, figure: str) -> None:
    """Beside the point under the pointer are its value, its interval and its samples, as text."""
    need("bokeh")
    if size:
        choose(page, "size", size)
    text = ""
    for _ in range(TRIES):
        if text := hovered(page, source, figure):
            break
    for shown in (POOL, "9.00 s", "8.82 s to 9.18 s", "0.82×", "0.81–0.82", "5"):
        assert shown in text


def hovered(driver: Chrome, source: str, figure: str) -> str:
    """What is shown beside a point; empty while the chart is still being drawn."""
    from selenium.webdriver.common.action_chains import ActionChains  # noqa: PLC0415

    driver.execute_script("document.getElementById('chart').scrollIntoView({block: 'center'})")
    x, y = driver.execute_script(POINT, source, figure, 1)
    actions = ActionChains(driver, duration=0)
    for aside in (30, 0):
        actions.w3c_actions.pointer_action.move_to_location(round(x) - aside, round(y))
    actions.perform()
    driver.execute_async_script("setTimeout(arguments[0], 300)")
    text: str = driver.execute_script(TOOLTIPS)
    return text


def pasted(driver: Chrome) -> str:
    """What is on the clipboard."""
    text: str = driver.execute_async_script(
        "const done = arguments[0]; navigator.clipboard.readText().then(done, (error) => done(`${error}`));"
    )
    return text


def allow_clipboard(driver: Chrome) -> None:
    """Let the page read the clipboard, for the test."""
    permissions = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    driver.execute_cdp_cmd("Browser.grantPermissions", permissions)


@pytest.mark.parametrize("allowed", [True, False])
def test_copying(page: Chrome, allowed: bool) -> None:
    """A table is on the clipboard as CSV or Markdown, also where a page may not write to it."""
    allow_clipboard(page)
    if not allowed:
        page.execute_script("navigator.clipboard.writeText = () => Promise.reject(new Error())")
    tools = '[aria-labelledby="1-pipeline-times"] + .tools button'
    as_csv, as_markdown = page.find_elements("css selector", tools)
    as_csv.click()
    page.execute_async_script("setTimeout(arguments[0], 200)")
    read = list(csv.reader(io.StringIO(pasted(page))))
    assert read[0] == ["Backend", "1 image", "10 images", "100 images"]
    serial = f"{called(SERIAL)} {SERIAL}"
    assert read[1] == [serial, "2.00 s", "11.0 s", "101 s"]
    assert read[4][0] == ODD_BACKEND
    assert "pipeline: time" in find(page, "#told").text or "pipeline: time" in page.execute_script(
        "return document.getElementById('told').textContent"
    )
    as_markdown.click()
    page.execute_async_script("setTimeout(arguments[0], 200)")
    lines = pasted(page).splitlines()
    assert lines[:3] == [
        "| Backend | 1 image | 10 images | 100 images |",
        "| --- | --- | --- | --- |",
        f"| {serial} | 2.00 s | 11.0 s | 101 s |",
    ]
    assert "<script>" not in lines[5]


def test_copied_formulas_are_text(page: Chrome) -> None:
    """What a spreadsheet would compute has an apostrophe before it."""
    allow_clipboard(page)
    page.execute_script(
        """document.querySelector('[aria-labelledby="1-read-times"] td').textContent = '=1+1,"x"';"""
    )
    find(page, '[aria-labelledby="1-read-times"] + .tools button').click()
    page.execute_async_script("setTimeout(arguments[0], 200)")
    assert list(csv.reader(io.StringIO(pasted(page))))[1][1] == '\'=1+1,"x"'


def test_numbers_lead_to_their_samples(page: Chrome) -> None:
    """A click on a time opens what it sums up, though that is folded away."""
    link = find(page, '[aria-labelledby="1-pipeline-times"] td a')
    target = str(link.get_attribute("href")).rpartition("#")[2]
    page.execute_script(
        "document.getElementById(arguments[0]).closest('details').open = false", target
    )
    assert not find(page, f'[id="{target}"]').is_displayed()
    link.click()
    page.execute_async_script("setTimeout(arguments[0], 200)")
    row = find(page, f'[id="{target}"]')
    assert row.is_displayed()
    assert "2.00, 2.02, 1.98, 2.04, 1.96 s" in row.text


# For everybody.


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [0, 360])
def test_accessible(driver: Chrome, small: Path, scheme: str, width: int) -> None:
    """Nothing that axe calls serious is there, in light or dark, on a wide screen or a telephone."""
    look_for_violations(opened(driver, small), scheme=scheme, width=width)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("outcome", [ordinary(), nasty()], ids=["ordinary", "nasty"])
def test_a_gate_is_accessible(
    driver: Chrome, tmp_path: Path, outcome: Outcome, scheme: str
) -> None:
    """Neither is there in the page of a gate, which runs nothing that a result holds."""
    driver.get("about:blank")
    driver.get_log("browser")
    driver.get(gate.write(outcome, tmp_path).as_uri())
    look_for_violations(driver, scheme=scheme, width=360)
    assert driver.get_log("browser") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_machines(driver: Chrome, tmp_path: Path, scheme: str) -> None:
    """It is accessible, shows one machine when that is chosen, and runs nothing that a name holds."""
    sent.write(tmp_path / "machines" / "abacus" / "run")
    sent.write(tmp_path / "machines" / "<img src=x onerror=alert(3)>" / "run")
    named, _ = machines.read(machines.runs_of(tmp_path / "machines"))
    driver.get("about:blank")
    driver.get_log("browser")
    driver.get(machines.write(named, tmp_path / "out").as_uri())
    look_for_violations(driver, scheme=scheme, width=360)
    assert len(rows(driver, "cases")) == 2 * len(sent.BACKENDS) * len(sent.SIZES)
    choose(driver, "Machine", "abacus")
    choose(driver, "Images", "20")
    assert [row[:4] for row in rows(driver, "cases")] == [
        ["abacus", "192 × 256", "20", "pipeline"]
    ] * len(sent.BACKENDS)
    assert driver.get_log("browser") == []


def look_for_violations(page: Chrome, *, scheme: str, width: int) -> None:
    """Open all that is folded, in this scheme and width, and let axe look."""
    try:
        emulate(page, scheme=scheme, width=width)
        page.execute_script(OPEN_ALL)
        page.execute_async_script("setTimeout(arguments[0], 200)")
        colour = page.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (max(map(int, re.findall(r"\d+", colour)[:3])) < 64) == (scheme == "dark")
        assert violations(page) == []
    finally:
        emulate(page)


def test_axe_would_find_something(driver: Chrome, small: Path) -> None:
    """The test above can fail: text that can't be read and a picture without words are found."""
    page = opened(driver, small)
    page.execute_script(
        "document.body.insertAdjacentHTML('beforeend', '<p style=\"color:#777;background:#666\">some words</p>"
        '<img src="data:,">\')'
    )
    assert {found.partition(":")[0] for found in violations(page)} == {
        "color-contrast",
        "image-alt",
    }


@pytest.mark.parametrize("width", [360, 768, 1200, 2400])
def test_no_sideways_scrolling(page: Chrome, width: int) -> None:
    """From a telephone to a wide screen the page is as wide as its window: tables scroll inside."""
    try:
        emulate(page, width=width)
        page.execute_async_script("setTimeout(arguments[0], 300)")
        wide = page.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width
    finally:
        emulate(page)


def test_keyboard(page: Chrome) -> None:
    """The first stop leads past the header, the focus can be seen, and Enter sorts a table."""
    from selenium.webdriver.common.keys import Keys  # noqa: PLC0415

    find(page, "body").send_keys(Keys.TAB)
    skip = page.switch_to.active_element
    assert skip.text == "Skip to the answer"
    assert skip.value_of_css_property("outline-style") == "solid"
    assert skip.is_displayed()
    skip.send_keys(Keys.ENTER)
    assert page.execute_script("return location.hash") == "#main"
    find(page, '[aria-labelledby="1-pipeline-times"] th:nth-child(2) button').send_keys(Keys.ENTER)
    assert rows(page, "1-pipeline-times")[0][0] == DASK


def test_without_javascript(driver: Chrome, built: Path) -> None:
    """Without scripts the answer, the tables and the figures are there, and no dead control is."""
    off = "Emulation.setScriptExecutionDisabled"
    driver.execute_cdp_cmd(off, {"value": True})
    try:
        driver.get(built.as_uri())
        source = driver.execute_cdp_cmd("DOM.getDocument", {"depth": 0})["root"]["nodeId"]

        def shown(selector: str) -> list[dict[str, Any]]:
            found = driver.execute_cdp_cmd(
                "DOM.querySelectorAll", {"nodeId": source, "selector": selector}
            )
            boxes = []
            for node in found["nodeIds"]:
                box = _box(driver, node)
                boxes += [box] if box else []
            return boxes

        assert len(shown("main p")) > 5
        assert len(shown('[aria-labelledby="1-pipeline-times"] tbody tr')) == 4
        assert len(shown("figure img")) >= 10
        assert all(box["width"] > 100 for box in shown("figure img"))
        assert not shown("button, select, #explore")
    finally:
        driver.execute_cdp_cmd(off, {"value": False})


def _box(driver: Chrome, node: int) -> dict[str, Any] | None:
    """Where an element is on the page; None where it is not shown."""
    from selenium.common.exceptions import WebDriverException  # noqa: PLC0415

    try:
        model: dict[str, Any] = driver.execute_cdp_cmd("DOM.getBoxModel", {"nodeId": node})["model"]
    except WebDriverException:  # it has none
        return None
    return model


def test_print(page: Chrome) -> None:
    """On paper there is no control, and colours are those of the light scheme."""
    try:
        page.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]},
        )
        body = "return getComputedStyle(document.body).backgroundColor"
        assert page.execute_script(body) == "rgb(255, 255, 255)"
        for selector in (".tools", "#explore", ".skip"):
            assert not find(page, selector).is_displayed()
        assert find(page, '[aria-labelledby="1-pipeline-times"] table').is_displayed()
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_without_the_library_for_charts(
    driver: Chrome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Bokeh everything but the chart works, and nothing is logged."""
    monkeypatch.setattr("segbench.report.explorer.has_charts", lambda: False)
    index = build([everything()], tmp_path)
    assert index.stat().st_size < 1_500_000
    page = opened(driver, index)
    assert not page.find_elements("css selector", "#chart, select[name=measure]")
    choose(page, "size", "10")
    assert {size for _, size in explored(page)} == {"10"}
    assert logged(page) == []
