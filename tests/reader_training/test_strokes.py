import numpy as np
import pytest

from mnist_classification.reader_training.strokes import WAYS, draw_digits
from mnist_classification.recipes import find_recipe
from mnist_classification.training import fit

from .conftest import with_parts


def test_drawn_digits_are_prepared_as_mnist_is():
    drawn = draw_digits(300, seed=0)
    assert drawn.images.shape == (300, 28, 28)
    assert drawn.images.dtype == np.uint8
    for image in drawn.images:
        rows, columns = np.nonzero(image)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == pytest.approx(20, abs=1)
        mass = image.astype(float)
        for axis, places in ((0, np.arange(28)), (1, np.arange(28))):
            centre = (mass.sum(axis=1 - axis) * (places + 0.5)).sum() / mass.sum()
            assert centre == pytest.approx(14, abs=0.6)


def test_drawn_digits_follow_the_seed_and_their_shares():
    first, again, other = draw_digits(60, 1), draw_digits(60, 1), draw_digits(60, 2)
    np.testing.assert_array_equal(first.images, again.images)
    assert not np.array_equal(first.labels, other.labels)
    counts = np.bincount(draw_digits(600, 3).labels, minlength=10) / 600
    for digit in range(10):
        expected = WAYS[digit][1] if digit in WAYS else 0
        assert counts[digit] == pytest.approx(expected, abs=0.06)


def test_no_two_drawn_digits_are_alike():
    drawn = draw_digits(300, seed=3)
    assert len({image.tobytes() for image in drawn.images}) == 300


def test_drawn_digits_are_learned(small):
    drawn = draw_digits(400, seed=5)
    recipe = find_recipe("decay+num-epochs=6")
    without = fit(recipe, small)
    with_drawn = fit(recipe, with_parts(small, [draw_digits(600, seed=0)]))
    before, after = (
        (trained.predict(drawn.images).argmax(axis=1) == drawn.labels).mean()
        for trained in (without, with_drawn)
    )
    assert after > max(before, 0.9)
