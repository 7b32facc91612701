"""A training while it runs: everything that its next step depends on, beside data and settings."""

import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from serpens.checkpoints import State
from serpens.optimizers import Optimizer
from serpens.parts import Team

# What a module may remember as a plain value: a step count, a temperature.
PLAIN = (bool, int, float, str, type(None))


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
    team
        Who trains, and how many rows at once.
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
    team: Team = field(default_factory=Team)
    _ahead: tuple[Tensor, Tensor] | None = None
    _before_shuffle: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self._before_shuffle = self.order.get_state()

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.optimizer.flat.device

    @property
    def devices(self) -> str:
        """What must be the same for a training to go on to the same bits: how many of which device add up sums."""
        name = name_of(self.device)
        return name if self.team.size == 1 else f"{self.team.size} x {name}"

    @property
    def step(self) -> int:
        """Steps that are done."""
        return (self.epoch - 1) * self.n_batches + self.batch

    def shuffle(self, n: int) -> Tensor:
        """Return this epoch's order of ``n`` rows, on the CPU, also when the epoch is taken up in its middle."""
        self._before_shuffle, shuffled = self._ahead or self._drawn(n)
        self._ahead = None
        return shuffled

    def shuffle_ahead(self, n: int) -> None:
        """Draw the next epoch's order, while a GPU is still at work on this one's."""
        self._ahead = self._drawn(n)

    def _drawn(self, n: int) -> tuple[Tensor, Tensor]:
        return self.order.get_state(), torch.randperm(n, generator=self.order)

    def next_epoch(self) -> None:
        """Go to the first batch of the next epoch."""
        self.epoch += 1
        self.batch = 0
        self.total.zero_()  # in place, as all that a recorded step writes to

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Take back what a block does to the training."""
        order, state = self.order.get_state(), self.kept()
        try:
            yield
        finally:
            self.restore(state)
            self.order.set_state(order)

    def kept(self) -> State:
        """Return what :meth:`restore` goes on from."""
        chance, chance_facts = _chance(self.device)
        groups: dict[str, dict[str, Tensor]] = {
            "parameter": dict(self.network.named_parameters()),
            "memory": _remembered(self.network),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best.state,
            "chance": chance,
            "loop": {"total": self.total, "before_shuffle": self._before_shuffle},
        }
        facts = {
            "devices": self.devices,
            "micro_batch": self.team.micro_batch,
            "rows_at_once": self.team.rows_at_once,
            "epoch": self.epoch,
            "batch": self.batch,
            "history": vars(self.history),
            "best": {"epoch": self.best.epoch, "loss": self.best.loss},
            "chance": chance_facts,
            "plain": {
                name: {key: value for key, value in vars(module).items() if _is_plain(key, value)}
                for name, module in self.network.named_modules()
            },
        }
        # copies: safetensors takes no views of one vector
        tensors = {
            f"{group}/{name}": self.team.whole(tensor.detach()).to("cpu", copy=True).contiguous()
            for group, members in groups.items()
            for name, tensor in members.items()
        }
        return State(self.step, tensors, facts)

    def restore(self, state: State) -> None:
        """Go on from a state that was kept on the same kind of device."""
        groups: dict[str, dict[str, Tensor]] = {}
        for name, tensor in state.tensors.items():
            group, _, member = name.partition("/")
            groups.setdefault(group, {})[member] = tensor
        facts = state.facts
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                parameter.copy_(self.team.like(groups["parameter"][name].to(self.device), parameter))
        for name, values in facts["plain"].items():
            vars(self.network.get_submodule(name)).update(values)
        for name, tensor in groups.get("memory", {}).items():
            _remember(self.network, name, tensor, self.device)
        self.optimizer.load_state_dict(groups["optimizer"])
        pattern = self.network.state_dict()
        best = {
            name: self.team.like(tensor.to(self.device), pattern[name])
            for name, tensor in groups.get("best", {}).items()
        }
        self.best = Best(facts["best"]["epoch"], facts["best"]["loss"], best)
        self.history = History(**facts["history"])
        self.epoch, self.batch = facts["epoch"], facts["batch"]
        self.team.micro_batch, self.team.rows_at_once = facts["micro_batch"], facts["rows_at_once"]
        self.total.copy_(groups["loop"]["total"])
        self.order.set_state(groups["loop"]["before_shuffle"])
        _take_chance(groups["chance"], facts["chance"], self.device)


def name_of(device: torch.device) -> str:
    """Return what must be the same for a training to go on to the same bits: ``cpu``, or the model of the GPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return torch.backends.mps.get_name() if device.type == "mps" else device.type


