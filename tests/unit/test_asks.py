"""What a person reads of what jobs ask for."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.workflow.conftest import ROOT

from serpens import asks, configfile
from serpens.config import Project
from serpens.jobs import Jobs
from serpens.plan import Took, in_order
from serpens.sizing import Sizes

STUDY = {
    "question": "Why?",
    "data": {"simulator": "qubit", "rows": 20_000},
    "target": "y",
    "baselines": ["linear"],
    "repeats": 2,
}


def told(*, stale=None, took=None, waiting=(), gpus=None, every=False, name="one", **keys):
    """Return the lines, of which ``stale`` rules would run (all, if none is named), and all took as much last."""
    jobs = Jobs(Project.model_validate({"studies": {name: STUDY | keys}}))
    ordered = list(in_order(jobs))
    plan = SimpleNamespace(
        jobs=jobs,
        stale={job: [] for job in ordered if stale is None or job.rule in stale},
        last=dict.fromkeys(ordered, took) if took else {},
        waiting=set(waiting),
    )
    return list(asks.lines(plan, Sizes(jobs, plan, gpus=gpus), every=every))


def test_jobs_that_ask_for_the_same_are_told_once():
    assert told(stale=("split", "train")) == [
        " jobs                                          GPUs  cores     memory       disk       time",
        "    1  split one                                  -      1     700 MB     1.0 GB     10 min",
        "         20,000 rows x 5 columns",
        "    2  train one mlp                              1      1     4.7 GB     1.0 GB     10 min",
        "         20,000 rows x 4 features, 200 epochs, 0.13 million parameters; GPUs: a network",
        "    1  train one linear                           -      1     800 MB     1.0 GB     10 min",
        "         20,000 rows x 4 features, 7 strengths of the penalty",
        "4 jobs, 2 of them on GPUs, expected to take 35.8 s one after another, 4 of them by their size alone.",
        "A further attempt asks for as much memory, disk and time again.",
    ]


def test_what_jobs_took_is_told():
    lines = told(stale=("clean",), took=Took(1200.0, 2000.0, "cpu"))
    assert lines[1:] == [
        "    1  clean one                                  -      1     3.0 GB     1.0 GB     50 min",
        "         20,000 rows x 5 columns; took 20.0 min and 2,000 MB last time",
        "1 job, none of them on GPUs, expected to take 20.0 min one after another. A further attempt asks for",
        "as much memory, disk and time again.",
    ]


def test_what_the_study_says_is_told_with_its_figures():
    resources = {"gpu": 4, "nodes": 2, "gpu_model": "a100", "mem_mb": 64_000, "runtime": 300, "threads": 8}
    lines = told(stale=("train",), resources=resources, name="a_study_with_a_long_name", baselines=["trivial"])
    assert lines[1:4] == [
        "    2  train a_study_with_a_long_name mlp on 2 nodes",
        "                                             4 a100      8    64.0 GB     1.0 GB      5.0 h",
        "         20,000 rows x 4 features, 200 epochs, 0.13 million parameters; memory, time, cores, GPUs:",
    ]
    assert lines[4] == "         set by the study"
    assert lines[-2].startswith("3 jobs, 2 of them on GPUs, ")


def test_several_cores_have_a_reason():
    lines = told(stale=("train",), gpus=0, training={"max_epochs": 100_000})
    assert "cores: about 8.3 h of work for one core" in " ".join(line.strip() for line in lines)


def test_every_line_fits():
    resources = {"gpu": 4, "nodes": 2, "gpu_model": "nvidia_h100_80gb", "threads": 8}
    for lines in (told(resources=resources, training={"max_epochs": 100_000}), told(took=Took(1e6, 1e6, "cpu"))):
        assert max(map(len, lines)) <= asks.WIDTH


def test_up_to_date_jobs_are_told_when_asked_for():
    assert told(stale=()) == ["Nothing would run: every job is up to date. ARGS=--all shows what they would ask for."]
    assert told(stale=(), every=True)[1:-2] == told()[1:-2]


def test_a_study_that_waits_for_its_cleaning_asks_for_that_at_most():
    assert told(waiting=["one"])[-2].startswith("At most 9 jobs, 2 of them on GPUs")
    assert told(waiting=["one"], every=True)[-2].startswith("9 jobs, ")


def test_the_documentation_shows_what_is_told(monkeypatch):
    monkeypatch.chdir(ROOT)
    jobs = Jobs(configfile.load([], {"run": "qubit"}))
    plan = SimpleNamespace(jobs=jobs, stale=dict.fromkeys(in_order(jobs), ()), last={}, waiting=set())
    lines = list(asks.lines(plan, Sizes(jobs), every=False))
    shown = re.search(r"```\n( jobs .*?)```", Path("docs/resources.md").read_text(), flags=re.DOTALL)
    assert len(shown[1].splitlines()) == 5
    assert set(shown[1].splitlines()) <= set(lines)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "studies:\n  one: {question: Does it fit, data: {simulator: qubit, rows: 3000}, target: y}\n"
    (tmp_path / "mine.yaml").write_text(text)


def test_the_command_plans_and_tells(project, capsys):
    assert asks.main(["--configfile", "mine.yaml", "--gpus", "0"]) == 0
    said = capsys.readouterr().out
    assert "    3  train one mlp                              -      1     1.0 GB" in said
    assert "GPUs: 1 wanted, none to be had" in " ".join(said.split())


def test_the_command_says_what_is_wrong(project, capsys):
    assert asks.main(["--configfile", "mine.yaml", "--run", "two"]) == 1
    assert "no study is called 'two'" in capsys.readouterr().err
