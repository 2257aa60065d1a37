"""Digits and marks in a form that any pen can write: the middle of their strokes.

    glyphs = make_glyphs(mnist.train, seed=0)
    glyphs.distance[7]                        # (56, 56) uint8, how far the pen's path is

A digit of MNIST is thinned to the path that its pen went (Zhang and Suen 1984); what is near the
path is ink, and how near decides how thick the pen is. What MNIST's American writers hardly wrote,
the 1 with its up-stroke and the crossed 7, our own pen draws; and so it does what is no digit:
points, commas, dashes, slashes, brackets, letters and other signs, scribbles and shapes.
What letters are made of is in letters.py.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from ..data import Examples
from .letters import LETTERS, draw_letter

Rng = np.random.Generator
Point = tuple[float, float]  # right and down, 0 to 1 over the digit's height
Strokes = list[list[Point]]

SIDE = 28  # pixels of a glyph's square, as MNIST's
FINE = 2 * SIDE  # cells along it in which distances are kept
PER_PIXEL = 16  # steps of a distance in a pixel: a byte reaches 16 pixels
EDGE = 96  # grey value from which on MNIST's pixels are in a glyph's box

DRAWN_DIGITS = 6000
MARKS = 8000
SHAPES = 3000
EACH_LETTER = 120

# What a glyph is, beside the ten digits.
# TALL: brackets and slashes; OPEN, CLOSE: brackets that stand around a number.
POINT, COMMA, DASH, RING, SIGN, TALL, OPEN, CLOSE, PERCENT, PLUS, HASH, SHAPE = range(10, 22)
LETTER = SHAPE + 1  # the first of LETTERS


@dataclass(frozen=True)
class Glyphs:
    """What can be written.

    Attributes:
        grey: (N, 28, 28) uint8, as MNIST has it.
        distance: (N, 56, 56) uint8, to the middle of the nearest stroke, in 1/16 pixels of `grey`.
        box: (N, 4) float32, left, top, right, bottom of the ink in pixels of `grey`.
        kind: (N,) int64, 0 to 9, or POINT to SHAPE, or LETTER and the letter's place in LETTERS.
        num_scanned: the first so many are MNIST's, in its order; the others were drawn.
    """

    grey: np.ndarray
    distance: np.ndarray
    box: np.ndarray
    kind: np.ndarray
    num_scanned: int


def make_glyphs(
    digits: Examples,
    seed: int,
    *,
    drawn: int = DRAWN_DIGITS,
    marks: int = MARKS,
    shapes: int = SHAPES,
    each_letter: int = EACH_LETTER,
) -> Glyphs:
    """Take the digits' strokes; beside them draw digits, marks, shapes and letters, so many."""
    rng = np.random.default_rng([seed, 13])
    strokes, kinds = [], []
    for label in rng.choice(list(WAYS), size=drawn, p=[share for _, share in WAYS.values()]):
        strokes.append(WAYS[int(label)][0](rng))
        kinds.append(int(label))
    for _ in range(marks):
        kind, mark = draw_mark(rng)
        strokes.append(mark)
        kinds.append(kind)
    for number, letter in enumerate(LETTERS):
        strokes += [draw_letter(letter, rng) for _ in range(each_letter)]
        kinds += [LETTER + number] * each_letter
    by_pen = np.array([distance_to_strokes(_jitter(stroke, rng)) for stroke in strokes])
    filled = [draw_shape(rng) for _ in range(shapes)]
    outside = [ndimage.distance_transform_edt(~shape) * SIDE / FINE for shape in filled]
    scanned = digits_to_distance(digits.images)
    distance = np.concatenate([scanned, _to_bytes(by_pen), _to_bytes(np.array(outside))])
    drawn_grey = _to_grey(distance[len(scanned) :])
    grey = np.concatenate([digits.images, drawn_grey])
    labels = np.concatenate([digits.labels, kinds, np.full(shapes, SHAPE)]).astype(np.int64)
    return Glyphs(grey, distance, _boxes(grey), labels, len(digits))


def _to_bytes(distance: np.ndarray) -> np.ndarray:
    return np.clip(distance * PER_PIXEL, 0, 255).astype(np.uint8)


def _to_grey(distance: np.ndarray) -> np.ndarray:
    """Draw strokes as thick as MNIST's: (N, 56, 56) → (N, 28, 28) uint8."""
    ink = np.clip(1.2 + 0.5 - distance.astype(np.float32) / PER_PIXEL, 0, 1)
    cells = ink.reshape(-1, SIDE, 2, SIDE, 2).mean(axis=(2, 4))
    return (cells * 255).round().astype(np.uint8)


def _boxes(grey: np.ndarray) -> np.ndarray:
    boxes = np.zeros((len(grey), 4), np.float32)
    ink = grey >= np.minimum(EDGE, grey.max(axis=(1, 2), keepdims=True))
    for first, axis in ((0, 1), (1, 2)):
        along = ink.any(axis=axis)
        boxes[:, first] = along.argmax(axis=1)
        boxes[:, first + 2] = SIDE - along[:, ::-1].argmax(axis=1)
    return boxes


