"""Which images an epoch shows: any of them, or rather those that were hard when last shown.

    sampler = Sampler("importance", num_images=60_000, generator=generator)
    order = sampler.draw(15_000)                  # an epoch's images
    sampler.update(order, logits, labels, label_smoothing=0.1)

After some epochs most images teach nothing any more, and cost as much as the others. How much one
teaches is the length of the gradient at the logits: of what is cheap, the best guide to the length
of the whole gradient (Katharopoulos and Fleuret 2018, "Not all samples are created equal"). Here
it is known from the last time that the image was shown, and nothing is computed for images that
are not drawn (Loshchilov and Hutter 2015, "Online batch selection"). The loss is not reweighted:
to learn more from what is hard is meant.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import RunError

UNSEEN = 1e6  # not shown yet; as a weight, so large that nearly all are shown once before any again
LEAST = 1e-9  # where a network is so sure of all images that their gradients vanish
EASY = 0.5  # of the mean is added to each importance, so that easy images are shown now and then
MOST_IMAGES = 2**24  # that PyTorch draws by weight


def epoch_size(asked_for: int, available: int) -> int:
    """Return how many images an epoch shows; 0 asks for all, and there are no more than that."""
    return min(asked_for or available, available)


class Sampler:
    """Draws the images of each epoch, none of them twice.

    Processes that share a run each draw the same, as long as their processors round alike.

    Args:
        method: `uniform`; `importance`, which shows nearly all images once before any again; or
            `early-importance`, which takes one not shown yet to be as important as the others are
            on average, so that hard images come back from the second epoch on.
        generator: the source of all draws, on the CPU.

    Attributes:
        importance: (N,) float32 on the CPU, the length of the gradient at the logits when each
            image was last shown, 0 to √2; UNSEEN before. None if the draws are uniform.

    Raises:
        RunError: there are more images than can be drawn by importance.
    """

    def __init__(self, method: str, num_images: int, generator: torch.Generator):
        weighted = method != "uniform"
        if weighted and num_images > MOST_IMAGES:
            raise RunError(
                f"got {num_images:,} images; sampling by importance takes up to {MOST_IMAGES:,}; "
                f"try --sampling uniform"
            )
        self.num_images = num_images
        self.generator = generator
        self.early = method == "early-importance"
        self.importance = torch.full((num_images,), UNSEEN) if weighted else None

    def draw(self, count: int) -> Tensor:
        """Return the indices of an epoch's images, (count,) int64, in random order."""
        if self.importance is None:
            return torch.randperm(self.num_images, generator=self.generator)[:count]
        seen = self.importance < UNSEEN
        mean = self.importance[seen].mean() if seen.any() else torch.zeros(())
        importance = torch.where(seen, self.importance, mean) if self.early else self.importance
        chances = (importance + EASY * mean).clamp(min=LEAST)
        drawn = torch.multinomial(chances, count, generator=self.generator)  # the likeliest first
        return drawn[torch.randperm(count, generator=self.generator)]

    def update(self, order: Tensor, logits: Tensor, labels: Tensor, label_smoothing: float) -> None:
        """Note how much each image of an epoch taught.

        Args:
            order: (n,) indices, as drawn.
            logits: (n, 10), of each image as it was shown.
            labels: (n,) int64.
            label_smoothing: that of the loss.
        """
        if self.importance is None:
            return
        wanted = F.one_hot(labels, logits.shape[1]) * (1 - label_smoothing)
        gradients = logits.softmax(1) - wanted - label_smoothing / logits.shape[1]
        self.importance[order.cpu()] = gradients.norm(dim=1).cpu()
