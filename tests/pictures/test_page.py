"""The documented command, and the page that it writes, in a real browser."""

import io
import re

import numpy as np
import pytest
from conftest import miss_browser, run_command
from PIL import Image

from mnist_classification.pictures.plots import COLOURS
from mnist_classification.trained import load_model

from .conftest import TSNE_FILES, assert_picture

SAMPLES = 200


@pytest.fixture(scope="module")
def page_file(run, small_dir, tmp_path_factory):
    """What visualize_classes.py wrote: the page, beside the three pictures."""
    folder = tmp_path_factory.mktemp("documented")
    result = run_command(
        *("--model", run, "--num-samples", SAMPLES, "--perplexity", 20, "--data-dir", small_dir),
        *("--interactive", folder / "tsne.html"),
        script="visualize_classes.py",
        cwd=folder,
    )
    assert result.returncode == 0, result.stderr
    assert f"{SAMPLES} test images, perplexity 20, t-SNE seed 0: silhouette" in result.stdout
    return folder / "tsne.html"


def test_documented_command_writes_the_three_pictures(page_file):
    plots = page_file.parent / "plots"
    assert {path.name for path in plots.iterdir()} == set(TSNE_FILES)
    for path in plots.iterdir():
        assert_picture(path)


DESKTOP = {"viewport": {"width": 1280, "height": 900}}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(browser, page_file, request):
    """The page as it opens; the test fails on any message, error or use of the network."""
    context = browser.new_context(**request.param, offline=True)
    page = context.new_page()
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(page_file.as_uri())
    page.wait_for_function("document.getElementById('text').innerText !== ''")
    yield page
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == [page_file.as_uri()]
    context.close()


def image_shown(page) -> np.ndarray:
    """Return the (28, 28) grey values that the page shows."""
    pixels = page.evaluate(
        "Array.from(document.getElementById('image').getContext('2d')"
        ".getImageData(0, 0, 28, 28).data)"
    )
    return np.reshape(pixels, (28, 28, 4))[:, :, 0]


def lonely_dot(page) -> int:
    """Return the image whose dot is farthest from any other, so that pointing is not a matter of
    pixels."""
    points = np.array(page.evaluate("data.views.at(-1).points"))
    distances = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    np.fill_diagonal(distances, np.inf)
    return int(distances.min(axis=1).argmax())


def test_pointing_shows_image_label_and_prediction(page, run, small):
    index = lonely_dot(page)
    x, y = page.evaluate(f"place({index})")
    box = page.locator("#plot").bounding_box()
    touch = page.evaluate("navigator.maxTouchPoints") > 0
    point = page.touchscreen.tap if touch else page.mouse.move
    point(box["x"] + x + 1, box["y"] + y + 1)  # 1: the plot's border
    probabilities = load_model(run).predict(small.test.images[:SAMPLES])[index]
    text = page.inner_text("#text")
    assert f"Test image {index}\n" in text
    assert f"Label {small.test.labels[index]}\n" in text
    # The page was made by another process, whose last bit may fall on the other side of a rounding.
    digit, percent = re.search(r"Read as (\d), ([\d.]+)%", text).groups()
    assert int(digit) == probabilities.argmax()
    assert float(percent) == pytest.approx(100 * probabilities.max(), abs=0.06)
    np.testing.assert_array_equal(image_shown(page), 255 - small.test.images[index])


def test_mistakes_are_named(page, run, small):
    digits = load_model(run).predict(small.test.images[:SAMPLES]).argmax(axis=1)
    right = digits == small.test.labels[:SAMPLES]
    assert not right.all()
    for index in (right.argmax(), right.argmin()):
        page.evaluate(f"select({index})")
        assert ("Read wrongly" in page.inner_text("#text")) == (not right[index])


def test_arrow_keys_go_through_the_images(page, small):
    page.focus("#plot")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#text").startswith("Test image 1\n")
    np.testing.assert_array_equal(image_shown(page), 255 - small.test.images[1])
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#text").startswith(f"Test image {SAMPLES - 1}\n")


def test_each_view_has_its_caption_and_dots(page):
    captions, plots = set(), set()
    for view in ("Raw pixels", "Untrained network", "Trained network"):
        page.get_by_label(view, exact=True).check()
        captions.add(page.inner_text("#caption"))
        plots.add(page.evaluate("plot.toDataURL()"))
    assert len(captions) == len(plots) == 3
    assert all("silhouette" in caption for caption in captions)


def test_page_is_legible(page, small):
    """Nothing is wider than the window, no text is small, dots are drawn in every colour."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    sizes = page.evaluate(
        "[...document.querySelectorAll('body *:not(script, input)')]"
        ".map((element) => parseFloat(getComputedStyle(element).fontSize))"
    )
    assert min(sizes) >= 14
    for name in ("#plot", "#image", "#text", "#caption", "#legend"):
        box = page.locator(name).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= page.viewport_size["width"]
    details = page.locator("#details").bounding_box()  # in sight without scrolling
    assert details["y"] + details["height"] <= page.viewport_size["height"]
    legend = page.locator("#legend li").all_inner_texts()
    counts = np.bincount(small.test.labels[:SAMPLES], minlength=10)
    assert [text.strip() for text in legend] == [f"{d} ({n})" for d, n in enumerate(counts)]
    with Image.open(io.BytesIO(page.locator("#plot").screenshot())) as picture:
        drawn = {colour for _, colour in picture.convert("RGB").getcolors(maxcolors=1 << 24)}
    assert {tuple(bytes.fromhex(colour[1:])) for colour in COLOURS} <= drawn


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail), ("", pytest.skip)])
def test_without_a_browser_tests_are_skipped_but_never_where_all_have_to_run(
    monkeypatch, ci, outcome
):
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome.Exception, match="apt-get install chromium"):
        miss_browser()
