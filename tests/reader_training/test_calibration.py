import numpy as np
import pytest
import torch

from mnist_classification.data import Examples
from mnist_classification.errors import ModelError
from mnist_classification.options import SHIPPED_MODEL
from mnist_classification.reader.classifier import softmax
from mnist_classification.reader_training.calibration import (
    calibrate,
    calibration_error,
    choose_threshold,
    fit_temperature,
)
from mnist_classification.trained import load_model


@pytest.fixture(scope="module")
def drawn():
    """Logits, and labels drawn from the probabilities that they stand for."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (20_000, 10))
    chances = softmax(logits).cumsum(axis=1)
    labels = (rng.random((20_000, 1)) > chances).sum(axis=1).clip(0, 9)
    return logits, labels


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_temperature_is_recovered(drawn, temperature):
    logits, labels = drawn
    assert fit_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.05)


def test_calibration_error_is_small_where_probabilities_are_true(drawn):
    logits, labels = drawn
    assert calibration_error(softmax(logits), labels) < 0.015
    assert calibration_error(softmax(logits * 3), labels) > 0.05


def test_threshold_is_the_lowest_that_is_right_often_enough():
    best = np.linspace(0.1, 1, 1000)
    probabilities = np.zeros((1000, 10))
    probabilities[:, 0] = best
    labels = np.where(np.arange(1000) < 400, 9, 0)  # wrong below the 400th
    threshold = choose_threshold(probabilities, labels)
    sure = best >= threshold
    assert (labels[sure] == 0).mean() >= 0.995
    assert (labels[best >= threshold - 0.01] == 0).mean() < 0.995
    with pytest.raises(ModelError, match="no threshold"):
        choose_threshold(probabilities, np.full(1000, 9))


def test_a_model_is_calibrated_on_images_changed_as_in_training(mnist):
    trained = load_model(SHIPPED_MODEL)
    found = calibrate(trained, mnist.test[:3000])
    assert 0.2 < found.temperature < 5
    assert 0 < found.threshold <= 1
    assert found.coverage > 0.9
    assert found.error <= found.error_before + 0.005


def test_what_is_as_probable_reaches_a_threshold_together():
    """Eight of ten are right at 0.9: the first eight alone would make a threshold of it."""
    best = np.array([0.99] * 200 + [0.9] * 10)
    labels = np.array([0] * 208 + [1] * 2)
    probabilities = np.stack([best, 1 - best], axis=1)
    assert choose_threshold(probabilities, labels) == 0.99


def test_calibration_is_judged_on_what_it_was_not_chosen_on(mnist):
    trained = load_model(SHIPPED_MODEL)
    weights = [parameter.clone() for parameter in trained.network.parameters()]
    data = mnist.test[:2000]
    found = calibrate(trained, data)
    worse = data.labels.copy()
    judged = np.arange(2000) % 4 >= 2
    worse[judged] = (worse[judged] + 1) % 10
    again = calibrate(trained, Examples(data.images, worse))
    assert (again.temperature, again.threshold) == (found.temperature, found.threshold)
    assert again.right_if_sure < 0.1 < 0.9 < found.right_if_sure
    for before, after in zip(weights, trained.network.parameters(), strict=True):
        assert torch.equal(before, after)
