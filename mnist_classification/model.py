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

from . import alexnet
from .errors import RecipeError, unknown
from .layers import Residual, block, pair
from .whitening import MaxPool


class Network(nn.Module):
    """Images to ten logits, by way of the last hidden layer.

    `features` is all before the last step: what a network "sees" in an image, and what the t-SNE
    pictures show. `head` turns it into logits.
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


def deeper_cnn(batch_norm: bool = False) -> Network:
    """Three 3×3 convolutions, a hidden layer: 159,254 parameters, with batch norm 159,574."""

    def norm(channels: int) -> list[nn.Module]:
        return [nn.BatchNorm2d(channels)] if batch_norm else []

    return Network(
        features=nn.Sequential(
            *block(1, 32, *norm(32), nn.MaxPool2d(2)),  # 28 → 26 → 13
            *block(32, 64, *norm(64)),  # 13 → 11
            *block(64, 64, *norm(64), nn.MaxPool2d(2)),  # 11 → 9 → 4
            nn.Flatten(),
            nn.Linear(64 * 4 * 4, 100),
        ),
        head=nn.Sequential(nn.ReLU(), nn.Linear(100, 10)),
    )


def even_deeper_cnn() -> Network:
    """The deeper CNN with two more convolutions of 128 channels: 483,094 parameters."""
    deeper = deeper_cnn()
    *convolutions, flatten, _ = deeper.features  # 28 → 4, and not its hidden layer
    more = [*block(64, 128, padding=1), *block(128, 128, padding=1)]  # 4 → 4 → 4, so 128·4·4
    return Network(nn.Sequential(*convolutions, *more, flatten, nn.Linear(2048, 100)), deeper.head)


def whitened_cnn() -> Network:
    """For a second: no gradient passes the largest layer, see whitening.py: 215,914 parameters."""
    return Network(
        features=nn.Sequential(
            *block(1, 16, MaxPool(), size=5),  # 28 → 24 → 12, frozen
            *block(16, 64, nn.MaxPool2d(2)),  # 12 → 10 → 5
            nn.Flatten(),
            nn.Linear(64 * 5 * 5, 128),
        ),
        head=nn.Sequential(nn.ReLU(), nn.Linear(128, 10)),
    )


def whitened_batch_norm_cnn(first: int = 48, second: int = 64, third: int = 64) -> Network:
    """For seconds: the frozen layer, then three with batch normalization: 74,938 parameters."""
    return Network(
        features=nn.Sequential(
            *block(1, 16, MaxPool(), size=5),  # 28 → 24 → 12, frozen
            *block(16, first, nn.BatchNorm2d(first)),  # 12 → 10
            *block(first, second, nn.MaxPool2d(2), nn.BatchNorm2d(second)),  # 10 → 8 → 4
            *block(second, third, nn.BatchNorm2d(third)),  # 4 → 2
            nn.Flatten(),
        ),
        head=nn.Sequential(nn.Linear(third * 2 * 2, 10)),
    )


def late_pooled_cnn() -> Network:
    """For minutes: wider, and one layer learns before any pooling: 232,394 parameters."""
    return Network(
        features=nn.Sequential(
            *block(1, 16, size=5),  # 28 → 24, frozen
            *block(16, 32, nn.MaxPool2d(2), nn.BatchNorm2d(32), padding=1),  # 24 → 24 → 12
            *block(32, 96, nn.BatchNorm2d(96)),  # 12 → 10
            *block(96, 96, nn.MaxPool2d(2), nn.BatchNorm2d(96)),  # 10 → 8 → 4
            *block(96, 128, nn.BatchNorm2d(128)),  # 4 → 2
            nn.Flatten(),
        ),
        head=nn.Sequential(nn.Linear(128 * 2 * 2, 10)),
    )


def residual_cnn(first: int, second: int, third: int, late: bool = False) -> Network:
    """For more minutes: three pairs of layers, each second one residual.

    With `late` the first pair learns before any pooling, as in Doucet's network.
    """
    if late:
        again = Residual(*block(first, first, nn.BatchNorm2d(first), padding=1))
        start = [*pair(1, first, size=5), nn.MaxPool2d(2), again]  # 28 → 24 → 12
    else:  # with a frozen layer, 28 → 24 → 12
        start = [*block(1, 16, size=5), *pair(16, first, nn.MaxPool2d(2), padding=1)]
    rest = [*pair(first, second, nn.MaxPool2d(2)), *pair(second, third)]  # 12 → 10 → 5 → 3
    features = nn.Sequential(*start, *rest, nn.AvgPool2d(3), nn.Flatten())
    return Network(features, head=nn.Sequential(nn.Linear(third, 10)))


NETWORKS: dict[str, Callable[[], Network]] = {
    "lenet": lenet,
    "deeper-cnn": deeper_cnn,
    "deeper-cnn-batch-norm": lambda: deeper_cnn(batch_norm=True),
    "even-deeper-cnn": even_deeper_cnn,
    "whitened-cnn": whitened_cnn,
    "whitened-batch-norm-cnn": whitened_batch_norm_cnn,
    "wider-whitened-cnn": lambda: whitened_batch_norm_cnn(64, 64, 128),  # 126,122 parameters
    "late-pooled-cnn": late_pooled_cnn,
    "residual-cnn": lambda: residual_cnn(48, 96, 192),  # 654,090 parameters
    "late-pooled-residual-cnn": lambda: residual_cnn(48, 128, 256, late=True),  # 1,135,466
    "wider-late-residual-cnn": lambda: residual_cnn(64, 128, 256, late=True),  # 1,186,698
    "alexnet": lambda: Network(*alexnet.layers()),  # one of the original's failed ideas
}


def check_network(name: str) -> None:
    """Refuse a name that no network has."""
    if name not in NETWORKS:
        raise RecipeError(unknown("network", name, NETWORKS))


def build(name: str, generator: torch.Generator) -> Network:
    """Build a network by name, with initial weights drawn from `generator`.

    Raises:
        RecipeError: there is no network of that name.
    """
    check_network(name)
    with torch.random.fork_rng([]):  # layers draw from the caller's generator
        network = NETWORKS[name]()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            # PyTorch's own default, U(±1/√fan_in), but from our generator, not the global one.
            bound = 1 / math.sqrt(layer.weight[0].numel())
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -bound, bound, generator=generator)
    # The layout that convolutions like best; PyTorch's type stubs lack this argument.
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def to_pixels(images: Tensor | np.ndarray, mean: float, std: float) -> Tensor:
    """Turn (N, 28, 28) uint8 images into normalised pixels, (N, 1, 28, 28) float32."""
    pixels = torch.as_tensor(images).unsqueeze(1).float()
    return pixels.sub_(255 * mean).mul_(1 / (255 * std))
