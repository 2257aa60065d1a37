"""What the server takes from strangers at most; each field is a flag of `mnist serve`."""

from dataclasses import dataclass, fields
from typing import Annotated

from ..errors import ServeError, unknown

# The reader knows more; rare ones are rarely meant well.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "HEIF", "PPM", "QOI")
LONGEST = 86_400  # seconds; no clock counts for ever
READER_PIXELS = 50_000_000  # the reader itself refuses more


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one server; what is beyond them is refused, not cut.

    Raises:
        ServeError: a limit that makes no sense.
    """

    max_body_bytes: Annotated[int, "of one request, announced or not; beyond it 413"] = 20_000_000
    max_held_bytes: Annotated[int, "of all requests together; beyond it 503"] = 200_000_000
    max_pixels: Annotated[int, "of one picture, before it is decoded; beyond it 413"] = 50_000_000
    max_parts: Annotated[int, "of one multipart request; beyond it 413"] = 32
    formats: Annotated[str, "of pictures, with commas between; others 415"] = (
        "PNG,JPEG,GIF,BMP,TIFF,WEBP,AVIF,HEIF"
    )
    send_seconds: Annotated[float, "for a client to send a request; beyond it 408"] = 20.0
    read_seconds: Annotated[float, "for one request's pictures to be read; beyond it 503"] = 30.0
    max_in_flight: Annotated[int, "requests being read or waiting for it; beyond it 503"] = 64
    max_connections: Annotated[int, "open at a time; beyond it 503"] = 500

    def __post_init__(self) -> None:
        for field in fields(self):
            value, flag = getattr(self, field.name), field.name.replace("_", "-")
            if not isinstance(value, str) and not 0 < value < float("inf"):
                raise ServeError(f"got --{flag} {value}; expected more than 0; try the default")
            if field.name.endswith("_seconds") and value > LONGEST:
                raise ServeError(
                    f"got --{flag} {value}; expected at most {LONGEST}, a day; try the default"
                )
        if self.max_pixels > READER_PIXELS:
            raise ServeError(
                f"got --max-pixels {self.max_pixels}; expected at most {READER_PIXELS}, the "
                f"reader's own limit; try the default"
            )
        if self.max_body_bytes > self.max_held_bytes:
            raise ServeError(
                f"got --max-body-bytes {self.max_body_bytes} and --max-held-bytes "
                f"{self.max_held_bytes}; expected one request to be at most all of them together; "
                f"try a greater --max-held-bytes"
            )
        for name in self.allowed:
            if name not in FORMATS:
                raise ServeError(unknown("format", name, FORMATS))

    @property
    def allowed(self) -> tuple[str, ...]:
        """The formats by Pillow's names."""
        return tuple(name.strip().upper() for name in self.formats.split(","))
