"""The form in which the network wants a line: 32 pixels high, paper 0 and ink about 1.

strip = cut_strip(darkness, Region(0, 0, width, height))
strip.image                               # (32, L) float32
strip.to_page(40, 16)                     # where on the page that place of the strip is
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

HEIGHT = 32  # pixels of a strip
PADDING = 8  # pixels of nothing at either end
STEP = 2  # pixels along the strip per step of the network
PAPER = 20  # percentile of a line's pixels that is surely paper, however thick the pen
MARKED = 0.2  # share of a strip's pixel that is marked on the page
LONGEST = 1600  # pixels along the line; what is longer is squeezed


@dataclass(frozen=True)
class Region:
    """A part of a page, level or sloping; its edges are pixels of the page.

    Attributes:
        left, top, right, bottom: of the upright part.
        slope: how far the line falls per pixel to the right.
    """

    left: float
    top: float
    right: float
    bottom: float
    slope: float = 0.0


@dataclass(frozen=True)
class Strip:
    """A line as the network sees it.

    Attributes:
        image: (32, L) float32.
        region: where on the page it was cut from.
        scale: pixels of the page per pixel of the strip, across and down.
        first: (x, y) of the strip's place that shows the region's corner.
    """

    image: np.ndarray
    region: Region
    scale: tuple[float, float]
    first: tuple[int, int]

    def to_page(self, x: float, y: float) -> tuple[float, float]:
        """Return the place on the page that is at (x, y) on the strip."""
        right = (x - self.first[0]) * self.scale[0]
        down = (y - self.first[1]) * self.scale[1]
        region = self.region
        middle = (region.right - region.left) / 2
        return region.left + right, region.top + down + region.slope * (right - middle)


def normalise(darkness: np.ndarray) -> np.ndarray:
    """Scale so that paper is 0 and ink about 1: (h, w) float32, any units."""
    level = np.median(darkness)
    above = darkness - level
    strong, strongest = np.percentile(above, [97, 99.5])
    scale = max(strong, 0.6 * strongest, 1e-6)
    return np.clip(above / scale, -1.5, 2.0).astype(np.float32)


def cut_strip(darkness: np.ndarray, region: Region, share: float = 1.0) -> Strip:
    """Cut a region out of a page.

    Args:
        darkness: (H, W) float32, rises from paper to ink.
        share: how much of the strip's height the region fills; what it does not fill is 0.
    """
    part, region = _level(darkness, region)
    high, wide = part.shape
    rows = max(4, round(HEIGHT * share))
    columns = min(max(4, round(wide * rows / high)), LONGEST)
    small = normalise(_resize(part, rows, columns))
    length = columns + 2 * PADDING
    image = np.zeros((HEIGHT, length + length % STEP), np.float32)
    top = (HEIGHT - rows) // 2
    image[top : top + rows, PADDING : PADDING + columns] = small
    return Strip(image, region, (wide / columns, high / rows), (PADDING, top))


def find_marks(marks: np.ndarray, strip: Strip) -> np.ndarray:
    """Return where a page's marks, (H, W) bool, are on a strip: (32, L) bool."""
    part, _ = _level(marks.astype(np.float32), strip.region)
    (high, wide), (across, down), (left, top) = part.shape, strip.scale, strip.first
    rows, columns = round(high / down), round(wide / across)
    found = np.zeros(strip.image.shape, bool)
    found[top : top + rows, left : left + columns] = _resize(part, rows, columns) >= MARKED
    return found


def _level(darkness: np.ndarray, region: Region) -> tuple[np.ndarray, Region]:
    """Return the region's pixels, each column moved so that the line is level.

    Beyond the page there is paper.
    """
    height, width = darkness.shape
    left, right = math.floor(region.left), math.ceil(region.right)
    top, bottom = math.floor(region.top), math.ceil(region.bottom)
    columns = np.arange(left, right)
    down = np.round(region.slope * (columns - (left + right) / 2)).astype(int)
    rows = np.arange(top, bottom)[:, None] + down
    part = darkness[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)]
    outside = (rows < 0) | (rows >= height) | (columns < 0) | (columns >= width)
    if outside.any():
        inside = part[~outside]
        paper = np.percentile(inside, PAPER) if inside.size else 0.0
        part = np.where(outside, np.float32(paper), part)
    return part, Region(left, top, right, bottom, region.slope)


def _resize(part: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Resize by area going down, smoothly going up."""
    image = Image.fromarray(np.ascontiguousarray(part, np.float32))
    how = Image.Resampling.BOX if rows < 0.7 * part.shape[0] else Image.Resampling.BILINEAR
    return np.asarray(image.resize((columns, rows), how))
