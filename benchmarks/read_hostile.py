#!/usr/bin/env python3
"""What it costs to read large photos, and files that are broken or made to do harm.

    python3 benchmarks/read_hostile.py

Makes the files in a temporary folder and runs `mnist predict` on each, in a process of its own. The
bombs are whole: they hold all the pixels that their headers promise. Seconds are the processor's,
from start to end of the process, median of some, so that a busy machine does not count (the result
has those on the clock too); memory is the peak above that of reading the first file, a small
picture.
"""

import functools
import io
import json
import pickle
import statistics
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from arguments import make_parser, positive, save
from PIL import Image, ImageDraw

from mnist_classification import load_mnist

PHOTO = (5472, 3648)  # 20 megapixels

# A process that has hardly any memory of its own starts the command, for a process inherits the
# peak of the one that started it.
MEASURE = """
import json, resource, subprocess, sys, time
started = time.perf_counter()
run = subprocess.run(sys.argv[1:], capture_output=True, text=True)
seconds = time.perf_counter() - started
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
cpu_seconds, megabytes = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6
output = run.stdout.strip(), run.stderr.strip()
print(json.dumps([run.returncode, *output, seconds, cpu_seconds, megabytes]))
"""


@functools.cache
def photo(size: tuple[int, int] = PHOTO) -> Image.Image:
    """Return a 7 of MNIST's, dark on paper with grain, as RGB."""
    seven = Image.fromarray(load_mnist().test.images[0])
    side = min(size) // 2
    page = Image.effect_noise(size, 16).point(lambda value: value // 2 + 160)
    place = ((size[0] - side) // 2, side // 2)
    page.paste(40, place, seven.resize((side, side), Image.Resampling.BICUBIC))
    return Image.merge("RGB", [page, page.point(lambda v: v - 4), page.point(lambda v: v - 20)])


def zeros(length: int) -> bytes:
    """Return so many zeros, compressed a megabyte at a time."""
    compressor = zlib.compressobj(9)
    parts = [compressor.compress(bytes(2**20)) for _ in range(length >> 20)]
    return b"".join(parts) + compressor.compress(bytes(length % 2**20)) + compressor.flush()


def png(width: int, height: int, *, bits: int = 1, colour: int = 0, data: bytes = b"") -> bytes:
    """Return a PNG that is black all over, or one with other data."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I4s", len(content), kind)
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    bits_per_pixel = bits * {0: 1, 2: 3, 6: 4}[colour]
    data = data or zeros(height * (1 + -(-width * bits_per_pixel // 8)))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def tiff(width: int, height: int, tile: int = 0, text: int = 0) -> bytes:
    """Return a black TIFF of one bit per pixel, in one strip or in one square tile.

    With `text` it is in one strip, says that its tiles are 10,000 pixels high, and has so many
    letters where their width belongs.
    """
    data = zeros(tile * tile // 8 if tile else height * -(-width // 8))
    tags = {256: width, 257: height, 258: 1, 259: 8, 262: 1, 277: 1}  # 8: zlib; 1: black is 0
    places = (322, 323, 324, 325) if tile else (None, 278, 273, 279)
    for tag, value in zip(places, (tile, tile or height, 8, len(data)), strict=True):
        if tag:
            tags[tag] = value
    numbers, letters = 4, 2  # types of values
    entries = {tag: (numbers, 1, value) for tag, value in tags.items()}
    if text:
        entries |= {322: (letters, text, 8 + len(data)), 323: (numbers, 1, 10_000)}
        data += b"9" * (text - 1) + b"\0"
    packed = b"".join(struct.pack("<HHII", tag, *entries[tag]) for tag in sorted(entries))
    directory = struct.pack("<H", len(entries)) + packed + bytes(4)
    return struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + directory


def ico(inner: bytes) -> bytes:
    """Return an icon that says it is 32×32 around a PNG that may be any size."""
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 32, 32, 0, 0, 1, 32, len(inner), 22) + inner


def encode(image: Image.Image, file_format: str, **options: object) -> bytes:
    """Return the image as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def frames(file_format: str) -> bytes:
    """Return an animation of twenty frames."""
    shades = [Image.new("L", (400, 400), 10 * i) for i in range(20)]
    return encode(shades[0], file_format, save_all=True, append_images=shades[1:])


def garbage_exif() -> bytes:
    """Return a whole JPEG with EXIF data that point nowhere."""
    whole = encode(photo((600, 400)), "JPEG")
    return whole[:2] + b"\xff\xe1\0\x28Exif\0\0II*\0" + b"\xff" * 28 + whole[2:]


def archive() -> bytes:
    """Return a zip file with a text in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("seven.txt", "7" * 10_000)
    return buffer.getvalue()


def sixteen_bits(channels: int) -> bytes:
    """Return a photo as a PNG of 16 bits per channel, which Pillow writes only in grey."""
    rows = np.asarray(photo() if channels == 3 else photo().convert("L")).reshape(PHOTO[1], -1)
    if channels == 1:
        return encode(Image.fromarray(rows.astype(np.uint16) * 257), "PNG", compress_level=1)
    doubled = rows.repeat(2, axis=1)  # a byte twice is the byte's value times 257
    data = zlib.compress(np.pad(doubled, ((0, 0), (1, 0))).tobytes(), 1)
    return png(*PHOTO, bits=16, colour=2, data=data)


def crowd() -> bytes:
    """Return 19 rows of 101 digits each: more marks on a page are taken for texture."""
    seven = 255 - load_mnist().test.images[0][5:27, 5:24]
    small = np.asarray(Image.fromarray(seven).resize((9, 12), Image.Resampling.BICUBIC))
    page = np.full((24 * 19, 1024), 255, np.uint8)
    for top in range(2, len(page), 24):
        for left in range(3, 1012, 10):
            page[top : top + 12, left : left + 9] = small
    return encode(Image.fromarray(page), "PNG")


def ticks() -> bytes:
    """Return 43 rows of 43 ticks each, all of which may be a 1."""
    page = np.full((1000, 1000), 255, np.uint8)
    for row in range(12):
        page[2 + row : 977 : 23, 2:977:23] = 0
    return encode(Image.fromarray(page), "PNG")


def ticks_and_a_ring() -> bytes:
    """Return 60 rows of 30 ticks each, and what makes the page be read again without it."""
    page = Image.new("L", (1024, 1024), 255)
    pen = ImageDraw.Draw(page)
    for top in range(3, 1023, 17):
        for left in (0, *range(20, 1010, 33)):  # some reach the picture's edge
            pen.line((left, top, left, top + 11), fill=0, width=2)
    pen.ellipse((410, 342, 424, 356), fill=255, outline=0)
    pen.line((417, 346, 417, 352), fill=0, width=2)
    pen.rectangle((500, 343, 520, 354), fill=255, outline=0)
    pen.line((510, 346, 510, 352), fill=0, width=2)
    return encode(page, "PNG")


def scans(count: int) -> bytes:
    """Return 49 blank megapixels as a JPEG whose last scan comes so many times more."""
    whole = encode(Image.new("L", (7_000, 7_000), 255), "JPEG", progressive=True)
    body, end = whole[:-2], whole[-2:]
    return body + body[body.rindex(b"\xff\xc4") :] * count + end


FILES: dict[str, Callable[[], bytes]] = {
    "small.png": lambda: encode(photo((60, 40)), "PNG"),
    # whole photos of 20 megapixels
    "photo.jpg": lambda: encode(photo(), "JPEG", quality=90),
    "photo, progressive.jpg": lambda: encode(photo(), "JPEG", quality=90, progressive=True),
    "photo, CMYK.jpg": lambda: encode(photo().convert("CMYK"), "JPEG", quality=90),
    "photo.png": lambda: encode(photo(), "PNG", compress_level=1),
    "photo, RGBA.png": lambda: encode(photo().convert("RGBA"), "PNG", compress_level=1),
    "photo, palette.png": lambda: encode(photo().convert("P"), "PNG", compress_level=1),
    "photo, 16 bits grey.png": lambda: sixteen_bits(1),
    "photo, 16 bits RGB.png": lambda: sixteen_bits(3),
    "photo.tif": lambda: encode(photo(), "TIFF"),
    "photo, CMYK.tif": lambda: encode(photo().convert("CMYK"), "TIFF"),
    "photo, 32 bits.tif": lambda: encode(photo().convert("F"), "TIFF"),
    "photo.bmp": lambda: encode(photo(), "BMP"),
    "photo.gif": lambda: encode(photo().convert("L"), "GIF"),
    "photo.webp": lambda: encode(photo(), "WEBP", quality=80, method=0),
    "photo.avif": lambda: encode(photo(), "AVIF", quality=60, speed=10),
    # bombs
    "0.9 gigapixels.png": lambda: png(30_000, 30_000),
    "0.9 gigapixels.tif": lambda: tiff(30_000, 30_000),
    "81 megapixels.png": lambda: png(9_000, 9_000, bits=8, colour=2),
    "81 megapixels.gif": lambda: encode(Image.new("L", (9_000, 9_000)), "GIF"),
    "81 megapixels.jpg": lambda: encode(Image.new("L", (9_000, 9_000)), "JPEG"),
    "64 megapixels.webp": lambda: encode(Image.new("RGB", (8_000, 8_000)), "WEBP", method=0),
    "81 megapixels.ico": lambda: ico(png(9_000, 9_000, bits=8, colour=6)),
    "tile of 0.9 gigapixels.tif": lambda: tiff(64, 64, tile=30_016),
    "tile of text.tif": lambda: tiff(64, 64, text=100_000),
    # much to read, slow to decode
    "19 rows of 101 digits.png": crowd,
    "43 rows of ticks.png": ticks,
    "60 rows of ticks and a ring.png": ticks_and_a_ring,
    "10,000 scans.jpg": lambda: scans(10_000),
    "comments.pbm": lambda: b"P1\n1 1\n" + b"#\n" * 2**19 + b"1\n",
    "49 megapixels of 254 levels.pgm": lambda: b"P5\n7000 7000\n254\n" + bytes(49_000_000),
    # headers that lie, files cut off
    "2⁶² pixels.png": lambda: png(2**31 - 1, 2**31 - 1, data=b"x"),
    "49 megapixels missing.png": lambda: png(7_000, 7_000, bits=8, colour=6, data=b"x"),
    "cut off.jpg": lambda: encode(photo((600, 400)), "JPEG")[:5_000],
    "cut off.png": lambda: encode(photo((600, 400)), "PNG")[:5_000],
    "photo cut off.jpg": lambda: encode(photo(), "JPEG")[:1_000_000],
    "garbage EXIF.jpg": garbage_exif,
    # not one picture, or none
    "animated.gif": lambda: frames("GIF"),
    "animated.webp": lambda: frames("WEBP"),
    "animated.png": lambda: frames("PNG"),
    "text.png": lambda: b"seven\n" * 1000,
    "zip.png": archive,
    "pickle.jpg": lambda: pickle.dumps({"label": 7}),
    "empty.png": lambda: b"",
}


def measure(file: Path, repeats: int) -> dict:
    """Read one file some times, each in a new process."""
    command = [sys.executable, "-m", "mnist_classification", "predict", str(file)]
    runs = []
    for _ in range(repeats):
        measured = [sys.executable, "-c", MEASURE, *command]
        output = subprocess.run(measured, check=True, capture_output=True, text=True).stdout
        runs.append(json.loads(output))
    code, stdout, stderr, *_ = runs[0]
    return {
        "bytes": file.stat().st_size,
        "exit_code": code,
        "stdout": stdout,
        "stderr": stderr.replace(f"{file.parent}/", ""),
        "seconds": [run[3] for run in runs],
        "cpu_seconds": [run[4] for run in runs],
        "megabytes": max(run[5] for run in runs),
    }


def table(result: dict[str, dict]) -> str:
    """Return the measurements as Markdown."""
    idle = next(iter(result.values()))["megabytes"]
    lines = [
        "| file | kB | exit code | answer | processor seconds | MB above idle |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in result.items():
        answer = row["stdout"] or row["stderr"].split(f"{name}: ")[-1].split(";")[0]
        seconds, above = statistics.median(row["cpu_seconds"]), max(row["megabytes"] - idle, 0)
        lines.append(
            f"| {name} | {row['bytes'] / 1000:,.0f} | {row['exit_code']} | {answer[:60]} "
            f"| {seconds:.2f} | {above:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure and print the table."""
    parser = make_parser(__doc__, "read_hostile")
    parser.add_argument("--repeats", type=positive, default=3, help="runs per file")
    parser.add_argument("--only", default="", help="only files with this in their name")
    options = parser.parse_args()
    result: dict[str, dict] = {}
    for name, make in FILES.items():
        if result and options.only not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / name
            file.write_bytes(make())
            result[name] = measure(file, options.repeats)
        print(f"{name}: {result[name]['stdout'] or result[name]['stderr']}", file=sys.stderr)
    if not options.only:
        save(options.output, result)
    print(table(result))


if __name__ == "__main__":
    main()
