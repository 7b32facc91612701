"""The plan: what must run, by records that a small executor writes as the jobs would."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from serpens import provenance, why
from serpens.codedigest import Code
from serpens.config import Project
from serpens.contents import Contents
from serpens.jobs import INDEX, Job, Jobs
from serpens.plan import Plan, Reason, in_order

STUDY = {
    "question": "Why?",
    "data": {"file": "one.csv"},
    "target": "y",
    "split": {"folds": 2},
    "models": ["mlp"],
    "baselines": ["linear"],
    "repeats": 1,
}
TREE = {"studies": {"one": STUDY, "two": STUDY | {"data": {"file": "two.csv"}}}}
# one output stands for all
FILES = {
    "collect": "data/raw.parquet",
    "clean": "data/clean.parquet",
    "split": "data/split-{split}/train.safetensors",
    "train": "models/{model}/split-{split}-repeat-{repeat}/weights.safetensors",
    "evaluate": "evaluation.json",
    "report": "report.html",
    "index": "index.html",
}


class Reader:
    """Stands for the code: a version of each rule and family."""

    def __init__(self):
        self.versions = {"torch": "2.13"}

    def code(self, rule, settings):
        name = settings.get("family", rule) if rule == "train" else rule
        definitions = {name: self.versions.get(name, "1")}
        libraries = {"torch": self.versions["torch"]} if name in ("mlp", "evaluate") else {}
        return Code(hashlib.sha256(repr((definitions, libraries)).encode()).hexdigest(), definitions, libraries)

    def save(self):
        pass


class World:
    """A project in the working directory, and an executor that makes what a plan asks for."""

    def __init__(self):
        self.tree, self.reader, self.forced = json.loads(json.dumps(TREE)), Reader(), set()
        for name in ("one", "two"):
            Path(f"{name}.csv").write_text(f"x,y\n{name},1\nb,2\n")

    @property
    def jobs(self):
        return Jobs(Project.model_validate(self.tree))

    def plan(self):
        return Plan(self.jobs, self.reader, Contents(), lambda job: job.rule in self.forced)

    def output(self, job):
        name = FILES[job.rule].format(**job._asdict())
        return Path("/".join(filter(None, ("results", job.study, name))))

    def inputs(self, jobs, job):
        if job.rule == "collect":
            return list(jobs.project.studies[job.study].data.file)
        return [str(self.output(before)) for before in jobs.before(job)]

    def make(self, job):
        jobs, path = self.jobs, self.output(job)
        settings = json.loads(json.dumps(jobs.settings(job)))
        code = self.reader.code(job.rule, settings)
        origin = provenance.origin(job.rule, code, settings, self.inputs(jobs, job))
        path.parent.mkdir(parents=True, exist_ok=True)
        if job.rule == "clean":  # the order of rows has no meaning
            text = "".join(sorted(Path(self.inputs(jobs, job)[0]).read_text().splitlines()))
        elif job.rule == "collect":
            text = Path(self.inputs(jobs, job)[0]).read_text()
        else:
            text = origin.key
        path.write_text(text)
        record = provenance.record(
            rule=job.rule,
            wildcards={},
            origin=origin,
            outputs=[str(path)],
            threads=1,
            start="now",
            spent={"seconds": 2.0},
        )
        Path(jobs.record(job)).parent.mkdir(parents=True, exist_ok=True)
        Path(jobs.record(job)).write_text(json.dumps(record))

    def run(self):
        """Make what must be made, as Snakemake does; return the jobs."""
        plan, done = self.plan(), []
        todo = [job for job in in_order(plan.jobs) if job in plan.stale]
        waiting = set(plan.waiting)
        for job in todo:
            if job.rule in ("collect", "clean") or job.study not in waiting | ({""} if waiting else set()):
                self.make(job)
                done.append(job)
        plan.refresh()
        for job in in_order(plan.jobs):
            if job in plan.stale and job not in done:
                self.make(job)
                done.append(job)
        return {str(job) for job in done}


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = World()
    made.run()
    assert made.run() == set()
    return made


def names(study, *rules):
    every = {
        "split": [f"split {study} split {k}" for k in (0, 1)],
        "mlp": [f"train {study} mlp split {k} repeat 0" for k in (0, 1)],
        "linear": [f"train {study} linear split {k} repeat 0" for k in (0, 1)],
        "index": ["index"],
    }
    return {name for rule in rules for name in every.get(rule, [f"{rule} {study}"])}


TAIL = ("evaluate", "report", "index")
ALL = ("collect", "clean", "split", "mlp", "linear", *TAIL)


def test_the_first_plan_is_everything(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world = World()
    assert {str(job) for job in world.plan().stale} == names("one", *ALL) | names("two", *ALL)
    assert not world.plan().waiting
    assert world.run() == names("one", *ALL) | names("two", *ALL)


def test_copied_results_are_judged_by_their_records(world, tmp_path, monkeypatch):
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "results", copy / "results", copy_function=shutil.copy)
    for name in ("one.csv", "two.csv"):
        shutil.copy(tmp_path / name, copy)
    monkeypatch.chdir(copy)
    assert world.run() == set()
    world.reader.versions["linear"] = "2"
    assert world.run() == names("one", "linear", *TAIL) | names("two", "linear", *TAIL)


def test_rows_in_another_order_stop_at_cleaning(world):
    Path("one.csv").write_text("x,y\nb,2\none,1\n")
    assert world.plan().waiting == {"one"}
    # the simple executor's cleaning sorts the header among the rows as well
    assert world.run() == names("one", "collect", "clean", "report")


def test_other_rows_go_all_the_way(world):
    Path("one.csv").write_text("x,y\nb,2\none,3\n")
    assert world.run() == names("one", *ALL)


def test_settings_code_and_libraries(world):
    world.tree["studies"]["one"]["training"] = {"max_epochs": 7}
    assert world.run() == names("one", "mlp", "linear", *TAIL)
    world.reader.versions["mlp"] = "2"
    assert world.run() == names("one", "mlp", *TAIL) | names("two", "mlp", *TAIL)
    world.reader.versions["torch"] = "2.14"
    assert world.run() == names("one", "mlp", *TAIL) | names("two", "mlp", *TAIL)
    world.tree["studies"]["two"]["question"] = "How?"
    assert world.run() == names("two", "report", "index")
    world.tree["studies"]["three"] = world.tree["studies"]["two"]
    assert world.run() == names("three", *ALL)


def test_outputs_missing_or_altered(world):
    world.output(Job("train", "one", "mlp", 1, 0)).unlink()
    assert world.run() == {"train one mlp split 1 repeat 0"} | names("one", *TAIL)
    world.output(Job("report", "two")).write_text("by hand")
    assert world.run() == names("two", "report")
    world.output(Job("clean", "one")).unlink()
    assert world.run() == names("one", "clean")
    Path("results/one/records/clean.json").unlink()  # killed while it cleaned
    assert world.run() == names("one", "clean")
    Path("results/two/records/evaluate.json").write_text("{")
    assert world.run() == names("two", *TAIL)


def test_what_is_told_to_run_runs_once(world):
    world.forced = {"train"}
    trained = names("one", "mlp", "linear", *TAIL) | names("two", "mlp", "linear", *TAIL)
    assert world.run() == trained
    world.forced = {"clean"}
    assert world.run() == names("one", "clean") | names("two", "clean")
    world.forced = set()
    assert world.run() == set()


def test_reasons_name_what_changed(world):
    world.tree["studies"]["one"]["models"] = [{"name": "mlp", "family": "mlp", "width": 8}]
    world.reader.versions |= {"linear": "2", "torch": "3"}
    world.output(Job("report", "two")).unlink()
    stale = world.plan().stale
    mlp = Job("train", "one", "mlp", 0, 0)
    assert stale[mlp] == [Reason("setting", "settings.width", "256 -> 8"), Reason("library", "torch", "2.13 -> 3")]
    assert stale[Job("train", "two", "linear", 0, 0)] == [Reason("code", "linear", "changed")]
    assert Reason("output", "results/two/report.html", "missing") in stale[Job("report", "two")]
    assert Reason("follows", "evaluate one and 1 more") in stale[INDEX]


def test_nothing_is_read_that_is_known(world, monkeypatch):
    monkeypatch.setattr("serpens.contents.RACY_NS", -(10**18))  # the files are a moment old
    contents = Contents()
    Plan(world.jobs, world.reader, contents)
    read = contents.read
    assert {"one.csv", "two.csv"} < set(contents.known)
    Plan(world.jobs, world.reader, contents)
    assert contents.read == read


def test_what_jobs_took_is_known(world):
    job = Job("train", "one", "mlp", 0, 0)
    took = world.plan().last[job]
    assert (took.seconds, took.device) == (2.0, "cpu")
    path = Path(world.jobs.record(job))
    record = json.loads(path.read_text())
    assert took.peak_memory_mb == record["peak_memory_mb"] > 0
    path.write_text(json.dumps(record | {"device": "cuda"}))
    assert world.plan().last[job].device == "cuda"


def test_why_tells_a_person(world, monkeypatch):
    assert list(why.lines(world.plan())) == ["Nothing would run: every job is up to date."]
    world.tree["studies"]["one"]["seed"] = 3
    told = list(why.lines(world.plan()))
    assert " ".join(told[0].split()) == "train one mlp split 0 repeat 0 2.0 s setting changed: seed: 0 -> 3"
    assert told[-1] == "7 jobs; last time they took 14.0 s one after another."
    Path("one.csv").unlink()
    told = "\n".join(why.lines(world.plan()))
    assert "data changed: one.csv: missing" in told
    assert "What follows runs only if the cleaned rows of one are others than before:" in told
    assert told.splitlines()[-1].startswith("At most 11 jobs; ")
