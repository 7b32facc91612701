"""Batches that are done in parts: by several processes, or in several passes where the memory does not hold one.

A part is a run of a batch's rows. Its loss counts by its share of the batch, so the gradients of the parts add up to
the batch's. Each part draws the chance of the whole batch and uses what falls to its own rows: how a batch is parted
changes the order in which numbers are added up, and nothing else.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from serpens.optimizers import Flat

if TYPE_CHECKING:
    from serpens.checkpoints import State
    from serpens.trainingstate import TrainingState

# Rows in one pass when nothing is learned.
PREDICT_ROWS = 8192


class Part(NamedTuple):
    """The rows ``start`` to ``stop`` of a batch ``of`` so many.

    Examples
    --------
    >>> [Part.dealt(10, number, 3) for number in range(3)]
    [Part(start=0, stop=4, of=10), Part(start=4, stop=7, of=10), Part(start=7, stop=10, of=10)]
    >>> list(Part(4, 7, 10).passes(2))
    [Part(start=4, stop=6, of=10), Part(start=6, stop=7, of=10)]
    """

    start: int
    stop: int
    of: int

    @classmethod
    def dealt(cls, n: int, number: int, size: int) -> "Part":
        """Return the part of ``n`` rows that falls to one of ``size``; the first ones get a row more than the last."""
        least, more = divmod(n, size)
        start = number * least + min(number, more)
        return cls(start, start + least + (number < more), n)

    @property
    def rows(self) -> slice:
        """Where the rows are in the batch."""
        return slice(self.start, self.stop)

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return self.stop - self.start

    @property
    def is_whole(self) -> bool:
        """Whether it is the batch."""
        return self.n_rows == self.of

    def passes(self, most: int) -> "Iterator[Part]":
        """Yield parts of this one of ``most`` rows, and a last one of what is left."""
        for start in range(self.start, self.stop, most):
            yield Part(start, min(start + most, self.stop), self.of)

    def filled(self, size: int) -> slice | Tensor:
        """Return where the rows are and, up to the number that the largest of ``size`` parts has, the last of all."""
        largest = self.dealt(self.of, 0, size).n_rows
        if self.n_rows == largest:
            return self.rows
        return torch.arange(self.start, self.start + largest).clamp(max=self.of - 1)

    def share(self, weight: Tensor | None) -> float | Tensor:
        """Return how much of the batch's weight is the part's, given the weight of each of the batch's rows."""
        return self.n_rows / self.of if weight is None else weight[self.rows].sum() / weight.sum()


class ByRow(nn.Module):
    """A module that draws chance for each row, rows being the first dimension.

    Attributes
    ----------
    part
        Which rows of the batch come next; None when all do.
    """

    part: Part | None = None

    def drawn(self, n: int, draw: Callable[[int], Tensor]) -> Tensor:
        """Return ``draw(n)`` (n, ...), or what the rows of the part would get if the whole batch were drawn for."""
        if self.part is None or self.part.n_rows != n:
            return draw(n)
        return draw(self.part.of)[self.part.rows]


class _DropoutByRow(ByRow):
    """Torch's dropout, whose mask is what it makes of ones."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the rows of a part, each without some of its numbers while training."""
        forward: Callable[[Tensor], Tensor] = super().forward
        if not self.training or self.part is None or self.part.is_whole:
            return forward(x)
        return x * self.drawn(len(x), lambda n: forward(x.new_ones(n, *x.shape[1:])))


class _Dropout(_DropoutByRow, nn.Dropout): ...


class _Dropout1d(_DropoutByRow, nn.Dropout1d): ...


class _Dropout2d(_DropoutByRow, nn.Dropout2d): ...


class _Dropout3d(_DropoutByRow, nn.Dropout3d): ...


_BY_ROW: dict[type[nn.Module], type[nn.Module]] = {
    nn.Dropout: _Dropout,
    nn.Dropout1d: _Dropout1d,
    nn.Dropout2d: _Dropout2d,
    nn.Dropout3d: _Dropout3d,
}


def drawing_by_row(network: nn.Module) -> list[ByRow]:
    """Let a network's dropout draw for whole batches; return all of its modules that are to be told their part."""
    for module in network.modules():
        if by_row := _BY_ROW.get(type(module)):
            module.__class__ = by_row  # alone: the module stays what others refer to, and keeps its state
    return [module for module in network.modules() if isinstance(module, ByRow)]


def coupling(network: nn.Module) -> list[str]:
    """Return the names of the modules through which a row's output depends on the other rows of its batch."""
    return [name for name, module in network.named_modules() if isinstance(module, _BatchNorm)]


def remembering(network: nn.Module) -> dict[str, int]:
    """Return how often each buffer was written, of modules that are not known to remember the whole batch."""
    known = tuple(f"{name}." for name in coupling(network))
    return {name: tensor._version for name, tensor in network.named_buffers() if not name.startswith(known or ("\0",))}


class Team:
    """The processes that train one network together, as one of them sees it; here it is alone.

    Attributes
    ----------
    number, size
        Which process this is, counted from 0, and how many there are.
    sharded
        Whether each process keeps a part of the network alone.
    micro_batch
        Most rows that the memory of each holds in one pass of a step; None where no batch was too large for it.
    rows_at_once
        Most rows in one pass when nothing is learned.
    """

    number = 0
    size = 1
    sharded = False
    micro_batch: int | None = None
    rows_at_once = PREDICT_ROWS

    def part(self, n: int) -> Part:
        """Return which of a batch's ``n`` rows are this process's."""
        return Part.dealt(n, self.number, self.size)

    def all(self, yes: bool) -> bool:
        """Return whether it is so in every process."""
        return yes

    def add_up(self, tensor: Tensor) -> None:
        """Put in place of a tensor the sum of those that the processes have."""

    def joined(self, network: nn.Module, device: torch.device, optimizer: str) -> nn.Module:
        """Return the network on its device, as it has to be to do its part of a batch."""
        return network.to(device)

    def flat(self, network: nn.Module) -> Flat:
        """Return the network's parameters as the optimiser takes them."""
        return Flat(network)

    def left(self, network: nn.Module, again: Callable[[], nn.Module]) -> nn.Module:
        """Return the network as it is without the team, given what builds it again."""
        return network

    def whole(self, tensor: Tensor) -> Tensor:
        """Return all of a parameter that may be dealt out; every process has to ask."""
        return tensor

    def like(self, tensor: Tensor, pattern: Tensor) -> Tensor:
        """Return a whole parameter, dealt out as another is."""
        return tensor

    def decided(self, yes: bool) -> bool:
        """Return whether it is so in the first process, where that matters to all."""
        return yes

    def agreed(self, state: "State | None", now: "TrainingState") -> "State | None":
        """Return the state that all processes go on from, given the one that the first has and where it stands."""
        return state
