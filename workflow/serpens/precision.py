"""What a network computes in while it learns: how far products may be rounded, and whether all of it is in bfloat16.

Weights, gradients, optimiser and losses are float32 whatever the precision. A network that has learned is always
judged in float32.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from serpens.errors import EnvironmentFaultError

AMPERE = (8, 0)


def chosen(asked: str, device: torch.device) -> str:
    """Return the precision of a training on a device: ``float32``, ``tf32`` or ``bfloat16``.

    Parameters
    ----------
    asked
        One of these, or ``auto``: TF32 on an NVIDIA GPU, else float32.

    Raises
    ------
    EnvironmentFaultError
        If the GPU cannot compute in bfloat16.
    """
    if asked == "auto":
        return "tf32" if device.type == "cuda" else "float32"
    if asked == "bfloat16" and device.type == "cuda" and torch.cuda.get_device_capability(device) < AMPERE:
        name, found = torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device)
        msg = (
            f"training.precision: bfloat16 needs a GPU of compute capability 8.0 or later; {name} has "
            f"{found[0]}.{found[1]}: leave training.precision at auto, or give the job another GPU "
            "(resources.gpu_model)"
        )
        raise EnvironmentFaultError(msg)
    return asked


@contextmanager
def rounding(precision: str, device: torch.device) -> Iterator[None]:
    """Let a GPU round the inputs of products and convolutions to TF32, or not, for a block.

    With ``bfloat16`` it may too: what autocast leaves in float32, and the validation loss, are then of TF32.
    """
    if device.type != "cuda":
        yield
        return
    # Torch's newer `fp32_precision` makes reading these two raise, which the user's own network may do; they set both.
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = precision != "float32"
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def forward(network: Callable[[Tensor], Tensor], precision: str, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Return what passes a batch through a network in a precision; its outputs are float32."""
    if precision != "bfloat16":
        return network

    def in_bfloat16(x: Tensor) -> Tensor:
        # no cache: a CUDA graph could not refill it, and each weight is usually used once
        with torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False):
            outputs = network(x)
        return outputs.float()

    return in_bfloat16


def lay_out(network: nn.Module, precision: str, device: torch.device) -> None:
    """Store the weights of convolutions with channels last, which is how matrix units compute them.

    To be asked for networks of ours alone: another may look at images in a way (``view``) that this breaks.
    """
    if precision == "bfloat16" or (precision == "tf32" and device.type == "cuda"):
        for parameter in network.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
