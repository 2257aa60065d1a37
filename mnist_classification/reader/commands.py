"""`mnist predict`: arguments and exit codes only. Reading needs no torch."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..errors import ModelError, PictureError, unknown
from ..options import Json
from ..progress import track_if_long
from ..shipped import SHIPPED_READER

if TYPE_CHECKING:  # imports that would slow --help down
    from .reader import Line, Reader, Reading

STANDARD_INPUT = "-"
SOFTWARE = "mnist predict --explain"  # in the pictures that it writes


def predict(
    pictures: Annotated[
        list[str],
        Parameter(help="files, folders, or - for standard input", allow_leading_hyphen=True),
    ],
    *,
    model: Annotated[
        Path, Parameter(help="directory of a reader's model, or an ONNX file")
    ] = SHIPPED_READER,
    explain: Path | None = None,
    json_: Json = False,
) -> None:
    """Read the numbers on pictures: photos, scans, drawings.

    Example: mnist predict photo.jpg --explain stages.png

    Points, commas and signs are not read: 12,50 gives 1250. A number that the model is not sure of
    is followed by a question mark, and so is each of its digits that it is not sure of.

    Parameters
    ----------
    explain:
        Write a picture here that shows the lines that were found, and where each digit was seen.
    """
    names = [name for picture in pictures for name in _expand(picture)]
    if explain and len(names) != 1:
        raise PictureError(f"got {len(names)} pictures with --explain; expected one")
    if explain:
        _check_explanation(explain)
    reader = _load_reader(model)
    broken = []
    with track_if_long("reading", len(names)) as step:
        contents = _contents(names, step)
        readings = _explain(reader, contents, explain) if explain else reader.read_many(contents)
        for name, reading in zip(names, readings, strict=True):
            if reading.error:
                broken.append(name)
                if len(names) > 1:
                    whose = "standard input: " if name == STANDARD_INPUT else ""
                    print(f"{whose}{reading.error}", file=sys.stderr)
            if json_:
                print(json.dumps(reading.as_json(name)))
            elif not reading.error:
                print(f"{name}: {_in_words(reading)}" if len(names) > 1 else _in_words(reading))
    if broken and len(names) == 1:
        raise PictureError(reading.error)
    if broken:
        raise PictureError(f"{len(broken)} of {len(names)} pictures can't be read; they are named")


def _load_reader(model: Path) -> "Reader":
    """Return a reader with the model of a folder, or an ONNX file."""
    from .reader import Reader
    from .recognizer import find_model

    try:
        missing, file = not model.exists(), find_model(model)
    except OSError:  # a name that is too long, say: reading it says so
        return Reader(model)
    if missing:
        raise ModelError(f"{model}: no model here; expected a reader's directory or an ONNX file")
    if file != model and not file.exists():
        raise ModelError(
            f"{model}: got a directory without model.onnx; expected a reader's, as the one that is "
            f"shipped; a classifier of single images can't read lines; try without --model"
        )
    return Reader(model)


def _expand(picture: str) -> Iterator[str]:
    """Yield the file itself, or the pictures in the folder, by their names."""
    if not picture:
        raise PictureError("got an empty name; expected a picture or a folder")
    path = Path(picture)
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except OSError:  # a name that is too long, say
        is_folder, exists = False, False
    if not is_folder:
        if picture.startswith("--") and not exists:
            raise PictureError(unknown("option", picture, ["--model", "--explain", "--json"]))
        yield picture
        return
    from .picture import is_picture_name

    walk = os.walk(path, onerror=_refuse_folder)
    files = (Path(folder, name) for folder, _, names in walk for name in names)
    found = sorted(str(file) for file in files if is_picture_name(file))
    if not found:
        raise PictureError(f"{picture}: no pictures in this folder; expected PNG, JPEG or the like")
    yield from found


def _refuse_folder(error: OSError) -> None:
    raise PictureError(f"{error.filename}: can't be read: {error.strerror}; leave this folder out")


def _contents(names: list[str], step: Callable[[], None]) -> Iterator[bytes | str]:
    """Yield what is to be read; a step is done when the next is asked for."""
    from .picture import MAX_BYTES

    for name in names:
        # A byte more than is allowed, and no more: what comes in may never end.
        yield _read_standard_input(MAX_BYTES + 1) if name == STANDARD_INPUT else name
        step()


def _read_standard_input(most: int) -> bytes:
    if sys.stdin is None:
        raise PictureError("standard input is closed; expected a picture; try a file's name")
    return sys.stdin.buffer.read(most)


def _explain(
    reader: "Reader", contents: Iterator[bytes | str], output: Path
) -> "Iterator[Reading]":
    """Read one picture, and write what each stage made of it."""
    import io

    from PIL.PngImagePlugin import PngInfo

    from ..files import write_atomically
    from .explain import draw_stages
    from .picture import load_pixels
    from .reader import Reading

    for content in contents:
        try:
            pixels, scale = load_pixels(content)
        except PictureError as error:
            yield Reading("", (), str(error))
            continue
        page, seen = reader.look(pixels)
        reading = reader.describe(page, seen, scale)
        buffer = io.BytesIO()
        marked = PngInfo()
        marked.add_text("Software", SOFTWARE)
        draw_stages(page, seen, reading).save(buffer, "PNG", pnginfo=marked)
        write_atomically(output, buffer.getvalue())
        yield reading


def _check_explanation(output: Path) -> None:
    """Refuse to write over a file that is no explanation, such as the picture itself."""
    from PIL import Image

    if output.suffix.lower() != ".png":
        raise PictureError(f"got --explain {output}; expected a name that ends in .png")
    if not os.path.exists(output):  # noqa: PTH110 - a name too long is none: writing it says so
        return
    ours = False
    if output.is_file():  # else it may be a pipe, which nobody writes into
        with (
            contextlib.suppress(Exception),  # decoders raise whatever they like
            Image.open(output, formats=["PNG"]) as image,
        ):
            ours = image.info.get("Software") == SOFTWARE
    if not ours:
        raise PictureError(f"{output}: is there, and no explanation of ours; try another name")


def _in_words(reading: "Reading") -> str:
    """Return 2047, or 20?47? where that is not sure, or say that there is nothing."""
    return " ".join(_line_in_words(line) for line in reading.lines) or "no digit here"


def _line_in_words(line: "Line") -> str:
    marked = "".join(f"{digit.label}{'' if digit.sure else '?'}" for digit in line.digits)
    return marked if line.sure or marked.endswith("?") else f"{marked}?"
