"""A study that is evaluated, changed and evaluated again: what is kept, what is told, and its RO-Crate."""

import hashlib
import html
import json
import re
import warnings
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import rocrate
from tests.workflow.browser import CHROMIUM, Browser

from serpens import ledger
from serpens.layout import StudyFolder

STUDY = """
studies:
  small:
    question: Does the sum tell?
    data: {file: table.csv, license: CC BY 4.0, citation: "Nobody (2020), doi:10.24432/C5DW2B"}
    target: outcome
    id: who
    split: {folds: 2}
    repeats: 1
    models: [{name: mlp, family: mlp, width: 8, n_blocks: 1}]
    baselines: [trivial, linear]
    training: {max_epochs: 5, batch_size: 32}
"""
PAGE, CRATE = "results/small/report.html", "results/small/crate/ro-crate-metadata.json"


def table(n):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2)).round(4)
    outcome = np.where(x.sum(axis=1) + rng.normal(size=400) > 0, "yes", "no")
    return [f"p{k},{a},{b},{o}" for k, ((a, b), o) in enumerate(zip(x[:n], outcome, strict=False))]


def written(rows):
    return "\n".join(["who,x1,x2,outcome", *rows]) + "\n"


def words(page):
    """Return the text of a page."""
    body = re.sub(r"</(dt|dd|td|th|h2|p|span)>", " ", page.partition("</style>")[2])
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", body)).split())


def section(page):
    found = re.search(r'<h2 id="changes">.*?(?=<h2)', page, flags=re.DOTALL)
    return words("</style>" + found.group()) if found else None


@pytest.fixture(scope="module")
def runs(make_project, tmp_path_factory):
    """Run a study three times: as it is, with other data and settings, with another question."""
    project = make_project(tmp_path_factory.mktemp("provenance"))
    pages = []

    def run():
        project.run()
        pages.append((project.folder / PAGE).read_text())

    project.write("table.csv", written(table(200)))
    project.write("mine.yaml", STUDY)
    run()
    rows = table(230)
    rows[3] = re.sub(r",[^,]+,", ",9.5,", rows[3], count=1)
    project.write("table.csv", written(rows))
    project.write("mine.yaml", STUDY.replace("width: 8", "width: 16").replace("max_epochs: 5", "max_epochs: 30"))
    run()
    project.write("mine.yaml", (project.folder / "mine.yaml").read_text().replace("tell?", "tell it?"))
    project.reworded = project.jobs()
    run()
    project.pages = pages
    return project


@pytest.fixture(scope="module")
def crate(runs):
    return json.loads((runs.folder / CRATE).read_text())


@pytest.fixture(scope="module")
def entities(crate):
    return {entity["@id"]: entity for entity in crate["@graph"]}


def references(entity, name):
    values = entity.get(name, [])
    return [value["@id"] for value in (values if isinstance(values, list) else [values])]


# --- what changed -----------------------------------------------------------------------------------------------------


def test_the_first_evaluation_has_nothing_to_be_compared_with(runs):
    assert section(runs.pages[0]) is None


def test_the_second_says_what_changed(runs):
    found = section(runs.pages[1])
    assert "The answer" in found
    assert "kept in history/001. What changed: the data and 2 settings. Code and libraries stayed the same." in found
    assert "Rows 230 rows, before 200: 30 added, 0 removed, 1 altered" in found
    assert "models.mlp.width 8 → 16" in found
    assert "training.max_epochs 5 → 30" in found
    # the row that was altered in a feature is the same row with the same truth
    assert "on the 200 rows that both evaluations tested with the same truth" in found
    assert re.search(r"trivial 0\.500 \[0\.500, 0\.500\] 0\.500 \[0\.500, 0\.500\] 0\.00 \[0\.00, 0\.00\]", found)


def test_each_reading_of_the_test_rows_is_on_record(runs):
    first, second = ledger.read(StudyFolder(runs.folder / "results/small")).readings
    assert (first.reason, second.reason) == ("first reading", "changed: the test rows, the models")
    assert "How often the test rows were used Once, for this evaluation. ledger.jsonl says" in told(runs.pages[0])
    assert "Once, for this evaluation. Other test rows of this study were read once. ledger" in told(runs.pages[1])


