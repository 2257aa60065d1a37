#!/usr/bin/env python3
"""How well the reader reads hard pages made from MNIST's test digits; anyone can rerun it.

    python3 benchmarks/read_synthetic.py

Digits of the test set, which no model was trained on, are drawn onto paper of one kind after the
other, as numbers of one to eight digits. A number counts only if it is read exactly. The last row
has Fashion-MNIST's pictures where `--fashion FOLDER` is given (Debian: dataset-fashion-mnist): how
many are accepted as digits. The result is written to results/benchmarks/read_synthetic.json.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image
from read_real_digits import WITHOUT
from scipy import ndimage
from scipy.stats import binomtest

from mnist_classification import Reader, load_mnist
from mnist_classification.data import Examples
from mnist_classification.files import write_atomically
from mnist_classification.reader import ink
from mnist_classification.reader.reader import SHIPPED_READER

RESULT = Path(__file__).parent.parent / "results" / "benchmarks" / "read_synthetic.json"


@dataclass
class Style:
    """How one page is written: ranges to draw from, and what is done to the page."""

    length: tuple[int, int] = (2, 8)  # digits
    height: tuple[int, int] = (40, 90)  # pixels of MNIST's 20
    gap: tuple[float, float] = (0.15, 0.5)  # between digits, in heights; below 0 they touch
    pen: tuple[float, float] = (0.0, 0.0)  # strokes thickened by so many of MNIST's pixels
    ink: tuple[int, int, int] | None = (20, 20, 30)  # None: any dark colour
    paper: tuple[int, int, int] | None = (250, 250, 247)  # None: any light colour
    lines: int = 1  # of writing
    spoil: Callable[[np.ndarray, np.random.Generator], np.ndarray] = lambda page, _rng: page


def shadow(page: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Darken the page towards one side, and by a soft-edged shadow across it."""
    height, width = page.shape[:2]
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    light = 1 - 0.4 * (along - along.min()) / np.ptp(along)
    edge = rng.uniform(0.3, 0.7) * np.ptp(along) + along.min()
    light *= 1 - 0.35 / (1 + np.exp((along - edge) * rng.uniform(10, 30)))
    return page * light[:, :, None]


