#!/usr/bin/env python3
"""How well the page reads numbers that are drawn on it, in a real browser.

    python3 benchmarks/draw_numbers.py

A pen follows the centre lines of MNIST's test digits, which no model was trained on, with a shaking
hand and at varying speed: each point is a pointer event that the browser sends, 200 a second,
as a quick hand writes. First 100 numbers of one to six digits, then each digit twenty times. Images
with ink far from the centre line, such as a loop that is filled in, are not drawn: the line would
show another digit than was written.
With --exact, the page's JavaScript is held against ONNX Runtime too, on 1,000 test images and 200
lines, with the same weights of 16 bits. Needs Chromium (Debian: apt-get install chromium).
"""

import asyncio
import itertools
import shutil
import statistics
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import common
import numpy as np
import onnx
from arguments import make_parser, positive, save
from onnx import numpy_helper
from PIL import Image
from playwright.async_api import Browser, Page, async_playwright
from scipy import ndimage

from mnist_classification.data import Examples, load_mnist
from mnist_classification.reader.decoding import decode
from mnist_classification.reader.recognizer import (
    Recognizer,
    find_model,
    load_recognizer,
    open_session,
)
from mnist_classification.reader.strips import Region, cut_strip
from mnist_classification.reader_training.glyphs import thin
from mnist_classification.server.page import page_html
from mnist_classification.shipped import SHIPPED_READER

Rng = np.random.Generator
Stroke = np.ndarray  # (N, 2) float: x, y
Place = tuple[int, int]  # x, y of a pixel

FINE = 56  # pixels that a digit's 28 are enlarged to before its strokes are thinned
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
ARGUMENTS = ["--no-sandbox", "--disable-background-networking"]
NUM_NUMBERS, NUM_EACH = 100, 20
FARTHEST = 2.2  # of half the pen's width: ink that is farther away is not along the centre line
CANDIDATES = 2000  # test images that numbers are written with
PACE = 0.005  # seconds between two events
CHUNK = 50  # strips that the page is handed at a time


# A digit's centre line as strokes


def strokes_of(image: np.ndarray) -> list[Stroke]:
    """Return the centre line of a (28, 28) uint8 digit as strokes, in pixels of its own."""
    large = np.asarray(Image.fromarray(image).resize((FINE, FINE), Image.Resampling.BICUBIC))
    left = {(int(x), int(y)) for y, x in np.argwhere(thin(large[None] >= 112)[0])}
    walks: list[list[Place]] = []
    while left:
        walk = _walk(_start(left, walks), left)
        if len(walk) > 3 or not walks:  # else what thinning left at an edge
            walks.append(walk)
    return [(np.array(walk, float) + 0.5) * 28 / FINE for walk in walks]


def is_shown(image: np.ndarray) -> bool:
    """Return whether all of a digit's ink lies along its centre line."""
    path = np.ones((4 * 28, 4 * 28), bool)
    for stroke in strokes_of(image):
        fine = [np.linspace(a, b, 5) for a, b in itertools.pairwise(stroke)]
        x, y = np.clip(4 * np.concatenate([stroke[:1], *fine]), 0, 111).astype(int).T
        path[y, x] = False
    large = Image.fromarray(image).resize(path.shape, Image.Resampling.BICUBIC)
    half_width = np.median(ndimage.distance_transform_edt(np.asarray(large) >= 128)[~path])
    away = ndimage.distance_transform_edt(path)[2::4, 2::4][image >= 128]
    return bool(away.max(initial=0) <= FARTHEST * max(half_width, 2))


