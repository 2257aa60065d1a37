"""What is around the writing, where it is too much, or nothing: pictures to look at a second time.

    covered = cover_surroundings(pixels)      # a sheet on a table: the table painted over, or None
    framed = add_margin(pixels, 20)           # ink up to the edges: paper all around, or None

Around a note on a dark table, the table is the darkest, and takes up the most of the edges: to what
looks for ink it would be the ink. And of a 1 that was cut out along its ink hardly any paper is
left: to what looks for ink it would be the paper.
"""

import numpy as np
from PIL import Image
from scipy import ndimage

CELLS = 96  # along the longer side, in which edges and sheets are looked for
SMALLEST, LARGEST = 0.08, 0.97  # share of the picture that a sheet covers
CONVEX = 0.9  # share of its convex hull that a sheet fills: it has no bays
DIRECTIONS = 36  # in which the hull is looked at
INNER = (0.002, 0.3)  # share of a sheet that is not of its colour: what is written on it
EDGE = 2  # cells at the sheet's edge that are painted over too
# Of the step from around a sheet to it, the share at its very edge: of a beam of light up to 0.31,
# of a billiard ball 0.62 and more.
SHARP = 0.45
# Shares of the variance that two and three tones explain; of an even gradient 0.75 and 0.89.
TWO_TONES, THREE_TONES = 0.82, 0.93
TOUCHED = 0.01  # share of the picture's edges that ink takes up if it was cut out along its ink


def cover_surroundings(pixels: np.ndarray) -> np.ndarray | None:
    """Return the picture with only its sheets left, all of it in the colour of the largest.

    A sheet is what differs from the picture's edges, has a sharp edge and no bays, and something on
    it.

    Args:
        pixels: (H, W, 3) uint8.

    Returns:
        (H, W, 3) uint8; None if there is no such sheet.
    """
    small, away, _ = _compare_with_edges(pixels)
    for differs in _part(away):
        sheets = _find_sheets(differs, away)
        if sheets:
            return _keep(sheets, [np.median(small[s & differs], axis=0) for s in sheets], pixels)
    return None


def _keep(sheets: list[np.ndarray], colours: list[np.ndarray], pixels: np.ndarray) -> np.ndarray:
    """Return the picture in the first sheet's colour, with what differs from its own on each."""
    height, width = pixels.shape[:2]
    covered = np.full(pixels.shape, colours[0], np.float32)
    for sheet, colour in zip(sheets, colours, strict=True):
        mask = Image.fromarray(sheet.astype(np.uint8) * 255).resize((width, height))
        covered += (pixels - colour) * (np.asarray(mask, np.float32)[:, :, None] / 255)
    return covered.clip(0, 255).round().astype(np.uint8)


def _find_sheets(differs: np.ndarray, away: np.ndarray) -> list[np.ndarray]:
    """Return the inner part of each sheet, (h, w) bool, the largest first."""
    sheets = []
    # What comes in from around a sheet, as between the rounds of a blot, is not written on it.
    enclosed = ndimage.binary_fill_holes(differs) & ~differs
    solid = ndimage.binary_fill_holes(ndimage.binary_opening(differs, np.ones((3, 3))))
    labels, count = ndimage.label(solid)
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    for number in 1 + np.argsort(-areas, kind="stable"):
        if areas[number - 1] < CONVEX * SMALLEST * differs.size:
            break
        sheet = labels == number
        whole = _hull(sheet)
        if not SMALLEST <= whole.mean() <= LARGEST or sheet.sum() < CONVEX * whole.sum():
            continue
        inner = ndimage.binary_erosion(whole, iterations=EDGE)
        written = INNER[0] <= (inner & enclosed).sum() / max(inner.sum(), 1) <= INNER[1]
        if written and _sharpness(whole, away) >= SHARP:
            sheets.append(inner)
    return sheets


def _sharpness(sheet: np.ndarray, away: np.ndarray) -> float:
    """Return how much of the step from what is around a sheet to it is made at its edge."""
    inside = sheet & ~ndimage.binary_erosion(sheet, iterations=EDGE, border_value=1)
    around = ~ndimage.binary_dilation(sheet)
    outside = around & ndimage.binary_dilation(sheet, iterations=1 + EDGE)
    if not outside.any():
        return 1.0
    step = float(np.median(away[sheet]) - np.median(away[around]))
    return float(np.median(away[inside]) - np.median(away[outside])) / step if step > 0 else 0.0


def add_margin(pixels: np.ndarray, width: int) -> np.ndarray | None:
    """Return the picture with a margin of so many pixels, in the colour of most of its edges.

    Args:
        pixels: (H, W, 3) uint8.

    Returns:
        (H + 2 width, W + 2 width, 3) uint8; None if nothing touches the edges.
    """
    _, away, colour = _compare_with_edges(pixels)
    differs, _ = _part(away)
    if _edges(differs).mean() < TOUCHED:
        return None
    high, wide = pixels.shape[:2]
    framed = np.empty((high + 2 * width, wide + 2 * width, 3), np.uint8)
    framed[:] = colour.round().astype(np.uint8)
    framed[width : width + high, width : width + wide] = pixels
    return framed


def _compare_with_edges(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the picture in cells, (h, w, 3) float32, how far each is from a colour, and that."""
    height, width = pixels.shape[:2]
    factor = max(height, width) / CELLS
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    small = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX), np.float32)
    colour = np.median(_edges(small), axis=0)
    return small, np.linalg.norm(small - colour, axis=2), colour


def _part(away: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what differs from the edges, and the farther part of it, as of a sheet on a mat.

    Nothing where tones don't explain what is there: noise, or light that falls off, and no ink.

    Args:
        away: (h, w) float32, from the colour of the edges.

    Returns:
        (h, w) bool each.
    """
    far = away > otsu(away)
    farther = away > otsu(away[far]) if far.any() else far
    return (
        far & (_explained(away, far, ~far) >= TWO_TONES),
        farther & (_explained(away, farther, far & ~farther, ~far) >= THREE_TONES),
    )


def _explained(values: np.ndarray, *parts: np.ndarray) -> float:
    """Return the share of the variance that parts, (h, w) bool each, explain; 0 of none."""
    within = sum(float(values[part].var() * part.mean()) for part in parts if part.any())
    variance = float(values.var())
    return 1 - within / variance if variance else 0.0


def _edges(cells: np.ndarray) -> np.ndarray:
    return np.concatenate([cells[0], cells[-1], cells[:, 0], cells[:, -1]])


def otsu(values: np.ndarray) -> float:
    """Return the level that parts values into the two groups that differ most (Otsu 1979)."""
    ordered = np.sort(values, axis=None).astype(np.float64)
    count = np.arange(1, len(ordered))
    if len(count) == 0:
        return float(ordered[0])
    below = ordered.cumsum()[:-1]
    low, high = below / count, (ordered.sum() - below) / (len(ordered) - count)
    cut = int((count * (len(ordered) - count) * (high - low) ** 2).argmax())
    return float(ordered[cut])


def _hull(mask: np.ndarray) -> np.ndarray:
    """Return the cells within a mask's convex hull: on the inner side of it from all directions."""
    y, x = np.nonzero(mask)
    down, across = np.mgrid[: mask.shape[0], : mask.shape[1]]
    whole = np.full(mask.shape, len(x) > 0)
    for angle in np.arange(DIRECTIONS) * np.pi / DIRECTIONS if len(x) else ():
        along = x * np.cos(angle) + y * np.sin(angle)
        place = across * np.cos(angle) + down * np.sin(angle)
        whole &= (place >= along.min()) & (place <= along.max())
    return whole
