import pytest
import torch

from mnist_classification.optimizers import Muon, build_optimizers, orthogonalize
from mnist_classification.recipes import RECIPES, find_recipe
from mnist_classification.training import fit


def test_orthogonalize_keeps_directions_and_evens_their_sizes():
    generator = torch.Generator().manual_seed(0)
    for shape in ((32, 144), (64, 25)):
        matrix = torch.randn(*shape, generator=generator)
        left, _, right = torch.linalg.svd(matrix, full_matrices=False)
        sizes = left.T @ orthogonalize(matrix) @ right.T
        off = sizes - sizes.diag().diag()
        assert off.abs().max() < 1e-4
        assert sizes.diag().min() > 0.4
        assert sizes.diag().max() < 1.3
        even = (left.T @ orthogonalize(matrix, steps=6) @ right.T).diag()
        assert 0.65 < even.min() < even.max() < 1.25


def test_muon_steps_by_a_share_of_the_filters_norm():
    filters = torch.nn.Parameter(torch.randn(16, 8, 3, 3).to(memory_format=torch.channels_last))
    optimizer = Muon([filters], lr=0.1, momentum=0.9)
    filters.grad = torch.randn_like(filters)
    scaled = filters.detach() * 4 / filters.detach().norm()  # √16
    optimizer.step()
    step = filters.detach() - scaled
    expected = orthogonalize(filters.grad.permute(0, 2, 3, 1).flatten(1) * 1.9)
    torch.testing.assert_close(step.permute(0, 2, 3, 1).flatten(1), -0.1 * expected)
    # Momentum: with the same gradient again it points the same way.
    before = filters.detach().clone()
    optimizer.step()
    again = filters.detach() - before * 4 / before.norm()
    torch.testing.assert_close(again, step, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["sgd", "vanilla"])
def test_optimizer_is_the_recipes(name):
    network = torch.nn.Linear(3, 2)
    (optimizer,) = build_optimizers(RECIPES[name], network)
    group = optimizer.param_groups[0]
    assert group["lr"] == RECIPES[name].learning_rate
    assert isinstance(optimizer, torch.optim.SGD if name == "sgd" else torch.optim.Adam)
    if name == "sgd":
        assert group["momentum"] == 0.9


def test_muon_takes_the_filters_and_leaves_the_frozen_layer(small):
    trained = fit(find_recipe("half-epoch"), small)
    whitened, learned = trained.network.features[0], trained.network.features[3]
    half = whitened.out_channels // 2
    assert torch.equal(whitened.weight[half:], -whitened.weight[:half])
    muon, adam = build_optimizers(RECIPES["half-epoch"], trained.network)
    assert [p.shape for p in muon.param_groups[0]["params"]] == [learned.weight.shape]
    assert len(adam.param_groups[0]["params"]) == 5  # its bias, and two linear layers
