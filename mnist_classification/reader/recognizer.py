"""Strips → what the network sees at each step, by ONNX Runtime.

    recognizer = load_recognizer("models/reader")
    recognizer.read(strip.image)              # (32, L) float32 → (L / 2, 11)

A model is a folder with model.onnx and config.json; the latter holds what calibration found. There
may be a second network in it, words.onnx, which has learned from lines with words, too, and is
asked where the first one is in doubt.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from ..errors import ModelError
from .strips import HEIGHT

NUM_CLASSES = 11  # ten digits, and nothing new
FIRST, SECOND = "model.onnx", "words.onnx"
DEFAULT_THRESHOLD = 0.95  # of a model that came without calibration


@dataclass(frozen=True)
class Recognizer:
    """A network in ONNX form that reads strips.

    Attributes:
        session: takes (N, 1, 32, L) float32 and gives (N, L / 2, 11) log-probabilities.
        slope, offset: turn a line's probability into the share of such lines that are right:
            logistic regression on its logit (Platt 1999).
        threshold: a line is sure from this probability on.
        second: another one to ask where this one is in doubt; its own calibration is not used.
    """

    session: onnxruntime.InferenceSession
    slope: float = 1.0
    offset: float = 0.0
    threshold: float = DEFAULT_THRESHOLD
    second: "Recognizer | None" = None

    def read(self, image: np.ndarray) -> np.ndarray:
        """Return (L / 2, 11) probabilities for one strip, (32, L) float32.

        One at a time: what a line reads as can't depend on what else is read.
        """
        (found,) = self.session.run(None, {"strips": image[None, None]})
        return np.exp(found[0])

    def calibrate(self, probability: float) -> float:
        """Return how often a line of this probability is right."""
        kept = min(max(probability, 1e-9), 1 - 1e-9)
        logit = self.slope * math.log(kept / (1 - kept)) + self.offset
        return 1 / (1 + math.exp(-min(max(logit, -50), 50)))


def load_recognizer(path: str | Path) -> Recognizer:
    """Load an ONNX file, or a folder's model.onnx with the calibration and the network beside it.

    A config.json that names another file by its checksum says nothing about this one.

    Raises:
        ModelError: there is none, or it is damaged, or does not read lines.
    """
    files = find_networks(path)
    contents = [_read_file(file) for file in files]
    sessions = [_open_file(*both) for both in zip(files, contents, strict=True)]
    config = _read_config(files[0].with_name("config.json"), contents)
    second = Recognizer(sessions[1]) if len(files) > 1 else None
    return Recognizer(sessions[0], **config, second=second)


def _read_file(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{file}: can't be read ({error.strerror}); expected a reader's model.onnx; "
            f"try the one that is shipped"
        ) from None


def _open_file(file: Path, content: bytes) -> onnxruntime.InferenceSession:
    try:
        return open_session(content)
    except ModelError as error:
        raise ModelError(f"{file}: {error}") from None


def find_model(path: str | Path) -> Path:
    """Return the ONNX file that is meant: itself, or the first in a folder."""
    return find_networks(path)[0]


def find_networks(path: str | Path) -> list[Path]:
    """Return the ONNX files that are meant: itself, or those of a folder."""
    path = Path(path)
    first, second = path / FIRST, path / SECOND
    try:
        if path.is_dir():
            return [first, second] if second.exists() else [first]
    except OSError:  # a name that is too long, say: whoever reads it is told
        pass
    return [path]


def open_session(content: bytes) -> onnxruntime.InferenceSession:
    """Start ONNX Runtime on a model's bytes.

    Raises:
        ModelError: they are no network that reads strips.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a strip is small; threads cost more than they give
    options.log_severity_level = 4  # what is wrong is in the exception
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        (given,), (made,) = session.get_inputs(), session.get_outputs()
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        reason = " ".join(str(error).split())[:120]
        raise ModelError(
            f"got no model in ONNX form ({reason}); expected a reader's model.onnx; "
            f"try the one that is shipped"
        ) from None
    if given.name != "strips" or given.shape[1:3] != [1, HEIGHT] or made.shape[2:] != [NUM_CLASSES]:
        raise ModelError(
            f"got a model from {given.shape} to {made.shape}; expected one that reads lines, from "
            f"(N, 1, {HEIGHT}, L) strips to (N, L / 2, {NUM_CLASSES}); try the one that is shipped"
        )
    if {given.type, made.type} != {"tensor(float)"}:
        raise ModelError(
            f"got a model from {given.type} to {made.type}; expected tensor(float), which is "
            f"float32; try the one that is shipped"
        )
    return session


RANGES = {"slope": (0.01, 100.0), "offset": (-50.0, 50.0), "threshold": (0.0, 1.0)}


def _read_config(path: Path, networks: list[bytes]) -> dict[str, Any]:
    """Return the calibration of one network or of both, or {} if there is none."""
    try:
        config: Any = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError(f"got {type(config).__name__}; expected an object")
        first = config.get("first", config if len(networks) == 1 else {})
        config = config if len(networks) > 1 else first
        for network, facts in zip(networks, (first, config), strict=False):
            checksum = hashlib.sha256(network).hexdigest()
            if facts.get("sha256", checksum) != checksum:
                return {}
        found = {key: float(config[key]) for key in RANGES if key in config}
        for key, (low, high) in RANGES.items():
            if key in found and not low <= found[key] <= high:
                raise ValueError(f"got {key} {config[key]}; expected {low} to {high}")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ModelError(
            f"{path}: {error}; expected what calibration wrote; try the model that is shipped"
        ) from None
    return found
