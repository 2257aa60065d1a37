"""AlexNet, the largest of the original's failed ideas, and ImageNet's weights for it.

    features, head = layers()                         # what model.py makes a network of
    fit(recipe, data, weights=load_pretrained(path, "alexnet"))

Krizhevsky, "One weird trick for parallelizing convolutional neural networks" (2014), the version
that torchvision publishes ImageNet weights for.
"""

from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from .errors import ModelError


class Enlarge(nn.Module):
    """Make (N, 3, 64, 64) of (N, 1, 28, 28): small, yet AlexNet's strides leave a pixel."""

    def forward(self, pixels: Tensor) -> Tensor:
        """Resize bilinearly and give all three colour channels the same grey."""
        large = nn.functional.interpolate(pixels, size=(64, 64), mode="bilinear")
        return large.expand(-1, 3, -1, -1)


def layers() -> tuple[nn.Sequential, nn.Sequential]:
    """Return the features and the head of AlexNet with ten outputs: 57,044,810 parameters."""
    features = nn.Sequential(
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
    )
    return features, nn.Sequential(nn.ReLU(), nn.Linear(4096, 10))


# Our layers' names and torchvision's, in order. The last layer, for ImageNet's thousand classes,
# is ours to learn.
TORCHVISION = {
    "features.1": "features.0",
    "features.4": "features.3",
    "features.7": "features.6",
    "features.9": "features.8",
    "features.11": "features.10",
    "features.17": "classifier.1",
    "features.20": "classifier.4",
}


def load_pretrained(path: Path | None, network: str) -> dict[str, Tensor] | None:
    """Read ImageNet's weights under our names, all but the last layer's; None for no file.

    Args:
        path: a safetensors file with torchvision's key names.
        network: the name of the network that they are for.

    Raises:
        ModelError: the network is another, or the file can't be read or holds other weights.
    """
    if path is None:
        return None
    if network != "alexnet":
        raise ModelError(f"got pretrained weights for {network}; expected the network alexnet")
    try:
        tensors = safetensors.torch.load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: can't be read as safetensors: {error}") from None
    with torch.device("meta"):  # shapes alone
        features, _ = layers()
    weights: dict[str, Tensor] = {}
    for ours, theirs in TORCHVISION.items():
        layer = features[int(ours.removeprefix("features."))]
        for kind in ("weight", "bias"):
            expected, tensor = getattr(layer, kind).shape, tensors.get(f"{theirs}.{kind}")
            if tensor is None or tensor.shape != expected:
                found = "nothing" if tensor is None else tuple(tensor.shape)
                raise ModelError(
                    f"{path}: got {found} for {theirs}.{kind}; expected {tuple(expected)}, the "
                    f"AlexNet weights of torchvision"
                )
            weights[f"{ours}.{kind}"] = tensor
    return weights
