"""One process that reads what the server hands it: `python -m mnist_classification.server.worker`.

The server starts one per processor. A request comes on standard input and its answer goes to
standard output, as REQUEST, TAKEN and ANSWER below have it; the process ends where its input does.
So a picture that brings a decoder down, or that takes too long, costs one request and no more.
"""

import contextlib
import json
import os
import signal
import struct
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import ModelError
from .limits import Limits
from .uploads import RefusedError, read_upload, to_json

REQUEST = struct.Struct(">HQ")  # lengths of boundary and body, which follow
ANSWER = struct.Struct(">HQ")  # status, and length of the JSON that follows
TAKEN = b"+"  # comes before an answer: the request is here, and has to do with what happens now
FAILED = 1  # "status" of an answer that says why no reader could be started, or what it fails on
KNOWN_NUMBER = Path(__file__).with_name("known_number.png")
KNOWN_TEXT = "2047"  # what is on it


def main() -> None:
    """Load the reader, say what it is, and answer requests until there are no more."""
    for stop in (signal.SIGINT, signal.SIGTERM):  # they go to the whole group of processes
        signal.signal(stop, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not spoil an answer
    warnings.simplefilter("ignore")
    model, limits = json.loads(sys.argv[1])
    with contextlib.suppress(BrokenPipeError):  # the server is gone
        try:
            reader, facts = start_reader(model)
        except ModelError as error:
            send(answers, FAILED, {"error": str(error)})
            return
        send(answers, 200, facts)
        serve(reader, Limits(**limits), sys.stdin.buffer, answers)


def start_reader(model: str) -> tuple[Any, dict[str, Any]]:
    """Return a reader that has read a known number right, and what is to be known about it.

    Raises:
        ModelError: there is no model, it is damaged, or reads the number wrong.
    """
    import hashlib

    from ..reader.reader import Reader
    from ..reader.recognizer import find_networks

    reader = Reader(model)
    text = reader.read(KNOWN_NUMBER).text
    if text != KNOWN_TEXT:
        raise ModelError(
            f"{model}: reads {text!r} where {KNOWN_TEXT!r} is written; expected a model that "
            f"reads it; try the one that ships"
        )
    content = b"".join(file.read_bytes() for file in find_networks(model))
    return reader, {
        "name": Path(model).name,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "threshold": reader.threshold,
    }


def serve(reader: Any, limits: Limits, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests one after the other."""
    while len(head := requests.read(REQUEST.size)) == REQUEST.size:
        boundary_length, body_length = REQUEST.unpack(head)
        boundary = requests.read(boundary_length).decode("latin-1")
        body = requests.read(body_length)
        answers.write(TAKEN)
        answers.flush()
        try:
            send(answers, *read_upload(reader, limits, boundary, body))
        except RefusedError as error:
            send(answers, error.status, {"error": str(error)})
        except Exception as error:  # a defect of ours: where it is, and nothing of the picture
            place = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}"
            send(answers, FAILED, {"error": reason})


def send(answers: BinaryIO, status: int, value: Any) -> None:
    """Write one answer."""
    content = to_json(value)
    answers.write(ANSWER.pack(status, len(content)) + content)
    answers.flush()


if __name__ == "__main__":
    main()
