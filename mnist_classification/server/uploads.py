"""What a client sent → pictures → the answer, as `mnist predict --json` has it.

    boundary = check_headers(request.headers, limits)          # before any of the body is read
    status, result = read_upload(reader, limits, boundary, body)

Nothing of an upload is stored, logged or unpickled; its names come back only as JSON strings.
"""

import io
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import PictureError
from .limits import Limits

if TYPE_CHECKING:
    from ..reader.reader import Reader

RAW = ""  # the boundary of a body that is one picture
MAX_NAME = 200  # characters of a file's name that come back
PREFIXES = ("image/",)
TYPES = ("", "application/octet-stream")


class RefusedError(Exception):
    """A request that is answered by a status and one line."""

    def __init__(self, status: int, text: str):
        super().__init__(text)
        self.status = status


def check_headers(headers: Mapping[str, str], limits: Limits) -> str:
    """Return the boundary of a multipart body, RAW where the body is a picture.

    Raises:
        RefusedError: the body is of a wrong type or announced to be too long.
    """
    encoding = headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise RefusedError(
            415, f"got content encoding {encoding[:40]!r}; expected none; try it uncompressed"
        )
    length = headers.get("content-length", "")
    if length.isdigit() and (len(length) > 15 or int(length) > limits.max_body_bytes):
        raise too_long(limits)
    from python_multipart.multipart import parse_options_header

    given, options = parse_options_header(headers.get("content-type"))
    media_type = given.decode("latin-1")
    if media_type == "multipart/form-data":
        return _check_boundary(options.get(b"boundary", b"").decode("latin-1"))
    if media_type in TYPES or media_type.startswith(PREFIXES):
        return RAW
    raise RefusedError(
        415,
        f"got content type {media_type[:80]!r}; expected image/*, application/octet-stream or "
        f"multipart/form-data; try curl --data-binary @FILE -H 'Content-Type: image/png'",
    )


def too_long(limits: Limits) -> RefusedError:
    """Return the refusal of a body beyond the limit."""
    return RefusedError(
        413,
        f"got a body of more than {limits.max_body_bytes:,} bytes; expected at most that; "
        f"try smaller or fewer pictures",
    )


def read_upload(reader: "Reader", limits: Limits, boundary: str, body: bytes) -> tuple[int, Any]:
    """Return the status and what is sent as JSON: an object for a picture, a list for a form.

    Raises:
        RefusedError: the form is damaged or has too many parts, or the picture can't be read.
    """
    if boundary == RAW:
        return 200, _read(reader, limits, "-", body)
    results = []
    for name, content in split_form(boundary, body, limits.max_parts):
        try:
            results.append(_read(reader, limits, name, content))
        except RefusedError as error:
            results.append(_unreadable(name, str(error)))
    return 422 if all("error" in result for result in results) else 200, results


def to_json(value: Any) -> bytes:
    """Return JSON in which no character means anything to HTML."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("ascii")


def split_form(boundary: str, body: bytes, max_parts: int) -> list[tuple[str, bytes]]:
    """Return name and content of each part of a multipart/form-data body.

    Raises:
        RefusedError: it is damaged, has no part or too many.
    """
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser

    form = _Form(body, max_parts)
    try:
        parser = MultipartParser(boundary, form.callbacks(), max_header_size=4096)
        parser.write(body)
    except FormParserError as error:
        raise _damaged(f"{error}") from None
    if not form.ended:
        raise _damaged("its last boundary is missing")
    if not form.parts:
        raise _damaged("it has no part")
    return form.parts


class _Form:
    """Collects the parts as the parser meets them; the whole body is one piece to it."""

    def __init__(self, body: bytes, max_parts: int):
        self.body = body
        self.max_parts = max_parts
        self.parts: list[tuple[str, bytes]] = []
        self.ended = False

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self.begin,
            "on_part_data": lambda data, start, end: self.pieces.append(data[start:end]),
            "on_part_end": lambda: self.parts.append((self.name(), b"".join(self.pieces))),
            "on_header_begin": lambda: self.headers.append([b"", b""]),
            "on_header_field": lambda data, start, end: self.header(0, data[start:end]),
            "on_header_value": lambda data, start, end: self.header(1, data[start:end]),
            "on_end": self.end,
        }

    def begin(self) -> None:
        if len(self.parts) >= self.max_parts:
            raise RefusedError(
                413, f"got more than {self.max_parts} parts; expected at most that; try fewer"
            )
        self.pieces: list[bytes] = []
        self.headers: list[list[bytes]] = []

    def header(self, place: int, piece: bytes) -> None:
        self.headers[-1][place] += piece

    def end(self) -> None:
        self.ended = True

    def name(self) -> str:
        """Return the file's name, else the field's."""
        from python_multipart.multipart import parse_options_header

        for key, value in self.headers:
            if key.lower() == b"content-disposition":
                options = parse_options_header(value)[1]
                name = options.get(b"filename") or options.get(b"name") or b"-"
                return name.decode("utf-8", "replace")[:MAX_NAME]
        return "-"


def _check_boundary(boundary: str) -> str:
    """Return it if it is one by RFC 2046."""
    if 1 <= len(boundary) <= 70 and all(33 <= ord(c) <= 126 or c == " " for c in boundary):
        return boundary
    raise RefusedError(
        400,
        "got multipart/form-data without a boundary of 1 to 70 characters; expected one in "
        "Content-Type; try to leave that header to the client, as curl -F does",
    )


def _damaged(reason: str) -> RefusedError:
    return RefusedError(
        400, f"got a damaged form ({reason}); expected multipart/form-data; try curl -F"
    )


def _read(reader: "Reader", limits: Limits, name: str, content: bytes) -> dict[str, Any]:
    """Read one picture whose header is within the limits."""
    check_picture(content, limits)
    try:
        return reader.read(content).as_json(name)
    except PictureError as error:
        raise RefusedError(422, str(error)) from None


def _unreadable(name: str, error: str) -> dict[str, Any]:
    from ..reader.reader import Reading

    return Reading("", (), error).as_json(name)


def check_picture(content: bytes, limits: Limits) -> None:
    """Refuse a picture by its header, before anything is decoded.

    Raises:
        RefusedError: it is in no format that is allowed, or has too many pixels.
    """
    from PIL import Image

    from ..reader.picture import is_heic, load_heic, tile_size

    formats = [name for name in limits.allowed if name != "HEIF"]
    try:
        if is_heic(content[:32]) and "HEIF" in limits.allowed:
            load_heic()
            formats = ["HEIF"]
        with Image.open(io.BytesIO(content), formats=formats) as image:
            pixels = max(image.width * image.height, math.prod(tile_size(image)))
    except PictureError as error:
        raise RefusedError(415, str(error)) from None
    except Image.DecompressionBombError:
        pixels = limits.max_pixels + 1
    except Exception:  # decoders raise whatever they like
        raise RefusedError(
            415,
            f"got a file that starts with {content[:8].hex() or 'nothing'}; expected a picture "
            f"in one of {', '.join(limits.allowed)}; try a PNG or JPEG copy",
        ) from None
    if pixels > limits.max_pixels:
        raise RefusedError(
            413,
            f"got a picture of more than {limits.max_pixels:,} pixels; expected at most that; "
            f"try a smaller copy",
        )
