"""What a good configuration becomes."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from serpens.config import (
    Claim,
    Custom,
    Linear,
    Project,
    Split,
    Study,
    Training,
    TrainingOverrides,
    training_of,
)
from serpens.families import FAMILIES
from serpens.modelconfig import FAMILY_SECTIONS

ROOT = Path(__file__).parents[2]


def study(**keys):
    return Study.model_validate({"question": "Why?", "data": "my.csv", "target": "y"} | keys)


def test_three_keys_make_a_study():
    smallest = study()
    assert smallest.data.file == ("my.csv",)
    assert smallest.task is None
    assert smallest.test_on.words == "new rows"
    assert smallest.split is None
    assert [model.name for model in smallest.models] == ["mlp"]
    assert [model.name for model in smallest.baselines] == ["trivial", "linear", "boosted_trees"]
    assert (smallest.repeats, smallest.seed) == (3, 0)


def test_default_settings_of_the_families():
    given = study(models=list(FAMILY_SECTIONS)[:4], baselines=[{"name": "c", "family": "custom", "path": "a.py:N"}])
    settings = {model.family: model.settings() for model in (*given.models, *given.baselines)}
    assert settings == {
        "trivial": {"strategy": None},
        "linear": {"strengths": (0.001, 0.01, 0.1, 1, 10, 100, 1000)},
        "boosted_trees": {"max_iterations": 200, "learning_rate": 0.1, "max_leaf_nodes": 31},
        "mlp": {"width": 256, "n_blocks": 3, "activation": "relu", "dropout": 0},
        "custom": {"path": "a.py:N", "arguments": {}},
    }


def test_default_training():
    assert study().training.model_dump() == {
        "max_epochs": 200,
        "batch_size": 256,
        "learning_rate": 0.001,
        "patience": 20,
        "optimizer": "adamw",
        "schedule": "constant",
        "weight_decay": 0.01,
        "momentum": 0.9,
        "class_weights": "none",
        "precision": "auto",
        "compile": False,
        "deterministic": True,
    }


def test_every_family_has_a_section_and_nothing_else_has():
    assert list(FAMILY_SECTIONS) == list(FAMILIES)


def test_training_overrides_are_the_keys_of_training_in_the_same_ranges():
    assert list(TrainingOverrides.model_fields) == list(Training.model_fields)
    for name, field in Training.model_fields.items():
        schema = Training.model_json_schema()["properties"][name]
        override = TrainingOverrides.model_json_schema()["properties"][name]["anyOf"][0]
        assert override == {key: value for key, value in schema.items() if key in override}, (name, field)


def test_a_model_is_trained_with_the_studys_settings_under_its_own():
    given = study(
        training={"max_epochs": 7, "patience": 5},
        models=["mlp", {"name": "long", "family": "mlp", "training": {"max_epochs": 9}}],
    )
    assert [training_of(given, model).max_epochs for model in given.models] == [7, 9]
    assert [training_of(given, model).patience for model in given.models] == [5, 5]
    assert training_of(given, given.models[0]) == given.training


def test_name_and_family_stand_for_each_other():
    given = study(models=["mlp", {"name": "linear"}, {"family": "custom", "path": "a.py:B"}], baselines=["trivial"])
    assert [(model.name, model.family) for model in given.models] == [
        ("mlp", "mlp"),
        ("linear", "linear"),
        ("custom", "custom"),
    ]
    assert isinstance(given.models[1], Linear)
    assert isinstance(given.models[2], Custom)


def test_horizon_makes_a_forecast_tested_on_later_times():
    given = study(time="week", horizon=4, season=52)
    assert given.task == "forecasting"
    assert given.test_on == Claim(after="week")
    assert given.history == 104
    assert study(time="week", horizon=4).history == 4
    assert study(time="week", horizon=4, history=9).history == 9


def test_image_makes_a_cnn_the_default():
    assert [model.name for model in study(image={"columns": "p*", "shape": [1, 2, 2]}).models] == ["cnn"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("new rows", "new rows"),
        ({"new": "patient"}, "new values of patient"),
        ({"after": "date"}, "later values of date"),
        ({"new": "patient", "after": "date"}, "new values of patient at later values of date"),
        ({"column": "part"}, "the rows marked in part"),
        ({"file": "site_b.csv"}, "the rows of site_b.csv"),
    ],
)
def test_claims_in_words(given, words):
    assert study(test_on=given).test_on.words == words


def test_fractions():
    assert Split().test == 0.2
    assert Split.model_validate({"folds": 4}).test == 0.25
    assert Split.model_validate({"folds": 5, "test": 0.2}).test == 0.2


def test_positive_class_and_sentinels_are_text_as_in_the_data():
    given = study(positive_class=1, columns={"a": {"type": "number", "missing": [-999, "n/a", -9.99]}, "b": "category"})
    assert given.positive_class == "1"
    assert given.columns["a"].missing == ("-999", "n/a", "-9.99")
    assert given.columns["b"].type == "category"


def test_a_simulator_takes_its_arguments_inline_or_nested():
    inline = study(data={"simulator": "qubit", "rows": 10, "damping": 0.1, "drive": [0.5, 2]}).data
    nested = study(data={"simulator": "qubit", "rows": 10, "arguments": {"damping": 0.1, "drive": [0.5, 2]}}).data
    assert inline == nested
    assert inline.arguments == {"damping": 0.1, "drive": (0.5, 2)}
    assert (inline.rows, inline.seed) == (10, 0)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"split": {"folds": 5}},
        {"split": {"folds": 3, "validation": 0.1}},
        {"time": "t", "horizon": 3},
        {"data": {"simulator": "my_sim.py:go", "rows": 5, "x": 1}},
        {"image": {"columns": "p*", "shape": [1, 2, 2]}, "test_on": {"new": "writer"}},
        {"models": [{"family": "custom", "path": "n.py:N", "arguments": {"depth": 2}, "training": {"patience": 3}}]},
    ],
)
def test_what_is_written_to_study_json_reads_back_the_same(keys):
    resolved = study(**keys)
    assert Study.model_validate(resolved.model_dump(mode="json")) == resolved


def test_nothing_changes_once_read():
    with pytest.raises(ValidationError, match="frozen"):
        study().repeats = 5


def test_selected_studies():
    def project(run):
        one = {"question": "Why?", "data": "my.csv", "target": "y"}
        return Project.model_validate({"studies": {"a": one, "b": one, "c": one}, "run": run})

    assert list(project("all").selected) == ["a", "b", "c"]
    assert list(project("b").selected) == ["b"]
    assert list(project(["c", "a"]).selected) == ["a", "c"]


def test_config_yaml_holds_the_four_studies():
    project = Project.model_validate(yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8")))
    assert list(project.studies) == ["breast_cancer", "mauna_loa_co2", "qubit", "digits"]
    assert project.studies["mauna_loa_co2"].task == "forecasting"
    assert [model.name for model in project.studies["mauna_loa_co2"].baselines] == [
        "trivial",
        "persistence",
        "linear",
        "boosted_trees",
    ]
    assert project.studies["digits"].models[0].family == "cnn"
    assert all(study.data.license and study.data.citation for study in project.studies.values())


def test_planning_imports_nothing_heavy():
    code = (
        "import sys, serpens.configfile; "
        "print({'torch', 'numpy', 'pandas', 'sklearn', 'pyarrow', 'matplotlib'} & set(sys.modules))"
    )
    environment = {"PYTHONPATH": str(ROOT / "workflow")}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert out.stdout == "set()\n"
