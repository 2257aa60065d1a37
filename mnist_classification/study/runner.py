"""Recipes × seeds → results, as many at a time as there is room for.

    run_experiment(EXPERIMENTS["ladder"].runs(), Path("runs/ladder"), load_mnist(), Options())

Each run is a process of its own with one thread: on a small network two such processes are faster
than one with two threads. What is done is not done again; a killed experiment loses the runs that
were in progress and nothing else.
"""

import logging
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from rich.console import Console
from rich.live import Live
from rich.table import Table

from ..data import Mnist, check_block
from ..device import environment, pick_device, pick_precision
from ..errors import ResultError
from ..files import make_folder, remove_leftovers
from ..model import check_network
from ..run import check_seed
from ..trained import file_checksum
from .engines import ENGINES, Options, Outcome
from .experiments import Run
from .results import ENVIRONMENT, Result, decided_by, load_result, save_result, short_commit

log = logging.getLogger(__name__)
LONGEST_NAME = 255  # bytes, of most file systems


def run_experiment(
    runs: Sequence[Run], directory: Path, data: Mnist, options: Options
) -> tuple[int, dict[str, str]]:
    """Do the runs that have no result yet, each once; each leaves one result file.

    Returns:
        How many there are, and what went wrong, by file name; empty when each has its result.

    Raises:
        ResultError: a file in the way is damaged, or belongs to another recipe or data set.
        ExperimentError: the engine can't be had.
        MnistError: a run can't be done, since there is no such network, seed, block or weights.
    """
    device = pick_device(options.device)
    runs = list(dict.fromkeys(_settle(run, data, device) for run in runs))
    _check(runs, data)
    make_folder(directory)
    remove_leftovers(directory, older_than=3600)  # another experiment may be writing there
    options = replace(options, commit=current_commit())
    done = {run: r for run in runs if (r := _existing(run, directory, data))}
    here = environment(device) | {"threads": options.threads}
    _say_what_is_old(list(done.values()), directory, options.commit, here)
    waiting = [run for run in runs if run not in done]
    failures: dict[str, str] = {}
    if not waiting:
        return len(runs), failures
    events = ENGINES[options.engine](waiting, data, directory, options)
    with closing(events), _Display(runs, done) as display:  # type: ignore[type-var]
        for run, outcome in events:
            if isinstance(outcome, Result):
                done[run] = outcome
                if not (directory / run.file_name).exists():  # done where this folder is not seen
                    save_result(directory / run.file_name, outcome)
            elif isinstance(outcome, str):
                failures[run.file_name] = outcome
            display.show(run, outcome)
    return len(runs), failures


def _settle(run: Run, data: Mnist, device: torch.device) -> Run:
    """Return the run with its precision and its hold-out block decided where they were open."""
    precision = pick_precision(run.precision, device)
    last = len(data.train) // run.holdout - 1 if run.holdout else None
    return replace(run, precision=precision, fold=last if run.fold is None else run.fold)


def _check(runs: Sequence[Run], data: Mnist) -> None:
    """Refuse runs that can't be done, before hours are spent on the others."""
    for run in runs:
        check_network(run.recipe.network)
        check_seed(run.seed)
    for holdout, fold in {(run.holdout, run.fold) for run in runs}:
        check_block(data, holdout, fold)
    for weights in {run.pretrained_weights for run in runs}:
        file_checksum(weights)


def _existing(run: Run, directory: Path, data: Mnist) -> Result | None:
    """Return the result that the run has in this folder; None if it has none."""
    path = directory / run.file_name
    if len(run.file_name) > LONGEST_NAME:  # of a recipe with many changes
        raise ResultError(
            f"{run.file_name[:60]}…: file name too long; expected at most {LONGEST_NAME} "
            f"characters; try fewer changes"
        )
    if not path.exists():
        return None
    result = load_result(path, data)
    if decided_by(result) != (run.recipe, file_checksum(run.pretrained_weights)):
        raise ResultError(
            f"{path}: was measured with another recipe of that name or other pretrained weights; "
            f"move it away, or choose another --output"
        )
    return result


