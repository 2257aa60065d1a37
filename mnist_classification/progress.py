"""How long work shows itself: a live bar on a terminal, plain lines elsewhere.

Reading pictures shows itself too, so there is no torch here, and rich only once there is a bar.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from torch import Tensor

PATIENCE = 2.0  # seconds that nobody minds waiting without a bar
SILENCE = 60.0  # seconds without a line where there is no bar


class Progress(Protocol):
    """What `fit` tells about itself as it goes."""

    def start(self, num_epochs: int, num_images: int, epochs_done: int) -> None:
        """Training begins, or goes on after some epochs."""

    def step(self, images_done: int, loss: "Tensor") -> None:
        """A step is done: so many images of this epoch; the step's mean loss, on the device."""

    def epoch(self, record: dict[str, Any]) -> None:
        """An epoch is done; the record is the one in metrics.jsonl."""


@contextmanager
def track(name: str, steps: int, done: int = 0) -> Iterator[Callable[[], None]]:
    """Show a bar on stderr; call what it yields at each step.

    Where stderr is no terminal there is a line, and another each minute.
    """
    if not sys.stderr.isatty():
        print(name, file=sys.stderr, flush=True)
        said = time.monotonic()

        def step() -> None:
            nonlocal done, said
            done += 1
            if time.monotonic() - said > SILENCE:
                print(f"{name}, {done:,} of {steps:,}", file=sys.stderr, flush=True)
                said = time.monotonic()

        yield step
        return
    with _bar() as bar:
        task = bar.add_task(name, total=steps, completed=done)
        yield lambda: bar.advance(task)


@contextmanager
def track_if_long(name: str, steps: int) -> Iterator[Callable[[], None]]:
    """Show a bar as `track` does, but only from two seconds on, and leave nothing behind."""
    if steps < 2 or not sys.stderr.isatty():
        yield lambda: None
        return
    started = time.monotonic()
    bar = _bar(transient=True)
    task = bar.add_task(name, total=steps)

    def step() -> None:
        bar.advance(task)
        if time.monotonic() - started > PATIENCE:
            bar.start()  # does nothing the second time

    try:
        yield step
    finally:
        bar.stop()


def _bar(transient: bool = False) -> "Bar":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    return Bar(
        *(TextColumn("{task.description}"), BarColumn()),
        *(MofNCompleteColumn(), TimeRemainingColumn()),
        console=Console(stderr=True),
        transient=transient,
        redirect_stdout=sys.stdout.isatty(),  # else rich would send results to stderr
    )


class Silent:
    """Shows nothing."""

    def start(self, num_epochs: int, num_images: int, epochs_done: int) -> None:
        """Ignore it."""

    def step(self, images_done: int, loss: "Tensor") -> None:
        """Ignore it."""

    def epoch(self, record: dict[str, Any]) -> None:
        """Ignore it."""


class TerminalProgress:
    """Epoch, loss, images per second and time left, on stderr; used in a `with` block."""

    def __enter__(self) -> "TerminalProgress":
        self.bar = _bar() if sys.stderr.isatty() else None
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def start(self, num_epochs: int, num_images: int, epochs_done: int) -> None:
        """Note the size of the run and where it starts."""
        self.num_epochs, self.num_images = num_epochs, num_images
        self.epochs_done = self.first_epoch = epochs_done
        self.started = self.shown = time.perf_counter()
        if self.bar:
            total = num_epochs * num_images
            self.task = self.bar.add_task("", total=total, completed=epochs_done * num_images)
            self.bar.start()

    def step(self, images_done: int, loss: "Tensor") -> None:
        """Move the bar, at most five times a second: reading the loss waits for the device."""
        if self.bar and time.perf_counter() - self.shown > 0.2:
            self.shown = time.perf_counter()
            completed = self.epochs_done * self.num_images + images_done
            what = f"epoch {self.epochs_done + 1}/{self.num_epochs}  loss {loss.item():.3f}"
            self.bar.update(self.task, completed=completed, description=what)

    def epoch(self, record: dict[str, Any]) -> None:
        """Leave a line that stays."""
        self.epochs_done = record["epoch"]
        accuracy = f"training accuracy {record['train_accuracy']:.2%}"
        if "holdout_accuracy" in record:
            accuracy += f", hold-out {record['holdout_accuracy']:.2%}"
        done = (self.epochs_done - self.first_epoch) * self.num_images
        rate = done / (time.perf_counter() - self.started)
        left = (self.num_epochs - self.epochs_done) * self.num_images / rate
        line = (
            f"epoch {self.epochs_done}/{self.num_epochs}  loss {record['train_loss']:.4f}  "
            f"{accuracy}  {rate:,.0f} images/s  {timedelta(seconds=round(left))} left"
        )
        if self.bar:
            self.bar.update(self.task, completed=self.epochs_done * self.num_images)
            self.bar.console.print(line, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)
