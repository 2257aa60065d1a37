"""The page that reads numbers as they are written: one HTML file with everything in it.

    Path("digits.html").write_text(page_html(), encoding="utf-8")

Style, scripts, and the reader's network with its weights lie inside; nothing is loaded from
anywhere. The page's security policy names its style and script by their SHA-256; `page_policy` is
the same for a server's header.
"""

import base64
import hashlib
import html
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelError
from ..reader.recognizer import find_model, load_recognizer
from ..shipped import SHIPPED_READER

PARTS = Path(__file__).parent / "page"
WORKER = ("network.js", "decoding.js", "strip.js", "worker.js")
SKIPPED = {"Gather", "Squeeze", "Transpose", "LogSoftmax"}  # what the page does in its own way


def page_html(model: Path = SHIPPED_READER) -> str:
    """Return the page with a reader's network.

    Args:
        model: a folder with model.onnx and config.json, or an ONNX file.

    Raises:
        ModelError: there is none, or its network has layers that the page does not know.
    """
    page = _part("page.html")
    page = page.replace("{{policy}}", html.escape(page_policy()))
    page = page.replace("{{style}}", _part("page.css"))
    page = page.replace("{{script}}", _part("page.js"))
    page = page.replace("{{worker}}", "\n".join(map(_part, WORKER)))
    # "</" could end the script element that holds the data; in JSON "<\\/" means the same.
    content = json.dumps(describe_reader(model), separators=(",", ":")).replace("</", "<\\/")
    return page.replace("{{network}}", content)


def page_policy() -> str:
    """Return the page's Content-Security-Policy: its own style and script, its own server."""
    script, style = (_checksum(_part(name)) for name in ("page.js", "page.css"))
    return (
        f"default-src 'none'; script-src '{script}'; style-src '{style}'; worker-src blob:; "
        f"img-src blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'"
    )


def describe_reader(model: Path) -> dict[str, Any]:
    """Return what the page's worker needs: the network, its calibration."""
    import onnx  # slow to import

    model = find_model(model)  # of two networks the first: what is drawn there has no words
    recognizer = load_recognizer(model)  # it says what is wrong with a file that is no reader's
    layers, weights = read_layers(onnx.load(model).graph)
    with np.errstate(over="ignore"):  # said below
        halves = np.concatenate([part.ravel() for part in weights]).astype("<f2")
    if not np.isfinite(halves).all():
        raise ModelError(
            f"{model}: a weight of the network is larger than {np.finfo(np.float16).max:,.0f}, or "
            f"not finite; expected weights that 16 bits can hold"
        )
    calibration = {name: getattr(recognizer, name) for name in ("slope", "offset", "threshold")}
    network = {"layers": layers, "weights": base64.b64encode(halves.tobytes()).decode()}
    return {"network": network, "calibration": calibration}


def read_layers(graph: Any) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
    """Return an ONNX graph's layers in the page's terms; weights and biases in their order."""
    from onnx import numpy_helper

    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    layers: list[dict[str, Any]] = []
    weights: list[np.ndarray] = []
    for node in graph.node:
        settings = {a.name: list(a.ints) for a in node.attribute if a.ints}
        if node.op_type == "Conv" and _is_plain(node, settings):
            kernel, bias = (stored[name] for name in node.input[1:])
            outputs, inputs, rows, columns = kernel.shape
            sizes = {"inputs": inputs, "outputs": outputs, "rows": rows, "columns": columns}
            padding = settings.get("pads", [0, 0, 0, 0])[:2]
            sizes["dilation"] = settings.get("dilations", [1, 1])[1]  # along the line
            layers.append({"kind": "convolution", **sizes, "padding": padding, "relu": False})
            weights += [kernel, bias]
        elif node.op_type == "Relu" and layers and layers[-1]["kind"] == "convolution":
            layers[-1]["relu"] = True
        elif node.op_type == "MaxPool" and _is_plain(node, settings):
            rows, columns = settings["kernel_shape"]
            layers.append({"kind": "pooling", "rows": rows, "columns": columns})
        elif node.op_type not in SKIPPED:
            raise ModelError(
                f"got a network with a layer {node.op_type} of a kind that the page does not know; "
                f"expected convolutions, ReLU and max-pooling; try the reader that is shipped"
            )
    return layers, weights


def _is_plain(node: Any, settings: dict[str, list[int]]) -> bool:
    """Return whether a layer has nothing that the page's forward pass leaves out."""
    named = {a.name: a for a in node.attribute}
    if "auto_pad" in named and named["auto_pad"].s not in (b"NOTSET", b""):
        return False
    if "ceil_mode" in named and named["ceil_mode"].i:
        return False
    strides = settings.get("strides", [1, 1])
    pads = settings.get("pads", [0, 0, 0, 0])
    if node.op_type == "MaxPool":
        return strides == settings["kernel_shape"] and not any(pads)
    group = named["group"].i if "group" in named else 1
    once = [*strides, settings.get("dilations", [1, 1])[0], group] == [1, 1, 1, 1]
    return once and pads[:2] == pads[2:] and len(node.input) == 3


@cache
def _part(name: str) -> str:
    return (PARTS / name).read_text(encoding="utf-8")


def _checksum(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
