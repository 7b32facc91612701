"""Optimisers over one flat vector of parameters, and the course of the learning rate.

All parameters of a network are views into one vector, so a step is one fused operation. The formulas are torch's own,
called as functions: constructing an optimiser object would import the compiler, which costs more than a second a job.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adadelta import adadelta
from torch.optim.adam import adam
from torch.optim.sgd import sgd

BETAS = (0.9, 0.999)
ADAM_EPSILON = 1e-8
# Numbers that are remembered of each parameter.
N_SLOTS = {"sgd": 1, "adam": 2, "adamw": 2, "adadelta": 2}
ADADELTA_RHO, ADADELTA_EPSILON = 0.9, 1e-6
# On a GPU each parameter starts at a multiple of 256 bytes, as if it had memory of its own: from odd addresses matrix
# units cannot read.
GPU_GRAIN = 64

# one-cycle (Smith 2018): the share of the run that warms up, and how far below the peak it starts and ends
WARM_UP, START_DIVISOR, END_DIVISOR = 0.3, 25.0, 1e4


class Flat:
    """A network's parameters and gradients as two flat vectors that share memory with it.

    Attributes
    ----------
    vectors
        Lists of one, which a network whose parameters are dealt out has more of.
    summed
        The gradient and, at its end, room for the loss: what processes that train together add up.
    """

    vectors: list[Tensor]

    def __init__(self, network: nn.Module) -> None:
        parameters = [p for p in network.parameters() if p.requires_grad]
        grain = _grain(parameters[0].device)
        starts = list(accumulate((grain * math.ceil(p.numel() / grain) for p in parameters), initial=0))
        self.vector = parameters[0].detach().new_zeros(starts[-1])
        self.summed = self.vector.new_zeros(len(self.vector) + 1)
        self.gradient, self.loss = self.summed[:-1], self.summed[-1]
        self.vectors = [self.vector]
        for p, start in zip(parameters, starts, strict=False):
            values, gradient = (_part(vector, start, p) for vector in (self.vector, self.gradient))
            p.data, p.grad = values.copy_(p.detach()), gradient

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.vectors[0].device

    @property
    def gradients(self) -> list[Tensor]:
        """The gradient of each of ``vectors``."""
        return [self.gradient]

    def zero(self) -> None:
        """Forget the gradient."""
        self.gradient.zero_()

    def joined(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return tensors that are as ``vectors`` are in one vector."""
        return tensors[0]

    def dealt(self, vector: Tensor) -> list[Tensor]:
        """Return one vector as ``vectors`` are."""
        return [vector]


def _grain(device: torch.device) -> int:
    """Return at multiples of how many numbers parameters start."""
    return GPU_GRAIN if device.type == "cuda" else 1


def _part(vector: Tensor, start: int, like: Tensor) -> Tensor:
    """Return the part of a vector from ``start`` on as a tensor like another, with channels last where that has."""
    if like.dim() == 4 and like.is_contiguous(memory_format=torch.channels_last):
        return vector.as_strided(like.shape, like.stride(), start)
    return vector[start : start + like.numel()].view(like.shape)


class Optimizer:
    """One step of SGD, Adam, AdamW or Adadelta on a flat vector.

    Parameters
    ----------
    name
        ``sgd``, ``adam``, ``adamw`` or ``adadelta``.
    weight_decay
        Added to the gradient, but for ``adamw``, where it shrinks the parameters (Loshchilov & Hutter 2019).
    momentum
        Of ``sgd``.
    """

    def __init__(self, name: str, flat: Flat, *, weight_decay: float, momentum: float) -> None:
        self.name, self.flat, self.weight_decay, self.momentum = name, flat, weight_decay, momentum
        # where the parameters are: a fused step on a GPU reads it there
        self.steps = [torch.zeros((), device=flat.device) for _ in flat.vectors]
        self.slots = [[torch.zeros_like(vector) for vector in flat.vectors] for _ in range(N_SLOTS[name])]

    def step(self, learning_rate: float | Tensor) -> None:
        """Move the parameters against the gradient, by a rate that is a number, or on a GPU lies there."""
        p, g, decay = self.flat.vectors, self.flat.gradients, self.weight_decay
        rate: Any = learning_rate  # a tensor too, which torch's annotations do not always say
        if self.name == "sgd":
            sgd(
                p, g, [*self.slots[0]], lr=rate, momentum=self.momentum, dampening=0.0, weight_decay=decay,
                nesterov=False, maximize=False, foreach=False, fused=True,
            )  # fmt: skip
        elif self.name == "adadelta":
            on_gpu = self._on_gpu  # where torch would else fetch the rate from the device in each step
            adadelta(
                p, g, self.slots[0], self.slots[1], self.steps, lr=rate, rho=ADADELTA_RHO,
                eps=ADADELTA_EPSILON, weight_decay=decay, maximize=False, foreach=on_gpu, capturable=on_gpu,
            )  # fmt: skip
        else:
            adam(
                p, g, self.slots[0], self.slots[1], [], self.steps, amsgrad=False, beta1=BETAS[0],
                beta2=BETAS[1], lr=rate, weight_decay=decay, eps=ADAM_EPSILON, maximize=False,
                foreach=False, fused=True, decoupled_weight_decay=self.name == "adamw",
            )  # fmt: skip

    @property
    def _on_gpu(self) -> bool:
        return self.flat.device.type == "cuda"

    def state_dict(self) -> dict[str, Tensor]:
        """Return what a resumed run needs."""
        return {"steps": self.steps[0]} | {f"slot_{i}": self.flat.joined(slot) for i, slot in enumerate(self.slots)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        for steps in self.steps:
            steps.copy_(state["steps"])
        for i, slot in enumerate(self.slots):
            for own, saved in zip(slot, self.flat.dealt(state[f"slot_{i}"]), strict=True):
                own.copy_(saved)


def learning_rate_at(step: int, n_steps: int, *, peak: float, schedule: str) -> float:
    """Return the learning rate of a step, counted from 0, of a run of ``n_steps``.

    ``one_cycle`` rises to ``peak`` and falls to almost nothing, both as half a cosine, as torch's ``OneCycleLR``.
    """
    if schedule == "constant":
        return peak
    top = WARM_UP * n_steps - 1
    start = peak / START_DIVISOR
    if step <= top:
        return _cosine(start, peak, step / top)
    return _cosine(peak, start / END_DIVISOR, (step - top) / (n_steps - 1 - top))


def _cosine(begin: float, end: float, share: float) -> float:
    return end + (begin - end) / 2 * (1 + math.cos(math.pi * share))
