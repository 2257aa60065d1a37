"""The `mnist visualize` commands, on real data; their HTML page in a real browser."""

import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, assert_one_line_error, run_command
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from mnist_classification.cli import main
from mnist_classification.data import load_mnist
from mnist_classification.pictures.plots import COLOURS
from mnist_classification.recipes import find_recipe
from mnist_classification.run import RunDirectory
from mnist_classification.study.results import Result, save_result
from mnist_classification.trained import load_model
from mnist_classification.training import fit

TSNE_FILES = (
    "vanilla-mnist-tsne.png",
    "nontrained-model-mnist-tsne.png",
    "pretrained-model-mnist-tsne.png",
)


@pytest.fixture(scope="module")
def run(small, tmp_path_factory):
    """A finished run's directory: three epochs on 640 images."""
    directory = tmp_path_factory.mktemp("runs") / "short-seed3"
    with RunDirectory(directory, {}) as unfinished:
        trained = fit(find_recipe("decay+num-epochs=3"), small, seed=3, run=unfinished)
        unfinished.finish(trained, "")
    return directory


@pytest.fixture
def visualize(small_dir, capsys):
    """Run `mnist visualize ARGUMENTS` on the small data set, in this process."""

    def command(*arguments: object) -> subprocess.CompletedProcess:
        with pytest.raises(SystemExit) as stop:
            main(["visualize", *map(str, arguments), "--data-dir", str(small_dir)])
        return subprocess.CompletedProcess([], stop.value.code, *capsys.readouterr())

    return command


def assert_picture(path) -> None:
    """Check that a picture fits README's width and is not blank."""
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.width == 1200
        assert np.asarray(picture.convert("L")).std() > 5


@pytest.mark.parametrize("name", ["confusion", "mistakes", "filters"])
def test_pictures_of_a_model(visualize, run, tmp_path, name):
    result = visualize(name, run, "--output", tmp_path / "new" / "folder")
    path = tmp_path / "new" / "folder" / f"{name}.png"
    assert (result.returncode, result.stdout) == (0, f"{path}\n")
    assert_picture(path)


def test_shipped_model_needs_no_training(visualize, tmp_path):
    result = visualize("tsne", "--num-samples", 100, "--perplexity", 10, "--output", tmp_path)
    assert result.returncode == 0
    for name in TSNE_FILES:
        assert str(tmp_path / name) in result.stdout.splitlines()
        assert_picture(tmp_path / name)


def test_augmentations(visualize, tmp_path):
    assert visualize("augmentations", "--output", tmp_path).returncode == 0
    assert_picture(tmp_path / "augmentations.png")


@pytest.fixture(scope="module")
def results(small, small_dir, run, tmp_path_factory):
    """A folder of results as `mnist experiment ladder` writes it: two rows of two seeds."""
    folder = tmp_path_factory.mktemp("results") / "ladder"
    history = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for row, seed in [("vanilla", 0), ("vanilla", 1), ("sgd", 0), ("sgd", 1)]:
        digits = small.test.labels.copy()
        digits[: 3 + seed] = (digits[: 3 + seed] + 1) % 10
        result = Result(
            recipe=find_recipe(row),
            seed=seed,
            precision="float32",
            data=load_mnist(small_dir).fingerprint,
            holdout=0,
            test_accuracy=float((digits == small.test.labels).mean()),
            holdout_accuracy=None,
            predictions="".join(map(str, digits)),
            train_seconds=1,
            total_seconds=1,
            history=history,
            environment={},
            commit=None,
        )
        save_result(folder / f"{row}-seed{seed}.json", result)
    return folder


def test_ladder_and_curves_of_results(visualize, results, run, tmp_path):
    assert visualize("ladder", results, "--output", tmp_path).returncode == 0
    assert_picture(tmp_path / "ladder.png")
    assert visualize("curves", results, run, "--output", tmp_path).returncode == 0
    assert_picture(tmp_path / "curves.png")


# What a user can get wrong


def test_missing_model_is_one_line(visualize, tmp_path):
    result = visualize("confusion", tmp_path / "none", "--output", tmp_path)
    assert_one_line_error(result, "no model here", "mnist train")


def test_foreign_model_is_one_line(visualize, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    result = visualize("tsne", "--model", tmp_path, "--output", tmp_path)
    assert_one_line_error(result, "not a model of ours")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["tsne", "--num-samples", 50], ["50 samples", "perplexity 30", "at least 91"]),
        (["tsne", "--num-samples", 501], ["501 samples", "at most 500"]),
        (["tsne", "--perplexity", 1], ["perplexity 1", "2 or more"]),
        (["filters", "--image", 500], ["image 500", "0 to 499"]),
        (["filters", "--image", -1], ["image -1", "0 to 499"]),
        (["mistakes", "--count", 0], ["count 0", "1 or more"]),
    ],
)
def test_numbers_out_of_range_are_one_line(visualize, run, tmp_path, arguments, parts):
    result = visualize(*arguments, "--model", run, "--output", tmp_path)
    assert_one_line_error(result, *parts)
    assert list(tmp_path.iterdir()) == []


