"""Files of every kind become the same pixels; broken and hostile ones become one line."""

import contextlib
import functools
import io
import struct
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mnist_classification.errors import PictureError
from mnist_classification.reader.picture import MAX_BYTES, MAX_SIDE, load_pixels

sys.path.insert(0, str(ROOT / "benchmarks"))
from read_hostile import FILES, PHOTO, encode, photo, png


@pytest.fixture(scope="module")
def drawing():
    """A dark ring on light paper, (60, 80, 3) uint8, with nothing symmetric about it."""
    y, x = np.mgrid[:60, :80]
    ring = np.abs(np.hypot(x - 25, y - 35) - 15) < 3
    return np.where(ring[:, :, None], (30, 20, 60), (240, 230, 220)).astype(np.uint8)


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF", "PPM", "TGA", "PCX", "SGI", "QOI"])
def test_lossless_formats_give_the_same_pixels(drawing, file_format):
    if file_format == "QOI" and "QOI" not in Image.SAVE:
        pytest.skip("this Pillow does not write QOI")
    pixels, scale = load_pixels(encode(Image.fromarray(drawing), file_format))
    np.testing.assert_array_equal(pixels, drawing)
    assert scale == (1, 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_upright(drawing, orientation):
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # what a camera held so would have stored
    image = Image.fromarray(drawing)
    if orientation in undo:
        image = image.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels, _ = load_pixels(encode(image, "PNG", exif=exif))
    np.testing.assert_array_equal(pixels, drawing)


def test_path_bytes_image_and_array_are_the_same(drawing, tmp_path):
    path = tmp_path / "drawing.png"
    Image.fromarray(drawing).save(path)
    for picture in (path, str(path), path.read_bytes(), Image.open(path), drawing, drawing / 255):
        np.testing.assert_array_equal(load_pixels(picture)[0], drawing)


@pytest.mark.parametrize("ink", [(0, 0, 0), (255, 255, 255), (200, 30, 30)])
def test_ink_on_a_transparent_page_is_dark_on_white(drawing, ink):
    shape = drawing[:, :, 0] < 100
    rgba = np.zeros((60, 80, 4), np.uint8)
    rgba[shape] = (*ink, 255)
    pixels, _ = load_pixels(encode(Image.fromarray(rgba), "PNG"))
    assert (pixels[shape] == 0).all()
    assert (pixels[~shape] == 255).all()


def test_transparent_corner_takes_the_colour_of_the_paper(drawing):
    rgba = np.dstack([drawing, np.full((60, 80), 255, np.uint8)])
    rgba[:10, :10] = 0
    pixels, _ = load_pixels(encode(Image.fromarray(rgba), "PNG"))
    np.testing.assert_array_equal(pixels, drawing)


def test_a_card_with_clear_corners_keeps_its_thin_writing():
    card = np.full((600, 800, 4), (250, 250, 250, 255), np.uint8)
    card[280:330, 400:406, :3] = 20  # far less than a hundredth of it
    card[:12, :12, 3] = 0
    pixels, _ = load_pixels(card)
    assert (pixels[280:330, 400:406] == 20).all()
    assert (pixels[:12, :12] == 250).all()
    card[:, :, 3] = 254
    pixels, _ = load_pixels(card)
    np.testing.assert_array_equal(pixels, card[:, :, :3])


def test_a_slip_that_lies_askew_keeps_its_writing():
    slip = Image.new("RGBA", (600, 120), (250, 250, 250, 255))
    slip.paste((20, 20, 20, 255), (290, 40, 310, 80))
    pixels, _ = load_pixels(slip.rotate(45, expand=True))
    middle = pixels.shape[0] // 2
    assert pixels[middle, middle].max() < 30
    assert (pixels > 200).mean() > 0.95


def test_a_long_label_and_two_notes_keep_their_writing():
    label = np.zeros((140, 940, 4), np.uint8)
    label[20:120, 20:920] = (250, 250, 250, 255)
    label[50:90, 400:420, :3] = 20
    notes = np.zeros((1000, 1000, 4), np.uint8)
    notes[20:170, 20:170] = notes[830:980, 830:980] = (250, 250, 250, 255)
    notes[80:110, 90:100, :3] = notes[890:920, 900:910, :3] = 20
    for picture in (label, notes):
        pixels, _ = load_pixels(picture)
        np.testing.assert_array_equal(pixels[:, :, 0] == 20, picture[:, :, 0] == 20)


def test_pale_writing_where_all_is_nearly_opaque_is_kept():
    page = np.full((100, 200, 4), (246, 246, 240, 254), np.uint8)
    page[40:60, 90:100, :3] = 190
    pixels, _ = load_pixels(page)
    np.testing.assert_array_equal(pixels, page[:, :, :3])


def test_a_rim_around_a_stroke_is_none_of_its_ink():
    rgba = np.zeros((100, 60, 4), np.uint8)
    rgba[10:90, 20:40] = (255, 255, 255, 255)
    rgba[13:87, 23:37, :3] = 0
    pixels, _ = load_pixels(rgba)
    np.testing.assert_array_equal(pixels[:, :, 0] == 0, rgba[:, :, 3] == 255)


def test_the_shadow_around_a_window_is_no_ink():
    window = np.zeros((300, 400, 4), np.uint8)
    window[20:300, 20:380, 3] = np.linspace(120, 0, 280).astype(np.uint8)[:, None]  # its shadow
    window[30:200, 30:370] = (250, 250, 250, 255)
    window[80:120, 190:200, :3] = 20
    pixels, _ = load_pixels(window)
    assert ((pixels[:, :, 0] == 20) | (pixels[:, :, 0] == 250)).all()
    assert (pixels[:, :, 0] == 20).sum() == 400


def test_ink_of_two_colours_on_a_transparent_page_is_all_ink(drawing):
    shape = drawing[:, :, 0] < 100
    rgba = np.zeros((60, 80, 4), np.uint8)
    rgba[shape] = (0, 0, 0, 255)
    rgba[55:57, 10:60] = (255, 0, 0, 255)  # underlined
    pixels, _ = load_pixels(rgba)
    np.testing.assert_array_equal(pixels[:, :, 0] == 0, rgba[:, :, 3] == 255)


def test_pale_ink_on_a_transparent_page_is_ink(drawing):
    shape = drawing[:, :, 0] < 100
    rgba = np.zeros((60, 80, 4), np.uint8)
    rgba[shape] = (0, 0, 0, 100)
    pixels, _ = load_pixels(rgba)
    assert (pixels[shape] == 155).all()
    assert (pixels[~shape] == 255).all()


@pytest.mark.parametrize(
    ("size", "kept"),
    [((1600, 1200), (800, 600)), ((800, 8000), (200, 2000)), ((6000, 60), (2000, 20))],
)
def test_a_long_picture_shrinks_by_its_area(size, kept):
    pixels, _ = load_pixels(Image.new("L", size))
    assert pixels.shape[1::-1] == kept


@pytest.mark.parametrize("mode", ["r", "wb", "closed"])
def test_a_file_that_gives_no_bytes_is_refused_in_one_line(tmp_path, mode):
    path = tmp_path / "photo.png"
    path.write_bytes(bytes([0x89, 0xFF]))
    with path.open("rb" if mode == "closed" else mode) as file:
        if mode == "closed":
            file.close()
        with pytest.raises(PictureError, match="expected an open binary file"):
            load_pixels(file)


def test_sixteen_bits_use_their_range(drawing):
    deep = drawing[:, :, 0].astype(np.uint16) * 16  # twelve bits in sixteen
    pixels, _ = load_pixels(encode(Image.fromarray(deep), "PNG"))
    assert pixels.min() == 0
    assert pixels.max() == 255
    np.testing.assert_array_equal(load_pixels(deep)[0], pixels)


def test_the_callers_own_picture_is_left_alone(tmp_path):
    path = tmp_path / "large.jpg"
    Image.new("RGB", (3000, 2000), "white").save(path)
    with Image.open(path) as image:
        load_pixels(image)
        assert image.size == (3000, 2000)


def test_large_pictures_shrink_and_say_by_how_much():
    large = np.zeros((2000, 3000, 3), np.uint8)
    for file_format in ("PNG", "JPEG"):
        pixels, scale = load_pixels(encode(Image.fromarray(large), file_format))
        assert max(pixels.shape) <= MAX_SIDE
        assert pixels.shape[0] * scale[1] == pytest.approx(2000)
        assert pixels.shape[1] * scale[0] == pytest.approx(3000)


def test_each_side_of_a_photo_that_was_turned_shrinks_by_its_own_factor():
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side
    stored = Image.fromarray(np.zeros((2005, 6144), np.uint8))
    pixels, (across, down) = load_pixels(encode(stored, "PNG", exif=exif))
    assert pixels.shape[1] * across == pytest.approx(2005)
    assert pixels.shape[0] * down == pytest.approx(6144)


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_sixteen_bits_are_the_same_in_either_byte_order(drawing, order):
    pixels, _ = load_pixels(drawing.astype(order) * 257)
    np.testing.assert_array_equal(pixels, drawing)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1)])
