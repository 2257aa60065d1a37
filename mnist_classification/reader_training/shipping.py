"""From nothing to a model that the reader can load: train, export, calibrate, describe.

    train_and_export(Path("runs/digits"), steps=16_400, seed=0)
    train_and_export(Path("runs/reader"), steps=16_400, seed=0, beside=Path("runs/digits"))

The directory then holds model.onnx and config.json, which are all that reading needs, and the model
card, README.md. With `beside` a second network is trained, on lines with words, too, and the
directory holds both: the one of `beside` as model.onnx, the new one as words.onnx.
"""

import hashlib
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data import Examples, load_mnist
from ..device import environment, pick_precision
from ..errors import DataError, ModelError, RunError
from ..files import write_together
from ..reader.recognizer import FIRST, SECOND, find_model, load_recognizer
from ..run import RunDirectory, check_seed
from .calibration import RIGHT_IF_SURE, Calibration, calibrate
from .export import export_onnx
from .glyphs import make_glyphs
from .lines import LineSource
from .network import LineNetwork, count_multiplications
from .training import Settings, train

SIX_DIGITS = 128  # pixels along a strip


@dataclass(frozen=True)
class Shipped:
    """What was written.

    Attributes:
        calibration: of what was exported.
        size: bytes of the networks.
    """

    calibration: Calibration
    size: int


def train_and_export(
    output: Path,
    *,
    steps: int,
    seed: int = 0,
    holdout: int = 10_000,
    workers: int = 0,
    beside: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    data_dir: str | Path | None = None,
) -> Shipped:
    """Train a network, or go on with it, and write all that makes it a model.

    Args:
        holdout: training images kept for calibration: the last whole block of so many, whose
            employees the network has hardly seen.
        beside: a reader that the network is to stand beside, for words.

    Raises:
        ModelError: `beside` holds no reader.
        RunError: there is something in `output` that is not to be replaced, or it is `beside`, or a
            number is out of its range.
    """
    check_seed(seed)
    if steps < 1:
        raise RunError(f"got {steps} steps; expected 1 or more")
    if workers < 0:
        raise RunError(f"got {workers} workers; expected 0 or more")
    if holdout < 1000:
        raise RunError(f"got a hold-out of {holdout} images; expected at least 1000 to calibrate")
    if holdout % 2:
        raise RunError(
            f"got a hold-out of {holdout} images; expected an even number, since every other image "
            f"of MNIST is by another group of writers"
        )
    data = load_mnist(data_dir, holdout=holdout)
    assert data.holdout is not None
    _check_digits(data.train)
    _check_digits(data.holdout)
    precision = pick_precision("auto", torch.device("cpu"))
    words = beside is not None
    settings = Settings(num_steps=steps, seed=seed, precision=precision, words=words)
    first = None
    if beside is not None:  # what is wrong with it is said before an hour
        if find_model(beside).name != FIRST:
            raise ModelError(f"{beside}: expected a reader's folder, or {FIRST} in one")
        first = find_model(beside).parent
        _read_first(first)
        if first.resolve() == output.resolve():
            raise RunError(f"{output}: is the reader to stand beside; try another --output")
    seen = {"data": data.fingerprint, "holdout": holdout, "beside": _checksum(first)}
    identity = settings.identity() | seen
    leaves = (FIRST, SECOND)
    with RunDirectory(output, identity, resume=resume, overwrite=overwrite, leaves=leaves) as run:
        source = LineSource(make_glyphs(data.train, seed), words=words)
        network, history = train(settings, source, run, workers)
        held_back = LineSource(make_glyphs(data.holdout, seed + 1))  # a promise about numbers alone
        seen["code"] = identity["code"]  # which may have been edited since
        shipped = write_model(network, held_back, output, settings, history, seen, first)
        for checkpoint in run.checkpoints():
            checkpoint.unlink()
    return shipped


def _check_digits(examples: Examples) -> None:
    """Refuse images among which a group of writers lacks a digit: lines have all of them."""
    for start in range(2):
        missing = set(range(10)) - set(examples.labels[start::2].tolist())
        if missing:
            raise DataError(
                f"got no {min(missing)} among every other image; expected each digit of both "
                f"groups of writers, as MNIST has them; try more images"
            )


def write_model(
    network: LineNetwork,
    held_back: LineSource,
    output: Path,
    settings: Settings,
    history: list[dict[str, Any]],
    seen: dict[str, Any],
    first: Path | None = None,
) -> Shipped:
    """Export a network, calibrate what was exported, and describe it.

    Args:
        seen: `data`, the fingerprint of the images, `holdout`, how many were set aside, `beside`,
            the checksum of the network that this one stands beside, and `code`, of what drew lines.
        first: the folder of the reader that the network stands beside.
    """
    rng = np.random.default_rng(0)
    strips = [rng.normal(size=(32, length)).astype(np.float32) for length in (24, 128, 400)]
    with tempfile.TemporaryDirectory() as folder:  # so that a model in `output` stays if this fails
        name = SECOND if first else FIRST
        export_onnx(network, Path(folder) / name, strips)
        if first:
            (Path(folder) / FIRST).write_bytes((first / FIRST).read_bytes())
        found = calibrate(load_recognizer(folder), held_back)
        files = {file.name: file.read_bytes() for file in Path(folder).iterdir()}
    config = {
        **found.as_config(),
        "settings": asdict(settings),
        **seen,
        "history": history,
        "parameters": sum(p.numel() for p in network.parameters()),
        "multiplications_for_six_digits": count_multiplications(network, SIX_DIGITS),
        "environment": environment(torch.device("cpu")),
        "sha256": hashlib.sha256(files[name]).hexdigest(),
    }
    if first:
        config["first"] = _read_first(first)
    size = sum(map(len, files.values()))
    described = {
        "config.json": json.dumps(config, indent=1) + "\n",
        "README.md": write_card(config),
    }
    write_together({output / file: content for file, content in (files | described).items()})
    if not first:
        (output / SECOND).unlink(missing_ok=True)  # of a reader that stood here
    return Shipped(found, size)