def _around(place: Place) -> list[Place]:
    x, y = place
    return [(x + i, y + j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]


def _start(left: set[Place], walks: list[list[Place]]) -> list[Place]:
    """Return where the next stroke begins: where another one passed, or at an end, from the top."""
    done = {place for walk in walks for place in walk}
    joints = [[n, p] for p in left for n in _around(p) if n in done]
    ends = [[p] for p in left if sum(n in left for n in _around(p)) == 1]
    return min(joints or ends or [[p] for p in left], key=lambda start: start[0][::-1])


def _walk(walk: list[Place], left: set[Place]) -> list[Place]:
    """Go along the line as straight as it can be, and take what was passed out of `left`."""
    left.discard(walk[-1])
    while near := [p for p in _around(walk[-1]) if p in left]:
        way = np.subtract(walk[-1], walk[max(len(walk) - 5, 0)])
        ahead = [float(np.dot(np.subtract(p, walk[-1]), way)) for p in near]
        step = [-abs(p[0] - walk[-1][0]) - abs(p[1] - walk[-1][1]) for p in near]
        best = max(range(len(near)), key=lambda i: (ahead[i], step[i]))
        walk.append(near[best])
        left.discard(near[best])
    behind = [p for p in _around(walk[-1]) if p in walk[:-4]]
    return walk + behind[:1]  # a closed line


# A number, and the hand that writes it


def write_number(
    examples: Examples, indices: list[int], size: tuple[float, float], rng: Rng
) -> list[Stroke]:
    """Return a number's strokes on a paper of that width and height."""
    width, height = size
    digits = [strokes_of(examples.images[index]) for index in indices]
    gap, slope = rng.uniform(0.12, 0.45), rng.normal(0, 0.02)
    placed: list[list[Stroke]] = []
    right = 0.0
    for digit in digits:
        points = np.concatenate(digit)
        low, high = points.min(axis=0), points.max(axis=0)
        scale = rng.normal(1, 0.06) / max(high[1] - low[1], 0.5 * (high[0] - low[0]), 4)
        start = right + gap * rng.uniform(0.7, 1.3) if placed else 0.0
        shift = (start, rng.normal(0, 0.04) + slope * start - scale * (low[1] + high[1]) / 2)
        placed.append([(stroke - (low[0], 0)) * scale + shift for stroke in digit])
        right = start + scale * (high[0] - low[0])
    unit = min(rng.uniform(0.4, 0.68) * height, 0.9 * width / max(right, 0.2))
    left = rng.uniform(0.05, 0.95) * (width - right * unit - 0.1 * width) + 0.05 * width
    middle = rng.uniform(0.45, 0.55) * height
    return [
        np.clip(shake(stroke * unit + (left, middle), unit, rng), 2, np.subtract(size, 2))
        for digit in placed
        for stroke in digit
    ]


def shake(stroke: Stroke, unit: float, rng: Rng) -> Stroke:
    """Follow a stroke at varying speed and with a shaking hand; `unit` is a digit's height."""
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(stroke, axis=0).T))])
    count = max(2, round(along[-1] / (0.06 * unit)))
    time = np.linspace(0, 1, count)
    wave = rng.uniform(0.05, 0.12) * np.sin(2 * np.pi * (time * rng.uniform(1, 3) + rng.random()))
    place = np.maximum.accumulate(np.clip(time + wave - wave[0] * (1 - time), 0, 1))
    place[-1] = 1.0
    path = np.stack([np.interp(place * along[-1], along, axis) for axis in stroke.T], axis=1)
    path[1:-1] = (path[:-2] + 2 * path[1:-1] + path[2:]) / 4  # thinning leaves stairs
    noise = rng.normal(0, 0.012 * unit, path.shape)
    noise[1:] = 0.6 * noise[1:] + 0.4 * noise[:-1]
    return path + noise


# The browser


def find_browser() -> str | None:
    """Return where Chromium is."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@asynccontextmanager
async def open_browser(path: str) -> AsyncIterator[Browser]:
    """Start Chromium."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        await browser.close()


async def place_of_paper(page: Page) -> tuple[np.ndarray, tuple[float, float]]:
    """Return where the paper's corner is in the window, and the paper's size."""
    box = await page.locator("#pad").bounding_box()
    assert box
    return np.array([box["x"], box["y"]]), (box["width"], box["height"])


