"""Any picture → its pixels as an array; a file that is not what it says is refused in one line.

    pixels, scale = load_pixels("photo.jpg")          # (H, W, 3) uint8, at most about a megapixel

Pictures come from strangers, so the size is checked before anything is decoded, the formats are
those that Pillow reads by itself, and large pictures are shrunk, JPEGs while they are read. Two of
its formats are left out: an icon is decoded before its size is known, and JPEG 2000 takes several
times the memory of any other. `benchmarks/read_hostile.py` measures what pictures cost at most.
"""

import io
import math
import os
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from scipy import ndimage

from ..errors import PictureError

MAX_PIXELS = 50_000_000
MAX_BYTES = 8 * MAX_PIXELS  # four channels of 16 bits, uncompressed
MAX_BYTES_AT_ONCE = MAX_PIXELS  # of WebP, AVIF and HEIC, compressed well and read as a whole
# What Pillow decodes in Python, pixel by pixel or, of comments, worse: a second for so much.
SLOW_DECODERS = ("bmp_rle", "ppm", "ppm_plain", "qoi")
MAX_BYTES_SLOW, MAX_PIXELS_SLOW = 200_000, 1_000_000
MAX_SCANS = 50  # of a JPEG; each takes as long as decoding all of it once, and may be of 70 bytes
MAX_SIDE = 1024  # pixels kept; a digit that fills a quarter of the page still has 100 of them
LONGEST_SIDE = 2 * MAX_SIDE  # of what is more than twice as long as wide, such as a till roll
# Of what is opaque: its rim, as a share of the root of its area; how much of paper is not rim; how
# far ink is from it in brightness, of 255; and how many pixels of that are something.
RIM, WIDE, MIN_SHADES, MIN_WRITTEN = 0.12, 0.15, 64, 20
EVEN = 0.9  # of the largest opacity: where all have so much, there is no shape in it
FORMATS = (
    *("PNG", "JPEG", "GIF", "BMP", "DIB", "PPM"),  # Pillow imports the rest when it gets so far
    *("TIFF", "WEBP", "TGA", "PCX", "SGI", "QOI", "AVIF"),
)
MANY_FRAMES_ALLOWED = {"MPO"}  # a JPEG with its preview, which Pillow opens as JPEG

# EXIF's orientation tag: what was done to the upright picture, undone.
ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ON_ITS_SIDE = 5  # from here on across and down change places
TO_REDUCE = {"1": "L", "P": "RGBA", "PA": "RGBA", "La": "LA", "RGBa": "RGBA"}  # else no averaging
TILE_WIDTH, TILE_LENGTH = 322, 323  # tags of TIFF
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jfif", ".mpo", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp"),
    *(".avif", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".pcx", ".sgi", ".qoi"),
    *(".heic", ".heif"),
)

# Pillow warns of damaged metadata that we don't use, and of sizes above a limit that is not ours.
# Once for all: filters that come and go with each picture are not safe between threads.
# Behind those that are there, which may make an error of what Pillow warns of.
warnings.filterwarnings("ignore", module=r"PIL\.", append=True)

Picture = str | Path | bytes | bytearray | memoryview | BinaryIO | Image.Image | np.ndarray
Scale = tuple[float, float]  # across and down


def load_pixels(picture: Picture) -> tuple[np.ndarray, Scale]:
    """Return a picture upright and opaque, (H, W, 3) uint8, and original pixels per pixel of it.

    Args:
        picture: path, the bytes of a file, an open binary file, a PIL image, or an array: (H, W),
            (H, W, 1 to 4); floating point numbers are taken as 0 to 1 if none is above 1, else as 0
            to 255; (H, W) uint16 as the range that they have, as in a grey file of 16 bits, other
            uint16 as 0 to 65,535, other integers as 0 to 255.

    Raises:
        PictureError: it can't be read, or is larger than 50 megapixels or than such a file can be.
    """
    try:
        if isinstance(picture, Image.Image):
            return _load(picture, own=False)
        if isinstance(picture, np.ndarray):
            return _load(_from_array(picture))
        content = _read_open(picture) if hasattr(picture, "read") else picture
        if isinstance(content, bytes | bytearray | memoryview):
            with _open(io.BytesIO(content)) as image:
                return _load(image)
        if not isinstance(picture, str | Path):
            raise PictureError(
                f"got {type(picture).__name__}; expected a path, bytes, an open binary file, a PIL "
                f"image or an array"
            )
        with _open_file(Path(picture)) as file, _open(file) as image:
            return _load(image)
    except PictureError as error:
        if isinstance(picture, str | Path):
            raise PictureError(f"{picture}: {error}") from None
        raise


