"""What is known of a trained network: its predictions, and itself once it is saved."""

import errno
import json
import os
import shutil
import warnings

import numpy as np
import pytest
import torch
from conftest import assert_same_weights, run_command
from PIL import Image

from mnist_classification.device import environment
from mnist_classification.errors import DataError, ModelError, RunError
from mnist_classification.model import build, to_pixels
from mnist_classification.recipes import find_recipe
from mnist_classification.shipped import SHIPPED_MODEL
from mnist_classification.trained import Trained, load_model, model_card, predict
from mnist_classification.training import fit


def test_predict_does_not_depend_on_the_batch_size():
    network = build("deeper-cnn-batch-norm", torch.Generator().manual_seed(0))
    pixels = torch.rand(11, 1, 28, 28)
    torch.testing.assert_close(predict(network, pixels, 3), predict(network, pixels, 11))


@pytest.mark.parametrize("moves", [0, 4, 8])
def test_unsure_images_are_read_with_their_shifts(mnist, moves):
    network = build("lenet", torch.Generator().manual_seed(0))
    pixels = to_pixels(mnist.test.images[:50], 0.5, 0.5)
    plain = predict(network, pixels)
    first, second = plain.topk(2).values.unbind(1)
    margin = (first - second).median().item()
    shifted = predict(network, pixels, unsure_margin=margin, unsure_moves=moves)
    sure = first - second >= margin
    assert 0 < sure.sum() < 50
    assert torch.equal(shifted[sure], plain[sure])
    steps = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    steps.sort(key=lambda step: abs(step[0]) + abs(step[1]))  # itself, sides, corners
    moved = [pixels[~sure].roll(step, (2, 3)) for step in steps[: 1 + moves]]
    mean = torch.stack([predict(network, views) for views in moved]).mean(dim=0)
    torch.testing.assert_close(shifted[~sure], mean)
    assert torch.equal(predict(network, pixels, unsure_margin=1e-9), plain)  # none is unsure


def test_model_survives_the_disk(small, tmp_path):
    trained = fit(find_recipe("decay+num-epochs=1"), small, seed=3)
    trained.test_accuracy = 0.5
    trained.save(tmp_path / "a" / "model")
    loaded = load_model(tmp_path / "a" / "model")
    assert_same_weights(trained, loaded)
    assert (loaded.recipe, loaded.seed, loaded.history) == (trained.recipe, 3, trained.history)
    assert loaded.test_accuracy == 0.5
    assert (loaded.predict(small.test.images) == trained.predict(small.test.images)).all()
    flipped = small.test.images[:, :, ::-1]
    assert (loaded.predict(flipped) == trained.predict(flipped.copy())).all()
    for images in (small.test.images / 255, small.test.images[0], small.test.images[:, None]):
        with pytest.raises(DataError, match=r"expected \(N, 28, 28\) uint8"):
            loaded.predict(images)


