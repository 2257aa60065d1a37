"""Pixels → the ink on them. Each stage is a function of arrays.

    darkness = project_colours(pixels)                         # (H, W, 3) uint8
    strength = scale_contrast(flatten_light(darkness, pixels))
    ink = drop_edges(remove_rules(drop_frame(separate_ink(strength)), strength))

The order is that of the functions below: what colour the ink is, the light taken out, ink apart
from paper, and what is no writing dropped. What each stage is worth is measured by
`benchmarks/read_numbers.py --stages`, and by the others that read.
"""

import numpy as np
from PIL import Image
from scipy import ndimage

GRID = 64  # cells along the longer side for what changes slowly: paper and light
MIN_CONTRAST = 0.05  # of the range from black to white; fainter is dirt, or nothing
NOISE_MARGIN = 5  # ink stands out from the paper by so many standard deviations of its grain
STRONG, WEAK = 0.5, 0.3  # shares of full ink: a stroke; a stroke if it hangs on a strong one
MIN_HEIGHT = 5  # pixels; less can't be told apart
RINGED = (0.3, 0.8)  # of a ring's height, what is written in it
DIRECTIONS, SURROUNDED = 24, 0.85  # in which a ring is looked for; the share of them where it is
CORNER = 0.42  # of a mark's width and height, from its middle; a ring has nothing beyond
DIGIT = 0.3  # of the tallest mark without others inside: it may be a digit
NESTED = 8  # pages that all marks together may cover; what is smaller goes around nothing
SLOPE = 1 / 75  # of a rule of a table, on half of its length
MOST_RINGS = 50  # so many of the tallest marks may be rings
TRIED = 50  # digits in a mark that it may go around
HOLLOW = 0.25  # of a digit in outline, what it gains by being filled
BROAD = 0.45  # of its extent, the width of its strokes at most: a 0 that is filled is no stroke
MAX_MARKS = 2000  # on a page; more is texture
MAX_SPECKS = 10 * MAX_MARKS  # with those that are too small to be part of a digit
EIGHT = np.ones((3, 3), bool)  # neighbours of a pixel, diagonal ones too


