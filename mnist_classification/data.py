"""MNIST, and every data set in its format, as NumPy arrays.

    data = load_mnist()                       # the embedded MNIST
    data = load_mnist("fashion", holdout=10_000)
    data = load_mnist(holdout=10_000, fold=2) # the third of six blocks, for cross-validation

The IDX format and the 60,000/10,000 split are those of LeCun, Cortes and Burges,
"The MNIST database of handwritten digits" (1998).
"""

import dataclasses
import gzip
import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import DataError

EMBEDDED = Path(__file__).parent / "datasets" / "mnist"

# SHA-256 of the uncompressed files, the same that every mirror of the original gives.
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}

# An IDX file opens with its type (8: unsigned byte) and number of axes, then the axes' lengths.
IMAGES, LABELS = 0x00000803, 0x00000801
KINDS = {IMAGES: "images", LABELS: "labels"}


@dataclass(frozen=True, eq=False)  # arrays have no single answer to whether they are equal
class Examples:
    """Labelled images.

    Attributes:
        images: (N, 28, 28) uint8, 0 is paper and 255 is ink.
        labels: (N,) uint8, 0 to 9.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, chosen: np.ndarray | slice) -> "Examples":
        return Examples(self.images[chosen], self.labels[chosen])


def fingerprint(sha256: dict[str, str]) -> str:
    """Return one checksum for the four files' own."""
    return hashlib.sha256("".join(sha256.values()).encode()).hexdigest()


@dataclass(frozen=True)
class Mnist:
    """A data set in MNIST's format.

    Attributes:
        train: what the network learns from.
        holdout: what was carved off `train` to choose by, or None.
        fold: which block of the training set the hold-out is, from 0 on; None without one.
        test: scored once, when everything is chosen.
        sha256: of each uncompressed file, by its name in MNIST.
        directory: where the files lie.
    """

    train: Examples
    holdout: Examples | None
    test: Examples
    sha256: dict[str, str]
    directory: Path
    fold: int | None = None

    @property
    def fingerprint(self) -> str:
        """One checksum of the four files, for telling data sets apart."""
        return fingerprint(self.sha256)

    @property
    def is_mnist(self) -> bool:
        """Whether it is MNIST itself, which has figures of others, groups and disputed labels."""
        return self.sha256 == SHA256


def load_mnist(
    directory: str | Path | None = None, *, holdout: int = 0, fold: int | None = None
) -> Mnist:
    """Read the four IDX files, compressed or not.

    Args:
        directory: the files' folder, or one laid out as torchvision leaves it (`MNIST/raw`
            inside); None takes the environment's MNIST_DATA_DIR, else the embedded MNIST.
        holdout: how many training images to set aside, see `set_aside`.
        fold: which block of that size, from 0 on; None for the last.

    Raises:
        DataError: a file is missing or is not what its name says, or there is no such block.
    """
    directory = Path(directory or os.environ.get("MNIST_DATA_DIR") or EMBEDDED)
    paths = {name: _find(directory, name) for name in SHA256}
    contents, sha256 = {}, {}
    for name, path in paths.items():
        contents[name], sha256[name] = _read(path)
    if directory == EMBEDDED and sha256 != SHA256:
        damaged = [str(paths[name]) for name in SHA256 if sha256[name] != SHA256[name]]
        raise DataError(
            f"{', '.join(damaged)}: the SHA-256 is not the original's; "
            f"the installation is damaged, install it again"
        )
    train, test = (
        _examples(
            paths[f"{part}-images-idx3-ubyte"],
            contents[f"{part}-images-idx3-ubyte"],
            paths[f"{part}-labels-idx1-ubyte"],
            contents[f"{part}-labels-idx1-ubyte"],
        )
        for part in ("train", "t10k")
    )
    return set_aside(Mnist(train, None, test, sha256, directory), holdout, fold)


def set_aside(data: Mnist, holdout: int, fold: int | None = None) -> Mnist:
    """Return the data set with a contiguous block of its training set held out.

    MNIST's training set alternates two groups of writers: images with an even index are by
    high-school students (thinner, mean grey 31.3; the first half of the test set has 31.1), those
    with an odd index by census employees (35.4; the second half has 36.4), each employee's in a
    row. Every n-th image, for an even n, would therefore be of one group alone; a contiguous block
    has both, and most of its employees wholly inside.

    Args:
        holdout: images in a block; 0 for none.
        fold: which block, from 0 on; None for the last.

    Raises:
        DataError: the training set has no such block, or nothing would be left of it.
    """
    check_block(data, holdout, fold)
    if not holdout:
        return data
    fold = len(data.train) // holdout - 1 if fold is None else fold
    first, last = fold * holdout, (fold + 1) * holdout
    rest: np.ndarray | slice
    if last == len(data.train):
        rest = slice(first)  # a view: what is mapped from a file stays there
    elif first == 0:
        rest = slice(last, None)
    else:
        rest = np.delete(np.arange(len(data.train)), slice(first, last))
    held = data.train[first:last]
    return dataclasses.replace(data, train=data.train[rest], holdout=held, fold=fold)