async def draw_by_mouse(page: Page, strokes: list[Stroke], pace: float = 0) -> None:
    """Press, move and lift the mouse along each stroke; places are on the paper.

    Events are sent without waiting for the page, as a hand does not wait either; so the browser
    merges what comes between two frames.

    Args:
        pace: seconds between two events; the pen is up for twenty times as long.
    """
    session = await page.context.new_cdp_session(page)
    corner, _ = await place_of_paper(page)

    def send(kind: str, point: list[float], buttons: int) -> Awaitable[Any]:
        x, y = point
        event = {"type": kind, "x": x, "y": y, "button": "left", "buttons": buttons}
        return session.send("Input.dispatchMouseEvent", event | {"clickCount": 1})

    for stroke in strokes:
        points = (stroke + corner).tolist()
        events = [("mousePressed", points[0], 1)]
        events += [("mouseMoved", point, 1) for point in points[1:]]
        events += [("mouseReleased", points[-1], 0)]
        await _at_a_pace([partial(send, *event) for event in events], pace)
    await session.detach()


async def draw_by_touch(page: Page, strokes: list[Stroke], pace: float = 0) -> None:
    """Put a finger down, move it and lift it along each stroke; as `draw_by_mouse`."""
    session = await page.context.new_cdp_session(page)
    corner, _ = await place_of_paper(page)

    def send(kind: str, *points: list[float]) -> Awaitable[Any]:
        touches = [{"x": x, "y": y} for x, y in points]
        return session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    for stroke in strokes:
        first, *rest = (stroke + corner).tolist()
        events = [partial(send, "touchStart", first)]
        events += [partial(send, "touchMove", point) for point in rest]
        await _at_a_pace([*events, partial(send, "touchEnd")], pace)
    await session.detach()


async def _at_a_pace(events: list[Callable[[], Awaitable[Any]]], pace: float) -> None:
    """Send the events of one stroke."""
    sent = []
    for event in events:
        sent.append(asyncio.ensure_future(event()))
        await asyncio.sleep(pace)
    await asyncio.gather(*sent, asyncio.sleep(20 * pace))


# Playwright's own waiting looks after 20, 100, 100 and then every 500 ms.
READ = """() => new Promise((done) => {
  const look = () => document.body.dataset.state === "read" ? done() : requestAnimationFrame(look);
  look(); })"""


async def wait_for_answer(page: Page) -> tuple[str, bool]:
    """Return what the page reads, and whether it is sure, when it is through with all strokes."""
    await asyncio.wait_for(page.evaluate(READ), 60)
    found = await page.locator("#answer:not(.empty)").all_inner_texts()
    return "".join(found), await page.inner_text("#verdict") == "sure"


async def draw_and_read(
    page: Page, examples: Examples, indices: list[int], rng: Rng, pace: float = 0
) -> tuple[str, bool]:
    """Clear the paper, draw a number of these digits on it, and return what the page reads."""
    if await page.locator("#clear").is_enabled():
        await page.click("#clear")
    _, size = await place_of_paper(page)
    strokes = write_number(examples, indices, size, rng)
    touch = await page.evaluate("navigator.maxTouchPoints > 0")
    await (draw_by_touch if touch else draw_by_mouse)(page, strokes, pace)
    return await wait_for_answer(page)


# JavaScript against ONNX Runtime


ASK = """([strips, lengths]) => {
  globalThis.reader ??= JSON.parse(document.getElementById("network").textContent);
  globalThis.layers ??= unpackNetwork(reader.network);
  return strips.map((strip, i) =>
    Array.from(forward(layers, Float64Array.from(strip), lengths[i]).values));
}"""


async def page_scores(page: Page, strips: list[np.ndarray]) -> list[np.ndarray]:
    """Return what the page's own code makes of strips: (steps, 11) scores each."""
    lengths = [strip.shape[1] for strip in strips]
    made = await page.evaluate(ASK, [[strip.ravel().tolist() for strip in strips], lengths])
    return [np.array(scores).reshape(-1, 11) for scores in made]


