"""Draw what each stage of the reader made of a picture, side by side.

draw_stages(page, reading).save("explain.png")
"""

import numpy as np
from PIL import Image, ImageDraw

from .ink import Page
from .reader import Reading

TILE = 256  # pixels on a side
LINE = 18  # pixels of a line of text
MARGIN = 8
DIGITS_PER_ROW = 24
COLOURS = np.array([[255, 255, 255], [0, 90, 160], [200, 60, 20], [20, 130, 60], [140, 60, 150]])


def draw_stages(page: Page, reading: Reading) -> Image.Image:
    """Return a picture of the stages: the picture, its ink step by step, the digits as read."""
    stages = {
        "picture": page.pixels,
        "darkness": _grey(page.darkness),
        "light taken out": _grey(page.strength),
        "ink": _grey(page.ink),
        "without dirt and rules": _grey(page.clean),
        "shapes": _in_colours(page.shapes),
    }
    rows = -(-len(reading.digits) // DIGITS_PER_ROW)
    width = len(stages) * (TILE + MARGIN) + MARGIN
    cell = width // DIGITS_PER_ROW
    height = LINE + TILE + 2 * MARGIN + max(rows, 1) * (cell + 2 * LINE)
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    for position, (title, stage) in enumerate(stages.items()):
        left = MARGIN + position * (TILE + MARGIN)
        draw.text((left, 2), title, "black")
        tile = Image.fromarray(stage)
        factor = TILE / max(tile.size)
        size = (max(1, round(tile.width * factor)), max(1, round(tile.height * factor)))
        sheet.paste(tile.resize(size, Image.Resampling.BOX), (left, LINE))
        draw.rectangle((left - 1, LINE - 1, left + size[0], LINE + size[1]), outline="silver")
    top = LINE + TILE + 2 * MARGIN
    for position, digit in enumerate(reading.digits):
        row, column = divmod(position, DIGITS_PER_ROW)
        place = (MARGIN + column * cell, top + row * (cell + 2 * LINE))
        image = Image.fromarray(digit.image28).resize(
            (cell - 8, cell - 8), Image.Resampling.NEAREST
        )
        sheet.paste(image, place)
        verdict = f"{digit.label}  {digit.probability:.0%}" + ("" if digit.sure else " ?")
        draw.text((place[0], place[1] + cell - 4), verdict, "black" if digit.sure else "red")
    if not reading.digits:
        draw.text((MARGIN, top), "no digit here", "red")
    return sheet


def _grey(stage: np.ndarray) -> np.ndarray:
    """Turn (H, W) numbers into (H, W) uint8, ink black."""
    values = stage.astype(np.float32)
    values = values - values.min()
    return (255 - values / max(values.max(), 1e-9) * 255).astype(np.uint8)


def _in_colours(shapes: np.ndarray) -> np.ndarray:
    """Turn (H, W) numbers of shapes into (H, W, 3) uint8, each shape in a colour."""
    colours = np.where(shapes > 0, (shapes - 1) % (len(COLOURS) - 1) + 1, 0)
    return COLOURS[colours].astype(np.uint8)
