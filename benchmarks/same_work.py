#!/usr/bin/env python3
"""Images per second of the same network, batch size and steps, done in four ways.

    python3 benchmarks/same_work.py

The ways take turns, each time in a process of their own (how one sets up memory and threads must
not help another), for several rounds; the table has medians and ratios. A time is an epoch over
part of the training set, after an untimed one that warms up; loading the files and starting the
process are not in it. The result is written to results/benchmarks/same_work.json.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from mnist_classification.data import Examples, Mnist, load_mnist
from mnist_classification.device import environment, pick_device
from mnist_classification.files import write_atomically
from mnist_classification.model import build, to_pixels
from mnist_classification.recipes import find_recipe
from mnist_classification.training import fit

RESULT = Path(__file__).parent.parent / "results" / "benchmarks" / "same_work.json"
BATCH_SIZE = 32


class PillowMnist(Dataset):
    """One image at a time, with the steps of torchvision's MNIST, ToTensor and Normalize.

    torchvision itself is not used, since it wants the CUDA build of PyTorch.
    """

    def __init__(self, examples: Examples):
        self.images = torch.tensor(examples.images)
        self.labels = torch.tensor(examples.labels, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = self.images[index], int(self.labels[index])
        picture = Image.fromarray(image.numpy())
        # ToTensor: copy out of Pillow, channels first, to [0, 1].
        pixels = torch.from_numpy(np.array(picture, copy=True)).view(28, 28, 1)
        pixels = pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255)
        # Normalize: on a copy, with mean and deviation per channel, the latter checked for zero.
        mean, std = torch.as_tensor([0.5]), torch.as_tensor([0.5])
        if (std == 0).any():
            raise ValueError("zero standard deviation")
        return pixels.clone().sub_(mean.view(-1, 1, 1)).div_(std.view(-1, 1, 1)), label


def original_network() -> nn.Sequential:
    """Return the deeper CNN in the order of the original's layers, in PyTorch's own layout."""
    return nn.Sequential(
        *[nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2)],
        *[nn.Conv2d(32, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.MaxPool2d(2)],
        *[nn.Flatten(), nn.Linear(1024, 100), nn.ReLU(), nn.Linear(100, 10)],
    )


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
    """`fit` as it is, with the original's last row."""
    history = fit(find_recipe("sgd+num-epochs=2"), data, device="cpu", precision=precision).history
    return history[1]["seconds"] - history[0]["seconds"]


WAYS: dict[str, Callable[[Mnist], float]] = {
    "original's style": original_style,
    "plain PyTorch, tensors in memory": tensors_in_memory,
    "this project, float32": lambda data: this_project(data, "float32"),
    "this project, bfloat16": lambda data: this_project(data, "bfloat16"),
}


def gemm_ceiling(dtype: torch.dtype) -> float:
    """Return the floating-point operations per second of a large matrix product, best of three."""
    matrix = torch.randn(4096, 4096).to(dtype)
    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - started)
    return 2 * 4096**3 / min(seconds[1:])


def operations_per_image() -> float:
    """Return the floating-point operations of one image's forward and backward pass."""
    network = build("deeper-cnn", torch.Generator())
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(BATCH_SIZE, 1, 28, 28)).sum().backward()
    return counter.get_total_flops() / BATCH_SIZE


def measure_in_own_process(way: str, images: int) -> float:
    """Return images per second of one way, measured by this script in a new process."""
    command = [sys.executable, __file__, "--way", way, "--images", str(images)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


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
        "environment": environment(pick_device("cpu")),
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each way")
    parser.add_argument("--images", type=int, default=12_800, help="images per epoch")
    parser.add_argument("--output", type=Path, default=RESULT, help="JSON file of the result")
    parser.add_argument("--way", choices=WAYS, help="measure only this way, once, in this process")
    options = parser.parse_args()
    if options.way:
        data = load_mnist()
        part = Mnist(data.train[: options.images], None, data.test, data.sha256, data.directory)
        print(len(part.train) / WAYS[options.way](part))
        return
    result = run(options.rounds, options.images)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(options.output, json.dumps(result, indent=1) + "\n")
    print(table(result))


if __name__ == "__main__":
    main()
