"""One run's directory: its lock, its checkpoints and what it resumes from.

    with RunDirectory("runs/mine", identity, resume=True) as run:
        trained = fit(recipe, data, run=run)
        run.finish(trained, card)

It holds metrics.jsonl and, until the run is finished, its newest two checkpoints; then the model.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import filelock
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from . import __version__
from .data import Mnist
from .distributed import in_first, rank, world_size
from .errors import ModelError, RunError
from .files import make_folder, remove_leftovers, write_atomically
from .recipes import Recipe
from .trained import Trained

log = logging.getLogger(__name__)

MACHINE = ("torch", "device", "processor", "threads")
CHECKPOINTS = "checkpoint-*.safetensors"
HOW = (*MACHINE, "processes")  # what bits depend on, but not what is meant
CODE = (
    *("model", "training", "trained", "distributed", "device", "data", "augment"),
    *("optimizers", "sampling", "layers", "convolution", "whitening", "alexnet"),
)


def check_seed(seed: int) -> None:
    """Refuse what PyTorch's generators can't be seeded with.

    Raises:
        RunError: it is negative, or 2^63 or more.
    """
    if not 0 <= seed < 2**63:
        raise RunError(f"got seed {seed}; expected 0 to 2^63 - 1")


def identify(
    recipe: Recipe,
    seed: int,
    data: Mnist,
    precision: str,
    pretrained_weights: str | None,
    environment: dict[str, Any],
) -> dict[str, Any]:
    """Return what must be equal for a resumed run to give the same bits, as JSON values.

    Args:
        pretrained_weights: the file's SHA-256, if there is one.
        environment: as `device.environment` gives it.
    """
    return {
        "recipe": asdict(recipe),
        "seed": seed,
        "data": data.fingerprint,
        "holdout": len(data.holdout or ()),
        "fold": data.fold,
        "precision": precision,
        "pretrained_weights": pretrained_weights,
        "code": code_version(),
        "processes": world_size(),
    } | {key: environment[key] for key in MACHINE}


def code_version() -> str:
    """Return the package's version and a hash of the files that decide what a run computes."""
    digest = hashlib.sha256()
    for name in CODE:
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return f"{__version__} {digest.hexdigest()[:16]}"


