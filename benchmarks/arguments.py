"""The benchmarks' flags, and where what they measured goes; needs no torch.

A benchmark writes to runs/benchmarks/NAME.json unless it is told otherwise. What is committed lies
in results/benchmarks/, and `table` in each of them makes the table in docs/ of it.
"""

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

from mnist_classification.errors import MnistError
from mnist_classification.files import make_folder, write_atomically


def make_parser(documentation: str, name: str) -> ArgumentParser:
    """Return the parser of a benchmark's flags, with --output."""
    made = ArgumentParser(description=documentation.splitlines()[0])
    output = Path("runs") / "benchmarks" / f"{name}.json"
    made.add_argument("--output", type=file, default=output, help="JSON file of the result")
    return made


def file(text: str) -> Path:
    """Return the path of a file, which need not be there.

    Raises:
        ArgumentTypeError: it is a folder.
    """
    if Path(text).is_dir():
        raise ArgumentTypeError(f"got the folder {text}; expected a file's name")
    return Path(text)


def positive(text: str) -> int:
    """Return a whole number of 1 or more.

    Raises:
        ArgumentTypeError: it is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"got {text!r}; expected a whole number of 1 or more")
    return int(text)


def save(path: Path, result: Any) -> None:
    """Write a result whole or not at all; exit with one line where it can't be written."""
    try:
        make_folder(path.parent)
        write_atomically(path, json.dumps(result, indent=1) + "\n")
    except MnistError as error:
        sys.exit(f"error: {error}")