def _load(image: Image.Image, *, own: bool = True) -> tuple[np.ndarray, Scale]:
    """Decode a picture of a bearable size; not `own` is the caller's, to be left as it is."""
    width, height = image.size
    if min(width, height) < 1:
        raise PictureError(f"got a picture of {width}×{height} pixels; expected at least 1×1")
    _check_size(width, height)
    try:
        _check_size(*tile_size(image))
        small, orientation = _shrink(image, own)
        scale = width / small.width, height / small.height
        if orientation in UPRIGHT:
            small = small.transpose(UPRIGHT[orientation])
            scale = scale if orientation < ON_ITS_SIDE else scale[::-1]
        return _opaque(small), scale
    except PictureError:
        raise
    except MemoryError:
        raise PictureError("got a picture too large for the memory; try a smaller copy") from None
    except Exception as error:  # decoders of many formats raise whatever they like
        raise PictureError(
            f"got a damaged picture ({_first_line(error)}); expected a whole file; "
            f"try to open and save it in another program"
        ) from None


def is_picture_name(path: Path) -> bool:
    """Say whether a file in a folder is meant to be a picture."""
    visible = path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    return visible and os.path.isfile(path)  # noqa: PTH113 - where we may not look, there is none


def _read_open(file: Any) -> bytes:
    """Return what is in an open file, and a byte more than is allowed at most."""
    try:
        return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # closed, or opened as text or to be written
        raise PictureError(f"can't be read: {error}; expected an open binary file") from None


def _open_file(path: Path) -> BinaryIO:
    try:
        if not path.is_file():  # nor is a device or a pipe, which may never end
            kind = "a pipe or a device" if path.exists() else "no file of that name"
            raise PictureError(f"{'a folder' if path.is_dir() else kind}; expected a picture")
        return path.open("rb")
    except OSError as error:
        raise PictureError(f"can't be read: {error.strerror}") from None


def _open(file: BinaryIO) -> Image.Image:
    """Read a file's header; nothing is decoded yet."""
    start = file.read(32)
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    at_once = start[:4] == b"RIFF" or start[4:8] == b"ftyp"
    limit = MAX_BYTES_AT_ONCE if at_once else MAX_BYTES
    if size > limit:
        raise PictureError(
            f"got a file of {size / 1e6:,.0f} MB; expected at most {limit // 1_000_000}; "
            f"try a smaller copy"
        )
    formats = [*FORMATS]
    if is_heic(start):
        load_heic()
        formats = ["HEIF", *FORMATS]
    try:
        image = Image.open(file, formats=formats)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000  # Pillow's own limit
        raise PictureError(_too_large(f"more than {most:,}")) from None
    except Exception:  # as below
        raise PictureError(
            f"got a file that starts with {start[:8].hex() or 'nothing'}; expected a picture in "
            f"one of {', '.join(formats)}; try a PNG or JPEG copy"
        ) from None
    slow = any(tile[0] in SLOW_DECODERS for tile in getattr(image, "tile", ()))
    if slow and (size > MAX_BYTES_SLOW or image.width * image.height > MAX_PIXELS_SLOW):
        raise PictureError(
            f"got a {image.format} of a kind that takes long to decode, {size / 1e3:,.0f} kB "
            f"and {image.width}×{image.height} pixels; expected at most "
            f"{MAX_BYTES_SLOW // 1000} kB and a megapixel; try a PNG copy"
        )
    scans = _count_scans(file) if image.format in ("JPEG", "MPO") else 0
    if scans > MAX_SCANS:
        raise PictureError(
            f"got a JPEG of {scans:,} scans, which takes long to decode; expected at most "
            f"{MAX_SCANS}; try to save it anew"
        )
    try:
        frames = bool(getattr(image, "is_animated", False))
    except Exception:
        frames = False  # a damaged second frame; whether the first is whole shows in a moment
    if frames and image.format not in MANY_FRAMES_ALLOWED:
        raise PictureError(
            "got an animation or several pages; expected one picture; try to save one as PNG"
        )
    return image


def _count_scans(file: BinaryIO) -> int:
    """Return how often a JPEG goes over its pixels, those of its previews among them."""
    place, scans, last = file.tell(), 0, b""
    file.seek(0)
    while part := file.read(1 << 20):
        scans += (last + part).count(b"\xff\xda")
        last = part[-1:]
    file.seek(place)
    return scans


def is_heic(start: bytes) -> bool:
    """Say whether a file that starts so is a photo as Apple's telephones take them."""
    return start[4:8] == b"ftyp" and start[8:12] in HEIC_BRANDS and b"avif" not in start


def load_heic() -> None:
    """Let Pillow read HEIC.

    Raises:
        PictureError: what reads it is not installed.
    """
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise PictureError(
            "got a HEIC photo; expected a format that Pillow reads by itself; "
            "try pip install pillow-heif, or a JPEG copy"
        ) from None
    register_heif_opener()