# From scanned digits to strokes


def digits_to_distance(images: np.ndarray, chunk: int = 2000) -> np.ndarray:
    """Return how far each place is from the pen's path: (N, 28, 28) → (N, 56, 56) uint8."""
    found = np.empty((len(images), FINE, FINE), np.uint8)
    for start in range(0, len(images), chunk):
        ink = np.stack([_enlarge(image) for image in images[start : start + chunk]]) >= 112
        for number, path in enumerate(thin(ink), start=start):
            distance = ndimage.distance_transform_edt(~path) * SIDE / FINE
            found[number] = _to_bytes(distance) if path.any() else 255
    return found


def _enlarge(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((FINE, FINE), Image.Resampling.BICUBIC))


def thin(ink: np.ndarray) -> np.ndarray:
    """Thin strokes to lines of one pixel, many pictures at once: (N, H, W) bool.

    Zhang and Suen, "A fast parallel algorithm for thinning digital patterns" (1984).
    """
    ink = np.pad(ink, ((0, 0), (1, 1), (1, 1))).astype(np.uint8)
    middle = ink[:, 1:-1, 1:-1]
    # The eight neighbours, clockwise from the one above.
    places = [(0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0)]
    height, width = middle.shape[1:]
    around = [ink[:, y : y + height, x : x + width] for y, x in places]
    while True:
        changed = False
        for first in (True, False):
            neighbours = sum(around)
            turns = sum((1 - a) & b for a, b in zip(around, [*around[1:], around[0]], strict=True))
            above, right, below, left = around[0], around[2], around[4], around[6]
            if first:
                edge = (above & right & below) | (right & below & left)
            else:
                edge = (above & right & left) | (above & below & left)
            gone = (
                (middle == 1) & (neighbours >= 2) & (neighbours <= 6) & (turns == 1) & (edge == 0)
            )
            changed |= bool(gone.any())
            middle[gone] = 0
        if not changed:
            return middle.astype(bool)


# Strokes by our own pen


def distance_to_strokes(strokes: Strokes) -> np.ndarray:
    """Fit strokes into MNIST's 20×20 and return (56, 56) float32, in its pixels."""
    ends = [(a, b) for stroke in strokes for a, b in itertools.pairwise(stroke)]
    starts, stops = np.array(ends, np.float64).transpose(1, 0, 2)
    low = np.minimum(starts, stops).min(axis=0)
    high = np.maximum(starts, stops).max(axis=0)
    unit = 18 / max(*(high - low), 0.05)  # the pen's width is outside
    middle = (low + high) / 2
    starts, stops = ((ends - middle) * unit + SIDE / 2 for ends in (starts, stops))
    cells = (np.arange(FINE) + 0.5) * SIDE / FINE
    x, y = np.meshgrid(cells, cells)
    along = stops - starts
    length = np.maximum((along**2).sum(axis=1), 1e-9)
    dx, dy = x[..., None] - starts[:, 0], y[..., None] - starts[:, 1]
    share = np.clip((dx * along[:, 0] + dy * along[:, 1]) / length, 0, 1)
    away = np.hypot(dx - share * along[:, 0], dy - share * along[:, 1])
    return away.min(axis=2).astype(np.float32)


def _jitter(strokes: Strokes, rng: Rng) -> Strokes:
    """Let chance into every corner; an oval moves as a whole, or it would be a saw."""
    moved = []
    for stroke in strokes:
        wobble = rng.normal(0, 0.025, (len(stroke), 2))
        if len(stroke) > 6:
            wobble[:] = wobble[0]
        moved.append([(x + dx, y + dy) for (x, y), (dx, dy) in zip(stroke, wobble, strict=True)])
    return moved


def arc(x: float, y: float, wide: float, high: float, start: float, stop: float) -> list[Point]:
    """Return a part of an ellipse around (x, y); angles in turns, clockwise from the right."""
    turn = 2 * np.pi * np.linspace(start, stop, max(11, int(25 * abs(stop - start))))
    return [(x + wide / 2 * math.cos(t), y + high / 2 * math.sin(t)) for t in turn]


