"""Pictures in, numbers out: a digit in any file, lines of digits, and nothing from nothing."""

import io
import sys

import numpy as np
import pytest
from conftest import ROOT, run_python
from PIL import Image

from mnist_classification import Digit, Reader, Reading
from mnist_classification.errors import ModelError, PictureError
from mnist_classification.reader.classifier import load_classifier, softmax

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
    "PNG, 16 bits": lambda i: encoded(
        Image.fromarray(np.asarray(i).astype(np.uint16) * 257), "PNG"
    ),
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
        Image.new("L", (1, 1), 90),
        Image.effect_noise((100, 100), 90),
        np.random.default_rng(1).random((80, 80)),
        np.where(np.hypot(*np.mgrid[-30:30, -30:30]) < 5, 0, 255).astype(np.uint8),
    ],
    ids=["white", "black", "grey", "clear", "clear white", "1×1", "noise", "random", "dot"],
)
def test_nothing_is_never_a_digit(reader, picture):
    reading = reader.read(picture)
    assert (reading.text, reading.digits, reading.sure) == ("", (), False)


def test_a_digit_says_all_about_itself(reader, three):
    (digit,) = reader.read(three).digits
    assert isinstance(digit, Digit)
    assert digit.label == 3
    assert digit.probabilities.shape == (10,)
    assert digit.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert digit.probability == digit.probabilities[3]
    assert digit.sure == (digit.probability >= reader.threshold)
    left, top, right, bottom = digit.box
    ink = np.argwhere(np.asarray(three) < 128)
    assert abs(np.array([top, left]) - ink.min(axis=0)).max() <= 2
    assert abs(np.array([bottom, right]) - ink.max(axis=0) - 1).max() <= 2
    assert digit.image28.shape == (28, 28)


def test_boxes_are_in_pixels_of_the_picture(reader, three):
    large = three.resize((3000, 3600), Image.Resampling.BICUBIC)
    (small,), (digit,) = reader.read(three).digits, reader.read(large).digits
    assert np.abs(np.array(small.box) * 30 - digit.box).max() < 75


def test_numbers_and_lines_are_read_in_order(reader, mnist):
    rng = np.random.default_rng(5)
    pages = [make_page(mnist.test, Style(lines=lines), rng) for lines in (1, 1, 1, 2, 2) * 4]
    readings = reader.read_many(page for page, _ in pages)
    exact = [reading.text == text for reading, (_, text) in zip(readings, pages, strict=True)]
    assert np.mean(exact) >= 0.85


def test_mnists_own_images_are_read(reader, mnist):
    readings = reader.read_many(mnist.test.images[:200])
    right = [r.text == str(label) for r, label in zip(readings, mnist.test.labels, strict=False)]
    assert np.mean(right) >= 0.96


def test_many_are_read_as_one_is_and_the_broken_is_named(reader, mnist):
    pictures = [*mnist.test.images[:70], b"broken", mnist.test.images[70]]
    readings = list(reader.read_many(pictures))
    assert len(readings) == 72
    assert readings[70] == Reading("", (), readings[70].error)
    assert "expected a picture" in readings[70].error
    for picture, reading in zip(pictures[60:70], readings[60:70], strict=True):
        alone = reader.read(picture)
        assert alone.text == reading.text
        for ours, theirs in zip(alone.digits, reading.digits, strict=True):
            np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-5)
    with pytest.raises(PictureError):
        reader.read(b"broken")


def test_the_threshold_decides_what_is_sure(three):
    assert Reader(threshold=0.0).read(three).sure
    assert not Reader(threshold=1.1).read(three).sure


def test_a_classifier_of_your_own_reads_too(three):
    class Always7:
        def predict(self, images):
            return np.eye(10, dtype=np.float32)[[7] * len(images)]

    assert Reader(classifier=Always7()).read(three).text == "7"


def test_softmax_agrees_with_its_definition():
    logits = np.array([[1.0, 2.0, 3.0], [1000.0, 0.0, 0.0]])
    expected = np.exp([1, 2, 3]) / np.exp([1, 2, 3]).sum()
    np.testing.assert_allclose(softmax(logits), [expected, [1, 0, 0]])


def test_wrong_models_are_refused_in_words(tmp_path):
    with pytest.raises(ModelError, match=r"can't be read.*mnist export"):
        load_classifier(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"not ONNX")
    with pytest.raises(ModelError, match="not a model in ONNX form"):
        load_classifier(tmp_path)
    shipped = ROOT / "mnist_classification" / "models" / "reader" / "model.onnx"
    (tmp_path / "model.onnx").write_bytes(shipped.read_bytes())
    for config in ("{", '{"temperature": 0}', '{"threshold": "high"}', "[]"):
        (tmp_path / "config.json").write_text(config)
        with pytest.raises(ModelError, match=r"config\.json"):
            load_classifier(tmp_path)


def test_the_shipped_model_is_small():
    file = ROOT / "mnist_classification" / "models" / "reader" / "model.onnx"
    assert file.stat().st_size < 2_000_000


def test_reading_needs_no_torch():
    result = run_python(
        "import sys, numpy\n"
        "from mnist_classification import Reader\n"
        "Reader().read(numpy.zeros((9, 9)))\n"
        "print('torch' in sys.modules, 'onnxruntime' in sys.modules)\n"
    )
    assert result.stdout == "False True\n", result.stderr