def project_colours(pixels: np.ndarray) -> np.ndarray:
    """Turn colours into one number that rises from paper to ink, whichever is the lighter.

    Red ink on green paper, or yellow on white, hardly differs in lightness. Paper is what most of
    the neighbourhood looks like; the ink's direction from it is the third moment of all pixels'
    differences, the vector of skewness: ink is rarer than paper, and far from it.

    Args:
        pixels: (H, W, 3) uint8.

    Returns:
        (H, W) float32, in units of the range from black to white.
    """
    small = _resize(pixels, _grid(pixels.shape, GRID // 2))
    window = (max(small.shape[0] // 2, 3), max(small.shape[1] // 2, 3), 1)
    paper = _resize(ndimage.median_filter(small, window, mode="nearest"), pixels.shape[:2])
    difference = pixels.astype(np.float32) - paper
    weight = np.einsum("hwc,hwc->hw", difference, difference)
    direction = np.einsum("hwc,hw->c", difference, weight, dtype=np.float64)
    length = np.linalg.norm(direction)
    if length == 0:
        return np.zeros(pixels.shape[:2], np.float32)
    return (pixels @ (direction / length / 255).astype(np.float32)).astype(np.float32)


def flatten_light(darkness: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Take shadows and uneven light out.

    The paper's own level is a plane and a morphological opening: what remains where nothing
    narrower than a third of the picture stands out, however dense the strokes are. The plane is
    for the picture's edges, where an opening sees only one side of what rises. On light paper a
    shadow also divides the contrast, so the paper's lightness is divided out.

    Args:
        darkness: (H, W) float32.
        pixels: (H, W, 3) uint8.

    Returns:
        (H, W) float32, about 0 on paper.
    """
    shape = _grid(darkness.shape, GRID)
    small = _resize(darkness, shape)
    size = max(3, round(0.4 * min(shape)) | 1)
    plane = fit_plane(small)
    opened = ndimage.grey_opening(small - plane, (size, size), mode="nearest")
    paper = plane + ndimage.gaussian_filter(opened, size / 6, mode="nearest")
    flat = darkness - _resize(paper, darkness.shape)
    light = _resize(pixels.mean(axis=2, dtype=np.float32), shape)
    if np.vdot(small - small.mean(), light) < 0:  # dark ink on light paper
        closed = ndimage.grey_closing(light, (size, size), mode="nearest")
        share = ndimage.gaussian_filter(closed, size / 6, mode="nearest") / max(closed.max(), 1)
        flat = flat / np.maximum(_resize(share, darkness.shape), 0.25)
    return flat - np.median(flat)


def fit_plane(values: np.ndarray) -> np.ndarray:
    """Return the plane with the least squares of differences, (h, w) as the values."""
    rows, columns = (np.arange(side, dtype=np.float32) - (side - 1) / 2 for side in values.shape)
    # Level and slopes are orthogonal on a grid, so that each is found on its own.
    down = (values.mean(axis=1) * rows).sum() / ((rows**2).sum() or 1)
    across = (values.mean(axis=0) * columns).sum() / ((columns**2).sum() or 1)
    return values.mean() + down * rows[:, None] + across * columns[None]


def scale_contrast(flat: np.ndarray) -> np.ndarray:
    """Scale so that full ink is 1, be it pencil or felt pen; all 0 where nothing stands out.

    Args:
        flat: (H, W) float32, about 0 on paper.

    Returns:
        (H, W) float32, 0 to 1.
    """
    large = max(flat.shape) > 400  # in a small picture every pixel counts
    smooth = ndimage.gaussian_filter(flat, max(flat.shape) / 1000) if large else flat
    grain = 1.4826 * np.median(np.abs(smooth))  # standard deviation of the paper, mostly
    marks = smooth[smooth > max(MIN_CONTRAST, NOISE_MARGIN * grain)]
    if len(marks) == 0:
        return np.zeros_like(flat)
    return np.clip(smooth / np.percentile(marks, 80), 0, 1)


def separate_ink(strength: np.ndarray) -> np.ndarray:
    """Keep strong marks, and weak ones that hang together with them (hysteresis, Canny 1986).

    Args:
        strength: (H, W) float32, 0 to 1.

    Returns:
        (H, W) bool.
    """
    labels, count = ndimage.label(strength >= WEAK, EIGHT)
    kept = np.zeros(count + 1, bool)
    kept[labels[strength >= STRONG]] = True
    kept[0] = False
    return kept[labels]


# From ink to writing


def drop_frame(ink: np.ndarray) -> np.ndarray:
    """Drop the box of a form: what goes around the picture and leaves its middle empty.

    Only if something of a digit's size remains: a 0 may fill the picture too.

    Args:
        ink: (H, W) bool.

    Returns:
        (H, W) bool.
    """
    height, width = ink.shape
    labels, count = ndimage.label(ink, EIGHT)
    kept = np.ones(count + 1, bool)
    tallest = 0
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        tall, wide = rows.stop - rows.start, columns.stop - columns.start
        around = tall >= 0.9 * height and wide >= 0.9 * width
        kept[number] = not (around and _is_hollow(labels[rows, columns] == number))
        tallest = max(tallest, tall if kept[number] else 0)
    return ink & kept[labels] if tallest >= 0.15 * min(height, width) else ink


def _is_hollow(shape: np.ndarray) -> bool:
    """Say whether a shape leaves its middle half empty, as a frame does."""
    height, width = shape.shape
    middle = shape[height // 4 : height - height // 4, width // 4 : width - width // 4]
    return bool(middle.mean() < 0.02)


def remove_rules(ink: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Remove ruled lines, across and down: from edge to edge, thin, straight.

    Strokes that cross a line stay. So does the bar of a 7 that fills the picture: rules are paler
    than the pen, or longer than what is written on them, or several.

    Args:
        ink: (H, W) bool.
        strength: (H, W) float32, 0 to 1.

    Returns:
        (H, W) bool.
    """
    if min(ink.shape) < 60 or not ink.any():  # too small for paper with lines
        return ink
    across = _remove_rules_across(ink, strength)
    return _remove_rules_across(across.T, strength.T).T


def _remove_rules_across(ink: np.ndarray, strength: np.ndarray) -> np.ndarray:
    _, rules, count = _find_rules_across(ink, 1 / 150)
    rest = ink & ~rules
    if count == 0 or not rest.any():
        return ink
    largest = max(max(r.stop - r.start, c.stop - c.start) for r, c in _objects(rest))
    paler = np.median(strength[rules]) < 0.75 * np.median(strength[rest]) if rules.any() else False
    return rest if count >= 3 or ink.shape[1] > 1.5 * largest or paler else ink


def _find_rules_across(ink: np.ndarray, slope: float) -> tuple[np.ndarray, np.ndarray, int]:
    """Return lines from edge to edge, the same without what crosses them, and how many there are.

    Args:
        slope: of their length, what they may rise or fall on half of it.
    """
    height, width = ink.shape
    wander = max(1, int(width * slope))
    thickened = ndimage.binary_dilation(ink, np.ones((2 * wander + 1, 1), bool))
    # Opening by a long row, as an erosion and a dilation by running minimum and maximum.
    length = width // 2 | 1
    runs = ndimage.minimum_filter1d(thickened.view(np.uint8), length, axis=1, mode="nearest")
    runs = ndimage.maximum_filter1d(runs, length, axis=1, mode="nearest")
    labels, _ = ndimage.label(runs, EIGHT)
    lines, rules = np.zeros_like(ink), np.zeros_like(ink)
    count = 0
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        line = (labels[rows, columns] == number) & ink[rows, columns]
        thickness = np.median(line.sum(axis=0))
        if columns.stop - columns.start < 0.9 * width or not 0 < thickness <= height / 25 + 2:
            continue
        count += 1
        # Where there is ink just above and just below the line, a stroke crosses it; where it is
        # thicker than elsewhere, one lies along it.
        above = np.any(ink[max(rows.start - 2, 0) : rows.start, columns], axis=0)
        below = np.any(ink[rows.stop : rows.stop + 2, columns], axis=0)
        along = line.sum(axis=0) > 1.5 * thickness + 0.5
        lines[rows, columns] |= line
        rules[rows, columns] |= line & ~((above & below) | along)
    return lines, rules, count


def _objects(ink: np.ndarray) -> list[tuple[slice, slice]]:
    return ndimage.find_objects(ndimage.label(ink, EIGHT)[0])


def drop_edges(ink: np.ndarray) -> np.ndarray:
    """Drop what lies along the picture's edges: a desk, slivers of the next box.

    Only if something of a digit's size stands clear of them: a tight crop's digits do not.

    Args:
        ink: (H, W) bool.

    Returns:
        (H, W) bool.
    """
    height, width = ink.shape
    sliver = 0.12 * min(height, width)
    labels, count = ndimage.label(ink, EIGHT)
    kept = np.ones(count + 1, bool)
    tallest = 0
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        tall, wide = rows.stop - rows.start, columns.stop - columns.start
        beside = columns.start == 0 or columns.stop == width
        above = rows.start == 0 or rows.stop == height
        if not beside and not above:
            tallest = max(tallest, tall)
            continue
        shape = labels[rows, columns] == number
        along_side = beside and ((wide < sliver and tall > 2 * wide) or tall >= 0.95 * height)
        along_end = above and ((tall < sliver and wide > 2 * tall) or wide >= 0.95 * width)
        filled = min(tall, wide) >= sliver and shape.mean() > 0.5
        kept[number] = not (along_side or along_end or filled)
    return ink & kept[labels] if tallest >= 0.15 * min(height, width) else ink


def find_rings(ink: np.ndarray) -> np.ndarray:
    """Return what was drawn around writing, as a ring around a number.

    Seen from what is written, a ring is in nearly all directions: it may be open a little. It is
    neither a box, which has corners, nor a 0 with a slash in it, which is nearly as high.

    Args:
        ink: (H, W) bool.

    Returns:
        (H, W) bool.
    """
    labels, count = ndimage.label(ink, EIGHT)
    rings = np.zeros(count + 1, bool)
    if not 1 < count <= MAX_MARKS:
        return rings[labels]
    places = ndimage.find_objects(labels)
    boxes = np.array([(r.start, c.start, r.stop, c.stop) for r, c in places])
    high = boxes[:, 2] - boxes[:, 0]
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    low, tall = (share * high for share in RINGED)
    for mark in np.argsort(-high)[:MOST_RINGS]:
        inside = (boxes[:, :2] > boxes[mark, :2]).all(axis=1)
        inside &= (boxes[:, 2:] < boxes[mark, 2:]).all(axis=1)
        inside &= (high >= low[mark]) & (high <= tall[mark])
        if not inside.any():
            continue
        pixels = np.argwhere(labels[places[mark]] == mark + 1) + boxes[mark, :2] + 0.5
        away = np.abs(pixels - middles[mark]) / (boxes[mark, 2:] - boxes[mark, :2])
        if not (away > CORNER).all(axis=1).any():
            rings[mark + 1] = any(_surround(pixels - middle) for middle in middles[inside][:TRIED])
    return rings[labels]


def drop_around(ink: np.ndarray) -> np.ndarray:
    """Drop what goes around other marks: a frame, a speech bubble, the rules of a table.

    A digit that hangs together with a frame is dropped with it; one that is written over the rules
    of a table is not.

    Args:
        ink: (H, W) bool.

    Returns:
        (H, W) bool.
    """
    kept = ink.copy()
    for place, around in _around_others(ink):
        lines, rules, across = _find_rules_across(around, SLOPE)
        standing, posts, down = _find_rules_across(around.T, SLOPE)
        if max(across, down) >= 3:  # a table: what is written over its rules stays
            kept[place] &= ~(rules | posts.T | (lines & standing.T))
    for place, around in _around_others(kept):
        kept[place] &= ~around
    return kept


def _around_others(ink: np.ndarray) -> list[tuple[tuple[slice, slice], np.ndarray]]:
    """Return the marks that go around what may be a digit, each as its box and what it is of it."""
    labels, count = ndimage.label(ink, EIGHT)
    if not 1 < count <= MAX_MARKS:
        return []
    places = ndimage.find_objects(labels)
    boxes = np.array([(r.start, c.start, r.stop, c.stop) for r, c in places])
    high = boxes[:, 2] - boxes[:, 0]

    def inside(mark: np.intp, others: np.ndarray) -> np.ndarray:
        both = (others[:, :2] > boxes[mark, :2]) & (others[:, 2:] < boxes[mark, 2:])
        return np.asarray(both.all(axis=1))

    marks = boxes[high >= MIN_HEIGHT]
    empty = np.ones(count, bool)
    for mark in np.flatnonzero(high > MIN_HEIGHT):
        empty[mark] = not inside(mark, marks).any()
    digits = boxes[empty & (high >= DIGIT * high[empty].max(initial=0))]
    middles = (digits[:, :2] + digits[:, 2:]) / 2
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    largest = np.argsort(-areas, kind="stable")
    seen = areas[largest].cumsum() <= NESTED * ink.size
    around = []
    for mark in largest[~empty[largest] & seen]:
        pixels = np.argwhere(labels[places[mark]] == mark + 1) + boxes[mark, :2] + 0.5
        tried = middles[inside(mark, digits)][:TRIED]
        if any(_surround(pixels - middle) for middle in tried):
            around.append((places[mark], labels[places[mark]] == mark + 1))
    return around


def fill_outlines(ink: np.ndarray) -> np.ndarray | None:
    """Fill what is drawn in outline, by the even-odd rule: the hole of a 0 stays open.

    Only if all marks are outlines of strokes. A number of 0, 6, 8 and 9 in plain writing may pass
    for that; filled it is hardly legible.

    Args:
        ink: (H, W) bool.

    Returns:
        (H, W) bool; None if there are other marks, or none.
    """
    labels, count = ndimage.label(ink, EIGHT)
    if not 1 <= count <= MAX_MARKS:
        return None
    places = ndimage.find_objects(labels)
    sizes = np.array([(r.stop - r.start, c.stop - c.start) for r, c in places])
    if sizes.prod(axis=1).sum() > NESTED * ink.size:
        return None
    depth = np.zeros(ink.shape, np.int32)  # how many marks go around a place
    solid = []
    for number, place in enumerate(places, start=1):
        solid.append(ndimage.binary_fill_holes(labels[place] == number))
        depth[place] += solid[-1]
    filled = ink | (depth % 2 == 1)
    large = sizes.max(axis=1) >= DIGIT * sizes.max()
    for mark in np.flatnonzero(large):
        place, shape = places[mark], solid[mark]
        if depth[place][labels[place] == mark + 1].min() > 1:  # the outline of a hole
            continue
        digit = shape & filled[place]
        gained = np.count_nonzero(digit & ~ink[place]) / np.count_nonzero(shape)
        stroke = 2 * ndimage.distance_transform_edt(np.pad(digit, 1)).max() - 1
        if gained < HOLLOW or stroke > BROAD * sizes[mark].max():
            return None
    return filled


def _surround(pixels: np.ndarray) -> bool:
    """Say whether pixels, (N, 2), lie in nearly all directions from (0, 0)."""
    seen, _ = np.histogram(np.arctan2(*pixels.T), DIRECTIONS, (-np.pi, np.pi))
    return bool((seen > 0).mean() >= SURROUNDED)


def _grid(shape: tuple[int, ...], cells: int) -> tuple[int, int]:
    """Return (rows, columns) of square cells, `cells` along the longer side; pixels if fewer."""
    factor = max(max(shape[:2]) / cells, 1)
    return max(1, round(shape[0] / factor)), max(1, round(shape[1] / factor))


def _resize(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize (H, W) float32 or (H, W, 3) uint8; by area going down, smoothly going up."""
    rows, columns = size
    how = Image.Resampling.BOX if rows < array.shape[0] else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(array).resize((columns, rows), how))
