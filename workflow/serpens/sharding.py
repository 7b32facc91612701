"""Networks that are too large for one device: each process keeps a part of every parameter (FSDP2).

A layer's parameters are brought together when it is their turn, and its gradient is added up and dealt out again at
once. What the training loop knows as flat vectors are then lists of shards; states are whole when they are kept.
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from serpens.optimizers import Flat

# Of a device's memory; the rest is for what passes through the network.
MOST_SHARE = 0.8
# float32
BYTES = 4


def needed(n_parameters: int, n_slots: int, free_bytes: float) -> bool:
    """Return whether a device is too small for a network and what its training keeps of it.

    Parameters
    ----------
    n_slots
        Numbers that the optimiser remembers of each parameter; beside them there are the parameter, its gradient, and
        its value in the best epoch.
    """
    return BYTES * n_parameters * (3 + n_slots) > MOST_SHARE * free_bytes


def shard(network: nn.Module, device: torch.device) -> nn.Module:
    """Deal a network's parameters to all processes and bring it to their devices, layer by layer; return it."""
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    seen: set[int] = set()
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        # torch's own layers use their parameters in their forward pass alone; tied ones belong to the whole
        alone = type(module).__module__.startswith("torch.nn.") and not seen & set(map(id, own))
        seen |= set(map(id, own))
        if alone and module is not network and any(parameter.dim() > 1 for parameter in own):
            fully_shard(module, mesh=mesh)
    fully_shard(network, mesh=mesh)
    for module in network.modules():
        if isinstance(module, FSDPModule):
            # the parts of a batch add up; gloo knows sums alone
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    return network


def unsharded(network: nn.Module, unlike: nn.Module) -> nn.Module:
    """Return another network of the same build, on the CPU, with the parameters of one that is dealt out."""
    unlike.load_state_dict({name: whole(tensor).cpu() for name, tensor in network.state_dict().items()})
    return unlike


def whole(tensor: Tensor) -> Tensor:
    """Return all of a tensor that may be dealt out; every process has to ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def like(tensor: Tensor, pattern: Tensor) -> Tensor:
    """Return a whole tensor, dealt out as another one is."""
    if not isinstance(pattern, DTensor):
        return tensor
    return distribute_tensor(tensor, pattern.device_mesh, pattern.placements, src_data_rank=None)


class Shards(Flat):
    """A network's parameters and gradients as lists of shards that share memory with it."""

    def __init__(self, network: nn.Module) -> None:
        self.sharded = [p for p in network.parameters() if p.requires_grad and isinstance(p, DTensor)]
        self.vectors = [p.to_local().detach() for p in self.sharded]
        # gradients are added up elsewhere
        self.summed = self.vectors[0].new_zeros(1)
        self.loss = self.summed[-1]

    @property
    def gradients(self) -> list[Tensor]:
        """The gradients that were dealt to this process."""
        return [
            p.grad.to_local() if isinstance(p.grad, DTensor) else torch.zeros_like(vector)
            for p, vector in zip(self.sharded, self.vectors, strict=True)
        ]

    def zero(self) -> None:
        """Forget the gradients."""
        for parameter in self.sharded:
            parameter.grad = None

    def joined(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return, of tensors that are dealt out as the parameters are, all in one vector; every process has to ask.

        It is on the CPU: no device holds it whole.
        """
        pieces = []
        for own, p in zip(tensors, self.sharded, strict=True):
            dealt = DTensor.from_local(own, p.device_mesh, p.placements, shape=p.shape, stride=p.stride())
            pieces.append(dealt.full_tensor().reshape(-1).cpu())
        return torch.cat(pieces)

    def dealt(self, vector: Tensor) -> list[Tensor]:
        """Return the shards of one vector that holds all."""
        pieces = torch.split(vector, [p.numel() for p in self.sharded])
        dealt = [like(piece.view(p.shape).to(self.device), p) for piece, p in zip(pieces, self.sharded, strict=True)]
        return [tensor.to_local() for tensor in dealt if isinstance(tensor, DTensor)]
