"""One hand writes a number: which digits, where they stand, how the pen draws them.

    hands = Hands(glyphs)
    line = write_line(hands, rng, num_digits=4)
    ink = draw_lines(glyphs, [line])[0]       # (32, width) float32, 0 to 1

Digits of one number are one person's. MNIST's training set alternates two groups: at the odd
places employees in the order of the forms, so that neighbours are mostly one writer's; at the even
ones students, in no order, of whom those of like slant stand in for one writer.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional as F

from ..reader.strips import HEIGHT
from .glyphs import (
    CLOSE,
    COMMA,
    DASH,
    HASH,
    LETTER,
    OPEN,
    PER_PIXEL,
    PERCENT,
    PLUS,
    POINT,
    RING,
    SHAPE,
    SIDE,
    SIGN,
    TALL,
    Glyphs,
)
from .letters import DEEP, HIGH, LETTERS, choose_word

Rng = np.random.Generator

PATCH = 60  # pixels, the width of what one glyph may cover
LONGEST = 340  # pixels of a line
DESCENDING = np.isin(np.arange(10), [7, 9, 4, 1, 3, 5])  # digits that some hands let hang down
LETTERS_AND_DIGITS = 11  # so many of a line at most; with more they would be tiny
NEIGHBOURS = 6  # so many of a digit's images on either side are taken to be one hand's


class Hands:
    """Finds glyphs of one hand."""

    def __init__(self, glyphs: Glyphs):
        """Order each digit's images by writer, or by what is like a writer.

        Args:
            glyphs: what can be written.
        """
        self.glyphs = glyphs
        scanned = np.arange(glyphs.num_scanned)
        odd = scanned % 2 == 1
        slant = _slant(glyphs.grey[: glyphs.num_scanned])
        place = np.where(odd, scanned, 0.0) / max(len(scanned), 1)
        rank = np.empty(len(scanned))
        rank[np.argsort(slant)] = np.linspace(0, 1, len(scanned))
        place = np.where(odd, place, rank)
        self.groups = [self._sort(scanned[mask], place) for mask in (odd, ~odd)]
        self.drawn = {k: self._drawn(k) for k in range(LETTER + len(LETTERS))}

    def _sort(self, chosen: np.ndarray, place: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return per digit the images in order, and their places, 0 to 1."""
        sorted_by_digit = []
        for digit in range(10):
            own = chosen[self.glyphs.kind[chosen] == digit]
            own = own[np.argsort(place[own], kind="stable")]
            sorted_by_digit.append((own, place[own]))
        return sorted_by_digit

    def _drawn(self, kind: int) -> np.ndarray:
        n = self.glyphs.num_scanned
        return n + np.flatnonzero(self.glyphs.kind[n:] == kind)

    def pick(self, rng: Rng, digits: list[int]) -> list[int]:
        """Return a glyph for each digit, all by one hand; some hands draw what ours draws."""
        group = self.groups[int(rng.integers(2))]
        place = rng.random()
        own_pen = rng.random() < 0.38  # whoever writes a 1 with an up-stroke always does
        foreign = {d for d in range(10) if own_pen and len(self.drawn[d]) and rng.random() < 0.6}
        steady = rng.random() < 0.3  # the same digit comes out the same
        chosen: dict[int, int] = {}
        found = []
        for digit in digits:
            if steady and digit in chosen:
                found.append(chosen[digit])
                continue
            if digit in foreign:
                glyph = int(rng.choice(self.drawn[digit]))
            else:
                images, places = group[digit]
                at = int(np.searchsorted(places, place) + rng.integers(-NEIGHBOURS, NEIGHBOURS + 1))
                glyph = int(images[min(max(at, 0), len(images) - 1)])
            chosen[digit] = glyph
            found.append(glyph)
        return found

    def pick_mark(self, rng: Rng, kind: int) -> int:
        """Return a mark of that kind."""
        return int(rng.choice(self.drawn[kind]))

    def pick_word(self, rng: Rng, longest: int) -> list[int]:
        """Return the letters of a word; mostly the same letter comes out the same."""
        word = choose_word(rng, longest)
        same = {letter: self.pick_mark(rng, LETTER + LETTERS.index(letter)) for letter in set(word)}
        if rng.random() < 0.6:
            return [same[letter] for letter in word]
        return [self.pick_mark(rng, LETTER + LETTERS.index(letter)) for letter in word]


