"""The training loop: batches, loss, step, early stopping on validation rows. All chance comes from the seed."""

import copy
import logging
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from serpens import devices, losses
from serpens.config import Task
from serpens.data import Examples, Problem
from serpens.errors import DataError, EnvironmentFaultError
from serpens.gradients import BatchGradient, Differentiate, outputs
from serpens.optimizers import Flat, Optimizer, learning_rate_at
from serpens.parts import PREDICT_ROWS, Team
from serpens.trainingstate import Best, History, TrainingState, own_chance

if TYPE_CHECKING:
    from serpens.checkpoints import Checkpoints, State
    from serpens.models.dense import Backpropagation

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, float, float], None]


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
    checkpoints: "Checkpoints | None" = None,
    team: Team | None = None,
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
    checkpoints
        Where an earlier attempt left off, and what keeps the state of this one, already open.
    team
        The processes that train together; without it this one is alone.

    Raises
    ------
    DataError
        If the loss is not finite.
    TrainingStoppedError, LockLostError
        From ``checkpoints``.
    """
    with own_chance(seed, torch.device(device)):
        team = team or Team()
        network = team.joined(build(problem, **settings), torch.device(device), training["optimizer"])
        # batches have a generator of their own: a model with more dropout sees the same batches
        order = torch.Generator().manual_seed(seed)
        trained, history = _train(network, problem, train, validation, training, order, progress, checkpoints, team)
        return team.left(trained, lambda: build(problem, **settings)), history


def _train(
    network: nn.Module,
    problem: Problem,
    train: Examples,
    validation: Examples,
    training: Mapping[str, Any],
    order: torch.Generator,
    progress: Progress | None,
    checkpoints: "Checkpoints | None",
    team: Team,
) -> tuple[nn.Module, History]:
    flat = team.flat(network)
    device = flat.device
    optimizer = Optimizer(
        training["optimizer"], flat, weight_decay=training["weight_decay"], momentum=training["momentum"]
    )
    loss_of = losses.for_task(problem.task)
    X, y, weight = _tensors(train, device)
    if training["class_weights"] == "balanced" and problem.task == "classification":
        class_weight = losses.balanced(y, problem.n_outputs)
        weight = class_weight if weight is None else weight * class_weight
    n, size, max_epochs = len(X), training["batch_size"], training["max_epochs"]
    n_batches = math.ceil(n / size)
    rate_at = partial(
        learning_rate_at,
        n_steps=max_epochs * n_batches,
        peak=training["learning_rate"],
        schedule=training["schedule"],
    )
    now = TrainingState(network, optimizer, order, n_batches, total=torch.zeros((), device=device), team=team)

    def take(rows: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        own_weight = None if weight is None else weight.index_select(0, rows)
        return X.index_select(0, rows), y.index_select(0, rows), own_weight

    at_once = _differentiate(network, problem.task, flat)
    differentiate = BatchGradient(network, network, loss_of, flat, at_once, take, weight, now)
    _go_on(now, checkpoints)
    while now.epoch <= max_epochs:
        network.train()
        shuffled = now.shuffle(n)
        while now.batch < n_batches:
            rows = shuffled[now.batch * size : (now.batch + 1) * size]
            loss = differentiate(rows)
            optimizer.step(rate_at(now.step))
            now.total += loss * len(rows)
            now.batch += 1
            if team.decided(checkpoints is not None and checkpoints.due()):
                state = now.kept()
                if checkpoints is not None:
                    checkpoints.save(state)
        train_loss, rate = float(now.total) / n, rate_at(now.step - 1)
        validation_loss = _loss(now, loss_of, validation)
        _check(train_loss, now.epoch, rate)
        now.history.append(now.epoch, train_loss, validation_loss, rate)
        if progress is not None:
            progress(now.epoch, max_epochs, train_loss, validation_loss)
        if validation_loss < now.best.loss:
            now.best = Best(now.epoch, validation_loss, copy.deepcopy(network.state_dict()))
        elif training["schedule"] == "constant" and now.epoch - now.best.epoch >= training["patience"]:
            break
        now.next_epoch()
    differentiate.tell(None)
    network.load_state_dict(now.best.state)
    return network.eval(), now.history


@runtime_checkable
class Differentiated(Protocol):
    """A network that knows its own derivative."""

    def backpropagation(self) -> "Backpropagation":
        """Return what gives the outputs of a batch and the gradients of the parameters, on a CPU."""


def _differentiate(network: nn.Module, task: Task, flat: Flat) -> Differentiate:
    """Return what a step needs: by a network of ours that knows its derivative, on a CPU, else by autograd."""
    # the user's networks, derived from ours or not, may pass a batch forward in another way
    ours = type(network).__module__.startswith("serpens.")
    if ours and isinstance(network, Differentiated) and flat.device.type == "cpu":
        return _by_hand(network.backpropagation(), task)
    return _by_autograd(network, losses.for_task(task), flat)


def _by_autograd(network: nn.Module, loss_of: losses.Loss, flat: Flat) -> Differentiate:
    def differentiate(x: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
        loss = loss_of(network(x), y, weight)
        flat.zero()
        torch.autograd.backward(loss)
        return loss.detach()

    return differentiate


def _by_hand(backpropagation: "Backpropagation", task: Task) -> Differentiate:
    loss_of, gradient_of = losses.for_task(task), losses.gradient_for_task(task)

    def differentiate(x: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
        outputs = backpropagation.outputs(x)
        backpropagation.backward(gradient_of(outputs, y, weight))
        return loss_of(outputs, y, weight)

    return differentiate


def _go_on(now: TrainingState, checkpoints: "Checkpoints | None") -> None:
    """Take up a training where an earlier attempt left it."""
    state = None if checkpoints is None else _usable(now, checkpoints)
    agreed = now.team.agreed(state, now)
    if agreed is None:
        return
    try:
        now.restore(agreed)
    except (KeyError, RuntimeError) as err:
        where = "" if checkpoints is None else f" in {checkpoints.folder}"
        msg = (
            f"the checkpoint{where} must fit the network, and does not ({err}): something that the network is made of "
            "changed without the workflow seeing it. The checkpoint is removed: run again to start anew"
        )
        raise DataError(msg) from err
    if state is not None:
        logger.info("going on in epoch %d after step %d", now.epoch, now.step)


def _usable(now: TrainingState, checkpoints: "Checkpoints") -> "State | None":
    """Return the last state if it leads to the bits that this attempt would come to."""
    state = checkpoints.latest()
    if state is not None and state.facts["devices"] != now.devices:
        made_on = state.facts["devices"]
        checkpoints.discard(f"they were made on {made_on}, this is {now.devices}, and the two round differently")
        return None
    return state


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


def _loss(now: TrainingState, loss_of: losses.Loss, examples: Examples) -> float:
    now.network.eval()
    X, y, weight = _tensors(examples, now.device)
    own = now.team.part(len(X))
    with torch.no_grad():
        loss = torch.zeros((), device=now.device)
        # as many as the others, who may wait for this process
        passed = outputs(now.network, X[own.filled(now.team.size)], now)[: own.n_rows]
        if own.n_rows:
            loss = loss_of(passed, y[own.rows], None if weight is None else weight[own.rows])
        if not own.is_whole:
            loss = loss * own.share(weight)
        now.team.add_up(loss)
        return float(loss)


def _check(train_loss: float, epoch: int, rate: float) -> None:
    if not math.isfinite(train_loss):
        msg = (
            f"the training loss must stay finite; in epoch {epoch}, at learning rate {rate:g}, it is {train_loss}: "
            "lower training.learning_rate, or look for extreme values in the features"
        )
        raise DataError(msg)


def choose_device(gpus: int) -> str:
    """Return ``cuda`` when the job was given a GPU, else ``cpu``, also on a machine without one.

    Raises
    ------
    EnvironmentFaultError
        If the machine has a GPU, and this torch cannot use it.
    """
    if not gpus:
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if shown := devices.gpus():
        built = f"is built for CUDA {torch.version.cuda}" if torch.version.cuda else "is built for CPUs alone"
        msg = (
            f"the job was given a GPU ({shown[0].name}), and torch {torch.__version__} must be able to use it; it "
            f"{built}: install the build of torch {torch.__version__.partition('+')[0]} for this machine's driver into "
            "the same environment (https://pytorch.org/get-started), or train on the CPU with --resources gpu=0"
        )
        raise EnvironmentFaultError(msg)
    return "cpu"
