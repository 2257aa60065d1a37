import pytest
import torch
from torch import nn

from mnist_classification.errors import RecipeError
from mnist_classification.model import NETWORKS, build, check_network, to_pixels
from mnist_classification.recipes import RECIPES

PARAMETERS = {
    "lenet": 44_426,
    "deeper-cnn": 159_254,
    "deeper-cnn-batch-norm": 159_574,
    "even-deeper-cnn": 483_094,
    "whitened-cnn": 215_914,
    "whitened-batch-norm-cnn": 74_938,
    "wider-whitened-cnn": 126_122,
    "late-pooled-cnn": 232_394,
    "residual-cnn": 654_090,
    "late-pooled-residual-cnn": 1_135_466,
    "wider-late-residual-cnn": 1_186_698,
    "alexnet": 57_044_810,
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", NETWORKS)
def test_network_has_its_parameters_and_shapes(name):
    with torch.device("meta"):  # shapes alone: AlexNet is large
        network = NETWORKS[name]().eval()
        pixels = torch.rand(3, 1, 28, 28)
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name]
    assert network.features(pixels).ndim == 2
    assert network(pixels).shape == (3, 10)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "alexnet"])
def test_head_makes_the_logits_of_the_features(name):
    network = build(name, generator()).eval()
    pixels = torch.rand(3, 1, 28, 28)
    logits = network(pixels)
    assert logits.isfinite().all()
    torch.testing.assert_close(network.head(network.features(pixels)), logits)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_recipes_network_exists(recipe):
    assert recipe.network in NETWORKS
    check_network(recipe.network)


def test_last_hidden_layer_of_the_deeper_cnn_has_100_outputs_before_its_activation():
    features = build("deeper-cnn", generator()).features(torch.rand(50, 1, 28, 28))
    assert features.shape == (50, 100)
    assert (features < 0).any()


@pytest.mark.parametrize("name", ["lenet", "deeper-cnn"])
def test_initial_weights_follow_the_seed_and_not_the_global_generator(name):
    torch.manual_seed(1)
    first = build(name, generator())
    torch.manual_seed(2)
    again, other = build(name, generator()), build(name, generator(1))
    for a, b, c in zip(first.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_building_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    build("lenet", generator())
    assert torch.equal(torch.get_rng_state(), state)


def test_initial_weights_are_distributed_as_pytorchs_own():
    ours = build("deeper-cnn", generator())
    theirs = NETWORKS["deeper-cnn"]()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        if a.numel() > 1000:
            assert a.std().item() == pytest.approx(b.std().item(), rel=0.1)
            assert a.abs().max().item() == pytest.approx(b.abs().max().item(), rel=0.05)


def test_pooling_before_relu_gives_the_outputs_and_gradients_of_the_usual_order():
    network = build("deeper-cnn", generator())
    usual = nn.Sequential(
        *[nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2)],
        *[nn.Conv2d(32, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.MaxPool2d(2)],
        *[nn.Flatten(), nn.Linear(1024, 100), nn.ReLU(), nn.Linear(100, 10)],
    )
    for ours, theirs in zip(network.parameters(), usual.parameters(), strict=True):
        theirs.data.copy_(ours)
    pixels = torch.rand(16, 1, 28, 28, generator=generator())
    a, b = network(pixels), usual(pixels)
    torch.testing.assert_close(a, b)
    a.square().sum().backward()
    b.square().sum().backward()
    for ours, theirs in zip(network.parameters(), usual.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-4)


def test_pixels_are_normalised(mnist):
    pixels = to_pixels(mnist.test.images[:7], 0.5, 0.5)
    assert pixels.shape == (7, 1, 28, 28)
    assert (pixels.min().item(), pixels.max().item()) == (-1.0, 1.0)
    assert to_pixels(mnist.test.images[:7], 0.0, 1.0).max().item() == 1.0


def test_unknown_network_gets_the_nearest_name():
    for refuse in (check_network, lambda name: build(name, generator())):
        with pytest.raises(RecipeError, match="unknown network 'lennet'; did you mean 'lenet'"):
            refuse("lennet")
