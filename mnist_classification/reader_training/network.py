"""The network that reads a strip: convolutions down to one row of steps, each of eleven classes.

    network = LineNetwork()
    network(strips)                           # (N, 1, 32, L) → (N, L / 2, 11) log-probabilities

A step is two pixels of the strip; its classes are the ten digits and "nothing new" (connectionist
temporal classification, Graves et al. 2006). Fully convolutional, so a strip may be of any length.
Two of the last convolutions of one that is to know words are dilated (Yu and Koltun 2016): whether
a stroke is a 1 or an l, its neighbours tell.
"""

import itertools

import torch
from torch import Tensor, nn

from ..reader.recognizer import NUM_CLASSES

STEM = 16
WIDTHS = ((32, 32), (64, 64), (96, 128))  # channels of 3x3; each group ends by halving the height
ALONG = (112, 112, 112)  # of the convolutions along the line, when its height is gone
FAR = (2, 3)  # dilations of the second and the third, so that a step sees 38 pixels, not 26


class LineNetwork(nn.Sequential):
    """Reads strips 32 pixels high."""

    def __init__(self, *, far: bool = False) -> None:
        """Draw the weights by chance; with `far` a step sees more of its neighbours."""
        layers: list[nn.Module] = [*_block(1, STEM, 3), nn.MaxPool2d(2)]
        given = STEM
        for group in WIDTHS:
            for channels in group:
                layers += _block(given, channels, 3)
                given = channels
            layers.append(nn.MaxPool2d((2, 1)))
        layers += _block(given, ALONG[0], (2, 3), (0, 1))
        for (before, channels), apart in zip(
            itertools.pairwise(ALONG), FAR if far else (1, 1), strict=True
        ):
            layers += _block(before, channels, (1, 5), (0, 2 * apart), dilation=apart)
        layers.append(nn.Conv2d(ALONG[-1], NUM_CLASSES, (1, 5), padding=(0, 2)))
        super().__init__(*layers)

    def forward(self, strips: Tensor) -> Tensor:
        """Return (N, steps, 11) log-probabilities for (N, 1, 32, L) normalised strips."""
        scores = super().forward(strips)
        return scores[:, :, 0].transpose(1, 2).float().log_softmax(dim=2)


def _block(
    given: int,
    made: int,
    size: int | tuple[int, int],
    padding: int | tuple[int, int] = 1,
    dilation: int = 1,
) -> list[nn.Module]:
    conv = nn.Conv2d(given, made, size, padding=padding, dilation=dilation, bias=False)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    return [conv, nn.BatchNorm2d(made), nn.ReLU(inplace=True)]


def count_multiplications(network: nn.Module, length: int) -> int:
    """Return how many multiplications one strip of that length takes."""
    total = 0

    def count(layer: nn.Module, _given: object, made: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d):
            total += layer.weight.numel() * made.shape[2] * made.shape[3]

    hooks = [layer.register_forward_hook(count) for layer in network.modules()]
    network.eval()(torch.zeros(1, 1, 32, length))
    for hook in hooks:
        hook.remove()
    return total
