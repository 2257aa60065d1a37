"""The networks, simple to complex. Read this file first, then recipes.py, then training.py.

    network = build("lenet", torch.Generator().manual_seed(0))
    logits = network(pixels)                  # (N, 1, 28, 28) float32 → (N, 10)

LeNet is LeCun et al. 1998, "Gradient-based learning applied to document recognition", with
average pooling and a linear head; the deeper CNN is the one of the README this project follows.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from .errors import RecipeError, unknown


class Network(nn.Module):
    """Images to ten logits, by way of the last hidden layer.

    `features` ends with the last hidden linear layer, before its activation: what a network
    "sees" in an image, and what the t-SNE pictures show. `head` turns it into logits.
    """

    def __init__(self, features: nn.Sequential, head: nn.Sequential):
        super().__init__()
        self.features = features
        self.head = head

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the logits, (N, 10), of pixels, (N, 1, 28, 28)."""
        return self.head(self.features(pixels))


def lenet() -> Network:
    """LeNet-5 with a plain linear head: 44,426 parameters."""
    return Network(
        features=nn.Sequential(
            nn.Conv2d(1, 6, 5),  # 28 → 24
            nn.Tanh(),
            nn.AvgPool2d(2),  # 24 → 12
            nn.Conv2d(6, 16, 5),  # 12 → 8
            nn.Tanh(),
            nn.AvgPool2d(2),  # 8 → 4
            nn.Conv2d(16, 120, 4),  # 4 → 1
            nn.Flatten(),
            nn.Linear(120, 84),
        ),
        head=nn.Sequential(nn.Tanh(), nn.Linear(84, 10)),
    )


def deeper_cnn() -> Network:
    """Three 3×3 convolutions and a hidden layer of 100: 159,254 parameters.

    Pooling stands before ReLU where the original has it after: the maximum commutes with a
    rising function, so outputs and gradients are the same, on a quarter of the elements.
    """
    return Network(
        features=nn.Sequential(
            nn.Conv2d(1, 32, 3),  # 28 → 26
            nn.MaxPool2d(2),  # 26 → 13
            nn.ReLU(),
            nn.Conv2d(32, 64, 3),  # 13 → 11
            nn.ReLU(),
            nn.Conv2d(64, 64, 3),  # 11 → 9
            nn.MaxPool2d(2),  # 9 → 4
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * 4 * 4, 100),
        ),
        head=nn.Sequential(nn.ReLU(), nn.Linear(100, 10)),
    )


def deeper_cnn_batch_norm() -> Network:
    """The deeper CNN with batch normalization after each convolution: 159,574 parameters."""
    return Network(
        features=nn.Sequential(
            nn.Conv2d(1, 32, 3),  # 28 → 26
            nn.BatchNorm2d(32),
            nn.MaxPool2d(2),  # 26 → 13
            nn.ReLU(),
            nn.Conv2d(32, 64, 3),  # 13 → 11
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3),  # 11 → 9
            nn.BatchNorm2d(64),
            nn.MaxPool2d(2),  # 9 → 4
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * 4 * 4, 100),
        ),
        head=nn.Sequential(nn.ReLU(), nn.Linear(100, 10)),
    )


def even_deeper_cnn() -> Network:
    """The deeper CNN with two more convolutions of 128 channels: 483,094 parameters."""
    return Network(
        features=nn.Sequential(
            nn.Conv2d(1, 32, 3),  # 28 → 26
            nn.MaxPool2d(2),  # 26 → 13
            nn.ReLU(),
            nn.Conv2d(32, 64, 3),  # 13 → 11
            nn.ReLU(),
            nn.Conv2d(64, 64, 3),  # 11 → 9
            nn.MaxPool2d(2),  # 9 → 4
            nn.ReLU(),
            nn.Conv2d(64, 128, 3, padding=1),  # 4 → 4
            nn.ReLU(),
            nn.Conv2d(128, 128, 3, padding=1),  # 4 → 4
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(128 * 4 * 4, 100),
        ),
        head=nn.Sequential(nn.ReLU(), nn.Linear(100, 10)),
    )


