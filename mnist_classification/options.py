"""Options that several commands of `mnist` share."""

import os
import shlex
import sys
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import CoercionError, Parameter, Token, convert


def convert_exactly(kind: Any, tokens: Sequence[Token]) -> Any:
    """Convert what was given as cyclopts does, but 1.5 is no whole number, not 2, nor "" a path.

    Raises:
        CoercionError: it is none where one is wanted.
    """
    kinds = (kind, *typing.get_args(kind))
    for token in tokens if Path in kinds else ():
        if not token.value:  # as of a variable that is not set; it would be the current folder
            raise CoercionError(token=token, target_type=Path)
    for token in tokens if int in kinds and float not in kinds else ():
        if "." in token.value:
            raise CoercionError(token=token, target_type=int)
    return convert(kind, tokens)


DataDir = Annotated[
    Path | None,
    Parameter(
        help="folder of MNIST's four files, or others in its format; else what MNIST_DATA_DIR "
        "names, else the embedded MNIST"
    ),
]
Device = Annotated[str, Parameter(help="auto, cpu or cuda")]
Precision = Annotated[str, Parameter(help="auto, bfloat16 or float32")]
Threads = Annotated[int | None, Parameter(help="processor threads; else all")]
Holdout = Annotated[int, Parameter(help="training images set aside to choose by; 0 = none")]
Fold = Annotated[
    int | None,
    Parameter(help="which block of the training set is set aside, from 0 on; else the last"),
]
PretrainedWeights = Annotated[
    Path | None,
    Parameter(help="safetensors file with torchvision's names, for AlexNet to start from"),
]
Json = Annotated[bool, Parameter(name="--json", help="print one JSON object")]


def this_command(resume: bool) -> str:
    """Return what the user typed, to be typed again; with --resume where there is a checkpoint."""
    program, *arguments = sys.argv
    python, command = ["python3"], []
    if "TORCHELASTIC_RUN_ID" in os.environ:
        python = ["torchrun", "--standalone", "--nproc-per-node", os.environ["LOCAL_WORLD_SIZE"]]
        command = [*python, "--no-python"]
    if program.endswith("__main__.py"):
        head = [*python, "-m", __package__]
    else:
        head = [*python, program] if program.endswith(".py") else [*command, Path(program).name]
    if resume:
        arguments = [a for a in arguments if a not in ("--resume", "--overwrite")] + ["--resume"]
    return shlex.join(head + arguments)
