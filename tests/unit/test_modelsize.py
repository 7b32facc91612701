"""The formulas of networks, held against the networks that torch builds."""

import pytest
import torch
from torch import nn

from serpens import modelsize
from serpens.config import Study
from serpens.data import Problem
from serpens.families import FAMILIES
from serpens.networks import Network

MODELS = [
    ({"family": "mlp"}, (7,)),
    ({"family": "mlp", "width": 5, "n_blocks": 1, "dropout": 0.2}, (3,)),
    ({"family": "mlp", "width": 16, "n_blocks": 4, "activation": "silu"}, (1, 8, 8)),
    ({"family": "cnn"}, (1, 8, 8)),
    ({"family": "cnn", "channels": [4], "width": 3}, (3, 9, 6)),
    ({"family": "cnn", "channels": [4, 2, 6], "width": 10, "augment_shift": 0}, (2, 17, 12)),
]


def sections(model):
    keys = {"question": "Why?", "data": {"simulator": "qubit", "rows": 9}, "target": "y", "models": [model]}
    return Study.model_validate(keys | {"image": {"columns": "p*", "shape": [1, 8, 8]}}).models[0]


def measured(network, input_shape):
    """Return what each layer puts out for a row, and the multiplications of those that have weights."""
    put_out, multiplied = [], []

    def note(layer, inputs, output):
        if isinstance(layer, nn.Flatten):
            return
        put_out.append(output[0].numel())
        if isinstance(layer, nn.Linear):
            multiplied.append(layer.weight.numel())
        elif isinstance(layer, nn.Conv2d):
            multiplied.append(layer.weight.numel() * output[0, 0].numel())

    for layer in network.modules():
        if not list(layer.children()):
            layer.register_forward_hook(note)
    network.eval()(torch.zeros(1, *input_shape))
    return put_out, sum(multiplied)


@pytest.mark.parametrize(("model", "input_shape"), MODELS)
@pytest.mark.parametrize("outputs", [1, 10])
def test_the_formulas_are_those_of_the_networks(model, input_shape, outputs):
    section = sections(model)
    task = "classification" if outputs > 1 else "regression"
    problem = Problem(task=task, input_shape=input_shape, n_outputs=outputs)
    network = FAMILIES[section.family].load().build(problem, **section.settings())
    put_out, multiplied = measured(network, input_shape)
    told = modelsize.of(section, input_shape, outputs)
    assert told.parameters == Network(network, problem).parameters
    assert told.activations == sum(put_out)
    assert told.widest == max(put_out)
    assert told.operations == multiplied


def test_a_network_of_the_users_own_is_taken_for_a_large_one():
    told = modelsize.of(sections({"name": "mine", "family": "custom", "path": "net.py:Net"}), (4,), 1)
    assert told == modelsize.OWN
    assert told.parameters > 10 * modelsize.of(sections({"family": "mlp"}), (100,), 1).parameters
