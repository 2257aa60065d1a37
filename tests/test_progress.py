import io

import torch

from mnist_classification import progress
from mnist_classification.progress import TerminalProgress, track


def test_where_there_is_no_terminal_a_line_says_now_and_then_how_far_it_is(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SILENCE", 0.0)
    with track("steps", 12, done=10) as advance:
        advance()
    assert capsys.readouterr().err == "steps\nsteps, 11 of 12\n"


def test_time_left_is_rounded_to_whole_seconds_before_it_is_split(capsys):
    """119.7 seconds are 2:00 minutes, not 1:60."""
    progress = TerminalProgress()
    with progress:
        progress.start(num_epochs=2, num_images=100, epochs_done=0)
        progress.started -= 119.7  # as if the first epoch had taken that long
        progress.epoch({"epoch": 1, "train_loss": 0.5, "train_accuracy": 0.9})
    assert "0:02:00 left" in capsys.readouterr().err


def test_on_a_terminal_the_bar_ends_where_the_run_does(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    with TerminalProgress() as shown:
        shown.start(num_epochs=2, num_images=100, epochs_done=0)
        for epoch in (1, 2):
            shown.step(50, torch.tensor(0.7))
            shown.epoch({"epoch": epoch, "train_loss": 0.5, "train_accuracy": 0.9})
        (task,) = shown.bar.tasks
    assert (task.completed, task.total) == (200, 200)
    assert "epoch 2/2  loss 0.5000" in terminal.getvalue()
