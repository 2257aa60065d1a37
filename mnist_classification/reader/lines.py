"""Any picture → the lines that may be on it, as regions that the network can be shown.

    page = prepare(pixels)                                     # (H, W, 3) uint8
    for lines in propose(page):                                # one guess, a list of regions
        strips = [cut_strip(page.darkness, region) for region in lines]

There are few guesses: the picture is one line; or there are lines where ink is; or where ink is
without what goes around it, such as a table; or all ink is one line. Which of them is right the
network says by how sure it is of what it reads. So the ink only has to be found roughly: rules,
frames and patterns that are left in a line the network has seen.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from . import ink
from .strips import Region
from .surroundings import add_margin, cover_surroundings

WIDEST, NARROWEST = 16.0, 0.25  # width to height of a picture that may be a line as it is
SEVERAL = 1.5  # likewise where no ink was found: too faint, as a cheque's, not a blot's outline
LOW = 0.25  # height of a line to the picture's; less can't be read in the whole picture
MARGIN = 0.12  # of a line's height, kept around it
SMALLEST, SPECK = 0.3, 0.08  # of the tallest mark: a digit of another line; a point, not dirt
SOFT = 0.7  # pixels, sigma of the edges of what is filled
LEVELLED = 0.85  # of its height that a sloping row must have when it is level, to be turned
MAX_LINES = 60


@dataclass(frozen=True)
class Page:
    """A picture made ready.

    Attributes:
        pixels: (H, W, 3) uint8.
        darkness: (H, W) float32, rises from paper to ink.
        flat: (H, W) float32, the same with the light taken out.
        ink: (H, W) bool, what stands out.
        inner: (H, W) bool, the same without what goes around it.
        margin: pixels of each side that are not the picture's.
    """

    pixels: np.ndarray
    darkness: np.ndarray
    flat: np.ndarray
    ink: np.ndarray
    inner: np.ndarray
    margin: int = 0


@dataclass(frozen=True)
class Stages:
    """The stages from pixels to ink, one function each, so that a benchmark may take one away."""

    cover_surroundings: Callable[[np.ndarray], np.ndarray | None] = cover_surroundings
    add_margin: Callable[[np.ndarray, int], np.ndarray | None] = add_margin
    project_colours: Callable[[np.ndarray], np.ndarray] = ink.project_colours
    flatten_light: Callable[[np.ndarray, np.ndarray], np.ndarray] = ink.flatten_light
    scale_contrast: Callable[[np.ndarray], np.ndarray] = ink.scale_contrast
    separate_ink: Callable[[np.ndarray], np.ndarray] = ink.separate_ink
    drop_frame: Callable[[np.ndarray], np.ndarray] = ink.drop_frame
    remove_rules: Callable[[np.ndarray, np.ndarray], np.ndarray] = ink.remove_rules
    drop_edges: Callable[[np.ndarray], np.ndarray] = ink.drop_edges
    drop_around: Callable[[np.ndarray], np.ndarray] = ink.drop_around
    find_rings: Callable[[np.ndarray], np.ndarray] = ink.find_rings
    fill_outlines: Callable[[np.ndarray], np.ndarray | None] = ink.fill_outlines


ALL_STAGES = Stages()


def prepare(pixels: np.ndarray, stages: Stages = ALL_STAGES, margin: int = 0) -> Page:
    """Find which colour the ink is, take the light out, and tell ink from paper."""
    darkness = stages.project_colours(pixels)
    flat = stages.flatten_light(darkness, pixels)
    strength = stages.scale_contrast(flat)
    marks = stages.drop_frame(stages.separate_ink(strength))
    left = stages.drop_edges(stages.remove_rules(marks, strength))
    # First around, then the rules of the page: without some of its rules a table is none.
    return Page(pixels, darkness, flat, left, stages.drop_around(marks) & left, margin)


def erase_rings(page: Page, stages: Stages = ALL_STAGES) -> Page | None:
    """Return the page without what was drawn around writing; None if there is nothing."""
    rings = stages.find_rings(page.ink)
    if not rings.any():
        return None
    erased = ndimage.binary_dilation(rings, iterations=2)
    # In its place comes the nearest paper, with the light that is there.
    paper = ndimage.distance_transform_edt(
        erased | page.ink, return_distances=False, return_indices=True
    )
    darkness = np.where(erased, page.darkness[tuple(paper)], page.darkness)
    flat = np.where(erased, page.flat[tuple(paper)], page.flat)
    left, inner = page.ink & ~erased, page.inner & ~erased
    return replace(page, darkness=darkness, flat=flat, ink=left, inner=inner)


def fill_outlines(page: Page, stages: Stages = ALL_STAGES) -> Page | None:
    """Return the page with digits in outline filled, without light and paper; None if none are."""
    filled = stages.fill_outlines(page.ink)
    if filled is None:
        return None
    darkness = ndimage.gaussian_filter(filled.astype(np.float32), SOFT)
    return replace(page, darkness=darkness, flat=darkness, ink=filled, inner=filled)


def propose(page: Page) -> list[list[Region]]:
    """Return guesses at the lines, each a list of regions from the top, the likeliest first."""
    height, width = page.ink.shape
    rows = find_rows(page.ink)
    tallest = max((row.bottom - row.top for row in rows), default=float(height)) / height
    guesses = []
    narrowest = NARROWEST if page.ink.any() else SEVERAL
    if narrowest <= width / height <= WIDEST and tallest >= LOW:
        guesses.append([Region(0, 0, width, height)])
    if rows:
        guesses.append([_with_margin(row) for row in rows])
    inner = find_rows(page.inner) if (page.inner != page.ink).any() else []
    if inner:
        guesses.append([_with_margin(row) for row in inner])
    if len(rows) > 1:
        left, top = min(row.left for row in rows), min(row.top for row in rows)
        right, bottom = max(row.right for row in rows), max(row.bottom for row in rows)
        guesses.append([_with_margin(Region(left, top, right, bottom))])
    return guesses


def find_rows(marks: np.ndarray) -> list[Region]:
    """Return where marks stand side by side, from the top; (H, W) bool."""
    labels, count = ndimage.label(marks, ink.EIGHT)
    places = ndimage.find_objects(labels) if count <= ink.MAX_SPECKS else []
    boxes = np.array([(c.start, r.start, c.stop, r.stop) for r, c in places], float)
    boxes = boxes.reshape(-1, 4)
    wide, high = (boxes[:, 2:] - boxes[:, :2]).T
    boxes = boxes[np.maximum(wide, high) >= SPECK * high.max(initial=0)]
    if not 0 < len(boxes) <= ink.MAX_MARKS:
        return []
    high = boxes[:, 3] - boxes[:, 1]
    large = (high >= SMALLEST * high.max()) & (high >= ink.MIN_HEIGHT)
    rows = _group(boxes[large])
    _attach(boxes[~large], rows)  # points, dashes, parts of digits
    rows.sort(key=lambda row: _around(row)[1] + _around(row)[3])
    return [_fit(np.array(row)) for row in rows[:MAX_LINES]]


def _group(boxes: np.ndarray) -> list[list[np.ndarray]]:
    """Put boxes, (N, 4), into rows: those that stand beside one another, not below."""
    rows: list[list[np.ndarray]] = []
    extents: list[tuple[float, float]] = []  # each row's top and bottom
    for box in boxes[np.argsort(boxes[:, 1] + boxes[:, 3])]:
        middle = (box[1] + box[3]) / 2
        for number, (top, bottom) in enumerate(extents):
            if top < middle < bottom or box[1] < (top + bottom) / 2 < box[3]:
                rows[number].append(box)
                extents[number] = min(top, box[1]), max(bottom, box[3])
                break
        else:
            rows.append([box])
            extents.append((box[1], box[3]))
    return rows


def _attach(boxes: np.ndarray, rows: list[list[np.ndarray]]) -> None:
    """Add boxes, (N, 4), to each row that they are in, or beside by no more than its height."""
    around = np.array([_around(row) for row in rows]).reshape(-1, 4)  # they grow
    for box in boxes:
        left, top, right, bottom = around.T
        near = (box[0] < right + (bottom - top)) & (box[2] > left - (bottom - top))
        for number in np.flatnonzero(near & (box[1] < bottom) & (box[3] > top)):
            rows[number].append(box)
            around[number] = _around([around[number], box])


def _around(row: list[np.ndarray]) -> np.ndarray:
    """Return the (4,) box around a row's boxes."""
    boxes = np.array(row)
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])


