#!/usr/bin/env python3
"""How well the reader reads pictures of numbers that people wrote, beside what others use.

    python3 benchmarks/read_numbers.py --data FOLDER --output numbers.json

The folder holds `manifest.csv` with the columns file, text and set. A number counts only if all of
it is read exactly; only digits count, so "12,50" is 1250. Beside the reader stand Tesseract
(Debian: tesseract-ocr), told that there is one line of digits, and RapidOCR (PyPI:
rapidocr-onnxruntime), whose models find and read text of all kinds, with and without its own
search for lines. What is not installed is left out, with a line that says so.
"""

import csv
import io
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from arguments import make_parser, save
from PIL import Image
from read_real_digits import WITHOUT, reader_without
from scipy.stats import binomtest

from mnist_classification import Reader
from mnist_classification.reader.picture import load_pixels
from mnist_classification.shipped import SHIPPED_READER

Answer = tuple[str, bool | None]  # what was read, and whether the reader was sure
Way = Callable[[np.ndarray], Answer]

BORDER = 10  # pixels of paper that Tesseract and RapidOCR are given around a tight picture


def only_digits(text: str) -> str:
    """Return the digits of a text, those of all lines in one."""
    return "".join(c for c in text if c in "0123456789")


def by_reader(reader: Reader) -> Way:
    """Return our reader."""

    def read(pixels: np.ndarray) -> Answer:
        reading = reader.read(pixels)
        return only_digits(reading.text), reading.sure

    return read


def by_tesseract() -> Way | None:
    """Return Tesseract, told to expect one line of digits; None if it is not installed."""
    program = shutil.which("tesseract")
    if program is None:
        return None
    command = [program, "-", "-", "--psm", "7", "-c", "tessedit_char_whitelist=0123456789"]

    def read(pixels: np.ndarray) -> Answer:
        buffer = io.BytesIO()
        Image.fromarray(with_border(pixels)).save(buffer, "PNG")
        done = subprocess.run(command, input=buffer.getvalue(), capture_output=True, check=False)
        return only_digits(done.stdout.decode(errors="replace")), None

    return read


def by_rapidocr(find_lines: bool) -> Way | None:
    """Return RapidOCR, with its own search for lines or on the whole; None if not installed."""
    try:
        from rapidocr_onnxruntime import RapidOCR
    except ImportError:
        return None
    engine = RapidOCR()

    def read(pixels: np.ndarray) -> Answer:
        # It wants blue first, as OpenCV has it.
        picture = np.ascontiguousarray((with_border(pixels) if find_lines else pixels)[:, :, ::-1])
        found, _ = engine(picture, use_det=find_lines, use_cls=False, use_rec=True)
        place = 1 if find_lines else 0  # before the text stands its box, if one was looked for
        return only_digits("".join(line[place] for line in found or [])), None

    return read


def with_border(pixels: np.ndarray) -> np.ndarray:
    """Return a picture with some of its commonest colour around it."""
    paper = np.median(pixels.reshape(-1, 3), axis=0).astype(np.uint8)
    page = np.empty((pixels.shape[0] + 2 * BORDER, pixels.shape[1] + 2 * BORDER, 3), np.uint8)
    page[:] = paper
    page[BORDER:-BORDER, BORDER:-BORDER] = pixels
    return page


