"""What is around the writing: a table to paint over, paper to add."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from mnist_classification.reader.ink import fit_plane
from mnist_classification.reader.surroundings import add_margin, cover_surroundings, otsu

PAPER, TABLE, INK = (235, 230, 215), (60, 55, 50), (30, 30, 70)


def note(turn=0.0):
    """A note on a table with an 11 on it, (200, 300, 3) uint8, and where the note is."""
    there = np.zeros((200, 300), bool)
    there[40:160, 60:240] = True
    ink = np.zeros_like(there)
    ink[80:120, 120:128] = ink[80:120, 150:158] = True
    there, ink = (ndimage.rotate(m, turn, order=0, reshape=False) for m in (there, ink))
    page = np.where(there[:, :, None], PAPER, TABLE)
    return np.where(ink[:, :, None], INK, page).astype(np.uint8), there, ink


@pytest.mark.parametrize("turn", [0, 7, -15])
def test_a_table_around_a_note_is_painted_over(turn):
    pixels, there, ink = note(turn)
    covered = cover_surroundings(pixels)
    assert np.abs(covered[~there].astype(int) - PAPER).max() <= 1
    np.testing.assert_array_equal(covered[ink], pixels[ink])


def test_two_notes_on_a_table_are_both_kept():
    first, there, ink = note()
    pixels = np.concatenate([first, np.where(there[:, :, None], first[:, :, ::-1], first)], axis=1)
    left, right = np.split(cover_surroundings(pixels).astype(int), 2, axis=1)
    assert np.abs(right[~ink] - PAPER).max() <= 1  # in the first one's colour
    assert max(left[ink].max(), right[ink].max()) < 120


def test_a_mat_around_a_sheet_on_a_table_is_painted_over_too():
    row, column = np.mgrid[:300, :300]
    away = np.hypot(row - 150, column - 150)
    pixels = np.full((300, 300, 3), (30, 90, 40), np.uint8)
    pixels[away < 140] = (200, 30, 30)
    pixels[away < 100] = PAPER
    pixels[120:180, 130:140] = pixels[120:180, 160:170] = INK
    covered = cover_surroundings(pixels)
    assert np.abs(covered[away >= 100].astype(int) - PAPER).max() <= 1
    np.testing.assert_array_equal(covered[away < 80], pixels[away < 80])


@pytest.mark.parametrize("value", [0, 128, 255])
def test_an_empty_picture_has_no_sheet(value):
    assert cover_surroundings(np.full((40, 90, 3), value, np.uint8)) is None
    assert cover_surroundings(np.full((1, 1, 3), value, np.uint8)) is None


def test_an_empty_note_is_no_sheet_and_neither_is_a_digit(mnist):
    pixels, there, _ = note()
    pixels[there] = PAPER
    assert cover_surroundings(pixels) is None
    found = [cover_surroundings(np.stack([i] * 3, axis=2)) for i in mnist.test.images[:200]]
    assert sum(sheet is not None for sheet in found) <= 2


@pytest.mark.parametrize(("blur", "is_sheet"), [(4, True), (16, False)])
def test_a_sheet_has_an_edge_and_a_spot_of_light_has_none(blur, is_sheet):
    _, there, ink = note()
    share = ndimage.gaussian_filter(there.astype(float), blur)[:, :, None]
    page = share * np.array(PAPER) + (1 - share) * np.array(TABLE)
    covered = cover_surroundings(np.where(ink[:, :, None], INK, page).astype(np.uint8))
    assert (covered is not None) == is_sheet


def test_a_blot_is_no_sheet_with_paper_written_on_it():
    row, column = np.mgrid[:200, :300]
    pixels = np.full((200, 300, 3), PAPER, np.uint8)
    for y, x, size in ((80, 130, 45), (120, 170, 45), (80, 175, 30)):  # with bays between them
        pixels[np.hypot(row - y, column - x) < size] = INK
    assert cover_surroundings(pixels) is None
    pixels[90:110, 140:146] = pixels[90:110, 160:166] = PAPER
    assert cover_surroundings(pixels) is not None


def test_writing_over_the_edge_of_a_note_is_kept():
    pixels, _, ink = note()
    over = np.zeros_like(ink)
    over[80:120, 74:82] = over[95:105, 40:82] = True
    pixels[over] = INK
    covered = cover_surroundings(pixels)
    np.testing.assert_array_equal(covered[80:120, 74:82], pixels[80:120, 74:82])
    np.testing.assert_array_equal(covered[ink], pixels[ink])


def test_what_was_cut_out_along_its_ink_gets_paper_around():
    pixels = np.full((100, 30, 3), PAPER, np.uint8)
    pixels[:40, 18:] = pixels[40:60, 5:25] = pixels[60:, :12] = INK
    framed = add_margin(pixels, 20)
    assert framed.shape == (140, 70, 3)
    np.testing.assert_array_equal(framed[20:120, 20:50], pixels)
    assert np.abs(framed[:20].astype(int) - PAPER).max() <= 1


def test_what_has_paper_around_gets_no_more():
    pixels = np.full((100, 60, 3), PAPER, np.uint8)
    pixels[30:70, 20:40] = INK
    assert add_margin(pixels, 20) is None
    assert add_margin(np.full((5, 5, 3), 7, np.uint8), 2) is None


@given(st.lists(st.integers(0, 30), min_size=1, max_size=30))
def test_two_groups_are_parted_where_they_differ_most(values):
    def apart(level):
        low, high = (np.array([v for v in values if (v > level) == side]) for side in (0, 1))
        return len(low) * len(high) * (low.mean() - high.mean()) ** 2 if len(low) * len(high) else 0

    best = max(apart(level) for level in values)
    assert apart(otsu(np.array(values))) == pytest.approx(best)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 99))
def test_the_plane_has_the_least_squares(height, width, seed):
    values = np.random.default_rng(seed).normal(size=(height, width))
    y, x = np.mgrid[:height, :width]
    columns = np.stack([np.ones(values.size), y.ravel(), x.ravel()], axis=1)
    best = columns @ np.linalg.lstsq(columns, values.ravel(), rcond=None)[0]
    np.testing.assert_allclose(fit_plane(values).ravel(), best, atol=1e-5)
