"""PyTorch networks as predictors: trained, stored, restored. Loaded by name, and torch with it, for networks alone."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from serpens import training as loop
from serpens.data import Examples, How, Problem
from serpens.parts import Team

if TYPE_CHECKING:
    from serpens.checkpoints import Checkpoints

# torch's second pool, for operations side by side, has no variable, and takes all cores of the machine
torch.set_num_interop_threads(torch.get_num_threads())


class Network:
    """A PyTorch network as a predictor."""

    def __init__(self, network: nn.Module, problem: Problem) -> None:
        self.network = network
        self.problem = problem

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return class probabilities or standardised values ``(n, n_outputs)``."""
        outputs = loop.predict(self.network, X)
        if self.problem.task != "classification":
            return outputs
        shifted = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))

    def state(self) -> dict[str, NDArray[Any]]:
        """Return weights and buffers."""
        return {name: tensor.cpu().numpy() for name, tensor in self.network.state_dict().items()}

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Take back weights and buffers."""
        self.network.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})

    @property
    def parameters(self) -> int:
        """Numbers that were learned."""
        return sum(p.numel() for p in self.network.parameters() if p.requires_grad)


def fit(
    build: Callable[..., nn.Module],
    settings: Mapping[str, Any],
    problem: Problem,
    train: Examples,
    validation: Examples,
    *,
    training: Mapping[str, Any],
    seed: int,
    gpus: int,
    processes: int,
    nodes: int,
    threads: int,
    progress: loop.Progress | None,
    checkpoints: "Checkpoints | None",
) -> tuple[Network, dict[str, NDArray[Any]], How]:
    """Train ``build(problem, **settings)``; return it, its history and how, as :func:`serpens.fitting.fit`."""
    device = loop.choose_device(gpus)
    if checkpoints is not None:
        checkpoints.open()
    arguments = build, problem, settings, train, validation
    options: dict[str, Any] = {"training": training, "seed": seed, "device": device}
    size = {"cpu": max(processes, nodes), "cuda": gpus}.get(device, 1)
    with _team(*arguments, **options, size=size, nodes=nodes, threads=threads) as team:
        network, history = loop.fit_network(
            *arguments, **options, progress=progress, checkpoints=checkpoints, team=team
        )
    if checkpoints is not None:
        checkpoints.check()
    how = How(device, team.size, nodes if team.size > 1 else 1, team.micro_batch)
    return Network(network, problem), history.columns(), how


def _team(*arguments: Any, size: int, **options: Any) -> AbstractContextManager[Team]:
    """Return who trains: this process alone, or with others that it starts."""
    if size == 1:
        return nullcontext(Team())
    from serpens.processes import together

    return together(*arguments, size=size, **options)
