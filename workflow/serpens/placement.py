"""Where a training's rows lie: on its device when they fit there, else in the host's memory, brought batch by batch.

Either way the same rows come in the same order, and so the same bits.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Protocol

import torch
from torch import Tensor

from serpens.data import Examples

logger = logging.getLogger(__name__)

# Of the GPU's free memory, what one table may take; the rest is the network's and its batches'.
RESIDENT_SHARE = 0.4
# Batches that are on their way to the GPU at once: one is gathered while the other is copied.
SLOTS = 2

# inputs, y, weight
Batch = tuple[Tensor, Tensor, Tensor | None]


class Placed(Protocol):
    """Rows as a training takes them; ``y`` and ``weight``, which are small, are on the device."""

    y: Tensor
    weight: Tensor | None

    def order(self, shuffled: Tensor) -> Tensor:
        """Return an order of the rows ``(n,)``, on the CPU, where :meth:`take` wants to read it."""

    def take(self, rows: Tensor) -> Batch:
        """Return the rows that a part of the order names."""

    def chunks(self, n_rows: int, rows: slice | Tensor | None = None) -> Iterator[Tensor]:
        """Yield the inputs of all rows in their own order, or of some, ``n_rows`` at a time."""


def place(examples: Examples, device: torch.device, *, same_memory: bool = False) -> Placed:
    """Bring rows to where a training takes them from.

    Parameters
    ----------
    same_memory
        Let each full batch lie where the one before lay, for a step that is recorded (:mod:`serpens.graphs`).
    """
    X = torch.from_numpy(examples.X)
    y = torch.from_numpy(examples.y).to(device)
    weight = None if examples.weight is None else torch.from_numpy(examples.weight).to(device)
    if fits(X, device):
        return Resident(X.to(device), y, weight, same_memory=same_memory)
    return Streamed(X, y, weight, Courier(device))


def fits(X: Tensor, device: torch.device) -> bool:
    """Return whether a table can lie on a device beside all else that a training needs there."""
    if device.type != "cuda":  # it is the host's memory, where the table is already
        return True
    free = torch.cuda.mem_get_info(device)[0]
    if X.nbytes <= RESIDENT_SHARE * free:
        return True
    logger.info("%.1f GB of rows stay in the host's memory: the GPU has %.1f GB free", X.nbytes / 1e9, free / 1e9)
    return False


class Resident:
    """Rows that lie on the device."""

    def __init__(self, X: Tensor, y: Tensor, weight: Tensor | None, *, same_memory: bool = False) -> None:
        self.X, self.y, self.weight, self.same_memory = X, y, weight, same_memory
        self._rooms: dict[str, Tensor] = {}

    def order(self, shuffled: Tensor) -> Tensor:  # noqa: D102
        return shuffled.to(self.X.device)

    def take(self, rows: Tensor) -> Batch:  # noqa: D102
        weight = None if self.weight is None else self._taken("weight", self.weight, rows)
        return self._taken("X", self.X, rows), self._taken("y", self.y, rows), weight

    def chunks(self, n_rows: int, rows: slice | Tensor | None = None) -> Iterator[Tensor]:  # noqa: D102
        yield from torch.split(self.X if rows is None else self.X[rows], n_rows)

    def _taken(self, name: str, values: Tensor, rows: Tensor) -> Tensor:
        if not self.same_memory:
            return values.index_select(0, rows)
        room = self._rooms.get(name)
        if room is None or len(room) < len(rows):
            room = self._rooms[name] = values.new_empty(len(rows), *values.shape[1:])
        # the room itself for a full batch, which its user knows again
        out = room if len(room) == len(rows) else room[: len(rows)]
        return torch.index_select(values, 0, rows, out=out)


class Courier:
    """Copies batches to a GPU beside what it computes."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.stream = device, torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def room(self, like: Tensor, n_rows: int) -> Tensor:
        """Return memory on the host that the GPU may read by itself, for rows as these."""
        return torch.empty(n_rows, *like.shape[1:], dtype=like.dtype, pin_memory=True)

    def send(self, rows: Tensor) -> tuple[Tensor, torch.cuda.Event]:
        """Return rows on the GPU, for whatever it is given to do next, and what tells that they have left the host."""
        computing = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self.stream):
            arriving = rows.to(self.device, non_blocking=True)
            sent = self.stream.record_event()
        computing.wait_event(sent)
        arriving.record_stream(computing)  # its memory is the stream's of copies, which is told who else reads it
        return arriving, sent


@dataclass
class _Slot:
    """Room on the host for a batch, and what tells that the last one has left it."""

    room: Tensor | None = None
    sent: torch.cuda.Event | None = None


class Streamed:
    """Rows that lie in the host's memory: a batch is gathered and copied while the one before is computed."""

    def __init__(self, X: Tensor, y: Tensor, weight: Tensor | None, courier: Courier) -> None:
        self.X, self.y, self.weight, self.courier = X, y, weight, courier
        self._slots = cycle([_Slot() for _ in range(SLOTS)])

    def order(self, shuffled: Tensor) -> Tensor:  # noqa: D102
        return shuffled

    def take(self, rows: Tensor) -> Batch:  # noqa: D102
        slot = next(self._slots)
        if slot.sent is not None:
            slot.sent.synchronize()
        if slot.room is None or len(slot.room) < len(rows):
            slot.room = self.courier.room(self.X, len(rows))
        gathered = torch.index_select(self.X, 0, rows, out=slot.room[: len(rows)])
        x, slot.sent = self.courier.send(gathered)
        rows = rows.to(self.y.device, non_blocking=True)
        return x, self.y.index_select(0, rows), None if self.weight is None else self.weight.index_select(0, rows)

    def chunks(self, n_rows: int, rows: slice | Tensor | None = None) -> Iterator[Tensor]:  # noqa: D102
        for part in torch.split(self.X if rows is None else self.X[rows], n_rows):
            yield part.to(self.y.device)