def one(rng: Rng) -> Strokes:
    """An up-stroke that falls away to the left, straight or bent, or a foot, or both.

    The up-stroke may be as long as the stem, or begin in a bowl, as of a quick pen that comes from
    the digit before; the foot may hang on the stem by a loop.
    """
    lean = rng.uniform(-0.12, 0.25)  # how far the top is right of the bottom
    top, bottom = (lean, 0.0), (0.0, 1.0)
    angle, length = math.radians(rng.uniform(22, 65)), rng.uniform(0.18, 0.95)
    if rng.random() < 0.15:
        angle, length = math.radians(rng.uniform(50, 76)), rng.uniform(0.7, 1.1)
    start = (lean - length * math.cos(angle), length * math.sin(angle))
    flag = [start, top]
    bent = rng.random()
    if bent < 0.15:
        flag = bow_between(start, top, rng.uniform(0.2, 0.4) * length)
    elif bent < 0.5:
        flag = bow_between(start, top, rng.uniform(-0.15, 0.2) * length)
    kind = rng.random()
    if kind < 0.65:
        return [[*flag, bottom]]
    reach = rng.uniform(0.12, 0.32)
    right = (reach * rng.uniform(0.7, 1.2), 1.0)
    if kind < 0.72 and length < 0.5:  # with a longer one it would be a 2
        size = rng.uniform(0.1, 0.25)
        loop = arc(-size * 0.6, 1 - size / 2, size * 1.3, size, 0.0, rng.uniform(0.6, 0.9))
        return [[*flag, *loop, right]]
    foot = [(-reach, 1.0), right]
    return [[*flag, bottom], foot] if kind < 0.92 else [[top, bottom], foot]


def bow_between(start: Point, stop: Point, sag: float) -> list[Point]:
    """Return a path between two points, bent to one side."""
    (x, y), (u, v) = start, stop
    share = np.linspace(0, 1, 8)
    away = 4 * sag * share * (1 - share)
    length = math.hypot(u - x, v - y) + 1e-6
    along_x, along_y = (u - x) / length, (v - y) / length
    return [
        (float(x + s * (u - x) - a * along_y), float(y + s * (v - y) + a * along_x))
        for s, a in zip(share, away, strict=True)
    ]


def two(rng: Rng) -> Strokes:
    """A hook and a foot: level, wavy, or begun with a loop at the lower left.

    The hook may curl in until it is a ring.
    """
    width, shoulder = rng.uniform(0.4, 0.75), rng.uniform(0.35, 0.65)
    start = rng.uniform(0.4, 0.62) if rng.random() < 0.5 else rng.uniform(-0.05, 0.4)
    top = arc(width / 2, shoulder / 2, width * 0.95, shoulder, start, 1.1)
    end = (width * rng.uniform(0.9, 1.5), rng.uniform(0.85, 1.02))
    if rng.random() < 0.5:
        return [[*top, (0.0, 1.0), end]]
    size = rng.uniform(0.12, 0.3)
    loop = arc(size * 0.5, 1 - size / 2, size * 1.3, size, 0.4, 1.3)
    return [[*top, *loop, end]]


def three(rng: Rng) -> Strokes:
    """A level top, a slope back, a bow."""
    width, waist = rng.uniform(0.45, 0.6), rng.uniform(0.35, 0.48)
    bow = arc(width * 0.4, (1 + waist) / 2, width * 1.1, 1 - waist, -0.25, rng.uniform(0.3, 0.45))
    return [[(0.0, 0.0), (width, 0.0), (width * 0.4, waist), *bow]]


def four(rng: Rng) -> Strokes:
    """Closed at the top, or open with the stem apart."""
    width, bar = rng.uniform(0.5, 0.8), rng.uniform(0.55, 0.72)
    stem = width * rng.uniform(0.6, 0.85)
    if rng.random() < 0.5:
        return [[(stem, 1.0), (stem, 0.0), (0.0, bar), (width, bar)]]
    start = stem * rng.uniform(0.1, 0.6)
    corner = (start * rng.uniform(0.0, 0.8), bar)
    return [[(start, 0.0), corner, (width, bar)], [(stem, rng.uniform(0.0, 0.4)), (stem, 1.0)]]


def five(rng: Rng) -> Strokes:
    """A bow under a neck, and the flag, which need not touch it; or a check mark with a flag."""
    if rng.random() < 0.15:
        return [check_mark(rng)]
    width, neck = rng.uniform(0.4, 0.6), rng.uniform(0.35, 0.48)
    lean, gap = rng.uniform(0.0, 0.12), rng.choice([0.0, 0.0, 0.08])
    bow = arc(width * 0.35, (1 + neck) / 2, width * 1.2, 1 - neck, -0.3, rng.uniform(0.3, 0.45))
    rise = rng.uniform(-0.2, 0.03)
    flag = [(lean + gap, rng.uniform(-0.03, 0.03)), (width * rng.uniform(1.0, 2.0), rise)]
    return [[(lean, 0.0), (0.0, neck + 0.03), *bow], flag]


def check_mark(rng: Rng) -> list[Point]:
    """Return the 5 of a quick hand, as the sign of a square root."""
    foot, top = rng.uniform(0.12, 0.35), rng.uniform(0.0, 0.2)
    neck = foot + rng.uniform(0.05, 0.3)
    rise = rng.uniform(-0.15, 0.12)
    start = (0.0, rng.uniform(0.45, 0.75))
    flag = (neck + rng.uniform(0.3, 0.7), top + rise)
    return [start, *bow_between((foot, 1.0), (neck, top), rng.normal(0, 0.04)), flag]


