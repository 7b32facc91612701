"""What training minimises. Training knows losses, not metrics."""

from collections.abc import Callable

import torch
from torch import Tensor

from serpens.config import Task

# (outputs (n, n_outputs), y, weight (n,) or None) -> mean loss, or its gradient (n, n_outputs)
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


def cross_entropy_gradient(outputs: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the gradient of :func:`cross_entropy` by the logits: the row's share times softmax less one-hot."""
    log_p = outputs.log_softmax(dim=1)
    share = log_p.new_full((len(y),), 1 / len(y)) if weight is None else weight / weight.sum()
    # -share where the class is, else 0; the last argument is for means alone
    of_log_p = torch.ops.aten.nll_loss_backward(share, log_p, y, None, 0, -100, log_p.new_empty(()))
    gradient: Tensor = torch.ops.aten._log_softmax_backward_data(of_log_p, log_p, 1, log_p.dtype)
    return gradient


def squared_error_gradient(outputs: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the gradient of :func:`squared_error` by the values: the row's share times twice the mean difference."""
    difference = outputs - y
    if weight is None:
        return difference.mul_(2 / difference.numel())
    return difference.mul_((weight * (2 / (y.shape[1] * weight.sum()))).unsqueeze(1))


def for_task(task: Task) -> Loss:
    """Return the loss of a task."""
    return cross_entropy if task == "classification" else squared_error


def gradient_for_task(task: Task) -> Loss:
    """Return the gradient of a task's loss by the outputs, which autograd would find."""
    return cross_entropy_gradient if task == "classification" else squared_error_gradient


def balanced(y: Tensor, n_classes: int) -> Tensor:
    """Return a weight for each row, with which every class counts the same and the mean weight is 1."""
    counts = torch.bincount(y, minlength=n_classes)
    return (len(y) / ((counts > 0).sum() * counts.clamp(min=1)))[y].to(torch.float32)
