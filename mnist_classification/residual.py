"""The network for the accurate end: residual blocks, pooled late.

    features, head = layers(48, 96, 192)      # what model.py makes a network of

Each convolution has batch normalization behind it; a block adds what its two make of the features
to the features (He et al. 2016, "Deep residual learning for image recognition").
"""

import itertools

import torch
from torch import Tensor, nn

BORDER = 1  # pixels of paper around MNIST's digits that are cut off before enlarging


class Zoom(nn.Module):
    """Cut off the border and enlarge the rest: the same strokes over more pixels."""

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the enlarged pixels, (N, 1, 28, 28)."""
        middle = pixels[:, :, BORDER:-BORDER, BORDER:-BORDER]
        return nn.functional.interpolate(middle, size=pixels.shape[2:], mode="bilinear")


class Residual(nn.Module):
    """Two convolutions whose output is added to their input."""

    def __init__(self, channels: int):
        super().__init__()
        self.change = nn.Sequential(
            *convolution(channels, channels), nn.ReLU(), *convolution(channels, channels)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape, (N, C, H, W)."""
        return torch.relu(features + self.change(features))


def convolution(inputs: int, outputs: int) -> list[nn.Module]:
    """Return a 3×3 convolution that keeps the size, and its batch normalization."""
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)]


def layers(first: int, second: int, third: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Return the features and the head of a network with so many channels at 28, 14 and 7 pixels.

    A third of its multiplications are at each size; 48, 96 and 192 channels take 114 million an
    image and have 1.1 million parameters.
    """
    widths = [1, first, second, third]
    features: list[nn.Module] = [Zoom()]
    for inputs, outputs in itertools.pairwise(widths):
        features += [*convolution(inputs, outputs), nn.ReLU(), Residual(outputs), nn.MaxPool2d(2)]
    return nn.Sequential(*features, nn.Flatten()), nn.Sequential(nn.Linear(third * 3 * 3, 10))
