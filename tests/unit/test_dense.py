"""Backpropagation by hand, against autograd."""

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from serpens import losses, training
from serpens.data import Examples, Problem
from serpens.models import dense, mlp
from serpens.models.dense import is_wide_amd
from serpens.optimizers import Flat

ACTIVATIONS = sorted(mlp.ACTIVATIONS)


@pytest.fixture(params=["torch", "torch, with ReLU", "oneDNN"])
def products(request, monkeypatch):
    """Compute by torch's own products or by oneDNN whatever this machine is, and return which."""
    if request.param == "oneDNN" and not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this torch has no oneDNN")
    monkeypatch.setattr(dense, "_is_faster", lambda: request.param == "oneDNN")
    monkeypatch.setattr(dense, "_cuts_off", lambda weight: "ReLU" in request.param)
    return request.param


@pytest.mark.parametrize(
    ("text", "wide"),
    [
        ("vendor_id\t: AuthenticAMD\ncpu family\t: 26\nmodel\t: 2\n", True),
        ("vendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t: 17\n", False),
        ("vendor_id\t: GenuineIntel\ncpu family\t: 26\n", False),
        ("processor\t: 0\nBogoMIPS\t: 50.00\n", False),
    ],
)
def test_the_cpu_is_known_by_its_family(tmp_path, text, wide):
    (tmp_path / "cpuinfo").write_text(text)
    assert is_wide_amd(tmp_path / "cpuinfo") is wide
    assert not is_wide_amd(tmp_path / "none")


def network(activation="relu", dropout=0.0, input_shape=(28,), n_outputs=3):
    torch.manual_seed(0)
    problem = Problem("classification", input_shape, n_outputs)
    return mlp.build(problem, width=32, n_blocks=3, activation=activation, dropout=dropout)


def batch(n, shape=(28,), seed=1):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))


def both(net, batches):
    """Return outputs and flat gradients of each batch, by autograd and by hand."""
    found = []
    for by_hand in (False, True):
        ours = copy.deepcopy(net)
        flat = Flat(ours)
        chain = ours.backpropagation()
        torch.manual_seed(5)  # of dropout
        for x, gradient in batches:
            outputs = chain.outputs(x) if by_hand else ours(x)
            flat.gradient.zero_()
            chain.backward(gradient) if by_hand else outputs.backward(gradient)
            found.append((outputs.detach().clone(), flat.gradient.clone()))
    return list(itertools.chain(*found[: len(batches)])), list(itertools.chain(*found[len(batches) :]))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_outputs_and_gradients_are_autograds(products, activation, dropout):
    sizes = (64, 64, 7, 64, 1)  # as the batches of epochs are
    batches = [(batch(n, seed=n + k), torch.randn(n, 3)) for k, n in enumerate(sizes)]
    theirs, ours = both(network(activation, dropout), batches)
    for one, other in zip(theirs, ours, strict=True):
        if products != "oneDNN":
            assert torch.equal(one, other)
        else:
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_gradient_is_the_slope_of_the_loss(products, activation):
    net = network(activation)
    flat, chain, x = Flat(net), net.backpropagation(), batch(16)
    y, step = torch.arange(16) % 3, 1e-2
    chain.backward(losses.cross_entropy_gradient(chain.outputs(x), y))
    direction = flat.gradient / flat.gradient.norm()
    start, sides = flat.vector.clone(), []
    for sign in (1, -1):
        flat.vector.copy_(start + sign * step * direction)
        sides.append(losses.cross_entropy(net(x), y).item())
    assert (sides[0] - sides[1]) / (2 * step) == pytest.approx(flat.gradient.norm().item(), rel=0.02)


def test_images_are_rows_of_numbers_too():
    x = batch(5, (1, 4, 7))
    theirs, ours = both(network(input_shape=(1, 4, 7)), [(x, torch.ones(5, 3))])
    assert all(torch.equal(one, other) for one, other in zip(theirs, ours, strict=True))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_gradient_of_a_loss_is_autograds(task, weighted):
    torch.manual_seed(0)
    outputs = (3 * torch.randn(50, 4)).requires_grad_()
    y = torch.randint(0, 4, (50,)) if task == "classification" else torch.randn(50, 4)
    weight = torch.rand(50) if weighted else None
    losses.for_task(task)(outputs, y, weight).backward()
    gradient = losses.gradient_for_task(task)(outputs.detach(), y, weight)
    torch.testing.assert_close(gradient, outputs.grad, rtol=1e-5, atol=1e-8)


def fit(build, dropout=0.2):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 6)).astype(np.float32)
    y = (X[:, 0] > X[:, 1] ** 2 - 1).astype(np.int64)
    settings = {"width": 16, "n_blocks": 2, "activation": "silu", "dropout": dropout}
    how = {
        "max_epochs": 8,
        "batch_size": 32,
        "learning_rate": 0.01,
        "patience": 20,
        "optimizer": "adam",
        "schedule": "one_cycle",
        "weight_decay": 0.01,
        "momentum": 0.9,
        "class_weights": "balanced",
        "precision": "auto",
        "compile": False,
        "deterministic": True,
    }
    problem = Problem("classification", (6,), 2)
    fitted, history = training.fit_network(
        build, problem, settings, Examples(X[:100], y[:100]), Examples(X[100:], y[100:]), training=how, seed=3
    )
    return fitted.state_dict(), history.columns()


def test_a_training_by_hand_ends_where_autograd_ends(monkeypatch):
    state, history = fit(mlp.build)
    by_autograd = training._by_autograd
    monkeypatch.setattr(
        training,
        "_differentiate",
        lambda _, forward, task, flat, **__: by_autograd(forward, losses.for_task(task), flat),
    )
    other, other_history = fit(mlp.build)
    for name, values in state.items():
        torch.testing.assert_close(values, other[name], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(history["train_loss"], other_history["train_loss"], rtol=1e-5)


def test_a_network_of_the_users_is_trained_as_it_computes():
    class Halved(mlp.MLP):
        def forward(self, x):
            return super().forward(x) / 2

        def backpropagation(self):
            raise AssertionError("a method of the user's, whatever it does")

    def build(problem, **settings):
        return Halved(d_in=6, n_outputs=2, **settings)

    halved, ours = fit(build, dropout=0.0)[1], fit(mlp.build, dropout=0.0)[1]
    assert halved["train_loss"][0] != pytest.approx(ours["train_loss"][0], rel=1e-3)


def test_a_network_without_gradients_is_refused():
    with pytest.raises(ValueError, match="gradients to overwrite"):
        dense.Backpropagation([nn.Linear(2, 1)], "relu", 0.0)
