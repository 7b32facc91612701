"""Fit any family, and restore what was fitted; torch is imported only for networks."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from serpens.data import Examples, How, Problem
from serpens.errors import DataError
from serpens.families import FAMILIES, networks

if TYPE_CHECKING:
    from serpens.checkpoints import Checkpoints

# Seconds between two lines of the log.
LOG_EVERY = 2.0
# What a family may hold beside the examples; wider tables are refused before training.
MOST_BYTES = 4_000_000_000


class Predictor(Protocol):
    """A fitted model."""

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return class probabilities or standardised values ``(n, n_outputs)`` of examples ``(n, *input_shape)``."""

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was learned, as arrays."""

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Take back what was learned."""

    @property
    def parameters(self) -> int:
        """Numbers that were learned."""


@dataclass(frozen=True)
class Fitted:
    """A fitted model and how it came about.

    Attributes
    ----------
    history
        ``epoch``, ``train_loss``, ``validation_loss``, ``learning_rate``; empty arrays for a model without epochs.
    architecture
        What :func:`restore` needs beside the state; plain JSON.
    how
        Where it was trained, and by how many.
    """

    model: Predictor
    history: dict[str, NDArray[Any]]
    architecture: dict[str, Any]
    how: How


def fit(
    family: str,
    settings: Mapping[str, Any],
    problem: Problem,
    train: Examples,
    validation: Examples,
    *,
    training: Mapping[str, Any],
    seed: int,
    gpus: int = 0,
    processes: int = 1,
    nodes: int = 1,
    threads: int = 1,
    progress: Callable[[int, int, float, float], None] | None = None,
    checkpoints: "Checkpoints | None" = None,
) -> Fitted:
    """Fit a model of a family.

    Parameters
    ----------
    settings
        The family's own settings.
    training
        Settings of the training loop; only networks have one.
    gpus
        GPUs that the job was given, which train a network together; 0 trains on the CPU.
    processes
        Processes that train a network together on the CPU.
    nodes
        Machines that processes or GPUs are on, in equal numbers.
    threads
        CPU cores that processes share.
    progress
        Called with epoch, most epochs, training and validation loss.
    checkpoints
        Where a network's training keeps its state; opened here. Other families learn in one go and need none.

    Raises
    ------
    DataError
        If the family would need more than ``MOST_BYTES`` for so many inputs.
    """
    check_width(family, settings, problem, len(train))
    architecture = {"family": family, "settings": dict(settings), "problem": asdict(problem)}
    module = FAMILIES[family].load()
    if not FAMILIES[family].network:
        model: Predictor = module.Estimator(problem, **settings)
        model.fit(train, validation)  # type: ignore[attr-defined]
        return Fitted(model, _no_epochs(), architecture, How())
    network, history, how = networks().fit(
        module.build,
        settings,
        problem,
        train,
        validation,
        training=training,
        seed=seed,
        gpus=gpus,
        processes=processes,
        nodes=nodes,
        threads=threads,
        progress=progress,
        checkpoints=checkpoints,
    )
    return Fitted(network, history, architecture, how)


def check_width(family: str, settings: Mapping[str, Any], problem: Problem, n_rows: int) -> None:
    """Raise unless a family can take so many inputs.

    Raises
    ------
    DataError
        If what it holds beside the examples would take more than ``MOST_BYTES``.
    """
    width = math.prod(problem.input_shape)
    a_width = {
        # the inputs in float64; a square of the fewer of rows and inputs, or ten steps of the solver
        "linear": 8 * n_rows
        + (160 * problem.n_outputs if problem.task == "classification" else 16 * min(n_rows, width)),
        # 256 bins of 24 bytes in each leaf
        "boosted_trees": n_rows + 6144 * settings.get("max_leaf_nodes", 0),
        "mlp": 52 * settings.get("width", 0),
    }.get(family, 0)
    if width * a_width > MOST_BYTES:
        msg = (
            f"{family} can take at most {MOST_BYTES // a_width:,} inputs of {n_rows:,} rows, which need "
            f"{MOST_BYTES / 1e9:.0f} GB of memory; there are {width:,}: keep fewer columns (select: {{by: variance, "
            f"keep: 2000}}), or leave {family} out of models and baselines"
        )
        raise DataError(msg)


def restore(architecture: Mapping[str, Any], state: dict[str, NDArray[Any]]) -> Predictor:
    """Return the model that was fitted."""
    problem = Problem(**architecture["problem"] | {"input_shape": tuple(architecture["problem"]["input_shape"])})
    family = FAMILIES[architecture["family"]]
    module = family.load()
    model: Predictor
    if family.network:
        model = networks().Network(module.build(problem, **architecture["settings"]), problem)
    else:
        model = module.Estimator(problem, **architecture["settings"])
    model.restore(state)
    return model


class EpochLog:
    """Log an epoch now and then, with the time that is left."""

    def __init__(self, logger: logging.Logger) -> None:
        self.logger = logger
        self.start = time.monotonic()
        self.last = -LOG_EVERY
        self.first: int | None = None

    def __call__(self, epoch: int, max_epochs: int, train_loss: float, validation_loss: float) -> None:
        """Log the epoch if it is the last one, or some time has gone by."""
        elapsed = time.monotonic() - self.start
        if self.first is None:  # not 1 when an earlier attempt did the first ones
            self.first = epoch
        if elapsed - self.last < LOG_EVERY and epoch < max_epochs:
            return
        self.last = elapsed
        self.logger.info(
            "epoch %3d/%d  training loss %.5f  validation loss %.5f  at most %.0f s left",
            epoch,
            max_epochs,
            train_loss,
            validation_loss,
            elapsed / (epoch - self.first + 1) * (max_epochs - epoch),
        )


def _no_epochs() -> dict[str, NDArray[Any]]:
    names = ("train_loss", "validation_loss", "learning_rate")
    return {"epoch": np.zeros(0, dtype=np.int64)} | {name: np.zeros(0) for name in names}
