#!/usr/bin/env python3
"""Which training labels look wrong, and whether learning without them helps.

    mnist experiment accurate-folds
    python3 benchmarks/label_errors.py --results runs/accurate-folds --sheet suspect-labels.png

Cross-validation: each image of the training set is read by networks that have not learned from it
(six blocks, two seeds of `eight-epochs`). Where all of them agree on another digit than the label,
the label is suspect. The same runs are then repeated without the suspects among the images learned
from; the images that judge, and their labels, stay as they are. As in "confident learning"
(Northcutt, Jiang and Chuang 2021), but by agreement instead of thresholds on probabilities.

The search is not nested: what is suspect in one block was said by networks that had learned from
the block that judges. That could only favour learning without. The test set takes no part. What is
done is not done again.
"""

import hashlib
import multiprocessing
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import common
import numpy as np
from arguments import make_parser, positive, save
from matplotlib.figure import Figure
from scipy import stats

from mnist_classification.cores import count_cores
from mnist_classification.data import Mnist, load_mnist, set_aside
from mnist_classification.device import use_threads
from mnist_classification.errors import ResultError
from mnist_classification.pictures.plots import show_image
from mnist_classification.study.engines import Options, measure
from mnist_classification.study.experiments import EXPERIMENTS, Run
from mnist_classification.study.results import Result, load_result, save_result
from mnist_classification.study.runner import current_commit

EXPERIMENT = EXPERIMENTS["accurate-folds"]
COLUMNS = 6  # of the sheet

# Suspects of which we, who knew both, would say what the networks say. Looked at, not computed.
LOOKS_WRONG = (
    *(4129, 4476, 6347, 7080, 10994, 12000, 12830, 13662, 13854, 14582, 16092, 16130, 17420),
    *(18190, 19369, 20816, 21130, 23588, 24798, 26560, 30049, 32342, 34750, 35310, 40144, 42566),
    *(43454, 46078, 46298, 48486, 49212, 49960, 51248, 52294, 52899, 53396, 54264, 56596, 59915),
)


def load_runs(pool: Path, data: Mnist) -> list[Result]:
    """Read the runs of every block; exits with one line where one is missing."""
    try:
        results = [r for row in EXPERIMENT.load(pool, data).values() for r in row]
    except ResultError as error:
        sys.exit(f"error: {error}; try mnist experiment accurate-folds --output {pool}")
    asked = {(run.fold, run.seed) for run in EXPERIMENT.runs()}
    missing = asked - {(result.fold, result.seed) for result in results}
    if missing:
        sys.exit(
            f"error: {pool}: {len(missing)} of {len(asked)} runs are missing; "
            f"try mnist experiment accurate-folds --output {pool}"
        )
    return results


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
        agreed[of_block[0].block] = np.where(same, digits[0], -1)
    return agreed


