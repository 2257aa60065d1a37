import torch

from mnist_classification.optimizers import Muon, orthogonalize


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