def _fit(boxes: np.ndarray) -> Region:
    """Return the region around a row's boxes, (N, 4), level or as the row slopes."""
    left, top, right, bottom = _around(list(boxes))
    high = boxes[:, 3] - boxes[:, 1]
    tall = boxes[high >= 0.5 * high.max()]
    if len(tall) < 3:
        return Region(left, top, right, bottom)
    x, y = ((tall[:, :2] + tall[:, 2:]) / 2).T
    if np.ptp(x) == 0:  # one around the other, as the rings of a target
        return Region(left, top, right, bottom)
    slope = float(np.polyfit(x, y, 1)[0])
    moved = slope * ((boxes[:, 0] + boxes[:, 2]) / 2 - (left + right) / 2)
    level_top, level_bottom = (boxes[:, 1] - moved).min(), (boxes[:, 3] - moved).max()
    if level_bottom - level_top > LEVELLED * (bottom - top):
        return Region(left, top, right, bottom)
    return Region(left, level_top, right, level_bottom, slope)


def _with_margin(region: Region) -> Region:
    """Return a region with paper around it, beyond the page if need be."""
    room = MARGIN * (region.bottom - region.top) + 1
    return Region(
        region.left - 2 * room,
        region.top - room,
        region.right + 2 * room,
        region.bottom + room,
        region.slope,
    )