def _checksum(folder: Path | None) -> str | None:
    """Return the SHA-256 of a reader's first network."""
    return hashlib.sha256((folder / FIRST).read_bytes()).hexdigest() if folder else None


def _read_first(folder: Path) -> dict[str, Any]:
    """Return what training wrote about a reader's network, or about the first of its two."""
    load_recognizer(folder)  # it says what is wrong
    file = folder / "config.json"
    config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    config = config.get("first", config)
    try:
        _say_training(config)
    except (KeyError, TypeError):
        raise ModelError(
            f"{file}: does not say how it learned; expected what train-reader wrote"
        ) from None
    return config


def write_card(config: dict[str, Any]) -> str:
    """Return the model card for a config.json."""
    found, settings = config["calibration"], config["settings"]
    second = ""
    if "first" in config:
        second = f"""
## Two networks

model.onnx reads every line. Where it is in doubt, words.onnx is shown the line as well, and the
probability of a number is the mean over both; what the first reads as a single digit is one.
model.onnx learned from lines without words:
{_say_training(config["first"])}
words.onnx learned from numbers of which 16% have a word beside them, drawn by our pen, and from
words alone; its steps see 38 instead of 26 pixels to either side. The rest of this card is about
its training, and about how sure both are together, of lines without words.
"""
    rows = "\n".join(
        f"| {name} | {f'{value:.4g}' if isinstance(value, float) else value} |"
        for name, value in settings.items()
    )
    return f"""# A reader of handwritten numbers

A convolutional network of {config["parameters"]:,} parameters that reads a line of digits, drawn
32 pixels high, in steps of two pixels: the ten digits, or nothing new (connectionist temporal
classification). Six digits take {config["multiplications_for_six_digits"] / 1e6:.0f} million
multiplications. Its layers are convolutions, pooling and ReLU.
{second}
## What it learned from

Lines made from MNIST's training images, all but {config["holdout"]:,}, and from digits and
marks that a pen of our own draws; no other picture and no font. Each line was seen once.
{_say_training(config)}

| setting | value |
|---|---|
{rows}

What is kept is the moving average of the weights. Recipe, sizes and the kinds of made lines were
chosen by trial runs of a few minutes, by their errors on development pictures: 127 cheques' amounts
and 202 single digits. The rules that propose lines were developed while looking at pages made from
MNIST's test digits. So figures on these pictures and pages flatter; training and calibration saw
none of them.

## When it is sure

Chosen on one half of {found["lines"]:,} made lines on which it reads a number, of digits that it
has not learned from, half of them by writers of whom it has seen none, and judged on the other;
they are harder than most pictures. Of these
{found["exact"]:.1%} are read exactly right. A number is sure from a probability of
{found["threshold"]:.3f} on, chosen so that {RIGHT_IF_SURE:.1%} of the sure ones are right:
{found["coverage"]:.1%} are sure, and {found["right_if_sure"]:.2%} of these are right. Expected
calibration error {found["error_before"]:.2%} before and {found["error"]:.2%} after a logistic
regression (slope {found["slope"]:.3f}, offset {found["offset"]:.3f}).

## Limits

It reads digits 0 to 9 in a line: points, commas and dashes are passed over, and so are most signs.
A slash and an exclamation mark are mostly read as a 1, a dollar sign as an 8 or a 5; brackets, a
percent sign, a plus and letters may be read as digits. Lines on their side or on their head are
read as something else.
Licence: MIT, as the project.
"""


def _say_training(config: dict[str, Any]) -> str:
    """Return how long a network learned, where, in a sentence, or in two if it went on."""
    last = config["history"][-1] if config["history"] else {"step": 0, "seconds": 0.0}
    said = f"{last['step']:,} steps in {last['seconds']:,.0f} s on {_say_machine(config)}."
    if more := config.get("went_on"):  # by a trial whose weights were worth keeping
        said += (
            f"\nIt then went on for {more['steps']:,} steps, {more['seconds']:,.0f} s on "
            f"{_say_machine(more)},\nfrom lines with {more['lines']};\nwhat is kept is the mean "
            f"of the weights before and after (Wortsman et al. 2022)."
        )
    return said


def _say_machine(config: dict[str, Any]) -> str:
    machine = config["environment"]
    return f"{machine['processor']},\n{machine['threads']} threads, PyTorch {machine['torch']}"
