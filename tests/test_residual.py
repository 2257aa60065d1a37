import torch
from torch import nn

from mnist_classification.model import build
from mnist_classification.recipes import find_recipe
from mnist_classification.residual import Residual, Zoom
from mnist_classification.training import fit


def test_zoom_keeps_the_middle_where_it_is_and_moves_the_rest_outwards():
    pixels = torch.zeros(1, 1, 28, 28)
    pixels[..., 13:15, 13:15] = 1
    pixels[..., 6, 13:15] = 1
    zoomed = Zoom()(pixels)
    assert zoomed.shape == pixels.shape
    rows = zoomed[0, 0, :, 13]
    assert (rows[13:15] == 1).all()
    assert rows[:8].argmax() == 5  # of 6: a pixel further out
    torch.testing.assert_close(zoomed, zoomed.flip(3))


def test_a_block_whose_convolutions_give_nothing_passes_on_what_is_above_zero():
    block = Residual(4).eval()
    for layer in block.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
    features = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(features), features.relu())


def test_the_network_takes_114_million_multiplications_a_third_at_each_size():
    network = build("residual-cnn", torch.Generator().manual_seed(0)).eval()
    counts: dict[int, int] = {}

    def count(layer, _given, made):
        side = made.shape[2]
        counts[side] = counts.get(side, 0) + layer.weight.numel() * side**2

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    network(torch.zeros(1, 1, 28, 28))
    assert list(counts) == [28, 14, 7]
    assert round(sum(counts.values()) / 1e6) == 114
    assert max(counts.values()) < 0.36 * sum(counts.values())


def test_its_recipe_learns(small):
    few = "ten-epochs+num-epochs=2+images-per-epoch=256+batch-size=16+learning-rate=0.001"
    trained = fit(find_recipe(few), small)
    first, last = (record["train_loss"] for record in trained.history)
    assert last < 0.8 * first
    assert trained.predict(small.test.images[:50]).shape == (50, 10)
