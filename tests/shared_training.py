"""What the processes of test_distributed.py do: trainings of a few steps, small and real.

They are forked from one that has imported PyTorch, with what torchrun tells its own.
"""

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from mnist_classification import training
from mnist_classification.data import Mnist, load_mnist
from mnist_classification.device import environment, use_threads
from mnist_classification.distributed import join, rank, world_size
from mnist_classification.model import build
from mnist_classification.progress import Silent
from mnist_classification.recipes import find_recipe
from mnist_classification.run import RunDirectory, identify
from mnist_classification.training import fit, start, train_epoch

CPU = torch.device("cpu")
EVERYTHING = (
    "+flip-probability=0.5+rotation-degrees=20+shift-pixels=2+scale-share=0.1+shear=0.1"
    "+elastic-pixels=0.5+stroke-strength=0.5+gap-probability=0.5+contrast-share=0.3+noise-share=0.1"
)
# Summed and mean losses, an odd batch with a rest of three, every augmentation, label smoothing,
# frozen whitening filters with Muon, batch normalization alone and with all of that.
RECIPES = {
    "lenet": "lr-0.0005",
    "sgd": "sgd",
    "odd batches": "lr-0.0005+batch-size=33+loss-reduction=mean",
    "augmented": "sgd" + EVERYTHING,
    "shifted": "sgd+shift-pixels=7",
    "whitened, Muon": "half-epoch+batch-size=32+images-per-epoch=640",
    "batch normalization": "sgd-batch-norm",
    "frontier": "three-epochs+batch-size=32+images-per-epoch=640",
}
IN_FLOAT64 = ("lenet", "batch normalization", "frontier")


def first_losses(name: str, data: Mnist, steps: int = 10) -> list[float]:
    """Return the mean loss of each of the first steps, float32."""
    recipe = find_recipe(name)
    state = start(recipe, data.train, 3, CPU, "float32")
    images = min(steps * recipe.batch_size, len(data.train))
    order = torch.randperm(len(data.train), generator=state.generator)[:images]
    logits = train_epoch(state, order, 0, Silent())
    losses = F.cross_entropy(logits, state.labels[order], reduction="none")
    return [batch.mean().item() for batch in losses.split(recipe.batch_size)]


def float64_losses(name: str, data: Mnist) -> list[float]:
    """Return the losses of an epoch in float64, where next to nothing is lost to rounding."""
    double_input = nn.Module.register_forward_pre_hook

    def build_double(name: str, generator: torch.Generator) -> nn.Module:
        network = build(name, generator).double()
        double_input(network, lambda _, inputs: (inputs[0].double(),))
        return network

    training.build = build_double  # type: ignore[assignment]
    try:
        return first_losses(name, data, steps=1000)
    finally:
        training.build = build


class Stop(Silent):
    """Ends a run after its first epoch."""

    def epoch(self, record: dict[str, Any]) -> None:
        raise KeyboardInterrupt


def weights_sha256(network: nn.Module) -> str:
    tensors = sorted(network.state_dict().items())
    return hashlib.sha256(
        b"".join(t.contiguous().numpy().tobytes() for _, t in tensors)
    ).hexdigest()


def resumed_and_not(data: Mnist, folder: Path) -> list[str]:
    """Return the checksums of the weights of an interrupted run and of an undisturbed one."""
    changes = "+num-epochs=4+images-per-epoch=323+sampling=early-importance+batch-size=64"
    recipe = find_recipe("three-epochs" + changes)
    identity = identify(recipe, 0, data, "float32", None, environment(CPU))
    options: dict[str, Any] = {"device": "cpu", "precision": "float32"}
    try:
        with RunDirectory(folder, identity) as run:
            fit(recipe, data, run=run, progress=Stop(), **options)
    except KeyboardInterrupt:
        pass
    with RunDirectory(folder, identity, resume=True) as run:
        resumed = fit(recipe, data, run=run, **options)
    return [weights_sha256(resumed.network), weights_sha256(fit(recipe, data, **options).network)]


def measure(data: Mnist, folder: Path) -> dict[str, Any]:
    """Return what does not depend on how many processes there are, and what each has."""
    held_out = Mnist(data.train, data.test[:301], data.test, data.sha256, data.directory)
    trained = fit(find_recipe("half-epoch+num-epochs=1"), held_out, precision="float32")
    return {
        "losses": {what: first_losses(name, data) for what, name in RECIPES.items()},
        "float64": {what: float64_losses(RECIPES[what], data) for what in IN_FLOAT64},
        "history": trained.history[0],
        "resumed": resumed_and_not(data, folder),
        "processes": world_size(),
    }


def small_mnist() -> Mnist:
    """Return 643 training and 500 test images."""
    data = load_mnist()
    return Mnist(data.train[:643], None, data.test[:500], data.sha256, data.directory)


def main() -> None:
    """Measure in each process; the first writes the file."""
    use_threads(1)
    with join(CPU):
        facts = measure(small_mnist(), Path(sys.argv[2]))
        if rank() == 0:
            Path(sys.argv[1]).write_text(json.dumps(facts))


def run(number: int, port: int, result: str, folder: str) -> None:
    """Be one of two processes as torchrun starts them; the body of a forked one."""
    world = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    world |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "tests"}
    os.environ |= {name: str(value) for name, value in world.items()}
    sys.argv[1:] = [result, folder]
    main()
