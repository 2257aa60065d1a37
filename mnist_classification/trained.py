"""A trained network: what it predicts, and how it is saved, loaded and described.

    trained.save("runs/mine")
    trained = load_model("runs/mine")

A model is a directory with model.safetensors and config.json. No pickle is read or written.
"""

import hashlib
import json
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from .device import deterministic
from .errors import DataError, ModelError, RecipeError, RunError
from .files import make_folder, write_together
from .model import Network, build, to_pixels
from .recipes import Recipe, recipe_from_dict, settings

log = logging.getLogger(__name__)
AT_ONCE = 10_000  # images whose pixels are in memory while predicting: a test set
# Where the second look moves an unsure image, in pixels down and right: sides, then corners.
NEIGHBOURS = [*[(1, 0), (-1, 0), (0, 1), (0, -1)], *[(1, 1), (1, -1), (-1, 1), (-1, -1)]]
VERSION = 1  # of the model format; a change that old files can't follow raises it


@dataclass
class Trained:
    """A network with how it came to be.

    Attributes:
        network: in evaluation mode.
        recipe, seed, precision, data: what it was trained with; `data` is `Mnist.fingerprint`.
        history: one record per epoch, as in metrics.jsonl.
        test_accuracy: 0 to 1, once it is measured.
        holdout, fold: how many training images it was not trained on, and which block of them.
        pretrained_weights: SHA-256 of the file that it started from, if any.
        code: `run.code_version` of the code that trained it.
    """

    network: Network
    recipe: Recipe
    seed: int
    precision: str
    data: str
    history: list[dict[str, Any]] = field(default_factory=list)
    test_accuracy: float | None = None
    holdout: int = 0
    fold: int | None = None
    pretrained_weights: str | None = None
    code: str | None = None

    def predict(self, images: np.ndarray, precision: str | None = None) -> np.ndarray:
        """Return the probabilities of the ten digits, (N, 10) float32, for (N, 28, 28) uint8.

        Args:
            precision: `float32` or `bfloat16`; None for the one it was trained in.

        Raises:
            DataError: they are of another shape or type.
            ModelError: the network's outputs are not finite, as after training that diverged.
        """
        if images.shape[1:] != (28, 28) or str(images.dtype).removeprefix("torch.") != "uint8":
            raise DataError(
                f"got images of shape {tuple(images.shape)}, {images.dtype}; expected "
                f"(N, 28, 28) uint8, ink 255 on 0; try (255 * images).astype('uint8')"
            )
        precision = precision or self.precision
        device = next(self.network.parameters()).device
        probabilities = []
        # As floats, millions of images would take four times the memory of their file.
        for first in range(0, max(1, len(images)), AT_ONCE):
            few = images[first : first + AT_ONCE]
            if isinstance(few, np.ndarray):  # PyTorch takes no flipped one, and warns of read-only
                few = np.require(few, requirements=["C", "W"])
            pixels = to_pixels(few, self.recipe.pixel_mean, self.recipe.pixel_std).to(device)
            autocast = torch.autocast(device.type, torch.bfloat16, precision == "bfloat16")
            with deterministic(device), autocast:
                logits = predict(
                    self.network,
                    pixels,
                    unsure_margin=self.recipe.unsure_margin,
                    unsure_moves=self.recipe.unsure_moves,
                )
            if not logits.isfinite().all():
                raise ModelError(
                    "got outputs that are not finite, as after training that diverged; train it "
                    "again with a smaller --learning-rate"
                )
            probabilities.append(logits.softmax(dim=1).cpu().numpy())
        return np.concatenate(probabilities)

    def save(self, directory: str | Path) -> None:
        """Write model.safetensors and config.json, which holds the checksum of the first.

        Raises:
            RunError: they can't be written; what was there still is.
        """
        directory = Path(directory)
        make_folder(directory)
        # Contiguous, so that the file doesn't depend on the memory layout of this machine.
        weights = {name: t.contiguous().cpu() for name, t in self.network.state_dict().items()}
        content = safetensors.torch.save(weights)
        config = {
            "version": VERSION,
            "recipe": asdict(self.recipe),
            "seed": self.seed,
            "precision": self.precision,
            "data": self.data,
            "holdout": self.holdout,
            "fold": self.fold,
            "pretrained_weights": self.pretrained_weights,
            "code": self.code,
            "test_accuracy": self.test_accuracy,
            "history": self.history,
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        write_together(
            {
                directory / "model.safetensors": content,
                directory / "config.json": json.dumps(config, indent=1) + "\n",
            }
        )


class FromBytes(nn.Module):
    """A network with the preparation of its pixels, as `to_pixels` does it, in front."""

    def __init__(self, network: nn.Module, mean: float, std: float):
        super().__init__()
        self.network, self.mean, self.std = network, mean, std

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (N, 10), of (N, 28, 28) uint8, white ink on black as MNIST has it.

        Raises:
            ValueError: the images have another type or shape.
        """
        if images.dtype != torch.uint8 or images.shape[1:] != (28, 28):
            raise ValueError(
                f"got {images.dtype} of shape {tuple(images.shape)}; expected torch.uint8 of "
                f"(N, 28, 28), MNIST's own bytes"
            )
        return self.network(to_pixels(images, self.mean, self.std))


def check_finite(network: nn.Module, learning_rate: float) -> None:
    """Refuse weights that a step too large has made infinite or NaN, after which no loss was seen.

    Raises:
        RunError: there is one.
    """
    if not all(tensor.isfinite().all() for tensor in network.state_dict().values()):
        raise RunError(f"non-finite weights; try a --learning-rate below {learning_rate}")


def say_other_data(trained: Trained, fingerprint: str, name: str) -> None:
    """Warn where a model is asked about another data set than it learned from.

    Args:
        fingerprint: `Mnist.fingerprint` of what it is asked about.
        name: of the model.
    """
    if trained.data != fingerprint:
        log.warning("%s: learned from another data set than this; is --data-dir right?", name)


@torch.inference_mode()
def predict(
    network: nn.Module,
    pixels: Tensor,
    batch_size: int = 500,
    unsure_margin: float = 0.0,
    unsure_moves: int = 4,
) -> Tensor:
    """Return the network's output for all pixels, in evaluation mode, batch by batch.

    Args:
        unsure_margin: where the two largest outputs are nearer than this, the output is the mean
            over the image and the same moved to the first `unsure_moves` of NEIGHBOURS.
    """
    network.eval()
    outputs = torch.cat([network(batch) for batch in pixels.split(batch_size)]).float()
    if unsure_margin and unsure_moves:
        first, second = outputs.topk(2).values.unbind(1)
        unsure = first - second < unsure_margin
        moves = [(0, 0), *NEIGHBOURS[:unsure_moves]]
        # The border is paper in nearly all of MNIST's images, so it may wrap.
        views = torch.cat([pixels[unsure].roll(move, (2, 3)) for move in moves])
        seen = predict(network, views, batch_size).view(len(moves), -1, outputs.shape[1])
        outputs[unsure] = seen.mean(dim=0)
    return outputs


def load_model(directory: str | Path) -> Trained:
    """Rebuild a trained network from its directory.

    Raises:
        ModelError: there is no model, it is damaged, or it is not one of ours.
    """
    directory = Path(directory)
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        content = (directory / "model.safetensors").read_bytes()
    except OSError as error:
        raise ModelError(
            f"{directory}: no model here ({error.strerror}: {Path(error.filename).name}); "
            f"expected a directory that `mnist train` wrote"
        ) from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{directory / 'config.json'}: not JSON: {error}; train again") from None
    try:
        if config["version"] != VERSION:
            raise ModelError(
                f"{directory}: model of version {config['version']}; expected {VERSION}"
            )
        if hashlib.sha256(content).hexdigest() != config["sha256"]:
            raise ModelError(
                f"{directory / 'model.safetensors'}: the SHA-256 is not the one in config.json; "
                f"the file is damaged or from another model; train or copy it again"
            )
        recipe = recipe_from_dict(config["recipe"])
        network = build(recipe.network, torch.Generator())
        network.load_state_dict(safetensors.torch.load(content))
        kept = ("seed", "precision", "data", "history", "test_accuracy")
        optional = {
            k: config[k] for k in ("holdout", "fold", "pretrained_weights", "code") if k in config
        }
        return Trained(network.eval(), recipe, **{k: config[k] for k in kept}, **optional)
    except (
        KeyError,
        TypeError,
        AttributeError,
        RuntimeError,
        RecipeError,
        SafetensorError,
    ) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{directory}: not a model of ours: {reason}") from None


def file_checksum(path: Path | None) -> str | None:
    """Return the file's SHA-256; None for no file.

    Raises:
        ModelError: it can't be read.
    """
    if path is None:
        return None
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: can't be read: {error.strerror}") from None


def model_card(trained: Trained, result: str, environment: dict[str, str | int]) -> str:
    """Return the README.md that lies beside a trained model, as Markdown.

    Args:
        result: a sentence without its full stop: on what it was tested, and how well it did.
        environment: as `device.environment` gives it.
    """
    honesty = (
        f"These are the {trained.holdout:,} training images that were set aside."
        if trained.holdout
        else "The test set was scored once, after training."
    )
    again = "scores the test set" if trained.holdout else "tests it again"
    start = trained.pretrained_weights
    weights = f"Pretrained weights `{start[:16]}`." if start else ""
    parameters = sum(p.numel() for p in trained.network.parameters())
    seconds = trained.history[-1]["seconds"] if trained.history else 0
    table = "\n".join(f"| {name} | {value} |" for name, value in settings(trained.recipe).items())
    return f"""# {trained.recipe.name}, seed {trained.seed}

A `{trained.recipe.network}` network of {parameters:,} parameters that reads one 28×28 grey image
of a digit, white ink on black as MNIST has it, and gives ten logits.

## Result

{result}. {honesty}
One model is one draw: figures with several seeds are in the project's README.

## Training

{len(trained.history)} epochs in {seconds:.0f} s, {trained.precision}, \
{environment["threads"]} threads, {environment["device"]}; {environment["processor"]};
PyTorch {environment["torch"]}. Data set fingerprint `{trained.data[:16]}`. {weights}

| setting | value |
|---|---|
{table}

## Use

```python
from mnist_classification import load_model

trained = load_model("path/to/this/directory")
probabilities = trained.predict(images)  # (N, 28, 28) uint8 → (N, 10)
```

`mnist evaluate path/to/this/directory` {again}.

## Limits

It knows digits prepared as MNIST's are: size-normalised, centred by mass, light on dark. Anything
else is answered with some digit too. Licence: MIT, as the project.
"""
