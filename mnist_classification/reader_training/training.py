"""Train the network that reads lines.

    with RunDirectory("runs/reader-seed0", settings.identity()) as run:
        network, history = train(settings, source, run)

Every line is seen once: the batch of a step is drawn by chance that starts from the seed and the
step's number alone, so a run that was interrupted goes on with the very lines it would have had.
Most steps have lines with more brackets, slashes and other signs than people write, so that the
network learns what they look like; the last ones, at a rate that starts anew and lower, have fewer,
so that it learns how seldom they are (a warm restart, Loshchilov and Hutter 2017). What is kept is
the moving average of the weights.
"""

import hashlib
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from ..device import environment, keep_freed_memory
from ..errors import RunError
from ..progress import track
from ..reader.decoding import BLANK
from ..run import MACHINE, RunDirectory
from .lines import LineBatch, LineSource
from .network import LineNetwork

CODE = ("letters", "glyphs", "writing", "paper", "lines", "network", "training", "../reader/strips")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the network is trained.

    Attributes:
        num_steps: batches of about 75 lines.
        settling: the share of the steps, the last ones, whose lines have signs as seldom as people
            write them.
        learning_rate: at its peak, after `warmup_steps`, a quarter of the steps at most; it falls
            to 0 as a cosine.
        settling_rate: likewise, of the last steps.
        weight_decay: of AdamW.
        average_decay: of the moving average of the weights, per step.
        checkpoint_steps: a checkpoint is written each time that so many are done.
        clip_norm: longer gradients are shortened to this.
        precision: `bfloat16` or `float32`.
        words: whether words stand beside numbers, and a step of the network sees farther.
        seed: of the weights and the lines.
    """

    num_steps: int = 16_400
    settling: float = 3 / 17
    learning_rate: float = 3e-3
    settling_rate: float = 1e-3
    warmup_steps: int = 400
    weight_decay: float = 0.01
    average_decay: float = 0.9995
    checkpoint_steps: int = 200
    clip_norm: float = 5.0
    precision: str = "bfloat16"
    words: bool = False
    seed: int = 0

    @property
    def settles_at(self) -> int:
        """Return the first of the last steps."""
        return self.num_steps - round(self.settling * self.num_steps)

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        if step < self.settles_at:
            peak, count = self.learning_rate, self.settles_at
        else:
            peak, count = self.settling_rate, self.num_steps - self.settles_at
            step -= self.settles_at
        warmup = min(self.warmup_steps, count // 4)
        if step < warmup:
            return peak * (step + 1) / warmup
        done = (step - warmup) / (count - warmup)
        return peak * 0.5 * (1 + float(np.cos(np.pi * done)))

    def identity(self) -> dict[str, Any]:
        """Return what must be equal for a run to go on, and for one to replace another."""
        facts = environment(torch.device("cpu"))
        machine = {key: facts[key] for key in MACHINE}
        return {"settings": asdict(self), "code": code_version()} | machine


def code_version() -> str:
    """Return a hash of the files that decide what is learned, and from which lines."""
    digest = hashlib.sha256()
    for name in CODE:
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return digest.hexdigest()[:16]


class Batches(Dataset):
    """The batch of each step."""

    def __init__(self, source: LineSource, settings: Settings):
        self.source, self.settings = source, settings

    def __getitem__(self, step: int) -> LineBatch:
        # Other lines than for the network that this one stands beside.
        rng = np.random.default_rng([self.settings.seed, step, *[1] * self.settings.words])
        return self.source.draw(rng, many_signs=step < self.settings.settles_at)


class Both(nn.Module):
    """The network that is trained, and the average that is kept."""

    def __init__(self, settings: Settings):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(settings.seed + (settings.words << 32))
            network = LineNetwork(far=settings.words)
        self.trained = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = deepcopy(self.trained).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, step: int, decay: float) -> None:
        """Move the average towards the network, faster in the beginning."""
        share = 1 - min(decay, (1 + step) / (10 + step))
        theirs = self.trained.state_dict()
        for name, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(theirs[name], share)
            else:
                value.copy_(theirs[name])


def train(
    settings: Settings, source: LineSource, run: RunDirectory | None = None, num_workers: int = 0
) -> tuple[LineNetwork, list[dict[str, Any]]]:
    """Train a network; return the average, in evaluation mode, and a record per checkpoint.

    Args:
        source: of the lines.
        run: an open run, for checkpoints and to go on from one.
        num_workers: processes that draw lines beside the one that trains; 0 for none.

    Raises:
        RunError: the loss is not finite.
    """
    keep_freed_memory()
    both = Both(settings)
    optimizer = torch.optim.AdamW(
        both.trained.parameters(), weight_decay=settings.weight_decay, betas=(0.9, 0.98), fused=True
    )
    generator = torch.Generator()
    history = run.restore(both, [optimizer], generator) if run else []
    done = history[-1]["step"] if history else 0
    seconds = history[-1]["seconds"] if history else 0.0
    total, strips, started = 0.0, 0, time.perf_counter()
    with track("steps of training", settings.num_steps, done) as advance:
        for step, batch in _batches(settings, source, done, num_workers):
            for group in optimizer.param_groups:
                group["lr"] = settings.rate(step)
            loss = step_once(both.trained, optimizer, batch, settings)
            both.update(step, settings.average_decay)
            total, strips = total + loss, strips + len(batch.digits)
            advance()
            if (step + 1) % settings.checkpoint_steps and step + 1 < settings.num_steps:
                continue
            if not np.isfinite(total):
                raise RunError(f"non-finite loss near step {step}; try another --seed")
            seconds, started = seconds + time.perf_counter() - started, time.perf_counter()
            record = {"step": step + 1, "train_loss": total / strips, "seconds": round(seconds, 1)}
            total, strips = 0.0, 0
            history.append(record)
            if run:
                run.save(history, both, [optimizer], generator)
    return both.average, history


def _batches(
    settings: Settings, source: LineSource, done: int, num_workers: int
) -> Iterator[tuple[int, LineBatch]]:
    steps = range(done, settings.num_steps)
    loader = DataLoader(
        Batches(source, settings),
        batch_size=None,
        sampler=steps,
        num_workers=num_workers,
        prefetch_factor=8 if num_workers else None,
    )
    yield from zip(steps, loader, strict=True)


def step_once(
    network: LineNetwork, optimizer: torch.optim.Optimizer, batch: LineBatch, settings: Settings
) -> float:
    """Take one step and return the sum of the lines' losses."""
    network.train()
    rows = torch.from_numpy(batch.rows).unsqueeze(1).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bfloat16"):
        found = network(rows)
    loss = ctc_loss(found, batch)
    (loss / len(batch.digits)).backward()
    nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(loss.detach())


def ctc_loss(found: Tensor, batch: LineBatch) -> Tensor:
    """Return the sum of the lines' losses; (R, steps, 11) log-probabilities of whole rows."""
    longest = int(batch.steps.max())
    step = torch.from_numpy(batch.start)[:, None] + torch.arange(longest)
    step = step.clamp(max=found.shape[1] - 1)
    lines = found[torch.from_numpy(batch.row)[:, None], step]  # (N, longest, 11)
    targets = [digit for digits in batch.digits for digit in digits]
    return F.ctc_loss(
        lines.transpose(0, 1),
        torch.tensor(targets, dtype=torch.long),
        torch.from_numpy(batch.steps),
        torch.tensor([len(digits) for digits in batch.digits]),
        blank=BLANK,
        reduction="sum",
        zero_infinity=True,
    )
