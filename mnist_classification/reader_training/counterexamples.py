"""Images of no digit, for a network to learn when not to be sure.

    examples = draw_counter_examples(train, 10_000, seed=0)   # every label is NO_DIGIT

Outlier exposure (Hendrycks et al. 2019): what is shown with every digit equally likely as its
target leaves the network undecided, and so does what resembles it. Hence many kinds: textures,
blobs, polygons and scribbles by chance, and two digits where one is expected.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from ..data import Examples
from ..reader.ink import EIGHT, to_mnist

NO_DIGIT = 10  # the label of what is none
PAGE = 56  # pixels of the page that a shape is drawn on
SPECK = 0.03  # of the page
BAR = 0.3  # nearly all of MNIST's 1 are thinner than that, and hardly another digit
OVERLAYS = 0.2  # share of two digits

Rng = np.random.Generator


def draw_counter_examples(digits: Examples, count: int, seed: int) -> Examples:
    """Draw so many, prepared as the reader prepares what it finds on a page.

    Args:
        digits: what is laid one over the other.
    """
    rng = np.random.default_rng([seed, NO_DIGIT])  # not the numbers of the drawn digits
    images = np.array([_draw(digits, rng) for _ in range(count)], np.uint8)
    return Examples(images.reshape(-1, 28, 28), np.full(count, NO_DIGIT, np.uint8))


def prepare_digits(digits: Examples, count: int, seed: int) -> Examples:
    """Prepare so many of the digits alike, lest the preparation itself tell what is no digit."""
    rng = np.random.default_rng([seed, NO_DIGIT])
    chosen = digits[rng.integers(len(digits), size=count)]
    images = [to_mnist(image.astype(np.float32) / 255, image > 127) for image in chosen.images]
    return Examples(np.array(images, np.uint8).reshape(-1, 28, 28), chosen.labels)


def _draw(digits: Examples, rng: Rng) -> np.ndarray:
    """Return one, (28, 28) uint8; drawn again where it is a speck, or a bar and so a 1."""
    while True:
        if rng.random() < OVERLAYS:
            shape = overlay(digits, rng)
        else:
            shape = SHAPES[rng.integers(len(SHAPES))](rng)
            if rng.random() < 0.5:
                shape = CHANGES[rng.integers(len(CHANGES))](shape, rng)
            labels, _ = ndimage.label(shape, EIGHT)
            sizes = np.bincount(labels.ravel())
            sizes[0] = 0
            shape = shape & (labels == sizes.argmax())
        if shape.mean() > SPECK and _thickness(shape) > BAR:
            return to_mnist(shape.astype(np.float32), shape)


def _thickness(shape: np.ndarray) -> float:
    """Return a shape's extent across to that along it, as standard deviations."""
    across, along = np.linalg.eigvalsh(np.cov(np.nonzero(shape)))
    return float(np.sqrt(max(across, 0) / along))


# Shapes by chance: (PAGE, PAGE) bool.


def texture(rng: Rng) -> np.ndarray:
    """What is above some level of smooth noise: islands, mazes, grain; finer or coarser."""
    smooth = ndimage.gaussian_filter(rng.standard_normal((PAGE, PAGE)), rng.uniform(1.5, 9, 2))
    return smooth > np.quantile(smooth, rng.uniform(0.3, 0.8))


def blob(rng: Rng) -> np.ndarray:
    """A smooth closed outline, filled: a circle whose radius is a few waves."""
    y, x = np.mgrid[-1 : 1 : PAGE * 1j, -1 : 1 : PAGE * 1j]
    angle, radius = np.arctan2(y, x * rng.uniform(0.7, 2.5)), rng.uniform(0.4, 0.7)
    for wave in range(1, 6):
        radius += rng.normal(0, 0.25 / wave) * np.sin(wave * angle + rng.uniform(0, 2 * np.pi))
    return np.hypot(x, y) < radius


def polygons(rng: Rng) -> np.ndarray:
    """One to four polygons of three to six corners; where two overlap there may be a hole."""
    page = np.zeros((PAGE, PAGE), bool)
    holes = rng.random() < 0.3
    for _ in range(rng.integers(1, 5)):
        one = Image.new("1", (PAGE, PAGE))
        corners = rng.uniform(0, PAGE, (rng.integers(3, 7), 2))
        ImageDraw.Draw(one).polygon([tuple(corner) for corner in corners], fill=1)
        page = page ^ np.asarray(one) if holes else page | np.asarray(one)
    return page


def boxes(rng: Rng) -> np.ndarray:
    """Two to six upright rectangles and ellipses, one over the other."""
    page = Image.new("1", (PAGE, PAGE))
    draw = ImageDraw.Draw(page)
    for _ in range(rng.integers(2, 7)):
        left, right = np.sort(rng.uniform(0, PAGE, 2))
        top, bottom = np.sort(rng.uniform(0, PAGE, 2))
        form = draw.rectangle if rng.random() < 0.6 else draw.ellipse
        form((left, top, right, bottom), fill=int(rng.random() < 0.8))
    return np.asarray(page)


def scribble(rng: Rng) -> np.ndarray:
    """A pen that goes to and fro more often than in any digit, or several strokes that cross."""
    page = Image.new("1", (PAGE, PAGE))
    draw = ImageDraw.Draw(page)
    pen = int(rng.integers(2, 8))
    points = rng.uniform(3, PAGE - 3, (rng.integers(6, 14), 2))
    if rng.random() < 0.5:  # bent, else straight
        time = np.linspace(0, len(points) - 1, 80)
        points = ndimage.map_coordinates(
            points, [time[:, None] + [[0, 0]], 0 * time[:, None] + [[0, 1]]], order=3
        )
    draw.line([tuple(point) for point in points], fill=1, width=pen, joint="curve")
    return np.asarray(page)


# Changes to a shape: none of them makes a digit of it.


def mirror(shape: np.ndarray, _rng: Rng) -> np.ndarray:
    """Make both halves the same, as things that are made, and that live, are."""
    half = shape[:, : PAGE // 2]
    return np.concatenate([half, half[:, ::-1]], axis=1)


def stripe(shape: np.ndarray, rng: Rng) -> np.ndarray:
    """Leave stripes of the shape, and mostly its outline."""
    y, x = np.mgrid[:PAGE, :PAGE]
    angle, period = rng.uniform(0, np.pi), rng.uniform(5, 20)
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period)
    inner = ndimage.binary_erosion(shape, iterations=int(rng.integers(0, 4)) or 1)
    return shape & ((wave > rng.uniform(-0.6, 0.4)) | ~inner)


def hollow(shape: np.ndarray, rng: Rng) -> np.ndarray:
    """Leave the outline and some texture within; an outline alone may be a 0."""
    inner = ndimage.binary_erosion(shape, iterations=int(rng.integers(2, 6)))
    return shape & (~inner | texture(rng))


def overlay(digits: Examples, rng: Rng) -> np.ndarray:
    """Lay one digit over or beside another: (h, w) bool, as where a cut was missed."""
    one, other = digits.images[rng.integers(len(digits), size=2)] > 127
    away = int(rng.integers(4, 20))
    down, right = (away, 0) if rng.random() < 0.3 else (0, away)
    return np.pad(one, ((0, down), (0, right))) | np.pad(other, ((down, 0), (right, 0)))


SHAPES: list[Callable[[Rng], np.ndarray]] = [texture, blob, polygons, boxes, scribble]
CHANGES = [mirror, stripe, hollow]
