"""The recipe of the reader's network, and the material that it learns from besides MNIST.

    trained = fit(READER, with_material(load_mnist(holdout=10_000), seed=0), seed=0)

Other people's pens, papers and cameras make digits that MNIST lacks, so each image is bent,
thickened, cut and faded anew each time it is shown.
"""

import dataclasses
import hashlib

import numpy as np

from ..data import Examples, Mnist
from ..recipes import Augment, Recipe
from .counterexamples import draw_counter_examples, prepare_digits
from .strokes import draw_digits

DRAWN_DIGITS = 6000  # in ways of writing that MNIST hardly has
COUNTER_EXAMPLES = 4000  # to be unsure of
PREPARED_DIGITS = 20_000  # of the training set, prepared as the reader does it

READER = Recipe(
    name="reader",
    network="reader-cnn",
    num_epochs=16,
    batch_size=128,
    optim="adam",
    learning_rate=0.003,
    schedule="linear",
    loss_reduction="mean",
    augment=Augment(
        rotation_degrees=15.0,
        shift_pixels=2,
        scale_share=0.18,
        shear=0.3,
        elastic_pixels=0.8,
        stroke_strength=0.8,
        gap_probability=0.15,
        contrast_share=0.4,
        noise_share=0.1,
    ),
)


def with_material(data: Mnist, seed: int) -> Mnist:
    """Return the data set with the reader's material in its training set, and in its fingerprint.

    Every digit is as likely for what is none; in the training accuracy it counts as misread.
    """
    none = draw_counter_examples(data.train, COUNTER_EXAMPLES, seed)
    prepared = prepare_digits(data.train, PREPARED_DIGITS, seed)
    parts = [data.train, draw_digits(DRAWN_DIGITS, seed), none, prepared]
    images, labels = (
        np.concatenate([getattr(part, kind) for part in parts]) for kind in ("images", "labels")
    )
    targets = np.concatenate([np.eye(10), np.full((1, 10), 0.1)]).astype(np.float32)[labels]
    added = hashlib.sha256(images[len(data.train) :].tobytes()).hexdigest()
    return dataclasses.replace(
        data,
        train=Examples(images, labels, targets),
        sha256=data.sha256 | {"reader-material": added},
    )
