"""The page in a real browser: what a reader can do with it, in both themes, at two widths, and on paper."""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ntkspec.report.page import render_page
from ntkspec.report.page_plot import plot_data
from ntkspec.report.records import Report, SnapshotReport

from . import samples
from .test_training_metrics import with_metrics

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None:
    pytest.skip("no Chromium", allow_module_level=True)
driver = pytest.importorskip("playwright.sync_api", reason="no playwright, of the extra dev")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe, of the extra dev")

DRAWN = "#plot .main-svg .trace path"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(report: Report, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report's page, with alignments; the figures are those that were drawn already."""
    figures = {path.stem: path.read_bytes() for path in (folder / "figures").glob("*.svg")}
    path = tmp_path_factory.mktemp("page") / "index.html"
    shown = samples.aligned(report)
    runs = (replace(run, snapshots=tuple(map(_with_loss, run.snapshots))) for run in shown.runs)
    path.write_text(render_page(replace(shown, runs=tuple(runs)), figures), encoding="utf-8")
    return path.as_uri()


def _with_loss(snapshot: SnapshotReport) -> SnapshotReport:
    return replace(snapshot, metrics={**snapshot.metrics, "loss": float(f"1e-{snapshot.step // 250}")})


def _opened(browser: Any, address: str, width: int, scheme: str) -> Iterator[Any]:
    """The page, loaded once for many tests; what it asks for and says is kept in `page.noise`."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    context.set_default_timeout(120_000)  # milliseconds, for a busy machine
    page = context.new_page()
    noise: list[str] = []
    page.on("console", lambda message: noise.append(message.text))
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.on("request", lambda request: noise.append(request.url))
    page.goto(address)
    page.wait_for_selector(DRAWN, state="attached")
    page.noise = noise
    yield page
    asked = [said for said in noise if said != address and not said.startswith("data:")]
    assert not asked, "the page complains, or asks for more than itself"
    context.close()


@pytest.fixture(scope="module")
def page(browser: Any, address: str) -> Iterator[Any]:
    yield from _opened(browser, address, 1280, "light")


@pytest.fixture(scope="module")
def phone(browser: Any, address: str) -> Iterator[Any]:
    """A narrow screen, and a system that is set to dark."""
    yield from _opened(browser, address, 400, "dark")


SPECTRUM = "input[name=view][value=spectrum]"


def _traces(page: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate(
        "document.getElementById('plot').data.map(t => ({dash: t.line?.dash, mode: t.mode, n: t.x.length}))"
    )
    return found


def _wait_until(page: Any, expression: str) -> None:
    """Wait up to a minute; the driver's own wait asks for `eval`, which the page's policy forbids."""
    for _ in range(1200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(expression)


def _brightness(locator: Any) -> float:
    """Of what is seen: 0 is black, 255 white."""
    with Image.open(io.BytesIO(locator.screenshot())) as picture:
        return float(np.median(np.asarray(picture.convert("L"))))


def _require_seen(theme: str, *locators: Any) -> None:
    """Wait until what is seen is light, or dark: the browser paints some time after the style has changed."""
    deadline = time.monotonic() + 60
    while True:
        seen = [_brightness(locator) for locator in locators]
        if all(value > 200 if theme == "light" else value < 60 for value in seen):
            return
        assert time.monotonic() < deadline, (theme, seen)


def test_hovering_shows_a_number(page: Any) -> None:
    page.locator(SPECTRUM).check(force=True)
    page.locator("#plot").scroll_into_view_if_needed()
    x, y, value = page.evaluate(
        """() => {
          const plot = document.getElementById("plot"), { xaxis, yaxis } = plot._fullLayout;
          const box = plot.getBoundingClientRect(), trace = plot.data[0], k = 5;
          return [box.left + xaxis._offset + xaxis.l2p(Math.log10(trace.x[k])),
            box.top + yaxis._offset + yaxis.l2p(Math.log10(trace.y[k])), trace.y[k].toExponential(3)];
        }"""
    )
    page.mouse.move(x - 3, y)
    page.mouse.move(x, y)
    assert value in page.locator("#plot .hovertext").first.text_content()


def test_zoom_and_back(page: Any) -> None:
    ranges = "JSON.stringify(document.getElementById('plot').layout.xaxis.range)"
    before = page.evaluate(ranges)
    box = page.locator("#plot .nsewdrag").first.bounding_box()
    x, y = box["x"] + box["width"] / 3, box["y"] + box["height"] / 3
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 200, y + 100, steps=3)
    page.mouse.up()
    _wait_until(page, f"{ranges} !== '{before}'")
    page.mouse.dblclick(x, y)
    _wait_until(page, f"{ranges} === '{before}'")


def test_a_run_can_be_taken_out(page: Any) -> None:
    all_of_them = len(_traces(page))
    page.get_by_label("Baseline", exact=True).uncheck()
    assert len(_traces(page)) < all_of_them
    assert "5 of 6 runs" in page.locator("#plot").get_attribute("aria-label")
    page.get_by_label("Baseline", exact=True).check()
    assert len(_traces(page)) == all_of_them


def test_without_the_grids_gradients_all_stay(page: Any) -> None:
    """Of the two runs with a grid the whole kernel stands behind, and the others are as they were."""
    page.locator(SPECTRUM).check(force=True)
    before = _traces(page)
    page.locator("#kernel").select_option(label="without the grid's gradients (no_grid)")
    after = _traces(page)
    assert sum(trace["dash"] == "dot" for trace in after) == 2
    assert sum(trace["dash"] == "solid" for trace in after) == sum(
        trace["dash"] == "solid" for trace in before
    )
    assert page.locator("#beside").is_visible()
    page.locator("#kernel").select_option("0")
    assert _traces(page) == before


def test_every_view_draws_and_says_how_it_is_read(page: Any) -> None:
    assert page.locator("input[name=view]").count() == 4
    assert page.locator("input[name=view]").first.get_attribute("value") == "alignment"
    for radio in page.locator("input[name=view]").all():
        radio.check(force=True)  # it lies under its words
        key = radio.get_attribute("value")
        assert [note.get_attribute("data-view") for note in page.locator("[data-view]:visible").all()] == [
            key
        ]
        assert sum(trace["n"] > 1 for trace in _traces(page)) >= 6
    page.locator(SPECTRUM).check(force=True)


def test_metrics_have_panels_below_the_kernels_numbers(page: Any) -> None:
    page.locator("input[name=view][value=training]").check(force=True)
    layout = "document.getElementById('plot')._fullLayout"
    titles = page.evaluate(f"{layout}.annotations.map(note => note.text)")
    assert titles[4:] == ["PSNR (dB)", "MS-SSIM", "loss"]
    axes = page.evaluate(f"[2, 4, 5, 6, 7].map(i => {layout}['yaxis' + i].type)")
    assert axes == ["log", "linear", "linear", "linear", "log"]
    below = page.evaluate(f"[2, 3, 4, 5, 6, 7].map(i => {layout}['xaxis' + i].title.text)")
    assert [i for i, title in enumerate(below, 2) if title == "step of training"] == [6, 7]
    drawn = "document.getElementById('plot').data.filter(trace => trace.yaxis === 'y7')"
    assert page.evaluate(f"{drawn}.map(trace => trace.y)") == [[1, 1e-3, 1e-6]] * 6
    page.locator(SPECTRUM).check(force=True)


def test_an_infinite_metric_stands_above_its_numbers(page: Any) -> None:
    data = plot_data(with_metrics([{"psnr_db": 20.0}, {"psnr_db": 30.0}, {"psnr_db_infinite": 1.0}]))
    view = "views.training(data, { colour: () => 'red' })"
    traces = page.evaluate(f"data => {view}.traces({{ runs: data.runs, kernel: 0 }})", data)
    line, mark = (trace for trace in traces if trace["yaxis"] == "y5")
    assert (line["y"], mark["y"]) == ([20, 30, None], [None, None, 31])
    assert mark["customdata"][2][0].endswith("PSNR (dB): inf dB")


def test_a_wide_axis_has_labels_at_a_few_powers_of_ten(page: Any) -> None:
    view = "views.training(data, { colour: () => 'red', axis: () => ({}) })"
    for least, decades in ((1e-5, 1), (1e-13, 3)):
        data = plot_data(with_metrics([{"loss": 1.0}, {"loss": least}]))
        axis = page.evaluate(f"data => {view}.layout(true, {{ runs: data.runs, kernel: 0 }}).yaxis5", data)
        assert (axis["type"], axis["dtick"]) == ("log", decades)


def test_marks_at_an_edge_alone_stand_at_no_number(page: Any) -> None:
    """Of a panel of infinite metrics, and of a smallest eigenvalue that is zero throughout."""
    data = plot_data(with_metrics([{"psnr_db_infinite": 1.0}] * 2))
    view = "views.training(data, { colour: () => 'red', axis: () => ({ ticks: 'outside' }) })"
    chosen = "{ runs: data.runs, kernel: 0 }"
    axis = page.evaluate(f"data => {view}.layout(false, {chosen}).yaxis5", data)
    assert (axis["range"], axis["showticklabels"], axis["ticks"]) == ([0, 1], False, "")
    (mark,) = page.evaluate(f"data => {view}.traces({chosen}).filter(t => t.yaxis === 'y5')", data)[1:]
    assert mark["y"] == [0.95, 0.95]


def test_the_theme_is_switched_and_kept(page: Any, phone: Any) -> None:
    """Figures inside <img>, which is white on a light page, follow as the rest does."""
    for it, first, label in ((page, "light", "dark theme"), (phone, "dark", "light theme")):
        for theme in (first, "light" if first == "dark" else "dark"):
            _require_seen(theme, it.locator("h1"), it.locator("#figure-ablation img"))
            it.locator("#theme").click()
        assert it.locator("#theme").text_content() == label  # twice: as at first
    page.locator("#theme").click()
    _wait_until(page, "localStorage.getItem('ntkspec-theme') === 'dark'")
    page.reload()
    page.wait_for_selector(DRAWN, state="attached")
    _require_seen("dark", page.locator("h1"))
    page.locator("#theme").click()


def test_curves_have_another_colour_in_the_dark(page: Any, phone: Any) -> None:
    colour = "document.getElementById('plot').data[0].line.color"
    assert page.evaluate(colour) != phone.evaluate(colour)


def test_all_is_printed(page: Any) -> None:
    page.evaluate(
        """() => window.addEventListener("beforeprint", () => {
          window.seen = [document.querySelectorAll("details:not([open])").length, window.pageTheme(),
            document.querySelector("#plot .main-svg").clientWidth];
        })"""
    )
    paper = page.pdf(format="A4")
    assert paper.startswith(b"%PDF")
    closed, theme, width = page.evaluate("window.seen")
    assert (closed, theme) == (0, "light")
    assert width <= 700
    assert page.locator("details[open]").count() == 0
    page.emulate_media(media="print")
    assert not page.locator("#controls :is(input, select, button)").filter(visible=True).count()
    assert page.locator("#shown").is_visible()  # whose colour is whose
    assert not page.locator("#theme").is_visible()
    page.emulate_media(media="screen")


def test_the_keyboard_reaches_everything(page: Any) -> None:
    page.locator(SPECTRUM).check(force=True)
    page.evaluate("window.scrollTo(0, 0)")
    page.mouse.click(2, 2)
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("(e => e.id || e.name || e.tagName)(document.activeElement)"))
        if "SUMMARY" in reached:
            break
    assert {"theme", "view", "kernel", "stage", "run", "floors", "SUMMARY"} <= reached
    page.keyboard.press("Enter")
    assert page.locator("details[open]").count() == 1
    page.keyboard.press("Enter")


def test_a_phone_shows_all_without_going_sideways(phone: Any) -> None:
    assert phone.evaluate("document.documentElement.scrollWidth") == 400
    for cell in phone.locator(".front td, .front th[scope=row], .tiles img, .controls label:visible").all():
        box = cell.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 400


@pytest.mark.parametrize("which", ["page", "phone"])
def test_axe_finds_nothing_serious(which: str, request: pytest.FixtureRequest) -> None:
    page = request.getfixturevalue(which)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    found = axe.Axe().run(page).response["violations"]
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = false; })")
    assert [rule["id"] for rule in found if rule["impact"] in ("serious", "critical")] == []