def _say_what_is_old(
    kept: list[Result], directory: Path, commit: str | None, here: dict[str, Any]
) -> None:
    """Warn where results that are not measured again may be of other code, or another machine."""
    old = [r.commit for r in kept if r.commit and (r.commit != commit or r.commit.endswith("+"))]
    if old:
        log.warning(
            "%s: %d results are kept, of commit %s; move them away to measure again",
            *(directory, len(old), ", ".join(sorted(set(map(short_commit, old))))),
        )
    elsewhere = [r for r in kept if any(r.environment[key] != here[key] for key in ENVIRONMENT)]
    if elsewhere:
        log.warning(
            "%s: %d results are kept, of another processor, number of threads or PyTorch; move "
            "them away to measure again",
            *(directory, len(elsewhere)),
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


class _Display:
    """A live table of the rows on a terminal, a line per finished run elsewhere; on stderr."""

    def __init__(self, runs: Sequence[Run], done: dict[Run, Result]):
        self.runs, self.done = runs, done
        self.waiting = {run: None for run in runs if run not in done}
        self.started: dict[Run, float] = {}
        self.shares: dict[Run, float] = {}  # of the training done, of the runs in progress
        self.ended: set[Run] = set()
        self.drawn = 0.0
        self.console = Console(stderr=True)
        self.live = Live(console=self.console, auto_refresh=False) if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self._draw()
            self.live.stop()

    def show(self, run: Run, outcome: Outcome) -> None:
        """Take in what is new about a run; draw the table again, five times a second at most."""
        self.waiting.pop(run, None)
        if isinstance(outcome, float) and run in self.ended:
            return  # a word that was late
        if isinstance(outcome, float):
            self.started.setdefault(run, time.perf_counter())
            self.shares[run] = outcome
        else:
            self.ended.add(run)
            self.shares.pop(run, None)
        if self.live and time.perf_counter() - self.drawn > 0.2:
            self._draw()
        elif not self.live and not isinstance(outcome, float):
            text = outcome if isinstance(outcome, str) else f"{outcome.accuracy:.2%}"
            print(
                f"{run.row} seed {run.seed}: {text}; {len(self.done)} of {len(self.runs)} done",
                file=sys.stderr,
                flush=True,
            )

    def _draw(self) -> None:
        assert self.live
        self.drawn = time.perf_counter()
        left = self._seconds_left()
        title = f"{len(self.done)} of {len(self.runs)} runs done"
        if left is not None:
            title += f", about {left / 60:.0f} min left"
        table = Table("row", "done", "running", "mean so far", title=title)
        for row in dict.fromkeys(run.row for run in self.runs):
            of_row = [run for run in self.runs if run.row == row]
            scores = [self.done[run].accuracy for run in of_row if run in self.done]
            running = [f"{self.shares[run]:.0%}" for run in of_row if run in self.shares]
            mean = f"{np.mean(scores):.2%}" if scores else ""
            table.add_row(row, f"{len(scores)} of {len(of_row)}", " ".join(running), mean)
        self.live.update(table, refresh=True)

    def _seconds_left(self) -> float | None:
        """Return an estimate from the runs done and in progress; None before there is any."""
        now = time.perf_counter()
        seconds: dict[str, float] = {}
        for run, share in self.shares.items():
            if share > 0.02:
                seconds[run.row] = (now - self.started[run]) / share
        for run, result in self.done.items():
            seconds[run.row] = result.total_seconds
        if not seconds:
            return None
        # A row that has not begun is taken to cost what the dearest known one does.
        dearest = max(seconds.values())
        total = sum(seconds.get(run.row, dearest) for run in self.waiting)
        total += sum(
            (1 - share) * seconds.get(run.row, dearest) for run, share in self.shares.items()
        )
        return total / max(1, len(self.shares))
