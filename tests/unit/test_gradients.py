"""Batches that do not fit the memory: done in passes, with the same result, or refused."""

import numpy as np
import pytest
import torch
from tests.unit.learners import LEARNERS, MLP, TRAINING, VALUES, Learner, data
from torch import nn

from serpens import losses, training
from serpens.checkpoints import Checkpoints
from serpens.errors import ConfigurationError, EnvironmentFaultError, TrainingStoppedError
from serpens.families import FAMILIES
from serpens.gradients import BatchGradient
from serpens.models import cnn, dense, mlp
from serpens.optimizers import Flat, Optimizer
from serpens.parts import Part, Team
from serpens.trainingstate import TrainingState

# Float32 sums of some hundred numbers in another order; a gradient that is off by a factor moves losses by 1e-2.
SAME = {"rtol": 2e-5, "atol": 1e-7}


class Memory:
    """The memory of a device that holds so many rows at once, and what was asked of it.

    It runs out when a pass is through, and has drawn its chance.
    """

    def __init__(self, n_rows):
        self.n_rows, self.asked = n_rows, []

    def __call__(self, x):
        self.asked.append(len(x))
        if len(x) > self.n_rows:
            raise torch.OutOfMemoryError


@pytest.fixture
def memory(monkeypatch):
    """Return a function that gives networks a memory of so many rows."""

    def limit(n_rows):
        held = Memory(n_rows)
        by_hand = dense.Backpropagation.outputs

        def outputs(self, x):
            found = by_hand(self, x)
            held(x)
            return found

        monkeypatch.setattr(dense.Backpropagation, "outputs", outputs)
        return held

    return limit


def fit(learner, held=None, checkpoints=None, build=None, **changes):
    build = build or FAMILIES[learner.family].load().build

    def limited(*args, **settings):
        network = build(*args, **settings)
        if held is not None:
            network.register_forward_hook(lambda _, args, __: held(args[0]))
        return network

    train, validation = data(learner)
    how = TRAINING | learner.training | changes
    network, history = training.fit_network(
        limited, learner.problem, learner.settings, train, validation, training=how, seed=3, checkpoints=checkpoints
    )
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}, history


def assert_same(one, other):
    for name, values in one[0].items():
        np.testing.assert_allclose(values, other[0][name], err_msg=name, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(one[1].train_loss, other[1].train_loss, **SAME)
    np.testing.assert_allclose(one[1].validation_loss, other[1].validation_loss, **SAME)


@pytest.mark.parametrize("name", [name for name, learner in LEARNERS.items() if learner.family == "mlp"])
def test_what_does_not_fit_is_done_in_passes_with_the_same_result(memory, caplog, name):
    learner = LEARNERS[name]
    expected = fit(learner)
    held = memory(3)
    assert_same(fit(learner, held), expected)
    said = [message for message in caplog.messages if "batches" in message]
    assert said == [
        f"{tried} rows at once do not fit the memory of this machine: batches are done in passes of {rows} rows, which "
        "changes no result beyond the rounding of sums"
        for tried, rows in ((16, 8), (8, 4), (4, 2))
    ]
    assert held.asked[:5] == [16, 8, 4, 2, 2]  # no batch is tried again that is known not to fit


def test_a_shifted_image_is_the_same_image_in_passes(memory):
    settings = {"channels": (3,), "width": 6, "activation": "relu", "dropout": 0.3, "augment_shift": 1}
    learner = LEARNERS["cnn, weighted classes"]._replace(settings=settings)

    def build(problem, **settings):
        network = cnn.build(problem, **settings)
        network.features[2] = nn.GroupNorm(1, 3)  # a batch normalisation cannot be parted
        return network

    expected = fit(learner, build=build)
    assert_same(fit(learner, memory(5), build=build), expected)


def test_a_network_that_normalises_by_the_batch_is_not_done_in_passes(memory):
    with pytest.raises(EnvironmentFaultError) as caught:
        fit(LEARNERS["cnn, weighted classes"], memory(8))
    assert str(caught.value) == (
        "a batch of 16 rows must fit the memory of this machine, and does not: it cannot be done in passes, since "
        "features.2 normalises by the whole batch. Lower training.batch_size, or train on more GPUs (resources.gpu)"
    )


class Remembers(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 2)
        self.register_buffer("mean", torch.zeros(6))

    def forward(self, x):
        if self.training:
            self.mean.lerp_(x.mean(0), 0.1)
        return self.layer(x - self.mean)


def test_a_network_that_remembers_its_batches_is_not_done_in_passes(memory):
    learner = Learner("custom", {}, VALUES)
    with pytest.raises(ConfigurationError, match="must remember nothing of its batches") as caught:
        fit(learner, memory(8), build=lambda problem: Remembers())
    assert "it wrote to mean, of which" in str(caught.value)


def test_a_row_that_does_not_fit_is_an_error(memory):
    with pytest.raises(EnvironmentFaultError) as caught:
        fit(LEARNERS["mlp, values"], memory(0))
    assert str(caught.value) == (
        "the memory of this machine must hold the network and a pass through it, and does not: make the network "
        "smaller, or ask for a GPU with more memory (resources.gpu_model)"
    )


def test_chance_of_numpy_and_python_is_rewound_too(memory):
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 2)

        def forward(self, x):
            import random

            return self.layer(x) * (np.random.normal() + random.random() if self.training else 1)  # noqa: NPY002

    learner = Learner("custom", {}, VALUES)
    expected = fit(learner, build=lambda problem: Noisy())
    assert_same(fit(learner, memory(5), build=lambda problem: Noisy()), expected)


