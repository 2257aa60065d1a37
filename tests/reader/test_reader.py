"""Pictures in, numbers out: a digit in any file, lines of digits, and nothing from nothing."""

import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image, ImageDraw, ImageOps
from scipy import ndimage

import mnist_classification
from mnist_classification import Digit, Line, Reader, Reading
from mnist_classification.errors import PictureError
from mnist_classification.reader import reader as reader_module
from mnist_classification.reader.lines import prepare
from mnist_classification.reader.reader import find_passed_over, is_shade, read_region
from mnist_classification.reader.recognizer import NUM_CLASSES, Recognizer
from mnist_classification.reader.strips import Region, Strip

sys.path.insert(0, str(ROOT / "benchmarks"))
from read_synthetic import Style, draw_digit, make_page


@pytest.fixture(scope="module")
def reader():
    return Reader()


@pytest.fixture(scope="module")
def three(mnist):
    """A 3 of the test set, dark on light, as a greyscale image of 120×100."""
    image = mnist.test.images[30]
    assert mnist.test.labels[30] == 3
    page = np.zeros((120, 100))
    digit = draw_digit(image, 70, 0)
    page[25 : 25 + len(digit), 20 : 20 + digit.shape[1]] = digit
    return Image.fromarray((255 - page * 235).round().astype(np.uint8))


@pytest.mark.parametrize(
    ("certainty", "text", "found", "expected"),
    [
        (0.8, "1", 0.2, True),
        (0.8, "1", 0.8, False),
        (0.999, "1", 0.2, False),  # no doubt
        (0.8, "11", 0.2, False),
    ],
)
def test_a_doubtful_digit_that_is_hardly_ink_is_shade(certainty, text, found, expected):
    darkness, ink = np.zeros((32, 64), np.float32), np.zeros((32, 64), bool)
    darkness[:, 28:32] = 1
    ink[: round(32 * found), 28:32] = True
    line = read_region(Saying(text, certainty), darkness, Region(0, 0, 64, 32))
    assert line.decoded.text == text
    assert is_shade(line, ink) == expected


