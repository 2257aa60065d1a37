import numpy as np
import pytest

from mnist_classification.options import SHIPPED_MODEL
from mnist_classification.reader_training.counterexamples import (
    BAR,
    CHANGES,
    NO_DIGIT,
    PAGE,
    SHAPES,
    draw_counter_examples,
    prepare_digits,
)
from mnist_classification.recipes import find_recipe
from mnist_classification.trained import load_model
from mnist_classification.training import fit

from .conftest import with_parts


def test_counter_examples_are_prepared_as_mnist_is_and_labelled_none(mnist):
    drawn = draw_counter_examples(mnist.train, 300, seed=0)
    assert drawn.images.shape == (300, 28, 28)
    assert drawn.images.dtype == np.uint8
    assert (drawn.labels == NO_DIGIT).all()
    for image in drawn.images:
        rows, columns = np.nonzero(image)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == pytest.approx(20, abs=1)


def test_counter_examples_follow_the_seed_and_no_two_are_alike(mnist):
    first, again, other = (draw_counter_examples(mnist.train, 200, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.images, again.images)
    both = [image.tobytes() for image in (*first.images, *other.images)]
    assert len(set(both)) >= 0.98 * len(both)  # a rectangle may come twice


def test_prepared_digits_are_the_digits_as_the_reader_cuts_them_out(mnist):
    prepared = prepare_digits(mnist.train, 200, seed=0)
    assert prepared.images.shape == (200, 28, 28)
    assert prepared.images.dtype == np.uint8
    assert len(set(prepared.labels)) == 10
    trained = load_model(SHIPPED_MODEL)  # trained on MNIST as it is
    assert (trained.predict(prepared.images).argmax(axis=1) == prepared.labels).mean() > 0.95


@pytest.mark.parametrize("shape", SHAPES)
def test_every_kind_and_every_change_draws_something(shape):
    rng = np.random.default_rng(0)
    for change in CHANGES:
        pages = [change(shape(rng), rng) for _ in range(20)]
        assert all(page.shape == (PAGE, PAGE) and page.dtype == bool for page in pages)
        assert np.mean([page.any() for page in pages]) > 0.9


def test_a_one_is_no_counter_example(mnist):
    for image in draw_counter_examples(mnist.train, 300, seed=4).images:
        across, along = np.linalg.eigvalsh(np.cov(np.nonzero(image > 127)))
        assert np.sqrt(across / along) > 0.7 * BAR  # less the evening of strokes


def test_a_network_learns_to_be_unsure_of_what_is_no_digit(small):
    unseen = draw_counter_examples(small.test, 300, seed=5).images
    without = fit(find_recipe("decay+num-epochs=6"), small)
    none = draw_counter_examples(small.train, 400, seed=0)
    with_them = fit(find_recipe("decay+num-epochs=6"), with_parts(small, [none]))
    before, after = (t.predict(unseen).max(axis=1).mean() for t in (without, with_them))
    assert after < before - 0.2
    right = [
        (t.predict(small.test.images).argmax(axis=1) == small.test.labels).mean()
        for t in (without, with_them)
    ]
    assert right[1] > right[0] - 0.05
