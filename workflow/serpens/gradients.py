"""The gradient of a batch: at once, or in the parts that processes and memory make of it."""

import logging
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from serpens import parts
from serpens.errors import ConfigurationError, EnvironmentFaultError
from serpens.losses import Loss
from serpens.optimizers import Flat
from serpens.parts import Part
from serpens.placement import Placed
from serpens.trainingstate import TrainingState, chance_now

logger = logging.getLogger(__name__)

# (inputs, y, weight) of a batch -> its loss; leaves the gradient in the flat vector
Differentiate = Callable[[Tensor, Tensor, Tensor | None], Tensor]
# places of rows -> their inputs, y, weight
Take = Callable[[Tensor], tuple[Tensor, Tensor, Tensor | None]]


class BatchGradient:
    """Leaves the gradient of a batch's loss in the flat vector.

    A batch that does not fit the memory is done again in passes of half as many rows, and so are all that follow. The
    chance of a batch is drawn once, whatever the passes.

    Parameters
    ----------
    at_once
        Does a whole batch.
    take
        Gives the examples of a batch.
    forward
        Passes examples through the network, where a batch is done in parts.
    weight
        Of every row, or None.
    now
        Where the training stands, and whose it is.
    """

    def __init__(
        self,
        network: nn.Module,
        forward: Callable[[Tensor], Tensor],
        loss_of: Loss,
        flat: Flat,
        at_once: Differentiate,
        take: Take,
        weight: Tensor | None,
        now: TrainingState,
    ) -> None:
        self.network, self.forward, self.loss_of, self.flat, self.at_once = network, forward, loss_of, flat, at_once
        self.take, self.weight, self.now, self.team = take, weight, now, now.team
        self.told: list[parts.ByRow] | None = None

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the loss of the batch of these rows."""
        while True:
            rewind = chance_now(self.network, self.now.device)
            loss = self._tried(rows, rewind)
            if self.team.all(loss is not None):
                break
            rewind()
            self._halve(len(rows))
        assert loss is not None
        if self.team.size > 1:
            self.flat.loss.copy_(loss)
            self.team.add_up(self.flat.summed)
            loss = self.flat.loss.clone()
        return loss

    def _tried(self, rows: Tensor, rewind: Callable[[], None]) -> Tensor | None:
        """Return the loss of this process's part, or None if its memory does not hold what that takes."""
        try:
            own = self.team.part(len(rows))
            at_once = self.team.micro_batch or len(rows)
            if self.team.size == 1 and at_once >= len(rows):
                self.tell(None)
                return self.at_once(*self.take(rows))
            return self._in_passes(rows, own, at_once, rewind)
        except torch.OutOfMemoryError:
            if self.team.sharded:
                raise EnvironmentFaultError(self._too_large("others wait for each of its layers", len(rows))) from None
            if coupled := parts.coupling(self.network):
                why = f"{coupled[0]} normalises by the whole batch"
                raise EnvironmentFaultError(self._too_large(why, len(rows))) from None
        # not above, where the traceback holds on to what was computed
        if self.now.device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    def _in_passes(self, rows: Tensor, own: Part, most: int, rewind: Callable[[], None]) -> Tensor:
        written = parts.remembering(self.network)
        weight = None if self.weight is None else self.weight.index_select(0, rows.to(self.weight.device))
        self.flat.zero()
        total = torch.zeros((), device=self.now.device)
        passes = list(own.passes(most))
        # as many as the others, who may wait for this process
        idle = math.ceil(Part.dealt(len(rows), 0, self.team.size).n_rows / most) - len(passes)
        for number, part in enumerate([*passes, *[self._idle(len(rows))] * idle]):
            if number:
                rewind()
            self.tell(part)
            x, y, own_weight = self.take(rows[part.rows])
            outputs = self.forward(x)
            counts = number < len(passes)
            loss = self.loss_of(outputs, y, own_weight) * part.share(weight) if counts else 0 * outputs.sum()
            torch.autograd.backward(loss)
            total += loss.detach()
        if wrote := [name for name, times in parts.remembering(self.network).items() if times != written[name]]:
            raise ConfigurationError(_remembers(wrote))
        return total

    def _idle(self, n: int) -> Part:
        """Return what a process does that has no rows left: it must draw what all draw, and be there for the others."""
        # not every network can do without rows, so it does the last one, which counts for nothing; a statistic over
        # all processes would count it
        return Part(n, n, n) if parts.coupling(self.network) else Part(n - 1, n, n)

    def tell(self, part: Part | None) -> None:
        """Let the network know which rows of a batch come next; None when all do."""
        if self.told is None:
            if part is None:
                return
            self.told = parts.drawing_by_row(self.network)
        for module in self.told:
            module.part = part

    def _halve(self, n: int) -> None:
        largest = Part.dealt(n, 0, self.team.size).n_rows
        tried = min(self.team.micro_batch or n, largest)
        if tried == 1:
            raise EnvironmentFaultError(_too_small(self.now.device))
        self.team.micro_batch = (tried + 1) // 2
        logger.warning(
            "%d rows at once do not fit the memory of %s: batches are done in passes of %d rows, which changes no "
            "result beyond the rounding of sums",
            tried,
            _spelled(self.now.device),
            self.team.micro_batch,
        )

    def _too_large(self, why: str, n: int) -> str:
        return (
            f"a batch of {n} rows must fit the memory of {_spelled(self.now.device)}, and does not: it cannot be done "
            f"in passes, since {why}. Lower training.batch_size, or train on more GPUs (resources.gpu)"
        )


def _remembers(buffers: list[str]) -> str:
    return (
        "a network that is trained in parts must remember nothing of its batches beside torch's batch normalisation; "
        f"it wrote to {', '.join(buffers)}, of which each part would know its own rows alone. Train it in one process "
        "(resources: {gpu: 1}, or {processes: 1}), in batches that fit the memory"
    )


def _too_small(device: torch.device) -> str:
    return (
        f"the memory of {_spelled(device)} must hold the network and a pass through it, and does not: make the network "
        "smaller, or ask for a GPU with more memory (resources.gpu_model)"
    )


def _spelled(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "this machine"


def outputs(now: TrainingState, placed: Placed, rows: slice | Tensor | None = None) -> Tensor:
    """Return a network's outputs for all rows, or for some, passed as many at once as the memory holds."""
    while True:
        try:
            return torch.cat([now.network(part) for part in placed.chunks(now.team.rows_at_once, rows)])
        except torch.OutOfMemoryError:
            if now.team.rows_at_once == 1 or now.team.sharded:  # where others wait for each layer
                raise EnvironmentFaultError(_too_small(now.device)) from None
        if now.device.type == "cuda":
            torch.cuda.empty_cache()
        tried = min(now.team.rows_at_once, len(placed.y))
        now.team.rows_at_once = (tried + 1) // 2
        logger.warning(
            "%d validation rows at once do not fit the memory of %s: they are passed %d at once",
            tried,
            _spelled(now.device),
            now.team.rows_at_once,
        )