def seven(rng: Rng) -> Strokes:
    """A level or wavy bar, then down, straight or bent; mostly crossed, or with a tick."""
    width = rng.uniform(0.4, 0.75) if rng.random() < 0.75 else rng.uniform(0.15, 0.4)
    tilt = rng.uniform(-0.08, 0.06) if rng.random() < 0.8 else rng.uniform(-0.2, 0.15)
    foot = rng.uniform(-0.1, 0.5) * width
    bar = bow_between((0.0, -tilt), (width, 0.0), rng.uniform(-0.12, 0.12) * rng.integers(0, 2))
    down = bow_between((width, 0.0), (foot, 1.0), rng.uniform(-0.05, 0.12) * rng.integers(0, 2))
    path = [*bar, *down[1:]]
    if rng.random() < 0.35:
        path.insert(0, (rng.uniform(-0.05, 0.05), rng.uniform(0.08, 0.25)))
    if width >= 0.4 and rng.random() < 0.3:
        return [path]
    height = rng.uniform(0.35, 0.62)
    middle = width + (foot - width) * height
    reach = rng.uniform(0.14, 0.4)
    rise = rng.uniform(-0.08, 0.1)
    return [path, [(middle - reach, height + rise), (middle + reach, height - rise)]]


def zero(rng: Rng) -> Strokes:
    """An oval; with a stroke or a dot in it, or not quite closed, or with its end inside."""
    width = rng.uniform(0.5, 0.95)
    if rng.random() < 0.6:
        start = rng.uniform(-0.3, -0.1)
        end = start + rng.choice([0.93, 1.0, 1.12]) * rng.choice([-1, 1])
        oval = arc(width / 2, 0.5, width, 1.0, start, end)
        curl = [(width * rng.uniform(0.3, 1.2), rng.uniform(0.0, 0.2))]
        return [oval + curl if rng.random() < 0.4 else oval]
    out = rng.uniform(-0.05, 0.1)
    share = rng.uniform(0.05, 0.8) if rng.random() < 0.4 else 1.0  # down to a dot
    across, down = width * (0.3 + out) * share, (0.35 + out) * share
    slash = [(width / 2 + across, 0.5 - down), (width / 2 - across, 0.5 + down)]
    return [arc(width / 2, 0.5, width, 1.0, 0, 1), slash]


def nine(rng: Rng) -> Strokes:
    """An oval, not always closed, and a stem: straight, bent, or hooked as in a g.

    The stem hangs from the oval's side, or from its bottom, as of a pen that goes round leftwards,
    and may cross where the oval began, as in half an 8.
    """
    if rng.random() < 0.25:
        return [ribbon(rng)]
    width, size = rng.uniform(0.35, 0.65), rng.uniform(0.35, 0.6)
    start = rng.uniform(-0.2, 0.0)
    oval = arc(width / 2, size / 2, width, size, start, start - rng.uniform(0.75, 1.0))
    if rng.random() < 0.5:
        oval = arc(width / 2, size / 2, width, size, rng.uniform(-0.15, 0.3), -0.75)
        end = (width * rng.uniform(0.1, 0.95), 1.0)
        return [[*oval, *bow_between(oval[-1], end, rng.uniform(-0.12, 0.12))]]
    top = (width, size * rng.uniform(0.0, 0.5))
    end = (width * rng.uniform(0.3, 1.15), 1.0)
    stem = bow_between(top, end, rng.uniform(-0.08, 0.08))
    if rng.random() < 0.3:
        stem.append((rng.uniform(-0.2, 0.2), rng.uniform(0.8, 1.05)))
    return [oval + stem if rng.random() < 0.6 else oval, stem]


def ribbon(rng: Rng) -> list[Point]:
    """Return a loop whose ends cross below it; one of them is the 9's stem."""
    width, size = rng.uniform(0.4, 0.65), rng.uniform(0.45, 0.66)
    gap = rng.uniform(0.05, 0.15)
    loop = arc(width / 2, size / 2, width, size, 0.25 - gap, -0.75 + gap)
    start = (width * rng.uniform(0.1, 0.4), size + rng.uniform(-0.03, 0.2))
    stem = bow_between(loop[-1], (width * rng.uniform(0.4, 0.8), 1.0), rng.uniform(-0.1, 0.04))
    return [start, *loop, *stem]


