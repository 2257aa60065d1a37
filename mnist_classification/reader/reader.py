"""Read the numbers on a picture.

    reading = Reader().read("photo.jpg")
    reading.text                              # "2047"
    reading.lines[0].probability, reading.lines[0].sure

There are a few guesses at where lines are (`lines.py`); the network reads all of them, each line in
views of several sizes if the first leaves doubt, and the guess stands whose numbers are the most
probable.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from ..errors import PictureError
from ..shipped import SHIPPED_READER
from .decoding import Decoded, decode, put_in
from .ink import EIGHT
from .lines import ALL_STAGES, Page, Stages, erase_rings, fill_outlines, prepare, propose
from .picture import MAX_SIDE, Picture, Scale, load_pixels
from .recognizer import Recognizer, load_recognizer
from .strips import HEIGHT, STEP, Region, Strip, cut_strip, find_marks

VIEWS = (1.0, 0.85, 0.7)  # shares of a strip's height that a line is shown at
NO_DOUBT = 0.98  # probability from which on more views changed nothing on made lines
LOOPED = "0689"  # a felt pen fills any digit, but these no longer look as what they are
THICKEST = 0.42  # a stroke's width to the digit's extent; more is a blot
# Probabilities: of no account; more likely than not; so high that no other guess is made.
HARDLY, PROBABLE, ENOUGH = 0.1, 0.5, 0.9
ROOM = 0.25  # of the longer side, a margin around ink that reaches the edges
INKED = 0.4  # of full ink, where a digit's box ends
FOUND = 0.5  # of a digit's ink that was found as ink on the page; of a shade's less
DARK = 0.7  # of a digit's darkest place: a patch that is nowhere so dark is paper, not its ink
TALL = 0.6  # of the height of the digits beside it: a shape that may be one
SLIM = 0.5  # of a stroke's height, its width at most; and of a strip's height, a stroke's at least
MISSED = 8  # shapes that may be digits; where there are more they are something else


Box = tuple[int, int, int, int]  # left, top, right, bottom; the latter two not included


@dataclass(frozen=True)
class Digit:
    """One digit of a line.

    Attributes:
        label: 0 to 9.
        probability: of that label, were the line's other digits as they are read; as the networks
            have it, not calibrated as a line's is. Of a line of more than 16 digits, at the step
            where it was seen best.
        probabilities: (10,) float32, likewise.
        sure: whether the probability, calibrated as a line's is, reaches the model's threshold;
            in a sure line of up to 16 digits all of them are sure.
        box: (left, top, right, bottom) in pixels of the picture, upright.
        image28: (28, 28) uint8, its cut-out of the strip that the network saw; 0 is paper.
    """

    label: int
    probability: float
    probabilities: np.ndarray = field(repr=False, compare=False)
    sure: bool
    box: Box
    image28: np.ndarray = field(repr=False, compare=False)

    def as_json(self) -> dict[str, Any]:
        """Return the digit as JSON values, without its image."""
        return {
            "label": self.label,
            "probability": round(self.probability, 6),
            "probabilities": [round(float(p), 6) for p in self.probabilities],
            "sure": self.sure,
            "box": self.box,
        }


@dataclass(frozen=True)
class Line:
    """One number.

    Attributes:
        text: its digits; points, commas and signs are not read.
        probability: calibrated, that all of it is right, and nothing is missing.
        sure: whether the probability reaches the model's threshold.
        box: (left, top, right, bottom) in pixels of the picture, around the digits.
        digits: from the left.
    """

    text: str
    probability: float
    sure: bool
    box: Box
    digits: tuple[Digit, ...] = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """Return the line as JSON values."""
        return {
            "text": self.text,
            "probability": round(self.probability, 6),
            "sure": self.sure,
            "box": self.box,
            "digits": [digit.as_json() for digit in self.digits],
        }


@dataclass(frozen=True)
class Reading:
    """What is written on a picture.

    Attributes:
        text: the lines' texts, separated by newlines; "" if there is none.
        lines: from the top.
        error: why the picture could not be read, from `read_many`; else None.
    """

    text: str
    lines: tuple[Line, ...]
    error: str | None = None

    @property
    def digits(self) -> tuple[Digit, ...]:
        """All digits, in the order of the text."""
        return tuple(digit for line in self.lines for digit in line.digits)

    @property
    def sure(self) -> bool:
        """Whether there are lines and all of them are sure."""
        return bool(self.lines) and all(line.sure for line in self.lines)

    def as_json(self, name: str) -> dict[str, Any]:
        """Return what `mnist predict --json` prints and the server sends for a picture."""
        result = {"file": name, "text": self.text, "sure": self.sure}
        result["lines"] = [line.as_json() for line in self.lines]
        return result | ({"error": self.error} if self.error else {})


@dataclass(frozen=True)
class Seen:
    """A line as the network saw it.

    Attributes:
        strip: the first view of it.
        decoded: what it says, in all views.
    """

    strip: Strip
    decoded: Decoded


class Reader:
    """Reads numbers from pictures; one reader may serve many threads."""

    def __init__(
        self,
        model: str | Path = SHIPPED_READER,
        *,
        threshold: float | None = None,
        stages: Stages = ALL_STAGES,
    ):
        """Load the network.

        Args:
            model: folder with model.onnx, or an ONNX file.
            threshold: a number is sure from this probability on; else what calibration chose.
            stages: from pixels to ink.

        Raises:
            ModelError: there is no model, or it is damaged, or reads no lines.
        """
        self.recognizer = load_recognizer(model)
        self.threshold = self.recognizer.threshold if threshold is None else threshold
        self.stages = stages

    def read(self, picture: Picture) -> Reading:
        """Read one picture: a path, a file or its bytes, a PIL image or an array.

        Raises:
            PictureError: it can't be read. A picture without numbers gives an empty reading.
        """
        pixels, scale = load_pixels(picture)
        return self.describe(*self.look(pixels), scale)

    def read_many(self, pictures: Iterable[Picture]) -> Iterator[Reading]:
        """Read pictures in order; what can't be read gives a reading with `error`.

        Raises:
            PictureError: it is one picture, not several.
        """
        one = isinstance(pictures, str | Path | bytes | bytearray | memoryview | Image.Image)
        if isinstance(pictures, np.ndarray):  # with so few columns they are one picture's channels
            one = pictures.ndim < 3 or (pictures.ndim == 3 and pictures.shape[2] <= 4)
        if one or hasattr(pictures, "read"):
            raise PictureError("got one picture; expected several; try read")
        for picture in pictures:
            try:
                yield self.read(picture)
            except PictureError as error:
                yield Reading("", (), str(error))

    def look(self, pixels: np.ndarray) -> tuple[Page, list[Seen]]:
        """Return the page, and the lines with a number on them.

        Where it is not sure of them, the page may be filled where digits are drawn in outline, or
        be the sheet alone that lies on something else, or have a margin, unless probable numbers
        are lost by that.

        Args:
            pixels: (H, W, 3) uint8.
        """
        page = prepare(pixels, self.stages)
        lines = self._read_page(page)
        if _worst(lines) < ENOUGH or _only(lines, "0"):  # as an outline looks
            page, lines = self._read_filled(page, lines)
        for other in self._other_pages(pixels) if _worst(lines) < ENOUGH else ():
            found = self._read_page(other)
            if _worst(found) > _worst(lines) and _count_probable(found) >= _count_probable(lines):
                page, lines = other, found
        return page, lines

    def _read_filled(self, page: Page, lines: list[Seen]) -> tuple[Page, list[Seen]]:
        """Return the page and its lines, with outlines filled where more is read so."""
        filled = fill_outlines(page, self.stages)
        found = self._read_page(filled) if filled else []
        if filled is None or _only(found, "1"):  # as a slim 0 that is filled looks
            return page, lines
        # A 0 in a speech bubble is an outline, too, but of a single digit.
        several = sum(map(len, _texts(found))) > 1
        hollow = not lines or (several and _only(lines, "0"))
        least = PROBABLE if hollow else _worst(lines)
        return (filled, found) if _worst(found) > least else (page, lines)

    def _other_pages(self, pixels: np.ndarray) -> Iterator[Page]:
        covered = self.stages.cover_surroundings(pixels)
        if covered is not None:
            yield prepare(covered, self.stages)
        margin = round(ROOM * min(max(pixels.shape), MAX_SIDE))
        framed = self.stages.add_margin(pixels, margin)
        if framed is not None:
            yield prepare(framed, self.stages, margin)

    def _read_page(self, page: Page) -> list[Seen]:
        """Return the lines with a number on them, by the guess that is the most probable.

        What was drawn around numbers is erased where more can be read without it.
        """
        lines = self._read_guesses(page)
        bare = erase_rings(page, self.stages)
        if bare is None:
            return lines
        more = self._read_guesses(bare)
        missing = Counter(_texts(lines)) - Counter(_texts(more))
        if len(more) > len(lines) and not missing and _worst(more) >= HARDLY:
            return more
        # Or as many digits where one of a line was taken for a ring: if it is a 0 with a slash in
        # it, less is read without it, or less surely.
        ringed = any(is_ring(line, self.stages) for line in lines)
        before, after = ((len("".join(_texts(found))), _worst(found)) for found in (lines, more))
        return more if ringed and after > before and _worst(more) >= HARDLY else lines

    def _read_guesses(self, page: Page) -> list[Seen]:
        guesses = propose(page)
        seen: dict[Region, Seen] = {}  # guesses have lines in common
        first = self._read_lines(page, guesses[0], seen) if guesses else []
        whole = len(guesses) <= 2 and np.array_equal(page.inner, page.ink)
        if _worst(first) >= ENOUGH and whole:  # few lines, and nothing around them
            return first
        return choose([first, *(self._read_lines(page, regions, seen) for regions in guesses[1:])])

    def _read_lines(
        self, page: Page, regions: list[Region], seen: dict[Region, Seen]
    ) -> list[Seen]:
        # Where no ink was found, what rises and falls slowly would be all that there is to see.
        darkness = page.darkness if page.ink.any() else page.flat
        for region in regions:
            if region not in seen:
                seen[region] = read_region(self.recognizer, darkness, region)
        read = [seen[region] for region in regions if seen[region].decoded.text]
        return [
            line
            for line in read
            if not (is_blot(line) or is_shade(line, page.ink) or self._is_mere_ring(line))
        ]

    def _is_mere_ring(self, line: Seen) -> bool:
        """Say whether what looks like a single digit has a ring around something in it."""
        return len(line.decoded.text) == 1 and is_ring(line, self.stages)

    def describe(self, page: Page, lines: list[Seen], scale: Scale) -> Reading:
        """Say what was seen in pixels of the picture, `scale` of them per pixel of the page."""
        described = tuple(self._describe_line(line, page, scale) for line in lines)
        return Reading("\n".join(line.text for line in described), described)

    def _describe_line(self, line: Seen, page: Page, scale: Scale) -> Line:
        decoded, strip = line.decoded, line.strip
        digits = []
        for number, row in enumerate(decoded.probabilities):
            place = frame_digit(strip, decoded.spans, number)
            label = int(decoded.text[number])
            digits.append(
                Digit(
                    label=label,
                    probability=float(row[label]),
                    probabilities=row,
                    sure=self.recognizer.calibrate(float(row[label])) >= self.threshold,
                    box=_on_picture(strip, place, page, scale),
                    image28=_cut_out(strip, place),
                )
            )
        boxes = np.array([digit.box for digit in digits])
        left, top = boxes[:, :2].min(axis=0).tolist()
        right, bottom = boxes[:, 2:].max(axis=0).tolist()
        probability = self.recognizer.calibrate(decoded.probability)
        sure = probability >= self.threshold
        return Line(decoded.text, probability, sure, (left, top, right, bottom), tuple(digits))


def read_region(recognizer: Recognizer, darkness: np.ndarray, region: Region) -> Seen:
    """Cut a line out of a page, (H, W) float32, and read it."""
    strip = cut_strip(darkness, region, VIEWS[0])
    views = [recognizer.read(strip.image)]
    decoded = decode(views)
    if decoded.probability < NO_DOUBT:
        strips = [strip, *(cut_strip(darkness, region, share) for share in VIEWS[1:])]
        views += [recognizer.read(other.image) for other in strips[1:]]
        by_first = views
        if recognizer.second:
            views = by_first + [recognizer.second.read(other.image) for other in strips]
        decoded = decode(views)
        places = find_passed_over(strip, decoded.spans)
        if not decoded.text:  # as words should be read
            alone = decode(by_first)
            alone = alone if alone.text else put_in(by_first, alone, places)
            if len(alone.text) == 1:  # but they have more letters than one
                return Seen(strip, alone)
        decoded = put_in(views, decoded, places)
    return Seen(strip, decoded)


def find_passed_over(strip: Strip, spans: np.ndarray) -> list[int]:
    """Return where digits may be missing: of each shape without one, how many are left of it.

    Args:
        spans: as for `find_digit`.
    """
    labels, _ = ndimage.label(strip.image >= INKED, EIGHT)
    shapes = ndimage.find_objects(labels)
    if len(spans) == 0:  # a stroke by itself is a 1 more likely than one side of brackets
        sizes = [(rows.stop - rows.start, columns.stop - columns.start) for rows, columns in shapes]
        high, wide = sizes[0] if len(sizes) == 1 else (0, 0)
        return [0] if high >= max(HEIGHT * SLIM, wide / SLIM) else []
    boxes = [find_digit(strip, spans, number) for number in range(len(spans))]
    tall = TALL * np.median([bottom - top for _, top, _, bottom in boxes])
    middles = spans.mean(axis=1) * STEP
    places = []
    for rows, columns in shapes:
        within = (middles >= columns.start - 1) & (middles <= columns.stop)
        if rows.stop - rows.start >= tall and not within.any():
            places.append(int((middles < columns.start).sum()))
    return sorted(places) if len(places) <= MISSED else []


def choose(guesses: list[list[Seen]]) -> list[Seen]:
    """Return the most probable of several readings of a page.

    One that says the same and more is better, unless that is hardly probable: what was left out of
    a line leaves the rest as probable as before. One that says more than a single digit is better
    if that is probable: the digit may be what goes around a number, as a ring looks like a 0.
    """
    best, *others = sorted(guesses, key=_worst, reverse=True)
    for other in others:
        ours, theirs = "\n".join(_texts(best)), "\n".join(_texts(other))
        more = ours != theirs and ours in theirs and "\n" not in theirs
        alone = len(ours) == 1 < len(theirs)
        if (more and _worst(other) >= HARDLY) or (alone and _worst(other) >= PROBABLE):
            best = other
    return best


def _texts(lines: list[Seen]) -> list[str]:
    return [line.decoded.text for line in lines]


def _only(lines: list[Seen], digit: str) -> bool:
    """Say whether nothing but one digit is read, if anything."""
    return not set("".join(_texts(lines))) - {digit}


def _count_probable(lines: list[Seen]) -> int:
    return sum(line.decoded.probability >= PROBABLE for line in lines)


def _worst(lines: list[Seen]) -> float:
    return min((line.decoded.probability for line in lines), default=0.0)


def is_blot(line: Seen) -> bool:
    """Say whether most of what was taken for digits are filled loops, or no ink at all."""
    strip, spans, inked = line.strip, line.decoded.spans, line.strip.image >= INKED
    blots = 0
    for number, label in enumerate(line.decoded.text):
        left, top, right, bottom = find_digit(strip, spans, number)
        place = np.pad(inked[top:bottom, left:right], 1)
        stroke = 2 * float(ndimage.distance_transform_edt(place).max()) - 1
        filled = label in LOOPED and stroke > THICKEST * max(bottom - top, right - left)
        blots += filled or not place.any()
    return 2 * blots > len(line.decoded.text)


def is_shade(line: Seen, ink: np.ndarray) -> bool:
    """Say whether what looks like a single digit is light and shade, hardly any of it ink.

    Args:
        ink: (H, W) bool, of the page.
    """
    if len(line.decoded.text) != 1 or line.decoded.probability >= NO_DOUBT:
        return False
    dark = line.strip.image >= INKED
    return bool(find_marks(ink, line.strip)[dark].sum() < FOUND * dark.sum())


def is_ring(line: Seen, stages: Stages = ALL_STAGES) -> bool:
    """Say whether a number was read with what was drawn around it."""
    return bool(stages.find_rings(line.strip.image >= INKED).any())


def find_digit(strip: Strip, spans: np.ndarray, number: int) -> Box:
    """Return where a digit is on the strip: its ink, as far as half way to its neighbours.

    Args:
        spans: (N, 2) first step of each digit of the line and the one after its last.
    """
    middles = spans.mean(axis=1) * STEP
    middle, reach = middles[number], HEIGHT / 2
    left = middles[number - 1] + (middle - middles[number - 1]) / 2 if number else middle - reach
    last = number + 1 == len(middles)
    right = middle + reach if last else middle + (middles[number + 1] - middle) / 2
    left, right = max(0, int(left)), min(strip.image.shape[1], int(np.ceil(right)))
    right = max(right, left + 1)
    inked = strip.image[:, left:right] >= INKED
    if not inked.any():
        return left, 0, right, HEIGHT
    columns, rows = np.flatnonzero(inked.any(axis=0)), np.flatnonzero(inked.any(axis=1))
    return left + int(columns[0]), int(rows[0]), left + int(columns[-1]) + 1, int(rows[-1]) + 1


def frame_digit(strip: Strip, spans: np.ndarray, number: int) -> Box:
    """Return the box that a digit is shown in, without patches of paper that are fainter than ink.

    Hysteresis thresholding (Canny 1986).

    Args:
        spans: as for `find_digit`.
    """
    left, top, right, bottom = find_digit(strip, spans, number)
    part = strip.image[top:bottom, left:right]
    darkest = part >= max(INKED, DARK * part.max())
    ink = ndimage.binary_propagation(darkest, EIGHT, mask=part >= INKED)
    if not ink.any():
        return left, top, right, bottom
    rows, columns = ndimage.find_objects(ink.astype(np.uint8))[0]
    return left + columns.start, top + rows.start, left + columns.stop, top + rows.stop


def _on_picture(strip: Strip, place: Box, page: Page, scale: Scale) -> Box:
    """Return a box around the place on the picture, in its pixels; what is beyond it is cut off."""
    left, top, right, bottom = place
    corners = [strip.to_page(x, y) for x in (left, right) for y in (top, bottom)]
    height, width = (side - 2 * page.margin for side in page.pixels.shape[:2])
    x, y = (np.clip(np.array(corners) - page.margin, 0, (width, height)) * scale).T
    left, top, right, bottom = x.min(), y.min(), x.max(), y.max()
    return math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)


def _cut_out(strip: Strip, place: Box) -> np.ndarray:
    """Return a digit of the strip as (28, 28) uint8, fitted into the middle 20×20."""
    left, top, right, bottom = place
    digit = np.clip(strip.image[top:bottom, left:right], 0, 1)
    factor = 20 / max(digit.shape)
    size = [max(1, round(side * factor)) for side in digit.shape]
    small = Image.fromarray(digit).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    image = np.zeros((28, 28), np.uint8)
    first, start = (28 - size[0]) // 2, (28 - size[1]) // 2
    image[first : first + size[0], start : start + size[1]] = np.round(np.asarray(small) * 255)
    return image
