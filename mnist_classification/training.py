"""The one training loop. Read after model.py and recipes.py.

    trained = fit(find_recipe("decay"), load_mnist(), seed=0)

The data lies on the device as one tensor and a batch is an index into it; preparing images one by
one through a loader is most of what makes small networks slow to train.
"""

import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from .augment import augment
from .checkpoint import RunDirectory, Trained, file_checksum, load_pretrained
from .counterexamples import NO_DIGIT, draw_counter_examples, prepare_digits
from .data import Examples, Mnist
from .device import keep_freed_memory, pick_device, pick_precision
from .errors import RunError
from .model import Network, build, to_pixels, whiten
from .optimizers import Muon
from .progress import Progress, Silent
from .recipes import Recipe
from .strokes import draw_digits


def fit(
    recipe: Recipe,
    data: Mnist,
    *,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    pretrained_weights: Path | None = None,
    run: RunDirectory | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Train the recipe's network on `data.train`; the same seed gives the same weights.

    Bit for bit, that is, on one machine with the same versions and number of threads, and no
    matter how often the run was interrupted. The test set is not looked at.

    Args:
        device: `auto`, `cpu` or `cuda`.
        precision: `auto`, `bfloat16` (autocast; the weights stay float32) or `float32`.
        pretrained_weights: a safetensors file that AlexNet starts from.
        run: where checkpoints go after each epoch, and what a resumed run starts from.
        progress: is told of each step and epoch.

    Raises:
        RunError: the loss is no longer a finite number, a checkpoint can't be written, or an
            option is not known.
    """
    check_seed(seed)
    keep_freed_memory()
    torch.backends.cudnn.deterministic = True
    target = pick_device(device)
    precision = pick_precision(precision, target)
    progress = progress or Silent()
    generator = torch.Generator().manual_seed(seed)  # the source of all that is random
    network = build(recipe.network, generator)
    if pretrained_weights:
        load_pretrained(network, pretrained_weights)
    network.to(target)

    train = training_set(recipe, data.train, seed)
    images = torch.as_tensor(train.images).to(target)  # bytes: each batch becomes pixels by itself
    mean, std = recipe.pixel_mean, recipe.pixel_std
    labels = torch.as_tensor(train.labels).to(target, torch.int64)
    targets = labels
    if recipe.counter_examples:  # as probabilities: every digit is as likely for what is none
        targets = torch.cat([torch.eye(10), torch.full((1, 10), 0.1)]).to(target)[labels]
    epoch_images = min(recipe.images_per_epoch or len(labels), len(labels))
    steps_per_epoch = math.ceil(epoch_images / recipe.batch_size)
    total_steps = recipe.num_epochs * steps_per_epoch
    if recipe.whitening_images:
        whiten(network, to_pixels(images[: recipe.whitening_images], mean, std))
    optimizers = build_optimizers(recipe, network)

    history = run.restore(network, optimizers, generator) if run else []
    trained = Trained(
        *(network, recipe, seed, precision, data.fingerprint, history),
        holdout=len(data.holdout or ()),
        pretrained_weights=file_checksum(pretrained_weights),
    )
    progress.start(recipe.num_epochs, epoch_images, epochs_done=len(history))
    started = time.perf_counter() - (history[-1]["seconds"] if history else 0)

    for epoch in range(len(history), recipe.num_epochs):
        network.train()
        # Dropout draws from PyTorch's global generator: give it a seed of this epoch's own.
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        order = torch.randperm(len(labels), generator=generator)[:epoch_images].to(target)
        outputs = torch.empty(epoch_images, 10, device=target)  # scored once, when it is full

        for i, batch in enumerate(order.split(recipe.batch_size)):
            step = epoch * steps_per_epoch + i
            for group in (group for optimizer in optimizers for group in optimizer.param_groups):
                group["lr"] = group["initial_lr"] * schedule(recipe, step / total_steps)

            pixels = to_pixels(images[batch], mean, std)
            pixels = augment(pixels, recipe.augment, paper=-mean / std, generator=generator)
            with torch.autocast(target.type, torch.bfloat16, enabled=precision == "bfloat16"):
                logits = network(pixels)
            logits = logits.float()
            loss = F.cross_entropy(logits, targets[batch], label_smoothing=recipe.label_smoothing)
            network.zero_grad()
            (loss * len(batch) if recipe.loss_reduction == "sum" else loss).backward()
            for optimizer in optimizers:
                optimizer.step()

            done = i * recipe.batch_size + len(batch)
            outputs[done - len(batch) : done] = logits.detach()
            progress.step(done, loss)

        losses = F.cross_entropy(outputs, targets[order], reduction="none")
        if not losses.isfinite().all():
            image = int(losses.isfinite().int().argmin())  # the first, in the order of training
            step = epoch * steps_per_epoch + image // recipe.batch_size + 1
            raise RunError(
                f"the loss is no longer a finite number at step {step} of {total_steps}; "
                f"try a --learning-rate below {recipe.learning_rate}"
            )
        right = (outputs.argmax(1) == labels[order])[labels[order] != NO_DIGIT]
        record = {
            "epoch": epoch + 1,
            "train_loss": losses.mean().item(),
            "train_accuracy": right.float().mean().item(),
            "learning_rate": optimizers[-1].param_groups[0]["lr"],
            "seconds": time.perf_counter() - started,
        }
        if data.holdout:
            digits = trained.predict(data.holdout.images).argmax(axis=1)
            record["holdout_accuracy"] = float((digits == data.holdout.labels).mean())
        history.append(record)
        if run:
            run.save(network, optimizers, generator, history)
        progress.epoch(record)

    network.eval()
    return trained


def training_set(recipe: Recipe, train: Examples, seed: int) -> Examples:
    """Return what is learned from: MNIST's images, and what the recipe adds to them."""
    learned = train
    if recipe.drawn_images:
        learned += draw_digits(recipe.drawn_images, seed)
    if recipe.counter_examples:
        learned += draw_counter_examples(train, recipe.counter_examples, seed)
    if recipe.prepared_digits:
        learned += prepare_digits(train, recipe.prepared_digits, seed)
    return learned


def check_seed(seed: int) -> None:
    """Refuse what PyTorch's generators can't be seeded with."""
    if not 0 <= seed < 2**63:
        raise RunError(f"got seed {seed}; expected 0 to 2^63 - 1")


def build_optimizers(recipe: Recipe, network: Network) -> list[torch.optim.Optimizer]:
    """Return what changes the parameters; fused, so that a step is one call for all of them."""
    learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizers: list[torch.optim.Optimizer] = []
    if recipe.filter_learning_rate:
        filters = [parameter for parameter in learned if parameter.ndim == 4]
        learned = [parameter for parameter in learned if parameter.ndim != 4]
        optimizers.append(Muon(filters, recipe.filter_learning_rate, recipe.momentum))
    if recipe.optim == "adam":
        betas = recipe.momentum, recipe.adam_beta2
        optimizers.append(torch.optim.Adam(learned, recipe.learning_rate, betas, fused=True))
    else:
        optimizers.append(
            torch.optim.SGD(learned, recipe.learning_rate, recipe.momentum, fused=True)
        )
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def schedule(recipe: Recipe, progress: float) -> float:
    """Return the share of the learning rate that is used after `progress` of the run, 0 to 1."""
    if progress < recipe.warmup_share:
        return progress / recipe.warmup_share
    if recipe.schedule == "constant":
        return 1.0
    return (1 - progress) / (1 - recipe.warmup_share)