def eight(rng: Rng) -> Strokes:
    """Two rings one over the other, or one stroke that crosses itself and may stay open."""
    width, waist = rng.uniform(0.4, 0.65), rng.uniform(0.38, 0.5)
    narrow = rng.uniform(0.7, 1.0)
    if rng.random() < 0.4:
        upper = arc(width / 2, waist / 2, width * narrow, waist, 0, 1)
        return [upper, arc(width / 2, (1 + waist) / 2, width, 1 - waist, 0, 1)]
    turn = np.linspace(0, 1, 40) * rng.uniform(0.9, 1.05) + rng.uniform(0.05, 0.2)
    x = width / 2 * (1 + narrow * np.sin(4 * np.pi * turn))
    return [list(zip(x.tolist(), ((1 - np.cos(2 * np.pi * turn)) / 2).tolist(), strict=True))]


# Digit → how it is drawn, and how often: the 1 is the one that is misread most.
WAYS: dict[int, tuple[Callable[[Rng], Strokes], float]] = {
    1: (one, 0.24),
    7: (seven, 0.15),
    4: (four, 0.08),
    0: (zero, 0.11),
    9: (nine, 0.17),
    2: (two, 0.12),
    3: (three, 0.02),
    5: (five, 0.07),
    8: (eight, 0.04),
}

# Letters and signs of straight strokes that resemble no digit, on a grid of 2 by 4.
SIGNS = (
    "04 10 24|13 12,02 22",  # A with a bar at half the height
    "00 04 24|00 20|02 12",  # E
    "00 04|00 20|02 12",  # F
    "00 04|20 24|02 22",  # H
    "00 04|20 02 24",  # K
    "00 04 24",  # L
    "04 00 12 20 24",  # M
    "04 00 24 20",  # N
    "04 00 20 22 02 24",  # R
    "00 20|10 14",  # T
    "00 14 20",  # V
    "00 04 12 24 20",  # W
    "00 24|20 04",  # X, and the sign of times
    "00 12 20|12 14",  # Y
    "00 04 24 20",  # U
    "02 22|11 13",  # plus
    "01 21|03 23|10 14|20 24",  # number sign
    "00 24|20 04|10 14|02 22",  # asterisk
    "02 11 22 13|10 14",  # a currency sign
    "20 01 22 03|10 14",  # dollar
    "20 10 01 03 14 24|02 12|01 11",  # euro
    "01 11 21|03 13 23",  # equals
    "20 01 02 04|02 12 14 24",  # h and k
    "04 02 12 14|12 22 24",  # m
    "24 04 20",  # an angle
    "02 22|11 22 13",  # arrows
    "02 22|11 02 13",
    "10 14|03 14 23",
)


def dollar(rng: Rng) -> Strokes:
    """An S with one upright through it or two, which may show only above and below it."""
    width, waist = rng.uniform(0.45, 0.75), rng.uniform(0.42, 0.55)
    upper = arc(width / 2, 0.1 + waist / 2, width * 0.95, waist, rng.uniform(-0.15, 0.0), -0.75)
    lower = arc(width / 2, 0.5 + waist / 2, width, 0.9 - waist, -0.25, rng.uniform(0.3, 0.5))
    reach = rng.uniform(0.0, 0.12)
    gap = rng.uniform(0.05, 0.1) if rng.random() < 0.25 else 0.0
    uprights: Strokes = []
    for x in sorted({width / 2 - gap, width / 2 + gap}):  # one where there is no gap
        if rng.random() < 0.75:
            uprights.append([(x, 0.1 - reach), (x, 0.9 + reach)])
        else:
            uprights += [[(x, -reach), (x, 0.2)], [(x, 0.8), (x, 1 + reach)]]
    return [upper + lower, *uprights]


def euro(rng: Rng) -> Strokes:
    """A C with two bars that reach out of it."""
    width = rng.uniform(0.5, 0.9)
    mouth = rng.uniform(0.08, 0.17)
    bow = arc(width / 2, 0.5, width, 1.0, -mouth, -1 + mouth)
    left, right = rng.uniform(-0.3, 0.02), width * rng.uniform(0.45, 0.9)
    upper = rng.uniform(0.35, 0.48)
    lower = upper + rng.uniform(0.1, 0.22)
    return [bow, [(left, upper), (right, upper)], [(left, lower), (right, lower)]]


def pound(rng: Rng) -> Strokes:
    """A hook on a stem, a bar, and a foot."""
    width, top = rng.uniform(0.45, 0.75), rng.uniform(0.3, 0.5)
    hook = arc(width * 0.65, top / 2, width * 0.7, top, -0.05, -0.5)
    bar = rng.uniform(0.45, 0.65)
    foot = [(width * rng.uniform(0.1, 0.3), 0.95), (0.0, 1.0), (width, rng.uniform(0.92, 1.0))]
    return [[*hook, *foot], [(-0.05, bar), (width * rng.uniform(0.6, 0.9), bar)]]


