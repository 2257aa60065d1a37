"""`mnist export` as a user runs it."""

import json

import numpy as np
import pytest
from conftest import assert_one_line_error, run_command
from PIL import Image

from mnist_classification.data import load_mnist
from mnist_classification.options import SHIPPED_MODEL
from mnist_classification.reader.classifier import load_classifier
from mnist_classification.recipes import find_recipe
from mnist_classification.trained import load_model
from mnist_classification.training import fit


def test_export_checks_itself_and_reads(mnist, small_dir, tmp_path):
    file = tmp_path / "model.onnx"
    result = run_command("export", SHIPPED_MODEL, "--onnx", file, "--data-dir", small_dir)
    assert (result.returncode, result.stderr) == (0, "")
    assert "same labels on 500 test images" in result.stdout
    ours = load_model(SHIPPED_MODEL).predict(mnist.test.images[:300], "float32")
    theirs = load_classifier(file).predict(mnist.test.images[:300])
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    picture = tmp_path / "seven.png"
    Image.fromarray(255 - np.pad(mnist.test.images[0], 10)).resize((192, 192)).save(picture)
    assert run_command("predict", picture, "--model", file).stdout.strip("?\n") == "7"


@pytest.fixture(scope="module")
def held(small_dir, tmp_path_factory):
    """A model that was trained with a hold-out."""
    directory = tmp_path_factory.mktemp("held") / "model"
    fit(find_recipe("decay+num-epochs=6"), load_mnist(small_dir, holdout=100)).save(directory)
    return directory


def test_calibration_is_on_the_models_own_holdout(held, small_dir, tmp_path):
    file = tmp_path / "model.onnx"
    result = run_command("export", held, "--onnx", file, "--calibrate", "--data-dir", small_dir)
    assert result.returncode == 0, result.stderr
    assert "of the half not chosen on" in result.stdout
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["temperature"] > 0
    assert load_classifier(file).predict(np.zeros((1, 28, 28), np.uint8)).shape == (1, 10)


def test_calibration_needs_a_holdout_of_the_same_data(held, small_dir, tmp_path):
    file = tmp_path / "model.onnx"
    result = run_command("export", held, "--onnx", file, "--calibrate")
    assert_one_line_error(result, "trained on another data set")
    result = run_command(
        *("export", SHIPPED_MODEL, "--onnx", file, "--calibrate", "--data-dir", small_dir)
    )
    assert_one_line_error(result, "was trained on all images", "--holdout 10000")
    assert list(tmp_path.iterdir()) == []
