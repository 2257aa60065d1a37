#!/usr/bin/env python3
"""Images per second of the same network, batch size and steps, done in four ways.

    python3 benchmarks/same_work.py

The ways take turns, each time in a process of their own (how one sets up memory and threads must
not help another), for several rounds; the table has medians and ratios. A time is an epoch over
part of the training set, after an untimed one that warms up; loading the files and starting the
process are not in it.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import common
import torch
import torch.nn.functional as F
from arguments import make_parser, positive, save
from common import PillowMnist, gemm_ceiling, original_network
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from mnist_classification.data import Mnist, load_mnist
from mnist_classification.device import keep_freed_memory
from mnist_classification.model import build, to_pixels
from mnist_classification.recipes import find_recipe
from mnist_classification.training import fit

BATCH_SIZE = 32


def plain_loop(batches: Callable[[], Iterable[tuple[Tensor, Tensor]]]) -> float:
    """Train two epochs in plain eager PyTorch and return the seconds that the second took."""
    network = original_network()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)
    for _ in range(2):
        started = time.perf_counter()
        for pixels, labels in batches():
            optimizer.zero_grad()
            F.cross_entropy(network(pixels), labels, reduction="sum").backward()
            optimizer.step()
    return time.perf_counter() - started


def original_style(data: Mnist) -> float:
    """Each image through Pillow, normalised on its own, batched by a shuffling DataLoader."""
    loader = DataLoader(PillowMnist(data.train), batch_size=BATCH_SIZE, shuffle=True)
    return plain_loop(lambda: loader)


def tensors_in_memory(data: Mnist) -> float:
    """A plain loop over one tensor of all images, indexed batch by batch."""
    pixels = to_pixels(data.train.images, 0.5, 0.5)
    labels = torch.tensor(data.train.labels, dtype=torch.int64)

    def batches() -> Iterable[tuple[Tensor, Tensor]]:
        for index in torch.randperm(len(labels)).split(BATCH_SIZE):
            yield pixels[index], labels[index]

    return plain_loop(batches)


def this_project(data: Mnist, precision: str) -> float:
    """`fit` as `mnist train` calls it, with the original's last row."""
    keep_freed_memory()
    history = fit(find_recipe("sgd+num-epochs=2"), data, device="cpu", precision=precision).history
    return history[1]["seconds"] - history[0]["seconds"]


WAYS: dict[str, Callable[[Mnist], float]] = {
    "original's style": original_style,
    "plain PyTorch, tensors in memory": tensors_in_memory,
    "this project, float32": lambda data: this_project(data, "float32"),
    "this project, bfloat16": lambda data: this_project(data, "bfloat16"),
}


def operations_per_image() -> float:
    """Return the floating-point operations of one image's forward and backward pass."""
    network = build("deeper-cnn", torch.Generator())
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(BATCH_SIZE, 1, 28, 28)).sum().backward()
    return counter.get_total_flops() / BATCH_SIZE


def measure_in_own_process(way: str, images: int) -> float:
    """Return images per second of one way, measured by this script in a new process."""
    return float(common.run_script(__file__, "--way", way, "--images", str(images)))


def run(rounds: int, images: int) -> dict[str, Any]:
    """Measure every way `rounds` times, taking turns, and return what the table is made from."""
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(rounds):
        for way, measured in rates.items():
            measured.append(measure_in_own_process(way, images))
            print(f"round {number + 1}: {way} {measured[-1]:,.0f} images/s", file=sys.stderr)
    return {
        "images": images,
        "rounds": rounds,
        "images_per_second": rates,
        "operations_per_image": operations_per_image(),
        "gemm_ceiling": {
            "float32": gemm_ceiling(torch.float32),
            "bfloat16": gemm_ceiling(torch.bfloat16),
        },
        "environment": common.environment(),
    }


def table(result: dict[str, Any]) -> str:
    """Return the Markdown table of a result."""
    rates = result["images_per_second"]
    base = statistics.median(rates["original's style"])
    lines = [
        "| way | images/s, median | range | to the original's style | share of GEMM ceiling |",
        "|---|---|---|---|---|",
    ]
    for way, measured in rates.items():
        median = statistics.median(measured)
        ceiling = result["gemm_ceiling"]["bfloat16" if "bfloat16" in way else "float32"]
        share = median * result["operations_per_image"] / ceiling
        lines.append(
            f"| {way} | {median:,.0f} | {min(measured):,.0f}–{max(measured):,.0f} "
            f"| {median / base:.2f}× | {share:.0%} |"
        )
    where = result["environment"]
    ceilings = ", ".join(f"{n} {c / 1e9:,.0f} GFLOP/s" for n, c in result["gemm_ceiling"].items())
    lines.append(
        f"\nBatch {BATCH_SIZE}, {result['rounds']} rounds taking turns, {result['images']:,} "
        f"images each; {where['processor']}, {where['threads']} threads, PyTorch "
        f"{where['torch']}; GEMM ceiling: {ceilings}."
    )
    return "\n".join(lines)


def main() -> None:
    """Measure and print the table; with --way, measure that one once and print its rate."""
    parser = make_parser(__doc__, "same_work")
    parser.add_argument("--rounds", type=positive, default=7, help="measurements of each way")
    parser.add_argument("--images", type=positive, default=12_800, help="images per epoch")
    parser.add_argument("--way", choices=WAYS, help="measure only this way, once, in this process")
    options = parser.parse_args()
    if options.way:
        data = load_mnist()
        part = Mnist(data.train[: options.images], None, data.test, data.sha256, data.directory)
        print(len(part.train) / WAYS[options.way](part))
        return
    result = run(options.rounds, options.images)
    save(options.output, result)
    print(table(result))


if __name__ == "__main__":
    main()