def percent(rng: Rng) -> Strokes:
    """A slash between two rings."""
    width, size = rng.uniform(0.5, 1.1), rng.uniform(0.15, 0.48)
    lean, out = width * rng.uniform(0.05, 0.35), rng.uniform(-0.1, 0.1)
    down = rng.uniform(0.0, 0.12)  # of the left ring below the slash's top
    left = arc(size / 2, down + size / 2, size * rng.uniform(0.7, 1.1), size, -0.1, 0.9)
    right = arc(width - size / 2, 1 - down - size / 2, size * rng.uniform(0.7, 1.1), size, 0, 1)
    top, foot = (width - lean, -out), (lean, 1.0 + out)
    if rng.random() < 0.15:  # in one stroke with the left ring
        return [[*left, top, foot], right]
    return [left, right, bow_between(top, foot, rng.normal(0, 0.04))]


def number_sign(rng: Rng) -> Strokes:
    """Two stems and two bars that cross."""
    width, lean = rng.uniform(0.5, 0.9), rng.uniform(-0.05, 0.25)
    left, right = width * rng.uniform(0.2, 0.4), width * rng.uniform(0.6, 0.8)
    upper, lower, rise = rng.uniform(0.25, 0.42), rng.uniform(0.58, 0.75), rng.uniform(0.0, 0.15)
    stems: Strokes = [[(x + lean, 0.0), (x, 1.0)] for x in (left, right)]
    bars = [
        [(lean * (1 - y), y + rise / 2), (width + lean * (1 - y), y - rise / 2)]
        for y in (upper, lower)
    ]
    return [*stems, *bars]


def question(rng: Rng) -> Strokes:
    """A hook over a point."""
    width, waist = rng.uniform(0.35, 0.6), rng.uniform(0.35, 0.5)
    hook = arc(width / 2, waist / 2, width, waist, rng.uniform(-0.6, -0.45), 0.2)
    foot = (width * rng.uniform(0.35, 0.6), rng.uniform(0.6, 0.75))
    return [[*hook, foot], point_below(foot[0])]


def exclamation(rng: Rng) -> Strokes:
    """A stem over a point."""
    lean = rng.uniform(-0.05, 0.15)
    return [[(lean, 0.0), (0.0, rng.uniform(0.6, 0.75))], point_below(rng.uniform(-0.06, 0.04))]


def point_below(x: float) -> list[Point]:
    """Return a point at the foot of a sign."""
    return [(x, 0.96), (x + 0.03, 1.0)]


def capital_a(rng: Rng) -> Strokes:
    """Two stems that meet, and a bar."""
    width, bar = rng.uniform(0.5, 0.95), rng.uniform(0.5, 0.75)
    top = width * rng.uniform(0.35, 0.65)
    left, right = top * (1 - bar), top + (width - top) * bar
    out = rng.uniform(-0.03, 0.08)
    return [[(0.0, 1.0), (top, 0.0), (width, 1.0)], [(left - out, bar), (right + out, bar)]]


def letter_with_a_bowl(rng: Rng) -> Strokes:
    """A P or an R."""
    width, waist = rng.uniform(0.35, 0.65), rng.uniform(0.42, 0.58)
    bowl = arc(width * 0.4, waist / 2, width * 1.2, waist, -0.25, 0.25)
    letter = [[(0.0, 0.0), (0.0, 1.0)], [(0.0, 0.0), *bowl, (0.0, waist)]]
    leg = [(width * 0.3, waist), (width, 1.0)]
    return [*letter, leg] if rng.random() < 0.5 else letter


def letter_with_arches(rng: Rng) -> Strokes:
    """An n, an m or an h."""
    width, letter = rng.uniform(0.35, 0.65), rng.choice(["n", "m", "h"])
    top = rng.uniform(0.4, 0.6) if letter == "h" else 0.0
    strokes: Strokes = [[(0.0, 0.0), (0.0, 1.0)]]
    for left in (0.0, width) if letter == "m" else (0.0,):
        arch = arc(left + width / 2, top + 0.3, width, 0.6, -0.5, 0.0)
        strokes.append([*arch, (left + width, 1.0)])
    return strokes


VARIED_SIGNS = (
    *(dollar, euro, pound, percent, number_sign, question, exclamation),
    *(capital_a, letter_with_a_bowl, letter_with_arches),
)


def tall_mark(rng: Rng) -> Strokes:
    """A slash, or a bracket of either side, round, square or curly."""
    kind = rng.random()
    if kind < 0.4:
        lean = math.tan(math.radians(rng.uniform(18, 45)))
        stroke = bow_between((lean, 0.0), (0.0, 1.0), rng.normal(0, 0.04))
        return _mirrored([stroke]) if rng.random() < 0.1 else [stroke]
    width = rng.uniform(0.12, 0.32)
    if kind < 0.7:
        first, last = -rng.uniform(0.27, 0.33), -rng.uniform(0.67, 0.73)
        bracket = arc(width, 0.5, 2 * width, 1.0, first, last)
    elif kind < 0.93:
        bracket = [(width, 0.0), (0.0, 0.0), (0.0, 1.0), (width, 1.0)]
    else:
        upper = [(width, 0.0), (width / 2, 0.06), (width / 2, 0.43)]
        bracket = [*upper, (0.0, 0.5), *((x, 1 - y) for x, y in reversed(upper))]
    return _mirrored([bracket]) if rng.random() < 0.5 else [bracket]


