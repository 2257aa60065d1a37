"""The models that ship, for torch.hub; from a checkout, or a fork that you trust with running code.

import torch

model = torch.hub.load("path/to/checkout", "mnist_model", source="local")
digits = model(images).argmax(dim=1)               # (N, 28, 28) uint8 → (N,)

reader = torch.hub.load("path/to/checkout", "reader", source="local")
reader.read("photo.jpg").text                      # "2047"
"""

from torch import nn

from mnist_classification.reader.reader import Reader as _Reader
from mnist_classification.shipped import SHIPPED_MODEL as _SHIPPED_MODEL
from mnist_classification.trained import FromBytes as _FromBytes
from mnist_classification.trained import load_model as _load_model

dependencies = ["numpy", "onnxruntime", "PIL", "safetensors", "scipy", "torch"]


def mnist_model() -> nn.Module:
    """Return the network of the recipe `four-epochs`: (N, 28, 28) uint8 → (N, 10) logits.

    The network alone: the second look at unsure images is `load_model(directory).predict`'s.
    """
    trained = _load_model(_SHIPPED_MODEL)
    recipe = trained.recipe
    return _FromBytes(trained.network, recipe.pixel_mean, recipe.pixel_std).eval()


def reader() -> _Reader:
    """Return the reader of numbers on photos, scans and drawings; it runs without PyTorch."""
    return _Reader()