def tile_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height of a TIFF's tiles, which may be larger than itself; else 0, 0.

    Raises:
        ValueError: they are no numbers.
    """
    tags = getattr(image, "tag_v2", {})
    width, height = tags.get(TILE_WIDTH, 0), tags.get(TILE_LENGTH, 0)
    if not (isinstance(width, int) and isinstance(height, int)):  # a product of text is long text
        raise ValueError("a tile's size is no number")
    return width, height


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise PictureError(_too_large(f"{width}×{height} = {width * height / 1e6:,.0f}"))


def _too_large(size: str) -> str:
    return (
        f"got a picture of {size} megapixels; expected at most {MAX_PIXELS // 1_000_000}; "
        f"try a smaller copy"
    )


def _shrink(image: Image.Image, own: bool) -> tuple[Image.Image, int]:
    """Decode the picture, shrunk if it is large; return its orientation, too."""
    if own and image.format in ("JPEG", "MPO"):
        image.draft(None, (MAX_SIDE, MAX_SIDE))  # decodes a half, a quarter or an eighth of it
    if own and image.format == "WEBP":
        _load_webp(image)
    image.load()
    orientation = _orientation(image)  # some formats know it, or have undone it, only when loaded
    if image.mode.startswith("I;16"):
        image = image.convert("I")
    elif image.mode in TO_REDUCE:
        image = image.convert(TO_REDUCE[image.mode])
    factor = _factor(*image.size)
    if factor > 1:  # no side below one pixel, however long and thin the picture is
        image = image.reduce((min(factor, image.width), min(factor, image.height)))
    return image, orientation


def _factor(width: int, height: int) -> int:
    """Return by how much a picture shrinks: to MAX_SIDE, a long and thin one to less area."""
    side = min(max(width, height), math.sqrt(2 * width * height))
    return math.ceil(max(side / MAX_SIDE, max(width, height) / LONGEST_SIDE))


def _load_webp(image: Any) -> None:
    """Decode a WebP without its decoder beside it, which keeps two more copies of the pixels."""

    def prepare() -> None:  # Pillow calls it when they are decoded, before it copies them
        image._decoder = None
        del image.load_prepare
        image.load_prepare()

    image.load_prepare = prepare
    image.load()


def _orientation(image: Image.Image) -> int:
    """Return EXIF's orientation; 1, upright, where there is none or it is garbage."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:
        return 1


def _opaque(image: Image.Image) -> np.ndarray:
    """Return (H, W, 3) uint8; what is transparent becomes paper.

    In a drawing on a transparent page the ink is what is opaque, whatever its colours. In a picture
    with some transparent parts, they take the colour of the paper around them.
    """
    if image.mode in ("I", "F"):  # 16 bits or more per pixel: the range that is used, made 8 bits
        values = np.nan_to_num(np.asarray(image, np.float32)).astype(float)  # so that none overflow
        low, high = float(values.min()), float(values.max())
        grey = ((values - low) / max(high - low, 1e-9) * 255).round().astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"))
    rgba = np.asarray(image.convert("RGBA"))
    alpha = rgba[:, :, 3:]
    if alpha.min() == 255:
        return rgba[:, :, :3].copy()
    seen = alpha[:, :, 0] > alpha.max() / 2  # a thin or pale pen is nowhere opaque
    if not seen.any():
        return np.full((*alpha.shape[:2], 3), 255, np.uint8)
    light = rgba[:, :, :3] @ np.array([0.3, 0.6, 0.1], np.float32)
    if alpha.min() < EVEN * alpha.max() and not _is_written_on(seen, light):
        return np.repeat(255 - alpha, 3, axis=2)  # the shape is in the transparency
    paper = np.median(rgba[seen][:, :3], axis=0)
    # Beyond its edge lies nothing that is written, such as the shadow of a window.
    share = np.where(seen[:, :, None], alpha / np.float32(alpha.max()), 0)
    return (
        (rgba[:, :, :3] * share + paper.astype(np.float32) * (1 - share)).round().astype(np.uint8)
    )


def _is_written_on(opaque: np.ndarray, light: np.ndarray) -> bool:
    """Say whether what is opaque is paper with ink on it, not the strokes of a pen.

    Paper is wide, and something on it, away from its edge, is of another shade.

    Args:
        opaque: (H, W) bool, some of it.
        light: (H, W) float32, 0 to 255.
    """
    inside = opaque
    if not opaque.all():
        inside = ndimage.distance_transform_edt(opaque) > RIM * np.sqrt(opaque.sum())
    written = np.abs(light[inside] - np.median(light[opaque])) >= MIN_SHADES
    return bool(inside.sum() >= WIDE * opaque.sum() and written.sum() >= MIN_WRITTEN)


def _from_array(array: np.ndarray) -> Image.Image:
    """Wrap an array as a PIL image."""
    shape = array.shape
    if array.ndim == 3 and shape[2] == 1:
        array = array[:, :, 0]
    if (
        array.size == 0
        or array.ndim not in (2, 3)
        or (array.ndim == 3 and shape[2] not in (2, 3, 4))
    ):
        raise PictureError(
            f"got an array of shape {shape}; expected (height, width) or (height, width, 1 to 4)"
        )
    _check_size(array.shape[1], array.shape[0])
    if array.dtype.kind not in "uifb":
        raise PictureError(f"got an array of {array.dtype}; expected numbers")
    values: Any = array
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:  # of either byte order
        if array.ndim == 2:
            return Image.fromarray(array.astype(np.int32))
        values = array / 257
    elif array.dtype.kind in "fb":
        with np.errstate(over="ignore"):  # as infinity
            values = np.nan_to_num(array.astype(np.float32))
        values = values * 255 if values.max() <= 1 else values
    return Image.fromarray(np.clip(values, 0, 255).round().astype(np.uint8))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
