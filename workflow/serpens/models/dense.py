"""A linear layer that trains faster on CPUs."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

# The first AMD family (Zen 5) that computes 512 bits at once, of which MKL uses 256. In the one before, MKL's products
# are as fast as oneDNN's and its transposed ones faster: an epoch at batch 256 takes 0.8 times as long without oneDNN.
WIDE_FAMILY = 26


@cache
def _is_faster() -> bool:
    """Return whether oneDNN is there, and the CPU one on which it is faster; by the CPU's name, so always the same."""
    enabled: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return enabled and hasattr(torch.ops.mkldnn, "_linear_pointwise") and is_wide_amd(Path("/proc/cpuinfo"))


def is_wide_amd(cpuinfo: Path) -> bool:
    """Return whether a description of a CPU, as Linux gives it, is of an AMD that computes 512 bits at once."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        return False
    family = re.search(r"^cpu family\s*: (\d+)$", text, re.MULTILINE)
    return "AuthenticAMD" in text and family is not None and int(family[1]) >= WIDE_FAMILY


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``x @ weight.T + bias``, computed by oneDNN."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return out


class _Affine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        of_x = _product(gradient, weight.t()) if ctx.needs_input_grad[0] else None
        return of_x, _product(gradient.t(), x.t()), gradient.sum(0)


class Linear(nn.Linear):
    """``nn.Linear``, whose products oneDNN computes while it trains on a CPU in float32.

    torch leaves them to MKL, which uses only half the vector width of some CPUs (AMD's since Zen 5): there a training
    step of an MLP takes 1.2 to 1.6 times as long (``benchmarks/training.py``). On all others, everywhere else, and when
    nothing is learned, this is ``nn.Linear``.

    Shape
    -----
    x ``(n, in_features)`` -> ``(n, out_features)``.

    Examples
    --------
    >>> Linear(3, 2)(torch.zeros(5, 3)).shape
    torch.Size([5, 2])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x @ weight.T + bias``."""
        on_cpu = x.device.type == "cpu" and x.dtype == torch.float32 and x.ndim == 2
        if on_cpu and torch.is_grad_enabled() and _is_faster():
            out: Tensor = _Affine.apply(x, self.weight, self.bias)  # type: ignore[no-untyped-call]
            return out
        return super().forward(x)
