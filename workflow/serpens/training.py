"""The training loop: batches, loss, step, early stopping on validation rows. All chance comes from the seed."""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from serpens import losses
from serpens.data import Examples, Problem
from serpens.errors import DataError
from serpens.optimizers import Flat, Optimizer, learning_rate_at

# Rows in one pass when nothing is learned.
PREDICT_ROWS = 8192

Progress = Callable[[int, int, float, float], None]


@dataclass
class History:
    """Losses and learning rate of each epoch."""

    epoch: list[int] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)

    def append(self, epoch: int, train_loss: float, validation_loss: float, learning_rate: float) -> None:
        """Add an epoch."""
        self.epoch.append(epoch)
        self.train_loss.append(train_loss)
        self.validation_loss.append(validation_loss)
        self.learning_rate.append(learning_rate)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the history as arrays."""
        return {name: np.array(values) for name, values in vars(self).items()}


@dataclass
class Best:
    """The best epoch so far, by validation loss."""

    epoch: int = 0
    loss: float = math.inf
    state: dict[str, Tensor] = field(default_factory=dict)


def fit_network(
    build: Callable[..., nn.Module],
    problem: Problem,
    settings: Mapping[str, Any],
    train: Examples,
    validation: Examples,
    *,
    training: Mapping[str, Any],
    seed: int,
    device: str = "cpu",
    progress: Progress | None = None,
) -> tuple[nn.Module, History]:
    """Train a network and return it as it was in its best epoch, with the history of all.

    Parameters
    ----------
    build
        Makes the untrained network: ``build(problem, **settings)``.
    training
        ``max_epochs``, ``batch_size``, ``learning_rate``, ``patience`` (epochs without a lower validation loss, after
        which a constant learning rate stops; a cycle is always finished), ``optimizer``, ``schedule``,
        ``weight_decay``, ``momentum``, ``class_weights``.
    seed
        Fixes initial weights, order of batches, dropout and augmentation.

    Raises
    ------
    DataError
        If the loss is not finite.
    """
    devices = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        network = build(problem, **settings).to(device)
        # batches have a generator of their own: a model with more dropout sees the same batches
        order = torch.Generator().manual_seed(seed)
        return _train(network, problem, train, validation, training, order, progress)


def _train(
    network: nn.Module,
    problem: Problem,
    train: Examples,
    validation: Examples,
    training: Mapping[str, Any],
    order: torch.Generator,
    progress: Progress | None,
) -> tuple[nn.Module, History]:
    flat = Flat(network)
    device = flat.vector.device
    optimizer = Optimizer(
        training["optimizer"], flat, weight_decay=training["weight_decay"], momentum=training["momentum"]
    )
    loss_of = losses.for_task(problem.task)
    X, y, weight = _tensors(train, device)
    if training["class_weights"] == "balanced" and problem.task == "classification":
        class_weight = losses.balanced(y, problem.n_outputs)
        weight = class_weight if weight is None else weight * class_weight
    n, size, max_epochs = len(X), training["batch_size"], training["max_epochs"]
    starts = range(0, n, size)
    history, best = History(), Best()
    for epoch in range(1, max_epochs + 1):
        network.train()
        shuffled = torch.randperm(n, generator=order).to(device)
        total = torch.zeros((), device=device)
        for batch, start in enumerate(starts):
            rows = shuffled[start : start + size]
            step = (epoch - 1) * len(starts) + batch
            rate = learning_rate_at(
                step, max_epochs * len(starts), peak=training["learning_rate"], schedule=training["schedule"]
            )
            loss = loss_of(
                network(X.index_select(0, rows)),
                y.index_select(0, rows),
                None if weight is None else weight.index_select(0, rows),
            )
            flat.gradient.zero_()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step(rate)
            total += loss.detach() * len(rows)
        train_loss = float(total) / n
        validation_loss = _loss(network, loss_of, validation, device)
        _check(train_loss, epoch, rate)
        history.append(epoch, train_loss, validation_loss, rate)
        if progress is not None:
            progress(epoch, max_epochs, train_loss, validation_loss)
        if validation_loss < best.loss:
            best = Best(epoch, validation_loss, copy.deepcopy(network.state_dict()))
        elif training["schedule"] == "constant" and epoch - best.epoch >= training["patience"]:
            break
    network.load_state_dict(best.state)
    return network.eval(), history


def predict(network: nn.Module, X: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return a network's outputs ``(n, n_outputs)`` for examples ``(n, *input_shape)``."""
    network.eval()
    device = next(network.parameters()).device
    with torch.no_grad():
        parts = [network(part.to(device)).cpu() for part in torch.split(torch.from_numpy(X), PREDICT_ROWS)]
    return np.asarray(torch.cat(parts).numpy().astype(np.float64))


def _tensors(examples: Examples, device: torch.device) -> tuple[Tensor, Tensor, Tensor | None]:
    weight = None if examples.weight is None else torch.from_numpy(examples.weight).to(device)
    return torch.from_numpy(examples.X).to(device), torch.from_numpy(examples.y).to(device), weight


def _loss(network: nn.Module, loss_of: losses.Loss, examples: Examples, device: torch.device) -> float:
    network.eval()
    X, y, weight = _tensors(examples, device)
    with torch.no_grad():
        outputs = torch.cat([network(part) for part in torch.split(X, PREDICT_ROWS)])
        return float(loss_of(outputs, y, weight))


def _check(train_loss: float, epoch: int, rate: float) -> None:
    if not math.isfinite(train_loss):
        msg = (
            f"the training loss must stay finite; in epoch {epoch}, at learning rate {rate:g}, it is {train_loss}: "
            "lower training.learning_rate, or look for extreme values in the features"
        )
        raise DataError(msg)


def choose_device(gpus: int) -> str:
    """Return ``cuda`` when the job was given a GPU and this torch can use one, else ``cpu``."""
    return "cuda" if gpus and torch.cuda.is_available() else "cpu"