async def open_code(browser: Browser, html: str) -> Page:
    """Return a page on which the worker's functions can be called, with the network inside."""
    page = await browser.new_page()
    network, worker = (html.split(f'id="{name}">')[1].split("</script>")[0] for name in PARTS)
    await page.set_content(f'<script type="application/json" id="network">{network}</script>')
    await page.add_script_tag(content=worker)
    return page


PARTS = ("network", "worker")


def round_weights(model: Path) -> bytes:
    """Return an ONNX model with its weights rounded to 16 bits, as the page has them."""
    loaded = onnx.load(model / "model.onnx")
    for tensor in loaded.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            halves = values.astype(np.float16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(halves, tensor.name))
    return loaded.SerializeToString()


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Return log-probabilities, per row."""
    above = scores - scores.max(axis=1, keepdims=True)
    return above - np.log(np.exp(above).sum(axis=1, keepdims=True))


def digit_strip(image: np.ndarray) -> np.ndarray:
    """Return a strip with one of MNIST's digits on it: (32, L) float32."""
    return cut_strip(image.astype(np.float32), Region(0, 0, 28, 28)).image


def line_strip(examples: Examples, indices: list[int], rng: Rng) -> np.ndarray:
    """Return a strip with a line of MNIST's digits side by side, a little up and down."""
    digits = [np.roll(examples.images[i][:, 2:-2], int(rng.integers(-2, 3)), 0) for i in indices]
    line = np.concatenate(digits, axis=1).astype(np.float32)
    return cut_strip(line, Region(0, 0, line.shape[1], 28)).image


async def compare_with_onnx(
    browser: Browser, model: Path, strips: list[np.ndarray]
) -> tuple[float, float]:
    """Return the largest difference in a log-probability, and the share of equal texts.

    The first is to ONNX Runtime with the weights rounded; the second to the model as it is shipped.
    """
    rounded, shipped = (
        Recognizer(open_session(round_weights(model))),
        load_recognizer(find_model(model)),
    )
    page = await open_code(browser, page_html(model))
    away, same = 0.0, 0
    for start in range(0, len(strips), CHUNK):
        chunk = strips[start : start + CHUNK]
        for strip, scores in zip(chunk, await page_scores(page, chunk), strict=True):
            (theirs,) = rounded.session.run(None, {"strips": strip[None, None]})
            away = max(away, float(np.abs(log_softmax(scores) - theirs[0]).max()))
            same += decode([np.exp(log_softmax(scores))]).text == decode([shipped.read(strip)]).text
    await page.close()
    return away, same / len(strips)


# The measurement


async def measure(model: Path, seed: int, count: int, each: int, exact: bool) -> dict[str, Any]:
    """Draw numbers and single digits; count what is read right."""
    executable = find_browser()
    if not executable:
        sys.exit("error: no Chromium on this machine; try: apt-get install chromium")
    examples = load_mnist().test
    rng = np.random.default_rng(seed)
    candidates = rng.choice(len(examples), CANDIDATES, replace=False)
    shown = np.array([is_shown(examples.images[index]) for index in candidates])
    able = candidates[shown]
    fewest = int(np.bincount(examples.labels[able], minlength=10).min())
    if each > fewest:
        sys.exit(
            f"error: got {each} of each digit; expected at most {fewest}, as many as are drawn"
        )
    result: dict[str, Any] = {"seed": seed, "environment": common.environment()}
    result["not_drawn"] = float(1 - shown.mean())
    with TemporaryDirectory() as folder:
        file = Path(folder) / "digits.html"
        file.write_text(page_html(model), encoding="utf-8")
        async with open_browser(executable) as browser:
            result["chromium"] = browser.version
            page = await (await browser.new_context(**DESKTOP)).new_page()
            await page.goto(file.as_uri())
            numbers = [rng.choice(able, 1 + i % 6, replace=False).tolist() for i in range(count)]
            result["numbers"] = await _draw_all(page, examples, numbers, rng)
            await page.context.close()
            page = await (await browser.new_context(**PHONE)).new_page()
            await page.goto(file.as_uri())
            digits = [
                [int(i)]
                for label in range(10)
                for i in rng.choice(able[examples.labels[able] == label], each, replace=False)
            ]
            result["digits"] = await _draw_all(page, examples, digits, rng)
            if exact:
                strips = [digit_strip(image) for image in examples.images[:1000]]
                lines = [rng.integers(len(examples), size=rng.integers(2, 9)) for _ in range(200)]
                strips += [line_strip(examples, line.tolist(), rng) for line in lines]
                away, same = await compare_with_onnx(browser, model, strips)
                result["exact"] = {"strips": len(strips), "largest_difference": away, "same": same}
    return result