def told(page):
    return words("</style>" + page[page.index('<h3 id="test-rows">') :].partition("<h2")[0].replace("</h3>", " "))


def test_a_report_made_again_says_the_same_and_keeps_nothing_new(runs):
    assert sorted(runs.reworded) == ["all", "index", "report"]
    assert section(runs.pages[2]) == section(runs.pages[1])
    history = runs.folder / "results/small/history"
    assert sorted(path.name for path in history.iterdir()) == ["001", "002"]


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_that_says_it_opens_alone_and_fits(runs, tmp_path, width):
    with Browser(tmp_path) as browser:
        browser.open(runs.folder / PAGE, width=width)
        assert browser.complaints == []
        assert browser.requests == []
        assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_what_is_kept_is_what_was_shown(runs):
    study = runs.folder / "results/small"
    first, second = (study / f"history/{name}" for name in ("001", "002"))
    assert (second / "evaluation.json").read_bytes() == (study / "evaluation.json").read_bytes()
    assert (first / "evaluation.json").read_bytes() != (second / "evaluation.json").read_bytes()
    made = json.loads((second / "made_from.json").read_text())
    assert made["data"] == json.loads((study / "data/digest.json").read_text())["sha256"]
    assert made["libraries"]["torch"].startswith("2.13.")
    assert made["code"]


# --- the crate --------------------------------------------------------------------------------------------------------


def rocrate_context():
    """Return RO-Crate's context of version 1.1 as far as we use it, from the one of 1.3 that the library brings."""
    bundled = json.loads((Path(rocrate.__file__).parent / "data/ro-crate.jsonld").read_text())
    schemas = "https://bioschemas.org/"
    moved = {name: schemas + name for name in ("ComputationalWorkflow", "FormalParameter")}
    moved |= {name: f"{schemas}ComputationalWorkflow#{name}" for name in ("input", "output")}
    return {"@context": bundled["@context"] | moved}


@pytest.fixture
def validate(monkeypatch, tmp_path):
    """Return the public validator without a network: the one document that it asks for is given to it."""
    from rocrate_validator import services
    from rocrate_validator.utils.http import HttpRequester

    class Answer:
        status_code, headers = 200, {"Content-Type": "application/ld+json"}

        def json(self):
            return rocrate_context()

    def get(_, url, **__):
        assert url == "https://w3id.org/ro/crate/1.1/context"
        return Answer()

    monkeypatch.setattr(HttpRequester, "get", get, raising=False)

    def validated(folder, severity):
        settings = services.ValidationSettings(
            rocrate_uri=str(folder),
            profile_identifier="provenance-run-crate-0.5",
            requirement_severity=severity,
            offline=True,
            cache_path=tmp_path / "cache",
        )
        with warnings.catch_warnings():
            # the validator's own libraries deprecate each other
            warnings.simplefilter("ignore", DeprecationWarning)
            return services.validate(settings)

    return validated


def test_the_validator_finds_nothing_that_is_required_and_missing(runs, validate):
    result = validate((runs.folder / CRATE).parent, "REQUIRED")
    assert [issue.message for issue in result.get_issues()] == []
    assert result.passed()


def test_what_is_recommended_and_missing_is_what_nobody_told_us(runs, validate):
    result = validate((runs.folder / CRATE).parent, "RECOMMENDED")
    told = {issue.message for issue in result.get_issues() if "README" not in issue.message}
    assert told == {
        # who ran it and who publishes it
        "The Root Data Entity SHOULD have a link to a Contextual Entity representing the `author` of the RO-Crate",
        "The `publisher` property of a `Root Data Entity` SHOULD be an `Organization`",
        "The Action SHOULD have an agent that is a Person or Organization",
        # where this copy of the workflow is published
        "The Application SHOULD have a url",
        "The SoftwareApplication id SHOULD be an absolute URI",
    }


