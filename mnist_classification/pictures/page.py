"""The t-SNE pictures as one HTML file, where pointing at a dot shows its image.

    page = tsne_page({"trained network": embedding}, examples, probabilities, "MNIST by t-SNE")
    Path("tsne.html").write_text(page, encoding="utf-8")

Everything is inside the file: it opens without a network, on a phone too.
"""

import base64
import html
import io
import json
import math
from pathlib import Path

import numpy as np
from PIL import Image

from ..data import Examples
from .embedding import Embedding
from .plots import COLOURS, describe

PAGE_MARK = b'content="mnist-classification"'  # in every such page
TEMPLATE = Path(__file__).parent / "templates" / "tsne.html"


def tsne_page(
    embeddings: dict[str, Embedding], examples: Examples, probabilities: np.ndarray, title: str
) -> str:
    """Return the page as HTML: one view per embedding, the last one shown first.

    Args:
        embeddings: of the examples, by what they show.
        probabilities: (N, 10) float, what the network thinks of the examples.
    """
    columns = math.isqrt(len(examples) - 1) + 1
    predictions = probabilities.argmax(axis=1)
    data = {
        "views": [
            {"name": name, "caption": describe(embedding), "points": unit_square(embedding.points)}
            for name, embedding in embeddings.items()
        ],
        "labels": "".join(map(str, examples.labels)),
        "predictions": "".join(map(str, predictions)),
        "probabilities": [round(float(p), 4) for p in probabilities.max(axis=1)],
        "colours": COLOURS,
        "columns": columns,
        "sprite": sprite(examples.images, columns),
    }
    # "</" could end the script element that holds the data; in JSON "<\\/" means the same.
    content = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    page = TEMPLATE.read_text(encoding="utf-8")
    return page.replace("{{title}}", html.escape(title)).replace("{{data}}", content)


def unit_square(points: np.ndarray) -> list[list[float]]:
    """Return (N, 2) points moved and scaled, both axes alike, to lie between 0 and 1."""
    low, high = points.min(axis=0), points.max(axis=0)
    centred = (points - (low + high) / 2) / (high - low).max() + 0.5
    return centred.round(4).tolist()


def sprite(images: np.ndarray, columns: int) -> str:
    """Return all (N, 28, 28) uint8 images in one, dark ink on white, as the data: URL of a PNG."""
    rows = -(-len(images) // columns)
    padded = np.zeros((rows * columns, 28, 28), np.uint8)
    padded[: len(images)] = images
    picture = padded.reshape(rows, columns, 28, 28).swapaxes(1, 2).reshape(rows * 28, columns * 28)
    buffer = io.BytesIO()
    Image.fromarray(255 - picture).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
