"""`train.py` in a process that starts at once: a fork of one that has imported PyTorch.

It is killed and stopped as any other; only what starting an interpreter takes is saved.
"""

import io
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def run(arguments: list[str], output: Connection) -> None:
    """Be `python3 train.py ARGUMENTS`; the body of the process."""
    from mnist_classification.cli import main

    signal.signal(signal.SIGINT, signal.default_int_handler)  # the server of forks ignores it
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    output.close()
    sys.stdout, sys.stderr = (io.TextIOWrapper(os.fdopen(n, "wb", 0)) for n in (1, 2))
    sys.argv = [str(ROOT / "train.py"), *arguments]
    main(["train", *sys.argv[1:]])


def start(body: Callable[..., None], *arguments: Any) -> Any:
    """Start a process that does this."""
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mnist_classification.study.engines", "torch._dynamo"])
    process = context.Process(target=body, args=arguments, daemon=True)
    process.start()
    return process


def train(*arguments: object) -> tuple[Any, io.TextIOWrapper]:
    """Start it; return the process, and all that it says as lines that come as they are said."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = start(run, [str(argument) for argument in arguments], theirs)
    theirs.close()
    return process, io.TextIOWrapper(os.fdopen(os.dup(ours.fileno()), "rb"))
