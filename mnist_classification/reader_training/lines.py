"""Batches of lines to learn from, made as they are needed.

    source = LineSource(glyphs)
    batch = source.draw(rng)                  # rows of strips, and what is written on each

Strips of all lengths lie in rows of one length, so that no pixel is wasted on filling up; the
network reads whole rows, and each strip's steps are taken out of its row.
"""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from ..reader.strips import HEIGHT, PADDING, STEP, normalise
from .glyphs import Glyphs
from .paper import make_paper, photograph, print_form, smear
from .writing import Hands, Line, draw_lines, write_line

Rng = np.random.Generator

ROWS, ROW_LENGTH = 24, 384  # pixels
COUNTS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
SHARES = (0.16, 0.16, 0.12, 0.12, 0.11, 0.12, 0.1, 0.06, 0.03, 0.02)


@dataclass(frozen=True)
class LineBatch:
    """Strips in rows.

    Attributes:
        rows: (R, 32, L) float32, normalised; 0 between the strips.
        row, start, steps: (N,) where each strip's steps are.
        digits: what is written on each.
    """

    rows: np.ndarray
    row: np.ndarray
    start: np.ndarray
    steps: np.ndarray
    digits: list[list[int]]


class LineSource:
    """Draws batches of lines from glyphs."""

    def __init__(self, glyphs: Glyphs, num_rows: int = ROWS, *, words: bool = False):
        """Sort the glyphs by hand; with `words` there are some beside the numbers."""
        self.glyphs, self.num_rows, self.words = glyphs, num_rows, words
        self.hands = Hands(glyphs)

    def draw(self, rng: Rng, *, many_signs: bool = False) -> LineBatch:
        """Fill so many rows with strips, with signs beside many numbers or beside some."""
        lines, places = self._plan(rng, many_signs)
        rows = np.zeros((self.num_rows, HEIGHT, ROW_LENGTH), np.float32)
        for (row, start), strip in zip(places, self.strips(lines, rng), strict=True):
            rows[row, :, start + PADDING : start + PADDING + strip.shape[1]] = strip
        taken = [-(-(line.width + 2 * PADDING) // STEP) for line in lines]
        return LineBatch(
            rows,
            np.array([row for row, _ in places]),
            np.array([start // STEP for _, start in places]),
            np.array(taken),
            [line.digits for line in lines],
        )

    def _plan(self, rng: Rng, many_signs: bool) -> tuple[list[Line], list[tuple[int, int]]]:
        """Write lines until no row has room for the next one."""
        lines: list[Line] = []
        places: list[tuple[int, int]] = []
        filled = np.zeros(self.num_rows, int)
        while True:
            count = int(rng.choice(COUNTS, p=SHARES))
            line = write_line(self.hands, rng, count, many_signs=many_signs, words=self.words)
            needed = line.width + 2 * PADDING
            needed += needed % STEP
            free = np.flatnonzero(filled + needed <= ROW_LENGTH)
            if len(free) == 0:
                return lines, places
            row = int(free[0])
            lines.append(line)
            places.append((row, int(filled[row])))
            filled[row] += needed

    def strips(self, lines: list[Line], rng: Rng) -> list[np.ndarray]:
        """Draw lines on paper and photograph them: (32, width) float32 each, normalised."""
        strips = []
        for line, darkness in zip(lines, self.photographs(lines, rng), strict=True):
            top, bottom, left, right = line.margins
            strip = np.zeros_like(darkness)
            strip[top:bottom, left:right] = normalise(darkness[top:bottom, left:right])
            strips.append(strip)
        return strips

    def photographs(self, lines: list[Line], rng: Rng) -> list[np.ndarray]:
        """Draw lines on paper and photograph them: (32, width) float32 each, paper about 0."""
        written = draw_lines(self.glyphs, lines, rng)
        around = self._neighbours(lines, rng)
        return [
            _photograph_line(line, np.maximum(ink, other), rng)
            for line, ink, other in zip(lines, written, around, strict=True)
        ]

    def _neighbours(self, lines: list[Line], rng: Rng) -> list[np.ndarray]:
        """Draw what is left of the lines above and below: their feet and heads."""
        others = []
        for line in lines:
            if rng.random() < 0.12:
                other = write_line(self.hands, rng, int(rng.integers(1, 6)), words=self.words)
                if _move_to_the_edge(other, line, rng):
                    others.append(other)
                    continue
            others.append(_empty(line))
        return draw_lines(self.glyphs, others, rng)


def _move_to_the_edge(other: Line, line: Line, rng: Rng) -> bool:
    """Let only the feet or the heads of another line show; say whether the line leaves room."""
    other.pen = other.pen or 0.8
    reach = other.half[:, 1].max()
    cut = rng.uniform(0, 6)
    middle = -reach + cut if rng.random() < 0.5 else HEIGHT + reach - cut
    other.place[:, 1] += middle - other.place[:, 1].mean()
    other.place[:, 0] += rng.uniform(-0.3, 0.3) * line.width
    other.width = line.width
    top = (line.place[:, 1] - line.half[:, 1]).min(initial=HEIGHT)
    bottom = (line.place[:, 1] + line.half[:, 1]).max(initial=0)
    return bool(top >= cut + 1 if middle < 0 else bottom <= HEIGHT - cut - 1)


def _empty(line: Line) -> Line:
    """Return a line as long, with nothing on it."""
    none = np.zeros((0, 2), np.float32)
    return replace(
        line,
        digits=[],
        glyphs=np.zeros(0, np.int64),
        place=none,
        size=none,
        half=none,
        lean=none,
        is_digit=np.zeros(0, bool),
        pressure=np.zeros(0),
    )


def _uneven(shape: tuple[int, int], rng: Rng) -> np.ndarray:
    """Return how much ink stays, 0 to 1: of a pen that skips, of a shape that is not all black."""
    high, wide = shape
    coarse = rng.uniform(rng.uniform(0.1, 0.6), 1.0, (int(rng.integers(2, 8)), max(2, wide // 8)))
    image = Image.fromarray(coarse.astype(np.float32))
    return np.asarray(image.resize((wide, high), Image.Resampling.BILINEAR))


def _photograph_line(line: Line, ink: np.ndarray, rng: Rng) -> np.ndarray:
    if rng.random() < (0.2 if line.digits else 0.6):
        ink = ink * _uneven(ink.shape, rng)
    form = print_form(line, rng)
    joined = np.maximum(ink, form) if rng.random() < 0.7 else ink + form
    if rng.random() < 0.06:
        joined = joined + smear(ink.shape, rng)
    strength = 1.0 if len(line.glyphs) else rng.uniform(0.0, 1.0)
    return photograph(joined * strength + make_paper(ink.shape, rng), rng)
