"""Networks of every kind, and small data that they learn from, for tests of how they are trained."""

from typing import NamedTuple

import numpy as np

from serpens.data import Examples, Problem
from serpens.modelconfig import Training

TRAINING = Training(max_epochs=4, batch_size=16, learning_rate=0.01).model_dump()
NET = """
from torch import nn


class Net(nn.Module):
    def __init__(self, *, input_shape, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(
            # a bias before a normalisation has no gradient but rounding, which Adam makes steps of
            nn.Linear(*input_shape, 12, bias=False),
            nn.BatchNorm1d(12),
            nn.GELU(),
            nn.Dropout1d(0.2),
            nn.Linear(12, n_outputs),
        )

    def forward(self, x):
        return self.layers(x)
"""


class Learner(NamedTuple):
    """A network, and the problem and training that it is tried with."""

    family: str
    settings: dict
    problem: Problem
    weighted: bool = False
    training: dict = {}  # noqa: RUF012 - of a tuple, and never changed


MLP = {"width": 12, "n_blocks": 2, "activation": "silu", "dropout": 0.3}
CNN = {"channels": (3, 4), "width": 6, "activation": "relu", "dropout": 0.3, "augment_shift": 1}
CLASSES, VALUES = Problem("classification", (6,), 3), Problem("regression", (6,), 2)
LEARNERS = {
    "mlp, values": Learner("mlp", MLP, VALUES),
    "mlp, weighted values": Learner("mlp", MLP, VALUES, weighted=True),
    "mlp, balanced classes": Learner("mlp", MLP, CLASSES, training={"class_weights": "balanced", "optimizer": "sgd"}),
    "cnn, weighted classes": Learner("cnn", CNN, Problem("classification", (1, 8, 8), 3), weighted=True),
    "custom": Learner("custom", {"path": "net.py:Net", "arguments": {}}, CLASSES),
}


def examples(problem, n, seed, weighted=False):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, *problem.input_shape)).astype(np.float32)
    tells = X.reshape(n, -1)[:, :2].sum(axis=1)
    weight = rng.uniform(0.1, 5, n).astype(np.float32) if weighted else None
    if problem.task == "classification":
        return Examples(X, np.digitize(tells, [-1.2, 1.2]).astype(np.int64), weight)
    return Examples(X, np.repeat(tells[:, None], problem.n_outputs, axis=1).astype(np.float32), weight)


def data(learner):
    """Return training rows, of which the last batch of 16 holds three, and validation rows."""
    return (examples(learner.problem, n, seed, learner.weighted) for n, seed in ((67, 0), (30, 1)))
