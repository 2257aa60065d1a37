#!/usr/bin/env python3
"""Pictures per second by `read_many`, against a plain loop of PyTorch calls.

    python3 benchmarks/read_throughput.py --model runs/reader-seed0

Both find the ink by the same stages and use the same network; the loop calls PyTorch for one digit
after the other, as demos do, `read_many` calls ONNX Runtime for a batch. They take turns, for
several rounds; the second pair has the network's part alone. Pictures are MNIST's test images
enlarged four times.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mnist_classification import Reader, load_mnist
from mnist_classification.reader.reader import prepare
from mnist_classification.reader_training.export import export_onnx
from mnist_classification.trained import Trained, load_model


def plain_loop(trained: Trained, images: list[np.ndarray]) -> None:
    """Classify (28, 28) uint8 images one after the other by PyTorch."""
    recipe, network = trained.recipe, trained.network.eval()
    with torch.inference_mode():
        for image in images:
            pixels = torch.from_numpy(image)[None, None].float().div(255)
            network((pixels - recipe.pixel_mean) / recipe.pixel_std).softmax(dim=1).argmax().item()


def prepare_all(pictures: list[np.ndarray]) -> list[np.ndarray]:
    """Return the image of each digit on the pictures."""
    return [shape[0][0][1] for picture in pictures for shape in prepare(picture).shapes]


def main() -> None:
    """Measure and print pictures per second: medians, ranges and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="that `mnist train` wrote")
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    trained = load_model(options.model)
    test = load_mnist().test
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(trained, Path(folder) / "model.onnx", test.images[:500])
        reader = Reader(folder)
    pictures = [
        np.asarray(Image.fromarray(255 - image).resize((112, 112), Image.Resampling.BICUBIC))
        for image in test.images[: options.pictures]
    ]
    digits = np.stack(prepare_all(pictures))
    ways: dict[str, Callable[[], object]] = {
        "pictures, plain loop": lambda: plain_loop(trained, prepare_all(pictures)),
        "pictures, read_many": lambda: list(reader.read_many(pictures)),
        "network alone, plain loop": lambda: plain_loop(trained, list(digits)),
        "network alone, ONNX Runtime": lambda: reader.classifier.predict(digits),
    }
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, work in ways.items():
            started = time.perf_counter()
            work()
            rates[way].append(options.pictures / (time.perf_counter() - started))
    print("| way | per second, median | range | to the loop |\n|---|---|---|---|")
    medians = {way: statistics.median(measured) for way, measured in rates.items()}
    for way, measured in rates.items():
        loop = medians["network alone, plain loop" if "alone" in way else "pictures, plain loop"]
        print(
            f"| {way} | {medians[way]:,.0f} | {min(measured):,.0f}–{max(measured):,.0f} "
            f"| {medians[way] / loop:.2f}× |"
        )


if __name__ == "__main__":
    main()
