"""The four studies of config.yaml, run as they are: their answers agree with what is known about these data."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.workflow.browser import CHROMIUM, Browser
from tests.workflow.conftest import ROOT, content

from serpens import configfile
from serpens.jobs import Jobs
from serpens.sizing import SNAKEMAKE_MB, Sizes

STUDIES = ("breast_cancer", "mauna_loa_co2", "qubit", "digits")


@pytest.fixture(scope="module")
def ran(make_project, tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("studies"))
    shutil.copy(ROOT / "config.yaml", project.folder)
    shutil.copytree(ROOT / "resources", project.folder / "resources")
    project.run(config=None)
    return project


@pytest.fixture(scope="module")
def evaluations(ran):
    return {name: json.loads((ran.folder / f"results/{name}/evaluation.json").read_text()) for name in STUDIES}


def overlap(one, other):
    return one["low"] <= other["high"] and other["low"] <= one["high"]


def test_breast_cancer_is_told_by_a_linear_model(evaluations):
    models = evaluations["breast_cancer"]["models"]
    linear = models["linear"]["metrics"]["roc_auc"]
    assert linear["value"] >= 0.985
    assert overlap(models["mlp"]["metrics"]["roc_auc"], linear)
    assert evaluations["breast_cancer"]["verdict"]["deep_learning_helps"] is False


def test_a_small_cnn_reads_digits(evaluations):
    assert evaluations["digits"]["models"]["cnn"]["metrics"]["accuracy"]["value"] >= 0.98
    assert evaluations["digits"]["n_test"] == 1797


def test_a_network_learns_the_qubit_and_trees_do_not(evaluations):
    models = evaluations["qubit"]["models"]
    assert models["mlp"]["metrics"]["rmse"]["value"] <= 0.02
    assert models["boosted_trees"]["metrics"]["rmse"]["value"] > 0.05
    assert evaluations["qubit"]["verdict"]["deep_learning_helps"] is True


def test_co2_is_forecast_better_than_by_its_last_season(evaluations):
    models = evaluations["mauna_loa_co2"]["models"]
    assert models["mlp"]["score"]["value"] < 0.5 * models["trivial"]["score"]["value"]
    assert models["mlp"]["score"]["value"] < 0.5 * models["persistence"]["score"]["value"]


def test_jobs_asked_for_what_they_took_and_not_much_more(ran, monkeypatch):
    monkeypatch.chdir(ran.folder)
    jobs = Jobs(configfile.load([], {}))
    asks = Sizes(jobs, gpus=0)
    for name in STUDIES:
        for job in jobs.of_study(name):
            record, ask = json.loads((ran.folder / jobs.record(job)).read_text()), asks.ask(job)
            spare = (ask.mem_mb - SNAKEMAKE_MB) / record["peak_memory_mb"]
            assert 1.2 <= spare <= 6, f"{job}: {spare:.2f} times the memory that it took"
            assert record["seconds"] <= 60 * ask.runtime / 2, f"{job}: {record['seconds']} s"
            assert record["threads"] == ask.threads == 1, job


def test_a_second_run_makes_nothing(ran):
    again = ran.run(config=None)
    assert "Nothing to be done" in again.stdout + again.stderr


@pytest.mark.parametrize("study", [*STUDIES, None])
@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_reports_open_offline(ran, study, tmp_path):
    page = ran.folder / "results" / (f"{study}/report.html" if study else "index.html")
    with Browser(tmp_path) as browser:
        for width in (360, 1200):
            browser.open(page, width=width)
            assert browser.complaints == []
            assert browser.requests == []
            assert browser.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
def test_two_clones_make_the_same_bytes(ran, make_project, tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    project = make_project(clone)
    project.run(config=None, snakefile=Path("Snakefile"))
    assert content(project.folder / "results") == content(ran.folder / "results")
