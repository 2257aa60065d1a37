"""Write a trained network as one ONNX file, and check that it reads as before.

    export_onnx(load_model("runs/decay-seed0"), Path("model.onnx"))

The file takes (N, 28, 28) uint8 images as MNIST has them and gives (N, 10) logits: scaling and
normalisation are inside, so that who uses it has nothing to get wrong.
"""

import contextlib
import copy
import logging
import os
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from .device import deterministic
from .errors import ModelError
from .files import write_atomically
from .model import to_pixels
from .trained import FromBytes, Trained, predict

IMAGES, LOGITS = "images", "logits"  # what goes in and what comes out
AT_ONCE = 500  # images that ONNX Runtime is given
TIED = 1e-4  # logits no further apart may change places by rounding


def check_target(path: Path) -> None:
    """Refuse to write over a file that is no exported network, such as the model's own.

    Raises:
        ModelError: that is so, or the name is no ONNX file's.
    """
    if path.suffix.lower() != ".onnx":
        raise ModelError(f"got --onnx {path}; expected a name that ends in .onnx")
    if not os.path.exists(path):  # noqa: PTH110 - a name too long is none: writing it says so
        return
    names = []
    if path.is_file():  # no pipe, which may never end
        with contextlib.suppress(Exception):  # ONNX Runtime's exceptions have no base of their own
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            names = [tensor.name for tensor in (*session.get_inputs(), *session.get_outputs())]
    if names != [IMAGES, LOGITS]:
        raise ModelError(f"{path}: is there, and no network that was exported; try another name")


def to_onnx(trained: Trained) -> bytes:
    """Return the network in ONNX form, one file with everything in it."""
    recipe = trained.recipe
    network = copy.deepcopy(trained.network).cpu()  # the caller's stays as and where it is
    network = network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # torchvision's operators are missing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            FromBytes(network, recipe.pixel_mean, recipe.pixel_std).eval(),
            (torch.zeros(2, 28, 28, dtype=torch.uint8),),
            dynamo=True,
            input_names=[IMAGES],
            output_names=[LOGITS],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return program.model_proto.SerializeToString()


def export_onnx(trained: Trained, path: Path, images: np.ndarray) -> None:
    """Write the network to `path`; nothing is written unless it reads `images` as before.

    It is the network alone: what the recipe's `unsure_margin` adds stays behind.

    Args:
        images: (N, 28, 28) uint8, at least one.

    Raises:
        ModelError: ONNX Runtime gives another label for one of the images whose best two logits
            are not tied, or an output is not finite.
        RunError: the file can't be written.
    """
    content = to_onnx(trained)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    batches = [images[first : first + AT_ONCE] for first in range(0, len(images), AT_ONCE)]
    theirs = np.concatenate([session.run(None, {IMAGES: batch})[0] for batch in batches])
    pixels = to_pixels(images, trained.recipe.pixel_mean, trained.recipe.pixel_std)
    device = next(trained.network.parameters()).device
    with deterministic(device):
        ours = predict(trained.network, pixels.to(device)).cpu().numpy()
    if not (np.isfinite(theirs).all() and np.isfinite(ours).all()):
        raise ModelError(
            f"{path}: the network gives outputs that are not finite; nothing was written; train "
            f"it again with a smaller --learning-rate"
        )
    second, first = np.sort(ours, axis=1)[:, -2:].T
    sure = first - second > TIED
    different = int((theirs.argmax(axis=1) != ours.argmax(axis=1))[sure].sum())
    if different:
        raise ModelError(
            f"{path}: the exported network gives other labels for {different} of {len(images)} "
            f"images; nothing was written; try other versions of torch and onnxruntime"
        )
    write_atomically(path, content)