async def _draw_all(
    page: Page, examples: Examples, numbers: list[list[int]], rng: Rng
) -> dict[str, Any]:
    """Draw one number after the other: how many are read right, and how long an answer takes."""
    wrong, sure, sure_right, waits = [], 0, 0, []
    for number, indices in enumerate(numbers):
        expected = "".join(str(examples.labels[i]) for i in indices)
        text, is_sure = await draw_and_read(page, examples, indices, rng, PACE)
        waits.append(await page.evaluate("milliseconds.splice(0)"))
        sure, sure_right = sure + is_sure, sure_right + (is_sure and text == expected)
        if text != expected:
            wrong.append({"indices": indices, "written": expected, "read": text, "sure": is_sure})
        if (number + 1) % 20 == 0:
            print(f"{number + 1}: {number + 1 - len(wrong)} right", file=sys.stderr)
    flat = [wait for waited in waits for wait in waited]
    return {
        "n": len(numbers),
        "right": len(numbers) - len(wrong),
        "sure": sure,
        "right_if_sure": sure_right,
        "answers": len(flat),
        "milliseconds_median": statistics.median(flat),
        "milliseconds_95th": float(np.quantile(flat, 0.95)),
        "wrong": wrong,
    }


def table(result: dict[str, Any]) -> str:
    """Return the measurements as Markdown."""
    head = "| drawn | n | read right | sure | right if sure | answer within, median | 95% |"
    lines = [head, "|---" * 7 + "|"]
    kinds = {"numbers": "numbers of 1 to 6 digits, mouse", "digits": "single digits, finger"}
    for key, name in kinds.items():
        row = result[key]
        lines.append(
            f"| {name} | {row['n']} | {row['right']} | {row['sure']} | {row['right_if_sure']} "
            f"| {row['milliseconds_median']:.0f} ms | {row['milliseconds_95th']:.0f} ms |"
        )
    share = f"{result['not_drawn']:.0%}"
    lines += [
        "",
        f"Not drawn: the {share} of the test images with ink far from the centre line.",
    ]
    if exact := result.get("exact"):
        lines += [
            "",
            f"On {exact['strips']:,} strips the page's log-probabilities are at most "
            f"{exact['largest_difference']:.2g} from ONNX Runtime's with the same weights; "
            f"{exact['same']:.2%} of the texts are those of the shipped model.",
        ]
    return "\n".join(lines)


def main() -> None:
    """Measure, write the result, print the table."""
    parser = make_parser(__doc__, "draw_numbers")
    parser.add_argument("--model", type=Path, default=SHIPPED_READER)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=positive, default=NUM_NUMBERS, help="numbers")
    parser.add_argument("--each", type=positive, default=NUM_EACH, help="drawings of each digit")
    parser.add_argument("--exact", action="store_true", help="also against ONNX Runtime")
    options = parser.parse_args()
    result = asyncio.run(
        measure(options.model, options.seed, options.count, options.each, options.exact)
    )
    save(options.output, result)
    print(table(result))


if __name__ == "__main__":
    main()
