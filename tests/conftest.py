"""What the tests share: the real data set, small real parts of it, the command, a browser."""

import contextlib
import gzip
import io
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest

# Small data gains nothing from a second thread, and on a busy machine threads that wait for each
# other make the tests ten times slower. Processes that the tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from mnist_classification.cli import main
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


def run_command(
    *arguments, cwd: Path = ROOT, script: str | None = None
) -> subprocess.CompletedProcess:
    """Run `mnist ARGUMENTS`, or a script of the checkout, in this process.

    As a user would, less two seconds of imports.
    """
    stdout, stderr = io.StringIO(), io.StringIO()
    handler, argv = signal.getsignal(signal.SIGTERM), sys.argv
    start = partial(main, [str(argument) for argument in arguments])
    if script:
        sys.argv = [str(ROOT / script), *map(str, arguments)]
        start = partial(runpy.run_path, sys.argv[0], run_name="__main__")
    try:
        with (
            contextlib.chdir(cwd),
            contextlib.redirect_stdout(stdout),
            contextlib.redirect_stderr(stderr),
            pytest.raises(SystemExit) as stop,
        ):
            start()
    finally:
        signal.signal(signal.SIGTERM, handler)
        sys.argv = argv
    code = stop.value.code
    return subprocess.CompletedProcess(arguments, code, stdout.getvalue(), stderr.getvalue())


def run_json(*arguments, cwd: Path = ROOT):
    """Run `mnist ARGUMENTS --json` and return what it prints."""
    result = run_command(*arguments, "--json", cwd=cwd)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def run_process(
    *arguments, cwd: Path = ROOT, script: str | None = None, env=None, timeout=120, **options
) -> subprocess.CompletedProcess:
    """Run `mnist ARGUMENTS`, or a script of the checkout, in a process of its own."""
    head = [str(ROOT / script)] if script else ["-m", "mnist_classification"]
    return subprocess.run(
        [sys.executable, *head, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | (env or {}),
        capture_output=True,
        text=True,
        timeout=timeout,
        **options,
    )


def run_python(code: str) -> subprocess.CompletedProcess:
    """Run code in a fresh interpreter that finds the package."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def children_of(parent: int) -> list[int]:
    """Return the processes that a process has started."""
    command = ["ps", "-o", "pid=", "--ppid", str(parent)]
    listed = subprocess.run(command, capture_output=True, text=True).stdout
    return [int(pid) for pid in listed.split()]


def is_running(process: int) -> bool:
    """Tell whether there is such a process that has not ended, although nobody may have noticed."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def assert_same_weights(first, second) -> None:
    """Check that two trained networks are equal bit for bit."""
    first, second = first.network.state_dict(), second.network.state_dict()
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def assert_one_line_error(result: subprocess.CompletedProcess, *parts: str) -> None:
    """Check that a command failed with one clear line and nothing else."""
    assert result.returncode == 2, result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, result.stderr
    assert result.stderr.splitlines()[-1] == errors[0]
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in errors[0]


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="session")
def browser():
    """Any Chromium or Chrome on this machine, else the one that Playwright has installed."""
    from playwright.sync_api import Error, sync_playwright

    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    arguments = ["--no-sandbox", "--disable-background-networking"]
    with sync_playwright() as playwright:
        try:
            chromium = playwright.chromium.launch(executable_path=executable, args=arguments)
        except Error as error:
            if "Executable doesn't exist" not in str(error):
                raise
            miss_browser()
        yield chromium
        chromium.close()


def miss_browser() -> NoReturn:
    """Skip the test; fail it where CI=true says that all have to run."""
    text = (
        "no Chromium or Chrome here to test the page in; get one: apt-get install chromium, or "
        "playwright install chromium"
    )
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)
