"""Which key of the configuration makes which rules run again; nobody widens this by accident."""

import json
from pathlib import Path

import pytest

from serpens.columnconfig import Clean
from serpens.config import Claim, Column, Data, Image, Project, Read, Resources, Split, Study, Training
from serpens.jobs import INDEX, Job, Jobs
from serpens.modelconfig import CNN, MLP, BoostedTrees, Custom, Linear, Trivial
from serpens.settings import as_json

BASE = {
    "question": "Why?",
    "data": {"file": "t.csv"},
    "target": "y",
    "split": {"folds": 2, "validation": 0.2, "calibration": 0.1},
    "models": [{"name": "m", "family": "mlp"}],
    "baselines": [{"name": "b", "family": "linear"}],
    "repeats": 1,
}
SERIES = BASE | {"task": "forecasting", "time": "t", "horizon": 4, "history": 8, "season": 2, "split": None}
IMAGE = BASE | {"image": {"columns": "p*", "shape": [1, 2, 2]}, "models": [{"name": "m", "family": "cnn"}]}
URL = BASE | {"data": {"url": "https://a.org/t.csv", "sha256": "0" * 64}}
STORED = BASE | {"data": {"storage": "s3://bucket/t.csv"}}
HUB = {"repository": "lab/cells", "revision": "0" * 40, "file": "t.csv"}
SIMULATED = BASE | {"data": {"simulator": "qubit", "rows": 100}}

