"""One training shared among processes: torchrun --standalone --nproc-per-node 2 train.py.

    with join(device):
        trained = fit(recipe, data)

Every process draws the same batches, takes its share of each and learns from the gradients of all,
so that they compute together what one computes alone. One process is the world of size 1: its
share is the whole batch.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .cores import count_cores
from .errors import LostProcessError, MnistError, RunError


def rank() -> int:
    """Return this process's number among those of the run; the first is 0."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world_size() -> int:
    """Return how many processes share the run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


@contextmanager
def join(device: torch.device) -> Iterator[None]:
    """Join the processes that torchrun started, for what is within; where it did not, be alone.

    Raises:
        RunError: there are more processes than GPUs.
        LostProcessError: another process of the run ended.
    """
    if not dist.is_available() or not dist.is_torchelastic_launched():
        yield
        return
    if device.type == "cuda":
        _take_gpu(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    except RuntimeError as error:
        if not _is_lost_connection(error):
            raise
        raise LostProcessError(
            f"process {rank()} of 0 to {world_size() - 1}: another process of the run ended; "
            f"start all again with --resume"
        ) from None
    finally:
        dist.destroy_process_group()


def _take_gpu(number: int) -> None:
    """Compute on a GPU of this process's own."""
    # Every process says so, since only what the first one says is shown.
    if int(os.environ["LOCAL_WORLD_SIZE"]) > torch.cuda.device_count():
        raise RunError(
            f"got {os.environ['LOCAL_WORLD_SIZE']} processes for {torch.cuda.device_count()} GPUs; "
            f"expected one for each; try a smaller --nproc-per-node, or --device cpu"
        )
    torch.cuda.set_device(number)


def _is_lost_connection(error: RuntimeError) -> bool:
    """Tell what gloo and NCCL raise, the former without a type of its own, from other errors."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)


def threads_each() -> int | None:
    """Return this process's part of the cores; None, PyTorch's own choice, if it may have all.

    torchrun gives each process a single thread, and PyTorch knows nothing of a container's quota.
    """
    cores = count_cores()
    if not dist.is_available() or not dist.is_torchelastic_launched():
        return cores if cores < torch.get_num_threads() else None
    return max(1, cores // int(os.environ["LOCAL_WORLD_SIZE"]))


def check_shares(batch_size: int, images: int) -> None:
    """Refuse an epoch of so many images that has a batch with fewer of them than processes."""
    smallest = min(images % batch_size or batch_size, batch_size)
    if smallest < world_size():
        raise RunError(
            f"got a batch of {smallest} images for {world_size()} processes; expected one image "
            f"for each; try another --batch-size or --images-per-epoch"
        )


class Part(NamedTuple):
    """A process's part of a batch.

    Attributes:
        images: which of the batch.
        total: images in the batch.
        weight: of the part's mean loss, so that the mean over processes is the batch's mean loss.
    """

    images: slice
    total: int
    weight: float


def share(total: int) -> Part:
    """Return this process's part of so many images; each image is in one process's."""
    number, size = rank(), world_size()
    first, last = total * number // size, total * (number + 1) // size
    return Part(slice(first, last), total, size * (last - first) / max(1, total))


def share_gradients(network: nn.Module) -> nn.Module:
    """Return what to call in the network's place, so that gradients are the processes' mean.

    The network itself is changed where it normalizes batches, to have their statistics of all.
    """
    if world_size() == 1:
        return network
    for name, layer in list(network.named_modules()):
        if isinstance(layer, nn.BatchNorm2d):
            network.set_submodule(name, SharedBatchNorm(layer))
    shared = DistributedDataParallel(network, forward_sync_buffers=False)
    # It decides after its first step in which order gradients are added up. A resumed run would
    # begin in another order than one that goes on, so let it decide before either begins.
    network.eval()  # draws no random numbers, leaves running statistics alone
    blank = torch.zeros(1, 1, 28, 28, device=next(network.parameters()).device)
    for _ in range(2):
        shared(blank).sum().backward()
    network.zero_grad()
    return shared


def gather(mine: Tensor) -> Tensor:
    """Join what each process knows, with zeros where it is another's to know."""
    if world_size() > 1:
        dist.all_reduce(mine)
    return mine


def predict_together(predict: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> np.ndarray:
    """Return the probabilities of all images, (N, 10) float32, each predicted by one process."""
    part = share(len(images)).images
    probabilities = np.zeros((len(images), 10), dtype=np.float32)
    probabilities[part] = predict(images[part])
    return gather(torch.from_numpy(probabilities)).numpy()


def in_first(call: Callable[[], Any]) -> Any:
    """Call it in the first process alone; return what it returns, or raise its error, in all."""
    if world_size() == 1:
        return call()
    outcome: list[Any] = [None, None]
    if rank() == 0:
        try:
            outcome[0] = call()
        except MnistError as error:
            outcome[1] = error
    dist.broadcast_object_list(outcome)
    if outcome[1]:
        raise outcome[1]
    return outcome[0]


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalization by the mean and variance of all processes' shares.

    PyTorch's own, SyncBatchNorm, runs on GPUs only.
    """

    def __init__(self, alone: nn.BatchNorm2d):
        """Take over the parameters and running statistics of a layer."""
        super().__init__(alone.num_features, alone.eps, alone.momentum)
        self.__dict__.update(alone.__dict__)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalize (N, C, H, W); in evaluation mode by the running statistics, as ever."""
        if not self.training:
            return super().forward(pixels)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        values = pixels if pixels.dtype == torch.float64 else pixels.float()
        var, mean = torch.var_mean(values, dim=(0, 2, 3), correction=0)
        count = torch.full_like(mean, values.numel() / values.shape[1])
        # Joined from means and variances, not from sums of squares, which cancel in float32.
        means, variances, counts = _Gather.apply(torch.stack([mean, var, count])).unbind(1)
        total = counts.sum(0)
        mean = (means * counts).sum(0) / total
        var = ((variances + (means - mean) ** 2) * counts).sum(0) / total
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * total / (total - 1), self.momentum)
        scale = self.weight * (var + self.eps).rsqrt()
        offset = self.bias - mean * scale
        return torch.addcmul(offset[:, None, None], values, scale[:, None, None]).to(pixels.dtype)


class _Gather(torch.autograd.Function):
    """All processes' tensors, stacked; each gets the gradient that all have for its own."""

    @staticmethod
    def forward(_: Any, mine: Tensor) -> Tensor:
        parts = [torch.empty_like(mine) for _ in range(world_size())]
        dist.all_gather(parts, mine.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient[rank()]
