"""What the reader's network learns from, besides MNIST."""

import dataclasses

import numpy as np
import pytest

from mnist_classification.reader_training import recipe
from mnist_classification.reader_training.recipe import READER, with_material
from mnist_classification.training import fit


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Drawing thousands takes longer than the tests."""
    for name in ("DRAWN_DIGITS", "COUNTER_EXAMPLES", "PREPARED_DIGITS"):
        monkeypatch.setattr(recipe, name, 40)


def test_material_comes_after_the_digits_and_what_is_none_has_no_label(small):
    data = with_material(small, seed=0)
    count = len(small.train)
    assert len(data.train) == count + 3 * 40
    np.testing.assert_array_equal(data.train.images[:count], small.train.images)
    digits = data.train.labels < 10
    assert (~digits).sum() == 40
    np.testing.assert_array_equal(data.train.targets.sum(axis=1), 1)
    np.testing.assert_array_equal(
        data.train.targets[digits].argmax(axis=1), data.train.labels[digits]
    )
    assert (data.train.targets[~digits] == np.float32(0.1)).all()
    assert data.test is small.test


def test_material_follows_the_seed_and_is_part_of_the_fingerprint(small):
    first, again, other = (with_material(small, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.train.images, again.train.images)
    assert first.fingerprint == again.fingerprint
    assert len({first.fingerprint, other.fingerprint, small.fingerprint}) == 3


def test_the_readers_network_learns(small):
    trained = fit(dataclasses.replace(READER, num_epochs=2), with_material(small, seed=0))
    assert trained.history[1]["train_loss"] < trained.history[0]["train_loss"]
