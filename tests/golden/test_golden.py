"""The first twenty losses of small trainings, as they have always been.

A change of the loop, a family, an optimiser or torch that moves them changes every result: if it is meant, say so
in the commit and write them anew with  `.venv/bin/python tests/golden/test_golden.py`.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
GOLDEN = HERE / "losses.json"
if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parents[1] / "workflow"))

from serpens import fitting  # noqa: E402 - after the path
from serpens.data import Examples, Problem  # noqa: E402

TRAINING = {
    "max_epochs": 20,
    "batch_size": 32,
    "learning_rate": 0.01,
    "patience": 20,
    "weight_decay": 0.01,
    "momentum": 0.9,
    "class_weights": "none",
    "precision": "auto",
    "compile": False,
    "deterministic": True,
}
MLP = {"width": 16, "n_blocks": 2, "activation": "silu", "dropout": 0.1}
CNN = {"channels": (4, 8), "width": 16, "activation": "relu", "dropout": 0.1, "augment_shift": 1}
CASES = {
    "mlp, values, adamw, one_cycle": ("mlp", MLP, Problem("regression", (6,), 1), "adamw", "one_cycle"),
    "mlp, classes, adam": ("mlp", MLP, Problem("classification", (6,), 3), "adam", "constant"),
    "mlp, forecast, adadelta": ("mlp", MLP, Problem("forecasting", (6,), 2, history=6), "adadelta", "constant"),
    "cnn, classes, sgd": ("cnn", CNN, Problem("classification", (1, 8, 8), 3), "sgd", "constant"),
}


def examples(problem, n, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, *problem.input_shape)).astype(np.float32)
    signal = X.reshape(n, -1)[:, :2].sum(axis=1)
    if problem.task == "classification":
        return Examples(X, np.digitize(signal, [-0.5, 0.5]).astype(np.int64))
    return Examples(X, np.repeat(signal[:, None], problem.n_outputs, axis=1).astype(np.float32))


def losses(name):
    family, settings, problem, optimizer, schedule = CASES[name]
    train, validation = examples(problem, 128, 0), examples(problem, 64, 1)
    chosen = TRAINING | {"optimizer": optimizer, "schedule": schedule}
    history = fitting.fit(family, settings, problem, train, validation, training=chosen, seed=0).history
    return {key: history[key].tolist() for key in ("train_loss", "validation_loss")}


@pytest.mark.parametrize("name", CASES)
def test_the_first_twenty_losses_are_as_ever(name):
    expected = json.loads(GOLDEN.read_text())[name]
    found = losses(name)
    for key, values in expected.items():
        assert found[key] == pytest.approx(values, rel=1e-3), key


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({name: losses(name) for name in CASES}, indent=1) + "\n")
