"""What the plan relies on: what runs is in the digest, flags undo nothing, two runs do not meet."""

import json
import os
import re
import subprocess
import sys
import time

import pytest
from tests.workflow.conftest import ROOT
from tests.workflow.test_runs import STUDY, table

from serpens.codedigest import OUTSIDE

# Python runs a module of this name at its start: it notes which definitions of the package a job has called.
NOTE = """
import atexit, json, os, sys, threading

if ".snakemake/scripts" in " ".join(sys.argv):
    called = set()

    def note(frame, event, argument):
        code = frame.f_code
        is_function = code.co_flags & 2  # the body of a class has no local names
        if event == "call" and is_function and "/workflow/serpens/" in code.co_filename:
            called.add((code.co_filename, code.co_qualname.partition(".")[0]))

    def write():
        sys.setprofile(None)
        job = getattr(sys.modules["__main__"], "snakemake", None)
        if job is not None:
            with open(os.environ["SERPENS_NOTES"], "a") as file:
                file.write(json.dumps([job.output.record, sorted(called)]) + "\\n")

    atexit.register(write)
    threading.setprofile(note)
    sys.setprofile(note)
"""
# What the frame of every job uses to write its record.
FRAME = {"serpens.io.read_cache", "serpens.io.sha256"}
SERIES = """
  series:
    question: What comes next?
    data: series.csv
    target: y
    time: t
    horizon: 3
    history: 6
    season: 4
    repeats: 1
    models: [{name: mlp, family: mlp, width: 8, n_blocks: 1}]
    training: {max_epochs: 2}
"""
IMAGES = """
  images:
    question: Is it bright?
    data: {simulator: "make.py:images", rows: 120, seed: 1}
    target: bright
    task: classification
    image: {columns: p*, shape: [1, 4, 4]}
    split: {validation: 0.2, test: 0.3}
    repeats: 1
    training: {max_epochs: 2}
"""
MAKE = """
import numpy as np


def images(*, rows, seed):
    values = np.random.default_rng(seed).random((rows, 16))
    columns = {f"p{i:02d}": column for i, column in enumerate(values.T)}
    return columns | {"bright": np.where(values.mean(axis=1) > 0.5, "yes", "no")}
"""


def write_studies(project):
    project.write("table.csv", table())
    months = [f"{2000 + i // 12}-{1 + i % 12:02d}-01" for i in range(300)]
    project.write("series.csv", "t,y\n" + "".join(f"{t},{i % 4 + i / 100}\n" for i, t in enumerate(months)))
    project.write("make.py", MAKE)
    # the test is of code, not of numbers: one split and one repeat run all of it
    small = STUDY.replace("split: {folds: 2}", "split: {test: 0.3}").replace("repeats: 2", "repeats: 1")
    project.write("mine.yaml", small + SERIES + IMAGES)


# Six jobs: enough where the plan is tested, not the numbers.
QUICK = re.sub(r"models:.*\n", "models: [linear]\n    baselines: [trivial]\n", STUDY).replace(
    "split: {folds: 2}", "split: {test: 0.3}"
)


@pytest.fixture(scope="module")
def ran(make_project, tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("ran"))
    project.write("table.csv", table())
    project.write("mine.yaml", QUICK)
    project.run()
    return project


@pytest.fixture
def called(project):
    write_studies(project)
    project.write("sitecustomize.py", NOTE)
    notes = project.folder / "notes"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", os.pathsep.join([str(project.folder), os.environ.get("PYTHONPATH", "")]))
        environment.setenv("SERPENS_NOTES", str(notes))
        project.run()
    return project.folder, dict(json.loads(line) for line in notes.read_text().splitlines())


@pytest.mark.slow
def test_everything_that_runs_is_in_the_digest(called):
    folder, jobs = called
    assert len(jobs) == 28
    missed = {}
    for record, definitions in jobs.items():
        listed = json.loads((folder / record).read_text())["code"]["definitions"]
        for file, name in definitions:
            called = f"{file.partition('/workflow/')[2].removesuffix('.py').replace('/', '.')}.{name}"
            # what stands in angle brackets belongs to a statement of its module
            if called.rpartition(".")[0] in OUTSIDE or called in FRAME or name.startswith("<"):
                continue
            if file.endswith(".py") and called not in listed:  # templates are listed as files
                missed.setdefault(called, record)
    assert not missed


def test_nothing_is_to_be_done_whatever_the_flags(ran):
    for flags in (
        ["--cores", "1"],
        ["--rerun-triggers", "code", "mtime", "input", "params", "software-env"],
        ["--workflow-profile", "none"],
        ["--directory", str(ran.folder)],
    ):
        assert ran.jobs(*flags) == [], flags


def test_a_profile_that_undoes_exactness_is_told(ran):
    done = ran.run("-n", "--workflow-profile", "none")
    told = done.stdout + done.stderr
    assert "Serpens decides by its records what runs again; rerun-triggers mtime is used in place of code, " in told
    assert "Serpens takes up what was killed; rerun-incomplete is used, which the profile does not set" in told
    done = ran.run("-n")
    assert "Serpens" not in done.stdout + done.stderr


def test_forced_rules_and_targets_by_path(ran):
    assert sorted(ran.jobs("--forcerun", "evaluate")) == ["all", "evaluate", "index", "report"]
    assert ran.jobs("results/small/evaluation.json") == []
    page = ran.folder / "results/small/report.html"
    text = page.read_text()
    page.write_text("by hand")
    assert ran.jobs("results/small/report.html") == ["report"]
    assert ran.jobs("results/small/evaluation.json") == []
    assert ran.jobs("--until", "evaluate") == []
    page.write_text(text)
    assert ran.jobs("results/small/report.html") == []


@pytest.fixture
def run_until(project):
    """Return a function that starts a run and waits until it has made a file; at the end it is stopped."""
    project.write("table.csv", table())
    project.write("mine.yaml", QUICK)
    started = []

    def until(name):
        command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "1"]
        with (project.folder / "said").open("w") as said:
            run = subprocess.Popen(
                [*command, "--configfile", "mine.yaml"], cwd=project.folder, stdout=said, stderr=subprocess.STDOUT
            )
        started.append(run)
        deadline = time.monotonic() + 60
        while not (project.folder / name).exists():
            assert time.monotonic() < deadline, (project.folder / "said").read_text()
            time.sleep(0.05)
        return run

    yield until
    for run in started:
        run.kill()
        run.wait()


def test_two_runs_at_once_do_not_meet(project, run_until):
    first = run_until(".snakemake/serpens/running/lock")
    second = project.snakemake()
    assert second.returncode != 0
    assert f"Another run is at work in this folder (process {first.pid} on " in second.stderr
    assert "cannot be locked" in second.stderr
    assert first.wait(timeout=300) == 0, (project.folder / "said").read_text()
    assert project.jobs() == []


def test_a_killed_run_is_taken_up(project, run_until):
    run = run_until("results/small/records/clean.json")
    run.kill()
    run.wait()
    done = project.run()
    assert f"The last run (process {run.pid} on " in done.stderr
    assert project.jobs() == []
