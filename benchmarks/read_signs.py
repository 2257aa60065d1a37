#!/usr/bin/env python3
"""What the reader makes of signs as tall as digits, which it should pass over.

    python3 benchmarks/read_signs.py --sheet runs/signs.png

Each sign is drawn with a pen of one width, straight and round as people write it, beside two to
four digits of the training images that the reader has not learned from. A number counts only if all
of it is read, and nothing more. The sheet shows the first number with each sign, and its reading.
"""

from pathlib import Path

import numpy as np
from arguments import make_parser, positive, save
from PIL import Image, ImageDraw
from read_synthetic import draw_digit

from mnist_classification import Reader, load_mnist
from mnist_classification.shipped import SHIPPED_READER

HEIGHT, WIDTH, PEN, GAP, MARGIN = 60, 36, 4, 15, 40  # pixels
FINER = 4  # times that a sign is drawn larger, so that its edges are smooth
BEFORE, AMONG, BEHIND = "before", "among", "behind"
# A sign's place in the number, and its strokes, WIDTH and HEIGHT being 1: lines as "x y x y", arcs
# as (left, top, right, bottom, first and last angle, clockwise from the right).
SIGNS: dict[str, tuple[str, list]] = {
    "none": (BEFORE, []),
    "(": (BEFORE, [(0.3, 0, 1.5, 1, 110, 250)]),
    ")": (BEHIND, [(-0.5, 0, 0.7, 1, -70, 70)]),
    "[": (BEFORE, ["0.7 0 0.3 0 0.3 1 0.7 1"]),
    "]": (BEHIND, ["0.3 0 0.7 0 0.7 1 0.3 1"]),
    "/": (AMONG, ["0.15 1 0.85 0"]),
    "+": (AMONG, ["0.5 0.2 0.5 0.8", "0.1 0.5 0.9 0.5"]),
    "×": (AMONG, ["0.1 0.3 0.9 1", "0.9 0.3 0.1 1"]),
    "#": (BEFORE, ["0.4 0 0.3 1", "0.7 0 0.6 1", "0 0.35 1 0.35", "0 0.65 1 0.65"]),
    "$": (
        BEFORE,
        [(0.1, 0.1, 0.9, 0.5, 90, 330), (0.1, 0.5, 0.9, 0.9, -90, 150), "0.5 0 0.5 1"],
    ),
    "€": (BEFORE, [(0.2, 0.05, 1.1, 0.95, 50, 310), "0 0.4 0.7 0.4", "0 0.6 0.7 0.6"]),
    "%": (BEHIND, ["0.1 1 0.9 0", (0, 0, 0.4, 0.3, 0, 360), (0.6, 0.7, 1, 1, 0, 360)]),
    "!": (BEHIND, ["0.5 0 0.5 0.7", "0.5 0.95 0.5 1"]),
    "A": (BEFORE, ["0 1 0.5 0 1 1", "0.2 0.6 0.8 0.6"]),
    "T": (BEFORE, ["0 0 1 0", "0.5 0 0.5 1"]),
}


def draw_sign(strokes: list) -> np.ndarray:
    """Draw a sign: (HEIGHT, WIDTH) float, 1 is ink."""
    pen = FINER * PEN
    scale = np.array([FINER * WIDTH - pen, FINER * HEIGHT - pen])
    large = Image.new("L", (FINER * WIDTH, FINER * HEIGHT))
    draw = ImageDraw.Draw(large)
    for stroke in strokes:
        if isinstance(stroke, str):
            points = np.array(stroke.split(), float).reshape(-1, 2) * scale + pen / 2
            draw.line([tuple(point) for point in points], 255, pen, joint="curve")
        else:
            *corners, first, last = stroke
            box = np.array(corners).reshape(2, 2) * scale + [[0, 0], [pen, pen]]
            draw.arc(box.ravel().tolist(), first, last, 255, pen)
    return np.asarray(large.resize((WIDTH, HEIGHT), Image.Resampling.BOX)) / 255


def write_page(sign: str, images: np.ndarray) -> np.ndarray:
    """Write digits, (N, 28, 28) uint8, and a sign on paper: (H, W) uint8."""
    place, strokes = SIGNS[sign]
    marks = [draw_digit(image, HEIGHT, 0.0) for image in images]
    if strokes:
        marks.insert({BEFORE: 0, AMONG: 1, BEHIND: len(marks)}[place], draw_sign(strokes))
    tall = max(len(mark) for mark in marks)
    level = [np.pad(mark, ((tall - len(mark), 0), (0, GAP))) for mark in marks]
    return (250 - 230 * np.pad(np.concatenate(level, axis=1), MARGIN)).round().astype(np.uint8)


def run(reader: Reader, count: int, seed: int) -> tuple[dict, list[np.ndarray]]:
    """Read `count` numbers with each sign; return what was read, and the first page of each."""
    held_back, result, first = load_mnist(holdout=10_000).holdout, {}, []
    assert held_back is not None
    for sign in SIGNS:
        rng = np.random.default_rng(seed)  # the same digits beside each sign
        right = sure_and_wrong = 0
        for number in range(count):
            chosen = rng.integers(len(held_back), size=rng.integers(2, 5))
            page = write_page(sign, held_back.images[chosen])
            reading = reader.read(page)
            is_right = reading.text == "".join(map(str, held_back.labels[chosen]))
            right, sure_and_wrong = right + is_right, sure_and_wrong + (reading.sure > is_right)
            if number == 0:
                first.append(label(page, reading.text + "?" * (not reading.sure)))
        result[sign] = {"n": count, "right": right, "sure and wrong": sure_and_wrong}
    return result, first


def label(page: np.ndarray, text: str) -> np.ndarray:
    """Return the page with what was read in its upper left corner."""
    picture = Image.fromarray(page)
    ImageDraw.Draw(picture).text((4, 4), text, 0)
    return np.asarray(picture)


def table(result: dict) -> str:
    """Return the measurements as Markdown."""
    lines = ["| sign | where | read exactly | sure, and wrong |", "|---|---|---|---|"]
    for sign, row in result.items():
        where = SIGNS[sign][0] if SIGNS[sign][1] else "–"
        lines.append(f"| {sign} | {where} | {row['right']} | {row['sure and wrong']} |")
    return "\n".join([*lines, "", f"{next(iter(result.values()))['n']} numbers with each sign."])


def main() -> None:
    """Measure, write the result, print the table."""
    parser = make_parser(__doc__, "read_signs")
    parser.add_argument("--model", type=Path, default=SHIPPED_READER)
    parser.add_argument("--count", type=positive, default=50, help="numbers with each sign")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheet", type=Path, help="picture of the first number with each sign")
    options = parser.parse_args()
    result, first = run(Reader(options.model), options.count, options.seed)
    save(options.output, result)
    if options.sheet:
        wide = max(page.shape[1] for page in first)
        rows = [np.pad(p, ((0, 0), (0, wide - p.shape[1])), constant_values=250) for p in first]
        options.sheet.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.concatenate(rows)).save(options.sheet)
    print(table(result))


if __name__ == "__main__":
    main()
