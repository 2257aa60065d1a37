"""How many processor cores there are; apart from device.py, since the server has no PyTorch."""

import contextlib
import math
import os
import sys
from pathlib import Path


def count_cores() -> int:
    """Return how many processor cores this process may use, limits of its container included."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, int(min(cores, container_cores())))


def container_cores(root: Path = Path("/sys/fs/cgroup")) -> float:
    """Return how many cores the Linux control group, version 2 or 1, lets its processes use."""
    files = [[root / "cpu.max"], [root / "cpu" / f"cpu.cfs_{k}_us" for k in ("quota", "period")]]
    for paths in files:
        with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
            text = " ".join(path.read_text(encoding="utf-8") for path in paths)
            quota, period = (float(part.replace("max", "inf")) for part in text.split())
            return quota / period if quota > 0 else math.inf  # version 1 says -1 for no limit
    return math.inf