FROM_COLLECT = "collect report"
FROM_CLEAN = "clean report"
FROM_SPLIT = "split report"
FROM_TRAIN = "train report"
FROM_EVALUATE = "evaluate report"
# key: (study, what it becomes, the rules whose settings it is part of); whatever follows these runs as well
KEYS = {
    "question": (BASE, "How?", "report index"),
    "data.file": (BASE, "u.csv", FROM_COLLECT),
    "data.simulator": (BASE, None, FROM_COLLECT),
    "data.rows": (SIMULATED, 101, FROM_COLLECT),
    "data.seed": (SIMULATED, 1, FROM_COLLECT),
    "data.arguments": (SIMULATED, {"noise": 0.1}, FROM_COLLECT),
    "data.sha256": (BASE, "0" * 64, FROM_COLLECT),
    # the content is what was asked for: where it is fetched from is told in the report
    "data.url": (URL, ["https://b.org/t.csv"], "report"),
    "data.mirrors": (URL, ["https://c.org/t.csv"], "report"),
    "data.name": (URL, "u.csv", "report"),
    "data.storage": (STORED, ["s3://bucket/u.csv"], FROM_COLLECT),
    "data.openml": (BASE | {"data": {"openml": 61}}, 62, FROM_COLLECT),
    "data.huggingface": (BASE | {"data": {"huggingface": HUB}}, HUB | {"file": "u.csv"}, FROM_COLLECT),
    "data.transpose": (BASE | {"split": {"folds": 2}}, "sample", FROM_COLLECT),
    "data.join": (BASE, [{"file": "u.csv", "on": "x"}], FROM_COLLECT),
    "read.member": (BASE, "t.csv", FROM_COLLECT),
    "read.max_expanded_mb": (BASE, 7.0, FROM_COLLECT),
    "read.max_ratio": (BASE, 7.0, FROM_COLLECT),
    "data.license": (BASE, "MIT", FROM_COLLECT),
    "data.citation": (BASE, "Us", FROM_COLLECT),
    **{
        f"read.{key}": (BASE, value, FROM_COLLECT)
        for key, value in {
            "delimiter": ";",
            "quote": False,
            "escape": "\\",
            "encoding": "latin-1",
            "header": True,
            "comment": "#",
            "skip_rows": 1,
            "sheet": 2,
            "layer": "raw",
            "dataset": "/d",
            "variables": ["v"],
            "images": "file",
            "size": [8, 8],
            "channels": 1,
        }.items()
    },
    "read.names": (BASE | {"read": {"header": True}}, ["x", "y"], FROM_COLLECT),
    # how numbers are written is cleaning's
    "read.decimal": (BASE, ",", FROM_CLEAN),
    "read.thousands": (BASE, ",", FROM_CLEAN),
    "target": (BASE, "z", FROM_CLEAN),
    "task": (BASE, "regression", FROM_CLEAN),
    "positive_class": (BASE, "yes", FROM_CLEAN),
    "test_on.new": (BASE, "g", "clean split evaluate report"),
    "test_on.after": (BASE | {"split": {"test": 0.2}}, "t", "clean split evaluate report"),
    "test_on.column": (BASE | {"split": {"test": 0.2}}, "s", "clean split evaluate report"),
    "test_on.file": (BASE | {"split": {"test": 0.2}}, "u.csv", "collect split evaluate report"),
    "id": (BASE, "i", FROM_CLEAN),
    "split.folds": (BASE, 3, "split evaluate report"),
    "split.validation": (BASE, 0.25, FROM_SPLIT),
    "split.calibration": (BASE, 0.15, FROM_SPLIT),
    "split.test": (BASE | {"split": {"test": 0.2}}, 0.3, FROM_SPLIT),
    "columns": (BASE, {"x": "category"}, FROM_CLEAN),
    "features": (BASE, ["x"], FROM_CLEAN),
    "drop": (BASE, ["x"], FROM_CLEAN),
    "clean.duplicates": (BASE, "drop", FROM_CLEAN),
    "clean.outliers": (BASE, "clip", FROM_SPLIT),
    "clean.impute": (BASE, "mean", FROM_SPLIT),
    "clean.indicator": (BASE, False, FROM_SPLIT),
    "select": (BASE, {"by": "variance", "keep": 10}, FROM_SPLIT),
    "personal": (BASE, {"x": "keep"}, FROM_CLEAN),
    "time": (SERIES, "u", "clean split evaluate report"),
    "horizon": (SERIES, 5, "clean split report"),
    "history": (SERIES, 9, FROM_SPLIT),
    "season": (SERIES, 3, FROM_SPLIT),
    "image.columns": (IMAGE, "q*", FROM_CLEAN),
    "image.shape": (IMAGE, [1, 1, 4], FROM_SPLIT),
    "models": (BASE, [{"name": "m", "family": "mlp"}, {"name": "n", "family": "mlp"}], FROM_EVALUATE),
    "baselines": (BASE, ["trivial", {"name": "b", "family": "linear"}], FROM_EVALUATE),
    "metric": (BASE, "accuracy", FROM_EVALUATE),
    "meaningful_difference": (BASE, 0.5, FROM_EVALUATE),
    "weight": (BASE, "w", FROM_CLEAN),
    "subgroups": (BASE, ["x"], "clean evaluate report"),
    "repeats": (BASE, 2, FROM_EVALUATE),
    "seed": (BASE, 1, "train evaluate report"),
    **{
        f"training.{key}": (BASE, value, FROM_TRAIN)
        for key, value in {
            "max_epochs": 7,
            "batch_size": 7,
            "learning_rate": 0.5,
            "patience": 7,
            "optimizer": "sgd",
            "schedule": "one_cycle",
            "weight_decay": 0.5,
            "momentum": 0.5,
            "class_weights": "balanced",
            "precision": "bfloat16",
            "compile": True,
            "deterministic": False,
        }.items()
    },
    # what a machine gives changes no result
    "resources.gpu": (BASE, 0, ""),
    "resources.gpu_model": (BASE, "a100", ""),
    "resources.nodes": (BASE, 2, ""),
    "resources.processes": (BASE, 2, ""),
    "resources.threads": (BASE, 1, ""),
    "resources.mem_mb": (BASE, 1, ""),
    "resources.disk_mb": (BASE, 1, ""),
    "resources.runtime": (BASE, 1, ""),
    "resources.shards": (BASE, 2, ""),
    "resources.checkpoint_seconds": (BASE, 1.0, ""),
}
MODEL_KEYS = {
    "family": "mlp",
    "name": "other",
    "training": {"max_epochs": 3},
    "strategy": "most_frequent",
    "strengths": [1.0],
    "max_iterations": 7,
    "learning_rate": 0.5,
    "max_leaf_nodes": 7,
    "width": 7,
    "n_blocks": 7,
    "activation": "silu",
    "dropout": 0.5,
    "channels": [7],
    "augment_shift": 7,
    "path": "net.py:Other",
    "arguments": {"width": 7},
}