def reader_cnn() -> Network:
    """Five 3×3 convolutions, each with batch normalization, and a linear head: 144,618 parameters.

    For reading pictures: with strong augmentation there is more to learn than MNIST holds.
    """
    return Network(
        features=nn.Sequential(
            nn.Conv2d(1, 32, 3),  # 28 → 26
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3),  # 26 → 24
            nn.MaxPool2d(2),  # 24 → 12
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3),  # 12 → 10
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3),  # 10 → 8
            nn.MaxPool2d(2),  # 8 → 4
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.Conv2d(64, 128, 3),  # 4 → 2
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Flatten(),
        ),
        head=nn.Sequential(nn.Linear(128 * 2 * 2, 10)),
    )


class MaxPool(nn.Module):
    """2×2 maximum of layers that are not learned, on even sides: 2.4 times as fast as PyTorch's.

    That one also keeps where each maximum was, for the gradient; this one's gradient is slow.
    """

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the maxima, (N, C, H / 2, W / 2), of (N, C, H, W)."""
        rows = torch.maximum(pixels[:, :, 0::2], pixels[:, :, 1::2])
        return torch.maximum(rows[..., 0::2], rows[..., 1::2])


def whitened_cnn() -> Network:
    """For the fastest recipes, a frozen first layer and one that is learned: 215,914 parameters.

    What it learns with in a second: no gradient has to pass the largest layer, see `whiten`.
    """
    return Network(
        features=nn.Sequential(
            nn.Conv2d(1, 16, 5),  # 28 → 24, frozen
            MaxPool(),  # 24 → 12
            nn.ReLU(),
            nn.Conv2d(16, 64, 3),  # 12 → 10
            nn.MaxPool2d(2),  # 10 → 5
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * 5 * 5, 128),
        ),
        head=nn.Sequential(nn.ReLU(), nn.Linear(128, 10)),
    )


def whitened_batch_norm_cnn() -> Network:
    """For some seconds: three layers with batch normalization on the frozen one: 74,938 parameters.

    Padding nowhere, no hidden layer: what is small is also quick.
    """
    return _whitened_batch_norm(48, 64, 64)


def wider_whitened_cnn() -> Network:
    """For half a minute: the same with more channels: 126,122 parameters."""
    return _whitened_batch_norm(64, 64, 128)


def _whitened_batch_norm(first: int, second: int, third: int) -> Network:
    return Network(
        features=nn.Sequential(
            nn.Conv2d(1, 16, 5),  # 28 → 24, frozen
            MaxPool(),  # 24 → 12
            nn.ReLU(),
            nn.Conv2d(16, first, 3),  # 12 → 10
            nn.BatchNorm2d(first),
            nn.ReLU(),
            nn.Conv2d(first, second, 3),  # 10 → 8
            nn.MaxPool2d(2),  # 8 → 4
            nn.BatchNorm2d(second),
            nn.ReLU(),
            nn.Conv2d(second, third, 3),  # 4 → 2
            nn.BatchNorm2d(third),
            nn.ReLU(),
            nn.Flatten(),
        ),
        head=nn.Sequential(nn.Linear(third * 2 * 2, 10)),
    )


class Enlarge(nn.Module):
    """Make (N, 3, 64, 64) of (N, 1, 28, 28): small, yet AlexNet's strides leave a pixel."""

    def forward(self, pixels: Tensor) -> Tensor:
        """Resize bilinearly and give all three colour channels the same grey."""
        large = nn.functional.interpolate(pixels, size=(64, 64), mode="bilinear")
        return large.expand(-1, 3, -1, -1)


def alexnet() -> Network:
    """AlexNet with ten outputs: 57,044,810 parameters.

    Krizhevsky, "One weird trick for parallelizing convolutional neural networks" (2014), the
    version that torchvision publishes ImageNet weights for.
    """
    return Network(
        features=nn.Sequential(
            Enlarge(),  # 28 → 64
            nn.Conv2d(3, 64, 11, stride=4, padding=2),  # 64 → 15
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # 15 → 7
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # 7 → 3
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # 3 → 1
            nn.AdaptiveAvgPool2d(6),  # 1 → 6, copies: the weights want 224-pixel images' size
            nn.Flatten(),
            nn.Dropout(),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
        ),
        head=nn.Sequential(nn.ReLU(), nn.Linear(4096, 10)),
    )


