"""Each stage from pixels to ink, on pages where the right outcome is known."""

import numpy as np
import pytest
from scipy import ndimage

from mnist_classification.reader import ink
from mnist_classification.reader.lines import prepare


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
    assert agreement(prepare(paint(shape, colour, paper)).ink, shape) > 0.9


@pytest.mark.parametrize("polarity", [1, -1])
def test_uneven_light_is_taken_out(polarity):
    shape = ring(200, 200, 50, 4)
    page = paint(shape, (60, 60, 60), (230, 230, 230)).astype(float)
    light = np.linspace(0.35, 1, 200)[None, :, None]
    page = page * light if polarity == 1 else 255 - (255 - page) * light
    found = prepare(page.astype(np.uint8))
    assert agreement(found.ink, shape) > 0.85
    assert not found.ink[:, :30].any()


def test_grain_is_not_ink():
    rng = np.random.default_rng(0)
    shape = ring(300, 300, 80, 5)
    page = paint(shape, (120, 120, 120), (200, 200, 200)) + rng.normal(0, 8, (300, 300, 1))
    found = prepare(np.clip(page, 0, 255).astype(np.uint8))
    assert agreement(found.ink, shape) > 0.85


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


def test_the_bar_of_a_seven_that_lies_along_a_rule_stays():
    rules, seven = np.zeros((160, 240), bool), np.zeros((160, 240), bool)
    for top in (40, 80, 120):
        rules[top : top + 2] = True
    seven[79:85, 100:130] = seven[79:118, 123:130] = True
    left = ink.remove_rules(rules | seven, np.ones((160, 240), np.float32))
    np.testing.assert_array_equal(left, seven)


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


def test_a_ring_around_a_number_is_found_even_if_it_is_open():
    written = np.zeros((100, 100), bool)
    written[35:65, 48:53] = True
    closed = ring(100, 100, 40, 3)
    opened = closed.copy()
    opened[45:60, 60:] = False
    for drawn in (closed, opened):
        np.testing.assert_array_equal(ink.find_rings(drawn | written), drawn)


def test_a_box_a_slashed_zero_and_half_a_ring_are_no_rings():
    written = np.zeros((100, 100), bool)
    written[35:65, 48:53] = True
    box = np.ones((100, 100), bool)
    box[4:-4, 4:-4] = False
    slash = np.zeros_like(written)
    slash[14:-14, 48:53] = True
    half = ring(100, 100, 40, 3)
    half[:40] = False
    zero = ring(100, 100, 40, 3)
    for marks in (box | written, zero | slash, half | written, zero, written):
        assert not ink.find_rings(marks).any()


def test_digits_in_outline_are_filled_but_for_their_holes():
    outer, inner = ring(100, 160, 40, 2), ring(100, 160, 24, 2)
    bar = np.zeros((100, 160), bool)
    bar[10:90, 130:142] = True
    outline = bar & ~ndimage.binary_erosion(bar, iterations=2)
    filled = ink.fill_outlines(outer | inner | outline)
    disc = ndimage.binary_fill_holes(outer) & ~ndimage.binary_fill_holes(inner)
    np.testing.assert_array_equal(filled, disc | inner | bar)


def test_plain_writing_is_not_filled():
    zero = ring(100, 160, 40, 5)
    bar = np.zeros((100, 160), bool)
    bar[10:90, 130:142] = True
    outline = bar & ~ndimage.binary_erosion(bar, iterations=2)
    for marks in (zero, bar, zero | bar, outline | zero, np.zeros_like(bar)):
        assert ink.fill_outlines(marks) is None


def test_a_box_around_a_number_goes_and_the_stroke_beside_a_one_does_not():
    written = np.zeros((100, 160), bool)
    written[35:65, 60:65] = written[35:65, 90:95] = True
    box = np.zeros_like(written)
    box[10:90, 20:140] = True
    box[13:87, 23:137] = False
    np.testing.assert_array_equal(ink.drop_around(box | written), written)
    one = np.zeros_like(written)
    one[10:90, 80:86] = one[84:90, 50:110] = True  # a stem and a foot
    one[20:50, 60:66] = True
    np.testing.assert_array_equal(ink.drop_around(one), one)


def test_the_rules_of_a_table_go_and_what_is_written_over_them_stays():
    rules, written = np.zeros((130, 190), bool), np.zeros((130, 190), bool)
    for at in range(5, 126, 40):
        rules[at : at + 2, 5:187] = True
    for at in range(5, 186, 60):
        rules[5:127, at : at + 2] = True
    for top in (12, 52, 92):
        written[top : top + 26, 30:34] = written[top : top + 26, 90:94] = True
    written[32:58, 150:154] = True  # over a rule
    inner = ink.drop_around(rules | written)
    assert inner[written].all()
    assert not inner[~ndimage.binary_dilation(written, iterations=3)].any()
