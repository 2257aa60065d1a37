"""What the benchmarks share that want torch: the machine, data as files, the original's way."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

from mnist_classification import device
from mnist_classification.data import Examples
from mnist_classification.files import make_folder, write_atomically
from mnist_classification.run import code_version

DEVICE = "cpu"  # of every way, so that they can be held against each other


def environment() -> dict[str, Any]:
    """Return versions, processor, threads, device and code, as stored with every result."""
    return device.environment(device.pick_device(DEVICE)) | {"code": code_version()}


def load(path: Path) -> dict[str, Any] | None:
    """Return the result that a benchmark goes on from; None where there is no file.

    Exits with one line where the file was measured on another machine, with other versions or other
    code: no table mixes them.
    """
    if not path.exists():
        return None
    result = json.loads(path.read_text(encoding="utf-8"))
    here, there = environment(), result["environment"]
    different = [f"{k} is {there.get(k)!r} there" for k in here if here[k] != there.get(k)]
    if different:
        sys.exit(
            f"error: {path}: measured otherwise ({'; '.join(different)}); expected what is here; "
            f"try another --output"
        )
    return result


def write_data(folder: Path, train: Examples, test: Examples) -> None:
    """Write examples as the four IDX files of a data set."""
    make_folder(folder)
    for part, examples in (("train", train), ("t10k", test)):
        for name, array in (("images-idx3", examples.images), ("labels-idx1", examples.labels)):
            path = folder / f"{part}-{name}-ubyte"
            write_atomically(path, idx_header(*array.shape) + array.tobytes())


def idx_header(*shape: int) -> bytes:
    """Return the first bytes of an IDX file of unsigned bytes."""
    return bytes([0, 0, 8, len(shape)]) + b"".join(length.to_bytes(4, "big") for length in shape)


def run_script(path: str, *arguments: str) -> str:
    """Run a benchmark's script with other flags in a process of its own; return what it prints."""
    command = [sys.executable, path, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


class PillowMnist(Dataset):
    """One image at a time, with the steps of torchvision's MNIST, ToTensor and Normalize.

    torchvision itself is not used, since it wants the CUDA build of PyTorch.
    """

    def __init__(self, examples: Examples):
        self.images = torch.tensor(examples.images)
        self.labels = torch.tensor(examples.labels, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = self.images[index], int(self.labels[index])
        picture = Image.fromarray(image.numpy())
        # ToTensor: copy out of Pillow, channels first, to [0, 1].
        pixels = torch.from_numpy(np.array(picture, copy=True)).view(28, 28, 1)
        pixels = pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255)
        # Normalize: on a copy, with mean and deviation per channel, the latter checked for zero.
        mean, std = torch.as_tensor([0.5]), torch.as_tensor([0.5])
        if (std == 0).any():
            raise ValueError("zero standard deviation")
        return pixels.clone().sub_(mean.view(-1, 1, 1)).div_(std.view(-1, 1, 1)), label


def original_network() -> nn.Sequential:
    """Return the deeper CNN in the order of the original's layers, in PyTorch's own layout."""
    return nn.Sequential(
        *[nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2)],
        *[nn.Conv2d(32, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.MaxPool2d(2)],
        *[nn.Flatten(), nn.Linear(1024, 100), nn.ReLU(), nn.Linear(100, 10)],
    )


def gemm_ceiling(dtype: torch.dtype) -> float:
    """Return the floating-point operations per second of a large matrix product, best of three."""
    matrix = torch.randn(4096, 4096).to(dtype)
    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - started)
    return 2 * 4096**3 / min(seconds[1:])