def _slant(images: np.ndarray) -> np.ndarray:
    """Return how far the ink leans, as the slope of its columns over its rows: (N,)."""
    weight = images.astype(np.float32).reshape(len(images), SIDE, SIDE)
    mass = weight.sum(axis=(1, 2)) + 1e-6
    axis = np.arange(SIDE, dtype=np.float32)
    x = (weight.sum(axis=1) @ axis) / mass
    y = (weight.sum(axis=2) @ axis) / mass
    xy = np.einsum("nyx,y,x->n", weight, axis, axis, optimize=True) / mass - x * y
    yy = (weight.sum(axis=2) @ axis**2) / mass - y**2
    return -xy / np.maximum(yy, 1e-3)


@dataclass
class Line:
    """A number as it is to be drawn; lengths in pixels of the strip.

    Attributes:
        digits: the labels, from the left.
        width: of the strip.
        glyphs: index of each glyph, digits and marks.
        place: (N, 2) centres.
        size: (N, 2) pixels per pixel of the glyph, across and down.
        half: (N, 2) half of the width and height of the glyph's ink.
        lean: (N, 2) shear and rotation.
        is_digit: (N,) bool.
        pen: half of its width; 0 for the scan as it is.
        edge: over how many pixels a stroke's ink fades.
        pressure: (N,) strength of the ink.
        margins: top, bottom, left and right edge of what is shown of the strip.
    """

    digits: list[int]
    width: int
    glyphs: np.ndarray
    place: np.ndarray
    size: np.ndarray
    half: np.ndarray
    lean: np.ndarray
    is_digit: np.ndarray
    pen: float
    edge: float
    pressure: np.ndarray
    margins: tuple[int, int, int, int] = field(default=(0, 0, 0, 0))


def choose_digits(rng: Rng, count: int) -> list[int]:
    """Choose digits by chance, with the runs of equal ones that numbers have."""
    digits = rng.integers(0, 10, count)
    if count > 1 and rng.random() < 0.35:
        repeats = rng.random(count) < 0.5
        for i in range(1, count):
            digits[i] = digits[i - 1] if repeats[i] else digits[i]
    if count > 2 and rng.random() < 0.12:
        digits[-int(rng.integers(2, count)) :] = 0
    return digits.tolist()


def write_line(
    hands: Hands, rng: Rng, num_digits: int, *, many_signs: bool = False, words: bool = False
) -> Line:
    """Write a number by one hand somewhere on a strip; `num_digits` 0 leaves marks, or nothing.

    Args:
        many_signs: beside most numbers, not only as often as people write them.
        words: beside some numbers, or by themselves.
    """
    digits = choose_digits(rng, num_digits)
    written = [(glyph, True) for glyph in hands.pick(rng, digits)]
    items = _with_marks(hands, rng, written, many_signs, words)
    slots = _lay_out(hands.glyphs, rng, items)
    if rng.random() < 0.1:
        items, slots = _join(hands, rng, items, slots)
    return _fit(rng, digits, items, slots)


def _with_marks(
    hands: Hands, rng: Rng, items: list[tuple[int, bool]], many_signs: bool, words: bool
) -> list[tuple[int, bool]]:
    """Put marks between digits and at the ends: what is written but not read."""

    def mark(*kinds: int) -> tuple[int, bool]:
        return hands.pick_mark(rng, int(rng.choice(kinds))), False

    def word(longest: int) -> list[tuple[int, bool]]:
        return [(letter, False) for letter in hands.pick_word(rng, longest)]

    if not items:
        choice = rng.random()
        if choice < 0.2:
            return []
        if words and choice > 0.75:
            return word(8)
        # No slash or bracket by itself: that is how many people write a 1.
        kinds = (SHAPE,) if choice < 0.52 else (SIGN, SIGN, DASH, POINT, COMMA)
        return [mark(*kinds) for _ in range(1 if rng.random() < 0.6 else int(rng.integers(2, 6)))]
    phrase = rng.random()
    if phrase < (0.18 if many_signs else 0.13):  # with what people write around numbers
        return _in_a_phrase(items, mark, rng)
    punctuated = rng.random() < 0.4 and len(items) > 1
    divided = rng.random() < (0.25 if many_signs else 0.15)  # as a date is
    between = (TALL, TALL, SIGN) if divided else (POINT, POINT, COMMA, COMMA, DASH)
    marked: list[tuple[int, bool]] = []
    for number, item in enumerate(items):
        if punctuated and number and rng.random() < 0.3:
            marked.append(mark(*between))
        marked.append(item)
    if rng.random() < (0.3 if many_signs else 0.26):
        marked.append(mark(POINT, COMMA, DASH, DASH, RING, SIGN, SIGN, TALL))
        if rng.random() < 0.4:
            marked.append(mark(DASH, POINT, SIGN))
    if rng.random() < (0.18 if many_signs else 0.14):
        marked.insert(0, mark(DASH, SIGN, SIGN, SIGN, POINT, RING, TALL))
        if rng.random() < 0.3:
            marked.insert(0, mark(DASH, SIGN))
    room = LETTERS_AND_DIGITS - len(marked)
    if words and room >= 2 and rng.random() < 0.16:
        if rng.random() < 0.6:
            marked = [*word(room), *marked]
        else:
            marked += word(min(room, 2 if rng.random() < 0.5 else 6))  # a unit, or what is counted
    return marked


