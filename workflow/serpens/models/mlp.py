"""A multilayer perceptron."""

import math
from collections.abc import Callable
from itertools import pairwise

from torch import Tensor, nn

from serpens.data import Problem
from serpens.models.dense import Backpropagation

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
}


class MLP(nn.Module):
    """Blocks of linear map, activation and dropout, then a linear map to the outputs.

    Shape
    -----
    x ``(n, *input_shape)`` -> ``(n, n_outputs)``: logits of classes, or standardised values.

    Examples
    --------
    >>> import torch
    >>> MLP(d_in=4, n_outputs=2, width=8, n_blocks=2, activation="relu", dropout=0.0)(torch.zeros(3, 4)).shape
    torch.Size([3, 2])
    """

    def __init__(
        self, *, d_in: int, n_outputs: int, width: int, n_blocks: int, activation: str, dropout: float
    ) -> None:
        super().__init__()
        self.activation, self.dropout = activation, dropout
        widths = [d_in] + [width] * n_blocks
        blocks: list[nn.Module] = [nn.Flatten()]
        for d_from, d_to in pairwise(widths):
            blocks += [nn.Linear(d_from, d_to), ACTIVATIONS[activation]()]
            if dropout:
                blocks.append(nn.Dropout(dropout))
        self.blocks = nn.Sequential(*blocks)
        self.output = nn.Linear(widths[-1], n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of a batch."""
        out: Tensor = self.output(self.blocks(x))
        return out

    def backpropagation(self) -> Backpropagation:
        """Return what gives the outputs of a batch and the gradients of the parameters without autograd."""
        layers = [block for block in self.blocks if isinstance(block, nn.Linear)]
        return Backpropagation([*layers, self.output], self.activation, self.dropout)


def build(problem: Problem, *, width: int, n_blocks: int, activation: str, dropout: float) -> MLP:
    """Return an untrained network for the problem."""
    return MLP(
        d_in=math.prod(problem.input_shape),
        n_outputs=problem.n_outputs,
        width=width,
        n_blocks=n_blocks,
        activation=activation,
        dropout=dropout,
    )
