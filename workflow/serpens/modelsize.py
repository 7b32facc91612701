"""How big a network is, by the formulas of its architecture: what planning must know, without torch.

A test holds them equal to the networks that the families build.
"""

from itertools import pairwise
from math import prod
from typing import NamedTuple

from serpens.modelconfig import CNN, MLP, Model


class NetworkSize(NamedTuple):
    """How big a network is.

    Attributes
    ----------
    parameters
        Numbers that are learned.
    activations
        Numbers that all layers put out for one row, which a step keeps for the way back.
    widest
        The most that one layer puts out for one row.
    operations
        Multiplications that one row takes on its way through.
    """

    parameters: int
    activations: int
    widest: int
    operations: int


OWN = NetworkSize(parameters=10_000_000, activations=200_000, widest=50_000, operations=20_000_000)
"""What a network of the user's own is taken for: only running it would tell."""


def of(model: Model, input_shape: tuple[int, ...], outputs: int) -> NetworkSize:
    """Return the size of a network that sees ``input_shape`` and puts out ``outputs`` numbers."""
    if isinstance(model, MLP):
        return _mlp(model, prod(input_shape), outputs)
    if isinstance(model, CNN):
        depth, height, width = input_shape
        return _cnn(model, depth, height, width, outputs)
    return OWN


def _mlp(model: MLP, inputs: int, outputs: int) -> NetworkSize:
    widths = [inputs, *[model.width] * model.n_blocks, outputs]
    layers = 3 if model.dropout else 2  # the linear map, the activation, dropout
    operations = sum(d_from * d_to for d_from, d_to in pairwise(widths))
    return NetworkSize(
        parameters=operations + sum(widths[1:]),
        activations=layers * model.width * model.n_blocks + outputs,
        widest=max(widths[1:]),
        operations=operations,
    )


def _cnn(model: CNN, depth: int, height: int, width: int, outputs: int) -> NetworkSize:
    layers = [depth * height * width]  # shifted
    parameters = operations = 0
    for channels in model.channels:
        pixels = height * width
        parameters += 9 * depth * channels + 2 * channels
        operations += 9 * depth * channels * pixels
        height, width = height // 2, width // 2
        layers += [channels * pixels] * 3 + [
            channels * height * width
        ]  # convolution, normalisation, activation; pooled
        depth = channels
    flat = depth * height * width
    parameters += (flat + 1) * model.width + (model.width + 1) * outputs
    operations += flat * model.width + model.width * outputs
    layers += [model.width] * 3 + [outputs]
    return NetworkSize(parameters, sum(layers), max(layers), operations)