def test_thin_pictures_keep_a_pixel(shape):
    pixels, _ = load_pixels(np.zeros(shape, np.uint8))
    assert min(pixels.shape[:2]) == 1


BLACK, GREY = Image.new("L", (50, 50)), Image.new("L", (50, 50), 99)
NOISE = Image.effect_noise((300, 300), 50)
HEIC = b"\0\0\0\x18ftypheic" + bytes(100)
HOSTILE = {  # how each is made: all at once take seconds
    "empty file": (lambda: b"", "starts with nothing"),
    "text": (lambda: b"seven\n" * 50, "expected a picture"),
    "pickle": (FILES["pickle.jpg"], "expected a picture"),
    "zip": (FILES["zip.png"], "expected a picture"),
    "script": (lambda: b"#!/bin/sh\necho 7\n", "expected a picture"),
    "bomb of 0.9 gigapixels": (FILES["0.9 gigapixels.png"], "megapixels"),
    "bomb of 0.9 gigapixels, TIFF": (FILES["0.9 gigapixels.tif"], "megapixels"),
    "bomb in a tile": (FILES["tile of 0.9 gigapixels.tif"], "901 megapixels"),
    "bomb in a tile of text": (FILES["tile of text.tif"], "a tile's size is no number"),
    "bomb of comments": (FILES["comments.pbm"], "1,049 kB and 1×1 pixels; .* try a PNG copy"),
    "bomb of levels": (FILES["49 megapixels of 254 levels.pgm"], "takes long to decode"),
    "bomb of scans": (FILES["10,000 scans.jpg"], "JPEG of 10,006 scans"),
    "bomb in an icon": (FILES["81 megapixels.ico"], "expected a picture"),
    "81 megapixels": (FILES["81 megapixels.png"], "81 megapixels"),
    "header of 2^62 pixels": (FILES["2⁶² pixels.png"], "megapixels"),
    "header without pixels": (FILES["49 megapixels missing.png"], "damaged"),
    "header of no width": (lambda: png(0, 10), "expected"),
    "PNG cut off": (lambda: encode(NOISE, "PNG")[:9000], "damaged"),
    "JPEG cut off": (lambda: encode(NOISE, "JPEG")[:5000], "damaged"),
    "JPEG of two bytes": (lambda: b"\xff\xd8", "expected a picture"),
    "animated GIF": (FILES["animated.gif"], "animation"),
    "animated WebP": (FILES["animated.webp"], "animation"),
    "animated PNG": (FILES["animated.png"], "animation"),
    "pages": (
        lambda: encode(BLACK, "TIFF", save_all=True, append_images=[GREY]),
        "several pages",
    ),
    "EPS runs programs": (
        lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "expected a picture",
    ),
}