# The names of AlexNet's layers in torchvision's weights, in order; the last, for ImageNet's
# thousand classes, is ours to learn.
TORCHVISION_ALEXNET = (
    *("features.0", "features.3", "features.6", "features.8", "features.10"),
    *("classifier.1", "classifier.4"),
)

NETWORKS: dict[str, Callable[[], Network]] = {
    "lenet": lenet,
    "deeper-cnn": deeper_cnn,
    "deeper-cnn-batch-norm": deeper_cnn_batch_norm,
    "even-deeper-cnn": even_deeper_cnn,
    "reader-cnn": reader_cnn,
    "whitened-cnn": whitened_cnn,
    "whitened-batch-norm-cnn": whitened_batch_norm_cnn,
    "wider-whitened-cnn": wider_whitened_cnn,
    "alexnet": alexnet,
}


def build(name: str, generator: torch.Generator) -> Network:
    """Build a network by name, with initial weights drawn from `generator`.

    Raises:
        RecipeError: there is no network of that name.
    """
    if name not in NETWORKS:
        raise RecipeError(unknown("network", name, NETWORKS))
    network = NETWORKS[name]()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            # PyTorch's own default, U(±1/√fan_in), but from our generator, not the global one.
            bound = 1 / math.sqrt(layer.weight[0].numel())
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -bound, bound, generator=generator)
    # The layout that convolutions like best; PyTorch's type stubs lack this argument.
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def whiten(network: Network, pixels: Tensor, flat: float = 0.1) -> None:
    """Give the first convolution filters that tell patches apart best, and freeze it.

    Half of the filters are the patches' leading principal components, divided by how much each
    varies; the others are the same with the opposite sign, so that ReLU loses nothing. As in
    airbench (Jordan 2024); a layer that is not learned costs a third.

    Args:
        pixels: (N, 1, 28, 28), some hundred training images.
        flat: variance that is added to each component's, which keeps rare ones from being noise.
    """
    layer = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    patches = nn.functional.unfold(pixels, layer.kernel_size).transpose(1, 2).flatten(0, 1)
    variances, components = torch.linalg.eigh(patches.T @ patches / len(patches))
    filters = (components / (variances + flat).sqrt()).flip(1).T  # the largest first
    filters = filters[: (layer.out_channels + 1) // 2]
    filters = torch.cat([filters, -filters])[: layer.out_channels]
    layer.weight.data.copy_(filters.view_as(layer.weight))
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    layer.requires_grad_(False)


def to_pixels(images: Tensor | np.ndarray, mean: float, std: float) -> Tensor:
    """Turn (N, 28, 28) uint8 images into normalised pixels, (N, 1, 28, 28) float32."""
    pixels = torch.as_tensor(images).unsqueeze(1).float()
    return pixels.sub_(255 * mean).mul_(1 / (255 * std))


@torch.inference_mode()
def predict(
    network: nn.Module, pixels: Tensor, batch_size: int = 500, unsure_margin: float = 0.0
) -> Tensor:
    """Return the network's output for all pixels, in evaluation mode, batch by batch.

    Args:
        unsure_margin: where the two largest outputs are nearer than this, the output is the mean
            over the image and the same moved by a pixel to each of the four sides.
    """
    network.eval()
    outputs = torch.cat([network(batch) for batch in pixels.split(batch_size)]).float()
    if unsure_margin:
        first, second = outputs.topk(2).values.unbind(1)
        unsure = first - second < unsure_margin
        moves = [(0, 2), (1, 2), (-1, 2), (1, 3), (-1, 3)]  # the border is paper, so it may wrap
        views = torch.cat([pixels[unsure].roll(step, axis) for step, axis in moves])
        seen = predict(network, views, batch_size).view(len(moves), -1, outputs.shape[1])
        outputs[unsure] = seen.mean(dim=0)
    return outputs
