"""The command that reads pictures: arguments and exit codes only, as in cli.py.

Reading needs no torch, unless it is by a model that only torch can run.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..errors import ModelError, PictureError, unknown
from ..options import Json
from ..progress import track_if_long

if TYPE_CHECKING:  # imports that would slow --help down
    from .reader import Reader, Reading

SHIPPED_READER = Path(__file__).parent.parent / "models" / "reader"
STANDARD_INPUT = "-"


def predict(
    pictures: Annotated[
        list[Path],
        Parameter(help="files, folders, or - for standard input", allow_leading_hyphen=True),
    ],
    *,
    model: Annotated[
        Path, Parameter(help="directory of a trained model, or an ONNX file")
    ] = SHIPPED_READER,
    explain: Path | None = None,
    json_: Json = False,
) -> None:
    """Read the digits on pictures: photos, scans, drawings.

    Example: mnist predict photo.jpg --explain stages.png

    A digit that the model is not sure of is followed by a question mark.

    Parameters
    ----------
    explain:
        Write a picture here that shows what each stage made of the one that is read.
    """
    names = [name for picture in pictures for name in _expand(picture)]
    if explain and len(names) != 1:
        raise PictureError(f"got {len(names)} pictures with --explain; expected one")
    reader = _load_reader(model)
    broken = []
    with track_if_long("reading", len(names)) as step:
        contents = _contents(names, step)
        readings = _explain(reader, contents, explain) if explain else reader.read_many(contents)
        for name, reading in zip(names, readings, strict=True):
            if reading.error:
                broken.append(name)
                if len(names) > 1:
                    print(reading.error, file=sys.stderr)
            if json_:
                print(json.dumps(reading.as_json(name)))
            elif not reading.error:
                print(f"{name}: {_in_words(reading)}" if len(names) > 1 else _in_words(reading))
    if broken and len(names) == 1:
        raise PictureError(reading.error)
    if broken:
        raise PictureError(f"{len(broken)} of {len(names)} pictures can't be read; they are named")


def _load_reader(model: Path) -> "Reader":
    """Return a reader with an ONNX model, or with one that `mnist train` wrote."""
    from .reader import Reader

    if model.is_file() or (model / "model.onnx").exists():
        return Reader(model)
    if not model.is_dir():
        raise ModelError(f"{model}: no model here; expected a directory or an ONNX file")
    from ..trained import load_model

    return Reader(classifier=load_model(model))


def _expand(picture: Path) -> Iterator[str]:
    """Yield the file itself, or the pictures in the folder, by their names."""
    if not picture.is_dir():
        if str(picture).startswith("--") and not picture.exists():
            raise PictureError(unknown("option", str(picture), ["--model", "--explain", "--json"]))
        yield str(picture)
        return
    from .picture import is_picture_name

    found = sorted(str(path) for path in picture.rglob("*") if is_picture_name(path))
    if not found:
        raise PictureError(f"{picture}: no pictures in this folder; expected PNG, JPEG or the like")
    yield from found


def _contents(names: list[str], step: Callable[[], None]) -> Iterator[bytes | str]:
    """Yield what is to be read; a step is done when the next is asked for."""
    from .picture import MAX_BYTES

    for name in names:
        # A byte more than is allowed, and no more: what comes in may never end.
        yield sys.stdin.buffer.read(MAX_BYTES + 1) if name == STANDARD_INPUT else name
        step()


def _explain(
    reader: "Reader", contents: Iterator[bytes | str], output: Path
) -> "Iterator[Reading]":
    """Read one picture, and write what each stage made of it."""
    import io

    from ..files import write_atomically
    from .explain import draw_stages
    from .ink import find_ink
    from .picture import load_pixels
    from .reader import Reading, cut_out

    for content in contents:
        try:
            pixels, scale = load_pixels(content)
        except PictureError as error:
            yield Reading("", (), str(error))
            continue
        page = find_ink(pixels)
        reading = reader.classify([cut_out(page, scale)])[0]
        buffer = io.BytesIO()
        draw_stages(page, reading).save(buffer, "PNG")
        write_atomically(output, buffer.getvalue())
        yield reading


def _in_words(reading: "Reading") -> str:
    """Return 20?47, with a question mark behind what is not sure, or say that there is nothing."""
    if not reading.digits:
        return "no digit here"
    marks = iter("" if digit.sure else "?" for digit in reading.digits)
    return "".join(c if c == "\n" else c + next(marks) for c in reading.text).replace("\n", " ")
