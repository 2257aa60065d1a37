#!/usr/bin/env python3
"""Which training labels look wrong, and whether learning without them helps.

    mnist experiment accurate-folds --output results/runs
    python3 benchmarks/label_errors.py --sheet plots/suspect-labels.png

Cross-validation: each image of the training set is read by networks that have not learned from it
(six blocks, two seeds of `eight-epochs`). Where all of them agree on another digit than the
label, the label is suspect. The same runs are then repeated without the suspects among the images
learned from; the images that judge, and their labels, stay as they are. As in "confident learning"
(Northcutt, Jiang and Chuang 2021), but by agreement instead of thresholds on probabilities. The
test set takes no part. What is done is not done again.
"""

import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import common
import numpy as np
from scipy import stats

from mnist_classification.data import Mnist, load_mnist, set_aside
from mnist_classification.device import count_cores, use_threads
from mnist_classification.pictures.plots import plot_mistakes
from mnist_classification.study.engines import Options, measure
from mnist_classification.study.experiments import EXPERIMENTS, Run
from mnist_classification.study.results import Result, load_result, save_result

RECIPE = "eight-epochs"


def find_suspects(results: list[Result], data: Mnist) -> np.ndarray:
    """Return the digit on which all networks agree against the label; -1 where they don't.

    Args:
        results: of every block, each with the same seeds.

    Returns:
        (N,) int, of the training set.
    """
    agreed = np.full(len(data.train), -1)
    for fold in {result.fold for result in results}:
        of_block = [result for result in results if result.fold == fold]
        digits = np.stack([result.digits for result in of_block]).astype(int)
        same = (digits == digits[0]).all(axis=0) & (digits[0] != of_block[0].labels(data))
        agreed[block_of(of_block[0])] = np.where(same, digits[0], -1)
    return agreed


def block_of(run: Run | Result) -> slice:
    """Return where the images that judge a run lie in the training set."""
    first = (run.fold or 0) * run.holdout
    return slice(first, first + run.holdout)


def learn_without(run: Run, suspects: np.ndarray, folder: Path) -> Result:
    """Do one run of the experiment without the suspects among its training images.

    Args:
        suspects: (N,) bool, of the whole training set.
        folder: of the results, for this run to find there or to write.
    """
    data = load_mnist()
    path = folder / run.file_name
    if path.exists():
        return load_result(path, data)
    use_threads(1)
    part = set_aside(data, run.holdout, run.fold)
    kept = ~np.delete(suspects, block_of(run))
    result = measure(run, replace(part, train=part.train[np.flatnonzero(kept)]), Options())
    save_result(path, result)
    print(f"{run.file_name}: {result.accuracy:.2%}", flush=True)
    return result


def count_errors(results: list[Result], data: Mnist) -> list[int]:
    """Return each result's errors, on all images of its block and by their labels as they are.

    Not on the others alone: suspects are what the first runs misread, so that on the rest these
    have fewer errors by choice.
    """
    return [int((result.digits != result.labels(data)).sum()) for result in results]


def table(result: dict[str, Any]) -> str:
    """Return the Markdown table of a result."""
    before, after = (np.array(result["errors"][way]) for way in ("with", "without"))
    losses = [float(np.mean(result["log_loss"][way])) for way in ("with", "without")]
    difference = after - before
    half = stats.t.ppf(0.975, len(difference) - 1) * stats.sem(difference)
    low, high = difference.mean() - half, difference.mean() + half
    lines = [
        "| learned from | errors in a block of 10,000, mean | log-loss |",
        "|---|---|---|",
        f"| all images | {before.mean():.2f} | {losses[0]:.4f} |",
        f"| all but the suspects | {after.mean():.2f} | {losses[1]:.4f} |",
        f"| difference, 95% interval | {difference.mean():+.2f}, {low:+.2f} to {high:+.2f} | |",
    ]
    where = result["environment"]
    lines.append(
        f"\n{len(result['suspects'])} suspects in {result['images']:,} images, "
        f"{result['suspect_students']} of them by students. Pairs of the same block and seed, "
        f"n = {len(before)}; {where['processor']}, PyTorch {where['torch']}."
    )
    return "\n".join(lines)


def main() -> None:
    """Find the suspects, draw them, learn without them, write the result, print the table."""
    parser = common.parser(str(__doc__), "label_errors")
    parser.add_argument("--results", type=Path, default=Path("results/runs"), help="pool of runs")
    parser.add_argument("--sheet", type=Path, help="draw the suspects, to look at")
    parser.add_argument("--count", type=int, default=48, help="suspects to draw at most")
    options = parser.parse_args()
    data = load_mnist()
    rows = EXPERIMENTS["accurate-folds"].load(options.results, data).values()
    before = [result for row in rows for result in row if result.recipe.name == RECIPE]
    agreed = find_suspects(before, data)
    suspects = agreed >= 0
    if options.sheet:
        votes = np.eye(10)[np.where(suspects, agreed, data.train.labels)]
        figure = plot_mistakes(
            data.train, votes, "Labels that no network agrees with", count=options.count
        )
        figure.savefig(options.sheet, dpi=80)
    runs = [Run(r.recipe, r.seed, r.precision, r.holdout, r.fold) for r in before]
    folder = options.output.with_suffix("")
    with multiprocessing.get_context("spawn").Pool(count_cores()) as pool:
        after = pool.starmap(learn_without, [(run, suspects, folder) for run in runs], 1)
    result = {
        "images": len(data.train),
        "suspects": [
            {
                "index": int(index),
                "label": int(data.train.labels[index]),
                "read": int(agreed[index]),
            }
            for index in np.flatnonzero(suspects)
        ],
        "suspect_students": int(suspects[::2].sum()),
        "runs": [
            {
                "fold": r.fold,
                "seed": r.seed,
                "predictions": r.predictions,
                "seconds": r.total_seconds,
            }
            for r in after
        ],
        "errors": {
            "with": count_errors(before, data),
            "without": count_errors(after, data),
        },
        "log_loss": {
            "with": [r.log_loss for r in before],
            "without": [r.log_loss for r in after],
        },
        "environment": common.environment(),
    }
    common.save(options.output, result)
    print(table(result))


if __name__ == "__main__":
    main()
