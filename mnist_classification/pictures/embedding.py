"""Images as points in a plane, by t-SNE, and how well the ten digits separate there.

    vectors = hidden_features(trained, images)
    embedding = embed(vectors, labels, perplexity=30, seed=0)
    print(embedding.silhouette, embedding.neighbour_accuracy)

t-SNE is van der Maaten and Hinton 2008, "Visualizing data using t-SNE", here as openTSNE does it,
with the choices of Kobak and Berens 2019, "The art of using t-SNE for single-cell transcriptomics":
it starts from the first two principal components, so that the layout of the clusters means
something, and its learning rate follows the number of images.
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from openTSNE import TSNE
from scipy.spatial import cKDTree
from sklearn.metrics import silhouette_score

from ..data import Mnist, set_aside
from ..errors import ModelError, PlotError
from ..model import to_pixels
from ..trained import Trained, predict
from ..training import start

NEIGHBOURS = 10  # that vote on an image's digit
# openTSNE's defaults: steps with exaggerated attraction, which gather clusters, and steps without.
EXAGGERATED_STEPS, STEPS = 250, 500
STEPS_PER_REPORT = 50
REPORTS = (EXAGGERATED_STEPS + STEPS) // STEPS_PER_REPORT


@dataclass(frozen=True, eq=False)
class Embedding:
    """Images in a plane.

    Attributes:
        points: (N, 2) float64.
        perplexity: about how many neighbours each image is kept close to.
        seed: of t-SNE's random numbers.
        silhouette: mean silhouette of the labels in the plane, -1 to 1 (Rousseeuw 1987).
        neighbour_accuracy: share of images, 0 to 1, whose ten nearest neighbours in the plane
            have its label more often than any other.
    """

    points: np.ndarray
    perplexity: float
    seed: int
    silhouette: float
    neighbour_accuracy: float


def raw_pixels(images: np.ndarray) -> np.ndarray:
    """Return (N, 28, 28) uint8 images as (N, 784) float32 vectors from 0 to 1."""
    return images.reshape(len(images), -1).astype(np.float32) / 255


def hidden_features(trained: Trained, images: np.ndarray) -> np.ndarray:
    """Return what the network's head reads: the outputs of `features`.

    Args:
        images: (N, 28, 28) uint8.

    Returns:
        (N, width of that layer) float32.

    Raises:
        ModelError: they are not finite.
    """
    pixels = to_pixels(images, trained.recipe.pixel_mean, trained.recipe.pixel_std)
    device = next(trained.network.parameters()).device
    features = predict(trained.network.features, pixels.to(device)).cpu().numpy()
    if not np.isfinite(features).all():
        raise ModelError(
            "got features that are not finite, as after training that diverged; train it again "
            "with a smaller --learning-rate"
        )
    return features


def untrained(trained: Trained, data: Mnist) -> Trained:
    """Return the same network as training began with it; of a pretrained one, with random weights.

    Args:
        data: what it was trained on, nothing set aside.

    Raises:
        PlotError: it was trained on other data, of which a part was set aside.
    """
    if trained.holdout and trained.data != data.fingerprint:
        raise PlotError("the model learned from a part of other data; name it with --data-dir")
    train = set_aside(data, trained.holdout, trained.fold).train
    state = start(trained.recipe, train, trained.seed, torch.device("cpu"), trained.precision)
    return dataclasses.replace(trained, network=state.network, history=[], test_accuracy=None)


def check_perplexity(num_samples: int, perplexity: float) -> None:
    """Check that so many images have enough neighbours for that perplexity.

    t-SNE looks at three times as many neighbours as the perplexity.

    Raises:
        PlotError: there are too few images, or the perplexity is below 2 or not finite.
    """
    if not 2 <= perplexity < math.inf:
        raise PlotError(f"got perplexity {perplexity:g}; expected 2 or more; try 30")
    if num_samples < 3 * perplexity + 1:
        raise PlotError(
            f"got {num_samples} samples for perplexity {perplexity:g}; expected at least "
            f"{math.ceil(3 * perplexity + 1)}; try more --num-samples or a smaller --perplexity"
        )


def embed(
    vectors: np.ndarray,
    labels: np.ndarray,
    *,
    perplexity: float = 30,
    seed: int = 0,
    report: Callable[[], None] = lambda: None,
) -> Embedding:
    """Put vectors into a plane so that neighbours stay neighbours; the labels only judge it.

    The same seed gives the same points on one machine with the same versions; on one thread, so
    that the number of cores does not change them.

    Args:
        vectors: (N, D) float32.
        labels: (N,) digits.
        report: is called REPORTS times on the way.

    Raises:
        PlotError: too few samples for the perplexity, or all of one digit.
    """
    check_perplexity(len(vectors), perplexity)
    if not 2 <= len(np.unique(labels)) < len(labels):
        raise PlotError(
            f"got {len(labels)} samples of {len(np.unique(labels))} digits; expected at least two "
            f"digits and several samples of one; try more --num-samples"
        )
    tsne = TSNE(
        perplexity=perplexity,
        early_exaggeration_iter=EXAGGERATED_STEPS,
        n_iter=STEPS,
        random_state=seed,
        n_jobs=1,
        callbacks=lambda *_: report(),
        callbacks_every_iters=STEPS_PER_REPORT,
    )
    points = np.asarray(tsne.fit(vectors))
    return Embedding(
        points=points,
        perplexity=perplexity,
        seed=seed,
        silhouette=float(silhouette_score(points, labels)),
        neighbour_accuracy=neighbour_accuracy(points, labels),
    )


def neighbour_accuracy(points: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of points whose nearest neighbours vote for their label, 0 to 1.

    Each point is left out of its own vote; a tie goes to the smaller digit.

    Args:
        points: (N, 2) float.
        labels: (N,) digits.
    """
    neighbours = min(NEIGHBOURS, len(points) - 1)
    _, nearest = cKDTree(points).query(points, neighbours + 1)
    others = nearest[:, 1:]  # the nearest of all is the point itself
    votes = np.stack([(labels[others] == digit).sum(axis=1) for digit in range(10)], axis=1)
    return float((votes.argmax(axis=1) == labels).mean())
