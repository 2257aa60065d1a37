"""The page in a real browser: drawn on with mouse and finger, by keyboard, from a file, served."""

import asyncio
import functools
import io
import itertools
import json
import re
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import httpx
import numpy as np
import onnx
import pytest
from conftest import ROOT, assert_one_line_error, miss_browser, run_command
from onnx import helper
from PIL import Image

from mnist_classification.errors import ModelError
from mnist_classification.reader.decoding import MOST, decode, put_in
from mnist_classification.server.page import page_html, read_layers
from mnist_classification.shipped import SHIPPED_READER

sys.path.insert(0, str(ROOT / "benchmarks"))
import draw_numbers
from axe_playwright_python.async_playwright import Axe
from draw_numbers import (
    DESKTOP,
    PHONE,
    compare_with_onnx,
    digit_strip,
    draw_and_read,
    draw_by_mouse,
    draw_by_touch,
    is_shown,
    line_strip,
    open_browser,
    open_code,
    place_of_paper,
    wait_for_answer,
    write_number,
)
from serving import KNOWN_NUMBER, KNOWN_TEXT, Served

LOOP = asyncio.new_event_loop()  # in a thread of its own: other tests use Playwright's other way


@pytest.fixture(scope="module", autouse=True)
def loop_thread():
    thread = threading.Thread(target=LOOP.run_forever)
    thread.start()
    yield
    LOOP.call_soon_threadsafe(LOOP.stop)
    thread.join()


def wait_for(coroutine):
    return asyncio.run_coroutine_threadsafe(coroutine, LOOP).result()


def in_browser(test):
    """Run an async test in the browser's loop."""

    @functools.wraps(test)
    def run(*arguments, **named):
        wait_for(test(*arguments, **named))

    return run


