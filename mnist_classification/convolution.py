"""A convolution that learns fast on small grids, on processors with bfloat16.

    layer = Convolution(128, 256, 3)

oneDNN, which PyTorch's CPU convolutions are, is slow at the gradient of many weights on few pixels.
As one matrix product over all patches (Chellapilla et al. 2006, "High performance convolutional
neural networks for document processing") it is faster, by how much for a whole step measures
benchmarks/small_grids.py. On large grids copying the patches costs more than it saves.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_input

MOST_POSITIONS = 25  # outputs per image and channel up to which the product is faster


class Convolution(nn.Conv2d):
    """PyTorch's `Conv2d` of stride 1 with a bias: same weights, outputs and gradients.

    Of its other options there is only the padding, with zeros: the product knows no more.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        padding: int | tuple[int, int] = 0,
    ):
        super().__init__(in_channels, out_channels, kernel_size, padding=padding)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (N, out_channels, H', W') of pixels, (N, in_channels, H, W)."""
        assert not isinstance(self.padding, str)
        sizes = zip(pixels.shape[2:], self.padding, self.kernel_size, strict=True)
        height, width = (pixel + 2 * padding - size + 1 for pixel, padding, size in sizes)
        small = height * width <= MOST_POSITIONS
        if self.training and small and torch.is_autocast_enabled("cpu"):
            return _SmallGrid.apply(pixels, self.weight, self.bias, self.padding)
        return super().forward(pixels)


class _SmallGrid(torch.autograd.Function):
    """Convolves as PyTorch does; the gradient of the weights is a matrix product."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)
    def forward(
        ctx: Any, pixels: Tensor, weight: Tensor, bias: Tensor, padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(pixels, weight)
        ctx.padding = padding
        return F.conv2d(pixels, weight, bias, padding=padding)

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        pixels, weight = ctx.saved_tensors
        to_pixels = None
        if ctx.needs_input_grad[0]:
            to_pixels = conv2d_input(pixels.shape, weight, gradient, padding=ctx.padding)
        outputs, inputs, rows, columns = weight.shape
        more_rows, more_columns = ctx.padding
        padded = F.pad(pixels, (more_columns, more_columns, more_rows, more_rows))
        # Channels last, as they lie in memory: (N, H', W', rows, columns, inputs).
        patches = padded.unfold(2, rows, 1).unfold(3, columns, 1).permute(0, 2, 3, 4, 5, 1)
        gradients = gradient.permute(0, 2, 3, 1).reshape(-1, outputs)
        product = gradients.T @ patches.reshape(len(gradients), -1)
        to_weight = product.view(outputs, rows, columns, inputs).permute(0, 3, 1, 2)
        return to_pixels, to_weight, gradients.sum(0), None
