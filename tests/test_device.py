import contextlib
import ctypes
import math
import os
import sys

import pytest
import torch

from mnist_classification.cores import container_cores, count_cores
from mnist_classification.device import (
    PRECISIONS,
    deterministic,
    environment,
    keep_freed_memory,
    pick_device,
    pick_precision,
    use_threads,
)
from mnist_classification.errors import RunError

CPU = torch.device("cpu")


def test_precision_is_one_that_the_processor_multiplies():
    picked = pick_precision("auto", CPU)
    features = torch.cpu.get_capabilities()
    fast = features.get("avx512_bf16") or features.get("amx_bf16")
    assert picked == ("bfloat16" if fast else "float32")
    assert pick_precision("float32", CPU) == "float32"
    assert picked in PRECISIONS


def test_devices_that_are_not_there_are_refused():
    assert pick_device("cpu") == CPU
    with pytest.raises(RunError, match="got device 'tpu'; expected one of auto, cpu, cuda"):
        pick_device("tpu")
    if not torch.cuda.is_available():
        assert pick_device("auto") == CPU
        with pytest.raises(RunError, match=r"got device 'cuda'.*try --device cpu"):
            pick_device("cuda")


def test_threads_are_one_or_more():
    before = torch.get_num_threads()
    try:
        use_threads(1)
        assert environment(CPU)["threads"] == 1
        use_threads(None)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    with pytest.raises(RunError, match="got 0 threads"):
        use_threads(0)
    with pytest.raises(RunError, match="at most 1024"):
        use_threads(10**12)


@pytest.mark.parametrize("largest", [1 << 30, 1 << 25, 0])
def test_memory_is_kept_as_far_as_glibc_lets_it(largest, monkeypatch):
    """Setting the one threshold alone would leave the other at its lowest."""
    taken = {}

    class Libc:
        def mallopt(self, name, value):
            if name == -3 and value > largest:
                return 0
            taken[name] = value
            return 1

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Libc())
    keep_freed_memory.__wrapped__()
    assert taken == ({-3: largest, -1: 1 << 30} if largest else {})


def test_determinism_ends_with_its_block():
    flags = torch.backends.cudnn
    with flags.flags(enabled=True, deterministic=False, benchmark=True, allow_tf32=True):
        state = torch.get_rng_state()
        with contextlib.suppress(ZeroDivisionError), deterministic(CPU):
            assert (flags.deterministic, flags.benchmark, flags.allow_tf32) == (True, False, False)
            assert flags.enabled
            torch.rand(7)
            _ = 1 / 0
        assert (flags.deterministic, flags.benchmark, flags.allow_tf32) == (False, True, True)
        assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
        ({"cpu.max": "nonsense\n"}, math.inf),
        ({}, math.inf),
    ],
)
def test_a_containers_limit_counts(tmp_path, files, cores):
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert container_cores(tmp_path) == cores


def test_there_is_a_core():
    assert 1 <= count_cores() <= os.cpu_count()
