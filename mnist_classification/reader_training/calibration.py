"""Make a network's probabilities mean what they say, and find when it should not be sure.

    found = calibrate(trained, data.holdout)
    found.temperature, found.threshold

Guo et al. 2017, "On calibration of modern neural networks". The hold-out images are changed as the
recipe changes training images: pictures that people take differ from MNIST at least as much.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from ..augment import augment
from ..data import Examples
from ..errors import ModelError
from ..model import to_pixels
from ..reader.classifier import softmax
from ..trained import Trained, predict

RIGHT_IF_SURE = 0.995


@dataclass(frozen=True)
class Calibration:
    """What was chosen on one half of the hold-out, and how it does on the other.

    Attributes:
        temperature: divides the logits.
        threshold: from this probability on, 99.5% of the first half's digits are right.
        coverage, right_if_sure: share of the other half that reaches the threshold, and the share
            of that that is right.
        error_before, error: expected calibration error without and with the temperature, on the
            other half.
    """

    temperature: float
    threshold: float
    coverage: float
    right_if_sure: float
    error_before: float
    error: float


def calibrate(trained: Trained, holdout: Examples, *, seed: int = 0) -> Calibration:
    """Fit the temperature and choose the threshold on half of the images, and judge on the rest.

    Both halves have digits of both groups of MNIST's writers: pairs of images go to them in turn.

    Raises:
        ModelError: no threshold makes the network right often enough.
    """
    recipe = trained.recipe
    pixels = to_pixels(holdout.images, recipe.pixel_mean, recipe.pixel_std)
    paper = -recipe.pixel_mean / recipe.pixel_std
    generator = torch.Generator().manual_seed(seed)
    pixels = augment(pixels, recipe.augment, paper=paper, generator=generator)
    device = next(trained.network.parameters()).device
    logits = predict(trained.network, pixels.to(device)).cpu().numpy()
    chosen = np.arange(len(holdout)) % 4 < 2
    labels, rest = holdout.labels[chosen], holdout.labels[~chosen]
    temperature = fit_temperature(logits[chosen], labels)
    threshold = choose_threshold(softmax(logits[chosen] / temperature), labels)
    before, after = softmax(logits[~chosen]), softmax(logits[~chosen] / temperature)
    sure = after.max(axis=1) >= threshold
    right = after.argmax(axis=1) == rest
    return Calibration(
        temperature,
        threshold,
        coverage=float(sure.mean()),
        right_if_sure=float(right[sure].mean()) if sure.any() else float("nan"),
        error_before=calibration_error(before, rest),
        error=calibration_error(after, rest),
    )


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature with the least cross-entropy, for (N, 10) logits and (N,) labels."""

    def cross_entropy(log_temperature: float) -> float:
        probabilities = softmax(logits / np.exp(log_temperature))
        return -np.log(probabilities[np.arange(len(labels)), labels] + 1e-12).mean()

    return float(np.exp(minimize_scalar(cross_entropy, bounds=(-2, 2), method="bounded").x))


def choose_threshold(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the lowest threshold from which on 99.5% are right.

    Raises:
        ModelError: there is none.
    """
    best = probabilities.max(axis=1)
    order = np.argsort(-best)
    right = (probabilities.argmax(axis=1) == labels)[order]
    share_right = right.cumsum() / np.arange(1, len(right) + 1)
    # All that are as probable reach a threshold together: a cut is only where the next is less so.
    ends = np.append(np.diff(best[order]) < 0, True)
    enough = np.flatnonzero((share_right >= RIGHT_IF_SURE) & ends)
    if len(enough) == 0:
        raise ModelError(f"no threshold makes the network right {RIGHT_IF_SURE:.1%} of the time")
    return float(best[order[enough[-1]]])


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Return the expected calibration error: how far confidence and accuracy are apart, by bins."""
    best = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    which = np.minimum((best * bins).astype(int), bins - 1)
    gaps = [
        abs(best[which == b].mean() - right[which == b].mean()) * (which == b).mean()
        for b in range(bins)
        if (which == b).any()
    ]
    return float(sum(gaps))
