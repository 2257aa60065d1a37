#!/usr/bin/env python3
"""How well the reader reads hard pages made from MNIST's test digits; anyone can rerun it.

    python3 benchmarks/read_synthetic.py

Digits of the test set, which no model was trained on, are drawn onto paper of one kind after the
other, as numbers of one to eight digits. A number counts only if it is read exactly. Beside that
stands what could be read where nobody has to find anything: how many pages our most accurate ten
networks read together that are shown each digit by itself, as MNIST has it, and how many have no
digit whose label people dispute. The last rows have no writing: empty paper, noise, blots, and
Fashion-MNIST's pictures where `--fashion FOLDER` is given (Debian: dataset-fashion-mnist). There,
to read exactly is to read nothing, and none should be sure.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from arguments import make_parser, positive, save
from PIL import Image
from read_real_digits import WITHOUT, reader_without
from scipy import ndimage
from scipy.stats import binomtest

from mnist_classification import Reader, load_mnist
from mnist_classification.data import Examples
from mnist_classification.shipped import SHIPPED_READER
from mnist_classification.study.published import DISPUTED
from mnist_classification.study.records import majority
from mnist_classification.study.results import load_row

DIGIT_NETWORKS = Path(__file__).parent.parent / "results/runs/seven-epochs+precision=bfloat16"


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
    spread: float = 0.0  # of the digits' heights, as a share
    marks: float = 0.0  # how often a point, comma or dash follows a digit
    turn: float = 0.0  # degrees that the line may rise or fall
    bow: float = 0.0  # heights that its middle may sag
    margin: tuple[float, float] | None = None  # paper around the ink, in heights of a digit
    boxes: bool = False  # each digit in its own, as on a form
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


def guilloche(page: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Print the fine waves of a cheque, two or three families that cross."""
    height, width = page.shape[:2]
    y, x = np.mgrid[:height, :width].astype(float)
    page = page.copy()
    for _ in range(rng.integers(2, 4)):
        turn, period = rng.uniform(0, np.pi), rng.uniform(9, 22)
        along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        across += rng.uniform(3, 12) * np.sin(along / rng.uniform(8, 30))
        away = np.abs(across % period - period / 2)
        page -= rng.uniform(30, 70) * np.clip(1.6 - away, 0, 1)[:, :, None]
    return page