def open_bracket(rng: Rng) -> Strokes:
    """An opening bracket as people write it around a number: mostly round, and flat."""
    kind = rng.random()
    lean = rng.normal(0.03, 0.06)
    if kind < 0.72:
        return [bow_between((lean, 0.0), (0.0, 1.0), rng.uniform(0.07, 0.28))]
    width = rng.uniform(0.1, 0.3)
    if kind < 0.93:
        return [[(width + lean, 0.0), (lean, 0.0), (0.0, 1.0), (width, 1.0)]]
    upper = [(width, 0.0), (width / 2, 0.06), (width / 2, 0.43)]
    return [[*upper, (0.0, 0.5), *((x, 1 - y) for x, y in reversed(upper))]]


def plus(rng: Rng) -> Strokes:
    """Two bars that cross, or an equals sign."""
    if rng.random() < 0.3:
        gap, length = rng.uniform(0.25, 0.5), rng.uniform(0.8, 1.2)
        rise = rng.normal(0, 0.04)
        return [[(0.0, y + rise), (length, y - rise)] for y in (0.5 - gap / 2, 0.5 + gap / 2)]
    width, x, y = rng.uniform(0.7, 1.2), rng.uniform(0.42, 0.58), rng.uniform(0.4, 0.6)
    lean, rise = rng.normal(0.02, 0.05), rng.normal(0, 0.04)
    return [
        [(0.0, y + rise), (width, y - rise)],
        [(width * x + lean, 0.0), (width * x - lean, 1.0)],
    ]


def _mirrored(strokes: Strokes) -> Strokes:
    return [[(-x, y) for x, y in stroke] for stroke in strokes]


DRAWN_MARKS: dict[int, Callable[[Rng], Strokes]] = {
    TALL: tall_mark,
    OPEN: open_bracket,
    CLOSE: lambda rng: _mirrored(open_bracket(rng)),
    PERCENT: percent,
    PLUS: plus,
    HASH: number_sign,
}


def draw_mark(rng: Rng) -> tuple[int, Strokes]:
    """Return one mark's kind and strokes."""
    kinds = [POINT, COMMA, DASH, RING, SIGN, TALL, OPEN, CLOSE, PERCENT, PLUS, HASH]
    shares = [0.07, 0.07, 0.08, 0.04, 0.34, 0.14, 0.06, 0.06, 0.05, 0.06, 0.03]
    kind = int(rng.choice(kinds, p=shares))
    if kind in DRAWN_MARKS:
        return kind, DRAWN_MARKS[kind](rng)
    if kind == POINT:
        return kind, [arc(0, 0, rng.uniform(0.2, 1), rng.uniform(0.2, 1), 0, 1)]
    if kind == RING:
        return kind, [arc(0, 0, rng.uniform(0.7, 1.1), rng.uniform(0.7, 1.1), 0, 1)]
    if kind == COMMA:
        return kind, [[(rng.uniform(0.1, 0.5), 0.0), (rng.uniform(0.3, 0.6), 0.4), (0.0, 1.0)]]
    if kind == DASH:
        bend = rng.normal(0, 0.12, 3)
        bar = [(0.0, bend[0]), (0.5, bend[1]), (1.0, bend[2])]
        doubled = [(x + rng.normal(0, 0.05), y + rng.uniform(0.25, 0.5)) for x, y in bar]
        return kind, [bar, doubled] if rng.random() < 0.3 else [bar]
    if rng.random() < 0.4:
        return kind, VARIED_SIGNS[rng.integers(len(VARIED_SIGNS))](rng)
    if rng.random() < 0.75:
        text = SIGNS[rng.integers(len(SIGNS))]
        wide = rng.uniform(0.25, 0.5)
        parts = [part.replace(",", " ").split() for part in text.split("|")]
        return kind, [[(int(p[0]) * wide, int(p[1]) / 4) for p in part] for part in parts]
    points = rng.uniform(0, 1, (int(rng.integers(7, 12)), 2))
    return kind, [bend_through(points)]


def bend_through(points: np.ndarray) -> list[Point]:
    """Return a smooth path through (N, 2) points."""
    time = np.linspace(0, len(points) - 1, 6 * len(points))
    column = np.zeros_like(time)
    x, y = (ndimage.map_coordinates(points, [time, column + axis], order=3) for axis in (0, 1))
    return list(zip(x.tolist(), y.tolist(), strict=True))


# Shapes by chance that are no digit: (56, 56) bool.


