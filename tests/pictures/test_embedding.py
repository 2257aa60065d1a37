"""Images as points in a plane."""

import dataclasses

import numpy as np
import pytest
import torch
from conftest import assert_same_weights

from mnist_classification.data import set_aside
from mnist_classification.errors import PlotError
from mnist_classification.pictures.embedding import (
    REPORTS,
    check_perplexity,
    embed,
    hidden_features,
    neighbour_accuracy,
    raw_pixels,
    untrained,
)
from mnist_classification.recipes import find_recipe
from mnist_classification.shipped import SHIPPED_MODEL
from mnist_classification.trained import load_model
from mnist_classification.training import fit


def test_embedding_depends_on_the_seed_alone(small):
    pixels, labels = raw_pixels(small.test.images[:100]), small.test.labels[:100]
    first, again, other = (embed(pixels, labels, perplexity=10, seed=s).points for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_neighbours_vote_without_the_point_itself():
    # Two heaps of 12; one point of the first has the second's label, so that its vote is lost.
    heaps = np.random.default_rng(0).normal(size=(24, 2))
    heaps[12:] += 100
    labels = np.repeat([3, 7], 12)
    assert neighbour_accuracy(heaps, labels) == 1
    labels[0] = 7
    assert neighbour_accuracy(heaps, labels) == 23 / 24


def test_features_are_what_the_head_reads(trained, small):
    features = hidden_features(trained, small.test.images[:20])
    assert features.shape == (20, 100)
    with torch.no_grad():
        logits = trained.network.head(torch.from_numpy(features))
    expected = trained.predict(small.test.images[:20])
    np.testing.assert_allclose(logits.softmax(1).numpy(), expected, atol=1e-5)


def test_untrained_network_is_the_one_that_training_started_from(trained, small):
    start = fit(find_recipe("decay+num-epochs=0"), small, seed=trained.seed)
    before = untrained(trained, small)
    assert_same_weights(before, start)
    for name, tensor in before.network.state_dict().items():
        assert not torch.equal(tensor, trained.network.state_dict()[name])


@pytest.mark.parametrize("fold", [None, 1])
def test_untrained_network_has_its_frozen_layer_as_the_training_set_gives_it(small, fold):
    data = set_aside(small, 100, fold) if fold is not None else small
    trained = fit(find_recipe("half-epoch"), data)
    frozen = untrained(trained, small).network.features[0].weight
    assert torch.equal(frozen, trained.network.features[0].weight)
    if fold is not None:
        with pytest.raises(PlotError, match="--data-dir"):
            untrained(dataclasses.replace(trained, data="of something else"), small)


def test_training_separates_the_digits(mnist, small, embedding):
    shipped, labels = load_model(SHIPPED_MODEL), small.test.labels
    before, after = (
        embed(hidden_features(network, small.test.images), labels, perplexity=20)
        for network in (untrained(shipped, mnist), shipped)
    )
    for other in (embedding, before):
        assert after.silhouette >= 2 * other.silhouette
        assert 1 - after.neighbour_accuracy <= (1 - other.neighbour_accuracy) / 4


@pytest.mark.parametrize(("samples", "perplexity"), [(90, 30), (10, 30), (1000, 1.5), (4, 2)])
def test_perplexity_must_fit_the_samples(samples, perplexity):
    with pytest.raises(PlotError, match="expected"):
        check_perplexity(samples, perplexity)


def test_the_least_number_of_samples_is_said_right():
    with pytest.raises(PlotError, match=r"got 8 samples .*at least 9"):
        check_perplexity(8, 2.5)
    check_perplexity(9, 2.5)


def test_just_enough_samples_are_enough(small):
    check_perplexity(91, 30)
    assert embed(raw_pixels(small.test.images[:91]), small.test.labels[:91]).points.shape == (91, 2)


def test_one_digit_has_nothing_to_separate(small):
    with pytest.raises(PlotError, match="100 samples of 1 digits"):
        embed(raw_pixels(small.test.images[:100]), np.zeros(100, int))


def test_embedding_says_how_far_it_is(small):
    calls = []
    embed(
        raw_pixels(small.test.images[:31]),
        small.test.labels[:31],
        perplexity=10,
        report=lambda: calls.append(1),
    )
    assert len(calls) == REPORTS
