#!/usr/bin/env python3
"""One epoch over a million images and over 60,000: cost per image, and peak memory.

    python3 benchmarks/make_deformed.py --images 1000000 --output runs/deformed-1000000
    python3 benchmarks/make_deformed.py --images 60000 --output runs/deformed-60000
    python3 benchmarks/scale_images.py runs/deformed-60000 runs/deformed-1000000

The ways take turns, each time in a process of its own, LeNet at batch 128, one thread. The cost is
in processor time, which other work on the machine hardly changes, and in seconds. Memory is what
the process holds for itself at its peak (anonymous pages), beside the pages of the mapped files,
which the system takes back when it needs the room.
"""

import json
import re
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

import common
from arguments import make_parser, positive, save

from mnist_classification.data import load_mnist
from mnist_classification.device import keep_freed_memory, use_threads
from mnist_classification.progress import Silent
from mnist_classification.recipes import find_recipe
from mnist_classification.training import fit

RECIPE = "vanilla+num-epochs=1"


def memory() -> dict[str, int]:
    """Return the process's memory in bytes: its own pages, and those of mapped files."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return {
        key: 1024 * int(re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)[1])  # type: ignore[index]
        for key, name in (("own", "RssAnon"), ("mapped", "RssFile"))
    }


class Clock(Silent):
    """Measures the processor time of the epoch, without what comes before it."""

    def start(self, num_epochs: int, num_images: int, epochs_done: int) -> None:
        """Note when the epoch begins."""
        self.worked = -time.process_time()

    def epoch(self, record: dict[str, Any]) -> None:
        """Note how long it took."""
        self.worked += time.process_time()


def measure(data_dir: Path) -> dict[str, Any]:
    """Train an epoch; return its seconds, those of loading, and the peak of memory."""
    peak, done = memory(), threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            peak.update({key: max(peak[key], value) for key, value in memory().items()})

    use_threads(1)
    keep_freed_memory()
    before = memory()["own"]
    started = time.perf_counter()
    data = load_mnist(data_dir)
    loading = time.perf_counter() - started
    watcher = threading.Thread(target=watch)
    watcher.start()
    clock = Clock()
    options: dict[str, Any] = {"device": common.DEVICE, "precision": "float32"}
    try:
        history = fit(find_recipe(RECIPE), data, progress=clock, **options).history
    finally:
        done.set()
        watcher.join()
    facts = {"images": len(data.train), "loading": loading, "seconds": history[0]["seconds"]}
    facts["processor_seconds"] = clock.worked
    return facts | {"before": before, **peak, "loss": history[0]["train_loss"]}


def run(small: Path, large: Path, rounds: int) -> dict[str, Any]:
    """Measure the small one before, between and after the large one."""
    turns = [small, *[large, small] * rounds]
    measured = []
    for folder in turns:
        text = common.run_script(__file__, "--measure", str(folder), str(small), str(large))
        measured.append(json.loads(text))
        print(measured[-1], file=sys.stderr)
    return {"measured": measured, "environment": common.environment()}


def table(result: dict[str, Any]) -> str:
    """Return the Markdown table of a result."""
    lines = [
        "| images | processor µs per image, median | range | to the smallest | µs per image "
        "| loading, s | peak memory of its own, MB | pages of mapped files, MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    sizes = sorted({facts["images"] for facts in result["measured"]})
    costs = {
        size: [
            1e6 * facts["processor_seconds"] / size
            for facts in result["measured"]
            if facts["images"] == size
        ]
        for size in sizes
    }
    for size in sizes:
        facts = [f for f in result["measured"] if f["images"] == size]
        cost = statistics.median(costs[size])
        own, mapped = (max(f[key] for f in facts) / 1e6 for key in ("own", "mapped"))
        lines.append(
            f"| {size:,} | {cost:.1f} | {min(costs[size]):.1f}–{max(costs[size]):.1f} "
            f"| {cost / statistics.median(costs[sizes[0]]):.2f}× "
            f"| {statistics.median(1e6 * f['seconds'] / size for f in facts):.1f} "
            f"| {statistics.median(f['loading'] for f in facts):.1f} | {own:,.0f} | {mapped:,.0f} |"
        )
    where = result["environment"]
    before = statistics.median(facts["before"] for facts in result["measured"]) / 1e6
    lines.append(
        f"\nLeNet, batch 128, float32, one epoch; {before:,.0f} MB of its own before the data is "
        f"loaded. At that, the 8.1 million images of infiMNIST take "
        f"{8.1e6 * statistics.median(costs[sizes[-1]]) / 3.6e9:.1f} processor hours an epoch, and "
        f"{8.1e6 * 784 / 1e9:.1f} GB of disk. "
        f"{where['processor']}, one thread, PyTorch {where['torch']}."
    )
    return "\n".join(lines)


def main() -> None:
    """Measure and print the table; with --measure, measure that folder once in this process."""
    parser = make_parser(str(__doc__), "scale_images")
    parser.add_argument("small", type=Path, help="folder of 60,000 images")
    parser.add_argument("large", type=Path, help="folder of a million")
    parser.add_argument("--rounds", type=positive, default=1, help="epochs over the million")
    parser.add_argument("--measure", type=Path, help="measure only this folder, in this process")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    result = run(options.small, options.large, options.rounds)
    save(options.output, result)
    print(table(result))


if __name__ == "__main__":
    main()
