"""Read the number on a picture.

    reading = Reader().read("photo.jpg")
    reading.text                              # "2047"
    reading.digits[0].probability, reading.digits[0].sure

Where digits touch, the page offers several ways of cutting; the classifier says which of them gives
the better digits (recognition-based segmentation, Casey and Lecolinet 1996).
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from ..errors import PictureError
from . import ink
from .classifier import DEFAULT_THRESHOLD, Classifier, load_classifier
from .ink import Page
from .picture import Picture, load_pixels

SHIPPED_READER = Path(__file__).parent.parent / "models" / "reader"
CHUNK = 64  # pictures prepared before their digits are classified together


Box = tuple[int, int, int, int]  # left, top, right, bottom; the latter two not included


@dataclass(frozen=True)
class Digit:
    """One digit on a picture.

    Attributes:
        label: 0 to 9.
        probability: of that label.
        probabilities: (10,) float32.
        sure: whether the probability reaches the model's threshold.
        box: (left, top, right, bottom) in pixels of the picture, upright.
        image28: (28, 28) uint8, what the network saw.
    """

    label: int
    probability: float
    probabilities: np.ndarray = field(repr=False)
    sure: bool
    box: Box
    image28: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Reading:
    """What is written on a picture.

    Attributes:
        text: the digits as read, lines from the top separated by newlines; "" if there is none.
        digits: in the same order.
        error: why the picture could not be read, from `read_many`; else None.
    """

    text: str
    digits: tuple[Digit, ...]
    error: str | None = None

    @property
    def sure(self) -> bool:
        """Whether there are digits and all of them are sure."""
        return bool(self.digits) and all(digit.sure for digit in self.digits)

    def as_json(self, name: str) -> dict[str, Any]:
        """Return what `mnist predict --json` prints and the server sends for a picture."""
        digits = [
            {
                "label": digit.label,
                "probability": round(digit.probability, 6),
                "probabilities": [round(float(p), 6) for p in digit.probabilities],
                "sure": digit.sure,
                "box": digit.box,
            }
            for digit in self.digits
        ]
        result = {"file": name, "text": self.text, "sure": self.sure, "digits": digits}
        return result | ({"error": self.error} if self.error else {})


@dataclass(frozen=True)
class Cuttings:
    """What is to be classified on one picture; small, so that many fit into memory.

    Attributes:
        shapes: per shape, per way of cutting it, per part: box on the page and (28, 28) uint8.
        scale: pixels of the picture per pixel of the page.
    """

    shapes: list[list[list[tuple[Box, np.ndarray]]]]
    scale: float


class Reader:
    """Reads digits from pictures."""

    def __init__(
        self,
        model: str | Path = SHIPPED_READER,
        *,
        classifier: Classifier | None = None,
        threshold: float | None = None,
    ):
        """Load the network.

        Args:
            model: folder with model.onnx, or an ONNX file.
            classifier: used instead of a model.
            threshold: a digit is sure from this probability on; else what calibration chose.

        Raises:
            ModelError: there is no model, or it is damaged.
        """
        self.classifier = classifier or load_classifier(model)
        chosen = getattr(self.classifier, "threshold", DEFAULT_THRESHOLD)
        self.threshold = chosen if threshold is None else threshold

    def read(self, picture: Picture) -> Reading:
        """Read one picture: a path, the bytes of a file, a PIL image or an array.

        Raises:
            PictureError: it can't be read. A picture without digits gives an empty reading.
        """
        return self.classify([prepare(picture)])[0]

    def read_many(self, pictures: Iterable[Picture]) -> Iterator[Reading]:
        """Read pictures in batches, in order; what can't be read gives a reading with `error`."""
        pictures = iter(pictures)
        while chunk := list(itertools.islice(pictures, CHUNK)):
            prepared = [_prepare_or_say_why(picture) for picture in chunk]
            readings = iter(self.classify([p for p in prepared if isinstance(p, Cuttings)]))
            for p in prepared:
                yield next(readings) if isinstance(p, Cuttings) else Reading("", (), p)

    def classify(self, pictures: list[Cuttings]) -> list[Reading]:
        """Classify all that was found on the pictures in one go, and choose how to cut it."""
        ways = [way for picture in pictures for shape in picture.shapes for way in shape]
        images = np.array([image for way in ways for _, image in way], np.uint8)
        rows = iter(self.classifier.predict(images.reshape(-1, 28, 28)))
        return [self._choose(picture, rows) for picture in pictures]

    def _choose(self, picture: Cuttings, rows: Iterator[np.ndarray]) -> Reading:
        """Take for each shape the way of cutting whose worst digit is the best."""
        digits: list[Digit] = []
        for ways in picture.shapes:
            read = [[self._digit(*part, next(rows), picture.scale) for part in way] for way in ways]
            digits += max(read, key=lambda way: min(digit.probability for digit in way))
        return Reading(_lay_out(digits), tuple(digits))

    def _digit(self, box: Box, image: np.ndarray, row: np.ndarray, scale: float) -> Digit:
        label = int(row.argmax())
        sure = bool(row[label] >= self.threshold)
        left, top, right, bottom = (round(edge * scale) for edge in box)
        return Digit(label, float(row[label]), row, sure, (left, top, right, bottom), image)


def prepare(picture: Picture) -> Cuttings:
    """Find the shapes on a picture and draw each, cut in every way, as MNIST would.

    Raises:
        PictureError: the picture can't be read.
    """
    pixels, scale = load_pixels(picture)
    return cut_out(ink.find_ink(pixels), scale)


def cut_out(page: Page, scale: float) -> Cuttings:
    """Draw each shape of a page, cut in every way, as MNIST would."""
    shapes = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(page.shapes), start=1):
        strength, corner = page.strength[rows, columns], (rows.start, columns.start)
        ways = ink.ways_to_cut(page.shapes[rows, columns] == number)
        shapes.append([[_draw(strength, part, corner) for part in way] for way in ways])
    return Cuttings(shapes, scale)


def _prepare_or_say_why(picture: Picture) -> Cuttings | str:
    try:
        return prepare(picture)
    except PictureError as error:
        return str(error)


def _draw(
    strength: np.ndarray, part: np.ndarray, corner: tuple[int, int]
) -> tuple[Box, np.ndarray]:
    """Return the part's box on the page and its image."""
    top, left = corner
    rows, columns = np.nonzero(part)
    first, last = (rows.min(), columns.min()), (rows.max() + 1, columns.max() + 1)
    box = (left + int(first[1]), top + int(first[0]), left + int(last[1]), top + int(last[0]))
    own = slice(first[0], last[0]), slice(first[1], last[1])
    return box, ink.to_mnist(strength[own], part[own])


def _lay_out(digits: list[Digit]) -> str:
    """Return the labels, a new line where a digit stands lower than or left of the one before."""
    text = ""
    for before, digit in itertools.pairwise([None, *digits]):
        assert digit is not None
        if before:
            lower = digit.box[1] + digit.box[3] > 2 * before.box[3]
            text += "\n" if lower or digit.box[0] < before.box[0] else ""
        text += str(digit.label)
    return text