def _in_a_phrase(
    items: list[tuple[int, bool]], mark: Callable[..., tuple[int, bool]], rng: Rng
) -> list[tuple[int, bool]]:
    """Put a number in brackets, or a percent sign, a plus or a number sign beside it."""
    kind = rng.random()
    if kind < 0.38:
        last = [] if rng.random() < 0.1 else [mark(CLOSE)]
        if rng.random() < 0.1:
            last.insert(0, mark(PERCENT, DASH, POINT))
        return [mark(OPEN), *items, *last] if rng.random() < 0.92 else [*items, mark(CLOSE)]
    if kind < 0.68:
        return [*items, mark(PERCENT)]
    if kind < 0.88:
        place = 0 if rng.random() < 0.45 else int(rng.integers(0, len(items) + 1))
        return [*items[:place], mark(PLUS), *items[place:]]
    return [mark(HASH), *items]


def _gaps(rng: Rng, count: int) -> np.ndarray:
    """Return the gaps before each glyph, in heights of a digit."""
    kind = rng.random()
    if kind < 0.43:
        mean = rng.uniform(0.0, 0.3)
    elif kind < 0.75:
        mean = rng.uniform(-0.14, 0.06)
    else:
        mean = rng.uniform(0.3, 1.1)
    gaps = mean + rng.normal(0, rng.uniform(0.03, 0.12), count)
    if rng.random() < 0.15 and count > 2:  # groups, or a place left free for the point
        gaps[rng.integers(1, count)] += rng.uniform(0.3, 2.2)
    return np.maximum(gaps, -0.22)


def _lay_out(glyphs: Glyphs, rng: Rng, items: list[tuple[int, bool]]) -> np.ndarray:
    """Return (N, 6): centre, half width, half height, size across and down, in digit heights."""
    steady = rng.uniform(0.02, 0.08) if rng.random() < 0.7 else rng.uniform(0.08, 0.2)
    wide = float(np.exp(rng.normal(0, 0.17)))
    descends = DESCENDING & (rng.random(10) < (0.5 if rng.random() < 0.3 else 0.0))
    small_zeros = rng.uniform(0.5, 0.85) if rng.random() < 0.2 else 1.0
    first_taller = rng.uniform(1.1, 1.5) if rng.random() < 0.1 else 1.0
    restless = rng.random() < 0.12  # some digits much smaller or larger than others
    cents = rng.random() < 0.06 and len(items) > 3
    gaps = _gaps(rng, len(items))
    letters = LetterForm.by_chance(rng)
    slots = np.zeros((len(items), 6), np.float32)
    x = 0.0
    for number, (glyph, is_digit) in enumerate(items):
        left, top, right, bottom = glyphs.box[glyph]
        across, down, kind = right - left, bottom - top, int(glyphs.kind[glyph])
        y, stretch = 0.0, wide
        if is_digit:
            high = 1 + rng.normal(0, steady)
            high *= (small_zeros if kind == 0 else 1.0) * (first_taller if number == 0 else 1.0)
            if restless and rng.random() < 0.4:
                high *= rng.uniform(0.5, 1.5)
            y = 0.5 - high / 2 + rng.normal(0, 0.5 * steady)
            if descends[kind]:
                y += rng.uniform(0.1, 0.35)
                high *= rng.uniform(1.0, 1.3)
            if cents and number >= len(items) - 2:
                high *= rng.uniform(0.5, 0.7)
                y = -rng.uniform(0.15, 0.3)
            size = max(high, 0.3) / max(down, 0.8 * across)
            stretch *= float(np.exp(rng.normal(0, 0.06)))
        elif kind >= LETTER:
            high, y = letters.place(LETTERS[kind - LETTER])
            size = high / down
        else:
            size, y, stretch = _place_mark(rng, kind, across, down)
        half = across * size * stretch / 2
        gap = gaps[number] if number else 0.0
        if kind in (POINT, COMMA) and not is_digit:
            gap = abs(gap) * 0.6
        before = int(glyphs.kind[items[number - 1][0]]) if number else kind
        if kind >= LETTER and before >= LETTER:
            gap = letters.gap + rng.normal(0, 0.03)
            if rng.random() < 0.05:  # two words
                gap = letters.space + 0.2
        elif kind >= LETTER or before >= LETTER:
            gap = max(gap, 0.0) + letters.space
        x += gap + half
        slots[number] = (x, y, half, down * size / 2, size * stretch, size)
        x += half
    return slots


