#!/usr/bin/env python3
"""Images per second of one training by one process and by two, at the same total batch.

    python3 benchmarks/scale_processes.py

The ways take turns, one thread for each process; a time is an epoch after an untimed one. That two
processes learn what one does is for tests/test_distributed.py to say. The best of the rounds
is the one that other work on the machine disturbed least; two processes that wait for each other
are disturbed by any.
"""

import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import common
from arguments import make_parser, positive, save

from mnist_classification.data import Mnist, load_mnist
from mnist_classification.device import keep_freed_memory, pick_device, use_threads
from mnist_classification.distributed import join, rank
from mnist_classification.recipes import find_recipe
from mnist_classification.training import fit

WAYS = {"1 process": 1, "2 processes": 2}
RECIPES = {
    "LeNet, batch 128": "vanilla",
    "deeper CNN, batch 32": "sgd",
    "deeper CNN, batch 512": "sgd+batch-size=512+learning-rate=0.03+loss-reduction=mean",
    "with batch normalization, batch 256": "two-epochs+images-per-epoch=0",
}


def measure(recipe: str, images: int) -> float | None:
    """Return the images per second of the second epoch; None but in the first process."""
    data = load_mnist()
    part = Mnist(data.train[:images], None, data.test, data.sha256, data.directory)
    keep_freed_memory()
    with join(pick_device(common.DEVICE)):
        chosen = find_recipe(f"{RECIPES[recipe]}+num-epochs=2")
        history = fit(chosen, part, device=common.DEVICE, precision="float32").history
        first = rank() == 0
    return images / (history[1]["seconds"] - history[0]["seconds"]) if first else None


def measure_in_own_processes(way: str, recipe: str, images: int) -> float:
    """Return the rate of one way, measured by this script in new processes."""
    head = [sys.executable]
    if WAYS[way] > 1:
        head += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(WAYS[way])]
    command = [*head, str(Path(__file__)), "--recipe", recipe, "--images", str(images)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return float(subprocess.run(command, check=True, text=True, **pipes).stdout)


def run(rounds: int, images: int) -> dict[str, Any]:
    """Measure every way and recipe `rounds` times, taking turns."""
    rates: dict[str, dict[str, list[float]]] = {r: {way: [] for way in WAYS} for r in RECIPES}
    for number in range(rounds):
        for recipe, by_way in rates.items():
            for way, measured in by_way.items():
                measured.append(measure_in_own_processes(way, recipe, images))
                print(f"{number + 1}: {recipe}, {way}: {measured[-1]:,.0f}", file=sys.stderr)
    return {"images": images, "images_per_second": rates, "environment": common.environment()}


def table(result: dict[str, Any]) -> str:
    """Return the Markdown table of a result."""
    rates = result["images_per_second"]
    lines = [
        "| images/s, best (median) | 1 process | 2 processes | ratio of the best, of the medians "
        "| ms a step costs besides | half of the time is lost at |",
        "|---|---|---|---|---|---|",
    ]
    for recipe, by_way in rates.items():
        one, two = (by_way[way] for way in WAYS)
        cells = " | ".join(f"{max(r):,.0f} ({statistics.median(r):,.0f})" for r in (one, two))
        ratios = (
            f"{max(two) / max(one):.2f}×, {statistics.median(two) / statistics.median(one):.2f}×"
        )
        batch = find_recipe(RECIPES[recipe]).batch_size
        alone = batch / max(one)
        besides = batch / max(two) - alone / 2
        lost = f"{alone / besides:.0f} processes" if besides > 0 else "–"
        lines.append(f"| {recipe} | {cells} | {ratios} | {1000 * besides:.1f} | {lost} |")
    where = result["environment"]
    rounds = len(next(iter(rates.values()))["2 processes"])
    lines.append(
        f"\n{rounds} rounds taking turns, {result['images']:,} images each, float32, one thread "
        f"for each process; "
        f"{where['processor']}, {where['cores']} cores, PyTorch {where['torch']}."
    )
    return "\n".join(lines)


def main() -> None:
    """Measure and print the table; with --recipe, measure that once and print its rate."""
    parser = make_parser(str(__doc__), "scale_processes")
    parser.add_argument("--rounds", type=positive, default=5, help="measurements of each way")
    parser.add_argument("--images", type=positive, default=10_240, help="images per epoch")
    parser.add_argument("--recipe", choices=RECIPES, help="measure this once, in this process")
    options = parser.parse_args()
    if options.recipe:
        use_threads(1)
        rate = measure(options.recipe, options.images)
        print("" if rate is None else rate, end="", flush=True)
        return
    result = run(options.rounds, options.images)
    save(options.output, result)
    print(table(result))


if __name__ == "__main__":
    main()
