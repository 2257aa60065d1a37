"""28×28 images → probabilities of the ten digits, by ONNX Runtime.

    classifier = load_classifier("models/reader")
    classifier.predict(images)                # (N, 28, 28) uint8 → (N, 10)

A model is a folder with model.onnx and config.json; the latter holds what calibration found, the
temperature that divides the logits (Guo et al. 2017, "On calibration of modern neural networks").
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime

from ..errors import ModelError

BATCH_SIZE = 256
DEFAULT_THRESHOLD = 0.9  # of a model that came without calibration


class Classifier(Protocol):
    """What tells digits apart: a model in ONNX form, or a network in PyTorch."""

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return (N, 10) for (N, 28, 28) uint8."""


@dataclass
class OnnxClassifier:
    """A network in ONNX form, from (N, 28, 28) uint8 to (N, 10) logits.

    Attributes:
        temperature: divides the logits; above 1 makes the network less sure of itself.
        threshold: a digit is sure from this probability on.
    """

    session: onnxruntime.InferenceSession
    temperature: float = 1.0
    threshold: float = DEFAULT_THRESHOLD

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities of the ten digits, (N, 10) float32, for (N, 28, 28) uint8."""
        logits = [
            self.session.run(None, {"images": images[start : start + BATCH_SIZE]})[0]
            for start in range(0, len(images), BATCH_SIZE)
        ]
        if not logits:
            return np.zeros((0, 10), np.float32)
        return softmax(np.concatenate(logits) / self.temperature)


def load_classifier(path: str | Path) -> OnnxClassifier:
    """Load an ONNX file, or a folder's model.onnx with the calibration beside it.

    Raises:
        ModelError: there is none, or it is damaged or no classifier of 28×28 images.
    """
    path = Path(path)
    file = path / "model.onnx" if path.is_dir() else path
    try:
        session = open_session(file.read_bytes())
    except OSError as error:
        raise ModelError(
            f"{file}: can't be read ({error.strerror}); expected a model in ONNX form; "
            f"try mnist export"
        ) from None
    except ModelError as error:
        raise ModelError(f"{file}: {error}") from None
    config = _read_config(file.with_name("config.json"))
    return OnnxClassifier(
        session, config.get("temperature", 1.0), config.get("threshold", DEFAULT_THRESHOLD)
    )


def open_session(content: bytes) -> onnxruntime.InferenceSession:
    """Start ONNX Runtime on a model's bytes.

    Raises:
        ModelError: they are no classifier of 28×28 images.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a batch of small images; threads cost more than they give
    options.log_severity_level = 4  # what is wrong is in the exception
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        (given,), (made,) = session.get_inputs(), session.get_outputs()
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        reason = " ".join(str(error).split())[:120]
        raise ModelError(f"not a model in ONNX form: {reason}; try mnist export") from None
    if (given.name, given.shape[1:], made.shape[1:]) != ("images", [28, 28], [10]):
        raise ModelError(
            f"got a model from {given.shape} to {made.shape}; expected one from (N, 28, 28) "
            f"images to (N, 10), as mnist export writes"
        )
    return session


def _read_config(path: Path) -> dict[str, Any]:
    """Return the calibration; {} where there is none."""
    if not path.exists():
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError(f"got {type(config).__name__}; expected an object")
        ranges = {"temperature": (0.01, 100), "threshold": (0, 1)}
        for key, (low, high) in ranges.items():
            if key in config and not low <= float(config[key]) <= high:
                raise ValueError(f"got {key} {config[key]}; expected {low} to {high}")
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{path}: {error}; expected what mnist export wrote") from None
    return config


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities along the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
