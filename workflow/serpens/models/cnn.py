"""A small convolutional network for images."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from serpens.data import Problem
from serpens.errors import ConfigurationError
from serpens.models.mlp import ACTIVATIONS
from serpens.parts import ByRow


class RandomShift(ByRow):
    """Shift each training image by up to ``pixels`` in each direction, filling with its border.

    Shape
    -----
    x ``(n, channels, height, width)`` -> the same.
    """

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.pixels = pixels

    def forward(self, x: Tensor) -> Tensor:
        """Return the batch, shifted while training."""
        if not self.training or not self.pixels:
            return x
        n, channels, height, width = x.shape
        down, right = (self.drawn(n, lambda n: self._shifts(n, x.device)) - self.pixels).unbind(1)
        rows = _within(down, height)[:, None, :, None]  # (n, 1, height, 1)
        columns = _within(right, width)[:, None, None, :]  # (n, 1, 1, width)
        images = torch.arange(n, device=x.device)[:, None, None, None]
        planes = torch.arange(channels, device=x.device)[None, :, None, None]
        return x[images, planes, rows, columns]

    def _shifts(self, n: int, device: torch.device) -> Tensor:
        return torch.randint(0, 2 * self.pixels + 1, (2, n, 1), device=device).transpose(0, 1)  # (n, 2, 1)


def _within(shift: Tensor, size: int) -> Tensor:
    """Return which of ``size`` places each is taken from, ``(n, size)``: the border stands for what lies beyond it."""
    return (shift + torch.arange(size, device=shift.device)).clamp(0, size - 1)


class CNN(nn.Module):
    """Two convolutions and a pooling for each entry of ``channels``, then one hidden layer.

    Shape
    -----
    x ``(n, channels, height, width)`` -> ``(n, n_outputs)``: logits of classes, or standardised values.
    """

    def __init__(
        self,
        *,
        input_shape: tuple[int, int, int],
        n_outputs: int,
        channels: Sequence[int],
        width: int,
        activation: str,
        dropout: float,
        augment_shift: int,
    ) -> None:
        super().__init__()
        depth, height, breadth = input_shape
        layers: list[nn.Module] = [RandomShift(augment_shift)]
        for n_channels in channels:
            layers += [
                nn.Conv2d(depth, n_channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(n_channels),
                ACTIVATIONS[activation](),
                nn.MaxPool2d(2),
            ]
            depth, height, breadth = n_channels, height // 2, breadth // 2
        if not height or not breadth:
            msg = (
                f"family cnn halves the image once for each of its {len(channels)} channels; an image of "
                f"{input_shape[1]} x {input_shape[2]} is too small for that: give fewer channels"
            )
            raise ConfigurationError(msg)
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.head = nn.Sequential(
            nn.Linear(depth * height * breadth, width),
            ACTIVATIONS[activation](),
            nn.Dropout(dropout),
            nn.Linear(width, n_outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of a batch."""
        out: Tensor = self.head(self.features(x))
        return out


def build(
    problem: Problem, *, channels: Sequence[int], width: int, activation: str, dropout: float, augment_shift: int
) -> CNN:
    """Return an untrained network for the problem.

    Raises
    ------
    ConfigurationError
        If the examples are no images.
    """
    if len(problem.input_shape) != 3:
        msg = "family cnn needs images; the study has none: set image, or choose another family"
        raise ConfigurationError(msg)
    return CNN(
        input_shape=problem.input_shape,
        n_outputs=problem.n_outputs,
        channels=channels,
        width=width,
        activation=activation,
        dropout=dropout,
        augment_shift=augment_shift,
    )
