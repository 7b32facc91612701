"""The training loop: batches, loss, step, early stopping on validation rows. All chance comes from the seed."""

import copy
import logging
import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from serpens import compilation, determinism, devices, graphs, losses, placement, precision
from serpens.config import Task
from serpens.data import Examples, Problem
from serpens.errors import DataError, EnvironmentFaultError
from serpens.gradients import BatchGradient, Differentiate, outputs
from serpens.optimizers import Flat, Optimizer, learning_rate_at
from serpens.parts import PREDICT_ROWS, Team
from serpens.placement import Placed
from serpens.trainingstate import Best, History, TrainingState, is_ours, name_of, own_chance

if TYPE_CHECKING:
    from serpens.checkpoints import Checkpoints, State
    from serpens.models.dense import Backpropagation

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, float, float], None]
Forward = Callable[[Tensor], Tensor]


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
        ``weight_decay``, ``momentum``, ``class_weights``, ``precision``, ``compile``, ``deterministic``.
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
    ConfigurationError, EnvironmentFaultError
        If the network cannot be trained as ``training`` asks.
    TrainingStoppedError, LockLostError
        From ``checkpoints``.
    """
    where = torch.device(device)
    computed_in = precision.chosen(training["precision"], where)
    if where.type != "cpu":
        logger.info("training on %s in %s", name_of(where), computed_in)
    team = team or Team()
    with ExitStack() as scope:
        scope.enter_context(own_chance(seed, where))
        scope.enter_context(determinism.deterministic(where, wanted=training["deterministic"]))
        scope.enter_context(compilation.compiling(wanted=training["compile"]))
        scope.enter_context(precision.rounding(computed_in, where))
        scope.enter_context(graphs.own_stream(where))
        network = build(problem, **settings)
        if is_ours(network):
            precision.lay_out(network, computed_in, where)
        network = team.joined(network, where, training["optimizer"])
        # batches have a generator of their own: a model with more dropout sees the same batches
        order = torch.Generator().manual_seed(seed)
        trained, history = _train(
            network, computed_in, problem, train, validation, training, order, progress, checkpoints, team
        )
        return team.left(trained, lambda: build(problem, **settings)), history


def _train(
    network: nn.Module,
    computed_in: str,
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
    passes = compilation.compiled(network) if training["compile"] else network
    forward = precision.forward(passes, computed_in, device)
    by_hand = forward is network and device.type in ("cpu", "cuda")
    at_once = _differentiate(network, forward, problem.task, flat, by_hand=by_hand)
    whole_steps = team.size == 1 and is_ours(network) and graphs.possible(device)
    placed = placement.place(train, device, same_memory=whole_steps)
    placed_validation = placement.place(validation, device)
    if training["class_weights"] == "balanced" and problem.task == "classification":
        class_weight = losses.balanced(placed.y, problem.n_outputs)
        placed.weight = class_weight if placed.weight is None else placed.weight * class_weight
    n, size, max_epochs = len(train), training["batch_size"], training["max_epochs"]
    n_batches = math.ceil(n / size)
    rate_at = partial(
        learning_rate_at,
        n_steps=max_epochs * n_batches,
        peak=training["learning_rate"],
        schedule=training["schedule"],
    )
    now = TrainingState(network, optimizer, order, n_batches, total=torch.zeros((), device=device), team=team)
    gradient = BatchGradient(network, forward, loss_of, flat, at_once, placed.take, placed.weight, now)
    _go_on(now, checkpoints)

    def step(x: Tensor, y: Tensor, weight: Tensor | None, rate: float | Tensor) -> None:
        loss = at_once(x, y, weight)
        optimizer.step(rate)
        now.total += loss * len(x)

    whole = graphs.Whole(step, min(size, n), device, now.undone) if whole_steps else None
    while now.epoch <= max_epochs:
        network.train()
        shuffled = placed.order(now.shuffle(n))
        while now.batch < n_batches:
            rows = shuffled[now.batch * size : (now.batch + 1) * size]
            rate = whole.at_rate(rate_at(now.step)) if whole else rate_at(now.step)
            # a batch that the memory does not hold is done in passes, in a later attempt too
            if not (whole and not team.micro_batch and whole.takes(len(rows)) and whole(*placed.take(rows))):
                loss = gradient(rows)
                optimizer.step(rate)
                now.total += loss * len(rows)
            now.batch += 1
            if team.decided(checkpoints is not None and checkpoints.due()):
                state = now.kept()
                if checkpoints is not None:
                    checkpoints.save(state)
        if device.type == "cuda" and now.epoch < max_epochs:
            now.shuffle_ahead(n)
        train_loss, last_rate = float(now.total) / n, rate_at(now.step - 1)
        validation_loss = _loss(now, loss_of, placed_validation)
        _check(train_loss, now.epoch, last_rate)
        now.history.append(now.epoch, train_loss, validation_loss, last_rate)
        if progress is not None:
            progress(now.epoch, max_epochs, train_loss, validation_loss)
        if validation_loss < now.best.loss:
            now.best = Best(now.epoch, validation_loss, copy.deepcopy(network.state_dict()))
        elif training["schedule"] == "constant" and now.epoch - now.best.epoch >= training["patience"]:
            break
        now.next_epoch()
    gradient.tell(None)
    network.load_state_dict(now.best.state)
    return network.eval(), now.history


@runtime_checkable
class Differentiated(Protocol):
    """A network that knows its own derivative."""

    def backpropagation(self) -> "Backpropagation":
        """Return what gives the outputs of a batch and the gradients of the parameters, in float32."""


def _differentiate(network: nn.Module, forward: Forward, task: Task, flat: Flat, *, by_hand: bool) -> Differentiate:
    """Return what a step needs: by a network of ours that knows its derivative, else by autograd."""
    if by_hand and is_ours(network) and isinstance(network, Differentiated):
        return _by_hand(network.backpropagation(), task)
    return _by_autograd(forward, losses.for_task(task), flat)


def _by_autograd(forward: Forward, loss_of: losses.Loss, flat: Flat) -> Differentiate:
    def differentiate(x: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
        loss = loss_of(forward(x), y, weight)
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


def _loss(now: TrainingState, loss_of: losses.Loss, placed: Placed) -> float:
    """Return the loss that chooses the epoch: of the network as it will be used, which is never in bfloat16."""
    now.network.eval()
    own = now.team.part(len(placed.y))
    with torch.no_grad():
        loss = torch.zeros((), device=now.device)
        # as many as the others, who may wait for this process
        passed = outputs(now, placed, None if now.team.size == 1 else own.filled(now.team.size))[: own.n_rows]
        if own.n_rows:
            loss = loss_of(passed, placed.y[own.rows], None if placed.weight is None else placed.weight[own.rows])
        if not own.is_whole:
            loss = loss * own.share(placed.weight)
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
    """Return ``cuda`` or, on a Mac, ``mps`` when the job was given a GPU, else ``cpu``, also on a machine without one.

    Raises
    ------
    EnvironmentFaultError
        If the machine has a GPU, and this torch cannot use it.
    """
    if not gpus:
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available():
        return "mps"
    if shown := devices.gpus():
        built = f"is built for CUDA {torch.version.cuda}" if torch.version.cuda else "is built for CPUs alone"
        msg = (
            f"the job was given a GPU ({shown[0].name}), and torch {torch.__version__} must be able to use it; it "
            f"{built}: install the build for this machine (make setup TORCH=cuda in the Serpens folder; elsewhere see "
            "https://pytorch.org/get-started), or train on the CPU with --resources gpu=0"
        )
        raise EnvironmentFaultError(msg)
    return "cpu"
