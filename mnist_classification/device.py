"""What the machine offers: device, precision, memory; and how to say what it is.

device = pick_device("auto")
precision = pick_precision("auto", device)
"""

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

from .cores import count_cores
from .errors import RunError

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "bfloat16", "float32")
MAX_THREADS = 1024


def pick_device(name: str = "auto") -> torch.device:
    """Return the device of that name; `auto` is CUDA where there is one, else the CPU.

    Raises:
        RunError: the name is unknown, or CUDA is asked for and there is none.
    """
    if name not in DEVICES:
        raise RunError(f"got device {name!r}; expected one of {', '.join(DEVICES)}")
    if name == "cuda" and not torch.cuda.is_available():
        raise RunError("got device 'cuda'; this machine or this PyTorch has none; try --device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def pick_precision(name: str, device: torch.device) -> str:
    """Return `bfloat16` or `float32`; `auto` is bfloat16 where the hardware multiplies it.

    Raises:
        RunError: the name is unknown.
    """
    if name not in PRECISIONS:
        raise RunError(f"got precision {name!r}; expected one of {', '.join(PRECISIONS)}")
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    # Without these instructions bfloat16 is emulated, several times slower than float32.
    features = torch.cpu.get_capabilities()
    return "bfloat16" if features.get("avx512_bf16") or features.get("amx_bf16") else "float32"


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Have the same seed give the same bits in what is within, and leave the caller's state alone.

    That is PyTorch's global generators, which dropout draws from, and cuDNN's choice of kernels.
    cuDNN does not use TF32, nor does PyTorch in products of matrices unless it is told to: float32
    means float32 on a GPU too.
    """
    # Seeding seeds the generators of all GPUs, if there has been any use of one.
    used = device.type == "cuda" or torch.cuda.is_initialized()
    devices = range(torch.cuda.device_count()) if used else []
    kernels = torch.backends.cudnn.flags(  # whose default is not to use cuDNN
        enabled=True, deterministic=True, benchmark=False, allow_tf32=False
    )
    with torch.random.fork_rng(devices), kernels:
        yield


def use_threads(threads: int | None) -> None:
    """Let PyTorch compute with so many threads; None leaves its own choice, one per core.

    Raises:
        RunError: the number is below 1, or above what any machine has.
    """
    if threads is None:
        return
    if not 1 <= threads <= MAX_THREADS:
        raise RunError(f"got {threads} threads; expected 1 or more, at most {MAX_THREADS}")
    torch.set_num_threads(threads)


@cache
def keep_freed_memory() -> None:
    """Tell glibc to reuse freed memory instead of returning it to the system, once per process.

    A training step frees and takes the same large tensors again and again; by default each comes
    fresh from the kernel, which clears every page. That was a third of a step's time here.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        mmap_threshold, trim_threshold = -3, -1  # the names' numbers in malloc.h
        # Older glibc takes 32 MiB at most. The second alone would leave the first at its 128 KiB.
        if any(libc.mallopt(mmap_threshold, size) for size in (1 << 30, 1 << 25)):
            libc.mallopt(trim_threshold, 1 << 30)


def environment(device: torch.device) -> dict[str, str | int]:
    """Return versions, processor, threads and device, as stored with every result."""
    facts: dict[str, str | int] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": platform.system(),
        "processor": _processor(),
        "cores": count_cores(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
    }
    if device.type == "cuda":
        facts |= {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}
    return facts


def _processor() -> str:
    """Return the processor's name and the instructions that matter here."""
    features = torch.cpu.get_capabilities()
    wanted = ("avx2", "avx512_f", "avx512_bf16", "amx_bf16")
    name = features.get("cpu_name") or platform.processor() or platform.machine()
    return f"{name} ({', '.join(f for f in wanted if features.get(f)) or 'no AVX'})"