def edit_distance(ours: str, theirs: str) -> int:
    """Return how many digits must be put in, taken out or changed (Levenshtein 1966)."""
    row = list(range(len(theirs) + 1))
    for i, a in enumerate(ours, start=1):
        before, row[0] = row[0], i
        for j, b in enumerate(theirs, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


def share(right: int, count: int) -> dict[str, Any]:
    """Return a share with its 95% Wilson interval."""
    if count == 0:
        return {"n": 0, "share": None, "low": None, "high": None}
    interval = binomtest(right, count).proportion_ci(method="wilson")
    low, high = float(interval.low), float(interval.high)
    return {"n": count, "share": right / count, "low": low, "high": high}


def measure(answers: list[Answer], texts: list[str]) -> dict[str, Any]:
    """Return how many numbers are right, the error per digit, and what being sure is worth."""
    right = [answer == text for (answer, _), text in zip(answers, texts, strict=True)]
    pairs = zip(answers, texts, strict=True)
    errors = sum(edit_distance(answer, text) for (answer, _), text in pairs)
    result = {
        "exact": share(sum(right), len(right)),
        "character_error_rate": errors / max(sum(map(len, texts)), 1),
    }
    if answers and answers[0][1] is not None:
        sure = [bool(sure) for _, sure in answers]
        both = sum(ok and certain for ok, certain in zip(right, sure, strict=True))
        result["sure"] = share(sum(sure), len(sure))
        result["right_where_sure"] = share(both, sum(sure))
    return result


def run(data: Path, model: Path, ways: dict[str, Way | None]) -> dict[str, Any]:
    """Read every picture in every way: per way and set the figures, and the reader's errors."""
    with (data / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    sets = list(dict.fromkeys(row["set"] for row in rows))
    pictures = [load_pixels(data / row["file"])[0] for row in rows]
    texts = [only_digits(row["text"]) for row in rows]
    result: dict[str, Any] = {"sets": sets, "ways": {}, "model": model.name}
    for name, way in ways.items():
        if way is None:
            print(f"{name}: not installed, left out", file=sys.stderr)
            continue
        started = time.perf_counter()
        answers = [way(picture) for picture in pictures]
        seconds = time.perf_counter() - started
        figures: dict[str, Any] = {"all": measure(answers, texts)}
        for one in sets:
            chosen = [i for i, row in enumerate(rows) if row["set"] == one]
            own = [answers[i] for i in chosen]
            figures[one] = measure(own, [texts[i] for i in chosen])
        figures["seconds_per_picture"] = seconds / max(len(rows), 1)
        result["ways"][name] = figures
        if name == "this reader":
            for row, text, (answer, sure) in zip(rows, texts, answers, strict=True):
                if answer != text:
                    mark = "" if sure else "?"
                    print(f"{row['file']}: {text} read as {answer}{mark}", file=sys.stderr)
    return result


def table(result: dict[str, Any]) -> str:
    """Return the measurements as Markdown."""
    head = "| set | way | exact | 95% interval | digit errors | sure | right where sure |"
    lines = [head, "|---" * 7 + "|"]
    for one in [*result["sets"], *(["all"] if len(result["sets"]) > 1 else [])]:
        for name, figures in result["ways"].items():
            row = figures[one]
            exact = row["exact"]
            cells = [
                f"{one}, n = {exact['n']}",
                name,
                f"{exact['share']:.1%}",
                f"{exact['low']:.1%}–{exact['high']:.1%}",
                f"{row['character_error_rate']:.1%}",
                _percent(row.get("sure")),
                _percent(row.get("right_where_sure")),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _percent(found: dict[str, Any] | None) -> str:
    return "–" if found is None or found["share"] is None else f"{found['share']:.1%}"


def main() -> None:
    """Measure, write the figures, print the table."""
    parser = make_parser(__doc__, "read_numbers")
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--model", type=Path, default=SHIPPED_READER)
    parser.add_argument("--ours-only", action="store_true", help="leave the others out")
    parser.add_argument("--stages", action="store_true", help="without each stage in turn, too")
    options = parser.parse_args()
    ways: dict[str, Way | None] = {"this reader": by_reader(Reader(options.model))}
    for stage in WITHOUT if options.stages else ():
        ways[f"without `{stage}`"] = by_reader(reader_without(options.model, stage))
    if not options.ours_only:
        ways["Tesseract, one line of digits"] = by_tesseract()
        ways["RapidOCR, the whole as a line"] = by_rapidocr(find_lines=False)
        ways["RapidOCR, finding lines"] = by_rapidocr(find_lines=True)
    result = run(options.data, options.model, ways)
    save(options.output, result)
    print(table(result))


if __name__ == "__main__":
    main()