@functools.cache
def make_once(make):
    return make()


@pytest.mark.parametrize(("make", "part"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_get_one_line(make, part):
    with pytest.raises(PictureError, match=part) as caught:
        load_pixels(make_once(make))
    assert "\n" not in str(caught.value)


def test_heic_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(PictureError, match="try pip install pillow-heif"):
        load_pixels(HEIC)


def test_damaged_heic_gets_one_line():
    pytest.importorskip("pillow_heif")
    with pytest.raises(PictureError, match=r"expected a picture in one of.*HEIF"):
        load_pixels(HEIC)


@pytest.mark.parametrize(
    "name",
    ["81 megapixels", "header without pixels"] + [name for name in HOSTILE if "bomb" in name],
)
def test_hostile_files_cost_neither_memory_nor_time(cost_of_reading, name, tmp_path):
    path = tmp_path / "hostile.png"
    path.write_bytes(make_once(HOSTILE[name][0]))
    seconds, megabytes = cost_of_reading(path)
    assert seconds < 1
    assert megabytes < 100


@pytest.mark.parametrize("start", [FILES["small.png"](), encode(photo((60, 40)), "WEBP")])
def test_endless_files_are_not_read_to_their_end(cost_of_reading, start, tmp_path):
    path = tmp_path / "endless"
    path.write_bytes(start)
    with path.open("r+b") as file:
        file.truncate(MAX_BYTES + 1)  # with a hole, which takes no place on the disk
    with pytest.raises(PictureError, match="got a file of 400 MB"):
        load_pixels(path)
    assert cost_of_reading(path)[1] < 20


TWENTY_MEGAPIXELS = {
    "JPEG": FILES["photo.jpg"],
    "PNG, RGBA": lambda: encode(photo().convert("RGBA"), "PNG", compress_level=0),
    "TIFF, CMYK": FILES["photo, CMYK.tif"],
    "WebP": lambda: encode(Image.new("RGB", PHOTO, "white"), "WEBP", method=0),
}


@pytest.mark.parametrize("make", TWENTY_MEGAPIXELS.values(), ids=TWENTY_MEGAPIXELS)
def test_twenty_megapixels_fit_into_250_megabytes(cost_of_reading, make, tmp_path):
    path = tmp_path / "photo"
    path.write_bytes(make())
    assert cost_of_reading(path)[1] < 250


@pytest.fixture(scope="module")
def cost_of_reading():
    """Return seconds, and megabytes at the most above what the process had before.

    Each file has a process of its own, forked from one that has imported everything.
    """
    code = """
import os, re, sys, time
import numpy as np
from mnist_classification import MnistError, Reader
from mnist_classification.reader import reader as _
import onnxruntime

def megabytes(line):
    return int(re.search(line + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024

for path in sys.stdin:
    if os.fork():
        os.wait()
        continue
    reader = Reader()
    reader.read(np.zeros((20, 20), np.uint8))
    open("/proc/self/clear_refs", "w").write("5")  # forget the peak, which is the parent's too
    before = megabytes("VmRSS")
    started = time.process_time()
    try:
        reader.read(path.removesuffix("\\n"))
    except MnistError:
        pass
    print(time.process_time() - started, megabytes("VmHWM") - before, flush=True)
    os._exit(0)
"""
    command = [sys.executable, "-c", code]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen(command, **pipes) as process:

        def cost(path):
            process.stdin.write(f"{path}\n")
            return tuple(map(float, process.stdout.readline().split()))

        yield cost
        process.stdin.close()
    assert process.returncode == 0


def test_garbage_exif_does_not_matter(drawing):
    whole = encode(Image.fromarray(drawing), "JPEG")
    marker = b"\xff\xe1" + struct.pack(">H", 40) + b"Exif\0\0" + b"II*\0" + b"\xff" * 28
    with_exif = whole[:2] + marker + whole[2:]
    np.testing.assert_array_equal(load_pixels(with_exif)[0], load_pixels(whole)[0])


def test_an_open_file_is_read_as_its_bytes_are(drawing, tmp_path):
    content = encode(Image.fromarray(drawing), "PNG")
    (tmp_path / "drawing.png").write_bytes(content)
    with (tmp_path / "drawing.png").open("rb") as file:
        for picture in (io.BytesIO(content), file, bytearray(content), memoryview(content)):
            np.testing.assert_array_equal(load_pixels(picture)[0], drawing)
    for nothing in (None, 7, [1, 2], io.StringIO("text")):
        with pytest.raises(PictureError, match="expected a path, bytes, an open binary file"):
            load_pixels(nothing)


@pytest.mark.parametrize(
    ("array", "part"),
    [
        (np.zeros((0, 5), np.uint8), r"shape \(0, 5\)"),
        (np.zeros(9, np.uint8), r"shape \(9,\)"),
        (np.zeros((4, 4, 7), np.uint8), r"shape \(4, 4, 7\)"),
        (np.array([["a", "b"]]), "expected numbers"),
        (np.broadcast_to(np.uint8(0), (9000, 9000)), "81 megapixels"),
    ],
)
def test_arrays_that_are_no_pictures(array, part):
    with pytest.raises(PictureError, match=part):
        load_pixels(array)


def test_numbers_of_any_size_are_pixels():
    infinite = Image.fromarray(np.array([[-np.inf, 0], [np.inf, np.nan]], np.float32))
    np.testing.assert_array_equal(load_pixels(infinite)[0][:, :, 0], [[0, 128], [255, 128]])
    huge = np.array([[-1e300, 0], [1e300, np.nan]])
    np.testing.assert_array_equal(load_pixels(huge)[0][:, :, 0], [[0, 0], [255, 0]])


def test_slow_formats_are_read_where_they_are_small(drawing):
    header = f"P6\n{drawing.shape[1]} {drawing.shape[0]}\n254\n".encode()
    pixels, _ = load_pixels(header + drawing.tobytes())
    assert abs(pixels.astype(int) - drawing).max() <= 1


def test_a_name_that_no_file_can_have():
    with pytest.raises(PictureError, match="File name too long"):
        load_pixels("x" * 300 + ".png")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(PictureError, match="no file of that name"):
        load_pixels(tmp_path / "nothing.png")
    with pytest.raises(PictureError, match="a folder"):
        load_pixels(tmp_path)


WHOLE = {
    name: encode(Image.effect_noise((24, 24), 80), name)
    for name in ("PNG", "JPEG", "GIF", "BMP", "TIFF")
}


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted(WHOLE)),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8),
    end=st.integers(0, 10**6),
)
def test_damaged_files_are_read_or_refused(name, changes, end):
    content = bytearray(WHOLE[name])
    for place, byte in changes:
        content[place % len(content)] = byte
    content = bytes(content[: end % len(content) + 1] if end % 3 == 0 else content)
    with contextlib.suppress(PictureError):
        pixels, _ = load_pixels(content)
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(content):
    with contextlib.suppress(PictureError):
        load_pixels(content)