def test_the_validator_is_awake(runs, crate, validate, tmp_path):
    broken = {"@context": crate["@context"], "@graph": [e for e in crate["@graph"] if e["@id"] != "#run"]}
    (tmp_path / "study/crate").mkdir(parents=True)
    (tmp_path / "study/crate/ro-crate-metadata.json").write_text(json.dumps(broken))
    messages = [issue.message for issue in validate(tmp_path / "study/crate", "REQUIRED").get_issues()]
    assert any("Main Workflow Snakefile not found" in message for message in messages)
    assert any("mainEntity as its instrument" in message for message in messages)
    assert any("does not include the Data Entity '../evaluation.json'" in message for message in messages)


def test_every_job_is_there(runs, entities):
    records = {
        path.relative_to(runs.folder / "results/small/records").with_suffix("").as_posix()
        for path in (runs.folder / "results/small/records").rglob("*.json")
    }
    jobs = {id_.removeprefix("#job/") for id_ in entities if id_.startswith("#job/")}
    assert jobs == records - {"report"}
    assert len(jobs) == 2 + 2 + 6 + 1


def test_inputs_of_one_job_are_outputs_of_another(entities):
    jobs = {id_: entity for id_, entity in entities.items() if id_.startswith("#job/")}
    made = [id_ for job in jobs.values() for id_ in references(job, "result")]
    assert len(made) == len(set(made))
    read = {id_ for job in jobs.values() for id_ in references(job, "object") if not id_.startswith("#settings")}
    assert {id_ for id_ in read if id_ not in made} == {id_ for id_ in entities if id_.startswith("#source/")}
    train = jobs["#job/train/mlp/split-1-repeat-0"]
    assert "../data/split-1/train.safetensors" in references(train, "object")
    assert "../models/mlp/split-1-repeat-0/weights.safetensors" in references(train, "result")
    assert "../models/mlp/split-1-repeat-0/weights.safetensors" in references(jobs["#job/evaluate"], "object")
    assert "../evaluation.json" in references(jobs["#job/evaluate"], "result")
    for job in jobs.values():
        assert job["startTime"] <= job["endTime"]
        assert entities[job["instrument"]["@id"]]["name"] in job["name"]


def test_digests_are_those_of_the_files(runs, entities):
    folder = runs.folder / "results/small/crate"
    files = {id_: entity for id_, entity in entities.items() if "File" in entity["@type"]}
    assert len(files) > 30
    for id_, entity in files.items():
        path = runs.folder / "table.csv" if id_.startswith("#source/") else folder / unquote(id_)
        if "sha256" in entity:
            assert entity["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest(), id_
        if "contentSize" in entity:
            assert entity["contentSize"] == str(path.stat().st_size), id_
    assert [id_ for id_, entity in files.items() if "sha256" not in entity] == ["../report.html"]


def test_data_settings_and_libraries_are_described(entities):
    source = next(entity for id_, entity in entities.items() if id_.startswith("#source/"))
    assert entities[source["license"]["@id"]]["name"] == "CC BY 4.0"
    assert source["citation"]["@id"] == "https://doi.org/10.24432/C5DW2B"
    train = entities["#job/train/mlp/split-0-repeat-0"]
    settings = next(entities[id_] for id_ in references(train, "object") if id_.startswith("#settings"))
    assert json.loads(settings["value"])["settings"]["width"] == 16
    libraries = {
        entities[id_]["name"] for id_ in references(entities[train["instrument"]["@id"]], "softwareRequirements")
    }
    assert {"numpy", "torch"} <= libraries


def test_nothing_tells_where_it_was_made(runs, crate):
    assert str(runs.folder) not in json.dumps(crate)


def test_how_to_make_it_again_is_read_from_the_crate(runs, entities):
    found = words(runs.pages[2]).split("How to make it again")[-1]
    source = next(entity for id_, entity in entities.items() if id_.startswith("#source/"))
    assert f"table.csv, sha256 {source['sha256']}" in found
    assert f"evaluation.json, sha256 {entities['../evaluation.json']['sha256']}" in found
    assert "Versions python 3.11." in found
    assert "what the 11 jobs recorded" in found
    assert "Not all jobs ran with the same versions" not in found
