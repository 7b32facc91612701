"""A linear layer that trains faster on CPUs."""

from typing import Any

import torch
from torch import Tensor, nn


def _available() -> bool:
    enabled: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return enabled and hasattr(torch.ops.mkldnn, "_linear_pointwise")


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

    torch leaves them to MKL, which uses only half the vector width of some CPUs (AMD's with AVX-512): there a training
    step of an MLP takes 1.2 to 1.6 times as long (``benchmarks/training.py``). Where both libraries use the whole width
    nothing is lost. Everywhere else, and when nothing is learned, this is ``nn.Linear``.

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
        if on_cpu and torch.is_grad_enabled() and _available():
            out: Tensor = _Affine.apply(x, self.weight, self.bias)  # type: ignore[no-untyped-call]
            return out
        return super().forward(x)
