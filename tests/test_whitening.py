import pytest
import torch
from torch import nn

from mnist_classification.errors import RecipeError
from mnist_classification.model import build, to_pixels
from mnist_classification.whitening import MaxPool, whiten


def test_max_pool_is_pytorchs():
    pixels = torch.randn(3, 5, 24, 24).to(memory_format=torch.channels_last)
    assert torch.equal(MaxPool()(pixels), nn.functional.max_pool2d(pixels, 2))


@pytest.mark.parametrize("network", ["deeper-cnn", "alexnet"])
def test_a_layer_with_more_filters_than_patches_have_components_is_refused(mnist, network):
    pixels = to_pixels(mnist.train.images[:50], 0.1307, 0.3081)
    with pytest.raises(RecipeError, match="try --whitening-images 0"):
        whiten(build(network, torch.Generator().manual_seed(0)), pixels)


def test_pixels_without_a_finite_covariance_are_refused():
    pixels = torch.full((4, 1, 28, 28), 1e30)
    with pytest.raises(RecipeError, match="no finite covariance"):
        whiten(nn.Sequential(nn.Conv2d(1, 4, 2)), pixels)


def test_whitened_filters_tell_patches_apart_equally_well(mnist):
    network = build("whitened-cnn", torch.Generator().manual_seed(0))
    pixels = to_pixels(mnist.train.images[:500], 0.1307, 0.3081)
    whiten(network, pixels, flat=0.0)
    layer = network.features[0]
    assert not any(parameter.requires_grad for parameter in layer.parameters())
    half = layer.out_channels // 2
    assert torch.equal(layer.weight[half:], -layer.weight[:half])
    answers = layer(pixels)[:, :half].transpose(0, 1).flatten(1)
    # Second moments of the answers: one each, and none that two filters share.
    torch.testing.assert_close(
        answers @ answers.T / answers.shape[1], torch.eye(half), rtol=0, atol=2e-3
    )
    frozen = layer.weight.clone()
    network(pixels[:8]).sum().backward()
    assert torch.equal(layer.weight, frozen)