def cheque(page: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Print waves and a line to write on, as a scanner of few dots sees them."""
    page = guilloche(page, rng)
    row = int(len(page) * rng.uniform(0.8, 0.95))
    page[row : row + 2] -= 90
    return ndimage.gaussian_filter(page, (1, 1, 0)) + rng.normal(0, 8, page.shape)


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
    "a box for each digit": Style(boxes=True, margin=(0.1, 0.8)),
    "tight box": Style(boxes=True, gap=(0.1, 0.25), margin=(0.1, 0.3)),
    "security pattern": Style(spoil=guilloche),
    "like a cheque": Style(
        length=(3, 6), height=(24, 40), margin=(0.05, 0.3), spread=0.15, marks=0.2, spoil=cheque
    ),
    "punctuation": Style(marks=0.4),
    "unequal heights": Style(spread=0.4),
    "slopes": Style(turn=9.0),
    "curves": Style(bow=0.6),
    "far away": Style(height=(40, 60), margin=(4.0, 14.0), spoil=texture),
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


def write_number(
    examples: Examples, style: Style, height: int, pen: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Write one number: (h, w) float, 1 is ink; its examples; where digits begin and end."""
    chosen = rng.integers(len(examples), size=rng.integers(style.length[0], style.length[1] + 1))
    line, right, edges = np.zeros((height * 2, 1)), 0, []
    for index in chosen:
        high = height
        if style.spread:
            high = max(6, round(height * rng.uniform(1 - style.spread, 1 + style.spread / 3)))
        digit = draw_digit(examples.images[index], high, pen)
        left = max(0, right + round(rng.uniform(*style.gap) * height) if right else 0)
        top = height + round(rng.uniform(-0.05, 0.05) * height) - len(digit) // 2
        if style.spread:
            top += (height - high) // 2  # they stand on one line
        line, right = _ink(line, digit, max(0, top), left)
        edges += [left, right]
        if style.marks and rng.random() < style.marks:
            line, right = _mark(line, right, height, rng)
    return _bend(line, style, height, rng), chosen, edges


def _ink(line: np.ndarray, mark: np.ndarray, top: int, left: int) -> tuple[np.ndarray, int]:
    """Put a mark onto a line, which grows as needed, and return it and where the mark ends."""
    right = left + mark.shape[1]
    line = np.pad(line, ((0, 0), (0, max(0, right - line.shape[1]))))
    place = line[top : top + len(mark), left:right]
    np.maximum(place, mark[: len(place)], out=place)
    return line, right


def _mark(
    line: np.ndarray, right: int, height: int, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Write a point, a comma or a dash behind a digit."""
    thick = max(2, height // 10)
    tall, wide, top = [
        (thick, thick, 1.5 * height - thick),
        (3 * thick, thick, 1.5 * height - thick),
        (thick, 4 * thick, height),
    ][rng.integers(3)]
    return _ink(line, np.ones((tall, wide)), round(top), right + max(2, height // 8))


def _bend(line: np.ndarray, style: Style, height: int, rng: np.random.Generator) -> np.ndarray:
    """Let a line slope or sag."""
    if style.turn:
        line = ndimage.rotate(line, rng.uniform(-style.turn, style.turn), order=1)
    if style.bow:
        x = np.linspace(-1, 1, line.shape[1])
        depth = round(style.bow * height)
        down = np.round(rng.uniform(-1, 1) * depth * (1 - x**2)).astype(int)
        tall = np.pad(line, ((depth, depth), (0, 0)))
        rows = (np.arange(len(tall))[:, None] - down) % len(tall)
        line = np.take_along_axis(tall, rows, axis=0)
    return np.clip(line, 0, 1)


def make_page(examples: Examples, style: Style, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """Write numbers on a page: (H, W, 3) uint8 and the text."""
    page, numbers = draw_page(examples, style, rng)
    return page, spell(examples, numbers)


def spell(examples: Examples, numbers: list[np.ndarray]) -> str:
    """Return the text of numbers that are made of these examples, one a line."""
    return "\n".join("".join(map(str, examples.labels[number])) for number in numbers)


def draw_page(
    examples: Examples, style: Style, rng: np.random.Generator
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Write numbers on a page: (H, W, 3) uint8, and which examples each number is made of."""
    height = int(rng.integers(style.height[0], style.height[1] + 1))
    pen = rng.uniform(*style.pen)
    numbers = [write_number(examples, style, height, pen, rng) for _ in range(style.lines)]
    lines = [line for line, _, _ in numbers]
    width = max(line.shape[1] for line in lines)
    lines = [np.pad(line, ((0, 0), (0, width - line.shape[1]))) for line in lines]
    written = np.concatenate(lines)
    low, high = height // 3, height
    if style.margin:
        rows = np.flatnonzero((written > 0.5).any(axis=1))
        written = written[rows[0] : rows[-1] + 1]
        low, high = (round(edge * height) for edge in style.margin)
    around = [[int(m) for m in rng.integers(low, high, 2)] for _ in range(2)]
    wet = np.pad(written, around)
    paper = rng.integers(150, 256, 3) if style.paper is None else np.array(style.paper)
    colour = rng.integers(0, 90, 3) if style.ink is None else np.array(style.ink)
    bare = np.broadcast_to(paper.astype(float), (*wet.shape, 3))
    if style.boxes:
        bare = _print_boxes(bare, [edge + around[1][0] for edge in numbers[0][2]], rng)
    bare = style.spoil(bare, rng)
    # Ink darkens, or on black lightens, the spoiled paper by the share of light it lets through.
    share = np.divide(colour, paper)
    page = bare * (1 - wet[:, :, None] * (1 - share))
    return np.clip(page, 0, 255).round().astype(np.uint8), [number for _, number, _ in numbers]


def _print_boxes(page: np.ndarray, edges: list[int], rng: np.random.Generator) -> np.ndarray:
    """Print a row of boxes, a wall between each digit and the next."""
    page = page.copy()
    line, colour = int(rng.integers(1, 4)), rng.uniform(40, 130)
    high, wide = page.shape[:2]
    top, bottom = int(rng.integers(0, 3)), high - line - int(rng.integers(0, 3))
    between = zip(edges[1::2], edges[2::2], strict=False)
    walls = [max(0, edges[0] - 4), *((a + b) // 2 for a, b in between)]
    for wall in [*walls, min(wide - line, edges[-1] + 4)]:
        page[top:bottom, wall : wall + line] = colour
    page[top : top + line, walls[0] : edges[-1] + 4] = colour
    page[bottom : bottom + line, walls[0] : edges[-1] + 4 + line] = colour
    return page


def measure(reader: Reader, pages: list[tuple[np.ndarray, str]]) -> dict[str, Any]:
    """Return the share of pages read exactly, that of sure ones, and of these the right ones."""
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
        "right_among_covered": float(right[sure].mean()) if sure.any() else None,
    }


def share_of_pages(pages: list[list[np.ndarray]], right: np.ndarray) -> float:
    """Return the share of pages all of whose digits are right.

    Args:
        pages: the examples that each page's numbers are made of.
        right: (N,) bool, of each example.
    """
    return float(np.mean([right[np.concatenate(page)].all() for page in pages]))


def empty_paper(rng: np.random.Generator) -> np.ndarray:
    """Photograph paper with nothing on it, in some light."""
    shape = tuple(rng.integers(60, 400, 2))
    page = np.full((*shape, 3), rng.uniform(150, 250, 3))
    return shadow(page, rng) + rng.normal(0, rng.uniform(0.5, 8), page.shape)


def noise(rng: np.random.Generator) -> np.ndarray:
    """Draw grey noise, fine or coarse, weak or strong."""
    shape = tuple(rng.integers(60, 400, 2))
    grain = ndimage.gaussian_filter(rng.standard_normal(shape), np.exp(rng.uniform(-2, 2)))
    grey = 128 + rng.uniform(20, 80) * grain / grain.std()
    return np.repeat(grey[:, :, None], 3, axis=2)


def blots(rng: np.random.Generator) -> np.ndarray:
    """Drop ink on paper: round drops that run into each other, and what splashed off them."""
    high, wide = rng.integers(80, 300, 2)
    ink = np.zeros((high, wide))
    y, x = np.mgrid[:high, :wide]
    for _ in range(rng.integers(1, 4)):
        size = min(high, wide) * rng.uniform(0.06, 0.25)
        middle = rng.uniform(0.2, 0.8, 2) * (high, wide)
        for _ in range(rng.integers(4, 12)):
            dy, dx = middle + rng.normal(0, 0.4 * size, 2)
            ink[np.hypot(y - dy, x - dx) < size * rng.uniform(0.4, 1)] = 1
        for _ in range(rng.integers(0, 6)):
            dy, dx = middle + rng.normal(0, 2 * size, 2)
            ink[np.hypot(y - dy, x - dx) < size * rng.uniform(0.03, 0.15)] = 1
    soft = ndimage.gaussian_filter(ink, rng.uniform(0.5, 2))
    page = 245 - rng.uniform(100, 230, 3) * soft[:, :, None]
    return page + rng.normal(0, rng.uniform(0, 5), page.shape)


NO_WRITING = {"empty paper": empty_paper, "noise": noise, "blots": blots}


def measure_no_writing(reader: Reader, pictures: list[np.ndarray]) -> dict[str, float]:
    """Return on which share of pictures a number is read at all, and with confidence."""
    readings = list(reader.read_many(pictures))
    return {
        "n": len(pictures),
        "read": float(np.mean([bool(reading.text) for reading in readings])),
        "accepted": float(np.mean([reading.sure for reading in readings])),
    }


def run(model: Path, count: int, seed: int, fashion: Path | None) -> dict[str, dict[str, Any]]:
    """Measure every style on `count` pages, drawn from `seed`."""
    reader, mnist = Reader(model), load_mnist()
    examples = mnist.test
    ten = majority([run.digits for run in load_row(DIGIT_NETWORKS, mnist)[:10]])
    undisputed = ~np.isin(np.arange(len(examples)), DISPUTED)
    result = {}
    for name, style in STYLES.items():
        rng = np.random.default_rng([seed, list(STYLES).index(name)])
        drawn = [draw_page(examples, style, rng) for _ in range(count)]
        pages = [(page, spell(examples, numbers)) for page, numbers in drawn]
        result[name] = measure(reader, pages)
        numbers = [numbers for _, numbers in drawn]
        result[name]["digit_by_digit"] = share_of_pages(numbers, ten == examples.labels)
        result[name]["undisputed"] = share_of_pages(numbers, undisputed)
        print(f"{name}: {result[name]['exact']:.1%}", file=sys.stderr)
    for number, (name, draw) in enumerate(NO_WRITING.items()):
        rng = np.random.default_rng([seed, len(STYLES), number])
        pictures = [np.clip(draw(rng), 0, 255).astype(np.uint8) for _ in range(count)]
        result[name] = measure_no_writing(reader, pictures)
    if fashion:
        clothes = load_mnist(fashion).test.images[: 10 * count]
        result["Fashion-MNIST"] = measure_no_writing(reader, list(clothes))
    return result


def take_away_stages(model: Path, count: int, seed: int) -> str:
    """Return, for each stage of the reader, what is lost without it, as Markdown."""
    examples = load_mnist().test
    pages = {
        name: [
            make_page(examples, style, np.random.default_rng([seed, number, page]))
            for page in range(count)
        ]
        for number, (name, style) in enumerate(STYLES.items())
    }

    def exact(reader: Reader) -> dict[str, float]:
        return {name: measure(reader, written)["exact"] for name, written in pages.items()}

    whole = exact(Reader(model))
    mean = float(np.mean(list(whole.values())))
    lines = ["| without | read exactly | lost most on |", "|---|---|---|", f"| – | {mean:.1%} | |"]
    for stage in WITHOUT:
        left = exact(reader_without(model, stage))
        worst = min(STYLES, key=lambda name: left[name] - whole[name])
        lines.append(
            f"| `{stage}` | {np.mean(list(left.values())):.1%} "
            f"| {worst}: {whole[worst]:.0%} → {left[worst]:.0%} |"
        )
        print(lines[-1], file=sys.stderr)
    return "\n".join([*lines, "", f"{count} pages of each of {len(STYLES)} kinds."])


def table(result: dict[str, dict[str, Any]]) -> str:
    """Return the measurements as Markdown."""
    columns = [*("pages", "read exactly", "95% interval", "sure", "right if sure")]
    columns += ["digit by digit", "no disputed label"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name, row in result.items():
        if "accepted" in row:
            lines.append(
                f"| {name} | {1 - row['read']:.1%} | – | {row['accepted']:.1%} | – | – | – |"
            )
            continue
        right = row["right_among_covered"]
        lines.append(
            f"| {name} | {row['exact']:.1%} | {row['low']:.1%}–{row['high']:.1%} "
            f"| {row['coverage']:.1%} | {'–' if right is None else f'{right:.1%}'} "
            f"| {row['digit_by_digit']:.1%} | {row['undisputed']:.1%} |"
        )
    count = next(iter(result.values()))["n"]
    others = [f", {row['n']:,} of {name}" for name, row in result.items() if row["n"] != count]
    return "\n".join([*lines, "", f"{count:,} pages of each kind{''.join(others)}."])


def main() -> None:
    """Measure, write the result, print the table."""
    parser = make_parser(__doc__, "read_synthetic")
    parser.add_argument("--model", type=Path, default=SHIPPED_READER)
    parser.add_argument("--count", type=positive, default=200, help="pages of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fashion", type=Path, help="folder with Fashion-MNIST's files")
    parser.add_argument("--stages", action="store_true", help="take away each stage in turn")
    options = parser.parse_args()
    if options.stages:
        if options.fashion:
            parser.error("--stages has no pages of Fashion-MNIST; try without --fashion")
        print(take_away_stages(options.model, options.count, options.seed))
        return
    result = run(options.model, options.count, options.seed, options.fashion)
    save(options.output, result)
    print(table(result))


if __name__ == "__main__":
    main()
