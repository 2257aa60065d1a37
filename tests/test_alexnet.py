"""ImageNet's weights become AlexNet's. It is large: one network, and one file of weights."""

import dataclasses

import pytest
import safetensors.torch
import torch
from torch import nn

from mnist_classification.alexnet import TORCHVISION, load_pretrained
from mnist_classification.errors import ModelError
from mnist_classification.recipes import find_recipe
from mnist_classification.training import fit, start

SHAPES = {
    "features.0": (64, 3, 11, 11),
    "features.3": (192, 64, 5, 5),
    "features.6": (384, 192, 3, 3),
    "features.8": (256, 384, 3, 3),
    "features.10": (256, 256, 3, 3),
    "classifier.1": (4096, 9216),
    "classifier.4": (4096, 4096),
    "classifier.6": (1000, 4096),
}


def write_weights(path, shapes):
    """Write a file with torchvision's names, and values of our own: each layer's its number."""
    tensors = {}
    for i, (name, shape) in enumerate(shapes.items()):
        tensors[f"{name}.weight"] = torch.full(shape, float(i))
        tensors[f"{name}.bias"] = torch.full(shape[:1], i + 0.5)
    safetensors.torch.save_file(tensors, path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = write_weights(tmp_path_factory.mktemp("weights") / "alexnet.safetensors", SHAPES)
    weights = load_pretrained(path, "alexnet")
    path.unlink()  # 250 MB
    return weights


@pytest.fixture(scope="module")
def network(weights, small):
    recipe, cpu = find_recipe("sgd-alexnet"), torch.device("cpu")
    return start(recipe, small.train[:2], 0, cpu, "float32", weights).network.eval()


def test_alexnet_starts_from_torchvisions_weights(network, weights):
    assert len(weights) == 2 * len(TORCHVISION)
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    for i, layer in enumerate(layers[:-1]):
        assert torch.all(layer.weight == i)
        assert torch.all(layer.bias == i + 0.5)
    last = layers[-1].weight.detach()  # is ours to learn: drawn from U(±1/√4096)
    assert last.shape == (10, 4096)
    assert last.abs().max().item() == pytest.approx(1 / 64, rel=0.01)
    assert last.std().item() == pytest.approx(1 / 64 / 3**0.5, rel=0.05)


def test_head_makes_the_logits_of_the_features(network):
    pixels = torch.rand(2, 1, 28, 28)
    torch.testing.assert_close(network.head(network.features(pixels)), network(pixels))


def test_alexnet_learns(small):
    part = dataclasses.replace(small, train=small.train[:4])
    trained = fit(find_recipe("decay-alexnet+num-epochs=2+learning-rate=0.01"), part)
    first, second = (record["train_loss"] for record in trained.history)
    assert second < first


def test_no_file_is_no_weights_for_any_network():
    assert load_pretrained(None, "alexnet") is None
    assert load_pretrained(None, "lenet") is None


def test_fit_starts_from_weights_by_name(small):
    bias = torch.arange(6.0)
    trained = fit(find_recipe("baseline"), small, weights={"features.0.bias": bias})
    plain = fit(find_recipe("baseline"), small)
    assert torch.equal(trained.network.features[0].bias, bias)
    assert torch.equal(trained.network.features[0].weight, plain.network.features[0].weight)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"features.3": (192, 64, 3, 3)},
            r"got \(192, 64, 3, 3\) for features\.3\.weight; expected",
        ),
        ({}, r"got nothing for classifier\.1\.weight; expected \(4096, 9216\)"),
    ],
)
def test_other_networks_weights_are_refused(tmp_path, change, message):
    convolutions = {name: shape for name, shape in SHAPES.items() if "features" in name}
    path = write_weights(tmp_path / "weights.safetensors", convolutions | change)
    with pytest.raises(ModelError, match=message):
        load_pretrained(path, "alexnet")


def test_files_that_hold_no_weights_are_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    with pytest.raises(ModelError, match="can't be read as safetensors"):
        load_pretrained(path, "alexnet")
    path.write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(ModelError, match="can't be read as safetensors"):
        load_pretrained(path, "alexnet")


def test_weights_are_for_alexnet_alone(tmp_path):
    with pytest.raises(ModelError, match=r"got pretrained weights for lenet; expected.* alexnet"):
        load_pretrained(tmp_path / "weights.safetensors", "lenet")
