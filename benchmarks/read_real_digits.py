#!/usr/bin/env python3
"""How well the reader reads pictures of single digits that people made.

    python3 benchmarks/read_real_digits.py --data ../shared/real-digits
    python3 benchmarks/read_real_digits.py --data ../shared/real-digits --stages

The folder holds `manifest.csv` with at least file, label, kind and repo (the source), and the files
under `images/`. "No digit" and a wrong number of digits are wrong. `--stages` takes each stage of
the search for lines away in turn.
"""

import csv
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from arguments import make_parser, save
from scipy.stats import binomtest

from mnist_classification import Reader
from mnist_classification.reader.lines import ALL_STAGES
from mnist_classification.reader.picture import load_pixels
from mnist_classification.shipped import SHIPPED_READER

# What stands in for a stage that is taken away: the simplest thing of the same shape.
WITHOUT: dict[str, Callable] = {
    "cover_surroundings": lambda _pixels: None,
    "add_margin": lambda _pixels, _width: None,
    "project_colours": lambda pixels: _grey(pixels),
    "flatten_light": lambda darkness, _pixels: darkness - np.median(darkness),
    "scale_contrast": lambda flat: np.clip(flat, 0, 1),
    "separate_ink": lambda strength: strength >= 0.5,
    "drop_frame": lambda marks: marks,
    "drop_around": lambda marks: marks,
    "find_rings": np.zeros_like,
    "fill_outlines": lambda _marks: None,
    "remove_rules": lambda marks, _strength: marks,
    "drop_edges": lambda marks: marks,
}


def reader_without(model: Path, stage: str) -> Reader:
    """Return the reader without that stage."""
    return Reader(model, stages=dataclasses.replace(ALL_STAGES, **{stage: WITHOUT[stage]}))


def _grey(pixels: np.ndarray) -> np.ndarray:
    """Return (H, W) float32 with ink above paper, by lightness alone."""
    grey = pixels.mean(axis=2, dtype=np.float32) / 255
    return 1 - grey if np.median(grey) > 0.5 else grey


def measure(read: list[tuple[str, bool]], rows: list[dict[str, str]]) -> dict:
    """Return accuracy by kind and over sources, and coverage with its accuracy."""
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
    }


def run(data: Path, model: Path, stages: bool) -> dict[str, dict]:
    """Measure the reader, and the reader without each stage if asked for."""
    with (data / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    pictures = [load_pixels(data / "images" / row["file"])[0] for row in rows]

    def read_by(reader: Reader) -> list[tuple[str, bool]]:
        return [(reading.text, reading.sure) for reading in reader.read_many(pictures)]

    result = {"reader": measure(read_by(Reader(model)), rows)}
    for name in WITHOUT if stages else []:
        result[f"reader without {name}"] = measure(read_by(reader_without(model, name)), rows)
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
    parser = make_parser(__doc__, "read_real_digits")
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--model", type=Path, default=SHIPPED_READER)
    parser.add_argument("--stages", action="store_true", help="take away each stage in turn")
    options = parser.parse_args()
    result = run(options.data, options.model, options.stages)
    save(options.output, result)
    print(table(result))


if __name__ == "__main__":
    main()