def test_recipe_without_augmentation_is_one_line(visualize, tmp_path):
    result = visualize("augmentations", "decay", "--output", tmp_path)
    assert_one_line_error(result, "does not augment", "decay+shift-pixels=2")


@pytest.mark.parametrize("command", ["curves", "ladder"])
def test_folder_without_results_is_one_line(visualize, tmp_path, command):
    assert_one_line_error(visualize(command, tmp_path, "--output", tmp_path), str(tmp_path))


def test_damaged_metrics_are_one_line(visualize, tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1, "train_lo')
    result = visualize("curves", tmp_path, "--output", tmp_path)
    assert_one_line_error(result, "metrics.jsonl", "damaged")


@pytest.mark.parametrize(
    "arguments",
    [["tsne", "--num-samples", 100], ["confusion"], ["mistakes"], ["filters"], ["augmentations"]],
)
def test_unwritable_folder_is_one_line(visualize, tmp_path, arguments):
    (tmp_path / "file").write_text("")
    result = visualize(*arguments, "--output", tmp_path / "file" / "plots")
    assert_one_line_error(result, "can't make folder", "--output")


def test_help_is_quick_and_shows_examples():
    code = (
        "import sys; from mnist_classification.cli import app\n"
        "for name in ['tsne', 'curves', 'confusion', 'mistakes', 'filters', 'augmentations',"
        " 'ladder']: app(['visualize', name, '--help'], result_action='return_value')\n"
        "slow = {'torch', 'matplotlib', 'sklearn', 'openTSNE', 'scipy'} & set(sys.modules)\n"
        "assert not slow, slow"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("Example: mnist visualize ") == 7


# The documented command, and its page


@pytest.fixture(scope="module")
def page_file(run, small_dir, tmp_path_factory):
    """What visualize_classes.py wrote: the page, beside the three pictures."""
    folder = tmp_path_factory.mktemp("documented")
    result = run_command(
        *("--model", run, "--num-samples", 300, "--perplexity", 20, "--data-dir", small_dir),
        *("--interactive", folder / "tsne.html"),
        script="visualize_classes.py",
        cwd=folder,
    )
    assert result.returncode == 0, result.stderr
    assert "300 test images, perplexity 20, t-SNE seed 0: silhouette" in result.stdout
    return folder / "tsne.html"


def test_documented_command_writes_the_three_pictures(page_file):
    plots = page_file.parent / "plots"
    assert {path.name for path in plots.iterdir()} == set(TSNE_FILES)
    for path in plots.iterdir():
        assert_picture(path)


@pytest.fixture(scope="module")
def browser():
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if not executable:
        pytest.fail("no Chromium on this machine; install it: apt-get install chromium")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-background-networking"]
        chromium = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield chromium
        chromium.close()


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


def image_shown(page: Page) -> np.ndarray:
    """Return the (28, 28) grey values that the page shows."""
    pixels = page.evaluate(
        "Array.from(document.getElementById('image').getContext('2d')"
        ".getImageData(0, 0, 28, 28).data)"
    )
    return np.reshape(pixels, (28, 28, 4))[:, :, 0]


def lonely_dot(page: Page) -> int:
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
    probabilities = load_model(run).predict(small.test.images[:300])[index]
    text = page.inner_text("#text")
    assert f"Test image {index}\n" in text
    assert f"Label {small.test.labels[index]}\n" in text
    assert f"Read as {probabilities.argmax()}, {probabilities.max():.1%}" in text
    np.testing.assert_array_equal(image_shown(page), 255 - small.test.images[index])


def test_mistakes_are_named(page, run, small):
    digits = load_model(run).predict(small.test.images[:300]).argmax(axis=1)
    right = digits == small.test.labels[:300]
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
    assert page.inner_text("#text").startswith("Test image 299\n")


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
    counts = np.bincount(small.test.labels[:300], minlength=10)
    assert [text.strip() for text in legend] == [f"{d} ({n})" for d, n in enumerate(counts)]
    with Image.open(io.BytesIO(page.locator("#plot").screenshot())) as picture:
        drawn = {colour for _, colour in picture.convert("RGB").getcolors(maxcolors=1 << 24)}
    assert {tuple(bytes.fromhex(colour[1:])) for colour in COLOURS} <= drawn
