"""Processes that train one network together: the result of one, whoever dies ends all, and nothing is left behind."""

import numpy as np
import pytest
import torch
from tests.unit.learners import LEARNERS, NET, TRAINING, data

from serpens import processes, training
from serpens.families import FAMILIES

# What the order of float32 sums may change in four epochs; a gradient that is off by a factor changes far more.
LOSSES = {"rtol": 1e-5, "atol": 1e-7}
WEIGHTS = {"rtol": 1e-3, "atol": 1e-5}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


def fit(learner, size=1, checkpoints=None, **changes):
    train, validation = data(learner)
    arguments = FAMILIES[learner.family].load().build, learner.problem, learner.settings, train, validation
    options = {"training": TRAINING | learner.training | changes, "seed": 3, "checkpoints": checkpoints}
    if size == 1:
        return training.fit_network(*arguments, **options)
    shared = {name: options[name] for name in ("training", "seed")}
    with processes.together(*arguments, **shared, device="cpu", size=size, threads=1) as team:
        return training.fit_network(*arguments, **options, team=team)


def assert_same(one, other):
    np.testing.assert_allclose(one[1].train_loss, other[1].train_loss, **LOSSES)
    np.testing.assert_allclose(one[1].validation_loss, other[1].validation_loss, **LOSSES)
    expected = other[0].state_dict()
    for name, values in one[0].state_dict().items():
        torch.testing.assert_close(values, expected[name], **WEIGHTS, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("mlp, weighted values", 2),
        ("mlp, balanced classes", 2),
        ("cnn, weighted classes", 2),
        ("custom", 2),
        ("cnn, weighted classes", 4),  # the last batch has three rows
        *(pytest.param(name, size, marks=pytest.mark.slow) for name in LEARNERS for size in (3, 4)),
    ],
)
def test_the_result_is_that_of_one_process(name, size):
    one = fit(LEARNERS[name])
    assert_same(fit(LEARNERS[name], size), one)
    assert abs(one[1].train_loss[0] / one[1].train_loss[-1] - 1) > 0.01  # else any gradient would do
