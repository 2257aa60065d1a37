"""The reference MNIST classifier: the classic ladder of networks, reproduced with error bars.

The names here need no torch. To train, take `mnist_classification.training.fit`.
"""

from .data import Mnist, load_mnist
from .errors import MnistError
from .recipes import RECIPES, Recipe, find_recipe

__all__ = ["RECIPES", "Mnist", "MnistError", "Recipe", "find_recipe", "load_mnist"]
__version__ = "0.1.0"
