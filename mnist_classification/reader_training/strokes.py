"""Digits in ways of writing that MNIST hardly has, drawn by a pen of our own.

    examples = draw_digits(4000, seed=0)      # the 1 with its up-stroke, the crossed 7, …

MNIST's writers were American: their 1 is a bar, and a 1 with an up-stroke or a foot is read as
their 7. Each digit is a few straight strokes with chance in every corner; augmentation bends them.
"""

import math

import numpy as np
from PIL import Image, ImageDraw

from ..data import Examples
from ..reader.ink import to_mnist

Point = tuple[float, float]  # right and down, 0 to 1 over the digit's height
Strokes = list[list[Point]]

PAGE = 160  # pixels of the page that one digit is drawn on
HEIGHT = 110  # of them for the digit
CORNER_JITTER = 0.025  # standard deviation, of the height


def one(rng: np.random.Generator) -> Strokes:
    """An up-stroke that falls away to the left, or a foot, or both."""
    angle, length = math.radians(rng.uniform(25, 65)), rng.uniform(0.18, 0.75)
    lean = rng.uniform(-0.12, 0.2)  # how far the top is right of the bottom
    stem = [(lean, 0.0), (0.0, 1.0)]
    flag = [(lean - length * math.cos(angle), length * math.sin(angle)), (lean, 0.0)]
    reach = rng.uniform(0.12, 0.32)
    foot = [(-reach, 1.0), (reach * rng.uniform(0.7, 1.2), 1.0)]
    kind = rng.random()
    if kind < 0.6:
        return [[*flag, stem[1]]]
    return [[*flag, stem[1]], foot] if kind < 0.9 else [stem, foot]


def seven(rng: np.random.Generator) -> Strokes:
    """A level bar, then down; mostly crossed, sometimes with a tick at the bar's start."""
    width, tilt = rng.uniform(0.4, 0.7), rng.uniform(-0.06, 0.04)
    foot = rng.uniform(0.0, 0.45) * width
    down = [(0.0, -tilt), (width, 0.0), (foot, 1.0)]
    if rng.random() < 0.3:
        down.insert(0, (rng.uniform(-0.03, 0.03), rng.uniform(0.08, 0.2)))
    if rng.random() < 0.3:
        return [down]
    height = rng.uniform(0.4, 0.6)
    middle = width + (foot - width) * height
    reach = rng.uniform(0.14, 0.28)
    rise = rng.uniform(-0.05, 0.08)
    return [down, [(middle - reach, height + rise), (middle + reach, height - rise)]]


def four(rng: np.random.Generator) -> Strokes:
    """Closed at the top, or open with the stem apart."""
    width, bar = rng.uniform(0.5, 0.8), rng.uniform(0.55, 0.72)
    stem = width * rng.uniform(0.6, 0.85)
    if rng.random() < 0.5:
        return [[(stem, 1.0), (stem, 0.0), (0.0, bar), (width, bar)]]
    start = stem * rng.uniform(0.1, 0.6)
    corner = (start * rng.uniform(0.0, 0.8), bar)
    return [[(start, 0.0), corner, (width, bar)], [(stem, rng.uniform(0.0, 0.4)), (stem, 1.0)]]


def zero(rng: np.random.Generator) -> Strokes:
    """An oval with a stroke through it."""
    width = rng.uniform(0.5, 0.75)
    turn = np.linspace(0, 2 * np.pi, 25)
    oval = [(float(width / 2 * (1 + np.sin(t))), float((1 - np.cos(t)) / 2)) for t in turn]
    out = rng.uniform(-0.05, 0.1)
    slash = [(width * (0.8 + out), 0.15 - out), (width * (0.2 - out), 0.85 + out)]
    return [oval, slash]


def nine(rng: np.random.Generator) -> Strokes:
    """An oval, and a straight stem from its side."""
    width, size = rng.uniform(0.4, 0.6), rng.uniform(0.4, 0.58)
    turn = np.linspace(0.5 * np.pi, 2.5 * np.pi, 21)
    oval = [(float(width / 2 * (1 + np.sin(t))), float(size / 2 * (1 - np.cos(t)))) for t in turn]
    return [oval, [(width, size * rng.uniform(0.1, 0.5)), (width * rng.uniform(0.5, 1.05), 1.0)]]


# Digit → how it is drawn, and how often: the 1 is the one that is misread most.
WAYS = {1: (one, 0.4), 7: (seven, 0.25), 4: (four, 0.15), 0: (zero, 0.1), 9: (nine, 0.1)}


def draw_digits(count: int, seed: int) -> Examples:
    """Draw so many digits, prepared as the reader prepares what it finds on a page."""
    rng = np.random.default_rng(seed)
    shares = [share for _, share in WAYS.values()]
    labels = rng.choice(list(WAYS), size=count, p=shares).astype(np.uint8)
    images = [_draw(WAYS[int(label)][0](rng), rng) for label in labels]
    return Examples(np.array(images, np.uint8).reshape(-1, 28, 28), labels)


def _draw(strokes: Strokes, rng: np.random.Generator) -> np.ndarray:
    """Draw strokes with a round pen and return them as MNIST has them, (28, 28) uint8."""
    pen = int(rng.integers(4, 18))
    wide = HEIGHT * rng.uniform(0.75, 1.2)
    page = Image.new("L", (PAGE, PAGE))
    draw = ImageDraw.Draw(page)
    for stroke in strokes:
        wobble = rng.normal(0, CORNER_JITTER, size=(len(stroke), 2))
        if len(stroke) > 10:
            wobble[:] = wobble[0]  # an oval moves as a whole, or it would be a saw
        points = [
            (50 + wide * (x + dx), 25 + HEIGHT * (y + dy))
            for (x, y), (dx, dy) in zip(stroke, wobble, strict=True)
        ]
        draw.line(points, fill=255, width=pen, joint="curve")
        for x, y in (points[0], points[-1]):
            draw.ellipse([x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2], fill=255)
    strength = np.asarray(page, np.float32) / 255
    return to_mnist(strength, strength > 0.5)