def is_ours(network: nn.Module) -> bool:
    """Return whether a network is of a family of Serpens: then it is known what its forward pass does, and how.

    The user's own, derived from ours or not, may pass each batch forward in another way.
    """
    return type(network).__module__.startswith("serpens.")


def _is_plain(key: str, value: object) -> bool:
    return not key.startswith("_") and isinstance(value, PLAIN)


def _remembered(network: nn.Module) -> dict[str, Tensor]:
    """Return buffers, those among them that no model file keeps, and tensors that are plain attributes."""
    found = dict(network.named_buffers())
    for name, module in network.named_modules():
        found |= {f"{name}.{key}".lstrip("."): value for key, value in vars(module).items() if torch.is_tensor(value)}
    return found


def _remember(network: nn.Module, name: str, value: Tensor, device: torch.device) -> None:
    prefix, _, key = name.rpartition(".")
    module = network.get_submodule(prefix)
    present = getattr(module, key, None)
    if torch.is_tensor(present) and present.shape == value.shape:
        present.detach().copy_(value)  # in place: others may refer to it
    else:
        setattr(module, key, value.to(device))


def _chance(device: torch.device) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the states of all generators that a network may draw from."""
    _, words, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    version, numbers, gauss_next = random.getstate()
    tensors = {
        "torch": torch.random.get_rng_state(),
        "numpy": torch.from_numpy(np.asarray(words, dtype=np.int64)),
        "python": torch.tensor(numbers, dtype=torch.int64),
    }
    if device.type != "cpu":
        tensors["device"] = torch.get_device_module(device).get_rng_state(device)
    return tensors, {"numpy": [position, has_gauss, gauss], "python": [version, gauss_next]}


def _take_chance(tensors: dict[str, Tensor], facts: dict[str, Any], device: torch.device) -> None:
    torch.random.set_rng_state(tensors["torch"])
    np.random.set_state(("MT19937", tensors["numpy"].numpy().astype(np.uint32), *facts["numpy"]))  # noqa: NPY002
    version, gauss_next = facts["python"]
    random.setstate((version, tuple(tensors["python"].tolist()), gauss_next))
    if device.type != "cpu":
        torch.get_device_module(device).set_rng_state(tensors["device"], device)


def chance_now(network: nn.Module, device: torch.device) -> Callable[[], None]:
    """Return what takes all chance that a network may draw from back to where it is."""
    drawn = torch.random.get_rng_state()
    on_device = None if device.type == "cpu" else torch.get_device_module(device).get_rng_state(device)
    # networks of ours draw from torch alone; the others' states take long to copy
    other = None if is_ours(network) else (np.random.get_state(), random.getstate())  # noqa: NPY002

    def rewind() -> None:
        torch.random.set_rng_state(drawn)
        if on_device is not None:
            torch.get_device_module(device).set_rng_state(on_device, device)
        if other is not None:
            np.random.set_state(other[0])  # noqa: NPY002
            random.setstate(other[1])

    return rewind


@contextmanager
def own_chance(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch, NumPy and Python for a block, and give the caller its own chance back.

    The user's own network may draw from any of the three.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - what old code draws from is seeded too
    try:
        with torch.random.fork_rng([] if device.type == "cpu" else [device], device_type=device.type):
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            random.seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
