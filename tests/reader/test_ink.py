"""Each stage from pixels to MNIST's images, on pages where the right outcome is known."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from mnist_classification.reader import ink
from mnist_classification.reader.reader import prepare


def ring(height=100, width=100, radius=25, pen=3):
    """A ring in the middle, (height, width) bool."""
    y, x = np.mgrid[:height, :width]
    return np.abs(np.hypot(x - width / 2, y - height / 2) - radius) < pen


def paint(shape, colour, paper):
    return np.where(shape[:, :, None], colour, paper).astype(np.uint8)


def agreement(found, shape):
    """Intersection over union."""
    return (found & shape).sum() / (found | shape).sum()


@pytest.mark.parametrize(
    ("colour", "paper"),
    [
        ((0, 0, 0), (255, 255, 255)),
        ((255, 255, 255), (0, 0, 0)),
        ((190, 190, 190), (230, 230, 230)),  # pencil
        ((200, 60, 60), (60, 130, 60)),  # red on green, as light
        ((250, 240, 80), (250, 250, 250)),  # yellow on white
        ((20, 30, 120), (230, 220, 120)),  # blue on a yellow note
        ((230, 230, 200), (40, 70, 50)),  # chalk
    ],
)
def test_ink_is_found_whatever_its_colour(colour, paper):
    shape = ring()
    assert agreement(ink.find_ink(paint(shape, colour, paper)).ink, shape) > 0.9


@pytest.mark.parametrize("polarity", [1, -1])
def test_uneven_light_is_taken_out(polarity):
    shape = ring(200, 200, 50, 4)
    page = paint(shape, (60, 60, 60), (230, 230, 230)).astype(float)
    light = np.linspace(0.35, 1, 200)[None, :, None]
    page = page * light if polarity == 1 else 255 - (255 - page) * light
    found = ink.find_ink(page.astype(np.uint8))
    assert agreement(found.ink, shape) > 0.85
    assert not found.ink[:, :30].any()


def test_grain_is_not_ink():
    rng = np.random.default_rng(0)
    shape = ring(300, 300, 80, 5)
    page = paint(shape, (120, 120, 120), (200, 200, 200)) + rng.normal(0, 8, (300, 300, 1))
    found = ink.find_ink(np.clip(page, 0, 255).astype(np.uint8))
    assert agreement(found.clean, shape) > 0.85


def test_rules_go_and_the_strokes_that_cross_them_stay():
    shape = ring(200, 300, 60, 4)
    rules = np.zeros_like(shape)
    rules[20::40] = rules[21::40] = True
    both, strength = shape | rules, np.ones(shape.shape, np.float32)
    clean = ink.remove_rules(both, strength)
    assert (clean & rules & ~ndimage.binary_dilation(shape, iterations=3)).sum() == 0
    assert (clean & shape).sum() > 0.9 * shape.sum()
    np.testing.assert_array_equal(ink.remove_rules(both.T, strength.T).T, clean)


def test_one_rule_under_a_digit_that_fills_the_picture_goes_if_it_is_paler():
    shape = ring(100, 90, 35, 4)
    rule = np.zeros_like(shape)
    rule[70:72] = True
    clean = ink.remove_rules(shape | rule, np.where(shape, 1, 0.5).astype(np.float32))
    assert agreement(clean, shape) > 0.95


def test_the_bar_of_a_seven_that_fills_the_picture_is_no_rule():
    seven = np.zeros((100, 70), bool)
    seven[2:6] = True
    seven[:, 60:66] = True
    np.testing.assert_array_equal(ink.remove_rules(seven, seven.astype(np.float32)), seven)


def test_a_frame_goes_and_a_tight_crop_stays():
    shape = ring()
    frame = np.ones((100, 100), bool)
    frame[4:-4, 4:-4] = False
    np.testing.assert_array_equal(ink.drop_frame(shape | frame), shape)
    tight = ring(50, 50, 23, 3)
    np.testing.assert_array_equal(ink.drop_frame(tight), tight)
    np.testing.assert_array_equal(ink.drop_edges(tight), tight)


def test_a_desk_beside_the_page_goes():
    shape = ring()
    desk = np.zeros_like(shape)
    desk[:, :5] = desk[-4:] = True
    np.testing.assert_array_equal(ink.drop_edges(shape | desk), shape)


def test_specks_go():
    shape = ring()
    dirty = shape.copy()
    dirty[5:8, 5:8] = dirty[90, 90] = True
    np.testing.assert_array_equal(ink.drop_specks(dirty), shape)


def test_strokes_of_one_digit_are_joined_and_neighbours_are_not():
    five = np.zeros((60, 100), bool)
    five[10:13, 13:30] = True  # the flag, not touching
    five[15:50, 10:13] = five[30:33, 10:28] = five[47:50, 10:28] = five[30:50, 26:29] = True
    five[10:50, 60:63] = True  # a 1 beside it
    shapes = ink.join_strokes(five)
    assert len(np.unique(shapes)) == 3
    assert shapes[11, 20] == shapes[40, 11] != shapes[40, 61]


def test_a_dashed_stroke_is_one_shape():
    dashed = np.zeros((60, 30), bool)
    for top in range(5, 55, 10):
        dashed[top : top + 7, 12:16] = True
    assert len(np.unique(ink.join_strokes(dashed))) == 2


def test_blobs_are_no_digits_and_rings_are():
    y, x = np.mgrid[:60, :60]
    disc = (np.hypot(x - 30, y - 30) < 20).astype(np.int32)
    assert not ink.drop_misfits(disc).any()
    assert ink.drop_misfits(ring(60, 60, 20, 3).astype(np.int32)).any()


def test_digits_are_numbered_as_read():
    shapes = np.zeros((100, 100), np.int32)
    places = [(12, 70), (10, 40), (8, 10), (60, 50), (55, 20)]  # two lines, from the right
    for number, (top, left) in enumerate(places, start=1):
        shapes[top : top + 30, left : left + 10] = number
    ordered = ink.order_shapes(shapes)
    assert [ordered[top, left] for top, left in places] == [3, 2, 1, 5, 4]


def test_every_way_of_cutting_is_the_whole_shape():
    two = np.zeros((40, 70), bool)
    two[:, :35] |= ring(40, 35, 15, 2)
    two[:, 35:] |= ring(40, 35, 15, 2)
    two[19:21, 30:40] = True  # they touch
    ways = ink.ways_to_cut(two)
    assert len(ways) > 1
    for way in ways:
        np.testing.assert_array_equal(sum(part.astype(int) for part in way), two)
    left, right = ways[1]
    assert abs(left.sum() - right.sum()) < 0.1 * two.sum()
    assert ink.ways_to_cut(ring()) == [[pytest.approx(ring())]]


def test_a_cut_goes_around_what_leans_over():
    # Two bars that lean, so that no straight line down passes between them.
    two = np.zeros((40, 60), bool)
    for row in range(40):
        two[row, 20 - row // 2 : 30 - row // 2] = two[row, 45 - row // 2 : 55 - row // 2] = True
    two[0, 20:55] = True  # they touch
    left, right = ink.ways_to_cut(two)[1]
    assert left[1:].sum() == right[1:].sum() == 39 * 10
    assert ndimage.label(left)[1] == ndimage.label(right)[1] == 1


def test_a_seam_is_the_cheapest_and_has_no_jumps():
    rng = np.random.default_rng(0)
    cost = rng.random((6, 5))
    seam = ink.find_seam(cost)
    paths = [p for p in itertools.product(range(5), repeat=6) if np.abs(np.diff(p)).max() <= 1]

    def price(path):
        return cost[range(6), path].sum() + ink.SLANT * np.abs(np.diff(path)).sum()

    assert price(seam) == pytest.approx(min(map(price, paths)))
    assert np.abs(np.diff(seam)).max() <= 1


@pytest.mark.parametrize("size", [30, 120, 700])
@pytest.mark.parametrize("pen", [0.02, 0.06, 0.12])
def test_strokes_come_out_as_wide_as_mnists(size, pen):
    shape = ring(size, size, size * 0.4, max(0.5, size * pen / 2))
    image = ink.to_mnist(shape.astype(np.float32), shape) / 255
    circumference = np.pi * 18  # of a ring of 20 pixels, at the middle of its stroke
    assert 1.3 < image.sum() / circumference < 4


@settings(max_examples=60, deadline=None)
@given(
    points=st.lists(st.tuples(st.integers(0, 59), st.integers(0, 39)), min_size=2, max_size=8),
    pen=st.integers(1, 4),
)
def test_images_are_as_mnist_makes_them(points, pen):
    shape = np.zeros((60, 40), bool)
    for (y1, x1), (y2, x2) in itertools.pairwise(points):
        steps = max(abs(y2 - y1), abs(x2 - x1)) + 1
        for t in np.linspace(0, 1, steps):
            shape[round(y1 + t * (y2 - y1)), round(x1 + t * (x2 - x1))] = True
    shape = ndimage.binary_dilation(shape, iterations=pen)
    rows, columns = np.nonzero(shape)
    shape = shape[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    image = ink.to_mnist(shape.astype(np.float32), shape)
    assert image.shape == (28, 28)
    assert image.dtype == np.uint8
    rows, columns = np.nonzero(image)
    assert 18 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 20
    for place, middle in zip((rows, columns), ndimage.center_of_mass(image), strict=True):
        at_the_edge = place.min() == 0 or place.max() == 27  # can't go further
        assert abs(middle - 13.5) < 0.6 or at_the_edge


def test_mnists_own_images_pass_almost_unchanged(mnist):
    images = mnist.test.images[:100]
    differences = []
    for image in images:
        (shape,) = prepare(image).shapes[:1] or [None]
        assert shape is not None
        differences.append(np.abs(shape[0][0][1].astype(int) - image).mean())
    assert np.median(differences) < 20  # of 255; a step of one pixel is about as much


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((50, 50, 3), 255),
        np.zeros((50, 50, 3)),
        np.full((50, 50, 3), 128),
        np.full((1, 1, 3), 7),
        np.full((1, 200, 3), 200),
        np.random.default_rng(0).integers(0, 256, (64, 64, 3)),
        np.random.default_rng(0).normal(128, 20, (200, 200, 1)).clip(0, 255).repeat(3, axis=2),
        np.linspace(0, 255, 100)[:, None, None].repeat(80, axis=1).repeat(3, axis=2),
        np.where(np.hypot(*np.mgrid[-40:40, -40:40]) < 4, 0, 255)[:, :, None].repeat(3, axis=2),
        np.eye(2)[:, :, None].repeat(3, axis=2) * 255,
    ],
    ids=["white", "black", "grey", "1×1", "strip", "noise", "grain", "gradient", "dot", "2×2"],
)
def test_where_nothing_is_written_nothing_is_found(pixels):
    assert prepare(pixels.astype(np.uint8)).shapes == []


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.integers(0, 3))
def test_any_pixels_are_survived(seed, height, width, blur):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3))
    pixels = ndimage.gaussian_filter(pixels, (blur, blur, 0)).astype(np.uint8)
    for shape in prepare(pixels).shapes:
        for way in shape:
            for (left, top, right, bottom), image in way:
                assert 0 <= left < right <= width
                assert 0 <= top < bottom <= height
                assert image.shape == (28, 28)
