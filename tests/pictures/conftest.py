"""A network, and an embedding, that most pictures are of."""

from pathlib import Path

import numpy as np
import pytest
from conftest import run_command
from PIL import Image

from mnist_classification.pictures.embedding import Embedding, embed, raw_pixels
from mnist_classification.recipes import find_recipe
from mnist_classification.run import RunDirectory
from mnist_classification.trained import Trained
from mnist_classification.training import fit


@pytest.fixture(scope="session")
def trained(small) -> Trained:
    """The deeper CNN after a few passes over 640 images: it has learned, and makes mistakes."""
    return fit(find_recipe("decay+num-epochs=6"), small, seed=1, precision="float32")


@pytest.fixture(scope="session")
def embedding(small) -> Embedding:
    """All 500 test images in a plane, by their pixels."""
    return embed(raw_pixels(small.test.images), small.test.labels, perplexity=20)


@pytest.fixture(scope="session")
def run(small, tmp_path_factory) -> Path:
    """A finished run's directory: three epochs on 640 images."""
    directory = tmp_path_factory.mktemp("runs") / "short-seed3"
    with RunDirectory(directory, {}) as unfinished:
        trained = fit(find_recipe("decay+num-epochs=3"), small, seed=3, run=unfinished)
        unfinished.finish(trained, "")
    return directory


@pytest.fixture
def visualize(small_dir):
    """Run `mnist visualize ARGUMENTS` on the small data set, in this process."""
    return lambda *arguments: run_command("visualize", *arguments, "--data-dir", small_dir)


def assert_picture(path) -> None:
    """Check that a picture fits README's width and is not blank."""
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.width == 1200
        assert np.asarray(picture.convert("L")).std() > 5


TSNE_FILES = (
    "vanilla-mnist-tsne.png",
    "nontrained-model-mnist-tsne.png",
    "pretrained-model-mnist-tsne.png",
)
