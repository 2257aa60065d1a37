#!/usr/bin/env python3
r"""How well the reader reads other people's hands, on hard pictures of each.

    apt-get install fonts-dkg-handwriting fonts-breip fonts-bwht fonts-humor-sans fonts-kristi \
        fonts-sjfonts fonts-yusei-magic fonts-yozvox-yozfont-cute
    python3 benchmarks/read_hands.py --sheet runs/hands.png

The digits are of fonts that people made of their handwriting, found in Debian; no model has learned
from any font. Each number is put into one scene after the other: chalk on a board, a note that is
seen from the side, a comb of boxes, a wall across the room. A number counts only if all of it is
read. The sheet shows what was read wrongly, with what was written and what was read. Apart from
these stand numbers with signs and beside words, and words alone, in which nothing is to be read.
"""

import io
import itertools
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from arguments import make_parser, save
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from read_real_digits import WITHOUT, reader_without
from scipy import ndimage
from scipy.stats import binomtest

from mnist_classification import Reader
from mnist_classification.shipped import SHIPPED_READER

Rng = np.random.Generator
FONTS = Path("/usr/share/fonts")
HANDS = (
    "dkg.ttf",
    "dkgIt.ttf",
    "Breip.ttf",
    "BecauseWeBuild-Regular.otf",
    "BecauseWeConnect-Regular.otf",
    "BecauseWeCreate-Regular.otf",
    "BecauseWeLearn-Regular.otf",
    "BecauseWeMentor-Regular.otf",
    "BecauseWeOrganize-Regular.otf",
    "Humor-Sans.ttf",
    "Kristi.ttf",
    "Delphine.ttf",
    "SteveHand.ttf",
    "YuseiMagic-Regular.ttf",
    "YOzRC_.ttf",
)
# What is written beside or in place of a number; letters are not to be read.
WORDS = (
    "Room 204",
    "Total: 4500",
    "12 kg",
    "Tel 5551234",
    "3 apples",
    "No. 77",
    "page 19",
    "250 EUR",
)
SIGNS = {
    "points and commas": ("788,45", "1.250", "3,99", "10.500.000"),
    "dates, times and dashes": ("29.11.2026", "14:05", "86-307-41", "-17"),
    "a plus or an equals sign": ("+44 273", "12 + 7", "19 = 19", "+5"),
    "a number sign": ("#919", "# 7", "#0872", "#44"),
    "a percent sign": ("46 %", "12%", "60 %", "7 %"),
    "brackets": ("(432)", "(7)", "(2084)", "(61)"),
}
WORDS_ALONE = ("house", "Monday", "thanks", "name", "queen", "why not", "Paul", "March")


@dataclass(frozen=True)
class Written:
    """A number in somebody's hand.

    Attributes:
        ink: (h, w) float32, 0 to 1, cut to what is written.
        ends: (N, 2) where each digit begins and ends, about.
    """

    ink: np.ndarray
    ends: np.ndarray


def write(text: str, font: Path, height: int) -> Written:
    """Write a number so high."""
    hand = ImageFont.truetype(font, 2 * height)
    image = Image.new("L", (4 * height * (len(text) + 2), 6 * height))
    ImageDraw.Draw(image).text((height, height), text, fill=255, font=hand)
    left, top, right, bottom = image.getbbox() or (0, 0, 1, 1)
    factor = height / (bottom - top)
    stops = [height + hand.getlength(text[:n]) for n in range(len(text) + 1)]
    ends = np.clip(np.array(list(itertools.pairwise(stops))), left, right) - left
    size = (max(1, round((right - left) * factor)), height)
    ink = image.crop((left, top, right, bottom)).resize(size, Image.Resampling.LANCZOS)
    return Written(np.asarray(ink, np.float32) / 255, ends * factor)


