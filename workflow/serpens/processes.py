"""Several processes that train one network together, each with its part of every batch.

The first of them is the job itself: it alone reads and writes files, heeds signals and decides. It starts the others,
gives them what the training is made of, and fails when one of them ends early; they end when it does, however that
comes about, since what they were started with then closes. All hold the same network and draw the same chance, so only
gradients and losses have to be added up.

It is what torch's DistributedDataParallel does, without it: that lays out its buckets anew after the first step, so
that three processes or more add up in another order then, and a training that is taken up ends in other bits; and it
exchanges gradients while they are computed, so that a process whose memory runs out cannot do the step again.
"""

import json
import logging
import math
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from importlib import import_module
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore

from serpens import allocation, batchnorm, sharding
from serpens import training as loop
from serpens.checkpoints import State, pack, unpack
from serpens.companions import Companions, Failure
from serpens.data import Examples, Problem
from serpens.optimizers import N_SLOTS, Flat
from serpens.parts import Team
from serpens.trainingstate import TrainingState

logger = logging.getLogger(__name__)

# Longer than any step, and than the first process takes to save its state.
PATIENCE = timedelta(hours=2)
# Until the processes have found each other: each imports torch, at worst from a slow disk.
START_SECONDS = 600.0
LOOPBACK = "127.0.0.1"
# Tells a process that its place is that of the first of its step, and that SLURM knows which it is.
ON_OTHER_NODE = "on another node"


@dataclass(frozen=True)
class Place:
    """Where a process finds the others.

    Attributes
    ----------
    host, port
        Where the first process listens.
    number, size
        Which process it is, counted from 0, and how many there are.
    local
        Which it is of those on its machine, and so which GPU is its own.
    threads
        CPU cores that it may use.
    device
        ``cpu`` or ``cuda``.
    free_bytes
        Memory that the network may take of it; asked of the device if None.
    """

    host: str
    port: int
    number: int
    size: int
    local: int
    threads: int
    device: str
    free_bytes: float | None = None


class Together(Team):
    """A process among several."""

    def __init__(self, place: Place) -> None:
        self.number, self.size = place.number, place.size
        self.device = torch.device("cuda", place.local) if place.device == "cuda" else torch.device(place.device)
        self.given_bytes = place.free_bytes

    def all(self, yes: bool) -> bool:
        """Return whether it is so in every process; no GPU is waited for."""
        votes = torch.tensor(int(yes))
        dist.all_reduce(votes, dist.ReduceOp.MIN)
        return bool(votes)

    def add_up(self, tensor: Tensor) -> None:
        """Put in place of a tensor the sum of those that the processes have."""
        dist.all_reduce(tensor)

    def joined(self, network: nn.Module, device: torch.device, optimizer: str) -> nn.Module:
        """Return the network with batch normalisation over all processes, and dealt out if one device is too small."""
        network = batchnorm.over_processes(network, device)
        n_parameters = sum(p.numel() for p in network.parameters() if p.requires_grad)
        self.sharded = not self.all(not sharding.needed(n_parameters, N_SLOTS[optimizer], self.free_bytes()))
        if not self.sharded:
            return network.to(device)
        logger.info("the network is dealt to %d processes: the memory of one does not hold it", self.size)
        return sharding.shard(network, device)

    def free_bytes(self) -> float:
        """Return the memory of this process's device that a network may take."""
        if self.given_bytes is not None:
            return self.given_bytes
        return torch.cuda.mem_get_info(self.device)[0] if self.device.type == "cuda" else math.inf

    def flat(self, network: nn.Module) -> Flat:
        """Return what this process has of the network's parameters."""
        return sharding.Shards(network) if self.sharded else Flat(network)

    def left(self, network: nn.Module, again: Callable[[], nn.Module]) -> nn.Module:
        """Return the whole network."""
        return sharding.unsharded(network, again()).eval() if self.sharded else network

    def whole(self, tensor: Tensor) -> Tensor:
        """Return all of a parameter that may be dealt out; every process has to ask."""
        return sharding.whole(tensor)

    def like(self, tensor: Tensor, pattern: Tensor) -> Tensor:
        """Return a whole parameter, dealt out as another is."""
        return sharding.like(tensor, pattern)

    def decided(self, yes: bool) -> bool:
        """Return whether it is so in the first process, if all are needed for what follows; else whether it is here."""
        if not self.sharded:
            return yes
        decision = torch.tensor(int(yes))
        dist.broadcast(decision, 0)
        return bool(decision)

    def agreed(self, state: State | None, now: TrainingState) -> State:
        """Return the state of the first process, which others cannot but have in common."""
        here = now.kept()  # which takes all, where the network is dealt out
        mine = np.frombuffer(bytearray(pack(state or here)), dtype=np.uint8)
        return unpack(self.sent(mine).tobytes())

    def sent(self, array: NDArray[Any] | None) -> NDArray[Any]:
        """Return the array of the first process; the others need not give one."""
        described: list[Any] = [None if array is None else (array.shape, array.dtype.str)]
        dist.broadcast_object_list(described)
        if array is None or self.number:
            array = np.empty(described[0][0], dtype=described[0][1])
        # as bytes: gloo does not know every type
        dist.broadcast(torch.from_numpy(array.reshape(-1).view(np.uint8)), 0)
        return array


