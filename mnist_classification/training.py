"""The one training loop. Read after model.py and recipes.py.

    trained = fit(find_recipe("decay"), load_mnist(), seed=0)

The data lies on the device as one tensor and a batch is an index into it; preparing images one by
one through a loader is most of what makes small networks slow to train.
"""

import math
import time
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .augment import augment
from .data import Examples, Mnist
from .device import deterministic, pick_device, pick_precision
from .distributed import check_shares, gather, predict_together, rank, share, share_gradients
from .errors import RunError
from .model import Network, build, to_pixels
from .optimizers import build_optimizers
from .progress import Progress, Silent
from .recipes import Recipe
from .run import RunDirectory, check_seed, code_version
from .sampling import Sampler, epoch_size
from .trained import Trained, check_finite
from .whitening import whiten


def fit(
    recipe: Recipe,
    data: Mnist,
    *,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    weights: dict[str, Tensor] | None = None,
    run: RunDirectory | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Train the recipe's network on `data.train`; the same seed gives the same weights.

    Bit for bit, that is, on one machine's processor with the same versions and number of threads,
    and no matter how often the run was interrupted; on a GPU as far as cuDNN's deterministic
    kernels go. The test set is not looked at.

    Args:
        device: `auto`, `cpu` or `cuda`.
        precision: `auto`, `bfloat16` (autocast; the weights stay float32) or `float32`.
        weights: initial weights by name, in place of those that the seed gives.
        run: where checkpoints go after each epoch, and what a resumed run starts from.
        progress: is told of each step and epoch.

    Raises:
        RunError: a loss or weight is not finite, a checkpoint can't be written, or an option is not
            known.
        RecipeError: there is no such network, or its first layer can't be whitened.
    """
    target = pick_device(device)
    precision = pick_precision(precision, target)
    progress = progress or Silent()
    with deterministic(target):
        state = start(recipe, data.train, seed, target, precision, weights)
        sampler = Sampler(recipe.sampling, len(data.train), state.generator)
        kept = state.network, state.optimizers, state.generator, sampler.importance
        history = run.restore(*kept) if run else []
        trained = Trained(
            *(state.network, recipe, seed, precision, data.fingerprint, history),
            holdout=len(data.holdout or ()),
            fold=data.fold,
            code=code_version(),
        )
        epoch_images = epoch_size(recipe.images_per_epoch, len(data.train))
        check_shares(recipe.batch_size, epoch_images)
        progress.start(recipe.num_epochs, epoch_images, epochs_done=len(history))
        started = time.perf_counter() - (history[-1]["seconds"] if history else 0)

        for epoch in range(len(history), recipe.num_epochs):
            # Dropout draws from PyTorch's global generator: give it a seed of this epoch's own.
            torch.manual_seed(int(torch.randint(2**62, (), generator=state.generator)) + rank())
            order = sampler.draw(epoch_images).to(target)
            logits = train_epoch(state, order, epoch, progress)
            record = {"epoch": epoch + 1} | score(state, order, logits, epoch)
            sampler.update(order, logits, state.labels[order], recipe.label_smoothing)
            check_finite(state.network, recipe.learning_rate)
            record["seconds"] = time.perf_counter() - started
            if data.holdout:
                digits = predict_together(trained.predict, data.holdout.images).argmax(axis=1)
                record["holdout_accuracy"] = float((digits == data.holdout.labels).mean())
            history.append(record)
            if run:
                run.save(history, *kept)
            progress.epoch(record)

    state.network.eval()
    return trained


@dataclass
class State:
    """What training changes and what it learns from, all of it on one device.

    Attributes:
        images: (N, 28, 28) uint8; each batch becomes pixels by itself.
        labels: (N,) int64.
        generator: the source of all that is random, on the CPU.
        forward: the network, or what shares its gradients among processes.
    """

    recipe: Recipe
    network: Network
    optimizers: list[torch.optim.Optimizer]
    images: Tensor
    labels: Tensor
    generator: torch.Generator
    precision: str
    forward: torch.nn.Module


def start(
    recipe: Recipe,
    train: Examples,
    seed: int,
    device: torch.device,
    precision: str,
    weights: dict[str, Tensor] | None = None,
) -> State:
    """Build the network and its optimizers as the seed says, and put all on the device."""
    check_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = build(recipe.network, generator)
    if weights:
        network.load_state_dict(network.state_dict() | weights)
    network.to(device)
    images = torch.as_tensor(train.images).to(device)
    labels = torch.as_tensor(train.labels).to(device, torch.int64)
    if recipe.whitening_images:
        few = images[: recipe.whitening_images]
        whiten(network, to_pixels(few, recipe.pixel_mean, recipe.pixel_std))
    optimizers = build_optimizers(recipe, network)
    forward = share_gradients(network)
    return State(recipe, network, optimizers, images, labels, generator, precision, forward)


def train_epoch(state: State, order: Tensor, epoch: int, progress: Progress) -> Tensor:
    """Learn from the images once, in that order; return each one's logits, (len(order), 10)."""
    recipe, network, generator = state.recipe, state.network, state.generator
    mean, std = recipe.pixel_mean, recipe.pixel_std
    batches = order.split(recipe.batch_size)
    outputs = torch.zeros(len(order), 10, device=order.device)
    network.train()
    for i, batch in enumerate(batches):
        rate = schedule(recipe, epoch * len(batches) + i, recipe.num_epochs * len(batches))
        for group in (group for optimizer in state.optimizers for group in optimizer.param_groups):
            group["lr"] = group["initial_lr"] * rate

        part = share(len(batch))  # all of it, unless other processes take their parts
        mine = batch[part.images]
        pixels = to_pixels(state.images[mine], mean, std)
        pixels = augment(pixels, recipe.augment, paper=-mean / std, generator=generator, part=part)
        with torch.autocast(pixels.device.type, torch.bfloat16, state.precision == "bfloat16"):
            logits = state.forward(pixels)
        logits = logits.float()
        loss = F.cross_entropy(logits, state.labels[mine], label_smoothing=recipe.label_smoothing)
        network.zero_grad()
        (loss * part.weight * (len(batch) if recipe.loss_reduction == "sum" else 1)).backward()
        for optimizer in state.optimizers:
            optimizer.step()

        done = i * recipe.batch_size + len(batch)
        outputs[done - len(batch) : done][part.images] = logits.detach()
        progress.step(done, loss)
    return gather(outputs)


def score(state: State, order: Tensor, logits: Tensor, epoch: int) -> dict[str, Any]:
    """Return an epoch's mean loss, labels not smoothed, and accuracy, as each image was shown.

    Once per epoch, because reading a number from the device waits for all that is queued there.

    Raises:
        RunError: a loss is not finite; names the step.
    """
    losses = F.cross_entropy(logits, state.labels[order], reduction="none")
    if not losses.isfinite().all():
        recipe = state.recipe
        steps = math.ceil(len(order) / recipe.batch_size)
        first = int(losses.isfinite().int().argmin())  # in the order of training
        step = epoch * steps + first // recipe.batch_size + 1
        raise RunError(
            f"non-finite loss at step {step} of {recipe.num_epochs * steps}; "
            f"try a --learning-rate below {recipe.learning_rate}"
        )
    return {
        "train_loss": losses.mean().item(),
        "train_accuracy": (logits.argmax(1) == state.labels[order]).float().mean().item(),
        "learning_rate": state.optimizers[-1].param_groups[0]["lr"],
    }


def schedule(recipe: Recipe, step: int, total_steps: int) -> float:
    """Return the share of the learning rate that step `step` uses, counted from 0."""
    warmup_steps = recipe.warmup_share * total_steps
    if step < warmup_steps:
        return min(1.0, (step + 1) / warmup_steps)  # a first step of zero would be none
    if recipe.schedule == "constant":
        return 1.0
    return (1 - step / total_steps) / (1 - recipe.warmup_share)
