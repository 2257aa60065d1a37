"""Where lines are found on a page, and the strips that are cut out of it."""

import sys

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from mnist_classification.reader.lines import find_rows, prepare, propose
from mnist_classification.reader.strips import (
    HEIGHT,
    LONGEST,
    PADDING,
    Region,
    cut_strip,
    normalise,
)

sys.path.insert(0, str(ROOT / "benchmarks"))
from read_synthetic import Style, make_page


def bars(*places, height=200, width=300, tall=40):
    """Upright bars with their feet at (x, y): (H, W) bool."""
    page = np.zeros((height, width), bool)
    for x, y in places:
        page[y - tall : y, x : x + 8] = True
    return page


def test_marks_side_by_side_are_one_row():
    (row,) = find_rows(bars((50, 100), (80, 104), (110, 97)))
    assert (row.left, row.top, row.right, row.bottom) == (50, 57, 118, 104)


def test_lines_come_from_the_top():
    first, second = find_rows(bars((30, 180), (60, 180), (40, 60), (90, 60)))
    assert (first.bottom, second.bottom) == (60, 180)


def test_a_small_digit_beside_a_tall_one_belongs_to_the_row():
    page = bars((50, 120), tall=90)
    page |= bars((80, 120), (100, 120), tall=24)
    (row,) = find_rows(page)
    assert (row.left, row.right) == (50, 108)


def test_the_dots_of_dotted_paper_are_not_too_many_marks():
    page = bars((500, 600), (530, 600), height=1000, width=1000)
    page[10::16, 10::16] = True  # some 3,800
    (row,) = find_rows(page)
    found = row.left, row.top, row.right, row.bottom
    assert found == pytest.approx((500, 560, 538, 600), abs=1)  # but for dots that touch


def test_a_sloping_line_is_levelled():
    places = [(20 + 40 * i, 100 + 12 * i) for i in range(7)]
    (row,) = find_rows(bars(*places, height=300, width=400))
    assert row.slope == pytest.approx(12 / 40, abs=0.02)
    assert row.bottom - row.top < 55  # the bars have 40
    darkness = bars(*places, height=300, width=400).astype(np.float32)
    strip = cut_strip(darkness, row)
    inked = np.flatnonzero((strip.image > 0.5).any(axis=1))
    assert len(inked) > 0.7 * HEIGHT


def test_rings_around_one_point_are_one_level_line():
    y, x = np.mgrid[:200, :200]
    away = np.hypot(x - 100, y - 100)
    rings = sum((abs(away - radius) < 2 for radius in (40, 60, 80)), start=np.zeros((200, 200)))
    (row,) = find_rows(rings > 0)
    assert (row.left + row.right, row.top + row.bottom, row.slope) == (201, 201, 0)


def test_dust_on_a_line_is_no_line_of_its_own():
    page = bars((50, 100), (80, 100))
    page[150:152, 200:202] = True
    assert len(find_rows(page)) == 1


@pytest.mark.parametrize("share", [1.0, 0.7])
def test_a_strip_is_as_high_as_the_network_wants_and_maps_back(share):
    darkness = np.zeros((90, 210), np.float32)
    darkness[40:44, 120:124] = 1
    strip = cut_strip(darkness, Region(10, 20, 200, 80), share)
    assert strip.image.shape[0] == HEIGHT
    assert strip.image.shape[1] % 2 == 0
    assert not strip.image[:, :PADDING].any()
    (y,), (x,) = (
        np.nonzero(strip.image == strip.image.max())[0][:1],
        [np.nonzero(strip.image == strip.image.max())[1][0]],
    )
    right, down = strip.to_page(x + 0.5, y + 0.5)
    assert abs(right - 122) <= 3
    assert abs(down - 42) <= 3


def test_a_place_on_a_squeezed_strip_maps_back():
    darkness = np.zeros((40, 6000), np.float32)
    darkness[10:30, 5800:5812] = 1
    strip = cut_strip(darkness, Region(0, 0, 6000, 40))
    assert strip.image.shape[1] == LONGEST + 2 * PADDING
    inked = np.flatnonzero((strip.image > 0.5).any(axis=0))
    right, _ = strip.to_page(inked.mean() + 0.5, 0)
    assert abs(right - 5806) <= 4


def test_beyond_the_page_there_is_paper():
    darkness = np.full((40, 40), 0.2, np.float32)
    darkness[10:30, 18:22] = 0.9
    strip = cut_strip(darkness, Region(-20, -10, 60, 50))
    assert np.abs(strip.image[:, PADDING : PADDING + 8]).max() < 0.05


@given(scale=st.floats(0.01, 100), offset=st.floats(-100, 100))
@settings(max_examples=30, deadline=None)
def test_strips_do_not_depend_on_the_units(scale, offset):
    darkness = np.random.default_rng(0).normal(size=(20, 40))
    np.testing.assert_allclose(normalise(darkness), normalise(darkness * scale + offset), atol=1e-3)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_picture_without_ink_gives_empty_strips(value):
    page = prepare(np.full((40, 60, 3), value, np.uint8))
    assert not page.ink.any()
    for regions in propose(page):
        for region in regions:
            assert not cut_strip(page.darkness, region).image.any()


def test_two_lines_are_found_on_a_page(mnist):
    rng = np.random.default_rng(2)
    found = [
        len(find_rows(prepare(make_page(mnist.test, Style(lines=2), rng)[0]).ink))
        for _ in range(10)
    ]
    assert found.count(2) >= 9


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.integers(0, 3))
def test_any_pixels_are_survived(seed, height, width, blur):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3))
    pixels = ndimage.gaussian_filter(pixels, (blur, blur, 0)).astype(np.uint8)
    page = prepare(pixels)
    for regions in propose(page):
        for region in regions:
            image = cut_strip(page.darkness, region).image
            assert image.shape[0] == HEIGHT
            assert np.isfinite(image).all()
