"""Checks that every model family must pass, on every task that it can do."""

import json

import numpy as np
import pytest
import torch

from serpens import fitting, io, losses
from serpens.data import Examples, Problem
from serpens.errors import ConfigurationError
from serpens.families import FAMILIES

PROBLEMS = {
    "two classes": Problem("classification", (5,), 2),
    "three classes": Problem("classification", (5,), 3),
    "values": Problem("regression", (5,), 1),
    "forecast": Problem("forecasting", (8,), 3, history=6, season=4),
    "images": Problem("classification", (1, 8, 8), 3),
}
NET = """
from torch import nn


class Net(nn.Module):
    def __init__(self, *, input_shape, n_outputs, width):
        super().__init__()
        size = 1
        for n in input_shape:
            size *= n
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(size, width), nn.Tanh(), nn.Linear(width, n_outputs))

    def forward(self, x):
        return self.layers(x)
"""
TRAINING = {
    "max_epochs": 3,
    "batch_size": 16,
    "learning_rate": 0.01,
    "patience": 20,
    "optimizer": "adamw",
    "schedule": "constant",
    "weight_decay": 0.0,
    "momentum": 0.9,
    "class_weights": "none",
    "precision": "auto",
    "compile": False,
    "deterministic": True,
}


def settings(family, folder):
    if family == "custom":
        (folder / "net.py").write_text(NET)
    return {
        "trivial": {"strategy": None},
        "linear": {"strengths": (0.01, 1.0)},
        "boosted_trees": {"max_iterations": 20, "learning_rate": 0.1, "max_leaf_nodes": 7},
        "mlp": {"width": 16, "n_blocks": 2, "activation": "silu", "dropout": 0.1},
        "cnn": {"channels": (4, 8), "width": 16, "activation": "relu", "dropout": 0.1, "augment_shift": 1},
        "custom": {"path": f"{folder}/net.py:Net", "arguments": {"width": 16}},
    }[family]


def examples(problem, n, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, *problem.input_shape)).astype(np.float32)
    if problem.history:
        X[:, problem.history - 1] = 0  # the last value of the past is what the others are relative to
    signal = X.reshape(n, -1)[:, :3].sum(axis=1)
    if problem.task == "classification":
        edges = np.quantile(signal, np.arange(1, problem.n_outputs) / problem.n_outputs)
        return Examples(X, np.digitize(signal, edges).astype(np.int64))
    return Examples(X, np.stack([signal * (k + 1) for k in range(problem.n_outputs)], axis=1).astype(np.float32))


def fit(family, problem, folder, seed=0, train=None, **training):
    train = examples(problem, 80) if train is None else train
    validation = examples(problem, 40, seed=1)
    return fitting.fit(
        family, settings(family, folder), problem, train, validation, training=TRAINING | training, seed=seed
    )


CASES = [
    pytest.param(family, PROBLEMS[kind], id=f"{family}, {kind}")
    for family in FAMILIES
    for kind in PROBLEMS
    if family != "cnn" or kind == "images"
]
NETWORKS = [case for case in CASES if FAMILIES[case.values[0]].network]


@pytest.mark.parametrize(("family", "problem"), CASES)
def test_predictions_have_their_shape_and_probabilities_sum_to_one(family, problem, tmp_path):
    model = fit(family, problem, tmp_path).model
    predicted = model.predict(examples(problem, 7, seed=2).X)
    assert predicted.shape == (7, problem.n_outputs)
    assert predicted.dtype == np.float64
    assert np.isfinite(predicted).all()
    if problem.task == "classification":
        assert (predicted >= 0).all()
        assert predicted.sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert model.parameters >= (0 if family == "trivial" else 1)


@pytest.mark.parametrize(("family", "problem"), CASES)
def test_the_same_seed_gives_the_same_bytes(family, problem, tmp_path):
    files = []
    for number, seed in enumerate((0, 0, 1)):
        files.append(tmp_path / f"{number}.safetensors")
        io.write_arrays(files[-1], fit(family, problem, tmp_path, seed=seed).model.state())
    first, again, other = (file.read_bytes() for file in files)
    assert first == again
    assert (first != other) == FAMILIES[family].chance


@pytest.mark.parametrize(("family", "problem"), CASES)
def test_what_is_saved_predicts_the_same_to_the_bit(family, problem, tmp_path):
    fitted = fit(family, problem, tmp_path)
    io.write_arrays(tmp_path / "w.safetensors", fitted.model.state())
    architecture = json.loads(json.dumps(fitted.architecture))
    restored = fitting.restore(architecture, io.read_arrays(tmp_path / "w.safetensors"))
    X = examples(problem, 9, seed=2).X
    assert restored.predict(X).tobytes() == fitted.model.predict(X).tobytes()
    assert restored.parameters == fitted.model.parameters


