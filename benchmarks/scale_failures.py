#!/usr/bin/env python3
"""What is left when machines and processes are killed: experiments on Ray, and a shared training.

    python3 benchmarks/scale_failures.py

A real Ray cluster on this machine, a head without cores and two worker machines of one core each,
all processes of their own, does the ladder in few epochs on few images, and a worker machine is
killed in the middle. The same with the process that asked for the experiment, which is started
again. Then two processes train together, one of them is killed, and they are resumed.
"""

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import common
from arguments import make_parser, save

from mnist_classification.data import load_mnist
from mnist_classification.recipes import LADDER
from mnist_classification.study.results import find_results, load_result

ROOT = Path(__file__).parent.parent
RECIPES = [f"{recipe.name}+num-epochs=1" for recipe in LADDER[1:]]
SEEDS = "0-2"
RUNS = 3 * len(RECIPES)
FLAGS = ["--num-epochs", "6", "--seed", "0"]


@contextlib.contextmanager
def cluster() -> Iterator[tuple[Any, list[Any]]]:
    """Start a head and two worker machines of one core each, and stop them."""
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    workers = [made.add_node(num_cpus=1) for _ in range(2)]
    try:
        yield made, workers
    finally:
        made.shutdown()
        ray.shutdown()


def start(data_dir: Path, folder: Path, address: str | None) -> subprocess.Popen:
    """Start the experiment; on Ray where there is an address."""
    command = [sys.executable, "-m", "mnist_classification", "experiment", "run"]
    command += ["--recipes", ",".join(RECIPES), "--seeds", SEEDS, "--data-dir", str(data_dir)]
    command += ["--output", str(folder)]
    command += ["--engine", "ray", "--address", address] if address else []
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so, five minutes at most."""
    deadline = time.monotonic() + 300
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("error: waited for five minutes in vain")
        time.sleep(0.05)


def names(folder: Path) -> set[str]:
    """Return the names of the results there are."""
    return {path.name for path in folder.glob("*-seed*.json")}


def follow(process: subprocess.Popen) -> list[str]:
    """Wait for the experiment; return the runs that it said it did."""
    _, said = process.communicate(timeout=600)
    if process.returncode:
        sys.exit(f"error: the experiment ended with {process.returncode}: {said}")
    return [line.partition(": ")[0] for line in said.splitlines() if " done" in line]


def kill_machine(data_dir: Path, folder: Path) -> dict[str, Any]:
    """Kill one of the two worker machines when a third of the runs is done."""
    with cluster() as (made, workers):
        process = start(data_dir, folder, made.address)
        wait_for(lambda: len(names(folder)) >= RUNS // 3)
        before = len(names(folder))
        made.remove_node(workers[0], allow_graceful=False)
        said = follow(process)
    return {"done_before": before, "said": said}


def kill_driver(data_dir: Path, folder: Path) -> dict[str, Any]:
    """Kill the process that asked when a third of the runs is done, and start it again."""
    with cluster() as (made, _):
        process = start(data_dir, folder, made.address)
        wait_for(lambda: len(names(folder)) >= RUNS // 3)
        process.kill()
        process.communicate()
        before = {name: (folder / name).read_bytes() for name in names(folder)}
        said = follow(start(data_dir, folder, made.address))
        kept = all((folder / name).read_bytes() == content for name, content in before.items())
    return {"done_before": len(before), "kept": kept, "said": said}


def judge(facts: dict[str, Any], folder: Path, undisturbed: Path, data_dir: Path) -> dict[str, Any]:
    """Add how many results there are, and whether they are those of the local pool."""
    data = load_mnist(data_dir)
    ours, theirs = (
        {path.name: load_result(path, data).predictions for path in find_results(place)}
        for place in (folder, undisturbed)
    )
    said = facts.pop("said")
    leftovers = [path.name for path in folder.iterdir() if path.name not in ours]
    return facts | {
        "files": len(ours),
        "said": len(said),
        "said_twice": len(said) - len(set(said)),
        "like_local": sum(ours.get(name) == theirs[name] for name in theirs),
        "leftovers": len(leftovers),
    }


def train_together(data_dir: Path, folder: Path, *more: str) -> subprocess.Popen:
    """Start a training by two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", str(ROOT / "train.py"), *FLAGS]
    command += ["--data-dir", str(data_dir), "--output", str(folder), *more]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def kill_one_of_two(data_dir: Path, folder: Path, number: int) -> dict[str, Any]:
    """Kill one of the processes in the middle of an epoch, and resume."""
    process = train_together(data_dir, folder)
    wait_for(lambda: (folder / "checkpoint-000002.safetensors").exists())
    time.sleep(0.3)
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True
    )
    os.kill([int(pid) for pid in children.stdout.split()][number], signal.SIGKILL)
    _, said = process.communicate()
    epochs = len(list(folder.glob("checkpoint-*"))) and max(
        int(path.stem.partition("-")[2]) for path in folder.glob("checkpoint-*")
    )
    lines = [line for line in said.splitlines() if line.startswith(("error: ", "stopped; "))]
    resumed = train_together(data_dir, folder, "--resume")
    resumed.communicate()
    return {"epochs_before": epochs, "said": lines, "sha256": checksum(folder)}


def checksum(folder: Path) -> str:
    """Return the SHA-256 of a model's weights."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def run() -> dict[str, Any]:
    """Disturb everything once."""
    data = load_mnist()
    with tempfile.TemporaryDirectory() as place:
        data_dir, folder = Path(place) / "data", Path(place)
        common.write_data(data_dir, data.train[:3000], data.test[:500])
        follow(start(data_dir, folder / "undisturbed", None))
        result: dict[str, Any] = {"runs": RUNS, "environment": common.environment()}
        for name, disturb in (("machine", kill_machine), ("driver", kill_driver)):
            facts = disturb(data_dir, folder / name)
            result[name] = judge(facts, folder / name, folder / "undisturbed", data_dir)
            print(name, result[name], file=sys.stderr)
        train_together(data_dir, folder / "calm").communicate()
        result["calm"] = checksum(folder / "calm")
        result["processes"] = [
            kill_one_of_two(data_dir, folder / f"killed-{number}", number) for number in (0, 1)
        ]
    return result


def table(result: dict[str, Any]) -> str:
    """Return the Markdown table of a result."""
    runs = result["runs"]
    machine, driver = result["machine"], result["driver"]
    lines = [
        "| killed | when | left | twice | as the local pool's |",
        "|---|---|---|---|---|",
        f"| one of two worker machines | {machine['done_before']} of {runs} runs done "
        f"| {machine['files']} results | {machine['said_twice']} | {machine['like_local']} |",
        f"| the command, then started again | {driver['done_before']} of {runs} runs done "
        f"| {driver['files']} results, the first {driver['done_before']} "
        f"{'untouched' if driver['kept'] else '**changed**'} | {driver['said_twice']} "
        f"| {driver['like_local']} |",
    ]
    for number, facts in enumerate(result["processes"]):
        same = "the same bits" if facts["sha256"] == result["calm"] else "**other bits**"
        lines.append(
            f"| process {number} of two in one training, then resumed "
            f"| after epoch {facts['epochs_before']} of {FLAGS[1]} "
            f"| {same} as undisturbed | – | – |"
        )
    where = result["environment"]
    lines.append(f"\n{where['processor']}, PyTorch {where['torch']}.")
    return "\n".join(lines)


def main() -> None:
    """Measure and print the table."""
    options = make_parser(str(__doc__), "scale_failures").parse_args()
    result = run()
    save(options.output, result)
    print(table(result))


if __name__ == "__main__":
    main()
