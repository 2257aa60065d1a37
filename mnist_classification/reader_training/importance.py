"""Which of MNIST's digits are hard: they are written more often (importance sampling).

    source.hands.importance = measure_importance(network, glyphs)

Most digits teach nothing any more when they have been seen some times. What is hard is asked of the
network that learns: how probable is its label to it when it is shown a digit by itself? That hard
images come back more often gives classifiers of single digits the same accuracy after half of the
images (docs/records.md).
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..reader.strips import HEIGHT
from .glyphs import SIDE, Glyphs
from .network import BLANK, LineNetwork

MORE_OFTEN = 8.0  # times, and once besides: a digit whose label is not probable at all
TALL = (27, 18)  # pixels of the strip's 32 that the ink takes
LENGTH = 48  # pixels of the strip
CHUNK = 500


@torch.no_grad()
def measure_importance(network: LineNetwork, glyphs: Glyphs, precision: str) -> Tensor:
    """Return how often each of MNIST's digits is to be written, 1 to 9, in its order: (N,) float32.

    Args:
        network: in evaluation mode.
        glyphs: whose first are MNIST's digits.
        precision: `bfloat16` or `float32`.
    """
    scanned = np.s_[: glyphs.num_scanned]
    grey, labels = torch.from_numpy(glyphs.grey[scanned]), torch.from_numpy(glyphs.kind[scanned])
    box = torch.from_numpy(glyphs.box[scanned])
    found = []
    for some in torch.arange(len(labels)).split(CHUNK):
        probable = torch.zeros(len(some))
        for tall in TALL:
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                steps = network(_to_strips(grey[some], box[some], tall))
            lengths = torch.full((len(some),), steps.shape[1])
            losses = F.ctc_loss(
                steps.transpose(0, 1),
                labels[some, None],
                lengths,
                torch.ones_like(lengths),
                blank=BLANK,
                reduction="none",
            )
            probable += torch.exp(-losses) / len(TALL)
        found.append(1 + MORE_OFTEN * (1 - probable))
    return torch.cat(found)


def _to_strips(grey: Tensor, box: Tensor, tall: int) -> Tensor:
    """Put each digit by itself into a strip: (N, 28, 28) → (N, 1, 32, 48), paper 0 and ink 1."""
    left, top, right, bottom = box.T
    scale = torch.maximum(bottom - top, 0.8 * (right - left)) / tall  # of its pixels, in a strip's
    grid = torch.zeros(len(grey), 2, 3)
    grid[:, 0, 0], grid[:, 1, 1] = scale * LENGTH / SIDE, scale * HEIGHT / SIDE
    grid[:, 0, 2], grid[:, 1, 2] = (left + right) / SIDE - 1, (top + bottom) / SIDE - 1
    places = F.affine_grid(grid, [len(grey), 1, HEIGHT, LENGTH], align_corners=False)
    return F.grid_sample(grey[:, None].float() / 255, places, align_corners=False)
