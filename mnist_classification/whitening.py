"""The frozen first layer of the fastest networks: filters computed from the data, not learned.

    whiten(network, to_pixels(images[:200], mean, std))

As in airbench (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU"): a layer that is not
learned costs a third, since no gradient has to pass it.
"""

import torch
from torch import Tensor, nn

from .errors import RecipeError


class MaxPool(nn.Module):
    """2×2 maximum of layers that are not learned, on even sides: 2.4 times as fast as PyTorch's.

    That one also keeps where each maximum was, for the gradient; this one's gradient is slow.
    """

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the maxima, (N, C, H / 2, W / 2), of (N, C, H, W)."""
        rows = torch.maximum(pixels[:, :, 0::2], pixels[:, :, 1::2])
        return torch.maximum(rows[..., 0::2], rows[..., 1::2])


def whiten(network: nn.Module, pixels: Tensor, flat: float = 0.1) -> None:
    """Give the first convolution filters that tell patches apart best, and freeze it.

    Half of the filters are the patches' leading principal components, divided by how much each
    varies; the others are the same with the opposite sign, so that ReLU loses nothing.

    Args:
        pixels: (N, 1, 28, 28), some hundred training images.
        flat: variance that is added to each component's, which keeps rare ones from being noise.

    Raises:
        RecipeError: the layer has more filters than patches have components, both signs counted.
    """
    layer = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    patches = nn.functional.unfold(pixels, layer.kernel_size).transpose(1, 2).flatten(0, 1)
    products = patches.T @ patches / len(patches)
    if not products.isfinite().all():
        raise RecipeError(
            "got images whose patches have no finite covariance to whiten; expected smaller pixel "
            "values; try the default --pixel-mean and --pixel-std"
        )
    variances, components = torch.linalg.eigh(products)
    filters = (components / (variances + flat).sqrt()).flip(1).T  # the largest first
    filters = filters[: (layer.out_channels + 1) // 2]
    filters = torch.cat([filters, -filters])[: layer.out_channels]
    if filters.numel() != layer.weight.numel():
        raise RecipeError(
            f"got a first layer of {layer.out_channels} filters of {layer.weight[0].numel()} "
            f"weights; expected up to {2 * len(components)} filters of {len(components)} to whiten "
            f"with; try --whitening-images 0"
        )
    layer.weight.data.copy_(filters.view_as(layer.weight))
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    layer.requires_grad_(False)
