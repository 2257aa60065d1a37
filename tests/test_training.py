import dataclasses

import numpy as np
import pytest
import torch
from conftest import assert_same_weights

from mnist_classification.data import Mnist
from mnist_classification.errors import ModelError, RunError
from mnist_classification.model import NETWORKS, build, to_pixels
from mnist_classification.progress import Silent
from mnist_classification.recipes import RECIPES, find_recipe
from mnist_classification.training import fit, schedule

# AlexNet's 57 million parameters take minutes; its network is tested in test_model.py.
LARGE = {"alexnet"}  # it learns in test_alexnet.py
TRAINABLE = [name for name, recipe in RECIPES.items() if recipe.network not in LARGE]


@pytest.fixture(scope="module")
def tiny(small) -> Mnist:
    """160 training and 100 test images: enough where nothing has to be learned."""
    return dataclasses.replace(small, train=small.train[:160], test=small.test[:100])


@pytest.mark.parametrize("name", TRAINABLE)
def test_every_recipe_learns(small, name):
    recipe = find_recipe(name)
    if recipe.num_epochs:
        recipe = dataclasses.replace(recipe, num_epochs=2)
    # Those with a large step need more of them.
    images = 200 if recipe.loss_reduction == "sum" else 450
    trained = fit(recipe, dataclasses.replace(small, train=small.train[:images]))
    assert [record["epoch"] for record in trained.history] == list(range(1, recipe.num_epochs + 1))
    probabilities = trained.predict(small.test.images[:20])
    assert probabilities.shape == (20, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    if recipe.num_epochs:
        assert trained.history[1]["train_loss"] < trained.history[0]["train_loss"]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_two_epochs_of_real_images_read_most_digits(mnist, precision):
    part = dataclasses.replace(mnist, train=mnist.train[:4000])
    # A small network: where the processor has no bfloat16, a convolution takes ten times as long.
    recipe = find_recipe("decay+network=lenet+num-epochs=2+learning-rate=0.003")
    trained = fit(recipe, part, precision=precision)
    digits = trained.predict(mnist.test.images[:1000]).argmax(axis=1)
    assert (digits == mnist.test.labels[:1000]).mean() > 0.9


@pytest.mark.parametrize("name", ["vanilla", "decay", "sgd-rotation", "sgd-batch-norm"])
def test_same_seed_same_bits_another_seed_others(tiny, name):
    recipe = find_recipe(name + "+num-epochs=1")
    first, again, other = fit(recipe, tiny), fit(recipe, tiny), fit(recipe, tiny, seed=1)
    assert_same_weights(first, again)
    assert not torch.equal(*(next(t.network.parameters()) for t in (first, other)))


def test_training_follows_plain_pytorch(small):
    """The loop, fused and in channels-last, against the textbook's, step by step."""
    trained = fit(find_recipe("decay+num-epochs=1"), small, precision="float32")
    generator = torch.Generator().manual_seed(0)
    network = build("deeper-cnn", generator).to(memory_format=torch.contiguous_format)
    torch.randint(2**62, (), generator=generator)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)
    pixels = to_pixels(small.train.images, 0.5, 0.5)
    labels = torch.tensor(small.train.labels).long()
    for step, batch in enumerate(torch.randperm(640, generator=generator).split(32)):
        optimizer.param_groups[0]["lr"] = 0.001 * (1 - step / 20)
        loss = torch.nn.functional.cross_entropy(
            network(pixels[batch]), labels[batch], reduction="sum"
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for ours, theirs in zip(trained.network.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def with_dropout():
    network = NETWORKS["lenet"]()
    network.head.insert(0, torch.nn.Dropout())
    return network


def test_dropout_follows_the_seed_too(small, monkeypatch):
    """No recipe but AlexNet's has dropout, and that one is too large to train here."""

    monkeypatch.setitem(NETWORKS, "deeper-cnn", with_dropout)
    recipe = find_recipe("sgd+num-epochs=2")
    first = fit(recipe, small)
    torch.rand(7)  # whatever else draws from the global generator in between
    assert_same_weights(first, fit(recipe, small))


def test_averaged_loss_divides_sgds_steps_by_the_batch_size(small):
    # 32 times the rate with the averaged loss is the rate with the summed one.
    summed = fit(find_recipe("sgd+num-epochs=1"), small, precision="float32")
    averaged = fit(
        find_recipe("sgd+num-epochs=1+loss-reduction=mean+learning-rate=0.032"),
        small,
        precision="float32",
    )
    for a, b in zip(summed.network.parameters(), averaged.network.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_learning_rate_falls_linearly_to_zero():
    decay = RECIPES["decay"]
    shares = [schedule(decay, step, 100) for step in (0, 25, 50, 99)]
    assert shares == pytest.approx([1, 0.75, 0.5, 0.01])
    assert schedule(RECIPES["sgd"], 90, 100) == 1


def test_learning_rate_may_rise_first():
    recipe = find_recipe("decay+warmup-share=0.25")
    shares = [schedule(recipe, step, 16) for step in (0, 1, 3, 4, 10)]
    assert shares == pytest.approx([0.25, 0.5, 1, 1, 0.5])
    odd = find_recipe("decay+warmup-share=0.3")  # 2.1 of 7 steps
    assert max(schedule(odd, step, 7) for step in range(7)) <= 1


def test_an_epoch_may_be_a_part_of_the_images(tiny):
    lengths = []

    class Steps(Silent):
        def step(self, images_done, loss):
            lengths.append(images_done)

    fit(find_recipe("decay+num-epochs=2+images-per-epoch=100"), tiny, progress=Steps())
    assert lengths == [32, 64, 96, 100] * 2
    whole = fit(find_recipe("decay+num-epochs=1"), tiny)
    assert_same_weights(whole, fit(find_recipe("decay+num-epochs=1+images-per-epoch=99999"), tiny))


def test_smoothed_labels_keep_the_network_from_being_sure(small):
    sharp, smooth = (
        fit(find_recipe(f"lr-0.0005+num-epochs=6{change}"), small).predict(small.test.images).max()
        for change in ("", "+label-smoothing=0.5")
    )
    assert smooth < 0.8 < sharp


def test_last_batch_may_be_smaller(small):
    part = dataclasses.replace(small, train=small.train[:100])
    assert fit(find_recipe("sgd+num-epochs=1"), part).history[0]["train_loss"] > 0


def test_history_has_the_holdout_only_where_there_is_one(tiny):
    recipe = find_recipe("decay+num-epochs=2")
    keys = {"epoch", "train_loss", "train_accuracy", "learning_rate", "seconds"}
    assert set(fit(recipe, tiny).history[0]) == keys
    data = Mnist(tiny.train, tiny.test, tiny.test, tiny.sha256, tiny.directory)
    trained = fit(recipe, data)
    assert set(trained.history[0]) == keys | {"holdout_accuracy"}
    digits = trained.predict(tiny.test.images).argmax(axis=1)
    assert trained.history[-1]["holdout_accuracy"] == (digits == tiny.test.labels).mean()


def test_looking_at_the_holdout_changes_nothing(tiny):
    data = Mnist(tiny.train, tiny.test, tiny.test, tiny.sha256, tiny.directory)
    recipe = find_recipe("decay-batch-norm+num-epochs=2")
    assert_same_weights(fit(recipe, tiny), fit(recipe, data))


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(small):
    with pytest.raises(
        RunError, match=r"non-finite loss at step [23] of 20; try a --learning-rate below 1000"
    ):
        fit(find_recipe("sgd+num-epochs=1+learning-rate=1000"), small)


def test_weights_that_the_last_step_makes_infinite_stop_the_run_too(small):
    recipe = "sgd+num-epochs=1+images-per-epoch=32+learning-rate="
    with pytest.raises(RunError, match=r"non-finite weights; try a --learning-rate below"):
        fit(find_recipe(recipe + "3e38"), small)
    trained = fit(find_recipe(recipe + "1e38"), small)  # of weights that are finite, just so
    with pytest.raises(ModelError, match="got outputs that are not finite"):
        trained.predict(small.test.images)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "gpu"}, "got device 'gpu'"),
        ({"precision": "half"}, "got precision 'half'"),
        ({"seed": -1}, "got seed -1"),
        ({"seed": 2**70}, "got seed"),
    ],
)
def test_unknown_options_are_refused(small, options, message):
    with pytest.raises(RunError, match=message):
        fit(RECIPES["sgd"], small, **options)