class RunDirectory:
    """The directory of one run: its lock, its checkpoints and, at the end, its model.

    A run is unfinished while it has checkpoints: they go when the model is whole.

        with RunDirectory(path, identity, resume=True) as run:
            trained = fit(recipe, data, run=run)
            run.finish(trained, card)
    """

    def __init__(
        self,
        path: str | Path,
        identity: dict[str, Any],
        *,
        resume: bool = False,
        overwrite: bool = False,
        leaves: Sequence[str] = ("model.safetensors",),
    ):
        """Name the directory and what the run is.

        Args:
            identity: as `identify` gives it.
            resume: go on from the newest whole checkpoint.
            overwrite: drop an unfinished run's checkpoints, or replace a finished model of another
                run, and start again.
            leaves: files that are there in the end, beside a README.md: another's are not replaced.
        """
        self.path = Path(path)
        self.identity = json.loads(json.dumps(identity))  # what comes back from a checkpoint
        self.resume = resume
        self.overwrite = overwrite
        self.leaves = ("README.md", *leaves)
        self.state: tuple[dict[str, Tensor], list[dict[str, Any]]] | None = None

    def __enter__(self) -> Self:
        """Lock the directory and read what is to be resumed; of several processes the first does.

        Raises:
            RunError: another run has it, it can't be written, or it holds an unfinished run
                and neither `resume` nor `overwrite` is asked for, or another run's model.
        """
        self.state = in_first(self._lock_and_open)
        return self

    def __exit__(self, *_: object) -> None:
        if rank() == 0:
            self.lock.release()

    def _lock_and_open(self) -> tuple[dict[str, Tensor], list[dict[str, Any]]] | None:
        make_folder(self.path)
        self.lock = filelock.FileLock(self.path / ".lock", timeout=0)
        try:
            self.lock.acquire()
        except filelock.Timeout:
            raise RunError(
                f"{self.path}: another process is training there; wait for it, or choose another "
                f"--output"
            ) from None
        except (OSError, NotImplementedError) as error:
            reason = getattr(error, "strerror", None) or error
            raise RunError(
                f"{self.path}/.lock: can't be locked: {reason}; try another --output"
            ) from None
        try:
            remove_leftovers(self.path)
            return self._open()
        except BaseException:
            self.lock.release()
            raise

    def _open(self) -> tuple[dict[str, Tensor], list[dict[str, Any]]] | None:
        """Return the state to resume; None for a new run."""
        checkpoints = self.checkpoints()
        finished = (self.path / "config.json").exists()
        if self.resume and self.overwrite:
            raise RunError("got --resume and --overwrite; expected one of them")
        for name in self.leaves if not checkpoints and not finished else ():
            if (self.path / name).exists():
                raise RunError(
                    f"{self.path}: holds a {name} of something else, which a model's would "
                    f"replace; try another --output"
                )
        if not checkpoints and not finished and not self._may_write_metrics():
            raise RunError(
                f"{self.path}: holds a metrics.jsonl of something else, which ours would replace; "
                f"try another --output"
            )
        if self.overwrite:
            for checkpoint in checkpoints:
                checkpoint.unlink()
        elif self.resume and checkpoints:
            return self._load_newest(checkpoints)
        elif self.resume and finished:
            raise RunError(f"{self.path}: finished, nothing to resume; drop --resume to replace it")
        elif self.resume:
            log.warning("%s: nothing to resume, starting from the first epoch", self.path)
        elif checkpoints:
            raise RunError(
                f"{self.path}: holds an unfinished run; --resume continues it, --overwrite starts "
                f"again"
            )
        elif finished:
            self._check_replaceable()
            log.warning("%s: replacing the finished run there", self.path)
        return None

    def _check_replaceable(self) -> None:
        """Refuse to replace a model that this run would not give again."""
        try:
            theirs = json.loads((self.path / "config.json").read_text(encoding="utf-8"))
            theirs = theirs if isinstance(theirs, dict) else {}
        except (OSError, ValueError, RecursionError):
            theirs = {}
        ours = {key: value for key, value in self.identity.items() if key not in HOW}
        different = [key for key, value in ours.items() if theirs.get(key) != value]
        if different:
            raise RunError(
                f"{self.path}: holds a model of another {', '.join(different)}; --overwrite "
                f"replaces it, another --output keeps it"
            )

    def checkpoints(self) -> list[Path]:
        """Return the checkpoint files, oldest first."""
        return sorted(self.path.glob(CHECKPOINTS))

    def _load_newest(self, checkpoints: list[Path]) -> tuple[dict[str, Tensor], list]:
        for path in reversed(checkpoints):
            try:
                tensors, metadata = _load_checkpoint(path)
            except ModelError as error:
                log.warning("%s; trying the one before it", error)
                continue
            theirs = _flatten(metadata["identity"])
            different = [
                f"{key} is {theirs.get(key)!r} there and {value!r} here"
                for key, value in _flatten(self.identity).items()
                if theirs.get(key) != value
            ]
            if different:
                raise RunError(
                    f"{self.path}: can't resume another run: {'; '.join(different)}; give the same "
                    f"settings, or --overwrite"
                )
            return tensors, metadata["history"]
        raise RunError(f"{self.path}: no checkpoint is whole; delete them to start again")

    def restore(
        self,
        network: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        generator: torch.Generator,
        importance: Tensor | None = None,
    ) -> list[dict[str, Any]]:
        """Put the resumed state into place and return its history; [] for a new run."""
        if self.state is None:
            return []
        tensors, history = self.state
        self.state = None  # as large as the network and its optimizers: not kept while training
        network.load_state_dict(_under("network.", tensors))
        for number, optimizer in enumerate(optimizers):
            parameters = optimizer.param_groups[0]["params"]
            state: dict[int, dict[str, Tensor]] = {}
            for name, tensor in _under(f"optimizer.{number}.", tensors).items():
                index, key = name.split(".")
                parameter = parameters[int(index)]
                if tensor.shape == parameter.shape:  # fused steps need the parameter's layout
                    tensor = torch.empty_like(parameter).copy_(tensor)
                state.setdefault(int(index), {})[key] = tensor
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": state, "param_groups": groups})
        generator.set_state(tensors["generator"])
        if importance is not None:
            importance.copy_(tensors["importance"])
        return history

    def save(
        self,
        history: list[dict[str, Any]],
        network: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        generator: torch.Generator,
        importance: Tensor | None = None,
    ) -> None:
        """Write the state after an epoch, keep the one before it, drop older ones.

        Raises:
            RunError: it can't be written; the earlier checkpoints are whole.
        """
        tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
        for number, optimizer in enumerate(optimizers):
            for index, state in optimizer.state_dict()["state"].items():
                name = f"optimizer.{number}.{index}"
                tensors |= {f"{name}.{key}": tensor for key, tensor in state.items()}
        tensors["generator"] = generator.get_state()
        if importance is not None:
            tensors["importance"] = importance
        in_first(lambda: self._write(tensors, history))

    def _write(self, tensors: dict[str, Tensor], history: list[dict[str, Any]]) -> None:
        tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
        state_json = json.dumps({"identity": self.identity, "history": history})
        metadata = {"state": state_json, "sha256": _checksum(tensors, state_json)}
        path = self.path / f"checkpoint-{len(history):06}.safetensors"
        write_atomically(path, safetensors.torch.save(tensors, metadata))
        for old in self.checkpoints()[:-2]:
            old.unlink()
        self._write_metrics(history)

    def finish(self, trained: Trained, card: str) -> None:
        """Write the metrics, the model and its card; then no checkpoint is needed any more."""
        in_first(lambda: self._finish(trained, card))

    def _finish(self, trained: Trained, card: str) -> None:
        self._write_metrics(trained.history)
        trained.save(self.path)
        write_atomically(self.path / "README.md", card)
        for checkpoint in self.checkpoints():
            checkpoint.unlink()

    def _may_write_metrics(self) -> bool:
        """Say whether there are none, or those of a run that broke off."""
        try:
            there = (self.path / "metrics.jsonl").read_bytes()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return not there or b'"train_loss"' in there.partition(b"\n")[0]

    def _write_metrics(self, history: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(record) + "\n" for record in history)
        write_atomically(self.path / "metrics.jsonl", lines)


def _load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path}: damaged: {error}") from None
    state_json = metadata.get("state", "")
    if metadata.get("sha256") != _checksum(tensors, state_json):
        raise ModelError(f"{path}: damaged: its checksum does not match")
    return tensors, json.loads(state_json)


def _checksum(tensors: dict[str, Tensor], state_json: str) -> str:
    digest = hashlib.sha256(state_json.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names start with `prefix`, without it."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _flatten(identity: dict[str, Any]) -> dict[str, Any]:
    """Return {"recipe.batch_size": 32, …} for a nested dictionary."""
    flat: dict[str, Any] = {}
    for key, value in identity.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{inner}": v for inner, v in _flatten(value).items()}
        else:
            flat[key] = value
    return flat
