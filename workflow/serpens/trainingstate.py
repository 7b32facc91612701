"""A training while it runs: everything that its next step depends on, beside data and settings."""

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from serpens.optimizers import Optimizer


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


@dataclass
class TrainingState:
    """Where a training stands.

    Attributes
    ----------
    order
        The chance that shuffles rows, one draw an epoch.
    n_batches
        Steps in an epoch.
    epoch, batch
        The epoch, counted from 1, and how many of its batches are done.
    total
        Sum of the training loss over the rows of these batches.
    """

    network: nn.Module
    optimizer: Optimizer
    order: torch.Generator
    n_batches: int
    history: History = field(default_factory=History)
    best: Best = field(default_factory=Best)
    epoch: int = 1
    batch: int = 0
    total: Tensor = field(default_factory=lambda: torch.zeros(()))

    @property
    def step(self) -> int:
        """Steps that are done."""
        return (self.epoch - 1) * self.n_batches + self.batch

    def next_epoch(self) -> None:
        """Go to the first batch of the next epoch."""
        self.epoch += 1
        self.batch = 0
        self.total = torch.zeros_like(self.total)


@contextmanager
def own_chance(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch, NumPy and Python for a block, and give the caller its own chance back.

    The user's own network may draw from any of the three.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - what old code draws from is seeded too
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            random.seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
