"""Several processes compute what one does, refuse what they can't, and end together."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import forked
import pytest
import shared_training
from conftest import ROOT, assert_one_line_error, children_of, run_command

from mnist_classification import distributed
from mnist_classification.errors import RunError

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
# In float32 batch normalization turns the last bit of a sum into the second digit of a loss within
# 20 steps, between one thread and two as well; float64 shows that it is computed alike. The others
# drift too: all augmentations together, on some processors, by 3e-6 in 10 steps and 1e-4 in 20.
STEPS_ALIKE = {"batch normalization": 1, "frontier": 1}


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What two processes measured, and one."""
    folder = tmp_path_factory.mktemp("together")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    files = str(folder / "two.json"), str(folder / "two")
    two = [forked.start(shared_training.run, number, port, *files) for number in range(2)]
    for process in two:
        process.join(120)
        assert process.exitcode == 0
    alone = shared_training.measure(shared_training.small_mnist(), folder / "one")
    return json.loads((folder / "two.json").read_text()), alone


@pytest.mark.parametrize("what", shared_training.RECIPES)
def test_two_processes_learn_what_one_does(together, what):
    two, one = together
    assert (two["processes"], one["processes"]) == (2, 1)
    assert len(one["losses"][what]) == 10
    steps = STEPS_ALIKE.get(what, 10)
    assert two["losses"][what][:steps] == pytest.approx(one["losses"][what][:steps], abs=1e-4)


@pytest.mark.parametrize("what", shared_training.IN_FLOAT64)
def test_in_float64_they_stay_together_for_an_epoch(together, what):
    two, one = together
    assert len(one["float64"][what]) > 20
    assert two["float64"][what] == pytest.approx(one["float64"][what], abs=1e-6)
    assert one["float64"][what][-1] < one["float64"][what][0]


def test_each_image_is_counted_once(together):
    two, one = together
    for key in ("train_loss", "train_accuracy", "holdout_accuracy"):
        assert two["history"][key] == pytest.approx(one["history"][key], abs=1e-5)


def test_a_resumed_run_has_the_same_bits(together):
    for facts in together:
        assert facts["resumed"][0] == facts["resumed"][1]


@pytest.mark.parametrize(("total", "size"), [(7, 1), (7, 2), (7, 3), (128, 3), (2, 3), (0, 2)])
def test_shares_have_every_image_once(monkeypatch, total, size):
    monkeypatch.setattr(distributed, "world_size", lambda: size)
    images, weights = [], []
    for rank in range(size):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        part = distributed.share(total)
        images += range(total)[part.images]
        weights.append(part.weight)
    assert images == list(range(total))
    assert sum(weights) / size == pytest.approx(1 if total else 0)


@pytest.mark.parametrize(("cores", "threads", "asked"), [(2, 8, 2), (8, 8, None), (8, 1, None)])
def test_alone_it_takes_no_more_threads_than_a_container_may(monkeypatch, cores, threads, asked):
    monkeypatch.setattr(distributed, "count_cores", lambda: cores)
    monkeypatch.setattr("torch.get_num_threads", lambda: threads)
    assert distributed.threads_each() == asked


def test_refuses_a_batch_of_fewer_images_than_processes(monkeypatch):
    distributed.check_shares(32, 33)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    distributed.check_shares(32, 34)
    with pytest.raises(RunError, match=r"a batch of 1 images for 2 processes; expected.*try"):
        distributed.check_shares(32, 33)


def test_a_killed_process_ends_the_other_and_resuming_takes_as_many(small_dir, tmp_path):
    flags = ["train.py", "--data-dir", str(small_dir), "--num-epochs", "500"]
    flags += ["--output", str(tmp_path / "run")]
    command = [*TORCHRUN, str(ROOT / flags[0]), *flags[1:]]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True, cwd=ROOT) as torchrun:
        wait_for(lambda: list(tmp_path.glob("run/checkpoint-*")))
        processes = children_of(torchrun.pid)
        assert len(processes) == 2
        os.kill(processes[1], signal.SIGKILL)
        out, err = torchrun.communicate(timeout=60)
    assert torchrun.returncode == 1
    assert out == ""
    ours = [line for line in err.splitlines() if line.startswith(("error: ", "stopped; "))]
    assert len(ours) == 1, err
    assert "--resume" in ours[0]
    if ours[0].startswith("stopped; "):
        assert "torchrun --standalone --nproc-per-node 2 " in ours[0]
    assert not any(Path(f"/proc/{process}").exists() for process in processes)
    resumed = run_command("train", *flags[1:], "--resume")
    assert_one_line_error(resumed, "processes is 2 there and 1 here")


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