@pytest.mark.parametrize(("family", "problem"), NETWORKS)
def test_every_parameter_gets_a_finite_gradient(family, problem, tmp_path):
    torch.manual_seed(0)
    network = FAMILIES[family].load().build(problem, **settings(family, tmp_path))
    rows = examples(problem, 16)
    losses.for_task(problem.task)(network(torch.from_numpy(rows.X)), torch.from_numpy(rows.y), None).backward()
    for name, parameter in network.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(("family", "problem"), NETWORKS)
def test_a_network_learns_ten_rows_by_heart(family, problem, tmp_path):
    ten = examples(problem, 10)
    chosen = settings(family, tmp_path) | ({} if family == "custom" else {"dropout": 0.0})
    chosen |= {"augment_shift": 0} if family == "cnn" else {}
    training = TRAINING | {"max_epochs": 400, "patience": 400, "batch_size": 10}
    fitted = fitting.fit(family, chosen, problem, ten, ten, training=training, seed=0)
    predicted = fitted.model.predict(ten.X)
    if problem.task == "classification":
        assert (predicted.argmax(axis=1) == ten.y).all()
    else:
        assert abs(predicted - ten.y).max() < 0.05 * np.std(ten.y)


@pytest.mark.parametrize("family", ["linear", "boosted_trees", "mlp"])
def test_a_model_beats_the_trivial_one(family, tmp_path):
    problem = PROBLEMS["values"]
    test = examples(problem, 300, seed=3)
    train = examples(problem, 600)
    errors = {
        name: np.mean((fit(name, problem, tmp_path, train=train, max_epochs=30).model.predict(test.X) - test.y) ** 2)
        for name in ("trivial", family)
    }
    assert errors[family] < 0.2 * errors["trivial"]


@pytest.mark.parametrize("family", ["trivial", "linear"])
@pytest.mark.parametrize("kind", ["two classes", "values"])
def test_a_row_of_weight_two_counts_as_two_rows(family, kind, tmp_path):
    problem = PROBLEMS[kind]
    rows = examples(problem, 40)
    twice = np.arange(40) % 3 == 0
    weighted = Examples(rows.X, rows.y, np.where(twice, 2, 1).astype(np.float32))
    repeated = Examples(np.concatenate([rows.X, rows.X[twice]]), np.concatenate([rows.y, rows.y[twice]]))
    X = examples(problem, 5, seed=2).X
    one, other = (fit(family, problem, tmp_path, train=train).model.predict(X) for train in (weighted, repeated))
    assert one == pytest.approx(other, rel=1e-3, abs=1e-4)


def test_trivial_knows_the_classes_shares(tmp_path):
    problem = PROBLEMS["two classes"]
    train = Examples(np.zeros((4, 5), np.float32), np.array([0, 1, 1, 1]))
    model = fitting.fit("trivial", {"strategy": None}, problem, train, train, training={}, seed=0).model
    assert model.predict(train.X)[0].tolist() == [0.25, 0.75]


def test_persistence_repeats_the_last_value_and_season_the_last_season(tmp_path):
    problem = Problem("forecasting", (6,), 3, history=6, season=4)
    X = np.array([[1, 2, 3, 4, 5, 0]], dtype=np.float32)
    train = Examples(X, np.zeros((1, 3), np.float32))
    predicted = {
        strategy: fitting.fit("trivial", {"strategy": strategy}, problem, train, train, training={}, seed=0)
        .model.predict(X)
        .tolist()
        for strategy in ("last_value", "season")
    }
    assert predicted["last_value"] == [[0, 0, 0]]
    assert predicted["season"] == [[3, 4, 5]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class Net: pass", "it raised TypeError: Net() takes no arguments"),
        ("def Net(**_): return 3", "must return a torch.nn.Module; found int"),
        ("1 / 0", "it raised ZeroDivisionError: division by zero"),
        ("", "it raised AttributeError"),
    ],
)
def test_a_users_network_that_is_none(text, message, tmp_path):
    (tmp_path / "net.py").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        FAMILIES["custom"].load().build(PROBLEMS["values"], path=f"{tmp_path}/net.py:Net", arguments={})
    assert message in str(caught.value)


def test_an_image_too_small_for_the_channels(tmp_path):
    chosen = settings("cnn", tmp_path) | {"channels": (4, 4, 4, 4)}
    with pytest.raises(ConfigurationError, match="an image of 8 x 8 is too small for that: give fewer channels"):
        FAMILIES["cnn"].load().build(PROBLEMS["images"], **chosen)
    with pytest.raises(ConfigurationError, match="family cnn needs images; the study has none"):
        FAMILIES["cnn"].load().build(PROBLEMS["values"], **chosen)
