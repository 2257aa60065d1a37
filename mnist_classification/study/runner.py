"""Recipes × seeds → results, as many at a time as there are cores.

    run_experiment(EXPERIMENTS["ladder"].runs(), Path("runs/ladder"), load_mnist(), Options())

Each run is a process of its own with one thread: on a small network two such processes are faster
than one with two threads. What is done is not done again; a killed experiment loses the runs that
were in progress and nothing else.
"""

import multiprocessing
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.live import Live
from rich.table import Table
from torch import Tensor

from ..alexnet import load_pretrained
from ..data import Mnist, load_mnist
from ..device import (
    count_cores,
    environment,
    keep_freed_memory,
    pick_device,
    pick_precision,
    use_threads,
)
from ..errors import ExperimentError, MnistError, ResultError
from ..files import make_folder, remove_leftovers
from ..trained import file_checksum
from ..training import fit
from .experiments import Run
from .results import Result, load_result, save_result


@dataclass(frozen=True)
class Options:
    """How runs are done, the same for all of an experiment.

    Attributes:
        workers: processes at a time; None for as many as the cores have room for, one on a GPU.
        threads: per process.
        data_dir: as for `load_mnist`.
    """

    workers: int | None = None
    threads: int = 1
    device: str = "auto"
    data_dir: Path | None = None


def choose_options(
    timed: bool, workers: int | None, threads: int | None, device: str, data_dir: Path | None
) -> Options:
    """Return how runs are done: by default one thread each, or all of them where time is the point.

    Raises:
        ExperimentError: there would be no worker or no thread.
    """
    if timed and workers is None:
        workers = 1
    if threads is None:
        threads = count_cores() if timed else 1
    if threads < 1 or (workers is not None and workers < 1):
        raise ExperimentError(f"got {workers} workers of {threads} threads; expected 1 or more")
    return Options(workers, threads, device, data_dir)


@dataclass
class _Job:
    """A run in progress: its process, and the parent's end of its pipe."""

    run: Run
    process: Any
    pipe: Connection
    started: float = field(default_factory=time.perf_counter)
    share_done: float = 0.0  # of the training


def run_experiment(
    runs: Sequence[Run], directory: Path, data: Mnist, options: Options
) -> dict[str, str]:
    """Do the runs that have no result yet, and write one result file each.

    Returns:
        What went wrong, by file name; empty when every run has its result.

    Raises:
        ResultError: a file in the way is damaged, or belongs to another recipe or data set.
    """
    device = pick_device(options.device)
    runs = list(dict.fromkeys(_settle(run, data, device) for run in runs))
    make_folder(directory)
    remove_leftovers(directory)
    workers = count_workers(options, device, count_cores())
    commit = current_commit()
    done = {run: r for run in runs if (r := _existing(run, directory, data))}
    waiting = [run for run in runs if run not in done]
    failures: dict[str, str] = {}
    jobs: list[_Job] = []
    display = _Display(runs, done, workers)
    try:
        with display:
            while waiting or jobs:
                while waiting and len(jobs) < workers:
                    jobs.append(_start(waiting.pop(0), options))
                ready = wait([job.pipe for job in jobs], timeout=1.0)
                for job in [job for job in jobs if job.pipe in ready]:
                    outcome = _receive(job)
                    if isinstance(outcome, float):
                        job.share_done = outcome
                        continue
                    jobs.remove(job)
                    job.process.join()
                    if isinstance(outcome, Result):
                        done[job.run] = replace(outcome, commit=commit)
                        save_result(directory / job.run.file_name, done[job.run])
                    else:
                        failures[job.run.file_name] = outcome
                    display.finished(job.run, outcome)
                display.update(jobs, waiting)
    finally:
        for job in jobs:
            job.process.kill()
    return failures


