#!/usr/bin/env python3
"""What picking the best of ten epochs on the test set is worth, for the original's last row.

    python3 benchmarks/best_epoch.py

Trains `sgd` with seeds that no other experiment has used and notes the test accuracy after every
epoch, which nothing else in this project does: it is how a figure comes out too high.
"""

import dataclasses
import multiprocessing
import statistics

from arguments import make_parser, save

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


def table(result: dict[str, list[float]]) -> str:
    """Return the two means as a Markdown table."""
    rows = result.values()
    lines = ["| reported epoch | test accuracy: mean ± sd (n) |", "|---|---|"]
    for name, values in [
        ("the last of ten", [row[-1] for row in rows]),
        ("the best of ten, chosen on the test set", [max(row) for row in rows]),
    ]:
        mean, deviation = statistics.mean(values), statistics.stdev(values)
        lines.append(f"| {name} | {100 * mean:.3f} ± {100 * deviation:.3f} ({len(values)}) |")
    return "\n".join(lines)


def main() -> None:
    """Train, write the test accuracies, and print the two means."""
    options = make_parser(__doc__, "best_epoch").parse_args()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        rows = dict(
            zip(map(str, SEEDS), pool.map(test_accuracies, SEEDS, chunksize=1), strict=True)
        )
    save(options.output, rows)
    print(table(rows))


if __name__ == "__main__":
    main()
