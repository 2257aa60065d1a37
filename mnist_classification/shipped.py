"""Where the models that come with the package lie."""

from pathlib import Path

MODELS = Path(__file__).parent / "models"
SHIPPED_MODEL = MODELS / "mnist_model"  # classifies MNIST's images
SHIPPED_READER = MODELS / "reader"  # reads numbers on pictures
