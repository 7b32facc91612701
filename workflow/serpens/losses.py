"""What training minimises. Training knows losses, not metrics."""

from collections.abc import Callable

import torch
from torch import Tensor

from serpens.config import Task

# (outputs (n, n_outputs), y, weight (n,) or None) -> mean loss
Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
# the same, without autograd -> mean loss, and its gradient (n, n_outputs) by the outputs
LossByHand = Callable[[Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]


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


def cross_entropy_by_hand(outputs: Tensor, y: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return :func:`cross_entropy` of logits (n, n_classes), and its gradient: softmax less one-hot, over n."""
    log_p = outputs.log_softmax(dim=1)
    loss = torch.nn.functional.nll_loss(log_p, y, reduction="mean" if weight is None else "none")
    if weight is None:
        share = log_p.new_full((len(y), 1), -1 / len(y))
    else:
        total = weight.sum()
        loss = (loss * weight).sum() / total
        share = (-weight / total).unsqueeze(1)
    gradient = torch.zeros_like(log_p).scatter_(1, y.unsqueeze(1), share)
    return loss, torch.ops.aten._log_softmax_backward_data(gradient, log_p, 1, log_p.dtype)


def squared_error_by_hand(outputs: Tensor, y: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return :func:`squared_error` of values (n, n_outputs), and its gradient."""
    difference = outputs - y
    if weight is None:
        return difference.square().mean(), difference.mul_(2 / difference.numel())
    total = weight.sum()
    loss = difference.square().mean(dim=1).mul(weight).sum() / total
    return loss, difference.mul_((weight * (2 / (y.shape[1] * total))).unsqueeze(1))


def for_task(task: Task) -> Loss:
    """Return the loss of a task."""
    return cross_entropy if task == "classification" else squared_error


def by_hand(task: Task) -> LossByHand:
    """Return the loss of a task with its gradient."""
    return cross_entropy_by_hand if task == "classification" else squared_error_by_hand


def balanced(y: Tensor, n_classes: int) -> Tensor:
    """Return a weight for each row, with which every class counts the same and the mean weight is 1."""
    counts = torch.bincount(y, minlength=n_classes)
    return (len(y) / ((counts > 0).sum() * counts.clamp(min=1)))[y].to(torch.float32)
