"""Options that several commands of `mnist` share."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

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
