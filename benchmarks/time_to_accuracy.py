#!/usr/bin/env python3
"""How long each way takes to its accuracy, side by side in one run.

    python3 benchmarks/time_to_accuracy.py
    python3 benchmarks/time_to_accuracy.py --only "the original's way" four-epochs --rounds 1

The original's way and the fast recipe that others published, both in plain PyTorch, take turns
with the rows of `mnist experiment frontier` and the recipes that came after them, each time in a
process of its own; those that take minutes take part in every third round. A time has in it:
building the network, preparing the arrays from bytes in memory, training, and the test pass.
Starting the process, with its imports and the reading of the files, is measured beside it. All of
them run on the CPU. What the result file holds is not done again, so that it can be stopped and
goes on. Nothing else should run on the machine.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import common
import torch
import torch.nn.functional as F
from arguments import make_parser, positive, save
from common import PillowMnist, gemm_ceiling, original_network
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from mnist_classification.data import Mnist, load_mnist
from mnist_classification.device import keep_freed_memory, pick_precision
from mnist_classification.model import build, to_pixels
from mnist_classification.recipes import (
    FOUR_EPOCHS,
    FRONTIER,
    ONE_EPOCH,
    SEVEN_EPOCHS,
    TEN_EPOCHS,
    TWO_FIFTHS_EPOCH,
    Recipe,
)
from mnist_classification.study.engines import Options, measure
from mnist_classification.study.experiments import Run
from mnist_classification.study.statistics import summarize
from mnist_classification.study.tables import interval_cell, mean_cell
from mnist_classification.trained import predict
from mnist_classification.whitening import whiten

ORIGINAL = "the original's way"
TUOMASO = "tuomaso's recipe"
MINUTES = [FOUR_EPOCHS, TEN_EPOCHS, SEVEN_EPOCHS]
OURS = {r.name: r for r in [TWO_FIFTHS_EPOCH, *FRONTIER, ONE_EPOCH, *MINUTES]}
SLOW = (ORIGINAL, FRONTIER[-1].name, *(recipe.name for recipe in MINUTES))
SLOW_EVERY = 3  # rounds


def original(data: Mnist, seed: int) -> float:
    """Ten epochs of the deeper CNN, each image through Pillow and a DataLoader, also for the test.

    Returns:
        The accuracy on the test set, as all ways do.
    """
    torch.manual_seed(seed)
    network = original_network()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)
    loader = DataLoader(PillowMnist(data.train), batch_size=32, shuffle=True)
    for _ in range(10):
        for pixels, labels in loader:
            optimizer.zero_grad()
            F.cross_entropy(network(pixels), labels, reduction="sum").backward()
            optimizer.step()
    network.eval()
    with torch.no_grad():
        right = [
            network(pixels).argmax(dim=1) == labels
            for pixels, labels in DataLoader(PillowMnist(data.test), batch_size=32)
        ]
    return torch.cat(right).float().mean().item()


def tuomaso(data: Mnist, seed: int) -> float:
    """The recipe of tuomaso/train_mnist_fast: one epoch, large steps, one cycle of the rate."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        *[nn.Conv2d(1, 24, 5), nn.MaxPool2d(2), nn.ReLU()],
        *[nn.Conv2d(24, 32, 3), nn.MaxPool2d(2), nn.ReLU()],
        *[nn.Flatten(), nn.Linear(800, 256), nn.ReLU(), nn.Linear(256, 10)],
    )
    pixels = to_pixels(data.train.images, 0.1307, 0.3081)
    labels = torch.as_tensor(data.train.labels).long()
    batches = torch.randperm(len(labels)).split(256)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01, betas=(0.7, 0.9))
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.01, total_steps=len(batches), pct_start=0.3, cycle_momentum=False
    )
    for batch in batches:
        optimizer.zero_grad()
        F.cross_entropy(network(pixels[batch]), labels[batch]).backward()
        optimizer.step()
        rate.step()
    logits: Tensor = predict(network, to_pixels(data.test.images, 0.1307, 0.3081))
    return (logits.argmax(dim=1) == torch.as_tensor(data.test.labels)).float().mean().item()


def timed(way: Callable[[Mnist, int], float]) -> Callable[[Mnist, int], tuple[float, float]]:
    """Return the way with the seconds that it takes beside its accuracy."""

    def run(data: Mnist, seed: int) -> tuple[float, float]:
        started = time.perf_counter()
        return way(data, seed), time.perf_counter() - started

    return run


def this_project(recipe: str) -> Callable[[Mnist, int], tuple[float, float]]:
    """Return a way that trains and tests as `mnist experiment frontier` does."""

    def run(data: Mnist, seed: int) -> tuple[float, float]:
        keep_freed_memory()
        result = measure(Run(OURS[recipe], seed, "auto"), data, Options(device=common.DEVICE))
        return result.accuracy, result.total_seconds

    return run


WAYS = {ORIGINAL: timed(original), TUOMASO: timed(tuomaso)} | {
    name: this_project(name) for name in OURS
}