def test_fit_leaves_torchs_global_state_as_it_was(small, monkeypatch):
    monkeypatch.setitem(NETWORKS, "deeper-cnn", with_dropout)  # draws from the global generator
    flags = torch.backends.cudnn
    with flags.flags(deterministic=False, benchmark=True, allow_tf32=True):
        state = torch.get_rng_state()
        fit(find_recipe("sgd+num-epochs=1"), small)
        with pytest.raises(RunError, match="non-finite"):
            fit(find_recipe("sgd+num-epochs=1+learning-rate=1e38"), small)
        assert torch.equal(torch.get_rng_state(), state)
        assert (flags.deterministic, flags.benchmark, flags.allow_tf32) == (False, True, True)


def test_warm_up_starts_above_zero_and_reaches_the_whole_rate():
    recipe = find_recipe("half-epoch")
    rates = [schedule(recipe, step, 200) for step in range(200)]
    assert rates[0] == 1 / 50
    assert rates[49] == rates[50] == 1.0
    assert all(rate > 0 for rate in rates)
    assert rates[199] == pytest.approx(1 / 150)


def test_without_warm_up_the_rate_falls_from_the_first_step():
    recipe = find_recipe("decay")
    assert [schedule(recipe, step, 4) for step in range(4)] == [1.0, 0.75, 0.5, 0.25]
