"""Draw what the reader made of a picture: its ink, its lines as strips, and where each digit was.

draw_stages(page, seen, reading).save("explain.png")
"""

import numpy as np
from PIL import Image, ImageDraw

from .lines import Page
from .reader import Line, Reading, Seen, frame_digit
from .strips import HEIGHT

TILE = 256  # pixels on a side
TEXT = 18  # pixels of a line of text
MARGIN = 8
ZOOM = 3  # of a strip
COLOURS = ("#005aa0", "#c83c14", "#14823c", "#8c3c96")


def draw_stages(page: Page, seen: list[Seen], reading: Reading) -> Image.Image:
    """Return a picture of the stages: the picture, its ink step by step, the lines as read."""
    stages = {
        "picture": page.pixels,
        "darkness": _grey(page.darkness),
        "light taken out": _grey(page.flat),
        "ink": _grey(page.ink),
    }
    strips = [line.strip.image.shape[1] * ZOOM for line in seen]
    width = max([len(stages) * (TILE + MARGIN), *strips]) + 2 * MARGIN
    row = HEIGHT * ZOOM + 3 * TEXT
    sheet = Image.new("RGB", (width, TEXT + TILE + 2 * MARGIN + max(1, len(seen)) * row), "white")
    draw = ImageDraw.Draw(sheet)
    for position, (title, stage) in enumerate(stages.items()):
        left = MARGIN + position * (TILE + MARGIN)
        draw.text((left, 2), title, "black")
        tile = Image.fromarray(stage)
        factor = TILE / max(tile.size)
        size = (max(1, round(tile.width * factor)), max(1, round(tile.height * factor)))
        sheet.paste(tile.resize(size, Image.Resampling.BOX), (left, TEXT))
        draw.rectangle((left - 1, TEXT - 1, left + size[0], TEXT + size[1]), outline="silver")
    top = TEXT + TILE + 2 * MARGIN
    for line, described in zip(seen, reading.lines, strict=True):
        _draw_line(sheet, line, described, top)
        top += row
    if not seen:
        draw.text((MARGIN, top), "no number here", "red")
    return sheet


def _draw_line(sheet: Image.Image, seen: Seen, line: Line, top: int) -> None:
    """Draw a strip with a box around each digit, and below it what was read."""
    strip = seen.strip
    image = Image.fromarray(_grey(np.clip(strip.image, -0.5, 1.5)))
    size = (image.width * ZOOM, image.height * ZOOM)
    sheet.paste(image.resize(size, Image.Resampling.NEAREST), (MARGIN, top))
    draw = ImageDraw.Draw(sheet)
    for number, digit in enumerate(line.digits):
        place = frame_digit(strip, seen.decoded.spans, number)
        left, upper, right, lower = (edge * ZOOM for edge in place)
        colour = COLOURS[number % len(COLOURS)]
        box = (MARGIN + left, top + upper, MARGIN + right, top + lower)
        draw.rectangle(box, outline=colour, width=2)
        mark = "" if digit.sure else "?"
        draw.text((MARGIN + left, top + HEIGHT * ZOOM), f"{digit.label}{mark}", colour)
    verdict = f"{line.text}  {line.probability:.1%}" + ("" if line.sure else " ?")
    colour = "black" if line.sure else "red"
    draw.text((MARGIN, top + HEIGHT * ZOOM + TEXT), verdict, colour)


def _grey(stage: np.ndarray) -> np.ndarray:
    """Turn (H, W) numbers into (H, W) uint8, ink black."""
    values = stage.astype(np.float32)
    values = values - values.min()
    return (255 - values / max(values.max(), 1e-9) * 255).astype(np.uint8)