@contextmanager
def together(
    build: Callable[..., nn.Module],
    problem: Problem,
    settings: Mapping[str, Any],
    train: Examples,
    validation: Examples,
    *,
    training: Mapping[str, Any],
    seed: int,
    device: str,
    size: int,
    nodes: int,
    threads: int,
    free_bytes: float | None = None,
) -> Iterator[Together]:
    """Have ``size`` processes for a block, in which :func:`serpens.training.fit_network` is called with the same.

    Parameters
    ----------
    build
        A function of a module, which the other processes import.
    nodes
        Machines that they are dealt to; this is the first.
    threads
        CPU cores that they share.
    free_bytes
        Memory that a network may take on each device; if it needs more it is dealt out. None asks the device.

    Raises
    ------
    TrainingStoppedError
        If another process was killed.
    SerpensError
        Of any kind, from another process.
    """
    facts = {
        "build": [build.__module__, build.__name__],
        "problem": asdict(problem),
        "settings": dict(settings),
        "training": dict(training),
        "seed": seed,
        "weighted": [train.weight is not None, validation.weight is not None],
    }
    with _led(size, nodes, threads, device, free_bytes) as team:
        team.sent(np.frombuffer(bytearray(json.dumps(facts).encode()), dtype=np.uint8))
        for examples in (train, validation):
            for array in (examples.X, examples.y, examples.weight):
                if array is not None:
                    team.sent(array)
        yield team


def join() -> None:
    """Train beside the process that started this one: the program of all but the first."""
    logging.getLogger("serpens").addHandler(logging.NullHandler())  # the first process says the same
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(each, signal.SIG_IGN)  # the first process decides
    ended = threading.Thread(target=_end_with_the_first, daemon=True)
    ended.start()
    first, on_other_node = Place(**json.loads(sys.argv[1])), sys.argv[2:] == [ON_OTHER_NODE]
    number, local = allocation.task() if on_other_node else (0, 0)
    place = replace(first, number=first.number + number, local=first.local + local)
    store = TCPStore(place.host, place.port, timeout=timedelta(seconds=START_SECONDS))
    try:
        with _joined(place, store) as team:
            _take_part(team)
            ended.join()  # what was sent last may still be on its way
    except Exception as error:  # reported, and the process ends
        failure = Failure(type(error).__name__, str(error), "".join(traceback.format_exception(error)))
        with suppress(RuntimeError):  # the first process is gone
            store.set(f"error/{place.number}", json.dumps(failure))
        os._exit(1)


def _end_with_the_first() -> None:
    """End when the first process closes what this one was started with, or dies, which does that too."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(0)


def _take_part(team: Together) -> None:
    facts = json.loads(team.sent(None).tobytes())
    train, validation = (
        Examples(team.sent(None), team.sent(None), team.sent(None) if weighted else None)
        for weighted in facts["weighted"]
    )
    module, name = facts["build"]
    shape = tuple(facts["problem"]["input_shape"])
    loop.fit_network(
        getattr(import_module(module), name),
        Problem(**facts["problem"] | {"input_shape": shape}),
        facts["settings"],
        train,
        validation,
        training=facts["training"],
        seed=facts["seed"],
        device=str(team.device),
        team=team,
    )


@contextmanager
def _joined(place: Place, store: Store) -> Iterator[Together]:
    """Find the other processes; on CPUs gloo exchanges what they have, on GPUs NCCL."""
    before = torch.get_num_threads()
    torch.set_num_threads(place.threads)
    backend = "gloo"
    if place.device == "cuda":
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(place.local)
    store.set(f"here/{place.number}", "")
    dist.init_process_group(
        backend, store=PrefixStore("all", store), rank=place.number, world_size=place.size, timeout=PATIENCE
    )
    try:
        yield Together(place)
    finally:
        dist.destroy_process_group()
        torch.set_num_threads(before)


@contextmanager
def _led(size: int, nodes: int, threads: int, device: str, free_bytes: float | None) -> Iterator[Together]:
    """Start the other processes, and end them; of what fails, raise what came first."""
    host = LOOPBACK if nodes == 1 else socket.gethostname()
    store = TCPStore(host, 0, is_master=True, wait_for_workers=False)
    first = Place(host, store.port, 0, size, 0, max(1, threads // size), device, free_bytes)
    others, here = range(1, size), size // nodes
    with Companions(size, lambda: _failures(store, others)) as companions:
        for number in range(1, here):
            place = replace(first, number=number, local=number)
            companions.start(_command(place), range(number, number + 1))
        if nodes > 1:
            command = [*_command(replace(first, number=here)), ON_OTHER_NODE]
            gpus = here if device == "cuda" else 0
            step = allocation.on_other_nodes(command, nodes=nodes, tasks=here, threads=threads // size, gpus=gpus)
            companions.start(step, range(here, size), allocation.environment_for_step())
        try:
            companions.wait_until(lambda: store.check([f"here/{number}" for number in others]), START_SECONDS)
            with _joined(first, store) as team:
                yield team
        except (RuntimeError, OSError) as error:
            companions.blame(error)


def _command(place: Place) -> list[str]:
    program = f"from {join.__module__} import {join.__name__} as run; run()"
    return [sys.executable, "-P", "-c", program, json.dumps(asdict(place))]


def _failures(store: Store, numbers: Iterable[int]) -> dict[int, Failure]:
    keys = {number: f"error/{number}" for number in numbers}
    return {number: Failure(*json.loads(store.get(key))) for number, key in keys.items() if store.check([key])}