def test_shapes_in_which_no_digit_was_read_are_found():
    image = np.zeros((32, 100), np.float32)
    for left in (10, 40, 70):
        image[6:26, left : left + 10] = 1
    image[20:23, 85:88] = 1  # a point
    strip = Strip(image, Region(0, 0, 84, 32), (1.0, 1.0), (8, 0))

    def spans(*middles):
        return np.array([(middle // 2, middle // 2 + 1) for middle in middles])

    assert find_passed_over(strip, spans(14, 44, 74)) == []
    assert find_passed_over(strip, spans(14, 74)) == [1]
    assert find_passed_over(strip, spans(44)) == [0, 1]
    assert find_passed_over(strip, spans()) == []  # of several strokes alone none need be a digit


@pytest.mark.parametrize(
    ("high", "wide", "found"), [(26, 4, [0]), (26, 13, [0]), (26, 20, []), (12, 3, []), (0, 0, [])]
)
def test_a_slim_stroke_by_itself_may_be_a_digit(high, wide, found):
    image = np.zeros((32, 60), np.float32)
    image[3 : 3 + high, 20 : 20 + wide] = 1
    strip = Strip(image, Region(0, 0, 60, 32), (1.0, 1.0), (8, 0))
    assert find_passed_over(strip, np.zeros((0, 2), int)) == found


class Saying(Recognizer):
    """A recogniser that sees the same on every strip, with so much of certainty."""

    def __init__(self, text, certainty, second=None):
        super().__init__(session=None, second=second)
        steps = 2 * len(text) + 1
        self.asked, self.seen = 0, np.full((steps, NUM_CLASSES), (1 - certainty) / 10, np.float32)
        for step, label in enumerate("-" + "".join(f"{digit}-" for digit in text)):
            self.seen[step, 10 if label == "-" else int(label)] = certainty

    def read(self, image):
        self.asked += 1
        return self.seen


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (("25", 0.999), ("", 0.99), "25"),  # no doubt: the second is not asked
        (("25", 0.8), ("23", 0.9), "23"),
        (("25", 0.9), ("23", 0.8), "25"),
        (("25", 0.8), ("", 0.9), ""),  # a word
        (("2", 0.8), ("", 0.9), "2"),  # no word has but one letter
        (("2", 0.8), ("3", 0.9), "3"),
    ],
)
def test_two_networks_vote_where_the_first_is_in_doubt(first, second, expected):
    other = Saying(*second)
    both = Saying(*first, second=other)
    assert read_region(both, np.zeros((32, 64)), Region(0, 0, 64, 32)).decoded.text == expected
    assert (both.asked, other.asked) == ((1, 0) if first[1] > 0.99 else (3, 3))


def test_what_the_first_alone_says_has_its_own_probability():
    alone, word = Saying("2", 0.8), Saying("", 0.9)
    expected = read_region(alone, np.zeros((32, 64)), Region(0, 0, 64, 32)).decoded.probability
    both = Saying("2", 0.8, second=word)
    found = read_region(both, np.zeros((32, 64)), Region(0, 0, 64, 32)).decoded
    assert (found.text, found.probability) == ("2", expected)


def sixteen_bits(image):
    return Image.fromarray(np.asarray(image).astype(np.uint16) * 257)


def encoded(image, file_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def transparent(image, ink):
    alpha = image.point(lambda value: 255 - value)
    page = Image.new("RGBA", image.size, ink)
    page.putalpha(alpha)
    return page


def turned(image, orientation, transpose):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image.transpose(transpose), "JPEG", quality=95, exif=exif)


def padded(image):
    page = Image.new("L", (400, 300), 255)
    page.paste(image, (200, 50))
    return page


ENCODINGS = {
    "PNG": lambda i: encoded(i, "PNG"),
    "PNG, colours": lambda i: encoded(i.convert("RGB"), "PNG"),
    "PNG, palette": lambda i: encoded(i.convert("P"), "PNG"),
    "PNG, 1 bit": lambda i: encoded(i.convert("1", dither=0), "PNG"),
    "PNG, 16 bits": lambda i: encoded(sixteen_bits(i), "PNG"),
    "PNG, black on transparent": lambda i: encoded(transparent(i, "black"), "PNG"),
    "PNG, white on transparent": lambda i: encoded(transparent(i, "white"), "PNG"),
    "PNG, grey with opacity": lambda i: encoded(i.convert("LA"), "PNG"),
    "white on black": lambda i: encoded(i.point(lambda v: 255 - v), "PNG"),
    "red on green": lambda i: encoded(
        Image.merge("RGB", [i.point(lambda v: 255 - v), i, Image.new("L", i.size)]), "PNG"
    ),
    "JPEG": lambda i: encoded(i, "JPEG", quality=60),
    "JPEG, CMYK": lambda i: encoded(i.convert("CMYK"), "JPEG"),
    "JPEG on its side": lambda i: turned(i, 6, Image.Transpose.ROTATE_90),
    "JPEG on its head": lambda i: turned(i, 3, Image.Transpose.ROTATE_180),
    "GIF": lambda i: encoded(i, "GIF"),
    "BMP": lambda i: encoded(i, "BMP"),
    "TIFF": lambda i: encoded(i, "TIFF", compression="tiff_lzw"),
    "TIFF, CMYK": lambda i: encoded(i.convert("CMYK"), "TIFF"),
    "WebP": lambda i: encoded(i.convert("RGB"), "WEBP"),
    "PPM": lambda i: encoded(i, "PPM"),
    "far off": lambda i: encoded(padded(i), "PNG"),
    "four times as large": lambda i: encoded(i.resize((400, 480), Image.Resampling.BICUBIC), "PNG"),
    "a third as large": lambda i: encoded(i.resize((33, 40), Image.Resampling.BOX), "PNG"),
    "array, 0 to 1": lambda i: np.asarray(i) / 255,
    "PIL image": lambda i: i,
}


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
def test_the_same_digit_in_every_encoding(reader, three, encode):
    reading = reader.read(encode(three))
    assert reading.text == "3"
    assert reading.sure


def blank(mode, colour):
    return Image.new(mode, (64, 64), colour)


@pytest.mark.parametrize(
    "picture",
    [
        blank("L", 255),
        blank("L", 0),
        blank("RGB", (128, 128, 128)),
        blank("RGBA", (0, 0, 0, 0)),
        blank("RGBA", (255, 255, 255, 0)),
        Image.new("L", (96, 64), 255),  # so wide that it may be a line
        Image.new("RGB", (400, 100), (70, 110, 90)),
        Image.new("L", (1, 1), 90),
        Image.effect_noise((100, 100), 90),
        np.random.default_rng(1).random((80, 80)),
        np.where(np.hypot(*np.mgrid[-30:30, -30:30]) < 5, 0, 255).astype(np.uint8),
        np.where(np.hypot(*np.mgrid[-50:50, -50:50]) < 44, 60, 230).astype(np.uint8),
    ],
    ids=[
        *["white", "black", "grey", "clear", "clear white", "wide", "wide and green"],
        *["1×1", "noise", "random", "dot", "disc"],
    ],
)
def test_nothing_is_never_a_digit(reader, picture):
    reading = reader.read(picture)
    assert (reading.text, reading.digits, reading.sure) == ("", (), False)


def test_a_digit_says_all_about_itself(reader, three):
    reading = reader.read(three)
    (line,) = reading.lines
    assert isinstance(line, Line)
    assert line.text == "3"
    assert 0 < line.probability <= 1
    assert line.sure == (line.probability >= reader.threshold)
    (digit,) = line.digits
    assert reading.digits == line.digits
    assert isinstance(digit, Digit)
    assert digit.label == 3
    assert digit.probabilities.shape == (10,)
    assert digit.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert digit.probability == digit.probabilities[3]
    assert digit.sure == (reader.recognizer.calibrate(digit.probability) >= reader.threshold)
    left, top, right, bottom = digit.box
    ink = np.argwhere(np.asarray(three) < 128)
    assert abs(np.array([top, left]) - ink.min(axis=0)).max() <= 6
    assert abs(np.array([bottom, right]) - ink.max(axis=0) - 1).max() <= 6
    assert line.box == digit.box
    assert digit.image28.shape == (28, 28)
    assert digit.image28.dtype == np.uint8


def test_digits_stand_in_their_boxes_from_the_left(reader, mnist):
    rng = np.random.default_rng(9)
    page, text = make_page(mnist.test, Style(length=(6, 6), gap=(0.3, 0.5)), rng)
    (line,) = reader.read(page).lines
    assert "".join(str(digit.label) for digit in line.digits) == line.text == text
    middles = [(digit.box[0] + digit.box[2]) / 2 for digit in line.digits]
    assert middles == sorted(middles)
    dark = page.mean(axis=2) < 128
    for left, top, right, bottom in (digit.box for digit in line.digits):
        assert dark[top:bottom, left:right].mean() > 0.1
    inside = np.zeros_like(dark)
    for left, top, right, bottom in (digit.box for digit in line.digits):
        inside[max(0, top - 4) : bottom + 4, max(0, left - 4) : right + 4] = True
    assert (dark & inside).sum() > 0.95 * dark.sum()


def test_a_dark_patch_of_paper_is_in_no_box(reader):
    (line,) = reader.read(ROOT / "plots" / "page.jpg").lines  # the patches are above 6 and 2
    boxes = [digit.box for digit in line.digits]
    assert all(top > 90 and bottom < 185 for _, top, _, bottom in boxes)


def test_boxes_are_in_pixels_of_the_picture(reader, three):
    large = three.resize((3000, 3600), Image.Resampling.BICUBIC)
    (small,), (digit,) = reader.read(three).digits, reader.read(large).digits
    assert np.abs(np.array(small.box) * 30 - digit.box).max() < 150


def test_numbers_and_lines_are_read_in_order(reader, mnist):
    rng = np.random.default_rng(5)
    pages = [make_page(mnist.test, Style(lines=lines), rng) for lines in (1, 1, 1, 2, 2) * 4]
    readings = list(reader.read_many(page for page, _ in pages))
    exact = [reading.text == text for reading, (_, text) in zip(readings, pages, strict=True)]
    assert np.mean(exact) >= 0.75  # a number of MNIST's worst digits is nobody's to read
    for reading in readings:
        assert reading.text == "\n".join(line.text for line in reading.lines)
        assert reading.sure == all(line.sure for line in reading.lines)
        assert len(reading.digits) == len(reading.text.replace("\n", ""))


@pytest.mark.parametrize(
    ("style", "least"),
    [
        (Style(boxes=True, margin=(0.1, 0.8)), 0.8),
        (Style(marks=0.4), 0.8),
        (Style(spread=0.4), 0.8),
        (Style(length=(2, 3), gap=(-0.12, 0.0)), 0.8),
        (Style(height=(40, 60), margin=(4.0, 10.0)), 0.8),
    ],
    ids=["boxes", "punctuation", "unequal heights", "touching", "far away"],
)
def test_hard_pages_are_mostly_read(reader, mnist, style, least):
    rng = np.random.default_rng(3)
    pages = [make_page(mnist.test, style, rng) for _ in range(10)]
    exact = [reader.read(page).text == text for page, text in pages]
    assert np.mean(exact) >= least


def test_leading_zeros_are_kept(reader, mnist):
    zero, seven = (int(np.flatnonzero(mnist.test.labels == digit)[0]) for digit in (0, 7))
    drawn = [draw_digit(mnist.test.images[i], 60, 0) for i in (zero, zero, seven)]
    page = np.zeros((100, 260))
    for left, digit in zip((20, 100, 180), drawn, strict=True):
        page[20 : 20 + len(digit), left : left + digit.shape[1]] = digit
    assert reader.read((255 - page * 235).astype(np.uint8)).text == "007"


def test_the_same_digit_wherever_it_is_and_however_large(reader, mnist):
    for image, label in zip(mnist.test.images[:6], mnist.test.labels, strict=False):
        digit = draw_digit(image, 60, 0)
        near = np.pad(digit, 6)
        with_margins = np.pad(digit, [(side, side) for side in digit.shape])
        corner = np.pad(digit, ((10, 500), (600, 12)))
        large = np.kron(near, np.ones((20, 20)))
        for page in (near, with_margins, corner, large):
            assert reader.read((255 - page * 235).astype(np.uint8)).text == str(label)


def test_a_digit_cut_out_along_its_ink_is_read(reader, mnist):
    by_digit = [np.flatnonzero(mnist.test.labels == digit)[:4] for digit in range(10)]
    right = 0
    for index in np.concatenate(by_digit):
        image = Image.fromarray(mnist.test.images[index]).resize(
            (140, 140), Image.Resampling.BICUBIC
        )
        cut = image.crop(image.point(lambda v: 255 * (v > 100)).getbbox())
        reading = reader.read(cut)
        right += reading.text == str(mnist.test.labels[index])
        for digit in reading.digits:
            left, top, right_edge, bottom = digit.box
            assert 0 <= left < right_edge <= cut.width
            assert 0 <= top < bottom <= cut.height
    assert right >= 37


def test_a_note_on_a_table_is_read(reader, three):
    note = Image.new("RGB", (400, 300), (70, 60, 55))
    paper = Image.new("RGB", (240, 200), (245, 225, 110))
    paper.paste((40, 40, 60), (60, 50), ImageOps.invert(three))
    note.paste(paper.rotate(4, expand=True, fillcolor=(70, 60, 55)), (70, 40))
    (found,) = reader.read(note).digits
    left, top, right, bottom = found.box
    assert found.label == 3
    assert 130 < left < right < 250
    assert 80 < top < bottom < 220


def draw_page(mnist, shape, digits):
    """Return test digits on white paper, each as its index, left, top and height."""
    page = np.zeros(shape)
    for index, left, top, high in digits:
        digit = draw_digit(mnist.test.images[index], high, 0)
        page[top : top + len(digit), left : left + digit.shape[1]] = digit
    return Image.fromarray((255 - page * 235).round().astype(np.uint8))


@pytest.mark.parametrize("opening", [0, 40])
def test_a_digit_in_a_ring_is_read_without_it(reader, mnist, opening):
    for index in (2, 1, 9):  # a 1, a 2 and a 9
        image = draw_page(mnist, (140, 160), [(index, 60, 40, 60)])
        ImageDraw.Draw(image).arc((10, 8, 150, 132), 20 + opening, 380, fill=30, width=4)
        assert reader.read(image).text == str(mnist.test.labels[index])


@pytest.mark.parametrize("shadow", [False, True])
def test_a_ringed_number_is_not_lost_beside_a_plain_one(reader, mnist, shadow):
    image = draw_page(mnist, (320, 160), [(2, 60, 40, 60), (9, 60, 220, 60)])  # a 1, a 9 below
    ImageDraw.Draw(image).ellipse((10, 8, 150, 132), outline=30, width=4)
    pixels = np.asarray(image)
    if shadow:
        pixels = (pixels * np.linspace(0.75, 1, 160)).astype(np.uint8)
    assert reader.read(pixels).text == "1\n9"


def test_a_digit_in_a_ring_is_read_beside_others_of_its_height(reader, mnist):
    others = [(0, 160, 40, 80), (2, 240, 40, 80), (4, 300, 40, 80)]  # 7, 1 and 4
    image = draw_page(mnist, (160, 420), [(1, 62, 60, 40), *others])
    ImageDraw.Draw(image).ellipse((40, 40, 120, 120), outline=30, width=4)
    assert reader.read(image).text == "2714"


@pytest.mark.parametrize("index", [10, 13])  # two 0s
def test_a_zero_with_a_slash_in_it_is_no_ring_around_a_digit(reader, mnist, index):
    digits = [(2, 30, 40, 100), (index, 110, 40, 100), (30, 210, 40, 100)]  # 1, 0 and 3
    image = draw_page(mnist, (180, 320), digits)
    ImageDraw.Draw(image).line([(146, 110), (158, 72)], fill=20, width=5)
    assert reader.read(image).text == "103"


def test_two_lines_in_a_frame_that_is_open_above_are_read(reader, mnist):
    rows = ((0, 3, 2), 100), ((2, 9, 4), 230)  # 701 and 194
    digits = [(i, 150 + 75 * n, top, 80) for row, top in rows for n, i in enumerate(row)]
    image = draw_page(mnist, (420, 500), digits)
    ImageDraw.Draw(image).line([(15, 15), (15, 405), (485, 405), (485, 15)], fill=30, width=4)
    assert reader.read(image).text == "701\n194"


def test_small_numbers_in_a_large_ring_are_no_zero(reader, mnist):
    rows = ((3, 2, 1), 120), ((9, 5, 0), 190)  # 012 and 917
    digits = [(i, 95 + 38 * n, top, 34) for row, top in rows for n, i in enumerate(row)]
    image = draw_page(mnist, (360, 300), digits)
    ImageDraw.Draw(image).ellipse((3, 3, 296, 356), outline=30, width=8)
    assert reader.read(image).text == "012\n917"


def test_digits_in_outline_are_read(reader, mnist):
    digits = [(0, 30, 40, 120), (1, 130, 40, 120), (2, 230, 40, 120), (3, 280, 40, 120)]
    page = np.asarray(draw_page(mnist, (200, 400), digits)) < 150
    solid = ndimage.binary_dilation(page, iterations=3)
    outline = solid & ~ndimage.binary_erosion(solid, iterations=3)
    assert reader.read(np.where(outline, 30, 250).astype(np.uint8)).text == "7210"


def test_a_zero_in_a_speech_bubble_is_no_digit_in_outline(reader, mnist):
    image = draw_page(mnist, (220, 260), [(3, 100, 40, 80)])  # a 0
    drawing = ImageDraw.Draw(image)
    drawing.ellipse((30, 10, 230, 150), outline=30, width=4)
    drawing.line([(110, 148), (100, 205), (150, 149)], fill=30, width=4)
    assert reader.read(image).text == "0"


def test_digits_in_a_table_are_read_row_by_row(reader, mnist):
    page = np.zeros((260, 380))
    for at in (20, 130, 240):
        page[at : at + 3, 20:363] = 1
    for at in (20, 134, 248, 360):
        page[20:243, at : at + 3] = 1
    for number, index in enumerate((3, 2, 1, 0, 4, 5)):  # 0, 1, 2 and 7, 4, 1
        digit = draw_digit(mnist.test.images[index], 60, 0)
        top, left = 45 + 110 * (number // 3), 65 + 114 * (number % 3)
        page[top : top + len(digit), left : left + digit.shape[1]] = digit
    assert reader.read((255 - page * 235).round().astype(np.uint8)).text == "012\n741"


def test_a_number_is_read_inside_a_drawing(reader, mnist):
    image = draw_page(mnist, (300, 320), [(1, 120, 150, 50), (9, 165, 150, 50)])  # 2 and 9
    house = [(50, 280), (50, 120), (160, 20), (270, 120), (270, 280), (50, 280)]
    ImageDraw.Draw(image).line(house, fill=30, width=4)
    assert reader.read(image).text == "29"


def test_notes_beside_one_another_are_all_read(reader, mnist):
    table = Image.new("RGB", (620, 300), (70, 60, 55))
    for index, left, colour in ((1, 40, (245, 225, 110)), (9, 340, (170, 220, 240))):
        digit = np.zeros((200, 240))
        drawn = draw_digit(mnist.test.images[index], 70, 0)
        digit[65 : 65 + len(drawn), 90 : 90 + drawn.shape[1]] = drawn
        note = np.array(colour) * (1 - digit[:, :, None]) + 40 * digit[:, :, None]
        table.paste(Image.fromarray(note.round().astype(np.uint8)), (left, 50))
    assert reader.read(table).text == "29"


def test_numbers_on_a_sheet_and_beside_it_are_both_read(reader, mnist):
    digits = np.zeros((420, 420))
    for number, index in enumerate((8, 7, 47, 29, 35)):
        top, left = (60, 110 + 70 * number) if number < 2 else (250, 70 * number - 30)
        drawn = draw_digit(mnist.test.images[index], 70, 0)
        digits[top : top + len(drawn), left : left + drawn.shape[1]] = drawn
    board = np.full((420, 420, 3), (172.0, 132.0, 92.0))
    board[180:400, 50:370] = (248, 246, 240)
    page = board * (1 - digits[:, :, None]) + 25 * digits[:, :, None]
    assert reader.read(page.round().astype(np.uint8)).text == "59\n212"


def test_what_guesses_have_in_common_is_read_once(reader, monkeypatch):
    line, other, asked = Region(0, 0, 60, 30), Region(0, 30, 60, 60), []

    def note(recognizer, darkness, region):
        asked.append(region)
        return read_region(recognizer, darkness, region)

    monkeypatch.setattr(reader_module, "propose", lambda _: [[line], [line, other], [other]])
    monkeypatch.setattr(reader_module, "read_region", note)
    reader._read_guesses(prepare(np.full((60, 60, 3), 200, np.uint8)))
    assert asked == [line, other]


def test_a_digit_by_a_felt_pen_is_no_blot(reader, mnist):
    for index in (35, 47, 72):  # 2s
        page = np.zeros((140, 140))
        digit = draw_digit(mnist.test.images[index], 80, 0)
        page[30 : 30 + len(digit), 30 : 30 + digit.shape[1]] = digit
        thick = ndimage.grey_dilation(page, footprint=np.hypot(*np.mgrid[-12:13, -12:13]) <= 12)
        assert reader.read((255 - thick * 235).round().astype(np.uint8)).text == "2"


def test_mnists_own_images_are_read(reader, mnist):
    readings = reader.read_many(mnist.test.images[:100])
    right = [r.text == str(label) for r, label in zip(readings, mnist.test.labels, strict=False)]
    assert np.mean(right) >= 0.96


def test_many_are_read_as_one_is_and_the_broken_is_named(reader, mnist):
    pictures = [*mnist.test.images[:20], b"broken", mnist.test.images[70]]
    readings = list(reader.read_many(pictures))
    assert len(readings) == 22
    assert readings[20] == Reading("", (), readings[20].error)
    assert "expected a picture" in readings[20].error
    for picture, reading in zip(pictures[10:20], readings[10:20], strict=True):
        alone = reader.read(picture)
        assert alone.text == reading.text
        for ours, theirs in zip(alone.digits, reading.digits, strict=True):
            np.testing.assert_array_equal(ours.probabilities, theirs.probabilities)
    with pytest.raises(PictureError):
        reader.read(b"broken")
    for one in ("page.jpg", Path("page.jpg"), b"", Image.new("L", (9, 9)), pictures[0]):
        with pytest.raises(PictureError, match="got one picture; expected several"):
            list(reader.read_many(one))
    assert [reading.error is None for reading in reader.read_many([None, pictures[0]])] == [
        *(False, True),
    ]


def test_many_threads_share_one_reader(reader, mnist):
    pictures = list(mnist.test.images[:24])
    alone = [reader.read(picture).text for picture in pictures]
    with ThreadPoolExecutor(4) as threads:
        assert [reading.text for reading in threads.map(reader.read, pictures)] == alone


def test_the_threshold_decides_what_is_sure(three):
    assert Reader(threshold=0.0).read(three).sure
    assert not Reader(threshold=1.1).read(three).sure


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


def test_importing_and_reading_need_no_torch():
    run_python(
        "import sys, mnist_classification\n"
        "assert not {'torch', 'onnxruntime', 'PIL', 'scipy'} & set(sys.modules)\n"
        "from mnist_classification import Reader, load_mnist\n"
        "assert Reader().read(load_mnist().test.images[0]).text == '7'\n"
        "assert 'torch' not in sys.modules\n"
    )


def test_exported_names_exist():
    for name in mnist_classification.__all__:
        assert getattr(mnist_classification, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Raeder'"):
        _ = mnist_classification.Raeder
