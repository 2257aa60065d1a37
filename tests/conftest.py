"""What the tests share: the real data set, small real parts of it, and the command."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Small data gains nothing from a second thread, and on a busy machine threads that wait for each
# other make the tests ten times slower. Commands that the tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from mnist_classification.data import Mnist, load_mnist

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def mnist() -> Mnist:
    return load_mnist()


@pytest.fixture(scope="session")
def small(mnist: Mnist) -> Mnist:
    """640 training and 500 test images, real ones."""
    return Mnist(mnist.train[:640], None, mnist.test[:500], mnist.sha256, mnist.directory)


def write_idx(directory: Path, part: str, images, labels, compress: bool = False) -> None:
    """Write an image and a label file as MNIST's are."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, array in [("images-idx3", images), ("labels-idx1", labels)]:
        header = bytes([0, 0, 8, array.ndim])
        header += b"".join(length.to_bytes(4, "big") for length in array.shape)
        content = header + array.tobytes()
        path = directory / f"{part}-{name}-ubyte"
        if compress:
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(content, 1))
        else:
            path.write_bytes(content)


@pytest.fixture(scope="session")
def small_dir(small: Mnist, tmp_path_factory) -> Path:
    """A folder with `small` as IDX files."""
    directory = tmp_path_factory.mktemp("small")
    write_idx(directory, "train", small.train.images, small.train.labels)
    write_idx(directory, "t10k", small.test.images, small.test.labels)
    return directory


def run_command(*arguments, cwd: Path = ROOT, script: str | None = None, env=None, timeout=120):
    """Run `mnist ARGUMENTS`, or a script of the checkout, as a user would."""
    head = [str(ROOT / script)] if script else ["-m", "mnist_classification"]
    command = [sys.executable, *head, *map(str, arguments)]
    return subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def assert_one_line_error(result: subprocess.CompletedProcess, *parts: str) -> None:
    """Check that a command failed with one clear line and nothing else."""
    assert result.returncode == 2, result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, result.stderr
    assert result.stderr.splitlines()[-1] == errors[0]
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in errors[0]