def noise(shape: tuple[int, ...], coarse: float, rng: Rng) -> np.ndarray:
    """Return smooth noise of standard deviation 1, (h, w) float32."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape[:2]).astype(np.float32), coarse)
    return field / field.std()


def sheet(ink: np.ndarray, colour: tuple[int, int, int], paper: ArrayLike) -> np.ndarray:
    """Return (h, w, 3) float32, ink on paper: (3,), or (h, w, 3)."""
    share = ink[:, :, None]
    return np.array(paper, np.float32) * (1 - share) + np.array(colour, np.float32) * share


def around(ink: np.ndarray, room: float, wide: float | None = None) -> np.ndarray:
    """Leave so much room above and below, and at the sides, in heights of the number."""
    above, beside = (round(r * len(ink)) for r in (room, room if wide is None else wide))
    return np.pad(ink, ((above, above), (beside, beside)))


def seen_from_the_side(page: np.ndarray, by: float, rng: Rng) -> np.ndarray:
    """Look at a page at an angle, on a dark table."""
    height, width = page.shape[:2]
    moved = rng.uniform(0, by, 8) * np.repeat([width, height], 4).reshape(2, 4).T.ravel() * 0.5
    corners = [(0, 0), (width, 0), (width, height), (0, height)]
    inward = [(1, 1), (-1, 1), (-1, -1), (1, -1)]
    table = (70, 60, 55)
    ends = [
        (x + dx * moved[2 * n], y + dy * moved[2 * n + 1])
        for n, ((x, y), (dx, dy)) in enumerate(zip(corners, inward, strict=True))
    ]
    rows = []
    for (x, y), (u, v) in zip(ends, corners, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
    solved = np.linalg.solve(np.array(rows, float), np.array(corners, float).ravel())
    image = Image.fromarray(as_bytes(page)).transform(
        (width, height),
        Image.Transform.PERSPECTIVE,
        solved.tolist(),
        Image.Resampling.BICUBIC,
        fillcolor=table,
    )
    return np.asarray(image, np.float32)


def as_bytes(page: np.ndarray) -> np.ndarray:
    """Return (h, w, 3) uint8."""
    return np.clip(page, 0, 255).round().astype(np.uint8)


def draw_on(page: np.ndarray, draw: Callable[[ImageDraw.ImageDraw], None]) -> np.ndarray:
    """Draw lines on a page by Pillow."""
    image = Image.fromarray(as_bytes(page))
    draw(ImageDraw.Draw(image))
    return np.asarray(image, np.float32)


# The scenes: a number → a picture, (h, w, 3) uint8; what each says of itself names its row


def chalk_on_a_board(number: Written, rng: Rng) -> np.ndarray:
    """Chalk on a board."""
    ink = around(number.ink, 0.6)
    chalk = ink * (noise(ink.shape, 0.7, rng) > -0.9)
    wiped = np.clip(noise(ink.shape, 12, rng), 0, 2)[:, :, None]
    return as_bytes(sheet(chalk, (225, 225, 215), (42, 60, 52)) + 9 * wiped)


def marker_on_a_whiteboard(number: Written, _rng: Rng) -> np.ndarray:
    """Marker on a whiteboard."""
    ink = around(number.ink, 0.8)
    y, x = np.mgrid[: ink.shape[0], : ink.shape[1]]
    glare = np.exp(-((x - 0.8 * ink.shape[1]) ** 2 + y**2) / (0.6 * len(ink)) ** 2)
    return as_bytes(sheet(ink, (30, 60, 180), (205, 210, 212)) + 70 * glare[:, :, None])


def a_note_seen_from_the_side(number: Written, rng: Rng) -> np.ndarray:
    """A note seen from the side."""
    page = sheet(around(number.ink, 1.0, 0.8), (40, 40, 60), (245, 225, 110))
    return as_bytes(seen_from_the_side(page, 0.25, rng) + rng.normal(0, 4, page.shape))


def a_drawing_program(number: Written, _rng: Rng) -> np.ndarray:
    """A drawing program."""
    ink = (around(number.ink, 0.3) > 0.5).astype(np.float32)
    return as_bytes(sheet(ink, (250, 220, 40), (90, 40, 130)))


def squared_paper(number: Written, rng: Rng) -> np.ndarray:
    """Squared paper."""
    page = sheet(around(number.ink, 0.7), (25, 30, 110), (250, 250, 248))
    period = int(rng.integers(14, 30))
    for lines in (page[period // 2 :: period], page[:, period // 3 :: period]):
        np.minimum(lines, (175, 200, 225), out=lines)
    return as_bytes(page)


def lined_paper_turned(number: Written, rng: Rng) -> np.ndarray:
    """Lined paper turned."""
    ink = around(number.ink, 1.2, 0.6)
    page = sheet(ink, (30, 30, 35), (248, 246, 240))
    period = int(1.5 * len(number.ink))
    first = (len(ink) + len(number.ink)) // 2
    for row in range(first % period, len(page), period):
        page[row : row + 2] = np.minimum(page[row : row + 2], (150, 160, 215))
    turned = ndimage.rotate(page, rng.uniform(-7, 7), order=1, reshape=False, mode="nearest")
    return as_bytes(turned)


def a_pale_receipt(number: Written, rng: Rng) -> np.ndarray:
    """A pale receipt."""
    page = sheet(around(number.ink, 0.5), (168, 168, 182), (222, 220, 216))
    return as_bytes(page + 5 * rng.standard_normal(page.shape))


def marker_on_cardboard(number: Written, rng: Rng) -> np.ndarray:
    """Marker on cardboard."""
    page = sheet(around(number.ink, 0.7), (25, 20, 20), (172, 132, 92))
    flutes = 6 * np.sin(np.arange(page.shape[1]) / 2.2)[None, :, None]
    return as_bytes(page + flutes + 7 * noise(page.shape, 1.5, rng)[:, :, None])


def the_shadow_of_a_hand(number: Written, rng: Rng) -> np.ndarray:
    """The shadow of a hand."""
    page = sheet(around(number.ink, 1.0), (40, 45, 95), (235, 232, 225))
    y, x = np.mgrid[: page.shape[0], : page.shape[1]]
    middle = rng.uniform(0.2, 0.8) * page.shape[1]
    shade = 1 / (1 + np.exp((np.hypot(x - middle, y - page.shape[0]) - 0.8 * len(page)) / 6))
    return as_bytes(page * (1 - 0.55 * shade[:, :, None]))


def a_tiny_thumbnail(number: Written, _rng: Rng) -> np.ndarray:
    """A tiny thumbnail."""
    page = Image.fromarray(as_bytes(sheet(around(number.ink, 0.4), (20, 20, 20), (240, 240, 240))))
    small = page.resize((page.width * 22 // page.height, 22), Image.Resampling.BOX)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=30)
    return np.asarray(Image.open(buffer).convert("RGB"))


def light_ink_on_a_dark_screen(number: Written, _rng: Rng) -> np.ndarray:
    """Light ink on a dark screen."""
    page = sheet(around(number.ink, 0.5), (120, 240, 170), (18, 20, 30))
    page[::3] *= 0.75
    return as_bytes(page)


def a_double_frame_on_green(number: Written, _rng: Rng) -> np.ndarray:
    """A double frame on green."""
    page = sheet(around(number.ink, 0.5, 0.4), (20, 25, 60), (196, 224, 190))
    right, bottom = page.shape[1] - 1, page.shape[0] - 1

    def draw(pen: ImageDraw.ImageDraw) -> None:
        pen.rectangle((2, 2, right - 2, bottom - 2), outline=(60, 110, 70), width=2)
        pen.rectangle((7, 7, right - 7, bottom - 7), outline=(60, 110, 70), width=1)

    return as_bytes(draw_on(page, draw))


def under_a_stamp(number: Written, rng: Rng) -> np.ndarray:
    """Under a stamp."""
    page = sheet(around(number.ink, 0.8), (20, 20, 60), (250, 248, 240))
    radius = rng.uniform(0.6, 0.9) * len(number.ink)
    x, y = rng.uniform(0.3, 0.7) * page.shape[1], rng.uniform(0.4, 0.6) * page.shape[0]
    ring = Image.new("L", (page.shape[1], page.shape[0]))
    pen = ImageDraw.Draw(ring)
    for r in (radius, 0.85 * radius):
        pen.ellipse((x - r, y - r, x + r, y + r), outline=255, width=3)
    red = np.asarray(ring, np.float32)[:, :, None] / 255 * 0.6
    return as_bytes(page * (1 - red) + np.array((205, 60, 70), np.float32) * red)


def circled(number: Written, _rng: Rng) -> np.ndarray:
    """Circled."""
    page = sheet(around(number.ink, 0.9, 0.9), (35, 35, 45), (248, 248, 246))
    edge = 0.12 * len(number.ink)
    box = (edge, edge, page.shape[1] - edge, page.shape[0] - edge)
    width = max(2, len(number.ink) // 16)
    return as_bytes(
        draw_on(page, lambda pen: pen.arc(box, 20, 395, fill=(200, 40, 40), width=width))
    )


def underlined_twice(number: Written, _rng: Rng) -> np.ndarray:
    """Underlined twice."""
    page = sheet(around(number.ink, 0.8), (30, 40, 140), (250, 250, 250))
    high, width = len(number.ink), max(2, len(number.ink) // 18)
    foot = 0.5 * (page.shape[0] + high)
    left, right = 0.75 * high, page.shape[1] - 0.7 * high

    def draw(pen: ImageDraw.ImageDraw) -> None:
        for below, slope in ((0.18, 0.03), (0.34, -0.02)):
            y = foot + below * high
            pen.line((left, y, right, y - slope * (right - left)), fill=(30, 40, 140), width=width)

    return as_bytes(draw_on(page, draw))


def a_name_in_cloth(number: Written, rng: Rng) -> np.ndarray:
    """A name in cloth."""
    page = sheet(around(number.ink, 0.7), (190, 40, 50), (60, 75, 120))
    y, x = np.mgrid[: page.shape[0], : page.shape[1]]
    weave = 14 * np.sin(x * 2.1) * np.sin(y * 2.1)
    return as_bytes(page + weave[:, :, None] + 5 * noise(page.shape, 1, rng)[:, :, None])


def burnt_into_wood(number: Written, rng: Rng) -> np.ndarray:
    """Burnt into wood."""
    page = sheet(around(number.ink, 0.7), (70, 42, 25), (178, 136, 92))
    grain = ndimage.gaussian_filter(rng.standard_normal(page.shape[:2]), (0.8, 25))
    return as_bytes(page + 12 * (grain / grain.std())[:, :, None])


def out_of_focus(number: Written, rng: Rng) -> np.ndarray:
    """Out of focus."""
    page = sheet(around(number.ink, 0.8), (25, 25, 30), (225, 222, 215))
    soft = ndimage.gaussian_filter(page, (len(number.ink) / 16, len(number.ink) / 16, 0))
    return as_bytes(soft + rng.normal(0, 3, page.shape))


def shaken(number: Written, _rng: Rng) -> np.ndarray:
    """Shaken."""
    page = sheet(around(number.ink, 0.8), (25, 25, 30), (225, 222, 215))
    return as_bytes(ndimage.uniform_filter(page, (1, max(2, len(number.ink) // 9), 1)))


def a_board_from_below(number: Written, rng: Rng) -> np.ndarray:
    """A board from below."""
    page = sheet(around(number.ink, 1.2, 1.0), (30, 30, 30), (235, 235, 230))
    return as_bytes(seen_from_the_side(page, 0.6, rng))


def a_card_on_a_wooden_table(number: Written, rng: Rng) -> np.ndarray:
    """A card on a wooden table."""
    card = around(number.ink, 0.9, 0.7)
    side = int(1.5 * max(card.shape))
    grain = ndimage.gaussian_filter(rng.standard_normal((side, side)), (1.0, 30))
    wood = np.array((150, 110, 75), np.float32) + 14 * (grain / grain.std())[:, :, None]
    y, x = ((side - n) // 2 + int(rng.uniform(-0.1, 0.1) * side) for n in card.shape)
    placed = [
        np.pad(layer, ((y, side - y - card.shape[0]), (x, side - x - card.shape[1])))
        for layer in (card, np.ones_like(card))
    ]
    turn = rng.uniform(-6, 6)
    ink, there = (ndimage.rotate(layer, turn, order=1, reshape=False) for layer in placed)
    page = sheet(ink, (30, 30, 60), (238, 236, 230))
    return as_bytes(wood * (1 - there[:, :, None]) + page * there[:, :, None])


def a_page_that_leaves_the_picture(number: Written, rng: Rng) -> np.ndarray:
    """A page that leaves the picture."""
    page = sheet(around(number.ink, 1.3, 0.9), (35, 35, 40), (232, 230, 222))
    wide, high = (int(share * len(number.ink)) for share in rng.uniform(0.2, 0.6, 2))
    page[:, :wide] = page[:high] = rng.uniform(50, 120, 3)
    turned = ndimage.rotate(page, rng.uniform(-4, 4), order=1, reshape=False, mode="nearest")
    return as_bytes(turned + rng.normal(0, 4, page.shape))


def on_a_wall_across_the_room(number: Written, rng: Rng) -> np.ndarray:
    """On a wall across the room."""
    small = number.ink[:: max(1, len(number.ink) // 40), :: max(1, len(number.ink) // 40)]
    wall = np.zeros((700, 1000), np.float32)
    y, x = rng.integers(200, 400), rng.integers(100, 1000 - small.shape[1] - 100)
    wall[y : y + small.shape[0], x : x + small.shape[1]] = small
    page = sheet(wall, (50, 45, 45), (214, 208, 196))
    light = np.linspace(1, 0.65, page.shape[1])[None, :, None]
    return as_bytes(page * light + 3 * noise(page.shape, 1.2, rng)[:, :, None])


def around_a_mug(number: Written, _rng: Rng) -> np.ndarray:
    """Around a mug."""
    ink = around(number.ink, 0.9, 0.4)
    turn = np.linspace(-1.0, 1.0, ink.shape[1])
    columns = ((np.sin(turn * 1.1) / np.sin(1.1) + 1) / 2 * (ink.shape[1] - 1)).round().astype(int)
    down = np.round(0.35 * len(number.ink) * (1 - turn**2)).astype(int)
    rows = np.arange(len(ink))[:, None] - down + int(0.17 * len(number.ink))
    bent = ink[np.clip(rows, 0, len(ink) - 1), columns]
    page = sheet(bent, (40, 60, 130), (238, 236, 232))
    return as_bytes(page * (0.6 + 0.4 * np.cos(turn))[None, :, None])


def a_comb_of_boxes(number: Written, _rng: Rng) -> np.ndarray:
    """A comb of boxes."""
    high = len(number.ink)
    side, gap = round(1.5 * high), round(0.25 * high)
    page = np.full((side + 2 * gap, len(number.ends) * side + 2 * gap, 3), 246, np.float32)
    for n, (left, right) in enumerate(number.ends.round().astype(int)):
        x, y = gap + n * side, gap
        page[y : y + side, x : x + 2] = page[y : y + side, x + side - 2 : x + side] = 120
        page[y : y + 2, x : x + side] = page[y + side - 2 : y + side, x : x + side] = 120
        digit = number.ink[:, left:right]
        digit = digit[:, : side - 6]
        x += (side - digit.shape[1]) // 2
        y += (side - high) // 2
        part = page[y : y + high, x : x + digit.shape[1]]
        part *= 1 - 0.85 * digit[:, :, None]
    return as_bytes(page)


def a_bad_fax(number: Written, rng: Rng) -> np.ndarray:
    """A bad fax."""
    ink = around(number.ink, 0.5)
    dots = ink > rng.uniform(0.25, 0.75, ink.shape)
    dots ^= rng.random(ink.shape) < 0.012
    return as_bytes(sheet(dots.astype(np.float32), (0, 0, 0), (255, 255, 255)))


def paper_that_was_crumpled(number: Written, rng: Rng) -> np.ndarray:
    """Paper that was crumpled."""
    page = sheet(around(number.ink, 0.9), (35, 35, 75), (228, 226, 220))
    creases = np.abs(noise(page.shape, 9, rng))
    light = 1 - 0.25 * np.exp(-((creases / 0.12) ** 2)) + 0.05 * noise(page.shape, 20, rng)
    soft = Image.fromarray(as_bytes(page * light[:, :, None])).filter(ImageFilter.SMOOTH)
    return np.asarray(soft)


def in_a_drawing(number: Written, corners: list[tuple[float, float]]) -> np.ndarray:
    """Draw a closed line around a number, by corners in halves of its height and width."""
    high, wide = number.ink.shape
    page = sheet(around(number.ink, 1.6, 1.2), (35, 35, 60), (246, 244, 238))
    middle = page.shape[1] / 2, page.shape[0] / 2
    line = [
        (middle[0] + x * (wide / 2 + 0.2 * high), middle[1] + y * high / 2)
        for x, y in [*corners, corners[0]]
    ]
    width = max(2, high // 16)
    return as_bytes(
        draw_on(page, lambda pen: pen.line(line, fill=(35, 35, 60), width=width, joint="curve"))
    )


def a_frame_drawn_by_hand(number: Written, rng: Rng) -> np.ndarray:
    """A frame drawn by hand."""
    corners = [(-1, -1), (0, -1.1), (1, -1), (1.05, 0), (1, 1), (0, 1.05), (-1, 1), (-1.05, 0)]
    moved = rng.normal(0, 0.05, (len(corners), 2))
    return in_a_drawing(
        number,
        [(1.3 * x + dx, 2 * y + dy) for (x, y), (dx, dy) in zip(corners, moved, strict=True)],
    )


def on_a_house(number: Written, _rng: Rng) -> np.ndarray:
    """On a drawing of a house."""
    return in_a_drawing(number, [(-1.3, 2.4), (-1.3, -1.5), (0, -3.3), (1.3, -1.5), (1.3, 2.4)])


def in_a_speech_bubble(number: Written, _rng: Rng) -> np.ndarray:
    """In a speech bubble."""
    turn = np.linspace(0.62 * np.pi, 2.45 * np.pi, 60)
    oval = [(1.45 * np.cos(t), 2.2 * np.sin(t)) for t in turn]
    return in_a_drawing(number, [*oval, (-0.4, 3.6)])


def a_table_of_numbers(number: Written, rng: Rng) -> np.ndarray:
    """A table, each digit in a cell."""
    high = len(number.ink)
    side, edge, line = round(1.8 * high), round(0.5 * high), max(2, high // 25)
    page = np.full((side + 2 * edge, len(number.ends) * side + 2 * edge, 3), 246, np.float32)
    for top in (edge, edge + side):
        page[top : top + line, edge:-edge] = 90
    for n in range(len(number.ends) + 1):
        page[edge : edge + side + line, edge + n * side : edge + n * side + line] = 90
    for n, (left, right) in enumerate(number.ends.round().astype(int)):
        digit = number.ink[:, left:right][:, : side - 4 * line]
        x = edge + n * side + (side - digit.shape[1]) // 2 + line
        y = edge + int(rng.uniform(0.3, 0.6) * (side - high))
        page[y : y + high, x : x + digit.shape[1]] *= 1 - 0.85 * digit[:, :, None]
    return as_bytes(page)


def two_notes_on_a_desk(number: Written, rng: Rng) -> np.ndarray:
    """Two notes on a desk, half of the number on each."""
    half = (len(number.ends) + 1) // 2
    cut = round(number.ends[half - 1, 1]) if half < len(number.ends) else number.ink.shape[1]
    gap = round(0.6 * len(number.ink))
    notes = []
    for ink, paper in (
        (number.ink[:, :cut], (250, 238, 150)),
        (number.ink[:, cut:], (178, 226, 248)),
    ):
        if ink.any():
            notes.append(sheet(around(ink, 0.8), (30, 30, 60), paper))
    size = notes[0].shape[0] + 2 * gap, sum(note.shape[1] + gap for note in notes) + gap
    desk = np.array((105, 78, 58), np.float32) + 4 * noise(size, 2, rng)[:, :, None]
    x = gap
    for note in notes:
        desk[gap : gap + note.shape[0], x : x + note.shape[1]] = note
        x += note.shape[1] + gap
    return as_bytes(desk)


def on_a_round_sign(number: Written, rng: Rng) -> np.ndarray:
    """On a round sign that fills the picture."""
    high = len(number.ink)
    page = sheet(around(number.ink, rng.uniform(1.2, 2.2)), (25, 25, 30), (246, 246, 240))
    edge, width = 2, int(rng.integers(high // 12 + 1, high // 5 + 2))
    box = (edge, edge, page.shape[1] - edge - 1, page.shape[0] - edge - 1)
    return as_bytes(draw_on(page, lambda pen: pen.ellipse(box, outline=(190, 30, 35), width=width)))


def on_a_billiard_ball(number: Written, _rng: Rng) -> np.ndarray:
    """On a billiard ball."""
    disk = sheet(around(number.ink, 0.6), (25, 25, 30), (246, 246, 240))
    high, wide = disk.shape[:2]
    radius = 0.53 * np.hypot(high, wide)
    row, column = np.mgrid[-1.5 * radius : 1.5 * radius, -1.5 * radius : 1.5 * radius]
    away = np.hypot(row, column)[:, :, None]
    page = np.where(away < 1.4 * radius, (200, 30, 30), (30, 90, 40))
    page = np.where(away < radius, (246, 246, 240), page).astype(np.float32)
    top, left = (page.shape[0] - high) // 2, (page.shape[1] - wide) // 2
    page[top : top + high, left : left + wide] = np.minimum(
        page[top : top + high, left : left + wide], disk
    )
    return as_bytes(page)


def a_card_with_clear_corners(number: Written, _rng: Rng) -> np.ndarray:
    """A card with clear corners."""
    ink = around(number.ink, 1.2, 1.5)
    high, wide = ink.shape
    shape = Image.new("L", (wide, high))
    ImageDraw.Draw(shape).rounded_rectangle((4, 4, wide - 5, high - 5), high // 5, fill=255)
    return np.dstack([as_bytes(sheet(ink, (30, 30, 40), (246, 246, 248))), np.asarray(shape)])


def a_window_with_its_shadow(number: Written, rng: Rng) -> np.ndarray:
    """A window on nothing, with its shadow."""
    ink = around(number.ink, 1.0)
    page = as_bytes(sheet(ink, (25, 30, 90), (250, 249, 246)) + rng.normal(0, 2, (*ink.shape, 1)))
    room = 40
    shadow = np.zeros((len(page) + 2 * room, page.shape[1] + 2 * room), np.float32)
    shadow[room + 8 : 8 - room, room:-room] = 1
    alpha = 120 * ndimage.gaussian_filter(shadow, 12)
    window = np.dstack([np.zeros((*shadow.shape, 3)), alpha])
    window[room:-room, room:-room] = np.dstack([page, np.full(ink.shape, 255)])
    return as_bytes(window)


def on_dotted_paper(number: Written, rng: Rng) -> np.ndarray:
    """On dotted paper, a page of it."""
    ink = around(number.ink, 4, 5)
    y, x = np.mgrid[: ink.shape[0], : ink.shape[1]]
    apart = rng.uniform(12, 22)
    dots = 0.5 * (np.hypot(x % apart - apart / 2, y % apart - apart / 2) < 1.3)
    page = sheet(np.maximum(ink, dots), (40, 40, 90), (240, 238, 230))
    return as_bytes(page + rng.normal(0, 2, (*ink.shape, 1)))


def on_a_till_roll(number: Written, rng: Rng) -> np.ndarray:
    """On a till roll."""
    high, wide = number.ink.shape
    roll = np.zeros((int(high * rng.uniform(20, 30)), max(wide + 40, 300)), np.float32)
    top = int(len(roll) * rng.uniform(0.1, 0.8))
    roll[top : top + high, 20 : 20 + wide] = number.ink
    page = sheet(roll, (60, 60, 80), (238, 236, 232))
    return as_bytes(page + 3 * noise(roll.shape, 1, rng)[:, :, None])


def under_a_ring_of_coffee(number: Written, rng: Rng) -> np.ndarray:
    """Under a ring of coffee."""
    ink = around(number.ink, 1.2)
    high, wide = ink.shape
    y, x = np.mgrid[:high, :wide]
    radius = rng.uniform(0.5, 0.9) * high
    away = np.hypot(y - high * rng.uniform(0.2, 0.8), x - wide * rng.uniform(0.2, 0.8))
    stain = 0.5 * np.exp(-(((away - radius) / 3.5) ** 2)) + 0.12 * (away < radius)
    page = sheet(ink, (30, 30, 40), (247, 244, 238))
    return as_bytes(
        page * (1 - stain[:, :, None]) + stain[:, :, None] * np.array((120, 80, 40), np.float32)
    )


def in_outline(number: Written, _rng: Rng) -> np.ndarray:
    """Drawn in outline."""
    ink = ndimage.zoom(around(number.ink, 0.6), 2, order=1)
    solid = ndimage.binary_dilation(ink > 0.5, iterations=int(0.06 * len(number.ink)))
    edge = solid & ~ndimage.binary_erosion(solid, iterations=3)
    soft = ndimage.gaussian_filter(edge.astype(np.float32), 0.7)
    return as_bytes(sheet(soft, (20, 20, 20), (250, 250, 250)))


def with_an_outline(number: Written, _rng: Rng) -> np.ndarray:
    """Filled in another colour than its outline."""
    ink = ndimage.zoom(around(number.ink, 0.6), 2, order=1)
    outer = ndimage.grey_dilation(ink, (9, 9))
    return as_bytes(sheet(ink, (255, 240, 60), sheet(outer, (20, 20, 20), (120, 180, 120))))


def a_lined_page_with_holes(number: Written, _rng: Rng) -> np.ndarray:
    """A lined page with a margin and holes."""
    ink = around(number.ink, 3)
    high, wide = ink.shape
    paper = np.full((high, wide, 3), (248, 248, 244), np.float32)
    paper[20::46] = paper[21::46] = (150, 180, 220)
    paper[:, 60:63] = (220, 90, 90)
    y, x = np.mgrid[:high, :wide]
    for row in (0.2, 0.8):
        paper[np.hypot(y - row * high, x - 28) < 14] = 60
    return as_bytes(sheet(ink, (20, 30, 110), paper))


def in_the_corner_of_a_scan(number: Written, rng: Rng) -> np.ndarray:
    """In the corner of a scan, whose edge is dark."""
    ink = np.zeros((1400, 1000), np.float32)
    high, wide = number.ink.shape
    small = Image.fromarray(number.ink).resize((max(1, round(wide * 40 / high)), 40))
    ink[90:130, 910 - small.width : 910] = np.asarray(small)
    paper = np.full((1400, 1000, 3), 247, np.float32)
    paper[:, :6] = 80
    for row, column in rng.integers(0, (1390, 990), (25, 2)):
        paper[row : row + 2, column : column + 2] = 120
    return as_bytes(sheet(ink, (40, 40, 50), paper))


def one_digit_circled(number: Written, rng: Rng) -> np.ndarray:
    """One digit circled."""
    ink = around(number.ink, 0.6)
    room = (ink.shape[1] - number.ink.shape[1]) // 2
    left, right = number.ends[rng.integers(len(number.ends))] + room
    page = Image.fromarray(as_bytes(sheet(ink, (25, 35, 110), (250, 250, 246))))
    ring = (left - 12, 0.3 * len(number.ink), right + 12, len(ink) - 0.3 * len(number.ink))
    ImageDraw.Draw(page).ellipse(ring, outline=(190, 30, 30), width=4)
    return np.asarray(page)


SCENES: tuple[Callable[[Written, Rng], np.ndarray], ...] = (
    chalk_on_a_board,
    marker_on_a_whiteboard,
    a_note_seen_from_the_side,
    a_drawing_program,
    squared_paper,
    lined_paper_turned,
    a_pale_receipt,
    marker_on_cardboard,
    the_shadow_of_a_hand,
    a_tiny_thumbnail,
    light_ink_on_a_dark_screen,
    a_double_frame_on_green,
    under_a_stamp,
    circled,
    underlined_twice,
    a_name_in_cloth,
    burnt_into_wood,
    out_of_focus,
    shaken,
    a_board_from_below,
    a_card_on_a_wooden_table,
    a_page_that_leaves_the_picture,
    on_a_wall_across_the_room,
    around_a_mug,
    a_comb_of_boxes,
    a_bad_fax,
    paper_that_was_crumpled,
    a_frame_drawn_by_hand,
    on_a_house,
    in_a_speech_bubble,
    a_table_of_numbers,
    two_notes_on_a_desk,
    on_a_round_sign,
    on_a_billiard_ball,
    a_card_with_clear_corners,
    a_window_with_its_shadow,
    on_dotted_paper,
    on_a_till_roll,
    under_a_ring_of_coffee,
    in_outline,
    with_an_outline,
    a_lined_page_with_holes,
    in_the_corner_of_a_scan,
    one_digit_circled,
)


def find_hands(folder: Path) -> list[Path]:
    """Return the fonts' files.

    Raises:
        SystemExit: one is missing.
    """
    there = {path.name: path for path in folder.rglob("*") if path.name in HANDS}
    missing = [name for name in HANDS if name not in there]
    if missing:
        raise SystemExit(f"no {missing[0]} under {folder}; try the line at the top of {__file__}")
    return [there[name] for name in HANDS]


def run(reader: Reader, hands: list[Path], seed: int) -> tuple[dict, list]:
    """Read a number by each hand in each scene; return the counts, and what was read wrongly."""
    scenes: dict[str, dict[str, int]] = {}
    by_hand = {hand.stem: 0 for hand in hands}
    wrong = []
    for number, scene in enumerate(SCENES):
        name = (scene.__doc__ or "").rstrip(".").lower()
        row = Counter(n=0, right=0, sure=0, right_and_sure=0)
        for hand_number, hand in enumerate(hands):
            rng = np.random.default_rng([seed, number, hand_number])
            text = "".join(map(str, rng.integers(0, 10, int(rng.integers(1, 7)))))
            picture = scene(write(text, hand, int(rng.integers(44, 90))), rng)
            reading = reader.read(picture)
            right = reading.text == text
            row.update(count(right, reading.sure))
            by_hand[hand.stem] += right
            if not right:
                wrong.append((picture, name, hand.stem, text, reading))
        scenes[name] = row
        print(f"{name}: {row['right']} of {row['n']}", file=sys.stderr)
    return {"seed": seed, "scenes": scenes, "hands": by_hand}, wrong


def run_words(reader: Reader, hands: list[Path], texts: tuple[str, ...]) -> dict[str, int]:
    """Return how many are read as the digits in them, how many surely, and of these how many so."""
    row = Counter(n=0, right=0, sure=0, right_and_sure=0)
    for text, hand in itertools.product(texts, hands):
        ink = around(write(text, hand, 60).ink, 0.6)
        reading = reader.read(as_bytes(sheet(ink, (30, 40, 120), (250, 250, 248))))
        row.update(count(reading.text == "".join(filter(str.isdigit, text)), reading.sure))
    return row


def count(right: bool, sure: bool) -> dict[str, int]:
    """Return what one reading adds to a row."""
    return {"n": 1, "right": right, "sure": sure, "right_and_sure": right and sure}


def count_right(result: dict) -> int:
    """Return how many numbers were read exactly."""
    return sum(row["right"] for row in result["scenes"].values())


def draw_sheet(wrong: list, file: Path) -> None:
    """Draw what was read wrongly, side by side."""
    wide, high, columns = 260, 130, 5
    page = Image.new("RGB", (columns * wide, max(1, -(-len(wrong) // columns)) * high), "white")
    pen = ImageDraw.Draw(page)
    for number, (picture, scene, hand, text, reading) in enumerate(wrong):
        x, y = number % columns * wide, number // columns * high
        small = Image.fromarray(picture)
        small.thumbnail((wide - 10, high - 36))
        page.paste(small, (x, y))
        read = reading.text.replace("\n", "/") or "nothing"
        pen.text((x, y + high - 34), f"{scene}, {hand[:16]}", fill="black")
        pen.text((x, y + high - 20), f"{text} as {read} {'SURE' if reading.sure else ''}", "red")
    file.parent.mkdir(parents=True, exist_ok=True)
    page.save(file)


def table(result: dict) -> str:
    """Return the measurements as Markdown."""
    lines = ["| scene | read exactly | sure | of these right |", "|---" * 4 + "|"]
    rows = list(result["scenes"].items())
    whole = {key: sum(row[key] for _, row in rows) for key in rows[0][1]}
    for name, row in [*rows, ("all", whole), *result["words"].items()]:
        lines.append(
            f"| {name} | {row['right']} of {row['n']} | {row['sure']} | {row['right_and_sure']} |"
        )
    interval = binomtest(whole["right"], whole["n"]).proportion_ci(method="wilson")
    hands = ", ".join(f"{name} {right}" for name, right in result["hands"].items())
    without = ", ".join(f"`{name}` {right}" for name, right in result.get("without", {}).items())
    return "\n".join(
        [
            *lines,
            "",
            f"All: {whole['right'] / whole['n']:.1%}, 95% interval {interval.low:.1%} to "
            f"{interval.high:.1%}. Of {len(rows)} each by hand: {hands}.",
            *(["", f"Of {whole['n']} without a stage of the reader: {without}."] * bool(without)),
        ]
    )


def main() -> None:
    """Measure, write the result, print the table."""
    parser = make_parser(__doc__, "read_hands")
    parser.add_argument("--model", type=Path, default=SHIPPED_READER)
    parser.add_argument("--fonts", type=Path, default=FONTS, help="folder with the hands")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheet", type=Path, help="picture of what was read wrongly")
    parser.add_argument("--stages", action="store_true", help="take away each stage in turn")
    options = parser.parse_args()
    hands = find_hands(options.fonts)
    reader = Reader(options.model)
    result, wrong = run(reader, hands, options.seed)
    result["words"] = {
        **{f"with {name}": run_words(reader, hands, texts) for name, texts in SIGNS.items()},
        "a number beside a word": run_words(reader, hands, WORDS),
        "words alone": run_words(reader, hands, WORDS_ALONE),
    }
    if options.stages:
        result["without"] = {
            stage: count_right(run(reader_without(options.model, stage), hands, options.seed)[0])
            for stage in WITHOUT
        }
    save(options.output, result)
    if options.sheet:
        draw_sheet(wrong, options.sheet)
    print(table(result))


if __name__ == "__main__":
    main()