def draw(data: Mnist, agreed: np.ndarray, count: int) -> Figure:
    """Draw the first suspects: label, what was read, and index of each."""
    suspects = np.flatnonzero(agreed >= 0)
    shown = suspects[:count]
    rows = -(-len(shown) // COLUMNS)
    figure = Figure(figsize=(8, 0.6 + 1.6 * rows), layout="constrained")
    grid = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
    for axes in grid[len(shown) :]:
        axes.axis("off")
    for axes, index in zip(grid, shown, strict=False):
        show_image(axes, data.train.images[index])
        label = data.train.labels[index]
        axes.set_title(f"{label}, read as {agreed[index]}", size=11, weight="bold")
        axes.set_xlabel(f"#{index}", size=9)
    figure.suptitle(
        f"Training labels that no network agrees with: the first {len(shown)} of {len(suspects)}"
    )
    return figure


def learn_without(before: Result, suspects: np.ndarray, folder: Path, commit: str | None) -> Result:
    """Do a run of the experiment again, without the suspects among its training images.

    Args:
        before: what it gave with them.
        suspects: (N,) bool, of the whole training set.
        folder: of the results without these suspects, for this run to find there or to write.
    """
    data = load_mnist()
    run = Run(before.recipe, before.seed, before.precision, before.holdout, before.fold)
    path = folder / run.file_name
    if path.exists():
        return load_result(path, data)
    use_threads(1)
    part = set_aside(data, run.holdout, run.fold)
    kept = np.flatnonzero(~np.delete(suspects, before.block))
    options = Options(device=common.DEVICE, commit=commit)
    result = measure(run, replace(part, train=part.train[kept]), options)
    save_result(path, result)
    print(f"{run.file_name}: {result.accuracy:.2%}", file=sys.stderr, flush=True)
    return result


def check_machine(results: list[Result], place: Path) -> None:
    """Exit with one line where results are not of this machine, a thread each; none are mixed."""
    here = common.environment()
    del here["code"]  # a result has its commit
    if any(result.environment != here for result in results):
        sys.exit(f"error: {place}: measured elsewhere, or with other versions; try another folder")


def describe(result: Result, data: Mnist) -> dict[str, Any]:
    """Return what is kept of a run.

    Errors are on all images of its block, by their labels as they are. Not on the others alone:
    suspects are what the first runs misread, so that on the rest these have fewer errors by choice.
    """
    return {
        "fold": result.fold,
        "seed": result.seed,
        "errors": int((result.digits != result.labels(data)).sum()),
        "log_loss": result.log_loss,
        "predictions": result.predictions,
        "commit": result.commit,
    }


def table(result: dict[str, Any]) -> str:
    """Return the Markdown table of a result; seeds of a block share its images, so blocks count."""
    blocks = sorted({run["fold"] for run in result["with"]})
    lines = [
        "| in a block of 10,000, mean | with the suspects | without | difference, 95% interval |",
        "|---|---|---|---|",
    ]
    for name, measured, places in (("errors", "errors", 2), ("log-loss", "log_loss", 4)):
        before, after = (
            np.array([np.mean([r[measured] for r in runs if r["fold"] == b]) for b in blocks])
            for runs in (result["with"], result["without"])
        )
        change = after - before
        half = stats.t.ppf(0.975, len(blocks) - 1) * stats.sem(change)
        low, high = change.mean() - half, change.mean() + half
        lines.append(
            f"| {name} | {before.mean():.{places}f} | {after.mean():.{places}f} "
            f"| {change.mean():+.{places}f}, {low:+.{places}f} to {high:+.{places}f} |"
        )
    suspects = [suspect["index"] for suspect in result["suspects"]]
    students = sum(index % 2 == 0 for index in suspects)
    wrong = len(set(suspects) & set(LOOKS_WRONG))
    where = result["environment"]
    lines.append(
        f"\n{len(suspects)} suspects, {students} of them by students; of {wrong} we would say what "
        f"the networks say. {len(blocks)} blocks, {len(result['with']) // len(blocks)} seeds each; "
        f"{where['processor']}, PyTorch {where['torch']}."
    )
    return "\n".join(lines)


def main() -> None:
    """Find the suspects, draw them, learn without them, write the result, print the table."""
    parser = make_parser(str(__doc__), "label_errors")
    parser.add_argument("--results", type=Path, default=Path("results/runs"), help="pool of runs")
    parser.add_argument("--sheet", type=Path, help="draw the suspects, to look at")
    parser.add_argument("--count", type=positive, default=48, help="suspects to draw at most")
    options = parser.parse_args()
    data = load_mnist()
    before = load_runs(options.results, data)
    use_threads(1)
    check_machine(before, options.results)
    agreed = find_suspects(before, data)
    suspects = agreed >= 0
    if options.sheet:
        draw(data, agreed, options.count).savefig(options.sheet, dpi=80)
    digest = hashlib.sha256(suspects.tobytes()).hexdigest()[:12]
    folder = options.output.parent / f"{options.output.stem}-runs" / f"without-{digest}"
    tasks = [(run, suspects, folder, current_commit()) for run in before]
    with multiprocessing.get_context("spawn").Pool(count_cores()) as pool:
        after = pool.starmap(learn_without, tasks, 1)
    check_machine(after, folder)
    result = {
        "suspects": [
            {"index": int(i), "label": int(data.train.labels[i]), "read": int(agreed[i])}
            for i in np.flatnonzero(suspects)
        ],
        "with": [describe(run, data) for run in before],
        "without": [describe(run, data) for run in after],
        "environment": common.environment(),
    }
    save(options.output, result)
    print(table(result))


if __name__ == "__main__":
    main()