@pytest.fixture
def always_warn():
    """PyTorch warns once per process unless it is told otherwise."""
    torch.set_warn_always(True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    torch.set_warn_always(False)


@pytest.mark.usefixtures("always_warn")
def test_images_may_be_read_only():
    image = Image.new("L", (28, 28), 255)
    images = np.asarray(image)[None]
    assert not images.flags.writeable
    probabilities = load_model(SHIPPED_MODEL).predict(images)
    assert (probabilities == load_model(SHIPPED_MODEL).predict(images.copy())).all()
    assert (images == 255).all()


def test_loading_and_predicting_leave_the_global_generator_alone():
    state = torch.get_rng_state()
    load_model(SHIPPED_MODEL).predict(np.zeros((1, 28, 28), np.uint8))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.fixture
def model(small, tmp_path):
    Trained(
        fit(find_recipe("baseline"), small).network,
        find_recipe("baseline"),
        seed=0,
        precision="float32",
        data=small.fingerprint,
    ).save(tmp_path / "model")
    return tmp_path / "model"


def edit_config(model, **changes):
    path = model / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda m: shutil.rmtree(m), "no model here"),
        (lambda m: (m / "model.safetensors").unlink(), "no model here.*model.safetensors"),
        (lambda m: (m / "config.json").write_text("{"), "config.json: not JSON"),
        (lambda m: (m / "config.json").write_text("[1]"), "not a model of ours"),
        (lambda m: (m / "config.json").write_text(100_000 * "["), "not JSON: .*recursion"),
        (lambda m: edit_config(m, recipe=[]), "not a model of ours"),
        (lambda m: (m / "config.json").write_bytes(b"\x80\x04K\x01."), "not JSON"),
        (lambda m: edit_config(m, version=9), "version 9; expected 1"),
        (lambda m: edit_config(m, sha256="0"), "SHA-256"),
        (lambda m: edit_config(m, recipe={"name": "x"}), "not a model of ours"),
        (lambda m: (m / "model.safetensors").write_bytes(b"\x80\x04K\x01."), "SHA-256"),
    ],
)
def test_names_what_is_wrong_with_a_model(model, break_it, message):
    break_it(model)
    with pytest.raises(ModelError, match=message) as error:
        load_model(model)
    assert "\n" not in str(error.value)


def test_weights_of_another_network_are_refused(model, small, tmp_path):
    fit(find_recipe("decay+num-epochs=0"), small).save(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "model.safetensors", model)
    config = json.loads((tmp_path / "other" / "config.json").read_text())
    edit_config(model, sha256=config["sha256"])
    with pytest.raises(ModelError, match="not a model of ours"):
        load_model(model)


def test_predictions_are_in_the_precision_of_training_unless_another_is_asked_for(small):
    trained = fit(find_recipe("decay+num-epochs=1"), small, precision="bfloat16")
    images = small.test.images[:50]
    assert (trained.predict(images) == trained.predict(images, "bfloat16")).all()
    assert (trained.predict(images) != trained.predict(images, "float32")).any()


@pytest.mark.parametrize("holdout", [0, 100])
def test_card_says_what_was_judged_and_how_to_use_it(small, holdout):
    trained = fit(find_recipe("baseline"), small)
    trained.holdout = holdout
    card = model_card(trained, "Accuracy 12.3%", environment(torch.device("cpu")))
    assert "# baseline, seed 0" in card
    assert "Accuracy 12.3%. " in card
    assert ("100 training images that were set aside" in card) == bool(holdout)
    assert ("` scores the test set." in card) == bool(holdout)
    assert ("The test set was scored once" in card) != bool(holdout)
    assert "44,426 parameters" in card
    assert "| batch_size | 128 |" in card


def test_a_model_predicts_in_the_precision_it_was_trained_in(small):
    recipe = find_recipe("vanilla+num-epochs=0")
    network = build(recipe.network, torch.Generator().manual_seed(0))
    trained = {p: Trained(network, recipe, 0, p, "") for p in ("float32", "bfloat16")}
    images = small.test.images[:50]
    ours = {p: trained[p].predict(images) for p in trained}
    assert not np.array_equal(ours["float32"], ours["bfloat16"])
    for precision, probabilities in ours.items():
        for other in trained.values():  # and --precision overrides it
            assert np.array_equal(other.predict(images, precision), probabilities)


def test_a_model_that_cannot_be_written_leaves_the_one_before(model, small, monkeypatch):
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    write = os.fsync
    left = [1]  # one file is written, and then there is no room

    def fail(descriptor):
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left.pop()
        write(descriptor)

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(RunError, match="nothing was replaced"):
        fit(find_recipe("decay+num-epochs=0"), small).save(model)
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before


def test_asking_about_another_data_set_is_said(model, small_dir, mnist, caplog):
    assert run_command("evaluate", model, "--data-dir", mnist.directory).returncode == 0
    assert caplog.text == ""
    assert run_command("evaluate", model, "--data-dir", small_dir).returncode == 0
    assert f"{model}: learned from another data set than this" in caplog.text
