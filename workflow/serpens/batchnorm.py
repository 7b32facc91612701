"""Batch normalisation by the statistics of a whole batch whose rows several processes have."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def over_processes(network: nn.Module, device: torch.device) -> nn.Module:
    """Let a network's batch normalisation see the rows of all processes; return it, with the same state."""
    if device.type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return converted
    for module in network.modules():
        if another := _OVER_PROCESSES.get(type(module)):
            module.__class__ = another  # alone: the module stays what others refer to, and keeps its state
    return network


class _OverProcesses(_BatchNorm):
    """What ``nn.SyncBatchNorm`` computes on GPUs, for CPUs."""

    def forward(self, x: Tensor) -> Tensor:
        """Return a part of a batch (n, channels, ...), normalised by the mean and variance of the batch."""
        if not self.training:
            return super().forward(x)
        self._check_input_dim(x)  # type: ignore[no-untyped-call]
        others = [dimension for dimension in range(x.dim()) if dimension != 1]
        shape = [-1 if dimension == 1 else 1 for dimension in range(x.dim())]
        own = torch.cat([x.sum(others), x.new_full((1,), x.numel() / x.shape[1])])
        sums: Tensor = _Sum.apply(own)  # type: ignore[no-untyped-call]
        count = sums[-1]
        mean = sums[:-1] / count
        centred = x - mean.view(shape)
        squares: Tensor = _Sum.apply(centred.square().sum(others))  # type: ignore[no-untyped-call]
        variance = squares / count
        if self.running_mean is not None and self.running_var is not None:
            self._remember(mean.detach(), (variance * count / (count - 1)).detach())
        out: Tensor = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        for running, now in ((self.running_mean, mean), (self.running_var, variance)):
            assert running is not None
            running.lerp_(now, share)


class _Sum(torch.autograd.Function):
    """The sum over all processes. What each loses by it, all do: the gradient is the sum of theirs."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


class _BatchNorm1d(_OverProcesses, nn.BatchNorm1d): ...


class _BatchNorm2d(_OverProcesses, nn.BatchNorm2d): ...


class _BatchNorm3d(_OverProcesses, nn.BatchNorm3d): ...


_OVER_PROCESSES: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: _BatchNorm1d,
    nn.BatchNorm2d: _BatchNorm2d,
    nn.BatchNorm3d: _BatchNorm3d,
}
