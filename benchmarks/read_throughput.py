#!/usr/bin/env python3
"""Pictures per second, and where the time goes.

    python3 benchmarks/read_throughput.py

Pictures are numbers of MNIST's test digits on paper, of one, six and twice six digits, and a photo
of four megapixels with six. The parts take turns, for several rounds; one thread.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from arguments import positive
from PIL import Image
from read_synthetic import Style, make_page

from mnist_classification import Reader, load_mnist
from mnist_classification.reader.lines import prepare, propose
from mnist_classification.reader.picture import load_pixels
from mnist_classification.reader.strips import cut_strip
from mnist_classification.shipped import SHIPPED_READER

STYLES = {
    "one digit": Style(length=(1, 1)),
    "six digits": Style(length=(6, 6)),
    "two lines of six": Style(length=(6, 6), lines=2),
}


def make_pictures(count: int) -> dict[str, list[np.ndarray]]:
    """Return so many pictures of each kind."""
    examples, rng = load_mnist().test, np.random.default_rng(0)
    pictures = {
        name: [make_page(examples, style, rng)[0] for _ in range(count)]
        for name, style in STYLES.items()
    }
    pictures["a photo of 4 megapixels"] = [
        np.asarray(Image.fromarray(page).resize((2400, 1667), Image.Resampling.BICUBIC))
        for page in pictures["six digits"][: max(2, count // 10)]
    ]
    return pictures


def parts(reader: Reader, pictures: list[np.ndarray]) -> dict[str, Callable[[], object]]:
    """Return the work on pictures, whole and in part."""
    pages = [prepare(load_pixels(picture)[0]) for picture in pictures]
    strips = [
        cut_strip(page.darkness, region).image
        for page in pages
        for regions in propose(page)[:1]
        for region in regions
    ]
    return {
        "all of it": lambda: list(reader.read_many(pictures)),
        "loading and finding lines": lambda: [
            propose(prepare(load_pixels(picture)[0])) for picture in pictures
        ],
        "the network, once per line": lambda: [reader.recognizer.read(strip) for strip in strips],
    }


def main() -> None:
    """Measure and print milliseconds per picture: medians and ranges."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=SHIPPED_READER)
    parser.add_argument("--pictures", type=positive, default=50, help="of each kind")
    parser.add_argument("--rounds", type=positive, default=5)
    options = parser.parse_args()
    reader = Reader(options.model)
    print("| pictures | work | ms per picture, median | range | per second |")
    print("|---|---|---|---|---|")
    for name, pictures in make_pictures(options.pictures).items():
        work = parts(reader, pictures)
        spent: dict[str, list[float]] = {part: [] for part in work}
        for _ in range(options.rounds):
            for part, do in work.items():
                started = time.perf_counter()
                do()
                spent[part].append(1000 * (time.perf_counter() - started) / len(pictures))
        for part, found in spent.items():
            middle = statistics.median(found)
            print(
                f"| {name} | {part} | {middle:.1f} | {min(found):.1f}–{max(found):.1f} "
                f"| {1000 / middle:,.0f} |"
            )


if __name__ == "__main__":
    main()
