"""What training minimises. Training knows losses, not metrics."""

from collections.abc import Callable

import torch
from torch import Tensor

from serpens.config import Task

# (outputs (n, n_outputs), y, weight (n,) or None) -> mean loss
Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def cross_entropy(outputs: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean negative log-likelihood of the classes ``y`` (n,) under logits (n, n_classes)."""
    if weight is None:
        return torch.nn.functional.cross_entropy(outputs, y)
    losses = torch.nn.functional.cross_entropy(outputs, y, reduction="none")
    return (losses * weight).sum() / weight.sum()


def squared_error(outputs: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean squared error of values (n, n_outputs)."""
    if weight is None:
        return torch.nn.functional.mse_loss(outputs, y)
    return ((outputs - y) ** 2).mean(dim=1).mul(weight).sum() / weight.sum()


def for_task(task: Task) -> Loss:
    """Return the loss of a task."""
    return cross_entropy if task == "classification" else squared_error


def balanced(y: Tensor, n_classes: int) -> Tensor:
    """Return a weight for each row, with which every class counts the same and the mean weight is 1."""
    counts = torch.bincount(y, minlength=n_classes)
    return (len(y) / ((counts > 0).sum() * counts.clamp(min=1)))[y].to(torch.float32)