@pytest.fixture(autouse=True)
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("t.csv", "u.csv"):
        Path(name).write_text("x,y\n1,2\n")


def jobs(study, results="results"):
    return Jobs(Project.model_validate({"studies": {"one": study, "two": BASE}, "results": results}))


def settings(study):
    every = jobs(study)
    kept = [job for name in ("one", "two") for job in every.of_study(name) if not (job.split or job.repeat)]
    return {job: as_json(every.settings(job)) for job in [*kept, INDEX]}


def changed(before, after):
    """Return the jobs, of those that both have, whose settings differ."""
    old, new = settings(before), settings(after)
    return {job for job in old.keys() & new.keys() if old[job] != new[job]}


def put(study, key, value):
    tree = json.loads(json.dumps(study))
    section, _, name = key.rpartition(".")
    if key == "data.simulator":
        return tree | {"data": {"simulator": "qubit", "rows": 100}}
    within = tree.setdefault(section, {}) if section else tree
    within[name] = value
    return tree


@pytest.mark.parametrize("key", KEYS)
def test_a_key_reruns_its_rules(key):
    study, value, expected = KEYS[key]
    found = changed(study, put(study, key, value))
    assert {job.rule for job in found} == set(expected.split())
    assert {job.study for job in found} <= {"one", ""}


def test_every_key_is_in_the_table():
    sections = {
        "data": Data,
        "read": Read,
        "test_on": Claim,
        "split": Split,
        "clean": Clean,
        "image": Image,
        "training": Training,
        "resources": Resources,
    }
    every = {key for key in Study.model_fields if key not in sections}
    every |= {f"{name}.{key}" for name, section in sections.items() for key in section.model_fields}
    assert set(KEYS) == every
    assert set(Column.model_fields) == {
        *("type", "min", "max", "format", "zone", "missing"),
        *("decimal", "thousands", "unit", "units", "spelling"),
        *("outliers", "impute", "indicator"),
    }
    assert {key for model in (Trivial, Linear, BoostedTrees, MLP, CNN, Custom) for key in model.model_fields} == set(
        MODEL_KEYS
    )


@pytest.mark.parametrize(
    "model",
    [
        {"family": "trivial"},
        {"family": "linear"},
        {"family": "boosted_trees"},
        {"family": "mlp"},
        {"family": "cnn"},
        {"family": "custom", "path": "net.py:Net"},
    ],
)
def test_a_setting_of_a_model_retrains_that_model_alone(model):
    base = IMAGE if model["family"] == "cnn" else BASE
    study = base | {"models": [{"name": "m"} | model, {"name": "n", "family": "mlp"}]}
    section = {"trivial": Trivial, "linear": Linear, "boosted_trees": BoostedTrees, "mlp": MLP, "cnn": CNN}
    for key in section.get(model["family"], Custom).model_fields:
        if key in ("family", "name") or (
            key == "training" and model["family"] in ("trivial", "linear", "boosted_trees")
        ):
            continue
        other = base | {"models": [{"name": "m"} | model | {key: MODEL_KEYS[key]}, {"name": "n", "family": "mlp"}]}
        found = changed(study, other)
        judged = {"evaluate"} if key == "path" else set()  # evaluation makes the model again by its path
        assert {job.rule for job in found} == {"train", "report"} | judged, key
        assert {job.model for job in found if job.rule == "train"} == {"m"}


def test_what_is_learned_of_a_column_is_for_splitting_alone():
    for key, value in {"outliers": "clip", "impute": "zero", "indicator": False}.items():
        found = changed(BASE | {"columns": {"x": "number"}}, BASE | {"columns": {"x": {"type": "number", key: value}}})
        assert {job.rule for job in found} == {"split", "report"}, key


def test_values_that_swap_places_are_another_setting():
    one, other = ({"max_epochs": 3, "patience": 5}, {"max_epochs": 5, "patience": 3})
    assert Job("train", "one", "m", 0, 0) in changed(BASE | {"training": one}, BASE | {"training": other})


def test_the_order_of_keys_and_the_place_of_a_default_change_nothing():
    written_out = dict(reversed(BASE.items())) | {"training": {"patience": 20}, "seed": 0}
    assert changed(BASE, written_out) == set()
