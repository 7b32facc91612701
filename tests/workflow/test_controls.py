"""Negative controls on the package's own chain: permuted labels score at chance, and the future cannot leak."""

import numpy as np
import pandas as pd
import pytest
from tests.unit.tabular import clean

from serpens import features, fitting, learning, metrics, pieces, series
from serpens.artefacts import Series
from serpens.splits import by_key

FRACTIONS = {"validation": 0.15, "calibration": 0.1, "test": 0.2}
TRAINING = {
    "max_epochs": 20,
    "batch_size": 64,
    "learning_rate": 0.003,
    "patience": 5,
    "optimizer": "adamw",
    "schedule": "constant",
    "weight_decay": 0.01,
    "momentum": 0.9,
    "class_weights": "none",
    "precision": "auto",
    "compile": False,
    "deterministic": True,
}
MLP = {"width": 32, "n_blocks": 1, "activation": "relu", "dropout": 0.0}


def auc(frame, family, settings):
    cleaned = clean(frame, target="diagnosis")
    columns = {name: cleaned.frame[name].to_numpy() for name in cleaned.frame}
    labels = by_key(columns["content"].astype(object), split=0, folds=None, fractions=FRACTIONS)
    parts = {
        part: {name: values[labels == part] for name, values in columns.items()}
        for part in ("train", "validation", "test")
    }
    types = {c.name: c.type for c in cleaned.account.columns if c.kept and c.role == "feature"}
    schema = learning.learn(
        pieces.held(parts["train"]), task="classification", target="diagnosis", classes=cleaned.classes, types=types
    )
    prepared = {part: features.prepare(schema, rows) for part, rows in parts.items()}
    problem = features.problem(schema)
    fitted = fitting.fit(
        family,
        settings,
        problem,
        prepared["train"].examples,
        prepared["validation"].examples,
        training=TRAINING,
        seed=0,
    )
    test = prepared["test"]
    return metrics.score("roc_auc", test.truth, fitted.model.predict(test.examples.X))


def test_permuted_labels_score_at_chance():
    # the mean of 20 permutations, of mlp and linear in turn; .03 is about 3 standard errors
    table = pd.read_csv("resources/breast_cancer.csv")
    rng = np.random.default_rng(0)
    scores = []
    for permutation in range(20):
        permuted = table.assign(diagnosis=rng.permutation(table["diagnosis"]))
        family, settings = ("mlp", MLP) if permutation % 2 else ("linear", {"strengths": (0.01, 1.0)})
        scores.append(auc(permuted, family, settings))
    assert np.mean(scores) == pytest.approx(0.5, abs=0.03)


def test_a_future_planted_in_a_feature_cannot_leak():
    """A column that holds the target's own future is worth nothing where only the past is seen."""
    rng = np.random.default_rng(0)
    n, horizon = 600, 4
    y = np.cumsum(rng.normal(size=n))
    rows = {
        "y": y,
        "t": np.datetime64("2000-01-01") + np.arange(n),
        "row": np.arange(n).astype(str).astype(object),
        "same_time": y.copy(),
    }
    cut = {"train": slice(0, 400), "validation": slice(400, 500), "test": slice(500, n)}
    shape = Series(time="t", horizon=horizon, history=8)

    def rmse(types):
        parts = {name: {key: values[rows_] for key, values in rows.items()} for name, rows_ in cut.items()}
        schema = series.learn(parts["train"], target="y", types=types, series=shape)
        train = series.prepare(schema, parts["train"])
        validation = series.prepare(schema, parts["validation"], parts["train"])
        test = series.prepare(schema, parts["test"], parts["validation"])
        fitted = fitting.fit(
            "linear",
            {"strengths": (0.1, 10.0, 1000.0)},
            features.problem(schema),
            train.examples,
            validation.examples,
            training=TRAINING,
            seed=0,
        )
        values = features.decode(schema, fitted.model.predict(test.examples.X), test.offset).ravel()
        return metrics.score("rmse", test.truth, values)

    # a random walk's steps ahead 1..4 have variance 1..4: nobody can beat sqrt(2.5)
    honest, planted = rmse({}), rmse({"same_time": "number"})
    assert honest > 0.85 * np.sqrt(2.5)
    assert planted > 0.95 * honest
