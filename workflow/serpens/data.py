"""What passes between preprocessing and models: arrays, and the shape of the problem they pose."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serpens.config import Task


@dataclass(frozen=True)
class Problem:
    """What a family must know of the data to build a model.

    Attributes
    ----------
    task
        What is predicted: a class, a value, or the next ``n_outputs`` values of a series.
    input_shape
        Shape of one example: ``(d_in,)`` for a table, ``(channels, height, width)`` for an image.
    n_outputs
        Number of classes; 1 for regression; the horizon for forecasting.
    history
        Forecasting: the first ``history`` inputs are the target's own past, oldest first, each relative
        to the last one (which is therefore 0), in units of the target's scale. 0 for other tasks.
    season
        Forecasting: rows in one season; 0 when the series has none.
    """

    task: Task
    input_shape: tuple[int, ...]
    n_outputs: int
    history: int = 0
    season: int = 0


@dataclass(frozen=True)
class Examples:
    """Rows ready for a model.

    Attributes
    ----------
    X
        float32 ``(n, *input_shape)``, finite.
    y
        int64 class codes ``(n,)`` for classification, else standardised float32 ``(n, n_outputs)``.
    weight
        float32 ``(n,)``, or None when every row counts the same.
    """

    X: NDArray[np.float32]
    y: NDArray[np.int64] | NDArray[np.float32]
    weight: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.X)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what there is by name, from which ``Examples(**arrays)`` makes the same."""
        return {name: array for name, array in vars(self).items() if array is not None}


@dataclass(frozen=True)
class How:
    """How a model was trained.

    Attributes
    ----------
    device
        ``cpu`` or ``cuda``.
    processes
        How many trained it together, each on a device of its own if it is no CPU.
    nodes
        How many machines they were on.
    micro_batch
        Most rows that the memory of a device held at once; None where it held whole batches.
    """

    device: str = "cpu"
    processes: int = 1
    nodes: int = 1
    micro_batch: int | None = None
