"""What the networks of model.py are made of besides PyTorch's own layers.

block(1, 16, nn.MaxPool2d(2), size=5)     # convolution, pooling, ReLU
Residual(*block(48, 48, nn.BatchNorm2d(48), padding=1))
pair(48, 96, nn.MaxPool2d(2))             # such a block with batch normalization, and a Residual
"""

from torch import Tensor, nn

from .convolution import Convolution


def block(
    inputs: int, outputs: int, *between: nn.Module, size: int = 3, padding: int = 0
) -> list[nn.Module]:
    """Return a convolution, what stands between it and its ReLU, and the ReLU.

    Pooling stands before the ReLU: the maximum commutes with a rising function, so outputs and
    gradients are the same as after it, on a quarter of the elements. Batch normalization behind it
    has the statistics of the maxima.
    """
    return [Convolution(inputs, outputs, size, padding=padding), *between, nn.ReLU()]


class Residual(nn.Sequential):
    """Layers that add to their input (He et al. 2016, "Deep residual learning")."""

    def forward(self, pixels: Tensor) -> Tensor:
        """Return input plus output, both (N, C, H, W)."""
        return pixels + super().forward(pixels)


def pair(
    inputs: int, outputs: int, *between: nn.Module, size: int = 3, padding: int = 0
) -> list[nn.Module]:
    """Return a block with batch normalization and a residual one after it."""
    first = block(inputs, outputs, *between, nn.BatchNorm2d(outputs), size=size, padding=padding)
    return [*first, Residual(*block(outputs, outputs, nn.BatchNorm2d(outputs), padding=1))]
