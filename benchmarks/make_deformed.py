#!/usr/bin/env python3
"""Make any number of deformed MNIST digits, as IDX files for --data-dir.

    python3 benchmarks/make_deformed.py --images 1000000 --output runs/deformed
    mnist train --data-dir runs/deformed --num-epochs 1

As infiMNIST does (Loosli, Canu and Bottou 2007, "Training invariant support vector machines using
selective sampling"): small turns, slants, sizes, shifts and elastic warps of the 60,000 training
digits, in order, over and over. The test set is MNIST's. The same seed gives the same images. What
was interrupted goes on where it was.
"""

import argparse
import hashlib
import os
import sys
from pathlib import Path

import numpy as np
import torch
from arguments import positive
from common import idx_header

from mnist_classification.augment import augment
from mnist_classification.data import Examples, load_mnist
from mnist_classification.errors import MnistError
from mnist_classification.files import TEMPORARY, make_folder, write_atomically
from mnist_classification.model import to_pixels
from mnist_classification.progress import track
from mnist_classification.recipes import Augment

AT_ONCE = 10_000  # images; a batch has a generator of its own, so that any can be the first
DEFORMED = Augment(
    rotation_degrees=10, shift_pixels=1, scale_share=0.1, shear=0.1, elastic_pixels=0.6
)


def deform(examples: Examples, batch: int, seed: int) -> np.ndarray:
    """Return the images of one batch, (AT_ONCE, 28, 28) uint8."""
    images = torch.as_tensor(examples.images[chosen(batch, len(examples))])
    digest = hashlib.sha256(f"{seed} {batch}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7]))
    pixels = augment(to_pixels(images, 0.0, 1.0), DEFORMED, paper=0.0, generator=generator)
    return (255 * pixels[:, 0]).round().clamp(0, 255).to(torch.uint8).numpy()


def chosen(batch: int, examples: int) -> np.ndarray:
    """Return which of the training digits a batch is made of."""
    return np.arange(batch * AT_ONCE, (batch + 1) * AT_ONCE) % examples


def make(count: int, seed: int, folder: Path) -> None:
    """Write the four files; the images grow under another name until they are whole."""
    make_folder(folder)
    data = load_mnist()
    unfinished = folder / f"{TEMPORARY}{count}-images-seed{seed}"
    header, size = idx_header(count, 28, 28), AT_ONCE * 28 * 28
    with unfinished.open("ab") as file:
        done = max(0, file.tell() - len(header)) // size
        file.truncate(len(header) + done * size if done else 0)
        if not done:
            file.write(header)
        batches = range(done, -(-count // AT_ONCE))
        with track(f"{count:,} deformed digits", len(batches)) as advance:
            for batch in batches:
                images = deform(data.train, batch, seed)
                file.write(images[: count - batch * AT_ONCE].tobytes())
                advance()
        file.flush()
        os.fsync(file.fileno())
    labels = data.train.labels[np.arange(count) % len(data.train)]
    write_atomically(folder / "train-labels-idx1-ubyte", idx_header(count) + labels.tobytes())
    for name, array in (("images-idx3", data.test.images), ("labels-idx1", data.test.labels)):
        content = idx_header(*array.shape) + array.tobytes()
        write_atomically(folder / f"t10k-{name}-ubyte", content)
    unfinished.replace(folder / "train-images-idx3-ubyte")


def main() -> None:
    """Make the files; exit with one line where they can't be made."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--images", type=positive, default=1_000_000, help="how many to make")
    parser.add_argument("--seed", type=int, default=0, help="decides all deformations")
    parser.add_argument("--output", type=Path, default=Path("runs/deformed"), help="folder")
    options = parser.parse_args()
    try:
        make(options.images, options.seed, options.output)
    except (MnistError, OSError) as error:  # the latter if the disk is full
        sys.exit(f"error: {error}")
    print(f"{options.images:,} images in {options.output}")


if __name__ == "__main__":
    main()