@dataclass(frozen=True)
class LetterForm:
    """How a hand writes letters beside its digits; lengths in heights of a digit.

    Attributes:
        capital: height of a capital.
        small: height of a small letter that reaches neither up nor down.
        gap: between two letters; below 0 where they are joined.
        space: between a word and a number.
    """

    capital: float
    small: float
    gap: float
    space: float

    @classmethod
    def by_chance(cls, rng: Rng) -> "LetterForm":
        """Choose one."""
        capital = rng.uniform(0.75, 1.25)
        return cls(
            capital=capital,
            small=capital * rng.uniform(0.4, 0.75),
            gap=rng.uniform(-0.12, 0.2),
            space=rng.uniform(0.0, 0.2) if rng.random() < 0.3 else rng.uniform(0.2, 0.9),
        )

    def place(self, letter: str) -> tuple[float, float]:
        """Return a letter's height, and how far its middle is below the digits' middle."""
        if letter.isupper() or letter in HIGH:
            return self.capital, 0.5 - self.capital / 2
        if letter in DEEP:
            return 2 * self.small, 0.5
        return self.small, 0.5 - self.small / 2


def _join(
    hands: Hands, rng: Rng, items: list[tuple[int, bool]], slots: np.ndarray
) -> tuple[list[tuple[int, bool]], np.ndarray]:
    """Draw the stroke by which a quick hand gets from one digit to the next."""
    strokes = []
    height = rng.choice([-0.4, -0.3, 0.0, 0.35])
    for (_, first), (_, second), before, after in zip(
        items, items[1:], slots, slots[1:], strict=False
    ):
        reach = after[0] - before[0]
        if first and second and reach < 1.3 and rng.random() < 0.7:
            glyph = hands.pick_mark(rng, DASH)
            left, top, right, bottom = hands.glyphs.box[glyph]
            size = 0.75 * reach / max(right - left, 4.0)
            y = (before[1] + after[1]) / 2 + height + rng.normal(0, 0.05)
            half = ((right - left) * size / 2, (bottom - top) * size / 2)
            x = (before[0] + after[0]) / 2
            strokes.append((glyph, (x, y, *half, size, size * rng.uniform(0.3, 1))))
    added = [(glyph, False) for glyph, _ in strokes]
    places = np.array([place for _, place in strokes], np.float32).reshape(-1, 6)
    return [*items, *added], np.concatenate([slots, places])


