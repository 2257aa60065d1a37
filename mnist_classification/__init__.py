"""The reference MNIST classifier: the classic ladder of networks, reproduced with error bars.

The public names. Each is imported when it is first asked for: reading pictures needs no torch, and
training needs neither ONNX Runtime nor Pillow.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .data import Mnist, load_mnist
    from .errors import MnistError
    from .reader.reader import Digit, Line, Reader, Reading
    from .recipes import RECIPES, Recipe, find_recipe
    from .trained import Trained, load_model
    from .training import fit

MODULES = {
    "data": ("Mnist", "load_mnist"),
    "errors": ("MnistError",),
    "reader.reader": ("Digit", "Line", "Reader", "Reading"),
    "recipes": ("RECIPES", "Recipe", "find_recipe"),
    "trained": ("Trained", "load_model"),
    "training": ("fit",),
}

__all__ = [
    "RECIPES",
    "Digit",
    "Line",
    "Mnist",
    "MnistError",
    "Reader",
    "Reading",
    "Recipe",
    "Trained",
    "find_recipe",
    "fit",
    "load_mnist",
    "load_model",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import a public name's module when the name is first asked for."""
    for module, names in MODULES.items():
        if name in names:
            value = getattr(importlib.import_module(f".{module}", __name__), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
