"""The account of the data, from a collection to the next: what people may not read, what changed, what is shown."""

import csv
import json

import numpy as np
import pytest
from tests.workflow.browser import CHROMIUM, Browser

STUDY = """
studies:
  people:
    question: Who recovers?
    data: people.csv
    target: recovered
    id: email
    personal: {email: hash, born: keep, nurse: keep}
    split: {folds: 2}
    repeats: 1
    models: [{name: mlp, family: mlp, width: 4, n_blocks: 1}]
    baselines: [trivial]
    training: {max_epochs: 2, batch_size: 64}
"""
NURSES = ["Annabel Fournier", "Ivan Petrov", "Sophie Dubois", "Omar al-Sayed"]


def rows(n):
    rng = np.random.default_rng(0)
    age, city = rng.integers(20, 90, 1000), rng.choice(["Paris", "paris", "Oslo"], 1000)
    recovered = np.where(age + rng.normal(0, 15, 1000) < 55, "yes", "no")
    return [
        [f"person{i}@mail.org", f"{1931 + i % 70}-03-1{i % 9}", NURSES[i % 4], age[i], city[i], recovered[i]]
        for i in range(n)
    ]


def write(project, table):
    with (project.folder / "people.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["email", "born", "nurse", "age", "city", "recovered"], *table])


@pytest.fixture(scope="module")
def undecided(make_project, tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("undecided"))
    project.write("mine.yaml", STUDY.replace("    personal: {email: hash, born: keep, nurse: keep}\n", ""))
    write(project, rows(200))
    return project, project.snakemake()


@pytest.fixture(scope="module")
def twice(make_project, tmp_path_factory):
    """Collect; add 5 % rows, correct two, remove one; collect again."""
    project = make_project(tmp_path_factory.mktemp("twice"))
    project.write("mine.yaml", STUDY)
    write(project, rows(200))
    project.run()
    first = json.loads((project.folder / "results/people/data/changes.json").read_text())
    edited = rows(210)
    edited[3][3] += 1
    edited[150][4] = "Bern"
    del edited[77]
    write(project, edited)
    project.run()
    return project, first


def test_nothing_is_trained_before_columns_about_people_are_decided_on(undecided):
    project, done = undecided
    assert done.returncode != 0
    said = " ".join((done.stdout + done.stderr).split())
    assert (
        "columns that look personal must be decided on before training; undecided: 'email' (e-mail address, 100%"
        in said
    )
    assert "personal: {email: hash, born: drop, nurse: drop}" in said
    assert "person1@" not in said
    assert "Annabel" not in said
    assert not (project.folder / "results/people/data/clean.parquet").exists()
    assert not (project.folder / "results/people/models").exists()


def test_the_account_tells_what_changed(twice):
    project, first = twice
    assert first["then"] is None
    found = json.loads((project.folder / "results/people/data/changes.json").read_text())
    assert (found["then"]["rows"], found["now"]["rows"]) == (200, 209)
    assert (found["added"], found["removed"], found["changed"]) == (10, 1, 2)
    city = next(each for each in found["drift"] if each["name"] == "city")
    assert (city["new_levels"], city["n_lost"]) == ({"Bern": 1}, 0)
    page = (project.folder / "results/people/report.html").read_text()
    assert "209 rows in use, before 200: 10 added, 1 removed, 2 changed." in page
    assert "<code>paris</code> = <code>Paris</code>" in page


def test_the_same_collection_is_told_in_the_same_bytes(twice):
    project, _ = twice
    study = project.folder / "results/people"
    before = {path: path.read_bytes() for path in [*study.rglob("collections/*/*"), study / "data/changes.json"]}
    assert len(before) == 7
    assert project.jobs() == []
    (study / "report.html").unlink()
    project.run()
    assert {
        path: path.read_bytes() for path in [*study.rglob("collections/*/*"), study / "data/changes.json"]
    } == before


def test_no_value_of_a_column_about_people_is_told(twice):
    project, _ = twice
    study = project.folder / "results/people"
    told = ["report.html", "study.json", "evaluation.json", "scores.csv", "data/cleaning.json", "data/changes.json"]
    files = [study / name for name in told]
    for folder in ("tables", "figures", "logs", "records", "collections", "crate"):
        files += [path for path in (study / folder).rglob("*") if path.is_file()]
    assert len(files) > 40
    for path in files:
        content = path.read_bytes()
        for value in (b"person", b"Annabel", b"Fournier", b"1931-03", b"1950-03"):
            assert value not in content.replace(b"personal", b"").replace(b"a person", b""), path
    key = project.folder / ".serpens-key"
    assert key.stat().st_mode & 0o777 == 0o600


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [360, 1200])
def test_the_account_is_shown(twice, tmp_path, width):
    project, _ = twice
    with Browser(tmp_path) as browser:
        browser.open(project.folder / "results/people/report.html", width=width)
        assert browser.complaints == []
        assert browser.requests == []
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        for place in ("figure-rows", "collected", "personal", "columns", "spellings"):
            assert browser.evaluate(f"document.getElementById('{place}').getBoundingClientRect().height") > 0
        assert "10 added" in browser.evaluate("document.querySelector('#collected').nextElementSibling.textContent")
        shown = browser.evaluate("document.querySelector('#figure-rows').textContent")
        for text in ("read", "kept", "split 2 of 2", "209"):
            assert text in shown
