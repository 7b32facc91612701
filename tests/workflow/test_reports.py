"""Reports as a reader opens them: offline, on a screen and on a phone, whatever the columns are called."""

import re

import numpy as np
import pytest
from tests.workflow.browser import CHROMIUM, Browser

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]

HOSTILE = "<script>alert(1)</script>"
STUDY = f"""
studies:
  hostile:
    question: "Is <b>{HOSTILE}</b> & $\\\\alpha_{{0}}$ told by Größe, 身長 and قد?"
    data: hostile.csv
    target: "{HOSTILE}"
    split: {{folds: 2}}
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
    assert browser.evaluate("document.scripts.length") == 0
    assert browser.evaluate("document.querySelectorAll('img, h1 b').length") == 0
    assert HOSTILE in browser.evaluate("document.querySelector('h1').textContent")
    for name in ("Größe", "身長", "$word_{1}$", HOSTILE[:12]):
        assert name in browser.evaluate("document.querySelector('#figure-distributions').textContent")


def test_a_dark_screen_gets_a_dark_page(hostile, browser):
    def brightness(selector, key):
        colour = browser.evaluate(f"getComputedStyle(document.querySelector('{selector}')).{key}")
        return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3

    for dark in (False, True):
        browser.open(hostile / "hostile/report.html", dark=dark)
        for text in ("h1", "figure svg text"):
            key = "fill" if "svg" in text else "color"
            assert abs(brightness(text, key) - brightness("body", "backgroundColor")) > 120


def test_the_browser_hears_what_is_wrong(browser, tmp_path):
    page = tmp_path / "bad.html"
    page.write_text('<script>console.error("no"); undefined_name()</script><img src="http://127.0.0.1:1/x.png">')
    browser.open(page)
    assert len(browser.complaints) >= 2
    assert browser.requests == ["http://127.0.0.1:1/x.png"]
