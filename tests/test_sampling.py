import pytest
import torch
import torch.nn.functional as F

from mnist_classification.errors import RunError
from mnist_classification.sampling import Sampler


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def one_hot_logits(digits: torch.Tensor, size: float) -> torch.Tensor:
    return size * F.one_hot(digits, 10).float()


def test_uniform_draws_are_a_random_permutation():
    sampler = Sampler("uniform", 50, generator())
    expected = generator()
    for count in (50, 20):
        drawn = sampler.draw(count)
        assert torch.equal(drawn, torch.randperm(50, generator=expected)[:count])
        sampler.update(drawn, torch.randn(count, 10), drawn % 10, 0.1)
        assert sampler.importance is None


def test_each_image_is_shown_once_before_any_is_shown_again():
    sampler = Sampler("importance", 100, generator())
    shown = []
    for count in (40, 40, 20):
        drawn = sampler.draw(count)
        assert not torch.equal(drawn, drawn.sort().values)
        sampler.update(drawn, torch.randn(count, 10), drawn % 10, 0.1)
        shown += drawn.tolist()
    assert sorted(shown) == list(range(100))


def test_early_importance_takes_images_not_shown_yet_as_of_average_importance():
    sampler = Sampler("early-importance", 4000, generator())
    first = sampler.draw(1000)
    assert len(first.unique()) == 1000
    labels = first % 10
    hard = torch.arange(1000) < 100
    read = torch.where(hard, (labels + 1) % 10, labels)
    sampler.update(first, one_hot_logits(read, 10.0), labels, 0.0)
    counts = torch.zeros(4000)
    for _ in range(100):
        counts[sampler.draw(400)] += 1
    unseen = torch.ones(4000, dtype=torch.bool)
    unseen[first] = False
    # Importance √2, a tenth of that, and nothing, each with half of the mean added: 21 to 3 to 1.
    assert counts[first[hard]].mean() > 4 * counts[unseen].mean()
    assert 2 < counts[unseen].mean() / counts[first[~hard]].mean() < 4


def test_hard_images_come_back_more_often_and_easy_ones_now_and_then():
    sampler = Sampler("importance", 1000, generator())
    labels = torch.arange(1000) % 10
    read = torch.where(torch.arange(1000) < 100, (labels + 1) % 10, labels)  # 100 are misread
    sampler.update(torch.arange(1000), one_hot_logits(read, 10.0), labels, 0.0)
    draws, places = torch.zeros(1000), []
    for _ in range(100):
        drawn = sampler.draw(250)
        assert len(drawn.unique()) == 250
        draws[drawn] += 1
        places += (drawn < 100).nonzero().flatten().tolist()
    assert draws[:100].mean() > 80  # of 100
    assert 14 < draws[100:].mean() < 30
    assert draws[100:].min() > 0
    assert 120 < sum(places) / len(places) < 130  # in random order, not the likeliest first


def test_importance_is_the_length_of_the_gradient_at_the_logits():
    torch.manual_seed(0)
    logits = torch.randn(7, 10, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 3, 4, 5, 9])
    loss = F.cross_entropy(logits, labels, label_smoothing=0.1, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, logits)
    sampler = Sampler("importance", 9, generator())
    order = torch.tensor([8, 0, 1, 2, 3, 4, 5])
    sampler.update(order, logits.detach(), labels, 0.1)
    torch.testing.assert_close(sampler.importance[order], gradient.norm(dim=1))


@pytest.mark.parametrize("method", ["importance", "early-importance"])
@pytest.mark.parametrize("seen", [20, 12])
def test_a_network_that_is_sure_of_everything_can_go_on(method, seen):
    sampler = Sampler(method, 20, generator())
    labels = torch.arange(seen) % 10
    sampler.update(torch.arange(seen), one_hot_logits(labels, 1000.0), labels, 0.0)
    assert sampler.importance[:seen].max() == 0
    assert len(sampler.draw(20).unique()) == 20


@pytest.mark.parametrize("method", ["importance", "early-importance"])
def test_too_many_images_for_draws_by_importance_are_refused(method):
    with pytest.raises(RunError, match=r"16,777,217 images; .* up to 16,777,216; try --sampling"):
        Sampler(method, 2**24 + 1, generator())
    Sampler("uniform", 2**24 + 1, generator())
