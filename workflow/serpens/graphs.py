"""Steps on a GPU that are launched as a whole.

A small network's step is some thirty operations of two microseconds each, and launching one takes a processor longer
than that. A CUDA graph holds them all, and is launched once.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

# Steps before a graph is recorded: libraries set themselves up in them.
WARM_UP_STEPS = 3

# (inputs, y, weight, learning rate): moves the parameters once
Step = Callable[[Tensor, Tensor, Tensor | None, float | Tensor], None]


def possible(device: torch.device) -> bool:
    """Return whether a device can record steps."""
    return device.type == "cuda"


class Whole:
    """A step that does the same operations on each batch of one size, launched as one.

    The first such batch is used up in trial steps, which are then undone: so every full batch, also after a resume, is
    a launch of the same graph. A graph reads and writes the memory that it was recorded with, so a batch is brought to
    where the first one lay.

    Parameters
    ----------
    step
        What is recorded. It takes the learning rate as a number on the device, since another is used each time.
    n_rows
        Rows of a batch that is launched as one.
    undone
        A context that takes back what is done in it to all that a step depends on.

    Attributes
    ----------
    possible
        Whether the GPU can do it: not what it cannot record, nor what its memory does not hold.
    """

    def __init__(
        self, step: Step, n_rows: int, device: torch.device, undone: Callable[[], AbstractContextManager[None]]
    ):
        self.step, self.n_rows, self.undone = step, n_rows, undone
        self.possible = True
        self.rate = torch.zeros((), device=device)
        self._rate = 0.0
        self._place: list[Tensor] = []
        self._launch: Callable[[], None] | None = None

    def takes(self, n_rows: int) -> bool:
        """Return whether a batch of so many rows can be launched as one, as far as that is known."""
        return self.possible and n_rows == self.n_rows

    def at_rate(self, rate: float) -> Tensor:
        """Set the learning rate of what comes next; return it as it is on the device."""
        if rate != self._rate:
            self.rate.fill_(rate)
            self._rate = rate
        return self.rate

    def __call__(self, x: Tensor, y: Tensor, weight: Tensor | None) -> bool:
        """Do a step; return whether it was possible. If not, nothing is done."""
        batch = [x, y] if weight is None else [x, y, weight]
        if self._launch is None:
            self._place = batch
            self._launch = self._recorded()
        if self._launch is None:
            self.possible = False
            return False
        for place, given in zip(self._place, batch, strict=True):
            if place is not given:
                place.copy_(given)
        self._launch()
        return True

    def _one_by_one(self) -> None:
        x, y, *weight = self._place
        self.step(x, y, weight[0] if weight else None, self.rate)

    def _recorded(self) -> Callable[[], None] | None:
        try:
            with self.undone():
                for _ in range(WARM_UP_STEPS):
                    self._one_by_one()
        except torch.OutOfMemoryError:  # the batch has to be done in passes
            return None
        try:
            return recorded(self._one_by_one)
        except RuntimeError as err:
            logger.warning("steps are launched one operation after the other: the GPU cannot record them (%s)", err)
            return None


def recorded(work: Callable[[], None]) -> Callable[[], None]:
    """Record what a function does on the GPU, without doing it; return what does it."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
        work()
    return graph.replay


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """Run a block on a CUDA stream of its own: on the default one nothing can be recorded."""
    if device.type != "cuda":
        yield
        return
    outside = torch.cuda.current_stream(device)
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(outside)
    with torch.cuda.stream(stream):
        yield
    outside.wait_stream(stream)
