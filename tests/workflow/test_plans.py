"""What the plan relies on: what runs is in the digest, flags undo nothing, two runs do not meet."""

import json
import os
import re
import subprocess
import sys
import time

import pytest
from tests.workflow.conftest import ROOT
from tests.workflow.test_formats import cells
from tests.workflow.test_runs import STUDY, table

from serpens.codedigest import OUTSIDE

# Python runs a module of this name at its start: it notes which definitions of the package a job has called, and which
# other definition called each; none where the script did.
NOTE = """
import atexit, json, os, sys, threading

PACKAGE = "/workflow/serpens/"

if ".snakemake/scripts" in " ".join(sys.argv):
    called, seen = set(), set()

    def named(code):
        return code.co_filename, code.co_qualname.partition(".")[0]

    def caller(frame):
        while frame is not None and ".snakemake/scripts" not in frame.f_code.co_filename:
            # what a script gives its job to hold, the script calls
            if PACKAGE in frame.f_code.co_filename and frame.f_code.co_qualname != "Job.hold":
                return named(frame.f_code)
            frame = frame.f_back

    def note(frame, event, argument):
        code, before = frame.f_code, frame.f_back
        is_function = code.co_flags & 2  # the body of a class has no local names
        if event != "call" or not is_function or PACKAGE not in code.co_filename:
            return
        pair = code, before and before.f_code
        if pair not in seen or before is None or PACKAGE not in before.f_code.co_filename:
            seen.add(pair)
            called.add((named(code), caller(before)))

    def write():
        sys.setprofile(None)
        job = getattr(sys.modules["__main__"], "snakemake", None)
        if job is not None:
            with open(os.environ["SERPENS_NOTES"], "a") as file:
                file.write(json.dumps([job.output.record, list(called)]) + "\\n")

    atexit.register(write)
    threading.setprofile(note)
    sys.setprofile(note)
"""
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
CELLS = """
  cells:
    question: Which kind is a cell, by its genes?
    data: cells.h5ad
    target: kind
    id: obs_names
    split: {test: 0.3}
    repeats: 1
    models: [linear]
    baselines: [trivial]
    resources: {shards: 2}
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
    cells(project.folder / "cells.h5ad")
    # the test is of code, not of numbers: one split and one repeat run all of it
    small = STUDY.replace("split: {folds: 2}", "split: {test: 0.3}").replace("repeats: 2", "repeats: 1")
    project.write("mine.yaml", small + SERIES + IMAGES + CELLS)


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


def spelled(definition):
    file, name = definition
    return f"{file.partition('/workflow/')[2].removesuffix('.py').replace('/', '.')}.{name}"


def reached(calls):
    """Return what a job called for its result, by name.

    Not what is called by modules that compute none, for their own sake: they check a study, read what is known of code,
    write the record. Nor what is called while a module is imported: who uses the value has the statement that made it
    in its digest, and so what that calls.
    """
    found, more = set(), {called for called, caller in calls if caller is None}
    while more - found:
        found |= more
        inside = {each for each in found if spelled(each).rpartition(".")[0] not in OUTSIDE and each[1] != "<module>"}
        more = {called for called, caller in calls if caller in inside}
    # templates are listed as files; what stands in angle brackets belongs to a statement of its module
    return {spelled(each) for each in found if each[0].endswith(".py") and not each[1].startswith("<")}


@pytest.mark.slow
def test_everything_that_runs_is_in_the_digest(called):
    folder, jobs = called
    assert len(jobs) == 37
    missed = {}
    for record, calls in jobs.items():
        listed = json.loads((folder / record).read_text())["code"]["definitions"]
        pairs = [(tuple(called), caller and tuple(caller)) for called, caller in calls]
        found = {name for name in reached(pairs) if name.rpartition(".")[0] not in OUTSIDE}
        # every job at least reads, computes and writes
        assert len(found) > 5, record
        for name in sorted(found - listed.keys()):
            missed.setdefault(name, record)
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
