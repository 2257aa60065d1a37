"""The reference MNIST classifier: the classic ladder of networks, reproduced with error bars.

The names here need no torch. To train, take `mnist_classification.training.fit`.
"""

from typing import Any

from .data import Mnist, load_mnist
from .errors import MnistError
from .recipes import RECIPES, Recipe, find_recipe

READING = ("Digit", "Reader", "Reading")

__all__ = [
    "RECIPES",
    "Digit",
    "Mnist",
    "MnistError",
    "Reader",
    "Reading",
    "Recipe",
    "find_recipe",
    "load_mnist",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the reader when it is first asked for: it loads ONNX Runtime, SciPy and Pillow."""
    if name in READING:
        from .reader import reader

        return getattr(reader, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