def draw_shape(rng: Rng) -> np.ndarray:
    """Draw a filled shape, changed in one of the ways that make no digit of it."""
    while True:
        shape = SHAPES_BY_CHANCE[rng.integers(len(SHAPES_BY_CHANCE))](rng)
        if rng.random() < 0.5:
            shape = CHANGES[rng.integers(len(CHANGES))](shape, rng)
        down, across = np.nonzero(shape)
        if shape.mean() > 0.1 and min(np.ptp(down), np.ptp(across)) > 0.3 * FINE:
            return shape


def texture(rng: Rng) -> np.ndarray:
    """What is above some level of smooth noise: islands, mazes, grain; finer or coarser."""
    smooth = ndimage.gaussian_filter(rng.standard_normal((FINE, FINE)), rng.uniform(1.5, 9, 2))
    return smooth > np.quantile(smooth, rng.uniform(0.3, 0.8))


def blob(rng: Rng) -> np.ndarray:
    """A smooth closed outline, filled: a circle whose radius is a few waves."""
    y, x = np.mgrid[-1 : 1 : FINE * 1j, -1 : 1 : FINE * 1j]
    angle, radius = np.arctan2(y, x * rng.uniform(0.7, 2.5)), rng.uniform(0.4, 0.7)
    for wave in range(1, 6):
        radius += rng.normal(0, 0.25 / wave) * np.sin(wave * angle + rng.uniform(0, 2 * np.pi))
    return np.hypot(x, y) < radius


def drops(rng: Rng) -> np.ndarray:
    """A blot: round drops that run into each other, longer than wide or wider than long."""
    page = np.zeros((FINE, FINE), bool)
    y, x = np.mgrid[:FINE, :FINE] - FINE / 2
    stretch, turn = np.exp(rng.normal(0, 0.2)), rng.uniform(0, np.pi)
    x, y = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    size = rng.uniform(6, 14)
    for _ in range(rng.integers(2, 12)):
        down, across = rng.normal(0, 0.5 * size, 2)
        page |= np.hypot(y / stretch - down, x * stretch - across) < size * rng.uniform(0.4, 1)
    return page


def polygons(rng: Rng) -> np.ndarray:
    """One to four polygons of three to six corners; where two overlap there may be a hole."""
    page = np.zeros((FINE, FINE), bool)
    holes = rng.random() < 0.3
    for _ in range(rng.integers(1, 5)):
        one_of_them = Image.new("1", (FINE, FINE))
        corners = rng.uniform(0, FINE, (rng.integers(3, 7), 2))
        ImageDraw.Draw(one_of_them).polygon([tuple(corner) for corner in corners], fill=1)
        page = page ^ np.asarray(one_of_them) if holes else page | np.asarray(one_of_them)
    return page


def boxes(rng: Rng) -> np.ndarray:
    """Two to six upright rectangles and ellipses, one over the other."""
    page = Image.new("1", (FINE, FINE))
    draw = ImageDraw.Draw(page)
    for _ in range(rng.integers(2, 7)):
        left, right = np.sort(rng.uniform(0, FINE, 2))
        top, bottom = np.sort(rng.uniform(0, FINE, 2))
        form = draw.rectangle if rng.random() < 0.6 else draw.ellipse
        form((left, top, right, bottom), fill=int(rng.random() < 0.8))
    return np.asarray(page)


def scribble(rng: Rng) -> np.ndarray:
    """A pen that goes to and fro more often than in any digit, or several strokes that cross."""
    page = Image.new("1", (FINE, FINE))
    points = rng.uniform(3, FINE - 3, (rng.integers(7, 14), 2))
    path = bend_through(points) if rng.random() < 0.5 else [tuple(point) for point in points]
    ImageDraw.Draw(page).line(path, fill=1, width=int(rng.integers(2, 8)), joint="curve")
    return np.asarray(page)


def mirror(shape: np.ndarray, _rng: Rng) -> np.ndarray:
    """Make both halves the same, as things that are made, and that live, are."""
    half = shape[:, : FINE // 2]
    return np.concatenate([half, half[:, ::-1]], axis=1)


def stripe(shape: np.ndarray, rng: Rng) -> np.ndarray:
    """Leave stripes of the shape, and mostly its outline."""
    y, x = np.mgrid[:FINE, :FINE]
    angle, period = rng.uniform(0, np.pi), rng.uniform(5, 20)
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period)
    inner = ndimage.binary_erosion(shape, iterations=int(rng.integers(0, 4)) or 1)
    return shape & ((wave > rng.uniform(-0.6, 0.4)) | ~inner)


def hollow(shape: np.ndarray, rng: Rng) -> np.ndarray:
    """Leave the outline and some texture within; an outline alone may be a 0."""
    inner = ndimage.binary_erosion(shape, iterations=int(rng.integers(2, 6)))
    return shape & (~inner | texture(rng))


SHAPES_BY_CHANCE = (texture, blob, drops, drops, drops, polygons, boxes, scribble)
CHANGES = (mirror, stripe, hollow)
