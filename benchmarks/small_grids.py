#!/usr/bin/env python3
"""Seconds a step of the recipes of minutes, by PyTorch's convolution and by ours.

    python3 benchmarks/small_grids.py

Both train the same network on the same batches, in bfloat16, and take turns of ten steps. They
differ in how the gradient of weights on small grids is found (mnist_classification/convolution.py).
"""

import statistics
import time
from typing import Any

import common
import torch
from arguments import make_parser, positive, save

from mnist_classification import convolution
from mnist_classification.data import load_mnist
from mnist_classification.device import keep_freed_memory
from mnist_classification.progress import Silent
from mnist_classification.recipes import find_recipe
from mnist_classification.training import start, train_epoch

RECIPES = ("eight-epochs", "four-epochs", "ten-epochs", "seven-epochs")
OURS = convolution.MOST_POSITIONS
WAYS = {"PyTorch's": 0, "ours": OURS}
STEPS = 10


def measure(name: str, rounds: int) -> dict[str, list[float]]:
    """Return the seconds a step of each way, one of each round, after a round that warms up."""
    recipe, train = find_recipe(name), load_mnist().train
    device = torch.device(common.DEVICE)
    states = {way: start(recipe, train, 0, device, "bfloat16") for way in WAYS}
    order = torch.arange(STEPS * recipe.batch_size)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds + 1):
        for way, positions in WAYS.items():
            convolution.MOST_POSITIONS = positions
            started = time.perf_counter()
            train_epoch(states[way], order, 0, Silent())
            seconds[way].append((time.perf_counter() - started) / STEPS)
    convolution.MOST_POSITIONS = OURS
    return {way: measured[1:] for way, measured in seconds.items()}


def table(result: dict[str, Any]) -> str:
    """Return the Markdown table of a result."""
    lines = [
        "| recipe | PyTorch's gradient: ms a step, median (range) | ours | ratio |",
        "|---|---|---|---|",
    ]
    for name, ways in result["seconds"].items():
        cells = [
            f"{statistics.median(s) * 1e3:.1f} ({min(s) * 1e3:.1f}–{max(s) * 1e3:.1f})"
            for s in ways.values()
        ]
        # Of each round by itself, since the machine's pace changes between rounds.
        ratio = statistics.median(a / b for a, b in zip(*ways.values(), strict=True))
        lines.append(f"| {name} | {' | '.join(cells)} | {ratio:.2f}× |")
    where = result["environment"]
    rounds = len(next(iter(result["seconds"].values()))["ours"])
    lines.append(
        f"\n{rounds} rounds of {STEPS} steps, taking turns; {where['processor']}, "
        f"{where['threads']} threads, PyTorch {where['torch']}."
    )
    return "\n".join(lines)


def main() -> None:
    """Measure and print the table."""
    parser = make_parser(__doc__, "small_grids")
    parser.add_argument("--rounds", type=positive, default=15, help="measurements of each way")
    options = parser.parse_args()
    keep_freed_memory()
    result = {
        "seconds": {name: measure(name, options.rounds) for name in RECIPES},
        "environment": common.environment(),
    }
    save(options.output, result)
    print(table(result))


if __name__ == "__main__":
    main()
