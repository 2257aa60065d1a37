#!/usr/bin/env python3
"""How well the reader reads pictures of single digits that people made.

    python3 benchmarks/read_real_digits.py --data ../shared/real-digits
    python3 benchmarks/read_real_digits.py --data ../shared/real-digits --stages

The folder holds `manifest.csv` with at least file, label, kind and repo (the source), and the files
under `images/`. Accuracy is forced: "no digit", "not sure" and a wrong number of digits are wrong.
Two ways that others prepare pictures are the rows to beat, each with the same network; `--stages`
takes each stage of the reader away in turn.
"""

import argparse
import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.stats import binomtest

from mnist_classification import Reader
from mnist_classification.files import write_atomically
from mnist_classification.reader import ink
from mnist_classification.reader.picture import load_pixels
from mnist_classification.reader.reader import SHIPPED_READER

# What stands in for a stage that is taken away: the simplest thing of the same shape.
WITHOUT: dict[str, Callable] = {
    "project_colours": lambda pixels: _grey(pixels),
    "flatten_light": lambda darkness, _pixels: darkness - np.median(darkness),
    "scale_contrast": lambda flat: np.clip(flat, 0, 1),
    "separate_ink": lambda strength: strength >= 0.5,
    "drop_frame": lambda marks: marks,
    "remove_rules": lambda marks, _strength: marks,
    "drop_edges": lambda marks: marks,
    "drop_specks": lambda marks: marks,
    "join_strokes": lambda marks: ndimage.label(marks, ink.EIGHT)[0],
    "drop_misfits": lambda shapes: shapes,
    "ways_to_cut": lambda shape: [[shape]],
    "even_strokes": lambda distance: distance,
    "centre": lambda digit: _centred_by_box(digit),
}


def _grey(pixels: np.ndarray) -> np.ndarray:
    """Return (H, W) float32 with ink above paper, by lightness alone."""
    grey = pixels.mean(axis=2, dtype=np.float32) / 255
    return 1 - grey if np.median(grey) > 0.5 else grey


def _centred_by_box(digit: np.ndarray) -> np.ndarray:
    """Put a digit of at most 20×20 into the middle of 28×28."""
    image = np.zeros((28, 28), np.uint8)
    top, left = ((28 - side) // 2 for side in digit.shape)
    image[top : top + digit.shape[0], left : left + digit.shape[1]] = np.round(digit * 255)
    return image


def naive(pixels: np.ndarray) -> np.ndarray:
    """Prepare a picture as most demos do: grey, inverted if bright, resized to 28×28."""
    grey = Image.fromarray(pixels).convert("L").resize((28, 28))
    image = np.asarray(grey)
    return 255 - image if image.mean() > 127 else image


def plain_mnist(pixels: np.ndarray) -> np.ndarray:
    """Prepare a picture by MNIST's recipe and no more: threshold, crop, fit, centre by mass."""
    grey = np.asarray(Image.fromarray(pixels).convert("L")).astype(np.float32)
    grey = 255 - grey if np.median(grey) > 127 else grey
    grey = (grey - grey.min()) / max(np.ptp(grey), 1)
    rows, columns = np.nonzero(grey > 0.5)
    if len(rows) == 0:
        return np.zeros((28, 28), np.uint8)
    digit = grey[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    digit = np.where(digit > 0.3, digit, 0)
    size = [max(1, round(side * 20 / max(digit.shape))) for side in digit.shape]
    small = Image.fromarray(digit).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return ink.centre(np.clip(np.asarray(small), 0, 1))


def read_by(
    prepare: Callable[[np.ndarray], np.ndarray], reader: Reader, pictures: list[np.ndarray]
) -> list[tuple[str, bool]]:
    """Read pictures by another preparation with the reader's network: text, and whether sure."""
    probabilities = reader.classifier.predict(np.stack([prepare(p) for p in pictures]))
    sure = probabilities.max(axis=1) >= reader.threshold
    return [(str(p.argmax()), bool(s)) for p, s in zip(probabilities, sure, strict=True)]


def measure(read: list[tuple[str, bool]], rows: list[dict[str, str]]) -> dict:
    """Return forced accuracy by kind and over sources, and coverage with its accuracy."""
    right = np.array([text == row["label"] for (text, _), row in zip(read, rows, strict=True)])
    sure = np.array([sure for _, sure in read])
    kinds = np.array([row["kind"] for row in rows])
    sources = np.array([row["repo"] for row in rows])
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    return {
        "n": len(rows),
        "forced": float(right.mean()),
        "interval": [float(interval.low), float(interval.high)],
        "by_kind": {str(k): float(right[kinds == k].mean()) for k in np.unique(kinds)},
        "mean_over_sources": float(np.mean([right[sources == s].mean() for s in set(sources)])),
        "coverage": float(sure.mean()),
        "right_among_covered": float(right[sure].mean()) if sure.any() else None,
        "wrong": {
            row["file"]: text
            for (text, _), row, ok in zip(read, rows, right, strict=True)
            if not ok
        },
    }


def run(data: Path, model: Path, stages: bool) -> dict[str, dict]:
    """Measure every way of reading, and the reader without each stage if asked for."""
    with (data / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    pictures = [load_pixels(data / "images" / row["file"])[0] for row in rows]
    reader = Reader(model)

    def by_reader() -> list[tuple[str, bool]]:
        return [(reading.text, reading.sure) for reading in reader.read_many(pictures)]

    result = {
        "naive": measure(read_by(naive, reader, pictures), rows),
        "plain MNIST preparation": measure(read_by(plain_mnist, reader, pictures), rows),
        "reader": measure(by_reader(), rows),
    }
    for name, stand_in in WITHOUT.items() if stages else []:
        with patch.object(ink, name, stand_in):
            result[f"reader without {name}"] = measure(by_reader(), rows)
        print(f"{name}: {result[f'reader without {name}']['forced']:.1%}", file=sys.stderr)
    return result


def table(result: dict[str, dict]) -> str:
    """Return the measurements as Markdown."""
    kinds = list(result["reader"]["by_kind"])
    lines = [
        f"| way | all | {' | '.join(kinds)} | mean over sources | coverage | right if sure |",
        "|---" * (len(kinds) + 5) + "|",
    ]
    for way, row in result.items():
        cells = [row["forced"], *(row["by_kind"][kind] for kind in kinds)]
        cells += [row["mean_over_sources"], row["coverage"], row["right_among_covered"]]
        shown = " | ".join("–" if cell is None else f"{cell:.1%}" for cell in cells)
        lines.append(f"| {way} | {shown} |")
    low, high = result["reader"]["interval"]
    lines += [
        "",
        f"n = {result['reader']['n']}; the reader's 95% interval {low:.1%} to {high:.1%}.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, write the figures, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--model", type=Path, default=SHIPPED_READER)
    parser.add_argument("--stages", action="store_true", help="take away each stage in turn")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    result = run(options.data, options.model, options.stages)
    if options.output:
        write_atomically(options.output, json.dumps(result, indent=1) + "\n")
    print(table(result))
    print("\nwrong:", json.dumps(result["reader"]["wrong"]))


if __name__ == "__main__":
    main()