def _place_mark(rng: Rng, kind: int, across: float, down: float) -> tuple[float, float, float]:
    """Return a mark's scale, the place of its middle below the digits' middle, and its stretch."""
    if kind == POINT:
        y = rng.choice([0.45, 0.45, 0.45, 0.0]) + rng.normal(0, 0.06)
        return rng.uniform(0.01, 0.1) / max(across, down), y, 1.0
    if kind == COMMA:
        return rng.uniform(0.15, 0.55) / down, 0.5 + rng.normal(0, 0.1), 1.0
    if kind == DASH:
        return rng.uniform(0.3, 1.0) / max(across, 4.0), rng.normal(0, 0.15), 1.0
    if kind == RING:  # of a degree, or the hole of a tag: smaller than anybody's 0
        y = -0.35 if rng.random() < 0.6 else 0.0
        return rng.uniform(0.15, 0.34) / max(across, down), y + rng.normal(0, 0.1), 1.0
    if kind == TALL:  # taller than the digits, or nobody could tell a slash from a 1
        return rng.uniform(1.15, 1.6) / max(down, 0.8 * across), rng.normal(0, 0.08), 1.0
    if kind in (OPEN, CLOSE):
        return rng.uniform(0.95, 1.5) / down, rng.normal(0.03, 0.08), 1.0
    if kind == PLUS:
        return rng.uniform(0.35, 0.8) / max(down, across), rng.normal(0.05, 0.1), 1.0
    return rng.uniform(0.6, 1.15) / max(down, 0.8 * across), rng.normal(0, 0.08), 1.0


def _fit(rng: Rng, digits: list[int], items: list[tuple[int, bool]], slots: np.ndarray) -> Line:
    """Scale a line to the strip, tight or loose, and choose the pen."""
    slope = rng.normal(0, 0.05) if rng.random() < 0.6 else 0.0
    bend = rng.normal(0, 0.01) if rng.random() < 0.2 else 0.0
    from_middle = slots[:, 0] - slots[:, 0].mean() if len(slots) else np.zeros(0)
    slots[:, 1] += slope * from_middle + bend * from_middle**2
    top = (slots[:, 1] - slots[:, 3]).min(initial=-0.5)
    bottom = (slots[:, 1] + slots[:, 3]).max(initial=0.5)
    share = rng.uniform(0.7, 1.02) if rng.random() < 0.62 else rng.uniform(0.34, 0.75)
    unit = share * HEIGHT / (bottom - top)  # pixels per digit's height
    ends = slots[:, 0] + slots[:, 2]
    length = float(ends.max() if len(ends) else rng.uniform(0.5, 3))
    left, right = _margin(rng), _margin(rng)
    unit = min(unit, (LONGEST - left - right) / length)
    free = HEIGHT - unit * (bottom - top)
    above = free / 2 + rng.uniform(-0.5, 0.5) * max(free, 0) + rng.normal(0, 0.5)
    place = np.stack([slots[:, 0] * unit + left, (slots[:, 1] - top) * unit + above], axis=1)
    count = len(items)
    lean = np.zeros((count, 2), np.float32)
    lean[:, 0] = rng.normal(0.04, 0.2) + rng.normal(0, 0.05, count)
    lean[:, 1] = slope + rng.normal(0, 0.05, count)
    scanned = rng.random() < 0.35
    thickest = max(0.13 * unit if rng.random() < 0.15 else 0.08 * unit, 0.7)
    pen = 0.0 if scanned else float(np.exp(rng.uniform(np.log(0.42), np.log(thickest))))
    margins = (0, HEIGHT)
    if rng.random() < 0.3:  # what is above and below was not on the picture
        middle = above + unit * (bottom - top) / 2
        reach = unit * (bottom - top) / 2 + rng.uniform(0, 5)
        margins = (max(0, int(middle - reach)), min(HEIGHT, int(middle + reach) + 1))
    width = max(8, round(length * unit + left + right))
    return Line(
        digits=digits,
        width=width,
        glyphs=np.array([glyph for glyph, _ in items], np.int64),
        place=place.astype(np.float32),
        size=slots[:, 4:6] * unit,
        half=slots[:, 2:4] * unit,
        lean=lean,
        is_digit=np.array([is_digit for _, is_digit in items], bool),
        pen=pen,
        edge=float(rng.uniform(0.6, 1.4)),
        pressure=np.clip(rng.normal(1, rng.uniform(0, 0.2), count), 0.5, 1.3),
        margins=(margins[0], margins[1], 0, width),
    )


def _margin(rng: Rng) -> float:
    kind = rng.random()
    if kind < 0.15:
        return rng.uniform(-1.0, 1.0)
    return rng.uniform(1, 8) if kind < 0.7 else rng.uniform(8, 36)