@pytest.fixture(scope="module")
def chromium():
    path = draw_numbers.find_browser()
    if not path:
        miss_browser()
    opened = open_browser(path)
    yield wait_for(opened.__aenter__())
    wait_for(opened.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """The page as `mnist page` writes it."""
    path = tmp_path_factory.mktemp("page") / "new" / "digits.html"
    result = run_command("page", "--output", path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{path}\n"
    return path


async def open_page(chromium, address, complaints, requests=None, **options):
    context = await chromium.new_context(**options)
    page = await context.new_page()
    if requests is not None:
        page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(address)
    return page


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(chromium, page_file, request):
    """The page opened from a file; the test fails on any message, error or use of the network."""
    complaints: list[str] = []
    address = page_file.as_uri()
    requests: list[str] = []
    page = wait_for(
        open_page(chromium, address, complaints, requests, offline=True, **request.param)
    )
    yield page
    assert complaints == []
    assert [url for url in requests if not url.startswith(("blob:", "data:"))] == [address]
    wait_for(page.context.close())


@pytest.fixture
def shown(small):
    """Indices of test images whose centre line shows the digit."""
    return [i for i in range(60) if is_shown(small.test.images[i])]


async def draw_line(page, *points):
    """Draw one straight stroke, places in shares of the paper, by mouse or finger."""
    _, size = await place_of_paper(page)
    ends = np.array(points) * size
    stroke = np.concatenate([np.linspace(a, b, 8) for a, b in itertools.pairwise(ends)])
    touch = await page.evaluate("navigator.maxTouchPoints > 0")
    await (draw_by_touch if touch else draw_by_mouse)(page, [stroke])


async def open_layers(page):
    """Show what the network makes of the strip."""
    await page.click("summary")
    await page.evaluate("""() => new Promise((done) => {
      const found = () => document.querySelector("#layers figure");
      const look = () => found() ? done() : requestAnimationFrame(look);
      look(); })""")


ONE = ((0.3, 0.2), (0.3, 0.8))
SEVEN = ((0.55, 0.2), (0.75, 0.2), (0.62, 0.8))


@in_browser
async def test_numbers_drawn_on_the_page_are_read(page, small, shown):
    rng = np.random.default_rng(3)
    right = 0
    for count in (1, 2, 3, 4):
        indices = rng.choice(shown, count, replace=False).tolist()
        text, _ = await draw_and_read(page, small.test, indices, rng)
        right += text == "".join(str(small.test.labels[i]) for i in indices)
    assert right >= 3


@in_browser
async def test_points_are_kept_even_where_the_browser_merges_events(page, small, shown):
    _, size = await place_of_paper(page)
    strokes = write_number(small.test, shown[:1], size, np.random.default_rng(0))
    touch = await page.evaluate("navigator.maxTouchPoints > 0")
    await (draw_by_touch if touch else draw_by_mouse)(page, strokes)
    kept = await page.evaluate("strokes")
    assert len(kept) == len(strokes)
    assert sum(map(len, kept)) >= 0.8 * sum(map(len, strokes))
    for drawn, points in zip(strokes, kept, strict=True):
        away = np.hypot(*(np.array(points)[:, None] - drawn[None]).transpose(2, 0, 1))
        assert away.min(axis=1).max() < 1.5  # pixels


@in_browser
async def test_a_shape_that_stands_by_itself_is_not_passed_over(chromium, page_file):
    code = await open_code(chromium, page_file.read_text(encoding="utf-8"))
    steps = np.full((20, 11), 1e-4)
    steps[:, 10] = 1
    steps[8, [1, 10]] = 0.3, 0.7  # a straight line, or a wall
    steps[14, [0, 10]] = 1, 0.01
    views = [(steps / steps.sum(axis=1, keepdims=True)).tolist()]
    read = """([views, row, strip]) => {
      let found = decode(views);
      const places = findPassedOver(row, strip, found.spans, 10);
      found = putIn(views, found, places);
      return [decode(views).text, places, found.text]; }"""
    line, dash = [[16, 4], [16, 28]], [[20, 16], [24, 16]]
    zero = [[28, 4], [32, 16], [28, 28], [24, 16], [28, 4]]
    strip = {"left": 0, "scale": 1, "lean": 0}
    assert await code.evaluate(read, [views, [line, zero], strip]) == ["0", [0], "10"]
    assert await code.evaluate(read, [views, [dash, zero], strip]) == ["0", [], "0"]
    far = [[2, 4], [2, 28]]  # nothing speaks for a digit there
    steps[8] = steps[0]
    views = [(steps / steps.sum(axis=1, keepdims=True)).tolist()]
    assert await code.evaluate(read, [views, [far, zero], strip]) == ["0", [0], "0"]
    await code.context.close()


@in_browser
async def test_a_long_number_is_decoded_as_the_reader_does(chromium, page_file):
    code = await open_code(chromium, page_file.read_text(encoding="utf-8"))
    view = np.random.default_rng(0).dirichlet(np.full(11, 0.05), size=100)
    expected = decode([view])
    assert len(expected.text) > MOST
    found = await code.evaluate("([views]) => decode(views)", [[view.tolist()]])
    assert found["text"] == expected.text
    assert found["probability"] == pytest.approx(expected.probability)
    assert found["spans"] == expected.spans.tolist()
    np.testing.assert_allclose(found["probabilities"], expected.probabilities, atol=1e-6)
    longer = await code.evaluate("([views]) => putIn(views, decode(views), [0])", [[view.tolist()]])
    assert longer["text"] == put_in([view], expected, [0]).text == expected.text
    await code.context.close()


@in_browser
async def test_the_space_bar_waits_while_the_mouse_draws(chromium, page_file):
    page = await open_page(chromium, page_file.as_uri(), [], **DESKTOP)
    corner, size = await place_of_paper(page)
    await page.focus("#pad")
    await page.mouse.move(*(corner + np.array([0.3, 0.2]) * size))
    await page.mouse.down()
    await page.keyboard.press(" ")
    await page.mouse.move(*(corner + np.array([0.3, 0.6]) * size), steps=6)
    await page.mouse.up()
    assert await page.evaluate("strokes.length") == 1
    assert not await page.evaluate("cursor?.down")
    await page.context.close()


@in_browser
async def test_ink_stays_on_the_paper_when_the_pen_leaves_it(page):
    await draw_line(page, (0.3, 0.2), (0.3, -0.2), (1.1, -0.2))
    _, size = await place_of_paper(page)
    (stroke,) = await page.evaluate("strokes")
    assert (np.array(stroke) >= 0).all()
    assert (np.array(stroke) <= np.array(size) + 1e-3).all()


@pytest.mark.parametrize("page", [DESKTOP], indirect=True, ids=["desktop"])
@in_browser
async def test_control_and_the_key_of_z_undo_in_every_script(page):
    press = """([key, code]) => {
      strokes = [[[9, 9]]];
      dispatchEvent(new KeyboardEvent("keydown", { key, code, ctrlKey: true }));
      return !strokes.length; }"""
    keys = {("z", "KeyZ"): True, ("z", "KeyY"): True, ("я", "KeyZ"): True}
    keys |= {("y", "KeyZ"): False, ("w", "KeyZ"): False, (";", "KeyZ"): False, ("я", "KeyQ"): False}
    for key, undoes in keys.items():
        assert await page.evaluate(press, list(key)) == undoes, key


@in_browser
async def test_ink_is_as_sharp_as_the_screen_that_it_is_moved_to(chromium, page_file):
    page = await open_page(chromium, page_file.as_uri(), [], **DESKTOP)
    session = await page.context.new_cdp_session(page)
    before = await page.evaluate("pad.clientWidth")
    for width, ratio in ((1281, 2), (1280, 1.25)):  # without a new width Chromium tells no page
        metrics = {"width": width, "height": 900, "deviceScaleFactor": ratio, "mobile": False}
        await session.send("Emulation.setDeviceMetricsOverride", metrics)
        await page.evaluate("new Promise((go) => requestAnimationFrame(() => setTimeout(go)))")
        pixels, width = await page.evaluate("[pad.width, pad.clientWidth]")
        assert width == before
        assert pixels == pytest.approx(ratio * width, abs=1)
    await page.context.close()


@pytest.mark.parametrize("page", [DESKTOP], indirect=True, ids=["desktop"])
@in_browser
async def test_beside_a_row_that_is_not_read_nothing_is_sure(page):
    verdicts = """(texts) => {
      show(texts.map((text) => ({ text, sure: text !== "", digits: [] })), true);
      return find("verdict").textContent; }"""
    for texts, verdict in {("1",): "sure", ("1", ""): "not sure", ("",): "", (): ""}.items():
        assert await page.evaluate(verdicts, list(texts)) == verdict


@in_browser
async def test_undo_takes_back_one_stroke_and_clear_all(page):
    assert await page.inner_text("#answer") == "Nothing here yet"
    assert await page.is_disabled("#undo")
    assert await page.is_disabled("#clear")
    await draw_line(page, *ONE)
    assert (await wait_for_answer(page))[0] == "1"
    await draw_line(page, *SEVEN)
    assert (await wait_for_answer(page))[0] == "17"
    assert await page.locator("#digits > li").count() == 2
    await page.click("#undo")
    assert (await wait_for_answer(page))[0] == "1"
    await draw_line(page, *SEVEN)
    await page.keyboard.press("Control+z")
    assert (await wait_for_answer(page))[0] == "1"
    await page.click("#clear")
    await wait_for_answer(page)
    assert await page.inner_text("#answer") == "Nothing here yet"
    assert await page.locator("#digits > li").count() == 0
    assert await page.evaluate("strokes.length") == 0


@in_browser
async def test_the_answer_comes_while_the_pen_is_down(chromium, page_file):
    page = await open_page(chromium, page_file.as_uri(), [], **DESKTOP)
    corner, size = await place_of_paper(page)
    x, y = corner + np.array([0.3, 0.2]) * size
    await page.mouse.move(x, y)
    await page.mouse.down()
    await page.mouse.move(x, y + 0.6 * size[1], steps=6)
    await page.locator("#answer:has-text('1')").wait_for()
    assert await page.evaluate("pointer !== null")
    await page.mouse.up()
    await page.context.close()


@in_browser
async def test_the_paper_stays_where_it_is_however_many_rows_are_read(page):
    before, _ = await place_of_paper(page)
    lines = ((0.3, 0.05), (0.3, 0.4)), ((0.3, 0.55), (0.3, 0.95)), ((0.6, 0.05), (0.6, 0.4))
    for line in lines:
        await draw_line(page, *line)
        await wait_for_answer(page)
    assert await page.inner_text("#answer") == "11\n1"
    assert (await place_of_paper(page))[0].tolist() == before.tolist()
    fits = "(room) => room.scrollHeight <= room.clientHeight"
    assert await page.eval_on_selector("#room", fits)


SHOW_ROWS = """(count) => {
  const probabilities = Array(10).fill(0.1);
  const digit = { label: 1, probability: 1, probabilities, sure: true };
  show(Array(count).fill({ text: "1", sure: true, digits: [digit] }), true); }"""


@in_browser
async def test_of_many_rows_each_can_be_scrolled_to(page):
    await page.evaluate(SHOW_ROWS, 10)
    above = """(room) => {
      room.scrollTop = 0;
      return room.getBoundingClientRect().top
        - find("answer").firstChild.getBoundingClientRect().top; }"""
    assert await page.eval_on_selector("#room", above) <= 0
    below = """(room) => {
      room.scrollTop = room.scrollHeight;
      return find("answer").lastChild.getBoundingClientRect().bottom
        - room.getBoundingClientRect().bottom; }"""
    assert await page.eval_on_selector("#room", below) <= 0
    found = await Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    await page.evaluate(SHOW_ROWS, 1)
    middle = """(name) => {
      const { top, bottom } = find(name).getBoundingClientRect();
      return (top + bottom) / 2; }"""
    places = [await page.evaluate(middle, name) for name in ("room", "answer", "verdict")]
    assert places == pytest.approx(places[:1] * 3, abs=1)


@in_browser
async def test_the_answer_is_fitted_anew_when_the_window_changes(chromium, page_file):
    page = await open_page(chromium, page_file.as_uri(), [], **DESKTOP)
    await page.evaluate(SHOW_ROWS, 2)
    large = await page.eval_on_selector("#answer", "(answer) => getComputedStyle(answer).fontSize")
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.evaluate("new Promise((go) => requestAnimationFrame(() => setTimeout(go)))")
    small = await page.eval_on_selector("#answer", "(answer) => getComputedStyle(answer).fontSize")
    assert float(small[:-2]) < float(large[:-2])
    fits = "(room) => room.scrollHeight <= room.clientHeight"
    assert await page.eval_on_selector("#room", fits)
    await page.context.close()


@in_browser
async def test_what_was_cleared_meanwhile_is_not_shown(chromium, page_file):
    page = await open_page(chromium, page_file.as_uri(), [], **DESKTOP)
    await draw_line(page, *ONE)
    await wait_for_answer(page)
    shown = await page.evaluate("""() => {
      reader = { postMessage() {} }; // the answer to this question comes when it is too late
      const late = (meanwhile) => {
        ask({ whole: true });
        send();
        meanwhile();
        const digits = [{ label: 7, probability: 1, probabilities: Array(10).fill(0), sure: true }];
        answered([{ text: "7", sure: true, digits }]);
        return find("answer").textContent + find("spoken").textContent; };
      const anew = () => { strokes.push([[9, 9]]); changed(); };
      return [late(clear), late(() => { clear(); anew(); }), late(() => { undo(); anew(); })]; }""")
    assert "7" not in "".join(shown)
    await page.context.close()


TOUCHES = """(events) => {
  pad.setPointerCapture = () => {}; // of made pointers there is none
  for (const [kind, pointerType, pointerId, x, y] of events)
    pad.dispatchEvent(new PointerEvent(kind, { pointerType, pointerId, clientX: x, clientY: y }));
  return strokes.map((stroke) => stroke.length); }"""


@in_browser
async def test_the_hand_that_holds_a_pen_does_not_write(chromium, page_file):
    page = await open_page(chromium, page_file.as_uri(), [], **DESKTOP)
    (x, y), _ = await place_of_paper(page)
    pen = [["pointermove", "pen", 6, x + 50, y + 20 * i] for i in range(2, 5)]
    events = [
        ["pointerdown", "touch", 5, x + 200, y + 90],
        ["pointerdown", "pen", 6, x + 50, y + 20],
        ["pointermove", "touch", 5, x + 205, y + 90],
        *pen,
        ["pointerup", "pen", 6, x + 50, y + 80],
        ["pointerup", "touch", 5, x + 205, y + 90],
        ["pointerdown", "touch", 7, x + 200, y + 90],
    ]
    assert await page.evaluate(TOUCHES, events) == [4]
    await page.evaluate("penSeen -= 2000")  # a finger, later
    assert await page.evaluate(TOUCHES, events[-1:]) == [4, 1]
    await page.context.close()


@pytest.mark.parametrize("page", [DESKTOP], indirect=True, ids=["desktop"])
@in_browser
async def test_bars_strip_and_layers_show_what_the_network_made_of_it(page):
    await draw_line(page, *ONE)
    await wait_for_answer(page)
    label = await page.get_attribute("#digits .bars", "aria-label")
    shares = [float(share) for share in re.findall(r"\d: ([\d.]+) %", label)]
    assert len(shares) == 10
    assert shares.index(max(shares)) == 1
    assert sum(shares) == pytest.approx(100, abs=1)
    assert await page.get_attribute("#strips canvas", "aria-label") == "The strip that is read as 1"
    await open_layers(page)
    description = json.loads(await page.text_content("#network"))
    kinds = [layer["kind"] for layer in description["network"]["layers"]]
    assert await page.locator("#layers figure").count() == kinds.count("convolution")


@pytest.mark.parametrize("page", [DESKTOP], indirect=True, ids=["desktop"])
@in_browser
async def test_what_is_no_digit_is_not_read_with_confidence(page):
    await draw_line(page, (0.3, 0.5), (0.5, 0.5))  # a dash
    text, sure = await wait_for_answer(page)
    assert not (text and sure)


@in_browser
async def test_a_number_can_be_drawn_and_undone_by_keyboard(chromium, page_file):
    complaints: list[str] = []
    page = await open_page(chromium, page_file.as_uri(), complaints, **DESKTOP)
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.id") == "pad"
    assert (await page.locator("#keys").bounding_box())["height"] > 10  # to be read
    for _ in range(4):
        await page.keyboard.down(" ")  # held down, which counts once
    await page.keyboard.up(" ")
    assert await page.inner_text("#pen") == "pen down"
    for _ in range(14):
        await page.keyboard.press("ArrowDown")
    await page.keyboard.press(" ")
    assert (await wait_for_answer(page))[0] == "1"
    assert await page.inner_text("#pen") == "pen up"
    assert await page.inner_text("#spoken") in ("1, sure", "1, not sure")
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.id") == "undo"
    await page.keyboard.press("Enter")
    await wait_for_answer(page)
    assert await page.inner_text("#answer") == "Nothing here yet"
    assert await page.evaluate("document.activeElement.id") == "pad"
    await page.keyboard.press("ArrowRight")  # a pen that is up only moves
    assert await page.evaluate("document.body.dataset.state") == "read"
    assert complaints == []
    await page.context.close()


@in_browser
async def test_axe_finds_nothing(page):
    await draw_line(page, *SEVEN)
    await wait_for_answer(page)
    await open_layers(page)
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        found = await Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


@in_browser
async def test_nothing_is_wider_than_the_window_and_buttons_fit_a_thumb(page):
    await draw_line(page, *ONE)
    await draw_line(page, *SEVEN)
    await wait_for_answer(page)
    await open_layers(page)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for name in ("#undo", "#clear", "#open"):
        box = await page.locator(name).bounding_box()
        assert min(box["width"], box["height"]) >= 44
        assert box["y"] + box["height"] <= page.viewport_size["height"]


@in_browser
async def test_on_the_narrowest_phone_all_buttons_are_there(chromium, page_file):
    narrow = PHONE | {"viewport": {"width": 320, "height": 568}}
    page = await open_page(chromium, page_file.as_uri(), [], **narrow)
    edge = await page.eval_on_selector(".tools", "(e) => e.getBoundingClientRect().right")
    for text_size in ("100%", "200%"):
        await page.evaluate(f"document.documentElement.style.fontSize = '{text_size}'")
        for name in ("#undo", "#clear", "#open"):
            box = await page.locator(name).bounding_box()
            assert box["x"] + box["width"] <= edge
            assert min(box["width"], box["height"]) >= 44
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.context.close()


COLOURS = """(names) => {
  const style = getComputedStyle(document.body);
  return names.map((name) => style.getPropertyValue(name)); }"""


@pytest.mark.parametrize("page", [DESKTOP], indirect=True, ids=["desktop"])
@in_browser
async def test_bars_stand_out_from_what_is_behind_them(page):
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        written = await page.evaluate(COLOURS, ["--bar", "--accent", "--rule"])
        colours = np.array([list(bytes.fromhex(colour.strip("# "))) for colour in written]) / 255
        linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
        bar, chosen, behind = linear @ [0.2126, 0.7152, 0.0722] + 0.05  # as WCAG 2.2 has it
        for front in (bar, chosen):
            assert max(front, behind) / min(front, behind) >= 3


@pytest.mark.parametrize("page", [DESKTOP], indirect=True, ids=["desktop"])
@in_browser
async def test_regions_that_speak_are_there_before_they_do(page):
    regions = "(all) => all.map((region) => [region.id, getComputedStyle(region).display])"
    shown = await page.eval_on_selector_all("[role=status], [aria-live]", regions)
    assert ["notice", "block"] in shown
    assert not [name for name, display in shown if display == "none"]


@in_browser
async def test_strokes_stay_on_the_paper_when_the_window_turns(chromium, page_file):
    page = await open_page(chromium, page_file.as_uri(), [], **PHONE)
    await draw_line(page, *ONE)
    await draw_line(page, *SEVEN)
    upright, drawn = page.viewport_size, await page.evaluate("strokes")
    for view in ({"width": 844, "height": 390}, upright) * 2:  # there and back, twice
        await page.set_viewport_size(view)
        await page.evaluate("new Promise((go) => requestAnimationFrame(() => setTimeout(go)))")
    for before, after in zip(drawn, await page.evaluate("strokes"), strict=True):
        np.testing.assert_allclose(after, before, atol=1e-6)
    await page.set_viewport_size({"width": 844, "height": 390})
    await page.evaluate("new Promise((go) => requestAnimationFrame(() => setTimeout(go)))")
    _, (width, height) = await place_of_paper(page)
    points = np.concatenate([np.array(stroke) for stroke in await page.evaluate("strokes")])
    assert (points >= 0).all()
    assert (points <= (width, height)).all()
    await draw_line(page, (0.95, 0.4), (0.95, 0.45))
    await page.click("#undo")
    assert (await wait_for_answer(page))[0] == "17"
    await page.context.close()


# JavaScript against ONNX Runtime


@in_browser
async def test_the_page_computes_what_onnx_runtime_computes(chromium, small):
    rng = np.random.default_rng(0)
    strips = [digit_strip(image) for image in small.test.images[:20]]
    strips += [line_strip(small.test, rng.integers(500, size=5).tolist(), rng) for _ in range(5)]
    away, same = await compare_with_onnx(chromium, SHIPPED_READER, strips)
    assert away < 1e-2
    assert same == 1


# Pictures


PICTURE = KNOWN_NUMBER.read_bytes()


@pytest.fixture(scope="module")
def server():
    with Served("--workers", "1") as server:
        yield server


DROP = """([kind, files, type]) => {
  const transfer = new DataTransfer();
  for (const bytes of files)
    transfer.items.add(new File([Uint8Array.from(bytes)], "number.png", { type }));
  const options = { bubbles: true, cancelable: true };
  dispatchEvent(kind === "drop" ? new DragEvent("drop", { ...options, dataTransfer: transfer })
    : new ClipboardEvent("paste", { ...options, clipboardData: transfer }));
}"""


async def hand_over(page, kind, content=PICTURE, media="image/png"):
    if kind == "choose":
        async with page.expect_file_chooser() as chosen:
            await page.click("#open")
        chooser = await chosen.value
        await chooser.set_files({"name": "number.png", "mimeType": media, "buffer": content})
    else:
        await page.evaluate(DROP, [kind, [list(content)], media])


@in_browser
async def test_a_picture_is_read_by_the_server(chromium, server):
    complaints: list[str] = []
    page = await open_page(chromium, server.url, complaints)
    await draw_line(page, *ONE)
    for kind in ("drop", "paste", "choose"):
        assert (await wait_for_answer(page))[0] == "1"
        await hand_over(page, kind)
        await page.locator(f"#answer:has-text('{KNOWN_TEXT}')").wait_for()
        assert await page.inner_text("#spoken") == " ".join(KNOWN_TEXT) + ", sure"
        assert await page.locator("#digits > li").count() == len(KNOWN_TEXT)
        assert await page.is_visible("#photo")
        await page.click("#clear")
        assert await page.is_hidden("#photo")
        await draw_line(page, *ONE)
    assert (await wait_for_answer(page))[0] == "1"
    assert complaints == []
    await page.context.close()


@in_browser
async def test_a_finger_scrolls_over_a_picture_and_leaves_it(chromium, server):
    page = await open_page(chromium, server.url, [], **PHONE)
    await hand_over(page, "drop")
    await page.locator(f"#answer:has-text('{KNOWN_TEXT}')").wait_for()
    await draw_line(page, (0.5, 0.5), (0.5, 0.5))
    scrolled = await page.evaluate_handle("[new Promise((go) => addEventListener('scroll', go))]")
    await draw_line(page, (0.5, 0.9), (0.5, -0.1))
    await asyncio.wait_for(scrolled.evaluate("([event]) => event.then(() => 1)"), 10)
    assert await page.is_visible("#photo")
    assert await page.inner_text("#answer") == KNOWN_TEXT
    assert await page.evaluate("strokes.length") == 0
    await page.click("#clear")
    await page.evaluate("scrollTo(0, 0)")
    await draw_line(page, *ONE)
    assert (await wait_for_answer(page))[0] == "1"
    assert await page.evaluate("scrollY") == 0
    await page.context.close()


@in_browser
async def test_a_picture_that_comes_while_the_pen_is_down_lifts_it(chromium, server):
    complaints: list[str] = []
    page = await open_page(chromium, server.url, complaints)
    await page.focus("#pad")
    for key in (" ", "ArrowDown"):
        await page.keyboard.press(key)
    await hand_over(page, "paste")
    await page.locator(f"#answer:has-text('{KNOWN_TEXT}')").wait_for()
    await hand_over(page, "paste")  # one picture after another
    await page.keyboard.press("ArrowDown")
    await page.locator(f"#answer:has-text('{KNOWN_TEXT}')").wait_for()
    assert await page.is_visible("#photo")
    assert complaints == []
    await page.context.close()


@in_browser
async def test_a_picture_that_the_browser_cannot_show_is_read_all_the_same(chromium, server):
    page = await open_page(chromium, server.url, [])
    content = io.BytesIO()
    Image.open(KNOWN_NUMBER).convert("L").save(content, "TIFF")
    await hand_over(page, "choose", content.getvalue(), "image/tiff")
    await page.locator(f"#answer:has-text('{KNOWN_TEXT}')").wait_for()
    assert "can't show such a picture" in await page.inner_text("#notice")
    await page.context.close()


@in_browser
async def test_a_picture_that_is_being_read_is_not_nothing(chromium, server):
    page = await open_page(chromium, server.url, [])
    await draw_line(page, *ONE)
    await wait_for_answer(page)
    await open_layers(page)
    await page.evaluate("() => { askServer = () => new Promise(() => {}); }")
    await hand_over(page, "drop")
    assert await page.inner_text("#answer") == "Reading the picture …"
    assert await page.inner_text("#spoken") == "Reading the picture …"
    assert await page.locator("#layers figure").count() == 0
    assert not await page.evaluate("upload.signal.aborted")
    await page.click("#clear")
    assert await page.evaluate("upload.signal.aborted")
    await page.context.close()


@in_browser
async def test_what_the_server_refuses_is_said_in_its_words(chromium, server):
    page = await open_page(chromium, server.url, [])
    await hand_over(page, "drop", b"<b>no picture</b>")
    refused = httpx.post(f"{server.url}/read", content=b"<b>no picture</b>").json()["error"]
    await page.locator("#notice:has-text('expected')").wait_for()
    assert await page.inner_text("#notice") == refused
    assert await page.inner_text("#answer") == "The picture was not read"
    await hand_over(page, "drop", b"hello", "text/plain")
    assert await page.inner_text("#notice") == "That is no picture."
    await draw_line(page, *ONE)  # what was said of a file is not said of this
    assert await page.inner_text("#notice") == ""
    blank = io.BytesIO()
    Image.new("L", (80, 40), 255).save(blank, "PNG")
    await hand_over(page, "drop", blank.getvalue())
    await page.locator("#answer:has-text('No digit on this picture')").wait_for()
    assert await page.inner_text("#spoken") == "No digit on this picture"
    await page.context.close()


@in_browser
async def test_a_server_that_is_gone_is_said_and_drawing_goes_on(chromium):
    with Served("--workers", "1") as server:
        page = await open_page(chromium, server.url, [])
        await asyncio.to_thread(server.stop)
    await hand_over(page, "drop")
    await page.locator("#notice:has-text('The server does not answer')").wait_for()
    await draw_line(page, *ONE)
    assert (await wait_for_answer(page))[0] == "1"
    await page.context.close()


@in_browser
async def test_a_file_that_is_gone_is_not_taken_for_a_server_that_is_gone(
    chromium, server, tmp_path
):
    page = await open_page(chromium, server.url, [])
    path = tmp_path / "number.png"
    path.write_bytes(PICTURE)
    chosen = await page.evaluate_handle("Object.assign(element('input'), { type: 'file' })")
    await chosen.as_element().set_input_files(path)
    path.unlink()
    await chosen.evaluate("(input) => offer(input.files)")
    await page.locator("#answer:has-text('The picture was not read')").wait_for()
    assert (await page.inner_text("#notice")).startswith("This file can't be read.")
    await page.context.close()


@in_browser
async def test_of_several_pictures_the_first_is_read_and_the_page_says_so(chromium, server):
    page = await open_page(chromium, server.url, [])
    await page.evaluate(DROP, ["drop", [list(PICTURE), [1, 2, 3]], "image/png"])
    await page.locator(f"#answer:has-text('{KNOWN_TEXT}')").wait_for()
    assert await page.inner_text("#notice") == "Only the first of these pictures is read."
    await hand_over(page, "drop")
    await page.locator(f"#answer:has-text('{KNOWN_TEXT}')").wait_for()
    assert await page.inner_text("#notice") == ""
    await page.context.close()


@pytest.fixture
def files_only(page_file):
    """The address of the page on a web server that only has files."""
    handler = functools.partial(SilentHandler, directory=page_file.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as host:
        thread = threading.Thread(target=host.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{host.server_port}/{page_file.name}"
        host.shutdown()
        thread.join()


class SilentHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))  # else the connection breaks at times
        self.send_error(501)


@in_browser
async def test_where_only_files_are_served_a_picture_needs_the_server_too(chromium, files_only):
    page = await open_page(chromium, files_only, [])
    await hand_over(page, "drop")
    await page.locator("#answer:has-text('The picture was not read')").wait_for()
    assert "Pictures are read by the server" in await page.inner_text("#notice")
    await page.context.close()


@pytest.mark.parametrize("page", [DESKTOP], indirect=True, ids=["desktop"])
@in_browser
async def test_the_paper_offers_itself_to_files_not_to_text(page):
    drag = """(make) => {
      const dataTransfer = new DataTransfer();
      if (make) dataTransfer.items.add(new File([], "number.png", { type: "image/png" }));
      else dataTransfer.setData("text/plain", "7");
      dispatchEvent(new DragEvent("dragover", { dataTransfer }));
      return paper.classList.contains("offered"); }"""
    assert await page.evaluate(drag, True)
    assert not await page.evaluate(drag, False)


@in_browser
async def test_without_scripts_the_page_says_what_is_missing(chromium, page_file):
    context = await chromium.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(page_file.as_uri())
    assert await page.is_visible("noscript p")
    await context.close()


@in_browser
async def test_from_a_file_a_picture_needs_the_server_and_the_page_says_so(page):
    for kind in ("drop", "paste"):
        await hand_over(page, kind)
        assert "mnist serve" in await page.inner_text("#notice")
    await page.click("#open")
    assert "mnist serve" in await page.inner_text("#notice")


# The file


def test_the_page_is_one_small_file_that_loads_nothing(page_file):
    content = page_file.read_text(encoding="utf-8")
    assert len(content.encode()) <= 4_000_000
    assert "{{" not in content
    markup = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", content, flags=re.DOTALL)
    assert set(re.findall(r'(?:src|href|action)="(\w+:)?', markup)) == {"data:"}  # its icon
    assert not re.search(r'style="|\son\w+=', markup)
    assert "default-src &#x27;none&#x27;" in markup
    assert "unsafe" not in markup


@in_browser
async def test_the_policy_stops_what_is_not_the_page_s_own(chromium, page_file):
    complaints: list[str] = []
    page = await open_page(chromium, page_file.as_uri(), complaints)
    await page.evaluate(
        "document.head.append(Object.assign(document.createElement('script'),"
        "{textContent: 'window.hacked = true'}))"
    )
    assert not await page.evaluate("window.hacked")
    assert any("Content Security Policy" in complaint for complaint in complaints)
    await page.context.close()


def test_a_page_is_written_over_no_other_file(tmp_path):
    notes = tmp_path / "notes.html"
    notes.write_text("<!DOCTYPE html>milk, eggs")
    assert_one_line_error(run_command("page", "--output", notes), "is there, and no page of ours")
    assert notes.read_text() == "<!DOCTYPE html>milk, eggs"
    too_long = tmp_path / (300 * "x" + ".html")
    assert_one_line_error(run_command("page", "--output", too_long), "File name too long")
    for _ in range(2):
        again = run_command("page", "--output", tmp_path / "new.html")
        assert again.returncode == 0, again.stderr


def test_a_models_file_makes_a_page_as_its_folder_does(tmp_path):
    (tmp_path / "model.onnx").write_bytes((SHIPPED_READER / "model.onnx").read_bytes())
    assert page_html(tmp_path / "model.onnx") == page_html(tmp_path)


def test_a_model_that_is_no_reader_is_refused_in_one_line(tmp_path):
    arguments = ("page", "--output", tmp_path / "x.html", "--model", tmp_path)
    assert_one_line_error(run_command(*arguments), str(tmp_path), "expected a reader's model.onnx")
    (tmp_path / "model.onnx").write_bytes(b"\xff" * 99)
    assert_one_line_error(run_command(*arguments), str(tmp_path), "expected a reader's model.onnx")
    assert not (tmp_path / "x.html").exists()


TWO_BY_TWO = {"kernel_shape": [2, 2], "strides": [2, 2]}


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("Sigmoid", ["strips"], ["made"]),
        helper.make_node("MaxPool", ["strips"], ["made"], kernel_shape=[2, 2], strides=[1, 1]),
        helper.make_node("Relu", ["strips"], ["made"]),
        helper.make_node("MaxPool", ["strips"], ["made"], **TWO_BY_TWO, ceil_mode=1),
        helper.make_node("MaxPool", ["strips"], ["made"], **TWO_BY_TWO, auto_pad="SAME_UPPER"),
        helper.make_node("Conv", ["strips", "kernel", "bias"], ["made"], dilations=[2, 1]),
    ],
    ids=["unknown", "overlapping", "alone", "rounding up", "padding by itself", "dilated down"],
)
def test_layers_that_the_page_does_not_know_are_refused(node):
    given = helper.make_tensor_value_info("strips", onnx.TensorProto.FLOAT, [1, 1, 32, None])
    made = helper.make_tensor_value_info("made", onnx.TensorProto.FLOAT, None)
    with pytest.raises(ModelError, match=node.op_type):
        read_layers(helper.make_graph([node], "page", [given], [made]))


def test_a_weight_that_16_bits_cannot_hold_is_refused(tmp_path):
    loaded = onnx.load(SHIPPED_READER / "model.onnx")
    bias = next(tensor for tensor in loaded.graph.initializer if len(tensor.dims) == 1)
    values = onnx.numpy_helper.to_array(bias) + np.float32(1e6)
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
    onnx.save(loaded, tmp_path / "model.onnx")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="16 bits"):
        page_html(tmp_path)
