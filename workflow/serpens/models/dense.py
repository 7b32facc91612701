"""Backpropagation through a chain of dense layers, by hand, which spares what autograd costs beside the maths."""

import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

# The first AMD family (Zen 5) that computes 512 bits at once, of which MKL uses 256. In the one before, MKL's products
# are as fast as oneDNN's and its transposed ones faster: an epoch at batch 256 takes 0.8 times as long without oneDNN.
WIDE_FAMILY = 26

_aten = torch.ops.aten


class _Activation(NamedTuple):
    """An activation, and how a gradient goes back through it, in place.

    ``apply`` takes what comes before and returns what comes after, the same tensor where the result alone tells the
    derivative; ``pull_back`` takes the gradient, what came before, and what came after.
    """

    apply: Callable[[Tensor], Tensor]
    pull_back: Callable[[Tensor, Tensor, Tensor], object]


_ACTIVATIONS = {
    "sigmoid": _Activation(torch.sigmoid_, lambda g, _, y: _aten.sigmoid_backward.grad_input(g, y, grad_input=g)),
    "tanh": _Activation(torch.tanh_, lambda g, _, y: _aten.tanh_backward.grad_input(g, y, grad_input=g)),
    "relu": _Activation(torch.relu_, lambda g, _, y: _aten.threshold_backward.grad_input(g, y, 0, grad_input=g)),
    "silu": _Activation(nn.functional.silu, lambda g, x, _: _aten.silu_backward.grad_input(g, x, grad_input=g)),
    "gelu": _Activation(nn.functional.gelu, lambda g, x, _: _aten.gelu_backward.grad_input(g, x, grad_input=g)),
}


class _Products(NamedTuple):
    """The three matrix products of a layer; the last argument is room for the result, which they return."""

    forward: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # inputs, weight, bias
    of_inputs: Callable[[Tensor, Tensor, Tensor], Tensor]  # gradient, weight
    of_weight: Callable[[Tensor, Tensor, Tensor], Tensor]  # gradient, inputs


_BY_TORCH = _Products(
    lambda x, weight, bias, out: torch.addmm(bias, x, weight.t(), out=out),
    lambda g, weight, out: torch.mm(g, weight, out=out),
    lambda g, x, out: torch.mm(g.t(), x, out=out),
)
# cuBLAS cuts off at zero while it writes, where another operation would read and write all of it once more
_WITH_RELU = _BY_TORCH._replace(
    forward=lambda x, weight, bias, out: _aten._addmm_activation.out(bias, x, weight.t(), out=out)
)
_BY_ONEDNN = _Products(  # brings its own room
    lambda x, weight, bias, out: _product(x, weight, bias),
    lambda g, weight, out: _product(g, weight.t()),
    lambda g, x, out: out.copy_(_product(g.t(), x.t())),
)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``x @ weight.T + bias``, computed by oneDNN."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return out


@cache
def _is_faster() -> bool:
    """Return whether oneDNN is there, and the CPU one on which it is faster; by the CPU's name, so always the same."""
    return hasattr(torch.ops.mkldnn, "_linear_pointwise") and is_wide_amd(Path("/proc/cpuinfo"))


def _cuts_off(weight: Tensor) -> bool:
    """Return whether what computes the products can do a ReLU as it writes."""
    return weight.is_cuda


