"""The optimizers of a recipe, with Muon for the filters of convolutions, which PyTorch lacks.

    optimizers = build_optimizers(recipe, network)
    optimizer = Muon([layer.weight for layer in convolutions], lr=0.07, momentum=0.85)

Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; that filters keep
their norm is from airbench (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU").
torch.optim.Muon takes matrices only.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from .recipes import Recipe

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # of Jordan: singular values come to about 1


def build_optimizers(recipe: Recipe, network: nn.Module) -> list[torch.optim.Optimizer]:
    """Return what changes the parameters; fused, so that a step is one call for all of them."""
    learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizers: list[torch.optim.Optimizer] = []
    if recipe.filter_learning_rate:
        filters = [parameter for parameter in learned if parameter.ndim == 4]
        learned = [parameter for parameter in learned if parameter.ndim != 4]
        optimizers.append(Muon(filters, recipe.filter_learning_rate, recipe.momentum))
    if recipe.optim == "adam":
        betas = recipe.momentum, recipe.adam_beta2
        optimizers.append(torch.optim.Adam(learned, recipe.learning_rate, betas, fused=True))
    else:
        optimizers.append(
            torch.optim.SGD(learned, recipe.learning_rate, recipe.momentum, fused=True)
        )
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


class Muon(torch.optim.Optimizer):
    """Momentum, made orthogonal before each step: all directions of a layer learn equally fast.

    Args:
        filters: (out, in, height, width) each; kept at the norm √out, so that a step of `lr` is
            relative to their size.
    """

    def __init__(self, filters: Iterable[Tensor], lr: float, momentum: float):
        super().__init__(list(filters), {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Change every filter by its gradient."""
        for group in self.param_groups:
            for filters in group["params"]:
                state = self.state[filters]
                if not state:
                    state["momentum"] = torch.zeros_like(filters)
                momentum = state["momentum"].mul_(group["momentum"]).add_(filters.grad)
                update = torch.add(filters.grad, momentum, alpha=group["momentum"])  # Nesterov
                # Out of the channels-last layout without a copy: the order of columns is free.
                columns = update.permute(0, 2, 3, 1)
                update = orthogonalize(columns.flatten(1)).view(columns.shape).permute(0, 3, 1, 2)
                filters.mul_(len(filters) ** 0.5 / filters.norm()).sub_(group["lr"] * update)


def orthogonalize(matrix: Tensor, steps: int = 3) -> Tensor:
    """Return the (rows, columns) matrix with its large singular values moved to 0.7 to 1.2.

    A quintic Newton-Schulz iteration; three steps are rough, and enough for a direction: values
    far below the largest one grow some 40-fold and stay small.
    """
    a, b, c = NEWTON_SCHULZ
    wide = matrix.T if len(matrix) > matrix.shape[1] else matrix
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(steps):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide.T if len(matrix) > matrix.shape[1] else wide
