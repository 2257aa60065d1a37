#!/usr/bin/env python3
"""What picking the best of ten epochs on the test set is worth, for the original's last row.

    python3 benchmarks/best_epoch.py

Trains `sgd` with seeds that no other experiment has used and notes the test accuracy after every
epoch, which nothing else in this project does: it is how a figure comes out too high.
"""

import dataclasses
import multiprocessing
import statistics

import common

from mnist_classification.data import load_mnist
from mnist_classification.device import use_threads
from mnist_classification.recipes import find_recipe
from mnist_classification.training import fit

SEEDS = range(20, 25)


def test_accuracies(seed: int) -> list[float]:
    """Return the test accuracy after each epoch, 0 to 1."""
    use_threads(1)
    data = load_mnist()
    watched = dataclasses.replace(data, holdout=data.test)
    history = fit(find_recipe("sgd"), watched, seed=seed, precision="float32").history
    return [record["holdout_accuracy"] for record in history]


def main() -> None:
    """Train, write the test accuracies, and print the two means."""
    options = common.parser(__doc__, "best_epoch").parse_args()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        rows = dict(
            zip(map(str, SEEDS), pool.map(test_accuracies, SEEDS, chunksize=1), strict=True)
        )
    common.save(options.output, rows)
    last, best = ([row[-1] for row in rows.values()], [max(row) for row in rows.values()])
    for name, values in [("last", last), ("best", best)]:
        print(f"{name} epoch: {statistics.mean(values):.3%} ± {statistics.stdev(values):.3%}")


if __name__ == "__main__":
    main()
