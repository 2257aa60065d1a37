"""Write a trained network as one ONNX file, and check that it reads as before.

    export_onnx(network, Path("model.onnx"), strips)

Batch normalisation is folded into the convolutions, so that nothing is left but convolutions,
pooling and ReLU.
"""

import logging
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..errors import ModelError
from ..files import write_atomically
from ..reader.recognizer import Recognizer, open_session
from .network import LineNetwork

TOLERANCE = 1e-3  # in a probability


def fold(network: LineNetwork) -> LineNetwork:
    """Return the network without its batch normalisations; it computes the same."""
    folded: list[nn.Module] = []
    for layer in network:
        if isinstance(layer, nn.BatchNorm2d):
            before = folded.pop()
            assert isinstance(before, nn.Conv2d)
            layer = fuse_conv_bn_eval(before, layer)
        folded.append(layer)
    result = LineNetwork()
    for name in list(result._modules):
        del result._modules[name]
    for number, layer in enumerate(folded):
        result.add_module(str(number), layer)
    return result.eval()


def to_onnx(network: LineNetwork) -> bytes:
    """Return the network in ONNX form, one file with everything in it."""
    folded = fold(network.eval()).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # torchvision's operators are missing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            folded,
            (torch.zeros(2, 1, 32, 64),),
            dynamo=True,
            input_names=["strips"],
            output_names=["log_probabilities"],
            dynamic_shapes=(
                {0: torch.export.Dim("batch", min=1), 3: 2 * torch.export.Dim("steps", min=8)},
            ),
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return program.model_proto.SerializeToString()


def export_onnx(network: LineNetwork, path: Path, strips: list[np.ndarray]) -> None:
    """Write the network to `path`; nothing is written unless it reads `strips` as before.

    Args:
        strips: (32, L) float32 each.

    Raises:
        ModelError: ONNX Runtime gives other probabilities.
        RunError: the file can't be written.
    """
    content = to_onnx(network)
    recognizer = Recognizer(open_session(content))
    for strip in strips:
        with torch.no_grad():
            ours = network.eval()(torch.from_numpy(strip)[None, None])[0].exp().numpy()
        away = float(np.abs(ours - recognizer.read(strip)).max())
        if not away <= TOLERANCE:  # nor where it is no number
            raise ModelError(
                f"{path}: the exported network's probabilities are off by {away:.2g}; nothing was "
                f"written; try other versions of torch and onnxruntime"
            )
    write_atomically(path, content)