def is_wide_amd(cpuinfo: Path) -> bool:
    """Return whether a description of a CPU, as Linux gives it, is of an AMD that computes 512 bits at once."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        return False
    family = re.search(r"^cpu family\s*: (\d+)$", text, re.MULTILINE)
    return "AuthenticAMD" in text and family is not None and int(family[1]) >= WIDE_FAMILY


class _Layer(NamedTuple):
    """The parameters of a layer and where their gradients are wanted, all without autograd."""

    weight: Tensor  # (d_out, d_in)
    bias: Tensor
    of_weight: Tensor
    of_bias: Tensor

    @classmethod
    def of(cls, layer: nn.Linear) -> "_Layer":
        if layer.weight.grad is None or layer.bias.grad is None:
            msg = "parameters must have gradients to overwrite"
            raise ValueError(msg)
        return cls(layer.weight.detach(), layer.bias.detach(), layer.weight.grad, layer.bias.grad)


class Backpropagation:
    """Forward and backward pass of ``Linear, activation, dropout, ..., Linear``, in float32.

    Does what autograd does, with the same operations and to the same bits, but records no graph, writes gradients where
    they are wanted and uses its memory again (``benchmarks/training.py``). On AMD's CPUs since Zen 5 oneDNN computes
    the products, which it does faster there, and rounds otherwise.

    Parameters
    ----------
    layers
        The linear layers in their order. Their parameters must have gradients, which are overwritten.
    activation
        ``sigmoid``, ``tanh``, ``relu``, ``silu`` or ``gelu``; after each layer but the last.
    dropout
        Share of hidden units that a batch loses.

    Examples
    --------
    >>> layer = nn.Linear(3, 1)
    >>> layer.weight.grad, layer.bias.grad = torch.zeros(1, 3), torch.zeros(1)
    >>> chain = Backpropagation([layer], "relu", 0.0)
    >>> chain.outputs(torch.ones(5, 3)).shape
    torch.Size([5, 1])
    >>> chain.backward(torch.ones(5, 1))
    >>> layer.weight.grad
    tensor([[5., 5., 5.]])
    """

    def __init__(self, layers: Sequence[nn.Linear], activation: str, dropout: float) -> None:
        self.activation, self.dropout = _ACTIVATIONS[activation], dropout
        self.layers = [_Layer.of(layer) for layer in layers]
        weight = self.layers[0].weight
        self.products = _BY_ONEDNN if weight.is_cpu and _is_faster() else _BY_TORCH
        if activation == "relu" and _cuts_off(weight):
            self.products, self.activation = _WITH_RELU, self.activation._replace(apply=lambda before: before)
        # forward and backward, by the rows of a batch: the last one of an epoch is smaller
        self.rooms: dict[int, tuple[list[Tensor], list[Tensor]]] = {}

    def outputs(self, x: Tensor) -> Tensor:
        """Return the outputs ``(n, d_out)`` of a batch ``(n, ...)`` of ``d_in`` numbers each."""
        if len(x) not in self.rooms:
            self.rooms[len(x)] = self._room(len(x)), self._room(len(x))
        forward_room, self.backward_room = self.rooms[len(x)]
        x = x.flatten(1)
        # what the batch leaves behind on its way: inputs of each layer; what came before and after an activation
        self.inputs, self.around, self.masks = [x], [], []
        for layer, room in zip(self.layers[:-1], forward_room, strict=True):
            before = self.products.forward(x, layer.weight, layer.bias, room)
            x = after = self.activation.apply(before)
            if self.dropout:
                self.masks.append(torch.empty_like(after).bernoulli_(1 - self.dropout).div_(1 - self.dropout))
                x = after * self.masks[-1]
            self.around.append((before, after))
            self.inputs.append(x)
        last = self.layers[-1]
        return torch.addmm(last.bias, x, last.weight.t())

    def backward(self, gradient: Tensor) -> None:
        """Write the gradients of the parameters, from that of the last batch's outputs ``(n, d_out)``."""
        for k in reversed(range(len(self.layers))):
            layer = self.layers[k]
            self.products.of_weight(gradient, self.inputs[k], layer.of_weight)
            torch.sum(gradient, 0, out=layer.of_bias)
            if k:
                gradient = self.products.of_inputs(gradient, layer.weight, self.backward_room[k - 1])
                if self.dropout:
                    gradient.mul_(self.masks[k - 1])
                self.activation.pull_back(gradient, *self.around[k - 1])

    def _room(self, rows: int) -> list[Tensor]:
        return [layer.bias.new_empty(rows, len(layer.bias)) for layer in self.layers[:-1]]