def check_block(data: Mnist, holdout: int, fold: int | None) -> None:
    """Refuse what `set_aside` can't set aside, without copying anything.

    Raises:
        DataError: the training set has no such block, or nothing would be left of it.
    """
    blocks = len(data.train) // holdout if holdout > 0 else 0
    if holdout < 0 or (holdout and holdout >= len(data.train)):
        raise DataError(
            f"got a hold-out of {holdout} images; expected 0 to {len(data.train) - 1}, fewer than "
            f"the training set has; try {len(data.train) // 6}"
        )
    if fold is not None and not 0 <= fold < blocks:
        expected = f"0 to {blocks - 1}" if holdout else "a hold-out beside it; try --holdout 10000"
        raise DataError(f"got fold {fold}; expected {expected}")


def _find(directory: Path, name: str) -> Path:
    """Return the file of that name in `directory` or one torchvision layout below it."""
    # os.path says no of what may not be looked into, where Path raises PermissionError.
    if not os.path.isdir(directory):  # noqa: PTH112
        raise DataError(f"got data directory {directory}; expected a folder; try --data-dir FOLDER")
    folders = [directory, directory / "raw", *sorted(directory.glob("*/raw"))]
    spellings = [name, name.replace("-idx", ".idx")]  # some mirrors write a dot
    paths = [f / (s + end) for f in folders for s in spellings for end in ("", ".gz")]
    found = [path for path in paths if os.path.isfile(path)]  # noqa: PTH113
    if not found:
        raise DataError(f"{directory}: no {name} or {name}.gz here; expected MNIST's four files")
    if len({path.parent for path in found}) > 1:
        places = ", ".join(str(path.parent) for path in found)
        raise DataError(f"{directory}: several data sets ({places}); name one with --data-dir")
    return found[0]


def _read(path: Path) -> tuple[np.ndarray, str]:
    """Return the file's bytes, uint8, and their SHA-256; decompressed where they are gzip.

    What is not compressed is mapped into memory: the system reads the pages that are asked for and
    drops them when it needs the room, and processes share them. Copy on write, since PyTorch takes
    only arrays that may be written to.
    """
    try:
        with path.open("rb") as file:
            compressed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not compressed and path.stat().st_size:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                return np.asarray(np.memmap(path, np.uint8, mode="c")), sha256
            content = gzip.decompress(file.read()) if compressed else b""
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: can't be read: {error}; expected a whole gzip file") from error
    return np.frombuffer(bytearray(content), np.uint8), hashlib.sha256(content).hexdigest()


def _examples(
    image_path: Path, image_bytes: np.ndarray, label_path: Path, label_bytes: np.ndarray
) -> Examples:
    images = _parse(image_path, image_bytes, IMAGES)
    labels = _parse(label_path, label_bytes, LABELS)
    if images.shape[1:] != (28, 28):
        height, width = images.shape[1:]
        raise DataError(f"{image_path}: images of {height}×{width} pixels; expected 28×28")
    if len(images) != len(labels):
        raise DataError(
            f"{label_path}: {len(labels)} labels for the {len(images)} images of {image_path}; "
            f"expected as many"
        )
    if len(labels) == 0:
        raise DataError(f"{image_path}: no images; expected at least one")
    if labels.max() > 9:
        first = int(np.argmax(labels > 9))
        raise DataError(f"{label_path}: label {labels[first]} at index {first}; expected 0 to 9")
    return Examples(images, labels)


def _parse(path: Path, content: np.ndarray, magic: int) -> np.ndarray:
    """Return the array in an IDX file's bytes, checked against its header."""
    header = 4 + 4 * (magic & 0xFF)
    opening = content[:header].tobytes()
    found = int.from_bytes(opening[:4], "big")
    if len(content) < 4 or found not in KINDS:
        raise DataError(
            f"{path}: starts with bytes {opening[:4].hex() or '(none)'}; expected {magic:08x}, "
            f"IDX {KINDS[magic]}, compressed with gzip or not"
        )
    if found != magic:
        raise DataError(
            f"{path}: holds {KINDS[found]}; expected {KINDS[magic]}; are two files swapped?"
        )
    shape = tuple(int.from_bytes(opening[i : i + 4], "big") for i in range(4, header, 4))
    expected = header + int(np.prod(shape, dtype=object))
    if len(content) != expected:
        raise DataError(
            f"{path}: {len(content)} bytes; expected {expected} for the {shape[0]} {KINDS[magic]} "
            f"that its header names; is the file truncated?"
        )
    return content[header:].reshape(shape)
