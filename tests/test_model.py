import pytest
import safetensors.torch
import torch
from torch import nn

from mnist_classification.alexnet import load_pretrained
from mnist_classification.errors import ModelError, RecipeError
from mnist_classification.model import NETWORKS, build, to_pixels
from mnist_classification.trained import predict
from mnist_classification.whitening import MaxPool, whiten

PARAMETERS = {
    "lenet": 44_426,
    "deeper-cnn": 159_254,
    "deeper-cnn-batch-norm": 159_574,
    "even-deeper-cnn": 483_094,
    "reader-cnn": 144_618,
    "whitened-cnn": 215_914,
    "whitened-batch-norm-cnn": 74_938,
    "wider-whitened-cnn": 126_122,
    "alexnet": 57_044_810,
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", NETWORKS)
def test_network_has_its_parameters_and_shapes(name):
    network = build(name, generator()).eval()
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name]
    pixels = torch.rand(3, 1, 28, 28)
    assert network(pixels).shape == (3, 10)
    features = network.features(pixels)
    assert features.ndim == 2
    torch.testing.assert_close(network.head(features), network(pixels))


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


def test_predict_does_not_depend_on_the_batch_size():
    network = build("deeper-cnn-batch-norm", generator())
    pixels = torch.rand(11, 1, 28, 28)
    torch.testing.assert_close(predict(network, pixels, 3), predict(network, pixels, 11))


def test_unknown_network_gets_the_nearest_name():
    with pytest.raises(RecipeError, match="unknown network 'lennet'; did you mean 'lenet'"):
        build("lennet", generator())


def alexnet_weights(path, **changes):
    """Write a file with torchvision's names and shapes, and values of our own."""
    shapes = {
        "features.0": (64, 3, 11, 11),
        "features.3": (192, 64, 5, 5),
        "features.6": (384, 192, 3, 3),
        "features.8": (256, 384, 3, 3),
        "features.10": (256, 256, 3, 3),
        "classifier.1": (4096, 9216),
        "classifier.4": (4096, 4096),
        "classifier.6": (1000, 4096),
    } | changes
    tensors = {}
    for i, (name, shape) in enumerate(shapes.items()):
        tensors[f"{name}.weight"] = torch.full(shape, float(i))
        tensors[f"{name}.bias"] = torch.full(shape[:1], i + 0.5)
    safetensors.torch.save_file(tensors, path)
    return path


def test_alexnet_starts_from_torchvisions_weights(tmp_path):
    network = build("alexnet", generator())
    last = network.head[-1].weight.clone()
    load_pretrained(network, alexnet_weights(tmp_path / "alexnet.safetensors"))
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    for i, layer in enumerate(layers[:-1]):
        assert torch.all(layer.weight == i)
        assert torch.all(layer.bias == i + 0.5)
    assert torch.equal(network.head[-1].weight, last)


def test_wrong_pretrained_weights_are_refused(tmp_path):
    network = build("alexnet", generator())
    path = tmp_path / "weights.safetensors"
    with pytest.raises(ModelError, match="can't be read"):
        load_pretrained(network, path)
    path.write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(ModelError, match="can't be read as safetensors"):
        load_pretrained(network, path)
    wrong = {"features.3": (192, 64, 3, 3)}
    with pytest.raises(
        ModelError, match=r"got \(192, 64, 3, 3\) for features\.3\.weight; expected"
    ):
        load_pretrained(network, alexnet_weights(path, **wrong))
    with pytest.raises(ModelError, match="expected alexnet"):
        load_pretrained(build("lenet", generator()), path)


def test_max_pool_is_pytorchs():
    pixels = torch.randn(3, 5, 24, 24).to(memory_format=torch.channels_last)
    assert torch.equal(MaxPool()(pixels), nn.functional.max_pool2d(pixels, 2))


def test_whitened_filters_tell_patches_apart_equally_well(mnist):
    network = build("whitened-cnn", generator())
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


def test_unsure_images_are_read_with_their_shifts(mnist):
    network = build("lenet", generator())
    pixels = to_pixels(mnist.test.images[:50], 0.5, 0.5)
    plain = predict(network, pixels)
    first, second = plain.topk(2).values.unbind(1)
    margin = (first - second).median().item()
    shifted = predict(network, pixels, unsure_margin=margin)
    sure = first - second >= margin
    assert 0 < sure.sum() < 50
    assert torch.equal(shifted[sure], plain[sure])
    moved = [pixels[~sure], *(pixels[~sure].roll(s, a) for s in (1, -1) for a in (2, 3))]
    mean = torch.stack([predict(network, views) for views in moved]).mean(dim=0)
    torch.testing.assert_close(shifted[~sure], mean)
    assert torch.equal(predict(network, pixels, unsure_margin=1e-9), plain)  # none is unsure