def test_what_fitted_is_known_to_the_next_attempt(memory, tmp_path):
    learner = LEARNERS["mlp, values"]
    whole = fit(learner, memory(4))
    (tmp_path / "run").mkdir()
    with pytest.raises(TrainingStoppedError), Checkpoints(tmp_path / "run", "key", every_seconds=0) as checkpoints:
        checkpoints.open()
        checkpoints._heed(15, None)
        fit(learner, memory(4), checkpoints)
    with Checkpoints(tmp_path / "run", "key", every_seconds=0) as checkpoints:
        checkpoints.open()
        held = memory(4)
        resumed = fit(learner, held, checkpoints)
    assert held.asked[0] == 4
    for name, values in whole[0].items():
        assert values.tobytes() == resumed[0][name].tobytes()
    assert whole[1] == resumed[1]


def test_validation_rows_are_passed_as_they_fit(memory):
    expected = fit(LEARNERS["mlp, values"])
    held = memory(16)  # the batches fit, the 30 validation rows do not
    assert_same(fit(LEARNERS["mlp, values"], held), expected)
    assert [rows for rows in held.asked if rows not in (16, 3)] == [30] + [15] * 2 * TRAINING["max_epochs"]


class Share(Team):
    """One of several processes, whose others do nothing."""

    def __init__(self, number, size):
        self.number, self.size = number, size


@pytest.mark.parametrize("size", [2, 3, 20])
@pytest.mark.parametrize("weighted", [False, True])
def test_gradients_of_parts_add_up_to_the_batchs(size, weighted):
    learner = LEARNERS["mlp, weighted values" if weighted else "mlp, values"]
    train, _ = data(learner)
    X, y = torch.from_numpy(train.X), torch.from_numpy(train.y)
    weight = torch.from_numpy(train.weight) if weighted else None
    rows, found = torch.arange(5, 21), []
    for team in (Team(), *(Share(number, size) for number in range(size))):
        torch.manual_seed(0)
        network = mlp.build(learner.problem, **MLP)
        flat = Flat(network)
        optimizer = Optimizer("sgd", flat, weight_decay=0, momentum=0)
        now = TrainingState(network, optimizer, torch.Generator(), 1, team=team)
        gradient = BatchGradient(
            network,
            network,
            losses.squared_error,
            flat,
            training._differentiate(network, network, "regression", flat, by_hand=True),
            lambda at: (X[at], y[at], None if weight is None else weight[at]),
            weight,
            now,
        )
        loss = gradient(rows)
        found.append(torch.cat([flat.gradient, loss.reshape(1)]))
    torch.testing.assert_close(sum(found[1:]), found[0], rtol=1e-5, atol=1e-7)
    assert Part.dealt(16, 19, 20).n_rows == 0  # a process without rows adds nothing