def texture(page: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add the grain of paper, coarse and fine, and the camera's noise."""
    shape = page.shape[:2]
    grain = sum(
        ndimage.gaussian_filter(rng.standard_normal(shape), sigma) * sigma * strength
        for sigma, strength in [(1, 6), (4, 12), (12, 25)]
    )
    return page + grain[:, :, None] + rng.normal(0, 5, page.shape)


def ruled(page: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rule the page with blue lines."""
    spacing, first = int(rng.integers(24, 60)), int(rng.integers(5, 24))
    page = page.copy()
    for y in range(first, len(page), spacing):
        page[y : y + 2] = np.minimum(page[y : y + 2], (150, 170, 220))
    return page


def desk(page: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Let a dark desk show along two sides of the page."""
    page = page.copy()
    wide = int(0.06 * min(page.shape[:2]))
    page[:, : rng.integers(1, wide + 2)] = page[-int(rng.integers(1, wide + 2)) :] = (70, 50, 40)
    return page


def dirt(page: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Strew dark specks of one to three pixels."""
    page = page.copy()
    for _ in range(int(rng.integers(10, 40))):
        y, x = (int(rng.integers(side)) for side in page.shape[:2])
        size = int(rng.integers(1, 4))
        page[y : y + size, x : x + size] = 60
    return page


def framed(page: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Print the box of a form around what is written."""
    page = page.copy()
    margin, line = int(rng.integers(2, 6)), int(rng.integers(2, 4))
    bare = page[margin + line : -margin - line, margin + line : -margin - line].copy()
    page[margin:-margin, margin:-margin] = 40
    page[margin + line : -margin - line, margin + line : -margin - line] = bare
    return page


STYLES = {
    "single digits": Style(length=(1, 1)),
    "clean lines": Style(),
    "two lines": Style(lines=2),
    "small, 14 to 20 pixels": Style(height=(14, 20)),
    "large, 150 to 250 pixels": Style(height=(150, 250), length=(1, 4)),
    "thin pen": Style(pen=(-0.8, -0.5)),
    "thick pen": Style(pen=(0.6, 1.2)),
    "any ink on any paper": Style(ink=None, paper=None),
    "white on black": Style(ink=(240, 240, 240), paper=(15, 15, 15)),
    "pencil": Style(ink=(165, 165, 165), spoil=texture),
    "shadow": Style(spoil=shadow),
    "textured paper": Style(spoil=texture),
    "ruled paper": Style(spoil=ruled),
    "desk at the edges": Style(spoil=desk),
    "specks of dirt": Style(spoil=dirt),
    "box of a form": Style(spoil=framed),
    "all of it": Style(
        ink=None, paper=None, spoil=lambda page, rng: texture(shadow(ruled(page, rng), rng), rng)
    ),
    "touching": Style(length=(2, 3), gap=(-0.12, 0.0)),
}


def draw_digit(image: np.ndarray, height: int, pen: float) -> np.ndarray:
    """Enlarge one of MNIST's digits smoothly, its strokes thickened: (h, w) float, 1 is ink."""
    factor = height / 20
    size = round(28 * factor)
    large = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))
    inside = np.pad(large > 110, round(3 * factor))
    inward, outward = (ndimage.distance_transform_edt(side) for side in (inside, ~inside))
    wet = np.clip(inward - outward + pen * factor / 2 + 0.5, 0, 1)
    rows, columns = np.nonzero(wet > 0.5)
    if len(rows) == 0:  # the pen was thinner than the digit's strokes
        return draw_digit(image, height, pen / 2)
    return wet[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def make_page(examples: Examples, style: Style, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """Write numbers on a page: (H, W, 3) uint8 and the text."""
    height = int(rng.integers(style.height[0], style.height[1] + 1))
    pen = rng.uniform(*style.pen)
    written, text = [], []
    for _ in range(style.lines):
        chosen = rng.integers(
            len(examples), size=rng.integers(style.length[0], style.length[1] + 1)
        )
        line, right = np.zeros((height * 2, 1)), 0
        for index in chosen:
            digit = draw_digit(examples.images[index], height, pen)
            left = max(0, right + round(rng.uniform(*style.gap) * height) if right else 0)
            top = max(0, height + round(rng.uniform(-0.05, 0.05) * height) - len(digit) // 2)
            right = left + digit.shape[1]
            line = np.pad(line, ((0, 0), (0, max(0, right - line.shape[1]))))
            place = line[top : top + len(digit), left:right]
            np.maximum(place, digit[: len(place)], out=place)
        written.append(line)
        text.append("".join(str(examples.labels[index]) for index in chosen))
    width = max(line.shape[1] for line in written)
    lines = [np.pad(line, ((0, 0), (0, width - line.shape[1]))) for line in written]
    wet = np.pad(
        np.concatenate(lines),
        [[int(m) for m in rng.integers(height // 3, height, 2)] for _ in range(2)],
    )
    paper = rng.integers(150, 256, 3) if style.paper is None else np.array(style.paper)
    colour = rng.integers(0, 90, 3) if style.ink is None else np.array(style.ink)
    bare = style.spoil(np.broadcast_to(paper.astype(float), (*wet.shape, 3)), rng)
    # Ink darkens, or on black lightens, the spoiled paper by the share of light it lets through.
    share = np.divide(colour, paper)
    page = bare * (1 - wet[:, :, None] * (1 - share))
    return np.clip(page, 0, 255).round().astype(np.uint8), "\n".join(text)


def measure(reader: Reader, pages: list[tuple[np.ndarray, str]]) -> dict[str, float]:
    """Return the share of pages, and of digits' counts, read exactly, and coverage."""
    readings = list(reader.read_many(page for page, _ in pages))
    right = np.array([r.text == text for r, (_, text) in zip(readings, pages, strict=True)])
    sure = np.array([reading.sure for reading in readings])
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    return {
        "n": len(pages),
        "exact": float(right.mean()),
        "low": float(interval.low),
        "high": float(interval.high),
        "coverage": float(sure.mean()),
        "right_among_covered": float(right[sure].mean()) if sure.any() else 0.0,
    }


def run(model: Path, count: int, seed: int, fashion: Path | None) -> dict[str, dict[str, float]]:
    """Measure every style on `count` pages, drawn from `seed`."""
    reader = Reader(model)
    examples = load_mnist().test
    result = {}
    for name, style in STYLES.items():
        rng = np.random.default_rng([seed, list(STYLES).index(name)])
        result[name] = measure(reader, [make_page(examples, style, rng) for _ in range(count)])
        print(f"{name}: {result[name]['exact']:.1%}", file=sys.stderr)
    if fashion:
        pictures = load_mnist(fashion).test.images[: 10 * count]
        readings = list(reader.read_many(pictures))
        accepted = np.mean([reading.sure for reading in readings])
        result["Fashion-MNIST"] = {"n": len(pictures), "accepted": float(accepted)}
    return result


def take_away_stages(model: Path, count: int, seed: int) -> str:
    """Return, for each stage of the reader, what is lost without it, as Markdown."""
    reader, examples = Reader(model), load_mnist().test
    pages = {
        name: [
            make_page(examples, style, np.random.default_rng([seed, number, page]))
            for page in range(count)
        ]
        for number, (name, style) in enumerate(STYLES.items())
    }

    def exact() -> dict[str, float]:
        return {name: measure(reader, written)["exact"] for name, written in pages.items()}

    whole = exact()
    mean = float(np.mean(list(whole.values())))
    lines = ["| without | read exactly | lost most on |", "|---|---|---|", f"| – | {mean:.1%} | |"]
    for stage, stand_in in WITHOUT.items():
        with patch.object(ink, stage, stand_in):
            left = exact()
        worst = min(STYLES, key=lambda name: left[name] - whole[name])
        lines.append(
            f"| `{stage}` | {np.mean(list(left.values())):.1%} "
            f"| {worst}: {whole[worst]:.0%} → {left[worst]:.0%} |"
        )
        print(lines[-1], file=sys.stderr)
    return "\n".join([*lines, "", f"{count} pages of each of {len(STYLES)} kinds."])


def table(result: dict[str, dict[str, float]]) -> str:
    """Return the measurements as Markdown."""
    lines = ["| pages | read exactly | 95% interval | sure | right if sure |", "|---" * 5 + "|"]
    for name, row in result.items():
        if "accepted" in row:
            lines.append(f"| {name} | – | – | {row['accepted']:.1%} | – |")
            continue
        lines.append(
            f"| {name} | {row['exact']:.1%} | {row['low']:.1%}–{row['high']:.1%} "
            f"| {row['coverage']:.1%} | {row['right_among_covered']:.1%} |"
        )
    return "\n".join([*lines, "", f"{next(iter(result.values()))['n']:,.0f} pages of each kind."])


def main() -> None:
    """Measure, write the result, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=SHIPPED_READER)
    parser.add_argument("--count", type=int, default=200, help="pages of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fashion", type=Path, help="folder with Fashion-MNIST's files")
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--stages", action="store_true", help="take away each stage in turn")
    options = parser.parse_args()
    if options.stages:
        print(take_away_stages(options.model, options.count, options.seed))
        return
    result = run(options.model, options.count, options.seed, options.fashion)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(options.output, json.dumps(result, indent=1) + "\n")
    print(table(result))


if __name__ == "__main__":
    main()