def draw_lines(glyphs: Glyphs, lines: list[Line], rng: Rng) -> list[np.ndarray]:
    """Draw the ink of lines: a list of (32, width) float32, 0 to 1.

    All glyphs of all lines are drawn at once: each place of a strip is traced back to the glyph.
    """
    inks = [np.zeros((HEIGHT, line.width), np.float32) for line in lines]
    owner = np.repeat(np.arange(len(lines)), [len(line.glyphs) for line in lines])
    if len(owner) == 0:
        return inks
    place, size, lean, pressure = (
        np.concatenate([getattr(line, name) for line in lines])
        for name in ("place", "size", "lean", "pressure")
    )
    chosen = np.concatenate([line.glyphs for line in lines])
    pen = np.array([lines[i].pen for i in owner], np.float32)[:, None, None]
    edge = np.array([lines[i].edge for i in owner], np.float32)[:, None, None]
    left = np.round(place[:, 0] - PATCH / 2).astype(int)
    from_left = np.stack([left, 0 * left], axis=1).astype(np.float32)
    grid = _trace(glyphs, chosen, place - from_left, size, lean, rng)
    ink = np.empty((len(owner), HEIGHT, PATCH), np.float32)
    scanned = pen[:, 0, 0] == 0
    if scanned.any():
        grey = _sample(glyphs.grey[chosen[scanned]], grid[scanned], "zeros") / 255
        hard = rng.uniform(0.7, 2.2, (int(scanned.sum()), 1, 1)).astype(np.float32)
        ink[scanned] = np.clip((grey - 0.5) * hard + 0.5 + 0.25 * (hard - 1), 0, 1) * (grey > 0.03)
    by_pen = ~scanned
    if by_pen.any():
        away = _sample(glyphs.distance[chosen[by_pen]], grid[by_pen], "border") / PER_PIXEL
        away[away > 255 / PER_PIXEL - 0.5] = np.inf  # so far off that a byte does not say
        away += SIDE / 2 * np.maximum(np.abs(grid[by_pen]) - 1, 0).sum(axis=3)
        scale = np.sqrt(size.prod(axis=1))[by_pen, None, None]
        ink[by_pen] = np.clip((pen[by_pen] - away * scale) / edge[by_pen] + 0.5, 0, 1)
    ink *= pressure[:, None, None].astype(np.float32)
    for number, start, patch in zip(owner, left, ink, strict=True):
        line = inks[number]
        first, last = max(start, 0), min(start + PATCH, line.shape[1])
        if first < last:
            part = line[:, first:last]
            np.maximum(part, patch[:, first - start : last - start], out=part)
    return inks


def _trace(
    glyphs: Glyphs,
    chosen: np.ndarray,
    centre: np.ndarray,
    size: np.ndarray,
    lean: np.ndarray,
    rng: Rng,
) -> np.ndarray:
    """Return where in its glyph each place of a patch lies: (N, 32, PATCH, 2), from -1 to 1."""
    count = len(chosen)
    x = np.arange(PATCH, dtype=np.float32)[None, None] + 0.5 - centre[:, 0, None, None]
    y = np.arange(HEIGHT, dtype=np.float32)[None, :, None] + 0.5 - centre[:, 1, None, None]
    shear, turn = lean[:, 0, None, None], lean[:, 1, None, None]
    upright_y = y - turn * x
    upright_x = x + turn * y + shear * upright_y
    u = upright_x / size[:, 0, None, None]
    v = upright_y / size[:, 1, None, None]
    # A hand never does the same twice: slow waves bend each glyph.
    waves = rng.normal(0, 0.55, (4, count, 1, 1)).astype(np.float32)
    phases = rng.uniform(0, 2 * np.pi, (2, count, 1, 1)).astype(np.float32)
    v_bent = v + waves[0] * np.sin(0.22 * u + phases[0]) + waves[1] * 0.02 * u * v / 2
    u_bent = u + waves[2] * np.sin(0.22 * v + phases[1]) + waves[3] * 0.02 * u * v / 2
    box = glyphs.box[chosen]
    middle = (box[:, :2] + box[:, 2:]) / 2
    grid = np.stack([u_bent + middle[:, 0, None, None], v_bent + middle[:, 1, None, None]], axis=3)
    return (grid * (2 / SIDE) - 1).astype(np.float32)


def _sample(images: np.ndarray, grid: np.ndarray, outside: str) -> np.ndarray:
    found = F.grid_sample(
        torch.from_numpy(images).float().unsqueeze(1),
        torch.from_numpy(grid),
        mode="bilinear",
        padding_mode=outside,
        align_corners=False,
    )
    return found[:, 0].numpy()
