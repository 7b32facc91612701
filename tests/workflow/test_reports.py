"""Reports as a reader opens them: offline, on a screen and on a phone, whatever the columns are called."""

import base64
import json
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tests.workflow.browser import CHROMIUM, Browser

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]

AXE = Path(find_spec("axe_core_python").origin).with_name("axe.min.js")
HOSTILE = "<script>alert(1)</script>"
STUDY = f"""
studies:
  hostile:
    question: "Is <b>{HOSTILE}</b> & $\\\\alpha_{{0}}$ told by Größe, 身長 and قد?"
    data: hostile.csv
    target: "{HOSTILE}"
    split: {{folds: 2}}
    subgroups: ["$word_{{1}}$"]
    repeats: 1
    models: [{{name: mlp, family: mlp, width: 8, n_blocks: 1}}]
    training: {{max_epochs: 3, batch_size: 64}}
"""


def table(n=240):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3)).round(3)
    word = rng.choice([HOSTILE, "a&b", "$x_1$", "</svg>", "身長"], n)
    outcome = np.where(x.sum(axis=1) > 0, HOSTILE, "no")
    header = f'Größe,身長,"قد <img src=x onerror=alert(1)>",$word_{{1}}$,{HOSTILE}'
    return header + "\n" + "\n".join(f"{a},{b},{c},{w},{o}" for (a, b, c), w, o in zip(x, word, outcome, strict=True))


@pytest.fixture(scope="module")
def hostile(make_project, tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("hostile"))
    project.write("hostile.csv", table())
    project.write("mine.yaml", STUDY)
    project.run()
    return project.folder / "results"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


PAGES = ["hostile/report.html", "index.html"]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("width", [360, 1200])
def test_a_page_opens_alone_and_fits(hostile, browser, page, width):
    browser.open(hostile / page, width=width)
    assert browser.complaints == []
    assert browser.requests == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_names_stay_text(hostile, browser):
    browser.open(hostile / "hostile/report.html")
    # the page's own one, which sorts tables
    assert browser.evaluate("document.scripts.length") == 1
    assert browser.evaluate("document.querySelectorAll('img, h1 b').length") == 0
    assert HOSTILE in browser.evaluate("document.querySelector('h1').textContent")
    for name in ("Größe", "身長", "$word_{1}$", HOSTILE[:12]):
        assert name in browser.evaluate("document.querySelector('#figure-distributions').textContent")
    subgroups = browser.evaluate("document.querySelector('#subgroups ~ .scroll').textContent")
    for level in (HOSTILE, "a&b", "</svg>", "身長"):
        assert f"$word_{{1}}$: {level}" in subgroups


def test_a_dark_screen_gets_a_dark_page(hostile, browser):
    def brightness(selector, key):
        colour = browser.evaluate(f"getComputedStyle(document.querySelector('{selector}')).{key}")
        return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3

    for dark in (False, True):
        browser.open(hostile / "hostile/report.html", dark=dark)
        for text in ("h1", "figure svg text"):
            key = "fill" if "svg" in text else "color"
            assert abs(brightness(text, key) - brightness("body", "backgroundColor")) > 120


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_no_serious_fault(hostile, browser, page, dark):
    browser.open(hostile / page, dark=dark)
    browser.evaluate(AXE.read_text(encoding="utf-8"))
    found = json.loads(browser.evaluate("axe.run().then((all) => JSON.stringify(all.violations))"))
    serious = [
        (each["id"], [node["target"] for node in each["nodes"]][:5])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_a_table_is_sorted_by_the_column_that_is_clicked(hostile, browser):
    browser.open(hostile / "hostile/report.html")

    def column(number):
        cells = f"document.querySelectorAll('#models ~ .scroll tbody')[0].querySelectorAll('td:nth-child({number})')"
        return browser.evaluate(f"[...{cells}].map((cell) => cell.textContent)")

    def click(number):
        heads = "document.querySelectorAll('#models ~ .scroll thead')[0].querySelectorAll('th button')"
        browser.evaluate(f"{heads}[{number - 1}].click()")

    scores = [float(text.split()[0]) for text in column(2)]
    assert len(scores) == 4
    click(2)
    assert [float(text.split()[0]) for text in column(2)] == sorted(scores)
    click(2)
    assert [float(text.split()[0]) for text in column(2)] == sorted(scores, reverse=True)
    click(1)
    assert column(1) == sorted(column(1))


def test_a_report_is_small_and_prints_on_pages(hostile, browser):
    assert (hostile / "hostile/report.html").stat().st_size < 3_000_000
    browser.open(hostile / "hostile/report.html")
    pdf = base64.b64decode(
        browser.call("Page.printToPDF", printBackground=True, paperWidth=8.27, paperHeight=11.69)["data"]
    )
    assert 3 <= len(re.findall(rb"/Type /Page\b", pdf)) <= 20


def test_the_browser_hears_what_is_wrong(browser, tmp_path):
    page = tmp_path / "bad.html"
    page.write_text('<script>console.error("no"); undefined_name()</script><img src="http://127.0.0.1:1/x.png">')
    browser.open(page)
    assert len(browser.complaints) >= 2
    assert browser.requests == ["http://127.0.0.1:1/x.png"]
