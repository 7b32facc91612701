"""What a network computes in."""

import numpy as np
import pytest
import torch
from torch import nn

from serpens import precision, training
from serpens.data import Examples, Problem
from serpens.errors import EnvironmentFaultError
from serpens.modelconfig import Training
from serpens.models import cnn, mlp

CPU, CUDA, MPS = map(torch.device, ("cpu", "cuda", "mps"))
MLP = {"width": 32, "n_blocks": 2, "activation": "silu", "dropout": 0.0}
CNN = {"channels": (4, 8), "width": 16, "activation": "relu", "dropout": 0.0, "augment_shift": 0}


@pytest.mark.parametrize(
    ("asked", "device", "found"),
    [
        ("auto", CPU, "float32"),
        ("auto", MPS, "float32"),
        ("auto", CUDA, "tf32"),
        ("float32", CUDA, "float32"),
        ("bfloat16", CPU, "bfloat16"),
    ],
)
def test_auto_is_what_suits_the_device(asked, device, found):
    assert precision.chosen(asked, device) == found


@pytest.mark.parametrize("capability", [(7, 5), (8, 0)])
def test_a_gpu_without_bfloat16_is_refused(monkeypatch, capability):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Old 1")
    if capability >= precision.AMPERE:
        assert precision.chosen("bfloat16", CUDA) == "bfloat16"
        return
    message = (
        r"^training\.precision: bfloat16 needs a GPU of compute capability 8\.0 or later; Old 1 has 7\.5: leave "
        r"training\.precision at auto, or give the job another GPU \(resources\.gpu_model\)$"
    )
    with pytest.raises(EnvironmentFaultError, match=message):
        precision.chosen("bfloat16", CUDA)


def flags():
    return (
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
        torch.backends.cuda.matmul.fp32_precision == "tf32",
        torch.backends.cudnn.conv.fp32_precision == "tf32",
    )


@pytest.mark.parametrize(("name", "rounded"), [("float32", False), ("tf32", True), ("bfloat16", True)])
def test_a_gpu_rounds_products_within_a_block_alone(name, rounded):
    before = flags()
    with pytest.raises(KeyError), precision.rounding(name, CUDA):
        assert flags() == (rounded,) * 4
        raise KeyError
    assert flags() == before
    with precision.rounding(name, CPU):
        assert flags() == before


def test_bfloat16_is_within_the_network_and_its_outputs_are_float32():
    seen = []

    class Watch(nn.Linear):
        def forward(self, x):
            out = super().forward(x)
            seen.append(out.dtype)
            return out

    network = Watch(3, 2)
    out = precision.forward(network, "bfloat16", CPU)(torch.ones(4, 3))
    out.sum().backward()
    assert seen == [torch.bfloat16]
    assert out.dtype == network.weight.grad.dtype == network.weight.dtype == torch.float32
    assert precision.forward(network, "tf32", CPU) is network


def fit(name, build, settings, problem, **changes):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, *problem.input_shape)).astype(np.float32)
    y = (X.reshape(300, -1)[:, :3].sum(axis=1) > 0).astype(np.int64)
    how = Training(max_epochs=6, batch_size=64, learning_rate=0.01, precision=name).model_dump() | changes
    validation = Examples(X[200:], y[200:])
    network, history = training.fit_network(
        build, problem, settings, Examples(X[:200], y[:200]), validation, training=how, seed=0
    )
    return network, history.columns(), validation


PROBLEMS = {
    "mlp": (mlp.build, MLP, Problem("classification", (6,), 2)),
    "cnn": (cnn.build, CNN, Problem("classification", (3, 4, 4), 2)),
}


@pytest.mark.parametrize("family", PROBLEMS)
def test_a_training_in_bfloat16_learns_the_same_but_for_rounding(family):
    exact, rounded = (fit(name, *PROBLEMS[family])[1] for name in ("float32", "bfloat16"))
    assert not np.array_equal(exact["train_loss"], rounded["train_loss"])
    np.testing.assert_allclose(rounded["train_loss"], exact["train_loss"], rtol=0.05)
    assert rounded["train_loss"][-1] < 0.7 * rounded["train_loss"][0]


def test_the_epoch_is_chosen_by_the_network_as_it_will_be_used():
    network, history, validation = fit("bfloat16", *PROBLEMS["mlp"])
    outputs = torch.from_numpy(training.predict(network, validation.X))
    expected = nn.functional.cross_entropy(outputs, torch.from_numpy(validation.y)).item()
    assert history["validation_loss"].min() == pytest.approx(expected, rel=1e-5)


def test_tf32_is_float32_where_there_is_none():
    one, other = (fit(name, *PROBLEMS["mlp"])[1]["train_loss"] for name in ("float32", "tf32"))
    np.testing.assert_array_equal(one, other)


def has_channels_last(network):
    weight = network.features[5].weight  # (8, 4, 3, 3)
    return weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()


def test_reduced_precision_stores_weights_with_channels_last():
    assert has_channels_last(fit("bfloat16", *PROBLEMS["cnn"])[0])
    assert not has_channels_last(fit("float32", *PROBLEMS["cnn"])[0])


def test_weights_with_channels_last_are_stepped_as_others(monkeypatch):
    usual = fit("float32", *PROBLEMS["cnn"])[0]
    lay_out = precision.lay_out
    monkeypatch.setattr(precision, "lay_out", lambda network, _, device: lay_out(network, "bfloat16", device))
    laid_out = fit("float32", *PROBLEMS["cnn"])[0]
    assert has_channels_last(laid_out)
    for one, other in zip(laid_out.parameters(), usual.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-3)