def count_workers(options: Options, device: torch.device, cores: int) -> int:
    """Return how many processes there is room for, if it is not said: one where it is a GPU."""
    return options.workers or (1 if device.type == "cuda" else max(1, cores // options.threads))


def _settle(run: Run, data: Mnist, device: torch.device) -> Run:
    """Return the run with its precision and its hold-out block decided where they were open."""
    precision = pick_precision(run.precision, device)
    last = len(data.train) // run.holdout - 1 if run.holdout else None
    return replace(run, precision=precision, fold=last if run.fold is None else run.fold)


def _existing(run: Run, directory: Path, data: Mnist) -> Result | None:
    """Return the result that the run has in this folder; None if it has none."""
    path = directory / run.file_name
    if not path.exists():
        return None
    result = load_result(path, data)
    theirs = (result.recipe, result.pretrained_weights)
    if theirs != (run.recipe, file_checksum(run.pretrained_weights)):
        raise ResultError(
            f"{path}: was measured with another recipe of that name or other pretrained weights; "
            f"move it away, or choose another --output"
        )
    return result


def _start(run: Run, options: Options) -> _Job:
    """Start the run in a process of its own; fork would copy PyTorch's threads half."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs, run, options), daemon=True)
    process.start()
    theirs.close()  # so that a process that dies is an end of file here
    return _Job(run, process, ours)


def _receive(job: _Job) -> float | str | Result:
    """Return the share of the training done, or the result, or what went wrong."""
    try:
        return job.pipe.recv()
    except EOFError:
        job.process.join()
        return f"its process died (exit code {job.process.exitcode}); out of memory?"


def _work(pipe: Connection, run: Run, options: Options) -> None:
    """Do one run and send its result; the body of a worker process."""
    try:
        use_threads(options.threads)
        keep_freed_memory()
        data = load_mnist(options.data_dir, holdout=run.holdout, fold=run.fold)
        # The first optimizer imports half of PyTorch, which belongs to the start of a process.
        torch.optim.SGD([torch.zeros(1)])
        pipe.send(measure(run, data, options, _PipeProgress(pipe)))
    except MnistError as error:
        pipe.send(str(error))
    except (KeyboardInterrupt, BrokenPipeError):
        pass  # the parent is stopping, or gone
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")


def measure(run: Run, data: Mnist, options: Options, progress: Any = None) -> Result:
    """Train and test once, in this process."""
    started = time.perf_counter()
    trained = fit(
        run.recipe,
        data,
        seed=run.seed,
        device=options.device,
        precision=run.precision,
        weights=load_pretrained(run.pretrained_weights, run.recipe.network),
        progress=progress,
    )
    judged = data.holdout or data.test  # who chooses, must not know how the test set comes out
    digits = trained.predict(judged.images).argmax(axis=1)
    total_seconds = time.perf_counter() - started
    accuracy = float(np.mean(digits == judged.labels))
    epoch_images = min(run.recipe.images_per_epoch or len(data.train), len(data.train))
    return Result(
        recipe=run.recipe,
        seed=run.seed,
        precision=trained.precision,
        data=data.fingerprint,
        holdout=trained.holdout,
        fold=trained.fold,
        images_seen=run.recipe.num_epochs * epoch_images,
        test_accuracy=None if data.holdout else accuracy,
        holdout_accuracy=accuracy if data.holdout else None,
        predictions="".join(map(str, digits)),
        test_precision=trained.precision,
        train_seconds=trained.history[-1]["seconds"] if trained.history else 0.0,
        total_seconds=total_seconds,
        history=trained.history,
        environment=environment(pick_device(options.device)),
        commit=None,
        pretrained_weights=file_checksum(run.pretrained_weights),
    )


def current_commit() -> str | None:
    """Return the commit of the code that runs, or None; "+" marks changes.

    None too where the package lies in another project's repository, as in its virtual environment.
    """
    package = Path(__file__).parent.parent

    def git(*arguments: str) -> str | None:
        done = subprocess.run(
            ["git", "-C", str(package), *arguments], capture_output=True, text=True
        )
        return done.stdout.strip() if done.returncode == 0 else None

    try:
        if not git("ls-files", "--error-unmatch", "--", __file__):
            return None
        changes = git("status", "--porcelain", "--", f"{package}/*.py")
        return f"{git('rev-parse', '--verify', 'HEAD')}{'+' if changes else ''}"
    except OSError:  # no git
        return None


class _PipeProgress:
    """Tells the parent how far the training is; ends the worker when the parent is gone."""

    def __init__(self, pipe: Connection):
        self.pipe = pipe
        self.told = 0.0

    def start(self, num_epochs: int, num_images: int, epochs_done: int) -> None:
        self.num_epochs, self.num_images, self.epochs_done = num_epochs, num_images, epochs_done

    def step(self, images_done: int, loss: Tensor) -> None:
        if time.perf_counter() - self.told > 1:
            self.told = time.perf_counter()
            self.pipe.send((self.epochs_done + images_done / self.num_images) / self.num_epochs)

    def epoch(self, record: dict[str, Any]) -> None:
        self.epochs_done = record["epoch"]


class _Display:
    """A live table of the rows on a terminal, a line per finished run elsewhere; on stderr."""

    def __init__(self, runs: Sequence[Run], done: dict[Run, Result], workers: int):
        self.runs, self.done, self.workers = runs, done, workers
        self.console = Console(stderr=True)
        self.live = Live(console=self.console, auto_refresh=False) if sys.stderr.isatty() else None

    def __enter__(self) -> None:
        if self.live:
            self.live.start()

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    def finished(self, run: Run, outcome: Result | str) -> None:
        """Say how a run ended, where there is no live table."""
        if not self.live:
            text = outcome if isinstance(outcome, str) else f"{outcome.accuracy:.2%}"
            print(
                f"{run.row} seed {run.seed}: {text}; {len(self.done)} of {len(self.runs)} done",
                file=sys.stderr,
                flush=True,
            )

    def update(self, jobs: list[_Job], waiting: list[Run]) -> None:
        """Redraw the table."""
        if not self.live:
            return
        left = self._seconds_left(jobs, waiting)
        title = f"{len(self.done)} of {len(self.runs)} runs done"
        if left is not None:
            title += f", about {left / 60:.0f} min left"
        table = Table("row", "done", "running", "mean so far", title=title)
        for row in dict.fromkeys(run.row for run in self.runs):
            of_row = [run for run in self.runs if run.row == row]
            scores = [self.done[run].accuracy for run in of_row if run in self.done]
            running = [f"{job.share_done:.0%}" for job in jobs if job.run.row == row]
            mean = f"{np.mean(scores):.2%}" if scores else ""
            table.add_row(row, f"{len(scores)} of {len(of_row)}", " ".join(running), mean)
        self.live.update(table, refresh=True)

    def _seconds_left(self, jobs: list[_Job], waiting: list[Run]) -> float | None:
        """Return an estimate from the runs done and in progress; None before there is any."""
        now = time.perf_counter()
        seconds: dict[str, float] = {}
        for job in jobs:
            if job.share_done > 0.02:
                seconds[job.run.row] = (now - job.started) / job.share_done
        for run, result in self.done.items():
            seconds[run.row] = result.total_seconds
        if not seconds:
            return None
        # A row that has not begun is taken to cost what the dearest known one does.
        dearest = max(seconds.values())
        total = sum(seconds.get(run.row, dearest) for run in waiting)
        total += sum((1 - job.share_done) * seconds.get(job.run.row, dearest) for job in jobs)
        return total / self.workers
