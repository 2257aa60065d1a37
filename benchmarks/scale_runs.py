#!/usr/bin/env python3
"""What a run costs besides its work, in the local pool and on Ray, and 1,000 runs in a row.

    python3 benchmarks/scale_runs.py

Both engines get one slot per core. The short experiments take turns, with runs as small as they
get: one epoch of LeNet on 600 images and a test on 200, about a tenth of a second of work each, so
that what is left of the time is the engine's. The long experiment is on Ray alone, with runs of
about a second, where its pace by the hundred shows whether many runs slow it down.
"""

import math
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import common
from arguments import make_parser, positive, save

from mnist_classification.cores import count_cores
from mnist_classification.data import Examples, load_mnist
from mnist_classification.recipes import find_recipe
from mnist_classification.study.engines import ENGINES, Options
from mnist_classification.study.experiments import Run
from mnist_classification.study.results import Result

RECIPE = find_recipe("vanilla+num-epochs=1")


def experiment(engine: str, count: int, data_dir: Path) -> dict[str, Any]:
    """Do so many runs; return when each was done, from the start, and the seconds of its own."""
    finished, work = [], []
    driver = time.process_time()
    data, options = load_mnist(data_dir), Options(workers=count_cores(), engine=engine)
    runs = [Run(RECIPE, seed) for seed in range(count)]
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        with closing(ENGINES[engine](runs, data, Path(folder), options)) as events:  # type: ignore[type-var]
            for run, outcome in events:
                if isinstance(outcome, float):
                    continue
                if not isinstance(outcome, Result):
                    sys.exit(f"error: {run.file_name}: {outcome}")
                finished.append(time.perf_counter() - started)
                work.append(outcome.total_seconds)
        files = len(list(Path(folder).glob("*.json")))
    print(f"{engine}: {count} runs, {files} files, {finished[-1]:.1f} s", file=sys.stderr)
    driver = time.process_time() - driver
    return {
        "engine": engine,
        "files": files,
        "finished": finished,
        "work": work,
        "driver": driver,
    }


def overhead(measured: dict[str, Any], slots: int) -> float:
    """Return the seconds that a run holds its slot without working, once all slots are warm."""
    finished, work = measured["finished"], measured["work"]
    pace = (finished[-1] - finished[slots - 1]) / (len(finished) - slots)
    return pace * slots - statistics.mean(work[slots:])


def paces(measured: dict[str, Any], step: int = 100) -> list[float]:
    """Return the runs per second of the second hundred runs, the third, and so on."""
    finished = measured["finished"]
    starts = range(step - 1, len(finished) - step, step)
    return [step / (finished[first + step] - finished[first]) for first in starts]


def run(rounds: int, short: int, long: int, images: int) -> dict[str, Any]:
    """Measure both engines, taking turns, then the long experiment."""
    fewest, cores = min(short, long), count_cores()
    if fewest <= cores:
        sys.exit(f"error: got {fewest} runs; expected more than the {cores} cores of this machine")
    with tempfile.TemporaryDirectory() as folder:
        few, enough = (write_part(Path(folder) / str(count), count) for count in (600, images))
        turns = [experiment(engine, short, few) for _ in range(rounds) for engine in ENGINES]
        many = experiment("ray", long, enough)
    return {
        "slots": cores,
        "turns": turns,
        "long": many,
        "environment": common.environment(),
    }


def write_part(folder: Path, images: int) -> Path:
    """Write the first training images and 200 of the test set's, as a data set."""
    data = load_mnist()
    train = Examples(data.train.images[:images], data.train.labels[:images])
    common.write_data(folder, train, data.test[:200])
    return folder


def table(result: dict[str, Any]) -> str:
    """Return the Markdown table of a result."""
    slots = result["slots"]
    lines = [
        "| engine | runs | seconds to the first result | a run's own seconds, mean "
        "| seconds a run costs besides |",
        "|---|---|---|---|---|",
    ]
    by_engine = {
        engine: [turn for turn in result["turns"] if turn["engine"] == engine]
        for engine in dict.fromkeys(turn["engine"] for turn in result["turns"])
    }
    rows = [*by_engine.items(), ("ray", [result["long"]])]
    for name, turns in rows:
        first = statistics.median(turn["finished"][0] for turn in turns)
        work = statistics.mean(seconds for turn in turns for seconds in turn["work"])
        besides = [overhead(turn, slots) for turn in turns]
        spread = f" ({min(besides):.2f}–{max(besides):.2f})" if len(besides) > 1 else ""
        count = f"{len(turns)} × {len(turns[0]['finished']):,}"
        lines.append(
            f"| {name} | {count} | {first:.1f} | {work:.2f} "
            f"| {statistics.median(besides):.2f}{spread} |"
        )
    pace = paces(result["long"])
    driver = result["long"]["driver"] / len(result["long"]["finished"])
    where = result["environment"]
    lines.append(
        f"\nThe {len(result['long']['finished']):,} runs left {result['long']['files']:,} files; "
        f"runs per second, by the hundred: {', '.join(f'{p:.1f}' for p in pace)}. "
        f"The command that asked spent "
        f"{1000 * driver:.0f} ms of processor time on each: enough for {1 / driver:.0f} runs a "
        f"second, so that a thousand machines of 64 cores stay busy with runs of "
        f"{math.ceil(64_000 * driver / 60)} minutes or more. {slots} slots here; "
        f"{where['processor']}, PyTorch {where['torch']}."
    )
    return "\n".join(lines)


def main() -> None:
    """Measure and print the table."""
    parser = make_parser(str(__doc__), "scale_runs")
    parser.add_argument("--rounds", type=positive, default=3, help="short runs of each engine")
    parser.add_argument("--short", type=positive, default=12, help="runs of a short experiment")
    parser.add_argument("--long", type=positive, default=1000, help="runs of the long one")
    parser.add_argument("--images", type=positive, default=7_000, help="that each run learns")
    options = parser.parse_args()
    result = run(options.rounds, options.short, options.long, options.images)
    save(options.output, result)
    print(table(result))


if __name__ == "__main__":
    main()