def operations(recipe: Recipe) -> int:
    """Return the floating-point operations of training and one test pass; products alone."""
    network = build(recipe.network, torch.Generator())
    pixels = torch.randn(100, 1, 28, 28)
    if recipe.whitening_images:
        whiten(network, pixels)
    with FlopCounterMode(display=False) as training:
        network(pixels).sum().backward()
    with FlopCounterMode(display=False) as test, torch.no_grad():
        network(pixels)
    images = recipe.num_epochs * (recipe.images_per_epoch or 60_000)
    return (training.get_total_flops() * images + test.get_total_flops() * 10_000) // 100


def measure_in_own_process(way: str, seed: int) -> dict[str, Any]:
    """Return what one run of a way measured, with the time that its process took besides."""
    started = time.perf_counter()
    result = json.loads(common.run_script(__file__, "--way", way, "--seed", str(seed)))
    return result | {"start_seconds": time.perf_counter() - started - result["seconds"]}


def table(result: dict[str, Any]) -> str:
    """Return the Markdown table of all runs."""
    runs = {way: [r for r in result["runs"] if r["way"] == way] for way in WAYS}
    base = statistics.median([r["seconds"] for r in runs[ORIGINAL]]) if runs[ORIGINAL] else None
    runs = {way: measured for way, measured in runs.items() if measured}  # a way may be newer
    floors = {way: operations(OURS[way]) / result["gemm_ceiling"] for way in runs if way in OURS}
    lines = [
        "| way | test accuracy: mean ± sd (n) | 95% interval | seconds, median | range | "
        "to the original's way | floor, seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for way, measured in runs.items():
        seconds = [r["seconds"] for r in measured]
        accuracies = [r["accuracy"] for r in measured]
        interval = interval_cell(summarize(accuracies).interval)
        median = statistics.median(seconds)
        ratio = f"{base / median:.1f}×" if base else "–"
        floor = f"{floors[way]:.2f}, {floors[way] / median:.0%}" if way in floors else "–"
        lines.append(
            f"| {way} | {mean_cell(accuracies)} | {interval} | {median:.2f} "
            f"| {min(seconds):.2f}–{max(seconds):.2f} | {ratio} | {floor} |"
        )
    where = result["environment"]
    start = statistics.median(r["start_seconds"] for r in result["runs"])
    lines.append(
        f"\n{where['processor']}, {where['threads']} threads, PyTorch {where['torch']}; taking "
        f"turns, each run in a process of its own, whose start and imports take {start:.1f} s "
        f"more. The floor is what the multiplications alone would take at this machine's rate for "
        f"large {result['precision']} matrices, {result['gemm_ceiling'] / 1e9:,.0f} GFLOP/s."
    )
    return "\n".join(lines)


def short_table(result: dict[str, Any]) -> str:
    """Return the Markdown table of the ways that README shows."""
    base = statistics.median(r["seconds"] for r in result["runs"] if r["way"] == ORIGINAL)
    lines = ["| way | test accuracy: mean (n) | seconds, median | ratio |", "|---|---|---|---|"]
    for way in (ORIGINAL, TUOMASO, *(recipe.name for recipe in FRONTIER[::2])):
        measured = [r for r in result["runs"] if r["way"] == way]
        accuracy = statistics.mean(r["accuracy"] for r in measured)
        median = statistics.median(r["seconds"] for r in measured)
        lines.append(
            f"| {way} | {accuracy:.2%} ({len(measured)}) | {median:.2f} | {base / median:.1f}× |"
        )
    where = result["environment"]
    lines.append(
        f"\n{where['processor']}, {where['threads']} threads, PyTorch {where['torch']}; taking "
        f"turns."
    )
    return "\n".join(lines)


def main() -> None:
    """Measure what is missing and print the table; with --way, that one once, as JSON."""
    parser = make_parser(__doc__, "time_to_accuracy")
    parser.add_argument("--rounds", type=positive, default=10, help="each with a seed of its own")
    parser.add_argument("--only", nargs="+", choices=WAYS, help="let only these take turns")
    parser.add_argument("--way", choices=WAYS, help="measure only this way, in this process")
    parser.add_argument("--seed", type=int, default=0, help="for --way")
    options = parser.parse_args()
    if options.way:
        data = load_mnist()
        torch.optim.SGD([torch.zeros(1)])  # the first one imports half of PyTorch
        accuracy, seconds = WAYS[options.way](data, options.seed)
        print(json.dumps({"accuracy": accuracy, "seconds": seconds}))
        return
    result = common.load(options.output)
    if result is None:
        precision = pick_precision("auto", torch.device(common.DEVICE))
        ceiling = gemm_ceiling(getattr(torch, precision))
        result = {
            "environment": common.environment(),
            "precision": precision,
            "gemm_ceiling": ceiling,
        }
    runs = result.setdefault("runs", [])
    for seed in range(options.rounds):
        for way in options.only or WAYS:
            done = any((run["way"], run["seed"]) == (way, seed) for run in runs)
            if done or (way in SLOW and seed % SLOW_EVERY):
                continue
            print(f"round {seed + 1} of {options.rounds}: {way}", file=sys.stderr, flush=True)
            runs.append({"way": way, "seed": seed} | measure_in_own_process(way, seed))
            save(options.output, result)
    print(table(result))


if __name__ == "__main__":
    main()
